/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_reference.c - {vault://…} references. The rows are those of Kong's own tests and
 * documentation (kong/spec/01-unit/23-vaults_spec.lua, developer.konghq.com), and then where
 * reference.h differs.
 */
#include "reference.h"

#include "unit.h"

#include <string.h>

struct row {
    const char *text, *prefix, *resource, *key, *version;
    const char *options; /* "a=1,b=2" */
};

/* clang-format off */
static const struct row rows[] = {
    {"{vault://env/test}", "env", "test", NULL, NULL, ""},
    {"{vault://env/test-secret/test-key}", "env", "test-secret", "test-key", NULL, ""},
    {"{vault://env/test%3Asecret/test%3Akey}", "env", "test:secret", "test:key", NULL, ""},
    {"{vault://env//////test-secret//////test-key}", "env", "test-secret", "test-key", NULL, ""},
    {"{vault://env/test-secret/test-key/}", "env", "test-secret/test-key", NULL, NULL, ""},
    {"{vault://env//////test-secret//////test-key//////}", "env", "test-secret/test-key", NULL, NULL, ""},
    {"{vault://env/test?opt1=val1&opt2=val2}", "env", "test", NULL, NULL, "opt1=val1,opt2=val2"},
    {"{vault://env/test#1}", "env", "test", NULL, "1", ""},
    {"{vault://env/cert/key?prefix=SSL_#1}", "env", "cert", "key", "1", "prefix=SSL_"},
    {"{vault://hcv/customer/acme/name}", "hcv", "customer/acme", "name", NULL, ""},
    {"{vault://aws/%2Fsecret/key}", "aws", "/secret", "key", NULL, ""},
    {"{vault://aws/secret/path/%2Faaa/key}", "aws", "secret/path//aaa", "key", NULL, ""},
    {"{vault://conjur-vault/BotApp%2FsecretVar}", "conjur-vault", "BotApp/secretVar", NULL, NULL, ""},
    {"{vault://conjur-vault/BotApp/secretVar}", "conjur-vault", "BotApp", "secretVar", NULL, ""},
    /* Where we differ: decoded once, '+' is a plus, ';' a character, versions are labels too. */
    {"{vault://aws/a+b}", "aws", "a+b", NULL, NULL, ""},
    {"{vault://aws/a%2Bb}", "aws", "a+b", NULL, NULL, ""},
    {"{vault://aws/a%252Bb}", "aws", "a%2Bb", NULL, NULL, ""},
    {"{vault://aws/a;b/c}", "aws", "a;b", "c", NULL, ""},
    {"{vault://azure/db#0123abcdef}", "azure", "db", NULL, "0123abcdef", ""},
    {"{vault://aws/db#AWSPREVIOUS}", "aws", "db", NULL, "AWSPREVIOUS", ""},
    {"{vault://env/a%23b%3Fc}", "env", "a#b?c", NULL, NULL, ""},
    {"{vault://my.prod_1/a}", "my.prod_1", "a", NULL, NULL, ""},
    {"{vault://env/a?}", "env", "a", NULL, NULL, ""},
    {"{vault://env/a?flag}", "env", "a", NULL, NULL, "flag="},
    {"{vault://env/a?x=b%26c+d&y=}", "env", "a", NULL, NULL, "x=b&c+d,y="},
    {"{vault://env/a?url=https://h/p?q}", "env", "a", NULL, NULL, "url=https://h/p?q"},
    {"{vault://env/a}b}", "env", "a}b", NULL, NULL, ""},
    {"{vault://env/...}", "env", "...", NULL, NULL, ""},
};

static const struct {
    const char *text, *error;
} refused[] = {
    {"{vault://env}", "reference url is missing path [{vault://env}]"},
    {"{vault://env/}", "reference url has empty path [{vault://env/}]"},
    {"{vault://env/////}", "reference url has invalid path [{vault://env/////}]"},
    {"{vault://env?a=b}", "reference url is missing path"},
    {"{vault://env/?a=b}", "reference url has empty path"},
    {"{vault://}", "reference url is missing host"},
    {"{vault:///a}", "reference url is missing host"},
    {"{vault://user@env/a}", "reference url has invalid host"},
    {"{vault://env:8080/a}", "reference url has invalid host"},
    {"{vault://Env/a}", "reference url has invalid host"},
    {"{vault://-env/a}", "reference url has invalid host"},
    {"{vault://env/a#}", "has invalid version"},
    {"{vault://env/a#-1}", "has invalid version"},
    {"{vault://env/a#1 2}", "has invalid version"},
    {"{vault://env/a#1#2}", "has invalid version"},
    {"{vault://env/a#0123456789012345678901234567890123456789012345678901234567890123}", "has invalid version"},
    {"{vault://env/a%}", "has an invalid '%' escape"},
    {"{vault://env/a%4}", "has an invalid '%' escape"},
    {"{vault://env/a%zz}", "has an invalid '%' escape"},
    {"{vault://env/a%00b}", "has an invalid '%' escape"},
    {"{vault://env/a?x=%zz}", "has an invalid '%' escape in an option"},
    {"{vault://env/a?=x}", "has an option with an invalid name"},
    {"{vault://env/a?x y=1}", "has an option with an invalid name"},
    {"{vault://env/a?x=1&x=2}", "has an option twice"},
    {"{vault://env/./a}", "has '.' or '..' as a name"},
    {"{vault://env/../a}", "has '.' or '..' as a name"},
    {"{vault://env/%2E%2E/a}", "has '.' or '..' as a name"},
    {"{vault://env/a%2F..%2Fb}", "has '.' or '..' as a name"},
    {"{vault://env/a", "does not have the form"},
    {"vault://env/a", "does not have the form"},
    {" {vault://env/a}", "does not have the form"},
    {"{vault://env/a} ", "does not have the form"},
    {"{VAULT://env/a}", "does not have the form"},
    {"Bearer {vault://env/a}", "does not have the form"},
    {"", "does not have the form"},
    {"}", "does not have the form"},
};
/* clang-format on */

static void assert_text(const char *is, const char *expected)
{
    if (expected == NULL)
        assert_null(is);
    else
        assert_string_equal(is, expected);
}

static void reads_references(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct hush_reference ref = {0};
        char error[160] = "", options[160] = "";

        assert_true(hush_reference_is(rows[i].text));
        if (!hush_reference_parse(rows[i].text, &ref, error))
            fail_msg("%s", error);
        assert_text(ref.prefix, rows[i].prefix);
        assert_text(ref.resource, rows[i].resource);
        assert_text(ref.key, rows[i].key);
        assert_text(ref.version, rows[i].version);
        for (size_t j = 0; j < ref.option_count; j++) {
            const size_t used = strlen(options);
            (void)snprintf(options + used, sizeof(options) - used, "%s%s=%s", j == 0 ? "" : ",",
                           ref.options[j].name, ref.options[j].value);
        }
        assert_string_equal(options, rows[i].options);
        hush_reference_clear(&ref);
        assert_null(ref.prefix);
    }
}

