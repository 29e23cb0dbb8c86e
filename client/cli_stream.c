#include "client/cli_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/crc32c.h"

#define MAGIC "MREGEXPT"
#define VERSION 1

/* Offsets, as EXPORT.md has them. */
enum { START_VERSION = 8, START_CRC = 12 };
enum { AT_KIND = 0, AT_LENGTH = 4, AT_NUMBER = 8, AT_CRC = 12 };
enum { HEAD_SIZE = 0, HEAD_PAGES = 8, HEAD_IN_USE = 16, HEAD_TEXT = 24 };
enum { DATA_COUNT = 0, DATA_BLOCKS = 8, BLOCK_SIZE = 16 };
enum { END_BLOCKS = 0, END_BYTES = 8, END_FLAGS = 16, END_SIZE = 24 };

static uint32_t record_crc(uint32_t before, const uint8_t *header, const uint8_t *body,
                           size_t length)
{
    return crc32c(crc32c(before, header, AT_CRC), body, length);
}

uint64_t stream_piece(uint64_t max_message)
{
    uint64_t piece = STREAM_BYTES_MAX;

    while (piece > 1 && piece > max_message / 2)
        piece /= 2;
    return piece;
}

void stream_widen(int fd)
{
    (void)fcntl(fd, F_SETPIPE_SZ, (int)STREAM_BYTES_MAX);
}

/* ---- Writing ---- */

void stream_start(struct stream_chain *chain, uint8_t start[STREAM_START_SIZE])
{
    memcpy(start, MAGIC, START_VERSION);
    put_u32(start + START_VERSION, VERSION);
    *chain = (struct stream_chain){.crc = crc32c(0, start, START_CRC)};
    put_u32(start + START_CRC, chain->crc);
}

/* The body is there. */
static size_t seal(struct stream_chain *chain, enum stream_kind kind, size_t length,
                   uint8_t *record)
{
    put_u32(record + AT_KIND, kind);
    put_u32(record + AT_LENGTH, (uint32_t)length);
    put_u32(record + AT_NUMBER, chain->number++);
    chain->crc = record_crc(chain->crc, record, record + STREAM_HEADER_SIZE, length);
    put_u32(record + AT_CRC, chain->crc);
    return STREAM_HEADER_SIZE + length;
}

size_t stream_put_head(struct stream_chain *chain, const struct stream_head *head, uint8_t *record)
{
    uint8_t *body = record + STREAM_HEADER_SIZE;

    put_u64(body + HEAD_SIZE, head->size);
    put_u64(body + HEAD_PAGES, head->pages);
    put_u64(body + HEAD_IN_USE, head->in_use);
    if (head->text_size > 0)
        memcpy(body + HEAD_TEXT, head->text, head->text_size);
    return seal(chain, STREAM_HEAD, HEAD_TEXT + head->text_size, record);
}

uint8_t *stream_bytes_of(uint8_t *record, size_t count)
{
    return record + STREAM_HEADER_SIZE + DATA_BLOCKS + count * BLOCK_SIZE;
}

size_t stream_put_data(struct stream_chain *chain, const struct mregion_block *blocks, size_t count,
                       uint8_t *record)
{
    uint8_t *body = record + STREAM_HEADER_SIZE;
    uint8_t *at = body + DATA_BLOCKS;
    size_t bytes = 0;

    put_u64(body + DATA_COUNT, count);
    for (size_t i = 0; i < count; i++, at += BLOCK_SIZE) {
        put_u64(at, blocks[i].address);
        put_u64(at + 8, blocks[i].size);
        bytes += blocks[i].size;
    }
    chain->sum.blocks += count;
    chain->sum.bytes += bytes;
    return seal(chain, STREAM_DATA, (size_t)(at - body) + bytes, record);
}

size_t stream_put_end(struct stream_chain *chain, uint8_t *record)
{
    uint8_t *body = record + STREAM_HEADER_SIZE;

    put_u64(body + END_BLOCKS, chain->sum.blocks);
    put_u64(body + END_BYTES, chain->sum.bytes);
    put_u64(body + END_FLAGS, chain->sum.has_changed);
    return seal(chain, STREAM_END, END_SIZE, record);
}

/* ---- Reading ---- */

void stream_reader_init(struct stream_reader *reader, int fd)
{
    reader->fd = fd;
    reader->chain = (struct stream_chain){0};
    reader->offset = reader->size = reader->address = 0;
    reader->has_started = reader->has_head = false;
    reader->problem[0] = '\0';
}

static enum stream_status damaged(struct stream_reader *reader, const char *problem)
{
    (void)snprintf(reader->problem, sizeof reader->problem,
                   "record %" PRIu32 ", before byte %" PRIu64 ": %s", reader->chain.number,
                   reader->offset, problem);
    return STREAM_DAMAGED;
}

static enum stream_status read_whole(struct stream_reader *reader, uint8_t *buffer, size_t size)
{
    while (size > 0) {
        ssize_t count = read(reader->fd, buffer, size);

        if (count < 0)
            return STREAM_UNREADABLE;
        if (count == 0)
            return damaged(reader, "the stream is cut off");
        buffer += count;
        size -= (size_t)count;
        reader->offset += (uint64_t)count;
    }
    return STREAM_OK;
}

static enum stream_status read_start(struct stream_reader *reader)
{
    uint8_t start[STREAM_START_SIZE];
    enum stream_status status = read_whole(reader, start, sizeof start);

