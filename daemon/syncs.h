/* How long the disk takes to have what was written: each sync of a file is counted where it is
 * done. One store in the process. */
#ifndef MREGION_DAEMON_SYNCS_H
#define MREGION_DAEMON_SYNCS_H

#include "core/io.h"
#include "daemon/stats.h"

/* From now on those of the io's files are counted. Before there are other threads. */
void syncs_watch(struct io *io);
/* Any thread: as many as there are by now, more or less. */
void syncs_read(struct histogram *ret);

#endif
