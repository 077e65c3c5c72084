/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fs_source.c - a reload that changes where an instance's values come from, or what it asks
 * for; watches that see a part of it, or nothing.
 */
#include "fs_kernel.h"

#include <errno.h>
#include <string.h>

#define CONFIG_T "[provider/s]\ntype = test\ndir = @/t\n"

static void reload(struct kernel *k, const char *config)
{
    kernel_kill(k);
    k->shared->state.config_generation++;
    kernel_start(k, config);
}

/* -- Another source ---------------------------------------------------------------------------- */

static void test_another_source(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/db", "one");
    backend_control(k, "s/db", ".version", "7");
    backend_put(k, "t/db", "two");
    backend_control(k, "t/db", ".version", "7");
    kernel_start(k, CONFIG_S);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    reload(k, CONFIG_T);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "two"); /* long before its ttl ends */
    assert_string_equal(kernel_cat(k, OTHER, "s/db"), "two");
    assert_int_equal(backend_calls(k, "t", "fetch db"), 1);
}

/* The same bytes are the same version, and fresh again. */
static void test_the_same_bytes(void **state)
{
    struct kernel *k = *state;
    uint64_t ino;

    backend_put(k, "s/db", "one");
    backend_put(k, "t/db", "one");
    kernel_start(k, CONFIG_S);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    ino = kernel_ino(k, "s/db");
    reload(k, CONFIG_T);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    assert_string_equal(kernel_cat(k, OTHER, "s/db"), "one");
    assert_int_equal(kernel_ino(k, "s/db"), ino);
    assert_int_equal(mover_count(k, HUSH_MOVE_REPLACE), 0);
    assert_int_equal(backend_calls(k, "t", "fetch db"), 1);
}

/* While the new one cannot say, the old value does, as long as any other would. */
static void test_the_new_one_is_down(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/db", "one");
    backend_control(k, "t/db", ".error", "UNAVAILABLE");
    kernel_start(k, CONFIG_S "ttl = 10\nresurrect_ttl = 20\n");
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    reload(k, CONFIG_T "ttl = 10\nresurrect_ttl = 20\n");
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    assert_int_equal(backend_calls(k, "t", "fetch db"), 1);
    kernel_advance_ms(k, SECONDS(29));
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    kernel_advance_ms(k, SECONDS(1));
    assert_string_equal(kernel_cat(k, TID, "s/db"), "EHOSTDOWN");
    backend_control(k, "t/db", ".error", "DENIED");
}

/* What has nothing to do with it: another instance, ttl, mode, the order of keys. */
static void test_unrelated(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/db", "one");
    backend_put(k, "s/cred", "cred");
    backend_control(k, "s/cred", ".dynamic", "");
    backend_control(k, "s/cred", ".ttl", "100000");
    kernel_start(k, CONFIG_S);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    assert_string_equal(kernel_cat(k, TID, "s/cred"), "cred2");
    reload(k, "[provider/s]\ndir = @/s\ntype = test\nmode = 0444\nttl = 400\n"
              "[provider/u]\ntype = test\ndir = @/t\n[path/s/other]\nparam.x = 1\n");
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    assert_string_equal(kernel_cat(k, TID, "s/cred"), "cred2");
    (void)usleep(1200000);
    assert_int_equal(backend_calls(k, "s", NULL), 2);
}

/* A parameter of the path asks for something else; the name beside it is not asked for. */
static void test_parameter(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/db", "one");
    backend_put(k, "s/other", "two");
    kernel_start(k, CONFIG_S "[path/s/db]\nparam.x = 1\n");
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    assert_string_equal(kernel_cat(k, TID, "s/other"), "two");
    reload(k, CONFIG_S "[path/s/db]\nparam.x = 2\n");
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    assert_string_equal(kernel_cat(k, TID, "s/other"), "two");
    assert_int_equal(backend_calls(k, "s", "fetch db"), 2);
    assert_int_equal(backend_calls(k, "s", "fetch other"), 1);
}

/* A credential of another source is replaced at once, though nobody asks. */
static void test_credential(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/db", "cred");
    backend_control(k, "s/db", ".dynamic", "");
    backend_control(k, "s/db", ".ttl", "100000");
    backend_put(k, "t/db", "new");
    kernel_start(k, CONFIG_S);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "cred1");
    reload(k, CONFIG_T);
    backend_await(k, "t", "fetch db", 1);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "new");
    assert_int_equal(backend_calls(k, "t", "fetch db"), 1);
}

/* -- Watches ----------------------------------------------------------------------------------- */

static void await_watching(struct kernel *k, bool watching)
{
    for (int i = 0; i < 1000; i++) {
        const char *status = kernel_cat(k, OTHER, ".hushfs/status.json");

        if ((strstr(status, "\"watching\":true") != NULL) == watching)
            return;
        (void)usleep(5000);
    }
    fail_msg("watching is not %d", watching);
}

/* A listing past neg_ttl is made again meanwhile, if the watch does not see everything. */
static void list_later(struct kernel *k, const char *watch, unsigned calls)
{
    backend_put(k, "s/db", "one");
    backend_control(k, "s", "/.watch", watch);
    backend_control(k, "s", "/.watchlog", "");
    kernel_start(k, CONFIG_S "ttl = 100\nneg_ttl = 5\n");
    backend_await(k, "s", "watch ", 1);
    await_watching(k, calls == 1);
    assert_string_equal(kernel_ls(k, TID, "s"), "db");
    kernel_advance_ms(k, SECONDS(50));
    assert_string_equal(kernel_ls(k, TID, "s"), "db");
    backend_await(k, "s", "list ", calls);
    await_watching(k, calls == 1);
    assert_int_equal(backend_calls(k, "s", "list "), calls);
}

static void test_complete_watch(void **state)
{
    list_later(*state, "", 1);
}

static void test_partial_watch(void **state)
{
    struct kernel *k = *state;

    list_later(k, "partial", 2);
    /* What it does see counts. */
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    backend_put(k, "s/db", "two");
    backend_control(k, "s", "/.changed", "db");
    backend_await(k, "s", "fetch db", 2);
    (void)mover_take(k, HUSH_MOVE_REPLACE);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "two");
}

/* One that cannot watch is not asked again. */
static void test_unsupported_watch(void **state)
{
    struct kernel *k = *state;

    list_later(k, NULL, 2);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    backend_put(k, "s/db", "two");
    backend_control(k, "s", "/.watch", "");
    backend_control(k, "s", "/.changed", "db");
    (void)usleep(1500000); /* more than the pause after a watch that ended otherwise */
    assert_int_equal(backend_calls(k, "s", "fetch db"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KERNEL_TEST(test_another_source),      KERNEL_TEST(test_the_same_bytes),
        KERNEL_TEST(test_the_new_one_is_down), KERNEL_TEST(test_unrelated),
        KERNEL_TEST(test_parameter),           KERNEL_TEST(test_credential),
        KERNEL_TEST(test_complete_watch),      KERNEL_TEST(test_partial_watch),
        KERNEL_TEST(test_unsupported_watch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
