/* proto/methods: every method is found, nothing else is, the table is sound, and PROTOCOL.md
 * documents all of it. The examples there are parsed. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/err.h"
#include "proto/frame.h"
#include "proto/rpc.h"
#include "support_hex.h"
#include "tests/support_main.h"

START_TEST(every_method_is_found)
{
    for (unsigned id = 0; id < METHODS; id++)
        ck_assert_uint_eq(method_find(methods[id].name, strlen(methods[id].name)), id);
    ck_assert_uint_eq(method_find("addBlob", 7), METHOD_ADD_BLOB);
    ck_assert_uint_eq(method_find("checkpoint", 10), METHOD_CHECKPOINT);
}
END_TEST

START_TEST(nothing_else_is_found)
{
    ck_assert_uint_eq(method_find("", 0), METHODS);
    ck_assert_uint_eq(method_find("addblob", 7), METHODS);
    ck_assert_uint_eq(method_find("add_blob", 8), METHODS);
    for (unsigned id = 0; id < METHODS; id++) {
        size_t length = strlen(methods[id].name);
        char name[64];

        ck_assert_uint_lt(length + 1, sizeof name);
        memcpy(name, methods[id].name, length + 1);
        ck_assert_uint_eq(method_find(name, length + 1), METHODS); /* with its terminator */
        for (size_t i = 0; i < length; i++) {
            name[i] ^= 1;
            ck_assert_uint_eq(method_find(name, length), METHODS);
            name[i] ^= 1;
        }
        /* A beginning of a name may be another method ("allocate" of "allocated"). */
        for (size_t cut = 0; cut < length; cut++) {
            enum method_id found = method_find(name, cut);

            if (found != METHODS)
                ck_assert_uint_eq(strlen(methods[found].name), cut);
        }
    }
}
END_TEST

static size_t count_items(const char *list)
{
    size_t count = *list == '\0' ? 0 : 1;

    for (; *list != '\0'; list++)
        count += *list == ',';
    return count;
}

START_TEST(the_table_is_sound)
{
    for (unsigned id = 0; id < METHODS; id++) {
        const struct method *method = &methods[id];
        size_t parameters = strlen(method->parameters);

        ck_assert_msg(parameters <= RPC_PARAMS_MAX, "%s", method->name);
        ck_assert_msg(strspn(method->parameters, "RUSNBC") == parameters, "%s", method->name);
        ck_assert_msg(count_items(method->names) == parameters, "%s", method->name);
        ck_assert_msg(strchr(method->options, ' ') == NULL, "%s", method->name);
        ck_assert_msg(count_items(method->options) <= 32, "%s", method->name);
        ck_assert_msg(method->result[0] != '\0', "%s", method->name);
        if (method->access == METHOD_READ || method->access == METHOD_WRITE)
            ck_assert_msg(method->parameters[0] == 'R', "%s", method->name);
        for (unsigned other = 0; other < id; other++)
            ck_assert_str_ne(methods[other].name, method->name);
    }
}
END_TEST

/* ---- The documentation ---- */

#define PROTOCOL_MD SOURCE_ROOT "/proto/PROTOCOL.md"

static char *document;

static void read_document(void)
{
    FILE *file = fopen(PROTOCOL_MD, "r");
    size_t size;

    ck_assert_msg(file != NULL, "cannot open %s", PROTOCOL_MD);
    document = calloc(1, 1 << 20);
    ck_assert_ptr_nonnull(document);
    size = fread(document, 1, (1 << 20) - 1, file);
    ck_assert_uint_gt(size, 1000);
    ck_assert(feof(file) != 0);
    fclose(file);
}

static void free_document(void)
{
    free(document);
}

/* The section of a method: from its heading to the next one, copied. */
static char *section_of(const struct method *method)
{
    char heading[160];
    const char *start, *end;

    snprintf(heading, sizeof heading, "\n#### `%s(%s)`\n", method->name, method->names);
    start = strstr(document, heading);
    ck_assert_msg(start != NULL, "PROTOCOL.md has no heading%s", heading);
    ck_assert_msg(strstr(start + 1, heading) == NULL, "PROTOCOL.md has twice%s", heading);
    end = strstr(start + 1, "\n##");
    return strndup(start, end != NULL ? (size_t)(end - start) : strlen(start));
}

