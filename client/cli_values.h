/* Maps that a method answers, read by their keys: what regionInfo, serverInfo and stats tell. */
#ifndef MREGION_CLIENT_CLI_VALUES_H
#define MREGION_CLIENT_CLI_VALUES_H

#include <msgpack.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/cli.h"

/* An answer of the server's; zero it first. */
struct cli_answer {
    msgpack_unpacked unpacked;
    void *bytes; /* that its strings are in */
    bool is_there;
    struct cli_answer *rest; /* allocated, and released with it: others that it refers to */
};

/* Calls a method of this region (NULL: of none) without options. *ret_answer is to be given to
 * cli_answer_release. MREGION_OK, or the library's code with *error filled. */
int cli_answer_call(struct cli *cli, const char *method, const char *region,
                    struct cli_answer *ret_answer, struct mregion_error *error);
/* The same with parameters that are packed. */
int cli_answer_call_packed(struct cli *cli, const char *method, const msgpack_sbuffer *params,
                           struct cli_answer *ret_answer, struct mregion_error *error);
/* The same with one option and nothing else. */
int cli_answer_call_option(struct cli *cli, const char *method, const char *key,
                           msgpack_object value, struct cli_answer *ret_answer,
                           struct mregion_error *error);
/* What these say when memory is out. Returns the code. */
int cli_answer_no_memory(struct mregion_error *error);
void cli_answer_release(struct cli_answer *answer);

/* Packs a region by its name, or by its number where it is written "#7". */
int cli_pack_region(msgpack_packer *packer, const char *region);

/* The value of a key; NULL where object is no map, or has no such key. */
const msgpack_object *cli_value(const msgpack_object *object, const char *key);

/* The name of its entry number i, cut to what fits. False where there is none, or it has no name.
 */
bool cli_value_key(const msgpack_object *object, uint32_t i, char *ret_name, size_t size);

/* A number of the map; 0 where there is none. */
uint64_t cli_value_number(const msgpack_object *object, const char *key);

/* A text of the map, cut to what fits; "" where there is none. */
void cli_value_text(const msgpack_object *object, const char *key, char *ret_text, size_t size);

/* Whether the map says so. */
bool cli_value_bool(const msgpack_object *object, const char *key);

/* Values to send or to print; a text is borrowed. */
msgpack_object cli_object_number(uint64_t number);
msgpack_object cli_object_text(const char *text);

#endif
