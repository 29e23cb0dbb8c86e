/* Backups, step by step: what they have, whom they keep waiting, what ends them, and regions made
 * out of them. */
#include "core/region_private.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/backups.h"
#include "core/iofile.h"
#include "core/region_restore.h"
#include "support_fixture.h"
#include "support_token.h"
#include "tests/support_main.h"

#define BLOB (3 * MIB)

static struct region_backup backup;

static void begin(const char *name)
{
    int code = region_backup_begin(region, io, name, &err);
    ck_assert_msg(code == 0, "%s", err.text);
    ck_assert(region_is_backed_up(region));
}

/* Jobs until it has ended; what else there is to do is done meanwhile. */
static int end(void)
{
    while (!region_take_backup(region, &backup)) {
        bool is_busy = drive_step(region, LANE_BACKUP);
        is_busy |= drive_step(region, LANE_COMMIT);
        is_busy |= drive_step(region, LANE_BACKGROUND);
        ck_assert_msg(is_busy, "the backup waits for nothing");
    }
    ck_assert(!region_is_backed_up(region));
    return backup.code;
}

static void expect_made(const char *name)
{
    begin(name);
    ck_assert_msg(end() == 0, "%s", backup.err.text);
}

static bool is_there(const char *name)
{
    return simtree_find(simdisk_tree(disk), name) != NULL;
}

static int note_leftover(void *context, const char *name, bool is_directory)
{
    (void)is_directory;
    *(bool *)context |= name[0] == '.';
    return 0;
}

static bool has_leftovers(void)
{
    bool has_some = false;
    ck_assert_int_eq(io->ops->list(io, ".", note_leftover, &has_some), 0);
    return has_some;
}

/* It ended with this, and nothing is left of it. */
static void expect_failure(const char *name, int code, const char *words)
{
    ck_assert_int_eq(end(), code);
    ck_assert_int_eq((int)backup.err.code, code);
    ck_assert_msg(strstr(backup.err.text, words) != NULL, "%s", backup.err.text);
    ck_assert(!is_there(name));
    ck_assert(!has_leftovers());
}

static struct region *open_copy(const char *name)
{
    struct region *copy;
    struct region_report report;
    int code = region_open(io, name, NULL, false, &copy, &report, &err);
    ck_assert_msg(code == 0, "%s", err.text);
    ck_assert_uint_eq(report.records, 0);
    ck_assert_ptr_null(region_check(copy));
    return copy;
}

static void flip(uint64_t address)
{
    struct node *file = simtree_find(simdisk_tree(disk), "r/data");
    uint8_t byte;
    image_read(file->cached, address, &byte, 1);
    byte ^= 4;
    simtree_write(simdisk_tree(disk), file, address, &byte, 1);
    simtree_sync(simdisk_tree(disk), file);
}

/* ---- What it has ---- */

START_TEST(of_an_empty_region)
{
    expect_made("b");
    ck_assert_uint_eq(backup.bytes, 0);
    struct region *copy = open_copy("b");
    ck_assert_uint_eq(region_size(copy), 0);
    ck_assert_str_eq(region_name(copy), "main");
    ck_assert_uint_eq(region_id(copy), 7);
    drive_close(copy);
}
END_TEST

START_TEST(blobs_free_blocks_and_tokens)
{
    if (_i == 1)
        simdisk_set_clones(disk);
    uint64_t a = drive_add(region, big, BLOB), b = drive_add(region, small, 100);
    drive_deallocate(region, a + DATA_PAGE, MIB);
    uint64_t zeros = drive_allocate(region, 2 * MIB);
    token_add(region, 5, 20, small, 10);
    drive_settle(region);
    expect_made("b");
    ck_assert(backup.is_cloned == (_i == 1));
    ck_assert_uint_eq(backup.size, region_size(region));
    drive_store(region, b, big, 50); /* not in it */
    struct region *copy = open_copy("b");
    struct region_info was, is;
    region_get_info(region, &was);
    region_get_info(copy, &is);
    ck_assert_uint_eq(is.size, was.size);
    ck_assert_uint_eq(is.allocated, was.allocated);
    ck_assert_uint_eq(is.free_blocks, was.free_blocks);
    ck_assert_uint_eq(is.tokens, 1);
    ck_assert_uint_eq(is.pages, was.pages);
    ck_assert_mem_eq(is.uuid, was.uuid, sizeof is.uuid);
    drive_expect(copy, a, big, DATA_PAGE);
    drive_expect(copy, a + DATA_PAGE + MIB, big + DATA_PAGE + MIB, BLOB - MIB - DATA_PAGE);
    drive_expect(copy, b, small, 100);
    uint8_t nothing[DATA_PAGE] = {0};
    drive_expect(copy, zeros, nothing, sizeof nothing);
    drive_add(copy, big, MIB);
    drive_close(copy);
}
END_TEST

