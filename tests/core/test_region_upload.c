/* Blobs that come in pieces: what becomes of them, and what others see of them meanwhile. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "support_fixture.h"
#include "tests/support_main.h"

#define SIZE (20 * (uint64_t)DATA_PAGE + 777) /* of most uploads here */

/* ---- Uploads that succeed ---- */

static uint64_t wanted_size;
static bool is_open_ended;

static int stage_begin(struct region *on, void *context, struct err *error)
{
    return is_open_ended ? region_upload_begin_open(on, wanted_size, context, error)
                         : region_upload_begin(on, wanted_size, context, error);
}

static struct region_upload *begin(uint64_t size)
{
    struct region_upload *upload = NULL;
    wanted_size = size;
    int code = drive_until(region, stage_begin, &upload, &err);
    ck_assert_msg(code == 0, "%s", err.text);
    return upload;
}

static struct region_upload *begin_open(uint64_t hint)
{
    is_open_ended = true;
    struct region_upload *upload = begin(hint);
    is_open_ended = false;
    return upload;
}

static uint64_t append(struct region_upload *upload, const void *bytes, uint64_t size)
{
    uint64_t ticket = 0;
    int code = region_upload_append(region, upload, bytes, size, &ticket, &err);
    ck_assert_msg(code == 0, "%s", err.text);
    return ticket;
}

/* From `done` on, in pieces. */
static void append_all(struct region_upload *upload, const uint8_t *bytes, uint64_t size,
                       uint64_t piece)
{
    for (uint64_t done = 0; done < size; done += piece)
        append(upload, bytes + done, size - done < piece ? size - done : piece);
    drive_settle(region);
    ck_assert_uint_eq(region_upload_appended(upload), size);
}

struct committing {
    struct region_upload *upload;
    uint64_t address;
};

static int stage_commit(struct region *on, void *context, struct err *error)
{
    struct committing *c = context;
    return region_upload_commit(on, c->upload, &c->address, error);
}

static uint64_t commit(struct region_upload *upload)
{
    struct committing c = {upload, UINT64_MAX};
    int code = drive_until(region, stage_commit, &c, &err);
    ck_assert_msg(code == 0, "%s", err.text);
    drive_settle(region);
    return c.address;
}

static uint64_t upload_all(const uint8_t *bytes, uint64_t size, uint64_t piece)
{
    struct region_upload *upload = begin(size);
    append_all(upload, bytes, size, piece);
    return commit(upload);
}

static struct region_info info_of(void)
{
    struct region_info info;
    region_get_info(region, &info);
    return info;
}

static void reopen(void)
{
    drive_close(region);
    region = fixture_open(false, NULL);
}

static void check(void)
{
    const char *wrong = region_check(region);
    ck_assert_msg(wrong == NULL, "%s", wrong);
}

/* ---- Bytes ---- */

START_TEST(test_it_comes_byte_for_byte)
{
    static const uint64_t sizes[] = {
        1,    5,     4095,  4096,
        4097, 8191,  8192,  8193,
        SIZE, 65536, 90000, 2 * UPLOAD_CHUNK < sizeof big ? 2 * UPLOAD_CHUNK : sizeof big};
    static const uint64_t pieces[] = {7, 4096, 5000, 100000, UINT64_MAX};
    uint64_t addresses[60], at = 0;
    for (unsigned i = 0; i < 12; i++)
        for (unsigned j = 0; j < 5; j++) {
            if (sizes[i] / pieces[j] > 3000)
                continue;
            drive_add(region, small, 1 + (i * 5 + j) * 131 % 4000); /* another phase each time */
            addresses[at] = upload_all(big + at, sizes[i] - (i == 11), pieces[j]);
            at++;
        }
    for (int pass = 0; pass < 2; pass++) {
        at = 0;
        for (unsigned i = 0; i < 12; i++)
            for (unsigned j = 0; j < 5; j++)
                if (sizes[i] / pieces[j] <= 3000) {
                    drive_expect(region, addresses[at], big + at, sizes[i] - (i == 11));
                    at++;
                }
        check();
        if (pass == 0) {
            fixture_power_cut();
            region = fixture_open(false, NULL);
        }
    }
}
END_TEST

START_TEST(test_appends_are_written_in_order)
{
    struct region_upload *upload = begin(SIZE);
    ck_assert_uint_eq(region_upload_size(upload), SIZE);
    uint64_t one = append(upload, big, 3), two = append(upload, big + 3, 2 * DATA_PAGE);
    ck_assert_uint_lt(one, two);
    ck_assert_uint_lt(region_upload_written(upload), one);
    ck_assert(!region_idle(region));
    drive_settle(region);
    ck_assert(region_idle(region));
    ck_assert_uint_eq(region_upload_written(upload), two);
    ck_assert_uint_eq(append(upload, NULL, 0), two);
    uint64_t three = append(upload, big + 3 + 2 * DATA_PAGE, SIZE - 3 - 2 * DATA_PAGE);
    drive_settle(region);
    ck_assert_uint_eq(region_upload_written(upload), three);
    drive_expect(region, commit(upload), big, SIZE);
}
END_TEST

