#include "support_craft.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/crc32c.h"
#include "core/limits.h"
#include "core/sums.h"

#define BLOCK 4096
#define PATH_SIZE 128
#define RECORD_HEADER_BYTES 48
#define CHUNK_HEADER_BYTES 32

/* No description makes anything larger. */
#define BYTES_MAX (4 * MIB)

static void need(bool is_so, const char *what)
{
    if (is_so)
        return;
    (void)fprintf(stderr, "support_craft: %s\n", what);
    abort();
}

/* ---- Bytes ---- */

static uint8_t *append(struct craft_bytes *b, size_t size)
{
    need(size <= BYTES_MAX && b->size + size <= BYTES_MAX, "too many bytes");
    if (b->size + size > b->capacity) {
        b->capacity = 2 * (b->size + size);
        b->bytes = realloc(b->bytes, b->capacity);
        need(b->bytes != NULL, "out of memory");
    }
    uint8_t *at = b->bytes + b->size;
    memset(at, 0, size);
    b->size += size;
    return at;
}

static uint32_t seed_of(const uint8_t secret[16])
{
    return crc32c(0, secret, 16);
}

/* ---- Records ---- */

uint64_t craft_start(const struct craft *c)
{
    return 3 * c->payload;
}

uint64_t craft_end(const struct craft *c)
{
    if (c->record_count == 0)
        return craft_start(c);
    const struct craft_record *last = &c->records[c->record_count - 1];
    return last->place + round_up(RECORD_HEADER_BYTES + last->body.size, BLOCK);
}

struct craft_record *craft_record(struct craft *c)
{
    need(c->record_count < CRAFT_RECORDS, "too many records");
    uint64_t lsn = craft_end(c);
    struct craft_record *record = &c->records[c->record_count++];
    free(record->body.bytes);
    *record = (struct craft_record){
        .place = lsn, .lsn = lsn, .synced = lsn, .length = RECORD_HEADER_BYTES};
    memcpy(record->secret, c->secret, sizeof record->secret);
    return record;
}

static uint8_t *add_effect(struct craft_record *record, uint8_t kind, size_t size)
{
    uint8_t *at = append(&record->body, size);
    at[0] = kind;
    record->length += size;
    record->effects++;
    return at;
}

void craft_effect(struct craft_record *record, uint8_t kind, uint64_t first, uint64_t second)
{
    uint8_t *at = add_effect(record, kind, kind == 4 ? 9 : 17);
    put_u64(at + 1, first);
    if (kind != 4)
        put_u64(at + 9, second);
}

void craft_put(struct craft_record *record, uint64_t address, uint64_t size, uint8_t fill)
{
    craft_effect(record, 3, address, size);
    memset(append(&record->body, (size_t)size), fill, (size_t)size);
    record->length += size;
}

void craft_pages(struct craft_record *record, uint8_t kind, uint64_t page, uint32_t count,
                 uint32_t told, uint32_t sum)
{
    uint8_t *at = add_effect(record, kind, 13 + 4 * (size_t)told);
    put_u64(at + 1, page);
    put_u32(at + 9, count);
    for (uint32_t i = 0; i < told; i++)
        put_u32(at + 13 + 4 * (size_t)i, sum);
}

void craft_token(struct craft_record *record, uint64_t sequence, uint8_t id, uint32_t result,
                 uint32_t told)
{
    uint8_t *at = add_effect(record, 9, 37 + (size_t)told);
    put_u64(at + 1, sequence);
    memset(at + 9, id, 16);
    put_u64(at + 25, id);
    put_u32(at + 33, result);
}

void craft_clear(struct craft_record *record)
{
    record->body.size = 0;
    record->effects = 0;
    record->length = RECORD_HEADER_BYTES;
}

/* ---- Checkpoints ---- */

struct craft_chunk *craft_chunk(struct craft_checkpoint *checkpoint, uint32_t kind)
{
    need(checkpoint->chunk_count < CRAFT_CHUNKS, "too many chunks");
    struct craft_chunk *chunk = &checkpoint->chunk[checkpoint->chunk_count];
    *chunk = (struct craft_chunk){
        .sequence = checkpoint->sequence, .index = checkpoint->chunk_count, .kind = kind};
    checkpoint->chunk_count++;
    checkpoint->chunks++;
    checkpoint->length += CHUNK_HEADER_BYTES;
    return chunk;
}

