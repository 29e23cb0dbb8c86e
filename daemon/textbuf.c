#include "daemon/textbuf.h"

#include <stdio.h>
#include <stdlib.h>

#define TEXTBUF_FIRST 4096

void textbuf_release(struct textbuf *text)
{
    free(text->bytes);
    *text = (struct textbuf){0};
}

static bool make_room(struct textbuf *text, size_t size)
{
    size_t capacity = text->capacity > 0 ? text->capacity : TEXTBUF_FIRST;
    if (text->has_failed)
        return false;
    if (text->capacity - text->used >= size)
        return true;
    while (capacity - text->used < size)
        capacity *= 2;
    char *bytes = realloc(text->bytes, capacity);
    text->has_failed = bytes == NULL;
    if (text->has_failed)
        return false;
    text->bytes = bytes;
    text->capacity = capacity;
    return true;
}

void textbuf_add(struct textbuf *text, const char *bytes, size_t size)
{
    if (!make_room(text, size))
        return;
    memcpy(text->bytes + text->used, bytes, size);
    text->used += size;
}

#define DIGITS_MAX 20

void textbuf_number(struct textbuf *text, uint64_t number)
{
    char digits[DIGITS_MAX];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    textbuf_add(text, digits + at, sizeof digits - at);
}

void textbuf_millionths(struct textbuf *text, uint64_t number)
{
    char digits[8];
    uint64_t rest = number % 1000000;
    textbuf_number(text, number / 1000000);
    if (rest == 0)
        return;
    (void)snprintf(digits, sizeof digits, ".%06u", (unsigned)rest);
    size_t length = 7;
    while (digits[length - 1] == '0')
        length--;
    textbuf_add(text, digits, length);
}

void textbuf_json(struct textbuf *text, const char *string)
{
    textbuf_add(text, "\"", 1);
    for (; *string != '\0'; string++) {
        unsigned char byte = (unsigned char)*string;
        char escaped[8];
        if (byte == '"' || byte == '\\')
            textbuf_add(text, "\\", 1);
        if (byte < 0x20) {
            int length = snprintf(escaped, sizeof escaped, "\\u%04x", byte);
            textbuf_add(text, escaped, (size_t)length);
        } else {
            textbuf_add(text, string, 1);
        }
    }
    textbuf_add(text, "\"", 1);
}
