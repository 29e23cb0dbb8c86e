#include "daemon/access.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "daemon/audit.h"
#include "daemon/conn.h"
#include "daemon/privileges.h"
#include "daemon/regions.h"
#include "daemon/server.h"
#include "daemon/upload.h"

/* ---- Who it is ---- */

/* Groups of a process that are looked at; few have more than a dozen. */
#define GROUPS_MAX 256

static bool asks_certificates(const struct server *server)
{
    const struct listener *listener = server->listeners;
    while (listener != NULL && !listener->is_tls)
        listener = listener->next;
    return listener != NULL && server->conf.tls.clients != TLS_CLIENTS_NONE;
}

void access_begin_users(struct server *server)
{
    struct users_means *means = &server->means;
    means->certificates = asks_certificates(server);
    means->uid = geteuid();
    means->gid = getegid();
    users_warn(&server->conf, means);
    for (size_t i = 0; i < server->conf.users_count; i++) {
        if (server->conf.users[i].password_hash == NULL)
            continue;
        privileges_hide_memory();
        break;
    }
}

/* By whom the process at the other end of a Unix socket was run when it connected. */
static const struct conf_user *find_process(const struct conn *conn, enum known_by *ret_by)
{
    const struct users_means *means = &conn->server->means;
    struct ucred peer;
    gid_t groups[GROUPS_MAX];
    socklen_t size = sizeof peer, groups_size = sizeof groups;
    int fd;
    *ret_by = KNOWN_NOT;
    if (!conn->is_unix || uv_fileno((const uv_handle_t *)&conn->handle.stream, &fd) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
        return NULL;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &groups_size) != 0)
        groups_size = 0;
    size_t count = groups_size / sizeof groups[0];
    for (size_t i = 0; i < count; i++)
        groups[i] = users_gid(means, groups[i]);
    return users_find_process(&conn->server->conf, users_uid(means, peer.uid),
                              users_gid(means, peer.gid), groups, count, ret_by);
}

static const struct conf_user *find_by_connection(const struct conn *conn, enum known_by *ret_by)
{
    const char *subject = conn_certificate_subject(conn);
    const struct conf_user *user = NULL;
    if (subject != NULL)
        user = users_find_certificate(&conn->server->conf, subject);
    if (user == NULL)
        return find_process(conn, ret_by);
    *ret_by = KNOWN_BY_CERTIFICATE;
    return user;
}

static bool is_same(const struct conf_user *a, const struct conf_user *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a->name, b->name) == 0);
}

static void end_uploads(struct conn *conn)
{
    struct upload *upload, *next;
    struct err reason;
    err_set(&reason, ERR_DENIED, "the connection is another user's than when the upload was begun");
    DL_FOREACH_SAFE2(conn->uploads, upload, next, conn_next)
    upload_abort(upload, &reason);
}

void access_set_user(struct conn *conn, const struct conf_user *user, enum known_by by)
{
    struct identity *identity = &conn->identity;
    if (identity->user != NULL && !is_same(identity->user, user))
        end_uploads(conn);
    identity->user = user;
    identity->by = user != NULL ? by : KNOWN_NOT;
    identity->region_id = NO_REGION_ID;
}

void access_identify(struct conn *conn)
{
    enum known_by by;
    if (conn->server->conf.users_count == 0)
        return;
    const struct conf_user *user = find_by_connection(conn, &by);
    if (user == NULL)
        return;
    access_set_user(conn, user, by);
    conn->server->authentications++;
    audit_authenticated(conn);
}

/* Whom a password has made somebody stays who he is as long as there is a user of that name. Who is
 * known by the connection itself is asked again, since a uid may be another user's now. */
static void identify_again(struct conn *conn)
{
    const struct conf *conf = &conn->server->conf;
    struct identity *identity = &conn->identity;
    char before[USER_NAME_MAX + 1] = "";
    const struct conf_user *user = NULL;
    enum known_by by = identity->by;
    if (identity->user != NULL)
        memcpy(before, identity->user->name, sizeof before);
    if (by == KNOWN_BY_PASSWORD)
        user = users_find(conf, before, strlen(before));
    if (user == NULL && conf->users_count > 0)
        user = find_by_connection(conn, &by);
    if (before[0] != '\0' && (user == NULL || strcmp(user->name, before) != 0)) {
        end_uploads(conn);
        audit_expelled(conn, before);
    }
    identity->user = NULL; /* of the users that are about to go: nobody is to look at it */
    access_set_user(conn, user, by);
}

