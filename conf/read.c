#include "conf/read.h"

#include <errno.h>
#include <string.h>

#include "conf/address.h"
#include "conf/events.h"
#include "conf/members.h"
#include "conf/scalar.h"
#include "conf/settings.h"

struct reader {
    struct events events;
    struct conf *conf;
    struct conf_user *user; /* whose grants are being read */

    /* The first listener that must not be without users, and why; line 0: none. */
    struct position open_at;
    char open_problem[ADDRESS_PROBLEM_SIZE];
};

/* Where each key of one mapping stands, for duplicates and for checks across keys; line 0 where it
 * does not. */
struct keys {
    struct position at[SETTINGS];
    struct position value_at[SETTINGS]; /* of words */
};

static bool has_key(const struct keys *keys, enum setting_id id)
{
    return keys->at[id].line != 0;
}

static const char *scope_name(enum setting_scope scope)
{
    static const char *const names[SCOPES] = {"", " in a listener", " in a region", " in a user",
                                              " in a grant"};

    return names[scope];
}

static int fail_unknown_key(struct events *events, enum setting_scope scope,
                            const struct event *key)
{
    const char *guess = setting_suggest(scope, key->text, key->length);
    char quoted[TEXT_QUOTED_SIZE];
    char names[SETTING_TEXT_SIZE];

    text_quote(key->text, key->length, TEXT_SHOWN, quoted, sizeof quoted);
    if (guess != NULL)
        return events_fail(events, key->at, "unknown key %s%s; did you mean \"%s\"?", quoted,
                           scope_name(scope), guess);
    setting_format_names(scope, names, sizeof names);
    return events_fail(events, key->at, "unknown key %s%s; there are %s", quoted, scope_name(scope),
                       names);
}

/* The next key of a mapping; *ret_setting is NULL at its end. */
static int read_key(struct events *events, enum setting_scope scope, struct keys *keys,
                    const struct setting **ret_setting, struct position *ret_at)
{
    const struct setting *setting;
    struct event key;
    char described[TEXT_QUOTED_SIZE];
    int code = events_next(events, &key);

    *ret_setting = NULL;
    if (code != 0 || key.kind == EVENT_MAP_END)
        return code;
    event_describe(&key, described);
    if (key.kind != EVENT_SCALAR)
        return events_fail(events, key.at, "a key must be a word, not %s", described);
    setting = setting_find(scope, key.text, key.length);
    if (setting == NULL)
        return fail_unknown_key(events, scope, &key);
    if (has_key(keys, (enum setting_id)(setting - settings)))
        return events_fail(events, key.at, "duplicate key \"%s\"%s; it stands on line %zu already",
                           setting->name, scope_name(scope), keys->at[setting - settings].line);
    keys->at[setting - settings] = key.at;
    *ret_setting = setting;
    *ret_at = key.at;
    return 0;
}

static int read_word(struct events *events, const struct setting *setting,
                     const struct event *value, struct keys *keys, void *base)
{
    keys->value_at[setting - settings] = value->at;
    return scalar_store(events, setting, value, base);
}

/* Reads a mapping of words, up to its end, into the struct of its scope. */
static int read_words(struct events *events, enum setting_scope scope, struct keys *keys,
                      void *base)
{
    const struct setting *setting;
    struct position at;
    struct event value;
    int code = read_key(events, scope, keys, &setting, &at);

    while (code == 0 && setting != NULL) {
        code = events_next(events, &value);
        if (code == 0)
            code = read_word(events, setting, &value, keys, base);
        if (code == 0)
            code = read_key(events, scope, keys, &setting, &at);
    }
    return code;
}

/* Of two positions the one that comes later. */
static struct position later(struct position a, struct position b)
{
    return a.line > b.line || (a.line == b.line && a.column > b.column) ? a : b;
}

static int check_listen(struct events *events, const struct keys *keys, struct position at)
{
    static const enum setting_id kinds[] = {SETTING_LISTEN_unix, SETTING_LISTEN_tcp,
                                            SETTING_LISTEN_tls};
    struct position last = {0};
    size_t count = 0;

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (!has_key(keys, kinds[i]))
            continue;
        count++;
        last = later(last, keys->at[kinds[i]]);
    }
    if (count > 1)
        return events_fail(events, last,
                           "a listener is only one of unix, tcp and tls; make one for each");
    if (count == 0)
        return events_fail(events, at, "a listener needs a key unix, tcp or tls");
    if (!has_key(keys, SETTING_LISTEN_unix) && has_key(keys, SETTING_LISTEN_mode))
        return events_fail(events, keys->at[SETTING_LISTEN_mode],
                           "mode is for unix listeners; TCP has no permissions");
    return 0;
}

