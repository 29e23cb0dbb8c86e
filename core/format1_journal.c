/* The journal of format 1: which segments are there, what stands at a position.
 *
 * Frozen: it reads what the first release wrote (FORMAT.md, the appendix), and is never changed
 * again. It shares no code with later formats but what knows no format. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/array.h"
#include "core/crc32c.h"
#include "core/format1_private.h"
#include "core/iofile.h"

static const char magic[8] = {'M', 'R', 'E', 'G', 'J', 'R', 'N', 'L'};

#define VERSION 1

enum {
    AT_MAGIC = 0,
    AT_VERSION = 8,
    AT_CRC = 12, /* of the whole block with zeros here */
    AT_SEQ = 16,
    AT_FLOOR = 24,
    AT_SECRET = 32,
};

#define PREFIX "journal-"

const char *format1_journal_name(char name[FORMAT1_JOURNAL_NAME_SIZE], uint64_t seq)
{
    (void)snprintf(name, FORMAT1_JOURNAL_NAME_SIZE, PREFIX "%016" PRIx64, seq);
    return name;
}

bool format1_journal_parse_name(const char *name, uint64_t *ret_seq)
{
    char again[FORMAT1_JOURNAL_NAME_SIZE];
    uint64_t seq = 0;
    if (strncmp(name, PREFIX, strlen(PREFIX)) != 0 || strlen(name) != strlen(PREFIX) + 16)
        return false;
    seq = strtoull(name + strlen(PREFIX), NULL, 16);
    if (strcmp(format1_journal_name(again, seq), name) != 0 ||
        seq > FORMAT1_SIZE_MAX / FORMAT1_JOURNAL_PAYLOAD)
        return false;
    *ret_seq = seq;
    return true;
}

static const uint8_t zeros[4];

static uint32_t header_checksum(const uint8_t *block)
{
    uint32_t crc = crc32c(0, block, AT_CRC);
    crc = crc32c(crc, zeros, sizeof zeros);
    return crc32c(crc, block + AT_SEQ, FORMAT1_BLOCK - AT_SEQ);
}

static bool format1_journal_decode_header(const uint8_t *block, const uint8_t secret[16],
                                          struct format1_journal_header *ret_header)
{
    if (memcmp(block + AT_MAGIC, magic, sizeof magic) != 0 ||
        get_u32(block + AT_VERSION) != VERSION || memcmp(block + AT_SECRET, secret, 16) != 0 ||
        get_u32(block + AT_CRC) != header_checksum(block))
        return false;
    *ret_header =
        (struct format1_journal_header){get_u64(block + AT_SEQ), get_u64(block + AT_FLOOR)};
    return true;
}

static int collect(void *context, const char *name, bool is_directory)
{
    struct format1_journal_reader *reader = context;
    uint64_t seq;
    if (is_directory || !format1_journal_parse_name(name, &seq))
        return 0;
    struct format1_journal_file *files =
        array_grown(reader->files, &reader->capacity, reader->count + 1, sizeof *files);
    if (files == NULL)
        return -ENOMEM;
    reader->files = files;
    files[reader->count++] = (struct format1_journal_file){.seq = seq, .named = UINT64_MAX};
    return 0;
}

static int by_seq(const void *a, const void *b)
{
    uint64_t one = ((const struct format1_journal_file *)a)->seq;
    uint64_t two = ((const struct format1_journal_file *)b)->seq;
    return (one > two) - (one < two);
}

static void close_segment(struct format1_journal_reader *reader)
{
    if (reader->open != NULL)
        reader->io->ops->close(reader->io, reader->open);
    reader->open = NULL;
}

static int open_segment(struct format1_journal_reader *reader, uint64_t seq, struct err *err)
{
    char name[FORMAT1_JOURNAL_NAME_SIZE];
    if (reader->open != NULL && reader->open_seq == seq)
        return 0;
    close_segment(reader);
    reader->open_seq = seq;
    return io_open_at(reader->io, reader->folder, format1_journal_name(name, seq), IO_READ_ONLY,
                      &reader->open, err);
}

