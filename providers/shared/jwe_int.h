/* SPDX-License-Identifier: Apache-2.0 */
/* jwe_int.h - what jwe.c, jwe_seal.c and jwk.c share. */
#ifndef HUSH_JWE_INT_H
#define HUSH_JWE_INT_H

#include "json_int.h"
#include "jwe.h"

#include <jose/jwe.h>

enum {
    JWE_KEY_SIZE = 32,
    JWE_PBES2_ROUNDS = 32768, /* the most that libjose reads */
    JWE_PBES2_ROUNDS_MIN = 1000,
};

struct hush_jwk_set {
    json_t *keys; /* an array of objects; or of one string, the passphrase */
};

/* The algorithm that key seals with; a constant. */
const char *hush_jwk_alg(const json_t *key);

enum hush_status hush_jwe_no_memory(struct hush_op *op);
bool hush_jwe_is_pbes2(const char *alg);

/* libjose's configuration, silent. NULL: no memory. Released at the end of the scope. */
jose_cfg_t *hush_jwe_cfg(void);
void hush_jwe_cfg_done(jose_cfg_t **cfg);
#define hush_jwe_cfg_auto __attribute__((cleanup(hush_jwe_cfg_done))) jose_cfg_t

/* For streams on the stack. */
bool hush_jwe_io_done(jose_io_t *io);
void hush_jwe_io_free(jose_io_t *io);

#endif
