#include "core/checkpoint.h"

#include <check.h>
#include <errno.h>
#include <string.h>

#include "core/checkpoint_private.h"
#include "core/record.h"
#include "support_simdisk.h"
#include "tests/support_main.h"

static const uint8_t secret[16] = "sixteen bytes ok", other[16] = "another region's";
static struct simdisk *disk;
static struct io *io;
static struct maxtree tree, loaded;
static struct tokens tokens, loaded_tokens;
static struct err err;

static void set_up(void)
{
    disk = simdisk_new(1);
    io = simdisk_io(disk);
    ck_assert_int_eq(io->ops->make_directory(io, "r"), 0);
    maxtree_init(&tree);
    maxtree_init(&loaded);
    tokens_init(&tokens, secret, 1000000);
    tokens_init(&loaded_tokens, secret, 1000000);
}

static void tear_down(void)
{
    maxtree_release(&tree);
    maxtree_release(&loaded);
    tokens_release(&tokens);
    tokens_release(&loaded_tokens);
    ck_assert_uint_eq(simdisk_breaches(disk), 0);
    ck_assert_uint_eq(simdisk_open_files(disk), 0);
    simdisk_free(disk);
}

static void add_blocks(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        ck_assert_int_eq(maxtree_add(&tree, (struct extent){i * 20, 1 + i % 19}), 0);
}

static struct checkpoint sample(uint64_t sequence)
{
    return (struct checkpoint){.sequence = sequence,
                               .start = 3 * DISK_BLOCK,
                               .end = 5 * DISK_BLOCK,
                               .size = (uint64_t)1 << 40,
                               .pages = 77};
}

static void expect_same_tree(void)
{
    struct extent a = {0, 0}, b = {0, 0};
    ck_assert_uint_eq(tree.blocks, loaded.blocks);
    ck_assert_uint_eq(tree.bytes, loaded.bytes);
    while (maxtree_seek(&tree, extent_end(a), &a)) {
        ck_assert(maxtree_seek(&loaded, extent_end(b), &b));
        ck_assert_uint_eq(a.address, b.address);
        ck_assert_uint_eq(a.size, b.size);
    }
}

static bool read_header(unsigned slot, const uint8_t *id, struct checkpoint *ret)
{
    bool is_valid = false;
    ck_assert_int_eq(checkpoint_read_header(io, "r", slot, id, ret, &is_valid, &err), 0);
    return is_valid;
}

static void flip(const char *path, uint64_t offset)
{
    struct io_file *file;
    uint8_t byte;
    ck_assert_int_eq(io->ops->open(io, path, 0, &file), 0);
    ck_assert_int_eq(io->ops->read(io, file, &byte, 1, offset), 1);
    byte ^= 1;
    struct iovec vector = {&byte, 1};
    ck_assert_int_eq(io->ops->write(io, file, &vector, 1, offset), 0);
    io->ops->close(io, file);
}

START_TEST(what_is_written_is_read)
{
    static const uint64_t counts[] = {0, 1, CHECKPOINT_SLICE, CHECKPOINT_SLICE + 1,
                                      3 * CHECKPOINT_SLICE};
    struct checkpoint found, want = sample(6);
    add_blocks(counts[_i]);
    ck_assert_int_eq(checkpoint_write(io, "r", secret, &want, &tree, &tokens, &err), 0);
    ck_assert(read_header(0, secret, &found));
    ck_assert(!read_header(1, secret, &want));
    ck_assert_uint_eq(found.sequence, 6);
    ck_assert_uint_eq(found.start, 3 * DISK_BLOCK);
    ck_assert_uint_eq(found.end, 5 * DISK_BLOCK);
    ck_assert_uint_eq(found.pages, 77);
    ck_assert_uint_eq(found.blocks, counts[_i]);
    ck_assert_uint_le(DISK_BLOCK + found.body_size, checkpoint_room(counts[_i], 0));
    ck_assert_int_eq(checkpoint_load(io, "r", secret, &found, &loaded, &loaded_tokens, &err), 0);
    expect_same_tree();
}
END_TEST

