/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lookup.c - LOOKUP: a name is answered from what is known, at once. While it holds the directory's
 * lock nobody else gets in, so nothing here may wait: what is not known is answered with timeouts
 * 0, and the GETATTR that follows, outside every lock, is the gate. Called by ops.c.
 */
#include "attr.h"
#include "core/clock.h"
#include "dotfiles.h"
#include "gate.h"
#include "item.h"
#include "ops.h"
#include "rotate.h"
#include "snapshot.h"
#include "tree.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const double LONG_S = 3600;
static const double ATTR_MORE_S = 0.1; /* see decide.c */

/* The parts of one lookup. */
struct look {
    struct hush_fs *fs;
    pid_t tid;
    struct fuse_entry_param *entry;
    struct hush_node *found;
};

static int say(struct look *l, struct hush_node *node, double timeout_s)
{
    if (node == NULL)
        return ENOMEM;
    l->found = node;
    l->entry->ino = node->ino;
    l->entry->entry_timeout = timeout_s;
    l->entry->attr_timeout = timeout_s > 0 ? timeout_s + ATTR_MORE_S : 0;
    hush_attr(l->fs, node, &l->entry->attr);
    return 0;
}

/* Timeouts 0: the thread's next GETATTR of it is a gate. */
static int say_ask(struct look *l, struct hush_node *node)
{
    if (node != NULL)
        hush_gate_asked(l->fs, l->tid, node->ino);
    return say(l, node, 0);
}

/* A call that goes past the gate looks the name up once more, if it was told ESTALE; any other
 * lookup is a new call, which has not passed. */
static void settle_pass(struct hush_fs *fs, pid_t tid, const struct hush_item *item)
{
    struct hush_pass *pass = hush_gate_pass(fs, tid);

    if (pass->item != item->id)
        return;
    if (!pass->retry)
        pass->item = 0;
}

static int look_secret(struct look *l, struct hush_instance *instance, const char *path)
{
    struct hush_fs *fs = l->fs;
    struct hush_item *item = hush_item_get(fs, path, false);
    uint64_t now_ns = hush_now_ns();
    double timeout_s;

    if (item == NULL)
        return ENOMEM;
    settle_pass(fs, l->tid, item);
    item->used_ns = now_ns;
    if (item->current == NULL)
        return say_ask(l, hush_tree_path_node(fs, instance, path, HUSH_NODE_PENDING,
                                              item->settings.as == HUSH_AS_DIRECTORY));
    timeout_s = hush_item_kernel_s(item, now_ns);
    if (timeout_s > 0)
        return say(l, hush_snapshot_top(item->current), timeout_s);
    return say_ask(l, hush_snapshot_top(item->current));
}

/* A name below a folder. */
static int look_name(struct look *l, struct hush_node *dir, const char *name)
{
    struct hush_fs *fs = l->fs;
    struct hush_item *item;
    unsigned kinds = hush_listing_kinds(dir->listing, name);
    char path[PATH_MAX], raw[HUSH_NAME_MAX + 1];

    if (strlen(name) > HUSH_NAME_MAX)
        return ENAMETOOLONG;
    if (snprintf(path, sizeof(path), "%s/%s", dir->path, name) >= (int)sizeof(path))
        return ENAMETOOLONG;
    if (strcmp(name, ".value") == 0) /* of a name that is both; anything else has no such file */
        return look_secret(l, dir->instance, path);
    if (!hush_name_raw(name, raw))
        return ENOENT;
    item = hush_item_find(fs, path);
    if (item != NULL)
        kinds |= item->kinds | (item->current != NULL ? HUSH_IS_SECRET : 0);
    if ((kinds & HUSH_IS_FOLDER) != 0)
        return say(l, hush_tree_path_node(fs, dir->instance, path, HUSH_NODE_DIR, false), LONG_S);
    if ((kinds & HUSH_IS_SECRET) != 0)
        return look_secret(l, dir->instance, path);
    if (item != NULL && hush_item_absent(item, hush_now_ns()))
        return ENOENT;
    if (item != NULL)
        settle_pass(fs, l->tid, item);
    return say_ask(l, hush_tree_path_node(fs, dir->instance, path, HUSH_NODE_GUESS, false));
}

