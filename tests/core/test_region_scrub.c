/* Scrubs: what a pass finds, what it leaves alone, when it comes. */
#include "core/region_private.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "support_region.h"
#include "tests/support_main.h"

#define HOUR_MS ((uint64_t)3600 * 1000)
#define BLOB (3 * MIB)
#define BLOB_PAGES (BLOB / DATA_PAGE)

static struct simdisk *disk;
static struct io *io;
static struct region *region;
static struct err err;
static struct region_options options;
static uint8_t *bytes;

static void open_region(void)
{
    int code = region_open(io, "r", NULL, false, &region, NULL, &err);
    ck_assert_msg(code == 0, "%s", err.text);
}

static void set_up(void)
{
    options = region_options_default();
    options.journal_size = JOURNAL_SIZE_MIN;
    options.scrub_interval_ms = 0;
    disk = simdisk_new(1);
    io = simdisk_io(disk);
    bytes = malloc(BLOB);
    drive_pattern(bytes, BLOB, 1);
    int code = region_create(io, "r", "main", 7, &options, &err);
    ck_assert_msg(code == 0, "%s", err.text);
    ck_assert_int_eq(io->ops->sync_directory(io, "."), 0);
    open_region();
}

static void tear_down(void)
{
    drive_close(region);
    ck_assert_uint_eq(simdisk_breaches(disk), 0);
    ck_assert_uint_eq(simdisk_open_files(disk), 0);
    simdisk_free(disk);
    free(bytes);
}

static struct region_scrub scrub_of(void)
{
    struct region_scrub scrub;
    region_get_scrub(region, &scrub);
    return scrub;
}

static uint64_t damaged_pages(void)
{
    struct region_info info;
    region_get_info(region, &info);
    return info.damaged_pages;
}

static uint64_t request(void)
{
    uint64_t ticket;
    ck_assert_int_eq(region_request_scrub(region, &ticket, &err), 0);
    return ticket;
}

static void scrub_settle(void)
{
    bool is_busy = true;
    while (is_busy) {
        drive_settle(region);
        is_busy = drive_step(region, LANE_SCRUB);
        is_busy |= drive_step(region, LANE_COMMIT); /* it may have been hurried */
    }
}

/* A whole pass. */
static struct region_scrub scrub_all(void)
{
    uint64_t ticket = request();
    scrub_settle();
    ck_assert_uint_ge(region_scrub_ticket(region), ticket);
    ck_assert(!scrub_of().is_running);
    return scrub_of();
}

static void expect_counts(struct region_scrub scrub, uint64_t verified, uint64_t unverified,
                          uint64_t damaged)
{
    ck_assert_uint_eq(scrub.verified, verified);
    ck_assert_uint_eq(scrub.unverified, unverified);
    ck_assert_uint_eq(scrub.damaged, damaged);
    ck_assert_uint_eq(scrub.pages, verified + unverified + damaged);
}

static struct node *file_of(const char *name)
{
    return simtree_child(simtree_find(simdisk_tree(disk), "r"), name);
}

/* A bit that flips on the disk behind everybody's back. */
static void flip(const char *name, uint64_t offset)
{
    struct node *file = file_of(name);
    uint8_t byte;
    image_read(file->cached, offset, &byte, 1);
    byte ^= 4;
    simtree_write(simdisk_tree(disk), file, offset, &byte, 1);
    simtree_sync(simdisk_tree(disk), file);
}

static uint64_t sum_offset(uint64_t page)
{
    return sums_length(0) + page * sizeof(uint32_t);
}

/* Exactly these pages are known to be damaged, and all are news. */
static void expect_damages(const uint64_t *addresses, size_t count)
{
    struct region_finding news[DAMAGE_NEWS];
    uint64_t known[DAMAGES_KEPT], more;
    ck_assert_uint_eq(region_damages(region, known, DAMAGES_KEPT), count);
    ck_assert_uint_eq(region_take_findings(region, news, DAMAGE_NEWS, &more), count);
    ck_assert_uint_eq(more, 0);
    ck_assert_uint_eq(damaged_pages(), count);
    for (size_t i = 0; i < count; i++) {
        ck_assert_uint_eq(known[i], addresses[i]);
        ck_assert_uint_eq(news[i].address, addresses[i]);
    }
}

