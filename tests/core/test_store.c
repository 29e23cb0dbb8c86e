#include "core/store.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "support_region.h"
#include "tests/support_main.h"

static struct simdisk *disk;
static struct io *io;
static struct store *store;
static struct err err;
static struct region_options options;

static void open_store(bool read_only)
{
    int code = store_open(io, read_only, &store, &err);
    ck_assert_msg(code == 0, "%s", err.text);
}

static void set_up(void)
{
    disk = simdisk_new(1);
    io = simdisk_io(disk);
    options = region_options_default();
    open_store(false);
}

static void tear_down(void)
{
    store_close(store);
    store = NULL;
    ck_assert_uint_eq(simdisk_breaches(disk), 0);
    ck_assert_uint_eq(simdisk_open_files(disk), 0);
    simdisk_free(disk);
}

static struct region *create(const char *name)
{
    struct region *region;
    int code = store_create_region(store, name, &options, &region, &err);
    ck_assert_msg(code == 0, "%s", err.text);
    return region;
}

#define NAMES_SIZE 200

static int join(void *context, const char *name)
{
    char *text = context;
    size_t length = strlen(text);
    snprintf(text + length, NAMES_SIZE - length, "%s ", name);
    return strcmp(name, "stop") == 0 ? 42 : 0;
}

static int count_entries(void *context, const char *name, bool is_directory)
{
    unsigned *count = context;
    (void)is_directory;
    *count += strcmp(name, "lock") != 0;
    return 0;
}

START_TEST(regions_are_made_listed_and_dropped)
{
    char names[NAMES_SIZE] = "";
    struct region *region;
    drive_close(create("one"));
    ck_assert_int_eq(store_list(store, join, names, &err), 0);
    ck_assert_str_eq(names, "one ");
    ck_assert_int_eq(store_create_region(store, "one", &options, &region, &err), ERR_EXISTS);
    ck_assert_int_eq(store_drop_region(store, "two", &err), ERR_NO_SUCH_REGION);
    ck_assert_int_eq(store_drop_region(store, "one", &err), 0);
    ck_assert_int_eq(store_open_region(store, "one", NULL, &region, NULL, &err),
                     ERR_NO_SUCH_REGION);
    names[0] = '\0';
    ck_assert_int_eq(store_list(store, join, names, &err), 0);
    ck_assert_str_eq(names, "");
}
END_TEST

START_TEST(a_visit_can_stop_the_list)
{
    char names[NAMES_SIZE] = "";
    drive_close(create("stop"));
    ck_assert_int_eq(store_list(store, join, names, &err), 42);
}
END_TEST

/* One call after the other fails while the store is made: it is told, and the next opening makes
 * it. */
START_TEST(making_a_store_fails)
{
    store_close(store);
    store = NULL;
    for (uint64_t nth = 1, failed = 0;; nth++) {
        simdisk_free(disk);
        disk = simdisk_new(1);
        io = simdisk_io(disk);
        simdisk_set_fault(disk,
                          (struct simdisk_fault){.ops = SIM_ALL, .nth = nth, .error = EACCES});
        int code = store_open(io, false, &store, &err);
        bool is_hit = simdisk_faults_hit(disk) > 0;
        simdisk_set_fault(disk, (struct simdisk_fault){0});
        if (code == 0 && !is_hit) {
            ck_assert_uint_gt(failed, 8);
            break;
        }
        failed += code != 0;
        if (code == 0)
            store_close(store);
        else
            ck_assert_msg(code == ERR_IO_ERROR && strstr(err.text, "cannot ") != NULL, "%s",
                          err.text);
        ck_assert_uint_eq(simdisk_open_files(disk), 0);
        open_store(false);
        drive_close(create("main"));
        store_close(store);
    }
}
END_TEST

/* So it is when one that is there is opened. */
START_TEST(opening_a_store_fails)
{
    drive_close(create("main"));
    store_close(store);
    store = NULL;
    for (uint64_t nth = 1;; nth++) {
        simdisk_set_fault(disk,
                          (struct simdisk_fault){.ops = SIM_ALL, .nth = nth, .error = EACCES});
        int code = store_open(io, false, &store, &err);
        bool is_hit = simdisk_faults_hit(disk) > 0;
        simdisk_set_fault(disk, (struct simdisk_fault){0});
        if (code == 0 && !is_hit)
            break;
        ck_assert_int_eq(code, ERR_IO_ERROR);
        ck_assert_uint_eq(simdisk_open_files(disk), 0);
    }
    struct region *region;
    ck_assert_int_eq(store_open_region(store, "main", NULL, &region, NULL, &err), 0);
    drive_close(region);
}
END_TEST

/* Nobody can tell which id a damaged one has, and others can be made all the same. */
START_TEST(a_region_is_made_beside_a_damaged_one)
{
    struct io_file *file;
    uint64_t id;
    struct region *region = create("one");
    id = region_id(region);
    drive_close(region);
    ck_assert_int_eq(io->ops->open(io, "regions/one/meta", 0, &file), 0);
    ck_assert_int_eq(io->ops->truncate(io, file, 20), 0);
    io->ops->close(io, file);
    store_close(store);
    open_store(false);
    region = create("two");
    ck_assert_uint_gt(region_id(region), id);
    drive_close(region);
    region_close(NULL);
}
END_TEST

