#include "client/request.h"

#include <string.h>

#include "client/error.h"
#include "client/region_id.h"
#include "core/limits.h"

/* ---- Checks ---- */

static int check_region(const char *region, struct mregion_error *error)
{
    uint64_t id;

    if (region == NULL || region[0] == '\0')
        return error_set(error, MREGION_ERR_ARGUMENT, "the region's name is missing");
    if (strlen(region) > 4 * REGION_NAME_MAX)
        return error_set(error, MREGION_ERR_ARGUMENT,
                         "a region's name has at most %d characters, not %zu", REGION_NAME_MAX,
                         strlen(region));
    if (region[0] == '#' && !region_id_parse(region, &id))
        return error_set(error, MREGION_ERR_ARGUMENT,
                         "a region's id is written #NUMBER, not \"%s\"", region);
    return MREGION_OK;
}

static int check_blob(const struct request *request, struct mregion_error *error)
{
    if (request->blob == NULL && request->blob_size > 0)
        return error_set(error, MREGION_ERR_ARGUMENT, "the blob's bytes are missing");
    if (request->blob_size > UINT32_MAX)
        return error_set(error, MREGION_ERR_ARGUMENT,
                         "a blob of 4 GiB or more does not fit one message");
    return MREGION_OK;
}

/* One whole array, which msgpack-c or the like has packed. */
static int check_params(const struct request *request, struct mregion_error *error)
{
    const uint8_t *bytes = request->params;
    struct frame_scanner scanner;
    uint64_t size;

    if (request->name == NULL || request->name[0] == '\0')
        return error_set(error, MREGION_ERR_ARGUMENT, "the method's name is missing");
    if (request->params == NULL)
        return MREGION_OK;
    frame_reset(&scanner);
    if (frame_scan(&scanner, bytes, request->params_size, UINT32_MAX, &size) != FRAME_COMPLETE ||
        size != request->params_size)
        return error_set(error, MREGION_ERR_ARGUMENT,
                         "the parameters are not one MessagePack object");
    if ((bytes[0] & 0xf0) != 0x90 && bytes[0] != 0xdc && bytes[0] != 0xdd)
        return error_set(error, MREGION_ERR_ARGUMENT, "the parameters are not an array");
    return MREGION_OK;
}

int request_check(const struct request *request, struct mregion_error *error)
{
    int code = MREGION_OK;

    if (request->is_batch) {
        code = check_region(request->region, error);
        return code != MREGION_OK ? code : check_blob(request, error);
    }
    if (request->method == METHODS)
        return check_params(request, error);
    if (request->sink == NULL && request->sink_size > 0)
        return error_set(error, MREGION_ERR_ARGUMENT, "the buffer for the blob is missing");
    const char *letters = methods[request->method].parameters;
    for (const char *letter = letters; *letter != '\0'; letter++) {
        if (*letter == 'R' || *letter == 'N')
            code = check_region(letter == letters ? request->region : request->second, error);
        else if (*letter == 'B')
            code = check_blob(request, error);
        if (code != MREGION_OK)
            break;
    }
    return code;
}

/* ---- Packing ---- */

static bool pack_text(msgpack_packer *packer, const char *text)
{
    return msgpack_pack_str(packer, strlen(text)) == 0 &&
           msgpack_pack_str_body(packer, text, strlen(text)) == 0;
}

static bool pack_region(msgpack_packer *packer, const char *region)
{
    uint64_t id;

    return region_id_parse(region, &id) ? msgpack_pack_uint64(packer, id) == 0
                                        : pack_text(packer, region);
}

/* ---- The head: up to a blob's bytes ---- */

/* How many values the options are: one map, or nothing. */
static unsigned options_of(const struct request *request, const uint8_t *token)
{
    return request->options_count > 0 || token != NULL ? 1 : 0;
}

