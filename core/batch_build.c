/* What a worker does with a batch: pages put together from what they were and what the batch's puts
 * make of them, their sums, and in the end both written to the files. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/batch.h"
#include "core/bytes.h"
#include "core/iofile.h"
#include "core/sums.h"

/* A large blob that moves is copied in pieces of this size. */
#define COPY_PIECE (1 * MIB)
/* Pages that are written in one call. */
#define APPLY_VECTORS 256
/* Sums that are read at a time: those behind the one that is wanted are often wanted next. */
#define SUMS_AHEAD 256
/* From here on zeros are made by the file system instead of being written. */
#define ZEROS_WRITTEN (256 * KIB)
/* What is written of a large blob at a time, and after how much the disk is told to begin. */
#define DIRECT_PIECE (256 * KIB)
#define HURRY_BYTES MIB

static const uint8_t zeros[DATA_PAGE];

struct builder {
    struct batch *batch;
    const struct batch_files *files;
    struct batch_damages *damages;
    struct err *err;
    size_t run;         /* where the last page was found */
    uint64_t sums_from; /* the pages whose sums were read last */
    size_t sums_count;
    uint32_t sums[SUMS_AHEAD];
    size_t to_hurry;  /* bytes that were written since the disk was told to begin */
    uint8_t *copy;    /* of COPY_PIECE, once it is needed */
    bool is_copy_own; /* the copy's that is made */
};

/* ---- The files ---- */

static int data_error(const struct batch_files *files, int error, const char *verb, struct err *err)
{
    return err_io_at(err, error, verb, files->folder, "data");
}

static int write_data(const struct batch_files *files, const void *bytes, size_t size,
                      uint64_t address, struct err *err)
{
    struct iovec vector = {(void *)(uintptr_t)bytes, size};
    int result = files->io->ops->write(files->io, files->data, &vector, 1, address);
    return result == 0 ? 0 : data_error(files, result, "write", err);
}

static int read_page(struct builder *b, uint64_t page, uint8_t *bytes)
{
    const struct batch_files *files = b->files;
    ssize_t got = files->io->ops->read(files->io, files->data, bytes, DATA_PAGE, page * DATA_PAGE);
    if (got < 0)
        return data_error(files, (int)got, "read", b->err);
    if ((size_t)got < DATA_PAGE)
        return data_error(files, -EIO, "read past the end of", b->err);
    return 0;
}

/* The page's sum in the file. */
static int read_sum(struct builder *b, uint64_t page, uint32_t *ret_sum)
{
    const struct batch_files *files = b->files;
    if (page < b->sums_from || page - b->sums_from >= b->sums_count) {
        uint64_t from = round_down(page, SUMS_AHEAD);
        /* The file has room for whole blocks of sums. */
        int code =
            sums_read(files->io, files->folder, files->sums, from, SUMS_AHEAD, b->sums, b->err);
        if (code != 0)
            return code;
        b->sums_from = from;
        b->sums_count = SUMS_AHEAD;
    }
    *ret_sum = b->sums[page - b->sums_from];
    return 0;
}

/* ---- Runs and slots ---- */

/* The run of the batch that has the page; NULL: it leaves the page alone. */
static struct batch_run *find_run(struct builder *b, uint64_t page)
{
    struct batch *batch = b->batch;
    assert(b->run < batch->run_count);
    if (page - batch->runs[b->run].run.first < batch->runs[b->run].run.count)
        return &batch->runs[b->run];
    size_t found = batch_run_from(batch, page);
    if (found == batch->run_count || page < batch->runs[found].run.first)
        return NULL;
    b->run = found;
    return &batch->runs[found];
}

static struct page_slot *slot_of(const struct batch *batch, const struct batch_run *run,
                                 uint64_t page)
{
    assert(run->slot != SIZE_MAX);
    return &batch->slots[run->slot + (size_t)(page - run->run.first)];
}

static uint8_t *new_image(struct batch *batch)
{
    size_t number = batch->images_used++;
    assert(number / IMAGES_PER_BLOCK < batch->block_count);
    return batch->blocks[number / IMAGES_PER_BLOCK] + number % IMAGES_PER_BLOCK * DATA_PAGE;
}

