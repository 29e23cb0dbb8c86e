#include "conf/events.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int events_fail(struct events *events, struct position at, const char *format, ...)
{
    struct conf_error *error = events->error;
    int written;
    size_t used;
    va_list args;

    if (error == NULL)
        return -EINVAL;
    error->line = at.line;
    error->column = at.column;
    written = snprintf(error->text, sizeof error->text, "%.*s:%zu:%zu: ", PATH_MAX, events->name,
                       at.line, at.column);
    used = written < 0 ? 0 : (size_t)written;
    va_start(args, format);
    (void)vsnprintf(error->text + used, sizeof error->text - used, format, args);
    va_end(args);
    return -EINVAL;
}

int events_fail_memory(struct events *events)
{
    if (events->error != NULL) {
        events->error->line = 0;
        events->error->column = 0;
        (void)snprintf(events->error->text, sizeof events->error->text, "%.*s: out of memory",
                       PATH_MAX, events->name);
    }
    return -ENOMEM;
}

static struct position position_of(yaml_mark_t mark)
{
    return (struct position){mark.line + 1, mark.column + 1};
}

int events_open(struct events *events, const char *text, size_t size, const char *name,
                struct conf_error *error)
{
    struct position at;
    char message[TEXT_MESSAGE_SIZE];

    memset(events, 0, sizeof *events);
    events->name = name;
    events->error = error;
    if (!text_check(text, size, &at, message))
        return events_fail(events, at, "%s", message);
    /* A byte order mark is no text. */
    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        size -= 3;
    }
    events->text = text;
    events->size = size;
    if (!yaml_parser_initialize(&events->parser))
        return events_fail_memory(events);
    yaml_parser_set_encoding(&events->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&events->parser, (const unsigned char *)text, size);
    return 0;
}

void events_close(struct events *events)
{
    yaml_event_delete(&events->raw);
    yaml_parser_delete(&events->parser);
}

/* The byte of the character at an index that counts characters; 0 past the end. */
static char byte_at(const struct events *events, size_t index)
{
    for (size_t i = 0; i < events->size; i++) {
        if (((unsigned char)events->text[i] & 0xc0) == 0x80)
            continue;
        if (index == 0)
            return events->text[i];
        index--;
    }
    return '\0';
}

/* What libyaml complains about, with what usually is behind it. */
static int fail_syntax(struct events *events)
{
    const yaml_parser_t *parser = &events->parser;
    struct position at = position_of(parser->problem_mark);
    const char *problem = parser->problem != NULL ? parser->problem : "it cannot be read";
    const char *context = parser->context;

    if (parser->error == YAML_MEMORY_ERROR)
        return events_fail_memory(events);
    if (parser->error == YAML_SCANNER_ERROR && byte_at(events, parser->problem_mark.index) == '\t')
        return events_fail(events, at, "a tab must not indent; use spaces");
    if (context == NULL)
        return events_fail(events, at, "this is not YAML: %s", problem);
    return events_fail(events, at, "this is not YAML: %s, %s that starts on line %zu", problem,
                       context, parser->context_mark.line + 1);
}

/* Refuses what may stand in YAML but not here. */
static int check_properties(struct events *events, struct position at, const yaml_char_t *anchor,
                            const yaml_char_t *tag)
{
    char quoted[TEXT_QUOTED_SIZE];

    if (anchor != NULL) {
        text_quote((const char *)anchor, strlen((const char *)anchor), TEXT_SHOWN, quoted,
                   sizeof quoted);
        return events_fail(events, at,
                           "anchors and aliases are not allowed: %s; write the value out", quoted);
    }
    if (tag != NULL) {
        text_quote((const char *)tag, strlen((const char *)tag), TEXT_SHOWN, quoted, sizeof quoted);
        return events_fail(events, at, "tags are not allowed: %s; leave it out", quoted);
    }
    return 0;
}

