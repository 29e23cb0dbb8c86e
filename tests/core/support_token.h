/* Changes with tokens, as the daemon makes them. Every function fails the test on what is not
 * expected. */
#ifndef MREGION_TESTS_SUPPORT_TOKEN_H
#define MREGION_TESTS_SUPPORT_TOKEN_H

#include "support_region.h"

/* The id of a token with a number: what stands in its first bytes. */
struct token_id {
    uint8_t bytes[16];
};
struct token_id token_id(uint64_t number);

/* What region_token_find answers; the answer must be size bytes that token_answer makes. */
int token_find(struct region *region, uint64_t number, size_t size, uint64_t *ret_ticket);
/* The same with a fingerprint of one's own, and nothing expected. */
int token_find_as(struct region *region, uint64_t number, uint64_t fingerprint, struct err *err);

/* Adds a blob with a token whose answer has size bytes. 0, REGION_WAIT or a code; token_add runs
 * jobs while it has to wait, and must not be refused. */
int token_try_add(struct region *region, uint64_t number, size_t size, const void *blob,
                  uint64_t blob_size, struct err *err);
uint64_t token_add(struct region *region, uint64_t number, size_t size, const void *blob,
                   uint64_t blob_size);

#endif
