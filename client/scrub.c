/* A scrub may take hours: its answer is waited for as long as the server says in between that it is
 * there and at work. */
#include <string.h>

#include "client/call.h"
#include "client/error.h"
#include "client/patient.h"

/* ---- Maps ---- */

struct number {
    const char *key;
    uint64_t *ret_value;
};

static bool is_key(struct value key, const char *name)
{
    return (key.type == VALUE_STR || key.type == VALUE_BIN) && key.raw.size == strlen(name) &&
           memcmp(key.raw.bytes, name, key.raw.size) == 0;
}

/* The addresses of damaged pages, as many as there is room for: those of the last list, should
 * there be several. */
static bool take_damages(struct cursor cursor, struct mregion_scrub_result *result)
{
    struct value list = cursor_next(&cursor);

    if (list.type != VALUE_ARRAY)
        return false;
    result->damages_count = 0;
    while (result->damages_count < list.count && result->damages_count < MREGION_SCRUB_DAMAGES) {
        struct value address = cursor_next(&cursor);

        if (address.type != VALUE_UINT)
            return false;
        result->damages[result->damages_count++] = address.number;
    }
    return true;
}

/* Takes the numbers that are wanted, and into result, which may be NULL, the damaged pages. False
 * when the reply is no such map. */
static bool take_map(struct cursor cursor, const struct number *numbers, size_t count,
                     struct mregion_scrub_result *result)
{
    struct value map = cursor_next(&cursor);

    if (map.type != VALUE_MAP)
        return false;
    for (uint32_t i = 0; i < map.count; i++) {
        struct value key = cursor_next(&cursor);
        struct cursor at = cursor;

        if (result != NULL && is_key(key, "damages") && !take_damages(at, result))
            return false;
        for (size_t j = 0; j < count; j++) {
            struct value value;

            if (!is_key(key, numbers[j].key))
                continue;
            value = cursor_next(&at);
            if (value.type != VALUE_UINT)
                return false;
            *numbers[j].ret_value = value.number;
        }
        cursor_skip(&cursor);
    }
    return true;
}

/* ---- While it runs ---- */

/* Whether the server still answers; what it says goes to the progress callback. */
static int look(struct mregion *connection, const char *region, struct mregion_error *error)
{
    struct request request = {.method = METHOD_REGION_INFO, .region = region};
    uint64_t position = 0, size = 0;
    const struct number numbers[] = {{"scrub_position", &position}, {"size", &size}};
    struct reply reply = {0};
    int code = call(connection, &request, &reply, error);

    if (code != MREGION_OK)
        return code;
    if (!take_map(reply_cursor(&reply), numbers, 2, NULL))
        code = reply_unexpected(error);
    reply_release(&reply);
    if (code == MREGION_OK && connection->progress != NULL &&
        connection->progress(position, size, connection->progress_context) != 0)
        code = error_set(error, MREGION_ERR_CANCELED,
                         "canceled: the server goes on with the scrub by itself");
    return code;
}

static int wait_for_end(struct mregion *connection, const char *region, struct reply *ret_reply,
                        struct mregion_error *error)
{
    struct request request = {.method = METHOD_SCRUB, .region = region};

    return patient_call(connection, &request, look, "scrub", ret_reply, error);
}

int mregion_scrub(struct mregion *connection, const char *region,
                  struct mregion_scrub_result *ret_result, struct mregion_error *error)
{
    struct mregion_scrub_result result = {0};
    const struct number numbers[] = {{"pages", &result.pages},
                                     {"verified", &result.verified},
                                     {"unverified", &result.unverified},
                                     {"damaged", &result.damaged}};
    struct reply reply = {0};
    int code = wait_for_end(connection, region, &reply, error);

    /* It does no harm to ask again. */
    if (code == MREGION_ERR_LOST && connection->reconnects)
        code = wait_for_end(connection, region, &reply, error);
    if (code != MREGION_OK)
        return code;
    if (take_map(reply_cursor(&reply), numbers, sizeof numbers / sizeof numbers[0], &result))
        *ret_result = result;
    else
        code = reply_unexpected(error);
    reply_release(&reply);
    return code;
}
