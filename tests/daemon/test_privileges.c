/* From root to the user of the configuration; what needs root is left out where the tests have
 * none. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/log.h"
#include "daemon/privileges.h"
#include "tests/support_main.h"

static struct conf_error error;

/* Nothing of it but the user counts. */
static struct conf conf_of(const char *user)
{
    struct conf conf = {0};
    conf.run_as.name = (char *)(uintptr_t)user;
    conf.run_as.line = 7;
    conf.run_as.column = 9;
    return conf;
}

static int status_of(int (*act)(void))
{
    int status;
    fflush(NULL);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        _exit(act());
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

START_TEST(no_such_user)
{
    struct conf conf = conf_of("no-such-\nuser");
    const char *wanted =
        "f:7:9: there is no user \"no-such-\\x0auser\" on this machine; make one, or "
        "leave user empty and start the server as whom it is to be";
    ck_assert_int_eq(privileges_check_user(&conf, "f", &error), -EINVAL);
    ck_assert_str_eq(error.text, wanted);
    ck_assert_uint_eq(error.line, 7);
    ck_assert_uint_eq(error.column, 9);
    memset(&error, 0, sizeof error);
    ck_assert_int_eq(privileges_check(&conf, "f", &error), -EINVAL);
    ck_assert_str_eq(error.text, wanted);
}
END_TEST

START_TEST(oneself)
{
    const struct passwd *self = getpwuid(geteuid());
    struct conf nobody_named = conf_of("");
    ck_assert_int_eq(privileges_check(&nobody_named, NULL, &error), 0);
    ck_assert(!privileges_are_too_many(&nobody_named));
    if (self == NULL)
        return;
    struct conf conf = conf_of(self->pw_name);
    ck_assert_int_eq(privileges_check(&conf, "f", &error), 0);
    ck_assert(!privileges_are_too_many(&conf));
    ck_assert_int_eq(privileges_give(&conf, "/nowhere"), 0);
}
END_TEST

static int refuse_another(void)
{
    struct conf conf = conf_of("root");
    char wanted[256];
    if (geteuid() == 0 && setresuid(12345, 12345, 12345) != 0)
        return 1;
    snprintf(wanted, sizeof wanted,
             "f:7:9: started as user %u, the server cannot become user \"root\": start it as root "
             "or as that user, or leave user empty",
             (unsigned)geteuid());
    if (privileges_check_user(&conf, "f", &error) != 0)
        return 2;
    if (privileges_check(&conf, "f", &error) != -EINVAL || strcmp(error.text, wanted) != 0)
        return 3;
    return privileges_are_too_many(&conf) ? 4 : 0;
}

START_TEST(somebody_else)
{
    ck_assert_int_eq(status_of(refuse_another), 0);
}
END_TEST

static int drop(void)
{
    struct conf conf = conf_of("nobody");
    const struct passwd *found = getpwnam("nobody");
    struct err err;
    gid_t groups[64];
    uid_t uid = found->pw_uid, real, effective, saved;
    gid_t gid = found->pw_gid, real_group, effective_group, saved_group;
    const gid_t before[] = {0, 4};
    if (setgroups(2, before) != 0 || !privileges_are_too_many(&conf))
        return 1;
    if (privileges_drop(&conf, &err) != 0)
        return 2;
    getresuid(&real, &effective, &saved);
    getresgid(&real_group, &effective_group, &saved_group);
    if (real != uid || effective != uid || saved != uid)
        return 3;
    if (real_group != gid || effective_group != gid || saved_group != gid)
        return 4;
    int count = getgroups(64, groups);
    for (int i = 0; i < count; i++)
        if (groups[i] == 0 || groups[i] == 4)
            return 5;
    if (setuid(0) == 0 || seteuid(0) == 0 || setgid(0) == 0)
        return 6;
    return privileges_are_too_many(&conf) ? 7 : 0;
}

/* What the name stands for belongs to nobody after it was given. */
static int give_one(const char *name, bool *ret_is_given)
{
    struct conf conf = conf_of("nobody");
    const struct passwd *found = getpwnam("nobody");
    struct stat stat;
    int status = privileges_give(&conf, name);
    if (lstat(name, &stat) != 0)
        return -errno;
    *ret_is_given = stat.st_uid == found->pw_uid && stat.st_gid == found->pw_gid;
    return status;
}

static int give(void)
{
    struct conf conf = conf_of("nobody");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char folder[] = "/tmp/mregion-privileges.XXXXXX", other[64], command[128];
    bool is_given[5] = {false};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), file;
    if (mkdtemp(folder) == NULL)
        return 1;
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", folder);
    snprintf(other, sizeof other, "%s/other", folder);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        link(address.sun_path, other) != 0)
        return 2;
    int status = 0;
    if (give_one(other, &is_given[0]) != -EPERM || is_given[0] || unlink(other) != 0)
        status = 3; /* somebody else's, of two names */
    if (give_one(address.sun_path, &is_given[1]) != 0 || !is_given[1])
        status = 4;
    if (symlink("/etc", other) != 0 || give_one(other, &is_given[2]) != -EPERM || is_given[2] ||
        unlink(other) != 0)
        status = 5;
    file = open(other, O_CREAT | O_RDWR, 0600);
    if (file < 0 || give_one(other, &is_given[3]) != -EPERM || is_given[3])
        status = 6;
    if (give_one(folder, &is_given[4]) != 0 || !is_given[4])
        status = 7;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command) != 0)
        status = 8;
    return status == 0 && privileges_give(&conf, folder) != -ENOENT ? 9 : status;
}

