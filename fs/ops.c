/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops.c - the FUSE operations: unpack, ask, reply. What may wait is in decide.c. All of it runs in
 * the loop's thread, which never blocks.
 */
#include "ops.h"

#include "attr.h"
#include "core/lockmem.h"
#include "dotfiles.h"
#include "gate.h"
#include "handle.h"
#include "item.h"
#include "rotate.h"
#include "snapshot.h"
#include "tree.h"
#include "view.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

enum { MAX_WRITE = 128 * 1024 }; /* libfuse derives max_pages from it: READs of up to this */

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
    (void)userdata;
    conn->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
                              FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO);
    conn->max_write = MAX_WRITE;
    /* Background requests (readahead) must never stall behind one another. */
    conn->max_background = 512;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct hush_fs *fs = fuse_req_userdata(req);
    struct fuse_entry_param entry;
    struct hush_node *dir, *found = NULL;
    int err = ESTALE;

    pthread_mutex_lock(&fs->lock);
    dir = hush_tree_find(fs, hush_view_target(fs, parent));
    if (dir != NULL)
        err = hush_lookup(fs, dir, name, fuse_req_ctx(req)->pid, &entry, &found);
    if (err == 0)
        err = (entry.ino = hush_view_below(fs, parent, found)) != 0 ? 0 : ENOMEM;
    if (err == 0 && hush_session_apply_once(fs->session, hush_session_unique(fs->session)) &&
        !hush_view_looked_up(fs, entry.ino))
        hush_tree_looked_up(found);
    pthread_mutex_unlock(&fs->lock);
    if (err != 0)
        fuse_reply_err(req, err);
    else
        fuse_reply_entry(req, &entry);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    struct hush_fs *fs = fuse_req_userdata(req);

    pthread_mutex_lock(&fs->lock);
    if (hush_session_apply_once(fs->session, hush_session_unique(fs->session)))
        for (size_t i = 0; i < count; i++)
            if (!hush_view_forget(fs, forgets[i].ino, forgets[i].nlookup))
                hush_tree_forget(fs, forgets[i].ino, forgets[i].nlookup);
    pthread_mutex_unlock(&fs->lock);
    fuse_reply_none(req);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
    struct fuse_forget_data one = {.ino = ino, .nlookup = nlookup};

    op_forget_multi(req, 1, &one);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)fi;
    hush_gate_enter(fuse_req_userdata(req), req, HUSH_REQ_GETATTR, ino, 0);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct hush_fs *fs = fuse_req_userdata(req);

    if (fs->open_mode == HUSH_OPEN_KERNEL)
        fuse_reply_err(req, ENOSYS); /* once: from now on the kernel opens by itself */
    else
        hush_gate_enter(fs, req, HUSH_REQ_OPEN, ino, fi->flags);
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    hush_gate_enter(fuse_req_userdata(req), req, HUSH_REQ_OPENDIR, ino, fi->flags);
}

/* -- READ -------------------------------------------------------------------------------------- */

/* The part of a value that was asked for. */
struct piece {
    const uint8_t *bytes;
    size_t size;
};

static struct piece piece_of(const void *bytes, size_t have, size_t size, off_t offset)
{
    struct piece p = {NULL, 0};

    if (offset < 0 || (uint64_t)offset >= have)
        return p;
    p.bytes = (const uint8_t *)bytes + offset;
    p.size = have - (size_t)offset < size ? have - (size_t)offset : size;
    return p;
}

/* The kernel cannot read memfd_secret memory on its own: a locked copy goes, and is wiped. */
static void reply_piece(struct hush_fs *fs, fuse_req_t req, struct piece p)
{
    if (p.size == 0 || hush_arena_is_plain(fs->arena)) {
        fuse_reply_buf(req, (const char *)p.bytes, p.size);
        return;
    }
    memcpy(fs->bounce, p.bytes, p.size);
    fuse_reply_buf(req, fs->bounce, p.size);
    hush_wipe(fs->bounce, p.size);
}

