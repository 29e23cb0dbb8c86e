/* Settings by name: those of a region, which are changed, and the server's, which are read. */
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "client/call.h"
#include "client/error.h"
#include "client/region_id.h"

/* ---- setRegion ---- */

/* What is a number is sent as one: some options are never anything else. */
static struct option option_of(const struct mregion_setting *setting)
{
    struct option option = {.key = setting->name, .word = setting->value};

    if (decimal_parse(setting->value, &option.number))
        option.word = NULL;
    return option;
}

int mregion_set_region(struct mregion *connection, const char *region,
                       const struct mregion_setting *settings, size_t count,
                       struct mregion_error *error)
{
    struct request request = {.method = METHOD_SET_REGION, .region = region};

    if (count > OPTIONS_MAX)
        return error_set(error, MREGION_ERR_ARGUMENT,
                         "a region has fewer options than the %zu that are given", count);
    for (size_t i = 0; i < count; i++) {
        if (settings[i].name == NULL || settings[i].value == NULL)
            return error_set(error, MREGION_ERR_ARGUMENT, "a setting's name or value is missing");
        request.options[request.options_count++] = option_of(&settings[i]);
    }
    return call_for_nothing(connection, &request, error);
}

/* ---- configGet ---- */

struct texts {
    struct value name, value,
        after_restart; /* their type is that of a string, where they are there */
};

static bool is_text(struct value value)
{
    return value.type == VALUE_STR || value.type == VALUE_BIN;
}

static bool is_key(struct value key, const char *name)
{
    return key.raw.size == strlen(name) && memcmp(key.raw.bytes, name, key.raw.size) == 0;
}

/* A name and its map. False where the answer is not what the method promises. */
static bool read_texts(struct cursor *cursor, struct texts *ret_texts)
{
    struct texts texts = {.name = cursor_next(cursor)};
    struct value map = cursor_next(cursor);

    if (!is_text(texts.name) || map.type != VALUE_MAP)
        return false;
    for (uint32_t i = 0; i < map.count; i++) {
        struct value key = cursor_next(cursor);
        struct cursor at = *cursor;

        if (!is_text(key))
            return false;
        if (is_key(key, "value"))
            texts.value = cursor_next(&at);
        else if (is_key(key, "after_restart"))
            texts.after_restart = cursor_next(&at);
        cursor_skip(cursor);
    }
    *ret_texts = texts;
    return is_text(texts.value);
}

static size_t size_of(struct value text)
{
    return is_text(text) ? (size_t)text.raw.size + 1 : 0;
}

static const char *put(struct value text, char **to)
{
    char *start = *to;

    if (!is_text(text))
        return NULL;
    memcpy(start, text.raw.bytes, text.raw.size);
    start[text.raw.size] = '\0';
    *to += size_of(text);
    return start;
}

/* Where the array ends and the characters begin is known once they are counted: one pass adds up,
 * one copies. */
static int take_settings(struct cursor cursor, struct mregion_setting **ret_settings,
                         size_t *ret_count, struct mregion_error *error)
{
    struct value map = cursor_next(&cursor);
    struct cursor first = cursor;
    struct mregion_setting *settings;
    struct texts texts;
    size_t characters = 0;
    char *to;

    if (map.type != VALUE_MAP)
        return reply_unexpected(error);
    for (uint32_t i = 0; i < map.count; i++) {
        if (!read_texts(&cursor, &texts))
            return reply_unexpected(error);
        characters += size_of(texts.name) + size_of(texts.value) + size_of(texts.after_restart);
    }
    settings = calloc(1, ((size_t)map.count + 1) * sizeof *settings + characters);
    if (settings == NULL)
        return error_no_memory(error);
    to = (char *)(settings + map.count + 1);
    for (uint32_t i = 0; i < map.count; i++) {
        (void)read_texts(&first, &texts);
        settings[i].name = put(texts.name, &to);
        settings[i].value = put(texts.value, &to);
        settings[i].after_restart = put(texts.after_restart, &to);
    }
    *ret_settings = settings;
    *ret_count = map.count;
    return MREGION_OK;
}

/* [pattern]: of any length, unlike the names that other methods take. */
static int ask(struct mregion *connection, const char *pattern, struct reply *ret_reply,
               struct mregion_error *error)
{
    struct request request = {.method = METHODS, .name = "configGet"};
    msgpack_sbuffer params;
    msgpack_packer packer;
    int code;

    if (pattern == NULL)
        return error_set(error, MREGION_ERR_ARGUMENT, "the pattern is missing");
    msgpack_sbuffer_init(&params);
    msgpack_packer_init(&packer, &params, msgpack_sbuffer_write);
    if (msgpack_pack_array(&packer, 1) == 0 &&
        msgpack_pack_str_with_body(&packer, pattern, strlen(pattern)) == 0) {
        request.params = params.data;
        request.params_size = params.size;
        code = call(connection, &request, ret_reply, error);
    } else {
        code = error_no_memory(error);
    }
    msgpack_sbuffer_destroy(&params);
    return code;
}

int mregion_config_get(struct mregion *connection, const char *pattern,
                       struct mregion_setting **ret_settings, size_t *ret_count,
                       struct mregion_error *error)
{
    struct reply reply = {0};
    int code = ask(connection, pattern, &reply, error);

    if (code != MREGION_OK)
        return code;
    code = take_settings(reply_cursor(&reply), ret_settings, ret_count, error);
    reply_release(&reply);
    return code;
}
