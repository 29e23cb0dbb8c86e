/* Before uthash.h is read: a peer that could not be added says so, instead of ending the program.
 */
#define uthash_nonfatal_oom(peer) ((peer)->waiting = 1)

#include "daemon/peers.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

/* ---- Who it is ---- */

enum kind { KIND_UID, KIND_IPV4, KIND_IPV6, KIND_UNKNOWN };

static struct peer_key make_key(enum kind kind, const void *bytes, size_t size)
{
    struct peer_key key = {{(uint8_t)kind}};
    memcpy(key.bytes + 1, bytes, size);
    return key;
}

struct peer_key peer_key_of_uid(uint32_t uid)
{
    return make_key(KIND_UID, &uid, sizeof uid);
}

struct peer_key peer_key_of_address(const struct sockaddr *address)
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

/* ---- What it has done ---- */

static void forget_failures(struct peer *peer, uint64_t now_ms)
{
    while (peer->failures > 0 && now_ms - peer->failed_ms >= PEER_FORGET_MS) {
        peer->failures /= 2;
        peer->failed_ms += PEER_FORGET_MS;
    }
}

uint64_t peer_delay_ms(struct peer *peer, uint64_t now_ms)
{
    forget_failures(peer, now_ms);
    if (peer->failures <= PEER_FREE_FAILURES)
        return 0;
    unsigned doublings = peer->failures - PEER_FREE_FAILURES - 1;
    if (doublings >= 16 || ((uint64_t)PEER_DELAY_MS << doublings) > PEER_DELAY_MAX_MS)
        return PEER_DELAY_MAX_MS;
    return (uint64_t)PEER_DELAY_MS << doublings;
}

void peer_begins(struct peer *peer, uint64_t now_ms)
{
    peer->due_ms = now_ms + peer_delay_ms(peer, now_ms);
}

void peer_failed(struct peer *peer, uint64_t now_ms)
{
    forget_failures(peer, now_ms);
    if (peer->failures < 1U << 16)
        peer->failures++;
    peer->failed_ms = now_ms;
    uint64_t due_ms = now_ms + peer_delay_ms(peer, now_ms);
    if (peer->due_ms < due_ms)
        peer->due_ms = due_ms;
}

/* ---- All of them ---- */

static void forget(struct peers *peers, struct peer *peer)
{
    HASH_DEL(peers->all, peer);
    peers->count--;
    free(peer);
}

/* Those that have nothing to be remembered for; else the one that has least. */
static void make_room(struct peers *peers, uint64_t now_ms)
{
    struct peer *peer, *next, *least = NULL;
    HASH_ITER(hh, peers->all, peer, next)
    {
        forget_failures(peer, now_ms);
        if (peer->waiting > 0)
            continue;
        if (peer->failures == 0 && peer->due_ms <= now_ms)
            forget(peers, peer);
        else if (least == NULL || peer->failures < least->failures)
            least = peer;
    }
    if (peers->count >= PEERS_MAX && least != NULL)
        forget(peers, least);
}

struct peer *peers_get(struct peers *peers, struct peer_key key, uint64_t now_ms)
{
    struct peer *peer;
    HASH_FIND(hh, peers->all, &key, sizeof key, peer);
    if (peer != NULL)
        return peer;
    if (peers->count >= PEERS_MAX)
        make_room(peers, now_ms);
    if (peers->count >= PEERS_MAX || (peer = calloc(1, sizeof *peer)) == NULL)
        return NULL;
    peer->key = key;
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): who was forgotten is not in the table */
    HASH_ADD(hh, peers->all, key, sizeof key, peer);
    if (peer->waiting > 0) {
        free(peer);
        return NULL;
    }
    peers->count++;
    return peer;
}

void peers_release(struct peers *peers)
{
    struct peer *peer, *next, *first = peers->all;
    HASH_CLEAR(hh, peers->all);
    peers->count = 0;
    for (peer = first; peer != NULL; peer = next) {
        next = peer->hh.next;
        free(peer);
    }
}
