/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_env.c - the env provider: which variable a name means, which names a listing shows, what is
 * said when there is none. That it keeps the contract of all providers is tests/contract's to show.
 */
#include "call.h"
#include "core/arena.h"
#include "core/environ.h"
#include "unit.h"

#include <string.h>

enum { ENTRIES_MAX = 32, ARENA_SIZE = 1 << 20 };

struct fixture {
    struct hush_arena *arena;
    struct hush_environ *env;
    struct hush_provider *provider;
    enum hush_status opened;
    struct hush_op op;
};

static struct hush_environ *environ_of(const char *const *entries)
{
    char *copies[ENTRIES_MAX + 1] = {NULL}, *list[ENTRIES_MAX + 1] = {NULL};
    char **saved = environ;
    struct hush_environ *env;
    size_t count = 0;
    int fd;

    for (; entries[count] != NULL; count++)
        list[count] = copies[count] = strdup(entries[count]);
    environ = list; /* capturing empties it */
    fd = hush_environ_capture();
    environ = saved;
    for (size_t i = 0; i < count; i++)
        free(copies[i]);
    assert_true(fd >= 0);
    env = hush_environ_map(fd);
    close(fd);
    assert_non_null(env);
    return env;
}

/* entries NULL: no environment at all. prefix NULL: not set. */
static void begin(struct fixture *f, const char *const *entries, const char *prefix)
{
    const struct hush_provider_ops *ops = hush_provider_find("env");

    f->arena = hush_arena_new(ARENA_SIZE);
    assert_non_null(f->arena);
    f->env = entries != NULL ? environ_of(entries) : NULL;
    f->provider = hush_provider_new(ops, "test", f->env);
    assert_non_null(f->provider);
    if (prefix != NULL) {
        char error[160];

        assert_true(
            hush_option_set(hush_option_find(ops->options, "prefix"), f->provider, prefix, error));
    }
    hush_op_init(&f->op, f->arena, 1000);
    f->opened = hush_provider_open(f->provider, &f->op);
}

static void end(struct fixture *f)
{
    assert_int_equal(hush_arena_usage(f->arena).blocks, 0);
    hush_provider_free(f->provider);
    hush_environ_free(f->env);
    hush_arena_free(f->arena);
}

/* The value, or NULL with the reason in f->op. */
static const char *get(struct fixture *f, const char *name, const char *version)
{
    static char text[64];
    const struct hush_version none = {""};
    struct hush_ref ref = {.path = name};
    struct hush_value value = {0};
    enum hush_status status;
    size_t size;

    (void)snprintf(ref.version.text, sizeof(ref.version.text), "%s", version);
    hush_op_init(&f->op, f->arena, 1000);
    status = f->provider->ops->fetch(f->provider, &f->op, &ref, &none, &value);
    if (status != HUSH_OK) {
        assert_int_equal(status, HUSH_NOT_FOUND);
        return NULL;
    }
    size = hush_secret_size(value.secret);
    assert_int_equal(strlen(value.meta.version.text), 1);
    assert_true(2 + size < sizeof(text));
    (void)snprintf(text, sizeof(text), "%c:", value.meta.version.text[0]);
    memcpy(text + 2, hush_secret_bytes(value.secret), size);
    text[2 + size] = '\0';
    hush_value_clear(&value);
    return text;
}

/* -- Names ------------------------------------------------------------------------------------- */

