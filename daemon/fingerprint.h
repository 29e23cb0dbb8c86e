/* By what a region knows again what was asked for with a token: 64 bits over the method and its
 * parameters. They are kept on disk, so that they must never come out differently.
 *
 * The fingerprint is the CRC-64 of ECMA-182, reflected (CRC-64/XZ), over these bytes:
 *
 *     length of the method's name (1 byte), the name
 *     each parameter but the region, in order:
 *         a number      8 bytes, little-endian
 *         a blob        its length (8 bytes, little-endian), its bytes
 *         changes       how many (8 bytes, little-endian), then each of them like a request
 *
 * Options are no part of it, nor in which form of MessagePack anything came. */
#ifndef MREGION_DAEMON_FINGERPRINT_H
#define MREGION_DAEMON_FINGERPRINT_H

#include <stdint.h>

#include "proto/rpc.h"

/* The fingerprint of what `before` is one of, followed by the call; 0 to begin with. Of a batch's
 * changes their number only: the changes are to follow. Any thread. */
uint64_t fingerprint_add(uint64_t before, const struct rpc_call *call);

#endif