static uint8_t *add_entry(struct craft_checkpoint *checkpoint, uint32_t kind, size_t size)
{
    size_t last = checkpoint->chunk_count - 1;
    bool is_new = checkpoint->chunk_count == 0 || checkpoint->chunk[last].kind != kind;
    struct craft_chunk *chunk = is_new ? craft_chunk(checkpoint, kind) : &checkpoint->chunk[last];
    chunk->count++;
    chunk->length += (uint32_t)size;
    checkpoint->length += size;
    return append(&chunk->body, size);
}

void craft_free(struct craft_checkpoint *checkpoint, uint64_t address, uint64_t size)
{
    uint8_t *at = add_entry(checkpoint, 0, 16);
    put_u64(at, address);
    put_u64(at + 8, size);
    checkpoint->blocks++;
}

void craft_kept(struct craft_checkpoint *checkpoint, uint64_t sequence, uint8_t id, uint32_t result,
                uint32_t told)
{
    uint8_t *at = add_entry(checkpoint, 1, 36 + (size_t)told);
    put_u64(at, sequence);
    memset(at + 8, id, 16);
    put_u64(at + 24, id);
    put_u32(at + 32, result);
    checkpoint->tokens++;
    checkpoint->token_sequence = sequence + 1;
}

void craft_no_chunks(struct craft_checkpoint *checkpoint)
{
    for (size_t i = 0; i < checkpoint->chunk_count; i++)
        free(checkpoint->chunk[i].body.bytes);
    checkpoint->chunk_count = 0;
    checkpoint->chunks = checkpoint->length = checkpoint->blocks = checkpoint->tokens = 0;
}

void craft_sequence(struct craft_checkpoint *checkpoint, uint64_t sequence)
{
    checkpoint->sequence = sequence;
    checkpoint->slot = (unsigned)(sequence % 2);
    for (size_t i = 0; i < checkpoint->chunk_count; i++)
        checkpoint->chunk[i].sequence = sequence;
}

/* ---- A folder that is well ---- */

struct craft_segment *craft_segment(struct craft *c, uint64_t seq)
{
    need(c->segment_count < CRAFT_SEGMENTS, "too many segments");
    struct craft_segment *segment = &c->segments[c->segment_count++];
    *segment = (struct craft_segment){.name = seq,
                                      .seq = seq,
                                      .floor = craft_start(c),
                                      .length = c->segment,
                                      .version = c->format};
    memcpy(segment->secret, c->secret, sizeof segment->secret);
    return segment;
}

static uint32_t sum_of_page(const struct craft *c, uint64_t page)
{
    return sum_of(seed_of(c->secret), page, c->data + page * BLOCK);
}

/* What the page's sum is after a put over these bytes of it. */
static uint32_t sum_after(const struct craft *c, uint64_t page, bool is_fresh, size_t from,
                          size_t size, uint8_t fill)
{
    uint8_t bytes[BLOCK] = {0};
    if (!is_fresh)
        memcpy(bytes, c->data + page * BLOCK, BLOCK);
    memset(bytes + from, fill, size);
    return sum_of(seed_of(c->secret), page, bytes);
}

static void add_records(struct craft *c)
{
    bool has_sums = c->format == 2;
    struct craft_record *record = craft_record(c);
    craft_effect(record, 2, 20000, 100);
    if (has_sums)
        craft_token(record, 2, 12, 5, 5);
    record = craft_record(c);
    craft_put(record, 0, 100, 0x11);
    if (has_sums)
        craft_pages(record, 5, 0, 1, 1, sum_after(c, 0, false, 0, 100, 0x11));
    record = craft_record(c);
    craft_effect(record, 1, 8192, BLOCK);
    craft_effect(record, 4, 2, 0);
    craft_put(record, 8200, 10, 0x22);
    if (has_sums)
        craft_pages(record, 6, 2, 1, 1, sum_after(c, 2, true, 8, 10, 0x22));
}

