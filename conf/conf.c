#include "conf/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/address.h"
#include "conf/members.h"
#include "conf/read.h"
#include "conf/settings.h"
#include "conf/text.h"

const char *log_level_name(enum log_level level)
{
    static const char *const names[LOG_LEVELS] = {"error", "warning", "info", "debug"};

    return (unsigned)level < LOG_LEVELS ? names[level] : NULL;
}

const char *log_format_name(enum log_format format)
{
    static const char *const names[LOG_FORMATS] = {"text", "json"};

    return (unsigned)format < LOG_FORMATS ? names[format] : NULL;
}

const char *migrate_name(enum migrate migrate)
{
    static const char *const names[MIGRATES] = {
        [MIGRATE_AUTO] = "auto",
        [MIGRATE_REFUSE] = "refuse",
    };

    return (unsigned)migrate < MIGRATES ? names[migrate] : NULL;
}

const char *access_name(enum access access)
{
    static const char *const names[ACCESSES] = {
        [ACCESS_READ] = "read",
        [ACCESS_WRITE] = "write",
        [ACCESS_ADMIN] = "admin",
    };

    return (unsigned)access < ACCESSES ? names[access] : NULL;
}

const char *tls_clients_name(enum tls_clients clients)
{
    static const char *const names[TLS_CLIENTS] = {"none", "optional", "required"};

    return (unsigned)clients < TLS_CLIENTS ? names[clients] : NULL;
}

const char *tls_minimum_name(enum tls_minimum minimum)
{
    static const char *const names[TLS_MINIMA] = {"1.2", "1.3"};

    return (unsigned)minimum < TLS_MINIMA ? names[minimum] : NULL;
}

const char *switch_name(enum conf_switch value)
{
    static const char *const names[SWITCHES] = {
        [SWITCH_ON] = "on",
        [SWITCH_OFF] = "off",
    };

    return (unsigned)value < SWITCHES ? names[value] : NULL;
}

/* For what has no position: a file that cannot be read, an option. */
__attribute__((format(printf, 3, 4))) static int fail(struct conf_error *error, int code,
                                                      const char *format, ...)
{
    va_list args;

    if (error != NULL) {
        error->line = 0;
        error->column = 0;
        va_start(args, format);
        (void)vsnprintf(error->text, sizeof error->text, format, args);
        va_end(args);
    }
    return code;
}

int conf_init_defaults(struct conf *conf, struct conf_error *error)
{
    int code;

    memset(conf, 0, sizeof *conf);
    code =
        conf_read(conf, settings_defaults, strlen(settings_defaults), "built-in defaults", error);
    if (code != 0)
        conf_release(conf);
    conf->run_as.line = conf->run_as.column = 0;
    for (size_t i = 0; i < conf->listens_count; i++)
        conf->listens[i].line = 0;
    for (size_t i = 0; i < conf->regions_count; i++)
        conf->regions[i].line = 0;
    return code;
}

void conf_release(struct conf *conf)
{
    members_clear_listens(conf);
    members_clear_http(conf);
    members_clear_users(conf);
    free(conf->data_dir);
    free(conf->backup_dir);
    free(conf->tls.certificate);
    free(conf->tls.key);
    free(conf->tls.ca);
    free(conf->run_as.name);
    free(conf->regions);
    free(conf->file_regions);
    memset(conf, 0, sizeof *conf);
}

int conf_parse(struct conf *conf, const char *text, size_t size, const char *name,
               struct conf_error *error)
{
    struct conf parsed;
    int code;

    if (size > CONF_FILE_MAX)
        return fail(error, -EINVAL, "%.*s: a configuration has at most %llu bytes", PATH_MAX, name,
                    (unsigned long long)CONF_FILE_MAX);
    code = conf_init_defaults(&parsed, error);
    if (code != 0)
        return code;
    code = conf_read(&parsed, text, size, name, error);
    if (code != 0) {
        conf_release(&parsed);
        return code;
    }
    conf_release(conf);
    *conf = parsed;
    return 0;
}

/* Reads until the end or until size bytes are there, from what may be a pipe. */
static ssize_t read_all(int fd, char *buffer, size_t size)
{
    size_t used = 0;

    while (used < size) {
        ssize_t got = read(fd, buffer + used, size - used);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        used += (size_t)got;
    }
    return (ssize_t)used;
}

int conf_load(struct conf *conf, const char *path, struct conf_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    ssize_t size;
    char *text;
    int code;

    if (fd < 0)
        return fail(error, -errno, "%.*s: cannot open the configuration: %s", PATH_MAX, path,
                    strerror(errno));
    /* One byte more than may be there, to see whether it is too large. */
    text = malloc(CONF_FILE_MAX + 1);
    size = text == NULL ? -ENOMEM : read_all(fd, text, CONF_FILE_MAX + 1);
    if (size < 0)
        code = fail(error, (int)size, "%.*s: cannot read the configuration: %s", PATH_MAX, path,
                    strerror((int)-size));
    else
        code = conf_parse(conf, text, (size_t)size, path, error);
    free(text);
    (void)close(fd);
    return code;
}

