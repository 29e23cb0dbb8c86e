#include "client/cli_events.h"

#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <msgpack.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/cli_histogram.h"
#include "client/cli_json.h"
#include "client/cli_output.h"
#include "client/cli_parse.h"
#include "client/cli_signal.h"

#define REGION_WIDTH 16
/* While nothing happens, so often somebody looks whether standard output is still there. */
#define LOOK_MS 1000

enum { OPTION_COUNT };

const struct cli_option cli_events_options[] = {
    {"count", "COUNT", 'N', NULL, 'n'},
    {NULL, NULL, 0, NULL, 0},
};

struct listener {
    struct cli *cli;
    const struct cli_arguments *arguments;
    uint64_t left;  /* events to be printed */
    bool is_again;  /* it was subscribed before */
    bool has_ended; /* for this reason: */
    struct mregion_error end;
};

/* ---- Which ---- */

/* A region as -r has it, by its name or written "#7". */
static bool is_region(const char *wanted, const struct mregion_event *event)
{
    char number[32];

    (void)snprintf(number, sizeof number, "#%" PRIu64, event->region_id);
    return strcmp(wanted, event->region) == 0 || strcmp(wanted, number) == 0;
}

/* Whether it is one of those that are asked for; what is no region's concerns everybody. */
static bool is_wanted(const struct listener *listener, const struct mregion_event *event)
{
    const struct cli_arguments *arguments = listener->arguments;

    if (event->region[0] == '\0')
        return true;
    if (arguments->count == 0)
        return listener->cli->region == NULL || is_region(listener->cli->region, event);
    for (size_t i = 0; i < arguments->count; i++) {
        if (fnmatch(arguments->items[i], event->region, 0) == 0)
            return true;
    }
    return false;
}

/* ---- Printing ---- */

static void print_moment(const char *format, bool is_utc, const char *end)
{
    struct timespec now;
    struct tm tm;
    char text[64];

    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)(is_utc ? gmtime_r(&now.tv_sec, &tm) : localtime_r(&now.tv_sec, &tm));
    (void)strftime(text, sizeof text, format, &tm);
    (void)printf("%s.%03ld%s", text, now.tv_nsec / 1000000, end);
}

/* All that the server has told, with the time in front. */
static void print_json(const struct listener *listener, const struct mregion_event *event)
{
    msgpack_unpacked unpacked;

    print_moment("{\"time\":\"%Y-%m-%dT%H:%M:%S", true, "Z\"");
    if (event->kind == MREGION_EVENT_SUBSCRIBED)
        (void)printf(",\"event\":\"subscribed\",\"again\":%s",
                     listener->is_again ? "true" : "false");
    msgpack_unpacked_init(&unpacked);
    if (event->map_size > 0 && msgpack_unpack_next(&unpacked, event->map, event->map_size, NULL) ==
                                   MSGPACK_UNPACK_SUCCESS) {
        const msgpack_object_map *map = &unpacked.data.via.map;

        for (uint32_t i = 0; i < map->size; i++) {
            const msgpack_object *key = &map->ptr[i].key;

            /* Of those that were lost here, too, the server does not know. */
            if (key->type != MSGPACK_OBJECT_STR ||
                (key->via.str.size == 4 && memcmp(key->via.str.ptr, "lost", 4) == 0))
                continue;
            (void)fputc(',', stdout);
            cli_json_write(stdout, key);
            (void)fputc(':', stdout);
            cli_json_write(stdout, &map->ptr[i].val);
        }
    }
    msgpack_unpacked_destroy(&unpacked);
    if (event->lost > 0)
        (void)printf(",\"lost\":%" PRIu64, event->lost);
    (void)fputs("}\n", stdout);
}

/* What the server calls a reason, on one line. */
static void print_printable(const char *text)
{
    cli_output_text(stdout, CLI_TABLE, text, strlen(text));
}

