#include "client/cli_values.h"

#include <stdlib.h>
#include <string.h>

#include "client/cli_parse.h"

int cli_pack_region(msgpack_packer *packer, const char *region)
{
    uint64_t id;

    if (region[0] == '#' && cli_parse_number(region + 1, &id))
        return msgpack_pack_uint64(packer, id);
    return msgpack_pack_str_with_body(packer, region, strlen(region));
}

int cli_answer_no_memory(struct mregion_error *error)
{
    *error = (struct mregion_error){.code = MREGION_ERR_MEMORY, .text = "out of memory"};
    return error->code;
}

int cli_answer_call_packed(struct cli *cli, const char *method, const msgpack_sbuffer *params,
                           struct cli_answer *ret_answer, struct mregion_error *error)
{
    size_t size;
    int code = mregion_call(cli->connection, method, params->data, params->size, &ret_answer->bytes,
                            &size, error);
    int unpacked;

    if (code != MREGION_OK)
        return code;
    msgpack_unpacked_init(&ret_answer->unpacked);
    unpacked = msgpack_unpack_next(&ret_answer->unpacked, ret_answer->bytes, size, NULL);
    ret_answer->is_there = unpacked == MSGPACK_UNPACK_SUCCESS;
    if (ret_answer->is_there)
        return MREGION_OK;
    msgpack_unpacked_destroy(&ret_answer->unpacked);
    mregion_free(ret_answer->bytes);
    return cli_answer_no_memory(error);
}

int cli_answer_call(struct cli *cli, const char *method, const char *region,
                    struct cli_answer *ret_answer, struct mregion_error *error)
{
    msgpack_sbuffer params;
    msgpack_packer packer;
    int code;

    msgpack_sbuffer_init(&params);
    msgpack_packer_init(&packer, &params, msgpack_sbuffer_write);
    if (msgpack_pack_array(&packer, region != NULL) != 0 ||
        (region != NULL && cli_pack_region(&packer, region) != 0))
        code = cli_answer_no_memory(error);
    else
        code = cli_answer_call_packed(cli, method, &params, ret_answer, error);
    msgpack_sbuffer_destroy(&params);
    return code;
}

int cli_answer_call_option(struct cli *cli, const char *method, const char *key,
                           msgpack_object value, struct cli_answer *ret_answer,
                           struct mregion_error *error)
{
    msgpack_sbuffer params;
    msgpack_packer packer;
    int code;

    msgpack_sbuffer_init(&params);
    msgpack_packer_init(&packer, &params, msgpack_sbuffer_write);
    if (msgpack_pack_array(&packer, 1) != 0 || msgpack_pack_map(&packer, 1) != 0 ||
        msgpack_pack_str_with_body(&packer, key, strlen(key)) != 0 ||
        msgpack_pack_object(&packer, value) != 0)
        code = cli_answer_no_memory(error);
    else
        code = cli_answer_call_packed(cli, method, &params, ret_answer, error);
    msgpack_sbuffer_destroy(&params);
    return code;
}

static void release_one(struct cli_answer *answer)
{
    if (answer->is_there) {
        msgpack_unpacked_destroy(&answer->unpacked);
        mregion_free(answer->bytes);
    }
    answer->is_there = false;
}

void cli_answer_release(struct cli_answer *answer)
{
    struct cli_answer *rest = answer->rest;

    release_one(answer);
    answer->rest = NULL;
    while (rest != NULL) {
        struct cli_answer *next = rest->rest;

        release_one(rest);
        free(rest);
        rest = next;
    }
}

const msgpack_object *cli_value(const msgpack_object *object, const char *key)
{
    if (object == NULL || object->type != MSGPACK_OBJECT_MAP)
        return NULL;
    for (uint32_t i = 0; i < object->via.map.size; i++) {
        const msgpack_object_kv *entry = &object->via.map.ptr[i];

        if (entry->key.type == MSGPACK_OBJECT_STR && entry->key.via.str.size == strlen(key) &&
            memcmp(entry->key.via.str.ptr, key, strlen(key)) == 0)
            return &entry->val;
    }
    return NULL;
}

static void copy_text(const msgpack_object *value, char *ret_text, size_t size)
{
    size_t length = 0;

    if (value != NULL && value->type == MSGPACK_OBJECT_STR) {
        length = value->via.str.size < size ? value->via.str.size : size - 1;
        memcpy(ret_text, value->via.str.ptr, length);
    }
    ret_text[length] = '\0';
}

bool cli_value_key(const msgpack_object *object, uint32_t i, char *ret_name, size_t size)
{
    if (object == NULL || object->type != MSGPACK_OBJECT_MAP || i >= object->via.map.size)
        return false;
    copy_text(&object->via.map.ptr[i].key, ret_name, size);
    return ret_name[0] != '\0';
}

uint64_t cli_value_number(const msgpack_object *object, const char *key)
{
    const msgpack_object *value = cli_value(object, key);

    return value != NULL && value->type == MSGPACK_OBJECT_POSITIVE_INTEGER ? value->via.u64 : 0;
}

void cli_value_text(const msgpack_object *object, const char *key, char *ret_text, size_t size)
{
    copy_text(cli_value(object, key), ret_text, size);
}

bool cli_value_bool(const msgpack_object *object, const char *key)
{
    const msgpack_object *value = cli_value(object, key);

    return value != NULL && value->type == MSGPACK_OBJECT_BOOLEAN && value->via.boolean;
}

msgpack_object cli_object_number(uint64_t number)
{
    return (msgpack_object){.type = MSGPACK_OBJECT_POSITIVE_INTEGER, .via.u64 = number};
}

msgpack_object cli_object_text(const char *text)
{
    return (msgpack_object){.type = MSGPACK_OBJECT_STR,
                            .via.str = {.ptr = text, .size = (uint32_t)strlen(text)}};
}
