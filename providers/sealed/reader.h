/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader.h - reading a sealed store: what the provider and `hushfs store get|ls` do, and where the
 * layout and its proofs are explained.
 *
 *     STORE/.index.jwe         what is there, see index.h; its copy is .index.copy.jwe
 *     STORE/db/password/3.jwe  version 3 of the secret db/password: a JWE (jwe.h)
 *     STORE/db/password/.4.jwe a version that no index names yet, or only just
 *     STORE/.key.jwe           the key, for a store with a passphrase
 *     STORE/.lock              held by a writer
 *
 * Every file is a JWE under the store's key (`jose jwe dec -i FILE -k KEY`). The protected header
 * of a version says {"hushfs": {"name", "version", "id", "created"}}; that is the member's whole
 * meaning, so it is not in "crit": any JOSE tool may open the file. A value is served only if
 * the index, itself proved, names this version with this id.
 *
 * So refused is a file that was
 *   - damaged, cut, or made under another key;
 *   - renamed, or put in the place of another secret or version, whatever its age: an older
 *     encryption of the same version has another id, unless its value was the same;
 *   - removed;
 * and an index that was
 *   - put back from an earlier time, while a version newer than it knows is still there: for that
 *     secret, by everybody; for all secrets, by whoever has seen a later one since he started.
 *
 * Not seen can be that a whole store was put back as it was earlier, or an index together with the
 * removal of all that came later: nothing outside of the store remembers. Keep the store where only
 * its writers may write.
 *
 * An index that is damaged or missing is replaced by its copy, of which the same holds.
 *
 * A reader takes no lock. It sees the state before or after a commit (store.h): the index is
 * replaced in one rename, and versions are there before it names them.
 */
#ifndef HUSH_SEALED_READER_H
#define HUSH_SEALED_READER_H

#include "sealed/index.h"
#include "sealed/keys.h"

#define SEALED_INDEX_FILE ".index.jwe"
#define SEALED_COPY_FILE  ".index.copy.jwe"

enum { SEALED_PATH_MAX = 3 * 2048 + 32 };

struct sealed_reader {
    struct sealed_source source;
    struct sealed_keys keys;
    pthread_mutex_t lock; /* for all below */
    struct sealed_index *index;
    bool from_copy, racy;
    struct sealed_stamp stamp, copy_stamp; /* of both files when it was read */
};

/* source's strings are borrowed. */
void hush_sealed_reader_init(struct sealed_reader *reader, const struct sealed_source *source);
void hush_sealed_reader_done(struct sealed_reader *reader);

/* The index as it is now. *out has one reference of the caller's. */
__attribute__((warn_unused_result)) enum hush_status
hush_sealed_reader_index(struct sealed_reader *reader, struct hush_op *op,
                         struct sealed_index **out);

/* What hush_sealed_reader_get() gives. */
struct sealed_value {
    struct sealed_version version;
    struct hush_secret *secret; /* NULL if unchanged */
    bool unchanged;
};

/*
 * A secret: version number, or 0 for the current one. if_not: give no value if that is still the
 * version; 0: always.
 */
__attribute__((warn_unused_result)) enum hush_status
hush_sealed_reader_get(struct sealed_reader *reader, struct hush_op *op, const char *name,
                       uint64_t number, uint64_t if_not, struct sealed_value *out);

/* -- For store.c, too -------------------------------------------------------------------------- */

/* A store that is being looked at; all borrowed. */
struct sealed_access {
    int dir_fd;
    const struct hush_jwk_set *keys;
};

/* The index, or its copy if it is damaged. file: the one that it is from; owned. */
__attribute__((warn_unused_result)) enum hush_status
hush_sealed_load_index(struct hush_op *op, const struct sealed_access *at,
                       struct sealed_index **out, struct sealed_file *file);

/* One version's value, proved against its entry in the index (an id of "": any id). which (NULL
 * ok): the key that opened it. HUSH_PROTOCOL: it is not what the index means. */
__attribute__((warn_unused_result)) enum hush_status
hush_sealed_load_version(struct hush_op *op, const struct sealed_access *at, const char *name,
                         const struct sealed_version *version, struct hush_secret **out,
                         size_t *which);

/* HUSH_PROTOCOL: there is a proved version newer than the current one, so the index is an old one.
 */
__attribute__((warn_unused_result)) enum hush_status
hush_sealed_check_newer(struct hush_op *op, const struct sealed_access *at,
                        const struct sealed_secret *secret);

/* "db/password/3.jwe", pending: "db/password/.3.jwe". out has SEALED_PATH_MAX bytes. */
void hush_sealed_version_path(const char *name, uint64_t number, bool pending, char *out);

#endif
