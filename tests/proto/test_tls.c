/* proto/tls: two ends back to back, with a network between them that cuts as it likes. */
#include "proto/tls.h"

#include <check.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "tests/proto/support_tls.h"
#include "tests/support_main.h"

struct end {
    struct tls *tls;
    struct tls_pool pool;
    const uint8_t *text; /* to say */
    size_t text_size, said;
    uint8_t *heard;
    size_t heard_size, heard_room;
    enum tls_status status;
};

struct pair {
    SSL_CTX *contexts[2];
    struct end client, server;
    size_t slice; /* of the network; 0: random ones */
    uint64_t random;
};

static size_t pick(struct pair *pair, size_t most)
{
    size_t size = pair->slice;

    if (size == 0) {
        pair->random = pair->random * 6364136223846793005U + 1442695040888963407U;
        size = 1 + (size_t)(pair->random >> 40) % ((pair->random & (1U << 30)) != 0 ? 40000 : 50);
    }
    return size < most ? size : most;
}

static void open_pair(struct pair *pair, int version, size_t slice)
{
    *pair = (struct pair){.slice = slice, .random = 7};
    pair->contexts[0] = server_context(version);
    pair->contexts[1] = client_context(version);
    pair->server.tls = tls_new_server(pair->contexts[0], &pair->server.pool);
    pair->client.tls = tls_new_client(pair->contexts[1], &pair->client.pool);
    ck_assert_ptr_nonnull(pair->server.tls);
    ck_assert_ptr_nonnull(pair->client.tls);
}

static void close_end(struct end *end)
{
    tls_free(end->tls);
    tls_pool_release(&end->pool);
    free(end->heard);
}

static void close_pair(struct pair *pair)
{
    close_end(&pair->client);
    close_end(&pair->server);
    SSL_CTX_free(pair->contexts[0]);
    SSL_CTX_free(pair->contexts[1]);
}

/* Everything that the end can read, into rooms of odd sizes. */
static void hear(struct pair *pair, struct end *end)
{
    for (;;) {
        size_t got = 0, room = pair->slice == 1 ? 3 : pick(pair, 50000);

        if (end->heard_room - end->heard_size < room) {
            end->heard_room = 2 * (end->heard_size + room);
            end->heard = realloc(end->heard, end->heard_room);
            ck_assert_ptr_nonnull(end->heard);
        }
        end->status = tls_read(end->tls, end->heard + end->heard_size, room, &got);
        if (end->status != TLS_BYTES)
            return;
        ck_assert_uint_ge(got, 1);
        ck_assert_uint_le(got, room);
        end->heard_size += got;
    }
}

/* Some of what there is to say, cut into pieces. */
static void say(struct pair *pair, struct end *end)
{
    struct iovec pieces[8];
    unsigned count = 0;
    size_t at = end->said, taken = 0, waiting, most = pick(pair, TLS_CHUNK);

    while (count < 8 && at < end->text_size) {
        size_t size = pick(pair, end->text_size - at);

        pieces[count++] =
            (struct iovec){.iov_base = (void *)(uintptr_t)(end->text + at), .iov_len = size};
        at += size;
    }
    (void)tls_waiting(end->tls, &waiting);
    end->status = tls_write(end->tls, pieces, count, most, &taken);
    ck_assert_int_ne(end->status, TLS_FAILED);
    ck_assert(waiting == 0 || taken == 0);
    ck_assert_uint_le(taken, at - end->said);
    ck_assert_uint_le(taken, most);
    end->said += taken;
    (void)tls_waiting(end->tls, &waiting);
    ck_assert_uint_le(waiting, TLS_OUT_SIZE);
}

/* Whether bytes have moved. Half of the time what was fed is kept by the session. */
static bool carry(struct pair *pair, struct end *from, struct end *to)
{
    size_t size;
    const uint8_t *bytes = tls_waiting(from->tls, &size);
    uint8_t *copy;

    if (size == 0)
        return false;
    size = pick(pair, size);
    copy = malloc(size);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, bytes, size);
    tls_sent(from->tls, size);
    tls_feed(to->tls, copy, size);
    if ((size & 1) != 0) {
        ck_assert(tls_keep(to->tls));
        ck_assert_uint_ge(tls_held(to->tls), size);
        free(copy);
        copy = NULL;
    }
    hear(pair, to);
    ck_assert(!tls_has_input(to->tls));
    free(copy);
    return true;
}

