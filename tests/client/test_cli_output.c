/* client/cli_output, client/cli_progress: what is printed, in each form. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli_output.h"
#include "client/cli_progress.h"
#include "tests/support_main.h"

static FILE *file;
static char *text;
static size_t length;

static void setup(void)
{
    file = open_memstream(&text, &length);
}

static void teardown(void)
{
    (void)fclose(file);
    free(text);
}

/* What has been printed since the last call. */
static const char *printed(void)
{
    static char copy[1024];

    ck_assert_int_eq(fflush(file), 0);
    ck_assert_uint_lt(length, sizeof copy);
    memcpy(copy, text, length);
    copy[length] = '\0';
    ck_assert_int_eq(fseek(file, 0, SEEK_SET), 0);
    return copy;
}

static const char *value(enum cli_form form, const char *bytes, size_t size)
{
    msgpack_unpacked unpacked;

    msgpack_unpacked_init(&unpacked);
    ck_assert_int_eq(msgpack_unpack_next(&unpacked, bytes, size, NULL), MSGPACK_UNPACK_SUCCESS);
    cli_output_value(file, form, &unpacked.data);
    msgpack_unpacked_destroy(&unpacked);
    return printed();
}

#define VALUE(form, bytes) value(form, bytes, sizeof bytes - 1)

START_TEST(references)
{
    struct mregion_block block = {UINT64_MAX, 4};

    cli_output_reference(file, CLI_TABLE, block);
    ck_assert_str_eq(printed(), "18446744073709551615+4\n");
    cli_output_reference(file, CLI_RAW, block);
    ck_assert_str_eq(printed(), "18446744073709551615+4\n");
    cli_output_reference(file, CLI_JSON, block);
    ck_assert_str_eq(printed(), "{\"reference\":\"18446744073709551615+4\","
                                "\"address\":18446744073709551615,\"size\":4}\n");
}
END_TEST

START_TEST(scalars)
{
    for (int form = CLI_TABLE; form <= CLI_RAW; form++) {
        ck_assert_str_eq(VALUE(form, "\xcd\x01\x00"), "256\n");
        ck_assert_str_eq(VALUE(form, "\xc3"), "true\n");
    }
    ck_assert_str_eq(VALUE(CLI_TABLE, "\xa4pong"), "pong\n");
    ck_assert_str_eq(VALUE(CLI_RAW, "\xa4pong"), "pong\n");
    ck_assert_str_eq(VALUE(CLI_JSON, "\xa4pong"), "\"pong\"\n");
    ck_assert_str_eq(VALUE(CLI_TABLE, "\xc0"), "");
    ck_assert_str_eq(VALUE(CLI_JSON, "\xc0"), "null\n");
}
END_TEST

START_TEST(nothing)
{
    cli_output_nothing(file, CLI_TABLE);
    cli_output_nothing(file, CLI_RAW);
    ck_assert_str_eq(printed(), "");
    cli_output_nothing(file, CLI_JSON);
    ck_assert_str_eq(printed(), "null\n");
}
END_TEST

START_TEST(arrays_are_lines)
{
    ck_assert_str_eq(VALUE(CLI_TABLE, "\x92\xa1"
                                      "a\xa4main"),
                     "a\nmain\n");
    ck_assert_str_eq(VALUE(CLI_RAW, "\x92\xa1"
                                    "a\xa4main"),
                     "a\nmain\n");
    ck_assert_str_eq(VALUE(CLI_JSON, "\x92\xa1"
                                     "a\xa4main"),
                     "[\"a\",\"main\"]\n");
    ck_assert_str_eq(VALUE(CLI_RAW, "\x90"), "");
    ck_assert_str_eq(VALUE(CLI_JSON, "\x90"), "[]\n");
}
END_TEST

#define MAP                                                                                        \
    "\x83\xa2id\x01\xa8"                                                                           \
    "capacity\xce\x00\x01\x80\x00\xa5pages\xcd\x08\x00"

START_TEST(maps_are_aligned)
{
    ck_assert_str_eq(VALUE(CLI_TABLE, MAP), "id        1\n"
                                            "capacity  98304 (96.0 KiB)\n"
                                            "pages     2048\n");
    ck_assert_str_eq(VALUE(CLI_RAW, MAP), "id\t1\ncapacity\t98304\npages\t2048\n");
    ck_assert_str_eq(VALUE(CLI_JSON, MAP), "{\"id\":1,\"capacity\":98304,\"pages\":2048}\n");
}
END_TEST

