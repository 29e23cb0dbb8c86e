/* core/sums: what a sum says about a page, and the file that keeps them. */
#include "core/sums.h"

#include <check.h>
#include <string.h>

#include "core/bytes.h"
#include "core/crc32c.h"
#include "support_random.h"
#include "support_simdisk.h"
#include "tests/support_main.h"

#define SEED 0x12345678u
#define DATA_SIZE (3 * MIB)
#define PAGES (DATA_SIZE / DATA_PAGE)

static const uint8_t secret[16] = "sixteen bytes ok", other_secret[16] = "sixteen bytes no";
static uint8_t page[DATA_PAGE];
static struct simdisk *disk;
static struct io *io;
static struct err err;

static void set_up(void)
{
    struct rng rng = {7};
    for (size_t i = 0; i < sizeof page; i++)
        page[i] = (uint8_t)rng_below(&rng, 256);
    disk = simdisk_new(1);
    io = simdisk_io(disk);
    ck_assert_int_eq(io->ops->make_directory(io, "r"), 0);
}

static void tear_down(void)
{
    ck_assert_uint_eq(simdisk_open_files(disk), 0);
    simdisk_free(disk);
}

/* ---- Sums ---- */

/* As FORMAT.md has it. */
START_TEST(a_sum_covers_region_page_and_bytes)
{
    uint8_t number[8];
    put_u64(number, 0x0102030405);
    uint32_t want = crc32c(crc32c(SEED, number, 8), page, sizeof page);
    uint32_t sum = sum_of(SEED, 0x0102030405, page);
    ck_assert_uint_eq(sum, want);
    ck_assert(sum_matches(SEED, 0x0102030405, page, sum));
    ck_assert(!sum_matches(SEED, 0x0102030406, page, sum));
    ck_assert(!sum_matches(SEED + 1, 0x0102030405, page, sum));
}
END_TEST

