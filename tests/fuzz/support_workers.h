/* The daemon's workers (daemon/worker.h) without threads: each work runs on a stack of its own, on
 * the loop's thread, and gives way to the loop wherever it comes to the disk and where it tells
 * that a batch is durable. Who goes on next, and how far, is for the test to say, so that the same
 * input has the same interleaving, always. Linked in the place of worker.c. */
#ifndef MREGION_TESTS_SUPPORT_WORKERS_H
#define MREGION_TESTS_SUPPORT_WORKERS_H

#include <stdbool.h>

#include "daemon/worker.h"

/* Called by workers_init and workers_stop, with the same workers. */
extern void (*workers_on_start)(struct workers *workers);
extern void (*workers_on_stop)(struct workers *workers);

/* From within a work: the loop goes on, the work after the loop has. Elsewhere nothing happens. */
void workers_give_way(void);

/* Lets the which-th of those that have something to do go on until it gives way, or to its end.
 * False: there is none. */
bool workers_step(unsigned which);
/* Calls done() of all that are through. */
void workers_deliver(void);
/* Whether nothing is under way and nothing to be delivered. */
bool workers_are_idle(void);

#endif
