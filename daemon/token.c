#include "daemon/token.h"

#include <inttypes.h>
#include <string.h>

#include "core/limits.h"
#include "daemon/commit.h"
#include "daemon/conn.h"
#include "daemon/regions.h"
#include "daemon/server.h"

/* An answer that was given before. */
struct kept {
    const uint8_t *result; /* borrowed until the region is changed */
    size_t size;
    uint64_t ticket;
};

int token_read(struct call *call, struct call_token *ret, struct err *err)
{
    struct option option;
    ret->is_given = false;
    if (!call_option(call, &option))
        return 0;
    const char *method = methods[call->args.method].name;
    if (option.value.type != VALUE_STR && option.value.type != VALUE_BIN)
        return err_set(err, ERR_INVALID_ARGUMENT, "%s: option token must be 16 bytes, not %s",
                       method, value_type_name(option.value.type));
    if (option.value.raw.size != sizeof ret->id)
        return err_set(err, ERR_INVALID_ARGUMENT, "%s: option token must be 16 bytes, not %" PRIu32,
                       method, option.value.raw.size);
    memcpy(ret->id, option.value.raw.bytes, sizeof ret->id);
    ret->is_given = true;
    return 0;
}

static int find(const struct region_entry *entry, const struct call_token *token, struct kept *ret,
                struct err *err)
{
    return region_token_find(entry->region, token->id, token->fingerprint, &ret->result, &ret->size,
                             &ret->ticket, err);
}

/* The answer once more. */
static enum outcome answer(struct call *call, const struct kept *kept)
{
    struct budget *budget = &call->server->budget;
    uint64_t memory = request_memory(kept->size);
    struct err err;
    if (call->envelope.is_notification)
        return HANDLED;
    if (memory > call->server->conf.max_message) {
        err_set(&err, ERR_TOO_LARGE,
                "%s: this was done before, and its answer of %zu bytes does not fit max_message, "
                "%" PRIu64 " bytes, any more",
                methods[call->args.method].name, kept->size, call->server->conf.max_message);
        return call_error(call, &err);
    }
    if (!budget_take(budget, call->conn, memory)) {
        conn_park_memory(call->conn, memory);
        return PARKED;
    }
    struct request *request = request_new(call->conn, call->entry, call->envelope.msgid, false);
    if (request == NULL || !request_reserve(request, RESULT_PACKED, kept->size, true)) {
        if (request != NULL)
            request_free(request);
        budget_give(budget, memory);
        return call_no_memory(call);
    }
    memcpy(request_bytes(request), kept->result, kept->size);
    request->number = kept->size;
    commit_wait_earlier(request, kept->ticket);
    return HANDLED;
}

bool token_is_known(const struct call *call, const struct call_token *token)
{
    struct kept kept;
    struct err err;
    return find(call->entry, token, &kept, &err) == REGION_FOUND;
}

bool token_was_used(struct call *call, const struct call_token *token, enum outcome *ret_outcome)
{
    struct kept kept;
    struct err err;
    int code = find(call->entry, token, &kept, &err);
    if (code == 0)
        return false;
    *ret_outcome = code == REGION_FOUND ? answer(call, &kept) : call_error(call, &err);
    return true;
}

bool token_was_overtaken(struct request *request)
{
    struct kept kept;
    struct err err;
    int code = request->token.is_given ? find(request->entry, &request->token, &kept, &err) : 0;
    if (code == 0)
        return false;
    /* Its own answer, had it been the first, would have been as large. */
    if (code == REGION_FOUND && !request_reserve(request, RESULT_PACKED, kept.size, false))
        code = err_set(&err, ERR_INTERNAL, "out of memory");
    if (code != REGION_FOUND) {
        request_fail(request, &err);
        return true;
    }
    memcpy(request_bytes(request), kept.result, kept.size);
    request->number = kept.size;
    if (request->conn->held == request)
        request_release(request);
    commit_wait_earlier(request, kept.ticket);
    return true;
}

int token_expect(struct region *region, const struct call_token *token, uint64_t result_size,
                 struct err *err)
{
    return token->is_given ? region_token_expect(region, (size_t)result_size, err) : 0;
}

void token_keep(struct region *region, const struct call_token *token, const void *result,
                size_t size)
{
    if (token->is_given)
        region_token_keep(region, token->id, token->fingerprint, result, size);
}

void token_forget(struct region *region, const struct call_token *token)
{
    struct err ignored;
    if (token->is_given)
        (void)region_token_expect(region, 0, &ignored);
}

bool token_keeps_blobs(enum method_id method, uint64_t size, struct err *err)
{
    if (size <= TOKEN_RESULT_MAX)
        return true;
    err_set(err, ERR_TOO_LARGE,
            "%s: an answer with a token may have at most %" PRIu64 " bytes, not %" PRIu64
            ": load the bytes first, then deallocate with the token",
            methods[method].name, (uint64_t)TOKEN_RESULT_MAX, size);
    return false;
}
