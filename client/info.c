/* Results that are maps, and the list of regions. */
#include <stdlib.h>
#include <string.h>

#include "client/call.h"
#include "client/error.h"
#include "client/info.h"
#include "client/request.h"

/* ---- Maps into structs ---- */

enum field_kind { FIELD_NUMBER, FIELD_TEXT, FIELD_BOOL };

struct field {
    const char *key;
    enum field_kind kind;
    size_t offset;
    size_t size;
};

#define FIELD(type, key, kind, member)                                                             \
    {                                                                                              \
        key, kind, offsetof(struct type, member), sizeof(((struct type *)NULL)->member)            \
    }

static const struct field memory_fields[] = {
    FIELD(mregion_memory_info, "pages", FIELD_NUMBER, pages),
    FIELD(mregion_memory_info, "size", FIELD_NUMBER, size),
    FIELD(mregion_memory_info, "capacity", FIELD_NUMBER, capacity),
    FIELD(mregion_memory_info, "allocated", FIELD_NUMBER, allocated),
    FIELD(mregion_memory_info, "deallocated", FIELD_NUMBER, deallocated),
    {0},
};

static const struct field region_fields[] = {
    FIELD(mregion_region_info, "id", FIELD_NUMBER, id),
    FIELD(mregion_region_info, "name", FIELD_TEXT, name),
    FIELD(mregion_region_info, "uuid", FIELD_TEXT, uuid),
    FIELD(mregion_region_info, "durability", FIELD_TEXT, durability),
    FIELD(mregion_region_info, "fit", FIELD_TEXT, fit),
    FIELD(mregion_region_info, "format", FIELD_NUMBER, format),
    FIELD(mregion_region_info, "flush_interval", FIELD_NUMBER, flush_interval_ms),
    FIELD(mregion_region_info, "max_size", FIELD_NUMBER, max_size),
    FIELD(mregion_region_info, "journal_size", FIELD_NUMBER, journal_size),
    FIELD(mregion_region_info, "pages", FIELD_NUMBER, memory.pages),
    FIELD(mregion_region_info, "size", FIELD_NUMBER, memory.size),
    FIELD(mregion_region_info, "capacity", FIELD_NUMBER, memory.capacity),
    FIELD(mregion_region_info, "allocated", FIELD_NUMBER, memory.allocated),
    FIELD(mregion_region_info, "deallocated", FIELD_NUMBER, memory.deallocated),
    FIELD(mregion_region_info, "free_blocks", FIELD_NUMBER, free_blocks),
    FIELD(mregion_region_info, "largest_free", FIELD_NUMBER, largest_free),
    FIELD(mregion_region_info, "read_only", FIELD_BOOL, read_only),
    {0},
};

static const struct field server_fields[] = {
    FIELD(mregion_server_info, "name", FIELD_TEXT, name),
    FIELD(mregion_server_info, "version", FIELD_TEXT, version),
    FIELD(mregion_server_info, "protocol", FIELD_NUMBER, protocol),
    FIELD(mregion_server_info, "uptime_s", FIELD_NUMBER, uptime_s),
    FIELD(mregion_server_info, "connections", FIELD_NUMBER, connections),
    FIELD(mregion_server_info, "max_message", FIELD_NUMBER, max_message),
    {0},
};

static bool is_text(struct value value)
{
    return value.type == VALUE_STR || value.type == VALUE_BIN;
}

/* False when the value is not of the field's kind; a text that is too long is cut. */
static bool put_field(const struct field *field, struct value value, void *target)
{
    char *at = (char *)target + field->offset;
    size_t length;

    switch (field->kind) {
    case FIELD_NUMBER:
        if (value.type != VALUE_UINT)
            return false;
        memcpy(at, &value.number, sizeof value.number);
        return true;
    case FIELD_BOOL:
        if (value.type != VALUE_BOOL)
            return false;
        memcpy(at, &value.boolean, sizeof value.boolean);
        return true;
    case FIELD_TEXT:
        if (!is_text(value))
            return false;
        length = value.raw.size < field->size ? value.raw.size : field->size - 1;
        memcpy(at, value.raw.bytes, length);
        at[length] = '\0';
        return true;
    }
    return false;
}

static const struct field *find_field(const struct field *fields, struct value key)
{
    for (; fields->key != NULL; fields++)
        if (strlen(fields->key) == key.raw.size &&
            memcmp(fields->key, key.raw.bytes, key.raw.size) == 0)
            return fields;
    return NULL;
}

/* Reads a map into a struct; keys that are not known are left out. */
static int take_map(struct cursor cursor, const struct field *fields, void *target,
                    struct mregion_error *error)
{
    struct value map = cursor_next(&cursor);

    if (map.type != VALUE_MAP)
        return reply_unexpected(error);
    for (uint32_t i = 0; i < map.count; i++) {
        struct value key = cursor_next(&cursor);
        struct cursor value = cursor;
        const struct field *field;

        if (!is_text(key))
            return reply_unexpected(error);
        field = find_field(fields, key);
        if (field != NULL && !put_field(field, cursor_next(&value), target))
            return reply_unexpected(error);
        cursor_skip(&cursor);
    }
    return MREGION_OK;
}