START_TEST(an_empty_region)
{
    struct region_scrub scrub = scrub_of();
    ck_assert_uint_eq(scrub.passes, 0);
    ck_assert_uint_eq(scrub.verified_percent, 0);
    scrub = scrub_all();
    expect_counts(scrub, 0, 0, 0);
    ck_assert_uint_eq(scrub.passes, 1);
    ck_assert_uint_eq(scrub.finished_ms, drive_now_ms);
    ck_assert_uint_eq(scrub.verified_percent, 100);
    ck_assert_uint_eq(region_deadline_ms(region), UINT64_MAX);
}
END_TEST

START_TEST(every_page_in_use_and_no_other)
{
    uint64_t first = drive_add(region, bytes, BLOB);
    uint64_t hole = drive_add(region, bytes, BLOB);
    uint64_t last = drive_add(region, bytes, 100);
    uint64_t zeros = drive_allocate(region, 20 * DATA_PAGE);
    ck_assert_uint_eq(first, 0);
    ck_assert_uint_eq(hole, BLOB);
    ck_assert_uint_eq(last + 100, zeros);
    drive_settle(region);
    drive_deallocate(region, hole, BLOB);
    drive_settle(region);
    /* Whatever is in free pages is nobody's business. */
    flip("data", hole);
    flip("sums", sum_offset(page_of(hole) + 1));
    uint64_t before = simdisk_calls(disk, SIM_BIT(SIM_READ));
    expect_counts(scrub_all(), BLOB_PAGES + 21, 0, 0);
    /* Of data and sums each. */
    uint64_t pieces = BLOB / SCRUB_PIECE + 1;
    ck_assert_uint_eq(simdisk_calls(disk, SIM_BIT(SIM_READ)) - before, 2 * pieces);
    ck_assert_uint_eq(scrub_of().verified_percent, 100);
    expect_damages(NULL, 0);
}
END_TEST

START_TEST(scattered_pages)
{
    uint64_t blobs[400];
    for (size_t i = 0; i < 400; i++)
        blobs[i] = drive_add(region, bytes, DATA_PAGE);
    for (size_t i = 0; i < 400; i += 2)
        drive_deallocate(region, blobs[i], DATA_PAGE);
    drive_settle(region);
    flip("data", blobs[399] + 7);
    flip("data", blobs[101] + 4095);
    flip("data", blobs[100] + 7);
    expect_counts(scrub_all(), 198, 0, 2);
    expect_damages((uint64_t[]){blobs[101], blobs[399]}, 2);
}
END_TEST

START_TEST(flipped_bits_are_found_by_address)
{
    uint64_t address = drive_add(region, bytes, BLOB);
    drive_settle(region);
    flip("data", address);
    flip("data", address + 5 * DATA_PAGE + 4095);
    flip("sums", sum_offset(300) + 3);
    flip("data", address + BLOB - 1);
    struct region_scrub scrub = scrub_all();
    expect_counts(scrub, BLOB_PAGES - 4, 0, 4);
    ck_assert_uint_eq(scrub.verified_percent, 99);
    expect_damages((uint64_t[]){0, 5 * DATA_PAGE, 300 * DATA_PAGE, BLOB - DATA_PAGE}, 4);
    ck_assert_ptr_null(region_failure(region));
    /* They are known now, and no news. */
    expect_counts(scrub_all(), BLOB_PAGES - 4, 0, 4);
    struct region_finding news;
    uint64_t more;
    ck_assert_uint_eq(region_take_findings(region, &news, 1, &more), 0);
    /* One heals by itself, one is written whole, one is freed. */
    flip("data", 5 * DATA_PAGE + 4095);
    drive_store(region, 300 * DATA_PAGE, bytes, DATA_PAGE);
    drive_settle(region);
    drive_deallocate(region, BLOB - DATA_PAGE, DATA_PAGE);
    drive_settle(region);
    ck_assert_uint_eq(damaged_pages(), 2);
    expect_counts(scrub_all(), BLOB_PAGES - 2, 0, 1);
    uint64_t known[4];
    ck_assert_uint_eq(region_damages(region, known, 4), 1);
    ck_assert_uint_eq(known[0], 0);
}
END_TEST