static void note_damage(struct builder *b, uint64_t page)
{
    if (b->damages->count < BATCH_DAMAGES)
        b->damages->addresses[b->damages->count++] = page * DATA_PAGE;
}

/* ---- What pages were before ---- */

struct base {
    bool matches;
    bool is_unverified;
};

/* The page as the batches before this one leave it. */
static int read_before(struct builder *b, uint64_t page, uint8_t *bytes, struct base *ret)
{
    const struct page_slot *pending = page_table_find(b->files->pages, page);
    uint32_t sum = 0;
    int code = 0;
    *ret = (struct base){.matches = true};
    if (pending != NULL && pending->bytes != NULL) {
        memcpy(bytes, pending->bytes, DATA_PAGE);
        *ret = (struct base){!pending->is_spoiled, pending->is_unverified};
        return 0;
    }
    code = read_page(b, page, bytes);
    if (code != 0 || !b->files->has_checksums)
        return code;
    if (pending != NULL)
        sum = pending->sum;
    else
        code = read_sum(b, page, &sum);
    ret->is_unverified = sum == SUM_UNVERIFIED;
    ret->matches = code == 0 && sum_matches(b->files->sum_seed, page, bytes, sum);
    return code;
}

/* What the page's image begins with. */
static int begin_image(struct builder *b, const struct batch_run *run, uint64_t page,
                       struct page_slot *slot)
{
    uint8_t *image = new_image(b->batch);
    struct base base;
    if (slot->bytes != NULL) {
        memcpy(image, slot->bytes, DATA_PAGE);
    } else if (run->kind == EFFECT_FRESH) {
        memset(image, 0, DATA_PAGE);
    } else if (run->kind == EFFECT_DIRECT) {
        int code = read_page(b, page, image);
        if (code != 0)
            return code;
    } else {
        int code = read_before(b, page, image, &base);
        if (code != 0)
            return code;
        if (!base.matches)
            note_damage(b, page);
        slot->is_spoiled = !base.matches;
        slot->is_unverified = base.is_unverified;
    }
    slot->bytes = image;
    slot->is_image = true;
    return 0;
}

/* ---- Puts ---- */

/* Whether the puts into such a page are written as they are, without an image: without checksums
 * nobody needs to know what else is in it, unless a copy is to take it along. */
static bool is_plain(const struct builder *b, const struct batch_run *run)
{
    return !b->files->has_checksums && run->kind != EFFECT_FRESH && b->batch->copy_count == 0;
}

static int put_part(struct builder *b, uint64_t address, const uint8_t *bytes, size_t size)
{
    uint64_t page = page_of(address);
    struct batch_run *run = find_run(b, page);
    assert(run != NULL && run->kind != EFFECT_ZERO);
    struct page_slot *slot = slot_of(b->batch, run, page);
    if (is_plain(b, run))
        return 0;
    if (size == DATA_PAGE) {
        *slot = (struct page_slot){.bytes = bytes};
        return 0;
    }
    int code = slot->is_image ? 0 : begin_image(b, run, page, slot);
    if (code == 0)
        memcpy((uint8_t *)(uintptr_t)slot->bytes + address % DATA_PAGE, bytes, size);
    return code;
}

static int put(struct builder *b, const struct batch_put *put)
{
    const uint8_t *bytes = b->batch->record.bytes + put->offset;
    int code = 0;
    for (size_t done = 0; code == 0 && done < put->size;) {
        uint64_t address = put->address + done;
        size_t part = (size_t)min_u64(put->size - done, DATA_PAGE - address % DATA_PAGE);
        code = put_part(b, address, bytes + done, part);
        done += part;
    }
    return code;
}

/* ---- Copies ---- */

static int corrupt_source(struct builder *b, uint64_t page)
{
    note_damage(b, page);
    return err_set(b->err, ERR_CORRUPT,
                   "page at %llu of %s/data does not match its checksum, and a block in it was to "
                   "be moved",
                   (unsigned long long)page * DATA_PAGE, b->files->folder);
}