    if (status != STREAM_OK)
        return status;
    if (memcmp(start, MAGIC, START_VERSION) != 0)
        return damaged(reader, "this is no export of a region");
    reader->chain.crc = crc32c(0, start, START_CRC);
    if (get_u32(start + START_CRC) != reader->chain.crc)
        return damaged(reader, "the checksum is wrong");
    if (get_u32(start + START_VERSION) != VERSION)
        return damaged(reader, "the export is of a newer version, for a newer mrcli");
    reader->has_started = true;
    return STREAM_OK;
}

static enum stream_status take_head(struct stream_reader *reader, size_t length,
                                    struct stream_record *record)
{
    const uint8_t *body = reader->body;

    if (length < HEAD_TEXT || length > HEAD_TEXT + STREAM_TEXT_MAX)
        return damaged(reader, "a head that is none");
    record->head = (struct stream_head){
        .size = get_u64(body + HEAD_SIZE),
        .pages = get_u64(body + HEAD_PAGES),
        .in_use = get_u64(body + HEAD_IN_USE),
        .text = (const char *)body + HEAD_TEXT,
        .text_size = length - HEAD_TEXT,
    };
    reader->size = record->head.size;
    reader->has_head = true;
    return STREAM_OK;
}

static enum stream_status take_data(struct stream_reader *reader, size_t length,
                                    struct stream_record *record)
{
    const uint8_t *at = reader->body + DATA_BLOCKS;
    uint64_t count = length < DATA_BLOCKS ? 0 : get_u64(reader->body + DATA_COUNT);
    uint64_t left;

    if (count == 0 || count > STREAM_BLOCKS_MAX || length < DATA_BLOCKS + count * BLOCK_SIZE)
        return damaged(reader, "blocks that are none");
    left = length - DATA_BLOCKS - count * BLOCK_SIZE;
    if (left > STREAM_BYTES_MAX)
        return damaged(reader, "too many bytes");
    for (size_t i = 0; i < count; i++, at += BLOCK_SIZE) {
        struct mregion_block block = {get_u64(at), get_u64(at + 8)};

        if (block.size == 0 || block.size > left || block.address < reader->address ||
            block.address > reader->size || block.size > reader->size - block.address)
            return damaged(reader, "a block that is none");
        left -= block.size;
        reader->address = block.address + block.size;
        reader->chain.sum.bytes += block.size;
        record->blocks[i] = block;
    }
    if (left > 0)
        return damaged(reader, "bytes of no block");
    reader->chain.sum.blocks += count;
    record->count = (size_t)count;
    record->bytes = at;
    return STREAM_OK;
}

static enum stream_status take_end(struct stream_reader *reader, size_t length,
                                   struct stream_record *record)
{
    uint64_t flags = get_u64(reader->body + END_FLAGS);
    uint8_t byte;
    ssize_t count;

    if (length != END_SIZE || get_u64(reader->body + END_BLOCKS) != reader->chain.sum.blocks ||
        get_u64(reader->body + END_BYTES) != reader->chain.sum.bytes)
        return damaged(reader, "the end counts other blocks than came");
    if (flags > 1)
        return damaged(reader, "the end says what is not known");
    record->has_changed = flags == 1;
    count = read(reader->fd, &byte, 1);
    if (count < 0)
        return STREAM_UNREADABLE;
    return count == 0 ? STREAM_OK : damaged(reader, "something follows the end");
}

static enum stream_status take(struct stream_reader *reader, size_t length,
                               struct stream_record *record)
{
    if ((record->kind == STREAM_HEAD) == reader->has_head)
        return damaged(reader, "a head where none belongs, or none where one does");
    switch (record->kind) {
    case STREAM_HEAD:
        return take_head(reader, length, record);
    case STREAM_DATA:
        return take_data(reader, length, record);
    case STREAM_END:
        return take_end(reader, length, record);
    default:
        return damaged(reader, "a record of no kind that is known");
    }
}

enum stream_status stream_read(struct stream_reader *reader, struct stream_record *ret_record)
{
    uint8_t header[STREAM_HEADER_SIZE];
    enum stream_status status = reader->has_started ? STREAM_OK : read_start(reader);
    size_t length = 0;

    if (status == STREAM_OK)
        status = read_whole(reader, header, sizeof header);
    if (status == STREAM_OK) {
        length = get_u32(header + AT_LENGTH);
        status = length <= STREAM_BODY_MAX ? read_whole(reader, reader->body, length)
                                           : damaged(reader, "the checksum is wrong");
    }
    if (status != STREAM_OK)
        return status;
    reader->chain.crc = record_crc(reader->chain.crc, header, reader->body, length);
    if (get_u32(header + AT_CRC) != reader->chain.crc)
        return damaged(reader, "the checksum is wrong");
    if (get_u32(header + AT_NUMBER) != reader->chain.number)
        return damaged(reader, "the record has another number");
    ret_record->kind = (enum stream_kind)get_u32(header + AT_KIND);
    status = take(reader, length, ret_record);
    reader->chain.number++;
    return status;
}

bool stream_find(const struct stream_head *head, const char *key, char *ret_value, size_t size)
{
    const char *at = head->text, *end = at + head->text_size;
    size_t length = strlen(key);

    while (at < end) {
        const char *feed = memchr(at, '\n', (size_t)(end - at));
        size_t line = (size_t)((feed != NULL ? feed : end) - at);

        if (line > length && memcmp(at, key, length) == 0 && at[length] == ' ' &&
            line - length - 1 < size) {
            memcpy(ret_value, at + length + 1, line - length - 1);
            ret_value[line - length - 1] = '\0';
            return true;
        }
        at += line + 1;
    }
    return false;
}
