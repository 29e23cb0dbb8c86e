/* A region is made, or made out of a backup, and one call after the other fails: its name is free
 * again, at once, or the sentence says what is in doubt and what helps; and whatever a power cut
 * leaves under that name is a whole region. */
#include "core/store.h"

#include <check.h>
#include <errno.h>
#include <string.h>

#include "support_region.h"
#include "tests/support_main.h"

#define IN_DOUBT "the next start may find it"
#define IS_TAKEN "its name is taken: restart"

enum way { CREATE, RESTORE, WAYS };

static struct simdisk *disk;
static struct io *io;
static struct store *store;
static struct err err;
static enum way way;
static uint64_t named_after; /* so many calls it first got its name; 0: it has not */

static void note_name_given(void *context, struct simdisk *of, enum simdisk_op op, const char *path)
{
    const uint64_t *before = context;
    if (named_after == 0 && op == SIM_RENAME && strcmp(path, "regions/.new-x") == 0)
        named_after = simdisk_calls(of, SIM_ALL) - *before;
}

static struct region_options small_options(void)
{
    struct region_options options = region_options_default();
    options.journal_size = JOURNAL_SIZE_MIN;
    return options;
}

static int make(struct region **ret_region)
{
    const struct region_options options = small_options();
    const struct store_restoring what = {.backups = io, .backup = "b", .name = "x"};
    uint64_t id;
    if (way == CREATE)
        return store_create_region(store, "x", &options, ret_region, &err);
    int code = store_begin_restoring(store, &what, &id, &err);
    if (code == 0)
        code = store_copy_backup(store, &what, id, &err);
    return code == 0 ? store_end_restoring(store, &what, ret_region, &err) : code;
}

/* A region's folder is a backup where it lies in the directory of backups. */
static void make_backup(void)
{
    const struct region_options options = small_options();
    struct region *region;
    ck_assert_int_eq(region_create(io, "b", "main", 7, &options, &err), 0);
    ck_assert_int_eq(region_open(io, "b", NULL, false, &region, NULL, &err), 0);
    (void)drive_add(region, "hello", 5);
    drive_close(region);
}

static void set_up(void)
{
    disk = simdisk_new(1);
    io = simdisk_io(disk);
    ck_assert_int_eq(store_open(io, false, &store, &err), 0);
    make_backup();
    static uint64_t before;
    before = simdisk_calls(disk, SIM_ALL);
    named_after = 0;
    simdisk_set_hook(disk, note_name_given, &before);
}

static void tear_down(void)
{
    store_close(store);
    ck_assert_uint_eq(simdisk_breaches(disk), 0);
    ck_assert_uint_eq(simdisk_open_files(disk), 0);
    simdisk_free(disk);
}

static int note_name(void *context, const char *name)
{
    *(bool *)context |= strcmp(name, "x") == 0;
    return 0;
}

static bool is_there(struct store *in)
{
    bool is_found = false;
    ck_assert_int_eq(store_list(in, note_name, &is_found, &(struct err){0}), 0);
    return is_found;
}

/* Takes the disk that a power cut has left. */
static bool is_there_after(struct simdisk *crashed)
{
    struct err why = {0};
    struct store *then;
    struct region *region;
    if (store_open(simdisk_io(crashed), false, &then, &why) != 0)
        ck_abort_msg("%s", why.text);
    bool is_found = is_there(then);
    if (is_found && store_open_region(then, "x", NULL, &region, NULL, &why) != 0)
        ck_abort_msg("it is there, and not whole: %s", why.text);
    if (is_found)
        region_close(region);
    store_close(then);
    simdisk_free(crashed);
    return is_found;
}

/* Whether the power may go and leave it there: not before it had that name. */
static bool may_be_there(uint64_t seed)
{
    struct rng rng = {seed};
    bool is_found = named_after > 0 && is_there_after(simdisk_crash_none(disk));
    for (int i = 0; i < 4 && named_after > 0; i++)
        is_found |= is_there_after(simdisk_crash_random(disk, &rng));
    return is_found;
}

static void fail_from(uint64_t nth, bool forever)
{
    simdisk_set_fault(
        disk, (struct simdisk_fault){.ops = SIM_ALL, .nth = nth, .error = EIO, .forever = forever});
}

