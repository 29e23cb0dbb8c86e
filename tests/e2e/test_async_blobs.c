/* Blobs of any size on a poll loop, against the real server: up and down in bounded memory, stopped
 * anywhere, with a server that is killed, stopped or far away. */
#include <check.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "client/mregion.h"
#include "support_proxy.h"
#include "support_server.h"
#include "tests/support_main.h"

#define MIB ((uint64_t)1 << 20)
#define PIECE ((uint64_t)256 << 10)

static struct server server;
static struct mregion *connection;
static struct mregion_error error;
static int fd;

#define OK(call) ck_assert_msg((call) == 0, "%s: %s", mregion_code_name(error.code), error.text)
#define FAILS(wanted, call) ck_assert_str_eq(mregion_code_name(call), mregion_code_name(wanted))

static void open_at(const char *address)
{
    static const struct mregion_options options = {.kept_max = 2 * MIB};

    OK(mregion_open(address, &options, &connection, &error));
    OK(mregion_fd(connection, &fd, &error));
}

static void setup(void)
{
    server_start(&server, "1MiB");
    open_at(server.address);
}

static void teardown(void)
{
    mregion_close(connection);
    server_remove(&server);
}

static void turn(void)
{
    struct pollfd waiting = {.fd = fd, .events = POLLIN};

    ck_assert_int_eq(poll(&waiting, 1, 60000), 1);
    mregion_process(connection);
}

/* ---- What is heard ---- */

struct heard {
    unsigned count;
    enum mregion_code code;
    char text[256];
    uint64_t number;
    size_t size;
};

#define HEARD_MAX 64
static struct heard heard[HEARD_MAX];

static void on_answer(struct mregion *self, const struct mregion_answer *answer, void *data)
{
    struct heard *one = data;

    ck_assert_ptr_eq(self, connection);
    one->count++;
    one->code = answer->code;
    one->number = answer->number;
    one->size = answer->result_size;
    strncpy(one->text, answer->text, sizeof one->text - 1);
}

static struct mregion_async to(unsigned index, uint32_t timeout_ms)
{
    heard[index] = (struct heard){0};
    return (struct mregion_async){
        .on_answer = on_answer, .data = &heard[index], .timeout_ms = timeout_ms};
}

static void await(unsigned index)
{
    while (heard[index].count == 0)
        turn();
}

/* Once, and with this code. */
static void check_heard(unsigned index, enum mregion_code wanted)
{
    await(index);
    ck_assert_uint_eq(heard[index].count, 1);
    ck_assert_msg(heard[index].code == wanted, "%u: %s: %s", index,
                  mregion_code_name(heard[index].code), heard[index].text);
}

static uint64_t allocated(void)
{
    uint64_t bytes;

    OK(mregion_allocated(connection, "main", &bytes, &error));
    return bytes;
}

static struct mregion_async_upload *begin(uint64_t size)
{
    struct mregion_async_upload *upload;

    OK(mregion_async_upload_begin(connection, "main", size, &upload, &error));
    return upload;
}

static void append(struct mregion_async_upload *upload, const char *text, unsigned index)
{
    struct mregion_async async = to(index, 0);

    OK(mregion_async_upload_append(upload, text, strlen(text), &async, NULL, &error));
}

static void commit(struct mregion_async_upload *upload, unsigned index)
{
    struct mregion_async async = to(index, 0);

    OK(mregion_async_upload_commit(upload, &async, NULL, &error));
}

/* ---- Large ones ---- */

static void fill(uint8_t *bytes, uint64_t offset, uint64_t size, uint64_t seed)
{
    for (uint64_t i = 0; i < size; i++) {
        uint64_t at = offset + i;

        bytes[i] = (uint8_t)((at ^ at >> 8 ^ at >> 16) * 7 + seed);
    }
}

struct up {
    struct mregion_async_upload *upload;
    uint64_t seed, size, sent, answered;
    unsigned refused, rooms, kills_at; /* the how-manieth answer; 0: never */
    unsigned answers, lost;
    uint64_t address;
    bool is_committed;
};

static void send_more(struct up *up);

static void on_committed(struct mregion *self, const struct mregion_answer *answer, void *data)
{
    struct up *up = data;

    (void)self;
    ck_assert_msg(answer->code == MREGION_OK, "%s", answer->text);
    ck_assert(!up->is_committed);
    up->address = answer->number;
    up->is_committed = true;
    mregion_async_upload_close(up->upload);
}

