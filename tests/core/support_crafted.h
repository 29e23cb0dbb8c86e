/* Rows of a table of crafted folders: what is changed in one that is well, and what is to come of
 * it. */
#ifndef MREGION_TESTS_SUPPORT_CRAFTED_H
#define MREGION_TESTS_SUPPORT_CRAFTED_H

#include <check.h>

#include "core/limits.h"
#include "core/options.h"
#include "support_craft.h"
#include "support_verdict.h"

struct crafted {
    const char *text; /* of the change, for messages */
    size_t at, size;  /* the number that is changed, in struct craft */
    uint64_t value;
    void (*make)(struct craft *c); /* or this is done */
    int code;                      /* of the opening, and words of its error */
    const char *words[2];
    uint64_t records, damaged, cut; /* where it is opened */
};

#define SET(field, to)                                                                             \
    .text = #field " = " #to, .at = offsetof(struct craft, field),                                 \
    .size = sizeof(((struct craft *)NULL)->field), .value = (to)
#define MADE(function) .text = #function, .make = (function)

#define REFUSED(change, one, other)                                                                \
    {                                                                                              \
        change, .code = ERR_CORRUPT, .words = { one, other }                                       \
    }
#define NEWER(change, one, other)                                                                  \
    {                                                                                              \
        change, .code = ERR_INVALID_ARGUMENT, .words = { one, other }                              \
    }
#define FAILED(change, one, other)                                                                 \
    {                                                                                              \
        change, .code = ERR_IO_ERROR, .words = { one, other }                                      \
    }
/* Opened: that many records are read; that many pages do not match their sums. */
#define READ(change, count, bad)                                                                   \
    {                                                                                              \
        change, .records = (count), .damaged = (bad)                                               \
    }
#define OPENED(change)                                                                             \
    {                                                                                              \
        change, .records = 3                                                                       \
    }
/* The tail of the journal is cut, with a report. */
#define CUT(change, count, bytes)                                                                  \
    {                                                                                              \
        change, .records = (count), .cut = (bytes)                                                 \
    }

void crafted_change(struct craft *c, const struct crafted *row);
/* The verdict on c; the folder is in the present format, or in format 1 and migrated. */
void crafted_judge(const struct craft *c, const char *text, struct verdict *ret_verdict);
void crafted_expect(const struct verdict *verdict, const struct crafted *row);

/* That the folder which everything begins with is well. */
TCase *crafted_well(void);
/* A test for each row, in format 2. */
TCase *crafted_case(const char *name, const struct crafted *rows, size_t count);
#define CRAFTED_CASE(name, rows) crafted_case(name, rows, sizeof(rows) / sizeof((rows)[0]))

#endif
