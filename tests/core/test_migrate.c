/* Folders of format 1 become folders of format 2, or are refused and stay what they are. Power cuts
 * are in tests/crash/test_migration.c. */
#include "core/migrate.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/checkpoint.h"
#include "core/crc32c.h"
#include "core/format1.h"
#include "core/journal.h"
#include "core/limits.h"
#include "core/maxtree_node.h"
#include "core/store.h"
#include "core/sums.h"
#include "support_golden.h"
#include "support_region.h"
#include "tests/support_main.h"

#define MAIN "regions/main/"

static struct err err;

static const uint8_t page_of_zeros[DISK_BLOCK];

static void need(int result)
{
    ck_assert_msg(result == 0, "%d: %s", result, err.text);
}

static struct store *open_store(struct simdisk *disk, bool read_only)
{
    struct store *store;
    need(store_open(simdisk_io(disk), read_only, &store, &err));
    return store;
}

static struct region *open_region(struct store *store, const char *name)
{
    struct region *region;
    need(store_open_region(store, name, NULL, &region, NULL, &err));
    return region;
}

/* Opens a region, which must be refused with this code and all of these words, and without a change
 * to any file. */
static void refused(struct simdisk *disk, const char *name, int expected, const char *words[],
                    const struct store_migration *migration)
{
    struct region *region;
    uint32_t before = golden_fingerprint(disk);
    struct store *store = open_store(disk, false);
    if (migration != NULL)
        store_set_migration(store, migration);
    int code = store_open_region(store, name, NULL, &region, NULL, &err);
    ck_assert_msg(code == expected, "%d: %s", code, code != 0 ? err.text : "it was opened");
    for (size_t i = 0; words[i] != NULL; i++)
        ck_assert_msg(strstr(err.text, words[i]) != NULL, "no '%s' in: %s", words[i], err.text);
    store_close(store);
    ck_assert_uint_eq(golden_fingerprint(disk), before);
    ck_assert_uint_eq(simdisk_open_files(disk), 0);
}

/* ---- The seed ---- */

/* A region of 1000 bytes, three of its blocks freed: (100, 35), (200, 50), (300, 70). After the
 * migration all figures are what they were, and the holes are taken. */
START_TEST(the_seed)
{
    static const struct extent holes[] = {{100, 35}, {200, 50}, {300, 70}};
    struct extent blocks[4];
    struct region_info info;
    size_t count = 0;
    struct simdisk *disk = golden_disk_of(GOLDEN_SEED);
    golden_vary(disk, GOLDEN_SEED, (enum golden_variant)_i);
    struct store *store = open_store(disk, false);
    struct region *region = open_region(store, "seed");
    region_get_info(region, &info);
    ck_assert_uint_eq(info.format, 2);
    ck_assert_uint_eq(info.migrated_from, 1);
    ck_assert_uint_eq(info.size, 1000);
    ck_assert_uint_eq(info.capacity, 65536);
    ck_assert_uint_eq(info.pages, 1);
    ck_assert_uint_eq(info.allocated, 845);
    ck_assert_uint_eq(info.deallocated, 155);
    ck_assert_uint_eq(info.free_blocks, 3);
    need(region_free_blocks(region, 0, 1000, blocks, 4, &count, &err));
    ck_assert_uint_eq(count, 3);
    ck_assert_mem_eq(blocks, holes, sizeof holes);

    ck_assert_uint_eq(drive_allocate(region, 35), 100);
    ck_assert_uint_eq(drive_allocate(region, 50), 200);
    ck_assert_uint_eq(drive_allocate(region, 70), 300);
    ck_assert_uint_eq(drive_allocate(region, 1), 1000);
    drive_settle(region);
    region_get_info(region, &info);
    ck_assert_uint_eq(info.size, 1001);
    ck_assert_uint_eq(info.allocated, 1001);
    ck_assert_uint_eq(info.deallocated, 0);
    ck_assert_uint_eq(info.free_blocks, 0);
    drive_close(region);
    store_close(store);

    /* And so it is when it is opened again, now as format 2. */
    store = open_store(disk, false);
    region = open_region(store, "seed");
    region_get_info(region, &info);
    ck_assert_uint_eq(info.migrated_from, 0);
    ck_assert_uint_eq(info.size, 1001);
    ck_assert_uint_eq(info.free_blocks, 0);
    region_close(region);
    store_close(store);
    simdisk_free(disk);
}
END_TEST

/* ---- The journal ---- */

static void expect_no_pending_journal(void *context, struct simdisk *disk, enum simdisk_op op,
                                      const char *path)
{
    unsigned *writes = context;
    const struct pending *const *pending = simdisk_pending_list(disk);
    if (op != SIM_WRITE || strcmp(path, MAIN "data") != 0)
        return;
    for (size_t i = 0; i < simdisk_pending(disk); i++)
        ck_assert(pending[i]->kind == PENDING_NAMES ||
                  strncmp(pending[i]->node->name, "journal-", 8) != 0);
    ++*writes;
}

