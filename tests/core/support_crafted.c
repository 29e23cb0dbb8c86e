#include "support_crafted.h"

#include <stdlib.h>
#include <string.h>

#define ROWS 400

void crafted_change(struct craft *c, const struct crafted *row)
{
    uint64_t value = row->value;
    if (row->make != NULL)
        row->make(c);
    else
        memcpy((uint8_t *)c + row->at, &value, row->size);
}

void crafted_judge(const struct craft *c, const char *text, struct verdict *ret_verdict)
{
    struct simdisk *disk = craft_build(c);
    const char *wrong = c->format == 1 ? verdict_on_old(disk, CRAFT_REGION, ret_verdict)
                                       : verdict_on(disk, CRAFT_FOLDER, ret_verdict);
    ck_assert_msg(wrong == NULL, "%s: %s", text, wrong);
    ck_assert_uint_eq(simdisk_breaches(disk), 0);
    ck_assert_uint_eq(simdisk_open_files(disk), 0);
    simdisk_free(disk);
}

void crafted_expect(const struct verdict *verdict, const struct crafted *row)
{
    ck_assert_msg(verdict->code == row->code, "%s: %d instead of %d: %s", row->text, verdict->code,
                  row->code, verdict->code != 0 ? verdict->err.text : "opened");
    for (size_t i = 0; row->code != 0 && i < 2; i++)
        ck_assert_msg(strstr(verdict->err.text, row->words[i]) != NULL, "%s: no '%s' in: %s",
                      row->text, row->words[i], verdict->err.text);
    if (row->code != 0)
        return;
    ck_assert_msg(verdict->report.records == row->records, "%s: %llu records", row->text,
                  (unsigned long long)verdict->report.records);
    ck_assert_msg(verdict->report.cut_bytes == row->cut, "%s: %llu bytes are cut", row->text,
                  (unsigned long long)verdict->report.cut_bytes);
    ck_assert_msg(verdict->damaged == row->damaged, "%s: %llu pages are damaged", row->text,
                  (unsigned long long)verdict->damaged);
}

/* ---- Cases ---- */

static const struct crafted *all[ROWS];
static int row_count;

START_TEST(row)
{
    static struct craft c;
    struct verdict verdict;
    craft_init(&c, 2);
    crafted_change(&c, all[_i]);
    crafted_judge(&c, all[_i]->text, &verdict);
    crafted_expect(&verdict, all[_i]);
    craft_release(&c);
}
END_TEST

TCase *crafted_case(const char *name, const struct crafted *table, size_t count)
{
    TCase *tests = tcase_create(name);
    int first = row_count;
    for (size_t i = 0; i < count; i++) {
        if (row_count == ROWS)
            abort();
        all[row_count++] = &table[i];
    }
    tcase_add_loop_test(tests, row, first, row_count);
    return tests;
}

START_TEST(it_is_well)
{
    static struct craft c;
    struct verdict verdict;
    unsigned format = (unsigned)_i;
    craft_init(&c, format);
    crafted_judge(&c, "nothing is changed", &verdict);
    ck_assert_msg(verdict.code == 0, "%s", verdict.code != 0 ? verdict.err.text : "");
    ck_assert_uint_eq(verdict.info.size, 32768);
    ck_assert_uint_eq(verdict.info.pages, 2);
    ck_assert_uint_eq(verdict.info.allocated, 32768 - 50 - 100);
    ck_assert_uint_eq(verdict.info.free_blocks, 2);
    ck_assert_uint_eq(verdict.info.tokens, format == 1 ? 0 : 3);
    ck_assert_uint_eq(verdict.damaged, 0);
    ck_assert_uint_eq(verdict.report.checkpoint_sequence, format == 1 ? 3 : 2);
    ck_assert_uint_eq(verdict.report.records, format == 1 ? 0 : 3);
    craft_release(&c);
}
END_TEST

TCase *crafted_well(void)
{
    TCase *tests = tcase_create("well");
    tcase_add_loop_test(tests, it_is_well, 1, 3);
    return tests;
}