/* More than are remembered: all are counted. */
START_TEST(more_damage_than_is_remembered)
{
    const uint64_t count = DAMAGES_KEPT + 100;
    uint8_t *many = malloc(count * DATA_PAGE);
    drive_pattern(many, count * DATA_PAGE, 3);
    ck_assert_uint_eq(drive_add(region, many, count * DATA_PAGE), 0);
    drive_settle(region);
    for (uint64_t i = 0; i < count; i++)
        flip("data", i * DATA_PAGE);
    for (unsigned pass = 0; pass < 2; pass++) {
        uint64_t known[DAMAGES_KEPT + 1];
        expect_counts(scrub_all(), 0, 0, count);
        ck_assert_uint_eq(region_damages(region, known, DAMAGES_KEPT + 1), DAMAGES_KEPT);
        ck_assert_uint_eq(damaged_pages(), count);
    }
    for (uint64_t i = 0; i < count; i++)
        flip("data", i * DATA_PAGE);
    expect_counts(scrub_all(), count, 0, 0);
    ck_assert_uint_eq(damaged_pages(), 0);
    free(many);
}
END_TEST

/* A start that finds more of it than is remembered, too: pages that the journal put together. */
START_TEST(more_damage_than_is_remembered_at_a_start)
{
    const uint64_t count = DAMAGES_KEPT + 100;
    uint64_t known[DAMAGES_KEPT + 1], a = drive_allocate(region, count * DATA_PAGE);
    struct region_report report;
    drive_checkpoint(region);
    for (uint64_t i = 0; i < count; i++)
        drive_store(region, a + i * DATA_PAGE, bytes, 1);
    drive_settle(region);
    for (uint64_t i = 0; i < count; i++)
        flip("data", a + i * DATA_PAGE + 100);
    drive_close(region);
    ck_assert_int_eq(region_open(io, "r", NULL, false, &region, &report, &err), 0);
    ck_assert_uint_eq(report.damaged, count);
    ck_assert_uint_eq(region_damages(region, known, DAMAGES_KEPT + 1), DAMAGES_KEPT);
    expect_counts(scrub_all(), 0, 0, count);
}
END_TEST

/* One more damaged page on the region's first, and freed with it or without. */
START_TEST(what_is_freed_beside_damage)
{
    uint64_t known[2], a = drive_add(region, bytes, 3 * DATA_PAGE);
    drive_settle(region);
    flip("data", a + DATA_PAGE);
    expect_counts(scrub_all(), 2, 0, 1);
    drive_deallocate(region, a + DATA_PAGE, 100); /* a part of it */
    drive_deallocate(region, a, DATA_PAGE);       /* its neighbor */
    drive_settle(region);
    ck_assert_uint_eq(region_damages(region, known, 2), 1);
    drive_deallocate(region, a + DATA_PAGE + 100, DATA_PAGE - 100);
    drive_settle(region);
    ck_assert_uint_eq(region_damages(region, known, 2), 0);
}
END_TEST

/* A damaged page that is one of very many that are all zeros now is well again. */
START_TEST(damage_below_many_zeros)
{
    uint64_t known[2], size = 2000 * DATA_PAGE, a = drive_allocate(region, size);
    drive_allocate(region, 1);
    drive_store(region, a + 1500 * DATA_PAGE, bytes, DATA_PAGE);
    drive_settle(region);
    flip("data", a + 1500 * DATA_PAGE);
    expect_counts(scrub_all(), 2000, 0, 1);
    ck_assert_uint_eq(region_damages(region, known, 2), 1);
    uint8_t page[DATA_PAGE];
    ck_assert_uint_eq(region_read_now(region, a + DATA_PAGE, page, 10),
                      10); /* its sums are cached */
    drive_deallocate(region, a, size);
    uint64_t b = drive_allocate(region, size);
    ck_assert_uint_eq(a, b);
    drive_settle(region);
    ck_assert_uint_eq(region_damages(region, known, 2), 0);
    drive_load(region, a + 1500 * DATA_PAGE, page, sizeof page);
    expect_counts(scrub_all(), 2001, 0, 0);
}
END_TEST

