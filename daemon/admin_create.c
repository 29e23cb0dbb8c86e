/* Creating a region, empty or out of a backup. */
#include <inttypes.h>
#include <string.h>
#include <utlist.h>

#include "core/backups.h"
#include "daemon/access.h"
#include "daemon/admin_private.h"
#include "daemon/backup.h"
#include "daemon/events.h"
#include "daemon/files.h"
#include "daemon/regions.h"
#include "daemon/request.h"
#include "daemon/server.h"

static void run_create(struct work *work)
{
    struct admin_task *task = (struct admin_task *)work;
    struct err err;
    if (store_create_region(task->server->store, task->name, &task->options, &task->region, &err) !=
        0)
        task->err = err;
}

/* It is whole, but nobody can have it. */
static void run_take_back(struct work *work)
{
    struct admin_task *task = (struct admin_task *)work;
    region_close(task->region);
    (void)store_take_back(task->server->store, task->name, &task->err);
}

/* There is no region. */
static void on_not_created(struct work *work)
{
    admin_finish((struct admin_task *)work, 0);
}

static void on_created(struct work *work)
{
    struct admin_task *task = (struct admin_task *)work;
    if (task->err.code != ERR_OK) {
        admin_finish(task, 0);
        return;
    }
    struct region_entry *entry = regions_add(task->server, task->region);
    if (entry == NULL) {
        err_set(&task->err, ERR_INTERNAL, "there is no memory to open region %s", task->name);
        admin_submit(task, run_take_back, on_not_created);
        return;
    }
    events_created(entry);
    admin_finish(task, entry->id);
}

/* Regions that there will be. */
static size_t count_restoring(const struct admin *admin)
{
    const struct admin_task *task;
    size_t count = 0;
    DL_FOREACH(admin->tasks, task)
    count += task->step == STEP_COPYING || task->step == STEP_COPIED;
    return count;
}

static int check_files(struct admin_task *task)
{
    files_raise_limit(task->server);
    if (files_spare_region(task->server))
        return 0;
    return err_set(
        &task->err, ERR_BUSY,
        "region %s would need more file descriptors than there are: close connections, or "
        "raise the server's limit on open files",
        task->name);
}

/* ---- Restoring ---- */

/* Whose region it is, if it is a backup. */
static void run_look(struct work *work)
{
    struct admin_task *task = (struct admin_task *)work;
    struct io *io = task->server->backups.io;
    struct err err;
    if (backups_check(io, task->backup, &err) != 0 ||
        backups_find(io, task->backup, task->of, &err) != 0)
        task->err = err;
}

static bool is_hurried(void *context)
{
    struct admin *admin = context;
    return atomic_load_explicit(&admin->is_hurried, memory_order_relaxed);
}

static struct store_restoring what_to_restore(struct admin_task *task)
{
    return (struct store_restoring){
        .backups = task->server->backups.io,
        .backup = task->backup,
        .name = task->name,
        .options = task->has_options ? &task->options : NULL,
        .is_cancelled = is_hurried,
        .context = &task->server->admin,
    };
}

static void run_begin_restoring(struct work *work)
{
    struct admin_task *task = (struct admin_task *)work;
    const struct store_restoring what = what_to_restore(task);
    struct err err;
    if (store_begin_restoring(task->server->store, &what, &task->id, &err) != 0)
        task->err = err;
}

/* Others use the store meanwhile. */
static void run_copy(struct work *work)
{
    struct admin_task *task = (struct admin_task *)work;
    const struct store_restoring what = what_to_restore(task);
    struct err err;
    if (store_copy_backup(task->server->store, &what, task->id, &err) != 0)
        task->err = err;
}

static void run_end_restoring(struct work *work)
{
    struct admin_task *task = (struct admin_task *)work;
    const struct store_restoring what = what_to_restore(task);
    struct err err;
    if (store_end_restoring(task->server->store, &what, &task->region, &err) != 0)
        task->err = err;
}

