/* What a checkpoint claims, with checksums that fit: headers, chunks and free blocks that cannot be
 * are refused. */
#include "core/checkpoint_private.h"

#include <check.h>
#include <string.h>

#include "core/bytes.h"
#include "core/record.h"
#include "support_simdisk.h"
#include "tests/support_main.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define REGION_BYTES ((uint64_t)100000)

static const uint8_t secret[16] = "sixteen bytes ok", other[16] = "another region's";
static uint8_t block[DISK_BLOCK];
static uint8_t chunk[CHECKPOINT_CHUNK_HEADER + 4096];
static struct err err;

static struct checkpoint sample(void)
{
    return (struct checkpoint){.sequence = 3,
                               .start = DISK_BLOCK,
                               .end = 2 * DISK_BLOCK,
                               .size = REGION_BYTES,
                               .pages = 2,
                               .token_sequence = 9,
                               .tokens = 4};
}

static bool is_header(const struct checkpoint *checkpoint)
{
    struct checkpoint found = {0};
    checkpoint_encode_header(block, secret, checkpoint);
    bool is_valid = checkpoint_decode_header(block, secret, &found);
    ck_assert_uint_eq(found.sequence, is_valid ? checkpoint->sequence : 0);
    return is_valid;
}

START_TEST(a_header_claims_what_can_be)
{
    struct checkpoint good = sample(), claims;
    ck_assert(is_header(&good));
    ck_assert(!checkpoint_decode_header(block, other, &claims));
    static const struct {
        size_t field;
        uint64_t largest;
    } limits[] = {{offsetof(struct checkpoint, start), 2 * DISK_BLOCK},
                  {offsetof(struct checkpoint, end), REGION_SIZE_MAX},
                  {offsetof(struct checkpoint, size), REGION_SIZE_MAX},
                  {offsetof(struct checkpoint, pages), REGION_SIZE_MAX / REGION_PAGE},
                  {offsetof(struct checkpoint, token_sequence), REGION_SIZE_MAX},
                  {offsetof(struct checkpoint, tokens), 9}};
    for (size_t i = 0; i < COUNT(limits); i++) {
        claims = good;
        uint64_t *field = (uint64_t *)(void *)((uint8_t *)&claims + limits[i].field);
        *field = limits[i].largest;
        ck_assert_msg(is_header(&claims), "limit %zu", i);
        /* Start and end lie on blocks: the next there is. */
        *field += limits[i].field <= offsetof(struct checkpoint, end) ? DISK_BLOCK : 1;
        ck_assert_msg(!is_header(&claims), "limit %zu", i);
    }
    claims = good;
    claims.sequence = 0;
    ck_assert(!is_header(&claims));
    claims = good;
    claims.start++;
    ck_assert(!is_header(&claims));
    claims = good;
    claims.end++;
    ck_assert(!is_header(&claims));
}
END_TEST

/* ---- Chunks ---- */

enum { AT_COUNT = 4, AT_KIND = 24, AT_BODY_SIZE = 28 };

static size_t make_chunk(enum checkpoint_kind kind, size_t count, size_t body_size)
{
    struct checkpoint checkpoint = sample();
    memset(chunk, 0, sizeof chunk);
    checkpoint_encode_chunk(chunk, &checkpoint, kind, count, body_size);
    return CHECKPOINT_CHUNK_HEADER + body_size;
}

static size_t decode(size_t size)
{
    struct checkpoint_chunk found;
    checkpoint_seal_chunk(chunk, size, record_seed(secret));
    return checkpoint_decode_chunk(chunk, size, record_seed(secret), 3, 0, &found);
}

