/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot.h - versions of secrets. A snapshot's record stands in the arena beside the values, so a
 * worker that takes over has every version that the kernel may still read, with the same node ids.
 *
 * All functions: with fs->lock held.
 */
#ifndef HUSH_SNAPSHOT_H
#define HUSH_SNAPSHOT_H

#include "fs.h"

enum hush_snapshot_state { HUSH_SNAPSHOT_STAGED = 1, HUSH_SNAPSHOT_CURRENT, HUSH_SNAPSHOT_OLD };

/* The fixed part; then, for each field, struct hush_snapshot_field; then the path, the version, the
 * lease and the fields' names, without NUL. Every worker may change the counts and times of a
 * published one: each is one store. */
struct hush_snapshot_record {
    uint64_t sequence;   /* a later version has a larger one */
    uint64_t fetched_ns; /* when the backend last said that this is the version */
    uint64_t limit_ns;   /* not served beyond: the backend's not_after; 0: none */
    uint64_t source;     /* item->source when it was fetched: where it came from */
    int64_t mtime_s;
    int64_t modified_s;
    uint64_t nlookup; /* of all its nodes */
    uint32_t nopen;
    uint32_t state;  /* enum hush_snapshot_state */
    uint32_t ttl_ms; /* the backend's own; 0: says nothing */
    uint32_t salt;   /* tells node ids apart where path and version are the same */
    hush_block secret;
    uint32_t field_count;
    uint32_t path_size;
    uint32_t version_size;
    uint32_t versioned; /* of the item */
    uint32_t directory; /* shown as one */
    uint32_t lease_size;
    uint32_t first_ttl_ms; /* of the lease when it was made; ttl_ms is what the last renewal gave */
    uint32_t dynamic;      /* see struct hush_meta */
    uint32_t renewable;
    uint32_t ending; /* its lease is renewed no more: another is fetched as soon as possible */
    uint32_t used;   /* somebody read it */
    /* What the backend calls these bytes now: a value that is written again unchanged stays the
     * same version here, with its node ids. */
    struct hush_version latest;
};

struct hush_snapshot_field {
    hush_block value;
    uint32_t name_size;
};

/*
 * A STAGED snapshot of item that takes what value owns (also on failure). NULL: no memory.
 * now_ns is when it was fetched.
 */
struct hush_snapshot *hush_snapshot_new(struct hush_fs *fs, struct hush_item *item,
                                        struct hush_value *value, uint64_t now_ns);

/* Wipe and forget; its nodes are gone. NULL ok. */
void hush_snapshot_free(struct hush_fs *fs, struct hush_snapshot *s);

/* May the kernel still ask for it? */
bool hush_snapshot_alive(const struct hush_snapshot *s);

/* The backend was asked again, and value says that s is still the version. Takes nothing of it. */
void hush_snapshot_confirm(struct hush_snapshot *s, const struct hush_value *value,
                           uint64_t now_ns);

/* Its lease was renewed: it lives for meta->ttl_ms from now on. */
void hush_snapshot_renewed(struct hush_snapshot *s, const struct hush_meta *meta, uint64_t now_ns);

/* Same bytes, same fields, same lease? */
bool hush_snapshot_same(const struct hush_snapshot *s, const struct hush_value *value);

/*
 * When its ttl or its life ends; until when it is fresh, which is not at all if its instance is
 * configured for another source now; until when it may be served stale (boottime).
 */
uint64_t hush_snapshot_ends(const struct hush_snapshot *s);
uint64_t hush_snapshot_fresh_until(const struct hush_snapshot *s);
uint64_t hush_snapshot_stale_until(const struct hush_snapshot *s);

/* The node of the whole (FILE or VERSION), and of one name in a VERSION; NULL: none. */
struct hush_node *hush_snapshot_top(struct hush_snapshot *s);
struct hush_node *hush_snapshot_child(struct hush_snapshot *s, const char *name);

/* The bytes of a FILE node; borrowed from its snapshot. */
struct hush_secret *hush_snapshot_bytes(const struct hush_node *node);

/* In a new worker: s has its item, its value and its record; make its nodes. False: no memory, or
 * an id is taken. */
bool hush_snapshot_nodes(struct hush_fs *fs, struct hush_snapshot *s);

/*
 * In a new worker: make the items, snapshots and nodes of every record in the arena again. Records
 * that do not make sense are wiped.
 */
void hush_snapshot_adopt_all(struct hush_fs *fs);

#endif
