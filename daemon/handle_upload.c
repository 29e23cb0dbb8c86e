/* Blobs that come in pieces: see upload.h. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "daemon/access.h"
#include "daemon/change.h"
#include "daemon/commit.h"
#include "daemon/conn.h"
#include "daemon/fingerprint.h"
#include "daemon/handle.h"
#include "daemon/regions.h"
#include "daemon/server.h"
#include "daemon/token.h"
#include "daemon/upload.h"

/* ---- beginBlob ---- */

static int begin(struct call *call, struct region_upload **ret, struct err *err)
{
    struct region *region = call->entry->region;
    const struct rpc_param *size = &call->args.params[1];
    const struct conf *conf = &call->server->conf;
    if (call->server->uploads_count >= conf->max_uploads)
        return err_set(err, ERR_BUSY,
                       "beginBlob: %" PRIu64 " uploads are open, which is max_uploads: commit or "
                       "abort one first",
                       conf->max_uploads);
    if (!size->is_nil && size->number > 0)
        return region_upload_begin(region, size->number, ret, err);
    return region_upload_begin_open(region, 0, ret, err);
}

enum outcome handle_BEGIN_BLOB(struct call *call)
{
    const struct rpc_param *size = &call->args.params[1];
    struct region_upload *bytes = NULL;
    struct err err;
    if (call->envelope.is_notification)
        return HANDLED; /* nobody would know its handle */
    int code = begin(call, &bytes, &err);
    if (code == REGION_WAIT)
        return call_park(call);
    if (code != 0)
        return call_error(call, &err);
    struct upload *upload = upload_new(call->conn, call->entry, bytes);
    if (upload == NULL) {
        region_upload_abort(call->entry->region, bytes);
        return call_no_memory(call);
    }
    upload->is_empty = !size->is_nil && size->number == 0;
    return call_uint(call, upload->handle);
}

/* ---- For the others ---- */

static int refuse_handle(const struct call *call, struct err *err)
{
    return err_set(err, ERR_INVALID_ARGUMENT,
                   "%s: no upload %" PRIu64
                   " is open on this connection: it was committed, aborted, "
                   "not gone on with within upload_timeout, or is another connection's",
                   methods[call->args.method].name, call->args.params[0].number);
}

/* The upload that the call names. NULL: *ret_outcome says what became of the call. */
static struct upload *open_upload(struct call *call, enum outcome *ret_outcome)
{
    struct upload *upload = upload_find(call->conn, call->args.params[0].number);
    struct err err;
    bool is_abort = call->args.method == METHOD_ABORT_BLOB;
    if (upload == NULL || (!is_abort && !access_sees(call->conn, upload->entry))) {
        refuse_handle(call, &err);
        *ret_outcome = call_error(call, &err);
        return NULL;
    }
    call->entry = upload->entry;
    if (!is_abort && !access_may_upload(call, upload->entry, &err)) {
        *ret_outcome = call_error(call, &err);
        return NULL;
    }
    upload->moved_ms = now_ms();
    if (call->entry->parked == NULL || call->entry->is_retrying)
        return upload;
    *ret_outcome = call_park(call); /* nobody overtakes those who wait */
    return NULL;
}

/* The region says REGION_WAIT. For an upload that is busy nobody else has to wait: a change of
 * others is not held up by what one of them writes, or has moved. */
static enum outcome park(struct call *call, const struct upload *upload)
{
    if (!region_upload_is_busy(upload->bytes))
        return call_park(call);
    conn_park_upload(call->conn, upload);
    commit_touch(call->entry);
    return PARKED;
}

/* ---- appendBlob ---- */

/* Small pieces are not asked for: where memory is short a connection has one of them at a time. */
static bool has_room(const struct call *call, size_t size)
{
    const struct budget *budget = &call->server->budget;
    return size == 0 || size >= LARGE_BLOB || budget->used + size <= budget->limit ||
           !upload_has_appends(call->conn);
}

/* The bytes are written from where they arrived, when the message has its buffer for itself; small
 * ones are copied. False without memory. */
static bool keep_small(struct call *call, struct request *request, const uint8_t **bytes,
                       size_t size)
{
    if (size == 0 || size >= LARGE_BLOB)
        return true;
    request->home.base = malloc(size);
    if (request->home.base == NULL)
        return false;
    request->home.capacity = request->home.memory = size;
    budget_add(&call->server->budget, size);
    memcpy(request->home.base, *bytes, size);
    *bytes = request->home.base;
    return true;
}