/* Who wrote the last record was killed before the sync: it is in a cache only, and made durable
 * before what it puts goes over anything. */
START_TEST(a_record_that_is_only_cached)
{
    struct simdisk *disk = golden_disk_of(GOLDEN_MAIN);
    struct io *io = simdisk_io(disk);
    struct io_file *file;
    struct record record;
    uint8_t block[DISK_BLOCK];
    uint64_t at = 0;
    unsigned writes = 0;
    record_init(&record);
    ck_assert_int_eq(record_reserve(&record, RECORD_EXTENT_EFFECT + 1), 0);
    memset(record.bytes + record_add_put(&record, (struct extent){0, 1}), 7, 1);
    golden_append(disk, &record);
    record_release(&record);
    /* Its block once more, without a sync. */
    need(io->ops->open(io, MAIN "journal-0000000000000002", 0, &file));
    for (uint64_t offset = DISK_BLOCK; offset < 4 * MIB; offset += DISK_BLOCK) {
        ck_assert_int_eq(io->ops->read(io, file, block, sizeof block, offset), sizeof block);
        if (memcmp(block, "MGRC", 4) == 0)
            at = offset;
    }
    ck_assert_uint_gt(at, 0);
    ck_assert_int_eq(io->ops->read(io, file, block, sizeof block, at), sizeof block);
    golden_write(disk, MAIN "journal-0000000000000002", at, "", 1);
    struct iovec vector = {block, sizeof block};
    need(io->ops->write(io, file, &vector, 1, at));
    io->ops->close(io, file);
    ck_assert_uint_gt(simdisk_pending(disk), 0);
    struct store *store = open_store(disk, false);
    simdisk_set_hook(disk, expect_no_pending_journal, &writes);
    struct region *region = open_region(store, "main");
    simdisk_set_hook(disk, NULL, NULL);
    ck_assert_uint_gt(writes, 0);
    region_close(region);
    store_close(store);
    simdisk_free(disk);
}
END_TEST

/* What was freed may have been taken since by a large blob, whose bytes are not in the journal:
 * what an older record put there is not put again. */
START_TEST(freed_space_is_not_put_again)
{
    static const struct extent block = {503808, 2 * DATA_PAGE};
    uint8_t put[2 * DATA_PAGE], direct[2 * DATA_PAGE];
    struct record record;
    struct simdisk *disk = golden_disk_of(GOLDEN_MAIN);
    memset(put, 'p', sizeof put);
    drive_pattern(direct, sizeof direct, 1);
    record_init(&record);
    for (int i = 0; i < 3; i++) {
        record_reset(&record);
        need(record_reserve(&record, 2 * RECORD_EXTENT_EFFECT + sizeof put));
        if (i == 1) {
            record_add_free(&record, block);
        } else {
            record_add_use(&record, block);
            size_t at = i == 0 ? record_add_put(&record, block) : 0;
            if (i == 0)
                memcpy(record.bytes + at, put, sizeof put);
        }
        golden_append(disk, &record);
    }
    record_release(&record);
    golden_write(disk, MAIN "data", block.address, direct, sizeof direct);
    struct store *store = open_store(disk, false);
    struct region *region = open_region(store, "main");
    drive_expect(region, block.address, direct, sizeof direct);
    drive_close(region);
    store_close(store);
    simdisk_free(disk);
}
END_TEST

/* ---- What is left ---- */

static int count_file(void *context, const char *name, bool is_directory)
{
    (void)is_directory;
    static const char *const known[] = {"meta", "data", "sums", "checkpoint-a", "checkpoint-b"};
    size_t *counts = context;
    bool is_known = strncmp(name, "journal-", 8) == 0;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        is_known = is_known || strcmp(name, known[i]) == 0;
    ck_assert_msg(is_known, "%s is left", name);
    ++*counts;
    return 0;
}

/* Every page in use has a checksum, and nothing of the old format is left. */
START_TEST(pages_are_summed)
{
    struct meta meta;
    uint32_t version;
    uint8_t page[DATA_PAGE];
    struct simdisk *disk = golden_disk_of(GOLDEN_MAIN);
    struct io *io = simdisk_io(disk);
    struct store *store = open_store(disk, false);
    struct region *region = open_region(store, "main");
    need(migrate_read_meta(io, "regions/main", &meta, &version, &err));
    ck_assert_uint_eq(version, 2);
    size_t summed = 0, files = 0;
    for (uint64_t at = 0; at < region_size(region); at += DATA_PAGE) {
        uint8_t sum[4];
        struct extent block;
        size_t count;
        uint64_t end = min_u64(at + DATA_PAGE, region_size(region));
        need(region_allocated_blocks(region, at, end, &block, 1, &count, &err));
        if (count == 0)
            continue;
        golden_read(disk, MAIN "data", at, page, sizeof page);
        golden_read(disk, MAIN "sums", DISK_BLOCK + at / DATA_PAGE * 4, sum, sizeof sum);
        ck_assert_uint_ne(get_u32(sum), SUM_UNVERIFIED);
        ck_assert(sum_matches(record_seed(meta.secret), at / DATA_PAGE, page, get_u32(sum)));
        summed++;
    }
    ck_assert_uint_gt(summed, 150);
    need(io->ops->list(io, "regions/main", count_file, &files));
    ck_assert_uint_ge(files, 7);
    region_close(region);
    store_close(store);
    simdisk_free(disk);
}
END_TEST

