#include "client/cli_connections.h"

#include <inttypes.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/cli_json.h"
#include "client/cli_output.h"
#include "client/cli_table.h"
#include "client/cli_terminal.h"
#include "client/cli_values.h"

/* As many as a server can be made to take. */
#define COUNT_MAX 100000

/* ---- Parts ---- */

/* False: enough. */
typedef bool visit(const msgpack_object *connection, void *context);

static int visit_all(struct cli *cli, visit *function, void *context, struct mregion_error *error)
{
    uint64_t after = 0;
    bool goes_on = true;

    while (goes_on) {
        struct cli_answer answer = {.is_there = false};
        const msgpack_object *list;
        uint32_t count;
        int code = cli_answer_call_option(cli, "connections", "after", cli_object_number(after),
                                          &answer, error);

        if (code != MREGION_OK)
            return code;
        list = cli_value(&answer.unpacked.data, "connections");
        count = list != NULL && list->type == MSGPACK_OBJECT_ARRAY ? list->via.array.size : 0;
        goes_on = count > 0 && cli_value_bool(&answer.unpacked.data, "more");
        for (uint32_t i = 0; i < count; i++) {
            after = cli_value_number(&list->via.array.ptr[i], "id");
            if (!function(&list->via.array.ptr[i], context)) {
                goes_on = false;
                break;
            }
        }
        cli_answer_release(&answer);
    }
    return MREGION_OK;
}

/* ---- Lists ---- */

static void read_one(const msgpack_object *map, struct cli_connection *ret)
{
    *ret = (struct cli_connection){
        .id = cli_value_number(map, "id"),
        .since = cli_value_number(map, "since"),
        .idle_ms = cli_value_number(map, "idle_ms"),
        .requests = cli_value_number(map, "requests"),
        .received = cli_value_number(map, "bytes_received"),
        .sent = cli_value_number(map, "bytes_sent"),
        .in_flight = cli_value_number(map, "in_flight"),
        .buffered = cli_value_number(map, "buffered"),
    };
    cli_value_text(map, "peer", ret->peer, sizeof ret->peer);
    cli_value_text(map, "user", ret->user, sizeof ret->user);
}

struct gathering {
    struct cli_connections *list;
    size_t capacity;
    bool has_failed;
};

static bool gather(const msgpack_object *connection, void *context)
{
    struct gathering *gathering = context;
    struct cli_connections *list = gathering->list;

    if (list->count == gathering->capacity) {
        size_t capacity = gathering->capacity == 0 ? 64 : 2 * gathering->capacity;
        struct cli_connection *items = realloc(list->items, capacity * sizeof *items);

        gathering->has_failed = items == NULL;
        if (gathering->has_failed)
            return false;
        list->items = items;
        gathering->capacity = capacity;
    }
    read_one(connection, &list->items[list->count++]);
    return list->count < COUNT_MAX;
}

int cli_connections_fetch(struct cli *cli, struct cli_connections *ret_list,
                          struct mregion_error *error)
{
    struct cli_connections list = {.items = NULL};
    struct gathering gathering = {.list = &list};
    int code = visit_all(cli, gather, &gathering, error);

    if (code == MREGION_OK && gathering.has_failed)
        code = cli_answer_no_memory(error);
    if (code == MREGION_OK)
        *ret_list = list;
    else
        cli_connections_release(&list);
    return code;
}

void cli_connections_release(struct cli_connections *list)
{
    free(list->items);
    *list = (struct cli_connections){.items = NULL};
}

/* ---- What has come since ---- */

static double per_second(uint64_t now, uint64_t before, double seconds)
{
    return now > before ? (double)(now - before) / seconds : 0;
}

static int by_id(const void *a, const void *b)
{
    const struct cli_connection *one = a, *other = b;

    return one->id < other->id ? -1 : one->id > other->id;
}

static int by_rate(const void *a, const void *b)
{
    const struct cli_connection *one = a, *other = b;
    double bytes = one->rate_in + one->rate_out, other_bytes = other->rate_in + other->rate_out;

    if (one->rate != other->rate)
        return one->rate > other->rate ? -1 : 1;
    if (bytes != other_bytes)
        return bytes > other_bytes ? -1 : 1;
    return by_id(a, b);
}

static void sort(struct cli_connections *list, int (*compare)(const void *a, const void *b))
{
    if (list->count > 0)
        qsort(list->items, list->count, sizeof *list->items, compare);
}

