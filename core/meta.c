#include "core/meta.h"

#include <assert.h>
#include <string.h>

#include "core/bytes.h"
#include "core/crc32c.h"
#include "core/iofile.h"

static const char magic[8] = {'M', 'R', 'E', 'G', 'M', 'E', 'T', 'A'};

enum {
    AT_MAGIC = 0,
    AT_VERSION = 8,
    AT_CRC = 12, /* of all that follows it, begun with all that precedes it */
    AT_DURABILITY = 16,
    AT_FIT = 20,
    AT_FLUSH_INTERVAL = 24,
    AT_MAX_SIZE = 32,
    AT_JOURNAL_SIZE = 40,
    AT_ID = 48,
    AT_UUID = 56,
    AT_SECRET = 72,
    AT_NAME = 88, /* zeros behind it */
    AT_CHECKSUM = AT_NAME + REGION_NAME_MAX,
    AT_ZEROS = 156,
    AT_TOKEN_WINDOW = 160,
    AT_DISCARD = 168,
    AT_SCRUB_INTERVAL = 176,
    AT_SCRUB_RATE = 184,
    AT_PAGE_CACHE = 192,
    META_SIZE = 200,
};

static uint32_t checksum(const uint8_t *bytes, size_t size)
{
    uint32_t crc = crc32c(0, bytes, AT_CRC);
    return crc32c(crc, bytes + AT_DURABILITY, size - AT_DURABILITY);
}

int meta_version(const uint8_t *bytes, size_t size, const char *folder, uint32_t *ret_version,
                 struct err *err)
{
    if (size < AT_CRC || memcmp(bytes + AT_MAGIC, magic, sizeof magic) != 0)
        return err_set(err, ERR_CORRUPT, "%s/" META_FILE " is not the meta file of a region",
                       folder);
    *ret_version = get_u32(bytes + AT_VERSION);
    return 0;
}

static int check_bytes(const uint8_t *bytes, size_t size, const char *folder, struct err *err)
{
    if (size != META_SIZE)
        return err_set(err, ERR_CORRUPT, "%s/" META_FILE " has %zu bytes instead of %d", folder,
                       size, META_SIZE);
    if (get_u32(bytes + AT_CRC) != checksum(bytes, META_SIZE))
        return err_set(err, ERR_CORRUPT, "%s/" META_FILE " does not match its checksum", folder);
    if (get_u32(bytes + AT_ZEROS) != 0)
        return err_set(err, ERR_CORRUPT, "%s/" META_FILE " has other bytes than zeros at offset %d",
                       folder, AT_ZEROS);
    return 0;
}

int meta_check_name(const char name[REGION_NAME_MAX + 1], const char *folder, struct err *err)
{
    static const char zeros[REGION_NAME_MAX];
    size_t length = strlen(name);
    if (region_name_is_valid(name, length) &&
        memcmp(name + length, zeros, REGION_NAME_MAX - length) == 0)
        return 0;
    return err_set(err, ERR_CORRUPT, "%s/" META_FILE ": the name in it is not a region name",
                   folder);
}

static struct region_options decode_options(const uint8_t *bytes)
{
    return (struct region_options){
        .durability = (enum durability)get_u32(bytes + AT_DURABILITY),
        .flush_interval_ms = get_u64(bytes + AT_FLUSH_INTERVAL),
        .fit = (enum fit)get_u32(bytes + AT_FIT),
        .max_size = get_u64(bytes + AT_MAX_SIZE),
        .journal_size = get_u64(bytes + AT_JOURNAL_SIZE),
        .checksum = (enum checksum)get_u32(bytes + AT_CHECKSUM),
        .token_window = get_u64(bytes + AT_TOKEN_WINDOW),
        .discard = get_u64(bytes + AT_DISCARD),
        .scrub_interval_ms = get_u64(bytes + AT_SCRUB_INTERVAL),
        .scrub_rate = get_u64(bytes + AT_SCRUB_RATE),
        .page_cache = get_u64(bytes + AT_PAGE_CACHE),
    };
}

int meta_decode_v2(const uint8_t *bytes, size_t size, const char *folder, struct meta *ret_meta,
                   struct err *err)
{
    struct err why;
    int code = check_bytes(bytes, size, folder, err);
    if (code != 0)
        return code;
    struct meta meta = {.id = get_u64(bytes + AT_ID), .options = decode_options(bytes)};
    memcpy(meta.uuid, bytes + AT_UUID, sizeof meta.uuid);
    memcpy(meta.secret, bytes + AT_SECRET, sizeof meta.secret);
    memcpy(meta.name, bytes + AT_NAME, REGION_NAME_MAX);
    if (region_options_check(&meta.options, &why) != 0)
        return err_set(err, ERR_CORRUPT, "%s/" META_FILE ": %s", folder, why.text);
    code = meta_check_name(meta.name, folder, err);
    if (code != 0)
        return code;
    *ret_meta = meta;
    return 0;
}

int meta_write(struct io *io, const char *folder, const struct meta *meta, struct err *err)
{
    return meta_write_as(io, folder, META_FILE, meta, err);
}

int meta_write_as(struct io *io, const char *folder, const char *file, const struct meta *meta,
                  struct err *err)
{
    uint8_t bytes[META_SIZE] = {0};
    assert(strlen(meta->name) <= REGION_NAME_MAX);
    memcpy(bytes + AT_MAGIC, magic, sizeof magic);
    put_u32(bytes + AT_VERSION, REGION_FORMAT);
    put_u32(bytes + AT_DURABILITY, meta->options.durability);
    put_u32(bytes + AT_FIT, meta->options.fit);
    put_u64(bytes + AT_FLUSH_INTERVAL, meta->options.flush_interval_ms);
    put_u64(bytes + AT_MAX_SIZE, meta->options.max_size);
    put_u64(bytes + AT_JOURNAL_SIZE, meta->options.journal_size);
    put_u64(bytes + AT_ID, meta->id);
    memcpy(bytes + AT_UUID, meta->uuid, sizeof meta->uuid);
    memcpy(bytes + AT_SECRET, meta->secret, sizeof meta->secret);
    memcpy(bytes + AT_NAME, meta->name, strlen(meta->name));
    put_u32(bytes + AT_CHECKSUM, meta->options.checksum);
    put_u32(bytes + AT_ZEROS, 0);
    put_u64(bytes + AT_TOKEN_WINDOW, meta->options.token_window);
    put_u64(bytes + AT_DISCARD, meta->options.discard);
    put_u64(bytes + AT_SCRUB_INTERVAL, meta->options.scrub_interval_ms);
    put_u64(bytes + AT_SCRUB_RATE, meta->options.scrub_rate);
    put_u64(bytes + AT_PAGE_CACHE, meta->options.page_cache);
    put_u32(bytes + AT_CRC, checksum(bytes, sizeof bytes));
    return io_replace_small(io, folder, file, bytes, sizeof bytes, err);
}
