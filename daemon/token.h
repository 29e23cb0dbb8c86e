/* Tokens: a change that a client asks for again is answered as before and not made twice. Loop
 * thread.
 *
 *     token_read, token_was_used    before anything else is found out about the change
 *     token_expect                  right before it is staged
 *     token_keep                    right after it was staged; token_forget when it was not */
#ifndef MREGION_DAEMON_TOKEN_H
#define MREGION_DAEMON_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "daemon/handle.h"
#include "daemon/request.h"

/* Reads the call's token if it has one; its fingerprint is the caller's to fill in.
 * ERR_INVALID_ARGUMENT. */
int token_read(struct call *call, struct call_token *ret, struct err *err);

/* Whether the call's region remembers the token, and for the same request. */
bool token_is_known(const struct call *call, const struct call_token *token);
/* Whether there is nothing left to do: the change was made already, and its answer is given or
 * waited for, or the token is refused. *ret_outcome then says what became of the call. */
bool token_was_used(struct call *call, const struct call_token *token, enum outcome *ret_outcome);
/* The same for a request that others may have overtaken while it waited; it is then answered or
 * waits for nothing but the answer. */
bool token_was_overtaken(struct request *request);

/* As region_token_expect and region_token_keep; nothing without a token. */
int token_expect(struct region *region, const struct call_token *token, uint64_t result_size,
                 struct err *err);
void token_keep(struct region *region, const struct call_token *token, const void *result,
                size_t size);
void token_forget(struct region *region, const struct call_token *token);

/* Whether so many bytes of blobs can be kept with a token; else err says what to do instead. */
bool token_keeps_blobs(enum method_id method, uint64_t size, struct err *err);

#endif
