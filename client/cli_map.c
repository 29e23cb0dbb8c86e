#include "client/cli_map.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli_output.h"
#include "client/cli_parse.h"
#include "core/bytes.h"
#include "core/limits.h"

/* As many as the library fetches with one call. */
#define PART 3000

#define SIDE_MAX 1000 /* columns, or rows */

/* Of the time from one picture to the next. */
#define HOLES_PER_MS 100

enum {
    OPTION_COLUMNS,
    OPTION_ROWS,
    OPTION_WATCH,
    OPTION_INTERVAL,
    OPTION_COUNT,
    OPTION_SVG,
    OPTION_PNG
};

const struct cli_option cli_map_options[] = {
    {"columns", "COUNT", 'N', NULL, 0}, {"rows", "COUNT", 'N', NULL, 0},
    {"watch", NULL, 0, NULL, 'w'},      {"interval", "TIME", 'M', NULL, 'i'},
    {"count", "COUNT", 'N', NULL, 'n'}, {"svg", "FILE", 'P', NULL, 0},
    {"png", "FILE", 'P', NULL, 0},      {NULL, NULL, 0, NULL, 0},
};

/* ---- Cells ---- */

static uint64_t cells_of(uint64_t size, uint64_t cell)
{
    return size / cell + (size % cell != 0);
}

/* Of sizes that no region has there may be one cell too many: none is larger. */
bool map_init(struct map *map, const char *region, uint64_t size, size_t columns, size_t rows)
{
    uint64_t cells = (uint64_t)columns * rows;

    *map = (struct map){.region = region, .size = size, .cell = 1, .columns = columns};
    while (cells_of(size, map->cell) > cells && map->cell < (uint64_t)1 << 63)
        map->cell *= 2;
    map->count = (size_t)cells_of(size, map->cell);
    map->used = calloc(map->count + 1, sizeof *map->used);
    for (size_t i = 0; map->used != NULL && i < map->count; i++)
        map->used[i] = map_cell_size(map, i);
    return map->used != NULL;
}

void map_release(struct map *map)
{
    free(map->used);
    map->used = NULL;
}

uint64_t map_cell_size(const struct map *map, size_t cell)
{
    return min_u64(map->cell, map->size - cell * map->cell);
}

void map_add_hole(struct map *map, struct mregion_block hole)
{
    uint64_t at = hole.address, end;
    unsigned log;

    /* The region may have grown meanwhile. */
    if (hole.size == 0 || hole.address >= map->size)
        return;
    hole.size = min_u64(hole.size, map->size - hole.address);
    log = 63 - (unsigned)__builtin_clzll(hole.size);
    map->holes++;
    map->free += hole.size;
    map->holes_by_size[log]++;
    map->free_by_size[log] += hole.size;
    if (hole.size > map->largest.size)
        map->largest = hole;
    for (end = hole.address + hole.size; at < end;) {
        size_t cell = (size_t)(at / map->cell);
        uint64_t part = min_u64(end - at, map->cell - at % map->cell);

        map->used[cell] -= part;
        at += part;
    }
}

unsigned map_level(const struct map *map, size_t cell)
{
    uint64_t used = map->used[cell], size = map_cell_size(map, cell);

    if (used == 0 || used == size)
        return used == 0 ? 0 : 8;
    return 1 + (unsigned)((double)used * 7 / (double)size * 0.999999);
}

double map_fragmentation(const struct map *map)
{
    return map->free == 0 ? 0 : 1 - (double)map->largest.size / (double)map->free;
}

uint64_t map_pause_ms(const struct map *map, uint64_t interval_ms)
{
    return max_u64(interval_ms, map->holes / HOLES_PER_MS);
}

/* ---- From the server ---- */

static int fetch(struct cli *cli, const char *region, size_t columns, size_t rows,
                 struct map *ret_map)
{
    struct mregion_block part[PART];
    struct mregion_error error;
    size_t count = PART;
    uint64_t from = 0, size;

    if (mregion_size(cli->connection, region, &size, &error) != MREGION_OK)
        return cli_fail_library(cli, &error, NULL);
    if (!map_init(ret_map, region, size, columns, rows))
        return cli_no_memory(cli);
    while (count == PART) {
        if (mregion_free_memory(cli->connection, region, from, PART, part, &count, &error) !=
            MREGION_OK) {
            map_release(ret_map);
            return cli_fail_library(cli, &error, NULL);
        }
        for (size_t i = 0; i < count; i++)
            map_add_hole(ret_map, part[i]);
        if (count > 0)
            from = part[count - 1].address + part[count - 1].size;
    }
    return CLI_OK;
}

/* ---- The command ---- */

struct plan {
    uint64_t columns; /* 0: as the terminal has it */
    uint64_t rows;
    uint64_t interval_ms;
    bool has_interval; /* it was given, and holds whatever that costs the server */
    uint64_t count;
    bool is_live;
    const char *images[2];
};

static int parse_side(const struct cli *cli, const char *name, const char *text, uint64_t *ret_side)
{
    if (text == NULL)
        return CLI_OK;
    if (cli_parse_number(text, ret_side) && *ret_side >= 1 && *ret_side <= SIDE_MAX)
        return CLI_OK;
    return cli_fail(cli, CLI_USAGE, "map: --%s: \"%s\" is not a whole number from 1 to %d", name,
                    text, SIDE_MAX);
}

static int parse_plan(const struct cli *cli, const struct cli_arguments *arguments,
                      struct plan *plan)
{
    const char *const *options = arguments->options;
    int status = parse_side(cli, "columns", options[OPTION_COLUMNS], &plan->columns);