START_TEST(the_slots_take_turns)
{
    struct checkpoint found, five = sample(5), six = sample(6);
    add_blocks(100);
    ck_assert_int_eq(checkpoint_write(io, "r", secret, &five, &tree, &tokens, &err), 0);
    ck_assert_int_eq(checkpoint_write(io, "r", secret, &six, &tree, &tokens, &err), 0);
    ck_assert(read_header(1, secret, &found));
    ck_assert_uint_eq(found.sequence, 5);
    ck_assert(read_header(0, secret, &found));
    ck_assert_uint_eq(found.sequence, 6);
}
END_TEST

/* Blocks that change between slices, at and across the cursor, come out as told piece by piece. */
START_TEST(slices_of_a_changing_tree)
{
    struct checkpoint_writer writer;
    add_blocks(2 * CHECKPOINT_SLICE);
    ck_assert_int_eq(checkpoint_begin(&writer, io, "r", secret, 2, 0), 0);
    ck_assert(!checkpoint_encode_slice(&writer, &tree, &tokens));
    ck_assert_int_eq(checkpoint_write_chunk(&writer, &err), 0);
    /* One block across the cursor, from within the first slice to behind it. */
    uint64_t cursor = writer.cursor, last;
    for (uint64_t at = cursor - 15; at < cursor + 40; at++)
        (void)maxtree_add(&tree, (struct extent){at, 1});
    struct extent across;
    ck_assert(maxtree_seek(&tree, cursor, &across));
    ck_assert_uint_lt(across.address, cursor);
    while (!checkpoint_encode_slice(&writer, &tree, &tokens))
        ck_assert_int_eq(checkpoint_write_chunk(&writer, &err), 0);
    ck_assert_int_eq(checkpoint_write_chunk(&writer, &err), 0);
    last = writer.cursor;
    writer.checkpoint.size = last;
    ck_assert_int_eq(checkpoint_complete(&writer, &err), 0);
    struct checkpoint found = writer.checkpoint;
    checkpoint_release(&writer);
    int code = checkpoint_load(io, "r", secret, &found, &loaded, &loaded_tokens, &err);
    ck_assert_msg(code == 0, "%s", err.text);
    struct extent block;
    ck_assert(maxtree_seek(&loaded, cursor, &block));
    ck_assert_uint_eq(extent_end(block), extent_end(across));
    ck_assert_ptr_null(maxtree_check(&loaded));
}
END_TEST

START_TEST(damage_is_named)
{
    struct checkpoint found, want = sample(3);
    add_blocks(CHECKPOINT_SLICE + 10);
    ck_assert_int_eq(checkpoint_write(io, "r", secret, &want, &tree, &tokens, &err), 0);
    ck_assert(read_header(1, secret, &found));
    ck_assert(!read_header(1, other, &want));
    static const uint64_t offsets[] = {0, 8, 12, 16, 40, 100, DISK_BLOCK - 1};
    for (unsigned i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        flip("r/checkpoint-b", offsets[i]);
        ck_assert(!read_header(1, secret, &want));
        ck_assert_ptr_nonnull(strstr(err.text, "r/checkpoint-b"));
        flip("r/checkpoint-b", offsets[i]);
    }
    uint64_t second = DISK_BLOCK + CHECKPOINT_CHUNK_HEADER + CHECKPOINT_BODY;
    flip("r/checkpoint-b", second + 100);
    ck_assert_int_eq(checkpoint_load(io, "r", secret, &found, &loaded, &loaded_tokens, &err),
                     ERR_CORRUPT);
    ck_assert_ptr_nonnull(strstr(err.text, "r/checkpoint-b"));
    ck_assert_ptr_nonnull(strstr(err.text, "offset 135200"));
    ck_assert_uint_eq(loaded.blocks, 0);
    flip("r/checkpoint-b", second + 100);
    found.body_size--;
    ck_assert_int_eq(checkpoint_load(io, "r", secret, &found, &loaded, &loaded_tokens, &err),
                     ERR_CORRUPT);
}
END_TEST

/* A chunk of an older checkpoint in the same slot is not taken for one of the newer. */
START_TEST(a_stale_chunk_is_not_valid)
{
    struct checkpoint three, five, want = sample(3);
    add_blocks(10);
    ck_assert_int_eq(checkpoint_write(io, "r", secret, &want, &tree, &tokens, &err), 0);
    ck_assert(read_header(1, secret, &three));
    five = three;
    five.sequence = 5;
    ck_assert_int_eq(checkpoint_load(io, "r", secret, &five, &loaded, &loaded_tokens, &err),
                     ERR_CORRUPT);
    ck_assert_int_eq(checkpoint_load(io, "r", secret, &three, &loaded, &loaded_tokens, &err), 0);
}
END_TEST

