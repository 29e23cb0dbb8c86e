/* The scripts are small: what may come is found here, with the words that are there so far. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli_complete.h"
#include "client/cli_password.h"

/* Whoever presses Tab does not want to wait, or to be asked. */
#define ASK_MS 1000

struct asking {
    struct cli *cli;
    char **names;
};

static bool connect_quietly(struct cli *cli)
{
    struct mregion_options options = {
        .connect_timeout_ms = ASK_MS, .timeout_ms = ASK_MS, .no_reconnect = true, .tls = &cli->tls};
    bool has_password = cli->password_file != NULL || getenv("MREGION_PASSWORD") != NULL;

    if (mregion_connect(cli->server, &options, &cli->connection, NULL) != MREGION_OK)
        return false;
    return cli->user == NULL || !has_password || cli_password_authenticate(cli) == CLI_OK;
}

static char *const *ask_regions(void *context, size_t *ret_count)
{
    struct asking *asking = context;
    struct cli *cli = asking->cli;

    if (asking->names != NULL || (cli->connection == NULL && !connect_quietly(cli)) ||
        mregion_list_regions(cli->connection, &asking->names, ret_count, NULL) != MREGION_OK)
        return NULL;
    return asking->names;
}

static void print_candidate(void *context, const char *candidate, const char *sentence)
{
    (void)context;
    (void)printf("%s%s%s\n", candidate, sentence[0] != '\0' ? "\t" : "", sentence);
}

static int print_words(struct cli *cli, const struct cli_arguments *arguments)
{
    struct asking asking = {.cli = cli};
    struct cli_completion completion = {
        .cli = cli, .add = print_candidate, .regions = ask_regions, .context = &asking};

    if (arguments->count < 2)
        return cli_fail(cli, CLI_USAGE, "completion: words are to follow, such as -- -r ma");
    /* A candidate with a slash behind it is none: it stands for the names of files. */
    if (cli_complete(&completion, arguments->items + 1, arguments->count - 1))
        (void)puts("/FILES");
    mregion_free(asking.names);
    return CLI_OK;
}

/* Bash cuts its words at = and : too, and puts what is chosen behind the last of these. */
static const char bash[] =
    "# bash completion of mrcli: mrcli completion bash "
    ">/usr/share/bash-completion/completions/mrcli\n"
    "_mrcli() {\n"
    "    local line=${COMP_LINE:0:COMP_POINT} IFS=$' \\t\\n' words prefix candidate\n"
    "\n"
    "    read -ra words <<<\"$line\"\n"
    "    [[ $line == *[[:blank:]] ]] && words+=(\"\")\n"
    "    prefix=${words[-1]%\"${words[-1]##*[=:]}\"}\n"
    "    COMPREPLY=()\n"
    "    while IFS=$'\\t' read -r candidate _; do\n"
    "        if [[ $candidate == /FILES ]]; then\n"
    "            compopt -o filenames 2>/dev/null\n"
    "            while IFS= read -r candidate; do\n"
    "                COMPREPLY+=(\"$candidate\")\n"
    "            done < <(compgen -f -- \"${words[-1]#\"$prefix\"}\")\n"
    "        else\n"
    "            COMPREPLY+=(\"${candidate#\"$prefix\"}\")\n"
    "        fi\n"
    "    done < <(\"${words[0]}\" completion words -- \"${words[@]:1}\" 2>/dev/null)\n"
    "}\n"
    "complete -F _mrcli mrcli\n";

static const char zsh[] =
    "#compdef mrcli\n"
    "# zsh completion of mrcli: mrcli completion zsh >/usr/local/share/zsh/site-functions/_mrcli\n"
    "_mrcli() {\n"
    "    local line candidates=() shown=() files=\n"
    "\n"
    "    while IFS= read -r line; do\n"
    "        if [[ $line == /FILES ]]; then\n"
    "            files=1\n"
    "        else\n"
    "            candidates+=(\"${line%%$'\\t'*}\")\n"
    "            shown+=(\"${line/$'\\t'/ -- }\")\n"
    "        fi\n"
    "    done < <(\"${(Q)words[1]}\" completion words -- \"${(@Q)words[2,CURRENT]}\" 2>/dev/null)\n"
    "    (( ${#candidates} )) && compadd -l -d shown -a candidates\n"
    "    [[ -n $files ]] && _files\n"
    "}\n"
    "if [[ ${funcstack[1]} == _mrcli ]]; then _mrcli \"$@\"; else compdef _mrcli mrcli; fi\n";

static const char fish[] =
    "# fish completion of mrcli: mrcli completion fish >~/.config/fish/completions/mrcli.fish\n"
    "function __mrcli_complete\n"
    "    set -l words (commandline -opc) (commandline -ct)\n"
    "    for candidate in ($words[1] completion words -- $words[2..-1] 2>/dev/null)\n"
    "        if test $candidate = /FILES\n"
    "            __fish_complete_path (commandline -ct)\n"
    "        else\n"
    "            echo $candidate\n"
    "        end\n"
    "    end\n"
    "end\n"
    "complete -c mrcli -f -a '(__mrcli_complete)'\n";

int cli_complete_run(struct cli *cli, const struct cli_arguments *arguments)
{
    const char *shell = arguments->items[0];

    if (strcmp(shell, "words") == 0)
        return print_words(cli, arguments);
    if (arguments->count > 1)
        return cli_fail(cli, CLI_USAGE,
                        "completion: too many arguments; usage: completion "
                        "bash|zsh|fish");
    if (strcmp(shell, "bash") == 0)
        (void)fputs(bash, stdout);
    else if (strcmp(shell, "zsh") == 0)
        (void)fputs(zsh, stdout);
    else if (strcmp(shell, "fish") == 0)
        (void)fputs(fish, stdout);
    else
        return cli_fail(cli, CLI_USAGE, "completion: \"%s\" is none of bash, zsh and fish", shell);
    return CLI_OK;
}
