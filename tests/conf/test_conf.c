/* conf/conf: defaults, files, options of the command line, and what stays as it was. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/conf/support_conf.h"
#include "tests/conf/support_run.h"

static char folder[] = "/tmp/test_conf.XXXXXX";
static char file[64];

static void set_up(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(file, sizeof file, "%s/c.yaml", folder);
}

static void tear_down(void)
{
    (void)unlink(file);
    ck_assert_int_eq(rmdir(folder), 0);
}

static void write_file(const char *text, size_t size)
{
    FILE *to = fopen(file, "we");

    ck_assert_ptr_nonnull(to);
    ck_assert_uint_eq(fwrite(text, 1, size, to), size);
    ck_assert_int_eq(fclose(to), 0);
}

START_TEST(defaults)
{
    struct conf conf = default_conf();

    ck_assert_str_eq(conf.data_dir, "/var/lib/mregiond");
    ck_assert_uint_eq(conf.listens_count, 2);
    ck_assert(conf.listens[0].is_unix);
    ck_assert_str_eq(conf.listens[0].address, "unix:/run/mregiond/mregiond.sock");
    ck_assert_str_eq(conf.listens[0].path, "/run/mregiond/mregiond.sock");
    ck_assert_uint_eq(conf.listens[0].mode, 0660);
    ck_assert(!conf.listens[1].is_unix);
    ck_assert_str_eq(conf.listens[1].address, "tcp:127.0.0.1:7420");
    ck_assert_str_eq(conf.listens[1].host, "127.0.0.1");
    ck_assert_uint_eq(conf.listens[1].port, 7420);
    ck_assert_uint_eq(conf.max_message, 64 * MIB);
    ck_assert_uint_eq(conf.max_connections, 1024);
    ck_assert_uint_eq(conf.max_pipeline, 1024);
    ck_assert_uint_eq(conf.max_buffered, 256 * MIB);
    ck_assert_int_eq(conf.log_level, LOG_LEVEL_INFO);
    ck_assert_str_eq(conf.run_as.name, "");
    ck_assert_uint_eq(conf.run_as.line + conf.run_as.column, 0);
    ck_assert_int_eq(conf.sandbox, SWITCH_ON);
    ck_assert_int_eq(conf.backup_reflinks, SWITCH_OFF);
    ck_assert_uint_eq(conf.regions_count, 1);
    ck_assert_str_eq(conf.regions[0].name, "main");
    ck_assert_uint_eq(conf.listens[0].line + conf.listens[1].line + conf.regions[0].line, 0);
    conf_release(&conf);
    conf_release(&conf); /* harmless */
}
END_TEST

START_TEST(loads_a_file)
{
    struct conf conf = default_conf();
    struct conf_error error = {0};

    write_file("data_dir: /a\n", 13);
    ck_assert_int_eq(conf_load(&conf, file, &error), 0);
    ck_assert_str_eq(conf.data_dir, "/a");
    ck_assert_uint_eq(conf.listens_count, 2);
    write_file("", 0);
    ck_assert_int_eq(conf_load(&conf, file, &error), 0);
    ck_assert_str_eq(conf.data_dir, "/var/lib/mregiond");
    conf_release(&conf);
}
END_TEST

START_TEST(loads_a_pipe)
{
    struct conf conf = default_conf();
    struct conf_error error = {0};
    char path[64];
    int ends[2];

    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_assert_int_eq(write(ends[1], "data_dir: /p\n", 13), 13);
    (void)close(ends[1]);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", ends[0]);
    ck_assert_msg(conf_load(&conf, path, &error) == 0, "%s", error.text);
    ck_assert_str_eq(conf.data_dir, "/p");
    (void)close(ends[0]);
    conf_release(&conf);
}
END_TEST

static void assert_load_fails(const char *path, int code, const char *sentence)
{
    struct conf conf = default_conf();
    struct conf before = default_conf();
    struct conf_error error = {.line = 7, .column = 7};
    char expected[CONF_ERROR_SIZE];

    (void)snprintf(expected, sizeof expected, "%s%s", path, sentence);
    ck_assert_int_eq(conf_load(&conf, path, &error), code);
    ck_assert_str_eq(error.text, expected);
    assert_conf_eq(&conf, &before);
    conf_release(&conf);
    conf_release(&before);
}

START_TEST(files_that_cannot_be_loaded)
{
    char *large = repeat("#", "#", CONF_FILE_MAX, "");

    assert_load_fails(file, -ENOENT, ": cannot open the configuration: No such file or directory");
    assert_load_fails(folder, -EISDIR, ": cannot read the configuration: Is a directory");
    assert_load_fails("", -ENOENT, ": cannot open the configuration: No such file or directory");
    write_file("log_level: info\ndata_dir: [/a]\n", 31);
    assert_load_fails(file, -EINVAL, ":2:11: data_dir must be a path, not a list");
    write_file("a\0", 2);
    assert_load_fails(file, -EINVAL, ":1:2: a NUL byte is not allowed; is this a text file?");
    write_file(large, CONF_FILE_MAX + 1);
    assert_load_fails(file, -EINVAL, ": a configuration has at most 1048576 bytes");
    free(large);
}
END_TEST

