/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mover.c - hushfs-mover: makes, for the worker, the calls that wait for the worker: renames below
 * the mount and kernel notifications. A worker that died in one of them could not be reaped. One
 * command at a time, from a socket; it knows names, no values, and runs without privileges. The
 * keeper starts it, and starts another when it dies.
 */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Each handler returns 0 or an errno. */
typedef int mover_fn(struct hush_move_packet *p);

/* One component of a path. */
static bool mover_is_name(const char *name)
{
    return name[0] != '\0' && strchr(name, '/') == NULL && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

static int mover_replace(struct hush_move_packet *p)
{
    struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};
    int dir, err;

    if (fcntl(HUSH_FD_CLONE, F_GETFD) < 0)
        return ENOTSUP;
    if (!mover_is_name(p->from) || !mover_is_name(p->to))
        return EINVAL;
    dir = (int)syscall(SYS_openat2, HUSH_FD_CLONE, p->dir[0] == '\0' ? "." : p->dir, &how,
                       sizeof(how));
    if (dir < 0)
        return errno;
    err = renameat2(dir, p->from, dir, p->to, p->flags) == 0 ? 0 : errno;
    (void)close(dir); /* a path only */
    return err;
}

/* A notification is a reply without a request; its code stands where the error would. */
static int mover_notify(int code, void *body, size_t size, char *name)
{
    struct fuse_out_header out = {.error = code};
    struct iovec iov[3] = {
        {&out, sizeof(out)},
        {body, size},
        {name, name == NULL ? 0 : strlen(name) + 1},
    };

    out.len = (uint32_t)(sizeof(out) + size + iov[2].iov_len);
    return writev(HUSH_FD_FUSE, iov, name == NULL ? 2 : 3) < 0 ? errno : 0;
}

static int mover_inval_inode(struct hush_move_packet *p)
{
    struct fuse_notify_inval_inode_out body = {.ino = p->ino, .off = p->offset, .len = 0};

    return mover_notify(FUSE_NOTIFY_INVAL_INODE, &body, sizeof(body), NULL);
}

static int mover_inval_entry(struct hush_move_packet *p)
{
    struct fuse_notify_inval_entry_out body = {.parent = p->ino,
                                               .namelen = (uint32_t)strlen(p->to)};

    return mover_notify(FUSE_NOTIFY_INVAL_ENTRY, &body, sizeof(body), p->to);
}

static int mover_delete(struct hush_move_packet *p)
{
    struct fuse_notify_delete_out body = {
        .parent = p->ino, .child = p->child, .namelen = (uint32_t)strlen(p->to)};

    return mover_notify(FUSE_NOTIFY_DELETE, &body, sizeof(body), p->to);
}

static int mover_do(struct hush_move_packet *p)
{
    static mover_fn *const table[] = {
        [HUSH_MOVE_REPLACE] = mover_replace,
        [HUSH_MOVE_INVAL_INODE] = mover_inval_inode,
        [HUSH_MOVE_INVAL_ENTRY] = mover_inval_entry,
        [HUSH_MOVE_DELETE] = mover_delete,
    };

    p->dir[sizeof(p->dir) - 1] = p->from[sizeof(p->from) - 1] = p->to[sizeof(p->to) - 1] = '\0';
    if (p->op >= sizeof(table) / sizeof(table[0]) || table[p->op] == NULL)
        return EINVAL;
    return table[p->op](p);
}

static ssize_t mover_send(const struct hush_move_packet *p)
{
    ssize_t n;

    do
        n = send(HUSH_FD_MOVER, p, sizeof(*p), MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n;
}

static ssize_t mover_receive(struct hush_move_packet *p)
{
    ssize_t n;

    do
        n = recv(HUSH_FD_MOVER, p, sizeof(*p), 0);
    while (n < 0 && errno == EINTR);
    return n;
}

int main(void)
{
    struct hush_move_packet packet = {.op = HUSH_MOVE_HELLO, .pid = getpid()};

    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || mover_send(&packet) < 0) {
        perror("hushfs-mover");
        return 1;
    }
    while (mover_receive(&packet) > 0) {
        packet.error = mover_do(&packet);
        if (mover_send(&packet) < 0)
            break;
    }
    return 0; /* the socket was closed */
}
