/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal.h - the requests that were read from /dev/fuse and not yet answered, in the shared memory
 * of process.h, so that the next worker answers what a dead one left. What is shared is only the
 * slots; which of them are free, and where a request is, is private memory rebuilt on open. Request
 * headers and names are kept here (uid, gid, pid, path components), never values.
 *
 * A slot counts from the store of its unique, the last one: a process that dies before it leaves
 * the slot free, one that dies after it leaves a whole request.
 *
 * Threads: add and next by the thread that reads; drop and apply_once by any.
 */
#ifndef HUSH_JOURNAL_H
#define HUSH_JOURNAL_H

#include "process.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A step that the next worker has to find in its place: made after all stores that stand before it,
 * before all that stand after it. The order of the program is enough: this process dies between two
 * of its instructions, and who looks afterwards sees what it had stored. (What threads of one
 * process tell each other is guarded otherwise.) So no barrier of the processor is paid for.
 */
#define hush_journal_step(object, value)                                                           \
    do {                                                                                           \
        atomic_signal_fence(memory_order_seq_cst);                                                 \
        atomic_store_explicit((object), (value), memory_order_release);                            \
        atomic_signal_fence(memory_order_seq_cst);                                                 \
    } while (0)

struct hush_journal;

/*
 * Over state (borrowed). What it holds is to be replayed, in the order the kernel sent it, and each
 * of these requests is charged with state->suspicion, the way the worker before died. NULL: ENOMEM.
 */
struct hush_journal *hush_journal_open(struct hush_state *state);
void hush_journal_free(struct hush_journal *journal); /* NULL ok; the slots stay */

/* Keep a request. False: it is longer than a big slot, or no slot is free. */
bool hush_journal_add(struct hush_journal *journal, uint64_t unique, const void *bytes,
                      size_t size);

/* It was answered. Unknown ones are ignored. */
void hush_journal_drop(struct hush_journal *journal, uint64_t unique);

bool hush_journal_has(struct hush_journal *journal, uint64_t unique);

/* See hush_session_apply_once(). True for a request that is not in the journal. */
bool hush_journal_apply_once(struct hush_journal *journal, uint64_t unique);

struct hush_journal_entry {
    const void *bytes; /* in the journal, until it is dropped */
    size_t size;
    uint64_t unique;
    bool poison; /* workers die of it: do not begin it again */
};

/* The next request to replay. False: none is left. */
bool hush_journal_next(struct hush_journal *journal, struct hush_journal_entry *out);

uint32_t hush_journal_replays(const struct hush_journal *journal); /* how many open() found */

#endif
