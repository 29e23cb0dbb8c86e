#include "core/copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/journal.h"
#include "core/pageruns.h"
#include "core/sums.h"

#define DATA_FILE "data"

/* After so many bytes the disk is told to begin: the sync in the end is to find little. */
#define COPY_WRITE_BACK (8 * MIB)

/* ---- The beginning ---- */

int region_copy_begin(struct region_copy *copy, struct io *io, const char *folder, struct err *err)
{
    *copy = (struct region_copy){.io = io};
    memcpy(copy->folder, folder, strlen(folder) + 1);
    copy->buffer = aligned_alloc(DISK_BLOCK, COPY_PAGES * DATA_PAGE);
    if (copy->buffer == NULL)
        return err_no_memory(err);
    int result = io->ops->make_directory(io, folder);
    if (result == -EEXIST)
        return err_set(err, ERR_EXISTS, "%s exists already", folder);
    if (result != 0)
        return err_io(err, result, "create", folder);
    int code = io_open_at(io, folder, DATA_FILE, IO_CREATE | IO_EXCLUSIVE, &copy->data, err);
    return code == 0 ? io_open_at(io, folder, DATA_FILE, IO_ALIGNED, &copy->data_aligned, err)
                     : code;
}

void region_copy_release(struct region_copy *copy)
{
    struct io_file *const files[] = {copy->data, copy->data_aligned, copy->sums};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (files[i] != NULL)
            copy->io->ops->close(copy->io, files[i]);
    free(copy->buffer);
    copy->data = copy->data_aligned = copy->sums = NULL;
    copy->buffer = NULL;
}

/* ---- Clones ---- */

/* -EOPNOTSUPP, an error's code, or 0. */
static int clone_file(struct region_copy *copy, struct io_file *from, struct io_file *to,
                      const char *name, struct err *err)
{
    int result = copy->io->ops->clone(copy->io, from, to);
    return result == 0 || result == -EOPNOTSUPP
               ? result
               : err_io_at(err, result, "clone", copy->folder, name);
}

/* The small file tells whether it can be done, before the large one is synced for nothing. */
static int clone_both(struct region_copy *copy, struct io *from, const char *folder,
                      struct io_file *data, struct io_file *sums, struct err *err)
{
    uint64_t size;
    int code =
        io_open_at(copy->io, copy->folder, SUMS_FILE, IO_CREATE | IO_EXCLUSIVE, &copy->sums, err);
    if (code == 0)
        code = clone_file(copy, sums, copy->sums, SUMS_FILE, err);
    if (code != 0)
        return code;
    int result = from->ops->sync(from, data);
    copy->has_lost_source = result != 0;
    if (result != 0)
        return err_io_at(err, result, "sync", folder, DATA_FILE);
    code = clone_file(copy, data, copy->data, DATA_FILE, err);
    if (code != 0)
        return code;
    result = copy->io->ops->size(copy->io, copy->data, &size);
    if (result != 0)
        return err_io_at(err, result, "open", copy->folder, DATA_FILE);
    copy->bytes = size;
    copy->is_cloned = true;
    return 0;
}

static int remove_sums(struct region_copy *copy, struct err *err)
{
    char path[IO_PATH_SIZE];
    copy->io->ops->close(copy->io, copy->sums);
    copy->sums = NULL;
    int code = io_join(path, copy->folder, SUMS_FILE, err);
    int result = code == 0 ? copy->io->ops->remove(copy->io, path) : 0;
    return result == 0 ? code : err_io(err, result, "remove", path);
}

/* Whether they may be cloned: each block that is overwritten later will need one that is free. */
static int look_for_room(const struct region_copy *copy, struct io *from, const char *folder,
                         struct io_file *data, bool *ret_is_there, struct err *err)
{
    uint64_t used, available;
    int result = from->ops->usage(from, data, &used);
    if (result != 0)
        return err_io_at(err, result, "look at", folder, DATA_FILE);
    result = copy->io->ops->free_space(copy->io, &available);
    if (result != 0)
        return err_io(err, result, "look at", copy->folder);
    *ret_is_there = available >= used;
    return 0;
}

