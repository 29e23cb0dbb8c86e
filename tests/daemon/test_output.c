#include <check.h>
#include <string.h>

#include "daemon/output.h"
#include "tests/support_main.h"

static struct budget budget;
static struct pieces pieces;
static struct output output;

static void setup(void)
{
    budget_init(&budget, 1 << 20, 1 << 16);
    pieces_init(&pieces, &budget);
    output_init(&output, &pieces);
}

static void teardown(void)
{
    output_release(&output);
    ck_assert_uint_eq(budget.used, 0);
    pieces_release(&pieces);
}

/* Sends up to most bytes: copies them behind *taken bytes of to. */
static size_t take(uint8_t *to, size_t most)
{
    uv_buf_t buffers[8];
    unsigned count = output_vectors(&output, buffers, 8);
    size_t taken = 0;
    for (unsigned i = 0; i < count && taken < most; i++) {
        size_t size = buffers[i].len < most - taken ? buffers[i].len : most - taken;
        memcpy(to + taken, buffers[i].base, size);
        taken += size;
    }
    output_sent(&output, taken);
    return taken;
}

static void put(const uint8_t *bytes, size_t size)
{
    uint8_t *room = output_reserve(&output, size);
    ck_assert_ptr_nonnull(room);
    memcpy(room, bytes, size);
}

/* Whatever is put in, in whatever portions it is sent, comes out in order. */
START_TEST(bytes_come_out_in_order)
{
    static uint8_t in[300000], out[300000];
    size_t put_size = 0, taken = 0;
    unsigned seed = (unsigned)_i + 1;
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (uint8_t)rand_r(&seed);
    while (taken < sizeof in) {
        size_t size = 1 + (size_t)rand_r(&seed) % (_i % 2 == 0 ? 100 : 2 * PIECE_SIZE);
        if (size > sizeof in - put_size)
            size = sizeof in - put_size;
        if (size > 0 && rand_r(&seed) % 3 == 0) {
            struct piece *piece = piece_new(&pieces, size + 5, false);
            ck_assert_ptr_nonnull(piece);
            memcpy(piece->bytes + 5, in + put_size, size); /* as a blob behind its header's room */
            piece->sent = 5;
            piece->used = size + 5;
            output_append(&output, piece);
        } else if (size > 0) {
            put(in + put_size, size);
        }
        put_size += size;
        if (rand_r(&seed) % 2 == 0 || size == 0)
            taken += take(out + taken, (size_t)rand_r(&seed) % (4 * PIECE_SIZE));
        ck_assert_uint_eq(output.pending, put_size - taken);
    }
    ck_assert_mem_eq(in, out, sizeof in);
    ck_assert_ptr_null(output.first);
}
END_TEST

static struct piece *piece_of(const char *text)
{
    struct piece *piece = piece_new(&pieces, strlen(text), false);
    ck_assert_ptr_nonnull(piece);
    memcpy(piece->bytes, text, strlen(text));
    piece->used = strlen(text);
    return piece;
}

/* An answer in several pieces stays together, whatever is answered meanwhile, and its pieces come
 * home. */
START_TEST(nothing_passes_an_open_piece)
{
    uint8_t out[64];
    struct piece *home = NULL, *first = piece_of("one "), *second = piece_of("two ");
    put((const uint8_t *)"before ", 7);
    first->is_open = second->is_open = true;
    first->home = second->home = &home;
    output_append(&output, first);
    put((const uint8_t *)"behind", 6);
    ck_assert_uint_eq(take(out, sizeof out), 11);
    ck_assert_mem_eq(out, "before one ", 11);
    ck_assert_uint_eq(take(out, sizeof out), 0);
    ck_assert_uint_eq(output.pending, 6);
    ck_assert_ptr_null(home);
    output_insert(&output, first, second);
    ck_assert_ptr_eq(home, first);
    ck_assert_uint_eq(take(out, 2), 2);
    output_insert(&output, second, piece_of("three "));
    ck_assert_uint_eq(take(out, sizeof out), 14);
    ck_assert_mem_eq(out, "o three behind", 14);
    ck_assert_ptr_eq(home, second);
    piece_free(&pieces, first);
    piece_free(&pieces, second);
}
END_TEST

START_TEST(disowned_pieces_are_freed)
{
    uint8_t out[64];
    struct piece *home = NULL, *piece = piece_of("one");
    piece->is_open = true;
    piece->home = &home;
    output_append(&output, piece);
    put((const uint8_t *)" two", 4);
    output_disown(&output, &home);
    ck_assert_uint_eq(take(out, sizeof out), 7);
    ck_assert_ptr_null(home);
    ck_assert_uint_eq(budget.used, 0);
}
END_TEST

