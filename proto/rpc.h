/* The MessagePack-RPC envelope: requests apart, answers together.
 *
 *     request       [0, msgid, method, params]
 *     response      [1, msgid, error, result]
 *     notification  [2, method, params] */
#ifndef MREGION_PROTO_RPC_H
#define MREGION_PROTO_RPC_H

#include <msgpack.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "proto/cursor.h"
#include "proto/methods.h"

struct rpc_request {
    bool is_notification;
    bool has_msgid; /* the msgid could be read, even if the rest is wrong */
    uint32_t msgid;
    const uint8_t *method; /* points into the frame */
    uint32_t method_size;
    struct cursor params; /* the parameters' values, in order */
    uint32_t params_count;
};

/* Takes a whole frame apart. 0, or ERR_INVALID_ARGUMENT with a sentence when it is no request and
 * no notification; ret->has_msgid then says whether an answer can be addressed. */
int rpc_parse(const uint8_t *frame, size_t size, struct rpc_request *ret, struct err *err);

/* One parsed parameter. Which member holds is the method's parameter letter. */
struct rpc_param {
    uint64_t number;      /* U, S, R by id; C: how many changes */
    const uint8_t *bytes; /* N, B, R by name; NULL: R by id; C: where the first change begins */
    uint32_t size;        /* of the bytes */
    bool is_nil;          /* S */
};

#define RPC_PARAMS_MAX 4

struct rpc_call {
    enum method_id method;
    bool has_region; /* false for a change that leaves it to its batch, and a refused call */
    struct rpc_param params[RPC_PARAMS_MAX];
    bool has_options;
    struct cursor options; /* key, value, key, value…: the pairs of the options map, keys checked
                              against methods.def, none twice */
    uint32_t options_count;
};

/* Finds the method and checks number and types of the parameters against methods.def.
 * ERR_NO_SUCH_METHOD, ERR_INVALID_ARGUMENT; the sentence names method, parameter, what was
 * expected and what came; parameters from the wrong one on are zeros, unless there is no such
 * method. */
int rpc_call_parse(const struct rpc_request *request, struct rpc_call *ret, struct err *err);

/* The request at bytes, of which size have arrived, if it is a whole one of the common form: a
 * known method, all of its parameters and a token at most, every header in a usual width. Returns
 * its size; what frame_scan, rpc_parse and rpc_call_parse would make of it is filled in. 0: it is
 * for those to say what it is, or what is wrong with it. */
size_t rpc_parse_short(const uint8_t *bytes, size_t size, struct rpc_request *ret,
                       struct rpc_call *ret_call);

/* ---- Answers, packed with msgpack-c into the caller's packer ----
 * Both return 0, or -1 when the packer's write callback refused (its buffer could not grow); part
 * of the answer may then be in the buffer. */

/* [1, msgid, nil, — the caller packs the result right behind. */
int rpc_pack_result(msgpack_packer *packer, uint32_t msgid);
/* [1, msgid, "code: text", nil]. Whatever is not printable ASCII in the text goes out as "?", so
 * that the string is valid everywhere. */
int rpc_pack_error(msgpack_packer *packer, uint32_t msgid, const struct err *err);

/* The same without a packer: what stands before a result; returns its length. */
#define RPC_RESULT_HEADER_MAX 8
size_t rpc_result_header(uint8_t header[RPC_RESULT_HEADER_MAX], uint32_t msgid);

/* The header of an answer whose result is a bin of size bytes that the caller sends right behind;
 * returns its length. For large blobs, which are never copied. */
#define RPC_BIN_HEADER_MAX 16
size_t rpc_bin_header(uint8_t header[RPC_BIN_HEADER_MAX], uint32_t msgid, uint32_t size);

#endif
