/* Sums in memory, for loads on the loop: one system call less for each.
 *
 * Blocks of the sums file as it is, kept in a cache like that of verified pages and in its budget.
 * A commit job that puts pages in place writes their sums to the file; the cached blocks get them
 * when the job is done, before any load goes on that waited for those pages. */
#include "core/region_private.h"

#include "core/bytes.h"

void region_sums_set_limit(struct region *region, uint64_t page_cache)
{
    pagecache_set_limit(&region->sum_blocks, page_cache / SUM_BLOCKS_SHARE);
}

/* A block of the sums file, until the next call; NULL: it is not to be had without waiting. */
static const uint8_t *block_now(struct region *region, uint64_t number)
{
    const uint8_t *bytes = pagecache_find(&region->sum_blocks, number);
    if (bytes != NULL)
        return bytes;
    uint8_t *spare = pagecache_spare(&region->sum_blocks);
    uint8_t *block = spare != NULL ? spare : region->sum_block;
    if (!sums_read_block_now(region->io, region->sums, number, block))
        return NULL;
    if (spare != NULL)
        pagecache_keep(&region->sum_blocks, number);
    return block;
}

bool region_sums_now(struct region *region, uint64_t first, size_t count, uint32_t *sums)
{
    for (size_t done = 0; done < count;) {
        uint64_t page = first + done, within = page % SUMS_PER_BLOCK;
        size_t part = (size_t)min_u64(count - done, SUMS_PER_BLOCK - within);
        const uint8_t *bytes = block_now(region, page / SUMS_PER_BLOCK);
        if (bytes == NULL)
            return false;
        sums_decode(bytes + within * SUM_SIZE, part, sums + done);
        done += part;
    }
    overlay_sums(&region->overlay, first, count, sums);
    return true;
}

void region_sums_applied(struct region *region, const struct batch_run *run,
                         const struct page_slot *slots)
{
    uint64_t end = run_end(run->run), next;
    for (uint64_t page = run->run.first; page < end; page = next) {
        next = min_u64(end, round_down(page, SUMS_PER_BLOCK) + SUMS_PER_BLOCK);
        uint8_t *bytes = pagecache_edit(&region->sum_blocks, page / SUMS_PER_BLOCK);
        for (; bytes != NULL && page < next; page++)
            put_u32(bytes + page % SUMS_PER_BLOCK * SUM_SIZE,
                    run->slot == SIZE_MAX ? SUM_ZEROS : slots[page - run->run.first].sum);
    }
}
