/* SPDX-License-Identifier: Apache-2.0 */
/* test_name.c - names of backends as file names: the rule of name.h, and that it can be reversed.
 */
#include "name.h"
#include "utf8.h"

#include "unit.h"

#include <string.h>

struct pair {
    const char *raw, *shown;
};

/* clang-format off */
static const struct pair pairs[] = {
    {"", "%"},
    {"a", "a"},
    {"db-password", "db-password"},
    {"a b", "a b"},
    {"%", "%25"},
    {"100%", "100%25"},
    {"%2F", "%252F"},
    {".", "%2E"},
    {"..", "%2E."},
    {"...", "..."},
    {".a", ".a"},
    {".json", "%2Ejson"},
    {".jsonx", ".jsonx"},
    {".value", "%2Evalue"},
    {".hushfs", "%2Ehushfs"},
    {".hushfs-old", "%2Ehushfs-old"},
    {".hush", ".hush"},
    {"a\nb", "a%0Ab"},
    {"\x01\x1f\x7f", "%01%1F%7F"},
    {"caf\xc3\xa9", "caf\xc3\xa9"},
    {"\xe2\x82\xac", "\xe2\x82\xac"},
    {"\xf0\x9f\x94\x91", "\xf0\x9f\x94\x91"},
    {"\xff", "%FF"},
    {"\xc3", "%C3"},
    {"\xc3\xc3\xa9", "%C3\xc3\xa9"},
    {"\xc0\xaf", "%C0%AF"},                     /* overlong '/' */
    {"\xed\xa0\x80", "%ED%A0%80"},              /* surrogate */
    {"\xf4\x90\x80\x80", "%F4%90%80%80"},       /* above U+10FFFF */
    {"db#3", "db#3"},
    {"a*b?", "a*b?"},
};

/* What hush_name_show() makes of nothing. */
static const char *const not_shown[] = {
    "", ".", "..", ".hushfs", ".hushfsx", ".json", ".value", "a/b", "%2F", "%2f", "%41", "%2e", "%0a",
    "%00", "%%", "a%", "a%2", "%zz", "a%zz", "%C3%A9", "\xff", "a\nb", "%2E%2E", ".%2E", "%2Ea", "%25%",
};
/* clang-format on */

static void shows_and_reads_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(pairs); i++) {
        char shown[HUSH_NAME_MAX + 1] = "", raw[HUSH_NAME_MAX + 1] = "x";
        const size_t size = hush_name_show(pairs[i].raw, strlen(pairs[i].raw), shown);
        assert_string_equal(shown, pairs[i].shown);
        assert_int_equal(size, strlen(pairs[i].shown));
        assert_true(hush_name_raw(pairs[i].shown, raw));
        assert_string_equal(raw, pairs[i].raw);
    }
}

static void refuses_what_is_not_canonical(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(not_shown); i++) {
        char raw[HUSH_NAME_MAX + 1] = "untouched";
        if (hush_name_raw(not_shown[i], raw))
            fail_msg("'%s' was read as '%s'", not_shown[i], raw);
        assert_string_equal(raw, "untouched");
    }
}

static void refuses_slash_and_nul(void **state)
{
    char shown[HUSH_NAME_MAX + 1] = "untouched";

    (void)state;
    assert_int_equal(hush_name_show("a/b", 3, shown), 0);
    assert_int_equal(hush_name_show("a\0b", 3, shown), 0);
    assert_string_equal(shown, "untouched");
}

static void knows_the_longest_name(void **state)
{
    char raw[HUSH_NAME_MAX + 2], shown[HUSH_NAME_MAX + 1], again[HUSH_NAME_MAX + 1];

    (void)state;
    memset(raw, 'a', sizeof(raw));
    assert_int_equal(hush_name_show(raw, HUSH_NAME_MAX, shown), HUSH_NAME_MAX);
    assert_true(hush_name_raw(shown, again));
    assert_memory_equal(again, raw, HUSH_NAME_MAX);
    assert_int_equal(hush_name_show(raw, HUSH_NAME_MAX + 1, shown), 0);
    /* 85 escapes fit, one byte more does not. */
    memset(raw, '%', 86);
    assert_int_equal(hush_name_show(raw, 85, shown), 255);
    assert_true(hush_name_raw(shown, again));
    assert_int_equal(hush_name_show(raw, 86, shown), 0);
    memset(raw, 'a', 253);
    raw[253] = '%';
    assert_int_equal(hush_name_show(raw, 254, shown), 0);
}

