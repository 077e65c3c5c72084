/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mountpoint.h - the mount itself: the keeper makes it, watches it and takes it away. No function
 * here waits for whoever serves a mount.
 */
#ifndef HUSH_MOUNTPOINT_H
#define HUSH_MOUNTPOINT_H

#include <limits.h>
#include <stdbool.h>

struct hush_mountpoint {
    char path[PATH_MAX]; /* without symbolic links, as the kernel spells it */
    char id[24];         /* of the mount, as in mountinfo; "": not mounted */
    int clone_fd;        /* O_PATH of a writable clone that no path leads to; -1: none */
    int listen_fd;       /* says to other keepers that this one lives; -1: none */
};

/*
 * Mount fuse_fd on path, read-only for everybody, with a writable clone aside. A hushfs mount that
 * nobody serves any more is detached first; one that is alive is left alone. False: error says why;
 * nothing is mounted.
 */
bool hush_mountpoint_mount(struct hush_mountpoint *mp, const char *path, int fuse_fd,
                           bool allow_other, char error[PATH_MAX + 160]);

/* Is it still there, under its path? */
bool hush_mountpoint_is_mounted(const struct hush_mountpoint *mp);

/* Take it away if it is still there, close the clone. Whoever waits for an answer gets an error. */
void hush_mountpoint_umount(struct hush_mountpoint *mp);

#endif