/* What is damaged and freed while it is being read is not told. */
START_TEST(freed_while_it_is_read)
{
    drive_add(region, bytes, 10 * DATA_PAGE);
    drive_settle(region);
    flip("data", 2 * DATA_PAGE);
    (void)request();
    struct region_job *job = region_next_job(region, LANE_SCRUB, drive_now_ms);
    ck_assert_ptr_nonnull(job);
    drive_deallocate(region, 2 * DATA_PAGE, DATA_PAGE);
    drive_settle(region);
    region_job_run(job);
    region_job_done(region, job);
    expect_counts(scrub_of(), 9, 0, 0);
    expect_damages(NULL, 0);
}
END_TEST

START_TEST(pages_without_a_checksum)
{
    drive_add(region, bytes, 6 * DATA_PAGE);
    drive_settle(region);
    options.checksum = CHECKSUM_OFF;
    region_set_options(region, &options);
    drive_add(region, bytes, 4 * DATA_PAGE);
    drive_settle(region);
    uint64_t ticket;
    ck_assert_int_eq(region_request_scrub(region, &ticket, &err), ERR_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.text, "checksums off"));
    options.checksum = CHECKSUM_ON;
    region_set_options(region, &options);
    flip("data", 7 * DATA_PAGE);
    struct region_scrub scrub = scrub_all();
    expect_counts(scrub, 6, 4, 0);
    ck_assert_uint_eq(scrub.verified_percent, 60);
}
END_TEST

/* ---- When ---- */

static void set_interval(uint64_t interval_ms, uint64_t rate)
{
    options.scrub_interval_ms = interval_ms;
    options.scrub_rate = rate;
    region_set_options(region, &options);
}

START_TEST(passes_come_by_themselves)
{
    drive_add(region, bytes, BLOB);
    drive_settle(region);
    set_interval(HOUR_MS, 0);
    uint64_t start = drive_now_ms;
    scrub_settle();
    for (uint64_t pass = 1; pass < 4; pass++) {
        ck_assert_uint_eq(region_deadline_ms(region), start + HOUR_MS);
        drive_now_ms = start + HOUR_MS - 1;
        scrub_settle();
        ck_assert_uint_eq(scrub_of().passes, pass - 1);
        start = ++drive_now_ms;
        scrub_settle();
        ck_assert_uint_eq(scrub_of().passes, pass);
        expect_counts(scrub_of(), BLOB_PAGES, 0, 0);
    }
    set_interval(0, 0);
    ck_assert_uint_eq(region_deadline_ms(region), UINT64_MAX);
    drive_now_ms += 100 * HOUR_MS;
    scrub_settle();
    ck_assert_uint_eq(scrub_of().passes, 3);
}
END_TEST

START_TEST(the_rate_is_kept)
{
    const uint64_t rate = 256 * KIB;
    drive_add(region, bytes, BLOB);
    drive_settle(region);
    set_interval(HOUR_MS, rate);
    scrub_settle();
    uint64_t start = drive_now_ms += HOUR_MS;
    while (scrub_of().passes == 0) {
        ck_assert_uint_eq(region_deadline_ms(region), drive_now_ms);
        scrub_settle();
        struct region_scrub scrub = scrub_of();
        uint64_t allowed = (drive_now_ms - start) * rate / 1000 + SCRUB_PIECE;
        ck_assert_uint_le(scrub.pages * DATA_PAGE, allowed);
        if (scrub.passes == 0)
            drive_now_ms = region_deadline_ms(region);
    }
    ck_assert_uint_eq(drive_now_ms - start, (BLOB - SCRUB_PIECE) * 1000 / rate);
}
END_TEST

/* A pass that is asked for begins anew and does not wait. */
START_TEST(who_asks_does_not_wait)
{
    drive_add(region, bytes, BLOB);
    drive_settle(region);
    set_interval(HOUR_MS, 1);
    scrub_settle();
    drive_now_ms += HOUR_MS;
    scrub_settle();
    ck_assert_uint_eq(scrub_of().position, SCRUB_PIECE);
    flip("data", 0);
    expect_counts(scrub_all(), BLOB_PAGES - 1, 0, 1);
    ck_assert_uint_eq(scrub_of().passes, 1);
    /* The next one by itself comes an hour after. */
    ck_assert_uint_eq(region_deadline_ms(region), drive_now_ms + HOUR_MS);
}
END_TEST

