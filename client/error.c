#include "client/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/err.h"

/* The public header stands alone and so repeats the numbers: they must be those of the table. */
#define ERR(symbol, name, exit_code)                                                               \
    _Static_assert((int)MREGION_##symbol == (int)symbol, "mregion.h disagrees with err.def");
#include "core/err.def"
#undef ERR

const char *mregion_version(void)
{
    return MREGION_VERSION;
}

const char *mregion_code_name(enum mregion_code code)
{
    switch (code) {
    case MREGION_ERR_CONNECT:
        return "connect_failed";
    case MREGION_ERR_TIMEOUT:
        return "timed_out";
    case MREGION_ERR_LOST:
        return "connection_lost";
    case MREGION_ERR_PROTOCOL:
        return "protocol_error";
    case MREGION_ERR_MEMORY:
        return "out_of_memory";
    case MREGION_ERR_ARGUMENT:
        return "bad_argument";
    case MREGION_ERR_FULL:
        return "pipeline_full";
    case MREGION_ERR_LOCAL_IO:
        return "local_io";
    case MREGION_ERR_CANCELED:
        return "canceled";
    default:
        return (unsigned)code < ERR_CODES ? err_name((enum err_code)code) : "unknown";
    }
}

void error_fill(struct mregion_error *error, enum mregion_code code, const char *format, ...)
{
    va_list args;

    if (error == NULL)
        return;
    error->code = code;
    va_start(args, format);
    (void)vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
}

void error_fill_system(struct mregion_error *error, enum mregion_code code, int number,
                       const char *format, ...)
{
    char reason[128];
    va_list args;

    if (error == NULL)
        return;
    error->code = code;
    va_start(args, format);
    (void)vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    error_append(error, ": %s", strerror_r(number, reason, sizeof reason));
}

void error_append(struct mregion_error *error, const char *format, ...)
{
    size_t length;
    va_list args;

    if (error == NULL)
        return;
    length = strlen(error->text);
    va_start(args, format);
    (void)vsnprintf(error->text + length, sizeof error->text - length, format, args);
    va_end(args);
}

enum mregion_code error_parse(const char *text, size_t size, size_t *ret_sentence)
{
    const char *colon = memmem(text, size, ": ", 2);
    size_t length = colon == NULL ? size : (size_t)(colon - text);
    enum err_code code = err_from_name(text, length);

    *ret_sentence = 0;
    /* err_from_name answers "internal" for what it does not know. */
    if (code == ERR_INTERNAL &&
        (length != strlen("internal") || memcmp(text, "internal", length) != 0))
        return MREGION_ERR_UNKNOWN;
    *ret_sentence = colon == NULL ? size : length + 2;
    return (enum mregion_code)code;
}
