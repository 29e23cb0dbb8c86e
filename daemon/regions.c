/* Before uthash.h is read: an entry that could not be added says so, instead of ending the
 * program. */
#define uthash_nonfatal_oom(entry) ((entry)->is_dropping = true)

#include "daemon/regions.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "daemon/commit.h"
#include "daemon/log.h"
#include "daemon/server.h"

static uint64_t clock_us(void)
{
    uv_timeval64_t now;
    return uv_gettimeofday(&now) == 0 ? (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_usec : 0;
}

static void forget_order(struct regions *regions)
{
    free(regions->sorted);
    regions->sorted = NULL;
}

struct region_entry *regions_add(struct server *server, struct region *region)
{
    struct regions *regions = &server->regions;
    struct region_entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL)
        return NULL;
    entry->server = server;
    entry->region = region;
    entry->id = region_id(region);
    entry->opened_us = clock_us();
    strncpy(entry->name, region_name(region), sizeof entry->name - 1);
    entry->name_length = strlen(entry->name);
    HASH_ADD(by_name, regions->names, name, entry->name_length, entry);
    if (entry->is_dropping) {
        free(entry);
        return NULL;
    }
    HASH_ADD(by_id, regions->ids, id, sizeof entry->id, entry);
    if (entry->is_dropping) {
        HASH_DELETE(by_name, regions->names, entry);
        free(entry);
        return NULL;
    }
    regions->count++;
    forget_order(regions);
    commit_init(entry);
    return entry;
}

void regions_remove(struct server *server, struct region_entry *entry)
{
    if (entry->is_dropping)
        return;
    entry->is_dropping = true;
    if (server->regions.last == entry)
        server->regions.last = NULL;
    if (!entry->is_unnamed)
        HASH_DELETE(by_name, server->regions.names, entry);
    HASH_DELETE(by_id, server->regions.ids, entry);
    server->regions.count--;
    forget_order(&server->regions);
}

/* Where the table has no memory for it (it has just given back as much) it is found by its id only,
 * until the next start. */
static void add_name(struct regions *regions, struct region_entry *entry)
{
    HASH_ADD(by_name, regions->names, name, entry->name_length, entry);
    if (!entry->is_dropping)
        return;
    entry->is_dropping = false;
    entry->is_unnamed = true;
    log_error_about((&(struct log_about){.region = entry->name}),
                    "region %s: no memory to find it by its new name: use its id, %" PRIu64
                    ", or restart",
                    entry->name, entry->id);
}

void regions_rename(struct server *server, struct region_entry *entry, const char *name)
{
    struct regions *regions = &server->regions;
    if (regions->last == entry)
        regions->last = NULL;
    if (!entry->is_dropping && !entry->is_unnamed)
        HASH_DELETE(by_name, regions->names, entry);
    entry->is_unnamed = false;
    memset(entry->name, 0, sizeof entry->name);
    strncpy(entry->name, name, sizeof entry->name - 1);
    entry->name_length = strlen(entry->name);
    forget_order(regions);
    if (!entry->is_dropping)
        add_name(regions, entry);
}

static void on_deadline_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void regions_free(struct region_entry *entry)
{
    assert(entry->is_dropping && entry->region == NULL && !entry->is_touched);
    entry->deadline.data = entry;
    uv_close((uv_handle_t *)&entry->deadline, on_deadline_closed);
}

struct region_entry *regions_find_name(const struct regions *regions, const char *name,
                                       size_t length)
{
    struct region_entry *entry;
    HASH_FIND(by_name, regions->names, name, length, entry);
    return entry;
}

struct region_entry *regions_find_id(const struct regions *regions, uint64_t id)
{
    struct region_entry *entry;
    HASH_FIND(by_id, regions->ids, &id, sizeof id, entry);
    return entry;
}

static bool has_name(const struct region_entry *entry, const struct rpc_param *param)
{
    return entry != NULL && entry->name_length == param->size &&
           is_same_name(entry->name, param->bytes, param->size);
}

int regions_say_missing(const struct rpc_param *param, struct err *err)
{
    char name[REGION_NAME_MAX * 4 + 1];
    if (param->bytes == NULL)
        return err_set(err, ERR_NO_SUCH_REGION, "there is no region with id %" PRIu64,
                       param->number);
    log_escape((const char *)param->bytes, param->size, name, sizeof name);
    return err_set(err, ERR_NO_SUCH_REGION, "there is no region named \"%.100s\"", name);
}

int regions_find(struct regions *regions, const struct rpc_param *param,
                 struct region_entry **ret_entry, struct err *err)
{
    struct region_entry *entry = regions->last;
    if (param->bytes != NULL && has_name(entry, param)) {
        *ret_entry = entry;
        return 0;
    }
    if (param->bytes == NULL)
        entry = regions_find_id(regions, param->number);
    else
        entry = regions_find_name(regions, (const char *)param->bytes, param->size);
    if (entry == NULL)
        return regions_say_missing(param, err);
    if (param->bytes != NULL)
        regions->last = entry;
    *ret_entry = entry;
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    const struct region_entry *const *first = a;
    const struct region_entry *const *second = b;
    return strcmp((*first)->name, (*second)->name);
}

struct region_entry *const *regions_sorted(struct regions *regions)
{
    if (regions->sorted != NULL || regions->count == 0)
        return regions->sorted;
    struct region_entry **entries = malloc(regions->count * sizeof *entries);
    if (entries == NULL)
        return NULL;
    size_t count = 0;
    struct region_entry *entry, *next;
    HASH_ITER(by_id, regions->ids, entry, next)
    entries[count++] = entry;
    qsort(entries, count, sizeof entries[0], compare_names);
    regions->sorted = entries;
    return entries;
}

size_t regions_up_to(const struct regions *regions, struct region_entry *const *sorted,
                     const char *name)
{
    size_t first = 0, end = regions->count;
    while (first < end) {
        size_t middle = first + (end - first) / 2;
        if (strcmp(sorted[middle]->name, name) <= 0)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}
