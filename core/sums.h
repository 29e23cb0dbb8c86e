/* Sums: a checksum for every page of the data file, in a file of their own, so that the addresses
 * of a region stay plain offsets. FORMAT.md has the byte table.
 *
 * A sum covers the page's number and the region's secret besides its bytes, so that a page that was
 * written to the wrong place, or comes from another region, does not match. Three meanings of a
 * stored sum are at least two bits apart from each other, so that no single flipped bit turns one
 * into another: zeros (the page is all zeros), unverified (it was written while checksums were off)
 * and a checksum.
 *
 * Pages in which no byte is in use have no meaning, nor have their sums. The functions on files may
 * block, except sums_read_block_now. */
#ifndef MREGION_CORE_SUMS_H
#define MREGION_CORE_SUMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/io.h"
#include "core/limits.h"

#define SUMS_FILE "sums"

#define SUM_ZEROS ((uint32_t)0)
#define SUM_UNVERIFIED UINT32_MAX

/* Bytes of a stored sum; sums in one block of the file. */
#define SUM_SIZE 4
#define SUMS_PER_BLOCK (DISK_BLOCK / SUM_SIZE)

static inline uint64_t page_of(uint64_t address)
{
    return address / DATA_PAGE;
}

/* ---- Sums ---- */

/* The sum of the DATA_PAGE bytes of page number `page`. seed is the region's record_seed(). Never
 * SUM_UNVERIFIED; SUM_ZEROS for all zeros. */
uint32_t sum_of(uint32_t seed, uint64_t page, const uint8_t *bytes);

/* Whether the bytes are those that the stored sum was made of; true for SUM_UNVERIFIED. */
bool sum_matches(uint32_t seed, uint64_t page, const uint8_t *bytes, uint32_t sum);

/* The sum for a page that did not match the sum it had, after a change to `after`: matches neither
 * these bytes nor, as far as a checksum can tell, any that the page might be taken for. Never
 * SUM_ZEROS or SUM_UNVERIFIED. */
uint32_t sum_spoiled(uint32_t seed, uint64_t page, const uint8_t *after);

/* ---- The file ---- */

/* The length of the file for a data file of data_size bytes. */
uint64_t sums_length(uint64_t data_size);

/* Creates folder/name with zeros for data_size bytes of data, durably but for its name. */
int sums_create(struct io *io, const char *folder, const char *name, const uint8_t secret[16],
                uint64_t data_size, struct err *err);
/* Opens folder/sums and checks its header and length. ERR_CORRUPT names what is wrong. */
int sums_open(struct io *io, const char *folder, const uint8_t secret[16], uint64_t data_size,
              bool read_only, struct io_file **ret_file, struct err *err);
/* Makes it long enough for data_size bytes of data, with zeros, durably. ERR_NO_SPACE. */
int sums_extend(struct io *io, const char *folder, struct io_file *file, uint64_t data_size,
                struct err *err);

/* Makes it no longer than data_size bytes of data need, if that can be done. */
void sums_cut(struct io *io, struct io_file *file, uint64_t data_size);

/* The sums of `count` pages from `first` on. */
int sums_read(struct io *io, const char *folder, struct io_file *file, uint64_t first, size_t count,
              uint32_t *sums, struct err *err);
int sums_write(struct io *io, const char *folder, struct io_file *file, uint64_t first,
               size_t count, const uint32_t *sums, struct err *err);
/* The block with the sums of pages from block * SUMS_PER_BLOCK on, as it is in the file, without
 * waiting for the disk: false when it cannot be had at once. */
bool sums_read_block_now(struct io *io, struct io_file *file, uint64_t block,
                         uint8_t bytes[DISK_BLOCK]);
void sums_decode(const uint8_t *bytes, size_t count, uint32_t *sums);

#endif
