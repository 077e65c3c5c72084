/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rotate.h - showing a new version. The mover makes a real rename through its clone of the mount,
 * so watchers see the events of an atomic replace; the name switches when the RENAME arrives here.
 * If it does not come in time (somebody holds the directory's lock, no mover, no clone) the worker
 * switches without it: a stuck mover costs an event, never freshness.
 *
 * No thread of the worker makes such a call itself: killed there it would never be reaped, and the
 * directory would stay locked.
 */
#ifndef HUSH_ROTATE_H
#define HUSH_ROTATE_H

#include "fs.h"

/* -- With fs->lock held ------------------------------------------------------------------------ */

/* item has a staged version: show it, at once or by the mover: then item->command is set, and its
 * waiters are woken when the kernel has done it. */
void hush_rotate_show(struct hush_fs *fs, struct hush_item *item);

/* s is served no more: the kernel must ask again. Sets item->command likewise. */
void hush_rotate_forget(struct hush_fs *fs, struct hush_item *item, const struct hush_snapshot *s);

/* s is not current any more: a bind mount of the single file keeps its node, and asks for its
 * attributes again. */
void hush_rotate_superseded(struct hush_fs *fs, const struct hush_snapshot *s);

/* node is a file of a version that is shown as a directory and is not current: the kernel drops its
 * name. It would keep it otherwise, and with it the version, for as long as it has memory: a
 * directory that lost its own name does not take those below it along while they are in use. */
void hush_rotate_unname(struct hush_fs *fs, const struct hush_node *node);

/* The instance that path belongs to is configured no more: the kernel must ask again. */
void hush_rotate_forget_top(struct hush_fs *fs, const char *path);

/* The node that a name beginning with HUSH_STAGE_PREFIX stands for; NULL: none. */
struct hush_node *hush_rotate_staged(struct hush_fs *fs, const char *name);

/* The mover's RENAME of `from` to `to`: 0 or a positive errno. */
int hush_rotate_renamed(struct hush_fs *fs, const char *from, const char *to);

/* Switch what has waited too long for its RENAME. */
void hush_rotate_expire(struct hush_fs *fs, uint64_t now_ns);

/* At a takeover: the dead worker may not have told the kernel that item has a newer version, nor to
 * let go of the older ones' names. */
void hush_rotate_retell(struct hush_fs *fs, const struct hush_item *item);

/* path may be another node by now: the kernel looks it up again. */
void hush_rotate_look_again(struct hush_fs *fs, const char *path);

/* After a change of the configuration: every attribute and name is asked for again. */
void hush_rotate_forget_all(struct hush_fs *fs);
bool hush_rotate_idle(struct hush_fs *fs); /* the mover has done all that was queued */

/* -- Without ----------------------------------------------------------------------------------- */

bool hush_rotate_start(struct hush_fs *fs); /* the mover's client thread; false: errno */
void hush_rotate_stop(struct hush_fs *fs);

#endif
