/* Uploads: blobs that arrive in several messages, from beginBlob to commitBlob. An upload belongs
 * to the connection that has begun it and ends with it, so that what a client leaves behind when it
 * dies is nothing; it ends too when upload_timeout passes without a message for it, and when its
 * region is dropped. Whatever ends it but a commit gives its space back.
 *
 * A message's bytes are written from the buffer that they were received into: the request keeps it
 * until then, and is answered then. Loop thread. */
#ifndef MREGION_DAEMON_UPLOAD_H
#define MREGION_DAEMON_UPLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

struct conn;
struct region_entry;
struct region_upload;
struct request;
struct server;

struct upload {
    uint64_t handle;
    struct conn *conn;
    struct region_entry *entry;
    struct upload *conn_previous, *conn_next;
    struct upload *entry_previous, *entry_next;
    struct region_upload *bytes;
    struct request *appends; /* that are not written yet: by ticket, first to last */
    uint64_t moved_ms;       /* when the last message for it came */
    bool is_empty;           /* begun with size 0: takes no bytes */
    bool has_ended;          /* nobody finds it any more; it goes when no job has its bytes */
    struct err reason;       /* why, for those appends */
};

/* Another upload is open, whose handle is new. NULL without memory: then bytes is still the
 * caller's. */
struct upload *upload_new(struct conn *conn, struct region_entry *entry,
                          struct region_upload *bytes);
/* The connection's open upload with this handle, or NULL. */
struct upload *upload_find(const struct conn *conn, uint64_t handle);
/* It was committed: region_upload_commit has taken its bytes. */
void upload_committed(struct upload *upload);
/* Ends it, with nothing left behind. */
void upload_abort(struct upload *upload, const struct err *reason);

/* The append request->ticket is under way: it is answered once that is written. */
void upload_wait(struct upload *upload, struct request *request);
/* Whether any append of the connection is not written yet. */
bool upload_has_appends(const struct conn *conn);
/* A job of the region is done: answers appends, and lets who waits for its uploads try again. */
void upload_settle(struct region_entry *entry);

/* Ends all of them. */
void upload_abandon(struct conn *conn);
void upload_refuse(struct region_entry *entry, const struct err *reason);
/* Ends those of the connection whose time is up. Whether it has any left. */
bool upload_sweep(struct conn *conn, uint64_t at_ms);

#endif
