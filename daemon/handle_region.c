/* Questions about a region: answered from memory, at once. */
#include <inttypes.h>
#include <stdio.h>

#include "daemon/answer.h"
#include "daemon/conn.h"
#include "daemon/handle.h"
#include "daemon/regions.h"
#include "daemon/scrub.h"
#include "daemon/server.h"

/* ---- Numbers ---- */

enum outcome handle_SIZE(struct call *call)
{
    return call_uint(call, region_size(call->entry->region));
}

enum outcome handle_ID(struct call *call)
{
    return call_uint(call, call->entry->id);
}

static struct region_info info_of(const struct call *call)
{
    struct region_info info;
    region_get_info(call->entry->region, &info);
    return info;
}

enum outcome handle_CAPACITY(struct call *call)
{
    return call_uint(call, info_of(call).capacity);
}

enum outcome handle_PAGES(struct call *call)
{
    return call_uint(call, info_of(call).pages);
}

enum outcome handle_ALLOCATED(struct call *call)
{
    return call_uint(call, info_of(call).allocated);
}

enum outcome handle_DEALLOCATED(struct call *call)
{
    return call_uint(call, info_of(call).deallocated);
}

/* ---- Yes or no ---- */

enum outcome handle_IS_FREED(struct call *call)
{
    struct err err;
    bool is_freed;
    if (region_is_freed(call->entry->region, call_block(call, 1), &is_freed, &err) != 0)
        return call_error(call, &err);
    return call_bool(call, is_freed);
}

enum outcome handle_IS_ALLOCATED(struct call *call)
{
    struct err err;
    bool is_allocated;
    if (region_is_allocated(call->entry->region, call_block(call, 1), &is_allocated, &err) != 0)
        return call_error(call, &err);
    return call_bool(call, is_allocated);
}

/* ---- Maps ---- */

static void pack_entry(msgpack_packer *packer, const char *key, uint64_t value)
{
    answer_pack_text(packer, key);
    msgpack_pack_uint64(packer, value);
}

static void pack_text_entry(msgpack_packer *packer, const char *key, const char *value)
{
    answer_pack_text(packer, key);
    answer_pack_text(packer, value);
}

#define MEMORY_ENTRIES 5

static void pack_memory(msgpack_packer *packer, const struct region_info *info)
{
    pack_entry(packer, "pages", info->pages);
    pack_entry(packer, "size", info->size);
    pack_entry(packer, "capacity", info->capacity);
    pack_entry(packer, "allocated", info->allocated);
    pack_entry(packer, "deallocated", info->deallocated);
}

enum outcome handle_MEMORY_INFO(struct call *call)
{
    msgpack_packer packer;
    struct region_info info = info_of(call);
    if (call->envelope.is_notification || !answer_begin(call->conn, call->envelope.msgid, &packer))
        return HANDLED;
    msgpack_pack_map(&packer, MEMORY_ENTRIES);
    pack_memory(&packer, &info);
    return HANDLED;
}

static void format_uuid(const uint8_t uuid[16], char text[37])
{
    char *at = text;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        at += sprintf(at, "%02x", uuid[i]);
    }
}

#define OPTION_ENTRIES 11

static void pack_options(msgpack_packer *packer, const struct region_options *options)
{
    pack_text_entry(packer, "durability", durability_name(options->durability));
    pack_entry(packer, "flush_interval", options->flush_interval_ms);
    pack_text_entry(packer, "fit", fit_name(options->fit));
    pack_entry(packer, "max_size", options->max_size);
    pack_entry(packer, "journal_size", options->journal_size);
    pack_text_entry(packer, "checksum", checksum_name(options->checksum));
    pack_entry(packer, "token_window", options->token_window);
    pack_entry(packer, "discard", options->discard);
    pack_entry(packer, "scrub_interval", options->scrub_interval_ms);
    pack_entry(packer, "scrub_rate", options->scrub_rate);
    pack_entry(packer, "page_cache", options->page_cache);
}

#define INSIDE_ENTRIES 15

