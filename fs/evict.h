/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evict.h - room in a full arena: values that nobody has open go, those first that were asked for
 * the longest ago. They are fetched again when they are next opened. Credentials (lease.h) stay.
 */
#ifndef HUSH_EVICT_H
#define HUSH_EVICT_H

#include "fs.h"

enum { HUSH_EVICT_RECORD = 512 }; /* about what a value needs beside its bytes */

/*
 * With fs->lock held: let go of values of so many bytes, but not of `but`. What the kernel knows is
 * free once it has forgotten it, as it is told to. Returns the bytes; 0: there are none.
 */
uint64_t hush_evict(struct hush_fs *fs, uint64_t bytes, const struct hush_item *but);

/* Without: op failed for want of room. Make it, and wait a little until it is there. False: nothing
 * can go. */
bool hush_evict_room(struct hush_fs *fs, struct hush_op *op, const struct hush_item *but);

#endif
