#include "daemon/audit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/conn.h"
#include "daemon/handle.h"
#include "daemon/regions.h"
#include "daemon/request.h"
#include "daemon/server.h"
#include "proto/methods.h"

/* A name as it is written: of so many characters at most. */
#define NAME_SIZE 200

/* What a call is about, as it is written. */
struct subject {
    char region[NAME_SIZE];
    char more[NAME_SIZE + 16]; /* with a space in front; or nothing */
};

struct act {
    char user[USER_NAME_MAX + 1];
    struct subject subject;
    enum method_id method;
};

/* Names that methods take besides the region's. */
static const struct {
    enum method_id method;
    unsigned param;
    const char *key;
} more_names[] = {
    {METHOD_RENAME_REGION, 1, "to"},
    {METHOD_BACKUP_REGION, 1, "backup"},
    {METHOD_RESTORE_REGION, 0, "backup"},
    {METHOD_REMOVE_BACKUP, 0, "backup"},
};

/* ---- One line ---- */

/* An empty one as "-". */
static const char *write_name(const char *bytes, size_t size, char name[NAME_SIZE])
{
    static const char others[] = "._-@#*?+/";
    size_t used = 0;
    for (size_t i = 0; i < size && used + 5 < NAME_SIZE; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        bool is_plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                        (byte >= '0' && byte <= '9') ||
                        (byte != '\0' && strchr(others, byte) != NULL);
        used += (size_t)sprintf(name + used, is_plain ? "%c" : "\\x%02x", byte);
    }
    snprintf(name + used, NAME_SIZE - used, "%s", used > 0 ? "" : "-");
    return name;
}

static const char *name_of_user(const struct conn *conn)
{
    return conn->identity.user != NULL ? conn->identity.user->name : "-";
}

/* What a line says with "-" is not known. */
static const char *known_or_null(const char *name)
{
    return strcmp(name, "-") == 0 ? NULL : name;
}

static struct log_about about(const char *user, const char *peer, const char *act,
                              const char *region, const char *result)
{
    return (struct log_about){
        .region = known_or_null(region),
        .peer = peer,
        .user = known_or_null(user),
        .method = act,
        .error = strcmp(result, "ok") == 0 ? NULL : result,
    };
}

static void write_line(const char *user, const char *peer, const char *act,
                       const struct subject *subject, const char *result)
{
    const struct log_about subjects = about(user, peer, act, subject->region, result);
    log_audit(&subjects, "audit: user=%s peer=\"%s\" act=%s region=%s%s result=%s", user, peer, act,
              subject->region, subject->more, result);
}

static const struct subject no_region = {.region = "-"};

static uint64_t now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec;
}

/* Says what was left out, unless it may become more. Whether there is something to be said. */
static bool settle(struct log_limit *limit, const char *what, bool at_once)
{
    if (limit->dropped > 0 && (at_once || limit->second != now_s())) {
        log_audit(NULL, "audit: %s: %llu more like it were not logged", what,
                  (unsigned long long)limit->dropped);
        limit->dropped = 0;
    }
    return limit->dropped > 0;
}

static bool allow(struct server *server, struct log_limit *limit, const char *what)
{
    settle(limit, what, false);
    if (log_allow(limit, what))
        return true;
    server_sweep_soon(server);
    return false;
}

static const char failures[] = "failed authentications";
static const char refusals[] = "refusals";
static const char known[] = "connections known by their sockets";
static const char tasks[] = "checkpoints, scrubs and backups";

bool audit_sweep(struct server *server, bool at_once)
{
    struct audit *audit = &server->audit;
    bool is_pending = settle(&audit->failures, failures, at_once);
    is_pending |= settle(&audit->refusals, refusals, at_once);
    is_pending |= settle(&audit->known, known, at_once);
    is_pending |= settle(&audit->tasks, tasks, at_once);
    return is_pending;
}

/* ---- Who ---- */

void audit_authenticated(struct conn *conn)
{
    struct server *server = conn->server;
    enum known_by by = conn->identity.by;
    const struct log_about subject =
        about(name_of_user(conn), conn->peer, "authenticate", "-", "ok");
    /* passwords are bounded by what it costs to verify them */
    if (by == KNOWN_BY_PASSWORD || allow(server, &server->audit.known, known))
        log_audit(&subject, "audit: user=%s peer=\"%s\" act=authenticate by=%s result=ok",
                  name_of_user(conn), conn->peer, known_by_name(by));
}

