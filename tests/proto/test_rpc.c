/* proto/rpc: what is a request and what is not, the parameters of every method, and the bytes of
 * answers. */
#include <check.h>
#include <msgpack.h>
#include <string.h>

#include "proto/frame.h"
#include "proto/rpc.h"
#include "support_hex.h"
#include "tests/support_main.h"

/* ---- Envelope ---- */

static int parse(const struct hex *frame, struct rpc_request *ret, struct err *err)
{
    struct frame_scanner scanner;
    uint64_t size = 0;

    frame_reset(&scanner);
    ck_assert_int_eq(frame_scan(&scanner, frame->bytes, frame->size, HEX_MAX, &size),
                     FRAME_COMPLETE);
    ck_assert_uint_eq(size, frame->size);
    return rpc_parse(frame->bytes, frame->size, ret, err);
}

START_TEST(requests_in_every_width)
{
    static const struct {
        const char *text;
        uint32_t msgid;
    } cases[] = {
        {"94 00 00 a4 'ping' 90", 0},
        {"94 00 7f a4 'ping' c0", 127},
        {"94 cc00 cc80 d9 04 'ping' 90", 128},
        {"94 d000 cd1234 c4 04 'ping' dc 0000", 0x1234},
        {"94 d3 0000000000000000 ce ffffffff c5 0004 'ping' dd 00000000", UINT32_MAX},
        {"dc 0004 00 cf 00000000ffffffff da 0004 'ping' 90", UINT32_MAX},
        {"dd 00000004 00 d3 0000000000000005 db 00000004 'ping' 90", 5},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hex frame = hex(cases[i].text);
        struct rpc_request request;
        struct err err = {0};

        ck_assert_msg(parse(&frame, &request, &err) == 0, "%s: %s", cases[i].text, err.text);
        ck_assert(!request.is_notification);
        ck_assert(request.has_msgid);
        ck_assert_uint_eq(request.msgid, cases[i].msgid);
        ck_assert_uint_eq(request.method_size, 4);
        ck_assert_mem_eq(request.method, "ping", 4);
        ck_assert_uint_eq(request.params_count, 0);
    }
}
END_TEST

START_TEST(notifications_and_params)
{
    struct hex frame = hex("93 02 a5 'clear' 92 a4 'main' 80");
    struct rpc_request request;
    struct err err = {0};
    struct value value;

    ck_assert_int_eq(parse(&frame, &request, &err), 0);
    ck_assert(request.is_notification);
    ck_assert(!request.has_msgid);
    ck_assert_uint_eq(request.params_count, 2);
    value = cursor_next(&request.params);
    ck_assert_int_eq(value.type, VALUE_STR);
    ck_assert_mem_eq(value.raw.bytes, "main", 4);
    ck_assert_int_eq(cursor_next(&request.params).type, VALUE_MAP);
    ck_assert_int_eq(cursor_next(&request.params).type, VALUE_NONE);
}
END_TEST

