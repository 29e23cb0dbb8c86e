#include "daemon/reload.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/access.h"
#include "daemon/admin.h"
#include "daemon/arguments.h"
#include "daemon/audit.h"
#include "daemon/commit.h"
#include "daemon/conn.h"
#include "daemon/files.h"
#include "daemon/log.h"
#include "daemon/notify.h"
#include "daemon/regions.h"
#include "daemon/server.h"

/* ---- One at a time ---- */

void reload_take_turn(struct server *server, struct work *work)
{
    struct reload *reload = &server->reload;
    if (!reload->has_turn) {
        reload->has_turn = true;
        workers_submit(&server->workers, WORK_OTHER, work);
        return;
    }
    work->next = NULL;
    if (reload->first == NULL)
        reload->last = &reload->first;
    *reload->last = work;
    reload->last = &work->next;
}

void reload_end_turn(struct server *server)
{
    struct reload *reload = &server->reload;
    struct work *work = reload->first;
    reload->has_turn = work != NULL;
    if (work == NULL)
        return;
    reload->first = work->next;
    workers_submit(&server->workers, WORK_OTHER, work);
}

/* ---- Reading it again ---- */

static void run_load(struct work *work)
{
    struct reload *reload = (struct reload *)work;
    reload->status = arguments_load(reload->server->arguments, &reload->conf, &reload->error);
    if (reload->status != 0)
        return;
    reload->certificates = (struct certificates){0};
    if (reload->has_tls)
        reload->status =
            certificates_load(&reload->conf.tls, &reload->certificates, &reload->error);
    if (reload->status != 0)
        conf_release(&reload->conf);
    else /* nobody else changes what is in force */
        config_compare(&reload->server->conf, &reload->conf, reload->has_tls, &reload->found);
}

static void apply_region(struct server *server, const struct conf_region *wanted)
{
    size_t length = strlen(wanted->name);
    struct region_entry *entry = regions_find_name(&server->regions, wanted->name, length);
    if (entry != NULL) {
        region_set_options(entry->region, &wanted->options);
        region_hurry(entry->region);
        commit_touch(entry);
        return;
    }
    server->reload.creating++; /* it may fail at once */
    if (!admin_create(server, wanted->name, length, &wanted->options, NULL)) {
        server->reload.creating--;
        log_error("cannot create region %s: out of memory", wanted->name);
    }
}

/* Those that wait for memory find out anew what they need and whether they may have it. */
static void retry_waiting(const struct budget *budget)
{
    struct conn *conn;
    while ((conn = budget->waiting) != NULL) {
        conn_unpark(conn);
        conn_wake(conn);
    }
}

static void apply(struct server *server, struct conf *wanted)
{
    struct conf *conf = &server->conf;
    log_set_level(wanted->log_level);
    log_set_format(wanted->log_format);
    certificates_release(&server->certificates); /* connections have references of their own */
    server->certificates = server->reload.certificates;
    certificates_log(&server->certificates);
    budget_set_limits(&server->budget, wanted->max_buffered, wanted->max_message);
    budget_set_part_limits(&server->arriving);
    for (size_t i = 0; i < wanted->regions_count; i++)
        apply_region(server, &wanted->regions[i]);

    /* what needs a restart stays as it is, so that the next reload says so again */
    struct conf old = *conf;
    bool has_users = conf->users_count > 0 || wanted->users_count > 0;
    *conf = *wanted;
    conf->data_dir = old.data_dir;
    conf->backup_dir = old.backup_dir;
    conf->listens = old.listens;
    conf->listens_count = old.listens_count;
    conf->run_as = old.run_as;
    conf->sandbox = old.sandbox;
    conf->backup_reflinks = old.backup_reflinks;
    old.run_as = wanted->run_as;
    old.data_dir = wanted->data_dir;
    old.backup_dir = wanted->backup_dir;
    old.listens = wanted->listens;
    old.listens_count = wanted->listens_count;
    if (!server->reload.has_tls) {
        conf->tls = old.tls;
        old.tls = wanted->tls;
    }
    conf->http = old.http;
    conf->http_count = old.http_count;
    old.http = wanted->http;
    old.http_count = wanted->http_count;
    listeners_reloaded(server);
    if (has_users) {
        access_begin_users(server);
        access_users_replaced(server);
        audit_reloaded(server, ERR_OK);
    }
    conf_release(&old);
    retry_waiting(&server->budget);
    retry_waiting(&server->arriving);
    server_watch_time(server);
    files_raise_limit(server);
}

static void drop(struct reload *reload)
{
    conf_release(&reload->conf);
    certificates_release(&reload->certificates);
    config_changes_release(&reload->found);
}

/* The sockets stay open until a restart, and so does what they need. */
static void check_listeners(struct reload *reload)
{
    const char *need;
    const struct listener *unfit = listeners_find_unfit(reload->server, &reload->conf, &need);
    if (unfit == NULL)
        return;
    snprintf(reload->error.text, sizeof reload->error.text,
             "%s is open until a restart, and needs %s", unfit->address, need);
    reload->status = -EINVAL;
    drop(reload);
}

static void finish(struct reload *reload)
{
    struct server *server = reload->server;
    reload->is_running = false;
    if (server->phase == SERVER_RUNNING)
        notify_ready();
    if (reload->is_wanted) {
        reload->is_wanted = false;
        reload_start(server);
    }
}

static void refuse(struct reload *reload)
{
    struct server *server = reload->server;
    log_error("reload: refused: %s", reload->error.text);
    if (reload->status == -EACCES && sandbox_forbids(server->arguments->config))
        log_error("reload: %s", sandbox_forbids_sentence);
    log_error("reload: the configuration stays as it was");
    audit_reloaded(server, ERR_INVALID_ARGUMENT);
    finish(reload);
}

static void finish_applied(struct reload *reload)
{
    if (!reload->is_applied || reload->creating > 0)
        return;
    reload->is_applied = false;
    config_log(&reload->changes);
    finish(reload);
}

void reload_created(struct server *server)
{
    server->reload.creating--;
    finish_applied(&server->reload);
}

static void take_over(struct reload *reload)
{
    apply(reload->server, &reload->conf);
    config_changes_release(&reload->changes);
    reload->changes = reload->found;
    reload->found = (struct config_changes){0};
    reload->is_applied = true;
}

static void on_loaded(struct work *work)
{
    struct reload *reload = (struct reload *)work;
    struct server *server = reload->server;
    bool is_stopping = server->phase != SERVER_RUNNING;
    if (reload->status == 0)
        check_listeners(reload);
    if (reload->status == 0 && is_stopping)
        drop(reload);
    else if (reload->status == 0)
        take_over(reload);
    /* who asks for it need not wait for the new regions, which may be behind a restore */
    reload_end_turn(server);
    if (reload->status != 0)
        refuse(reload);
    else if (is_stopping)
        finish(reload);
    else
        finish_applied(reload);
}

void reload_start(struct server *server)
{
    struct reload *reload = &server->reload;
    if (server->phase != SERVER_RUNNING)
        return;
    if (reload->is_running) {
        reload->is_wanted = true;
        return;
    }
    notify_reloading();
    log_info("reloading the configuration");
    reload->is_running = true;
    reload->server = server;
    reload->has_tls = server->certificates.context != NULL;
    reload->work = (struct work){.run = run_load, .done = on_loaded};
    reload_take_turn(server, &reload->work);
}
