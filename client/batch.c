/* Several changes as one: packed as they are appended, sent as one request. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/async.h"
#include "client/blob.h"
#include "client/call.h"
#include "client/error.h"
#include "client/request.h"
#include "client/token.h"
#include "proto/bigendian.h"

/* The array around the changes: its number of elements, 32 bits, is filled in at the commit. */
#define HEADER 5
#define HEADER_TYPE 0xdd

struct result {
    enum value_type type; /* what the change promises: VALUE_UINT, VALUE_NIL or VALUE_BIN */
    uint64_t size;        /* of the bytes */
    struct value value;   /* after the commit */
};

struct mregion_batch {
    struct mregion *connection;
    char *region;
    msgpack_sbuffer changes; /* behind the header */
    struct result *results;
    size_t count;
    size_t capacity;
    uint8_t token[MREGION_TOKEN_SIZE]; /* once it was sent */
    bool has_token;
    bool is_uncertain; /* it may have happened */
    bool is_committed;
    bool is_open;               /* an asynchronous commit is */
    struct mregion_async async; /* whose */
    struct reply reply;         /* what the results point into */
};

/* ---- Begin and end ---- */

static bool write_header(struct mregion_batch *batch)
{
    static const char header[HEADER] = {(char)HEADER_TYPE};

    return msgpack_sbuffer_write(&batch->changes, header, sizeof header) == 0;
}

int mregion_batch_begin(struct mregion *connection, const char *region,
                        struct mregion_batch **ret_batch, struct mregion_error *error)
{
    struct request request = {.method = METHODS, .region = region, .is_batch = true};
    struct mregion_batch *batch;
    int code = request_check(&request, error);

    if (code != MREGION_OK)
        return code;
    batch = calloc(1, sizeof *batch);
    if (batch == NULL)
        return error_no_memory(error);
    batch->connection = connection;
    batch->region = strdup(region);
    msgpack_sbuffer_init(&batch->changes);
    if (batch->region == NULL || !write_header(batch)) {
        mregion_batch_close(batch);
        return error_no_memory(error);
    }
    *ret_batch = batch;
    return MREGION_OK;
}

void mregion_batch_abort(struct mregion_batch *batch)
{
    /* A batch that was committed has given its changes' memory back. */
    batch->changes.size = batch->changes.data != NULL ? HEADER : 0;
    batch->count = 0;
    batch->has_token = false;
    batch->is_uncertain = false;
    batch->is_committed = false;
    reply_release(&batch->reply);
}

void mregion_batch_close(struct mregion_batch *batch)
{
    if (batch == NULL)
        return;
    reply_release(&batch->reply);
    msgpack_sbuffer_destroy(&batch->changes);
    free(batch->results);
    free(batch->region);
    free(batch);
}

/* ---- Appending ---- */

static int check_open(const struct mregion_batch *batch, struct mregion_error *error)
{
    if (batch->is_committed)
        return error_set(error, MREGION_ERR_ARGUMENT,
                         "the batch has been committed: abort it to begin anew");
    if (batch->is_open)
        return error_set(error, MREGION_ERR_ARGUMENT, "the batch is being committed");
    return MREGION_OK;
}

static bool reserve_result(struct mregion_batch *batch)
{
    size_t capacity = batch->capacity == 0 ? 16 : 2 * batch->capacity;
    struct result *results;

    if (batch->count < batch->capacity)
        return true;
    results = realloc(batch->results, capacity * sizeof *results);
    if (results == NULL)
        return false;
    batch->results = results;
    batch->capacity = capacity;
    return true;
}

static enum value_type result_type(enum method_id method)
{
    if (strcmp(methods[method].result, "bin") == 0)
        return VALUE_BIN;
    return strcmp(methods[method].result, "nil") == 0 ? VALUE_NIL : VALUE_UINT;
}

/* Without the region, which is the batch's. */
static bool pack(struct mregion_batch *batch, const struct request *change)
{
    msgpack_sbuffer *buffer = &batch->changes;

    return (buffer->size > 0 || write_header(batch)) && request_pack_change(change, buffer) &&
           (change->blob_size == 0 ||
            msgpack_sbuffer_write(buffer, change->blob, (size_t)change->blob_size) == 0);
}

