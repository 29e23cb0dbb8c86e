/* conf/events: what is not YAML, what YAML has and a configuration has not, and what is built to
 * be expensive. */
#include <string.h>

#include "tests/conf/support_conf.h"
#include "tests/conf/support_run.h"

START_TEST(what_yaml_has_besides)
{
    static const struct refusal cases[] = {
        {"data_dir: *x\n",
         "f:1:11: anchors and aliases are not allowed: \"x\"; write the value out"},
        {"data_dir: &x /a\n",
         "f:1:11: anchors and aliases are not allowed: \"x\"; write the value out"},
        {"listen: &x []\n",
         "f:1:9: anchors and aliases are not allowed: \"x\"; write the value out"},
        {"&x data_dir: /a\n",
         "f:1:1: anchors and aliases are not allowed: \"x\"; write the value out"},
        {"--- &x\ndata_dir: /a\n",
         "f:1:5: anchors and aliases are not allowed: \"x\"; write the value out"},
        {"max_message: !!int 5\n",
         "f:1:14: tags are not allowed: \"tag:yaml.org,2002:int\"; leave it out"},
        {"regions: !a [{name: a}]\n", "f:1:10: tags are not allowed: \"!a\"; leave it out"},
        {"--- !a\ndata_dir: /a\n", "f:1:5: tags are not allowed: \"!a\"; leave it out"},
        {"%TAG ! foo:\n---\ndata_dir: /a\n",
         "f:1:1: directives for tags are not allowed; leave them out"},
        {"data_dir: /a\n---\ndata_dir: /b\n",
         "f:2:1: a second document is not allowed; the file holds one"},
        {"---\n---\n", "f:2:1: a second document is not allowed; the file holds one"},
        {"data_dir: \"a\\0b\"\n", "f:1:11: a NUL character is not allowed"},
    };

    ASSERT_REFUSALS(cases);
}
END_TEST

START_TEST(not_yaml)
{
    static const struct refusal cases[] = {
        {"{data_dir: /a\n", "f:2:1: this is not YAML: did not find expected ',' or '}', while "
                            "parsing a flow mapping that starts on line 1"},
        {"data_dir: \"/a\n", "f:2:1: this is not YAML: found unexpected end of stream, while "
                             "scanning a quoted scalar that starts on line 1"},
        {"data_dir: /a: b\n",
         "f:1:13: this is not YAML: mapping values are not allowed in this context"},
        {"data_dir: @a\n", "f:1:11: this is not YAML: found character that cannot start any token, "
                           "while scanning for the next token that starts on line 1"},
        {"regions:\n\t- name: x\n", "f:2:1: a tab must not indent; use spaces"},
        {"# \xc3\xa9\nlisten:\n  - unix: /\xc3\xa9\n\t  mode: 0660\n",
         "f:4:1: a tab must not indent; use spaces"},
        {"data_dir: /\xff\n", "f:1:12: the byte 0xff is not valid UTF-8; save the file as UTF-8"},
        {"# \xc3\xa9\xc3\xa9 \xe2\x82\n",
         "f:1:6: the byte 0xe2 is not valid UTF-8; save the file as UTF-8"},
        {"# a\n#\a\n", "f:2:2: the control character U+0007 is not allowed"},
        {"\xef\xbb\xbf"
         "foo: 1\n",
         "f:1:1: unknown key \"foo\"; there are " TOP_KEYS},
        {"log_level: info\r\nfoo: 1\r\n", "f:2:1: unknown key \"foo\"; there are " TOP_KEYS},
        {"# \xe2\x82\xac\n'\xc3\xa9': 1\n", "f:2:1: unknown key \"\xc3\xa9\"; there are " TOP_KEYS},
        {"{'\xc3\xa9\xc3\xa9': 1, b: 2}\n",
         "f:1:2: unknown key \"\xc3\xa9\xc3\xa9\"; there are " TOP_KEYS},
        {"{data_dir: '\xc3\xa9\xc3\xa9', b: 2}\n",
         "f:1:18: unknown key \"b\"; there are " TOP_KEYS},
    };

    ASSERT_REFUSALS(cases);
    assert_refused("data_dir: /a\0b\n", 15,
                   "f:1:13: a NUL byte is not allowed; is this a text file?");
}
END_TEST

START_TEST(depth)
{
    assert_repeated_refused("data_dir: ", "[", 500000,
                            "f:1:11: data_dir must be a path, not a list");
    assert_repeated_refused("regions: ", "[", 500000,
                            "f:1:11: each item of regions must be a mapping such as \"name: "
                            "main\", not a list");
    assert_repeated_refused("listen:\n", "- ", 500000,
                            "f:2:3: each item of listen must be a mapping such as \"unix: "
                            "/path/of/socket\", not a list");
    assert_repeated_refused("", "{", 500000, "f:1:2: a key must be a word, not a mapping");
}
END_TEST

START_TEST(alias_bombs)
{
    static const struct refusal cases[] = {
        {"a: &a [x, x]\nb: &b [*a, *a]\n", "f:1:1: unknown key \"a\"; there are " TOP_KEYS},
        {"data_dir: /a\nregions: &a [*a, *a, *a]\n",
         "f:2:10: anchors and aliases are not allowed: \"a\"; write the value out"},
        {"listen: [*a, *a]\n",
         "f:1:10: anchors and aliases are not allowed: \"a\"; write the value out"},
    };

    ASSERT_REFUSALS(cases);
}
END_TEST

RUN_SUITE("conf/events", what_yaml_has_besides, not_yaml, depth, alias_bombs)