START_TEST(a_pass_that_is_asked_for_is_due)
{
    scrub_settle();
    ck_assert_uint_eq(region_deadline_ms(region), UINT64_MAX);
    (void)request();
    ck_assert_uint_eq(region_lane_deadline_ms(region, LANE_SCRUB), drive_now_ms);
    scrub_settle();
    ck_assert_uint_eq(region_deadline_ms(region), UINT64_MAX);
}
END_TEST

START_TEST(no_failure_of_what_was_done)
{
    uint64_t first = request();
    scrub_settle();
    uint64_t second = request();
    options.checksum = CHECKSUM_OFF;
    region_set_options(region, &options);
    ck_assert_ptr_null(region_scrub_failure(region, first));
    ck_assert_ptr_nonnull(region_scrub_failure(region, second));
    ck_assert_ptr_null(region_scrub_failure(region, second + 1));
}
END_TEST

START_TEST(a_pass_that_had_begun_is_not_enough)
{
    drive_add(region, bytes, BLOB);
    drive_settle(region);
    uint64_t first = request();
    ck_assert(drive_step(region, LANE_SCRUB));
    uint64_t second = request(), third = request();
    ck_assert_uint_gt(second, first);
    ck_assert_uint_eq(second, third);
    flip("data", 0);
    while (region_scrub_ticket(region) < first)
        ck_assert(drive_step(region, LANE_SCRUB));
    expect_counts(scrub_of(), BLOB_PAGES, 0, 0);
    ck_assert_uint_lt(region_scrub_ticket(region), second);
    scrub_settle();
    ck_assert_uint_eq(region_scrub_ticket(region), second);
    expect_counts(scrub_of(), BLOB_PAGES - 1, 0, 1);
    ck_assert_uint_eq(scrub_of().passes, 2);
}
END_TEST

START_TEST(checksums_are_turned_off_meanwhile)
{
    drive_add(region, bytes, BLOB);
    drive_settle(region);
    uint64_t ticket = request();
    struct region_job *job = region_next_job(region, LANE_SCRUB, drive_now_ms);
    ck_assert_ptr_null(region_scrub_failure(region, ticket));
    options.checksum = CHECKSUM_OFF;
    region_set_options(region, &options);
    ck_assert_ptr_nonnull(region_scrub_failure(region, ticket));
    region_job_run(job);
    region_job_done(region, job);
    scrub_settle();
    ck_assert(!scrub_of().is_running);
    ck_assert_uint_lt(region_scrub_ticket(region), ticket);
    options.checksum = CHECKSUM_ON;
    region_set_options(region, &options);
    ck_assert_uint_gt(request(), ticket);
    scrub_settle();
    expect_counts(scrub_of(), BLOB_PAGES, 0, 0);
}
END_TEST

/* ---- Beside commits ---- */

START_TEST(a_commit_waits_for_one_piece)
{
    drive_add(region, bytes, BLOB);
    drive_settle(region);
    (void)request();
    struct region_job *job = region_next_job(region, LANE_SCRUB, drive_now_ms);
    ck_assert_uint_eq(region_lane_deadline_ms(region, LANE_SCRUB), UINT64_MAX);
    drive_store(region, 10, bytes, 20);
    ck_assert_ptr_null(region_next_job(region, LANE_COMMIT, drive_now_ms));
    region_job_run(job);
    region_job_done(region, job);
    struct region_job *commit = region_next_job(region, LANE_COMMIT, drive_now_ms);
    ck_assert_ptr_nonnull(commit);
    /* The rest is not in its way. */
    job = region_next_job(region, LANE_SCRUB, drive_now_ms);
    ck_assert_ptr_nonnull(job);
    region_job_run(job);
    region_job_done(region, job);
    region_job_run(commit);
    region_job_done(region, commit);
    scrub_settle();
    expect_counts(scrub_of(), BLOB_PAGES, 0, 0);
}
END_TEST

