/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys.h - the key of a sealed store: a JWK or JWK set in a file; or, with a passphrase, in the
 * store's .key.jwe, which the passphrase opens. Between calls its text is in locked memory; it is
 * read again whenever one of its files is another one, so that a new key is seen at once.
 */
#ifndef HUSH_SEALED_KEYS_H
#define HUSH_SEALED_KEYS_H

#include "jwe.h"
#include "sealed/disk.h"

#include <pthread.h>

#define SEALED_KEY_DEFAULT "/etc/hushfs/store.jwk"
#define SEALED_KEY_FILE    ".key.jwe" /* in a store with a passphrase */

/* Where a store and its key are; all borrowed. A name without '/' is that of a credential. */
struct sealed_source {
    const char *store;
    const char *key_file;        /* NULL: SEALED_KEY_DEFAULT, unless there is a passphrase */
    const char *passphrase_file; /* NULL: none */
    const char *credentials;     /* $CREDENTIALS_DIRECTORY; NULL: not set */
};

struct sealed_keys {
    const struct sealed_source *source;
    pthread_mutex_t lock; /* for all below */
    void *text;           /* locked; NULL: none yet */
    size_t room, size;
    struct sealed_stamp key, passphrase;
    unsigned serial; /* rises when they are read anew */
};

void hush_sealed_keys_init(struct sealed_keys *keys, const struct sealed_source *source);
void hush_sealed_keys_done(struct sealed_keys *keys);

/* The keys as they are now. *serial (NULL ok) tells whether they are others than before. *out is
 * owned: free it soon. HUSH_AUTH: missing, or the passphrase is wrong. HUSH_CONFIG: not a key. */
__attribute__((warn_unused_result)) enum hush_status hush_sealed_keys_get(struct hush_op *op,
                                                                          struct sealed_keys *keys,
                                                                          struct hush_jwk_set **out,
                                                                          unsigned *serial);

enum { SEALED_PASSPHRASE_MIN = 16 };

/* source's passphrase as a key, to seal something with. HUSH_CONFIG, whatever is wrong with its
 * file; one of less than least bytes, too. */
__attribute__((warn_unused_result)) enum hush_status
hush_sealed_passphrase(struct hush_op *op, const struct sealed_source *source, size_t least,
                       struct hush_jwk_set **out);

#endif