START_TEST(root_becomes_the_user)
{
    if (geteuid() != 0 || getpwnam("nobody") == NULL) {
        fprintf(stderr, "not tested: takes root and a user nobody\n");
        return;
    }
    ck_assert_int_eq(status_of(drop), 0);
    ck_assert_int_eq(status_of(give), 0);
}
END_TEST

/* In a namespace that has nobody. */
static int see_nobody(void)
{
    if (!privileges_see_users())
        return 1;
    if (unshare(CLONE_NEWUSER) != 0)
        return 77;
    return privileges_see_users() ? 2 : 0;
}

/* In one that has its root. */
static int see_root(void)
{
    if (unshare(CLONE_NEWUSER) != 0)
        return 77;
    FILE *map = fopen("/proc/self/uid_map", "we");
    if (map == NULL || fprintf(map, "0 0 1\n") < 0 || fclose(map) != 0)
        return 77;
    return privileges_see_users() ? 2 : 0;
}

START_TEST(users_of_a_namespace)
{
    static int (*const acts[])(void) = {see_nobody, see_root};
    for (size_t i = 0; i < 2; i++) {
        int status = status_of(acts[i]);
        if (status == 77)
            fprintf(stderr, "not tested: there are no user namespaces here\n");
        else
            ck_assert_int_eq(status, 0);
    }
}
END_TEST

static int hide(void)
{
    struct rlimit limit;
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    privileges_hide_memory();
    if (getrlimit(RLIMIT_CORE, &limit) != 0 || limit.rlim_cur != 0 || limit.rlim_max != 0)
        return 1;
    return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
}

/* What was hidden is not shown again by another user. */
static int hide_and_drop(void)
{
    struct conf conf = conf_of("nobody");
    struct err err;
    privileges_hide_memory();
    return privileges_drop(&conf, &err) != 0 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0;
}

START_TEST(secrets_are_not_dumped)
{
    if (geteuid() == 0 && getpwnam("nobody") != NULL)
        ck_assert_int_eq(status_of(hide_and_drop), 0);
    ck_assert_int_eq(status_of(hide), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("privileges");
    TCase *tests = tcase_create("privileges");
    log_init(LOG_LEVEL_WARNING);
    tcase_add_test(tests, no_such_user);
    tcase_add_test(tests, oneself);
    tcase_add_test(tests, somebody_else);
    tcase_add_test(tests, root_becomes_the_user);
    tcase_add_test(tests, users_of_a_namespace);
    tcase_add_test(tests, secrets_are_not_dumped);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
