/* SPDX-License-Identifier: Apache-2.0 */
/*
 * item.h - what the cache knows of one name, whether that is fresh, stale or gone; without threads,
 * FUSE or a clock of its own.
 *
 * All functions: with fs->lock held.
 */
#ifndef HUSH_ITEM_H
#define HUSH_ITEM_H

#include "fs.h"

/* What an open may do with an item now. */
enum hush_gate {
    HUSH_GATE_FRESH, /* serve item->current */
    HUSH_GATE_STALE, /* serve item->current, though it is past its ttl: the backend cannot say more
                      */
    HUSH_GATE_ASK,   /* ask the backend first */
    HUSH_GATE_FAIL,  /* answer item->status */
};

/* The item of a shown path, made if need be; NULL: no memory. versioned counts only when it is
 * made. */
struct hush_item *hush_item_get(struct hush_fs *fs, const char *path, bool versioned);
struct hush_item *hush_item_find(struct hush_fs *fs, const char *path);
/* Free it if nothing needs it: no value, no waiter, no job, nothing to remember. */
void hush_item_put(struct hush_fs *fs, struct hush_item *item, uint64_t now_ns);

/* waited: the backend was asked just now, for this very caller; outcome is what came of it. */
enum hush_gate hush_item_gate(const struct hush_item *item, uint64_t now_ns, bool waited);

/*
 * A PENDING directory that is walked into without a fetch: each fetch makes a credential, and a
 * stat, an ls -l or a cd must make none. The gate is then what is in it, and its OPENDIR.
 */
bool hush_item_is_lazy(const struct hush_node *pending);
/* The VERSION that is seen through a node which is none (lazy, or see hush_both_is_spent()): the
 * first that came, since one open directory never shows two. NULL: none yet, or another one is
 * current by now. */
struct hush_node *hush_item_shown_by(struct hush_fs *fs, struct hush_node *pending);

/* Known not to exist, remembered until retry_ns. */
bool hush_item_absent(const struct hush_item *item, uint64_t now_ns);

/*
 * What a fetch came to. value is taken. Returns true if a new version is staged: show it with
 * hush_item_commit(), through the mover or at once. failed: the retry pause of a failure.
 */
bool hush_item_done(struct hush_fs *fs, struct hush_item *item, enum hush_status status,
                    struct hush_value *value, const struct hush_op *op, uint64_t now_ns);

/* How long to wait after so many failures in a row before one more, or as long as the backend says.
 */
uint32_t hush_item_pause_ms(const struct hush_fs *fs, uint32_t failures, const struct hush_op *op);

/* Where the bytes of an instance's names come from, as a number: its type and options. */
uint64_t hush_item_source_id(const struct hush_fs *fs, const struct hush_instance_config *config);

/* Show the staged version. */
void hush_item_commit(struct hush_fs *fs, struct hush_item *item);

/* The value is served no more (refused, gone, too old). Open descriptors keep what they have. */
void hush_item_drop(struct hush_fs *fs, struct hush_item *item);

/* s is superseded: free it unless it is alive. Safe to call for any snapshot. */
void hush_item_reap(struct hush_fs *fs, struct hush_snapshot *s);

/* Seconds that the kernel may keep the name of the current version without asking; 0: ask. */
double hush_item_kernel_s(const struct hush_item *item, uint64_t now_ns);

/* The backend's name and version of an item. False: not one that can be asked for. */
struct hush_ref_text {
    char path[HUSH_PATH_MAX + 1];
    struct hush_version version;
};
bool hush_item_ref(const struct hush_item *item, struct hush_ref_text *out);

/* What messages and the xattr call it: INSTANCE:RAW. */
void hush_item_source(const struct hush_item *item, char *out, size_t size);

#endif