/* It can be made now, durably, and goes again. */
static void expect_free(uint64_t nth)
{
    struct region *region;
    bool was_named = named_after > 0;
    int code = make(&region);
    ck_assert_msg(code == 0, "call %llu: %s", (unsigned long long)nth, err.text);
    region_close(region);
    ck_assert(!was_named || is_there_after(simdisk_crash_none(disk)));
    ck_assert_int_eq(store_drop_region(store, "x", &err), 0);
}

/* Nobody can have that name before the store is opened anew, and then it is a region. */
static void expect_taken(void)
{
    struct region *region;
    ck_assert_int_eq(make(&region), ERR_EXISTS);
    store_close(store);
    ck_assert_int_eq(store_open(io, false, &store, &err), 0);
    ck_assert_int_eq(store_open_region(store, "x", NULL, &region, NULL, &err), 0);
    region_close(region);
    ck_assert_int_eq(store_drop_region(store, "x", &err), 0);
}

static int make_failing(uint64_t nth, bool forever, struct region **ret_region, bool *ret_hit)
{
    fail_from(nth, forever);
    int code = make(ret_region);
    *ret_hit = simdisk_faults_hit(disk) > 0;
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    return code;
}

/* Returns whether the nth call was reached. */
static bool fail_once(uint64_t nth)
{
    struct region *region;
    bool is_hit;
    int code = make_failing(nth, false, &region, &is_hit);
    if (code == 0) {
        region_close(region);
        ck_assert_int_eq(store_drop_region(store, "x", &err), 0);
        return is_hit;
    }
    ck_assert(is_hit && !is_there(store));
    ck_assert_msg(strstr(err.text, IN_DOUBT) == NULL && strstr(err.text, IS_TAKEN) == NULL, "%s",
                  err.text);
    ck_assert(!may_be_there(nth));
    expect_free(nth);
    return true;
}

/* Calls on the way to its name are a few of those that others test; from there on it is each. */
static uint64_t after(uint64_t nth, uint64_t name)
{
    return nth + 8 < name ? nth + 8 : nth + 1;
}

static uint64_t find_name(void)
{
    expect_free(0);
    return named_after;
}

START_TEST(a_call_fails)
{
    way = _i;
    uint64_t nth = 1, name = find_name();
    do {
        tear_down();
        set_up();
        nth = after(nth, name);
    } while (fail_once(nth));
    ck_assert_uint_gt(nth, name + 10);
}
END_TEST

struct seen {
    unsigned plain, in_doubt, taken;
};

static bool fail_for_ever(uint64_t nth, struct seen *seen)
{
    struct region *region;
    bool is_hit;
    int code = make_failing(nth, true, &region, &is_hit);
    if (code == 0) {
        region_close(region);
        return is_hit;
    }
    bool is_taken = strstr(err.text, IS_TAKEN) != NULL;
    bool is_in_doubt = strstr(err.text, IN_DOUBT) != NULL;
    ck_assert_msg(is_taken == is_there(store), "call %llu: %s", (unsigned long long)nth, err.text);
    ck_assert(!may_be_there(nth) || is_taken || is_in_doubt); /* whole it is in any case */
    is_taken ? seen->taken++ : is_in_doubt ? seen->in_doubt++ : seen->plain++;
    if (is_taken)
        expect_taken();
    else
        expect_free(nth);
    return true;
}

START_TEST(all_calls_fail_from_one_on)
{
    struct seen seen = {0};
    way = _i;
    uint64_t nth = 1, name = find_name();
    do {
        tear_down();
        set_up();
        nth = after(nth, name);
    } while (fail_for_ever(nth, &seen));
    ck_assert_uint_gt(seen.plain, 3);
    ck_assert_uint_gt(seen.taken, 3); /* each call that opens it */
}
END_TEST

/* It is gone as far as anybody can see, but nobody knows what the disk has: what may be there stays
 * whole, and making it again settles it. */
START_TEST(what_may_be_there)
{
    struct region *region;
    way = _i;
    simdisk_set_fault(disk, (struct simdisk_fault){.ops = SIM_BIT(SIM_SYNC_DIRECTORY),
                                                   .pattern = "regions",
                                                   .nth = 1,
                                                   .error = EIO,
                                                   .forever = true});
    ck_assert_int_eq(make(&region), ERR_IO_ERROR);
    ck_assert_ptr_nonnull(strstr(err.text, IN_DOUBT));
    ck_assert(!is_there(store));
    bool is_found = false;
    for (uint64_t seed = 0; seed < 10; seed++)
        is_found |= may_be_there(seed);
    ck_assert(is_found);
    ck_assert_int_eq(make(&region), ERR_IO_ERROR); /* not over what may be there */
    for (uint64_t seed = 0; seed < 10; seed++)
        (void)may_be_there(seed);
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    expect_free(0);
}
END_TEST

