/* Uploads without blocking. The server's number for one comes with the answer to beginBlob: what is
 * appended before waits for it, and the commit waits for the answers to all appends, since one that
 * has failed would leave a hole. */
#include <stdlib.h>
#include <string.h>

#include "client/async.h"
#include "client/error.h"
#include "client/loop.h"
#include "client/token.h"
#include "client/upload.h"
#include "core/bytes.h"
#include "proto/bigendian.h"

/* In the place of the number in a message that is packed before it is known: it has all its bytes
 * there, within so many of the message's beginning. */
#define NUMBER_UNKNOWN UINT64_MAX
#define NUMBER_WITHIN 40

/* An append or a commit whose callback has not been called. */
struct step {
    struct step *next;
    struct mregion_async_upload *upload;
    struct pending *pending;
    mregion_on_answer on_answer; /* the caller's, or NULL */
    void *data;
};

struct mregion_async_upload {
    struct mregion *connection;
    struct pending *begin; /* until it is handed over */
    struct step *first, **last;
    struct step *commit;          /* the one among them, or NULL */
    uint64_t number;              /* the server's name for it, and */
    uint64_t attempt;             /* connection->attempts, when is_begun */
    bool is_begun;                /* the server knows it */
    bool is_committed;            /* and it does not any more */
    bool is_closed;               /* by the caller: freed with the last step */
    struct mregion_error failure; /* of all that is not over; its code is MREGION_OK: none */
};

static bool is_lost(const struct mregion_async_upload *upload)
{
    const struct mregion *connection = upload->connection;

    return upload->is_begun && (connection->fd < 0 || connection->attempts != upload->attempt);
}

/* ---- Its end ---- */

/* Nothing of it goes on; the first reason is that of all. */
static void fail_all(struct mregion_async_upload *upload, enum mregion_code code, const char *text)
{
    if (upload->failure.code != MREGION_OK)
        return;
    (void)error_set(&upload->failure, code, "%s", text);
    for (struct step *step = upload->first; step != NULL; step = step->next) {
        if (step->pending->is_over)
            continue;
        if (step->pending->is_held)
            step->pending->only_reads = true; /* it was never sent: the reason says it all */
        async_give_up(upload->connection, step->pending, code, text);
    }
}

/* The same for what a step before the commit has failed of: a connection that is lost has taken the
 * upload along, and that is all. */
static void fail_before_commit(struct mregion_async_upload *upload, enum mregion_code code,
                               const char *text)
{
    fail_all(upload, code, code == MREGION_ERR_LOST ? UPLOAD_LOST : text);
}

static void abort_it(struct mregion_async_upload *upload)
{
    const struct mregion_async nobody = {.timeout_ms = MREGION_NO_TIMEOUT};
    struct request request = {.method = METHOD_ABORT_BLOB,
                              .numbers = {upload->number},
                              .is_bound = true,
                              .is_owed = true};

    if (upload->is_begun && !upload->is_committed && !is_lost(upload))
        (void)async_start(upload->connection, &request, &nobody, NULL, NULL);
}

static void free_if_over(struct mregion_async_upload *upload)
{
    if (upload->is_closed && upload->first == NULL && upload->begin == NULL)
        free(upload);
}

void mregion_async_upload_close(struct mregion_async_upload *upload)
{
    struct pending *begin;

    if (upload == NULL)
        return;
    upload->is_closed = true;
    begin = upload->begin;
    fail_all(upload, MREGION_ERR_CANCELED, "the upload was closed");
    /* One that is at the server has a number, which is needed to abort it. */
    if (begin != NULL && !begin->is_over &&
        !pending_is_in_flight(&upload->connection->pending, begin))
        async_give_up(upload->connection, begin, MREGION_ERR_CANCELED, "the upload was closed");
    else if (begin == NULL)
        abort_it(upload);
    loop_arm(upload->connection);
    free_if_over(upload);
}

/* ---- What waits ---- */

