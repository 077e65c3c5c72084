/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_config.c - configurations from text: what is refused, what is in force, and that what is
 * written reads back the same. Files are test_config_file.c's.
 */
#include "call.h"
#include "config.h"

#include "unit.h"

#include <string.h>

struct told {
    char text[16384]; /* "FILE:LINE: TEXT\n" of each error */
    unsigned count;
};

static void tell(void *ctx, const char *file, unsigned line, const char *text)
{
    struct told *told = ctx;
    const size_t used = strlen(told->text);

    told->count++;
    (void)snprintf(told->text + used, sizeof(told->text) - used, "%s:%u: %s\n", file, line, text);
}

static struct hush_config *parse(const char *text)
{
    struct told told = {0};
    struct hush_config *config = hush_config_parse(text, strlen(text), "x", tell, &told);

    if (config == NULL)
        fail_msg("%s", told.text);
    assert_int_equal(told.count, 0);
    return config;
}

static char *write_text(const struct hush_config *config)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    assert_true(hush_config_write(config, out));
    assert_int_equal(fclose(out), 0);
    return text;
}

static const char full[] = "# a comment\n"
                           "; another\n"
                           "  # and one more\n"
                           "[mount]\n"
                           "path = /run/secrets\n"
                           "user = 65534\n"
                           "allow_other = no\n"
                           "owner = 7\n"
                           "group = 8\n"
                           "mode = 0711\n"
                           "deadline = 2500ms\n"
                           "open = kernel\n"
                           "memory = 16M\n"
                           "\n"
                           "[provider/files]\r\n"
                           "type=file\r\n"
                           "root\t=\t/etc/a b#c;d=\"e\" \r\n"
                           "ttl = 60\n"
                           "base64_decode = yes\n"
                           "timeout = 7s\n"
                           "concurrency = 9\n"
                           "prefetch = on\n"
                           "as = directory\n"
                           "page_cache = yes\n"
                           "[provider/env]\n"
                           "type = env\n"
                           "prefix = APP_\n"
                           "[path/env/db-*]\n"
                           "group = 33\n"
                           "param.ttl = 5m\n"
                           "param.Ttl = =x=\n"
                           "[path/env/DB-*]\n"
                           "mode = 0440\n";

static void reads_every_key(void **state)
{
    struct hush_config *config = parse(full);
    const struct hush_instance_config *files = hush_config_instance(config, "files");
    const struct hush_instance_config *env = hush_config_instance(config, "env");

    (void)state;
    assert_string_equal(config->mount.path, "/run/secrets");
    assert_string_equal(config->mount.user, "65534");
    assert_false(config->mount.allow_other);
    assert_int_equal(config->mount.owner, 7);
    assert_int_equal(config->mount.group, 8);
    assert_int_equal(config->mount.mode, 0711);
    assert_int_equal(config->mount.deadline_ms, 2500);
    assert_int_equal(config->mount.open, HUSH_OPEN_KERNEL);
    assert_int_equal(config->mount.memory, 16 << 20);
    assert_int_equal(config->instance_count, 2);
    assert_ptr_equal(env, &config->instances[0]); /* sorted */
    assert_string_equal(files->ops->name, "file");
    assert_int_equal(files->option_count, 1);
    assert_string_equal(files->options[0].key, "root");
    assert_string_equal(files->options[0].value, "/etc/a b#c;d=\"e\"");
    assert_int_equal(files->settings.ttl_ms, 60000);
    assert_int_equal(files->settings.as, HUSH_AS_DIRECTORY);
    assert_true(files->settings.page_cache);
    assert_true(files->base64_decode);
    assert_true(files->prefetch);
    assert_int_equal(files->timeout_ms, 7000);
    assert_int_equal(files->concurrency, 9);
    assert_string_equal(files->file, "x");
    assert_int_equal(files->line, 15);
    assert_int_equal(config->rule_count, 2);
    hush_config_free(config);
}

static void has_defaults(void **state)
{
    struct hush_config *config = parse("[provider/e]\ntype = env\n");
    const struct hush_instance_config *e = &config->instances[0];

    (void)state;
    assert_null(config->mount.path);
    assert_string_equal(config->mount.user, "hushfs");
    assert_true(config->mount.allow_other);
    assert_int_equal(config->mount.mode, 0755);
    assert_int_equal(config->mount.deadline_ms, 5000);
    assert_int_equal(config->mount.open, HUSH_OPEN_CHECKED);
    assert_int_equal(config->mount.memory, 0);
    assert_int_equal(e->settings.ttl_ms, 300000);
    assert_int_equal(e->settings.neg_ttl_ms, 5000);
    assert_int_equal(e->settings.resurrect_ttl_ms, 3600000);
    assert_int_equal(e->settings.mode, 0400);
    assert_int_equal(e->settings.dir_mode, 0751);
    assert_int_equal(e->settings.owner, 0);
    assert_true(e->settings.page_cache);
    assert_int_equal(e->concurrency, 4);
    assert_int_equal(e->timeout_ms, 5000);
    assert_false(e->base64_decode);
    assert_false(e->prefetch);
    hush_config_free(config);
}

