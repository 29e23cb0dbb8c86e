/* Before uthash.h is read: a peer that could not be added says so, instead of ending the program.
 */
#define uthash_nonfatal_oom(peer) ((peer)->waiting = 1)

#include "daemon/peers.h"

#include <stdlib.h>
#include <string.h>

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

struct peer *peers_get(struct peers *peers, struct origin_key key, uint64_t now_ms)
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
