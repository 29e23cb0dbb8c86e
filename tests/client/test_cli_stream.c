/* client/cli_stream: what export writes is read back; whatever is changed in it is noticed. */
#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client/cli_stream.h"
#include "core/bytes.h"
#include "core/crc32c.h"
#include "tests/support_main.h"

static const char text[] = "name main\nfit tight\nempty \nmax_size 0\n";

static uint8_t *stream; /* a whole one */
static size_t size;
static uint8_t *record;
static struct stream_reader *reader;
static struct stream_record read_record;

static void append(size_t length)
{
    memcpy(stream + size, record, length);
    size += length;
}

/* Two blocks in one record, one in the next. */
static void setup(void)
{
    static const struct mregion_block first[] = {{0, 3}, {10, 5}}, second[] = {{15, 4}};
    struct stream_head head = {
        .size = 30, .pages = 1, .in_use = 12, .text = text, .text_size = sizeof text - 1};
    struct stream_chain chain;

    stream = malloc(STREAM_RECORD_MAX);
    record = malloc(STREAM_RECORD_MAX);
    reader = malloc(sizeof *reader);
    stream_start(&chain, stream);
    size = STREAM_START_SIZE;
    append(stream_put_head(&chain, &head, record));
    memcpy(stream_bytes_of(record, 2), "abcdefgh", 8);
    append(stream_put_data(&chain, first, 2, record));
    memcpy(stream_bytes_of(record, 1), "wxyz", 4);
    append(stream_put_data(&chain, second, 1, record));
    chain.sum.has_changed = true;
    append(stream_put_end(&chain, record));
}

static void teardown(void)
{
    free(stream);
    free(record);
    free(reader);
}

/* Reads so many of its bytes to the end, or to the first problem; how many records came. */
static enum stream_status read_all(const uint8_t *bytes, size_t length, unsigned *ret_records)
{
    enum stream_status status = STREAM_OK;
    int fd = memfd_create("stream", MFD_CLOEXEC);

    ck_assert_int_eq(write(fd, bytes, length), (ssize_t)length);
    ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
    stream_reader_init(reader, fd);
    *ret_records = 0;
    read_record.kind = STREAM_HEAD;
    while (status == STREAM_OK && (*ret_records == 0 || read_record.kind != STREAM_END)) {
        status = stream_read(reader, &read_record);
        *ret_records += status == STREAM_OK;
    }
    (void)close(fd);
    return status;
}

START_TEST(it_comes_back)
{
    char value[8];
    int fds[2];

    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    ck_assert_int_eq(write(fds[1], stream, size), (ssize_t)size);
    (void)close(fds[1]);
    stream_reader_init(reader, fds[0]);
    ck_assert_int_eq(stream_read(reader, &read_record), STREAM_OK);
    ck_assert_int_eq(read_record.kind, STREAM_HEAD);
    ck_assert_uint_eq(read_record.head.size, 30);
    ck_assert_uint_eq(read_record.head.pages, 1);
    ck_assert_uint_eq(read_record.head.in_use, 12);
    ck_assert(stream_find(&read_record.head, "fit", value, sizeof value));
    ck_assert_str_eq(value, "tight");
    ck_assert(stream_find(&read_record.head, "max_size", value, sizeof value));
    ck_assert_str_eq(value, "0");
    ck_assert(stream_find(&read_record.head, "empty", value, sizeof value));
    ck_assert_str_eq(value, "");
    ck_assert(!stream_find(&read_record.head, "max", value, sizeof value));
    ck_assert(!stream_find(&read_record.head, "fit", value, 5)); /* no room for its end */
    ck_assert_int_eq(stream_read(reader, &read_record), STREAM_OK);
    ck_assert_int_eq(read_record.kind, STREAM_DATA);
    ck_assert_uint_eq(read_record.count, 2);
    ck_assert_uint_eq(read_record.blocks[1].address, 10);
    ck_assert_mem_eq(read_record.bytes, "abcdefgh", 8);
    ck_assert_int_eq(stream_read(reader, &read_record), STREAM_OK);
    ck_assert_uint_eq(read_record.count, 1);
    ck_assert_mem_eq(read_record.bytes, "wxyz", 4);
    ck_assert_int_eq(stream_read(reader, &read_record), STREAM_OK);
    ck_assert_int_eq(read_record.kind, STREAM_END);
    ck_assert(read_record.has_changed);
    (void)close(fds[0]);
}
END_TEST

