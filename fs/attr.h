/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attr.h - the attributes of a node. The same for every caller: the kernel shares them between
 * users and checks permissions with them (default_permissions). With fs->lock held.
 */
#ifndef HUSH_ATTR_H
#define HUSH_ATTR_H

#include "fs.h"

void hush_attr(struct hush_fs *fs, const struct hush_node *node, struct stat *st);

/*
 * user.hushfs.NAME of a node: bytes written (without NUL), 0 for a value that there is not, or
 * -ENODATA. out needs 512 bytes.
 */
int hush_attr_get(struct hush_fs *fs, const struct hush_node *node, const char *name, char *out,
                  size_t size);
/* The names, each with its NUL; returns the size. */
size_t hush_attr_list(const struct hush_node *node, const char **names);

#endif
