/* Text as people see it: lines and columns, what is in a file that should be text, and how a
 * foreign piece of it is shown in a message. */
#ifndef MREGION_CONF_TEXT_H
#define MREGION_CONF_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Both from 1; columns count characters, not bytes. */
struct position {
    size_t line;
    size_t column;
};

/* Decodes the UTF-8 character at the start of length (> 0) bytes. Returns how many bytes it takes,
 * or 0 when they are not valid UTF-8 (overlong forms, surrogates and what is cut included). */
size_t text_decode(const char *text, size_t length, uint32_t *ret_character);

/* Whether YAML lets the character stand in a file as it is. */
bool text_is_printable(uint32_t character);

/* Checks that size bytes are valid UTF-8 without characters that YAML forbids. On false, *ret_at is
 * where, and message says what stands there. */
#define TEXT_MESSAGE_SIZE 96
bool text_check(const char *text, size_t size, struct position *ret_at,
                char message[TEXT_MESSAGE_SIZE]);

/* Whether YAML reads the unquoted word as nothing, a boolean or a number, rather than as text. */
enum text_type { TEXT_NULL, TEXT_BOOLEAN, TEXT_NUMBER, TEXT_WORD };
enum text_type text_type_of(const char *text, size_t length);

/* Writes the text in double quotes as YAML would have it: what is not printable is escaped, so that
 * it stays on its line. At most limit characters of it are shown, then "...". Ends with a
 * terminator; cut where size is too small. */
void text_quote(const char *text, size_t length, size_t limit, char *quoted, size_t size);

/* Enough for TEXT_SHOWN characters, all escaped. */
#define TEXT_SHOWN 64
#define TEXT_QUOTED_SIZE (TEXT_SHOWN * 10 + 6)

#endif
