/* The configuration as YAML: every key, explained from the table of settings. The shipped
 * mregiond.yaml is this text for the defaults. */
#include <errno.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/print.h"
#include "conf/settings.h"
#include "conf/text.h"

/* Comments end here. */
#define COLUMNS 99

static const char header[] =
    "# The configuration of mregiond; mregiond.yaml(5) is its manual.\n"
    "#\n"
    "# Every key may be left out and then has its default. Sizes are whole numbers of bytes, or "
    "of\n"
    "# KiB, MiB, GiB or TiB; times are whole numbers with ms, s, m or h. What is misspelled, "
    "given\n"
    "# twice or out of range is refused with its line and column. --check-config tells without\n"
    "# starting the server.\n";

struct printer {
    FILE *to;
    bool is_explained[SETTINGS];
};

/* The paragraph as comment lines, broken at spaces. */
static void print_wrapped(FILE *to, int indent, const char *text)
{
    size_t width = COLUMNS - (size_t)indent - 2;

    while (*text != '\0') {
        size_t length = strlen(text);

        if (length > width) {
            length = width;
            while (length > 0 && text[length] != ' ')
                length--;
            if (length == 0)
                length = strcspn(text, " ");
        }
        (void)fprintf(to, "%*s# %.*s\n", indent, "", (int)length, text);
        text += length;
        text += strspn(text, " ");
    }
}

/* The setting's comment, the first time its key is printed. */
static void explain(struct printer *printer, const struct setting *setting, int indent)
{
    char facts[SETTING_TEXT_SIZE];

    if (printer->is_explained[setting - settings])
        return;
    printer->is_explained[setting - settings] = true;
    print_wrapped(printer->to, indent, setting->prose);
    setting_format_facts(setting, facts, sizeof facts);
    if (facts[0] != '\0')
        (void)fprintf(printer->to, "%*s# (%s)\n", indent, "", facts);
}

/* Whether the text may stand without quotes; not whenever YAML would let it, but surely then. */
static bool is_plain(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    size_t length = strlen(text);

    if (strchr(letters, text[0]) == NULL && strchr("/.", text[0]) == NULL)
        return false;
    for (size_t i = 0; i < length; i++) {
        bool is_inner_colon = text[i] == ':' && i + 1 < length && text[i + 1] != ' ';

        if (strchr(letters, text[i]) == NULL && strchr("/._+-", text[i]) == NULL && !is_inner_colon)
            return false;
    }
    return text_type_of(text, length) == TEXT_WORD && strcmp(text, "...") != 0;
}

/* The text as a YAML scalar. */
static void print_text(FILE *to, const char *text)
{
    char quoted[PATH_MAX * 4 + 8]; /* a byte takes 4 at most: \x01 */

    if (is_plain(text)) {
        (void)fputs(text, to);
        return;
    }
    text_quote(text, strlen(text), SIZE_MAX, quoted, sizeof quoted);
    (void)fputs(quoted, to);
}

/* NULL is the word none, which in quotes is a file of that name. */
static void print_file(FILE *to, const char *path)
{
    if (path == NULL)
        (void)fputs("none", to);
    else if (strcmp(path, "none") == 0)
        (void)fputs("\"none\"", to);
    else
        print_text(to, path);
}

void print_value(FILE *to, const struct setting *setting, const void *base)
{
    const void *field = (const char *)base + setting->offset;
    char text[SETTING_TEXT_SIZE];

    switch (setting->kind) {
    case KIND_PATH:
    case KIND_UNIX:
    case KIND_HASH:
    case KIND_SUBJECT:
    case KIND_RUN_AS: /* begins with the name */
        print_text(to, *(const char *const *)field);
        break;
    case KIND_TCP:
    case KIND_TLS:
        print_text(to, ((const struct conf_listen *)base)->address + strlen("tcp:"));
        break;
    case KIND_FILE:
        print_file(to, *(const char *const *)field);
        break;
    case KIND_NAME:
    case KIND_PATTERN:
    case KIND_USER_NAME:
        print_text(to, field);
        break;
    case KIND_SIZE:
    case KIND_TIME:
    case KIND_COUNT:
    case KIND_ID:
        setting_format(setting, *(const uint64_t *)field, text, sizeof text);
        (void)fputs(text, to);
        break;
    case KIND_MODE:
        setting_format(setting, *(const unsigned *)field, text, sizeof text);
        (void)fputs(text, to);
        break;
    default:
        (void)fputs(setting_word(setting, *(const unsigned *)field), to);
    }
}

static void print_line(FILE *to, const struct setting *setting, const void *base)
{
    print_value(to, setting, base);
    (void)fputc('\n', to);
}

/* One key of an item of a list; the first one carries the dash. */
static void print_item_key(struct printer *printer, enum setting_id id, const void *base,
                           bool is_first)
{
    explain(printer, &settings[id], is_first ? 2 : 4);
    (void)fprintf(printer->to, "  %c %s: ", is_first ? '-' : ' ', settings[id].name);
    print_line(printer->to, &settings[id], base);
}