/* Blocks out of order, overlapping or past the region's size, with checksums that fit. */
START_TEST(nonsense_is_refused)
{
    struct checkpoint want = sample(2), found;
    add_blocks(10);
    want.size = 180 + 9; /* the last block is [180, 190) */
    ck_assert_int_eq(checkpoint_write(io, "r", secret, &want, &tree, &tokens, &err), 0);
    ck_assert(read_header(0, secret, &found));
    ck_assert_int_eq(checkpoint_load(io, "r", secret, &found, &loaded, &loaded_tokens, &err),
                     ERR_CORRUPT);
    found.size = 190;
    ck_assert_int_eq(checkpoint_load(io, "r", secret, &found, &loaded, &loaded_tokens, &err), 0);
}
END_TEST

/* ---- Tokens ---- */

static uint8_t answer[TOKEN_ANSWER_MAX];

/* From sequence `from` on; every tenth has a larger answer, and one the largest there is. */
static void add_tokens(uint64_t from, uint64_t count)
{
    tokens.first = tokens.next = tokens.done = from;
    for (uint64_t i = from; i < from + count; i++) {
        uint32_t size = i == from + 40 ? TOKEN_ANSWER_MAX : i % 10 == 0 ? 3000 : (uint32_t)(i % 9);
        struct token token = {.fingerprint = i, .result_size = size, .result = answer};
        memcpy(token.id, &i, sizeof i);
        memset(answer, (int)i, size);
        ck_assert_int_eq(tokens_reserve(&tokens, size), 0);
        tokens_add(&tokens, &token, 1);
    }
}

static void expect_same_tokens(void)
{
    ck_assert_uint_eq(loaded_tokens.first, tokens.first);
    ck_assert_uint_eq(loaded_tokens.next, tokens.next);
    ck_assert_uint_eq(loaded_tokens.bytes, tokens.bytes);
    for (uint64_t i = tokens.first; i < tokens.next; i++) {
        struct token a, b;
        tokens_get(&tokens, i, &a);
        tokens_get(&loaded_tokens, i, &b);
        ck_assert_mem_eq(a.id, b.id, sizeof a.id);
        ck_assert_uint_eq(a.fingerprint, b.fingerprint);
        ck_assert_uint_eq(a.result_size, b.result_size);
        ck_assert_int_eq(a.result == NULL, b.result == NULL);
        if (a.result != NULL)
            ck_assert_int_eq(memcmp(a.result, b.result, a.result_size), 0);
    }
    ck_assert_ptr_null(tokens_check(&loaded_tokens));
}

START_TEST(tokens_are_told_with_their_answers)
{
    static const uint64_t counts[] = {0, 1, 41, 5000};
    struct checkpoint found, want = sample(6);
    add_blocks(CHECKPOINT_SLICE * (uint64_t)(_i % 2));
    add_tokens(1000, counts[_i]);
    tokens_settle(&tokens, 1);
    ck_assert_int_eq(
        checkpoint_reserve(io, "r", 0, checkpoint_room(tree.blocks, tokens.bytes), &err), 0);
    simdisk_set_capacity(disk, simdisk_used(disk));
    ck_assert_int_eq(checkpoint_write(io, "r", secret, &want, &tree, &tokens, &err), 0);
    ck_assert(read_header(0, secret, &found));
    ck_assert_uint_eq(found.tokens, counts[_i]);
    ck_assert_uint_eq(found.token_sequence, 1000 + counts[_i]);
    ck_assert_int_eq(checkpoint_load(io, "r", secret, &found, &loaded, &loaded_tokens, &err), 0);
    expect_same_tree();
    expect_same_tokens();
}
END_TEST

