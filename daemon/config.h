/* What a configuration that was read again changes, and what is in force. */
#ifndef MREGION_DAEMON_CONFIG_H
#define MREGION_DAEMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"

enum config_change_kind {
    CONFIG_CHANGED, /* it holds from now on */
    CONFIG_RESTART, /* the file says so, and it holds from the next start on */
    CONFIG_ADDED,   /* a region or user */
    CONFIG_REMOVED, /* likewise */
};

struct config_change {
    enum config_change_kind kind;
    char *name;           /* as conf_entries has it; "regions.NAME" or "users.NAME" */
    char *before, *after; /* the values, of a secret CONF_SECRET; NULL: none */
};

struct config_changes {
    struct config_change *items;
    size_t count, capacity;
    bool is_unknown; /* there was no memory to find out */
};

/* Compares what is in force with what a file says. has_tls: the certificates may change, because
 * there are some. Takes its time with thousands of regions; any thread. */
void config_compare(const struct conf *before, const struct conf *after, bool has_tls,
                    struct config_changes *ret_changes);
void config_changes_release(struct config_changes *changes);

/* A line for each, and one that sums up. Loop thread. */
void config_log(const struct config_changes *changes);

#endif
