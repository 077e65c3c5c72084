/* SPDX-License-Identifier: Apache-2.0 */
/* decide_open.c - what OPEN is answered. Called by decide.c; see decide.h. */
#include "decide.h"

#include "access.h"
#include "both.h"
#include "core/metrics.h"
#include "dotfiles.h"
#include "item.h"
#include "snapshot.h"
#include "tree.h"

#include <errno.h>
#include <fcntl.h>

/* node: of a snapshot. */
static enum hush_verdict say_open(struct hush_fs *fs, const struct hush_request *r,
                                  struct hush_answer *a, const struct hush_node *node, bool direct)
{
    struct hush_pass *p = hush_gate_pass(fs, r->tid);
    struct hush_snapshot *s = node->snapshot;

    if (s == NULL)
        return hush_say_error(a, ESTALE);

    p->item = p->told = p->told_item = p->again = 0;
    a->say = HUSH_SAY_OPEN;
    a->handle = node->ino;
    a->direct_io = direct || !hush_access_of(node)->page_cache;
    a->keep_cache = !a->direct_io;
    if (hush_session_apply_once(fs->session, r->unique))
        s->record->nopen++;
    hush_metric_add(HUSH_METRIC_OPENS, 1);
    return HUSH_ANSWER;
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

    if (now->kind == HUSH_NODE_FILE && (p->told == r->ino || hush_both_is_spent(fs, r, item)))
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

enum hush_verdict hush_decide_open(struct hush_fs *fs, struct hush_request *r,
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
