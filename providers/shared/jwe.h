/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jwe.h - JSON Web Encryption (RFC 7516) by libjose, and nothing that this project would have
 * invented: whatever hush_jwe_seal() makes, `jose jwe dec -i FILE -k KEY` opens.
 *
 *     enc   A256GCM
 *     alg   A256KW   the JWK has 256 bits and says so, or says nothing
 *           dir      the JWK says A256GCM: the key itself encrypts
 *           PBES2-HS512+A256KW (PBES2-HS256+A128KW is read, too)    the key is a passphrase
 *
 * Written is the compact serialization, with everything in the protected header; read is the
 * flattened JSON serialization as well. All else is refused: other algorithms, compression, several
 * recipients, members and critical headers that we do not know.
 *
 * Memory: keys and plaintext are only in memory that is wiped as it is released, for the length of
 * a call or as long as the caller keeps a key set; plaintext goes straight from and to the
 * caller's. hush_json_init() and hush_wipe_openssl_init() must have been called.
 *
 * Threads: any; a key set may be used by several.
 */
#ifndef HUSH_JWE_H
#define HUSH_JWE_H

#include "core/text.h"
#include "jtree.h"
#include "provider.h"

/* -- Keys (jwk.c) ------------------------------------------------------------------------------ */

/* One or more keys: the first one seals, any of them opens. */
struct hush_jwk_set;

/* A JWK or a JWK set (RFC 7517) of symmetric keys. HUSH_CONFIG: it is not one, and why. */
__attribute__((warn_unused_result)) enum hush_status
hush_jwk_parse(struct hush_op *op, const char *text, size_t size, struct hush_jwk_set **out);

/* A passphrase as the only key. */
__attribute__((warn_unused_result)) enum hush_status
hush_jwk_from_passphrase(struct hush_op *op, const char *bytes, size_t size,
                         struct hush_jwk_set **out);

/* A new random key, for A256KW, with an id. */
__attribute__((warn_unused_result)) enum hush_status hush_jwk_generate(struct hush_op *op,
                                                                       struct hush_jwk_set **out);

/* first's first key and, after it, all of rest (NULL ok). The key itself is shared, not copied. */
__attribute__((warn_unused_result)) enum hush_status hush_jwk_join(struct hush_op *op,
                                                                   const struct hush_jwk_set *first,
                                                                   const struct hush_jwk_set *rest,
                                                                   struct hush_jwk_set **out);

size_t hush_jwk_count(const struct hush_jwk_set *keys);
void hush_jwk_free(struct hush_jwk_set *keys); /* NULL ok */

/* As text: one key as a JWK, more as a set. Failure sticks in text, see text.h. */
void hush_jwk_write(const struct hush_jwk_set *keys, struct hush_text *text);

/* -- Messages ---------------------------------------------------------------------------------- */

struct hush_jwe;

/*
 * Take a message apart. bytes are borrowed until hush_jwe_free(). HUSH_PROTOCOL: it is no JWE that
 * we read. Nothing of it is proved before hush_jwe_open() said HUSH_OK.
 */
__attribute__((warn_unused_result)) enum hush_status
hush_jwe_parse(struct hush_op *op, const char *bytes, size_t size, struct hush_jwe **out);
void hush_jwe_free(struct hush_jwe *jwe); /* NULL ok */

size_t hush_jwe_size(const struct hush_jwe *jwe);                     /* of the plaintext */
const struct hush_jtree *hush_jwe_header(const struct hush_jwe *jwe); /* the protected one */

/*
 * Decrypt into to, which has hush_jwe_size() bytes and is wiped on failure. which (NULL ok): the
 * key that opened it. HUSH_AUTH: none of the keys does (or its encrypted key is damaged).
 * HUSH_PROTOCOL: damaged.
 */
__attribute__((warn_unused_result)) enum hush_status hush_jwe_open(struct hush_op *op,
                                                                   const struct hush_jwe *jwe,
                                                                   const struct hush_jwk_set *keys,
                                                                   uint8_t *to, size_t *which);

/*
 * Encrypt size bytes with the first key, and append the message to out. header: a JSON object whose
 * members go to the protected header as they are; NULL: none.
 */
__attribute__((warn_unused_result)) enum hush_status
hush_jwe_seal(struct hush_op *op, const struct hush_jwk_set *keys, const char *header,
              const uint8_t *bytes, size_t size, struct hush_text *out);

#endif