/* Uploads and others take turns; the one that is committed last has the lower address. */
START_TEST(test_several_at_once)
{
    struct region_upload *uploads[3];
    for (unsigned i = 0; i < 3; i++)
        uploads[i] = begin(SIZE);
    for (uint64_t done = 0; done < SIZE; done += 5000)
        for (unsigned i = 0; i < 3; i++)
            append(uploads[i], big + i + done, SIZE - done < 5000 ? SIZE - done : 5000);
    uint64_t blob = drive_add(region, big + 10, 100000);
    for (unsigned i = 3; i-- > 0;)
        drive_expect(region, commit(uploads[i]), big + i, SIZE);
    drive_expect(region, blob, big + 10, 100000);
    check();
}
END_TEST

/* Blobs lie in the pages in which the upload begins and ends, and come and go meanwhile. */
START_TEST(test_its_first_and_last_page_are_shared)
{
    for (unsigned way = 0; way < 8; way++) {
        drive_add(region, small, 4096); /* nothing else is in the page behind it */
        uint64_t before = drive_add(region, small, 100), hole = drive_add(region, big, SIZE);
        uint64_t behind = drive_add(region, small, 100);
        drive_deallocate(region, hole, SIZE);
        struct region_upload *upload = begin(SIZE);
        if (way & 1)
            drive_deallocate(region, before, 100);
        if (way & 2)
            drive_deallocate(region, behind, 100);
        append_all(upload, big, SIZE, 3000);
        uint64_t new_before = way & 1 ? drive_add(region, small + 1, 100) : before;
        uint64_t new_behind = way & 2 ? drive_add(region, small + 1, 100) : behind;
        drive_settle(region);
        if (way & 4)
            drive_deallocate(region, new_before, 100);
        uint64_t address = commit(upload);
        ck_assert_uint_eq(address, hole);
        if (way == 6)
            reopen();
        if (way == 7) {
            fixture_power_cut();
            region = fixture_open(false, NULL);
        }
        drive_expect(region, address, big, SIZE);
        drive_expect(region, new_behind, way & 2 ? small + 1 : small, 100);
        check();
        ck_assert_int_eq(region_clear(region, 0, &err), 0);
        drive_settle(region);
    }
}
END_TEST

/* What is in such a page is of no use to who gets a part of it: nothing of it is in use. */
START_TEST(test_a_page_that_it_shares_begins_anew)
{
    drive_add(region, small, 4096);
    struct region_upload *first = begin(3 * SIZE);
    append_all(first, big, 3 * SIZE, 50000);
    region_upload_abort(region, first); /* its bytes are there, their sums are not */
    struct region_upload *front = begin(100), *upload = begin(SIZE), *back = begin(100);
    drive_settle(region);
    region_upload_abort(region, front);
    region_upload_abort(region, back);
    uint64_t before = drive_add(region, small, 100), behind = drive_add(region, small + 1, 99);
    ck_assert_uint_eq(before, 4096);
    drive_settle(region);
    drive_expect(region, before, small, 100);
    append_all(upload, big, SIZE, 5000);
    ck_assert_uint_eq(commit(upload), 4196);
    reopen();
    drive_expect(region, before, small, 100);
    drive_expect(region, 4196, big, SIZE);
    drive_expect(region, behind, small + 1, 99);
}
END_TEST

/* ---- What others see ---- */

static void expect_free(struct extent block)
{
    bool answer = true;
    uint64_t after;
    ck_assert_int_eq(region_is_allocated(region, block, &answer, &err), 0);
    ck_assert(!answer);
    ck_assert_int_eq(region_is_freed(region, block, &answer, &err), 0);
    ck_assert(answer);
    ck_assert_int_eq(region_load_begin(region, block, &after, &err), ERR_NOT_ALLOCATED);
    ck_assert_int_eq(region_deallocate(region, block, &err), ERR_NOT_ALLOCATED);
    ck_assert_int_eq(region_store(region, block.address, big, block.size, &err), ERR_NOT_ALLOCATED);
}

START_TEST(test_what_is_reserved_is_free)
{
    struct extent blocks[4];
    size_t count;
    uint64_t first = drive_add(region, small, 4096), hole = drive_add(region, big, SIZE + 5000);
    uint64_t last = drive_add(region, small, 4096);
    drive_deallocate(region, hole, SIZE + 5000);
    drive_settle(region);
    struct region_info before = info_of();
    struct region_upload *upload = begin(SIZE);
    append_all(upload, big, SIZE, 10000);
    expect_free((struct extent){hole, SIZE});
    expect_free((struct extent){hole + 10, 1});
    expect_free((struct extent){hole, SIZE + 5000});
    bool answer;
    ck_assert_int_eq(region_is_freed(region, (struct extent){first, 4097}, &answer, &err),
                     ERR_PARTLY_FREE);
    struct region_info info = info_of();
    ck_assert_uint_eq(info.size, before.size);
    ck_assert_uint_eq(info.allocated, before.allocated);
    ck_assert_uint_eq(info.deallocated, before.deallocated);
    ck_assert_uint_eq(info.free_blocks, before.free_blocks);
    ck_assert_uint_eq(info.largest_free, 5000);
    ck_assert_uint_eq(info.uploads, 1);
    ck_assert_uint_eq(info.reserved, SIZE);
    ck_assert_int_eq(region_free_blocks(region, 0, info.size, blocks, 4, &count, &err), 0);
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(blocks[0].address, hole);
    ck_assert_uint_eq(blocks[0].size, SIZE + 5000);
    ck_assert_int_eq(region_free_blocks(region, hole + 1, hole + 9, blocks, 4, &count, &err), 0);
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(blocks[0].size, 8);
    ck_assert_int_eq(region_allocated_blocks(region, 0, info.size, blocks, 4, &count, &err), 0);
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(extent_end(blocks[0]), hole);
    ck_assert_uint_eq(blocks[1].address, last);
    check();
    drive_expect(region, commit(upload), big, SIZE);
    info = info_of();
    ck_assert_uint_eq(info.allocated, before.allocated + SIZE);
    ck_assert_uint_eq(info.uploads + info.reserved, 0);
}
END_TEST

