/* A disk in memory behind core/io.h that fails, fills up and loses power on request.
 *
 * Power cuts. simdisk_crash makes the disk that is left when exactly a chosen subset of the pending
 * changes reached it; simcrash_enumerate (support_simcrash.h) chooses. A hook that runs before
 * every operation lets a test look at every moment, in particular just before each sync, when the
 * most is pending.
 *
 * Contract breaches of the caller (a write to a file opened for reading, an unaligned transfer
 * on an IO_ALIGNED file, a path with "..") answer -EINVAL or -EBADF and are counted, so that a
 * test can demand that there were none.
 *
 * One thread only; running out of memory aborts the test. */
#ifndef MREGION_TESTS_SUPPORT_SIMDISK_H
#define MREGION_TESTS_SUPPORT_SIMDISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/io.h"
#include "support_simtree.h"

enum simdisk_op {
    SIM_OPEN,
    SIM_READ,
    SIM_READ_NOW,
    SIM_WRITE,
    SIM_SYNC,
    SIM_ALLOCATE,
    SIM_ZERO,
    SIM_PUNCH,
    SIM_USAGE,
    SIM_SIZE,
    SIM_TRUNCATE,
    SIM_MAKE_DIRECTORY,
    SIM_REMOVE_DIRECTORY,
    SIM_REMOVE,
    SIM_RENAME,
    SIM_SYNC_DIRECTORY,
    SIM_LIST,
    SIM_LOCK,
    SIM_FREE_SPACE,
    SIM_CLONE,
    SIM_OPS,
};

#define SIM_BIT(op) (1u << (op))
#define SIM_ALL (SIM_BIT(SIM_OPS) - 1)
/* What changes the disk (opening a file may, too, when it creates one). */
#define SIM_CHANGES                                                                                \
    (SIM_BIT(SIM_WRITE) | SIM_BIT(SIM_ALLOCATE) | SIM_BIT(SIM_ZERO) | SIM_BIT(SIM_PUNCH) |         \
     SIM_BIT(SIM_TRUNCATE) | SIM_BIT(SIM_MAKE_DIRECTORY) | SIM_BIT(SIM_REMOVE_DIRECTORY) |         \
     SIM_BIT(SIM_REMOVE) | SIM_BIT(SIM_RENAME) | SIM_BIT(SIM_CLONE))
#define SIM_SYNCS (SIM_BIT(SIM_SYNC) | SIM_BIT(SIM_SYNC_DIRECTORY))

struct simdisk;

/* An empty disk. The seed decides short reads, what a failed write leaves and the like. */
struct simdisk *simdisk_new(uint64_t seed);
/* Every file must have been closed. */
void simdisk_free(struct simdisk *disk);
struct io *simdisk_io(struct simdisk *disk);
struct simtree *simdisk_tree(struct simdisk *disk);

/* ---- Power cuts ---- */

/* The pending changes, oldest first. */
size_t simdisk_pending(const struct simdisk *disk);
const struct pending *const *simdisk_pending_list(const struct simdisk *disk);
/* The disk after a power cut: durable state and the pending changes with kept[i]. Its seed is the
 * given one; faults, capacity and hook are not inherited. Free with simdisk_free. */
struct simdisk *simdisk_crash(const struct simdisk *disk, const bool *kept, struct tear tear,
                              uint64_t seed);
/* The same with nothing pending kept, or a random part of it. */
struct simdisk *simdisk_crash_none(const struct simdisk *disk);
struct simdisk *simdisk_crash_random(const struct simdisk *disk, struct rng *rng);

/* There will be no power cut any more: what is pending is not kept count of, which costs much. */
void simdisk_keep_power(struct simdisk *disk);

/* Called before every operation, with the path it is about. */
typedef void simdisk_hook(void *context, struct simdisk *disk, enum simdisk_op op,
                          const char *path);
void simdisk_set_hook(struct simdisk *disk, simdisk_hook *hook, void *context);

/* ---- Faults ---- */

/* A sync that fails loses what was pending, says so once to every opening of the file there is,
 * and after that all looks well. */
struct simdisk_fault {
    unsigned ops;        /* bits of the operations that count */
    const char *pattern; /* only of paths that match (fnmatch), NULL = all */
    uint64_t nth;        /* the nth counted call from now on fails; 0 = none */
    int error;           /* a positive errno */
    bool forever;        /* and every counted call after it */
    simdisk_hook *after; /* called when a call has failed because of it; may be NULL */
    void *context;
};
void simdisk_set_fault(struct simdisk *disk, struct simdisk_fault fault);
/* From now on files that are opened IO_FROM_DISK are read past the page cache: there what a failed
 * sync has lost is not to be seen. Without it they are read as on a file system that cannot. */
void simdisk_bypass_cache(struct simdisk *disk);
/* How many calls failed because of it. */
uint64_t simdisk_faults_hit(const struct simdisk *disk);

/* What becomes of a write that answers 0. Its length comes about in any case. */
enum simdisk_lie {
    LIE_NONE,
    LIE_LOST,        /* none of it is written */
    LIE_LOST_SECTOR, /* one sector of it is not */
    LIE_ZEROS,       /* zeros are */
    LIE_MISDIRECTED, /* it goes elsewhere in its file */
    LIE_LIES,
};
/* The nth write from now on to a path that matches. */
void simdisk_set_lie(struct simdisk *disk, enum simdisk_lie lie, const char *pattern, uint64_t nth);
/* The nth read from now on of a path that matches answers what the past disk, which is borrowed,
 * has there. */
void simdisk_set_stale(struct simdisk *disk, const struct simdisk *past, const char *pattern,
                       uint64_t nth);
/* Whether one of the two was done. */
bool simdisk_has_lied(const struct simdisk *disk);

/* Total space in bytes, -ENOSPC beyond; 0 = unlimited. Space is counted in IMAGE_CHUNK bytes. */
void simdisk_set_capacity(struct simdisk *disk, uint64_t bytes);
uint64_t simdisk_used(const struct simdisk *disk);

/* From now on files can be cloned. */
void simdisk_set_clones(struct simdisk *disk);

/* The percentage of read_now calls that answer short or -EAGAIN. */
void simdisk_set_cold_reads(struct simdisk *disk, unsigned percent);

/* Deliberate bugs, to prove that the tests find them: syncs of files or directories whose path
 * matches answer 0 and do nothing, from the nth matching one on, count of them. */
void simdisk_ignore_syncs(struct simdisk *disk, const char *pattern, uint64_t nth, uint64_t count);

/* ---- Questions ---- */

uint64_t simdisk_calls(const struct simdisk *disk, unsigned ops);
/* How many writes were of files that are opened IO_ALIGNED. */
uint64_t simdisk_aligned_writes(const struct simdisk *disk);
uint64_t simdisk_breaches(const struct simdisk *disk);
unsigned simdisk_open_files(const struct simdisk *disk);
const char *simdisk_op_name(enum simdisk_op op);
/* The last operations, oldest first. */
void simdisk_print_trace(const struct simdisk *disk, FILE *out);

/* More than zero while an operation of a simulated disk runs: what it allocates is not the
 * tested code's. */
extern int simdisk_inside;

#endif
