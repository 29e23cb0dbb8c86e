#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "daemon/admin_private.h"
#include "daemon/backup.h"
#include "daemon/commit.h"
#include "daemon/events.h"
#include "daemon/log.h"
#include "daemon/regions.h"
#include "daemon/reload.h"
#include "daemon/request.h"
#include "daemon/scrub.h"
#include "daemon/server.h"
#include "daemon/upload.h"

static const struct {
    const char *verb, *done;
} words[] = {
    [ADMIN_CREATE] = {"create", "created"}, [ADMIN_RESTORE] = {"restore", "restored from backup "},
    [ADMIN_DROP] = {"drop", "dropped"},     [ADMIN_RENAME] = {"rename", "renamed to "},
    [ADMIN_SET] = {"change", "changed"},
};

void admin_init(struct admin *admin)
{
    *admin = (struct admin){.tasks = NULL};
    atomic_init(&admin->is_hurried, false);
}

bool admin_is_idle(const struct admin *admin)
{
    return admin->tasks == NULL;
}

/* Ends the task with an answer. */
static void end_task(struct admin_task *task, uint64_t id)
{
    struct server *server = task->server;
    struct admin *admin = &server->admin;
    const char *verb = words[task->kind].verb;
    bool is_for_reload = task->request == NULL;
    const char *other = task->kind == ADMIN_RENAME ? task->new_name : task->backup;
    if (task->err.code == ERR_OK)
        log_info_about((&(struct log_about){.region = task->name}), "region %s: %s%s", task->name,
                       words[task->kind].done, other);
    else if (task->request == NULL || task->err.code == ERR_IO_ERROR)
        log_error_about(
            (&(struct log_about){.region = task->name, .error = err_name(task->err.code)}),
            "cannot %s region %s: %s", verb, task->name, task->err.text);
    if (task->request != NULL) {
        bool is_new = task->kind == ADMIN_CREATE || task->kind == ADMIN_RESTORE;
        task->request->result = is_new ? RESULT_UINT : RESULT_NIL;
        task->request->number = id;
        if (task->err.code == ERR_OK)
            request_succeed(task->request);
        else
            request_fail(task->request, &task->err);
    }
    DL_DELETE(admin->tasks, task);
    if (admin->under_way == task)
        admin->under_way = NULL;
    region_label_free(task->label);
    free(task);
    if (is_for_reload)
        reload_created(server);
}

void admin_finish(struct admin_task *task, uint64_t id)
{
    struct server *server = task->server;
    end_task(task, id);
    admin_go_on(server);
}

void admin_submit(struct admin_task *task, void (*run)(struct work *work),
                  void (*done)(struct work *work))
{
    task->work = (struct work){.run = run, .done = done};
    workers_submit(&task->server->workers, WORK_OTHER, &task->work);
}

/* ---- Dropping ---- */

/* It is there, but nobody can have it. */
static void say_closed(struct admin_task *task, const char *why)
{
    struct err failure = task->err;
    err_set(&task->err, ERR_IO_ERROR,
            "%s; and it is not open until the next start: restart mregiond (%s)", failure.text,
            why);
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
    if (store_open_region(store, task->name, &task->options, &task->region, &report, &err) == 0)
        return;
    task->region = NULL;
    if (err.code != ERR_NO_SUCH_REGION) /* else it has said that it is gone */
        say_closed(task, err.text);
}

static void on_dropped(struct work *work)
{
    struct admin_task *task = (struct admin_task *)work;
    bool is_back = task->region != NULL && regions_add(task->server, task->region) != NULL;
    if (task->region != NULL && !is_back) {
        region_close(task->region);
        say_closed(task, "out of memory");
    }
    if (!is_back)
        events_dropped(task->entry);
    regions_free(task->entry);
    task->entry = NULL;
    admin_finish(task, 0);
}

void admin_region_quiet(struct region_entry *entry)
{
    struct admin_task *task = entry->server->admin.under_way;
    struct region_info info;
    if (task == NULL || task->kind != ADMIN_DROP || task->entry != entry || task->is_at_worker)
        return; /* its turn has not come */
    task->is_at_worker = true;
    /* It may have got others since it was asked for. */
    region_get_info_now(entry->region, &info);
    task->options = info.options;
    memcpy(task->name, entry->name, sizeof task->name);
    task->region = entry->region;
    entry->region = NULL; /* from here on it is the worker's */
    admin_submit(task, run_drop, on_dropped);
}

