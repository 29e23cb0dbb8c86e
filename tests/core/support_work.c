#include "support_work.h"

#include <string.h>

#include "core/bytes.h"
#include "core/region_private.h"
#include "support_fixture.h"
#include "support_token.h"

#define KEPT 5000
#define LARGE 100000
#define HUGE (5 * MIB / 2)
#define ROOM (5 * MIB)

static uint64_t kept, block; /* addresses */

/* ---- Changes that may fail ---- */

struct step {
    enum { ADD, ALLOCATE, FREE, FREE_RANGE, STORE, REPLACE, RESIZE } kind;
    struct extent block;
    uint64_t size;
};

static int stage(const struct step *step, uint64_t *ret_address)
{
    switch (step->kind) {
    case ADD:
        return region_add(region, big, step->size, ret_address, &err);
    case ALLOCATE:
        return region_allocate(region, step->size, ret_address, &err);
    case FREE:
        return region_deallocate(region, step->block, &err);
    case FREE_RANGE:
        return region_deallocate_range(region, step->block.address, extent_end(step->block),
                                       ret_address, &err);
    case STORE:
        return region_store(region, step->block.address, big + 7, step->size, &err);
    case REPLACE:
        return region_replace(region, step->block, big, step->size, ret_address, &err);
    case RESIZE:
        return region_resize(region, step->block, step->size, ret_address, &err);
    }
    return ERR_INTERNAL;
}

static bool run_jobs(void)
{
    bool is_busy = drive_step(region, LANE_COMMIT);
    is_busy |= drive_step(region, LANE_BACKGROUND);
    is_busy |= drive_step(region, LANE_UPLOAD);
    return is_busy;
}

/* Whether it is to be tried once more: it was told to wait, and jobs were run. A job that could not
 * begin for want of memory is asked for once more. */
static bool has_waited(int code, unsigned *idle)
{
    if (code != REGION_WAIT)
        return false;
    *idle = run_jobs() ? 0 : *idle + 1;
    ck_assert_msg(*idle < 3, "told to wait, but for nothing");
    return true;
}

/* All of them or, if one fails, none of them any more; while they wait jobs are run. */
static int change(const struct step *steps, size_t count, bool is_atomic)
{
    unsigned idle = 0;
    for (;;) {
        uint64_t address = block;
        int code = is_atomic ? region_atomic_begin(region, count * MIB, &err) : 0;
        bool has_begun = is_atomic && code == 0;
        for (size_t i = 0; code == 0 && i < count; i++)
            code = stage(&steps[i], &address);
        if (has_begun)
            region_atomic_end(region, code == 0);
        if (!has_waited(code, &idle))
            return code;
    }
}

static int one(struct step step)
{
    return change(&step, 1, false);
}

/* Everything that is due within two seconds. */
static void settle(void)
{
    region_hurry(region);
    drive_settle(region);
    drive_now_ms += 2000;
    drive_settle(region);
    while (drive_step(region, LANE_SCRUB))
        drive_settle(region);
}

/* Free space whose disk space is there. */
static void make_room(void)
{
    uint64_t room = drive_allocate(region, ROOM);
    drive_settle(region);
    drive_deallocate(region, room, ROOM);
    drive_settle(region);
}

/* ---- Large blobs ---- */

static void add_large(void)
{
    struct step steps[] = {
        {.kind = ADD, .size = 2 * LARGE},
        {.kind = ADD, .size = LARGE},
        {.kind = STORE, .block = {block + LARGE, 0}, .size = 100},
    };
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
        (void)one(steps[i]);
    settle();
}

static void prepare_large(void)
{
    make_room();
    block = KEPT; /* where the first one goes */
}

static void prepare_move(void)
{
    block = drive_add(region, big, HUGE);
    drive_add(region, small, 100);
    make_room();
}

static void move_huge(void)
{
    (void)one((struct step){.kind = RESIZE, .block = {block, HUGE}, .size = HUGE + MIB});
    settle();
}

static void prepare_small_move(void)
{
    block = drive_add(region, big, 3000);
    drive_add(region, small, 100);
    make_room();
}

static void move_small(void)
{
    (void)one((struct step){.kind = STORE, .block = {block + 50, 0}, .size = 10});
    (void)one((struct step){.kind = RESIZE, .block = {block, 3000}, .size = 9000});
    settle();
}