static void takes_timeout_from_the_deadline(void **state)
{
    struct hush_config *config = parse("[provider/e]\ntype = env\n[mount]\ndeadline = 3\n");

    (void)state;
    assert_int_equal(config->instances[0].timeout_ms, 3000);
    hush_config_free(config);
}

static void assert_pairs_equal(const struct hush_pair *a, const struct hush_pair *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(a[i].key, b[i].key);
        assert_string_equal(a[i].value, b[i].value);
    }
}

static void assert_settings_equal(const struct hush_settings *a, const struct hush_settings *b)
{
    char one[64], two[64];

    for (const struct hush_option *row = hush_settings_options; row->name != NULL; row++)
        assert_string_equal(hush_option_text(row, a, one, sizeof(one)),
                            hush_option_text(row, b, two, sizeof(two)));
}

static void assert_equal(const struct hush_config *a, const struct hush_config *b)
{
    char one[4096], two[4096];

    for (const struct hush_option *row = hush_mount_options; row->name != NULL; row++)
        assert_string_equal(hush_option_text(row, &a->mount, one, sizeof(one)),
                            hush_option_text(row, &b->mount, two, sizeof(two)));
    assert_int_equal(a->instance_count, b->instance_count);
    for (size_t i = 0; i < a->instance_count; i++) {
        const struct hush_instance_config *x = &a->instances[i], *y = &b->instances[i];
        assert_string_equal(x->name, y->name);
        assert_ptr_equal(x->ops, y->ops);
        assert_settings_equal(&x->settings, &y->settings);
        assert_int_equal(x->base64_decode, y->base64_decode);
        assert_int_equal(x->concurrency, y->concurrency);
        assert_int_equal(x->timeout_ms, y->timeout_ms);
        assert_int_equal(x->prefetch, y->prefetch);
        assert_int_equal(x->option_count, y->option_count);
        assert_pairs_equal(x->options, y->options, x->option_count);
    }
    assert_int_equal(a->rule_count, b->rule_count);
    for (size_t i = 0; i < a->rule_count; i++) {
        const struct hush_rule *x = &a->rules[i], *y = &b->rules[i];
        assert_string_equal(x->glob, y->glob);
        assert_int_equal(x->set, y->set);
        assert_settings_equal(&x->settings, &y->settings);
        assert_int_equal(x->param_count, y->param_count);
        assert_pairs_equal(x->params, y->params, x->param_count);
    }
}

static void writes_what_reads_back(void **state)
{
    static const char *const texts[] = {
        full,
        "[provider/e]\ntype = env\n",
        "[provider/e]\ntype = env\nprefix =\ntimeout = 1\n[mount]\ndeadline = 9\n",
        "[provider/a]\ntype = env\n[provider/b-1.c_d]\ntype = env\nttl = 0\nneg_ttl = 1500ms\n"
        "[path/**]\nmode = 0444\npage_cache = no\n[path/a/x]\ndir_mode = 0755\nparam.a "
        "=\n[path/b-1.c_d/?]\n",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct hush_config *config = parse(texts[i]);
        char *text = write_text(config);
        struct hush_config *again = parse(text);
        char *second = write_text(again);
        assert_equal(config, again);
        assert_string_equal(text, second);
        free(text);
        free(second);
        hush_config_free(config);
        hush_config_free(again);
    }
}

static void reports_write_errors(void **state)
{
    struct hush_config *config = parse(full);
    FILE *out = fopen("/dev/full", "we");

    (void)state;
    assert_non_null(out);
    assert_false(hush_config_write(config, out));
    (void)fclose(out); /* it fails, as it must */
    hush_config_free(config);
}

static void finds_instances(void **state)
{
    struct hush_config *config = parse("[provider/c]\ntype=env\n[provider/a]\ntype=env\n"
                                       "[provider/b]\ntype=env\n");

    (void)state;
    assert_string_equal(hush_config_instance(config, "a")->name, "a");
    assert_string_equal(hush_config_instance(config, "b")->name, "b");
    assert_string_equal(hush_config_instance(config, "c")->name, "c");
    assert_null(hush_config_instance(config, "d"));
    assert_null(hush_config_instance(config, ""));
    hush_config_free(config);
}

