/* proto/frame: where a message ends, for every form of MessagePack, in one piece and in slices,
 * and which claims are refused before their bytes arrive. */
#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "proto/frame.h"
#include "support_hex.h"
#include "tests/support_main.h"

#define LIMIT (64 * MIB)

struct verdict {
    enum frame_status status;
    uint64_t size; /* of a complete frame; else what ret_size said */
};

static struct verdict scan(const uint8_t *bytes, size_t size, uint64_t limit)
{
    struct frame_scanner scanner;
    struct verdict verdict = {.size = UINT64_MAX};

    frame_reset(&scanner);
    verdict.status = frame_scan(&scanner, bytes, size, limit, &verdict.size);
    return verdict;
}

static struct verdict scan_hex(const char *text, uint64_t limit)
{
    struct hex frame = hex(text);

    return scan(frame.bytes, frame.size, limit);
}

/* The verdict when byte after byte (or step after step) arrives in a buffer of exactly that size,
 * so that a sanitizer sees every byte read too many. On the way: each announced least size is
 * above what is there, never falls, and nothing is complete below it. */
static struct verdict scan_in_steps(const uint8_t *bytes, size_t size, uint64_t limit, size_t step)
{
    struct frame_scanner scanner;
    struct verdict verdict = {FRAME_INCOMPLETE, 0};
    uint64_t least = 0;

    frame_reset(&scanner);
    for (size_t have = 0;; have += step) {
        uint8_t *arrived;

        if (have > size)
            have = size;
        arrived = malloc(have + 1);
        ck_assert_ptr_nonnull(arrived);
        memcpy(arrived + 1, bytes, have);
        verdict.status = frame_scan(&scanner, arrived + 1, have, limit, &verdict.size);
        free(arrived);
        if (verdict.status == FRAME_INCOMPLETE) {
            ck_assert_uint_gt(verdict.size, have);
            ck_assert_uint_ge(verdict.size, least);
            ck_assert_uint_le(verdict.size, limit);
            least = verdict.size;
        } else if (verdict.status == FRAME_COMPLETE) {
            ck_assert_uint_ge(verdict.size, least);
        }
        if (verdict.status != FRAME_INCOMPLETE || have == size)
            return verdict;
    }
}

static void assert_same_in_steps(const uint8_t *bytes, size_t size, uint64_t limit)
{
    struct verdict whole = scan(bytes, size, limit);

    for (size_t step = 1; step <= 7; step++) {
        struct verdict steps = scan_in_steps(bytes, size, limit, step);

        ck_assert_int_eq(steps.status, whole.status);
        if (whole.status == FRAME_COMPLETE || whole.status == FRAME_INCOMPLETE)
            ck_assert_uint_eq(steps.size, whole.size);
    }
}

static const struct {
    const char *header;
    size_t payload; /* bytes that follow */
} forms[] = {
    {"00", 0},           {"7f", 0},
    {"e0", 0},           {"ff", 0},
    {"80", 0},           {"90", 0},
    {"a0", 0},           {"a1", 1},
    {"bf", 31},          {"c0", 0},
    {"c2", 0},           {"c3", 0},
    {"c4 00", 0},        {"c4 ff", 255},
    {"c5 0100", 256},    {"c6 00000400", 1024},
    {"c7 00 05", 0},     {"c7 03 05", 3},
    {"c8 0100 05", 256}, {"c9 00000100 ff", 256},
    {"ca 3fc00000", 0},  {"cb 3ff8000000000000", 0},
    {"cc ff", 0},        {"cd ffff", 0},
    {"ce ffffffff", 0},  {"cf ffffffffffffffff", 0},
    {"d0 80", 0},        {"d1 8000", 0},
    {"d2 80000000", 0},  {"d3 8000000000000000", 0},
    {"d4 01", 1},        {"d5 01", 2},
    {"d6 01", 4},        {"d7 01", 8},
    {"d8 01", 16},       {"d9 20", 32},
    {"da 0100", 256},    {"db 00000100", 256},
    {"dc 0000", 0},      {"dd 00000000", 0},
    {"de 0000", 0},      {"df 00000000", 0},
};

START_TEST(every_form_ends_where_it_ends)
{
    struct hex frame = hex(forms[_i].header);
    size_t size = frame.size + forms[_i].payload;
    struct verdict verdict;

    memset(frame.bytes + frame.size, 0xc1, HEX_MAX - frame.size);
    for (size_t have = 0; have < size; have++) {
        verdict = scan(frame.bytes, have, LIMIT);
        ck_assert_int_eq(verdict.status, FRAME_INCOMPLETE);
        ck_assert_uint_gt(verdict.size, have);
        ck_assert_uint_le(verdict.size, size);
    }
    for (size_t more = 0; more < 3; more++) {
        verdict = scan(frame.bytes, size + more, LIMIT);
        ck_assert_int_eq(verdict.status, FRAME_COMPLETE);
        ck_assert_uint_eq(verdict.size, size);
    }
    assert_same_in_steps(frame.bytes, size, LIMIT);
    ck_assert_int_eq(scan(frame.bytes, size, size).status, FRAME_COMPLETE);
    ck_assert_int_eq(scan(frame.bytes, size, size - 1).status, FRAME_TOO_LARGE);
}
END_TEST

