/* proto/cursor: every form of every type, compared with what msgpack-c packs, and skipping. */
#include <check.h>
#include <msgpack.h>
#include <string.h>

#include "proto/cursor.h"
#include "support_hex.h"
#include "tests/support_main.h"

static struct value first_value(const char *text, size_t *ret_taken)
{
    struct hex bytes = hex(text);
    struct cursor cursor = {bytes.bytes, bytes.bytes + bytes.size};
    struct value value = cursor_next(&cursor);

    *ret_taken = (size_t)(cursor.at - bytes.bytes);
    if (value.type == VALUE_STR || value.type == VALUE_BIN || value.type == VALUE_EXT)
        value.raw.bytes = NULL; /* pointed into what goes away here */
    return value;
}

static struct value whole_value(const char *text)
{
    size_t taken;
    struct value value = first_value(text, &taken);

    ck_assert_msg(taken == hex(text).size, "%s: %zu bytes taken", text, taken);
    return value;
}

static void assert_uint(const char *text, uint64_t number)
{
    struct value value = whole_value(text);

    ck_assert_msg(value.type == VALUE_UINT, "%s", text);
    ck_assert_uint_eq(value.number, number);
}

static void assert_negative(const char *text, int64_t number)
{
    struct value value = whole_value(text);

    ck_assert_msg(value.type == VALUE_NEGATIVE, "%s", text);
    ck_assert_int_eq(value.negative, number);
}

START_TEST(integers_of_every_width)
{
    assert_uint("00", 0);
    assert_uint("7f", 127);
    assert_uint("cc 00", 0);
    assert_uint("cc ff", 255);
    assert_uint("cd 0001", 1);
    assert_uint("cd ffff", 65535);
    assert_uint("ce 00000002", 2);
    assert_uint("ce ffffffff", UINT32_MAX);
    assert_uint("cf 0000000000000003", 3);
    assert_uint("cf 0102030405060708", 0x0102030405060708);
    assert_uint("cf ffffffffffffffff", UINT64_MAX);
}
END_TEST

START_TEST(the_sign_decides_not_the_form)
{
    assert_uint("d0 7f", 127);
    assert_uint("d1 7fff", 32767);
    assert_uint("d2 7fffffff", INT32_MAX);
    assert_uint("d3 7fffffffffffffff", INT64_MAX);
    assert_uint("d3 0000000000000000", 0);
    assert_negative("ff", -1);
    assert_negative("e0", -32);
    assert_negative("d0 80", -128);
    assert_negative("d1 8000", -32768);
    assert_negative("d2 80000000", INT32_MIN);
    assert_negative("d3 8000000000000000", INT64_MIN);
    assert_negative("d3 ffffffffffffffff", -1);
}
END_TEST

START_TEST(simple_values)
{
    struct value value;

    ck_assert_int_eq(whole_value("c0").type, VALUE_NIL);
    value = whole_value("c2");
    ck_assert_int_eq(value.type, VALUE_BOOL);
    ck_assert(!value.boolean);
    value = whole_value("c3");
    ck_assert_int_eq(value.type, VALUE_BOOL);
    ck_assert(value.boolean);
    value = whole_value("ca 3fc00000");
    ck_assert_int_eq(value.type, VALUE_FLOAT);
    ck_assert(value.real > 1.49 && value.real < 1.51);
    value = whole_value("cb c000000000000000");
    ck_assert_int_eq(value.type, VALUE_FLOAT);
    ck_assert(value.real < -1.99 && value.real > -2.01);
}
END_TEST

START_TEST(containers_say_their_count)
{
    static const struct {
        const char *text;
        enum value_type type;
        uint32_t count;
    } cases[] = {
        {"90", VALUE_ARRAY, 0},
        {"9f", VALUE_ARRAY, 15},
        {"dc 0102", VALUE_ARRAY, 0x102},
        {"dd 00010203", VALUE_ARRAY, 0x10203},
        {"80", VALUE_MAP, 0},
        {"8f", VALUE_MAP, 15},
        {"de 0102", VALUE_MAP, 0x102},
        {"df 00010203", VALUE_MAP, 0x10203},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct value value = whole_value(cases[i].text);

        ck_assert_msg(value.type == cases[i].type, "%s", cases[i].text);
        ck_assert_uint_eq(value.count, cases[i].count);
    }
}
END_TEST

static const struct {
    const char *header;
    enum value_type type;
    uint32_t size;
} raws[] = {
    {"a0", VALUE_STR, 0},
    {"bf", VALUE_STR, 31},
    {"d9 21", VALUE_STR, 0x21},
    {"da 0102", VALUE_STR, 0x102},
    {"db 00000304", VALUE_STR, 0x304},
    {"c4 05", VALUE_BIN, 5},
    {"c5 0102", VALUE_BIN, 0x102},
    {"c6 00000304", VALUE_BIN, 0x304},
    {"d4 09", VALUE_EXT, 1},
    {"d5 09", VALUE_EXT, 2},
    {"d6 09", VALUE_EXT, 4},
    {"d7 09", VALUE_EXT, 8},
    {"d8 09", VALUE_EXT, 16},
    {"c7 05 09", VALUE_EXT, 5},
    {"c8 0102 09", VALUE_EXT, 0x102},
    {"c9 00000304 09", VALUE_EXT, 0x304},
};