/* Who only looks makes no file, and is told so if there is something else in the way. */
START_TEST(a_lock_that_cannot_be_opened)
{
    store_close(store);
    simdisk_set_fault(disk,
                      (struct simdisk_fault){
                          .ops = SIM_BIT(SIM_OPEN), .pattern = "lock", .nth = 1, .error = EACCES});
    ck_assert_int_eq(store_open(io, true, &store, &err), ERR_IO_ERROR);
    ck_assert_ptr_nonnull(strstr(err.text, "cannot open lock"));
    simdisk_set_fault(disk,
                      (struct simdisk_fault){
                          .ops = SIM_BIT(SIM_OPEN), .pattern = "lock", .nth = 1, .error = ENOENT});
    ck_assert_int_eq(store_open(io, false, &store, &err), ERR_IO_ERROR);
    ck_assert_ptr_nonnull(strstr(err.text, "cannot create lock"));
    open_store(true);
}
END_TEST

static int no_random(struct io *of, void *buffer, size_t size)
{
    (void)of;
    (void)buffer;
    (void)size;
    return -ENOSYS;
}

/* Neither a store nor a region is made without a secret that nobody can guess. */
START_TEST(without_random_bytes)
{
    struct region *region;
    const struct io_ops *ops = io->ops;
    struct io_ops failing = *ops;
    failing.random = no_random;
    io->ops = &failing;
    ck_assert_int_eq(store_create_region(store, "main", &options, &region, &err), ERR_IO_ERROR);
    ck_assert_ptr_nonnull(strstr(err.text, "random bytes"));
    store_close(store);
    ck_assert_int_eq(io->ops->remove(io, "store"), 0);
    ck_assert_int_eq(store_open(io, false, &store, &err), ERR_IO_ERROR);
    ck_assert_ptr_nonnull(strstr(err.text, "random bytes"));
    io->ops = ops;
    open_store(false);
    drive_close(create("main"));
}
END_TEST

/* What is in the way may be said in two ways, and a name may be longer than any of ours. */
START_TEST(something_is_in_the_way)
{
    char name[] = "regions/.new-1234567890123456789012345678901234567890123456789012345678901234567"
                  "890123456789012345";
    unsigned entries = 0;
    drive_close(create("main"));
    simdisk_set_fault(
        disk, (struct simdisk_fault){.ops = SIM_BIT(SIM_RENAME), .nth = 1, .error = EEXIST});
    ck_assert_int_eq(store_drop_region(store, "main", &err), 0);
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    ck_assert_int_eq(io->ops->make_directory(io, name), 0);
    store_close(store);
    open_store(false);
    ck_assert_int_eq(io->ops->list(io, "regions", count_entries, &entries), 0);
    ck_assert_uint_eq(entries, 1);
    ck_assert_int_eq(io->ops->remove_directory(io, name), 0);
}
END_TEST

START_TEST(ids_are_never_used_twice)
{
    struct region *a = create("a"), *b = create("b");
    uint64_t last = region_id(b);
    ck_assert_uint_ne(region_id(a), last);
    drive_close(a);
    drive_close(b);
    ck_assert_int_eq(store_drop_region(store, "b", &err), 0);
    store_close(store);
    open_store(false);
    b = create("b");
    ck_assert_uint_gt(region_id(b), last);
    drive_close(b);
}
END_TEST

/* The file 'store' comes from a backup that is older than the regions. */
START_TEST(ids_are_not_used_twice_with_an_older_store)
{
    uint8_t older[64];
    ssize_t size;
    struct io_file *file;
    struct iovec vector = {older, 0};
    ck_assert_int_eq(io->ops->open(io, "store", IO_READ_ONLY, &file), 0);
    size = io->ops->read(io, file, older, sizeof older, 0);
    io->ops->close(io, file);
    ck_assert_int_gt(size, 0);
    struct region *a = create("a"), *b = create("b");
    uint64_t last = region_id(b);
    drive_close(a);
    drive_close(b);
    store_close(store);
    vector.iov_len = (size_t)size;
    ck_assert_int_eq(io->ops->open(io, "store", 0, &file), 0);
    ck_assert_int_eq(io->ops->write(io, file, &vector, 1, 0), 0);
    io->ops->close(io, file);
    open_store(false);
    struct region *c, *d;
    ck_assert_int_eq(io->ops->make_directory(io, "regions/nobody"), 0); /* has no id */
    simdisk_set_fault(disk, (struct simdisk_fault){.ops = _i == 0 ? 0 : SIM_BIT(SIM_OPEN),
                                                   .pattern = "regions/b/meta",
                                                   .nth = 1,
                                                   .error = EMFILE});
    if (_i > 0) { /* what cannot be told now is not guessed */
        ck_assert_int_eq(store_create_region(store, "c", &options, &c, &err), ERR_IO_ERROR);
        ck_assert_ptr_nonnull(strstr(err.text, "cannot open regions/b/meta: Too many open"));
    }
    c = create("c");
    d = create("d");
    ck_assert_uint_gt(region_id(c), last);
    ck_assert_uint_gt(region_id(d), region_id(c));
    drive_close(c);
    drive_close(d);
}
END_TEST

