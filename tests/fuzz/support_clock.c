#include "support_clock.h"

#include <openssl/rand.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "support_random.h"

/* Not close to zero: what was never is long ago. */
#define BEGINNING ((uint64_t)1000000 * 1000000000)

static uint64_t now_ns = BEGINNING;
static uint64_t look_ns = 100;
static struct rng rng;

/* ---- Random numbers ---- */

static int fill(unsigned char *bytes, int size)
{
    for (int i = 0; i < size; i++)
        bytes[i] = (unsigned char)rng_next(&rng);
    return 1;
}

static int status(void)
{
    return 1;
}

static void take_over_openssl(void)
{
    static const RAND_METHOD method = {.bytes = fill, .pseudorand = fill, .status = status};
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    (void)RAND_set_rand_method(&method);
#pragma GCC diagnostic pop
}

/* In the place of the C library's, as is the one below. */
__attribute__((visibility("default"))) ssize_t getrandom(void *bytes, size_t size, unsigned flags)
{
    (void)flags;
    (void)fill(bytes, (int)size);
    return (ssize_t)size;
}

/* ---- The clock ---- */

void clock_reset(uint64_t tick_ns)
{
    now_ns = BEGINNING;
    look_ns = tick_ns;
    rng.state = 0;
    take_over_openssl();
}

void clock_advance(uint64_t ns)
{
    now_ns += ns;
}

__attribute__((visibility("default"))) int clock_gettime(clockid_t id, struct timespec *ret_time)
{
    switch (id) {
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_BOOTTIME:
        now_ns += look_ns;
        ret_time->tv_sec = (time_t)(now_ns / 1000000000);
        ret_time->tv_nsec = (long)(now_ns % 1000000000);
        return 0;
    default:
        return (int)syscall(SYS_clock_gettime, id, ret_time);
    }
}