static int append(struct mregion_batch *batch, struct request change, size_t *ret_index,
                  struct mregion_error *error)
{
    size_t before = batch->changes.size;
    int code = check_open(batch, error);

    if (code == MREGION_OK && batch->is_uncertain)
        code = error_set(error, MREGION_ERR_ARGUMENT,
                         "the batch may have been committed: commit it again as it is");
    change.region = batch->region;
    if (code == MREGION_OK)
        code = request_check(&change, error);
    if (code != MREGION_OK)
        return code;
    if (!reserve_result(batch) || !pack(batch, &change)) {
        batch->changes.size = before;
        return error_no_memory(error);
    }
    batch->results[batch->count] = (struct result){
        .type = result_type(change.method),
        .size = change.method == METHOD_REMOVE_BLOB ? change.numbers[1] : 0,
    };
    /* What was refused is another batch now. */
    batch->has_token = false;
    if (ret_index != NULL)
        *ret_index = batch->count;
    batch->count++;
    return MREGION_OK;
}

int mregion_batch_add(struct mregion_batch *batch, const void *bytes, uint64_t size,
                      size_t *ret_index, struct mregion_error *error)
{
    return append(batch, blob_add_request(NULL, bytes, size), ret_index, error);
}

int mregion_batch_store(struct mregion_batch *batch, uint64_t address, const void *bytes,
                        uint64_t size, size_t *ret_index, struct mregion_error *error)
{
    return append(batch, blob_store_request(NULL, address, bytes, size), ret_index, error);
}

int mregion_batch_replace(struct mregion_batch *batch, uint64_t address, uint64_t size,
                          const void *bytes, uint64_t new_size, size_t *ret_index,
                          struct mregion_error *error)
{
    struct request change = {.method = METHOD_REPLACE_BLOB,
                             .numbers = {address, size},
                             .blob = bytes,
                             .blob_size = new_size};

    return append(batch, change, ret_index, error);
}

/* A change that has numbers alone. */
static int append_numbers(struct mregion_batch *batch, enum method_id method, uint64_t first,
                          uint64_t second, uint64_t third, size_t *ret_index,
                          struct mregion_error *error)
{
    struct request change = {.method = method, .numbers = {first, second, third}};

    return append(batch, change, ret_index, error);
}

int mregion_batch_remove(struct mregion_batch *batch, uint64_t address, uint64_t size,
                         size_t *ret_index, struct mregion_error *error)
{
    return append_numbers(batch, METHOD_REMOVE_BLOB, address, size, 0, ret_index, error);
}

int mregion_batch_allocate(struct mregion_batch *batch, uint64_t size, size_t *ret_index,
                           struct mregion_error *error)
{
    return append_numbers(batch, METHOD_ALLOCATE, size, 0, 0, ret_index, error);
}

int mregion_batch_deallocate(struct mregion_batch *batch, uint64_t address, uint64_t size,
                             size_t *ret_index, struct mregion_error *error)
{
    return append_numbers(batch, METHOD_DEALLOCATE, address, size, 0, ret_index, error);
}

int mregion_batch_resize(struct mregion_batch *batch, uint64_t address, uint64_t size,
                         uint64_t new_size, size_t *ret_index, struct mregion_error *error)
{
    return append_numbers(batch, METHOD_RESIZE, address, size, new_size, ret_index, error);
}

int mregion_batch_deallocate_range(struct mregion_batch *batch, uint64_t start, uint64_t end,
                                   size_t *ret_index, struct mregion_error *error)
{
    return append_numbers(batch, METHOD_DEALLOCATE_RANGE, start, end, 0, ret_index, error);
}

int mregion_batch_clear(struct mregion_batch *batch, size_t *ret_index, struct mregion_error *error)
{
    return append_numbers(batch, METHOD_CLEAR, 0, 0, 0, ret_index, error);
}

int mregion_batch_clear_and_retain_header(struct mregion_batch *batch, uint64_t header_size,
                                          size_t *ret_index, struct mregion_error *error)
{
    return append_numbers(batch, METHOD_CLEAR_AND_RETAIN_HEADER, header_size, 0, 0, ret_index,
                          error);
}

int mregion_batch_grow(struct mregion_batch *batch, uint64_t pages, size_t *ret_index,
                       struct mregion_error *error)
{
    return append_numbers(batch, METHOD_GROW, pages, 0, 0, ret_index, error);
}