static void print_listen(struct printer *printer, const struct conf_listen *listen)
{
    if (listen->is_unix) {
        print_item_key(printer, SETTING_LISTEN_unix, listen, true);
        print_item_key(printer, SETTING_LISTEN_mode, listen, false);
    } else {
        print_item_key(printer, listen->is_tls ? SETTING_LISTEN_tls : SETTING_LISTEN_tcp, listen,
                       true);
    }
}

static void print_region(struct printer *printer, const struct conf_region *region)
{
    for (unsigned id = 0; id < SETTINGS; id++)
        if (settings[id].scope == SCOPE_REGION)
            print_item_key(printer, (enum setting_id)id, region, id == SETTING_REGION_name);
}

/* The first key that a user has is its name, so that is where the dash goes. */
static void print_user(struct printer *printer, const struct conf_user *user)
{
    print_item_key(printer, SETTING_USER_name, user, true);
    if (user->password_hash != NULL)
        print_item_key(printer, SETTING_USER_password_hash, user, false);
    if (user->certificate != NULL)
        print_item_key(printer, SETTING_USER_certificate, user, false);
    if (user->uid != CONF_NO_ID)
        print_item_key(printer, SETTING_USER_uid, user, false);
    if (user->gid != CONF_NO_ID)
        print_item_key(printer, SETTING_USER_gid, user, false);
    explain(printer, &settings[SETTING_USER_grants], 4);
    (void)fputs(user->grants_count == 0 ? "    grants: []\n" : "    grants:\n", printer->to);
    for (size_t i = 0; i < user->grants_count; i++) {
        const struct conf_grant *grant = &user->grants[i];

        explain(printer, &settings[SETTING_GRANT_regions], 6);
        (void)fputs("      - regions: ", printer->to);
        print_line(printer->to, &settings[SETTING_GRANT_regions], grant);
        explain(printer, &settings[SETTING_GRANT_access], 8);
        (void)fputs("        access: ", printer->to);
        print_line(printer->to, &settings[SETTING_GRANT_access], grant);
    }
}

/* What a user would have, where there is none to show it. */
static void print_no_user(FILE *to)
{
    static const char example[] = "  # - name: alice\n"
                                  "  #   password_hash: $argon2id$v=19$m=65536,t=2,p=1$...\n"
                                  "  #   grants:\n"
                                  "  #     - regions: photos-*\n"
                                  "  #       access: write\n";

    (void)fputs(example, to);
    for (unsigned id = 0; id < SETTINGS; id++) {
        const struct setting *setting = &settings[id];
        char text[1024];

        if (setting->scope != SCOPE_USER && setting->scope != SCOPE_GRANT)
            continue;
        (void)fputs("  #\n", to);
        (void)snprintf(text, sizeof text, "%s: %s", setting->name, setting->prose);
        print_wrapped(to, 2, text);
    }
}

static bool is_list(const struct setting *setting)
{
    return setting->kind == KIND_LISTENS || setting->kind == KIND_HTTP ||
           setting->kind == KIND_REGIONS || setting->kind == KIND_USERS;
}

static void print_top(struct printer *printer, const struct setting *setting,
                      const struct conf *conf)
{
    size_t count = setting->kind == KIND_LISTENS   ? conf->listens_count
                   : setting->kind == KIND_HTTP    ? conf->http_count
                   : setting->kind == KIND_REGIONS ? conf->regions_count
                                                   : conf->users_count;

    (void)fputc('\n', printer->to);
    explain(printer, setting, 0);
    (void)fprintf(printer->to, "%s:", setting->name);
    if (!is_list(setting)) {
        (void)fputc(' ', printer->to);
        print_line(printer->to, setting, conf);
        return;
    }
    (void)fputs(count == 0 ? " []\n" : "\n", printer->to);
    if (setting->kind == KIND_USERS && count == 0)
        print_no_user(printer->to);
    if (setting->kind == KIND_HTTP && count == 0)
        (void)fputs("  # - tcp: 127.0.0.1:9421\n", printer->to);
    for (size_t i = 0; i < count; i++) {
        if (setting->kind == KIND_LISTENS)
            print_listen(printer, &conf->listens[i]);
        else if (setting->kind == KIND_HTTP)
            print_listen(printer, &conf->http[i]);
        else if (setting->kind == KIND_REGIONS)
            print_region(printer, &conf->regions[i]);
        else
            print_user(printer, &conf->users[i]);
    }
    if (setting->kind == KIND_LISTENS && !printer->is_explained[SETTING_LISTEN_tls]) {
        explain(printer, &settings[SETTING_LISTEN_tls], 2);
        (void)fputs("  # - tls: 127.0.0.1:7421\n", printer->to);
    }
}

int conf_print(const struct conf *conf, FILE *to)
{
    struct printer printer = {.to = to};

    (void)fputs(header, to);
    for (size_t i = 0; i < SETTINGS; i++)
        if (settings[i].scope == SCOPE_TOP)
            print_top(&printer, &settings[i], conf);
    return fflush(to) != 0 || ferror(to) != 0 ? -EIO : 0;
}
