/* What the service manager is told: readiness, state, and that the loop is alive.
 *
 * Without a service manager ($NOTIFY_SOCKET) every function does nothing. Loop thread. */
#ifndef MREGION_DAEMON_NOTIFY_H
#define MREGION_DAEMON_NOTIFY_H

#include <uv.h>

void notify_ready(void);
void notify_reloading(void);
void notify_stopping(void);
/* The service manager is to wait so much longer for readiness, from now on. */
void notify_extend_timeout(unsigned seconds);
void notify_status(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Feeds the watchdog at half its interval, if there is one, from a timer of the loop: a loop that
 * hangs is noticed. The timer is initialized already. */
void notify_watchdog_start(uv_timer_t *timer);

#endif
