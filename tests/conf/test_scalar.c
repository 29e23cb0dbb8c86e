/* conf/scalar: values of every kind that are not what their setting needs, and what is said. */
#include <string.h>

#include "tests/conf/support_conf.h"
#include "tests/conf/support_run.h"

START_TEST(text_values)
{
    static const struct refusal cases[] = {
        {"data_dir:\n", "f:1:10: data_dir must be a path, not an empty value"},
        {"data_dir: null\n", "f:1:11: data_dir must be a path, not an empty value"},
        {"data_dir: ''\n", "f:1:11: data_dir must be a path, not \"\""},
        {"data_dir: 5\n", "f:1:11: data_dir must be a path, not the number 5; put it into quotes "
                          "if you mean it"},
        {"data_dir: true\n", "f:1:11: data_dir must be a path, not the boolean true; put it into "
                             "quotes if you mean it"},
        {"regions: [{name: 2024}]\n", "f:1:18: name must be a region's name, not the number 2024; "
                                      "put it into quotes if you mean it"},
        {"regions: [{name: }]\n", "f:1:18: name must be a region's name, not an empty value"},
        {"regions: [{name: a/b}]\n",
         "f:1:18: a region's name is 1 to 64 letters, digits, dots, underscores and hyphens, a "
         "letter or digit first, not \"a/b\""},
        {"regions: [{name: ''}]\n",
         "f:1:18: a region's name is 1 to 64 letters, digits, dots, underscores and hyphens, a "
         "letter or digit first, not \"\""},
        {"regions:\n- name: \"..\"\n",
         "f:2:9: a region's name is 1 to 64 letters, digits, dots, underscores and hyphens, a "
         "letter or digit first, not \"..\""},
        {"regions:\n- name: "
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
         "f:2:9: a region's name is 1 to 64 letters, digits, dots, underscores and hyphens, a "
         "letter or digit first, not "
         "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...\""},
        {"listen: [{unix: 7}]\n", "f:1:17: unix must be a path, not the number 7; put it into "
                                  "quotes if you mean it"},
        {"listen: [{tcp: 7420}]\n",
         "f:1:16: tcp must be HOST:PORT, such as 127.0.0.1:7420, not the number 7420; put it into "
         "quotes if you mean it"},
    };

    ASSERT_REFUSALS(cases);
}
END_TEST

START_TEST(long_data_dir)
{
    char text[PATH_MAX + 64] = "data_dir: /";

    memset(text + 11, 'a', CONF_DATA_DIR_MAX);
    assert_refused(text, 11 + CONF_DATA_DIR_MAX,
                   "f:1:11: data_dir has at most 3840 bytes, not "
                   "3841");
}
END_TEST

