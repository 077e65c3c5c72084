/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_status.c - the table of outcomes against the design's own, row by row.
 */
#include "core/status.h"
#include "unit.h"

#include <errno.h>
#include <string.h>

/* clang-format off */
static const struct { enum hush_status status; const char *name; int err; bool retries, stale; } rows[] = {
    {HUSH_OK,          "OK",          0,         false, false},
    {HUSH_NOT_FOUND,   "NOT_FOUND",   ENOENT,    false, false},
    {HUSH_DENIED,      "DENIED",      EACCES,    false, false},
    {HUSH_AUTH,        "AUTH",        EIO,       true,  true},
    {HUSH_CONFIG,      "CONFIG",      EIO,       false, true},
    {HUSH_UNSUPPORTED, "UNSUPPORTED", ENOTSUP,   false, false},
    {HUSH_TOO_LARGE,   "TOO_LARGE",   EFBIG,     false, true},
    {HUSH_THROTTLED,   "THROTTLED",   EAGAIN,    true,  true},
    {HUSH_UNAVAILABLE, "UNAVAILABLE", EHOSTDOWN, true,  true},
    {HUSH_BACKEND,     "BACKEND",     EIO,       true,  true},
    {HUSH_TIMEOUT,     "TIMEOUT",     ETIMEDOUT, true,  true},
    {HUSH_PROTOCOL,    "PROTOCOL",    EIO,       false, true},
    {HUSH_CANCELED,    "CANCELED",    EINTR,     false, true},
    {HUSH_NO_MEMORY,   "NO_MEMORY",   ENOMEM,    true,  true},
};
/* clang-format on */

static void every_status_has_its_row(void **state)
{
    (void)state; /* none */
    assert_int_equal(COUNT(rows), HUSH_STATUS_COUNT);
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(rows[i].status, i);
        assert_int_equal(hush_status_errno(rows[i].status), rows[i].err);
        assert_int_equal(hush_status_retries(rows[i].status), rows[i].retries);
        assert_int_equal(hush_status_keeps_stale(rows[i].status), rows[i].stale);
        assert_string_equal(hush_status_name(rows[i].status), rows[i].name);
        assert_true(strlen(hush_status_text(rows[i].status)) > 1);
    }
}

static void a_refusal_never_keeps_a_stale_value(void **state)
{
    (void)state; /* none */
    assert_false(hush_status_keeps_stale(HUSH_NOT_FOUND));
    assert_false(hush_status_keeps_stale(HUSH_DENIED));
}

static void a_number_that_is_no_status_is_a_failed_backend(void **state)
{
    (void)state; /* none */
    for (int n = HUSH_STATUS_COUNT; n < HUSH_STATUS_COUNT + 3; n++)
        assert_int_equal(hush_status_errno((enum hush_status)n), EIO);
    assert_int_equal(hush_status_errno((enum hush_status) - 1), EIO);
    assert_string_equal(hush_status_name((enum hush_status) - 1), "BACKEND");
}

static void local_errors_become_statuses(void **state)
{
    static const struct {
        int err;
        enum hush_status status;
    } errors[] = {
        {0, HUSH_OK},
        {ENOENT, HUSH_NOT_FOUND},
        {ENOTDIR, HUSH_NOT_FOUND},
        {EACCES, HUSH_DENIED},
        {EPERM, HUSH_DENIED},
        {ELOOP, HUSH_DENIED},
        {EXDEV, HUSH_DENIED},
        {EMFILE, HUSH_NO_MEMORY},
        {ENFILE, HUSH_NO_MEMORY},
        {EFBIG, HUSH_TOO_LARGE},
        {ETIMEDOUT, HUSH_TIMEOUT},
        {ECONNREFUSED, HUSH_UNAVAILABLE},
        {EIO, HUSH_BACKEND},
        {99999, HUSH_BACKEND},
        {-ENOENT, HUSH_BACKEND},
    };

    (void)state; /* none */
    for (size_t i = 0; i < COUNT(errors); i++)
        assert_int_equal(hush_status_from_errno(errors[i].err), errors[i].status);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_its_row),
        cmocka_unit_test(a_refusal_never_keeps_a_stale_value),
        cmocka_unit_test(a_number_that_is_no_status_is_a_failed_backend),
        cmocka_unit_test(local_errors_become_statuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
