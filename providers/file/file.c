/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file.c - secrets from a directory of plain files: Docker's /run/secrets, a Kubernetes secret
 * volume, systemd's credentials, a tmpfs that something fills. A file is a secret, byte for byte; a
 * directory is a folder. Entries that begin with ".." are not shown (Kubernetes keeps its
 * generations there), but links to them are followed.
 *
 * A version is the file's change time, inode and size. The change time, because nobody can set it
 * back, unlike the modification time. Time stamps move with the kernel's tick, so a file that was
 * changed just now could change again without any of them moving. Therefore such a file is left
 * alone for two ticks before it is read (which also lets `echo value > file` finish), and its
 * version ends with '~' and never counts as unchanged.
 */
#include "file.h"

#include "core/cleanup.h"
#include "core/clock.h"
#include "core/io.h"
#include "core/lockmem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    FILE_TRIES = 10,       /* a file that changes while it is read is read again */
    FILE_SETTLE_MS = 20,   /* more than a tick of any kernel (HZ=100: 10 ms) */
    FILE_RACY_MS = 100,    /* changed so lately that it may change again unseen … */
    FILE_COARSE_MS = 2000, /* … where the file system keeps no nanoseconds */
};

static const struct hush_option file_options[] = {
    HUSH_OPTION(struct file_provider, root, PATH, NULL,
                "the directory whose files are the secrets"),
    {0},
};

static enum hush_status file_open(struct hush_provider *self, struct hush_op *op)
{
    (void)self; /* a root that is not there yet is no reason to fail: the mount comes up */
    (void)op;
    return HUSH_OK;
}

static void file_close(struct hush_provider *self)
{
    (void)self; /* holds nothing between calls */
}

/* -- One file ---------------------------------------------------------------------------------- */

static int64_t file_ms(const struct timespec *time)
{
    return (int64_t)time->tv_sec * 1000 + time->tv_nsec / HUSH_NS_PER_MS;
}

/* Could the file change again and keep its change time? */
static bool file_is_racy(const struct stat *st)
{
    const int64_t margin_ms = st->st_ctim.tv_nsec == 0 ? FILE_COARSE_MS : FILE_RACY_MS;
    struct timespec now;

    /* The real clock, never an injected one: it is compared with what the kernel wrote. */
    clock_gettime(CLOCK_REALTIME, &now);
    return file_ms(&now) - file_ms(&st->st_ctim) < margin_ms;
}

static void file_version(const struct stat *st, struct hush_version *out)
{
    (void)snprintf(out->text, sizeof(out->text), "%jd.%09ld-%ju-%ju%s",
                   (intmax_t)st->st_ctim.tv_sec, st->st_ctim.tv_nsec, (uintmax_t)st->st_ino,
                   (uintmax_t)st->st_size, file_is_racy(st) ? "~" : "");
}

static bool file_same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/*
 * Are the bytes the same as before? To be replaced by a rename changes a file's change time too,
 * but not its bytes: what was opened is then a whole version, if no longer the current one.
 */
static bool file_same(const struct stat *before, const struct stat *now)
{
    return before->st_ino == now->st_ino && before->st_dev == now->st_dev &&
           before->st_size == now->st_size && file_same_time(&before->st_mtim, &now->st_mtim) &&
           (file_same_time(&before->st_ctim, &now->st_ctim) || now->st_nlink < before->st_nlink);
}

static const char *file_kind_text(mode_t mode)
{
    if (S_ISFIFO(mode))
        return "a FIFO";
    return S_ISSOCK(mode) ? "a socket" : "a device";
}

static enum hush_status file_check_type(const struct file_provider *file, struct hush_op *op,
                                        const char *path, mode_t mode)
{
    if (S_ISREG(mode))
        return HUSH_OK;
    if (S_ISDIR(mode))
        return hush_fail(op, HUSH_NOT_FOUND, "'%s/%s' is a directory", file->root, path);
    return hush_fail(op, HUSH_DENIED, "'%s/%s' is %s: only regular files are secrets", file->root,
                     path, file_kind_text(mode));
}

/*
 * Open a secret for reading. It is looked at first (O_PATH): to open a FIFO or a device would be
 * noticed at its other end.
 */
