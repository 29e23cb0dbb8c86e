/* Configurations for tests: from text, to text, compared. */
#ifndef MREGION_TESTS_CONF_CONF_H
#define MREGION_TESTS_CONF_CONF_H

#include "conf/conf.h"

/* The whole file below the source tree; to be freed. Fails the test where it cannot be read. */
char *read_source(const char *path);

/* The printed form; to be freed. */
char *print_conf(const struct conf *conf);

/* Fails the test where any field but lines differs. */
void assert_conf_eq(const struct conf *a, const struct conf *b);

/* The built-in defaults. */
struct conf default_conf(void);
/* The configuration of a text that must be right; named "f". */
struct conf parse_conf(const char *text);
/* Fails the test unless the text is refused with exactly that sentence, whose position the error
 * has too, and without changing anything. */
void assert_refused(const char *text, size_t size, const char *sentence);

/* The same for many texts. */
struct refusal {
    const char *text;
    const char *sentence;
};
void assert_refusals(const struct refusal *cases, size_t count);
#define ASSERT_REFUSALS(cases) assert_refusals(cases, sizeof(cases) / sizeof(cases)[0])

/* The keys of a file, as a message lists them. */
#define TOP_KEYS                                                                                   \
    "data_dir, backup_dir, backup_reflinks, listen, max_message, max_connections, "                \
    "max_connections_per_peer, "                                                                   \
    "idle_timeout, "                                                                               \
    "message_timeout, max_pipeline, max_unread, max_buffered, stall_timeout, log_level, "          \
    "log_format, max_batch, max_uploads, upload_timeout, max_regions, migrate, users, "            \
    "tls_certificate, tls_key, tls_ca, tls_clients, tls_minimum, tls_handshake, user, sandbox, "   \
    "http, regions"

/* count times the piece, between a head and a tail; to be freed. */
char *repeat(const char *head, const char *piece, size_t count, const char *tail);
void assert_repeated_refused(const char *head, const char *piece, size_t count,
                             const char *sentence);

#endif
