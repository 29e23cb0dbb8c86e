/* Group commit: moves the lanes of the regions, and answers who waited for them.
 *
 * Whatever may give a region something to do (a change staged, a job done, a pin released, a
 * deadline come) touches it. At the end of the loop's turn commit_pump asks every touched region
 * for its next jobs and hands them to the workers: so a batch holds what all connections sent in
 * that turn and while the batch before it was under way, and a lone request is committed at
 * once. There is no timer in it. Loop thread. */
#ifndef MREGION_DAEMON_COMMIT_H
#define MREGION_DAEMON_COMMIT_H

#include <stdbool.h>
#include <stdint.h>

struct region_entry;
struct request;
struct server;

/* For regions_add. */
void commit_init(struct region_entry *entry);

/* The region may have a job to do. */
void commit_touch(struct region_entry *entry);
/* Starts what touched regions have to do. */
void commit_pump(struct server *server);

/* The request's change has just been staged: it is answered once that is done. */
void commit_wait_change(struct request *request);
/* A change that was made before, with this ticket: answered as soon as that is done. */
void commit_wait_earlier(struct request *request, uint64_t ticket);
/* A load waits for request->ticket to be applied. */
void commit_wait_applied(struct request *request);
/* Waits for the checkpoint request->ticket. */
void commit_wait_checkpoint(struct request *request);

/* Whether nothing is under way, staged or waiting in the region, so that it may be closed. */
bool commit_is_quiet(const struct region_entry *entry);

#endif