struct told {
    uint64_t calls, last, total;
};

static void tell(void *context, const char *folder, uint64_t done, uint64_t total)
{
    struct told *told = context;
    ck_assert_str_eq(folder, "regions/main");
    ck_assert(told->calls == 0 ? done == 0 : done > told->last);
    ck_assert_uint_le(done, total);
    *told = (struct told){told->calls + 1, done, total};
}

START_TEST(progress_is_told_from_the_beginning_to_the_end)
{
    struct told told = {0};
    struct store_migration migration = {.progress = tell, .context = &told};
    struct simdisk *disk = golden_disk_of(GOLDEN_MAIN);
    struct store *store = open_store(disk, false);
    store_set_migration(store, &migration);
    region_close(open_region(store, "main"));
    ck_assert_uint_ge(told.calls, 2);
    ck_assert_uint_eq(told.last, told.total);
    ck_assert_uint_gt(told.total, 0);
    store_close(store);
    simdisk_free(disk);
}
END_TEST

/* Every so often, where it takes long. */
START_TEST(progress_is_told_on_the_way)
{
    struct told told = {0};
    struct store_migration migration = {.progress = tell, .context = &told};
    struct extent block = {MIB, 70 * MIB};
    struct record record;
    struct simdisk *disk = golden_disk_of(GOLDEN_MAIN);
    record_init(&record);
    need(record_reserve(&record, RECORD_EXTENT_EFFECT));
    record_add_use(&record, block);
    golden_append(disk, &record);
    record_release(&record);
    golden_resize(disk, MAIN "data", extent_end(block));
    struct store *store = open_store(disk, false);
    store_set_migration(store, &migration);
    struct region *region = open_region(store, "main");
    ck_assert_uint_eq(told.calls, 3);
    ck_assert_uint_eq(told.last, told.total);
    ck_assert_uint_eq(region_size(region), extent_end(block));
    region_close(region);
    store_close(store);
    simdisk_free(disk);
}
END_TEST

/* Behind the last blob there is a free block, up to the region's end. */
START_TEST(a_region_that_ends_with_free_pages)
{
    struct extent block = {golden_figures[GOLDEN_MAIN].size - 3 * DATA_PAGE, 3 * DATA_PAGE};
    struct record record;
    bool is_freed = false;
    struct simdisk *disk = golden_disk_of(GOLDEN_MAIN);
    record_init(&record);
    need(record_reserve(&record, RECORD_EXTENT_EFFECT));
    record_add_free(&record, block);
    golden_append(disk, &record);
    record_release(&record);
    struct store *store = open_store(disk, false);
    struct region *region = open_region(store, "main");
    ck_assert_uint_eq(region_size(region), extent_end(block));
    need(region_is_freed(region, block, &is_freed, &err));
    ck_assert(is_freed);
    drive_close(region);
    store_close(store);
    simdisk_free(disk);
}
END_TEST

/* Whoever looks, or migrates, without a store is refused alike. */
START_TEST(a_folder_that_is_none)
{
    struct migrate_plan plan = {0};
    struct simdisk *disk = golden_disk_of(GOLDEN_SEED);
    golden_resize(disk, "regions/seed/meta", 11);
    ck_assert_int_eq(migrate_look(simdisk_io(disk), "regions/seed", &plan, &err), ERR_CORRUPT);
    ck_assert_int_eq(migrate_region(simdisk_io(disk), "regions/seed", NULL, NULL, &plan, &err),
                     ERR_CORRUPT);
    simdisk_free(disk);
}
END_TEST

START_TEST(looking_changes_nothing)
{
    struct migrate_plan plan = {0};
    struct region *region;
    struct simdisk *disk = golden_disk_of(GOLDEN_MAIN);
    golden_vary(disk, GOLDEN_MAIN, GOLDEN_TORN);
    uint64_t changes = simdisk_calls(disk, SIM_CHANGES | SIM_SYNCS);
    uint32_t before = golden_fingerprint(disk);
    struct store *store = open_store(disk, true);
    need(store_look_region(store, "main", &plan, &err));
    ck_assert_uint_eq(plan.from, 1);
    ck_assert_uint_gt(plan.records, 0);
    ck_assert_uint_eq(plan.cut_bytes, 3 * DISK_BLOCK);
    ck_assert_uint_gt(plan.read_bytes, 723094 - 1);
    ck_assert_uint_gt(plan.space_needed, 2 * JOURNAL_SEGMENT);
    ck_assert_uint_gt(plan.space_free, plan.space_needed);
    ck_assert_int_eq(store_open_region(store, "main", NULL, &region, NULL, &err),
                     ERR_INVALID_ARGUMENT);
    store_close(store);
    ck_assert_uint_eq(simdisk_calls(disk, SIM_CHANGES | SIM_SYNCS), changes);
    ck_assert_uint_eq(golden_fingerprint(disk), before);
    simdisk_free(disk);
}
END_TEST

