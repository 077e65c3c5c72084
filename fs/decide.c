/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decide.c - what GETATTR and OPEN are answered (OPENDIR: decide_dir.c): HACKING.md's life of an
 * open. Called by gate.c alone, with fs->lock held: first when the request comes, and again when
 * what it waited for has an outcome (r->waited).
 */
#include "decide.h"

#include "access.h"
#include "attr.h"
#include "both.h"
#include "core/clock.h"
#include "core/metrics.h"
#include "dotfiles.h"
#include "item.h"
#include "snapshot.h"
#include "tree.h"
#include "work.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Attributes outlive names a little, so that a path walk always asks LOOKUP before GETATTR. */
static const double ATTR_MORE_S = 0.1;
static const double ATTR_LONG_S = 3600;

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

    return p->item == item->id && hush_now_ns() - p->at_ns < HUSH_PASS_NS;
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
    hush_both_spend(fs, r, item);
    return hush_say_error(a, ESTALE);
}

enum hush_verdict hush_say_superseded(struct hush_fs *fs, const struct hush_request *r,
                                      struct hush_answer *a, const struct hush_item *item)
{
    struct hush_pass *p = hush_gate_pass(fs, r->tid);

    p->told = r->ino;
    p->told_item = item->id;
    return say_again(fs, r, a, item);
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

/* A secret that cannot be shown, and is a folder, too: the next lookup finds the folder. */
static enum hush_verdict folder_instead(struct hush_fs *fs, const struct hush_request *r,
                                        struct hush_answer *a, const struct hush_item *item,
                                        enum hush_verdict verdict)
{
    if (verdict == HUSH_PARK || !hush_both_is_folder(fs, item))
        return verdict;
    return say_again(fs, r, a, item);
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
    if (hush_is_stopped(fs, r, a, item, &verdict))
        return folder_instead(fs, r, a, item, verdict);
    if (item->current != s && !hush_both_is_spent(fs, r, item))
        return say_again(fs, r, a, item);
    pass(fs, r, item, false);
    timeout_s = hush_item_kernel_s(item, now_ns);
    return say_attr(fs, a, node, timeout_s > 0 ? timeout_s + ATTR_MORE_S : 0);
}

/* item is seen through node, which is no version: see hush_both_is_spent(). */
static enum hush_verdict attr_through(struct hush_fs *fs, struct hush_answer *a,
                                      struct hush_node *node, const struct hush_item *item)
{
    (void)say_attr(fs, a, hush_snapshot_top(item->current), 0);
    a->attr.st_ino = node->ino;
    return HUSH_ANSWER;
}

/* Somebody has node open, or stands in it, and this is no walk to its name. */
static bool is_held(struct hush_fs *fs, const struct hush_request *r, const struct hush_node *node,
                    const struct hush_item *item)
{
    bool asked = hush_gate_was_asked(fs, r->tid, r->ino) || r->waited;

    return !asked && node->bound != 0 && item->current != NULL &&
           item->current->directory == node->directory;
}

/* node was no version when it was looked up, but item has one now. */
static enum hush_verdict attr_found(struct hush_fs *fs, const struct hush_request *r,
                                    struct hush_answer *a, struct hush_node *node,
                                    const struct hush_item *item)
{
    bool fits = item->current->directory == node->directory;

    if (!fits || !hush_both_is_spent(fs, r, item) ||
        (node->directory && hush_item_shown_by(fs, node) == NULL))
        return say_again(fs, r, a, item);
    node->bound = item->current->record->sequence;
    return attr_through(fs, a, node, item);
}

/* A secret without a value until now. */
static enum hush_verdict attr_pending(struct hush_fs *fs, struct hush_request *r,
                                      struct hush_answer *a, struct hush_node *node)
{
    struct hush_item *item = hush_item_get(fs, node->path, false);
    enum hush_verdict verdict;

