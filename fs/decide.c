/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decide.c - what GETATTR and OPEN are answered (OPENDIR: decide_dir.c): HACKING.md's life of an
 * open. Called by gate.c alone, with fs->lock held: first when the request comes, and again when
 * what it waited for has an outcome (r->waited).
 */
#include "decide.h"

#include "attr.h"
#include "core/clock.h"
#include "core/metrics.h"
#include "dotfiles.h"
#include "item.h"
#include "snapshot.h"
#include "tree.h"
#include "work.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* Attributes outlive names a little, so that a path walk always asks LOOKUP before GETATTR. */
static const double ATTR_MORE_S = 0.1;
static const double ATTR_LONG_S = 3600;

/* How long one open(2) or stat(2) may take from its gate to its last request. */
static const uint64_t PASS_NS = HUSH_NS_PER_S / 2;

enum hush_verdict hush_say_error(struct hush_answer *a, int err)
{
    a->say = HUSH_SAY_ERROR;
    a->err = err;
    return HUSH_ANSWER;
}

static enum hush_verdict say_attr(struct hush_fs *fs, struct hush_answer *a,
                                  const struct hush_node *node, double timeout_s)
{
    a->say = HUSH_SAY_ATTR;
    a->timeout_s = timeout_s;
    hush_attr(fs, node, &a->attr);
    return HUSH_ANSWER;
}

/* -- The gate of an item ----------------------------------------------------------------------- */

static bool passed(struct hush_fs *fs, const struct hush_request *r, const struct hush_item *item)
{
    const struct hush_pass *p = hush_gate_pass(fs, r->tid);

    return p->item == item->id && hush_now_ns() - p->at_ns < PASS_NS;
}

/* This thread got past the gate: what follows of the same call does not ask again. */
static void pass(struct hush_fs *fs, const struct hush_request *r, const struct hush_item *item,
                 bool retry)
{
    struct hush_pass *p = hush_gate_pass(fs, r->tid);

    p->item = item->id;
    p->retry = retry;
    p->at_ns = hush_now_ns();
}

/* ESTALE: the kernel looks the name up again, and finds the node that it is now. */
static enum hush_verdict say_again(struct hush_fs *fs, const struct hush_request *r,
                                   struct hush_answer *a, const struct hush_item *item)
{
    pass(fs, r, item, true);
    return hush_say_error(a, ESTALE);
}

static enum hush_verdict wait_for(struct hush_fs *fs, struct hush_request *r,
                                  struct hush_item *item, bool resolve)
{
    if (r->id == 0)
        return HUSH_PARK; /* gate.c makes it one that can wait */
    /* It was fetched a moment ago, and the kernel is just being told: another call would be one too
     * many. */
    if (item->job == NULL && item->staged != NULL && item->command != 0 &&
        hush_now_ns() < hush_snapshot_fresh_until(item->staged)) {
        hush_gate_wait_item(fs, r, item);
        r->settled = true;
        return HUSH_PARK;
    }
    if (!hush_work_fetch(fs, item, resolve ? HUSH_WORK_RESOLVE : 0)) {
        r->waited = true;
        r->outcome = HUSH_NO_MEMORY;
        item->status = HUSH_NO_MEMORY;
        return HUSH_ANSWER;
    }
    hush_gate_wait_item(fs, r, item);
    return HUSH_PARK;
}

/* When it came, or now, if it has waited meanwhile. */
uint64_t hush_request_now_ns(const struct hush_request *r)
{
    return r->waited ? hush_now_ns() : r->came_ns;
}

/* The errno of an item that cannot be served to r. */
static int failure(const struct hush_request *r, const struct hush_item *item)
{
    enum hush_status status = item->status;

    if (r->waited && r->outcome != HUSH_OK)
        status = r->outcome;
    if (item->instance == NULL)
        return ENOENT;
    return status != HUSH_OK ? hush_status_errno(status) : EIO;
}

static enum hush_gate gate_of(struct hush_fs *fs, const struct hush_request *r,
                              struct hush_item *item, uint64_t now_ns)
{
    bool has = item->current != NULL;

    item->used_ns = now_ns;
    if (item->instance == NULL)
        return HUSH_GATE_FAIL; /* configured no more */
    /* It waited in vain: what there is may do. */
    if (r->waited && r->outcome != HUSH_OK && has &&
        now_ns < hush_snapshot_fresh_until(item->current))
        return HUSH_GATE_FRESH;
    if (r->waited && r->outcome != HUSH_OK)
        return has && hush_status_keeps_stale(r->outcome) &&
                       now_ns < hush_snapshot_stale_until(item->current)
                   ? HUSH_GATE_STALE
                   : HUSH_GATE_FAIL;
    return hush_item_gate(item, now_ns, r->waited || passed(fs, r, item));
}

