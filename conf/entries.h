/* A configuration as a list of settings, each with its value as it would stand in the file: for
 * telling what is in force, and what one that was read again has changed. */
#ifndef MREGION_CONF_ENTRIES_H
#define MREGION_CONF_ENTRIES_H

#include <stddef.h>

#include "conf/conf.h"
#include "conf/settings.h"

struct conf_entry {
    /* "max_batch"; of a region "regions.NAME.fit", of a user "users.NAME.grants". Lists of
     * listeners are one value. */
    const char *name;
    const char *value;  /* of a secret CONF_SECRET */
    const char *secret; /* that secret; borrowed from the configuration. NULL: it is none */
    enum setting_id id; /* of the setting at the top that it belongs to */
    const char *item;   /* NAME, of item_length bytes; NULL where there is none */
    size_t item_length;
};

#define CONF_SECRET "(not shown)"

struct conf_entries {
    struct conf_entry *items; /* ascending: by setting at the top, item and name */
    size_t count;
    char *text; /* of all of them */
};

/* 0 or -ENOMEM. Everything is copied but secrets. Release it. */
int conf_entries_make(const struct conf *conf, struct conf_entries *ret_entries);
void conf_entries_release(struct conf_entries *entries);

/* Goes through two lists as through one, by name: NULL for what only the other has. Starts with
 * zeros; false at the end. */
struct conf_pair {
    size_t first, second; /* of each list so many are behind */
    const struct conf_entry *before, *after;
};
bool conf_entries_next(const struct conf_entries *before, const struct conf_entries *after,
                       struct conf_pair *pair);
/* Whether both are there and say the same, secrets too. */
bool conf_pair_is_same(const struct conf_pair *pair);

#endif
