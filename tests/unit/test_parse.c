/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_parse.c - the parsers of option.h and url.h against good and bad texts.
 */
#include "core/option.h"
#include "core/url.h"
#include "unit.h"

static const struct {
    const char *text;
    uint64_t max, value;
} numbers_good[] = {
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
} numbers_bad[] = {
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

static void numbers(void **state)
{
    uint64_t value = 42;

    (void)state; /* none */
    for (size_t i = 0; i < COUNT(numbers_bad); i++)
        assert_false(hush_parse_u64(numbers_bad[i].text, numbers_bad[i].max, &value));
    assert_int_equal(value, 42); /* written on success only */
    for (size_t i = 0; i < COUNT(numbers_good); i++) {
        assert_true(hush_parse_u64(numbers_good[i].text, numbers_good[i].max, &value));
        assert_int_equal(value, numbers_good[i].value);
    }
}

static const struct {
    const char *text;
    uint32_t value_ms;
} durations_good[] = {
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
static const char *const durations_bad[] = {
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

static void durations(void **state)
{
    uint32_t value_ms = 42;

    (void)state; /* none */
    for (size_t i = 0; i < COUNT(durations_bad); i++)
        assert_false(hush_parse_duration_ms(durations_bad[i], &value_ms));
    assert_int_equal(value_ms, 42);
    for (size_t i = 0; i < COUNT(durations_good); i++) {
        assert_true(hush_parse_duration_ms(durations_good[i].text, &value_ms));
        assert_int_equal(value_ms, durations_good[i].value_ms);
    }
}

static const struct {
    const char *text;
    uint64_t value;
} sizes_good[] = {
    {"0", 0},
    {"1", 1},
    {"64k", 65536},
    {"16M", 16777216},
    {"1G", 1073741824},
    {"18446744073709551615", UINT64_MAX},
    {"17179869183G", UINT64_C(17179869183) << 30},
};
static const char *const sizes_bad[] = {
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

static void sizes(void **state)
{
    uint64_t value = 42;

    (void)state; /* none */
    for (size_t i = 0; i < COUNT(sizes_bad); i++)
        assert_false(hush_parse_size(sizes_bad[i], &value));
    assert_int_equal(value, 42);
    for (size_t i = 0; i < COUNT(sizes_good); i++) {
        assert_true(hush_parse_size(sizes_good[i].text, &value));
        assert_int_equal(value, sizes_good[i].value);
    }
}

static const char *const booleans_yes[] = {"yes", "true", "on", "1"}, *const booleans_no[] = {
                                                                          "no", "false", "off",
                                                                          "0"};
static const char *const booleans_bad[] = {"",  "y",  "n",    "Yes",  "TRUE",
                                           "2", "01", "yes ", " yes", "enabled"};

static void booleans(void **state)
{
    bool value = true;

    (void)state; /* none */
    for (size_t i = 0; i < COUNT(booleans_bad); i++)
        assert_false(hush_parse_bool(booleans_bad[i], &value));
    assert_true(value);
    for (size_t i = 0; i < COUNT(booleans_yes); i++) {
        value = false;
        assert_true(hush_parse_bool(booleans_yes[i], &value) && value);
        assert_true(hush_parse_bool(booleans_no[i], &value) && !value);
    }
}

static const struct {
    const char *text;
    uint32_t value;
} modes_good[] = {{"0", 0}, {"7", 7}, {"0400", 0400}, {"640", 0640}, {"0777", 0777}, {"777", 0777}};
static const char *const modes_bad[] = {"",     "8",    "0800",  "1000", "1777", "4755", "00640",
                                        "-640", "u=rw", "0x1ff", "640 ", " 640", "0o640"};

static void modes(void **state)
{
    uint32_t value = 42;

    (void)state; /* none */
    for (size_t i = 0; i < COUNT(modes_bad); i++)
        assert_false(hush_parse_mode(modes_bad[i], &value));
    assert_int_equal(value, 42);
    for (size_t i = 0; i < COUNT(modes_good); i++) {
        assert_true(hush_parse_mode(modes_good[i].text, &value));
        assert_int_equal(value, modes_good[i].value);
    }
}

static const char *const urls_good[] = {
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
static const char *const urls_bad[] = {
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
    "https://vault.example/a\\b",
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

static void urls(void **state)
{
    char *longest = calloc(1, 1024);

    (void)state; /* none */
    for (size_t i = 0; i < COUNT(urls_good); i++)
        assert_null(hush_url_fault(urls_good[i]));
    for (size_t i = 0; i < COUNT(urls_bad); i++)
        assert_non_null(hush_url_fault(urls_bad[i]));
    (void)snprintf(longest, 1024, "https://%0253d/", 1);
    assert_null(hush_url_fault(longest));
    (void)snprintf(longest, 1024, "https://%0254d/", 1);
    assert_non_null(hush_url_fault(longest));
    free(longest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),  cmocka_unit_test(durations), cmocka_unit_test(sizes),
        cmocka_unit_test(booleans), cmocka_unit_test(modes),     cmocka_unit_test(urls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
