/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch.c - what changes below the root of a file provider, by inotify(7). The core runs it on a
 * thread of its own.
 *
 * Every real directory below the root has a watch; those that begin with ".." have none, because
 * Kubernetes fills them before it renames `..data`, and that rename means "everything". Where the
 * tree has symbolic links, a file may have more names than the one that an event tells, so there
 * every change means "everything" too. Whatever makes the table of watches doubtful (a directory
 * moved, a queue that overflowed, a root that was replaced) is answered by a new table, and only
 * then "everything" is reported, so that no change falls between.
 *
 * Nothing tells of a file system below that does not know inotify (NFS, FUSE): there the ttl
 * counts.
 */
#include "file.h"

#include "core/cleanup.h"
#include "core/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>

enum {
    WATCH_ROOT_MS = 1000,   /* a new root, or one that came back, is seen after this */
    WATCH_RESTART_MS = 100, /* between two tables */
    WATCH_EVENTS_SIZE = 16 * (sizeof(struct inotify_event) + NAME_MAX + 1),
    WATCH_MASK = IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB |
                 IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_EXCL_UNLINK,
};

struct watch_dir {
    struct watch_dir *next;
    int wd;
    char path[]; /* below the root; "": the root */
};

struct watch {
    const struct file_provider *file;
    struct hush_op *op;
    hush_changed_fn *changed;
    void *ctx;

    int root_fd, fd;
    struct stat root;
    struct watch_dir *dirs, **last; /* last: where the next one goes */
    bool links;                     /* there are symbolic links: names do not tell what changed */
    bool everything;                /* to be reported at the end of the batch */
    bool restart;                   /* the table is doubtful */
};

/* -- The table --------------------------------------------------------------------------------- */

static void watch_stop(struct watch *w)
{
    for (struct watch_dir *dir = w->dirs, *next; dir != NULL; dir = next) {
        next = dir->next;
        free(dir);
    }
    w->dirs = NULL;
    w->last = &w->dirs;
    if (w->fd >= 0)
        close(w->fd);
    if (w->root_fd >= 0)
        close(w->root_fd);
    w->fd = w->root_fd = -1;
    w->links = w->everything = w->restart = false;
}

static struct watch_dir *watch_find(const struct watch *w, int wd)
{
    struct watch_dir *dir = w->dirs;

    while (dir != NULL && dir->wd != wd)
        dir = dir->next;
    return dir;
}

static void watch_remove(struct watch *w, struct watch_dir *dir)
{
    struct watch_dir **at = &w->dirs;

    while (*at != dir)
        at = &(*at)->next;
    *at = dir->next;
    if (*at == NULL)
        w->last = at;
    free(dir);
}

static enum hush_status watch_no_memory(const struct watch *w)
{
    return hush_fail(w->op, HUSH_NO_MEMORY, "no memory to watch '%s'", w->file->root);
}

/* dir/name, or NULL: no memory. */
static char *watch_join(const char *dir, const char *name)
{
    char *path;

    return asprintf(&path, "%s%s%s", dir, dir[0] == '\0' ? "" : "/", name) < 0 ? NULL : path;
}

static enum hush_status watch_append(struct watch *w, int wd, const char *path)
{
    const size_t size = strlen(path) + 1;
    struct watch_dir *dir = watch_find(w, wd);

    if (dir != NULL) { /* found by reading its parent, and then by its event */
        if (strcmp(dir->path, path) != 0)
            w->links = true; /* one directory under two names: a bind mount */
        return HUSH_OK;
    }
    dir = malloc(sizeof(*dir) + size);
    if (dir == NULL)
        return watch_no_memory(w);
    dir->next = NULL;
    dir->wd = wd;
    memcpy(dir->path, path, size);
    *w->last = dir;
    w->last = &dir->next;
    return HUSH_OK;
}

/*
 * Watch a directory. By its path, since inotify takes nothing else: who could swap a directory for
 * a link here could at worst make us report too much. One that is gone or closed to us is left out.
 */
static enum hush_status watch_add(struct watch *w, const char *path)
{
    const uint32_t mask = WATCH_MASK | (path[0] == '\0' ? 0U : (uint32_t)IN_DONT_FOLLOW);
    cleanup_free char *full = NULL;
    int wd;

    if (strlen(path) > HUSH_PATH_MAX)
        return HUSH_OK; /* no name of ours reaches it */
    full = watch_join(w->file->root, path);
    if (full == NULL)
        return watch_no_memory(w);
    wd = inotify_add_watch(w->fd, full, mask);
    if (wd >= 0)
        return watch_append(w, wd, path);
    if (errno == ENOSPC)
        return hush_fail(w->op, HUSH_BACKEND,
                         "no inotify watch left for '%s': raise fs.inotify.max_user_watches", full);
    if (path[0] == '\0')
        return hush_file_fail(w->file, w->op, path);
    return HUSH_OK;
}

