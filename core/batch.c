#include "core/batch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/array.h"
#include "core/bytes.h"
#include "core/iofile.h"

/* A large blob that moves is copied in pieces of this size. */
#define COPY_PIECE (1 * MIB)
/* What a batch that is trimmed keeps, of each of its arrays. */
#define KEEP_BYTES (256 * KIB)
/* Adjacent puts that are written in one call. */
#define APPLY_VECTORS 256

struct batch *batch_new(void)
{
    struct batch *batch = calloc(1, sizeof *batch);
    if (batch == NULL)
        return NULL;
    record_init(&batch->record);
    extentset_init(&batch->dirty);
    extentset_init(&batch->frees);
    extentset_init(&batch->reads);
    return batch;
}

void batch_free(struct batch *batch)
{
    if (batch == NULL)
        return;
    record_release(&batch->record);
    extentset_release(&batch->dirty);
    extentset_release(&batch->frees);
    extentset_release(&batch->reads);
    free(batch->puts);
    free(batch->directs);
    free(batch->copies);
    free(batch->undos);
    free(batch);
}

void batch_reset(struct batch *batch)
{
    record_reset(&batch->record);
    extentset_clear(&batch->dirty);
    extentset_clear(&batch->frees);
    extentset_clear(&batch->reads);
    batch->put_count = batch->direct_count = batch->copy_count = batch->undo_count = 0;
    batch->overwrites = batch->moves = false;
    batch->next = NULL;
}

/* The array, or NULL if it is larger than what is kept. */
static void *trimmed(void *items, size_t *capacity, size_t item_size)
{
    if (*capacity * item_size <= KEEP_BYTES)
        return items;
    free(items);
    *capacity = 0;
    return NULL;
}

void batch_trim(struct batch *batch)
{
    if (batch->record.capacity > KEEP_BYTES)
        record_release(&batch->record);
    batch->puts = trimmed(batch->puts, &batch->put_capacity, sizeof *batch->puts);
    batch->directs = trimmed(batch->directs, &batch->direct_capacity, sizeof *batch->directs);
    batch->copies = trimmed(batch->copies, &batch->copy_capacity, sizeof *batch->copies);
    batch->undos = trimmed(batch->undos, &batch->undo_capacity, sizeof *batch->undos);
}

int batch_reserve(struct batch *batch, const struct batch_need *need)
{
    if (need->record > SIZE_MAX / 2 || record_reserve(&batch->record, (size_t)need->record) != 0)
        return -ENOMEM;
    struct batch_put *puts =
        array_grown(batch->puts, &batch->put_capacity, batch->put_count + need->puts, sizeof *puts);
    if (puts == NULL)
        return -ENOMEM;
    batch->puts = puts;
    struct batch_undo *undos = array_grown(batch->undos, &batch->undo_capacity,
                                           batch->undo_count + need->undos, sizeof *undos);
    if (undos == NULL)
        return -ENOMEM;
    batch->undos = undos;
    struct batch_direct *directs =
        array_grown(batch->directs, &batch->direct_capacity, batch->direct_count + need->directs,
                    sizeof *directs);
    if (directs == NULL)
        return -ENOMEM;
    batch->directs = directs;
    struct batch_copy *copies = array_grown(batch->copies, &batch->copy_capacity,
                                            batch->copy_count + need->copies, sizeof *copies);
    if (copies == NULL)
        return -ENOMEM;
    batch->copies = copies;
    return 0;
}

static void add_undo(struct batch *batch, enum batch_undo_kind kind, struct extent extent)
{
    assert(batch->undo_count < batch->undo_capacity);
    batch->undos[batch->undo_count++] = (struct batch_undo){kind, extent};
}

void batch_took(struct batch *batch, struct extent extent)
{
    record_add_use(&batch->record, extent);
    add_undo(batch, UNDO_TAKE, extent);
}

void batch_gave(struct batch *batch, struct extent extent)
{
    batch_free_range(batch, extent);
    add_undo(batch, UNDO_GIVE, extent);
}

void batch_gave_part(struct batch *batch, struct extent extent)
{
    add_undo(batch, UNDO_GIVE, extent);
}

void batch_free_range(struct batch *batch, struct extent extent)
{
    record_add_free(&batch->record, extent);
    /* Without memory the set holds everything, which is only more careful; so below. */
    (void)extentset_add(&batch->frees, extent);
}

static size_t add_put(struct batch *batch, uint64_t address, uint64_t size)
{
    struct extent extent = {address, size};
    size_t offset = record_add_put(&batch->record, extent);
    assert(batch->put_count < batch->put_capacity);
    batch->puts[batch->put_count++] = (struct batch_put){address, offset, (size_t)size};
    (void)extentset_add(&batch->dirty, extent);
    return offset;
}

void batch_put(struct batch *batch, uint64_t address, const void *bytes, size_t size)
{
    if (size > 0) {
        size_t offset = add_put(batch, address, size);
        memcpy(batch->record.bytes + offset, bytes, size);
    }
}

void batch_overwrite(struct batch *batch, uint64_t address, const void *bytes, size_t size)
{
    batch->overwrites = true;
    batch_put(batch, address, bytes, size);
}