/* ---- Commit ---- */

/* Whether a result is what its change promises. */
static bool take_result(struct cursor *cursor, struct result *result)
{
    struct value value = cursor_next(cursor);

    if (value.type == VALUE_STR)
        value.type = VALUE_BIN;
    result->value = value;
    return value.type == result->type &&
           (value.type != VALUE_BIN || value.raw.size == result->size);
}

static int take_results(struct mregion_batch *batch, struct mregion_error *error)
{
    struct cursor cursor = reply_cursor(&batch->reply);
    struct value list = cursor_next(&cursor);

    if (list.type != VALUE_ARRAY || list.count != batch->count)
        return reply_unexpected(error);
    for (size_t i = 0; i < batch->count; i++)
        if (!take_result(&cursor, &batch->results[i]))
            return reply_unexpected(error);
    return MREGION_OK;
}

/* "change INDEX (METHOD): ...", as the server begins its sentence. */
static size_t failed_index(const struct mregion_batch *batch, const struct mregion_error *error)
{
    unsigned long long index;
    char parenthesis;

    if (sscanf(error->text, "change %llu %c", &index, &parenthesis) == 2 && parenthesis == '(' &&
        index < batch->count)
        return (size_t)index;
    return SIZE_MAX;
}

/* The same token at every commit: the caller's own, or one that is made now. */
static int set_token(struct mregion_batch *batch, struct mregion_error *error)
{
    struct mregion *connection = batch->connection;
    int code = MREGION_OK;

    if (connection->has_no_tokens)
        return MREGION_OK;
    if (!batch->has_token)
        code = token_take(connection, batch->token, error);
    if (code == MREGION_OK) {
        batch->has_token = true;
        mregion_set_token(connection, batch->token);
    }
    return code;
}

static struct request request_of(const struct mregion_batch *batch)
{
    return (struct request){.method = METHODS,
                            .name = "batch",
                            .region = batch->region,
                            .blob = batch->changes.data,
                            .blob_size = batch->changes.size,
                            .is_batch = true};
}

static int send_batch(struct mregion_batch *batch, struct mregion_error *error)
{
    struct request request = request_of(batch);
    uint64_t max;
    int code = blob_message_max(batch->connection, request.blob_size, &max, error);

    if (code == MREGION_OK && request.blob_size > max)
        code = error_set(error, MREGION_ERR_ARGUMENT,
                         "a batch of %llu bytes does not fit one message, which holds %llu",
                         (unsigned long long)request.blob_size, (unsigned long long)max);
    if (code == MREGION_OK)
        code = set_token(batch, error);
    if (code == MREGION_OK)
        code = call(batch->connection, &request, &batch->reply, error);
    return code;
}

/* The array around the changes is complete. */
static int close_array(struct mregion_batch *batch, struct mregion_error *error)
{
    int code = check_open(batch, error);

    if (code == MREGION_OK && batch->changes.size == 0 && !write_header(batch))
        code = error_no_memory(error);
    if (code == MREGION_OK)
        put_be32((uint8_t *)batch->changes.data + 1, (uint32_t)batch->count);
    return code;
}

/* Whether code refuses the changes themselves: had they been made before, the token would have
 * given their results. Anything else the server, or nobody, says about this commit alone. */
static bool is_refusal(int code)
{
    switch (code) {
    case MREGION_ERR_INVALID_ARGUMENT:
    case MREGION_ERR_OUT_OF_BOUNDS:
    case MREGION_ERR_NOT_ALLOCATED:
    case MREGION_ERR_PARTLY_FREE:
    case MREGION_ERR_NO_SPACE:
    case MREGION_ERR_TOO_LARGE:
        return true;
    default:
        return false;
    }
}

/* It has been answered, with the reply where code is MREGION_OK. */
static int end_commit(struct mregion_batch *batch, int code, struct mregion_error *error)
{
    if (code == MREGION_OK && (code = take_results(batch, error)) != MREGION_OK)
        reply_release(&batch->reply);
    if ((code >= MREGION_ERR_TIMEOUT && code < MREGION_ERR_ARGUMENT) ||
        code == MREGION_ERR_CANCELED)
        batch->is_uncertain = true;
    else if (code == MREGION_OK || is_refusal(code))
        batch->is_uncertain = false;
    if (code == MREGION_OK) {
        batch->is_committed = true;
        msgpack_sbuffer_destroy(&batch->changes);
        msgpack_sbuffer_init(&batch->changes);
    }
    return code;
}

