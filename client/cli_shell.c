#include "client/cli_shell.h"

#include <errno.h>
#include <histedit.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/cli_command.h"
#include "client/cli_script.h"
#include "client/cli_shell_private.h"
#include "client/cli_signal.h"
#include "client/cli_words.h"

#define HISTORY_LINES 1000

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
    shell_complete_init(shell);
    (void)el_set(shell->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
    (void)el_source(shell->edit, NULL);
    return true;
}

static void shell_release(struct shell *shell)
{
    save_history(shell);
    shell_complete_release(shell);
    el_end(shell->edit);
}

/* ---- Commands ---- */

/* use and quit are about the shell itself. */
static bool is_own(const char *line)
{
    struct cli_words words;
    const struct cli_command *command;

    if (cli_words_split(line, &words) != CLI_WORDS_OK)
        return true;
    command = words.count > 0 ? cli_command_find(words.items[0]) : NULL;
    cli_words_release(&words);
    return command == NULL || command->group == CLI_LINES;
}

/* In a process of its own, with a connection of its own: whatever a request waits for, Ctrl-C ends
 * it, and the shell goes on. */
static void run_command(struct shell *shell, const char *line)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    int ended;
    pid_t child;

    (void)fflush(stdout);
    (void)sigaction(SIGINT, &ignore, &before);
    child = fork();
    if (child == 0) {
        (void)signal(SIGINT, SIG_DFL);
        cli_signal_init();
        /* The shell goes on with its own. */
        shell->kept = shell->cli->connection;
        shell->cli->connection = NULL;
        ended = cli_script_line(shell->cli, line);
        mregion_close(shell->cli->connection);
        cli_signal_finish();
        exit(ended);
    }
    if (child < 0)
        (void)cli_fail(shell->cli, CLI_LOCAL_IO, "no process for the command: %s", strerror(errno));
    while (child > 0 && waitpid(child, &ended, 0) < 0 && errno == EINTR)
        ;
    (void)sigaction(SIGINT, &before, NULL);
    if (child > 0 && WIFSIGNALED(ended))
        (void)putchar('\n');
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
    if (is_own(copy))
        (void)cli_script_line(shell->cli, copy);
    else
        run_command(shell, copy);
    free(copy);
}

int cli_shell_run(struct cli *cli)
{
    struct shell shell;
    const char *region;
    const char *line;
    int count, status;

    cli->is_shell = cli->keeps_password = true;
    status = cli_connect(cli);
    if (status != CLI_OK)
        return status;
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
