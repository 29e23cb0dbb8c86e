#include "daemon/admin.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/backups.h"
#include "daemon/access.h"
#include "daemon/backup.h"
#include "daemon/commit.h"
#include "daemon/events.h"
#include "daemon/files.h"
#include "daemon/log.h"
#include "daemon/region_options.h"
#include "daemon/regions.h"
#include "daemon/reload.h"
#include "daemon/request.h"
#include "daemon/scrub.h"
#include "daemon/server.h"
#include "daemon/upload.h"

enum admin_step {
    STEP_WAITING,
    STEP_UNDER_WAY, /* it has the store */
    STEP_COPYING,   /* a backup, without the store */
    STEP_COPIED,    /* and waits for it again */
};

struct admin_task {
    struct work work; /* first, so that the one is the other */
    enum admin_kind kind;
    struct admin_task *prev, *next;
    struct server *server;
    struct request *request; /* to answer, or NULL */
    /* NULL: to create or restore. Whoever drops it waits for all before, so it is there. */
    struct region_entry *entry;
    enum admin_step step;
    bool is_at_worker; /* handed to it */
    char name[REGION_NAME_MAX + 1];
    char new_name[REGION_NAME_MAX + 1];
    char backup[REGION_NAME_MAX + 1];
    char of[REGION_NAME_MAX + 1]; /* the region's name in there */
    uint64_t id;                  /* of what is restored */
    bool has_options;             /* of the configuration; else a backup has its own */
    struct region_options options;
    uint32_t given;               /* of them */
    struct region_options before; /* of the region that is changed */
    struct region *region; /* created; to be closed; or reopened, because it could not be dropped */
    struct region_label *label; /* for the region once it is renamed */
    bool is_renamed;
    struct err err; /* ERR_OK unless it failed */
};

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
static void finish(struct admin_task *task, uint64_t id)
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

/* ---- On the worker ---- */

static void run_create(struct work *work)
{
    struct admin_task *task = (struct admin_task *)work;
    struct err err;
    if (store_create_region(task->server->store, task->name, &task->options, &task->region, &err) !=
        0)
        task->err = err;
}

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

/* Nobody can open it. */
static void run_forget_copy(struct work *work)
{
    struct admin_task *task = (struct admin_task *)work;
    const struct store_restoring what = what_to_restore(task);
    store_forget_copy(task->server->store, &what);
}

