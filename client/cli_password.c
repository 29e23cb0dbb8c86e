#include "client/cli_password.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "client/cli_source.h"

/* One byte more than may be there, to see whether it is too long. */
struct password {
    char bytes[CLI_PASSWORD_MAX + 2];
    size_t size;
};

static int fail_long(const struct cli *cli, const char *name)
{
    return cli_fail(cli, CLI_USAGE, "%s: a password has at most %d bytes", name, CLI_PASSWORD_MAX);
}

/* ---- From the terminal ---- */

enum { CTRL_C = 3, CTRL_D = 4, BACKSPACE = 8, CTRL_U = 21, DELETE = 127 };

/* Takes one typed byte. False: the line has ended. */
static bool take_byte(struct password *password, int byte)
{
    if (byte == '\n' || byte == '\r' || (byte == CTRL_D && password->size == 0))
        return false;
    if (byte == BACKSPACE || byte == DELETE)
        password->size -= password->size > 0;
    else if (byte == CTRL_U)
        password->size = 0;
    else if (byte != CTRL_D && password->size <= CLI_PASSWORD_MAX)
        password->bytes[password->size++] = (char)byte;
    return true;
}

/* Signals of the keyboard are bytes here, so that none can leave the terminal without its echo. */
static int type_line(const struct cli *cli, int fd, const char *prompt, struct password *password)
{
    int status = CLI_OK;
    unsigned char byte = 0;

    (void)dprintf(fd, "%s", prompt);
    password->size = 0;
    for (;;) {
        ssize_t count = read(fd, &byte, 1);

        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0) {
            status = cli_fail(cli, CLI_LOCAL_IO, "the terminal: cannot read a password");
            break;
        }
        if (byte == CTRL_C) {
            status = cli_fail(cli, CLI_LOCAL_IO, "no password was typed");
            break;
        }
        if (!take_byte(password, byte))
            break;
    }
    (void)dprintf(fd, "\n");
    if (status == CLI_OK && password->size > CLI_PASSWORD_MAX)
        status = fail_long(cli, "the terminal");
    return status;
}

static int type_twice(const struct cli *cli, int fd, const char *prompt, struct password *password)
{
    struct password again;
    int status = type_line(cli, fd, prompt, password);

    if (status == CLI_OK)
        status = type_line(cli, fd, "Once more: ", &again);
    if (status == CLI_OK &&
        (again.size != password->size || memcmp(again.bytes, password->bytes, password->size) != 0))
        status = cli_fail(cli, CLI_USAGE, "that were two different passwords: try again");
    sodium_memzero(&again, sizeof again);
    return status;
}

static int type_password(const struct cli *cli, const char *prompt, bool twice,
                         struct password *password)
{
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    struct termios before, silent;
    int status;

    if (fd < 0 || tcgetattr(fd, &before) != 0) {
        if (fd >= 0)
            (void)close(fd);
        return cli_fail(cli, CLI_LOCAL_IO, "the terminal: cannot open: %s", strerror(errno));
    }
    silent = before;
    silent.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
    silent.c_cc[VMIN] = 1;
    silent.c_cc[VTIME] = 0;
    (void)tcsetattr(fd, TCSAFLUSH, &silent);
    status = twice ? type_twice(cli, fd, prompt, password) : type_line(cli, fd, prompt, password);
    (void)tcsetattr(fd, TCSAFLUSH, &before);
    (void)close(fd);
    return status;
}

/* ---- From a file ---- */

static int read_bytes(const struct cli *cli, const struct cli_source *source,
                      struct password *password)
{
    ssize_t count;

    password->size = 0;
    do {
        count = read(source->fd, password->bytes + password->size,
                     sizeof password->bytes - password->size);
        if (count > 0)
            password->size += (size_t)count;
    } while ((count > 0 && password->size < sizeof password->bytes) ||
             (count < 0 && errno == EINTR));
    if (count < 0)
        return cli_fail(cli, CLI_LOCAL_IO, "%s: cannot read the password: %s", source->name,
                        strerror(errno));
    return CLI_OK;
}

/* The whole of it, but for a line's end at its end. */
static int read_file(const struct cli *cli, const char *path, struct password *password)
{
    struct cli_source source;
    int status = cli_source_open(cli, path, &source);

    if (status != CLI_OK)
        return status;
    status = read_bytes(cli, &source, password);
    if (status == CLI_OK && password->size > 0 && password->bytes[password->size - 1] == '\n')
        password->size--;
    if (status == CLI_OK && password->size > CLI_PASSWORD_MAX)
        status = fail_long(cli, source.name);
    if (status == CLI_OK && memchr(password->bytes, '\n', password->size) != NULL)
        status = cli_fail(cli, CLI_USAGE, "%s: a password is one line", source.name);
    cli_source_close(&source);
    return status;
}

