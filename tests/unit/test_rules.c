/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_rules.c - what holds for a path: which rule wins, what a version and a field have of their
 * secret's, and that the whole of a secret is never more open than what is in it.
 */
#include "config.h"

#include "unit.h"

#include <string.h>

static void tell(void *ctx, const char *file, unsigned line, const char *text)
{
    (void)ctx;
    fail_msg("%s:%u: %s", file, line, text);
}

static struct hush_config *parse(const char *text)
{
    struct hush_config *config = hush_config_parse(text, strlen(text), "x", tell, NULL);

    assert_non_null(config);
    return config;
}

/* -- Which rule wins --------------------------------------------------------------------------- */

static const char rules[] = "[provider/hcv]\n"
                            "type = env\n"
                            "mode = 0400\n"
                            "group = 1\n"
                            "ttl = 100\n"
                            "[provider/other]\n"
                            "type = env\n"
                            "[path/hcv/tls/site/key]\n"
                            "mode = 0600\n"
                            "[path/hcv/tls/*]\n"
                            "group = 33\n"
                            "mode = 0640\n"
                            "param.x = tls\n"
                            "[path/hcv/**]\n"
                            "mode = 0444\n"
                            "ttl = 50\n"
                            "neg_ttl = 1\n"
                            "param.x = all\n"
                            "param.y = all\n"
                            "[path/**/key]\n"
                            "ttl = 10\n"
                            "resurrect_ttl = 7\n"
                            "[path/*/tls/site]\n"
                            "ttl = 11\n"
                            "[path/hcv/t*s/a]\n"
                            "owner = 1\n"
                            "[path/hcv/t*/a]\n"
                            "owner = 2\n"
                            "group = 2\n"
                            "[path/hcv/x?]\n"
                            "owner = 3\n"
                            "[path/hcv/x*]\n"
                            "owner = 4\n";

struct expected {
    const char *path;
    uint32_t mode, group, ttl_s, owner;
};

static void the_most_specific_rule_wins_key_by_key(void **state)
{
    static const struct expected table[] = {
        {"other/a", 0400, 0, 300, 0},
        {"other/key", 0400, 0, 10, 0},
        {"other/tls/site", 0400, 0, 11, 0},
        {"hcv/a", 0444, 1, 50, 0},
        {"hcv/tls/site", 0640, 33, 50, 0}, /* [*-slash-tls/site] has no literal before its star */
        {"hcv/tls/site/key", 0600, 1, 50, 0},
        {"hcv/tls/a", 0640, 33, 50, 1}, /* as many before the star, more in all */
        {"hcv/tXs/a", 0444, 2, 50, 1},
        {"hcv/tX/a", 0444, 2, 50, 2},
        {"hcv/xy", 0444, 1, 50, 4}, /* equal: the later one */
    };
    struct hush_config *config = parse(rules);

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        char name[16] = "";
        struct hush_settings settings;
        memcpy(name, table[i].path, strcspn(table[i].path, "/"));
        hush_config_settings(config, hush_config_instance(config, name), table[i].path, &settings);
        if (settings.mode != table[i].mode || settings.group != table[i].group ||
            settings.ttl_ms != table[i].ttl_s * 1000 || settings.owner != table[i].owner)
            fail_msg("%s: mode %o group %u ttl %u ms owner %u", table[i].path, settings.mode,
                     settings.group, settings.ttl_ms, settings.owner);
    }
    hush_config_free(config);
}

static void fields_follow_their_secret(void **state)
{
    struct hush_config *config = parse(rules);
    const struct hush_instance_config *hcv = hush_config_instance(config, "hcv");
    struct hush_settings settings;

    (void)state;
    hush_config_field_settings(config, hcv, "hcv/tls/site", "cert", &settings);
    assert_int_equal(settings.mode, 0640); /* not 0444 of the wider rule, which matches the field */
    assert_int_equal(settings.group, 33);
    hush_config_field_settings(config, hcv, "hcv/tls/site", "key", &settings);
    assert_int_equal(settings.mode, 0600);
    assert_int_equal(settings.group, 33);
    assert_int_equal(settings.ttl_ms, 50000);
    assert_int_equal(settings.resurrect_ttl_ms, 7000);
    hush_config_free(config);
}

