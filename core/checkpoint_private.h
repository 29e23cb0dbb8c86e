/* The inside of checkpoints, for the files checkpoint*.c only.
 *
 *     checkpoint.c        the files; header and chunks as bytes
 *     checkpoint_write.c  writing one, slice by slice
 *     checkpoint_load.c   loading one */
#ifndef MREGION_CORE_CHECKPOINT_PRIVATE_H
#define MREGION_CORE_CHECKPOINT_PRIVATE_H

#include "core/checkpoint.h"

void checkpoint_encode_header(uint8_t *block, const uint8_t secret[16],
                              const struct checkpoint *checkpoint);
/* All of a chunk's header but its checksum, before a body that is there. */
void checkpoint_encode_chunk(uint8_t *chunk, const struct checkpoint *checkpoint,
                             enum checkpoint_kind kind, size_t count, size_t body_size);
/* Completes it. */
void checkpoint_seal_chunk(uint8_t *chunk, size_t size, uint32_t seed);
/* Appends a token to a body and returns the end. */
uint8_t *checkpoint_encode_token(uint8_t *at, const struct token *token);

/* How many bytes a chunk claims to take, from its header alone; 0 when that cannot be. */
size_t checkpoint_claimed(const uint8_t *header);

#endif