START_TEST(number_values)
{
    static const struct refusal cases[] = {
        {"max_message: lots\n", "f:1:14: max_message must be a size such as 64MiB, not \"lots\""},
        {"max_message:\n", "f:1:13: max_message must be a size such as 64MiB, not an empty value"},
        {"max_message: true\n",
         "f:1:14: max_message must be a size such as 64MiB, not the boolean true"},
        {"max_message: 64MB\n",
         "f:1:14: unknown unit in max_message: \"64MB\"; did you mean \"64MiB\"?"},
        {"max_message: 64 MiB\n",
         "f:1:14: unknown unit in max_message: \"64 MiB\"; did you mean \"64MiB\"?"},
        {"max_message: 64Blocks\n", "f:1:14: unknown unit in max_message: \"64Blocks\"; sizes take "
                                    "KiB, MiB, GiB or TiB"},
        {"max_message: -5\n", "f:1:14: max_message must be between 64KiB and 1GiB, not -5"},
        {"max_message: 1.5GiB\n",
         "f:1:14: max_message must be a whole number, not \"1.5GiB\"; use a smaller unit"},
        {"max_message: 010MiB\n", "f:1:14: max_message must not start with 0, which is octal to "
                                  "some and decimal to others, as in \"010MiB\""},
        {"max_message: 18446744073709551616\n",
         "f:1:14: max_message must be between 64KiB and 1GiB, not 18446744073709551616"},
        {"max_message: 16777216TiB\n",
         "f:1:14: max_message must be between 64KiB and 1GiB, not 16777216TiB"},
        {"max_message: 65535\n", "f:1:14: max_message must be between 64KiB and 1GiB, not 65535"},
        {"max_message: 1025MiB\n",
         "f:1:14: max_message must be between 64KiB and 1GiB, not 1025MiB"},
        {"max_connections: 0\n",
         "f:1:18: max_connections must be between 1 and 100000 connections, not 0"},
        {"max_connections: 100001\n",
         "f:1:18: max_connections must be between 1 and 100000 connections, not 100001"},
        {"max_connections: 12k\n",
         "f:1:18: max_connections is a plain number of connections, not \"12k\""},
        {"max_connections: '12'\n",
         "f:1:18: max_connections must be a number without quotes, not \"12\""},
        {"max_connections: 1.0\n",
         "f:1:18: max_connections must be a whole number, not the number 1.0"},
        {"max_connections: many\n", "f:1:18: max_connections must be a whole number, not \"many\""},
        {"max_pipeline: 0\n", "f:1:15: max_pipeline must be between 1 and 1000000 requests, not 0"},
        {"max_pipeline: 1000001\n",
         "f:1:15: max_pipeline must be between 1 and 1000000 requests, not 1000001"},
        {"max_buffered: 1KiB\n", "f:1:15: max_buffered must be between 64KiB and 16TiB, not 1KiB"},
        {"max_buffered: 17TiB\n",
         "f:1:15: max_buffered must be between 64KiB and 16TiB, not 17TiB"},
        {"log_level: info\nmax_buffered: 1MiB\n",
         "f:2:1: max_buffered (1MiB) must hold at least one message of max_message (64MiB); raise "
         "the one or lower the other"},
        {"max_buffered: 300MiB\nmax_message: 1GiB\n",
         "f:1:1: max_buffered (300MiB) must hold at least one message of max_message (1GiB); raise "
         "the one or lower the other"},
    };

    ASSERT_REFUSALS(cases);
}
END_TEST