/* ---- Calls that fail ---- */

static void expect_figures(struct region *region, enum golden_region which)
{
    struct region_info info;
    const struct golden_figures *figures = &golden_figures[which];
    region_get_info(region, &info);
    ck_assert_uint_eq(info.format, 2);
    ck_assert_uint_eq(info.size, figures->size);
    ck_assert_uint_eq(info.pages, figures->pages);
    ck_assert_uint_eq(info.allocated, figures->allocated);
    ck_assert_uint_eq(info.free_blocks, figures->free_blocks);
}

/* The nth call of this kind fails while the seed is migrated; false when there are fewer. */
static bool fails_and_goes_on(const struct simdisk *golden, enum simdisk_op op, uint64_t nth)
{
    struct region *region = NULL;
    struct simdisk *disk = simdisk_crash_none(golden);
    struct store *store = open_store(disk, false);
    simdisk_set_fault(disk, (struct simdisk_fault){.ops = SIM_BIT(op), .nth = nth, .error = EIO});
    int code = store_open_region(store, "seed", NULL, &region, NULL, &err);
    bool is_hit = simdisk_faults_hit(disk) > 0;
    ck_assert_msg(code == 0 || (is_hit && code == ERR_IO_ERROR), "%s %d: %d %s",
                  simdisk_op_name(op), (int)nth, code, err.text);
    if (code != 0)
        ck_assert_msg(strstr(err.text, "cannot ") != NULL, "%s", err.text);
    else
        region_close(region);
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    region = open_region(store, "seed");
    expect_figures(region, GOLDEN_SEED);
    region_close(region);
    store_close(store);
    ck_assert_uint_eq(simdisk_open_files(disk), 0);
    ck_assert_uint_eq(simdisk_breaches(disk), 0);
    simdisk_free(disk);
    return is_hit;
}

/* Whatever fails is told, and the next opening goes on from there: a sample of the calls of each
 * kind, most of them early; with MREGION_FAULTS_LONG all that are not writes. */
START_TEST(calls_that_fail)
{
    struct simdisk *golden = golden_disk_of(GOLDEN_SEED);
    uint64_t nth = 1;
    bool is_all = getenv("MREGION_FAULTS_LONG") != NULL && _i != SIM_WRITE;
    golden_vary(golden, GOLDEN_SEED, _i == SIM_READ ? GOLDEN_TORN : GOLDEN_BEHIND);
    while (fails_and_goes_on(golden, (enum simdisk_op)_i, nth))
        nth += is_all ? 1 : 1 + nth / 2;
    simdisk_free(golden);
}
END_TEST

/* All is made but the new meta: no file of the old format has changed, the segment in it included
 * that was made ahead and has no record yet. */
START_TEST(the_old_files_are_whole_until_meta_is_replaced)
{
    struct region *region = NULL;
    struct simdisk *disk = golden_disk_of(GOLDEN_MAIN);
    golden_vary(disk, GOLDEN_MAIN, GOLDEN_BEHIND);
    struct simdisk *before = simdisk_crash_none(disk);
    struct store *store = open_store(disk, false);
    simdisk_set_fault(
        disk, (struct simdisk_fault){
                  .ops = SIM_BIT(SIM_RENAME), .pattern = MAIN "meta.new", .nth = 1, .error = EIO});
    ck_assert_int_eq(store_open_region(store, "main", NULL, &region, NULL, &err), ERR_IO_ERROR);
    ck_assert_uint_eq(simdisk_faults_hit(disk), 1);
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    ck_assert(golden_same_old(disk, before, GOLDEN_MAIN));
    simdisk_free(before);
    region = open_region(store, "main");
    expect_figures(region, GOLDEN_MAIN);
    region_close(region);
    store_close(store);
    simdisk_free(disk);
}
END_TEST

/* A read that answers what was there before: it is noticed, or it does not matter. */
static bool reads_something_else(const struct simdisk *golden, const struct simdisk *other,
                                 uint64_t nth, unsigned *noticed)
{
    struct region *region = NULL;
    struct simdisk *disk = simdisk_crash_none(golden);
    struct store *store = open_store(disk, false);
    simdisk_set_stale(disk, other, MAIN "journal-*", nth);
    int code = store_open_region(store, "main", NULL, &region, NULL, &err);
    bool is_hit = simdisk_has_lied(disk);
    if (code == 0)
        region_close(region);
    else
        ck_assert_msg(code == ERR_CORRUPT || code == ERR_IO_ERROR, "%d: %s", code, err.text);
    *noticed += code != 0;
    store_close(store);
    ck_assert_uint_eq(simdisk_open_files(disk), 0);
    simdisk_free(disk);
    return is_hit;
}

