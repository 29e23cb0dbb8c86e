/* A text that grows as it is written. Where memory runs out it stays as it is, and has_failed says
 * so. No thread is special. */
#ifndef MREGION_DAEMON_TEXTBUF_H
#define MREGION_DAEMON_TEXTBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct textbuf {
    char *bytes; /* not terminated */
    size_t used, capacity;
    bool has_failed;
};

/* Starts with all zeros. */
void textbuf_release(struct textbuf *text);
void textbuf_add(struct textbuf *text, const char *bytes, size_t size);
static inline void textbuf_put(struct textbuf *text, const char *string)
{
    textbuf_add(text, string, strlen(string));
}
void textbuf_number(struct textbuf *text, uint64_t number);
/* So many millionths, without zeros at the end: 1.25. */
void textbuf_millionths(struct textbuf *text, uint64_t number);
/* As a string of JSON, in quotes. */
void textbuf_json(struct textbuf *text, const char *string);

#endif
