#include "daemon/list.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/answer.h"
#include "daemon/commit.h"
#include "daemon/conn.h"
#include "daemon/handle.h"
#include "daemon/regions.h"
#include "daemon/server.h"
#include "proto/pack.h"

/* Blocks fetched at a time. */
#define FETCH 256
/* Blocks of a long list that are put together at a stretch: some 250 microseconds. */
#define LIST_STRETCH (4 * LIST_SHORT)
/* An array of two numbers. */
#define BLOCK_MAX (1 + 2 * PACK_UINT_MAX)

typedef int (*blocks_source)(const struct region *region, uint64_t start, uint64_t end,
                             struct extent *blocks, size_t limit, size_t *ret_count,
                             struct err *err);

struct range {
    blocks_source source;
    uint64_t start;
    uint64_t end;
    uint64_t limit;
};

/* ---- Short ones ---- */

static uint8_t *pack_block(uint8_t *to, struct extent block)
{
    return pack_uint(pack_uint(pack_array_header(to, 2), block.address), block.size);
}

/* Packs the next blocks of the range, up to FETCH, and takes them off it. *ret_end: there are no
 * more. */
static int fetch(const struct region *region, struct range *range, uint8_t **to,
                 uint64_t *ret_count, bool *ret_end, struct err *err)
{
    struct extent blocks[FETCH];
    size_t most = range->limit < FETCH ? (size_t)range->limit : FETCH, count;
    int status = range->source(region, range->start, range->end, blocks, most, &count, err);
    if (status != 0)
        return status;
    for (size_t i = 0; i < count; i++)
        *to = pack_block(*to, blocks[i]);
    if (count > 0)
        range->start = extent_end(blocks[count - 1]);
    range->limit -= count;
    *ret_count += count;
    *ret_end = count < FETCH;
    return 0;
}

/* Answers at once where there are few. */
static bool answer_short(struct call *call, struct range range)
{
    uint8_t packed[LIST_SHORT * BLOCK_MAX], *end = packed;
    uint8_t header[PACK_HEADER_MAX];
    msgpack_packer packer;
    uint64_t count = 0;
    bool at_end = false;
    struct err err;
    while (!at_end && count + FETCH <= LIST_SHORT) {
        if (fetch(call->entry->region, &range, &end, &count, &at_end, &err) != 0) {
            call_error(call, &err);
            return true;
        }
    }
    if (!at_end)
        return false;
    if (call->envelope.is_notification || !answer_begin(call->conn, call->envelope.msgid, &packer))
        return true;
    size_t length = (size_t)(pack_array_header(header, (uint32_t)count) - header);
    (void)output_pack(&call->conn->output, (const char *)header, length);
    (void)output_pack(&call->conn->output, (const char *)packed, (size_t)(end - packed));
    return true;
}

/* ---- Long ones ---- */

struct list {
    const char *method; /* its name */
    struct range range;
    uint64_t count;
    uint64_t capacity; /* of the request's piece, for blocks */
    uint8_t *end;      /* of those that are packed */
};

void list_release(struct request *request)
{
    if (request->list == NULL)
        return;
    free(request->list);
    request->list = NULL;
    request->entry->reads--;
    commit_touch(request->entry);
}

static void refuse_length(struct request *request)
{
    struct err err;
    uint64_t max_message = request->conn->server->conf.max_message;
    err_set(&err, ERR_TOO_LARGE,
            "%s: so many blocks do not fit an answer of max_message, %" PRIu64
            " bytes; ask for fewer with the option \"limit\"",
            request->list->method, max_message);
    request_fail(request, &err);
}

/* The header goes right before the blocks. */
static void finish(struct request *request)
{
    struct list *list = request->list;
    uint8_t header[PACK_HEADER_MAX];
    uint8_t *blocks = request_bytes(request) + PACK_HEADER_MAX;
    size_t length = (size_t)(pack_array_header(header, (uint32_t)list->count) - header);
    size_t size = (size_t)(list->end - blocks);
    memcpy(blocks - length, header, length);
    if (length < PACK_HEADER_MAX)
        memmove(request_bytes(request), blocks - length, length + size);
    request->number = length + size;
    request_succeed(request);
}

static void step(struct request *request)
{
    struct list *list = request->list;
    uint64_t goal = list->count + LIST_STRETCH;
    uint8_t *begin = request_bytes(request) + PACK_HEADER_MAX;
    bool at_end = false;
    struct err err;
    while (!at_end && list->count < goal) {
        if (list->capacity - (uint64_t)(list->end - begin) < (uint64_t)FETCH * BLOCK_MAX) {
            refuse_length(request);
            return;
        }
        if (fetch(request->entry->region, &list->range, &list->end, &list->count, &at_end, &err) !=
            0) {
            request_fail(request, &err);
            return;
        }
    }
    if (at_end)
        finish(request);
    else
        conn_yield(request->conn);
}

/* What the answer may take: so many blocks as there are now, and some more. */
static uint64_t most_bytes(const struct call *call, const struct range *range)
{
    struct region_info info;
    region_get_info(call->entry->region, &info);
    uint64_t blocks = info.free_blocks + info.free_blocks / 8 + 2 * FETCH;
    uint64_t most = call->server->conf.max_message - RPC_BIN_HEADER_MAX;
    if (range->limit < blocks)
        blocks = range->limit + FETCH;
    uint64_t bytes = PACK_HEADER_MAX + blocks * BLOCK_MAX;
    return bytes < most ? bytes : most;
}

static enum outcome begin_long(struct call *call, struct range range)
{
    struct conn *conn = call->conn;
    struct budget *budget = &call->server->budget;
    uint64_t bytes = most_bytes(call, &range), memory = request_memory(bytes);
    if (!budget_take(budget, conn, memory)) {
        conn_park_memory(conn, memory);
        return PARKED;
    }
    struct request *request = request_new(conn, call->entry, call->envelope.msgid, false);
    struct list *list = request == NULL ? NULL : calloc(1, sizeof *list);
    if (list == NULL || !request_reserve(request, RESULT_PACKED, bytes, true)) {
        budget_give(budget, memory);
        free(list);
        if (request != NULL)
            request_free(request);
        return call_no_memory(call);
    }
    *list = (struct list){.method = methods[call->args.method].name,
                          .range = range,
                          .capacity = bytes - PACK_HEADER_MAX,
                          .end = request_bytes(request) + PACK_HEADER_MAX};
    request->list = list;
    request->resume = step;
    call->entry->reads++; /* the region stays until it is through */
    request_move(request, REQUEST_LISTING);
    request_hold(request);
    step(request);
    return HANDLED;
}

static enum outcome answer_blocks(struct call *call, struct range range)
{
    if (answer_short(call, range) || call->envelope.is_notification)
        return HANDLED;
    return begin_long(call, range);
}

/* ---- By method ---- */

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
    struct range range = {region_free_blocks, 0, size, UINT64_MAX};
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
                          UINT64_MAX};
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