START_TEST(a_journal_that_changes_while_it_is_read)
{
    struct simdisk *golden = golden_disk_of(GOLDEN_MAIN), *other = simdisk_crash_none(golden);
    unsigned noticed = 0;
    golden_write(other, MAIN "journal-0000000000000002", 0, page_of_zeros, DISK_BLOCK);
    for (uint64_t at = DISK_BLOCK; at < 60 * DISK_BLOCK; at += DISK_BLOCK)
        golden_write(other, MAIN "journal-0000000000000002", at, page_of_zeros, DISK_BLOCK);
    for (uint64_t nth = 1; reads_something_else(golden, other, nth, &noticed); nth++)
        ck_assert_uint_lt(nth, 1000);
    ck_assert_uint_gt(noticed, 0);
    simdisk_free(other);
    simdisk_free(golden);
}
END_TEST

/* The data file gets whole pages first. */
START_TEST(data_that_cannot_be_extended)
{
    static const struct {
        enum simdisk_op op;
        const char *words;
    } cases[] = {{SIM_ALLOCATE, "reserve space for regions/main/data"},
                 {SIM_SYNC, "sync regions/main/data"},
                 {SIM_WRITE, "write regions/main/data"},
                 {SIM_READ, "read regions/main/data"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct region *region;
        struct simdisk *disk = golden_disk_of(GOLDEN_MAIN);
        golden_vary(disk, GOLDEN_MAIN, GOLDEN_SPARSE);
        struct store *store = open_store(disk, false);
        simdisk_set_fault(
            disk, (struct simdisk_fault){
                      .ops = SIM_BIT(cases[i].op), .pattern = "*/data", .nth = 1, .error = EIO});
        ck_assert_int_eq(store_open_region(store, "main", NULL, &region, NULL, &err), ERR_IO_ERROR);
        ck_assert_msg(strstr(err.text, cases[i].words) != NULL, "%s", err.text);
        simdisk_set_fault(disk, (struct simdisk_fault){0});
        region = open_region(store, "main");
        expect_figures(region, GOLDEN_MAIN);
        region_close(region);
        store_close(store);
        simdisk_free(disk);
    }
}
END_TEST

static uint64_t nodes_left; /* of the index, before there is no memory for one */

static void *few_nodes(size_t alignment, size_t size)
{
    return nodes_left-- == 0 ? NULL : aligned_alloc(alignment, size);
}

/* The journal has more free blocks than a node of the index. */
START_TEST(without_memory_for_the_index)
{
    struct simdisk *golden = golden_disk_of(GOLDEN_MAIN);
    struct record record;
    unsigned refusals = 0;
    record_init(&record);
    need(record_reserve(&record, 1000 * RECORD_EXTENT_EFFECT));
    record_add_use(&record, (struct extent){503808, 8192});
    for (uint64_t i = 0; i < 200; i++)
        record_add_free(&record, (struct extent){503808 + 20 * i, 1});
    golden_append(golden, &record);
    record_release(&record);
    void *(*memory)(size_t, size_t) = maxtree_node_memory;
    for (uint64_t nodes = 0, code = 1; code != 0; nodes++) {
        struct region *region;
        struct simdisk *disk = simdisk_crash_none(golden);
        struct store *store = open_store(disk, false);
        ck_assert_uint_lt(nodes, 100);
        nodes_left = nodes;
        maxtree_node_memory = few_nodes;
        code = (uint64_t)store_open_region(store, "main", NULL, &region, NULL, &err);
        maxtree_node_memory = memory;
        ck_assert(code == 0 || code == ERR_INTERNAL);
        refusals += code != 0;
        if (code == 0)
            region_close(region);
        store_close(store);
        ck_assert_uint_eq(simdisk_open_files(disk), 0);
        simdisk_free(disk);
    }
    ck_assert_uint_gt(refusals, 2);
    simdisk_free(golden);
}
END_TEST

static void cut_data(void *context, struct simdisk *disk, enum simdisk_op op, const char *path)
{
    bool *is_cut = context;
    struct io_file *file;
    struct io *io = simdisk_io(disk);
    if (*is_cut || op != SIM_READ || strcmp(path, MAIN "data") != 0)
        return;
    *is_cut = true;
    ck_assert_int_eq(io->ops->open(io, path, 0, &file), 0);
    ck_assert_int_eq(io->ops->truncate(io, file, 100), 0);
    io->ops->close(io, file);
}

/* Somebody cuts the file while it is read: no page is taken for zeros. */
START_TEST(data_that_is_cut_meanwhile)
{
    bool is_cut = false;
    struct region *region;
    struct simdisk *disk = golden_disk_of(GOLDEN_MAIN);
    struct store *store = open_store(disk, false);
    simdisk_set_hook(disk, cut_data, &is_cut);
    ck_assert_int_eq(store_open_region(store, "main", NULL, &region, NULL, &err), ERR_IO_ERROR);
    ck_assert_msg(strstr(err.text, "read past the end of regions/main/data") != NULL, "%s",
                  err.text);
    store_close(store);
    simdisk_free(disk);
}
END_TEST

START_TEST(a_current_folder_stays_as_it_is)
{
    struct migrate_plan plan = {0};
    struct simdisk *disk = golden_disk_of(GOLDEN_SEED);
    struct store *store = open_store(disk, false);
    region_close(open_region(store, "seed"));
    uint64_t changes = simdisk_calls(disk, SIM_BIT(SIM_WRITE) | SIM_BIT(SIM_RENAME));
    need(migrate_region(simdisk_io(disk), "regions/seed", NULL, NULL, &plan, &err));
    ck_assert_uint_eq(plan.from, 2);
    ck_assert_uint_eq(simdisk_calls(disk, SIM_BIT(SIM_WRITE) | SIM_BIT(SIM_RENAME)), changes);
    store_close(store);
    simdisk_free(disk);
}
END_TEST

START_TEST(a_report_says_what_it_was)
{
    struct region_report report = {0};
    struct region *region;
    struct simdisk *disk = golden_disk_of(GOLDEN_SEED);
    struct store *store = open_store(disk, false);
    need(store_open_region(store, "seed", NULL, &region, &report, &err));
    ck_assert_uint_eq(report.migrated_from, 1);
    region_close(region);
    need(store_open_region(store, "seed", NULL, &region, &report, &err));
    ck_assert_uint_eq(report.migrated_from, 0);
    region_close(region);
    store_close(store);
    simdisk_free(disk);
}
END_TEST

/* ---- Refused ---- */

START_TEST(refused_by_the_setting)
{
    static const struct store_migration refuse = {.is_refused = true};
    const char *words[] = {"regions/main", "version 1", "setting migrate is refuse", "auto", NULL};
    struct simdisk *disk = golden_disk_of(GOLDEN_MAIN);
    refused(disk, "main", ERR_INVALID_ARGUMENT, words, &refuse);
    simdisk_free(disk);
}
END_TEST

/* The disk is asked first, and the region stays what it was. */
START_TEST(a_full_disk)
{
    const char *words[] = {"regions/main", "bytes of disk", "make space", NULL};
    struct simdisk *disk = golden_disk_of(GOLDEN_MAIN);
    simdisk_set_capacity(disk, simdisk_used(disk) + 8 * MIB);
    refused(disk, "main", ERR_NO_SPACE, words, NULL);
    simdisk_set_capacity(disk, UINT64_MAX);
    struct store *store = open_store(disk, false);
    region_close(open_region(store, "main"));
    store_close(store);
    simdisk_free(disk);
}
END_TEST

/* With just the space that was asked for it goes through. */
START_TEST(space_is_asked_for_as_it_is_needed)
{
    struct migrate_plan plan;
    struct simdisk *disk = golden_disk_of(GOLDEN_MAIN);
    need(migrate_look(simdisk_io(disk), "regions/main", &plan, &err));
    uint64_t used = simdisk_used(disk);
    uint64_t needed = round_up(plan.space_needed, DISK_BLOCK);
    simdisk_set_capacity(disk, used + needed);
    need(migrate_region(simdisk_io(disk), "regions/main", NULL, NULL, &plan, &err));
    ck_assert_uint_le(simdisk_used(disk), used + needed);
    simdisk_free(disk);
}
END_TEST

/* Damage in the old files is named, and they stay as they are. */
START_TEST(damage_is_named)
{
    static const struct {
        const char *name;
        uint64_t offset;
        const char *word;
    } cases[] = {
        {"meta", 60, "meta"},
        {"meta", 3, "meta"},
        {"journal-0000000000000002", 40 * DISK_BLOCK + 60, "journal-0000000000000002"},
        {"journal-0000000000000002", 12, "header at offset 0"},
    };
    char path[128];
    const char *words[] = {"regions/main", cases[_i].word, NULL};
    struct simdisk *disk = golden_disk_of(GOLDEN_MAIN);
    snprintf(path, sizeof path, MAIN "%s", cases[_i].name);
    golden_flip(disk, path, cases[_i].offset);
    refused(disk, "main", ERR_CORRUPT, words, NULL);
    simdisk_free(disk);
}
END_TEST

START_TEST(both_checkpoints_damaged)
{
    const char *words[] = {"no valid checkpoint", "checkpoint-0", "checkpoint-1", NULL};
    struct simdisk *disk = golden_disk_of(GOLDEN_MAIN);
    golden_flip(disk, MAIN "checkpoint-0", 20);
    golden_flip(disk, MAIN "checkpoint-1", 20);
    refused(disk, "main", ERR_CORRUPT, words, NULL);
    simdisk_free(disk);
}
END_TEST

START_TEST(a_short_data_file)
{
    const char *words[] = {"regions/main/data", "has 4096 bytes", NULL};
    struct simdisk *disk = golden_disk_of(GOLDEN_MAIN);
    golden_resize(disk, MAIN "data", 4096);
    refused(disk, "main", ERR_CORRUPT, words, NULL);
    simdisk_free(disk);
}
END_TEST

/* Its place is past all that a journal can come to: the new one would have none behind it. */
START_TEST(a_segment_from_nowhere)
{
    const char *words[] = {"journal-0000010000000000", "no journal gets so far", NULL};
    struct simdisk *disk = golden_disk_of(GOLDEN_MAIN);
    golden_write(disk, MAIN "journal-0000010000000000", 0, "x", 1);
    refused(disk, "main", ERR_CORRUPT, words, NULL);
    simdisk_free(disk);
}
END_TEST

/* ---- Newer ---- */

/* Gives a structure another version and the checksum that fits. */
static void set_version(struct simdisk *disk, const char *path, size_t size, uint32_t version)
{
    static const uint8_t zeros[4];
    uint8_t bytes[DISK_BLOCK];
    ck_assert_uint_eq(golden_read(disk, path, 0, bytes, size), size);
    put_u32(bytes + 8, version);
    uint32_t crc = crc32c(0, bytes, 12);
    if (size == DISK_BLOCK)
        crc = crc32c(crc, zeros, sizeof zeros);
    put_u32(bytes + 12, crc32c(crc, bytes + 16, size - 16));
    golden_write(disk, path, 0, bytes, size);
}

/* A store whose region main is of format 2, with records in its journal. */
static struct simdisk *migrated_disk(void)
{
    static const uint8_t blob[100] = "blob";
    struct simdisk *disk = golden_disk_of(GOLDEN_MAIN);
    struct store *store = open_store(disk, false);
    struct region *region = open_region(store, "main");
    (void)drive_add(region, blob, sizeof blob);
    drive_close(region);
    store_close(store);
    return disk;
}

START_TEST(a_newer_folder)
{
    const char *words[] = {"regions/main/meta", "version 3", "up to 2", "newer mregiond", NULL};
    struct simdisk *disk = _i == 0 ? golden_disk_of(GOLDEN_MAIN) : migrated_disk();
    set_version(disk, MAIN "meta", _i == 0 ? 152 : 200, 3);
    refused(disk, "main", ERR_INVALID_ARGUMENT, words, NULL);
    simdisk_free(disk);
}
END_TEST

START_TEST(a_newer_store)
{
    struct store *store;
    struct simdisk *disk = golden_disk_of(GOLDEN_MAIN);
    set_version(disk, "store", 40, 2);
    uint32_t before = golden_fingerprint(disk);
    ck_assert_int_eq(store_open(simdisk_io(disk), false, &store, &err), ERR_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "version 2"));
    ck_assert_ptr_nonnull(strstr(err.text, "newer mregiond"));
    ck_assert_uint_eq(golden_fingerprint(disk), before);
    simdisk_free(disk);
}
END_TEST

