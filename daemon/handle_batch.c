/* Several changes of one region, all or nothing.
 *
 * The happy path, all in one turn of the loop: the message is looked through (plan_init); the bytes
 * that removeBlobs answer are read from the cache; the changes are staged into one record; what
 * they answered is packed, and kept with the token; the request waits for its ticket like any
 * change. A change that is refused, or has to wait, undoes those before it.
 *
 * As long as nothing has been read at a worker a batch that has to wait is forgotten, and its
 * connection parked: the message is handled anew. Once bytes have to come from the disk the request
 * holds its connection and keeps the message, until the bytes are there. Then everything is asked
 * again, since others were not stopped: whether the token is new, which pieces of the blocks are in
 * use and where their bytes are. Under the pins they cannot have changed without a ticket to wait
 * for. */
#include <stdlib.h>
#include <string.h>

#include "daemon/commit.h"
#include "daemon/conn.h"
#include "daemon/fingerprint.h"
#include "daemon/handle.h"
#include "daemon/plan.h"
#include "daemon/regions.h"
#include "daemon/server.h"
#include "daemon/token.h"

enum step {
    STEP_STAGED,
    STEP_FAILED, /* err says why */
    STEP_WAITS,  /* for the region; nothing was done */
    STEP_READS,  /* bytes that are not cached */
};

/* ---- One attempt ---- */

/* Reads what removeBlobs answer. are_read: a worker has just done so. */
static enum step read_removed(struct request *request, bool are_read, struct err *err)
{
    struct region *region = request->entry->region;
    bool is_new;
    if (request->plan->removes == 0)
        return STEP_STAGED;
    int code = plan_collect(request->plan, region, request_bytes(request), &is_new, err);
    if (code != 0)
        return code == REGION_WAIT ? STEP_WAITS : STEP_FAILED;
    if (are_read && !is_new)
        return STEP_STAGED;
    return plan_read_now(request->plan, region, request_bytes(request)) ? STEP_STAGED : STEP_READS;
}

/* Stages all and packs the results. */
static enum step stage(struct request *request, struct err *err)
{
    struct region *region = request->entry->region;
    struct plan *plan = request->plan;
    const struct call_token *token = &request->token;
    uint8_t *results = plan->answers ? request_bytes(request) : NULL;
    int code = token_expect(region, token, plan->result_size, err);
    if (code == 0)
        code = plan_stage(plan, region, results, err);
    if (code != 0) {
        token_forget(region, token);
        return code == REGION_WAIT ? STEP_WAITS : STEP_FAILED;
    }
    if (plan->answers) {
        request->number = plan_pack(plan, results);
        token_keep(region, token, results, (size_t)request->number);
    }
    return STEP_STAGED;
}

static enum step attempt(struct request *request, bool are_read, struct err *err)
{
    enum step step = read_removed(request, are_read, err);
    return step == STEP_STAGED ? stage(request, err) : step;
}

static void wait_staged(struct request *request)
{
    plan_free(request->plan, &request->conn->server->budget);
    request->plan = NULL;
    if (request->conn->held == request)
        request_release(request);
    commit_wait_change(request);
}

/* ---- With the connection held ---- */

static void go_on(struct request *request, bool are_read);

static void resume(struct request *request)
{
    go_on(request, false);
}

static void on_read(struct work *work)
{
    struct request *request = request_of_work(work);
    request_read_done(request);
    if (request->conn->state == CONN_CLOSING)
        request_free(request); /* nobody is left to take the blobs: they stay */
    else if (request->err.code != ERR_OK)
        request_fail(request, &request->err);
    else
        go_on(request, true);
}

static void read_at_worker(struct request *request)
{
    request_move(request, REQUEST_HELD_READING);
    request_hold(request);
    request_read(request, on_read);
}

static void stop(struct request *request)
{
    request_move(request, REQUEST_STOPPED);
    request->resume = resume;
    request_hold(request);
    conn_park_region(request->conn, request->entry);
    commit_touch(request->entry);
}

static void go_on(struct request *request, bool are_read)
{
    struct err err;
    if (token_was_overtaken(request))
        return;
    switch (attempt(request, are_read, &err)) {
    case STEP_STAGED:
        wait_staged(request);
        break;
    case STEP_FAILED:
        request_fail(request, &err);
        break;
    case STEP_WAITS:
        stop(request);
        break;
    case STEP_READS:
        read_at_worker(request);
        break;
    }
}