/* A page as the batch has made it so far. */
static int read_current(struct builder *b, uint64_t page, uint8_t *bytes)
{
    struct batch_run *run = find_run(b, page);
    struct base base;
    if (run != NULL && run->slot != SIZE_MAX) {
        const struct page_slot *slot = slot_of(b->batch, run, page);
        if (slot->bytes != NULL) {
            memcpy(bytes, slot->bytes, DATA_PAGE);
            return slot->is_spoiled ? corrupt_source(b, page) : 0;
        }
    }
    if (run != NULL && run->kind == EFFECT_DIRECT)
        return read_page(b, page, bytes);
    int code = read_before(b, page, bytes, &base);
    if (code != 0 || base.matches)
        return code;
    if (run == NULL || run->kind == EFFECT_CHANGED || !b->is_copy_own)
        return corrupt_source(b, page);
    /* Nothing was in it before this batch, and nothing was put there yet. Where the block is not
     * the batch's own, something was: the page is taken into use once it has gone. */
    memset(bytes, 0, DATA_PAGE);
    return 0;
}

static int read_source(struct builder *b, uint64_t from, uint8_t *bytes, size_t size)
{
    uint8_t page[DATA_PAGE];
    int code = 0;
    for (size_t done = 0; code == 0 && done < size;) {
        uint64_t at = from + done;
        size_t part = (size_t)min_u64(size - done, DATA_PAGE - at % DATA_PAGE);
        code = read_current(b, page_of(at), page);
        if (code == 0)
            memcpy(bytes + done, page + at % DATA_PAGE, part);
        done += part;
    }
    return code;
}

static void sum_direct(struct builder *b, uint64_t address, const uint8_t *bytes, uint64_t size)
{
    for (uint64_t done = 0; done < size; done += DATA_PAGE) {
        uint64_t page = page_of(address + done);
        struct batch_run *run = find_run(b, page);
        assert(run != NULL && run->kind == EFFECT_DIRECT);
        slot_of(b->batch, run, page)->sum = b->files->has_checksums
                                                ? sum_of(b->files->sum_seed, page, bytes + done)
                                                : SUM_UNVERIFIED;
    }
}

static int copy_direct(struct builder *b, const struct batch_copy *copy)
{
    int code = 0;
    if (b->copy == NULL)
        b->copy = malloc(COPY_PIECE);
    if (b->copy == NULL)
        return err_no_memory(b->err);
    for (uint64_t done = 0; code == 0 && done < copy->size; done += COPY_PIECE) {
        size_t part = (size_t)min_u64(COPY_PIECE, copy->size - done);
        code = read_source(b, copy->from + done, b->copy, part);
        if (code == 0)
            code = write_data(b->files, b->copy, part, copy->to + done, b->err);
        if (code == 0)
            sum_direct(b, copy->to + done, b->copy, part);
    }
    return code;
}

/* First of all: what the batch itself writes there comes later, and without checksums it does so
 * without looking at the rest of the page. */
static void fill_uploads(struct builder *b)
{
    for (size_t i = 0; i < b->batch->upload_count; i++) {
        const struct batch_upload *upload = &b->batch->uploads[i];
        for (uint64_t j = 0; j < upload->run.count; j++) {
            uint64_t page = upload->run.first + j;
            slot_of(b->batch, find_run(b, page), page)->sum =
                b->files->has_checksums ? upload->sums[j] : SUM_UNVERIFIED;
        }
    }
}

/* A sync is going to wait for so many bytes: the disk may begin, while the next ones are copied. */
static void hurry(struct builder *b, size_t size)
{
    b->to_hurry += size;
    if (b->to_hurry < HURRY_BYTES)
        return;
    b->files->io->ops->write_back(b->files->io, b->files->data);
    b->to_hurry = 0;
}

/* In pieces: what was copied to the file is still in the processor's cache when it is summed. */
static int write_direct(struct builder *b, const struct batch_direct *direct)
{
    int code = 0;
    for (uint64_t done = 0; code == 0 && done < direct->size; done += DIRECT_PIECE) {
        size_t part = (size_t)min_u64(DIRECT_PIECE, direct->size - done);
        const uint8_t *bytes = direct->bytes + done;
        code = write_data(b->files, bytes, part, direct->address + done, b->err);
        if (code != 0)
            break;
        sum_direct(b, direct->address + done, bytes, part);
        hurry(b, part);
    }
    return code;
}

