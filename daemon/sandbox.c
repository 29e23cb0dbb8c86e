#include "daemon/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/log.h"

/* Rights that came after the headers of the oldest system that this is built on. */
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV (1ULL << 15)
#endif
#ifndef LANDLOCK_ACCESS_NET_BIND_TCP
#define LANDLOCK_ACCESS_NET_BIND_TCP (1ULL << 0)
#define LANDLOCK_ACCESS_NET_CONNECT_TCP (1ULL << 1)
#endif
#ifndef LANDLOCK_SCOPE_SIGNAL
#define LANDLOCK_SCOPE_SIGNAL (1ULL << 1)
#endif

/* Everything that the first version of Landlock restricts: its last right is 12. */
#define RIGHTS_OF_FIRST ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)

/* struct landlock_ruleset_attr as it has become; each version of the kernel takes a longer one. */
struct ruleset_attributes {
    uint64_t files;
    uint64_t net;
    uint64_t scoped;
};

/* What open files can be asked for; the rest is for folders alone. */
#define RIGHTS_ON_FILES                                                                            \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE |   \
     LANDLOCK_ACCESS_FS_TRUNCATE | LANDLOCK_ACCESS_FS_IOCTL_DEV)

static const uint64_t rights_of[] = {
    [SANDBOX_READ] = LANDLOCK_ACCESS_FS_READ_FILE,
    [SANDBOX_REMOVE] = LANDLOCK_ACCESS_FS_REMOVE_FILE,
    [SANDBOX_CHANGE] = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
                       LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE |
                       LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR |
                       LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR,
};

/* For the whole process, with no way back. */
static bool files_are_restricted;

/* Whether it is only prepared. */
static bool is_dry(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    return true;
#else
    return false;
#endif
#else
    return false;
#endif
}

/* Everything that Landlock of this version can restrict, but for abstract sockets: the service
 * manager may listen on one. */
static size_t attributes_of(long version, struct ruleset_attributes *attributes)
{
    *attributes = (struct ruleset_attributes){.files = RIGHTS_OF_FIRST};
    attributes->files |= version >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0;
    attributes->files |= version >= 3 ? LANDLOCK_ACCESS_FS_TRUNCATE : 0;
    attributes->files |= version >= 5 ? LANDLOCK_ACCESS_FS_IOCTL_DEV : 0;
    attributes->net = LANDLOCK_ACCESS_NET_BIND_TCP | LANDLOCK_ACCESS_NET_CONNECT_TCP;
    attributes->scoped = LANDLOCK_SCOPE_SIGNAL;
    return version >= 6   ? sizeof *attributes
           : version >= 4 ? offsetof(struct ruleset_attributes, scoped)
                          : offsetof(struct ruleset_attributes, net);
}

int sandbox_init(struct sandbox *sandbox, bool is_on, struct err *err)
{
    struct ruleset_attributes attributes;
    *sandbox = (struct sandbox){.is_on = is_on, .ruleset = -1};
    if (!is_on)
        return 0;
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 1) {
        log_info("sandbox: Landlock is not to be had here: %s", strerror(errno));
        return 0;
    }
    size_t size = attributes_of(version, &attributes);
    sandbox->rights = attributes.files;
    sandbox->ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes, size, 0);
    if (sandbox->ruleset < 0)
        return err_set(err, ERR_INTERNAL, "cannot make a Landlock ruleset: %s", strerror(errno));
    return 0;
}

static int add_rule(struct sandbox *sandbox, int fd, enum sandbox_access access)
{
    struct stat stat;
    struct landlock_path_beneath_attr rule = {
        .allowed_access = rights_of[access] & sandbox->rights,
        .parent_fd = fd,
    };
    if (fstat(fd, &stat) != 0)
        return -errno;
    if (!S_ISDIR(stat.st_mode))
        rule.allowed_access &= RIGHTS_ON_FILES;
    return syscall(SYS_landlock_add_rule, sandbox->ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) ==
                   0
               ? 0
               : -errno;
}

int sandbox_allow(struct sandbox *sandbox, const char *path, enum sandbox_access access,
                  struct err *err)
{
    if (sandbox->ruleset < 0)
        return 0;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0 && access != SANDBOX_CHANGE)
        return 0;
    int status = fd < 0 ? -errno : add_rule(sandbox, fd, access);
    if (fd >= 0)
        close(fd);
    return status == 0 ? 0
                       : err_set(err, ERR_IO_ERROR, "cannot keep %s reachable in the sandbox: %s",
                                 path, strerror(-status));
}

static int allow_folder_of(struct sandbox *sandbox, const char *path, enum sandbox_access access,
                           struct err *err)
{
    char copy[PATH_MAX];
    if (strlen(path) >= sizeof copy)
        return 0; /* no such file can be opened */
    memcpy(copy, path, strlen(path) + 1);
    return sandbox_allow(sandbox, dirname(copy), access, err);
}

int sandbox_allow_around(struct sandbox *sandbox, const char *path, enum sandbox_access access,
                         struct err *err)
{
    int status = allow_folder_of(sandbox, path, access, err);
    char *real = status == 0 ? realpath(path, NULL) : NULL;
    if (real != NULL)
        status = allow_folder_of(sandbox, real, access, err);
    free(real);
    return status;
}

int sandbox_restrict_files(struct sandbox *sandbox, struct err *err)
{
    if (!sandbox->is_on || is_dry())
        return 0;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return err_set(err, ERR_INTERNAL, "cannot give up new privileges: %s", strerror(errno));
    if (sandbox->ruleset < 0)
        return 0;
    if (syscall(SYS_landlock_restrict_self, sandbox->ruleset, 0) != 0)
        return err_set(err, ERR_INTERNAL, "cannot restrict files with Landlock: %s",
                       strerror(errno));
    sandbox_release(sandbox);
    sandbox->has_files = files_are_restricted = true;
    return 0;
}

int sandbox_restrict_calls(struct sandbox *sandbox, struct err *err)
{
    if (!sandbox->is_on)
        return 0;
    int status = sandbox_calls_load(is_dry());
    if (status == -EOPNOTSUPP)
        log_info("sandbox: seccomp is not to be had here");
    else if (status != 0)
        return err_set(err, ERR_INTERNAL, "cannot restrict system calls with seccomp: %s",
                       strerror(-status));
    sandbox->has_calls = status == 0 && !is_dry();
    log_info("sandbox: %s", sandbox_describe(sandbox));
    return 0;
}

const char sandbox_forbids_sentence[] =
    "the sandbox forbids it, in which a reload reads only below the folders of the files that the "
    "configuration named at the start; put the file there, or restart the server";

bool sandbox_forbids(const char *path)
{
    /* Landlock has no say in this call. */
    return files_are_restricted && faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) == 0;
}

const char *sandbox_describe(const struct sandbox *sandbox)
{
    if (sandbox->has_files)
        return sandbox->has_calls ? "landlock, seccomp" : "landlock";
    return sandbox->has_calls ? "seccomp" : "none";
}

void sandbox_release(struct sandbox *sandbox)
{
    if (sandbox->ruleset >= 0)
        close(sandbox->ruleset);
    sandbox->ruleset = -1;
}