START_TEST(every_changed_bit_is_noticed)
{
    unsigned records;

    for (size_t bit = 0; bit < size * 8; bit++) {
        stream[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert_msg(read_all(stream, size, &records) == STREAM_DAMAGED, "bit %zu", bit);
        ck_assert_uint_gt(strlen(reader->problem), 20);
        stream[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    ck_assert_int_eq(read_all(stream, size, &records), STREAM_OK);
    ck_assert_uint_eq(records, 4);
}
END_TEST

START_TEST(every_cut_is_noticed)
{
    unsigned records;

    for (size_t length = 0; length < size; length++)
        ck_assert_msg(read_all(stream, length, &records) == STREAM_DAMAGED, "%zu bytes", length);
    stream[size] = 0;
    ck_assert_int_eq(read_all(stream, size + 1, &records), STREAM_DAMAGED);
    ck_assert_ptr_nonnull(strstr(reader->problem, "something follows the end"));
}
END_TEST

/* The first record behind the head has this as its blocks, and the right checksums. */
static enum stream_status read_crafted(uint64_t count, const struct mregion_block *blocks,
                                       size_t bytes)
{
    struct stream_head head = {.size = 30, .text = ""};
    size_t blocks_size = count < 4 ? count * sizeof *blocks : 0;
    struct stream_chain chain;
    size_t length;
    uint8_t *at;
    unsigned records;

    stream_start(&chain, stream);
    size = STREAM_START_SIZE;
    append(stream_put_head(&chain, &head, record));
    at = stream + size;
    length = 8 + blocks_size + bytes;
    put_u32(at, STREAM_DATA);
    put_u32(at + 4, (uint32_t)length);
    put_u32(at + 8, 1);
    put_u64(at + 16, count);
    memcpy(at + 24, blocks, blocks_size);
    put_u32(at + 12, crc32c(crc32c(chain.crc, at, 12), at + 16, length));
    chain.crc = get_u32(at + 12);
    chain.number = 2;
    chain.sum.blocks = count;
    chain.sum.bytes = bytes;
    size += STREAM_HEADER_SIZE + length;
    append(stream_put_end(&chain, record));
    return read_all(stream, size, &records);
}

START_TEST(what_is_no_block_is_refused)
{
    static const struct mregion_block good[] = {{0, 3}, {3, 1}, {29, 1}};
    static const struct mregion_block bad[][2] = {
        {{0, 0}, {0, 2}},          /* empty */
        {{0, 3}, {2, 2}},          /* overlap */
        {{5, 2}, {0, 2}},          /* order */
        {{29, 2}, {31, 2}},        /* past the size */
        {{UINT64_MAX, 2}, {2, 2}}, /* past 2^64 */
        {{0, UINT64_MAX}, {0, 2}},
    };

    ck_assert_int_eq(read_crafted(3, good, 5), STREAM_OK);
    ck_assert_int_eq(read_crafted(3, good, 4), STREAM_DAMAGED);
    ck_assert_int_eq(read_crafted(3, good, 6), STREAM_DAMAGED);
    ck_assert_int_eq(read_crafted(0, good, 0), STREAM_DAMAGED);
    ck_assert_int_eq(read_crafted(257, good, 5), STREAM_DAMAGED);
    ck_assert_int_eq(read_crafted(UINT64_MAX, good, 5), STREAM_DAMAGED);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(read_crafted(2, bad[i], 4) == STREAM_DAMAGED, "%zu", i);
}
END_TEST

/* A newer version says so, whatever comes behind it. */
START_TEST(a_newer_version)
{
    unsigned records;

    put_u32(stream + 8, 2);
    put_u32(stream + 12, crc32c(0, stream, 12));
    ck_assert_int_eq(read_all(stream, size, &records), STREAM_DAMAGED);
    ck_assert_ptr_nonnull(strstr(reader->problem, "newer"));
    ck_assert_int_eq(read_all((const uint8_t *)"no export at all", 16, &records), STREAM_DAMAGED);
    ck_assert_ptr_nonnull(strstr(reader->problem, "no export of a region"));
}
END_TEST

START_TEST(a_length_costs_no_memory)
{
    unsigned records;

    put_u32(stream + STREAM_START_SIZE + 4, UINT32_MAX);
    ck_assert_int_eq(read_all(stream, size, &records), STREAM_DAMAGED);
    ck_assert_int_eq(read_all(stream, STREAM_START_SIZE + 16, &records), STREAM_DAMAGED);
}
END_TEST

START_TEST(pieces)
{
    ck_assert_uint_eq(stream_piece(UINT64_MAX), STREAM_BYTES_MAX);
    ck_assert_uint_eq(stream_piece(2 * STREAM_BYTES_MAX), STREAM_BYTES_MAX);
    ck_assert_uint_eq(stream_piece(2 * STREAM_BYTES_MAX - 1), STREAM_BYTES_MAX / 2);
    ck_assert_uint_eq(stream_piece(65536), 32768);
    ck_assert_uint_eq(stream_piece(0), 1);
}
END_TEST

START_TEST(what_cannot_be_read)
{
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

    stream_reader_init(reader, fd);
    ck_assert_int_eq(stream_read(reader, &read_record), STREAM_UNREADABLE);
    (void)close(fd);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client/cli_stream");
    TCase *tcase = tcase_create("stream");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, it_comes_back);
    tcase_add_test(tcase, every_changed_bit_is_noticed);
    tcase_add_test(tcase, every_cut_is_noticed);
    tcase_add_test(tcase, what_is_no_block_is_refused);
    tcase_add_test(tcase, a_newer_version);
    tcase_add_test(tcase, a_length_costs_no_memory);
    tcase_add_test(tcase, pieces);
    tcase_add_test(tcase, what_cannot_be_read);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
