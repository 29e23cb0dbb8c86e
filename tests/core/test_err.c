#include "core/err.h"

#include <check.h>
#include <string.h>

#include "tests/support_main.h"

/* The public contract, written down a second time on purpose. */
static const struct {
    enum err_code code;
    const char *name;
    int exit_code;
} contract[] = {
    {ERR_INVALID_ARGUMENT, "invalid_argument", 1},
    {ERR_NO_SUCH_METHOD, "no_such_method", 1},
    {ERR_NO_SUCH_REGION, "no_such_region", 3},
    {ERR_EXISTS, "exists", 1},
    {ERR_OUT_OF_BOUNDS, "out_of_bounds", 3},
    {ERR_NOT_ALLOCATED, "not_allocated", 3},
    {ERR_PARTLY_FREE, "partly_free", 3},
    {ERR_NO_SPACE, "no_space", 5},
    {ERR_CORRUPT, "corrupt", 6},
    {ERR_IO_ERROR, "io_error", 1},
    {ERR_READ_ONLY, "read_only", 1},
    {ERR_TOO_LARGE, "too_large", 1},
    {ERR_BUSY, "busy", 75},
    {ERR_DENIED, "denied", 77},
    {ERR_UNAUTHENTICATED, "unauthenticated", 77},
    {ERR_SHUTTING_DOWN, "shutting_down", 75},
    {ERR_INTERNAL, "internal", 1},
};

START_TEST(names_and_exit_codes)
{
    ck_assert_uint_eq(sizeof contract / sizeof contract[0], ERR_CODES - 1);
    for (unsigned i = 0; i < sizeof contract / sizeof contract[0]; i++) {
        ck_assert_str_eq(err_name(contract[i].code), contract[i].name);
        ck_assert_int_eq(err_exit_code(contract[i].code), contract[i].exit_code);
        ck_assert_int_eq(err_from_name(contract[i].name, strlen(contract[i].name)),
                         contract[i].code);
    }
}
END_TEST

START_TEST(what_is_not_in_the_list)
{
    ck_assert_str_eq(err_name(ERR_OK), "ok");
    ck_assert_str_eq(err_name((enum err_code)1000), "internal");
    ck_assert_int_eq(err_exit_code((enum err_code)1000), 1);
    ck_assert_int_eq(err_from_name("no_spac", 7), ERR_INTERNAL);
    ck_assert_int_eq(err_from_name("no_space!", 9), ERR_INTERNAL);
    ck_assert_int_eq(err_from_name("", 0), ERR_INTERNAL);
}
END_TEST

START_TEST(set_formats_and_returns_the_code)
{
    struct err err;
    ck_assert_int_eq(err_set(&err, ERR_BUSY, "%s is held by %d", "it", 7), ERR_BUSY);
    ck_assert_int_eq(err.code, ERR_BUSY);
    ck_assert_str_eq(err.text, "it is held by 7");
    ck_assert_int_eq(err_set(NULL, ERR_CORRUPT, "nobody listens"), ERR_CORRUPT);
}
END_TEST

START_TEST(a_long_sentence_is_cut)
{
    struct err err;
    char text[ERR_TEXT_SIZE * 2];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    err_set(&err, ERR_INTERNAL, "%s", text);
    ck_assert_uint_eq(strlen(err.text), ERR_TEXT_SIZE - 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("err");
    TCase *tests = tcase_create("err");
    tcase_add_test(tests, names_and_exit_codes);
    tcase_add_test(tests, what_is_not_in_the_list);
    tcase_add_test(tests, set_formats_and_returns_the_code);
    tcase_add_test(tests, a_long_sentence_is_cut);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