static void as_is_never_left_open(void **state)
{
    struct hush_config *config =
        parse("[provider/e]\ntype = env\n[path/e/d]\nas = directory\n[path/e/dd]\nas = default\n");
    struct hush_settings settings;

    (void)state;
    hush_config_settings(config, &config->instances[0], "e/x", &settings);
    assert_int_equal(settings.as, HUSH_AS_FILE);
    hush_config_settings(config, &config->instances[0], "e/d", &settings);
    assert_int_equal(settings.as, HUSH_AS_DIRECTORY);
    hush_config_settings(config, &config->instances[0], "e/dd", &settings);
    assert_int_equal(settings.as, HUSH_AS_FILE);
    hush_config_free(config);
}

static void gives_params(void **state)
{
    struct hush_config *config = parse(rules);
    struct hush_param *params = hush_config_params(config, "hcv/tls/a");

    (void)state;
    assert_non_null(params);
    assert_string_equal(params[0].name, "x");
    assert_string_equal(params[0].value, "tls");
    assert_string_equal(params[1].name, "y");
    assert_string_equal(params[1].value, "all");
    assert_null(params[2].name);
    free(params);
    assert_null(hush_config_params(config, "other/a"));
    hush_config_free(config);
}

/* -- Several names of one secret --------------------------------------------------------------- */

static const char several[] = "[provider/s]\n"
                              "type = env\n"
                              "as = directory\n"
                              "mode = 0444\n"
                              "group = 33\n"
                              "[path/s/root]\n"
                              "mode = 0400\n"
                              "group = 0\n"
                              "ttl = 7\n"
                              "param.x = root\n"
                              "[path/s/*]\n"
                              "neg_ttl = 9\n"
                              "[path/s/root#2]\n"
                              "mode = 0440\n"
                              "[path/s/**#9]\n" /* wide, and so it says nothing of root */
                              "mode = 0404\n"
                              "group = 9\n"
                              "[path/s/db/*]\n"
                              "mode = 0440\n"
                              "[path/s/db/open#*]\n"
                              "group = 5\n"
                              "[path/s/db/open]\n"
                              "group = 6\n"
                              "[path/s/map/key]\n"
                              "mode = 0400\n"
                              "[path/s/map#1/key]\n"
                              "group = 4\n"
                              "[path/s/*/deep]\n"
                              "mode = 0040\n"
                              "[path/s/own/.value]\n"
                              "mode = 0004\n";

static const struct {
    const char *path, *field;
    uint32_t mode, group, ttl_s;
    bool own;
} names_table[] = {
    {"s/root", NULL, 0400, 0, 7, false},
    {"s/root#1", NULL, 0400, 0, 7, false},
    {"s/root#previous", NULL, 0400, 0, 7, false},
    {"s/root#2", NULL, 0440, 0, 7, false},   /* its own key, and root's others */
    {"s/root#2#1", NULL, 0440, 0, 7, false}, /* version 1 of what may be called root#2 */
    {"s/root#9", NULL, 0400, 0, 7, false},   /* root is the longer name */
    {"s/other#9", NULL, 0404, 9, 300, false},
    {"s/root#", NULL, 0444, 33, 300, false}, /* no version */
    {"s/#1", NULL, 0444, 33, 300, false},
    {"s/roots#1", NULL, 0444, 33, 300, false},
    {"s/root/.value", NULL, 0400, 0, 7, false},
    {"s/root#1/.value", NULL, 0400, 0, 7, false},
    {"s/root#1/x", NULL, 0444, 33, 300, false}, /* a folder called so */
    {"s/root", ".value", 0400, 0, 7, false},
    {"s/root", ".json", 0400, 0, 7, false},
    {"s/root", "a", 0400, 0, 7, false},
    {"s/root#1", "a", 0400, 0, 7, false},
    {"s/db/x#1", NULL, 0440, 33, 300, false},
    {"s/db/open", NULL, 0440, 6, 300, false},
    {"s/db/open#1", NULL, 0440, 5, 300, false},
    {"s/map", "cert", 0444, 33, 300, false},
    {"s/map", "key", 0400, 33, 300, true},
    {"s/map#2", "key", 0400, 33, 300, true},
    {"s/map#1", "key", 0400, 4, 300, true},
    {"s/map#1", "cert", 0444, 33, 300, false},
    {"s/map", "deep", 0040, 33, 300, true},
    {"s/map#1", "deep", 0040, 33, 300, true},
    {"s/root", "deep", 0400, 0, 7, true}, /* root's own is the more specific */
    {"s/own/.value", NULL, 0004, 33, 300, false},
    {"s/own#1/.value", NULL, 0004, 33, 300, false},
    {"s/own", NULL, 0444, 33, 300, false}, /* see the_whole_of_a_secret() */
    /* 64 characters are no version */
    {"s/root#aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL, 0400, 0, 7,
     false},
    {"s/root#aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL, 0444, 33, 300,
     false},
};

