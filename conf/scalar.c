#include "conf/scalar.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "conf/address.h"
#include "conf/hash.h"
#include "conf/value.h"

/* Everything that the functions below need to complain. */
struct scalar {
    struct events *events;
    const struct setting *setting;
    const struct event *event;
    void *field;
    char quoted[TEXT_QUOTED_SIZE]; /* what came, as messages show it */
};

static int fail_expected(struct scalar *scalar, const char *expected)
{
    return events_fail(scalar->events, scalar->event->at, "%s must be %s, not %s",
                       scalar->setting->name, expected, scalar->quoted);
}

static int fail_range(struct scalar *scalar)
{
    const struct setting *setting = scalar->setting;
    char low[SETTING_TEXT_SIZE];
    char high[SETTING_TEXT_SIZE];
    bool has_unit = setting->kind == KIND_COUNT;

    setting_format(setting, setting->low, low, sizeof low);
    setting_format(setting, setting->high, high, sizeof high);
    return events_fail(
        scalar->events, scalar->event->at, "%s must be between %s and %s%s%s, not %.*s",
        setting->name, low, high, has_unit ? " " : "", has_unit ? setting->unit : "",
        (int)(scalar->event->length < TEXT_SHOWN ? scalar->event->length : TEXT_SHOWN),
        scalar->event->text);
}

static const char *expected_number(enum setting_kind kind)
{
    switch (kind) {
    case KIND_SIZE:
        return "a size such as 64MiB";
    case KIND_TIME:
        return "a time such as 100ms";
    case KIND_ID:
        return "the number of a user or group";
    default:
        return "a whole number";
    }
}

/* A number was followed by a word that is no unit here. */
static int fail_unit(struct scalar *scalar)
{
    const struct event *event = scalar->event;
    enum setting_kind kind = scalar->setting->kind;
    const char *guess = NULL;
    size_t digits = strspn(event->text, "0123456789");

    if (kind == KIND_ID)
        return fail_expected(scalar, expected_number(kind));
    if (kind == KIND_COUNT)
        return events_fail(scalar->events, event->at, "%s is a plain number of %s, not %s",
                           scalar->setting->name, scalar->setting->unit, scalar->quoted);
    guess = kind == KIND_SIZE ? value_guess_size_unit(event->text, event->length)
                              : value_guess_time_unit(event->text, event->length);
    if (guess != NULL && digits < TEXT_SHOWN)
        return events_fail(scalar->events, event->at,
                           "unknown unit in %s: %s; did you mean \"%.*s%s\"?",
                           scalar->setting->name, scalar->quoted, (int)digits, event->text, guess);
    return events_fail(scalar->events, event->at, "unknown unit in %s: %s; %s",
                       scalar->setting->name, scalar->quoted,
                       kind == KIND_SIZE ? "sizes take KiB, MiB, GiB or TiB"
                                         : "times take ms, s, m or h");
}

static int fail_number(struct scalar *scalar, enum value_error error)
{
    const struct event *event = scalar->event;
    const char *name = scalar->setting->name;

    switch (error) {
    case VALUE_NEGATIVE:
    case VALUE_OVERFLOW:
        return fail_range(scalar);
    case VALUE_FRACTION:
        return events_fail(scalar->events, event->at, "%s must be a whole number, not %s%s", name,
                           scalar->quoted,
                           scalar->setting->kind == KIND_SIZE || scalar->setting->kind == KIND_TIME
                               ? "; use a smaller unit"
                               : "");
    case VALUE_LEADING_ZERO:
        return events_fail(scalar->events, event->at,
                           "%s must not start with 0, which is octal to some and decimal to "
                           "others, as in %s",
                           name, scalar->quoted);
    case VALUE_UNIT:
        return fail_unit(scalar);
    case VALUE_NO_UNIT:
        return events_fail(scalar->events, event->at, "%s needs a unit: ms, s, m or h, not %s",
                           name, scalar->quoted);
    default:
        return fail_expected(scalar, expected_number(scalar->setting->kind));
    }
}

static int store_number(struct scalar *scalar)
{
    const struct event *event = scalar->event;
    const struct setting *setting = scalar->setting;
    uint64_t number = 0;
    enum value_error error;

    if (setting->kind == KIND_SIZE)
        error = value_parse_size(event->text, event->length, &number);
    else if (setting->kind == KIND_TIME)
        error = value_parse_time(event->text, event->length, &number);
    else if (!event->is_plain)
        return fail_expected(scalar, setting->kind == KIND_ID ? "the number of a user or group"
                                                              : "a number without quotes");
    else
        error = value_parse_count(event->text, event->length, &number);
    if (error != VALUE_OK)
        return fail_number(scalar, error);
    if (number < setting->low || number > setting->high)
        return fail_range(scalar);
    *(uint64_t *)scalar->field = number;
    return 0;
}

