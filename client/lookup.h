/* A host's addresses, looked up by a thread of its own, for the system's lookup cannot be told not
 * to wait. Private to libmregion. */
#ifndef MREGION_CLIENT_LOOKUP_H
#define MREGION_CLIENT_LOOKUP_H

#include <netdb.h>
#include <stdbool.h>

struct lookup;

/* 0 or an errno value. The strings are copied. */
int lookup_start(const char *host, const char *port, struct lookup **ret_lookup);
/* Can be read once it has come to an end. */
int lookup_fd(const struct lookup *lookup);
bool lookup_is_done(const struct lookup *lookup);
/* Once it is done. The lookup is gone; *ret_list is for freeaddrinfo. Returns what getaddrinfo has,
 * an errno value for EAI_SYSTEM. */
int lookup_take(struct lookup *lookup, struct addrinfo **ret_list);
/* Nobody wants it any more; the thread ends when it may. NULL is fine. */
void lookup_abandon(struct lookup *lookup);

#endif
