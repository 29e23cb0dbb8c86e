/* libmregion: blobs in a region of mregiond.
 *
 * A region is a flat space of bytes behind a socket. A blob that is added gets an address; address
 * and size together are its reference, which the caller keeps. What is removed becomes a hole that
 * the next blob may fill. The server durably stores what it has answered (see mregiond.yaml(5),
 * "durability").
 *
 *     struct mregion *connection;
 *     struct mregion_error error;
 *     uint64_t address;
 *
 *     if (mregion_connect("unix:/run/mregiond/mregiond.sock", NULL, &connection, &error) != 0 ||
 *         mregion_add(connection, "main", "hello", 5, &address, &error) != 0)
 *         fprintf(stderr, "%s: %s\n", mregion_code_name(error.code), error.text);
 *     mregion_close(connection);
 *
 * What holds for every function
 *
 *   Errors    A function that returns int returns MREGION_OK (0) or one of enum mregion_code, and
 *             has then filled *error with the same code and a sentence. error may be NULL. Results
 *             (ret_...) are set on success only. Besides the codes that a function names, each may
 *             return the local ones (MREGION_ERR_CONNECT and those below it) and, from the server,
 *             INVALID_ARGUMENT, IO_ERROR, BUSY, SHUTTING_DOWN, INTERNAL, DENIED and
 *             UNAUTHENTICATED; each that names a region NO_SUCH_REGION; each that changes one
 *             READ_ONLY.
 *   Units     Addresses and sizes are bytes, times milliseconds.
 *   Regions   A region is given by its name, or by its numeric id written "#ID" ("#7").
 *   Memory    Strings and bytes that are passed in are borrowed for the call, no longer. Results
 *             named ret_bytes, ret_blocks, ret_names and ret_result are allocated by the library:
 *             free each with mregion_free. On failure nothing is to be freed.
 *   Threads   A connection is used by one thread at a time; there is no lock in it. Threads that
 *             work at the same time have a connection each, of their own or from a pool. Nothing
 *             else is shared.
 *   Signals   No SIGPIPE is raised, and system calls that a signal interrupts go on.
 *   Blocking  A function returns when the server has answered, or when the connection's timeout
 *             has passed: MREGION_ERR_TIMEOUT. A change may have happened then, or may still
 *             happen; the error's text says so. What does not wait is below, under "Without
 *             blocking", and works on the same connection.
 *   Once      Every change of a region's blobs and blocks carries a token, a random name of its own
 *             by which the server knows it again: it happens once, however often it is sent, unless
 *             the region has made token_window further changes meanwhile (65,536, where
 *             mregiond.yaml(5) is not configured otherwise). Those are all changes but
 *             mregion_create_region, mregion_drop_region, mregion_rename_region,
 *             mregion_set_region and mregion_checkpoint, and what mregion_call, mregion_notify and
 *             mregion_submit send by name.
 *   Reconnect A connection that is lost is made again, and what is unanswered is sent again over
 *             the new one, in the order in which it was first sent: what only reads because it does
 *             no harm, and what has a token because it then happens once. That goes on until it is
 *             answered or the call's timeout has passed, with pauses of 10 ms at first and 1 s at
 *             most, so that a server has time to restart. A change that has no token fails with
 *             MREGION_ERR_LOST when the connection breaks before its answer: it may have happened
 *             or not. A loss that shows before a request is sent costs nothing. MREGION_ERR_CONNECT
 *             means that the server was not reached until the timeout, and nothing was sent. */
#ifndef MREGION_H
#define MREGION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define MREGION_API __attribute__((visibility("default")))
#else
#define MREGION_API
#endif

/* The library's version, "MAJOR.MINOR.PATCH". */
MREGION_API const char *mregion_version(void);

/* ---- Errors ---- */

/* The numbers never change; new ones may come. */
enum mregion_code {
    MREGION_OK = 0,

    /* What the server answers. */
    MREGION_ERR_INVALID_ARGUMENT = 1, /* a parameter that the server does not take */
    MREGION_ERR_NO_SUCH_METHOD = 2,   /* an older server */
    MREGION_ERR_NO_SUCH_REGION = 3,
    MREGION_ERR_EXISTS = 4,        /* a region of this name */
    MREGION_ERR_OUT_OF_BOUNDS = 5, /* a block that ends past the region's size */
    MREGION_ERR_NOT_ALLOCATED = 6, /* a block of which some bytes are free */
    MREGION_ERR_PARTLY_FREE = 7,   /* a block of which some bytes are free and some in use */
    MREGION_ERR_NO_SPACE = 8,      /* the region may not grow, or the disk is full */
    MREGION_ERR_CORRUPT = 9,       /* stored bytes are damaged */
    MREGION_ERR_IO_ERROR = 10,     /* the server's disk failed the request */
    MREGION_ERR_READ_ONLY = 11,    /* the region takes no changes since its disk has failed */
    MREGION_ERR_TOO_LARGE = 12,    /* the answer would pass the server's max_message, or what can be
                                      kept with a token */
    MREGION_ERR_BUSY = 13,         /* try again later */
    MREGION_ERR_DENIED = 14,       /* not allowed to this user, or not over this connection */
    MREGION_ERR_UNAUTHENTICATED = 15, /* who asks is not known, or user or password is wrong */
    MREGION_ERR_SHUTTING_DOWN = 16,   /* nothing was changed */
    MREGION_ERR_INTERNAL = 17,
    MREGION_ERR_UNKNOWN = 99, /* a code of a newer server; it stands in the text */

    /* What happens on this side. */
    MREGION_ERR_CONNECT = 100,  /* the server cannot be reached; nothing was sent */
    MREGION_ERR_TIMEOUT = 101,  /* no answer in time */
    MREGION_ERR_LOST = 102,     /* the connection broke before the answer came */
    MREGION_ERR_PROTOCOL = 103, /* what came is no answer of mregiond's; the connection is closed */
    MREGION_ERR_MEMORY = 104,   /* out of memory here */
    MREGION_ERR_ARGUMENT = 105, /* a parameter that makes no sense; nothing was sent */
    MREGION_ERR_FULL = 106,     /* too many requests are open, or too large ones */
    MREGION_ERR_LOCAL_IO = 107, /* the file descriptor that was given failed */
    MREGION_ERR_CANCELED = 108  /* the progress callback, or mregion_cancel, said so */
};

#define MREGION_ERROR_TEXT_SIZE 512

struct mregion_error {
    enum mregion_code code;
    char text[MREGION_ERROR_TEXT_SIZE]; /* one sentence, without the code and a full stop */
};

/* "no_space": the server's word for one of its codes, and "connect_failed", "timed_out",
 * "connection_lost", "protocol_error", "out_of_memory", "bad_argument", "pipeline_full",
 * "local_io", "canceled" for the local ones; "unknown" for any other number. Never NULL. */
MREGION_API const char *mregion_code_name(enum mregion_code code);

/* ---- Connections ---- */

struct mregion; /* a connection */

#define MREGION_NO_TIMEOUT UINT32_MAX

/* For addresses that begin with tls:. Zero means the default here too. Files are in PEM and read
 * while connecting; a connection that is made again takes what was read
 * then. Strings are borrowed for the call. */
struct mregion_tls {
    const char *ca;            /* certificates of the authorities that may vouch for the server;
                                  default: those that the system trusts */
    const char *certificate;   /* to show to a server that wants one, with those that lead to its
                                  authority behind it */
    const char *key;           /* its private key, without a passphrase */
    const char *server_name;   /* that the server's certificate has to have; default: HOST */
    bool no_verification;      /* any server will do: whoever is in between reads and changes all */
    uint8_t reserved_bytes[7]; /* zero */
    uint64_t reserved[4];      /* zero */
};