START_TEST(a_chunk_claims_what_can_be)
{
    static const struct {
        uint32_t kind, count, body_size;
        bool is_possible;
    } cases[] = {
        {CHECKPOINT_EXTENTS, 2, 32, true},
        {CHECKPOINT_EXTENTS, 0, 0, false},
        {CHECKPOINT_EXTENTS, 2, 33, false},
        {CHECKPOINT_EXTENTS, CHECKPOINT_SLICE, CHECKPOINT_SLICE * 16, true},
        {CHECKPOINT_EXTENTS, CHECKPOINT_SLICE + 1, (CHECKPOINT_SLICE + 1) * 16, false},
        {CHECKPOINT_TOKENS, 0, 0, false},
        {CHECKPOINT_TOKENS, 2, 2 * TOKEN_CHECKPOINT_BYTES, true},
        {CHECKPOINT_TOKENS, 3, 3 * TOKEN_CHECKPOINT_BYTES - 1, false},
        {CHECKPOINT_TOKENS, 1, CHECKPOINT_BODY_MAX, true},
        {CHECKPOINT_TOKENS, 1, CHECKPOINT_BODY_MAX + 1, false},
        {CHECKPOINT_TOKENS + 1, 2, 32, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        (void)make_chunk(CHECKPOINT_EXTENTS, cases[i].count, cases[i].body_size);
        put_u32(chunk + AT_KIND, cases[i].kind);
        size_t size = CHECKPOINT_CHUNK_HEADER + cases[i].body_size;
        ck_assert_msg(checkpoint_claimed(chunk) == (cases[i].is_possible ? size : 0), "case %zu",
                      i);
    }
    size_t size = make_chunk(CHECKPOINT_EXTENTS, 2, 32);
    ck_assert_uint_eq(decode(size), size);
    ck_assert_uint_eq(decode(size - 1), 0);
    struct checkpoint_chunk found;
    ck_assert_uint_eq(checkpoint_decode_chunk(chunk, CHECKPOINT_CHUNK_HEADER - 1,
                                              record_seed(secret), 3, 0, &found),
                      0);
}
END_TEST

START_TEST(tokens_come_out_even)
{
    enum { LAST = CHECKPOINT_CHUNK_HEADER + TOKEN_CHECKPOINT_BYTES };
    static const size_t at_size = TOKEN_CHECKPOINT_BYTES - 4; /* of the answer, last in a token */
    size_t body = 2 * TOKEN_CHECKPOINT_BYTES + 10;
    size_t size = make_chunk(CHECKPOINT_TOKENS, 2, body);
    ck_assert_uint_eq(decode(size), 0); /* ten bytes are left over */
    put_u32(chunk + LAST + at_size, 10);
    ck_assert_uint_eq(decode(size), size);
    put_u32(chunk + LAST + at_size, 11); /* an answer longer than what there is */
    ck_assert_uint_eq(decode(size), 0);
    put_u32(chunk + LAST + at_size, 0);
    put_u32(chunk + CHECKPOINT_CHUNK_HEADER + at_size, 11); /* no room for the second */
    ck_assert_uint_eq(decode(size), 0);
    put_u32(chunk + CHECKPOINT_CHUNK_HEADER + at_size, TOKEN_RESULT_DROPPED);
    ck_assert_uint_eq(decode(size), 0);
    size = make_chunk(CHECKPOINT_TOKENS, 2, body - 10);
    put_u32(chunk + CHECKPOINT_CHUNK_HEADER + at_size, TOKEN_RESULT_DROPPED);
    ck_assert_uint_eq(decode(size), size);
}
END_TEST

/* ---- Loading ---- */

static struct simdisk *disk;
static struct io *io;
static struct maxtree tree;
static struct tokens tokens;

static void set_up(void)
{
    disk = simdisk_new(1);
    io = simdisk_io(disk);
    ck_assert_int_eq(io->ops->make_directory(io, "r"), 0);
    maxtree_init(&tree);
    tokens_init(&tokens, secret, 1000);
}

static void tear_down(void)
{
    maxtree_release(&tree);
    tokens_release(&tokens);
    ck_assert_uint_eq(simdisk_breaches(disk), 0);
    ck_assert_uint_eq(simdisk_open_files(disk), 0);
    simdisk_free(disk);
}

/* Writes the chunk at an offset of the body. */
static void write_chunk(uint64_t offset, size_t size)
{
    struct io_file *file;
    struct iovec vector = {chunk, size};
    checkpoint_seal_chunk(chunk, size, record_seed(secret));
    ck_assert_int_eq(io->ops->open(io, "r/checkpoint-b", IO_CREATE, &file), 0);
    ck_assert_int_eq(io->ops->write(io, file, &vector, 1, DISK_BLOCK + offset), 0);
    io->ops->close(io, file);
}

static int load(uint64_t blocks, uint64_t chunks, uint64_t body_size)
{
    struct checkpoint checkpoint = {.sequence = 3,
                                    .size = REGION_BYTES,
                                    .blocks = blocks,
                                    .chunks = chunks,
                                    .body_size = body_size};
    maxtree_release(&tree);
    maxtree_init(&tree);
    return checkpoint_load(io, "r", secret, &checkpoint, &tree, &tokens, &err);
}

static void set_extent(size_t i, struct extent extent)
{
    put_u64(chunk + CHECKPOINT_CHUNK_HEADER + i * 16, extent.address);
    put_u64(chunk + CHECKPOINT_CHUNK_HEADER + i * 16 + 8, extent.size);
}

START_TEST(free_blocks_are_where_they_can_be)
{
    static const struct {
        struct extent first, second;
        uint64_t blocks; /* 0 = refused */
    } cases[] = {
        {{100, 35}, {200, 50}, 2},
        {{100, 35}, {135, 50}, 1}, /* one that was told in two pieces */
        {{100, 35}, {134, 50}, 0},
        {{200, 50}, {100, 35}, 0},
        {{100, 0}, {200, 50}, 0},
        {{100, 35}, {REGION_SIZE_MAX + 1, 50}, 0},
        {{100, 35}, {200, REGION_BYTES + 1}, 0},
        {{100, 35}, {200, REGION_BYTES - 199}, 0},
        {{100, 35}, {200, REGION_BYTES - 200}, 2},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t size = make_chunk(CHECKPOINT_EXTENTS, 2, 32);
        set_extent(0, cases[i].first);
        set_extent(1, cases[i].second);
        write_chunk(0, size);
        int code = load(2, 1, size);
        ck_assert_msg(code == (cases[i].blocks > 0 ? 0 : ERR_CORRUPT), "case %zu: %d", i, code);
        ck_assert_uint_eq(tree.blocks, cases[i].blocks);
        if (cases[i].blocks == 0)
            ck_assert_str_eq(err.text, "r/checkpoint-b: the chunk at offset 4096 is damaged");
    }
}
END_TEST

/* Free blocks come first: whoever tells them after tokens has mixed up two checkpoints. */
START_TEST(free_blocks_come_before_tokens)
{
    struct checkpoint checkpoint = {.sequence = 3,
                                    .size = REGION_BYTES,
                                    .blocks = 1,
                                    .chunks = 2,
                                    .token_sequence = 1,
                                    .tokens = 1};
    size_t size = make_chunk(CHECKPOINT_TOKENS, 1, TOKEN_CHECKPOINT_BYTES);
    write_chunk(0, size);
    size_t second = make_chunk(CHECKPOINT_EXTENTS, 1, 16);
    put_u64(chunk + 16, 1); /* the second chunk */
    set_extent(0, (struct extent){100, 35});
    write_chunk(size, second);
    checkpoint.body_size = size + second;
    ck_assert_int_eq(checkpoint_load(io, "r", secret, &checkpoint, &tree, &tokens, &err),
                     ERR_CORRUPT);
    ck_assert_msg(strstr(err.text, "offset 4164") != NULL, "%s", err.text);
    ck_assert_uint_eq(tokens_count(&tokens), 0);
}
END_TEST

/* One of two in a chunk has a sequence that was told already. */
START_TEST(tokens_are_told_in_order)
{
    size_t size = make_chunk(CHECKPOINT_TOKENS, 2, 2 * TOKEN_CHECKPOINT_BYTES);
    struct token token = {.sequence = 7};
    uint8_t *second = checkpoint_encode_token(chunk + CHECKPOINT_CHUNK_HEADER, &token);
    struct checkpoint checkpoint = {
        .sequence = 3, .chunks = 1, .body_size = size, .token_sequence = 9, .tokens = 2};
    for (uint64_t sequence = 6; sequence <= 8; sequence++) {
        token.sequence = sequence;
        (void)checkpoint_encode_token(second, &token);
        write_chunk(0, size);
        int code = checkpoint_load(io, "r", secret, &checkpoint, &tree, &tokens, &err);
        ck_assert_msg(code == (sequence == 8 ? 0 : ERR_CORRUPT), "%d: %s", (int)sequence, err.text);
        tokens_clear(&tokens);
    }
}
END_TEST

START_TEST(a_body_ends_where_it_claims)
{
    size_t size = make_chunk(CHECKPOINT_EXTENTS, 1, 16);
    set_extent(0, (struct extent){100, 35});
    write_chunk(0, size);
    ck_assert_int_eq(load(1, 1, size), 0);
    ck_assert_int_eq(load(1, 1, size + 1), ERR_CORRUPT);
    ck_assert_int_eq(load(1, 1, size - 1), ERR_CORRUPT);
    ck_assert_int_eq(load(1, 1, CHECKPOINT_CHUNK_HEADER - 1), ERR_CORRUPT);
    ck_assert_int_eq(load(1, 2, size), ERR_CORRUPT);
    ck_assert_ptr_nonnull(strstr(err.text, "offset 4144"));
    ck_assert_int_eq(load(0, 0, 0), 0);
    ck_assert_uint_eq(tree.blocks, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("checkpoint: claims");
    TCase *tests = tcase_create("bytes");
    tcase_add_test(tests, a_header_claims_what_can_be);
    tcase_add_test(tests, a_chunk_claims_what_can_be);
    tcase_add_test(tests, tokens_come_out_even);
    suite_add_tcase(suite, tests);
    tests = tcase_create("loading");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, free_blocks_are_where_they_can_be);
    tcase_add_test(tests, free_blocks_come_before_tokens);
    tcase_add_test(tests, tokens_are_told_in_order);
    tcase_add_test(tests, a_body_ends_where_it_claims);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
