#include "conf/members.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conf/address.h"

/* Room for one more item in an array whose capacity is the power of two that holds count. */
static void *grow(void *items, size_t count, size_t item_size)
{
    if (count != 0 && (count & (count - 1)) != 0)
        return items;
    return reallocarray(items, count == 0 ? 1 : count * 2, item_size);
}

static int add_listen(struct conf_listen **listens, size_t *count, const struct conf_listen *listen)
{
    struct conf_listen *grown = grow(*listens, *count, sizeof **listens);

    if (grown == NULL)
        return -ENOMEM;
    *listens = grown;
    grown[(*count)++] = *listen;
    return 0;
}

int members_add_listen(struct conf *conf, const struct conf_listen *listen)
{
    return add_listen(&conf->listens, &conf->listens_count, listen);
}

int members_add_http(struct conf *conf, const struct conf_listen *listen)
{
    return add_listen(&conf->http, &conf->http_count, listen);
}

int members_add_region(struct conf *conf, const struct conf_region *region)
{
    struct conf_region *regions = grow(conf->regions, conf->regions_count, sizeof conf->regions[0]);

    if (regions == NULL)
        return -ENOMEM;
    conf->regions = regions;
    conf->regions[conf->regions_count++] = *region;
    return 0;
}

int members_add_user(struct conf *conf, const struct conf_user *user)
{
    struct conf_user *users = grow(conf->users, conf->users_count, sizeof conf->users[0]);

    if (users == NULL)
        return -ENOMEM;
    conf->users = users;
    conf->users[conf->users_count++] = *user;
    return 0;
}

int members_add_grant(struct conf_user *user, const struct conf_grant *grant)
{
    struct conf_grant *grants = grow(user->grants, user->grants_count, sizeof user->grants[0]);

    if (grants == NULL)
        return -ENOMEM;
    user->grants = grants;
    user->grants[user->grants_count++] = *grant;
    return 0;
}

static const struct conf_listen *find_listen(const struct conf_listen *listens, size_t count,
                                             const struct conf_listen *listen)
{
    for (size_t i = 0; i < count; i++)
        if (address_is_same(&listens[i], listen))
            return &listens[i];
    return NULL;
}

const struct conf_listen *members_find_listen(const struct conf *conf,
                                              const struct conf_listen *listen)
{
    return find_listen(conf->listens, conf->listens_count, listen);
}

const struct conf_listen *members_find_http(const struct conf *conf,
                                            const struct conf_listen *listen)
{
    return find_listen(conf->http, conf->http_count, listen);
}

const struct conf_region *members_find_region(const struct conf_region *regions, size_t count,
                                              const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(regions[i].name, name) == 0)
            return &regions[i];
    return NULL;
}

static void clear_listens(struct conf_listen **listens, size_t *count)
{
    for (size_t i = 0; i < *count; i++)
        address_release(&(*listens)[i]);
    free(*listens);
    *listens = NULL;
    *count = 0;
}

void members_clear_listens(struct conf *conf)
{
    clear_listens(&conf->listens, &conf->listens_count);
}

void members_clear_http(struct conf *conf)
{
    clear_listens(&conf->http, &conf->http_count);
}

void members_release_user(struct conf_user *user)
{
    free(user->password_hash);
    free(user->certificate);
    free(user->grants);
    *user = (struct conf_user){0};
}

void members_clear_users(struct conf *conf)
{
    for (size_t i = 0; i < conf->users_count; i++)
        members_release_user(&conf->users[i]);
    free(conf->users);
    conf->users = NULL;
    conf->users_count = 0;
}