static void read_dot(struct hush_fs *fs, fuse_req_t req, fuse_ino_t ino, uint64_t handle,
                     size_t size, off_t offset)
{
    const struct hush_handle *h;
    struct piece p;

    pthread_mutex_lock(&fs->lock);
    h = hush_handle_find(fs, handle);
    if (h == NULL) /* `open = kernel`, or opened before a takeover */
        h = hush_dot_kept(fs, ino, false);
    pthread_mutex_unlock(&fs->lock);
    /* This thread alone frees a text. */
    p = h != NULL ? piece_of(h->text, h->size, size, offset) : piece_of(NULL, 0, size, offset);
    fuse_reply_buf(req, (const char *)p.bytes, p.size);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
    struct hush_fs *fs = fuse_req_userdata(req);
    struct hush_secret *secret = NULL;
    const struct hush_node *node;
    bool dot;

    pthread_mutex_lock(&fs->lock);
    dot = ino < HUSH_INO_FIRST;
    node = hush_tree_find(fs, fi->fh != 0 && !dot ? fi->fh : ino);
    if (node != NULL && node->kind == HUSH_NODE_FILE) {
        secret = hush_secret_ref(hush_snapshot_bytes(node));
        node->snapshot->record->used = 1;
    }
    pthread_mutex_unlock(&fs->lock);
    if (dot)
        read_dot(fs, req, ino, fi->fh, size, offset);
    else if (secret == NULL)
        fuse_reply_err(req, ESTALE);
    else
        reply_piece(fs, req,
                    piece_of(hush_secret_bytes(secret), hush_secret_size(secret),
                             size < MAX_WRITE ? size : MAX_WRITE, offset));
    hush_secret_unref(secret);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct hush_fs *fs = fuse_req_userdata(req);
    struct hush_node *node;

    pthread_mutex_lock(&fs->lock);
    node = ino < HUSH_INO_FIRST ? NULL : hush_tree_find(fs, fi->fh);
    if (node == NULL || node->snapshot == NULL) {
        hush_handle_close(fs, fi->fh);
    } else if (hush_session_apply_once(fs->session, hush_session_unique(fs->session))) {
        node->snapshot->record->nopen -= node->snapshot->record->nopen > 0;
        hush_item_reap(fs, node->snapshot);
    }
    pthread_mutex_unlock(&fs->lock);
    fuse_reply_err(req, 0);
}

/* -- The rest ---------------------------------------------------------------------------------- */

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct hush_fs *fs = fuse_req_userdata(req);
    struct hush_arena_usage usage = hush_arena_usage(fs->arena);
    struct statvfs st = {.f_bsize = 4096, .f_frsize = 4096, .f_namemax = HUSH_NAME_MAX};

    (void)ino;
    st.f_blocks = usage.size / 4096;
    st.f_bfree = st.f_bavail = (usage.size - usage.used) / 4096;
    fuse_reply_statfs(req, &st);
}

static void reply_xattr(fuse_req_t req, const char *bytes, size_t have, size_t size)
{
    if (size == 0)
        fuse_reply_xattr(req, have);
    else if (have > size)
        fuse_reply_err(req, ERANGE);
    else
        fuse_reply_buf(req, bytes, have);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    struct hush_fs *fs = fuse_req_userdata(req);
    const struct hush_node *node;
    char value[HUSH_PATH_MAX];
    int n = -ENODATA;

    pthread_mutex_lock(&fs->lock);
    node = hush_tree_find(fs, hush_view_target(fs, ino));
    if (node != NULL)
        n = hush_attr_get(fs, node, name, value, sizeof(value));
    pthread_mutex_unlock(&fs->lock);
    if (n < 0)
        fuse_reply_err(req, -n);
    else
        reply_xattr(req, value, (size_t)n, size);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    struct hush_fs *fs = fuse_req_userdata(req);
    const struct hush_node *node;
    const char *names = "";
    size_t have = 0;

    pthread_mutex_lock(&fs->lock);
    node = hush_tree_find(fs, hush_view_target(fs, ino));
    if (node != NULL)
        have = hush_attr_list(node, &names);
    pthread_mutex_unlock(&fs->lock);
    reply_xattr(req, names, have, size);
}

/* Nobody but the mover writes: everybody else's mount is read-only, and this is the second lock. */
static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
                      const char *newname, unsigned flags)
{
    struct hush_fs *fs = fuse_req_userdata(req);
    int err = EROFS;

    (void)flags;
    if (fuse_req_ctx(req)->pid == atomic_load(&fs->state->mover_pid) && parent == newparent) {
        pthread_mutex_lock(&fs->lock);
        err = 0; /* a dead worker switched, and died before it said so */
        if (hush_session_apply_once(fs->session, hush_session_unique(fs->session)))
            err = hush_rotate_renamed(fs, name, newname);
        pthread_mutex_unlock(&fs->lock);
    }
    fuse_reply_err(req, err);
    hush_gate_answer_woken(fs);
}

// NOLINTNEXTLINE(readability-function-size): libfuse's parameters
static void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg,
                     struct fuse_file_info *fi, unsigned flags, const void *in, size_t in_size,
                     size_t out_size)
{
    (void)arg;
    (void)fi;
    (void)out_size;
    if ((flags & FUSE_IOCTL_DIR) != 0)
        fuse_reply_err(req, ENOTTY);
    else
        hush_dot_ioctl(fuse_req_userdata(req), req, ino, cmd, in, in_size);
}

const struct fuse_lowlevel_ops hush_ops = {
    .init = op_init,
    .lookup = op_lookup,
    .forget = op_forget,
    .forget_multi = op_forget_multi,
    .getattr = op_getattr,
    .open = op_open,
    .read = op_read,
    .release = op_release,
    .opendir = op_opendir,
    .readdir = hush_ops_readdir,
    .releasedir = op_release,
    .statfs = op_statfs,
    .getxattr = op_getxattr,
    .listxattr = op_listxattr,
    .rename = op_rename,
    .ioctl = op_ioctl,
};
