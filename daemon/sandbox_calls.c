/* The system calls that the running server makes, itself and through its libraries.
 *
 * What is not listed fails with ENOSYS, as on an older kernel: libraries of another version, which
 * try a newer call first, go on with the one that is listed (clone instead of clone3, whose flags
 * lie where no filter can see them). An attempt at what a server never does, and who has taken one
 * over does first, ends the process: it is no fault that could be gone on from, and a restart
 * recovers. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/sandbox.h"

/* Another action is for the tests alone, so that a call which is missing below is noticed. */
#ifndef UNLISTED
#define UNLISTED SCMP_ACT_ERRNO(ENOSYS)
#endif

static const int allowed[] = {
    /* memory, locked where it holds secrets; mmap and mprotect are below */
    SCMP_SYS(brk),
    SCMP_SYS(madvise),
    SCMP_SYS(mlock),
    SCMP_SYS(mlock2),
    SCMP_SYS(munlock),
    SCMP_SYS(mremap),
    SCMP_SYS(munmap),
    /* threads, and the end; clone is below */
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(futex),
    SCMP_SYS(futex_time64),
    SCMP_SYS(get_robust_list),
    SCMP_SYS(getcpu),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(membarrier),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(rseq),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_yield),
    SCMP_SYS(set_robust_list),
    /* signals; sending them is below */
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaction),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(sigprocmask),
    SCMP_SYS(sigreturn),
    /* who one is, and what there is */
    SCMP_SYS(getegid),
    SCMP_SYS(getegid32),
    SCMP_SYS(geteuid),
    SCMP_SYS(geteuid32),
    SCMP_SYS(getgid),
    SCMP_SYS(getgid32),
    SCMP_SYS(getuid),
    SCMP_SYS(getuid32),
    SCMP_SYS(getrlimit),
    SCMP_SYS(ugetrlimit),
    SCMP_SYS(getrusage),
    SCMP_SYS(setrlimit),
    SCMP_SYS(sysinfo),
    SCMP_SYS(uname),
    SCMP_SYS(getrandom),
    /* time */
    SCMP_SYS(clock_getres),
    SCMP_SYS(clock_getres_time64),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_gettime64),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(clock_nanosleep_time64),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(nanosleep),
    SCMP_SYS(time),
    /* the loop */
    SCMP_SYS(epoll_create),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_pwait2),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(eventfd2),
    SCMP_SYS(pipe2),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(ppoll_time64),
    /* descriptors; fcntl is below */
    SCMP_SYS(close),
    SCMP_SYS(close_range),
    SCMP_SYS(dup),
    SCMP_SYS(dup2),
    SCMP_SYS(dup3),
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    /* sockets; making them, and sending to an address, is below */
    SCMP_SYS(accept),
    SCMP_SYS(accept4),
    SCMP_SYS(getpeername),
    SCMP_SYS(getsockname),
    SCMP_SYS(getsockopt),
    SCMP_SYS(recv),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(send),
    SCMP_SYS(setsockopt),
    SCMP_SYS(shutdown),
    /* files */
    SCMP_SYS(fadvise64),
    SCMP_SYS(fadvise64_64),
    SCMP_SYS(fallocate),
    SCMP_SYS(fdatasync),
    SCMP_SYS(flock),
    SCMP_SYS(fstat),
    SCMP_SYS(fstat64),
    SCMP_SYS(fstatfs),
    SCMP_SYS(fstatfs64),
    SCMP_SYS(fsync),
    SCMP_SYS(ftruncate),
    SCMP_SYS(ftruncate64),
    SCMP_SYS(_llseek),
    SCMP_SYS(lseek),
    SCMP_SYS(pread64),
    SCMP_SYS(preadv),
    SCMP_SYS(preadv2),
    SCMP_SYS(pwrite64),
    SCMP_SYS(pwritev),
    SCMP_SYS(pwritev2),
    SCMP_SYS(readahead),
    SCMP_SYS(sync_file_range),
    SCMP_SYS(sync_file_range2),
    /* names */
    SCMP_SYS(access),
    SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2),
    SCMP_SYS(fstatat64),
    SCMP_SYS(getcwd),
    SCMP_SYS(getdents64),
    SCMP_SYS(lstat),
    SCMP_SYS(lstat64),
    SCMP_SYS(mkdir),
    SCMP_SYS(mkdirat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(open),
    SCMP_SYS(openat),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(rename),
    SCMP_SYS(renameat),
    SCMP_SYS(renameat2),
    SCMP_SYS(rmdir),
    SCMP_SYS(stat),
    SCMP_SYS(stat64),
    SCMP_SYS(statfs),
    SCMP_SYS(statfs64),
    SCMP_SYS(statx),
    SCMP_SYS(umask),
    SCMP_SYS(unlink),
    SCMP_SYS(unlinkat),
};

