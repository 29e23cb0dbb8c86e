/* The upload lane: what was appended to uploads goes to the data file.
 *
 * A job takes some of one upload's queue, byte by byte in order: what lies in front of the first
 * page boundary stays in memory, whole pages are written, as many at a time as lie together, and
 * what does not fill a page waits for the next append. A failed write fails the upload: it has
 * harmed nothing but free space. A failed sync fails the region, as any does: nobody knows whose
 * bytes are lost.
 *
 * The sync is through an opening of the file of its own. A failed write-back is told once to each,
 * and a commit that syncs at the same time must not miss it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/iofile.h"
#include "core/region_private.h"

/* Pieces that are written in one call: the page in the tail, and what lies behind it. */
#define WRITE_VECTORS 16
/* So many bytes that are not synced begin to go to the disk, for the sync has less to do then. */
#define UPLOAD_WRITE_BACK min_u64(WRITE_BACK, UPLOAD_CHUNK / 2)
/* Pages that are copied at a time. */
#define MOVE_PAGES 64

/* ---- Worker ---- */

/* Whole pages on their way to the file, one behind the other. */
struct writer {
    struct upload_job *job;
    struct err *err;
    struct iovec vectors[WRITE_VECTORS];
    size_t count;
    uint64_t address, size;
};

static int flush(struct writer *writer)
{
    struct upload_job *job = writer->job;
    if (writer->count == 0)
        return 0;
    int result =
        job->io->ops->write(job->io, job->data, writer->vectors, writer->count, writer->address);
    job->upload->unsynced += writer->size;
    writer->count = 0;
    writer->size = 0;
    return result == 0 ? 0 : err_io_at(writer->err, result, "write", job->folder, "data");
}

static void note_sums(struct writer *writer, const uint8_t *bytes, size_t pages)
{
    const struct upload_job *job = writer->job;
    struct region_upload *upload = job->upload;
    for (size_t i = 0; i < pages; i++) {
        uint64_t page = upload->first_page + upload->sum_count;
        upload->sums[upload->sum_count++] =
            job->has_checksums ? sum_of(job->seed, page, bytes + i * DATA_PAGE) : SUM_UNVERIFIED;
    }
}

/* Whole pages; the bytes stay as they are until they are flushed. */
static int write_pages(struct writer *writer, const uint8_t *bytes, size_t pages)
{
    const struct region_upload *upload = writer->job->upload;
    int code = writer->count == WRITE_VECTORS ? flush(writer) : 0;
    if (writer->count == 0)
        writer->address = (upload->first_page + upload->sum_count) * DATA_PAGE;
    note_sums(writer, bytes, pages);
    writer->vectors[writer->count++] =
        (struct iovec){(void *)(uintptr_t)bytes, pages * (size_t)DATA_PAGE};
    writer->size += pages * (uint64_t)DATA_PAGE;
    return code;
}

/* Into the page that is not complete. */
static int fill_tail(struct writer *writer, const uint8_t *bytes, size_t size)
{
    struct region_upload *upload = writer->job->upload;
    /* The page that was in the tail before may still be on its way. */
    int code = upload->tail_size == 0 ? flush(writer) : 0;
    memcpy(upload->tail + upload->tail_size, bytes, size);
    upload->tail_size += size;
    if (code == 0 && upload->tail_size == DATA_PAGE) {
        upload->tail_size = 0;
        code = write_pages(writer, upload->tail, 1);
    }
    return code;
}

/* Takes some bytes from the front; *ret_taken says how many. */
static int take(struct writer *writer, const uint8_t *bytes, uint64_t size, size_t *ret_taken)
{
    struct region_upload *upload = writer->job->upload;
    uint64_t at = upload->extent.address + upload->position;
    uint64_t first = round_up(upload->extent.address, DATA_PAGE);
    size_t taken;
    int code = 0;
    if (at < first) {
        taken = (size_t)min_u64(size, first - at);
        memcpy(upload->head + upload->position, bytes, taken);
    } else if (upload->tail_size > 0 || size < DATA_PAGE) {
        taken = (size_t)min_u64(size, DATA_PAGE - upload->tail_size);
        code = fill_tail(writer, bytes, taken);
    } else {
        taken = (size_t)round_down(size, DATA_PAGE);
        code = write_pages(writer, bytes, taken / DATA_PAGE);
    }
    upload->position += taken;
    *ret_taken = taken;
    return code;
}

static int sync_data(struct upload_job *job, struct err *err)
{
    int result = job->io->ops->sync(job->io, job->data);
    job->has_to_stop = result != 0;
    job->upload->unsynced = 0;
    return result == 0 ? 0 : err_io_at(err, result, "sync", job->folder, "data");
}

