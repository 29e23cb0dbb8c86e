#include <stdlib.h>
#include <string.h>

#include "client/cli_bench.h"
#include "client/cli_parse.h"

enum {
    OPTION_MIX,
    OPTION_SIZE,
    OPTION_CONNECTIONS,
    OPTION_PIPELINE,
    OPTION_RATE,
    OPTION_DURATION,
    OPTION_COUNT,
    OPTION_BLOBS,
    OPTION_DURABILITY
};

const struct cli_option cli_bench_options[] = {
    {"mix", "KIND=PART,...", 0, NULL, 'm'},
    {"size", "SIZE[-SIZE]", 0, NULL, 'S'},
    {"connections", "COUNT", 'N', NULL, 'c'},
    {"pipeline", "COUNT", 'N', NULL, 'p'},
    {"rate", "COUNT", 'N', NULL, 'R'},
    {"duration", "TIME", 'M', NULL, 'd'},
    {"count", "COUNT", 'N', NULL, 'n'},
    {"blobs", "COUNT", 'N', NULL, 'b'},
    {"durability", "sync, interval or none", 'T', NULL, 0},
    {NULL, NULL, 0, NULL, 0},
};

const char *const bench_names[BENCH_KINDS] = {"add", "load", "store", "remove"};

/* "add" of "add=10". */
static int kind_of(const char *text, size_t length)
{
    for (int kind = 0; kind < BENCH_KINDS; kind++) {
        if (strlen(bench_names[kind]) == length && memcmp(bench_names[kind], text, length) == 0)
            return kind;
    }
    return -1;
}

static bool parse_mix(const char *text, unsigned mix[BENCH_KINDS])
{
    unsigned sum = 0;

    memset(mix, 0, BENCH_KINDS * sizeof *mix);
    while (*text != '\0') {
        size_t length = strcspn(text, "="), part_length;
        int kind = kind_of(text, length);
        char part[8];
        uint64_t number;

        if (kind < 0 || text[length] != '=')
            return false;
        text += length + 1;
        part_length = strcspn(text, ",");
        if (part_length >= sizeof part)
            return false;
        memcpy(part, text, part_length);
        part[part_length] = '\0';
        if (!cli_parse_number(part, &number) || number > 10000)
            return false;
        sum += (unsigned)number - mix[kind];
        mix[kind] = (unsigned)number;
        text += part_length + (text[part_length] == ',');
    }
    return sum > 0;
}

static bool parse_sizes(const char *text, struct bench_plan *plan)
{
    const char *dash = strchr(text, '-');
    char least[32];

    if (dash == NULL) {
        if (!cli_parse_size(text, &plan->size_min))
            return false;
        plan->size_max = plan->size_min;
    } else {
        if ((size_t)(dash - text) >= sizeof least)
            return false;
        (void)snprintf(least, sizeof least, "%.*s", (int)(dash - text), text);
        if (!cli_parse_size(least, &plan->size_min) || !cli_parse_size(dash + 1, &plan->size_max))
            return false;
    }
    return plan->size_min >= 1 && plan->size_min <= plan->size_max &&
           plan->size_max <= BENCH_SIZE_MAX;
}

static int parse_number(const struct cli *cli, const struct cli_arguments *arguments, int option,
                        uint64_t most, uint64_t *ret_number)
{
    const char *text = arguments->options[option];

    if (text == NULL)
        return CLI_OK;
    if (cli_parse_number(text, ret_number) && *ret_number >= 1 && *ret_number <= most)
        return CLI_OK;
    return cli_fail(cli, CLI_USAGE, "bench: --%s: \"%s\" is not a whole number from 1 to %llu",
                    cli_bench_options[option].name, text, (unsigned long long)most);
}

int bench_parse(const struct cli *cli, const struct cli_arguments *arguments,
                struct bench_plan *ret_plan)
{
    const struct {
        int option;
        uint64_t most;
        uint64_t *number;
    } numbers[] = {
        {OPTION_CONNECTIONS, BENCH_CONNECTIONS_MAX, &ret_plan->connections},
        {OPTION_PIPELINE, BENCH_PIPELINE_MAX, &ret_plan->pipeline},
        {OPTION_RATE, 100000000, &ret_plan->rate},
        {OPTION_COUNT, (uint64_t)1 << 40, &ret_plan->count},
        {OPTION_BLOBS, BENCH_BLOBS_MAX, &ret_plan->blobs},
    };
    const char *const *options = arguments->options;
    int status = CLI_OK;

    *ret_plan = (struct bench_plan){.mix = {10, 80, 0, 10},
                                    .size_min = 4096,
                                    .size_max = 4096,
                                    .connections = 1,
                                    .pipeline = 1,
                                    .duration_ms = 10000,
                                    .blobs = 1000,
                                    .durability = options[OPTION_DURABILITY]};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers && status == CLI_OK; i++)
        status =
            parse_number(cli, arguments, numbers[i].option, numbers[i].most, numbers[i].number);
    if (status == CLI_OK && options[OPTION_MIX] != NULL &&
        !parse_mix(options[OPTION_MIX], ret_plan->mix))
        status = cli_fail(cli, CLI_USAGE,
                          "bench: --mix: \"%s\" is not like add=10,load=80,store=5,remove=5",
                          options[OPTION_MIX]);
    if (status == CLI_OK && options[OPTION_SIZE] != NULL &&
        !parse_sizes(options[OPTION_SIZE], ret_plan))
        status = cli_fail(cli, CLI_USAGE,
                          "bench: --size: \"%s\" is not a size such as 4KiB, or 1KiB-64KiB, of 1 "
                          "byte to 16 MiB",
                          options[OPTION_SIZE]);
    if (status == CLI_OK && options[OPTION_DURATION] != NULL &&
        (!cli_parse_time(options[OPTION_DURATION], &ret_plan->duration_ms) ||
         ret_plan->duration_ms == 0 || ret_plan->duration_ms > (uint64_t)24 * 3600 * 1000))
        status = cli_fail(cli, CLI_USAGE, "bench: --duration: \"%s\" is not " CLI_PARSE_TIME,
                          options[OPTION_DURATION]);
    return status;
}
