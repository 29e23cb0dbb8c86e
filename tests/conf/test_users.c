/* conf/read, conf/scalar, conf/hash: users and their grants. */
#include <errno.h>
#include <string.h>

#include "conf/hash.h"
#include "tests/conf/support_conf.h"
#include "tests/conf/support_run.h"

#define SALT "f/QgEQ2BMi0dHjRMlRh+1w"
#define SUM "pGZkLlKKR56GS5NG6OpJimgjfmZUQpqgwFFUj/Nt7v4"
#define HASH "$argon2id$v=19$m=8,t=1,p=1$" SALT "$" SUM

START_TEST(everything)
{
    struct conf conf = parse_conf("users:\n"
                                  "- grants:\n"
                                  "  - regions: photos-*\n"
                                  "    access: write\n"
                                  "  - {access: admin, regions: '?*'}\n"
                                  "  uid: 1000\n"
                                  "  name: alice\n"
                                  "  password_hash: " HASH "\n"
                                  "- {name: b, gid: 0, certificate: 'CN=b,O=Example'}\n");
    const struct conf_user *alice = &conf.users[0], *b = &conf.users[1];

    ck_assert_uint_eq(conf.users_count, 2);
    ck_assert_str_eq(alice->name, "alice");
    ck_assert_str_eq(alice->password_hash, HASH);
    ck_assert_ptr_null(alice->certificate);
    ck_assert_uint_eq(alice->uid, 1000);
    ck_assert_uint_eq(alice->gid, CONF_NO_ID);
    ck_assert_uint_eq(alice->grants_count, 2);
    ck_assert_str_eq(alice->grants[0].regions, "photos-*");
    ck_assert_int_eq(alice->grants[0].access, ACCESS_WRITE);
    ck_assert_str_eq(alice->grants[1].regions, "?*");
    ck_assert_int_eq(alice->grants[1].access, ACCESS_ADMIN);
    ck_assert_uint_eq(alice->line, 2);
    ck_assert_ptr_null(b->password_hash);
    ck_assert_str_eq(b->certificate, "CN=b,O=Example");
    ck_assert_uint_eq(b->uid, CONF_NO_ID);
    ck_assert_uint_eq(b->gid, 0);
    ck_assert_uint_eq(b->grants_count, 0);
    conf_release(&conf);
}
END_TEST

START_TEST(the_last_list_holds)
{
    struct conf conf = default_conf();

    ck_assert_uint_eq(conf.users_count, 0);
    conf_release(&conf);
    conf = parse_conf("users: []\n");
    ck_assert_uint_eq(conf.users_count, 0);
    conf_release(&conf);
}
END_TEST

START_TEST(users_let_strangers_connect)
{
    struct conf conf = parse_conf("listen: [{tcp: '0.0.0.0:1'}, {unix: /a, mode: 0666}]\n"
                                  "users: [{name: a, uid: 1}]\n");

    ck_assert_uint_eq(conf.listens_count, 2);
    ck_assert_int_eq(conf_add_listen(&conf, "tcp:[::]:2", NULL), 0);
    conf_release(&conf);
}
END_TEST

