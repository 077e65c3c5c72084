/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stash.h - what instances hand to the worker that comes after this one (struct hush_stash of
 * provider.h): records in the arena, which a takeover leaves in place. A record belongs to an
 * instance by name and type; what it is bound to beyond that (a URL, a role) its provider says in
 * the secret itself.
 *
 * Threads: put and get from any.
 */
#ifndef HUSH_STASH_STORE_H
#define HUSH_STASH_STORE_H

#include "config.h"

#include "core/arena.h"

/*
 * The stash in arena, with what a worker before left there; records of instances that config does
 * not have are wiped. Both are borrowed for its life. NULL: no memory.
 */
struct hush_stash *hush_stash_new(struct hush_arena *arena, const struct hush_config *config);

/* Wipe all records: the mount ends. */
void hush_stash_wipe(struct hush_stash *self);

void hush_stash_free(struct hush_stash *self); /* the records stay; NULL ok */

#endif
