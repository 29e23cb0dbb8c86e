/* The method table (methods.def) as an array. */
#ifndef MREGION_PROTO_METHODS_H
#define MREGION_PROTO_METHODS_H

#include <stdbool.h>
#include <stddef.h>

enum method_id {
#define METHOD(symbol, name, parameters, names, options, result, access) METHOD_##symbol,
#include "proto/methods.def"
#undef METHOD
    METHODS
};

enum method_access {
    METHOD_READ, /* up to OPEN: changes nothing */
    METHOD_SERVER,
    METHOD_OPEN,
    METHOD_WRITE,
    METHOD_UPLOAD,
    METHOD_UPKEEP,
    METHOD_ADMIN,
    METHOD_LOGIN,
};

struct method {
    const char *name;
    const char *parameters; /* one letter each: R U S N B C */
    unsigned parameter_count;
    const char *names;   /* "region, address, size" */
    const char *options; /* "from,limit" */
    const char *result;
    enum method_access access;
};

/* Indexed by enum method_id. */
extern const struct method methods[METHODS];

/* Whether it takes the option "token": the changes of one region, a batch of them, and the commit
 * of an upload. */
bool method_takes_token(enum method_id method);
/* Whether it changes one region, by itself: such a method takes a token and may stand in a batch.
 */
bool method_is_change(enum method_id method);

/* The method of this name, or METHODS. A perfect enough hash: constant time. */
enum method_id method_find(const char *name, size_t length);

#endif
