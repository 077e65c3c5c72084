/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fs_fresh.c - fresh, stale and gone: DESIGN's table, seen from open(2).
 */
#include "fs_kernel.h"

#include <errno.h>
#include <string.h>

#define S(seconds) (UINT64_C(1000) * (seconds))

static void test_fresh_for_its_ttl(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S "ttl = 300\n");
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    backend_put(k, "s/db", "two");
    /* Nobody has used it since it was fetched: it is not refreshed ahead. */
    kernel_advance_ms(k, S(300) - 1);
    assert_string_equal(kernel_cat(k, OTHER, "s/db"), "one");
    assert_int_equal(backend_calls(k, "s", "fetch db"), 1);
    kernel_advance_ms(k, 1);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "two");
}

/* What an open of a value past its ttl comes to, by the backend's answer. */
static void test_table(void **state)
{
    static const struct {
        const char *error, *stale, *without;
    } rows[] = {
        {"NOT_FOUND", "ENOENT", "ENOENT"},
        {"DENIED", "EACCES", "EACCES"},
        {"AUTH", "one", "EIO"},
        {"CONFIG", "one", "EIO"},
        {"UNSUPPORTED", "EOPNOTSUPP", "EOPNOTSUPP"},
        {"TOO_LARGE", "one", "EFBIG"},
        {"THROTTLED", "one", "EAGAIN"},
        {"UNAVAILABLE", "one", "EHOSTDOWN"},
        {"BACKEND", "one", "EIO"},
        {"TIMEOUT", "one", "ETIMEDOUT"},
        {"PROTOCOL", "one", "EIO"},
        {"NO_MEMORY", "one", "ENOMEM"},
    };
    struct kernel *k = *state;
    char path[64];

    kernel_start(k, CONFIG_S "ttl = 10\nresurrect_ttl = 100\n");
    for (size_t i = 0; i < COUNT(rows); i++) {
        (void)snprintf(path, sizeof(path), "s/db%zu", i);
        backend_put(k, path, "one");
        assert_string_equal(kernel_cat(k, TID, path), "one");
        backend_control(k, path, ".error", rows[i].error);
    }
    kernel_advance_ms(k, S(11));
    for (size_t i = 0; i < COUNT(rows); i++) {
        (void)snprintf(path, sizeof(path), "s/db%zu", i);
        assert_string_equal(kernel_cat(k, TID, path), rows[i].stale);
    }
    kernel_advance_ms(k, S(100)); /* past resurrect_ttl */
    for (size_t i = 0; i < COUNT(rows); i++) {
        (void)snprintf(path, sizeof(path), "s/db%zu", i);
        assert_string_equal(kernel_cat(k, TID, path), rows[i].without);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fresh_for_its_ttl, kernel_setup, kernel_teardown),
        cmocka_unit_test_setup_teardown(test_table, kernel_setup, kernel_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
