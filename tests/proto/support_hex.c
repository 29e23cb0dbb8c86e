#include "support_hex.h"

#include <check.h>
#include <ctype.h>

static unsigned digit(char c)
{
    ck_assert_msg(isxdigit((unsigned char)c), "'%c' is no hex digit", c);
    return isdigit((unsigned char)c) ? (unsigned)(c - '0')
                                     : (unsigned)(tolower((unsigned char)c) - 'a' + 10);
}

struct hex hex(const char *text)
{
    struct hex hex = {.size = 0};

    while (*text != '\0') {
        ck_assert_uint_lt(hex.size, HEX_MAX);
        if (*text == ' ') {
            text++;
        } else if (*text == '\'') {
            for (text++; *text != '\''; text++) {
                ck_assert_msg(*text != '\0', "a quote is missing");
                ck_assert_uint_lt(hex.size, HEX_MAX);
                hex.bytes[hex.size++] = (uint8_t)*text;
            }
            text++;
        } else {
            hex.bytes[hex.size++] = (uint8_t)(digit(text[0]) << 4 | digit(text[1]));
            text += 2;
        }
    }
    return hex;
}
