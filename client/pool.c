/* Connections that threads take and give back. The lock is held for moments only: connections are
 * made, looked at and closed without it. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "client/connection.h"
#include "client/deadline.h"
#include "client/error.h"
#include "client/wire.h"

#define CONNECTIONS_MAX 16
#define WAIT_MS 60000

struct mregion_pool {
    pthread_mutex_t lock;
    pthread_cond_t is_given;
    struct mregion **idle; /* the last that was given is the first that is taken */
    uint32_t idle_count;
    uint32_t count; /* idle, taken, or being made */
    uint32_t max;
    uint32_t wait_ms;
    char *address;
    struct mregion_options options;
    struct mregion_tls tls; /* of the options, with strings of our own: */
    char *ca, *certificate, *key, *server_name;
    char *user;
    uint8_t *password;
    size_t password_size;
};

/* ---- Begin and end ---- */

/* False without memory. */
static bool copy_text(const char *text, char **ret_copy)
{
    *ret_copy = text != NULL ? strdup(text) : NULL;
    return text == NULL || *ret_copy != NULL;
}

static bool copy_tls(struct mregion_pool *pool, const struct mregion_tls *tls)
{
    if (tls == NULL)
        return true;
    if (!copy_text(tls->ca, &pool->ca) || !copy_text(tls->certificate, &pool->certificate) ||
        !copy_text(tls->key, &pool->key) || !copy_text(tls->server_name, &pool->server_name))
        return false;
    pool->tls = *tls;
    pool->tls.ca = pool->ca;
    pool->tls.certificate = pool->certificate;
    pool->tls.key = pool->key;
    pool->tls.server_name = pool->server_name;
    pool->options.tls = &pool->tls;
    return true;
}

static bool copy_user(struct mregion_pool *pool, const struct mregion_pool_options *options)
{
    if (options->user == NULL)
        return true;
    pool->password = malloc(options->password_size + 1);
    if (pool->password == NULL || !copy_text(options->user, &pool->user))
        return false;
    pool->password_size = options->password_size;
    if (options->password_size > 0)
        memcpy(pool->password, options->password, options->password_size);
    return true;
}

static bool make_lock(struct mregion_pool *pool)
{
    pthread_condattr_t attributes;
    bool is_made;

    if (pthread_condattr_init(&attributes) != 0)
        return false;
    is_made = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
              pthread_mutex_init(&pool->lock, NULL) == 0;
    if (is_made && pthread_cond_init(&pool->is_given, &attributes) != 0) {
        (void)pthread_mutex_destroy(&pool->lock);
        is_made = false;
    }
    (void)pthread_condattr_destroy(&attributes);
    return is_made;
}

static void free_memory(struct mregion_pool *pool)
{
    if (pool->password != NULL)
        explicit_bzero(pool->password, pool->password_size);
    free(pool->password);
    free(pool->user);
    free(pool->ca);
    free(pool->certificate);
    free(pool->key);
    free(pool->server_name);
    free(pool->address);
    free(pool->idle);
    free(pool);
}

/* What is wrong with the address and the options shows now, and not in a thread later. */
static int check(const char *address, const struct mregion_options *options,
                 struct mregion_error *error)
{
    struct mregion *connection;
    int code = mregion_open(address, options, &connection, error);

    if (code == MREGION_OK)
        mregion_close(connection);
    return code;
}

int mregion_pool_new(const char *address, const struct mregion_options *options,
                     const struct mregion_pool_options *pool_options,
                     struct mregion_pool **ret_pool, struct mregion_error *error)
{
    static const struct mregion_pool_options defaults;
    struct mregion_pool *pool;
    int code = check(address, options, error);

    if (pool_options == NULL)
        pool_options = &defaults;
    if (code == MREGION_OK && pool_options->user != NULL && pool_options->password == NULL &&
        pool_options->password_size > 0)
        code = error_set(error, MREGION_ERR_ARGUMENT, "the password's bytes are missing");
    if (code != MREGION_OK)
        return code;
    pool = calloc(1, sizeof *pool);
    if (pool == NULL)
        return error_no_memory(error);
    pool->max =
        pool_options->connections_max != 0 ? pool_options->connections_max : CONNECTIONS_MAX;
    pool->wait_ms = pool_options->wait_ms != 0 ? pool_options->wait_ms : WAIT_MS;
    if (options != NULL)
        pool->options = *options;
    pool->idle = calloc(pool->max, sizeof(struct mregion *));
    if (pool->idle == NULL || !copy_text(address, &pool->address) ||
        !copy_tls(pool, pool->options.tls) || !copy_user(pool, pool_options) || !make_lock(pool)) {
        free_memory(pool);
        return error_no_memory(error);
    }
    *ret_pool = pool;
    return MREGION_OK;
}