START_TEST(region_values)
{
    static const struct refusal cases[] = {
        {"regions: [{name: a, flush_interval: 100}]\n",
         "f:1:37: flush_interval needs a unit: ms, s, m or h, not the number 100"},
        {"regions: [{name: a, flush_interval: 1 sec}]\n",
         "f:1:37: unknown unit in flush_interval: \"1 sec\"; did you mean \"1s\"?"},
        {"regions: [{name: a, flush_interval: 1d}]\n",
         "f:1:37: unknown unit in flush_interval: \"1d\"; times take ms, s, m or h"},
        {"regions: [{name: a, flush_interval: 0ms}]\n",
         "f:1:37: flush_interval must be between 1ms and 1h, not 0ms"},
        {"regions: [{name: a, flush_interval: 61m}]\n",
         "f:1:37: flush_interval must be between 1ms and 1h, not 61m"},
        {"regions: [{name: a, flush_interval: soon}]\n",
         "f:1:37: flush_interval must be a time such as 100ms, not \"soon\""},
        {"regions: [{name: a, max_size: 4194305TiB}]\n",
         "f:1:31: max_size must be between 0 and 4194304TiB, not 4194305TiB"},
        {"regions: [{name: a, journal_size: 15MiB}]\n",
         "f:1:35: journal_size must be between 16MiB and 64GiB, not 15MiB"},
        {"regions: [{name: a, checksum: true}]\n",
         "f:1:31: checksum must be on or off, not the boolean true"},
        {"regions: [{name: a, token_window: 16777217}]\n",
         "f:1:35: token_window must be between 1 and 16777216 tokens, not 16777217"},
        {"regions: [{name: a, scrub_interval: 87601h}]\n",
         "f:1:37: scrub_interval must be between 0ms and 87600h, not 87601h"},
        {"regions: [{name: a, token_window: 0}]\n",
         "f:1:35: token_window must be between 1 and 16777216 tokens, not 0"},
        {"max_batch: 0\n", "f:1:12: max_batch must be between 1 and 32768 changes, not 0"},
        {"max_batch: 32769\n", "f:1:12: max_batch must be between 1 and 32768 changes, not 32769"},
        {"max_uploads: 0\n", "f:1:14: max_uploads must be between 1 and 4096 uploads, not 0"},
        {"upload_timeout: 999ms\n", "f:1:17: upload_timeout must be between 1s and 24h, not 999ms"},
        {"max_connections_per_peer: 100001\n",
         "f:1:27: max_connections_per_peer must be between 0 and 100000 connections, not 100001"},
        {"idle_timeout: 169h\n", "f:1:15: idle_timeout must be between 0ms and 168h, not 169h"},
        {"message_timeout: 25h\n", "f:1:18: message_timeout must be between 0ms and 24h, not 25h"},
        {"max_unread: 1KiB\n", "f:1:13: max_unread must be between 64KiB and 1GiB, not 1KiB"},
        {"stall_timeout: 999ms\n", "f:1:16: stall_timeout must be between 1s and 1h, not 999ms"},
        {"max_regions: 0\n", "f:1:14: max_regions must be between 1 and 65536 regions, not 0"},
        {"sandbox: onn\n", "f:1:10: sandbox must be on or off, not \"onn\"; did you mean \"on\"?"},
        {"user: 0\n",
         "f:1:7: user must be the name of a user, not the number 0; put it into quotes if you mean "
         "it"},
        {"user:\n", "f:1:6: user must be the name of a user, not an empty value"},
        {"user: [a]\n", "f:1:7: user must be the name of a user, not a list"},
        {"migrate: never\n", "f:1:10: migrate must be auto or refuse, not \"never\""},
        {"regions: [{name: a, journal_size: 65GiB}]\n",
         "f:1:35: journal_size must be between 16MiB and 64GiB, not 65GiB"},
        {"regions: [{name: a, durability: synk}]\n",
         "f:1:33: durability must be sync, interval or none, not \"synk\"; did you mean \"sync\"?"},
        {"regions: [{name: a, durability: paranoid}]\n",
         "f:1:33: durability must be sync, interval or none, not \"paranoid\""},
        {"regions: [{name: a, durability: }]\n",
         "f:1:33: durability must be sync, interval or none, not an empty value"},
        {"regions: [{name: a, fit: best}]\n",
         "f:1:26: fit must be tight, lowest or largest, not \"best\""},
        {"regions: [{name: a, fit: larges}]\n",
         "f:1:26: fit must be tight, lowest or largest, not \"larges\"; did you mean \"largest\"?"},
        {"log_level: warn\n",
         "f:1:12: log_level must be error, warning, info or debug, not \"warn\"; did you mean "
         "\"warning\"?"},
        {"log_format: Json\n",
         "f:1:13: log_format must be text or json, not \"Json\"; did you mean \"json\"?"},
        {"log_level: 3\n",
         "f:1:12: log_level must be error, warning, info or debug, not the number 3"},
        {"regions:\n- name: a\n- fit: tight\n", "f:3:3: a region needs a key name"},
        {"regions:\n- {}\n", "f:2:3: a region needs a key name"},
        {"regions:\n- name: a\n- name: b\n- fit: tight\n  name: a\n",
         "f:5:3: a second region \"a\"; the first is on line 2"},
    };

    ASSERT_REFUSALS(cases);
}
END_TEST

RUN_SUITE("conf/scalar", text_values, long_data_dir, number_values, region_values)