static void on_appended(struct mregion *self, const struct mregion_answer *answer, void *data)
{
    struct up *up = data;

    (void)self;
    up->answers++;
    if (answer->code == MREGION_ERR_LOST) {
        ck_assert_ptr_ne(strstr(answer->text, "nothing was added"), NULL);
        up->lost++;
        return;
    }
    ck_assert_msg(answer->code == MREGION_OK, "%s", answer->text);
    if (up->answers == up->kills_at)
        (void)server_end(&server, SIGKILL);
    if (up->kills_at == 0 || up->answers <= up->kills_at)
        send_more(up);
}

static void send_more(struct up *up)
{
    static uint8_t bytes[PIECE];
    struct mregion_async appended = {.on_answer = on_appended, .data = up};
    struct mregion_async committed = {.on_answer = on_committed, .data = up};
    int code = MREGION_OK;

    if (up->sent == up->size)
        return;
    while (code == MREGION_OK && up->sent < up->size) {
        uint64_t size = up->size - up->sent < PIECE ? up->size - up->sent : PIECE;

        fill(bytes, up->sent, size, up->seed);
        code = mregion_async_upload_append(up->upload, bytes, size, &appended, NULL, &error);
        if (code == MREGION_OK)
            up->sent += size;
    }
    if (code == MREGION_ERR_FULL)
        up->refused++;
    else
        OK(code);
    if (up->sent == up->size)
        OK(mregion_async_upload_commit(up->upload, &committed, NULL, &error));
}

static void on_room(struct mregion *self, void *data)
{
    struct up *up = data;

    (void)self;
    up->rooms++;
    send_more(up);
}

struct down {
    struct mregion_async_download *download;
    uint64_t seed, got, stop_at, kill_at; /* 0: never */
    enum mregion_code code;
    bool is_slow, is_over;
    uint64_t held; /* bytes that were there and not taken */
};

static void on_piece(struct mregion *self, const struct mregion_answer *answer, void *data)
{
    static uint8_t wanted[MIB];
    struct mregion_async async = {.on_answer = on_piece, .data = data};
    struct down *down = data;

    (void)self;
    down->code = answer->code;
    down->is_over = answer->code != MREGION_OK || answer->result_size == 0;
    if (down->is_over)
        return;
    ck_assert_uint_le(answer->result_size, sizeof wanted);
    fill(wanted, down->got, answer->result_size, down->seed);
    ck_assert_int_eq(memcmp(answer->result, wanted, answer->result_size), 0);
    down->got += answer->result_size;
    if (down->kill_at != 0 && down->got >= down->kill_at) {
        down->kill_at = 0;
        (void)server_end(&server, SIGKILL);
        server_start_again(&server);
    }
    if (down->stop_at != 0 && down->got >= down->stop_at) {
        mregion_async_download_close(down->download);
        down->is_over = true;
    } else {
        OK(mregion_async_download_next(down->download, &async, NULL, &error));
    }
}

static void load(struct down *down, uint64_t address, uint64_t size)
{
    struct mregion_async async = {.on_answer = on_piece, .data = down};

    OK(mregion_async_download_begin(connection, "main", address, size, &down->download, &error));
    OK(mregion_async_download_next(down->download, &async, NULL, &error));
    while (!down->is_over)
        turn();
}

static uint64_t store(uint64_t size, uint64_t seed)
{
    struct up up = {.seed = seed, .size = size, .upload = begin(MREGION_UNKNOWN_SIZE)};

    mregion_set_on_room(connection, on_room, &up);
    send_more(&up);
    while (!up.is_committed)
        turn();
    mregion_set_on_room(connection, NULL, NULL);
    ck_assert(size <= 4 * MIB || up.refused > 0);
    return up.address;
}

