/* core/options: the words, the defaults, the ranges and the names of regions. */
#include <check.h>
#include <string.h>

#include "core/options.h"
#include "tests/support_main.h"

START_TEST(defaults_are_valid)
{
    struct region_options options = region_options_default();
    struct err err = {0};

    ck_assert_int_eq(region_options_check(&options, &err), 0);
    ck_assert_int_eq(options.durability, DURABILITY_SYNC);
    ck_assert_int_eq(options.fit, FIT_TIGHT);
    ck_assert_uint_eq(options.flush_interval_ms, 100);
    ck_assert_uint_eq(options.max_size, 0);
    ck_assert_uint_eq(options.journal_size, 256 * MIB);
    ck_assert_int_eq(options.checksum, CHECKSUM_ON);
    ck_assert_uint_eq(options.token_window, 65536);
    ck_assert_uint_eq(options.discard, 1 * MIB);
    ck_assert_uint_eq(options.scrub_interval_ms, (uint64_t)168 * 3600 * 1000);
    ck_assert_uint_eq(options.scrub_rate, 8 * MIB);
    ck_assert_uint_eq(options.page_cache, 128 * MIB);
}
END_TEST

START_TEST(words_go_both_ways)
{
    for (unsigned i = 0; i < DURABILITIES; i++) {
        const char *name = durability_name((enum durability)i);
        enum durability back = DURABILITIES;

        ck_assert_ptr_nonnull(name);
        ck_assert(durability_from_name(name, strlen(name), &back));
        ck_assert_uint_eq(back, i);
    }
    for (unsigned i = FIT_TIGHT; i <= FIT_LARGEST; i++) {
        const char *name = fit_name((enum fit)i);
        enum fit back = (enum fit)(FIT_LARGEST + 1);

        ck_assert_ptr_nonnull(name);
        ck_assert(fit_from_name(name, strlen(name), &back));
        ck_assert_uint_eq(back, i);
    }
    for (unsigned i = 0; i < CHECKSUMS; i++) {
        const char *name = checksum_name((enum checksum)i);
        enum checksum back = CHECKSUMS;

        ck_assert_ptr_nonnull(name);
        ck_assert(checksum_from_name(name, strlen(name), &back));
        ck_assert_uint_eq(back, i);
    }
    ck_assert_str_eq(checksum_name(CHECKSUM_OFF), "off");
    ck_assert_str_eq(durability_name(DURABILITY_INTERVAL), "interval");
    ck_assert_str_eq(fit_name(FIT_LOWEST), "lowest");
}
END_TEST

START_TEST(other_words_are_refused)
{
    enum durability durability = DURABILITY_NONE;
    enum fit fit = FIT_LOWEST;
    enum checksum checksum = CHECKSUM_OFF;

    ck_assert(!durability_from_name("Sync", 4, &durability));
    ck_assert(!durability_from_name("syn", 3, &durability));
    ck_assert(!durability_from_name("sync ", 5, &durability));
    ck_assert(!durability_from_name("", 0, &durability));
    ck_assert(!fit_from_name("best", 4, &fit));
    ck_assert(!checksum_from_name("maybe", 5, &checksum));
    ck_assert_int_eq(durability, DURABILITY_NONE);
    ck_assert_int_eq(fit, FIT_LOWEST);
    ck_assert_int_eq(checksum, CHECKSUM_OFF);
    ck_assert_ptr_null(durability_name(DURABILITIES));
    ck_assert_ptr_null(fit_name((enum fit)(FIT_LARGEST + 1)));
}
END_TEST

static void assert_refused(struct region_options options, const char *sentence)
{
    struct err err = {0};

    ck_assert_int_eq(region_options_check(&options, &err), ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(err.code, ERR_INVALID_ARGUMENT);
    ck_assert_str_eq(err.text, sentence);
}

START_TEST(ranges_are_named)
{
    struct region_options options = region_options_default();

    options.flush_interval_ms = 0;
    assert_refused(options, "flush_interval must be between 1 and 3600000 milliseconds, not 0");
    options.flush_interval_ms = FLUSH_INTERVAL_MAX_MS + 1;
    assert_refused(options,
                   "flush_interval must be between 1 and 3600000 milliseconds, not 3600001");
    options = region_options_default();
    options.max_size = REGION_SIZE_MAX + 1;
    assert_refused(options, "max_size must be between 0 and 4611686018427387904 bytes, not "
                            "4611686018427387905");
    options = region_options_default();
    options.journal_size = JOURNAL_SIZE_MIN - 1;
    assert_refused(options,
                   "journal_size must be between 16777216 and 68719476736 bytes, not 16777215");
    options = region_options_default();
    options.durability = DURABILITIES;
    assert_refused(options, "durability must be sync, interval or none, not number 3");
    options = region_options_default();
    options.fit = (enum fit)(FIT_LARGEST + 1);
    assert_refused(options, "fit must be tight, lowest or largest, not number 3");
    options = region_options_default();
    options.checksum = CHECKSUMS;
    assert_refused(options, "checksum must be on or off, not number 2");
    options = region_options_default();
    options.token_window = TOKEN_WINDOW_MAX + 1;
    assert_refused(options, "token_window must be between 1 and 16777216 tokens, not 16777217");
    options.token_window = 0;
    assert_refused(options, "token_window must be between 1 and 16777216 tokens, not 0");
    options = region_options_default();
    options.page_cache = 1 * TIB + 1;
    assert_refused(options,
                   "page_cache must be between 0 and 1099511627776 bytes, not 1099511627777");
}
END_TEST

START_TEST(region_names)
{
    static const char *const good[] = {"a", "0", "main", "A-b_c.d", "9.", "x--"};
    static const char *const bad[] = {"",     ".",    "..",          "-a",  "_a", "a/b", "a b",
                                      "a\nb", "\xc3", "caf\xc3\xa9", "a:b", "a{", "a@",  "a["};
    char name[REGION_NAME_MAX + 2];

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        ck_assert_msg(region_name_is_valid(good[i], strlen(good[i])), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!region_name_is_valid(bad[i], strlen(bad[i])), "%s", bad[i]);
    ck_assert(!region_name_is_valid("a\0b", 3));
    memset(name, 'n', sizeof name);
    ck_assert(region_name_is_valid(name, REGION_NAME_MAX));
    ck_assert(!region_name_is_valid(name, REGION_NAME_MAX + 1));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core/options");
    TCase *tcase = tcase_create("options");

    tcase_add_test(tcase, defaults_are_valid);
    tcase_add_test(tcase, words_go_both_ways);
    tcase_add_test(tcase, other_words_are_refused);
    tcase_add_test(tcase, ranges_are_named);
    tcase_add_test(tcase, region_names);
    suite_add_tcase(suite, tcase);
    return suite_main(suite);
}