static int write_directs(struct builder *b)
{
    int code = 0;
    for (size_t i = 0; code == 0 && i < b->batch->direct_count; i++)
        code = write_direct(b, &b->batch->directs[i]);
    return code;
}

/* Puts and copies in their order: a copy takes along what the puts before it made. */
static int put_all(struct builder *b)
{
    struct batch *batch = b->batch;
    size_t next_copy = 0;
    int code = 0;
    for (size_t i = 0; code == 0 && i <= batch->put_count; i++) {
        while (code == 0 && next_copy < batch->copy_count && batch->copies[next_copy].put == i) {
            const struct batch_copy *copy = &batch->copies[next_copy++];
            b->is_copy_own = copy->is_own;
            code = copy->offset != 0
                       ? read_source(b, copy->from, batch->record.bytes + copy->offset,
                                     (size_t)copy->size)
                       : copy_direct(b, copy);
        }
        if (code == 0 && i < batch->put_count)
            code = put(b, &batch->puts[i]);
    }
    return code;
}

/* ---- Sums ---- */

static uint32_t slot_sum(const struct builder *b, uint64_t page, const struct page_slot *slot)
{
    uint32_t seed = b->files->sum_seed;
    if (slot->is_spoiled)
        return sum_spoiled(seed, page, slot->bytes);
    if (slot->is_unverified || !b->files->has_checksums)
        return SUM_UNVERIFIED;
    return sum_of(seed, page, slot->bytes);
}

static void fill_sums(const struct builder *b)
{
    const struct batch *batch = b->batch;
    for (size_t i = 0; i < batch->run_count; i++) {
        const struct batch_run *run = &batch->runs[i];
        uint8_t *at = batch_journaled(b->batch)->bytes + run->offset;
        if (run->slot == SIZE_MAX)
            continue;
        for (uint64_t j = 0; j < run->run.count; j++) {
            struct page_slot *slot = &batch->slots[run->slot + j];
            if (run->kind == EFFECT_ZERO)
                slot->bytes = zeros;
            else if (slot->bytes != NULL)
                slot->sum = slot_sum(b, run->run.first + j, slot);
            else if (run->kind != EFFECT_DIRECT)
                slot->sum = SUM_UNVERIFIED; /* plain */
            if (run->kind != EFFECT_ZERO)
                put_u32(at + j * RECORD_SUM, slot->sum);
        }
    }
}

/* Pieces of the data file that follow one another and are written in one call. */
struct pieces {
    const struct batch_files *files;
    struct err *err;
    struct iovec vectors[APPLY_VECTORS];
    size_t count;
    uint64_t address, end;
    struct builder *awaited_by; /* NULL: nobody's sync waits for them */
};

static int pieces_write(struct pieces *pieces)
{
    const struct batch_files *files = pieces->files;
    if (pieces->count == 0)
        return 0;
    int result = files->io->ops->write(files->io, files->data, pieces->vectors, pieces->count,
                                       pieces->address);
    if (pieces->awaited_by != NULL)
        hurry(pieces->awaited_by, (size_t)(pieces->end - pieces->address));
    pieces->count = 0;
    return result == 0 ? 0 : data_error(files, result, "write", pieces->err);
}

static int pieces_add(struct pieces *pieces, uint64_t address, const uint8_t *bytes, size_t size)
{
    int code = 0;
    if (pieces->count == APPLY_VECTORS || (pieces->count > 0 && pieces->end != address))
        code = pieces_write(pieces);
    if (pieces->count == 0)
        pieces->address = address;
    pieces->vectors[pieces->count++] = (struct iovec){(void *)(uintptr_t)bytes, size};
    pieces->end = address + size;
    return code;
}

static int write_fresh(const struct batch *batch, const struct batch_run *run,
                       struct pieces *pieces)
{
    int code = 0;
    for (uint64_t i = 0; code == 0 && i < run->run.count; i++)
        code = pieces_add(pieces, (run->run.first + i) * DATA_PAGE,
                          batch->slots[run->slot + i].bytes, DATA_PAGE);
    return code;
}

