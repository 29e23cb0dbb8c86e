/* Moments of the monotonic clock, in milliseconds, until which something may take. */
#ifndef MREGION_CLIENT_DEADLINE_H
#define MREGION_CLIENT_DEADLINE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define DEADLINE_NEVER INT64_MAX

static inline int64_t deadline_now(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* UINT32_MAX: never. */
static inline int64_t deadline_after(uint32_t timeout_ms)
{
    return timeout_ms == UINT32_MAX ? DEADLINE_NEVER : deadline_now() + timeout_ms;
}

/* What is left of it for poll(): -1 for ever, 0 when it has passed. */
static inline int deadline_left(int64_t deadline)
{
    int64_t left;

    if (deadline == DEADLINE_NEVER)
        return -1;
    left = deadline - deadline_now();
    if (left <= 0)
        return 0;
    return left < INT_MAX ? (int)left : INT_MAX;
}

#endif
