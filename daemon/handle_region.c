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

#define INSIDE_ENTRIES 16

/* What has changed since the region was opened is one a change, and a moment of the clock makes it
 * another number each time that it is opened. */
static uint64_t version_of(const struct region_entry *entry, const struct region_info *info)
{
    return entry->opened_us + info->changes;
}

static void pack_inside(msgpack_packer *packer, const struct region_entry *entry,
                        const struct region_info *info)
{
    pack_entry(packer, "changes", version_of(entry, info));
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
    pack_inside(&packer, call->entry, &info);
    pack_scrub(&packer, call->entry, &info);
    pack_flag(&packer, "read_only", info.read_only);
    if (failure != NULL)
        pack_text_entry(&packer, "failure", failure->text);
    return HANDLED;
}
