/* Scrubs: passes over every page that has a byte in use.
 *
 * A pass goes through the region from its beginning to its end, in pieces, each of them a job on a
 * lane of its own. What a piece reads is pinned meanwhile, so a commit waits for one piece at most:
 * between two of them the commit lane is asked first.
 *
 * A page is looked at when the files have it whole. Bytes that wait in a batch to go over it do not
 * matter, the pin keeps them away. But a page that a batch takes into use has nothing on the disk
 * that means anything before it is applied, and while a commit job puts a page in place it does not
 * match its sum: a piece ends in front of such a page. Where it is the first one, the pass waits
 * until every batch that there is now has been applied; only one that somebody asked for hurries
 * them. A page that is on its way once more by then is left to the next pass: what it was a moment
 * ago the change itself has verified, or written whole.
 *
 * The data file is read around the operating system's cache where that can be done: what is on the
 * disk is to be looked at, and what others load often is to stay in memory.
 *
 * A page that cannot be read is a finding like one that does not match: its bytes cannot be had. It
 * neither ends the pass nor fails the region, which has lost nothing else by it. */
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/iofile.h"
#include "core/region_private.h"

/* Runs of pages that a piece is read in: what lies scattered is not to hold a pin for long. */
#define SCRUB_RUNS 64

/* ---- Which pages ---- */

static bool is_page_used(const struct region *region, uint64_t page)
{
    struct extent used;
    return region_next_used(region, page * DATA_PAGE, &used) && page_of(used.address) == page;
}

static uint64_t end_of(const struct scrub_piece *piece)
{
    return run_end(piece->span) * DATA_PAGE;
}

/* The pages in use from the address on; false when there are none. */
static bool next_piece(const struct region *region, uint64_t address, struct scrub_piece *piece)
{
    struct extent used;
    unsigned runs = 0;
    piece->span = (struct page_run){0, 0};
    while (piece->span.count < SCRUB_PAGES && region_next_used(region, address, &used)) {
        struct page_run run = pages_around(used);
        if (piece->span.count == 0)
            piece->span.first = run.first;
        uint64_t at = run.first - piece->span.first;
        bool is_apart = piece->span.count == 0 || at > piece->span.count;
        runs += is_apart;
        if (at >= SCRUB_PAGES || runs > SCRUB_RUNS)
            break;
        uint64_t count = min_u64(run.count, SCRUB_PAGES - at);
        memset(piece->states + piece->span.count, PAGE_LEFT_OUT, at - piece->span.count);
        memset(piece->states + at, PAGE_WANTED, count);
        piece->span.count = at + count;
        address = end_of(piece);
    }
    return piece->span.count > 0;
}

/* The first page of the span that the batch changes, of those in use before it only where any; the
 * span's end when there is none. */
static uint64_t first_changed(const struct batch *batch, struct page_run span, bool any)
{
    size_t low = 0, high = batch->run_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (run_end(batch->runs[middle].run) > span.first)
            high = middle;
        else
            low = middle + 1;
    }
    for (; low < batch->run_count && batch->runs[low].run.first < run_end(span); low++)
        if (any || batch->runs[low].kind != EFFECT_CHANGED)
            return max_u64(batch->runs[low].run.first, span.first);
    return run_end(span);
}

static void cut_at(struct page_run *span, uint64_t page)
{
    span->count = page - span->first;
}

/* The same of a batch that has no runs yet: any page that it touches. */
static void cut_at_gathering(struct page_run *span, const struct batch *gathering)
{
    const struct extentset *dirty = &gathering->dirty;
    struct extent block;
    if (dirty->everything && !batch_is_empty(gathering))
        cut_at(span, span->first);
    else if (maxtree_seek(&dirty->tree, span->first * DATA_PAGE, &block) &&
             page_of(block.address) < run_end(*span))
        cut_at(span, max_u64(page_of(block.address), span->first));
}