/* Zero means the default, everywhere: start from "struct mregion_options options = {0};". */
struct mregion_options {
    uint32_t connect_timeout_ms;   /* for one attempt to connect; default 10,000 */
    uint32_t timeout_ms;           /* see mregion_set_timeout; default 60,000 */
    uint32_t tickets_max;          /* requests that are submitted and not collected; default 1024 */
    bool no_reconnect;             /* a lost connection stays lost: every call fails then */
    uint64_t kept_max;             /* bytes of answers and of requests kept for tickets that are not
                                      collected yet, beyond which no further request is taken;
                                      default 64 MiB */
    bool no_tokens;                /* changes are sent without tokens, and so only once */
    uint8_t reserved_bytes[7];     /* zero */
    const struct mregion_tls *tls; /* for an address that begins with tls:; NULL: the defaults */
    uint64_t reserved[6];          /* zero */
};

/* Connects to "unix:PATH", "tcp:HOST:PORT" or "tls:HOST:PORT" (HOST a name, an IPv4 address, or an
 * IPv6 address in brackets). With tls the server's certificate is verified: CONNECT says what is
 * wrong with it. A server that wants another certificate of the client may say so only when
 * something is asked: UNAUTHENTICATED. options may be NULL. Give *ret_connection to mregion_close.
 * Errors: CONNECT (also after connect_timeout_ms), ARGUMENT (the address), LOCAL_IO (a file of
 * TLS), MEMORY. */
MREGION_API int mregion_connect(const char *address, const struct mregion_options *options,
                                struct mregion **ret_connection, struct mregion_error *error);

/* Closes the connection and frees everything that belongs to it. What was submitted and not
 * collected may have happened or not. NULL is fine. */
MREGION_API void mregion_close(struct mregion *connection);

/* Who the caller is, to a server that has users and does not know that by the socket or certificate
 * itself: the password is size bytes, which are copied, sent, and sent again first on every
 * connection that is made after this one was lost, until mregion_close wipes them. From then on a
 * call may also fail because the server does not take them any more. May be called again, for
 * somebody else; a call that fails leaves everything as it was, but the server closes a connection
 * on which too many have failed. Only over a Unix socket, on loopback, or over TLS with
 * verification. Errors: UNAUTHENTICATED (user or password is wrong), DENIED (the server has no
 * users, or the connection can be listened to), BUSY (too many attempts), ARGUMENT. */
MREGION_API int mregion_authenticate(struct mregion *connection, const char *user,
                                     const void *password, size_t size,
                                     struct mregion_error *error);

/* How long each later call may take in all, MREGION_NO_TIMEOUT for as long as it takes. A blob
 * that is cut into several messages has the time for each message. Set it before a call to give
 * that call a timeout of its own. 0 sets the default again. */
MREGION_API void mregion_set_timeout(struct mregion *connection, uint32_t timeout_ms);

#define MREGION_TOKEN_SIZE 16

/* The next change has this token instead of one that the library makes. An application that keeps
 * a token (of random bytes), and what it is for, in a safe place before it makes a change can make
 * it again after a crash of its own, and gets the first answer if it has happened. That holds until
 * the region has made token_window further changes (mregiond.yaml(5)). A token is for one change
 * only: for another one, INVALID_ARGUMENT. What was refused has not used its token up.
 *   The next change is the next call, or submit, that changes a region and is not createRegion,
 * dropRegion, checkpoint or one by name; when that call returns the token is spent, also where it
 * failed before anything was sent. Calls that only read do not count. A blob that does not fit one
 * message is several changes, for which a token of one's own is refused: ARGUMENT. So is, by the
 * server, the removal of more than 1 MiB: TOO_LARGE (load, then deallocate with the token).
 *   NULL: no token of one's own. With no_tokens it has no effect. */
MREGION_API void mregion_set_token(struct mregion *connection,
                                   const uint8_t token[MREGION_TOKEN_SIZE]);

/* Called while a blob moves, from the thread that called, after every piece that went over the
 * wire: done of total bytes; total is 0 while it is not known (a pipe). done never goes back,
 * except that what was under way moves again after the connection was lost. Return 0 to go on;
 * anything else stops the call, which returns MREGION_ERR_CANCELED and changes nothing (a store of
 * several messages has stored some of them); when done has reached total it is too late for that. A
 * message that is stopped in the middle costs the connection; open tickets go over to the next one.
 * It is also called when a signal comes while the call waits for a descriptor that it reads from or
 * writes to, or until it tries to connect again. The
 * callback must not use the connection. */
typedef int (*mregion_progress)(uint64_t done, uint64_t total, void *context);

/* From now on every call that moves one blob, and mregion_scrub, reports its progress; NULL: no
 * longer. context is passed on. */
MREGION_API void mregion_set_progress(struct mregion *connection, mregion_progress progress,
                                      void *context);

/* Frees what the library has allocated for the caller. NULL is fine. */
MREGION_API void mregion_free(void *memory);

/* ---- Blobs ----
 * Of any size. A blob that fits one message (the server's max_message, 64 MiB unless configured)
 * goes as one: all or nothing, also across a crash of the server. A larger one is cut into pieces
 * of some MiB, several of them under way at a time, and apart from add is no longer one step:
 *
 *   add      is an upload (see below): whole or not at all, whatever dies in the middle. When the
 *            connection is lost it is begun anew.
 *   load     piece by piece: a change by somebody else in between shows in the later pieces.
 *   store    piece by piece: a failure in the middle leaves some pieces stored.
 *            (With both, a block that is not wholly in use is refused before the first piece.)
 *   replace  adds the new blob, then frees the old one: whole, but both need room for a moment.
 *            When the server does not answer the last step in time, the error's text names the new
 *            blob.
 *   remove   loads, then frees; so it is with a blob of more than 1 MiB - 64 bytes already, unless
 *            no_tokens is set.
 *
 * A lost connection is no failure: each step has its token, and is repeated on the next connection
 * (but what came from a pipe cannot be read again: LOST, and nothing is added).
 * So a blob in one message is added exactly once or not at all, and only a call that ends with
 * TIMEOUT, or with MEMORY or PROTOCOL in the middle, leaves open which of the two. */

/* Adds a blob of size bytes and returns where it is. A blob of 0 bytes takes no room.
 * Errors: NO_SPACE. */
MREGION_API int mregion_add(struct mregion *connection, const char *region, const void *bytes,
                            uint64_t size, uint64_t *ret_address, struct mregion_error *error);

/* Loads size bytes into the caller's buffer. After a failure the buffer may hold anything.
 * Errors: OUT_OF_BOUNDS, NOT_ALLOCATED, CORRUPT. */
MREGION_API int mregion_load(struct mregion *connection, const char *region, uint64_t address,
                             uint64_t size, void *buffer, struct mregion_error *error);

/* The same into fresh memory of size bytes (of one byte where size is 0). */
MREGION_API int mregion_load_new(struct mregion *connection, const char *region, uint64_t address,
                                 uint64_t size, void **ret_bytes, struct mregion_error *error);

/* Overwrites size bytes in use. Errors: OUT_OF_BOUNDS, NOT_ALLOCATED, NO_SPACE. */
MREGION_API int mregion_store(struct mregion *connection, const char *region, uint64_t address,
                              const void *bytes, uint64_t size, struct mregion_error *error);

/* Frees the block and gives the bytes that were in it into the caller's buffer of size bytes.
 * Errors: OUT_OF_BOUNDS, NOT_ALLOCATED, CORRUPT; nothing is freed then. */
MREGION_API int mregion_remove(struct mregion *connection, const char *region, uint64_t address,
                               uint64_t size, void *buffer, struct mregion_error *error);

/* The same into fresh memory. */
MREGION_API int mregion_remove_new(struct mregion *connection, const char *region, uint64_t address,
                                   uint64_t size, void **ret_bytes, struct mregion_error *error);

/* Puts a blob of new_size bytes in the place of the block and returns where it is now.
 * Errors: OUT_OF_BOUNDS, NOT_ALLOCATED, NO_SPACE; the old blob is untouched then. */
MREGION_API int mregion_replace(struct mregion *connection, const char *region, uint64_t address,
                                uint64_t size, const void *bytes, uint64_t new_size,
                                uint64_t *ret_address, struct mregion_error *error);

/* ---- Blobs from and to file descriptors ----
 * The descriptor is used from its present offset on, is not closed, and is blocking. These need at
 * most 16 MiB of memory, whatever the blob's size, besides what mregion_options.kept_max allows,
 * and up to 64 MiB with mregion_set_token. Errors besides those of the functions above: LOCAL_IO
 * with the system's reason. */

