/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fs_fresh.c - fresh, stale and gone: the table of hushfs.conf(5), seen from open(2).
 */
#include "fs_kernel.h"

#include <errno.h>
#include <string.h>

/* Less than a second: such are not fetched ahead of their time. */
static void test_fresh_for_its_ttl(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S "ttl = 900ms\n");
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    backend_put(k, "s/db", "two");
    kernel_advance_ms(k, 899);
    assert_string_equal(kernel_cat(k, OTHER, "s/db"), "one");
    assert_int_equal(backend_calls(k, "s", "fetch db"), 1);
    kernel_advance_ms(k, 1);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "two");
}

/* What an open of a value past its ttl comes to, by the backend's answer. */
static void test_table(void **state)
{
    /* clang-format off */
    static const struct {
        const char *error, *stale, *without;
    } rows[] = {
        {"NOT_FOUND",   "ENOENT",     "ENOENT"},
        {"DENIED",      "EACCES",     "EACCES"},
        {"AUTH",        "one",        "EIO"},
        {"CONFIG",      "one",        "EIO"},
        {"UNSUPPORTED", "EOPNOTSUPP", "EOPNOTSUPP"},
        {"TOO_LARGE",   "one",        "EFBIG"},
        {"THROTTLED",   "one",        "EAGAIN"},
        {"UNAVAILABLE", "one",        "EHOSTDOWN"},
        {"BACKEND",     "one",        "EIO"},
        {"TIMEOUT",     "one",        "ETIMEDOUT"},
        {"PROTOCOL",    "one",        "EIO"},
        {"NO_MEMORY",   "one",        "ENOMEM"},
    };
    /* clang-format on */
    struct kernel *k = *state;
    char path[64];

    kernel_start(k, CONFIG_S "ttl = 10\nresurrect_ttl = 100\n");
    for (size_t i = 0; i < COUNT(rows); i++) {
        (void)snprintf(path, sizeof(path), "s/db%zu", i);
        backend_put(k, path, "one");
        assert_string_equal(kernel_cat(k, TID, path), "one");
        backend_control(k, path, ".error", rows[i].error);
    }
    kernel_advance_ms(k, SECONDS(11));
    for (size_t i = 0; i < COUNT(rows); i++) {
        (void)snprintf(path, sizeof(path), "s/db%zu", i);
        assert_string_equal(kernel_cat(k, TID, path), rows[i].stale);
    }
    kernel_advance_ms(k, SECONDS(100)); /* past resurrect_ttl */
    for (size_t i = 0; i < COUNT(rows); i++) {
        (void)snprintf(path, sizeof(path), "s/db%zu", i);
        assert_string_equal(kernel_cat(k, TID, path), rows[i].without);
    }
}

static void test_no_grace(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S "ttl = 10\nresurrect_ttl = 0\n");
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    backend_control(k, "s/db", ".error", "UNAVAILABLE");
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    kernel_advance_ms(k, SECONDS(10));
    assert_string_equal(kernel_cat(k, TID, "s/db"), "EHOSTDOWN");
}

/* Its grace ends while the backend is asked, which says then that nothing has changed. */
static void test_grace_ends_while_asked(void **state)
{
    struct kernel *k = *state;
    uint64_t ino, stat;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S "ttl = 10\nresurrect_ttl = 2\n");
    ino = kernel_ino(k, "s/db");
    backend_control(k, "s/db", ".hang", "");
    kernel_advance_ms(k, SECONDS(11));
    stat = kernel_send_stat(k, TID, "s/db");
    kernel_advance_ms(k, SECONDS(4)); /* not past the reader's deadline */
    (void)usleep(1100000);            /* the timer has looked */
    assert_false(kernel_answered(k, stat));
    backend_control(k, "s/db", ".hang", NULL);
    assert_int_equal(kernel_wait(k, stat)->error, 0);
    assert_int_equal(kernel_ino(k, "s/db"), ino);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    assert_int_equal(backend_calls(k, "s", "fetch db"), 2);
}

