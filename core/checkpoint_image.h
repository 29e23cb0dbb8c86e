/* A checkpoint in memory: what a region's free blocks and tokens are at one moment, taken by the
 * loop in one go and written to a file later, by a worker.
 *
 * It takes 16 bytes for each free block and what the tokens take up in a file, and some 3
 * nanoseconds of the loop for each block. It is exact and not fuzzy: no journal is needed with it.
 */
#ifndef MREGION_CORE_CHECKPOINT_IMAGE_H
#define MREGION_CORE_CHECKPOINT_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "core/checkpoint.h"

struct checkpoint_piece {
    uint8_t *bytes;
    size_t size;
};

struct checkpoint_image {
    struct checkpoint checkpoint; /* the first of a region, with an empty journal behind it */
    uint64_t token_bytes;
    struct checkpoint_piece *pieces; /* the chunks */
    size_t count, capacity;
};

/* Loop. Fills an image that is all zeros. -ENOMEM. Release it in any case. */
int checkpoint_image_take(struct checkpoint_image *image, const struct maxtree *tree,
                          const struct extentlist *reserved, const struct tokens *tokens,
                          uint64_t size, uint64_t pages);
void checkpoint_image_release(struct checkpoint_image *image);

/* Worker. Makes both slots and writes it to its own, durably but for the names. */
int checkpoint_image_write(const struct checkpoint_image *image, struct io *io, const char *folder,
                           const uint8_t secret[16], struct err *err);

#endif