START_TEST(test_nobody_else_is_given_it)
{
    uint64_t hole = drive_add(region, big, SIZE), wall = drive_add(region, small, 10);
    drive_deallocate(region, hole, SIZE);
    struct region_upload *upload = begin(SIZE);
    ck_assert_uint_gt(drive_add(region, small, 4096), wall);
    /* Nor what lies behind a block, when that is to grow. */
    uint64_t block = drive_add(region, small, 100);
    struct region_upload *behind = begin(SIZE);
    ck_assert_uint_ne(drive_resize(region, block, 100, 200), block);
    ck_assert_uint_ne(drive_replace(region, wall, 10, big, 5000), wall);
    append_all(behind, big, SIZE, SIZE);
    append_all(upload, big + 1, SIZE, SIZE);
    ck_assert_uint_eq(commit(upload), hole);
    drive_expect(region, hole, big + 1, SIZE);
    drive_expect(region, commit(behind), big, SIZE);
    check();
}
END_TEST

START_TEST(test_clearing_leaves_it_alone)
{
    uint64_t freed, hole = drive_add(region, big, SIZE);
    drive_add(region, small, 4000);
    drive_deallocate(region, hole, SIZE);
    struct region_upload *upload = begin(SIZE);
    append(upload, big, 10000);
    ck_assert_int_eq(region_deallocate_range(region, 10, hole + SIZE + 1, &freed, &err), 0);
    ck_assert_uint_eq(freed, 1);
    ck_assert_int_eq(region_deallocate_range(region, hole + 5, hole + 500, &freed, &err), 0);
    ck_assert_uint_eq(freed, 0);
    ck_assert_int_eq(region_clear(region, 0, &err), 0);
    ck_assert_uint_eq(info_of().allocated, 0);
    check();
    append(upload, big + 10000, SIZE - 10000);
    /* In the batch that clears, too. */
    uint64_t other = drive_add(region, small, 4000);
    drive_settle(region);
    ck_assert_int_eq(region_clear(region, 0, &err), 0);
    ck_assert_uint_eq(commit(upload), hole);
    ck_assert_uint_eq(info_of().allocated, SIZE);
    reopen();
    drive_expect(region, hole, big, SIZE);
    expect_free((struct extent){other, 10});
}
END_TEST

/* A change that is taken back takes nothing of it along. */
START_TEST(test_all_or_nothing_beside_it)
{
    uint64_t address;
    struct region_upload *upload = begin(SIZE);
    append_all(upload, big, SIZE, 5000);
    drive_settle(region);
    ck_assert_int_eq(region_atomic_begin(region, 10000, &err), 0);
    ck_assert_int_eq(region_add(region, small, 4096, &address, &err), 0);
    ck_assert_int_eq(region_clear(region, 0, &err), 0);
    region_atomic_end(region, false);
    check();
    expect_free((struct extent){0, SIZE});
    drive_expect(region, commit(upload), big, SIZE);
}
END_TEST

START_TEST(test_a_scrub_leaves_it_out)
{
    struct region_scrub scrub;
    uint64_t ticket, hole = drive_add(region, big, SIZE);
    drive_add(region, small, 4096);
    drive_deallocate(region, hole, SIZE);
    struct region_upload *upload = begin(SIZE);
    append_all(upload, big, SIZE, 5000);
    for (int pass = 0; pass < 2; pass++) {
        ck_assert_int_eq(region_request_scrub(region, &ticket, &err), 0);
        while (drive_step(region, LANE_SCRUB))
            continue;
        ck_assert_uint_ge(region_scrub_ticket(region), ticket);
        region_get_last_scrub(region, &scrub);
        ck_assert_uint_eq(scrub.damaged, 0);
        ck_assert_uint_eq(scrub.verified, pass == 0 ? 2 : 22);
        if (pass == 0)
            commit(upload);
    }
}
END_TEST

/* ---- Aborting ---- */

