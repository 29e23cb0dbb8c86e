#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/cli_complete.h"
#include "client/cli_shell_private.h"
#include "client/cli_words.h"

/* Nobody waits longer for a Tab; and how long the names of the regions are good. */
#define ASK_MS 1000
#define KEEP_MS 5000

/* ---- Regions ---- */

static int64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static char *const *ask_regions(struct shell *shell, size_t *ret_count)
{
    struct mregion *connection = shell->cli->connection;

    if (shell->regions_ms == 0 || now_ms() - shell->regions_ms > KEEP_MS) {
        mregion_free(shell->regions);
        shell->regions = NULL;
        shell->regions_count = 0;
        mregion_set_timeout(connection, ASK_MS);
        (void)mregion_list_regions(connection, &shell->regions, &shell->regions_count, NULL);
        mregion_set_timeout(connection, shell->cli->timeout_ms);
        shell->regions_ms = now_ms();
    }
    *ret_count = shell->regions_count;
    return shell->regions;
}

/* ---- Candidates ---- */

struct matches {
    struct shell *shell;
    char common[256]; /* what all have at their beginning */
    size_t count;
    bool is_shown; /* printed, too */
};

static char *const *regions_for(void *context, size_t *ret_count)
{
    struct matches *matches = context;

    return ask_regions(matches->shell, ret_count);
}

static void take(void *context, const char *candidate, const char *sentence)
{
    struct matches *matches = context;
    size_t same = 0;

    (void)sentence;
    if (matches->is_shown)
        (void)printf("%s  ", candidate);
    if (matches->count++ == 0)
        (void)snprintf(matches->common, sizeof matches->common, "%s", candidate);
    while (matches->common[same] != '\0' && matches->common[same] == candidate[same])
        same++;
    matches->common[same] = '\0';
}

/* The words up to the cursor, of which the last may be empty. False where that is within quotes. */
static bool split(EditLine *edit, struct cli_words *ret_words, char **ret_text)
{
    const LineInfo *line = el_line(edit);
    size_t length = (size_t)(line->cursor - line->buffer);
    char *text = malloc(length + 2);
    bool is_new;

    if (text == NULL)
        return false;
    memcpy(text, line->buffer, length);
    is_new = length == 0 || text[length - 1] == ' ' || text[length - 1] == '\t';
    /* A word that is not there yet: a letter stands for it until it is cut out. */
    if (is_new)
        text[length++] = 'x';
    text[length] = '\0';
    if (cli_words_split(text, ret_words) != CLI_WORDS_OK) {
        free(text);
        return false;
    }
    if (ret_words->count == 0) {
        cli_words_release(ret_words);
        free(text);
        return false;
    }
    if (is_new)
        ret_words->items[ret_words->count - 1][0] = '\0';
    *ret_text = text;
    return true;
}

static unsigned char complete_word(EditLine *edit, int character, struct matches *matches,
                                   const struct cli_words *words)
{
    struct cli_completion completion = {.cli = matches->shell->cli,
                                        .is_line = true,
                                        .add = take,
                                        .regions = regions_for,
                                        .context = matches};
    const char *word = words->items[words->count - 1];
    bool may_be_file = cli_complete(&completion, words->items, words->count);
    char rest[sizeof matches->common + 1];

    if (matches->count == 0)
        return may_be_file ? _el_fn_complete(edit, character) : CC_ERROR;
    if (matches->count > 1 && strlen(matches->common) == strlen(word)) {
        matches->count = 0;
        matches->is_shown = true;
        (void)putchar('\n');
        (void)cli_complete(&completion, words->items, words->count);
        (void)putchar('\n');
        (void)fflush(stdout);
        return CC_REDISPLAY;
    }
    (void)snprintf(rest, sizeof rest, "%s%s", matches->common + strlen(word),
                   matches->count == 1 ? " " : "");
    return el_insertstr(edit, rest) == 0 ? CC_REFRESH : CC_ERROR;
}

static unsigned char complete(EditLine *edit, int character)
{
    struct matches matches = {.count = 0};
    struct cli_words words;
    unsigned char result;
    char *text;

    (void)el_get(edit, EL_CLIENTDATA, &matches.shell);
    if (!split(edit, &words, &text))
        return _el_fn_complete(edit, character);
    result = complete_word(edit, character, &matches, &words);
    cli_words_release(&words);
    free(text);
    return result;
}

/* ---- Hints ---- */

/* At the right: what follows the command that is there. */
static char *hint(EditLine *edit)
{
    const LineInfo *line = el_line(edit);
    size_t start = 0, length = 0, size = (size_t)(line->lastchar - line->buffer);
    const struct cli_command *command = NULL;
    struct shell *shell = NULL;
    char name[64];

    (void)el_get(edit, EL_CLIENTDATA, &shell);
    while (start < size && line->buffer[start] == ' ')
        start++;
    while (start + length < size && line->buffer[start + length] != ' ')
        length++;
    if (length > 0 && start + length < size && length < sizeof name) {
        memcpy(name, line->buffer + start, length);
        name[length] = '\0';
        command = cli_command_find(name);
    }
    (void)snprintf(shell->hint, sizeof shell->hint, "%s%s%s",
                   command != NULL && command->options != NULL ? "[OPTION]..." : "",
                   command != NULL && command->options != NULL && command->usage[0] != '\0' ? " "
                                                                                            : "",
                   command != NULL ? command->usage : "");
    return shell->hint;
}

/* The line is drawn anew, and the hint with it. */
static unsigned char insert_blank(EditLine *edit, int character)
{
    (void)character;
    return el_insertstr(edit, " ") == 0 ? CC_REFRESH : CC_ERROR;
}

void shell_complete_init(struct shell *shell)
{
    (void)el_set(shell->edit, EL_RPROMPT, hint);
    (void)el_wset(shell->edit, EL_ADDFN, L"complete", L"complete what is being typed", complete);
    (void)el_wset(shell->edit, EL_ADDFN, L"insert-blank", L"a blank, and a hint", insert_blank);
    (void)el_set(shell->edit, EL_BIND, "^I", "complete", NULL);
    (void)el_set(shell->edit, EL_BIND, " ", "insert-blank", NULL);
}

void shell_complete_release(struct shell *shell)
{
    mregion_free(shell->regions);
    shell->regions = NULL;
}
