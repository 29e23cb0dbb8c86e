/* proto/rpc_short: what is parsed in one pass is what frame_scan, rpc_parse and rpc_call_parse make
 * of the same bytes, for every method, width and damage; and the requests that clients really send
 * are among it. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "proto/frame.h"
#include "proto/rpc.h"
#include "support_hex.h"
#include "tests/core/support_random.h"
#include "tests/support_main.h"

/* ---- Both ways ---- */

static bool is_same_cursor(const struct cursor *a, const struct cursor *b)
{
    return a->at == b->at && a->end == b->end;
}

static bool is_same_param(const struct rpc_param *a, const struct rpc_param *b)
{
    return a->number == b->number && a->bytes == b->bytes && a->size == b->size &&
           a->is_nil == b->is_nil;
}

static bool is_same_request(const struct rpc_request *a, const struct rpc_request *b)
{
    return a->is_notification == b->is_notification && a->has_msgid == b->has_msgid &&
           a->msgid == b->msgid && a->method == b->method && a->method_size == b->method_size &&
           a->params_count == b->params_count && is_same_cursor(&a->params, &b->params);
}

static bool is_same_call(const struct rpc_call *a, const struct rpc_call *b)
{
    if (a->method != b->method || a->has_region != b->has_region ||
        a->has_options != b->has_options || a->options_count != b->options_count ||
        !is_same_cursor(&a->options, &b->options))
        return false;
    for (unsigned i = 0; i < methods[a->method].parameter_count; i++)
        if (!is_same_param(&a->params[i], &b->params[i]))
            return false;
    return true;
}

/* The long way, within the size that the short one takes; NULL or how they differ. */
static const char *difference(const uint8_t *bytes, size_t size, size_t short_size,
                              const struct rpc_request *short_request,
                              const struct rpc_call *short_call)
{
    struct frame_scanner scanner;
    struct rpc_request request;
    struct rpc_call call;
    struct err err;
    uint64_t whole = 0;

    frame_reset(&scanner);
    if (frame_scan(&scanner, bytes, size, short_size, &whole) != FRAME_COMPLETE ||
        whole != short_size)
        return "it ends elsewhere";
    if (rpc_parse(bytes, short_size, &request, &err) != 0)
        return "it is no request";
    if (!is_same_request(short_request, &request))
        return "it is another request";
    if (rpc_call_parse(&request, &call, &err) != 0)
        return "it is no call";
    return is_same_call(short_call, &call) ? NULL : "it is another call";
}

/* What the short way takes the long one takes in the same way. Returns the size. */
static size_t parse_both(const uint8_t *bytes, size_t size)
{
    struct rpc_request request;
    struct rpc_call call;
    const char *wrong;
    size_t taken;

    memset(&request, 0xee, sizeof request); /* whatever is left out shows */
    memset(&call, 0xee, sizeof call);
    taken = rpc_parse_short(bytes, size, &request, &call);
    wrong = taken > 0 ? difference(bytes, size, taken, &request, &call) : NULL;
    if (wrong != NULL)
        ck_abort_msg("%.*s: %s", (int)request.method_size, (const char *)request.method, wrong);
    return taken;
}

/* The same from a buffer of exactly this size, so that a byte read too many is seen. */
static size_t parse_exactly(const uint8_t *bytes, size_t size)
{
    uint8_t *exact = malloc(size + 1);
    size_t taken;

    if (exact == NULL)
        abort();
    memcpy(exact + 1, bytes, size);
    taken = parse_both(exact + 1, size);
    free(exact);
    return taken;
}

/* ---- Requests ---- */

/* Each in the forms of some packer; all of them are to be taken. */
static const char *const taken[] = {
    "94 00 00 a4 'ping' 90",
    "94 00 cc80 d904 'ping' 90",
    "94 00 01 a8 'loadBlob' 93 a4 'main' 00 40",
    "94 00 7f a8 'loadBlob' 93 a4 'main' cc80 cd0100",
    "94 00 cd1234 a8 'loadBlob' 93 d904 'main' ce00010000 cd1000",
    "94 00 ceffffffff c408 'loadBlob' 93 c404 'main' cf0000000100000000 ce00001000",
    "94 00 cf00000000ffffffff a8 'loadBlob' 93 03 cfffffffffffffffff cfffffffffffffffff",
    "94 00 d005 a8 'loadBlob' 93 a4 'main' d0 7f d1 7fff",
    "94 00 d2 7fffffff a8 'loadBlob' 93 d003 d2 7fffffff d3 7fffffffffffffff",
    "94 00 01 a7 'addBlob' 92 a4 'main' c403 010203",
    "94 00 01 a7 'addBlob' 92 a4 'main' c50003 010203",
    "94 00 01 a7 'addBlob' 92 a4 'main' c600000003 010203",
    "94 00 01 a7 'addBlob' 92 a4 'main' db00000003 010203",
    "94 00 01 a7 'addBlob' 92 a4 'main' a0",
    "94 00 01 a7 'addBlob' 92 a4 'main' da0003 010203",
    "94 00 01 a7 'addBlob' 93 cc80 c403 010203 81 a5 'token' c410 'sixteen bytes ok'",
    "94 00 01 a7 'addBlob' 93 a4 'main' a3 'abc' 81 a5 'token' b0 'sixteen bytes ok'",
    "94 00 01 aa 'removeBlob' 93 a4 'main' 00 40",
    "94 00 01 aa 'removeBlob' 94 a4 'main' 00 40 81 a5 'token' c410 'sixteen bytes ok'",
    "94 00 01 ab 'replaceBlob' 94 a4 'main' 00 40 c403 010203",
    "94 00 01 aa 'appendBlob' 92 ce01000000 c403 010203",
    "94 00 01 ac 'createRegion' 91 a4 'main'",
    "94 00 01 ab 'listRegions' 90",
};
#define TAKEN (sizeof taken / sizeof taken[0])

