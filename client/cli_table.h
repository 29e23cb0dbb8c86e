/* Tables for people, whose columns are as wide as what is in them. What comes row by row is printed
 * as it comes, in columns of a width that is chosen before: lists of blocks, which may be of any
 * length; the regions of a check, which takes hours; events, and the lines of stat and latency,
 * which come as time goes by. */
#ifndef MREGION_CLIENT_CLI_TABLE_H
#define MREGION_CLIENT_CLI_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "client/cli.h"

struct cli_table;

enum cli_column_kind {
    CLI_LEFT,
    CLI_RIGHT,
    CLI_CUT, /* to the left, and cut where the terminal is too narrow */
};

struct cli_column {
    const char *heading;
    enum cli_column_kind kind;
};

/* NULL when memory is out. columns ends with a NULL heading. width: of the terminal, 0 where it is
 * none, and nothing is cut. */
struct cli_table *cli_table_new(const struct cli_column *columns, int width);
void cli_table_free(struct cli_table *table);

/* The next value of the row that is being filled, as printf. A row is complete with as many as
 * there are columns. */
void cli_table_put(struct cli_table *table, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A number of bytes, for the eyes. */
void cli_table_put_size(struct cli_table *table, uint64_t size);

/* The whole table, as a string with a line feed behind each line, to be freed; NULL when memory was
 * out at any time. */
char *cli_table_text(struct cli_table *table);

/* Prints the whole table on standard output and frees it. NULL: there was no memory for it. Returns
 * the exit status. */
int cli_table_print(struct cli *cli, struct cli_table *table);

#endif