/* Ends the span in front of the first page that the files do not have whole. */
static void cut_at_moving(const struct region *region, struct page_run *span)
{
    const struct commit_job *job = &region->commit;
    bool is_under_way = region->under_way[LANE_COMMIT] == &job->job;
    bool is_applying = is_under_way && (job->flush_first || job->sync_journal);
    for (const struct batch *batch = region->pending.first; batch != NULL; batch = batch->next)
        cut_at(span, first_changed(batch, *span, is_applying));
    if (is_under_way && job->batch != NULL)
        cut_at(span, first_changed(job->batch, *span, job->sync_journal));
    for (const struct batch *batch = region->queue.first; batch != NULL; batch = batch->next)
        cut_at(span, first_changed(batch, *span, false));
    if (region->gathering != NULL)
        cut_at_gathering(span, region->gathering);
}

/* ---- Worker ---- */

static void judge(const struct region *region, uint64_t page, const uint8_t *bytes, uint32_t sum,
                  uint8_t *state)
{
    if (sum == SUM_UNVERIFIED)
        *state = PAGE_UNVERIFIED;
    else
        *state = sum_matches(region->sum_seed, page, bytes, sum) ? PAGE_VERIFIED : PAGE_DAMAGED;
}

/* Reads the pages, as many at a time as the buffer holds; one by one where that fails. */
static void look_at_run(struct region *region, struct scrub_piece *piece, struct page_run run,
                        const uint32_t *sums, uint8_t *buffer, uint64_t room)
{
    for (uint64_t done = 0; done < run.count;) {
        uint64_t first = run.first + done, part = min_u64(run.count - done, room);
        size_t at = (size_t)(first - piece->span.first), size = (size_t)(part * DATA_PAGE);
        ssize_t got = region->io->ops->read(region->io, region->data_for_scrub, buffer, size,
                                            first * DATA_PAGE);
        done += part;
        if (got == (ssize_t)size) {
            overlay_read(&region->overlay, first * DATA_PAGE, buffer, size);
            for (size_t i = 0; i < part; i++)
                if (piece->states[at + i] == PAGE_WANTED)
                    judge(region, first + i, buffer + i * DATA_PAGE, sums[at + i],
                          &piece->states[at + i]);
        } else if (part > 1) {
            look_at_run(region, piece, (struct page_run){first, part}, sums, buffer, 1);
        } else if (piece->states[at] == PAGE_WANTED) {
            piece->states[at] = PAGE_UNREADABLE;
        }
    }
}

/* The sums of the piece's pages; a page whose sum cannot be read is found unreadable. */
static void read_sums(struct region *region, struct scrub_piece *piece, uint32_t *sums)
{
    struct err err;
    size_t count = (size_t)piece->span.count;
    if (sums_read(region->io, region->folder, region->sums, piece->span.first, count, sums, &err) !=
        0)
        for (size_t i = 0; i < count; i++)
            if (sums_read(region->io, region->folder, region->sums, piece->span.first + i, 1,
                          sums + i, &err) != 0 &&
                piece->states[i] == PAGE_WANTED)
                piece->states[i] = PAGE_UNREADABLE;
    overlay_sums(&region->overlay, piece->span.first, count, sums);
}

static void look_at_piece(struct region *region, struct scrub_piece *piece, uint8_t *buffer)
{
    _Alignas(DISK_BLOCK) uint8_t page[DATA_PAGE];
    uint32_t sums[SCRUB_PAGES];
    struct page_run run = {piece->span.first, 0};
    read_sums(region, piece, sums);
    while (run_end(run) < run_end(piece->span)) {
        run = (struct page_run){run_end(run), 0};
        while (run_end(run) < run_end(piece->span) &&
               piece->states[run_end(run) - piece->span.first] == PAGE_LEFT_OUT)
            run.first++;
        while (run_end(run) < run_end(piece->span) &&
               piece->states[run_end(run) - piece->span.first] != PAGE_LEFT_OUT)
            run.count++;
        /* Without memory for the buffer it goes on slowly. */
        if (buffer != NULL)
            look_at_run(region, piece, run, sums, buffer, SCRUB_PAGES);
        else
            look_at_run(region, piece, run, sums, page, 1);
    }
}

