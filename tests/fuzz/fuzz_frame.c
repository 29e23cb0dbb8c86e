/* Bytes from the network: framed at once and in random slices with the same verdict, then walked
 * value by value, taken for requests and for calls, and compared with what msgpack-c makes of
 * them. What is parsed in one pass comes out the same. */
#include <msgpack.h>
#include <string.h>

#include "proto/changes.h"
#include "proto/frame.h"
#include "proto/rpc.h"
#include "tests/fuzz/fuzz.h"

/* Small enough that inputs reach it. */
#define LIMIT 4096

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525U + 1013904223U;
    return *state >> 8;
}

/* Feeds slices in buffers of exactly their size, so that a byte read too many is seen. */
static enum frame_status scan_slices(const uint8_t *bytes, size_t size, uint32_t seed,
                                     uint64_t *ret_size)
{
    struct frame_scanner scanner;
    enum frame_status status;
    uint64_t least = 0;
    size_t have = 0;

    frame_reset(&scanner);
    for (;;) {
        uint8_t *arrived = malloc(have + 1);

        FUZZ_REQUIRE(arrived != NULL);
        memcpy(arrived + 1, bytes, have);
        status = frame_scan(&scanner, arrived + 1, have, LIMIT, ret_size);
        free(arrived);
        if (status != FRAME_INCOMPLETE || have == size)
            return status;
        FUZZ_REQUIRE(*ret_size > have && *ret_size >= least && *ret_size <= LIMIT);
        least = *ret_size;
        have += next_random(&seed) % 9 + 1;
        if (have > size)
            have = size;
    }
}

/* Reads every value below the cursor; the depth is the frame's, which is bounded. */
static void walk(struct cursor *cursor, unsigned depth)
{
    struct value value = cursor_next(cursor);
    uint64_t children = 0;

    FUZZ_REQUIRE(depth <= FRAME_DEPTH_MAX);
    FUZZ_REQUIRE(value.type != VALUE_NONE);
    FUZZ_REQUIRE(value_type_name(value.type)[0] != '\0');
    if (value.type == VALUE_STR || value.type == VALUE_BIN || value.type == VALUE_EXT)
        FUZZ_REQUIRE(value.raw.bytes + value.raw.size == cursor->at);
    else if (value.type == VALUE_ARRAY)
        children = value.count;
    else if (value.type == VALUE_MAP)
        children = 2 * (uint64_t)value.count;
    FUZZ_REQUIRE(cursor->at <= cursor->end);
    for (uint64_t i = 0; i < children; i++)
        walk(cursor, depth + 1);
}

static void check_values(const uint8_t *frame, size_t size)
{
    struct cursor walked = {frame, frame + size};
    struct cursor skipped = {frame, frame + size};
    msgpack_unpacked unpacked;
    size_t offset = 0;

    walk(&walked, 0);
    FUZZ_REQUIRE(walked.at == walked.end);
    cursor_skip(&skipped);
    FUZZ_REQUIRE(skipped.at == skipped.end);
    msgpack_unpacked_init(&unpacked);
    FUZZ_REQUIRE(msgpack_unpack_next(&unpacked, (const char *)frame, size, &offset) ==
                 MSGPACK_UNPACK_SUCCESS);
    FUZZ_REQUIRE(offset == size);
    msgpack_unpacked_destroy(&unpacked);
}

static void check_sentence(const struct err *err)
{
    FUZZ_REQUIRE(err->text[0] != '\0');
    for (const char *at = err->text; *at != '\0'; at++)
        FUZZ_REQUIRE(*at >= 0x20 && *at < 0x7f);
}

static void check_refusal(int code, const struct err *err)
{
    FUZZ_REQUIRE(code == ERR_NO_SUCH_METHOD || code == ERR_INVALID_ARGUMENT);
    check_sentence(err);
}

/* Every parameter that is there is of its kind and within the frame. */
static void check_params(const struct rpc_call *call, const uint8_t *frame, size_t size)
{
    const char *letters = methods[call->method].parameters;

    for (size_t i = call->has_region || letters[0] != 'R' ? 0 : 1; letters[i] != '\0'; i++) {
        const struct rpc_param *param = &call->params[i];

        if (letters[i] == 'S' && param->is_nil)
            continue;
        if (letters[i] != 'U' && letters[i] != 'S' && param->bytes != NULL)
            FUZZ_REQUIRE(param->bytes > frame && param->bytes + param->size <= frame + size);
        else
            FUZZ_REQUIRE(letters[i] == 'U' || letters[i] == 'S' || letters[i] == 'R');
    }
}