START_TEST(a_page_that_is_being_written_is_waited_for)
{
    drive_add(region, bytes, 10 * DATA_PAGE);
    drive_settle(region);
    drive_store(region, 4 * DATA_PAGE + 10, bytes, 20);
    struct region_job *commit = region_next_job(region, LANE_COMMIT, drive_now_ms);
    (void)request();
    ck_assert(drive_step(region, LANE_SCRUB));
    ck_assert_uint_eq(scrub_of().verified, 4);
    ck_assert(!drive_step(region, LANE_SCRUB));
    ck_assert_uint_eq(region_lane_deadline_ms(region, LANE_SCRUB), UINT64_MAX);
    region_job_run(commit);
    ck_assert(!drive_step(region, LANE_SCRUB));
    region_job_done(region, commit);
    ck_assert(drive_step(region, LANE_SCRUB));
    expect_counts(scrub_of(), 10, 0, 0);
}
END_TEST

/* A page that every commit writes does not keep the pass for ever. */
START_TEST(a_page_that_is_always_being_written)
{
    drive_add(region, bytes, 10 * DATA_PAGE);
    drive_settle(region);
    uint64_t ticket = request();
    unsigned commits = 0;
    while (region_scrub_ticket(region) < ticket) {
        ck_assert_uint_lt(commits++, 5);
        drive_store(region, 4 * DATA_PAGE + 10, bytes, 20);
        struct region_job *commit = region_next_job(region, LANE_COMMIT, drive_now_ms);
        while (drive_step(region, LANE_SCRUB)) {
        }
        region_job_run(commit);
        region_job_done(region, commit);
    }
    expect_counts(scrub_of(), 9, 0, 0);
}
END_TEST

static void use_interval(void)
{
    options.durability = DURABILITY_INTERVAL;
    options.flush_interval_ms = 60 * 1000;
    region_set_options(region, &options);
}

/* Bytes that wait in a batch to go over those of a page do not keep it from being read. */
START_TEST(held_back_changes_are_no_hindrance)
{
    drive_add(region, bytes, 10 * DATA_PAGE);
    drive_settle(region);
    use_interval();
    drive_store(region, 4 * DATA_PAGE + 10, bytes, 20);
    drive_settle(region);
    uint64_t syncs = simdisk_calls(disk, SIM_SYNCS);
    flip("data", 4 * DATA_PAGE);
    expect_counts(scrub_all(), 9, 0, 1);
    ck_assert_uint_eq(simdisk_calls(disk, SIM_SYNCS), syncs);
    expect_damages((uint64_t[]){4 * DATA_PAGE}, 1);
}
END_TEST

/* A pass that nobody asked for lets new pages come in their own time. */
START_TEST(new_pages_are_waited_for)
{
    use_interval();
    set_interval(HOUR_MS, 0);
    scrub_settle();
    drive_now_ms += HOUR_MS;
    drive_add(region, bytes, 10 * DATA_PAGE);
    uint64_t syncs = simdisk_calls(disk, SIM_SYNCS);
    scrub_settle();
    ck_assert(scrub_of().is_running);
    ck_assert_uint_eq(scrub_of().pages, 0);
    ck_assert_uint_eq(simdisk_calls(disk, SIM_SYNCS), syncs);
    ck_assert_uint_eq(region_deadline_ms(region), drive_now_ms + 60 * 1000);
    drive_now_ms += 60 * 1000;
    scrub_settle();
    expect_counts(scrub_of(), 10, 0, 0);
    ck_assert(!scrub_of().is_running);
    /* Who asks hurries them. */
    drive_add(region, bytes, 10 * DATA_PAGE);
    expect_counts(scrub_all(), 20, 0, 0);
}
END_TEST

/* ---- What fails ---- */

START_TEST(pages_that_cannot_be_read)
{
    drive_add(region, bytes, BLOB);
    drive_settle(region);
    struct simdisk_fault fault = {
        .ops = SIM_BIT(SIM_READ), .pattern = "*/data", .nth = 1, .error = EIO, .forever = true};
    (void)request();
    ck_assert(drive_step(region, LANE_SCRUB));
    simdisk_set_fault(disk, fault);
    ck_assert(drive_step(region, LANE_SCRUB));
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    scrub_settle();
    expect_counts(scrub_of(), BLOB_PAGES - SCRUB_PAGES, 0, SCRUB_PAGES);
    struct region_finding news[DAMAGE_NEWS];
    uint64_t more;
    ck_assert_uint_eq(region_take_findings(region, news, DAMAGE_NEWS, &more), DAMAGE_NEWS);
    ck_assert_uint_eq(more, SCRUB_PAGES - DAMAGE_NEWS);
    ck_assert(news[0].is_unreadable);
    ck_assert_uint_eq(news[0].address, SCRUB_PIECE);
    ck_assert_ptr_null(region_failure(region));
    drive_expect(region, 0, bytes, BLOB);
    /* They can be read again. */
    expect_counts(scrub_all(), BLOB_PAGES, 0, 0);
    ck_assert_uint_eq(damaged_pages(), 0);
}
END_TEST