    if (status == CLI_OK)
        status = parse_side(cli, "rows", options[OPTION_ROWS], &plan->rows);
    if (status == CLI_OK && options[OPTION_INTERVAL] != NULL &&
        !cli_live_parse(options[OPTION_INTERVAL], &plan->interval_ms))
        status = cli_fail(cli, CLI_USAGE, "map: --interval: \"%s\" is not " CLI_LIVE_EXPECTED,
                          options[OPTION_INTERVAL]);
    if (status == CLI_OK && options[OPTION_COUNT] != NULL &&
        (!cli_parse_number(options[OPTION_COUNT], &plan->count) || plan->count == 0))
        status = cli_fail(cli, CLI_USAGE, "map: --count: \"%s\" is not " CLI_PARSE_NUMBER,
                          options[OPTION_COUNT]);
    plan->has_interval = options[OPTION_INTERVAL] != NULL;
    plan->is_live = options[OPTION_WATCH] != NULL || options[OPTION_INTERVAL] != NULL ||
                    options[OPTION_COUNT] != NULL;
    plan->images[MAP_SVG] = options[OPTION_SVG];
    plan->images[MAP_PNG] = options[OPTION_PNG];
    if (status == CLI_OK && plan->is_live &&
        (plan->images[MAP_SVG] != NULL || plan->images[MAP_PNG] != NULL))
        status = cli_fail(cli, CLI_USAGE, "map: a file is written once, so not with --watch");
    return status;
}

/* So many cells that a line and the screen hold them, besides the address in front and what is
 * above and below. */
static void choose_cells(const struct plan *plan, const struct cli_terminal *terminal,
                         size_t *ret_columns, size_t *ret_rows)
{
    int columns = terminal->columns - MAP_LABEL - 1;
    int rows = terminal->is_terminal ? terminal->rows - MAP_ROWS_BESIDES - 1 : 16;

    *ret_columns = plan->columns > 0 ? (size_t)plan->columns : (size_t)(columns > 8 ? columns : 8);
    *ret_rows = plan->rows > 0 ? (size_t)plan->rows : (size_t)(rows > 4 ? rows : 4);
    /* Round numbers, where there is room. */
    if (plan->columns == 0 && *ret_columns > 64 && *ret_columns < 128)
        *ret_columns = 64;
}

static void print(struct cli *cli, const struct map *map, const struct cli_terminal *terminal,
                  const struct cli_live *live)
{
    if (cli->form == CLI_JSON) {
        map_print_json(stdout, map);
    } else if (cli->form == CLI_RAW) {
        map_print_raw(stdout, map);
    } else {
        map_print(stdout, map, terminal, live);
        if (!live->is_screen)
            map_print_holes(stdout, map, terminal, live);
    }
}

static int show(struct cli *cli, const char *region, const struct plan *plan)
{
    struct cli_terminal terminal;
    struct cli_live live;
    int status = CLI_OK;

    cli_terminal_look(&terminal);
    cli_live_begin(&live, plan->interval_ms, plan->is_live ? plan->count : 1,
                   plan->is_live && terminal.is_terminal && cli->form == CLI_TABLE);
    while (status == CLI_OK && cli_live_next(&live)) {
        size_t columns, rows;
        struct map map = {0};

        cli_terminal_look(&terminal); /* it may have another size by now */
        choose_cells(plan, &terminal, &columns, &rows);
        status = fetch(cli, region, columns, rows, &map);
        if (status == CLI_OK) {
            print(cli, &map, &terminal, &live);
            cli_live_show(&live);
            if (!plan->has_interval)
                live.interval_ms = map_pause_ms(&map, plan->interval_ms);
            map_release(&map);
        }
    }
    cli_live_end(&live);
    return status;
}

/* A picture has more cells than a terminal. */
static int draw(struct cli *cli, const char *region, const struct plan *plan)
{
    struct map map = {0};
    int status = fetch(cli, region, plan->columns > 0 ? (size_t)plan->columns : 128,
                       plan->rows > 0 ? (size_t)plan->rows : 64, &map);

    for (int kind = MAP_SVG; kind <= MAP_PNG && status == CLI_OK; kind++) {
        struct cli_target target;

        if (plan->images[kind] == NULL)
            continue;
        status = cli_output_flush(cli);
        if (status == CLI_OK && strcmp(plan->images[kind], "-") == 0 && isatty(STDOUT_FILENO) != 0)
            status = cli_fail(cli, CLI_USAGE,
                              "map: standard output is a terminal: name a file, or a pipe");
        if (status == CLI_OK)
            status = cli_target_open(cli, plan->images[kind], &target);
        if (status != CLI_OK)
            break;
        status = map_draw(cli, &map, (enum map_image)kind, &target);
        if (status == CLI_OK)
            status = cli_target_commit(cli, &target, false);
        else
            cli_target_abandon(&target);
    }
    map_release(&map);
    return status;
}

int cli_map(struct cli *cli, const struct cli_arguments *arguments)
{
    struct plan plan = {.interval_ms = 1000, .count = UINT64_MAX};
    const char *region;
    int status = parse_plan(cli, arguments, &plan);

    if (status == CLI_OK)
        status = cli_need_region(cli, &region);
    if (status != CLI_OK)
        return status;
    if (plan.images[MAP_SVG] != NULL || plan.images[MAP_PNG] != NULL)
        return draw(cli, region, &plan);
    return show(cli, region, &plan);
}