static void check_changes(const struct rpc_param *param, const uint8_t *frame, size_t size)
{
    struct changes changes;
    uint32_t index = 0;

    changes_init(&changes, param);
    while (changes.index < changes.count) {
        struct rpc_call call;
        struct err err = {0};
        int code = changes_next(&changes, &call, &err);

        FUZZ_REQUIRE(changes.index == ++index);
        FUZZ_REQUIRE(changes.cursor.at <= changes.cursor.end);
        if (code != 0) {
            check_refusal(code, &err);
            continue;
        }
        FUZZ_REQUIRE(method_is_change(call.method) && call.options_count == 0);
        check_params(&call, frame, size);
    }
    FUZZ_REQUIRE(changes.cursor.at == changes.cursor.end);
}

static void check_call(const struct rpc_request *request, const uint8_t *frame, size_t size)
{
    struct rpc_call call;
    struct err err = {0};
    int code = rpc_call_parse(request, &call, &err);

    if (code != 0) {
        check_refusal(code, &err);
        return;
    }
    check_params(&call, frame, size);
    if (call.method == METHOD_BATCH)
        check_changes(&call.params[1], frame, size);
    for (uint32_t i = 0; i < call.options_count; i++) {
        struct value key = cursor_next(&call.options);

        FUZZ_REQUIRE(key.type == VALUE_STR || key.type == VALUE_BIN);
        cursor_skip(&call.options);
    }
    FUZZ_REQUIRE(call.options_count == 0 || call.options.at == frame + size);
}

static void check_frame(const uint8_t *frame, size_t size)
{
    struct rpc_request request;
    struct err err = {0};

    check_values(frame, size);
    if (rpc_parse(frame, size, &request, &err) != 0) {
        check_sentence(&err);
        return;
    }
    FUZZ_REQUIRE(request.has_msgid == !request.is_notification);
    check_call(&request, frame, size);
}

/* The way of common requests takes nothing that the other refuses, and nothing differently. */
static void check_short(const uint8_t *data, size_t size, uint64_t frame_size)
{
    struct rpc_request request, long_request;
    struct rpc_call call, long_call;
    struct err err = {0};
    size_t taken = rpc_parse_short(data, size < LIMIT ? size : LIMIT, &request, &call);

    if (taken == 0)
        return;
    FUZZ_REQUIRE(taken == frame_size);
    FUZZ_REQUIRE(rpc_parse(data, taken, &long_request, &err) == 0);
    FUZZ_REQUIRE(rpc_call_parse(&long_request, &long_call, &err) == 0);
    FUZZ_REQUIRE(!long_request.is_notification && !request.is_notification);
    FUZZ_REQUIRE(request.msgid == long_request.msgid && call.method == long_call.method);
    FUZZ_REQUIRE(call.options.at == long_call.options.at);
    FUZZ_REQUIRE(call.options.end == long_call.options.end);
    FUZZ_REQUIRE(call.options_count == long_call.options_count);
    for (unsigned i = 0; i < methods[call.method].parameter_count; i++) {
        FUZZ_REQUIRE(call.params[i].number == long_call.params[i].number);
        FUZZ_REQUIRE(call.params[i].bytes == long_call.params[i].bytes);
        FUZZ_REQUIRE(call.params[i].size == long_call.params[i].size);
        FUZZ_REQUIRE(call.params[i].is_nil == long_call.params[i].is_nil);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t seed = (uint32_t)size;

    for (size_t i = 0; i < size; i++)
        seed = seed * 31 + data[i];
    for (;;) {
        struct frame_scanner scanner;
        uint64_t whole = 0, sliced = 0;
        enum frame_status status;

        frame_reset(&scanner);
        status = frame_scan(&scanner, data, size, LIMIT, &whole);
        FUZZ_REQUIRE(scan_slices(data, size, seed, &sliced) == status);
        if (status == FRAME_INCOMPLETE)
            FUZZ_REQUIRE(whole > size && whole == sliced);
        check_short(data, size, status == FRAME_COMPLETE ? whole : 0);
        if (status != FRAME_COMPLETE)
            return 0;
        FUZZ_REQUIRE(whole > 0 && whole <= size && whole == sliced);
        check_frame(data, (size_t)whole);
        data += whole;
        size -= (size_t)whole;
    }
}