static void add_checkpoint(struct craft *c, size_t i)
{
    struct craft_checkpoint *checkpoint = &c->checkpoints[i];
    *checkpoint = (struct craft_checkpoint){.version = c->format,
                                            .start = craft_start(c),
                                            .end = craft_start(c),
                                            .size = sizeof c->data,
                                            .pages = 1,
                                            .file_length = 64 * KIB};
    memcpy(checkpoint->secret, c->secret, sizeof checkpoint->secret);
    craft_sequence(checkpoint, 2 - i);
    craft_free(checkpoint, 100, 50);
    craft_free(checkpoint, 8192, BLOCK);
    if (c->format == 1)
        return;
    craft_kept(checkpoint, 0, 10, 3, 3);
    craft_kept(checkpoint, 1, 11, 40, 40);
}

void craft_init(struct craft *c, unsigned format)
{
    *c = (struct craft){.format = format};
    c->segment = format == 1 ? 4 * MIB : JOURNAL_SEGMENT;
    c->payload = c->segment - BLOCK;
    for (size_t i = 0; i < sizeof c->data; i++)
        c->data[i] = (uint8_t)(i * 131 + i / BLOCK * 7 + 1);
    memcpy(c->secret, "crafted region!", sizeof c->secret);
    c->store = (struct craft_store){.version = 1, .next_id = 2, .length = 40};
    c->meta = (struct craft_meta){.version = format,
                                  .flush_interval = 100,
                                  .journal_size = 16 * MIB,
                                  .id = 1,
                                  .token_window = 1000,
                                  .discard = 1 * MIB,
                                  .page_cache = 1 * MIB,
                                  .name = CRAFT_REGION,
                                  .length = format == 1 ? 152 : 200};
    c->data_length = 64 * KIB;
    c->sums = (struct craft_sums){.version = 2, .length = format == 1 ? 0 : 2 * (uint64_t)BLOCK};
    memcpy(c->sums.secret, c->secret, sizeof c->sums.secret);
    craft_segment(c, 3);
    craft_segment(c, 4);
    for (size_t i = 0; i < 2; i++)
        add_checkpoint(c, i);
    add_records(c);
}

void craft_release(struct craft *c)
{
    for (size_t i = 0; i < CRAFT_RECORDS; i++)
        free(c->records[i].body.bytes);
    for (size_t i = 0; i < 2; i++)
        craft_no_chunks(&c->checkpoints[i]);
}

/* ---- Files ---- */

static void need_io(int result, const char *path)
{
    need(result >= 0, path);
}

void craft_write(struct simdisk *disk, const char *path, uint64_t offset, const void *bytes,
                 size_t size)
{
    struct io *io = simdisk_io(disk);
    struct iovec vector = {(void *)(uintptr_t)bytes, size};
    struct io_file *file;
    need_io(io->ops->open(io, path, IO_CREATE, &file), path);
    if (size > 0)
        need_io(io->ops->write(io, file, &vector, 1, offset), path);
    need_io(io->ops->sync(io, file), path);
    io->ops->close(io, file);
}

size_t craft_read(struct simdisk *disk, const char *path, uint64_t offset, void *bytes, size_t size)
{
    struct io *io = simdisk_io(disk);
    struct io_file *file;
    if (io->ops->open(io, path, IO_READ_ONLY, &file) != 0)
        return 0;
    ssize_t got = io->ops->read(io, file, bytes, size, offset);
    io->ops->close(io, file);
    need_io((int)got, path);
    return (size_t)got;
}

void craft_resize(struct simdisk *disk, const char *path, uint64_t size)
{
    struct io *io = simdisk_io(disk);
    struct io_file *file;
    need_io(io->ops->open(io, path, IO_CREATE, &file), path);
    /* No file has more than an off_t can say. */
    need_io(io->ops->truncate(io, file, min_u64(size, INT64_MAX - BLOCK)), path);
    need_io(io->ops->sync(io, file), path);
    io->ops->close(io, file);
}