static const struct {
    const char *text;
    int64_t msgid; /* -1: cannot be answered */
    const char *sentence;
} no_requests[] = {
    {"c0", -1, "a message must be an array, not nil"},
    {"2a", -1, "a message must be an array, not an unsigned integer"},
    {"a5 'hello'", -1, "a message must be an array, not a string"},
    {"84 00 01 02 03 04 05 06 07", -1, "a message must be an array, not a map"},
    {"90", -1, "a message must not be an empty array"},
    {"91 00", -1, "a request has 4 elements, not 1"},
    {"91 02", -1, "a notification has 3 elements, not 1"},
    {"94 c0 05 a4 'ping' 90", -1,
     "a message begins with its type, 0 (request) or 2 (notification), not nil"},
    {"94 ca 00000000 05 a4 'ping' 90", -1,
     "a message begins with its type, 0 (request) or 2 (notification), not a float"},
    {"94 ff 05 a4 'ping' 90", -1,
     "a message begins with its type, 0 (request) or 2 (notification), not a negative integer"},
    {"94 01 05 c0 90", -1, "a response was sent to the server, which asks nothing"},
    {"94 03 05 a4 'ping' 90", -1, "message type must be 0 (request) or 2 (notification), not 3"},
    {"94 cf 0000000100000000 05 a4 'ping' 90", -1,
     "message type must be 0 (request) or 2 (notification), not 4294967296"},
    {"94 00 ff a4 'ping' 90", -1, "msgid must be an unsigned integer, not a negative integer"},
    {"94 00 c0 a4 'ping' 90", -1, "msgid must be an unsigned integer, not nil"},
    {"94 00 ca 3f800000 a4 'ping' 90", -1, "msgid must be an unsigned integer, not a float"},
    {"94 00 a1 '1' a4 'ping' 90", -1, "msgid must be an unsigned integer, not a string"},
    {"94 00 cf 0000000100000000 a4 'ping' 90", -1,
     "msgid must be at most 4294967295, not 4294967296"},
    {"92 00 05", 5, "a request has 4 elements, not 2"},
    {"93 00 05 a4 'ping'", 5, "a request has 4 elements, not 3"},
    {"95 00 05 a4 'ping' 90 c0", 5, "a request has 4 elements, not 5"},
    {"94 02 05 a4 'ping' 90", -1, "a notification has 3 elements, not 4"},
    {"92 02 a4 'ping'", -1, "a notification has 3 elements, not 2"},
    {"94 00 05 07 90", 5, "the method's name must be a string, not an unsigned integer"},
    {"94 00 05 91 a4 'ping' 90", 5, "the method's name must be a string, not an array"},
    {"94 00 05 d4 01 00 90", 5, "the method's name must be a string, not an extension"},
    {"94 00 05 a4 'ping' 80", 5, "the parameters must be an array, or nil for none, not a map"},
    {"94 00 05 a4 'ping' 00", 5,
     "the parameters must be an array, or nil for none, not an unsigned integer"},
    {"94 00 05 a4 'ping' c2", 5, "the parameters must be an array, or nil for none, not a boolean"},
    {"93 02 a4 'ping' a0", -1, "the parameters must be an array, or nil for none, not a string"},
};

