/* Blobs that come in pieces: that they arrive, and in which order what happens. */
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/limits.h"
#include "support_upload.h"
#include "tests/support_main.h"

/* ---- Bytes ---- */

START_TEST(test_it_comes_byte_for_byte)
{
    static const uint64_t sizes[] = {
        1,    5,     4095,  4096,
        4097, 8191,  8192,  8193,
        SIZE, 65536, 90000, 2 * UPLOAD_CHUNK < sizeof big ? 2 * UPLOAD_CHUNK : sizeof big - 100};
    static const uint64_t pieces[] = {7, 4096, 5000, 100000, UINT64_MAX};
    uint64_t addresses[60], at = 0;
    for (unsigned i = 0; i < 12; i++)
        for (unsigned j = 0; j < 5; j++) {
            if (sizes[i] / pieces[j] > 3000)
                continue;
            drive_add(region, small, 1 + (i * 5 + j) * 131 % 4000); /* another phase each time */
            addresses[at] = drive_upload(big + at, sizes[i] - (i == 11), pieces[j]);
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
        fixture_check();
        if (pass == 0) {
            fixture_power_cut();
            region = fixture_open(false, NULL);
        }
    }
}
END_TEST

START_TEST(test_appends_are_written_in_order)
{
    struct region_upload *upload = drive_begin(SIZE);
    ck_assert_uint_eq(region_upload_size(upload), SIZE);
    uint64_t one = drive_append(upload, big, 3), two = drive_append(upload, big + 3, 2 * DATA_PAGE);
    ck_assert_uint_lt(one, two);
    ck_assert_uint_lt(region_upload_written(upload), one);
    ck_assert(!region_idle(region));
    drive_settle(region);
    ck_assert(region_idle(region));
    ck_assert_uint_eq(region_upload_written(upload), two);
    ck_assert_uint_eq(drive_append(upload, NULL, 0), two);
    uint64_t three = drive_append(upload, big + 3 + 2 * DATA_PAGE, SIZE - 3 - 2 * DATA_PAGE);
    drive_settle(region);
    ck_assert_uint_eq(region_upload_written(upload), three);
    drive_expect(region, drive_commit(upload), big, SIZE);
}
END_TEST

/* More pieces than go to the file in one call. */
START_TEST(test_many_appends_of_a_page)
{
    enum { PIECES = 40 };
    struct region_upload *upload = drive_begin(PIECES * (uint64_t)DATA_PAGE);
    drive_append_all(upload, big, PIECES * (uint64_t)DATA_PAGE, DATA_PAGE);
    drive_expect(region, drive_commit(upload), big, PIECES * (uint64_t)DATA_PAGE);
}
END_TEST

static unsigned write_backs;

static void count_write_back(struct io *of, struct io_file *file)
{
    (void)of, (void)file;
    write_backs++;
}

/* Long before it is synced, which has to wait for less of it then. */
START_TEST(test_what_is_written_begins_to_go_to_the_disk)
{
    const uint64_t enough = min_u64(WRITE_BACK, UPLOAD_CHUNK / 2), part = DATA_PAGE;
    const struct io_ops *ops = io->ops;
    struct io_ops counting = *ops;
    counting.write_back = count_write_back;
    write_backs = 0;
    struct region_upload *upload = drive_begin(enough);
    drive_settle(region);
    io->ops = &counting;
    for (uint64_t done = 0; done < enough; done += part) {
        ck_assert_uint_eq(write_backs, 0);
        drive_append(upload, big, part);
        drive_settle(region);
    }
    ck_assert_uint_eq(write_backs, 1);
    drive_expect(region, drive_commit(upload), big, part);
    io->ops = ops;
}
END_TEST