START_TEST(test_aborted_its_space_is_there_again)
{
    uint64_t hole = drive_add(region, big, SIZE);
    drive_add(region, small, 10);
    drive_deallocate(region, hole, SIZE);
    struct region_upload *upload = begin(SIZE);
    append_all(upload, big, SIZE - 5, 5000);
    region_upload_abort(region, upload);
    ck_assert_uint_eq(info_of().uploads + info_of().reserved, 0);
    ck_assert_uint_eq(info_of().largest_free, SIZE);
    check();
    ck_assert_uint_eq(drive_add(region, big + 1, SIZE), hole);
    reopen();
    drive_expect(region, hole, big + 1, SIZE);
}
END_TEST

START_TEST(test_aborted_while_a_job_has_it)
{
    struct region_upload *upload = begin(SIZE);
    drive_settle(region);
    append(upload, big, SIZE);
    struct region_job *job = region_next_job(region, LANE_UPLOAD, drive_now_ms);
    ck_assert_ptr_nonnull(job);
    ck_assert(region_upload_is_writing(upload));
    region_upload_abort(region, upload);
    ck_assert_uint_eq(info_of().uploads, 0);
    /* It still writes there. */
    ck_assert_uint_ge(drive_add(region, small, 4096), SIZE);
    region_job_run(job);
    region_job_done(region, job);
    ck_assert_uint_eq(info_of().reserved, 0);
    ck_assert_uint_eq(drive_add(region, small, 4096), 0);
    check();
}
END_TEST

/* What the journal knows of the region's size is what the region says. */
START_TEST(test_a_region_that_grew_stays_so)
{
    drive_add(region, small, 100);
    struct region_upload *upload = begin(SIZE);
    uint64_t size = region_size(region);
    ck_assert_uint_eq(size, 100 + SIZE);
    append_all(upload, big, SIZE, 5000);
    region_upload_abort(region, upload);
    ck_assert_uint_eq(region_size(region), size);
    ck_assert_int_eq(region_clear(region, 0, &err), 0);
    reopen();
    ck_assert_uint_eq(region_size(region), size);
    ck_assert_uint_eq(info_of().allocated, 0);
}
END_TEST

START_TEST(test_its_space_goes_back_to_the_file_system)
{
    struct region_options options = info_of().options;
    options.discard = 4 * DATA_PAGE;
    region_set_options(region, &options);
    struct region_upload *upload = begin(SIZE);
    append_all(upload, big, SIZE, 5000);
    drive_now_ms += 10 * DISCARD_DELAY_MS;
    drive_settle(region);
    ck_assert_uint_eq(info_of().discarded_bytes, 0);
    region_upload_abort(region, upload);
    for (int i = 0; i < 3; i++) {
        drive_now_ms += 10 * DISCARD_DELAY_MS;
        drive_settle(region);
    }
    ck_assert_uint_ge(info_of().discarded_bytes, SIZE - 2 * DATA_PAGE);
    /* And is had again. */
    drive_expect(region, upload_all(big, SIZE, 5000), big, SIZE);
    check();
}
END_TEST

/* ---- Crashes ---- */

START_TEST(test_a_crash_leaves_nothing_behind)
{
    uint64_t hole = drive_add(region, big, SIZE), wall = drive_add(region, small, 4096);
    drive_deallocate(region, hole, SIZE);
    struct region_upload *upload = begin(SIZE), *last = begin(SIZE);
    append_all(upload, big, SIZE, 5000);
    append_all(last, big, SIZE - 1, 5000);
    uint64_t behind = drive_add(region, small, 4096), size = region_size(region);
    if (_i > 0)
        drive_checkpoint(region);
    drive_settle(region);
    fixture_power_cut();
    region = fixture_open(false, NULL);
    ck_assert_uint_eq(region_size(region), size);
    ck_assert_uint_eq(fixture_allocated(), 2 * 4096);
    drive_expect(region, wall, small, 4096);
    drive_expect(region, behind, small, 4096);
    ck_assert_uint_eq(drive_add(region, big, SIZE), hole);
    check();
}
END_TEST

/* Checkpoints that are told between its beginning and its end. */
START_TEST(test_checkpoints_meanwhile)
{
    uint64_t at[40];
    for (unsigned i = 0; i < 40; i++)
        at[i] = drive_add(region, small, 5000);
    for (unsigned i = 0; i < 40; i += 2)
        drive_deallocate(region, at[i], 5000);
    struct region_upload *uploads[12];
    for (unsigned i = 0; i < 12; i++) {
        uploads[i] = begin(i % 3 == 0 ? SIZE : 5000);
        append_all(uploads[i], big, i % 3 == 0 ? SIZE : 5000, 4000);
    }
    drive_checkpoint(region);
    uint64_t one = commit(uploads[0]), two = commit(uploads[1]);
    drive_checkpoint(region);
    region_upload_abort(region, uploads[2]);
    drive_checkpoint(region);
    struct region_info before = info_of();
    fixture_power_cut();
    region = fixture_open(false, NULL);
    struct region_info after = info_of();
    ck_assert_uint_eq(after.allocated, before.allocated);
    ck_assert_uint_eq(after.deallocated, before.deallocated);
    ck_assert_uint_eq(after.free_blocks, before.free_blocks);
    drive_expect(region, one, big, SIZE);
    drive_expect(region, two, big, 5000);
    check();
}
END_TEST

