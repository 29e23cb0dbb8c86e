#include "client/cli_check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli_progress.h"
#include "client/cli_terminal.h"

/* ---- What is printed ---- */

static int widest_name(char *const *names, size_t count)
{
    size_t widest = strlen("REGION");

    for (size_t i = 0; i < count; i++)
        if (strlen(names[i]) > widest)
            widest = strlen(names[i]);
    return (int)widest;
}

/* Rows come one by one, as the regions are looked at. */
#define COUNTS 4

struct layout {
    enum cli_form form;
    int name_width;
    int count_width;
    bool is_narrow; /* the terminal */
};

static void choose_layout(struct layout *layout, enum cli_form form, char *const *names,
                          size_t count)
{
    struct cli_terminal terminal;

    cli_terminal_look(&terminal);
    *layout =
        (struct layout){.form = form, .name_width = widest_name(names, count), .count_width = 10};
    layout->is_narrow = terminal.columns < layout->name_width + COUNTS * (2 + layout->count_width);
    if (layout->is_narrow)
        layout->count_width = 6;
}

static void print_heading(const struct layout *layout)
{
    static const char *const headings[2][COUNTS] = {{"PAGES", "VERIFIED", "UNVERIFIED", "DAMAGED"},
                                                    {"PAGES", "GOOD", "NOSUM", "BAD"}};

    if (layout->form == CLI_JSON)
        (void)fputc('[', stdout);
    if (layout->form != CLI_TABLE)
        return;
    (void)printf("%-*s", layout->name_width, "REGION");
    for (size_t i = 0; i < COUNTS; i++)
        (void)printf("  %*s", layout->count_width, headings[layout->is_narrow][i]);
    (void)putchar('\n');
}

static void print_json(const char *name, const struct mregion_scrub_result *result)
{
    (void)printf("{\"region\":\"%s\",\"pages\":%" PRIu64 ",\"verified\":%" PRIu64
                 ",\"unverified\":%" PRIu64 ",\"damaged\":%" PRIu64 ",\"damages\":[",
                 name, result->pages, result->verified, result->unverified, result->damaged);
    for (size_t i = 0; i < result->damages_count; i++)
        (void)printf("%s%" PRIu64, i > 0 ? "," : "", result->damages[i]);
    (void)fputs("]}", stdout);
}

static void print_result(const struct layout *layout, const char *name,
                         const struct mregion_scrub_result *result)
{
    const uint64_t counts[COUNTS] = {result->pages, result->verified, result->unverified,
                                     result->damaged};

    if (layout->form == CLI_JSON) {
        print_json(name, result);
        return;
    }
    if (layout->form == CLI_TABLE) {
        (void)printf("%-*s", layout->name_width, name);
        for (size_t i = 0; i < COUNTS; i++)
            (void)printf("  %*" PRIu64, layout->count_width, counts[i]);
        (void)putchar('\n');
    }
    for (size_t i = 0; i < result->damages_count; i++) {
        if (layout->form == CLI_TABLE)
            (void)printf("%s: damaged page at %" PRIu64 "\n", name, result->damages[i]);
        else
            (void)printf("%s\t%" PRIu64 "\n", name, result->damages[i]);
    }
}

/* ---- What is done ---- */

/* One region after the other. Whatever one finds, the others are looked at too. */
static int check_regions(struct cli *cli, char *const *names, size_t count)
{
    struct mregion_scrub_result *result = malloc(sizeof *result);
    struct layout layout;
    int status = CLI_OK;
    uint64_t damaged = 0;

    if (result == NULL)
        return cli_no_memory(cli);
    choose_layout(&layout, cli->form, names, count);
    print_heading(&layout);
    for (size_t i = 0; i < count && status == CLI_OK; i++) {
        struct cli_progress progress;
        struct mregion_error error;
        int code;

        cli_progress_begin(&progress, cli->connection, names[i], false);
        code = mregion_scrub(cli->connection, names[i], result, &error);
        cli_progress_end(&progress, cli->connection);
        if (code != MREGION_OK) {
            status = cli_fail_library(cli, &error, NULL);
            break;
        }
        if (cli->form == CLI_JSON && i > 0)
            (void)fputc(',', stdout);
        print_result(&layout, names[i], result);
        damaged += result->damaged;
    }
    if (cli->form == CLI_JSON)
        (void)fputs("]\n", stdout);
    free(result);
    if (status == CLI_OK && damaged > 0)
        status = cli_fail(cli, CLI_CORRUPT, "corrupt: %" PRIu64 " damaged page%s", damaged,
                          damaged == 1 ? "" : "s");
    return status;
}

int cli_check(struct cli *cli, const struct cli_arguments *arguments)
{
    struct mregion_error error;
    char **names;
    size_t count;
    int status = cli_connect(cli);

    (void)arguments;
    if (status != CLI_OK)
        return status;
    if (cli->region != NULL)
        return check_regions(cli, &cli->region, 1);
    if (mregion_list_regions(cli->connection, &names, &count, &error) != MREGION_OK)
        return cli_fail_library(cli, &error, NULL);
    status = check_regions(cli, names, count);
    mregion_free(names);
    return status;
}
