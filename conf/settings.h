/* The table of settings at run time, made from settings.def. */
#ifndef MREGION_CONF_SETTINGS_H
#define MREGION_CONF_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"

enum setting_scope { SCOPE_TOP, SCOPE_LISTEN, SCOPE_REGION, SCOPE_USER, SCOPE_GRANT, SCOPES };

/* How the value is written, and so what is at the field. */
enum setting_kind {
    KIND_PATH,       /* text: char * */
    KIND_FILE,       /* text: char *, NULL for the word none */
    KIND_SIZE,       /* bytes: uint64_t */
    KIND_TIME,       /* milliseconds: uint64_t */
    KIND_COUNT,      /* uint64_t */
    KIND_MODE,       /* octal: unsigned */
    KIND_LOG_LEVEL,  /* a word: enum log_level */
    KIND_LOG_FORMAT, /* a word: enum log_format */
    KIND_DURABILITY, /* a word: enum durability */
    KIND_FIT,        /* a word: enum fit */
    KIND_CHECKSUM,   /* a word: enum checksum */
    KIND_MIGRATE,    /* a word: enum migrate */
    KIND_ACCESS,     /* a word: enum access */
    KIND_TLS_CLIENTS,
    KIND_TLS_MINIMUM,
    KIND_SWITCH,    /* a word: enum conf_switch */
    KIND_NAME,      /* a region's name: char [REGION_NAME_MAX + 1] */
    KIND_PATTERN,   /* of regions' names: likewise */
    KIND_USER_NAME, /* char [USER_NAME_MAX + 1] */
    KIND_RUN_AS,    /* a user of this machine, or empty: struct conf_run_as */
    KIND_HASH,      /* of a password: char *, or NULL */
    KIND_SUBJECT,   /* of a certificate: char *, or NULL */
    KIND_ID,        /* of a Unix user or group: uint64_t, or CONF_NO_ID */
    KIND_UNIX,      /* path of a socket: struct conf_listen */
    KIND_TCP,       /* HOST:PORT: struct conf_listen */
    KIND_TLS,       /* likewise */
    KIND_LISTENS,   /* a list of mappings of SCOPE_LISTEN */
    KIND_HTTP,      /* likewise, with some that are refused */
    KIND_REGIONS,   /* a list of mappings of SCOPE_REGION */
    KIND_USERS,     /* a list of mappings of SCOPE_USER */
    KIND_GRANTS,    /* a list of mappings of SCOPE_GRANT */
};

/* SETTING_TOP_data_dir and so on: the index into the table. */
enum setting_id {
#define SETTING(scope, name, kind, field, low, high, default_text, unit, prose)                    \
    SETTING_##scope##_##name,
#include "conf/settings.def"
#undef SETTING
    SETTINGS
};

struct setting {
    enum setting_scope scope;
    const char *name;
    enum setting_kind kind;
    size_t offset; /* of the field, in the struct of its scope */
    uint64_t low;
    uint64_t high;
    const char *default_text;
    const char *unit;
    const char *prose;
};

extern const struct setting settings[SETTINGS];

/* The built-in defaults of SCOPE_TOP as a YAML text. */
extern const char settings_defaults[];

/* The setting of that scope whose name is the length bytes at name, or NULL. */
const struct setting *setting_find(enum setting_scope scope, const char *name, size_t length);
/* The name nearest to a misspelled one; NULL when none is near. */
const char *setting_suggest(enum setting_scope scope, const char *name, size_t length);
/* All names of a scope: "unix, mode, tcp, tls". */
void setting_format_names(enum setting_scope scope, char *text, size_t size);

/* The word number index (from 0) of a kind that is a choice of words; NULL past the last one, and
 * for other kinds. */
const char *setting_word(const struct setting *setting, unsigned index);

#define SETTING_TEXT_SIZE 512

/* A number as the setting's kind writes it: "64MiB", "100ms", "0660", "1024". */
void setting_format(const struct setting *setting, uint64_t value, char *text, size_t size);
/* The word nearest to a misspelled one; NULL when none is near. */
const char *setting_suggest_word(const struct setting *setting, const char *word, size_t length);
/* All words of a choice: "sync, interval or none". */
void setting_format_words(const struct setting *setting, char *text, size_t size);
/* What may stand there, and the default, as one line: "64KiB to 1GiB, default 64MiB". Empty for
 * lists and for what has neither. */
void setting_format_facts(const struct setting *setting, char *text, size_t size);

#endif