static void a_rule_holds_for_all_names_of_a_secret(void **state)
{
    struct hush_config *config = parse(several);
    const struct hush_instance_config *s = hush_config_instance(config, "s");

    (void)state;
    for (size_t i = 0; i < COUNT(names_table); i++) {
        const char *path = names_table[i].path, *field = names_table[i].field;
        struct hush_settings is;
        bool own = false;
        if (field == NULL)
            hush_config_settings(config, s, path, &is);
        else
            own = hush_config_field_settings(config, s, path, field, &is);
        if (is.mode != names_table[i].mode || is.group != names_table[i].group ||
            is.ttl_ms != names_table[i].ttl_s * 1000 || own != names_table[i].own)
            fail_msg("%s, %s: mode %o group %u ttl %u ms own %d", path, field == NULL ? "-" : field,
                     is.mode, is.group, is.ttl_ms, own);
    }
    struct hush_param *params = hush_config_params(config, "s/root#1");
    assert_non_null(params);
    assert_string_equal(params[0].value, "root");
    free(params);
    hush_config_free(config);
}

/* Longer than any file's: no rule of its own, and nothing breaks. */
static void endless_names(void **state)
{
    struct hush_config *config = parse(several);
    const struct hush_instance_config *s = hush_config_instance(config, "s");
    char *path = malloc(70000);
    struct hush_settings settings;

    (void)state;
    assert_non_null(path);
    for (size_t size = 4000; size < 65000; size += size < 4500 ? 1 : 20000) {
        (void)snprintf(path, 70000, "s/map/%0*d#1/.value", (int)size, 1);
        hush_config_whole_settings(config, s, path, NULL, &settings);
        assert_int_equal(settings.group, 33);
        assert_false(hush_config_field_settings(config, s, path, path + 6, &settings));
    }
    free(path);
    hush_config_free(config);
}

/* -- The whole of a secret --------------------------------------------------------------------- */

enum { USERS = 3, GROUPS = 2 }; /* uids 0…2; gids 0, 1: a set of them is a number of two bits */

static bool may_read(const struct hush_settings *s, uint32_t uid, unsigned gids)
{
    if (uid == s->owner)
        return (s->mode & 0400) != 0;
    return (s->mode & ((gids & 1u << s->group) != 0 ? 0040 : 0004)) != 0;
}

/* Who may read the whole may read each part of it, and nobody loses more than need be where owner
 * and group are the same. */
static void compare_readers(const struct hush_settings *whole, const struct hush_settings *part,
                            const struct hush_settings *is)
{
    const bool same = whole->owner == part->owner && whole->group == part->group;

    for (uint32_t uid = 0; uid < USERS; uid++)
        for (unsigned gids = 0; gids < 1u << GROUPS; gids++) {
            const bool both = may_read(whole, uid, gids) && may_read(part, uid, gids);
            const bool may = may_read(is, uid, gids);
            if ((may && !both) || (same && may != both))
                fail_msg("%o %u:%u and %o %u:%u are %o, for uid %u of %u", whole->mode,
                         whole->owner, whole->group, part->mode, part->owner, part->group, is->mode,
                         uid, gids);
        }
}

static void nobody_reads_the_whole_who_may_not_read_a_part(void **state)
{
    static const uint32_t modes[] = {0000, 0400, 0040, 0004, 0440, 0404, 0044, 0444};
    struct hush_settings whole = {.page_cache = true}, part = {.page_cache = true}, is;

    (void)state;
    for (size_t i = 0; i < COUNT(modes) * COUNT(modes) * 16; i++) {
        whole.mode = modes[i / 16 % COUNT(modes)];
        part.mode = modes[i / 16 / COUNT(modes)];
        whole.owner = i & 1;
        whole.group = i >> 1 & 1;
        part.owner = i >> 2 & 1;
        part.group = i >> 3 & 1;
        is = whole;
        hush_settings_restrict(&is, &part);
        assert_int_equal(is.owner, whole.owner);
        assert_int_equal(is.group, whole.group);
        assert_true(is.page_cache);
        compare_readers(&whole, &part, &is);
    }
    part.page_cache = false;
    hush_settings_restrict(&is, &part);
    assert_false(is.page_cache);
}

