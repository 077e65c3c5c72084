/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fs_lease_end.c - leases and logins at the end of a worker: the next one has them; at the end
 * of the mount leases are given back, once each.
 */
#include "fs_kernel.h"

#include "core/arena.h"
#include "core/clock.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#define CONFIG_SHORT CONFIG_S "ttl = 5\n"

static void put(struct kernel *k, const char *path)
{
    backend_put(k, path, "cred");
    backend_control(k, path, ".dynamic", "");
    backend_control(k, path, ".ttl", "100000");
    backend_control(k, path, ".lease", "renewable");
}

static void await(struct kernel *k, const char *path, const char *expected)
{
    for (int i = 0; strcmp(kernel_cat(k, TID, path), expected) != 0; i++) {
        if (i > 3000)
            fail_msg("%s is %s, not %s", path, kernel_cat(k, TID, path), expected);
        (void)usleep(5000);
    }
}

/* It ended, another was fetched, and the kernel is being told: who comes now waits for that one. */
static void test_while_it_is_shown(void **state)
{
    struct kernel *k = *state;
    const struct hush_move_packet *move;
    uint64_t stat;

    k->by_hand = true;
    put(k, "s/db");
    kernel_start(k, CONFIG_SHORT);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "cred1");
    kernel_advance_ms(k, SECONDS(100));
    backend_await(k, "s", "fetch db", 2);
    move = mover_take(k, HUSH_MOVE_REPLACE);
    stat = kernel_send_stat(k, OTHER, "s/db");
    assert_false(kernel_answered(k, stat));
    assert_int_equal(mover_rename(k, move), 0);
    mover_answer(k, move, 0);
    assert_int_equal(kernel_wait(k, stat)->error, ESTALE);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "cred2");
    assert_int_equal(backend_calls(k, "s", NULL), 2);
}

/* The new worker renews the same lease, at its time; one that was given up stays given up. */
static void test_takeover(void **state)
{
    struct kernel *k = *state;

    put(k, "s/db");
    kernel_start(k, CONFIG_SHORT);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "cred1");
    for (unsigned i = 1; i <= 3; i++) {
        kernel_kill(k);
        kernel_advance_ms(k, SECONDS(20));
        kernel_start(k, CONFIG_SHORT);
        assert_string_equal(kernel_cat(k, TID, "s/db"), "cred1");
    }
    assert_int_equal(backend_calls(k, "s", NULL), 1);
    kernel_advance_ms(k, SECONDS(14));
    backend_await(k, "s", "renew db@1", 1);
    (void)usleep(50000);
    kernel_kill(k);
    kernel_start(k, CONFIG_SHORT);
    kernel_advance_ms(k, SECONDS(60));
    (void)usleep(1200000); /* it has looked */
    assert_int_equal(backend_calls(k, "s", NULL), 2);
    kernel_advance_ms(k, SECONDS(30)); /* of the 100 that the renewal gave */
    backend_await(k, "s", "renew db@1", 2);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "cred1");
    assert_int_equal(backend_calls(k, "s", "fetch db"), 1);
}

/* Whether somebody read it is not forgotten, nor that the lease is gone. */
static void test_takeover_of_a_dead_lease(void **state)
{
    struct kernel *k = *state;

    put(k, "s/db");
    backend_control(k, "s/db", ".renew.error", "NOT_FOUND");
    kernel_start(k, CONFIG_SHORT);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "cred1");
    backend_control(k, "s/db", ".error", "UNAVAILABLE");
    kernel_advance_ms(k, SECONDS(74));
    backend_await(k, "s", "fetch db", 2);
    kernel_kill(k);
    backend_control(k, "s/db", ".error", NULL);
    kernel_start(k, CONFIG_SHORT);
    kernel_advance_ms(k, SECONDS(1));
    await(k, "s/db", "cred4");
    assert_int_equal(backend_calls(k, "s", "renew db@1"), 1);
}

