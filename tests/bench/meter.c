#include "meter.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define SECTOR 512

static double seconds_of(const struct timespec *time)
{
    return (double)time->tv_sec + (double)time->tv_nsec / 1e9;
}

double meter_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return seconds_of(&now);
}

double meter_cpu(int pid)
{
    clockid_t clock;
    struct timespec time;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0)
        return -1;
    return seconds_of(&time);
}

/* Of a partition the kernel counts its own sectors. */
static double sectors_written(dev_t device)
{
    char path[64];
    uint64_t sectors;
    snprintf(path, sizeof path, "/sys/dev/block/%u:%u/stat", major(device), minor(device));
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return -1;
    int fields = fscanf(file, "%*u %*u %*u %*u %*u %*u %" SCNu64, &sectors);
    fclose(file);
    return fields == 1 ? (double)sectors * SECTOR : -1;
}

double meter_device_bytes(const char *folder)
{
    struct stat status;
    double bytes = -1;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (syncfs(fd) == 0 && fstat(fd, &status) == 0)
        bytes = sectors_written(status.st_dev);
    close(fd);
    return bytes;
}

double meter_process_bytes(int pid)
{
    char path[64], line[128];
    double bytes = -1;
    snprintf(path, sizeof path, "/proc/%d/io", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return -1;
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "write_bytes: %lf", &bytes) == 1)
            break;
    fclose(file);
    return bytes;
}
