/* SPDX-License-Identifier: Apache-2.0 */
/*
 * op.h - one call into a provider: its deadline, its cancel flag, the memory its results go to and
 * the reason when it fails. Made by the core (or by `hushfs get`), borrowed by the provider.
 *
 * Threads: one thread uses an op; hush_op_cancel() may be called from any other.
 */
#ifndef HUSH_OP_H
#define HUSH_OP_H

#include "status.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct hush_arena;

/* How a call that waits is woken by hush_op_cancel(); see hush_op_waker(). */
struct hush_waker {
    void (*wake)(struct hush_waker *self); /* any thread; does not wait, knows nothing of the op */
};

enum { HUSH_DETAIL_MAX = 256, HUSH_SECRET_SIZE_MAX = 1 << 20 /* as systemd's credentials */ };

struct hush_op {
    uint64_t began_ns;    /* when hush_op_init() was called; as all times CLOCK_BOOTTIME: clock.h */
    uint64_t deadline_ns; /* 0: none */
    atomic_bool canceled;
    pthread_mutex_t lock;         /* of what follows */
    struct hush_waker *waker;     /* NULL: none */
    struct hush_arena *arena;     /* where hush_secret_new() allocates */
    uint64_t secret_max;          /* bytes; larger values are HUSH_TOO_LARGE */
    uint64_t no_room;             /* bytes of a value that did not fit into arena; 0: all did */
    uint32_t retry_after_ms;      /* set by hush_op_retry_after(); 0: unknown */
    char detail[HUSH_DETAIL_MAX]; /* why it failed; never a value; "" while nothing did */
};

/* An op that ends timeout_ms from now (0: no deadline). */
void hush_op_init(struct hush_op *op, struct hush_arena *arena, uint32_t timeout_ms);

uint32_t hush_op_left_ms(const struct hush_op *op); /* 0: the deadline passed; UINT32_MAX: none */
bool hush_op_canceled(const struct hush_op *op);
/* Any thread; may come before hush_op_init() for an op that is all zero, and has no effect then. */
void hush_op_cancel(struct hush_op *op);

/*
 * Sleep until fd (-1: none) can be read, until until_ns (of hush_now_ns(); UINT64_MAX: for ever),
 * or until op is canceled, which is seen at once. May return early: look again at what was waited
 * for. The deadline of op is the caller's to mind.
 */
void hush_op_wait(struct hush_op *op, int fd, uint64_t until_ns);

/*
 * For who cannot wait so, since something else wakes it, too: hush_op_cancel() calls waker from now
 * on (and at once, if op is canceled already). Returns the one before (NULL: none), which must be
 * put back before waker goes: afterwards waker is not called any more. The caller may hold no lock
 * that a waker takes.
 */
struct hush_waker *hush_op_waker(struct hush_op *op, struct hush_waker *waker);

/*
 * Record why the call failed and return status, so that a failure is one line:
 *
 *     return hush_fail(op, HUSH_PROTOCOL, "no \"data\" object in the answer");
 *
 * The text is for the log: lower case, no full stop; it names keys and paths, never values. Bytes
 * that are not printable ASCII become '?'. %m works.
 */
__attribute__((format(printf, 3, 4))) enum hush_status
hush_fail(struct hush_op *op, enum hush_status status, const char *fmt, ...);

/* Say when a THROTTLED or UNAVAILABLE backend may be asked again. */
void hush_op_retry_after(struct hush_op *op, uint32_t ms);

#endif
