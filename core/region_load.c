/* Loads: what may be read when, what is being read, and whether it is what was written.
 *
 * A page and its sum change together only in the journal; in the files there is a moment between
 * the two, while a commit job puts them in place. A load whose pages that job touches waits for it,
 * unless they are in the cache of verified pages, which keeps them as they were: the load's own
 * bytes do not change then, else it would wait for them anyway.
 *
 * Loads of some size hold those pages, and what is missing of them is read into the cache, whether
 * it stays there or only passes through. */
#include "core/region_private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/iofile.h"

/* Loads up to this size go through the cache of verified pages; larger ones would only push others
 * out. */
#define SMALL_LOAD (64 * KIB)
/* Pages whose sums are read in one call. */
#define SUMS_AT_ONCE 256
/* Of whole pages, or loads of them, that would push others out of the cache, one in so many is put
 * into it; of large loads even fewer. */
#define KEEP_EVERY 8
#define KEEP_LARGE_EVERY 32
/* A load of which no more than one page in so many is missing gets these whatever they push out. */
#define KEEP_MISSING 4
/* Of so many large loads it is remembered that there was one. */
#define LOADS_SEEN 2048
/* Pages around a block of REGION_HOLD_MAX bytes. */
#define HOLD_PAGES (REGION_HOLD_MAX / DATA_PAGE + 1)

/* The newest batch of a list that writes any byte of the block. */
static uint64_t dirty_ticket(const struct batch *first, struct extent block)
{
    uint64_t ticket = 0;
    for (const struct batch *batch = first; batch != NULL; batch = batch->next)
        if (extentset_overlaps(&batch->dirty, block))
            ticket = batch->ticket;
    return ticket;
}

static uint64_t newest_dirty_ticket(struct region *region, struct extent block)
{
    uint64_t ticket;
    struct batch *gathering = region->gathering, *committing = region->commit.batch;
    if (gathering != NULL && extentset_overlaps(&gathering->dirty, block)) {
        /* A later change of these bytes must not get into this batch: the load is older. */
        (void)extentset_add(&gathering->reads, block);
        return gathering->ticket;
    }
    ticket = dirty_ticket(region->queue.first, block);
    if (ticket == 0 && committing != NULL && extentset_overlaps(&committing->dirty, block))
        ticket = committing->ticket;
    if (ticket == 0)
        ticket = dirty_ticket(region->pending.first, block);
    return ticket;
}

static struct extent whole_pages(struct extent block)
{
    return block.size == 0 ? block : bytes_of(pages_around(block));
}

/* The ticket after which the block's pages rest, where the commit job under way puts any of them in
 * place; 0. */
static uint64_t moving_ticket(const struct region *region, struct extent block)
{
    const struct commit_job *job = &region->commit;
    struct extent pages = whole_pages(block);
    uint64_t ticket = 0;
    if (region->under_way[LANE_COMMIT] != &job->job)
        return 0;
    /* Who begins to read without checksums may go on with them. Batches that have none say so in
     * the sums before they change the pages; the others are waited for. */
    if (!region_is_verified(region) && region->applied_ticket >= region->sums_ticket)
        return 0;
    if (job->flush_first || job->sync_journal)
        ticket = dirty_ticket(region->pending.first, pages);
    if (job->batch != NULL && job->sync_journal && extentset_overlaps(&job->batch->dirty, pages))
        ticket = job->batch->ticket;
    return ticket;
}

static bool has_cached(struct region *region, uint64_t page)
{
    return pagecache_find(&region->cache, page) != NULL;
}

static bool is_cached(struct region *region, struct extent block)
{
    if (block.size == 0 || block.size > SMALL_LOAD)
        return false;
    struct page_run run = pages_around(block);
    for (uint64_t i = 0; i < run.count; i++)
        if (!has_cached(region, run.first + i))
            return false;
    return true;
}

uint64_t region_read_after(struct region *region, struct extent block)
{
    uint64_t after = newest_dirty_ticket(region, block);
    if (after == 0)
        after = moving_ticket(region, block);
    region->hurry_ticket = max_u64(region->hurry_ticket, after);
    return after;
}