/* Until nothing moves any more. */
static void talk(struct pair *pair)
{
    bool moved = true;

    hear(pair, &pair->client); /* begins the handshake */
    while (moved) {
        size_t said = pair->client.said + pair->server.said;

        if (tls_is_open(pair->client.tls))
            say(pair, &pair->client);
        if (tls_is_open(pair->server.tls))
            say(pair, &pair->server);
        moved = carry(pair, &pair->client, &pair->server);
        moved = carry(pair, &pair->server, &pair->client) || moved;
        moved = moved || said != pair->client.said + pair->server.said;
    }
}

static uint8_t *text_of(size_t size, unsigned seed)
{
    uint8_t *text = malloc(size + 1);

    ck_assert_ptr_nonnull(text);
    for (size_t i = 0; i < size; i++)
        text[i] = (uint8_t)((i * 2654435761U + seed) >> 13);
    return text;
}

static void assert_heard(const struct end *from, const struct end *to)
{
    ck_assert_uint_eq(from->said, from->text_size);
    ck_assert_uint_eq(to->heard_size, from->text_size);
    ck_assert_mem_eq(to->heard, from->text, from->text_size);
}

static void assert_conversation(int version, size_t slice, size_t size)
{
    uint8_t *question = text_of(size, 1), *answer = text_of(2 * size, 2);
    struct pair pair;

    open_pair(&pair, version, slice);
    pair.client.text = question;
    pair.client.text_size = size;
    pair.server.text = answer;
    pair.server.text_size = 2 * size;
    talk(&pair);
    ck_assert(tls_is_open(pair.client.tls) && tls_is_open(pair.server.tls));
    assert_heard(&pair.client, &pair.server);
    assert_heard(&pair.server, &pair.client);

    /* One end stops; the other one may still speak. */
    tls_end(pair.client.tls);
    ck_assert(tls_has_ended(pair.client.tls));
    talk(&pair);
    ck_assert_int_eq(tls_read(pair.server.tls, pair.server.heard, 1, &size), TLS_ENDED);
    pair.server.text_size++;
    answer[pair.server.said] = 'x';
    talk(&pair);
    assert_heard(&pair.server, &pair.client);
    tls_end(pair.server.tls);
    talk(&pair);
    ck_assert_int_eq(tls_read(pair.client.tls, pair.client.heard, 1, &size), TLS_ENDED);
    /* What comes behind the end is nothing. */
    tls_feed(pair.client.tls, "more", 4);
    ck_assert(!tls_has_input(pair.client.tls));
    close_pair(&pair);
    free(question);
    free(answer);
}

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

/* Byte by byte, so that each is seen. */
START_TEST(within_a_record)
{
    static const uint8_t text[] = "a message";
    struct pair pair;
    open_pair(&pair, TLS1_3_VERSION, 0);
    talk(&pair);
    ck_assert(tls_is_open(pair.server.tls) && !tls_is_within_record(pair.server.tls));
    pair.client.text = text;
    pair.client.text_size = sizeof text;
    pair.slice = sizeof text;
    say(&pair, &pair.client);
    ck_assert_uint_eq(pair.client.said, sizeof text);
    pair.slice = 1;
    size_t size;
    while (tls_waiting(pair.client.tls, &size) != NULL) {
        ck_assert_uint_eq(pair.server.heard_size, 0);
        (void)carry(&pair, &pair.client, &pair.server);
        ck_assert(tls_is_within_record(pair.server.tls) == (size > 1));
    }
    ck_assert_uint_eq(pair.server.heard_size, sizeof text);
    close_pair(&pair);
}
END_TEST

START_TEST(byte_by_byte)
{
    assert_conversation(versions[_i], 1, 1000);
}
END_TEST

START_TEST(random_slices)
{
    assert_conversation(versions[_i], 0, 300000);
}
END_TEST

START_TEST(all_at_once)
{
    assert_conversation(versions[_i], SIZE_MAX, 1000000);
}
END_TEST

/* Nothing is taken while something waits, whatever there would be to say. */
START_TEST(bounded)
{
    uint8_t *text = text_of(1 << 20, 3);
    struct iovec piece = {.iov_base = text, .iov_len = 1 << 20};
    struct pair pair;
    size_t taken, waiting, left;

    open_pair(&pair, versions[_i], SIZE_MAX);
    ck_assert_int_eq(tls_write(pair.server.tls, &piece, 1, TLS_CHUNK, &taken), TLS_MORE);
    ck_assert_uint_eq(taken, 0); /* no handshake yet */
    talk(&pair);
    ck_assert_int_eq(tls_write(pair.server.tls, &piece, 1, TLS_CHUNK, &taken), TLS_BYTES);
    ck_assert_uint_eq(taken, TLS_CHUNK);
    (void)tls_waiting(pair.server.tls, &waiting);
    ck_assert_uint_gt(waiting, TLS_CHUNK);
    ck_assert_uint_le(waiting, TLS_OUT_SIZE);
    ck_assert_int_eq(tls_write(pair.server.tls, &piece, 1, TLS_CHUNK, &taken), TLS_MORE);
    ck_assert_uint_eq(taken, 0);
    tls_sent(pair.server.tls, waiting - 1);
    ck_assert_int_eq(tls_write(pair.server.tls, &piece, 1, TLS_CHUNK, &taken), TLS_MORE);
    ck_assert_uint_eq(taken, 0);
    (void)tls_waiting(pair.server.tls, &left);
    ck_assert_uint_eq(left, 1);
    tls_sent(pair.server.tls, 1);
    ck_assert_int_eq(tls_write(pair.server.tls, &piece, 1, TLS_CHUNK, &taken), TLS_BYTES);
    ck_assert_uint_eq(taken, TLS_CHUNK);
    close_pair(&pair);
    free(text);
}
END_TEST

