/* Disks that lie: writes that are lost, lose a sector, write zeros or go elsewhere, syncs that do
 * nothing before the power goes, reads that answer what was there before, and checksums that are
 * other checksums. While the region is open, for its loads and scrubs; and when it is closed, for
 * recovery, the check and the loads after them. Nobody is ever given other bytes than were stored:
 * the page is named, or the region is refused and the file named.
 *
 * One thing cannot be told: that the last record was ever written. The change that it tells of may
 * come out undone.
 *
 * MREGION_FAULTS_LONG: every write, instead of a few of them. MREGION_SEED: other work. */
#include <check.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../core/support_fixture.h"
#include "../core/support_shadow.h"
#include "core/bytes.h"
#include "core/crc32c.h"
#include "core/limits.h"
#include "core/store.h"
#include "tests/support_figures.h"
#include "tests/support_main.h"

#define BLOBS 16
#define SIZE_MAX_OF_A_BLOB 24000 /* above LARGE_BLOB */
#define CHANGES 40
#define PAGES 400
#define FOLDER "r"

struct blob {
    uint64_t address, size; /* size 0: there is none */
    uint64_t content;
};

struct pages {
    uint64_t addresses[PAGES];
    size_t count;
};

static struct blob blobs[BLOBS], before; /* what the blob of the last change was */
static size_t last;
static bool is_undone; /* it is, as was seen */
static bool may_undo;  /* the last change, in whole or in part */
static struct rng rng;
static const char *subject; /* what is done to which file */
static uint64_t subject_seed, subject_nth;
static struct {
    uint64_t runs, lies, refused, named, stopped, undone, healed, checks, power_cuts;
} totals;

static bool is_long(void)
{
    return getenv("MREGION_FAULTS_LONG") != NULL;
}

static uint64_t seed_offset(void)
{
    const char *given = getenv("MREGION_SEED");
    return given != NULL ? strtoull(given, NULL, 0) : 0;
}

static void print_subject(void)
{
    fprintf(stderr, "MREGION_FAULTS_LONG=1 MREGION_SEED=%llu: %s, seed %llu, number %llu: ",
            (unsigned long long)seed_offset(), subject, (unsigned long long)subject_seed,
            (unsigned long long)subject_nth);
}

#define expect(condition, ...)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            print_subject();                                                                       \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fprintf(stderr, "\n");                                                                 \
            simdisk_print_trace(disk, stderr);                                                     \
            ck_abort_msg("%s", #condition);                                                        \
        }                                                                                          \
    } while (0)

static void print_totals(void)
{
    printf(
        "silent: %s: %llu runs, %llu refused by name, %llu with pages named, %llu stopped by it, "
        "%llu without the last change, %llu as if nothing had been; %llu openings checked\n",
        subject, (unsigned long long)totals.runs, (unsigned long long)totals.refused,
        (unsigned long long)totals.named, (unsigned long long)totals.stopped,
        (unsigned long long)totals.undone, (unsigned long long)totals.healed,
        (unsigned long long)totals.checks);
    faults_add_figures("silent", &(struct faults_figures){.runs = totals.runs,
                                                          .lies = totals.lies,
                                                          .detected = totals.refused + totals.named,
                                                          .power_cuts = totals.power_cuts});
}

/* ---- Work ---- */

enum kind { ADD, STORE, REPLACE, FREE };

struct work {
    enum kind kind;
    struct blob old, fresh;
    uint8_t *bytes;
};

static int stage(struct region *of, void *context, struct err *error)
{
    struct work *work = context;
    struct extent old = {work->old.address, work->old.size};
    if (work->kind == ADD)
        return region_add(of, work->bytes, work->fresh.size, &work->fresh.address, error);
    if (work->kind == STORE)
        return region_store(of, old.address, work->bytes, old.size, error);
    if (work->kind == REPLACE)
        return region_replace(of, old, work->bytes, work->fresh.size, &work->fresh.address, error);
    return region_deallocate(of, old, error);
}

static struct work choose(size_t slot)
{
    struct work work = {.old = blobs[slot], .fresh = blobs[slot]};
    uint64_t max = rng_chance(&rng, 30) ? SIZE_MAX_OF_A_BLOB : 6000;
    work.kind = work.old.size == 0 ? ADD : (enum kind)rng_between(&rng, STORE, FREE);
    work.fresh.content = rng_next(&rng);
    if (work.kind == ADD || work.kind == REPLACE)
        work.fresh.size = rng_between(&rng, 1, max);
    if (work.kind == FREE)
        work.fresh = (struct blob){0};
    work.bytes = malloc(work.fresh.size + 1);
    content_fill(work.fresh.content, 0, work.bytes, work.fresh.size);
    return work;
}

