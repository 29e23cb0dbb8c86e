/* Creating and dropping regions: one at a time, first come first served, on a worker.
 *
 * A region that is to be dropped is out of the table at once, so nobody new finds it. When its turn
 * has come, its pending flush is hurried; when nothing is under way in it any more, a worker closes
 * and removes it. If the removal fails the region is opened again and stays. Loop thread. */
#ifndef MREGION_DAEMON_ADMIN_H
#define MREGION_DAEMON_ADMIN_H

#include <stdbool.h>
#include <stddef.h>

#include "core/options.h"

struct admin_task;
struct region_entry;
struct request;
struct server;

struct admin {
    struct admin_task *first, **last; /* the first one is under way */
};

void admin_init(struct admin *admin);

/* Both answer the request, which is theirs to free, when the region is there or gone; request is
 * NULL where the configuration asks. False without memory: nothing happens. */
bool admin_create(struct server *server, const char *name, size_t length,
                  const struct region_options *options, struct request *request);
bool admin_drop(struct server *server, struct region_entry *entry, struct request *request);

/* Nothing is under way in a region that is being dropped. */
void admin_region_quiet(struct region_entry *entry);

bool admin_is_idle(const struct admin *admin);

#endif
