/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lookup.c - LOOKUP: a name is answered from what is known, at once. While it holds the directory's
 * lock nobody else gets in, so nothing here may wait: what is not known is answered with timeouts
 * 0, and the GETATTR that follows, outside every lock, is the gate. Called by ops.c.
 */
#include "attr.h"
#include "both.h"
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
    /* The mover goes through the directory of a secret to what is below it; it never waits. */
    if (timeout_s > 0 || l->tid == atomic_load(&fs->state->mover_pid))
        return say(l, hush_snapshot_top(item->current), timeout_s);
    return say_ask(l, hush_snapshot_top(item->current));
}

/* path is a folder; a secret, too? */
static int look_folder(struct look *l, struct hush_instance *instance, const char *path,
                       bool is_secret)
{
    struct hush_node *node;

    if (is_secret && hush_both_shows_secret(l->fs, path, l->tid))
        return look_secret(l, instance, path);
    node = hush_tree_path_node(l->fs, instance, path, HUSH_NODE_DIR, false);
    if (is_secret && node != NULL)
        hush_tree_secret_too(node);
    return say(l, node, is_secret ? hush_both_folder_s(l->fs, path) : LONG_S);
}

static int join(char path[PATH_MAX], const char *dir, const char *name)
{
    if (strlen(name) > HUSH_NAME_MAX || snprintf(path, PATH_MAX, "%s/%s", dir, name) >= PATH_MAX)
        return ENAMETOOLONG;
    return 0;
}

/* A name that is no field. of: the secret whose directory it stands in; NULL: in a folder. */
static int look_below(struct look *l, struct hush_instance *instance, const char *path,
                      const struct hush_item *of)
{
    struct hush_fs *fs = l->fs;
    unsigned kinds = hush_both_kinds(fs, path);
    char raw[HUSH_NAME_MAX + 1];
    struct hush_item *item;

    if (!hush_name_raw(hush_path_last(path), raw))
        return ENOENT;
    if ((kinds & HUSH_IS_FOLDER) != 0)
        return look_folder(l, instance, path, (kinds & HUSH_IS_SECRET) != 0);
    if ((kinds & HUSH_IS_SECRET) != 0)
        return look_secret(l, instance, path);
    item = hush_item_find(fs, path);
    if (item != NULL && hush_item_absent(item, hush_now_ns()))
        return ENOENT;
    if (of != NULL && !hush_both_asks(fs, of))
        return ENOENT;
    if (item != NULL)
        settle_pass(fs, l->tid, item);
    return say_ask(l, hush_tree_path_node(fs, instance, path, HUSH_NODE_GUESS, false));
}

/* A version never changes, nor do its files; what is below a folder of the same name does. */
static int look_field(struct look *l, struct hush_node *version, const char *name)
{
    struct hush_item *item = version->snapshot->item;
    struct hush_node *node = hush_snapshot_child(version->snapshot, name);
    char path[PATH_MAX];
    int err;

    if (node == NULL && strcmp(name, ".value") == 0 && hush_both_is_folder(l->fs, item))
        node = hush_snapshot_child(version->snapshot, ".json");
    if (node != NULL && version->snapshot->record->state == HUSH_SNAPSHOT_OLD)
        hush_rotate_unname(l->fs, node); /* waits for the directory's lock, which this one has */
    if (node != NULL)
        return say(l, node, LONG_S);
    if (!hush_both_may(item))
        return ENOENT;
    err = join(path, item->path, name);
    return err != 0 ? err : look_below(l, item->instance, path, item);
}

/* Through a name that turned out to be a secret on the way: see hush_both_is_spent(). */
static int look_through(struct look *l, struct hush_node *dir, const char *name)
{
    struct hush_node *version = hush_item_shown_by(l->fs, dir);

    return version != NULL ? look_field(l, version, name) : ESTALE;
}

/* A name below a folder. */
static int look_name(struct look *l, const struct hush_node *dir, const char *name)
{
    char path[PATH_MAX];
    int err = join(path, dir->path, name);

    if (err != 0)
        return err;
    if (strcmp(name, ".value") == 0) /* of a name that is both; anything else has no such file */
        return look_secret(l, dir->instance, path);
    return look_below(l, dir->instance, path, NULL);
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

/* Below a secret that nobody has read: what is in it is the gate, as a guess. */
static int look_pending(struct look *l, struct hush_node *dir, const char *name)
{
    bool shows = hush_item_is_lazy(dir) || dir->bound != 0;
    struct hush_node *version = shows ? hush_item_shown_by(l->fs, dir) : NULL;
    const struct hush_item *item = hush_item_find(l->fs, dir->path);
    char path[PATH_MAX];
    int err;

    if (version != NULL)
        return look_field(l, version, name);
    if (!hush_item_is_lazy(dir) || (item != NULL && item->current != NULL))
        return ESTALE; /* it is another node by now */
    err = join(path, dir->path, name);
    if (err != 0)
        return err;
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

static bool is_secret(struct hush_fs *fs, const struct hush_node *guess)
{
    const struct hush_item *item = guess->bound != 0 ? hush_item_find(fs, guess->path) : NULL;

    return item != NULL && item->current != NULL;
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
    else if (parent->kind == HUSH_NODE_GUESS && is_secret(fs, parent))
        err = look_through(&l, parent, name);
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