bool hush_is_stopped(struct hush_fs *fs, struct hush_request *r, struct hush_answer *a,
                     struct hush_item *item, enum hush_verdict *verdict)
{
    switch (gate_of(fs, r, item, hush_request_now_ns(r))) {
    case HUSH_GATE_FRESH:
        return false;
    case HUSH_GATE_STALE:
        if (r->kind == HUSH_REQ_OPEN || fs->open_mode == HUSH_OPEN_KERNEL)
            hush_metric_add(HUSH_METRIC_STALE_OPENS, 1);
        return false;
    case HUSH_GATE_ASK:
        *verdict = wait_for(fs, r, item, r->resolve);
        if (*verdict == HUSH_ANSWER)
            *verdict = hush_say_error(a, ENOMEM);
        return true;
    case HUSH_GATE_FAIL:
        break;
    }
    *verdict = hush_say_error(a, failure(r, item));
    return true;
}

/* -- GETATTR ----------------------------------------------------------------------------------- */

/*
 * What r's thread has open through the node of a bind mount of the single file, or would get there:
 * fstat(2) says neither which descriptor nor which version.
 */
static const struct hush_node *bound_node(struct hush_fs *fs, const struct hush_request *r,
                                          const struct hush_node *node)
{
    const struct hush_pass *p = hush_gate_pass(fs, r->tid);
    const struct hush_node *opened = p->bound == node->ino ? hush_tree_find(fs, p->bound_to) : NULL;
    struct hush_snapshot *now = node->snapshot->item->current;

    if (opened != NULL && opened->snapshot != NULL && opened->snapshot->record->nopen > 0)
        return opened;
    return now != NULL && hush_snapshot_top(now)->kind == HUSH_NODE_FILE ? hush_snapshot_top(now)
                                                                         : node;
}

/*
 * A node that nobody has open, and that the kernel still asks for although its name has moved on,
 * is a bind mount of the single file: it has the attributes of what opening it gives. The kernel
 * may keep none of them, and none of one that is open: the last close may make it such a mount.
 */
static enum hush_verdict attr_superseded(struct hush_fs *fs, const struct hush_request *r,
                                         struct hush_answer *a, const struct hush_node *node)
{
    struct hush_snapshot *s = node->snapshot;

    if (fs->open_mode != HUSH_OPEN_CHECKED || s == s->item->current ||
        node != hush_snapshot_top(s) || node->kind != HUSH_NODE_FILE)
        return say_attr(fs, a, node, ATTR_LONG_S);
    s->asks = true;
    (void)say_attr(fs, a, s->record->nopen == 0 ? bound_node(fs, r, node) : node, 0);
    a->attr.st_ino = node->ino;
    return HUSH_ANSWER;
}

static enum hush_verdict attr_version(struct hush_fs *fs, struct hush_request *r,
                                      struct hush_answer *a, struct hush_node *node)
{
    struct hush_snapshot *s = node->snapshot;
    struct hush_item *item = s->item;
    uint64_t now_ns = hush_request_now_ns(r);
    bool asked = hush_gate_was_asked(fs, r->tid, r->ino) || r->waited;
    enum hush_verdict verdict;
    double timeout_s;

    /* Superseded and open somewhere, or a file of a version that is shown as a directory: it never
     * changes. */
    if (node != hush_snapshot_top(s) || (s != item->current && !asked))
        return attr_superseded(fs, r, a, node);
    if (!asked)
        return say_attr(fs, a, node, hush_item_kernel_s(item, now_ns) + ATTR_MORE_S);
    if (hush_is_stopped(fs, r, a, item, &verdict)) {
        if (verdict == HUSH_PARK) /* for the second look, or the next worker's */
            hush_gate_asked(fs, r->tid, r->ino);
        return verdict;
    }
    if (item->current != s)
        return say_again(fs, r, a, item);
    pass(fs, r, item, false);
    timeout_s = hush_item_kernel_s(item, now_ns);
    return say_attr(fs, a, node, timeout_s > 0 ? timeout_s + ATTR_MORE_S : 0);
}

/* A secret without a value until now. */
static enum hush_verdict attr_pending(struct hush_fs *fs, struct hush_request *r,
                                      struct hush_answer *a, const struct hush_node *node)
{
    struct hush_item *item = hush_item_get(fs, node->path, false);
    enum hush_verdict verdict;