/* Zeros and what is free have no disk space in it. */
START_TEST(it_takes_no_more_than_it_has)
{
    uint64_t a = drive_add(region, big, BLOB), bytes;
    drive_allocate(region, 20 * MIB);
    drive_deallocate(region, a, MIB);
    drive_settle(region);
    expect_made("b");
    ck_assert_uint_eq(backup.bytes, BLOB - MIB);
    struct io_file *file;
    ck_assert_int_eq(io->ops->open(io, "b/data", IO_READ_ONLY, &file), 0);
    ck_assert_int_eq(io->ops->usage(io, file, &bytes), 0);
    io->ops->close(io, file);
    ck_assert_uint_eq(bytes, BLOB - MIB);
}
END_TEST

/* ---- While others change the region ---- */

static void step_to(enum backup_state state)
{
    while (region->backup.state != state)
        ck_assert(drive_step(region, LANE_BACKUP));
}

/* What was copied is changed, what was not is freed and taken by others, and that over and over. */
START_TEST(changes_during_the_pass)
{
    if (_i == 1)
        simdisk_set_clones(disk);
    uint64_t a = drive_add(region, big, BLOB);
    uint8_t expected[BLOB / 8];
    drive_settle(region);
    memcpy(expected, big, sizeof expected);
    begin("b");
    for (unsigned i = 0; region->backup.state < BACKUP_CUT; i++) {
        uint64_t at = (i * 7919) % (sizeof expected - 100);
        drive_store(region, a + at, small, 100);
        memcpy(expected + at, small, 100);
        drive_settle(region);
        ck_assert(drive_step(region, LANE_BACKUP));
    }
    drive_store(region, a, small + 1000, 100);
    ck_assert_int_eq(end(), 0);
    struct region *copy = open_copy("b");
    drive_expect(copy, a, expected, sizeof expected);
    drive_close(copy);
    drive_expect(region, a, small + 1000, 100);
}
END_TEST

/* A change after the cut waits until the page is copied, and the change before it does not. */
START_TEST(the_rest_is_kept)
{
    uint64_t a = drive_add(region, big, 10 * DATA_PAGE);
    drive_settle(region);
    begin("b");
    step_to(BACKUP_PASS);
    drive_store(region, a, small, 100); /* before the cut, and not committed by then */
    ck_assert(drive_step(region, LANE_BACKUP));
    ck_assert_int_eq(region->backup.state, BACKUP_CUT);
    uint64_t done = region_done_ticket(region);
    drive_store(region, a + 50, small + 200, 100); /* the same page */
    ck_assert_ptr_null(region_next_job(region, LANE_BACKUP, drive_now_ms));
    ck_assert(drive_step(region, LANE_COMMIT));
    ck_assert_uint_eq(region_done_ticket(region), done + 1);
    ck_assert(!drive_step(region, LANE_COMMIT));
    struct region_job *job = region_next_job(region, LANE_BACKUP, drive_now_ms);
    ck_assert_ptr_nonnull(job);
    region_job_run(job);
    ck_assert(!drive_step(region, LANE_COMMIT));
    region_job_done(region, job);
    ck_assert(drive_step(region, LANE_COMMIT));
    ck_assert_uint_eq(region_done_ticket(region), done + 2);
    ck_assert_int_eq(end(), 0);
    struct region *copy = open_copy("b");
    drive_expect(copy, a, small, 100);
    drive_expect(copy, a + 100, big + 100, 10 * DATA_PAGE - 100);
    drive_close(copy);
}
END_TEST