int region_load_begin(struct region *region, struct extent block, uint64_t *ret_after,
                      struct err *err)
{
    int code = region_check_block(region, block, err);
    if (code != 0)
        return code;
    if (extentset_overlaps(&region->lost, block) ||
        extentset_overlaps(&region->torn, whole_pages(block)))
        return err_set(err, ERR_IO_ERROR,
                       "block [%llu, +%llu) was being written when the region failed: restart "
                       "mregiond to recover it",
                       (unsigned long long)block.address, (unsigned long long)block.size);
    if (block.size > 0 && !region_is_used(region, block))
        return err_set(err, ERR_NOT_ALLOCATED, "block [%llu, +%llu) is not wholly in use",
                       (unsigned long long)block.address, (unsigned long long)block.size);
    *ret_after = region_read_after(region, block);
    if (*ret_after != 0 && newest_dirty_ticket(region, block) == 0 && is_cached(region, block))
        *ret_after = 0;
    return 0;
}

bool region_is_verified(const struct region *region)
{
    return region->meta.options.checksum == CHECKSUM_ON;
}

/* ---- Without waiting ---- */

static size_t read_plain_now(struct region *region, uint64_t address, uint8_t *buffer, size_t size)
{
    ssize_t got = io_read_now(region->io, region->data, buffer, size, address);
    if (got <= 0)
        return 0;
    overlay_read(&region->overlay, address, buffer, (size_t)got);
    return (size_t)got;
}

/* Reads and verifies whole pages; returns how many are good from the front. */
static size_t read_pages_now(struct region *region, uint64_t first, size_t count, uint8_t *pages)
{
    uint32_t sums[SUMS_AT_ONCE];
    size_t good = 0;
    while (good < count) {
        size_t part = (size_t)min_u64(count - good, SUMS_AT_ONCE);
        size_t got = read_plain_now(region, (first + good) * DATA_PAGE, pages + good * DATA_PAGE,
                                    part * DATA_PAGE) /
                     DATA_PAGE;
        if (got == 0 || !region_sums_now(region, first + good, got, sums))
            return good;
        for (size_t i = 0; i < got; i++, good++)
            if (!sum_matches(region->sum_seed, first + good, pages + good * DATA_PAGE, sums[i]))
                return good;
        if (got < part)
            return good;
    }
    return good;
}

/* memcpy of so few bytes would become a string instruction, which is slow where the destination is
 * not aligned: 0.3 microseconds of a load of 4 KiB. */
static void copy_cached(uint8_t *buffer, const uint8_t *bytes, size_t size)
{
    memmove(buffer, bytes, size);
}

/* A page that is not cached yet, read to where it stays; NULL: it is not to be had now. */
static const uint8_t *cache_page_now(struct region *region, uint64_t page)
{
    uint8_t *spare = pagecache_spare(&region->cache);
    uint8_t *bytes = spare != NULL ? spare : region->page;
    if (read_pages_now(region, page, 1, bytes) != 1)
        return NULL;
    if (spare != NULL)
        pagecache_keep(&region->cache, page);
    return bytes;
}

/* A part of one page, by way of the cache. */
static size_t read_part_now(struct region *region, uint64_t address, uint8_t *buffer, size_t size)
{
    uint64_t page = page_of(address);
    const uint8_t *bytes = pagecache_find(&region->cache, page);
    if (bytes != NULL) {
        region->cache_hits++;
    } else {
        region->cache_misses++;
        bytes = cache_page_now(region, page);
    }
    if (bytes == NULL)
        return 0;
    copy_cached(buffer, bytes + address % DATA_PAGE, size);
    return size;
}

/* Whether a whole page that was just read is kept: keeping it costs as much as reading it, so once
 * that takes another's place only one in a few is. What is asked for often gets in all the same. */
static bool is_worth_keeping(struct region *region)
{
    if (!pagecache_is_full(&region->cache))
        return true;
    region->passed_over = (region->passed_over + 1) % KEEP_EVERY;
    return region->passed_over == 0;
}

