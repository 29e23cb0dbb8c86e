#include "core/sums.h"

#include <assert.h>
#include <string.h>

#include "core/bytes.h"
#include "core/crc32c.h"
#include "core/iofile.h"

#define VERSION 2
/* Sums that are encoded at a stretch, on the stack. */
#define STRETCH 1024

static const char magic[8] = {'M', 'R', 'E', 'G', 'S', 'U', 'M', 'S'};

enum {
    AT_MAGIC = 0,
    AT_VERSION = 8,
    AT_CRC = 12, /* of the block with zeros here */
    AT_SECRET = 16,
};

/* ---- Sums ---- */

static bool is_zeros(const uint8_t *bytes)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, DATA_PAGE - 1) == 0;
}

/* Checksums keep two bits away from SUM_ZEROS and SUM_UNVERIFIED. */
static uint32_t keep_apart(uint32_t sum)
{
    int bits = __builtin_popcount(sum);
    return bits < 2 || bits > 30 ? sum ^ 0x00ffff00u : sum;
}

uint32_t sum_of(uint32_t seed, uint64_t page, const uint8_t *bytes)
{
    uint8_t number[8];
    if (is_zeros(bytes))
        return SUM_ZEROS;
    put_u64(number, page);
    return keep_apart(crc32c(crc32c(seed, number, sizeof number), bytes, DATA_PAGE));
}

bool sum_matches(uint32_t seed, uint64_t page, const uint8_t *bytes, uint32_t sum)
{
    return sum == SUM_UNVERIFIED || sum == sum_of(seed, page, bytes);
}

uint32_t sum_spoiled(uint32_t seed, uint64_t page, const uint8_t *after)
{
    /* The complement of a checksum has as many bits clear as that has set, so it keeps apart, too;
     * that of zeros is replaced. */
    uint32_t sum = sum_of(seed, page, after);
    return sum == SUM_ZEROS ? 0x00ffff00u : ~sum;
}

/* ---- The file ---- */

static uint64_t offset_of(uint64_t page)
{
    return DISK_BLOCK + page * SUM_SIZE;
}

uint64_t sums_length(uint64_t data_size)
{
    return round_up(offset_of(round_up(data_size, DATA_PAGE) / DATA_PAGE), DISK_BLOCK);
}

static void encode_header(uint8_t block[DISK_BLOCK], const uint8_t secret[16])
{
    memset(block, 0, DISK_BLOCK);
    memcpy(block + AT_MAGIC, magic, sizeof magic);
    put_u32(block + AT_VERSION, VERSION);
    memcpy(block + AT_SECRET, secret, 16);
    put_u32(block + AT_CRC, crc32c(0, block, DISK_BLOCK));
}

int sums_extend(struct io *io, const char *folder, struct io_file *file, uint64_t data_size,
                struct err *err)
{
    uint64_t size, want = sums_length(data_size);
    int result = io->ops->size(io, file, &size);
    if (result != 0)
        return err_io_at(err, result, "extend", folder, SUMS_FILE);
    if (size >= want)
        return 0;
    result = io->ops->allocate(io, file, size, want - size);
    if (result != 0)
        return err_io_at(err, result, "reserve space for", folder, SUMS_FILE);
    result = io->ops->sync(io, file);
    return result == 0 ? 0 : err_io_at(err, result, "sync", folder, SUMS_FILE);
}

void sums_cut(struct io *io, struct io_file *file, uint64_t data_size)
{
    uint64_t size, want = sums_length(data_size);
    if (io->ops->size(io, file, &size) == 0 && size > want)
        (void)io->ops->truncate(io, file, want);
}

int sums_create(struct io *io, const char *folder, const char *name, const uint8_t secret[16],
                uint64_t data_size, struct err *err)
{
    uint8_t block[DISK_BLOCK];
    struct iovec vector = {block, sizeof block};
    struct io_file *file;
    int code = io_open_at(io, folder, name, IO_CREATE | IO_EXCLUSIVE, &file, err);
    if (code != 0)
        return code;
    encode_header(block, secret);
    const char *verb = "reserve space for";
    int result = io->ops->allocate(io, file, 0, sums_length(data_size));
    if (result == 0) {
        verb = "write";
        result = io->ops->write(io, file, &vector, 1, 0);
    }
    if (result == 0) {
        verb = "sync";
        result = io->ops->sync(io, file);
    }
    io->ops->close(io, file);
    return result == 0 ? 0 : err_io_at(err, result, verb, folder, name);
}

