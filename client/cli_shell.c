#include "client/cli_shell.h"

#include <errno.h>
#include <histedit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/cli_command.h"
#include "client/cli_script.h"
#include "client/cli_signal.h"

#define HISTORY_LINES 1000

/* What libedit calls back for has no argument for it. */
struct shell {
    struct cli *cli;
    EditLine *edit;
    History *history;
    char *history_path; /* NULL: history is not kept */
    char prompt[128];
};

/* ---- History ---- */

/* Makes every folder above the file, for this user alone. */
static bool make_folders(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        int result;

        *slash = '\0';
        result = mkdir(path, 0700);
        *slash = '/';
        if (result != 0 && errno != EEXIST)
            return false;
    }
    return true;
}

/* NULL when there is no place for it. */
static char *history_path(void)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    char *path = NULL;
    int length = -1;

    /* A relative path is to be ignored, as the specification of these folders has it. */
    if (state != NULL && state[0] == '/')
        length = asprintf(&path, "%s/mrcli/history", state);
    else if (home != NULL && home[0] == '/')
        length = asprintf(&path, "%s/.local/state/mrcli/history", home);
    return length < 0 ? NULL : path;
}

static void load_history(struct shell *shell)
{
    HistEvent event;

    shell->history = history_init();
    if (shell->history == NULL)
        return;
    (void)history(shell->history, &event, H_SETSIZE, HISTORY_LINES);
    (void)history(shell->history, &event, H_SETUNIQUE, 1);
    shell->history_path = history_path();
    if (shell->history_path != NULL)
        (void)history(shell->history, &event, H_LOAD, shell->history_path);
    (void)el_set(shell->edit, EL_HIST, history, shell->history);
}

static void save_history(struct shell *shell)
{
    HistEvent event;

    if (shell->history == NULL)
        return;
    if (shell->history_path != NULL && make_folders(shell->history_path))
        (void)history(shell->history, &event, H_SAVE, shell->history_path);
    history_end(shell->history);
    free(shell->history_path);
}

/* ---- Completion ---- */

struct matches {
    const char *word;
    size_t length;
    const char *first;
    size_t common; /* how many characters all matches have in common */
    size_t count;
};

static void match(struct matches *matches, const char *name)
{
    size_t same = 0;

    if (name == NULL || strncmp(name, matches->word, matches->length) != 0)
        return;
    if (matches->count++ == 0) {
        matches->first = name;
        matches->common = strlen(name);
    }
    while (same < matches->common && name[same] == matches->first[same])
        same++;
    matches->common = same;
}

static void match_commands(struct matches *matches)
{
    for (const struct cli_command *command = cli_commands; command->name != NULL; command++) {
        match(matches, command->name);
        match(matches, command->short_name);
    }
}

static void print_match(const struct matches *matches, const char *name)
{
    if (name != NULL && strncmp(name, matches->word, matches->length) == 0)
        (void)printf("%s  ", name);
}

static void print_matches(const struct matches *matches)
{
    (void)putchar('\n');
    for (const struct cli_command *command = cli_commands; command->name != NULL; command++) {
        print_match(matches, command->name);
        print_match(matches, command->short_name);
    }
    (void)putchar('\n');
    (void)fflush(stdout);
}

/* The first word is a command, and so is the one after help; the others are files. */
static bool is_command_word(const char *line, size_t length)
{
    size_t start = strspn(line, " \t");

    if (start > length)
        start = length;
    if (length - start > 5 && strncmp(line + start, "help ", 5) == 0)
        return memchr(line + start + 5, ' ', length - start - 5) == NULL;
    return memchr(line + start, ' ', length - start) == NULL;
}