/* Every raw name of two bytes: shown names are unique and read back. */
static void is_reversible_for_all_pairs_of_bytes(void **state)
{
    (void)state;
    for (unsigned first = 1; first < 256; first++) {
        for (unsigned second = 1; second < 256; second++) {
            const char raw[3] = {(char)first, (char)second, '\0'};
            char shown[HUSH_NAME_MAX + 1], again[HUSH_NAME_MAX + 1];
            if (first == '/' || second == '/') {
                assert_int_equal(hush_name_show(raw, 2, shown), 0);
                continue;
            }
            assert_int_not_equal(hush_name_show(raw, 2, shown), 0);
            assert_true(hush_name_raw(shown, again));
            assert_string_equal(again, raw);
        }
    }
}

static void splits_versions(void **state)
{
    char name[HUSH_NAME_MAX + 1], version[64], longest[80] = "a#";

    (void)state;
    assert_true(hush_name_split_version("db#3", name, version));
    assert_string_equal(name, "db");
    assert_string_equal(version, "3");
    assert_true(hush_name_split_version("a#b#AWSPREVIOUS", name, version));
    assert_string_equal(name, "a#b");
    assert_string_equal(version, "AWSPREVIOUS");
    assert_false(hush_name_split_version("db", name, version));
    assert_false(hush_name_split_version("#3", name, version));
    assert_false(hush_name_split_version("db#", name, version));
    memset(longest + 2, '1', 63);
    assert_true(hush_name_split_version(longest, name, version));
    assert_int_equal(strlen(version), 63);
    longest[65] = '1';
    assert_false(hush_name_split_version(longest, name, version));
}

static void maps_whole_paths(void **state)
{
    static const struct pair paths[] = {
        {"a", "a"},    {"a/b", "a/b"}, {"a//b", "a/%/b"},      {"/a", "%/a"},
        {"a/", "a/%"}, {"", "%"},      {"a/../b", "a/%2E./b"}, {"a/%/.json", "a/%25/%2Ejson"},
    };
    char out[64];

    (void)state;
    for (size_t i = 0; i < COUNT(paths); i++) {
        assert_true(hush_path_show(paths[i].raw, out, sizeof(out)));
        assert_string_equal(out, paths[i].shown);
        assert_true(hush_path_raw(paths[i].shown, out, sizeof(out)));
        assert_string_equal(out, paths[i].raw);
    }
    assert_false(hush_path_raw("a//b", out, sizeof(out)));
    assert_false(hush_path_raw("/a", out, sizeof(out)));
    assert_false(hush_path_raw("a/../b", out, sizeof(out)));
    assert_false(hush_path_raw("", out, sizeof(out)));
}

static void paths_need_room(void **state)
{
    char out[8] = "before";

    (void)state;
    assert_false(hush_path_show("abc/defg", out, sizeof(out)));
    assert_false(hush_path_show("abc/def", out, 7));
    assert_true(hush_path_show("abc/def", out, 8));
    assert_string_equal(out, "abc/def");
    assert_false(hush_path_show("a", out, 0));
    assert_false(hush_path_show("a", out, 1));
}

static void knows_utf8(void **state)
{
    (void)state;
    assert_int_equal(hush_utf8_sequence("", 0), 0);
    assert_int_equal(hush_utf8_sequence("a", 1), 1);
    assert_int_equal(hush_utf8_sequence("\xdf\xbf", 2), 2);
    assert_int_equal(hush_utf8_sequence("\xef\xbf\xbf", 3), 3);
    assert_int_equal(hush_utf8_sequence("\xf4\x8f\xbf\xbf", 4), 4);
    assert_int_equal(hush_utf8_sequence("\xe2\x82\xac", 2), 0);
    assert_int_equal(hush_utf8_sequence("\xc1\xbf", 2), 0);
    assert_int_equal(hush_utf8_sequence("\xe0\x9f\xbf", 3), 0);
    assert_int_equal(hush_utf8_sequence("\xe2\x82\x20", 3), 0);
    assert_int_equal(hush_utf8_sequence("\xf5\x80\x80\x80", 4), 0);
    assert_int_equal(hush_utf8_sequence("\x80", 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_and_reads_back),
        cmocka_unit_test(refuses_what_is_not_canonical),
        cmocka_unit_test(refuses_slash_and_nul),
        cmocka_unit_test(knows_the_longest_name),
        cmocka_unit_test(is_reversible_for_all_pairs_of_bytes),
        cmocka_unit_test(splits_versions),
        cmocka_unit_test(maps_whole_paths),
        cmocka_unit_test(paths_need_room),
        cmocka_unit_test(knows_utf8),
    };

    return cmocka_run_group_tests_name("name", tests, NULL, NULL);
}
