#include "conf/entries.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/print.h"

/* Names and values are written one behind the other, each with a terminator, and pointed to once
 * all of them are there. */
struct builder {
    FILE *to;
    struct conf_entry *items; /* with room for all */
    size_t count;
};

static void begin(struct builder *builder, enum setting_id id, const char *item)
{
    builder->items[builder->count].id = id;
    builder->items[builder->count].item_length = item != NULL ? strlen(item) : 0;
    (void)fputs(settings[id].name, builder->to);
    if (item != NULL)
        (void)fprintf(builder->to, ".%s", item);
}

static void end_name(struct builder *builder)
{
    (void)fputc('\0', builder->to);
}

static void end_value(struct builder *builder)
{
    (void)fputc('\0', builder->to);
    builder->count++;
}

static void add_listens(struct builder *builder, enum setting_id id,
                        const struct conf_listen *listens, size_t count)
{
    begin(builder, id, NULL);
    end_name(builder);
    (void)fputc('[', builder->to);
    for (size_t i = 0; i < count; i++) {
        const struct conf_listen *listen = &listens[i];
        enum setting_id address = listen->is_unix  ? SETTING_LISTEN_unix
                                  : listen->is_tls ? SETTING_LISTEN_tls
                                                   : SETTING_LISTEN_tcp;
        (void)fprintf(builder->to, "%s{%s: ", i > 0 ? ", " : "", settings[address].name);
        print_value(builder->to, &settings[address], listen);
        if (listen->is_unix) {
            (void)fprintf(builder->to, ", %s: ", settings[SETTING_LISTEN_mode].name);
            print_value(builder->to, &settings[SETTING_LISTEN_mode], listen);
        }
        (void)fputc('}', builder->to);
    }
    (void)fputc(']', builder->to);
    end_value(builder);
}

static void add_key(struct builder *builder, enum setting_id list, const char *item,
                    enum setting_id key, const void *base)
{
    begin(builder, list, item);
    (void)fprintf(builder->to, ".%s", settings[key].name);
    end_name(builder);
    print_value(builder->to, &settings[key], base);
    end_value(builder);
}

static void add_region(struct builder *builder, const struct conf_region *region)
{
    for (unsigned id = 0; id < SETTINGS; id++)
        if (settings[id].scope == SCOPE_REGION && id != SETTING_REGION_name)
            add_key(builder, SETTING_TOP_regions, region->name, (enum setting_id)id, region);
}

static void add_hash(struct builder *builder, const struct conf_user *user)
{
    begin(builder, SETTING_TOP_users, user->name);
    (void)fprintf(builder->to, ".%s", settings[SETTING_USER_password_hash].name);
    end_name(builder);
    builder->items[builder->count].secret = user->password_hash;
    (void)fputs(CONF_SECRET, builder->to);
    end_value(builder);
}

static void add_grants(struct builder *builder, const struct conf_user *user)
{
    begin(builder, SETTING_TOP_users, user->name);
    (void)fprintf(builder->to, ".%s", settings[SETTING_USER_grants].name);
    end_name(builder);
    (void)fputc('[', builder->to);
    for (size_t i = 0; i < user->grants_count; i++) {
        (void)fputs(i > 0 ? ", {regions: " : "{regions: ", builder->to);
        print_value(builder->to, &settings[SETTING_GRANT_regions], &user->grants[i]);
        (void)fputs(", access: ", builder->to);
        print_value(builder->to, &settings[SETTING_GRANT_access], &user->grants[i]);
        (void)fputc('}', builder->to);
    }
    (void)fputc(']', builder->to);
    end_value(builder);
}

static void add_user(struct builder *builder, const struct conf_user *user)
{
    if (user->password_hash != NULL)
        add_hash(builder, user);
    if (user->certificate != NULL)
        add_key(builder, SETTING_TOP_users, user->name, SETTING_USER_certificate, user);
    if (user->uid != CONF_NO_ID)
        add_key(builder, SETTING_TOP_users, user->name, SETTING_USER_uid, user);
    if (user->gid != CONF_NO_ID)
        add_key(builder, SETTING_TOP_users, user->name, SETTING_USER_gid, user);
    add_grants(builder, user);
}