START_TEST(errors_are_optional)
{
    struct conf conf = default_conf();

    ck_assert_int_eq(conf_load(&conf, file, NULL), -ENOENT);
    ck_assert_int_eq(conf_parse(&conf, "a", 1, "f", NULL), -EINVAL);
    ck_assert_int_eq(conf_parse(&conf, "\xff", 1, "f", NULL), -EINVAL);
    ck_assert_int_eq(conf_add_listen(&conf, "a", NULL), -EINVAL);
    ck_assert_int_eq(conf_add_region(&conf, "", NULL), -EINVAL);
    ck_assert_int_eq(conf_set_data_dir(&conf, "", NULL), -EINVAL);
    conf_release(&conf);
}
END_TEST

START_TEST(long_names_of_files)
{
    struct conf conf = default_conf();
    struct conf_error error = {0};
    char *name = repeat("", "n", 2 * PATH_MAX, "");

    ck_assert_int_eq(conf_parse(&conf, "data_dir: []", 12, name, &error), -EINVAL);
    ck_assert_ptr_nonnull(strstr(error.text, "n:1:11: data_dir must be a path, not a list"));
    free(name);
    conf_release(&conf);
}
END_TEST

START_TEST(listen_options)
{
    struct conf conf = default_conf();
    struct conf_error error = {0};

    ck_assert_int_eq(conf_add_listen(&conf, "tcp:127.0.0.1:0", &error), 0);
    ck_assert_uint_eq(conf.listens_count, 1);
    ck_assert_int_eq(conf_add_listen(&conf, "unix:/tmp/s", &error), 0);
    ck_assert_int_eq(conf_add_listen(&conf, "tcp:127.0.0.1:0", &error), 0);
    ck_assert_uint_eq(conf.listens_count, 3);
    ck_assert_str_eq(conf.listens[0].address, "tcp:127.0.0.1:0");
    ck_assert_str_eq(conf.listens[1].path, "/tmp/s");
    ck_assert_uint_eq(conf.listens[1].mode, 0660);

    ck_assert_int_eq(conf_add_listen(&conf, "unix:/tmp/s", &error), -EINVAL);
    ck_assert_str_eq(error.text, "--listen: unix:/tmp/s is given twice");
    ck_assert_int_eq(conf_add_listen(&conf, "unix:/tmp/\xff", &error), -EINVAL);
    ck_assert_str_eq(error.text, "--listen: character 11: the byte 0xff is not valid UTF-8; save "
                                 "the file as UTF-8");
    ck_assert_uint_eq(conf.listens_count, 3);
    conf_release(&conf);
}
END_TEST

START_TEST(a_wrong_listen_option_replaces_nothing)
{
    struct conf conf = default_conf();
    struct conf before = default_conf();
    struct conf_error error = {.line = 7};

    ck_assert_int_eq(conf_add_listen(&conf, "tcp:0.0.0.0:1", &error), -EINVAL);
    ck_assert_ptr_eq(strstr(error.text, "--listen: the address \"0.0.0.0\" is not on loopback"),
                     error.text);
    ck_assert_uint_eq(error.line, 0);
    assert_conf_eq(&conf, &before);
    conf_release(&conf);
    conf_release(&before);
}
END_TEST

START_TEST(most_listen_options)
{
    struct conf conf = default_conf();
    struct conf_error error = {0};

    for (size_t i = 0; i < CONF_LISTENS_MAX; i++)
        ck_assert_int_eq(conf_add_listen(&conf, "tcp:127.0.0.1:0", &error), 0);
    ck_assert_int_eq(conf_add_listen(&conf, "tcp:127.0.0.1:0", &error), -EINVAL);
    ck_assert_str_eq(error.text, "--listen: at most 64 addresses may be given");
    conf_release(&conf);
}
END_TEST

