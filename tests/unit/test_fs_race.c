/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fs_race.c - what may happen between two steps of the worker, made to happen: libfuse's
 * fuse_req_interrupt_func() stands between a request that has to wait and its place among those
 * that do.
 */
#include "fs_kernel.h"

#include "core/clock.h"
#include "core/status.h"
#include "session.h"

static struct kernel *kernel; // NOLINT: for what has no argument; the worker inherits it

void __real_fuse_req_interrupt_func(fuse_req_t req, fuse_interrupt_func_t fn, void *data); // NOLINT
void __wrap_fuse_req_interrupt_func(fuse_req_t req, fuse_interrupt_func_t fn, void *data); // NOLINT

/* The timer looks for what nobody needs, and finds it. */
void __wrap_fuse_req_interrupt_func(fuse_req_t req, fuse_interrupt_func_t fn, void *data) // NOLINT
{
    kernel_advance_ms(kernel, SECONDS(2));
    (void)usleep(1200000);
    __real_fuse_req_interrupt_func(req, fn, data);
}

/* A name that nobody has asked for yet is made for a refresh. */
static void test_refresh_while_names_are_forgotten(void **state)
{
    struct kernel *k = kernel = *state;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S);
    assert_int_equal(kernel_control(k, kernel_send_control(k, HUSH_CONTROL_REFRESH, "s/db"))->error,
                     HUSH_OK);
    assert_int_equal(backend_calls(k, "s", "fetch db"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KERNEL_TEST(test_refresh_while_names_are_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