/* -- Reports ----------------------------------------------------------------------------------- */

static void watch_report(struct watch *w, const char *path)
{
    if (w->links)
        w->everything = true;
    else if (!w->everything && !w->restart)
        w->changed(w->ctx, path);
}

/* The type of path itself, links not followed; 0: not there. *links is its number of names. */
static mode_t watch_stat(const struct watch *w, const char *path, nlink_t *links)
{
    cleanup_close int fd = hush_file_open(w->root_fd, path, O_PATH | O_NOFOLLOW);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) != 0)
        return 0;
    *links = st.st_nlink;
    return st.st_mode & S_IFMT;
}

/* One entry found in a directory that is being scanned. */
static enum hush_status watch_entry(struct watch *w, const char *path, unsigned char type,
                                    bool report)
{
    nlink_t links = 0;
    mode_t mode = type == DT_UNKNOWN ? watch_stat(w, path, &links) : (mode_t)DTTOIF(type);

    if (S_ISLNK(mode))
        w->links = true;
    if (report)
        watch_report(w, path);
    return S_ISDIR(mode) ? watch_add(w, path) : HUSH_OK;
}

static enum hush_status watch_scan_dir(struct watch *w, const char *dir_path, DIR *dir, bool report)
{
    const struct dirent *entry;

    /* cppcheck-suppress readdirCalled ; one thread has this stream */
    while ((entry = readdir(dir)) != NULL) {
        cleanup_free char *path = NULL;
        enum hush_status status;

        if (hush_op_canceled(w->op))
            return hush_fail(w->op, HUSH_CANCELED, "canceled");
        if (!hush_file_is_name(entry->d_name))
            continue;
        path = watch_join(dir_path, entry->d_name);
        if (path == NULL)
            return watch_no_memory(w);
        status = watch_entry(w, path, entry->d_type, report);
        if (status != HUSH_OK)
            return status;
    }
    return HUSH_OK;
}

/*
 * Read dir and those that follow it in the table; what is found there is appended and read in turn.
 * They are watched already: what is made meanwhile comes as an event.
 */
static enum hush_status watch_scan(struct watch *w, const struct watch_dir *dir, bool report)
{
    for (; dir != NULL; dir = dir->next) {
        int fd = hush_file_open(w->root_fd, dir->path, O_RDONLY | O_DIRECTORY | O_NONBLOCK);
        DIR *stream = fd < 0 ? NULL : fdopendir(fd);
        enum hush_status status;

        if (stream == NULL) {
            if (fd >= 0)
                close(fd);
            continue; /* gone again, or closed to us: nothing of it can be read either */
        }
        status = watch_scan_dir(w, dir->path, stream, report);
        (void)closedir(stream); /* was opened for reading */
        if (status != HUSH_OK)
            return status;
    }
    return HUSH_OK;
}

/* HUSH_UNAVAILABLE: there is no root now. */
static enum hush_status watch_start(struct watch *w)
{
    enum hush_status status = HUSH_OK;

    w->root_fd = hush_file_open_root(w->file, w->op, &status);
    if (w->root_fd < 0)
        return status;
    if (fstat(w->root_fd, &w->root) != 0)
        return hush_file_fail(w->file, w->op, "");
    w->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (w->fd < 0)
        return hush_fail(w->op, HUSH_BACKEND,
                         "inotify: %m (see fs.inotify.max_user_instances and the limit of files)");
    status = watch_add(w, "");
    return status != HUSH_OK ? status : watch_scan(w, w->dirs, false);
}

/* -- Events ------------------------------------------------------------------------------------ */

static enum hush_status watch_dir_event(struct watch *w, const char *path, uint32_t mask)
{
    struct watch_dir **added = w->last;
    enum hush_status status;

    if (mask & (IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB)) {
        w->restart = true; /* everything below has other names, or may be read now */
        return HUSH_OK;
    }
    watch_report(w, path);
    if (!(mask & IN_CREATE))
        return HUSH_OK;
    status = watch_add(w, path);
    return status != HUSH_OK ? status : watch_scan(w, *added, true);
}

static void watch_file_event(struct watch *w, const char *path, uint32_t mask)
{
    nlink_t links = 0;
    mode_t mode = 0;

    if (mask & (IN_CREATE | IN_MOVED_TO))
        mode = watch_stat(w, path, &links);
    if (S_ISLNK(mode))
        w->links = true;
    /* A file that was just made is still empty: it is reported when its writer closes it. */
    if ((mask & IN_CREATE) && S_ISREG(mode) && links == 1)
        return;
    watch_report(w, path);
}

