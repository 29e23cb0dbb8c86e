#include "daemon/budget.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"

/* Frees some of those that have been kept for longest. */
static void drop_kept(struct budget *budget, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        budget->kept_size -= budget->kept[i].memory;
        free(budget->kept[i].base);
    }
    budget->kept_count -= count;
    memmove(budget->kept, budget->kept + count, budget->kept_count * sizeof budget->kept[0]);
    if (budget->kept_idle > budget->kept_count)
        budget->kept_idle = budget->kept_count;
}

/* Whether so much may be kept: what is used, and what may be, comes first. */
static bool may_keep(const struct budget *budget, uint64_t size)
{
    const struct budget *whole = budget->whole;
    if (whole == NULL)
        return budget->used + size <= budget->limit;
    return whole->used + size <= min_u64(BUDGET_KEPT * budget->limit, whole->limit);
}

static void make_room(struct budget *budget)
{
    struct budget *keeper = budget->part != NULL ? budget->part : budget;
    while (keeper->kept_count > 0 && !may_keep(keeper, keeper->kept_size))
        drop_kept(keeper, 1);
}

void budget_set_limits(struct budget *budget, uint64_t limit, uint64_t max_message)
{
    budget->limit = limit;
    budget->overdraft = 2 * max_message;
    make_room(budget);
}

void budget_set_part_limits(struct budget *part)
{
    uint64_t all = part->whole->limit, least = all < BUDGET_PART_MIN ? all : BUDGET_PART_MIN;
    part->limit = all / BUDGET_PART > least ? all / BUDGET_PART : least;
    part->overdraft = part->whole->overdraft;
    make_room(part);
}

void budget_init(struct budget *budget, uint64_t limit, uint64_t max_message)
{
    *budget = (struct budget){0};
    budget_set_limits(budget, limit, max_message);
}

void budget_init_part(struct budget *part, struct budget *whole)
{
    *part = (struct budget){.whole = whole};
    whole->part = part;
    budget_set_part_limits(part);
}

/* Whether so much more is within the limits. */
static bool is_within(const struct budget *budget, uint64_t size)
{
    const struct budget *whole = budget->whole;
    return budget->used + size <= budget->limit &&
           (whole == NULL || whole->used + size <= whole->limit);
}

bool budget_is_tight(const struct budget *part)
{
    uint64_t used = part->used;
    if (part->overdrawn != NULL && part->floor < used)
        used = part->floor;
    return part->whole != NULL && used >= 2 * part->limit;
}

static bool is_asked_for(const struct budget *budget, uint64_t size)
{
    return size >= BUDGET_SMALL || (budget_is_tight(budget) && !budget->is_passing);
}

/* What the rest of the whole uses goes by itself, so that who asks for the part can wait for it.
 * Else one message after the other would have the overdraft, and be passed on. */
static bool are_others_beyond(const struct budget *part)
{
    const struct budget *whole = part->whole;
    return whole != NULL && whole->used - part->used > whole->limit;
}

bool budget_fits(const struct budget *budget, const struct conn *conn, uint64_t size)
{
    if (!is_asked_for(budget, size) || is_within(budget, size))
        return true;
    if (are_others_beyond(budget))
        return false;
    if (budget->overdrawn == NULL)
        return size <= budget->overdraft;
    return budget->overdrawn == conn && budget->used + size <= budget->floor + budget->overdraft;
}

/* What is no part of the overdraft. */
static void count(struct budget *budget, uint64_t size)
{
    budget->used += size;
    if (budget->overdrawn != NULL)
        budget->floor += size;
}

static void end_overdraft(struct budget *budget)
{
    if (is_within(budget, 0) || budget->used <= budget->floor)
        budget->overdrawn = NULL;
}

static void uncount(struct budget *budget, uint64_t size)
{
    assert(size <= budget->used);
    budget->used -= size;
    if (budget->overdrawn == NULL)
        return;
    budget->floor -= size < budget->floor ? size : budget->floor;
    end_overdraft(budget);
}

