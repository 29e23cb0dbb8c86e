/* MessagePack values written where there is room for them, each in its shortest form, as msgpack-c
 * writes it. Every function returns the end of what it wrote. */
#ifndef MREGION_PROTO_PACK_H
#define MREGION_PROTO_PACK_H

#include <stdbool.h>
#include <stdint.h>

#define PACK_UINT_MAX 9
/* Of an array or bin. */
#define PACK_HEADER_MAX 5

uint8_t *pack_nil(uint8_t *to);
uint8_t *pack_bool(uint8_t *to, bool value);
uint8_t *pack_uint(uint8_t *to, uint64_t number);
uint8_t *pack_array_header(uint8_t *to, uint32_t count);
uint8_t *pack_bin_header(uint8_t *to, uint32_t size);

#endif
