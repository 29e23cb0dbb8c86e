/* Lists of blocks, page by page. */
#include <stdlib.h>
#include <string.h>

#include "client/call.h"
#include "client/error.h"

/* At most 19 bytes each: a page fits a message however small the server's max_message is. */
#define PAGE 3000

/* One [address, size]. */
static bool take_block(struct cursor *cursor, struct mregion_block *ret_block)
{
    struct value pair = cursor_next(cursor);
    struct value address, size;

    if (pair.type != VALUE_ARRAY || pair.count != 2)
        return false;
    address = cursor_next(cursor);
    size = cursor_next(cursor);
    if (address.type != VALUE_UINT || size.type != VALUE_UINT)
        return false;
    *ret_block = (struct mregion_block){.address = address.number, .size = size.number};
    return true;
}

/* Whether the block begins at *from or behind it; *from is its end then. */
static bool take_in_order(uint64_t *from, struct mregion_block block)
{
    return block.address >= *from && block.size > 0 &&
           !__builtin_add_overflow(block.address, block.size, from);
}

/* Asks for at most limit blocks in [from, end). They have to come in order: a list that goes back
 * would never come to an end. And whoever asked has room for what lies in there, and no more. */
static int fetch(struct mregion *connection, const struct request *request, uint64_t from,
                 uint64_t end, size_t limit, struct mregion_block *blocks, size_t *ret_count,
                 struct mregion_error *error)
{
    struct reply reply = {0};
    struct cursor cursor;
    struct value list;
    int code = call(connection, request, &reply, error);

    if (code != MREGION_OK)
        return code;
    cursor = reply_cursor(&reply);
    list = cursor_next(&cursor);
    if (list.type != VALUE_ARRAY || list.count > limit)
        code = reply_unexpected(error);
    for (size_t i = 0; code == MREGION_OK && i < list.count; i++)
        if (!take_block(&cursor, &blocks[i]) || !take_in_order(&from, blocks[i]) || from > end)
            code = reply_unexpected(error);
    if (code == MREGION_OK)
        *ret_count = list.count;
    reply_release(&reply);
    return code;
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Asks page by page. *from and *wanted are the request's own: where a page begins, and for how
 * many blocks it asks. */
static int fetch_pages(struct mregion *connection, const struct request *request, uint64_t *from,
                       uint64_t *wanted, uint64_t end, size_t limit, struct mregion_block *blocks,
                       size_t *ret_count, struct mregion_error *error)
{
    size_t count = 0;

    while (count < limit) {
        size_t page = min_size(limit - count, PAGE), got;
        int code;

        *wanted = page;
        code = fetch(connection, request, *from, end, page, blocks + count, &got, error);
        if (code != MREGION_OK)
            return code;
        count += got;
        if (got < page)
            break;
        *from = blocks[count - 1].address + blocks[count - 1].size;
        if (*from >= end)
            break;
    }
    *ret_count = count;
    return MREGION_OK;
}

int mregion_free_memory(struct mregion *connection, const char *region, uint64_t from, size_t limit,
                        struct mregion_block *blocks, size_t *ret_count,
                        struct mregion_error *error)
{
    struct request request = {
        .method = METHOD_GET_FREE_MEMORY,
        .region = region,
        .options = {{.key = "from", .number = from}, {.key = "limit"}},
        .options_count = 2,
    };

    return fetch_pages(connection, &request, &request.options[0].number, &request.options[1].number,
                       UINT64_MAX, limit, blocks, ret_count, error);
}

int mregion_free_memory_all(struct mregion *connection, const char *region,
                            struct mregion_block **ret_blocks, size_t *ret_count,
                            struct mregion_error *error)
{
    struct mregion_block *blocks = NULL;
    size_t count = 0, capacity = 0, got = 0;
    uint64_t from = 0;

    do {
        struct mregion_block *larger;
        int code;

        if (capacity - count < PAGE) {
            capacity = 2 * capacity + PAGE;
            larger = realloc(blocks, capacity * sizeof *blocks);
            if (larger == NULL) {
                free(blocks);
                return error_no_memory(error);
            }
            blocks = larger;
        }
        code = mregion_free_memory(connection, region, from, PAGE, blocks + count, &got, error);
        if (code != MREGION_OK) {
            free(blocks);
            return code;
        }
        count += got;
        if (got > 0)
            from = blocks[count - 1].address + blocks[count - 1].size;
    } while (got == PAGE);
    *ret_blocks = blocks;
    *ret_count = count;
    return MREGION_OK;
}

static int blocks_in_range(struct mregion *connection, enum method_id method, const char *region,
                           uint64_t start, uint64_t end, size_t limit, struct mregion_block *blocks,
                           size_t *ret_count, struct mregion_error *error)
{
    struct request request = {
        .method = method,
        .region = region,
        .numbers = {start, end},
        .options = {{.key = "limit"}},
        .options_count = 1,
    };

    return fetch_pages(connection, &request, &request.numbers[0], &request.options[0].number, end,
                       limit, blocks, ret_count, error);
}

int mregion_allocated_blocks_in_range(struct mregion *connection, const char *region,
                                      uint64_t start, uint64_t end, size_t limit,
                                      struct mregion_block *blocks, size_t *ret_count,
                                      struct mregion_error *error)
{
    return blocks_in_range(connection, METHOD_ALLOCATED_BLOCKS_IN_RANGE, region, start, end, limit,
                           blocks, ret_count, error);
}

int mregion_deallocated_blocks_in_range(struct mregion *connection, const char *region,
                                        uint64_t start, uint64_t end, size_t limit,
                                        struct mregion_block *blocks, size_t *ret_count,
                                        struct mregion_error *error)
{
    return blocks_in_range(connection, METHOD_DEALLOCATED_BLOCKS_IN_RANGE, region, start, end,
                           limit, blocks, ret_count, error);
}
