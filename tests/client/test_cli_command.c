/* client/cli_command, client/cli: every method is a command that asks for its parameters, the
 * manual has every command, and every error ends with the exit code of the contract. */
#include <check.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli_command.h"
#include "client/cli_nearest.h"
#include "client/cli_options.h"
#include "proto/methods.h"
#include "tests/support_main.h"

/* "addBlob" -> "add-blob" */
static void to_kebab(const char *name, char kebab[64])
{
    for (; *name != '\0'; name++) {
        if (isupper((unsigned char)*name))
            *kebab++ = '-';
        *kebab++ = (char)tolower((unsigned char)*name);
    }
    *kebab = '\0';
}

START_TEST(every_method_is_a_command)
{
    for (unsigned id = 0; id < METHODS; id++) {
        const struct cli_command *command;
        char kebab[64];

        /* What add is made of, which ends with its connection. */
        if (id == METHOD_BEGIN_BLOB || methods[id].access == METHOD_UPLOAD)
            continue;
        /* What --user does, for the connection. */
        if (methods[id].access == METHOD_LOGIN)
            continue;
        /* config get. */
        if (id == METHOD_CONFIG_GET)
            continue;
        to_kebab(methods[id].name, kebab);
        command = cli_command_find(kebab);
        ck_assert_msg(command != NULL, "%s", kebab);
        ck_assert_str_eq(command->name, kebab);
        if (command->method != NULL)
            ck_assert_str_eq(command->method, methods[id].name);
    }
}
END_TEST

/* The letters give the method as many parameters as it wants, and the right kinds. */
/* What a method would say of a command's letters. */
static void to_parameters(const char *letters, char parameters[16])
{
    for (; *letters != '\0'; letters++) {
        *parameters++ = strchr("RG", *letters) != NULL ? 'R' : *letters == 'T' ? 'N' : 'U';
        if (*letters == 'F')
            *parameters++ = 'U';
    }
    *parameters = '\0';
}

/* The letters give the method as many parameters as it wants, and the right kinds. */
START_TEST(the_parameters_are_those_of_the_method)
{
    unsigned checked = 0;

    for (const struct cli_command *command = cli_commands; command->name != NULL; command++) {
        char given[16];
        size_t asked;

        if (command->method == NULL)
            continue;
        asked = strlen(command->letters) - (command->letters[0] == 'R');
        ck_assert_uint_eq(command->count_min, asked);
        ck_assert_uint_eq(command->count_max, asked);
        to_parameters(command->letters, given);
        ck_assert_str_eq(given,
                         methods[method_find(command->method, strlen(command->method))].parameters);
        checked++;
    }
    ck_assert_uint_gt(checked, 20);
}
END_TEST

START_TEST(names_are_unique)
{
    static const char *const short_names[] = {"add",       "load", "store",  "remove", "replace",
                                              "free-list", "info", "create", "drop",   "list"};

    for (const struct cli_command *command = cli_commands; command->name != NULL; command++) {
        ck_assert_ptr_eq(cli_command_find(command->name), command);
        if (command->short_name != NULL)
            ck_assert_ptr_eq(cli_command_find(command->short_name), command);
        ck_assert(command->help[0] != '\0' && command->run != NULL);
        ck_assert_uint_le(command->count_min, command->count_max);
    }
    for (size_t i = 0; i < sizeof short_names / sizeof *short_names; i++)
        ck_assert_ptr_nonnull(cli_command_find(short_names[i]));
    ck_assert_ptr_null(cli_command_find(""));
    ck_assert_ptr_null(cli_command_find("addBlob"));
}
END_TEST

static char *read_text(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = calloc(1, 1 << 17);

    ck_assert_msg(file != NULL, "%s", path);
    ck_assert_uint_gt(fread(text, 1, (1 << 17) - 1, file), 0);
    ck_assert(feof(file));
    (void)fclose(file);
    return text;
}

START_TEST(the_manual_has_every_command)
{
    char *manual = read_text(SOURCE_ROOT "/client/mrcli.1");

    for (const struct cli_command *command = cli_commands; command->name != NULL; command++) {
        char item[128];

        if (command->short_name == NULL)
            (void)snprintf(item, sizeof item, "\n.It Cm %s", command->name);
        else if (strcmp(command->name, "quit") == 0)
            (void)snprintf(item, sizeof item, "\n.It Cm quit | exit");
        else
            (void)snprintf(item, sizeof item, "\n.It Cm %s | %s", command->short_name,
                           command->name);
        ck_assert_msg(strstr(manual, item) != NULL, "mrcli.1 lacks \"%s\"", item + 1);
        for (const struct cli_option *option = command->options;
             option != NULL && option->name != NULL; option++) {
            (void)snprintf(item, sizeof item, "Fl Fl %s", option->name);
            ck_assert_msg(strstr(manual, item) != NULL, "mrcli.1 lacks \"%s\"", item);
        }
    }
    free(manual);
}
END_TEST

/* Those of mrcli itself may stand behind each: what both had would mean another thing there. */
START_TEST(no_option_is_a_common_one_too)
{
    for (const struct cli_command *command = cli_commands; command->name != NULL; command++) {
        for (const struct cli_option *own = command->options; own != NULL && own->name != NULL;
             own++) {
            for (const struct cli_option *common = cli_options; common->name != NULL; common++) {
                ck_assert_msg(strcmp(own->name, common->name) != 0, "%s --%s", command->name,
                              own->name);
                ck_assert_msg(own->short_name == 0 || own->short_name != common->short_name,
                              "%s -%c", command->name, own->short_name);
            }
        }
    }
}
END_TEST