/* That an id is used up is durable before a region has it. */
START_TEST(no_region_has_an_id_that_may_be_used_again)
{
    struct region *region;
    simdisk_set_fault(
        disk, (struct simdisk_fault){
                  .ops = SIM_BIT(SIM_WRITE), .pattern = "store.new", .nth = 1, .error = EIO});
    ck_assert_int_eq(store_create_region(store, "a", &options, &region, &err), ERR_IO_ERROR);
    ck_assert_uint_eq(simdisk_faults_hit(disk), 1);
    char names[NAMES_SIZE] = "";
    ck_assert_int_eq(store_list(store, join, names, &err), 0);
    ck_assert_str_eq(names, "");
}
END_TEST

START_TEST(a_region_keeps_what_it_has)
{
    struct region *region = create("main");
    uint64_t id = region_id(region), address = drive_add(region, "hello", 5);
    drive_close(region);
    store_close(store);
    struct simdisk *crashed = simdisk_crash_none(disk);
    simdisk_free(disk);
    disk = crashed;
    io = simdisk_io(disk);
    open_store(false);
    struct region_report report;
    ck_assert_int_eq(store_open_region(store, "main", NULL, &region, &report, &err), 0);
    ck_assert_uint_eq(report.records, 1);
    ck_assert_uint_eq(region_id(region), id);
    ck_assert_str_eq(region_name(region), "main");
    drive_expect(region, address, "hello", 5);
    drive_close(region);
}
END_TEST

START_TEST(names_are_checked)
{
    static const char *const bad[] = {"",   ".",   "..",       ".new-x",   "a/b",
                                      "-a", "a b", "\xc3\xa4", "../../etc"};
    struct region *region;
    char longest[REGION_NAME_MAX + 2];
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_assert(!region_name_is_valid(bad[i], strlen(bad[i])));
        ck_assert_int_eq(store_create_region(store, bad[i], &options, &region, &err),
                         ERR_INVALID_ARGUMENT);
        ck_assert_int_eq(store_open_region(store, bad[i], NULL, &region, NULL, &err),
                         ERR_NO_SUCH_REGION);
        ck_assert_int_eq(store_drop_region(store, bad[i], &err), ERR_NO_SUCH_REGION);
    }
    memset(longest, 'x', sizeof longest);
    ck_assert(!region_name_is_valid(longest, REGION_NAME_MAX + 1));
    longest[REGION_NAME_MAX] = '\0';
    drive_close(create(longest));
    drive_close(create("A.b-c_9"));
}
END_TEST

START_TEST(one_at_a_time)
{
    struct store *second = NULL;
    ck_assert_int_eq(store_open(io, false, &second, &err), ERR_BUSY);
    ck_assert_int_eq(store_open(io, true, &second, &err), ERR_BUSY);
    ck_assert_ptr_null(second);
    store_close(store);
    ck_assert_int_eq(store_open(io, false, &store, &err), 0);
}
END_TEST

START_TEST(read_only_makes_nothing)
{
    struct store *none = NULL;
    struct region *region;
    unsigned count = 0;
    struct simdisk *empty = simdisk_new(2);
    ck_assert_int_eq(store_open(simdisk_io(empty), true, &none, &err), ERR_IO_ERROR);
    struct io *empty_io = simdisk_io(empty);
    ck_assert_int_eq(empty_io->ops->list(empty_io, ".", count_entries, &count), 0);
    ck_assert_uint_eq(count, 0);
    simdisk_free(empty);

    drive_close(create("main"));
    ck_assert_int_eq(region_create(io, "regions/.new-x", "x", 9, &options, &err), 0);
    store_close(store);
    uint64_t changes = simdisk_calls(disk, SIM_CHANGES | SIM_SYNCS);
    open_store(true);
    ck_assert_int_eq(store_open_region(store, "main", NULL, &region, NULL, &err), 0);
    region_close(region);
    ck_assert_int_eq(store_create_region(store, "x", &options, &region, &err), ERR_READ_ONLY);
    ck_assert_int_eq(store_drop_region(store, "main", &err), ERR_READ_ONLY);
    ck_assert_uint_eq(simdisk_calls(disk, SIM_CHANGES | SIM_SYNCS), changes);
}
END_TEST

/* What a crash leaves of a region that was being made or dropped. */
START_TEST(leftovers_are_removed)
{
    unsigned count = 0;
    ck_assert_int_eq(region_create(io, "regions/.new-x", "x", 9, &options, &err), 0);
    ck_assert_int_eq(region_create(io, "regions/.drop-y", "y", 9, &options, &err), 0);
    store_close(store);
    open_store(false);
    ck_assert_int_eq(io->ops->list(io, "regions", count_entries, &count), 0);
    ck_assert_uint_eq(count, 0);
}
END_TEST

