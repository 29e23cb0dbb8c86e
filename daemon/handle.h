/* What each method does with a request that dispatch has taken apart. Loop thread. */
#ifndef MREGION_DAEMON_HANDLE_H
#define MREGION_DAEMON_HANDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/region.h"
#include "daemon/request.h"
#include "proto/rpc.h"

struct conn;
struct region_entry;
struct server;

/* One request while it is being handled. Its parameters point into the connection's input. */
struct call {
    struct server *server;
    struct conn *conn;
    struct region_entry *entry; /* the region that it names first; NULL where it names none */
    struct rpc_request envelope;
    struct rpc_call args;
    size_t size; /* of the message */
};

/* HANDLED: answered, or a request waits for the answer. PARKED: nothing was done, the connection is
 * parked, and the message will be handled anew. */
enum outcome { HANDLED, PARKED };

typedef enum outcome (*handler)(struct call *call);

/* By method. */
extern const handler handlers[METHODS];

/* ---- For the handlers ---- */

enum outcome call_nil(struct call *call);
enum outcome call_uint(struct call *call, uint64_t number);
enum outcome call_bool(struct call *call, bool value);
enum outcome call_error(struct call *call, const struct err *err);
enum outcome call_no_memory(struct call *call);
/* Parks the connection until a job of the call's region is done. */
enum outcome call_park(struct call *call);

/* The block that the parameters from index on name, as address and size. */
struct extent call_block(const struct call *call, unsigned index);

/* Goes through the options map; false when there is no further pair. */
struct option {
    const uint8_t *key; /* one of those that methods.def lists */
    uint32_t key_size;
    struct value value; /* of an array or map only the header */
};
bool call_option(struct call *call, struct option *ret_option);
bool option_is(const struct option *option, const char *key);
/* The option's value as an unsigned integer; ERR_INVALID_ARGUMENT. */
int option_uint(const struct call *call, const struct option *option, uint64_t *ret_number,
                struct err *err);

/* Any change but a batch: makes it, unless its token was used before. A removeBlob answers nil. */
enum outcome handle_change(struct call *call);

/* For a change that has a large blob and is staged: the region borrows it in the message's buffer,
 * which the request keeps. */
void change_give_home(struct call *call, struct request *request);

/* An answer with a result of size bytes must fit max_message. What could be added can be loaded: an
 * answer's envelope is no longer than that of the addBlob. ERR_TOO_LARGE; remedy ends the
 * sentence. */
bool call_fits(const struct call *call, uint64_t size, const char *remedy, struct err *err);

/* The same of the method's answer, where the message may be gone. Any thread that may read the
 * configuration. */
bool answer_fits(const struct server *server, const char *method, uint64_t size, const char *remedy,
                 struct err *err);

/* A load whose ticket has been applied. */
void handle_load_ready(struct request *request);

/* Declarations of handle_allocate and so on, one per method. */
#define METHOD(symbol, name, parameters, names, options, result, access)                           \
    enum outcome handle_##symbol(struct call *call);
#include "proto/methods.def"
#undef METHOD

#endif