static int run_scrub(struct region_job *base, struct err *err)
{
    struct scrub_job *job = (struct scrub_job *)(void *)base;
    (void)err;
    look_at_piece(job->region, &job->piece, job->buffer);
    return 0;
}

/* ---- The beginning and the end of a pass ---- */

static void begin(struct region *region, bool is_requested)
{
    struct scrub *scrub = &region->scrub;
    scrub->is_running = true;
    scrub->is_requested = is_requested;
    scrub->is_blocked = scrub->has_waited = false;
    scrub->position = 0;
    scrub->next_us = 0;
    scrub->counts = (struct scrub_counts){0};
    scrub->started++;
    if (region->scrubbing.buffer == NULL)
        region->scrubbing.buffer = aligned_alloc(DISK_BLOCK, SCRUB_PIECE);
}

static void stop(struct region *region)
{
    region->scrub.ended_ms = region->now_ms;
    region_scrub_release(region);
}

/* Passes that are asked for or under way come to nothing. */
static void give_up(struct region *region)
{
    struct scrub *scrub = &region->scrub;
    if (scrub->is_running)
        stop(region);
    scrub->started = max_u64(scrub->started, scrub->wanted);
    scrub->void_ticket = scrub->started;
    (void)err_set(&scrub->failure, ERR_INVALID_ARGUMENT,
                  "region %s has its checksums turned off, so there is nothing to verify",
                  region->meta.name);
}

static void finish(struct region *region)
{
    struct scrub *scrub = &region->scrub;
    stop(region);
    scrub->done = scrub->started;
    scrub->passes++;
    scrub->finished_ms = region->now_ms;
    scrub->last = scrub->counts;
    region_damage_counted(region, scrub->counts.damaged);
}

void region_scrub_release(struct region *region)
{
    region->scrub.is_running = false;
    if (region->under_way[LANE_SCRUB] != NULL)
        return; /* scrub_done sees to it */
    free(region->scrubbing.buffer);
    region->scrubbing.buffer = NULL;
}

/* ---- Pieces ---- */

static void note_page(struct region *region, uint64_t page, enum page_state state)
{
    struct scrub_counts *counts = &region->scrub.counts;
    uint64_t address = page * DATA_PAGE;
    bool is_damaged = state == PAGE_DAMAGED || state == PAGE_UNREADABLE;
    /* Freed meanwhile, it has nothing that could be damaged. */
    if (is_damaged && !is_page_used(region, page))
        return;
    counts->pages++;
    counts->verified += state == PAGE_VERIFIED;
    counts->unverified += state == PAGE_UNVERIFIED;
    counts->damaged += is_damaged;
    if (is_damaged)
        (void)region_note_finding(region, address, state == PAGE_UNREADABLE);
    else if (region->damage_count > 0)
        region_forget_damage(region, address);
}

static void pay(struct scrub *scrub, uint64_t now_ms, uint64_t rate, uint64_t bytes)
{
    if (rate > 0)
        scrub->next_us = max_u64(scrub->next_us, now_ms * 1000) + bytes * 1000000 / rate;
}

static void scrub_done(struct region *region, struct region_job *base)
{
    struct scrub_job *job = (struct scrub_job *)(void *)base;
    struct scrub *scrub = &region->scrub;
    const struct scrub_piece *piece = &job->piece;
    uint64_t looked_at = 0;
    struct extent used;
    region_unpin(region, &job->pin);
    if (!scrub->is_running || region->is_failing) {
        region_scrub_release(region);
        return;
    }
    for (size_t i = 0; i < piece->span.count; i++) {
        if (piece->states[i] == PAGE_LEFT_OUT)
            continue;
        looked_at++;
        note_page(region, piece->span.first + i, (enum page_state)piece->states[i]);
    }
    scrub->position = end_of(piece);
    if (!scrub->is_requested)
        pay(scrub, region->now_ms, region->meta.options.scrub_rate, looked_at * DATA_PAGE);
    if (!region_next_used(region, scrub->position, &used))
        finish(region);
}

