/* Disks that lie about the files that say what there is: store, and meta of each region. Writes
 * that are lost, lose a sector or are zeros while regions are made, opened with other options and
 * dropped; and on what is left, flipped bits, older files, and files in each other's place. What is
 * not as it was written is refused, the file named, by a check as by a start; what opens has its
 * own bytes and its own id. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../core/support_region.h"
#include "../core/support_simdisk.h"
#include "core/limits.h"
#include "core/store.h"
#include "tests/support_figures.h"
#include "tests/support_main.h"

#define NAMES 2
#define BLOB 5000

static const char *const names[NAMES] = {"alpha", "beta"};
static struct {
    bool is_there;
    uint64_t id, address;
    uint8_t blob[BLOB];
} regions[NAMES];
static struct simdisk *disk;
static struct err err;
static struct faults_figures figures;

static void print_figures(const char *what)
{
    printf("silent: %s: %llu runs, %llu lies told, %llu detected\n", what,
           (unsigned long long)figures.runs, (unsigned long long)figures.lies,
           (unsigned long long)figures.detected);
    faults_add_figures("silent_store", &figures);
}

/* ---- Work ---- */

static struct region_options some_options(uint64_t flush_interval_ms)
{
    struct region_options options = region_options_default();
    options.journal_size = JOURNAL_SIZE_MIN;
    options.flush_interval_ms = flush_interval_ms;
    return options;
}

static uint64_t id_of(const struct region *region)
{
    struct region_info info;
    region_get_info(region, &info);
    return info.id;
}

/* What was written under a lie is read at once, and refused by name. */
static void make(struct store *store, size_t i)
{
    struct region *region;
    struct region_options options = some_options(100);
    regions[i].is_there = store_create_region(store, names[i], &options, &region, &err) == 0;
    if (!regions[i].is_there) {
        ck_assert_msg(strstr(err.text, "meta") != NULL, "not named: %s", err.text);
        return;
    }
    drive_pattern(regions[i].blob, BLOB, 7 * i + id_of(region));
    regions[i].id = id_of(region);
    regions[i].address = drive_add(region, regions[i].blob, BLOB);
    drive_close(region);
}

static void give_options(struct store *store, size_t i, uint64_t flush_interval_ms)
{
    struct region *region;
    struct region_options options = some_options(flush_interval_ms);
    if (!regions[i].is_there)
        return;
    int code = store_open_region(store, names[i], &options, &region, NULL, &err);
    ck_assert_msg(code == 0, "%s", err.text);
    region_close(region);
}

static void drop(struct store *store, size_t i)
{
    if (regions[i].is_there)
        ck_assert_int_eq(store_drop_region(store, names[i], &err), 0);
    regions[i].is_there = false;
}

/* The first of the names is made twice: what is left of the first time is of another region. */
static void work(void)
{
    struct store *store;
    ck_assert_int_eq(store_open(simdisk_io(disk), false, &store, &err), 0);
    make(store, 0);
    make(store, 1);
    give_options(store, 1, 200);
    if (regions[0].is_there) {
        drop(store, 0);
        make(store, 0);
    }
    store_close(store);
}

/* ---- What is shown ---- */

/* Whether the region is well; if not, it was refused by name. */
static bool is_well(struct store *store, size_t i, bool read_only)
{
    struct region *region;
    if (store_open_region(store, names[i], NULL, &region, NULL, &err) != 0) {
        ck_assert_msg(strstr(err.text, names[i]) != NULL, "no region is named: %s", err.text);
        ck_assert_msg(strstr(err.text, "meta") != NULL || strstr(err.text, "sums") != NULL ||
                          strstr(err.text, "holds the region") != NULL,
                      "no file is named: %s", err.text);
        return false;
    }
    ck_assert_uint_eq(id_of(region), regions[i].id);
    drive_expect(region, regions[i].address, regions[i].blob, BLOB);
    if (read_only)
        region_close(region);
    else
        drive_close(region);
    return true;
}

/* A region that is made now is none that is there already. */
static void expect_fresh_id(struct store *store)
{
    struct region *region;
    struct region_options options = some_options(100);
    int code = store_create_region(store, "gamma", &options, &region, &err);
    ck_assert_msg(code == 0, "%s", err.text);
    for (size_t i = 0; i < NAMES; i++)
        ck_assert(!regions[i].is_there || id_of(region) != regions[i].id);
    drive_close(region);
}

/* Opens all there is: how many of the store and its regions were refused. */
static unsigned look(bool read_only)
{
    struct store *store;
    unsigned refused = 0;
    if (store_open(simdisk_io(disk), read_only, &store, &err) != 0) {
        ck_assert_msg(strstr(err.text, "store") != NULL, "not named: %s", err.text);
        return 1;
    }
    for (size_t i = 0; i < NAMES; i++)
        refused += regions[i].is_there && !is_well(store, i, read_only);
    if (!read_only && refused == 0)
        expect_fresh_id(store);
    store_close(store);
    return refused;
}

/* The check and the start, which must agree. */
static bool is_detected(void)
{
    unsigned checked = look(true);
    ck_assert_uint_eq(look(false), checked);
    ck_assert_uint_eq(simdisk_open_files(disk), 0);
    ck_assert_uint_eq(simdisk_breaches(disk), 0);
    figures.detected += checked > 0;
    return checked > 0;
}

