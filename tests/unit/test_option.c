/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_option.c - every parser against good and bad texts, tables, and that what is printed reads
 * back the same.
 */
#include "core/option.h"
#include "core/url.h"
#include "unit.h"

#include <limits.h>
#include <pwd.h>
#include <string.h>

/* -- The parsers ---------------------------------------------------------------------------------
 */

static void numbers(void **state)
{
    static const struct {
        const char *text;
        uint64_t max, value;
    } good[] = {
        {"0", 0, 0},
        {"7", 7, 7},
        {"007", 7, 7},
        {"10", 10, 10},
        {"4294967295", UINT32_MAX, UINT32_MAX},
        {"18446744073709551615", UINT64_MAX, UINT64_MAX},
    };
    static const struct {
        const char *text;
        uint64_t max;
    } bad[] = {
        {"", 10},
        {"1", 0},
        {"8", 7},
        {"11", 10},
        {"4294967296", UINT32_MAX},
        {" 5", 10},
        {"5 ", 10},
        {"+5", 10},
        {"-1", 10},
        {"18446744073709551616", UINT64_MAX},
        {"0x10", 99},
        {"1e3", 9999},
        {"1.0", 10},
        {"5\n", 10},
        {"99999999999999999999", UINT64_MAX},
        {"a", 10},
        {"1,000", 9999},
        {"\xd9\xa1", 10},
    };
    uint64_t value = 42;

    (void)state; /* none */
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(hush_parse_u64(bad[i].text, bad[i].max, &value));
    assert_int_equal(value, 42); /* written on success only */
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_true(hush_parse_u64(good[i].text, good[i].max, &value));
        assert_int_equal(value, good[i].value);
    }
}

static void durations(void **state)
{
    static const struct {
        const char *text;
        uint32_t value_ms;
    } good[] = {
        {"0", 0},
        {"0ms", 0},
        {"300", 300000},
        {"500ms", 500},
        {"30s", 30000},
        {"5m", 300000},
        {"2h", 7200000},
        {"1d", 86400000},
        {"49d", 4233600000},
        {"4294967295ms", UINT32_MAX},
        {"4294967", 4294967000},
    };
    static const char *const bad[] = {
        "",
        "1.5h",
        "-1",
        "-1s",
        " 5",
        "5 s",
        "5 ",
        "0x10",
        "s",
        "ms",
        "5S",
        "5M",
        "5H",
        "5D",
        "5sec",
        "5w",
        "1h30m",
        "1m ",
        "5ss",
        "+5",
        "50d",
        "1194h",
        "71583m",
        "4294968",
        "4294967296ms",
        "18446744073709551616ms",
        "213503982335d",
        "never",
        "inf",
    };
    uint32_t value_ms = 42;

    (void)state; /* none */
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(hush_parse_duration_ms(bad[i], &value_ms));
    assert_int_equal(value_ms, 42);
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_true(hush_parse_duration_ms(good[i].text, &value_ms));
        assert_int_equal(value_ms, good[i].value_ms);
    }
}

static void sizes(void **state)
{
    static const struct {
        const char *text;
        uint64_t value;
    } good[] = {
        {"0", 0},
        {"1", 1},
        {"64k", 65536},
        {"16M", 16777216},
        {"1G", 1073741824},
        {"18446744073709551615", UINT64_MAX},
        {"17179869183G", UINT64_C(17179869183) << 30},
    };
    static const char *const bad[] = {
        "",
        "k",
        "-1",
        "1K",
        "1m",
        "1g",
        "1T",
        "1kB",
        "1 k",
        " 1k",
        "1k ",
        "1.5M",
        "0x10",
        "18446744073709551616",
        "17179869184G",
        "18014398509481984k",
    };
    uint64_t value = 42;

    (void)state; /* none */
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(hush_parse_size(bad[i], &value));
    assert_int_equal(value, 42);
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_true(hush_parse_size(good[i].text, &value));
        assert_int_equal(value, good[i].value);
    }
}

static void booleans(void **state)
{
    static const char *const yes[] = {"yes", "true", "on", "1"}, *const no[] = {"no", "false",
                                                                                "off", "0"};
    static const char *const bad[] = {"",  "y",  "n",    "Yes",  "TRUE",
                                      "2", "01", "yes ", " yes", "enabled"};
    bool value = true;

    (void)state; /* none */
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(hush_parse_bool(bad[i], &value));
    assert_true(value);
    for (size_t i = 0; i < COUNT(yes); i++) {
        value = false;
        assert_true(hush_parse_bool(yes[i], &value) && value);
        assert_true(hush_parse_bool(no[i], &value) && !value);
    }
}

