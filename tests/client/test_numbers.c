/* Every number of the table: stored little-endian, and the same when it comes back. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "support_fake.h"
#include "tests/support_main.h"

static struct fake fake;
static struct fake_region region;
static struct mregion *connection;
static struct mregion_error error;

static void setup(void)
{
    fake_region_init(&region, 1 << 20, 1 << 20);
    fake_start(&fake, fake_region_script, &region);
    ck_assert_int_eq(mregion_connect(fake.address, NULL, &connection, &error), 0);
}

static void teardown(void)
{
    mregion_close(connection);
    fake_stop(&fake);
    fake_region_release(&region);
}

/* Adds, loads, stores another, removes. The fake leaves removed bytes where they are. */
#define CHECK(name, type, first, second, ...)                                                      \
    do {                                                                                           \
        static const uint8_t wanted[] = {__VA_ARGS__};                                             \
        type value = 0;                                                                            \
        uint64_t address;                                                                          \
                                                                                                   \
        ck_assert_uint_eq(sizeof(type), sizeof wanted);                                            \
        ck_assert_int_eq(mregion_add_##name(connection, "m", first, &address, &error), 0);         \
        ck_assert_mem_eq(region.bytes + address, wanted, sizeof wanted);                           \
        ck_assert_int_eq(mregion_load_##name(connection, "m", address, &value, &error), 0);        \
        ck_assert_mem_eq(&value, &(type){first}, sizeof value);                                    \
        ck_assert_int_eq(mregion_store_##name(connection, "m", address, second, &error), 0);       \
        ck_assert_int_eq(mregion_remove_##name(connection, "m", address, &value, &error), 0);      \
        ck_assert_mem_eq(&value, &(type){second}, sizeof value);                                   \
    } while (0)

START_TEST(numbers_are_little_endian)
{
    CHECK(nat8, uint8_t, 0xfe, 0, 0xfe);
    CHECK(nat16, uint16_t, 0xfedc, 1, 0xdc, 0xfe);
    CHECK(nat32, uint32_t, 0xfedcba98, 2, 0x98, 0xba, 0xdc, 0xfe);
    CHECK(nat64, uint64_t, 0xfedcba9876543210, UINT64_MAX, 0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc,
          0xfe);
    CHECK(int8, int8_t, -2, INT8_MIN, 0xfe);
    CHECK(int16, int16_t, -2, INT16_MIN, 0xfe, 0xff);
    CHECK(int32, int32_t, -2, INT32_MIN, 0xfe, 0xff, 0xff, 0xff);
    CHECK(int64, int64_t, -2, INT64_MIN, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff);
    CHECK(float, double, -1.5, -0.0, 0, 0, 0, 0, 0, 0, 0xf8, 0xbf);
    CHECK(float, double, 0.1, INFINITY, 0x9a, 0x99, 0x99, 0x99, 0x99, 0x99, 0xb9, 0x3f);
}
END_TEST

/* Nothing of the table is missing above. */
START_TEST(the_table_is_covered)
{
    unsigned count = 0;

#define COUNT(name, type) count++;
    MREGION_NUMBERS(COUNT)
#undef COUNT
    ck_assert_uint_eq(count, 9);
}
END_TEST

START_TEST(an_error_leaves_the_value_alone)
{
    struct mregion_options options = {.no_tokens = true};
    uint32_t value = 4711;

    mregion_close(connection);
    fake_stop(&fake);
    connection = NULL;
    fake_start(&fake, fake_region_script, &region);
    ck_assert_int_eq(mregion_connect(fake.address, &options, &connection, &error), 0);
    region.close_at = region.loads + 1;
    ck_assert_int_eq(mregion_remove_nat32(connection, "m", 0, &value, &error), MREGION_ERR_LOST);
    ck_assert_uint_eq(value, 4711);
}
END_TEST

START_TEST(codes_have_names)
{
    ck_assert_str_eq(mregion_code_name(MREGION_OK), "ok");
    ck_assert_str_eq(mregion_code_name(MREGION_ERR_NO_SPACE), "no_space");
    ck_assert_str_eq(mregion_code_name(MREGION_ERR_INTERNAL), "internal");
    ck_assert_str_eq(mregion_code_name(MREGION_ERR_UNKNOWN), "unknown");
    ck_assert_str_eq(mregion_code_name((enum mregion_code)4711), "unknown");
    for (int code = MREGION_ERR_CONNECT; code <= MREGION_ERR_CANCELED; code++)
        ck_assert_str_ne(mregion_code_name((enum mregion_code)code), "unknown");
    ck_assert_str_eq(mregion_version(), MREGION_VERSION);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client/numbers");
    TCase *tcase = tcase_create("numbers");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, numbers_are_little_endian);
    tcase_add_test(tcase, the_table_is_covered);
    tcase_add_test(tcase, an_error_leaves_the_value_alone);
    tcase_add_test(tcase, codes_have_names);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
