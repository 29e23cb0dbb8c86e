/* Backups are removed, while the power is cut before and behind everything: what has a backup's
 * name is whole, what was said to be removed is gone, and nothing is left of it. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/backups.h"
#include "core/iofile.h"
#include "support_fixture.h"
#include "support_simcrash.h"
#include "tests/support_main.h"

static uint8_t bytes[20000];

/* A region's folder is a backup where it lies among others. */
static void make(const char *name)
{
    struct region_options options = region_options_default();
    struct region *made;
    options.journal_size = JOURNAL_SIZE_MIN;
    ck_assert_int_eq(region_create(io, name, "main", 7, &options, &err), 0);
    ck_assert_int_eq(region_open(io, name, NULL, false, &made, NULL, &err), 0);
    (void)drive_add(made, bytes, sizeof bytes);
    drive_close(made);
    ck_assert_int_eq(io->ops->sync_directory(io, "."), 0);
}

static void set_up(void)
{
    fixture_set_up();
    drive_pattern(bytes, sizeof bytes, 5);
    make("one");
    make("two");
}

static void expect_whole(struct io *then, const char *name)
{
    struct region *found;
    if (region_open(then, name, NULL, true, &found, NULL, &err) != 0)
        ck_abort_msg("%s: %s", name, err.text);
    drive_expect(found, 0, bytes, sizeof bytes);
    region_close(found);
}

#define NAMES_SIZE 200

static int note_name(void *context, const char *name, bool is_directory)
{
    char *names = context;
    size_t length = strlen(names);
    if (is_directory && strcmp(name, "r") != 0) /* the fixture's, which lies beside them */
        snprintf(names + length, NAMES_SIZE - length, "%s ", name);
    return 0;
}

struct cut {
    bool is_over;
    struct rng rng;
    uint64_t states, with, without;
};

static int check_state(void *context, struct simdisk *crashed, const struct simcrash_case *how)
{
    struct cut *cut = context;
    struct io *then = simdisk_io(crashed);
    struct io_file *lock;
    char names[NAMES_SIZE] = "";
    (void)how;
    simdisk_keep_power(crashed);
    if (backups_open(then, &lock, &err) != 0)
        ck_abort_msg("%s", err.text);
    if (then->ops->list(then, ".", note_name, names) != 0)
        ck_abort_msg("it cannot be listed");
    bool is_there = strstr(names, "one ") != NULL;
    if (strcmp(names, is_there ? "one two " : "two ") != 0 &&
        strcmp(names, is_there ? "two one " : "two ") != 0)
        ck_abort_msg("there is: %s", names);
    if (is_there && cut->is_over)
        ck_abort_msg("what was removed is there");
    if (is_there)
        expect_whole(then, "one");
    expect_whole(then, "two");
    is_there ? cut->with++ : cut->without++;
    then->ops->close(then, lock);
    return 0;
}

static void cut_power(void *context, struct simdisk *now, enum simdisk_op op, const char *path)
{
    static const struct simcrash_plan plan = {
        .exhaustive_max = 6, .sample = 8, .random_subsets = 10, .tears = 2};
    struct cut *cut = context;
    (void)path;
    if (SIM_BIT(op) & (SIM_SYNCS | SIM_CHANGES))
        simcrash_enumerate(now, &plan, &cut->rng, check_state, cut, &cut->states);
}

