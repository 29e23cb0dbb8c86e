/* What a process in the sandbox can still do, and what it cannot, each in a child of its own. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/log.h"
#include "daemon/privileges.h"
#include "daemon/sandbox.h"
#include "tests/support_main.h"

/* What a child ends with where the kernel, or the sanitizer, leaves nothing to test. */
#define NOT_HERE 200

static char folder[64];
static char path[4][128]; /* data, conf, run, and somewhere else */
enum { DATA, CONF, RUN, ELSEWHERE };

static const char *in(int where, const char *name)
{
    static char full[4][600];
    static int turn;
    char *text = full[turn++ % 4];
    snprintf(text, sizeof full[0], "%s/%s", path[where], name);
    return text;
}

static int write_file(const char *name)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    int error = write(fd, "text", 4) == 4 ? 0 : errno;
    close(fd);
    return error;
}

static int read_file(const char *name)
{
    char text[8];
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int error = read(fd, text, sizeof text) >= 0 ? 0 : errno;
    close(fd);
    return error;
}

static void setup(void)
{
    static const char *const names[] = {"data", "conf", "run", "elsewhere"};
    log_init(LOG_LEVEL_WARNING);
    strcpy(folder, "/tmp/mregion-sandbox.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    for (int i = 0; i < 4; i++) {
        snprintf(path[i], sizeof path[i], "%s/%s", folder, names[i]);
        ck_assert_int_eq(mkdir(path[i], 0700), 0);
        ck_assert_int_eq(write_file(in(i, "old")), 0);
    }
    ck_assert_int_eq(symlink(in(ELSEWHERE, "old"), in(CONF, "link")), 0);
}

