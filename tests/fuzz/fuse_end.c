/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse_end.c - frees a filesystem that has stopped, so that what it lost on the way is a leak that
 * the fuzzer sees. A worker just ends: nothing of this is worth doing there.
 */
#include "fuzz_fuse.h"

#include "job.h"
#include "snapshot.h"
#include "tree.h"
#include "view.h"

#include <stdlib.h>
#include <sys/mman.h>

static void free_items(struct hush_fs *fs)
{
    struct hush_item *item, *next;
    struct hush_snapshot *s, *next_s;

    HASH_ITER(hh, fs->items, item, next)
    {
        hush_snapshot_free(fs, item->current);
        hush_snapshot_free(fs, item->staged);
        DL_FOREACH_SAFE(item->old, s, next_s)
        hush_snapshot_free(fs, s);
        HASH_DEL(fs->items, item);
        free(item->detail);
        free(item->path);
        free(item);
    }
}

static void free_nodes(struct hush_fs *fs)
{
    struct hush_node *node, *next;

    HASH_ITER(hh, fs->nodes, node, next)
    {
        hush_tree_remove(fs, node);
        hush_listing_unref(node->listing);
        free(node->path);
        if (node != &fs->root)
            free(node);
    }
}

static uint64_t a_view;

static void note_view(struct hush_fs *fs, uint64_t ino, const char *name)
{
    (void)fs;
    (void)name;
    a_view = ino;
}

/* Each is a lookup of a node: before those. */
static void free_views(struct hush_fs *fs)
{
    while (fs->views != NULL) {
        hush_view_walk(fs, 0, note_view, NULL);
        (void)hush_view_forget(fs, a_view, UINT64_MAX);
    }
}

static void free_handles(struct hush_fs *fs)
{
    struct hush_handle *h, *next;

    HASH_ITER(hh, fs->handles, h, next)
    {
        HASH_DEL(fs->handles, h);
        hush_listing_unref(h->listing);
        free(h->text);
        free(h);
    }
    for (size_t i = 0; i < HUSH_DOTS; i++)
        free(fs->kept[i].text);
}

static void free_instance(struct hush_instance *instance)
{
    struct hush_job *job, *next;

    DL_FOREACH_SAFE(instance->queue, job, next)
    free(job); /* no thread had begun it */
    free(instance->threads);
}

void fs_free(struct hush_fs *fs)
{
    free_views(fs);
    free_items(fs);
    free_nodes(fs);
    free_handles(fs);
    for (size_t i = 0; i < fs->instance_count; i++)
        free_instance(&fs->instances[i]);
    free(fs->instances);
    hush_session_free(fs->session);
    pthread_cond_destroy(&fs->timer);
    pthread_cond_destroy(&fs->moves);
    pthread_mutex_destroy(&fs->lock);
    (void)munmap(fs->bounce, HUSH_BOUNCE_SIZE);
    free(fs);
}
