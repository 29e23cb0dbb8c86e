/* The region as a picture. */
#ifndef MREGION_CLIENT_CLI_MAP_H
#define MREGION_CLIENT_CLI_MAP_H

#include <stdio.h>

#include "client/cli_command.h"
#include "client/cli_target.h"
#include "client/cli_terminal.h"

#define MAP_SIZES 64 /* holes of 2^i to 2^(i+1)-1 bytes */

struct map {
    const char *region;
    uint64_t size;
    uint64_t free;
    uint64_t holes;
    struct mregion_block largest;
    uint64_t holes_by_size[MAP_SIZES];
    uint64_t free_by_size[MAP_SIZES];
    uint64_t cell;  /* bytes of each; the last may have fewer */
    size_t columns; /* of the picture */
    size_t count;   /* of the cells */
    uint64_t *used; /* bytes in use in each; owned */
};

int cli_map(struct cli *cli, const struct cli_arguments *arguments);
extern const struct cli_option cli_map_options[];

/* Cells for so many columns and rows at most, all in use. False when memory is out. */
bool map_init(struct map *map, const char *region, uint64_t size, size_t columns, size_t rows);
void map_release(struct map *map);
/* Holes come in order. */
void map_add_hole(struct map *map, struct mregion_block hole);

uint64_t map_cell_size(const struct map *map, size_t cell);
/* 0 where all of it is free, 8 where all of it is in use. */
unsigned map_level(const struct map *map, size_t cell);
/* How much of what is free is not in the largest hole; 0 where nothing is free. */
double map_fragmentation(const struct map *map);

/* How long until the server is asked for it anew, which takes it some 50 nanoseconds a hole: so
 * that this is half a percent of its time at most. */
uint64_t map_pause_ms(const struct map *map, uint64_t interval_ms);

/* In a terminal's lines; has to be told of rows for itself: those that it takes besides the cells.
 */
#define MAP_ROWS_BESIDES 7
#define MAP_LABEL 10 /* an address in front of a row, with a blank */
void map_print(FILE *file, const struct map *map, const struct cli_terminal *terminal,
               const struct cli_live *live);
/* Nothing where memory is out. */
void map_print_holes(FILE *file, const struct map *map, const struct cli_terminal *terminal,
                     const struct cli_live *live);
void map_print_json(FILE *file, const struct map *map);
void map_print_raw(FILE *file, const struct map *map);

/* As a picture of cairo's. 0, or an exit code with the reason printed. */
enum map_image { MAP_SVG, MAP_PNG };
int map_draw(const struct cli *cli, const struct map *map, enum map_image kind,
             const struct cli_target *target);

#endif