static const char *journal_of(struct simdisk *disk, char path[64])
{
    struct io *io = simdisk_io(disk);
    struct io_file *file;
    char name[JOURNAL_NAME_SIZE];
    for (uint64_t seq = 0; seq < 100; seq++) {
        snprintf(path, 64, MAIN "%s", journal_name(name, seq));
        if (io->ops->open(io, path, IO_READ_ONLY, &file) == 0) {
            io->ops->close(io, file);
            return path;
        }
    }
    ck_abort_msg("no journal");
}

/* Other structures of a later version in a folder that says it is of this one. */
START_TEST(a_newer_structure)
{
    char path[64];
    struct simdisk *disk = migrated_disk();
    if (_i == 0) {
        const char *words[] = {MAIN "sums", NULL};
        set_version(disk, MAIN "sums", DISK_BLOCK, 3);
        refused(disk, "main", ERR_CORRUPT, words, NULL);
    } else if (_i == 1) {
        const char *words[] = {"checkpoint-a", "checkpoint-b", NULL};
        set_version(disk, MAIN "checkpoint-a", DISK_BLOCK, 3);
        set_version(disk, MAIN "checkpoint-b", DISK_BLOCK, 3);
        refused(disk, "main", ERR_CORRUPT, words, NULL);
    } else {
        const char *words[] = {"journal-", "header at offset 0", NULL};
        set_version(disk, journal_of(disk, path), DISK_BLOCK, 3);
        refused(disk, "main", ERR_CORRUPT, words, NULL);
    }
    simdisk_free(disk);
}
END_TEST

