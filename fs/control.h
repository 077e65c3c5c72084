/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control.h - what the command line asks of a mount: ioctl(2) on MOUNT/.hushfs/control. The mount
 * is read-only, so nothing is written; the kernel carries the struct there and back.
 */
#ifndef HUSH_CONTROL_H
#define HUSH_CONTROL_H

#include <stdint.h>
#include <sys/ioctl.h>

#define HUSH_CONTROL_DIR  ".hushfs"
#define HUSH_CONTROL_FILE HUSH_CONTROL_DIR "/control"

enum { HUSH_CONTROL_PATH_MAX = 2048, HUSH_CONTROL_TEXT_MAX = 1024 };

struct hush_control {
    char path[HUSH_CONTROL_PATH_MAX]; /* in: below the mount, as shown, NUL-terminated */
    int32_t error;                    /* out: enum hush_status */
    char text[HUSH_CONTROL_TEXT_MAX]; /* out: why, in words; never a value */
};

/* A restricted ioctl of FUSE carries at most a page. */
_Static_assert(sizeof(struct hush_control) <= 4096, "one page");

/* Fetch path now, shared with whoever else waits for it; return when that is done. */
#define HUSH_CONTROL_REFRESH _IOWR('H', 1, struct hush_control)
/* Read the configuration again; path is not used. CONFIG: it is wrong, the old one holds. */
#define HUSH_CONTROL_RELOAD _IOWR('H', 2, struct hush_control)

#endif
