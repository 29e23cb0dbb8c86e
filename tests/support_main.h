/* What every test program's main ends with. */
#ifndef MREGION_TESTS_SUPPORT_MAIN_H
#define MREGION_TESTS_SUPPORT_MAIN_H

#include <check.h>
#include <stdlib.h>

/* Check's own limit of four seconds for each test would make a busy machine a failure; CTest ends
 * what hangs. Before main, because Check asks for it when the first case is made. */
__attribute__((constructor)) static inline void suite_without_timeout(void)
{
    (void)setenv("CK_DEFAULT_TIMEOUT", "0", 0);
}

/* Takes the suite, runs it, and returns main's exit status. CK_VERBOSITY in the environment says
 * how much is printed. */
static inline int suite_main(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
