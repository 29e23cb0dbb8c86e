#include "client/cli_table.h"

#include <libsmartcols.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli_output.h"

struct cli_table {
    struct libscols_table *table;
    struct libscols_line *line;
    size_t columns;
    size_t column; /* of the line, the next one */
    bool has_failed;
};

struct cli_table *cli_table_new(const struct cli_column *columns, int width)
{
    struct cli_table *table = calloc(1, sizeof *table);

    if (table == NULL)
        return NULL;
    table->table = scols_new_table();
    table->has_failed = table->table == NULL;
    for (; columns->heading != NULL && !table->has_failed; columns++) {
        int flags = columns->kind == CLI_RIGHT ? SCOLS_FL_RIGHT : 0;

        if (columns->kind == CLI_CUT)
            flags = SCOLS_FL_TRUNC;
        table->has_failed =
            scols_table_new_column(table->table, columns->heading, 0, flags) == NULL;
        table->columns++;
    }
    table->column = table->columns;
    if (!table->has_failed && width > 0) {
        (void)scols_table_set_termforce(table->table, SCOLS_TERMFORCE_ALWAYS);
        (void)scols_table_set_termwidth(table->table, (size_t)width);
    } else if (!table->has_failed) {
        (void)scols_table_set_termforce(table->table, SCOLS_TERMFORCE_NEVER);
    }
    return table;
}

void cli_table_free(struct cli_table *table)
{
    if (table == NULL)
        return;
    scols_unref_table(table->table);
    free(table);
}

void cli_table_put(struct cli_table *table, const char *format, ...)
{
    char text[256];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (!table->has_failed && table->column == table->columns) {
        table->line = scols_table_new_line(table->table, NULL);
        table->has_failed = table->line == NULL;
        table->column = 0;
    }
    if (!table->has_failed)
        table->has_failed = scols_line_set_data(table->line, table->column++, text) != 0;
}

void cli_table_put_size(struct cli_table *table, uint64_t size)
{
    char text[CLI_OUTPUT_SIZE_SIZE];

    cli_output_format_size(size, text);
    cli_table_put(table, "%s", text);
}

char *cli_table_text(struct cli_table *table)
{
    char *text = NULL, *whole = NULL;

    if (table->has_failed || scols_print_table_to_string(table->table, &text) != 0)
        return NULL;
    /* Its last line has no end. */
    if (asprintf(&whole, "%s%s", text != NULL ? text : "",
                 text != NULL && text[0] != '\0' ? "\n" : "") < 0)
        whole = NULL;
    free(text);
    return whole;
}

int cli_table_print(struct cli *cli, struct cli_table *table)
{
    char *text = table != NULL ? cli_table_text(table) : NULL;

    cli_table_free(table);
    if (text == NULL)
        return cli_no_memory(cli);
    (void)fputs(text, stdout);
    free(text);
    return CLI_OK;
}
