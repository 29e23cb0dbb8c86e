#include "client/inbox.h"

#include <stdlib.h>
#include <string.h>

#include "client/error.h"
#include "client/events.h"
#include "client/wire.h"
#include "proto/cursor.h"

#define CAPACITY_FIRST ((size_t)64 << 10)
/* Kept between answers; what a larger one needed is given back. */
#define CAPACITY_KEPT ((size_t)1 << 20)
/* The largest answer that is believed: the server's largest max_message, and its envelope. */
#define ANSWER_MAX (((uint64_t)1 << 30) + ((uint64_t)1 << 20))
/* From this size on a blob is received where it belongs. */
#define BODY_MIN ((uint64_t)32 << 10)
/* How a server for TLS answers who does not speak it. */
#define TLS_ALERT 0x15
/* The longest header of an answer with a blob: array, type, message id in 64 bits, nil, bin 32. */
#define HEADER_MAX 17

/* ---- Room ---- */

static bool resize(struct inbox *inbox, size_t capacity)
{
    uint8_t *bytes = realloc(inbox->bytes, capacity);

    if (bytes == NULL)
        return false;
    inbox->bytes = bytes;
    inbox->capacity = capacity;
    return true;
}

bool inbox_room(struct mregion *connection, struct iovec *ret_room)
{
    const struct pending *body = connection->pending.receiving;
    struct inbox *inbox = &connection->inbox;

    if (body != NULL && body->sink != NULL) {
        ret_room->iov_base = body->sink + (body->sink_size - inbox->body_left);
        ret_room->iov_len = (size_t)inbox->body_left;
        return true;
    }
    if (inbox->start > 0) {
        memmove(inbox->bytes, inbox->bytes + inbox->start, inbox->end - inbox->start);
        inbox->end -= inbox->start;
        inbox->start = 0;
    }
    if (inbox->end == inbox->capacity &&
        !resize(inbox, inbox->capacity == 0 ? CAPACITY_FIRST : 2 * inbox->capacity))
        return false;
    ret_room->iov_base = inbox->bytes + inbox->end;
    ret_room->iov_len = inbox->capacity - inbox->end;
    /* The rest of a blob that nobody wants any more is received here and dropped. */
    if (body != NULL && ret_room->iov_len > inbox->body_left)
        ret_room->iov_len = (size_t)inbox->body_left;
    return true;
}

/* ---- Answers ---- */

static int refuse(struct mregion *connection, const char *what, struct mregion_error *error)
{
    struct mregion_error sentence;

    (void)error_set(&sentence, MREGION_ERR_PROTOCOL, "%.200s does not speak as mregiond does: %s",
                    connection->endpoint.text, what);
    return connection_end(connection, false, MREGION_ERR_PROTOCOL, sentence.text, error);
}

static void answer_with_error(struct mregion *connection, struct pending *pending,
                              struct value value)
{
    static const char no_text[] = "the server's error is not a string";
    size_t sentence;
    enum mregion_code code;

    if (value.type != VALUE_STR && value.type != VALUE_BIN) {
        pending_fail(&connection->pending, pending, MREGION_ERR_PROTOCOL, no_text, strlen(no_text));
        return;
    }
    code = error_parse((const char *)value.raw.bytes, value.raw.size, &sentence);
    pending_fail(&connection->pending, pending, code, (const char *)value.raw.bytes + sentence,
                 value.raw.size - sentence);
}

/* Whom an answer with this message id is for; NULL: nobody waits for one. What is not even on its
 * way to the server yet has no answer: its id was guessed. The greeting is packed without the
 * queue. */
static struct pending *find_asked(struct mregion *connection, struct value msgid)
{
    const struct pending_table *table = &connection->pending;
    struct pending *pending = msgid.type == VALUE_UINT && msgid.number <= UINT32_MAX
                                  ? pending_find_msgid(table, (uint32_t)msgid.number)
                                  : NULL;
    bool is_asked =
        pending != NULL && pending->state == PENDING_WAITING &&
        (pending_is_in_flight(table, pending) || pending == connection->attempt.greeting);

    return is_asked ? pending : NULL;
}

/* The blob goes where the request wanted it. */
static void answer_with_blob(struct mregion *connection, struct pending *pending,
                             struct value value)
{
    static const char no_blob[] = "the server's answer is not the blob that was asked for";

    if ((value.type != VALUE_BIN && value.type != VALUE_STR) ||
        value.raw.size != pending->sink_size) {
        pending_fail(&connection->pending, pending, MREGION_ERR_PROTOCOL, no_blob, strlen(no_blob));
        return;
    }
    if (value.raw.size > 0)
        memcpy(pending->sink, value.raw.bytes, value.raw.size);
    wire_moved(connection, pending, value.raw.size);
    pending_answer(&connection->pending, pending, NULL, 0);
}

/* [1, msgid, error, result], or [2, method, params]. */
static int take_frame(struct mregion *connection, const uint8_t *bytes, size_t size,
                      struct mregion_error *error)
{
    struct cursor cursor = {.at = bytes, .end = bytes + size};
    struct value message = cursor_next(&cursor);
    struct value type, msgid, failure;
    struct pending *pending;
    struct cursor result;

