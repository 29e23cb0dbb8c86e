/* The public face of asynchronous requests. */
#include "client/async.h"
#include "client/blob.h"

int mregion_async_call(struct mregion *connection, const char *method, const void *params,
                       size_t params_size, const struct mregion_async *async,
                       mregion_ticket *ret_ticket, struct mregion_error *error)
{
    struct request request = {
        .method = METHODS, .name = method, .params = params, .params_size = params_size};

    return async_start(connection, &request, async, ret_ticket, error);
}

int mregion_async_add(struct mregion *connection, const char *region, const void *bytes,
                      uint64_t size, const struct mregion_async *async, mregion_ticket *ret_ticket,
                      struct mregion_error *error)
{
    struct request request = blob_add_request(region, bytes, size);

    return async_start(connection, &request, async, ret_ticket, error);
}

int mregion_async_load(struct mregion *connection, const char *region, uint64_t address,
                       uint64_t size, void *buffer, const struct mregion_async *async,
                       mregion_ticket *ret_ticket, struct mregion_error *error)
{
    struct request request = blob_load_request(region, address, size, buffer);

    return async_start(connection, &request, async, ret_ticket, error);
}

int mregion_async_store(struct mregion *connection, const char *region, uint64_t address,
                        const void *bytes, uint64_t size, const struct mregion_async *async,
                        mregion_ticket *ret_ticket, struct mregion_error *error)
{
    struct request request = blob_store_request(region, address, bytes, size);

    return async_start(connection, &request, async, ret_ticket, error);
}

int mregion_async_replace(struct mregion *connection, const char *region, uint64_t address,
                          uint64_t size, const void *bytes, uint64_t new_size,
                          const struct mregion_async *async, mregion_ticket *ret_ticket,
                          struct mregion_error *error)
{
    struct request request = {.method = METHOD_REPLACE_BLOB,
                              .region = region,
                              .numbers = {address, size},
                              .blob = bytes,
                              .blob_size = new_size};

    return async_start(connection, &request, async, ret_ticket, error);
}

int mregion_async_remove(struct mregion *connection, const char *region, uint64_t address,
                         uint64_t size, void *buffer, const struct mregion_async *async,
                         mregion_ticket *ret_ticket, struct mregion_error *error)
{
    struct request request = {.method = METHOD_REMOVE_BLOB,
                              .region = region,
                              .numbers = {address, size},
                              .sink = buffer,
                              .sink_size = size};

    return async_start(connection, &request, async, ret_ticket, error);
}

/* A request that has numbers alone. */
static int start_numbers(struct mregion *connection, enum method_id method, const char *region,
                         const uint64_t numbers[3], const struct mregion_async *async,
                         mregion_ticket *ret_ticket, struct mregion_error *error)
{
    struct request request = {
        .method = method, .region = region, .numbers = {numbers[0], numbers[1], numbers[2]}};

    return async_start(connection, &request, async, ret_ticket, error);
}

int mregion_async_allocate(struct mregion *connection, const char *region, uint64_t size,
                           const struct mregion_async *async, mregion_ticket *ret_ticket,
                           struct mregion_error *error)
{
    return start_numbers(connection, METHOD_ALLOCATE, region, (const uint64_t[3]){size}, async,
                         ret_ticket, error);
}

int mregion_async_deallocate(struct mregion *connection, const char *region, uint64_t address,
                             uint64_t size, const struct mregion_async *async,
                             mregion_ticket *ret_ticket, struct mregion_error *error)
{
    return start_numbers(connection, METHOD_DEALLOCATE, region, (const uint64_t[3]){address, size},
                         async, ret_ticket, error);
}

int mregion_async_resize(struct mregion *connection, const char *region, uint64_t address,
                         uint64_t size, uint64_t new_size, const struct mregion_async *async,
                         mregion_ticket *ret_ticket, struct mregion_error *error)
{
    return start_numbers(connection, METHOD_RESIZE, region,
                         (const uint64_t[3]){address, size, new_size}, async, ret_ticket, error);
}
