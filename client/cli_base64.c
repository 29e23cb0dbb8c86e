#include "client/cli_base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void cli_base64_write(FILE *file, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;

    while (size > 0) {
        size_t taken = size < 3 ? size : 3;
        uint32_t group = (uint32_t)at[0] << 16;
        char text[4];

        if (taken > 1)
            group |= (uint32_t)at[1] << 8;
        if (taken > 2)
            group |= at[2];
        for (int i = 0; i < 4; i++)
            text[i] = alphabet[group >> (18 - 6 * i) & 63];
        for (size_t i = taken + 1; i < 4; i++)
            text[i] = '=';
        (void)fwrite(text, 1, sizeof text, file);
        at += taken;
        size -= taken;
    }
}

static int digit(char character)
{
    if (character >= 'A' && character <= 'Z')
        return character - 'A';
    if (character >= 'a' && character <= 'z')
        return character - 'a' + 26;
    if (character >= '0' && character <= '9')
        return character - '0' + 52;
    if (character == '+')
        return 62;
    return character == '/' ? 63 : -1;
}

bool cli_base64_decode(const char *text, size_t length, uint8_t *bytes, size_t *ret_size)
{
    size_t size = 0;
    size_t padding = 0;

    if (length % 4 != 0)
        return false;
    while (padding < 2 && padding < length && text[length - 1 - padding] == '=')
        padding++;
    for (size_t i = 0; i < length; i += 4) {
        size_t digits = i + 4 == length ? 4 - padding : 4;
        uint32_t group = 0;

        for (size_t j = 0; j < digits; j++) {
            int value = digit(text[i + j]);

            if (value < 0)
                return false;
            group |= (uint32_t)value << (18 - 6 * j);
        }
        if ((digits == 3 && (group & 0xff) != 0) || (digits == 2 && (group & 0xffff) != 0))
            return false;
        for (size_t j = 0; j + 1 < digits; j++)
            bytes[size++] = (uint8_t)(group >> (16 - 8 * j));
    }
    *ret_size = size;
    return true;
}
