/* Where connections come from, and how many from where: of one peer no more than
 * max_connections_per_peer may be open.
 *
 * A peer is a user of this machine (Unix socket) or an address; of IPv6 the first 64 bits, since
 * whoever has one of these addresses has all of them. There is one origin for each peer that has a
 * connection open, and none for others. Loop thread. */
#ifndef MREGION_DAEMON_ORIGIN_H
#define MREGION_DAEMON_ORIGIN_H

#include <stdint.h>
#include <sys/socket.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct origin_key {
    uint8_t bytes[9]; /* a kind, and what tells it from others of that kind */
};

struct origin {
    struct origin_key key;
    uint64_t conns; /* that are open */
    UT_hash_handle hh;
};

struct origins {
    struct origin *all;
};

/* Of a connected socket: for TCP that of its peer's address, for a Unix socket that of the user. */
struct origin_key origin_key_of_socket(int fd);
struct origin_key origin_key_of_address(const struct sockaddr *address);
struct origin_key origin_key_of_uid(uint32_t uid);

/* One connection more. NULL without memory. */
struct origin *origins_enter(struct origins *origins, struct origin_key key);
/* One less; origin may be NULL. */
void origins_leave(struct origins *origins, struct origin *origin);

#endif
