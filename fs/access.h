/* SPDX-License-Identifier: Apache-2.0 */
/*
 * access.h - who may read the files of a snapshot, and whether the page cache may have them: asked
 * of the rules once, when its nodes are made, and not at each request. A reload is a new worker,
 * which makes all nodes anew.
 *
 * All functions: with fs->lock held.
 */
#ifndef HUSH_ACCESS_H
#define HUSH_ACCESS_H

#include "fs.h"

/* For the nodes of s, which were just made. False: no memory. */
bool hush_access_settle(struct hush_snapshot *s);

/* What holds for a node of a snapshot. */
const struct hush_settings *hush_access_of(const struct hush_node *node);

#endif
