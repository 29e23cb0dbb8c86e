/* Making a connection, step by step. Nothing here waits. Private to libmregion.
 *
 *     DOWN ──► DIALING ──► SHAKING (TLS) ──► GREETING (credentials) ──► UP
 *      ▲           └───────────┴─────────────────┴──── failed ───────────┤
 *      └─────────────────────────────────────────────────────────────────┘ */
#ifndef MREGION_CLIENT_ATTEMPT_H
#define MREGION_CLIENT_ATTEMPT_H

#include <stdint.h>

#include "client/connection.h"

/* Goes on with making the connection where there is none, as far as that goes without waiting.
 * MREGION_OK: it is there, and the queue may be sent. STEP_WAIT: see attempt_wants; what has failed
 * and may fare better is tried again after a pause, and attempt.failure says why. MREGION_ERR_LOST
 * (reconnecting is off), and what no other attempt changes: a server that is not who it should be,
 * credentials that are refused. */
int attempt_step(struct mregion *connection, struct mregion_error *error);
/* One attempt, without credentials. MREGION_OK, STEP_WAIT, or why it has failed. */
int attempt_once(struct mregion *connection, struct mregion_error *error);
/* Something new is asked: the next attempt does not wait for the pause. */
void attempt_hurry(struct mregion *connection);
/* Before the queue goes on, the server is asked for its max_message. */
int attempt_ask_info(struct mregion *connection, struct mregion_error *error);
/* There is no more time for it. Returns what the last failure was, or MREGION_ERR_CONNECT, or
 * MREGION_ERR_TIMEOUT where the server was reached and does not answer. */
int attempt_time_out(struct mregion *connection, struct mregion_error *error);
/* Gives up what is under way, if anything is. */
void attempt_end(struct mregion *connection);

/* What the next step waits for: these events of *ret_fd (-1: none), or the moment *ret_until. */
void attempt_wants(const struct mregion *connection, int *ret_fd, short *ret_events,
                   int64_t *ret_until);

#endif