START_TEST(what_is_no_request)
{
    struct hex frame = hex(no_requests[_i].text);
    struct rpc_request request;
    struct err err = {0};

    ck_assert_int_eq(parse(&frame, &request, &err), ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(err.code, ERR_INVALID_ARGUMENT);
    ck_assert_str_eq(err.text, no_requests[_i].sentence);
    ck_assert_int_eq(request.has_msgid, no_requests[_i].msgid >= 0);
    if (request.has_msgid)
        ck_assert_int_eq(request.msgid, no_requests[_i].msgid);
}
END_TEST

/* ---- Parameters ---- */

/* The frame must outlive the call: its names and blobs point into it. */
static int call(struct hex *frame, const char *method_and_params, struct rpc_call *ret,
                struct err *err)
{
    struct hex rest = hex(method_and_params);
    struct rpc_request request;

    *frame = hex("94 00 05");
    memcpy(frame->bytes + frame->size, rest.bytes, rest.size);
    frame->size += rest.size;
    ck_assert_int_eq(parse(frame, &request, err), 0);
    return rpc_call_parse(&request, ret, err);
}

static void assert_refused(const char *method_and_params, enum err_code code, const char *sentence)
{
    struct hex frame;
    struct rpc_call parsed;
    struct err err = {0};

    ck_assert_int_eq(call(&frame, method_and_params, &parsed, &err), code);
    ck_assert_int_eq(err.code, code);
    ck_assert_str_eq(err.text, sentence);
}

START_TEST(numbers_names_and_blobs)
{
    struct hex frame;
    struct rpc_call parsed;
    struct err err = {0};

    ck_assert_int_eq(
        call(&frame, "ab 'replaceBlob' 94 c4 04 'main' cf ffffffffffffffff d1 0040 c4 03 000102",
             &parsed, &err),
        0);
    ck_assert_int_eq(parsed.method, METHOD_REPLACE_BLOB);
    ck_assert_mem_eq(parsed.params[0].bytes, "main", 4);
    ck_assert_uint_eq(parsed.params[0].size, 4);
    ck_assert_uint_eq(parsed.params[1].number, UINT64_MAX);
    ck_assert_uint_eq(parsed.params[2].number, 64);
    ck_assert_uint_eq(parsed.params[3].size, 3);
    ck_assert_mem_eq(parsed.params[3].bytes, "\0\1\2", 3);
    ck_assert(!parsed.has_options);

    ck_assert_int_eq(call(&frame, "c4 07 'addBlob' 92 cd 0102 a2 'xy'", &parsed, &err), 0);
    ck_assert_int_eq(parsed.method, METHOD_ADD_BLOB);
    ck_assert_ptr_null(parsed.params[0].bytes);
    ck_assert_uint_eq(parsed.params[0].number, 0x102);
    ck_assert_uint_eq(parsed.params[1].size, 2);
    ck_assert_mem_eq(parsed.params[1].bytes, "xy", 2);

    ck_assert_int_eq(call(&frame, "a7 'addBlob' 92 a1 'r' a0", &parsed, &err), 0);
    ck_assert_uint_eq(parsed.params[1].size, 0);
    ck_assert_ptr_nonnull(parsed.params[1].bytes);
}
END_TEST

START_TEST(options_are_a_map_at_the_end)
{
    struct hex frame;
    struct rpc_call parsed;
    struct err err = {0};
    struct value value;

    ck_assert_int_eq(call(&frame, "ad 'getFreeMemory' 92 00 82 c4 05 'limit' 0a a4 'from' 92 01 02",
                          &parsed, &err),
                     0);
    ck_assert(parsed.has_options);
    ck_assert_uint_eq(parsed.options_count, 2);
    value = cursor_next(&parsed.options);
    ck_assert_int_eq(value.type, VALUE_BIN);
    ck_assert_mem_eq(value.raw.bytes, "limit", 5);
    ck_assert_uint_eq(cursor_next(&parsed.options).number, 10);
    ck_assert_mem_eq(cursor_next(&parsed.options).raw.bytes, "from", 4);

    ck_assert_int_eq(call(&frame, "a4 'ping' 91 80", &parsed, &err), 0);
    ck_assert(parsed.has_options);
    ck_assert_uint_eq(parsed.options_count, 0);
    ck_assert_int_eq(call(&frame, "a4 'ping' c0", &parsed, &err), 0);
    ck_assert(!parsed.has_options);
}
END_TEST

START_TEST(unknown_methods)
{
    assert_refused("a3 'pin' 90", ERR_NO_SUCH_METHOD, "there is no method \"pin\"");
    assert_refused("a5 'ping' 00 90", ERR_NO_SUCH_METHOD, "there is no method \"ping\\x00\"");
    assert_refused("a4 'Ping' 90", ERR_NO_SUCH_METHOD, "there is no method \"Ping\"");
    assert_refused("a0 90", ERR_NO_SUCH_METHOD, "there is no method \"\"");
    assert_refused("c4 05 2263c3a90a 90", ERR_NO_SUCH_METHOD,
                   "there is no method \"\\x22c\\xc3\\xa9\\x0a\"");
    assert_refused("a5 'a ~' 7f5c 90", ERR_NO_SUCH_METHOD, "there is no method \"a ~\\x7f\\x5c\"");
}
END_TEST

START_TEST(names_are_shown_whole_up_to_64_bytes)
{
    char name[65];
    char message[80];
    char sentence[120];

    memset(name, 'n', 64);
    name[64] = '\0';
    (void)snprintf(message, sizeof message, "d940 '%s' 90", name);
    (void)snprintf(sentence, sizeof sentence, "there is no method \"%s\"", name);
    assert_refused(message, ERR_NO_SUCH_METHOD, sentence);
}
END_TEST

START_TEST(long_names_are_cut)
{
    struct hex frame = hex("94 00 05 da 0400");
    struct rpc_request request;
    struct rpc_call parsed;
    struct err err = {0};

    memset(frame.bytes + frame.size, 'n', 0x400);
    frame.size += 0x400;
    frame.bytes[frame.size++] = 0x90;
    ck_assert_int_eq(parse(&frame, &request, &err), 0);
    ck_assert_int_eq(rpc_call_parse(&request, &parsed, &err), ERR_NO_SUCH_METHOD);
    ck_assert_str_eq(err.text, "there is no method \"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
                               "nnnnnnnnnnnnnnnnnn...\"");
    memset(frame.bytes + 6, 0xff, 0x400); /* escaped, it takes the most */
    ck_assert_int_eq(rpc_call_parse(&request, &parsed, &err), ERR_NO_SUCH_METHOD);
    ck_assert_uint_eq(strlen(err.text), ERR_TEXT_SIZE - 1);
}
END_TEST

START_TEST(parameters_of_the_wrong_type)
{
    assert_refused("a8 'loadBlob' 93 00 ca 3fc00000 01", ERR_INVALID_ARGUMENT,
                   "loadBlob: address must be an unsigned integer, not a float");
    assert_refused("a8 'loadBlob' 93 00 00 ff", ERR_INVALID_ARGUMENT,
                   "loadBlob: size must be an unsigned integer, not a negative integer");
    assert_refused("a8 'loadBlob' 93 00 a1 '0' 01", ERR_INVALID_ARGUMENT,
                   "loadBlob: address must be an unsigned integer, not a string");
    assert_refused("a8 'loadBlob' 93 cb 0000000000000000 00 01", ERR_INVALID_ARGUMENT,
                   "loadBlob: region must be a region's name or id, not a float");
    assert_refused("a7 'addBlob' 92 c0 a0", ERR_INVALID_ARGUMENT,
                   "addBlob: region must be a region's name or id, not nil");
    assert_refused("a7 'addBlob' 92 00 05", ERR_INVALID_ARGUMENT,
                   "addBlob: blob must be binary data or a string, not an unsigned integer");
    assert_refused("a7 'addBlob' 92 00 d4 01 00", ERR_INVALID_ARGUMENT,
                   "addBlob: blob must be binary data or a string, not an extension");
    assert_refused("ac 'createRegion' 91 05", ERR_INVALID_ARGUMENT,
                   "createRegion: name must be a string, not an unsigned integer");
    assert_refused("a6 'resize' 94 00 01 02 80", ERR_INVALID_ARGUMENT,
                   "resize: new_size must be an unsigned integer, not a map");
}
END_TEST

START_TEST(parameters_of_the_wrong_number)
{
    assert_refused("a8 'loadBlob' 92 00 01", ERR_INVALID_ARGUMENT,
                   "loadBlob: takes 3 parameters (region, address, size), and then options at "
                   "most, not 2");
    assert_refused("a8 'loadBlob' c0", ERR_INVALID_ARGUMENT,
                   "loadBlob: takes 3 parameters (region, address, size), and then options at "
                   "most, not 0");
    assert_refused("a8 'loadBlob' 95 00 01 02 80 80", ERR_INVALID_ARGUMENT,
                   "loadBlob: takes 3 parameters (region, address, size), and then options at "
                   "most, not 5");
    assert_refused("a5 'clear' 90", ERR_INVALID_ARGUMENT,
                   "clear: takes 1 parameter (region), and then options at most, not 0");
    assert_refused("a4 'ping' 92 80 80", ERR_INVALID_ARGUMENT,
                   "ping: takes no parameters, and then options at most, not 2");
    assert_refused("a8 'loadBlob' 94 00 01 02 03", ERR_INVALID_ARGUMENT,
                   "loadBlob: what follows its parameters must be a map of options, not an "
                   "unsigned integer");
    assert_refused("a4 'ping' 91 c0", ERR_INVALID_ARGUMENT,
                   "ping: what follows its parameters must be a map of options, not nil");
}
END_TEST

/* What stood there before is no parameter of this call, whatever looks at it next. */
START_TEST(a_refused_call_has_no_parameters_of_another)
{
    static const char *const calls[] = {"a8 'loadBlob' 90", "a8 'loadBlob' c0",
                                        "a8 'loadBlob' 91 c0", "a8 'loadBlob' 93 c0 00 01"};
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        struct hex frame;
        struct rpc_call parsed;
        struct err err;
        memset(&parsed, 0xa5, sizeof parsed);
        ck_assert_int_eq(call(&frame, calls[i], &parsed, &err), ERR_INVALID_ARGUMENT);
        ck_assert(!parsed.has_region);
        for (size_t j = 0; j < RPC_PARAMS_MAX; j++)
            ck_assert(parsed.params[j].bytes == NULL && parsed.params[j].number == 0 &&
                      parsed.params[j].size == 0);
    }
}
END_TEST