/* Each fills little more than half a chunk, and has one for itself. */
START_TEST(tokens_that_fill_chunks_badly)
{
    enum { COUNT = 100, SIZE = CHECKPOINT_BODY / 2 + 1 - TOKEN_CHECKPOINT_BYTES };
    struct checkpoint found, want = sample(6);
    for (uint64_t i = 0; i < COUNT; i++) {
        struct token token = {.fingerprint = i, .result_size = SIZE, .result = answer};
        memcpy(token.id, &i, sizeof i);
        ck_assert_int_eq(tokens_reserve(&tokens, SIZE), 0);
        tokens_add(&tokens, &token, 1);
    }
    ck_assert_int_eq(checkpoint_write(io, "r", secret, &want, &tree, &tokens, &err), 0);
    ck_assert(read_header(0, secret, &found));
    ck_assert_uint_eq(found.chunks, COUNT);
    ck_assert_uint_le(DISK_BLOCK + found.body_size, checkpoint_room(tree.blocks, tokens.bytes));
}
END_TEST

START_TEST(an_answer_that_was_dropped)
{
    struct checkpoint found, want = sample(6);
    uint64_t count = TOKEN_RESULTS_MAX / 3000 * 10 + 100;
    add_tokens(0, count);
    tokens_settle(&tokens, 1);
    struct token token;
    tokens_get(&tokens, 0, &token);
    ck_assert_uint_eq(token.result_size, TOKEN_RESULT_DROPPED);
    ck_assert_int_eq(checkpoint_write(io, "r", secret, &want, &tree, &tokens, &err), 0);
    ck_assert(read_header(0, secret, &found));
    ck_assert_int_eq(checkpoint_load(io, "r", secret, &found, &loaded, &loaded_tokens, &err), 0);
    expect_same_tokens();
}
END_TEST

/* Those that are forgotten before they are told leave a gap, and take those before with them; what
 * comes after the first slice of them is not told at all. */
START_TEST(tokens_that_come_and_go_between_slices)
{
    struct checkpoint_writer writer;
    add_tokens(0, 20000);
    ck_assert_int_eq(checkpoint_begin(&writer, io, "r", secret, 2, 0), 0);
    ck_assert(!checkpoint_encode_slice(&writer, &tree, &tokens));
    ck_assert_int_eq(checkpoint_write_chunk(&writer, &err), 0);
    tokens.window = 4000;
    for (int i = 0; i < 10; i++)
        tokens_settle(&tokens, 1);
    ck_assert_uint_eq(tokens.first, 16000);
    struct token last = {.result = answer};
    ck_assert_int_eq(tokens_reserve(&tokens, 0), 0);
    tokens_add(&tokens, &last, 2);
    while (!checkpoint_encode_slice(&writer, &tree, &tokens))
        ck_assert_int_eq(checkpoint_write_chunk(&writer, &err), 0);
    ck_assert_int_eq(checkpoint_write_chunk(&writer, &err), 0);
    ck_assert_int_eq(checkpoint_complete(&writer, &err), 0);
    struct checkpoint found = writer.checkpoint;
    checkpoint_release(&writer);
    int code = checkpoint_load(io, "r", secret, &found, &loaded, &loaded_tokens, &err);
    ck_assert_msg(code == 0, "%s", err.text);
    tokens_take_back(&tokens, 20000);
    expect_same_tokens();
}
END_TEST

/* Each of its fields, and lengths that do not come out. */
START_TEST(damaged_tokens_are_named)
{
    struct checkpoint found, want = sample(3);
    add_blocks(10);
    add_tokens(7, 30);
    ck_assert_int_eq(checkpoint_write(io, "r", secret, &want, &tree, &tokens, &err), 0);
    ck_assert(read_header(1, secret, &found));
    uint64_t chunk = DISK_BLOCK + CHECKPOINT_CHUNK_HEADER + 160;
    for (uint64_t at = chunk; at < chunk + CHECKPOINT_CHUNK_HEADER + 80; at++) {
        flip("r/checkpoint-b", at);
        int code = checkpoint_load(io, "r", secret, &found, &loaded, &loaded_tokens, &err);
        ck_assert_int_eq(code, ERR_CORRUPT);
        ck_assert_ptr_nonnull(strstr(err.text, "offset 4288"));
        ck_assert_uint_eq(tokens_count(&loaded_tokens), 0);
        ck_assert_uint_eq(loaded.blocks, 0);
        flip("r/checkpoint-b", at);
    }
    for (int i = 0; i < 4; i++) {
        struct checkpoint claims = found;
        claims.tokens += (uint64_t)(i == 0) - (uint64_t)(i == 1);
        claims.token_sequence -= i == 2;
        claims.chunks -= i == 3;
        ck_assert_int_eq(checkpoint_load(io, "r", secret, &claims, &loaded, &loaded_tokens, &err),
                         ERR_CORRUPT);
    }
    ck_assert_int_eq(checkpoint_load(io, "r", secret, &found, &loaded, &loaded_tokens, &err), 0);
    expect_same_tokens();
}
END_TEST

