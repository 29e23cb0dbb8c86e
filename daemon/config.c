#include "daemon/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/entries.h"
#include "daemon/log.h"

/* ---- Finding out ---- */

/* What the running server has for good: its sockets, its folder, who it is and what it gave up. */
static bool needs_restart(enum setting_id id, bool has_tls)
{
    switch (id) {
    case SETTING_TOP_data_dir:
    case SETTING_TOP_backup_dir:
    case SETTING_TOP_backup_reflinks:
    case SETTING_TOP_listen:
    case SETTING_TOP_http:
    case SETTING_TOP_user:
    case SETTING_TOP_sandbox:
        return true;
    case SETTING_TOP_tls_certificate:
    case SETTING_TOP_tls_key:
    case SETTING_TOP_tls_ca:
    case SETTING_TOP_tls_clients:
    case SETTING_TOP_tls_minimum:
    case SETTING_TOP_tls_handshake:
        return !has_tls;
    default:
        return false;
    }
}

static char *copy_or_null(const char *text, bool *ret_has_failed)
{
    char *copy = text != NULL ? strdup(text) : NULL;
    *ret_has_failed |= text != NULL && copy == NULL;
    return copy;
}

static void add(struct config_changes *changes, enum config_change_kind kind, char *name,
                const char *before, const char *after)
{
    if (changes->count == changes->capacity) {
        size_t capacity = changes->capacity == 0 ? 16 : changes->capacity * 2;
        void *items = realloc(changes->items, capacity * sizeof changes->items[0]);
        if (items == NULL) {
            changes->is_unknown = true;
            free(name);
            return;
        }
        changes->items = items;
        changes->capacity = capacity;
    }
    changes->is_unknown |= name == NULL;
    changes->items[changes->count++] = (struct config_change){
        .kind = kind,
        .name = name,
        .before = copy_or_null(before, &changes->is_unknown),
        .after = copy_or_null(after, &changes->is_unknown),
    };
}

static bool is_name(const char *name, const struct conf_entry *entry)
{
    return strlen(name) == entry->item_length && memcmp(name, entry->item, entry->item_length) == 0;
}

/* Whether a configuration has the region or user that an entry of another one is about. */
static bool has_item(const struct conf *conf, const struct conf_entry *entry)
{
    if (entry->id == SETTING_TOP_regions) {
        for (size_t i = 0; i < conf->regions_count; i++)
            if (is_name(conf->regions[i].name, entry))
                return true;
        return false;
    }
    for (size_t i = 0; i < conf->users_count; i++)
        if (is_name(conf->users[i].name, entry))
            return true;
    return false;
}

/* "regions.NAME" */
static char *name_of_item(const struct conf_entry *entry)
{
    return strndup(entry->name, (size_t)(entry->item - entry->name) + entry->item_length);
}

static void add_setting(const struct conf_entry *entry, const char *before, const char *after,
                        bool has_tls, struct config_changes *changes)
{
    add(changes, needs_restart(entry->id, has_tls) ? CONFIG_RESTART : CONFIG_CHANGED,
        strdup(entry->name), before, after);
}

/* A region or user that only one configuration has is told once, with its first setting. */
static void add_item(const struct conf_entry *entry, enum config_change_kind kind,
                     struct config_changes *changes)
{
    char *name = name_of_item(entry);
    const char *last = changes->count > 0 ? changes->items[changes->count - 1].name : NULL;
    if (name != NULL && last != NULL && strcmp(name, last) == 0)
        free(name);
    else
        add(changes, kind, name, NULL, NULL);
}

static void compare_pair(const struct conf *old, const struct conf *new,
                         const struct conf_pair *pair, bool has_tls, struct config_changes *changes)
{
    const struct conf_entry *before = pair->before, *after = pair->after;
    if (before != NULL && after != NULL)
        add_setting(after, before->value, after->value, has_tls, changes);
    else if (after != NULL && has_item(old, after))
        add_setting(after, NULL, after->value, has_tls, changes);
    else if (after != NULL)
        add_item(after, CONFIG_ADDED, changes);
    else if (before != NULL && has_item(new, before))
        add_setting(before, before->value, NULL, has_tls, changes);
    else if (before != NULL)
        add_item(before, CONFIG_REMOVED, changes);
}

void config_compare(const struct conf *before, const struct conf *after, bool has_tls,
                    struct config_changes *ret_changes)
{
    struct conf_entries was = {0}, is = {0};
    struct conf_pair pair = {0};
    *ret_changes = (struct config_changes){0};
    if (conf_entries_make(before, &was) != 0 || conf_entries_make(after, &is) != 0)
        ret_changes->is_unknown = true;
    else
        while (!ret_changes->is_unknown && conf_entries_next(&was, &is, &pair))
            if (!conf_pair_is_same(&pair))
                compare_pair(before, after, &pair, has_tls, ret_changes);
    conf_entries_release(&was);
    conf_entries_release(&is);
}

void config_changes_release(struct config_changes *changes)
{
    for (size_t i = 0; i < changes->count; i++) {
        free(changes->items[i].name);
        free(changes->items[i].before);
        free(changes->items[i].after);
    }
    free(changes->items);
    *changes = (struct config_changes){0};
}

/* ---- Saying so ---- */

static const char *or_none(const char *value)
{
    return value != NULL ? value : "none";
}

static void log_change(const struct config_change *change)
{
    const char *before = or_none(change->before), *after = or_none(change->after);
    switch (change->kind) {
    case CONFIG_CHANGED:
        log_info("reload: changed %s from %s to %s", change->name, before, after);
        break;
    case CONFIG_RESTART:
        log_warning("reload: %s needs a restart: is %s, the file says %s", change->name, before,
                    after);
        break;
    case CONFIG_ADDED:
        log_info("reload: added %s", change->name);
        break;
    case CONFIG_REMOVED:
        log_info("reload: removed %s", change->name);
        break;
    }
}

void config_log(const struct config_changes *changes)
{
    size_t restarts = 0;
    if (changes->is_unknown) {
        log_warning("reload: no memory to say what has changed");
        log_info("reloaded the configuration");
        return;
    }
    for (size_t i = 0; i < changes->count; i++) {
        log_change(&changes->items[i]);
        restarts += changes->items[i].kind == CONFIG_RESTART;
    }
    if (changes->count == 0)
        log_info("reloaded the configuration: nothing has changed");
    else if (restarts == 0)
        log_info("reloaded the configuration: %zu changed", changes->count);
    else
        log_info("reloaded the configuration: %zu changed, %zu needs a restart",
                 changes->count - restarts, restarts);
}