/* A rest of three pieces: at its end is what somebody waits for, and it is copied first. */
static uint64_t cut_with_a_long_rest(void)
{
    uint64_t a = drive_add(region, big, BLOB);
    drive_settle(region);
    begin("b");
    step_to(BACKUP_PASS);
    while (region->backup.state == BACKUP_PASS || region->backup.state == BACKUP_ROUNDS) {
        drive_store(region, a, big + 100, BLOB - 100);
        ck_assert(drive_step(region, LANE_BACKUP));
    }
    ck_assert_int_eq(region->backup.state, BACKUP_CUT);
    return a;
}

static void expect_long_rest(uint64_t a)
{
    ck_assert_int_eq(region->backup.state, BACKUP_REST);
    ck_assert_uint_gt(region->backup.todo.bytes, 2 * COPY_PAGES * DATA_PAGE);
    ck_assert_int_eq(end(), 0);
    struct region *copy = open_copy("b");
    drive_expect(copy, a, big + 100, BLOB - 100);
    drive_close(copy);
}

START_TEST(who_waits_comes_first)
{
    if (_i == 1)
        fixture_set_durability(DURABILITY_INTERVAL);
    uint64_t a = cut_with_a_long_rest();
    uint64_t at = a + BLOB - 3 * DATA_PAGE;
    while (drive_step(region, LANE_COMMIT))
        continue;
    uint64_t applied = region->applied_ticket;
    ck_assert_uint_eq(applied, region->backup.cut);
    /* Two places in one page, and another one. */
    drive_store(region, at, small, 100);
    drive_store(region, at + 200, small, 100);
    drive_store(region, at + DATA_PAGE, small, 100);
    while (drive_step(region, LANE_COMMIT))
        continue;
    region_hurry(region);
    ck_assert(!drive_step(region, LANE_COMMIT));
    ck_assert_uint_eq(region->applied_ticket, applied);
    ck_assert(drive_step(region, LANE_BACKUP));
    while (drive_step(region, LANE_COMMIT))
        continue;
    ck_assert_uint_eq(region->applied_ticket, region->newest_ticket - (region->gathering != NULL));
    ck_assert_uint_gt(region->applied_ticket, applied);
    drive_expect(region, at + 200, small, 100);
    expect_long_rest(a);
}
END_TEST

START_TEST(an_upload_that_waits_comes_first)
{
    struct region_upload *upload;
    uint64_t ticket, a = cut_with_a_long_rest();
    while (drive_step(region, LANE_COMMIT))
        continue;
    drive_deallocate(region, a + BLOB - 3 * DATA_PAGE, 2 * DATA_PAGE);
    while (drive_step(region, LANE_COMMIT))
        continue;
    ck_assert_int_eq(region_upload_begin(region, 2 * DATA_PAGE, &upload, &err), 0);
    ck_assert_int_eq(region_upload_append(region, upload, big, 2 * DATA_PAGE, &ticket, &err), 0);
    ck_assert(!drive_step(region, LANE_UPLOAD));
    ck_assert(drive_step(region, LANE_BACKUP));
    while (drive_step(region, LANE_COMMIT) || drive_step(region, LANE_UPLOAD))
        continue;
    ck_assert_uint_ge(region_upload_written(upload), ticket);
    region_upload_abort(region, upload);
    expect_long_rest(a);
}
END_TEST

/* A page of the rest that is freed after the cut is not punched before it is copied. */
START_TEST(the_rest_is_not_discarded)
{
    struct region_info info;
    region_get_info(region, &info);
    info.options.discard = DATA_PAGE;
    region_set_options(region, &info.options);
    uint64_t a = drive_add(region, big, 100 * DATA_PAGE);
    drive_settle(region);
    begin("b");
    step_to(BACKUP_PASS);
    drive_store(region, a, small, DATA_PAGE);
    ck_assert(drive_step(region, LANE_BACKUP));
    ck_assert_int_eq(region->backup.state, BACKUP_CUT);
    drive_deallocate(region, a, 100 * DATA_PAGE);
    drive_settle(region);
    drive_now_ms += 10000;
    drive_settle(region);
    region_get_info(region, &info);
    ck_assert_uint_eq(info.discarded_bytes, 0);
    ck_assert_int_eq(end(), 0);
    struct region *copy = open_copy("b");
    drive_expect(copy, a, small, DATA_PAGE);
    drive_close(copy);
    drive_now_ms += 10000;
    drive_settle(region);
    region_get_info(region, &info);
    ck_assert_uint_ge(info.discarded_bytes, 99 * DATA_PAGE);
}
END_TEST

