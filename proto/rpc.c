#include "proto/rpc.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/pack.h"
#include "proto/rpc_private.h"

enum message_type {
    MESSAGE_REQUEST = 0,
    MESSAGE_RESPONSE = 1,
    MESSAGE_NOTIFICATION = 2,
};

/* ---- Words for error sentences ---- */

struct rpc_quoted rpc_quote(const uint8_t *bytes, uint32_t size)
{
    struct rpc_quoted quoted;
    uint32_t shown = size < RPC_QUOTED_MAX ? size : RPC_QUOTED_MAX;
    char *to = quoted.text;

    for (uint32_t i = 0; i < shown; i++) {
        if (bytes[i] >= 0x20 && bytes[i] < 0x7f && bytes[i] != '"' && bytes[i] != '\\')
            *to++ = (char)bytes[i];
        else
            to += sprintf(to, "\\x%02x", bytes[i]);
    }
    memcpy(to, size > shown ? "..." : "", size > shown ? sizeof "..." : 1);
    return quoted;
}

/* Where item number index of a comma-separated list begins; *ret_length without the comma. */
static const char *list_item(const char *list, unsigned index, size_t *ret_length)
{
    const char *item = list;

    while (index-- > 0) {
        item += strcspn(item, ",");
        item += strspn(item, ", ");
    }
    *ret_length = strcspn(item, ",");
    return item;
}

/* ---- Requests ---- */

static bool is_text(struct value value)
{
    return value.type == VALUE_STR || value.type == VALUE_BIN;
}

static int parse_msgid(struct value value, struct rpc_request *ret, struct err *err)
{
    if (value.type != VALUE_UINT)
        return err_set(err, ERR_INVALID_ARGUMENT, "msgid must be an unsigned integer, not %s",
                       value_type_name(value.type));
    if (value.number > UINT32_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "msgid must be at most 4294967295, not %" PRIu64,
                       value.number);
    ret->msgid = (uint32_t)value.number;
    ret->has_msgid = true;
    return 0;
}

static int parse_type(struct value value, struct rpc_request *ret, struct err *err)
{
    if (value.type != VALUE_UINT)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "a message begins with its type, 0 (request) or 2 (notification), not %s",
                       value_type_name(value.type));
    if (value.number == MESSAGE_RESPONSE)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "a response was sent to the server, which asks nothing");
    if (value.number != MESSAGE_REQUEST && value.number != MESSAGE_NOTIFICATION)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "message type must be 0 (request) or 2 (notification), not %" PRIu64,
                       value.number);
    ret->is_notification = value.number == MESSAGE_NOTIFICATION;
    return 0;
}

/* The cursor stands at the method. */
static int parse_method_and_params(struct cursor *cursor, struct rpc_request *ret, struct err *err)
{
    struct value method = cursor_next(cursor);
    struct value params;

    if (!is_text(method))
        return err_set(err, ERR_INVALID_ARGUMENT, "the method's name must be a string, not %s",
                       value_type_name(method.type));
    params = cursor_next(cursor);
    if (params.type != VALUE_ARRAY && params.type != VALUE_NIL)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "the parameters must be an array, or nil for none, not %s",
                       value_type_name(params.type));
    ret->method = method.raw.bytes;
    ret->method_size = method.raw.size;
    ret->params = *cursor;
    ret->params_count = params.type == VALUE_ARRAY ? params.count : 0;
    return 0;
}

int rpc_parse(const uint8_t *frame, size_t size, struct rpc_request *ret, struct err *err)
{
    struct cursor cursor = {.at = frame, .end = frame + size};
    struct value message = cursor_next(&cursor);
    uint32_t expected;
    int code;

    *ret = (struct rpc_request){0};
    if (message.type != VALUE_ARRAY)
        return err_set(err, ERR_INVALID_ARGUMENT, "a message must be an array, not %s",
                       value_type_name(message.type));
    if (message.count == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "a message must not be an empty array");
    code = parse_type(cursor_next(&cursor), ret, err);
    if (code != 0)
        return code;
    /* The msgid before the count: a request of the wrong length can then still be answered. */
    if (!ret->is_notification && message.count >= 2) {
        code = parse_msgid(cursor_next(&cursor), ret, err);
        if (code != 0)
            return code;
    }
    expected = ret->is_notification ? 3 : 4;
    if (message.count != expected)
        return err_set(err, ERR_INVALID_ARGUMENT, "a %s has %" PRIu32 " elements, not %" PRIu32,
                       ret->is_notification ? "notification" : "request", expected, message.count);
    return parse_method_and_params(&cursor, ret, err);
}