void access_users_replaced(struct server *server)
{
    for (struct conn *conn = server->conns; conn != NULL; conn = conn->next)
        identify_again(conn);
}

/* ---- What he may do ---- */

static bool refuse(const struct call *call, enum err_code audited)
{
    call->server->refusals++;
    audit_refused(call, audited);
    return false;
}

static const char *method_of(const struct call *call)
{
    return methods[call->args.method].name;
}

/* What to do next is another thing where no password would be taken. */
static void say_unknown(const struct conn *conn, const char *method, struct err *err)
{
    err_set(err, ERR_UNAUTHENTICATED, "%s: this connection is not known as a user's yet: %s",
            method,
            conn_is_private(conn)
                ? "call authenticate(user, password) first (mrcli: --user NAME)"
                : "connect over TLS, where passwords are taken, or from the server's machine");
}

bool access_is_known(const struct call *call, struct err *err)
{
    enum method_access access = methods[call->args.method].access;
    if (call->conn->identity.user != NULL || access == METHOD_OPEN || access == METHOD_LOGIN)
        return true;
    say_unknown(call->conn, method_of(call), err);
    return refuse(call, ERR_UNAUTHENTICATED);
}

bool access_is_still_known(const struct conn *conn, const char *method, struct err *err)
{
    if (conn->server->conf.users_count == 0 || conn->identity.user != NULL)
        return true;
    say_unknown(conn, method, err);
    return false;
}

static enum rights rights_on(struct conn *conn, const struct region_entry *entry)
{
    struct identity *identity = &conn->identity;
    if (identity->region_id != entry->id) {
        identity->region_id = entry->id;
        identity->rights = users_rights(identity->user, entry->name, entry->name_length);
    }
    return identity->rights;
}

static enum rights rights_needed(enum method_access access)
{
    switch (access) {
    case METHOD_READ:
        return RIGHTS_READ;
    case METHOD_WRITE:
    case METHOD_UPLOAD:
        return RIGHTS_WRITE;
    default:
        return RIGHTS_ADMIN;
    }
}

static bool refuse_without_grants(const struct call *call, struct err *err)
{
    err_set(err, ERR_DENIED,
            "%s: user %s has no grants, and so no region: add grants for it in the server's "
            "configuration, and reload that",
            method_of(call), call->conn->identity.user->name);
    return refuse(call, ERR_DENIED);
}

static bool refuse_missing(const struct call *call, const char *region, enum rights needed,
                           struct err *err)
{
    err_set(err, ERR_DENIED,
            "%s: user %s may not do this to region %.*s: that takes a grant of %s for it in the "
            "server's configuration",
            method_of(call), call->conn->identity.user->name, REGION_NAME_MAX, region,
            rights_name(needed));
    return refuse(call, ERR_DENIED);
}

static bool is_everything(const char *pattern)
{
    return pattern[0] == '*' && pattern[strspn(pattern, "*")] == '\0';
}

/* Whether one grant is for all regions, and of that much. */
static bool has_all(const struct conf_user *user, enum access least)
{
    for (size_t i = 0; i < user->grants_count; i++)
        if (user->grants[i].access >= least && is_everything(user->grants[i].regions))
            return true;
    return false;
}

/* Whether the user would see a region that is called that. */
static bool may_be_seen(const struct conf_user *user, const struct rpc_param *region)
{
    if (region->bytes != NULL)
        return users_rights(user, (const char *)region->bytes, region->size) > RIGHTS_NONE;
    return has_all(user, ACCESS_READ);
}