/* Whether that is wrong is known when the whole file is; what TLS asks for, too (check_tls). */
static void note_open(struct reader *reader, const struct conf_listen *listen,
                      const struct keys *keys)
{
    if (!listen->is_tls && reader->open_at.line == 0 &&
        address_lets_strangers_in(listen, NULL, reader->open_problem))
        reader->open_at =
            keys->value_at[listen->is_unix ? SETTING_LISTEN_mode : SETTING_LISTEN_tcp];
}

/* One listener, whose mapping has just begun at that position. */
static int read_listen(struct reader *reader, struct position at)
{
    struct events *events = &reader->events;
    struct conf_listen listen = {.mode = address_default_mode()};
    const struct conf_listen *same;
    struct keys keys = {0};
    int code = read_words(events, SCOPE_LISTEN, &keys, &listen);

    if (code == 0)
        code = check_listen(events, &keys, at);
    if (code == 0 && (same = members_find_listen(reader->conf, &listen)) != NULL)
        code = events_fail(events, at, "a second listener on %s; the first is on line %zu",
                           listen.address, same->line);
    listen.line = at.line;
    if (code == 0)
        note_open(reader, &listen, &keys);
    listen.column = at.column;
    if (code == 0 && members_add_listen(reader->conf, &listen) != 0)
        code = events_fail_memory(events);
    if (code != 0)
        address_release(&listen);
    return code;
}

/* What is seen there is nobody's but this machine's: a proxy asks others who they are, and has TLS.
 */
static int check_http(struct events *events, const struct conf_listen *listen,
                      const struct keys *keys)
{
    char ignored[ADDRESS_PROBLEM_SIZE];

    if (listen->is_tls)
        return events_fail(
            events, keys->at[SETTING_LISTEN_tls],
            "http has no TLS: take tcp on loopback, or unix, and put a proxy in front "
            "that has it");
    if (!listen->is_unix && address_lets_strangers_in(listen, NULL, ignored))
        return events_fail(events, keys->value_at[SETTING_LISTEN_tcp],
                           "http is for this machine only, and \"%s\" is not on loopback: take "
                           "127.0.0.1 or ::1, or unix, and for others put a proxy in front",
                           listen->host);
    return 0;
}

/* One listener of http, likewise. */
static int read_http(struct reader *reader, struct position at)
{
    struct events *events = &reader->events;
    struct conf_listen listen = {.mode = address_default_mode()};
    const struct conf_listen *same;
    struct keys keys = {0};
    int code = read_words(events, SCOPE_LISTEN, &keys, &listen);

    if (code == 0)
        code = check_listen(events, &keys, at);
    if (code == 0)
        code = check_http(events, &listen, &keys);
    if (code == 0 && (same = members_find_http(reader->conf, &listen)) != NULL)
        code = events_fail(events, at, "a second listener of http on %s; the first is on line %zu",
                           listen.address, same->line);
    listen.line = at.line;
    listen.column = at.column;
    if (code == 0 && members_add_http(reader->conf, &listen) != 0)
        code = events_fail_memory(events);
    if (code != 0)
        address_release(&listen);
    return code;
}

/* One region, likewise. */
static int read_region(struct reader *reader, struct position at)
{
    struct events *events = &reader->events;
    struct conf *conf = reader->conf;
    struct conf_region region = {.options = region_options_default(), .line = at.line};
    const struct conf_region *same;
    struct keys keys = {0};
    int code = read_words(events, SCOPE_REGION, &keys, &region);

    if (code != 0)
        return code;
    if (!has_key(&keys, SETTING_REGION_name))
        return events_fail(events, at, "a region needs a key name");
    same = members_find_region(conf->regions, conf->regions_count, region.name);
    if (same != NULL)
        return events_fail(events, keys.at[SETTING_REGION_name],
                           "a second region \"%s\"; the first is on line %zu", region.name,
                           same->line);
    return members_add_region(conf, &region) != 0 ? events_fail_memory(events) : 0;
}

/* One grant, likewise. */
static int read_grant(struct reader *reader, struct position at)
{
    struct events *events = &reader->events;
    struct conf_grant grant = {.access = ACCESS_READ};
    struct keys keys = {0};
    int code = read_words(events, SCOPE_GRANT, &keys, &grant);

    if (code != 0)
        return code;
    if (!has_key(&keys, SETTING_GRANT_regions) || !has_key(&keys, SETTING_GRANT_access))
        return events_fail(events, at, "a grant needs the keys regions and access");
    return members_add_grant(reader->user, &grant) != 0 ? events_fail_memory(events) : 0;
}

static int read_list(struct reader *reader, const struct setting *setting,
                     const struct event *value, const char *example,
                     int (*item)(struct reader *reader, struct position at));

