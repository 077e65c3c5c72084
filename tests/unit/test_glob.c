/* SPDX-License-Identifier: Apache-2.0 */
/* test_glob.c - globs of rules: examples, and the fast matcher against a plain one. */
#include "config.h"

#include "core/clock.h"
#include "unit.h"

#include <string.h>

/* clang-format off */
static const struct {
    const char *glob, *path;
    bool matches;
} rows[] = {
    {"env/a", "env/a", true},
    {"env/a", "env/A", false},
    {"env/a", "env/ab", false},
    {"env/ab", "env/a", false},
    {"env/*", "env/a", true},
    {"env/*", "env/", true},
    {"env/*", "env", false},
    {"env/*", "env/a/b", false},
    {"*/*", "env/a", true},
    {"env/*-password", "env/db-password", true},
    {"env/*-password", "env/db-passwords", false},
    {"env/a*b*c", "env/aXbYbZc", true},
    {"env/a*b*c", "env/aXbY/bZc", false},
    {"env/?", "env/a", true},
    {"env/?", "env/ab", false},
    {"env/?", "env/", false},
    {"env/?", "env//", false},
    {"env/?", "env/\xc3\xa9", true},
    {"env/?b", "env/\xe2\x82\xac" "b", true},
    {"env/??", "env/\xc3\xa9", false},
    {"hcv/**", "hcv/a", true},
    {"hcv/**", "hcv/a/b/c", true},
    {"hcv/**", "hcv", false},
    {"hcv/**", "hcvx/a", false},
    {"hcv/**/key", "hcv/key", true},
    {"hcv/**/key", "hcv/a/key", true},
    {"hcv/**/key", "hcv/a/b/key", true},
    {"hcv/**/key", "hcv/akey", false},
    {"hcv/**/key", "hcv/a/key/x", false},
    {"**/key", "hcv/a/key", true},
    {"**/key", "key", true},
    {"**", "hcv/a/key", true},
    {"hcv/a**z", "hcv/a/b/z", true},
    {"hcv/a**z", "hcv/az", true},
    {"hcv/**/x/**/y", "hcv/x/y", true},
    {"hcv/**/x/**/y", "hcv/1/x/2/3/y", true},
    {"hcv/**/x/**/y", "hcv/1/y/2/3/x", false},
    {"hcv/**/*.pem", "hcv/a/b.pem", true},
    {"hcv/**/*.pem", "hcv/a.pem/b", false},
    {"hcv/*/**", "hcv/a", false},
    {"hcv/*/**", "hcv/a/b", true},
    {"hcv/**/a*b/**/c", "hcv/ab/ac/aXb/q/c", true},
    {"hcv/[ab]", "hcv/a", false},
    {"hcv/[ab]", "hcv/[ab]", true},
    {"hcv/\\*", "hcv/*", false},
    {"", "", true},
    {"", "a", false},
};
/* clang-format on */

static void matches_as_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        if (hush_glob_match(rows[i].glob, rows[i].path) != rows[i].matches)
            fail_msg("'%s' and '%s': not %d", rows[i].glob, rows[i].path, rows[i].matches);
}

enum { GLOB_MAX = 12, PATH_SIZE = 14 };

/* [g][p]: glob from g on matches path from p on. */
struct table {
    bool matches[GLOB_MAX + 3][PATH_SIZE + 1];
};

/* Two stars at g, and whether they are a component of their own. */
static bool deep_matches(const struct table *t, const char *path, size_t g, size_t p, bool alone)
{
    const size_t next = g + (alone ? 3 : 2);
    bool matches = t->matches[next][p];

    for (; path[p] != '\0'; p++)
        matches = matches || ((!alone || path[p] == '/') && t->matches[next][p + 1]);
    return matches;
}

static bool cell_matches(const struct table *t, const char *glob, const char *path, size_t g,
                         size_t p)
{
    const bool more = path[p] != '\0', within = more && path[p] != '/';

    if (glob[g] == '*' && glob[g + 1] == '*')
        return deep_matches(t, path, g, p, (g == 0 || glob[g - 1] == '/') && glob[g + 2] == '/');
    if (glob[g] == '*')
        return t->matches[g + 1][p] || (within && t->matches[g][p + 1]);
    if (glob[g] == '?')
        return within && t->matches[g + 1][p + 1];
    return more && glob[g] == path[p] && t->matches[g + 1][p + 1];
}

/* The rule, word for word, from the ends to the beginnings. */
static bool plain(const char *glob, const char *path)
{
    const size_t glob_size = strlen(glob), path_size = strlen(path);
    struct table t = {0};

    t.matches[glob_size][path_size] = true;
    for (size_t g = glob_size; g-- > 0;)
        for (size_t p = path_size + 1; p-- > 0;)
            t.matches[g][p] = cell_matches(&t, glob, path, g, p);
    return t.matches[0][0];
}

static void random_text(uint64_t *seed, const char *letters, size_t most, char *out)
{
    const size_t size = unit_random(seed) % most;

    for (size_t i = 0; i < size; i++)
        out[i] = letters[unit_random(seed) % strlen(letters)];
    out[size] = '\0';
}

static void agrees_with_the_plain_matcher(void **state)
{
    uint64_t seed = 88172645463325252;
    unsigned matched = 0;

    (void)state;
    for (unsigned i = 0; i < 400000; i++) {
        char glob[GLOB_MAX], path[PATH_SIZE];
        random_text(&seed, "ab//***?", sizeof(glob) - 1, glob);
        random_text(&seed, "aab/", sizeof(path) - 1, path);
        if (strstr(glob, "***") != NULL) /* refused by the configuration */
            continue;
        const bool expected = plain(glob, path);
        if (hush_glob_match(glob, path) != expected)
            fail_msg("'%s' and '%s': not %d", glob, path, expected);
        matched += expected;
    }
    assert_true(matched > 5000);
}

/* A path that nearly matches in every way: without a bound this takes longer than the sun. */
static void takes_bounded_time(void **state)
{
    char path[2048], glob[256] = "";

    (void)state;
    memset(path, 'a', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    for (size_t i = 1; i < sizeof(path) - 1; i += 2)
        path[i] = '/';
    for (unsigned i = 0; i < 30; i++)
        (void)strncat(glob, i % 2 == 0 ? "**/a/" : "*a**", sizeof(glob) - strlen(glob) - 1);
    (void)strncat(glob, "b", 2);
    const uint64_t start_ns = hush_now_ns();
    assert_false(hush_glob_match(glob, path));
    assert_true(hush_now_ns() - start_ns < HUSH_NS_PER_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_as_written),
        cmocka_unit_test(agrees_with_the_plain_matcher),
        cmocka_unit_test(takes_bounded_time),
    };

    return cmocka_run_group_tests_name("glob", tests, NULL, NULL);
}