START_TEST(what_is_queued_is_freed_and_does_not_come_home)
{
    struct piece *home = NULL, *piece = piece_of("one");
    piece->is_open = true;
    piece->home = &home;
    output_append(&output, piece);
    output_release(&output);
    ck_assert_ptr_null(home);
    ck_assert_uint_eq(budget.used, 0);
}
END_TEST

START_TEST(undo_takes_back)
{
    uint8_t out[64];
    put((const uint8_t *)"abc", 3);
    put((const uint8_t *)"xyz", 3);
    output_undo(&output, 3);
    put((const uint8_t *)"def", 3);
    ck_assert_uint_eq(take(out, sizeof out), 6);
    ck_assert_mem_eq(out, "abcdef", 6);
}
END_TEST

START_TEST(undo_of_everything_leaves_nothing)
{
    uint8_t out[64];
    put((const uint8_t *)"xyz", 3);
    output_undo(&output, 3);
    ck_assert_uint_eq(output.pending, 0);
    put((const uint8_t *)"ok", 2);
    ck_assert_uint_eq(take(out, sizeof out), 2);
    ck_assert_mem_eq(out, "ok", 2);
}
END_TEST

START_TEST(an_idle_connection_holds_nothing)
{
    static uint8_t out[3 * PIECE_SIZE];
    static uint8_t in[3 * PIECE_SIZE];
    put(in, 10);
    put(in, sizeof in);
    take(out, sizeof out);
    take(out, sizeof out);
    ck_assert_ptr_null(output.first);
    ck_assert_uint_eq(budget.used, 0);
    ck_assert_uint_eq(pieces.free_count, 1); /* the standard one, for whoever comes next */
}
END_TEST

START_TEST(recycled_pieces_are_bounded)
{
    struct piece *held[2 * PIECES_KEPT];
    for (size_t i = 0; i < 2 * PIECES_KEPT; i++)
        held[i] = piece_new(&pieces, PIECE_SIZE, false);
    ck_assert_uint_eq(budget.used, 2 * PIECES_KEPT * PIECE_SIZE);
    for (size_t i = 0; i < 2 * PIECES_KEPT; i++)
        piece_free(&pieces, held[i]);
    ck_assert_uint_eq(pieces.free_count, PIECES_KEPT);
    ck_assert_uint_eq(pieces.free_small_count, 0);
}
END_TEST

/* One of a few bytes may come back as one of many: they are the same memory. */
START_TEST(small_pieces_are_recycled)
{
    struct piece *held[2 * SMALL_PIECES_KEPT];
    size_t charged = 0;
    for (size_t i = 0; i < 2 * SMALL_PIECES_KEPT; i++) {
        size_t capacity = i % SMALL_PIECE + 1;
        held[i] = piece_new(&pieces, capacity, false);
        ck_assert_uint_eq(held[i]->capacity, capacity);
        memset(held[i]->bytes, 7, capacity);
        charged += capacity;
    }
    ck_assert_uint_eq(budget.used, charged);
    for (size_t i = 0; i < 2 * SMALL_PIECES_KEPT; i++)
        piece_free(&pieces, held[i]);
    ck_assert_uint_eq(budget.used, 0);
    ck_assert_uint_eq(pieces.free_small_count, SMALL_PIECES_KEPT);
    struct piece *again = piece_new(&pieces, SMALL_PIECE, false);
    ck_assert_uint_eq(pieces.free_small_count, SMALL_PIECES_KEPT - 1);
    memset(again->bytes, 7, SMALL_PIECE);
    piece_free(&pieces, again);
    piece_free(&pieces, piece_new(&pieces, SMALL_PIECE + 1, false));
    ck_assert_uint_eq(pieces.free_small_count, SMALL_PIECES_KEPT);
    ck_assert_uint_eq(pieces.free_count, 0);
}
END_TEST

static struct pagecache cache;

/* A blob of size bytes that begins skip bytes into the first of its pages, as held pages. */
static struct piece *held_piece(size_t size, size_t skip)
{
    size_t count = (skip + size + DATA_PAGE - 1) / DATA_PAGE;
    struct piece *piece = piece_new_held(&pieces, count);
    ck_assert_ptr_nonnull(piece);
    for (size_t i = 0; i < count; i++) {
        ck_assert(pagecache_hold_spare(&cache, &piece->holds[i]));
        for (size_t j = 0; j < DATA_PAGE; j++)
            piece->holds[i].bytes[j] = (uint8_t)((i * DATA_PAGE + j) % 251);
    }
    piece->hold_count = count;
    memcpy(piece->bytes, "head", 4);
    piece->head = 4;
    piece->skip = skip;
    piece->used = 4 + size;
    return piece;
}

