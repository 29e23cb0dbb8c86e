/* proto/changes: the changes of a batch, what is one and what is not, and the sentences. */
#include "proto/changes.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "proto/frame.h"
#include "support_hex.h"
#include "tests/support_main.h"

/* A batch with these changes, an array header in front; the frame must outlive it. */
static void begin(struct hex *frame, const char *changes_text, struct changes *ret)
{
    char text[1024];
    struct frame_scanner scanner;
    struct rpc_request request;
    struct rpc_call call;
    struct err err = {0};
    uint64_t size = 0;

    (void)snprintf(text, sizeof text, "94 00 05 a5 'batch' 92 a4 'main' %s", changes_text);
    *frame = hex(text);
    frame_reset(&scanner);
    ck_assert_int_eq(frame_scan(&scanner, frame->bytes, frame->size, HEX_MAX, &size),
                     FRAME_COMPLETE);
    ck_assert_uint_eq(size, frame->size);
    ck_assert_int_eq(rpc_parse(frame->bytes, frame->size, &request, &err), 0);
    ck_assert_msg(rpc_call_parse(&request, &call, &err) == 0, "%s", err.text);
    ck_assert_int_eq(call.method, METHOD_BATCH);
    ck_assert_ptr_eq(call.params[1].bytes + call.params[1].size, frame->bytes + frame->size);
    changes_init(ret, &call.params[1]);
}

START_TEST(with_and_without_the_region)
{
    struct hex frame;
    struct changes changes;
    struct rpc_call call;
    struct err err = {0};

    begin(&frame,
          "97 93 a7 'addBlob' a4 'main' c4 02 0102  92 a7 'addBlob' a3 'abc'"
          "93 c4 05 'clear' 07 80  92 a5 'clear' 80  91 a5 'clear'"
          "94 a8 'allocate' cd 0101 05 80  95 a6 'resize' 01 02 03 80",
          &changes);
    ck_assert_uint_eq(changes.count, 7);
    ck_assert_uint_eq(changes.index, 0);

    ck_assert_int_eq(changes_next(&changes, &call, &err), 0);
    ck_assert_int_eq(call.method, METHOD_ADD_BLOB);
    ck_assert(call.has_region && !call.has_options);
    ck_assert_mem_eq(call.params[0].bytes, "main", 4);
    ck_assert_uint_eq(call.params[1].size, 2);

    ck_assert_int_eq(changes_next(&changes, &call, &err), 0);
    ck_assert(!call.has_region);
    ck_assert_mem_eq(call.params[1].bytes, "abc", 3);

    ck_assert_int_eq(changes_next(&changes, &call, &err), 0);
    ck_assert_int_eq(call.method, METHOD_CLEAR);
    ck_assert(call.has_region && call.has_options);
    ck_assert_ptr_null(call.params[0].bytes);
    ck_assert_uint_eq(call.params[0].number, 7);

    ck_assert_int_eq(changes_next(&changes, &call, &err), 0);
    ck_assert(!call.has_region && call.has_options);
    ck_assert_int_eq(changes_next(&changes, &call, &err), 0);
    ck_assert(!call.has_region && !call.has_options);

    ck_assert_int_eq(changes_next(&changes, &call, &err), 0);
    ck_assert(call.has_region && call.has_options);
    ck_assert_uint_eq(call.params[0].number, 0x101);
    ck_assert_uint_eq(call.params[1].number, 5);

    ck_assert_int_eq(changes_next(&changes, &call, &err), 0);
    ck_assert(!call.has_region && call.has_options);
    ck_assert_uint_eq(call.params[3].number, 3);
    ck_assert_uint_eq(changes.index, changes.count);
}
END_TEST

START_TEST(none_at_all)
{
    struct hex frame;
    struct changes changes;

    begin(&frame, "90", &changes);
    ck_assert_uint_eq(changes.count, 0);
    begin(&frame, "dd 00000000", &changes);
    ck_assert_uint_eq(changes.count, 0);
}
END_TEST

