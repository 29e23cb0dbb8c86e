/* client/scrub: an answer that takes longer than the timeout is waited for, as long as the server
 * answers something. */
#include <check.h>
#include <string.h>

#include "support_fake.h"
#include "tests/support_main.h"

#define TIMEOUT_MS 300

static struct fake fake;
static struct mregion *connection;
static struct mregion_error error;
static struct mregion_scrub_result result;

/* How the server behaves. */
struct plan {
    unsigned looks;    /* answered before the scrub is */
    bool is_silent;    /* nothing is answered */
    bool is_lost_once; /* the first connection is closed instead of an answer */
    bool is_wrong;     /* the answer is none */
    bool is_twofold;   /* its list of damages comes twice */
    unsigned scrubs, infos;
};

static void pack_damages(msgpack_packer *packer, size_t damages)
{
    msgpack_pack_str_with_body(packer, "damages", 7);
    msgpack_pack_array(packer, damages);
    for (size_t i = 0; i < damages; i++)
        msgpack_pack_uint64(packer, i * 4096);
}

static bool answer(int fd, uint32_t msgid, const char *const *keys, const uint64_t *values,
                   size_t count, size_t damages, bool is_twofold)
{
    msgpack_sbuffer buffer;
    msgpack_packer packer;

    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    msgpack_pack_array(&packer, 4);
    msgpack_pack_int(&packer, 1);
    msgpack_pack_uint32(&packer, msgid);
    msgpack_pack_nil(&packer);
    msgpack_pack_map(&packer, count + 2 + is_twofold);
    msgpack_pack_str_with_body(&packer, "unknown", 7);
    msgpack_pack_map(&packer, 0);
    for (size_t i = 0; i < count; i++) {
        msgpack_pack_str_with_body(&packer, keys[i], strlen(keys[i]));
        msgpack_pack_uint64(&packer, values[i]);
    }
    for (unsigned i = 0; i <= is_twofold; i++)
        pack_damages(&packer, damages);
    bool ok = fake_write(fd, buffer.data, buffer.size);
    msgpack_sbuffer_destroy(&buffer);
    return ok;
}

static bool answer_scrub(int fd, uint32_t msgid, const struct plan *plan)
{
    static const char *const keys[] = {"pages", "verified", "unverified", "damaged"};
    static const uint64_t values[] = {2000, 700, 100, 1200};

    if (plan->is_wrong)
        return fake_answer_nil(fd, msgid);
    return answer(fd, msgid, keys, values, 4, MREGION_SCRUB_DAMAGES + 5, plan->is_twofold);
}

static void script(struct fake *self, int fd, unsigned number)
{
    static const char *const keys[] = {"scrub_position", "size"};
    struct plan *plan = self->context;
    struct fake_request request;
    uint32_t scrub = 0;

    while (fake_read(self, fd, &request)) {
        uint32_t msgid = request.rpc.msgid;
        bool is_scrub = strcmp(request.method, "scrub") == 0;

        fake_drop(&request);
        if (is_scrub) {
            plan->scrubs++;
            scrub = msgid;
            if (plan->is_lost_once && number == 0)
                return;
            if (plan->looks == 0 && !plan->is_silent)
                (void)answer_scrub(fd, scrub, plan);
        } else if (!plan->is_silent) {
            const uint64_t values[] = {100 * ++plan->infos, 1000};

            (void)answer(fd, msgid, keys, values, 2, 0, false);
            if (plan->infos == plan->looks)
                (void)answer_scrub(fd, scrub, plan);
        }
    }
}

static int scrub(struct plan *plan, mregion_progress progress, void *context)
{
    struct mregion_options options = {.timeout_ms = TIMEOUT_MS};

    fake_start(&fake, script, plan);
    ck_assert_int_eq(mregion_connect(fake.address, &options, &connection, &error), 0);
    mregion_set_progress(connection, progress, context);
    int code = mregion_scrub(connection, "main", &result, &error);
    mregion_close(connection);
    fake_stop(&fake);
    return code;
}

static void expect_result(void)
{
    ck_assert_uint_eq(result.pages, 2000);
    ck_assert_uint_eq(result.verified, 700);
    ck_assert_uint_eq(result.unverified, 100);
    ck_assert_uint_eq(result.damaged, 1200);
    ck_assert_uint_eq(result.damages_count, MREGION_SCRUB_DAMAGES);
    for (size_t i = 0; i < result.damages_count; i++)
        ck_assert_uint_eq(result.damages[i], i * 4096);
}

START_TEST(answered_at_once)
{
    struct plan plan = {.looks = 0};

    ck_assert_int_eq(scrub(&plan, NULL, NULL), MREGION_OK);
    expect_result();
    ck_assert_uint_eq(plan.infos, 0);
}
END_TEST

static int count_progress(uint64_t done, uint64_t total, void *context)
{
    unsigned *count = context;

    ck_assert_uint_eq(total, 1000);
    ck_assert_uint_eq(done, 100 * (uint64_t)++ * count);
    return 0;
}

START_TEST(longer_than_the_timeout)
{
    struct plan plan = {.looks = 5};
    unsigned count = 0;

    ck_assert_int_eq(scrub(&plan, count_progress, &count), MREGION_OK);
    expect_result();
    ck_assert_uint_eq(plan.scrubs, 1);
    ck_assert_uint_eq(plan.infos, 5);
    ck_assert_uint_eq(count, 5);
}
END_TEST

START_TEST(a_server_that_is_silent)
{
    struct plan plan = {.is_silent = true};

    ck_assert_int_eq(scrub(&plan, NULL, NULL), MREGION_ERR_TIMEOUT);
    ck_assert_uint_eq(plan.scrubs, 1);
}
END_TEST

static int stop(uint64_t done, uint64_t total, void *context)
{
    (void)total;
    (void)context;
    return done >= 300;
}

START_TEST(canceled)
{
    struct plan plan = {.looks = 100};

    ck_assert_int_eq(scrub(&plan, stop, NULL), MREGION_ERR_CANCELED);
    ck_assert_uint_eq(plan.infos, 3);
}
END_TEST

START_TEST(a_connection_that_breaks)
{
    struct plan plan = {.looks = 1, .is_lost_once = true};

    ck_assert_int_eq(scrub(&plan, NULL, NULL), MREGION_OK);
    expect_result();
    ck_assert_uint_eq(plan.scrubs, 2);
}
END_TEST

START_TEST(no_answer)
{
    struct plan plan = {.is_wrong = true};

    ck_assert_int_eq(scrub(&plan, NULL, NULL), MREGION_ERR_PROTOCOL);
}
END_TEST

/* Behind the last there is no room, whatever the server says. */
START_TEST(a_list_that_comes_twice)
{
    struct plan plan = {.is_twofold = true};

    ck_assert_int_eq(scrub(&plan, NULL, NULL), MREGION_OK);
    expect_result();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client/scrub");
    TCase *tests = tcase_create("client/scrub");

    tcase_add_test(tests, answered_at_once);
    tcase_add_test(tests, longer_than_the_timeout);
    tcase_add_test(tests, a_server_that_is_silent);
    tcase_add_test(tests, canceled);
    tcase_add_test(tests, a_connection_that_breaks);
    tcase_add_test(tests, no_answer);
    tcase_add_test(tests, a_list_that_comes_twice);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