#define WHOLE "[provider/s]\ntype = env\nmode = 0440\ngroup = 33\n"

static const struct {
    const char *rules, *path, *name;
    uint32_t mode;
    bool page_cache;
} wholes[] = {
    {"", "s/a", NULL, 0440, true},
    {"", "s/a", ".json", 0440, true},
    {"[path/s/a]\nmode = 0400\n", "s/a", ".json", 0400, true},
    {"[path/s/a/.json]\nmode = 0400\n", "s/a", ".json", 0400, true},
    {"[path/s/a/.json]\nmode = 0400\n", "s/a#1", ".json", 0400, true},
    {"[path/s/a/.json]\nmode = 0444\n", "s/a", ".json", 0444, true}, /* said of just this */
    /* Whatever the whole is called, a rule for another name of it counts. */
    {"[path/s/a/.json]\nmode = 0400\n", "s/a", NULL, 0400, true},
    {"[path/s/a/.json]\nmode = 0400\n", "s/a", ".value", 0400, true},
    {"[path/s/a/.value]\nmode = 0400\n", "s/a", ".json", 0400, true},
    {"[path/s/a/.value]\nmode = 0400\n", "s/a#1", NULL, 0400, true},
    {"[path/s/a/.value]\nmode = 0444\n", "s/a", NULL, 0440, true}, /* less, never more */
    {"[path/s/a/.value]\npage_cache = no\n", "s/a", NULL, 0440, false},
    {"[path/s/**/.value]\ngroup = 0\n", "s/a", NULL, 0400, true},
    {"[path/s/a/.value]\nttl = 1\n", "s/a", NULL, 0440, true},
    {"[path/s/*/*]\nmode = 0400\n", "s/a", NULL, 0440, true},
    {"[path/s/*/*]\nmode = 0400\n", "s/a", ".json", 0400, true},
    /* A file with fields in it that nobody knows, where they are to be seen each for itself. */
    {"[path/s/**]\nas = directory\n", "s/a", NULL, 0440, true},
    {"[path/s/**]\nas = directory\n[path/s/a/k]\nmode = 0400\n", "s/a", NULL, 0, false},
    {"[path/s/**]\nas = directory\n[path/s/a/k]\nmode = 0400\n", "s/a/.value", NULL, 0, false},
    {"[path/s/**]\nas = directory\n[path/s/a/k]\nmode = 0400\n", "s/a#1/.value", NULL, 0, false},
    {"[path/s/**]\nas = directory\n[path/s/a/k]\nttl = 1\n", "s/a", NULL, 0440, true},
    {"[path/s/**]\nas = directory\n[path/s/a/k]\nmode = 0400\n", "s/b", NULL, 0440, true},
    {"[path/s/**]\nas = directory\n[path/s/a/.json]\nmode = 0400\n", "s/a", NULL, 0400, true},
    {"[path/s/a/k]\nmode = 0400\n", "s/a", NULL, 0440, true}, /* as a file it has no fields */
};

static void the_whole_of_a_secret(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(wholes); i++) {
        char text[512];
        struct hush_settings is;
        (void)snprintf(text, sizeof(text), WHOLE "%s", wholes[i].rules);
        struct hush_config *config = parse(text);
        hush_config_whole_settings(config, &config->instances[0], wholes[i].path, wholes[i].name,
                                   &is);
        if (is.mode != wholes[i].mode || is.page_cache != wholes[i].page_cache)
            fail_msg("%s%s %s: mode %o page_cache %d", wholes[i].rules, wholes[i].path,
                     wholes[i].name == NULL ? "-" : wholes[i].name, is.mode, is.page_cache);
        hush_config_free(config);
    }
}

/* -- Keys that a field cannot have ------------------------------------------------------------- */

#define MAP "[provider/s]\ntype = env\n[path/s/a]\nas = directory\n" /* four lines */