START_TEST(every_flipped_bit_of_a_page_is_noticed)
{
    uint32_t sum = sum_of(SEED, 3, page);
    for (size_t bit = 0; bit < sizeof page * 8; bit++) {
        page[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert_msg(!sum_matches(SEED, 3, page, sum), "bit %zu", bit);
        page[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}
END_TEST

START_TEST(every_flipped_bit_of_a_sum_is_noticed)
{
    static const uint8_t zeros[DATA_PAGE];
    uint32_t sum = sum_of(SEED, 3, page);
    for (unsigned bit = 0; bit < 32; bit++) {
        ck_assert(!sum_matches(SEED, 3, page, sum ^ 1u << bit));
        ck_assert(!sum_matches(SEED, 3, zeros, SUM_ZEROS ^ 1u << bit));
        ck_assert(!sum_matches(SEED, 3, page, SUM_UNVERIFIED ^ 1u << bit));
        ck_assert(!sum_matches(SEED, 3, zeros, SUM_UNVERIFIED ^ 1u << bit));
    }
}
END_TEST

START_TEST(zeros_have_a_sum_of_their_own)
{
    memset(page, 0, sizeof page);
    ck_assert_uint_eq(sum_of(SEED, 9, page), SUM_ZEROS);
    ck_assert(sum_matches(SEED, 9, page, SUM_ZEROS));
    for (size_t at = 0; at < sizeof page; at += sizeof page - 1) {
        page[at] = 1;
        ck_assert(!sum_matches(SEED, 9, page, SUM_ZEROS));
        page[at] = 0;
    }
}
END_TEST

/* The two bytes that give a page's crc any value there is are found by its linearity: with every
 * crc that has a meaning of its own, or is a bit away from one, the sum keeps apart. */
START_TEST(no_checksum_is_taken_for_a_meaning)
{
    uint8_t number[8] = {0};
    for (unsigned wanted = 0; wanted < 66; wanted++) {
        uint32_t target = wanted < 32   ? 1u << wanted
                          : wanted < 64 ? ~(1u << (wanted - 32))
                                        : (wanted == 64 ? SUM_ZEROS : SUM_UNVERIFIED);
        uint32_t rows[32], picks[32], pick = 0;
        memset(page + DATA_PAGE - 4, 0, 4);
        uint32_t base = crc32c(crc32c(SEED, number, 8), page, sizeof page) ^ target;
        for (unsigned bit = 0; bit < 32; bit++) {
            put_u32(page + DATA_PAGE - 4, 1u << bit);
            rows[bit] = crc32c(crc32c(SEED, number, 8), page, sizeof page) ^ base ^ target;
            picks[bit] = 1u << bit;
        }
        for (unsigned column = 0; column < 32; column++) {
            unsigned pivot = column;
            while (pivot < 32 && (rows[pivot] >> column & 1) == 0)
                pivot++;
            ck_assert_uint_lt(pivot, 32);
            uint32_t row = rows[pivot], chosen = picks[pivot];
            rows[pivot] = rows[column], picks[pivot] = picks[column];
            rows[column] = row, picks[column] = chosen;
            for (unsigned i = 0; i < 32; i++)
                if (i != column && (rows[i] >> column & 1) != 0)
                    rows[i] ^= row, picks[i] ^= chosen;
        }
        for (unsigned column = 0; column < 32; column++)
            if ((base >> column & 1) != 0)
                pick ^= picks[column];
        put_u32(page + DATA_PAGE - 4, pick);
        ck_assert_uint_eq(crc32c(crc32c(SEED, number, 8), page, sizeof page), target);
        int bits = __builtin_popcount(sum_of(SEED, 0, page));
        ck_assert_int_ge(bits, 2);
        ck_assert_int_le(bits, 30);
        ck_assert(sum_matches(SEED, 0, page, sum_of(SEED, 0, page)));
    }
}
END_TEST

START_TEST(what_is_spoiled_never_matches)
{
    uint32_t spoiled = sum_spoiled(SEED, 3, page);
    ck_assert(!sum_matches(SEED, 3, page, spoiled));
    ck_assert_uint_ne(spoiled, SUM_ZEROS);
    ck_assert_uint_ne(spoiled, SUM_UNVERIFIED);
    memset(page, 0, sizeof page);
    spoiled = sum_spoiled(SEED, 3, page);
    ck_assert(!sum_matches(SEED, 3, page, spoiled));
    ck_assert_uint_ne(spoiled, SUM_UNVERIFIED);
}
END_TEST

/* ---- The file ---- */

static struct io_file *open_sums(bool read_only)
{
    struct io_file *file = NULL;
    ck_assert_int_eq(sums_open(io, "r", secret, DATA_SIZE, read_only, &file, &err), 0);
    return file;
}

static void create(void)
{
    ck_assert_int_eq(sums_create(io, "r", SUMS_FILE, secret, DATA_SIZE, &err), 0);
}

START_TEST(sums_come_back)
{
    uint32_t sums[PAGES], back[PAGES];
    for (size_t i = 0; i < PAGES; i++)
        sums[i] = (uint32_t)(i * 2654435761u);
    create();
    struct io_file *file = open_sums(false);
    ck_assert_int_eq(sums_read(io, "r", file, 0, PAGES, back, &err), 0);
    for (size_t i = 0; i < PAGES; i++)
        ck_assert_uint_eq(back[i], SUM_ZEROS);
    ck_assert_int_eq(sums_write(io, "r", file, 0, PAGES, sums, &err), 0);
    ck_assert_int_eq(sums_write(io, "r", file, 5, 1, &sums[6], &err), 0);
    ck_assert_int_eq(sums_read(io, "r", file, 0, PAGES, back, &err), 0);
    sums[5] = sums[6];
    ck_assert_mem_eq(back, sums, sizeof sums);
    io->ops->close(io, file);
}
END_TEST

START_TEST(a_block_at_a_time)
{
    uint32_t sums[2] = {1, 2}, back[2] = {0};
    uint8_t block[DISK_BLOCK];
    create();
    struct io_file *file = open_sums(false);
    ck_assert_int_eq(sums_extend(io, "r", file, 64 * MIB, &err), 0);
    /* One on either side of the blocks' border. */
    ck_assert_int_eq(sums_write(io, "r", file, SUMS_PER_BLOCK - 1, 2, sums, &err), 0);
    ck_assert(sums_read_block_now(io, file, 0, block));
    sums_decode(block + DISK_BLOCK - SUM_SIZE, 1, back);
    ck_assert(sums_read_block_now(io, file, 1, block));
    sums_decode(block, 1, back + 1);
    ck_assert_mem_eq(back, sums, sizeof sums);
    ck_assert(!sums_read_block_now(io, file, 64 * MIB / DATA_PAGE / SUMS_PER_BLOCK, block));
    io->ops->close(io, file);
}
END_TEST

START_TEST(extended_with_zeros)
{
    uint32_t sum = 77, back[2];
    create();
    struct io_file *file = open_sums(false);
    ck_assert_int_eq(sums_write(io, "r", file, PAGES - 1, 1, &sum, &err), 0);
    ck_assert_int_eq(sums_extend(io, "r", file, 64 * MIB, &err), 0);
    ck_assert_int_eq(sums_read(io, "r", file, PAGES - 1, 2, back, &err), 0);
    ck_assert_uint_eq(back[0], 77);
    ck_assert_uint_eq(back[1], SUM_ZEROS);
    ck_assert_int_eq(sums_read(io, "r", file, 64 * MIB / DATA_PAGE - 1, 1, back, &err), 0);
    io->ops->close(io, file);
}
END_TEST

START_TEST(cut_to_what_is_needed)
{
    uint32_t sum = 77, back;
    uint64_t size;
    create();
    struct io_file *file = open_sums(false);
    ck_assert_int_eq(sums_write(io, "r", file, PAGES - 1, 1, &sum, &err), 0);
    ck_assert_int_eq(sums_extend(io, "r", file, 64 * MIB, &err), 0);
    sums_cut(io, file, DATA_SIZE);
    ck_assert_int_eq(io->ops->size(io, file, &size), 0);
    ck_assert_uint_eq(size, sums_length(DATA_SIZE));
    sums_cut(io, file, 64 * MIB);
    ck_assert_int_eq(io->ops->size(io, file, &size), 0);
    ck_assert_uint_eq(size, sums_length(DATA_SIZE));
    ck_assert_int_eq(sums_read(io, "r", file, PAGES - 1, 1, &back, &err), 0);
    ck_assert_uint_eq(back, 77);
    io->ops->close(io, file);
}
END_TEST

static void expect_refused(const char *what)
{
    struct io_file *file = NULL;
    ck_assert_int_eq(sums_open(io, "r", secret, DATA_SIZE, true, &file, &err), ERR_CORRUPT);
    ck_assert_ptr_nonnull(strstr(err.text, "r/sums"));
    ck_assert_msg(strstr(err.text, what) != NULL, "%s", err.text);
    ck_assert_ptr_null(file);
}

START_TEST(the_file_of_another_region_is_refused)
{
    ck_assert_int_eq(sums_create(io, "r", SUMS_FILE, other_secret, DATA_SIZE, &err), 0);
    expect_refused("header");
}
END_TEST

START_TEST(a_file_that_is_too_short_is_refused)
{
    create();
    struct io_file *file = open_sums(false);
    ck_assert_int_eq(io->ops->truncate(io, file, sums_length(DATA_SIZE) - 1), 0);
    io->ops->close(io, file);
    expect_refused("bytes instead of");
}
END_TEST

START_TEST(every_flipped_bit_of_the_header_is_noticed)
{
    uint8_t block[DISK_BLOCK];
    struct iovec vector = {block, sizeof block};
    create();
    struct io_file *file = open_sums(false);
    ck_assert_int_eq(io->ops->read(io, file, block, sizeof block, 0), (int)sizeof block);
    for (size_t bit = 0; bit < sizeof block * 8; bit += bit < 512 ? 1 : 61) {
        block[bit / 8] ^= (uint8_t)(1 << bit % 8);
        vector = (struct iovec){block, sizeof block};
        ck_assert_int_eq(io->ops->write(io, file, &vector, 1, 0), 0);
        expect_refused("header");
        block[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    io->ops->close(io, file);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sums");
    TCase *tests = tcase_create("sums");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, a_sum_covers_region_page_and_bytes);
    tcase_add_test(tests, every_flipped_bit_of_a_page_is_noticed);
    tcase_add_test(tests, every_flipped_bit_of_a_sum_is_noticed);
    tcase_add_test(tests, zeros_have_a_sum_of_their_own);
    tcase_add_test(tests, no_checksum_is_taken_for_a_meaning);
    tcase_add_test(tests, what_is_spoiled_never_matches);
    tcase_add_test(tests, sums_come_back);
    tcase_add_test(tests, a_block_at_a_time);
    tcase_add_test(tests, extended_with_zeros);
    tcase_add_test(tests, cut_to_what_is_needed);
    tcase_add_test(tests, the_file_of_another_region_is_refused);
    tcase_add_test(tests, a_file_that_is_too_short_is_refused);
    tcase_add_test(tests, every_flipped_bit_of_the_header_is_noticed);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