/* Nor this one, which is whole. */
static void run_take_back(struct work *work)
{
    struct admin_task *task = (struct admin_task *)work;
    struct err err;
    region_close(task->region);
    if (store_drop_region(task->server->store, task->name, &err) == 0)
        return;
    err_set(&task->err, ERR_IO_ERROR,
            "there is no memory to open region %s, and it cannot be removed either: %s", task->name,
            err.text);
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

static void run_rename(struct work *work)
{
    struct admin_task *task = (struct admin_task *)work;
    struct err err;
    if (store_rename_region(task->server->store, task->name, task->new_name, &task->is_renamed,
                            &err) != 0)
        task->err = err;
}

static void run_rename_back(struct work *work)
{
    struct admin_task *task = (struct admin_task *)work;
    struct err err;
    bool is_back;
    if (store_rename_region(task->server->store, task->new_name, task->name, &is_back, &err) != 0)
        task->err = err;
    task->is_renamed = !is_back;
}

static void run_set(struct work *work)
{
    struct admin_task *task = (struct admin_task *)work;
    struct err err;
    if (store_set_options(task->server->store, task->name, &task->options, &err) != 0)
        task->err = err;
}

/* ---- Back on the loop ---- */

static void start_next(struct server *server);

static void submit(struct admin_task *task, void (*run)(struct work *work),
                   void (*done)(struct work *work))
{
    task->work = (struct work){.run = run, .done = done};
    workers_submit(&task->server->workers, WORK_OTHER, &task->work);
}

static void finish_and_go_on(struct admin_task *task, uint64_t id)
{
    struct server *server = task->server;
    finish(task, id);
    start_next(server);
}

/* There is no region. */
static void on_not_created(struct work *work)
{
    finish_and_go_on((struct admin_task *)work, 0);
}

static void on_created(struct work *work)
{
    struct admin_task *task = (struct admin_task *)work;
    if (task->err.code != ERR_OK) {
        finish_and_go_on(task, 0);
        return;
    }
    struct region_entry *entry = regions_add(task->server, task->region);
    if (entry == NULL) {
        err_set(&task->err, ERR_INTERNAL, "there is no memory to open region %s", task->name);
        submit(task, run_take_back, on_not_created);
        return;
    }
    events_created(entry);
    finish_and_go_on(task, entry->id);
}

static void on_copied(struct work *work)
{
    struct admin_task *task = (struct admin_task *)work;
    task->server->admin.copying = NULL;
    task->step = STEP_COPIED;
    if (task->err.code == ERR_OK)
        start_next(task->server);
    else
        finish_and_go_on(task, 0);
}

/* Until it is copied the store is for others. */
static void on_restoring_begun(struct work *work)
{
    struct admin_task *task = (struct admin_task *)work;
    struct server *server = task->server;
    if (task->err.code != ERR_OK) {
        finish_and_go_on(task, 0);
        return;
    }
    server->admin.under_way = NULL;
    server->admin.copying = task;
    task->step = STEP_COPYING;
    submit(task, run_copy, on_copied);
    start_next(server);
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
        finish_and_go_on(task, 0);
    else
        submit(task, run_begin_restoring, on_restoring_begun);
}

static void on_dropped(struct work *work)
{
    struct admin_task *task = (struct admin_task *)work;
    struct server *server = task->server;
    if (task->err.code == ERR_OK)
        events_dropped(task->entry);
    regions_free(task->entry);
    task->entry = NULL;
    if (task->region != NULL && regions_add(server, task->region) == NULL)
        region_close(task->region);
    finish_and_go_on(task, 0);
}

/* What it may has changed: what was held back by the old options goes. */
static void set_options(struct region_entry *entry, const struct region_options *options)
{
    region_set_options(entry->region, options);
    region_hurry(entry->region);
    commit_touch(entry);
}

static void end_rename(struct admin_task *task)
{
    struct server *server = task->server;
    struct region_entry *entry = task->entry;
    if (task->is_renamed) {
        region_rename(entry->region, task->label);
        task->label = NULL;
        regions_rename(server, entry, task->new_name);
        access_region_renamed(server, entry);
        events_renamed(entry, task->name); /* also where "dropped" comes next */
    }
    entry->is_held = false;
    commit_touch(entry);
    finish_and_go_on(task, 0);
}

static bool is_configured(const struct server *server, const char *name)
{
    for (size_t i = 0; i < server->conf.regions_count; i++)
        if (strcmp(server->conf.regions[i].name, name) == 0)
            return true;
    return false;
}

static int say_listed(struct admin_task *task)
{
    if (task->kind == ADMIN_SET)
        return err_set(&task->err, ERR_INVALID_ARGUMENT,
                       "setRegion: region %s has its options from the server's configuration, at "
                       "every start: change them there and reload it (SIGHUP)",
                       task->name);
    return err_set(
        &task->err, ERR_INVALID_ARGUMENT,
        "renameRegion: region %s is listed in the server's configuration, which would make it "
        "anew, empty, at the next start: take it off that list, reload (SIGHUP) and try again",
        task->name);
}

static void on_renamed_back(struct work *work)
{
    struct admin_task *task = (struct admin_task *)work;
    if (task->err.code == ERR_OK)
        say_listed(task);
    else if (task->is_renamed)
        log_error_about((&(struct log_about){.region = task->new_name}),
                        "region %s is listed in the configuration since, and called %s: change "
                        "one of the two, or the next start makes another one, empty",
                        task->name, task->new_name);
    end_rename(task);
}

/* Where a reload has listed it by its old name meanwhile, it gets that back before anybody knows
 * the new one: nothing can be at its place, since whoever makes a region waits for this. */
static void on_renamed(struct work *work)
{
    struct admin_task *task = (struct admin_task *)work;
    struct server *server = task->server;
    if (task->err.code != ERR_OK || task->entry->is_dropping ||
        !is_configured(server, task->name)) {
        end_rename(task);
        return;
    }
    task->work = (struct work){.run = run_rename_back, .done = on_renamed_back};
    workers_submit(&server->workers, WORK_OTHER, &task->work);
}

static void on_set_back(struct work *work)
{
    struct admin_task *task = (struct admin_task *)work;
    if (task->err.code == ERR_OK)
        say_listed(task);
    finish_and_go_on(task, 0);
}

/* Where a reload has listed it meanwhile, that has said what it may, and what was asked for is not
 * to come back when it is taken off the list again. */
static void on_set(struct work *work)
{
    struct admin_task *task = (struct admin_task *)work;
    bool is_listed = is_configured(task->server, task->name);
    if (is_listed && task->err.code == ERR_OK && !task->entry->is_dropping) {
        task->options = task->before;
        submit(task, run_set, on_set_back);
        return;
    }
    if (!task->entry->is_dropping && !is_listed)
        set_options(task->entry, task->err.code == ERR_OK ? &task->options : &task->before);
    finish_and_go_on(task, 0);
}

void admin_region_still(struct region_entry *entry)
{
    struct admin_task *task = entry->server->admin.under_way;
    if (task->is_at_worker)
        return;
    task->is_at_worker = true;
    submit(task, run_rename, on_renamed);
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
    submit(task, run_drop, on_dropped);
}

/* ---- One after the other ---- */

static struct region_entry *find_named(const struct server *server, const char *name)
{
    return regions_find_name(&server->regions, name, strlen(name));
}

/* Whether what the region is called or may can be changed at all. */
static int check_change(const struct server *server, struct admin_task *task)
{
    const struct region_entry *entry = task->entry;
    if (entry->is_dropping)
        return err_set(&task->err, ERR_NO_SUCH_REGION, "region %s is being dropped", task->name);
    /* Whoever asked might not be allowed to under the name that it has by now. */
    if (strcmp(task->name, entry->name) != 0)
        return err_set(&task->err, ERR_NO_SUCH_REGION,
                       "there is no region named \"%s\" any more: it has been renamed meanwhile",
                       task->name);
    const struct err *failure = region_failure(entry->region);
    if (failure != NULL)
        return err_set(
            &task->err, ERR_READ_ONLY,
            "region %s is read-only since a failure (%s): restart mregiond to recover it",
            task->name, failure->text);
    /* Its jobs would hold the renaming up, and the renaming all changes. */
    if (task->kind == ADMIN_RENAME && region_is_backed_up(entry->region))
        return err_set(&task->err, ERR_BUSY,
                       "region %s is being backed up: rename it when that is over", task->name);
    if (task->kind == ADMIN_RENAME && !region_may_be_renamed(entry->region))
        return err_set(&task->err, ERR_BUSY,
                       "region %s has been renamed %d times while blobs were read from it: rename "
                       "it when these are through",
                       task->name, REGION_OLD_LABELS);
    return is_configured(server, task->name) ? say_listed(task) : 0;
}

static bool start_rename(struct server *server, struct admin_task *task)
{
    if (check_change(server, task) != 0)
        return true;
    if (find_named(server, task->new_name) != NULL) {
        err_set(&task->err, ERR_EXISTS, "there is a region named \"%s\" already", task->new_name);
        return true;
    }
    task->label = store_new_label(task->new_name, &task->err);
    if (task->label == NULL)
        return true;
    task->entry->is_held = true;
    commit_touch(task->entry);
    return false;
}

static int check_limit(struct admin_task *task, const struct region_info *info)
{
    const uint64_t max_size = task->options.max_size;
    if (max_size == info->options.max_size || max_size == 0 || max_size >= info->size)
        return 0;
    return err_set(&task->err, ERR_INVALID_ARGUMENT,
                   "setRegion: max_size %" PRIu64 " is less than the %" PRIu64
                   " bytes that region %s has handed out, and a region does not become smaller: "
                   "give as many, or 0 for no limit",
                   max_size, info->size, task->name);
}

/* A lower limit holds while it is being written, too: nothing is handed out above it. */
static void lower_limit(struct admin_task *task)
{
    struct region_options options = task->before;
    options.max_size = task->options.max_size;
    if (options.max_size != 0 &&
        (task->before.max_size == 0 || options.max_size < task->before.max_size))
        region_set_options(task->entry->region, &options);
}

static bool start_set(struct server *server, struct admin_task *task)
{
    struct region_options given = task->options;
    struct region_info info;
    if (check_change(server, task) != 0)
        return true;
    region_get_info_now(task->entry->region, &info);
    task->before = task->options = info.options;
    region_options_merge(&task->options, &given, task->given);
    if (region_options_check(&task->options, &task->err) != 0 || check_limit(task, &info) != 0)
        return true;
    lower_limit(task);
    submit(task, run_set, on_set);
    return false;
}

static bool start_drop(struct admin_task *task)
{
    region_hurry(task->entry->region);
    commit_touch(task->entry);
    return false;
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

static int check_files(struct server *server, struct admin_task *task)
{
    files_raise_limit(server);
    if (files_spare_region(server))
        return 0;
    return err_set(
        &task->err, ERR_BUSY,
        "region %s would need more file descriptors than there are: close connections, or "
        "raise the server's limit on open files",
        task->name);
}

/* They may have been spent since the copy began. */
static void start_end_restoring(struct server *server, struct admin_task *task)
{
    if (check_files(server, task) == 0)
        submit(task, run_end_restoring, on_created);
    else
        submit(task, run_forget_copy, on_not_created);
}

static bool start_create(struct server *server, struct admin_task *task)
{
    struct region_entry *there = find_named(server, task->name);
    if (there != NULL && task->request == NULL) {
        /* The configuration was read while somebody made it, or another one got this name. */
        task->kind = ADMIN_SET;
        set_options(there, &task->options);
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
    if (check_files(server, task) != 0)
        return true;
    if (task->kind == ADMIN_RESTORE)
        submit(task, run_look, on_looked);
    else
        submit(task, run_create, on_created);
    return false;
}

/* Starts the task; true when it is over already. */
static bool start(struct server *server, struct admin_task *task)
{
    switch (task->kind) {
    case ADMIN_DROP:
        return start_drop(task);
    case ADMIN_RENAME:
        return start_rename(server, task);
    case ADMIN_SET:
        return start_set(server, task);
    case ADMIN_CREATE:
    case ADMIN_RESTORE:
        break;
    }
    return start_create(server, task);
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

static void start_next(struct server *server)
{
    struct admin *admin = &server->admin;
    struct admin_task *task;
    while (admin->under_way == NULL && (task = next_task(admin)) != NULL) {
        bool is_copied = task->step == STEP_COPIED;
        admin->under_way = task;
        task->step = STEP_UNDER_WAY;
        if (is_copied)
            start_end_restoring(server, task);
        else if (start(server, task))
            finish(task, 0);
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
    start_next(server);
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

void admin_hurry(struct admin *admin)
{
    atomic_store_explicit(&admin->is_hurried, true, memory_order_relaxed);
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

bool admin_is_restoring(const struct admin *admin, const char *backup)
{
    const struct admin_task *task = admin->tasks;
    while (task != NULL && (task->kind != ADMIN_RESTORE || strcmp(task->backup, backup) != 0))
        task = task->next;
    return task != NULL;
}
