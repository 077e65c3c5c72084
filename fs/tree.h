/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree.h - node ids, and the nodes of paths: directories and names that are not settled yet. A path
 * node's record in the arena lets the next worker know every directory that somebody holds open.
 *
 * All functions: with fs->lock held.
 */
#ifndef HUSH_TREE_H
#define HUSH_TREE_H

#include "fs.h"

enum { HUSH_INO_ROOT = 1, HUSH_INO_CONTROL = 2, HUSH_INO_FIRST = 1 << 20 };

/* What a node id is a hash of. */
struct hush_ino_key {
    enum hush_node_kind kind;
    const char *path;
    const char *name;    /* of a file in a VERSION; NULL: none */
    const char *version; /* NULL: none */
    uint32_t salt;
};
uint64_t hush_tree_ino(const struct hush_fs *fs, const struct hush_ino_key *key);

struct hush_node *hush_tree_find(struct hush_fs *fs, uint64_t ino); /* NULL: unknown */
void hush_tree_add(struct hush_fs *fs, struct hush_node *node);     /* ino must be free */
void hush_tree_remove(struct hush_fs *fs, struct hush_node *node);

/* The node of a path, made if need be. NULL: no memory. A GUESS that is asked for as a DIR becomes
 * one, with the same id. directory: for PENDING. */
struct hush_node *hush_tree_path_node(struct hush_fs *fs, struct hush_instance *instance,
                                      const char *path, enum hush_node_kind kind, bool directory);
struct hush_node *hush_tree_path_find(struct hush_fs *fs, const char *path,
                                      enum hush_node_kind kind, bool directory);

/* The kernel forgets n lookups of ino. */
void hush_tree_forget(struct hush_fs *fs, uint64_t ino, uint64_t n);
/* One more lookup of node was answered. */
void hush_tree_looked_up(struct hush_node *node);

/* The directory of the current version of the secret path; NULL: none. The node id that a folder of
 * that path has, whether or not there is such a node. */
struct hush_node *hush_tree_version(struct hush_fs *fs, const char *path);
uint64_t hush_tree_dir_ino(const struct hush_fs *fs, const char *path);
/* node, a DIR, stands for a name that is a secret, too; the next worker knows. */
void hush_tree_secret_too(struct hush_node *node);
/* Free a path node unless somebody needs it: the kernel, a listing under way. */
void hush_tree_put(struct hush_fs *fs, struct hush_node *node);

/* The published blocks of a type, for a new worker; freed with free(); NULL: no memory. */
hush_block *hush_tree_blocks(struct hush_fs *fs, enum hush_block_type type, size_t *count);

/* In a new worker: the path nodes of every record in the arena, and the listings. */
void hush_tree_adopt_all(struct hush_fs *fs);

/* -- Listings ---------------------------------------------------------------------------------- */

/* What a directory contains, sorted by name; shared by opens. */
struct hush_listing {
    unsigned refs;
    uint64_t generation;
    size_t count;
    struct hush_listed {
        char *name; /* as shown */
        unsigned kinds;
    } * entries;
};

struct hush_listing *hush_listing_ref(struct hush_listing *l);
void hush_listing_unref(struct hush_listing *l); /* NULL ok */

/* Add a raw name while it is being made; names that cannot be shown are left out. */
bool hush_listing_add(struct hush_listing *l, const char *raw, unsigned kinds);
/* Sort it and join what was emitted twice. */
void hush_listing_finish(struct hush_listing *l);
/* The kinds of a shown name; 0: not listed. l may be NULL. */
unsigned hush_listing_kinds(const struct hush_listing *l, const char *name);
bool hush_listing_same(const struct hush_listing *a, const struct hush_listing *b);

/* Make l (owned from now on) what dir contains. */
void hush_tree_listed(struct hush_fs *fs, struct hush_node *dir, struct hush_listing *l,
                      uint64_t now_ns);

#endif
