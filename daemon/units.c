#include "daemon/units.h"

#include "conf/value.h"

bool units_parse_size(const char *text, size_t length, uint64_t *ret_bytes)
{
    return value_parse_size(text, length, ret_bytes) == VALUE_OK;
}

bool units_parse_time(const char *text, size_t length, uint64_t *ret_ms)
{
    return value_parse_time(text, length, ret_ms) == VALUE_OK;
}
