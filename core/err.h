/* Errors: one code and one sentence, carried by the caller's struct err.
 *
 * A function that can fail returns 0 or one of enum err_code, and on failure has filled the
 * caller's struct err with the same code and a sentence that names the thing, the limit and,
 * where there is one, the remedy. On success the struct is left alone. */
#ifndef MREGION_CORE_ERR_H
#define MREGION_CORE_ERR_H

enum err_code {
    ERR_OK = 0,
#define ERR(symbol, name, exit_code) symbol,
#include "core/err.def"
#undef ERR
    ERR_CODES
};

#define ERR_TEXT_SIZE 256 /* longest sentence, with its terminator; longer ones are cut */

struct err {
    enum err_code code;
    char text[ERR_TEXT_SIZE];
};

/* Fills *err with code and a printf-formatted sentence (no code in front, no full stop at the
 * end) and returns code. err may be NULL. */
int err_set(struct err *err, enum err_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The wire name of a code, "ok" for ERR_OK; never NULL. */
const char *err_name(enum err_code code);

/* The exit code of mrcli for an error. */
int err_exit_code(enum err_code code);

/* The code whose wire name is the length bytes at name; ERR_INTERNAL where there is none. */
enum err_code err_from_name(const char *name, unsigned long length);

#endif
