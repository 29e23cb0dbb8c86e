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

/* A change is staged between the two: begin makes the request that will wait for it (false without
 * memory), end deals with status, which the region's function returned: answers an error, parks on
 * REGION_WAIT, or waits for the ticket. borrowed is how many bytes of the message were given to
 * the region, which may keep them. */
struct change {
    struct call *call;
    struct request *request;
    int status;
    struct err err;
};
bool change_begin(struct change *change, struct call *call);
enum outcome change_end(struct change *change, enum result_type result, uint64_t borrowed);

/* A load whose ticket has been applied. */
void handle_load_ready(struct request *request);

/* Declarations of handle_allocate and so on, one per method. */
#define METHOD(symbol, name, parameters, names, options, result, access)                           \
    enum outcome handle_##symbol(struct call *call);
#include "proto/methods.def"
#undef METHOD

#endif