static void modes(void **state)
{
    static const struct {
        const char *text;
        uint32_t value;
    } good[] = {{"0", 0}, {"7", 7}, {"0400", 0400}, {"640", 0640}, {"0777", 0777}, {"777", 0777}};
    static const char *const bad[] = {"",     "8",    "0800",  "1000", "1777", "4755", "00640",
                                      "-640", "u=rw", "0x1ff", "640 ", " 640", "0o640"};
    uint32_t value = 42;

    (void)state; /* none */
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(hush_parse_mode(bad[i], &value));
    assert_int_equal(value, 42);
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_true(hush_parse_mode(good[i].text, &value));
        assert_int_equal(value, good[i].value);
    }
}

static void urls(void **state)
{
    static const char *const good[] = {
        "https://vault.example",
        "https://vault.example:8200",
        "https://vault.example:8200/v1/x?y=z#f",
        "HTTPS://Vault.Example/",
        "https://10.0.0.1:1",
        "https://[2001:db8::1]:65535/x",
        "https://a-b_c.d/",
        "https://vault.example/user@path",
        "https://vault.example?x=a@b",
        "http://localhost",
        "http://LOCALHOST:8200/",
        "http://127.0.0.1",
        "http://127.255.255.254:80/x",
        "http://[::1]",
        "http://[::1]:8200/x",
        "HTTP://127.0.0.1/",
    };
    static const char *const bad[] = {
        "",
        "vault.example",
        "//vault.example",
        "https:/vault.example",
        "https://",
        "https:///x",
        "https://:8200",
        "ftp://localhost",
        "file:///etc/shadow",
        "http://vault.example",
        "http://10.0.0.1",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "http://evil.example/127.0.0.1",
        "http://127.1",
        "http://127.0.0.256",
        "http://128.0.0.1",
        "http://0.0.0.0",
        "http://[::2]",
        "http://[::ffff:10.0.0.1]",
        "http://::1",
        "http://[::1",
        "http://[::1]x",
        "http://[::1]:",
        "http://[]/",
        "https://[127.0.0.1]",
        "https://[::1%25lo]/",
        "https://user:password@vault.example",
        "https://user@vault.example",
        "http://localhost:80@evil.example",
        "http://localhost@evil.example/",
        "http://localhost\\@evil.example",
        "http://evil.example\\@localhost",
        "https://vault.example:",
        "https://vault.example:0",
        "https://vault.example:65536",
        "https://vault.example:80a",
        "https://vault.example:80:80",
        "https://vault.example:000080",
        "https://vault.example:-1",
        "https://va ult.example",
        " https://vault.example",
        "https://vault.example ",
        "https://vault.example/\n",
        "https://v\xc3\xa4ult.example",
        "https://vault.example/\x7f",
        "https://va%75lt.example",
        "https://vault;x",
        "https://a,b/",
        "http://localhost%00.evil.example",
    };
    char *longest = calloc(1, 1024);

    (void)state; /* none */
    for (size_t i = 0; i < COUNT(good); i++)
        assert_null(hush_url_fault(good[i]));
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_non_null(hush_url_fault(bad[i]));
    (void)snprintf(longest, 1024, "https://%0253d/", 1);
    assert_null(hush_url_fault(longest));
    (void)snprintf(longest, 1024, "https://%0254d/", 1);
    assert_non_null(hush_url_fault(longest));
    free(longest);
}

/* -- Tables --------------------------------------------------------------------------------------
 */

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

static void what_is_printed_reads_back_the_same(void **state)
{
    static const struct {
        const char *name, *text, *printed;
    } values[] = {
        {"text", "any = text, \"quoted\" ", "any = text, \"quoted\" "},
        {"text", "", ""},
        {"wanted", "", ""},
        {"url", "https://vault.example:8200/x", "https://vault.example:8200/x"},
        {"url", "", ""},
        {"path", "/a/b c", "/a/b c"},
        {"key_file", "/run/key", "/run/key"},
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
    char error[160], first[64], second[64];

    (void)state; /* none */
    for (size_t i = 0; i < COUNT(values); i++) {
        const struct hush_option *row = hush_option_find(table, values[i].name);
        struct all all = {0};

        assert_true(set(&all, values[i].name, values[i].text, error));
        assert_ptr_equal(hush_option_text(row, &all, first, sizeof(first)), first);
        assert_string_equal(first, values[i].printed);
        assert_true(set(&all, values[i].name, first, error));
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
        {"key_file", "hunter2", "'key_file' must be an absolute path"},
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
    if (nobody == NULL)
        skip();
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
        cmocka_unit_test(numbers),
        cmocka_unit_test(durations),
        cmocka_unit_test(sizes),
        cmocka_unit_test(booleans),
        cmocka_unit_test(modes),
        cmocka_unit_test(urls),
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