    if (hush_item_is_lazy(node))
        return say_attr(fs, a, node, 0);
    if (item == NULL)
        return hush_say_error(a, ENOMEM);
    if (hush_is_stopped(fs, r, a, item, &verdict))
        return verdict;
    return say_again(fs, r, a, item);
}

/* The secret that a name stands below, if it was walked into without a fetch; else NULL. */
static struct hush_item *lazy_parent(struct hush_fs *fs, const struct hush_node *node)
{
    const char *slash = strrchr(node->path, '/');
    const struct hush_node *pending;
    char path[PATH_MAX];

    if (slash == NULL)
        return NULL;
    (void)snprintf(path, sizeof(path), "%.*s", (int)(slash - node->path), node->path);
    pending = hush_tree_path_find(fs, path, HUSH_NODE_PENDING, true);
    return pending != NULL && hush_item_is_lazy(pending) ? hush_item_get(fs, path, false) : NULL;
}

/* Shown as a directory, since nobody knew: now it is settled. */
static enum hush_verdict attr_guess(struct hush_fs *fs, struct hush_request *r,
                                    struct hush_answer *a, struct hush_node *node)
{
    struct hush_item *item = lazy_parent(fs, node);
    enum hush_verdict verdict;

    if (item != NULL)
        return hush_is_stopped(fs, r, a, item, &verdict) ? verdict : say_again(fs, r, a, item);
    item = hush_item_get(fs, node->path, false);
    if (item == NULL)
        return hush_say_error(a, ENOMEM);
    if ((item->kinds & HUSH_IS_FOLDER) != 0) {
        node = hush_tree_path_node(fs, node->instance, node->path, HUSH_NODE_DIR, false);
        return say_attr(fs, a, node, ATTR_LONG_S);
    }
    r->resolve = true;
    if (hush_is_stopped(fs, r, a, item, &verdict)) {
        if (verdict == HUSH_ANSWER && (item->kinds & HUSH_MAY_BE_FOLDER) != 0)
            return say_attr(fs, a, node, 0); /* the walk goes on; OPENDIR says why it ends */
        return verdict;
    }
    return say_again(fs, r, a, item);
}

static enum hush_verdict decide_attr(struct hush_fs *fs, struct hush_request *r,
                                     struct hush_answer *a)
{
    struct hush_node *node = hush_tree_find(fs, r->ino);

    if (node == NULL)
        return hush_say_error(a, ESTALE);
    switch (node->kind) {
    case HUSH_NODE_FILE:
    case HUSH_NODE_VERSION:
        return attr_version(fs, r, a, node);
    case HUSH_NODE_PENDING:
        return attr_pending(fs, r, a, node);
    case HUSH_NODE_GUESS:
        return attr_guess(fs, r, a, node);
    case HUSH_NODE_ROOT:
    case HUSH_NODE_DIR:
    case HUSH_NODE_CONTROL:
        break;
    }
    return say_attr(fs, a, node, ATTR_LONG_S);
}

/* -- OPEN -------------------------------------------------------------------------------------- */

/* node: of a snapshot. */
static enum hush_verdict say_open(struct hush_fs *fs, const struct hush_request *r,
                                  struct hush_answer *a, const struct hush_node *node, bool direct)
{
    struct hush_pass *p = hush_gate_pass(fs, r->tid);
    struct hush_snapshot *s = node->snapshot;

    if (s == NULL)
        return hush_say_error(a, ESTALE);

    p->item = p->told = p->told_item = 0;
    a->say = HUSH_SAY_OPEN;
    a->handle = node->ino;
    a->direct_io = direct || !s->item->settings.page_cache;
    a->keep_cache = !a->direct_io;
    if (hush_session_apply_once(fs->session, r->unique))
        s->record->nopen++;
    hush_metric_add(HUSH_METRIC_OPENS, 1);
    return HUSH_ANSWER;
}

enum hush_verdict hush_say_superseded(struct hush_fs *fs, const struct hush_request *r,
                                      struct hush_answer *a, const struct hush_item *item)
{
    struct hush_pass *p = hush_gate_pass(fs, r->tid);

    p->told = r->ino;
    p->told_item = item->id;
    return say_again(fs, r, a, item);
}

/*
 * Through a bind mount of the single file: the current bytes, past the page cache, if the size that
 * fstat(2) says can be theirs. The kernel has one size for a node. While somebody has the node's
 * own version open that is its size, and it is what all get. While the kernel has not been told yet
 * to ask for it, they wait.
 */
