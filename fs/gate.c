/* SPDX-License-Identifier: Apache-2.0 */
/* gate.c - see gate.h. Called by ops.c (loop), work.c (pools), timer.c and rotate.c. */
#include "gate.h"

#include "core/clock.h"
#include "core/metrics.h"
#include "dotfiles.h"
#include "item.h"
#include "view.h"
#include "work.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* -- Answers ----------------------------------------------------------------------------------- */

static void send_open(fuse_req_t req, const struct hush_answer *a)
{
    struct fuse_file_info fi = {.fh = a->handle,
                                .direct_io = a->direct_io,
                                .keep_cache = a->keep_cache,
                                .cache_readdir = a->cache_dir,
                                .noflush = 1};

    fuse_reply_open(req, &fi);
}

/* All but the text, which is written where it is said: a hot path comes here. */
static void answer_init(struct hush_answer *a)
{
    memset(a, 0, offsetof(struct hush_answer, text));
}

static void answer_send(const struct hush_request *r, const struct hush_answer *a)
{
    switch (a->say) {
    case HUSH_SAY_ERROR:
        hush_metric_add(HUSH_METRIC_OPEN_ERRORS, a->err != ESTALE);
        fuse_reply_err(r->req, a->err);
        break;
    case HUSH_SAY_ATTR:
        fuse_reply_attr(r->req, &a->attr, a->timeout_s);
        break;
    case HUSH_SAY_OPEN:
        send_open(r->req, a);
        break;
    case HUSH_SAY_IOCTL:
        hush_dot_reply(r->req, a->status, a->text);
        break;
    }
}

/* -- Parking ----------------------------------------------------------------------------------- */

static void park(struct hush_fs *fs, struct hush_request *r)
{
    r->linked = true;
    DL_APPEND2(fs->parked, r, older, newer);
    if (r->deadline_ns < fs->rest_ns) /* else it looks again in time by itself */
        pthread_cond_signal(&fs->timer);
}

void hush_gate_wait_item(struct hush_fs *fs, struct hush_request *r, struct hush_item *item)
{
    r->item = item;
    DL_APPEND(item->waiters, r);
    park(fs, r);
}

void hush_gate_wait_dir(struct hush_fs *fs, struct hush_request *r, struct hush_node *dir)
{
    r->dir = dir;
    DL_APPEND(dir->list_waiters, r);
    park(fs, r);
}

static void unpark(struct hush_fs *fs, struct hush_request *r)
{
    if (r->item != NULL)
        DL_DELETE(r->item->waiters, r);
    else
        DL_DELETE(r->dir->list_waiters, r);
    DL_DELETE2(fs->parked, r, older, newer);
    r->linked = false;
    r->item = NULL;
    r->dir = NULL;
}

static void wake(struct hush_fs *fs, struct hush_request *r, enum hush_status outcome)
{
    if (r->kind == HUSH_REQ_REFRESH && r->item->detail != NULL)
        r->text = strdup(r->item->detail);
    unpark(fs, r);
    r->waited = true;
    r->outcome = outcome;
    HASH_DEL(fs->by_id, r); // NOLINT(clang-analyzer-core.NullDereference): it stands in the table
    DL_APPEND(fs->woken, r);
}

void hush_gate_wake_item(struct hush_fs *fs, struct hush_item *item, enum hush_status outcome)
{
    while (item->waiters != NULL)
        wake(fs, item->waiters, outcome);
}

void hush_gate_settle_item(struct hush_item *item)
{
    struct hush_request *r;

    DL_FOREACH(item->waiters, r)
    r->settled = true;
}

void hush_gate_wake_settled(struct hush_fs *fs, struct hush_item *item, enum hush_status outcome)
{
    struct hush_request *r, *next;

    DL_FOREACH_SAFE(item->waiters, r, next)
    if (r->settled)
        wake(fs, r, outcome);
}

void hush_gate_wake_dir(struct hush_fs *fs, struct hush_node *dir, enum hush_status outcome)
{
    while (dir->list_waiters != NULL)
        wake(fs, dir->list_waiters, outcome);
}

/* Nobody waits for it any more: the backend need not go on. */
static void let_go(struct hush_item *item, struct hush_node *dir, bool timed_out)
{
    struct hush_job *job = item != NULL ? item->job : dir->list_job;
    bool waited = item != NULL ? item->waiters != NULL : dir->list_waiters != NULL;

    if (job != NULL && !waited)
        hush_work_abandon(job, timed_out);
}

void hush_gate_expire(struct hush_fs *fs, uint64_t now_ns)
{
    while (fs->parked != NULL && fs->parked->deadline_ns <= now_ns) {
        struct hush_request *r = fs->parked;
        struct hush_item *item = r->item;
        struct hush_node *dir = r->dir;

        hush_metric_add(HUSH_METRIC_TIMEOUTS, 1);
        wake(fs, r, HUSH_TIMEOUT);
        let_go(item, dir, true);
    }
}

static struct hush_request *take_woken(struct hush_fs *fs)
{
    struct hush_request *r = fs->woken;

    if (r != NULL)
        DL_DELETE(fs->woken, r);
    return r;
}

void hush_gate_answer_woken(struct hush_fs *fs)
{
    for (;;) {
        struct hush_answer a;
        struct hush_request *r;

        answer_init(&a);
        pthread_mutex_lock(&fs->lock);
        r = take_woken(fs);
        if (r != NULL)
            (void)hush_decide(fs, r, &a); /* it has waited: it is answered */
        pthread_mutex_unlock(&fs->lock);
        if (r == NULL)
            return;
        answer_send(r, &a);
        free(r->text);
        free(r);
    }
}

