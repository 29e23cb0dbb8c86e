/* Pieces of work, each of one kind, in which something fails: a call of the disk, or memory. On the
 * region of support_fixture.h. */
#ifndef MREGION_TESTS_SUPPORT_WORK_H
#define MREGION_TESTS_SUPPORT_WORK_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

struct simdisk;

struct work {
    const char *name;
    void (*prepare)(void); /* nothing fails yet; settled afterwards, where it does not say so */
    void (*act)(void);     /* whatever becomes of it */
};

extern const struct work works[];
extern const size_t work_count;

/* The first changes of a new region. */
extern const struct work first_work;

/* A new region in which the work is prepared. */
void work_begin(const struct work *work);
/* After act, and with nothing failing any more: the region goes on, or says why it does not; once
 * it is opened again after a power cut it has what was there before, and can be changed. Frees
 * everything. */
void work_end(const struct work *work);

/* What is on the disk after a power cut when all of it was done; free with simdisk_free. */
struct simdisk *work_leave(const struct work *work);
/* The code of opening that, on a copy; it is closed again. */
int work_open(const struct simdisk *left, bool read_only, struct err *err);

#endif
