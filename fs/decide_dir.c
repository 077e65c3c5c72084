/* SPDX-License-Identifier: Apache-2.0 */
/* decide_dir.c - what OPENDIR is answered. Called by decide.c; see decide.h. */
#include "decide.h"

#include "both.h"
#include "core/clock.h"
#include "handle.h"
#include "item.h"
#include "snapshot.h"
#include "tree.h"
#include "work.h"

#include <errno.h>

static enum hush_verdict say_opendir(struct hush_fs *fs, struct hush_answer *a,
                                     struct hush_node *node)
{
    a->say = HUSH_SAY_OPEN;
    a->cache_dir = true;
    a->keep_cache = node->told_generation == node->listing->generation;
    node->told_generation = node->listing->generation;
    a->handle = hush_handle_listing(fs, node->listing);
    return HUSH_ANSWER;
}

static enum hush_verdict opendir_failed(const struct hush_request *r, struct hush_answer *a,
                                        const struct hush_node *node)
{
    enum hush_status status = node->list_status;

    if (r->waited && r->outcome != HUSH_OK)
        status = r->outcome;
    return hush_say_error(a, status != HUSH_OK ? hush_status_errno(status) : EIO);
}

/*
 * What r does about the listing of node: a listing is shown while it is younger than the ttl (past
 * neg_ttl it is made again meanwhile), and longer if the backend cannot say more: names are no
 * secrets. HUSH_ANSWER: it has node->listing, if there is one.
 */
static enum hush_verdict await_listing(struct hush_fs *fs, struct hush_request *r,
                                       struct hush_node *node)
{
    uint64_t now_ns = hush_request_now_ns(r), age_ns = now_ns - node->listed_ns;
    struct hush_settings settings;

    if (now_ns < node->list_retry_ns || r->waited)
        return HUSH_ANSWER;
    hush_config_settings(fs->config, node->instance->config, node->path, &settings);
    if (node->listed_ns == 0)
        age_ns = UINT64_MAX;
    if (node->listing != NULL && age_ns <= (uint64_t)settings.ttl_ms * HUSH_NS_PER_MS) {
        if (age_ns > (uint64_t)settings.neg_ttl_ms * HUSH_NS_PER_MS && !node->instance->watching)
            (void)hush_work_list(fs, node);
        return HUSH_ANSWER;
    }
    if (r->id == 0)
        return HUSH_PARK;
    if (hush_work_list(fs, node)) {
        hush_gate_wait_dir(fs, r, node);
        return HUSH_PARK;
    }
    r->waited = true;
    r->outcome = HUSH_NO_MEMORY;
    return HUSH_ANSWER;
}

static enum hush_verdict opendir_folder(struct hush_fs *fs, struct hush_request *r,
                                        struct hush_answer *a, struct hush_node *node)
{
    if (await_listing(fs, r, node) == HUSH_PARK)
        return HUSH_PARK;
    return node->listing != NULL ? say_opendir(fs, a, node) : opendir_failed(r, a, node);
}

/* The fields, and what is below a folder of the same name, if there is one and the backend says so.
 */
static enum hush_verdict opendir_version(struct hush_fs *fs, struct hush_request *r,
                                         struct hush_answer *a, struct hush_node *node)
{
    struct hush_node *folder = hush_both_folder(fs, node->snapshot->item);

    if (folder != NULL && folder->instance->health == HUSH_OK &&
        await_listing(fs, r, folder) == HUSH_PARK)
        return HUSH_PARK;
    a->say = HUSH_SAY_OPEN;
    if (hush_both_is_folder(fs, node->snapshot->item) && folder != NULL &&
        folder->listing != NULL) {
        a->handle = hush_handle_listing(fs, folder->listing);
        return HUSH_ANSWER;
    }
    a->cache_dir = a->keep_cache = true; /* a version's names never change */
    a->handle = node->ino;
    if (hush_session_apply_once(fs->session, r->unique))
        node->snapshot->record->nopen++;
    return HUSH_ANSWER;
}

/* item is seen through node, which is no version, by whoever has no other way. */
static enum hush_verdict opendir_through(struct hush_fs *fs, const struct hush_request *r,
                                         struct hush_answer *a, struct hush_node *node,
                                         const struct hush_item *item)
{
    bool last = hush_gate_pass(fs, r->tid)->told == r->ino || hush_both_is_spent(fs, r, item);

    if (!last || hush_item_shown_by(fs, node) == NULL)
        return hush_say_superseded(fs, r, a, item);
    node->opened = true;
    a->say = HUSH_SAY_OPEN;
    return HUSH_ANSWER;
}

/* A secret that was walked into without a fetch. Whoever came by its name finds the version at the
 * second try; who stands in it sees it through this node. */
static enum hush_verdict opendir_pending(struct hush_fs *fs, struct hush_request *r,
                                         struct hush_answer *a, struct hush_node *node)
{
    struct hush_item *item = hush_item_get(fs, node->path, false);
    enum hush_verdict verdict;

    if (item == NULL)
        return hush_say_error(a, ENOMEM);
    if (!hush_item_is_lazy(node) && node->bound == 0)
        return hush_say_error(a, ESTALE); /* GETATTR comes first on a path walk */
    if (hush_is_stopped(fs, r, a, item, &verdict))
        return verdict;
    return opendir_through(fs, r, a, node, item);
}

/* A name that may be a folder for all we know: `cat` of one that is not there comes here, too. */
static enum hush_verdict opendir_guess(struct hush_fs *fs, const struct hush_request *r,
                                       struct hush_answer *a, struct hush_node *node)
{
    const struct hush_item *item = hush_item_find(fs, node->path);

    if (item != NULL && item->current != NULL && node->bound != 0)
        return opendir_through(fs, r, a, node, item);
    if (item == NULL || (item->kinds & HUSH_MAY_BE_FOLDER) == 0)
        return hush_say_error(a, ESTALE);
    return hush_say_error(a, hush_status_errno(item->opendir));
}

enum hush_verdict hush_decide_opendir(struct hush_fs *fs, struct hush_request *r,
                                      struct hush_answer *a)
{
    struct hush_node *node = hush_tree_find(fs, r->ino);

    if (node == NULL)
        return hush_say_error(a, ESTALE);
    switch (node->kind) {
    case HUSH_NODE_DIR:
        return opendir_folder(fs, r, a, node);
    case HUSH_NODE_ROOT:
        return say_opendir(fs, a, node);
    case HUSH_NODE_VERSION:
        return opendir_version(fs, r, a, node);
    case HUSH_NODE_CONTROL:
        a->say = HUSH_SAY_OPEN;
        return HUSH_ANSWER;
    case HUSH_NODE_GUESS:
        return opendir_guess(fs, r, a, node);
    case HUSH_NODE_PENDING:
        return opendir_pending(fs, r, a, node);
    case HUSH_NODE_FILE:
        break;
    }
    return hush_say_error(a, ESTALE);
}