/* Before anything is copied, and without using up an id. */
START_TEST(restoring_is_refused)
{
    static const struct {
        const char *backup, *name;
        int code;
    } cases[] = {{"b", ".x", ERR_INVALID_ARGUMENT},
                 {"b", "", ERR_INVALID_ARGUMENT},
                 {"../b", "x", ERR_INVALID_ARGUMENT},
                 {"none", "x", ERR_INVALID_ARGUMENT},
                 {"b", "main", ERR_EXISTS}};
    const struct region_options options = small_options();
    struct region *region;
    uint64_t id = 77, changes;
    ck_assert_int_eq(store_create_region(store, "main", &options, &region, &err), 0);
    region_close(region);
    changes = simdisk_calls(disk, SIM_CHANGES);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct store_restoring what = {
            .backups = io, .backup = cases[i].backup, .name = cases[i].name};
        ck_assert_int_eq(store_begin_restoring(store, &what, &id, &err), cases[i].code);
    }
    store_close(store);
    ck_assert_int_eq(store_open(io, true, &store, &err), 0);
    const struct store_restoring what = {.backups = io, .backup = "b", .name = "x"};
    ck_assert_int_eq(store_begin_restoring(store, &what, &id, &err), ERR_READ_ONLY);
    ck_assert_uint_eq(id, 77);
    ck_assert_uint_eq(simdisk_calls(disk, SIM_CHANGES), changes);
}
END_TEST

static int take_back_with(unsigned failing_ops)
{
    struct region *region;
    ck_assert_int_eq(make(&region), 0);
    region_close(region);
    (void)err_set(&err, ERR_INTERNAL, "nobody can have it");
    simdisk_set_fault(disk, (struct simdisk_fault){
                                .ops = failing_ops, .pattern = "regions*", .nth = 1, .error = EIO});
    int code = store_take_back(store, "x", &err);
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    ck_assert_int_eq(code, (int)err.code);
    ck_assert_ptr_eq(strstr(err.text, "nobody can have it"), err.text);
    return code;
}

START_TEST(one_that_nobody_can_have)
{
    way = _i;
    ck_assert_int_eq(take_back_with(0), ERR_INTERNAL);
    ck_assert_str_eq(err.text, "nobody can have it"); /* and that is all */
    ck_assert(!is_there(store) && !is_there_after(simdisk_crash_none(disk)));
    expect_free(0);
    ck_assert_int_eq(take_back_with(SIM_BIT(SIM_SYNC_DIRECTORY)), ERR_IO_ERROR);
    ck_assert_ptr_nonnull(strstr(err.text, IN_DOUBT));
    ck_assert(!is_there(store) && is_there_after(simdisk_crash_none(disk)));
    expect_free(0);
    ck_assert_int_eq(take_back_with(SIM_BIT(SIM_RENAME)), ERR_IO_ERROR);
    ck_assert_ptr_nonnull(strstr(err.text, IS_TAKEN));
    expect_taken();
}
END_TEST

START_TEST(a_copy_that_is_not_wanted)
{
    const struct store_restoring what = {.backups = io, .backup = "b", .name = "x"};
    uint64_t id;
    way = RESTORE;
    ck_assert_int_eq(store_begin_restoring(store, &what, &id, &err), 0);
    ck_assert_int_eq(store_copy_backup(store, &what, id, &err), 0);
    ck_assert_ptr_nonnull(simtree_find(simdisk_tree(disk), "regions/.new-x"));
    store_forget_copy(store, &what);
    ck_assert_ptr_null(simtree_find(simdisk_tree(disk), "regions/.new-x"));
    expect_free(0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store making");
    TCase *tests = tcase_create("store making");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, a_call_fails, 0, WAYS);
    tcase_add_loop_test(tests, all_calls_fail_from_one_on, 0, WAYS);
    tcase_add_loop_test(tests, what_may_be_there, 0, WAYS);
    tcase_add_test(tests, restoring_is_refused);
    tcase_add_loop_test(tests, one_that_nobody_can_have, 0, WAYS);
    tcase_add_test(tests, a_copy_that_is_not_wanted);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