/* Right or wrong, but not for the short way. */
static const char *const left_alone[] = {
    "",
    "94 00 00 a4 'pong' 90",
    "93 02 a5 'clear' 91 a4 'main'",
    "94 02 00 a4 'ping' 90",
    "93 00 00 a4 'ping'",
    "95 00 00 a4 'ping' 90 c0",
    "94 cc00 00 a4 'ping' 90",
    "94 00 d085 a4 'ping' 90",
    "94 00 d300000001 00000000 a4 'ping' 90",
    "94 00 cf0000000100000000 a4 'ping' 90",
    "94 00 00 a4 'ping' c0",
    "94 00 00 a4 'ping' dc0000",
    "94 00 00 a4 'ping' 91 80",
    "94 00 00 a4 'ping' 80",
    "94 00 00 a0 90",
    "dc0004 00 00 a4 'ping' 90",
    "94 00 01 a8 'loadBlob' 92 a4 'main' 00",
    "94 00 01 a8 'loadBlob' 93 a4 'main' 00 ff",
    "94 00 01 a8 'loadBlob' 93 a4 'main' d080 40",
    "94 00 01 a8 'loadBlob' 93 a4 'main' d18000 40",
    "94 00 01 a8 'loadBlob' 93 a4 'main' d280000000 40",
    "94 00 01 a8 'loadBlob' 93 a4 'main' d38000000000000000 40",
    "94 00 01 a8 'loadBlob' 93 a4 'main' a100 40",
    "94 00 01 a8 'loadBlob' 93 c0 00 40",
    "94 00 01 a8 'loadBlob' 94 a4 'main' 00 40 80",
    "94 00 01 a8 'loadBlob' 94 a4 'main' 00 40 81 a5 'token' c410 'sixteen bytes ok'",
    "94 00 01 a7 'addBlob' 92 a4 'main' 05",
    "94 00 01 a7 'addBlob' 93 a4 'main' a0 80",
    "94 00 01 a7 'addBlob' 93 a4 'main' a0 81 a5 'taken' c410 'sixteen bytes ok'",
    "94 00 01 a7 'addBlob' 93 a4 'main' a0 81 a5 'token' c0",
    "94 00 01 a7 'addBlob' 94 a4 'main' a0 81 a5 'token' a0 80",
    "94 00 01 a7 'addBlob' 92 a4 'main' c600010003 010203",
    "94 00 01 a7 'addBlob' 92 a4 'main' c601000003 010203",
    "94 00 01 a9 'beginBlob' 92 a4 'main' c0",
    "94 00 01 a5 'batch' 92 a4 'main' 90",
};
#define LEFT_ALONE (sizeof left_alone / sizeof left_alone[0])

START_TEST(usual_requests_are_taken)
{
    for (size_t i = 0; i < TAKEN; i++) {
        struct hex frame = hex(taken[i]);

        ck_assert_msg(parse_exactly(frame.bytes, frame.size) == frame.size, "%s", taken[i]);
    }
}
END_TEST

START_TEST(others_are_left_alone)
{
    for (size_t i = 0; i < LEFT_ALONE; i++) {
        struct hex frame = hex(left_alone[i]);

        ck_assert_msg(parse_exactly(frame.bytes, frame.size) == 0, "%s", left_alone[i]);
    }
}
END_TEST

START_TEST(what_has_not_arrived_is_left_alone)
{
    for (size_t i = 0; i < TAKEN; i++) {
        struct hex frame = hex(taken[i]);

        for (size_t size = 0; size < frame.size; size++)
            ck_assert_msg(parse_exactly(frame.bytes, size) == 0, "%zu of %s", size, taken[i]);
    }
}
END_TEST

