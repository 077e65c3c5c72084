/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fs_race.c - what may happen between two steps of the worker, made to happen. Libfuse's
 * fuse_req_interrupt_func() stands between a request that has to wait and its place among those
 * that do; what the next worker will find changes with each block of the arena that is published or
 * released.
 */
#include "fs_kernel.h"

#include "core/arena.h"
#include "core/clock.h"
#include "core/status.h"
#include "session.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static struct kernel *kernel; // NOLINT: for what has no argument; the worker inherits it

void __real_fuse_req_interrupt_func(fuse_req_t req, fuse_interrupt_func_t fn, void *data); // NOLINT
void __wrap_fuse_req_interrupt_func(fuse_req_t req, fuse_interrupt_func_t fn, void *data); // NOLINT

/* The timer looks for what nobody needs, and finds it. */
void __wrap_fuse_req_interrupt_func(fuse_req_t req, fuse_interrupt_func_t fn, void *data) // NOLINT
{
    if (kernel->shared->slow) {
        kernel_advance_ms(kernel, SECONDS(2));
        (void)usleep(1200000);
    }
    __real_fuse_req_interrupt_func(req, fn, data);
}

/* -- Killed at any step
 * ---------------------------------------------------------------------------- */

void __real_hush_arena_publish(struct hush_arena *arena, hush_block block); // NOLINT
void __wrap_hush_arena_publish(struct hush_arena *arena, hush_block block); // NOLINT
void __real_hush_arena_release(struct hush_arena *arena, hush_block block); // NOLINT
void __wrap_hush_arena_release(struct hush_arena *arena, hush_block block); // NOLINT

/* In how many steps from now the worker dies; 0: it does not. In the kernel's memory. */
static _Atomic uint32_t *steps_left(void)
{
    return &kernel->shared->steps;
}

static void step(void)
{
    if (atomic_load(steps_left()) > 0 && atomic_fetch_sub(steps_left(), 1) == 1)
        (void)raise(SIGKILL);
}

void __wrap_hush_arena_publish(struct hush_arena *arena, hush_block block) // NOLINT
{
    step();
    __real_hush_arena_publish(arena, block);
    step();
}

void __wrap_hush_arena_release(struct hush_arena *arena, hush_block block) // NOLINT
{
    step();
    __real_hush_arena_release(arena, block);
    step();
}

static size_t blocks(struct kernel *k)
{
    const char *at = strstr(kernel_cat(k, OTHER, ".hushfs/status.json"), "\"blocks\":");

    assert_non_null(at);
    return strtoumax(at + strlen("\"blocks\":"), NULL, 10);
}

/* Versions come and go, names are listed and forgotten. Whatever dies on the way, nobody notices.
 */
static void live(struct kernel *k, unsigned round)
{
    struct kernel_file file;
    char value[64], number[16];

    (void)snprintf(number, sizeof(number), "%u", round);
    (void)snprintf(value, sizeof(value), "{\"a\":\"%u\",\"b\":\"%u\"}", round, round);
    backend_put(k, "s/db", value);
    backend_put(k, round % 2 == 0 ? "s/even" : "s/odd", "one");
    kernel_advance_ms(k, SECONDS(11));
    assert_int_equal(kernel_open_path(k, TID, "s/db/a", &file), 0);
    assert_string_equal(kernel_read(k, file.ino, file.fh), number);
    assert_string_equal(kernel_cat(k, OTHER, "s/db/b"), number);
    assert_string_equal(kernel_ls(k, TID, "s/db"), ".json a b");
    backend_remove(k, round % 2 == 0 ? "s/even" : "s/odd");
    kernel_advance_ms(k, SECONDS(11));
    assert_string_equal(kernel_ls(k, TID, "s"), "db/");
    assert_string_equal(kernel_cat(k, OTHER, "s/db/b"), number);
    assert_int_equal(kernel_release(k, FUSE_RELEASE, file.ino, file.fh), 0);
    kernel_forget_all(k);
}

static void test_killed_at_any_step(void **state)
{
    struct kernel *k = kernel = *state;
    size_t expected = 0;
    unsigned round = 0, before;

    k->keeper = CONFIG_S "as = directory\nttl = 10\nconcurrency = 1\n";
    kernel_start(k, k->keeper);
    do {
        before = k->deaths;
        atomic_store(steps_left(), round); /* the first round takes all its steps */
        live(k, round);
        atomic_store(steps_left(), 0);
        if (round++ == 0)
            expected = blocks(k);
        assert_int_equal(blocks(k), expected);
    } while (round == 1 || k->deaths > before);
    assert_in_range(k->deaths, 10, 100);
}

/* -- Between the two looks of a request
 * ------------------------------------------------------------- */

/* A name that nobody has asked for yet is made for a refresh. */
static void test_refresh_while_names_are_forgotten(void **state)
{
    struct kernel *k = kernel = *state;

    k->shared->slow = true;
    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S);
    assert_int_equal(kernel_control(k, kernel_send_control(k, HUSH_CONTROL_REFRESH, "s/db"))->error,
                     HUSH_OK);
    assert_int_equal(backend_calls(k, "s", "fetch db"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KERNEL_TEST(test_killed_at_any_step),
        KERNEL_TEST(test_refresh_while_names_are_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
