/* SPDX-License-Identifier: Apache-2.0 */
/*
 * op.c - deadline, cancel flag and reason of one call. The core makes ops, providers use them.
 */
#include "op.h"

#include "clock.h"
#include "printable.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

void hush_op_init(struct hush_op *op, struct hush_arena *arena, uint32_t timeout_ms)
{
    op->deadline_ns = timeout_ms == 0 ? 0 : hush_now_ns() + timeout_ms * (uint64_t)HUSH_NS_PER_MS;
    atomic_init(&op->canceled, false);
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
    atomic_store_explicit(&op->canceled, true, memory_order_release);
}

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
