/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_rfc3339.c - dates of answers.
 */
#include "unit.h"

#include "rfc3339.h"

#include <stdio.h>

static void test_taken(void **state)
{
    /* clang-format off */
    static const struct { const char *text; time_t at; } rows[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1969-12-31T23:59:59Z", -1},
        {"2026-11-24T19:08:42.457998124Z", 1795547322},
        {"2026-11-24t19:08:42z", 1795547322},
        {"2026-11-24 19:08:42Z", 1795547322},
        {"2026-11-24T21:08:42+02:00", 1795547322},
        {"2026-11-24T13:38:42.0-05:30", 1795547322},
        {"2000-02-29T12:00:00Z", 951825600},
        {"2100-03-01T00:00:00Z", 4107542400},
        {"2016-12-31T23:59:60Z", 1483228799},
        {"0001-01-01T00:00:00Z", -62135596800},
        {"9999-12-31T23:59:59Z", 253402300799},
    };
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        time_t at = 0;
        assert_true(hush_rfc3339(rows[i].text, &at));
        assert_int_equal(at, rows[i].at);
    }
}

static void test_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "2026",
        "2026-11-24",
        "2026-11-24T19:08:42",
        "2026-11-24T19:08:42.Z",
        "2026-11-24T19:08:42Zx",
        "2026-11-24T19:08:42+2:00",
        "2026-11-24T19:08:42+02",
        "2026-11-24T19:08:42+24:00",
        "2026-13-24T19:08:42Z",
        "2026-00-24T19:08:42Z",
        "2026-11-31T19:08:42Z",
        "2026-11-00T19:08:42Z",
        "2026-02-29T19:08:42Z",
        "2100-02-29T19:08:42Z",
        "2026-11-24T24:08:42Z",
        "2026-11-24T19:60:42Z",
        "2026-11-24T19:08:61Z",
        "0000-11-24T19:08:42Z",
        "-026-11-24T19:08:42Z",
        "2026-11-24T19:08: 2Z",
        " 2026-11-24T19:08:42Z",
    };
    time_t at = 7;

    (void)state;
    assert_false(hush_rfc3339(NULL, &at));
    for (size_t i = 0; i < COUNT(texts); i++)
        assert_false(hush_rfc3339(texts[i], &at));
    assert_int_equal(at, 7);
}

/* Every day of 400 years, as the C library counts. */
static void test_every_day(void **state)
{
    (void)state;
    for (time_t day = 0; day < 146097; day++) {
        const time_t at = (day - 100000) * 86400 + 86399;
        struct tm tm;
        char text[40];
        time_t got = 0;

        assert_non_null(gmtime_r(&at, &tm));
        assert_true(strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) > 0);
        assert_true(hush_rfc3339(text, &got));
        assert_int_equal(got, at);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_every_day),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
