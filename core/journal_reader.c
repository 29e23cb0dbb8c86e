#include "core/journal_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/array.h"
#include "core/bytes.h"
#include "core/iofile.h"

static int collect(void *context, const char *name, bool is_directory)
{
    struct journal_reader *reader = context;
    uint64_t seq;
    if (is_directory || !journal_parse_name(name, &seq))
        return 0;
    struct journal_file *files =
        array_grown(reader->files, &reader->capacity, reader->count + 1, sizeof *files);
    if (files == NULL)
        return -ENOMEM;
    reader->files = files;
    files[reader->count++] = (struct journal_file){.seq = seq, .named = UINT64_MAX};
    return 0;
}

static int by_seq(const void *a, const void *b)
{
    uint64_t one = ((const struct journal_file *)a)->seq;
    uint64_t two = ((const struct journal_file *)b)->seq;
    return (one > two) - (one < two);
}

static void close_segment(struct journal_reader *reader)
{
    if (reader->open != NULL)
        reader->io->ops->close(reader->io, reader->open);
    reader->open = NULL;
}

static int open_segment(struct journal_reader *reader, uint64_t seq, struct err *err)
{
    char name[JOURNAL_NAME_SIZE];
    if (reader->open != NULL && reader->open_seq == seq)
        return 0;
    close_segment(reader);
    reader->open_seq = seq;
    return io_open_at(reader->io, reader->folder, journal_name(name, seq),
                      IO_READ_ONLY | IO_ALIGNED | IO_FROM_DISK, &reader->open, err);
}

/* Reads the piece of a segment that begins at offset, or less of it at the end of the file. */
static int read_piece(struct journal_reader *reader, uint64_t seq, uint64_t offset, size_t size,
                      struct err *err)
{
    char name[JOURNAL_NAME_SIZE];
    int code = open_segment(reader, seq, err);
    if (code != 0)
        return code;
    ssize_t got = reader->io->ops->read(reader->io, reader->open, reader->piece, size, offset);
    reader->piece_seq = seq;
    reader->piece_offset = offset;
    reader->piece_size = got > 0 ? (size_t)got : 0;
    return got < 0 ? err_io_at(err, (int)got, "read", reader->folder, journal_name(name, seq)) : 0;
}

static int read_header(struct journal_reader *reader, struct journal_file *file, struct err *err)
{
    struct io *io = reader->io;
    char name[JOURNAL_NAME_SIZE];
    struct journal_header header;
    int code = open_segment(reader, file->seq, err);
    if (code != 0)
        return code;
    int result = io->ops->size(io, reader->open, &file->size);
    if (result != 0)
        return err_io_at(err, result, "read", reader->folder, journal_name(name, file->seq));
    code = read_piece(reader, file->seq, 0, DISK_BLOCK, err);
    if (code != 0)
        return code;
    if (reader->piece_size == DISK_BLOCK &&
        journal_decode_header(reader->piece, reader->secret, &header)) {
        /* A header that names another place was written by a recycling that did not get to the
         * renaming: what it says about the floor is true all the same. */
        file->has_header = header.seq == file->seq;
        file->named = header.seq;
        reader->floor = max_u64(reader->floor, header.floor);
    }
    return 0;
}

int journal_reader_open(struct journal_reader *reader, struct io *io, const char *folder,
                        const uint8_t secret[16], struct err *err)
{
    *reader = (struct journal_reader){.io = io, .folder = folder, .seed = record_seed(secret)};
    memcpy(reader->secret, secret, sizeof reader->secret);
    reader->piece = aligned_alloc(DISK_BLOCK, JOURNAL_PIECE);
    if (reader->piece == NULL)
        return err_no_memory(err);
    int result = io->ops->list(io, folder, collect, reader);
    if (result != 0)
        return err_io(err, result, "list", folder);
    if (reader->count > 0)
        qsort(reader->files, reader->count, sizeof reader->files[0], by_seq);
    for (size_t i = 0; i < reader->count; i++) {
        int code = read_header(reader, &reader->files[i], err);
        if (code != 0)
            return code;
    }
    return 0;
}

void journal_reader_release(struct journal_reader *reader)
{
    close_segment(reader);
    free(reader->files);
    free(reader->piece);
    reader->files = NULL;
    reader->piece = NULL;
    reader->count = reader->capacity = 0;
}