/* Makes changes; false when the region would not have one. */
static bool make_changes(unsigned count, unsigned checkpoint_percent)
{
    for (unsigned i = 0; i < count; i++) {
        uint64_t ticket;
        size_t slot = rng_below(&rng, BLOBS);
        struct work work = choose(slot);
        bool is_done = drive_until(region, stage, &work, &err) == 0;
        drive_settle(region);
        drive_now_ms += 20;
        drive_settle(region);
        is_done = is_done && region_failure(region) == NULL;
        free(work.bytes);
        last = slot;
        before = work.old;
        if (!is_done) {
            expect(err.text[0] != '\0' || region_failure(region) != NULL, "no reason");
            return false;
        }
        blobs[slot] = work.fresh;
        if (rng_chance(&rng, checkpoint_percent) &&
            region_request_checkpoint(region, &ticket, &err) == 0)
            drive_settle(region);
    }
    return region_failure(region) == NULL;
}

static void begin(uint64_t seed)
{
    struct region_options options = region_options_default();
    options.journal_size = JOURNAL_SIZE_MIN;
    options.discard = 2 * DATA_PAGE;
    options.page_cache = seed % 2 * 8 * DATA_PAGE;
    options.scrub_interval_ms = 0;
    rng = (struct rng){seed + 1000 * seed_offset()};
    memset(blobs, 0, sizeof blobs);
    may_undo = false;
    disk = simdisk_new(seed);
    io = simdisk_io(disk);
    ck_assert_int_eq(region_create(io, FOLDER, "main", 7, &options, &err), 0);
    ck_assert_int_eq(io->ops->sync_directory(io, "."), 0);
    region = fixture_open(false, NULL);
    ck_assert(make_changes(CHANGES, 5));
}

static void close_region(void)
{
    if (region != NULL) {
        region_hurry(region);
        drive_settle(region);
        while (drive_step(region, LANE_SCRUB))
            drive_settle(region);
        region_close(region);
    }
    region = NULL;
    expect(simdisk_open_files(disk) == 0, "a file is still open");
    expect(simdisk_breaches(disk) == 0, "the contract of io.h was broken");
}

static void end(void)
{
    close_region();
    simdisk_free(disk);
}

/* ---- What is shown ---- */

static bool has(const struct pages *pages, uint64_t address)
{
    for (size_t i = 0; i < pages->count; i++)
        if (pages->addresses[i] == address)
            return true;
    return false;
}

static void note(struct pages *pages, uint64_t address)
{
    if (has(pages, address))
        return;
    ck_assert_uint_lt(pages->count, PAGES);
    pages->addresses[pages->count++] = address;
}

/* One part of a blob, within one page: its bytes, or the page is named. */
static void load_part(const struct blob *blob, uint64_t offset, size_t size, bool is_last,
                      struct pages *named)
{
    uint8_t bytes[DATA_PAGE];
    uint64_t at = blob->address + offset, damaged = UINT64_MAX;
    size_t got = region_read_now(region, at, bytes, size);
    int code = got == size ? 0 : region_read(region, at, bytes, size, &damaged, &err);
    if (code != 0) {
        expect(code == ERR_CORRUPT, "a load said %s", err.text);
        expect(damaged == round_down(at, DATA_PAGE), "another page was named: %s", err.text);
        note(named, damaged);
        return;
    }
    if (content_matches(blob->content, offset, bytes, size))
        return;
    /* Of a change that came out undone one sees the bytes before it. */
    bool is_before = may_undo && is_last && at >= before.address &&
                     at + size <= before.address + before.size &&
                     content_matches(before.content, at - before.address, bytes, size);
    expect(is_before, "other bytes at %llu", (unsigned long long)at);
    is_undone = true;
}

