/* The files and directories of a simulated disk, in two states at once: what the running system
 * sees (cached) and what a power cut leaves for certain (durable). Between them stands the list
 * of pending changes in the order in which they were made: sectors, lengths and names. A crash
 * keeps any subset of them.
 *
 * What the model promises, as real disks and ext4 do, and no more:
 *   - a sector is written whole, with the bytes that were cached when the change was made, or not
 *     at all; if torn, only the bytes that were being written suffer, never their neighbors;
 *   - a rename within the tree is one change: both names or neither;
 *   - nothing keeps two changes in order except a sync between them.
 *
 * One thread only; running out of memory aborts the test. */
#ifndef MREGION_TESTS_SUPPORT_SIMTREE_H
#define MREGION_TESTS_SUPPORT_SIMTREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "support_image.h"
#include "support_random.h"

#define SIM_SECTOR 512
#define SIM_NAME 100

struct node;

struct entry {
    char name[SIM_NAME];
    struct node *node;
};

struct names {
    struct entry *entries;
    size_t count, capacity;
};

struct node {
    size_t index; /* in the tree's table */
    bool is_directory;
    bool marked;
    bool diverged;        /* a failed sync lost changes: cached is no longer durable + pending */
    unsigned handles;     /* open files */
    uint64_t sync_errors; /* syncs that failed, ever */
    const void *lock;     /* the handle that holds it */
    char name[SIM_NAME];
    struct image *cached, *durable;           /* of a file */
    struct names cached_names, durable_names; /* of a directory */
};

enum pending_kind {
    PENDING_SECTOR,
    PENDING_LENGTH,
    PENDING_NAMES, /* removed and added, either may be empty */
};

struct pending {
    enum pending_kind kind;
    struct node *node; /* the file; the directory whose sync settles it */
    union {
        struct pending *next_spare; /* of one that is free */
        struct {
            uint64_t number;
            uint16_t from, to; /* what of it was written */
            bool is_punched;   /* its chunk loses its disk space once it is all zeros */
            uint8_t bytes[SIM_SECTOR];
        } sector;
        uint64_t length;
        struct {
            struct node *removed_from;
            struct node *target;
            char removed[SIM_NAME];
            char added[SIM_NAME];
        } names;
    };
};

struct simtree {
    struct node *root;
    struct node **nodes;
    size_t count, capacity;
    struct pending **pending;
    size_t pendings, pending_capacity;
    bool has_power; /* for good: nothing is pending, and durable states mean nothing */
};

/* How the sector that was being written when the power went ends up. */
enum tear_kind {
    TEAR_NONE,
    TEAR_FIRST_HALF,  /* the first half of what was written is new */
    TEAR_SECOND_HALF, /* the second half is */
    TEAR_ZEROS,
    TEAR_GARBAGE,
    TEAR_KINDS,
};

struct tear {
    enum tear_kind kind;
    size_t pending; /* index of a kept PENDING_SECTOR */
};

struct simtree *simtree_new(void);
void simtree_free(struct simtree *tree);

/* As the running system sees it; NULL when there is none. */
struct node *simtree_find(struct simtree *tree, const char *path);
/* The directory of the last component of path, which is put into *ret_name; NULL when missing. */
struct node *simtree_parent(struct simtree *tree, const char *path, const char **ret_name);
struct node *simtree_child(const struct node *directory, const char *name);

struct node *simtree_make(struct simtree *tree, struct node *directory, const char *name,
                          bool is_directory);
void simtree_unlink(struct simtree *tree, struct node *directory, const char *name);
void simtree_rename(struct simtree *tree, struct node *from, const char *from_name, struct node *to,
                    const char *to_name);
void simtree_write(struct simtree *tree, struct node *file, uint64_t offset, const void *bytes,
                   size_t size);
/* Writes zeros; the space is kept or found, or given back. What is given back of a chunk that was
 * zeros before does not change hands in a crash: only a sync makes it durable. */
void simtree_zero(struct simtree *tree, struct node *file, uint64_t offset, uint64_t size);
void simtree_punch(struct simtree *tree, struct node *file, uint64_t offset, uint64_t size);
void simtree_set_length(struct simtree *tree, struct node *file, uint64_t length);

/* Makes a file's sectors and length durable, or a directory's names. */
void simtree_sync(struct simtree *tree, struct node *node);
/* A sync of a file that failed: some changes reached the disk, the rest never will, and the
 * running system goes on seeing all of them. */
void simtree_fail_sync(struct simtree *tree, struct node *file, struct rng *rng);

/* What a read that bypasses the page cache sees of a file, which writes what is pending first. To
 * be released. */
struct image *simtree_uncached(const struct simtree *tree, const struct node *file);

/* There will be no crash any more. Nothing may be pending. */
void simtree_keep_power(struct simtree *tree);

/* The tree that a power cut leaves if exactly the pending changes with kept[i] reached the disk. */
struct simtree *simtree_crash(const struct simtree *tree, const bool *kept, struct tear tear,
                              uint64_t seed);

/* Disk space in use, in chunks of IMAGE_CHUNK bytes. */
uint64_t simtree_chunks(const struct simtree *tree);
/* Same names and same bytes in all that the running system sees. */
bool simtree_equal(const struct simtree *one, const struct simtree *other);
void simtree_print_pending(const struct pending *pending, FILE *out);

#endif