/* ---- Parameters ---- */

static const char *expected_of(char letter)
{
    switch (letter) {
    case 'R':
        return "a region's name or id";
    case 'U':
        return "an unsigned integer";
    case 'S':
        return "an unsigned integer or nil";
    case 'N':
        return "a string";
    case 'C':
        return "an array of changes";
    default:
        return "binary data or a string";
    }
}

/* The elements are looked at when they are taken apart: it is known only that they are there. */
static __attribute__((noinline)) struct rpc_param skip_changes(struct cursor *params,
                                                               uint32_t count)
{
    const uint8_t *first = params->at;

    for (uint32_t i = 0; i < count; i++)
        cursor_skip(params);
    return (struct rpc_param){
        .number = count, .bytes = first, .size = (uint32_t)(params->at - first)};
}

static __attribute__((noinline)) int refuse_param(const struct method *method, unsigned index,
                                                  enum value_type type, struct err *err)
{
    size_t length;
    const char *name = list_item(method->names, index, &length);

    return err_set(err, ERR_INVALID_ARGUMENT, "%s: %.*s must be %s, not %s", method->name,
                   (int)length, name, expected_of(method->parameters[index]),
                   value_type_name(type));
}

static int parse_param(const struct method *method, unsigned index, struct cursor *params,
                       struct rpc_param *ret, struct err *err)
{
    char letter = method->parameters[index];
    struct value value = cursor_next(params);

    if (value.type == VALUE_UINT && (letter == 'U' || letter == 'S' || letter == 'R')) {
        *ret = (struct rpc_param){.number = value.number};
        return 0;
    }
    if (value.type == VALUE_NIL && letter == 'S') {
        *ret = (struct rpc_param){.is_nil = true};
        return 0;
    }
    if (is_text(value) && letter != 'U' && letter != 'S' && letter != 'C') {
        *ret = (struct rpc_param){.bytes = value.raw.bytes, .size = value.raw.size};
        return 0;
    }
    if (value.type == VALUE_ARRAY && letter == 'C') {
        *ret = skip_changes(params, value.count);
        return 0;
    }
    return refuse_param(method, index, value.type, err);
}

/* Which of the method's options the key is, from 0; -1 for none. */
static int find_option(const struct method *method, struct value key)
{
    const char *item = method->options;
    int index = 0;

    while (*item != '\0') {
        size_t length = strcspn(item, ",");

        if (length == key.raw.size && memcmp(item, key.raw.bytes, length) == 0)
            return index;
        item += length;
        item += strspn(item, ", ");
        index++;
    }
    return -1;
}

static int refuse_unknown_option(const struct method *method, struct value key, struct err *err)
{
    struct rpc_quoted quoted = rpc_quote(key.raw.bytes, key.raw.size);

    if (method->options[0] == '\0')
        return err_set(err, ERR_INVALID_ARGUMENT, "%s: unknown option \"%s\"; it has no options",
                       method->name, quoted.text);
    return err_set(err, ERR_INVALID_ARGUMENT, "%s: unknown option \"%s\"; known: %s", method->name,
                   quoted.text, method->options);
}

static int check_option_keys(const struct method *method, struct cursor pairs, uint32_t count,
                             struct err *err)
{
    uint32_t seen = 0;

    for (uint32_t i = 0; i < count; i++) {
        struct value key = cursor_next(&pairs);
        int index;

        if (!is_text(key))
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "%s: an option's key must be a string, not %s", method->name,
                           value_type_name(key.type));
        index = find_option(method, key);
        if (index < 0)
            return refuse_unknown_option(method, key, err);
        if ((seen & 1U << index) != 0)
            return err_set(err, ERR_INVALID_ARGUMENT, "%s: option \"%.*s\" is given twice",
                           method->name, (int)key.raw.size, (const char *)key.raw.bytes);
        seen |= 1U << index;
        cursor_skip(&pairs);
    }
    return 0;
}

static __attribute__((noinline)) int parse_options(const struct method *method,
                                                   struct cursor *params, struct rpc_call *ret,
                                                   struct err *err)
{
    struct value value = cursor_next(params);

    if (value.type != VALUE_MAP)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "%s: what follows its parameters must be a map of options, not %s",
                       method->name, value_type_name(value.type));
    ret->has_options = true;
    ret->options = *params;
    ret->options_count = value.count;
    return check_option_keys(method, *params, value.count, err);
}

