/* The golden store of format 1 (tests/golden) on a simulated disk, and ways to change it. */
#ifndef MREGION_TESTS_SUPPORT_GOLDEN_H
#define MREGION_TESTS_SUPPORT_GOLDEN_H

#include <stddef.h>
#include <stdint.h>

#include "support_simdisk.h"

/* Its regions: blobs of every kind with records behind the checkpoint; 1000 bytes with three holes;
 * one blob and all in the checkpoint; nothing. */
enum golden_region { GOLDEN_MAIN, GOLDEN_SEED, GOLDEN_PACKED, GOLDEN_EMPTY, GOLDEN_REGIONS };

extern const char *const golden_names[GOLDEN_REGIONS];

/* The store with this region only, durable. */
struct simdisk *golden_disk_of(enum golden_region region);
/* Unpacks all of them ahead: an unchecked fixture, so that the tests' processes inherit them. */
void golden_unpack(void);

/* What may befall a folder of format 1 and leaves it as good as before. */
enum golden_variant {
    GOLDEN_AS_IS,
    GOLDEN_SPARSE, /* the data file ends with the region, within a page, and has holes */
    GOLDEN_TORN,   /* the journal has a torn tail */
    GOLDEN_BEHIND, /* what the journal puts never got into the data file */
    GOLDEN_VARIANTS,
};
void golden_vary(struct simdisk *disk, enum golden_region region, enum golden_variant variant);

/* What a region is, from the store's own description. */
struct golden_figures {
    uint64_t size, pages, allocated, free_blocks;
    uint32_t crc; /* of the bytes in use, in order */
};
extern const struct golden_figures golden_figures[GOLDEN_REGIONS];

/* Appends a record to the journal of main, of effects that the caller encodes. */
struct record;
void golden_append(struct simdisk *disk, struct record *record);

/* Changes a file and syncs it. */
void golden_write(struct simdisk *disk, const char *path, uint64_t offset, const void *bytes,
                  size_t size);
void golden_flip(struct simdisk *disk, const char *path, uint64_t offset);
void golden_resize(struct simdisk *disk, const char *path, uint64_t size);
size_t golden_read(struct simdisk *disk, const char *path, uint64_t offset, void *bytes,
                   size_t size);

/* A checksum over every file's path, length and bytes. */
uint32_t golden_fingerprint(struct simdisk *disk);
/* Whether those files of a region's folder that only format 1 has, journal and checkpoints, are the
 * same on both disks. */
bool golden_same_old(struct simdisk *one, struct simdisk *other, enum golden_region region);

#endif
