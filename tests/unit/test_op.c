/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_op.c - deadlines, cancelling, and what becomes of the text of a failure; and the clocks.
 */
#include "core/clock.h"
#include "core/op.h"
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

static uint64_t fake_ns;

static uint64_t fake_now_ns(void)
{
    return fake_ns;
}

static time_t fake_wall_s(void)
{
    return 1234567890;
}

static int inject(void **state)
{
    (void)state; /* none */
    fake_ns = 7 * HUSH_NS_PER_S;
    hush_clock_inject(fake_now_ns, fake_wall_s);
    return 0;
}

static int restore(void **state)
{
    (void)state; /* none */
    hush_clock_inject(NULL, NULL);
    return 0;
}

static void the_clocks_are_the_systems_own_until_injected(void **state)
{
    struct timespec before, after;
    uint64_t now_ns;

    (void)state; /* none */
    clock_gettime(CLOCK_BOOTTIME, &before);
    now_ns = hush_now_ns();
    clock_gettime(CLOCK_BOOTTIME, &after);
    assert_true(now_ns >= (uint64_t)before.tv_sec * HUSH_NS_PER_S + (uint64_t)before.tv_nsec);
    assert_true(now_ns <= (uint64_t)after.tv_sec * HUSH_NS_PER_S + (uint64_t)after.tv_nsec);
    assert_true(hush_wall_s() >= time(NULL) - 1 && hush_wall_s() <= time(NULL));

    fake_ns = 42;
    hush_clock_inject(fake_now_ns, fake_wall_s);
    assert_int_equal(hush_now_ns(), 42);
    assert_int_equal(hush_wall_s(), 1234567890);
    hush_clock_inject(NULL, NULL);
    assert_true(hush_now_ns() >= now_ns);
}

static void a_new_op_is_empty(void **state)
{
    struct hush_op op;

    (void)state; /* none */
    memset(&op, 0xff, sizeof(op));
    hush_op_init(&op, NULL, 1500);
    assert_int_equal(op.deadline_ns, 7 * HUSH_NS_PER_S + 1500 * (uint64_t)HUSH_NS_PER_MS);
    assert_false(hush_op_canceled(&op));
    assert_null(op.arena);
    assert_int_equal(op.secret_max, HUSH_SECRET_SIZE_MAX);
    assert_int_equal(op.retry_after_ms, 0);
    assert_string_equal(op.detail, "");
}

static void time_left_is_0_only_when_the_deadline_passed(void **state)
{
    struct hush_op op;

    (void)state; /* none */
    hush_op_init(&op, NULL, 2);
    assert_int_equal(hush_op_left_ms(&op), 2);
    fake_ns += HUSH_NS_PER_MS;
    assert_int_equal(hush_op_left_ms(&op), 1);
    fake_ns += HUSH_NS_PER_MS - 1;
    assert_int_equal(hush_op_left_ms(&op), 1); /* one nanosecond */
    fake_ns += 1;
    assert_int_equal(hush_op_left_ms(&op), 0);
    fake_ns += HUSH_NS_PER_S;
    assert_int_equal(hush_op_left_ms(&op), 0);
}

static void without_a_deadline_there_is_always_time(void **state)
{
    struct hush_op op;

    (void)state; /* none */
    hush_op_init(&op, NULL, 0);
    assert_int_equal(op.deadline_ns, 0);
    assert_int_equal(hush_op_left_ms(&op), UINT32_MAX);
    op.deadline_ns = UINT64_MAX; /* far away is not "none" */
    assert_int_equal(hush_op_left_ms(&op), UINT32_MAX - 1);
    hush_op_init(&op, NULL, UINT32_MAX);
    assert_int_equal(hush_op_left_ms(&op), UINT32_MAX - 1);
}

static void *cancel(void *op)
{
    hush_op_cancel(op);
    return NULL;
}

static void another_thread_cancels(void **state)
{
    struct hush_op op;
    pthread_t thread;

    (void)state; /* none */
    hush_op_init(&op, NULL, 10);
    assert_int_equal(pthread_create(&thread, NULL, cancel, &op), 0);
    while (!hush_op_canceled(&op))
        usleep(100);
    pthread_join(thread, NULL);
    assert_true(hush_op_canceled(&op));
}

static void a_failure_keeps_its_reason_and_errno(void **state)
{
    struct hush_op op;

    (void)state; /* none */
    hush_op_init(&op, NULL, 10);
    errno = EACCES;
    assert_int_equal(hush_fail(&op, HUSH_DENIED, "file '%s': %m", "/etc/x"), HUSH_DENIED);
    assert_string_equal(op.detail, "file '/etc/x': Permission denied");
    assert_int_equal(errno, EACCES);
    assert_int_equal(hush_fail(&op, HUSH_CONFIG, "second"), HUSH_CONFIG);
    assert_string_equal(op.detail, "second");
    hush_op_retry_after(&op, 1234);
    assert_int_equal(op.retry_after_ms, 1234);
}

static void a_reason_is_printable_ascii_and_bounded(void **state)
{
    char raw[HUSH_DETAIL_MAX * 2];
    struct hush_op op;

    (void)state; /* none */
    hush_op_init(&op, NULL, 10);
    hush_fail(&op, HUSH_PROTOCOL, "%s", "a\nb\tc\x1b[31md\x7f\xc3\xa4 ~\r");
    assert_string_equal(op.detail, "a?b?c?[31md??? ~?");

    memset(raw, 'x', sizeof(raw));
    raw[sizeof(raw) - 1] = '\0';
    hush_fail(&op, HUSH_PROTOCOL, "%s", raw);
    assert_int_equal(strlen(op.detail), HUSH_DETAIL_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_clocks_are_the_systems_own_until_injected),
        cmocka_unit_test_setup_teardown(a_new_op_is_empty, inject, restore),
        cmocka_unit_test_setup_teardown(time_left_is_0_only_when_the_deadline_passed, inject,
                                        restore),
        cmocka_unit_test_setup_teardown(without_a_deadline_there_is_always_time, inject, restore),
        cmocka_unit_test(another_thread_cancels),
        cmocka_unit_test(a_failure_keeps_its_reason_and_errno),
        cmocka_unit_test(a_reason_is_printable_ascii_and_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