static void test_mapping(void **state)
{
    static const char *const entries[] = {
        "MY_SECRET_VALUE=a",
        "PG_CREDS={\"username\":\"user\"}",
        "APP_DB_PASSWORD=b",
        "A.B=c",
        "A/B=d",
        "lower=e",
        "_X=f",
        "DÄ=g",
        "APP_=h",
        NULL,
    };
    /* clang-format off */
    static const struct { const char *prefix, *name, *value; } rows[] = {
        {NULL,       "my-secret-value",    "1:a"},
        {NULL,       "my_secret_value",    "1:a"},
        {NULL,       "My-Secret_VALUE",    "1:a"},
        {NULL,       "MY_SECRET_VALUE",    "1:a"},
        {NULL,       "pg-creds",           "1:{\"username\":\"user\"}"},
        {NULL,       "app-db-password",    "1:b"},
        {"app_",     "db-password",        "1:b"},
        {"APP_",     "db-password",        "1:b"},
        {"app-",     "db_password",        "1:b"},
        {"app",      "-db-password",       "1:b"},
        {"APP_",     "app-db-password",    NULL}, /* the prefix is not taken twice */
        {NULL,       "a.b",                "1:c"}, /* '.' and '/' are not mapped */
        {NULL,       "a-b",                NULL},
        {NULL,       "a/b",                "1:d"},
        {NULL,       "lower",              NULL},  /* no name maps to lower case */
        {NULL,       "-x",                 "1:f"},
        {NULL,       "dÄ",                 "1:g"}, /* bytes beyond ASCII stay */
        {NULL,       "dä",                 NULL},
        {NULL,       "app-",               "1:h"},
        {"APP_",     "",                   NULL},  /* a prefix alone is no name */
        {NULL,       "my-secret-value=a",  NULL},
    };
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fixture f;
        const char *value;

        begin(&f, entries, rows[i].prefix);
        value = get(&f, rows[i].name, "");
        if (rows[i].value == NULL)
            assert_null(value);
        else
            assert_string_equal(value, rows[i].value);
        end(&f);
    }
}

static void test_versions(void **state)
{
    static const char *const entries[] = {
        "TOKEN=new", "TOKEN_PREVIOUS=old", "ALONE=x", "GONE_PREVIOUS=y", "NONE=", NULL};
    /* clang-format off */
    static const struct { const char *name, *version, *value; } rows[] = {
        {"token", "",  "1:new"}, {"token", "1", "1:new"},
        {"token", "2", "2:old"}, {"token", "previous", "2:old"},
        {"token", "3", NULL},    {"token", "0", NULL},       {"token", "PREVIOUS", NULL},
        {"alone", "2", NULL},    {"gone",  "",  NULL},       {"gone",  "2", "2:y"},
        {"token-previous", "", "1:old"},
        {"none", "", "1:"}, /* set but empty: a secret of size 0 */
    };
    /* clang-format on */
    struct fixture f;

    (void)state;
    begin(&f, entries, NULL);
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *value = get(&f, rows[i].name, rows[i].version);

        if (rows[i].value == NULL)
            assert_null(value);
        else
            assert_string_equal(value, rows[i].value);
    }
    end(&f);
}

/* In a mount rules go by names: what they are written for is the only way to a variable. */
static void test_exact_names(void **state)
{
    static const char *const entries[] = {"TOKEN_A=new", "TOKEN_A_PREVIOUS=old", "GONE_PREVIOUS=y",
                                          NULL};
    /* clang-format off */
    static const struct { const char *name, *version, *value; } rows[] = {
        {"token-a", "",  "1:new"},        {"token-a", "1", "1:new"},   {"token-a", "2", "2:old"},
        {"token_a", "",  NULL},           {"TOKEN-A", "",  NULL},      {"token-A", "2", NULL},
        {"token-a-previous", "", NULL},   {"token-a-previous", "1", NULL},
        {"gone-previous", "", "1:y"},     {"gone", "2", NULL},         {"GONE-PREVIOUS", "", NULL},
    };
    /* clang-format on */
    struct fixture f;

    (void)state;
    begin(&f, entries, NULL);
    f.provider->exact_names = true;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *value = get(&f, rows[i].name, rows[i].version);

        if (rows[i].value == NULL)
            assert_null(value);
        else
            assert_string_equal(value, rows[i].value);
    }
    assert_null(get(&f, "TOKEN-A", ""));
    assert_non_null(strstr(f.op.detail, "'TOKEN_A' is not shown by this name"));
    end(&f);
}

/* The usual mistakes must be seen in the reason: which variable it was, and that there is a prefix.
 */
static void test_reasons(void **state)
{
    static const char *const entries[] = {"SECRETS_PASSWORD=x", NULL};
    struct fixture f;

    (void)state;
    begin(&f, entries, "secrets-");
    assert_null(get(&f, "secrets-password", ""));
    assert_non_null(strstr(f.op.detail, "'SECRETS_SECRETS_PASSWORD'"));
    assert_non_null(strstr(f.op.detail, "'secrets-'"));
    assert_null(get(&f, "password", "2"));
    assert_non_null(strstr(f.op.detail, "'SECRETS_PASSWORD_PREVIOUS'"));
    assert_null(get(&f, "password", "7"));
    assert_non_null(strstr(f.op.detail, "version"));
    end(&f);
    begin(&f, entries, NULL);
    assert_null(get(&f, "password", ""));
    assert_non_null(strstr(f.op.detail, "'PASSWORD'"));
    assert_null(strstr(f.op.detail, "prefix"));
    end(&f);
}

