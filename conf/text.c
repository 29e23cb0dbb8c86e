#include "conf/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool is_continuation(char byte)
{
    return ((unsigned char)byte & 0xc0) == 0x80;
}

size_t text_decode(const char *text, size_t length, uint32_t *ret_character)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char first = (unsigned char)text[0];
    size_t bytes = first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    uint32_t character;

    if (bytes == 0 || first >= 0xf8 || bytes > length)
        return 0;
    character = bytes == 1 ? first : first & (0x7fu >> bytes);
    for (size_t i = 1; i < bytes; i++) {
        if (!is_continuation(text[i]))
            return 0;
        character = character << 6 | ((unsigned char)text[i] & 0x3f);
    }
    if (character < smallest[bytes] || (character >= 0xd800 && character <= 0xdfff) ||
        character > 0x10ffff)
        return 0;
    *ret_character = character;
    return bytes;
}

static bool is_line_break(uint32_t character)
{
    return character == '\n' || character == '\r' || character == 0x85 || character == 0x2028 ||
           character == 0x2029;
}

bool text_is_printable(uint32_t character)
{
    if (character < 0xa0)
        return (character >= 0x20 && character < 0x7f) || character == '\t' ||
               is_line_break(character);
    return character != 0xfeff && character != 0xfffe && character != 0xffff;
}

static void describe(const char *text, size_t bytes, uint32_t character, char *message)
{
    if (bytes == 0)
        (void)snprintf(message, TEXT_MESSAGE_SIZE,
                       "the byte 0x%02x is not valid UTF-8; save the file as UTF-8",
                       (unsigned)(unsigned char)text[0]);
    else if (character == 0)
        (void)snprintf(message, TEXT_MESSAGE_SIZE,
                       "a NUL byte is not allowed; is this a text file?");
    else
        (void)snprintf(message, TEXT_MESSAGE_SIZE,
                       "the control character U+%04" PRIX32 " is not allowed", character);
}

bool text_check(const char *text, size_t size, struct position *ret_at,
                char message[TEXT_MESSAGE_SIZE])
{
    struct position at = {1, 1};

    for (size_t i = 0; i < size;) {
        uint32_t character = 0;
        size_t bytes = text_decode(text + i, size - i, &character);
        bool is_mark = i == 0 && character == 0xfeff;

        if (bytes == 0 || !(text_is_printable(character) || is_mark)) {
            describe(text + i, bytes, character, message);
            *ret_at = at;
            return false;
        }
        i += bytes;
        if (is_mark || (character == '\r' && i < size && text[i] == '\n'))
            continue;
        if (is_line_break(character))
            at = (struct position){at.line + 1, 1};
        else
            at.column++;
    }
    return true;
}

static bool is_one_of(const char *text, size_t length, const char *const *words)
{
    for (; *words != NULL; words++)
        if (strlen(*words) == length && memcmp(*words, text, length) == 0)
            return true;
    return false;
}

static size_t span(const char *text, size_t length, size_t at, const char *set)
{
    size_t start = at;

    while (at < length && text[at] != '\0' && strchr(set, text[at]) != NULL)
        at++;
    return at - start;
}

#define DIGITS "0123456789"

/* [-+]? ( . digits | digits ( . digits? )? ) ( [eE] [-+]? digits )? */
static bool is_decimal(const char *text, size_t length)
{
    size_t at = length > 0 && (text[0] == '-' || text[0] == '+');
    size_t whole = span(text, length, at, DIGITS);
    size_t fraction = 0;

    at += whole;
    if (at < length && text[at] == '.') {
        fraction = span(text, length, at + 1, DIGITS);
        at += 1 + fraction;
    }
    if (whole + fraction == 0)
        return false;
    if (at < length && (text[at] == 'e' || text[at] == 'E')) {
        size_t digits;

        at++;
        at += at < length && (text[at] == '-' || text[at] == '+');
        digits = span(text, length, at, DIGITS);
        if (digits == 0)
            return false;
        at += digits;
    }
    return at == length;
}

static bool is_number(const char *text, size_t length)
{
    static const char *const words[] = {".inf",  ".Inf",  ".INF",  "+.inf", "+.Inf",
                                        "+.INF", "-.inf", "-.Inf", "-.INF", ".nan",
                                        ".NaN",  ".NAN",  NULL};

    if (length > 2 && memcmp(text, "0x", 2) == 0)
        return span(text, length, 2, DIGITS "abcdefABCDEF") == length - 2;
    if (length > 2 && memcmp(text, "0o", 2) == 0)
        return span(text, length, 2, "01234567") == length - 2;
    return is_decimal(text, length) || is_one_of(text, length, words);
}

enum text_type text_type_of(const char *text, size_t length)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const booleans[] = {"true", "True", "TRUE", "false", "False", "FALSE", NULL};

    if (is_one_of(text, length, nulls))
        return TEXT_NULL;
    if (is_one_of(text, length, booleans))
        return TEXT_BOOLEAN;
    return is_number(text, length) ? TEXT_NUMBER : TEXT_WORD;
}

/* One character as it stands between double quotes; escaped needs 11 bytes. */
static void escape(const char *text, size_t bytes, uint32_t character, char *escaped)
{
    if (bytes == 0)
        (void)snprintf(escaped, 11, "\\x%02X", (unsigned)(unsigned char)text[0]);
    else if (character == '"' || character == '\\')
        (void)snprintf(escaped, 11, "\\%c", (char)character);
    else if (character == '\n')
        (void)snprintf(escaped, 11, "\\n");
    else if (character == '\t')
        (void)snprintf(escaped, 11, "\\t");
    else if (!text_is_printable(character) || is_line_break(character))
        (void)snprintf(escaped, 11, character < 0x100 ? "\\x%02" PRIX32 : "\\u%04" PRIX32,
                       character);
    else
        (void)snprintf(escaped, 11, "%.*s", (int)bytes, text);
}

void text_quote(const char *text, size_t length, size_t limit, char *quoted, size_t size)
{
    size_t used = (size_t)snprintf(quoted, size, "\"");
    size_t shown = 0;
    const char *end = "\"";

    for (size_t i = 0; i < length; shown++) {
        uint32_t character = 0;
        size_t bytes = text_decode(text + i, length - i, &character);
        char escaped[11];

        escape(text + i, bytes, character, escaped);
        if (shown == limit || used + strlen(escaped) + sizeof "...\"" > size) {
            end = "...\"";
            break;
        }
        used += (size_t)snprintf(quoted + used, size - used, "%s", escaped);
        i += bytes == 0 ? 1 : bytes;
    }
    (void)snprintf(quoted + used, size - used, "%s", end);
}
