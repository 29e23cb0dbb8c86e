/* Blobs that come in pieces.
 *
 * An upload has its extent from the beginning: the bytes are taken out of the tree of free blocks,
 * so that nobody else is given them, and are listed as reserved. No record says so: to a restart
 * they are free, and to everybody who asks meanwhile (region_space.c). Only where the region had to
 * become larger for it there is a record, which says that it grew by free bytes: its size is what
 * the journal knows, whatever becomes of the upload.
 *
 * What is appended is written by jobs of a lane of its own (region_upload_job.c), once every batch
 * that was staged when the extent was reserved has been applied: then the record that freed these
 * bytes is durable, and no older put is on its way to them. From then on nobody else writes there.
 *
 * Sums do not stay in memory: every UPLOAD_CHUNK of bytes a record tells those of its pages, as
 * direct ones, while they are free (region_upload_tell). Such a record changes nothing. The one
 * that takes the extent into use, at the end, comes behind them in the journal, so where it is
 * found they are found, and nobody has begun these pages anew in between. It tells the sums that
 * are left, and puts the bytes in front of the first page boundary and behind the last one. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/array.h"
#include "core/bytes.h"
#include "core/iofile.h"
#include "core/region_private.h"

#define OPEN_ENDED UINT64_MAX

/* ---- What one is ---- */

static bool is_open_ended(const struct region_upload *upload)
{
    return upload->size == OPEN_ENDED;
}

static bool is_under_way(const struct region_upload *upload)
{
    const struct region *region = upload->region;
    return region->under_way[LANE_UPLOAD] != NULL && region->uploading.upload == upload;
}

static bool has_stopped(const struct region *region)
{
    return region->is_failing || region->is_failed;
}

bool region_upload_is_writing(const struct region_upload *upload)
{
    return is_under_way(upload);
}

bool region_upload_is_busy(const struct region_upload *upload)
{
    return upload->part_count > 0 || upload->is_moving || is_under_way(upload);
}

uint64_t region_upload_written(const struct region_upload *upload)
{
    bool has_stop = upload->has_failed || has_stopped(upload->region);
    return has_stop && !is_under_way(upload) ? upload->tickets : upload->written;
}

uint64_t region_upload_size(const struct region_upload *upload)
{
    return is_open_ended(upload) ? upload->appended : upload->size;
}

uint64_t region_upload_appended(const struct region_upload *upload)
{
    return upload->appended;
}

const struct err *region_upload_failure(const struct region_upload *upload)
{
    if (upload->has_failed)
        return &upload->failure;
    return has_stopped(upload->region) ? &upload->region->failure : NULL;
}

/* Bytes of a blob at this address that lie in front of its first page boundary. */
static uint64_t head_room(uint64_t address)
{
    return round_up(address, DATA_PAGE) - address;
}

struct extent region_upload_pages(const struct region_upload *upload)
{
    uint64_t from = round_up(upload->extent.address, DATA_PAGE);
    uint64_t to = round_down(upload->extent.address + upload->appended, DATA_PAGE);
    return (struct extent){from, to > from ? to - from : 0};
}

static struct region_upload **link_of(struct region *region, const struct region_upload *upload)
{
    struct region_upload **link = &region->uploads;
    while (*link != upload)
        link = &(*link)->next;
    return link;
}

static void free_upload(struct region_upload *upload)
{
    free(upload->parts);
    free(upload->sums);
    free(upload->old_sums);
    free(upload);
}

/* ---- The beginning ---- */

static int check_begin(struct region *region, struct err *err)
{
    assert(!region->atomic.is_open);
    int code = region_check_writable(region, err);
    if (code == 0 && region->upload_count >= UPLOADS_MAX)
        return err_set(err, ERR_BUSY,
                       "region %s has %u uploads in progress, and there may not be more: commit or "
                       "abort one of them",
                       region->meta.name, (unsigned)UPLOADS_MAX);
    return code;
}

void region_upload_reserved(struct region *region, struct region_upload *upload, uint64_t before)
{
    uint64_t size = region->space.size;
    if (size > before) {
        batch_grew(region->gathering, (struct extent){before, size - before});
        (void)region_staged(region);
    }
    /* What was staged may have freed these bytes, or put some there. */
    upload->after = region->change_ticket;
    region->hurry_ticket = max_u64(region->hurry_ticket, upload->after);
}

