/* Gives memory back once nobody uses it.
 *
 * While there is work, buffers are kept for the next request, and free memory is kept by malloc:
 * that is what makes requests cheap. A region that has not been changed for a second or two gives
 * up the memory of its batches, and a server that has not been asked anything for as long gives up
 * all that it keeps for later, and what is free goes back to the system. Then nothing wakes it
 * until there is work again. Loop thread. */
#ifndef MREGION_DAEMON_REST_H
#define MREGION_DAEMON_REST_H

#include <stdint.h>
#include <uv.h>

struct server;

struct rest {
    uv_timer_t timer; /* runs from the first request on until there are no more */
    uint64_t events;  /* requests, and connections that came and went, when it looked last */
};

void rest_init(struct server *server);
/* After every turn. */
void rest_watch(struct server *server);

#endif