/* The record that tells the sums comes next: its own sync of the data finds little to do. */
static int sync_if_full(struct upload_job *job, struct err *err)
{
    bool is_full = job->upload->sum_count == UPLOAD_SUMS;
    return is_full && job->upload->unsynced > 0 ? sync_data(job, err) : 0;
}

static int run_upload(struct region_job *base, struct err *err)
{
    struct upload_job *job = (struct upload_job *)(void *)base;
    struct writer writer = {.job = job, .err = err};
    int code = 0;
    for (size_t i = 0; code == 0 && i < job->part_count; i++) {
        const struct upload_part *part = &job->parts[i];
        size_t taken;
        for (uint64_t done = 0; code == 0 && done < part->size; done += taken)
            code = take(&writer, part->bytes + done, part->size - done, &taken);
    }
    if (code == 0)
        code = flush(&writer);
    if (code == 0 && job->upload->unsynced >= UPLOAD_WRITE_BACK)
        job->io->ops->write_back(job->io, job->data);
    return code == 0 ? sync_if_full(job, err) : code;
}

/* ---- Worker: moving ---- */

static uint64_t pages_to_move(const struct region_upload *upload)
{
    uint64_t left = min_u64(upload->old_count - upload->moved, UPLOAD_SUMS - upload->sum_count);
    return min_u64(left, UPLOAD_STEP / DATA_PAGE);
}

/* The sums of pages in the old extent: all of them from the file, or none. */
static int old_sums(const struct upload_job *job, size_t count, uint32_t *sums, struct err *err)
{
    const struct region_upload *upload = job->upload;
    if (upload->moved < upload->old_told)
        return sums_read(job->io, job->folder, job->sums, upload->old_first + upload->moved, count,
                         sums, err);
    memcpy(sums, upload->old_sums + (upload->moved - upload->old_told), count * sizeof sums[0]);
    return 0;
}

/* Pages of which nothing was known stay so. */
static int check_pages(const struct upload_job *job, size_t count, const uint8_t *pages,
                       const uint32_t *sums, struct err *err)
{
    struct region_upload *upload = job->upload;
    uint32_t *new_sums = upload->sums + upload->sum_count - count;
    for (size_t i = 0; job->has_checksums && i < count; i++) {
        uint64_t page = upload->old_first + upload->moved + i;
        if (!sum_matches(job->seed, page, pages + i * DATA_PAGE, sums[i]))
            return err_set(err, ERR_CORRUPT,
                           "page at %llu of %s/data does not match its checksum, and an upload in "
                           "it was to be moved",
                           (unsigned long long)page * DATA_PAGE, job->folder);
        if (sums[i] == SUM_UNVERIFIED)
            new_sums[i] = SUM_UNVERIFIED;
    }
    return 0;
}

static int move_pages(struct writer *writer, size_t count, uint8_t *pages)
{
    struct upload_job *job = writer->job;
    struct region_upload *upload = job->upload;
    uint32_t sums[MOVE_PAGES];
    uint64_t from = (upload->old_first + upload->moved) * DATA_PAGE;
    ssize_t got = job->io->ops->read(job->io, job->data, pages, count * DATA_PAGE, from);
    if (got < (ssize_t)(count * DATA_PAGE))
        return err_io_at(writer->err, got < 0 ? (int)got : -EIO, "read", job->folder, "data");
    int code = old_sums(job, count, sums, writer->err);
    if (code == 0)
        code = write_pages(writer, pages, count);
    if (code == 0)
        code = check_pages(job, count, pages, sums, writer->err);
    if (code == 0)
        code = flush(writer);
    upload->moved += count;
    return code;
}

static int run_move(struct region_job *base, struct err *err)
{
    struct upload_job *job = (struct upload_job *)(void *)base;
    struct region_upload *upload = job->upload;
    struct writer writer = {.job = job, .err = err};
    uint64_t end = upload->moved + pages_to_move(upload);
    uint8_t *pages = malloc((size_t)MOVE_PAGES * DATA_PAGE);
    int code = pages == NULL ? err_no_memory(err) : 0;
    while (code == 0 && upload->moved < end) {
        uint64_t told = upload->moved < upload->old_told ? upload->old_told : end;
        uint64_t count = min_u64(min_u64(end, told) - upload->moved, MOVE_PAGES);
        code = move_pages(&writer, (size_t)count, pages);
    }
    free(pages);
    return code == 0 ? sync_if_full(job, err) : code;
}

/* ---- Done ---- */

