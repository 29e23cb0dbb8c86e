#include "daemon/authenticate.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "daemon/access.h"
#include "daemon/audit.h"
#include "daemon/conn.h"
#include "daemon/request.h"
#include "daemon/server.h"

struct attempt {
    struct work work; /* first, so that the one is the other */
    struct server *server;
    struct request *request;
    struct peer *peer;
    struct attempt *previous, *next; /* in the queue */
    uint64_t queued_ms;
    bool is_right; /* the password has this hash, whosesoever that is */
    bool is_out_of_memory;
    size_t user_size; /* as it was given, cut */
    char user[USER_NAME_MAX + 1];
    char hash[crypto_pwhash_STRBYTES];
    size_t password_size;
    char password[PASSWORD_MAX];
};

_Static_assert(crypto_shorthash_KEYBYTES == sizeof(((struct authenticator *)NULL)->salt),
               "the salt is a key of it");

static void pump(struct server *server);

static void on_timer(uv_timer_t *timer)
{
    pump(timer->data);
}

void authenticator_init(struct server *server)
{
    struct authenticator *authenticator = &server->authenticator;
    uv_timer_init(&server->loop, &authenticator->timer);
    authenticator->timer.data = server;
    randombytes_buf(authenticator->salt, sizeof authenticator->salt);
}

void authenticator_release(struct server *server)
{
    uv_close((uv_handle_t *)&server->authenticator.timer, NULL);
    peers_release(&server->authenticator.peers);
}

bool authenticator_is_idle(const struct authenticator *authenticator)
{
    return authenticator->running == 0;
}

/* ---- The end of an attempt ---- */

static void free_attempt(struct attempt *attempt)
{
    attempt->peer->waiting--;
    sodium_memzero(attempt, sizeof *attempt);
    free(attempt);
}

static void leave_queue(struct attempt *attempt)
{
    DL_DELETE2(attempt->server->authenticator.queue, attempt, previous, next);
    attempt->server->authenticator.queued--;
}

/* Counts, audits and answers; ends the connection where it was once too often. */
static void fail(struct attempt *attempt, const struct err *err)
{
    struct request *request = attempt->request;
    struct conn *conn = request->conn;
    bool is_gone = conn->state == CONN_CLOSING; /* then it may go with its last request */
    attempt->server->authentication_failures++;
    audit_not_authenticated(conn, attempt->user, attempt->user_size, err->code);
    if (err->code == ERR_UNAUTHENTICATED)
        conn->identity.failures++;
    request_fail(request, err);
    if (!is_gone && conn->identity.failures >= ACCESS_FAILURES_MAX)
        conn_fail(conn, "%u authentications have failed", conn->identity.failures);
}

static void fail_busy(struct attempt *attempt)
{
    struct err err;
    err_set(&err, ERR_BUSY,
            "authenticate: too many attempts are under way, or have failed from where you are; try "
            "again in a while");
    fail(attempt, &err);
    free_attempt(attempt);
}

/* The user whose hash it was; NULL where there is no such user, or the users have changed
 * meanwhile. */
static const struct conf_user *find_verified(const struct attempt *attempt)
{
    const struct conf_user *user =
        users_find(&attempt->server->conf, attempt->user, attempt->user_size);
    if (user == NULL || user->password_hash == NULL ||
        strcmp(user->password_hash, attempt->hash) != 0)
        return NULL;
    return user;
}

static void settle(struct attempt *attempt)
{
    struct conn *conn = attempt->request->conn;
    const struct conf_user *user = attempt->is_right ? find_verified(attempt) : NULL;
    struct err err;
    if (user != NULL) {
        attempt->server->authentications++;
        access_set_user(conn, user, KNOWN_BY_PASSWORD);
        audit_authenticated(conn);
        request_succeed(attempt->request);
        return;
    }
    if (attempt->is_out_of_memory) {
        err_set(&err, ERR_BUSY, "authenticate: out of memory for verifying a password; try again");
    } else {
        peer_failed(attempt->peer, now_ms());
        err_set(&err, ERR_UNAUTHENTICATED,
                "authenticate: wrong user or password; mrcli passwd makes the password_hash of a "
                "new one, for the server's configuration");
    }
    fail(attempt, &err);
}

/* ---- At a worker ---- */

