/* SPDX-License-Identifier: Apache-2.0 */
/*
 * readdir.c - READDIR: from the listing that OPENDIR pinned, or, for a handle of a dead worker,
 * from what is known now; never waits, never fetches a value. Called by ops.c.
 */
#include "both.h"
#include "dotfiles.h"
#include "handle.h"
#include "item.h"
#include "ops.h"
#include "snapshot.h"
#include "tree.h"
#include "view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { DOTS = 2 }; /* "." and ".." come first, at offsets 1 and 2 */

/* One reply being filled. */
struct fill {
    fuse_req_t req;
    char *bytes;
    size_t size, used;
};

/* next: the offset of the entry that follows. False: the reply is full. */
static bool fill_add(struct fill *f, const char *name, uint64_t ino, bool directory, off_t next)
{
    struct stat st = {.st_ino = ino, .st_mode = directory ? S_IFDIR : S_IFREG};
    size_t n = fuse_add_direntry(f->req, f->bytes + f->used, f->size - f->used, name, &st, next);

    if (n > f->size - f->used)
        return false;
    f->used += n;
    return true;
}

static const char *path_of(const struct hush_node *dir)
{
    return dir->snapshot != NULL ? dir->snapshot->item->path : dir->path;
}

static bool shown_as_directory(struct hush_fs *fs, const struct hush_node *dir,
                               const struct hush_listed *entry)
{
    struct hush_settings settings;
    char path[PATH_MAX];

    if ((entry->kinds & HUSH_IS_FOLDER) != 0 || dir->kind == HUSH_NODE_ROOT ||
        dir->instance == NULL)
        return true;
    if (snprintf(path, sizeof(path), "%s/%s", path_of(dir), entry->name) >= (int)sizeof(path))
        return false;
    hush_config_settings(fs->config, dir->instance->config, path, &settings);
    return settings.as == HUSH_AS_DIRECTORY;
}

/* A folder that is a secret, too, shows that as .value. */
static bool has_own_value(struct hush_fs *fs, const struct hush_node *dir)
{
    return dir->path != NULL && (hush_both_kinds(fs, dir->path) & HUSH_IS_SECRET) != 0;
}

/* The entries of l at offsets from base on; those that are fields are left out. False: the reply is
 * full. */
static bool fill_entries(struct hush_fs *fs, struct fill *f, const struct hush_node *dir,
                         const struct hush_listing *l, size_t base, size_t first)
{
    for (size_t i = first > base ? first - base : 0; i < l->count; i++) {
        const struct hush_listed *entry = &l->entries[i];

        if (dir->snapshot != NULL && hush_snapshot_child(dir->snapshot, entry->name) != NULL)
            continue;
        /* The node id is settled by a lookup; any number but 0 will do here. */
        if (!fill_add(f, entry->name, dir->ino + base + i + 1, shown_as_directory(fs, dir, entry),
                      (off_t)(DOTS + base + i + 1)))
            return false;
    }
    return true;
}

static void fill_listing(struct hush_fs *fs, struct fill *f, const struct hush_node *dir,
                         const struct hush_listing *l, size_t first)
{
    if (fill_entries(fs, f, dir, l, 0, first) && first <= l->count && has_own_value(fs, dir))
        (void)fill_add(f, ".value", dir->ino + l->count + 1, false, (off_t)(DOTS + l->count + 1));
}

/* l: of a folder of the same name; NULL: none. */
static void fill_version(struct hush_fs *fs, struct fill *f, const struct hush_node *dir,
                         const struct hush_listing *l, size_t first)
{
    struct hush_snapshot *s = dir->snapshot;

    for (size_t i = first + 1; i < s->node_count; i++)
        if (!fill_add(f, s->nodes[i].name, s->nodes[i].ino, false, (off_t)(DOTS + i)))
            return;
    if (l == NULL)
        return;
    if (first < s->node_count && hush_snapshot_child(s, ".value") == NULL &&
        !fill_add(f, ".value", s->nodes[1].ino, false, (off_t)(DOTS + s->node_count)))
        return;
    (void)fill_entries(fs, f, dir, l, s->node_count, first);
}

/* What an open directory lists: pinned by its OPENDIR (h), or, if a worker that is gone did that,
 * as it is known now. NULL: nothing but what a version has itself. */
static const struct hush_listing *listing_of(struct hush_fs *fs, const struct hush_node *dir,
                                             const struct hush_handle *h, uint64_t handle)
{
    const struct hush_node *folder;

    if (h != NULL)
        return h->listing;
    if (dir->kind == HUSH_NODE_DIR || dir->kind == HUSH_NODE_ROOT)
        return dir->listing;
    if (dir->kind != HUSH_NODE_VERSION || handle == dir->ino ||
        !hush_both_is_folder(fs, dir->snapshot->item))
        return NULL;
    folder = hush_tree_path_find(fs, dir->snapshot->item->path, HUSH_NODE_DIR, false);
    return folder != NULL ? folder->listing : NULL;
}

static void fill_control(struct fill *f, size_t first)
{
    uint64_t ino;
    const char *name;

    for (size_t i = first; (name = hush_dot_name(i, &ino)) != NULL; i++)
        if (!fill_add(f, name, ino, false, (off_t)(DOTS + i + 1)))
            return;
}

/* "." and ".."; false: the reply is full. */
static bool fill_dots(struct fill *f, const struct hush_node *dir, off_t offset)
{
    static const char *const dots[DOTS] = {".", ".."};

    for (off_t i = offset > 0 ? offset : 0; i < DOTS; i++)
        if (!fill_add(f, dots[i], dir->ino, true, i + 1))
            return false;
    return true;
}

/* With fs->lock held. 0 or a positive errno. */
static int fill_directory(struct hush_fs *fs, struct fill *f, uint64_t ino, uint64_t handle,
                          off_t offset)
{
    struct hush_node *dir = hush_tree_find(fs, ino);
    struct hush_handle *h = hush_handle_find(fs, handle);
    const struct hush_listing *l;
    size_t first = offset > DOTS ? (size_t)offset - DOTS : 0;

    if (dir != NULL && (hush_item_is_lazy(dir) || dir->bound != 0))
        dir = hush_item_shown_by(fs, dir);
    if (dir == NULL)
        return ESTALE;
    l = listing_of(fs, dir, h, handle);
    if (l == NULL && dir->kind != HUSH_NODE_VERSION && ino != HUSH_INO_CONTROL)
        return EIO; /* never an empty listing for a failure */
    if (!fill_dots(f, dir, offset))
        return 0;
    if (dir->kind == HUSH_NODE_VERSION)
        fill_version(fs, f, dir, l, first);
    else if (l != NULL)
        fill_listing(fs, f, dir, l, first);
    else
        fill_control(f, first);
    return 0;
}

void hush_ops_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                      struct fuse_file_info *fi)
{
    struct hush_fs *fs = fuse_req_userdata(req);
    struct fill f = {.req = req, .bytes = malloc(size), .size = size};
    int err;

    if (f.bytes == NULL) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    pthread_mutex_lock(&fs->lock);
    err = fill_directory(fs, &f, hush_view_target(fs, ino), fi->fh, offset > 0 ? offset : 0);
    pthread_mutex_unlock(&fs->lock);
    if (err != 0)
        fuse_reply_err(req, err);
    else
        fuse_reply_buf(req, f.bytes, f.used);
    free(f.bytes);
}