    if (message.type != VALUE_ARRAY || message.count < 3)
        return refuse(connection,
                      bytes[0] == TLS_ALERT && connection->secure == NULL
                          ? "it speaks TLS, for which an address begins with tls:"
                          : "what came is no message",
                      error);
    type = cursor_next(&cursor);
    if (type.type == VALUE_UINT && type.number == 2) {
        events_take(connection, cursor);
        return MREGION_OK;
    }
    if (type.type != VALUE_UINT || type.number != 1 || message.count != 4)
        return refuse(connection, "what came is no response", error);
    msgid = cursor_next(&cursor);
    if (msgid.type != VALUE_UINT || msgid.number > UINT32_MAX)
        return refuse(connection, "a response has no message id", error);
    pending = find_asked(connection, msgid);
    if (pending == NULL)
        return refuse(connection, "a response answers no request", error);
    connection->attempt.pause_ms = 0;
    result = cursor;
    failure = cursor_next(&result);
    if (failure.type != VALUE_NIL)
        answer_with_error(connection, pending, failure);
    else if (pending->sink != NULL)
        answer_with_blob(connection, pending, cursor_next(&result));
    else
        pending_answer(&connection->pending, pending, result.at, (size_t)(result.end - result.at));
    return MREGION_OK;
}

/* ---- Blobs that are received where they belong ---- */

static uint32_t big_endian(const uint8_t *at, unsigned bytes)
{
    uint32_t number = 0;

    for (unsigned i = 0; i < bytes; i++)
        number = number << 8 | at[i];
    return number;
}

/* The answer at the inbox's start is not whole. If it is the large blob that a request waits for,
 * what is there moves to its place and the rest is received there. */
static bool begin_body(struct mregion *connection)
{
    struct inbox *inbox = &connection->inbox;
    const uint8_t *at = inbox->bytes + inbox->start;
    struct cursor cursor = {.at = at + 2, .end = inbox->bytes + inbox->end};
    size_t available = inbox->end - inbox->start;
    struct pending *pending;
    struct value msgid;
    size_t header, there;
    unsigned width;

    if (available < HEADER_MAX || at[0] != 0x94 || at[1] != 1)
        return false;
    msgid = cursor_next(&cursor);
    if (msgid.type != VALUE_UINT || cursor.at[0] != 0xc0 || cursor.at[1] < 0xc4 ||
        cursor.at[1] > 0xc6)
        return false;
    width = 1U << (cursor.at[1] - 0xc4);
    header = (size_t)(cursor.at - at) + 2 + width;
    pending = find_asked(connection, msgid);
    if (pending == NULL || pending->sink == NULL || pending->sink_size < BODY_MIN ||
        big_endian(cursor.at + 2, width) != pending->sink_size)
        return false;
    there = available - header;
    memcpy(pending->sink, at + header, there);
    connection->pending.receiving = pending;
    inbox->body_left = pending->sink_size - there;
    inbox->start = 0;
    inbox->end = 0;
    wire_moved(connection, pending, there);
    return true;
}

static void body_filled(struct mregion *connection, size_t size)
{
    struct inbox *inbox = &connection->inbox;
    struct pending *pending = connection->pending.receiving;

    wire_moved(connection, pending, size);
    inbox->body_left -= size;
    if (inbox->body_left == 0) {
        connection->pending.receiving = NULL;
        frame_reset(&inbox->scanner);
        pending_answer(&connection->pending, pending, NULL, 0);
    }
}

/* ---- Cutting the stream ---- */

static const char *reason_of(enum frame_status status)
{
    switch (status) {
    case FRAME_TOO_DEEP:
        return "an answer is nested too deep";
    case FRAME_TOO_MANY:
    case FRAME_TOO_LARGE:
        return "an answer is too large";
    default:
        return "what came is no MessagePack";
    }
}

int inbox_filled(struct mregion *connection, size_t size, struct mregion_error *error)
{
    struct inbox *inbox = &connection->inbox;

    if (connection->pending.receiving != NULL) {
        body_filled(connection, size);
        return MREGION_OK;
    }
    inbox->end += size;
    while (inbox->start < inbox->end) {
        const uint8_t *at = inbox->bytes + inbox->start;
        uint64_t frame = 0;
        enum frame_status status;
        int code;

        /* Lists of blocks have three elements each, and bytes are what bounds memory here. */
        inbox->scanner.elements_max = UINT32_MAX;
        status = frame_scan(&inbox->scanner, at, inbox->end - inbox->start, ANSWER_MAX, &frame);
        if (status == FRAME_INCOMPLETE) {
            (void)begin_body(connection);
            return MREGION_OK;
        }
        if (status != FRAME_COMPLETE)
            return refuse(connection, reason_of(status), error);
        code = take_frame(connection, at, (size_t)frame, error);
        if (code != MREGION_OK)
            return code;
        inbox->start += (size_t)frame;
        frame_reset(&inbox->scanner);
    }
    inbox->start = 0;
    inbox->end = 0;
    if (inbox->capacity > CAPACITY_KEPT)
        (void)resize(inbox, CAPACITY_FIRST);
    return MREGION_OK;
}
