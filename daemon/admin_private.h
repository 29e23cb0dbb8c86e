/* The inside of the tasks, for the files admin*.c only.
 *
 *     admin.c         what comes after what; dropping
 *     admin_create.c  creating and restoring
 *     admin_change.c  renaming and other options */
#ifndef MREGION_DAEMON_ADMIN_PRIVATE_H
#define MREGION_DAEMON_ADMIN_PRIVATE_H

#include "core/err.h"
#include "core/limits.h"
#include "daemon/admin.h"
#include "daemon/worker.h"

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

/* Has a worker run it. */
void admin_submit(struct admin_task *task, void (*run)(struct work *work),
                  void (*done)(struct work *work));
/* Ends the task with an answer, and starts what waits for it. */
void admin_finish(struct admin_task *task, uint64_t id);
/* Starts what may be. */
void admin_go_on(struct server *server);

/* Those that start a task return true when it is over already, with its error. */
bool admin_start_create(struct admin_task *task); /* or to restore */
bool admin_start_rename(struct admin_task *task);
bool admin_start_set(struct admin_task *task);

/* What is restored has been copied, and has the store again. */
void admin_end_restoring(struct admin_task *task);
/* What a region may has changed: what was held back by the old options goes. */
void admin_set_options(struct region_entry *entry, const struct region_options *options);

#endif