/* Current ones, and one that is superseded and still open. */
static void test_revoked_at_the_end(void **state)
{
    struct kernel *k = *state;
    struct kernel_file file;
    char line[32];

    put(k, "s/db");
    put(k, "s/other");
    kernel_start(k, CONFIG_SHORT);
    assert_int_equal(kernel_open_path(k, TID, "s/db", &file), 0);
    (void)kernel_control(k, kernel_send_control(k, HUSH_CONTROL_REFRESH, "s/db"));
    assert_string_equal(kernel_cat(k, TID, "s/db"), "cred2");
    assert_string_equal(kernel_cat(k, TID, "s/other"), "cred3");
    (void)usleep(100000); /* who answered the refresh has noted that, and it is not begun again */
    kernel_kill(k);
    kernel_start(k, CONFIG_SHORT);
    (void)kernel_send_control(k, HUSH_CONTROL_RELOAD, "");
    assert_int_equal(kernel_exited(k), HUSH_EXIT_RELOAD);
    kernel_start(k, CONFIG_SHORT);
    assert_int_equal(backend_calls(k, "s", NULL), 3); /* nothing was revoked until now */
    assert_int_equal(kernel_end(k), HUSH_EXIT_UNMOUNTED);
    for (int i = 1; i <= 3; i++) {
        (void)snprintf(line, sizeof(line), "revoke %s@%d", i < 3 ? "db" : "other", i);
        assert_int_equal(backend_calls(k, "s", line), 1);
    }
    assert_int_equal(backend_calls(k, "s", NULL), 6);
}

/* The keeper ends the mount: the worker ends as if another came, and revokes. */
static void test_revoked_when_the_keeper_ends(void **state)
{
    struct kernel *k = *state;

    put(k, "s/db");
    kernel_start(k, CONFIG_SHORT);
    assert_int_equal(k->shared->state.leases, 0);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "cred1");
    assert_int_equal(k->shared->state.leases, 1); /* the keeper gives it time */
    k->shared->state.ending = 1;
    (void)kernel_send_control(k, HUSH_CONTROL_RELOAD, "");
    assert_int_equal(kernel_exited(k), HUSH_EXIT_RELOAD);
    assert_int_equal(backend_calls(k, "s", "revoke db@1"), 1);
}

/* Many at once, and a backend that fails or hangs costs no more than the time for all of them. */
static void test_revocation_is_bounded(void **state)
{
    struct kernel *k = *state;
    struct timespec begin, end;
    char path[32];

    for (int i = 0; i < 40; i++) {
        (void)snprintf(path, sizeof(path), "s/n%d", i);
        put(k, path);
    }
    backend_control(k, "s/n0", ".revoke.error", "DENIED");
    backend_control(k, "s/n1", ".revoke.hang", "");
    backend_control(k, "s/n1", ".revoke.deaf", "");
    kernel_start(k, CONFIG_SHORT);
    for (int i = 0; i < 40; i++) {
        (void)snprintf(path, sizeof(path), "s/n%d", i);
        assert_int_equal(strncmp(kernel_cat(k, TID, path), "cred", 4), 0);
    }
    clock_gettime(CLOCK_MONOTONIC, &begin);
    assert_int_equal(kernel_end(k), HUSH_EXIT_UNMOUNTED);
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_in_range(end.tv_sec - begin.tv_sec, 4, 8);
    assert_int_equal(backend_calls(k, "s", NULL), 80);
}

/* After all leases, whatever became of those, and only then. */
static void test_login_is_given_back(void **state)
{
    struct kernel *k = *state;

    put(k, "s/db");
    backend_control(k, "s", "/.login", "");
    kernel_start(k, CONFIG_SHORT);
    assert_int_equal(k->shared->state.leases,
                     1); /* the keeper gives it time, without a lease, too */
    assert_string_equal(kernel_cat(k, TID, "s/db"), "cred1");
    kernel_kill(k);
    kernel_start(k, CONFIG_SHORT);
    (void)kernel_send_control(k, HUSH_CONTROL_RELOAD, "");
    assert_int_equal(kernel_exited(k), HUSH_EXIT_RELOAD);
    kernel_start(k, CONFIG_SHORT);
    assert_int_equal(backend_calls(k, "s", NULL), 1); /* nothing was given back until now */
    assert_int_equal(kernel_end(k), HUSH_EXIT_UNMOUNTED);
    assert_int_equal(backend_calls(k, "s", "revoke db@1"), 1);
    assert_int_equal(backend_calls(k, "s", "revoke "), 1);
    assert_string_equal(backend_last_call(k, "s"), "revoke ");
}

