/* conf/entries: a configuration as a list, and two of them as one. */
#include "conf/entries.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/conf/support_conf.h"
#include "tests/conf/support_run.h"

#define HASH                                                                                       \
    "$argon2id$v=19$m=8,t=1,p=1$f/QgEQ2BMi0dHjRMlRh+1w"                                            \
    "$pGZkLlKKR56GS5NG6OpJimgjfmZUQpqgwFFUj/Nt7v4"
#define OTHER_HASH                                                                                 \
    "$argon2id$v=19$m=8,t=1,p=1$PKuU4JVTxtHJdxQTIqrx7g"                                            \
    "$FOA+/4fq4Fjflac8GppeeqTcNvmsY9nrTtW7Woaihtc"

static struct conf_entries entries_of(const struct conf *conf)
{
    struct conf_entries entries;

    ck_assert_int_eq(conf_entries_make(conf, &entries), 0);
    return entries;
}

static const struct conf_entry *find(const struct conf_entries *entries, const char *name)
{
    for (size_t i = 0; i < entries->count; i++)
        if (strcmp(entries->items[i].name, name) == 0)
            return &entries->items[i];
    ck_abort_msg("no %s", name);
}

static void assert_value(const struct conf_entries *entries, const char *name, const char *value)
{
    ck_assert_str_eq(find(entries, name)->value, value);
}

START_TEST(every_setting_is_there)
{
    struct conf conf = parse_conf("users: [{name: a, password_hash: '" HASH
                                  "', certificate: CN=a, uid: 1, gid: 2}]\nregions: [{name: r}]\n");
    struct conf_entries entries = entries_of(&conf);
    size_t expected = 0;

    for (unsigned id = 0; id < SETTINGS; id++) {
        const struct setting *setting = &settings[id];
        char name[100];

        if (setting->scope == SCOPE_TOP && setting->kind != KIND_REGIONS &&
            setting->kind != KIND_USERS)
            (void)snprintf(name, sizeof name, "%s", setting->name);
        else if (setting->scope == SCOPE_REGION && id != SETTING_REGION_name)
            (void)snprintf(name, sizeof name, "regions.r.%s", setting->name);
        else if (setting->scope == SCOPE_USER && id != SETTING_USER_name)
            (void)snprintf(name, sizeof name, "users.a.%s", setting->name);
        else
            continue;
        (void)find(&entries, name);
        expected++;
    }
    ck_assert_uint_eq(entries.count, expected);
    for (size_t i = 1; i < entries.count; i++)
        ck_assert_int_lt(strcmp(entries.items[i - 1].name, entries.items[i].name), 0);
    conf_entries_release(&entries);
    conf_release(&conf);
}
END_TEST

/* A file that says what the entries say, and nothing else. */
static char *file_of(const struct conf_entries *entries)
{
    const struct conf_entry *last = NULL;
    size_t size;
    char *text;
    FILE *to = open_memstream(&text, &size);

    for (size_t i = 0; i < entries->count; last = &entries->items[i++]) {
        const struct conf_entry *entry = &entries->items[i];
        const char *value = entry->secret != NULL ? entry->secret : entry->value;
        bool is_same = last != NULL && last->item != NULL && entry->item != NULL &&
                       last->id == entry->id && last->item_length == entry->item_length &&
                       memcmp(last->item, entry->item, entry->item_length) == 0;

        if (entry->item == NULL) {
            fprintf(to, "%s: %s\n", entry->name, value);
            continue;
        }
        if (last == NULL || last->id != entry->id)
            fprintf(to, "%s:\n", settings[entry->id].name);
        if (!is_same)
            fprintf(to, "  - name: \"%.*s\"\n", (int)entry->item_length, entry->item);
        fprintf(to, "    %s: %s\n", entry->item + entry->item_length + 1, value);
    }
    fclose(to);
    return text;
}

