#include "core/replay.h"

#include <check.h>
#include <string.h>

#include "core/sums.h"
#include "support_simdisk.h"
#include "tests/support_main.h"

/* The data file: full stops. All of it is in use. */
#define PAGES 6
#define SIZE ((uint64_t)PAGES * DATA_PAGE)

static const uint8_t uuid[16] = "sixteen bytes ok";
static struct freespace space;
static struct simdisk *disk;
static struct io *io;
static struct io_file *data;
static struct overlay overlay;
static struct replay replay;
static struct record record;
static struct err err;

static void set_up(void)
{
    static char filler[SIZE];
    memset(filler, '.', sizeof filler);
    struct iovec vector = {filler, sizeof filler};
    disk = simdisk_new(1);
    io = simdisk_io(disk);
    ck_assert_int_eq(io->ops->open(io, "data", IO_CREATE, &data), 0);
    ck_assert_int_eq(io->ops->write(io, data, &vector, 1, 0), 0);
    record_init(&record);
    freespace_init(&space, FIT_TIGHT);
    ck_assert_int_eq(freespace_mark_used(&space, (struct extent){0, SIZE}), 0);
}

static void tear_down(void)
{
    record_release(&record);
    overlay_release(&overlay);
    freespace_release(&space);
    io->ops->close(io, data);
    simdisk_free(disk);
}

static void begin(bool read_only)
{
    replay_init(&replay, io, "r", read_only ? NULL : data, &space, &overlay);
}

static void put(uint64_t address, const char *text)
{
    size_t size = strlen(text);
    ck_assert_int_eq(record_reserve(&record, RECORD_EXTENT_EFFECT + size), 0);
    size_t offset = record_add_put(&record, (struct extent){address, size});
    memcpy(record.bytes + offset, text, size);
}

static void release_bytes(uint64_t address, uint64_t size)
{
    ck_assert_int_eq(record_reserve(&record, RECORD_EXTENT_EFFECT), 0);
    record_add_free(&record, (struct extent){address, size});
}

/* An effect with sums, all of which are `sum`. */
static void tell(enum effect_kind kind, uint64_t first, uint64_t count, uint32_t sum)
{
    size_t size = RECORD_ZERO_EFFECT + (size_t)count * RECORD_SUM;
    ck_assert_int_eq(record_reserve(&record, size), 0);
    if (kind == EFFECT_ZERO) {
        record_add_zero(&record, (struct page_run){first, count});
        return;
    }
    size_t offset = record_add_sums(&record, kind, (struct page_run){first, count});
    for (uint64_t i = 0; i < count; i++)
        put_u32(record.bytes + offset + i * RECORD_SUM, sum);
}

/* Hands over the record that was made; the next one is an older one. */
static void replay_it(void)
{
    struct record_header header;
    record_seal(&record, record_seed(uuid), 0, 0);
    ck_assert(record_peek(record.bytes, 0, record_seed(uuid), &header));
    ck_assert_int_eq(replay_record(&replay, record.bytes, &header, &err), 0);
    record_reset(&record);
}

/* A zero in the file is an underscore in the text. */
static void expect_at(uint64_t address, const char *text)
{
    char buffer[64];
    size_t size = strlen(text);
    ck_assert_int_eq(io->ops->read(io, data, buffer, size, address), (int)size);
    overlay_complete(&overlay);
    overlay_read(&overlay, address, (uint8_t *)buffer, size);
    for (size_t i = 0; i < size; i++)
        buffer[i] = buffer[i] == 0 ? '_' : buffer[i];
    buffer[size] = '\0';
    ck_assert_str_eq(buffer, text);
}

static void expect(const char *text)
{
    expect_at(0, text);
}

static void expect_sums(const uint32_t expected[PAGES])
{
    uint32_t sums[PAGES];
    overlay_complete(&overlay);
    for (size_t first = 0; first < PAGES; first++) {
        for (size_t i = 0; i < PAGES; i++)
            sums[i] = 99;
        overlay_sums(&overlay, first, PAGES - first, sums + first);
        ck_assert_mem_eq(sums + first, expected + first, (PAGES - first) * sizeof sums[0]);
    }
}

