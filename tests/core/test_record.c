#include "core/record.h"

#include <check.h>
#include <errno.h>
#include <string.h>

#include "core/crc32c.h"
#include "tests/support_main.h"

static const uint8_t secret[16] = "sixteen bytes ok";
static struct record record;
static uint32_t seed;

static void set_up(void)
{
    record_init(&record);
    seed = record_seed(secret);
}

static void tear_down(void)
{
    record_release(&record);
}

/* One of each effect. */
static void fill(void)
{
    ck_assert_int_eq(record_reserve(&record, 200), 0);
    record_add_use(&record, (struct extent){10, 20});
    record_add_free(&record, (struct extent){1000, 1});
    size_t offset = record_add_put(&record, (struct extent){10, 5});
    memcpy(record.bytes + offset, "hello", 5);
    record_add_pages(&record, 7);
}

static const struct token token = {.sequence = 5,
                                   .id = "0123456789abcde",
                                   .fingerprint = 0x1122334455667788,
                                   .result_size = 3,
                                   .result = (const uint8_t *)"abc"};

/* One of each effect with sums, and a token. */
static void fill_sums(void)
{
    ck_assert_int_eq(record_reserve(&record, 200), 0);
    record_add_token(&record, &token);
    size_t offset = record_add_sums(&record, EFFECT_CHANGED, (struct page_run){7, 2});
    put_u32(record.bytes + offset, 0xaabbccdd);
    put_u32(record.bytes + offset + RECORD_SUM, 0x11223344);
    offset = record_add_sums(&record, EFFECT_FRESH, (struct page_run){9, 1});
    put_u32(record.bytes + offset, 1);
    offset = record_add_sums(&record, EFFECT_DIRECT, (struct page_run){10, 1});
    put_u32(record.bytes + offset, 2);
    record_add_zero(&record, (struct page_run){11, (uint64_t)1 << 33});
}

static bool is_valid(uint64_t lsn, struct record_header *header)
{
    return record_peek(record.bytes, lsn, seed, header) && header->length <= record.capacity &&
           record_is_valid(record.bytes, header, seed);
}

START_TEST(effects_come_back_in_order)
{
    struct record_header header;
    struct effect_cursor cursor;
    struct effect effect;
    fill();
    record_seal(&record, seed, 3 * DISK_BLOCK, DISK_BLOCK);
    ck_assert(is_valid(3 * DISK_BLOCK, &header));
    ck_assert_uint_eq(header.synced, DISK_BLOCK);
    ck_assert_uint_eq(header.length,
                      RECORD_HEADER + 3 * RECORD_EXTENT_EFFECT + 5 + RECORD_PAGES_EFFECT);
    effect_begin(&cursor, record.bytes, &header);
    ck_assert_int_eq(effect_next(&cursor, &effect), 1);
    ck_assert_int_eq(effect.kind, EFFECT_USE);
    ck_assert_uint_eq(effect.extent.address, 10);
    ck_assert_uint_eq(effect.extent.size, 20);
    ck_assert_int_eq(effect_next(&cursor, &effect), 1);
    ck_assert_int_eq(effect.kind, EFFECT_FREE);
    ck_assert_uint_eq(effect.extent.address, 1000);
    ck_assert_int_eq(effect_next(&cursor, &effect), 1);
    ck_assert_int_eq(effect.kind, EFFECT_PUT);
    ck_assert_mem_eq(record.bytes + effect.offset, "hello", 5);
    ck_assert_int_eq(effect_next(&cursor, &effect), 1);
    ck_assert_int_eq(effect.kind, EFFECT_PAGES);
    ck_assert_uint_eq(effect.pages, 7);
    ck_assert_int_eq(effect_next(&cursor, &effect), 0);
}
END_TEST