#ifndef __SANITIZE_ADDRESS__
/* All that the client has said, from there to the server and out of it. */
static void send_all(struct pair *pair, const uint8_t *text, size_t size)
{
    static uint8_t room[TLS_CHUNK];
    struct iovec piece = {.iov_base = (void *)(uintptr_t)text, .iov_len = size};
    size_t taken, waiting, got = 0, part;
    const uint8_t *bytes;

    ck_assert_int_eq(tls_write(pair->client.tls, &piece, 1, TLS_CHUNK, &taken), TLS_BYTES);
    ck_assert_uint_eq(taken, size);
    bytes = tls_waiting(pair->client.tls, &waiting);
    tls_feed(pair->server.tls, bytes, waiting);
    while (tls_read(pair->server.tls, room + got, sizeof room - got, &part) == TLS_BYTES)
        got += part;
    ck_assert_uint_eq(got, size);
    ck_assert_mem_eq(room, text, size);
    tls_sent(pair->client.tls, waiting);
}

/* Buffers are there while records follow each other, and are not kept after the last one, however
 * long that is. */
START_TEST(no_buffers_at_rest)
{
    uint8_t *text = text_of(TLS_CHUNK, 5);
    struct pair pair;

    open_pair(&pair, versions[_i], SIZE_MAX);
    talk(&pair);
    send_all(&pair, text, 50); /* the pool has its buffer now */
    const size_t before = mallinfo2().uordblks;
    for (size_t size = TLS_RECORD / 4; size <= TLS_CHUNK; size += TLS_RECORD / 4) {
        send_all(&pair, text, size);
        ck_assert_uint_lt(mallinfo2().uordblks, before + TLS_RECORD / 2);
    }
    close_pair(&pair);
    free(text);
}
END_TEST
#endif

/* A peer that has itself answered without ever taking an answer costs the buffer and no more. */
START_TEST(flood)
{
    struct pair pair;
    enum tls_status status = TLS_MORE;
    unsigned rounds = 0;

    open_pair(&pair, TLS1_3_VERSION, SIZE_MAX);
    talk(&pair);
    while (status != TLS_FAILED && rounds++ < 100000) {
        struct iovec piece = {.iov_base = "x", .iov_len = 1};
        uint8_t room[16];
        size_t taken, size, got;
        const uint8_t *bytes;

        ck_assert_int_eq(SSL_key_update(tls_ssl(pair.client.tls), SSL_KEY_UPDATE_REQUESTED), 1);
        ck_assert_int_eq(tls_write(pair.client.tls, &piece, 1, TLS_CHUNK, &taken), TLS_BYTES);
        bytes = tls_waiting(pair.client.tls, &size);
        tls_feed(pair.server.tls, bytes, size);
        while ((status = tls_read(pair.server.tls, room, sizeof room, &got)) == TLS_BYTES)
            ;
        tls_sent(pair.client.tls, size);
        (void)tls_waiting(pair.server.tls, &size);
        ck_assert_uint_le(size, TLS_OUT_SIZE);
    }
    ck_assert_int_eq(status, TLS_FAILED);
    ck_assert_str_eq(tls_reason(pair.server.tls), "it does not take what it asks for");
    close_pair(&pair);
}
END_TEST