/* Nor does an upload write there that has reserved it since. */
START_TEST(the_rest_is_not_uploaded_to)
{
    struct region_upload *upload;
    uint64_t ticket, address, a = drive_add(region, big, 100 * DATA_PAGE);
    drive_add(region, small, DATA_PAGE);
    drive_settle(region);
    begin("b");
    step_to(BACKUP_PASS);
    drive_store(region, a, small, DATA_PAGE);
    ck_assert(drive_step(region, LANE_BACKUP));
    ck_assert_int_eq(region->backup.state, BACKUP_CUT);
    drive_deallocate(region, a, 100 * DATA_PAGE);
    drive_settle(region);
    ck_assert_int_eq(region_upload_begin(region, 100 * DATA_PAGE, &upload, &err), 0);
    ck_assert_int_eq(
        region_upload_append(region, upload, big + MIB, 100 * DATA_PAGE, &ticket, &err), 0);
    drive_settle(region);
    ck_assert_uint_lt(region_upload_written(upload), ticket);
    ck_assert_int_eq(end(), 0);
    drive_settle(region);
    ck_assert_uint_eq(region_upload_written(upload), ticket);
    ck_assert_int_eq(region_upload_commit(region, upload, &address, &err), 0);
    ck_assert_uint_eq(address, a);
    drive_settle(region);
    struct region *copy = open_copy("b");
    drive_expect(copy, a, small, DATA_PAGE);
    drive_close(copy);
    drive_expect(region, a, big + MIB, 100 * DATA_PAGE);
}
END_TEST

/* Batches that wait for the flush interval are in it all the same. */
START_TEST(what_is_held_back_is_in_it)
{
    fixture_set_durability(_i == 0 ? DURABILITY_INTERVAL : DURABILITY_NONE);
    uint64_t a = drive_add(region, big, BLOB);
    while (drive_step(region, LANE_COMMIT))
        continue;
    uint64_t b = drive_add(region, small, 100);
    expect_made("b");
    struct region *copy = open_copy("b");
    drive_expect(copy, a, big, BLOB);
    drive_expect(copy, b, small, 100);
    drive_close(copy);
}
END_TEST

/* ---- What ends it ---- */

START_TEST(a_damaged_page)
{
    uint64_t known[4], a = drive_add(region, big, BLOB);
    char words[40];
    drive_settle(region);
    flip(a + 5 * DATA_PAGE + 100);
    snprintf(words, sizeof words, "page at %llu ",
             (unsigned long long)round_down(a + 5 * DATA_PAGE + 100, DATA_PAGE));
    begin("b");
    expect_failure("b", ERR_CORRUPT, words);
    ck_assert_uint_eq(region_damages(region, known, 4), 1);
    ck_assert_ptr_null(region_failure(region));
    drive_store(region, a + 4 * DATA_PAGE, big + 4 * DATA_PAGE, 3 * DATA_PAGE);
    drive_settle(region);
    expect_made("b");
}
END_TEST

START_TEST(a_page_that_cannot_be_read)
{
    drive_add(region, big, BLOB);
    drive_settle(region);
    begin("b");
    ck_assert(drive_step(region, LANE_BACKUP));
    simdisk_set_fault(disk, (struct simdisk_fault){.ops = SIM_BIT(SIM_READ),
                                                   .pattern = "r/data",
                                                   .nth = 1,
                                                   .error = EIO,
                                                   .forever = true});
    expect_failure("b", ERR_IO_ERROR, "the page at 0 cannot be read");
    simdisk_set_fault(disk, (struct simdisk_fault){.nth = 0});
    ck_assert_ptr_null(region_failure(region));
    expect_made("b");
}
END_TEST

START_TEST(a_full_disk)
{
    drive_add(region, big, BLOB);
    drive_settle(region);
    simdisk_set_capacity(disk, simdisk_used(disk) + 2 * MIB);
    begin("b");
    expect_failure("b", ERR_NO_SPACE, "No space left");
    simdisk_set_capacity(disk, 0);
    expect_made("b");
}
END_TEST

