/* Renaming a region, and giving it other options. */
#include <inttypes.h>
#include <string.h>

#include "daemon/access.h"
#include "daemon/admin_private.h"
#include "daemon/commit.h"
#include "daemon/events.h"
#include "daemon/log.h"
#include "daemon/region_options.h"
#include "daemon/regions.h"
#include "daemon/request.h"
#include "daemon/server.h"

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

/* Whether what the region is called or may can be changed at all. */
static int check_change(struct admin_task *task)
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
    return is_configured(task->server, task->name) ? say_listed(task) : 0;
}

/* ---- Renaming ---- */

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
    admin_finish(task, 0);
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
    if (task->err.code != ERR_OK || task->entry->is_dropping ||
        !is_configured(task->server, task->name))
        end_rename(task);
    else
        admin_submit(task, run_rename_back, on_renamed_back);
}

void admin_region_still(struct region_entry *entry)
{
    struct admin_task *task = entry->server->admin.under_way;
    if (task->is_at_worker)
        return;
    task->is_at_worker = true;
    admin_submit(task, run_rename, on_renamed);
}

bool admin_start_rename(struct admin_task *task)
{
    const struct regions *regions = &task->server->regions;
    if (check_change(task) != 0)
        return true;
    if (regions_find_name(regions, task->new_name, strlen(task->new_name)) != NULL) {
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

/* ---- Options ---- */

/* What it may has changed: what was held back by the old options goes. */
void admin_set_options(struct region_entry *entry, const struct region_options *options)
{
    region_set_options(entry->region, options);
    region_hurry(entry->region);
    commit_touch(entry);
}

static void run_set(struct work *work)
{
    struct admin_task *task = (struct admin_task *)work;
    struct err err;
    if (store_set_options(task->server->store, task->name, &task->options, &err) != 0)
        task->err = err;
}

static void on_set_back(struct work *work)
{
    struct admin_task *task = (struct admin_task *)work;
    if (task->err.code == ERR_OK)
        say_listed(task);
    admin_finish(task, 0);
}

/* Where a reload has listed it meanwhile, that has said what it may, and what was asked for is not
 * to come back when it is taken off the list again. */
static void on_set(struct work *work)
{
    struct admin_task *task = (struct admin_task *)work;
    bool is_listed = is_configured(task->server, task->name);
    if (is_listed && task->err.code == ERR_OK && !task->entry->is_dropping) {
        task->options = task->before;
        admin_submit(task, run_set, on_set_back);
        return;
    }
    if (!task->entry->is_dropping && !is_listed)
        admin_set_options(task->entry, task->err.code == ERR_OK ? &task->options : &task->before);
    admin_finish(task, 0);
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

bool admin_start_set(struct admin_task *task)
{
    struct region_options given = task->options;
    struct region_info info;
    if (check_change(task) != 0)
        return true;
    region_get_info_now(task->entry->region, &info);
    task->before = task->options = info.options;
    region_options_merge(&task->options, &given, task->given);
    if (region_options_check(&task->options, &task->err) != 0 || check_limit(task, &info) != 0)
        return true;
    lower_limit(task);
    admin_submit(task, run_set, on_set);
    return false;
}
