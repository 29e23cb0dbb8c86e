#include <check.h>
#include <string.h>

#include "daemon/input.h"
#include "tests/support_main.h"

/* What is counted for a large message. */
#define PAGES(size) (((size) + 4095) / 4096 * 4096)

static struct budget budget;
static uint8_t scratch[SCRATCH_SIZE];
static struct input input;

static void setup(void)
{
    budget_init(&budget, 1 << 20, 1 << 20);
    input_init(&input, &budget, scratch);
}

static void teardown(void)
{
    input_release(&input);
    ck_assert_uint_eq(budget.used, 0);
}

/* As a read would: at most size bytes; returns how many there was room for. */
static size_t arrive(const uint8_t *bytes, size_t size)
{
    uv_buf_t room = input_room(&input);
    if (size > room.len)
        size = room.len;
    memcpy(room.base, bytes, size);
    input_filled(&input, size);
    return size;
}

START_TEST(what_is_handled_at_once_needs_no_memory)
{
    arrive((const uint8_t *)"abcdef", 6);
    ck_assert_mem_eq(input_bytes(&input), "abcdef", 6);
    input_consume(&input, 4);
    ck_assert_mem_eq(input_bytes(&input), "ef", 2);
    input_consume(&input, 2);
    ck_assert_uint_eq(input_size(&input), 0);
    ck_assert(input_keep(&input));
    ck_assert_uint_eq(budget.used, 0);
}
END_TEST

START_TEST(what_is_left_survives_another_read)
{
    arrive((const uint8_t *)"abcdef", 6);
    input_consume(&input, 2);
    ck_assert(input_keep(&input));
    memset(scratch, 'x', sizeof scratch); /* another connection reads */
    ck_assert_mem_eq(input_bytes(&input), "cdef", 4);
    ck_assert_int_eq(input_prepare(&input, NULL, 8), INPUT_READY);
    arrive((const uint8_t *)"ghij", 4);
    ck_assert_uint_eq(input_size(&input), 8);
    ck_assert_mem_eq(input_bytes(&input), "cdefghij", 8);
}
END_TEST

/* A claimed length costs nothing; memory follows what arrived, at most twice of it. */
START_TEST(grows_with_what_arrives)
{
    static uint8_t message[600000];
    for (size_t i = 0; i < sizeof message; i++)
        message[i] = (uint8_t)(i * 7 + i / 251);
    size_t arrived = arrive(message, 100);
    while (arrived < sizeof message) {
        ck_assert(input_keep(&input));
        ck_assert_int_eq(input_prepare(&input, NULL, sizeof message), INPUT_READY);
        ck_assert_uint_le(budget.used, arrived < 2048 ? 4096 : 2 * arrived);
        arrived += arrive(message + arrived, sizeof message - arrived);
    }
    ck_assert_uint_eq(input_size(&input), sizeof message);
    ck_assert_mem_eq(input_bytes(&input), message, sizeof message);
    ck_assert_uint_eq(budget.used, PAGES(sizeof message));

    struct buffer buffer = input_detach(&input, sizeof message);
    ck_assert_mem_eq(buffer.base, message, sizeof message);
    ck_assert_uint_eq(input_size(&input), 0);
    ck_assert_uint_eq(budget.used, PAGES(sizeof message));
    buffer_free(&buffer, &budget);
}
END_TEST

/* A large message is alone in its buffer: there is never room beyond its end. */
START_TEST(a_large_message_is_read_to_its_end_only)
{
    static uint8_t stream[3 * SCRATCH_SIZE];
    const size_t large = SCRATCH_SIZE + 1234;
    size_t arrived = arrive(stream, 10);
    while (arrived < large) {
        ck_assert(input_keep(&input));
        ck_assert_int_eq(input_prepare(&input, NULL, large), INPUT_READY);
        arrived += arrive(stream + arrived, sizeof stream - arrived);
    }
    ck_assert_uint_eq(input_size(&input), large);
}
END_TEST

/* A message comes in as many reads as there is room for; returns how many places it has had. */
static unsigned arrive_whole(const uint8_t *message, size_t size)
{
    unsigned places = 0;
    size_t arrived = 0;
    const uint8_t *place = NULL;
    while (arrived < size) {
        arrived += arrive(message + arrived, size - arrived);
        ck_assert(input_keep(&input));
        if (arrived < size)
            ck_assert_int_eq(input_prepare(&input, NULL, size), INPUT_READY);
        places += input_bytes(&input) != place;
        place = input_bytes(&input);
    }
    ck_assert_mem_eq(input_bytes(&input), message, size);
    return places;
}