START_TEST(nested_objects_end_together)
{
    static const char *const frames[] = {
        "94 00 01 a4 'ping' 90",
        "94 00 ce 00011170 c4 07 'addBlob' 92 a4 'main' c4 03 010203",
        "93 02 a5 'clear' 91 05",
        "94 00 01 ad 'getFreeMemory' 92 00 82 a4 'from' cf 0000000000000000 a5 'limit' 0a",
        "91 91 92 90 81 c0 91 c3",
        "df 00000001 dd 00000001 80 de 0000",
        "8f 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d",
        "9f 000102030405060708090a0b0c0d0e",
    };

    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        struct hex frame = hex(frames[i]);
        struct verdict verdict;

        for (size_t have = 0; have < frame.size; have++)
            ck_assert_int_eq(scan(frame.bytes, have, LIMIT).status, FRAME_INCOMPLETE);
        verdict = scan(frame.bytes, frame.size, LIMIT);
        ck_assert_int_eq(verdict.status, FRAME_COMPLETE);
        ck_assert_uint_eq(verdict.size, frame.size);
        assert_same_in_steps(frame.bytes, frame.size, LIMIT);
        frame.bytes[frame.size] = 0xc1; /* the next message is its own affair */
        ck_assert_int_eq(scan(frame.bytes, frame.size + 1, LIMIT).status, FRAME_COMPLETE);
    }
}
END_TEST

START_TEST(least_size_is_announced)
{
    ck_assert_uint_eq(scan_hex("", LIMIT).size, 1);
    ck_assert_uint_eq(scan_hex("94", LIMIT).size, 5);
    ck_assert_uint_eq(scan_hex("94 00 01 a4", LIMIT).size, 9);
    ck_assert_uint_eq(scan_hex("94 00 01 a7 'addBlob' 92 00 c6", LIMIT).size, 18);
    ck_assert_uint_eq(scan_hex("94 00 01 a7 'addBlob' 92 00 c6 00100000", LIMIT).size, 18 + MIB);
}
END_TEST

START_TEST(a_jump_over_a_blob_is_not_walked_again)
{
    struct hex frame = hex("92 c6 00000800");
    struct frame_scanner scanner;
    uint64_t size = 0;

    frame_reset(&scanner);
    ck_assert_int_eq(frame_scan(&scanner, frame.bytes, frame.size, LIMIT, &size), FRAME_INCOMPLETE);
    ck_assert_uint_eq(scanner.position, 6 + 2048);
    /* What was walked may change: it is not looked at again. */
    memset(frame.bytes, 0xc1, 6 + 2048);
    frame.bytes[6 + 2048] = 0xc0;
    ck_assert_int_eq(frame_scan(&scanner, frame.bytes, 6 + 2049, LIMIT, &size), FRAME_COMPLETE);
    ck_assert_uint_eq(size, 6 + 2049);
}
END_TEST

START_TEST(the_unused_byte_is_invalid_anywhere)
{
    ck_assert_int_eq(scan_hex("c1", LIMIT).status, FRAME_INVALID);
    ck_assert_int_eq(scan_hex("94 00 c1", LIMIT).status, FRAME_INVALID);
    ck_assert_int_eq(scan_hex("94 00 01 a4 'ping' 91 c1", LIMIT).status, FRAME_INVALID);
    ck_assert_int_eq(scan_hex("81 a1 'a' c1", LIMIT).status, FRAME_INVALID);
    ck_assert_int_eq(scan_hex("a1 c1", LIMIT).status, FRAME_COMPLETE);
}
END_TEST

START_TEST(nesting_is_bounded)
{
    static const uint8_t openers[] = {0x91, 0x81};
    uint8_t bytes[FRAME_DEPTH_MAX * 2 + 2];

    for (size_t kind = 0; kind < sizeof openers; kind++) {
        size_t step = kind + 1; /* a map has a key before what it nests */
        size_t size = FRAME_DEPTH_MAX * step;

        memset(bytes, 0xc0, sizeof bytes);
        for (size_t i = 0; i < FRAME_DEPTH_MAX; i++)
            bytes[i * step] = openers[kind];
        ck_assert_int_eq(scan(bytes, size + 1, LIMIT).status, FRAME_COMPLETE);
        bytes[size] = openers[kind] & 0xf0; /* even an empty one */
        ck_assert_int_eq(scan(bytes, size + 1, LIMIT).status, FRAME_TOO_DEEP);
        assert_same_in_steps(bytes, size + 1, LIMIT);
    }
}
END_TEST

