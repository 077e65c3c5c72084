/* SPDX-License-Identifier: Apache-2.0 */
/* jwe_int.h - what jwe.c and jwk.c share. */
#ifndef HUSH_JWE_INT_H
#define HUSH_JWE_INT_H

#include "json_int.h"
#include "jwe.h"

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

#endif
