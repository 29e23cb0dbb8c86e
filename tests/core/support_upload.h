/* One upload to the fixture's region, step by step. Every function fails the test on what is not
 * expected. */
#ifndef MREGION_TESTS_SUPPORT_UPLOAD_H
#define MREGION_TESTS_SUPPORT_UPLOAD_H

#include "support_fixture.h"

#define SIZE (20 * (uint64_t)DATA_PAGE + 777) /* of most uploads */

struct region_upload *drive_begin(uint64_t size);
struct region_upload *drive_begin_open(uint64_t hint);
/* Returns the ticket; drive_settle is the caller's. */
uint64_t drive_append(struct region_upload *upload, const void *bytes, uint64_t size);
/* All of it in pieces, written. */
void drive_append_all(struct region_upload *upload, const uint8_t *bytes, uint64_t size,
                      uint64_t piece);
/* Durable; returns the address. */
uint64_t drive_commit(struct region_upload *upload);
uint64_t drive_upload(const uint8_t *bytes, uint64_t size, uint64_t piece);

struct region_info fixture_info(void);
/* Closed and opened. */
void fixture_reopen(void);
/* Proves the region's invariants. */
void fixture_check(void);

#endif