/* A record that tells its sums may be the first in a journal whose checkpoint had the old bytes. */
START_TEST(test_old_records_of_its_pages_are_not_put)
{
    uint64_t hole = drive_add(region, big + 5, SIZE);
    drive_add(region, small, 10);
    drive_settle(region);
    for (uint64_t i = 0; i < 20; i++)
        drive_store(region, hole + i * DATA_PAGE, small, 3000);
    drive_settle(region);
    drive_deallocate(region, hole, SIZE);
    uint64_t address = upload_all(big, SIZE, 7000);
    ck_assert_uint_eq(address, hole);
    fixture_power_cut();
    region = fixture_open(false, NULL);
    drive_expect(region, hole, big, SIZE);
}
END_TEST

/* ---- The order of things ---- */

START_TEST(test_nothing_is_written_before_its_freeing_is_durable)
{
    static const enum durability durabilities[] = {DURABILITY_SYNC, DURABILITY_INTERVAL,
                                                   DURABILITY_NONE};
    fixture_set_durability(durabilities[_i]);
    uint64_t hole = drive_add(region, big, SIZE);
    drive_add(region, small, 10);
    drive_settle(region);
    drive_deallocate(region, hole, SIZE);
    struct region_upload *upload = NULL;
    ck_assert_int_eq(region_upload_begin(region, SIZE, &upload, &err), 0);
    uint64_t freed = region_ticket(region);
    append(upload, big + 1, SIZE);
    while (region_applied_ticket(region) < freed) {
        ck_assert(!drive_step(region, LANE_UPLOAD));
        ck_assert(drive_step(region, LANE_COMMIT));
    }
    ck_assert(drive_step(region, LANE_UPLOAD));
    ck_assert_uint_eq(commit(upload), hole);
}
END_TEST

START_TEST(test_nothing_is_written_where_somebody_reads)
{
    struct region_pin pin, other;
    uint64_t hole = drive_add(region, big, SIZE), wall = drive_add(region, small, 10);
    drive_settle(region);
    region_pin(region, &pin, (struct extent){hole + 5000, 100});
    region_pin(region, &other, (struct extent){wall, 10});
    drive_deallocate(region, hole, SIZE);
    struct region_upload *upload = begin(SIZE);
    append(upload, big + 1, SIZE);
    drive_settle(region);
    ck_assert_uint_eq(region_upload_written(upload), 0);
    region_unpin(region, &pin);
    drive_settle(region);
    ck_assert_uint_eq(region_upload_written(upload), 1);
    region_unpin(region, &other);
    ck_assert_uint_eq(commit(upload), hole);
}
END_TEST

/* A load that comes right behind the commit waits for it. */
START_TEST(test_loads_right_behind_the_commit)
{
    uint64_t address = 0, after = 0;
    struct region_upload *upload = begin(SIZE);
    append_all(upload, big, SIZE, 5000);
    ck_assert_int_eq(region_upload_commit(region, upload, &address, &err), 0);
    struct extent middle = {address + 2 * DATA_PAGE, DATA_PAGE};
    ck_assert_int_eq(region_load_begin(region, middle, &after, &err), 0);
    ck_assert_uint_eq(after, region_ticket(region));
    /* Changed in the batch that commits it, and moved. */
    drive_store(region, address + 5000, small, 3000);
    uint64_t moved = drive_resize(region, address, SIZE, SIZE + 1000000);
    memcpy(big + (1 << 20), big, SIZE);
    memcpy(big + (1 << 20) + 5000, small, 3000);
    drive_settle(region);
    drive_expect(region, moved, big + (1 << 20), SIZE);
    reopen();
    drive_expect(region, moved, big + (1 << 20), SIZE);
}
END_TEST

/* Its pages are told by a record, it is aborted, and somebody else gets them in the same batch. */
START_TEST(test_pages_that_were_told_are_taken_by_others)
{
    uint64_t size = UPLOAD_CHUNK + 4 * DATA_PAGE, address = UINT64_MAX;
    if (size > sizeof big)
        return; /* only with small limits */
    struct region_upload *upload = begin(size);
    drive_settle(region);
    append(upload, big, size);
    while (region_upload_written(upload) == 0)
        ck_assert(drive_step(region, LANE_UPLOAD));
    region_upload_abort(region, upload);
    if (_i == 0)
        address = drive_allocate(region, size);
    else if (_i == 1)
        address = drive_add(region, big + 1, size);
    else
        for (uint64_t i = 0; i < UPLOAD_CHUNK / DATA_PAGE; i++)
            address = drive_add(region, small, 3000);
    ck_assert_uint_lt(address, size);
    drive_settle(region);
    fixture_power_cut();
    region = fixture_open(false, NULL);
    uint8_t *loaded = malloc(size);
    drive_load(region, address, loaded, _i == 2 ? 3000 : size);
    free(loaded);
    if (_i == 1)
        drive_expect(region, address, big + 1, size);
}
END_TEST

/* ---- Without checksums ---- */