/* Adds everything up to the end of the file, pipe or socket, *ret_size bytes. What has more than 4
 * MiB is an upload. A regular file whose length changes meanwhile: LOCAL_IO. */
MREGION_API int mregion_add_fd(struct mregion *connection, const char *region, int fd,
                               uint64_t *ret_address, uint64_t *ret_size,
                               struct mregion_error *error);
/* Adds the file of this name. */
MREGION_API int mregion_add_file(struct mregion *connection, const char *region, const char *path,
                                 uint64_t *ret_address, uint64_t *ret_size,
                                 struct mregion_error *error);
/* Writes exactly the bytes of the block to fd; after a failure some of them may be written. */
MREGION_API int mregion_load_fd(struct mregion *connection, const char *region, uint64_t address,
                                uint64_t size, int fd, struct mregion_error *error);
/* Overwrites the bytes from address on with everything up to the end of fd, *ret_size bytes. */
MREGION_API int mregion_store_fd(struct mregion *connection, const char *region, uint64_t address,
                                 int fd, uint64_t *ret_size, struct mregion_error *error);
/* Puts everything up to the end of fd in the place of the block. */
MREGION_API int mregion_replace_fd(struct mregion *connection, const char *region, uint64_t address,
                                   uint64_t size, int fd, uint64_t *ret_address, uint64_t *ret_size,
                                   struct mregion_error *error);

/* ---- Uploads ----
 * A blob of any size that is not at hand as a whole:
 *
 *     struct mregion_upload *upload;
 *
 *     if (mregion_upload_begin(connection, "main", MREGION_UNKNOWN_SIZE, &upload, &error) == 0) {
 *         while ((size = produce(buffer)) > 0)
 *             if (mregion_upload_append(upload, buffer, size, &error) != 0)
 *                 break;
 *         if (size == 0)
 *             mregion_upload_commit(upload, &address, &error);
 *         mregion_upload_close(upload);
 *     }
 *
 * Until the commit nothing of it is in use, and the server gives its space back when the connection
 * is lost, this process dies, or no append comes for as long as its upload_timeout says (10 minutes
 * unless configured; an empty append counts). So a lost connection loses the upload: LOST, and it
 * is to be begun anew. Other calls of the connection may come in between; the upload is closed
 * before the connection. */

struct mregion_upload;

#define MREGION_UNKNOWN_SIZE UINT64_MAX

/* Begins a blob of size bytes, for which there is room then, or of a size that shows at the end.
 * Errors: NO_SPACE, BUSY (as many uploads are open as the server's max_uploads). */
MREGION_API int mregion_upload_begin(struct mregion *connection, const char *region, uint64_t size,
                                     struct mregion_upload **ret_upload,
                                     struct mregion_error *error);
/* Sends the next bytes, any number of them; up to 4 MiB may be under way when it returns. What
 * becomes of them may show at a later append or at the commit; after a failure nothing is left but
 * to close the upload. Errors: OUT_OF_BOUNDS (more than size), NO_SPACE, LOST. */
MREGION_API int mregion_upload_append(struct mregion_upload *upload, const void *bytes,
                                      uint64_t size, struct mregion_error *error);
/* Makes it a blob, durably, which happens once, as with every change; a token of
 * mregion_set_token is for this very upload. After TIMEOUT it may have happened, or may still
 * happen: call it again, and it gives the address if so (but with no_tokens nobody knows: LOST).
 * Errors: INVALID_ARGUMENT (bytes are missing; the upload goes on), LOST, and those of the appends
 * before. */
MREGION_API int mregion_upload_commit(struct mregion_upload *upload, uint64_t *ret_address,
                                      struct mregion_error *error);
/* Frees it. What was not committed never happened. NULL is fine. */
MREGION_API void mregion_upload_close(struct mregion_upload *upload);

/* ---- Blocks ---- */

struct mregion_block {
    uint64_t address;
    uint64_t size;
};

/* Reserves size bytes, which may hold anything. 0 takes nothing and returns the region's size.
 * Errors: NO_SPACE. */
MREGION_API int mregion_allocate(struct mregion *connection, const char *region, uint64_t size,
                                 uint64_t *ret_address, struct mregion_error *error);

/* Frees a block. Errors: OUT_OF_BOUNDS, NOT_ALLOCATED (some of it is free; nothing changes). */
MREGION_API int mregion_deallocate(struct mregion *connection, const char *region, uint64_t address,
                                   uint64_t size, struct mregion_error *error);

/* Gives a block another size and returns where it is now; the first min(size, new_size) bytes are
 * kept. Errors: NO_SPACE, OUT_OF_BOUNDS, NOT_ALLOCATED. */
MREGION_API int mregion_resize(struct mregion *connection, const char *region, uint64_t address,
                               uint64_t size, uint64_t new_size, uint64_t *ret_address,
                               struct mregion_error *error);

/* Frees whatever is in use in [start, end); *ret_freed bytes were. Errors: OUT_OF_BOUNDS. */
MREGION_API int mregion_deallocate_range(struct mregion *connection, const char *region,
                                         uint64_t start, uint64_t end, uint64_t *ret_freed,
                                         struct mregion_error *error);

/* Frees everything; the region's size stays. */
MREGION_API int mregion_clear(struct mregion *connection, const char *region,
                              struct mregion_error *error);

/* Frees everything from header_size on. Errors: OUT_OF_BOUNDS. */
MREGION_API int mregion_clear_and_retain_header(struct mregion *connection, const char *region,
                                                uint64_t header_size, struct mregion_error *error);

/* Adds pages of 65,536 bytes to the capacity ahead of need. *ret_before is how many there were.
 * Errors: NO_SPACE. */
MREGION_API int mregion_grow(struct mregion *connection, const char *region, uint64_t pages,
                             uint64_t *ret_before, struct mregion_error *error);

/* Whether the block is free. Errors: OUT_OF_BOUNDS, PARTLY_FREE. */
MREGION_API int mregion_is_freed(struct mregion *connection, const char *region, uint64_t address,
                                 uint64_t size, bool *ret_freed, struct mregion_error *error);

/* Whether every byte of the block is in use. Errors: OUT_OF_BOUNDS. */
MREGION_API int mregion_is_allocated(struct mregion *connection, const char *region,
                                     uint64_t address, uint64_t size, bool *ret_allocated,
                                     struct mregion_error *error);

/* The free blocks, ordered by address: up to limit of them into the caller's array, *ret_count says
 * how many. Blocks that end at or before from are left out, one that begins below it is cut there.
 * To go through all of them, begin with from 0 and go on from the end of the last block until
 * fewer than limit come. (Long lists are fetched in pages of 3000: what changes meanwhile may show
 * or not. That holds for the next three functions too.) */
MREGION_API int mregion_free_memory(struct mregion *connection, const char *region, uint64_t from,
                                    size_t limit, struct mregion_block *blocks, size_t *ret_count,
                                    struct mregion_error *error);

/* All free blocks. *ret_blocks is never NULL. */
MREGION_API int mregion_free_memory_all(struct mregion *connection, const char *region,
                                        struct mregion_block **ret_blocks, size_t *ret_count,
                                        struct mregion_error *error);

/* What is in use, or free, in [start, end), clipped to it: up to limit blocks into the caller's
 * array. Blocks in use that touch come as one. Go on from the end of the last one.
 * Errors: OUT_OF_BOUNDS. */
MREGION_API int mregion_allocated_blocks_in_range(struct mregion *connection, const char *region,
                                                  uint64_t start, uint64_t end, size_t limit,
                                                  struct mregion_block *blocks, size_t *ret_count,
                                                  struct mregion_error *error);
MREGION_API int mregion_deallocated_blocks_in_range(struct mregion *connection, const char *region,
                                                    uint64_t start, uint64_t end, size_t limit,
                                                    struct mregion_block *blocks, size_t *ret_count,
                                                    struct mregion_error *error);

/* ---- Regions ---- */

