#include "daemon/backup.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <utlist.h>

#include "core/array.h"
#include "core/backups.h"
#include "core/meta.h"
#include "daemon/access.h"
#include "daemon/admin.h"
#include "daemon/answer.h"
#include "daemon/audit.h"
#include "daemon/commit.h"
#include "daemon/conn.h"
#include "daemon/handle.h"
#include "daemon/log.h"
#include "daemon/privileges.h"
#include "daemon/regions.h"
#include "daemon/request.h"
#include "daemon/server.h"

struct backup_task {
    struct backup_task *prev, *next; /* the first one is under way */
    struct server *server;
    struct region_entry *entry;
    struct request *request; /* NULL: nobody waits for it any more */
    char name[REGION_NAME_MAX + 1];
    uint64_t begun_ms;
    bool is_begun;
};

/* ---- The directory ---- */

/* Whether one of the paths lies in the other, or is the same. */
static bool is_within(const char *inner, const char *outer)
{
    size_t length = strlen(outer);
    return strncmp(inner, outer, length) == 0 &&
           (inner[length] == '/' || inner[length] == '\0' || outer[length - 1] == '/');
}

static int check_apart(const struct conf *conf, struct err *err)
{
    char *data = realpath(conf->data_dir, NULL), *backups = realpath(conf->backup_dir, NULL);
    bool is_apart =
        data != NULL && backups != NULL && !is_within(backups, data) && !is_within(data, backups);
    free(data);
    free(backups);
    return is_apart ? 0
                    : err_set(err, ERR_INVALID_ARGUMENT,
                              "backup_dir %s must lie outside data_dir, and not around it",
                              conf->backup_dir);
}

static int make_directory(const struct conf *conf, struct err *err)
{
    int error = 0;
    if (mkdir(conf->backup_dir, 0700) == 0)
        error = privileges_give(conf, conf->backup_dir);
    else if (errno != EEXIST)
        error = -errno;
    return error == 0 ? check_apart(conf, err)
                      : err_set(err, ERR_IO_ERROR, "cannot make backup_dir %s: %s",
                                conf->backup_dir, strerror(-error));
}

int backup_open_directory(struct server *server, struct err *err)
{
    struct backups_service *backups = &server->backups;
    const struct conf *conf = &server->conf;
    struct err reason;
    if (conf->backup_dir == NULL)
        return 0;
    int status = make_directory(conf, err);
    if (status != 0)
        return status;
    int error = io_posix_new(conf->backup_dir, &backups->io);
    if (error != 0)
        return err_set(err, ERR_IO_ERROR, "cannot open backup_dir %s: %s", conf->backup_dir,
                       strerror(-error));
    backups->io->shares_space = conf->backup_reflinks == SWITCH_ON;
    if (backups_open(backups->io, &backups->lock, &reason) == 0)
        return 0;
    backups->lock = NULL;
    return err_set(err, reason.code, "cannot open backup_dir %s: %s", conf->backup_dir,
                   reason.text);
}

void backup_close_directory(struct server *server)
{
    struct backups_service *backups = &server->backups;
    if (backups->lock != NULL)
        backups->io->ops->close(backups->io, backups->lock);
    if (backups->io != NULL)
        io_posix_free(backups->io);
    backups->lock = NULL;
    backups->io = NULL;
}

int backup_check(const struct server *server, const char *method, const uint8_t *name, size_t size,
                 struct err *err)
{
    char escaped[REGION_NAME_MAX * 4 + 1];
    if (server->backups.io == NULL)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "%s: the server has no place for backups: set backup_dir in its "
                       "configuration, and restart it",
                       method);
    if (region_name_is_valid((const char *)name, size))
        return 0;
    log_escape((const char *)name, size, escaped, sizeof escaped);
    return err_set(err, ERR_INVALID_ARGUMENT,
                   "%s: backup must be 1 to %d of A-Z a-z 0-9 . _ -, the first one a letter or "
                   "digit, not \"%.80s\"",
                   method, REGION_NAME_MAX, escaped);
}

/* ---- One after the other ---- */

static void forget(struct backup_task *task)
{
    DL_DELETE(task->server->backups.tasks, task);
    free(task);
}

static void answer(struct backup_task *task, const struct err *failure, uint64_t bytes)
{
    struct request *request = task->request;
    if (request == NULL)
        return;
    request->result = RESULT_UINT;
    request->number = bytes;
    request->conn->backups--;
    if (failure == NULL)
        request_succeed(request);
    else
        request_fail(request, failure);
    task->request = NULL;
}

static void start_next(struct server *server)
{
    struct backup_task *task = server->backups.tasks, *next;
    struct err err;
    for (; task != NULL && !task->is_begun; task = next) {
        if (region_backup_begin(task->entry->region, server->backups.io, task->name, &err) == 0) {
            task->is_begun = true;
            task->begun_ms = now_ms();
            commit_touch(task->entry);
            return;
        }
        answer(task, &err, 0);
        next = task->next;
        forget(task);
    }
}