/* Somebody put a folder into a region's, which is not ours to remove. */
START_TEST(what_cannot_be_removed_is_in_nobodys_way)
{
    drive_close(create("one"));
    ck_assert_int_eq(io->ops->make_directory(io, "regions/one/backup"), 0);
    ck_assert_int_eq(store_drop_region(store, "one", &err), ERR_IO_ERROR);
    ck_assert_ptr_nonnull(strstr(err.text, "is dropped, but its space is not free before"));
    store_close(store);
    open_store(false);
    for (int i = 0; i < 3; i++) {
        drive_close(create("one"));
        ck_assert_int_eq(io->ops->make_directory(io, "regions/one/backup"), 0);
        ck_assert_int_eq(store_drop_region(store, "one", &err), ERR_IO_ERROR);
        ck_assert_int_eq(store_drop_region(store, "one", &err), ERR_NO_SUCH_REGION);
    }
    drive_close(create("one"));
    ck_assert_int_eq(store_drop_region(store, "one", &err), 0);
    drive_close(create("two"));
}
END_TEST

/* Nobody can tell whether the disk has it: it is gone as far as anybody sees, its name is free, and
 * when it comes back it is whole. */
START_TEST(a_region_that_may_come_back)
{
    struct region *region;
    struct rng rng = {1};
    unsigned there = 0, count = 0;
    drive_close(create("one"));
    simdisk_set_fault(disk, (struct simdisk_fault){.ops = SIM_BIT(SIM_SYNC_DIRECTORY),
                                                   .pattern = "regions",
                                                   .nth = 1,
                                                   .error = EIO});
    ck_assert_int_eq(store_drop_region(store, "one", &err), ERR_IO_ERROR);
    ck_assert_ptr_nonnull(strstr(err.text, "gone until the next start, which may find it"));
    ck_assert_int_eq(store_drop_region(store, "one", &err), ERR_NO_SUCH_REGION);
    for (; count < 10; count++) {
        struct simdisk *crashed = simdisk_crash_random(disk, &rng);
        struct store *then;
        ck_assert_int_eq(store_open(simdisk_io(crashed), false, &then, &err), 0);
        int code = store_open_region(then, "one", NULL, &region, NULL, &err);
        ck_assert_msg(code == 0 || code == ERR_NO_SUCH_REGION, "%s", err.text);
        there += code == 0;
        if (code == 0)
            drive_close(region);
        store_close(then);
        simdisk_free(crashed);
    }
    ck_assert(there > 0 && there < count);
    drive_close(create("one"));
    ck_assert_int_eq(store_drop_region(store, "one", &err), 0);
}
END_TEST

START_TEST(a_full_disk_leaves_no_region)
{
    struct region *region;
    unsigned count = 0;
    simdisk_set_capacity(disk, simdisk_used(disk) + 5 * MIB);
    ck_assert_int_eq(store_create_region(store, "x", &options, &region, &err), ERR_NO_SPACE);
    ck_assert_int_eq(io->ops->list(io, "regions", count_entries, &count), 0);
    ck_assert_uint_eq(count, 0);
    simdisk_set_capacity(disk, 0);
    drive_close(create("x"));
}
END_TEST

START_TEST(a_copied_folder_is_refused)
{
    struct region *region;
    drive_close(create("main"));
    ck_assert_int_eq(io->ops->rename(io, "regions/main", "regions/copy"), 0);
    ck_assert_int_eq(store_open_region(store, "copy", NULL, &region, NULL, &err), ERR_CORRUPT);
    ck_assert_ptr_nonnull(strstr(err.text, "'main'"));
}
END_TEST

START_TEST(renaming_is_refused)
{
    static const struct {
        const char *from, *to;
        enum err_code code;
    } cases[] = {
        {"main", "other", ERR_EXISTS},          {"main", "main", ERR_EXISTS},
        {"none", "new", ERR_NO_SUCH_REGION},    {"main", "", ERR_INVALID_ARGUMENT},
        {"main", "../x", ERR_INVALID_ARGUMENT}, {"main", ".drop-x", ERR_INVALID_ARGUMENT},
    };
    bool is_renamed = true;
    drive_close(create("main"));
    drive_close(create("other"));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t changes = simdisk_calls(disk, SIM_CHANGES | SIM_SYNCS);
        ck_assert_int_eq(store_rename_region(store, cases[i].from, cases[i].to, &is_renamed, &err),
                         cases[i].code);
        ck_assert(!is_renamed);
        /* what may be left of an earlier renaming is removed where the region was found */
        ck_assert_uint_le(simdisk_calls(disk, SIM_CHANGES | SIM_SYNCS), changes + 1);
    }
    ck_assert_int_eq(store_set_options(store, "none", &options, &err), ERR_NO_SUCH_REGION);
    options.token_window = 0;
    ck_assert_int_eq(store_set_options(store, "main", &options, &err), ERR_INVALID_ARGUMENT);
    options = region_options_default();
    store_close(store);
    open_store(true);
    ck_assert_int_eq(store_rename_region(store, "main", "new", &is_renamed, &err), ERR_READ_ONLY);
    ck_assert_int_eq(store_set_options(store, "main", &options, &err), ERR_READ_ONLY);
}
END_TEST