/* A file of the region; its length is cut, or zeros follow. */
static void put_file(struct simdisk *disk, const char *name, const void *bytes, size_t size,
                     uint64_t length)
{
    char path[2 * PATH_SIZE];
    (void)snprintf(path, sizeof path, CRAFT_FOLDER "/%s", name);
    craft_write(disk, path, 0, bytes, (size_t)min_u64(size, length));
    craft_resize(disk, path, length);
}

/* ---- Checksums ---- */

/* Of all but the four bytes at 12. */
static void seal_small(uint8_t *bytes, size_t size)
{
    put_u32(bytes + 12, crc32c(crc32c(0, bytes, 12), bytes + 16, size - 16));
}

/* Of a block, with zeros at 12. */
static void seal_block(uint8_t *block)
{
    put_u32(block + 12, 0);
    put_u32(block + 12, crc32c(0, block, BLOCK));
}

static void seal_chunk(uint8_t *chunk, size_t size, uint32_t seed)
{
    put_u32(chunk, crc32c(seed, chunk + 4, size - 4));
}

static void seal_record(uint8_t *record, uint64_t length, uint32_t seed)
{
    put_u32(record + 36, crc32c(seed, record + 8, 28));
    if (length > 8)
        put_u32(record + 4, crc32c(seed, record + 8, (size_t)length - 8));
}

/* ---- Building ---- */

static void build_store(const struct craft *c, struct simdisk *disk)
{
    uint8_t bytes[64] = "MREGSTOR";
    put_u32(bytes + 8, c->store.version);
    put_u64(bytes + 16, c->store.next_id);
    memset(bytes + 24, 0x77, 16);
    seal_small(bytes, 40);
    craft_write(disk, "store", 0, bytes, (size_t)min_u64(c->store.length, sizeof bytes));
    craft_write(disk, "lock", 0, NULL, 0);
}

static void build_meta(const struct craft *c, struct simdisk *disk)
{
    const struct craft_meta *meta = &c->meta;
    uint8_t bytes[200] = "MREGMETA";
    put_u32(bytes + 8, meta->version);
    put_u32(bytes + 16, meta->durability);
    put_u32(bytes + 20, meta->fit);
    put_u64(bytes + 24, meta->flush_interval);
    put_u64(bytes + 32, meta->max_size);
    put_u64(bytes + 40, meta->journal_size);
    put_u64(bytes + 48, meta->id);
    memset(bytes + 56, 0x66, 16);
    memcpy(bytes + 72, c->secret, 16);
    memcpy(bytes + 88, meta->name, 64);
    put_u32(bytes + 152, meta->checksum);
    put_u32(bytes + 156, meta->zeros);
    put_u64(bytes + 160, meta->token_window);
    put_u64(bytes + 168, meta->discard);
    put_u64(bytes + 176, meta->scrub_interval);
    put_u64(bytes + 184, meta->scrub_rate);
    put_u64(bytes + 192, meta->page_cache);
    seal_small(bytes, c->format == 1 ? 152 : 200);
    put_file(disk, "meta", bytes, c->format == 1 ? 152 : 200, meta->length);
}

static void build_sums(const struct craft *c, struct simdisk *disk)
{
    uint8_t bytes[2 * BLOCK] = "MREGSUMS";
    if (c->sums.length == 0)
        return;
    put_u32(bytes + 8, c->sums.version);
    memcpy(bytes + 16, c->sums.secret, 16);
    put_u32(bytes + 32, c->sums.zeros);
    seal_block(bytes);
    for (uint64_t page = 0; page < sizeof c->data / BLOCK; page++)
        put_u32(bytes + BLOCK + 4 * page, sum_of_page(c, page));
    put_file(disk, "sums", bytes, sizeof bytes, c->sums.length);
}

static void segment_name(char name[PATH_SIZE], uint64_t seq)
{
    (void)snprintf(name, PATH_SIZE, "journal-%016" PRIx64, seq);
}