static void drop_parts(struct region_upload *upload, uint64_t bytes)
{
    size_t whole = 0;
    while (whole < upload->part_count && upload->parts[whole].size <= bytes)
        bytes -= upload->parts[whole++].size;
    upload->written += whole;
    upload->part_count -= whole;
    memmove(upload->parts, upload->parts + whole, upload->part_count * sizeof upload->parts[0]);
    if (upload->part_count > 0) {
        upload->parts[0].bytes += bytes;
        upload->parts[0].size -= bytes;
    }
}

static void upload_done(struct region *region, struct region_job *base)
{
    struct upload_job *job = (struct upload_job *)(void *)base;
    struct region_upload *upload = job->upload;
    job->upload = NULL;
    if (base->code != 0 && job->has_to_stop)
        region_fail(region, &base->err);
    else if (base->code != 0)
        region_upload_fail(upload, &base->err);
    if (upload->is_aborted)
        region_upload_dispose(region, upload);
    else if (upload->is_moving && upload->moved == upload->old_count)
        (void)region_upload_moved(region, upload);
    else if (upload->part_count > 0)
        drop_parts(upload, job->bytes);
}

/* ---- Next ---- */

/* Who still reads what was there before it was freed comes first. */
static bool is_ready(const struct region *region, const struct region_upload *upload)
{
    return (upload->part_count > 0 || upload->is_moving) &&
           region->applied_ticket >= upload->after &&
           !region_is_extent_pinned(region, region_upload_pages(upload));
}

bool region_has_appends(const struct region *region)
{
    for (const struct region_upload *upload = region->uploads; upload != NULL;
         upload = upload->next)
        if (upload->part_count > 0 || upload->is_moving)
            return true;
    return false;
}

/* Room for the sums of the next pages: tells those that there are, where there is none. */
static bool has_room(struct region *region, struct region_upload *upload)
{
    struct err err;
    int code = 0;
    if (upload->sum_count == UPLOAD_SUMS)
        code = region_upload_tell(region, upload, &err);
    if (code == 0 && upload->sums == NULL) {
        upload->sums = malloc(UPLOAD_SUMS * sizeof upload->sums[0]);
        code = upload->sums == NULL ? err_no_memory(&err) : 0;
    }
    if (code != 0 && code != REGION_WAIT)
        region_upload_fail(upload, &err);
    return code == 0;
}

/* From the front of the queue. */
static void take_parts(struct upload_job *job, const struct region_upload *upload)
{
    uint64_t room = (UPLOAD_SUMS - upload->sum_count) * (uint64_t)DATA_PAGE;
    uint64_t left = min_u64(UPLOAD_STEP, room);
    job->bytes = 0;
    job->part_count = 0;
    for (size_t i = 0; i < upload->part_count && i < UPLOAD_PARTS && left > 0; i++) {
        struct upload_part part = upload->parts[i];
        part.size = min_u64(part.size, left);
        left -= part.size;
        job->bytes += part.size;
        job->parts[job->part_count++] = part;
    }
}

static struct region_job *upload_job(struct region *region, struct region_upload *upload)
{
    struct upload_job *job = &region->uploading;
    job->io = region->io;
    job->folder = region->folder;
    job->data = region->data_for_uploads;
    job->seed = region->sum_seed;
    job->has_checksums = region_is_verified(region);
    job->upload = upload;
    job->has_to_stop = false;
    job->sums = region->sums;
    if (upload->is_moving)
        job->part_count = job->bytes = 0;
    else
        take_parts(job, upload);
    job->job.run = upload->is_moving ? run_move : run_upload;
    job->job.done = upload_done;
    return &job->job;
}

/* Whose turn it was goes behind the others. */
static void move_to_end(struct region *region, struct region_upload **link)
{
    struct region_upload *upload = *link, **end = &region->uploads;
    *link = upload->next;
    upload->next = NULL;
    while (*end != NULL)
        end = &(*end)->next;
    *end = upload;
}

struct region_job *region_next_upload(struct region *region)
{
    struct region_upload *next;
    /* Of some that were aborted the extent could not be given back. */
    for (struct region_upload *upload = region->uploads; upload != NULL; upload = next) {
        next = upload->next;
        if (upload->is_aborted)
            region_upload_dispose(region, upload);
    }
    for (struct region_upload **link = &region->uploads; *link != NULL; link = &(*link)->next) {
        struct region_upload *upload = *link;
        if (!is_ready(region, upload) || !has_room(region, upload))
            continue;
        move_to_end(region, link);
        return upload_job(region, upload);
    }
    return NULL;
}