static void teardown(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

/* ---- Children ---- */

static struct sandbox sandbox;

static void prepare(void)
{
    struct err err;
    if (sandbox_init(&sandbox, true, &err) != 0 ||
        sandbox_allow(&sandbox, path[DATA], SANDBOX_CHANGE, &err) != 0 ||
        sandbox_allow_around(&sandbox, in(CONF, "old"), SANDBOX_READ, &err) != 0 ||
        sandbox_allow_around(&sandbox, in(RUN, "old"), SANDBOX_REMOVE, &err) != 0)
        _exit(100);
}

static void restrict_files(void)
{
    struct err err;
    prepare();
    if (sandbox_restrict_files(&sandbox, &err) != 0)
        _exit(101);
    if (!sandbox.has_files)
        _exit(NOT_HERE);
}

static void restrict_calls(void)
{
    struct err err;
    prepare();
    if (sandbox_restrict_files(&sandbox, &err) != 0 || sandbox_restrict_calls(&sandbox, &err) != 0)
        _exit(102);
    if (!sandbox.has_calls)
        _exit(NOT_HERE);
}

/* How a child that does this ends: its exit status, or minus the signal. */
static int end_of(void (*act)(void))
{
    int status;
    fflush(NULL);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        act();
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/* Whether there is something to test: asked of the kernel, not of what is tested. */
static bool is_to_be_had(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return false;
#else
    return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 1 &&
           prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0;
#endif
}

static void assert_end(void (*act)(void), int wanted)
{
    int end = end_of(act);
    if (is_to_be_had())
        ck_assert_int_eq(end, wanted);
    else if (end != wanted)
        ck_assert_int_eq(end, NOT_HERE);
}

/* In a child: ends it with the line unless error is the one wanted. */
#define MUST(error, wanted)                                                                        \
    do {                                                                                           \
        if ((error) != (wanted)) {                                                                 \
            dprintf(2, "line %d: %d instead of %d\n", __LINE__, (error), (wanted));                \
            _exit(99);                                                                             \
        }                                                                                          \
    } while (0)

static int error_of(long result)
{
    return result < 0 ? errno : 0;
}

/* ---- Files ---- */

static void work_on_data(void)
{
    restrict_files();
    MUST(read_file(in(DATA, "old")), 0);
    MUST(error_of(mkdir(in(DATA, "folder"), 0700)), 0);
    MUST(write_file(in(DATA, "folder/new")), 0);
    MUST(error_of(truncate(in(DATA, "folder/new"), 1)), 0);
    MUST(error_of(rename(in(DATA, "folder/new"), in(DATA, "folder/other"))), 0);
    MUST(error_of(rename(in(DATA, "folder"), in(DATA, "away"))), 0);
    MUST(error_of(open(path[DATA], O_RDONLY | O_DIRECTORY)), 0);
    MUST(error_of(unlink(in(DATA, "away/other"))), 0);
    MUST(error_of(rmdir(in(DATA, "away"))), 0);
    MUST(error_of(symlink("/etc/passwd", in(DATA, "link"))), EACCES);
    MUST(error_of(mkfifo(in(DATA, "pipe"), 0600)), EACCES);
}

static void read_configuration(void)
{
    restrict_files();
    MUST(read_file(in(CONF, "old")), 0);
    MUST(read_file(in(CONF, "link")), EACCES); /* it was not named */
    MUST(write_file(in(CONF, "old")), EACCES);
    MUST(write_file(in(CONF, "new")), EACCES);
    MUST(error_of(unlink(in(CONF, "old"))), EACCES);
}

static void remove_socket(void)
{
    restrict_files();
    MUST(read_file(in(RUN, "old")), EACCES);
    MUST(write_file(in(RUN, "new")), EACCES);
    MUST(error_of(unlink(in(RUN, "old"))), 0);
}

static void reach_elsewhere(void)
{
    restrict_files();
    MUST(read_file(in(ELSEWHERE, "old")), EACCES);
    MUST(read_file("/etc/passwd"), EACCES);
    MUST(read_file("/proc/self/maps"), EACCES);
    MUST(write_file(in(ELSEWHERE, "new")), EACCES);
    MUST(error_of(unlink(in(ELSEWHERE, "old"))), EACCES);
    MUST(error_of(open(folder, O_RDONLY | O_DIRECTORY)), EACCES);
    MUST(error_of(execl("/bin/true", "true", NULL)), EACCES);
}

/* A configuration that is a link into another folder: both folders count. */
static void follow_link(void)
{
    struct err err;
    MUST(sandbox_init(&sandbox, true, &err), 0);
    MUST(sandbox_allow_around(&sandbox, in(CONF, "link"), SANDBOX_READ, &err), 0);
    MUST(sandbox_restrict_files(&sandbox, &err), 0);
    if (!sandbox.has_files)
        _exit(NOT_HERE);
    MUST(read_file(in(CONF, "link")), 0);
    MUST(read_file(in(DATA, "old")), EACCES);
}

START_TEST(files)
{
    assert_end(work_on_data, 0);
    assert_end(read_configuration, 0);
    assert_end(remove_socket, 0);
    assert_end(reach_elsewhere, 0);
    assert_end(follow_link, 0);
}
END_TEST

START_TEST(what_cannot_be_opened)
{
    struct err err;
    ck_assert_int_eq(sandbox_init(&sandbox, true, &err), 0);
    ck_assert_int_eq(sandbox_allow(&sandbox, "/nowhere/x", SANDBOX_READ, &err), 0);
    ck_assert_int_eq(sandbox_allow_around(&sandbox, "/nowhere/x", SANDBOX_REMOVE, &err), 0);
    if (sandbox.ruleset >= 0) {
        ck_assert_int_eq(sandbox_allow(&sandbox, "/nowhere", SANDBOX_CHANGE, &err), ERR_IO_ERROR);
        ck_assert_str_eq(err.text, "cannot keep /nowhere reachable in the sandbox: No such file or "
                                   "directory");
    }
    sandbox_release(&sandbox);
    ck_assert_int_eq(sandbox.ruleset, -1);
}
END_TEST

/* ---- System calls ---- */

static void serve(void)
{
    int pair[2];
    char byte = 0;
    struct rlimit limit;
    MUST(error_of(socketpair(AF_UNIX, SOCK_STREAM, 0, pair)), 0);
    restrict_calls();
    MUST(write_file(in(DATA, "new")), 0);
    MUST(read_file(in(DATA, "new")), 0);
    MUST(error_of(write(pair[0], "x", 1)), 0);
    MUST(error_of(recv(pair[1], &byte, 1, 0)), 0);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    MUST(error_of(fd), 0);
    privileges_hide_memory();
    MUST(error_of(getrlimit(RLIMIT_CORE, &limit)), 0);
    MUST((int)limit.rlim_cur, 0);
    MUST((int)limit.rlim_max, 0);
}

static void reach_out(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/run/systemd/notify"};
    restrict_calls();
    MUST(error_of(socket(AF_INET, SOCK_STREAM, 0)), EPERM);
    MUST(error_of(socket(AF_INET6, SOCK_DGRAM, 0)), EPERM);
    MUST(error_of(socket(AF_NETLINK, SOCK_RAW, 0)), EPERM);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    MUST(error_of(connect(fd, (struct sockaddr *)&address, sizeof address)), ENOSYS);
    MUST(error_of(bind(fd, (struct sockaddr *)&address, sizeof address)), ENOSYS);
    MUST(error_of(listen(fd, 1)), ENOSYS);
    MUST(error_of(kill(getppid(), 0)), ENOSYS);
    MUST(error_of(kill(getpid(), 0)), 0);
    MUST(error_of(syscall(SYS_pidfd_open, getppid(), 0)), ENOSYS);
    MUST(error_of(syscall(SYS_io_uring_setup, 1, NULL)), ENOSYS);
    MUST(error_of(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)), ENOSYS);
    MUST(error_of(fcntl(fd, F_SETOWN, getppid())), ENOSYS);
    MUST(error_of(fcntl(fd, F_SETSIG, SIGKILL)), ENOSYS);
}

static void make_code(void)
{
    restrict_calls();
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(page == MAP_FAILED, 0);
    MUST(error_of(mprotect(page, 4096, PROT_READ | PROT_EXEC)), ENOSYS);
    MUST(mmap(NULL, 4096, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED, 1);
}

static void *try_socket(void *context)
{
    (void)context;
    return socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == EPERM ? (void *)"denied" : NULL;
}

static int gate[2];

static void *try_later(void *context)
{
    char byte;
    MUST(error_of(read(gate[0], &byte, 1)), 0);
    return try_socket(context);
}

/* Those that run already are restricted too, and new ones can come. */
static void have_threads(void)
{
    pthread_t early, late;
    void *result = NULL;
    MUST(pipe(gate), 0);
    MUST(pthread_create(&early, NULL, try_later, NULL), 0);
    restrict_calls();
    MUST(error_of(write(gate[1], "x", 1)), 0);
    MUST(pthread_join(early, &result), 0);
    MUST(result != NULL, 1);
    MUST(pthread_create(&late, NULL, try_socket, NULL), 0);
    MUST(pthread_join(late, &result), 0);
    MUST(result != NULL, 1);
}

START_TEST(calls)
{
    assert_end(serve, 0);
    assert_end(reach_out, 0);
    assert_end(make_code, 0);
    assert_end(have_threads, 0);
}
END_TEST

static void run_program(void)
{
    restrict_calls();
    execl("/bin/true", "true", NULL);
}

static void run_program_by_descriptor(void)
{
    restrict_calls();
    syscall(SYS_execveat, -1, "/bin/true", NULL, NULL, 0);
}

static void copy_itself(void)
{
    restrict_calls();
    (void)fork();
}

static void trace(void)
{
    restrict_calls();
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static void leave_namespace(void)
{
    restrict_calls();
    unshare(CLONE_NEWUSER);
}

static void become_root(void)
{
    restrict_calls();
    (void)!setuid(0);
}

/* A listener on a port of its own. */
static int listener(struct sockaddr_in *address)
{
    socklen_t size = sizeof *address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    MUST(error_of(bind(fd, (struct sockaddr *)address, size)), 0);
    MUST(error_of(listen(fd, 1)), 0);
    MUST(error_of(getsockname(fd, (struct sockaddr *)address, &size)), 0);
    return fd;
}

/* One's own listener is made a socket that goes to somebody else's. */
static void connect_by_sending(void)
{
    struct sockaddr_in own, other;
    int fd = listener(&own);
    (void)listener(&other);
    restrict_calls();
    MUST(error_of(shutdown(fd, SHUT_RDWR)), 0);
    (void)sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&other, sizeof other);
}

static void connect_by_message(void)
{
    struct sockaddr_in own, other;
    int fd = listener(&own);
    (void)listener(&other);
    struct iovec vector = {"x", 1};
    struct msghdr message = {
        .msg_name = &other, .msg_namelen = sizeof other, .msg_iov = &vector, .msg_iovlen = 1};
    restrict_calls();
    MUST(error_of(shutdown(fd, SHUT_RDWR)), 0);
    (void)sendmsg(fd, &message, MSG_FASTOPEN | MSG_NOSIGNAL);
}

START_TEST(deadly_calls)
{
    static void (*const acts[])(void) = {
        run_program, run_program_by_descriptor, copy_itself,        trace, leave_namespace,
        become_root, connect_by_sending,        connect_by_message,
    };
    for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++)
        assert_end(acts[i], -SIGSYS);
}
END_TEST

static void fail_an_assertion(void)
{
    restrict_calls();
    abort();
}

START_TEST(bugs_are_still_seen_as_such)
{
    assert_end(fail_an_assertion, -SIGABRT);
}
END_TEST

/* ---- Kernels that have less ---- */

/* The call fails as where there is no such thing. */
static void take_away(int call, int error)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    if (filter == NULL || seccomp_rule_add(filter, SCMP_ACT_ERRNO((uint32_t)error), call, 0) != 0 ||
        seccomp_load(filter) != 0)
        _exit(103);
    seccomp_release(filter);
}

