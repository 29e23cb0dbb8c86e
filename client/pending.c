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
        free(list->message);
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

/* ---- The queue ---- */

void pending_enqueue(struct pending_table *table, struct pending *pending)
{
    pending->is_queued = true;
    pending->before = table->last_queued;
    if (table->last_queued != NULL)
        table->last_queued->after = pending;
    else
        table->first = pending;
    table->last_queued = pending;
    if (table->unsent == NULL)
        table->unsent = pending;
}

static void dequeue(struct pending_table *table, struct pending *pending)
{
    if (!pending->is_queued)
        return;
    if (table->unsent == pending)
        table->unsent = pending->after;
    if (pending->before != NULL)
        pending->before->after = pending->after;
    else
        table->first = pending->after;
    if (pending->after != NULL)
        pending->after->before = pending->before;
    else
        table->last_queued = pending->before;
    pending->is_queued = false;
    pending->before = NULL;
    pending->after = NULL;
}

void pending_sent(struct pending_table *table, struct pending *pending)
{
    pending->is_sent = true;
    pending->was_sent = true;
    table->unsent = pending->after;
    if (!pending->is_repeatable)
        dequeue(table, pending);
}

void pending_unsend_all(struct pending_table *table)
{
    for (struct pending *one = table->first; one != NULL; one = one->after)
        one->is_sent = false;
    table->unsent = table->first;
}

/* It is not sent any more. */
static void drop_message(struct pending_table *table, struct pending *pending)
{
    dequeue(table, pending);
    table->kept -= pending->message_size;
    free(pending->message);
    pending->message = NULL;
    pending->message_size = 0;
    pending->request = NULL;
}

/* ---- One of them ---- */

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

    /* The rest of the blob still asks it where to go. */
    if (table->receiving == pending) {
        drop_message(table, pending);
        pending->is_forgotten = true;
        pending->is_reported = false;
        pending->sink = NULL;
        return;
    }
    while (*link != pending)
        link = &(*link)->next;
    *link = pending->next;
    table->count--;
    if (pending->state == PENDING_WAITING)
        table->waiting--;
    if (table->sending == pending)
        table->sending = NULL;
    drop_message(table, pending);
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

    return pending != NULL && pending->ticket == ticket && !pending->is_forgotten &&
                   !pending->is_async
               ? pending
               : NULL;
}

void pending_forget(struct pending_table *table, struct pending *pending)
{
    bool is_kept = pending->message != NULL && pending->has_token;

    if (pending->state != PENDING_WAITING ||
        (!is_kept && pending->is_queued && !pending->is_sent && table->sending != pending)) {
        pending_free(table, pending);
        return;
    }
    if (!is_kept)
        drop_message(table, pending);
    pending->is_forgotten = true;
    pending->is_reported = false;
    pending->sink = NULL;
}

/* ---- Asynchronous ones ---- */

bool pending_is_in_flight(const struct pending_table *table, const struct pending *pending)
{
    return pending->is_sent || table->sending == pending;
}

static void push_over(struct pending_table *table, struct pending *pending)
{
    if (table->over == NULL)
        table->last_over = &table->over;
    *table->last_over = pending;
    table->last_over = &pending->next_over;
    pending->is_over = true;
}

struct pending *pending_take_over(struct pending_table *table)
{
    struct pending *pending = table->over;

    if (pending != NULL)
        table->over = pending->next_over;
    return pending;
}

void pending_give_up(struct pending_table *table, struct pending *pending, enum mregion_code code,
                     const char *text)
{
    bool is_in_flight = pending_is_in_flight(table, pending);

    pending->code = code;
    pending->text = strdup(text);
    pending->sink = NULL;
    drop_message(table, pending);
    push_over(table, pending);
    if (!is_in_flight) {
        pending->state = PENDING_FAILED;
        table->waiting--;
    }
}

void pending_leave(struct pending_table *table, struct pending *pending)
{
    if (pending->state != PENDING_WAITING) {
        pending_free(table, pending);
        return;
    }
    drop_result(table, pending);
    pending->is_async = false;
    pending->is_forgotten = true;
}

/* ---- The end of the waiting ---- */

/* Its state is no longer "waiting". */
static void settle(struct pending_table *table, struct pending *pending, enum pending_state state)
{
    pending->state = state;
    table->waiting--;
    drop_message(table, pending);
    if (pending->is_forgotten)
        pending_free(table, pending);
    else if (pending->is_async && !pending->is_over)
        push_over(table, pending);
}

void pending_answer(struct pending_table *table, struct pending *pending, const uint8_t *result,
                    size_t size)
{
    if (!pending->is_forgotten && !pending->is_over && size > 0) {
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
    if (!pending->is_forgotten && !pending->is_over) {
        pending->code = code;
        pending->text = strndup(text, length);
    }
    settle(table, pending, PENDING_FAILED);
}

void pending_fail_all(struct pending_table *table, enum mregion_code code, const char *text,
                      bool with_queue)
{
    for (size_t i = 0; i < PENDING_BUCKETS; i++) {
        struct pending *next;

        for (struct pending *one = table->buckets[i]; one != NULL; one = next) {
            next = one->next;
            if (one->state == PENDING_WAITING && !one->is_held &&
                (with_queue || !one->is_queued || one->is_bound))
                pending_fail(table, one, code, text, strlen(text));
        }
    }
}