static bool may_take(const struct budget *budget, const struct conn *conn, uint64_t size)
{
    if (!is_asked_for(budget, size))
        return true;
    /* nobody overtakes those who wait */
    if (budget->waiting != NULL && !budget->is_granting && budget->overdrawn != conn)
        return false;
    return budget_fits(budget, conn, size);
}

bool budget_take(struct budget *budget, const struct conn *conn, uint64_t size)
{
    if (!may_take(budget, conn, size))
        return false;
    if (!is_asked_for(budget, size)) {
        budget_add(budget, size);
        return true;
    }
    if (budget->overdrawn == NULL && !is_within(budget, size)) {
        budget->overdrawn = (struct conn *)(uintptr_t)conn;
        budget->floor = budget->used > budget->limit ? budget->used : budget->limit;
    }
    budget->used += size;
    if (budget->whole != NULL)
        count(budget->whole, size);
    make_room(budget);
    return true;
}

void budget_add(struct budget *budget, uint64_t size)
{
    count(budget, size);
    if (budget->whole != NULL)
        count(budget->whole, size);
    make_room(budget);
}

/* Who gave is not known, but a small buffer was no part of the overdraft. */
static void give(struct budget *budget, uint64_t size)
{
    if (size < BUDGET_SMALL) {
        uncount(budget, size);
        return;
    }
    assert(size <= budget->used);
    budget->used -= size;
    if (budget->overdrawn != NULL)
        end_overdraft(budget);
}

void budget_give(struct budget *budget, uint64_t size)
{
    give(budget, size);
    if (budget->whole != NULL)
        uncount(budget->whole, size);
}

void budget_pass_on(struct budget *part, uint64_t size)
{
    if (part->whole != NULL)
        give(part, size);
}

void budget_give_passed(struct budget *whole, uint64_t size)
{
    uncount(whole, size);
}

void budget_keep(struct budget *budget, struct buffer *buffer)
{
    budget_give_passed(budget->whole != NULL ? budget->whole : budget, buffer->memory);
    if (budget->kept_count < BUFFERS_KEPT && may_keep(budget, budget->kept_size + buffer->memory)) {
        budget->kept_size += buffer->memory;
        budget->kept[budget->kept_count++] = *buffer;
    } else {
        free(buffer->base);
    }
    *buffer = (struct buffer){0};
}

/* The one that fits best, and came last of these: kept_count if there is none. */
static unsigned find_kept(const struct budget *budget, size_t capacity)
{
    unsigned found = budget->kept_count;
    size_t most = capacity + capacity / 4;
    for (unsigned i = 0; i < budget->kept_count; i++) {
        size_t memory = budget->kept[i].memory;
        if (memory < capacity || memory > most)
            continue;
        found = i;
        most = memory;
    }
    return found;
}

bool budget_take_kept(struct budget *budget, const struct conn *conn, size_t capacity,
                      uint64_t counted, struct buffer *ret)
{
    unsigned found = find_kept(budget, capacity);
    if (found == budget->kept_count)
        return false;
    struct buffer buffer = budget->kept[found];
    if (!may_take(budget, conn, buffer.memory - counted))
        return false;
    unsigned behind = --budget->kept_count - found;
    memmove(budget->kept + found, budget->kept + found + 1, behind * sizeof buffer);
    budget->kept_size -= buffer.memory;
    if (budget->kept_idle > budget->kept_count)
        budget->kept_idle = budget->kept_count;
    (void)budget_take(budget, conn, buffer.memory - counted);
    buffer.capacity = capacity;
    *ret = buffer;
    return true;
}

void budget_age_kept(struct budget *budget)
{
    drop_kept(budget, budget->kept_idle);
    budget->kept_idle = budget->kept_count;
}

void budget_release_kept(struct budget *budget)
{
    drop_kept(budget, budget->kept_count);
}

void budget_forget(struct budget *budget, const struct conn *conn)
{
    if (budget->overdrawn == conn)
        budget->overdrawn = NULL;
}