/* The request outlives the message's place in the input: it takes the buffer, or copies it. */
static bool keep_message(struct call *call, struct request *request)
{
    struct input *input = &call->conn->input;
    struct budget *budget = &call->server->budget;
    struct rpc_param *changes = &request->plan->changes;
    size_t offset = (size_t)(changes->bytes - input_bytes(input));
    if (call->size > SCRATCH_SIZE) {
        request->home = input_detach(input, call->size);
    } else {
        uint8_t *base = malloc(call->size);
        if (base == NULL)
            return false;
        memcpy(base, input_bytes(input), call->size);
        budget_add(budget, call->size);
        request->home = (struct buffer){base, call->size, call->size};
    }
    changes->bytes = request->home.base + offset;
    plan_charge(request->plan, budget);
    return true;
}

/* ---- The beginning ---- */

/* How many bytes removeBlobs may answer together. */
static uint64_t read_max(const struct call *call, const struct call_token *token)
{
    uint64_t most = call->server->conf.max_message - RPC_BIN_HEADER_MAX;
    return token->is_given && most > TOKEN_RESULT_MAX ? TOKEN_RESULT_MAX : most;
}

static int check_count(const struct call *call, struct err *err)
{
    uint64_t count = call->args.params[1].number, most = call->server->conf.max_batch;
    if (count <= most)
        return 0;
    return err_set(err, ERR_INVALID_ARGUMENT,
                   "batch: %llu changes are more than max_batch, %llu: make them in several "
                   "batches, or raise max_batch",
                   (unsigned long long)count, (unsigned long long)most);
}

/* The request with room for its results. NULL: the outcome says what was done instead. */
static struct request *make_request(struct call *call, const struct plan *plan,
                                    enum outcome *ret_outcome)
{
    struct budget *budget = &call->server->budget;
    uint64_t memory = plan->answers ? request_memory(plan->result_size) : 0;
    if (!budget_take(budget, call->conn, memory)) {
        conn_park_memory(call->conn, memory);
        *ret_outcome = PARKED;
        return NULL;
    }
    struct request *request =
        request_new(call->conn, call->entry, call->envelope.msgid, call->envelope.is_notification);
    if (request != NULL) {
        request->plan = plan_new(plan);
        if (request->plan != NULL &&
            (!plan->answers || request_reserve(request, RESULT_PACKED, plan->result_size, true)))
            return request;
        request_free(request);
    }
    budget_give(budget, memory);
    *ret_outcome = call_no_memory(call);
    return NULL;
}

static enum outcome begin(struct call *call, struct request *request)
{
    struct err err;
    switch (attempt(request, false, &err)) {
    case STEP_STAGED:
        if (request->plan->is_large)
            change_give_home(call, request);
        wait_staged(request);
        return HANDLED;
    case STEP_FAILED:
        request_fail(request, &err);
        return HANDLED;
    case STEP_WAITS:
        request_free(request);
        return call_park(call);
    case STEP_READS:
        if (keep_message(call, request)) {
            read_at_worker(request);
            return HANDLED;
        }
        break;
    }
    request_free(request);
    return call_no_memory(call);
}

enum outcome handle_BATCH(struct call *call)
{
    struct call_token token;
    struct plan plan;
    struct err err;
    enum outcome outcome;
    if (token_read(call, &token, &err) != 0)
        return call_error(call, &err);
    if (!token.is_given && check_count(call, &err) != 0)
        return call_error(call, &err);
    bool answers = token.is_given || !call->envelope.is_notification;
    token.fingerprint = token.is_given ? fingerprint_add(0, &call->args) : 0;
    if (plan_init(&plan, &call->args.params[1], call->entry, answers, read_max(call, &token),
                  token.is_given ? &token.fingerprint : NULL, &err) != 0)
        return call_error(call, &err);
    if (token.is_given && token_was_used(call, &token, &outcome))
        return outcome;
    if (check_count(call, &err) != 0 ||
        (answers &&
         !call_fits(call, plan.result_size, "make the changes in several batches", &err)))
        return call_error(call, &err);
    struct request *request = make_request(call, &plan, &outcome);
    if (request == NULL)
        return outcome;
    request->token = token;
    return begin(call, request);
}
