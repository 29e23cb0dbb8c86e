#include "daemon/files.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon/log.h"
#include "daemon/server.h"

/* Descriptors besides those of connections and regions: listeners, the loop's own, the store's. */
#define FILES_BASE 128
/* Of one region: data, journal segments, a checkpoint. */
#define FILES_PER_REGION 16
/* Of these, what it may open at any time beyond what it holds at rest: the next segments, a
 * checkpoint, the folders that are synced. */
#define FILES_SPARE_PER_REGION 6
/* For whoever comes to see what is wrong, and for what the libraries open. */
#define FILES_SPARE_BASE 10

void files_raise_limit(const struct server *server)
{
    struct rlimit limit;
    rlim_t wanted =
        FILES_BASE + server->conf.max_connections + FILES_PER_REGION * (server->regions.count + 1);
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    if (limit.rlim_cur == limit.rlim_max && server->phase != SERVER_STARTING)
        return; /* that was said at the start */
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted)
        log_warning("max_connections, %" PRIu64 ", and %" PRIu64 " region%s may need %" PRIu64
                    " file descriptors; the limit is %" PRIu64,
                    server->conf.max_connections, server->regions.count,
                    server->regions.count == 1 ? "" : "s", (uint64_t)wanted,
                    (uint64_t)limit.rlim_cur);
}

/* How many there may be besides the spare ones of so many regions. */
static uint64_t limit_for(uint64_t regions)
{
    struct rlimit limit;
    uint64_t spare = FILES_SPARE_BASE + FILES_SPARE_PER_REGION * regions;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return UINT64_MAX;
    return limit.rlim_cur > spare ? limit.rlim_cur - spare : 0;
}

bool files_spare_connection(const struct server *server, int fd)
{
    return (uint64_t)fd < limit_for(server->regions.count);
}

/* The lowest number that is free, or -1. */
static int next_file(void)
{
    int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    if (fd >= 0)
        close(fd);
    return fd;
}

bool files_spare_next(const struct server *server)
{
    int fd = next_file();
    return fd >= 0 && files_spare_connection(server, fd);
}

bool files_spare_region(const struct server *server)
{
    int fd = next_file();
    return fd >= 0 && (uint64_t)fd + FILES_PER_REGION < limit_for(server->regions.count + 1);
}