static void pack_inside(msgpack_packer *packer, const struct region_info *info)
{
    pack_entry(packer, "free_blocks", info->free_blocks);
    pack_entry(packer, "largest_free", info->largest_free);
    pack_entry(packer, "index_memory", info->index_memory);
    pack_entry(packer, "journal_bytes", info->journal_bytes);
    pack_entry(packer, "checkpoints", info->checkpoints);
    pack_entry(packer, "commits", info->commits);
    pack_entry(packer, "recovered_records", info->recovered_records);
    pack_entry(packer, "cut_bytes", info->cut_bytes);
    pack_entry(packer, "disk_bytes", info->disk_bytes);
    pack_entry(packer, "discarded_bytes", info->discarded_bytes);
    pack_entry(packer, "tokens", info->tokens);
    pack_entry(packer, "page_cache_used", info->page_cache_used);
    pack_entry(packer, "migrated_from", info->migrated_from);
    pack_entry(packer, "uploads", info->uploads);
    pack_entry(packer, "reserved", info->reserved);
}

static void pack_flag(msgpack_packer *packer, const char *key, bool value)
{
    answer_pack_text(packer, key);
    if (value)
        msgpack_pack_true(packer);
    else
        msgpack_pack_false(packer);
}

/* Of those that are known; scrub answers more. */
#define DAMAGES_TOLD 100
#define SCRUB_ENTRIES 8

static void pack_scrub(msgpack_packer *packer, const struct region_entry *entry,
                       const struct region_info *info)
{
    struct region_scrub scrub;
    uint64_t damages[DAMAGES_TOLD];
    region_get_scrub(entry->region, &scrub);
    size_t count = region_damages(entry->region, damages, DAMAGES_TOLD);
    pack_entry(packer, "verified_percent", scrub.verified_percent);
    pack_flag(packer, "scrub_running", scrub.is_running);
    pack_entry(packer, "scrub_position", scrub.position);
    pack_entry(packer, "scrub_passes", scrub.passes);
    pack_entry(packer, "scrub_finished", scrub_finished_s(entry));
    pack_entry(packer, "scrub_pages", scrub.pages);
    pack_entry(packer, "damaged_pages", info->damaged_pages);
    answer_pack_text(packer, "damages");
    msgpack_pack_array(packer, count);
    for (size_t i = 0; i < count; i++)
        msgpack_pack_uint64(packer, damages[i]);
}

enum outcome handle_REGION_INFO(struct call *call)
{
    msgpack_packer packer;
    struct region_info info = info_of(call);
    const struct err *failure = region_failure(call->entry->region);
    char uuid[37];
    if (call->envelope.is_notification || !answer_begin(call->conn, call->envelope.msgid, &packer))
        return HANDLED;
    format_uuid(info.uuid, uuid);
    msgpack_pack_map(&packer, 4 + OPTION_ENTRIES + MEMORY_ENTRIES + INSIDE_ENTRIES + SCRUB_ENTRIES +
                                  (failure != NULL ? 2 : 1));
    pack_entry(&packer, "id", info.id);
    pack_text_entry(&packer, "name", info.name);
    pack_text_entry(&packer, "uuid", uuid);
    pack_entry(&packer, "format", info.format);
    pack_options(&packer, &info.options);
    pack_memory(&packer, &info);
    pack_inside(&packer, &info);
    pack_scrub(&packer, call->entry, &info);
    pack_flag(&packer, "read_only", info.read_only);
    if (failure != NULL)
        pack_text_entry(&packer, "failure", failure->text);
    return HANDLED;
}

/* ---- Lists of blocks ---- */

/* Blocks fetched at a stretch. */
#define STRETCH 256

typedef int (*blocks_source)(const struct region *region, uint64_t start, uint64_t end,
                             struct extent *blocks, size_t limit, size_t *ret_count,
                             struct err *err);

struct range {
    blocks_source source;
    uint64_t start;
    uint64_t end;
    uint64_t limit;
    uint64_t max_bytes; /* packed, beyond which it is of no use to go on */
};