/* The commit goes when every append before it has been answered. */
static void release_commit(struct mregion_async_upload *upload)
{
    const struct step *commit = upload->commit;

    if (commit == NULL || upload->first != commit || !upload->is_begun ||
        !commit->pending->is_held || commit->pending->is_over)
        return;
    if (is_lost(upload))
        fail_all(upload, MREGION_ERR_LOST, UPLOAD_LOST);
    else
        async_release(upload->connection, commit->pending);
}

static void put_number(struct pending *pending, uint64_t number)
{
    static const uint8_t unknown[] = {0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    uint8_t *at = memmem(pending->message, min_u64(pending->message_size, NUMBER_WITHIN), unknown,
                         sizeof unknown);

    if (at != NULL)
        put_be64(at + 1, number);
}

static void on_begun(struct mregion *connection, const struct mregion_answer *answer, void *data)
{
    struct mregion_async_upload *upload = data;

    upload->begin = NULL;
    if (answer->code == MREGION_OK) {
        upload->number = answer->number;
        upload->attempt = connection->loop.attempt;
        upload->is_begun = true;
        if (is_lost(upload))
            fail_all(upload, MREGION_ERR_LOST, UPLOAD_LOST);
    } else {
        fail_before_commit(upload, answer->code, answer->text);
    }
    if (upload->is_closed)
        abort_it(upload);
    for (struct step *step = upload->first; step != NULL && upload->is_begun; step = step->next) {
        if (step->pending->is_over)
            continue;
        put_number(step->pending, upload->number);
        if (step != upload->commit)
            async_release(connection, step->pending);
    }
    release_commit(upload);
    free_if_over(upload);
}

/* ---- Steps ---- */

static void unlink_step(struct mregion_async_upload *upload, const struct step *step)
{
    struct step **link = &upload->first;

    while (*link != step)
        link = &(*link)->next;
    *link = step->next;
    if (upload->last == &step->next)
        upload->last = link;
}

/* A refusal after which the upload is what it was. */
static bool may_go_on(const struct mregion_async_upload *upload, enum mregion_code code)
{
    return (code == MREGION_ERR_INVALID_ARGUMENT || code == MREGION_ERR_NO_SPACE) &&
           !is_lost(upload);
}

static void take_commit(struct mregion_async_upload *upload, struct mregion_answer *answer,
                        struct mregion_error *reason)
{
    /* It was sent, and not given up for what another step has failed of. */
    bool is_elsewhere =
        upload->connection->loop.attempt != upload->attempt && upload->failure.code == MREGION_OK;

    upload->commit = NULL;
    if (answer->code == MREGION_OK)
        upload->is_committed = true;
    /* One that was made is found by its token, on whichever connection. */
    else if (answer->code == MREGION_ERR_INVALID_ARGUMENT && is_elsewhere)
        (void)error_set(reason, MREGION_ERR_LOST, UPLOAD_LOST);
    if (reason->code != MREGION_OK && !may_go_on(upload, reason->code))
        fail_all(upload, reason->code, reason->text);
}

static void take_append(struct mregion_async_upload *upload, struct mregion_error *reason)
{
    if (reason->code != MREGION_OK)
        fail_before_commit(upload, reason->code, reason->text);
    if (upload->failure.code != MREGION_OK)
        *reason = upload->failure;
}

/* The caller's callback comes last: it may do anything. */
static void on_step(struct mregion *connection, const struct mregion_answer *answer, void *data)
{
    struct step step = *(struct step *)data;
    struct mregion_async_upload *upload = step.upload;
    struct mregion_error reason = {.code = MREGION_OK};
    struct mregion_answer told = *answer;

    if (answer->code != MREGION_OK)
        (void)error_set(&reason, answer->code, "%s", answer->text);
    unlink_step(upload, data);
    if (upload->commit == data)
        take_commit(upload, &told, &reason);
    else
        take_append(upload, &reason);
    free(data);
    release_commit(upload);
    free_if_over(upload);
    told.code = reason.code;
    told.text = reason.code == MREGION_OK ? "" : reason.text;
    if (step.on_answer != NULL)
        step.on_answer(connection, &told, step.data);
}

static int start_step(struct mregion_async_upload *upload, const struct request *request,
                      const struct mregion_async *async, mregion_ticket *ret_ticket,
                      struct step **ret_step, struct mregion_error *error)
{
    static const struct mregion_async nobody;
    struct mregion *connection = upload->connection;
    struct step *step = malloc(sizeof *step);
    struct mregion_async own = async != NULL ? *async : nobody;
    mregion_ticket ticket;
    int code;

    if (step == NULL)
        return error_no_memory(error);
    *step = (struct step){.upload = upload, .on_answer = own.on_answer, .data = own.data};
    own.on_answer = on_step;
    own.data = step;
    code = async_start(connection, request, &own, &ticket, error);
    if (code != MREGION_OK) {
        free(step);
        return code;
    }
    step->pending = pending_find_msgid(&connection->pending, (uint32_t)ticket);
    *upload->last = step;
    upload->last = &step->next;
    *ret_step = step;
    if (ret_ticket != NULL)
        *ret_ticket = ticket;
    return MREGION_OK;
}

/* ---- For callers ---- */

int mregion_async_upload_begin(struct mregion *connection, const char *region, uint64_t size,
                               struct mregion_async_upload **ret_upload,
                               struct mregion_error *error)
{
    struct request request = {.method = METHOD_BEGIN_BLOB, .region = region, .numbers = {size}};
    struct mregion_async_upload *upload = malloc(sizeof *upload);
    struct mregion_async own = {
        .on_answer = on_begun, .data = upload, .timeout_ms = MREGION_NO_TIMEOUT};
    mregion_ticket ticket;
    int code;

    if (upload == NULL)
        return error_no_memory(error);
    *upload = (struct mregion_async_upload){.connection = connection, .last = &upload->first};
    code = async_start(connection, &request, &own, &ticket, error);
    if (code != MREGION_OK) {
        free(upload);
        return code;
    }
    upload->begin = pending_find_msgid(&connection->pending, (uint32_t)ticket);
    *ret_upload = upload;
    return MREGION_OK;
}

static int check_open(struct mregion_async_upload *upload, struct mregion_error *error)
{
    if (is_lost(upload) && !upload->is_committed && upload->commit == NULL)
        fail_all(upload, MREGION_ERR_LOST, UPLOAD_LOST);
    if (upload->failure.code != MREGION_OK)
        return error_set(error, upload->failure.code, "%s", upload->failure.text);
    if (upload->is_committed || upload->commit != NULL)
        return error_set(error, MREGION_ERR_ARGUMENT, "the upload is committed");
    return MREGION_OK;
}

int mregion_async_upload_append(struct mregion_async_upload *upload, const void *bytes,
                                uint64_t size, const struct mregion_async *async,
                                mregion_ticket *ret_ticket, struct mregion_error *error)
{
    struct request request = {.method = METHOD_APPEND_BLOB,
                              .numbers = {upload->is_begun ? upload->number : NUMBER_UNKNOWN},
                              .blob = bytes,
                              .blob_size = size,
                              .is_held = !upload->is_begun,
                              .is_bound = true};
    struct step *step;
    int code = check_open(upload, error);

    if (code == MREGION_OK)
        code = start_step(upload, &request, async, ret_ticket, &step, error);
    if (code == MREGION_OK)
        step->pending->only_reads = true; /* nothing of it is there before the commit */
    return code;
}

int mregion_async_upload_commit(struct mregion_async_upload *upload,
                                const struct mregion_async *async, mregion_ticket *ret_ticket,
                                struct mregion_error *error)
{
    struct request request = {.method = METHOD_COMMIT_BLOB,
                              .numbers = {upload->is_begun ? upload->number : NUMBER_UNKNOWN},
                              .is_held = true};
    int code = check_open(upload, error);

    if (code == MREGION_OK)
        code = start_step(upload, &request, async, ret_ticket, &upload->commit, error);
    token_drop(upload->connection);
    if (code == MREGION_OK)
        release_commit(upload);
    return code;
}
