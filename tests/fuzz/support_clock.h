/* The clock and the random numbers of a test that has to be the same every time. The clock moves by
 * as much as it is told to, and by a little whenever somebody looks at it. All of the process's
 * monotonic clocks are this one, and all random bytes of the system and of OpenSSL these, also in
 * libraries. */
#ifndef MREGION_TESTS_SUPPORT_CLOCK_H
#define MREGION_TESTS_SUPPORT_CLOCK_H

#include <stdint.h>

/* Both begin anew; each look at the clock takes tick_ns. */
void clock_reset(uint64_t tick_ns);
void clock_advance(uint64_t ns);

#endif
