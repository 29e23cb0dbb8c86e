#include "daemon/budget.h"

#include <assert.h>
#include <stddef.h>

void budget_set_limits(struct budget *budget, uint64_t limit, uint64_t max_message)
{
    budget->limit = limit;
    budget->overdraft = 2 * max_message;
}

void budget_init(struct budget *budget, uint64_t limit, uint64_t max_message)
{
    *budget = (struct budget){0};
    budget_set_limits(budget, limit, max_message);
}

bool budget_fits(const struct budget *budget, const struct conn *conn, uint64_t size)
{
    if (budget->used + size <= budget->limit)
        return true;
    if (budget->overdrawn == NULL)
        return size <= budget->overdraft;
    return budget->overdrawn == conn && budget->used + size <= budget->floor + budget->overdraft;
}

bool budget_take(struct budget *budget, const struct conn *conn, uint64_t size)
{
    if (size < BUDGET_SMALL) {
        budget_add(budget, size);
        return true;
    }
    /* nobody overtakes those who wait */
    if (budget->waiting != NULL && !budget->is_granting && budget->overdrawn != conn)
        return false;
    if (!budget_fits(budget, conn, size))
        return false;
    if (budget->overdrawn == NULL && budget->used + size > budget->limit) {
        budget->overdrawn = (struct conn *)(uintptr_t)conn;
        budget->floor = budget->used > budget->limit ? budget->used : budget->limit;
    }
    budget->used += size;
    return true;
}

void budget_add(struct budget *budget, uint64_t size)
{
    budget->used += size;
    if (budget->overdrawn != NULL)
        budget->floor += size;
}

void budget_give(struct budget *budget, uint64_t size)
{
    assert(size <= budget->used);
    budget->used -= size;
    if (budget->overdrawn == NULL)
        return;
    /* Who gave is not known, but a small buffer was no part of the overdraft. */
    if (size < BUDGET_SMALL)
        budget->floor -= size < budget->floor ? size : budget->floor;
    if (budget->used <= budget->limit || budget->used <= budget->floor)
        budget->overdrawn = NULL;
}

void budget_forget(struct budget *budget, const struct conn *conn)
{
    if (budget->overdrawn == conn)
        budget->overdrawn = NULL;
}