/* One behind the other, each of them ends where it ends. */
START_TEST(what_follows_is_another_message)
{
    for (size_t i = 0; i < TAKEN * TAKEN; i++) {
        struct hex first = hex(taken[i / TAKEN]), second = hex(taken[i % TAKEN]);
        uint8_t both[2 * HEX_MAX];

        memcpy(both, first.bytes, first.size);
        memcpy(both + first.size, second.bytes, second.size);
        ck_assert_uint_eq(parse_exactly(both, first.size + second.size), first.size);
    }
}
END_TEST

/* ---- Damage ---- */

START_TEST(every_byte_replaced_by_every_other)
{
    for (size_t i = 0; i < TAKEN; i++) {
        struct hex frame = hex(taken[i]);

        for (size_t at = 0; at < frame.size; at++) {
            uint8_t was = frame.bytes[at];

            for (unsigned byte = 0; byte <= UINT8_MAX; byte++) {
                frame.bytes[at] = (uint8_t)byte;
                (void)parse_exactly(frame.bytes, frame.size);
            }
            frame.bytes[at] = was;
        }
    }
}
END_TEST

/* Bytes replaced, left out and put in, of requests that begin alike. */
static void mutate(struct rng *rng, struct hex *frame)
{
    size_t at = (size_t)rng_below(rng, frame->size);
    size_t rest = frame->size - at - 1;

    switch (rng_below(rng, 3)) {
    case 0:
        frame->bytes[at] = (uint8_t)rng_next(rng);
        return;
    case 1:
        memmove(frame->bytes + at, frame->bytes + at + 1, rest);
        frame->size--;
        return;
    default:
        if (frame->size == HEX_MAX)
            return;
        memmove(frame->bytes + at + 1, frame->bytes + at, rest + 1);
        frame->bytes[at] = (uint8_t)rng_next(rng);
        frame->size++;
    }
}

START_TEST(several_bytes_changed)
{
    static struct hex frames[TAKEN];
    struct rng rng = {64};
    unsigned still_taken = 0, rounds = 200000;

    for (size_t i = 0; i < TAKEN; i++)
        frames[i] = hex(taken[i]);
    for (unsigned i = 0; i < rounds; i++) {
        struct hex frame = frames[rng_below(&rng, TAKEN)];
        uint64_t count = 1 + rng_below(&rng, 4);

        while (count-- > 0 && frame.size > 1)
            mutate(&rng, &frame);
        still_taken += parse_exactly(frame.bytes, frame.size) > 0;
    }
    /* both kinds were met */
    ck_assert_uint_gt(still_taken, rounds / 20);
    ck_assert_uint_lt(still_taken, rounds / 2);
}
END_TEST

/* ---- Every method ---- */

static uint8_t *put_param(uint8_t *to, char letter, struct rng *rng)
{
    static const char *const numbers[] = {"05", "cc05", "cd0005", "ce00000005",
                                          "cf0000000000000005"};
    static const char *const strings[] = {"a4 'main'", "d904 'main'", "c404 'main'"};
    struct hex value = letter == 'U' || (letter == 'R' && rng_below(rng, 2) == 0)
                           ? hex(numbers[rng_below(rng, 5)])
                           : hex(strings[rng_below(rng, 3)]);

    memcpy(to, value.bytes, value.size);
    return to + value.size;
}

START_TEST(every_method)
{
    struct rng rng = {1};

    for (unsigned i = 0; i < METHODS * 20; i++) {
        const struct method *method = &methods[i % METHODS];
        size_t length = strlen(method->name);
        struct hex frame = hex("94 00 05");
        uint8_t *to = frame.bytes + frame.size;
        bool is_usual = strpbrk(method->parameters, "SC") == NULL;

        *to++ = (uint8_t)(0xa0 | length);
        memcpy(to, method->name, length);
        to += length;
        *to++ = (uint8_t)(0x90 | method->parameter_count);
        for (unsigned j = 0; j < method->parameter_count; j++)
            to = put_param(to, method->parameters[j], &rng);
        frame.size = (size_t)(to - frame.bytes);
        ck_assert_msg(parse_exactly(frame.bytes, frame.size) == (is_usual ? frame.size : 0), "%s",
                      method->name);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rpc_short");
    TCase *tcase = tcase_create("rpc_short");

    tcase_add_test(tcase, usual_requests_are_taken);
    tcase_add_test(tcase, others_are_left_alone);
    tcase_add_test(tcase, what_has_not_arrived_is_left_alone);
    tcase_add_test(tcase, what_follows_is_another_message);
    tcase_add_test(tcase, every_byte_replaced_by_every_other);
    tcase_add_test(tcase, several_bytes_changed);
    tcase_add_test(tcase, every_method);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
