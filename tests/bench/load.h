/* The load generator's parts. One thread, epoll; every connection keeps so many requests in flight.
 *
 *     bench_load.c     the command line, the result
 *     load_run.c       runs: what is asked next, when it ends
 *     load_wire.c      sockets: requests out, answers in
 *     load_secure.c    TLS around them
 *     load_*.c         one protocol each
 *     histogram.{h,c}  latencies
 *     meter.{h,c}      the processor's and the disk's part
 *
 * The generator must be faster than the servers: a clock is read once for each read of a socket,
 * requests of small blobs leave in one piece, and what it takes of its own core is printed. */
#ifndef MREGION_BENCH_LOAD_H
#define MREGION_BENCH_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>

enum kind { ADD, LOAD, REMOVE, KINDS };

struct slot {
    enum kind kind;
    uint64_t started_ns;
    uint64_t number;  /* of the blob: its key, where the server wants one */
    uint64_t address; /* of the blob, where the server gives one */
};

/* A blob that is stored. It begins with its number; the rest is the same for all. */
struct blob {
    uint64_t number;
    uint64_t address;
};

/* Every connection loads and removes what it has added itself: servers keep the requests of one in
 * order, so no load comes too late. */
struct blobs {
    struct blob *blob;
    size_t count, room;
};

struct tls;

struct connection {
    int fd, epoll_fd;
    struct tls *tls; /* NULL: without */
    bool wants_write;
    struct blobs blobs;
    uint64_t preloaded;
    struct slot *slots;
    unsigned slot_count;
    unsigned *free_slots, free_count;
    unsigned *queue; /* slots in the order of sending, a ring: whose answer is next */
    uint64_t queue_head, queue_tail;
    struct iovec *pieces; /* what is to be sent: bytes of out, and large payloads */
    size_t piece_count, piece_sent;
    uint8_t *out;
    size_t out_size;
    uint8_t *in;
    size_t in_begin, in_end;
};

/* An answer that is whole: of which slot, and what it says. */
struct answer {
    size_t size; /* bytes of the stream; 0 when it is not whole yet */
    unsigned slot;
    const uint8_t *error; /* NULL when there is none */
    size_t error_size;
    uint64_t address;
    const uint8_t *blob; /* NULL when there is none */
    uint64_t blob_size;
};

#define HEAD_MAX 192 /* bytes of a request before the blob */

struct protocol {
    const char *name;
    size_t greeting;  /* bytes that the server sends before anything was asked */
    bool is_unmarked; /* all blobs are answered alike: without their numbers */
    const char *end;  /* bytes behind the blob of an add */
    /* Writes the request to at, all but the blob and the end; returns its end. */
    uint8_t *(*build)(uint8_t *at, const struct slot *slot, unsigned index);
    /* Takes the first answer of the stream. The oldest request is that of the slot oldest. */
    struct answer (*take)(const uint8_t *bytes, size_t size, unsigned oldest);
    /* Requests that empty the server, and how many; returns their end. NULL: nothing to empty. */
    uint8_t *(*build_clear)(uint8_t *at, unsigned *ret_count);
};

extern const struct protocol protocol_mregion, protocol_resp, protocol_memcached, protocol_iproto,
    protocol_raw;

/* ---- What was asked for on the command line ---- */

struct options {
    const struct protocol *protocol;
    const char *server;
    const char *region;
    const char *label;
    const char *folder;            /* on the disk whose writes are counted */
    const char *certificate, *key; /* to show where the server asks for it, or NULL */
    uint64_t size, connections, pipeline, preload, first, requests;
    double seconds, warmup;
    unsigned mix[KINDS]; /* percent */
    int pid;             /* of the server, 0: not watched */
    bool deallocates;    /* instead of removing */
    bool clears, renews, is_json;
};
extern struct options options;

/* ---- load_run.c ---- */

struct result {
    uint64_t operations; /* measured ones */
    uint64_t all;        /* those of the warm-up included */
    uint64_t errors;
    double seconds;
    double own_cpu;       /* seconds */
    double server_cpu;    /* seconds, negative when not known */
    double device_bytes;  /* of all operations, negative when not known */
    double process_bytes; /* likewise, as the kernel accounts it to the server */
};

struct histogram;
/* Fills both. */
void run_load(struct histogram *latencies, struct result *ret_result);

/* ---- load_wire.c ---- */

/* Called with each answer. */
typedef void on_answer(struct connection *connection, const struct answer *answer);

/* in_flight is the most requests there will be at a time. */
void wire_open(struct connection *connection, int epoll_fd, unsigned in_flight);
void wire_close(struct connection *connection);
/* Whether there is room for one more request. */
bool wire_has_room(const struct connection *connection);
/* The request gets into what is sent next. */
void wire_request(struct connection *connection, unsigned index);
void wire_send(struct connection *connection);
/* Reads what has arrived and hands out every whole answer; now_ns is set to the time of it. */
void wire_receive(struct connection *connection, on_answer *callback);
void wire_clear(void);

extern uint64_t now_ns;
void now_update(void);
extern uint8_t *payload; /* of options.size bytes */
#define MARK 8           /* bytes of the number; a smaller blob has none */

/* ---- load_secure.c ---- */

/* After the handshake; for tls_free. */
struct tls *secure_open(int fd);
/* As recv and writev. What was taken may still wait in the session. */
ssize_t secure_receive(int fd, struct tls *tls, uint8_t *room, size_t size);
ssize_t secure_send(int fd, struct tls *tls, const struct iovec *pieces, size_t count);
bool secure_has_output(const struct tls *tls);

/* ---- Helpers of all ---- */

__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);
void *need(void *memory);

static inline uint8_t *put(uint8_t *at, const void *bytes, size_t size)
{
    memcpy(at, bytes, size);
    return at + size;
}

static inline uint8_t *put_text(uint8_t *at, const char *text)
{
    return put(at, text, strlen(text));
}

/* A MessagePack number, or header, of a type byte and so many bytes. */
static inline uint8_t *put_number(uint8_t *at, uint8_t type, uint64_t number, unsigned bytes)
{
    *at++ = type;
    for (unsigned i = bytes; i-- > 0;)
        *at++ = (uint8_t)(number >> 8 * i);
    return at;
}

static inline uint8_t *put_decimal(uint8_t *at, uint64_t number)
{
    uint8_t digits[20];
    unsigned count = 0;
    do
        digits[count++] = (uint8_t)('0' + number % 10);
    while ((number /= 10) > 0);
    while (count > 0)
        *at++ = digits[--count];
    return at;
}

#endif
