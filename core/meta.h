/* The file `meta` of a region's folder: what the region is. FORMAT.md has the byte table.
 *
 * The magic and the version stand at the same place in every format version there will ever be, so
 * that any program can tell which reader a folder needs (migrate.h). The file is replaced as a
 * whole and never written in place. Reading and writing may block. */
#ifndef MREGION_CORE_META_H
#define MREGION_CORE_META_H

#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/io.h"
#include "core/limits.h"
#include "core/options.h"

#define META_FILE "meta"

/* The on-disk version that this program writes. */
#define REGION_FORMAT 2

/* No version's meta file is larger. */
#define META_SIZE_MAX 4096

struct meta {
    uint64_t id;
    uint8_t uuid[16]; /* who it is, told to everybody */
    /* What journal and checkpoint are marked and checksummed with. No client is ever told: else
     * whoever may write blobs could put one on the disk that passes for a journal record. */
    uint8_t secret[16];
    char name[REGION_NAME_MAX + 1];
    struct region_options options;
};

/* The version in the first bytes of a meta file of any version. ERR_CORRUPT when they are not a
 * meta file's. */
int meta_version(const uint8_t *bytes, size_t size, const char *folder, uint32_t *ret_version,
                 struct err *err);

/* The reader of format 2. ERR_CORRUPT names the folder and what is wrong. */
int meta_decode_v2(const uint8_t *bytes, size_t size, const char *folder, struct meta *ret_meta,
                   struct err *err);

/* A name that was read: zeros behind one that a region can have. ERR_CORRUPT. It may hold anything,
 * so it is not repeated. */
int meta_check_name(const char name[REGION_NAME_MAX + 1], const char *folder, struct err *err);

/* Writes the current format, durably, all or nothing. */
int meta_write(struct io *io, const char *folder, const struct meta *meta, struct err *err);
/* The same, under another file name. */
int meta_write_as(struct io *io, const char *folder, const char *file, const struct meta *meta,
                  struct err *err);

#endif
