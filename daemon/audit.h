/* The audit: one line in the log for every authentication, refusal and administrative act, whatever
 * the log's level. Each has this form, and what is not known is "-":
 *
 *     audit: user=NAME peer="WHERE FROM" act=METHOD region=NAME result=RESULT
 *
 * result is "ok" or an error's code. In names that a peer has sent everything but letters, digits
 * and a few signs is written as \xNN, so that no line can be forged.
 *
 * What peers can cause at will (failures, refusals, who comes in by the socket alone) is bounded
 * like other lines of that kind, and how many are left out is said in one that follows within a
 * second or so. Loop thread. */
#ifndef MREGION_DAEMON_AUDIT_H
#define MREGION_DAEMON_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "daemon/log.h"
#include "daemon/users.h"

struct call;
struct conn;
struct request;
struct server;

struct audit {
    struct log_limit failures; /* of authentications */
    struct log_limit refusals;
    struct log_limit known; /* by their sockets */
    struct log_limit tasks; /* checkpoints, scrubs and backups */
};

/* What an administrative act that takes a while is going to say. */
struct act;

/* The connection is a user's. */
void audit_authenticated(struct conn *conn);
/* A password was not taken; user is the name that was given with it, of so many bytes. */
void audit_not_authenticated(struct conn *conn, const char *user, size_t size, enum err_code code);

/* The call is refused because of who asks. */
void audit_refused(const struct call *call, enum err_code code);

/* The request carries out the call, which is administrative: its end is logged. */
void audit_begin(const struct call *call, struct request *request);
/* It has ended: err is NULL where it went well. */
void audit_end(struct request *request, const struct err *err);
/* It ends without an answer. Every request for which audit_begin was called ends in one of these
 * two. */
void audit_give_up(struct request *request);

/* The users have been replaced, or were not. */
void audit_reloaded(const struct server *server, enum err_code code);
/* A connection has lost its user by that. */
void audit_expelled(struct conn *conn, const char *user);

/* Says how many lines are left out, at_once or when their second is over. Whether there is more to
 * say. */
bool audit_sweep(struct server *server, bool at_once);

#endif
