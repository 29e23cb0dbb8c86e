/* client/cli_map: what is in which cell, and how it is shown. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli_map.h"
#include "tests/support_main.h"

static struct map map;
static const struct cli_live still = {.left = 1};

static void teardown(void)
{
    map_release(&map);
}

START_TEST(cells)
{
    ck_assert(map_init(&map, "main", 1000, 10, 10));
    ck_assert_uint_eq(map.cell, 16);
    ck_assert_uint_eq(map.count, 63);
    ck_assert_uint_eq(map_cell_size(&map, 62), 8);
    for (size_t i = 0; i < map.count; i++)
        ck_assert_uint_eq(map_level(&map, i), 8);
    ck_assert(map_fragmentation(&map) == 0);
    map_add_hole(&map, (struct mregion_block){15, 34}); /* one byte, two cells, one byte */
    ck_assert_uint_eq(map.used[0], 15);
    ck_assert_uint_eq(map_level(&map, 0), 7);
    ck_assert_uint_eq(map_level(&map, 1), 0);
    ck_assert_uint_eq(map_level(&map, 2), 0);
    ck_assert_uint_eq(map.used[3], 15);
    map_add_hole(&map, (struct mregion_block){65, 15});
    ck_assert_uint_eq(map_level(&map, 4), 1);
    map_add_hole(&map, (struct mregion_block){996, 40}); /* it has grown meanwhile */
    ck_assert_uint_eq(map.used[62], 4);
    map_add_hole(&map, (struct mregion_block){1000, 40});
    ck_assert_uint_eq(map.holes, 3);
    ck_assert_uint_eq(map.free, 34 + 15 + 4);
    ck_assert_uint_eq(map.largest.address, 15);
    ck_assert(map_fragmentation(&map) > 1 - 34.0 / 53 - 1e-9);
    ck_assert(map_fragmentation(&map) < 1 - 34.0 / 53 + 1e-9);
    ck_assert_uint_eq(map.holes_by_size[5], 1);
    ck_assert_uint_eq(map.holes_by_size[3], 1);
    ck_assert_uint_eq(map.free_by_size[2], 4);
}
END_TEST

/* No hole is too small to be seen, and nothing that is in use either. */
START_TEST(extremes)
{
    ck_assert(map_init(&map, "main", (uint64_t)1 << 62, 64, 16));
    ck_assert_uint_eq(map.count, 1024);
    map_add_hole(&map, (struct mregion_block){5, 1});
    ck_assert_uint_eq(map_level(&map, 0), 7);
    map_add_hole(&map, (struct mregion_block){map.cell, map.cell - 1});
    ck_assert_uint_eq(map_level(&map, 1), 1);
    map_release(&map);
    ck_assert(map_init(&map, "main", (uint64_t)1 << 62, 1, 1));
    map_add_hole(&map, (struct mregion_block){0, (uint64_t)1 << 62});
    ck_assert_uint_eq(map.holes_by_size[62], 1);
    map_release(&map);
    ck_assert(map_init(&map, "main", 0, 64, 16));
    ck_assert_uint_eq(map.count, 0);
    /* No server has so much, but one may say so. */
    map_release(&map);
    ck_assert(map_init(&map, "main", UINT64_MAX, 64, 16));
    ck_assert_uint_eq(map.count, 1024);
    map_add_hole(&map, (struct mregion_block){1000, UINT64_MAX - 1000});
    ck_assert_uint_eq(map.free, UINT64_MAX - 1000);
    ck_assert_uint_eq(map_level(&map, 0), 1);
    ck_assert_uint_eq(map_level(&map, 1023), 0);
    map_release(&map);
    ck_assert(map_init(&map, "main", UINT64_MAX, 1, 1));
    ck_assert_uint_eq(map.count, 2);
}
END_TEST

START_TEST(pauses)
{
    ck_assert(map_init(&map, "main", 1000, 10, 10));
    ck_assert_uint_eq(map_pause_ms(&map, 1000), 1000);
    map.holes = 100000;
    ck_assert_uint_eq(map_pause_ms(&map, 1000), 1000);
    map.holes = 1000000;
    ck_assert_uint_eq(map_pause_ms(&map, 1000), 10000);
}
END_TEST