static void build_segment(const struct craft_segment *segment, struct simdisk *disk)
{
    char name[PATH_SIZE];
    uint8_t block[BLOCK] = "MREGJRNL";
    put_u32(block + 8, segment->version);
    put_u64(block + 16, segment->seq);
    put_u64(block + 24, segment->floor);
    memcpy(block + 32, segment->secret, 16);
    put_u32(block + 48, segment->zeros);
    seal_block(block);
    segment_name(name, segment->name);
    put_file(disk, name, block, segment->is_bare ? 0 : sizeof block, segment->length);
}

/* Puts a part of the stream where there is a segment for it. */
static void put_stream(const struct craft *c, struct simdisk *disk, uint64_t lsn,
                       const uint8_t *bytes, size_t size)
{
    char name[PATH_SIZE], path[2 * PATH_SIZE];
    while (size > 0) {
        uint64_t seq = lsn / c->payload, within = lsn % c->payload;
        size_t part = (size_t)min_u64(size, c->payload - within);
        for (size_t i = 0; i < c->segment_count; i++) {
            const struct craft_segment *segment = &c->segments[i];
            if (segment->name != seq || BLOCK + within >= segment->length)
                continue;
            segment_name(name, seq);
            (void)snprintf(path, sizeof path, CRAFT_FOLDER "/%s", name);
            craft_write(disk, path, BLOCK + within, bytes,
                        (size_t)min_u64(part, segment->length - BLOCK - within));
        }
        lsn += part;
        bytes += part;
        size -= part;
    }
}

static void build_record(const struct craft *c, const struct craft_record *record,
                         struct simdisk *disk)
{
    size_t size = RECORD_HEADER_BYTES + record->body.size;
    size_t padded = (size_t)round_up(size, BLOCK);
    uint8_t *bytes = calloc(1, padded);
    need(bytes != NULL, "out of memory");
    memcpy(bytes, "MGRC", 4);
    put_u64(bytes + 8, record->lsn);
    put_u64(bytes + 16, record->length);
    put_u64(bytes + 24, record->synced);
    put_u32(bytes + 32, record->effects);
    put_u32(bytes + 40, record->zeros);
    if (record->body.size > 0)
        memcpy(bytes + RECORD_HEADER_BYTES, record->body.bytes, record->body.size);
    seal_record(bytes, min_u64(record->length, padded), seed_of(record->secret));
    if (record->is_torn)
        bytes[size - 1] ^= 1;
    put_stream(c, disk, record->place, bytes, padded);
    free(bytes);
}

static void add_chunks(const struct craft *c, const struct craft_checkpoint *checkpoint,
                       struct craft_bytes *all)
{
    size_t at[CRAFT_CHUNKS];
    for (size_t i = 0; i < checkpoint->chunk_count; i++) {
        const struct craft_chunk *chunk = &checkpoint->chunk[i];
        at[i] = all->size;
        uint8_t *to = append(all, CHUNK_HEADER_BYTES + chunk->body.size);
        put_u32(to + 4, chunk->count);
        put_u64(to + 8, chunk->sequence);
        put_u64(to + 16, chunk->index);
        if (c->format != 1) {
            put_u32(to + 24, chunk->kind);
            put_u32(to + 28, chunk->length);
        }
        if (chunk->body.size > 0)
            memcpy(to + CHUNK_HEADER_BYTES, chunk->body.bytes, chunk->body.size);
    }
    if (all->size < checkpoint->file_length && checkpoint->file_length <= BYTES_MAX)
        (void)append(all, (size_t)checkpoint->file_length - all->size);
    /* As long as each claims to be, where there is so much. */
    for (size_t i = checkpoint->chunk_count; i > 0; i--) {
        const struct craft_chunk *chunk = &checkpoint->chunk[i - 1];
        size_t size = CHUNK_HEADER_BYTES + chunk->body.size, left = all->size - at[i - 1];
        uint64_t body = c->format == 1 ? 16 * (uint64_t)chunk->count : chunk->length;
        if (CHUNK_HEADER_BYTES + body <= left)
            size = CHUNK_HEADER_BYTES + (size_t)body;
        seal_chunk(all->bytes + at[i - 1], size, seed_of(c->secret));
    }
}