START_TEST(the_last_put_wins)
{
    begin(_i == 1);
    put(2, "xyz"); /* the newest record */
    put(3, "W");
    replay_it();
    put(0, "abcdefgh");
    replay_it();
    put(6, "123456");
    replay_it();
    replay_release(&replay);
    expect("abxWzfgh3456....");
}
END_TEST

/* The page has a sum, and that is of freed bytes, too. */
START_TEST(freed_bytes_are_put)
{
    begin(_i == 1);
    put(4, "new"); /* taken again, through the journal */
    replay_it();
    release_bytes(2, 6);
    replay_it();
    put(0, "abcdefghij");
    replay_it();
    replay_release(&replay);
    expect("abcdnewhij......");
}
END_TEST

START_TEST(order_counts_within_a_record)
{
    begin(_i == 1);
    put(0, "aaaaaaaa");
    release_bytes(2, 4);
    put(3, "bb");
    put(7, "cc");
    replay_it();
    replay_release(&replay);
    expect("aaabbaacc.......");
}
END_TEST

START_TEST(a_fresh_page_is_zeros_and_its_own_puts)
{
    begin(_i == 1);
    put(DATA_PAGE + 6, "newer");
    tell(EFFECT_CHANGED, 1, 1, 3);
    replay_it();
    put(DATA_PAGE + 2, "fresh");
    put(2 * DATA_PAGE - 1, "F|"); /* and over its end */
    tell(EFFECT_FRESH, 1, 1, 2);
    tell(EFFECT_CHANGED, 2, 1, 2);
    replay_it();
    put(DATA_PAGE - 3, "oldest, of another life");
    put(2 * DATA_PAGE, "xyz");
    tell(EFFECT_CHANGED, 0, 3, 1);
    replay_it();
    replay_release(&replay);
    expect_at(DATA_PAGE - 5, "..old__fresnewer____");
    expect_at(2 * DATA_PAGE - 4, "___F|yz...");
    expect_sums((const uint32_t[PAGES]){1, 3, 2, 99, 99, 99});
}
END_TEST

START_TEST(a_direct_page_has_its_bytes)
{
    begin(_i == 1);
    put(2 * DATA_PAGE + 1, "over");
    tell(EFFECT_CHANGED, 2, 1, 3);
    replay_it();
    tell(EFFECT_DIRECT, 1, 2, 2);
    replay_it();
    put(DATA_PAGE - 2, "ab: of another life");
    put(2 * DATA_PAGE, "not this");
    tell(EFFECT_CHANGED, 0, 3, 1);
    replay_it();
    replay_release(&replay);
    expect_at(DATA_PAGE - 3, ".ab..");
    expect_at(2 * DATA_PAGE - 1, "..over..");
    expect_sums((const uint32_t[PAGES]){1, 2, 3, 99, 99, 99});
}
END_TEST

START_TEST(zero_pages_are_zeros)
{
    begin(_i == 1);
    put(3 * DATA_PAGE, "new");
    tell(EFFECT_CHANGED, 3, 1, 3);
    replay_it();
    tell(EFFECT_ZERO, 2, 2, 0);
    replay_it();
    put(2 * DATA_PAGE - 1, "before");
    tell(EFFECT_CHANGED, 1, 2, 1);
    replay_it();
    replay_release(&replay);
    expect_at(2 * DATA_PAGE - 3, "..b___");
    expect_at(3 * DATA_PAGE - 1, "_new___");
    expect_at(4 * DATA_PAGE - 1, "_...");
    expect_sums((const uint32_t[PAGES]){99, 1, SUM_ZEROS, 3, 99, 99});
}
END_TEST