struct mregion_memory_info {
    uint64_t pages;       /* of 65,536 bytes */
    uint64_t size;        /* bytes handed out so far, in use or free */
    uint64_t capacity;    /* bytes of all pages */
    uint64_t allocated;   /* bytes in use */
    uint64_t deallocated; /* bytes free below the size */
};

/* What a server does not tell is zero or "". mregion_call("regionInfo") has the keys that are not
 * here. */
struct mregion_region_info {
    uint64_t id;
    char name[65];
    char uuid[37];
    char durability[16]; /* "sync", "interval", "none" */
    char fit[16];        /* "tight", "lowest", "largest" */
    uint64_t format;     /* version of its files */
    uint64_t flush_interval_ms;
    uint64_t max_size; /* 0: no limit but the disk */
    uint64_t journal_size;
    struct mregion_memory_info memory;
    uint64_t free_blocks;
    uint64_t largest_free; /* bytes */
    bool read_only;        /* it has failed and takes no changes */
};

MREGION_API int mregion_memory_info(struct mregion *connection, const char *region,
                                    struct mregion_memory_info *ret_info,
                                    struct mregion_error *error);
MREGION_API int mregion_region_info(struct mregion *connection, const char *region,
                                    struct mregion_region_info *ret_info,
                                    struct mregion_error *error);

/* One number each, as in the structs above. */
MREGION_API int mregion_size(struct mregion *connection, const char *region, uint64_t *ret_size,
                             struct mregion_error *error);
MREGION_API int mregion_capacity(struct mregion *connection, const char *region,
                                 uint64_t *ret_capacity, struct mregion_error *error);
MREGION_API int mregion_pages(struct mregion *connection, const char *region, uint64_t *ret_pages,
                              struct mregion_error *error);
MREGION_API int mregion_allocated(struct mregion *connection, const char *region,
                                  uint64_t *ret_allocated, struct mregion_error *error);
MREGION_API int mregion_deallocated(struct mregion *connection, const char *region,
                                    uint64_t *ret_deallocated, struct mregion_error *error);
MREGION_API int mregion_id(struct mregion *connection, const char *region, uint64_t *ret_id,
                           struct mregion_error *error);

/* The names of all regions, sorted: an array of *ret_count strings, one block of memory, never
 * NULL. */
MREGION_API int mregion_list_regions(struct mregion *connection, char ***ret_names,
                                     size_t *ret_count, struct mregion_error *error);

/* NULL or 0: the server's default (mregiond.yaml(5)). */
struct mregion_region_options {
    const char *durability; /* "sync", "interval", "none" */
    const char *fit;        /* "tight", "lowest", "largest" */
    uint64_t flush_interval_ms;
    uint64_t max_size;     /* bytes, 0 for no limit but the disk */
    uint64_t journal_size; /* bytes */
    uint64_t reserved[4];  /* zero */
};

/* Creates an empty region, durably. A name is 1 to 64 of A-Z a-z 0-9 . _ - and begins with a
 * letter or digit. options and ret_id may be NULL. Errors: EXISTS, NO_SPACE,
 * BUSY (the server has as many regions as it may). */
MREGION_API int mregion_create_region(struct mregion *connection, const char *name,
                                      const struct mregion_region_options *options,
                                      uint64_t *ret_id, struct mregion_error *error);

/* Removes a region and all its bytes, for good. */
MREGION_API int mregion_drop_region(struct mregion *connection, const char *region,
                                    struct mregion_error *error);

/* Gives a region another name, durably. Its id stays, so who names it by that goes on. Errors:
 * EXISTS, NO_SPACE, BUSY, INVALID_ARGUMENT (also where the server's configuration lists it),
 * IO_ERROR: it may be called so after the server's next start, if the text says so; LOST: it is
 * done or not. */
MREGION_API int mregion_rename_region(struct mregion *connection, const char *region,
                                      const char *name, struct mregion_error *error);

/* A setting, by the name that mregiond.yaml(5) has for it. */
struct mregion_setting {
    const char *name;          /* "max_size" */
    const char *value;         /* as it would stand there: "10GiB" */
    const char *after_restart; /* of mregion_config_get: what it will be then, or NULL */
    const char *reserved;      /* NULL */
};

/* Changes options of a region, durably: those that are given, at least one; what is stored stays as
 * it is. Errors: NO_SPACE, INVALID_ARGUMENT (also where the server's configuration lists the
 * region, and for a max_size below what it has handed out), IO_ERROR: the server's next start may
 * find them changed, if the text says so; LOST: it is done or not, and asking again does no harm.
 */
MREGION_API int mregion_set_region(struct mregion *connection, const char *region,
                                   const struct mregion_setting *settings, size_t count,
                                   struct mregion_error *error);

/* Writes a checkpoint; returns once it is durable. Errors: NO_SPACE. */
MREGION_API int mregion_checkpoint(struct mregion *connection, const char *region,
                                   struct mregion_error *error);

/* A page of a region's file has 4096 bytes and a checksum. So many that are damaged are told. */
#define MREGION_SCRUB_DAMAGES 1000

struct mregion_scrub_result {
    uint64_t pages;                          /* with a byte in use, looked at */
    uint64_t verified;                       /* are what was stored */
    uint64_t unverified;                     /* were written while checksums were off */
    uint64_t damaged;                        /* do not match their checksums, or cannot be read */
    uint64_t damages[MREGION_SCRUB_DAMAGES]; /* their addresses, ascending */
    size_t damages_count;
};

/* Has the server read all pages of a region and compare them with their checksums; returns when it
 * is through. That may take hours: it is waited for as long as the server answers, which it is
 * asked to every second, within the connection's timeout. The progress callback is told how far it
 * has come, in bytes of the region, and may end the waiting (CANCELED; the server goes on by
 * itself). Damage is no error: ret_result->damaged says. Other requests of any connection go on
 * meanwhile. Errors: INVALID_ARGUMENT (the region has its checksums off), READ_ONLY, SHUTTING_DOWN.
 */
MREGION_API int mregion_scrub(struct mregion *connection, const char *region,
                              struct mregion_scrub_result *ret_result, struct mregion_error *error);

/* Has the server copy a region, as it is at one moment, into a folder of this name in its
 * backup_dir; returns when the copy is whole and durable. Everybody reads and writes meanwhile. A
 * name is as a region's. It is waited for as long as the server answers, which it is asked to every
 * second, within the connection's timeout. ret_bytes, how many were copied, may be NULL. Errors:
 * EXISTS, NO_SPACE, CORRUPT, INVALID_ARGUMENT (also where the server has no backup_dir), READ_ONLY,
 * SHUTTING_DOWN; LOST: it is made or not, and asking again tells, by EXISTS. */
MREGION_API int mregion_backup_region(struct mregion *connection, const char *region,
                                      const char *backup, uint64_t *ret_bytes,
                                      struct mregion_error *error);

/* Has the server make a region out of a backup; waits likewise. ret_id may be NULL. Errors: EXISTS,
 * NO_SPACE, CORRUPT, BUSY, INVALID_ARGUMENT (also where there is no such backup), SHUTTING_DOWN;
 * LOST likewise. */
MREGION_API int mregion_restore_region(struct mregion *connection, const char *backup,
                                       const char *name, uint64_t *ret_id,
                                       struct mregion_error *error);

/* Has the server remove a backup, for good; waits likewise. Errors: INVALID_ARGUMENT (also where
 * there is no such backup), BUSY (it is being made, or a region out of it), IO_ERROR: it may be
 * gone all the same, if the text says so; LOST: it is gone or not, and asking again does no harm.
 */
MREGION_API int mregion_remove_backup(struct mregion *connection, const char *backup,
                                      struct mregion_error *error);

/* ---- Server ---- */

struct mregion_server_info {
    char name[32];
    char version[32];
    uint64_t protocol;
    uint64_t uptime_s;
    uint64_t connections;
    uint64_t max_message; /* bytes */
};

MREGION_API int mregion_ping(struct mregion *connection, struct mregion_error *error);
MREGION_API int mregion_server_info(struct mregion *connection,
                                    struct mregion_server_info *ret_info,
                                    struct mregion_error *error);

