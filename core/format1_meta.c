/* The file meta of format 1: the decoder.
 *
 * Frozen: it reads what the first release wrote (FORMAT.md, the appendix), and is never changed
 * again. It shares no code with later formats but what knows no format. */
#include <inttypes.h>
#include <string.h>

#include "core/crc32c.h"
#include "core/format1.h"
#include "core/format1_private.h"

enum {
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
    META_SIZE = AT_NAME + FORMAT1_NAME_MAX,
};

#define FLUSH_INTERVAL_MAX_MS ((uint64_t)3600 * 1000)
#define JOURNAL_SIZE_MIN (4 * FORMAT1_JOURNAL_SEGMENT)
#define JOURNAL_SIZE_MAX ((uint64_t)64 << 30)

static int check_range(const char *folder, const char *name, uint64_t value, uint64_t low,
                       uint64_t high, struct err *err)
{
    if (value >= low && value <= high)
        return 0;
    return err_set(err, ERR_CORRUPT,
                   "%s/meta: %s must be between %" PRIu64 " and %" PRIu64 ", not %" PRIu64, folder,
                   name, low, high, value);
}

int format1_meta_decode(const uint8_t *bytes, size_t size, const char *folder,
                        struct format1_meta *ret_meta, struct err *err)
{
    if (size != META_SIZE)
        return err_set(err, ERR_CORRUPT, "%s/meta has %zu bytes instead of %d", folder, size,
                       META_SIZE);
    uint32_t crc = crc32c(crc32c(0, bytes, AT_CRC), bytes + AT_DURABILITY, size - AT_DURABILITY);
    if (get_u32(bytes + AT_CRC) != crc)
        return err_set(err, ERR_CORRUPT, "%s/meta does not match its checksum", folder);
    struct format1_meta meta = {
        .id = get_u64(bytes + AT_ID),
        .durability = (enum format1_durability)get_u32(bytes + AT_DURABILITY),
        .fit = (enum format1_fit)get_u32(bytes + AT_FIT),
        .flush_interval_ms = get_u64(bytes + AT_FLUSH_INTERVAL),
        .max_size = get_u64(bytes + AT_MAX_SIZE),
        .journal_size = get_u64(bytes + AT_JOURNAL_SIZE),
    };
    memcpy(meta.uuid, bytes + AT_UUID, sizeof meta.uuid);
    memcpy(meta.secret, bytes + AT_SECRET, sizeof meta.secret);
    memcpy(meta.name, bytes + AT_NAME, FORMAT1_NAME_MAX);
    int code = check_range(folder, "durability", meta.durability, 0, FORMAT1_NONE, err);
    if (code == 0)
        code = check_range(folder, "fit", meta.fit, 0, FORMAT1_LARGEST, err);
    if (code == 0)
        code = check_range(folder, "flush_interval", meta.flush_interval_ms, 1,
                           FLUSH_INTERVAL_MAX_MS, err);
    if (code == 0)
        code = check_range(folder, "max_size", meta.max_size, 0, FORMAT1_SIZE_MAX, err);
    if (code == 0)
        code = check_range(folder, "journal_size", meta.journal_size, JOURNAL_SIZE_MIN,
                           JOURNAL_SIZE_MAX, err);
    if (code == 0)
        *ret_meta = meta;
    return code;
}