static void detach(size_t size)
{
    struct buffer buffer = input_detach(&input, size);
    buffer_free(&buffer, &budget);
}

/* The second large message has its buffer as soon as its size is known, and arrives there. */
START_TEST(what_was_sent_before_is_believed)
{
    static uint8_t message[600000];
    for (size_t i = 0; i < sizeof message; i++)
        message[i] = (uint8_t)(i * 7 + i / 251);
    ck_assert_uint_eq(input_room(&input).len, SCRATCH_SIZE);
    (void)arrive_whole(message, sizeof message);
    detach(sizeof message);

    ck_assert_uint_eq(input_room(&input).len, BUDGET_FIRST);
    ck_assert_uint_eq(arrive_whole(message, sizeof message), 1);
    ck_assert_uint_eq(input.own.capacity, sizeof message);
    ck_assert_uint_eq(budget.used, PAGES(sizeof message));
    detach(sizeof message);
}
END_TEST

/* A claim has no more than twice of that, and what is small is not read in parts. */
START_TEST(what_is_claimed_is_not)
{
    static uint8_t message[100000];
    (void)arrive_whole(message, sizeof message);
    detach(sizeof message);
    arrive(message, BUDGET_FIRST);
    ck_assert(input_keep(&input));
    ck_assert_int_eq(input_prepare(&input, NULL, 1000000), INPUT_READY);
    ck_assert_uint_eq(budget.used, PAGES(2 * sizeof message));
    input_release(&input);

    ck_assert_uint_eq(input_room(&input).len, BUDGET_FIRST);
    arrive(message, 100);
    input_consume(&input, 60);
    input_consume(&input, 40);
    ck_assert_uint_eq(input_room(&input).len, SCRATCH_SIZE);
}
END_TEST

/* A buffer that was kept is read into like a new one: not beyond the message's end. */
START_TEST(a_kept_buffer_is_read_into)
{
    static uint8_t stream[3 * SCRATCH_SIZE];
    const size_t first = 2 * SCRATCH_SIZE + 1000, second = 2 * SCRATCH_SIZE - 3000;
    for (size_t i = 0; i < sizeof stream; i++)
        stream[i] = (uint8_t)(i * 5 + i / 253);
    (void)arrive_whole(stream, first);
    struct buffer buffer = input_detach(&input, first);
    const uint8_t *base = buffer.base;
    size_t memory = buffer.memory;
    budget_keep(&budget, &buffer);
    ck_assert_uint_eq(budget.used, 0);

    size_t arrived = arrive(stream, BUDGET_FIRST);
    ck_assert(input_keep(&input));
    ck_assert_int_eq(input_prepare(&input, NULL, second), INPUT_READY);
    ck_assert_ptr_eq(input.own.base, base);
    ck_assert_uint_eq(budget.used, memory);
    arrived += arrive(stream + arrived, sizeof stream - arrived);
    ck_assert_uint_eq(arrived, second);
    ck_assert_mem_eq(input_bytes(&input), stream, second);
    /* it turns out to be longer */
    ck_assert_int_eq(input_prepare(&input, NULL, first), INPUT_READY);
    ck_assert_ptr_eq(input.own.base, base);
    arrived += arrive(stream + arrived, sizeof stream - arrived);
    ck_assert_uint_eq(arrived, first);
    ck_assert_int_eq(input_prepare(&input, NULL, 2 * first), INPUT_READY);
    ck_assert_mem_eq(input_bytes(&input), stream, first);
    ck_assert_uint_eq(budget.used, PAGES(2 * first));
    input_release(&input);
}
END_TEST

START_TEST(waits_where_the_budget_is_full)
{
    static uint8_t bytes[SCRATCH_SIZE];
    const struct conn *other = (const struct conn *)(const void *)bytes; /* only compared */
    arrive(bytes, sizeof bytes);
    ck_assert(input_keep(&input));
    ck_assert(budget_take(&budget, other, 1 << 20)); /* and with it the overdraft */
    ck_assert(budget_take(&budget, other, 1 << 20));
    ck_assert_int_eq(input_prepare(&input, NULL, 300000), INPUT_WAIT);
    ck_assert_uint_eq(input_growth(&input, 300000), SCRATCH_SIZE);
    ck_assert_uint_eq(input_size(&input), sizeof bytes);
    budget_give(&budget, 2 << 20);
    ck_assert_int_eq(input_prepare(&input, NULL, 300000), INPUT_READY);
}
END_TEST