/* Every call for the backup's own files, one after the other. */
START_TEST(whatever_fails)
{
    bool has_failed = true;
    if (_i == 1)
        simdisk_set_clones(disk);
    drive_add(region, big, BLOB);
    drive_settle(region);
    for (uint64_t nth = 1; has_failed; nth++) {
        char name[16];
        snprintf(name, sizeof name, "b%llu", (unsigned long long)nth);
        begin(name);
        simdisk_set_fault(disk,
                          (struct simdisk_fault){.ops = SIM_CHANGES | SIM_SYNCS | SIM_BIT(SIM_OPEN),
                                                 .pattern = ".new-*",
                                                 .nth = nth,
                                                 .error = EIO});
        int code = end();
        has_failed = simdisk_faults_hit(disk) > 0;
        simdisk_set_fault(disk, (struct simdisk_fault){.nth = 0});
        ck_assert_int_eq(code, has_failed ? ERR_IO_ERROR : 0);
        ck_assert(is_there(name) == !has_failed);
        ck_assert(!has_leftovers());
        ck_assert_ptr_null(region_failure(region));
    }
}
END_TEST

/* How often a power cut leaves it, of some; then it is whole. */
static unsigned times_there(const char *name, uint64_t seed)
{
    struct rng rng = {seed};
    unsigned times = 0;
    for (int i = 0; i < 30; i++) {
        struct simdisk *crashed = simdisk_crash_random(disk, &rng);
        struct region *found;
        if (simtree_find(simdisk_tree(crashed), name) != NULL) {
            int code = region_open(simdisk_io(crashed), name, NULL, true, &found, NULL, &err);
            ck_assert_msg(code == 0, "%s", err.text);
            region_close(found);
            times++;
        }
        simdisk_free(crashed);
    }
    return times;
}

static void fail_names(unsigned ops, uint64_t nth, bool forever)
{
    simdisk_set_fault(
        disk, (struct simdisk_fault){
                  .ops = ops, .pattern = "[.c]", .nth = nth, .error = EIO, .forever = forever});
}

/* Its name is durable at the very end: where that fails, it is as if there had been none, or the
 * sentence says what the disk may have, and that is whole. */
START_TEST(its_name_may_not_last)
{
    drive_add(region, small, 100);
    drive_settle(region);
    begin("b");
    fail_names(SIM_BIT(SIM_SYNC_DIRECTORY), 1, false);
    expect_failure("b", ERR_IO_ERROR, "cannot sync the backup directory");
    ck_assert_ptr_null(strstr(backup.err.text, "may find"));
    ck_assert_uint_eq(times_there("b", 1), 0);

    begin("b");
    fail_names(SIM_BIT(SIM_SYNC_DIRECTORY), 1, true);
    ck_assert_int_eq(end(), ERR_IO_ERROR);
    ck_assert_msg(
        strstr(backup.err.text, "not there until the next start, which may find it there") != NULL,
        "%s", backup.err.text);
    ck_assert(!is_there("b"));
    unsigned times = times_there("b", 2);
    ck_assert(times > 0 && times < 30);
    begin("b");
    ck_assert_int_eq(end(), ERR_IO_ERROR); /* not over what may be there */
    ck_assert_uint_gt(times_there("b", 3), 0);
    simdisk_set_fault(disk, (struct simdisk_fault){.nth = 0});
    expect_made("b");
    ck_assert(!has_leftovers());

    begin("c");
    fail_names(SIM_BIT(SIM_SYNC_DIRECTORY) | SIM_BIT(SIM_RENAME), 1, true);
    ck_assert_int_eq(end(), ERR_IO_ERROR);
    ck_assert_msg(strstr(backup.err.text, "there until the next start, which may find it gone"),
                  "%s", backup.err.text);
    ck_assert(is_there("c"));
    simdisk_set_fault(disk, (struct simdisk_fault){.nth = 0});
    (void)times_there("c", 4);
    drive_close(open_copy("c"));
}
END_TEST

