#include "daemon/change.h"

#include <assert.h>

enum result_type change_result_type(enum method_id method)
{
    switch (method) {
    case METHOD_ALLOCATE:
    case METHOD_RESIZE:
    case METHOD_ADD_BLOB:
    case METHOD_REPLACE_BLOB:
    case METHOD_DEALLOCATE_RANGE:
    case METHOD_GROW:
        return RESULT_UINT;
    case METHOD_REMOVE_BLOB:
        return RESULT_BLOB;
    default:
        return RESULT_NIL;
    }
}

static struct extent block_at(const struct rpc_param *params)
{
    return (struct extent){.address = params[1].number, .size = params[2].number};
}

int change_stage(struct region *region, const struct rpc_call *args, struct change_result *ret,
                 struct err *err)
{
    const struct rpc_param *params = args->params;
    enum result_type type = change_result_type(args->method);
    *ret = (struct change_result){.type = type == RESULT_BLOB ? RESULT_NIL : type};
    switch (args->method) {
    case METHOD_ALLOCATE:
        return region_allocate(region, params[1].number, &ret->number, err);
    case METHOD_DEALLOCATE:
    case METHOD_REMOVE_BLOB:
        return region_deallocate(region, block_at(params), err);
    case METHOD_RESIZE:
        return region_resize(region, block_at(params), params[3].number, &ret->number, err);
    case METHOD_ADD_BLOB:
        return region_add(region, params[1].bytes, params[1].size, &ret->number, err);
    case METHOD_STORE_BLOB:
        return region_store(region, params[1].number, params[2].bytes, params[2].size, err);
    case METHOD_REPLACE_BLOB:
        return region_replace(region, block_at(params), params[3].bytes, params[3].size,
                              &ret->number, err);
    case METHOD_DEALLOCATE_RANGE:
        return region_deallocate_range(region, params[1].number, params[2].number, &ret->number,
                                       err);
    case METHOD_CLEAR:
        return region_clear(region, 0, err);
    case METHOD_CLEAR_AND_RETAIN_HEADER:
        return region_clear(region, params[1].number, err);
    case METHOD_GROW:
        return region_grow(region, params[1].number, &ret->number, err);
    default:
        assert(false);
        return err_set(err, ERR_INTERNAL, "%s is no change", methods[args->method].name);
    }
}

uint64_t change_blob_size(const struct rpc_call *args)
{
    switch (args->method) {
    case METHOD_ADD_BLOB:
        return args->params[1].size;
    case METHOD_STORE_BLOB:
        return args->params[2].size;
    case METHOD_REPLACE_BLOB:
        return args->params[3].size;
    default:
        return 0;
    }
}

size_t change_pack(uint8_t to[PACK_UINT_MAX], const struct change_result *result)
{
    uint8_t *end = result->type == RESULT_UINT ? pack_uint(to, result->number) : pack_nil(to);
    return (size_t)(end - to);
}
