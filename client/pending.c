#include "client/pending.h"

#include <stdlib.h>
#include <string.h>

static struct pending **bucket_of(struct pending_table *table, uint32_t msgid)
{
    return &table->buckets[msgid % PENDING_BUCKETS];
}

static void free_list(struct pending *list)
{
    while (list != NULL) {
        struct pending *next = list->next;

        if (list->result != list->small)
            free(list->result);
        free(list->text);
        free(list);
        list = next;
    }
}

void pending_table_release(struct pending_table *table)
{
    for (size_t i = 0; i < PENDING_BUCKETS; i++)
        free_list(table->buckets[i]);
    free_list(table->spare);
    *table = (struct pending_table){.last = table->last};
}

struct pending *pending_new(struct pending_table *table)
{
    struct pending *pending = table->spare;
    struct pending **bucket;

    if (pending != NULL)
        table->spare = pending->next;
    else if ((pending = malloc(sizeof *pending)) == NULL)
        return NULL;
    /* Ids come round after four billion requests; one that is still out is passed over. */
    do
        table->last++;
    while (pending_find_msgid(table, (uint32_t)table->last) != NULL);
    *pending = (struct pending){.ticket = table->last};
    bucket = bucket_of(table, pending_msgid(pending));
    pending->next = *bucket;
    *bucket = pending;
    table->count++;
    table->waiting++;
    return pending;
}

static void drop_result(struct pending_table *table, struct pending *pending)
{
    table->kept -= pending->result_size;
    if (pending->result != pending->small)
        free(pending->result);
    free(pending->text);
    pending->result = NULL;
    pending->result_size = 0;
    pending->text = NULL;
}

void pending_free(struct pending_table *table, struct pending *pending)
{
    struct pending **link = bucket_of(table, pending_msgid(pending));

    while (*link != pending)
        link = &(*link)->next;
    *link = pending->next;
    table->count--;
    if (pending->state == PENDING_WAITING)
        table->waiting--;
    drop_result(table, pending);
    pending->next = table->spare;
    table->spare = pending;
}

struct pending *pending_find_msgid(const struct pending_table *table, uint32_t msgid)
{
    struct pending *pending = table->buckets[msgid % PENDING_BUCKETS];

    while (pending != NULL && pending_msgid(pending) != msgid)
        pending = pending->next;
    return pending;
}

struct pending *pending_find_ticket(const struct pending_table *table, mregion_ticket ticket)
{
    struct pending *pending = pending_find_msgid(table, (uint32_t)ticket);

    return pending != NULL && pending->ticket == ticket && !pending->is_forgotten ? pending : NULL;
}

void pending_forget(struct pending_table *table, struct pending *pending)
{
    if (pending->state != PENDING_WAITING) {
        pending_free(table, pending);
        return;
    }
    pending->is_forgotten = true;
    pending->sink = NULL;
}

/* Its state is no longer "waiting". */
static void settle(struct pending_table *table, struct pending *pending, enum pending_state state)
{
    pending->state = state;
    table->waiting--;
    if (pending->is_forgotten)
        pending_free(table, pending);
}

void pending_answer(struct pending_table *table, struct pending *pending, const uint8_t *result,
                    size_t size)
{
    if (!pending->is_forgotten && size > 0) {
        pending->result = size <= sizeof pending->small ? pending->small : malloc(size);
        if (pending->result == NULL) {
            pending_fail(table, pending, MREGION_ERR_MEMORY, "out of memory", 13);
            return;
        }
        memcpy(pending->result, result, size);
        pending->result_size = size;
        table->kept += size;
    }
    settle(table, pending, PENDING_ANSWERED);
}

void pending_fail(struct pending_table *table, struct pending *pending, enum mregion_code code,
                  const char *text, size_t length)
{
    if (!pending->is_forgotten) {
        pending->code = code;
        pending->text = strndup(text, length);
    }
    settle(table, pending, PENDING_FAILED);
}

void pending_fail_all(struct pending_table *table, enum mregion_code code, const char *text)
{
    for (size_t i = 0; i < PENDING_BUCKETS; i++) {
        struct pending *next;

        for (struct pending *one = table->buckets[i]; one != NULL; one = next) {
            next = one->next;
            if (one->state == PENDING_WAITING)
                pending_fail(table, one, code, text, strlen(text));
        }
    }
}
