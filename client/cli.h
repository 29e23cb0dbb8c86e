/* What the parts of mrcli share: the options, the connection, and how a failure ends. */
#ifndef MREGION_CLIENT_CLI_H
#define MREGION_CLIENT_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/mregion.h"

/* Requests under way, at most: what export asks for, and what bench --pipeline can. */
#define CLI_TICKETS_MAX 4096

#define CLI_SERVER_DEFAULT "unix:/run/mregiond/mregiond.sock"

/* Public contract: these never change. */
enum cli_exit {
    CLI_OK = 0,
    CLI_REFUSED = 1,      /* by the server, for a reason that has no number of its own */
    CLI_NOT_FOUND = 3,    /* no such region or block */
    CLI_NO_SPACE = 5,     /* in the region, or on the server's disk */
    CLI_CORRUPT = 6,      /* stored bytes are damaged */
    CLI_USAGE = 64,       /* the command is wrong */
    CLI_UNAVAILABLE = 69, /* cannot connect, or the connection broke */
    CLI_LOCAL_IO = 74,    /* a file here, standard input or output, memory */
    CLI_AGAIN = 75,       /* busy, shutting down, or no answer in time */
    CLI_DENIED = 77,
    CLI_CONFIG = 78, /* the environment */
};

enum cli_form {
    CLI_TABLE, /* for people */
    CLI_JSON,
    CLI_RAW, /* bare values, one per line */
};

struct cli {
    const char *server;
    bool is_server_from_environment;
    const char *user;          /* NULL: whoever the server takes us for */
    const char *password_file; /* NULL: the environment, or the terminal */
    char *region;              /* owned; NULL until it is known */
    enum cli_form form;
    uint32_t timeout_ms; /* 0: the library's default */
    struct mregion_tls tls;
    bool keep_going;
    bool is_script; /* commands come from standard input, so that no file can */
    bool is_shell;
    bool keeps_password; /* that was typed once, for further connections */
    bool is_ended;       /* quit was typed */
    size_t line;         /* of the script, from 1; 0 outside of one */
    const char *file;    /* that has the line; NULL: standard input */
    struct mregion *connection;
};

/* Zeroes, and table form. */
void cli_init(struct cli *cli);
void cli_release(struct cli *cli);

/* Prints "mrcli: SENTENCE" to standard error, with the script's line where there is one, and
 * returns code. What is not printable is shown as '?'. */
int cli_fail(const struct cli *cli, enum cli_exit code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

int cli_no_memory(const struct cli *cli);

/* Prints "mrcli: CODE: sentence" for what the server refused and "mrcli: sentence" for what
 * happened here, and returns the exit code. subject, which may be NULL, names the file that was
 * read or written and goes in front of the sentence when that is what failed. */
int cli_fail_library(const struct cli *cli, const struct mregion_error *error, const char *subject);

/* The exit code for an error of the library. */
enum cli_exit cli_exit_code(enum mregion_code code);

/* Connects unless there is a connection. 0, or an exit code with the reason printed. */
int cli_connect(struct cli *cli);

/* Connects and finds out which region is meant, if nobody has said so: the only one there is.
 * *ret_region is borrowed until the region is set. 0, or an exit code with the reason printed. */
int cli_need_region(struct cli *cli, const char **ret_region);

/* Copies name. 0, or CLI_LOCAL_IO with the reason printed. */
int cli_set_region(struct cli *cli, const char *name);

#endif