/* Free blocks by the dozen: the index gets another node now and then. */
static void prepare_scattered(void)
{
    block = drive_add(region, big, 100 * 1000);
    drive_add(region, small, 100);
    drive_settle(region);
    for (uint64_t i = 0; i < 50; i++)
        drive_deallocate(region, block + i * 2000, 500);
    drive_settle(region);
}

static void move_scattered(void)
{
    for (uint64_t i = 0; i < 20; i++)
        (void)one((struct step){
            .kind = RESIZE, .block = {block + 1000 + i * 2000, 300}, .size = 5000 + i * 100});
    settle();
}

/* Loads wait to read what is overwritten, or freed and taken, while it is staged. */
static void wait_and_overwrite(void)
{
    uint64_t after;
    for (unsigned i = 0; i < 6; i++) {
        struct extent at = {block + 5000 + i * 20000, 1000};
        struct step steps[] = {
            {.kind = STORE, .block = at, .size = 500},
            {.kind = REPLACE, .block = at, .size = 800},
            {.kind = REPLACE, .block = at, .size = 1100},
            {.kind = FREE, .block = at},
            {.kind = REPLACE, .block = at, .size = LARGE},
            {.kind = ADD, .size = 1000},
        };
        (void)one((struct step){.kind = STORE, .block = at, .size = 900});
        (void)one((struct step){.kind = FREE, .block = {extent_end(at), 300}});
        (void)region_load_begin(region, at, &after, &err);
        (void)one(steps[i]);
    }
    (void)one((struct step){.kind = FREE, .block = {block + 140000, 2 * LARGE}});
    (void)one((struct step){.kind = ADD, .size = 2 * LARGE - 9000});
    settle();
}

static void allocate_zeros(void)
{
    (void)one((struct step){.kind = ALLOCATE, .size = 4 * LARGE});
    settle();
}

/* ---- What is held back ---- */

static void commit_all(void)
{
    while (drive_step(region, LANE_COMMIT))
        continue;
}

static void prepare_pending(void)
{
    block = drive_add(region, big, LARGE);
    make_room();
    fixture_set_durability(DURABILITY_NONE);
    drive_store(region, block + 10, small, 1000);
    drive_add(region, big, LARGE);
    commit_all();
    ck_assert_ptr_nonnull(region->pending.first);
}

static void add_behind_pending(void)
{
    (void)one((struct step){.kind = STORE, .block = {block + 20, 0}, .size = 3000});
    commit_all();
    (void)one((struct step){.kind = ADD, .size = LARGE});
    commit_all();
    settle();
}

/* ---- Checkpoints and the journal ---- */

/* More journal than is kept when a checkpoint is done. */
static void prepare_long_journal(void)
{
    struct step step = {.kind = STORE, .size = 2 * MIB};
    uint64_t ignored;
    step.block.address = block = drive_add(region, big, HUGE);
    drive_settle(region);
    for (unsigned i = 0; i < 7; i++) {
        while (stage(&step, &ignored) == REGION_WAIT)
            ck_assert(drive_step(region, LANE_COMMIT) || drive_step(region, LANE_BACKGROUND));
        commit_all();
    }
}

static void take_checkpoint(void)
{
    uint64_t ticket;
    (void)region_request_checkpoint(region, &ticket, &err);
    settle();
    if (region_failure(region) == NULL)
        (void)region_request_checkpoint(region, &ticket, &err);
    settle();
}

/* ---- Space ---- */

static void grow_data(void)
{
    (void)one((struct step){.kind = ALLOCATE, .size = 40 * MIB});
    settle();
}

static void prepare_block(void)
{
    block = drive_add(region, big, HUGE);
    drive_add(region, small, 100);
    drive_settle(region);
}

static void fill_journal(void)
{
    for (unsigned i = 0; i < 3; i++)
        (void)one((struct step){.kind = STORE, .block = {block, 0}, .size = 4096});
    for (unsigned i = 0; i < 15; i++)
        (void)one((struct step){.kind = STORE, .block = {block, 0}, .size = HUGE});
    take_checkpoint();
}

static void prepare_longer_journal(void)
{
    struct region_info info;
    region_get_info(region, &info);
    info.options.journal_size = 64 * MIB;
    region_set_options(region, &info.options);
    prepare_block();
}

