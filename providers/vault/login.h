/* SPDX-License-Identifier: Apache-2.0 */
/*
 * login.h - one login of a Vault instance, for token.c: what it is made of (login.c), and a secret
 * id that came wrapped (wrap.c). Only for whoever has the flight (vault_token.busy), so that one
 * runs at a time.
 */
#ifndef HUSH_VAULT_LOGIN_H
#define HUSH_VAULT_LOGIN_H

#include "vault_int.h"

/* A digest of what makes a login this one: server, namespace, method, role, files' names. */
bool vault_login_identity(const struct vault *v, uint8_t digest[32]);

enum { VAULT_LOGIN_FILES = 2 };

/* One login before it is made: its credential files as they are now. */
struct vault_attempt {
    struct hush_secret *files[VAULT_LOGIN_FILES]; /* owned, by the order of the method's rows */
    uint8_t digest[32];                           /* of all that it will be made of */
};
enum hush_status vault_login_read(struct vault *v, struct hush_op *op, struct vault_attempt *out);
void vault_attempt_clear(struct vault_attempt *attempt);

struct vault_login {
    struct hush_secret *token;
    uint32_t lease_s; /* 0: it does not end, or nobody knows */
    uint32_t hard_s;  /* what is left to explicit_max_ttl; 0: none, or unknown */
    bool renewable;
    bool limited; /* it can be used so many times only */
};

/*
 * One login by the instance's method. HUSH_AUTH: the server refuses; detail says which method and
 * what to do. Only for whoever has the flight.
 */
enum hush_status vault_login(struct vault *v, struct hush_op *op,
                             const struct vault_attempt *attempt, struct vault_login *out);

/* The secret id that a wrapping token holds: unwrapped now, or from memory or the stash if that
 * was done before. Only for whoever has the flight. */
enum hush_status vault_unwrap(struct vault *v, struct hush_op *op, const struct hush_secret *token,
                              struct hush_secret **out);

/* What an answer that is no 2xx means for a login, with hint as what to do about a refusal: 4xx is
 * HUSH_AUTH, never "not found"; anything else as vault_status() says. */
enum hush_status vault_login_status(struct hush_op *op, const struct vault_request *request,
                                    const struct hush_http_answer *answer, const char *hint);

bool vault_digest(const struct hush_secret *secret, uint8_t digest[32]);

#endif
