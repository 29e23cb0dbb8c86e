/* Records of format 1: the decoder.
 *
 * Frozen: it reads what the first release wrote (FORMAT.md, the appendix), and is never changed
 * again. It shares no code with later formats but what knows no format. */
#include <errno.h>
#include <string.h>

#include "core/crc32c.h"
#include "core/format1_private.h"

#define MAGIC 0x4352474du /* "MGRC" */

enum {
    AT_MAGIC = 0,
    AT_CRC = 4,
    AT_LSN = 8,
    AT_LENGTH = 16,
    AT_SYNCED = 24,
    AT_EFFECTS = 32,
    AT_HEADER_CRC = 36, /* of [AT_LSN, AT_HEADER_CRC), begun with the seed */
    AT_ZEROS = 40,      /* to FORMAT1_RECORD_HEADER */
};

uint32_t format1_record_seed(const uint8_t secret[16])
{
    return crc32c(0, secret, 16);
}

static uint32_t header_checksum(const uint8_t *bytes, uint32_t seed)
{
    return crc32c(seed, bytes + AT_LSN, AT_HEADER_CRC - AT_LSN);
}

bool format1_record_peek(const uint8_t *bytes, uint64_t lsn, uint32_t seed,
                         struct format1_record_header *ret_header)
{
    struct format1_record_header header = {
        .crc = get_u32(bytes + AT_CRC),
        .effects = get_u32(bytes + AT_EFFECTS),
        .lsn = get_u64(bytes + AT_LSN),
        .length = get_u64(bytes + AT_LENGTH),
        .synced = get_u64(bytes + AT_SYNCED),
    };
    if (get_u32(bytes + AT_MAGIC) != MAGIC || header.lsn != lsn ||
        get_u32(bytes + AT_HEADER_CRC) != header_checksum(bytes, seed) ||
        header.length < FORMAT1_RECORD_HEADER || header.length > FORMAT1_SIZE_MAX ||
        header.synced > lsn)
        return false;
    *ret_header = header;
    return true;
}

bool format1_record_is_valid(const uint8_t *bytes, const struct format1_record_header *header,
                             uint32_t seed)
{
    return crc32c(seed, bytes + AT_LSN, header->length - AT_LSN) == header->crc;
}

void format1_effect_begin(struct format1_effect_cursor *cursor, const uint8_t *bytes,
                          const struct format1_record_header *header)
{
    *cursor = (struct format1_effect_cursor){bytes, header->length, FORMAT1_RECORD_HEADER,
                                             header->effects};
}

static int next_extent(struct format1_effect_cursor *cursor, const uint8_t *at,
                       struct format1_effect *effect)
{
    struct extent extent = {get_u64(at + 1), get_u64(at + 9)};
    if (extent.size == 0 || extent.size > FORMAT1_SIZE_MAX ||
        extent.address > FORMAT1_SIZE_MAX - extent.size)
        return -EINVAL;
    effect->extent = extent;
    cursor->offset += FORMAT1_RECORD_EXTENT_EFFECT;
    if (effect->kind != FORMAT1_EFFECT_PUT)
        return 1;
    if (extent.size > cursor->length - cursor->offset)
        return -EINVAL;
    effect->offset = cursor->offset;
    cursor->offset += extent.size;
    return 1;
}

int format1_effect_next(struct format1_effect_cursor *cursor, struct format1_effect *ret_effect)
{
    const uint8_t *at = cursor->bytes + cursor->offset;
    size_t size = cursor->length - cursor->offset;
    if (cursor->left == 0)
        return size == 0 ? 0 : -EINVAL;
    cursor->left--;
    *ret_effect = (struct format1_effect){0};
    if (size < FORMAT1_RECORD_PAGES_EFFECT)
        return -EINVAL;
    switch (at[0]) {
    case FORMAT1_EFFECT_USE:
    case FORMAT1_EFFECT_FREE:
    case FORMAT1_EFFECT_PUT:
        ret_effect->kind = (enum format1_effect_kind)at[0];
        return size < FORMAT1_RECORD_EXTENT_EFFECT ? -EINVAL : next_extent(cursor, at, ret_effect);
    case FORMAT1_EFFECT_PAGES:
        ret_effect->kind = FORMAT1_EFFECT_PAGES;
        ret_effect->pages = get_u64(at + 1);
        cursor->offset += FORMAT1_RECORD_PAGES_EFFECT;
        return ret_effect->pages <= FORMAT1_SIZE_MAX / FORMAT1_REGION_PAGE ? 1 : -EINVAL;
    default:
        return -EINVAL;
    }
}