START_TEST(test_checksums_are_turned_off_and_on)
{
    struct region_options options = info_of().options;
    struct region_upload *upload = begin(SIZE);
    append(upload, big, 5 * DATA_PAGE);
    drive_settle(region);
    options.checksum = CHECKSUM_OFF;
    region_set_options(region, &options);
    append(upload, big + 5 * DATA_PAGE, 5 * DATA_PAGE + 5);
    drive_settle(region);
    options.checksum = CHECKSUM_ON;
    region_set_options(region, &options);
    append(upload, big + 10 * DATA_PAGE + 5, SIZE - 10 * DATA_PAGE - 5);
    drive_settle(region);
    uint64_t address = commit(upload);
    drive_expect(region, address, big, SIZE);
    reopen();
    drive_expect(region, address, big, SIZE);
}
END_TEST

/* ---- Tokens ---- */

START_TEST(test_a_commit_with_a_token)
{
    static const uint8_t id[16] = "an upload's own";
    const uint8_t *result;
    size_t size;
    uint64_t address, ticket;
    struct region_upload *upload = begin(SIZE);
    append_all(upload, big, SIZE, 5000);
    ck_assert_int_eq(region_token_expect(region, 8, &err), 0);
    ck_assert_int_eq(region_upload_commit(region, upload, &address, &err), 0);
    region_token_keep(region, id, 1, "address", 8);
    drive_settle(region);
    fixture_power_cut();
    region = fixture_open(false, NULL);
    ck_assert_int_eq(region_token_find(region, id, 1, &result, &size, &ticket, &err), REGION_FOUND);
    ck_assert_mem_eq(result, "address", 8);
    drive_expect(region, address, big, SIZE);
}
END_TEST

/* ---- Refusals ---- */

START_TEST(test_refusals)
{
    struct region_upload *upload = NULL, *full[UPLOADS_MAX];
    uint64_t address, ticket;
    ck_assert_int_eq(region_upload_begin(region, 0, &upload, &err), ERR_INVALID_ARGUMENT);
    upload = begin(100);
    append(upload, small, 99);
    ck_assert_int_eq(region_upload_append(region, upload, small, 2, &ticket, &err),
                     ERR_OUT_OF_BOUNDS);
    ck_assert_int_eq(region_upload_append(region, upload, small, UINT64_MAX, &ticket, &err),
                     ERR_OUT_OF_BOUNDS);
    ck_assert_int_eq(region_upload_commit(region, upload, &address, &err), ERR_INVALID_ARGUMENT);
    append(upload, small + 99, 1);
    ck_assert_int_eq(region_upload_commit(region, upload, &address, &err), REGION_WAIT);
    drive_expect(region, commit(upload), small, 100);
    for (unsigned i = 0; i < UPLOADS_MAX; i++)
        full[i] = begin(1);
    ck_assert_int_eq(region_upload_begin(region, 1, &upload, &err), ERR_BUSY);
    region_upload_abort(region, full[7]);
    full[7] = begin(1);
    check();
    /* The others are given up when the region is closed. */
}
END_TEST

START_TEST(test_no_space)
{
    struct region_options options = info_of().options;
    struct region_upload *upload = NULL;
    options.max_size = 100 * DATA_PAGE;
    region_set_options(region, &options);
    wanted_size = 101 * DATA_PAGE;
    ck_assert_int_eq(drive_until(region, stage_begin, &upload, &err), ERR_NO_SPACE);
    upload = begin(60 * DATA_PAGE);
    struct region_upload *other = NULL;
    wanted_size = 60 * DATA_PAGE;
    ck_assert_int_eq(drive_until(region, stage_begin, &other, &err), ERR_NO_SPACE);
    region_upload_abort(region, upload);
    other = begin(60 * DATA_PAGE);
    region_upload_abort(region, other);
    check();
}
END_TEST

START_TEST(test_a_region_opened_read_only)
{
    struct region_upload *upload = NULL;
    drive_close(region);
    region = fixture_open(true, NULL);
    ck_assert_int_eq(region_upload_begin(region, 1, &upload, &err), ERR_READ_ONLY);
    region_close(region);
    region = NULL;
}
END_TEST

/* ---- Failures ---- */

static void fail_next(enum simdisk_op op, const char *pattern, int error)
{
    simdisk_set_fault(disk, (struct simdisk_fault){
                                .ops = SIM_BIT(op), .pattern = pattern, .nth = 1, .error = error});
}

START_TEST(test_a_failed_write_fails_the_upload_alone)
{
    uint64_t ticket, address;
    struct region_upload *upload = begin(SIZE), *other = begin(SIZE);
    drive_settle(region);
    uint64_t last = append(upload, big, 10000);
    fail_next(SIM_WRITE, "r/data", EIO);
    ck_assert(drive_step(region, LANE_UPLOAD));
    ck_assert_ptr_null(region_failure(region));
    ck_assert_ptr_nonnull(region_upload_failure(upload));
    ck_assert_int_eq(region_upload_failure(upload)->code, ERR_IO_ERROR);
    ck_assert_uint_eq(region_upload_written(upload), last);
    ck_assert_int_eq(region_upload_append(region, upload, big, 1, &ticket, &err), ERR_IO_ERROR);
    ck_assert_int_eq(region_upload_commit(region, upload, &address, &err), ERR_IO_ERROR);
    region_upload_abort(region, upload);
    append_all(other, big, SIZE, 5000);
    drive_expect(region, commit(other), big, SIZE);
    check();
}
END_TEST