static enum hush_status file_open_secret(const struct file_provider *file, struct hush_op *op,
                                         const char *path, int *out)
{
    enum hush_status status = HUSH_OK;
    cleanup_close int root_fd = hush_file_open_root(file, op, &status);
    cleanup_close int seen_fd = -1;
    struct stat st;
    int fd;

    if (root_fd < 0)
        return status;
    seen_fd = hush_file_open(root_fd, path, O_PATH);
    if (seen_fd < 0 || fstat(seen_fd, &st) != 0)
        return hush_file_fail(file, op, path);
    status = file_check_type(file, op, path, st.st_mode);
    if (status != HUSH_OK)
        return status;
    fd = hush_file_open(root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return hush_file_fail(file, op, path);
    *out = fd;
    return HUSH_OK;
}

/* Nothing more to read? (Files of /proc have size 0 and content all the same.) */
static bool file_is_at_end(int fd)
{
    uint8_t byte;
    ssize_t got = read(fd, &byte, sizeof(byte));

    hush_wipe(&byte, sizeof(byte));
    return got == 0;
}

/* Read it once. With HUSH_OK and no secret: it changed meanwhile. */
static enum hush_status file_read_once(const struct file_provider *file, struct hush_op *op,
                                       const char *path, int fd, const struct stat *before,
                                       struct hush_secret **out)
{
    struct hush_secret *secret = NULL;
    uint8_t *bytes = NULL;
    enum hush_status status = hush_secret_alloc(op, (size_t)before->st_size, &secret, &bytes);
    struct stat after;
    ssize_t got;

    if (status != HUSH_OK)
        return status;
    got = hush_read_all(fd, bytes, (size_t)before->st_size);
    if (got < 0 || fstat(fd, &after) != 0) {
        status = hush_file_fail(file, op, path);
        hush_secret_unref(secret);
        return status;
    }
    if (got != before->st_size || !file_is_at_end(fd) || !file_same(before, &after)) {
        hush_secret_unref(secret);
        return HUSH_OK;
    }
    *out = secret;
    return HUSH_OK;
}

static enum hush_status file_check_size(const struct file_provider *file, struct hush_op *op,
                                        const char *path, const struct stat *st)
{
    if ((uint64_t)st->st_size <= op->secret_max)
        return HUSH_OK;
    return hush_fail(op, HUSH_TOO_LARGE, "'%s/%s' has %jd bytes, at most %" PRIu64 " are allowed",
                     file->root, path, (intmax_t)st->st_size, op->secret_max);
}

/* *st as it is now. False: it was changed lately, and again while we waited. */
static bool file_settle(int fd, struct stat *st)
{
    static const struct timespec pause = {.tv_nsec = (long)FILE_SETTLE_MS * HUSH_NS_PER_MS};
    const struct stat before = *st;

    if (!file_is_racy(st))
        return true;
    (void)nanosleep(&pause, NULL); /* if a signal ends it, the next try waits again */
    return fstat(fd, st) == 0 && file_same(&before, st);
}

/* Open and read once. With HUSH_OK and neither a secret nor .unchanged: it changed meanwhile. */
static enum hush_status file_try(const struct file_provider *file, struct hush_op *op,
                                 const char *path, const struct hush_version *if_not,
                                 struct hush_value *value)
{
    cleanup_close int fd = -1;
    enum hush_status status = file_open_secret(file, op, path, &fd);
    struct stat st;

    if (status != HUSH_OK)
        return status;
    if (fstat(fd, &st) != 0)
        return hush_file_fail(file, op, path);
    status = file_check_type(file, op, path, st.st_mode);
    if (status == HUSH_OK)
        status = file_check_size(file, op, path, &st);
    if (status != HUSH_OK || !file_settle(fd, &st))
        return status;
    file_version(&st, &value->meta.version);
    if (strchr(if_not->text, '~') == NULL && strcmp(value->meta.version.text, if_not->text) == 0) {
        value->unchanged = true;
        return HUSH_OK;
    }
    value->meta.modified = st.st_mtim.tv_sec;
    return file_read_once(file, op, path, fd, &st, &value->secret);
}

static enum hush_status file_fetch(struct hush_provider *self, struct hush_op *op,
                                   const struct hush_ref *ref, const struct hush_version *if_not,
                                   struct hush_value *out)
{
    const struct file_provider *file = HUSH_PROVIDER(struct file_provider, self);

    if (!hush_file_is_name(ref->path))
        return hush_fail(op, HUSH_NOT_FOUND, "'%s' is no name of a file below '%s'", ref->path,
                         file->root);
    for (int i = 0; i < FILE_TRIES; i++) {
        enum hush_status status = hush_file_check_op(op);
        struct hush_value value = {0};

        if (status == HUSH_OK)
            status = file_try(file, op, ref->path, if_not, &value);
        if (status != HUSH_OK)
            return status;
        if (value.secret != NULL || value.unchanged) {
            *out = value;
            return HUSH_OK;
        }
    }
    return hush_fail(op, HUSH_BACKEND,
                     "'%s/%s' changes while it is read (or does not tell its size): replace it by "
                     "a rename",
                     file->root, ref->path);
}

/* -- Listing ----------------------------------------------------------------------------------- */

struct file_listing {
    const struct file_provider *file;
    int root_fd;
    const char *prefix;
};

/* What an entry leads to. False: neither a secret nor a folder, or nothing at all. */
static bool file_resolve(const struct file_listing *listing, const char *name, enum hush_kind *kind)
{
    cleanup_free char *path = NULL;
    cleanup_close int fd = -1;
    struct stat st;

    if (asprintf(&path, "%s%s%s", listing->prefix, listing->prefix[0] == '\0' ? "" : "/", name) <
        0) {
        path = NULL;
        return false;
    }
    fd = hush_file_open(listing->root_fd, path, O_PATH);
    if (fd < 0) {
        *kind = HUSH_KIND_SECRET; /* shown, so that fetch() can say why not */
        return errno == EXDEV || errno == EACCES || errno == ELOOP;
    }
    if (fstat(fd, &st) != 0)
        return false;
    *kind = S_ISDIR(st.st_mode) ? HUSH_KIND_FOLDER : HUSH_KIND_SECRET;
    return S_ISDIR(st.st_mode) || S_ISREG(st.st_mode);
}

static bool file_kind(const struct file_listing *listing, const struct dirent *entry,
                      enum hush_kind *kind)
{
    switch (entry->d_type) {
    case DT_REG:
        *kind = HUSH_KIND_SECRET;
        return true;
    case DT_DIR:
        *kind = HUSH_KIND_FOLDER;
        return true;
    case DT_LNK:
    case DT_UNKNOWN:
        return file_resolve(listing, entry->d_name, kind);
    default:
        return false;
    }
}

static enum hush_status file_list_dir(const struct file_listing *listing, struct hush_op *op,
                                      DIR *dir, hush_emit_fn *emit, void *ctx)
{
    for (;;) {
        enum hush_status status = hush_file_check_op(op);
        struct hush_entry found = {0};
        const struct dirent *entry;

        if (status != HUSH_OK)
            return status;
        errno = 0;
        /* cppcheck-suppress readdirCalled ; one thread has this stream */
        entry = readdir(dir);
        if (entry == NULL)
            return errno == 0 ? HUSH_OK : hush_file_fail(listing->file, op, listing->prefix);
        if (!hush_file_is_name(entry->d_name) || !file_kind(listing, entry, &found.kind))
            continue;
        found.name = entry->d_name;
        status = emit(ctx, &found);
        if (status != HUSH_OK)
            return status;
    }
}

static enum hush_status file_list(struct hush_provider *self, struct hush_op *op,
                                  const char *prefix, hush_emit_fn *emit, void *ctx)
{
    const struct file_provider *file = HUSH_PROVIDER(struct file_provider, self);
    enum hush_status status = hush_file_check_op(op);
    struct file_listing listing = {.file = file, .prefix = prefix};
    cleanup_close int root_fd = -1;
    DIR *dir;
    int fd;

    if (status != HUSH_OK)
        return status;
    if (prefix[0] != '\0' && !hush_file_is_name(prefix))
        return hush_fail(op, HUSH_NOT_FOUND, "'%s' is no folder below '%s'", prefix, file->root);
    root_fd = hush_file_open_root(file, op, &status);
    if (root_fd < 0)
        return status;
    fd = hush_file_open(root_fd, prefix, O_RDONLY | O_DIRECTORY | O_NONBLOCK);
    if (fd < 0)
        return hush_file_fail(file, op, prefix);
    dir = fdopendir(fd);
    if (dir == NULL) {
        close(fd);
        return hush_fail(op, HUSH_NO_MEMORY, "no memory for a listing");
    }
    listing.root_fd = root_fd;
    status = file_list_dir(&listing, op, dir, emit, ctx);
    (void)closedir(dir); /* was opened for reading */
    return status;
}

const struct hush_provider_ops hush_provider_file = {
    .name = "file",
    .summary = "plain files in a directory: Docker, Kubernetes and systemd credentials, tmpfs",
    .flags = HUSH_HAS_UNCHANGED | HUSH_IS_LOCAL,
    .size = sizeof(struct file_provider),
    .options = file_options,
    .open = file_open,
    .close = file_close,
    .fetch = file_fetch,
    .list = file_list,
    .watch = hush_file_watch,
};