/* ---- Who it is ---- */

/* What was typed once, for who has several connections. Never written to a disk. */
static struct password *typed;

static void keep_typed(const struct password *password)
{
    if (typed == NULL)
        typed = sodium_init() < 0 ? NULL : sodium_malloc(sizeof *typed);
    if (typed != NULL)
        *typed = *password;
}

void cli_password_forget(void)
{
    sodium_free(typed);
    typed = NULL;
}

static int find_password(const struct cli *cli, struct password *password)
{
    const char *value = getenv("MREGION_PASSWORD");
    char prompt[300];

    if (typed != NULL) {
        *password = *typed;
        return CLI_OK;
    }
    if (cli->password_file != NULL)
        return read_file(cli, cli->password_file, password);
    if (value != NULL && strlen(value) > CLI_PASSWORD_MAX)
        return fail_long(cli, "MREGION_PASSWORD");
    if (value != NULL) {
        password->size = strlen(value);
        memcpy(password->bytes, value, password->size);
        return CLI_OK;
    }
    if (isatty(STDIN_FILENO) == 0 && isatty(STDERR_FILENO) == 0)
        return cli_fail(cli, CLI_USAGE,
                        "there is no password for user %s: put it into MREGION_PASSWORD, or into a "
                        "file and name that with --password-file",
                        cli->user);
    (void)snprintf(prompt, sizeof prompt, "Password of %.200s: ", cli->user);
    return type_password(cli, prompt, false, password);
}

int cli_password_authenticate(struct cli *cli)
{
    struct password password = {.size = 0};
    struct mregion_error error;
    int status = find_password(cli, &password);

    if (status == CLI_OK && mregion_authenticate(cli->connection, cli->user, password.bytes,
                                                 password.size, &error) != MREGION_OK)
        status = cli_fail_library(cli, &error, NULL);
    if (status == CLI_OK && cli->keeps_password)
        keep_typed(&password);
    sodium_memzero(&password, sizeof password);
    return status;
}

/* ---- Its hash ---- */

static int get_new_password(const struct cli *cli, struct password *password)
{
    int status = isatty(STDIN_FILENO) != 0 ? type_password(cli, "New password: ", true, password)
                                           : read_file(cli, "-", password);

    if (status == CLI_OK && password->size == 0)
        status = cli_fail(cli, CLI_USAGE, "a password must not be empty");
    return status;
}

static void print_hash(const struct cli *cli, const char *name, const char *hash)
{
    if (cli->form == CLI_JSON && name != NULL)
        (void)printf("{\"name\":\"%s\",\"password_hash\":\"%s\"}\n", name, hash);
    else if (cli->form == CLI_JSON)
        (void)printf("\"%s\"\n", hash);
    else if (cli->form == CLI_TABLE && name != NULL)
        (void)printf("  - name: %s\n    password_hash: %s\n    grants: []\n", name, hash);
    else
        (void)printf("%s\n", hash);
}

int cli_password_hash(struct cli *cli, const struct cli_arguments *arguments)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "._-@";
    const char *name = arguments->count > 0 ? arguments->items[0] : NULL;
    char hash[crypto_pwhash_STRBYTES];
    struct password password = {.size = 0};
    int status;

    if (name != NULL && (name[0] == '\0' || strlen(name) > 64 ||
                         strspn(name, letters) != strlen(name) || strchr("._-@", name[0]) != NULL))
        return cli_fail(
            cli, CLI_USAGE,
            "a user's name is 1 to 64 letters, digits, dots, underscores, hyphens and at "
            "signs, a letter or digit first, not \"%s\"",
            name);
    if (sodium_init() < 0)
        return cli_fail(cli, CLI_LOCAL_IO, "the system gives no random numbers");
    status = get_new_password(cli, &password);
    if (status == CLI_OK &&
        crypto_pwhash_str(hash, password.bytes, password.size, crypto_pwhash_OPSLIMIT_INTERACTIVE,
                          crypto_pwhash_MEMLIMIT_INTERACTIVE) != 0)
        status = cli_no_memory(cli);
    sodium_memzero(&password, sizeof password);
    if (status == CLI_OK)
        print_hash(cli, name, hash);
    return status;
}
