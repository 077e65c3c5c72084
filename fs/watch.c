/* SPDX-License-Identifier: Apache-2.0 */
/* watch.c - see watch.h. Called by work.c. */
#include "watch.h"

#include "call.h"
#include "core/clock.h"
#include "core/log.h"
#include "gate.h"
#include "item.h"
#include "job.h"
#include "snapshot.h"
#include "tree.h"
#include "work.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { PAUSE_MS = 1000 };

/* What the kernel or the cache holds of item may be wrong. */
static void item_changed(struct hush_fs *fs, struct hush_item *item)
{
    item->retry_ns = item->alone_until_ns = 0;
    if (item->job != NULL) {
        item->again = true;
        return;
    }
    if (item->current == NULL) {
        hush_item_put(fs, item, hush_now_ns());
        return;
    }
    (void)hush_work_fetch(fs, item, HUSH_WORK_BACKGROUND | HUSH_WORK_WHOLE);
}

static void dir_changed(struct hush_fs *fs, struct hush_node *dir)
{
    dir->listed_ns = dir->list_retry_ns = 0;
    if (dir->list_job != NULL)
        dir->again = true;
    else if (dir->listing != NULL)
        (void)hush_work_list(fs, dir);
}

/* The folder that path is in has other names. */
static void listing_changed(struct hush_fs *fs, struct hush_instance *instance, const char *path)
{
    struct hush_node *dir;
    struct hush_item *item;
    char parent[PATH_MAX];

    if (!hush_path_parent(path, parent))
        return;
    dir = strchr(parent, '/') == NULL ? instance->node
                                      : hush_tree_path_find(fs, parent, HUSH_NODE_DIR, false);
    if (dir != NULL)
        dir_changed(fs, dir);
    item = hush_item_find(fs, parent);
    if (item != NULL)
        item->alone_until_ns = 0;
    if (item != NULL && item->job != NULL && (item->job->flags & HUSH_WORK_RESOLVE) != 0)
        item->again = true; /* it may list just now, to see whether this is a folder */
}

/* dynamic: what a fetch made, too; it does not change by itself, somebody must say so. */
static void everything_changed(struct hush_fs *fs, struct hush_instance *instance, bool dynamic)
{
    struct hush_item *item, *next_item;
    struct hush_node *node, *next_node;

    HASH_ITER(hh, fs->items, item, next_item)
    if (item->instance == instance &&
        (dynamic || item->current == NULL || !item->current->record->dynamic))
        item_changed(fs, item);
    HASH_ITER(hh, fs->nodes, node, next_node)
    {
        if (node->kind == HUSH_NODE_DIR && node->instance == instance)
            dir_changed(fs, node);
    }
}

/* By the provider, in the watch's thread. path: raw; "": everything. */
static void changed(void *ctx, const char *path)
{
    struct hush_instance *instance = ctx;
    struct hush_fs *fs = instance->fs;
    struct hush_item *item;
    char shown[PATH_MAX];
    int n = snprintf(shown, sizeof(shown), "%s/", instance->config->name);

    if (path[0] != '\0' && !hush_path_show(path, shown + n, sizeof(shown) - (size_t)n))
        return; /* a name that is not shown */
    pthread_mutex_lock(&fs->lock);
    if (path[0] == '\0') {
        everything_changed(fs, instance, true);
    } else {
        item = hush_item_find(fs, shown);
        if (item != NULL)
            item_changed(fs, item);
        listing_changed(fs, instance, shown);
    }
    pthread_mutex_unlock(&fs->lock);
    hush_gate_answer_woken(fs);
}

static void told(struct hush_listener *self, enum hush_status status, const char *why)
{
    struct hush_upkeep *upkeep = (struct hush_upkeep *)(void *)self; /* its first member */
    struct hush_instance *instance =
        (struct hush_instance *)(void *)((char *)upkeep - offsetof(struct hush_instance, upkeep));
    enum hush_status before;

    pthread_mutex_lock(&instance->fs->lock);
    before = upkeep->status;
    upkeep->status = status;
    (void)snprintf(upkeep->why, sizeof(upkeep->why), "%s", status == HUSH_OK ? "" : why);
    pthread_mutex_unlock(&instance->fs->lock);
    if (status != HUSH_OK && status != before)
        hush_warning("upkeep failed instance=%s status=%s reason=\"%s\"", instance->config->name,
                     hush_status_name(status), why);
    else if (status != before)
        hush_info("upkeep works again instance=%s", instance->config->name);
}

void hush_watch_listen(struct hush_instance *instance)
{
    instance->upkeep.listener.told = told;
    instance->provider->listener = &instance->upkeep.listener;
}

/* Nobody looked for a while. */
static void missed(struct hush_instance *instance)
{
    pthread_mutex_lock(&instance->fs->lock);
    everything_changed(instance->fs, instance, false);
    pthread_mutex_unlock(&instance->fs->lock);
    hush_gate_answer_woken(instance->fs);
}

static void set_watching(struct hush_instance *instance, bool watching)
{
    pthread_mutex_lock(&instance->fs->lock);
    instance->watching = watching;
    pthread_mutex_unlock(&instance->fs->lock);
}

static void rest(struct hush_instance *instance)
{
    hush_op_wait(&instance->watch_op, -1, hush_now_ns() + PAUSE_MS * (uint64_t)HUSH_NS_PER_MS);
}

/* A request will open it, if it could not be opened at the start. */
static void await_open(struct hush_instance *instance)
{
    if (hush_provider_is_open(instance->provider))
        return;
    while (!hush_provider_is_open(instance->provider) && !hush_op_canceled(&instance->watch_op))
        rest(instance);
    missed(instance);
}

static void *watch_thread(void *arg)
{
    struct hush_instance *instance = arg;
    struct hush_provider *p = instance->provider;

    await_open(instance);
    while (!hush_op_canceled(&instance->watch_op)) {
        enum hush_status status;

        set_watching(instance, (p->flags & HUSH_WATCH_IS_PARTIAL) == 0);
        status = hush_provider_watch(p, &instance->watch_op, changed, instance);
        set_watching(instance, false);
        if (status == HUSH_CANCELED || status == HUSH_UNSUPPORTED ||
            hush_op_canceled(&instance->watch_op))
            break;
        hush_warning("watch ended instance=%s status=%s reason=\"%s\"", instance->config->name,
                     hush_status_name(status), instance->watch_op.detail);
        rest(instance);
        missed(instance);
    }
    return NULL;
}

bool hush_watch_start(struct hush_instance *instance)
{
    if (instance->provider->ops->watch == NULL)
        return true;
    hush_op_init(&instance->watch_op, instance->fs->arena, 0);
    errno = pthread_create(&instance->watcher, NULL, watch_thread, instance);
    return errno == 0;
}

bool hush_watch_stop(struct hush_instance *instance, const struct timespec *end)
{
    if (instance->watcher == 0)
        return true;
    hush_op_cancel(&instance->watch_op);
    return pthread_clockjoin_np(instance->watcher, NULL, CLOCK_MONOTONIC, end) == 0;
}