/* ---- The meta file of format 1 ---- */

START_TEST(every_flipped_bit_of_the_old_meta)
{
    struct format1_meta meta;
    uint8_t bytes[152];
    struct simdisk *disk = golden_disk_of(GOLDEN_PACKED);
    golden_read(disk, "regions/packed/meta", 0, bytes, sizeof bytes);
    need(format1_meta_decode(bytes, sizeof bytes, "r", &meta, &err));
    ck_assert_str_eq(meta.name, "packed");
    ck_assert_uint_eq(meta.id, 3);
    ck_assert_int_eq(meta.durability, FORMAT1_INTERVAL);
    ck_assert_int_eq(meta.fit, FORMAT1_LOWEST);
    ck_assert_uint_eq(meta.flush_interval_ms, 50);
    ck_assert_uint_eq(meta.max_size, 1048576);
    ck_assert_uint_eq(meta.journal_size, 268435456);
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert_int_eq(format1_meta_decode(bytes, sizeof bytes, "r", &meta, &err), ERR_CORRUPT);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    ck_assert_int_eq(format1_meta_decode(bytes, 151, "r", &meta, &err), ERR_CORRUPT);
    simdisk_free(disk);
}
END_TEST

/* With a checksum that fits: what no program ever wrote. */
START_TEST(nonsense_in_the_old_meta)
{
    static const struct {
        size_t offset;
        uint32_t value;
        const char *name;
    } changes[] = {{16, 3, "durability"},
                   {20, 3, "fit"},
                   {24, 0, "flush_interval"},
                   {36, 0x80000000, "max_size"},
                   {40, 1, "journal_size"}};
    struct format1_meta meta;
    uint8_t bytes[152];
    struct simdisk *disk = golden_disk_of(GOLDEN_PACKED);
    golden_read(disk, "regions/packed/meta", 0, bytes, sizeof bytes);
    put_u32(bytes + changes[_i].offset, changes[_i].value);
    put_u32(bytes + 12, crc32c(crc32c(0, bytes, 12), bytes + 16, sizeof bytes - 16));
    ck_assert_int_eq(format1_meta_decode(bytes, sizeof bytes, "r", &meta, &err), ERR_CORRUPT);
    ck_assert_msg(strstr(err.text, changes[_i].name) != NULL, "%s", err.text);
    simdisk_free(disk);
}
END_TEST

