#include "core/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int exit_code;
} codes[ERR_CODES] = {
    [ERR_OK] = {"ok", 0},
#define ERR(symbol, wire_name, exit_code) [symbol] = {wire_name, exit_code},
#include "core/err.def"
#undef ERR
};

int err_set(struct err *err, enum err_code code, const char *format, ...)
{
    if (err != NULL) {
        va_list args;

        err->code = code;
        va_start(args, format);
        (void)vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
    }
    return (int)code;
}

const char *err_name(enum err_code code)
{
    return (unsigned)code < ERR_CODES ? codes[code].name : codes[ERR_INTERNAL].name;
}

int err_exit_code(enum err_code code)
{
    return (unsigned)code < ERR_CODES ? codes[code].exit_code : codes[ERR_INTERNAL].exit_code;
}

enum err_code err_from_name(const char *name, unsigned long length)
{
    for (unsigned code = ERR_OK + 1; code < ERR_CODES; code++)
        if (strlen(codes[code].name) == length && memcmp(codes[code].name, name, length) == 0)
            return (enum err_code)code;
    return ERR_INTERNAL;
}