int mregion_batch_commit(struct mregion_batch *batch, size_t *ret_failed,
                         struct mregion_error *error)
{
    struct mregion_error reason;
    int code = close_array(batch, &reason);

    if (code == MREGION_OK)
        code = send_batch(batch, &reason);
    token_drop(batch->connection);
    code = end_commit(batch, code, &reason);
    if (code == MREGION_OK)
        return code;
    if (ret_failed != NULL)
        *ret_failed = failed_index(batch, &reason);
    return error_set(error, reason.code, "%s", reason.text);
}

/* The results are the batch's, and so in its memory. */
static int copy_reply(struct mregion_batch *batch, const struct mregion_answer *answer,
                      struct mregion_error *error)
{
    uint8_t *bytes = malloc(answer->result_size + 1);

    if (bytes == NULL)
        return error_no_memory(error);
    memcpy(bytes, answer->result, answer->result_size);
    batch->reply = (struct reply){.bytes = bytes, .size = answer->result_size};
    return MREGION_OK;
}

static void on_committed(struct mregion *connection, const struct mregion_answer *answer,
                         void *data)
{
    struct mregion_batch *batch = data;
    struct mregion_answer own = *answer;
    struct mregion_error reason;
    int code = answer->code;

    if (code == MREGION_OK)
        code = copy_reply(batch, answer, &reason);
    batch->is_open = false;
    code = end_commit(batch, code, &reason);
    if (code != MREGION_OK && answer->code == MREGION_OK)
        own = (struct mregion_answer){
            .ticket = answer->ticket, .code = (enum mregion_code)code, .text = reason.text};
    if (batch->async.on_answer != NULL)
        batch->async.on_answer(connection, &own, batch->async.data);
}

int mregion_async_commit(struct mregion_batch *batch, const struct mregion_async *async,
                         mregion_ticket *ret_ticket, struct mregion_error *error)
{
    struct mregion_async own = {.on_answer = on_committed, .data = batch};
    struct request request;
    int code = close_array(batch, error);

    if (async != NULL)
        own.timeout_ms = async->timeout_ms;
    if (code == MREGION_OK)
        code = set_token(batch, error);
    request = request_of(batch);
    if (code == MREGION_OK)
        code = async_start(batch->connection, &request, &own, ret_ticket, error);
    token_drop(batch->connection);
    if (code == MREGION_OK) {
        batch->is_open = true;
        batch->async = async != NULL ? *async : (struct mregion_async){0};
    }
    return code;
}

/* ---- Results ---- */

static int find(const struct mregion_batch *batch, size_t index, enum value_type type,
                const struct value **ret_value, struct mregion_error *error)
{
    if (!batch->is_committed)
        return error_set(error, MREGION_ERR_ARGUMENT, "the batch has not been committed");
    if (index >= batch->count)
        return error_set(error, MREGION_ERR_ARGUMENT,
                         "the batch has %zu changes, and no change %zu", batch->count, index);
    if (batch->results[index].type != type)
        return error_set(error, MREGION_ERR_ARGUMENT, "the result of change %zu is not %s", index,
                         value_type_name(type));
    *ret_value = &batch->results[index].value;
    return MREGION_OK;
}

int mregion_batch_uint(const struct mregion_batch *batch, size_t index, uint64_t *ret_number,
                       struct mregion_error *error)
{
    const struct value *value = NULL;
    int code = find(batch, index, VALUE_UINT, &value, error);

    if (code == MREGION_OK)
        *ret_number = value->number;
    return code;
}

int mregion_batch_blob(const struct mregion_batch *batch, size_t index, const void **ret_bytes,
                       uint64_t *ret_size, struct mregion_error *error)
{
    const struct value *value = NULL;
    int code = find(batch, index, VALUE_BIN, &value, error);

    if (code == MREGION_OK) {
        *ret_bytes = value->raw.bytes;
        *ret_size = value->raw.size;
    }
    return code;
}