START_TEST(strings_point_into_the_frame)
{
    struct hex bytes = hex(raws[_i].header);
    struct cursor cursor = {bytes.bytes, bytes.bytes + bytes.size + raws[_i].size + 1};
    struct value value;

    memset(bytes.bytes + bytes.size, 0xc1, raws[_i].size);
    bytes.bytes[bytes.size + raws[_i].size] = 0xc3;
    value = cursor_next(&cursor);
    ck_assert_int_eq(value.type, raws[_i].type);
    ck_assert_uint_eq(value.raw.size, raws[_i].size);
    ck_assert_ptr_eq(value.raw.bytes, bytes.bytes + bytes.size);
    ck_assert_int_eq(cursor_next(&cursor).type, VALUE_BOOL);
    ck_assert_int_eq(cursor_next(&cursor).type, VALUE_NONE);
    ck_assert_int_eq(cursor_next(&cursor).type, VALUE_NONE);
}
END_TEST

START_TEST(skip_moves_over_one_whole_value)
{
    static const char *const values[] = {
        "00",
        "ff",
        "c0",
        "cb 3ff8000000000000",
        "cf 0000000000000003",
        "a3 'abc'",
        "c4 02 9191",
        "d5 01 8f8f",
        "90",
        "80",
        "92 91 92 a1 'x' c0 82 01 90 02 93 010203",
        "81 91 01 81 02 03",
        "dc 0003 df 00000001 a1 'k' dd 00000000 d9 01 91 c2",
    };

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct hex bytes = hex(values[i]);
        struct cursor cursor = {bytes.bytes, bytes.bytes + bytes.size + 1};

        bytes.bytes[bytes.size] = 0x2a;
        cursor_skip(&cursor);
        ck_assert_msg(cursor.at == bytes.bytes + bytes.size, "%s", values[i]);
        cursor_skip(&cursor);
        cursor_skip(&cursor); /* at the end: stays */
        ck_assert_ptr_eq(cursor.at, cursor.end);
    }
}
END_TEST

START_TEST(reads_what_msgpack_c_packs)
{
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    struct cursor cursor;

    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    for (unsigned bit = 0; bit < 64; bit++) {
        msgpack_pack_uint64(&packer, UINT64_C(1) << bit);
        msgpack_pack_uint64(&packer, (UINT64_C(1) << bit) - 1);
        msgpack_pack_int64(&packer, -(int64_t)(UINT64_C(1) << bit % 63));
    }
    cursor =
        (struct cursor){(const uint8_t *)buffer.data, (const uint8_t *)buffer.data + buffer.size};
    for (unsigned bit = 0; bit < 64; bit++) {
        struct value value = cursor_next(&cursor);

        ck_assert_int_eq(value.type, VALUE_UINT);
        ck_assert_uint_eq(value.number, UINT64_C(1) << bit);
        value = cursor_next(&cursor);
        ck_assert_int_eq(value.type, VALUE_UINT);
        ck_assert_uint_eq(value.number, (UINT64_C(1) << bit) - 1);
        value = cursor_next(&cursor);
        ck_assert_int_eq(value.type, VALUE_NEGATIVE);
        ck_assert_int_eq(value.negative, -(int64_t)(UINT64_C(1) << bit % 63));
    }
    ck_assert_int_eq(cursor_next(&cursor).type, VALUE_NONE);
    msgpack_sbuffer_destroy(&buffer);
}
END_TEST

START_TEST(types_have_distinct_names)
{
    for (unsigned a = VALUE_NIL; a <= VALUE_NONE; a++)
        for (unsigned b = a + 1; b <= VALUE_NONE; b++)
            ck_assert_str_ne(value_type_name((enum value_type)a),
                             value_type_name((enum value_type)b));
    ck_assert_str_eq(value_type_name(VALUE_UINT), "an unsigned integer");
    ck_assert_str_eq(value_type_name(VALUE_FLOAT), "a float");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("proto/cursor");
    TCase *tcase = tcase_create("cursor");

    tcase_add_test(tcase, integers_of_every_width);
    tcase_add_test(tcase, the_sign_decides_not_the_form);
    tcase_add_test(tcase, simple_values);
    tcase_add_test(tcase, containers_say_their_count);
    tcase_add_loop_test(tcase, strings_point_into_the_frame, 0,
                        (int)(sizeof raws / sizeof raws[0]));
    tcase_add_test(tcase, skip_moves_over_one_whole_value);
    tcase_add_test(tcase, reads_what_msgpack_c_packs);
    tcase_add_test(tcase, types_have_distinct_names);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
