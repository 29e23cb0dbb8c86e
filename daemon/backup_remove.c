/* removeBackup: whose region it is of is looked up first, since that says who may; then its files
 * go. Both by a worker, beside everything else, one removal at a time: two of the same backup would
 * be in each other's way. What is being made, or being made a region of, stays. */
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/backups.h"
#include "core/meta.h"
#include "daemon/access.h"
#include "daemon/admin.h"
#include "daemon/audit.h"
#include "daemon/backup.h"
#include "daemon/handle.h"
#include "daemon/log.h"
#include "daemon/request.h"
#include "daemon/server.h"

struct removal {
    struct work work; /* first, so that the one is the other */
    struct server *server;
    struct removal *next;
    struct request *request;
    bool is_going; /* it was found that it may: nothing begins to read it */
    char name[REGION_NAME_MAX + 1];
    char of[REGION_NAME_MAX + 1]; /* the region's name in there; "" where it is no backup */
    struct err err;               /* ERR_OK unless it failed */
};

/* ---- On the worker ---- */

static void run_look(struct work *work)
{
    struct removal *removal = (struct removal *)work;
    struct err err;
    if (backups_find(removal->server->backups.io, removal->name, removal->of, &err) != 0)
        removal->err = err;
}

static void run_remove(struct work *work)
{
    struct removal *removal = (struct removal *)work;
    struct err err;
    if (backups_remove(removal->server->backups.io, removal->name, &err) != 0)
        removal->err = err;
}

/* ---- Back on the loop ---- */

static void on_looked(struct work *work);

static void start(struct removal *removal)
{
    removal->work = (struct work){.run = run_look, .done = on_looked};
    workers_submit(&removal->server->workers, WORK_OTHER, &removal->work);
}

static void finish(struct removal *removal)
{
    struct backups_service *backups = &removal->server->backups;
    const struct log_about about = {
        .region = removal->of,
        .error = removal->err.code == ERR_OK ? NULL : err_name(removal->err.code)};
    if (removal->err.code == ERR_OK) {
        log_info_about(&about, "region %s: backup %s removed", removal->of, removal->name);
        request_succeed(removal->request);
    } else {
        if (removal->err.code == ERR_IO_ERROR)
            log_error_about(&about, "cannot remove backup %s: %s", removal->name,
                            removal->err.text);
        request_fail(removal->request, &removal->err);
    }
    LL_DELETE(backups->removals, removal);
    free(removal);
    if (backups->removals != NULL)
        start(backups->removals);
}

static void on_removed(struct work *work)
{
    finish((struct removal *)work);
}

/* A backup of a region that he may not have is none to him. */
static int check(struct removal *removal)
{
    const struct server *server = removal->server;
    if (removal->err.code != ERR_OK)
        return (int)removal->err.code;
    if (removal->of[0] == '\0' || !access_may_restore(removal->request->conn, removal->of))
        return err_set(&removal->err, ERR_INVALID_ARGUMENT, "there is no backup named '%s'",
                       removal->name);
    if (admin_is_restoring(&server->admin, removal->name))
        return err_set(&removal->err, ERR_BUSY,
                       "a region is being made of backup '%s': remove it when that is over",
                       removal->name);
    if (backup_is_made(server, removal->name))
        return err_set(&removal->err, ERR_BUSY,
                       "backup '%s' is being made: remove it when that is over", removal->name);
    return 0;
}

static void on_looked(struct work *work)
{
    struct removal *removal = (struct removal *)work;
    if (check(removal) != 0) {
        finish(removal);
        return;
    }
    removal->is_going = true;
    removal->work = (struct work){.run = run_remove, .done = on_removed};
    workers_submit(&removal->server->workers, WORK_OTHER, &removal->work);
}

enum outcome handle_REMOVE_BACKUP(struct call *call)
{
    const struct rpc_param *name = &call->args.params[0];
    struct err err;
    if (backup_check(call->server, "removeBackup", name->bytes, name->size, &err) != 0)
        return call_error(call, &err);
    struct removal *removal = calloc(1, sizeof *removal);
    if (removal == NULL)
        return call_no_memory(call);
    removal->request =
        request_new(call->conn, NULL, call->envelope.msgid, call->envelope.is_notification);
    if (removal->request == NULL) {
        free(removal);
        return call_no_memory(call);
    }
    audit_begin(call, removal->request);
    request_move(removal->request, REQUEST_BACKING_UP);
    removal->server = call->server;
    memcpy(removal->name, name->bytes, name->size);
    LL_APPEND(call->server->backups.removals, removal);
    if (call->server->backups.removals == removal)
        start(removal);
    return HANDLED;
}

bool backup_is_removed(const struct server *server, const char *name)
{
    const struct removal *removal = server->backups.removals;
    return removal != NULL && removal->is_going && strcmp(removal->name, name) == 0;
}
