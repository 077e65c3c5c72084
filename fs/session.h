/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.h - /dev/fuse between libfuse and the kernel, through fuse_session_custom_io(). The one
 * seam that saves INIT and replays it in the next worker, journals what is in flight, patches the
 * INIT reply (FUSE_PARALLEL_DIROPS, which libfuse 3.14 never sends: libfuse PR #861), and lets a
 * fuzzer feed raw messages without a mount. Every reply and every request passes here.
 *
 * What never reaches the operations: LOOKUP of a name too long for a slot (ENAMETOOLONG), any other
 * request too long for a big slot (EIO), and a request that workers die of (EIO, see
 * HUSH_SUSPECT_LIMIT). max_write is cut to 128 KiB in the INIT reply.
 *
 * Threads: hush_session_loop() reads in one thread; replies may come from any thread.
 */
#ifndef HUSH_SESSION_H
#define HUSH_SESSION_H

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include "process.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct hush_session;

/* Whatever is given to libfuse as userdata begins with this; hush_session_new() fills it in. */
struct hush_session_user {
    struct hush_session *session;
};

/* How bytes come and go; NULL members: read(2) and writev(2). Tests and fuzzers give their own. */
struct hush_wire {
    ssize_t (*read)(void *ctx, int fd, void *buf, size_t size); /* 0: as ENODEV */
    ssize_t (*writev)(void *ctx, int fd, const struct iovec *iov, int count);
    void *ctx;
};

/*
 * A session over fd (owned from now on, also when NULL is returned) with the journal in state
 * (borrowed, for longer than the session). If state holds an INIT the new worker takes over: INIT
 * is replayed by hand before anything else, and the requests in the journal come before new ones.
 * NULL: errno.
 */
struct hush_session *hush_session_new(const struct fuse_lowlevel_ops *ops, size_t ops_size,
                                      struct hush_session_user *user, int fd,
                                      struct hush_state *state, const struct hush_wire *wire);

/* Serve until the connection ends (0), hush_session_stop() (0) or an error (-errno). */
int hush_session_loop(struct hush_session *session);
void hush_session_stop(struct hush_session *session); /* any thread, signal handlers; at the next
                                                         request or when a signal interrupts read */
bool hush_session_ended(const struct hush_session *session); /* the connection ended (ENODEV) */

/* Never unmounts. NULL ok. */
void hush_session_free(struct hush_session *session);

bool hush_session_took_over(const struct hush_session *session);
uint32_t hush_session_replays(const struct hush_session *session); /* requests from the journal */

/*
 * For a request whose handling makes a lasting change (a count in the arena), FORGET and
 * BATCH_FORGET included: true the first time it is asked for this request, false if a dead worker
 * had already made the change. Call just before the change, any thread. unique: of
 * hush_session_unique(), in the loop's thread, while the request is handled.
 */
bool hush_session_apply_once(struct hush_session *session, uint64_t unique);
uint64_t hush_session_unique(const struct hush_session *session); /* of the request being handled */

#endif