/* In order among others, in whatever portions they are taken; then they are let go. */
START_TEST(held_pages)
{
    static uint8_t out[300 * DATA_PAGE];
    static const size_t sizes[] = {1,
                                   10,
                                   DATA_PAGE - 5,
                                   DATA_PAGE,
                                   DATA_PAGE + 1,
                                   5 * DATA_PAGE,
                                   17 * DATA_PAGE,
                                   257 * DATA_PAGE};
    static const size_t skips[] = {0, 1, DATA_PAGE - 1};
    unsigned seed = (unsigned)_i;
    pagecache_set_limit(&cache, 600 * DATA_PAGE);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0] * 3; i++) {
        size_t size = sizes[i / 3], skip = skips[i % 3], taken = 0, total = size + 4 + 6 + 6;
        if (size == 257 * DATA_PAGE)
            size -= skip, total -= skip;
        put((const uint8_t *)"before", 6);
        output_append(&output, held_piece(size, skip));
        put((const uint8_t *)"behind", 6);
        ck_assert_uint_eq(output.pending, total);
        while (taken < total) {
            ck_assert_uint_le(output.held, size + 4);
            size_t most = _i == 0 ? total : 1 + (size_t)rand_r(&seed) % (total < 99 ? 5 : 9999);
            taken += take(out + taken, most);
            ck_assert_uint_eq(output.pending, total - taken);
        }
        ck_assert_uint_eq(output.held, 0);
        ck_assert_uint_eq(cache.held, 0);
        ck_assert_mem_eq(out, "beforehead", 10);
        size_t wrong = 0;
        for (size_t j = 0; j < size; j++)
            wrong += out[10 + j] != (skip + j) % 251;
        ck_assert_uint_eq(wrong, 0);
        ck_assert_mem_eq(out + total - 6, "behind", 6);
    }
    pagecache_release(&cache);
}
END_TEST

/* Pages that lie one behind the other are one buffer. */
START_TEST(adjoining_held_pages_are_one_buffer)
{
    uv_buf_t buffers[8];
    pagecache_set_limit(&cache, 64 * DATA_PAGE);
    output_append(&output, held_piece(16 * DATA_PAGE, 0));
    ck_assert_uint_eq(output_vectors(&output, buffers, 8), 2);
    ck_assert_uint_eq(buffers[1].len, 16 * DATA_PAGE);
    ck_assert_uint_eq(output_vectors(&output, buffers, 1), 1);
    ck_assert_uint_eq(buffers[0].len, 4);
    output_release(&output);
    ck_assert_uint_eq(cache.held, 0);
    pagecache_release(&cache);
}
END_TEST

START_TEST(held_pages_are_let_go_with_the_queue)
{
    uint8_t out[1000];
    pagecache_set_limit(&cache, 64 * DATA_PAGE);
    output_append(&output, held_piece(16 * DATA_PAGE, 9));
    output_append(&output, held_piece(3 * DATA_PAGE, 0));
    take(out, sizeof out);
    ck_assert_uint_eq(cache.held, 20);
    pagecache_release(&cache); /* the region is closed */
    output_release(&output);
    ck_assert_uint_eq(output.held, 0);
    ck_assert_uint_eq(budget.used, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("output");
    TCase *tcase = tcase_create("output");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, bytes_come_out_in_order, 0, 20);
    tcase_add_test(tcase, nothing_passes_an_open_piece);
    tcase_add_test(tcase, disowned_pieces_are_freed);
    tcase_add_test(tcase, what_is_queued_is_freed_and_does_not_come_home);
    tcase_add_test(tcase, undo_takes_back);
    tcase_add_test(tcase, undo_of_everything_leaves_nothing);
    tcase_add_test(tcase, an_idle_connection_holds_nothing);
    tcase_add_test(tcase, recycled_pieces_are_bounded);
    tcase_add_test(tcase, small_pieces_are_recycled);
    tcase_add_loop_test(tcase, held_pages, 0, 3);
    tcase_add_test(tcase, adjoining_held_pages_are_one_buffer);
    tcase_add_test(tcase, held_pages_are_let_go_with_the_queue);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
