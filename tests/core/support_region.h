/* A region on a simulated disk, driven by one thread: what the daemon's loop and its workers do,
 * one step at a time. Every function fails the test on what is not expected. */
#ifndef MREGION_TESTS_SUPPORT_REGION_H
#define MREGION_TESTS_SUPPORT_REGION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/region.h"
#include "support_simdisk.h"

extern uint64_t drive_now_ms;

/* Runs one job of a lane; false when there is none. */
bool drive_step(struct region *region, enum region_lane lane);
/* Runs jobs of both lanes until there are none. */
void drive_settle(struct region *region);

/* Changes that wait as long as they are told to, and must succeed; drive_settle is the caller's. */
uint64_t drive_add(struct region *region, const void *bytes, uint64_t size);
uint64_t drive_allocate(struct region *region, uint64_t size);
void drive_deallocate(struct region *region, uint64_t address, uint64_t size);
void drive_store(struct region *region, uint64_t address, const void *bytes, uint64_t size);
uint64_t drive_replace(struct region *region, uint64_t address, uint64_t size, const void *bytes,
                       uint64_t new_size);
uint64_t drive_resize(struct region *region, uint64_t address, uint64_t size, uint64_t new_size);

/* Calls stage until it answers something else than REGION_WAIT, and runs jobs meanwhile; fails when
 * there are no jobs to wait for. */
int drive_until(struct region *region,
                int (*stage)(struct region *region, void *context, struct err *err), void *context,
                struct err *err);

/* Loads a block as the daemon would, whatever it has to wait for. */
void drive_load(struct region *region, uint64_t address, void *buffer, uint64_t size);
void drive_expect(struct region *region, uint64_t address, const void *bytes, uint64_t size);
void drive_checkpoint(struct region *region);

/* Settled, proved by region_check, closed. */
void drive_close(struct region *region);

/* Bytes that differ from address to address. */
void drive_pattern(uint8_t *bytes, size_t size, uint64_t seed);

#endif