/* -- Entering ---------------------------------------------------------------------------------- */

/* libfuse calls this with the request locked: in the loop when INTERRUPT comes, or at once from
 * fuse_req_interrupt_func(). The request stands in by_id while it is not answered. */
static void interrupted(fuse_req_t req, void *data)
{
    struct hush_fs *fs = fuse_req_userdata(req);
    uint64_t id = (uint64_t)(uintptr_t)data;
    struct hush_request *r;
    bool ours = false;

    pthread_mutex_lock(&fs->lock);
    HASH_FIND(hh, fs->by_id, &id, sizeof(id), r);
    if (r != NULL && !r->linked)
        r->outcome = HUSH_CANCELED; /* it is just entering: see enter_waiting() */
    if (r != NULL && r->linked) {
        struct hush_item *item = r->item;
        struct hush_node *dir = r->dir;

        unpark(fs, r);
        HASH_DEL(fs->by_id, r);
        (void)hush_gate_was_asked(fs, r->tid, r->ino); /* it goes on, and knows nothing of this */
        let_go(item, dir, false);
        ours = true;
    }
    pthread_mutex_unlock(&fs->lock);
    if (ours) {
        fuse_reply_err(req, EINTR);
        free(r);
    }
}

/*
 * r has to wait. A pool may answer (and free) it as soon as it is parked, so libfuse is told whom
 * to interrupt before that, and the decision is made once more.
 */
static void enter_waiting(struct hush_fs *fs, struct hush_request *r)
{
    struct hush_answer a;
    bool answered;

    answer_init(&a);
    fuse_req_interrupt_func(r->req, interrupted, (void *)(uintptr_t)r->id);
    pthread_mutex_lock(&fs->lock);
    if (r->outcome == HUSH_CANCELED) {
        a.err = EINTR;
        answered = true;
    } else {
        answered = hush_decide(fs, r, &a) == HUSH_ANSWER;
    }
    if (answered)
        HASH_DEL(fs->by_id, r);
    pthread_mutex_unlock(&fs->lock);
    if (answered) {
        answer_send(r, &a);
        free(r);
    }
}

/* With the lock held; unlocks. Most requests are answered here, without an allocation: an id of 0
 * tells decide not to park yet. */
static void enter(struct hush_fs *fs, struct hush_request *first)
{
    struct hush_answer a;
    struct hush_request *r;

    answer_init(&a);
    if (hush_decide(fs, first, &a) == HUSH_ANSWER) {
        pthread_mutex_unlock(&fs->lock);
        answer_send(first, &a);
        return;
    }
    r = calloc(1, sizeof(*r));
    if (r == NULL) {
        pthread_mutex_unlock(&fs->lock);
        fuse_reply_err(first->req, ENOMEM);
        return;
    }
    *r = *first;
    r->id = ++fs->next_id;
    r->deadline_ns = r->came_ns + (uint64_t)fs->config->mount.deadline_ms * HUSH_NS_PER_MS;
    HASH_ADD(hh, fs->by_id, id, sizeof(r->id), r);
    pthread_mutex_unlock(&fs->lock);
    enter_waiting(fs, r);
}

static struct hush_request request_of(struct hush_fs *fs, fuse_req_t req,
                                      enum hush_request_kind kind, uint64_t ino)
{
    return (struct hush_request){.req = req,
                                 .kind = kind,
                                 .ino = hush_view_target(fs, ino),
                                 .unique = hush_session_unique(fs->session),
                                 .tid = fuse_req_ctx(req)->pid,
                                 .came_ns = hush_now_ns()};
}

void hush_gate_enter(struct hush_fs *fs, fuse_req_t req, enum hush_request_kind kind, uint64_t ino,
                     int flags)
{
    struct hush_request r;

    pthread_mutex_lock(&fs->lock);
    r = request_of(fs, req, kind, ino);
    r.flags = flags;
    enter(fs, &r);
}

void hush_gate_refresh(struct hush_fs *fs, fuse_req_t req, struct hush_item *item)
{
    struct hush_request r = request_of(fs, req, HUSH_REQ_REFRESH, 0);

    r.target = item;
    item->pinned = true; /* between the first look and the second it would be anybody's to free */
    enter(fs, &r);
    pthread_mutex_lock(&fs->lock);
    item->pinned = false;
    pthread_mutex_unlock(&fs->lock);
}

/* -- Who asked what ---------------------------------------------------------------------------- */

void hush_gate_asked(struct hush_fs *fs, pid_t tid, uint64_t ino)
{
    size_t i = (uint32_t)tid % HUSH_ASKED;

    fs->state->asked[i].tid = (uint32_t)tid;
    fs->state->asked[i].ino = ino;
}

bool hush_gate_was_asked(struct hush_fs *fs, pid_t tid, uint64_t ino)
{
    size_t i = (uint32_t)tid % HUSH_ASKED;

    if (fs->state->asked[i].tid != (uint32_t)tid || fs->state->asked[i].ino != ino)
        return false;
    fs->state->asked[i].ino = 0;
    return true;
}

struct hush_pass *hush_gate_pass(struct hush_fs *fs, pid_t tid)
{
    struct hush_pass *pass = &fs->passes[(uint32_t)tid % HUSH_PASSES];

    if (pass->tid != (uint32_t)tid)
        *pass = (struct hush_pass){.tid = (uint32_t)tid};
    return pass;
}
