/* Changes of a region that carry no blob, and what all changes have in common. */
#include "daemon/answer.h"
#include "daemon/commit.h"
#include "daemon/conn.h"
#include "daemon/handle.h"
#include "daemon/regions.h"
#include "daemon/server.h"

bool change_begin(struct change *change, struct call *call)
{
    change->call = call;
    change->request =
        request_new(call->conn, call->entry, call->envelope.msgid, call->envelope.is_notification);
    return change->request != NULL;
}

enum outcome change_end(struct change *change, enum result_type result, uint64_t borrowed)
{
    struct request *request = change->request;
    if (change->status == REGION_WAIT) {
        request_free(request);
        return call_park(change->call);
    }
    if (change->status != 0) {
        request_fail(request, &change->err);
        return HANDLED;
    }
    request->result = result;
    if (borrowed >= LARGE_BLOB)
        request->home = input_detach(&change->call->conn->input, change->call->size);
    commit_wait_change(request);
    return HANDLED;
}

static uint64_t number(const struct call *call, unsigned index)
{
    return call->args.params[index].number;
}

enum outcome handle_ALLOCATE(struct call *call)
{
    struct change change;
    if (!change_begin(&change, call))
        return call_no_memory(call);
    change.status =
        region_allocate(call->entry->region, number(call, 1), &change.request->number, &change.err);
    return change_end(&change, RESULT_UINT, 0);
}

enum outcome handle_DEALLOCATE(struct call *call)
{
    struct change change;
    if (!change_begin(&change, call))
        return call_no_memory(call);
    change.status = region_deallocate(call->entry->region, call_block(call, 1), &change.err);
    return change_end(&change, RESULT_NIL, 0);
}

enum outcome handle_RESIZE(struct call *call)
{
    struct change change;
    if (!change_begin(&change, call))
        return call_no_memory(call);
    change.status = region_resize(call->entry->region, call_block(call, 1), number(call, 3),
                                  &change.request->number, &change.err);
    return change_end(&change, RESULT_UINT, 0);
}

enum outcome handle_DEALLOCATE_RANGE(struct call *call)
{
    struct change change;
    if (!change_begin(&change, call))
        return call_no_memory(call);
    change.status = region_deallocate_range(call->entry->region, number(call, 1), number(call, 2),
                                            &change.request->number, &change.err);
    return change_end(&change, RESULT_UINT, 0);
}

static enum outcome clear_from(struct call *call, uint64_t header_size)
{
    struct change change;
    if (!change_begin(&change, call))
        return call_no_memory(call);
    change.status = region_clear(call->entry->region, header_size, &change.err);
    return change_end(&change, RESULT_NIL, 0);
}

enum outcome handle_CLEAR(struct call *call)
{
    return clear_from(call, 0);
}

enum outcome handle_CLEAR_AND_RETAIN_HEADER(struct call *call)
{
    return clear_from(call, number(call, 1));
}

enum outcome handle_GROW(struct call *call)
{
    struct change change;
    if (!change_begin(&change, call))
        return call_no_memory(call);
    change.status =
        region_grow(call->entry->region, number(call, 1), &change.request->number, &change.err);
    return change_end(&change, RESULT_UINT, 0);
}

enum outcome handle_CHECKPOINT(struct call *call)
{
    struct change change;
    if (!change_begin(&change, call))
        return call_no_memory(call);
    struct request *request = change.request;
    int status = region_request_checkpoint(call->entry->region, &request->ticket, &change.err);
    if (status == REGION_WAIT) {
        request_free(request);
        return call_park(call);
    }
    if (status != 0)
        request_fail(request, &change.err);
    else
        commit_wait_checkpoint(request);
    return HANDLED;
}
