/* The YAML of a configuration as a bounded stream of events, over libyaml.
 *
 * What a configuration has no use for never gets through: anchors and aliases (so nothing can
 * refer to itself or multiply), tags, directives for them, several documents, text that is not
 * valid UTF-8, NUL characters, and more than EVENTS_MAX events. Depth needs no bound of its own:
 * events are handed out one by one, and a reader that expects a mapping of lists of mappings of
 * words refuses the first thing that is deeper. */
#ifndef MREGION_CONF_EVENTS_H
#define MREGION_CONF_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <yaml.h>

#include "conf/conf.h"
#include "conf/text.h"

/* A full list of regions with every key takes some 50,000. */
#define EVENTS_MAX 100000

enum event_kind { EVENT_SCALAR, EVENT_LIST, EVENT_LIST_END, EVENT_MAP, EVENT_MAP_END, EVENT_END };

struct event {
    enum event_kind kind;
    struct position at;
    const char *text; /* of a scalar: borrowed until the next events_next or events_close */
    size_t length;
    bool is_plain; /* written without quotes */
};

struct events {
    const char *name; /* of the file */
    const char *text;
    size_t size;
    struct conf_error *error;
    size_t count;
    bool is_open; /* within the document */
    yaml_parser_t parser;
    yaml_event_t raw; /* what the last event borrows from */
};

/* Starts on size bytes at text; all pointers are borrowed until events_close, which is due after a
 * success only. -EINVAL with the position of what is not text; -ENOMEM. */
int events_open(struct events *events, const char *text, size_t size, const char *name,
                struct conf_error *error);
void events_close(struct events *events);

/* The next event; EVENT_END after the last one, or at once when the file is empty. -EINVAL,
 * -ENOMEM. */
int events_next(struct events *events, struct event *ret_event);

/* Fills the error with "NAME:LINE:COLUMN: " and the sentence, and returns -EINVAL. */
int events_fail(struct events *events, struct position at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Fills the error with "NAME: out of memory" and returns -ENOMEM. */
int events_fail_memory(struct events *events);

/* What an event is, for a message: `a list`, `the number 5`, `"text"`. */
void event_describe(const struct event *event, char text[TEXT_QUOTED_SIZE]);

#endif
