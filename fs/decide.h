/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decide.h - what decide.c, decide_open.c and decide_dir.c share: the gate of a secret, and
 * answers. With fs->lock held.
 */
#ifndef HUSH_DECIDE_H
#define HUSH_DECIDE_H

#include "gate.h"

/* Answer a positive errno. */
enum hush_verdict hush_say_error(struct hush_answer *a, int err);

/* When r came, or now, if it has waited meanwhile (boottime). */
uint64_t hush_request_now_ns(const struct hush_request *r);

/* The gate of item. True: r does not get through, or not yet, and *verdict is what to do; false: it
 * is open, item->current may be served. */
bool hush_is_stopped(struct hush_fs *fs, struct hush_request *r, struct hush_answer *a,
                     struct hush_item *item, enum hush_verdict *verdict);

/* ESTALE, once: the kernel looks the name up again and finds the current version of item. */
enum hush_verdict hush_say_superseded(struct hush_fs *fs, const struct hush_request *r,
                                      struct hush_answer *a, const struct hush_item *item);

enum hush_verdict hush_decide_open(struct hush_fs *fs, struct hush_request *r,
                                   struct hush_answer *a);
enum hush_verdict hush_decide_opendir(struct hush_fs *fs, struct hush_request *r,
                                      struct hush_answer *a);

#endif