static unsigned char complete(EditLine *edit, int character)
{
    const LineInfo *line = el_line(edit);
    const char *word = line->cursor;
    struct matches matches;
    char rest[64];

    if (!is_command_word(line->buffer, (size_t)(line->cursor - line->buffer)))
        return _el_fn_complete(edit, character);
    while (word > line->buffer && word[-1] != ' ' && word[-1] != '\t')
        word--;
    matches = (struct matches){.word = word, .length = (size_t)(line->cursor - word)};
    match_commands(&matches);
    if (matches.count == 0)
        return CC_ERROR;
    if (matches.common == matches.length && matches.count > 1) {
        print_matches(&matches);
        return CC_REDISPLAY;
    }
    (void)snprintf(rest, sizeof rest, "%.*s%s", (int)(matches.common - matches.length),
                   matches.first + matches.length, matches.count == 1 ? " " : "");
    return el_insertstr(edit, rest) == 0 ? CC_REFRESH : CC_ERROR;
}

/* ---- Typing ---- */

/* As libedit's own, except that Ctrl-C ends the line, which libedit would read on. */
static int read_character(EditLine *edit, wchar_t *ret_character)
{
    (void)edit;
    while (cli_signal_wait_for_input(STDIN_FILENO)) {
        wint_t character;

        errno = 0;
        character = fgetwc(stdin);
        if (character != WEOF) {
            *ret_character = (wchar_t)character;
            return 1;
        }
        if (feof(stdin) || (errno != EINTR && errno != EILSEQ))
            return 0;
        clearerr(stdin);
    }
    return 0;
}

static char *prompt(EditLine *edit)
{
    struct shell *shell = NULL;

    (void)el_get(edit, EL_CLIENTDATA, &shell);
    if (shell->cli->region != NULL)
        (void)snprintf(shell->prompt, sizeof shell->prompt, "mrcli %s> ", shell->cli->region);
    else
        (void)snprintf(shell->prompt, sizeof shell->prompt, "mrcli> ");
    return shell->prompt;
}

/* ---- The loop ---- */

static bool shell_init(struct shell *shell, struct cli *cli)
{
    *shell = (struct shell){.cli = cli, .edit = el_init("mrcli", stdin, stdout, stderr)};
    if (shell->edit == NULL)
        return false;
    (void)el_set(shell->edit, EL_CLIENTDATA, shell);
    (void)el_set(shell->edit, EL_PROMPT, prompt);
    (void)el_set(shell->edit, EL_EDITOR, "emacs");
    (void)el_set(shell->edit, EL_SIGNAL, 1);
    /* Unbuffered, so that a command can read what is typed behind its line. */
    (void)setvbuf(stdin, NULL, _IONBF, 0);
    (void)el_set(shell->edit, EL_GETCFN, read_character);
    load_history(shell);
    (void)el_wset(shell->edit, EL_ADDFN, L"complete", L"complete a command or a file", complete);
    (void)el_set(shell->edit, EL_BIND, "^I", "complete", NULL);
    (void)el_set(shell->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
    (void)el_source(shell->edit, NULL);
    return true;
}

static void shell_release(struct shell *shell)
{
    save_history(shell);
    el_end(shell->edit);
}

static void run_line(struct shell *shell, const char *line)
{
    char *copy = strndup(line, strcspn(line, "\n"));
    HistEvent event;

    if (copy == NULL) {
        (void)cli_no_memory(shell->cli);
        return;
    }
    if (copy[strspn(copy, " \t")] != '\0' && shell->history != NULL)
        (void)history(shell->history, &event, H_ENTER, copy);
    (void)cli_script_line(shell->cli, copy);
    free(copy);
}

int cli_shell_run(struct cli *cli)
{
    struct shell shell;
    const char *region;
    const char *line;
    int count;
    int status = cli_connect(cli);

    if (status != CLI_OK)
        return status;
    cli->is_shell = true;
    if (!shell_init(&shell, cli))
        return cli_no_memory(cli);
    (void)puts("help lists the commands, quit ends.");
    (void)cli_need_region(cli, &region);
    while (!cli->is_ended) {
        line = el_gets(shell.edit, &count);
        if (line == NULL || count <= 0) {
            (void)putchar('\n');
            if (!cli_signal_pending())
                break;
            clearerr(stdin);
        } else {
            run_line(&shell, line);
        }
        /* Ctrl-C ends the command, not the shell. */
        cli_signal_clear();
    }
    shell_release(&shell);
    return CLI_OK;
}
