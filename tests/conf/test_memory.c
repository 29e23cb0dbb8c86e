/* Every allocation of the configuration fails once, ours and libyaml's: the answer is always
 * -ENOMEM with a sentence, nothing changes and (under a sanitizer) nothing leaks.
 *
 * malloc and its kin are this program's own here: they count down to the one that fails and pass
 * the others on. */
#include <errno.h>
#include <string.h>

#include "conf/entries.h"
#include "tests/conf/support_conf.h"
#include "tests/conf/support_run.h"
#include "tests/support_failing_memory.h"

__attribute__((visibility("default"))) void *reallocarray(void *memory, size_t count, size_t size)
{
    NEXT(reallocarray);
    return must_fail() ? NULL : next(memory, count, size);
}

static const char text[] =
    "data_dir: /a\n"
    "listen:\n"
    "- {unix: /a, mode: 0600}\n"
    "- {mode: 0600, unix: /b}\n"
    "- tcp: \"[::1]:1\"\n"
    "regions: [{name: a}, {name: b, max_size: 1GiB}, {name: c}]\n"
    "users:\n"
    "- {name: a, uid: 1, certificate: CN=a}\n"
    "- name: b\n"
    "  password_hash: $argon2id$v=19$m=8,t=1,p=1$f/QgEQ2BMi0dHjRMlRh+1w"
    "$pGZkLlKKR56GS5NG6OpJimgjfmZUQpqgwFFUj/Nt7v4\n"
    "  grants: [{regions: '*', access: read}, {regions: a, access: write}]\n";

/* Runs the step with the first, second, ... allocation failing, until it gets by without; at least
 * that many must have failed on the way. */
static void fail_each(int (*step)(struct conf *conf, struct conf_error *error), long least)
{
    struct conf before = default_conf();
    int code = -ENOMEM;

    for (long nth = 0; code != 0; nth++) {
        struct conf conf = default_conf();
        struct conf_error error = {0};

        ck_assert_int_lt(nth, 1000);
        has_failed = false;
        countdown = nth;
        code = step(&conf, &error);
        countdown = -1;
        ck_assert_int_eq(code, has_failed ? -ENOMEM : 0);
        if (code != 0) {
            ck_assert_ptr_nonnull(strstr(error.text, code == -ENOMEM ? "emory" : "?"));
            ck_assert_str_eq(conf.data_dir, before.data_dir);
        } else {
            ck_assert_int_ge(nth, least);
        }
        conf_release(&conf);
    }
    conf_release(&before);
}

/* The list of all settings, of one that has everything. */
static int list(struct conf *conf, struct conf_error *error)
{
    struct conf_entries entries;
    int code = conf_entries_make(conf, &entries);

    if (code != 0)
        (void)snprintf(error->text, sizeof error->text, "no memory");
    conf_entries_release(&entries);
    return code;
}

static int init(struct conf *conf, struct conf_error *error)
{
    struct conf fresh;
    int code = conf_init_defaults(&fresh, error);

    (void)conf;
    conf_release(&fresh);
    return code;
}

static int parse(struct conf *conf, struct conf_error *error)
{
    return conf_parse(conf, text, sizeof text - 1, "f", error);
}

static int load(struct conf *conf, struct conf_error *error)
{
    return conf_load(conf, SOURCE_ROOT "/conf/mregiond.yaml", error);
}

static int add_listen(struct conf *conf, struct conf_error *error)
{
    int code = conf_add_listen(conf, "unix:/a", error);

    return code != 0 ? code : conf_add_listen(conf, "tcp:127.0.0.1:0", error);
}

static int add_region(struct conf *conf, struct conf_error *error)
{
    int code = conf_add_region(conf, "a", error);

    return code != 0 ? code : conf_add_region(conf, "b", error);
}

static int set_data_dir(struct conf *conf, struct conf_error *error)
{
    int code = conf_set_data_dir(conf, "/var/lib/mregiond", error);

    return code;
}

START_TEST(failing_init)
{
    fail_each(init, 50);
}
END_TEST

START_TEST(failing_parse)
{
    fail_each(parse, 100);
}
END_TEST

START_TEST(failing_load)
{
    fail_each(load, 100);
}
END_TEST

START_TEST(failing_listen)
{
    fail_each(add_listen, 5);
}
END_TEST

START_TEST(failing_region)
{
    fail_each(add_region, 2);
}
END_TEST

START_TEST(failing_list)
{
    fail_each(list, 2);
}
END_TEST

START_TEST(failing_data_dir)
{
    fail_each(set_data_dir, 1);
}
END_TEST

RUN_SUITE("conf/memory", failing_init, failing_parse, failing_load, failing_listen, failing_region,
          failing_list, failing_data_dir)
