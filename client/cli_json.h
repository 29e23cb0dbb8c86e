/* JSON to MessagePack and back, without loss.
 *
 *     JSON                      MessagePack
 *     null, true, false         nil, true, false
 *     a number without . and e  integer; -2^63 to 2^64-1, exact
 *     any other number          float, 64 bits
 *     string                    str
 *     {"base64": "..."}         bin
 *     array, object             array, map
 *
 * The way back is the same; there a str that is no valid UTF-8 becomes {"base64": "..."} too, an
 * extension {"ext": TYPE, "base64": "..."}, and a map's key that is no string the string of its
 * JSON. NaN and the infinities, which JSON does not have, become null. */
#ifndef MREGION_CLIENT_CLI_JSON_H
#define MREGION_CLIENT_CLI_JSON_H

#include <msgpack.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CLI_JSON_PROBLEM_SIZE 256

/* Appends what the JSON text says to buffer. false with problem filled when it is no JSON, has a
 * key twice, a number out of range, or base64 that is none; buffer then holds anything. */
bool cli_json_pack(const char *text, msgpack_sbuffer *buffer, char problem[CLI_JSON_PROBLEM_SIZE]);

/* Writes the object as JSON in its shortest form, without a line's end. A failure to write shows
 * in ferror(file). */
void cli_json_write(FILE *file, const msgpack_object *object);

/* Writes one string, or {"base64": "..."} where it is no valid UTF-8. */
void cli_json_write_string(FILE *file, const char *bytes, size_t size);

/* Writes {"base64":"..."}. */
void cli_json_write_bytes(FILE *file, const void *bytes, size_t size);

#endif