static int store_mode(struct scalar *scalar)
{
    unsigned mode;
    enum value_error error = value_parse_mode(scalar->event->text, scalar->event->length, &mode);

    if (error == VALUE_OVERFLOW)
        return fail_range(scalar);
    if (error != VALUE_OK)
        return fail_expected(scalar, "octal permissions such as 0660 (digits 0 to 7)");
    *(unsigned *)scalar->field = mode;
    return 0;
}

static int store_word(struct scalar *scalar)
{
    const struct event *event = scalar->event;
    const char *guess = setting_suggest_word(scalar->setting, event->text, event->length);
    char words[SETTING_TEXT_SIZE];
    const char *word;

    for (unsigned i = 0; (word = setting_word(scalar->setting, i)) != NULL; i++) {
        if (strlen(word) != event->length || memcmp(word, event->text, event->length) != 0)
            continue;
        /* Every enum that a word stands for is an unsigned int to the compiler. */
        *(unsigned *)scalar->field = i;
        return 0;
    }
    setting_format_words(scalar->setting, words, sizeof words);
    if (guess == NULL)
        return fail_expected(scalar, words);
    return events_fail(scalar->events, event->at, "%s must be %s, not %s; did you mean \"%s\"?",
                       scalar->setting->name, words, scalar->quoted, guess);
}

/* Text that YAML takes for something else was perhaps not meant as text. */
static int check_text(struct scalar *scalar, const char *expected)
{
    const struct event *event = scalar->event;
    enum text_type type;

    if (!event->is_plain)
        return 0;
    type = text_type_of(event->text, event->length);
    if (type == TEXT_WORD)
        return 0;
    if (type == TEXT_NULL)
        return fail_expected(scalar, expected);
    return events_fail(scalar->events, event->at,
                       "%s must be %s, not %s; put it into quotes if you mean it",
                       scalar->setting->name, expected, scalar->quoted);
}

static int keep_text(struct scalar *scalar)
{
    char **field = scalar->field;
    char *text = strndup(scalar->event->text, scalar->event->length);

    if (text == NULL)
        return events_fail_memory(scalar->events);
    free(*field);
    *field = text;
    return 0;
}

/* A text of at least one byte. */
static int store_text(struct scalar *scalar, const char *expected, int length_max)
{
    const struct event *event = scalar->event;
    int code = check_text(scalar, expected);

    if (code != 0)
        return code;
    if (event->length == 0)
        return fail_expected(scalar, expected);
    if (event->length > (size_t)length_max)
        return events_fail(scalar->events, event->at, "%s has at most %d bytes, not %zu",
                           scalar->setting->name, length_max, event->length);
    return keep_text(scalar);
}

/* Neither the hash nor what may be a password by mistake is shown. */
static int store_hash(struct scalar *scalar)
{
    const struct event *event = scalar->event;
    const char *problem;
    int code = hash_check(event->text, event->length, &problem);

    if (code == -ENOMEM)
        return events_fail_memory(scalar->events);
    if (code != 0)
        return events_fail(scalar->events, event->at, "%s %s", scalar->setting->name, problem);
    return keep_text(scalar);
}

static bool is_one_of(char character, const char *others)
{
    return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
           (character >= '0' && character <= '9') ||
           (character != '\0' && strchr(others, character) != NULL);
}

/* A short word of such characters, into the array at the field. first: those that it may not begin
 * with. */
static int store_short(struct scalar *scalar, const char *expected, const char *others,
                       const char *first)
{
    const struct event *event = scalar->event;
    char *field = scalar->field;
    int code = check_text(scalar, expected);

    if (code != 0)
        return code;
    if (event->length < scalar->setting->low || event->length > scalar->setting->high ||
        (event->text[0] != '\0' && strchr(first, event->text[0]) != NULL))
        return fail_expected(scalar, expected);
    for (size_t i = 0; i < event->length; i++)
        if (!is_one_of(event->text[i], others))
            return fail_expected(scalar, expected);
    memcpy(field, event->text, event->length);
    field[event->length] = '\0';
    return 0;
}

/* A path, or the word none; a file of that name is ./none. */
static int store_file(struct scalar *scalar)
{
    const struct event *event = scalar->event;
    char **field = scalar->field;

    if (!event->is_plain || event->length != strlen("none") ||
        memcmp(event->text, "none", event->length) != 0)
        return store_text(scalar, "a path", CONF_DATA_DIR_MAX);
    free(*field);
    *field = NULL;
    return 0;
}

/* Whether there is such a user is not asked here: a reload must be able to read the file where
 * nobody may look that up any more. */
static int store_run_as(struct scalar *scalar)
{
    const struct event *event = scalar->event;
    struct conf_run_as *run_as = scalar->field;
    char *name;
    int code = check_text(scalar, "the name of a user");

    if (code != 0)
        return code;
    if (event->length > CONF_RUN_AS_MAX)
        return events_fail(scalar->events, event->at, "%s has at most %d bytes, not %zu",
                           scalar->setting->name, CONF_RUN_AS_MAX, event->length);
    name = strndup(event->text, event->length);
    if (name == NULL)
        return events_fail_memory(scalar->events);
    free(run_as->name);
    *run_as = (struct conf_run_as){name, event->at.line, event->at.column};
    return 0;
}