static void test_prefix(void **state)
{
    /* clang-format off */
    static const struct { const char *prefix; bool valid; } rows[] = {
        {"A", true}, {"z_", true}, {"_", true}, {"_9-", true}, {"MY-APP_2_", true},
        {"-A", false}, {"9A", false}, {"A B", false}, {"A.", false}, {"A=", false}, {"Ä", false},
        {"A/", false},
    };
    /* clang-format on */
    static const char *const entries[] = {NULL};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fixture f;

        begin(&f, entries, rows[i].prefix);
        assert_int_equal(f.opened, rows[i].valid ? HUSH_OK : HUSH_CONFIG);
        assert_int_equal(f.op.detail[0] == '\0', rows[i].valid);
        end(&f);
    }
}

/* -- Listing ----------------------------------------------------------------------------------- */

static enum hush_status collect(void *ctx, const struct hush_entry *entry)
{
    char *text = ctx;
    const size_t used = strlen(text);

    assert_int_equal(entry->kind, HUSH_KIND_SECRET);
    (void)snprintf(text + used, 256 - used, "%s ", entry->name);
    return HUSH_OK;
}

static void test_listing(void **state)
{
    /* clang-format off */
    static const char *const entries[] = {
        "APP_DB_PASSWORD=1", "lower=2",       "Mixed=3",            "A-B=4",  /* no name reaches these three */
        "APP_TOKEN=5",       "APP_TOKEN_PREVIOUS=6", "OTHER=7",
        "GONE_PREVIOUS=8",   "APP_=9",        "A/B=10",             "PLAIN.X=11",
        "APP=12",            "APP_PREVIOUS=13", "APPLE=14",          NULL,
    };
    static const struct { const char *prefix, *names; } rows[] = {
        {NULL,    "app-db-password app-token other gone-previous app- plain.x app apple "},
        {"APP_",  "db-password token previous "}, /* APP is not below APP_ */
        {"app-",  "db-password token previous "},
        {"APP",   "-db-password -token - -previous le "},
        {"NOPE_", ""},
    };
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char names[256] = "";
        struct fixture f;

        begin(&f, entries, rows[i].prefix);
        assert_int_equal(f.provider->ops->list(f.provider, &f.op, "", collect, names), HUSH_OK);
        assert_string_equal(names, rows[i].names);
        end(&f);
    }
}

static void test_listed_versions(void **state)
{
    static const char *const entries[] = {"TOKEN=new", "TOKEN_PREVIOUS=old", "ALONE=x", NULL};
    char names[256] = "";
    struct fixture f;

    (void)state;
    begin(&f, entries, NULL);
    assert_int_equal(f.provider->ops->versions(f.provider, &f.op, "token", collect, names),
                     HUSH_OK);
    assert_string_equal(names, "1 2 ");
    names[0] = '\0';
    assert_int_equal(f.provider->ops->versions(f.provider, &f.op, "alone", collect, names),
                     HUSH_OK);
    assert_string_equal(names, "1 ");
    end(&f);
}

static void test_no_environment(void **state)
{
    char names[256] = "";
    struct fixture f;

    (void)state;
    begin(&f, NULL, NULL);
    assert_null(get(&f, "path", ""));
    assert_int_equal(f.provider->ops->list(f.provider, &f.op, "", collect, names), HUSH_OK);
    assert_string_equal(names, "");
    end(&f);
}

/* Only what was captured counts: never the process's own environment. */
static void test_not_the_process(void **state)
{
    static const char *const entries[] = {"CAPTURED=1", NULL};
    struct fixture f;

    (void)state;
    assert_int_equal(setenv("HUSH_TEST_LATER", "x", 1), 0);
    begin(&f, entries, NULL);
    assert_null(get(&f, "hush-test-later", ""));
    assert_string_equal(get(&f, "captured", ""), "1:1");
    end(&f);
    unsetenv("HUSH_TEST_LATER");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mapping),         cmocka_unit_test(test_versions),
        cmocka_unit_test(test_exact_names),     cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_prefix),          cmocka_unit_test(test_listing),
        cmocka_unit_test(test_listed_versions), cmocka_unit_test(test_no_environment),
        cmocka_unit_test(test_not_the_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
