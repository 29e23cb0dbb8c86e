/* Who tries passwords, and how often in vain: after a few failures each further attempt of the same
 * peer has to wait, longer each time, and what it has done is forgotten little by little.
 *
 * Who counts as one peer is said in origin.h. Loop thread; the caller gives the time. */
#ifndef MREGION_DAEMON_PEERS_H
#define MREGION_DAEMON_PEERS_H

#include <stdbool.h>
#include <stdint.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "daemon/origin.h"

/* Failures without consequence: people mistype. */
#define PEER_FREE_FAILURES 3
/* From one attempt to the next after the first failure that counts; doubled with each further one.
 */
#define PEER_DELAY_MS 100
#define PEER_DELAY_MAX_MS 4000
/* Half of the failures are forgotten when there was none for so long. */
#define PEER_FORGET_MS 30000
/* Remembered at a time; beyond that those are forgotten who have failed least. */
#define PEERS_MAX 4096

struct peer {
    struct origin_key key;
    unsigned failures;
    unsigned waiting;   /* attempts that are not through, and keep it here */
    unsigned running;   /* of which at work */
    uint64_t failed_ms; /* when the last one failed, or was forgotten about */
    uint64_t due_ms;    /* before that none begins */
    UT_hash_handle hh;
};

struct peers {
    struct peer *all;
    unsigned count;
};

/* The peer, which is new or remembered. NULL without memory, or when all that there is room for are
 * waiting. */
struct peer *peers_get(struct peers *peers, struct origin_key key, uint64_t now_ms);
/* An attempt begins now: the next one may after a while. */
void peer_begins(struct peer *peer, uint64_t now_ms);
/* It has failed. */
void peer_failed(struct peer *peer, uint64_t now_ms);
/* From one attempt to the next, as things are. */
uint64_t peer_delay_ms(struct peer *peer, uint64_t now_ms);

void peers_release(struct peers *peers);

#endif
