#include "core/journal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/array.h"
#include "core/bytes.h"
#include "core/crc32c.h"
#include "core/iofile.h"
#include "core/record.h"

static const char magic[8] = {'M', 'R', 'E', 'G', 'J', 'R', 'N', 'L'};

#define VERSION 2

enum {
    AT_MAGIC = 0,
    AT_VERSION = 8,
    AT_CRC = 12, /* of the whole block with zeros here */
    AT_SEQ = 16,
    AT_FLOOR = 24,
    AT_SECRET = 32,
};

#define PREFIX "journal-"
#define SEQ_DIGITS 16

const char *journal_name(char name[JOURNAL_NAME_SIZE], uint64_t seq)
{
    char *at = name + strlen(PREFIX) + SEQ_DIGITS;
    *at = '\0';
    for (unsigned digit = 0; digit < SEQ_DIGITS; digit++, seq >>= 4)
        *--at = "0123456789abcdef"[seq & 15];
    memcpy(name, PREFIX, sizeof PREFIX - 1);
    return name;
}

bool journal_parse_name(const char *name, uint64_t *ret_seq)
{
    char again[JOURNAL_NAME_SIZE];
    uint64_t seq = 0;
    if (strncmp(name, PREFIX, strlen(PREFIX)) != 0 || strlen(name) != strlen(PREFIX) + SEQ_DIGITS)
        return false;
    seq = strtoull(name + strlen(PREFIX), NULL, 16);
    if (strcmp(journal_name(again, seq), name) != 0 || seq > REGION_SIZE_MAX / JOURNAL_PAYLOAD)
        return false;
    *ret_seq = seq;
    return true;
}

/* ---- Loop ---- */

void journal_init(struct journal *journal, struct io *io, const char *folder,
                  const uint8_t secret[16])
{
    *journal = (struct journal){.io = io, .folder = folder, .seed = record_seed(secret)};
    memcpy(journal->secret, secret, sizeof journal->secret);
}

void journal_release(struct journal *journal)
{
    for (size_t i = 0; i < journal->live_count; i++)
        if (journal->live[i].file != NULL)
            journal->io->ops->close(journal->io, journal->live[i].file);
    free(journal->live);
    free(journal->old);
    journal->live = NULL;
    journal->old = NULL;
    journal->live_count = journal->old_count = 0;
    journal->live_capacity = journal->old_capacity = 0;
}

uint64_t journal_prepared(const struct journal *journal)
{
    if (journal->live_count == 0)
        return 0;
    return (journal->live[journal->live_count - 1].seq + 1) * JOURNAL_PAYLOAD;
}

int journal_reserve(struct journal *journal, size_t count)
{
    size_t need = journal->live_count + journal->old_count + count;
    struct journal_segment *live =
        array_grown(journal->live, &journal->live_capacity, need, sizeof *live);
    if (live == NULL)
        return -ENOMEM;
    journal->live = live;
    uint64_t *old = array_grown(journal->old, &journal->old_capacity, need, sizeof *old);
    if (old == NULL)
        return -ENOMEM;
    journal->old = old;
    return 0;
}

void journal_add(struct journal *journal, uint64_t seq)
{
    assert(journal->live_count < journal->live_capacity);
    assert(journal->live_count == 0 || journal->live[journal->live_count - 1].seq + 1 == seq);
    journal->live[journal->live_count++] = (struct journal_segment){.seq = seq};
}

void journal_retire(struct journal *journal, uint64_t lsn)
{
    size_t count = 0;
    assert(lsn <= journal->synced);
    /* The last one stays whatever it holds: the next ones are counted from it. */
    while (count + 1 < journal->live_count && journal->live[count].seq < journal_seq(lsn)) {
        struct journal_segment *segment = &journal->live[count++];
        if (segment->file != NULL)
            journal->io->ops->close(journal->io, segment->file);
        journal->old[journal->old_count++] = segment->seq;
    }
    journal->live_count -= count;
    if (count > 0)
        memmove(journal->live, journal->live + count,
                journal->live_count * sizeof journal->live[0]);
}

struct journal_segment *journal_segments(struct journal *journal, uint64_t from, uint64_t to,
                                         size_t *ret_count)
{
    uint64_t first = journal_seq(from), last = journal_seq(to - 1);
    assert(from < to && to <= journal_prepared(journal) && first >= journal->live[0].seq);
    *ret_count = (size_t)(last - first + 1);
    return &journal->live[first - journal->live[0].seq];
}

/* ---- Worker ---- */

static _Alignas(DISK_BLOCK) const uint8_t zeros[16 * DISK_BLOCK];

static uint32_t header_checksum(const uint8_t *block)
{
    uint32_t crc = crc32c(0, block, AT_CRC);
    crc = crc32c(crc, zeros, 4);
    return crc32c(crc, block + AT_SEQ, DISK_BLOCK - AT_SEQ);
}

bool journal_decode_header(const uint8_t *block, const uint8_t secret[16],
                           struct journal_header *ret_header)
{
    if (memcmp(block + AT_MAGIC, magic, sizeof magic) != 0 ||
        get_u32(block + AT_VERSION) != VERSION || memcmp(block + AT_SECRET, secret, 16) != 0 ||
        get_u32(block + AT_CRC) != header_checksum(block))
        return false;
    *ret_header = (struct journal_header){get_u64(block + AT_SEQ), get_u64(block + AT_FLOOR)};
    return true;
}