static int take_scalar(struct events *events, struct event *event)
{
    const yaml_event_t *raw = &events->raw;

    event->kind = EVENT_SCALAR;
    event->text = (const char *)raw->data.scalar.value;
    event->length = raw->data.scalar.length;
    event->is_plain = raw->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (memchr(event->text, '\0', event->length) != NULL)
        return events_fail(events, event->at, "a NUL character is not allowed");
    return check_properties(events, event->at, raw->data.scalar.anchor, raw->data.scalar.tag);
}

static int take_document(struct events *events, struct position at)
{
    const yaml_event_t *raw = &events->raw;

    if (events->is_open)
        return events_fail(events, at, "a second document is not allowed; the file holds one");
    if (raw->data.document_start.tag_directives.start !=
        raw->data.document_start.tag_directives.end)
        return events_fail(events, at, "directives for tags are not allowed; leave them out");
    events->is_open = true;
    return 0;
}

/* Turns the raw event into ours; *ret_taken is false for one that is not handed out. */
static int take_event(struct events *events, struct event *event, bool *ret_taken)
{
    const yaml_event_t *raw = &events->raw;

    *ret_taken = true;
    event->at = position_of(raw->start_mark);
    switch (raw->type) {
    case YAML_SCALAR_EVENT:
        return take_scalar(events, event);
    case YAML_SEQUENCE_START_EVENT:
        event->kind = EVENT_LIST;
        return check_properties(events, event->at, raw->data.sequence_start.anchor,
                                raw->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
        event->kind = EVENT_MAP;
        return check_properties(events, event->at, raw->data.mapping_start.anchor,
                                raw->data.mapping_start.tag);
    case YAML_ALIAS_EVENT:
        return check_properties(events, event->at, raw->data.alias.anchor, NULL);
    case YAML_SEQUENCE_END_EVENT:
        event->kind = EVENT_LIST_END;
        return 0;
    case YAML_MAPPING_END_EVENT:
        event->kind = EVENT_MAP_END;
        return 0;
    case YAML_DOCUMENT_START_EVENT:
        *ret_taken = false;
        return take_document(events, event->at);
    case YAML_STREAM_END_EVENT:
    case YAML_NO_EVENT: /* asked again after the end */
        event->kind = EVENT_END;
        return 0;
    default:
        *ret_taken = false;
        return 0;
    }
}

int events_next(struct events *events, struct event *ret_event)
{
    bool is_taken = false;

    while (!is_taken) {
        struct event event = {0};
        int code;

        yaml_event_delete(&events->raw);
        if (!yaml_parser_parse(&events->parser, &events->raw))
            return fail_syntax(events);
        code = take_event(events, &event, &is_taken);
        if (code != 0)
            return code;
        if (++events->count > EVENTS_MAX)
            return events_fail(events, event.at, "the file has more than %d items", EVENTS_MAX);
        *ret_event = event;
    }
    return 0;
}

void event_describe(const struct event *event, char text[TEXT_QUOTED_SIZE])
{
    enum text_type type = TEXT_WORD;
    const char *before = "";

    switch (event->kind) {
    case EVENT_LIST:
        (void)snprintf(text, TEXT_QUOTED_SIZE, "a list");
        return;
    case EVENT_MAP:
        (void)snprintf(text, TEXT_QUOTED_SIZE, "a mapping");
        return;
    case EVENT_SCALAR:
        break;
    default:
        (void)snprintf(text, TEXT_QUOTED_SIZE, "an empty value");
        return;
    }
    if (event->is_plain)
        type = text_type_of(event->text, event->length);
    if (type == TEXT_NULL) {
        (void)snprintf(text, TEXT_QUOTED_SIZE, "an empty value");
        return;
    }
    before = type == TEXT_BOOLEAN ? "the boolean " : type == TEXT_NUMBER ? "the number " : "";
    if (type == TEXT_WORD)
        text_quote(event->text, event->length, TEXT_SHOWN, text, TEXT_QUOTED_SIZE);
    else
        (void)snprintf(text, TEXT_QUOTED_SIZE, "%s%.*s", before,
                       (int)(event->length < TEXT_SHOWN ? event->length : TEXT_SHOWN), event->text);
}
