/* Passwords: from a request to a worker that hashes and back.
 *
 * Verifying one takes some 100 ms of a processor and 64 MiB of memory, both on purpose. So at most
 * two are verified at a time, on the threads that do not commit; the others wait in a queue, first
 * come first served, except that a peer of whom none is at work goes before one of whom there is,
 * and one that has failed often waits longer (peers.h). Whoever would be too many, or would wait
 * too long, is answered busy at once.
 *
 * A name that is nobody's is verified against the hash of somebody else and fails, so that it takes
 * as long. The request holds its connection, so what is sent behind it is judged by its result.
 * Passwords are wiped wherever they have been: in the message, and in the attempt when it is
 * through. Loop thread, but for the verifying itself. */
#ifndef MREGION_DAEMON_AUTHENTICATE_H
#define MREGION_DAEMON_AUTHENTICATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "daemon/handle.h"
#include "daemon/peers.h"

struct attempt;
struct request;
struct server;

/* Longer passwords are refused: no more memory than that is kept for somebody unknown. */
#define PASSWORD_MAX 1024
/* Verified at a time: each takes HASH_MEMORY_MAX_KIB. */
#define ATTEMPTS_AT_ONCE 2
/* In the queue, of all and of one peer. */
#define ATTEMPTS_MAX 256
#define ATTEMPTS_PEER_MAX 128
/* In the queue at most; a client's patience is not much longer. */
#define ATTEMPT_WAIT_MS 30000

struct authenticator {
    struct attempt *queue; /* first come first */
    unsigned queued;
    unsigned running;
    struct peers peers;
    uv_timer_t timer; /* the first of the queue that is not due yet */
    uint8_t salt[16]; /* of which decoy is whose: not to be guessed */
};

void authenticator_init(struct server *server);
/* When the loop is about to end. */
void authenticator_release(struct server *server);

/* Takes the call of authenticate up: a request answers it. Else an error, which is already counted
 * and audited. */
int authenticate_begin(struct call *call, struct err *err);
/* The connection of a request that authenticates is being closed. */
void authenticate_abandon(struct request *request);
/* The server stops: who is not due yet is not waited for. */
void authenticate_hurry(struct server *server);
/* Whether no worker verifies anything. */
bool authenticator_is_idle(const struct authenticator *authenticator);

#endif