static void run_forget_copy(struct work *work)
{
    struct admin_task *task = (struct admin_task *)work;
    const struct store_restoring what = what_to_restore(task);
    store_forget_copy(task->server->store, &what);
}

static void on_copied(struct work *work)
{
    struct admin_task *task = (struct admin_task *)work;
    task->server->admin.copying = NULL;
    task->step = STEP_COPIED;
    if (task->err.code == ERR_OK)
        admin_go_on(task->server);
    else
        admin_finish(task, 0);
}

/* Until it is copied the store is for others. */
static void on_restoring_begun(struct work *work)
{
    struct admin_task *task = (struct admin_task *)work;
    struct server *server = task->server;
    if (task->err.code != ERR_OK) {
        admin_finish(task, 0);
        return;
    }
    server->admin.under_way = NULL;
    server->admin.copying = task;
    task->step = STEP_COPYING;
    admin_submit(task, run_copy, on_copied);
    admin_go_on(server);
}

/* A backup of a region that he may not have is none to him. */
static void on_looked(struct work *work)
{
    struct admin_task *task = (struct admin_task *)work;
    struct conn *conn = task->request->conn;
    if (task->err.code == ERR_OK && (task->of[0] == '\0' || !access_may_restore(conn, task->of)))
        err_set(&task->err, ERR_INVALID_ARGUMENT, "there is no backup named '%s'", task->backup);
    else if (task->err.code == ERR_OK && backup_is_removed(task->server, task->backup))
        err_set(&task->err, ERR_BUSY, "backup '%s' is being removed", task->backup);
    if (task->err.code != ERR_OK)
        admin_finish(task, 0);
    else
        admin_submit(task, run_begin_restoring, on_restoring_begun);
}

/* They may have been spent since the copy began. */
void admin_end_restoring(struct admin_task *task)
{
    if (check_files(task) == 0)
        admin_submit(task, run_end_restoring, on_created);
    else
        admin_submit(task, run_forget_copy, on_not_created);
}

/* ---- Beginning ---- */

bool admin_start_create(struct admin_task *task)
{
    struct server *server = task->server;
    struct region_entry *there =
        regions_find_name(&server->regions, task->name, strlen(task->name));
    if (there != NULL && task->request == NULL) {
        /* The configuration was read while somebody made it, or another one got this name. */
        task->kind = ADMIN_SET;
        admin_set_options(there, &task->options);
        return true;
    }
    if (there != NULL) {
        err_set(&task->err, ERR_EXISTS, "there is a region named \"%s\" already", task->name);
        return true;
    }
    if (task->request != NULL &&
        server->regions.count + count_restoring(&server->admin) >= server->conf.max_regions) {
        err_set(&task->err, ERR_BUSY,
                "region %s would be one more than max_regions, %" PRIu64
                ": drop one that is not needed, or raise the limit",
                task->name, server->conf.max_regions);
        return true;
    }
    if (check_files(task) != 0)
        return true;
    if (task->kind == ADMIN_RESTORE)
        admin_submit(task, run_look, on_looked);
    else
        admin_submit(task, run_create, on_created);
    return false;
}

bool admin_restore(struct server *server, const char *backup, size_t backup_length,
                   const char *name, size_t length, struct request *request)
{
    return admin_begin(server,
                       &(struct admin_wish){.kind = ADMIN_RESTORE,
                                            .name = name,
                                            .name_length = length,
                                            .backup = backup,
                                            .backup_length = backup_length},
                       request);
}

bool admin_is_restoring(const struct admin *admin, const char *backup)
{
    const struct admin_task *task = admin->tasks;
    while (task != NULL && (task->kind != ADMIN_RESTORE || strcmp(task->backup, backup) != 0))
        task = task->next;
    return task != NULL;
}

void admin_hurry(struct admin *admin)
{
    atomic_store_explicit(&admin->is_hurried, true, memory_order_relaxed);
}
