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

int members_add_listen(struct conf *conf, const struct conf_listen *listen)
{
    struct conf_listen *listens = grow(conf->listens, conf->listens_count, sizeof conf->listens[0]);

    if (listens == NULL)
        return -ENOMEM;
    conf->listens = listens;
    conf->listens[conf->listens_count++] = *listen;
    return 0;
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

const struct conf_listen *members_find_listen(const struct conf *conf,
                                              const struct conf_listen *listen)
{
    for (size_t i = 0; i < conf->listens_count; i++)
        if (address_is_same(&conf->listens[i], listen))
            return &conf->listens[i];
    return NULL;
}

const struct conf_region *members_find_region(const struct conf_region *regions, size_t count,
                                              const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(regions[i].name, name) == 0)
            return &regions[i];
    return NULL;
}

void members_clear_listens(struct conf *conf)
{
    for (size_t i = 0; i < conf->listens_count; i++)
        address_release(&conf->listens[i]);
    free(conf->listens);
    conf->listens = NULL;
    conf->listens_count = 0;
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
