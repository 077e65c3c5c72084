/* SPDX-License-Identifier: Apache-2.0 */
/*
 * readdir.c - READDIR: from the listing that OPENDIR pinned, or, for a handle of a dead worker,
 * from what is known now; never waits, never fetches a value. Called by ops.c.
 */
#include "dotfiles.h"
#include "handle.h"
#include "item.h"
#include "ops.h"
#include "snapshot.h"
#include "tree.h"

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

static bool shown_as_directory(struct hush_fs *fs, const struct hush_node *dir,
                               const struct hush_listed *entry)
{
    struct hush_settings settings;
    char path[PATH_MAX];

    if ((entry->kinds & HUSH_IS_FOLDER) != 0 || dir->kind == HUSH_NODE_ROOT)
        return true;
    if (snprintf(path, sizeof(path), "%s/%s", dir->path, entry->name) >= (int)sizeof(path))
        return false;
    hush_config_settings(fs->config, dir->instance->config, path, &settings);
    return settings.as == HUSH_AS_DIRECTORY;
}

/* A folder that is a secret, too, shows that as .value. */
static bool has_own_value(struct hush_fs *fs, const struct hush_node *dir)
{
    const char *slash = dir->path != NULL ? strrchr(dir->path, '/') : NULL;
    const struct hush_node *parent;
    char path[PATH_MAX];

    if (slash == NULL)
        return false;
    (void)snprintf(path, sizeof(path), "%.*s", (int)(slash - dir->path), dir->path);
    parent = hush_tree_path_find(fs, path, HUSH_NODE_DIR, false);
    return parent != NULL && (hush_listing_kinds(parent->listing, slash + 1) & HUSH_IS_SECRET) != 0;
}

static void fill_listing(struct hush_fs *fs, struct fill *f, const struct hush_node *dir,
                         const struct hush_listing *l, size_t first)
{
    for (size_t i = first; i < l->count; i++) {
        const struct hush_listed *entry = &l->entries[i];

        /* The node id is settled by a lookup; any number but 0 will do here. */
        if (!fill_add(f, entry->name, dir->ino + i + 1, shown_as_directory(fs, dir, entry),
                      (off_t)(DOTS + i + 1)))
            return;
    }
    if (first <= l->count && has_own_value(fs, dir))
        (void)fill_add(f, ".value", dir->ino + l->count + 1, false, (off_t)(DOTS + l->count + 1));
}

static void fill_version(struct fill *f, const struct hush_snapshot *s, size_t first)
{
    for (size_t i = first + 1; i < s->node_count; i++)
        if (!fill_add(f, s->nodes[i].name, s->nodes[i].ino, false, (off_t)(DOTS + i)))
            return;
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
    struct hush_listing *l = NULL;
    size_t first = offset > DOTS ? (size_t)offset - DOTS : 0;

    if (dir != NULL && hush_item_is_lazy(dir))
        dir = hush_item_shown_by(fs, dir);
    if (dir == NULL)
        return ESTALE;
    if (dir->kind == HUSH_NODE_DIR || dir->kind == HUSH_NODE_ROOT)
        l = h != NULL ? h->listing : dir->listing;
    if (l == NULL && dir->kind != HUSH_NODE_VERSION && ino != HUSH_INO_CONTROL)
        return EIO; /* never an empty listing for a failure */
    if (!fill_dots(f, dir, offset))
        return 0;
    if (l != NULL)
        fill_listing(fs, f, dir, l, first);
    else if (dir->kind == HUSH_NODE_VERSION)
        fill_version(f, dir->snapshot, first);
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
    err = fill_directory(fs, &f, ino, fi->fh, offset > 0 ? offset : 0);
    pthread_mutex_unlock(&fs->lock);
    if (err != 0)
        fuse_reply_err(req, err);
    else
        fuse_reply_buf(req, f.bytes, f.used);
    free(f.bytes);
}