/* Reserves size bytes for it. */
static int reserve(struct region *region, struct region_upload *upload, uint64_t size,
                   struct err *err)
{
    const struct batch_need need = {.record = 2 * RECORD_EXTENT_EFFECT};
    uint64_t address = 0;
    int code = region_prepare(region, &need, false, err);
    if (code != 0)
        return code;
    if (extentlist_reserve(&region->reserved) != 0)
        return err_no_memory(err);
    code = region_take(region, size, &address, err);
    if (code != 0)
        return code;
    upload->extent = (struct extent){address, size};
    extentlist_insert(&region->reserved, upload->extent);
    upload->first_page = page_of(round_up(address, DATA_PAGE));
    region_upload_reserved(region, upload, region->size_before_change);
    return 0;
}

static int begin(struct region *region, uint64_t size, uint64_t room,
                 struct region_upload **ret_upload, struct err *err)
{
    int code = check_begin(region, err);
    if (code != 0)
        return code;
    struct region_upload *upload = calloc(1, sizeof *upload);
    if (upload == NULL)
        return err_no_memory(err);
    upload->region = region;
    upload->size = size;
    code = reserve(region, upload, room, err);
    if (code != 0) {
        free_upload(upload);
        return code;
    }
    upload->next = region->uploads;
    region->uploads = upload;
    region->upload_count++;
    *ret_upload = upload;
    return 0;
}

int region_upload_begin(struct region *region, uint64_t size, struct region_upload **ret_upload,
                        struct err *err)
{
    if (size == 0)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "an upload of 0 bytes: there is nothing to store");
    return begin(region, size, size, ret_upload, err);
}

int region_upload_begin_open(struct region *region, uint64_t size_hint,
                             struct region_upload **ret_upload, struct err *err)
{
    return begin(region, OPEN_ENDED, max_u64(size_hint, UPLOAD_STEP), ret_upload, err);
}

/* ---- Appending ---- */

/* Takes the bytes behind an open-ended one's extent. */
static int grow_to(struct region *region, struct region_upload *upload, uint64_t size,
                   struct err *err)
{
    const struct batch_need need = {.record = 2 * RECORD_EXTENT_EFFECT};
    struct extent grown = {upload->extent.address, size};
    int code = region_prepare(region, &need, false, err);
    if (code == 0)
        code = region_take_behind(region, upload->extent, size, err);
    if (code != 0)
        return code;
    extentlist_remove(&region->reserved, upload->extent);
    extentlist_insert(&region->reserved, grown);
    upload->extent.size = size; /* its address a job may be reading */
    region_upload_reserved(region, upload, region->size_before_change);
    return 0;
}

/* Twice the room, or at least what is needed; here, or elsewhere. */
static int grow(struct region *region, struct region_upload *upload, uint64_t need, struct err *err)
{
    uint64_t room = upload->extent.size;
    uint64_t ample = max_u64(need, room + min_u64(room, DATA_CHUNK_MAX));
    region_hold_refusals(region);
    int code = grow_to(region, upload, ample, err);
    if (code == ERR_NO_SPACE && ample > need)
        code = grow_to(region, upload, need, err);
    if (code == ERR_NO_SPACE)
        code = region_upload_move(region, upload, max_u64(need, 2 * room), err);
    if (code == ERR_NO_SPACE)
        code = region_upload_move(region, upload, need, err);
    return region_release_refusals(region, code);
}

static int check_append(const struct region_upload *upload, uint64_t size, struct err *err)
{
    const struct err *failure = region_upload_failure(upload);
    if (failure != NULL) {
        *err = *failure;
        return (int)failure->code;
    }
    uint64_t limit = is_open_ended(upload) ? REGION_SIZE_MAX : upload->size;
    if (size <= limit - upload->appended)
        return 0;
    return err_set(err, ERR_OUT_OF_BOUNDS,
                   "%llu bytes more are past the upload's size: %llu of its %llu bytes have come",
                   (unsigned long long)size, (unsigned long long)upload->appended,
                   (unsigned long long)limit);
}