static void build_checkpoint(const struct craft *c, const struct craft_checkpoint *checkpoint,
                             struct simdisk *disk)
{
    struct craft_bytes all = {0};
    uint8_t *block = append(&all, BLOCK);
    memcpy(block, "MREGCKPT", 8);
    put_u32(block + 8, checkpoint->version);
    memcpy(block + 16, checkpoint->secret, 16);
    put_u64(block + 32, checkpoint->sequence);
    put_u64(block + 40, checkpoint->start);
    put_u64(block + 48, checkpoint->end);
    put_u64(block + 56, checkpoint->size);
    put_u64(block + 64, checkpoint->pages);
    put_u64(block + 72, checkpoint->blocks);
    put_u64(block + 80, checkpoint->chunks);
    put_u64(block + 88, checkpoint->length);
    if (c->format != 1) {
        put_u64(block + 96, checkpoint->token_sequence);
        put_u64(block + 104, checkpoint->tokens);
    }
    put_u32(block + 112, checkpoint->zeros);
    seal_block(block);
    add_chunks(c, checkpoint, &all);
    static const char *const names[2][2] = {{"checkpoint-0", "checkpoint-1"},
                                            {"checkpoint-a", "checkpoint-b"}};
    if (checkpoint->file_length > 0)
        put_file(disk, names[c->format != 1][checkpoint->slot % 2], all.bytes, all.size,
                 checkpoint->file_length);
    free(all.bytes);
}

struct simdisk *craft_build(const struct craft *c)
{
    struct simdisk *disk = simdisk_new(1);
    struct io *io = simdisk_io(disk);
    need_io(io->ops->make_directory(io, "regions"), "regions");
    need_io(io->ops->make_directory(io, CRAFT_FOLDER), CRAFT_FOLDER);
    build_store(c, disk);
    build_meta(c, disk);
    put_file(disk, "data", c->data, sizeof c->data, c->data_length);
    build_sums(c, disk);
    for (size_t i = 0; i < c->segment_count; i++)
        build_segment(&c->segments[i], disk);
    for (size_t i = 0; i < c->record_count; i++)
        build_record(c, &c->records[i], disk);
    for (size_t i = 0; i < 2; i++)
        build_checkpoint(c, &c->checkpoints[1 - i], disk);
    need_io(io->ops->sync_directory(io, CRAFT_FOLDER), CRAFT_FOLDER);
    need_io(io->ops->sync_directory(io, "regions"), "regions");
    need_io(io->ops->sync_directory(io, "."), ".");
    return disk;
}

/* ---- Mending ---- */

struct mending {
    struct simdisk *disk;
    const char *folder;
    uint8_t secret[16];
};

static void mend_checkpoint(struct simdisk *disk, const char *path, uint8_t *bytes, size_t size,
                            uint32_t seed)
{
    seal_block(bytes);
    for (size_t at = BLOCK; at + CHUNK_HEADER_BYTES <= size;) {
        uint64_t length = CHUNK_HEADER_BYTES + (uint64_t)get_u32(bytes + at + 28);
        if (get_u32(bytes + at + 4) == 0 || length > size - at)
            break;
        seal_chunk(bytes + at, (size_t)length, seed);
        at += (size_t)length;
    }
    craft_write(disk, path, 0, bytes, size);
}

static void mend_segment(struct simdisk *disk, const char *path, uint8_t *bytes, size_t size,
                         uint32_t seed)
{
    seal_block(bytes);
    craft_write(disk, path, 0, bytes, BLOCK);
    for (size_t at = BLOCK; at + BLOCK <= size; at += BLOCK) {
        if (memcmp(bytes + at, "MGRC", 4) != 0)
            continue;
        /* One that spans segments keeps the checksum that it has. */
        uint64_t length = get_u64(bytes + at + 16);
        seal_record(bytes + at, length <= size - at ? length : 0, seed);
        craft_write(disk, path, at, bytes + at, BLOCK);
    }
}

