/* SPDX-License-Identifier: Apache-2.0 */
/* attr.c - see attr.h. Called by decide.c and ops.c. */
#include "attr.h"

#include "access.h"
#include "core/clock.h"
#include "dotfiles.h"
#include "item.h"
#include "snapshot.h"
#include "tree.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void attr_directory(const struct hush_fs *fs, struct stat *st, uint32_t mode, uint32_t group)
{
    /* The mover renames in it, without capabilities: it belongs to the worker's user. */
    st->st_mode = S_IFDIR | 0700 | (mode & 0077);
    st->st_nlink = 2;
    st->st_uid = fs->uid;
    st->st_gid = group;
}

static void attr_times(struct stat *st, time_t at)
{
    st->st_mtime = st->st_ctime = st->st_atime = at;
}

static void attr_snapshot(struct hush_fs *fs, const struct hush_node *node, struct stat *st)
{
    const struct hush_settings *settings = hush_access_of(node);

    attr_times(st, (time_t)node->snapshot->record->mtime_s);
    if (node->kind == HUSH_NODE_VERSION) {
        attr_directory(fs, st, settings->dir_mode, settings->group);
        return;
    }
    st->st_mode = S_IFREG | settings->mode;
    st->st_nlink = 1;
    st->st_uid = settings->owner;
    st->st_gid = settings->group;
    st->st_size = (off_t)hush_secret_size(hush_snapshot_bytes(node));
    st->st_blocks = (st->st_size + 511) / 512;
}

static void attr_path(struct hush_fs *fs, const struct hush_node *node, struct stat *st)
{
    struct hush_settings settings;

    hush_config_settings(fs->config, node->instance->config, node->path, &settings);
    attr_times(st, node->changed_s);
    if (node->directory) {
        attr_directory(fs, st, settings.dir_mode, settings.group);
        return;
    }
    st->st_mode = S_IFREG | settings.mode;
    st->st_nlink = 1;
    st->st_uid = settings.owner;
    st->st_gid = settings.group;
}

void hush_attr(struct hush_fs *fs, const struct hush_node *node, struct stat *st)
{
    memset(st, 0, sizeof(*st));
    st->st_ino = node->ino;
    st->st_blksize = 4096;
    if (node->kind == HUSH_NODE_CONTROL) {
        hush_dot_attr(fs, node->ino, st);
    } else if (node->kind == HUSH_NODE_ROOT) {
        attr_directory(fs, st, fs->config->mount.mode, fs->config->mount.group);
        attr_times(st, node->changed_s);
    } else if (node->snapshot != NULL) {
        attr_snapshot(fs, node, st);
    } else {
        attr_path(fs, node, st);
    }
}

/* -- Extended attributes ----------------------------------------------------------------------- */

enum xattr { XATTR_VERSION, XATTR_AGE, XATTR_EXPIRES, XATTR_STALE, XATTR_SOURCE, XATTR_COUNT };

static const char *const xattr_names[XATTR_COUNT] = {
    [XATTR_VERSION] = "user.hushfs.version", [XATTR_AGE] = "user.hushfs.age",
    [XATTR_EXPIRES] = "user.hushfs.expires", [XATTR_STALE] = "user.hushfs.stale",
    [XATTR_SOURCE] = "user.hushfs.source",
};

static int xattr_text(const struct hush_snapshot *s, enum xattr which, char *out, size_t size)
{
    uint64_t now_ns = hush_now_ns(), fresh_until = hush_snapshot_fresh_until(s);
    uint64_t left_ns = fresh_until > now_ns ? fresh_until - now_ns : 0;

    switch (which) {
    case XATTR_VERSION:
        return snprintf(out, size, "%s", s->record->latest.text);
    case XATTR_AGE: /* seconds since the backend last said so */
        return snprintf(out, size, "%" PRIu64, (now_ns - s->record->fetched_ns) / HUSH_NS_PER_S);
    case XATTR_EXPIRES: /* seconds until it is asked again */
        return snprintf(out, size, "%" PRIu64, left_ns / HUSH_NS_PER_S);
    case XATTR_STALE:
        return snprintf(out, size, "%d", left_ns == 0 && s->item->status != HUSH_OK);
    case XATTR_SOURCE:
        hush_item_source(s->item, out, size);
        return (int)strlen(out);
    case XATTR_COUNT:
        break;
    }
    return -ENODATA;
}

int hush_attr_get(struct hush_fs *fs, const struct hush_node *node, const char *name, char *out,
                  size_t size)
{
    static const char *const spaces[] = {"user.", "security.", "system.", "trusted."};
    bool known = false;

    (void)fs;
    for (size_t i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++)
        known = known || strncmp(name, spaces[i], strlen(spaces[i])) == 0;
    if (!known)
        return -ENOTSUP;
    if (node->snapshot == NULL)
        return -ENODATA;
    for (int i = 0; i < XATTR_COUNT; i++) {
        if (strcmp(name, xattr_names[i]) == 0) {
            int n = xattr_text(node->snapshot, (enum xattr)i, out, size);

            return n >= (int)size ? (int)size - 1 : n;
        }
    }
    return -ENODATA;
}

size_t hush_attr_list(const struct hush_node *node, const char **names)
{
    static const char all[] = "user.hushfs.version\0user.hushfs.age\0user.hushfs.expires\0"
                              "user.hushfs.stale\0user.hushfs.source";

    *names = all;
    return node->snapshot != NULL ? sizeof(all) : 0;
}
