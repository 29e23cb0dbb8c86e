/* client/cli_json, client/cli_base64: JSON to MessagePack and back without loss. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli_base64.h"
#include "client/cli_json.h"
#include "tests/support_main.h"

/* The MessagePack of a JSON text in hexadecimal; give it to free. */
static char *packed(const char *text)
{
    char problem[CLI_JSON_PROBLEM_SIZE];
    msgpack_sbuffer buffer;
    char *hex;

    msgpack_sbuffer_init(&buffer);
    ck_assert_msg(cli_json_pack(text, &buffer, problem), "%s: %s", text, problem);
    hex = calloc(buffer.size + 1, 2);
    for (size_t i = 0; i < buffer.size; i++)
        (void)sprintf(hex + 2 * i, "%02x", (unsigned char)buffer.data[i]);
    msgpack_sbuffer_destroy(&buffer);
    return hex;
}

static void assert_packed(const char *text, const char *wanted)
{
    char *hex = packed(text);

    ck_assert_str_eq(hex, wanted);
    free(hex);
}

/* The JSON of MessagePack; give it to free. */
static char *written(const void *bytes, size_t size)
{
    msgpack_unpacked unpacked;
    char *text = NULL;
    size_t length;
    FILE *file = open_memstream(&text, &length);

    msgpack_unpacked_init(&unpacked);
    ck_assert_int_eq(msgpack_unpack_next(&unpacked, bytes, size, NULL), MSGPACK_UNPACK_SUCCESS);
    cli_json_write(file, &unpacked.data);
    ck_assert_int_eq(fclose(file), 0);
    msgpack_unpacked_destroy(&unpacked);
    return text;
}

#define ASSERT_WRITTEN(bytes, wanted)                                                              \
    do {                                                                                           \
        char *text_ = written(bytes, sizeof bytes - 1);                                            \
        ck_assert_str_eq(text_, wanted);                                                           \
        free(text_);                                                                               \
    } while (0)

START_TEST(scalars_are_packed)
{
    assert_packed("null", "c0");
    assert_packed(" true ", "c3");
    assert_packed("false", "c2");
    assert_packed("0", "00");
    assert_packed("-1", "ff");
    assert_packed("256", "cd0100");
    assert_packed("\"abc\"", "a3616263");
    assert_packed("\"\\u0000\\u00e9\"", "a300c3a9");
    assert_packed("[]", "90");
    assert_packed("{}", "80");
}
END_TEST

START_TEST(integers_are_exact)
{
    assert_packed("9007199254740993", "cf0020000000000001");
    assert_packed("9223372036854775807", "cf7fffffffffffffff");
    assert_packed("9223372036854775808", "cf8000000000000000");
    assert_packed("18446744073709551615", "cfffffffffffffffff");
    assert_packed("-9223372036854775808", "d38000000000000000");
    assert_packed("[\"18446744073709551615\", 18446744073709551615]",
                  "92b43138343436373434303733373039353531363135cfffffffffffffffff");
    assert_packed("{\"a\\\"18446744073709551615\":18446744073709551615,\"b\":1}",
                  "82b661223138343436373434303733373039353531363135cfffffffffffffffffa16201");
    assert_packed("{\"uint64\": \"18446744073709551615\"}", "cfffffffffffffffff");
}
END_TEST

START_TEST(floats_stay_floats)
{
    assert_packed("1.0", "cb3ff0000000000000");
    assert_packed("1e3", "cb408f400000000000");
    assert_packed("-0.5", "cbbfe0000000000000");
    assert_packed("18446744073709551616.0", "cb43f0000000000000");
    assert_packed("1e0", "cb3ff0000000000000");
}
END_TEST

START_TEST(base64_becomes_bytes)
{
    assert_packed("{\"base64\": \"\"}", "c400");
    assert_packed("[\"main\", {\"base64\": \"AAECAw==\"}]", "92a46d61696ec40400010203");
    assert_packed("{\"base64\": \"/+8=\", \"x\": 1}", "82a6626173653634a42f2b383da17801");
    assert_packed("{\"base64\": 1}", "81a662617365363401");
}
END_TEST

START_TEST(maps_and_arrays)
{
    assert_packed("[\"main\", {\"from\": 0, \"limit\": 10}]",
                  "92a46d61696e82a466726f6d00a56c696d69740a");
    assert_packed("[[1,[2,[3]]],{}]", "92920192029103"
                                      "80");
}
END_TEST

START_TEST(what_is_no_json_is_refused)
{
    static const char *const texts[] = {
        "",
        " ",
        "[",
        "[1",
        "{\"a\":}",
        "nul",
        "01",
        "[1,]",
        "'a'",
        "{\"a\":1,\"a\":2}",
        "\"\xff\"",
        "18446744073709551616",
        "-9223372036854775809",
        "[99999999999999999999999999]",
        "{\"base64\": \"A\"}",
        "{\"base64\": \"AB=C\"}",
        "{\"base64\": \"A B=\"}",
        "{\"base64\": \"AB==\"}",
        "{\"uint64\": \"x\"}",
        "1e999",
        "-",
        "[1 2]",
        "\"\\u00\"",
    };
    char problem[CLI_JSON_PROBLEM_SIZE];
    msgpack_sbuffer buffer;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        msgpack_sbuffer_init(&buffer);
        problem[0] = '\0';
        ck_assert_msg(!cli_json_pack(texts[i], &buffer, problem), "%s", texts[i]);
        ck_assert_msg(problem[0] != '\0', "%s", texts[i]);
        msgpack_sbuffer_destroy(&buffer);
    }
}
END_TEST

