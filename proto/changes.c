#include "proto/changes.h"

#include <inttypes.h>
#include <string.h>

#include "proto/rpc_private.h"

void changes_init(struct changes *changes, const struct rpc_param *param)
{
    changes->cursor = (struct cursor){.at = param->bytes, .end = param->bytes + param->size};
    changes->index = 0;
    changes->count = (uint32_t)param->number;
}

/* Puts the change in front of the sentence, in the place of the method, where that is there. */
static int say_which(uint32_t index, const char *method, struct err *err)
{
    struct err inner = *err;
    const char *sentence = inner.text;
    size_t length = strlen(method);

    if (strncmp(sentence, method, length) == 0 && strncmp(sentence + length, ": ", 2) == 0)
        sentence += length + 2;
    return err_set(err, inner.code, "change %" PRIu32 " (%s): %s", index, method, sentence);
}

int changes_fail(uint32_t index, enum method_id method, struct err *err)
{
    return say_which(index, methods[method].name, err);
}

/* The array apart into method and parameters. */
static int open_change(struct cursor cursor, uint32_t index, struct rpc_request *ret,
                       struct err *err)
{
    struct value change = cursor_next(&cursor);
    struct value method;

    if (change.type != VALUE_ARRAY)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "change %" PRIu32 ": must be an array, of a method and its parameters, not "
                       "%s",
                       index, value_type_name(change.type));
    if (change.count == 0)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "change %" PRIu32 ": must not be an empty array: a method comes first",
                       index);
    method = cursor_next(&cursor);
    if (method.type != VALUE_STR && method.type != VALUE_BIN)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "change %" PRIu32 ": the method's name must be a string, not %s", index,
                       value_type_name(method.type));
    *ret = (struct rpc_request){.method = method.raw.bytes,
                                .method_size = method.raw.size,
                                .params = cursor,
                                .params_count = change.count - 1};
    return 0;
}

/* Whether the last parameter is a map, which only options are. */
static bool ends_with_map(const struct rpc_request *change)
{
    struct cursor cursor = change->params;

    for (uint32_t i = 1; i < change->params_count; i++)
        cursor_skip(&cursor);
    return cursor_next(&cursor).type == VALUE_MAP;
}

/* How many parameters are left out: 1 where there is one too few for a region. */
static unsigned missing(const struct rpc_request *change, enum method_id method)
{
    size_t letters = strlen(methods[method].parameters);

    if (change->params_count == letters)
        return ends_with_map(change) ? 1 : 0;
    return change->params_count + 1 == letters ? 1 : 0;
}

static int parse_change(const struct rpc_request *change, struct rpc_call *ret, struct err *err)
{
    int code;

    if (!method_is_change(ret->method))
        return err_set(err, ERR_INVALID_ARGUMENT, "%s",
                       ret->method == METHOD_BATCH
                           ? "a batch takes no other batch"
                           : "a batch takes only what changes the blocks of its region");
    code = rpc_parse_params(change, missing(change, ret->method), ret, err);
    if (code == 0 && ret->options_count > 0)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "takes no options within a batch: a token is given to the whole batch");
    return code;
}

int changes_next(struct changes *changes, struct rpc_call *ret, struct err *err)
{
    struct cursor cursor = changes->cursor;
    uint32_t index = changes->index++;
    struct rpc_request change = {0};
    int code;

    cursor_skip(&changes->cursor);
    code = open_change(cursor, index, &change, err);
    if (code != 0)
        return code;
    if (rpc_find_method(&change, ret, err) != 0)
        return say_which(index, rpc_quote(change.method, change.method_size).text, err);
    code = parse_change(&change, ret, err);
    return code != 0 ? changes_fail(index, ret->method, err) : 0;
}