static void print_what(const struct listener *listener, const struct mregion_event *event)
{
    char time[CLI_HISTOGRAM_TIME_SIZE];

    print_printable(event->name);
    switch (event->kind) {
    case MREGION_EVENT_SUBSCRIBED:
        (void)fputs(listener->is_again ? " again: events may be missing" : "", stdout);
        break;
    case MREGION_EVENT_CORRUPT:
        if (event->pages > 0)
            (void)printf(": %" PRIu64 " more damaged pages", event->pages);
        else
            (void)printf(": damaged page at %" PRIu64, event->page);
        break;
    case MREGION_EVENT_READ_ONLY:
        (void)fputs(": ", stdout);
        print_printable(event->text);
        break;
    case MREGION_EVENT_RENAMED:
        (void)fputs(": was ", stdout);
        print_printable(event->text);
        break;
    case MREGION_EVENT_CHECKPOINT:
        cli_histogram_format(event->duration_us, time);
        (void)printf(": took %s", time);
        break;
    default:
        break;
    }
    if (event->lost > 0)
        (void)printf(" (%" PRIu64 " events before it were missed)", event->lost);
}

static void print_line(const struct listener *listener, const struct mregion_event *event)
{
    const char *region = event->region[0] != '\0' ? event->region : "-";

    if (listener->cli->form == CLI_TABLE) {
        print_moment("%Y-%m-%d %H:%M:%S", false, "");
        (void)printf("  %-*s  ", REGION_WIDTH, region);
    } else {
        print_moment("%Y-%m-%dT%H:%M:%S", true, "Z");
        (void)printf("\t%s\t", region);
    }
    print_what(listener, event);
    (void)putchar('\n');
}

static void on_event(struct mregion *connection, const struct mregion_event *event, void *data)
{
    struct listener *listener = data;

    (void)connection;
    if (event->kind == MREGION_EVENT_ENDED) {
        listener->has_ended = true;
        listener->end.code = event->code;
        (void)snprintf(listener->end.text, sizeof listener->end.text, "%s", event->text);
        return;
    }
    if (listener->left == 0 || !is_wanted(listener, event))
        return;
    if (listener->cli->form == CLI_JSON)
        print_json(listener, event);
    else
        print_line(listener, event);
    if (event->kind == MREGION_EVENT_SUBSCRIBED)
        listener->is_again = true;
    else if (listener->left != UINT64_MAX)
        listener->left--;
}

/* ---- The command ---- */

static bool is_output_closed(void)
{
    struct pollfd output = {.fd = STDOUT_FILENO};

    return poll(&output, 1, 0) > 0 && (output.revents & (POLLERR | POLLNVAL)) != 0;
}

/* Ctrl-C is how it ends, and no failure. */
static int listen_until_end(struct listener *listener, int fd)
{
    struct cli *cli = listener->cli;
    int status = CLI_OK;

    while (status == CLI_OK && listener->left > 0 && !listener->has_ended) {
        enum cli_signal_wait what = cli_signal_wait(fd, LOOK_MS);

        if (what == CLI_SIGNAL_CAME) {
            cli_signal_clear();
            return CLI_OK;
        }
        mregion_process(cli->connection);
        status = cli_output_flush(cli);
        if (status == CLI_OK && what == CLI_SIGNAL_TIME && is_output_closed())
            status =
                cli_fail(cli, CLI_LOCAL_IO, "standard output: cannot write: %s", strerror(EPIPE));
    }
    if (status == CLI_OK && listener->has_ended)
        status = cli_fail_library(cli, &listener->end, NULL);
    return status;
}

int cli_events(struct cli *cli, const struct cli_arguments *arguments)
{
    struct listener listener = {.cli = cli, .arguments = arguments, .left = UINT64_MAX};
    const char *count = arguments->options[OPTION_COUNT];
    struct mregion_events *events = NULL;
    struct mregion_error error;
    int status, fd;

    if (count != NULL && (!cli_parse_number(count, &listener.left) || listener.left == 0))
        return cli_fail(cli, CLI_USAGE, "events: --count: \"%s\" is not " CLI_PARSE_NUMBER, count);
    status = cli_connect(cli);
    if (status != CLI_OK)
        return status;
    if (mregion_fd(cli->connection, &fd, &error) != MREGION_OK ||
        mregion_async_events(cli->connection, on_event, &listener, &events, &error) != MREGION_OK)
        return cli_fail_library(cli, &error, NULL);
    status = listen_until_end(&listener, fd);
    mregion_events_close(events);
    return status;
}
