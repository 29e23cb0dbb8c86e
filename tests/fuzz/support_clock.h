/* The clock of a test that has to be the same every time: it moves by as much as it is told to, and
 * by a little whenever somebody looks at it. All of the process's monotonic clocks are this one,
 * also in libraries. */
#ifndef MREGION_TESTS_SUPPORT_CLOCK_H
#define MREGION_TESTS_SUPPORT_CLOCK_H

#include <stdint.h>

/* Begins anew; each look takes tick_ns. */
void clock_reset(uint64_t tick_ns);
void clock_advance(uint64_t ns);

#endif
