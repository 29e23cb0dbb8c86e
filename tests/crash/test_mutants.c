/* The crash checks are checked: an engine with a sync left out, or one that acknowledges too early,
 * must be caught, and the engine as it is must not. The simulated disk plays the bugs. */
#include <check.h>

#include "core/limits.h"
#include "support_crash.h"
#include "tests/support_main.h"

#define SEEDS 6 /* a bug must show with one of so many seeds */

struct mutant {
    const char *name;
    const char *ignored_syncs;
    const char *ignored_in_recovery;
    bool acknowledge_early;
    enum durability durability;
};

static const struct mutant mutants[] = {
    {"the journal is never synced", .ignored_syncs = "*/journal-*"},
    {"the data file is never synced", .ignored_syncs = "*/data"},
    {"the sums are never synced", .ignored_syncs = "*/sums"},
    {"checkpoints are never synced", .ignored_syncs = "*/checkpoint*"},
    {"the names in the folder are never synced", .ignored_syncs = "region"},
    {"changes are acknowledged when they are staged", .acknowledge_early = true},
    {"a recovery does not sync the data file", .ignored_in_recovery = "*/data"},
    {"a recovery does not sync the sums", .ignored_in_recovery = "*/sums"},
    {"a recovery does not sync its checkpoint", .ignored_in_recovery = "*/checkpoint*"},
    {"with durability none a checkpoint does not sync the data file", .ignored_syncs = "*/data",
     .durability = DURABILITY_NONE},
    {"with durability none a checkpoint does not sync itself", .ignored_syncs = "*/checkpoint*",
     .durability = DURABILITY_NONE},
};

#define MUTANTS (sizeof mutants / sizeof mutants[0])

static struct crash_options options_of(uint64_t seed)
{
    struct crash_options options = {
        .seed = seed,
        .operations = 120,
        .region = region_options_default(),
        .weights = {.live_target = 200000, .size_max = 100000, .large_percent = 10},
        .checkpoint_percent = 10,
        .plan = {.exhaustive_max = 5, .sample = 4, .random_subsets = 4},
        .extra_percent = 1,
        .second_cuts = 10000,
        .second_plan = {.exhaustive_max = 4, .sample = 4, .random_subsets = 4},
    };
    options.region.journal_size = JOURNAL_SIZE_MIN;
    return options;
}

START_TEST(test_mutant_is_caught)
{
    struct crash_totals totals = {0};
    FILE *nowhere = fopen("/dev/null", "w");
    ck_assert_ptr_nonnull(nowhere);
    bool caught = false;
    for (uint64_t seed = 1; seed <= SEEDS && !caught; seed++) {
        struct crash_options options = options_of(seed);
        options.ignored_syncs = mutants[_i].ignored_syncs;
        options.ignored_in_recovery = mutants[_i].ignored_in_recovery;
        options.region.durability = mutants[_i].durability;
        options.acknowledge_early = mutants[_i].acknowledge_early;
        caught = !crash_run(&options, &totals, nowhere);
    }
    fclose(nowhere);
    ck_assert_msg(caught, "not caught in %llu states: %s", (unsigned long long)totals.states,
                  mutants[_i].name);
}
END_TEST

START_TEST(test_the_engine_itself_is_not)
{
    struct crash_totals totals = {0};
    struct crash_options options = options_of(1);
    ck_assert(crash_run(&options, &totals, stdout));
    ck_assert_uint_gt(totals.states, 500);
    ck_assert_uint_gt(totals.second_states, 500);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mutants");
    TCase *tcase = tcase_create("mutants");
    tcase_add_loop_test(tcase, test_mutant_is_caught, 0, MUTANTS);
    tcase_add_test(tcase, test_the_engine_itself_is_not);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