/* Each stands between two good ones, which are read all the same. */
static const struct {
    const char *text;
    enum err_code code;
    const char *sentence;
} bad[] = {
    {"c0", ERR_INVALID_ARGUMENT,
     "change 1: must be an array, of a method and its parameters, not nil"},
    {"82 01 02 03 04", ERR_INVALID_ARGUMENT,
     "change 1: must be an array, of a method and its parameters, not a map"},
    {"a5 'clear'", ERR_INVALID_ARGUMENT,
     "change 1: must be an array, of a method and its parameters, not a string"},
    {"90", ERR_INVALID_ARGUMENT, "change 1: must not be an empty array: a method comes first"},
    {"92 05 05", ERR_INVALID_ARGUMENT,
     "change 1: the method's name must be a string, not an unsigned integer"},
    {"91 91 a5 'clear'", ERR_INVALID_ARGUMENT,
     "change 1: the method's name must be a string, not an array"},
    {"91 a4 'Clea'", ERR_NO_SUCH_METHOD, "change 1 (Clea): there is no method \"Clea\""},
    {"91 c4 02 ff0a", ERR_NO_SUCH_METHOD,
     "change 1 (\\xff\\x0a): there is no method \"\\xff\\x0a\""},
    {"91 a4 'ping'", ERR_INVALID_ARGUMENT,
     "change 1 (ping): a batch takes only what changes the blocks of its region"},
    {"93 a8 'loadBlob' 00 01", ERR_INVALID_ARGUMENT,
     "change 1 (loadBlob): a batch takes only what changes the blocks of its region"},
    {"91 aa 'checkpoint'", ERR_INVALID_ARGUMENT,
     "change 1 (checkpoint): a batch takes only what changes the blocks of its region"},
    {"92 ac 'createRegion' a1 'x'", ERR_INVALID_ARGUMENT,
     "change 1 (createRegion): a batch takes only what changes the blocks of its region"},
    {"92 a5 'batch' 90", ERR_INVALID_ARGUMENT, "change 1 (batch): a batch takes no other batch"},
    {"92 a8 'allocate' ff", ERR_INVALID_ARGUMENT,
     "change 1 (allocate): size must be an unsigned integer, not a negative integer"},
    {"93 a8 'allocate' 05 cb 3ff0000000000000", ERR_INVALID_ARGUMENT,
     "change 1 (allocate): size must be an unsigned integer, not a float"},
    {"93 a8 'allocate' c0 05", ERR_INVALID_ARGUMENT,
     "change 1 (allocate): region must be a region's name or id, not nil"},
    {"91 a8 'allocate'", ERR_INVALID_ARGUMENT,
     "change 1 (allocate): takes 2 parameters (region, size), and then options at most, not 0"},
    {"95 a8 'allocate' 01 02 03 04", ERR_INVALID_ARGUMENT,
     "change 1 (allocate): takes 2 parameters (region, size), and then options at most, not 4"},
    {"94 a8 'allocate' 01 02 03", ERR_INVALID_ARGUMENT,
     "change 1 (allocate): what follows its parameters must be a map of options, not an unsigned "
     "integer"},
    {"92 a5 'clear' 81 a5 'token' c4 10 '0123456789abcdef'", ERR_INVALID_ARGUMENT,
     "change 1 (clear): takes no options within a batch: a token is given to the whole batch"},
    {"92 a5 'clear' 81 a5 'other' 01", ERR_INVALID_ARGUMENT,
     "change 1 (clear): unknown option \"other\"; known: token"},
};

START_TEST(what_is_no_change)
{
    char text[512];
    struct hex frame;
    struct changes changes;
    struct rpc_call call;
    struct err err = {0};

    (void)snprintf(text, sizeof text, "93 92 a4 'grow' 01 %s 92 a4 'grow' 02", bad[_i].text);
    begin(&frame, text, &changes);
    ck_assert_int_eq(changes_next(&changes, &call, &err), 0);
    ck_assert_int_eq(changes_next(&changes, &call, &err), bad[_i].code);
    ck_assert_int_eq(err.code, bad[_i].code);
    ck_assert_str_eq(err.text, bad[_i].sentence);
    ck_assert_uint_eq(changes.index, 2);
    ck_assert_int_eq(changes_next(&changes, &call, &err), 0);
    ck_assert_uint_eq(call.params[1].number, 2);
}
END_TEST

