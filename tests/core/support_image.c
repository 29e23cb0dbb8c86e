#include "support_image.h"

#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"

struct chunk {
    unsigned references;
    _Alignas(16) uint8_t bytes[IMAGE_CHUNK];
};

/* A chunk is NULL (a hole), the zero chunk (space that reads as zeros, not counted), or its own. */
static struct chunk zero_chunk;

struct image {
    unsigned references;
    uint64_t length;
    size_t count; /* of chunks; what lies behind is a hole */
    struct chunk **chunks;
};

static void *need(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

/* Chunks come and go by the million: those that are free are kept, in a list through their bytes.
 */
static struct chunk *spare_chunks;

static struct chunk *chunk_new(void)
{
    struct chunk *chunk = spare_chunks;
    if (chunk == NULL)
        chunk = need(malloc(sizeof *chunk));
    else
        memcpy(&spare_chunks, chunk->bytes, sizeof(struct chunk *));
    chunk->references = 1;
    return chunk;
}

static struct chunk *chunk_share(struct chunk *chunk)
{
    if (chunk != NULL && chunk != &zero_chunk)
        chunk->references++;
    return chunk;
}

static void chunk_release(struct chunk *chunk)
{
    if (chunk == NULL || chunk == &zero_chunk || --chunk->references > 0)
        return;
    memcpy(chunk->bytes, &spare_chunks, sizeof(struct chunk *));
    spare_chunks = chunk;
}

static bool all_zero(const uint8_t *bytes, size_t size)
{
    return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

struct image *image_new(void)
{
    struct image *image = need(calloc(1, sizeof *image));
    image->references = 1;
    return image;
}

struct image *image_share(struct image *image)
{
    image->references++;
    return image;
}

void image_release(struct image *image)
{
    if (image == NULL || --image->references > 0)
        return;
    for (size_t i = 0; i < image->count; i++)
        chunk_release(image->chunks[i]);
    free(image->chunks);
    free(image);
}

uint64_t image_length(const struct image *image)
{
    return image->length;
}

/* A compiler that knows that it is at most a chunk makes a slow loop of it. */
static void copy(void *to, const void *from, size_t size)
{
    __asm__("" : "+r"(size));
    memcpy(to, from, size);
}

static const uint8_t *chunk_bytes(const struct image *image, uint64_t index)
{
    struct chunk *chunk = index < image->count ? image->chunks[index] : NULL;
    return chunk == NULL ? zero_chunk.bytes : chunk->bytes;
}

const uint8_t *image_sector(const struct image *image, uint64_t offset)
{
    return chunk_bytes(image, offset / IMAGE_CHUNK) + offset % IMAGE_CHUNK;
}

void image_read(const struct image *image, uint64_t offset, void *bytes, size_t size)
{
    uint8_t *out = bytes;
    while (size > 0) {
        uint64_t at = offset % IMAGE_CHUNK;
        size_t part = (size_t)min_u64(size, IMAGE_CHUNK - at);
        copy(out, chunk_bytes(image, offset / IMAGE_CHUNK) + at, part);
        out += part;
        offset += part;
        size -= part;
    }
}

static struct image *image_own(struct image **owner)
{
    struct image *image = *owner;
    if (image->references == 1)
        return image;
    struct image *copy = image_new();
    copy->length = image->length;
    copy->count = image->count;
    if (image->count > 0)
        copy->chunks = need(malloc(image->count * sizeof copy->chunks[0]));
    for (size_t i = 0; i < image->count; i++)
        copy->chunks[i] = chunk_share(image->chunks[i]);
    image->references--;
    *owner = copy;
    return copy;
}

static void reach(struct image *image, uint64_t chunks)
{
    if (chunks <= image->count)
        return;
    image->chunks = need(realloc(image->chunks, chunks * sizeof image->chunks[0]));
    memset(image->chunks + image->count, 0, (chunks - image->count) * sizeof image->chunks[0]);
    image->count = chunks;
}

static void write_chunk(struct image *image, uint64_t index, uint64_t at, const uint8_t *bytes,
                        size_t size)
{
    struct chunk **slot = &image->chunks[index];
    if ((*slot == NULL || *slot == &zero_chunk) && all_zero(bytes, size)) {
        *slot = &zero_chunk;
        return;
    }
    if (*slot == NULL || *slot == &zero_chunk || (*slot)->references > 1) {
        struct chunk *own = chunk_new();
        memcpy(own->bytes, chunk_bytes(image, index), IMAGE_CHUNK);
        chunk_release(*slot);
        *slot = own;
    }
    memcpy((*slot)->bytes + at, bytes, size);
    if (size == IMAGE_CHUNK && all_zero(bytes, size)) {
        chunk_release(*slot);
        *slot = &zero_chunk;
    }
}

void image_write(struct image **owner, uint64_t offset, const void *bytes, size_t size)
{
    if (size == 0)
        return;
    struct image *image = image_own(owner);
    const uint8_t *in = bytes;
    reach(image, round_up(offset + size, IMAGE_CHUNK) / IMAGE_CHUNK);
    while (size > 0) {
        uint64_t at = offset % IMAGE_CHUNK;
        size_t part = (size_t)min_u64(size, IMAGE_CHUNK - at);
        write_chunk(image, offset / IMAGE_CHUNK, at, in, part);
        in += part;
        offset += part;
        size -= part;
    }
}

void image_set_length(struct image **owner, uint64_t length)
{
    static const uint8_t zeros[IMAGE_CHUNK];
    struct image *image = image_own(owner);
    uint64_t whole = round_up(length, IMAGE_CHUNK) / IMAGE_CHUNK;
    uint64_t tail = length % IMAGE_CHUNK;
    if (tail > 0 && whole <= image->count && image->chunks[whole - 1] != NULL)
        write_chunk(image, whole - 1, tail, zeros, (size_t)(IMAGE_CHUNK - tail));
    while (image->count > whole)
        chunk_release(image->chunks[--image->count]);
    image->length = length;
}

void image_allocate(struct image **owner, uint64_t offset, uint64_t size)
{
    if (size == 0)
        return;
    struct image *image = image_own(owner);
    uint64_t end = round_up(offset + size, IMAGE_CHUNK) / IMAGE_CHUNK;
    reach(image, end);
    for (uint64_t i = offset / IMAGE_CHUNK; i < end; i++)
        if (image->chunks[i] == NULL)
            image->chunks[i] = &zero_chunk;
}

void image_punch(struct image **owner, uint64_t offset, uint64_t size)
{
    static const uint8_t zeros[IMAGE_CHUNK];
    struct image *image = image_own(owner);
    uint64_t end = min_u64(offset + size, image->count * (uint64_t)IMAGE_CHUNK);
    while (offset < end) {
        uint64_t at = offset % IMAGE_CHUNK;
        size_t part = (size_t)min_u64(end - offset, IMAGE_CHUNK - at);
        struct chunk **slot = &image->chunks[offset / IMAGE_CHUNK];
        if (part == IMAGE_CHUNK) {
            chunk_release(*slot);
            *slot = NULL;
        } else if (*slot != NULL) {
            write_chunk(image, offset / IMAGE_CHUNK, at, zeros, part);
        }
        offset += part;
    }
}

uint64_t image_holes(const struct image *image, uint64_t offset, uint64_t size)
{
    if (size == 0)
        return 0;
    uint64_t holes = 0;
    uint64_t end = round_up(offset + size, IMAGE_CHUNK) / IMAGE_CHUNK;
    uint64_t first = offset / IMAGE_CHUNK, known = min_u64(end, image->count);
    for (uint64_t i = first; i < known; i++)
        holes += image->chunks[i] == NULL;
    return holes + end - max_u64(first, known);
}

uint64_t image_chunks(const struct image *image)
{
    return image->count - image_holes(image, 0, image->count * IMAGE_CHUNK);
}

bool image_equal(const struct image *one, const struct image *other)
{
    if (one == other)
        return true;
    if (one->length != other->length)
        return false;
    size_t count = one->count > other->count ? one->count : other->count;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *a = chunk_bytes(one, i);
        const uint8_t *b = chunk_bytes(other, i);
        if (a != b && memcmp(a, b, IMAGE_CHUNK) != 0)
            return false;
    }
    return true;
}