static void have_no_landlock(void)
{
    take_away(SCMP_SYS(landlock_create_ruleset), ENOSYS);
    restrict_calls();
    MUST(strcmp(sandbox_describe(&sandbox), "seccomp"), 0);
    MUST(read_file("/etc/passwd"), 0);
    MUST(error_of(socket(AF_INET, SOCK_STREAM, 0)), EPERM);
}

static void have_no_seccomp(void)
{
    struct err err;
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    if (seccomp_rule_add(filter, SCMP_ACT_ERRNO(EINVAL), SCMP_SYS(prctl), 1,
                         SCMP_A0(SCMP_CMP_EQ, PR_GET_SECCOMP)) != 0 ||
        seccomp_load(filter) != 0)
        _exit(103);
    restrict_files();
    MUST(sandbox_restrict_calls(&sandbox, &err), 0);
    MUST(strcmp(sandbox_describe(&sandbox), "landlock"), 0);
    MUST(read_file("/etc/passwd"), EACCES);
    MUST(error_of(socket(AF_INET, SOCK_STREAM, 0)), 0);
}

/* What the kernel has and refuses is an error, not a server without a sandbox. */
static void be_refused(void)
{
    struct err err;
    take_away(SCMP_SYS(landlock_restrict_self), E2BIG);
    prepare();
    if (sandbox.ruleset < 0 || sandbox_restrict_files(&sandbox, &err) == 0)
        _exit(NOT_HERE);
    MUST(strcmp(err.text, "cannot restrict files with Landlock: Argument list too long"), 0);
    take_away(SCMP_SYS(seccomp), ENOMEM);
    MUST(sandbox_restrict_calls(&sandbox, &err) != 0, 1);
    MUST(strcmp(err.text, "cannot restrict system calls with seccomp: Cannot allocate memory"), 0);
}