/* The keys of a user, up to the end of the mapping. */
static int read_user_keys(struct reader *reader, struct keys *keys)
{
    struct events *events = &reader->events;
    const struct setting *setting;
    struct position at;
    struct event value;
    int code = read_key(events, SCOPE_USER, keys, &setting, &at);

    while (code == 0 && setting != NULL) {
        code = events_next(events, &value);
        if (code == 0 && setting->kind == KIND_GRANTS)
            code = read_list(reader, setting, &value, "regions: main", read_grant);
        else if (code == 0)
            code = read_word(events, setting, &value, keys, reader->user);
        if (code == 0)
            code = read_key(events, SCOPE_USER, keys, &setting, &at);
    }
    return code;
}

/* By what two users would be the same one; SETTINGS: by nothing. */
static enum setting_id find_clash(const struct conf_user *a, const struct conf_user *b)
{
    if (strcmp(a->name, b->name) == 0)
        return SETTING_USER_name;
    if (a->certificate != NULL && b->certificate != NULL &&
        strcmp(a->certificate, b->certificate) == 0)
        return SETTING_USER_certificate;
    if (a->uid != CONF_NO_ID && a->uid == b->uid)
        return SETTING_USER_uid;
    if (a->gid != CONF_NO_ID && a->gid == b->gid)
        return SETTING_USER_gid;
    return SETTINGS;
}

static int check_user(struct reader *reader, const struct keys *keys, struct position at)
{
    struct events *events = &reader->events;
    const struct conf *conf = reader->conf;

    if (!has_key(keys, SETTING_USER_name))
        return events_fail(events, at, "a user needs a key name");
    if (!has_key(keys, SETTING_USER_password_hash) && !has_key(keys, SETTING_USER_certificate) &&
        !has_key(keys, SETTING_USER_uid) && !has_key(keys, SETTING_USER_gid))
        return events_fail(events, at,
                           "user \"%s\" needs at least one of password_hash, certificate, uid and "
                           "gid, or nobody can be it; mrcli passwd makes a password_hash",
                           reader->user->name);
    for (size_t i = 0; i < conf->users_count; i++) {
        enum setting_id clash = find_clash(&conf->users[i], reader->user);

        if (clash != SETTINGS)
            return events_fail(events, keys->at[clash],
                               "a second user with this %s; the first, \"%s\", is on line %zu",
                               settings[clash].name, conf->users[i].name, conf->users[i].line);
    }
    return 0;
}

/* One user, likewise. */
static int read_user(struct reader *reader, struct position at)
{
    struct conf_user user = {.uid = CONF_NO_ID, .gid = CONF_NO_ID, .line = at.line};
    struct keys keys = {0};
    int code;

    reader->user = &user;
    code = read_user_keys(reader, &keys);
    if (code == 0)
        code = check_user(reader, &keys, at);
    if (code == 0 && members_add_user(reader->conf, &user) != 0)
        code = events_fail_memory(&reader->events);
    if (code != 0)
        members_release_user(&user);
    return code;
}

/* A list of mappings, whose value has just come; item reads one of them. */
static int read_list(struct reader *reader, const struct setting *setting,
                     const struct event *value, const char *example,
                     int (*item)(struct reader *reader, struct position at))
{
    struct events *events = &reader->events;
    char described[TEXT_QUOTED_SIZE];
    struct event event;
    size_t count = 0;
    int code;

    event_describe(value, described);
    if (value->kind != EVENT_LIST)
        return events_fail(events, value->at, "%s must be a list such as \"- %s\", not %s",
                           setting->name, example, described);
    while ((code = events_next(events, &event)) == 0 && event.kind != EVENT_LIST_END) {
        event_describe(&event, described);
        if (event.kind != EVENT_MAP)
            return events_fail(events, event.at,
                               "each item of %s must be a mapping such as \"%s\", not %s",
                               setting->name, example, described);
        if (count++ == setting->high)
            return events_fail(events, event.at, "%s has at most %zu items", setting->name,
                               (size_t)setting->high);
        code = item(reader, event.at);
        if (code != 0)
            return code;
    }
    return code;
}

static int read_top_value(struct reader *reader, const struct setting *setting)
{
    struct event value;
    int code = events_next(&reader->events, &value);

    if (code != 0)
        return code;
    switch (setting->kind) {
    case KIND_LISTENS:
        members_clear_listens(reader->conf);
        return read_list(reader, setting, &value, "unix: /path/of/socket", read_listen);
    case KIND_HTTP:
        members_clear_http(reader->conf);
        return read_list(reader, setting, &value, "tcp: 127.0.0.1:9421", read_http);
    case KIND_REGIONS:
        reader->conf->regions_count = 0;
        return read_list(reader, setting, &value, "name: main", read_region);
    case KIND_USERS:
        members_clear_users(reader->conf);
        return read_list(reader, setting, &value, "name: alice", read_user);
    default:
        return scalar_store(&reader->events, setting, &value, reader->conf);
    }
}