static void leave_one_in_doubt(void)
{
    drive_add(region, small, 100);
    drive_settle(region);
    begin("b");
    fail_names(SIM_BIT(SIM_SYNC_DIRECTORY), 1, true);
    ck_assert_int_eq(end(), ERR_IO_ERROR);
}

static const struct {
    const char *words;
    unsigned ops; /* that fail; 0: none does, and it is cancelled */
    const char *pattern;
} early_ends[] = {
    {"nobody wants it", 0, NULL},
    {"cannot open r/data", SIM_BIT(SIM_OPEN), "r/data"},
    {"cannot remove .new-b.7", SIM_BIT(SIM_REMOVE), ".new-b.7"},
};

/* One that ends before it has looked at what an earlier one has left leaves that as it is: the disk
 * may have it as a backup. */
START_TEST(one_that_ends_early)
{
    leave_one_in_doubt();
    begin("b");
    if (early_ends[_i].ops == 0) {
        (void)err_set(&err, ERR_SHUTTING_DOWN, "nobody wants it");
        region_backup_cancel(region, &err);
    } else {
        simdisk_set_fault(disk, (struct simdisk_fault){.ops = early_ends[_i].ops,
                                                       .pattern = early_ends[_i].pattern,
                                                       .nth = 1,
                                                       .error = EMFILE});
    }
    (void)end();
    ck_assert_msg(strstr(backup.err.text, early_ends[_i].words) != NULL, "%s", backup.err.text);
    ck_assert_uint_gt(times_there("b", 1), 0);
    simdisk_set_fault(disk, (struct simdisk_fault){.nth = 0});
    expect_made("b");
    ck_assert(!has_leftovers());
}
END_TEST

static void check_removal(void *context, struct simdisk *of, enum simdisk_op op, const char *path)
{
    (void)context, (void)of;
    if (op == SIM_REMOVE_DIRECTORY && strcmp(path, ".new-b.7") == 0)
        (void)times_there("b", 1);
}

/* Whatever is found out about it beforehand. */
START_TEST(a_leftover_that_cannot_be_listed)
{
    leave_one_in_doubt();
    simdisk_set_fault(
        disk, (struct simdisk_fault){
                  .ops = SIM_BIT(SIM_LIST), .pattern = ".new-b.7", .nth = 1, .error = EMFILE});
    simdisk_set_hook(disk, check_removal, NULL);
    begin("b");
    (void)end();
    simdisk_set_hook(disk, NULL, NULL);
    expect_made(is_there("b") ? "c" : "b");
    ck_assert(!has_leftovers());
}
END_TEST

static void cancel(void *context, struct simdisk *of, enum simdisk_op op, const char *path)
{
    struct err why;
    (void)context, (void)of, (void)op, (void)path;
    (void)err_set(&why, ERR_SHUTTING_DOWN, "nobody wants it");
    region_backup_cancel(region, &why);
}

/* Whoever has it cancelled hears of it all the same when the disk may have it. */
START_TEST(it_is_cancelled_at_its_very_end)
{
    begin("b");
    simdisk_set_fault(disk, (struct simdisk_fault){.ops = SIM_BIT(SIM_SYNC_DIRECTORY),
                                                   .pattern = ".",
                                                   .nth = 1,
                                                   .error = EIO,
                                                   .forever = true,
                                                   .after = cancel});
    ck_assert_int_eq(end(), ERR_IO_ERROR);
    ck_assert_msg(strstr(backup.err.text, "which may find it there") != NULL, "%s",
                  backup.err.text);
}
END_TEST

START_TEST(it_is_cancelled)
{
    drive_add(region, big, BLOB);
    drive_settle(region);
    static const enum backup_state states[] = {BACKUP_OPENING, BACKUP_PASS, BACKUP_CUT};
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        begin("b");
        step_to(states[i]);
        (void)err_set(&err, ERR_SHUTTING_DOWN, "nobody wants it");
        region_backup_cancel(region, &err);
        expect_failure("b", ERR_SHUTTING_DOWN, "nobody wants it");
        ck_assert(region_idle(region));
    }
}
END_TEST

