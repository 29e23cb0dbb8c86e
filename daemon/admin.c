#include "daemon/admin.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/commit.h"
#include "daemon/events.h"
#include "daemon/files.h"
#include "daemon/log.h"
#include "daemon/regions.h"
#include "daemon/request.h"
#include "daemon/scrub.h"
#include "daemon/server.h"
#include "daemon/upload.h"

struct admin_task {
    struct work work; /* first, so that the one is the other */
    struct admin_task *next;
    struct server *server;
    struct request *request;    /* to answer, or NULL */
    struct region_entry *entry; /* to drop; NULL: to create */
    bool is_started;
    bool is_removing; /* handed to the worker */
    char name[REGION_NAME_MAX + 1];
    struct region_options options;
    struct region *region; /* created; to be closed; or reopened, because it could not be dropped */
    struct err err;        /* ERR_OK unless it failed */
};

void admin_init(struct admin *admin)
{
    admin->first = NULL;
    admin->last = &admin->first;
}

bool admin_is_idle(const struct admin *admin)
{
    return admin->first == NULL;
}

/* Ends the first task with an answer. */
static void finish(struct server *server, uint64_t id)
{
    struct admin_task *task = server->admin.first;
    const char *verb = task->entry == NULL ? "create" : "drop";
    if (task->err.code == ERR_OK)
        log_info_about((&(struct log_about){.region = task->name}), "region %s: %s", task->name,
                       task->entry == NULL ? "created" : "dropped");
    else if (task->request == NULL)
        log_error_about(
            (&(struct log_about){.region = task->name, .error = err_name(task->err.code)}),
            "cannot %s region %s: %s", verb, task->name, task->err.text);
    if (task->request != NULL) {
        task->request->result = task->entry == NULL ? RESULT_UINT : RESULT_NIL;
        task->request->number = id;
        if (task->err.code == ERR_OK)
            request_succeed(task->request);
        else
            request_fail(task->request, &task->err);
    }
    server->admin.first = task->next;
    if (task->next == NULL)
        server->admin.last = &server->admin.first;
    free(task);
}

/* ---- On the worker ---- */

static void run_create(struct work *work)
{
    struct admin_task *task = (struct admin_task *)work;
    struct err err;
    if (store_create_region(task->server->store, task->name, &task->options, &task->region, &err) !=
        0)
        task->err = err;
}

static void run_drop(struct work *work)
{
    struct admin_task *task = (struct admin_task *)work;
    struct store *store = task->server->store;
    struct region_report report;
    struct err err;
    region_close(task->region);
    task->region = NULL;
    if (store_drop_region(store, task->name, &err) == 0)
        return;
    task->err = err;
    if (store_open_region(store, task->name, &task->options, &task->region, &report, &err) != 0)
        task->region = NULL;
}

/* ---- Back on the loop ---- */

static void start_next(struct server *server);

static void on_created(struct work *work)
{
    struct admin_task *task = (struct admin_task *)work;
    struct server *server = task->server;
    uint64_t id = 0;
    if (task->err.code == ERR_OK) {
        struct region_entry *entry = regions_add(server, task->region);
        if (entry == NULL) {
            region_close(task->region);
            err_set(&task->err, ERR_INTERNAL,
                    "region %s was made, but there is no memory to open it", task->name);
        } else {
            id = entry->id;
            events_created(entry);
        }
    }
    finish(server, id);
    start_next(server);
}

static void on_dropped(struct work *work)
{
    struct admin_task *task = (struct admin_task *)work;
    struct server *server = task->server;
    if (task->err.code == ERR_OK)
        events_dropped(task->entry);
    regions_free(task->entry);
    if (task->region != NULL && regions_add(server, task->region) == NULL)
        region_close(task->region);
    finish(server, 0);
    start_next(server);
}

void admin_region_quiet(struct region_entry *entry)
{
    struct admin_task *task = entry->server->admin.first;
    if (task == NULL || task->entry != entry || task->is_removing)
        return; /* its turn has not come */
    task->is_removing = true;
    task->region = entry->region;
    entry->region = NULL; /* from here on it is the worker's */
    task->work = (struct work){.run = run_drop, .done = on_dropped};
    workers_submit(&entry->server->workers, WORK_OTHER, &task->work);
}

/* ---- One after the other ---- */

static bool has_name(const struct server *server, const struct admin_task *task)
{
    return regions_find_name(&server->regions, task->name, strlen(task->name)) != NULL;
}

/* Starts the task, which is the first; true when it is over already. */
static bool start(struct server *server, struct admin_task *task)
{
    task->is_started = true;
    if (task->entry != NULL) {
        region_hurry(task->entry->region);
        commit_touch(task->entry);
        return false;
    }
    if (has_name(server, task)) {
        err_set(&task->err, ERR_EXISTS, "there is a region named \"%s\" already", task->name);
        return true;
    }
    if (task->request != NULL && server->regions.count >= server->conf.max_regions) {
        err_set(&task->err, ERR_BUSY,
                "region %s would be one more than max_regions, %" PRIu64
                ": drop one that is not needed, or raise the limit",
                task->name, server->conf.max_regions);
        return true;
    }
    files_raise_limit(server);
    if (!files_spare_region(server)) {
        err_set(&task->err, ERR_BUSY,
                "region %s would need more file descriptors than there are: close connections, or "
                "raise the server's limit on open files",
                task->name);
        return true;
    }
    task->work = (struct work){.run = run_create, .done = on_created};
    workers_submit(&server->workers, WORK_OTHER, &task->work);
    return false;
}

static void start_next(struct server *server)
{
    while (server->admin.first != NULL && !server->admin.first->is_started)
        if (start(server, server->admin.first))
            finish(server, 0);
}

static void append(struct server *server, struct admin_task *task)
{
    *server->admin.last = task;
    server->admin.last = &task->next;
    start_next(server);
}

bool admin_create(struct server *server, const char *name, size_t length,
                  const struct region_options *options, struct request *request)
{
    struct admin_task *task = calloc(1, sizeof *task);
    if (task == NULL)
        return false;
    task->server = server;
    task->request = request;
    task->options = *options;
    memcpy(task->name, name, length);
    append(server, task);
    return true;
}

bool admin_drop(struct server *server, struct region_entry *entry, struct request *request)
{
    struct admin_task *task = calloc(1, sizeof *task);
    if (task == NULL)
        return false;
    struct region_info info;
    region_get_info(entry->region, &info);
    task->server = server;
    task->request = request;
    task->entry = entry;
    task->options = info.options;
    memcpy(task->name, entry->name, sizeof task->name);
    regions_remove(server, entry);
    struct err gone;
    err_set(&gone, ERR_NO_SUCH_REGION, "region %s was dropped while it was scrubbed", entry->name);
    scrub_refuse(entry, &gone);
    err_set(&gone, ERR_NO_SUCH_REGION, "region %s was dropped, and the upload with it",
            entry->name);
    upload_refuse(entry, &gone);
    append(server, task);
    return true;
}