START_TEST(long_names_are_cut)
{
    struct hex frame = hex("91 91 da 0400");
    struct rpc_param param = {.number = 1, .bytes = frame.bytes + 1, .size = 4 + 0x400};
    struct changes changes;
    struct rpc_call call;
    struct err err = {0};

    memset(frame.bytes + frame.size, 0xff, 0x400);
    changes_init(&changes, &param);
    ck_assert_int_eq(changes_next(&changes, &call, &err), ERR_NO_SUCH_METHOD);
    ck_assert_uint_eq(strlen(err.text), ERR_TEXT_SIZE - 1);
    ck_assert_mem_eq(err.text, "change 0 (\\xff", 14);
}
END_TEST

START_TEST(what_a_change_was_refused_with)
{
    struct err err = {0};

    (void)err_set(&err, ERR_NO_SPACE, "region main is full");
    ck_assert_int_eq(changes_fail(17, METHOD_ADD_BLOB, &err), ERR_NO_SPACE);
    ck_assert_int_eq(err.code, ERR_NO_SPACE);
    ck_assert_str_eq(err.text, "change 17 (addBlob): region main is full");
    (void)err_set(&err, ERR_TOO_LARGE, "grow: too much");
    ck_assert_int_eq(changes_fail(0, METHOD_GROW, &err), ERR_TOO_LARGE);
    ck_assert_str_eq(err.text, "change 0 (grow): too much");
}
END_TEST

START_TEST(the_parameter_is_an_array)
{
    static const struct {
        const char *text, *what;
    } cases[] = {{"c0", "nil"},
                 {"05", "an unsigned integer"},
                 {"80", "a map"},
                 {"a5 'clear'", "a string"},
                 {"c4 01 00", "binary data"}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[128], sentence[128];
        struct rpc_request request;
        struct rpc_call call;
        struct err err = {0};
        struct hex frame;

        (void)snprintf(text, sizeof text, "94 00 05 a5 'batch' 92 a4 'main' %s", cases[i].text);
        (void)snprintf(sentence, sizeof sentence,
                       "batch: changes must be an array of changes, not %s", cases[i].what);
        frame = hex(text);
        ck_assert_int_eq(rpc_parse(frame.bytes, frame.size, &request, &err), 0);
        ck_assert_int_eq(rpc_call_parse(&request, &call, &err), ERR_INVALID_ARGUMENT);
        ck_assert_str_eq(err.text, sentence);
    }
}
END_TEST

/* The options stand behind the changes, however deep those are. */
START_TEST(what_follows_the_changes)
{
    struct hex frame = hex("94 00 05 a5 'batch' 93 a4 'main' 92 92 a4 'grow' 01 91 91 81 c0 90"
                           "81 a5 'token' a1 'x'");
    struct rpc_request request;
    struct rpc_call call;
    struct err err = {0};

    ck_assert_int_eq(rpc_parse(frame.bytes, frame.size, &request, &err), 0);
    ck_assert_int_eq(rpc_call_parse(&request, &call, &err), 0);
    ck_assert_uint_eq(call.params[1].number, 2);
    ck_assert_uint_eq(call.options_count, 1);
    ck_assert_mem_eq(cursor_next(&call.options).raw.bytes, "token", 5);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("proto/changes");
    TCase *tcase = tcase_create("changes");

    tcase_add_test(tcase, with_and_without_the_region);
    tcase_add_test(tcase, none_at_all);
    tcase_add_loop_test(tcase, what_is_no_change, 0, (int)(sizeof bad / sizeof bad[0]));
    tcase_add_test(tcase, long_names_are_cut);
    tcase_add_test(tcase, what_a_change_was_refused_with);
    tcase_add_test(tcase, the_parameter_is_an_array);
    tcase_add_test(tcase, what_follows_the_changes);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