/* The same, and the backend fails: then the kernel is told to forget it. */
static void test_grace_ends_in_a_failure(void **state)
{
    struct kernel *k = *state;
    uint64_t stat;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S "ttl = 10\nresurrect_ttl = 2\n");
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    backend_control(k, "s/db", ".hang", "");
    kernel_advance_ms(k, SECONDS(11));
    stat = kernel_send_stat(k, TID, "s/db");
    kernel_advance_ms(k, SECONDS(4));
    backend_control(k, "s/db", ".error", "UNAVAILABLE");
    backend_control(k, "s/db", ".hang", NULL);
    assert_int_equal(kernel_wait(k, stat)->error, EHOSTDOWN);
    kernel_advance_ms(k, SECONDS(1));
    assert_string_equal(mover_take(k, HUSH_MOVE_INVAL_ENTRY)->to, "db");
}

/* A value that was refused does not come back when the backend fails. */
static void test_refused_stays_refused(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S "ttl = 10\n");
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    backend_control(k, "s/db", ".error", "DENIED");
    kernel_advance_ms(k, SECONDS(10));
    assert_string_equal(kernel_cat(k, TID, "s/db"), "EACCES");
    backend_control(k, "s/db", ".error", "UNAVAILABLE");
    kernel_advance_ms(k, SECONDS(10));
    assert_string_equal(kernel_cat(k, TID, "s/db"), "EHOSTDOWN");
    backend_control(k, "s/db", ".error", NULL);
    kernel_advance_ms(k, SECONDS(10));
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
}

/* An open descriptor keeps what it has, whatever becomes of the name. */
static void test_refusal_leaves_descriptors(void **state)
{
    struct kernel *k = *state;
    struct kernel_file file;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S "ttl = 10\n");
    assert_int_equal(kernel_open_path(k, TID, "s/db", &file), 0);
    backend_control(k, "s/db", ".error", "DENIED");
    kernel_advance_ms(k, SECONDS(10));
    assert_string_equal(kernel_cat(k, OTHER, "s/db"), "EACCES");
    assert_string_equal(kernel_read(k, file.ino, file.fh), "one");
    assert_int_equal(kernel_release(k, FUSE_RELEASE, file.ino, file.fh), 0);
    kernel_forget(k, file.ino, 10);
    assert_string_equal(kernel_read(k, file.ino, file.fh), "ESTALE"); /* it is wiped now */
}

static void test_absence_is_remembered(void **state)
{
    struct kernel *k = *state;

    kernel_start(k, CONFIG_S "neg_ttl = 5\n");
    assert_string_equal(kernel_cat(k, TID, "s/db"), "ENOENT");
    backend_put(k, "s/db", "one");
    kernel_advance_ms(k, SECONDS(5) - 1);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "ENOENT");
    assert_int_equal(backend_calls(k, "s", "fetch db"), 1);
    kernel_advance_ms(k, 1);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
}

static void test_refusal_is_remembered(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/db", "one");
    backend_control(k, "s/db", ".error", "DENIED");
    kernel_start(k, CONFIG_S "neg_ttl = 5\n");
    for (int i = 0; i < 3; i++)
        assert_string_equal(kernel_cat(k, TID, "s/db"), "EACCES");
    assert_int_equal(backend_calls(k, "s", "fetch db"), 1);
    backend_control(k, "s/db", ".error", NULL);
    kernel_advance_ms(k, SECONDS(5));
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
}