static void load_blob(const struct blob *blob, bool is_last, struct pages *named)
{
    uint64_t after;
    for (uint64_t offset = 0, next; offset < blob->size; offset = next) {
        uint64_t at = blob->address + offset;
        next = min_u64(blob->size, offset + DATA_PAGE - at % DATA_PAGE);
        struct extent part = {at, next - offset};
        int code = region_load_begin(region, part, &after, &err);
        if (code != 0) {
            expect(may_undo && is_last, "a block is gone: %s", err.text);
            is_undone = true;
            return;
        }
        load_part(blob, offset, (size_t)part.size, is_last, named);
    }
}

static void load_all(struct pages *named)
{
    uint64_t used = 0;
    for (size_t i = 0; i < BLOBS; i++) {
        used += blobs[i].size;
        load_blob(&blobs[i], i == last, named);
    }
    if (fixture_allocated() != used) {
        uint64_t old = used - blobs[last].size + before.size;
        is_undone = true;
        expect(may_undo && fixture_allocated() == old, "%llu bytes in use, not %llu",
               (unsigned long long)fixture_allocated(), (unsigned long long)used);
    }
    expect(region_check(region) == NULL, "%s", region_check(region));
}

/* What a scrub finds in the open region: all that loads do. */
static void scrub(const struct pages *named)
{
    uint64_t ticket;
    struct pages found = {0};
    if (region_failure(region) != NULL)
        return;
    expect(region_request_scrub(region, &ticket, &err) == 0, "no scrub: %s", err.text);
    while (drive_step(region, LANE_SCRUB) || drive_step(region, LANE_COMMIT) ||
           drive_step(region, LANE_BACKGROUND))
        ;
    if (region_failure(region) != NULL)
        return;
    expect(region_scrub_ticket(region) >= ticket, "the scrub has no end");
    found.count = region_damages(region, found.addresses, PAGES);
    for (size_t i = 0; i < named->count; i++)
        expect(has(&found, named->addresses[i]), "a scrub does not find %llu",
               (unsigned long long)named->addresses[i]);
}

/* What the check of a folder finds: what loads do, no more and no less. */
static void look(const struct pages *named)
{
    static struct region_look seen;
    struct pages found = {0};
    for (uint64_t at = 0, end_of; (end_of = region_piece_end(region, at)) > at; at = end_of) {
        region_look_at_piece(region, at, NULL, &seen);
        for (size_t i = 0; i < seen.damaged; i++)
            note(&found, seen.findings[i].address);
    }
    for (size_t i = 0; i < named->count; i++)
        expect(has(&found, named->addresses[i]), "the check does not find %llu",
               (unsigned long long)named->addresses[i]);
    expect(may_undo || found.count == named->count, "the check finds more than loads do");
}

/* ---- What comes of it ---- */

/* Opens what is on the disk, and looks at all of it; false when it is refused, by name. */
static bool reopen(bool read_only, const char *file, struct pages *named)
{
    int code = region_open(io, FOLDER, NULL, read_only, &region, NULL, &err);
    *named = (struct pages){0};
    totals.checks++;
    if (code != 0) {
        region = NULL;
        expect(code == ERR_CORRUPT || code == ERR_INVALID_ARGUMENT || code == ERR_IO_ERROR,
               "refused with %s", err.text);
        expect(file == NULL || strstr(err.text, file) != NULL, "not named: %s", err.text);
        expect(strstr(err.text, FOLDER "/") != NULL, "no file is named: %s", err.text);
        close_region();
        return false;
    }
    load_all(named);
    if (read_only)
        look(named);
    else
        scrub(named);
    return true;
}

/* After the lie, the region closed: the check, recovery, and what comes after it. */
static void check_closed(const char *file)
{
    struct pages checked, named;
    is_undone = false;
    bool is_good = reopen(true, file, &checked);
    close_region();
    if (reopen(false, file, &named) != is_good)
        expect(false, "the check and the start do not agree");
    close_region();
    if (!is_good) {
        totals.refused++;
        return;
    }
    for (size_t i = 0; i < checked.count; i++)
        expect(has(&named, checked.addresses[i]), "recovery has made %llu look well",
               (unsigned long long)checked.addresses[i]);
    expect(reopen(false, file, &checked), "refused after a recovery: %s", err.text);
    for (size_t i = 0; i < named.count; i++)
        expect(has(&checked, named.addresses[i]), "a second start has made %llu look well",
               (unsigned long long)named.addresses[i]);
    totals.named += named.count > 0;
    totals.undone += is_undone;
    totals.healed += named.count == 0 && !is_undone;
}