/* Where beginnings are too many, each has a page, and waits for more unless its end is there. */
START_TEST(beginnings_are_bounded)
{
    static uint8_t bytes[SCRATCH_SIZE];
    struct budget part;
    budget_init_part(&part, &budget);
    input_init(&input, &part, scratch);
    budget_add(&part, 2 * part.limit);
    ck_assert_uint_eq(input_room(&input).len, BUDGET_FIRST);
    ck_assert_uint_eq(arrive(bytes, sizeof bytes), BUDGET_FIRST);
    ck_assert(input_keep(&input));
    ck_assert_uint_eq(part.used, 2 * part.limit + BUDGET_FIRST);
    struct conn *self = (struct conn *)(void *)bytes, *other = (struct conn *)(void *)&part;
    part.waiting = other; /* only compared */
    ck_assert_int_eq(input_prepare(&input, self, 9000), INPUT_WAIT);
    part.is_passing = true;
    ck_assert_int_eq(input_prepare(&input, self, 9000), INPUT_READY);
    part.is_passing = false;
    part.waiting = NULL;

    uint64_t held = input.own.capacity;
    ck_assert_uint_eq(budget.used, 2 * part.limit + held);
    input_release(&input);
    budget_give(&part, 2 * part.limit);
    ck_assert_uint_eq(part.used, 0);
    ck_assert_uint_eq(input_room(&input).len, SCRATCH_SIZE);
}
END_TEST

/* A message that is whole is no part of those that arrive. */
START_TEST(what_is_whole_makes_room)
{
    static uint8_t message[3 * SCRATCH_SIZE];
    struct budget part;
    budget_init_part(&part, &budget);
    input_init(&input, &part, scratch);
    for (size_t arrived = 0; arrived < sizeof message;) {
        arrived += arrive(message + arrived, sizeof message - arrived);
        ck_assert(input_keep(&input));
        if (arrived < sizeof message)
            ck_assert_int_eq(input_prepare(&input, NULL, sizeof message), INPUT_READY);
    }
    ck_assert_uint_eq(part.used, sizeof message);
    struct buffer buffer = input_detach(&input, sizeof message);
    ck_assert_uint_eq(part.used, 0);
    ck_assert_uint_eq(budget.used, sizeof message);
    buffer_free(&buffer, &budget);
}
END_TEST

static size_t count(const uint8_t *bytes, size_t size, char byte)
{
    size_t found = 0;
    for (size_t i = 0; i < size; i++)
        found += bytes[i] == (uint8_t)byte;
    return found;
}

/* A secret is gone wherever it has been, what lies behind it is not. */
START_TEST(a_secret_is_wiped)
{
    arrive((const uint8_t *)"..SSSS", 6);
    ck_assert(input_keep(&input)); /* in both places now */
    ck_assert_int_eq(input_prepare(&input, NULL, 8), INPUT_READY);
    arrive((const uint8_t *)"SSxy", 4);
    input_consume(&input, 2);
    input_wipe(&input, 6);
    ck_assert_uint_eq(count(scratch, sizeof scratch, 'S'), 0);
    ck_assert_uint_eq(count(input.own.base, input.own.capacity, 'S'), 0);
    input_consume(&input, 6);
    ck_assert_mem_eq(input_bytes(&input), "xy", 2);
    input_consume(&input, 2);

    memset(scratch, 'S', sizeof scratch);
    arrive((const uint8_t *)"SSSSab", 6);
    input_wipe(&input, 4);
    ck_assert_uint_eq(count(scratch, sizeof scratch, 'S'), 0);
    input_consume(&input, 4);
    ck_assert_mem_eq(input_bytes(&input), "ab", 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("input");
    TCase *tcase = tcase_create("input");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, what_is_handled_at_once_needs_no_memory);
    tcase_add_test(tcase, what_is_left_survives_another_read);
    tcase_add_test(tcase, grows_with_what_arrives);
    tcase_add_test(tcase, a_large_message_is_read_to_its_end_only);
    tcase_add_test(tcase, what_was_sent_before_is_believed);
    tcase_add_test(tcase, what_is_claimed_is_not);
    tcase_add_test(tcase, a_kept_buffer_is_read_into);
    tcase_add_test(tcase, a_secret_is_wiped);
    tcase_add_test(tcase, waits_where_the_budget_is_full);
    tcase_add_test(tcase, beginnings_are_bounded);
    tcase_add_test(tcase, what_is_whole_makes_room);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