static bool start_drop(struct admin_task *task)
{
    region_hurry(task->entry->region);
    commit_touch(task->entry);
    return false;
}

bool admin_drop(struct server *server, struct region_entry *entry, struct request *request)
{
    struct err gone;
    if (!admin_begin(server, &(struct admin_wish){.kind = ADMIN_DROP, .entry = entry}, request))
        return false;
    /* It is not quiet before the next turn. */
    regions_remove(server, entry);
    err_set(&gone, ERR_NO_SUCH_REGION, "region %s was dropped while it was scrubbed", entry->name);
    scrub_refuse(entry, &gone);
    err_set(&gone, ERR_NO_SUCH_REGION, "region %s was dropped while it was backed up", entry->name);
    backup_refuse(server, entry, &gone);
    err_set(&gone, ERR_NO_SUCH_REGION, "region %s was dropped, and the upload with it",
            entry->name);
    upload_refuse(entry, &gone);
    return true;
}

/* ---- One after the other ---- */

/* Starts the task; true when it is over already. */
static bool start(struct admin_task *task)
{
    switch (task->kind) {
    case ADMIN_DROP:
        return start_drop(task);
    case ADMIN_RENAME:
        return admin_start_rename(task);
    case ADMIN_SET:
        return admin_start_set(task);
    case ADMIN_CREATE:
    case ADMIN_RESTORE:
        break;
    }
    return admin_start_create(task);
}

static bool is_about(const struct admin_task *task, const char *name)
{
    return name[0] != '\0' && (strcmp(task->name, name) == 0 || strcmp(task->new_name, name) == 0 ||
                               (task->entry != NULL && strcmp(task->entry->name, name) == 0));
}

/* Whether one is about what the other is about. A region may have another name by now. */
static bool is_alike(const struct admin_task *a, const struct admin_task *b)
{
    return (a->entry != NULL && (a->entry == b->entry || is_about(b, a->entry->name))) ||
           is_about(b, a->name) || is_about(b, a->new_name);
}

static bool may_start(const struct admin *admin, const struct admin_task *task)
{
    if (task->step != STEP_WAITING)
        return task->step == STEP_COPIED;
    if (task->kind == ADMIN_RESTORE && admin->copying != NULL)
        return false;
    for (const struct admin_task *other = admin->tasks; other != task; other = other->next)
        if (is_alike(task, other))
            return false;
    return true;
}

static struct admin_task *next_task(const struct admin *admin)
{
    struct admin_task *task = admin->tasks;
    while (task != NULL && !may_start(admin, task))
        task = task->next;
    return task;
}

void admin_go_on(struct server *server)
{
    struct admin *admin = &server->admin;
    struct admin_task *task;
    while (admin->under_way == NULL && (task = next_task(admin)) != NULL) {
        bool is_copied = task->step == STEP_COPIED;
        admin->under_way = task;
        task->step = STEP_UNDER_WAY;
        if (is_copied)
            admin_end_restoring(task);
        else if (start(task))
            end_task(task, 0);
    }
}

/* What the configuration says of a region of this name. */
static void find_options(const struct conf *conf, struct admin_task *task)
{
    for (size_t i = 0; i < conf->regions_count; i++)
        if (strcmp(conf->regions[i].name, task->name) == 0) {
            task->has_options = true;
            task->options = conf->regions[i].options;
        }
}

bool admin_begin(struct server *server, const struct admin_wish *wish, struct request *request)
{
    struct admin_task *task = calloc(1, sizeof *task);
    if (task == NULL)
        return false;
    task->server = server;
    task->request = request;
    task->kind = wish->kind;
    task->entry = wish->entry;
    task->options = wish->options;
    task->given = wish->given;
    if (wish->entry != NULL)
        memcpy(task->name, wish->entry->name, sizeof task->name);
    if (wish->name != NULL)
        memcpy(wish->kind == ADMIN_RENAME ? task->new_name : task->name, wish->name,
               wish->name_length);
    if (wish->kind == ADMIN_RESTORE) {
        memcpy(task->backup, wish->backup, wish->backup_length);
        find_options(&server->conf, task);
    }
    DL_APPEND(server->admin.tasks, task);
    admin_go_on(server);
    return true;
}

bool admin_create(struct server *server, const char *name, size_t length,
                  const struct region_options *options, struct request *request)
{
    return admin_begin(
        server,
        &(struct admin_wish){
            .kind = ADMIN_CREATE, .name = name, .name_length = length, .options = *options},
        request);
}
