/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch.c - what changes in a sealed store, by inotify(7). The core runs it on a thread of its own.
 *
 * All that happens to a store happens by a rename onto its index, so one watch on one directory is
 * enough, and comparing the index with the one before tells what to report. When the index cannot
 * be read, or the store is another one, everything is reported.
 */
#include "sealed/sealed.h"

#include "core/cleanup.h"
#include "core/clock.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

enum {
    WATCH_STORE_MS = 1000, /* a new store, or one that came back, is seen after this */
    WATCH_EVENTS_SIZE = 16 * (sizeof(struct inotify_event) + NAME_MAX + 1),
    WATCH_MASK =
        IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR,
};

struct watch {
    struct sealed *sealed;
    struct hush_op *op;
    hush_changed_fn *changed;
    void *ctx;
    struct sealed_index *index; /* as it was reported last; NULL: unknown */
};

/* -- Reports ----------------------------------------------------------------------------------- */

/* A name came or went: so did, perhaps, the folders that it is in. */
static void watch_report_name(const struct watch *w, const char *name)
{
    char folder[HUSH_PATH_MAX + 1];
    char *slash;

    w->changed(w->ctx, name);
    memcpy(folder, name, strlen(name) + 1);
    while ((slash = strrchr(folder, '/')) != NULL) {
        *slash = '\0';
        w->changed(w->ctx, folder);
    }
}

/* One name in both indexes; either may lack it. */
static void watch_compare(const struct watch *w, const struct sealed_secret *before,
                          const struct sealed_secret *after)
{
    const bool was = before != NULL && hush_sealed_is_live(before);
    const bool is = after != NULL && hush_sealed_is_live(after);

    if (was != is)
        watch_report_name(w, is ? after->name : before->name);
    else if (is && strcmp(before->versions[0].id, after->versions[0].id) != 0)
        w->changed(w->ctx, after->name);
}

static void watch_differences(const struct watch *w, const struct sealed_index *before,
                              const struct sealed_index *after)
{
    size_t a = 0, b = 0;

    while (a < before->count || b < after->count) {
        const struct sealed_secret *one = a < before->count ? &before->secrets[a] : NULL;
        const struct sealed_secret *two = b < after->count ? &after->secrets[b] : NULL;
        const int order = one == NULL ? 1 : two == NULL ? -1 : strcmp(one->name, two->name);
        watch_compare(w, order <= 0 ? one : NULL, order >= 0 ? two : NULL);
        a += order <= 0;
        b += order >= 0;
    }
}

/* The index may be another one. */
static void watch_look(struct watch *w)
{
    struct sealed_index *index = NULL;
    struct hush_op op;

    hush_op_init(&op, w->op->arena, 0);
    if (hush_sealed_reader_index(&w->sealed->reader, &op, &index) != HUSH_OK || w->index == NULL ||
        strcmp(w->index->store, index->store) != 0)
        w->changed(w->ctx, "");
    else if (index != w->index)
        watch_differences(w, w->index, index);
    hush_sealed_index_unref(w->index);
    w->index = index;
}

/* -- Events ------------------------------------------------------------------------------------ */

/* Read what is there. True: the index may be another one. *restart: the directory is. */
static bool watch_events(int fd, bool *restart)
{
    char events[WATCH_EVENTS_SIZE] __attribute__((aligned(__alignof__(struct inotify_event))));
    const ssize_t got = read(fd, events, sizeof(events));
    bool look = false;

    if (got < 0) /* nothing is there */
        return false;
    for (const char *at = events; at < events + got;) {
        const struct inotify_event *event = (const struct inotify_event *)(const void *)at;
        if (event->mask & (IN_Q_OVERFLOW | IN_UNMOUNT | IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED))
            *restart = true;
        else if (event->len > 0 && strcmp(event->name, SEALED_INDEX_FILE) == 0)
            look = true;
        at += sizeof(*event) + event->len;
    }
    return look;
}

/* Is there another directory at the store's path? (A link that was switched, a mount over it.) */
static bool watch_store_is_other(const struct watch *w, const struct stat *store)
{
    struct stat now;

    return stat(w->sealed->store, &now) != 0 || now.st_ino != store->st_ino ||
           now.st_dev != store->st_dev;
}

static enum hush_status watch_canceled(const struct watch *w)
{
    return hush_op_canceled(w->op) ? hush_fail(w->op, HUSH_CANCELED, "canceled") : HUSH_OK;
}

static uint64_t watch_after(uint64_t ms)
{
    return hush_now_ns() + ms * HUSH_NS_PER_MS;
}

/* HUSH_OK: a new watch is needed. */
static enum hush_status watch_run(struct watch *w, int fd, const struct stat *store)
{
    uint64_t look_ns = watch_after(WATCH_STORE_MS);
    bool restart = false;

    while (!restart) {
        enum hush_status status;
        hush_op_wait(w->op, fd, look_ns);
        status = watch_canceled(w);
        if (status != HUSH_OK)
            return status;
        if (watch_events(fd, &restart))
            watch_look(w);
        if (hush_now_ns() < look_ns)
            continue;
        look_ns = watch_after(WATCH_STORE_MS);
        restart = restart || watch_store_is_other(w, store);
    }
    return HUSH_OK;
}

static enum hush_status watch_pause(const struct watch *w)
{
    hush_op_wait(w->op, -1, watch_after(WATCH_STORE_MS));
    return watch_canceled(w);
}

/* There is no store now, or none that we may watch. */
static enum hush_status watch_absent(struct watch *w)
{
    if (w->index != NULL)
        w->changed(w->ctx, "");
    w->index = hush_sealed_index_unref(w->index);
    return watch_pause(w);
}

/* From one watch to the need for the next. HUSH_OK: go on. */
static enum hush_status watch_once(struct watch *w)
{
    cleanup_close int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    struct stat store;

    if (fd < 0)
        return hush_fail(w->op, HUSH_BACKEND,
                         "inotify: %m (see fs.inotify.max_user_instances and the limit of files)");
    if (inotify_add_watch(fd, w->sealed->store, WATCH_MASK) < 0) {
        if (errno != ENOSPC)
            return watch_absent(w);
        return hush_fail(w->op, HUSH_BACKEND,
                         "no inotify watch left for '%s': raise fs.inotify.max_user_watches",
                         w->sealed->store);
    }
    if (stat(w->sealed->store, &store) != 0)
        return watch_absent(w);
    watch_look(w);
    return watch_run(w, fd, &store);
}

enum hush_status hush_sealed_watch(struct hush_provider *self, struct hush_op *op,
                                   hush_changed_fn *changed, void *ctx)
{
    struct watch w = {
        .sealed = HUSH_PROVIDER(struct sealed, self), .op = op, .changed = changed, .ctx = ctx};
    enum hush_status status = HUSH_OK;

    while (status == HUSH_OK)
        status = watch_once(&w);
    hush_sealed_index_unref(w.index);
    return status;
}