START_TEST(the_manual_has_every_option)
{
    char *manual = read_text(SOURCE_ROOT "/client/mrcli.1");

    for (const struct cli_option *option = cli_options; option->name != NULL; option++) {
        char item[128];

        (void)snprintf(item, sizeof item, "Fl Fl %s", option->name);
        ck_assert_msg(strstr(manual, item) != NULL, "mrcli.1 lacks \"%s\"", item);
        ck_assert_uint_lt(strlen(option->name), CLI_OPTION_NAME_SIZE);
    }
    free(manual);
}
END_TEST

/* cli_examples.def has one for each, and none for what is none. */
START_TEST(every_command_has_an_example)
{
    char *list = read_text(SOURCE_ROOT "/client/cli_examples.def");
    size_t commands = 0, examples = 0;

    for (const struct cli_command *command = cli_commands; command->name != NULL; command++) {
        ck_assert_msg(cli_command_example(command) != NULL, "%s", command->name);
        ck_assert_ptr_nonnull(strstr(cli_command_example(command), "mrcli"));
        commands++;
    }
    for (const char *at = list; (at = strstr(at, "\nEXAMPLE(")) != NULL; at++)
        examples++;
    ck_assert_uint_eq(commands, examples);
    free(list);
}
END_TEST

/* ---- What was meant ---- */

static const char *nearest_command(const char *word)
{
    struct cli_nearest nearest;

    cli_nearest_begin(&nearest, word);
    for (const struct cli_command *command = cli_commands; command->name != NULL; command++)
        cli_nearest_try(&nearest, command->name);
    return cli_nearest_found(&nearest);
}

START_TEST(the_nearest_name)
{
    static const struct {
        const char *a, *b;
        size_t distance;
    } pairs[] = {{"", "", 0},         {"", "abc", 3},          {"abc", "abc", 0}, {"abc", "acb", 1},
                 {"abc", "ab", 1},    {"abc", "xabc", 1},      {"abc", "abx", 1}, {"ab", "ba", 1},
                 {"abcd", "badc", 2}, {"kitten", "sitting", 3}};
    char wide[CLI_NEAREST_MAX + 2];

    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        ck_assert_uint_eq(cli_nearest_distance(pairs[i].a, pairs[i].b), pairs[i].distance);
        ck_assert_uint_eq(cli_nearest_distance(pairs[i].b, pairs[i].a), pairs[i].distance);
    }
    ck_assert_str_eq(nearest_command("pnig"), "ping");
    ck_assert_str_eq(nearest_command("dealocate"), "deallocate");
    ck_assert_str_eq(nearest_command("expotr"), "export");
    ck_assert_ptr_null(nearest_command("frobnicate"));
    ck_assert_ptr_null(nearest_command("x"));
    ck_assert_ptr_null(nearest_command(""));
    memset(wide, 'x', sizeof wide - 1);
    wide[sizeof wide - 1] = '\0';
    ck_assert_ptr_null(nearest_command(wide));
    wide[CLI_NEAREST_MAX] = '\0';
    ck_assert_uint_eq(cli_nearest_distance(wide, wide), 0);
}
END_TEST

START_TEST(exit_codes)
{
    static const struct {
        enum mregion_code code;
        int exit_code;
    } table[] = {
        {MREGION_OK, 0},
        {MREGION_ERR_INVALID_ARGUMENT, 1},
        {MREGION_ERR_NO_SUCH_METHOD, 1},
        {MREGION_ERR_EXISTS, 1},
        {MREGION_ERR_IO_ERROR, 1},
        {MREGION_ERR_READ_ONLY, 1},
        {MREGION_ERR_TOO_LARGE, 1},
        {MREGION_ERR_INTERNAL, 1},
        {MREGION_ERR_UNKNOWN, 1},
        {MREGION_ERR_NO_SUCH_REGION, 3},
        {MREGION_ERR_OUT_OF_BOUNDS, 3},
        {MREGION_ERR_NOT_ALLOCATED, 3},
        {MREGION_ERR_PARTLY_FREE, 3},
        {MREGION_ERR_NO_SPACE, 5},
        {MREGION_ERR_CORRUPT, 6},
        {MREGION_ERR_ARGUMENT, 64},
        {MREGION_ERR_CONNECT, 69},
        {MREGION_ERR_LOST, 69},
        {MREGION_ERR_PROTOCOL, 69},
        {MREGION_ERR_LOCAL_IO, 74},
        {MREGION_ERR_MEMORY, 74},
        {MREGION_ERR_BUSY, 75},
        {MREGION_ERR_SHUTTING_DOWN, 75},
        {MREGION_ERR_TIMEOUT, 75},
        {MREGION_ERR_DENIED, 77},
        {MREGION_ERR_UNAUTHENTICATED, 77},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        ck_assert_int_eq(cli_exit_code(table[i].code), table[i].exit_code);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client/cli_command");
    TCase *tcase = tcase_create("commands");

    tcase_add_test(tcase, every_method_is_a_command);
    tcase_add_test(tcase, the_parameters_are_those_of_the_method);
    tcase_add_test(tcase, names_are_unique);
    tcase_add_test(tcase, the_manual_has_every_command);
    tcase_add_test(tcase, the_manual_has_every_option);
    tcase_add_test(tcase, no_option_is_a_common_one_too);
    tcase_add_test(tcase, every_command_has_an_example);
    tcase_add_test(tcase, the_nearest_name);
    tcase_add_test(tcase, exit_codes);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
