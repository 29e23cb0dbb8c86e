#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/batch.h"
#include "core/iofile.h"

#define CAPACITY_MIN 64

void page_table_release(struct page_table *table)
{
    free(table->keys);
    free(table->slots);
    *table = (struct page_table){0};
}

void page_table_clear(struct page_table *table)
{
    if (table->count > 0)
        page_table_release(table);
}

/* Fibonacci hashing: Knuth, The Art of Computer Programming, volume 3, section 6.4. */
static size_t place_of(const struct page_table *table, uint64_t page)
{
    size_t at = (size_t)((page * 0x9e3779b97f4a7c15u) >> 32) & (table->capacity - 1);
    while (table->keys[at] != 0 && table->keys[at] != page + 1)
        at = (at + 1) & (table->capacity - 1);
    return at;
}

const struct page_slot *page_table_find(const struct page_table *table, uint64_t page)
{
    if (table->count == 0)
        return NULL;
    size_t at = place_of(table, page);
    return table->keys[at] != 0 ? table->slots[at] : NULL;
}

/* Room for one more, with half of it empty. */
static int grow(struct page_table *table)
{
    struct page_table grown = {.capacity = table->capacity * 2};
    if (table->count * 2 < table->capacity)
        return 0;
    if (grown.capacity < CAPACITY_MIN)
        grown.capacity = CAPACITY_MIN;
    grown.keys = calloc(grown.capacity, sizeof grown.keys[0]);
    grown.slots = malloc(grown.capacity * sizeof grown.slots[0]);
    if (grown.keys == NULL || grown.slots == NULL) {
        page_table_release(&grown);
        return -ENOMEM;
    }
    for (size_t i = 0; i < table->capacity; i++) {
        if (table->keys[i] == 0)
            continue;
        size_t at = place_of(&grown, table->keys[i] - 1);
        grown.keys[at] = table->keys[i];
        grown.slots[at] = table->slots[i];
    }
    free(table->keys);
    free(table->slots);
    table->keys = grown.keys;
    table->slots = grown.slots;
    table->capacity = grown.capacity;
    return 0;
}

int batch_keep_pages(const struct batch *batch, struct page_table *pages, struct err *err)
{
    for (size_t i = 0; i < batch->run_count; i++) {
        const struct batch_run *run = &batch->runs[i];
        for (uint64_t j = 0; run->slot != SIZE_MAX && j < run->run.count; j++) {
            if (grow(pages) != 0)
                return err_no_memory(err);
            size_t at = place_of(pages, run->run.first + j);
            pages->count += pages->keys[at] == 0;
            pages->keys[at] = run->run.first + j + 1;
            pages->slots[at] = &batch->slots[run->slot + j];
        }
    }
    return 0;
}