static void prepare_freed(void)
{
    prepare_block();
    drive_deallocate(region, block, HUGE);
    drive_settle(region);
}

static void discard(void)
{
    settle();
    settle();
}

static void prepare_holes(void)
{
    prepare_freed();
    discard();
    struct region_info info;
    region_get_info(region, &info);
    ck_assert_uint_gt(info.discarded_bytes, MIB);
}

static void fill_holes(void)
{
    (void)one((struct step){.kind = ADD, .size = LARGE});
    (void)one((struct step){.kind = ADD, .size = HUGE});
    settle();
}

/* ---- All or nothing ---- */

/* What it frees it takes again, and writes it through the journal. */
static void free_and_take(void)
{
    struct step steps[] = {
        {.kind = FREE, .block = {block, HUGE}},
        {.kind = ADD, .size = MIB},
        {.kind = ADD, .size = LARGE},
        {.kind = STORE, .block = {kept, 0}, .size = 0},
    };
    (void)change(steps, sizeof steps / sizeof steps[0], true);
    settle();
}

/* ---- Many small changes ---- */

enum { MANY = 40, STRIDE = 3 * DATA_PAGE };

static void prepare_many(void)
{
    block = drive_add(region, big, (uint64_t)MANY * STRIDE);
    drive_add(region, small, 100);
    make_room();
}

static void change_many(void)
{
    for (uint64_t i = 0; i < MANY; i++) {
        struct extent at = {block + i * STRIDE, DATA_PAGE + 500};
        struct step steps[] = {
            {.kind = STORE, .block = at, .size = 1000},
            {.kind = REPLACE, .block = at, .size = DATA_PAGE},
            {.kind = FREE_RANGE, .block = {at.address + 100, 200}},
            {.kind = RESIZE, .block = {at.address, 100}, .size = 250},
            {.kind = REPLACE, .block = {at.address, 250}, .size = 290},
            {.kind = ALLOCATE, .size = 6000},
            {.kind = FREE, .block = {at.address + 2000, 500}},
        };
        (void)one(steps[i % 7]);
        (void)one(steps[(i + 3) % 7]);
        if (i % 10 == 9)
            commit_all();
    }
    settle();
}

static void prepare_many_pending(void)
{
    prepare_many();
    fixture_set_durability(DURABILITY_INTERVAL);
}

/* More than is cached at a time, one page after the other. */
static void load_many(void)
{
    uint8_t bytes[100];
    for (uint64_t i = 0; i < 2 * (uint64_t)MANY; i++)
        (void)region_read_now(region, block + i * STRIDE / 2, bytes, sizeof bytes);
    settle();
}

/* Damaged pages are told, whoever comes upon them. */
static void prepare_damaged(void)
{
    uint8_t zeros[20 * DATA_PAGE] = {0};
    struct iovec vector = {zeros, sizeof zeros};
    struct io_file *file;
    prepare_many();
    ck_assert_int_eq(io->ops->open(io, "r/data", 0, &file), 0);
    ck_assert_int_eq(io->ops->write(io, file, &vector, 1, round_up(block, DATA_PAGE)), 0);
    io->ops->close(io, file);
}

static void look_for_damage(void)
{
    uint64_t ticket;
    (void)region_request_scrub(region, &ticket, &err);
    (void)one((struct step){.kind = STORE, .block = {block + STRIDE + 10, 0}, .size = 20});
    settle();
}

/* What is copied is changed meanwhile, so that there are rounds, and a rest. */
static void back_up(void)
{
    struct region_backup backup;
    if (region_backup_begin(region, io, "backup", &err) != 0)
        return;
    for (uint64_t i = 0, idle = 0; !region_take_backup(region, &backup); i++) {
        bool is_busy = drive_step(region, LANE_BACKUP);
        if (is_busy)
            (void)one((struct step){
                .kind = STORE, .block = {block + i % MANY * STRIDE, 0}, .size = 1000});
        is_busy |= run_jobs();
        idle = is_busy ? 0 : idle + 1;
        ck_assert_msg(idle < 3, "the backup waits for nothing");
    }
    settle();
}

static void prepare_backup_by_clone(void)
{
    prepare_many();
    simdisk_set_clones(disk);
}