/* Uploads and others take turns; the one that is committed last has the lower address. */
START_TEST(test_several_at_once)
{
    struct region_upload *uploads[3];
    for (unsigned i = 0; i < 3; i++)
        uploads[i] = drive_begin(SIZE);
    for (uint64_t done = 0; done < SIZE; done += 5000)
        for (unsigned i = 0; i < 3; i++)
            drive_append(uploads[i], big + i + done, SIZE - done < 5000 ? SIZE - done : 5000);
    uint64_t blob = drive_add(region, big + 10, 100000);
    for (unsigned i = 3; i-- > 0;)
        drive_expect(region, drive_commit(uploads[i]), big + i, SIZE);
    drive_expect(region, blob, big + 10, 100000);
    fixture_check();
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
        struct region_upload *upload = drive_begin(SIZE);
        if (way & 1)
            drive_deallocate(region, before, 100);
        if (way & 2)
            drive_deallocate(region, behind, 100);
        drive_append_all(upload, big, SIZE, 3000);
        uint64_t new_before = way & 1 ? drive_add(region, small + 1, 100) : before;
        uint64_t new_behind = way & 2 ? drive_add(region, small + 1, 100) : behind;
        drive_settle(region);
        if (way & 4)
            drive_deallocate(region, new_before, 100);
        uint64_t address = drive_commit(upload);
        ck_assert_uint_eq(address, hole);
        if (way == 6)
            fixture_reopen();
        if (way == 7) {
            fixture_power_cut();
            region = fixture_open(false, NULL);
        }
        drive_expect(region, address, big, SIZE);
        drive_expect(region, new_behind, way & 2 ? small + 1 : small, 100);
        fixture_check();
        ck_assert_int_eq(region_clear(region, 0, &err), 0);
        drive_settle(region);
    }
}
END_TEST

/* What is in such a page is of no use to who gets a part of it: nothing of it is in use. */
START_TEST(test_a_page_that_it_shares_begins_anew)
{
    drive_add(region, small, 4096);
    struct region_upload *first = drive_begin(3 * SIZE);
    drive_append_all(first, big, 3 * SIZE, 50000);
    region_upload_abort(region, first); /* its bytes are there, their sums are not */
    struct region_upload *front = drive_begin(100), *upload = drive_begin(SIZE),
                         *back = drive_begin(100);
    drive_settle(region);
    region_upload_abort(region, front);
    region_upload_abort(region, back);
    uint64_t before = drive_add(region, small, 100), behind = drive_add(region, small + 1, 99);
    ck_assert_uint_eq(before, 4096);
    drive_settle(region);
    drive_expect(region, before, small, 100);
    drive_append_all(upload, big, SIZE, 5000);
    ck_assert_uint_eq(drive_commit(upload), 4196);
    fixture_reopen();
    drive_expect(region, before, small, 100);
    drive_expect(region, 4196, big, SIZE);
    drive_expect(region, behind, small + 1, 99);
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
    drive_append(upload, big + 1, SIZE);
    while (region_applied_ticket(region) < freed) {
        ck_assert(!drive_step(region, LANE_UPLOAD));
        ck_assert(drive_step(region, LANE_COMMIT));
    }
    ck_assert(drive_step(region, LANE_UPLOAD));
    ck_assert_uint_eq(drive_commit(upload), hole);
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
    struct region_upload *upload = drive_begin(SIZE);
    drive_append(upload, big + 1, SIZE);
    drive_settle(region);
    ck_assert_uint_eq(region_upload_written(upload), 0);
    /* Who reads slowly is told. */
    ck_assert(pin.is_in_the_way);
    ck_assert(!other.is_in_the_way);
    region_unpin(region, &pin);
    drive_settle(region);
    ck_assert_uint_eq(region_upload_written(upload), 1);
    region_unpin(region, &other);
    ck_assert_uint_eq(drive_commit(upload), hole);
}
END_TEST

/* A load that comes right behind the commit waits for it. */
START_TEST(test_loads_right_behind_the_commit)
{
    uint64_t address = 0, after = 0;
    struct region_upload *upload = drive_begin(SIZE);
    drive_append_all(upload, big, SIZE, 5000);
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
    fixture_reopen();
    drive_expect(region, moved, big + (1 << 20), SIZE);
}
END_TEST

