#include "support_loads.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/bytes.h"
#include "core/limits.h"
#include "core/pagecache.h"

#define PARTS 64 /* segments of one load; more are not checked */

struct load {
    struct extent block;
    uint64_t after; /* the ticket to wait for, 0 = none */
    bool is_for_holding;
    struct pagecache_hold *holds; /* of its pages, or NULL */
    bool pinned;
    struct region_pin pin;
    size_t got; /* bytes read */
    size_t count;
    struct segment parts[PARTS];
    uint8_t *bytes;
    struct load *next;
};

static void *need(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

bool loads_any(const struct loads *loads)
{
    return loads->first != NULL;
}

static const char *check(const struct load *load)
{
    static char text[160];
    for (size_t i = 0; i < load->count; i++) {
        const struct segment *part = &load->parts[i];
        if (part->content != 0 &&
            !content_matches(part->content, part->offset,
                             load->bytes + (part->address - load->block.address),
                             (size_t)part->size)) {
            snprintf(text, sizeof text, "[%llu, +%llu) gave wrong bytes within [%llu, +%llu)",
                     (unsigned long long)load->block.address, (unsigned long long)load->block.size,
                     (unsigned long long)part->address, (unsigned long long)part->size);
            return text;
        }
    }
    return NULL;
}

static void drop(struct loads *loads, struct region *region, struct load *load)
{
    struct load **link = &loads->first;
    while (*link != load)
        link = &(*link)->next;
    *link = load->next;
    if (load->pinned)
        region_unpin(region, &load->pin);
    if (load->holds != NULL)
        region_let_go(load->holds, region_hold_count(load->block));
    free(load->holds);
    free(load->bytes);
    free(load);
}

/* Holds its bytes where they are, for as long as it likes. */
static bool hold(struct region *region, struct load *load)
{
    if (!load->is_for_holding || load->block.size == 0 || load->block.size > REGION_HOLD_MAX)
        return false;
    load->holds = need(calloc(region_hold_count(load->block), sizeof load->holds[0]));
    if (region_hold_now(region, load->block, load->holds) == REGION_HELD)
        return true;
    free(load->holds);
    load->holds = NULL;
    return false;
}

static void copy_held(struct load *load)
{
    uint64_t skip = load->block.address % DATA_PAGE;
    for (uint64_t i = 0; i < load->block.size; i++)
        load->bytes[i] = load->holds[(skip + i) / DATA_PAGE].bytes[(skip + i) % DATA_PAGE];
}

/* Reads what is cached; the rest is pinned until a worker has read it. */
static const char *read_now(struct loads *loads, struct region *region, struct load *load)
{
    size_t size = (size_t)load->block.size;
    load->after = 0;
    if (hold(region, load))
        return NULL;
    load->got = region_read_now(region, load->block.address, load->bytes, size);
    if (load->got > size)
        return "more bytes than asked for";
    if (load->got < size) {
        region_pin(region, &load->pin, load->block);
        load->pinned = true;
        return NULL;
    }
    const char *wrong = check(load);
    drop(loads, region, load);
    return wrong;
}

static struct extent choose(const struct shadow *shadow, struct rng *rng)
{
    if (shadow->count == 0 || rng_chance(rng, 5))
        return (struct extent){rng_below(rng, shadow->size + 50), rng_below(rng, 5000)};
    const struct segment *s = &shadow->segments[rng_below(rng, shadow->count)];
    struct extent block = {s->address, s->size};
    if (rng_chance(rng, 30)) {
        block.address += rng_below(rng, s->size);
        block.size = rng_between(rng, 1, s->address + s->size - block.address);
    }
    return block;
}

const char *loads_begin(struct loads *loads, struct region *region, const struct shadow *shadow,
                        struct rng *rng)
{
    struct err err = {0};
    struct load *load = need(calloc(1, sizeof *load));
    load->block = choose(shadow, rng);
    load->is_for_holding = rng_chance(rng, 50);
    enum err_code expected = shadow_expect(shadow, load->block);
    int code = region_load_begin(region, load->block, &load->after, &err);
    if (code != (int)expected) {
        free(load);
        return "a wrong answer to its beginning";
    }
    if (code != 0) {
        free(load);
        return NULL;
    }
    load->bytes = need(malloc((size_t)load->block.size + 1));
    load->count = shadow_segments(shadow, load->block, load->parts, PARTS);
    load->next = loads->first;
    loads->first = load;
    return load->after == 0 ? read_now(loads, region, load) : NULL;
}

const char *loads_serve(struct loads *loads, struct region *region, bool failed)
{
    const char *wrong = NULL;
    uint64_t applied = region_applied_ticket(region);
    struct load *next;
    for (struct load *load = loads->first; load != NULL && wrong == NULL; load = next) {
        next = load->next;
        if (load->after == 0)
            continue;
        if (load->after <= applied)
            wrong = read_now(loads, region, load);
        else if (failed)
            drop(loads, region, load);
    }
    return wrong;
}

/* Its bytes are still those of the moment when it began. */
static const char *finish_held(struct loads *loads, struct region *region, struct load *load)
{
    copy_held(load);
    const char *wrong = check(load);
    drop(loads, region, load);
    return wrong;
}

const char *loads_finish_one(struct loads *loads, struct region *region, struct rng *rng)
{
    struct load *chosen = NULL;
    for (struct load *load = loads->first; load != NULL; load = load->next)
        if ((load->pinned || load->holds != NULL) && (chosen == NULL || rng_chance(rng, 30)))
            chosen = load;
    if (chosen == NULL)
        return NULL;
    if (chosen->holds != NULL)
        return finish_held(loads, region, chosen);
    struct err err = {0};
    uint64_t damaged;
    static char text[ERR_TEXT_SIZE];
    int code = region_read(region, chosen->block.address + chosen->got, chosen->bytes + chosen->got,
                           (size_t)chosen->block.size - chosen->got, &damaged, &err);
    const char *wrong = NULL;
    if (code != 0 && err.text[0] == '\0') {
        wrong = "an error without a sentence";
    } else if (code != 0 && !loads->may_fail) {
        snprintf(text, sizeof text, "%s", err.text);
        wrong = text;
    } else if (code == 0) {
        wrong = check(chosen);
    }
    drop(loads, region, chosen);
    return wrong;
}

void loads_release(struct loads *loads, struct region *region)
{
    while (loads->first != NULL)
        drop(loads, region, loads->first);
}