int region_upload_append(struct region *region, struct region_upload *upload, const void *bytes,
                         uint64_t size, uint64_t *ret_ticket, struct err *err)
{
    int code = check_append(upload, size, err);
    if (code == 0 && size > 0 && upload->appended + size > upload->extent.size)
        code = grow(region, upload, upload->appended + size, err);
    if (code != 0)
        return code;
    if (size > 0) {
        struct upload_part *parts = array_grown(upload->parts, &upload->part_capacity,
                                                upload->part_count + 1, sizeof *parts);
        if (parts == NULL)
            return err_no_memory(err);
        upload->parts = parts;
        parts[upload->part_count++] = (struct upload_part){bytes, size};
        upload->appended += size;
        upload->tickets++;
    }
    *ret_ticket = upload->tickets;
    return 0;
}

/* ---- The end ---- */

void region_upload_fail(struct region_upload *upload, const struct err *err)
{
    if (upload->has_failed)
        return;
    upload->has_failed = true;
    upload->failure = *err;
    upload->part_count = 0;
    upload->is_moving = false;
}

/* One of its extents is free. -ENOMEM: it stays reserved. */
static int give_extent(struct region *region, struct extent *extent)
{
    if (extent->size == 0)
        return 0;
    int result = freespace_give(&region->space, *extent);
    if (result != 0)
        return result;
    extentlist_remove(&region->reserved, *extent);
    region_discard_given(region, *extent);
    extent->size = 0;
    return 0;
}

static int give_back(struct region *region, struct region_upload *upload)
{
    int result = give_extent(region, &upload->old);
    return result == 0 ? give_extent(region, &upload->extent) : result;
}

int region_upload_moved(struct region *region, struct region_upload *upload)
{
    upload->is_moving = false;
    free(upload->old_sums);
    upload->old_sums = NULL;
    return give_extent(region, &upload->old);
}

void region_upload_dispose(struct region *region, struct region_upload *upload)
{
    assert(upload->is_aborted);
    if (is_under_way(upload) || give_back(region, upload) != 0)
        return;
    struct region_upload **link = link_of(region, upload);
    *link = upload->next;
    free_upload(upload);
}

void region_upload_abort(struct region *region, struct region_upload *upload)
{
    upload->is_aborted = true;
    upload->is_moving = false;
    upload->part_count = 0;
    region->upload_count--;
    region_upload_dispose(region, upload);
}

void region_uploads_fail(struct region *region)
{
    for (struct region_upload *upload = region->uploads; upload != NULL; upload = upload->next) {
        upload->part_count = 0;
        upload->is_moving = false;
        /* Without memory they stay reserved, which is free to everybody who may still ask. */
        (void)give_extent(region, &upload->old);
        (void)give_extent(region, &upload->extent);
    }
}

static void forget_extent(struct region *region, struct extent *extent)
{
    extentlist_remove(&region->reserved, *extent);
    extent->size = 0;
}

/* The batch freed some bytes of it. Its set of these may hold everything, for want of memory. */
static bool was_freed_by(struct extent extent, const struct batch *batch)
{
    for (size_t i = 0; extent.size > 0 && i < batch->undo_count; i++) {
        const struct batch_undo *undo = &batch->undos[i];
        if (undo->kind == UNDO_GIVE && undo->extent.address < extent_end(extent) &&
            extent.address < extent_end(undo->extent))
            return true;
    }
    return false;
}

static void forget_freed(struct region *region, struct extent *extent, const struct batch *batch)
{
    if (!was_freed_by(*extent, batch))
        return;
    /* What is in use is not known any more. */
    region->lost.everything = true;
    forget_extent(region, extent);
}

void region_uploads_unfreed(struct region *region, const struct batch *batch)
{
    for (struct region_upload *upload = region->uploads; upload != NULL; upload = upload->next) {
        forget_freed(region, &upload->extent, batch);
        forget_freed(region, &upload->old, batch);
    }
}

static void cut_extent(struct region *region, struct extent *extent)
{
    uint64_t size = region->space.size;
    struct extent kept = *extent;
    if (kept.size == 0 || extent_end(kept) <= size)
        return;
    forget_extent(region, extent);
    if (kept.address >= size)
        return;
    *extent = (struct extent){kept.address, size - kept.address};
    extentlist_insert(&region->reserved, *extent);
}

void region_uploads_cut(struct region *region)
{
    for (struct region_upload *upload = region->uploads; upload != NULL; upload = upload->next) {
        cut_extent(region, &upload->extent);
        cut_extent(region, &upload->old);
    }
}