START_TEST(a_path_that_is_too_long)
{
    char folder[300];
    struct checkpoint found = sample(1);
    bool is_valid;
    memset(folder, 'f', sizeof folder);
    folder[sizeof folder - 1] = '\0';
    ck_assert_int_eq(checkpoint_reserve(io, folder, 0, 4096, &err), ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(checkpoint_load(io, folder, secret, &found, &loaded, &loaded_tokens, &err),
                     ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(checkpoint_read_header(io, folder, 0, secret, &found, &is_valid, &err),
                     ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(a_missing_or_short_file)
{
    struct checkpoint found;
    struct io_file *file;
    ck_assert(!read_header(0, secret, &found));
    ck_assert_ptr_nonnull(strstr(err.text, "missing"));
    ck_assert_int_eq(io->ops->open(io, "r/checkpoint-a", IO_CREATE, &file), 0);
    io->ops->close(io, file);
    ck_assert(!read_header(0, secret, &found));
}
END_TEST

START_TEST(room_is_reserved)
{
    struct checkpoint want = sample(1);
    uint64_t room = checkpoint_room(5000, 0);
    ck_assert_int_eq(checkpoint_reserve(io, "r", 1, room, &err), 0);
    ck_assert_int_eq(checkpoint_reserve(io, "r", 1, DISK_BLOCK, &err), 0);
    simdisk_set_capacity(disk, simdisk_used(disk));
    add_blocks(5000);
    ck_assert_int_eq(checkpoint_write(io, "r", secret, &want, &tree, &tokens, &err), 0);
    ck_assert_int_eq(checkpoint_reserve(io, "r", 1, 100 * room, &err), ERR_NO_SPACE);
}
END_TEST

/* File and name: a start may come upon a full disk. */
START_TEST(room_is_durable)
{
    struct io_file *file;
    uint64_t size = 0, room = checkpoint_room(5000, 0);
    ck_assert_int_eq(io->ops->sync_directory(io, "."), 0);
    ck_assert_int_eq(checkpoint_reserve(io, "r", 1, room, &err), 0);
    struct simdisk *crashed = simdisk_crash_none(disk);
    struct io *left = simdisk_io(crashed);
    ck_assert_int_eq(left->ops->open(left, "r/checkpoint-b", IO_READ_ONLY, &file), 0);
    ck_assert_int_eq(left->ops->size(left, file, &size), 0);
    left->ops->close(left, file);
    ck_assert_uint_ge(size, room);
    simdisk_free(crashed);
}
END_TEST

START_TEST(every_flipped_bit_of_a_header_is_noticed)
{
    uint8_t block[DISK_BLOCK];
    struct checkpoint want = sample(6), found;
    checkpoint_encode_header(block, secret, &want);
    ck_assert(checkpoint_decode_header(block, secret, &found));
    for (size_t bit = 0; bit < sizeof block * 8; bit++) {
        block[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert_msg(!checkpoint_decode_header(block, secret, &found), "bit %zu", bit);
        block[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("checkpoint");
    TCase *tests = tcase_create("checkpoint");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, what_is_written_is_read, 0, 5);
    tcase_add_test(tests, the_slots_take_turns);
    tcase_add_test(tests, slices_of_a_changing_tree);
    tcase_add_test(tests, damage_is_named);
    tcase_add_test(tests, a_stale_chunk_is_not_valid);
    tcase_add_test(tests, nonsense_is_refused);
    tcase_add_test(tests, a_path_that_is_too_long);
    tcase_add_test(tests, a_missing_or_short_file);
    tcase_add_test(tests, room_is_reserved);
    tcase_add_test(tests, room_is_durable);
    tcase_add_test(tests, every_flipped_bit_of_a_header_is_noticed);
    tcase_add_loop_test(tests, tokens_are_told_with_their_answers, 0, 4);
    tcase_add_test(tests, tokens_that_fill_chunks_badly);
    tcase_add_test(tests, an_answer_that_was_dropped);
    tcase_add_test(tests, tokens_that_come_and_go_between_slices);
    tcase_add_test(tests, damaged_tokens_are_named);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
