/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_sealed_name.c - names of a sealed store: both ways, and never out of the store.
 */
#include "sealed/name.h"

#include "provider.h"
#include "unit.h"

#include <string.h>

static void paths_are_as_documented(void **state)
{
    static const struct {
        const char *raw, *path, *text;
    } names[] = {
        {"db", "db", "db"},
        {"db/password", "db/password", "db/password"},
        {".hidden", "%2Ehidden", ".hidden"},
        {".", "%2E", "."},
        {"..", "%2E.", ".."},
        {"a/../b", "a/%2E./b", "a/../b"},
        {"1.jwe", "%31.jwe", "1.jwe"},
        {"x/12.jwe", "x/%312.jwe", "x/12.jwe"},
        {"x.jwe", "x.jwe", "x.jwe"},
        {"1.jwe2", "1.jwe2", "1.jwe2"},
        {"100%", "100%25", "100%25"},
        {"a b#c", "a b#c", "a b#c"},
        {"tab\t\x7f", "tab%09%7F", "tab%09%7F"},
        {"\xc3\xbc", "\xc3\xbc", "%C3%BC"},
        {"\xff", "\xff", "%FF"},
    };

    (void)state; /* none */
    for (size_t i = 0; i < COUNT(names); i++) {
        char out[SEALED_TEXT_MAX + 1];
        assert_null(hush_sealed_name_fault(names[i].raw));
        hush_sealed_name_path(names[i].raw, out);
        assert_string_equal(out, names[i].path);
        hush_sealed_name_text(names[i].raw, out);
        assert_string_equal(out, names[i].text);
    }
}

static void some_names_cannot_be(void **state)
{
    static const char *const names[] = {"", "/", "/a", "a/", "a//b"};
    char longest[HUSH_PATH_MAX + 2], segment[SEALED_SEGMENT_MAX + 2];

    (void)state; /* none */
    for (size_t i = 0; i < COUNT(names); i++)
        assert_non_null(hush_sealed_name_fault(names[i]));
    memset(segment, 'a', sizeof(segment));
    segment[SEALED_SEGMENT_MAX] = '\0';
    assert_null(hush_sealed_name_fault(segment));
    segment[0] = '.'; /* as a file it is longer than the name */
    assert_non_null(hush_sealed_name_fault(segment));
    segment[SEALED_SEGMENT_MAX] = 'a';
    segment[SEALED_SEGMENT_MAX + 1] = '\0';
    assert_non_null(hush_sealed_name_fault(segment));
    for (size_t i = 0; i <= HUSH_PATH_MAX; i++)
        longest[i] = i % 2 == 0 ? 'a' : '/';
    longest[HUSH_PATH_MAX - 1] = '\0';
    assert_null(hush_sealed_name_fault(longest));
    longest[HUSH_PATH_MAX - 1] = 'b';
    longest[HUSH_PATH_MAX + 1] = '\0';
    assert_non_null(hush_sealed_name_fault(longest));
}

static void texts_have_one_spelling(void **state)
{
    static const char *const texts[] = {"",    "%",        "%4",   "%41", "%zz",  "a%00",
                                        "%ff", "\xc3\xbc", "a//b", "/a",  "a\tb", "%2fx"};
    char out[SEALED_TEXT_MAX + 1];

    (void)state; /* none */
    for (size_t i = 0; i < COUNT(texts); i++)
        assert_false(hush_sealed_name_from_text(texts[i], out));
    assert_true(hush_sealed_name_from_text("%C3%BC/100%25", out));
    assert_string_equal(out, "\xc3\xbc/100%");
}

/* No segment is one of the store's own files, "." or "..", whatever the bytes; and both ways. */
static void every_name_is_safe_and_comes_back(void **state)
{
    static const char bytes[] = "./%0129jwe\x01\x7f\xff#.";
    uint64_t random = 1;

    (void)state; /* none */
    for (int round = 0; round < 100000; round++) {
        char raw[16], path[SEALED_TEXT_MAX + 1], text[SEALED_TEXT_MAX + 1], again[64];
        const size_t size = unit_random(&random) % (sizeof(raw) - 1);

        for (size_t i = 0; i < size; i++)
            raw[i] = bytes[unit_random(&random) % (sizeof(bytes) - 1)];
        raw[size] = '\0';
        if (hush_sealed_name_fault(raw) != NULL)
            continue;
        hush_sealed_name_text(raw, text);
        assert_true(hush_sealed_name_from_text(text, again));
        assert_string_equal(again, raw);
        hush_sealed_name_path(raw, path);
        for (const char *segment = path; segment != NULL; segment = strchr(segment, '/')) {
            segment += *segment == '/';
            const size_t digits = strspn(segment, "0123456789");
            assert_true(*segment != '.' && *segment != '/' && *segment != '\0');
            assert_false(digits > 0 && strncmp(segment + digits, ".jwe", 4) == 0 &&
                         (segment[digits + 4] == '\0' || segment[digits + 4] == '/'));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_as_documented),
        cmocka_unit_test(some_names_cannot_be),
        cmocka_unit_test(texts_have_one_spelling),
        cmocka_unit_test(every_name_is_safe_and_comes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
