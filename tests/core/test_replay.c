#include "core/replay.h"

#include <check.h>
#include <string.h>

#include "support_simdisk.h"
#include "tests/support_main.h"

static const uint8_t uuid[16] = "sixteen bytes ok";
static struct simdisk *disk;
static struct io *io;
static struct io_file *data;
static struct overlay overlay;
static struct replay replay;
static struct record record;
static struct err err;

static void set_up(void)
{
    static char filler[1000];
    memset(filler, '.', sizeof filler);
    struct iovec vector = {filler, sizeof filler};
    disk = simdisk_new(1);
    io = simdisk_io(disk);
    ck_assert_int_eq(io->ops->open(io, "data", IO_CREATE, &data), 0);
    ck_assert_int_eq(io->ops->write(io, data, &vector, 1, 0), 0);
    record_init(&record);
}

static void tear_down(void)
{
    record_release(&record);
    overlay_release(&overlay);
    io->ops->close(io, data);
    simdisk_free(disk);
}

static void begin(bool read_only)
{
    replay_init(&replay, io, "r", read_only ? NULL : data, &overlay);
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

/* Hands over the record that was made; the next one is an older one. */
static void replay_it(void)
{
    struct record_header header;
    record_seal(&record, record_seed(uuid), 0, 0);
    ck_assert(record_peek(record.bytes, 0, record_seed(uuid), &header));
    ck_assert_int_eq(replay_record(&replay, record.bytes, &header, &err), 0);
    record_reset(&record);
}

static void expect(const char *text)
{
    char buffer[64];
    size_t size = strlen(text);
    ck_assert_int_eq(io->ops->read(io, data, buffer, size, 0), (int)size);
    overlay_complete(&overlay);
    overlay_read(&overlay, 0, (uint8_t *)buffer, size);
    buffer[size] = '\0';
    ck_assert_str_eq(buffer, text);
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

/* What was freed since is not put: it may hold other bytes by now, which no record has. */
START_TEST(freed_bytes_are_left_alone)
{
    begin(_i == 1);
    put(4, "new"); /* taken again, through the journal */
    replay_it();
    release_bytes(2, 6);
    replay_it();
    put(0, "abcdefghij");
    replay_it();
    replay_release(&replay);
    expect("ab..new.ij......");
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
    expect("aa.bb.acc.......");
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
    tcase_add_loop_test(tests, freed_bytes_are_left_alone, 0, 2);
    tcase_add_loop_test(tests, order_counts_within_a_record, 0, 2);
    tcase_add_test(tests, an_overlay_reads_any_part);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
