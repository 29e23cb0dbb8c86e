#include "support_client.h"

#include <errno.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/err.h"
#include "daemon/dispatch.h"
#include "proto/frame.h"
#include "proto/rpc.h"
#include "proto/tls.h"
#include "support_events.h"
#include "tests/fuzz/fuzz.h"

uint8_t *bytes_add(struct bytes *bytes, size_t size)
{
    if (bytes->base == NULL || bytes->capacity - bytes->size < size) {
        bytes->capacity = 2 * bytes->capacity + size + 256;
        bytes->base = realloc(bytes->base, bytes->capacity);
        FUZZ_REQUIRE(bytes->base != NULL);
    }
    bytes->size += size;
    return bytes->base + bytes->size - size;
}

/* ---- The socket ---- */

bool client_open(struct client *client, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    FUZZ_REQUIRE(client->fd >= 0);
    if (connect(client->fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        close(client->fd);
        client->fd = -1;
        return false;
    }
    /* More than the server reads at a stretch, where we may. */
    (void)setsockopt(client->fd, SOL_SOCKET, SO_SNDBUFFORCE, &(int){1 << 20}, sizeof(int));
    client->was_open = true;
    return true;
}

void client_close(struct client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
}

/* A slice of what there is, to the socket. Whether it took any. */
static bool send_slice(struct client *client, const struct bytes *bytes, size_t *sent)
{
    size_t left = bytes->size - *sent;
    /* a long message does not take for ever */
    size_t slice = (size_t)min_u64(left, max_u64(client->slice, left / 256));
    if (left == 0 || client->is_shut)
        return false;
    ssize_t size = send(client->fd, bytes->base + *sent, slice, MSG_NOSIGNAL);
    if (size > 0)
        *sent += (size_t)size;
    else if (errno != EAGAIN)
        client->is_shut = client->is_broken = true;
    return size > 0;
}

/* Once all is sent. */
static bool shut(struct client *client)
{
    client->is_shut = true;
    return shutdown(client->fd, SHUT_WR) == 0;
}

/* What came of the socket, 0 at its end or when there is nothing. */
static size_t read_some(struct client *client, uint8_t *room, size_t size)
{
    if (client->appetite == 0 || client->has_end)
        return 0;
    ssize_t had = recv(client->fd, room, min_u64(size, client->appetite), 0);
    if (had > 0)
        return (size_t)had;
    client->has_end = had == 0 || errno != EAGAIN;
    client->is_broken |= had < 0 && errno != EAGAIN;
    return 0;
}

static bool turn_plain(struct client *client)
{
    uint8_t room[65536];
    bool has_sent = send_slice(client, &client->to_send, &client->sent);
    if (!has_sent && client->wants_shut && !client->is_shut && client->sent == client->to_send.size)
        has_sent = shut(client);
    size_t size = read_some(client, room, sizeof room);
    if (size > 0)
        memcpy(bytes_add(&client->received, size), room, size);
    return size > 0 || has_sent;
}

/* ---- Through TLS ---- */

void client_secure(struct client *client, struct ssl_ctx_st *context, struct tls_pool *pool)
{
    client->tls = tls_new_client(context, pool);
    FUZZ_REQUIRE(client->tls != NULL);
}

/* What TLS has for the network. */
static void take_encrypted(struct client *client)
{
    size_t size;
    const uint8_t *bytes;
    while ((bytes = tls_waiting(client->tls, &size)) != NULL) {
        memcpy(bytes_add(&client->encrypted, size), bytes, size);
        tls_sent(client->tls, size);
    }
}

static void encrypt(struct client *client)
{
    size_t taken = 0, left = client->to_send.size - client->sent;
    if (left > 0) {
        struct iovec piece = {client->to_send.base + client->sent,
                              min_u64(left, max_u64(client->slice, left / 256))};
        client->is_broken |= tls_write(client->tls, &piece, 1, TLS_CHUNK, &taken) == TLS_FAILED;
    }
    client->sent += taken;
    take_encrypted(client);
    if (client->wants_shut && client->sent == client->to_send.size && tls_is_open(client->tls))
        tls_end(client->tls);
    take_encrypted(client);
}

static void decrypt(struct client *client, const uint8_t *bytes, size_t size)
{
    uint8_t room[16384];
    size_t had;
    enum tls_status status;
    tls_feed(client->tls, bytes, size);
    while ((status = tls_read(client->tls, room, sizeof room, &had)) == TLS_BYTES)
        memcpy(bytes_add(&client->received, had), room, had);
    client->is_broken |= status == TLS_FAILED;
    client->has_tls_end |= status == TLS_ENDED;
    FUZZ_REQUIRE(tls_keep(client->tls));
    take_encrypted(client);
}

static bool turn_secure(struct client *client)
{
    uint8_t room[65536];
    if (!client->is_broken && !client->is_shut) {
        if (!client->has_begun) {
            size_t had;
            client->has_begun = true;
            (void)tls_read(client->tls, room, sizeof room, &had);
        }
        encrypt(client);
    }
    bool has_moved = send_slice(client, &client->encrypted, &client->encrypted_sent);
    bool is_through = client->is_broken || tls_has_ended(client->tls);
    if (!has_moved && client->wants_shut && !client->is_shut && is_through &&
        client->encrypted_sent == client->encrypted.size)
        has_moved = shut(client);
    size_t size = read_some(client, room, sizeof room);
    if (size > 0 && !client->is_broken && !client->has_tls_end)
        decrypt(client, room, size);
    if (client->has_end && !client->has_tls_end)
        client->is_broken = true;
    return has_moved || size > 0;
}

bool client_turn(struct client *client)
{
    if (client->fd < 0)
        return false;
    return client->tls != NULL ? turn_secure(client) : turn_plain(client);
}

void client_release(struct client *client)
{
    client_close(client);
    tls_free(client->tls);
    free(client->encrypted.base);
    free(client->to_send.base);
    free(client->received.base);
    *client = (struct client){.fd = -1};
}

/* ---- The answers ---- */

struct ids {
    uint32_t *base;
    size_t count, capacity;
};

static void add_id(struct ids *ids, uint32_t id)
{
    if (ids->count == ids->capacity) {
        ids->capacity = 2 * ids->capacity + 16;
        ids->base = realloc(ids->base, ids->capacity * sizeof *ids->base);
        FUZZ_REQUIRE(ids->base != NULL);
    }
    ids->base[ids->count++] = id;
}

static int compare_ids(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Whose answers may come: of all requests that were sent, up to the first message that cannot be
 * one; with is_complete without one that is not whole. Whether there was one that cannot be. */
static bool list_requests(const struct client *client, bool is_complete, uint64_t max_message,
                          struct ids *ids)
{
    size_t at = 0, sent = client->sent;
    while (at < sent) {
        struct frame_scanner scanner;
        struct rpc_request request;
        struct err err;
        uint32_t id;
        uint64_t size;
        const uint8_t *frame = client->to_send.base + at;
        frame_reset(&scanner);
        enum frame_status status = frame_scan(&scanner, frame, sent - at, max_message, &size);
        bool is_request =
            status == FRAME_COMPLETE && rpc_parse(frame, (size_t)size, &request, &err) == 0;
        if (is_request && !request.is_notification)
            add_id(ids, request.msgid);
        if (status == FRAME_INCOMPLETE && is_complete)
            return false;
        if (!is_request && dispatch_peek_msgid(frame, sent - at, &id))
            add_id(ids, id);
        if (!is_request)
            return status != FRAME_INCOMPLETE;
        at += size;
    }
    return false;
}

static bool is_code(const char *text, size_t size)
{
    for (int code = 1; code < ERR_CODES; code++) {
        const char *name = err_name((enum err_code)code);
        size_t length = strlen(name);
        if (size > length + 2 && memcmp(text, name, length) == 0 &&
            memcmp(text + length, ": ", 2) == 0)
            return true;
    }
    return false;
}

/* What who has subscribed is told between answers. */
static bool is_event(const msgpack_object *answer)
{
    const msgpack_object *items = answer->via.array.ptr;
    return answer->type == MSGPACK_OBJECT_ARRAY && answer->via.array.size == 3 &&
           items[0].type == MSGPACK_OBJECT_POSITIVE_INTEGER && items[0].via.u64 == 2 &&
           items[1].type == MSGPACK_OBJECT_STR && items[1].via.str.size == 5 &&
           memcmp(items[1].via.str.ptr, "event", 5) == 0 && items[2].type == MSGPACK_OBJECT_ARRAY &&
           items[2].via.array.size == 1 && items[2].via.array.ptr[0].type == MSGPACK_OBJECT_MAP;
}

static const char *judge_answer(const msgpack_object *answer, uint32_t *ret_id)
{
    const msgpack_object *items = answer->via.array.ptr;
    if (answer->type != MSGPACK_OBJECT_ARRAY || answer->via.array.size != 4)
        return "an answer is no array of four";
    if (items[0].type != MSGPACK_OBJECT_POSITIVE_INTEGER || items[0].via.u64 != 1 ||
        items[1].type != MSGPACK_OBJECT_POSITIVE_INTEGER || items[1].via.u64 > UINT32_MAX)
        return "an answer does not begin as one";
    if (items[2].type != MSGPACK_OBJECT_NIL &&
        (items[2].type != MSGPACK_OBJECT_STR || items[3].type != MSGPACK_OBJECT_NIL ||
         !is_code(items[2].via.str.ptr, items[2].via.str.size)))
        return "an answer's error is none";
    *ret_id = (uint32_t)items[1].via.u64;
    return NULL;
}

static const char *list_answers(const struct client *client, bool is_complete, struct told *told,
                                struct ids *ids)
{
    size_t at = 0;
    const char *wrong = NULL;
    while (wrong == NULL && at < client->received.size) {
        struct frame_scanner scanner;
        msgpack_unpacked unpacked;
        uint64_t size;
        uint32_t id = 0;
        bool is_told = false;
        const uint8_t *frame = client->received.base + at;
        size_t left = client->received.size - at, offset = 0;
        frame_reset(&scanner);
        scanner.elements_max = UINT32_MAX;
        enum frame_status status = frame_scan(&scanner, frame, left, UINT64_MAX, &size);
        if (status == FRAME_INCOMPLETE)
            return is_complete ? "an answer is not whole" : NULL;
        if (status != FRAME_COMPLETE)
            return "an answer is not MessagePack";
        msgpack_unpacked_init(&unpacked);
        if (msgpack_unpack_next(&unpacked, (const char *)frame, (size_t)size, &offset) !=
                MSGPACK_UNPACK_SUCCESS ||
            offset != size)
            wrong = "an answer is not what msgpack-c takes";
        else if ((is_told = is_event(&unpacked.data)))
            wrong = event_judge(told, &unpacked.data.via.array.ptr[2].via.array.ptr[0]);
        else
            wrong = judge_answer(&unpacked.data, &id);
        msgpack_unpacked_destroy(&unpacked);
        if (wrong == NULL && !is_told)
            add_id(ids, id);
        at += size;
    }
    return wrong;
}

/* Both are sorted. */
static const char *compare(const struct ids *asked, const struct ids *answered, bool is_complete)
{
    size_t at = 0;
    for (size_t i = 0; i < answered->count; i++, at++) {
        while (at < asked->count && asked->base[at] < answered->base[i])
            at++;
        if (at == asked->count || asked->base[at] != answered->base[i])
            return "an answer was not asked for, or came twice";
    }
    return is_complete && answered->count < asked->count ? "a request was not answered" : NULL;
}

const char *client_judge(const struct client *client, bool is_complete, bool sees_all,
                         uint64_t max_message)
{
    struct told told = {.sees_all = sees_all};
    struct ids asked = {0}, answered = {0};
    bool is_bad = list_requests(client, is_complete, max_message, &asked);
    is_complete = is_complete && !is_bad;
    const char *wrong = list_answers(client, is_complete, &told, &answered);
    if (asked.count > 0)
        qsort(asked.base, asked.count, sizeof *asked.base, compare_ids);
    if (answered.count > 0)
        qsort(answered.base, answered.count, sizeof *answered.base, compare_ids);
    if (wrong == NULL)
        wrong = compare(&asked, &answered, is_complete);
    free(asked.base);
    free(answered.base);
    return wrong;
}
