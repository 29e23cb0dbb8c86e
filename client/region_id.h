/* "#7": a region by its numeric id. Private to libmregion. */
#ifndef MREGION_CLIENT_REGION_ID_H
#define MREGION_CLIENT_REGION_ID_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* False for whatever is not a decimal number of 64 bits and nothing else. */
static inline bool decimal_parse(const char *digits, uint64_t *ret_number)
{
    unsigned long long number;

    if (digits[0] == '\0' || digits[strspn(digits, "0123456789")] != '\0')
        return false;
    errno = 0;
    number = strtoull(digits, NULL, 10);
    if (errno != 0)
        return false;
    *ret_number = number;
    return true;
}

/* False for whatever is not "#" and such a number: a name. */
static inline bool region_id_parse(const char *region, uint64_t *ret_id)
{
    return region[0] == '#' && decimal_parse(region + 1, ret_id);
}

#endif