/* Whole pages of a small load: one that is cached; else straight into the buffer, as many as are
 * missing in one call. Returns how many there are from the front. */
static size_t read_few_now(struct region *region, uint64_t first, uint8_t *buffer, size_t count)
{
    const uint8_t *bytes = pagecache_find(&region->cache, first);
    size_t missing = 1;
    if (bytes != NULL) {
        region->cache_hits++;
        copy_cached(buffer, bytes, DATA_PAGE);
        return 1;
    }
    while (missing < count && !has_cached(region, first + missing))
        missing++;
    region->cache_misses += missing;
    size_t good = read_pages_now(region, first, missing, buffer);
    for (size_t i = 0; i < good; i++)
        if (is_worth_keeping(region))
            pagecache_insert(&region->cache, first + i, buffer + i * DATA_PAGE);
    return good;
}

size_t region_read_now(struct region *region, uint64_t address, void *buffer, size_t size)
{
    uint8_t *to = buffer;
    size_t done = 0;
    if (size == 0)
        return 0;
    if (!region_is_verified(region))
        return read_plain_now(region, address, buffer, size);
    while (done < size) {
        uint64_t at = address + done;
        size_t part = (size_t)min_u64(DATA_PAGE - at % DATA_PAGE, size - done), got;
        size_t pages = at % DATA_PAGE == 0 ? (size - done) / DATA_PAGE : 0;
        if (pages == 0)
            got = read_part_now(region, at, to + done, part);
        else if (size <= SMALL_LOAD)
            got = read_few_now(region, page_of(at), to + done, pages) * DATA_PAGE;
        else
            got = read_pages_now(region, page_of(at), pages, to + done) * DATA_PAGE;
        if (got == 0)
            break;
        done += got;
    }
    return done;
}

/* ---- Held ---- */

/* Whether a load of the same beginning was among the last ones, more or less: what falls into the
 * same place is forgotten. */
static bool was_loaded(struct region *region, uint64_t first)
{
    if (region->loads_seen == NULL)
        region->loads_seen = calloc(LOADS_SEEN, sizeof region->loads_seen[0]);
    if (region->loads_seen == NULL)
        return false;
    uint64_t *place = &region->loads_seen[(first * 0x9e3779b97f4a7c15u) >> 32 & (LOADS_SEEN - 1)];
    bool was_there = *place == first + 1;
    *place = first + 1;
    return was_there;
}

/* Who reads through files of many GiB leaves nothing behind: of large blobs only those that are
 * loaded again are kept. */
static bool is_load_worth_keeping(struct region *region, uint64_t first, size_t count,
                                  size_t missing)
{
    const struct pagecache *cache = &region->cache;
    if (count * DATA_PAGE > SMALL_LOAD + DATA_PAGE && !was_loaded(region, first))
        return false;
    if (pagecache_has_room(cache, missing) || missing * KEEP_MISSING <= count)
        return true;
    unsigned every = count * DATA_PAGE <= SMALL_LOAD ? KEEP_EVERY : KEEP_LARGE_EVERY;
    region->passed_over++;
    if (region->passed_over < every)
        return false;
    region->passed_over = 0;
    return true;
}

/* Reads adjoining pages to where they are held. */
static bool read_held(struct region *region, uint64_t first, size_t count,
                      const struct pagecache_hold *holds)
{
    struct iovec vectors[HOLD_PAGES];
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        struct iovec *last = &vectors[used - (used > 0)];
        if (used > 0 && (uint8_t *)last->iov_base + last->iov_len == holds[i].bytes)
            last->iov_len += DATA_PAGE;
        else
            vectors[used++] = (struct iovec){holds[i].bytes, DATA_PAGE};
    }
    ssize_t got =
        region->io->ops->read_now(region->io, region->data, vectors, used, first * DATA_PAGE);
    if (got < 0 || (size_t)got != count * DATA_PAGE)
        return false;
    for (size_t i = 0; i < used; i++) {
        overlay_read(&region->overlay, first * DATA_PAGE, vectors[i].iov_base, vectors[i].iov_len);
        first += vectors[i].iov_len / DATA_PAGE;
    }
    return true;
}