static void test_login_has_its_own_time(void **state)
{
    struct kernel *k = *state;
    struct timespec begin, end;

    put(k, "s/db");
    backend_control(k, "s", "/.login", "");
    backend_control(k, "s/db", ".revoke.hang", "");
    backend_control(k, "s/db", ".revoke.deaf", "");
    kernel_start(k, CONFIG_SHORT);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "cred1");
    clock_gettime(CLOCK_MONOTONIC, &begin);
    assert_int_equal(kernel_end(k), HUSH_EXIT_UNMOUNTED);
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_in_range(end.tv_sec - begin.tv_sec, 3, 7);
    assert_string_equal(backend_last_call(k, "s"), "revoke ");
}

static void test_login_of_an_instance_that_is_gone(void **state)
{
    struct kernel *k = *state;

    put(k, "s/db");
    backend_control(k, "s", "/.login", "");
    kernel_start(k, CONFIG_SHORT);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "cred1");
    kernel_kill(k);
    put(k, "t/db");
    backend_control(k, "t", "/.login", "");
    kernel_start(k, "[provider/t]\ntype = test\ndir = @/t\n");
    assert_int_equal(kernel_end(k), HUSH_EXIT_UNMOUNTED);
    assert_int_equal(backend_calls(k, "s", NULL),
                     1); /* neither lease nor login: they end by themselves */
    assert_int_equal(backend_calls(k, "t", "revoke "), 1);
}

/* -- The stash --------------------------------------------------------------------------------- */

static void test_login_is_kept(void **state)
{
    struct kernel *k = *state;

    backend_control(k, "s", "/.stash", "");
    kernel_start(k, CONFIG_S);
    assert_int_equal(backend_calls(k, "s", "login 0"), 1);
    kernel_kill(k);
    kernel_start(k, CONFIG_S);
    assert_int_equal(backend_calls(k, "s", "resume 0"), 1);
    (void)kernel_send_control(k, HUSH_CONTROL_RELOAD, "");
    assert_int_equal(kernel_exited(k), HUSH_EXIT_RELOAD);
    kernel_start(k, CONFIG_S);
    assert_int_equal(backend_calls(k, "s", "resume 0"), 2);
    /* It is configured no more, and then again. */
    kernel_kill(k);
    kernel_start(k, "[provider/t]\ntype = test\ndir = @/s\n");
    assert_int_equal(backend_calls(k, "s", "login 3"), 1);
    kernel_kill(k);
    kernel_start(k, CONFIG_S);
    assert_int_equal(backend_calls(k, "s", "login 4"), 1);
}

static void count_stash(void *ctx, hush_block block, enum hush_block_type type)
{
    (void)block;
    *(unsigned *)ctx += type == HUSH_BLOCK_STASH;
}

static void test_login_is_wiped(void **state)
{
    struct kernel *k = *state;
    struct hush_arena *arena;
    unsigned n = 0;

    backend_control(k, "s", "/.stash", "");
    kernel_start(k, CONFIG_S);
    kernel_kill(k);
    arena = hush_arena_attach(k->arena);
    hush_arena_walk(arena, count_stash, &n);
    assert_int_equal(n, 1);
    hush_arena_free(arena);
    kernel_start(k, CONFIG_S);
    assert_int_equal(kernel_end(k), HUSH_EXIT_UNMOUNTED);
    arena = hush_arena_attach(k->arena);
    n = 0;
    hush_arena_walk(arena, count_stash, &n);
    assert_int_equal(n, 0);
    hush_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KERNEL_TEST(test_while_it_is_shown),
        KERNEL_TEST(test_takeover),
        KERNEL_TEST(test_takeover_of_a_dead_lease),
        KERNEL_TEST(test_revoked_at_the_end),
        KERNEL_TEST(test_revoked_when_the_keeper_ends),
        KERNEL_TEST(test_revocation_is_bounded),
        KERNEL_TEST(test_login_is_given_back),
        KERNEL_TEST(test_login_has_its_own_time),
        KERNEL_TEST(test_login_of_an_instance_that_is_gone),
        KERNEL_TEST(test_login_is_kept),
        KERNEL_TEST(test_login_is_wiped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
