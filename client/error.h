/* Filling struct mregion_error. Private to libmregion. */
#ifndef MREGION_CLIENT_ERROR_H
#define MREGION_CLIENT_ERROR_H

#include <stddef.h>

#include "client/mregion.h"

/* Fills *error, which may be NULL, with code and a sentence, and returns code. A macro around the
 * function shows that to who reads one file at a time. */
#define error_set(error, code, ...) (error_fill((error), (code), __VA_ARGS__), (int)(code))
void error_fill(struct mregion_error *error, enum mregion_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with the reason of an errno value behind the sentence: "cannot read: No such file...".
 */
#define error_set_system(error, code, number, ...)                                                 \
    (error_fill_system((error), (code), (number), __VA_ARGS__), (int)(code))
void error_fill_system(struct mregion_error *error, enum mregion_code code, int number,
                       const char *format, ...) __attribute__((format(printf, 4, 5)));

#define error_no_memory(error) error_set((error), MREGION_ERR_MEMORY, "out of memory")

/* Puts more behind the sentence; what does not fit is cut. */
void error_append(struct mregion_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The code of a server's error string, "CODE: sentence", and where the sentence begins. */
enum mregion_code error_parse(const char *text, size_t size, size_t *ret_sentence);

#endif