START_TEST(nesting_counts_what_is_open)
{
    struct hex frame = hex("dc 0040");

    for (size_t i = 0; i < 64; i++) {
        frame.bytes[frame.size++] = 0x91;
        frame.bytes[frame.size++] = 0x91;
        frame.bytes[frame.size++] = 0x90;
    }
    ck_assert_int_eq(scan(frame.bytes, frame.size, LIMIT).status, FRAME_COMPLETE);
}
END_TEST

START_TEST(more_elements_where_the_reader_allows_them)
{
    struct hex frame = hex("dd 00010000");
    struct frame_scanner scanner;
    uint64_t size = 0;

    frame_reset(&scanner);
    ck_assert_int_eq(frame_scan(&scanner, frame.bytes, frame.size, UINT64_MAX, &size),
                     FRAME_TOO_MANY);
    frame_reset(&scanner);
    scanner.elements_max = 0x10001;
    ck_assert_int_eq(frame_scan(&scanner, frame.bytes, frame.size, UINT64_MAX, &size),
                     FRAME_INCOMPLETE);
    ck_assert_uint_eq(size, 5 + 0x10000);
    frame_reset(&scanner);
    scanner.elements_max = 0x10000;
    ck_assert_int_eq(frame_scan(&scanner, frame.bytes, frame.size, UINT64_MAX, &size),
                     FRAME_TOO_MANY);
}
END_TEST

START_TEST(claimed_counts_are_refused_at_the_header)
{
    static const char *const refused[] = {
        "dd 00010000", /* the array itself is one */
        "dd ffffffff",     "df 00008000",    "df 80000000",
        "df ffffffff",     "92 dd 0000fffe", /* the sum of all that is open */
        "dc fff0 dc 0010",
    };

    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct hex frame = hex(refused[i]);

        ck_assert_msg(scan(frame.bytes, frame.size, UINT64_MAX).status == FRAME_TOO_MANY, "%s",
                      refused[i]);
        ck_assert_int_eq(scan(frame.bytes, frame.size - 1, UINT64_MAX).status, FRAME_INCOMPLETE);
        assert_same_in_steps(frame.bytes, frame.size, UINT64_MAX);
    }
    ck_assert_int_eq(scan_hex("dc ffff", LIMIT).status, FRAME_INCOMPLETE);
    ck_assert_int_eq(scan_hex("df 00007fff", LIMIT).status, FRAME_INCOMPLETE);
    ck_assert_int_eq(scan_hex("92 dd 0000fffd", LIMIT).status, FRAME_INCOMPLETE);
}
END_TEST

START_TEST(as_many_elements_as_allowed)
{
    uint8_t *bytes = calloc(1, 3 + FRAME_ELEMENTS_MAX);
    struct verdict verdict;

    ck_assert_ptr_nonnull(bytes);
    bytes[0] = 0xdc; /* array 16 of 65535 */
    bytes[1] = 0xff;
    bytes[2] = 0xff;
    verdict = scan(bytes, 3 + FRAME_ELEMENTS_MAX, LIMIT);
    ck_assert_int_eq(verdict.status, FRAME_COMPLETE);
    ck_assert_uint_eq(verdict.size, 3 + FRAME_ELEMENTS_MAX - 1);
    free(bytes);
}
END_TEST

START_TEST(claimed_lengths_are_refused_at_the_header)
{
    static const char *const claims[] = {"c6 ffffffff", "c6 04000000", "db ffffffff",
                                         "c9 ffffffff 00", "91 c6 04000000"};

    for (size_t i = 0; i < sizeof claims / sizeof claims[0]; i++) {
        struct hex frame = hex(claims[i]);

        ck_assert_int_eq(scan(frame.bytes, frame.size, LIMIT).status, FRAME_TOO_LARGE);
        assert_same_in_steps(frame.bytes, frame.size, LIMIT);
    }
    ck_assert_uint_eq(scan_hex("c6 ffffffff", UINT64_MAX).size, 5 + (uint64_t)UINT32_MAX);
    ck_assert_uint_eq(scan_hex("c9 ffffffff 00", UINT64_MAX).size, 6 + (uint64_t)UINT32_MAX);
    /* The sum of lengths goes past 2^32 without wrapping. */
    ck_assert_int_eq(scan_hex("92 c6 03ffff00", LIMIT).status, FRAME_INCOMPLETE);
    ck_assert_int_eq(scan_hex("9f c6 03fffff0", LIMIT).status, FRAME_TOO_LARGE);
}
END_TEST

