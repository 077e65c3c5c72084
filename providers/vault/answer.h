/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer.h - what the bodies of answers hold, for kv.c, engine.c and lease.c. Nothing here asks the
 * server: bytes in, values out. All fail with HUSH_PROTOCOL if the body is not what it should be.
 */
#ifndef HUSH_VAULT_ANSWER_H
#define HUSH_VAULT_ANSWER_H

#include "vault_int.h"

/* The body as JSON, and its "data", which must be an object. *root is the caller's. */
enum hush_status vault_data(struct hush_op *op, const struct hush_http_answer *answer,
                            struct hush_jtree **root, const struct hush_jtree **data);

/* A secret of KV v1, and of v2: the fields, the whole, and what is said about them. */
enum hush_status vault_kv1_value(struct hush_op *op, const struct hush_http_answer *answer,
                                 struct hush_value *out);
enum hush_status vault_kv2_value(struct hush_op *op, const struct hush_http_answer *answer,
                                 struct hush_value *out);

/* Why KV answered 404 for path: HUSH_NOT_FOUND, with a detail that tells deleted, destroyed and
 * never there apart. */
enum hush_status vault_kv_gone(struct hush_op *op, const struct hush_http_answer *answer,
                               const char *path);

/* KV v1 was asked, but v2 answered. */
bool vault_kv_is_other(const struct hush_http_answer *answer);

/* The numbers of the versions that can be read, newest first, of metadata/NAME. */
enum hush_status vault_kv2_versions(struct hush_op *op, const struct hush_http_answer *answer,
                                    hush_emit_fn *emit, void *ctx);

/* The entries of a listing; names that nothing could be asked for are left out. */
enum hush_status vault_keys(struct hush_op *op, const struct hush_http_answer *answer,
                            hush_emit_fn *emit, void *ctx);

/* Which KV is at mount, of sys/internal/ui/mounts/MOUNT. HUSH_CONFIG: none; see detail. */
enum hush_status vault_mount_kv(struct hush_op *op, const struct hush_http_answer *answer,
                                const char *mount, enum vault_kv *out);

/* An answer's lease. */
struct vault_lease {
    const char *id; /* of the tree; "": none */
    uint32_t duration_s;
    bool renewable;
};
void vault_lease_read(const struct hush_jtree *root, struct vault_lease *out);

/* Seconds as milliseconds; what does not fit becomes the most that does. */
uint32_t vault_ms(uint64_t seconds);

/* -- certificate.c ----------------------------------------------------------------------------- */

/*
 * value holds the fields of pki/issue: PEM ends with a newline, ca_chain becomes PEM, fullchain and
 * bundle are added, not_after is set. data: where they came from.
 */
enum hush_status vault_pki_value(struct hush_op *op, const struct hush_jtree *data,
                                 struct hush_value *value);

/* When an OpenSSH certificate ("ssh-ed25519-cert-v01@openssh.com AAAA…") ends; false: it is none,
 * or it never ends. */
bool vault_ssh_end(const char *text, time_t *out);

#endif