const struct journal_file *journal_reader_find(const struct journal_reader *reader, uint64_t lsn)
{
    struct journal_file key = {.seq = journal_seq(lsn)};
    if (reader->count == 0)
        return NULL;
    return bsearch(&key, reader->files, reader->count, sizeof key, by_seq);
}

/* The stream's bytes that a file really has end here. */
static uint64_t file_end(const struct journal_file *file)
{
    uint64_t size = round_down(min_u64(file->size, JOURNAL_SEGMENT), DISK_BLOCK);
    return file->seq * JOURNAL_PAYLOAD + (size > DISK_BLOCK ? size - DISK_BLOCK : 0);
}

uint64_t journal_reader_reach(const struct journal_reader *reader, uint64_t lsn)
{
    const struct journal_file *file = journal_reader_find(reader, lsn);
    if (file == NULL || file_end(file) <= lsn)
        return lsn;
    const struct journal_file *end = reader->files + reader->count;
    while (file + 1 < end && file[1].seq == file->seq + 1 && file->size >= JOURNAL_SEGMENT)
        file++;
    return max_u64(lsn, file_end(file));
}

bool journal_reader_is_missing(const struct journal_reader *reader, uint64_t seq)
{
    /* A region always has segments; and whoever wrote this floor had one behind it. */
    bool is_known = reader->count == 0 || journal_seq(reader->floor) >= seq;
    for (size_t i = 0; i < reader->count; i++) {
        const struct journal_file *file = &reader->files[i];
        if (file->seq == seq || file->named == seq)
            return false;
        is_known |= file->has_header && file->seq > seq;
    }
    return is_known;
}

/* How many of the bytes from offset on are in the piece. */
static size_t at_hand(const struct journal_reader *reader, uint64_t seq, uint64_t offset)
{
    uint64_t end = reader->piece_offset + reader->piece_size;
    bool is_there = reader->piece_seq == seq && reader->piece_offset <= offset && offset < end;
    return is_there ? (size_t)(end - offset) : 0;
}

static int read_file(struct journal_reader *reader, uint64_t seq, uint64_t offset, uint8_t *bytes,
                     uint64_t size, struct err *err)
{
    char name[JOURNAL_NAME_SIZE];
    while (size > 0) {
        size_t part = at_hand(reader, seq, offset);
        if (part == 0) {
            int code =
                read_piece(reader, seq, round_down(offset, JOURNAL_PIECE), JOURNAL_PIECE, err);
            /* What cannot be read may be beside what is wanted. */
            if (code == ERR_IO_ERROR)
                code = read_piece(reader, seq, round_down(offset, DISK_BLOCK), DISK_BLOCK, err);
            if (code != 0)
                return code;
            part = at_hand(reader, seq, offset);
        }
        if (part == 0) /* the file was longer a moment ago */
            return err_io_at(err, -EIO, "read", reader->folder, journal_name(name, seq));
        part = (size_t)min_u64(part, size);
        memcpy(bytes, reader->piece + (offset - reader->piece_offset), part);
        offset += part;
        bytes += part;
        size -= part;
    }
    return 0;
}

int journal_reader_read(struct journal_reader *reader, uint64_t lsn, uint8_t *bytes, size_t size,
                        struct err *err)
{
    while (size > 0) {
        size_t part = (size_t)min_u64(size, JOURNAL_PAYLOAD - lsn % JOURNAL_PAYLOAD);
        int code = read_file(reader, journal_seq(lsn), journal_offset(lsn), bytes, part, err);
        if (code != 0)
            return code;
        lsn += part;
        bytes += part;
        size -= part;
    }
    return 0;
}

int journal_reader_sync(struct journal_reader *reader, uint64_t from, uint64_t to, struct err *err)
{
    char name[JOURNAL_NAME_SIZE];
    for (uint64_t seq = journal_seq(from); from < to && seq <= journal_seq(to - 1); seq++) {
        int code = open_segment(reader, seq, err);
        if (code != 0)
            return code;
        int result = reader->io->ops->sync(reader->io, reader->open);
        if (result != 0)
            return err_io_at(err, result, "sync", reader->folder, journal_name(name, seq));
    }
    return 0;
}

static int need_capacity(struct journal_record *record, uint64_t size, struct err *err)
{
    if (size <= record->capacity)
        return 0;
    uint8_t *bytes = realloc(record->bytes, size);
    if (bytes == NULL)
        return err_no_memory(err);
    record->bytes = bytes;
    record->capacity = size;
    return 0;
}

