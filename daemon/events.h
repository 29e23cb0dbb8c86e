/* What happens to regions, told to connections that have asked for it (subscribe) and may see the
 * region: notifications "event" with one map each.
 *
 * A subscriber that does not read is not waited for: while it has EVENTS_UNREAD bytes or more of
 * answers and events to read it misses those that happen, and the next one that it gets says how
 * many these were. Loop thread. */
#ifndef MREGION_DAEMON_EVENTS_H
#define MREGION_DAEMON_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "core/region.h"

struct region_entry;

/* Some hundred events. */
#define EVENTS_UNREAD ((uint64_t)64 * 1024)

void events_created(const struct region_entry *entry);
/* The entry is not to be found any more, but still there. */
void events_dropped(const struct region_entry *entry);
/* It was called otherwise before. */
void events_renamed(const struct region_entry *entry, const char *before);
void events_read_only(const struct region_entry *entry, const struct err *failure);
void events_corrupt(const struct region_entry *entry, const struct region_finding *finding);
/* More pages were found damaged than are told one by one. */
void events_more_corrupt(const struct region_entry *entry, uint64_t count);
void events_checkpoint(const struct region_entry *entry, uint64_t us);

#endif
