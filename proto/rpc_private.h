/* What rpc.c and changes.c share: a change within a batch is read like a request of its own. */
#ifndef MREGION_PROTO_RPC_PRIVATE_H
#define MREGION_PROTO_RPC_PRIVATE_H

#include "proto/rpc.h"

/* A peer's bytes made printable, and cut. */
#define RPC_QUOTED_MAX 64 /* the longest piece of them that an error repeats */
struct rpc_quoted {
    char text[sizeof "..." + (size_t)RPC_QUOTED_MAX * 4];
};
struct rpc_quoted rpc_quote(const uint8_t *bytes, uint32_t size);

/* Fills in ret->method. ERR_NO_SUCH_METHOD. */
int rpc_find_method(const struct rpc_request *request, struct rpc_call *ret, struct err *err);

/* Checks the parameters against ret->method and fills in the rest; those before `first` are left
 * out: 0, or 1 for the region. ERR_INVALID_ARGUMENT. */
int rpc_parse_params(const struct rpc_request *request, unsigned first, struct rpc_call *ret,
                     struct err *err);

#endif