/* The server's settings in force whose names match one of the patterns, which are separated by
 * commas: in a pattern * stands for any characters and ? for one; a region's are called
 * "regions.NAME.max_size" and so on. An array of *ret_count, one block of memory,
 * never NULL: free it with mregion_free. Where the server has users it takes a grant of admin for
 * all regions. Errors: DENIED. */
MREGION_API int mregion_config_get(struct mregion *connection, const char *pattern,
                                   struct mregion_setting **ret_settings, size_t *ret_count,
                                   struct mregion_error *error);

/* ---- Any method ---- */

/* Calls a method by its name. params is its parameters as one MessagePack array, or NULL for none;
 * the result is MessagePack too. A method that this library knows as one that only reads is sent
 * again after a lost connection, any other is not.
 * Errors: whatever the method answers; ARGUMENT when params is not one array, or not MessagePack.
 */
MREGION_API int mregion_call(struct mregion *connection, const char *method, const void *params,
                             size_t params_size, void **ret_result, size_t *ret_size,
                             struct mregion_error *error);

/* Sends a notification: it is executed, and nobody hears whether it succeeded. Returns when it has
 * been handed to the operating system. */
MREGION_API int mregion_notify(struct mregion *connection, const char *method, const void *params,
                               size_t params_size, struct mregion_error *error);

/* ---- Pipelining ----
 * mregion_submit_... hands a request over without waiting for its answer and gives a ticket for it;
 * mregion_collect_... waits for the answer to a ticket. Tickets are collected in any order, and
 * calls of the other functions may come in between. The server executes requests in the order in
 * which they were submitted.
 *
 *   - Small requests are gathered and sent together: at the latest by the next call that waits,
 *     by mregion_flush, or when 64 KiB are there. The bytes of a larger blob are sent before the
 *     submit returns.
 *   - At most tickets_max tickets are open. Of requests that may have to be sent again the library
 *     keeps a copy until they are answered, and of answers until they are collected: kept_max
 *     bytes in all, where one ticket alone may pass that. Beyond, a submit returns FULL and nothing
 *     is sent. Answers are received while requests are sent, so that both sides never wait for each
 *     other.
 *   - A submit has the connection's timeout. A collect has it too, counted from the collect; when
 *     it passes, the ticket stays open and may be collected again.
 *   - When the connection is lost, what has no answer yet is sent again, in order, by the next call
 *     that submits, flushes or waits. A change by name has no token: it fails with LOST when it is
 *     collected, and what was submitted behind it happens all the same. */

typedef uint64_t mregion_ticket; /* never 0 */

MREGION_API int mregion_submit(struct mregion *connection, const char *method, const void *params,
                               size_t params_size, mregion_ticket *ret_ticket,
                               struct mregion_error *error);
/* The blob must fit one message. */
MREGION_API int mregion_submit_add(struct mregion *connection, const char *region,
                                   const void *bytes, uint64_t size, mregion_ticket *ret_ticket,
                                   struct mregion_error *error);
MREGION_API int mregion_submit_store(struct mregion *connection, const char *region,
                                     uint64_t address, const void *bytes, uint64_t size,
                                     mregion_ticket *ret_ticket, struct mregion_error *error);
/* The buffer of size bytes is the library's until the ticket has been collected or forgotten, or
 * the connection is closed. The answer must fit one message. */
MREGION_API int mregion_submit_load(struct mregion *connection, const char *region,
                                    uint64_t address, uint64_t size, void *buffer,
                                    mregion_ticket *ret_ticket, struct mregion_error *error);
MREGION_API int mregion_submit_allocate(struct mregion *connection, const char *region,
                                        uint64_t size, mregion_ticket *ret_ticket,
                                        struct mregion_error *error);
MREGION_API int mregion_submit_deallocate(struct mregion *connection, const char *region,
                                          uint64_t address, uint64_t size,
                                          mregion_ticket *ret_ticket, struct mregion_error *error);

/* Sends what is gathered, without waiting for answers. */
MREGION_API int mregion_flush(struct mregion *connection, struct mregion_error *error);

/* Wait for a ticket's answer and close the ticket, also where the answer is an error: collect for
 * any method (the result as MessagePack), collect_uint where the result is a number (add, allocate:
 * the address), collect_done where there is none, or where it went into the buffer (load).
 * Errors: the method's; TIMEOUT (the ticket stays open); ARGUMENT when there is no such ticket. */
MREGION_API int mregion_collect(struct mregion *connection, mregion_ticket ticket,
                                void **ret_result, size_t *ret_size, struct mregion_error *error);
MREGION_API int mregion_collect_uint(struct mregion *connection, mregion_ticket ticket,
                                     uint64_t *ret_number, struct mregion_error *error);
MREGION_API int mregion_collect_done(struct mregion *connection, mregion_ticket ticket,
                                     struct mregion_error *error);

/* Closes a ticket whose answer nobody wants. A change is made all the same. */
MREGION_API void mregion_forget(struct mregion *connection, mregion_ticket ticket);

/* ---- Without blocking ----
 * For a program that has a loop of its own: one descriptor to watch, one function to call when it
 * can be read, and a callback for every request.
 *
 *     static void on_added(struct mregion *connection, const struct mregion_answer *answer,
 *                          void *data);
 *
 *     struct mregion_async async = {.on_answer = on_added, .data = photo};
 *     struct pollfd waiting = {.events = POLLIN};
 *
 *     mregion_open("tcp:db:7420", NULL, &connection, &error);
 *     mregion_fd(connection, &waiting.fd, &error);
 *     mregion_async_add(connection, "main", bytes, size, &async, NULL, &error);
 *     while (there is something to wait for) {
 *         poll(&waiting, 1, -1);
 *         mregion_process(connection);
 *     }
 *
 * With libuv the same is mregion_uv.h.
 *
 *   - None of these functions waits, for anything: the connection is made (a host looked up, TLS
 *     begun, credentials shown), lost and made again behind the descriptor, which stays the same
 * for as long as the connection lives.
 *   - Once: a function that returns MREGION_OK will call on_answer exactly once, later, with the
 *     answer, or with the code of what became of the request: TIMEOUT, CANCELED, LOST and so on.
 *     Anything else means that nothing was taken and nothing will be called.
 *   - Callbacks are called by mregion_process, in the order in which the answers came, and by
 *     mregion_close for what is left (CANCELED). In them everything may be called, mregion_close
 *     too, which then happens when the callback has returned.
 *   - Requests are executed in the order in which they were submitted, and sent again as those of
 *     "Reconnect" above are. They are gathered and sent by the next mregion_process; whoever calls
 *     that right after submitting saves a turn of the loop.
 *   - Back-pressure: what is submitted is copied and kept until it is answered. Beyond tickets_max
 *     requests, or kept_max bytes where one alone may pass that, a submit returns FULL;
 *     mregion_set_on_room says when to go on.
 *   - A blob must fit one message of the server: ARGUMENT, which may come with the answer, for the
 *     server may not have been asked yet. Larger ones go up and down in pieces: see below.
 *   - The functions that block may be called on the same connection, and block. What they receive
 *     for others is handed over by the next mregion_process. */

/* The same as mregion_connect, but the connection is made when there is something to send.
 * Errors: ARGUMENT, LOCAL_IO, MEMORY. */
MREGION_API int mregion_open(const char *address, const struct mregion_options *options,
                             struct mregion **ret_connection, struct mregion_error *error);

/* Who the caller is, as with mregion_authenticate, but said when the connection is made for the
 * next time. Where the server does not take it, every request fails with what it says. Errors:
 * ARGUMENT, MEMORY. */
MREGION_API int mregion_set_user(struct mregion *connection, const char *user, const void *password,
                                 size_t size, struct mregion_error *error);

/* A descriptor that can be read when mregion_process has something to do. It is the connection's:
 * it must not be read from, and is closed by mregion_close. Errors: LOCAL_IO (too many are open).
 */
MREGION_API int mregion_fd(struct mregion *connection, int *ret_fd, struct mregion_error *error);

/* Sends and receives what can be without waiting, and calls the callbacks of what has been
 * answered, or has taken too long. Harmless at any time. */
MREGION_API void mregion_process(struct mregion *connection);