static void log_end(const struct backup_task *task, const struct region_backup *backup)
{
    const struct log_about about = {.region = task->entry->name,
                                    .error = backup->code == 0 ? NULL : err_name(backup->err.code)};
    if (backup->code == 0)
        log_info_about(&about, "region %s: backed up as %s, %" PRIu64 " bytes %s in %" PRIu64 " ms",
                       task->entry->name, task->name, backup->bytes,
                       backup->is_cloned ? "cloned" : "copied", now_ms() - task->begun_ms);
    else
        log_warning_about(&about, "region %s: no backup %s: %s", task->entry->name, task->name,
                          backup->err.text);
}

void backup_settle(struct region_entry *entry)
{
    struct server *server = entry->server;
    struct backup_task *task = server->backups.tasks;
    struct region_backup backup;
    if (!region_take_backup(entry->region, &backup))
        return;
    log_end(task, &backup);
    answer(task, backup.code == 0 ? NULL : &backup.err, backup.bytes);
    forget(task);
    start_next(server);
}

/* One that has begun is answered when it has ended. */
void backup_refuse(struct server *server, struct region_entry *entry, const struct err *err)
{
    struct backup_task *task, *next;
    DL_FOREACH_SAFE(server->backups.tasks, task, next)
    {
        if (entry != NULL && task->entry != entry)
            continue;
        if (task->is_begun) {
            region_backup_cancel(task->entry->region, err);
            commit_touch(task->entry);
            continue;
        }
        answer(task, err, 0);
        forget(task);
    }
}

void backup_abandon(struct conn *conn)
{
    struct backup_task *task, *next;
    DL_FOREACH_SAFE(conn->server->backups.tasks, task, next)
    {
        struct request *request = task->request;
        if (request == NULL || request->conn != conn)
            continue;
        audit_give_up(request);
        conn->backups--;
        request_free(request);
        task->request = NULL;
        if (!task->is_begun)
            forget(task);
    }
}

enum outcome handle_BACKUP_REGION(struct call *call)
{
    const struct rpc_param *name = &call->args.params[1];
    struct server *server = call->server;
    struct err err;
    if (backup_check(server, "backupRegion", name->bytes, name->size, &err) != 0)
        return call_error(call, &err);
    if (server->phase != SERVER_RUNNING) {
        err_set(&err, ERR_SHUTTING_DOWN, "the server is stopping, and does not begin a backup");
        return call_error(call, &err);
    }
    struct backup_task *task = calloc(1, sizeof *task);
    if (task == NULL)
        return call_no_memory(call);
    task->request =
        request_new(call->conn, call->entry, call->envelope.msgid, call->envelope.is_notification);
    if (task->request == NULL) {
        free(task);
        return call_no_memory(call);
    }
    audit_begin(call, task->request);
    request_move(task->request, REQUEST_BACKING_UP);
    call->conn->backups++;
    task->server = server;
    task->entry = call->entry;
    memcpy(task->name, name->bytes, name->size);
    DL_APPEND(server->backups.tasks, task);
    start_next(server);
    return HANDLED;
}

/* ---- restoreRegion ---- */

enum outcome handle_RESTORE_REGION(struct call *call)
{
    const struct rpc_param *backup = &call->args.params[0], *name = &call->args.params[1];
    char escaped[REGION_NAME_MAX * 4 + 1];
    struct err err;
    if (backup_check(call->server, "restoreRegion", backup->bytes, backup->size, &err) != 0)
        return call_error(call, &err);
    if (!region_name_is_valid((const char *)name->bytes, name->size)) {
        log_escape((const char *)name->bytes, name->size, escaped, sizeof escaped);
        err_set(&err, ERR_INVALID_ARGUMENT,
                "restoreRegion: name must be 1 to %d of A-Z a-z 0-9 . _ -, the first one a letter "
                "or digit, not \"%.80s\"",
                REGION_NAME_MAX, escaped);
        return call_error(call, &err);
    }
    if (!access_may_create(call, (const char *)name->bytes, name->size, &err))
        return call_error(call, &err);
    struct request *request =
        request_new(call->conn, NULL, call->envelope.msgid, call->envelope.is_notification);
    if (request == NULL)
        return call_no_memory(call);
    audit_begin(call, request);
    request_move(request, REQUEST_BACKING_UP);
    if (!admin_restore(call->server, (const char *)backup->bytes, backup->size,
                       (const char *)name->bytes, name->size, request)) {
        audit_give_up(request);
        request_free(request);
        return call_no_memory(call);
    }
    return HANDLED;
}

/* ---- listBackups ---- */

/* More than that is not a list that anybody reads. */
#define LISTED_MAX 10000

struct listed {
    char name[REGION_NAME_MAX + 1];
    char region[REGION_NAME_MAX + 1];
    uint64_t size, made_s;
};

struct listing {
    struct work work; /* first */
    struct request *request;
    struct io *io;
    const char *path; /* its directory */
    struct listed *items;
    size_t count, capacity;
    int code;
    struct err err;
};

