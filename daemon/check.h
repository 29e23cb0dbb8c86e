/* mregiond --check: opens every region of a data directory without changing anything, verifies what
 * can be verified and prints a report. Main thread; blocks. */
#ifndef MREGION_DAEMON_CHECK_H
#define MREGION_DAEMON_CHECK_H

#include "conf/conf.h"

/* Prints the report to stdout. 0 when all is well, else 1. */
int check_run(const struct conf *conf);

#endif