/* What became of a request. Everything in it is borrowed for the callback. */
struct mregion_answer {
    mregion_ticket ticket;
    enum mregion_code code; /* MREGION_OK, or why it has failed, and then */
    const char *text;       /* a sentence as in struct mregion_error; "" otherwise */
    uint64_t number;        /* the result where it is a number (add, allocate: the address) */
    const void *result;     /* as MessagePack; nothing where it has failed or is in a buffer */
    size_t result_size;
};

typedef void (*mregion_on_answer)(struct mregion *connection, const struct mregion_answer *answer,
                                  void *data);

/* Who hears of an answer, and how long that may take. Zero means the default: start from
 * "struct mregion_async async = {0};". Borrowed for the call. */
struct mregion_async {
    mregion_on_answer on_answer; /* NULL: nobody */
    void *data;                  /* for it */
    uint32_t timeout_ms;         /* from the submit on, MREGION_NO_TIMEOUT for as long as it takes;
                                    0: that of the connection */
    uint32_t reserved_number;    /* zero */
    uint64_t reserved[4];        /* zero */
};

/* Each submits a request. async may be NULL: nobody hears of it. *ret_ticket, where ret_ticket is
 * not NULL, is for mregion_cancel only. Errors: FULL, ARGUMENT, MEMORY, LOCAL_IO. */
MREGION_API int mregion_async_call(struct mregion *connection, const char *method,
                                   const void *params, size_t params_size,
                                   const struct mregion_async *async, mregion_ticket *ret_ticket,
                                   struct mregion_error *error);
MREGION_API int mregion_async_add(struct mregion *connection, const char *region, const void *bytes,
                                  uint64_t size, const struct mregion_async *async,
                                  mregion_ticket *ret_ticket, struct mregion_error *error);
/* The buffer of size bytes is the library's until the callback is called. */
MREGION_API int mregion_async_load(struct mregion *connection, const char *region, uint64_t address,
                                   uint64_t size, void *buffer, const struct mregion_async *async,
                                   mregion_ticket *ret_ticket, struct mregion_error *error);
MREGION_API int mregion_async_store(struct mregion *connection, const char *region,
                                    uint64_t address, const void *bytes, uint64_t size,
                                    const struct mregion_async *async, mregion_ticket *ret_ticket,
                                    struct mregion_error *error);
MREGION_API int mregion_async_replace(struct mregion *connection, const char *region,
                                      uint64_t address, uint64_t size, const void *bytes,
                                      uint64_t new_size, const struct mregion_async *async,
                                      mregion_ticket *ret_ticket, struct mregion_error *error);
/* Up to 1 MiB - 64 bytes, which are what the token keeps; the buffer as with load. */
MREGION_API int mregion_async_remove(struct mregion *connection, const char *region,
                                     uint64_t address, uint64_t size, void *buffer,
                                     const struct mregion_async *async, mregion_ticket *ret_ticket,
                                     struct mregion_error *error);
MREGION_API int mregion_async_allocate(struct mregion *connection, const char *region,
                                       uint64_t size, const struct mregion_async *async,
                                       mregion_ticket *ret_ticket, struct mregion_error *error);
MREGION_API int mregion_async_deallocate(struct mregion *connection, const char *region,
                                         uint64_t address, uint64_t size,
                                         const struct mregion_async *async,
                                         mregion_ticket *ret_ticket, struct mregion_error *error);
MREGION_API int mregion_async_resize(struct mregion *connection, const char *region,
                                     uint64_t address, uint64_t size, uint64_t new_size,
                                     const struct mregion_async *async, mregion_ticket *ret_ticket,
                                     struct mregion_error *error);

/* Nobody waits for the request any more: its callback is called with CANCELED, by the next
 * mregion_process, unless its answer has come already. A change that was not sent yet is not made;
 * one that was may be, and the answer's text says which. A ticket that is unknown, or over: nothing
 * happens. */
MREGION_API void mregion_cancel(struct mregion *connection, mregion_ticket ticket);

typedef void (*mregion_on_room)(struct mregion *connection, void *data);

/* After a submit of an asynchronous request was refused with FULL: called by mregion_process, once,
 * when half of what may be kept is free again. NULL: not any more. */
MREGION_API void mregion_set_on_room(struct mregion *connection, mregion_on_room on_room,
                                     void *data);

/* ---- Events ----
 * What happens to the regions that the caller may see, told as it happens. Blocking, with a
 * connection that does nothing else, mostly:
 *
 *     struct mregion_events *events;
 *     const struct mregion_event *event;
 *
 *     if (mregion_events_open(connection, &events, &error) == 0) {
 *         while (mregion_events_next(events, MREGION_NO_TIMEOUT, &event, &error) == 0)
 *             printf("%s: %s\n", event->region, event->name);
 *         mregion_events_close(events);
 *     }
 *
 * and without blocking, by a callback: mregion_async_events.
 *
 *   - A subscription is its connection's, which has one at most, and ends with it. Other requests
 *     of the connection go on as ever; an event that comes meanwhile is kept. Between events and
 *     answers there is no order.
 *   - Events may be missed, and that is told: "lost" counts those that the server did not send
 *     because nobody read, and those that came while 1 MiB of them was not taken.
 *   - When the connection is lost it is made again, and the server is asked again: then SUBSCRIBED
 *     is told, and from that moment on nothing is missed. What happened in between is not told: who
 *     keeps a list of regions fetches it anew. While there is a subscription the server is asked
 *     again every 15 seconds, or twice in the connection's timeout where that is shorter: so it is
 *     found out that nobody is at the other end any more, and no idle_timeout passes that is
 *     longer. */

/* The numbers never change; new ones may come. */
enum mregion_event_kind {
    MREGION_EVENT_OTHER = 0,      /* of a newer server; name says what it is */
    MREGION_EVENT_SUBSCRIBED = 1, /* the subscription holds from here on; where it held before, any
                                     number of events may be missing */
    MREGION_EVENT_ENDED = 2,      /* nothing comes any more; code and text say why */
    MREGION_EVENT_CREATED = 3,
    MREGION_EVENT_DROPPED = 4,
    MREGION_EVENT_CORRUPT = 5,    /* damage was found */
    MREGION_EVENT_READ_ONLY = 6,  /* the region has failed and takes no changes; text says why */
    MREGION_EVENT_CHECKPOINT = 7, /* one is durable */
    MREGION_EVENT_RENAMED = 8,    /* text is what it was called before */
};

/* Made by the library only: members may be added at its end. What an event does not have is 0, ""
 * or NULL. */
struct mregion_event {
    enum mregion_event_kind kind;
    enum mregion_code code; /* of ENDED */
    const char *name;       /* the server's word for it: "created" */
    const char *region;     /* whose */
    uint64_t region_id;
    uint64_t page;        /* of CORRUPT: the damaged page's address; or, where pages is not 0, */
    uint64_t pages;       /* so many more were found than are told one by one */
    uint64_t duration_us; /* of CHECKPOINT */
    const char *text;
    uint64_t lost;   /* so many events were missed before this one */
    const void *map; /* all that the server has told, as MessagePack */
    size_t map_size;
};

struct mregion_events; /* a subscription */

/* Subscribes; returns once the server has said so, within the connection's timeout. Errors:
 * NO_SUCH_METHOD; ARGUMENT (there is a subscription). */
MREGION_API int mregion_events_open(struct mregion *connection, struct mregion_events **ret_events,
                                    struct mregion_error *error);

/* The next event, for which it waits timeout_ms, MREGION_NO_TIMEOUT for as long as it takes, 0 to
 * take what is there. *ret_event is the library's, until the next call or the end of the
 * subscription. After a failure it may be called again: TIMEOUT (none has come; or there is no
 * connection, and the text says why), CONNECT. It has ended after one that is no matter of time,
 * which is then what every further call returns: what the server says to subscribing (DENIED,
 * UNAUTHENTICATED); LOST, with no_reconnect. */
MREGION_API int mregion_events_next(struct mregion_events *events, uint32_t timeout_ms,
                                    const struct mregion_event **ret_event,
                                    struct mregion_error *error);

