#include "core/tokenindex.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* Enough that each of them doubles in less than a millisecond with as many tokens as there can be:
 * it has 64 Ki of them then. */
#define TABLES 256
#define FIRST_CAPACITY 8

/* All of them, and what they have to begin with. */
struct tokenindex_tables {
    struct tokenindex_table table[TABLES];
    struct tokenindex_slot first[TABLES][FIRST_CAPACITY];
};

static void release_slots(struct tokenindex_table *table)
{
    if (table->capacity > FIRST_CAPACITY)
        free(table->slots);
}

void tokenindex_release(struct tokenindex *index)
{
    for (size_t i = 0; index->tables != NULL && i < TABLES; i++)
        release_slots(&index->tables->table[i]);
    free(index->tables);
    *index = (struct tokenindex){0};
}

/* Bits of the hash that tags do not have. */
static struct tokenindex_table *table_of(const struct tokenindex *index, uint64_t hash)
{
    return &index->tables->table[hash >> 56];
}

static uint32_t tag_of(uint64_t hash)
{
    uint32_t tag = (uint32_t)hash;
    return tag != 0 ? tag : 1;
}

/* Where a tag stands if nothing is in its way. */
static uint32_t home_of(const struct tokenindex_table *table, uint32_t tag)
{
    return tag & (table->capacity - 1);
}

static void put(struct tokenindex_table *table, struct tokenindex_slot slot)
{
    uint32_t at = home_of(table, slot.tag);
    while (table->slots[at].tag != 0)
        at = (at + 1) & (table->capacity - 1);
    table->slots[at] = slot;
    table->count++;
}

static bool is_crowded(const struct tokenindex_table *table)
{
    return table->count > table->capacity / 4 * 3;
}

static int grow(struct tokenindex_table *table)
{
    struct tokenindex_table grown = {.capacity = table->capacity * 2};
    grown.slots = calloc(grown.capacity, sizeof grown.slots[0]);
    if (grown.slots == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < table->capacity; i++)
        if (table->slots[i].tag != 0)
            put(&grown, table->slots[i]);
    release_slots(table);
    *table = grown;
    return 0;
}

static int make_tables(struct tokenindex *index)
{
    struct tokenindex_tables *tables = calloc(1, sizeof *tables);
    if (tables == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < TABLES; i++)
        tables->table[i] =
            (struct tokenindex_table){.slots = tables->first[i], .capacity = FIRST_CAPACITY};
    index->tables = tables;
    return 0;
}

/* Which table the next one comes into is not known yet: it has room unless one could not grow. */
int tokenindex_reserve(struct tokenindex *index)
{
    if (index->tables == NULL)
        return make_tables(index);
    if (index->crowded == NULL)
        return 0;
    if (is_crowded(index->crowded) && grow(index->crowded) != 0)
        return -ENOMEM;
    index->crowded = NULL;
    return 0;
}

void tokenindex_add(struct tokenindex *index, uint64_t hash, uint64_t sequence)
{
    struct tokenindex_table *table = table_of(index, hash);
    assert(index->crowded == NULL && table->count + 1 < table->capacity);
    put(table, (struct tokenindex_slot){tag_of(hash), (uint32_t)sequence});
    if (is_crowded(table) && grow(table) != 0)
        index->crowded = table;
}

/* Empties a slot; those behind it move up. */
static void take_out(struct tokenindex_table *table, uint32_t at)
{
    uint32_t mask = table->capacity - 1;
    for (uint32_t next = (at + 1) & mask; table->slots[next].tag != 0; next = (next + 1) & mask) {
        uint32_t home = home_of(table, table->slots[next].tag);
        /* It may move to the gap unless its home lies behind that. */
        if (((next - home) & mask) >= ((next - at) & mask)) {
            table->slots[at] = table->slots[next];
            at = next;
        }
    }
    table->slots[at] = (struct tokenindex_slot){0};
    table->count--;
}

void tokenindex_remove(struct tokenindex *index, uint64_t hash, uint64_t sequence)
{
    struct tokenindex_table *table = table_of(index, hash);
    uint32_t tag = tag_of(hash), at = home_of(table, tag);
    while (table->slots[at].tag != tag || table->slots[at].sequence != (uint32_t)sequence) {
        assert(table->slots[at].tag != 0);
        at = (at + 1) & (table->capacity - 1);
    }
    take_out(table, at);
}

uint64_t tokenindex_count(const struct tokenindex *index)
{
    uint64_t count = 0;
    for (size_t i = 0; index->tables != NULL && i < TABLES; i++)
        count += index->tables->table[i].count;
    return count;
}

struct tokenindex_probe tokenindex_probe(const struct tokenindex *index, uint64_t hash)
{
    static const struct tokenindex_slot empty;
    uint32_t tag = tag_of(hash);
    if (index->tables == NULL)
        return (struct tokenindex_probe){.slots = &empty, .tag = tag};
    const struct tokenindex_table *table = table_of(index, hash);
    return (struct tokenindex_probe){
        .slots = table->slots, .tag = tag, .mask = table->capacity - 1, .at = home_of(table, tag)};
}

bool tokenindex_next(struct tokenindex_probe *probe, uint32_t *ret_sequence)
{
    for (;;) {
        struct tokenindex_slot slot = probe->slots[probe->at];
        if (slot.tag == 0)
            return false;
        probe->at = (probe->at + 1) & probe->mask;
        if (slot.tag == probe->tag) {
            *ret_sequence = slot.sequence;
            return true;
        }
    }
}