static char *printed(bool has_color, bool has_utf8)
{
    struct cli_terminal terminal = {
        .has_color = has_color, .has_utf8 = has_utf8, .columns = 40, .rows = 24};
    char *text = NULL;
    size_t size;
    FILE *file = open_memstream(&text, &size);

    map_print(file, &map, &terminal, &still);
    map_print_holes(file, &map, &terminal, &still);
    (void)fclose(file);
    return text;
}

START_TEST(pictures)
{
    char *text;

    ck_assert(map_init(&map, "main", 60, 8, 1));
    map_add_hole(&map, (struct mregion_block){8, 9});
    map_add_hole(&map, (struct mregion_block){24, 4});
    text = printed(false, false);
    ck_assert_str_eq(text, "main: 60 bytes, 78.3% in use\n"
                           "13 bytes free in 2 holes\n"
                           "  0 bytes #.74####\n"
                           "free .1234567# in use, 8 bytes a cell\n"
                           "largest hole 9 bytes\n"
                           "  at 8+9\n"
                           "external fragmentation 0.308\n"
                           "\n"
                           "HOLES FROM COUNT    FREE \n"
                           "   4 bytes     1 4 bytes ########################\n"
                           "   8 bytes     1 9 bytes ########################\n");
    free(text);
    text = printed(false, true);
    ck_assert_ptr_nonnull(strstr(text, "\n  0 bytes █·▇▄████\nfree ·▁▂▃▄▅▆▇█ in use"));
    ck_assert_ptr_null(strchr(text, '\033'));
    free(text);
    text = printed(true, false);
    ck_assert_ptr_nonnull(
        strstr(text, "\033[92m#\033[90m.\033[32m7\033[36m4\033[92m####\033[0m\n"));
    free(text);
}
END_TEST

START_TEST(intervals)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {{"1", 1000}, {"0.5", 500}, {"250ms", 250}, {"2s", 2000}, {"86400", 86400000}};
    static const char *const bad[] = {"",      "0",  "0.0",   "-1",  "1x",  "1.5s", ".",
                                      "1.2.3", "2d", "86401", "25h", "1e3", " 1"};
    uint64_t ms = 77;

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        ck_assert_msg(cli_live_parse(good[i].text, &ms), "%s", good[i].text);
        ck_assert_uint_eq(ms, good[i].ms);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(!cli_live_parse(bad[i], &ms), "%s", bad[i]);
}
END_TEST

static const char *folded(const char *text, int columns)
{
    static char copy[512];
    FILE *file = fmemopen(copy, sizeof copy, "w");

    cli_terminal_fold(file, text, columns);
    (void)fclose(file);
    return copy;
}

START_TEST(long_lines)
{
    ck_assert_str_eq(folded("a\n\nbc\n", 40), "a\n\nbc\n");
    ck_assert_str_eq(folded("one two", 40), "one two\n");
    ck_assert_str_eq(folded("one two three four\nx\n", 16), "one two three\n    four\nx\n");
    ck_assert_str_eq(folded("  one       two three", 15), "  one       two\n      three\n");
    ck_assert_str_eq(folded("1234567890abcdefgh ij", 12), "1234567890abcdefgh\n    ij\n");
    ck_assert_str_eq(folded("  1234567890abcdef ij   ", 10), "1234567890abcdef\n      ij\n");
    ck_assert_str_eq(folded("          two three four", 16), "    two three\n        four\n");
    ck_assert_str_eq(folded("  -o       a b c d e f g h", 12),
                     "  -o       a\n      b c d\n      e f g\n      h\n");
    ck_assert_str_eq(folded("    \nx", 3), "   \nx\n");
    ck_assert_str_eq(folded("    ab 123456789 c", 12), "   ab\n   123456789\n       c\n");
    ck_assert_str_eq(folded("12345678", 8), "12345678\n");
    ck_assert_str_eq(folded("1234 678 ", 8), "1234 678\n");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client/cli_map");
    TCase *tcase = tcase_create("map");

    tcase_add_checked_fixture(tcase, NULL, teardown);
    tcase_add_test(tcase, cells);
    tcase_add_test(tcase, extremes);
    tcase_add_test(tcase, pauses);
    tcase_add_test(tcase, pictures);
    tcase_add_test(tcase, intervals);
    tcase_add_test(tcase, long_lines);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
