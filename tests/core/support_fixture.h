/* The region that most tests of core/region.h begin with: new and open, on a simulated disk, with
 * the smallest journal there is. Every function fails the test on what is not expected. */
#ifndef MREGION_TESTS_SUPPORT_FIXTURE_H
#define MREGION_TESTS_SUPPORT_FIXTURE_H

#include <check.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support_region.h"

extern struct simdisk *disk;
extern struct io *io;
extern struct region *region; /* NULL while the test has it closed */
extern struct err err;        /* of the test's last call that failed */
/* Bytes to store. */
extern uint8_t big[3 << 20], small[4096];

/* Makes the region "main" in the folder "r", and opens it. */
void fixture_set_up(void);
/* Closes it where it is open, and frees the disk: every sync was there that is needed, and no file
 * is left open. */
void fixture_tear_down(void);
/* A test case over this fixture. */
TCase *fixture_tests(const char *name, const TTest *const *tests, size_t count);

/* Opens what is on the disk; report may be NULL. */
struct region *fixture_open(bool read_only, struct region_report *report);
/* Closes the region. The disk becomes what a machine finds that lost its power now, with nothing
 * unsynced on it. */
void fixture_power_cut(void);
void fixture_set_durability(enum durability durability);
/* The bytes that are allocated. */
uint64_t fixture_allocated(void);

#endif