/* When it was completed: its meta file is its last. */
static uint64_t made_s(const struct listing *listing, const char *name)
{
    char path[PATH_MAX];
    struct stat stat_of;
    int length = snprintf(path, sizeof path, "%s/%s/" META_FILE, listing->path, name);
    return length > 0 && (size_t)length < sizeof path && stat(path, &stat_of) == 0
               ? (uint64_t)stat_of.st_mtim.tv_sec
               : 0;
}

static int note_backup(void *context, const struct backup_about *about)
{
    struct listing *listing = context;
    if (listing->count == LISTED_MAX)
        return err_set(&listing->err, ERR_TOO_LARGE,
                       "listBackups: there are more than %d backups: move some elsewhere",
                       LISTED_MAX);
    struct listed *items =
        array_grown(listing->items, &listing->capacity, listing->count + 1, sizeof *items);
    if (items == NULL)
        return err_set(&listing->err, ERR_INTERNAL, "out of memory");
    listing->items = items;
    struct listed *item = &items[listing->count++];
    *item = (struct listed){.size = about->size, .made_s = made_s(listing, about->name)};
    memcpy(item->name, about->name, strlen(about->name));
    memcpy(item->region, about->meta->name, sizeof item->region);
    return 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct listed *)a)->name, ((const struct listed *)b)->name);
}

static void run_list(struct work *work)
{
    struct listing *listing = (struct listing *)work;
    listing->code = backups_list(listing->io, note_backup, listing, &listing->err);
    if (listing->count > 0)
        qsort(listing->items, listing->count, sizeof listing->items[0], compare);
}

static void pack_item(msgpack_packer *packer, const struct listed *item)
{
    msgpack_pack_map(packer, 4);
    answer_pack_text(packer, "name");
    answer_pack_text(packer, item->name);
    answer_pack_text(packer, "region");
    answer_pack_text(packer, item->region);
    answer_pack_text(packer, "size");
    msgpack_pack_uint64(packer, item->size);
    answer_pack_text(packer, "made");
    msgpack_pack_uint64(packer, item->made_s);
}

/* What one takes besides its names, at most, and what is around all of them. */
#define ITEM_SIZE 48
#define FRAME_SIZE 8

/* Moves those to the front that may be seen, in their order. What they take at most. */
static uint64_t choose(struct listing *listing)
{
    uint64_t size = FRAME_SIZE;
    size_t count = 0;
    for (size_t i = 0; i < listing->count; i++) {
        const struct listed *item = &listing->items[i];
        if (!access_may_restore(listing->request->conn, item->region))
            continue;
        size += ITEM_SIZE + strlen(item->name) + strlen(item->region);
        listing->items[count++] = *item;
    }
    listing->count = count;
    return size;
}

/* The answer, as it is sent, in the request. */
static int pack_list(struct listing *listing)
{
    struct request *request = listing->request;
    uint64_t size = choose(listing);
    msgpack_packer packer;
    if (!answer_fits(request->conn->server, "listBackups", size, "move some of them elsewhere",
                     &listing->err))
        return (int)listing->err.code;
    if (!request_reserve(request, RESULT_PACKED, size, false))
        return err_set(&listing->err, ERR_INTERNAL, "listBackups: out of memory");
    struct answer_room room = {request_bytes(request), request_bytes(request) + size};
    msgpack_packer_init(&packer, &room, answer_write_to_room);
    msgpack_pack_array(&packer, listing->count);
    for (size_t i = 0; i < listing->count; i++)
        pack_item(&packer, &listing->items[i]);
    request->number = (uint64_t)(room.end - request_bytes(request));
    return 0;
}

static void on_listed(struct work *work)
{
    struct listing *listing = (struct listing *)work;
    if (listing->code == 0)
        listing->code = pack_list(listing);
    if (listing->code == 0)
        request_succeed(listing->request);
    else
        request_fail(listing->request, &listing->err);
    free(listing->items);
    free(listing);
}

enum outcome handle_LIST_BACKUPS(struct call *call)
{
    struct backups_service *backups = &call->server->backups;
    struct err err;
    if (backup_check(call->server, "listBackups", (const uint8_t *)"x", 1, &err) != 0)
        return call_error(call, &err);
    struct listing *listing = calloc(1, sizeof *listing);
    if (listing == NULL)
        return call_no_memory(call);
    listing->request =
        request_new(call->conn, NULL, call->envelope.msgid, call->envelope.is_notification);
    if (listing->request == NULL) {
        free(listing);
        return call_no_memory(call);
    }
    request_move(listing->request, REQUEST_ADMIN);
    request_hold(listing->request);
    listing->io = backups->io;
    listing->path = call->server->conf.backup_dir;
    listing->work = (struct work){.run = run_list, .done = on_listed};
    workers_submit(&call->server->workers, WORK_OTHER, &listing->work);
    return HANDLED;
}

bool backup_is_made(const struct server *server, const char *name)
{
    const struct backup_task *task = server->backups.tasks;
    return task != NULL && task->is_begun && strcmp(task->name, name) == 0;
}