void batch_write_direct(struct batch *batch, uint64_t address, const uint8_t *bytes, uint64_t size)
{
    assert(batch->direct_count < batch->direct_capacity);
    batch->directs[batch->direct_count++] = (struct batch_direct){address, bytes, size};
    (void)extentset_add(&batch->dirty, (struct extent){address, size});
}

void batch_copy_journaled(struct batch *batch, uint64_t from, uint64_t to, uint64_t size)
{
    if (size == 0)
        return;
    size_t offset = add_put(batch, to, size);
    assert(batch->copy_count < batch->copy_capacity);
    batch->copies[batch->copy_count++] = (struct batch_copy){from, to, size, offset};
}

void batch_copy_direct(struct batch *batch, uint64_t from, uint64_t to, uint64_t size)
{
    if (size == 0)
        return;
    assert(batch->copy_count < batch->copy_capacity);
    batch->copies[batch->copy_count++] = (struct batch_copy){from, to, size, 0};
    batch->moves = true;
    (void)extentset_add(&batch->dirty, (struct extent){to, size});
}

int batch_roll_back(const struct batch *batch, struct freespace *space, uint64_t *pages)
{
    int result = 0;
    for (size_t i = batch->undo_count; i > 0; i--) {
        const struct batch_undo *undo = &batch->undos[i - 1];
        int error = undo->kind == UNDO_TAKE ? freespace_mark_free(space, undo->extent)
                                            : freespace_mark_used(space, undo->extent);
        if (error != 0)
            result = error;
    }
    if (space->size > batch->size_before) {
        /* Takes what is free there out of the tree: the region never had these bytes. */
        struct extent grown = {batch->size_before, space->size - batch->size_before};
        int error = freespace_mark_used(space, grown);
        if (error != 0)
            result = error;
        else
            space->size = batch->size_before;
    }
    *pages = batch->pages_before;
    return result;
}

/* ---- Worker ---- */

static int data_error(const struct batch_files *files, int error, const char *verb, struct err *err)
{
    return err_io_at(err, error, verb, files->folder, "data");
}

static int read_data(const struct batch_files *files, void *buffer, size_t size, uint64_t address,
                     struct err *err)
{
    ssize_t got = files->io->ops->read(files->io, files->data, buffer, size, address);
    if (got < 0)
        return data_error(files, (int)got, "read", err);
    if ((size_t)got < size)
        return data_error(files, -EIO, "read past the end of", err);
    return 0;
}

static int write_data(const struct batch_files *files, const void *bytes, size_t size,
                      uint64_t address, struct err *err)
{
    struct iovec vector = {(void *)(uintptr_t)bytes, size};
    int result = files->io->ops->write(files->io, files->data, &vector, 1, address);
    return result == 0 ? 0 : data_error(files, result, "write", err);
}

static int copy_direct(const struct batch_copy *copy, const struct batch_files *files,
                       uint8_t *buffer, struct err *err)
{
    int code = 0;
    for (uint64_t done = 0; code == 0 && done < copy->size; done += COPY_PIECE) {
        size_t part = (size_t)min_u64(COPY_PIECE, copy->size - done);
        code = read_data(files, buffer, part, copy->from + done, err);
        if (code == 0)
            code = write_data(files, buffer, part, copy->to + done, err);
    }
    return code;
}

int batch_run_direct(const struct batch *batch, const struct batch_files *files, struct err *err)
{
    uint8_t *buffer = NULL;
    int code = 0;
    for (size_t i = 0; code == 0 && i < batch->direct_count; i++) {
        const struct batch_direct *direct = &batch->directs[i];
        code = write_data(files, direct->bytes, (size_t)direct->size, direct->address, err);
    }
    for (size_t i = 0; code == 0 && i < batch->copy_count; i++) {
        if (batch->copies[i].offset != 0)
            continue;
        if (buffer == NULL)
            buffer = malloc(COPY_PIECE);
        code = buffer == NULL ? err_no_memory(err)
                              : copy_direct(&batch->copies[i], files, buffer, err);
    }
    free(buffer);
    return code;
}

int batch_fill_copies(const struct batch *batch, const struct batch_files *files, struct err *err)
{
    int code = 0;
    for (size_t i = 0; code == 0 && i < batch->copy_count; i++) {
        const struct batch_copy *copy = &batch->copies[i];
        if (copy->offset != 0)
            code = read_data(files, batch->record.bytes + copy->offset, (size_t)copy->size,
                             copy->from, err);
    }
    return code;
}

int batch_apply(const struct batch *batch, const struct batch_files *files, struct err *err)
{
    struct iovec vectors[APPLY_VECTORS];
    for (size_t i = 0; i < batch->put_count;) {
        uint64_t address = batch->puts[i].address, end = address;
        size_t count = 0;
        for (; i < batch->put_count && count < APPLY_VECTORS && batch->puts[i].address == end;
             i++) {
            const struct batch_put *put = &batch->puts[i];
            vectors[count++] = (struct iovec){batch->record.bytes + put->offset, put->size};
            end += put->size;
        }
        int result = files->io->ops->write(files->io, files->data, vectors, count, address);
        if (result != 0)
            return data_error(files, result, "write", err);
    }
    return 0;
}