void audit_not_authenticated(struct conn *conn, const char *user, size_t size, enum err_code code)
{
    char name[NAME_SIZE];
    struct server *server = conn->server;
    const char *written = write_name(user, size, name);
    const struct log_about subject =
        about(written, conn->peer, "authenticate", "-", err_name(code));
    if (allow(server, &server->audit.failures, failures))
        log_audit(&subject, "audit: user=%s peer=\"%s\" act=authenticate by=password result=%s",
                  written, conn->peer, err_name(code));
}

void audit_expelled(struct conn *conn, const char *user)
{
    struct server *server = conn->server;
    if (allow(server, &server->audit.refusals, refusals))
        write_line(user, conn->peer, "reload", &no_region, err_name(ERR_UNAUTHENTICATED));
}

void audit_reloaded(const struct server *server, enum err_code code)
{
    (void)server;
    write_line("-", "signal", "reload", &no_region, code == ERR_OK ? "ok" : err_name(code));
}

/* ---- What ---- */

static void write_region(const struct call *call, char name[NAME_SIZE])
{
    enum method_id method = call->args.method;
    bool is_restored = method == METHOD_RESTORE_REGION; /* the region comes behind the backup */
    const struct rpc_param *param = &call->args.params[is_restored ? 1 : 0];
    if (call->entry != NULL)
        snprintf(name, NAME_SIZE, "%s", call->entry->name);
    else if (!call->args.has_region || (methods[method].parameters[0] != 'R' &&
                                        method != METHOD_CREATE_REGION && !is_restored))
        snprintf(name, NAME_SIZE, "-");
    else if (param->bytes == NULL)
        snprintf(name, NAME_SIZE, "#%llu", (unsigned long long)param->number);
    else
        (void)write_name((const char *)param->bytes, param->size, name);
}

static void describe(const struct call *call, struct subject *ret_subject)
{
    write_region(call, ret_subject->region);
    ret_subject->more[0] = '\0';
    for (size_t i = 0; i < sizeof more_names / sizeof more_names[0]; i++) {
        const struct rpc_param *param = &call->args.params[more_names[i].param];
        char name[NAME_SIZE];
        if (more_names[i].method == call->args.method)
            snprintf(ret_subject->more, sizeof ret_subject->more, " %s=%s", more_names[i].key,
                     write_name((const char *)param->bytes, param->size, name));
    }
}

void audit_refused(const struct call *call, enum err_code code)
{
    struct subject subject;
    struct server *server = call->server;
    describe(call, &subject);
    if (allow(server, &server->audit.refusals, refusals))
        write_line(name_of_user(call->conn), call->conn->peer, methods[call->args.method].name,
                   &subject, err_name(code));
}

static bool is_task(enum method_id method)
{
    return method == METHOD_CHECKPOINT || method == METHOD_SCRUB || method == METHOD_BACKUP_REGION;
}

static void write_act(struct conn *conn, const char *user, enum method_id method,
                      const struct subject *subject, const char *result)
{
    struct server *server = conn->server;
    if (!is_task(method) || allow(server, &server->audit.tasks, tasks))
        write_line(user, conn->peer, methods[method].name, subject, result);
}

void audit_begin(const struct call *call, struct request *request)
{
    struct subject subject;
    struct act *act = malloc(sizeof *act);
    describe(call, &subject);
    if (act == NULL) { /* better too early than not at all */
        write_act(call->conn, name_of_user(call->conn), call->args.method, &subject, "begun");
        return;
    }
    snprintf(act->user, sizeof act->user, "%s", name_of_user(call->conn));
    act->subject = subject;
    act->method = call->args.method;
    request->act = act;
}

void audit_end(struct request *request, const struct err *err)
{
    struct act *act = request->act;
    if (act == NULL) /* said already */
        return;
    request->act = NULL;
    write_act(request->conn, act->user, act->method, &act->subject,
              err == NULL              ? "ok"
              : err->code == ERR_CODES ? "unanswered"
                                       : err_name(err->code));
    free(act);
}

void audit_give_up(struct request *request)
{
    static const struct err unanswered = {.code = ERR_CODES};
    audit_end(request, &unanswered);
}