/* Their space may have been given back. */
START_TEST(pages_that_are_wholly_free_are_left_alone)
{
    ck_assert_int_eq(freespace_mark_free(&space, (struct extent){DATA_PAGE - 10, DATA_PAGE + 10}),
                     0);
    ck_assert_int_eq(freespace_mark_free(&space, (struct extent){SIZE - DATA_PAGE, DATA_PAGE}), 0);
    begin(_i == 1);
    put(DATA_PAGE - 4, "freebutdue");
    put(2 * DATA_PAGE - 3, "nothere");
    tell(EFFECT_CHANGED, 0, 3, 1);
    tell(EFFECT_ZERO, 4, 2, 0);
    replay_it();
    replay_release(&replay);
    expect_at(DATA_PAGE - 5, ".free......");
    expect_at(2 * DATA_PAGE - 4, "....here...");
    expect_at(4 * DATA_PAGE - 1, ".____");
    expect_at(5 * DATA_PAGE - 1, "_....");
}
END_TEST

START_TEST(which_pages_are_needed)
{
    static const struct {
        struct extent extent, part;
    } cases[] = {
        {{0, SIZE}, {0, DATA_PAGE}},
        {{DATA_PAGE, DATA_PAGE}, {0, 0}},
        {{DATA_PAGE + 5, 10}, {0, 0}},
        {{2 * DATA_PAGE - 1, 5}, {2 * DATA_PAGE, 4}},
        {{2 * DATA_PAGE + 7, SIZE}, {2 * DATA_PAGE + 7, DATA_PAGE - 7}},
        {{3 * DATA_PAGE, SIZE}, {0, 0}},
    };
    struct extent part;
    /* Up to the size, which is within a page: the rest of that is free, too. */
    space.size = SIZE - 100;
    ck_assert_int_eq(freespace_mark_free(&space, (struct extent){DATA_PAGE - 1, DATA_PAGE + 1}), 0);
    ck_assert_int_eq(freespace_mark_free(&space, (struct extent){2 * DATA_PAGE + 10, 10}), 0);
    ck_assert_int_eq(
        freespace_mark_free(&space, (struct extent){3 * DATA_PAGE, SIZE - 100 - 3 * DATA_PAGE}), 0);
    bool is_needed = replay_needed(&space, cases[_i].extent, &part);
    ck_assert_int_eq(is_needed, cases[_i].part.size > 0);
    if (is_needed) {
        ck_assert_uint_eq(part.address, cases[_i].part.address);
        ck_assert_uint_eq(part.size, cases[_i].part.size);
    }
}
END_TEST

START_TEST(an_overlay_reads_any_part)
{
    uint8_t buffer[8];
    uint64_t changes = simdisk_calls(disk, SIM_CHANGES);
    begin(true);
    for (int i = 9; i >= 0; i--) {
        char text[2] = {(char)('0' + i), 0};
        put(10 * (uint64_t)i, text);
        replay_it();
    }
    replay_release(&replay);
    overlay_complete(&overlay);
    for (uint64_t at = 0; at < 120; at++) {
        memset(buffer, '-', sizeof buffer);
        overlay_read(&overlay, at, buffer, sizeof buffer);
        for (uint64_t i = 0; i < sizeof buffer; i++) {
            bool is_there = (at + i) % 10 == 0 && at + i < 100;
            ck_assert_int_eq(buffer[i], is_there ? '0' + (int)((at + i) / 10) : '-');
        }
    }
    ck_assert_uint_eq(simdisk_calls(disk, SIM_CHANGES), changes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("replay");
    TCase *tests = tcase_create("replay");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, the_last_put_wins, 0, 2);
    tcase_add_loop_test(tests, freed_bytes_are_put, 0, 2);
    tcase_add_loop_test(tests, order_counts_within_a_record, 0, 2);
    tcase_add_loop_test(tests, a_fresh_page_is_zeros_and_its_own_puts, 0, 2);
    tcase_add_loop_test(tests, a_direct_page_has_its_bytes, 0, 2);
    tcase_add_loop_test(tests, zero_pages_are_zeros, 0, 2);
    tcase_add_loop_test(tests, pages_that_are_wholly_free_are_left_alone, 0, 2);
    tcase_add_loop_test(tests, which_pages_are_needed, 0, 6);
    tcase_add_test(tests, an_overlay_reads_any_part);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