/* Different work, each with every write in its turn. */
static uint64_t seeds(void)
{
    return is_long() ? 40 : 3;
}

static uint64_t next_of(uint64_t nth, uint64_t stride)
{
    return nth + (is_long() ? 1 : rng_between(&rng, 1, 2 * stride - 1));
}

/* ---- Writes ---- */

static const char *const patterns[] = {FOLDER "/data", FOLDER "/sums", FOLDER "/journal-*",
                                       FOLDER "/checkpoint-*"};
static const char *const lies[LIE_LIES] = {"", "a lost write", "a lost sector", "zeros written",
                                           "a misdirected write"};

static bool run_lie(enum simdisk_lie lie, const char *pattern, uint64_t seed, uint64_t nth)
{
    struct pages named = {0};
    subject_nth = nth;
    subject_seed = seed;
    begin(seed);
    simdisk_set_lie(disk, lie, pattern, nth);
    bool went_on = make_changes(CHANGES, nth % 3 == 0 ? 10 : 2);
    bool hit = simdisk_has_lied(disk);
    simdisk_set_lie(disk, LIE_NONE, NULL, 0);
    expect(went_on || hit, "it stopped without a reason");
    totals.lies += hit;
    totals.stopped += !went_on;
    totals.runs++;
    /* What a region was about to do when it stopped it may have done. */
    may_undo = !went_on;
    if (went_on) {
        load_all(&named);
        scrub(&named);
    }
    close_region();
    may_undo = may_undo || strstr(pattern, "journal") != NULL;
    check_closed(NULL);
    end();
    return hit;
}

START_TEST(test_writes)
{
    enum simdisk_lie lie = (enum simdisk_lie)(_i / 4 + 1);
    char text[80];
    snprintf(text, sizeof text, "%s, %s", lies[lie], patterns[_i % 4]);
    subject = text;
    for (uint64_t seed = 1; seed <= seeds(); seed++)
        for (uint64_t nth = 1; run_lie(lie, patterns[_i % 4], seed, nth);)
            nth = next_of(nth, 3);
    ck_assert_uint_gt(totals.refused + totals.named + totals.healed, 0);
    print_totals();
}
END_TEST

/* ---- Syncs ---- */

static uint64_t matching_syncs;

static void count_sync(void *context, struct simdisk *of, enum simdisk_op op, const char *path)
{
    (void)of;
    if ((SIM_BIT(op) & SIM_SYNCS) != 0 && fnmatch(context, path, 0) == 0)
        matching_syncs++;
}

/* The power goes soon after the sync that lied. */
static bool run_sync(const char *pattern, uint64_t seed, uint64_t nth)
{
    bool went_on = true;
    subject_nth = nth;
    subject_seed = seed;
    begin(seed);
    matching_syncs = 0;
    simdisk_ignore_syncs(disk, pattern, nth, 1);
    simdisk_set_hook(disk, count_sync, (void *)(uintptr_t)pattern);
    for (unsigned i = 0; i < CHANGES && went_on && matching_syncs < nth; i++)
        went_on = make_changes(1, 20);
    bool hit = matching_syncs >= nth;
    simdisk_set_hook(disk, NULL, NULL);
    went_on = went_on && make_changes((unsigned)rng_below(&rng, 3), 0);
    totals.lies += hit;
    totals.power_cuts++;
    totals.stopped += !went_on;
    totals.runs++;
    struct simdisk *crashed =
        rng_chance(&rng, 50) ? simdisk_crash_none(disk) : simdisk_crash_random(disk, &rng);
    close_region();
    simdisk_free(disk);
    disk = crashed;
    io = simdisk_io(disk);
    may_undo = true;
    check_closed(NULL);
    end();
    return hit;
}

START_TEST(test_syncs)
{
    char text[80];
    const char *pattern = _i < 4 ? patterns[_i] : FOLDER;
    snprintf(text, sizeof text, "a sync that does nothing, %s", pattern);
    subject = text;
    for (uint64_t seed = 1; seed <= seeds(); seed++)
        for (uint64_t nth = 1; run_sync(pattern, seed, nth);)
            nth++;
    print_totals();
}
END_TEST

/* ---- Reads ---- */

