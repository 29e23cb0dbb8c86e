#include "tests/conf/support_conf.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

char *read_source(const char *path)
{
    char full[PATH_MAX];
    char *text = NULL;
    size_t size = 0;
    FILE *file;
    FILE *to = open_memstream(&text, &size);
    int byte;

    ck_assert_ptr_nonnull(to);
    (void)snprintf(full, sizeof full, "%s/%s", SOURCE_ROOT, path);
    file = fopen(full, "re");
    ck_assert_msg(file != NULL, "%s: %s", full, strerror(errno));
    while ((byte = fgetc(file)) != EOF)
        (void)fputc(byte, to);
    ck_assert(!ferror(file));
    (void)fclose(file);
    ck_assert_int_eq(fclose(to), 0);
    return text;
}

char *print_conf(const struct conf *conf)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);

    ck_assert_ptr_nonnull(to);
    ck_assert_int_eq(conf_print(conf, to), 0);
    ck_assert_int_eq(fclose(to), 0);
    return text;
}

static void assert_text_eq(const char *a, const char *b)
{
    ck_assert_int_eq(a == NULL, b == NULL);
    if (a != NULL)
        ck_assert_str_eq(a, b);
}

static void assert_listen_eq(const struct conf_listen *a, const struct conf_listen *b)
{
    assert_text_eq(a->address, b->address);
    ck_assert_int_eq(a->is_unix, b->is_unix);
    ck_assert_int_eq(a->is_tls, b->is_tls);
    assert_text_eq(a->host, b->host);
    ck_assert_uint_eq(a->port, b->port);
    assert_text_eq(a->path, b->path);
    ck_assert_uint_eq(a->mode, b->mode);
}

static void assert_region_eq(const struct conf_region *a, const struct conf_region *b)
{
    ck_assert_str_eq(a->name, b->name);
    ck_assert_int_eq(a->options.durability, b->options.durability);
    ck_assert_uint_eq(a->options.flush_interval_ms, b->options.flush_interval_ms);
    ck_assert_int_eq(a->options.fit, b->options.fit);
    ck_assert_uint_eq(a->options.max_size, b->options.max_size);
    ck_assert_uint_eq(a->options.journal_size, b->options.journal_size);
    ck_assert_int_eq(a->options.checksum, b->options.checksum);
    ck_assert_uint_eq(a->options.token_window, b->options.token_window);
    ck_assert_uint_eq(a->options.discard, b->options.discard);
    ck_assert_uint_eq(a->options.scrub_interval_ms, b->options.scrub_interval_ms);
    ck_assert_uint_eq(a->options.scrub_rate, b->options.scrub_rate);
    ck_assert_uint_eq(a->options.page_cache, b->options.page_cache);
}

static void assert_user_eq(const struct conf_user *a, const struct conf_user *b)
{
    ck_assert_str_eq(a->name, b->name);
    assert_text_eq(a->password_hash, b->password_hash);
    assert_text_eq(a->certificate, b->certificate);
    ck_assert_uint_eq(a->uid, b->uid);
    ck_assert_uint_eq(a->gid, b->gid);
    ck_assert_uint_eq(a->grants_count, b->grants_count);
    for (size_t i = 0; i < a->grants_count; i++) {
        ck_assert_str_eq(a->grants[i].regions, b->grants[i].regions);
        ck_assert_int_eq(a->grants[i].access, b->grants[i].access);
    }
}

