#include "support_shadow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/limits.h"
#include "core/region_private.h"
#include "support_random.h"

static void *need(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

/* ---- Contents ---- */

static uint64_t content_word(uint64_t content, uint64_t index)
{
    return rng_mix(content * 0x9e3779b97f4a7c15u + index);
}

void content_fill(uint64_t content, uint64_t offset, void *bytes, size_t size)
{
    uint8_t *out = bytes;
    while (size > 0) {
        uint8_t word[8];
        uint64_t at = offset % 8;
        size_t part = (size_t)min_u64(size, 8 - at);
        put_u64(word, content_word(content, offset / 8));
        memcpy(out, word + at, part);
        out += part;
        offset += part;
        size -= part;
    }
}

/* The pieces of contents that were compared last: the same ones are compared in thousands of
 * states, one after the other. */
#define PIECE 1024
#define PIECES 4096

static struct piece {
    bool is_known;
    uint64_t content, index;
    uint8_t bytes[PIECE];
} pieces[PIECES];

static const uint8_t *piece_of(uint64_t content, uint64_t index)
{
    struct piece *piece = &pieces[(content_word(content, index) >> 32) % PIECES];
    if (!piece->is_known || piece->content != content || piece->index != index) {
        content_fill(content, index * PIECE, piece->bytes, PIECE);
        piece->is_known = true;
        piece->content = content;
        piece->index = index;
    }
    return piece->bytes;
}

bool content_matches(uint64_t content, uint64_t offset, const void *bytes, size_t size)
{
    const uint8_t *in = bytes;
    while (size > 0) {
        uint64_t at = offset % PIECE;
        size_t part = (size_t)min_u64(size, PIECE - at);
        if (memcmp(in, piece_of(content, offset / PIECE) + at, part) != 0)
            return false;
        in += part;
        offset += part;
        size -= part;
    }
    return true;
}

/* ---- Tokens ---- */

void shadow_token_id(uint64_t content, uint8_t id[16])
{
    put_u64(id, content);
    put_u64(id + 8, ~content);
}

size_t shadow_token_answer(uint64_t content, uint8_t *answer)
{
    size_t size = content % 16 == 0 ? SHADOW_ANSWER_MAX : 1 + content % 40;
    if (answer != NULL)
        content_fill(content, 0, answer, size);
    return size;
}

void shadow_keep_token(struct shadow *shadow, uint64_t content)
{
    shadow->token_contents[shadow->tokens++ % SHADOW_TOKENS] = content;
}

/* Whether a token of the region is one that a change with some content was given. */
static bool is_token(const struct token *token)
{
    uint8_t id[16];
    uint64_t content = get_u64(token->id);
    shadow_token_id(content, id);
    return memcmp(id, token->id, sizeof id) == 0 &&
           token->fingerprint == SHADOW_FINGERPRINT(content) &&
           token->result_size == shadow_token_answer(content, NULL) &&
           content_matches(content, 0, token->result, token->result_size);
}

static const char *observe_tokens(struct observation *seen, const struct region *region)
{
    const struct tokens *tokens = &region->tokens;
    seen->tokens = tokens->next;
    seen->token_count = (size_t)min_u64(tokens_count(tokens), SHADOW_TOKENS);
    for (uint64_t i = tokens->next - seen->token_count; i < tokens->next; i++) {
        struct token token;
        tokens_get(tokens, i, &token);
        if (!is_token(&token))
            return "a token is not what it was";
        seen->token_contents[i % SHADOW_TOKENS] = get_u64(token.id);
    }
    return NULL;
}

/* ---- The list of segments ---- */

void shadow_init(struct shadow *shadow)
{
    *shadow = (struct shadow){0};
}

void shadow_release(struct shadow *shadow)
{
    free(shadow->segments);
    *shadow = (struct shadow){0};
}

void shadow_copy(struct shadow *to, const struct shadow *from)
{
    *to = *from;
    to->capacity = from->count;
    to->segments = NULL;
    if (from->count > 0) {
        to->segments = need(malloc(from->count * sizeof to->segments[0]));
        memcpy(to->segments, from->segments, from->count * sizeof to->segments[0]);
    }
}

/* Index of the first segment that ends after address. */
static size_t seek(const struct shadow *shadow, uint64_t address)
{
    size_t low = 0, high = shadow->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct segment *s = &shadow->segments[middle];
        if (s->address + s->size <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void insert_at(struct shadow *shadow, size_t index, struct segment segment)
{
    if (shadow->count == shadow->capacity) {
        shadow->capacity = shadow->capacity == 0 ? 16 : shadow->capacity * 2;
        shadow->segments =
            need(realloc(shadow->segments, shadow->capacity * sizeof shadow->segments[0]));
    }
    if (index < shadow->count)
        memmove(&shadow->segments[index + 1], &shadow->segments[index],
                (shadow->count - index) * sizeof segment);
    shadow->segments[index] = segment;
    shadow->count++;
}

/* Makes address a boundary between segments. */
static void cut(struct shadow *shadow, uint64_t address)
{
    size_t i = seek(shadow, address);
    if (i == shadow->count || shadow->segments[i].address >= address)
        return;
    struct segment tail = shadow->segments[i];
    uint64_t head = address - tail.address;
    shadow->segments[i].size = head;
    tail.address += head;
    tail.offset += head;
    tail.size -= head;
    insert_at(shadow, i + 1, tail);
}

uint64_t shadow_free(struct shadow *shadow, uint64_t start, uint64_t end)
{
    uint64_t freed = 0;
    if (start >= end)
        return 0;
    cut(shadow, start);
    cut(shadow, end);
    size_t first = seek(shadow, start), last = first;
    while (last < shadow->count && shadow->segments[last].address < end)
        freed += shadow->segments[last++].size;
    if (last == first)
        return 0;
    memmove(&shadow->segments[first], &shadow->segments[last],
            (shadow->count - last) * sizeof shadow->segments[0]);
    shadow->count -= last - first;
    return freed;
}

static void put(struct shadow *shadow, struct segment segment)
{
    if (segment.size == 0)
        return;
    shadow_free(shadow, segment.address, segment.address + segment.size);
    insert_at(shadow, seek(shadow, segment.address), segment);
}

uint64_t shadow_used(const struct shadow *shadow)
{
    uint64_t used = 0;
    for (size_t i = 0; i < shadow->count; i++)
        used += shadow->segments[i].size;
    return used;
}

bool shadow_is_used(const struct shadow *shadow, struct extent block)
{
    uint64_t at = block.address;
    for (size_t i = seek(shadow, at); i < shadow->count && at < extent_end(block); i++) {
        if (shadow->segments[i].address > at)
            return false;
        at = shadow->segments[i].address + shadow->segments[i].size;
    }
    return at >= extent_end(block);
}

bool shadow_is_free(const struct shadow *shadow, struct extent block)
{
    size_t i = seek(shadow, block.address);
    return block.size == 0 || i == shadow->count ||
           shadow->segments[i].address >= extent_end(block);
}

enum err_code shadow_expect(const struct shadow *shadow, struct extent block)
{
    if (block.address > shadow->size || block.size > shadow->size - block.address)
        return ERR_OUT_OF_BOUNDS;
    return shadow_is_used(shadow, block) ? ERR_OK : ERR_NOT_ALLOCATED;
}

size_t shadow_segments(const struct shadow *shadow, struct extent block, struct segment *segments,
                       size_t limit)
{
    size_t count = 0;
    for (size_t i = seek(shadow, block.address); i < shadow->count && count < limit; i++) {
        struct segment s = shadow->segments[i];
        if (s.address >= extent_end(block))
            break;
        uint64_t skip = s.address < block.address ? block.address - s.address : 0;
        s.address += skip;
        s.offset += skip;
        s.size = min_u64(s.size - skip, extent_end(block) - s.address);
        segments[count++] = s;
    }
    return count;
}

/* ---- Changes ---- */

static void reach_pages(struct shadow *shadow)
{
    shadow->pages = max_u64(shadow->pages, round_up(shadow->size, REGION_PAGE) / REGION_PAGE);
}

const char *shadow_take(struct shadow *shadow, uint64_t size, uint64_t address, uint64_t content)
{
    struct extent block = {address, size};
    if (size == 0)
        return address == shadow->size ? NULL : "the address of nothing is not the region's size";
    if (address > shadow->size)
        return "a block past the region's end";
    if (!shadow_is_free(shadow, block))
        return "a block that is in use";
    shadow->size = max_u64(shadow->size, extent_end(block));
    reach_pages(shadow);
    put(shadow, (struct segment){address, size, content, 0});
    return NULL;
}

const char *shadow_resize(struct shadow *shadow, struct extent block, uint64_t new_size,
                          uint64_t address)
{
    struct segment *kept = need(malloc((shadow->count + 1) * sizeof kept[0]));
    struct extent head = {block.address, min_u64(block.size, new_size)};
    size_t count = head.size == 0 ? 0 : shadow_segments(shadow, head, kept, shadow->count);
    shadow_free(shadow, block.address, extent_end(block));
    const char *wrong = shadow_take(shadow, new_size, address, 0);
    for (size_t i = 0; i < count && wrong == NULL; i++) {
        kept[i].address = kept[i].address - block.address + address;
        put(shadow, kept[i]);
    }
    free(kept);
    return wrong;
}

const char *shadow_replace(struct shadow *shadow, struct extent block, uint64_t new_size,
                           uint64_t address, uint64_t content)
{
    shadow_free(shadow, block.address, extent_end(block));
    return shadow_take(shadow, new_size, address, content);
}

void shadow_store(struct shadow *shadow, struct extent block, uint64_t content)
{
    put(shadow, (struct segment){block.address, block.size, content, 0});
}

void shadow_grow(struct shadow *shadow, uint64_t pages)
{
    shadow->pages += pages;
}

void shadow_reach(struct shadow *shadow, uint64_t size)
{
    shadow->size = max_u64(shadow->size, size);
    reach_pages(shadow);
}

/* ---- Comparing ---- */

static const char *complain(const char *what, uint64_t one, uint64_t other)
{
    static char text[160];
    snprintf(text, sizeof text, "%s: the model says %llu, the region %llu", what,
             (unsigned long long)one, (unsigned long long)other);
    return text;
}

static const char *complain_block(const char *what, uint64_t start, uint64_t end)
{
    static char text[160];
    snprintf(text, sizeof text, "the region lacks the %s [%llu, %llu) of the model", what,
             (unsigned long long)start, (unsigned long long)end);
    return text;
}

const char *observation_take_blocks(struct observation *seen, const struct region *region)
{
    static struct err err;
    *seen = (struct observation){0};
    const char *wrong = region_check(region);
    if (wrong != NULL)
        return wrong;
    region_get_info(region, &seen->info);
    uint64_t size = seen->info.size;
    size_t limit = (size_t)seen->info.free_blocks + 2;
    seen->used = need(calloc(limit, sizeof seen->used[0]));
    seen->free = need(calloc(limit, sizeof seen->free[0]));
    if (region_allocated_blocks(region, 0, size, seen->used, limit, &seen->used_count, &err) != 0)
        return err.text;
    if (region_free_blocks(region, 0, size, seen->free, limit, &seen->free_count, &err) != 0)
        return err.text;
    return observe_tokens(seen, region);
}

#define UNREADABLE 0xdb /* stands for bytes that cannot be read */

static int read_pages(struct observation *seen, struct region *region, struct extent block,
                      struct err *err)
{
    uint64_t damaged;
    size_t pages = (size_t)(seen->info.size / DATA_PAGE + 1);
    if (seen->unreadable == NULL)
        seen->unreadable = need(calloc(pages, sizeof seen->unreadable[0]));
    for (uint64_t at = block.address; at < extent_end(block);) {
        uint64_t end = min_u64(round_down(at, DATA_PAGE) + DATA_PAGE, extent_end(block));
        int code = region_read(region, at, seen->bytes + at, (size_t)(end - at), &damaged, err);
        if (code != 0 && code != ERR_CORRUPT)
            return code;
        if (code != 0) {
            seen->unreadable[at / DATA_PAGE] = true;
            memset(seen->bytes + at, UNREADABLE, (size_t)(end - at));
        }
        at = end;
    }
    return 0;
}

static const char *take_bytes(struct observation *seen, const struct region *region, bool pages)
{
    static struct err err;
    struct region *reader = (struct region *)(uintptr_t)region;
    seen->bytes = need(malloc(seen->info.size + 1));
    for (size_t i = 0; i < seen->used_count; i++) {
        struct extent block = seen->used[i];
        uint64_t damaged;
        if (extent_end(block) > seen->info.size)
            return "a block in use ends past the region's size";
        int code = region_read(reader, block.address, seen->bytes + block.address,
                               (size_t)block.size, &damaged, &err);
        if (code == ERR_CORRUPT && pages)
            code = read_pages(seen, reader, block, &err);
        if (code != 0)
            return err.text;
    }
    return NULL;
}

const char *observation_take(struct observation *seen, const struct region *region)
{
    const char *wrong = observation_take_blocks(seen, region);
    return wrong != NULL ? wrong : take_bytes(seen, region, false);
}

const char *observation_take_readable(struct observation *seen, const struct region *region)
{
    const char *wrong = observation_take_blocks(seen, region);
    return wrong != NULL ? wrong : take_bytes(seen, region, true);
}

bool observation_lacks(const struct observation *seen, const struct segment *segment)
{
    if (seen->unreadable == NULL)
        return false;
    for (uint64_t page = segment->address / DATA_PAGE;
         page <= (segment->address + segment->size - 1) / DATA_PAGE; page++)
        if (seen->unreadable[page])
            return true;
    return false;
}

void observation_release(struct observation *seen)
{
    free(seen->used);
    free(seen->free);
    free(seen->bytes);
    free(seen->unreadable);
    *seen = (struct observation){0};
}

static const char *complain_bytes(const struct segment *s, const uint8_t *bytes)
{
    static char text[160];
    uint64_t good = 0, bad = s->size;
    while (content_matches(s->content, s->offset + good, bytes + good, 1))
        good++;
    while (content_matches(s->content, s->offset + bad - 1, bytes + bad - 1, 1))
        bad--;
    snprintf(text, sizeof text, "the block [%llu, +%llu) has wrong bytes within [%llu, %llu)",
             (unsigned long long)s->address, (unsigned long long)s->size,
             (unsigned long long)s->address + good, (unsigned long long)s->address + bad);
    return text;
}

/* Blocks in use and free must alternate and cover [0, size). */
static const char *partition_difference(const struct shadow *shadow, const struct observation *seen)
{
    size_t used = 0, free_block = 0, i = 0;
    uint64_t at = 0;
    while (at < shadow->size) {
        uint64_t end = at;
        while (i < shadow->count && shadow->segments[i].address == end)
            end += shadow->segments[i++].size;
        if (end > at) {
            if (used == seen->used_count || seen->used[used].address != at ||
                extent_end(seen->used[used]) != end)
                return complain_block("block in use", at, end);
            used++;
            at = end;
        }
        end = i < shadow->count ? shadow->segments[i].address : shadow->size;
        if (end > at) {
            if (free_block == seen->free_count || seen->free[free_block].address != at ||
                extent_end(seen->free[free_block]) != end)
                return complain_block("free block", at, end);
            free_block++;
            at = end;
        }
    }
    if (used != seen->used_count || free_block != seen->free_count)
        return complain("number of blocks", used + free_block, seen->used_count + seen->free_count);
    return NULL;
}

static const char *token_difference(const struct shadow *shadow, const struct observation *seen)
{
    uint64_t least = min_u64(SHADOW_TOKENS, seen->info.options.token_window);
    if (seen->tokens != shadow->tokens)
        return complain("tokens", shadow->tokens, seen->tokens);
    if (seen->token_count < min_u64(shadow->tokens, least))
        return complain("tokens remembered", min_u64(shadow->tokens, least), seen->token_count);
    for (uint64_t i = shadow->tokens - seen->token_count; i < shadow->tokens; i++)
        if (shadow->token_contents[i % SHADOW_TOKENS] != seen->token_contents[i % SHADOW_TOKENS])
            return complain("a token's number", shadow->token_contents[i % SHADOW_TOKENS],
                            seen->token_contents[i % SHADOW_TOKENS]);
    return NULL;
}

const char *shadow_difference(const struct shadow *shadow, const struct observation *seen)
{
    return shadow_difference_but(shadow, seen, NULL);
}

const char *shadow_difference_but(const struct shadow *shadow, const struct observation *seen,
                                  struct shadow_losses *losses)
{
    const struct region_info *info = &seen->info;
    uint64_t used = shadow_used(shadow), largest = 0;
    if (info->size != shadow->size)
        return complain("size", shadow->size, info->size);
    if (info->pages != shadow->pages || info->capacity != shadow->pages * REGION_PAGE)
        return complain("pages", shadow->pages, info->pages);
    if (info->allocated != used)
        return complain("allocated", used, info->allocated);
    if (info->deallocated != shadow->size - used)
        return complain("deallocated", shadow->size - used, info->deallocated);
    const char *wrong = token_difference(shadow, seen);
    if (wrong == NULL)
        wrong = partition_difference(shadow, seen);
    if (wrong != NULL)
        return wrong;
    for (size_t i = 0; i < seen->free_count; i++)
        largest = max_u64(largest, seen->free[i].size);
    /* What uploads have cannot be taken. */
    if (info->free_blocks != seen->free_count || info->largest_free > largest ||
        (info->reserved == 0 && info->largest_free != largest))
        return complain("largest free block", largest, info->largest_free);
    for (size_t i = 0; i < shadow->count && seen->bytes != NULL; i++) {
        const struct segment *s = &shadow->segments[i];
        if (s->content == 0 ||
            content_matches(s->content, s->offset, seen->bytes + s->address, (size_t)s->size))
            continue;
        if (losses == NULL || !losses->may_be_lost(losses->context, s, seen))
            return complain_bytes(s, seen->bytes + s->address);
        losses->lost++;
    }
    return NULL;
}