static int write_ahead(struct builder *b)
{
    const struct batch *batch = b->batch;
    struct pieces pieces = {.files = b->files, .err = b->err, .awaited_by = b};
    int code = 0;
    for (size_t i = 0; code == 0 && i < batch->run_count; i++)
        if (batch->runs[i].is_ahead)
            code = write_fresh(batch, &batch->runs[i], &pieces);
    return code == 0 ? pieces_write(&pieces) : code;
}

int batch_build(struct batch *batch, const struct batch_files *files, struct batch_damages *damages,
                struct err *err)
{
    struct builder b = {.batch = batch, .files = files, .damages = damages, .err = err};
    fill_uploads(&b);
    int code = write_directs(&b);
    if (code == 0)
        code = put_all(&b);
    if (code == 0)
        fill_sums(&b);
    if (code == 0 && batch->ahead_pages > 0)
        code = write_ahead(&b);
    free(b.copy);
    return code;
}

/* ---- Applying ---- */

static int write_zeros(const struct batch_files *files, struct extent extent, struct err *err)
{
    struct iovec vectors[APPLY_VECTORS];
    if (extent.size > ZEROS_WRITTEN) {
        int result = files->io->ops->zero(files->io, files->data, extent.address, extent.size);
        return result == 0 ? 0 : data_error(files, result, "write zeros to", err);
    }
    size_t count = (size_t)(extent.size / DATA_PAGE);
    for (size_t i = 0; i < count; i++)
        vectors[i] = (struct iovec){(void *)(uintptr_t)zeros, DATA_PAGE};
    int result = files->io->ops->write(files->io, files->data, vectors, count, extent.address);
    return result == 0 ? 0 : data_error(files, result, "write", err);
}

/* The parts of puts that lie in pages which are not fresh. Of these only what the record has is
 * written, byte for byte: whatever a write that a power cut tears does to them, replay mends. */
static int write_puts(struct builder *b, struct pieces *pieces)
{
    const struct batch *batch = b->batch;
    int code = 0;
    for (size_t i = 0; code == 0 && i < batch->put_count; i++) {
        const struct batch_put *put = &batch->puts[i];
        for (size_t done = 0; code == 0 && done < put->size;) {
            uint64_t address = put->address + done;
            const struct batch_run *run = find_run(b, page_of(address));
            uint64_t end = min_u64(put->address + put->size, run_end(run->run) * DATA_PAGE);
            size_t part = (size_t)(end - address);
            if (run->kind != EFFECT_FRESH)
                code = pieces_add(pieces, address, batch->record.bytes + put->offset + done, part);
            done += part;
        }
    }
    return code;
}

static int write_sums(const struct batch *batch, const struct batch_run *run,
                      const struct batch_files *files, struct err *err)
{
    uint32_t sums[SUMS_AHEAD];
    int code = 0;
    for (uint64_t done = 0; code == 0 && done < run->run.count;) {
        size_t part = (size_t)min_u64(run->run.count - done, SUMS_AHEAD);
        for (size_t i = 0; i < part; i++)
            sums[i] = run->slot == SIZE_MAX ? SUM_ZEROS : batch->slots[run->slot + done + i].sum;
        code = sums_write(files->io, files->folder, files->sums, run->run.first + done, part, sums,
                          err);
        done += part;
    }
    return code;
}

int batch_apply(const struct batch *batch, const struct batch_files *files, struct err *err)
{
    struct builder b = {.batch = (struct batch *)(uintptr_t)batch, .files = files, .err = err};
    struct pieces pieces = {.files = files, .err = err};
    int code = 0;
    for (size_t i = 0; code == 0 && i < batch->run_count; i++) {
        const struct batch_run *run = &batch->runs[i];
        if (run->kind == EFFECT_ZERO)
            code = write_zeros(files, bytes_of(run->run), err);
        else if (run->kind == EFFECT_FRESH && !run->is_ahead)
            code = write_fresh(batch, run, &pieces);
        if (code == 0)
            code = write_sums(batch, run, files, err);
    }
    if (code == 0)
        code = write_puts(&b, &pieces);
    return code == 0 ? pieces_write(&pieces) : code;
}