START_TEST(the_region_fails)
{
    drive_add(region, big, BLOB);
    drive_settle(region);
    begin("b");
    step_to(BACKUP_PASS);
    simdisk_set_fault(
        disk, (struct simdisk_fault){
                  .ops = SIM_BIT(SIM_SYNC), .pattern = "r/journal-*", .nth = 1, .error = EIO});
    drive_add(region, small, 100);
    drive_settle(region);
    ck_assert_ptr_nonnull(region_failure(region));
    expect_failure("b", ERR_IO_ERROR, "r/journal-");
    ck_assert_int_eq(region_backup_begin(region, io, "b", &err), ERR_READ_ONLY);
    fixture_power_cut();
}
END_TEST

/* What it was to make durable may be lost, so the region must know, and who reads why, where. */
START_TEST(a_sync_of_the_source_that_fails)
{
    simdisk_set_clones(disk);
    drive_add(region, big, BLOB);
    drive_settle(region);
    begin("b");
    simdisk_set_fault(disk,
                      (struct simdisk_fault){
                          .ops = SIM_BIT(SIM_SYNC), .pattern = "r/data", .nth = 1, .error = EIO});
    expect_failure("b", ERR_IO_ERROR, "cannot sync r/data: ");
    ck_assert_ptr_nonnull(region_failure(region));
    fixture_power_cut();
}
END_TEST

