#include "daemon/privileges.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/log.h"

__attribute__((format(printf, 4, 5))) static int fail(const struct conf_run_as *run_as,
                                                      const char *file, struct conf_error *error,
                                                      const char *format, ...)
{
    int used = snprintf(error->text, sizeof error->text, "%s:%zu:%zu: ", file, run_as->line,
                        run_as->column);
    va_list arguments;
    error->line = run_as->line;
    error->column = run_as->column;
    va_start(arguments, format);
    vsnprintf(error->text + used, sizeof error->text - (size_t)used, format, arguments);
    va_end(arguments);
    return -EINVAL;
}

static bool is_set(const struct conf *conf)
{
    return conf->run_as.name[0] != '\0';
}

/* The user; NULL with errno 0 where there is none. */
static const struct passwd *look_up(const struct conf *conf)
{
    errno = 0;
    return getpwnam(conf->run_as.name);
}

int privileges_check_user(const struct conf *conf, const char *file, struct conf_error *error)
{
    char escaped[CONF_RUN_AS_MAX + 1];
    if (!is_set(conf) || look_up(conf) != NULL)
        return 0;
    /* several ways to say that there is none */
    bool is_missing = errno == 0 || errno == ENOENT || errno == ESRCH;
    const char *reason = strerror(errno);
    log_escape(conf->run_as.name, strlen(conf->run_as.name), escaped, sizeof escaped);
    if (is_missing)
        return fail(&conf->run_as, file, error,
                    "there is no user \"%s\" on this machine; make one, or leave user empty and "
                    "start the server as whom it is to be",
                    escaped);
    return fail(&conf->run_as, file, error, "cannot look up user \"%s\": %s", escaped, reason);
}

int privileges_check(const struct conf *conf, const char *file, struct conf_error *error)
{
    int status = privileges_check_user(conf, file, error);
    if (status != 0 || !is_set(conf) || geteuid() == 0)
        return status;
    const struct passwd *user = look_up(conf);
    if (user != NULL && user->pw_uid == geteuid())
        return 0;
    return fail(&conf->run_as, file, error,
                "started as user %u, the server cannot become user \"%s\": start it as root or as "
                "that user, or leave user empty",
                (unsigned)geteuid(), conf->run_as.name);
}

bool privileges_are_too_many(const struct conf *conf)
{
    if (!is_set(conf) || geteuid() != 0)
        return false;
    const struct passwd *user = look_up(conf);
    return user == NULL || user->pw_uid != 0;
}

/* Whether it is what has just been made: in a folder of that user's something else may stand in its
 * place by now, and be a link to a file that is not to be his. */
static bool is_ours_to_give(int fd)
{
    struct stat stat;
    return fstat(fd, &stat) == 0 && stat.st_uid == geteuid() &&
           (S_ISDIR(stat.st_mode) || (S_ISSOCK(stat.st_mode) && stat.st_nlink == 1));
}

int privileges_give(const struct conf *conf, const char *path)
{
    if (!privileges_are_too_many(conf))
        return 0;
    const struct passwd *user = look_up(conf);
    if (user == NULL)
        return errno != 0 ? -errno : -ENOENT;
    int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int error = EPERM;
    if (is_ours_to_give(fd))
        error = fchownat(fd, "", user->pw_uid, user->pw_gid, AT_EMPTY_PATH) == 0 ? 0 : errno;
    close(fd);
    return -error;
}

int privileges_drop(const struct conf *conf, struct err *err)
{
    const struct passwd *found = look_up(conf);
    if (found == NULL)
        return err_set(err, ERR_INTERNAL, "user %s is gone", conf->run_as.name);
    uid_t uid = found->pw_uid;
    gid_t gid = found->pw_gid;
    bool is_hidden = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0;
    if (initgroups(conf->run_as.name, gid) != 0 || setresgid(gid, gid, gid) != 0 ||
        setresuid(uid, uid, uid) != 0)
        return err_set(err, ERR_INTERNAL, "cannot become user %s: %s", conf->run_as.name,
                       strerror(errno));
    if (is_hidden) /* the machine may say otherwise of who has changed its user */
        privileges_hide_memory();
    bool is_root = setuid(0) == 0 || (gid != 0 && setgid(0) == 0);
    assert(!is_root); /* half of it is worth nothing */
    log_info("running as user %s (%u) from here on", conf->run_as.name, (unsigned)uid);
    return 0;
}

/* Containers map as many at least; PrivateUsers=yes maps two. */
#define USERS_OF_A_SYSTEM 65536

bool privileges_see_users(void)
{
    FILE *map = fopen("/proc/self/uid_map", "re");
    unsigned long inside, outside, count, sum = 0;
    if (map == NULL)
        return true; /* cannot know; without /proc there is hardly a namespace */
    while (fscanf(map, "%lu %lu %lu", &inside, &outside, &count) == 3)
        sum += count;
    (void)fclose(map);
    return sum >= USERS_OF_A_SYSTEM;
}

void privileges_hide_memory(void)
{
    const struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        log_warning("a core dump would show the secrets in memory, and cannot be turned off: %s",
                    strerror(errno));
}
