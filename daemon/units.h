/* Sizes and times in words ("64MiB", "100ms"), as the configuration reads them. A room of its own
 * because the headers of conf and proto both name kinds of values. */
#ifndef MREGION_DAEMON_UNITS_H
#define MREGION_DAEMON_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* False when the length bytes at text are none. */
bool units_parse_size(const char *text, size_t length, uint64_t *ret_bytes);
bool units_parse_time(const char *text, size_t length, uint64_t *ret_ms);

#endif
