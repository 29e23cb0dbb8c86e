/* conf/settings: the table agrees with itself, with core's defaults and with the manual. */
#include <string.h>

#include "conf/settings.h"
#include "conf/value.h"
#include "tests/conf/support_conf.h"
#include "tests/conf/support_run.h"

START_TEST(finds_by_scope)
{
    ck_assert_ptr_eq(setting_find(SCOPE_TOP, "data_dir", 8), &settings[SETTING_TOP_data_dir]);
    ck_assert_ptr_eq(setting_find(SCOPE_REGION, "fit", 3), &settings[SETTING_REGION_fit]);
    ck_assert_ptr_null(setting_find(SCOPE_TOP, "fit", 3));
    ck_assert_ptr_null(setting_find(SCOPE_TOP, "data_di", 7));
    ck_assert_ptr_null(setting_find(SCOPE_TOP, "data_dirs", 9));
    ck_assert_ptr_null(setting_find(SCOPE_TOP, "", 0));
}
END_TEST

START_TEST(suggests_within_scope)
{
    ck_assert_str_eq(setting_suggest(SCOPE_REGION, "max-size", 8), "max_size");
    ck_assert_str_eq(setting_suggest(SCOPE_TOP, "region", 6), "regions");
    ck_assert_str_eq(setting_suggest(SCOPE_TOP, "loglevel", 8), "log_level");
    ck_assert_ptr_null(setting_suggest(SCOPE_TOP, "journal_size", 12));
    ck_assert_ptr_null(setting_suggest(SCOPE_LISTEN, "", 0));
}
END_TEST

START_TEST(words_and_names)
{
    char text[SETTING_TEXT_SIZE];
    char cut[8];

    setting_format_words(&settings[SETTING_TOP_log_level], text, sizeof text);
    ck_assert_str_eq(text, "error, warning, info or debug");
    setting_format_names(SCOPE_TOP, text, sizeof text);
    ck_assert_str_eq(text, TOP_KEYS);
    setting_format_names(SCOPE_TOP, cut, sizeof cut);
    ck_assert_str_eq(cut, "data_di");
    ck_assert_ptr_null(setting_word(&settings[SETTING_TOP_max_message], 0));
}
END_TEST

START_TEST(region_defaults_are_those_of_core)
{
    struct region_options options = region_options_default();
    uint64_t number = 0;

    ck_assert_str_eq(settings[SETTING_REGION_durability].default_text,
                     durability_name(options.durability));
    ck_assert_str_eq(settings[SETTING_REGION_fit].default_text, fit_name(options.fit));
    ck_assert_int_eq(value_parse_time(settings[SETTING_REGION_flush_interval].default_text,
                                      strlen(settings[SETTING_REGION_flush_interval].default_text),
                                      &number),
                     VALUE_OK);
    ck_assert_uint_eq(number, options.flush_interval_ms);
    ck_assert_int_eq(value_parse_size(settings[SETTING_REGION_max_size].default_text,
                                      strlen(settings[SETTING_REGION_max_size].default_text),
                                      &number),
                     VALUE_OK);
    ck_assert_uint_eq(number, options.max_size);
    ck_assert_int_eq(value_parse_size(settings[SETTING_REGION_journal_size].default_text,
                                      strlen(settings[SETTING_REGION_journal_size].default_text),
                                      &number),
                     VALUE_OK);
    ck_assert_uint_eq(number, options.journal_size);
}
END_TEST

START_TEST(every_prose_is_plain)
{
    for (size_t i = 0; i < SETTINGS; i++) {
        const char *prose = settings[i].prose;

        ck_assert_msg(strpbrk(prose, "\"\\\n\t") == NULL, "%s", settings[i].name);
        ck_assert_msg(strstr(prose, "  ") == NULL, "%s", settings[i].name);
        ck_assert_msg(prose[strlen(prose) - 1] == '.', "%s", settings[i].name);
    }
}
END_TEST

/* Makes the manual a text in which a paragraph can be looked for: no macro lines, except that one
 * that begins an item stands as "Ic NAME" and a subsection's as "Ss NAME"; every run of white space
 * is one space. */
static char *flatten_manual(const char *manual)
{
    char *flat = malloc(strlen(manual) + 3);
    char *to = flat;

    ck_assert_ptr_nonnull(flat);
    *to++ = ' ';
    for (const char *line = manual; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        bool is_item = strncmp(line, ".It ", 4) == 0 || strncmp(line, ".Ss ", 4) == 0;

        for (size_t i = is_item ? line[1] == 'I' ? 4 : 1 : 0;
             i < length && (is_item || line[0] != '.'); i++)
            if (line[i] != ' ' || to[-1] != ' ')
                *to++ = line[i];
        if (to[-1] != ' ')
            *to++ = ' ';
        line += length + (line[length] == '\n');
    }
    *to = '\0';
    return flat;
}

/* The subsection of a scope, to be freed. */
static char *manual_section(const char *flat, enum setting_scope scope)
{
    static const char *const titles[SCOPES] = {" Ss Top level ", " Ss Listeners ", " Ss Regions ",
                                               " Ss Users ", " Ss Grants "};
    const char *start = strstr(flat, titles[scope]);
    const char *end;

    ck_assert_msg(start != NULL, "the manual has no subsection%s", titles[scope]);
    end = strstr(start + 1, " Ss ");
    return end == NULL ? strdup(start) : strndup(start, (size_t)(end - start));
}

/* The item of a setting in its section, from its key to the next one's. */
static char *manual_item(const char *flat, const char *name)
{
    char key[64];
    const char *start;
    const char *end;

    (void)snprintf(key, sizeof key, " Ic %s ", name);
    start = strstr(flat, key);
    ck_assert_msg(start != NULL, "the manual has no item for %s", name);
    ck_assert_msg(strstr(start + 1, key) == NULL, "the manual has two items for %s", name);
    end = strstr(start + 1, " Ic ");
    return end == NULL ? strdup(start) : strndup(start, (size_t)(end - start));
}

START_TEST(the_manual_says_the_same)
{
    char *manual = read_source("conf/mregiond.yaml.5");
    char *flat = flatten_manual(manual);

    for (size_t i = 0; i < SETTINGS; i++) {
        char *section = manual_section(flat, settings[i].scope);
        char *item = manual_item(section, settings[i].name);
        char facts[SETTING_TEXT_SIZE];

        ck_assert_msg(strstr(item, settings[i].prose) != NULL, "%s: \"%s\" is not in \"%s\"",
                      settings[i].name, settings[i].prose, item);
        setting_format_facts(&settings[i], facts, sizeof facts);
        ck_assert_msg(strstr(item, facts) != NULL, "%s: \"%s\" is not in \"%s\"", settings[i].name,
                      facts, item);
        free(item);
        free(section);
    }
    free(flat);
    free(manual);
}
END_TEST

RUN_SUITE("conf/settings", finds_by_scope, suggests_within_scope, words_and_names,
          region_defaults_are_those_of_core, every_prose_is_plain, the_manual_says_the_same)