static const int deadly[] = {
    /* other programs, other processes */
    SCMP_SYS(execve),
    SCMP_SYS(execveat),
    SCMP_SYS(fork),
    SCMP_SYS(vfork),
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(pidfd_getfd),
    /* other roots, namespaces, users */
    SCMP_SYS(chroot),
    SCMP_SYS(mount),
    SCMP_SYS(move_mount),
    SCMP_SYS(open_tree),
    SCMP_SYS(pivot_root),
    SCMP_SYS(setns),
    SCMP_SYS(umount2),
    SCMP_SYS(unshare),
    SCMP_SYS(setuid),
    SCMP_SYS(setreuid),
    SCMP_SYS(setresuid),
    SCMP_SYS(setgid),
    SCMP_SYS(setregid),
    SCMP_SYS(setresgid),
    SCMP_SYS(setgroups),
    SCMP_SYS(capset),
    /* the kernel */
    SCMP_SYS(bpf),
    SCMP_SYS(delete_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(init_module),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(kexec_load),
    SCMP_SYS(reboot),
    SCMP_SYS(swapoff),
    SCMP_SYS(swapon),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(add_key),
    SCMP_SYS(keyctl),
    SCMP_SYS(request_key),
};

/* What the core asks of files, libuv of sockets, stdio of what it opens. */
static const unsigned long requests[] = {
    FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FICLONE, FIONBIO, FIOCLEX, FIONREAD, TCGETS,
};

/* fcntl would also name a process that gets signals for a descriptor. */
static const unsigned long commands[] = {
    F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL,
};

static int add_all(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t count)
{
    int status = 0;
    for (size_t i = 0; i < count && status == 0; i++)
        status = seccomp_rule_add(filter, action, calls[i], 0);
    return status;
}

/* Where clone has its flags. */
#if defined(__s390__)
#define CLONE_FLAGS 1
#else
#define CLONE_FLAGS 0
#endif

/* New threads may come, new processes may not; new memory is never for code. */
static int add_threads_and_memory(scmp_filter_ctx filter)
{
    const struct {
        uint32_t action;
        int call;
        struct scmp_arg_cmp argument;
    } rules[] = {
        {SCMP_ACT_ALLOW, SCMP_SYS(clone),
         SCMP_CMP(CLONE_FLAGS, SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD)},
        {SCMP_ACT_KILL_PROCESS, SCMP_SYS(clone),
         SCMP_CMP(CLONE_FLAGS, SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0)},
        {SCMP_ACT_ALLOW, SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)},
        {SCMP_ACT_ALLOW, SCMP_SYS(mmap2), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)},
        {SCMP_ACT_ALLOW, SCMP_SYS(mprotect), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)},
    };
    int status = 0;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0] && status == 0; i++)
        status = seccomp_rule_add(filter, rules[i].action, rules[i].call, 1, rules[i].argument);
    return status;
}

/* Of some calls only what has to do with oneself. */
static int add_own(scmp_filter_ctx filter)
{
    scmp_datum_t self = (scmp_datum_t)getpid();
    int status =
        seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(kill), 1, SCMP_A0(SCMP_CMP_EQ, self, 0));
    if (status == 0) /* abort */
        status = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                                  SCMP_A0(SCMP_CMP_EQ, self, 0));
    if (status == 0)
        status = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1,
                                  SCMP_A0(SCMP_CMP_EQ, 0, 0));
    if (status == 0) /* core dumps can be turned off, not on */
        status =
            seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 2,
                             SCMP_A0(SCMP_CMP_EQ, PR_SET_DUMPABLE, 0), SCMP_A1(SCMP_CMP_EQ, 0, 0));
    return status;
}

