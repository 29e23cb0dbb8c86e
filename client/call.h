/* One request: packed, submitted, its answer taken. Private to libmregion. */
#ifndef MREGION_CLIENT_CALL_H
#define MREGION_CLIENT_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/connection.h"
#include "proto/cursor.h"
#include "proto/methods.h"

#define OPTIONS_MAX 16

/* An option of a request: a word, or a number where word is NULL. */
struct option {
    const char *key;
    const char *word;
    uint64_t number;
};

/* In the place of a size that is not known: nil. */
#define NO_SIZE UINT64_MAX

/* What is asked. The method's parameter letters say which members are its parameters. */
struct request {
    enum method_id method; /* METHODS: the one called name, with packed parameters */
    const char *region;    /* R, or N */
    const char *second;    /* N, behind one of these */
    uint64_t numbers[3];   /* U and S, in order */
    const void *blob;      /* B */
    uint64_t blob_size;
    struct option options[OPTIONS_MAX];
    unsigned options_count;

    const char *name;
    const void *params; /* NULL: none */
    size_t params_size;
    bool is_batch; /* a name, region, and as the blob an array of changes that is packed whole */

    void *sink; /* where the blob that is answered goes, or NULL */
    uint64_t sink_size;

    /* Of an asynchronous one. */
    bool is_held;  /* not sent before async_release */
    bool is_bound; /* sent over the present connection or not at all */
    bool is_owed;  /* taken even where there is no room for more */
};

/* What is answered: the MessagePack of the result, nothing where it went into the sink. */
struct reply {
    uint8_t *bytes; /* small, or from malloc */
    size_t size;
    uint8_t small[PENDING_SMALL];
};

/* Hands the request over. What fails leaves no ticket behind. The request and what it points to are
 * borrowed until the answer is collected, or the pending one is freed or forgotten. */
int call_submit(struct mregion *connection, const struct request *request, int64_t deadline,
                struct pending **ret_pending, struct mregion_error *error);
/* The same for a ticket of the caller's: what may have to be sent again is copied. Besides:
 * MREGION_ERR_FULL. */
int call_submit_ticket(struct mregion *connection, const struct request *request, int64_t deadline,
                       struct pending **ret_pending, struct mregion_error *error);
/* The same for an asynchronous one: nothing is sent yet, and everything is copied but the sink. One
 * that is held is not in the queue. */
int call_start(struct mregion *connection, const struct request *request,
               struct pending **ret_pending, struct mregion_error *error);
/* The same for a request of the library's own, which is nobody's ticket and is not handed over:
 * MREGION_ERR_MEMORY only. */
int call_start_own(struct mregion *connection, const struct request *request,
                   struct pending **ret_pending, struct mregion_error *error);
/* Sends what is gathered. */
int call_flush(struct mregion *connection, int64_t deadline, struct mregion_error *error);
/* Sends [2, method, params] with the request's name and packed parameters. */
int call_notify(struct mregion *connection, const struct request *request, int64_t deadline,
                struct mregion_error *error);
/* Waits for the answer. With MREGION_ERR_TIMEOUT and MREGION_ERR_CANCELED the pending one stays;
 * otherwise it is gone. Give the reply to reply_release. */
int call_collect(struct mregion *connection, struct pending *pending, int64_t deadline,
                 struct reply *ret_reply, struct mregion_error *error);
/* Both, within the connection's timeout. */
int call(struct mregion *connection, const struct request *request, struct reply *ret_reply,
         struct mregion_error *error);

/* Takes the result out of one that is answered. */
void reply_take(struct pending *pending, struct reply *ret_reply);
void reply_release(struct reply *reply);
/* A cursor over the result. */
struct cursor reply_cursor(const struct reply *reply);
/* A result that is one number or one truth value. Takes the reply; MREGION_ERR_PROTOCOL when it is
 * of another type. */
int reply_take_scalar(struct reply *reply, enum value_type type, struct value *ret_value,
                      struct mregion_error *error);
/* MREGION_ERR_PROTOCOL: the result is not what the method promises. */
int reply_unexpected(struct mregion_error *error);

/* The calls whose results have these forms; ret may be NULL. */
int call_for_nothing(struct mregion *connection, const struct request *request,
                     struct mregion_error *error);
int call_for_uint(struct mregion *connection, const struct request *request, uint64_t *ret,
                  struct mregion_error *error);
int call_for_bool(struct mregion *connection, const struct request *request, bool *ret,
                  struct mregion_error *error);

#endif