START_TEST(every_method_is_documented)
{
    const char *at = document;
    unsigned headings = 0;

    for (unsigned id = 0; id < METHODS; id++) {
        const struct method *method = &methods[id];
        char *section = section_of(method);
        char *options = strdup(method->options);
        char *rest = NULL;

        ck_assert_ptr_nonnull(section);
        ck_assert_ptr_nonnull(options);
        ck_assert_msg(strstr(section, "Result: ") != NULL, "%s: no result", method->name);
        for (char *option = strtok_r(options, ",", &rest); option != NULL;
             option = strtok_r(NULL, ",", &rest)) {
            char quoted[64];

            snprintf(quoted, sizeof quoted, "`%s`", option);
            ck_assert_msg(strstr(section, quoted) != NULL,
                          "PROTOCOL.md: the section of %s does not name its option %s",
                          method->name, option);
        }
        free(options);
        free(section);
    }
    while ((at = strstr(at, "\n#### ")) != NULL) {
        headings++;
        at++;
    }
    ck_assert_uint_eq(headings, METHODS); /* none that does not exist */
}
END_TEST

START_TEST(every_error_code_is_documented)
{
    const char *table = strstr(document, "\n## Error codes\n");
    unsigned rows = 0;

    ck_assert_ptr_nonnull(table);
    for (int code = ERR_OK + 1; code < ERR_CODES; code++) {
        char row[64];

        snprintf(row, sizeof row, "\n| `%s` |", err_name((enum err_code)code));
        ck_assert_msg(strstr(table, row) != NULL, "PROTOCOL.md has no row for %s",
                      err_name((enum err_code)code));
    }
    while ((table = strstr(table, "\n| `")) != NULL) {
        rows++;
        table++;
    }
    ck_assert_uint_eq(rows, ERR_CODES - 1);
}
END_TEST

START_TEST(every_bound_is_documented)
{
    char text[64];

    snprintf(text, sizeof text, "| arrays and maps within each other | %d |", FRAME_DEPTH_MAX);
    ck_assert_ptr_nonnull(strstr(document, text));
    snprintf(text, sizeof text, "| %d,%03d |", FRAME_ELEMENTS_MAX / 1000,
             FRAME_ELEMENTS_MAX % 1000);
    ck_assert_ptr_nonnull(strstr(document, text));
}
END_TEST

static void check_example(char direction, const struct hex *frame, const char *line)
{
    struct frame_scanner scanner;
    struct rpc_request request;
    struct rpc_call call;
    struct err err = {0};
    uint64_t size = 0;

    frame_reset(&scanner);
    ck_assert_msg(frame_scan(&scanner, frame->bytes, frame->size, HEX_MAX, &size) ==
                          FRAME_COMPLETE &&
                      size == frame->size,
                  "not one whole object: %s", line);
    if (direction == 'S') {
        ck_assert_msg(frame->bytes[0] == 0x94 && frame->bytes[1] == 1, "no response: %s", line);
        return;
    }
    ck_assert_msg(rpc_parse(frame->bytes, frame->size, &request, &err) == 0, "%s: %s", err.text,
                  line);
    if (strstr(line, " cb ") == NULL) /* the one with a float is refused */
        ck_assert_msg(rpc_call_parse(&request, &call, &err) == 0, "%s: %s", err.text, line);
    else
        ck_assert_int_eq(rpc_call_parse(&request, &call, &err), ERR_INVALID_ARGUMENT);
}

START_TEST(the_examples_are_right)
{
    char *at = strstr(document, "\n## Examples\n");
    char *line, *rest = NULL;
    unsigned requests = 0, responses = 0;

    ck_assert_ptr_nonnull(at);
    for (line = strtok_r(at, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        struct hex frame;

        if (strncmp(line, "    C: ", 7) != 0 && strncmp(line, "    S: ", 7) != 0)
            continue;
        frame = hex(line + 7);
        check_example(line[4], &frame, line);
        *(line[4] == 'C' ? &requests : &responses) += 1;
    }
    ck_assert_uint_ge(requests, 5);
    ck_assert_uint_ge(responses, 5);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("proto/methods");
    TCase *tcase = tcase_create("methods");
    TCase *documentation = tcase_create("documentation");

    tcase_add_test(tcase, every_method_is_found);
    tcase_add_test(tcase, nothing_else_is_found);
    tcase_add_test(tcase, the_table_is_sound);
    tcase_add_checked_fixture(documentation, read_document, free_document);
    tcase_add_test(documentation, every_method_is_documented);
    tcase_add_test(documentation, every_error_code_is_documented);
    tcase_add_test(documentation, every_bound_is_documented);
    tcase_add_test(documentation, the_examples_are_right);
    suite_add_tcase(suite, tcase);
    suite_add_tcase(suite, documentation);
    return suite_main(suite);
}