START_TEST(options_that_are_wrong)
{
    assert_refused("ad 'getFreeMemory' 92 00 81 a5 'Limit' 01", ERR_INVALID_ARGUMENT,
                   "getFreeMemory: unknown option \"Limit\"; known: from,limit");
    assert_refused("ad 'getFreeMemory' 92 00 82 a5 'limit' 01 a4 'lim' 00 02", ERR_INVALID_ARGUMENT,
                   "getFreeMemory: unknown option \"lim\\x00\"; known: from,limit");
    assert_refused("a4 'ping' 91 81 a5 'token' a0", ERR_INVALID_ARGUMENT,
                   "ping: unknown option \"token\"; it has no options");
    assert_refused("ad 'getFreeMemory' 92 00 82 a5 'limit' 01 c4 05 'limit' 01",
                   ERR_INVALID_ARGUMENT, "getFreeMemory: option \"limit\" is given twice");
    assert_refused("ad 'getFreeMemory' 92 00 81 01 01", ERR_INVALID_ARGUMENT,
                   "getFreeMemory: an option's key must be a string, not an unsigned integer");
    assert_refused("ad 'getFreeMemory' 92 00 81 a0 01", ERR_INVALID_ARGUMENT,
                   "getFreeMemory: unknown option \"\"; known: from,limit");
}
END_TEST