/* Everything in it is borrowed for the callback. */
typedef void (*mregion_on_event)(struct mregion *connection, const struct mregion_event *event,
                                 void *data);

/* The same without blocking (see above): on_event is called by mregion_process, with SUBSCRIBED
 * first, and at most once with ENDED, which is the last. In it everything may be called. The
 * subscription goes on until it is closed or ended, however long the server is away. ret_events
 * may be NULL. Errors: ARGUMENT (there is a subscription), MEMORY. */
MREGION_API int mregion_async_events(struct mregion *connection, mregion_on_event on_event,
                                     void *data, struct mregion_events **ret_events,
                                     struct mregion_error *error);

/* Ends the subscription and frees it, at any time, also in its callback: nothing more is told.
 * mregion_close does so, too, without a word. NULL is fine. */
MREGION_API void mregion_events_close(struct mregion_events *events);
/* ---- Blobs of any size without blocking ----
 * Up, as the uploads above, in pieces whose callbacks say when the next one may follow:
 *
 *     struct mregion_async appended = {.on_answer = on_appended, .data = upload};
 *
 *     mregion_async_upload_begin(connection, "main", MREGION_UNKNOWN_SIZE, &upload, &error);
 *     mregion_async_upload_append(upload, bytes, size, &appended, NULL, &error);
 *     ... and once more from on_appended, until all is there, and then
 *     mregion_async_upload_commit(upload, &committed, NULL, &error);
 *     ... and in on_committed, where answer->number is the address,
 *     mregion_async_upload_close(upload);
 *
 * and down, in pieces that are asked for ahead and handed over in order, as fast as they are taken:
 *
 *     mregion_async_download_begin(connection, "main", address, size, &download, &error);
 *     mregion_async_download_next(download, &piece, NULL, &error);
 *     ... and in on_piece, until answer->result_size is 0 after MREGION_OK,
 *     consume(answer->result, answer->result_size);
 *     mregion_async_download_next(download, &piece, NULL, &error);
 *     ... and at the end, or whenever there is enough of it,
 *     mregion_async_download_close(download);
 *
 * What is said under "Without blocking" holds here too: nothing waits, each callback is called
 * once. Any number of uploads and downloads may be open, with other requests between theirs. Both
 * are closed before their connection; that may be done at any time, in their callbacks too. */

struct mregion_async_upload;

/* Begins a blob of size bytes, or MREGION_UNKNOWN_SIZE: bytes may be appended at once. Nobody is
 * called: whether it is taken shows at the first append, which may be an empty one. What the server
 * refuses it with is the error of all appends and of the commit: NO_SPACE, BUSY, NO_SUCH_REGION and
 * so on. Close it with mregion_async_upload_close. Errors: FULL, ARGUMENT, MEMORY, LOCAL_IO. */
MREGION_API int mregion_async_upload_begin(struct mregion *connection, const char *region,
                                           uint64_t size, struct mregion_async_upload **ret_upload,
                                           struct mregion_error *error);
/* Appends size bytes, which are copied and must fit one message of the server: 64 KiB to 1 MiB are
 * best. Several appends may be under way, and are executed in order; those that make up 4 MiB keep
 * a server busy. FULL (of what may be kept, see tickets_max and kept_max) is no failure: the same
 * bytes are to be appended again, when on_room or the callback of an append has been called.
 *   Any other failure is that of the whole upload, so that it has no holes: one append that fails,
 * takes too long or is canceled fails all others that are open with its code and text, and later
 * ones return it. There is no next connection for an upload: LOST, and it is to be begun anew.
 * Errors: OUT_OF_BOUNDS (more than size), NO_SPACE, LOST; ARGUMENT (too large, or behind a commit).
 */
MREGION_API int mregion_async_upload_append(struct mregion_async_upload *upload, const void *bytes,
                                            uint64_t size, const struct mregion_async *async,
                                            mregion_ticket *ret_ticket,
                                            struct mregion_error *error);
/* Makes it a blob, durably, as soon as all appends before are answered; answer->number is the
 * address. It happens once, also where the connection is lost meanwhile; a token of
 * mregion_set_token is for this very upload. Errors: INVALID_ARGUMENT (bytes are missing) and
 * NO_SPACE, after which the upload goes on; LOST; those of the appends before. */
MREGION_API int mregion_async_upload_commit(struct mregion_async_upload *upload,
                                            const struct mregion_async *async,
                                            mregion_ticket *ret_ticket,
                                            struct mregion_error *error);
/* Frees it. What was not committed never happened, and the server is told so, without waiting for
 * it. Callbacks that are still owed are called by the next mregion_process, with CANCELED; a commit
 * that was sent may happen all the same, as with mregion_cancel. NULL is fine. */
MREGION_API void mregion_async_upload_close(struct mregion_async_upload *upload);

struct mregion_async_download;

/* Begins to load a block, of which up to 1 MiB is asked for ahead of the caller, in pieces of 60
 * KiB into memory of the library's, whatever the block's size. The server compares each piece with
 * its checksums before it sends it. A change by somebody else in between shows in the later pieces.
 * A lost connection is no failure. Close it with mregion_async_download_close. Errors: FULL,
 * ARGUMENT, MEMORY. */
MREGION_API int mregion_async_download_begin(struct mregion *connection, const char *region,
                                             uint64_t address, uint64_t size,
                                             struct mregion_async_download **ret_download,
                                             struct mregion_error *error);
/* Asks for the next piece, one at a time. answer->result and result_size are its bytes, as they
 * are; they stay where they are until the next call of this function or the close. Nothing, 0
 * bytes, after the last one. As long as it is not called, no more is asked of the server than what
 * is ahead. A callback that is canceled, or called with TIMEOUT, has not lost the piece: it is the
 * next one's. Errors: OUT_OF_BOUNDS, NOT_ALLOCATED, CORRUPT, each behind the pieces before; they
 * stay. ARGUMENT (the one before is not answered yet), FULL, MEMORY. */
MREGION_API int mregion_async_download_next(struct mregion_async_download *download,
                                            const struct mregion_async *async,
                                            mregion_ticket *ret_ticket,
                                            struct mregion_error *error);
/* Frees it; no more is asked for. A callback that is still owed is called by the next
 * mregion_process, with CANCELED. NULL is fine. */
MREGION_API void mregion_async_download_close(struct mregion_async_download *download);

/* ---- Batches ----
 * Several changes of one region that happen together or not at all, also across a crash of the
 * server, in the order in which they were appended; each sees what those before it did.
 *
 *     struct mregion_batch *batch;
 *     size_t first;
 *
 *     if (mregion_batch_begin(connection, "main", &batch, &error) == 0) {
 *         if (mregion_batch_add(batch, "hello", 5, &first, &error) == 0 &&
 *             mregion_batch_deallocate(batch, 4096, 16, NULL, &error) == 0 &&
 *             mregion_batch_commit(batch, NULL, &error) == 0 &&
 *             mregion_batch_uint(batch, first, &address, &error) == 0)
 *             ...
 *         mregion_batch_close(batch);
 *     }
 *
 * Nothing is sent until the commit, which is one message: it must fit the server's max_message, and
 * has no more changes than the server's max_batch. A blob is copied when it is appended. A batch
 * belongs to its connection and is closed before it; what else the connection does in between does
 * not matter. */

struct mregion_batch;

MREGION_API int mregion_batch_begin(struct mregion *connection, const char *region,
                                    struct mregion_batch **ret_batch, struct mregion_error *error);

/* Frees the batch and its results. What was not committed never happens. NULL is fine. */
MREGION_API void mregion_batch_close(struct mregion_batch *batch);

/* Forgets everything that was appended, and results: the batch is as after its begin. */
MREGION_API void mregion_batch_abort(struct mregion_batch *batch);

/* Each appends a change, of which *ret_index (which may be NULL) is the number, from 0 on. After a
 * failure the batch is as it was. Errors: only local ones; the server judges at the commit. */
MREGION_API int mregion_batch_add(struct mregion_batch *batch, const void *bytes, uint64_t size,
                                  size_t *ret_index, struct mregion_error *error);
