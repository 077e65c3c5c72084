/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk.c - see disk.h. Readers and writers of a sealed store go through here for every file.
 */
#include "sealed/disk.h"

#include "core/cleanup.h"
#include "core/io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    DISK_TRIES = 8, /* EAGAIN: a rename anywhere may have raced with the walk */
    DISK_PATH_MAX = 8192,
};

struct sealed_stamp hush_sealed_stamp(const struct stat *st)
{
    return (struct sealed_stamp){
        .dev = st->st_dev, .ino = st->st_ino, .size = st->st_size, .changed = st->st_ctim};
}

bool hush_sealed_stamp_equal(const struct sealed_stamp *a, const struct sealed_stamp *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

enum hush_status hush_sealed_check_op(struct hush_op *op)
{
    if (hush_op_canceled(op))
        return hush_fail(op, HUSH_CANCELED, "canceled");
    if (hush_op_left_ms(op) == 0)
        return hush_fail(op, HUSH_TIMEOUT, "deadline passed");
    return HUSH_OK;
}

static enum hush_status disk_fail(struct hush_op *op, const char *what, const char *path)
{
    const enum hush_status status = errno == EROFS || errno == ENOSPC || errno == EDQUOT
                                        ? HUSH_BACKEND
                                    : errno == EPERM ? HUSH_DENIED
                                                     : hush_status_from_errno(errno);

    return hush_fail(op, status, "%s '%s': %m", what, path);
}

int hush_sealed_open_at(int dir_fd, const char *path, int flags, mode_t mode)
{
    const struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC | O_NOFOLLOW),
        .mode = mode,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
    };
    long fd = -1;

    for (int i = 0; i < DISK_TRIES; i++) {
        fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
    }
    return (int)fd;
}

int hush_sealed_open_store(struct hush_op *op, const char *store, enum hush_status *status)
{
    const int fd = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0)
        return fd;
    if (errno == ENOENT)
        *status = hush_fail(op, HUSH_UNAVAILABLE,
                            "there is no store '%s': `hushfs store init` makes one", store);
    else if (errno == EACCES)
        *status = hush_fail(op, HUSH_UNAVAILABLE, "user %u may not read the store '%s'",
                            (unsigned)geteuid(), store);
    else
        *status = hush_fail(op, HUSH_UNAVAILABLE, "store '%s': %m", store);
    return -1;
}

/* -- Reading ----------------------------------------------------------------------------------- */

void hush_sealed_file_done(struct sealed_file *file)
{
    free(file->bytes); /* sealed: nothing to wipe */
    *file = (struct sealed_file){0};
}

/* Exactly size bytes. False with errno; 0: it has another size by now. */
static bool disk_read_all(int fd, char *bytes, size_t size)
{
    const ssize_t got = hush_read_all(fd, (uint8_t *)bytes, size);

    if (got >= 0)
        errno = 0;
    return got == (ssize_t)size;
}

static enum hush_status disk_read_open(struct hush_op *op, int fd, const char *path, size_t max,
                                       struct sealed_file *file)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return disk_fail(op, "stat", path);
    if (!S_ISREG(st.st_mode))
        return hush_fail(op, HUSH_PROTOCOL, "'%s' in the store is not a regular file", path);
    if ((uint64_t)st.st_size > max)
        return hush_fail(op, HUSH_TOO_LARGE, "'%s' has %jd bytes, at most %zu are read", path,
                         (intmax_t)st.st_size, max);
    file->size = (size_t)st.st_size;
    file->stamp = hush_sealed_stamp(&st);
    file->bytes = malloc(file->size + 1);
    if (file->bytes == NULL)
        return hush_fail(op, HUSH_NO_MEMORY, "no memory for '%s'", path);
    if (!disk_read_all(fd, file->bytes, file->size))
        return errno == 0 ? hush_fail(op, HUSH_PROTOCOL, "'%s' was cut while it was read", path)
                          : disk_fail(op, "read", path);
    file->bytes[file->size] = '\0';
    return HUSH_OK;
}

enum hush_status hush_sealed_read(struct hush_op *op, int dir_fd, const char *path, size_t max,
                                  struct sealed_file *out)
{
    cleanup_close int fd = hush_sealed_open_at(dir_fd, path, O_RDONLY | O_NONBLOCK, 0);
    struct sealed_file file = {0};
    enum hush_status status;