    if (hush_item_is_lazy(node))
        return say_attr(fs, a, node, 0);
    if (item == NULL)
        return hush_say_error(a, ENOMEM);
    if (is_held(fs, r, node, item))
        return attr_through(fs, a, node, item);
    if (hush_is_stopped(fs, r, a, item, &verdict))
        return node->directory ? folder_instead(fs, r, a, item, verdict) : verdict;
    return attr_found(fs, r, a, node, item);
}

/* The secret that a name stands below, if it was walked into without a fetch; else NULL. */
static struct hush_item *lazy_parent(struct hush_fs *fs, const struct hush_node *node)
{
    const struct hush_node *pending;
    char path[PATH_MAX];

    if (!hush_path_parent(node->path, path))
        return NULL;
    pending = hush_tree_path_find(fs, path, HUSH_NODE_PENDING, true);
    return pending != NULL && hush_item_is_lazy(pending) ? hush_item_get(fs, path, false) : NULL;
}

/* A name in the directory of a secret that is no field of it: a secret below, or, whatever the
 * backend says (it may refuse, or be away), nothing. */
static enum hush_verdict attr_beside_fields(struct hush_fs *fs, struct hush_request *r,
                                            struct hush_answer *a, struct hush_node *node,
                                            struct hush_item *item, struct hush_item *above)
{
    enum hush_verdict verdict;

    r->resolve = true;
    if (hush_is_stopped(fs, r, a, item, &verdict))
        return verdict == HUSH_PARK ? verdict : hush_say_error(a, ENOENT);
    above->kinds |= HUSH_IS_FOLDER;
    return attr_found(fs, r, a, node, item);
}

/* Shown as a directory, since nobody knew: now it is settled. */
static enum hush_verdict attr_guess(struct hush_fs *fs, struct hush_request *r,
                                    struct hush_answer *a, struct hush_node *node)
{
    struct hush_item *item = lazy_parent(fs, node), *above;
    enum hush_verdict verdict;

    if (item != NULL)
        return hush_is_stopped(fs, r, a, item, &verdict) ? verdict : say_again(fs, r, a, item);
    item = hush_item_get(fs, node->path, false);
    if (item == NULL)
        return hush_say_error(a, ENOMEM);
    if (is_held(fs, r, node, item))
        return attr_through(fs, a, node, item);
    above = hush_both_secret_above(fs, node->path);
    if ((item->kinds & HUSH_IS_FOLDER) != 0) {
        if (above != NULL)
            above->kinds |= HUSH_IS_FOLDER;
        node = hush_tree_path_node(fs, node->instance, node->path, HUSH_NODE_DIR, false);
        return say_attr(fs, a, node, ATTR_LONG_S);
    }
    if (above != NULL)
        return attr_beside_fields(fs, r, a, node, item, above);
    r->resolve = true;
    if (hush_is_stopped(fs, r, a, item, &verdict)) {
        if (verdict == HUSH_ANSWER && (item->kinds & HUSH_MAY_BE_FOLDER) != 0)
            return say_attr(fs, a, node, 0); /* the walk goes on; OPENDIR says why it ends */
        return verdict;
    }
    return attr_found(fs, r, a, node, item);
}

static enum hush_verdict attr_node(struct hush_fs *fs, struct hush_request *r,
                                   struct hush_answer *a, struct hush_node *node)
{
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

static enum hush_verdict decide_attr(struct hush_fs *fs, struct hush_request *r,
                                     struct hush_answer *a)
{
    struct hush_node *node = hush_tree_find(fs, r->ino);
    enum hush_verdict verdict;

    if (node == NULL)
        return hush_say_error(a, ESTALE);
    verdict = attr_node(fs, r, a, node);
    if (verdict == HUSH_PARK) /* it gates at the second look, too, or at the next worker's */
        hush_gate_asked(fs, r->tid, r->ino);
    return verdict;
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
        [HUSH_REQ_OPEN] = hush_decide_open,
        [HUSH_REQ_OPENDIR] = hush_decide_opendir,
        [HUSH_REQ_REFRESH] = decide_refresh,
    };

    return table[r->kind](fs, r, a);
}