/* A checkpoint is half written, something is staged, and a block is pinned for a worker that reads:
 * all of it goes on in the new folder, and what is said has the new name. */
START_TEST(an_open_region_is_renamed)
{
    uint8_t bytes[20000], byte;
    uint64_t ticket, damaged;
    struct region_pin pin;
    bool is_renamed;
    struct region *region = create("main");
    drive_pattern(bytes, sizeof bytes, 1);
    uint64_t address = drive_add(region, bytes, sizeof bytes);
    drive_settle(region);
    ck_assert_int_eq(region_request_checkpoint(region, &ticket, &err), 0);
    ck_assert(drive_step(region, LANE_BACKGROUND));
    ck_assert(region_is_checkpointing(region));
    uint64_t staged = drive_add(region, bytes, 100);
    region_pin(region, &pin, (struct extent){address, sizeof bytes});
    for (int i = 0; i < 3; i++) {
        static const char *const names[] = {"main", "a", "b", "c"};
        struct region_label *label = store_new_label(names[i + 1], &err);
        ck_assert_ptr_nonnull(label);
        ck_assert_int_eq(store_rename_region(store, names[i], names[i + 1], &is_renamed, &err), 0);
        region_rename(region, label);
        ck_assert_str_eq(region_name(region), names[i + 1]);
    }
    simdisk_set_fault(disk,
                      (struct simdisk_fault){.ops = SIM_BIT(SIM_READ), .nth = 1, .error = EIO});
    ck_assert_int_eq(region_read(region, address, &byte, 1, &damaged, &err), ERR_IO_ERROR);
    ck_assert_ptr_nonnull(strstr(err.text, "regions/c"));
    region_unpin(region, &pin);
    while (region_checkpoint_ticket(region) < ticket) {
        bool is_busy = drive_step(region, LANE_COMMIT);
        is_busy |= drive_step(region, LANE_BACKGROUND);
        ck_assert(is_busy);
    }
    drive_settle(region);
    ck_assert_ptr_null(region_failure(region));
    drive_close(region);
    ck_assert_int_eq(store_open_region(store, "c", NULL, &region, NULL, &err), 0);
    drive_expect(region, address, bytes, sizeof bytes);
    drive_expect(region, staged, bytes, 100);
    drive_close(region);
}
END_TEST

/* The third step fails: the region is called so all the same, and whoever comes next, be it one
 * who only reads, finds it so. */
START_TEST(a_renaming_that_is_cut_short_is_made_up_for)
{
    bool is_renamed = false;
    struct region *region;
    drive_close(create("main"));
    simdisk_set_fault(disk, (struct simdisk_fault){.ops = SIM_BIT(SIM_RENAME),
                                                   .pattern = "*/meta-renamed",
                                                   .nth = 1,
                                                   .error = EIO,
                                                   .forever = true});
    ck_assert_int_eq(store_rename_region(store, "main", "new", &is_renamed, &err), 0);
    ck_assert(is_renamed && simdisk_faults_hit(disk) > 0);
    ck_assert_int_eq(store_open_region(store, "new", NULL, &region, NULL, &err), ERR_IO_ERROR);
    ck_assert_int_eq(store_set_options(store, "new", &options, &err), ERR_IO_ERROR);
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    store_close(store);
    open_store(true);
    ck_assert_int_eq(store_open_region(store, "new", NULL, &region, NULL, &err), 0);
    struct region_info info;
    region_get_info(region, &info);
    ck_assert_str_eq(info.name, "new");
    ck_assert_str_eq(region_name(region), "new");
    region_close(region);
    store_close(store);
    open_store(false);
    options.max_size = 5 * GIB;
    ck_assert_int_eq(store_set_options(store, "new", &options, &err), 0);
    ck_assert_int_eq(store_open_region(store, "new", NULL, &region, NULL, &err), 0);
    region_get_info(region, &info);
    ck_assert_str_eq(info.name, "new");
    ck_assert_uint_eq(info.options.max_size, 5 * GIB);
    drive_close(region);
}
END_TEST

/* Only the last sync leaves it open whether they last, and the error says so. */
START_TEST(options_that_may_last_or_not)
{
    static const struct {
        unsigned op;
        const char *pattern;
        bool is_in_doubt;
    } cases[] = {{SIM_SYNC, "*/meta.new", false},
                 {SIM_RENAME, "*/meta.new", false},
                 {SIM_SYNC_DIRECTORY, "regions/main", true}};
    drive_close(create("main"));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        options.max_size = (i + 1) * GIB;
        simdisk_set_fault(disk, (struct simdisk_fault){.ops = SIM_BIT(cases[i].op),
                                                       .pattern = cases[i].pattern,
                                                       .nth = 1,
                                                       .error = EIO});
        ck_assert_int_eq(store_set_options(store, "main", &options, &err), ERR_IO_ERROR);
        ck_assert_uint_gt(simdisk_faults_hit(disk), 0);
        ck_assert_int_eq(strstr(err.text, "until the next start, which may find") != NULL,
                         cases[i].is_in_doubt);
    }
}
END_TEST