START_TEST(lesser_kernels)
{
    assert_end(have_no_landlock, 0);
    assert_end(have_no_seccomp, 0);
    assert_end(be_refused, 0);
}
END_TEST

static void be_free(void)
{
    struct err err;
    MUST(sandbox_init(&sandbox, false, &err), 0);
    MUST(sandbox_allow(&sandbox, "/nowhere", SANDBOX_CHANGE, &err), 0);
    MUST(sandbox_restrict_files(&sandbox, &err), 0);
    MUST(sandbox_restrict_calls(&sandbox, &err), 0);
    MUST(strcmp(sandbox_describe(&sandbox), "none"), 0);
    MUST(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
    MUST(prctl(PR_GET_SECCOMP, 0, 0, 0, 0), 0);
    MUST(read_file("/etc/passwd"), 0);
}

START_TEST(off)
{
    assert_end(be_free, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sandbox");
    TCase *tests = tcase_create("sandbox");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, files);
    tcase_add_test(tests, what_cannot_be_opened);
    tcase_add_test(tests, calls);
    tcase_add_test(tests, deadly_calls);
    tcase_add_test(tests, bugs_are_still_seen_as_such);
    tcase_add_test(tests, lesser_kernels);
    tcase_add_test(tests, off);
    suite_add_tcase(suite, tests);
    return suite_main(suite);
}
