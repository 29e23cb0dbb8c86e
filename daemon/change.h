/* The changes of a region, by the methods that ask for them: alone or within a batch. Loop
 * thread. */
#ifndef MREGION_DAEMON_CHANGE_H
#define MREGION_DAEMON_CHANGE_H

#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/region.h"
#include "daemon/request.h"
#include "proto/pack.h"
#include "proto/rpc.h"

/* What a change answers: nil or a number. A removeBlob's bytes are the caller's concern. */
struct change_result {
    enum result_type type;
    uint64_t number;
};

/* What a method that is a change answers; RESULT_BLOB for removeBlob. */
enum result_type change_result_type(enum method_id method);

/* Stages it: 0, REGION_WAIT or an error code, as the region says. Whatever its parameters say of a
 * region is not looked at. */
int change_stage(struct region *region, const struct rpc_call *args, struct change_result *ret,
                 struct err *err);

/* The bytes of the blob that it gives to the region, which borrows them from LARGE_BLOB on; 0 where
 * it has none. */
uint64_t change_blob_size(const struct rpc_call *args);

/* The result as MessagePack; returns its size. */
size_t change_pack(uint8_t to[PACK_UINT_MAX], const struct change_result *result);

#endif
