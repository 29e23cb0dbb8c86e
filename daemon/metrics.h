/* A snapshot in the formats of Prometheus (text, 0.0.4) and OpenMetrics (1.0.0): the same families,
 * in base units. Labels are methods, error codes, and names of regions, of which there are at most
 * as many as there may be. Any thread. */
#ifndef MREGION_DAEMON_METRICS_H
#define MREGION_DAEMON_METRICS_H

#include <stdbool.h>

#include "daemon/snapshot.h"
#include "daemon/textbuf.h"

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define METRICS_OPEN_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

void metrics_write(const struct snapshot *snapshot, bool is_open, struct textbuf *to);
/* Whether a client with this header Accept, or none (NULL), is given OpenMetrics. */
bool metrics_wants_open(const char *accept);

#endif