static int store_name(struct scalar *scalar)
{
    const struct event *event = scalar->event;
    char *name = scalar->field;
    int code = check_text(scalar, "a region's name");

    if (code != 0)
        return code;
    if (!region_name_is_valid(event->text, event->length))
        return events_fail(scalar->events, event->at,
                           "a region's name is 1 to %d letters, digits, dots, underscores and "
                           "hyphens, a letter or digit first, not %s",
                           REGION_NAME_MAX, scalar->quoted);
    memcpy(name, event->text, event->length);
    name[event->length] = '\0';
    return 0;
}

static int store_address(struct scalar *scalar, struct conf_listen *listen)
{
    const struct event *event = scalar->event;
    enum setting_kind kind = scalar->setting->kind;
    bool is_unix = kind == KIND_UNIX;
    char problem[ADDRESS_PROBLEM_SIZE];
    struct conf_listen parsed;
    int code = check_text(scalar, is_unix ? "a path" : "HOST:PORT, such as 127.0.0.1:7420");

    if (code != 0)
        return code;
    code = is_unix            ? address_parse_unix(event->text, event->length, &parsed, problem)
           : kind == KIND_TLS ? address_parse_tls(event->text, event->length, &parsed, problem)
                              : address_parse_tcp(event->text, event->length, &parsed, problem);
    if (code == -ENOMEM)
        return events_fail_memory(scalar->events);
    if (code != 0)
        return events_fail(scalar->events, event->at, "%s", problem);
    if (is_unix) /* the mode has a key of its own, which may stand before this one */
        parsed.mode = listen->mode;
    address_release(listen);
    *listen = parsed;
    return 0;
}

#define EXPECTED_SUBJECT "the subject of a certificate, such as CN=alice,O=Example"
#define EXPECTED_USER_NAME                                                                         \
    "a user's name of 1 to 64 letters, digits, dots, underscores, hyphens and at signs, a letter " \
    "or digit first"
#define EXPECTED_PATTERN                                                                           \
    "a pattern of regions' names such as photos-*: 1 to 64 letters, digits, dots, underscores, "   \
    "hyphens, * and ?"

static const char *expected_kind(enum setting_kind kind)
{
    switch (kind) {
    case KIND_USER_NAME:
        return EXPECTED_USER_NAME;
    case KIND_PATTERN:
        return EXPECTED_PATTERN;
    case KIND_HASH:
        return "an argon2id hash, as mrcli passwd prints it";
    case KIND_SUBJECT:
        return EXPECTED_SUBJECT;
    case KIND_PATH:
    case KIND_UNIX:
        return "a path";
    case KIND_FILE:
        return "a path or the word none";
    case KIND_TCP:
    case KIND_TLS:
        return "HOST:PORT, such as 127.0.0.1:7420 or, in quotes, \"[::1]:7420\"";
    case KIND_MODE:
        return "octal permissions such as 0660 (digits 0 to 7)";
    case KIND_NAME:
        return "a region's name";
    case KIND_RUN_AS:
        return "the name of a user";
    case KIND_SIZE:
    case KIND_TIME:
    case KIND_COUNT:
    case KIND_ID:
        return expected_number(kind);
    default:
        return "a word";
    }
}

int scalar_store(struct events *events, const struct setting *setting, const struct event *event,
                 void *base)
{
    struct scalar scalar = {
        .events = events,
        .setting = setting,
        .event = event,
        .field = (char *)base + setting->offset,
    };

    event_describe(event, scalar.quoted);
    if (event->kind != EVENT_SCALAR)
        return fail_expected(&scalar, expected_kind(setting->kind));
    switch (setting->kind) {
    case KIND_PATH:
        return store_text(&scalar, "a path", CONF_DATA_DIR_MAX);
    case KIND_FILE:
        return store_file(&scalar);
    case KIND_HASH:
        return store_hash(&scalar);
    case KIND_SUBJECT:
        return store_text(&scalar, EXPECTED_SUBJECT, CONF_SUBJECT_MAX);
    case KIND_USER_NAME:
        return store_short(&scalar, EXPECTED_USER_NAME, "._-@", "._-@");
    case KIND_PATTERN:
        return store_short(&scalar, EXPECTED_PATTERN, "._-*?", "._-");
    case KIND_SIZE:
    case KIND_TIME:
    case KIND_COUNT:
    case KIND_ID:
        return store_number(&scalar);
    case KIND_MODE:
        return store_mode(&scalar);
    case KIND_NAME:
        return store_name(&scalar);
    case KIND_RUN_AS:
        return store_run_as(&scalar);
    case KIND_UNIX:
    case KIND_TCP:
    case KIND_TLS:
        return store_address(&scalar, base);
    default:
        return store_word(&scalar);
    }
}
