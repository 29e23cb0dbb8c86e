/* daemon/map: cells and holes, however the blocks lie and however they come. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/map.h"
#include "daemon/tell.h"
#include "tests/support_main.h"

static struct map map;

static void assert_told(const char *expected)
{
    struct textbuf text = {0};
    struct tell_json json;
    tell_json_init(&json, &text);
    map_tell(&map, "r", &json.teller);
    textbuf_add(&text, "", 1);
    char *cost = strstr(text.bytes, "\"cost_us\":0,");
    ck_assert_ptr_nonnull(cost);
    ck_assert_str_eq(strchr(cost, ',') + 1, expected);
    textbuf_release(&text);
}

START_TEST(nothing)
{
    map_init(&map, 1, 0, 512);
    assert_told("\"cells\":[],\"holes\":[]}");
}
END_TEST

START_TEST(fewer_bytes_than_cells)
{
    const struct extent block = {1, 1};
    map_init(&map, 1, 3, 512);
    map_add(&map, &block, 1);
    assert_told("\"cells\":[1000,0,1000],\"holes\":[[1,1]]}");
}
END_TEST

START_TEST(cells_that_do_not_divide_the_size)
{
    const struct extent blocks[] = {{0, 5}, {25, 10}, {95, 6}};
    map_init(&map, 1, 101, 10); /* 11 bytes each, the last one 2 */
    map_add(&map, blocks, 3);
    ck_assert_uint_eq(map.cell_size, 11);
    ck_assert_uint_eq(map.bytes, 21);
    ck_assert_uint_eq(map.largest, 10);
    assert_told("\"cells\":[545,1000,272,818,1000,1000,1000,1000,636,0],"
                "\"holes\":[[4,2],[8,1]]}");
}
END_TEST

START_TEST(a_little_shows)
{
    const struct extent blocks[] = {{0, 9999}, {10001, 1}};
    map_init(&map, 1, 20000, 2);
    map_add(&map, blocks, 2);
    assert_told("\"cells\":[1,999],\"holes\":[[1,1],[8192,1]]}");
}
END_TEST

/* At the largest there is, with a block that covers many cells. */
START_TEST(the_largest_region)
{
    const struct extent block = {(uint64_t)1 << 61, (uint64_t)1 << 61};
    map_init(&map, 1, (uint64_t)1 << 62, 4);
    map_add(&map, &block, 1);
    assert_told("\"cells\":[1000,1000,0,0],\"holes\":[[2305843009213693952,1]]}");
}
END_TEST

/* The same whether it comes at once or in pieces, and the sum over the cells is what is free. */
START_TEST(random_blocks)
{
    static struct extent blocks[1000];
    static struct map whole;
    unsigned state = 1;
    for (unsigned round = 0; round < 200; round++) {
        uint64_t at = 0;
        size_t count = 0;
        while (count < 1000) {
            uint64_t gap = 1 + (unsigned)rand_r(&state) % (round + 1);
            uint64_t size = 1 + (unsigned)rand_r(&state) % (1U << round % 20);
            blocks[count++] = (struct extent){at + gap, size};
            at += gap + size;
        }
        unsigned cells = 1 + (unsigned)rand_r(&state) % MAP_CELLS_MAX;
        map_init(&whole, 1, at + 1, cells);
        map_add(&whole, blocks, count);
        map_init(&map, 1, at + 1, cells);
        for (size_t done = 0, part; done < count; done += part) {
            part = 1 + (size_t)rand_r(&state) % 100;
            part = part < count - done ? part : count - done;
            map_add(&map, blocks + done, part);
        }
        ck_assert_mem_eq(map.free, whole.free, sizeof map.free);
        ck_assert_mem_eq(map.holes, whole.holes, sizeof map.holes);
        ck_assert(map.position == whole.position && map.blocks == whole.blocks &&
                  map.bytes == whole.bytes && map.largest == whole.largest);
        uint64_t sum = 0;
        for (unsigned i = 0; i < map.cell_count; i++) {
            ck_assert_uint_le(map.free[i], map.cell_size);
            sum += map.free[i];
        }
        ck_assert_uint_eq(sum, map.bytes);
        ck_assert_uint_le(map.cell_count, cells);
        ck_assert_uint_eq(map.position, at);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("map");
    TCase *tests = tcase_create("map");
    tcase_add_test(tests, nothing);
    tcase_add_test(tests, fewer_bytes_than_cells);
    tcase_add_test(tests, cells_that_do_not_divide_the_size);
    tcase_add_test(tests, a_little_shows);
    tcase_add_test(tests, the_largest_region);
    tcase_add_test(tests, random_blocks);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