/* The backend may shorten the ttl, not lengthen it. */
static void test_ttl_of_the_backend(void **state)
{
    static const struct {
        const char *name, *suffix, *value, *expires;
    } rows[] = {
        {"s/a", ".ttl", "3000", "3"},
        {"s/b", ".ttl", "60000", "10"},
        {"s/c", ".not_after", "4", "4"},
        {"s/d", ".not_after", "60", "10"},
    };
    struct kernel *k = *state;

    kernel_start(k, CONFIG_S "ttl = 10\n");
    for (size_t i = 0; i < COUNT(rows); i++) {
        backend_put(k, rows[i].name, "one");
        backend_control(k, rows[i].name, rows[i].suffix, rows[i].value);
        assert_string_equal(kernel_cat(k, TID, rows[i].name), "one");
        assert_string_equal(kernel_xattr(k, kernel_ino(k, rows[i].name), "user.hushfs.expires"),
                            rows[i].expires);
    }
}

/* What the backend says has ended is not served on, were it down for an hour or not. */
static void test_nothing_beyond_its_end(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/db", "one");
    backend_control(k, "s/db", ".not_after", "15");
    kernel_start(k, CONFIG_S "ttl = 10\nresurrect_ttl = 3600\n");
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    backend_control(k, "s/db", ".error", "UNAVAILABLE");
    kernel_advance_ms(k, SECONDS(14));
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    kernel_advance_ms(k, SECONDS(1));
    assert_string_equal(kernel_cat(k, TID, "s/db"), "EHOSTDOWN");
}

/* Each answer says anew until when, also one that says that nothing has changed. */
static void test_end_moves(void **state)
{
    struct kernel *k = *state;
    uint64_t ino;

    backend_put(k, "s/db", "one");
    backend_control(k, "s/db", ".not_after", "15");
    kernel_start(k, CONFIG_S "ttl = 10\n");
    ino = kernel_ino(k, "s/db");
    kernel_advance_ms(k, SECONDS(10));
    assert_int_equal(kernel_ino(k, "s/db"), ino);
    backend_control(k, "s/db", ".error", "UNAVAILABLE");
    kernel_advance_ms(k, SECONDS(9));
    (void)usleep(1100000); /* the timer has looked */
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    assert_int_equal(kernel_ino(k, "s/db"), ino);
}

static void test_stale_can_be_seen(void **state)
{
    struct kernel *k = *state;
    uint64_t ino;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S "ttl = 10\n");
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    ino = kernel_ino(k, "s/db");
    assert_string_equal(kernel_xattr(k, ino, "user.hushfs.stale"), "0");
    backend_control(k, "s/db", ".error", "UNAVAILABLE");
    kernel_advance_ms(k, SECONDS(12));
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    assert_int_equal(kernel_ino(k, "s/db"), ino);
    assert_string_equal(kernel_xattr(k, ino, "user.hushfs.stale"), "1");
    assert_string_equal(kernel_xattr(k, ino, "user.hushfs.age"), "12");
    assert_non_null(strstr(kernel_cat(k, TID, ".hushfs/metrics"), "hushfs_stale_opens_total 1\n"));
}

/* A failing backend is not asked at every open: 1 s, 2 s, 4 s, … less up to a quarter. */
static void test_pauses_grow(void **state)
{
    static const unsigned pause_s[] = {1, 2, 4, 8, 16, 32, 60, 60};
    struct kernel *k = *state;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S "ttl = 10\n");
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    backend_control(k, "s/db", ".error", "UNAVAILABLE");
    kernel_advance_ms(k, SECONDS(10));
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    for (unsigned i = 0; i < COUNT(pause_s); i++) {
        unsigned calls = backend_calls(k, "s", "fetch db");

        kernel_advance_ms(k, SECONDS(pause_s[i]) * 3 / 4 - 1);
        assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
        assert_int_equal(backend_calls(k, "s", "fetch db"), calls);
        kernel_advance_ms(k, SECONDS(pause_s[i]) / 4 + 1);
        assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
        assert_int_equal(backend_calls(k, "s", "fetch db"), calls + 1);
    }
    backend_control(k, "s/db", ".error", NULL);
    backend_put(k, "s/db", "two");
    kernel_advance_ms(k, SECONDS(60));
    assert_string_equal(kernel_cat(k, TID, "s/db"), "two");
}

