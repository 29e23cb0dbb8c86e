/* Scrubs: which region reads its next piece, who waits for a pass, and what was found.
 *
 * One piece at a time is under way in the whole server, so that most of the threads are left to
 * those who wait for a cold blob; regions that want to read one take turns. Nobody has to wait for
 * a whole pass: a region that is dropped, and a server that stops, wait for a piece at most. Loop
 * thread. */
#ifndef MREGION_DAEMON_SCRUB_H
#define MREGION_DAEMON_SCRUB_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

struct conn;
struct region_entry;
struct request;
struct server;

/* The region may read a piece, if it wants to: whether it may be asked for one now. If not it has
 * its turn later. */
bool scrub_may_start(struct region_entry *entry);
/* It was asked, and has started to read one or has not. */
void scrub_started(struct region_entry *entry, bool has_started);
/* Its piece is done. */
void scrub_piece_done(struct region_entry *entry);
/* Whether it waits for its turn, and not for the clock. */
bool scrub_is_queued(const struct region_entry *entry);

/* The request waits for the pass request->ticket. */
void scrub_wait(struct request *request);
/* Answers those whose pass is over. */
void scrub_answer(struct region_entry *entry);
/* Answers all who wait: the pass is not going to be completed. The region takes no further turn. */
void scrub_refuse(struct region_entry *entry, const struct err *err);
/* The connection is being closed: a pass may take longer than its memory is to be kept. */
void scrub_abandon(struct conn *conn);
/* The answer of a request whose pass is over. */
void scrub_send(const struct request *request);

/* Logs damaged pages that are news, whoever found them. */
void scrub_log_findings(struct region_entry *entry);

/* When the region's last pass was completed, in seconds since 1970; 0 never. */
uint64_t scrub_finished_s(const struct region_entry *entry);

#endif