/* ---- Answers ---- */

static void assert_bytes(const msgpack_sbuffer *buffer, const char *text)
{
    struct hex expected = hex(text);

    ck_assert_uint_eq(buffer->size, expected.size);
    ck_assert_mem_eq(buffer->data, expected.bytes, expected.size);
}

START_TEST(results_and_errors)
{
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    struct err err;

    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    ck_assert_int_eq(rpc_pack_result(&packer, 5), 0);
    assert_bytes(&buffer, "94 01 05 c0");
    msgpack_sbuffer_clear(&buffer);
    ck_assert_int_eq(rpc_pack_result(&packer, UINT32_MAX), 0);
    assert_bytes(&buffer, "94 01 ce ffffffff c0");
    msgpack_sbuffer_clear(&buffer);
    err_set(&err, ERR_NO_SPACE, "full");
    ck_assert_int_eq(rpc_pack_error(&packer, 0, &err), 0);
    assert_bytes(&buffer, "94 01 00 ae 'no_space: full' c0");
    msgpack_sbuffer_clear(&buffer);
    err_set(&err, ERR_EXISTS, "~\xff\n \x7f");
    ck_assert_int_eq(rpc_pack_error(&packer, 0, &err), 0);
    assert_bytes(&buffer, "94 01 00 ad 'exists: ~?? ?' c0");
    msgpack_sbuffer_destroy(&buffer);
}
END_TEST