static enum hush_verdict open_bound(struct hush_fs *fs, struct hush_request *r,
                                    struct hush_answer *a, struct hush_node *node,
                                    struct hush_node *now)
{
    const struct hush_snapshot *s = node->snapshot;
    struct hush_pass *p = hush_gate_pass(fs, r->tid);

    if (s != NULL && s->record->nopen == 0 && !s->asks && !r->waited) {
        if (r->id != 0) {
            hush_gate_wait_item(fs, r, s->item);
            r->settled = true;
        }
        return HUSH_PARK;
    }
    if (s != NULL && (s->record->nopen > 0 || !s->asks))
        return say_open(fs, r, a, node, false);
    p->bound = r->ino;
    p->bound_to = now->ino;
    return say_open(fs, r, a, now, true);
}

/*
 * node is not the current version. A name that was looked up before a rotation is looked up again;
 * if the same node comes twice from one thread there is no name (a bind mount of the single file);
 * if the name moved on once more meanwhile, the version that the second lookup found is the right
 * one.
 */
static enum hush_verdict open_superseded(struct hush_fs *fs, struct hush_request *r,
                                         struct hush_answer *a, struct hush_node *node,
                                         struct hush_item *item)
{
    const struct hush_pass *p = hush_gate_pass(fs, r->tid);
    struct hush_node *now = hush_snapshot_top(item->current);

    if (p->told == r->ino && now->kind == HUSH_NODE_FILE)
        return open_bound(fs, r, a, node, now);
    if (node->kind == HUSH_NODE_FILE && p->told_item == item->id)
        return say_open(fs, r, a, node, false);
    return hush_say_superseded(fs, r, a, item);
}

static enum hush_verdict open_secret(struct hush_fs *fs, struct hush_request *r,
                                     struct hush_answer *a, struct hush_node *node)
{
    enum hush_verdict verdict;
    struct hush_item *item;

    if (node->snapshot != NULL && node != hush_snapshot_top(node->snapshot))
        return say_open(fs, r, a, node, false); /* a field: the directory was the gate */
    item = node->snapshot != NULL ? node->snapshot->item : hush_item_get(fs, node->path, false);
    if (item == NULL)
        return hush_say_error(a, ENOMEM);
    if (hush_is_stopped(fs, r, a, item, &verdict))
        return verdict;
    if (node->snapshot != NULL && node->snapshot == item->current)
        return say_open(fs, r, a, node, false);
    return open_superseded(fs, r, a, node, item);
}

static enum hush_verdict decide_open(struct hush_fs *fs, struct hush_request *r,
                                     struct hush_answer *a)
{
    struct hush_node *node = hush_tree_find(fs, r->ino);

    if (node == NULL)
        return hush_say_error(a, ESTALE);
    if ((r->flags & O_ACCMODE) == O_WRONLY || (r->flags & O_ACCMODE) == O_RDWR)
        return hush_say_error(a, EROFS);
    if (node->kind == HUSH_NODE_FILE || (node->kind == HUSH_NODE_PENDING && !node->directory))
        return open_secret(fs, r, a, node);
    if (node->kind != HUSH_NODE_CONTROL)
        return hush_say_error(a, EISDIR);
    a->say = HUSH_SAY_OPEN;
    a->direct_io = true;
    a->handle = hush_dot_open(fs, r->ino);
    return HUSH_ANSWER;
}

/* -- Refresh ----------------------------------------------------------------------------------- */

static enum hush_verdict decide_refresh(struct hush_fs *fs, struct hush_request *r,
                                        struct hush_answer *a)
{
    if (!r->waited) {
        if (r->id == 0)
            return HUSH_PARK;
        if (hush_work_fetch(fs, r->target, HUSH_WORK_RESOLVE)) {
            hush_gate_wait_item(fs, r, r->target);
            return HUSH_PARK;
        }
        r->outcome = HUSH_NO_MEMORY;
    }
    a->say = HUSH_SAY_IOCTL;
    a->status = r->outcome;
    (void)snprintf(a->text, sizeof(a->text), "%s",
                   r->text != NULL ? r->text : hush_status_text(r->outcome));
    return HUSH_ANSWER;
}

enum hush_verdict hush_decide(struct hush_fs *fs, struct hush_request *r, struct hush_answer *a)
{
    static enum hush_verdict (*const table[])(struct hush_fs *, struct hush_request *,
                                              struct hush_answer *) = {
        [HUSH_REQ_GETATTR] = decide_attr,
        [HUSH_REQ_OPEN] = decide_open,
        [HUSH_REQ_OPENDIR] = hush_decide_opendir,
        [HUSH_REQ_REFRESH] = decide_refresh,
    };

    return table[r->kind](fs, r, a);
}
