/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_option.c - tables: defaults, errors, and that what is printed reads back the same. The
 * parsers alone are in test_parse.c.
 */
#include "core/option.h"
#include "unit.h"

#include <limits.h>
#include <pwd.h>
#include <string.h>

struct all {
    char *text, *url, *path, *key_file, *wanted, *given;
    uint64_t memory;
    uint32_t count, ttl_ms, mode, as, owner, group;
    bool flag, last;
};

static const char *const as_choices[] = {"default", "file", "directory", NULL};

/* clang-format off */
static const struct hush_option table[] = {
    HUSH_OPTION(struct all, text,     STRING,      "",      "a text"),
    HUSH_OPTION(struct all, url,      URL,         "",      "a URL"),
    HUSH_OPTION(struct all, path,     PATH,        "",      "a path"),
    HUSH_OPTION(struct all, key_file, SECRET_FILE, "",      "a credential"),
    HUSH_OPTION(struct all, wanted,   STRING,      NULL,    "required"),
    HUSH_OPTION(struct all, given,    PATH,        "/etc",  "a path with a default"),
    HUSH_OPTION(struct all, memory,   SIZE,        "16M",   "a size"),
    HUSH_OPTION(struct all, count,    COUNT,       "4",     "a number"),
    HUSH_OPTION(struct all, ttl_ms,   DURATION,    "300",   "a duration"),
    HUSH_OPTION(struct all, mode,     MODE,        "0400",  "a mode"),
    HUSH_OPTION_CHOICE(struct all, as,             "file",  "a choice", as_choices),
    HUSH_OPTION(struct all, owner,    USER,        "root",  "a user"),
    HUSH_OPTION(struct all, group,    GROUP,       "0",     "a group"),
    HUSH_OPTION(struct all, flag,     BOOL,        "yes",   "a switch"),
    HUSH_OPTION(struct all, last,     BOOL,        "",      "another"),
    {0},
};
/* clang-format on */

static bool set(struct all *all, const char *name, const char *text, char error[160])
{
    const struct hush_option *row = hush_option_find(table, name);

    assert_non_null(row);
    return hush_option_set(row, all, text, error);
}

static void a_table_fills_in_its_defaults(void **state)
{
    struct all all = {0};

    (void)state; /* none */
    assert_true(hush_options_init(table, &all));
    assert_null(all.text);
    assert_null(all.url);
    assert_null(all.wanted);
    assert_string_equal(all.given, "/etc");
    assert_int_equal(all.memory, 16 << 20);
    assert_int_equal(all.count, 4);
    assert_int_equal(all.ttl_ms, 300000);
    assert_int_equal(all.mode, 0400);
    assert_int_equal(all.as, 1);
    assert_int_equal(all.owner, 0);
    assert_int_equal(all.group, 0);
    assert_true(all.flag);
    assert_false(all.last);
    hush_options_free(table, &all);
    assert_null(all.given);
}

static void a_wrong_default_is_found(void **state)
{
    static const struct hush_option wrong[] = {
        HUSH_OPTION(struct all, ttl_ms, DURATION, "soon", "wrong"),
        {0},
    };
    struct all all = {0};

    (void)state; /* none */
    assert_false(hush_options_init(wrong, &all));
}

static void rows_are_found_by_their_whole_name(void **state)
{
    (void)state; /* none */
    assert_ptr_equal(hush_option_find(table, "text"), &table[0]);
    assert_ptr_equal(hush_option_find(table, "last"), &table[COUNT(table) - 2]);
    assert_null(hush_option_find(table, "tex"));
    assert_null(hush_option_find(table, "textx"));
    assert_null(hush_option_find(table, ""));
}

static const struct {
    const char *name, *text, *printed;
} printed_values[] = {
    {"text", "any = text, \"quoted\" ", "any = text, \"quoted\" "},
    {"text", "", ""},
    {"wanted", "", ""},
    {"url", "https://vault.example:8200/x", "https://vault.example:8200/x"},
    {"url", "", ""},
    {"path", "/a/b c", "/a/b c"},
    {"key_file", "/run/key", "/run/key"},
    {"key_file", "store.jwk", "store.jwk"},
    {"memory", "0", "0"},
    {"memory", "1023", "1023"},
    {"memory", "2048k", "2M"},
    {"memory", "1024M", "1G"},
    {"count", "0", "0"},
    {"count", "4294967295", "4294967295"},
    {"ttl_ms", "0", "0"},
    {"ttl_ms", "1", "1s"},
    {"ttl_ms", "1500ms", "1500ms"},
    {"ttl_ms", "300", "5m"},
    {"ttl_ms", "90m", "90m"},
    {"ttl_ms", "48h", "2d"},
    {"ttl_ms", "4294967295ms", "4294967295ms"},
    {"mode", "7", "0007"},
    {"mode", "0777", "0777"},
    {"as", "directory", "directory"},
    {"as", "default", "default"},
    {"owner", "root", "0"},
    {"owner", "4294967294", "4294967294"},
    {"group", "1000", "1000"},
    {"flag", "off", "no"},
    {"flag", "1", "yes"},
};

static void what_is_printed_reads_back_the_same(void **state)
{
    char error[160], first[64], second[64];

    (void)state; /* none */
    for (size_t i = 0; i < COUNT(printed_values); i++) {
        const struct hush_option *row = hush_option_find(table, printed_values[i].name);
        struct all all = {0};

        assert_true(set(&all, printed_values[i].name, printed_values[i].text, error));
        assert_ptr_equal(hush_option_text(row, &all, first, sizeof(first)), first);
        assert_string_equal(first, printed_values[i].printed);
        assert_true(set(&all, printed_values[i].name, first, error));
        hush_option_text(row, &all, second, sizeof(second));
        assert_string_equal(second, first);
        hush_options_free(table, &all);
    }
}

