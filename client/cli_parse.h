/* The numbers that are typed: sizes, references, times. */
#ifndef MREGION_CLIENT_CLI_PARSE_H
#define MREGION_CLIENT_CLI_PARSE_H

#include <stdbool.h>
#include <stdint.h>

#include "client/mregion.h"

/* "4096". False for anything but decimal digits, and for what does not fit 64 bits. */
bool cli_parse_number(const char *text, uint64_t *ret_number);

/* "4096", "64KiB", "2MiB", "1GiB", "1TiB": a whole number of bytes or of such units. */
bool cli_parse_size(const char *text, uint64_t *ret_size);

/* "ADDRESS+SIZE", each as cli_parse_size has it. */
bool cli_parse_reference(const char *text, struct mregion_block *ret_block);

/* "100ms", "5s", "2m", "1h": milliseconds. The unit is required. */
bool cli_parse_time(const char *text, uint64_t *ret_ms);

/* What is expected, for the error: "a size is ...". */
#define CLI_PARSE_NUMBER "a whole number, such as 16"
#define CLI_PARSE_SIZE "a whole number of bytes, or of KiB, MiB, GiB or TiB, such as 4096 or 64KiB"
#define CLI_PARSE_REFERENCE "ADDRESS+SIZE, such as 4096+16"
#define CLI_PARSE_TIME "a whole number with ms, s, m or h, such as 500ms"

#endif