static void add_top(struct builder *builder, enum setting_id id, const struct conf *conf)
{
    switch (settings[id].kind) {
    case KIND_LISTENS:
        add_listens(builder, id, conf->listens, conf->listens_count);
        break;
    case KIND_HTTP:
        add_listens(builder, id, conf->http, conf->http_count);
        break;
    case KIND_REGIONS:
        for (size_t i = 0; i < conf->regions_count; i++)
            add_region(builder, &conf->regions[i]);
        break;
    case KIND_USERS:
        for (size_t i = 0; i < conf->users_count; i++)
            add_user(builder, &conf->users[i]);
        break;
    default:
        begin(builder, id, NULL);
        end_name(builder);
        print_value(builder->to, &settings[id], conf);
        end_value(builder);
    }
}

/* A user has one of each of its settings at most. */
static size_t count_most(const struct conf *conf)
{
    size_t count = 0;
    for (unsigned id = 0; id < SETTINGS; id++)
        count += settings[id].scope == SCOPE_TOP      ? 1
                 : settings[id].scope == SCOPE_REGION ? conf->regions_count
                 : settings[id].scope == SCOPE_USER   ? conf->users_count
                                                      : 0;
    return count;
}

static void point(struct conf_entries *entries)
{
    const char *at = entries->text;
    for (size_t i = 0; i < entries->count; i++) {
        struct conf_entry *entry = &entries->items[i];
        entry->name = at;
        at += strlen(at) + 1;
        entry->value = at;
        at += strlen(at) + 1;
        if (entry->item_length > 0)
            entry->item = entry->name + strlen(settings[entry->id].name) + 1;
    }
}

/* Those of one region or user stay together, though another's name may begin with its name. */
static int compare_entries(const struct conf_entry *a, const struct conf_entry *b)
{
    size_t shorter = a->item_length < b->item_length ? a->item_length : b->item_length;
    int order = strcmp(settings[a->id].name, settings[b->id].name);
    if (order == 0 && shorter > 0)
        order = memcmp(a->item, b->item, shorter);
    if (order == 0 && a->item_length != b->item_length)
        order = a->item_length < b->item_length ? -1 : 1;
    return order != 0 ? order : strcmp(a->name, b->name);
}

static int compare(const void *a, const void *b)
{
    return compare_entries(a, b);
}

int conf_entries_make(const struct conf *conf, struct conf_entries *ret_entries)
{
    size_t size;
    *ret_entries =
        (struct conf_entries){.items = calloc(count_most(conf), sizeof(struct conf_entry))};
    struct builder builder = {.to = open_memstream(&ret_entries->text, &size),
                              .items = ret_entries->items};
    if (builder.to == NULL || builder.items == NULL) {
        if (builder.to != NULL)
            (void)fclose(builder.to);
        conf_entries_release(ret_entries);
        return -ENOMEM;
    }
    for (unsigned id = 0; id < SETTINGS; id++)
        if (settings[id].scope == SCOPE_TOP)
            add_top(&builder, (enum setting_id)id, conf);
    bool has_failed = ferror(builder.to) != 0;
    /* Closing makes the text as large as it is: without memory for that there is none. */
    has_failed |= fclose(builder.to) != 0;
    if (has_failed || ret_entries->text == NULL) {
        conf_entries_release(ret_entries);
        return -ENOMEM;
    }
    ret_entries->count = builder.count;
    point(ret_entries);
    qsort(ret_entries->items, ret_entries->count, sizeof ret_entries->items[0], compare);
    return 0;
}

void conf_entries_release(struct conf_entries *entries)
{
    free(entries->items);
    free(entries->text);
    *entries = (struct conf_entries){0};
}

bool conf_entries_next(const struct conf_entries *before, const struct conf_entries *after,
                       struct conf_pair *pair)
{
    bool has_before = pair->first < before->count, has_after = pair->second < after->count;
    const struct conf_entry *a = has_before ? &before->items[pair->first] : NULL;
    const struct conf_entry *b = has_after ? &after->items[pair->second] : NULL;
    int order = a == NULL ? 1 : b == NULL ? -1 : compare_entries(a, b);
    pair->before = order <= 0 ? a : NULL;
    pair->after = order >= 0 ? b : NULL;
    pair->first += pair->before != NULL;
    pair->second += pair->after != NULL;
    return pair->before != NULL || pair->after != NULL;
}

bool conf_pair_is_same(const struct conf_pair *pair)
{
    const struct conf_entry *a = pair->before, *b = pair->after;
    if (a == NULL || b == NULL || strcmp(a->value, b->value) != 0)
        return false;
    return a->secret == NULL || b->secret == NULL || strcmp(a->secret, b->secret) == 0;
}
