/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dotfiles.h - MOUNT/.hushfs: status, status.json, metrics and control, for root and the mount's
 * owner. Everything is read-only; the command line speaks through ioctl on control (control.h).
 */
#ifndef HUSH_DOTFILES_H
#define HUSH_DOTFILES_H

#include "fs.h"

/* -- With fs->lock held ------------------------------------------------------------------------ */

bool hush_dot_init(struct hush_fs *fs); /* their nodes; false: no memory */
struct hush_node *hush_dot_lookup(struct hush_fs *fs, const char *name); /* below .hushfs */
void hush_dot_attr(struct hush_fs *fs, uint64_t ino, struct stat *st);
uint64_t hush_dot_open(struct hush_fs *fs, uint64_t ino); /* a handle on what it says now */

/*
 * For reads without a handle: what the file said when it was last asked for its size (anew: make
 * that now), so that size and pieces of one reading fit together. In the loop. NULL: no memory.
 */
const struct hush_handle *hush_dot_kept(struct hush_fs *fs, uint64_t ino, bool anew);

/* The i-th file's name and node id; NULL: no more. */
const char *hush_dot_name(size_t i, uint64_t *ino);

/* -- Without ----------------------------------------------------------------------------------- */

/* In the loop: an ioctl on control. in holds what the caller gave, size bytes. */
void hush_dot_ioctl(struct hush_fs *fs, fuse_req_t req, uint64_t ino, unsigned cmd, const void *in,
                    size_t size);
void hush_dot_reply(fuse_req_t req, enum hush_status status, const char *text);

/* After a reload: answer who asked for it, once its effects are out. By the timer. */
void hush_dot_reload_done(struct hush_fs *fs);

#endif