int region_copy_open(struct region_copy *copy, const uint8_t secret[16], struct io *from,
                     const char *folder, struct io_file *data, struct io_file *sums,
                     struct err *err)
{
    struct io *io = copy->io;
    bool is_cloning = data != NULL && io->shares_space && io->ops->clone == from->ops->clone;
    int code = is_cloning ? look_for_room(copy, from, folder, data, &is_cloning, err) : 0;
    if (code == 0 && is_cloning) {
        code = clone_both(copy, from, folder, data, sums, err);
        if (code != -EOPNOTSUPP)
            return code;
        code = remove_sums(copy, err);
    }
    if (code == 0)
        code = sums_create(io, copy->folder, SUMS_FILE, secret, 0, err);
    return code == 0 ? io_open_at(io, copy->folder, SUMS_FILE, 0, &copy->sums, err) : code;
}

/* ---- Pages ---- */

uint64_t copy_piece_add(struct copy_piece *piece, struct page_run run, uint64_t first)
{
    uint64_t from = max_u64(run.first, first);
    uint64_t count = min_u64(run_end(run) - from, COPY_PAGES - piece->pages);
    struct page_run *last = piece->run_count > 0 ? &piece->runs[piece->run_count - 1] : NULL;
    if (last != NULL && run_end(*last) == from)
        last->count += count;
    else
        piece->runs[piece->run_count++] = (struct page_run){from, count};
    piece->pages += count;
    return from + count;
}

static int read_run(const struct copy_source *source, struct page_run run, uint8_t *bytes,
                    struct copy_findings *findings, struct err *err)
{
    size_t size = (size_t)(run.count * DATA_PAGE);
    ssize_t got =
        source->io->ops->read(source->io, source->data, bytes, size, run.first * DATA_PAGE);
    if (got == (ssize_t)size)
        return 0;
    if (run.count > 1) {
        /* Which of them it is. */
        int code = 0;
        for (uint64_t i = 0; code == 0 && i < run.count; i++)
            code = read_run(source, (struct page_run){run.first + i, 1}, bytes + i * DATA_PAGE,
                            findings, err);
        return code;
    }
    if (got == -ENOMEM)
        return err_no_memory(err);
    findings->unreadable = run.first * DATA_PAGE;
    return err_set(err, ERR_IO_ERROR, "%s/" DATA_FILE ": the page at %llu cannot be read",
                   source->folder, (unsigned long long)findings->unreadable);
}

static void verify(const struct copy_source *source, struct page_run run, const uint8_t *bytes,
                   const uint32_t *sums, struct copy_findings *findings)
{
    for (uint64_t i = 0; i < run.count; i++)
        if (!sum_matches(source->seed, run.first + i, bytes + i * DATA_PAGE, sums[i]))
            findings->pages[findings->count++] = run.first + i;
}

static int write_pages(struct region_copy *copy, const uint8_t *bytes, struct page_run run,
                       struct err *err)
{
    /* What is copied for the first time goes around the page cache, which is for who loads; what
     * is copied again lies scattered, and would wait for the disk page by page. */
    struct io_file *file = copy->has_data || copy->is_cloned ? copy->data : copy->data_aligned;
    uint64_t size = run.count * DATA_PAGE;
    struct iovec vector = {(void *)(uintptr_t)bytes, (size_t)size};
    int result = copy->io->ops->write(copy->io, file, &vector, 1, run.first * DATA_PAGE);
    if (result != 0)
        return err_io_at(err, result, "write", copy->folder, DATA_FILE);
    copy->bytes += copy->is_cloned ? 0 : size;
    copy->written += size;
    if (copy->written >= COPY_WRITE_BACK) {
        copy->io->ops->write_back(copy->io, copy->data);
        copy->written = 0;
    }
    return 0;
}