static int check_header(struct io *io, const char *folder, struct io_file *file,
                        const uint8_t secret[16], uint64_t data_size, struct err *err)
{
    uint8_t block[DISK_BLOCK], expected[DISK_BLOCK];
    uint64_t size;
    ssize_t got = io->ops->read(io, file, block, sizeof block, 0);
    int result = got < 0 ? (int)got : io->ops->size(io, file, &size);
    if (result != 0)
        return err_io_at(err, result, "read", folder, SUMS_FILE);
    encode_header(expected, secret);
    if (got != sizeof block || memcmp(block, expected, sizeof block) != 0)
        return err_set(err, ERR_CORRUPT,
                       "%s/" SUMS_FILE ": the header at offset 0 is not that of this region's sums",
                       folder);
    if (size < sums_length(data_size))
        return err_set(err, ERR_CORRUPT, "%s/" SUMS_FILE " has %llu bytes instead of %llu", folder,
                       (unsigned long long)size, (unsigned long long)sums_length(data_size));
    return 0;
}

int sums_open(struct io *io, const char *folder, const uint8_t secret[16], uint64_t data_size,
              bool read_only, struct io_file **ret_file, struct err *err)
{
    struct io_file *file;
    int code = io_open_at(io, folder, SUMS_FILE, read_only ? IO_READ_ONLY : 0, &file, err);
    if (code != 0)
        return code;
    code = check_header(io, folder, file, secret, data_size, err);
    if (code != 0)
        io->ops->close(io, file);
    else
        *ret_file = file;
    return code;
}

void sums_decode(const uint8_t *bytes, size_t count, uint32_t *sums)
{
    for (size_t i = 0; i < count; i++)
        sums[i] = get_u32(bytes + i * SUM_SIZE);
}

int sums_read(struct io *io, const char *folder, struct io_file *file, uint64_t first, size_t count,
              uint32_t *sums, struct err *err)
{
    uint8_t bytes[STRETCH * SUM_SIZE];
    while (count > 0) {
        size_t part = (size_t)min_u64(count, STRETCH);
        ssize_t got = io->ops->read(io, file, bytes, part * SUM_SIZE, offset_of(first));
        if (got < 0)
            return err_io_at(err, (int)got, "read", folder, SUMS_FILE);
        if ((size_t)got < part * SUM_SIZE)
            return err_set(err, ERR_CORRUPT, "%s/" SUMS_FILE " ends before the sum of page %llu",
                           folder, (unsigned long long)(first + part - 1));
        sums_decode(bytes, part, sums);
        first += part;
        sums += part;
        count -= part;
    }
    return 0;
}

int sums_write(struct io *io, const char *folder, struct io_file *file, uint64_t first,
               size_t count, const uint32_t *sums, struct err *err)
{
    uint8_t bytes[STRETCH * SUM_SIZE];
    while (count > 0) {
        size_t part = (size_t)min_u64(count, STRETCH);
        struct iovec vector = {bytes, part * SUM_SIZE};
        for (size_t i = 0; i < part; i++)
            put_u32(bytes + i * SUM_SIZE, sums[i]);
        int result = io->ops->write(io, file, &vector, 1, offset_of(first));
        if (result != 0)
            return err_io_at(err, result, "write", folder, SUMS_FILE);
        first += part;
        sums += part;
        count -= part;
    }
    return 0;
}

bool sums_read_block_now(struct io *io, struct io_file *file, uint64_t block,
                         uint8_t bytes[DISK_BLOCK])
{
    uint64_t offset = offset_of(block * SUMS_PER_BLOCK);
    return io_read_now(io, file, bytes, DISK_BLOCK, offset) == DISK_BLOCK;
}
