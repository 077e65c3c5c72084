/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_kernel.h - the kernel's end of /dev/fuse for tests of the session and its journal, in shared
 * memory. Workers are forked processes, so that a crash at any point is a real one: what is left is
 * the shared memory.
 */
#ifndef HUSH_FAKE_KERNEL_H
#define HUSH_FAKE_KERNEL_H

#include "unit.h"

#include "session.h"

#include <linux/fuse.h>

enum {
    MESSAGES = 64,
    BYTES = 256 * 1024,
    LOG = 64,
    CRASH_STATUS = 99,
    INIT_UNIQUE = 2,
    FLOOD_FIRST = 1000000,
};

enum crash { NOWHERE, AT_READ, IN_HANDLER, AFTER_APPLY, BEFORE_REPLY, AFTER_REPLY };

struct reply {
    uint64_t unique;
    int32_t error;
    uint32_t size;
    unsigned char body[64];
};

/* What lives on when a worker dies: the kernel, its log, and the keeper's memory. */
struct fake {
    struct hush_state state;
    size_t queued, next, used;
    struct {
        size_t offset, size;
    } messages[MESSAGES];
    unsigned char bytes[BYTES];
    size_t flood; /* LOOKUPs of "park" to make up before the messages */
    struct reply replies[LOG];
    size_t replied;
    size_t doubles;      /* replies to what had one */
    uint64_t begun[LOG]; /* uniques that reached an operation */
    size_t begins;
    unsigned applied;
    size_t ioctl_bytes;
    uint64_t crash_unique;
    enum crash crash;
    int end_errno;          /* of read when the queue is empty; 0: ENODEV */
    uint64_t refuse_unique; /* the kernel takes only a plain error for it */
    bool stop_in_handler;
    /* of the last worker */
    bool took_over, ended;
    uint32_t replays;
    int result;
};

/* For cmocka: *state is a struct fake whose queue begins with INIT. */
int fake_setup(void **state);
int fake_teardown(void **state);

/* Messages for the workers. */
void *fake_queue(struct fake *w, uint32_t opcode, uint64_t unique, const void *body, size_t size);
void fake_queue_lookup(struct fake *w, uint64_t unique, const char *name); /* "park": no answer */
void fake_queue_forget(struct fake *w, uint64_t unique);

/* One worker's life: until the queue is empty, or it crashes. Its exit status. */
int fake_run(struct fake *w);

/* The same, with a crash at that point of that request. */
void fake_run_crash(struct fake *w, enum crash point, uint64_t unique);

/* What came of it. */
bool fake_is_answered(const struct fake *w, uint64_t unique);
const struct reply *fake_reply(const struct fake *w, uint64_t unique); /* the only one */
unsigned fake_begun(const struct fake *w, uint64_t unique);
void fake_assert_empty(const struct fake *w); /* nothing is in flight */

#endif