void mregion_pool_free(struct mregion_pool *pool)
{
    if (pool == NULL)
        return;
    for (uint32_t i = 0; i < pool->idle_count; i++)
        mregion_close(pool->idle[i]);
    (void)pthread_cond_destroy(&pool->is_given);
    (void)pthread_mutex_destroy(&pool->lock);
    free_memory(pool);
}

/* ---- Take ---- */

/* An idle one, or the right to make one: then *ret_connection is NULL. */
static int wait_for_one(struct mregion_pool *pool, struct mregion **ret_connection,
                        struct mregion_error *error)
{
    int64_t until = deadline_after(pool->wait_ms);
    struct timespec moment = {.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000};
    int number = 0, code = MREGION_OK;

    (void)pthread_mutex_lock(&pool->lock);
    while (number == 0 && pool->idle_count == 0 && pool->count == pool->max)
        number = until == DEADLINE_NEVER
                     ? pthread_cond_wait(&pool->is_given, &pool->lock)
                     : pthread_cond_timedwait(&pool->is_given, &pool->lock, &moment);
    *ret_connection = NULL;
    if (pool->idle_count > 0)
        *ret_connection = pool->idle[--pool->idle_count];
    else if (pool->count < pool->max)
        pool->count++;
    else
        code = error_set(error, MREGION_ERR_TIMEOUT,
                         "all %u connections of the pool are in use, and none was given back in "
                         "time",
                         (unsigned)pool->max);
    (void)pthread_mutex_unlock(&pool->lock);
    return code;
}

/* There may be one more. */
static void forgo(struct mregion_pool *pool)
{
    (void)pthread_mutex_lock(&pool->lock);
    pool->count--;
    (void)pthread_cond_signal(&pool->is_given);
    (void)pthread_mutex_unlock(&pool->lock);
}

static int make_one(const struct mregion_pool *pool, struct mregion **ret_connection,
                    struct mregion_error *error)
{
    struct mregion *connection;
    int code = mregion_connect(pool->address, &pool->options, &connection, error);

    if (code != MREGION_OK)
        return code;
    if (pool->user != NULL)
        code = mregion_authenticate(connection, pool->user, pool->password, pool->password_size,
                                    error);
    if (code == MREGION_OK)
        *ret_connection = connection;
    else
        mregion_close(connection);
    return code;
}

int mregion_pool_take(struct mregion_pool *pool, struct mregion **ret_connection,
                      struct mregion_error *error)
{
    struct mregion *connection = NULL;
    int code = wait_for_one(pool, &connection, error);

    if (code != MREGION_OK)
        return code;
    if (connection != NULL) {
        connection_look(connection);
        if (connection->fd >= 0) {
            *ret_connection = connection;
            return MREGION_OK;
        }
        mregion_close(connection);
    }
    code = make_one(pool, ret_connection, error);
    if (code != MREGION_OK)
        forgo(pool);
    return code;
}

/* ---- Give ---- */

/* Whether it is still whose it was: somebody may have said that he is somebody else. */
static bool is_ours(const struct mregion_pool *pool, const struct credentials *credentials)
{
    if (pool->user == NULL || credentials->user == NULL)
        return pool->user == credentials->user;
    return strcmp(pool->user, credentials->user) == 0 &&
           pool->password_size == credentials->password_size &&
           memcmp(pool->password, credentials->password, pool->password_size) == 0;
}

/* Whether the next one finds it as if it were new. */
static bool is_good(const struct mregion_pool *pool, const struct mregion *connection)
{
    return connection->fd >= 0 && connection->attempt.stage == STAGE_UP &&
           connection->pending.count == 0 && !wire_has_output(connection) &&
           connection->loop.fd < 0 && !connection->was_subscribed &&
           is_ours(pool, &connection->credentials);
}

void mregion_pool_give(struct mregion_pool *pool, struct mregion *connection)
{
    if (connection == NULL)
        return;
    if (!is_good(pool, connection)) {
        mregion_close(connection);
        forgo(pool);
        return;
    }
    mregion_set_timeout(connection, 0);
    mregion_set_progress(connection, NULL, NULL);
    mregion_set_token(connection, NULL);
    mregion_set_on_room(connection, NULL, NULL);
    (void)pthread_mutex_lock(&pool->lock);
    pool->idle[pool->idle_count++] = connection;
    (void)pthread_cond_signal(&pool->is_given);
    (void)pthread_mutex_unlock(&pool->lock);
}