/* The disk may have either name: what tells which is left alone until the next start. */
static void expect_doubt(const char *name)
{
    bool is_renamed;
    ck_assert_int_eq(store_rename_region(store, name, "another", &is_renamed, &err), ERR_READ_ONLY);
    ck_assert_int_eq(store_set_options(store, name, &options, &err), ERR_READ_ONLY);
}

static void fail_syncs(bool forever)
{
    simdisk_set_fault(disk, (struct simdisk_fault){.ops = SIM_BIT(SIM_SYNC_DIRECTORY),
                                                   .pattern = "regions",
                                                   .nth = 1,
                                                   .error = EIO,
                                                   .forever = forever});
}

/* Whatever the power leaves. */
static void expect_name(const char *name)
{
    struct rng rng = {1};
    for (int i = 0; i < 5; i++) {
        char names[NAMES_SIZE] = "", expected[NAMES_SIZE];
        struct simdisk *crashed =
            i == 0 ? simdisk_crash_none(disk) : simdisk_crash_random(disk, &rng);
        struct store *then;
        snprintf(expected, sizeof expected, "%s ", name);
        ck_assert_int_eq(store_open(simdisk_io(crashed), false, &then, &err), 0);
        ck_assert_int_eq(store_list(then, join, names, &err), 0);
        ck_assert_str_eq(names, expected);
        store_close(then);
        simdisk_free(crashed);
    }
}

/* It goes back to where it was, unless that fails, too: either way the answer is where it is. */
START_TEST(a_name_that_may_not_last_is_not_used)
{
    bool is_renamed = true;
    struct region *region;
    drive_close(create("main"));
    fail_syncs(false);
    ck_assert_int_eq(store_rename_region(store, "main", "new", &is_renamed, &err), ERR_IO_ERROR);
    ck_assert(!is_renamed);
    ck_assert_str_eq(err.text, "cannot sync regions: Input/output error"); /* and that is all */
    expect_name("main");
    ck_assert_int_eq(store_rename_region(store, "main", "main2", &is_renamed, &err), 0);
    ck_assert_int_eq(store_rename_region(store, "main2", "main", &is_renamed, &err), 0);
    fail_syncs(true);
    ck_assert_int_eq(store_rename_region(store, "main", "new", &is_renamed, &err), ERR_IO_ERROR);
    ck_assert(!is_renamed);
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    ck_assert_ptr_nonnull(strstr(err.text, "called main until"));
    ck_assert_int_eq(store_open_region(store, "main", NULL, &region, NULL, &err), 0);
    region_close(region);
    expect_doubt("main");
    store_close(store);
    open_store(false);
    simdisk_set_fault(
        disk, (struct simdisk_fault){.ops = SIM_BIT(SIM_SYNC_DIRECTORY) | SIM_BIT(SIM_RENAME),
                                     .pattern = "regions*",
                                     .nth = 4,
                                     .error = EIO,
                                     .forever = true});
    ck_assert_int_eq(store_rename_region(store, "main", "new", &is_renamed, &err), ERR_IO_ERROR);
    ck_assert(is_renamed);
    ck_assert_ptr_nonnull(strstr(err.text, "called new until"));
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    expect_doubt("new");
    ck_assert_int_eq(store_open_region(store, "new", NULL, &region, NULL, &err), 0);
    region_close(region);
}
END_TEST

static unsigned regions_seen(struct simdisk *crashed)
{
    char names[NAMES_SIZE] = "";
    struct store *then;
    struct region *region;
    ck_assert_int_eq(store_open(simdisk_io(crashed), false, &then, &err), 0);
    ck_assert_int_eq(store_list(then, join, names, &err), 0);
    const char *name = strstr(names, "main") != NULL ? "main" : "new";
    int code = store_open_region(then, name, NULL, &region, NULL, &err);
    ck_assert_msg(code == 0, "there is %s: %s", names, err.text);
    uint64_t id = region_id(region);
    region_close(region);
    store_close(then);
    return (unsigned)id;
}

static void note_first(void *context, struct simdisk *now, enum simdisk_op op, const char *path)
{
    struct rng *rng = context;
    if (op != SIM_SYNC_DIRECTORY || strcmp(path, "regions") != 0)
        return;
    for (int i = 0; i < 100; i++) {
        struct simdisk *crashed = simdisk_crash_random(now, rng);
        ck_assert_uint_eq(regions_seen(crashed), 1);
        simdisk_free(crashed);
    }
}

/* The disk may have the first one there. */
START_TEST(another_region_where_one_may_be)
{
    struct rng rng = {1};
    bool is_renamed;
    drive_close(create("main"));
    fail_syncs(true);
    ck_assert_int_eq(store_rename_region(store, "main", "new", &is_renamed, &err), ERR_IO_ERROR);
    ck_assert(!is_renamed);
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    simdisk_set_hook(disk, note_first, &rng);
    drive_close(create("new"));
    simdisk_set_hook(disk, NULL, NULL);
}
END_TEST