START_TEST(the_limit_counts_what_must_still_come)
{
    ck_assert_int_eq(scan_hex("", 0).status, FRAME_TOO_LARGE);
    ck_assert_int_eq(scan_hex("", 1).status, FRAME_INCOMPLETE);
    ck_assert_int_eq(scan_hex("9f", 15).status, FRAME_TOO_LARGE);
    ck_assert_int_eq(scan_hex("9f", 16).status, FRAME_INCOMPLETE);
    ck_assert_int_eq(scan_hex("92 cf", 10).status, FRAME_TOO_LARGE);
    ck_assert_int_eq(scan_hex("92 cf", 11).status, FRAME_INCOMPLETE);
    ck_assert_int_eq(scan_hex("93 01 02 03", 3).status, FRAME_TOO_LARGE);
}
END_TEST

/* Bytes that look like MessagePack more often than chance would have it. */
static uint8_t likely_byte(uint32_t *state)
{
    static const uint8_t likely[] = {0x00, 0x01, 0x90, 0x91, 0x92, 0x94, 0x80, 0x81, 0xa0, 0xa3,
                                     0xc0, 0xc1, 0xc4, 0xc5, 0xc6, 0xc7, 0xcd, 0xcf, 0xd4, 0xd9,
                                     0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xff, 0x00, 0x00, 0x00, 0x00};

    *state = *state * 1664525U + 1013904223U;
    return likely[(*state >> 8) % sizeof likely];
}

START_TEST(slices_get_the_same_verdict)
{
    uint32_t state = 7420;
    unsigned verdicts[FRAME_TOO_LARGE + 1] = {0};

    for (unsigned round = 0; round < 20000; round++) {
        uint8_t bytes[48];
        size_t size = round % sizeof bytes + 1;
        uint64_t limit = round % 3 == 0 ? 24 : LIMIT;

        for (size_t i = 0; i < size; i++)
            bytes[i] = likely_byte(&state);
        assert_same_in_steps(bytes, size, limit);
        verdicts[scan(bytes, size, limit).status]++;
    }
    for (unsigned status = 0; status <= FRAME_TOO_LARGE; status++)
        if (status != FRAME_TOO_DEEP) /* a test of its own */
            ck_assert_msg(verdicts[status] > 100, "verdict %u was hardly seen", status);
}
END_TEST

/* Frames of about as many containers and elements as are scanned in one go, whole and with
 * something behind them. */
START_TEST(many_containers_get_the_same_verdict)
{
    uint8_t bytes[3 + 64 + 8];

    for (size_t count = 1; count <= 64; count++) {
        bytes[0] = 0xdc;
        bytes[1] = 0;
        bytes[2] = (uint8_t)count;
        for (size_t kind = 0; kind < 3; kind++) {
            static const uint8_t elements[] = {0x90, 0x80, 0x00};

            memset(bytes + 3, elements[kind], count);
            memset(bytes + 3 + count, 0xc1, 8);
            for (size_t behind = 0; behind <= 8; behind += 8) {
                struct verdict verdict = scan(bytes, 3 + count + behind, LIMIT);

                ck_assert_int_eq(verdict.status, FRAME_COMPLETE);
                ck_assert_uint_eq(verdict.size, 3 + count);
                assert_same_in_steps(bytes, 3 + count + behind, LIMIT);
                assert_same_in_steps(bytes, 3 + count + behind, count);
            }
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("proto/frame");
    TCase *tcase = tcase_create("frame");

    tcase_add_loop_test(tcase, every_form_ends_where_it_ends, 0,
                        (int)(sizeof forms / sizeof forms[0]));
    tcase_add_test(tcase, nested_objects_end_together);
    tcase_add_test(tcase, least_size_is_announced);
    tcase_add_test(tcase, a_jump_over_a_blob_is_not_walked_again);
    tcase_add_test(tcase, the_unused_byte_is_invalid_anywhere);
    tcase_add_test(tcase, nesting_is_bounded);
    tcase_add_test(tcase, nesting_counts_what_is_open);
    tcase_add_test(tcase, more_elements_where_the_reader_allows_them);
    tcase_add_test(tcase, claimed_counts_are_refused_at_the_header);
    tcase_add_test(tcase, as_many_elements_as_allowed);
    tcase_add_test(tcase, claimed_lengths_are_refused_at_the_header);
    tcase_add_test(tcase, the_limit_counts_what_must_still_come);
    tcase_add_test(tcase, slices_get_the_same_verdict);
    tcase_add_test(tcase, many_containers_get_the_same_verdict);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