static void compare(struct cli_connections *list, const struct cli_connections *before,
                    double seconds)
{
    static const struct cli_connection none;
    double now = (double)time(NULL);
    size_t at = 0;

    for (size_t i = 0; i < list->count; i++) {
        struct cli_connection *one = &list->items[i];
        const struct cli_connection *old = &none;
        double span = before->count > 0 ? seconds : now - (double)one->since;

        while (at < before->count && before->items[at].id < one->id)
            at++;
        if (at < before->count && before->items[at].id == one->id)
            old = &before->items[at];
        if (before->count == 0 && span < 1)
            span = 1; /* the clocks may differ */
        one->rate = per_second(one->requests, old->requests, span);
        one->rate_in = per_second(one->received, old->received, span);
        one->rate_out = per_second(one->sent, old->sent, span);
    }
}

void cli_connections_rank(struct cli_connections *list, struct cli_connections *before,
                          double seconds)
{
    sort(before, by_id);
    compare(list, before, seconds);
    sort(list, by_rate);
}

void cli_connections_format_age(uint64_t seconds, char text[CLI_CONNECTIONS_AGE_SIZE])
{
    static const struct {
        uint64_t seconds;
        char unit;
    } units[] = {{24 * 60 * 60, 'd'}, {60 * 60, 'h'}, {60, 'm'}, {1, 's'}};
    size_t i = 0;

    /* Two of a unit at least: 90 minutes are not an hour. */
    while (units[i].seconds > 1 && seconds < 2 * units[i].seconds)
        i++;
    (void)snprintf(text, CLI_CONNECTIONS_AGE_SIZE, "%" PRIu64 "%c", seconds / units[i].seconds,
                   units[i].unit);
}

/* ---- The command ---- */

static const struct cli_column columns[] = {
    {"CONNECTION", CLI_CUT}, {"USER", CLI_LEFT}, {"AGE", CLI_RIGHT}, {"IDLE", CLI_RIGHT},
    {"REQUESTS", CLI_RIGHT}, {"IN", CLI_RIGHT},  {"OUT", CLI_RIGHT}, {"FLIGHT", CLI_RIGHT},
    {"BUFFERED", CLI_RIGHT}, {NULL, CLI_LEFT},
};

static void put_age(struct cli_table *table, uint64_t seconds)
{
    char text[CLI_CONNECTIONS_AGE_SIZE];

    cli_connections_format_age(seconds, text);
    cli_table_put(table, "%s", text);
}

static void put_row(struct cli_table *table, const struct cli_connection *one)
{
    uint64_t now = (uint64_t)time(NULL);

    cli_table_put(table, "%s", one->peer);
    cli_table_put(table, "%s", one->user[0] != '\0' ? one->user : "-");
    put_age(table, now > one->since ? now - one->since : 0);
    put_age(table, one->idle_ms / 1000);
    cli_table_put(table, "%" PRIu64, one->requests);
    cli_table_put_size(table, one->received);
    cli_table_put_size(table, one->sent);
    cli_table_put(table, "%" PRIu64, one->in_flight);
    cli_table_put_size(table, one->buffered);
}

static int print_table(struct cli *cli)
{
    struct cli_connections list = {.items = NULL};
    struct cli_terminal terminal;
    struct mregion_error error;
    struct cli_table *table;

    if (cli_connections_fetch(cli, &list, &error) != MREGION_OK)
        return cli_fail_library(cli, &error, NULL);
    cli_terminal_look(&terminal);
    table = cli_table_new(columns, terminal.is_terminal ? terminal.columns : 0);
    for (size_t i = 0; table != NULL && i < list.count; i++)
        put_row(table, &list.items[i]);
    cli_connections_release(&list);
    return cli_table_print(cli, table);
}

static bool print_raw(const msgpack_object *connection, void *context)
{
    struct cli_connection one;

    (void)context;
    read_one(connection, &one);
    (void)printf("%" PRIu64 "\t%s\t%s\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64
                 "\t%" PRIu64 "\t%" PRIu64 "\n",
                 one.id, one.peer, one.user, one.since, one.idle_ms, one.requests, one.received,
                 one.sent, one.in_flight, one.buffered);
    return !ferror(stdout);
}

static bool print_json(const msgpack_object *connection, void *context)
{
    bool *has_first = context;

    (void)fputs(*has_first ? "," : "[", stdout);
    *has_first = true;
    cli_json_write(stdout, connection);
    return !ferror(stdout);
}

/* Each as it comes. */
static int print_all(struct cli *cli)
{
    struct mregion_error error;
    bool has_first = false;
    int code = visit_all(cli, cli->form == CLI_JSON ? print_json : print_raw, &has_first, &error);

    if (code != MREGION_OK)
        return cli_fail_library(cli, &error, NULL);
    if (cli->form == CLI_JSON)
        (void)fputs(has_first ? "]\n" : "[]\n", stdout);
    return CLI_OK;
}

int cli_connections(struct cli *cli, const struct cli_arguments *arguments)
{
    int status = cli_connect(cli);

    (void)arguments;
    if (status != CLI_OK)
        return status;
    return cli->form == CLI_TABLE ? print_table(cli) : print_all(cli);
}