/* Its pages are told by a record, it is aborted, and somebody else gets them in the same batch. */
START_TEST(test_pages_that_were_told_are_taken_by_others)
{
    uint64_t size = UPLOAD_CHUNK + 4 * DATA_PAGE, address = UINT64_MAX;
    if (size > sizeof big)
        return; /* only with small limits */
    struct region_upload *upload = drive_begin(size);
    drive_settle(region);
    drive_append(upload, big, size);
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
    struct region_options options = fixture_info().options;
    struct region_upload *upload = drive_begin(SIZE);
    drive_append(upload, big, 5 * DATA_PAGE);
    drive_settle(region);
    options.checksum = CHECKSUM_OFF;
    region_set_options(region, &options);
    drive_append(upload, big + 5 * DATA_PAGE, 5 * DATA_PAGE + 5);
    drive_settle(region);
    options.checksum = CHECKSUM_ON;
    region_set_options(region, &options);
    drive_append(upload, big + 10 * DATA_PAGE + 5, SIZE - 10 * DATA_PAGE - 5);
    drive_settle(region);
    uint64_t address = drive_commit(upload);
    drive_expect(region, address, big, SIZE);
    fixture_reopen();
    drive_expect(region, address, big, SIZE);
}
END_TEST

/* In the batch that commits it a put follows, and by then nobody counts. */
START_TEST(test_checksums_are_turned_off_before_a_put)
{
    uint64_t address;
    struct region_options options = fixture_info().options;
    struct region_upload *upload = drive_begin(SIZE);
    drive_append_all(upload, big, SIZE, 5000);
    options.checksum = CHECKSUM_OFF;
    region_set_options(region, &options);
    ck_assert_int_eq(region_upload_commit(region, upload, &address, &err), 0);
    ck_assert_int_eq(region_store(region, address + SIZE - 6000, small, 3000, &err), 0);
    drive_settle(region);
    options.checksum = CHECKSUM_ON;
    region_set_options(region, &options);
    fixture_reopen();
    drive_expect(region, address + SIZE - 6000, small, 3000);
    drive_expect(region, address, big, SIZE - 6000);
}
END_TEST

/* ---- Tokens ---- */

START_TEST(test_a_commit_with_a_token)
{
    static const uint8_t id[16] = "an upload's own";
    const uint8_t *result;
    size_t size;
    uint64_t address, ticket;
    struct region_upload *upload = drive_begin(SIZE);
    drive_append_all(upload, big, SIZE, 5000);
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
    upload = drive_begin(100);
    drive_append(upload, small, 99);
    ck_assert_int_eq(region_upload_append(region, upload, small, 2, &ticket, &err),
                     ERR_OUT_OF_BOUNDS);
    ck_assert_int_eq(region_upload_append(region, upload, small, UINT64_MAX, &ticket, &err),
                     ERR_OUT_OF_BOUNDS);
    ck_assert_int_eq(region_upload_commit(region, upload, &address, &err), ERR_INVALID_ARGUMENT);
    drive_append(upload, small + 99, 1);
    ck_assert_int_eq(region_upload_commit(region, upload, &address, &err), REGION_WAIT);
    drive_expect(region, drive_commit(upload), small, 100);
    for (unsigned i = 0; i < UPLOADS_MAX; i++)
        full[i] = drive_begin(1);
    ck_assert_int_eq(region_upload_begin(region, 1, &upload, &err), ERR_BUSY);
    region_upload_abort(region, full[7]);
    full[7] = drive_begin(1);
    fixture_check();
    /* The others are given up when the region is closed. */
}
END_TEST

static uint64_t wanted_size;

static int stage_begin(struct region *on, void *context, struct err *error)
{
    return region_upload_begin(on, wanted_size, context, error);
}

