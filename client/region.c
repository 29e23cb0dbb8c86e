/* The methods that answer a number, a boolean or nothing. */
#include "client/call.h"
#include "client/error.h"

/* ---- Blocks ---- */

int mregion_allocate(struct mregion *connection, const char *region, uint64_t size,
                     uint64_t *ret_address, struct mregion_error *error)
{
    struct request request = {.method = METHOD_ALLOCATE, .region = region, .numbers = {size}};

    return call_for_uint(connection, &request, ret_address, error);
}

int mregion_deallocate(struct mregion *connection, const char *region, uint64_t address,
                       uint64_t size, struct mregion_error *error)
{
    struct request request = {
        .method = METHOD_DEALLOCATE, .region = region, .numbers = {address, size}};

    return call_for_nothing(connection, &request, error);
}

int mregion_resize(struct mregion *connection, const char *region, uint64_t address, uint64_t size,
                   uint64_t new_size, uint64_t *ret_address, struct mregion_error *error)
{
    struct request request = {
        .method = METHOD_RESIZE, .region = region, .numbers = {address, size, new_size}};

    return call_for_uint(connection, &request, ret_address, error);
}

int mregion_deallocate_range(struct mregion *connection, const char *region, uint64_t start,
                             uint64_t end, uint64_t *ret_freed, struct mregion_error *error)
{
    struct request request = {
        .method = METHOD_DEALLOCATE_RANGE, .region = region, .numbers = {start, end}};

    return call_for_uint(connection, &request, ret_freed, error);
}

int mregion_clear(struct mregion *connection, const char *region, struct mregion_error *error)
{
    struct request request = {.method = METHOD_CLEAR, .region = region};

    return call_for_nothing(connection, &request, error);
}

int mregion_clear_and_retain_header(struct mregion *connection, const char *region,
                                    uint64_t header_size, struct mregion_error *error)
{
    struct request request = {
        .method = METHOD_CLEAR_AND_RETAIN_HEADER, .region = region, .numbers = {header_size}};

    return call_for_nothing(connection, &request, error);
}

int mregion_grow(struct mregion *connection, const char *region, uint64_t pages,
                 uint64_t *ret_before, struct mregion_error *error)
{
    struct request request = {.method = METHOD_GROW, .region = region, .numbers = {pages}};

    return call_for_uint(connection, &request, ret_before, error);
}

int mregion_is_freed(struct mregion *connection, const char *region, uint64_t address,
                     uint64_t size, bool *ret_freed, struct mregion_error *error)
{
    struct request request = {
        .method = METHOD_IS_FREED, .region = region, .numbers = {address, size}};

    return call_for_bool(connection, &request, ret_freed, error);
}

int mregion_is_allocated(struct mregion *connection, const char *region, uint64_t address,
                         uint64_t size, bool *ret_allocated, struct mregion_error *error)
{
    struct request request = {
        .method = METHOD_IS_ALLOCATED, .region = region, .numbers = {address, size}};

    return call_for_bool(connection, &request, ret_allocated, error);
}

/* ---- One number each ---- */

static int ask(struct mregion *connection, enum method_id method, const char *region,
               uint64_t *ret_number, struct mregion_error *error)
{
    struct request request = {.method = method, .region = region};

    return call_for_uint(connection, &request, ret_number, error);
}

int mregion_size(struct mregion *connection, const char *region, uint64_t *ret_size,
                 struct mregion_error *error)
{
    return ask(connection, METHOD_SIZE, region, ret_size, error);
}

int mregion_capacity(struct mregion *connection, const char *region, uint64_t *ret_capacity,
                     struct mregion_error *error)
{
    return ask(connection, METHOD_CAPACITY, region, ret_capacity, error);
}

int mregion_pages(struct mregion *connection, const char *region, uint64_t *ret_pages,
                  struct mregion_error *error)
{
    return ask(connection, METHOD_PAGES, region, ret_pages, error);
}

int mregion_allocated(struct mregion *connection, const char *region, uint64_t *ret_allocated,
                      struct mregion_error *error)
{
    return ask(connection, METHOD_ALLOCATED, region, ret_allocated, error);
}

int mregion_deallocated(struct mregion *connection, const char *region, uint64_t *ret_deallocated,
                        struct mregion_error *error)
{
    return ask(connection, METHOD_DEALLOCATED, region, ret_deallocated, error);
}

int mregion_id(struct mregion *connection, const char *region, uint64_t *ret_id,
               struct mregion_error *error)
{
    return ask(connection, METHOD_ID, region, ret_id, error);
}

/* ---- Regions ---- */

static void add_word(struct request *request, const char *key, const char *word)
{
    if (word != NULL)
        request->options[request->options_count++] = (struct option){.key = key, .word = word};
}

static void add_number(struct request *request, const char *key, uint64_t number)
{
    if (number != 0)
        request->options[request->options_count++] = (struct option){.key = key, .number = number};
}

int mregion_create_region(struct mregion *connection, const char *name,
                          const struct mregion_region_options *options, uint64_t *ret_id,
                          struct mregion_error *error)
{
    struct request request = {.method = METHOD_CREATE_REGION, .region = name};

    if (options != NULL) {
        add_word(&request, "durability", options->durability);
        add_word(&request, "fit", options->fit);
        add_number(&request, "flush_interval", options->flush_interval_ms);
        add_number(&request, "max_size", options->max_size);
        add_number(&request, "journal_size", options->journal_size);
    }
    return call_for_uint(connection, &request, ret_id, error);
}

int mregion_drop_region(struct mregion *connection, const char *region, struct mregion_error *error)
{
    struct request request = {.method = METHOD_DROP_REGION, .region = region};

    return call_for_nothing(connection, &request, error);
}

int mregion_rename_region(struct mregion *connection, const char *region, const char *name,
                          struct mregion_error *error)
{
    struct request request = {.method = METHOD_RENAME_REGION, .region = region, .second = name};

    return call_for_nothing(connection, &request, error);
}

int mregion_checkpoint(struct mregion *connection, const char *region, struct mregion_error *error)
{
    struct request request = {.method = METHOD_CHECKPOINT, .region = region};

    return call_for_nothing(connection, &request, error);
}

int mregion_ping(struct mregion *connection, struct mregion_error *error)
{
    struct request request = {.method = METHOD_PING};

    return call_for_nothing(connection, &request, error);
}
