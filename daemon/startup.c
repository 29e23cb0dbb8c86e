#include "daemon/startup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/arguments.h"
#include "daemon/certificates.h"
#include "daemon/log.h"
#include "daemon/notify.h"
#include "daemon/privileges.h"
#include "daemon/probes.h"
#include "daemon/regions.h"
#include "daemon/server.h"
#include "daemon/syncs.h"

int startup_open_directory(const char *path, bool read_only, struct io **ret_io,
                           struct store **ret_store, struct err *err)
{
    struct err reason;
    struct io *io;
    int status = io_posix_new(path, &io);
    if (status != 0)
        return err_set(err, ERR_IO_ERROR, "cannot open data_dir %s: %s", path, strerror(-status));
    if (store_open(io, read_only, ret_store, &reason) != 0) {
        io_posix_free(io);
        return err_set(err, reason.code, "cannot open data_dir %s: %s", path, reason.text);
    }
    *ret_io = io;
    return 0;
}

/* More than the time between two calls on a slow disk. */
#define MIGRATION_PATIENCE_S 300

/* Between two log lines: a large region takes hours. */
#define MIGRATION_LOG_MS 10000

static void on_migration(void *context, const char *folder, uint64_t done, uint64_t total)
{
    static uint64_t logged_ms;
    uint64_t now_ms = uv_hrtime() / 1000000;
    uint64_t percent = total == 0 ? 100 : done * 100 / total;
    bool is_between = done > 0 && done < total;
    (void)context;
    notify_extend_timeout(MIGRATION_PATIENCE_S);
    notify_status("migrating %s to format %d: %" PRIu64 " %%", folder, REGION_FORMAT, percent);
    if (is_between && now_ms - logged_ms < MIGRATION_LOG_MS)
        return;
    logged_ms = now_ms;
    log_info("migrating %s to format %d: %" PRIu64 " of %" PRIu64 " bytes (%" PRIu64 " %%)", folder,
             REGION_FORMAT, done, total, percent);
}

static void log_report(const char *name, const struct region_report *report)
{
    const struct log_about about = {.region = name};
    log_info_about(&about,
                   "region %s: open, %" PRIu64 " free blocks; checkpoint %" PRIu64 ", %" PRIu64
                   " journal records replayed",
                   name, report->free_blocks, report->checkpoint_sequence, report->records);
    if (report->migrated_from != 0)
        log_info_about(&about, "region %s: migrated from format %" PRIu32 " to %d", name,
                       report->migrated_from, REGION_FORMAT);
    if (report->damaged > 0)
        log_error_about(&about,
                        "region %s: %" PRIu64
                        " pages that the journal had changed do not match their checksums",
                        name, report->damaged);
    if (report->cut_bytes > 0)
        log_warning_about(&about,
                          "region %s: cut %" PRIu64
                          " bytes of a torn tail off the journal at %" PRIu64
                          ": the last write before the crash had not been acknowledged",
                          name, report->cut_bytes, report->cut_at);
}

/* Hands an open region to the table. */
static int enter(struct server *server, struct region *region, struct err *err)
{
    if (regions_add(server, region) != NULL)
        return 0;
    region_close(region);
    return err_set(err, ERR_INTERNAL, "out of memory");
}

static const struct conf_region *find_configured(const struct conf *conf, const char *name)
{
    for (size_t i = 0; i < conf->regions_count; i++)
        if (strcmp(conf->regions[i].name, name) == 0)
            return &conf->regions[i];
    return NULL;
}

struct opening {
    struct server *server;
    struct err *err;
};

static int open_region(void *context, const char *name)
{
    struct opening *opening = context;
    struct server *server = opening->server;
    const struct conf_region *configured = find_configured(&server->conf, name);
    struct region *region;
    struct region_report report = {0};
    struct err reason;
    notify_extend_timeout(MIGRATION_PATIENCE_S);
    notify_status("recovering region %s", name);
    PROBE_RECOVERY_BEGIN(name);
    int status =
        store_open_region(server->store, name, configured != NULL ? &configured->options : NULL,
                          &region, &report, &reason);
    PROBE_RECOVERY_END(name, report.records, status);
    if (status != 0)
        return err_set(opening->err, reason.code, "cannot open region %s: %s", name, reason.text);
    log_report(name, &report);
    return enter(server, region, opening->err);
}

static int create_region(struct server *server, const struct conf_region *configured,
                         struct err *err)
{
    struct region *region;
    struct err reason;
    int status = store_create_region(server->store, configured->name, &configured->options, &region,
                                     &reason);
    if (status != 0)
        return err_set(err, reason.code, "cannot create region %s: %s", configured->name,
                       reason.text);
    log_info_about((&(struct log_about){.region = configured->name}), "region %s: created",
                   configured->name);
    return enter(server, region, err);
}