static uint64_t packed_size(uint64_t number)
{
    return number < 128 ? 1 : number < 256 ? 2 : number < 65536 ? 3 : number >> 32 == 0 ? 5 : 9;
}

/* Goes through the blocks of the range: packs them if there is a packer, and counts their packed
 * bytes. Gives up beyond range.max_bytes: many that ask too much are not to stop the loop. */
static int walk(const struct region *region, struct range range, msgpack_packer *packer,
                uint64_t *ret_count, uint64_t *ret_bytes, struct err *err)
{
    struct extent blocks[STRETCH];
    uint64_t total = 0;
    uint64_t bytes = 5; /* the header, at most */
    size_t count;
    do {
        uint64_t left = range.limit - total;
        size_t most = left < STRETCH ? (size_t)left : STRETCH;
        int status = range.source(region, range.start, range.end, blocks, most, &count, err);
        if (status != 0)
            return status;
        for (size_t i = 0; i < count; i++) {
            bytes += 1 + packed_size(blocks[i].address) + packed_size(blocks[i].size);
            if (packer == NULL)
                continue;
            msgpack_pack_array(packer, 2);
            msgpack_pack_uint64(packer, blocks[i].address);
            msgpack_pack_uint64(packer, blocks[i].size);
        }
        total += count;
        if (count > 0)
            range.start = extent_end(blocks[count - 1]);
    } while (count == STRETCH && bytes <= range.max_bytes);
    *ret_count = total;
    *ret_bytes = bytes;
    return 0;
}

static enum outcome answer_blocks(struct call *call, struct range range)
{
    const struct region *region = call->entry->region;
    struct conn *conn = call->conn;
    struct budget *budget = &call->server->budget;
    struct err err;
    uint64_t count, bytes;
    range.max_bytes = call->server->conf.max_message - RPC_BIN_HEADER_MAX;
    if (walk(region, range, NULL, &count, &bytes, &err) != 0)
        return call_error(call, &err);
    if (bytes > range.max_bytes) {
        err_set(&err, ERR_TOO_LARGE,
                "%s: so many blocks do not fit an answer of max_message, %" PRIu64
                " bytes; ask for fewer with the option \"limit\"",
                methods[call->args.method].name, call->server->conf.max_message);
        return call_error(call, &err);
    }
    if (!budget_take(budget, conn, bytes)) {
        conn_park_memory(conn, bytes);
        return PARKED;
    }
    budget_give(budget, bytes); /* the pieces count for themselves */
    msgpack_packer packer;
    if (call->envelope.is_notification || !answer_begin(conn, call->envelope.msgid, &packer))
        return HANDLED;
    msgpack_pack_array(&packer, count);
    (void)walk(region, range, &packer, &count, &bytes, &err);
    return HANDLED;
}

static int range_options(struct call *call, struct range *range, struct err *err)
{
    struct option option;
    while (call_option(call, &option)) {
        uint64_t *number = option_is(&option, "from") ? &range->start : &range->limit;
        int status = option_uint(call, &option, number, err);
        if (status != 0)
            return status;
    }
    return 0;
}

enum outcome handle_GET_FREE_MEMORY(struct call *call)
{
    uint64_t size = region_size(call->entry->region);
    struct range range = {region_free_blocks, 0, size, UINT64_MAX, 0};
    struct err err;
    if (range_options(call, &range, &err) != 0)
        return call_error(call, &err);
    if (range.start > size)
        range.start = size; /* nothing there */
    return answer_blocks(call, range);
}

static enum outcome answer_range(struct call *call, blocks_source source)
{
    struct range range = {source, call->args.params[1].number, call->args.params[2].number,
                          UINT64_MAX, 0};
    struct err err;
    if (range_options(call, &range, &err) != 0)
        return call_error(call, &err);
    return answer_blocks(call, range);
}

enum outcome handle_ALLOCATED_BLOCKS_IN_RANGE(struct call *call)
{
    return answer_range(call, region_allocated_blocks);
}

enum outcome handle_DEALLOCATED_BLOCKS_IN_RANGE(struct call *call)
{
    return answer_range(call, region_free_blocks);
}