/* Somebody puts the meta file of a backup in the place of the new one: that is refused, and is no
 * reason to take the rest for what an attempt left. */
START_TEST(an_old_meta_among_new_files)
{
    const char *damage[] = {"seed", NULL};
    uint8_t old[4096], new[4096], blob[35];
    struct simdisk *disk = golden_disk_of(GOLDEN_SEED);
    size_t old_size = golden_read(disk, "regions/seed/meta", 0, old, sizeof old);
    struct store *store = open_store(disk, false);
    struct region *region = open_region(store, "seed");
    drive_pattern(blob, sizeof blob, 1);
    ck_assert_uint_eq(drive_add(region, blob, sizeof blob), 100);
    drive_close(region);
    store_close(store);
    size_t new_size = golden_read(disk, "regions/seed/meta", 0, new, sizeof new);

    golden_resize(disk, "regions/seed/meta", old_size);
    golden_write(disk, "regions/seed/meta", 0, old, old_size);
    refused(disk, "seed", ERR_CORRUPT, damage, NULL);
    golden_resize(disk, "regions/seed/meta", new_size);
    golden_write(disk, "regions/seed/meta", 0, new, new_size);
    store = open_store(disk, false);
    region = open_region(store, "seed");
    drive_expect(region, 100, blob, sizeof blob);
    drive_close(region);
    store_close(store);
    simdisk_free(disk);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("migrate");
    TCase *tests = tcase_create("migrate");
    tcase_add_unchecked_fixture(tests, golden_unpack, NULL);
    tcase_add_loop_test(tests, the_seed, 0, GOLDEN_VARIANTS);
    tcase_add_test(tests, a_record_that_is_only_cached);
    tcase_add_test(tests, freed_space_is_not_put_again);
    tcase_add_test(tests, pages_are_summed);
    tcase_add_test(tests, progress_is_told_from_the_beginning_to_the_end);
    tcase_add_test(tests, progress_is_told_on_the_way);
    tcase_add_test(tests, a_region_that_ends_with_free_pages);
    tcase_add_test(tests, a_folder_that_is_none);
    tcase_add_test(tests, looking_changes_nothing);
    tcase_add_test(tests, a_journal_that_changes_while_it_is_read);
    tcase_add_loop_test(tests, calls_that_fail, 0, SIM_OPS);
    tcase_add_test(tests, the_old_files_are_whole_until_meta_is_replaced);
    tcase_add_test(tests, data_that_cannot_be_extended);
    tcase_add_test(tests, data_that_is_cut_meanwhile);
    tcase_add_test(tests, without_memory_for_the_index);
    tcase_add_test(tests, a_current_folder_stays_as_it_is);
    tcase_add_test(tests, a_report_says_what_it_was);
    tcase_add_test(tests, refused_by_the_setting);
    tcase_add_test(tests, a_full_disk);
    tcase_add_test(tests, space_is_asked_for_as_it_is_needed);
    tcase_add_loop_test(tests, damage_is_named, 0, 4);
    tcase_add_test(tests, both_checkpoints_damaged);
    tcase_add_test(tests, a_short_data_file);
    tcase_add_test(tests, a_segment_from_nowhere);
    tcase_add_loop_test(tests, a_newer_folder, 0, 2);
    tcase_add_test(tests, a_newer_store);
    tcase_add_loop_test(tests, a_newer_structure, 0, 3);
    tcase_add_test(tests, every_flipped_bit_of_the_old_meta);
    tcase_add_test(tests, an_old_meta_among_new_files);
    tcase_add_loop_test(tests, nonsense_in_the_old_meta, 0, 5);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
