/* What the process gives up once it has started, for the case that somebody takes it over: Landlock
 * bounds the files that it can reach, seccomp the system calls that it can make.
 *
 * A kernel that lacks one of them costs one line in the log. What the kernel has and then refuses
 * is an error: who asked for a sandbox is not to run without one.
 *
 * Landlock holds for the thread that asks for it and those that it starts: sandbox_restrict_files
 * comes before the workers, and after everything that opens files elsewhere. sandbox_restrict_calls
 * holds for all threads and comes last. There is no way back from either. Under a sanitizer
 * everything is prepared and nothing is restricted: those trace the process and start programs. */
#ifndef MREGION_DAEMON_SANDBOX_H
#define MREGION_DAEMON_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"

struct sandbox {
    bool is_on;      /* asked for */
    int ruleset;     /* Landlock's, while it is gathered; -1 without */
    uint64_t rights; /* that this kernel's Landlock knows */
    bool has_files;  /* Landlock is in force */
    bool has_calls;  /* seccomp is in force */
};

enum sandbox_access {
    SANDBOX_READ,   /* files */
    SANDBOX_REMOVE, /* files: sockets, at the end */
    SANDBOX_CHANGE, /* everything a data directory needs */
};

/* Begins to gather what may be reached; is_on false: nothing is ever restricted. */
int sandbox_init(struct sandbox *sandbox, bool is_on, struct err *err);
/* Allows that for everything below a folder, or for one file. ERR_IO_ERROR where it cannot be
 * opened; where it is only for reading or removing that is none: it could not be reached before
 * either. */
int sandbox_allow(struct sandbox *sandbox, const char *path, enum sandbox_access access,
                  struct err *err);
/* The same for the folder that a file is in, so that the file can be replaced; and for the folder
 * that it is really in, where it is a symbolic link. */
int sandbox_allow_around(struct sandbox *sandbox, const char *path, enum sandbox_access access,
                         struct err *err);
/* From now on nothing else can be reached, and programs gain no rights when they are executed. */
int sandbox_restrict_files(struct sandbox *sandbox, struct err *err);
/* From now on only the system calls in sandbox_calls.c can be made. */
int sandbox_restrict_calls(struct sandbox *sandbox, struct err *err);
/* "landlock, seccomp", one of them, or "none". */
const char *sandbox_describe(const struct sandbox *sandbox);
/* Forgets what was gathered. */
void sandbox_release(struct sandbox *sandbox);

/* After an open that has failed with EACCES: whether it is Landlock that forbids to read the file,
 * which its owner and mode would allow. Any thread. */
bool sandbox_forbids(const char *path);
/* In the place of the error's text. */
extern const char sandbox_forbids_sentence[];

/* seccomp alone. 0, -errno; -EOPNOTSUPP where the kernel has none. */
int sandbox_calls_load(bool is_dry);

#endif
