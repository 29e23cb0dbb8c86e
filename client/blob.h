/* Blobs, and what one message of them can hold. Private to libmregion. */
#ifndef MREGION_CLIENT_BLOB_H
#define MREGION_CLIENT_BLOB_H

#include <stdint.h>

#include "client/call.h"
#include "client/connection.h"

/* The largest blob that fits one message. The server is asked only where a blob of this size may
 * not fit the smallest max_message there is. */
int blob_message_max(struct mregion *connection, uint64_t size, uint64_t *ret_max,
                     struct mregion_error *error);
/* MREGION_ERR_ARGUMENT when a blob of this size does not. */
int blob_check_message(struct mregion *connection, uint64_t size, struct mregion_error *error);

/* The requests of one blob in one message. They borrow bytes and buffer. */
struct request blob_add_request(const char *region, const void *bytes, uint64_t size);
struct request blob_store_request(const char *region, uint64_t address, const void *bytes,
                                  uint64_t size);
struct request blob_load_request(const char *region, uint64_t address, uint64_t size, void *buffer);

/* Between these, what moves is reported to the caller's callback. total 0: not known. */
void blob_begin(struct mregion *connection, struct transfer *transfer, uint64_t total);
void blob_end(struct mregion *connection);
void blob_end_change(struct mregion *connection);

/* The public functions without the reporting. */
int blob_add(struct mregion *connection, const char *region, const void *bytes, uint64_t size,
             uint64_t *ret_address, struct mregion_error *error);
int blob_load(struct mregion *connection, const char *region, uint64_t address, uint64_t size,
              void *buffer, struct mregion_error *error);
int blob_store(struct mregion *connection, const char *region, uint64_t address, const void *bytes,
               uint64_t size, struct mregion_error *error);
int blob_replace(struct mregion *connection, const char *region, struct mregion_block old,
                 const void *bytes, uint64_t size, uint64_t *ret_address,
                 struct mregion_error *error);

/* Before the first of several steps: MREGION_ERR_NOT_ALLOCATED unless all of the block is in use.
 */
int blob_check_allocated(struct mregion *connection, const char *region, struct mregion_block block,
                         struct mregion_error *error);
/* The last step of a replacement: frees the old block; the new one is given back when that is
 * refused. */
int blob_retire(struct mregion *connection, const char *region, struct mregion_block old,
                struct mregion_block new, uint64_t *ret_address, struct mregion_error *error);

#endif
