/* SPDX-License-Identifier: Apache-2.0 */
/*
 * path.c - opening files below the root, and why it failed. The rest of the file provider calls it.
 *
 * The kernel keeps us below the root (openat2): symbolic links are followed as long as they stay
 * there, which is what Kubernetes' `name -> ..data/name` needs. The root is opened anew at each
 * call: so a root that is replaced, mounted later or repaired is simply there.
 */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PATH_TRIES = 8 }; /* EAGAIN: a rename anywhere may have raced with the walk */

static bool path_is_segment(const char *segment, size_t size)
{
    if (size == 0 || (size == 1 && segment[0] == '.'))
        return false;
    return size < 2 || segment[0] != '.' || segment[1] != '.';
}

bool hush_file_is_name(const char *path)
{
    for (;;) {
        const size_t size = strcspn(path, "/");

        if (!path_is_segment(path, size))
            return false;
        if (path[size] == '\0')
            return true;
        path += size + 1;
    }
}

int hush_file_open_root(const struct file_provider *file, struct hush_op *op,
                        enum hush_status *status)
{
    int fd = open(file->root, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0)
        return fd;
    if (errno == ENOENT)
        *status = hush_fail(op, HUSH_UNAVAILABLE, "root '%s' does not exist", file->root);
    else if (errno == ENOTDIR)
        *status = hush_fail(op, HUSH_UNAVAILABLE, "root '%s' is not a directory", file->root);
    else if (errno == EACCES)
        *status = hush_fail(op, HUSH_UNAVAILABLE,
                            "user %u may not reach root '%s': give it the right to search (x) on "
                            "each directory above",
                            (unsigned)geteuid(), file->root);
    else
        *status = hush_fail(op, HUSH_UNAVAILABLE, "root '%s': %m", file->root);
    return -1;
}

int hush_file_open(int root_fd, const char *path, int flags)
{
    const struct open_how how = {
        .flags = (uint64_t)(unsigned)flags | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    long fd = -1;

    for (int i = 0; i < PATH_TRIES; i++) {
        fd = syscall(SYS_openat2, root_fd, path[0] == '\0' ? "." : path, &how, sizeof(how));
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
    }
    return (int)fd;
}

enum hush_status hush_file_fail(const struct file_provider *file, struct hush_op *op,
                                const char *path)
{
    switch (errno) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
        return hush_fail(op, HUSH_NOT_FOUND, "'%s/%s': %m", file->root, path);
    case EACCES:
    case EPERM:
        return hush_fail(op, HUSH_DENIED,
                         "user %u may not read '%s/%s': give it the right by mode, group or ACL",
                         (unsigned)geteuid(), file->root, path);
    case EXDEV:
        return hush_fail(op, HUSH_DENIED,
                         "'%s/%s' is reached through a symbolic link that leaves the root (or is "
                         "absolute): copy the file, or make the root wider",
                         file->root, path);
    case ELOOP:
        return hush_fail(op, HUSH_DENIED,
                         "'%s/%s' is reached through a loop of symbolic links, or through one of "
                         "/proc",
                         file->root, path);
    case ENOSYS:
        return hush_fail(op, HUSH_CONFIG, "the kernel lacks openat2(2): Linux 5.6 is needed");
    default:
        return hush_fail(op, hush_status_from_errno(errno), "'%s/%s': %m", file->root, path);
    }
}

enum hush_status hush_file_check_op(struct hush_op *op)
{
    if (hush_op_canceled(op))
        return hush_fail(op, HUSH_CANCELED, "canceled");
    if (hush_op_left_ms(op) == 0)
        return hush_fail(op, HUSH_TIMEOUT, "deadline passed");
    return HUSH_OK;
}