START_TEST(values_are_those_of_the_file)
{
    struct conf conf = parse_conf(
        "data_dir: './my data'\nuser: '0'\nmax_message: 65537\nidle_timeout: 90s\n"
        "listen: [{unix: 'b c', mode: 7}, {tcp: '[::1]:0'}, {unix: '/a, {b}: c'}]\n"
        "http: [{tcp: '[::1]:9421'}, {unix: /h, mode: 0666}]\nlog_format: json\n"
        "regions: [{name: a, fit: lowest}, {name: a.b, max_size: 5}, {name: a.j, discard: 0},\n"
        "  {name: 'null', scrub_interval: 1h}]\n"
        "users: [{name: x, uid: 5, password_hash: '" HASH "', grants: [{regions: '*', access: "
        "read}, {regions: 'a?-*', access: admin}]}, {name: x.g, gid: 7, certificate: 'CN=x, "
        "O=\"y\"'}, {name: y, gid: 8, grants: []}]\n");
    struct conf_entries entries = entries_of(&conf);
    char *text = file_of(&entries);
    struct conf back = parse_conf(text);

    assert_conf_eq(&conf, &back);
    assert_value(&entries, "max_message", "65537");
    assert_value(&entries, "data_dir", "\"./my data\"");
    assert_value(&entries, "listen",
                 "[{unix: \"b c\", mode: 0007}, {tcp: \"[::1]:0\"}, {unix: \"/a, {b}: c\", mode: "
                 "0660}]");
    assert_value(&entries, "regions.a.b.max_size", "5");
    assert_value(&entries, "users.y.grants", "[]");
    free(text);
    conf_entries_release(&entries);
    conf_release(&back);
    conf_release(&conf);
}
END_TEST

START_TEST(a_secret_is_compared_and_not_told)
{
    struct conf first = parse_conf("users: [{name: x, password_hash: '" HASH "'}]\n");
    struct conf second = parse_conf("users: [{name: x, password_hash: '" OTHER_HASH "'}]\n");
    struct conf_entries before = entries_of(&first), after = entries_of(&second);
    struct conf_pair pair = {0};
    unsigned changed = 0;

    assert_value(&before, "users.x.password_hash", CONF_SECRET);
    while (conf_entries_next(&before, &after, &pair)) {
        ck_assert(pair.before != NULL && pair.after != NULL);
        if (conf_pair_is_same(&pair))
            continue;
        ck_assert_str_eq(pair.before->name, "users.x.password_hash");
        ck_assert_str_eq(pair.after->value, CONF_SECRET);
        changed++;
    }
    ck_assert_uint_eq(changed, 1);
    conf_entries_release(&before);
    conf_entries_release(&after);
    conf_release(&first);
    conf_release(&second);
}
END_TEST

START_TEST(what_only_one_has)
{
    struct conf first = parse_conf("regions: [{name: a}, {name: b}]\nmax_batch: 5\n");
    struct conf second = parse_conf("regions: [{name: b}, {name: c}]\nmax_batch: 6\n");
    struct conf_entries before = entries_of(&first), after = entries_of(&second);
    struct conf_pair pair = {0};
    unsigned lost = 0, gained = 0, changed = 0;

    while (conf_entries_next(&before, &after, &pair)) {
        const struct conf_entry *entry = pair.before != NULL ? pair.before : pair.after;
        const char *item = pair.after == NULL ? "a" : pair.before == NULL ? "c" : NULL;

        ck_assert_ptr_nonnull(entry);
        lost += pair.after == NULL;
        gained += pair.before == NULL;
        if (item != NULL) {
            ck_assert_int_eq(entry->id, SETTING_TOP_regions);
            ck_assert_uint_eq(entry->item_length, 1);
            ck_assert_int_eq(entry->item[0], item[0]);
        } else if (!conf_pair_is_same(&pair)) {
            ck_assert_str_eq(entry->name, "max_batch");
            ck_assert_ptr_null(entry->item);
            changed++;
        }
    }
    ck_assert_uint_gt(lost, 9);
    ck_assert_uint_eq(lost, gained);
    ck_assert_uint_eq(changed, 1);
    conf_entries_release(&before);
    conf_entries_release(&after);
    conf_release(&first);
    conf_release(&second);
}
END_TEST

RUN_SUITE("conf/entries", every_setting_is_there, values_are_those_of_the_file,
          a_secret_is_compared_and_not_told, what_only_one_has)
