/* From the YAML of a file to a struct conf. Internal to this folder. */
#ifndef MREGION_CONF_READ_H
#define MREGION_CONF_READ_H

#include "conf/conf.h"

/* Overrides *conf by what size bytes at text say; name stands for the file in errors. 0, -EINVAL
 * or -ENOMEM; on failure *conf is half overridden, though whole enough to be released. */
int conf_read(struct conf *conf, const char *text, size_t size, const char *name,
              struct conf_error *error);

#endif
