/* The main of a test program with one suite. */
#ifndef MREGION_TESTS_CONF_RUN_H
#define MREGION_TESTS_CONF_RUN_H

#include <check.h>

#include "tests/support_main.h"

/* set_up and tear_down surround each test; NULL for none. */
static inline int run_suite(const char *name, SFun set_up, SFun tear_down,
                            const TTest *const *tests, size_t count)
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    for (size_t i = 0; i < count; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}

#define RUN_SUITE_WITH(name, set_up, tear_down, ...)                                               \
    int main(void)                                                                                 \
    {                                                                                              \
        const TTest *const tests[] = {__VA_ARGS__};                                                \
        return run_suite(name, set_up, tear_down, tests, sizeof tests / sizeof tests[0]);          \
    }

#define RUN_SUITE(name, ...) RUN_SUITE_WITH(name, NULL, NULL, __VA_ARGS__)

#endif