/* The piece fails, and then, page by page, the seventh. */
static void fail_two_reads(void *context, struct simdisk *of, enum simdisk_op op, const char *path)
{
    unsigned *reads = context;
    size_t length = strlen(path);
    if (op != SIM_READ || length < 4 || strcmp(path + length - 4, "data") != 0)
        return;
    unsigned nth = ++*reads;
    simdisk_set_fault(of, (struct simdisk_fault){.ops = SIM_BIT(SIM_READ),
                                                 .pattern = "*/data",
                                                 .nth = nth == 1 || nth == 8 ? 1 : 0,
                                                 .error = EIO});
}

/* One bad sector is told from its neighbors. */
START_TEST(one_page_that_cannot_be_read)
{
    unsigned reads = 0;
    drive_add(region, bytes, 10 * DATA_PAGE);
    drive_settle(region);
    simdisk_set_hook(disk, fail_two_reads, &reads);
    expect_counts(scrub_all(), 9, 0, 1);
    simdisk_set_hook(disk, NULL, NULL);
    ck_assert_uint_eq(reads, 11);
    expect_damages((uint64_t[]){6 * DATA_PAGE}, 1);
    ck_assert_ptr_null(region_failure(region));
}
END_TEST

START_TEST(sums_that_cannot_be_read)
{
    drive_add(region, bytes, 10 * DATA_PAGE);
    drive_settle(region);
    (void)request();
    simdisk_set_fault(disk, (struct simdisk_fault){.ops = SIM_BIT(SIM_READ),
                                                   .pattern = "*/sums",
                                                   .nth = 1,
                                                   .error = EIO,
                                                   .forever = true});
    scrub_settle();
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    expect_counts(scrub_of(), 0, 0, 10);
    ck_assert_ptr_null(region_failure(region));
    expect_counts(scrub_all(), 10, 0, 0);
}
END_TEST

START_TEST(the_region_fails_meanwhile)
{
    drive_add(region, bytes, BLOB);
    drive_settle(region);
    uint64_t ticket = request();
    struct region_job *job = region_next_job(region, LANE_SCRUB, drive_now_ms);
    simdisk_set_fault(disk, (struct simdisk_fault){.ops = SIM_SYNCS, .nth = 1, .error = EIO});
    uint64_t address;
    ck_assert_int_eq(region_add(region, bytes, 100, &address, &err), 0);
    while (drive_step(region, LANE_COMMIT)) {
    }
    ck_assert_ptr_nonnull(region_failure(region));
    region_job_run(job);
    region_job_done(region, job);
    ck_assert(!scrub_of().is_running);
    ck_assert_ptr_null(region_next_job(region, LANE_SCRUB, drive_now_ms));
    ck_assert_uint_lt(region_scrub_ticket(region), ticket);
    ck_assert_int_eq(region_request_scrub(region, &ticket, &err), ERR_READ_ONLY);
    ck_assert_uint_eq(region_deadline_ms(region), UINT64_MAX);
}
END_TEST

/* It may be closed between two pieces. */
START_TEST(closed_in_the_middle)
{
    drive_add(region, bytes, BLOB);
    drive_settle(region);
    (void)request();
    ck_assert(drive_step(region, LANE_SCRUB));
    ck_assert(region_idle(region));
    drive_close(region);
    open_region();
    ck_assert(!scrub_of().is_running);
    expect_counts(scrub_all(), BLOB_PAGES, 0, 0);
}
END_TEST

/* ---- Piece by piece ---- */

