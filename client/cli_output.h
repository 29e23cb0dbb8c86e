/* What commands print, in the three forms. All of it goes to standard output through stdio;
 * cli_output_flush tells whether it arrived. */
#ifndef MREGION_CLIENT_CLI_OUTPUT_H
#define MREGION_CLIENT_CLI_OUTPUT_H

#include <msgpack.h>
#include <stdbool.h>
#include <stdio.h>

#include "client/cli.h"

/* A command without a result: nothing, or null in JSON. */
void cli_output_nothing(FILE *file, enum cli_form form);

/* ADDRESS+SIZE in a line; {"reference":"0+4","address":0,"size":4} in JSON. */
void cli_output_reference(FILE *file, enum cli_form form, struct mregion_block block);

/* {"reference":"0+4","address":0,"size":4}: the text is exact also where a program reads numbers as
 * doubles. */
void cli_output_json_block(FILE *file, struct mregion_block block);

/* A result as it came from the server: a scalar or array one value per line, a map one "KEY VALUE"
 * per line (aligned in a table, separated by a tab when raw). */
void cli_output_value(FILE *file, enum cli_form form, const msgpack_object *object);

/* The length of the character, or of the byte that is in none, at text; *ret_steers says whether a
 * terminal would obey it: the control characters below U+0020 and from U+007F to U+009F, the latter
 * as single bytes too. */
size_t cli_output_take_character(const char *text, size_t size, bool *ret_steers);
/* A text as it is, but that in a table nothing in it may steer the terminal. */
void cli_output_text(FILE *file, enum cli_form form, const char *text, size_t size);
/* The same in place: what would steer it is a question mark, other characters of UTF-8 pass. */
void cli_output_make_printable(char *text);

/* A list of blocks that comes in parts. highest is the largest address that can occur, for the
 * columns of the table. */
struct cli_blocks {
    enum cli_form form;
    int width;
    uint64_t count;
};

void cli_output_blocks_begin(FILE *file, struct cli_blocks *blocks, enum cli_form form,
                             uint64_t highest);
void cli_output_blocks(FILE *file, struct cli_blocks *blocks, const struct mregion_block *part,
                       size_t count);
void cli_output_blocks_end(FILE *file, const struct cli_blocks *blocks);

/* Hands what is printed to the system. 0, or CLI_LOCAL_IO with the reason printed. */
int cli_output_flush(const struct cli *cli);

/* "64.0 KiB", "1.5 GiB"; "17 bytes" below 1 KiB. */
#define CLI_OUTPUT_SIZE_SIZE 32
void cli_output_format_size(uint64_t size, char text[CLI_OUTPUT_SIZE_SIZE]);

#endif
