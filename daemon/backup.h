/* Backups: one at a time in the whole server, first come first served, and who waits for them.
 *
 * Nobody has to wait for a whole backup but who asked for it: a region that is dropped, and a
 * server that stops, wait for a piece at most, or for its last syncs. What a client has asked for
 * is done although it goes away; where its connection is closed by force only what has begun. Loop
 * thread, but for the opening and closing of the directory. */
#ifndef MREGION_DAEMON_BACKUP_H
#define MREGION_DAEMON_BACKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/io.h"

struct backup_task;
struct call;
struct conf;
struct conn;
struct region_entry;
struct removal;
struct sandbox;
struct server;

struct backups_service {
    struct io *io;             /* of backup_dir; NULL where there is none */
    struct io_file *lock;      /* held as long as it is open */
    struct backup_task *tasks; /* the first one is under way */
    struct removal *removals;  /* likewise */
};

/* Makes the directory where it is missing, locks it and tidies it up. Nothing without backup_dir.
 */
int backup_open_directory(struct server *server, struct err *err);
/* All are over, and the regions closed. */
void backup_close_directory(struct server *server);

/* 0, or ERR_INVALID_ARGUMENT for a server without backup_dir; or for a name that no backup has. */
int backup_check(const struct server *server, const char *method, const uint8_t *name, size_t size,
                 struct err *err);

/* Whether a backup of this name is being made. */
bool backup_is_made(const struct server *server, const char *name);
/* Whether one of this name is being removed, and nothing may begin to read it. */
bool backup_is_removed(const struct server *server, const char *name);
/* A job of the region's backup lane is done. */
void backup_settle(struct region_entry *entry);
/* All of this region's, or of all regions where entry is NULL, are given up. */
void backup_refuse(struct server *server, struct region_entry *entry, const struct err *err);
/* The connection is being closed: a backup may take longer than its memory is to be kept. */
void backup_abandon(struct conn *conn);

#endif
