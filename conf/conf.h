/* The configuration of mregiond: the built-in defaults, what a file says, what the command line
 * adds.
 *
 * A struct conf that one of these functions has filled is always whole and valid: every value is
 * in its range, every name and address is well formed and unique. What a file or an option says
 * wrong is refused with its position and a sentence that names the thing, what came, what was
 * expected and, where it can be guessed, what was meant; the struct is then as it was before.
 *
 * Functions return 0, or -errno with *error filled: -EINVAL for a wrong configuration, -ENOMEM,
 * and whatever opening or reading the file gave. Every function may block on the file it reads or
 * writes, none keeps a pointer to what it was given; no thread is special. */
#ifndef MREGION_CONF_CONF_H
#define MREGION_CONF_CONF_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/options.h"

/* A file of 1 MiB holds more regions than CONF_REGIONS_MAX; what is larger is no configuration. */
#define CONF_FILE_MAX (1 * MIB)
/* Every listener costs descriptors and every region files and memory at the start; these are far
 * above use and keep the checks for duplicates cheap. */
#define CONF_LISTENS_MAX 64
#define CONF_HTTP_MAX 16
#define CONF_REGIONS_MAX 4096
/* Looked through when somebody connects, authenticates or names another region than before. */
#define CONF_USERS_MAX 1024
#define CONF_GRANTS_MAX 256

#define USER_NAME_MAX 64
/* More than any subject that a certificate authority of a house makes up. */
#define CONF_SUBJECT_MAX 1024

/* Leaves room below PATH_MAX for the names of regions and their files. */
#define CONF_DATA_DIR_MAX (PATH_MAX - 256)

/* The longest name of a user of the machine that its tools for users make. */
#define CONF_RUN_AS_MAX 256

/* Fits the longest path, the position and a sentence. */
#define CONF_ERROR_SIZE (PATH_MAX + 512)

struct conf_error {
    size_t line; /* from 1; 0 where there is no position (a file that cannot be read, an option) */
    size_t column;              /* from 1, in characters; 0 likewise */
    char text[CONF_ERROR_SIZE]; /* "FILE:LINE:COLUMN: what, and what was meant" */
};

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG, LOG_LEVELS };

enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON, LOG_FORMATS };

struct conf_listen {
    char *address; /* as written: "tcp:HOST:PORT", "tls:HOST:PORT" or "unix:PATH" */
    bool is_unix;
    bool is_tls;   /* TCP with TLS */
    char *host;    /* TCP: a numeric address or "localhost", without brackets; else NULL */
    uint16_t port; /* TCP: 0 lets the system pick one */
    char *path;    /* Unix: fits struct sockaddr_un; else NULL */
    unsigned mode; /* Unix: permissions of the socket file */
    size_t line;   /* where the file names it; 0 for a default or an option */
    size_t column;
};

struct conf_region {
    char name[REGION_NAME_MAX + 1];
    struct region_options options;
    size_t line; /* likewise */
};

/* What becomes of regions of an older on-disk format at a start. */
enum migrate { MIGRATE_AUTO, MIGRATE_REFUSE, MIGRATES };

/* What a user may do with a region; each includes those before it. */
enum access { ACCESS_READ, ACCESS_WRITE, ACCESS_ADMIN, ACCESSES };

struct conf_grant {
    char regions[REGION_NAME_MAX + 1]; /* a pattern with * and ? */
    enum access access;
};

/* In the place of a uid or gid that is not given: no process has it. */
#define CONF_NO_ID UINT64_MAX

struct conf_user {
    char name[USER_NAME_MAX + 1];
    char *password_hash; /* argon2id, as libsodium writes it; NULL: no password is right */
    char *certificate;   /* the subject of one, or NULL */
    uint64_t uid;
    uint64_t gid;
    struct conf_grant *grants;
    size_t grants_count;
    size_t line; /* where the file names it */
};

/* Whether clients show certificates, and which protocols are taken. */
enum tls_clients { TLS_CLIENTS_NONE, TLS_CLIENTS_OPTIONAL, TLS_CLIENTS_REQUIRED, TLS_CLIENTS };
enum tls_minimum { TLS_MINIMUM_1_2, TLS_MINIMUM_1_3, TLS_MINIMA };

/* Of all TLS listeners. The paths are as written (see conf_file_path); NULL: none. */
struct conf_tls {
    char *certificate;
    char *key;
    char *ca;
    enum tls_clients clients;
    enum tls_minimum minimum;
    uint64_t handshake_ms;
};