int journal_reader_record(struct journal_reader *reader, uint64_t lsn,
                          struct journal_record *record, bool *ret_valid, struct err *err)
{
    uint64_t reach = journal_reader_reach(reader, lsn) - lsn;
    *ret_valid = false;
    record->header = (struct record_header){0};
    if (reach < DISK_BLOCK)
        return 0;
    int code = need_capacity(record, DISK_BLOCK, err);
    if (code == 0)
        code = journal_reader_read(reader, lsn, record->bytes, DISK_BLOCK, err);
    if (code != 0 || !record_peek(record->bytes, lsn, reader->seed, &record->header) ||
        record->header.length > reach)
        return code;
    uint64_t length = record->header.length;
    if (length > DISK_BLOCK) {
        code = need_capacity(record, length, err);
        if (code == 0)
            code = journal_reader_read(reader, lsn + DISK_BLOCK, record->bytes + DISK_BLOCK,
                                       length - DISK_BLOCK, err);
        if (code != 0)
            return code;
    }
    *ret_valid = record_is_valid(record->bytes, &record->header, reader->seed);
    return 0;
}

/* What is looked through at once: little enough to stay in a processor's cache. */
#define LOOK_PIECE (128 * KIB)
/* A misdirected write goes astray by whole sectors of the disk. */
#define SECTOR ((size_t)512)

struct look_behind {
    struct journal_reader *reader;
    struct journal_record record;
    uint8_t *bytes; /* LOOK_PIECE */
    uint64_t from;
    uint64_t end, synced;
};

/* The largest lsn that a header in the piece names as durable, wherever it stands, and whether or
 * not its record is whole: it was true when it was written. */
static void find_synced(struct look_behind *look, size_t size)
{
    struct record_header header;
    for (size_t at = 0; at < size; at += SECTOR)
        if (record_peek_anywhere(look->bytes + at, look->reader->seed, &header))
            look->synced = max_u64(look->synced, header.synced);
}

/* Where the last valid record ends that begins in the piece, which is at this lsn, and not before
 * from; the cheap look at every block first. */
static int find_end(struct look_behind *look, uint64_t lsn, const uint8_t *bytes, size_t size,
                    struct err *err)
{
    struct record_header header;
    int code = 0;
    for (size_t at = 0; code == 0 && at < size; at += DISK_BLOCK) {
        bool is_valid = false;
        if (lsn + at < look->from ||
            !record_peek(bytes + at, lsn + at, look->reader->seed, &header))
            continue;
        code = journal_reader_record(look->reader, lsn + at, &look->record, &is_valid, err);
        if (code == 0 && is_valid)
            look->end = max_u64(look->end, lsn + at + record_padded(header.length));
    }
    return code;
}

/* All of one file, its header's block too. */
static int look_in_file(struct look_behind *look, const struct journal_file *file, struct err *err)
{
    uint64_t length = round_down(min_u64(file->size, JOURNAL_SEGMENT), DISK_BLOCK);
    uint64_t lsn = file->seq * JOURNAL_PAYLOAD;
    int code = 0;
    for (uint64_t offset = 0; code == 0 && offset < length; offset += LOOK_PIECE) {
        size_t size = (size_t)min_u64(length - offset, LOOK_PIECE);
        size_t header = offset == 0 ? DISK_BLOCK : 0;
        code = read_file(look->reader, file->seq, offset, look->bytes, size, err);
        if (code != 0)
            return code;
        find_synced(look, size);
        code = find_end(look, lsn, look->bytes + header, size - header, err);
        lsn += size - header;
    }
    return code;
}

int journal_reader_look_behind(struct journal_reader *reader, uint64_t from, uint64_t *ret_end,
                               uint64_t *ret_synced, struct err *err)
{
    struct look_behind look = {
        .reader = reader, .bytes = malloc(LOOK_PIECE), .from = from, .end = from};
    int code = 0;
    if (look.bytes == NULL)
        return err_no_memory(err);
    for (size_t i = 0; code == 0 && i < reader->count; i++)
        if (reader->files[i].seq >= journal_seq(from))
            code = look_in_file(&look, &reader->files[i], err);
    free(look.bytes);
    free(look.record.bytes);
    *ret_end = look.end;
    *ret_synced = look.synced;
    return code;
}
