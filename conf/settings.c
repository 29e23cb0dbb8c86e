#include "conf/settings.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "conf/edit.h"
#include "conf/value.h"

#define STRUCT_OF_TOP struct conf
#define STRUCT_OF_LISTEN struct conf_listen
#define STRUCT_OF_REGION struct conf_region
#define STRUCT_OF_USER struct conf_user
#define STRUCT_OF_GRANT struct conf_grant

const struct setting settings[SETTINGS] = {
#define SETTING(scope, name, kind, field, low, high, default_text, unit, prose)                    \
    {SCOPE_##scope, #name, KIND_##kind, offsetof(STRUCT_OF_##scope, field), low, high,             \
     default_text,  unit,  prose},
#include "conf/settings.def"
#undef SETTING
};

/* The items of lists take theirs where they are read. */
#define LINE_OF_TOP(name, default_text) #name ": " default_text "\n"
#define LINE_OF_LISTEN(name, default_text)
#define LINE_OF_REGION(name, default_text)
#define LINE_OF_USER(name, default_text)
#define LINE_OF_GRANT(name, default_text)

const char settings_defaults[] =
#define SETTING(scope, name, kind, field, low, high, default_text, unit, prose)                    \
    LINE_OF_##scope(name, default_text)
#include "conf/settings.def"
#undef SETTING
    ;

const struct setting *setting_find(enum setting_scope scope, const char *name, size_t length)
{
    for (size_t i = 0; i < SETTINGS; i++)
        if (settings[i].scope == scope && strlen(settings[i].name) == length &&
            memcmp(settings[i].name, name, length) == 0)
            return &settings[i];
    return NULL;
}

/* The nearer one of two candidates for a misspelled word. */
static const char *nearer(const char *word, size_t length, const char *a, const char *b)
{
    if (a == NULL)
        return b;
    return edit_distance(word, length, b, strlen(b)) < edit_distance(word, length, a, strlen(a))
               ? b
               : a;
}

static const char *near_enough(const char *word, size_t length, const char *candidate)
{
    if (candidate == NULL ||
        !edit_is_slip(edit_distance(word, length, candidate, strlen(candidate)), strlen(candidate)))
        return NULL;
    return candidate;
}

const char *setting_suggest(enum setting_scope scope, const char *name, size_t length)
{
    const char *nearest = NULL;

    for (size_t i = 0; i < SETTINGS; i++)
        if (settings[i].scope == scope)
            nearest = nearer(name, length, nearest, settings[i].name);
    return near_enough(name, length, nearest);
}

const char *setting_suggest_word(const struct setting *setting, const char *word, size_t length)
{
    const char *nearest = NULL;

    for (unsigned i = 0; setting_word(setting, i) != NULL; i++)
        nearest = nearer(word, length, nearest, setting_word(setting, i));
    return near_enough(word, length, nearest);
}

const char *setting_word(const struct setting *setting, unsigned index)
{
    switch (setting->kind) {
    case KIND_LOG_LEVEL:
        return log_level_name((enum log_level)index);
    case KIND_LOG_FORMAT:
        return log_format_name((enum log_format)index);
    case KIND_DURABILITY:
        return durability_name((enum durability)index);
    case KIND_FIT:
        return fit_name((enum fit)index);
    case KIND_CHECKSUM:
        return checksum_name((enum checksum)index);
    case KIND_MIGRATE:
        return migrate_name((enum migrate)index);
    case KIND_ACCESS:
        return access_name((enum access)index);
    case KIND_TLS_CLIENTS:
        return tls_clients_name((enum tls_clients)index);
    case KIND_TLS_MINIMUM:
        return tls_minimum_name((enum tls_minimum)index);
    case KIND_SWITCH:
        return switch_name((enum conf_switch)index);
    default:
        return NULL;
    }
}

void setting_format(const struct setting *setting, uint64_t value, char *text, size_t size)
{
    char number[VALUE_TEXT_SIZE];

    switch (setting->kind) {
    case KIND_SIZE:
        value_format_size(value, number);
        (void)snprintf(text, size, "%s", number);
        break;
    case KIND_TIME:
        value_format_time(value, number);
        (void)snprintf(text, size, "%s", number);
        break;
    case KIND_MODE:
        (void)snprintf(text, size, "%04" PRIo64, value);
        break;
    default:
        (void)snprintf(text, size, "%" PRIu64, value);
    }
}

/* Adds to the text that fills *used of size bytes; what does not fit is cut. */
static void append(char *text, size_t size, size_t *used, const char *before, const char *word)
{
    int written = snprintf(text + *used, size - *used, "%s%s", before, word);

    if (written > 0)
        *used += (size_t)written < size - *used ? (size_t)written : size - *used - 1;
}

void setting_format_names(enum setting_scope scope, char *text, size_t size)
{
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i < SETTINGS; i++)
        if (settings[i].scope == scope)
            append(text, size, &used, used == 0 ? "" : ", ", settings[i].name);
}

void setting_format_words(const struct setting *setting, char *text, size_t size)
{
    size_t used = 0;

    text[0] = '\0';
    for (unsigned i = 0; setting_word(setting, i) != NULL; i++)
        append(text, size, &used,
               i == 0                                 ? ""
               : setting_word(setting, i + 1) == NULL ? " or "
                                                      : ", ",
               setting_word(setting, i));
}

void setting_format_facts(const struct setting *setting, char *text, size_t size)
{
    char low[SETTING_TEXT_SIZE];
    char high[SETTING_TEXT_SIZE];

    text[0] = '\0';
    setting_format(setting, setting->low, low, sizeof low);
    setting_format(setting, setting->high, high, sizeof high);
    switch (setting->kind) {
    case KIND_SIZE:
    case KIND_TIME:
    case KIND_MODE:
        (void)snprintf(text, size, "%s to %s, default %s", low, high, setting->default_text);
        break;
    case KIND_COUNT:
        (void)snprintf(text, size, "%s to %s %s, default %s", low, high, setting->unit,
                       setting->default_text);
        break;
    case KIND_LOG_LEVEL:
    case KIND_LOG_FORMAT:
    case KIND_DURABILITY:
    case KIND_FIT:
    case KIND_CHECKSUM:
    case KIND_MIGRATE:
    case KIND_TLS_CLIENTS:
    case KIND_TLS_MINIMUM:
    case KIND_SWITCH:
        setting_format_words(setting, high, sizeof high);
        (void)snprintf(text, size, "%s, default %s", high, setting->default_text);
        break;
    case KIND_ACCESS:
        setting_format_words(setting, text, size);
        break;
    case KIND_PATH:
    case KIND_FILE:
        (void)snprintf(text, size, "default %s", setting->default_text);
        break;
    default:
        break;
    }
}
