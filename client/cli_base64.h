/* Base64 (RFC 4648, with padding, without line breaks). */
#ifndef MREGION_CLIENT_CLI_BASE64_H
#define MREGION_CLIENT_CLI_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Writes it without quotes. A failure to write shows in ferror(file). */
void cli_base64_write(FILE *file, const void *bytes, size_t size);

/* Decodes length characters into bytes, which has room for length / 4 * 3 of them. False for what
 * is not canonical base64: a foreign character, a wrong length or padding, bits that are lost. */
bool cli_base64_decode(const char *text, size_t length, uint8_t *bytes, size_t *ret_size);

#endif