START_TEST(results_are_written)
{
    ASSERT_WRITTEN("\xc0", "null");
    ASSERT_WRITTEN("\xc3", "true");
    ASSERT_WRITTEN("\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615");
    ASSERT_WRITTEN("\xd3\x80\0\0\0\0\0\0\0", "-9223372036854775808");
    ASSERT_WRITTEN("\x92\x00\xa4ma\"n", "[0,\"ma\\\"n\"]");
    ASSERT_WRITTEN("\xa3\xc3\xa9\n", "\"\xc3\xa9\\n\"");
    ASSERT_WRITTEN("\xa2\xff\xfe", "{\"base64\":\"//4=\"}");
    ASSERT_WRITTEN("\xc4\x04\x00\x01\x02\x03", "{\"base64\":\"AAECAw==\"}");
    ASSERT_WRITTEN("\xc4\x00", "{\"base64\":\"\"}");
    ASSERT_WRITTEN("\x82\xa1"
                   "a\x01\xa1"
                   "b\x90",
                   "{\"a\":1,\"b\":[]}");
    ASSERT_WRITTEN("\x82\x07\x01\xa0\x02", "{\"7\":1,\"\":2}");
    ASSERT_WRITTEN("\xa0", "\"\"");
    ASSERT_WRITTEN("\x81\xa1\xff\x01", "{\"{\\\"base64\\\":\\\"/w==\\\"}\":1}");
    ASSERT_WRITTEN("\xd4\x05\x41", "{\"ext\":5,\"base64\":\"QQ==\"}");
}
END_TEST

/* What a terminal obeys is escaped, also where JSON does not ask for it. */
START_TEST(no_string_steers_the_terminal)
{
    ASSERT_WRITTEN("\xa3\x1b[J", "\"\\u001B[J\"");
    ASSERT_WRITTEN("\xa9\x7f\xc2\x80\xc2\x9b\xc2\xa0\xc3\x9b",
                   "\"\\u007F\\u0080\\u009B\xc2\xa0\xc3\x9b\"");
    ASSERT_WRITTEN("\x81\xa2\xc2\x9b\x01", "{\"\\u009B\":1}");
}
END_TEST

START_TEST(floats_are_written_short_and_exact)
{
    ASSERT_WRITTEN("\xcb\x3f\xf0\0\0\0\0\0\0", "1.0");
    ASSERT_WRITTEN("\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a", "0.1");
    ASSERT_WRITTEN("\xcb\x3f\xd5\x55\x55\x55\x55\x55\x55", "0.3333333333333333");
    ASSERT_WRITTEN("\xcb\x7e\x37\xe4\x3c\x88\x00\x75\x9c", "1e+300");
    ASSERT_WRITTEN("\xcb\x80\0\0\0\0\0\0\0", "-0.0");
    ASSERT_WRITTEN("\xcb\x7f\xf0\0\0\0\0\0\0", "null");
    ASSERT_WRITTEN("\xcb\x7f\xf8\0\0\0\0\0\0", "null");
}
END_TEST

/* Every length around the groups of three, and every byte. */
START_TEST(base64_goes_both_ways)
{
    uint8_t bytes[256], back[258];
    char *text;
    size_t length, size;
    FILE *file;

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + 3);
    for (size_t count = 0; count <= sizeof bytes; count++) {
        file = open_memstream(&text, &length);
        cli_base64_write(file, bytes, count);
        ck_assert_int_eq(fclose(file), 0);
        ck_assert_uint_eq(length, (count + 2) / 3 * 4);
        ck_assert(cli_base64_decode(text, length, back, &size));
        ck_assert_uint_eq(size, count);
        ck_assert_int_eq(memcmp(back, bytes, count), 0);
        free(text);
    }
    ck_assert(!cli_base64_decode("====", 4, back, &size));
    ck_assert(!cli_base64_decode("A===", 4, back, &size));
    ck_assert(!cli_base64_decode("AA==AAAA", 8, back, &size));
    ck_assert(!cli_base64_decode("AAB=", 4, back, &size)); /* bits that would be lost */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client/cli_json");
    TCase *tcase = tcase_create("json");

    tcase_add_test(tcase, scalars_are_packed);
    tcase_add_test(tcase, integers_are_exact);
    tcase_add_test(tcase, floats_stay_floats);
    tcase_add_test(tcase, base64_becomes_bytes);
    tcase_add_test(tcase, maps_and_arrays);
    tcase_add_test(tcase, what_is_no_json_is_refused);
    tcase_add_test(tcase, results_are_written);
    tcase_add_test(tcase, no_string_steers_the_terminal);
    tcase_add_test(tcase, floats_are_written_short_and_exact);
    tcase_add_test(tcase, base64_goes_both_ways);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