static void use_tokens(void)
{
    for (uint64_t i = 0; i < 20; i++) {
        int code;
        for (unsigned idle = 0; idle < 3; idle = run_jobs() ? 0 : idle + 1) {
            code = token_try_add(region, i, 10 + 1000 * i, small, 10, &err);
            if (code != REGION_WAIT)
                break;
        }
    }
    (void)region_token_expect(region, 0, &err);
    settle();
}

static void prepare_nothing(void)
{
    make_room();
}

/* ---- Blobs that come in pieces ---- */

/* NULL: it could not be begun. */
static struct region_upload *begin(uint64_t size, bool is_open_ended)
{
    struct region_upload *upload = NULL;
    unsigned idle = 0;
    int code;
    do
        code = is_open_ended ? region_upload_begin_open(region, size, &upload, &err)
                             : region_upload_begin(region, size, &upload, &err);
    while (has_waited(code, &idle));
    return code == 0 ? upload : NULL;
}

/* In pieces, some of which are still on their way when the next one comes. */
static void append(struct region_upload *upload, uint64_t size, uint64_t piece)
{
    uint64_t ticket;
    for (uint64_t done = 0; done < size; done += piece) {
        uint64_t part = min_u64(piece, size - done);
        unsigned idle = 0;
        int code;
        do
            code = region_upload_append(region, upload, big + done % MIB, part, &ticket, &err);
        while (has_waited(code, &idle));
        if (code != 0)
            return;
        if (done / piece % 3 == 2)
            (void)run_jobs();
    }
}

/* Once more where it was refused; whatever becomes of it, it is gone. */
static void finish(struct region_upload *upload)
{
    uint64_t address;
    int code = REGION_WAIT;
    for (unsigned i = 0; i < 2 && code != 0; i++) {
        unsigned idle = 0;
        do
            code = region_upload_commit(region, upload, &address, &err);
        while (has_waited(code, &idle));
    }
    if (code != 0)
        region_upload_abort(region, upload);
    settle();
}

static void prepare_uploads(void)
{
    block = drive_add(region, big, LARGE + 1);
    make_room();
}

/* The first one begins in the page in which the block ends, which somebody is to read. */
static void upload_some(void)
{
    uint64_t after;
    struct region_upload *first = begin(LARGE, false), *second = begin(LARGE, false);
    if (first != NULL)
        append(first, LARGE, 9001);
    if (second != NULL)
        append(second, LARGE / 2, 9001);
    (void)run_jobs();
    if (second != NULL)
        region_upload_abort(region, second);
    settle();
    (void)one((struct step){.kind = STORE, .block = {block + LARGE - 500, 0}, .size = 100});
    (void)region_load_begin(region, (struct extent){block + LARGE - 500, 100}, &after, &err);
    if (first != NULL)
        finish(first);
    struct region_upload *empty = begin(0, true);
    if (empty != NULL)
        finish(empty);
    settle();
}

/* More than it has room for, again and again. Something lies behind it, wherever it is. */
static void upload_without_a_size(void)
{
    struct region_info info;
    struct region_upload *upload = begin(0, true);
    (void)one((struct step){.kind = ADD, .size = DATA_PAGE});
    if (upload == NULL)
        return;
    region_get_info(region, &info);
    for (uint64_t i = 0; i < 2; i++) {
        append(upload, info.reserved + 100, info.reserved / 4 + 33);
        (void)one((struct step){.kind = ADD, .size = DATA_PAGE});
    }
    finish(upload);
}

/* They need another place before anything is written, and are given up. */
static void give_up_while_they_move(void)
{
    struct region_info info;
    for (unsigned i = 0; i < 10; i++) {
        uint64_t ticket;
        int code = 0;
        struct region_upload *upload = begin(0, true);
        (void)one((struct step){.kind = ADD, .size = DATA_PAGE});
        if (upload == NULL)
            continue;
        region_get_info(region, &info);
        for (unsigned k = 0; k < 5 && code == 0; k++) {
            unsigned idle = 0;
            do
                code =
                    region_upload_append(region, upload, big, info.reserved / 4 + 1, &ticket, &err);
            while (has_waited(code, &idle));
        }
        region_upload_abort(region, upload);
        (void)one((struct step){.kind = FREE, .block = {block + 1000 + 2000 * i, 300}});
    }
    settle();
}

static void prepare_uploads_in_holes(void)
{
    prepare_scattered();
    fixture_set_durability(DURABILITY_INTERVAL);
}