static const struct {
    const char *rules, *warning; /* in line 5; NULL: none */
} warnings[] = {
    {MAP "[path/s/a/k]\nmode = 0\npage_cache = no\nowner = 1\ngroup = 1\n", NULL},
    {MAP "[path/s/a/k]\nttl = 1\n", "[path/s/a/k]: if it is a field of 's/a', 'ttl' does"},
    {MAP "[path/s/a/k]\nmode = 0\nas = file\n", "[path/s/a/k]: if it is a field of 's/a', 'as'"},
    {MAP "[path/s/a/k*]\nparam.x = 1\n", "[path/s/a/k*]: if it is a field of 's/a', 'param.'"},
    {MAP "[path/s/b/k]\nttl = 1\n", NULL},
    {MAP "[path/s/a/b/k]\nttl = 1\n", NULL},
    {MAP "[path/**]\nttl = 1\n", NULL},
    /* A group and a dir_mode a folder has, too; a mode only a secret. */
    {"[provider/s]\ntype=env\nas=directory\n[path/s/a]\n[path/s/a/k]\nttl=1\n", NULL},
    {"[provider/s]\ntype=env\nas=directory\n[path/s/a/k]\nttl=1\n[path/s/a]\ngroup=1\n", NULL},
    {"[provider/s]\ntype=env\nas=directory\n\n[path/s/a/k]\nttl=1\n[path/s/a]\nmode=0\n",
     "[path/s"},
    {"[provider/s]\ntype=env\n\n\n[path/s/a/k]\nttl=1\n[path/s/a]\nmode=0\n", NULL}, /* a file */
};

static void warn(void *ctx, const char *file, unsigned line, const char *text)
{
    const char **expected = ctx;

    assert_string_equal(file, "x");
    assert_int_equal(line, 5);
    assert_non_null(*expected);
    if (strncmp(text, *expected, strlen(*expected)) != 0)
        fail_msg("%s", text);
    *expected = NULL;
}

static void warns_of_keys_that_a_field_cannot_have(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(warnings); i++) {
        struct hush_config *config = parse(warnings[i].rules);
        const char *expected = warnings[i].warning;
        hush_config_warn(config, warn, &expected);
        if (expected != NULL)
            fail_msg("no warning: %s", warnings[i].rules);
        hush_config_free(config);
    }
}

/* -- Rules for what is in a secret, whatever that is ------------------------------------------- */

enum { GLOB_SIZE = 12, TEXT_SIZE = 8 };

static void random_text(uint64_t *seed, const char *letters, size_t most, char *out)
{
    const size_t size = unit_random(seed) % most;

    for (size_t i = 0; i < size; i++)
        out[i] = letters[unit_random(seed) % strlen(letters)];
    out[size] = '\0';
}

/* Where a field has a rule of its own it is known that there are such. */
static void knows_of_each_field_rule(void **state)
{
    struct hush_rule rule = {.set = 0};
    const struct hush_config config = {.rules = &rule, .rule_count = 1};
    const struct hush_instance_config *instance = NULL;
    struct hush_config *base = parse("[provider/a]\ntype = env\n[path/**]\nmode = 0\n");
    uint64_t seed = 88172645463325252;
    unsigned owns = 0, nones = 0;

    (void)state;
    rule.set = base->rules[0].set;
    instance = &base->instances[0];
    for (unsigned i = 0; i < 400000; i++) {
        char glob[GLOB_SIZE], path[TEXT_SIZE], field[TEXT_SIZE];
        struct hush_settings settings;
        random_text(&seed, "aab//***?#", sizeof(glob), glob);
        random_text(&seed, "aab/#", sizeof(path), path);
        random_text(&seed, "aab#", sizeof(field), field);
        if (strstr(glob, "***") != NULL || field[0] == '\0' || path[0] == '\0')
            continue;
        rule.glob = glob;
        const bool own = hush_config_field_settings(&config, instance, path, field, &settings);
        const bool has = hush_config_has_field_rules(&config, path);
        if (own && !has)
            fail_msg("'%s' has '%s' of '%s'", glob, field, path);
        owns += own;
        nones += !has;
    }
    assert_true(owns > 1000 && nones > 1000);
    hush_config_free(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_most_specific_rule_wins_key_by_key),
        cmocka_unit_test(fields_follow_their_secret),
        cmocka_unit_test(as_is_never_left_open),
        cmocka_unit_test(gives_params),
        cmocka_unit_test(a_rule_holds_for_all_names_of_a_secret),
        cmocka_unit_test(endless_names),
        cmocka_unit_test(nobody_reads_the_whole_who_may_not_read_a_part),
        cmocka_unit_test(the_whole_of_a_secret),
        cmocka_unit_test(warns_of_keys_that_a_field_cannot_have),
        cmocka_unit_test(knows_of_each_field_rule),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
