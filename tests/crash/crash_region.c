/* Cuts the power of a region at work, in every way there is, many thousand times.
 *
 *     crash_region --profile NAME [--long] [--seed N] [--operations N] [--runs N]
 *
 * --long, or MREGION_CRASH_LONG in the environment: more seeds, every subset of up to 12 pending
 * changes, of more than those every prefix, every single one and every all-but-one up to 32 (of
 * profile small up to 1000; an even sample beyond that), and more random and torn ones; of the many
 * more states a smaller part gets the further checks. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "support_crash.h"

/* Small, so that tokens are forgotten all the time. */
#define TOKEN_WINDOW 24
/* Short and slow, so that passes are under way at any time. */
#define SCRUB_INTERVAL_MS 10
#define SCRUB_RATE (4 * MIB)
#define SCRUB_PERCENT 4
/* Of a million states so many have their recovery cut: each has some twenty syncs. */
#define SECOND_CUTS 1500
#define LONG_EXTRA_PERCENT 2

struct profile {
    const char *name;
    uint64_t runs, long_runs; /* each with its own seed */
    size_t long_sample;
    struct crash_options options;
};

#define PLAN(all, some, any, torn)                                                                 \
    {                                                                                              \
        .exhaustive_max = (all), .sample = (some), .random_subsets = (any), .tears = (torn)        \
    }

static const struct profile profiles[] = {
    /* Small blobs, reused over and over. */
    {"small",
     2,
     4,
     1000,
     {
         .operations = 400,
         .region = {.durability = DURABILITY_SYNC, .fit = FIT_TIGHT},
         .weights = {.live_target = 60000, .size_max = 12000, .bad_percent = 3},
         .checkpoint_percent = 8,
         .plan = PLAN(7, 8, 8, 6),
         .extra_percent = 4,
     }},
    /* Many blobs that are written straight into freed space. */
    {"large",
     3,
     3,
     32,
     {
         .operations = 300,
         .region = {.durability = DURABILITY_SYNC, .fit = FIT_LOWEST},
         .weights = {.live_target = 300000, .size_max = 200000, .large_percent = 40},
         .checkpoint_percent = 10,
         .plan = PLAN(5, 4, 5, 3),
         .extra_percent = 3,
     }},
    /* A region, and with it its data file, that grows all the time. */
    {"growing",
     3,
     3,
     32,
     {
         .operations = 300,
         .region = {.durability = DURABILITY_SYNC, .fit = FIT_TIGHT},
         .weights = {.live_target = 2000000, .size_max = 15000},
         .checkpoint_percent = 2,
         .plan = PLAN(6, 4, 4, 2),
         .extra_percent = 2,
     }},
    {"interval",
     3,
     4,
     32,
     {
         .operations = 400,
         .region = {.durability = DURABILITY_INTERVAL, .flush_interval_ms = 20, .fit = FIT_LARGEST},
         .weights = {.live_target = 100000, .size_max = 100000, .large_percent = 10},
         .checkpoint_percent = 6,
         .backup_percent = 3,
         .plan = PLAN(5, 5, 6, 4),
         .extra_percent = 3,
     }},
    /* What is freed goes back to the file system, and is used again. */
    {"discard",
     4,
     4,
     32,
     {
         .operations = 300,
         .region = {.durability = DURABILITY_INTERVAL,
                    .flush_interval_ms = 20,
                    .fit = FIT_TIGHT,
                    .discard = 8192},
         .weights = {.live_target = 200000, .size_max = 60000, .large_percent = 10},
         .checkpoint_percent = 6,
         .plan = PLAN(5, 5, 6, 4),
         .extra_percent = 3,
     }},
    /* Options change while batches are on their way: above all whether there are checksums. */
    {"reload",
     4,
     4,
     32,
     {
         .operations = 300,
         .region = {.durability = DURABILITY_INTERVAL, .flush_interval_ms = 20, .fit = FIT_TIGHT},
         .weights = {.live_target = 150000, .size_max = 40000, .large_percent = 10},
         .checkpoint_percent = 6,
         .reload_percent = 15,
         .plan = PLAN(5, 5, 6, 4),
         .extra_percent = 3,
     }},
    /* What is not synced may be lost, but no more, and what a checkpoint has may not. */
    {"none",
     2,
     4,
     32,
     {
         .operations = 300,
         .region = {.durability = DURABILITY_NONE, .flush_interval_ms = 20, .fit = FIT_TIGHT},
         .weights = {.live_target = 100000, .size_max = 60000, .large_percent = 10},
         .checkpoint_percent = 8,
         .plan = PLAN(5, 5, 6, 4),
         .extra_percent = 3,
     }},
    /* Blobs that come in pieces, into space that others have just freed. */
    {"uploads",
     2,
     4,
     32,
     {
         .operations = 250,
         .region = {.durability = DURABILITY_SYNC, .fit = FIT_TIGHT, .discard = 16384},
         .weights = {.live_target = 150000, .size_max = 80000, .large_percent = 10},
         .checkpoint_percent = 8,
         .upload_percent = 60,
         .backup_percent = 3,
         .plan = PLAN(5, 5, 6, 4),
         .extra_percent = 3,
     }},
    /* All at once: durability and all other options change, space goes back to the file system,
     * scrubs are asked for all the time, beside the tokens and changes all or nothing of every
     * profile. */
    {"all",
     2,
     4,
     32,
     {
         .operations = 300,
         .region = {.durability = DURABILITY_SYNC,
                    .flush_interval_ms = 20,
                    .fit = FIT_TIGHT,
                    .discard = 8192},
         .weights = {.live_target = 150000, .size_max = 60000, .large_percent = 15},
         .checkpoint_percent = 8,
         .reload_percent = 15,
         .reload_durability = true,
         .scrub_percent = 12,
         .upload_percent = 25,
         .backup_percent = 3,
         .plan = PLAN(5, 5, 6, 4),
         .extra_percent = 3,
     }},
    /* The limits as they are. */
    {"real",
     1,
     1,
     32,
     {
         .operations = 150,
         .region = {.durability = DURABILITY_SYNC, .fit = FIT_TIGHT},
         .weights = {.live_target = 400000, .size_max = 200000, .large_percent = 10},
         .checkpoint_percent = 8,
         .plan = PLAN(5, 5, 6, 4),
         .extra_percent = 3,
     }},
};