/* What is freed around them comes and goes with many blocks. */
static void free_around_uploads(void)
{
    struct region_upload *uploads[25];
    for (unsigned i = 0; i < 25; i++) {
        uploads[i] = begin(500, false);
        if (uploads[i] != NULL)
            append(uploads[i], 500, 200);
    }
    (void)one((struct step){.kind = FREE_RANGE, .block = {block + 600, 99000}});
    for (unsigned i = 0; i < 25; i++) {
        if (uploads[i] != NULL && i % 2 == 0)
            region_upload_abort(region, uploads[i]);
        else if (uploads[i] != NULL)
            finish(uploads[i]);
    }
    settle();
}

const struct work works[] = {
    {"large blobs", prepare_large, add_large},
    {"a large blob that moves", prepare_move, move_huge},
    {"a small blob that moves", prepare_small_move, move_small},
    {"blobs that move among free blocks", prepare_scattered, move_scattered},
    {"loads that wait", prepare_block, wait_and_overwrite},
    {"zeros", prepare_large, allocate_zeros},
    {"behind what is pending", prepare_pending, add_behind_pending},
    {"a checkpoint", prepare_long_journal, take_checkpoint},
    {"a longer data file", prepare_nothing, grow_data},
    {"a longer journal", prepare_longer_journal, fill_journal},
    {"discards", prepare_freed, discard},
    {"holes", prepare_holes, fill_holes},
    {"all or nothing", prepare_block, free_and_take},
    {"many changes", prepare_many, change_many},
    {"many changes that are pending", prepare_many_pending, change_many},
    {"damaged pages", prepare_damaged, look_for_damage},
    {"tokens", prepare_nothing, use_tokens},
    {"uploads", prepare_uploads, upload_some},
    {"an upload without a size", prepare_nothing, upload_without_a_size},
    {"uploads that are given up", prepare_scattered, give_up_while_they_move},
    {"uploads in small holes", prepare_uploads_in_holes, free_around_uploads},
    {"loads of many pages", prepare_many, load_many},
    {"a backup", prepare_many, back_up},
    {"a backup by clones", prepare_backup_by_clone, back_up},
};
const size_t work_count = sizeof works / sizeof works[0];

static void change_first(void)
{
    (void)one((struct step){.kind = ADD, .size = 1000});
    (void)one((struct step){.kind = ALLOCATE, .size = 2 * MIB});
    commit_all();
    settle();
}

const struct work first_work = {"the first changes", NULL, change_first};

/* ---- Before and after ---- */

void work_begin(const struct work *work)
{
    fixture_set_up();
    if (work->prepare == NULL)
        return;
    kept = drive_add(region, big + 9, KEPT);
    drive_settle(region);
    work->prepare();
}

static void expect_kept(const struct work *work)
{
    if (work->prepare != NULL)
        drive_expect(region, kept, big + 9, KEPT);
}

void work_end(const struct work *work)
{
    const char *wrong = region_check(region);
    ck_assert_msg(wrong == NULL, "%s: %s", work->name, wrong);
    if (region_failure(region) == NULL) {
        drive_deallocate(region, drive_add(region, big, 2 * LARGE), 2 * LARGE);
        expect_kept(work);
    } else {
        ck_assert(region_failure(region)->text[0] != '\0');
        ck_assert_int_eq(region_clear(region, 0, &err), ERR_READ_ONLY);
    }
    fixture_power_cut();
    region = fixture_open(false, NULL);
    expect_kept(work);
    drive_add(region, small, 1000);
    settle();
    ck_assert_ptr_null(region_failure(region));
    fixture_tear_down();
}

struct simdisk *work_leave(const struct work *work)
{
    work_begin(work);
    work->act();
    ck_assert_int_eq(io->ops->sync_directory(io, "r"), 0);
    struct simdisk *left = simdisk_crash_none(disk);
    work_end(work);
    return left;
}

int work_open(const struct simdisk *left, bool read_only, struct err *why)
{
    struct simdisk *opened = simdisk_crash_none(left);
    struct region *one_region = NULL;
    int code = region_open(simdisk_io(opened), "r", NULL, read_only, &one_region, NULL, why);
    if (code == 0)
        region_close(one_region);
    ck_assert_uint_eq(simdisk_open_files(opened), 0);
    simdisk_free(opened);
    return code;
}