/* A page that is known to be zeros, in a file that has nothing there. */
static bool is_left_out(const struct region_copy *copy, const struct copy_source *source,
                        uint32_t sum)
{
    return !copy->has_data && !copy->is_cloned && source->is_verified && sum == SUM_ZEROS;
}

static int write_run(struct region_copy *copy, const struct copy_source *source,
                     struct page_run run, const uint8_t *bytes, const uint32_t *sums,
                     struct err *err)
{
    int code = 0;
    for (uint64_t i = 0, end; code == 0 && i < run.count; i = end) {
        bool is_out = is_left_out(copy, source, sums[i]);
        for (end = i + 1; end < run.count && is_left_out(copy, source, sums[end]) == is_out;)
            end++;
        if (!is_out)
            code = write_pages(copy, bytes + i * DATA_PAGE,
                               (struct page_run){run.first + i, end - i}, err);
    }
    return code == 0 ? sums_write(copy->io, copy->folder, copy->sums, run.first, (size_t)run.count,
                                  sums, err)
                     : code;
}

int region_copy_pages(struct region_copy *copy, const struct copy_source *source,
                      const struct copy_piece *piece, struct copy_findings *ret_findings,
                      struct err *err)
{
    uint32_t sums[COPY_PAGES];
    int code = 0;
    ret_findings->count = 0;
    ret_findings->unreadable = UINT64_MAX;
    for (size_t i = 0; code == 0 && i < piece->run_count; i++) {
        struct page_run run = piece->runs[i];
        uint8_t *bytes = copy->buffer;
        code = sums_read(source->io, source->folder, source->sums, run.first, (size_t)run.count,
                         sums, err);
        if (code == 0)
            code = read_run(source, run, bytes, ret_findings, err);
        if (code != 0)
            break;
        if (source->overlay != NULL) {
            overlay_read(source->overlay, run.first * DATA_PAGE, bytes,
                         (size_t)(run.count * DATA_PAGE));
            overlay_sums(source->overlay, run.first, (size_t)run.count, sums);
        }
        if (source->is_verified)
            verify(source, run, bytes, sums, ret_findings);
        code = write_run(copy, source, run, bytes, sums, err);
    }
    return code;
}

/* ---- The end ---- */

/* Both files as long as the region needs them, and durable. */
static int finish_files(struct region_copy *copy, uint64_t size, struct err *err)
{
    struct io *io = copy->io;
    uint64_t want = round_up(max_u64(size, 1), DATA_CHUNK_MIN);
    const char *verb = "truncate";
    int code = sums_extend(io, copy->folder, copy->sums, want, err);
    if (code != 0)
        return code;
    int result = io->ops->truncate(io, copy->data, want);
    if (result == 0) {
        verb = "sync";
        result = io->ops->sync(io, copy->data);
    }
    if (result != 0)
        return err_io_at(err, result, verb, copy->folder, DATA_FILE);
    result = io->ops->sync(io, copy->sums);
    return result == 0 ? 0 : err_io_at(err, result, "sync", copy->folder, SUMS_FILE);
}

int region_copy_finish(struct region_copy *copy, const struct meta *meta,
                       const struct checkpoint_image *image, struct err *err)
{
    int code = finish_files(copy, image->checkpoint.size, err);
    if (code == 0)
        code = checkpoint_image_write(image, copy->io, copy->folder, meta->secret, err);
    for (uint64_t seq = 0; code == 0 && seq < JOURNAL_SEGMENTS_MIN; seq++)
        code = journal_create_segment(copy->io, copy->folder, meta->secret, seq, 0, err);
    /* Last, with a sync of the folder and all its names: a folder with a meta file is whole. */
    return code == 0 ? meta_write(copy->io, copy->folder, meta, err) : code;
}