START_TEST(names)
{
    static const char *const wrong[] = {"", ".", "..", ".new-x", "a/b", "/tmp/b", "a b"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        ck_assert_int_eq(region_backup_begin(region, io, wrong[i], &err), ERR_INVALID_ARGUMENT);
    expect_made("b");
    begin("b");
    ck_assert_int_eq(region_backup_begin(region, io, "c", &err), ERR_BUSY);
    ck_assert_int_eq(end(), ERR_EXISTS);
    struct region *copy = open_copy("b");
    drive_close(copy);
    /* Somebody else's was faster. */
    begin("c");
    step_to(BACKUP_CUT);
    ck_assert_int_eq(io->ops->make_directory(io, "c"), 0);
    struct io_file *file;
    ck_assert_int_eq(io->ops->open(io, "c/meta", IO_CREATE, &file), 0);
    io->ops->close(io, file);
    ck_assert_int_eq(end(), ERR_EXISTS);
    ck_assert(is_there("c/meta") && !has_leftovers());
}
END_TEST

/* ---- Regions made out of one ---- */

static int restore(const char *folder)
{
    struct region_wanted wanted = {.name = "other", .id = 9};
    return region_restore(io, "b", io, folder, &wanted, &err);
}

START_TEST(a_region_of_its_own)
{
    if (_i == 1)
        simdisk_set_clones(disk);
    uint64_t a = drive_add(region, big, BLOB);
    token_add(region, 5, 20, small, 10);
    drive_deallocate(region, a + MIB, MIB);
    drive_settle(region);
    expect_made("b");
    ck_assert_msg(restore("other") == 0, "%s", err.text);
    struct region *copy = open_copy("other");
    struct region_info was, is;
    region_get_info(region, &was);
    region_get_info(copy, &is);
    ck_assert_str_eq(is.name, "other");
    ck_assert_uint_eq(is.id, 9);
    ck_assert_mem_ne(is.uuid, was.uuid, sizeof is.uuid);
    ck_assert_uint_eq(is.allocated, was.allocated);
    ck_assert_uint_eq(is.tokens, 1);
    drive_expect(copy, a, big, MIB);
    drive_expect(copy, a + 2 * MIB, big + 2 * MIB, MIB);
    drive_close(copy);
}
END_TEST

/* One that somebody has opened and changed since, until the power was cut. */
START_TEST(one_with_a_journal)
{
    uint64_t a = drive_add(region, big, MIB);
    drive_settle(region);
    expect_made("b");
    struct region *copy = open_copy("b");
    drive_store(copy, a + 100, small, 200);
    uint64_t b = drive_add(copy, small, 300);
    drive_settle(copy);
    struct simdisk *crashed = simdisk_crash_none(disk);
    struct io *then = simdisk_io(crashed);
    if (_i == 1)
        simdisk_set_clones(crashed);
    drive_close(copy);
    struct region_wanted wanted = {.name = "other", .id = 9};
    int code = region_restore(then, "b", then, "other", &wanted, &err);
    ck_assert_msg(code == 0, "%s", err.text);
    ck_assert_int_eq(region_open(then, "other", NULL, false, &copy, NULL, &err), 0);
    drive_expect(copy, a + 100, small, 200);
    drive_expect(copy, b, small, 300);
    drive_close(copy);
    simdisk_free(crashed);
}
END_TEST

START_TEST(one_that_is_damaged)
{
    drive_add(region, big, MIB);
    drive_settle(region);
    expect_made("b");
    struct node *file = simtree_find(simdisk_tree(disk), "b/data");
    simtree_write(simdisk_tree(disk), file, 3 * DATA_PAGE, small, 1);
    simtree_sync(simdisk_tree(disk), file);
    ck_assert_int_eq(restore("other"), ERR_CORRUPT);
    ck_assert_ptr_nonnull(strstr(err.text, "page at 12288"));
    ck_assert(!is_there("other/meta"));
    ck_assert_int_eq(
        region_restore(io, "nothing", io, "x", &(struct region_wanted){.name = "x"}, &err),
        ERR_IO_ERROR);
}
END_TEST

/* ---- The directory ---- */

static int join(void *context, const struct backup_about *about)
{
    char *text = context;
    size_t length = strlen(text);
    snprintf(text + length, 100 - length, "%s:%s:%llu ", about->name, about->meta->name,
             (unsigned long long)about->size);
    return 0;
}

START_TEST(the_directory)
{
    struct io_file *lock, *other;
    char text[100] = "";
    drive_add(region, small, 100);
    expect_made("b");
    begin("c");
    step_to(BACKUP_CUT);
    struct simdisk *crashed = simdisk_crash_none(disk);
    ck_assert_int_eq(end(), 0);
    struct io *then = simdisk_io(crashed);
    /* What a crash has left is made to be seen. */
    ck_assert_int_eq(then->ops->make_directory(then, ".new-c.7"), 0);
    ck_assert_int_eq(then->ops->make_directory(then, "nothing"), 0);
    ck_assert_int_eq(backups_open(then, &lock, &err), 0);
    ck_assert_ptr_null(simtree_find(simdisk_tree(crashed), ".new-c.7"));
    ck_assert_int_eq(backups_open(then, &other, &err), ERR_BUSY);
    ck_assert_int_eq(backups_check(then, "b", &err), 0);
    ck_assert_int_eq(backups_check(then, "c", &err), ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(backups_check(then, "../b", &err), ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(io_remove_folder(then, "r", &err), 0); /* which lies beside it in the test */
    ck_assert_int_eq(backups_list(then, join, text, &err), 0);
    ck_assert_str_eq(text, "b:main:100 ");
    then->ops->close(then, lock);
    simdisk_free(crashed);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        of_an_empty_region,
        it_takes_no_more_than_it_has,
        the_rest_is_kept,
        an_upload_that_waits_comes_first,
        the_rest_is_not_discarded,
        the_rest_is_not_uploaded_to,
        a_damaged_page,
        a_page_that_cannot_be_read,
        a_full_disk,
        its_name_may_not_last,
        a_leftover_that_cannot_be_listed,
        it_is_cancelled_at_its_very_end,
        it_is_cancelled,
        the_region_fails,
        a_sync_of_the_source_that_fails,
        names,
        one_that_is_damaged,
        the_directory,
    };
    Suite *suite = suite_create("region_backup");
    TCase *tcase = fixture_tests("region_backup", tests, sizeof tests / sizeof tests[0]);
    tcase_add_loop_test(tcase, blobs_free_blocks_and_tokens, 0, 2);
    tcase_add_loop_test(tcase, changes_during_the_pass, 0, 2);
    tcase_add_loop_test(tcase, who_waits_comes_first, 0, 2);
    tcase_add_loop_test(tcase, what_is_held_back_is_in_it, 0, 2);
    tcase_add_loop_test(tcase, whatever_fails, 0, 2);
    tcase_add_loop_test(tcase, one_that_ends_early, 0, sizeof early_ends / sizeof early_ends[0]);
    tcase_add_loop_test(tcase, a_region_of_its_own, 0, 2);
    tcase_add_loop_test(tcase, one_with_a_journal, 0, 2);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