/* In KiB. */
static long peak(void)
{
    struct rusage usage;

    ck_assert_int_eq(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_maxrss;
}

/* What kept_max and a window are, and the tests' own, is a small part of the blob. */
START_TEST(up_and_down_in_bounded_memory)
{
    const uint64_t size = 64 * MIB + 12345;
    struct down down = {.seed = 3};
    uint64_t address;
    long before;

    (void)store(4 * MIB, 1);
    before = peak();
    address = store(size, 3);
    load(&down, address, size);
    ck_assert_int_eq(down.code, MREGION_OK);
    ck_assert_uint_eq(down.got, size);
    mregion_async_download_close(down.download);
    ck_assert_uint_eq(allocated(), 4 * MIB + size);
#ifndef __SANITIZE_ADDRESS__
    ck_assert_int_lt(peak() - before, 16 << 10);
#endif
    (void)before;
}
END_TEST

START_TEST(several_at_a_time)
{
    struct up ups[5];
    unsigned done = 0;

    for (unsigned i = 0; i < 5; i++) {
        ups[i] = (struct up){.seed = i, .size = 300 * 1024 + i, .upload = begin(300 * 1024 + i)};
        send_more(&ups[i]);
    }
    while (done < 5) {
        turn();
        for (unsigned i = done = 0; i < 5; i++)
            done += ups[i].is_committed;
    }
    for (unsigned i = 0; i < 5; i++) {
        struct down down = {.seed = i};

        load(&down, ups[i].address, ups[i].size);
        ck_assert_uint_eq(down.got, ups[i].size);
        mregion_async_download_close(down.download);
    }
}
END_TEST

/* ---- Uploads ---- */

START_TEST(a_small_one)
{
    static const uint8_t token[MREGION_TOKEN_SIZE] = "a token of mine";
    struct mregion_async_upload *upload = begin(11);
    char found[12] = "";

    append(upload, "hello", 0);
    append(upload, "", 1);
    append(upload, " world", 2);
    mregion_set_token(connection, token);
    commit(upload, 3);
    FAILS(MREGION_ERR_ARGUMENT, mregion_async_upload_append(upload, "x", 1, NULL, NULL, &error));
    FAILS(MREGION_ERR_ARGUMENT, mregion_async_upload_commit(upload, NULL, NULL, &error));
    for (unsigned i = 0; i < 4; i++)
        check_heard(i, MREGION_OK);
    FAILS(MREGION_ERR_ARGUMENT, mregion_async_upload_append(upload, "x", 1, NULL, NULL, &error));
    mregion_async_upload_close(upload);
    OK(mregion_load(connection, "main", heard[3].number, 11, found, &error));
    ck_assert_str_eq(found, "hello world");
    upload = begin(MREGION_UNKNOWN_SIZE);
    commit(upload, 0);
    check_heard(0, MREGION_OK);
    mregion_async_upload_close(upload);
    mregion_async_upload_close(NULL);
}
END_TEST

/* The last piece would fit what the one before has left free: it must not fill the hole. */
START_TEST(past_the_size)
{
    struct mregion_async_upload *upload = begin(10);

    append(upload, "12345678", 0);
    append(upload, "12345", 1);
    append(upload, "12", 2);
    commit(upload, 3);
    for (unsigned i = 1; i < 4; i++) {
        check_heard(i, MREGION_ERR_OUT_OF_BOUNDS);
        ck_assert_str_eq(heard[i].text, heard[1].text);
    }
    ck_assert_uint_eq(heard[0].count, 1); /* with whichever: a refusal is answered faster */
    FAILS(MREGION_ERR_OUT_OF_BOUNDS,
          mregion_async_upload_append(upload, "1", 1, NULL, NULL, &error));
    FAILS(MREGION_ERR_OUT_OF_BOUNDS, mregion_async_upload_commit(upload, NULL, NULL, &error));
    mregion_async_upload_close(upload);
    ck_assert_uint_eq(allocated(), 0);
}
END_TEST

START_TEST(bytes_are_missing)
{
    struct mregion_async_upload *upload = begin(10);

    append(upload, "12345678", 0);
    commit(upload, 1);
    check_heard(1, MREGION_ERR_INVALID_ARGUMENT);
    append(upload, "90", 2);
    commit(upload, 3);
    check_heard(3, MREGION_OK);
    mregion_async_upload_close(upload);
    ck_assert_uint_eq(allocated(), 10);
}
END_TEST

START_TEST(refused_at_its_beginning)
{
    struct mregion_async_upload *upload;
    uint8_t *bytes = calloc(1, 2 * MIB);
    struct mregion_async async = to(2, 0);

    OK(mregion_async_upload_begin(connection, "nowhere", 10, &upload, &error));
    append(upload, "1", 0);
    commit(upload, 1);
    check_heard(0, MREGION_ERR_NO_SUCH_REGION);
    check_heard(1, MREGION_ERR_NO_SUCH_REGION);
    FAILS(MREGION_ERR_NO_SUCH_REGION,
          mregion_async_upload_append(upload, "1", 1, NULL, NULL, &error));
    mregion_async_upload_close(upload);
    FAILS(MREGION_ERR_ARGUMENT, mregion_async_upload_begin(connection, "", 10, &upload, &error));
    upload = begin(MREGION_UNKNOWN_SIZE);
    FAILS(MREGION_ERR_ARGUMENT, mregion_async_upload_append(upload, NULL, 1, NULL, NULL, &error));
    OK(mregion_async_upload_append(upload, bytes, 2 * MIB - 1000, &async, NULL, &error));
    append(upload, "1", 3);
    check_heard(2, MREGION_ERR_ARGUMENT);
    check_heard(3, MREGION_ERR_ARGUMENT);
    mregion_async_upload_close(upload);
    free(bytes);
}
END_TEST

/* More than may be open at a time, each given up at another point. */
START_TEST(aborted_at_any_moment)
{
    for (unsigned i = 0; i < 300; i++) {
        struct mregion_async_upload *upload = begin(i % 2 == 0 ? 1000 : MREGION_UNKNOWN_SIZE);

        append(upload, "one", 0);
        append(upload, "two", 1);
        if (i % 7 == 1)
            commit(upload, 2);
        for (unsigned turns = 0; turns < i % 5; turns++)
            mregion_process(connection);
        if (i % 3 == 2) {
            await(0);
            ck_assert_msg(heard[0].code == MREGION_OK, "%s", heard[0].text);
        }
        mregion_async_upload_close(upload);
        await(0);
        await(1);
        ck_assert(heard[1].code == MREGION_OK || heard[1].code == MREGION_ERR_CANCELED);
        ck_assert(heard[0].count == 1 && heard[1].count == 1);
        if (i % 7 == 1)
            await(2);
        /* What the server has no room for is told, and is a failure here. */
        if (i % 50 == 49)
            OK(mregion_ping(connection, &error));
    }
    {
        struct mregion_async_upload *upload = begin(10);

        append(upload, "1", 0);
        check_heard(0, MREGION_OK);
        mregion_async_upload_close(upload);
    }
}
END_TEST

static struct mregion_async_upload *acted_on;
static bool closes_it;

/* What is appended here cannot have been sent. */
static void cancel_one(struct mregion *self, const struct mregion_answer *answer, void *data)
{
    struct mregion_async async = to(1, 0);
    mregion_ticket ticket;

    on_answer(self, answer, data);
    OK(mregion_async_upload_append(acted_on, "two", 3, &async, &ticket, &error));
    append(acted_on, "three", 2);
    commit(acted_on, 3);
    if (closes_it)
        mregion_async_upload_close(acted_on);
    else
        mregion_cancel(self, ticket);
    ck_assert_uint_eq(heard[1].count + heard[2].count + heard[3].count, 0);
}

START_TEST(canceled_from_within_a_callback)
{
    for (unsigned i = 0; i < 2; i++) {
        struct mregion_async async = to(0, 0);

        closes_it = i == 1;
        acted_on = begin(MREGION_UNKNOWN_SIZE);
        async.on_answer = cancel_one;
        OK(mregion_async_upload_append(acted_on, "one", 3, &async, NULL, &error));
        check_heard(0, MREGION_OK);
        for (unsigned one = 1; one < 4; one++)
            check_heard(one, MREGION_ERR_CANCELED);
        if (!closes_it) {
            FAILS(MREGION_ERR_CANCELED,
                  mregion_async_upload_append(acted_on, "x", 1, NULL, NULL, &error));
            mregion_async_upload_close(acted_on);
        }
        ck_assert_uint_eq(allocated(), 0);
    }
}
END_TEST

static void close_both(struct mregion *self, const struct mregion_answer *answer, void *data)
{
    on_answer(self, answer, data);
    mregion_async_upload_close(acted_on);
    mregion_close(self);
}

START_TEST(the_connection_is_closed_within_a_callback)
{
    struct mregion_async async = to(0, 0);

    acted_on = begin(MREGION_UNKNOWN_SIZE);
    async.on_answer = close_both;
    OK(mregion_async_upload_append(acted_on, "one", 3, &async, NULL, &error));
    append(acted_on, "two", 1);
    commit(acted_on, 2);
    while (heard[2].count == 0)
        turn();
    ck_assert(heard[0].count == 1 && heard[1].count == 1 && heard[2].count == 1);
    open_at(server.address);
    ck_assert_uint_eq(allocated(), 0);
}
END_TEST

START_TEST(the_server_is_killed)
{
    struct up up = {.size = 60 * MIB, .kills_at = 3, .upload = begin(MREGION_UNKNOWN_SIZE)};
    struct mregion_async async = to(0, 0);

    send_more(&up);
    while (up.answers < up.sent / PIECE)
        turn();
    ck_assert_uint_gt(up.lost, 0);
    ck_assert_uint_eq(up.sent % PIECE, 0);
    server_start_again(&server);
    FAILS(MREGION_ERR_LOST, mregion_async_upload_append(up.upload, "x", 1, &async, NULL, &error));
    ck_assert_ptr_ne(strstr(error.text, "nothing was added"), NULL);
    mregion_async_upload_close(up.upload);
    ck_assert_uint_eq(allocated(), 0);
    (void)store(MIB, 5);
    ck_assert_uint_eq(allocated(), MIB);
}
END_TEST

/* It is lost while nothing of it is under way: that shows when it goes on. */
START_TEST(the_server_is_killed_in_between)
{
    struct mregion_async_upload *upload = begin(MREGION_UNKNOWN_SIZE);
    struct mregion_async async = to(1, 0);
    int code;

    append(upload, "one", 0);
    check_heard(0, MREGION_OK);
    (void)server_end(&server, SIGKILL);
    server_start_again(&server);
    code = mregion_async_upload_append(upload, "two", 3, &async, NULL, &error);
    if (code == MREGION_OK)
        check_heard(1, MREGION_ERR_LOST);
    else
        FAILS(MREGION_ERR_LOST, code);
    FAILS(MREGION_ERR_LOST, mregion_async_upload_commit(upload, NULL, NULL, &error));
    mregion_async_upload_close(upload);
    ck_assert_uint_eq(allocated(), 0);
}
END_TEST

START_TEST(too_late)
{
    for (unsigned begun = 0; begun < 2; begun++) {
        struct mregion_async_upload *upload = begin(MREGION_UNKNOWN_SIZE);
        struct mregion_async async = to(1, 50);

        append(upload, "", 0);
        if (begun)
            check_heard(0, MREGION_OK);
        (void)kill(server.pid, SIGSTOP);
        OK(mregion_async_upload_append(upload, "one", 3, &async, NULL, &error));
        append(upload, "two", 2);
        commit(upload, 3);
        for (unsigned i = 1; i < 4; i++)
            check_heard(i, MREGION_ERR_TIMEOUT);
        (void)kill(server.pid, SIGCONT);
        FAILS(MREGION_ERR_TIMEOUT, mregion_async_upload_append(upload, "x", 1, NULL, NULL, &error));
        mregion_async_upload_close(upload);
        ck_assert_uint_eq(allocated(), 0);
    }
    (void)store(MIB, 5);
    ck_assert_uint_eq(allocated(), MIB);
}
END_TEST

/* ---- Downloads ---- */

START_TEST(a_download_is_stopped)
{
    uint64_t address = store(8 * MIB, 9);

    for (unsigned i = 0; i < 20; i++) {
        struct down down = {.seed = 9, .stop_at = 1 + i * 400000};

        load(&down, address, 8 * MIB);
        ck_assert_uint_lt(down.got, down.stop_at + MIB);
        OK(mregion_ping(connection, &error));
    }
    {
        struct mregion_async_download *download;
        struct mregion_async async = to(0, 0);

        /* Before anything has come; with, and without, somebody who waits. */
        OK(mregion_async_download_begin(connection, "main", address, 8 * MIB, &download, &error));
        mregion_async_download_close(download);
        OK(mregion_async_download_begin(connection, "main", address, 8 * MIB, &download, &error));
        OK(mregion_async_download_next(download, &async, NULL, &error));
        mregion_async_download_close(download);
        check_heard(0, MREGION_ERR_CANCELED);
        mregion_async_download_close(NULL);
        OK(mregion_ping(connection, &error));
    }
}
END_TEST

START_TEST(the_server_is_killed_under_a_download)
{
    uint64_t address = store(8 * MIB, 9);
    struct down down = {.seed = 9, .kill_at = 3 * MIB};

    load(&down, address, 8 * MIB);
    ck_assert_int_eq(down.code, MREGION_OK);
    ck_assert_uint_eq(down.got, 8 * MIB);
    mregion_async_download_close(down.download);
}
END_TEST

/* How many blobs the server was asked for: in stats, "methods" has "loadBlob", that has "requests".
 */
static uint64_t loads(void)
{
    const uint8_t *at, *end;
    uint64_t count = 0;
    void *result;
    size_t size;

    OK(mregion_call(connection, "stats", NULL, 0, &result, &size, &error));
    end = (const uint8_t *)result + size;
    at = memmem(result, size, "loadBlob", 8);
    if (at != NULL) {
        at = memmem(at, (size_t)(end - at), "requests", 8);
        ck_assert_ptr_ne(at, NULL);
        at += 8;
        ck_assert_msg(*at <= 0xcc, "%02x is no small number", *at);
        count = *at == 0xcc ? at[1] : *at;
    }
    mregion_free(result);
    return count;
}

/* Nobody takes the pieces: no more of them come. */
START_TEST(a_download_that_nobody_takes)
{
    uint64_t address = store(8 * MIB, 9), before = loads();
    struct mregion_async_download *download;
    struct mregion_async async = to(0, 0);

    OK(mregion_async_download_begin(connection, "main", address, 8 * MIB, &download, &error));
    OK(mregion_async_download_next(download, &async, NULL, &error));
    check_heard(0, MREGION_OK);
    ck_assert_uint_gt(heard[0].size, 0);
    for (unsigned i = 0; i < 100; i++) {
        OK(mregion_ping(connection, &error));
        mregion_process(connection);
    }
    ck_assert_uint_gt(loads(), before);
    ck_assert_uint_le((loads() - before) * heard[0].size, MIB);
    mregion_async_download_close(download);
}
END_TEST

START_TEST(a_piece_that_is_waited_for_in_vain)
{
    uint64_t address = store(3, 9);
    struct mregion_async_download *download;
    struct mregion_async async = to(0, 50), other = to(1, 0);
    mregion_ticket ticket;

    (void)kill(server.pid, SIGSTOP);
    OK(mregion_async_download_begin(connection, "main", address, 3, &download, &error));
    OK(mregion_async_download_next(download, &async, NULL, &error));
    FAILS(MREGION_ERR_ARGUMENT, mregion_async_download_next(download, &other, NULL, &error));
    check_heard(0, MREGION_ERR_TIMEOUT);
    OK(mregion_async_download_next(download, &other, &ticket, &error));
    mregion_cancel(connection, ticket);
    check_heard(1, MREGION_ERR_CANCELED);
    (void)kill(server.pid, SIGCONT);
    async = to(0, 0);
    OK(mregion_async_download_next(download, &async, NULL, &error));
    check_heard(0, MREGION_OK);
    ck_assert_uint_eq(heard[0].size, 3);
    for (unsigned i = 0; i < 2; i++) {
        async = to(0, 0);
        OK(mregion_async_download_next(download, &async, NULL, &error));
        check_heard(0, MREGION_OK);
        ck_assert_uint_eq(heard[0].size, 0);
    }
    mregion_async_download_close(download);
}
END_TEST

START_TEST(what_cannot_be_loaded)
{
    uint64_t address = store(MIB, 9);
    struct mregion_async_download *download;
    struct mregion_async async = to(0, 0);
    struct down down = {.seed = 9};

    FAILS(MREGION_ERR_ARGUMENT,
          mregion_async_download_begin(connection, NULL, 0, 1, &download, &error));
    OK(mregion_async_download_begin(connection, "nowhere", 0, 0, &download, &error));
    OK(mregion_async_download_next(download, &async, NULL, &error));
    check_heard(0, MREGION_ERR_NO_SUCH_REGION);
    mregion_async_download_close(download);
    async = to(0, 0);
    OK(mregion_async_download_begin(connection, "main", 0, 0, &download, &error));
    OK(mregion_async_download_next(download, &async, NULL, &error));
    check_heard(0, MREGION_OK);
    ck_assert_uint_eq(heard[0].size, 0);
    mregion_async_download_close(download);
    /* What is there comes first, and the error stays. */
    OK(mregion_deallocate(connection, "main", address + MIB / 2, 1, &error));
    load(&down, address, MIB);
    ck_assert_int_eq(down.code, MREGION_ERR_NOT_ALLOCATED);
    ck_assert_uint_gt(down.got, MIB / 4);
    ck_assert_uint_le(down.got, MIB / 2);
    async = to(0, 0);
    OK(mregion_async_download_next(down.download, &async, NULL, &error));
    check_heard(0, MREGION_ERR_NOT_ALLOCATED);
    mregion_async_download_close(down.download);
}
END_TEST

/* ---- A wire that breaks ---- */

struct trial {
    unsigned index, wanted, losses;
    uint64_t added;
    struct mregion_async_upload *upload;
};

static void try_one(struct trial *trial);

static uint64_t size_of(unsigned index)
{
    return 1000 + index * 9973 % 60000;
}

static void on_tried(struct mregion *self, const struct mregion_answer *answer, void *data)
{
    struct trial *trial = data;

    (void)self;
    ck_assert_msg(answer->code == MREGION_OK || answer->code == MREGION_ERR_LOST, "%s: %s",
                  mregion_code_name(answer->code), answer->text);
    mregion_async_upload_close(trial->upload);
    if (answer->code == MREGION_OK)
        trial->added += size_of(trial->index++);
    else
        trial->losses++;
    if (trial->index < trial->wanted)
        try_one(trial);
}

static void try_one(struct trial *trial)
{
    static uint8_t bytes[10000];
    struct mregion_async async = {.on_answer = on_tried, .data = trial};
    uint64_t left = size_of(trial->index);

    trial->upload = begin(left);
    while (left > 0) {
        uint64_t size = left < sizeof bytes ? left : sizeof bytes;

        OK(mregion_async_upload_append(trial->upload, bytes, size, NULL, NULL, &error));
        left -= size;
    }
    OK(mregion_async_upload_commit(trial->upload, &async, NULL, &error));
}

/* What was committed is there once; what was lost is not. */
START_TEST(the_wire_breaks)
{
    struct trial trial = {.wanted = 25};
    struct down some = {.seed = 9}, all = {.seed = 9};
    struct proxy proxy;
    uint64_t address;

    server_start(&server, "1MiB");
    open_at(server.address);
    address = store(8 * MIB, 9);
    mregion_close(connection);
    proxy_start(&proxy, server.address, 11, 20);
    open_at(proxy.address);
    try_one(&trial);
    while (trial.index < trial.wanted)
        turn();
    /* A connection that comes to nothing makes the next one wait: not too many of these. */
    proxy_spare(&proxy, 10);
    load(&some, address, MIB / 2);
    ck_assert_int_eq(some.code, MREGION_OK);
    ck_assert_uint_eq(some.got, MIB / 2);
    mregion_async_download_close(some.download);
    ck_assert_uint_gt(trial.losses, 0);
    proxy_spare(&proxy, 17);
    load(&all, address, 8 * MIB);
    ck_assert_int_eq(all.code, MREGION_OK);
    ck_assert_uint_eq(all.got, 8 * MIB);
    mregion_async_download_close(all.download);
    ck_assert_uint_gt(proxy_cuts(&proxy), trial.losses + 6); /* none carries as much as 1 MiB */
    mregion_close(connection);
    proxy_stop(&proxy);
    open_at(server.address);
    ck_assert_uint_eq(allocated(), 8 * MIB + trial.added);
    teardown();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("async_blobs");
    TCase *usual = tcase_create("usual"), *broken = tcase_create("broken");

    tcase_add_checked_fixture(usual, setup, teardown);
    tcase_add_test(usual, up_and_down_in_bounded_memory);
    tcase_add_test(usual, several_at_a_time);
    tcase_add_test(usual, a_small_one);
    tcase_add_test(usual, past_the_size);
    tcase_add_test(usual, bytes_are_missing);
    tcase_add_test(usual, refused_at_its_beginning);
    tcase_add_test(usual, aborted_at_any_moment);
    tcase_add_test(usual, canceled_from_within_a_callback);
    tcase_add_test(usual, the_connection_is_closed_within_a_callback);
    tcase_add_test(usual, the_server_is_killed);
    tcase_add_test(usual, the_server_is_killed_in_between);
    tcase_add_test(usual, too_late);
    tcase_add_test(usual, a_download_is_stopped);
    tcase_add_test(usual, the_server_is_killed_under_a_download);
    tcase_add_test(usual, a_download_that_nobody_takes);
    tcase_add_test(usual, a_piece_that_is_waited_for_in_vain);
    tcase_add_test(usual, what_cannot_be_loaded);
    tcase_add_test(broken, the_wire_breaks);
    tcase_set_timeout(usual, 120);
    tcase_set_timeout(broken, 120);
    suite_add_tcase(suite, usual);
    suite_add_tcase(suite, broken);
    return suite_main(suite);
}
