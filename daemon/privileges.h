/* Who the process is: from root to the user of the configuration, for good.
 *
 * What needs root is done before (sockets, making data_dir), what reads files that a stranger may
 * have written afterwards. All of it happens at the start, while there is one thread. */
#ifndef MREGION_DAEMON_PRIVILEGES_H
#define MREGION_DAEMON_PRIVILEGES_H

#include <stdbool.h>

#include "conf/conf.h"
#include "core/err.h"

/* Whether the user of the configuration exists: 0, or -EINVAL with the place in file in *error. */
int privileges_check_user(const struct conf *conf, const char *file, struct conf_error *error);
/* Whether this process may become that user, too. */
int privileges_check(const struct conf *conf, const char *file, struct conf_error *error);

/* Whether privileges_drop is going to change anything. */
bool privileges_are_too_many(const struct conf *conf);
/* Gives a folder or a socket that was just made to that user; harmless where nothing is going to
 * change. 0 or -errno: EPERM where something else stands in its place. */
int privileges_give(const struct conf *conf, const char *path);
/* Groups, group and user, with no way back. ERR_INTERNAL. */
int privileges_drop(const struct conf *conf, struct err *err);

/* Whether the users of peers are seen as who they are. In a user namespace that has hardly any, all
 * others are one and the same (65534). Before the sandbox: reads /proc. */
bool privileges_see_users(void);

/* From now on there are secrets in memory: no core dump, and nobody of the same user looks into it.
 * Any thread; allowed in the sandbox. */
void privileges_hide_memory(void);

#endif
