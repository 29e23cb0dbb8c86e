#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli_json.h"
#include "client/cli_map.h"
#include "client/cli_output.h"
#include "client/cli_table.h"

#define LEVELS 9

/* By level: what is in use of a cell fills it from below. */
static const char *const blocks[LEVELS] = {"·", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
static const char *const letters[LEVELS] = {".", "1", "2", "3", "4", "5", "6", "7", "#"};
/* Gray, blue, cyan, yellow, green. */
static const char *const colors[LEVELS] = {"90", "34", "34", "36", "36", "33", "33", "32", "92"};

static void print_cells(FILE *file, const unsigned *levels, size_t count,
                        const struct cli_terminal *terminal)
{
    const char *color = "";

    for (size_t i = 0; i < count; i++) {
        unsigned level = levels[i];

        if (terminal->has_color && strcmp(color, colors[level]) != 0) {
            color = colors[level];
            (void)fprintf(file, "\033[%sm", color);
        }
        (void)fputs(terminal->has_utf8 ? blocks[level] : letters[level], file);
    }
    if (color[0] != '\0')
        (void)fputs("\033[0m", file);
}

static double percent(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : 100 * (double)part / (double)whole;
}

static void print_legend(FILE *file, const struct map *map, const struct cli_terminal *terminal,
                         const struct cli_live *live)
{
    static const unsigned shown[] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
    char cell[CLI_OUTPUT_SIZE_SIZE], largest[CLI_OUTPUT_SIZE_SIZE];

    cli_output_format_size(map->cell, cell);
    (void)fputs("free ", file);
    print_cells(file, shown, LEVELS, terminal);
    (void)fprintf(file, " in use, %s a cell", cell);
    cli_live_line(live, file);
    if (map->holes > 0) {
        cli_output_format_size(map->largest.size, largest);
        (void)fprintf(file, "largest hole %s", largest);
        cli_live_line(live, file);
        (void)fprintf(file, "  at %" PRIu64 "+%" PRIu64, map->largest.address, map->largest.size);
        cli_live_line(live, file);
    }
    (void)fprintf(file, "external fragmentation %.3f", map_fragmentation(map));
    cli_live_line(live, file);
}

void map_print(FILE *file, const struct map *map, const struct cli_terminal *terminal,
               const struct cli_live *live)
{
    char size[CLI_OUTPUT_SIZE_SIZE], rest[CLI_OUTPUT_SIZE_SIZE];

    cli_output_format_size(map->size, size);
    cli_output_format_size(map->free, rest);
    (void)fprintf(file, "%s: %s, %.1f%% in use", map->region, size,
                  percent(map->size - map->free, map->size));
    cli_live_line(live, file);
    (void)fprintf(file, "%s free in %" PRIu64 " hole%s", rest, map->holes,
                  map->holes == 1 ? "" : "s");
    cli_live_line(live, file);
    for (size_t at = 0; at < map->count; at += map->columns) {
        size_t count = map->count - at < map->columns ? map->count - at : map->columns;
        unsigned levels[1000];

        for (size_t i = 0; i < count; i++)
            levels[i] = map_level(map, at + i);
        cli_output_format_size(at * map->cell, size);
        (void)fprintf(file, "%*s ", MAP_LABEL - 1, size);
        print_cells(file, levels, count, terminal);
        cli_live_line(live, file);
    }
    print_legend(file, map, terminal, live);
}

/* ---- Holes by size ---- */

/* A bar of at most so many characters, of at least one. */
static void format_bar(char *bar, size_t width, uint64_t part, uint64_t whole, bool has_utf8)
{
    size_t count = (size_t)((double)width * (double)part / (double)whole);

    for (count = count == 0 ? 1 : count; count > 0; count--)
        bar = stpcpy(bar, has_utf8 ? "█" : "#");
}

void map_print_holes(FILE *file, const struct map *map, const struct cli_terminal *terminal,
                     const struct cli_live *live)
{
    static const struct cli_column columns[] = {{"HOLES FROM", CLI_RIGHT},
                                                {"COUNT", CLI_RIGHT},
                                                {"FREE", CLI_RIGHT},
                                                {"", CLI_CUT},
                                                {NULL, CLI_LEFT}};
    struct cli_table *table;
    uint64_t most = 0;
    char *text = NULL;

    if (map->holes == 0)
        return;
    for (size_t i = 0; i < MAP_SIZES; i++)
        most = map->holes_by_size[i] > most ? map->holes_by_size[i] : most;
    table = cli_table_new(columns, terminal->is_terminal ? terminal->columns : 0);
    for (size_t i = 0; table != NULL && i < MAP_SIZES; i++) {
        char from[CLI_OUTPUT_SIZE_SIZE], bytes[CLI_OUTPUT_SIZE_SIZE], bar[24 * 3 + 1];

        if (map->holes_by_size[i] == 0)
            continue;
        cli_output_format_size((uint64_t)1 << i, from);
        cli_output_format_size(map->free_by_size[i], bytes);
        format_bar(bar, 24, map->holes_by_size[i], most, terminal->has_utf8);
        cli_table_put(table, "%s", from);
        cli_table_put(table, "%" PRIu64, map->holes_by_size[i]);
        cli_table_put(table, "%s", bytes);
        cli_table_put(table, "%s", bar);
    }
    if (table != NULL)
        text = cli_table_text(table);
    cli_live_line(live, file);
    if (text != NULL)
        (void)fputs(text, file);
    free(text);
    cli_table_free(table);
}

/* ---- For programs ---- */

void map_print_raw(FILE *file, const struct map *map)
{
    for (size_t i = 0; i < map->count; i++)
        (void)fprintf(file, "%" PRIu64 "+%" PRIu64 "\t%" PRIu64 "\n", i * map->cell,
                      map_cell_size(map, i), map->used[i]);
}

void map_print_json(FILE *file, const struct map *map)
{
    (void)fputs("{\"region\":", file);
    cli_json_write_string(file, map->region, strlen(map->region));
    (void)fprintf(file,
                  ",\"size\":%" PRIu64 ",\"allocated\":%" PRIu64 ",\"free\":%" PRIu64
                  ",\"holes\":%" PRIu64 ",\"largest\":",
                  map->size, map->size - map->free, map->free, map->holes);
    if (map->holes > 0)
        cli_output_json_block(file, map->largest);
    else
        (void)fputs("null", file);
    (void)fprintf(file, ",\"fragmentation\":%.6f,\"cell\":%" PRIu64 ",\"used\":[",
                  map_fragmentation(map), map->cell);
    for (size_t i = 0; i < map->count; i++)
        (void)fprintf(file, "%s%" PRIu64, i > 0 ? "," : "", map->used[i]);
    (void)fputs("],\"holes_by_size\":[", file);
    for (size_t i = 0, printed = 0; i < MAP_SIZES; i++) {
        if (map->holes_by_size[i] == 0)
            continue;
        (void)fprintf(file, "%s{\"from\":%" PRIu64 ",\"holes\":%" PRIu64 ",\"free\":%" PRIu64 "}",
                      printed++ > 0 ? "," : "", (uint64_t)1 << i, map->holes_by_size[i],
                      map->free_by_size[i]);
    }
    (void)fputs("]}\n", file);
}
