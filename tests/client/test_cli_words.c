/* client/cli_words: quoting, escapes, comments. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli_words.h"
#include "tests/support_main.h"

/* The words of the line, each in brackets. */
static const char *split(const char *line)
{
    static char all[512];
    struct cli_words words;

    ck_assert_msg(cli_words_split(line, &words) == CLI_WORDS_OK, "%s", line);
    all[0] = '\0';
    for (size_t i = 0; i < words.count; i++) {
        size_t length = strlen(all);

        ck_assert_uint_lt(length + strlen(words.items[i]) + 3, sizeof all);
        (void)snprintf(all + length, sizeof all - length, "[%s]", words.items[i]);
    }
    ck_assert_ptr_null(words.items[words.count]);
    cli_words_release(&words);
    return all;
}

START_TEST(words_are_separated_by_blanks)
{
    ck_assert_str_eq(split("add photo.jpg"), "[add][photo.jpg]");
    ck_assert_str_eq(split("  add\t a  b \r\n"), "[add][a][b]");
    ck_assert_str_eq(split(""), "");
    ck_assert_str_eq(split(" \t "), "");
    ck_assert_str_eq(split("a b c d e f g h"), "[a][b][c][d][e][f][g][h]");
}
END_TEST

START_TEST(quotes)
{
    ck_assert_str_eq(split("add 'my file'"), "[add][my file]");
    ck_assert_str_eq(split("add \"my file\""), "[add][my file]");
    ck_assert_str_eq(split("'' \"\" x"), "[][][x]");
    ck_assert_str_eq(split("a'b c'\"d e\"f"), "[ab cd ef]");
    ck_assert_str_eq(split("'a\\b' '\"' \"'\""), "[a\\b][\"][']");
    ck_assert_str_eq(split("call m '[\"main\", 1]'"), "[call][m][[\"main\", 1]]");
    ck_assert_str_eq(split("'$HOME' \"$HOME\" *.c"), "[$HOME][$HOME][*.c]");
}
END_TEST

START_TEST(escapes)
{
    ck_assert_str_eq(split("my\\ file"), "[my file]");
    ck_assert_str_eq(split("\\'a\\' \\\" \\\\ \\x"), "['a'][\"][\\][x]");
    ck_assert_str_eq(split("\"a\\\"b\\\\c\\d\""), "[a\"b\\c\\d]");
}
END_TEST

START_TEST(comments)
{
    ck_assert_str_eq(split("# nothing"), "");
    ck_assert_str_eq(split("add a # 'b"), "[add][a]");
    ck_assert_str_eq(split("add a#b '#' \\#c"), "[add][a#b][#][#c]");
    ck_assert_str_eq(split("-r #7"), "[-r]");
}
END_TEST

START_TEST(what_is_open_is_refused)
{
    struct cli_words words;

    ck_assert_int_eq(cli_words_split("add 'a", &words), CLI_WORDS_OPEN_QUOTE);
    ck_assert_int_eq(cli_words_split("add \"a", &words), CLI_WORDS_OPEN_QUOTE);
    ck_assert_int_eq(cli_words_split("add \"a\\\"", &words), CLI_WORDS_OPEN_QUOTE);
    ck_assert_int_eq(cli_words_split("add '", &words), CLI_WORDS_OPEN_QUOTE);
    ck_assert_int_eq(cli_words_split("add a\\", &words), CLI_WORDS_OPEN_ESCAPE);
}
END_TEST

/* Every line of a few characters: under the sanitizers this shows what the buffers are for. */
START_TEST(short_lines)
{
    static const char characters[] = "a '\"\\#";
    size_t kinds = sizeof characters - 1;
    size_t accepted = 0;

    for (size_t number = 0; number < kinds * kinds * kinds * kinds * kinds; number++) {
        char *line = calloc(6, 1);
        size_t rest = number;
        struct cli_words words;

        for (int i = 0; i < 5; i++, rest /= kinds)
            line[i] = characters[rest % kinds];
        if (cli_words_split(line, &words) == CLI_WORDS_OK) {
            accepted++;
            ck_assert_uint_le(words.count, 3);
            cli_words_release(&words);
        }
        free(line);
    }
    ck_assert_uint_gt(accepted, kinds * kinds);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client/cli_words");
    TCase *tcase = tcase_create("words");

    tcase_add_test(tcase, words_are_separated_by_blanks);
    tcase_add_test(tcase, quotes);
    tcase_add_test(tcase, escapes);
    tcase_add_test(tcase, comments);
    tcase_add_test(tcase, what_is_open_is_refused);
    tcase_add_test(tcase, short_lines);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