/* A stale read harms what is built on it, and that is named too. */
static bool run_stale(const char *pattern, uint64_t seed, uint64_t nth)
{
    struct pages named = {0};
    subject_nth = nth;
    subject_seed = seed;
    begin(seed);
    struct simdisk *past = simdisk_crash_none(disk);
    make_changes(CHANGES, 3);
    simdisk_set_stale(disk, past, pattern, nth);
    bool went_on = make_changes(CHANGES / 2, 10);
    load_all(&named);
    scrub(&(struct pages){0});
    may_undo = !went_on;
    close_region();
    bool hit = simdisk_has_lied(disk);
    totals.stopped += !went_on;
    totals.runs++;
    if (hit) {
        simdisk_set_stale(disk, NULL, NULL, 0);
        check_closed(NULL);
    } else {
        /* None so far: one of the start's. */
        int code = region_open(io, FOLDER, NULL, false, &region, NULL, &err);
        if (code == 0)
            load_all(&named);
        else
            region = NULL;
        hit = simdisk_has_lied(disk);
        expect(code == 0 || (hit && strstr(err.text, FOLDER "/") != NULL), "refused: %s", err.text);
        totals.refused += code != 0;
        totals.named += named.count > 0;
        simdisk_set_stale(disk, NULL, NULL, 0);
        close_region();
        check_closed(NULL);
    }
    totals.lies += hit;
    end();
    simdisk_free(past);
    return hit;
}

START_TEST(test_stale_reads)
{
    char text[80];
    snprintf(text, sizeof text, "a stale read, %s", patterns[_i]);
    subject = text;
    for (uint64_t seed = 1; seed <= seeds(); seed++)
        for (uint64_t nth = 1; run_stale(patterns[_i], seed, nth);)
            nth = next_of(nth, 4);
    print_totals();
}
END_TEST

/* ---- Checksums ---- */

enum forgery { COMPLEMENT, SWAPPED, OF_THE_NEIGHBOR, OF_ANOTHER_REGION, ALL_ZEROS, FORGERIES };

static uint32_t forge(enum forgery forgery, uint32_t sum, uint32_t neighbor, const uint8_t *page)
{
    switch (forgery) {
    case COMPLEMENT:
        return ~sum;
    case SWAPPED:
        return __builtin_bswap32(sum);
    case OF_THE_NEIGHBOR:
        return neighbor;
    case OF_ANOTHER_REGION:
        return crc32c(12345, page, DATA_PAGE);
    default:
        return 0;
    }
}

static struct node *file_of(const char *name)
{
    return simtree_child(simtree_find(simdisk_tree(disk), FOLDER), name);
}

static void put(const char *name, uint64_t offset, const void *bytes, size_t size)
{
    simtree_write(simdisk_tree(disk), file_of(name), offset, bytes, size);
    simtree_sync(simdisk_tree(disk), file_of(name));
}

/* Every sum of a page in use becomes another one; each page must be named. */
static void forge_sums(enum forgery forgery, struct pages *forged)
{
    for (uint64_t page = 0;; page++) {
        uint8_t bytes[DATA_PAGE], sum[4], neighbor[4], fresh[4];
        struct extent whole = {page * DATA_PAGE, DATA_PAGE};
        bool is_used = false;
        for (size_t i = 0; i < BLOBS; i++)
            is_used |= blobs[i].size > 0 && blobs[i].address < extent_end(whole) &&
                       blobs[i].address + blobs[i].size > whole.address;
        if (whole.address >= image_length(file_of("data")->cached))
            return;
        image_read(file_of("data")->cached, whole.address, bytes, DATA_PAGE);
        image_read(file_of("sums")->cached, DISK_BLOCK + 4 * page, sum, 4);
        image_read(file_of("sums")->cached, DISK_BLOCK + 4 * page + 4, neighbor, 4);
        put_u32(fresh, forge(forgery, get_u32(sum), get_u32(neighbor), bytes));
        if (!is_used || memcmp(fresh, sum, 4) == 0)
            continue;
        put("sums", DISK_BLOCK + 4 * page, fresh, 4);
        note(forged, whole.address);
    }
}

static void expect_all(const struct pages *forged, const struct pages *named)
{
    expect(forged->count > 5, "only %zu sums were forged", forged->count);
    for (size_t i = 0; i < forged->count; i++)
        expect(has(named, forged->addresses[i]), "%llu is not named",
               (unsigned long long)forged->addresses[i]);
    expect(named->count == forged->count, "others are named too");
}