/* Something in the directory dir. */
static enum hush_status watch_child_event(struct watch *w, const struct watch_dir *dir,
                                          const struct inotify_event *event)
{
    const bool is_dir = (event->mask & IN_ISDIR) != 0;
    cleanup_free char *path = NULL;

    if (!hush_file_is_name(event->name)) {
        if (!is_dir || (event->mask & IN_MOVED_TO))
            w->everything = true; /* `..data` was switched */
        return HUSH_OK;
    }
    path = watch_join(dir->path, event->name);
    if (path == NULL)
        return watch_no_memory(w);
    if (is_dir)
        return watch_dir_event(w, path, event->mask);
    watch_file_event(w, path, event->mask);
    return HUSH_OK;
}

static enum hush_status watch_event(struct watch *w, const struct inotify_event *event)
{
    const uint32_t self = IN_DELETE_SELF | IN_MOVE_SELF | IN_ATTRIB | IN_IGNORED;
    struct watch_dir *dir = watch_find(w, event->wd);

    if (event->mask & (IN_Q_OVERFLOW | IN_UNMOUNT))
        w->restart = true;
    if (dir == NULL || w->restart)
        return HUSH_OK;
    if (event->len > 0)
        return watch_child_event(w, dir, event);
    if (dir->path[0] == '\0' && (event->mask & self))
        w->restart = true;
    else if (event->mask & IN_IGNORED)
        watch_remove(w, dir); /* its parent told that it is gone */
    return HUSH_OK;
}

static enum hush_status watch_batch(struct watch *w)
{
    char events[WATCH_EVENTS_SIZE] __attribute__((aligned(__alignof__(struct inotify_event))));
    ssize_t got = read(w->fd, events, sizeof(events));
    const struct inotify_event *event;

    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? HUSH_OK
                                                 : hush_fail(w->op, HUSH_BACKEND, "inotify: %m");
    for (const char *at = events; at < events + got; at += sizeof(*event) + event->len) {
        enum hush_status status;

        event = (const struct inotify_event *)(const void *)at;
        status = watch_event(w, event);
        if (status != HUSH_OK)
            return status;
    }
    if (w->everything && !w->restart) /* a restart reports it once the new table stands */
        w->changed(w->ctx, "");
    w->everything = false;
    return HUSH_OK;
}

/* Is there another directory at the root's path? (A link that was switched, a mount over it.) */
static bool watch_root_is_other(const struct watch *w)
{
    struct stat now;

    return stat(w->file->root, &now) != 0 || now.st_ino != w->root.st_ino ||
           now.st_dev != w->root.st_dev;
}

static uint64_t watch_after(uint64_t ms)
{
    return hush_now_ns() + ms * HUSH_NS_PER_MS;
}

/* HUSH_OK: a new table is needed. */
static enum hush_status watch_run(struct watch *w)
{
    uint64_t look_ns = watch_after(WATCH_ROOT_MS);

    while (!w->restart) {
        enum hush_status status;

        hush_op_wait(w->op, w->fd, look_ns);
        if (hush_op_canceled(w->op))
            return hush_fail(w->op, HUSH_CANCELED, "canceled");
        status = watch_batch(w);
        if (status != HUSH_OK)
            return status;
        if (hush_now_ns() < look_ns)
            continue;
        look_ns = watch_after(WATCH_ROOT_MS);
        w->restart = w->restart || watch_root_is_other(w);
    }
    return HUSH_OK;
}

/* CANCELED or HUSH_OK after that long. */
static enum hush_status watch_pause(const struct watch *w, uint64_t ms)
{
    hush_op_wait(w->op, -1, watch_after(ms));
    return hush_op_canceled(w->op) ? hush_fail(w->op, HUSH_CANCELED, "canceled") : HUSH_OK;
}

/* From one table to the need for the next. HUSH_OK: go on. */
static enum hush_status watch_once(struct watch *w, bool *there)
{
    enum hush_status status = watch_start(w);

    if (status == HUSH_UNAVAILABLE) {
        if (*there)
            w->changed(w->ctx, "");
        *there = false;
        return watch_pause(w, WATCH_ROOT_MS);
    }
    if (status != HUSH_OK)
        return status;
    *there = true;
    w->changed(w->ctx, "");
    status = watch_run(w);
    return status != HUSH_OK ? status : watch_pause(w, WATCH_RESTART_MS);
}

enum hush_status hush_file_watch(struct hush_provider *self, struct hush_op *op,
                                 hush_changed_fn *changed, void *ctx)
{
    struct watch w = {
        .file = HUSH_PROVIDER(struct file_provider, self),
        .op = op,
        .changed = changed,
        .ctx = ctx,
        .root_fd = -1,
        .fd = -1,
    };
    enum hush_status status = HUSH_OK;
    bool there = true;

    w.last = &w.dirs;
    while (status == HUSH_OK) {
        status = watch_once(&w, &there);
        watch_stop(&w);
    }
    return status;
}