static int mend_file(void *context, const char *name, bool is_directory)
{
    struct mending *mending = context;
    char path[2 * PATH_SIZE];
    uint32_t seed = seed_of(mending->secret);
    if (is_directory || strcmp(name, "data") == 0)
        return 0;
    uint8_t *bytes = malloc(BYTES_MAX + BLOCK);
    need(bytes != NULL, "out of memory");
    (void)snprintf(path, sizeof path, "%s/%s", mending->folder, name);
    size_t size = craft_read(mending->disk, path, 0, bytes, BYTES_MAX + BLOCK);
    if (strcmp(name, "meta") == 0 && size > 16) {
        seal_small(bytes, size);
        craft_write(mending->disk, path, 0, bytes, size);
    } else if (strcmp(name, "sums") == 0 && size >= BLOCK) {
        seal_block(bytes);
        craft_write(mending->disk, path, 0, bytes, BLOCK);
    } else if (strncmp(name, "checkpoint-", 11) == 0 && size >= BLOCK) {
        mend_checkpoint(mending->disk, path, bytes, size, seed);
    } else if (strncmp(name, "journal-", 8) == 0 && size >= BLOCK) {
        mend_segment(mending->disk, path, bytes, size, seed);
    }
    free(bytes);
    return 0;
}

void craft_mend(struct simdisk *disk, const char *folder)
{
    struct io *io = simdisk_io(disk);
    struct mending mending = {.disk = disk, .folder = folder};
    char path[2 * PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s/meta", folder);
    (void)craft_read(disk, path, 72, mending.secret, sizeof mending.secret);
    need_io(io->ops->list(io, folder, mend_file, &mending), folder);
}

/* ---- Fields ---- */

struct listing {
    struct craft_field *fields;
    size_t count;
};

static void list(struct listing *l, void *at, size_t size)
{
    need(l->count < CRAFT_FIELDS, "too many fields");
    l->fields[l->count++] = (struct craft_field){at, size};
}

/* A run of fields of one size, from the first to the last of them. */
#define LIST(first, last)                                                                          \
    for (uint8_t *at_ = (uint8_t *)&(first); at_ <= (uint8_t *)&(last); at_ += sizeof(first))      \
    list(l, at_, sizeof(first))

static void list_checkpoint(struct listing *l, struct craft_checkpoint *checkpoint)
{
    LIST(checkpoint->slot, checkpoint->zeros);
    LIST(checkpoint->sequence, checkpoint->file_length);
    LIST(checkpoint->secret[0], checkpoint->secret[0]);
    for (size_t i = 0; i < checkpoint->chunk_count; i++) {
        LIST(checkpoint->chunk[i].sequence, checkpoint->chunk[i].index);
        LIST(checkpoint->chunk[i].kind, checkpoint->chunk[i].length);
    }
}

size_t craft_fields(struct craft *c, struct craft_field fields[CRAFT_FIELDS])
{
    struct listing listing = {.fields = fields}, *l = &listing;
    for (size_t i = 0; i < 2; i++)
        list_checkpoint(l, &c->checkpoints[i]);
    for (size_t i = 0; i < c->record_count; i++) {
        LIST(c->records[i].place, c->records[i].synced);
        LIST(c->records[i].effects, c->records[i].zeros);
        LIST(c->records[i].is_torn, c->records[i].is_torn);
        LIST(c->records[i].secret[0], c->records[i].secret[0]);
    }
    for (size_t i = 0; i < c->segment_count; i++) {
        LIST(c->segments[i].name, c->segments[i].length);
        LIST(c->segments[i].version, c->segments[i].zeros);
        LIST(c->segments[i].is_bare, c->segments[i].is_bare);
        LIST(c->segments[i].secret[0], c->segments[i].secret[0]);
    }
    LIST(c->meta.version, c->meta.zeros);
    LIST(c->meta.flush_interval, c->meta.length);
    LIST(c->meta.name[0], c->meta.name[63]);
    LIST(c->sums.version, c->sums.zeros);
    LIST(c->sums.length, c->sums.length);
    LIST(c->sums.secret[0], c->sums.secret[0]);
    LIST(c->data_length, c->data_length);
    return l->count;
}