/* *ret_verb is what failed. */
static int write_header(struct io *io, struct io_file *file, const uint8_t secret[16], uint64_t seq,
                        uint64_t floor, const char **ret_verb)
{
    _Alignas(DISK_BLOCK) uint8_t block[DISK_BLOCK] = {0};
    memcpy(block + AT_MAGIC, magic, sizeof magic);
    put_u32(block + AT_VERSION, VERSION);
    put_u64(block + AT_SEQ, seq);
    put_u64(block + AT_FLOOR, floor);
    memcpy(block + AT_SECRET, secret, 16);
    put_u32(block + AT_CRC, header_checksum(block));
    struct iovec vector = {block, DISK_BLOCK};
    *ret_verb = "write";
    int result = io->ops->write(io, file, &vector, 1, 0);
    if (result != 0)
        return result;
    *ret_verb = "sync";
    return io->ops->sync(io, file);
}

static int write_zeros(struct io *io, struct io_file *file)
{
    for (uint64_t offset = 0; offset < JOURNAL_SEGMENT; offset += sizeof zeros) {
        size_t part = (size_t)min_u64(sizeof zeros, JOURNAL_SEGMENT - offset);
        struct iovec vector = {(void *)(uintptr_t)zeros, part};
        int result = io->ops->write(io, file, &vector, 1, offset);
        if (result != 0)
            return result;
    }
    /* Before the header: who sees a header may count on blocks that were written. */
    return io->ops->sync(io, file);
}

int journal_create_segment(struct io *io, const char *folder, const uint8_t secret[16],
                           uint64_t seq, uint64_t floor, struct err *err)
{
    char name[JOURNAL_NAME_SIZE], path[IO_PATH_SIZE];
    struct io_file *file;
    int code = io_join(path, folder, journal_name(name, seq), err);
    if (code == 0)
        code = io_open_at(io, folder, name, IO_CREATE | IO_ALIGNED, &file, err);
    if (code != 0)
        return code;
    const char *verb = "reserve space for";
    int result = io->ops->allocate(io, file, 0, JOURNAL_SEGMENT);
    if (result == 0) {
        verb = "write";
        result = write_zeros(io, file);
    }
    if (result == 0)
        result = write_header(io, file, secret, seq, floor, &verb);
    io->ops->close(io, file);
    if (result == 0)
        return 0;
    /* Half a segment is no use to anybody; if it cannot be removed, the next start does. */
    (void)io->ops->remove(io, path);
    return err_io(err, result, verb, path);
}

int journal_recycle_segment(struct io *io, const char *folder, const uint8_t secret[16],
                            uint64_t from, uint64_t to, uint64_t floor, struct err *err)
{
    char name[JOURNAL_NAME_SIZE], old_path[IO_PATH_SIZE], new_path[IO_PATH_SIZE];
    struct io_file *file;
    int code = io_join(new_path, folder, journal_name(name, to), err);
    if (code == 0)
        code = io_join(old_path, folder, journal_name(name, from), err);
    if (code == 0)
        code = io_open_at(io, folder, name, IO_ALIGNED, &file, err);
    if (code != 0)
        return code;
    const char *verb;
    int result = write_header(io, file, secret, to, floor, &verb);
    io->ops->close(io, file);
    if (result != 0)
        return err_io(err, result, verb, old_path);
    result = io->ops->rename(io, old_path, new_path);
    return result == 0 ? 0 : err_io(err, result, "rename", old_path);
}

int journal_write(struct io *io, const char *folder, struct journal_segment *segments, size_t count,
                  uint64_t lsn, uint8_t *bytes, uint64_t size, bool past_cache, struct err *err)
{
    char name[JOURNAL_NAME_SIZE];
    uint64_t end = lsn + size;
    for (size_t i = 0; i < count; i++) {
        struct journal_segment *segment = &segments[i];
        uint64_t from = max_u64(lsn, segment->seq * JOURNAL_PAYLOAD);
        uint64_t to = min_u64(end, (segment->seq + 1) * JOURNAL_PAYLOAD);
        if (from >= to)
            continue;
        journal_name(name, segment->seq);
        if (segment->file == NULL) {
            int code =
                io_open_at(io, folder, name, past_cache ? IO_ALIGNED : 0, &segment->file, err);
            if (code != 0)
                return code;
        }
        struct iovec vector = {bytes + (from - lsn), (size_t)(to - from)};
        int result = io->ops->write(io, segment->file, &vector, 1, journal_offset(from));
        if (result != 0)
            return err_io_at(err, result, "write", folder, name);
    }
    return 0;
}

int journal_sync(struct io *io, const char *folder, const struct journal_segment *segments,
                 size_t count, struct err *err)
{
    char name[JOURNAL_NAME_SIZE];
    for (size_t i = 0; i < count; i++) {
        if (segments[i].file == NULL)
            continue;
        int result = io->ops->sync(io, segments[i].file);
        if (result != 0)
            return err_io_at(err, result, "sync", folder, journal_name(name, segments[i].seq));
    }
    return 0;
}