START_TEST(a_power_cut)
{
    struct cut cut = {.rng.state = 1};
    simdisk_set_hook(disk, cut_power, &cut);
    ck_assert_int_eq(backups_remove(io, "one", &err), 0);
    cut.is_over = true;
    cut_power(&cut, disk, SIM_SYNC, ".");
    simdisk_set_hook(disk, NULL, NULL);
    ck_assert_uint_gt(cut.with, 0);
    ck_assert_uint_gt(cut.without, 0);
    ck_assert_int_eq(backups_check(io, "one", &err), ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(backups_check(io, "two", &err), 0);
}
END_TEST

START_TEST(what_is_refused)
{
    static const char *const names[] = {"none", "", ".drop-one", "../one", "one/data", ".lock"};
    char listed[NAMES_SIZE] = "";
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        ck_assert_int_eq(backups_remove(io, names[i], &err), ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(io->ops->make_directory(io, "one/mine"), 0);
    ck_assert_int_eq(backups_remove(io, "one", &err), ERR_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "folder"));
    expect_whole(io, "one");
    ck_assert_int_eq(io->ops->list(io, ".", note_name, listed), 0);
    ck_assert_ptr_null(strstr(listed, ".drop"));
}
END_TEST

/* Whichever call fails, the backup is whole or gone, the answer says which, and it can be removed
 * once more. */
START_TEST(whatever_fails)
{
    struct rng rng = {1};
    uint64_t failures = 0;
    for (uint64_t nth = 1;; nth++) {
        simdisk_set_fault(
            disk, (struct simdisk_fault){
                      .ops = SIM_SYNCS | SIM_CHANGES, .pattern = "*", .nth = nth, .error = EIO});
        int code = backups_remove(io, "one", &err);
        bool has_failed = simdisk_faults_hit(disk) > 0;
        simdisk_set_fault(disk, (struct simdisk_fault){0});
        ck_assert_int_eq(code, has_failed ? ERR_IO_ERROR : 0);
        if (!has_failed)
            break;
        failures++;
        bool is_there = backups_check(io, "one", &(struct err){0}) == 0;
        if (is_there)
            expect_whole(io, "one");
        ck_assert_msg((strstr(err.text, "is removed, but") == NULL) == is_there, "%s", err.text);
        ck_assert_ptr_null(strstr(err.text, "may find"));
        for (int i = 0; is_there && i < 5; i++) { /* that it is there is durable */
            struct simdisk *crashed =
                i == 0 ? simdisk_crash_none(disk) : simdisk_crash_random(disk, &rng);
            expect_whole(simdisk_io(crashed), "one");
            simdisk_free(crashed);
        }
        if (is_there)
            continue;
        ck_assert_int_eq(io_remove_folder(io, ".drop-one", &err), 0); /* as the next start does */
        make("one");
    }
    ck_assert_uint_gt(failures, 3);
}
END_TEST

START_TEST(a_name_that_may_come_back)
{
    simdisk_set_fault(
        disk, (struct simdisk_fault){.ops = SIM_BIT(SIM_SYNC_DIRECTORY) | SIM_BIT(SIM_RENAME),
                                     .pattern = "*",
                                     .nth = 2,
                                     .error = EIO,
                                     .forever = true});
    ck_assert_int_eq(backups_remove(io, "one", &err), ERR_IO_ERROR);
    ck_assert_msg(strstr(err.text, "is gone until the next start, which may find it there") != NULL,
                  "%s", err.text);
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    ck_assert_int_eq(backups_check(io, "one", &err), ERR_INVALID_ARGUMENT);
    expect_whole(io, ".drop-one");
}
END_TEST

/* Whichever names reach the disk, what it has as a backup is whole. */
static int check_whole(void *context, struct simdisk *crashed, const struct simcrash_case *how)
{
    struct cut *cut = context;
    (void)how;
    bool is_there = simtree_find(simdisk_tree(crashed), "one") != NULL;
    if (is_there)
        expect_whole(simdisk_io(crashed), "one");
    is_there ? cut->with++ : cut->without++;
    return 0;
}

static void cut_power_again(void *context, struct simdisk *now, enum simdisk_op op,
                            const char *path)
{
    static const struct simcrash_plan plan = {
        .exhaustive_max = 6, .sample = 8, .random_subsets = 10};
    struct cut *cut = context;
    (void)path;
    if (SIM_BIT(op) & (SIM_SYNCS | SIM_CHANGES))
        simcrash_enumerate(now, &plan, &cut->rng, check_whole, cut, &cut->states);
}

static void fail_names(unsigned ops, uint64_t nth)
{
    simdisk_set_fault(disk,
                      (struct simdisk_fault){
                          .ops = ops, .pattern = "*", .nth = nth, .error = EIO, .forever = true});
}

static void remove_in_doubt(void)
{
    fail_names(SIM_BIT(SIM_SYNC_DIRECTORY) | SIM_BIT(SIM_RENAME), 2);
    ck_assert_int_eq(backups_remove(io, "one", &err), ERR_IO_ERROR);
    ck_assert_ptr_nonnull(strstr(err.text, "which may find it there"));
    simdisk_set_fault(disk, (struct simdisk_fault){0});
}

/* The next process finds what the one before could not remove, or had no time to, and then the
 * power goes. */
START_TEST(a_start_and_then_a_power_cut)
{
    struct cut cut = {.rng.state = 1};
    struct io_file *lock;
    remove_in_doubt();
    simdisk_set_hook(disk, cut_power_again, &cut);
    fail_names(SIM_BIT(SIM_SYNC_DIRECTORY), 1);
    ck_assert_int_eq(backups_open(io, &lock, &err), 0);
    io->ops->close(io, lock);
    expect_whole(io, ".drop-one"); /* until it is certain that it is not called otherwise */
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    ck_assert_int_eq(backups_open(io, &lock, &err), 0);
    io->ops->close(io, lock);
    cut_power_again(&cut, disk, SIM_SYNC, ".");
    simdisk_set_hook(disk, NULL, NULL);
    ck_assert_uint_gt(cut.with, 0);
    ck_assert_uint_gt(cut.without, 0);
    ck_assert_ptr_null(simtree_find(simdisk_tree(disk), ".drop-one"));
}
END_TEST

/* Another one of that name is made and removed, while no name reaches the disk for certain. */
START_TEST(two_that_may_come_back)
{
    struct cut cut = {.rng.state = 1};
    remove_in_doubt();
    simdisk_set_hook(disk, cut_power_again, &cut);
    ck_assert_int_eq(io->ops->rename(io, "two", "one"), 0);
    fail_names(SIM_BIT(SIM_SYNC_DIRECTORY), 1);
    ck_assert_int_eq(backups_remove(io, "one", &err), ERR_IO_ERROR);
    cut_power_again(&cut, disk, SIM_SYNC, ".");
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    ck_assert_int_eq(backups_remove(io, "one", &err), 0);
    cut_power_again(&cut, disk, SIM_SYNC, ".");
    simdisk_set_hook(disk, NULL, NULL);
    ck_assert_uint_gt(cut.with, 0);
    ck_assert_uint_gt(cut.without, 0);
}
END_TEST

/* One is looked at, and no other. */
START_TEST(whose_it_is)
{
    char name[REGION_NAME_MAX + 1] = "x";
    uint64_t opened = simdisk_calls(disk, SIM_BIT(SIM_OPEN));
    ck_assert_int_eq(backups_find(io, "one", name, &err), 0);
    ck_assert_str_eq(name, "main");
    ck_assert_uint_eq(simdisk_calls(disk, SIM_BIT(SIM_OPEN)), opened + 1);
    static const char *const none[] = {"none", "", ".drop-one", "../one", "one/data", "empty"};
    ck_assert_int_eq(io->ops->make_directory(io, "empty"), 0);
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        ck_assert_int_eq(backups_find(io, none[i], name, &err), 0);
        ck_assert_str_eq(name, "");
    }
    simdisk_set_fault(disk,
                      (struct simdisk_fault){.ops = SIM_BIT(SIM_LIST), .nth = 1, .error = EACCES});
    ck_assert_int_eq(backups_find(io, "one", name, &err), ERR_IO_ERROR);
    ck_assert_ptr_nonnull(strstr(err.text, "cannot list the backup directory"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("backups");
    TCase *tests = tcase_create("backups");

    tcase_add_checked_fixture(tests, set_up, fixture_tear_down);
    tcase_add_test(tests, a_power_cut);
    tcase_add_test(tests, what_is_refused);
    tcase_add_test(tests, whatever_fails);
    tcase_add_test(tests, a_name_that_may_come_back);
    tcase_add_test(tests, a_start_and_then_a_power_cut);
    tcase_add_test(tests, two_that_may_come_back);
    tcase_add_test(tests, whose_it_is);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