/* -- Refusals ---------------------------------------------------------------------------------- */

#define GOOD "[provider/e]\ntype = env\n"

/* clang-format off */
static const struct {
    const char *text, *error; /* one error, which begins so */
} refused[] = {
    {"", "x:0: there is no [provider/NAME] section"},
    {"[mount]\n", "x:0: there is no [provider/NAME] section"},
    {GOOD "[group/g]\n", "x:3: unknown section [group/g]"},
    {GOOD "[hook/h]\n", "x:3: unknown section [hook/h]"},
    {GOOD "[mounts]\n", "x:3: unknown section [mounts]"},
    {GOOD "[Mount]\n", "x:3: unknown section [Mount]"},
    {GOOD "[provider]\n", "x:3: unknown section [provider]"},
    {GOOD "[mount]\npaht = /x\n", "x:4: [mount]: unknown key 'paht'"},
    {GOOD "[mount]\nttl = 5\n", "x:4: [mount]: unknown key 'ttl'"},
    {GOOD "TTL = 5\n", "x:3: [provider/e]: unknown key 'TTL': see `hushfs providers env`"},
    {GOOD "ttl = 5\nttl = 5\n", "x:4: duplicate key 'ttl': it stands in line 3 already"},
    {GOOD "[mount]\n[mount]\n", "x:4: duplicate section [mount]: it stands in x, line 3 already"},
    {GOOD GOOD, "x:3: duplicate section [provider/e]"},
    {GOOD "ttl = soon\n", "x:3: [provider/e]: 'ttl' must be a duration"},
    {GOOD "ttl = -1\n", "x:3: [provider/e]: 'ttl' must be a duration"},
    {GOOD "ttl =\n", "x:3: [provider/e]: 'ttl' must be a duration"},
    {GOOD "mode = 888\n", "x:3: [provider/e]: 'mode' must be octal"},
    {GOOD "mode = 04755\n", "x:3: [provider/e]: 'mode' must be octal"},
    {GOOD "as = folder\n", "x:3: [provider/e]: 'as' must be one of default, file, directory"},
    {GOOD "dir_mode = 0555\n", "x:3: [provider/e]: 'dir_mode' must begin with 7"},
    {GOOD "owner = 4294967295\n", "x:3: [provider/e]: 'owner' must be"},
    {GOOD "concurrency = 0\n", "x:3: [provider/e]: 'concurrency' must be 1 to 256"},
    {GOOD "timeout = 0\n", "x:3: [provider/e]: 'timeout' must be more than 0"},
    {GOOD "timeout = 61\n", "x:3: [provider/e]: 'timeout' must be more than 0 and at most 60s"},
    {GOOD "[mount]\nopen = maybe\n", "x:4: [mount]: 'open' must be one of checked, kernel"},
    {GOOD "[mount]\nallow_other = root\n", "x:4: [mount]: 'allow_other' must be yes or no"},
    {GOOD "[mount]\ndeadline = 0\n", "x:4: [mount]: 'deadline' must be more than 0 and at most 10s"},
    {GOOD "[mount]\ndeadline = 10001ms\n", "x:4: [mount]: 'deadline' must be"},
    {GOOD "[mount]\nmemory = 100k\n", "x:4: [mount]: 'memory' must be 0 or at least 1M"},
    {GOOD "[mount]\npath = run\n", "x:4: [mount]: 'path' must be an absolute path"},
    {GOOD "[mount]\npath =\n", "x:4: [mount]: 'path' must not be empty"},
    {GOOD "[mount]\npath = //\n", "x:4: [mount]: 'path' must not be the root directory"},
    {GOOD "[mount]\nuser =\n", "x:4: [mount]: 'user' must be a user"},
    {"[provider/e]\n", "x:1: [provider/e]: 'type' is missing; there are env, file"},
    {"[provider/e]\ntype =\n", "x:2: [provider/e]: unknown type; there are env, file"},
    {"[provider/e]\ntype = vaultx\n", "x:2: [provider/e]: unknown type; there are env, file"},
    {"[provider/f]\ntype = file\n", "x:1: [provider/f]: 'root' is missing: "},
    {"[provider/f]\ntype = file\nroot = etc\n", "x:3: [provider/f]: 'root' must be an absolute path"},
    {"[provider/f]\ntype = env\nroot = /etc\n", "x:3: [provider/f]: unknown key 'root'"},
    {"[provider/]\ntype = env\n", "x:1: [provider/]: an instance's name"},
    {"[provider/A]\ntype = env\n", "x:1: [provider/A]: an instance's name"},
    {"[provider/a/b]\ntype = env\n", "x:1: [provider/a/b]: an instance's name"},
    {"[provider/-a]\ntype = env\n", "x:1: [provider/-a]: an instance's name"},
    {"[provider/.a]\ntype = env\n", "x:1: [provider/.a]: an instance's name"},
    {"[provider/.hushfs]\ntype = env\n", "x:1: [provider/.hushfs]: '.hushfs' is the name of"},
    {"[provider/f]\ntype = file\nroot = /m/a\n[mount]\npath = /m\n", "x:3: [provider/f]: 'root' must not be below the mount, which is /m"},
    {"[provider/f]\ntype = file\nroot = /m\n[mount]\npath = /m/\n", "x:3: [provider/f]: 'root' must not be below"},
    {"[provider/f]\ntype = file\nroot = /x/..//m/./a\n[mount]\npath = /m\n", "x:3: [provider/f]: 'root' must not be below"},
    {GOOD "page_cache = no\n[mount]\nopen = kernel\n", "x:3: [provider/e]: 'page_cache' cannot be no"},
    {GOOD "[path/e/a]\npage_cache = off\n[mount]\nopen = kernel\n", "x:4: [path/e/a]: 'page_cache' cannot be no"},
    {GOOD "[path/e]\n", "x:3: [path/e]: bad glob: it has no '/'"},
    {GOOD "[path/e/]\n", "x:3: [path/e/]: bad glob"},
    {GOOD "[path//e/a]\n", "x:3: [path//e/a]: bad glob"},
    {GOOD "[path/e//a]\n", "x:3: [path/e//a]: bad glob"},
    {GOOD "[path/e/***]\n", "x:3: [path/e/***]: bad glob"},
    {GOOD "[path/e/../a]\n", "x:3: [path/e/../a]: bad glob"},
    {GOOD "[path/e/a%]\n", "x:3: [path/e/a%]: bad glob"},
    {GOOD "[path/x/a]\n", "x:3: [path/x/a]: there is no [provider/x]"},
    {GOOD "[path/e/a]\nprefetch = yes\n", "x:4: [path/e/a]: unknown key 'prefetch'"},
    {GOOD "[path/e/a/.json]\nmode = 0\nttl = 5\n", "x:5: [path/e/a/.json]: 'ttl': owner, group, mode and page_cache alone"},
    {GOOD "[path/**/.json]\nparam.x = 5\n", "x:4: [path/**/.json]: 'param.x': owner, group,"},
    {GOOD "[path/e/.json]\ndir_mode = 0700\n", "x:4: [path/e/.json]: 'dir_mode': owner, group,"},
    {GOOD "[path/e/a]\nparam. = yes\n", "x:4: [path/e/a]: unknown key 'param.'"},
    {GOOD "[path/e/a]\nmode = x\n", "x:4: [path/e/a]: 'mode' must be octal"},
    {GOOD "[path/e/a]\ndir_mode = 0\n", "x:4: [path/e/a]: 'dir_mode' must begin with 7"},
    {"ttl = 5\n" GOOD, "x:1: there is no [SECTION] above"},
    {GOOD "ttl\n", "x:3: this is neither KEY = VALUE"},
    {GOOD "= 5\n", "x:3: a key is made of"},
    {GOOD "t tl = 5\n", "x:3: a key is made of"},
    {GOOD "t\xc3\xa9 = 5\n", "x:3: a key is made of"},
    {GOOD "[mount\n", "x:3: this is no section"},
    {GOOD "[]\n", "x:3: this is no section"},
    {GOOD "[mount] # why\n", "x:3: this is no section"},
    {GOOD "[ mount ]\n", "x:3: a section's name"},
    {GOOD "prefix = \xff\n", "x:3: the line is not UTF-8"},
    {GOOD "prefix = a\x01\n", "x:3: there is a control character"},
    {GOOD "prefix = a\rb\n", "x:3: there is a control character"},
    {"\xef\xbb\xbf" GOOD, "x:1: the file begins with a byte order mark"},
};
/* clang-format on */