    if (fd < 0 && errno == ELOOP)
        return hush_fail(op, HUSH_PROTOCOL, "'%s' in the store is reached by a symbolic link",
                         path);
    if (fd < 0 && errno == EACCES)
        return hush_fail(op, HUSH_DENIED, "user %u may not read '%s' in the store",
                         (unsigned)geteuid(), path);
    if (fd < 0)
        return disk_fail(op, "open", path);
    status = disk_read_open(op, fd, path, max, &file);
    if (status == HUSH_OK)
        *out = file;
    else
        hush_sealed_file_done(&file);
    return status;
}

/* -- Writing ----------------------------------------------------------------------------------- */

/* Others' rights on files follow from their rights on the store; only root can give files away. */
static bool disk_give(int fd, const struct stat *like, mode_t mode)
{
    if (geteuid() == 0 && fchown(fd, like->st_uid, like->st_gid) != 0)
        return false;
    return fchmod(fd, mode) == 0;
}

enum hush_status hush_sealed_write(struct hush_op *op, int dir_fd, const char *path,
                                   const struct stat *like, const char *bytes, size_t size)
{
    const mode_t mode = (like->st_mode & 0440) | 0600;
    enum hush_status status = HUSH_OK;
    int fd;

    if (unlinkat(dir_fd, path, 0) != 0 && errno != ENOENT)
        return disk_fail(op, "replace", path);
    fd = hush_sealed_open_at(dir_fd, path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd < 0)
        return disk_fail(op, "create", path);
    if (!disk_give(fd, like, mode) || !hush_write_all(fd, bytes, size) || fsync(fd) != 0)
        status = disk_fail(op, "write", path);
    if (close(fd) != 0 && status == HUSH_OK)
        status = disk_fail(op, "write", path);
    if (status != HUSH_OK)
        (void)unlinkat(dir_fd, path, 0); /* half a file is of no use */
    return status;
}

enum hush_status hush_sealed_sync_dir(struct hush_op *op, int dir_fd, const char *path)
{
    cleanup_close int fd =
        hush_sealed_open_at(dir_fd, path[0] == '\0' ? "." : path, O_RDONLY | O_DIRECTORY, 0);

    if (fd < 0 || fsync(fd) != 0)
        return disk_fail(op, "sync", path);
    return HUSH_OK;
}

/* The directory that holds path, as a path: "" for the top. */
static void disk_parent(const char *path, char out[DISK_PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    const size_t size = slash == NULL ? 0 : (size_t)(slash - path);

    memcpy(out, path, size);
    out[size] = '\0';
}

enum hush_status hush_sealed_rename(struct hush_op *op, int dir_fd, const char *from,
                                    const char *to)
{
    char parent[DISK_PATH_MAX];

    if (renameat(dir_fd, from, dir_fd, to) != 0)
        return disk_fail(op, "rename to", to);
    disk_parent(to, parent);
    return hush_sealed_sync_dir(op, dir_fd, parent);
}

static enum hush_status disk_make_dir(struct hush_op *op, int dir_fd, const char *path,
                                      const struct stat *like)
{
    char parent[DISK_PATH_MAX];
    cleanup_close int fd = -1;

    if (mkdirat(dir_fd, path, 0700) != 0) {
        if (errno != EEXIST)
            return disk_fail(op, "make directory", path);
        fd = hush_sealed_open_at(dir_fd, path, O_RDONLY | O_DIRECTORY, 0);
        return fd < 0 ? disk_fail(op, "directory", path) : HUSH_OK;
    }
    fd = hush_sealed_open_at(dir_fd, path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0 || !disk_give(fd, like, like->st_mode & 0777))
        return disk_fail(op, "make directory", path);
    disk_parent(path, parent);
    return hush_sealed_sync_dir(op, dir_fd, parent);
}

enum hush_status hush_sealed_make_dirs(struct hush_op *op, int dir_fd, const char *path,
                                       const struct stat *like)
{
    char part[DISK_PATH_MAX];

    for (const char *slash = path; slash != NULL;) {
        enum hush_status status;
        size_t size;

        slash = strchr(slash, '/');
        size = slash == NULL ? strlen(path) : (size_t)(slash - path);
        memcpy(part, path, size);
        part[size] = '\0';
        status = disk_make_dir(op, dir_fd, part, like);
        if (status != HUSH_OK)
            return status;
        slash = slash == NULL ? NULL : slash + 1;
    }
    return HUSH_OK;
}