START_TEST(effects_with_sums_come_back_in_order)
{
    static const enum effect_kind kinds[] = {EFFECT_CHANGED, EFFECT_FRESH, EFFECT_DIRECT};
    static const struct page_run runs[] = {{7, 2}, {9, 1}, {10, 1}};
    static const uint32_t first_sums[] = {0xaabbccdd, 1, 2};
    struct record_header header;
    struct effect_cursor cursor;
    struct effect effect;
    fill_sums();
    record_seal(&record, seed, 0, 0);
    ck_assert(is_valid(0, &header));
    ck_assert_uint_eq(header.length, RECORD_HEADER + RECORD_TOKEN_EFFECT + 3 +
                                         3 * RECORD_SUMS_EFFECT + 4 * RECORD_SUM +
                                         RECORD_ZERO_EFFECT);
    effect_begin(&cursor, record.bytes, &header);
    ck_assert_int_eq(effect_next(&cursor, &effect), 1);
    ck_assert_int_eq(effect.kind, EFFECT_TOKEN);
    ck_assert_uint_eq(effect.token.sequence, 5);
    ck_assert_mem_eq(effect.token.id, token.id, 16);
    ck_assert_uint_eq(effect.token.fingerprint, 0x1122334455667788);
    ck_assert_uint_eq(effect.token.result_size, 3);
    ck_assert_mem_eq(effect.token.result, "abc", 3);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(effect_next(&cursor, &effect), 1);
        ck_assert_int_eq(effect.kind, kinds[i]);
        ck_assert_uint_eq(effect.run.first, runs[i].first);
        ck_assert_uint_eq(effect.run.count, runs[i].count);
        ck_assert_uint_eq(get_u32(record.bytes + effect.offset), first_sums[i]);
    }
    ck_assert_int_eq(effect_next(&cursor, &effect), 1);
    ck_assert_int_eq(effect.kind, EFFECT_ZERO);
    ck_assert_uint_eq(effect.run.first, 11);
    ck_assert_uint_eq(effect.run.count, (uint64_t)1 << 33);
    ck_assert_int_eq(effect_next(&cursor, &effect), 0);
}
END_TEST

/* The first bytes of a record as FORMAT.md has them. */
START_TEST(the_layout_is_what_it_was)
{
    static const uint8_t want[] = {
        'M', 'G', 'R', 'C', 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, /* magic crc lsn */
        65,  0,   0,   0,   0, 0, 0, 0, 0, 0,    0, 0, 0, 0, 0, 0, /* length synced */
        1,   0,   0,   0,   0, 0, 0, 0, 0, 0,    0, 0, 0, 0, 0, 0, /* effects crc zeros */
        1,   4,   3,   2,   1, 0, 0, 0, 0, 6,    5, 0, 0, 0, 0, 0, /* use ... */
        0};
    ck_assert_int_eq(record_reserve(&record, RECORD_EXTENT_EFFECT), 0);
    record_add_use(&record, (struct extent){0x01020304, 0x0506});
    record_seal(&record, seed, DISK_BLOCK, 0);
    uint32_t crc = get_u32(record.bytes + 4);
    ck_assert_uint_eq(crc, crc32c(crc32c(0, secret, 16), record.bytes + 8, sizeof want - 8));
    uint32_t header_crc = get_u32(record.bytes + 36);
    ck_assert_uint_eq(header_crc, crc32c(crc32c(0, secret, 16), record.bytes + 8, 28));
    put_u32(record.bytes + 4, 0);
    put_u32(record.bytes + 36, 0);
    ck_assert_mem_eq(record.bytes, want, sizeof want);
}
END_TEST

START_TEST(padded_with_zeros_to_a_block)
{
    static const uint8_t zeros[DISK_BLOCK];
    ck_assert_int_eq(record_reserve(&record, 2 * DISK_BLOCK), 0);
    memset(record.bytes, 0xee, record.capacity);
    record_add_pages(&record, 1);
    record_seal(&record, seed, 0, 0);
    ck_assert_uint_eq(record_padded(record.length), DISK_BLOCK);
    ck_assert_mem_eq(record.bytes + record.length, zeros, DISK_BLOCK - record.length);
    ck_assert_uint_eq((uintptr_t)record.bytes % DISK_BLOCK, 0);
}
END_TEST

START_TEST(another_place_or_region_is_not_valid)
{
    struct record_header header;
    fill();
    record_seal(&record, seed, DISK_BLOCK, 0);
    ck_assert(!is_valid(2 * DISK_BLOCK, &header));
    ck_assert(!is_valid(0, &header));
    seed++;
    ck_assert(!is_valid(DISK_BLOCK, &header));
    seed--;
    ck_assert(is_valid(DISK_BLOCK, &header));
}
END_TEST

