/* Large loads: read, verified and sent piece by piece, in memory that does not depend on their
 * size.
 *
 *     waiting ──► verifying ──► sending ──► answered, freed
 *
 * waiting     bytes are on their way into the data file (REQUEST_LOADING)
 * verifying   a worker reads and verifies all of it, so that a load of damaged bytes is answered
 *             with an error like any other: once the answer has begun there is no way back. The
 *             beginning comes last and stays in the stream's pieces
 * sending     the beginning is sent; what follows is read and verified once more, into a piece that
 *             was sent while others are being sent
 *
 * The block is pinned all the while, so that what is sent is what was there at one moment. Whoever
 * reads slowly must not hold up changes of the region for that: once the pin is in the way of a
 * commit, the rest is read into memory, if max_buffered has room for it, and the pin is released.
 * Otherwise the peer has YIELD_MS to take the rest, then its connection is closed. The same holds
 * when the region is dropped.
 *
 * The memory of a stream is asked for when it begins, and reused until it ends. Loop thread, but
 * for the reading itself. */
#ifndef MREGION_DAEMON_STREAM_H
#define MREGION_DAEMON_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/handle.h"

struct conn;
struct region_entry;
struct request;
struct server;
struct stream;

/* Loads that are larger are streamed. A smaller one is read whole, and its memory asked for. */
#define STREAM_MIN MIB
/* The same while answers take much of the memory (pieces_are_many). */
#define STREAM_MIN_MANY ((size_t)128 * 1024)
/* Read at a time: a worker's trip is little beside it, and sending it takes the loop some 100
 * microseconds. */
#define STREAM_PIECE ((size_t)256 * 1024)
#define STREAM_PIECE_MANY ((size_t)64 * 1024)
/* How long a change waits for the peer of a stream. */
#define YIELD_MS 1000

/* Whether a load of so many bytes is streamed. */
bool stream_is_due(const struct server *server, uint64_t size);
/* Begins to answer the load of the block, which may be read after that ticket (0: now). */
enum outcome stream_begin(struct call *call, struct extent block, uint64_t after);
/* The ticket was applied. */
void stream_ready(struct request *request);
/* For request_free. */
void stream_release(struct stream *stream);

/* How many streams of the connection wait for nothing but its peer. */
uint64_t stream_idle_count(const struct conn *conn);
/* Memory of theirs, beside what is in the output. */
uint64_t stream_idle_bytes(const struct conn *conn);
/* Bytes of the connection have been sent: its streams go on. */
void stream_sent(struct conn *conn);
/* Nobody takes the connection's answers any more: its streams end, those that are being read when
 * that is done. */
void stream_abandon(struct conn *conn);

/* Streams of the region that are in somebody's way read their rest into memory, where that is to be
 * had. */
void stream_yield(struct region_entry *entry);
/* The same for streams of the connection, which is closed when its time is up. Whether one of them
 * is in the way still. */
bool stream_sweep(struct conn *conn, uint64_t at_ms);

#endif
