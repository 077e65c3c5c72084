/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.h - what a store holds: each secret's current version and the versions that are kept. The
 * one file of a store that is ever replaced; a version's file counts only if the index names it.
 *
 *     {"store": ID, "generation": 7, "keep": 10, "secrets": {
 *         "db/password": {"current": 3, "versions": [
 *             {"version": 3, "id": ID, "created": 1724800000, "size": 24},
 *             {"version": 2, "id": ID, "created": 1724700000, "removed": true}, …]}, …}}
 *
 * An ID is 128 random bits in hex. Versions come newest first. A removed secret's newest version
 * says so; one that was purged has a "current" and no versions, so that its numbers never come
 * again.
 */
#ifndef HUSH_SEALED_INDEX_H
#define HUSH_SEALED_INDEX_H

#include "core/text.h"
#include "provider.h"

enum {
    SEALED_ID_SIZE = 32,
    SEALED_KEEP_DEFAULT = 10,
    SEALED_KEEP_MAX = 1000,
    SEALED_INDEX_MAX = 64 << 20, /* bytes of its JSON */
};

struct sealed_version {
    uint64_t number, size; /* size: of the value, in bytes */
    time_t created;
    char id[SEALED_ID_SIZE + 1];
    bool removed; /* a tombstone */
};

struct sealed_secret {
    char *name; /* raw */
    uint64_t current;
    struct sealed_version *versions; /* newest first; none: purged */
    size_t count;
};

struct sealed_index {
    atomic_uint refs;
    char store[SEALED_ID_SIZE + 1];
    uint64_t generation; /* rises by one with each replacement */
    uint32_t keep;
    struct sealed_secret *secrets; /* sorted by name */
    size_t count;
};

/* An empty one with a new id. NULL: no memory, or no randomness. */
struct sealed_index *hush_sealed_index_new(uint32_t keep);
struct sealed_index *hush_sealed_index_ref(struct sealed_index *index); /* returns it */
struct sealed_index *
hush_sealed_index_unref(struct sealed_index *index); /* NULL ok; returns NULL */

/* From the JSON above, every rule of it checked. HUSH_PROTOCOL: it is none. */
__attribute__((warn_unused_result)) enum hush_status
hush_sealed_index_parse(struct hush_op *op, const char *text, size_t size,
                        struct sealed_index **out);
void hush_sealed_index_write(const struct sealed_index *index, struct hush_text *text);

/* NULL: there is none of that name. A purged one is found. */
struct sealed_secret *hush_sealed_index_find(const struct sealed_index *index, const char *name);
/* A secret that has a value now? (Neither removed nor purged.) */
bool hush_sealed_is_live(const struct sealed_secret *secret);
const struct sealed_version *hush_sealed_find_version(const struct sealed_secret *secret,
                                                      uint64_t number);

/*
 * Add a version (its number is set here, its id made), and the secret if it is new, and forget all
 * but the newest keep. *out stays valid until the next change. Only while nobody else has a
 * reference. False: no memory, or no randomness.
 */
bool hush_sealed_index_add(struct sealed_index *index, const char *name,
                           const struct sealed_version *version, uint32_t keep,
                           const struct sealed_version **out);
/* Forget one version. False: there is none of that number, or it is the current one. */
bool hush_sealed_index_drop(struct sealed_secret *secret, uint64_t number);
void hush_sealed_index_purge(struct sealed_secret *secret); /* forget all versions */

#endif