void assert_conf_eq(const struct conf *a, const struct conf *b)
{
    ck_assert_str_eq(a->data_dir, b->data_dir);
    assert_text_eq(a->backup_dir, b->backup_dir);
    ck_assert_uint_eq(a->max_message, b->max_message);
    ck_assert_uint_eq(a->max_connections, b->max_connections);
    ck_assert_uint_eq(a->max_pipeline, b->max_pipeline);
    assert_text_eq(a->tls.certificate, b->tls.certificate);
    assert_text_eq(a->tls.key, b->tls.key);
    assert_text_eq(a->tls.ca, b->tls.ca);
    ck_assert_int_eq(a->tls.clients, b->tls.clients);
    ck_assert_int_eq(a->tls.minimum, b->tls.minimum);
    ck_assert_uint_eq(a->tls.handshake_ms, b->tls.handshake_ms);
    ck_assert_uint_eq(a->max_buffered, b->max_buffered);
    ck_assert_int_eq(a->log_level, b->log_level);
    ck_assert_int_eq(a->log_format, b->log_format);
    ck_assert_uint_eq(a->max_batch, b->max_batch);
    ck_assert_uint_eq(a->max_uploads, b->max_uploads);
    ck_assert_uint_eq(a->upload_timeout_ms, b->upload_timeout_ms);
    ck_assert_uint_eq(a->max_connections_per_peer, b->max_connections_per_peer);
    ck_assert_uint_eq(a->idle_timeout_ms, b->idle_timeout_ms);
    ck_assert_uint_eq(a->message_timeout_ms, b->message_timeout_ms);
    ck_assert_uint_eq(a->max_unread, b->max_unread);
    ck_assert_uint_eq(a->stall_timeout_ms, b->stall_timeout_ms);
    ck_assert_uint_eq(a->max_regions, b->max_regions);
    ck_assert_int_eq(a->migrate, b->migrate);
    ck_assert_str_eq(a->run_as.name, b->run_as.name);
    ck_assert_int_eq(a->sandbox, b->sandbox);
    ck_assert_int_eq(a->backup_reflinks, b->backup_reflinks);
    ck_assert_uint_eq(a->listens_count, b->listens_count);
    for (size_t i = 0; i < a->listens_count; i++)
        assert_listen_eq(&a->listens[i], &b->listens[i]);
    ck_assert_uint_eq(a->http_count, b->http_count);
    for (size_t i = 0; i < a->http_count; i++)
        assert_listen_eq(&a->http[i], &b->http[i]);
    ck_assert_uint_eq(a->regions_count, b->regions_count);
    for (size_t i = 0; i < a->regions_count; i++)
        assert_region_eq(&a->regions[i], &b->regions[i]);
    ck_assert_uint_eq(a->users_count, b->users_count);
    for (size_t i = 0; i < a->users_count; i++)
        assert_user_eq(&a->users[i], &b->users[i]);
}

struct conf default_conf(void)
{
    struct conf conf;
    struct conf_error error = {0};

    ck_assert_msg(conf_init_defaults(&conf, &error) == 0, "%s", error.text);
    return conf;
}

struct conf parse_conf(const char *text)
{
    struct conf conf = default_conf();
    struct conf_error error = {0};

    ck_assert_msg(conf_parse(&conf, text, strlen(text), "f", &error) == 0, "%s", error.text);
    return conf;
}

void assert_refused(const char *text, size_t size, const char *sentence)
{
    struct conf conf = parse_conf("data_dir: /as/before\nregions: [{name: before}]\n");
    struct conf before = parse_conf("data_dir: /as/before\nregions: [{name: before}]\n");
    struct conf_error error = {0};
    char position[64];

    ck_assert_msg(conf_parse(&conf, text, size, "f", &error) == -EINVAL, "taken: %s", text);
    ck_assert_str_eq(error.text, sentence);
    (void)snprintf(position, sizeof position, "f:%zu:%zu: ", error.line, error.column);
    ck_assert_msg(strncmp(error.text, position, strlen(position)) == 0, "%s is not at %s",
                  error.text, position);
    assert_conf_eq(&conf, &before);
    conf_release(&conf);
    conf_release(&before);
}

void assert_refusals(const struct refusal *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_refused(cases[i].text, strlen(cases[i].text), cases[i].sentence);
}

char *repeat(const char *head, const char *piece, size_t count, const char *tail)
{
    size_t size = strlen(head) + strlen(piece) * count + strlen(tail) + 1;
    char *text = malloc(size);
    char *at = text;

    ck_assert_ptr_nonnull(text);
    at = stpcpy(at, head);
    for (size_t i = 0; i < count; i++)
        at = stpcpy(at, piece);
    (void)stpcpy(at, tail);
    return text;
}

void assert_repeated_refused(const char *head, const char *piece, size_t count,
                             const char *sentence)
{
    char *text = repeat(head, piece, count, "");

    assert_refused(text, strlen(text), sentence);
    free(text);
}
