/* What a measurement costs: processor time of a process, bytes that reached the disk. */
#ifndef MREGION_BENCH_METER_H
#define MREGION_BENCH_METER_H

#include <stdint.h>

double meter_now(void); /* seconds of a clock that only goes forward */

/* Processor time of a process and all its threads, those that have ended too, in seconds; pid 0 is
 * this process. Negative when it cannot be told. */
double meter_cpu(int pid);

/* Makes everything of the file system that holds the folder reach the disk, then returns the bytes
 * that the disk has written since the machine started: those of everybody. Negative when the file
 * system does not say which disk it is on. */
double meter_device_bytes(const char *folder);

/* Bytes that the kernel accounts to the process as written to a disk, sooner or later: what it made
 * dirty in the page cache, and what it wrote past it. Negative when it cannot be told. */
double meter_process_bytes(int pid);

#endif