/* Whoever names an authority, or a key, means something by it. */
static int check_tls(struct reader *reader, const struct keys *keys)
{
    struct conf *conf = reader->conf;
    struct conf_tls *tls = &conf->tls;
    char problem[ADDRESS_PROBLEM_SIZE];

    if ((tls->certificate == NULL) != (tls->key == NULL))
        return events_fail(
            &reader->events,
            keys->at[tls->key == NULL ? SETTING_TOP_tls_certificate : SETTING_TOP_tls_key],
            "tls_certificate and tls_key go together: the key is that of the "
            "certificate");
    if (tls->clients != TLS_CLIENTS_NONE && tls->ca == NULL)
        return events_fail(&reader->events, keys->at[SETTING_TOP_tls_clients],
                           "tls_clients: %s needs tls_ca, the authority whose certificates are "
                           "accepted",
                           tls_clients_name(tls->clients));
    if (tls->clients == TLS_CLIENTS_NONE && tls->ca != NULL)
        return events_fail(&reader->events, keys->at[SETTING_TOP_tls_ca],
                           "tls_ca has no effect without tls_clients: optional or required");
    for (size_t i = 0; i < conf->listens_count; i++) {
        const struct conf_listen *listen = &conf->listens[i];

        if (!address_fits_tls(listen, tls, problem) ||
            (listen->is_tls && conf->users_count == 0 &&
             address_lets_strangers_in(listen, tls, problem)))
            return events_fail(&reader->events, (struct position){listen->line, listen->column},
                               "%s", problem);
    }
    return 0;
}

/* Two listeners cannot have one socket, whatever is spoken there. */
static int check_sockets(struct reader *reader)
{
    const struct conf *conf = reader->conf;

    for (size_t i = 0; i < conf->http_count; i++) {
        const struct conf_listen *listen = &conf->http[i];

        if (members_find_listen(conf, listen) != NULL)
            return events_fail(&reader->events, (struct position){listen->line, listen->column},
                               "%s is one of listen's; take another one for http", listen->address);
    }
    return 0;
}

/* What no key can know alone. A default gives way, so that who needs larger messages need not know
 * about max_buffered. */
static int check_across(struct reader *reader, const struct keys *keys)
{
    struct conf *conf = reader->conf;
    char message[SETTING_TEXT_SIZE];
    char buffered[SETTING_TEXT_SIZE];

    if (conf->users_count == 0 && reader->open_at.line != 0)
        return events_fail(&reader->events, reader->open_at, "%s", reader->open_problem);
    if (conf->max_buffered >= conf->max_message)
        return 0;
    if (!has_key(keys, SETTING_TOP_max_buffered)) {
        conf->max_buffered = conf->max_message;
        return 0;
    }
    setting_format(&settings[SETTING_TOP_max_message], conf->max_message, message, sizeof message);
    setting_format(&settings[SETTING_TOP_max_buffered], conf->max_buffered, buffered,
                   sizeof buffered);
    return events_fail(&reader->events, keys->at[SETTING_TOP_max_buffered],
                       "max_buffered (%s) must hold at least one message of max_message (%s); "
                       "raise the one or lower the other",
                       buffered, message);
}

static int read_top(struct reader *reader)
{
    const struct setting *setting;
    struct keys keys = {0};
    struct position at;
    int code = read_key(&reader->events, SCOPE_TOP, &keys, &setting, &at);

    while (code == 0 && setting != NULL) {
        code = read_top_value(reader, setting);
        if (code == 0)
            code = read_key(&reader->events, SCOPE_TOP, &keys, &setting, &at);
    }
    if (code == 0)
        code = check_across(reader, &keys);
    if (code == 0)
        code = check_tls(reader, &keys);
    return code != 0 ? code : check_sockets(reader);
}

static bool is_nothing(const struct event *event)
{
    return event->kind == EVENT_SCALAR && event->is_plain && event->length == 0;
}

static int read_file(struct reader *reader)
{
    struct events *events = &reader->events;
    char described[TEXT_QUOTED_SIZE];
    struct event event;
    int code = events_next(events, &event);

    if (code != 0 || event.kind == EVENT_END)
        return code;
    event_describe(&event, described);
    if (event.kind == EVENT_MAP)
        code = read_top(reader);
    else if (!is_nothing(&event))
        return events_fail(events, event.at,
                           "the file must hold keys and values such as \"data_dir: "
                           "/var/lib/mregiond\", not %s",
                           described);
    /* Reads on to the end, where a second document would be found. */
    return code != 0 ? code : events_next(events, &event);
}

int conf_read(struct conf *conf, const char *text, size_t size, const char *name,
              struct conf_error *error)
{
    struct reader reader = {.conf = conf};
    int code = events_open(&reader.events, text, size, name, error);

    if (code != 0)
        return code;
    code = read_file(&reader);
    events_close(&reader.events);
    return code;
}