/* The blob comes last and without its bytes. */
static bool pack_params(msgpack_packer *packer, const struct request *request, const char *letters)
{
    unsigned number = 0;
    bool is_named = false;

    for (; *letters != '\0'; letters++) {
        bool done = false;

        switch (*letters) {
        case 'R':
            done = pack_region(packer, request->region);
            break;
        case 'N':
            done = pack_text(packer, is_named ? request->second : request->region);
            break;
        case 'S':
            done = request->numbers[number] == NO_SIZE
                       ? msgpack_pack_nil(packer) == 0
                       : msgpack_pack_uint64(packer, request->numbers[number]) == 0;
            number++;
            break;
        case 'U':
            done = msgpack_pack_uint64(packer, request->numbers[number++]) == 0;
            break;
        case 'B':
            done = msgpack_pack_bin(packer, (size_t)request->blob_size) == 0;
            break;
        }
        if (!done)
            return false;
        is_named |= *letters == 'R' || *letters == 'N';
    }
    return true;
}

static bool pack_call(msgpack_packer *packer, const struct request *request, unsigned options)
{
    if (request->method != METHODS) {
        const struct method *method = &methods[request->method];

        return pack_text(packer, method->name) &&
               msgpack_pack_array(packer, strlen(method->parameters) + options) == 0 &&
               pack_params(packer, request, method->parameters);
    }
    if (!pack_text(packer, request->name))
        return false;
    if (request->is_batch)
        return msgpack_pack_array(packer, 2 + options) == 0 && pack_region(packer, request->region);
    return request->params == NULL
               ? msgpack_pack_array(packer, 0) == 0
               : packer->callback(packer->data, request->params, request->params_size) == 0;
}

bool request_pack(const struct request *request, const uint8_t *token, uint32_t msgid,
                  msgpack_sbuffer *buffer)
{
    msgpack_packer packer;

    msgpack_packer_init(&packer, buffer, msgpack_sbuffer_write);
    return msgpack_pack_array(&packer, 4) == 0 && msgpack_pack_uint8(&packer, 0) == 0 &&
           msgpack_pack_uint32(&packer, msgid) == 0 &&
           pack_call(&packer, request, options_of(request, token));
}

bool request_pack_change(const struct request *request, msgpack_sbuffer *buffer)
{
    const struct method *method = &methods[request->method];
    const char *behind_region = method->parameters + 1;
    msgpack_packer packer;

    msgpack_packer_init(&packer, buffer, msgpack_sbuffer_write);
    return msgpack_pack_array(&packer, 1 + strlen(behind_region)) == 0 &&
           pack_text(&packer, method->name) && pack_params(&packer, request, behind_region);
}

bool request_pack_notification(const struct request *request, msgpack_sbuffer *buffer)
{
    msgpack_packer packer;

    msgpack_packer_init(&packer, buffer, msgpack_sbuffer_write);
    return msgpack_pack_array(&packer, 3) == 0 && msgpack_pack_uint8(&packer, 2) == 0 &&
           pack_call(&packer, request, 0);
}

/* ---- The tail: the options ---- */

static bool pack_option(msgpack_packer *packer, const struct option *option)
{
    return pack_text(packer, option->key) &&
           (option->word != NULL ? pack_text(packer, option->word)
                                 : msgpack_pack_uint64(packer, option->number) == 0);
}

bool request_pack_tail(const struct request *request, const uint8_t *token, msgpack_sbuffer *buffer)
{
    msgpack_packer packer;

    if (options_of(request, token) == 0)
        return true;
    msgpack_packer_init(&packer, buffer, msgpack_sbuffer_write);
    if (msgpack_pack_map(&packer, request->options_count + (token != NULL)) != 0)
        return false;
    for (unsigned i = 0; i < request->options_count; i++)
        if (!pack_option(&packer, &request->options[i]))
            return false;
    return token == NULL || (pack_text(&packer, "token") &&
                             msgpack_pack_bin_with_body(&packer, token, MREGION_TOKEN_SIZE) == 0);
}

/* ---- What it does ---- */

bool request_only_reads(const struct request *request)
{
    enum method_id method = request->method;

    if (method == METHODS)
        method = method_find(request->name, strlen(request->name));
    return method != METHODS &&
           (methods[method].access <= METHOD_OPEN || methods[method].access == METHOD_LOGIN);
}

bool request_takes_token(const struct request *request)
{
    return request->is_batch || (request->method != METHODS && method_takes_token(request->method));
}