/* It belongs to whom the server becomes, if it does. */
static int make_data_dir(const struct conf *conf, struct err *err)
{
    int error = 0;
    if (mkdir(conf->data_dir, 0700) == 0)
        error = privileges_give(conf, conf->data_dir);
    else if (errno != EEXIST)
        error = -errno;
    return error == 0 ? 0
                      : err_set(err, ERR_IO_ERROR, "cannot make data_dir %s: %s", conf->data_dir,
                                strerror(-error));
}

int startup_drop_privileges(struct server *server, struct err *err)
{
    const struct conf *conf = &server->conf;
    server->means.all_ids = privileges_see_users();
    if (!server->means.all_ids)
        log_info("the users on Unix sockets cannot be told apart: this is a namespace without them "
                 "(PrivateUsers=)");
    if (!privileges_are_too_many(conf)) {
        if (geteuid() == 0 && conf->run_as.name[0] == '\0')
            log_warning("running as root, of which the server needs nothing: set user in the "
                        "configuration to the name of another one, or to root if you mean it");
        return 0;
    }
    int status = make_data_dir(conf, err);
    if (status == 0)
        status = listeners_open(server, conf, err);
    if (status == 0)
        status = listeners_hold(server, err);
    return status == 0 ? privileges_drop(conf, err) : status;
}

/* What a reload reads. A file is replaced by another one with its name. */
static int allow_configuration(struct server *server, struct err *err)
{
    const struct conf_tls *tls = &server->conf.tls;
    const char *const paths[] = {server->arguments->config, tls->certificate, tls->key, tls->ca};
    static struct conf_error ignored; /* it was read a moment ago */
    int status = 0;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0] && status == 0; i++) {
        char *path = paths[i] != NULL ? conf_file_path(paths[i], &ignored) : NULL;
        if (path != NULL)
            status = sandbox_allow_around(&server->sandbox, path, SANDBOX_READ, err);
        free(path);
    }
    return status;
}

int startup_restrict_files(struct server *server, struct err *err)
{
    const struct conf *conf = &server->conf;
    struct sandbox *sandbox = &server->sandbox;
    int status = sandbox_init(sandbox, conf->sandbox == SWITCH_ON, err);
    if (status == 0)
        status = sandbox_allow(sandbox, conf->data_dir, SANDBOX_CHANGE, err);
    if (status == 0 && server->backups.io != NULL)
        status = sandbox_allow(sandbox, conf->backup_dir, SANDBOX_CHANGE, err);
    if (status == 0)
        status = allow_configuration(server, err);
    for (const struct listener *listener = server->listeners; listener != NULL && status == 0;
         listener = listener->next)
        if (listener->path != NULL)
            status = sandbox_allow_around(sandbox, listener->path, SANDBOX_REMOVE, err);
    return status == 0 ? sandbox_restrict_files(sandbox, err) : status;
}

int startup_open_store(struct server *server, struct err *err)
{
    struct conf *conf = &server->conf;
    int status = make_data_dir(conf, err);
    if (status != 0)
        return status;
    status = startup_open_directory(conf->data_dir, false, &server->io, &server->store, err);
    if (status != 0)
        return status;
    server->io->shares_space = conf->backup_reflinks == SWITCH_ON;
    syncs_watch(server->io);
    status = backup_open_directory(server, err);
    if (status != 0)
        return status;
    const struct store_migration migration = {
        .is_refused = conf->migrate == MIGRATE_REFUSE,
        .progress = on_migration,
    };
    struct opening opening = {server, err};
    store_set_migration(server->store, &migration);
    status = store_list(server->store, open_region, &opening, err);
    if (status != 0)
        return status;
    for (size_t i = 0; i < conf->regions_count; i++) {
        const struct conf_region *wanted = &conf->regions[i];
        if (regions_find_name(&server->regions, wanted->name, strlen(wanted->name)) != NULL)
            continue;
        status = create_region(server, wanted, err);
        if (status != 0)
            return status;
    }
    return 0;
}

void startup_close_store(struct server *server)
{
    struct region_entry *entry, *next;
    server->regions.touched = NULL;
    HASH_ITER(by_id, server->regions.ids, entry, next)
    {
        regions_remove(server, entry);
        region_close(entry->region);
        entry->region = NULL;
        entry->is_touched = false;
        regions_free(entry);
    }
    backup_close_directory(server);
    if (server->store != NULL)
        store_close(server->store);
    if (server->io != NULL)
        io_posix_free(server->io);
    server->store = NULL;
    server->io = NULL;
}
