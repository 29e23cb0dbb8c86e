/* What the engine says of a region folder, whatever is in it, and whether all that it says agrees:
 * opened to be read, read through, opened to be changed, changed, opened once more. */
#ifndef MREGION_TESTS_SUPPORT_VERDICT_H
#define MREGION_TESTS_SUPPORT_VERDICT_H

#include <stdint.h>

#include "core/region.h"
#include "support_simdisk.h"

struct verdict {
    int code;                    /* of opening it */
    struct err err;              /* where it was refused */
    struct region_report report; /* where it was opened to be read */
    struct region_info info;     /* likewise; the name is not kept */
    uint64_t damaged;            /* pages that do not match their sums, by reading all */
    uint32_t crc;                /* of the bytes in use and of which pages could not be had */
};

/* Of the folder of a region in the present format. NULL, or what is wrong: a refusal that changed a
 * file; two openings that differ; an invariant that does not hold; a change that is lost. The disk
 * is changed where the region was opened. */
const char *verdict_on(struct simdisk *disk, const char *folder, struct verdict *ret_verdict);

/* The same of a region of format 1 in its store, which is migrated on the way. Where the verdict is
 * a refusal, nothing was changed. */
const char *verdict_on_old(struct simdisk *disk, const char *name, struct verdict *ret_verdict);

/* A checksum over every file's path, length and bytes below a folder. */
uint32_t verdict_fingerprint(struct simdisk *disk, const char *folder);

#endif