static void refuses_with_file_and_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(refused); i++) {
        struct told told = {0};
        struct hush_config *config =
            hush_config_parse(refused[i].text, strlen(refused[i].text), "x", tell, &told);
        if (config != NULL)
            fail_msg("accepted:\n%s", refused[i].text);
        if (strncmp(told.text, refused[i].error, strlen(refused[i].error)) != 0)
            fail_msg("'%s' begins otherwise than '%s'", told.text, refused[i].error);
    }
}

static void refuses_nul_and_long_lines(void **state)
{
    static const char nul[] = GOOD "prefix = a\0b\n";
    struct told told = {0};
    char *text = malloc(70000);

    (void)state;
    assert_null(hush_config_parse(nul, sizeof(nul) - 1, "x", tell, &told));
    assert_string_equal(told.text, "x:3: there is a NUL byte in the line\n");
    assert_non_null(text);
    (void)snprintf(text, 70000, GOOD "prefix = %065527d\n", 0); /* 64 KiB exactly */
    hush_config_free(parse(text));
    (void)snprintf(text, 70000, GOOD "prefix = %065528d\n", 0);
    told = (struct told){0};
    assert_null(hush_config_parse(text, strlen(text), "x", tell, &told));
    assert_string_equal(told.text, "x:3: the line is longer than 64 KiB\n");
    free(text);
}