static int read_header(struct format1_journal_reader *reader, struct format1_journal_file *file,
                       struct err *err)
{
    struct io *io = reader->io;
    uint8_t block[FORMAT1_BLOCK];
    char name[FORMAT1_JOURNAL_NAME_SIZE];
    struct format1_journal_header header;
    int code = open_segment(reader, file->seq, err);
    if (code != 0)
        return code;
    ssize_t got = io->ops->size(io, reader->open, &file->size);
    if (got == 0)
        got = io->ops->read(io, reader->open, block, sizeof block, 0);
    if (got < 0)
        return err_io_at(err, (int)got, "read", reader->folder,
                         format1_journal_name(name, file->seq));
    if (got == sizeof block && format1_journal_decode_header(block, reader->secret, &header)) {
        /* A header that names another place was written by a recycling that did not get to the
         * renaming: what it says about the floor is true all the same. */
        file->has_header = header.seq == file->seq;
        file->named = header.seq;
        reader->floor = max_u64(reader->floor, header.floor);
    }
    return 0;
}

int format1_journal_reader_open(struct format1_journal_reader *reader, struct io *io,
                                const char *folder, const uint8_t secret[16], struct err *err)
{
    *reader = (struct format1_journal_reader){
        .io = io, .folder = folder, .seed = format1_record_seed(secret)};
    memcpy(reader->secret, secret, sizeof reader->secret);
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

void format1_journal_reader_release(struct format1_journal_reader *reader)
{
    close_segment(reader);
    free(reader->files);
    reader->files = NULL;
    reader->count = reader->capacity = 0;
}

const struct format1_journal_file *
format1_journal_reader_find(const struct format1_journal_reader *reader, uint64_t lsn)
{
    struct format1_journal_file key = {.seq = format1_journal_seq(lsn)};
    if (reader->count == 0)
        return NULL;
    return bsearch(&key, reader->files, reader->count, sizeof key, by_seq);
}

/* The stream's bytes that a file really has end here. */
static uint64_t file_end(const struct format1_journal_file *file)
{
    uint64_t size = round_down(min_u64(file->size, FORMAT1_JOURNAL_SEGMENT), FORMAT1_BLOCK);
    return file->seq * FORMAT1_JOURNAL_PAYLOAD + (size > FORMAT1_BLOCK ? size - FORMAT1_BLOCK : 0);
}

uint64_t format1_journal_reader_reach(const struct format1_journal_reader *reader, uint64_t lsn)
{
    const struct format1_journal_file *file = format1_journal_reader_find(reader, lsn);
    if (file == NULL || file_end(file) <= lsn)
        return lsn;
    const struct format1_journal_file *end = reader->files + reader->count;
    while (file + 1 < end && file[1].seq == file->seq + 1 && file->size >= FORMAT1_JOURNAL_SEGMENT)
        file++;
    return max_u64(lsn, file_end(file));
}

bool format1_journal_reader_is_missing(const struct format1_journal_reader *reader, uint64_t seq)
{
    /* A region always has segments; and whoever wrote this floor had one behind it. */
    bool is_known = reader->count == 0 || format1_journal_seq(reader->floor) >= seq;
    for (size_t i = 0; i < reader->count; i++) {
        const struct format1_journal_file *file = &reader->files[i];
        if (file->seq == seq || file->named == seq)
            return false;
        is_known |= file->has_header && file->seq > seq;
    }
    return is_known;
}

int format1_journal_reader_read(struct format1_journal_reader *reader, uint64_t lsn, uint8_t *bytes,
                                size_t size, struct err *err)
{
    char name[FORMAT1_JOURNAL_NAME_SIZE];
    while (size > 0) {
        size_t part =
            (size_t)min_u64(size, FORMAT1_JOURNAL_PAYLOAD - lsn % FORMAT1_JOURNAL_PAYLOAD);
        int code = open_segment(reader, format1_journal_seq(lsn), err);
        if (code != 0)
            return code;
        ssize_t got = reader->io->ops->read(reader->io, reader->open, bytes, part,
                                            format1_journal_offset(lsn));
        if (got >= 0 && (size_t)got < part)
            got = -EIO; /* the file was longer a moment ago */
        if (got < 0)
            return err_io_at(err, (int)got, "read", reader->folder,
                             format1_journal_name(name, format1_journal_seq(lsn)));
        lsn += part;
        bytes += part;
        size -= part;
    }
    return 0;
}

int format1_journal_reader_sync(struct format1_journal_reader *reader, uint64_t from, uint64_t to,
                                struct err *err)
{
    char name[FORMAT1_JOURNAL_NAME_SIZE];
    for (uint64_t seq = format1_journal_seq(from); from < to && seq <= format1_journal_seq(to - 1);
         seq++) {
        int code = open_segment(reader, seq, err);
        if (code != 0)
            return code;
        int result = reader->io->ops->sync(reader->io, reader->open);
        if (result != 0)
            return err_io_at(err, result, "sync", reader->folder, format1_journal_name(name, seq));
    }
    return 0;
}

static int need_capacity(struct format1_journal_record *record, uint64_t size, struct err *err)
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

int format1_journal_reader_record(struct format1_journal_reader *reader, uint64_t lsn,
                                  struct format1_journal_record *record, bool *ret_valid,
                                  struct err *err)
{
    uint64_t reach = format1_journal_reader_reach(reader, lsn) - lsn;
    *ret_valid = false;
    record->header = (struct format1_record_header){0};
    if (reach < FORMAT1_BLOCK)
        return 0;
    int code = need_capacity(record, FORMAT1_BLOCK, err);
    if (code == 0)
        code = format1_journal_reader_read(reader, lsn, record->bytes, FORMAT1_BLOCK, err);
    if (code != 0 || !format1_record_peek(record->bytes, lsn, reader->seed, &record->header) ||
        record->header.length > reach)
        return code;
    uint64_t length = record->header.length;
    if (length > FORMAT1_BLOCK) {
        code = need_capacity(record, length, err);
        if (code == 0)
            code = format1_journal_reader_read(reader, lsn + FORMAT1_BLOCK,
                                               record->bytes + FORMAT1_BLOCK,
                                               length - FORMAT1_BLOCK, err);
        if (code != 0)
            return code;
    }
    *ret_valid = format1_record_is_valid(record->bytes, &record->header, reader->seed);
    return 0;
}

/* One file's positions from lsn on: the cheap look at every block first. */
static int look_in_file(struct format1_journal_reader *reader,
                        const struct format1_journal_file *file, uint64_t from, uint8_t *bytes,
                        struct format1_journal_record *record, uint64_t *end, uint64_t *synced,
                        struct err *err)
{
    struct format1_record_header header;
    uint64_t stop = file_end(file);
    uint64_t lsn = max_u64(from, file->seq * FORMAT1_JOURNAL_PAYLOAD);
    if (lsn >= stop)
        return 0;
    int code = format1_journal_reader_read(reader, lsn, bytes, stop - lsn, err);
    for (uint64_t at = lsn; code == 0 && at < stop; at += FORMAT1_BLOCK) {
        bool is_valid = false;
        if (!format1_record_peek(bytes + (at - lsn), at, reader->seed, &header))
            continue;
        code = format1_journal_reader_record(reader, at, record, &is_valid, err);
        if (code == 0 && is_valid) {
            *end = max_u64(*end, at + format1_record_padded(header.length));
            *synced = max_u64(*synced, header.synced);
        }
    }
    return code;
}

int format1_journal_reader_look_behind(struct format1_journal_reader *reader, uint64_t from,
                                       uint64_t *ret_end, uint64_t *ret_synced, struct err *err)
{
    struct format1_journal_record record = {0};
    uint8_t *bytes = malloc(FORMAT1_JOURNAL_PAYLOAD);
    int code = bytes == NULL ? err_no_memory(err) : 0;
    uint64_t end = from, synced = 0;
    for (size_t i = 0; code == 0 && i < reader->count; i++)
        if (reader->files[i].seq >= format1_journal_seq(from))
            code =
                look_in_file(reader, &reader->files[i], from, bytes, &record, &end, &synced, err);
    free(bytes);
    free(record.bytes);
    *ret_end = end;
    *ret_synced = synced;
    return code;
}
