/* The options of regions as clients give them, by the names that the configuration has for them. */
#ifndef MREGION_DAEMON_REGION_OPTIONS_H
#define MREGION_DAEMON_REGION_OPTIONS_H

#include <stdint.h>

#include "core/err.h"
#include "core/options.h"

struct call;

/* Goes through the options of the call: what is given replaces what is in *options, and is noted in
 * *ret_given. ERR_INVALID_ARGUMENT for a value that is none of the option's; ranges are not looked
 * at. */
int region_options_read(struct call *call, struct region_options *options, uint32_t *ret_given,
                        struct err *err);
/* Takes over those that were given. */
void region_options_merge(struct region_options *options, const struct region_options *from,
                          uint32_t given);

#endif
