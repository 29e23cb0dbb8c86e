/* Who a connection is, and whether that user may do what it asks for.
 *
 * Without users in the configuration nothing of this is asked. With users a connection is nobody
 * until it is known: by the user or groups of the process at the other end of a Unix socket, by its
 * certificate, or by a password. Nobody may only authenticate, ask who he is, and ping.
 *
 * A region that a user may not even read is, in the same words, one that does not exist. Who has no
 * grant at all is told so instead, whatever region he names. Refusals are counted and audited.
 *
 * When the users are replaced (reload) each connection is asked anew who it is, so the next request
 * is judged by the new grants. Requests under way finish, but one whose answer is put together a
 * stretch at a time ends where its connection is nobody's any more. Loop thread. */
#ifndef MREGION_DAEMON_ACCESS_H
#define MREGION_DAEMON_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "daemon/handle.h"
#include "daemon/users.h"

struct conn;
struct region_entry;
struct server;

/* Of a connection. Start with identity_init. */
struct identity {
    const struct conf_user *user; /* of the configuration that holds now; NULL: nobody */
    enum known_by by;
    uint64_t region_id; /* the region that it named last, by its id, which is used once only: */
    enum rights rights; /* what the user may do with it */
    unsigned failures;  /* of authenticate */
};

#define NO_REGION_ID UINT64_MAX

static inline void identity_init(struct identity *identity)
{
    *identity = (struct identity){.region_id = NO_REGION_ID};
}

/* How often a connection may fail to authenticate before it is closed. */
#define ACCESS_FAILURES_MAX 6

/* What somebody who is not known may send in one message: memory is for those who are. */
#define ACCESS_MESSAGE_MAX ((uint64_t)64 * 1024)

/* The configuration that holds now has users: finds out by what they can be known, and says who
 * never can. Before the first connection, then before access_users_replaced. */
void access_begin_users(struct server *server);
/* It has just been accepted: may be known by what it came over. */
void access_identify(struct conn *conn);
/* A user's from now on. Uploads that another user has begun on it end. */
void access_set_user(struct conn *conn, const struct conf_user *user, enum known_by by);
/* The server's configuration has other users than before; old is what it was. */
void access_users_replaced(struct server *server);

/* What was found out by its old name holds no more. */
void access_region_renamed(struct server *server, const struct region_entry *entry);

/* With users only: whether the call may be made at all; whether with the region that it names,
 * which was looked for (call->entry). Else *err is what to answer. */
bool access_is_known(const struct call *call, struct err *err);
bool access_may_use(const struct call *call, struct err *err);
/* Likewise, in the middle of a request and also without users: whether its connection is still
 * known, since a reload may have come in between. */
bool access_is_still_known(const struct conn *conn, const char *method, struct err *err);
/* Whether a backup of the region, which may be there or not, is one for this connection. */
bool access_may_restore(const struct conn *conn, const char *region);
/* Likewise, and also without users, for handlers: whether a region of this name may be made;
 * whether the upload's region may still be written to. */
bool access_may_create(const struct call *call, const char *name, size_t length, struct err *err);
bool access_may_upload(const struct call *call, const struct region_entry *entry, struct err *err);
/* The same, without a word to anybody. */
bool access_may_write(struct conn *conn, const struct region_entry *entry);
/* Whether the user may administer every region that there may ever be, and so may see what others
 * do and what the server is told. */
bool access_may_administer_all(const struct call *call, struct err *err);
/* The same, in the middle of a request. */
bool access_may_still_administer_all(const struct conn *conn, const char *method, struct err *err);
/* Whether the connection may see the region. */
bool access_sees(struct conn *conn, const struct region_entry *entry);
/* Or might see one of this name. */
bool access_sees_name(const struct conn *conn, const char *name);

/* Answers a call that cannot be taken apart. */
enum outcome access_refuse_malformed(struct call *call, const struct err *err);

#endif
