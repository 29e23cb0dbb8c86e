/* The changes of a batch, one after the other, in place: no allocation.
 *
 * Each is an array, [method, params...], with the parameters of a request of its own; the region
 * may be left out. Errors say which change it is. */
#ifndef MREGION_PROTO_CHANGES_H
#define MREGION_PROTO_CHANGES_H

#include <stdint.h>

#include "core/err.h"
#include "proto/rpc.h"

struct changes {
    struct cursor cursor;
    uint32_t index; /* of the next one */
    uint32_t count;
};

/* The parameter is one with the letter C. */
void changes_init(struct changes *changes, const struct rpc_param *param);

/* Takes the next change apart, of which there must be one (index < count), and moves behind it also
 * where it fails. Checks all that rpc_call_parse does, and that it may stand in a batch: that it
 * changes one region and has no options. What region it names is left to the caller.
 * ERR_NO_SUCH_METHOD, ERR_INVALID_ARGUMENT. */
int changes_next(struct changes *changes, struct rpc_call *ret, struct err *err);

/* What a change was refused with, as the error of its batch: "change INDEX (METHOD): sentence".
 * Returns the code. */
int changes_fail(uint32_t index, enum method_id method, struct err *err);

#endif