/* Holds adjoining pages that are not in the cache: reads and verifies them. False: what is held of
 * them by then is nothing yet. */
static bool hold_missing(struct region *region, uint64_t first, size_t count, bool is_kept,
                         struct pagecache_hold *holds)
{
    uint32_t sums[HOLD_PAGES];
    for (size_t i = 0; i < count; i++)
        if (!pagecache_hold_spare(&region->cache, &holds[i]))
            return false;
    if (!read_held(region, first, count, holds) || !region_sums_now(region, first, count, sums))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!sum_matches(region->sum_seed, first + i, holds[i].bytes, sums[i]))
            return false;
    for (size_t i = 0; is_kept && i < count; i++)
        pagecache_keep_held(&region->cache, first + i, &holds[i]);
    return true;
}

static bool hold_all_missing(struct region *region, struct page_run run, bool is_kept,
                             struct pagecache_hold *holds)
{
    for (size_t i = 0, next; i < run.count; i = next) {
        next = i + 1;
        if (holds[i].chunk != NULL)
            continue;
        while (next < run.count && holds[next].chunk == NULL)
            next++;
        if (!hold_missing(region, run.first + i, next - i, is_kept, holds + i))
            return false;
    }
    return true;
}

size_t region_hold_count(struct extent block)
{
    return (size_t)pages_around(block).count;
}

enum region_hold region_hold_now(struct region *region, struct extent block,
                                 struct pagecache_hold *holds)
{
    struct pagecache *cache = &region->cache;
    struct page_run run = pages_around(block);
    size_t count = (size_t)run.count, missing = 0;
    assert(block.size > 0 && block.size <= REGION_HOLD_MAX);
    if (!region_is_verified(region))
        return REGION_HELD_NOT;
    if (!pagecache_may_hold(cache, count))
        return cache->held > 0 ? REGION_HELD_BY_OTHERS : REGION_HELD_NOT;
    for (size_t i = 0; i < count; i++) {
        if (pagecache_hold(cache, run.first + i, &holds[i]))
            continue;
        holds[i].chunk = NULL;
        missing++;
    }
    region->cache_hits += count - missing;
    region->cache_misses += missing;
    if (missing == 0 ||
        hold_all_missing(region, run, is_load_worth_keeping(region, run.first, count, missing),
                         holds))
        return REGION_HELD;
    region_let_go(holds, count);
    return REGION_HELD_NOT;
}

/* From the last to the first: slots are taken again in the opposite order. */
void region_let_go(const struct pagecache_hold *holds, size_t count)
{
    for (size_t i = count; i-- > 0;)
        if (holds[i].chunk != NULL)
            pagecache_let_go(&holds[i]);
}

/* ---- On a worker ---- */

static int read_plain(struct region *region, uint64_t address, uint8_t *buffer, size_t size,
                      struct err *err)
{
    const char *folder = region->label->folder;
    ssize_t got = region->io->ops->read(region->io, region->data, buffer, size, address);
    if (got < 0)
        return err_io_at(err, (int)got, "read", folder, "data");
    if ((size_t)got < size)
        return err_set(err, ERR_CORRUPT, "%s/data ends at %llu, within block [%llu, +%zu)", folder,
                       (unsigned long long)address + (size_t)got, (unsigned long long)address,
                       size);
    overlay_read(&region->overlay, address, buffer, size);
    return 0;
}