/* The first page is on its way. Whether to step over it. */
static bool wait_for_page(struct region *region)
{
    struct scrub *scrub = &region->scrub;
    if (scrub->has_waited && region->applied_ticket >= scrub->wait_ticket) {
        scrub->has_waited = false;
        return true;
    }
    if (!scrub->has_waited) {
        scrub->has_waited = true;
        scrub->wait_ticket = region->newest_ticket;
    }
    if (scrub->is_requested)
        region->hurry_ticket = max_u64(region->hurry_ticket, scrub->wait_ticket);
    return false;
}

/* The pages that may be looked at now; false when there are none, or none any more. */
static bool take_piece(struct region *region, struct scrub_piece *piece)
{
    struct scrub *scrub = &region->scrub;
    while (next_piece(region, scrub->position, piece)) {
        /* Where the pass has come to it stays, whatever is freed or taken before it. */
        if (scrub->position != piece->span.first * DATA_PAGE)
            scrub->has_waited = false;
        scrub->position = piece->span.first * DATA_PAGE;
        cut_at_moving(region, &piece->span);
        if (piece->span.count > 0) {
            scrub->has_waited = false;
            return true;
        }
        if (!wait_for_page(region)) {
            scrub->is_blocked = true;
            return false;
        }
        scrub->position += DATA_PAGE;
    }
    finish(region);
    return false;
}

static void begin_if_due(struct region *region)
{
    struct scrub *scrub = &region->scrub;
    uint64_t interval_ms = region->meta.options.scrub_interval_ms;
    if (!scrub->is_timed) {
        scrub->is_timed = true;
        scrub->ended_ms = region->now_ms;
    }
    if (scrub->wanted > scrub->started && !(scrub->is_running && scrub->is_requested))
        begin(region, true);
    else if (!scrub->is_running && interval_ms > 0 &&
             region->now_ms - scrub->ended_ms >= interval_ms)
        begin(region, false);
}

struct region_job *region_next_scrub(struct region *region)
{
    struct scrub_job *job = &region->scrubbing;
    struct scrub *scrub = &region->scrub;
    if (!region_is_verified(region))
        return NULL;
    scrub->is_blocked = false;
    do {
        begin_if_due(region);
        if (!scrub->is_running || region->now_ms < scrub->next_us / 1000)
            return NULL;
        if (take_piece(region, &job->piece))
            break;
    } while (!scrub->is_blocked); /* a pass is over: another may be wanted */
    if (scrub->is_blocked)
        return NULL;
    job->region = region;
    region_pin(region, &job->pin, bytes_of(job->piece.span));
    job->job.run = run_scrub;
    job->job.done = scrub_done;
    return &job->job;
}

uint64_t region_scrub_deadline_ms(const struct region *region)
{
    const struct scrub *scrub = &region->scrub;
    uint64_t interval_ms = region->meta.options.scrub_interval_ms;
    if (region->under_way[LANE_SCRUB] != NULL || region->read_only || region->is_failing ||
        region->is_failed || !region_is_verified(region) || !scrub->is_timed || scrub->is_blocked)
        return UINT64_MAX;
    if (scrub->is_running)
        return scrub->next_us / 1000;
    if (scrub->wanted > scrub->started)
        return region->now_ms;
    return interval_ms == 0 ? UINT64_MAX : scrub->ended_ms + interval_ms;
}

void region_scrub_options(struct region *region, const struct region_options *before)
{
    const struct region_options *now = &region->meta.options;
    struct scrub *scrub = &region->scrub;
    if (!region_is_verified(region))
        give_up(region);
    else if (scrub->is_running && !scrub->is_requested && now->scrub_interval_ms == 0)
        stop(region);
    if (now->scrub_rate != before->scrub_rate)
        scrub->next_us = 0;
}