/* target is size bytes, left alone on failure. */
static int ask(struct mregion *connection, const struct request *request,
               const struct field *fields, void *target, size_t size, struct mregion_error *error)
{
    union {
        struct mregion_memory_info memory;
        struct mregion_region_info region;
        struct mregion_server_info server;
    } info;
    struct reply reply = {0};
    int code = call(connection, request, &reply, error);

    if (code != MREGION_OK)
        return code;
    memset(&info, 0, sizeof info);
    code = take_map(reply_cursor(&reply), fields, &info, error);
    if (code == MREGION_OK)
        memcpy(target, &info, size);
    reply_release(&reply);
    return code;
}

int mregion_memory_info(struct mregion *connection, const char *region,
                        struct mregion_memory_info *ret_info, struct mregion_error *error)
{
    struct request request = {.method = METHOD_MEMORY_INFO, .region = region};

    return ask(connection, &request, memory_fields, ret_info, sizeof *ret_info, error);
}

int mregion_region_info(struct mregion *connection, const char *region,
                        struct mregion_region_info *ret_info, struct mregion_error *error)
{
    struct request request = {.method = METHOD_REGION_INFO, .region = region};

    return ask(connection, &request, region_fields, ret_info, sizeof *ret_info, error);
}

int mregion_server_info(struct mregion *connection, struct mregion_server_info *ret_info,
                        struct mregion_error *error)
{
    struct request request = {.method = METHOD_SERVER_INFO};

    return ask(connection, &request, server_fields, ret_info, sizeof *ret_info, error);
}

/* A server that does not tell takes what the shipped configuration says. */
#define MAX_MESSAGE_DEFAULT ((uint64_t)64 << 20)

int info_max_message(struct mregion *connection, uint64_t *ret_max_message,
                     struct mregion_error *error)
{
    struct mregion_server_info info;

    if (connection->fd < 0 || connection->max_message == 0) {
        int code = mregion_server_info(connection, &info, error);

        if (code != MREGION_OK)
            return code;
        connection->max_message = info.max_message != 0 ? info.max_message : MAX_MESSAGE_DEFAULT;
    }
    *ret_max_message = connection->max_message;
    return MREGION_OK;
}

int info_pack(struct mregion *connection, const struct pending *pending,
              struct mregion_error *error)
{
    struct request request = {.method = METHOD_SERVER_INFO};
    size_t begin = connection->out.size;

    if (request_pack(&request, NULL, pending_msgid(pending), &connection->out))
        return MREGION_OK;
    connection->out.size = begin;
    return error_no_memory(error);
}

/* A server that does not say takes what is the default. */
void info_take(struct mregion *connection, const struct pending *pending)
{
    struct mregion_server_info info = {.max_message = 0};
    struct cursor cursor = {.at = pending->result, .end = pending->result + pending->result_size};

    connection->max_message = MAX_MESSAGE_DEFAULT;
    if (pending->state == PENDING_ANSWERED && pending->result_size > 0 &&
        take_map(cursor, server_fields, &info, NULL) == MREGION_OK && info.max_message != 0)
        connection->max_message = info.max_message;
}

/* ---- The list of regions ---- */

/* Where the pointers end and the characters begin is known once the names are counted: one pass
 * adds up, one copies. */
static int take_names(struct cursor cursor, char ***ret_names, size_t *ret_count,
                      struct mregion_error *error)
{
    struct value list = cursor_next(&cursor);
    struct cursor first = cursor;
    size_t characters = 0;
    char **names, *to;

    if (list.type != VALUE_ARRAY)
        return reply_unexpected(error);
    for (uint32_t i = 0; i < list.count; i++) {
        struct value name = cursor_next(&cursor);

        if (!is_text(name))
            return reply_unexpected(error);
        characters += (size_t)name.raw.size + 1;
    }
    names = malloc(((size_t)list.count + 1) * sizeof *names + characters);
    if (names == NULL)
        return error_no_memory(error);
    to = (char *)(names + list.count + 1);
    for (uint32_t i = 0; i < list.count; i++) {
        struct value name = cursor_next(&first);

        names[i] = to;
        memcpy(to, name.raw.bytes, name.raw.size);
        to[name.raw.size] = '\0';
        to += (size_t)name.raw.size + 1;
    }
    names[list.count] = NULL;
    *ret_names = names;
    *ret_count = list.count;
    return MREGION_OK;
}

int mregion_list_regions(struct mregion *connection, char ***ret_names, size_t *ret_count,
                         struct mregion_error *error)
{
    struct request request = {.method = METHOD_LIST_REGIONS};
    struct reply reply = {0};
    int code = call(connection, &request, &reply, error);

    if (code != MREGION_OK)
        return code;
    code = take_names(reply_cursor(&reply), ret_names, ret_count, error);
    reply_release(&reply);
    return code;
}