/* Reads and verifies whole pages, SUMS_AT_ONCE at most. */
static int read_pages(struct region *region, uint64_t first, size_t count, uint8_t *pages,
                      uint64_t *ret_damaged, struct err *err)
{
    const struct region_label *label = region->label;
    uint32_t sums[SUMS_AT_ONCE];
    int code = read_plain(region, first * DATA_PAGE, pages, count * DATA_PAGE, err);
    if (code == 0)
        code = sums_read(region->io, label->folder, region->sums, first, count, sums, err);
    if (code != 0)
        return code;
    overlay_sums(&region->overlay, first, count, sums);
    for (size_t i = 0; i < count; i++) {
        if (sum_matches(region->sum_seed, first + i, pages + i * DATA_PAGE, sums[i]))
            continue;
        *ret_damaged = (first + i) * DATA_PAGE;
        return err_set(err, ERR_CORRUPT,
                       "page at %llu of region %s does not match its checksum: what is stored in "
                       "[%llu, %llu) cannot be trusted",
                       (unsigned long long)*ret_damaged, label->name,
                       (unsigned long long)*ret_damaged,
                       (unsigned long long)*ret_damaged + DATA_PAGE);
    }
    return 0;
}

int region_read(struct region *region, uint64_t address, void *buffer, size_t size,
                uint64_t *ret_damaged, struct err *err)
{
    uint8_t *to = buffer;
    uint8_t page[DATA_PAGE];
    int code = 0;
    *ret_damaged = UINT64_MAX;
    if (!region_is_verified(region))
        return read_plain(region, address, buffer, size, err);
    for (size_t done = 0; code == 0 && done < size;) {
        uint64_t at = address + done;
        size_t part = (size_t)min_u64(DATA_PAGE - at % DATA_PAGE, size - done);
        if (part == DATA_PAGE) {
            part = (size_t)min_u64(round_down(size - done, DATA_PAGE),
                                   (uint64_t)SUMS_AT_ONCE * DATA_PAGE);
            code = read_pages(region, page_of(at), part / DATA_PAGE, to + done, ret_damaged, err);
        } else {
            code = read_pages(region, page_of(at), 1, page, ret_damaged, err);
            if (code == 0)
                memcpy(to + done, page + at % DATA_PAGE, part);
        }
        done += part;
    }
    return code;
}

/* ---- What changes ---- */

void region_pages_applied(struct region *region, const struct batch *batch)
{
    for (size_t i = 0; i < batch->run_count; i++) {
        const struct batch_run *run = &batch->runs[i];
        pagecache_drop(&region->cache, run->run);
        region_sums_applied(region, run, run->slot == SIZE_MAX ? NULL : &batch->slots[run->slot]);
        for (uint64_t j = 0; region->damage_count > 0 && j < run->run.count; j++)
            if (run->slot == SIZE_MAX || !batch->slots[run->slot + j].is_spoiled)
                region_forget_damage(region, (run->run.first + j) * DATA_PAGE);
    }
    if (region->damage_count > 0)
        region_forget_freed(region, &batch->frees);
}

/* ---- Pins ---- */

void region_pin(struct region *region, struct region_pin *pin, struct extent block)
{
    pin->block = whole_pages(block);
    pin->is_in_the_way = false;
    pin->previous = &region->pins;
    pin->next = region->pins.next;
    pin->next->previous = pin;
    region->pins.next = pin;
}

void region_unpin(struct region *region, struct region_pin *pin)
{
    pin->previous->next = pin->next;
    pin->next->previous = pin->previous;
    pin->previous = pin->next = NULL;
    if (region->old_labels != NULL && region->pins.next == &region->pins)
        region_free_old_labels(region);
}

bool region_is_extent_pinned(const struct region *region, struct extent extent)
{
    bool is_pinned = false;
    for (struct region_pin *pin = region->pins.next; pin != &region->pins; pin = pin->next) {
        if (pin->block.address >= extent_end(extent) || extent.address >= extent_end(pin->block))
            continue;
        pin->is_in_the_way = true;
        is_pinned = true;
    }
    return is_pinned || region_backup_keeps_extent(region, extent);
}

bool region_is_pinned(const struct region *region, const struct batch *batch)
{
    const struct extentset *dirty = &batch->dirty;
    bool is_pinned = region_backup_keeps(region, batch);
    for (struct region_pin *pin = region->pins.next; pin != &region->pins; pin = pin->next) {
        if (!extentset_overlaps(dirty, pin->block))
            continue;
        pin->is_in_the_way = true;
        is_pinned = true;
    }
    return is_pinned;
}