START_TEST(test_a_failed_region_fails_uploads)
{
    uint64_t address;
    struct region_upload *upload = begin(SIZE), *other = begin(SIZE);
    drive_settle(region);
    append(upload, big, SIZE);
    append(other, big, 100);
    struct region_job *job = region_next_job(region, LANE_UPLOAD, drive_now_ms);
    ck_assert_ptr_nonnull(job);
    bool is_first = region_upload_is_writing(upload);
    struct region_upload *writing = is_first ? upload : other, *idle = is_first ? other : upload;
    drive_add(region, small, 100);
    fail_next(SIM_SYNC, "r/journal-*", EIO);
    ck_assert(drive_step(region, LANE_COMMIT));
    ck_assert_ptr_nonnull(region_failure(region));
    ck_assert_ptr_nonnull(region_upload_failure(upload));
    /* The job still has the bytes of the one. */
    ck_assert_uint_eq(region_upload_written(writing), 0);
    ck_assert_uint_eq(region_upload_written(idle), 1);
    region_job_run(job);
    region_job_done(region, job);
    ck_assert_uint_eq(region_upload_written(writing), 1);
    ck_assert_int_eq(region_upload_commit(region, upload, &address, &err), ERR_READ_ONLY);
    ck_assert_ptr_null(region_next_job(region, LANE_UPLOAD, drive_now_ms));
    ck_assert_uint_eq(info_of().reserved, 0);
    check();
    region_upload_abort(region, upload);
    region_close(region);
    region = fixture_open(false, NULL);
    ck_assert_uint_le(fixture_allocated(), 100); /* what was not synced may be there */
}
END_TEST

START_TEST(test_a_failed_commit_is_taken_back)
{
    uint64_t address;
    struct region_upload *upload = begin(SIZE);
    append_all(upload, big, SIZE, 5000);
    ck_assert_int_eq(region_upload_commit(region, upload, &address, &err), 0);
    fail_next(SIM_SYNC, "r/data", EIO);
    ck_assert(drive_step(region, LANE_COMMIT));
    ck_assert_ptr_nonnull(region_failure(region));
    ck_assert_uint_eq(fixture_allocated(), 0);
    check();
    region_close(region);
    region = fixture_open(false, NULL);
    ck_assert_uint_eq(fixture_allocated(), 0);
}
END_TEST

START_TEST(test_a_failed_sync_on_the_way_fails_the_region)
{
    if (UPLOAD_CHUNK > sizeof big)
        return; /* only with small limits */
    struct region_upload *upload = begin(2 * UPLOAD_CHUNK);
    drive_settle(region);
    append(upload, big, 2 * UPLOAD_CHUNK);
    fail_next(SIM_SYNC, "r/data", EIO);
    drive_settle(region);
    ck_assert_ptr_nonnull(region_failure(region));
    ck_assert_uint_eq(region_upload_written(upload), 1);
    region_close(region);
    region = fixture_open(false, NULL);
}
END_TEST

/* ---- Without a size ---- */

START_TEST(test_one_without_a_size_grows)
{
    uint64_t before = drive_add(region, small, 100);
    struct region_upload *upload = begin_open(0);
    uint64_t size = sizeof big - 5, ticket;
    for (uint64_t done = 0; done < size;) {
        uint64_t part = size - done < 100000 ? size - done : 100000;
        int code = region_upload_append(region, upload, big + done, part, &ticket, &err);
        ck_assert_msg(code == 0 || code == REGION_WAIT, "%s", err.text);
        done += code == 0 ? part : 0;
        drive_settle(region);
    }
    ck_assert_uint_eq(region_upload_size(upload), size);
    uint64_t address = commit(upload);
    ck_assert_uint_eq(info_of().reserved, 0);
    ck_assert_uint_eq(info_of().allocated, 100 + size);
    fixture_power_cut();
    region = fixture_open(false, NULL);
    drive_expect(region, address, big, size);
    drive_expect(region, before, small, 100);
    ck_assert_uint_eq(info_of().allocated, 100 + size);
}
END_TEST

static void append_in_the_way(struct region_upload *upload, uint64_t from, uint64_t to)
{
    uint64_t ticket;
    for (uint64_t done = from; done < to;) {
        uint64_t part = to - done < 90001 ? to - done : 90001;
        int code = region_upload_append(region, upload, big + done, part, &ticket, &err);
        ck_assert_msg(code == 0 || code == REGION_WAIT, "%s", err.text);
        done += code == 0 ? part : 0;
        if (code == 0 && done % 3 != 0)
            drive_add(region, small, 2000); /* as close behind it as can be */
        else
            drive_settle(region);
    }
    drive_settle(region);
}

