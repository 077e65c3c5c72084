/* SPDX-License-Identifier: Apache-2.0 */
/* ops.h - the FUSE operations of the mount. Their userdata is struct hush_fs; all run in the loop.
 */
#ifndef HUSH_OPS_H
#define HUSH_OPS_H

#include "control.h"
#include "fs.h"

extern const struct fuse_lowlevel_ops hush_ops;

/* lookup.c: what name in the directory node parent is now. With fs->lock held. 0 and *entry, or a
 * positive errno. Never waits for anything. */
int hush_lookup(struct hush_fs *fs, struct hush_node *parent, const char *name, pid_t tid,
                struct fuse_entry_param *entry, struct hush_node **found);

/* readdir.c */
void hush_ops_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                      struct fuse_file_info *fi);

#endif
