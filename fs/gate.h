/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gate.h - where a file operation may wait for the backend: GETATTR, OPEN and OPENDIR, nothing else
 * (all three are asked outside every directory lock). A request is decided under the lock; if it
 * has to wait it is parked at its item or directory, and decided again when that has an outcome,
 * its deadline passes or its caller is killed. The loop never blocks.
 */
#ifndef HUSH_GATE_H
#define HUSH_GATE_H

#include "fs.h"

enum hush_verdict { HUSH_ANSWER, HUSH_PARK };

/* What to tell the kernel. */
struct hush_answer {
    enum { HUSH_SAY_ERROR, HUSH_SAY_ATTR, HUSH_SAY_OPEN, HUSH_SAY_IOCTL } say;
    int err; /* ERROR: a positive errno */
    double timeout_s;
    struct stat attr;
    bool direct_io, keep_cache, cache_dir;
    uint64_t handle;
    enum hush_status status;    /* IOCTL: the outcome of a refresh */
    char text[HUSH_DETAIL_MAX]; /* IOCTL; the last member: see gate.c */
};

/* In the loop: decide, and answer or park. */
void hush_gate_enter(struct hush_fs *fs, fuse_req_t req, enum hush_request_kind kind, uint64_t ino,
                     int flags);
/* The same for a refresh of item through the control file. With fs->lock held; unlocks it. */
void hush_gate_refresh(struct hush_fs *fs, fuse_req_t req, struct hush_item *item);

/* With fs->lock held: park r; everybody who waits has an outcome now (answered by
 * hush_gate_answer_woken()); who waited too long gives up; when the next one will. */
void hush_gate_wait_item(struct hush_fs *fs, struct hush_request *r, struct hush_item *item);
void hush_gate_wait_dir(struct hush_fs *fs, struct hush_request *r, struct hush_node *dir);
void hush_gate_wake_item(struct hush_fs *fs, struct hush_item *item, enum hush_status outcome);
void hush_gate_wake_dir(struct hush_fs *fs, struct hush_node *dir, enum hush_status outcome);
/* Those who wait for item now have what they wait for, but the kernel must know first; it knows.
 * Who came later waits for a fetch of his own, and is left. */
void hush_gate_settle_item(struct hush_item *item);
void hush_gate_wake_settled(struct hush_fs *fs, struct hush_item *item, enum hush_status outcome);
void hush_gate_expire(struct hush_fs *fs, uint64_t now_ns);

/* Without the lock: answer all that was woken. After every unlock that follows a wake. */
void hush_gate_answer_woken(struct hush_fs *fs);

/* -- Who asked what: with fs->lock held -------------------------------------------------------- */

/* tid's LOOKUP of ino was answered with timeouts 0: its next GETATTR of ino is a path walk's, and
 * gates. Any other GETATTR is fstat of an open descriptor. */
void hush_gate_asked(struct hush_fs *fs, pid_t tid, uint64_t ino);
bool hush_gate_was_asked(struct hush_fs *fs, pid_t tid, uint64_t ino); /* and forget it */

/* How long one open(2) or stat(2) may take from its gate to its last request. */
static const uint64_t HUSH_PASS_NS = UINT64_C(500000000);

/* What tid has to do with item; never NULL. Stands for another thread's where slots clash, and then
 * reads as empty. */
struct hush_pass *hush_gate_pass(struct hush_fs *fs, pid_t tid);

/* decide.c: what the answer is, or that it has to wait (then r is parked). With fs->lock held. */
enum hush_verdict hush_decide(struct hush_fs *fs, struct hush_request *r, struct hush_answer *a);

#endif
