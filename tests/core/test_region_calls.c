/* One call of the disk after the other fails, in each kind of work on a region: what was there
 * before stays, and the region goes on or says why it does not.
 *
 * MREGION_FAULTS_LONG: most calls, instead of a few of them. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "support_fixture.h"
#include "support_work.h"
#include "tests/support_main.h"

/* Kinds of calls: each is tried from its first one on. */
static const unsigned ops[] = {
    SIM_BIT(SIM_READ) | SIM_BIT(SIM_USAGE) | SIM_BIT(SIM_SIZE) | SIM_BIT(SIM_OPEN),
    SIM_BIT(SIM_WRITE),
    SIM_SYNCS | (SIM_CHANGES & ~SIM_BIT(SIM_WRITE)),
};
static const int errors[] = {EIO, ENOSPC, ENOMEM};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static bool run(const struct work *work, unsigned which, int error, uint64_t nth)
{
    work_begin(work);
    simdisk_set_fault(
        disk, (struct simdisk_fault){.ops = which, .pattern = "r*", .nth = nth, .error = error});
    work->act();
    bool is_hit = simdisk_faults_hit(disk) > 0;
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    work_end(work);
    return is_hit;
}

/* AddressSanitizer makes it ten times as slow: one error is enough there. */
static size_t error_count(bool is_long)
{
#if defined(__SANITIZE_ADDRESS__)
    return is_long ? COUNT(errors) : 1;
#else
    return is_long ? COUNT(errors) : 2;
#endif
}

START_TEST(each_call_fails_once)
{
    const struct work *work = &works[_i];
    bool is_long = getenv("MREGION_FAULTS_LONG") != NULL;
    uint64_t calls = 0, step = is_long ? 4 : 1;
    for (size_t i = 0; i < COUNT(ops); i++) {
        for (size_t k = 0; k < error_count(is_long); k++) {
            uint64_t nth = step == 1 ? 1 + k : 1;
            for (; run(work, ops[i], errors[k], nth); nth += 1 + nth * 4 / (step * step))
                calls++;
        }
    }
    ck_assert_uint_gt(calls, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("region: calls that fail");
    TCase *tests = tcase_create("calls");
    tcase_add_loop_test(tests, each_call_fails_once, 0, (int)work_count);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
