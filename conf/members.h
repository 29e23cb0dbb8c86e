/* The lists in a struct conf: adding, finding, freeing. Internal to this folder. */
#ifndef MREGION_CONF_MEMBERS_H
#define MREGION_CONF_MEMBERS_H

#include "conf/conf.h"

/* Appends; a listener's texts then belong to the list. -ENOMEM changes nothing. */
int members_add_listen(struct conf *conf, const struct conf_listen *listen);
int members_add_http(struct conf *conf, const struct conf_listen *listen);
int members_add_region(struct conf *conf, const struct conf_region *region);
int members_add_user(struct conf *conf, const struct conf_user *user);
int members_add_grant(struct conf_user *user, const struct conf_grant *grant);

/* The listener that means the same socket, or NULL. */
const struct conf_listen *members_find_listen(const struct conf *conf,
                                              const struct conf_listen *listen);
const struct conf_listen *members_find_http(const struct conf *conf,
                                            const struct conf_listen *listen);
const struct conf_region *members_find_region(const struct conf_region *regions, size_t count,
                                              const char *name);

/* Frees what a user owns. */
void members_release_user(struct conf_user *user);

/* Empty the lists. */
void members_clear_listens(struct conf *conf);
void members_clear_http(struct conf *conf);
void members_clear_users(struct conf *conf);

#endif