/* ---- Writes ---- */

static const char *const patterns[] = {"store.new", "regions/*/meta.new"};
static const enum simdisk_lie lies[] = {LIE_LOST, LIE_LOST_SECTOR, LIE_ZEROS};

static bool run_lie(enum simdisk_lie lie, const char *pattern, uint64_t nth)
{
    uint64_t there = 0;
    disk = simdisk_new(nth);
    simdisk_set_lie(disk, lie, pattern, nth);
    work();
    bool has_lied = simdisk_has_lied(disk);
    simdisk_set_lie(disk, LIE_NONE, NULL, 0);
    for (size_t i = 0; i < NAMES; i++)
        there += regions[i].is_there;
    bool was_refused = there < NAMES, is_named = is_detected();
    ck_assert(has_lied || (!was_refused && !is_named));
    figures.detected += was_refused && !is_named;
    figures.lies += has_lied;
    figures.runs++;
    simdisk_free(disk);
    return has_lied;
}

START_TEST(test_writes)
{
    uint64_t nth = 1;
    while (run_lie(lies[_i / 2], patterns[_i % 2], nth))
        nth++;
    ck_assert_uint_gt(nth, 3);
    ck_assert_uint_gt(figures.detected, 0);
    print_figures(patterns[_i % 2]);
}
END_TEST

/* ---- What is left ---- */

struct bytes {
    uint8_t bytes[256];
    size_t size;
};

static struct bytes get(const char *path)
{
    struct bytes bytes;
    struct node *file = simtree_find(simdisk_tree(disk), path);
    bytes.size = (size_t)image_length(file->cached);
    ck_assert_uint_le(bytes.size, sizeof bytes.bytes);
    image_read(file->cached, 0, bytes.bytes, bytes.size);
    return bytes;
}

static void put(const char *path, const struct bytes *bytes)
{
    struct node *file = simtree_find(simdisk_tree(disk), path);
    simtree_set_length(simdisk_tree(disk), file, bytes->size);
    simtree_write(simdisk_tree(disk), file, 0, bytes->bytes, bytes->size);
    simtree_sync(simdisk_tree(disk), file);
}

/* Whether it is detected, with these bytes for that file, on a disk that is well otherwise. */
static bool is_noticed(const char *path, const struct bytes *bytes)
{
    struct simdisk *whole = disk;
    disk = simdisk_crash_none(whole);
    put(path, bytes);
    bool is_named = is_detected();
    simdisk_free(disk);
    disk = whole;
    figures.runs++;
    figures.lies++;
    return is_named;
}

static const char *const files[] = {"store", "regions/alpha/meta", "regions/beta/meta"};

START_TEST(test_flipped_bits)
{
    disk = simdisk_new(1);
    work();
    struct bytes bytes = get(files[_i]);
    for (size_t bit = 0; bit < 8 * bytes.size; bit++) {
        bytes.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert_msg(is_noticed(files[_i], &bytes), "%s: bit %zu", files[_i], bit);
        bytes.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t size = 0; size < bytes.size; size++) {
        struct bytes part = bytes;
        part.size = size;
        ck_assert_msg(is_noticed(files[_i], &part), "%s: %zu bytes", files[_i], size);
    }
    ck_assert(!is_noticed(files[_i], &bytes));
    figures.lies--;
    simdisk_free(disk);
    print_figures("flipped bits and cut files");
}
END_TEST

/* Each of the files in the place of each other. */
START_TEST(test_misdirected)
{
    enum { FILES = sizeof files / sizeof files[0] };
    disk = simdisk_new(1);
    work();
    for (size_t from = 0; from < FILES; from++)
        for (size_t to = 0; to < FILES; to++) {
            struct bytes bytes = get(files[from]);
            if (from != to)
                ck_assert_msg(is_noticed(files[to], &bytes), "%s is %s", files[to], files[from]);
        }
    simdisk_free(disk);
    print_figures("files in each other's place");
}
END_TEST

/* What was there before. Of the same region or store that is as good, but for options that are the
 * older ones; and no id is given twice. */
START_TEST(test_older_files)
{
    struct store *store;
    disk = simdisk_new(1);
    ck_assert_int_eq(store_open(simdisk_io(disk), false, &store, &err), 0);
    make(store, 0);
    struct bytes old_store = get("store"), other_alpha = get("regions/alpha/meta");
    make(store, 1);
    struct bytes old_beta = get("regions/beta/meta");
    give_options(store, 1, 200);
    drop(store, 0);
    make(store, 0);
    store_close(store);
    ck_assert(!is_noticed("store", &old_store));
    ck_assert(!is_noticed("regions/beta/meta", &old_beta));
    ck_assert(is_noticed("regions/alpha/meta", &other_alpha));
    ck_assert_msg(strstr(err.text, "regions/alpha/") != NULL, "%s", err.text);
    simdisk_free(disk);
    print_figures("older files");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("silent faults of the store");
    TCase *tcase = tcase_create("silent faults of the store");
    tcase_add_loop_test(tcase, test_writes, 0, 6);
    tcase_add_loop_test(tcase, test_flipped_bits, 0, 3);
    tcase_add_test(tcase, test_misdirected);
    tcase_add_test(tcase, test_older_files);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