bool access_may_use(const struct call *call, struct err *err)
{
    const struct conf_user *user = call->conn->identity.user;
    enum rights needed = rights_needed(methods[call->args.method].access), rights;
    if (user->grants_count == 0)
        return refuse_without_grants(call, err);
    if (call->entry == NULL) /* which is answered already; but it counts as what is hidden does */
        return may_be_seen(user, &call->args.params[0]) || refuse(call, ERR_DENIED);
    rights = rights_on(call->conn, call->entry);
    if (rights >= needed)
        return true;
    if (rights > RIGHTS_NONE)
        return refuse_missing(call, call->entry->name, needed, err);
    regions_say_missing(&call->args.params[0], err);
    return refuse(call, ERR_DENIED);
}

bool access_may_create(const struct call *call, const char *name, size_t length, struct err *err)
{
    const struct conf_user *user = call->conn->identity.user;
    char region[REGION_NAME_MAX + 1] = "";
    if (call->server->conf.users_count == 0)
        return true;
    if (user->grants_count == 0)
        return refuse_without_grants(call, err);
    if (users_rights(user, name, length) >= RIGHTS_ADMIN)
        return true;
    memcpy(region, name, length);
    return refuse_missing(call, region, RIGHTS_ADMIN, err);
}

bool access_may_still_administer_all(const struct conn *conn, const char *method, struct err *err)
{
    const struct conf_user *user = conn->identity.user;
    if (!access_is_still_known(conn, method, err))
        return false;
    if (conn->server->conf.users_count == 0 || has_all(user, ACCESS_ADMIN))
        return true;
    err_set(err, ERR_DENIED,
            "%s: user %s may not do this: that takes a grant of admin for all regions, \"*\", in "
            "the server's configuration",
            method, user->name);
    return false;
}

bool access_may_administer_all(const struct call *call, struct err *err)
{
    return access_may_still_administer_all(call->conn, method_of(call), err) ||
           refuse(call, ERR_DENIED);
}

bool access_may_restore(const struct conn *conn, const char *region)
{
    const struct conf_user *user = conn->identity.user;
    if (conn->server->conf.users_count == 0)
        return true;
    /* Of one that is gone nobody keeps its user up to date. */
    return conn_takes_answers(conn) && user != NULL &&
           users_rights(user, region, strlen(region)) >= RIGHTS_ADMIN;
}

bool access_may_write(struct conn *conn, const struct region_entry *entry)
{
    return conn->server->conf.users_count == 0 ||
           (conn->identity.user != NULL && rights_on(conn, entry) >= RIGHTS_WRITE);
}

bool access_may_upload(const struct call *call, const struct region_entry *entry, struct err *err)
{
    return access_may_write(call->conn, entry) ||
           refuse_missing(call, entry->name, RIGHTS_WRITE, err);
}

bool access_sees(struct conn *conn, const struct region_entry *entry)
{
    return conn->server->conf.users_count == 0 ||
           (conn->identity.user != NULL && rights_on(conn, entry) >= RIGHTS_READ);
}

bool access_sees_name(const struct conn *conn, const char *name)
{
    return conn->server->conf.users_count == 0 ||
           (conn->identity.user != NULL &&
            users_rights(conn->identity.user, name, strlen(name)) >= RIGHTS_READ);
}

void access_region_renamed(struct server *server, const struct region_entry *entry)
{
    for (struct conn *conn = server->conns; conn != NULL; conn = conn->next)
        if (conn->identity.region_id == entry->id)
            conn->identity.region_id = NO_REGION_ID;
}

enum outcome access_refuse_malformed(struct call *call, const struct err *err)
{
    struct err unknown;
    if (call->args.method == METHOD_AUTHENTICATE)
        input_wipe(&call->conn->input, call->size); /* there may be a password in it */
    if (call->server->conf.users_count == 0 || call->conn->identity.user != NULL ||
        (call->args.method != METHODS && access_is_known(call, &unknown)))
        return call_error(call, err);
    if (call->args.method == METHODS) {
        err_set(&unknown, ERR_UNAUTHENTICATED,
                "this connection is not known as a user's yet: call authenticate(user, password) "
                "first (mrcli: --user NAME)");
        call->server->refusals++;
    }
    return call_error(call, &unknown);
}
