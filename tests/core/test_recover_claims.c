/* What a record claims, with checksums that fit, when a region is opened. */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "core/bytes.h"
#include "core/journal.h"
#include "core/meta.h"
#include "core/migrate.h"
#include "core/record.h"
#include "core/region.h"
#include "support_region.h"
#include "tests/support_main.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define DATA_SIZE DATA_CHUNK_MIN /* of a new region's data file */

static struct simdisk *disk;
static struct io *io;
static struct record record;
static struct meta meta;
static struct err err;

static void need(int code)
{
    ck_assert_msg(code == 0, "%s", err.text);
}

/* A new region, whose journal begins at 0, and no record in it. */
static void set_up(void)
{
    struct region_options options = region_options_default();
    uint32_t version;
    disk = simdisk_new(1);
    io = simdisk_io(disk);
    need(region_create(io, "r", "main", 7, &options, &err));
    need(migrate_read_meta(io, "r", &meta, &version, &err));
    record_init(&record);
    ck_assert_int_eq(record_reserve(&record, 10000), 0);
}

static void tear_down(void)
{
    record_release(&record);
    ck_assert_uint_eq(simdisk_breaches(disk), 0);
    ck_assert_uint_eq(simdisk_open_files(disk), 0);
    simdisk_free(disk);
}

static void write_record(uint64_t lsn)
{
    char path[64] = "r/";
    struct io_file *file;
    record_seal(&record, record_seed(meta.secret), lsn, lsn);
    struct iovec vector = {record.bytes, (size_t)record_padded(record.length)};
    journal_name(path + 2, journal_seq(lsn));
    ck_assert_int_eq(io->ops->open(io, path, 0, &file), 0);
    ck_assert_int_eq(io->ops->write(io, file, &vector, 1, journal_offset(lsn)), 0);
    io->ops->close(io, file);
}

/* Opens it to be read: the folder is as it was afterwards. */
static int look(struct region_report *report)
{
    struct region *region = NULL;
    int code = region_open(io, "r", NULL, true, &region, report, &err);
    if (code == 0)
        region_close(region);
    return code;
}

static void add(enum effect_kind kind, struct extent extent)
{
    struct page_run run = {extent.address, extent.size};
    if (kind == EFFECT_USE)
        record_add_use(&record, extent);
    else if (kind == EFFECT_FREE)
        record_add_free(&record, extent);
    else if (kind == EFFECT_PUT)
        memset(record.bytes + record_add_put(&record, extent), 'p', (size_t)extent.size);
    else if (kind == EFFECT_ZERO)
        record_add_zero(&record, run);
    else
        memset(record.bytes + record_add_sums(&record, kind, run), 0, run.count * RECORD_SUM);
}

/* After [0, 1000) was used. Of runs these are pages. */
START_TEST(effects_stay_in_the_region)
{
    static const uint64_t pages = DATA_SIZE / DATA_PAGE;
    static const struct {
        enum effect_kind kind;
        struct extent extent;
        const char *words; /* NULL = it is taken */
    } cases[] = {
        {EFFECT_USE, {1000, DATA_SIZE - 1000}, NULL},
        {EFFECT_USE, {1000, DATA_SIZE - 999}, "r/data has"},
        {EFFECT_FREE, {990, 10}, NULL},
        {EFFECT_FREE, {990, 11}, "names what cannot be at offset 4096"},
        {EFFECT_PUT, {990, 10}, NULL},
        {EFFECT_PUT, {990, 11}, "names what cannot be at offset 4096"},
        {EFFECT_ZERO, {pages - 1, 1}, NULL},
        {EFFECT_ZERO, {pages - 1, 2}, "names what cannot be at offset 4096"},
        {EFFECT_DIRECT, {pages - 1, 1}, NULL},
        {EFFECT_DIRECT, {pages, 1}, "names what cannot be at offset 4096"},
    };
    struct region_report report;
    for (size_t i = 0; i < COUNT(cases); i++) {
        record_reset(&record);
        add(EFFECT_USE, (struct extent){0, 1000});
        add(cases[i].kind, cases[i].extent);
        write_record(0);
        int code = look(&report);
        ck_assert_msg(code == (cases[i].words == NULL ? 0 : ERR_CORRUPT), "case %zu: %d %s", i,
                      code, err.text);
        if (cases[i].words == NULL)
            ck_assert_uint_eq(report.records, 1);
        else
            ck_assert_msg(strstr(err.text, cases[i].words) != NULL, "%s", err.text);
    }
}
END_TEST

START_TEST(pages_ascend_within_a_record)
{
    static const struct {
        struct extent second;
        int code;
    } cases[] = {{{7, 1}, 0}, {{6, 1}, ERR_CORRUPT}, {{2, 1}, ERR_CORRUPT}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        record_reset(&record);
        add(EFFECT_ZERO, (struct extent){5, 2});
        add(EFFECT_ZERO, cases[i].second);
        write_record(0);
        int code = look(NULL);
        ck_assert_msg(code == cases[i].code, "case %zu: %d", i, code);
    }
}
END_TEST

/* The record's own bytes, and a sum that is of others. */
START_TEST(bytes_that_do_not_match_are_counted)
{
    struct region_report report;
    record_reset(&record);
    add(EFFECT_USE, (struct extent){0, 2 * DATA_PAGE});
    add(EFFECT_PUT, (struct extent){0, 100});
    add(EFFECT_FRESH, (struct extent){0, 1});
    write_record(0);
    need(look(&report));
    ck_assert_uint_eq(report.damaged, 1);
}
END_TEST

/* With fewer segments than a journal has at least, opening makes what is missing. */
START_TEST(segments_are_made_until_there_are_enough)
{
    struct region *region = NULL;
    struct region_info info;
    char path[64] = "r/";
    journal_name(path + 2, 1);
    record_reset(&record);
    add(EFFECT_USE, (struct extent){0, 1000});
    write_record(0);
    ck_assert_int_eq(io->ops->remove(io, path), 0);
    simdisk_set_fault(disk, (struct simdisk_fault){.ops = SIM_BIT(SIM_ALLOCATE),
                                                   .pattern = "r/journal-*",
                                                   .nth = 1,
                                                   .error = ENOSPC});
    ck_assert_int_eq(region_open(io, "r", NULL, false, &region, NULL, &err), ERR_NO_SPACE);
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    need(region_open(io, "r", NULL, false, &region, NULL, &err));
    region_get_info(region, &info);
    ck_assert_uint_eq(info.allocated, 1000);
    drive_add(region, "blob", 4);
    drive_close(region);
    unsigned found = 0;
    for (uint64_t seq = 0; seq < 10; seq++) {
        struct io_file *file;
        journal_name(path + 2, seq);
        if (io->ops->open(io, path, IO_READ_ONLY, &file) != 0)
            continue;
        io->ops->close(io, file);
        found++;
    }
    ck_assert_uint_eq(found, JOURNAL_SEGMENTS_MIN);
    need(look(NULL));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("recover: claims");
    TCase *tests = tcase_create("claims");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, effects_stay_in_the_region);
    tcase_add_test(tests, pages_ascend_within_a_record);
    tcase_add_test(tests, bytes_that_do_not_match_are_counted);
    tcase_add_test(tests, segments_are_made_until_there_are_enough);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