static int look_top(struct look *l, const char *name)
{
    struct hush_fs *fs = l->fs;

    if (strcmp(name, HUSH_CONTROL_DIR) == 0)
        return say(l, hush_tree_find(fs, HUSH_INO_CONTROL), LONG_S);
    for (size_t i = 0; i < fs->instance_count; i++)
        if (strcmp(fs->instances[i].config->name, name) == 0)
            return say(l, fs->instances[i].node, LONG_S);
    return ENOENT;
}

/* A version never changes, nor do its files. */
static int look_field(struct look *l, struct hush_node *version, const char *name)
{
    struct hush_node *node = hush_snapshot_child(version->snapshot, name);

    if (node == NULL)
        return ENOENT;
    if (version->snapshot->record->state == HUSH_SNAPSHOT_OLD)
        hush_rotate_unname(l->fs, node); /* waits for the directory's lock, which this one has */
    return say(l, node, LONG_S);
}

/* Below a secret that nobody has read: what is in it is the gate, as a guess. */
static int look_pending(struct look *l, struct hush_node *dir, const char *name)
{
    struct hush_node *version = hush_item_is_lazy(dir) ? hush_item_shown_by(l->fs, dir) : NULL;
    const struct hush_item *item = hush_item_find(l->fs, dir->path);
    char path[PATH_MAX];

    if (version != NULL)
        return look_field(l, version, name);
    if (!hush_item_is_lazy(dir) || (item != NULL && item->current != NULL))
        return ESTALE; /* it is another node by now */
    if (strlen(name) > HUSH_NAME_MAX ||
        snprintf(path, sizeof(path), "%s/%s", dir->path, name) >= (int)sizeof(path))
        return ENAMETOOLONG;
    return say_ask(l, hush_tree_path_node(l->fs, dir->instance, path, HUSH_NODE_GUESS, false));
}

/* The mover's name for a version that is to be shown. It is gone as soon as it was asked for. */
static int look_staged(struct look *l, const char *name)
{
    struct hush_node *node = hush_rotate_staged(l->fs, name);
    int err;

    if (node == NULL || node->snapshot->item->staged != node->snapshot)
        return ENOENT;
    err = say(l, node, LONG_S);
    l->entry->entry_timeout = 0;
    return err;
}

int hush_lookup(struct hush_fs *fs, struct hush_node *parent, const char *name, pid_t tid,
                struct fuse_entry_param *entry, struct hush_node **found)
{
    struct look l = {.fs = fs, .tid = tid, .entry = entry};
    int err = ENOTDIR;

    memset(entry, 0, sizeof(*entry));
    if (strncmp(name, HUSH_STAGE_PREFIX, strlen(HUSH_STAGE_PREFIX)) == 0)
        err = tid == atomic_load(&fs->state->mover_pid) ? look_staged(&l, name) : ENOENT;
    else if (parent->kind == HUSH_NODE_ROOT)
        err = look_top(&l, name);
    else if (parent->kind == HUSH_NODE_DIR || parent->kind == HUSH_NODE_GUESS)
        err = look_name(&l, parent, name);
    else if (parent->kind == HUSH_NODE_VERSION)
        err = look_field(&l, parent, name);
    else if (parent->ino == HUSH_INO_CONTROL)
        err = (l.found = hush_dot_lookup(fs, name)) != NULL ? say(&l, l.found, 0) : ENOENT;
    else if (parent->kind == HUSH_NODE_PENDING && parent->directory)
        err = look_pending(&l, parent, name);
    *found = l.found;
    return err;
}