/* What an option says must be text, so that conf_print can write it. */
static int check_option(const char *option, const char *value, struct conf_error *error)
{
    struct position at;
    char message[TEXT_MESSAGE_SIZE];

    if (text_check(value, strlen(value), &at, message))
        return 0;
    return fail(error, -EINVAL, "%s: character %zu: %s", option, at.column, message);
}

int conf_set_data_dir(struct conf *conf, const char *path, struct conf_error *error)
{
    char *copy;
    int code = check_option("--data-dir", path, error);

    if (code != 0)
        return code;
    if (path[0] == '\0' || strlen(path) > CONF_DATA_DIR_MAX)
        return fail(error, -EINVAL, "--data-dir: a path has 1 to %d bytes, not %zu",
                    CONF_DATA_DIR_MAX, strlen(path));
    copy = strdup(path);
    if (copy == NULL)
        return fail(error, -ENOMEM, "--data-dir: out of memory");
    free(conf->data_dir);
    conf->data_dir = copy;
    return 0;
}

int conf_add_listen(struct conf *conf, const char *address, struct conf_error *error)
{
    char problem[ADDRESS_PROBLEM_SIZE] = "out of memory";
    struct conf_listen listen;
    int code = check_option("--listen", address, error);

    if (code != 0)
        return code;
    code = address_parse(address, strlen(address), &listen, problem);
    if (code == 0 && !address_fits_tls(&listen, &conf->tls, problem)) {
        address_release(&listen);
        code = -EINVAL;
    }
    if (code != 0)
        return fail(error, code, "--listen: %s", problem);
    if (conf->users_count == 0 && address_lets_strangers_in(&listen, &conf->tls, problem)) {
        address_release(&listen);
        return fail(error, -EINVAL, "--listen: %s", problem);
    }
    if (!conf->listens_replaced)
        members_clear_listens(conf);
    conf->listens_replaced = true;
    if (members_find_listen(conf, &listen) != NULL)
        code = fail(error, -EINVAL, "--listen: %s is given twice", listen.address);
    else if (members_find_http(conf, &listen) != NULL)
        code = fail(error, -EINVAL, "--listen: %s is one of http's in the configuration",
                    listen.address);
    else if (conf->listens_count == CONF_LISTENS_MAX)
        code =
            fail(error, -EINVAL, "--listen: at most %d addresses may be given", CONF_LISTENS_MAX);
    else if (members_add_listen(conf, &listen) != 0)
        code = fail(error, -ENOMEM, "--listen: out of memory");
    if (code != 0)
        address_release(&listen);
    return code;
}

char *conf_file_path(const char *path, struct conf_error *error)
{
    static const char prefix[] = "${CREDENTIALS_DIRECTORY}/";
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    char *file = NULL;

    if (strncmp(path, prefix, strlen(prefix)) != 0) {
        file = strdup(path);
    } else if (folder == NULL || folder[0] == '\0') {
        (void)fail(error, -EINVAL,
                   "%.*s: CREDENTIALS_DIRECTORY is not set; systemd sets it where the unit has "
                   "LoadCredential=%s:/the/file",
                   PATH_MAX, path, path + strlen(prefix));
        return NULL;
    } else if (asprintf(&file, "%s/%s", folder, path + strlen(prefix)) < 0) {
        file = NULL;
    }
    if (file == NULL)
        (void)fail(error, -ENOMEM, "%.*s: out of memory", PATH_MAX, path);
    return file;
}

/* The regions of the file step aside for those of the options. */
static void replace_regions(struct conf *conf)
{
    conf->file_regions = conf->regions;
    conf->file_regions_count = conf->regions_count;
    conf->regions = NULL;
    conf->regions_count = 0;
    conf->regions_replaced = true;
}

int conf_add_region(struct conf *conf, const char *name, struct conf_error *error)
{
    struct conf_region region = {.options = region_options_default()};
    const struct conf_region *of_file;
    char quoted[TEXT_QUOTED_SIZE];

    if (!region_name_is_valid(name, strlen(name))) {
        text_quote(name, strlen(name), TEXT_SHOWN, quoted, sizeof quoted);
        return fail(error, -EINVAL,
                    "--region: a region's name is 1 to %d letters, digits, dots, underscores and "
                    "hyphens, a letter or digit first, not %s",
                    REGION_NAME_MAX, quoted);
    }
    if (!conf->regions_replaced)
        replace_regions(conf);
    if (members_find_region(conf->regions, conf->regions_count, name) != NULL)
        return fail(error, -EINVAL, "--region: \"%s\" is given twice", name);
    if (conf->regions_count == CONF_REGIONS_MAX)
        return fail(error, -EINVAL, "--region: at most %d regions may be given", CONF_REGIONS_MAX);
    of_file = members_find_region(conf->file_regions, conf->file_regions_count, name);
    if (of_file != NULL)
        region = *of_file;
    memcpy(region.name, name, strlen(name) + 1);
    if (members_add_region(conf, &region) != 0)
        return fail(error, -ENOMEM, "--region: out of memory");
    return 0;
}
