/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fs_opening.c - an instance whose open() fails: nobody who looks at it reaches its backend or
 * ends the worker, the reason is told, and it is opened as soon as it can be.
 */
#include "fs_kernel.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

static void set_fails(struct kernel *k, const char *status)
{
    backend_control(k, "s/.open", ".error", status);
}

/* Of the instance s: "HEALTH: LAST_ERROR". Static. */
static const char *health(struct kernel *k)
{
    static char text[256];
    json_t *json = json_loads(kernel_cat(k, TID, ".hushfs/status.json"), 0, NULL);
    json_t *instance = json_array_get(json_object_get(json, "instances"), 0);
    const char *why = json_string_value(json_object_get(instance, "last_error"));

    assert_non_null(instance);
    (void)snprintf(text, sizeof(text), "%s: %s",
                   json_string_value(json_object_get(instance, "health")), why == NULL ? "" : why);
    json_decref(json);
    return text;
}

static void test_nothing_is_called(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/db", "one");
    backend_put(k, "s/.watch", "");
    backend_control(k, "s/", ".watchlog", "");
    set_fails(k, "CONFIG");
    kernel_start(k, CONFIG_S);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "EIO");
    assert_string_equal(kernel_cat(k, TID, "s/no/such"), "EIO");
    assert_string_equal(kernel_ls(k, TID, "s"), "EIO");
    assert_int_equal(backend_calls(k, "s", NULL), 1);
    assert_int_equal(backend_calls(k, "s", "open "), 1);
}

/* The reason that is told is open()'s, however many calls fail after it. */
static void test_reason(void **state)
{
    static const char *const statuses[] = {"CONFIG", "UNAVAILABLE", "NOT_FOUND", "AUTH"};
    static const char *const told[] = {"CONFIG", "UNAVAILABLE", "CONFIG", "AUTH"};
    struct kernel *k = *state;
    char before[256];

    backend_put(k, "s/db", "one");
    for (size_t i = 0; i < COUNT(statuses); i++) {
        set_fails(k, statuses[i]);
        kernel_start(k, CONFIG_S);
        (void)snprintf(before, sizeof(before), "%s", health(k));
        assert_int_equal(strncmp(before, told[i], strlen(told[i])), 0);
        assert_non_null(strstr(before, "scripted"));
        (void)kernel_cat(k, TID, "s/db");
        (void)kernel_ls(k, TID, "s");
        assert_string_equal(health(k), before);
        kernel_kill(k);
    }
    kernel_start(k, CONFIG_S);
}

static void test_opened_later(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/db", "one");
    set_fails(k, "CONFIG");
    kernel_start(k, CONFIG_S);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "EIO");
    backend_remove(k, "s/.open.error");
    assert_string_equal(kernel_cat(k, TID, "s/db"), "EIO"); /* a pause first */
    kernel_advance_ms(k, SECONDS(1));
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    assert_string_equal(kernel_ls(k, TID, "s"), "db");
    assert_string_equal(health(k), "OK: ");
    backend_put(k, "s/db", "two");
    kernel_advance_ms(k, SECONDS(301));
    assert_string_equal(kernel_cat(k, TID, "s/db"), "two");
}

/* What watch() and prefetch begin with a mount begins then, too. */
static void test_what_an_open_begins(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/db", "one");
    backend_put(k, "s/other", "one");
    backend_put(k, "s/.watch", "");
    backend_control(k, "s/", ".watchlog", "");
    set_fails(k, "CONFIG");
    kernel_start(k, CONFIG_S "prefetch = yes\nttl = 1000\n");
    backend_remove(k, "s/.open.error");
    kernel_advance_ms(k, SECONDS(1));
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    backend_await(k, "s", "fetch other", 1);
    backend_await(k, "s", "watch ", 1);
}

/* A worker that cannot open an instance serves what the last one had fetched. */
static void test_taken_over(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S "ttl = 10\n");
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    kernel_kill(k);
    set_fails(k, "NOT_FOUND");
    kernel_start(k, CONFIG_S "ttl = 10\n");
    kernel_advance_ms(k, SECONDS(11));
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    assert_int_equal(backend_calls(k, "s", "fetch db"), 1);
}

static void await_health(struct kernel *k, const char *expected)
{
    for (int i = 0; strcmp(health(k), expected) != 0; i++) {
        if (i > 1000)
            fail_msg("it is %s, not %s", health(k), expected);
        (void)usleep(5000);
    }
}

/* What a provider knows before any reader meets it; what readers meet counts more. */
static void test_upkeep(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/db", "one");
    backend_put(k, "s/bad", "one");
    backend_control(k, "s/bad", ".error", "TIMEOUT");
    backend_put(k, "s/.watch", "");
    kernel_start(k, CONFIG_S);
    assert_string_equal(health(k), "OK: ");
    backend_control(k, "s/.upkeep", ".error", "AUTH");
    await_health(k, "AUTH: scripted by the test");
    assert_string_equal(kernel_cat(k, TID, "s/bad"), "ETIMEDOUT");
    assert_string_equal(health(k), "TIMEOUT: scripted by the test");
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    assert_string_equal(health(k), "AUTH: scripted by the test");
    backend_remove(k, "s/.upkeep.error");
    await_health(k, "OK: ");
}

/* Neither renewed nor given back by an instance that is not open. */
static void test_leases(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/db", "user");
    backend_control(k, "s/db", ".dynamic", "");
    backend_control(k, "s/db", ".lease", "renewable");
    backend_control(k, "s/db", ".ttl", "60000");
    kernel_start(k, CONFIG_S);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "user1");
    kernel_kill(k);
    set_fails(k, "CONFIG");
    kernel_start(k, CONFIG_S);
    kernel_advance_ms(k, SECONDS(50)); /* time to renew it, before the end of its grace */
    backend_await(k, "s", "open ", 2);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "user1");
    (void)kernel_end(k);
    assert_int_equal(backend_calls(k, "s", "renew db@1"), 0);
    assert_int_equal(backend_calls(k, "s", "revoke db@1"), 0);
    assert_int_equal(backend_calls(k, "s", "fetch db"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KERNEL_TEST(test_nothing_is_called),
        KERNEL_TEST(test_reason),
        KERNEL_TEST(test_opened_later),
        KERNEL_TEST(test_what_an_open_begins),
        KERNEL_TEST(test_taken_over),
        KERNEL_TEST(test_leases),
        KERNEL_TEST(test_upkeep),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
