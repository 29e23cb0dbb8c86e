#include <check.h>
#include <string.h>

#include "daemon/dispatch.h"
#include "tests/support_main.h"

static bool peek(const char *bytes, size_t size, uint32_t *ret_msgid)
{
    return dispatch_peek_msgid((const uint8_t *)bytes, size, ret_msgid);
}

#define PEEK(bytes, msgid) peek(bytes, sizeof(bytes) - 1, msgid)

START_TEST(the_msgid_of_a_beginning)
{
    uint32_t msgid = 0;
    ck_assert(PEEK("\x94\x00\x07", &msgid));
    ck_assert_uint_eq(msgid, 7);
    ck_assert(PEEK("\x94\x00\xcc\xff\xa4pi", &msgid));
    ck_assert_uint_eq(msgid, 255);
    ck_assert(PEEK("\x94\x00\xce\xff\xff\xff\xff\xc1", &msgid));
    ck_assert_uint_eq(msgid, UINT32_MAX);
    ck_assert(PEEK("\xdc\x00\x04\xcc\x00\xd3\x00\x00\x00\x00\x00\x00\x00\x05", &msgid));
    ck_assert_uint_eq(msgid, 5);
    ck_assert(PEEK("\xdd\x00\x00\x00\x04\xcf\x00\x00\x00\x00\x00\x00\x00\x00"
                   "\xcf\x00\x00\x00\x00\x00\x00\x00\x06",
                   &msgid));
    ck_assert_uint_eq(msgid, 6);
}
END_TEST

START_TEST(what_says_nobody_to_answer)
{
    uint32_t msgid = 99;
    ck_assert(!PEEK("", &msgid));
    ck_assert(!PEEK("\x94", &msgid));
    ck_assert(!PEEK("\x94\x00", &msgid));
    ck_assert(!PEEK("\x94\x00\xce\x01\x02\x03", &msgid));                     /* not all of it */
    ck_assert(!PEEK("\x93\x02\x01\x02", &msgid));                             /* a notification */
    ck_assert(!PEEK("\x94\x01\x01\xc0\x00", &msgid));                         /* a response */
    ck_assert(!PEEK("\x94\x00\xcf\x00\x00\x00\x01\x00\x00\x00\x00", &msgid)); /* 33 bits */
    ck_assert(!PEEK("\x94\x00\xff", &msgid));
    ck_assert(!PEEK("\x94\x00\xca\x00\x00\x00\x00", &msgid));
    ck_assert(!PEEK("\x91\x00", &msgid));
    ck_assert(!PEEK("\xdb\xff\xff\xff\xff", &msgid));
    ck_assert(!PEEK("\x94\xdb\xff\xff\xff\xff", &msgid));
    ck_assert(!PEEK("\x94\x00\xc6\xff\xff\xff\xff", &msgid));
    ck_assert(!PEEK("\xc1", &msgid));
    ck_assert_uint_eq(msgid, 99);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dispatch");
    TCase *tcase = tcase_create("peek");
    tcase_add_test(tcase, the_msgid_of_a_beginning);
    tcase_add_test(tcase, what_says_nobody_to_answer);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
