/* Questions to the users of a configuration: who is it, and what may he do. They change nothing and
 * keep nothing; pointers are into the configuration. */
#ifndef MREGION_DAEMON_USERS_H
#define MREGION_DAEMON_USERS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "conf/conf.h"

/* What somebody may do with a region; each includes those before it. */
enum rights { RIGHTS_NONE, RIGHTS_READ, RIGHTS_WRITE, RIGHTS_ADMIN };

/* "read", "write", "admin"; for RIGHTS_NONE "none". */
const char *rights_name(enum rights rights);

/* How somebody is known. */
enum known_by { KNOWN_NOT, KNOWN_BY_PASSWORD, KNOWN_BY_CERTIFICATE, KNOWN_BY_UID, KNOWN_BY_GID };

/* "password" and so on; NULL for KNOWN_NOT. */
const char *known_by_name(enum known_by by);

/* Whether the length bytes at name match a pattern in which * stands for any characters and ? for
 * one. */
bool users_match(const char *pattern, const char *name, size_t length);

/* What the user may do with a region of this name: the highest of his grants that match. */
enum rights users_rights(const struct conf_user *user, const char *region, size_t length);

/* NULL: there is none. */
const struct conf_user *users_find(const struct conf *conf, const char *name, size_t length);
const struct conf_user *users_find_certificate(const struct conf *conf, const char *subject);

/* By what somebody can be known, as the server is run. */
struct users_means {
    bool certificates; /* a listener asks for them */
    bool all_ids;      /* users of this machine are seen as who they are; else root and oneself: */
    uid_t uid;
    gid_t gid;
};

/* In the place of the id of somebody whom the server cannot tell from others: no user has it. */
#define USERS_NO_ID ((uint32_t)-1)

/* The id of a process as the kernel says it, if it means anything; else USERS_NO_ID. */
uid_t users_uid(const struct users_means *means, uid_t uid);
gid_t users_gid(const struct users_means *means, gid_t gid);
/* Logs whom nobody can ever be known as, and why. */
void users_warn(const struct conf *conf, const struct users_means *means);

/* Whose uid it is; else whose gid the primary group is; else whose gid one of the others is. */
const struct conf_user *users_find_process(const struct conf *conf, uid_t uid, gid_t gid,
                                           const gid_t *groups, size_t groups_count,
                                           enum known_by *ret_by);

/* The hash that an attempt of somebody without a password is compared with, so that it takes as
 * long as one of a user: a user's, always the same for the same number; where nobody has a
 * password, one of the cost that mrcli passwd asks for. */
const char *users_decoy(const struct conf *conf, size_t number);

#endif