static const struct profile *find_profile(const char *name)
{
    for (size_t i = 0; i < sizeof profiles / sizeof profiles[0]; i++)
        if (strcmp(profiles[i].name, name) == 0)
            return &profiles[i];
    return NULL;
}

static int usage(const char *program)
{
    fprintf(stderr,
            "usage: %s --profile NAME [--long] [--seed N] [--operations N] [--runs N]\nprofiles:",
            program);
    for (size_t i = 0; i < sizeof profiles / sizeof profiles[0]; i++)
        fprintf(stderr, " %s", profiles[i].name);
    fputc('\n', stderr);
    return 64;
}

static void print_totals(const char *profile, const struct crash_totals *totals)
{
    printf("%s: %llu power cuts (%llu with every subset), %llu states checked, %llu further "
           "checks, %llu states without bytes that durability none lost; %llu commits, "
           "%llu checkpoints, %llu records replayed, %llu torn tails cut, %llu bytes discarded, "
           "%llu uploads, %llu backups\n",
           profile, (unsigned long long)totals->points, (unsigned long long)totals->exhaustive,
           (unsigned long long)totals->states, (unsigned long long)totals->extras,
           (unsigned long long)totals->lossy, (unsigned long long)totals->commits,
           (unsigned long long)totals->checkpoints, (unsigned long long)totals->replayed,
           (unsigned long long)totals->cut_tails, (unsigned long long)totals->discarded,
           (unsigned long long)totals->uploads, (unsigned long long)totals->backups);
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"profile", required_argument, NULL, 'p'}, {"long", no_argument, NULL, 'l'},
        {"seed", required_argument, NULL, 's'},    {"operations", required_argument, NULL, 'o'},
        {"runs", required_argument, NULL, 'r'},    {NULL, 0, NULL, 0}};
    const struct profile *profile = NULL;
    uint64_t seed = 1, operations = 0;
    uint64_t runs = 0;
    bool is_long = getenv("MREGION_CRASH_LONG") != NULL;
    int option;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (option == 'p')
            profile = find_profile(optarg);
        else if (option == 'l')
            is_long = true;
        else if (option == 's')
            seed = strtoull(optarg, NULL, 0);
        else if (option == 'o')
            operations = strtoull(optarg, NULL, 0);
        else if (option == 'r')
            runs = strtoull(optarg, NULL, 0);
        else
            return usage(argv[0]);
    }
    if (profile == NULL || optind < argc)
        return usage(argv[0]);
    struct crash_options options = profile->options;
    struct crash_totals totals = {0};
    if (runs == 0)
        runs = is_long ? profile->long_runs : profile->runs;
    options.second_cuts = SECOND_CUTS;
    options.second_plan = (struct simcrash_plan)PLAN(4, 3, 3, 1);
    if (is_long) {
        options.plan = (struct simcrash_plan)PLAN(12, profile->long_sample, 16, 12);
        options.second_plan = (struct simcrash_plan)PLAN(8, 12, 12, 4);
        options.extra_percent = LONG_EXTRA_PERCENT;
    }
    options.region.journal_size = JOURNAL_SIZE_MIN;
    options.region.token_window = TOKEN_WINDOW;
    options.region.scrub_interval_ms = SCRUB_INTERVAL_MS;
    options.region.scrub_rate = SCRUB_RATE;
    if (options.scrub_percent == 0)
        options.scrub_percent = SCRUB_PERCENT;
    if (options.region.flush_interval_ms == 0)
        options.region.flush_interval_ms = FLUSH_INTERVAL_MIN_MS;
    if (operations > 0)
        options.operations = operations;
    for (uint64_t i = 0; i < runs; i++) {
        options.seed = seed + i;
        if (!crash_run(&options, &totals, stdout)) {
            printf("replay: %s --profile %s%s --seed %llu --operations %llu --runs 1\n", argv[0],
                   profile->name, is_long ? " --long" : "", (unsigned long long)options.seed,
                   (unsigned long long)options.operations);
            return 1;
        }
    }
    print_totals(profile->name, &totals);
    crash_print_figures(profile->name, &totals);
    return 0;
}