START_TEST(a_table_does_not_steer_the_terminal)
{
    ck_assert_str_eq(VALUE(CLI_TABLE, "\xa5\x1b[2J\x7f"), "?[2J?\n");
    ck_assert_str_eq(VALUE(CLI_RAW, "\xa5\x1b[2J\x7f"), "\x1b[2J\x7f\n");
    /* The controls behind ASCII: as UTF-8, as bytes, and in longer forms than need be. */
    ck_assert_str_eq(VALUE(CLI_TABLE, "\xa4\xc2\x9b"
                                      "2J"),
                     "?2J\n");
    ck_assert_str_eq(VALUE(CLI_TABLE, "\xa4\x9b"
                                      "2J\x85"),
                     "?2J?\n");
    ck_assert_str_eq(VALUE(CLI_TABLE, "\xa3\xe0\x82\x9b"), "\xe0??\n");
    ck_assert_str_eq(VALUE(CLI_TABLE, "\xa2\xe2\x80"), "\xe2?\n");
    ck_assert_str_eq(VALUE(CLI_RAW, "\xa4\xc2\x9b"
                                    "2J"),
                     "\xc2\x9b"
                     "2J\n");
    /* Characters that have such bytes in them. */
    ck_assert_str_eq(VALUE(CLI_TABLE, "\xab\xc3\x9f\xc2\xa0\xe2\x80\x9c\xf0\x9f\x98\x80"),
                     "\xc3\x9f\xc2\xa0\xe2\x80\x9c\xf0\x9f\x98\x80\n");
}
END_TEST

/* Two parts, as a long list comes. */
static const char *blocks(enum cli_form form, uint64_t highest)
{
    static const struct mregion_block list[] = {{0, 4}, {100, 20}, {4096, 65536}};
    struct cli_blocks state;

    cli_output_blocks_begin(file, &state, form, highest);
    cli_output_blocks(file, &state, list, 2);
    cli_output_blocks(file, &state, list + 2, 1);
    cli_output_blocks(file, &state, NULL, 0);
    cli_output_blocks_end(file, &state);
    return printed();
}

START_TEST(lists_of_blocks)
{
    struct cli_blocks state;

    ck_assert_str_eq(blocks(CLI_JSON, 0), "[[0,4],[100,20],[4096,65536]]\n");
    ck_assert_str_eq(blocks(CLI_RAW, 0), "0+4\n100+20\n4096+65536\n");
    ck_assert_str_eq(blocks(CLI_TABLE, 69632), "   ADDRESS        SIZE         END\n"
                                               "         0           4           4\n"
                                               "       100          20         120\n"
                                               "      4096       65536       69632\n");
    ck_assert_ptr_nonnull(
        strstr(blocks(CLI_TABLE, UINT64_MAX), "                   0                     4  "));
    cli_output_blocks_begin(file, &state, CLI_JSON, 0);
    cli_output_blocks_end(file, &state);
    ck_assert_str_eq(printed(), "[]\n");
}
END_TEST

START_TEST(sizes_for_people)
{
    char size[CLI_OUTPUT_SIZE_SIZE];

    cli_output_format_size(0, size);
    ck_assert_str_eq(size, "0 bytes");
    cli_output_format_size(1, size);
    ck_assert_str_eq(size, "1 byte");
    cli_output_format_size(1023, size);
    ck_assert_str_eq(size, "1023 bytes");
    cli_output_format_size(1536, size);
    ck_assert_str_eq(size, "1.5 KiB");
    cli_output_format_size(64 << 20, size);
    ck_assert_str_eq(size, "64.0 MiB");
    cli_output_format_size(UINT64_MAX, size);
    ck_assert_str_eq(size, "16.0 EiB");
}
END_TEST

START_TEST(progress_fits_its_line)
{
    char line[CLI_PROGRESS_LINE_SIZE];
    uint64_t mib = 1 << 20;

    cli_progress_format("a/photo.jpg", 25 * mib, 100 * mib, 5000, 79, line);
    ck_assert_str_eq(line, "photo.jpg             25% [====>             ] "
                           "25.0 MiB of 100.0 MiB, 5.0 MiB/s");
    ck_assert_uint_le(strlen(line), 79);
    cli_progress_format("standard input", 5 * mib, 0, 5000, 79, line);
    ck_assert_str_eq(line, "standard input        5.0 MiB, 1.0 MiB/s");
    cli_progress_format("x", 100, 100, 0, 79, line);
    ck_assert_ptr_nonnull(strstr(line, "100%"));
    ck_assert_ptr_null(strchr(line, '>')); /* full */
    cli_progress_format("\xc2\x9b"
                        "2J\x9b"
                        "2J\xc3\xa9",
                        0, 1, 1, 79, line);
    ck_assert_msg(strncmp(line, "?2J?2J\xc3\xa9", 8) == 0, "%s", line);
    cli_progress_format("\x1b]0;\n", 0, 1, 1, 79, line);
    ck_assert_ptr_null(strpbrk(line, "\x1b\n"));
    for (int columns = 1; columns < 300; columns++) {
        cli_progress_format("a long name of a file that is longer than its column", UINT64_MAX - 1,
                            UINT64_MAX, 1, columns, line);
        ck_assert_int_le((int)strlen(line), columns);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client/cli_output");
    TCase *tcase = tcase_create("output");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, references);
    tcase_add_test(tcase, scalars);
    tcase_add_test(tcase, nothing);
    tcase_add_test(tcase, arrays_are_lines);
    tcase_add_test(tcase, maps_are_aligned);
    tcase_add_test(tcase, a_table_does_not_steer_the_terminal);
    tcase_add_test(tcase, lists_of_blocks);
    tcase_add_test(tcase, sizes_for_people);
    tcase_add_test(tcase, progress_fits_its_line);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