/* Every byte of the stream matters. */
START_TEST(changed_bytes)
{
    static uint8_t text[100];
    struct iovec piece = {.iov_base = text, .iov_len = sizeof text};
    uint8_t room[200];

    for (size_t at = 0;; at++) {
        struct pair pair;
        size_t taken, size, got;
        uint8_t copy[256];

        open_pair(&pair, versions[_i], SIZE_MAX);
        talk(&pair);
        ck_assert_int_eq(tls_write(pair.client.tls, &piece, 1, TLS_CHUNK, &taken), TLS_BYTES);
        (void)tls_waiting(pair.client.tls, &size);
        ck_assert_uint_le(size, sizeof copy);
        memcpy(copy, tls_waiting(pair.client.tls, &size), size);
        if (at == size) {
            close_pair(&pair);
            break;
        }
        copy[at] ^= 1;
        tls_feed(pair.server.tls, copy, size);
        /* A longer record is waited for, the others are bad. */
        ck_assert_int_ne(tls_read(pair.server.tls, room, sizeof room, &got), TLS_BYTES);
        close_pair(&pair);
    }
}
END_TEST

/* What comes with the last bytes is told when it is asked for, and until then there is input. */
START_TEST(end_behind_bytes)
{
    struct iovec piece = {.iov_base = "last", .iov_len = 4};
    struct pair pair;
    uint8_t stream[512], room[16];
    size_t taken, size, more;

    open_pair(&pair, versions[_i], SIZE_MAX);
    talk(&pair);
    ck_assert_int_eq(tls_write(pair.client.tls, &piece, 1, TLS_CHUNK, &taken), TLS_BYTES);
    tls_end(pair.client.tls);
    (void)tls_waiting(pair.client.tls, &size);
    ck_assert_uint_le(size, sizeof stream);
    memcpy(stream, tls_waiting(pair.client.tls, &size), size);
    tls_feed(pair.server.tls, stream, size);
    ck_assert_int_eq(tls_read(pair.server.tls, room, sizeof room, &more), TLS_BYTES);
    ck_assert_uint_eq(more, 4);
    ck_assert(tls_has_input(pair.server.tls));
    ck_assert_int_eq(tls_read(pair.server.tls, room, sizeof room, &more), TLS_ENDED);
    ck_assert(!tls_has_input(pair.server.tls));
    close_pair(&pair);
}
END_TEST

START_TEST(no_tls)
{
    static const char *const texts[] = {"\x94\x01\x02", "GET / HTTP/1.1\r\n\r\n", "\x17\x03\x03"};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct pair pair;
        uint8_t room[16];
        const uint8_t *alert;
        size_t size;

        open_pair(&pair, TLS1_3_VERSION, SIZE_MAX);
        tls_feed(pair.server.tls, texts[i], strlen(texts[i]));
        ck_assert_int_eq(tls_read(pair.server.tls, room, sizeof room, &size), TLS_FAILED);
        ck_assert_ptr_nonnull(strstr(tls_reason(pair.server.tls), "does not speak TLS"));
        ck_assert(tls_has_ended(pair.server.tls));
        ck_assert(!tls_has_input(pair.server.tls));
        alert = tls_waiting(pair.server.tls, &size);
        ck_assert_uint_eq(size, 7);
        ck_assert_mem_eq(alert, "\x15\x03\x03\x00\x02\x02\x0a", 7);
        close_pair(&pair);
    }
}
END_TEST

START_TEST(versions_that_differ)
{
    struct pair pair;
    SSL_CTX *older = client_context(TLS1_2_VERSION);

    open_pair(&pair, TLS1_3_VERSION, SIZE_MAX);
    tls_free(pair.client.tls);
    pair.client.tls = tls_new_client(older, &pair.client.pool);
    talk(&pair);
    ck_assert_int_eq(pair.server.status, TLS_FAILED);
    ck_assert_str_eq(tls_reason(pair.server.tls),
                     "it wants an older version of TLS than is spoken here");
    ck_assert_int_eq(pair.client.status, TLS_FAILED);
    ck_assert_str_eq(tls_reason(pair.client.tls),
                     "it speaks none of the versions of TLS that are offered");
    close_pair(&pair);
    SSL_CTX_free(older);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("proto/tls");
    TCase *test_case = tcase_create("all");

    tcase_add_test(test_case, within_a_record);
    tcase_add_loop_test(test_case, byte_by_byte, 0, 2);
    tcase_add_loop_test(test_case, random_slices, 0, 2);
    tcase_add_loop_test(test_case, all_at_once, 0, 2);
    tcase_add_loop_test(test_case, bounded, 0, 2);
#ifndef __SANITIZE_ADDRESS__
    tcase_add_loop_test(test_case, no_buffers_at_rest, 0, 2);
#endif
    tcase_add_test(test_case, flood);
    tcase_add_loop_test(test_case, changed_bytes, 0, 2);
    tcase_add_loop_test(test_case, end_behind_bytes, 0, 2);
    tcase_add_test(test_case, no_tls);
    tcase_add_test(test_case, versions_that_differ);
    suite_add_tcase(suite, test_case);
    return suite_main(suite);
}