/* A socket is there for messages to the service manager; nobody is ever connected to. With
 * MSG_FASTOPEN sending is connecting: a listener that was shut down would do for it. */
static int add_sockets(scmp_filter_ctx filter)
{
    const struct {
        uint32_t action;
        int call;
        struct scmp_arg_cmp argument;
    } rules[] = {
        {SCMP_ACT_ALLOW, SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, AF_UNIX, 0)},
        {SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), SCMP_A0(SCMP_CMP_NE, AF_UNIX, 0)},
        {SCMP_ACT_ALLOW, SCMP_SYS(sendmsg), SCMP_A2(SCMP_CMP_MASKED_EQ, MSG_FASTOPEN, 0)},
        {SCMP_ACT_ALLOW, SCMP_SYS(sendto), SCMP_A3(SCMP_CMP_MASKED_EQ, MSG_FASTOPEN, 0)},
        {SCMP_ACT_KILL_PROCESS, SCMP_SYS(sendmsg),
         SCMP_A2(SCMP_CMP_MASKED_EQ, MSG_FASTOPEN, MSG_FASTOPEN)},
        {SCMP_ACT_KILL_PROCESS, SCMP_SYS(sendto),
         SCMP_A3(SCMP_CMP_MASKED_EQ, MSG_FASTOPEN, MSG_FASTOPEN)},
    };
    int status = 0;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0] && status == 0; i++)
        status = seccomp_rule_add(filter, rules[i].action, rules[i].call, 1, rules[i].argument);
    return status;
}

/* The upper half of the number is none of the kernel's business. */
static int add_numbers(scmp_filter_ctx filter, int call, const unsigned long *numbers, size_t count)
{
    int status = 0;
    for (size_t i = 0; i < count && status == 0; i++)
        status = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1,
                                  SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, numbers[i]));
    return status;
}

static int add_requests(scmp_filter_ctx filter)
{
    size_t count = sizeof commands / sizeof commands[0];
    int status =
        add_numbers(filter, SCMP_SYS(ioctl), requests, sizeof requests / sizeof requests[0]);
    if (status == 0)
        status = add_numbers(filter, SCMP_SYS(fcntl), commands, count);
    if (status == 0)
        status = add_numbers(filter, SCMP_SYS(fcntl64), commands, count);
    return status;
}

static int add_rules(scmp_filter_ctx filter)
{
    int status = add_all(filter, SCMP_ACT_ALLOW, allowed, sizeof allowed / sizeof allowed[0]);
    if (status == 0)
        status = add_all(filter, SCMP_ACT_KILL_PROCESS, deadly, sizeof deadly / sizeof deadly[0]);
    if (status == 0)
        status = add_threads_and_memory(filter);
    if (status == 0)
        status = add_own(filter);
    if (status == 0)
        status = add_sockets(filter);
    if (status == 0)
        status = add_requests(filter);
    if (status == 0 && UNLISTED != SCMP_ACT_ERRNO(ENOSYS))
        status = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    return status;
}

/* All threads; a binary tree of comparisons where the kernel does not remember its answers; and no
 * slower branches than without a filter: nobody runs code in here whom the processor could tell
 * secrets. */
static int set_attributes(scmp_filter_ctx filter)
{
    int status = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (status == 0)
        status = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (status == 0)
        status = seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
    if (status == 0) /* the kernel's own errors */
        status = seccomp_attr_set(filter, SCMP_FLTATR_API_SYSRAWRC, 1);
    return status;
}

int sandbox_calls_load(bool is_dry)
{
    if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0)
        return -EOPNOTSUPP; /* by the only call that a kernel without it answers differently */
    scmp_filter_ctx filter = seccomp_init(UNLISTED);
    if (filter == NULL)
        return -ENOMEM;
    int status = set_attributes(filter);
    if (status == 0)
        status = add_rules(filter);
    if (status == 0 && !is_dry)
        status = seccomp_load(filter);
    seccomp_release(filter);
    return status;
}