static void refuses_what_is_none(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(refused); i++) {
        struct hush_reference ref = {.option_count = 77};
        char error[160] = "";

        if (hush_reference_parse(refused[i].text, &ref, error))
            fail_msg("'%s' was read", refused[i].text);
        if (strstr(error, refused[i].error) == NULL)
            fail_msg("'%s' gives '%s'", refused[i].text, error);
        assert_int_equal(ref.option_count, 77); /* written on success only */
    }
}

static void bounds_what_it_keeps(void **state)
{
    struct hush_reference ref;
    char error[160];
    char *text = malloc(8192);

    (void)state;
    assert_non_null(text);
    (void)snprintf(text, 8192, "{vault://env/%0*d/}", 2048, 0);
    assert_true(hush_reference_parse(text, &ref, error));
    assert_int_equal(strlen(ref.resource), 2048);
    hush_reference_clear(&ref);
    (void)snprintf(text, 8192, "{vault://env/%0*d/}", 2049, 0);
    assert_false(hush_reference_parse(text, &ref, error));
    assert_int_equal(strlen(error), 159); /* cut, and still a string */
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_references),
        cmocka_unit_test(refuses_what_is_none),
        cmocka_unit_test(bounds_what_it_keeps),
    };

    return cmocka_run_group_tests_name("reference", tests, NULL, NULL);
}