/* A region that is only looked at: what the journal holds is part of it. */
START_TEST(offline)
{
    drive_add(region, bytes, BLOB);
    drive_checkpoint(region);
    drive_store(region, 10 * DATA_PAGE + 10, bytes + 100, 9000);
    drive_close(region);
    flip("data", 7 * DATA_PAGE);
    flip("data", 600 * DATA_PAGE);
    struct region_look look;
    uint64_t damages[2], damaged = 0, verified = 0, end;
    uint8_t *buffer = aligned_alloc(DISK_BLOCK, SCRUB_PIECE);
    ck_assert_int_eq(region_open(io, "r", NULL, true, &region, NULL, &err), 0);
    uint64_t changes = simdisk_calls(disk, SIM_CHANGES | SIM_SYNCS);
    for (uint64_t at = 0; (end = region_piece_end(region, at)) > at; at = end) {
        /* Slowly, where there is no buffer. */
        region_look_at_piece(region, at, at == 0 ? NULL : buffer, &look);
        ck_assert_uint_eq(look.pages, look.verified + look.damaged);
        verified += look.verified;
        for (size_t i = 0; i < look.damaged; i++) {
            ck_assert(!look.findings[i].is_unreadable);
            ck_assert_uint_lt(damaged, 2);
            damages[damaged++] = look.findings[i].address;
        }
    }
    free(buffer);
    ck_assert_uint_eq(simdisk_calls(disk, SIM_CHANGES | SIM_SYNCS), changes);
    ck_assert_uint_eq(verified, BLOB_PAGES - 2);
    ck_assert_uint_eq(damaged, 2);
    ck_assert_uint_eq(damages[0], 7 * DATA_PAGE);
    ck_assert_uint_eq(damages[1], 600 * DATA_PAGE);
    ck_assert_uint_eq(region_piece_end(region, BLOB), BLOB);
    simdisk_set_fault(disk, (struct simdisk_fault){.ops = SIM_BIT(SIM_READ),
                                                   .pattern = "*/data",
                                                   .nth = 1,
                                                   .error = EIO,
                                                   .forever = true});
    region_look_at_piece(region, 0, NULL, &look);
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    ck_assert_uint_eq(look.damaged, look.pages);
    ck_assert(look.findings[0].is_unreadable);
    region_look_at_piece(region, BLOB, NULL, &look);
    ck_assert_uint_eq(look.pages, 0);
    ck_assert_ptr_null(region_next_job(region, LANE_SCRUB, drive_now_ms));
    ck_assert_uint_eq(region_deadline_ms(region), UINT64_MAX);
    ck_assert_int_eq(region_request_scrub(region, &changes, &err), ERR_READ_ONLY);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("region_scrub");
    TCase *tests = tcase_create("region_scrub");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, an_empty_region);
    tcase_add_test(tests, every_page_in_use_and_no_other);
    tcase_add_test(tests, scattered_pages);
    tcase_add_test(tests, flipped_bits_are_found_by_address);
    tcase_add_test(tests, more_damage_than_is_remembered);
    tcase_add_test(tests, more_damage_than_is_remembered_at_a_start);
    tcase_add_test(tests, what_is_freed_beside_damage);
    tcase_add_test(tests, damage_below_many_zeros);
    tcase_add_test(tests, freed_while_it_is_read);
    tcase_add_test(tests, a_pass_that_is_asked_for_is_due);
    tcase_add_test(tests, no_failure_of_what_was_done);
    tcase_add_test(tests, pages_without_a_checksum);
    tcase_add_test(tests, passes_come_by_themselves);
    tcase_add_test(tests, the_rate_is_kept);
    tcase_add_test(tests, who_asks_does_not_wait);
    tcase_add_test(tests, a_pass_that_had_begun_is_not_enough);
    tcase_add_test(tests, checksums_are_turned_off_meanwhile);
    tcase_add_test(tests, a_commit_waits_for_one_piece);
    tcase_add_test(tests, a_page_that_is_being_written_is_waited_for);
    tcase_add_test(tests, a_page_that_is_always_being_written);
    tcase_add_test(tests, held_back_changes_are_no_hindrance);
    tcase_add_test(tests, new_pages_are_waited_for);
    tcase_add_test(tests, pages_that_cannot_be_read);
    tcase_add_test(tests, one_page_that_cannot_be_read);
    tcase_add_test(tests, sums_that_cannot_be_read);
    tcase_add_test(tests, the_region_fails_meanwhile);
    tcase_add_test(tests, closed_in_the_middle);
    tcase_add_test(tests, offline);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