START_TEST(every_flipped_bit_is_noticed)
{
    struct record_header header;
    fill();
    record_seal(&record, seed, DISK_BLOCK, 0);
    for (size_t bit = 0; bit < record.length * 8; bit++) {
        record.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert_msg(!is_valid(DISK_BLOCK, &header), "bit %zu", bit);
        record.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    ck_assert(is_valid(DISK_BLOCK, &header));
}
END_TEST

/* Before any length is believed. */
START_TEST(every_flipped_bit_of_a_header_is_noticed)
{
    struct record_header header;
    fill();
    record_seal(&record, seed, DISK_BLOCK, 0);
    ck_assert(record_peek(record.bytes, DISK_BLOCK, seed, &header));
    for (size_t bit = 8 * 8; bit < 40 * 8; bit++) {
        record.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert_msg(!record_peek(record.bytes, DISK_BLOCK, seed, &header), "bit %zu", bit);
        record.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}
END_TEST

/* Decodes what fill made after a change to one byte, with a checksum that fits. */
static int decode_changed(void (*make)(void), size_t offset, uint8_t byte)
{
    struct record_header header;
    struct effect_cursor cursor;
    struct effect effect;
    int more;
    record_reset(&record);
    make();
    record_seal(&record, seed, 0, 0);
    record.bytes[offset] = byte;
    put_u32(record.bytes + 36, crc32c(seed, record.bytes + 8, 28));
    put_u32(record.bytes + 4, crc32c(seed, record.bytes + 8, record.length - 8));
    ck_assert(is_valid(0, &header));
    effect_begin(&cursor, record.bytes, &header);
    while ((more = effect_next(&cursor, &effect)) == 1)
        continue;
    return more;
}

START_TEST(nonsense_is_refused)
{
    enum { FIRST = RECORD_HEADER, THIRD = RECORD_HEADER + 2 * RECORD_EXTENT_EFFECT };
    ck_assert_int_eq(decode_changed(fill, FIRST, EFFECT_USE), 0);
    ck_assert_int_eq(decode_changed(fill, FIRST, 0), -EINVAL);  /* an unknown kind */
    ck_assert_int_eq(decode_changed(fill, FIRST, 99), -EINVAL); /* another */
    ck_assert_int_eq(decode_changed(fill, FIRST + 8, 0xff),
                     -EINVAL); /* an address past the limit */
    ck_assert_int_eq(decode_changed(fill, FIRST + 16, 0x40), -EINVAL); /* a size past it */
    ck_assert_int_eq(decode_changed(fill, FIRST + 9, 0), -EINVAL);     /* an empty extent */
    ck_assert_int_eq(decode_changed(fill, THIRD + 9, 200), -EINVAL);   /* bytes that end early */
    ck_assert_int_eq(decode_changed(fill, 32, 3), -EINVAL);            /* effects left over */
    ck_assert_int_eq(decode_changed(fill, 32, 5), -EINVAL);            /* effects missing */
    ck_assert_int_eq(decode_changed(fill, record.length - 1, 0x40),
                     -EINVAL); /* pages past the limit */
}
END_TEST

START_TEST(nonsense_sums_are_refused)
{
    enum {
        TOKEN = RECORD_HEADER,
        CHANGED = TOKEN + RECORD_TOKEN_EFFECT + 3,
        ZERO = CHANGED + 3 * RECORD_SUMS_EFFECT + 4 * RECORD_SUM,
    };
    ck_assert_int_eq(decode_changed(fill_sums, CHANGED, EFFECT_FRESH), 0);
    ck_assert_int_eq(decode_changed(fill_sums, CHANGED + 9, 0), -EINVAL);   /* an empty run */
    ck_assert_int_eq(decode_changed(fill_sums, CHANGED + 10, 1), -EINVAL);  /* sums end early */
    ck_assert_int_eq(decode_changed(fill_sums, CHANGED + 8, 1), -EINVAL);   /* past the limit */
    ck_assert_int_eq(decode_changed(fill_sums, ZERO + 13, 0), -EINVAL);     /* an empty run */
    ck_assert_int_eq(decode_changed(fill_sums, ZERO + 16, 1), -EINVAL);     /* past the limit */
    ck_assert_int_eq(decode_changed(fill_sums, TOKEN + 33, 200), -EINVAL);  /* a result cut */
    ck_assert_int_eq(decode_changed(fill_sums, TOKEN + 36, 0xff), -EINVAL); /* one too large */
}
END_TEST

/* Whether a header is looked at that says so, with a checksum that fits unless it is spoilt. */
static bool is_looked_at(uint64_t length, uint64_t synced, uint32_t spoil)
{
    struct record_header header = {.lsn = 42};
    record_seal(&record, seed, 0, 0);
    put_u64(record.bytes + 16, length);
    put_u64(record.bytes + 24, synced);
    put_u32(record.bytes + 36, crc32c(seed, record.bytes + 8, 28) ^ spoil);
    bool is_header = record_peek(record.bytes, 0, seed, &header);
    ck_assert_uint_eq(header.lsn, is_header ? 0 : 42);
    return is_header;
}

START_TEST(impossible_headers_are_not_even_looked_at)
{
    fill();
    ck_assert(is_looked_at(100, 0, 0));
    ck_assert(!is_looked_at(100, 0, 1));
    ck_assert(!is_looked_at(RECORD_HEADER - 1, 0, 0));
    ck_assert(!is_looked_at(UINT64_MAX, 0, 0));
    ck_assert(!is_looked_at(100, 1, 0)); /* durable before itself */
}
END_TEST

/* Many blobs in one record, as a batch of changes makes it: it is not copied for each of them. */
START_TEST(room_grows_by_a_share_also_above_what_a_commit_gathers)
{
    enum { BLOB = 60000, COUNT = 1000 };
    const uint8_t *before = NULL;
    size_t capacity = 0;
    int grown = 0;
    for (int i = 0; i < COUNT; i++) {
        ck_assert_int_eq(record_reserve(&record, BLOB + RECORD_EXTENT_EFFECT), 0);
        (void)record_add_put(&record, (struct extent){(uint64_t)i * BLOB, BLOB});
        grown += record.bytes != before || record.capacity != capacity;
        before = record.bytes;
        capacity = record.capacity;
    }
    ck_assert_int_lt(grown, 25);
    ck_assert_uint_lt(record.capacity, 2 * (uint64_t)BLOB * COUNT);
}
END_TEST

START_TEST(room_grows_and_is_kept)
{
    for (int i = 0; i < 10000; i++) {
        ck_assert_int_eq(record_reserve(&record, RECORD_EXTENT_EFFECT), 0);
        record_add_use(&record, (struct extent){(uint64_t)i * 10 + 1, 3});
    }
    ck_assert_uint_eq(record.effects, 10000);
    ck_assert_uint_eq(get_u64(record.bytes + RECORD_HEADER + 17 * 9999 + 1), 99991);
    size_t capacity = record.capacity;
    record_reset(&record);
    ck_assert_uint_eq(record.capacity, capacity);
    ck_assert_uint_eq(record.effects, 0);
    ck_assert_int_eq(record_reserve(&record, SIZE_MAX / 2), -ENOMEM);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("record");
    TCase *tests = tcase_create("record");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, effects_come_back_in_order);
    tcase_add_test(tests, effects_with_sums_come_back_in_order);
    tcase_add_test(tests, nonsense_sums_are_refused);
    tcase_add_test(tests, the_layout_is_what_it_was);
    tcase_add_test(tests, padded_with_zeros_to_a_block);
    tcase_add_test(tests, another_place_or_region_is_not_valid);
    tcase_add_test(tests, every_flipped_bit_is_noticed);
    tcase_add_test(tests, every_flipped_bit_of_a_header_is_noticed);
    tcase_add_test(tests, nonsense_is_refused);
    tcase_add_test(tests, impossible_headers_are_not_even_looked_at);
    tcase_add_test(tests, room_grows_and_is_kept);
    tcase_add_test(tests, room_grows_by_a_share_also_above_what_a_commit_gathers);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