enum conf_switch { SWITCH_ON, SWITCH_OFF, SWITCHES };

/* The user of this machine that a server started as root becomes. */
struct conf_run_as {
    char *name;          /* "" to stay who one is */
    size_t line, column; /* where the file names it; 0 for the default */
};

struct conf {
    char *data_dir;
    char *backup_dir; /* NULL: none */
    enum conf_switch backup_reflinks;
    struct conf_listen *listens; /* none: only the sockets that the service manager passes */
    size_t listens_count;
    uint64_t max_message; /* bytes */
    uint64_t max_connections;
    uint64_t max_connections_per_peer; /* 0: no limit */
    uint64_t idle_timeout_ms;          /* 0: none */
    uint64_t message_timeout_ms;       /* likewise */
    uint64_t max_pipeline;             /* requests in flight per connection */
    uint64_t max_unread;               /* bytes of answers owed to a connection */
    uint64_t max_buffered;             /* bytes of requests and answers in memory; >= max_message */
    uint64_t stall_timeout_ms;
    uint64_t max_batch;   /* changes in one batch */
    uint64_t max_uploads; /* open at a time */
    uint64_t upload_timeout_ms;
    uint64_t max_regions; /* for a client to create one */
    enum log_level log_level;
    enum log_format log_format;
    enum migrate migrate;
    struct conf_tls tls;
    struct conf_run_as run_as; /* nobody has looked yet whether there is such a user */
    enum conf_switch sandbox;  /* whether the server gives up what it does not need */
    struct conf_listen *http;  /* none: nothing is served over HTTP */
    size_t http_count;
    struct conf_region *regions; /* to create where missing; may be none */
    size_t regions_count;
    struct conf_user *users; /* none: everybody may do everything */
    size_t users_count;

    /* For conf_add_*: whether the first option has replaced what the file said, and what it said
     * about regions, whose options still hold when an option names one. */
    bool listens_replaced;
    bool regions_replaced;
    struct conf_region *file_regions;
    size_t file_regions_count;
};

/* Fills *conf, which need not be initialized, with the built-in defaults. Fails with -ENOMEM only
 * (*conf is then empty and may be released). Release with conf_release. */
int conf_init_defaults(struct conf *conf, struct conf_error *error);
/* Frees what *conf owns; harmless on one that is zeroed or released already. */
void conf_release(struct conf *conf);

/* Replaces *conf, which is initialized, by the defaults overridden by the file at path. An empty
 * file means the defaults. On failure *conf is untouched. */
int conf_load(struct conf *conf, const char *path, struct conf_error *error);
/* The same from size bytes at text; name stands for the file in errors. */
int conf_parse(struct conf *conf, const char *text, size_t size, const char *name,
               struct conf_error *error);

/* For options of the command line, after the file. The first listener or region given so replaces
 * all that the file (or the defaults) named; the next ones add to it. A region that the file named
 * too keeps the file's options, another one has the defaults. */
int conf_set_data_dir(struct conf *conf, const char *path, struct conf_error *error);
int conf_add_listen(struct conf *conf, const char *address, struct conf_error *error);
int conf_add_region(struct conf *conf, const char *name, struct conf_error *error);

/* The file that a path of struct conf_tls means: one that begins with "${CREDENTIALS_DIRECTORY}/"
 * lies where the service manager has put the service's credentials. Free it. NULL: -EINVAL where
 * there are none, or -ENOMEM, with the error filled. */
char *conf_file_path(const char *path, struct conf_error *error);

/* Writes the whole configuration, every key with a comment that explains it, as YAML that
 * conf_parse reads back to an equal one. -EIO where the stream has an error afterwards. */
int conf_print(const struct conf *conf, FILE *to);

/* "error", "warning", "info", "debug"; NULL for a number that is none of the enum. */
const char *log_level_name(enum log_level level);
/* "text", "json"; likewise. */
const char *log_format_name(enum log_format format);
/* "auto", "refuse"; likewise. */
const char *migrate_name(enum migrate migrate);
/* "read", "write", "admin"; likewise. */
const char *access_name(enum access access);
/* "none", "optional", "required"; "1.2", "1.3"; likewise. */
const char *tls_clients_name(enum tls_clients clients);
const char *tls_minimum_name(enum tls_minimum minimum);
/* "on", "off"; likewise. */
const char *switch_name(enum conf_switch value);

#endif