/* What is left of a renaming that came to nothing belongs to the region it was for. */
START_TEST(another_regions_renaming_means_nothing)
{
    bool is_renamed;
    struct region *region;
    drive_close(create("main"));
    drive_close(create("other"));
    simdisk_set_fault(
        disk, (struct simdisk_fault){
                  .ops = SIM_BIT(SIM_RENAME), .pattern = "*/meta-renamed", .nth = 1, .error = EIO});
    ck_assert_int_eq(store_rename_region(store, "main", "new", &is_renamed, &err), 0);
    ck_assert_int_eq(io->ops->rename(io, "regions/new/meta-renamed", "regions/other/meta-renamed"),
                     0);
    ck_assert_int_eq(io->ops->rename(io, "regions/new", "regions/away"), 0);
    ck_assert_int_eq(io->ops->rename(io, "regions/other", "regions/new"), 0);
    ck_assert_int_eq(store_open_region(store, "new", NULL, &region, NULL, &err), ERR_CORRUPT);
    ck_assert_ptr_nonnull(strstr(err.text, "'other'"));
    ck_assert_int_eq(store_open_region(store, "away", NULL, &region, NULL, &err), ERR_CORRUPT);
    ck_assert_ptr_nonnull(strstr(err.text, "'main'"));
}
END_TEST

static void overwrite(uint64_t offset, uint8_t byte)
{
    struct io_file *file;
    struct iovec vector = {&byte, 1};
    ck_assert_int_eq(io->ops->open(io, "store", 0, &file), 0);
    ck_assert_int_eq(io->ops->write(io, file, &vector, 1, offset), 0);
    io->ops->close(io, file);
}

START_TEST(a_damaged_store_is_refused)
{
    static const struct {
        uint64_t offset;
        enum err_code code;
        const char *word;
    } damages[] = {{0, ERR_CORRUPT, "data directory"},
                   {8, ERR_INVALID_ARGUMENT, "newer"},
                   {20, ERR_CORRUPT, "checksum"}};
    drive_close(create("main"));
    store_close(store);
    store = NULL;
    overwrite(damages[_i].offset, 0x7f);
    uint64_t changes = simdisk_calls(disk, SIM_CHANGES);
    ck_assert_int_eq(store_open(io, false, &store, &err), (int)damages[_i].code);
    ck_assert_msg(strstr(err.text, damages[_i].word) != NULL, "%s", err.text);
    ck_assert_uint_eq(simdisk_calls(disk, SIM_CHANGES), changes);
}
END_TEST

/* With any other length it is not what was written, whatever its bytes. */
START_TEST(a_store_file_of_another_length_is_refused)
{
    static const uint64_t lengths[] = {1000, 30, 7, 0};
    struct io_file *file;
    store_close(store);
    store = NULL;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        ck_assert_int_eq(io->ops->open(io, "store", 0, &file), 0);
        ck_assert_int_eq(io->ops->truncate(io, file, lengths[i]), 0);
        io->ops->close(io, file);
        ck_assert_int_eq(store_open(io, false, &store, &err), ERR_CORRUPT);
        ck_assert_ptr_null(store);
    }
}
END_TEST

START_TEST(an_older_store_that_never_was_is_refused)
{
    store_close(store);
    store = NULL;
    overwrite(8, 0);
    ck_assert_int_eq(store_open(io, false, &store, &err), ERR_CORRUPT);
}
END_TEST

/* Another process may just be making it. */
START_TEST(a_store_that_is_not_made_yet_is_not_read)
{
    store_close(store);
    store = NULL;
    ck_assert_int_eq(io->ops->remove(io, "store"), 0);
    uint64_t changes = simdisk_calls(disk, SIM_CHANGES);
    ck_assert_int_eq(store_open(io, true, &store, &err), ERR_IO_ERROR);
    ck_assert_msg(strstr(err.text, "no file 'store'") != NULL, "%s", err.text);
    ck_assert_uint_eq(simdisk_calls(disk, SIM_CHANGES), changes);
}
END_TEST

START_TEST(a_lock_that_cannot_be_had_is_told)
{
    static const char *const words[] = {"cannot create lock", "cannot open lock"};
    store_close(store);
    store = NULL;
    for (int read_only = 0; read_only < 2; read_only++) {
        simdisk_set_fault(
            disk, (struct simdisk_fault){.ops = SIM_BIT(SIM_OPEN), .nth = 1, .error = EACCES});
        ck_assert_int_eq(store_open(io, read_only == 1, &store, &err), ERR_IO_ERROR);
        ck_assert_msg(strstr(err.text, words[read_only]) != NULL, "%s", err.text);
    }
    simdisk_set_fault(disk,
                      (struct simdisk_fault){.ops = SIM_BIT(SIM_LOCK), .nth = 1, .error = ENOLCK});
    ck_assert_int_eq(store_open(io, false, &store, &err), ERR_IO_ERROR);
    ck_assert_msg(strstr(err.text, "cannot lock lock") != NULL, "%s", err.text);
}
END_TEST

