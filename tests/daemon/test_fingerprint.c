/* daemon/fingerprint: fixed values, since they are on disks. They were computed by a program of
 * another language from the definition. */
#include "daemon/fingerprint.h"

#include <check.h>
#include <isa-l/crc64.h>
#include <string.h>

#include "tests/support_main.h"

static const struct {
    enum method_id method;
    struct rpc_param params[3];
    uint64_t sum;
} fixed[] = {
    {METHOD_ALLOCATE, {{.number = 5}}, 0x7d424d89e2370a94},
    {METHOD_DEALLOCATE, {{.number = 0}, {.number = 5}}, 0xba49337b758e4af2},
    {METHOD_RESIZE, {{.number = 1}, {.number = 2}, {.number = 3}}, 0x9e03776d579745b6},
    {METHOD_ADD_BLOB, {{.bytes = (const uint8_t *)"abc"}}, 0xa6ed5ab01aaff302},
    {METHOD_ADD_BLOB, {{.bytes = (const uint8_t *)""}}, 0x9db10c7f203556e7},
    {METHOD_STORE_BLOB,
     {{.number = 1099511627776}, {.bytes = (const uint8_t *)"abc"}},
     0xf2a33fafea1dd229},
    {METHOD_REMOVE_BLOB, {{.number = 7}, {.number = UINT64_MAX}}, 0x54396065bef8f458},
    {METHOD_REPLACE_BLOB,
     {{.number = 1}, {.number = 2}, {.bytes = (const uint8_t *)"xyz"}},
     0x6fa6e60413e55672},
    {METHOD_DEALLOCATE_RANGE, {{.number = 1}, {.number = 2}}, 0x2b43e5c64780eaa1},
    {METHOD_CLEAR, {{0}}, 0xa690e5b2ec574e7e},
    {METHOD_CLEAR_AND_RETAIN_HEADER, {{.number = 64}}, 0xb64c87eed7e46d50},
    {METHOD_GROW, {{.number = 1}}, 0xcefa82b7b9362def},
    {METHOD_BATCH, {{.number = 2}}, 0x6d2947c7b0d1d230},
};

static struct rpc_call call_of(int i)
{
    struct rpc_call call = {.method = fixed[i].method, .has_region = true};
    memcpy(call.params + 1, fixed[i].params, sizeof fixed[i].params);
    for (int p = 1; p < RPC_PARAMS_MAX; p++)
        if (call.params[p].bytes != NULL)
            call.params[p].size = (uint32_t)strlen((const char *)call.params[p].bytes);
    return call;
}

START_TEST(the_standards_check_value)
{
    ck_assert_uint_eq(crc64_ecma_refl(0, (const uint8_t *)"123456789", 9), 0x995dc9bbdf1939fa);
}
END_TEST

START_TEST(fixed_values)
{
    struct rpc_call call = call_of(_i);
    ck_assert_uint_eq(fingerprint_add(0, &call), fixed[_i].sum);
    /* which region, and options, make no difference */
    call.params[0] = (struct rpc_param){.number = 17, .bytes = (const uint8_t *)"x", .size = 1};
    call.has_options = true;
    call.options_count = 1;
    ck_assert_uint_eq(fingerprint_add(0, &call), fixed[_i].sum);
}
END_TEST

START_TEST(a_batch_with_its_changes)
{
    struct rpc_call batch = {.method = METHOD_BATCH, .params = {{0}, {.number = 2}}};
    struct rpc_call add = {.method = METHOD_ADD_BLOB,
                           .params = {{0}, {.bytes = (const uint8_t *)"abc", .size = 3}}};
    struct rpc_call clear = {.method = METHOD_CLEAR};
    uint64_t sum = fingerprint_add(0, &batch);
    sum = fingerprint_add(sum, &add);
    ck_assert_uint_eq(fingerprint_add(sum, &clear), 0x7eb6401212e80c24);
}
END_TEST

START_TEST(every_change_has_a_value_of_its_own)
{
    int count = (int)(sizeof fixed / sizeof fixed[0]);
    for (unsigned method = 0; method < METHODS; method++) {
        bool is_there = false;
        for (int i = 0; i < count; i++)
            is_there |= fixed[i].method == method;
        ck_assert_int_eq(is_there, method_is_change(method) || method == METHOD_BATCH);
    }
    for (int i = 0; i < count; i++)
        for (int j = 0; j < i; j++)
            ck_assert_uint_ne(fixed[i].sum, fixed[j].sum);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fingerprint");
    TCase *tcase = tcase_create("fingerprint");
    tcase_add_test(tcase, the_standards_check_value);
    tcase_add_loop_test(tcase, fixed_values, 0, (int)(sizeof fixed / sizeof fixed[0]));
    tcase_add_test(tcase, a_batch_with_its_changes);
    tcase_add_test(tcase, every_change_has_a_value_of_its_own);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
