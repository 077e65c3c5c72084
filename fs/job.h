/* SPDX-License-Identifier: Apache-2.0 */
/*
 * job.h - one call into a provider: between work.c, which makes and carries out jobs, and pool.c,
 * whose threads run them.
 */
#ifndef HUSH_JOB_H
#define HUSH_JOB_H

#include "fs.h"

struct hush_job {
    struct hush_instance *instance;
    struct hush_item *item; /* a fetch, or a renewal, … */
    struct hush_node *dir;  /* … or a listing */
    uint64_t sequence;      /* a renewal: of the version whose lease it is */
    unsigned flags;
    bool timed_out; /* it was canceled since the last who waited had waited too long */
    struct hush_op op;
    struct hush_job *prev, *next;
};

/* Queue a job of instance. With fs->lock held. NULL: no memory. */
struct hush_job *hush_job_new(struct hush_instance *instance, unsigned flags);

/* A job was queued: one thread of instance's pool that has none is woken. With fs->lock held. */
void hush_pool_wake(struct hush_instance *instance);

/* Carry job (taken from its queue) out and free it. With fs->lock held, which it lets go for the
 * call. */
void hush_job_run(struct hush_fs *fs, struct hush_job *job);

/* One that is a renewal, or a listing; likewise, but it is not freed. In lease.c, list.c. */
void hush_job_renew(struct hush_fs *fs, struct hush_job *job);
void hush_job_list(struct hush_fs *fs, struct hush_job *job);

/* Without the lock: list prefix, which a walk waits for only to learn whether a name is a folder:
 * if it does not come soon the walk goes on as if it were one. job's detail stays. In list.c. */
enum hush_status hush_job_list_briefly(struct hush_job *job, const char *prefix,
                                       struct hush_listing **out);

/* What work.c and list.c share. Was job canceled, so that its status says nothing of the backend?
 * With the lock: what a call came to is instance's health. Without: log what failed. */
bool hush_job_given_up(const struct hush_job *job, enum hush_status status);
void hush_job_note_health(struct hush_instance *instance, enum hush_status status,
                          const struct hush_op *op);
void hush_job_log_failure(const struct hush_job *job, const char *what, const char *path,
                          enum hush_status status);

#endif
