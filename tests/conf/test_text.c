/* conf/text: UTF-8, positions, what YAML takes a word for, and quoting. */
#include <string.h>

#include "conf/text.h"
#include "tests/conf/support_run.h"

#define BYTES(literal) literal, sizeof(literal) - 1

START_TEST(decodes_utf8)
{
    uint32_t character = 7;

    ck_assert_uint_eq(text_decode(BYTES("a"), &character), 1);
    ck_assert_uint_eq(character, 'a');
    ck_assert_uint_eq(text_decode(BYTES("\xc3\xa9"), &character), 2);
    ck_assert_uint_eq(character, 0xe9);
    ck_assert_uint_eq(text_decode(BYTES("\xe2\x82\xac!"), &character), 3);
    ck_assert_uint_eq(character, 0x20ac);
    ck_assert_uint_eq(text_decode(BYTES("\xf4\x8f\xbf\xbf"), &character), 4);
    ck_assert_uint_eq(character, 0x10ffff);
}
END_TEST

START_TEST(refuses_what_is_not_utf8)
{
    static const struct {
        const char *text;
        size_t length;
    } cases[] = {
        {BYTES("\x80")}, /* continuation first */
        {BYTES("\xff")}, /* no such byte */
        {BYTES("\xf8\x88\x80\x80\x80")},
        {BYTES("\xc3")}, /* cut */
        {BYTES("\xe2\x82")},
        {BYTES("\xf0\x9f\x98")},
        {BYTES("\xc3(")},    /* no continuation */
        {BYTES("\xc0\xaf")}, /* overlong */
        {BYTES("\xe0\x80\xaf")},
        {BYTES("\xf0\x80\x80\xaf")},
        {BYTES("\xed\xa0\x80")},     /* surrogate */
        {BYTES("\xf4\x90\x80\x80")}, /* past the last character */
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t character = 7;

        ck_assert_uint_eq(text_decode(cases[i].text, cases[i].length, &character), 0);
        ck_assert_uint_eq(character, 7);
    }
}
END_TEST

static void assert_bad(const char *text, size_t size, size_t line, size_t column,
                       const char *sentence)
{
    struct position at = {0, 0};
    char message[TEXT_MESSAGE_SIZE];

    ck_assert(!text_check(text, size, &at, message));
    ck_assert_uint_eq(at.line, line);
    ck_assert_uint_eq(at.column, column);
    ck_assert_str_eq(message, sentence);
}

START_TEST(positions)
{
    static const char bad_byte[] = "the byte 0xff is not valid UTF-8; save the file as UTF-8";

    assert_bad(BYTES("\xff"), 1, 1, bad_byte);
    assert_bad(BYTES("ab\n\xc3\xa9\xff"), 2, 2, bad_byte);
    assert_bad(BYTES("a\r\nb\rc\xc2\x85"
                     "d\xe2\x80\xa8\xff"),
               5, 1, bad_byte);
    assert_bad(BYTES("\xef\xbb\xbf\xff"), 1, 1, bad_byte);
    assert_bad(BYTES("\tx\0"), 1, 3, "a NUL byte is not allowed; is this a text file?");
    assert_bad(BYTES("x\x1b"), 1, 2, "the control character U+001B is not allowed");
    assert_bad(BYTES("x\xc2\x80"), 1, 2, "the control character U+0080 is not allowed");
    assert_bad(BYTES("x\xef\xbb\xbf"), 1, 2, "the control character U+FEFF is not allowed");
}
END_TEST

START_TEST(good_text)
{
    struct position at;
    char message[TEXT_MESSAGE_SIZE];

    ck_assert(text_check("", 0, &at, message));
    ck_assert(text_check(BYTES("\xef\xbb\xbf# \xc3\xa9\xf0\x9f\x98\x80\t\r\n"), &at, message));
}
END_TEST

START_TEST(types)
{
    static const struct {
        enum text_type type;
        const char *words[20];
    } cases[] = {
        {TEXT_NULL, {"", "~", "null", "Null", "NULL"}},
        {TEXT_BOOLEAN, {"true", "True", "TRUE", "false", "False", "FALSE"}},
        {TEXT_NUMBER,
         {"0", "12", "-1", "+1", "0660", "0o17", "0xAf", "1.5", "1.", ".5", "-.5e3", "1e5", "1E-05",
          ".inf", "-.Inf", ".nan", ".NaN"}},
        {TEXT_WORD,
         {"nul", "yes", "no", "on", "1k", "1.2.3", "0x", "0xg", "0o8", ".", "-", "e5", "1e", "1e+",
          "1-2", "/a", "..", "+.nan", "64MiB"}},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t j = 0; j < 20 && cases[i].words[j] != NULL; j++)
            ck_assert_msg(text_type_of(cases[i].words[j], strlen(cases[i].words[j])) ==
                              cases[i].type,
                          "\"%s\"", cases[i].words[j]);
}
END_TEST

START_TEST(quotes)
{
    char quoted[TEXT_QUOTED_SIZE];

    text_quote(BYTES("plain"), TEXT_SHOWN, quoted, sizeof quoted);
    ck_assert_str_eq(quoted, "\"plain\"");
    text_quote(BYTES("a\"b\\c\nd\te\r\0f\x7f"), TEXT_SHOWN, quoted, sizeof quoted);
    ck_assert_str_eq(quoted, "\"a\\\"b\\\\c\\nd\\te\\x0D\\x00f\\x7F\"");
    text_quote(BYTES("\xc3\xa9\xe2\x80\xa8\xff\xef\xbb\xbf"), TEXT_SHOWN, quoted, sizeof quoted);
    ck_assert_str_eq(quoted, "\"\xc3\xa9\\u2028\\xFF\\uFEFF\"");
    text_quote(BYTES("abcdef"), 3, quoted, sizeof quoted);
    ck_assert_str_eq(quoted, "\"abc...\"");
    text_quote(BYTES("abc"), 3, quoted, sizeof quoted);
    ck_assert_str_eq(quoted, "\"abc\"");
    text_quote("", 0, TEXT_SHOWN, quoted, sizeof quoted);
    ck_assert_str_eq(quoted, "\"\"");
}
END_TEST

START_TEST(quotes_within_their_room)
{
    char all[TEXT_SHOWN];
    char quoted[TEXT_QUOTED_SIZE];
    char small[16];

    memset(all, '\x01', sizeof all);
    text_quote(all, sizeof all, TEXT_SHOWN, quoted, sizeof quoted);
    ck_assert_uint_eq(strlen(quoted), TEXT_SHOWN * 4 + 2);
    for (size_t size = 6; size <= sizeof small; size++) {
        memset(small, '#', sizeof small);
        text_quote(BYTES("\x01\x02\x03\x04\x05"), TEXT_SHOWN, small, size);
        ck_assert_uint_lt(strlen(small), size);
        ck_assert_str_eq(small + strlen(small) - 4, "...\"");
    }
}
END_TEST

RUN_SUITE("conf/text", decodes_utf8, refuses_what_is_not_utf8, positions, good_text, types, quotes,
          quotes_within_their_room)