START_TEST(refusals)
{
    static const struct refusal cases[] = {
        {"users: alice\n", "f:1:8: users must be a list such as \"- name: alice\", not \"alice\""},
        {"users: [alice]\n",
         "f:1:9: each item of users must be a mapping such as \"name: alice\", not \"alice\""},
        {"users:\n- uid: 5\n", "f:2:3: a user needs a key name"},
        {"users:\n- name: a\n  grants: []\n",
         "f:2:3: user \"a\" needs at least one of password_hash, certificate, uid and gid, or "
         "nobody can be it; mrcli passwd makes a password_hash"},
        {"users:\n- name: a\n  uid: 1\n  passwd_hash: x\n",
         "f:4:3: unknown key \"passwd_hash\" in a user; did you mean \"password_hash\"?"},
        {"users:\n- name: a\n  uid: 1\n  grants: read\n",
         "f:4:11: grants must be a list such as \"- regions: main\", not \"read\""},
        {"users:\n- name: a\n  uid: 1\n  grants: [{regions: x}]\n",
         "f:4:12: a grant needs the keys regions and access"},
        {"users:\n- name: a\n  uid: 1\n  grants: [{regions: x, acess: read}]\n",
         "f:4:25: unknown key \"acess\" in a grant; did you mean \"access\"?"},
        {"users:\n- name: a\n  uid: 1\n  grants: [{regions: x, access: wirte}]\n",
         "f:4:33: access must be read, write or admin, not \"wirte\"; did you mean \"write\"?"},
        {"users:\n- name: a\n  uid: 1\n  grants: [{regions: 'a b', access: read}]\n",
         "f:4:22: regions must be a pattern of regions' names such as photos-*: 1 to 64 letters, "
         "digits, dots, underscores, hyphens, * and ?, not \"a b\""},
        {"users:\n- name: a\n  uid: 1\n  grants: [{regions: '', access: read}]\n",
         "f:4:22: regions must be a pattern of regions' names such as photos-*: 1 to 64 letters, "
         "digits, dots, underscores, hyphens, * and ?, not \"\""},
        {"users:\n- name: a\n  uid: 1\n  grants: [{regions: .a, access: read}]\n",
         "f:4:22: regions must be a pattern of regions' names such as photos-*: 1 to 64 letters, "
         "digits, dots, underscores, hyphens, * and ?, not \".a\""},
        {"users:\n- name: a\n  uid: 1\n  grants: [{regions: 5, access: read}]\n",
         "f:4:22: regions must be a pattern of regions' names such as photos-*: 1 to 64 letters, "
         "digits, dots, underscores, hyphens, * and ?, not the number 5; put it into quotes if "
         "you mean it"},
        {"users:\n- name: \"a\\nb\"\n  uid: 1\n",
         "f:2:9: name must be a user's name of 1 to 64 letters, digits, dots, underscores, hyphens "
         "and at signs, a letter or digit first, not \"a\\nb\""},
        {"users:\n- name: a\n  uid: root\n",
         "f:3:8: uid must be the number of a user or group, not \"root\""},
        {"users:\n- name: a\n  uid: -1\n", "f:3:8: uid must be between 0 and 4294967294, not -1"},
        {"users:\n- name: a\n  gid: 4294967295\n",
         "f:3:8: gid must be between 0 and 4294967294, not 4294967295"},
        {"users:\n- name: a\n  gid: '5'\n",
         "f:3:8: gid must be the number of a user or group, not \"5\""},
        {"users:\n- name: a\n  gid: 5MiB\n",
         "f:3:8: gid must be the number of a user or group, not \"5MiB\""},
        {"users:\n- name: a\n  certificate: ''\n",
         "f:3:16: certificate must be the subject of a certificate, such as CN=alice,O=Example, "
         "not \"\""},
        {"users:\n- name: a\n  uid: 1\n- name: a\n  uid: 2\n",
         "f:4:3: a second user with this name; the first, \"a\", is on line 2"},
        {"users:\n- name: a\n  uid: 1\n- name: b\n  uid: 1\n",
         "f:5:3: a second user with this uid; the first, \"a\", is on line 2"},
        {"users:\n- name: a\n  gid: 1\n- {name: b, uid: 1, gid: 1}\n",
         "f:4:21: a second user with this gid; the first, \"a\", is on line 2"},
        {"users:\n- {name: a, certificate: CN=x}\n- {name: b, certificate: CN=x}\n",
         "f:3:13: a second user with this certificate; the first, \"a\", is on line 2"},
    };

    ASSERT_REFUSALS(cases);
}
END_TEST

START_TEST(hashes)
{
    static const char damaged[] =
        "must be an argon2id hash, as mrcli passwd prints it; this one is damaged";
    static const char costly[] =
        "costs too much: at most 64 MiB of memory (m=65536) and 16 passes (t=16); mrcli passwd "
        "makes one that fits";
    static const struct {
        const char *hash;
        const char *problem;
    } cases[] = {
        {"secret",
         "must be an argon2id hash, as mrcli passwd prints it: it begins with $argon2id$"},
        {"$argon2i$v=19$m=8,t=1,p=1$" SALT "$" SUM,
         "must be an argon2id hash, as mrcli passwd prints it: it begins with $argon2id$"},
        {"$argon2id$", damaged},
        {"$argon2id$v=19$m=8,t=1,p=1$" SALT, damaged},
        {"$argon2id$v=19$m=8,t=1,p=1$" SALT "$", damaged},
        {"$argon2id$v=18$m=8,t=1,p=1$" SALT "$" SUM, damaged},
        {HASH "!", damaged},
        {"$argon2id$v=19$m=65537,t=1,p=1$" SALT "$" SUM, costly},
        {"$argon2id$v=19$m=8,t=17,p=1$" SALT "$" SUM, costly},
    };

    const char *problem = NULL;

    ck_assert_int_eq(hash_check(HASH, strlen(HASH), &problem), 0);
    ck_assert_ptr_null(problem);
    ck_assert_int_eq(hash_check(HASH, sizeof HASH, &problem), -EINVAL); /* with its terminator */
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_msg(hash_check(cases[i].hash, strlen(cases[i].hash), &problem) == -EINVAL,
                      "taken: %s", cases[i].hash);
        ck_assert_str_eq(problem, cases[i].problem);
    }
}
END_TEST

/* What may be a password by mistake is not repeated. */
START_TEST(a_hash_is_not_shown)
{
    assert_refused("users:\n- name: a\n  password_hash: hunter2\n",
                   strlen("users:\n- name: a\n  password_hash: hunter2\n"),
                   "f:3:18: password_hash must be an argon2id hash, as mrcli passwd prints it: it "
                   "begins with $argon2id$");
}
END_TEST

START_TEST(too_many)
{
    assert_repeated_refused("users:\n- name: a\n  uid: 1\n  grants:\n",
                            "  - {regions: a, access: read}\n", CONF_GRANTS_MAX + 1,
                            "f:261:5: grants has at most 256 items");
}
END_TEST

RUN_SUITE("conf/users", everything, the_last_list_holds, users_let_strangers_connect, refusals,
          hashes, a_hash_is_not_shown, too_many)
