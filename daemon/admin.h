/* Creating, restoring, dropping, renaming and changing regions: one at a time, first come first
 * served, on a worker.
 *
 * Copying a backup may take hours, so nobody waits for that who wants something else: it is made
 * beside the others, one copy at a time, into a folder with a name that no region has. Only what is
 * about the same region or name waits for its end, and the next copy.
 *
 * A region that is to be dropped is out of the table at once, so nobody new finds it. When its turn
 * has come, its pending flush is hurried; when nothing is under way in it any more, a worker closes
 * and removes it. If the removal fails the region is opened again and stays.
 *
 * A region that is renamed stays open, and requests for it go on: only its jobs are held back until
 * its folder has the new name, because they open files by their paths. Changes are staged and
 * answered a moment later. Ids stay, so who names it by its id notices nothing.
 *
 * A region of the configuration has from there what it is called and may, at every start and
 * reload: neither is changed here. If a reload lists a region that is being renamed, that is taken
 * back before anybody has heard of the new name. Loop thread. */
#ifndef MREGION_DAEMON_ADMIN_H
#define MREGION_DAEMON_ADMIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/options.h"

struct admin_task;
struct region_entry;
struct request;
struct server;

struct admin {
    struct admin_task *tasks;     /* in the order in which they were asked for */
    struct admin_task *under_way; /* the one that has the store, or NULL */
    struct admin_task *copying;   /* the one that copies a backup beside it, or NULL */
    atomic_bool is_hurried;       /* the server is stopping: who restores gives up */
};

enum admin_kind { ADMIN_CREATE, ADMIN_RESTORE, ADMIN_DROP, ADMIN_RENAME, ADMIN_SET };

/* What is to be done; all but the entry is borrowed for the call. */
struct admin_wish {
    enum admin_kind kind;
    struct region_entry *entry; /* to drop, rename or change */
    const char *name;           /* of a new region, or what one is to be called */
    size_t name_length;
    const char *backup; /* to restore */
    size_t backup_length;
    struct region_options options; /* of a new region, or those to be changed: */
    uint32_t given;                /* which (region_options.h) */
};

void admin_init(struct admin *admin);

/* All answer the request, which is theirs to free, when it is done; request is NULL where the
 * configuration asks. False without memory: nothing happens. */
bool admin_begin(struct server *server, const struct admin_wish *wish, struct request *request);
bool admin_create(struct server *server, const char *name, size_t length,
                  const struct region_options *options, struct request *request);
bool admin_drop(struct server *server, struct region_entry *entry, struct request *request);

/* The same of a region that is made out of a backup, which whoever asks must be allowed to have:
 * the region's name in there is looked at first. */
bool admin_restore(struct server *server, const char *backup, size_t backup_length,
                   const char *name, size_t length, struct request *request);
/* Whether a region is being made of that backup, or waits for it. */
bool admin_is_restoring(const struct admin *admin, const char *backup);
/* What takes long and need not be finished is given up. */
void admin_hurry(struct admin *admin);

/* No job is under way in a region that is held. */
void admin_region_still(struct region_entry *entry);
/* Nothing is under way in a region that is being dropped. */
void admin_region_quiet(struct region_entry *entry);

bool admin_is_idle(const struct admin *admin);

#endif
