/* A region made out of a backup. */
#ifndef MREGION_CORE_REGION_RESTORE_H
#define MREGION_CORE_REGION_RESTORE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "core/io.h"

struct region_wanted {
    const char *name; /* that a region can have */
    uint64_t id;
    /* Asked now and then; NULL: never. */
    bool (*is_cancelled)(void *context);
    void *context;
};

/* Worker. Makes the folder with the region of the backup in it, with this name and id and a uuid of
 * its own, durably except for the folder's own name. ERR_CORRUPT and all that opening a region may
 * answer; ERR_SHUTTING_DOWN where it was cancelled. A failure leaves the folder as it is by then,
 * without a meta file. */
int region_restore(struct io *from, const char *backup, struct io *to, const char *folder,
                   const struct region_wanted *wanted, struct err *err);

#endif
