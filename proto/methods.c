#include "proto/methods.h"

#include <stdint.h>
#include <string.h>

#include "core/bytes.h"

const struct method methods[METHODS] = {
#define METHOD(symbol, wire_name, letters, parameter_names, option_names, result_type, kind)       \
    [METHOD_##symbol] = {wire_name,    letters,     sizeof letters - 1, parameter_names,           \
                         option_names, result_type, METHOD_##kind},
#include "proto/methods.def"
#undef METHOD
};

/* Open addressing: a power of two, several times the number of methods, so that a lookup ends
 * after one or two probes whatever the name. Filled once, before main, and only read after. */
#define SLOTS 256
_Static_assert(METHODS * 4 <= SLOTS, "the table of method names is too full to be fast");
_Static_assert(METHODS < UINT8_MAX, "a slot has one byte");

static uint8_t slots[SLOTS]; /* enum method_id + 1; 0 is empty */
static uint8_t lengths[METHODS];

/* length > 0 */
static unsigned slot_of(const char *name, size_t length)
{
    unsigned first = (unsigned char)name[0];
    unsigned middle = (unsigned char)name[length / 2];
    unsigned last = (unsigned char)name[length - 1];

    return (unsigned)(first * 5 + middle * 17 + last * 3 + length * 29) % SLOTS;
}

__attribute__((constructor)) static void fill_slots(void)
{
    for (unsigned id = 0; id < METHODS; id++) {
        size_t length = strlen(methods[id].name);
        unsigned slot = slot_of(methods[id].name, length);

        while (slots[slot] != 0)
            slot = (slot + 1) % SLOTS;
        slots[slot] = (uint8_t)(id + 1);
        lengths[id] = (uint8_t)length;
    }
}

/* The list of its options has no other where it has this one. */
bool method_takes_token(enum method_id method)
{
    return strcmp(methods[method].options, "token") == 0;
}

bool method_is_change(enum method_id method)
{
    const char *parameters = methods[method].parameters;

    return method_takes_token(method) && parameters[0] == 'R' && strchr(parameters, 'C') == NULL;
}

enum method_id method_find(const char *name, size_t length)
{
    if (length == 0)
        return METHODS;
    for (unsigned slot = slot_of(name, length); slots[slot] != 0; slot = (slot + 1) % SLOTS) {
        unsigned id = slots[slot] - 1U;

        if (lengths[id] == length && is_same_name(methods[id].name, name, length))
            return (enum method_id)id;
    }
    return METHODS;
}