static int append(struct upload *upload, struct request *request, const uint8_t *bytes, size_t size,
                  struct err *err)
{
    if (upload->is_empty && size > 0)
        return err_set(err, ERR_OUT_OF_BOUNDS,
                       "appendBlob: %zu bytes go beyond the upload's size, which is 0", size);
    return region_upload_append(upload->entry->region, upload->bytes, bytes, size, &request->ticket,
                                err);
}

enum outcome handle_APPEND_BLOB(struct call *call)
{
    const struct rpc_param *blob = &call->args.params[1];
    const uint8_t *bytes = blob->bytes;
    enum outcome outcome;
    struct err err;
    struct upload *upload = open_upload(call, &outcome);
    if (upload == NULL)
        return outcome;
    if (!has_room(call, blob->size)) {
        conn_park_upload(call->conn, NULL);
        return PARKED;
    }
    struct request *request =
        request_new(call->conn, call->entry, call->envelope.msgid, call->envelope.is_notification);
    if (request == NULL)
        return call_no_memory(call);
    if (!keep_small(call, request, &bytes, blob->size)) {
        request_free(request);
        return call_no_memory(call);
    }
    int code = append(upload, request, bytes, blob->size, &err);
    if (code == REGION_WAIT) {
        request_free(request);
        return park(call, upload);
    }
    if (code != 0) {
        request_fail(request, &err);
        return HANDLED;
    }
    if (blob->size >= LARGE_BLOB)
        change_give_home(call, request);
    if (request->ticket <= region_upload_written(upload->bytes))
        request_succeed(request);
    else
        upload_wait(upload, request);
    return HANDLED;
}

/* ---- commitBlob ---- */

/* Stages it with its token in the same record. */
static int commit(struct upload *upload, const struct call_token *token, uint64_t *ret_address,
                  struct err *err)
{
    struct region *region = upload->entry->region;
    uint8_t packed[PACK_UINT_MAX];
    int code = token_expect(region, token, sizeof packed, err);
    if (code == 0)
        code = region_upload_commit(region, upload->bytes, ret_address, err);
    if (code != 0) {
        token_forget(region, token);
        return code;
    }
    struct change_result result = {.type = RESULT_UINT, .number = *ret_address};
    if (token->is_given)
        token_keep(region, token, packed, change_pack(packed, &result));
    return 0;
}

static enum outcome make_commit(struct call *call, struct upload *upload,
                                const struct call_token *token)
{
    struct err err;
    struct request *request =
        request_new(call->conn, call->entry, call->envelope.msgid, call->envelope.is_notification);
    if (request == NULL)
        return call_no_memory(call);
    int code = commit(upload, token, &request->number, &err);
    if (code == REGION_WAIT) {
        request_free(request);
        return park(call, upload);
    }
    if (code != 0) {
        request_fail(request, &err);
        return HANDLED;
    }
    request->result = RESULT_UINT;
    commit_wait_change(request);
    upload_committed(upload);
    return HANDLED;
}

/* A commit that is asked for again, on a connection that does not know the upload, or any more:
 * some region may remember its token. Others may have the same of another change. */
static bool was_committed(struct call *call, const struct call_token *token,
                          enum outcome *ret_outcome)
{
    struct region_entry *entry, *next;
    struct err err;
    if (!token->is_given)
        return false;
    HASH_ITER(by_id, call->server->regions.ids, entry, next)
    {
        call->entry = entry;
        if (!access_sees(call->conn, entry) || !token_is_known(call, token))
            continue;
        if (access_may_upload(call, entry, &err))
            return token_was_used(call, token, ret_outcome);
        *ret_outcome = call_error(call, &err);
        return true;
    }
    call->entry = NULL;
    return false;
}

enum outcome handle_COMMIT_BLOB(struct call *call)
{
    struct call_token token;
    struct err err;
    enum outcome outcome;
    if (token_read(call, &token, &err) != 0)
        return call_error(call, &err);
    if (token.is_given)
        token.fingerprint = fingerprint_add(0, &call->args);
    if (upload_find(call->conn, call->args.params[0].number) == NULL &&
        was_committed(call, &token, &outcome))
        return outcome;
    struct upload *upload = open_upload(call, &outcome);
    if (upload == NULL || (token.is_given && token_was_used(call, &token, &outcome)))
        return outcome;
    return make_commit(call, upload, &token);
}

/* ---- abortBlob ---- */

enum outcome handle_ABORT_BLOB(struct call *call)
{
    enum outcome outcome;
    struct err reason;
    struct upload *upload = open_upload(call, &outcome);
    if (upload == NULL)
        return outcome;
    err_set(&reason, ERR_INVALID_ARGUMENT, "appendBlob: the upload was aborted");
    upload_abort(upload, &reason);
    return call_nil(call);
}
