/* SPDX-License-Identifier: Apache-2.0 */
/*
 * op.c - deadline, cancel flag and reason of one call. The core makes ops, providers use them.
 */
#include "op.h"

#include "cleanup.h"
#include "clock.h"
#include "printable.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { SLICE_MS = 100 }; /* where no descriptor is left to be woken by */

void hush_op_init(struct hush_op *op, struct hush_arena *arena, uint32_t timeout_ms)
{
    op->began_ns = hush_now_ns();
    op->deadline_ns = timeout_ms == 0 ? 0 : op->began_ns + timeout_ms * (uint64_t)HUSH_NS_PER_MS;
    atomic_init(&op->canceled, false);
    pthread_mutex_init(&op->lock, NULL); /* cannot fail, and holds nothing that is to be freed */
    op->waker = NULL;
    op->arena = arena;
    op->secret_max = HUSH_SECRET_SIZE_MAX;
    op->retry_after_ms = 0;
    op->detail[0] = '\0';
}

uint32_t hush_op_left_ms(const struct hush_op *op)
{
    uint64_t now_ns, left_ms;

    if (op->deadline_ns == 0)
        return UINT32_MAX;
    now_ns = hush_now_ns();
    if (now_ns >= op->deadline_ns)
        return 0;
    /* Rounded up: 0 must mean that the deadline passed. */
    left_ms = (op->deadline_ns - now_ns - 1) / HUSH_NS_PER_MS + 1;
    return left_ms < UINT32_MAX ? (uint32_t)left_ms : UINT32_MAX - 1;
}

bool hush_op_canceled(const struct hush_op *op)
{
    return atomic_load_explicit(&op->canceled, memory_order_acquire);
}

void hush_op_cancel(struct hush_op *op)
{
    hush_lock_scope(&op->lock);
    atomic_store_explicit(&op->canceled, true, memory_order_release);
    if (op->waker != NULL)
        op->waker->wake(op->waker);
}

struct hush_waker *hush_op_waker(struct hush_op *op, struct hush_waker *waker)
{
    struct hush_waker *before;

    hush_lock_scope(&op->lock);
    before = op->waker;
    op->waker = waker;
    if (waker != NULL && hush_op_canceled(op))
        waker->wake(waker);
    return before;
}

/* -- Waiting ----------------------------------------------------------------------------------- */

struct bell {
    struct hush_waker base;
    int fd;
};

static void bell_ring(struct hush_waker *self)
{
    const uint64_t one = 1;

    (void)!write(((const struct bell *)(const void *)self)->fd, &one, sizeof(one)); /* has room */
}

/* Rounded up, as in hush_op_left_ms(). */
static int wait_ms(uint64_t until_ns)
{
    const uint64_t now_ns = hush_now_ns();
    uint64_t ms;

    if (until_ns == UINT64_MAX)
        return -1;
    if (until_ns <= now_ns)
        return 0;
    ms = (until_ns - now_ns - 1) / HUSH_NS_PER_MS + 1;
    return ms < INT_MAX ? (int)ms : INT_MAX;
}

void hush_op_wait(struct hush_op *op, int fd, uint64_t until_ns)
{
    struct bell bell = {.base.wake = bell_ring, .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = bell.fd, .events = POLLIN}};
    int ms = wait_ms(until_ns);
    struct hush_waker *before;

    if (bell.fd < 0) {
        ms = ms < 0 || ms > SLICE_MS ? SLICE_MS : ms;
        if (!hush_op_canceled(op))
            (void)poll(fds, 1, ms);
        return;
    }
    before = hush_op_waker(op, &bell.base);
    (void)poll(fds, 2, ms); /* a signal makes it shorter, which is fine */
    (void)hush_op_waker(op, before);
    (void)close(bell.fd); /* memory only */
}

/* -- Failures ---------------------------------------------------------------------------------- */

enum hush_status hush_fail(struct hush_op *op, enum hush_status status, const char *fmt, ...)
{
    int saved = errno; /* for %m, and for the caller */
    va_list args;

    va_start(args, fmt);
    if (vsnprintf(op->detail, sizeof(op->detail), fmt, args) < 0)
        op->detail[0] = '\0';
    va_end(args);
    hush_printable(op->detail);
    errno = saved;
    return status;
}

void hush_op_retry_after(struct hush_op *op, uint32_t ms)
{
    op->retry_after_ms = ms;
}
