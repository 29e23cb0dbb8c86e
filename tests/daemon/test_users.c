/* daemon/users: who somebody is, and what he may do. */
#include <check.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/log.h"
#include "daemon/users.h"
#include "tests/support_main.h"

static struct conf conf;

static void setup(void)
{
    static const char text[] =
        "users:\n"
        "- {name: alice, uid: 1000, gid: 50, grants: [{regions: '*', access: read},\n"
        "   {regions: a*, access: admin}, {regions: ab, access: write}]}\n"
        "- {name: bob, uid: 1001, gid: 60, certificate: 'CN=bob,O=x'}\n"
        "- {name: Al, gid: 70, password_hash: '$argon2id$v=19$m=8,t=1,p=1$f/QgEQ2BMi0dHjRMlRh+1w"
        "$pGZkLlKKR56GS5NG6OpJimgjfmZUQpqgwFFUj/Nt7v4'}\n";
    struct conf_error error = {0};
    ck_assert_int_eq(conf_init_defaults(&conf, &error), 0);
    ck_assert_msg(conf_parse(&conf, text, strlen(text), "f", &error) == 0, "%s", error.text);
}

static void teardown(void)
{
    conf_release(&conf);
}

static bool match(const char *pattern, const char *name)
{
    return users_match(pattern, name, strlen(name));
}

START_TEST(patterns)
{
    ck_assert(match("main", "main"));
    ck_assert(!match("main", "main2"));
    ck_assert(!match("main", "mai"));
    ck_assert(!match("main", "Main"));
    ck_assert(match("*", ""));
    ck_assert(match("*", "anything.at-all_"));
    ck_assert(match("photos-*", "photos-"));
    ck_assert(match("photos-*", "photos-2024"));
    ck_assert(!match("photos-*", "photos"));
    ck_assert(match("*.old", "a.old.old"));
    ck_assert(!match("*.old", "a.old.new"));
    ck_assert(match("a?c", "abc"));
    ck_assert(!match("a?c", "ac"));
    ck_assert(match("?*?", "ab"));
    ck_assert(!match("?*?", "a"));
    ck_assert(match("a*b*c", "a-b-b-c"));
    ck_assert(!match("a*b*c", "a-c-b"));
    ck_assert(match("**a**", "a"));
    ck_assert(!match("a.b", "axb"));
    ck_assert(!users_match("ab", "abc", 1));
    ck_assert(users_match("a", "abc", 1)); /* a name need not be terminated */
}
END_TEST

/* A pattern with many stars does not take time in proportion to a power of their number. */
START_TEST(a_pattern_that_fails_late)
{
    char name[65];
    memset(name, 'a', 64);
    name[64] = '\0';
    ck_assert(!match("a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", name));
}
END_TEST

static enum rights rights(const char *user, const char *region)
{
    return users_rights(users_find(&conf, user, strlen(user)), region, strlen(region));
}

START_TEST(the_highest_grant_holds)
{
    ck_assert_int_eq(rights("alice", "other"), RIGHTS_READ);
    ck_assert_int_eq(rights("alice", "a"), RIGHTS_ADMIN);
    ck_assert_int_eq(rights("alice", "ab"), RIGHTS_ADMIN);
    ck_assert_int_eq(rights("bob", "a"), RIGHTS_NONE);
    ck_assert_str_eq(rights_name(RIGHTS_NONE), "none");
    ck_assert_str_eq(rights_name(RIGHTS_READ), "read");
    ck_assert_str_eq(rights_name(RIGHTS_ADMIN), "admin");
}
END_TEST

START_TEST(by_name)
{
    ck_assert_ptr_eq(users_find(&conf, "alice", 5), &conf.users[0]);
    ck_assert_ptr_eq(users_find(&conf, "Alice", 2), &conf.users[2]);
    ck_assert_ptr_null(users_find(&conf, "alice", 6));
    ck_assert_ptr_null(users_find(&conf, "", 0));
    ck_assert_ptr_null(users_find(&conf, "ALICE", 5));
}
END_TEST

START_TEST(by_certificate)
{
    ck_assert_ptr_eq(users_find_certificate(&conf, "CN=bob,O=x"), &conf.users[1]);
    ck_assert_ptr_null(users_find_certificate(&conf, "CN=bob"));
}
END_TEST

static const char *process(uid_t uid, gid_t gid, gid_t other, enum known_by *ret_by)
{
    const gid_t groups[] = {9, other, 10};
    const struct conf_user *user = users_find_process(&conf, uid, gid, groups, 3, ret_by);
    return user != NULL ? user->name : "-";
}

START_TEST(by_process)
{
    enum known_by by;
    ck_assert_str_eq(process(1001, 50, 70, &by), "bob"); /* the uid is more than any group */
    ck_assert_int_eq(by, KNOWN_BY_UID);
    ck_assert_str_eq(process(5, 70, 50, &by), "Al"); /* the primary group more than another */
    ck_assert_int_eq(by, KNOWN_BY_GID);
    ck_assert_str_eq(process(5, 5, 60, &by), "bob");
    ck_assert_int_eq(by, KNOWN_BY_GID);
    ck_assert_str_eq(process(5, 5, 5, &by), "-");
    ck_assert_int_eq(by, KNOWN_NOT);
    /* What is not given is nobody's, whatever its number is cut to. */
    ck_assert_str_eq(process((uid_t)-1, (gid_t)-1, (gid_t)-1, &by), "-");
}
END_TEST