START_TEST(region_options_keep_those_of_the_file)
{
    struct conf conf = parse_conf("regions:\n"
                                  "- {name: a, durability: none}\n"
                                  "- {name: b, fit: lowest}\n");
    struct conf_error error = {0};

    ck_assert_int_eq(conf_add_region(&conf, "c", &error), 0);
    ck_assert_int_eq(conf_add_region(&conf, "b", &error), 0);
    ck_assert_uint_eq(conf.regions_count, 2);
    ck_assert_str_eq(conf.regions[0].name, "c");
    ck_assert_int_eq(conf.regions[0].options.durability, DURABILITY_SYNC);
    ck_assert_str_eq(conf.regions[1].name, "b");
    ck_assert_int_eq(conf.regions[1].options.fit, FIT_LOWEST);

    ck_assert_int_eq(conf_add_region(&conf, "b", &error), -EINVAL);
    ck_assert_str_eq(error.text, "--region: \"b\" is given twice");
    ck_assert_int_eq(conf_add_region(&conf, "a/b", &error), -EINVAL);
    ck_assert_str_eq(error.text,
                     "--region: a region's name is 1 to 64 letters, digits, dots, underscores and "
                     "hyphens, a letter or digit first, not \"a/b\"");
    ck_assert_uint_eq(conf.regions_count, 2);
    conf_release(&conf);
}
END_TEST

START_TEST(a_wrong_region_option_replaces_nothing)
{
    struct conf conf = default_conf();
    struct conf before = default_conf();

    ck_assert_int_eq(conf_add_region(&conf, "-", NULL), -EINVAL);
    assert_conf_eq(&conf, &before);
    conf_release(&conf);
    conf_release(&before);
}
END_TEST

START_TEST(most_region_options)
{
    struct conf conf = default_conf();
    struct conf_error error = {0};
    char name[16];

    for (size_t i = 0; i < CONF_REGIONS_MAX; i++) {
        (void)snprintf(name, sizeof name, "r%zu", i);
        ck_assert_int_eq(conf_add_region(&conf, name, &error), 0);
    }
    ck_assert_int_eq(conf_add_region(&conf, "one-more", &error), -EINVAL);
    ck_assert_str_eq(error.text, "--region: at most 4096 regions may be given");
    conf_release(&conf);
}
END_TEST

START_TEST(data_dir_option)
{
    struct conf conf = default_conf();
    struct conf_error error = {0};
    char *longest = repeat("", "d", CONF_DATA_DIR_MAX, "");
    char *longer = repeat("", "d", CONF_DATA_DIR_MAX + 1, "");

    ck_assert_int_eq(conf_set_data_dir(&conf, "./d", &error), 0);
    ck_assert_str_eq(conf.data_dir, "./d");
    ck_assert_int_eq(conf_set_data_dir(&conf, longest, &error), 0);
    ck_assert_int_eq(conf_set_data_dir(&conf, longer, &error), -EINVAL);
    ck_assert_str_eq(error.text, "--data-dir: a path has 1 to 3840 bytes, not 3841");
    ck_assert_int_eq(conf_set_data_dir(&conf, "", &error), -EINVAL);
    ck_assert_str_eq(error.text, "--data-dir: a path has 1 to 3840 bytes, not 0");
    ck_assert_int_eq(conf_set_data_dir(&conf, "/\x01", &error), -EINVAL);
    ck_assert_str_eq(error.text,
                     "--data-dir: character 2: the control character U+0001 is not allowed");
    ck_assert_str_eq(conf.data_dir, longest);
    free(longest);
    free(longer);
    conf_release(&conf);
}
END_TEST

START_TEST(loading_again_forgets_options)
{
    struct conf conf = default_conf();
    struct conf built_in = default_conf();

    ck_assert_int_eq(conf_add_listen(&conf, "unix:/tmp/s", NULL), 0);
    ck_assert_int_eq(conf_add_region(&conf, "x", NULL), 0);
    ck_assert_int_eq(conf_set_data_dir(&conf, "/x", NULL), 0);
    ck_assert_int_eq(conf_parse(&conf, "", 0, "f", NULL), 0);
    assert_conf_eq(&conf, &built_in);
    ck_assert(!conf.listens_replaced && !conf.regions_replaced);
    conf_release(&conf);
    conf_release(&built_in);
}
END_TEST

START_TEST(log_levels)
{
    ck_assert_str_eq(log_level_name(LOG_LEVEL_ERROR), "error");
    ck_assert_str_eq(log_level_name(LOG_LEVEL_WARNING), "warning");
    ck_assert_str_eq(log_level_name(LOG_LEVEL_INFO), "info");
    ck_assert_str_eq(log_level_name(LOG_LEVEL_DEBUG), "debug");
    ck_assert_ptr_null(log_level_name(LOG_LEVELS));
}
END_TEST

RUN_SUITE_WITH("conf/conf", set_up, tear_down, defaults, loads_a_file, loads_a_pipe,
               files_that_cannot_be_loaded, errors_are_optional, long_names_of_files,
               listen_options, a_wrong_listen_option_replaces_nothing, most_listen_options,
               region_options_keep_those_of_the_file, a_wrong_region_option_replaces_nothing,
               most_region_options, data_dir_option, loading_again_forgets_options, log_levels)