/* More than libsodium needs below run_verify, less than a worker has. */
#define STACK_WIPED ((size_t)64 * 1024)

static void run_verify(struct work *work)
{
    struct attempt *attempt = (struct attempt *)work;
    errno = 0;
    attempt->is_right =
        crypto_pwhash_str_verify(attempt->hash, attempt->password, attempt->password_size) == 0;
    attempt->is_out_of_memory = !attempt->is_right && errno == ENOMEM;
    sodium_memzero(attempt->password, sizeof attempt->password);
    sodium_stackzero(STACK_WIPED); /* what the hashing has left of it there */
}

static void on_verified(struct work *work)
{
    struct attempt *attempt = (struct attempt *)work;
    struct server *server = attempt->server;
    server->authenticator.running--;
    attempt->peer->running--;
    settle(attempt);
    free_attempt(attempt);
    pump(server);
}

/* ---- The queue ---- */

static void start(struct attempt *attempt, uint64_t at_ms)
{
    struct server *server = attempt->server;
    leave_queue(attempt);
    peer_begins(attempt->peer, at_ms);
    server->authenticator.running++;
    attempt->peer->running++;
    attempt->work = (struct work){.run = run_verify, .done = on_verified};
    workers_submit(&server->workers, WORK_OTHER, &attempt->work);
}

/* Whether it is not worth waiting for any more. */
static bool is_late(const struct attempt *attempt, uint64_t at_ms)
{
    return at_ms - attempt->queued_ms >= ATTEMPT_WAIT_MS ||
           (attempt->server->phase != SERVER_RUNNING && attempt->peer->due_ms > at_ms);
}

/* When something is to be done for it, if no verifying ends before. */
static uint64_t next_ms(const struct attempt *attempt)
{
    uint64_t late_ms = attempt->queued_ms + ATTEMPT_WAIT_MS;
    return attempt->peer->due_ms < late_ms ? attempt->peer->due_ms : late_ms;
}

/* The first that may start, of a peer that has none at work if there is one: so nobody who comes
 * with many holds up somebody who comes with one. */
static struct attempt *next_due(const struct authenticator *authenticator, uint64_t at_ms)
{
    struct attempt *attempt, *first = NULL;
    DL_FOREACH(authenticator->queue, attempt)
    {
        if (attempt->peer->due_ms > at_ms)
            continue;
        if (attempt->peer->running == 0)
            return attempt;
        if (first == NULL)
            first = attempt;
    }
    return first;
}

/* Ends those for whom it is not worth waiting, and tells when to look again. */
static uint64_t drop_late(struct authenticator *authenticator, uint64_t at_ms)
{
    struct attempt *attempt, *after;
    uint64_t wake_ms = UINT64_MAX;
    DL_FOREACH_SAFE(authenticator->queue, attempt, after)
    {
        if (is_late(attempt, at_ms)) {
            leave_queue(attempt);
            fail_busy(attempt);
        } else if (next_ms(attempt) < wake_ms) {
            wake_ms = next_ms(attempt);
        }
    }
    return wake_ms;
}

/* Starts those whose turn it is. */
static void pump(struct server *server)
{
    struct authenticator *authenticator = &server->authenticator;
    struct attempt *attempt;
    uint64_t at_ms = now_ms(), wake_ms;
    while (authenticator->running < ATTEMPTS_AT_ONCE &&
           (attempt = next_due(authenticator, at_ms)) != NULL)
        start(attempt, at_ms);
    wake_ms = drop_late(authenticator, at_ms);
    /* Those that are due start when one of those at work is through. */
    if (wake_ms == UINT64_MAX)
        uv_timer_stop(&authenticator->timer);
    else
        uv_timer_start(&authenticator->timer, on_timer,
                       wake_ms > at_ms ? wake_ms - at_ms : PEER_DELAY_MS, 0);
}

void authenticate_hurry(struct server *server)
{
    pump(server);
}

void authenticate_abandon(struct request *request)
{
    struct attempt *attempt;
    DL_FOREACH(request->conn->server->authenticator.queue, attempt)
    {
        if (attempt->request != request)
            continue;
        leave_queue(attempt);
        free_attempt(attempt);
        request_free(request);
        return;
    }
}

/* ---- The beginning ---- */

