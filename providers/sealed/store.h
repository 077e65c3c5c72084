/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.h - writing a sealed store: what `hushfs store` does. The layout and what it proves:
 * reader.h.
 *
 * One writer at a time: an open store holds a lock (flock(2) on .lock) that goes with the process.
 *
 *     stage    each new version is written to its pending file (.4.jwe), and is on the disk
 *     commit   the index that names them replaces the old one, in one rename: this is the moment
 *     finish   pending files get their names (4.jwe), versions beyond `keep` are removed, and the
 *              index's copy is replaced
 *
 * A writer that dies before the commit leaves the old state, and files that nothing names; after
 * it, the new state, which readers see whole, and the next writer of the same secret finishes. A
 * file with a final name was named by an index once: that is how an older index is recognised.
 *
 * After a failure the store in memory is of no more use: close it. One thread.
 */
#ifndef HUSH_SEALED_STORE_H
#define HUSH_SEALED_STORE_H

#include "sealed/reader.h"

struct sealed_store;

/* -- Making one (create.c) --------------------------------------------------------------------- */

struct sealed_create {
    uint32_t keep;
    bool use_key; /* the key is there, and to be used; else it must not be there */
    uid_t owner;  /* of all that is made; (uid_t)-1: as it comes */
    gid_t group;
};

/*
 * Make the store's directory (0700) and key (0400), or .key.jwe with a passphrase. Refuses whatever
 * is there already, but an empty directory.
 */
__attribute__((warn_unused_result)) enum hush_status
hush_sealed_create(struct hush_op *op, const struct sealed_source *source,
                   const struct sealed_create *how);

/* -- Changing it ------------------------------------------------------------------------------- */

/* source's strings are borrowed. Waits for another writer as long as op allows. */
__attribute__((warn_unused_result)) enum hush_status
hush_sealed_store_open(struct hush_op *op, const struct sealed_source *source,
                       struct sealed_store **out);
void hush_sealed_store_close(struct sealed_store *store); /* NULL ok */

const struct sealed_index *hush_sealed_store_index(const struct sealed_store *store);

/* How many versions to keep, from now on. */
void hush_sealed_store_keep(struct sealed_store *store, uint32_t keep);

/* A new version. It is in the index in memory at once. */
__attribute__((warn_unused_result)) enum hush_status
hush_sealed_store_stage(struct sealed_store *store, struct hush_op *op, const char *name,
                        const uint8_t *bytes, size_t size);

/* A tombstone: the secret is gone, its earlier versions are still there by number. */
__attribute__((warn_unused_result)) enum hush_status
hush_sealed_store_stage_removal(struct sealed_store *store, struct hush_op *op, const char *name);

/* Make what was staged the state of the store. */
__attribute__((warn_unused_result)) enum hush_status
hush_sealed_store_commit(struct sealed_store *store, struct hush_op *op);

/* The current value, proved. HUSH_NOT_FOUND: it has none. */
__attribute__((warn_unused_result)) enum hush_status
hush_sealed_store_get(const struct sealed_store *store, struct hush_op *op, const char *name,
                      struct hush_secret **out);

/* Remove one version that is not the current one. Nothing else may be staged. */
__attribute__((warn_unused_result)) enum hush_status
hush_sealed_store_drop(struct sealed_store *store, struct hush_op *op, const char *name,
                       uint64_t number);

/* All versions of a secret, and its directory. Nothing else may be staged. */
__attribute__((warn_unused_result)) enum hush_status
hush_sealed_store_purge(struct sealed_store *store, struct hush_op *op, const char *name);

/* -- Another key (rekey.c) --------------------------------------------------------------------- */

struct sealed_rekey {
    const char *passphrase_file; /* the new passphrase, for a store with one; NULL: the same */
    void (*progress)(void *ctx, size_t done, size_t all); /* NULL: none */
    void *ctx;
};

/*
 * Seal everything anew, with a new key.
 *
 *   1. the key file becomes a JWK set of the new key and the old one
 *   2. each file is replaced by one under the new key
 *   3. the key file becomes the new key alone
 *
 * Each step is one rename, so whenever it is interrupted, the key file opens every file; called
 * again it goes on (*resumed) with the same new key. Before the first step the passphrases are read
 * and every file is opened: a passphrase that is refused, or a file that is damaged, ends it there.
 */
__attribute__((warn_unused_result)) enum hush_status
hush_sealed_rekey(struct sealed_store *store, struct hush_op *op, const struct sealed_rekey *how,
                  bool *resumed);

#endif
