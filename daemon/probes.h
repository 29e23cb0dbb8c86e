/* Places where a tracer can look on (USDT, of the provider mregiond), where the build has
 * <sys/sdt.h>. Nobody looking costs a nop each; mregiond(8) lists them and what they tell. Times
 * are the tracer's own, but for those in microseconds that are told. */
#ifndef MREGION_DAEMON_PROBES_H
#define MREGION_DAEMON_PROBES_H

#ifdef MREGION_PROBES
#include <sys/sdt.h>
#else
/* Used, and not evaluated. */
#define DTRACE_PROBE1(provider, name, a) ((void)sizeof(a))
#define DTRACE_PROBE2(provider, name, a, b) ((void)sizeof(a), (void)sizeof(b))
#define DTRACE_PROBE3(provider, name, a, b, c)                                                     \
    (DTRACE_PROBE2(provider, name, a, b), (void)sizeof(c))
#define DTRACE_PROBE4(provider, name, a, b, c, d)                                                  \
    (DTRACE_PROBE3(provider, name, a, b, c), (void)sizeof(d))
#endif

/* A request's turn has come; connection and msgid say which when it ends. */
#define PROBE_REQUEST_BEGIN(connection, msgid, method)                                             \
    DTRACE_PROBE3(mregiond, request__begin, connection, msgid, method)
/* It is answered, or, if it is a notification, done. code: an enum err_code, 0 for success. */
#define PROBE_REQUEST_END(connection, msgid, method, code)                                         \
    DTRACE_PROBE4(mregiond, request__end, connection, msgid, method, code)
/* A batch is durable, so long after a worker took it. */
#define PROBE_COMMIT(region, us) DTRACE_PROBE2(mregiond, commit, region, us)
#define PROBE_CHECKPOINT_BEGIN(region) DTRACE_PROBE1(mregiond, checkpoint__begin, region)
/* It is durable, or, with is_complete 0, has come to nothing. */
#define PROBE_CHECKPOINT_END(region, us, is_complete)                                              \
    DTRACE_PROBE3(mregiond, checkpoint__end, region, us, is_complete)
/* A region is opened: its journal is replayed from the last checkpoint on. */
#define PROBE_RECOVERY_BEGIN(region) DTRACE_PROBE1(mregiond, recovery__begin, region)
/* status: 0, or the enum err_code of why it cannot be opened. */
#define PROBE_RECOVERY_END(region, records, status)                                                \
    DTRACE_PROBE3(mregiond, recovery__end, region, records, status)

#endif