void region_uploads_release(struct region *region)
{
    while (region->uploads != NULL) {
        struct region_upload *upload = region->uploads;
        region->uploads = upload->next;
        free_upload(upload);
    }
    extentlist_release(&region->reserved);
}

static int check_commit(struct region *region, const struct region_upload *upload, struct err *err)
{
    assert(!region->atomic.is_open);
    int code = region_check_writable(region, err);
    if (code != 0)
        return code;
    if (upload->has_failed) {
        *err = upload->failure;
        return (int)upload->failure.code;
    }
    if (!is_open_ended(upload) && upload->appended < upload->size)
        return err_set(err, ERR_INVALID_ARGUMENT, "only %llu of the upload's %llu bytes have come",
                       (unsigned long long)upload->appended, (unsigned long long)upload->size);
    return region_upload_is_busy(upload) ? REGION_WAIT : 0;
}

/* What an open-ended one has reserved behind its bytes is free again. */
static int give_rest(struct region *region, struct region_upload *upload)
{
    struct extent used = {upload->extent.address, upload->appended};
    struct extent rest = {extent_end(used), upload->extent.size - used.size};
    if (rest.size == 0)
        return 0;
    int result = freespace_give(&region->space, rest);
    if (result != 0)
        return result;
    extentlist_remove(&region->reserved, upload->extent);
    extentlist_insert(&region->reserved, used);
    upload->extent = used;
    region_discard_given(region, rest);
    return 0;
}

/* The sums go to the batch. */
static void hand_over_pages(struct batch *batch, struct region_upload *upload, struct extent extent)
{
    struct page_run run = {upload->first_page, upload->sum_count};
    batch_uploaded(batch, extent, run, upload->sums);
    upload->first_page += upload->sum_count;
    upload->sums = NULL;
    upload->sum_count = 0;
}

int region_upload_tell(struct region *region, struct region_upload *upload, struct err *err)
{
    struct batch_need need = {.uploads = 1, .pages = upload->sum_count};
    int code = region_prepare(region, &need, false, err);
    if (code != 0)
        return code;
    struct page_run run = {upload->first_page, upload->sum_count};
    hand_over_pages(region->gathering, upload, bytes_of(run));
    (void)region_staged(region);
    /* It holds memory until it is applied. */
    region->hurry_ticket = max_u64(region->hurry_ticket, region->change_ticket);
    return 0;
}

static void stage(struct region *region, struct region_upload *upload)
{
    struct batch *batch = region->gathering;
    struct extent extent = upload->extent;
    uint64_t head = min_u64(head_room(extent.address), extent.size);
    extentlist_remove(&region->reserved, extent);
    region_took(region, extent);
    hand_over_pages(batch, upload, extent);
    batch_put(batch, extent.address, upload->head, (size_t)head);
    batch_put(batch, extent_end(extent) - upload->tail_size, upload->tail, upload->tail_size);
}

static int commit(struct region *region, struct region_upload *upload, struct err *err)
{
    struct batch_need need = {.record = 3 * RECORD_EXTENT_EFFECT + 2 * (uint64_t)DATA_PAGE,
                              .puts = 2,
                              .uploads = 1,
                              .undos = 1,
                              .takes = 1,
                              .pages = upload->sum_count + 2};
    int code = region_prepare(region, &need, false, err);
    if (code != 0)
        return code;
    struct extent extent = {upload->extent.address, upload->appended};
    if (region_place_upload(region, &need, extent, region_upload_pages(upload)) != 0 ||
        give_extent(region, &upload->old) != 0 || give_rest(region, upload) != 0)
        return err_no_memory(err);
    stage(region, upload);
    return region_staged(region);
}

int region_upload_commit(struct region *region, struct region_upload *upload, uint64_t *ret_address,
                         struct err *err)
{
    uint64_t address = upload->extent.address;
    int code = check_commit(region, upload, err);
    if (code == 0 && upload->appended == 0) {
        code = region_allocate(region, 0, ret_address, err);
        if (code == 0)
            region_upload_abort(region, upload);
        return code;
    }
    if (code == 0)
        code = commit(region, upload, err);
    if (code != 0)
        return code;
    *link_of(region, upload) = upload->next;
    region->upload_count--;
    free_upload(upload);
    *ret_address = address;
    return 0;
}
