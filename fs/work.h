/* SPDX-License-Identifier: Apache-2.0 */
/*
 * work.h - calls into providers, on the threads of their instance's pool: a hung backend keeps its
 * own pool busy and nothing else. One job per item and per listing (single flight).
 */
#ifndef HUSH_WORK_H
#define HUSH_WORK_H

#include "fs.h"

enum hush_work_flags {
    HUSH_WORK_RESOLVE = 1,    /* if it is no secret, see whether it is a folder */
    HUSH_WORK_BACKGROUND = 2, /* goes on without anybody waiting */
    HUSH_WORK_WHOLE = 4,      /* do not accept "unchanged": compare the bytes */
    HUSH_WORK_RENEW = 8,      /* no fetch: see lease.c */
};

/* With fs->lock held: fetch item, or list dir, unless that is under way. False: no memory. */
bool hush_work_fetch(struct hush_fs *fs, struct hush_item *item, unsigned flags);
bool hush_work_list(struct hush_fs *fs, struct hush_node *dir);

/*
 * With fs->lock held: nobody waits for job any more; it is canceled unless it is a background one
 * or may just be making a credential, which the next reader gets. timed_out: they had waited long
 * enough, which is an outcome; if they were killed it is none.
 */
void hush_work_abandon(struct hush_job *job, bool timed_out);

/* Are all secrets of instance fetched at start? Not where each read makes a new one. */
bool hush_work_prefetches(const struct hush_instance *instance);

/* Start the pools and watches of all instances; false: errno. Stop: cancels what runs; true if all
 * threads ended within wait_ms (else they are left, for a process that exits). */
bool hush_work_start(struct hush_fs *fs);
bool hush_work_stop(struct hush_fs *fs, uint32_t wait_ms);

#endif
