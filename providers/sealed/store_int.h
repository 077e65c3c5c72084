/* SPDX-License-Identifier: Apache-2.0 */
/* store_int.h - what store.c, create.c and rekey.c share. */
#ifndef HUSH_SEALED_STORE_INT_H
#define HUSH_SEALED_STORE_INT_H

#include "sealed/store.h"

#define SEALED_LOCK_FILE ".lock"
#define SEALED_TEMPORARY ".tmp" /* one is enough: there is one writer */

struct sealed_staged {
    char *name;
    uint64_t number;
};

struct sealed_store {
    struct sealed_source source;
    int dir_fd, lock_fd;
    struct stat dir; /* owner and mode of what is made */
    struct hush_jwk_set *keys;
    struct sealed_index *index;
    uint32_t keep;
    struct sealed_staged *staged; /* not committed yet */
    size_t staged_count;
};

/*
 * Replace the index on the disk by the one in memory, under keys; *replaced: the new one is there,
 * even if what follows failed. Then its copy: where that fails the old copy goes away, and strict
 * says that this is a failure.
 */
__attribute__((warn_unused_result)) enum hush_status
hush_sealed_write_index(struct sealed_store *store, struct hush_op *op, bool strict,
                        bool *replaced);

/* Seal one version, or its tombstone (size 0), in the file path. */
__attribute__((warn_unused_result)) enum hush_status
hush_sealed_write_version(const struct sealed_store *store, struct hush_op *op, const char *name,
                          const struct sealed_version *version, const uint8_t *bytes,
                          const char *path);

/* Remove the files of versions that the index has not, but none newer than it knows (see reader.h
 * on an index that was put back), unless the secret was purged. */
void hush_sealed_prune(const struct sealed_store *store, const char *name);

/* -- The key on the disk (create.c) ------------------------------------------------------------ */

/* keys in .key.jwe, sealed with passphrase. */
__attribute__((warn_unused_result)) enum hush_status
hush_sealed_write_wrapped(const struct sealed_store *store, struct hush_op *op,
                          const struct hush_jwk_set *keys, const struct hush_jwk_set *passphrase);

/*
 * keys in the file path, with mode 0400. like: the file that is replaced, whose owner and mode
 * stay; NULL: there must be none, and owner and group are these ((uid_t)-1: ours).
 */
__attribute__((warn_unused_result)) enum hush_status
hush_sealed_write_key(struct hush_op *op, const char *path, const struct hush_jwk_set *keys,
                      const struct stat *like);

#endif
