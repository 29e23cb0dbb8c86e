/* client/settings: what is sent as a number and what as a text, and answers of all kinds. */
#include <check.h>
#include <string.h>

#include "support_fake.h"
#include "tests/support_main.h"

static struct fake fake;
static struct mregion *connection;
static struct mregion_error error;

/* Answers with these bytes, whatever is asked, and keeps the frame. */
struct plan {
    const char *result;
    size_t size;
    uint8_t frame[256];
    size_t frame_size;
};

static void script(struct fake *self, int fd, unsigned number)
{
    struct plan *plan = self->context;
    struct fake_request request;

    (void)number;
    while (fake_read(self, fd, &request)) {
        const uint8_t head[] = {0x94, 1, 0xce, 0, 0, 0, (uint8_t)request.rpc.msgid, 0xc0};

        ck_assert_uint_le(request.size, sizeof plan->frame);
        memcpy(plan->frame, request.frame, request.size);
        plan->frame_size = request.size;
        ck_assert_uint_lt(request.rpc.msgid, 256);
        fake_drop(&request);
        if (!fake_write(fd, head, sizeof head) || !fake_write(fd, plan->result, plan->size))
            return;
    }
}

static void begin(struct plan *plan)
{
    fake_start(&fake, script, plan);
    ck_assert_int_eq(mregion_connect(fake.address, NULL, &connection, &error), 0);
}

static void end(void)
{
    mregion_close(connection);
    fake_stop(&fake);
}

#define TEXT(literal) (literal), sizeof(literal) - 1

START_TEST(numbers_are_sent_as_numbers)
{
    static const char *const values[] = {
        "7", "0", "18446744073709551615", "18446744073709551616", "7 ", "-1", ""};
    static const struct {
        const char *bytes;
        size_t size;
    } sent[] = {{TEXT("\x07")},
                {TEXT("\x00")},
                {TEXT("\xcf\xff\xff\xff\xff\xff\xff\xff\xff")},
                {TEXT("\xb4"
                      "18446744073709551616")},
                {TEXT("\xa2"
                      "7 ")},
                {TEXT("\xa2-1")},
                {TEXT("\xa0")}};
    struct plan plan = {.result = "\xc0", .size = 1};

    begin(&plan);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct mregion_setting setting = {.name = "x", .value = values[i]};

        ck_assert_int_eq(mregion_set_region(connection, "main", &setting, 1, &error), 0);
        ck_assert_uint_gt(plan.frame_size, sent[i].size);
        ck_assert_mem_eq(plan.frame + plan.frame_size - sent[i].size, sent[i].bytes, sent[i].size);
    }
    end();
}
END_TEST

/* What is not known is passed over, and what is not promised is refused. */
START_TEST(answers)
{
    static const struct {
        const char *bytes;
        size_t size;
        enum mregion_code code;
    } cases[] = {
        {TEXT("\x80"), 0},
        {TEXT("\x81\xa1"
              "a\x83\xa1x\x92\x01\x02\xa5value\xa1"
              "1\xad"
              "after_restart\xa1"
              "2"),
         0},
        {TEXT("\xc0"), MREGION_ERR_PROTOCOL},
        {TEXT("\x90"), MREGION_ERR_PROTOCOL},
        {TEXT("\x81\x01\x81\xa5value\xa1"
              "1"),
         MREGION_ERR_PROTOCOL},
        {TEXT("\x81\xa1"
              "a\xa1"
              "1"),
         MREGION_ERR_PROTOCOL},
        {TEXT("\x81\xa1"
              "a\x80"),
         MREGION_ERR_PROTOCOL},
        {TEXT("\x81\xa1"
              "a\x81\xa5value\x01"),
         MREGION_ERR_PROTOCOL},
        {TEXT("\x81\xa1"
              "a\x81\x01\x01"),
         MREGION_ERR_PROTOCOL},
    };
    struct plan plan;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mregion_setting *settings = NULL;
        size_t count = 99;

        plan = (struct plan){.result = cases[i].bytes, .size = cases[i].size};
        begin(&plan);
        ck_assert_int_eq(mregion_config_get(connection, "*", &settings, &count, &error),
                         cases[i].code);
        end();
        ck_assert_uint_eq(count, cases[i].code != 0 ? 99 : i);
        if (i == 1) {
            ck_assert_str_eq(settings[0].name, "a");
            ck_assert_str_eq(settings[0].value, "1");
            ck_assert_str_eq(settings[0].after_restart, "2");
        }
        mregion_free(settings);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client/settings");
    TCase *tests = tcase_create("client/settings");

    tcase_add_test(tests, numbers_are_sent_as_numbers);
    tcase_add_test(tests, answers);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
