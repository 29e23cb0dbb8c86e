/* libmicrohttpd, loaded where HTTP is configured, and only there: with what it brings along (a TLS
 * library that is not used) it would cost every server 0.4 MiB. Loop thread. */
#ifndef MREGION_DAEMON_MICROHTTPD_H
#define MREGION_DAEMON_MICROHTTPD_H

#include <microhttpd.h>

#include "core/err.h"

/* What is used of it. */
#define MICROHTTPD_FUNCTIONS(X)                                                                    \
    X(add_connection)                                                                              \
    X(add_response_header)                                                                         \
    X(create_response_from_buffer)                                                                 \
    X(destroy_response)                                                                            \
    X(get_connection_info)                                                                         \
    X(get_daemon_info)                                                                             \
    X(get_timeout)                                                                                 \
    X(lookup_connection_value)                                                                     \
    X(queue_response)                                                                              \
    X(resume_connection)                                                                           \
    X(run)                                                                                         \
    X(start_daemon)                                                                                \
    X(stop_daemon)                                                                                 \
    X(suspend_connection)

struct microhttpd {
#define MICROHTTPD_MEMBER(name) __typeof__(MHD_##name) *name;
    MICROHTTPD_FUNCTIONS(MICROHTTPD_MEMBER)
#undef MICROHTTPD_MEMBER
};

extern struct microhttpd mhd;

/* Once is enough. May block. ERR_INTERNAL. */
int microhttpd_load(struct err *err);

#endif
