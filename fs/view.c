/* SPDX-License-Identifier: Apache-2.0 */
/* view.c - see view.h. Called by ops.c, gate.c, readdir.c, rotate.c and serve.c. */
#include "view.h"

#include "snapshot.h"
#include "tree.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In the arena. */
struct hush_view_record {
    uint64_t ino, target, nlookup;
};

struct hush_view {
    struct hush_view_record *record;
    hush_block block;
    UT_hash_handle hh; /* by record->ino */
};

static struct hush_view *find(struct hush_fs *fs, uint64_t ino)
{
    struct hush_view *view;

    HASH_FIND(hh, fs->views, &ino, sizeof(ino), view);
    return view;
}

uint64_t hush_view_target(struct hush_fs *fs, uint64_t ino)
{
    const struct hush_view *view = fs->views != NULL ? find(fs, ino) : NULL;

    return view != NULL ? view->record->target : ino;
}

static uint64_t view_ino(const struct hush_fs *fs, uint64_t parent, uint64_t target)
{
    char name[32], version[32];
    /* Nothing else has no path. */
    struct hush_ino_key key = {
        .kind = HUSH_NODE_VERSION, .path = "", .name = name, .version = version};

    (void)snprintf(name, sizeof(name), "%" PRIx64, target);
    (void)snprintf(version, sizeof(version), "%" PRIx64, parent);
    return hush_tree_ino(fs, &key);
}

static void view_free(struct hush_fs *fs, struct hush_view *view)
{
    HASH_DEL(fs->views, view);
    hush_arena_release(fs->arena, view->block);
    free(view);
}

static struct hush_view *view_add(struct hush_fs *fs, hush_block block)
{
    struct hush_view *view = calloc(1, sizeof(*view));

    if (view == NULL)
        return NULL;
    view->block = block;
    view->record = hush_arena_bytes(fs->arena, block);
    HASH_ADD_KEYPTR(hh, fs->views, &view->record->ino, sizeof(view->record->ino), view);
    return view;
}

static struct hush_view *view_new(struct hush_fs *fs, uint64_t ino, struct hush_node *node)
{
    hush_block block =
        hush_arena_alloc(fs->arena, HUSH_BLOCK_VIEW, sizeof(struct hush_view_record));
    struct hush_view *view;

    if (block == 0)
        return NULL;
    *(struct hush_view_record *)hush_arena_bytes(fs->arena, block) =
        (struct hush_view_record){.ino = ino, .target = node->ino};
    view = view_add(fs, block);
    if (view == NULL) {
        hush_arena_release(fs->arena, block);
        return NULL;
    }
    hush_tree_looked_up(
        node); /* first: a worker that dies here leaves one too many, never one too few */
    hush_arena_publish(fs->arena, block);
    return view;
}

uint64_t hush_view_below(struct hush_fs *fs, uint64_t parent, struct hush_node *node)
{
    const struct hush_node *above = hush_tree_find(fs, parent);
    uint64_t ino;

    if (!node->directory || node->kind == HUSH_NODE_CONTROL ||
        (above != NULL && above->kind != HUSH_NODE_VERSION))
        return node->ino;
    ino = view_ino(fs, parent, node->ino);
    return find(fs, ino) != NULL || view_new(fs, ino, node) != NULL ? ino : 0;
}

/* What path's directory is called by itself. */
static uint64_t own_ino(struct hush_fs *fs, const char *path, bool *is_version)
{
    const struct hush_node *version = hush_tree_version(fs, path);

    *is_version = version != NULL;
    return version != NULL ? version->ino : hush_tree_dir_ino(fs, path);
}

uint64_t hush_view_parent(struct hush_fs *fs, const char *path)
{
    size_t n = strlen(path);
    char part[PATH_MAX];
    uint64_t ino = HUSH_INO_ROOT;
    bool below = false, is_version;

    for (size_t at = strcspn(path, "/"); at < n; at += 1 + strcspn(path + at + 1, "/")) {
        uint64_t own;

        (void)snprintf(part, sizeof(part), "%.*s", (int)at, path);
        own = own_ino(fs, part, &is_version);
        ino = below ? view_ino(fs, ino, own) : own;
        below = below || is_version;
    }
    return ino;
}

bool hush_view_looked_up(struct hush_fs *fs, uint64_t ino)
{
    struct hush_view *view = find(fs, ino);

    if (view != NULL)
        view->record->nlookup++;
    return view != NULL;
}

bool hush_view_forget(struct hush_fs *fs, uint64_t ino, uint64_t n)
{
    struct hush_view *view = find(fs, ino);
    uint64_t target;

    if (view == NULL)
        return false;
    view->record->nlookup -= n < view->record->nlookup ? n : view->record->nlookup;
    if (view->record->nlookup > 0)
        return true;
    target = view->record->target;
    view_free(fs, view);
    hush_tree_forget(fs, target, 1);
    return true;
}

void hush_view_walk(struct hush_fs *fs, uint64_t target, hush_view_fn *fn, const char *name)
{
    for (const struct hush_view *view = fs->views; view != NULL; view = view->hh.next)
        if (target == 0 || view->record->target == target)
            fn(fs, view->record->ino, name);
}

void hush_view_walk_below(struct hush_fs *fs, uint64_t parent, hush_view_fn *fn)
{
    for (const struct hush_view *view = fs->views; view != NULL; view = view->hh.next) {
        const struct hush_node *n = hush_tree_find(fs, view->record->target);

        if (n != NULL && view_ino(fs, parent, n->ino) == view->record->ino)
            fn(fs, parent, hush_path_last(n->snapshot != NULL ? n->snapshot->item->path : n->path));
    }
}

void hush_view_adopt_all(struct hush_fs *fs)
{
    size_t count;
    hush_block *blocks = hush_tree_blocks(fs, HUSH_BLOCK_VIEW, &count);

    for (size_t i = 0; i < count; i++) {
        const struct hush_view_record *r = hush_arena_bytes(fs->arena, blocks[i]);

        if (hush_arena_size(fs->arena, blocks[i]) < sizeof(*r) || find(fs, r->ino) != NULL ||
            hush_tree_find(fs, r->target) == NULL || view_add(fs, blocks[i]) == NULL)
            hush_arena_release(fs->arena, blocks[i]);
    }
    free(blocks);
}