START_TEST(test_sums_of_others)
{
    static const char *const names[FORGERIES] = {"complement", "swapped", "of the neighbor",
                                                 "of another region", "zero"};
    struct pages forged = {0}, named;
    char text[80];
    snprintf(text, sizeof text, "every sum %s", names[_i % FORGERIES]);
    subject = text;
    begin((uint64_t)_i + 1);
    drive_checkpoint(region);
    close_region();
    /* Once without a record that would make pages and sums anew. */
    ck_assert(reopen(false, NULL, &named));
    if (_i < FORGERIES) {
        close_region();
        forge_sums((enum forgery)(_i % FORGERIES), &forged);
        ck_assert(reopen(true, NULL, &named));
        expect_all(&forged, &named);
        close_region();
        ck_assert(reopen(false, NULL, &named));
    } else {
        /* Under the open region; what is cached stays well. */
        struct region_info info;
        region_get_info(region, &info);
        info.options.page_cache = 0;
        region_set_options(region, &info.options);
        forge_sums((enum forgery)(_i % FORGERIES), &forged);
        named = (struct pages){0};
        load_all(&named);
        scrub(&forged);
    }
    expect_all(&forged, &named);
    totals.runs = 1;
    totals.lies = totals.named = forged.count;
    print_totals();
    end();
}
END_TEST

/* The checksum of a structure becomes another value: of four bytes at an offset, in a file whose
 * name begins so; of journals and checkpoints in every block. */
static void forge_checksums(const char *name, uint64_t offset, uint64_t length)
{
    static const uint8_t other[DATA_PAGE] = "other";
    for (uint64_t at = offset; at + 4 <= length; at += DISK_BLOCK)
        for (unsigned forgery = 0; forgery < FORGERIES; forgery++) {
            struct simdisk *whole = disk;
            uint8_t old[4], neighbor[4], fresh[4];
            image_read(file_of(name)->cached, at, old, 4);
            image_read(file_of(name)->cached, (at + DISK_BLOCK) % length, neighbor, 4);
            put_u32(fresh, forge((enum forgery)forgery, get_u32(old), get_u32(neighbor), other));
            if (memcmp(fresh, old, 4) == 0 || get_u32(old) == 0)
                continue;
            disk = simdisk_crash_none(whole);
            io = simdisk_io(disk);
            put(name, at, fresh, 4);
            subject_nth = at * FORGERIES + forgery;
            totals.runs++;
            totals.lies++;
            check_closed(strncmp(name, "journal", 7) == 0 ? "journal-" : name);
            end();
            disk = whole;
            io = simdisk_io(disk);
        }
}

START_TEST(test_checksums_of_structures)
{
    subject = "checksums of structures";
    begin((uint64_t)_i + 1);
    close_region();
    const struct names *names = &simtree_find(simdisk_tree(disk), FOLDER)->cached_names;
    char list[32][SIM_NAME];
    size_t count = 0;
    for (; count < names->count && count < 32; count++)
        snprintf(list[count], SIM_NAME, "%s", names->entries[count].name);
    for (size_t i = 0; i < count; i++) {
        uint64_t length = image_length(file_of(list[i])->cached);
        bool is_journal = strncmp(list[i], "journal-", 8) == 0;
        may_undo = is_journal;
        if (strcmp(list[i], "data") == 0)
            continue;
        forge_checksums(list[i], 12, min_u64(length, DISK_BLOCK));
        if (is_journal) {
            forge_checksums(list[i], DISK_BLOCK + 4, length);
            forge_checksums(list[i], DISK_BLOCK + 36, length);
        } else if (strncmp(list[i], "checkpoint-", 11) == 0) {
            forge_checksums(list[i], DISK_BLOCK, 2 * DISK_BLOCK);
        }
    }
    ck_assert_uint_gt(totals.refused, 0);
    print_totals();
    end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("silent faults");
    TCase *tcase = tcase_create("silent faults");
    tcase_add_loop_test(tcase, test_writes, 0, 4 * (LIE_LIES - 1));
    tcase_add_loop_test(tcase, test_syncs, 0, 5);
    tcase_add_loop_test(tcase, test_stale_reads, 0, 4);
    tcase_add_loop_test(tcase, test_sums_of_others, 0, 2 * FORGERIES);
    tcase_add_loop_test(tcase, test_checksums_of_structures, 0, is_long() ? 10 : 1);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
