/* What a snapshot says, in the one shape that stats() and /status have (PROTOCOL.md), told to
 * somebody who writes it down: as MessagePack, or as JSON. */
#ifndef MREGION_DAEMON_TELL_H
#define MREGION_DAEMON_TELL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/textbuf.h"

struct snapshot;
struct snapshot_region;

/* Maps and arrays are told with the number of their members, and ended; in a map each member is
 * told behind its key. */
struct teller {
    void (*map)(struct teller *teller, size_t count);
    void (*array)(struct teller *teller, size_t count);
    void (*end)(struct teller *teller);
    void (*key)(struct teller *teller, const char *key);
    void (*number)(struct teller *teller, uint64_t number);
    void (*flag)(struct teller *teller, bool flag);
    void (*text)(struct teller *teller, const char *text);
};

/* Deeper than anything that is told. */
#define TELL_DEPTH 12

/* Some hundred values, gathered before they are put where they go. */
#define TELL_BYTES ((size_t)4096)

struct tell_msgpack {
    struct teller teller;
    struct textbuf *to;
    size_t used;
    uint8_t bytes[TELL_BYTES];
};
void tell_msgpack_init(struct tell_msgpack *teller, struct textbuf *to);
/* All of it is in the text. */
void tell_msgpack_end(struct tell_msgpack *teller);

struct tell_json {
    struct teller teller;
    struct textbuf *to;
    unsigned depth;
    bool is_map[TELL_DEPTH];
    bool has_members[TELL_DEPTH];
    bool is_behind_key;
};
void tell_json_init(struct tell_json *teller, struct textbuf *to);

void tell_entry(struct teller *teller, const char *key, uint64_t number);
void tell_flag_entry(struct teller *teller, const char *key, bool flag);
void tell_text_entry(struct teller *teller, const char *key, const char *text);

/* has_more: there are regions behind the last one of the snapshot. */
void tell_stats(struct teller *teller, const struct snapshot *snapshot, bool has_more);
/* The same in parts: what stands before the regions, of which there will be so many; each of them;
 * the end. */
void tell_stats_begin(struct teller *teller, const struct snapshot *snapshot, size_t regions);
void tell_stats_region(struct teller *teller, const struct snapshot_region *region);
void tell_stats_end(struct teller *teller, bool has_more);

#endif