/* In a namespace without the users of the machine all of them have one and the same id. */
START_TEST(ids_that_mean_nothing)
{
    const struct users_means all = {.all_ids = true, .uid = 1, .gid = 2};
    const struct users_means few = {.uid = 1, .gid = 2};
    const struct users_means none = {.uid = 65534, .gid = 65534};
    ck_assert_uint_eq(users_uid(&all, 65534), 65534);
    ck_assert_uint_eq(users_gid(&all, 70), 70);
    ck_assert_uint_eq(users_uid(&few, 0), 0);
    ck_assert_uint_eq(users_uid(&few, 1), 1);
    ck_assert_uint_eq(users_uid(&few, 2), USERS_NO_ID);
    ck_assert_uint_eq(users_uid(&few, 65534), USERS_NO_ID);
    ck_assert_uint_eq(users_gid(&few, 0), 0);
    ck_assert_uint_eq(users_gid(&few, 1), USERS_NO_ID);
    ck_assert_uint_eq(users_gid(&few, 2), 2);
    ck_assert_uint_eq(users_gid(&few, 65534), USERS_NO_ID);
    ck_assert_uint_eq(users_uid(&none, 65534), USERS_NO_ID);
    ck_assert_uint_eq(users_gid(&none, 65534), USERS_NO_ID);
}
END_TEST

/* What is logged about the users of a configuration. */
static void warnings(const char *yaml, const struct users_means *means, char *text, size_t size)
{
    static struct conf_error error;
    struct conf of_file;
    FILE *to = tmpfile();
    int saved = dup(STDERR_FILENO);
    ck_assert_int_eq(conf_init_defaults(&of_file, &error), 0);
    ck_assert_msg(conf_parse(&of_file, yaml, strlen(yaml), "f", &error) == 0, "%s", error.text);
    ck_assert(to != NULL && saved >= 0 && dup2(fileno(to), STDERR_FILENO) >= 0);
    users_warn(&of_file, means);
    ck_assert(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    rewind(to);
    text[fread(text, 1, size - 1, to)] = '\0';
    fclose(to);
    conf_release(&of_file);
}

START_TEST(who_can_never_be_known)
{
    const struct users_means all = {.certificates = true, .all_ids = true};
    const struct users_means unasked = {.all_ids = true};
    const struct users_means unseen = {.certificates = true, .uid = 7, .gid = 8};
    static const char certificates[] = "users: [{name: a, certificate: CN=a}, {name: b, uid: 5},\n"
                                       "  {name: c, certificate: CN=c, gid: 5}]\n";
    static const char ids[] = "users: [{name: a, uid: 0}, {name: b, uid: 7}, {name: c, gid: 8},\n"
                              "  {name: d, uid: 8}, {name: e, gid: 7}, {name: f, uid: 65534}]\n";
    char text[2048];
    log_init(LOG_LEVEL_WARNING);
    warnings(certificates, &all, text, sizeof text);
    ck_assert_str_eq(text, "");
    warnings(ids, &all, text, sizeof text);
    ck_assert_str_eq(text, "");
    warnings(certificates, &unasked, text, sizeof text);
    ck_assert_ptr_nonnull(strstr(text, "users: nobody can be known as a, by a certificate that no "
                                       "listener asks for: set tls_clients to"));
    ck_assert_ptr_null(strstr(text, "PrivateUsers"));
    warnings(ids, &unseen, text, sizeof text);
    ck_assert_ptr_nonnull(strstr(text, "users: nobody can be known as d and 2 others by uid or "
                                       "gid, as the server does not see"));
    ck_assert_ptr_null(strstr(text, "tls_clients"));
}
END_TEST

START_TEST(decoys)
{
    struct conf none = {0};
    ck_assert_str_eq(users_decoy(&conf, 0), conf.users[2].password_hash);
    ck_assert_str_eq(users_decoy(&conf, 12345), conf.users[2].password_hash);
    /* Without any password: one of the cost that new ones have. */
    ck_assert_int_eq(crypto_pwhash_str_needs_rehash(users_decoy(&none, 7),
                                                    crypto_pwhash_OPSLIMIT_INTERACTIVE,
                                                    crypto_pwhash_MEMLIMIT_INTERACTIVE),
                     0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("users");
    TCase *tcase = tcase_create("users");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, patterns);
    tcase_add_test(tcase, a_pattern_that_fails_late);
    tcase_add_test(tcase, the_highest_grant_holds);
    tcase_add_test(tcase, by_name);
    tcase_add_test(tcase, by_certificate);
    tcase_add_test(tcase, by_process);
    tcase_add_test(tcase, ids_that_mean_nothing);
    tcase_add_test(tcase, who_can_never_be_known);
    tcase_add_test(tcase, decoys);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