MREGION_API int mregion_batch_store(struct mregion_batch *batch, uint64_t address,
                                    const void *bytes, uint64_t size, size_t *ret_index,
                                    struct mregion_error *error);
/* The bytes are a result. All results of a batch together are at most 1 MiB: where nobody wants the
 * bytes, deallocate. */
MREGION_API int mregion_batch_remove(struct mregion_batch *batch, uint64_t address, uint64_t size,
                                     size_t *ret_index, struct mregion_error *error);
MREGION_API int mregion_batch_replace(struct mregion_batch *batch, uint64_t address, uint64_t size,
                                      const void *bytes, uint64_t new_size, size_t *ret_index,
                                      struct mregion_error *error);
MREGION_API int mregion_batch_allocate(struct mregion_batch *batch, uint64_t size,
                                       size_t *ret_index, struct mregion_error *error);
MREGION_API int mregion_batch_deallocate(struct mregion_batch *batch, uint64_t address,
                                         uint64_t size, size_t *ret_index,
                                         struct mregion_error *error);
MREGION_API int mregion_batch_resize(struct mregion_batch *batch, uint64_t address, uint64_t size,
                                     uint64_t new_size, size_t *ret_index,
                                     struct mregion_error *error);
MREGION_API int mregion_batch_deallocate_range(struct mregion_batch *batch, uint64_t start,
                                               uint64_t end, size_t *ret_index,
                                               struct mregion_error *error);
MREGION_API int mregion_batch_clear(struct mregion_batch *batch, size_t *ret_index,
                                    struct mregion_error *error);
MREGION_API int mregion_batch_clear_and_retain_header(struct mregion_batch *batch,
                                                      uint64_t header_size, size_t *ret_index,
                                                      struct mregion_error *error);
MREGION_API int mregion_batch_grow(struct mregion_batch *batch, uint64_t pages, size_t *ret_index,
                                   struct mregion_error *error);

/* Makes all the changes, or none. When one of them is refused, *ret_failed (which may be NULL) is
 * its number, SIZE_MAX when the failure is of none in particular; the error's text names it too.
 *   A batch that has failed may be committed again, and more may be appended before, but not after
 * TIMEOUT or LOST: then it may have happened, and committing it as it is gives the results if so,
 * or makes the changes, once, until token_window further changes of the region have been made. That
 * stays so until a commit succeeds or the server refuses one of the changes. (The batch has one
 * token for all its commits; the one of mregion_set_token, where one is set at the first.)
 * Errors: those of its changes; ARGUMENT (too large for one message, or committed already: nothing
 * was sent); TOO_LARGE (the results pass 1 MiB). */
MREGION_API int mregion_batch_commit(struct mregion_batch *batch, size_t *ret_failed,
                                     struct mregion_error *error);

/* The same without blocking (see above): on_answer is called with what became of it, and after
 * MREGION_OK the results are the batch's. Until then nothing may be done with the batch, and its
 * connection is not closed. Errors: those of the other mregion_async functions. */
MREGION_API int mregion_async_commit(struct mregion_batch *batch, const struct mregion_async *async,
                                     mregion_ticket *ret_ticket, struct mregion_error *error);

/* The result of a change after the commit: a number where there is one (add, replace, allocate,
 * resize: the address; deallocate_range: bytes that were in use; grow: pages before), or the bytes
 * (remove), which stay the batch's. Errors: ARGUMENT (not committed, no such change, a result of
 * the other kind). */
MREGION_API int mregion_batch_uint(const struct mregion_batch *batch, size_t index,
                                   uint64_t *ret_number, struct mregion_error *error);
MREGION_API int mregion_batch_blob(const struct mregion_batch *batch, size_t index,
                                   const void **ret_bytes, uint64_t *ret_size,
                                   struct mregion_error *error);

/* ---- A pool ----
 * Connections for threads, which take one for as long as they need it:
 *
 *     if (mregion_pool_take(pool, &connection, &error) == 0) {
 *         mregion_add(connection, "main", bytes, size, &address, &error);
 *         mregion_pool_give(pool, connection);
 *     }
 *
 * These functions may be called by any thread at any time. The connections behave as all others do.
 * They are made when they are needed, and kept when they are given back. */

struct mregion_pool;

/* Zero means the default, everywhere. Strings and bytes are copied. */
struct mregion_pool_options {
    uint32_t connections_max; /* at a time; default 16 */
    uint32_t wait_ms;         /* for one that is given back, MREGION_NO_TIMEOUT for as long as it
                                 takes; default 60,000 */
    const char *user;         /* see mregion_authenticate; NULL: nobody */
    const void *password;
    size_t password_size;
    uint64_t reserved[4]; /* zero */
};

/* Nothing is connected yet. address and options are those of mregion_connect, options may be NULL,
 * and so may pool_options; what they point to is copied, and files of TLS are read for each
 * connection. Give *ret_pool to mregion_pool_free. Errors: ARGUMENT, LOCAL_IO (a file of TLS),
 * MEMORY. */
MREGION_API int mregion_pool_new(const char *address, const struct mregion_options *options,
                                 const struct mregion_pool_options *pool_options,
                                 struct mregion_pool **ret_pool, struct mregion_error *error);

/* Closes its connections, all of which have been given back. NULL is fine. */
MREGION_API void mregion_pool_free(struct mregion_pool *pool);

/* Takes a connection, which is connected: one that was given back, where the server has not closed
 * it meanwhile, or a new one. Errors: TIMEOUT (as many as connections_max are taken), and those of
 * mregion_connect and mregion_authenticate. */
MREGION_API int mregion_pool_take(struct mregion_pool *pool, struct mregion **ret_connection,
                                  struct mregion_error *error);

/* Gives it back, whatever has happened with it: one that is lost, has open tickets, was used
 * without blocking or for events, or is now another user's, is closed, and another one made when it
 * is needed. Timeout, progress and token are again what they were. Batches and uploads have been
 * closed before. NULL is fine. */
MREGION_API void mregion_pool_give(struct mregion_pool *pool, struct mregion *connection);

/* ---- Numbers ----
 * Add, load, store and remove for numbers of fixed size, stored little-endian:
 *
 *     int mregion_add_NAME(connection, region, TYPE value, uint64_t *ret_address, error);
 *     int mregion_load_NAME(connection, region, uint64_t address, TYPE *ret_value, error);
 *     int mregion_store_NAME(connection, region, uint64_t address, TYPE value, error);
 *     int mregion_remove_NAME(connection, region, uint64_t address, TYPE *ret_value, error);
 *
 * for the NAME and TYPE of this table. They take sizeof(TYPE) bytes of the region; their errors
 * are those of the functions for blobs. float is a double, IEEE 754 in 64 bits. */
#define MREGION_NUMBERS(NUMBER)                                                                    \
    NUMBER(nat8, uint8_t)                                                                          \
    NUMBER(nat16, uint16_t)                                                                        \
    NUMBER(nat32, uint32_t)                                                                        \
    NUMBER(nat64, uint64_t)                                                                        \
    NUMBER(int8, int8_t)                                                                           \
    NUMBER(int16, int16_t)                                                                         \
    NUMBER(int32, int32_t)                                                                         \
    NUMBER(int64, int64_t)                                                                         \
    NUMBER(float, double)

#define MREGION_DECLARE_NUMBER(name, type)                                                         \
    MREGION_API int mregion_add_##name(struct mregion *connection, const char *region, type value, \
                                       uint64_t *ret_address, struct mregion_error *error);        \
    MREGION_API int mregion_load_##name(struct mregion *connection, const char *region,            \
                                        uint64_t address, type *ret_value,                         \
                                        struct mregion_error *error);                              \
    MREGION_API int mregion_store_##name(struct mregion *connection, const char *region,           \
                                         uint64_t address, type value,                             \
                                         struct mregion_error *error);                             \
    MREGION_API int mregion_remove_##name(struct mregion *connection, const char *region,          \
                                          uint64_t address, type *ret_value,                       \
                                          struct mregion_error *error);
MREGION_NUMBERS(MREGION_DECLARE_NUMBER)
#undef MREGION_DECLARE_NUMBER

#ifdef __cplusplus
}
#endif

#endif