START_TEST(test_one_without_a_size_moves)
{
    uint64_t size = sizeof big - 77;
    drive_add(region, small, 100 + (uint64_t)_i);
    struct region_upload *upload = begin_open(0);
    uint64_t wall = drive_add(region, small, 4096);
    append_in_the_way(upload, 0, size);
    check();
    uint64_t address = commit(upload);
    if (size > UPLOAD_STEP) /* with small limits */
        ck_assert_uint_gt(address, wall);
    struct region_info info = info_of();
    ck_assert_uint_eq(info.reserved, 0);
    drive_expect(region, address, big, size);
    fixture_power_cut();
    region = fixture_open(false, NULL);
    ck_assert_uint_eq(fixture_allocated(), info.allocated);
    drive_expect(region, address, big, size);
    drive_expect(region, wall, small, 4096);
}
END_TEST

/* What was damaged on the disk meanwhile gets no checksum that matches. */
START_TEST(test_damage_does_not_move)
{
    uint64_t ticket, room = UPLOAD_STEP;
    int code = REGION_WAIT;
    struct region_upload *upload = begin_open(0);
    drive_add(region, small, 4096);
    append_all(upload, big, room / 2 < sizeof big ? room / 2 : sizeof big, 50000);
    struct io_file *file;
    uint8_t garbage[10] = "garbage";
    struct iovec vector = {garbage, sizeof garbage};
    ck_assert_int_eq(io->ops->open(io, "r/data", 0, &file), 0);
    ck_assert_int_eq(io->ops->write(io, file, &vector, 1, DATA_PAGE + 5), 0);
    io->ops->close(io, file);
    while (region_upload_failure(upload) == NULL) {
        code = region_upload_append(region, upload, big, 2000, &ticket, &err);
        if (code != 0)
            drive_settle(region);
    }
    ck_assert_int_eq(region_upload_failure(upload)->code, ERR_CORRUPT);
    drive_settle(region);
    ck_assert(region_idle(region));
    region_upload_abort(region, upload);
    ck_assert_uint_eq(info_of().reserved, 0);
    check();
}
END_TEST

START_TEST(test_aborted_while_it_moves)
{
    uint64_t ticket, taken = 0;
    struct region_upload *upload = begin_open(0);
    drive_add(region, small, 4096);
    append_all(upload, big, 2 * DATA_PAGE, 50000);
    while (info_of().reserved <= UPLOAD_STEP + DATA_PAGE)
        if (region_upload_append(region, upload, big, 50000, &ticket, &err) == REGION_WAIT)
            drive_settle(region);
    while (region_applied_ticket(region) < region_ticket(region))
        ck_assert(drive_step(region, LANE_COMMIT));
    struct region_job *job = region_next_job(region, LANE_UPLOAD, drive_now_ms);
    ck_assert_ptr_nonnull(job);
    taken = info_of().reserved;
    region_upload_abort(region, upload);
    ck_assert_uint_eq(info_of().reserved, taken);
    region_job_run(job);
    region_job_done(region, job);
    ck_assert_uint_eq(info_of().reserved, 0);
    check();
}
END_TEST

START_TEST(test_one_without_a_size_that_stays_empty)
{
    struct region_upload *upload = begin_open(0);
    drive_settle(region);
    uint64_t size = region_size(region);
    ck_assert_uint_eq(commit(upload), size);
    ck_assert_uint_eq(info_of().uploads + info_of().reserved + info_of().allocated, 0);
    check();
}
END_TEST

int main(void)
{
    const TTest *tests[] = {
        test_it_comes_byte_for_byte,
        test_appends_are_written_in_order,
        test_several_at_once,
        test_its_first_and_last_page_are_shared,
        test_a_page_that_it_shares_begins_anew,
        test_what_is_reserved_is_free,
        test_nobody_else_is_given_it,
        test_clearing_leaves_it_alone,
        test_all_or_nothing_beside_it,
        test_a_scrub_leaves_it_out,
        test_aborted_its_space_is_there_again,
        test_aborted_while_a_job_has_it,
        test_a_region_that_grew_stays_so,
        test_its_space_goes_back_to_the_file_system,
        test_checkpoints_meanwhile,
        test_old_records_of_its_pages_are_not_put,
        test_nothing_is_written_where_somebody_reads,
        test_loads_right_behind_the_commit,
        test_checksums_are_turned_off_and_on,
        test_a_commit_with_a_token,
        test_refusals,
        test_no_space,
        test_a_region_opened_read_only,
        test_a_failed_write_fails_the_upload_alone,
        test_a_failed_region_fails_uploads,
        test_a_failed_commit_is_taken_back,
        test_a_failed_sync_on_the_way_fails_the_region,
        test_one_without_a_size_grows,
        test_one_without_a_size_that_stays_empty,
        test_damage_does_not_move,
        test_aborted_while_it_moves,
    };
    Suite *suite = suite_create("region uploads");
    TCase *tcase = fixture_tests("uploads", tests, sizeof tests / sizeof tests[0]);
    tcase_add_loop_test(tcase, test_a_crash_leaves_nothing_behind, 0, 2);
    tcase_add_loop_test(tcase, test_nothing_is_written_before_its_freeing_is_durable, 0, 3);
    tcase_add_loop_test(tcase, test_pages_that_were_told_are_taken_by_others, 0, 3);
    tcase_add_loop_test(tcase, test_one_without_a_size_moves, 0, 4);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
