/* SPDX-License-Identifier: Apache-2.0 */
/* dotfiles.c - see dotfiles.h. Called by ops.c, decide.c and attr.c; what they say is in report.c.
 */
#include "dotfiles.h"

#include "control.h"
#include "core/clock.h"
#include "core/log.h"
#include "gate.h"
#include "handle.h"
#include "item.h"
#include "report.h"
#include "tree.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 8 << 20 };

static const struct dot {
    const char *name;
    void (*write)(struct hush_fs *fs, struct hush_text *text); /* NULL: nothing to read */
} dots[] = {
    {"control", NULL},
    {"metrics", hush_report_metrics},
    {"status", hush_report_text},
    {"status.json", hush_report_json},
};
_Static_assert(sizeof(dots) / sizeof(dots[0]) == HUSH_DOTS, "fs.h");
enum { DOTS = HUSH_DOTS, INO_DOTS = HUSH_INO_CONTROL + 1 };

bool hush_dot_init(struct hush_fs *fs)
{
    for (uint64_t ino = HUSH_INO_CONTROL; ino < INO_DOTS + DOTS; ino++) {
        struct hush_node *node = calloc(1, sizeof(*node));

        if (node == NULL)
            return false;
        node->ino = ino;
        node->kind = HUSH_NODE_CONTROL;
        node->directory = ino == HUSH_INO_CONTROL;
        node->changed_s = hush_wall_s();
        hush_tree_add(fs, node);
    }
    return true;
}

const char *hush_dot_name(size_t i, uint64_t *ino)
{
    *ino = INO_DOTS + i;
    return i < DOTS ? dots[i].name : NULL;
}

struct hush_node *hush_dot_lookup(struct hush_fs *fs, const char *name)
{
    for (size_t i = 0; i < DOTS; i++)
        if (strcmp(dots[i].name, name) == 0)
            return hush_tree_find(fs, INO_DOTS + i);
    return NULL;
}

/* What the file says now; owned by the caller, NULL: no memory. */
static char *dot_text(struct hush_fs *fs, uint64_t ino, size_t *size)
{
    const struct dot *dot = ino >= INO_DOTS && ino < INO_DOTS + DOTS ? &dots[ino - INO_DOTS] : NULL;
    struct hush_text text;
    char *copy = NULL;

    *size = 0;
    if (dot == NULL || dot->write == NULL)
        return calloc(1, 1);
    hush_text_init(&text, TEXT_MAX);
    dot->write(fs, &text);
    if (!text.failed)
        copy = malloc(text.size + 1);
    if (copy != NULL) {
        memcpy(copy, hush_text_string(&text), text.size + 1);
        *size = text.size;
    }
    hush_text_done(&text);
    return copy;
}

const struct hush_handle *hush_dot_kept(struct hush_fs *fs, uint64_t ino, bool anew)
{
    struct hush_handle *kept;

    if (ino < INO_DOTS || ino >= INO_DOTS + DOTS)
        return NULL;
    kept = &fs->kept[ino - INO_DOTS];
    if (anew || kept->text == NULL) {
        free(kept->text);
        kept->text = dot_text(fs, ino, &kept->size);
    }
    return kept->text != NULL ? kept : NULL;
}

/* The text is made anew for each stat, and the time changes with it: the kernel then drops pages
 * that it had read (with `open = kernel` nothing else would tell it). */
void hush_dot_attr(struct hush_fs *fs, uint64_t ino, struct stat *st)
{
    const struct hush_handle *kept;

    st->st_uid = fs->config->mount.owner;
    st->st_gid = fs->config->mount.group;
    st->st_nlink = 1;
    clock_gettime(CLOCK_REALTIME, &st->st_mtim);
    st->st_ctim = st->st_atim = st->st_mtim;
    if (ino == HUSH_INO_CONTROL) {
        st->st_mode = S_IFDIR | 0500;
        st->st_nlink = 2;
        return;
    }
    st->st_mode = S_IFREG | 0400;
    kept = hush_dot_kept(fs, ino, true);
    st->st_size = kept != NULL ? (off_t)kept->size : 0;
}