/* What is wrong about it whoever is meant. */
static int check(const struct call *call, struct err *err)
{
    const struct rpc_param *password = &call->args.params[1];
    if (call->server->conf.users_count == 0)
        return err_set(err, ERR_DENIED,
                       "authenticate: this server has no users: everybody may do everything; leave "
                       "authenticate out, or add users to the server's configuration");
    if (!conn_is_private(call->conn))
        return err_set(
            err, ERR_DENIED,
            "authenticate: a password is taken only over TLS, a Unix socket or loopback: "
            "connect over one of these, and change the password, which was readable on "
            "its way here");
    if (password->size > PASSWORD_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "authenticate: a password has at most %d bytes, not %" PRIu32, PASSWORD_MAX,
                       password->size);
    return 0;
}

/* Whether the peer, or the queue, has too many already. */
static bool is_full(const struct authenticator *authenticator, struct peer *peer, uint64_t at_ms)
{
    uint64_t delay_ms = peer_delay_ms(peer, at_ms);
    uint64_t wait_ms = peer->due_ms > at_ms ? peer->due_ms - at_ms : 0;
    return authenticator->queued >= ATTEMPTS_MAX || peer->waiting >= ATTEMPTS_PEER_MAX ||
           wait_ms + peer->waiting * delay_ms >= ATTEMPT_WAIT_MS;
}

/* Which hash is compared, so that it takes the same time whoever is named. */
static void choose_hash(struct attempt *attempt, const struct rpc_param *name)
{
    const struct server *server = attempt->server;
    const struct conf_user *user = users_find(&server->conf, (const char *)name->bytes, name->size);
    const char *hash = user != NULL ? user->password_hash : NULL;
    uint8_t number[crypto_shorthash_BYTES];
    size_t which;
    crypto_shorthash(number, name->bytes, name->size, server->authenticator.salt);
    memcpy(&which, number, sizeof which);
    if (hash == NULL)
        hash = users_decoy(&server->conf, which);
    memcpy(attempt->hash, hash, strlen(hash) + 1);
}

static struct attempt *new_attempt(struct call *call, struct peer *peer)
{
    const struct rpc_param *name = &call->args.params[0], *password = &call->args.params[1];
    struct attempt *attempt = calloc(1, sizeof *attempt);
    if (attempt == NULL)
        return NULL;
    attempt->request =
        request_new(call->conn, NULL, call->envelope.msgid, call->envelope.is_notification);
    if (attempt->request == NULL) {
        free(attempt);
        return NULL;
    }
    attempt->server = call->server;
    attempt->peer = peer;
    attempt->queued_ms = now_ms();
    attempt->user_size = name->size < USER_NAME_MAX ? name->size : USER_NAME_MAX;
    memcpy(attempt->user, name->bytes, attempt->user_size);
    choose_hash(attempt, name);
    attempt->password_size = password->size;
    if (password->size > 0)
        memcpy(attempt->password, password->bytes, password->size);
    return attempt;
}

static int enqueue(struct call *call, struct err *err)
{
    struct authenticator *authenticator = &call->server->authenticator;
    uint64_t at_ms = now_ms();
    struct peer *peer = peers_get(&authenticator->peers, call->conn->origin->key, at_ms);
    struct attempt *attempt;
    if (peer == NULL || is_full(authenticator, peer, at_ms))
        return err_set(err, ERR_BUSY,
                       "authenticate: too many attempts are under way, or have failed from where "
                       "you are; try again in a while");
    attempt = new_attempt(call, peer);
    if (attempt == NULL)
        return err_set(err, ERR_INTERNAL, "authenticate: out of memory");
    peer->waiting++;
    DL_APPEND2(authenticator->queue, attempt, previous, next);
    authenticator->queued++;
    request_move(attempt->request, REQUEST_AUTHENTICATING);
    request_hold(attempt->request);
    pump(call->server);
    return 0;
}

int authenticate_begin(struct call *call, struct err *err)
{
    const struct rpc_param *name = &call->args.params[0];
    int status = check(call, err);
    if (status == 0)
        status = enqueue(call, err);
    if (status != 0) {
        call->server->authentication_failures++;
        audit_not_authenticated(call->conn, (const char *)name->bytes, name->size, err->code);
    }
    return status;
}
