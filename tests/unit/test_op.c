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
#include <sys/resource.h>
#include <unistd.h>

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

/* -- Waiting ----------------------------------------------------------------------------------- */

struct waiter {
    struct hush_op op;
    int fd;
    uint64_t until_ns;
    pthread_t thread;
};

static void *wait_in_thread(void *ctx)
{
    struct waiter *w = ctx;

    while (!hush_op_canceled(&w->op))
        hush_op_wait(&w->op, w->fd, w->until_ns);
    return NULL;
}

/* For ever, but for that; were it not woken the test would never end. */
static void a_cancel_ends_a_wait(void **state)
{
    struct waiter w = {.fd = -1, .until_ns = UINT64_MAX};

    (void)state;                        /* none */
    for (unsigned i = 0; i < 50; i++) { /* before, while and after it falls asleep */
        hush_op_init(&w.op, NULL, 0);
        assert_int_equal(pthread_create(&w.thread, NULL, wait_in_thread, &w), 0);
        (void)usleep(i % 2 * 2000);
        hush_op_cancel(&w.op);
        assert_int_equal(pthread_join(w.thread, NULL), 0);
        assert_null(w.op.waker);
    }
    hush_op_wait(&w.op, -1, UINT64_MAX); /* canceled already */
}

static void a_wait_ends_with_its_time_or_descriptor(void **state)
{
    const uint64_t begin_ns = hush_now_ns(), until_ns = begin_ns + 30 * (uint64_t)HUSH_NS_PER_MS;
    struct hush_op op;
    int ends[2];

    (void)state; /* none */
    hush_op_init(&op, NULL, 0);
    hush_op_wait(&op, -1, until_ns);
    assert_true(hush_now_ns() >= until_ns);
    hush_op_wait(&op, -1, begin_ns); /* it is over */
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    hush_op_wait(&op, ends[0], UINT64_MAX);
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(close(ends[1]), 0);
}

/* It looks now and then: no descriptor is left that could wake it. */
static void a_wait_without_descriptors_sees_a_cancel(void **state)
{
    struct waiter w = {.fd = -1, .until_ns = UINT64_MAX};
    struct rlimit limit, none;

    (void)state; /* none */
    hush_op_init(&w.op, NULL, 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 0;
    assert_int_equal(pthread_create(&w.thread, NULL, wait_in_thread, &w), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    hush_op_wait(&w.op, -1, hush_now_ns() + 10 * (uint64_t)HUSH_NS_PER_MS);
    hush_op_cancel(&w.op);
    hush_op_wait(&w.op, -1, UINT64_MAX);
    assert_int_equal(pthread_join(w.thread, NULL), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

struct counter {
    struct hush_waker base;
    unsigned count;
};

static void count(struct hush_waker *self)
{
    ((struct counter *)(void *)self)->count++;
}

static void a_waker_is_called_while_it_is_set(void **state)
{
    struct counter outer = {.base.wake = count}, inner = outer;
    struct hush_op op;

    (void)state; /* none */
    hush_op_init(&op, NULL, 0);
    assert_null(hush_op_waker(&op, &outer.base));
    assert_ptr_equal(hush_op_waker(&op, &inner.base), &outer.base);
    hush_op_cancel(&op);
    assert_int_equal(inner.count, 1);
    assert_int_equal(outer.count, 0);
    assert_ptr_equal(hush_op_waker(&op, &outer.base), &inner.base);
    assert_int_equal(outer.count, 1); /* it is canceled already */
    assert_ptr_equal(hush_op_waker(&op, NULL), &outer.base);
    hush_op_cancel(&op);
    assert_int_equal(inner.count + outer.count, 2);
}

/* -- Failures ---------------------------------------------------------------------------------- */

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
        cmocka_unit_test(a_cancel_ends_a_wait),
        cmocka_unit_test(a_wait_ends_with_its_time_or_descriptor),
        cmocka_unit_test(a_wait_without_descriptors_sees_a_cancel),
        cmocka_unit_test(a_waker_is_called_while_it_is_set),
        cmocka_unit_test(a_failure_keeps_its_reason_and_errno),
        cmocka_unit_test(a_reason_is_printable_ascii_and_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