static void unset_and_empty_strings_differ_where_they_can(void **state)
{
    struct all all = {0};
    char error[160], text[8];

    (void)state; /* none */
    assert_string_equal(hush_option_text(&table[0], &all, text, sizeof(text)), "");
    assert_true(set(&all, "text", "x", error));
    assert_true(set(&all, "text", "", error)); /* optional: unset again */
    assert_null(all.text);
    assert_true(set(&all, "wanted", "", error));
    assert_string_equal(all.wanted, "");
    assert_true(set(&all, "wanted", "second", error)); /* frees the first */
    assert_string_equal(all.wanted, "second");
    assert_false(set(&all, "given", "", error));
    hush_options_free(table, &all);
}

static void a_wrong_value_is_explained_without_repeating_it(void **state)
{
    static const struct {
        const char *name, *text, *error;
    } values[] = {
        {"url", "hunter2", "'url' must begin with https:// (or http:// and a loopback host)"},
        {"url", "https://hunter2:x@y", "'url' must not hold a user or a password"},
        {"path", "hunter2", "'path' must be an absolute path"},
        {"key_file", "a/hunter2",
         "'key_file' must be an absolute path, or the name of a systemd credential"},
        {"key_file", "..",
         "'key_file' must be an absolute path, or the name of a systemd credential"},
        {"given", "", "'given' must be an absolute path"},
        {"memory", "hunter2", "'memory' must be a number of bytes, such as 4096, 64k, 16M or 1G"},
        {"count", "hunter2", "'count' must be a decimal number, at most 4294967295"},
        {"count", "4294967296", "'count' must be a decimal number, at most 4294967295"},
        {"ttl_ms", "hunter2",
         "'ttl_ms' must be a duration such as 300, 500ms, 30s, 5m, 2h or 1d, at most 49d"},
        {"mode", "hunter2", "'mode' must be octal, at most 0777"},
        {"as", "hunter2", "'as' must be one of default, file, directory"},
        {"owner", "hunter2", "'owner' must be a user of this system, or a uid"},
        {"owner", "", "'owner' must be a user of this system, or a uid"},
        {"owner", "4294967295", "'owner' must be a user of this system, or a uid"},
        {"owner", "0x0", "'owner' must be a user of this system, or a uid"},
        {"group", "-1", "'group' must be a group of this system, or a gid"},
        {"flag", "hunter2", "'flag' must be yes or no"},
    };
    char error[160];

    (void)state; /* none */
    for (size_t i = 0; i < COUNT(values); i++) {
        struct all all = {0}, before = {0};

        assert_false(set(&all, values[i].name, values[i].text, error));
        assert_string_equal(error, values[i].error);
        assert_memory_equal(&all, &before, sizeof(all));
    }
}

static void a_path_has_a_longest(void **state)
{
    char *path = calloc(1, PATH_MAX + 1), error[160];
    struct all all = {0};

    (void)state; /* none */
    memset(path, '/', PATH_MAX);
    assert_false(set(&all, "path", path, error));
    path[PATH_MAX - 1] = '\0';
    assert_true(set(&all, "path", path, error));
    hush_options_free(table, &all);
    free(path);
}

static void many_choices_do_not_overrun_the_error(void **state)
{
    static const char *const many[] = {
        "one-choice-with-a-long-name",
        "two-choice-with-a-long-name",
        "three-choice-with-a-long-name",
        "four-choice-with-a-long-name",
        "five-choice-with-a-long-name",
        "six-choice-with-a-long-name",
        NULL,
    };
    static const struct hush_option row = HUSH_OPTION_CHOICE(struct all, as, "", "a choice", many);
    struct {
        char error[160], behind[16];
    } out;
    struct all all = {0};

    (void)state; /* none */
    memset(&out, 'x', sizeof(out));
    assert_false(hush_option_set(&row, &all, "seven", out.error));
    assert_int_equal(strnlen(out.error, sizeof(out.error)), 159);
    for (size_t i = 0; i < sizeof(out.behind); i++)
        assert_int_equal(out.behind[i], 'x');
}

static void users_are_found_by_name(void **state)
{
    const struct passwd *nobody = getpwnam("nobody");
    struct all all = {0};
    char error[160];
    uid_t uid;

    (void)state; /* none */
    if (nobody == NULL) {
        skip();
        return;
    }
    uid = nobody->pw_uid;
    assert_true(set(&all, "owner", "nobody", error));
    assert_int_equal(all.owner, uid);
    assert_true(set(&all, "group", "root", error));
    assert_int_equal(all.group, 0);
}

static void every_type_has_a_name(void **state)
{
    (void)state; /* none */
    for (int type = HUSH_OPT_STRING; type <= HUSH_OPT_GROUP; type++)
        assert_non_null(hush_option_type_text((enum hush_option_type)type));
    assert_string_equal(hush_option_type_text(HUSH_OPT_DURATION), "duration");
    assert_string_equal(hush_option_type_text(HUSH_OPT_PATH), "path");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_fills_in_its_defaults),
        cmocka_unit_test(a_wrong_default_is_found),
        cmocka_unit_test(rows_are_found_by_their_whole_name),
        cmocka_unit_test(what_is_printed_reads_back_the_same),
        cmocka_unit_test(unset_and_empty_strings_differ_where_they_can),
        cmocka_unit_test(a_wrong_value_is_explained_without_repeating_it),
        cmocka_unit_test(a_path_has_a_longest),
        cmocka_unit_test(many_choices_do_not_overrun_the_error),
        cmocka_unit_test(users_are_found_by_name),
        cmocka_unit_test(every_type_has_a_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
