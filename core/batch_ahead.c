/* Pages that a batch writes ahead: to the data file before its record is, which so is rid of their
 * bytes. A busy commit has many small blobs, and in fresh space they lie behind one another: their
 * pages are then written once instead of twice, as those of a large blob are.
 *
 * Such a page was wholly free before the batch, and its freeing is durable, so no byte that a crash
 * would bring back is in it. All that the batch puts into it is in it when it is written. The
 * record tells its sum as a direct page's and has none of its bytes. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/batch.h"
#include "core/bytes.h"
#include "core/sums.h"

void batch_forget_ahead(struct batch *batch)
{
    for (size_t i = 0; i < batch->run_count; i++)
        batch->runs[i].is_ahead = false;
    batch->ahead_pages = 0;
    record_reset(&batch->journaled);
}

/* What the batch itself freed may come back. */
static bool is_safe(const struct batch *batch, const struct batch_run *run)
{
    return run->kind == EFFECT_FRESH && !extentset_overlaps(&batch->frees, bytes_of(run->run));
}

static void choose_runs(struct batch *batch)
{
    for (size_t i = 0; i < batch->run_count; i++) {
        struct batch_run *run = &batch->runs[i];
        if (run->run.count < AHEAD_RUN || !is_safe(batch, run))
            continue;
        run->is_ahead = true;
        batch->ahead_pages += (size_t)run->run.count;
    }
}

/* ---- The record ---- */

static int add_bytes(struct record *record, const uint8_t *bytes, size_t size)
{
    if (record_reserve(record, size) != 0)
        return -ENOMEM;
    memcpy(record->bytes + record->length, bytes, size);
    record->length += size;
    return 0;
}

/* A part of a put that is not written ahead. */
static int add_part(struct batch *batch, const struct batch_put *put, uint64_t from, uint64_t to)
{
    struct record *record = &batch->journaled;
    if (from == to)
        return 0;
    if (record_reserve(record, RECORD_EXTENT_EFFECT + (size_t)(to - from)) != 0)
        return -ENOMEM;
    size_t offset = record_add_put(record, (struct extent){from, to - from});
    memcpy(record->bytes + offset, batch->record.bytes + put->offset + (from - put->address),
           (size_t)(to - from));
    return 0;
}

static int add_put(struct batch *batch, const struct batch_put *put)
{
    uint64_t from = put->address, at = from, end = put->address + put->size;
    size_t first = batch_run_from(batch, page_of(at));
    const struct batch_run *run = &batch->runs[first];
    int code = 0;
    assert(first < batch->run_count);
    for (; code == 0 && at < end; run++) {
        uint64_t next = min_u64(end, run_end(run->run) * DATA_PAGE);
        assert(run->run.first * DATA_PAGE <= at);
        if (run->is_ahead) {
            code = add_part(batch, put, from, at);
            from = next;
        }
        at = next;
    }
    return code == 0 ? add_part(batch, put, from, end) : code;
}

/* All effects in their order, without what is written ahead, and room for those with sums. */
static int make_record(struct batch *batch)
{
    const struct record *all = &batch->record;
    struct record *record = &batch->journaled;
    size_t at = RECORD_HEADER;
    int code = 0;
    record->effects = all->effects - (uint32_t)batch->put_count;
    for (size_t i = 0; code == 0 && i < batch->put_count; i++) {
        const struct batch_put *put = &batch->puts[i];
        code = add_bytes(record, all->bytes + at, put->offset - RECORD_EXTENT_EFFECT - at);
        if (code == 0)
            code = add_put(batch, put);
        at = put->offset + put->size;
    }
    if (code == 0)
        code = add_bytes(record, all->bytes + at, all->length - at);
    if (code == 0)
        code = record_reserve(record, (size_t)batch->sums_room);
    assert(code != 0 || record->length < all->length);
    return code;
}

void batch_choose_ahead(struct batch *batch)
{
    /* A copy's bytes are not there yet. */
    if (batch->copy_count > 0)
        return;
    choose_runs(batch);
    if ((uint64_t)batch->ahead_pages * DATA_PAGE < AHEAD_BYTES || make_record(batch) != 0) {
        batch_forget_ahead(batch);
        return;
    }
    batch->moves = true;
}