START_TEST(the_longest_error_goes_out_whole)
{
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    struct err err = {.code = ERR_INVALID_ARGUMENT};

    memset(err.text, 'x', sizeof err.text - 1);
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    ck_assert_int_eq(rpc_pack_error(&packer, 0, &err), 0);
    ck_assert_uint_eq(buffer.size, 3 + 3 + strlen("invalid_argument: ") + ERR_TEXT_SIZE - 1 + 1);
    msgpack_sbuffer_destroy(&buffer);
}
END_TEST

START_TEST(bin_headers_are_those_of_msgpack_c)
{
    static const uint32_t numbers[] = {0,     1,     127,   128,        255,       256,
                                       32767, 65535, 65536, 0x7fffffff, UINT32_MAX};
    size_t count = sizeof numbers / sizeof numbers[0];

    for (size_t i = 0; i < count * count; i++) {
        uint32_t msgid = numbers[i / count];
        uint32_t size = numbers[i % count];
        uint8_t header[RPC_BIN_HEADER_MAX];
        msgpack_sbuffer buffer;
        msgpack_packer packer;

        msgpack_sbuffer_init(&buffer);
        msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
        rpc_pack_result(&packer, msgid);
        msgpack_pack_bin(&packer, size);
        ck_assert_uint_eq(rpc_bin_header(header, msgid, size), buffer.size);
        ck_assert_mem_eq(header, buffer.data, buffer.size);
        msgpack_sbuffer_destroy(&buffer);
    }
}
END_TEST

/* A buffer whose nth write finds no memory. */
static int refuse_in(void *data, const char *bytes, size_t size)
{
    int *countdown = data;

    (void)bytes;
    (void)size;
    return (*countdown)-- > 0 ? 0 : -1;
}

START_TEST(a_buffer_that_cannot_grow_is_reported)
{
    struct err err;
    msgpack_packer packer;
    int countdown;

    err_set(&err, ERR_BUSY, "later");
    for (int writes = 0; writes < 4; writes++) {
        countdown = writes;
        msgpack_packer_init(&packer, &countdown, refuse_in);
        ck_assert_int_eq(rpc_pack_result(&packer, 1), -1);
        countdown = writes;
        ck_assert_int_eq(rpc_pack_error(&packer, 1, &err), -1);
    }
    countdown = 4;
    msgpack_packer_init(&packer, &countdown, refuse_in);
    ck_assert_int_eq(rpc_pack_result(&packer, 1), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("proto/rpc");
    TCase *tcase = tcase_create("rpc");

    tcase_add_test(tcase, requests_in_every_width);
    tcase_add_test(tcase, notifications_and_params);
    tcase_add_loop_test(tcase, what_is_no_request, 0,
                        (int)(sizeof no_requests / sizeof no_requests[0]));
    tcase_add_test(tcase, numbers_names_and_blobs);
    tcase_add_test(tcase, options_are_a_map_at_the_end);
    tcase_add_test(tcase, unknown_methods);
    tcase_add_test(tcase, names_are_shown_whole_up_to_64_bytes);
    tcase_add_test(tcase, long_names_are_cut);
    tcase_add_test(tcase, parameters_of_the_wrong_type);
    tcase_add_test(tcase, parameters_of_the_wrong_number);
    tcase_add_test(tcase, a_refused_call_has_no_parameters_of_another);
    tcase_add_test(tcase, options_that_are_wrong);
    tcase_add_test(tcase, results_and_errors);
    tcase_add_test(tcase, the_longest_error_goes_out_whole);
    tcase_add_test(tcase, bin_headers_are_those_of_msgpack_c);
    tcase_add_test(tcase, a_buffer_that_cannot_grow_is_reported);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
