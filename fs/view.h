/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view.h - what the kernel calls a directory that it found below a secret's. Each version of a
 * secret is a directory of its own, but what is in the folder of the same name (both.h) is the same
 * in all of them, and a directory in Linux has one parent: found again below the next version it
 * would be moved there, which fails with ESTALE when two do that at once (__d_unalias() in
 * fs/dcache.c takes its locks by trylock). So below a version, and below a view, each directory has
 * a node id for that parent alone: a view. Everything but LOOKUP and FORGET translates it at once;
 * the rest of the worker knows nothing of views.
 *
 * A view is one lookup of its target. Its record in the arena lets the next worker know it.
 *
 * All functions: with fs->lock held.
 */
#ifndef HUSH_VIEW_H
#define HUSH_VIEW_H

#include "fs.h"

/* The node id behind what the kernel calls ino. */
uint64_t hush_view_target(struct hush_fs *fs, uint64_t ino);

/* What the kernel is to call node, found in the directory that it calls parent: a view, made if
 * need be, or node->ino. 0: no memory. */
uint64_t hush_view_below(struct hush_fs *fs, uint64_t parent, struct hush_node *node);

/* What the kernel calls the directory that a shown path stands in, whether or not it knows it. */
uint64_t hush_view_parent(struct hush_fs *fs, const char *path);

/* One more lookup of ino was answered; n are forgotten. False: it is no view. */
bool hush_view_looked_up(struct hush_fs *fs, uint64_t ino);
bool hush_view_forget(struct hush_fs *fs, uint64_t ino, uint64_t n);

/* Call fn for every view of target; 0: for every one. */
typedef void hush_view_fn(struct hush_fs *fs, uint64_t ino, const char *name);
void hush_view_walk(struct hush_fs *fs, uint64_t target, hush_view_fn *fn, const char *name);

/* Call fn for the parent and the name of every view that was found in parent. */
void hush_view_walk_below(struct hush_fs *fs, uint64_t parent, hush_view_fn *fn);

/* At a takeover, after the nodes. */
void hush_view_adopt_all(struct hush_fs *fs);

#endif