uint64_t hush_dot_open(struct hush_fs *fs, uint64_t ino)
{
    size_t size;
    char *text = dot_text(fs, ino, &size);

    return text != NULL ? hush_handle_text(fs, text, size) : 0;
}

/* -- ioctl ------------------------------------------------------------------------------------- */

void hush_dot_reply(fuse_req_t req, enum hush_status status, const char *text)
{
    struct hush_control answer = {.error = (int32_t)status};

    (void)snprintf(answer.text, sizeof(answer.text), "%s", text);
    fuse_reply_ioctl(req, 0, &answer, sizeof(answer));
}

/* The secret that a path shown below the mount belongs to. A field's secret is its directory. */
static struct hush_item *item_of(struct hush_fs *fs, const char *path)
{
    struct hush_item *item = hush_item_find(fs, path);
    char parent[PATH_MAX];

    if (item != NULL)
        return item;
    if (strlen(path) >= sizeof(parent) || !hush_path_parent(path, parent))
        return NULL;
    item = hush_item_find(fs, parent);
    if (item != NULL && item->current != NULL && item->settings.as == HUSH_AS_DIRECTORY)
        return item;
    item = hush_item_get(fs, path, false);
    if (item != NULL && item->instance == NULL) {
        hush_item_put(fs, item, hush_now_ns());
        return NULL;
    }
    return item;
}

static void ioctl_refresh(struct hush_fs *fs, fuse_req_t req, const struct hush_control *ask)
{
    struct hush_item *item;

    pthread_mutex_lock(&fs->lock);
    item = item_of(fs, ask->path);
    if (item != NULL) {
        hush_gate_refresh(fs, req, item); /* unlocks */
        return;
    }
    pthread_mutex_unlock(&fs->lock);
    hush_dot_reply(req, HUSH_NOT_FOUND, "no such instance or secret");
}

/*
 * A new configuration is a new worker: this one ends with the request unanswered, the keeper reads
 * the configuration, the next worker finds the request in the journal and answers it.
 */
static void ioctl_reload(struct hush_fs *fs, fuse_req_t req)
{
    bool kept;

    if (hush_session_apply_once(fs->session, hush_session_unique(fs->session))) {
        pthread_mutex_lock(&fs->lock);
        fs->reloading = true;
        pthread_mutex_unlock(&fs->lock);
        hush_session_stop(fs->session);
        return;
    }
    pthread_mutex_lock(&fs->lock);
    kept = fs->reload_count < HUSH_RELOADS;
    if (kept)
        fs->reloads[fs->reload_count++] = req; /* the keeper reloads once for all of them */
    pthread_cond_signal(&fs->timer);
    pthread_mutex_unlock(&fs->lock);
    if (!kept)
        fuse_reply_err(req, EAGAIN);
}

void hush_dot_reload_done(struct hush_fs *fs)
{
    fuse_req_t reqs[HUSH_RELOADS];
    size_t count;

    pthread_mutex_lock(&fs->lock);
    count = fs->reload_count;
    memcpy(reqs, fs->reloads, count * sizeof(reqs[0]));
    fs->reload_count = 0;
    pthread_mutex_unlock(&fs->lock);
    for (size_t i = 0; i < count; i++)
        hush_dot_reply(reqs[i], fs->state->reload.exit == 0 ? HUSH_OK : HUSH_CONFIG,
                       fs->state->reload.text);
}

void hush_dot_ioctl(struct hush_fs *fs, fuse_req_t req, uint64_t ino, unsigned cmd, const void *in,
                    size_t size)
{
    struct hush_control ask;

    if (ino != INO_DOTS) {
        fuse_reply_err(req, ENOTTY);
        return;
    }
    if (size != sizeof(ask)) {
        fuse_reply_err(req, EINVAL);
        return;
    }
    memcpy(&ask, in, sizeof(ask));
    ask.path[sizeof(ask.path) - 1] = '\0';
    if (cmd == HUSH_CONTROL_REFRESH)
        ioctl_refresh(fs, req, &ask);
    else if (cmd == HUSH_CONTROL_RELOAD)
        ioctl_reload(fs, req);
    else
        fuse_reply_err(req, ENOTTY);
}
