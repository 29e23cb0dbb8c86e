/* Before uthash.h is read: one that could not be added says so, instead of ending the program. */
#define uthash_nonfatal_oom(origin) ((origin)->conns = 0)

#include "daemon/origin.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* ---- Who it is ---- */

enum kind { KIND_UNKNOWN, KIND_UID, KIND_IPV4, KIND_IPV6 };

static struct origin_key make_key(enum kind kind, const void *bytes, size_t size)
{
    struct origin_key key = {{(uint8_t)kind}};
    memcpy(key.bytes + 1, bytes, size);
    return key;
}

struct origin_key origin_key_of_uid(uint32_t uid)
{
    return make_key(KIND_UID, &uid, sizeof uid);
}

static struct origin_key key_of_user(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
        return make_key(KIND_UNKNOWN, "", 0);
    return origin_key_of_uid(peer.uid);
}

struct origin_key origin_key_of_address(const struct sockaddr *address)
{
    const struct sockaddr_in *in4 = (const struct sockaddr_in *)address;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
    if (address->sa_family == AF_INET)
        return make_key(KIND_IPV4, &in4->sin_addr, 4);
    if (address->sa_family != AF_INET6)
        return make_key(KIND_UNKNOWN, "", 0);
    if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
        return make_key(KIND_IPV4, in6->sin6_addr.s6_addr + 12, 4);
    return make_key(KIND_IPV6, &in6->sin6_addr, 8);
}

struct origin_key origin_key_of_socket(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_storage storage;
    } address = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t size = sizeof address;
    if (getpeername(fd, &address.any, &size) == 0 && address.any.sa_family == AF_UNIX)
        return key_of_user(fd);
    return origin_key_of_address(&address.any);
}

/* ---- How many ---- */

struct origin *origins_enter(struct origins *origins, struct origin_key key)
{
    struct origin *origin;
    HASH_FIND(hh, origins->all, &key, sizeof key, origin);
    if (origin != NULL) {
        origin->conns++;
        return origin;
    }
    origin = calloc(1, sizeof *origin);
    if (origin == NULL)
        return NULL;
    origin->key = key;
    origin->conns = 1;
    HASH_ADD(hh, origins->all, key, sizeof key, origin);
    if (origin->conns == 0) {
        free(origin);
        return NULL;
    }
    return origin;
}

void origins_leave(struct origins *origins, struct origin *origin)
{
    if (origin == NULL || --origin->conns > 0)
        return;
    HASH_DEL(origins->all, origin);
    free(origin);
}