static __attribute__((noinline)) int refuse_count(const struct method *method, uint32_t count,
                                                  struct err *err)
{
    size_t expected = strlen(method->parameters);

    if (expected == 0)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "%s: takes no parameters, and then options at most, not %" PRIu32,
                       method->name, count);
    return err_set(err, ERR_INVALID_ARGUMENT,
                   "%s: takes %zu parameter%s (%s), and then options at most, not %" PRIu32,
                   method->name, expected, expected == 1 ? "" : "s", method->names, count);
}

int rpc_find_method(const struct rpc_request *request, struct rpc_call *ret, struct err *err)
{
    ret->method = method_find((const char *)request->method, request->method_size);
    if (ret->method == METHODS)
        return err_set(err, ERR_NO_SUCH_METHOD, "there is no method \"%s\"",
                       rpc_quote(request->method, request->method_size).text);
    return 0;
}

/* Whoever speaks of the call that was refused finds no parameters of an earlier one. */
static int leave_params(struct rpc_call *ret, unsigned good, int code)
{
    ret->has_region = false;
    memset(&ret->params[good], 0, (RPC_PARAMS_MAX - good) * sizeof ret->params[0]);
    return code;
}

int rpc_parse_params(const struct rpc_request *request, unsigned first, struct rpc_call *ret,
                     struct err *err)
{
    const struct method *method = &methods[ret->method];
    struct cursor params = request->params;
    unsigned letters = method->parameter_count;
    unsigned expected = letters - first;

    ret->has_region = first == 0;
    ret->has_options = false;
    ret->options = (struct cursor){NULL, NULL};
    ret->options_count = 0;
    if (request->params_count < expected || request->params_count > expected + 1)
        return leave_params(ret, first, refuse_count(method, request->params_count, err));
    for (unsigned i = first; i < letters; i++) {
        int code = parse_param(method, i, &params, &ret->params[i], err);

        if (code != 0)
            return leave_params(ret, i, code);
    }
    return request->params_count > expected ? parse_options(method, &params, ret, err) : 0;
}

int rpc_call_parse(const struct rpc_request *request, struct rpc_call *ret, struct err *err)
{
    int code = rpc_find_method(request, ret, err);

    return code == 0 ? rpc_parse_params(request, 0, ret, err) : code;
}

/* ---- Answers ---- */

int rpc_pack_result(msgpack_packer *packer, uint32_t msgid)
{
    if (msgpack_pack_array(packer, 4) != 0 || msgpack_pack_uint8(packer, MESSAGE_RESPONSE) != 0 ||
        msgpack_pack_uint32(packer, msgid) != 0 || msgpack_pack_nil(packer) != 0)
        return -1;
    return 0;
}

int rpc_pack_error(msgpack_packer *packer, uint32_t msgid, const struct err *err)
{
    char text[ERR_TEXT_SIZE + 32]; /* the longest code and ": " */
    int length = snprintf(text, sizeof text, "%s: %s", err_name(err->code), err->text);
    size_t size = (size_t)length < sizeof text ? (size_t)length : sizeof text - 1;

    /* A str must be UTF-8, and a sentence may repeat a file name or be cut anywhere. */
    for (size_t i = 0; i < size; i++)
        if (text[i] < 0x20 || text[i] > 0x7e)
            text[i] = '?';
    if (msgpack_pack_array(packer, 4) != 0 || msgpack_pack_uint8(packer, MESSAGE_RESPONSE) != 0 ||
        msgpack_pack_uint32(packer, msgid) != 0 || msgpack_pack_str(packer, size) != 0 ||
        msgpack_pack_str_body(packer, text, size) != 0 || msgpack_pack_nil(packer) != 0)
        return -1;
    return 0;
}

size_t rpc_result_header(uint8_t header[RPC_RESULT_HEADER_MAX], uint32_t msgid)
{
    uint8_t *to = pack_array_header(header, 4);

    to = pack_uint(to, MESSAGE_RESPONSE);
    to = pack_uint(to, msgid);
    return (size_t)(pack_nil(to) - header);
}

size_t rpc_bin_header(uint8_t header[RPC_BIN_HEADER_MAX], uint32_t msgid, uint32_t size)
{
    size_t length = rpc_result_header(header, msgid);

    return (size_t)(pack_bin_header(header + length, size) - header);
}
