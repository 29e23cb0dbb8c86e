/* The bytes of one simulated file: chunks shared copy-on-write between images, so that the state
 * of a disk after a crash costs little more than the sectors that differ.
 *
 * An image has a length, but may hold bytes past it: a sector that reached the disk before the
 * file's new length did. image_set_length clears what lies past the length.
 *
 * Reference counts are plain numbers: one thread only. Running out of memory aborts the test. */
#ifndef MREGION_TESTS_SUPPORT_IMAGE_H
#define MREGION_TESTS_SUPPORT_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMAGE_CHUNK 4096

struct image;

struct image *image_new(void);
struct image *image_share(struct image *image);
void image_release(struct image *image);

uint64_t image_length(const struct image *image);
/* Reads as many zeros as lie past the length or in holes. */
void image_read(const struct image *image, uint64_t offset, void *bytes, size_t size);

/* The 512 bytes at offset, a multiple of that. Borrowed until the image changes. */
const uint8_t *image_sector(const struct image *image, uint64_t offset);

/* The changing functions take the owner's pointer, because a shared image is copied first. */
void image_write(struct image **image, uint64_t offset, const void *bytes, size_t size);
void image_set_length(struct image **image, uint64_t length);
/* Gives every chunk of the range disk space (zeros); the length stays. */
void image_allocate(struct image **image, uint64_t offset, uint64_t size);

/* Makes the range zeros and takes the disk space of the chunks that lie wholly in it. */
void image_punch(struct image **image, uint64_t offset, uint64_t size);

/* Chunks of the range that have no disk space yet; chunks of the whole file that have. */
uint64_t image_holes(const struct image *image, uint64_t offset, uint64_t size);
uint64_t image_chunks(const struct image *image);

/* Same length and same bytes. */
bool image_equal(const struct image *one, const struct image *other);

#endif
