/* Changes of a region. All but removeBlob and batch go one way, with a token or without. */
#include "daemon/audit.h"
#include "daemon/change.h"
#include "daemon/commit.h"
#include "daemon/conn.h"
#include "daemon/fingerprint.h"
#include "daemon/handle.h"
#include "daemon/regions.h"
#include "daemon/server.h"
#include "daemon/token.h"

/* ---- With a token or without ---- */

/* Stages it with its token in the same record. */
static int stage(struct call *call, const struct call_token *token, struct change_result *result,
                 struct err *err)
{
    struct region *region = call->entry->region;
    uint8_t packed[PACK_UINT_MAX];
    int code = token_expect(region, token, sizeof packed, err);
    if (code == 0)
        code = change_stage(region, &call->args, result, err);
    if (code != 0) {
        token_forget(region, token);
        return code;
    }
    if (token->is_given)
        token_keep(region, token, packed, change_pack(packed, result));
    return 0;
}

/* The region borrows a large blob in its buffer, which holds the message and nothing else. */
void change_give_home(struct call *call, struct request *request)
{
    request->home = input_detach(&call->conn->input, call->size);
}

static enum outcome make_change(struct call *call, const struct call_token *token)
{
    struct change_result result;
    struct err err;
    struct request *request =
        request_new(call->conn, call->entry, call->envelope.msgid, call->envelope.is_notification);
    if (request == NULL)
        return call_no_memory(call);
    int code = stage(call, token, &result, &err);
    if (code == REGION_WAIT) {
        request_free(request);
        return call_park(call);
    }
    if (code != 0) {
        request_fail(request, &err);
        return HANDLED;
    }
    request->result = result.type;
    request->number = result.number;
    if (change_blob_size(&call->args) >= LARGE_BLOB)
        change_give_home(call, request);
    commit_wait_change(request);
    return HANDLED;
}

enum outcome handle_change(struct call *call)
{
    struct call_token token;
    struct err err;
    enum outcome outcome;
    if (token_read(call, &token, &err) != 0)
        return call_error(call, &err);
    if (token.is_given) {
        token.fingerprint = fingerprint_add(0, &call->args);
        if (token_was_used(call, &token, &outcome))
            return outcome;
    }
    return make_change(call, &token);
}

/* ---- By method ---- */

enum outcome handle_ALLOCATE(struct call *call)
{
    return handle_change(call);
}

enum outcome handle_DEALLOCATE(struct call *call)
{
    return handle_change(call);
}

enum outcome handle_RESIZE(struct call *call)
{
    return handle_change(call);
}

enum outcome handle_ADD_BLOB(struct call *call)
{
    return handle_change(call);
}

enum outcome handle_STORE_BLOB(struct call *call)
{
    return handle_change(call);
}

enum outcome handle_REPLACE_BLOB(struct call *call)
{
    return handle_change(call);
}

enum outcome handle_DEALLOCATE_RANGE(struct call *call)
{
    return handle_change(call);
}

enum outcome handle_CLEAR(struct call *call)
{
    return handle_change(call);
}

enum outcome handle_CLEAR_AND_RETAIN_HEADER(struct call *call)
{
    return handle_change(call);
}

enum outcome handle_GROW(struct call *call)
{
    return handle_change(call);
}

/* ---- No change, but waited for like one ---- */

enum outcome handle_CHECKPOINT(struct call *call)
{
    struct err err;
    struct request *request =
        request_new(call->conn, call->entry, call->envelope.msgid, call->envelope.is_notification);
    if (request == NULL)
        return call_no_memory(call);
    int status = region_request_checkpoint(call->entry->region, &request->ticket, &err);
    if (status == REGION_WAIT) {
        request_free(request);
        return call_park(call);
    }
    audit_begin(call, request);
    if (status != 0)
        request_fail(request, &err);
    else
        commit_wait_checkpoint(request);
    return HANDLED;
}