/* ---- Asked from outside ---- */

int region_request_scrub(struct region *region, uint64_t *ret_ticket, struct err *err)
{
    if (region->read_only || region->is_failing || region->is_failed)
        return err_set(err, ERR_READ_ONLY, "region %s is read-only: %s", region->meta.name,
                       region->read_only ? "it was opened so" : region->failure.text);
    if (!region_is_verified(region))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "region %s has checksums off: there is nothing to compare its pages with",
                       region->meta.name);
    /* One that is under way has passed by pages that the caller may have in mind. */
    region->scrub.wanted = region->scrub.started + 1;
    *ret_ticket = region->scrub.wanted;
    return 0;
}

uint64_t region_scrub_ticket(const struct region *region)
{
    return region->scrub.done;
}

const struct err *region_scrub_failure(const struct region *region, uint64_t ticket)
{
    const struct scrub *scrub = &region->scrub;
    return ticket > scrub->done && ticket <= scrub->void_ticket ? &scrub->failure : NULL;
}

/* How much of what is in use has been found well: by the last pass, or, before there was one, by
 * the first as far as it has come. */
static unsigned percent_of(const struct region *region)
{
    const struct scrub *scrub = &region->scrub;
    const struct scrub_counts *counts = scrub->passes > 0 ? &scrub->last : &scrub->counts;
    if (scrub->passes > 0 && counts->pages == 0)
        return 100;
    if (counts->pages == 0)
        return 0;
    uint64_t percent = counts->verified * 100 / counts->pages;
    uint64_t size = region->space.size;
    if (scrub->passes == 0)
        percent = percent * (min_u64(scrub->position, size) / (size / 100 + 1)) / 100;
    return (unsigned)percent;
}

static void describe(const struct region *region, const struct scrub_counts *counts,
                     struct region_scrub *ret_scrub)
{
    const struct scrub *scrub = &region->scrub;
    *ret_scrub = (struct region_scrub){
        .is_running = scrub->is_running,
        .position = scrub->is_running ? scrub->position : 0,
        .passes = scrub->passes,
        .finished_ms = scrub->finished_ms,
        .pages = counts->pages,
        .verified = counts->verified,
        .unverified = counts->unverified,
        .damaged = counts->damaged,
        .verified_percent = percent_of(region),
    };
}

void region_get_scrub(const struct region *region, struct region_scrub *ret_scrub)
{
    const struct scrub *scrub = &region->scrub;
    describe(region, scrub->is_running ? &scrub->counts : &scrub->last, ret_scrub);
}

void region_get_last_scrub(const struct region *region, struct region_scrub *ret_scrub)
{
    describe(region, &region->scrub.last, ret_scrub);
}

/* ---- Piece by piece ---- */

uint64_t region_piece_end(const struct region *region, uint64_t address)
{
    struct scrub_piece piece;
    return next_piece(region, address, &piece) ? end_of(&piece) : address;
}

void region_look_at_piece(struct region *region, uint64_t address, uint8_t *buffer,
                          struct region_look *ret_look)
{
    struct scrub_piece piece;
    *ret_look = (struct region_look){.pages = 0};
    if (!next_piece(region, address, &piece))
        return;
    look_at_piece(region, &piece, buffer);
    for (size_t i = 0; i < piece.span.count; i++) {
        enum page_state state = (enum page_state)piece.states[i];
        ret_look->pages += state != PAGE_LEFT_OUT;
        ret_look->verified += state == PAGE_VERIFIED;
        ret_look->unverified += state == PAGE_UNVERIFIED;
        if (state == PAGE_DAMAGED || state == PAGE_UNREADABLE)
            ret_look->findings[ret_look->damaged++] = (struct region_finding){
                (piece.span.first + i) * DATA_PAGE, state == PAGE_UNREADABLE};
    }
}