/* Readers who have nothing to fall back on are let through once a second. */
static void test_pauses_without_a_value(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/db", "one");
    backend_control(k, "s/db", ".error", "UNAVAILABLE");
    kernel_start(k, CONFIG_S);
    for (unsigned i = 0; i < 10; i++) {
        assert_string_equal(kernel_cat(k, TID, "s/db"), "EHOSTDOWN");
        assert_int_equal(backend_calls(k, "s", "fetch db"), i + 1);
        kernel_advance_ms(k, 749);
        assert_string_equal(kernel_cat(k, TID, "s/db"), "EHOSTDOWN");
        assert_int_equal(backend_calls(k, "s", "fetch db"), i + 1);
        kernel_advance_ms(k, 251);
    }
}

static void test_retry_after(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/db", "one");
    backend_control(k, "s/db", ".error", "THROTTLED");
    backend_control(k, "s/db", ".retry", "7000");
    kernel_start(k, CONFIG_S);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "EAGAIN");
    backend_control(k, "s/db", ".error", NULL);
    kernel_advance_ms(k, SECONDS(7) - 1);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "EAGAIN");
    kernel_advance_ms(k, 1);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
}

/* ttl 0: the backend is asked at each open, exactly once, cold or warm, changed or not. */
static void test_ttl_0_asks_once(void **state)
{
    struct kernel *k = *state;
    char value[16];

    kernel_start(k, CONFIG_S "ttl = 0\n");
    for (unsigned i = 0; i < 8; i++) {
        (void)snprintf(value, sizeof(value), "%u", i / 2);
        backend_put(k, "s/db", value);
        assert_string_equal(kernel_cat(k, i % 3 == 0 ? TID : OTHER, "s/db"), value);
        assert_int_equal(backend_calls(k, "s", "fetch db"), i + 1);
    }
}

/* Used since it was fetched: fetched again before the ttl ends, so that no reader waits. */
static void test_hot_secrets_are_fetched_ahead(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/db", "one");
    backend_put(k, "s/cold", "one");
    kernel_start(k, CONFIG_S "ttl = 100\n");
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    assert_string_equal(kernel_cat(k, TID, "s/cold"), "one");
    kernel_advance_ms(k, SECONDS(10));
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    backend_put(k, "s/db", "two");
    kernel_advance_ms(k, SECONDS(81)); /* 75 to 90 % of the ttl */
    backend_await(k, "s", "fetch db", 2);
    backend_control(k, "s/db", ".hang", "");
    while (strcmp(kernel_cat(k, TID, "s/db"), "two") != 0)
        (void)usleep(1000); /* what was fetched is shown at once, nobody waits */
    assert_int_equal(backend_calls(k, "s", "fetch cold"), 1);
    backend_control(k, "s/db", ".hang", NULL);
}

static void test_empty_is_a_value(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/db", "");
    kernel_start(k, CONFIG_S);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KERNEL_TEST(test_fresh_for_its_ttl),
        KERNEL_TEST(test_table),
        KERNEL_TEST(test_no_grace),
        KERNEL_TEST(test_grace_ends_while_asked),
        KERNEL_TEST(test_grace_ends_in_a_failure),
        KERNEL_TEST(test_refused_stays_refused),
        KERNEL_TEST(test_refusal_leaves_descriptors),
        KERNEL_TEST(test_absence_is_remembered),
        KERNEL_TEST(test_refusal_is_remembered),
        KERNEL_TEST(test_ttl_of_the_backend),
        KERNEL_TEST(test_nothing_beyond_its_end),
        KERNEL_TEST(test_end_moves),
        KERNEL_TEST(test_stale_can_be_seen),
        KERNEL_TEST(test_pauses_grow),
        KERNEL_TEST(test_pauses_without_a_value),
        KERNEL_TEST(test_retry_after),
        KERNEL_TEST(test_ttl_0_asks_once),
        KERNEL_TEST(test_hot_secrets_are_fetched_ahead),
        KERNEL_TEST(test_empty_is_a_value),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
