/* Reading a validated frame value by value, in place: no tree of objects, no allocation. The
 * bytes behind the cursor must be a frame that frame_scan has called complete. */
#ifndef MREGION_PROTO_CURSOR_H
#define MREGION_PROTO_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cursor {
    const uint8_t *at;
    const uint8_t *end;
};

enum value_type {
    VALUE_NIL,
    VALUE_BOOL,
    VALUE_UINT,     /* any integer that is not negative, in any width, signed or not */
    VALUE_NEGATIVE, /* a negative integer */
    VALUE_FLOAT,
    VALUE_STR,
    VALUE_BIN,
    VALUE_ARRAY,
    VALUE_MAP,
    VALUE_EXT,
    VALUE_NONE, /* the cursor is at its end */
};

struct value {
    enum value_type type;
    union {
        bool boolean;
        uint64_t number; /* VALUE_UINT */
        int64_t negative;
        double real;
        struct {
            const uint8_t *bytes; /* points into the frame */
            uint32_t size;
        } raw;          /* VALUE_STR, VALUE_BIN, VALUE_EXT */
        uint32_t count; /* VALUE_ARRAY: elements; VALUE_MAP: pairs */
    };
};

/* cursor_next for the forms that carry no length or small number in their first byte. */
struct value cursor_next_wide(struct cursor *cursor);

/* Reads the value at the cursor and moves behind it; of an array or map only its header. */
static inline struct value cursor_next(struct cursor *cursor)
{
    const uint8_t *at = cursor->at;
    uint8_t first = at < cursor->end ? *at : 0xc1;

    if (first <= 0x7f) {
        cursor->at = at + 1;
        return (struct value){.type = VALUE_UINT, .number = first};
    }
    if (first >= 0x90 && first <= 0x9f) {
        cursor->at = at + 1;
        return (struct value){.type = VALUE_ARRAY, .count = first & 0x0f};
    }
    if (first >= 0xa0 && first <= 0xbf) {
        uint32_t size = first & 0x1f;

        cursor->at = at + 1 + size;
        return (struct value){.type = VALUE_STR, .raw = {.bytes = at + 1, .size = size}};
    }
    return cursor_next_wide(cursor);
}

/* Moves behind the whole value at the cursor, however deep. */
void cursor_skip(struct cursor *cursor);
/* "an unsigned integer", "a float", "a map"…: for error sentences. */
const char *value_type_name(enum value_type type);

#endif