static void tells_all_errors_in_order(void **state)
{
    static const char text[] = "[path/nobody/a]\n"
                               "mode = 9\n"
                               "[provider/e]\n"
                               "type = env\n"
                               "ttl = x\n"
                               "bad\n"
                               "neg_ttl = y\n"
                               "[nonsense]\n"
                               "anything = 1\n"
                               "[mount\n"
                               "not = judged\n"
                               "[mount]\n"
                               "deadline = 1h\n";
    struct told told = {0};
    static const char *const begins[] = {
        "x:1: [path/nobody/a]: there is no", "x:2: [path/nobody/a]: 'mode'",
        "x:5: [provider/e]: 'ttl'",          "x:6: this is neither",
        "x:7: [provider/e]: 'neg_ttl'",      "x:8: unknown section",
        "x:10: this is no section",          "x:13: [mount]: 'deadline'",
    };
    const char *at = told.text;

    (void)state;
    assert_null(hush_config_parse(text, sizeof(text) - 1, "x", tell, &told));
    for (size_t i = 0; i < COUNT(begins); i++) {
        if (strncmp(at, begins[i], strlen(begins[i])) != 0)
            fail_msg("'%s' is not first in:\n%s", begins[i], at);
        at = strchr(at, '\n') + 1;
    }
    assert_string_equal(at, "");
}

static void bounds_the_number_of_errors(void **state)
{
    char text[4096] = "";
    struct told told = {0};

    (void)state;
    for (size_t i = 0; i < 500; i++)
        (void)strncat(text, "x\n", 3);
    assert_null(hush_config_parse(text, strlen(text), "x", tell, &told));
    assert_int_equal(told.count, 201);
    assert_non_null(strstr(told.text, "x:0: more errors than are told"));
}

/* What is wrong may be a password in the wrong place. */
static void never_repeats_a_value(void **state)
{
    static const char text[] = "[provider/e]\ntype = hunter2\n[provider/f]\ntype = file\n"
                               "root = hunter2\nttl = hunter2\nas = hunter2\nowner = hunter2\n"
                               "hunter2\n[mount]\ndeadline = hunter2\nopen = hunter2\n";
    struct told told = {0};

    (void)state;
    assert_null(hush_config_parse(text, sizeof(text) - 1, "x", tell, &told));
    assert_true(told.count >= 7);
    assert_null(strstr(told.text, "hunter2"));
}

/* A key that is in two tables would be set in one and never reach the other. */
static void no_provider_shadows_a_common_key(void **state)
{
    (void)state;
    for (size_t i = 0; hush_providers[i] != NULL; i++) {
        for (const struct hush_option *o = hush_providers[i]->options; o->name != NULL; o++) {
            assert_null(hush_option_find(hush_settings_options, o->name));
            assert_null(hush_option_find(hush_instance_options, o->name));
            assert_string_not_equal(o->name, "type");
        }
    }
    for (const struct hush_option *o = hush_settings_options; o->name != NULL; o++)
        assert_null(hush_option_find(hush_instance_options, o->name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_key),
        cmocka_unit_test(has_defaults),
        cmocka_unit_test(takes_timeout_from_the_deadline),
        cmocka_unit_test(writes_what_reads_back),
        cmocka_unit_test(reports_write_errors),
        cmocka_unit_test(finds_instances),
        cmocka_unit_test(refuses_with_file_and_line),
        cmocka_unit_test(refuses_nul_and_long_lines),
        cmocka_unit_test(tells_all_errors_in_order),
        cmocka_unit_test(bounds_the_number_of_errors),
        cmocka_unit_test(never_repeats_a_value),
        cmocka_unit_test(no_provider_shadows_a_common_key),
    };

    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
