/* Giving a region another name.
 *
 * A region's name stands twice: as that of its folder, and in the folder's meta file, so that a
 * copy of a folder is no second region. Both cannot change in one step, so the second is written
 * first, beside the first, as `meta-renamed`, and which one counts is decided by the folder's name
 * alone:
 *
 *     1. meta-renamed, the meta file with the new name, is written and durable
 *     2. the folder is renamed, and that is durable: here the region changes its name
 *     3. meta-renamed takes the place of meta
 *
 * A folder that meta names is what it was before 2, and a meta-renamed in it goes away. One that
 * meta does not name, but meta-renamed does, and as the same region, was cut short behind 2: 3 is
 * made up for. Everything here may block. */
#ifndef MREGION_CORE_RENAME_H
#define MREGION_CORE_RENAME_H

#include <stdbool.h>

#include "core/err.h"
#include "core/io.h"

/* The first step, in a folder of the current format. On failure there may be a file left, which is
 * in nobody's way. */
int rename_prepare(struct io *io, const char *folder, const char *name, struct err *err);
/* Takes it back: what is left if that fails is in nobody's way. */
void rename_forget(struct io *io, const char *folder);

/* Finds out whether the folder, which has that name, is the region that it is called after, and
 * makes up for what was cut short; with read_only nothing is changed. ERR_CORRUPT where it is
 * another one: a copied or renamed folder would be the same region twice, with the same id. */
int rename_settle(struct io *io, const char *folder, const char *name, bool read_only,
                  struct err *err);

#endif
