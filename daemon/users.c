#include "daemon/users.h"

#include <stdio.h>
#include <string.h>

#include "daemon/log.h"

const char *rights_name(enum rights rights)
{
    return rights == RIGHTS_NONE ? "none" : access_name((enum access)(rights - 1));
}

const char *known_by_name(enum known_by by)
{
    static const char *const names[] = {
        [KNOWN_NOT] = NULL,
        [KNOWN_BY_PASSWORD] = "password",
        [KNOWN_BY_CERTIFICATE] = "certificate",
        [KNOWN_BY_UID] = "uid",
        [KNOWN_BY_GID] = "gid",
    };
    return names[by];
}

/* ---- What he may do ---- */

/* When the rest does not match, the last * takes one more character. */
bool users_match(const char *pattern, const char *name, size_t length)
{
    const char *after_star = NULL;
    size_t at = 0, star_at = 0;
    while (at < length) {
        if (*pattern == '*') {
            after_star = ++pattern;
            star_at = at;
        } else if (*pattern == '?' || (*pattern != '\0' && *pattern == name[at])) {
            pattern++;
            at++;
        } else if (after_star != NULL) {
            pattern = after_star;
            at = ++star_at;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

enum rights users_rights(const struct conf_user *user, const char *region, size_t length)
{
    enum rights rights = RIGHTS_NONE;
    for (size_t i = 0; i < user->grants_count; i++) {
        enum rights granted = (enum rights)(user->grants[i].access + 1);
        if (granted > rights && users_match(user->grants[i].regions, region, length))
            rights = granted;
    }
    return rights;
}

/* ---- Who he is ---- */

const struct conf_user *users_find(const struct conf *conf, const char *name, size_t length)
{
    for (size_t i = 0; i < conf->users_count; i++)
        if (strlen(conf->users[i].name) == length && memcmp(conf->users[i].name, name, length) == 0)
            return &conf->users[i];
    return NULL;
}

const struct conf_user *users_find_certificate(const struct conf *conf, const char *subject)
{
    for (size_t i = 0; i < conf->users_count; i++)
        if (conf->users[i].certificate != NULL && strcmp(conf->users[i].certificate, subject) == 0)
            return &conf->users[i];
    return NULL;
}

static bool has_group(const gid_t *groups, size_t count, uint64_t gid)
{
    for (size_t i = 0; i < count; i++)
        if (groups[i] == gid)
            return true;
    return false;
}

const struct conf_user *users_find_process(const struct conf *conf, uid_t uid, gid_t gid,
                                           const gid_t *groups, size_t groups_count,
                                           enum known_by *ret_by)
{
    const struct conf_user *primary = NULL, *other = NULL;
    for (size_t i = 0; i < conf->users_count; i++) {
        const struct conf_user *user = &conf->users[i];
        if (user->uid == uid) {
            *ret_by = KNOWN_BY_UID;
            return user;
        }
        if (primary == NULL && user->gid == gid)
            primary = user;
        if (other == NULL && has_group(groups, groups_count, user->gid))
            other = user;
    }
    if (primary == NULL)
        primary = other;
    *ret_by = primary != NULL ? KNOWN_BY_GID : KNOWN_NOT;
    return primary;
}

/* What all users of the machine are for who cannot see them. */
#define ID_UNSEEN 65534

static bool is_seen(const struct users_means *means, uint64_t id, uint64_t own)
{
    return means->all_ids || id == 0 || (id == own && id != ID_UNSEEN);
}

uid_t users_uid(const struct users_means *means, uid_t uid)
{
    return is_seen(means, uid, means->uid) ? uid : USERS_NO_ID;
}

gid_t users_gid(const struct users_means *means, gid_t gid)
{
    return is_seen(means, gid, means->gid) ? gid : USERS_NO_ID;
}

/* ---- Who can never be known ---- */

/* Several users in a sentence. */
struct some {
    const char *first;
    size_t count;
};

static void add(struct some *some, const struct conf_user *user)
{
    if (some->count++ == 0)
        some->first = user->name;
}

static const char *name_them(const struct some *some, char *text, size_t size)
{
    if (some->count == 1)
        return some->first;
    snprintf(text, size, "%s and %zu other%s", some->first, some->count - 1,
             some->count == 2 ? "" : "s");
    return text;
}

static bool has_unseen_id(const struct conf_user *user, const struct users_means *means)
{
    return (user->uid != CONF_NO_ID && !is_seen(means, user->uid, means->uid)) ||
           (user->gid != CONF_NO_ID && !is_seen(means, user->gid, means->gid));
}

static bool has_certificate_only(const struct conf_user *user)
{
    return user->password_hash == NULL && user->uid == CONF_NO_ID && user->gid == CONF_NO_ID;
}

void users_warn(const struct conf *conf, const struct users_means *means)
{
    struct some unasked = {0}, unseen = {0};
    char text[USER_NAME_MAX + 64];
    for (size_t i = 0; i < conf->users_count; i++) {
        if (!means->certificates && has_certificate_only(&conf->users[i]))
            add(&unasked, &conf->users[i]);
        if (has_unseen_id(&conf->users[i], means))
            add(&unseen, &conf->users[i]);
    }
    if (unasked.count > 0)
        log_warning("users: nobody can be known as %s, by a certificate that no listener asks for: "
                    "set tls_clients to optional or required and listen on a tls address, or add a "
                    "password_hash, uid or gid",
                    name_them(&unasked, text, sizeof text));
    if (unseen.count > 0)
        log_warning("users: nobody can be known as %s by uid or gid, as the server does not see "
                    "the users of this machine: with systemd, PrivateUsers=no in the unit of the "
                    "service changes that",
                    name_them(&unseen, text, sizeof text));
}

const char *users_decoy(const struct conf *conf, size_t number)
{
    static const char nobodys[] = "$argon2id$v=19$m=65536,t=2,p=1$vtv8UbdNJfkpFpKKkKtC1A"
                                  "$RaT15SL1a2aJuUv3JyHA+ksi8U0mTDr1alcj3ehlp+4";
    size_t with_password = 0;
    for (size_t i = 0; i < conf->users_count; i++)
        with_password += conf->users[i].password_hash != NULL;
    if (with_password == 0)
        return nobodys;
    number %= with_password;
    for (size_t i = 0;; i++)
        if (conf->users[i].password_hash != NULL && number-- == 0)
            return conf->users[i].password_hash;
}
