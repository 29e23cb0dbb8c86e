#include "client/patient.h"

#include "client/deadline.h"
#include "client/error.h"

/* How often the server is asked, unless the timeout is shorter. */
#define POLL_MS 1000

int patient_call(struct mregion *connection, const struct request *request, patient_look *look,
                 const char *what, struct reply *ret_reply, struct mregion_error *error)
{
    struct pending *pending = NULL;
    uint32_t poll_ms = connection->timeout_ms < POLL_MS ? connection->timeout_ms : POLL_MS;
    int code =
        call_submit(connection, request, deadline_after(connection->timeout_ms), &pending, error);

    if (code != MREGION_OK)
        return code;
    while ((code = call_collect(connection, pending, deadline_after(poll_ms), ret_reply, error)) ==
           MREGION_ERR_TIMEOUT) {
        mregion_ticket ticket = pending->ticket;

        code = look(connection, request->region, error);
        /* Should the connection have broken meanwhile, it has an answer all the same. */
        pending = pending_find_ticket(&connection->pending, ticket);
        if (pending == NULL)
            return error_set(error, MREGION_ERR_LOST, "the connection broke during the %s", what);
        if (code != MREGION_OK) {
            pending_forget(&connection->pending, pending);
            return code;
        }
    }
    return code;
}