START_TEST(test_no_space)
{
    struct region_options options = fixture_info().options;
    struct region_upload *upload = NULL;
    options.max_size = 100 * DATA_PAGE;
    region_set_options(region, &options);
    wanted_size = 101 * DATA_PAGE;
    ck_assert_int_eq(drive_until(region, stage_begin, &upload, &err), ERR_NO_SPACE);
    upload = drive_begin(60 * DATA_PAGE);
    struct region_upload *other = NULL;
    wanted_size = 60 * DATA_PAGE;
    ck_assert_int_eq(drive_until(region, stage_begin, &other, &err), ERR_NO_SPACE);
    region_upload_abort(region, upload);
    other = drive_begin(60 * DATA_PAGE);
    region_upload_abort(region, other);
    fixture_check();
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

/* ---- Without a size ---- */

START_TEST(test_one_without_a_size_grows)
{
    uint64_t before = drive_add(region, small, 100);
    struct region_upload *upload = drive_begin_open(0);
    uint64_t size = sizeof big - 5, ticket;
    for (uint64_t done = 0; done < size;) {
        uint64_t part = size - done < 100000 ? size - done : 100000;
        int code = region_upload_append(region, upload, big + done, part, &ticket, &err);
        ck_assert_msg(code == 0 || code == REGION_WAIT, "%s", err.text);
        done += code == 0 ? part : 0;
        drive_settle(region);
    }
    ck_assert_uint_eq(region_upload_size(upload), size);
    uint64_t address = drive_commit(upload);
    ck_assert_uint_eq(fixture_info().reserved, 0);
    ck_assert_uint_eq(fixture_info().allocated, 100 + size);
    fixture_power_cut();
    region = fixture_open(false, NULL);
    drive_expect(region, address, big, size);
    drive_expect(region, before, small, 100);
    ck_assert_uint_eq(fixture_info().allocated, 100 + size);
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

struct appending {
    struct region_upload *upload;
    const uint8_t *bytes;
    uint64_t size;
};

static int stage_append(struct region *on, void *context, struct err *error)
{
    const struct appending *a = context;
    uint64_t ticket;
    return region_upload_append(on, a->upload, a->bytes, a->size, &ticket, error);
}

static int try_append(struct region_upload *upload, const uint8_t *bytes, uint64_t size)
{
    struct appending a = {upload, bytes, size};
    return drive_until(region, stage_append, &a, &err);
}

static void append_until(struct region_upload *upload, uint64_t from, uint64_t to)
{
    for (uint64_t at = from; at < to;) {
        uint64_t part = min_u64(to - at, sizeof big / 2);
        ck_assert_int_eq(try_append(upload, big + at % 1000, part), 0);
        at += part;
        drive_settle(region);
    }
}

static void expect_pieces(uint64_t address, uint64_t from, uint64_t to)
{
    for (uint64_t at = from; at < to;) {
        uint64_t part = min_u64(to - at, sizeof big / 2);
        drive_expect(region, address + at, big + at % 1000, part);
        at += part;
    }
}

/* The place behind it is not enough for twice its size, but for what is appended. */
START_TEST(test_one_without_a_size_grows_as_far_as_it_goes)
{
    uint64_t room = UPLOAD_STEP;
    uint64_t hole = drive_allocate(region, room + 1000), wall = drive_add(region, small, 4096);
    drive_deallocate(region, hole, room + 1000);
    drive_settle(region);
    struct region_upload *upload = drive_begin_open(0);
    drive_settle(region);
    append_until(upload, 0, room);
    append_until(upload, room, room + 500);
    ck_assert_uint_eq(fixture_info().reserved, room + 500);
    ck_assert_uint_eq(drive_commit(upload), hole);
    expect_pieces(hole, 0, room);
    expect_pieces(hole, room, room + 500);
    drive_expect(region, wall, small, 4096);
}
END_TEST

/* Nor is there room elsewhere for twice its size, and in the end for no more at all. */
START_TEST(test_one_without_a_size_in_a_small_region)
{
    struct region_options options = fixture_info().options;
    uint64_t room = UPLOAD_STEP, much = room + 10 * DATA_PAGE;
    options.max_size = 2 * room + 5 * DATA_PAGE;
    region_set_options(region, &options);
    struct region_upload *upload = drive_begin_open(0);
    drive_add(region, small, 4096);
    append_until(upload, 0, room);
    ck_assert_int_eq(try_append(upload, big, much), ERR_NO_SPACE);
    ck_assert_int_eq(try_append(upload, big, 1), 0);
    drive_settle(region);
    ck_assert_uint_lt(fixture_info().reserved, room + 2 * DATA_PAGE);
    ck_assert_int_eq(try_append(upload, big, much), ERR_NO_SPACE);
    ck_assert_ptr_null(region_upload_failure(upload));
    uint64_t address = drive_commit(upload);
    expect_pieces(address, 0, room);
    drive_expect(region, address + room, big, 1);
    fixture_check();
}
END_TEST

/* The new place may begin anywhere in a page: what is too much of it is given back. */
START_TEST(test_the_place_that_it_moves_to)
{
    uint64_t room = UPLOAD_STEP;
    struct region_upload *upload = drive_begin_open(0);
    drive_add(region, big, 4095 + (uint64_t)_i);
    append_until(upload, 0, room);
    append_until(upload, room, room + 10);
    ck_assert_uint_eq(fixture_info().reserved, 2 * room);
    uint64_t address = drive_commit(upload);
    ck_assert_uint_eq(address % DATA_PAGE, 0);
    ck_assert_uint_eq(fixture_info().allocated, room + 10 + 4095 + (uint64_t)_i);
    expect_pieces(address, 0, room);
    expect_pieces(address, room, room + 10);
    fixture_check();
}
END_TEST

/* Whoever wants still more of it has to wait, and so does who wants it to end. */
START_TEST(test_it_does_not_move_twice_at_once)
{
    uint64_t room = UPLOAD_STEP, ticket, address;
    struct region_upload *upload = drive_begin_open(0);
    drive_add(region, small, 4096);
    append_until(upload, 0, room - DATA_PAGE);
    drive_append(upload, big, DATA_PAGE);
    struct region_job *job = region_next_job(region, LANE_UPLOAD, drive_now_ms);
    ck_assert_ptr_nonnull(job);
    int code = region_upload_append(region, upload, big, 10, &ticket, &err);
    ck_assert_int_eq(code, REGION_WAIT);
    region_job_run(job);
    region_job_done(region, job);
    while ((code = region_upload_append(region, upload, big, 10, &ticket, &err)) == REGION_WAIT)
        ck_assert(drive_step(region, LANE_BACKGROUND) || drive_step(region, LANE_COMMIT));
    ck_assert_uint_gt(fixture_info().reserved, 2 * room);
    while (region_add(region, small, 4096, &address, &err) == REGION_WAIT) /* behind that */
        ck_assert(drive_step(region, LANE_BACKGROUND) || drive_step(region, LANE_COMMIT));
    for (uint64_t more = 0; code == 0 && more <= 2 * room; more += room / 2)
        code = region_upload_append(region, upload, big, room / 2, &ticket, &err);
    ck_assert_int_eq(code, REGION_WAIT);
    ck_assert_int_eq(region_upload_commit(region, upload, &address, &err), REGION_WAIT);
    drive_settle(region);
    ck_assert_uint_eq(region_upload_written(upload), ticket);
    address = drive_commit(upload);
    expect_pieces(address, 0, room - DATA_PAGE);
    drive_expect(region, address + room, big, 10);
}
END_TEST

/* Of pages that came while there were no checksums nothing is known where they come to, either. */
START_TEST(test_pages_without_checksums_move)
{
    struct region_options options = fixture_info().options;
    uint64_t room = UPLOAD_STEP;
    struct region_upload *upload = drive_begin_open(0);
    drive_add(region, small, 4096);
    drive_settle(region);
    options.checksum = CHECKSUM_OFF;
    region_set_options(region, &options);
    append_until(upload, 0, room / 2);
    if (_i == 0)
        options.checksum = CHECKSUM_ON;
    region_set_options(region, &options);
    append_until(upload, room / 2, room);
    append_until(upload, room, room + 10);
    options.checksum = CHECKSUM_ON;
    region_set_options(region, &options);
    uint64_t address = drive_commit(upload);
    ck_assert_uint_gt(address, room);
    for (unsigned pass = 0; pass < 2; pass++) {
        expect_pieces(address, 0, room / 2);
        expect_pieces(address, room / 2, room);
        expect_pieces(address, room, room + 10);
        fixture_reopen();
    }
}
END_TEST

START_TEST(test_one_without_a_size_moves)
{
    uint64_t size = sizeof big - 77;
    drive_add(region, small, 100 + (uint64_t)_i);
    struct region_upload *upload = drive_begin_open(0);
    uint64_t wall = drive_add(region, small, 4096);
    append_in_the_way(upload, 0, size);
    fixture_check();
    uint64_t address = drive_commit(upload);
    if (size > UPLOAD_STEP) /* with small limits */
        ck_assert_uint_gt(address, wall);
    struct region_info info = fixture_info();
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
    struct region_upload *upload = drive_begin_open(0);
    drive_add(region, small, 4096);
    drive_append_all(upload, big, room / 2 < sizeof big ? room / 2 : sizeof big, 50000);
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
    ck_assert_uint_eq(fixture_info().reserved, 0);
    fixture_check();
}
END_TEST

/* What it is compared with is in the file by then. */
START_TEST(test_it_moves_once_its_sums_are_applied)
{
    if (UPLOAD_CHUNK > sizeof big / 4)
        return; /* only with small limits */
    uint64_t ticket, size = UPLOAD_CHUNK + 2 * DATA_PAGE;
    struct region_upload *upload = drive_begin_open(size);
    drive_add(region, small, 4096);
    drive_settle(region);
    drive_append(upload, big, size);
    while (region_upload_written(upload) == 0)
        ck_assert(drive_step(region, LANE_UPLOAD));
    while (region_upload_append(region, upload, big + size, size, &ticket, &err) == REGION_WAIT)
        ck_assert(drive_step(region, LANE_BACKGROUND));
    while (region_applied_ticket(region) < region_ticket(region)) {
        ck_assert(!drive_step(region, LANE_UPLOAD));
        ck_assert(drive_step(region, LANE_COMMIT));
    }
    drive_settle(region);
    drive_expect(region, drive_commit(upload), big, 2 * size);
}
END_TEST

START_TEST(test_aborted_while_it_moves)
{
    uint64_t ticket, taken = 0;
    struct region_upload *upload = drive_begin_open(0);
    drive_add(region, small, 4096);
    drive_append_all(upload, big, 2 * DATA_PAGE, 50000);
    while (fixture_info().reserved <= UPLOAD_STEP + DATA_PAGE)
        if (region_upload_append(region, upload, big, 50000, &ticket, &err) == REGION_WAIT)
            drive_settle(region);
    while (region_applied_ticket(region) < region_ticket(region))
        ck_assert(drive_step(region, LANE_COMMIT));
    struct region_job *job = region_next_job(region, LANE_UPLOAD, drive_now_ms);
    ck_assert_ptr_nonnull(job);
    taken = fixture_info().reserved;
    region_upload_abort(region, upload);
    ck_assert_uint_eq(fixture_info().reserved, taken);
    region_job_run(job);
    region_job_done(region, job);
    ck_assert_uint_eq(fixture_info().reserved, 0);
    fixture_check();
}
END_TEST

START_TEST(test_one_without_a_size_that_stays_empty)
{
    struct region_upload *upload = drive_begin_open(0);
    drive_settle(region);
    uint64_t size = region_size(region);
    ck_assert_uint_eq(drive_commit(upload), size);
    ck_assert_uint_eq(fixture_info().uploads + fixture_info().reserved + fixture_info().allocated,
                      0);
    fixture_check();
}
END_TEST

int main(void)
{
    const TTest *tests[] = {
        test_it_comes_byte_for_byte,
        test_appends_are_written_in_order,
        test_many_appends_of_a_page,
        test_what_is_written_begins_to_go_to_the_disk,
        test_several_at_once,
        test_its_first_and_last_page_are_shared,
        test_a_page_that_it_shares_begins_anew,
        test_nothing_is_written_where_somebody_reads,
        test_loads_right_behind_the_commit,
        test_checksums_are_turned_off_and_on,
        test_checksums_are_turned_off_before_a_put,
        test_a_commit_with_a_token,
        test_refusals,
        test_no_space,
        test_a_region_opened_read_only,
        test_one_without_a_size_grows,
        test_one_without_a_size_grows_as_far_as_it_goes,
        test_one_without_a_size_in_a_small_region,
        test_it_does_not_move_twice_at_once,
        test_damage_does_not_move,
        test_aborted_while_it_moves,
        test_it_moves_once_its_sums_are_applied,
        test_one_without_a_size_that_stays_empty,
    };
    Suite *suite = suite_create("region uploads");
    TCase *tcase = fixture_tests("uploads", tests, sizeof tests / sizeof tests[0]);
    tcase_add_loop_test(tcase, test_nothing_is_written_before_its_freeing_is_durable, 0, 3);
    tcase_add_loop_test(tcase, test_pages_that_were_told_are_taken_by_others, 0, 3);
    tcase_add_loop_test(tcase, test_one_without_a_size_moves, 0, 4);
    tcase_add_loop_test(tcase, test_the_place_that_it_moves_to, 0, 3);
    tcase_add_loop_test(tcase, test_pages_without_checksums_move, 0, 2);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