/* Files, and folders with names that no region can have, are not ours. */
START_TEST(strangers_among_the_regions_are_left_alone)
{
    char names[NAMES_SIZE] = "", path[300] = "regions/";
    struct io_file *file;
    unsigned count = 0;
    drive_close(create("main"));
    ck_assert_int_eq(io->ops->open(io, "regions/file", IO_CREATE, &file), 0);
    io->ops->close(io, file);
    ck_assert_int_eq(io->ops->make_directory(io, "regions/.hidden"), 0);
    memset(path + 8, 'x', REGION_NAME_MAX + 1);
    ck_assert_int_eq(io->ops->make_directory(io, path), 0);
    store_close(store);
    open_store(false);
    ck_assert_int_eq(store_list(store, join, names, &err), 0);
    ck_assert_str_eq(names, "main ");
    ck_assert_int_eq(io->ops->list(io, "regions", count_entries, &count), 0);
    ck_assert_uint_eq(count, 4);
}
END_TEST

/* The names that a dropped region can have until it is removed have an end. */
START_TEST(too_many_that_cannot_be_removed)
{
    int code = 0, dropped = 0;
    for (; dropped < 200; dropped++) {
        drive_close(create("one"));
        ck_assert_int_eq(io->ops->make_directory(io, "regions/one/backup"), 0);
        code = store_drop_region(store, "one", &err);
        ck_assert_int_eq(code, ERR_IO_ERROR);
        if (strstr(err.text, "cannot rename") != NULL)
            break;
    }
    ck_assert_msg(dropped > 1 && dropped < 200, "%d", dropped);
    /* It is there still, and whole; and all those are in nobody's way. */
    struct region *region;
    store_close(store);
    open_store(false);
    ck_assert_int_eq(store_open_region(store, "one", NULL, &region, NULL, &err), 0);
    drive_close(region);
}
END_TEST

START_TEST(looking_at_a_region_that_is_not_there)
{
    struct migrate_plan plan = {.from = 77};
    ck_assert_int_eq(store_look_region(store, "none", &plan, &err), ERR_NO_SUCH_REGION);
    ck_assert_uint_eq(plan.from, 77);
    drive_close(create("main"));
    ck_assert_int_eq(store_look_region(store, "main", &plan, &err), 0);
    ck_assert_uint_eq(plan.from, 2);
}
END_TEST

/* Without it nobody knows which ids are used up. */
START_TEST(a_missing_store_file_is_refused)
{
    drive_close(create("main"));
    store_close(store);
    store = NULL;
    ck_assert_int_eq(io->ops->remove(io, "store"), 0);
    ck_assert_int_eq(store_open(io, false, &store, &err), ERR_CORRUPT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store");
    TCase *tests = tcase_create("store");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, regions_are_made_listed_and_dropped);
    tcase_add_test(tests, a_visit_can_stop_the_list);
    tcase_add_test(tests, ids_are_never_used_twice);
    tcase_add_loop_test(tests, ids_are_not_used_twice_with_an_older_store, 0, 2);
    tcase_add_test(tests, no_region_has_an_id_that_may_be_used_again);
    tcase_add_test(tests, a_region_keeps_what_it_has);
    tcase_add_test(tests, names_are_checked);
    tcase_add_test(tests, one_at_a_time);
    tcase_add_test(tests, read_only_makes_nothing);
    tcase_add_test(tests, leftovers_are_removed);
    tcase_add_test(tests, what_cannot_be_removed_is_in_nobodys_way);
    tcase_add_test(tests, a_region_that_may_come_back);
    tcase_add_test(tests, another_region_where_one_may_be);
    tcase_add_test(tests, a_full_disk_leaves_no_region);
    tcase_add_test(tests, a_copied_folder_is_refused);
    tcase_add_test(tests, renaming_is_refused);
    tcase_add_test(tests, an_open_region_is_renamed);
    tcase_add_test(tests, options_that_may_last_or_not);
    tcase_add_test(tests, a_renaming_that_is_cut_short_is_made_up_for);
    tcase_add_test(tests, a_name_that_may_not_last_is_not_used);
    tcase_add_test(tests, another_regions_renaming_means_nothing);
    tcase_add_loop_test(tests, a_damaged_store_is_refused, 0, 3);
    tcase_add_test(tests, a_store_file_of_another_length_is_refused);
    tcase_add_test(tests, an_older_store_that_never_was_is_refused);
    tcase_add_test(tests, a_store_that_is_not_made_yet_is_not_read);
    tcase_add_test(tests, a_lock_that_cannot_be_had_is_told);
    tcase_add_test(tests, strangers_among_the_regions_are_left_alone);
    tcase_add_test(tests, too_many_that_cannot_be_removed);
    tcase_add_test(tests, making_a_store_fails);
    tcase_add_test(tests, without_random_bytes);
    tcase_add_test(tests, something_is_in_the_way);
    tcase_add_test(tests, opening_a_store_fails);
    tcase_add_test(tests, a_region_is_made_beside_a_damaged_one);
    tcase_add_test(tests, a_lock_that_cannot_be_opened);
    tcase_add_test(tests, looking_at_a_region_that_is_not_there);
    tcase_add_test(tests, a_missing_store_file_is_refused);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
