/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token.h - what token.c, renew.c, login.c and wrap.c share: flights, of which one runs at a time
 * (vault_token.busy), and what a login is made of. All but the flights' own functions are only for
 * whoever has the flight.
 */
#ifndef HUSH_VAULT_TOKEN_H
#define HUSH_VAULT_TOKEN_H

#include "vault/vault_int.h"

enum {
    VAULT_SLEEP_MS = 15 * 1000, /* at most at a time: a suspended machine's sleep is not counted */
    VAULT_REFUSED_MS = 60 * 1000, /* how long a refused login is not tried again */
    VAULT_CORRECTED_MS =
        1000, /* how soon its credential is looked at again, which may have been corrected */
    VAULT_AUTH_PATH_MAX = 512,
};

/* -- login.c ----------------------------------------------------------------------------------- */

/* A digest of what makes a login this one: server, namespace, method, role, files' names. */
bool vault_login_identity(const struct vault *v, uint8_t digest[32]);

enum { VAULT_LOGIN_FILES = 2 };

/* One login before it is made: its credential files as they are now. */
struct vault_attempt {
    struct hush_secret *files[VAULT_LOGIN_FILES]; /* owned, in the order of the method's parts */
    uint8_t digest[32];                           /* of all that it will be made of */
};

/* HUSH_AUTH: a file is missing or empty. */
enum hush_status vault_login_read(struct vault *v, struct hush_op *op, struct vault_attempt *out);
void vault_attempt_clear(struct vault_attempt *attempt);

struct vault_login {
    struct hush_secret *token;
    uint32_t lease_s; /* 0: it does not end, or nobody knows */
    uint32_t hard_s;  /* what is left to explicit_max_ttl; 0: none, or unknown */
    bool renewable;
    bool limited; /* it can be used so many times only */
};

/* One login by the instance's method. HUSH_AUTH: the server refuses; detail says what, and what to
 * do. */
enum hush_status vault_login(struct vault *v, struct hush_op *op,
                             const struct vault_attempt *attempt, struct vault_login *out);

/* The path below auth/ of the instance's method, without '/' around it. False: too long. */
bool vault_auth_path(const struct vault *v, char out[VAULT_AUTH_PATH_MAX]);

/* Printable, without blanks: fit for a header. */
bool vault_is_token(const struct hush_secret *secret);

bool vault_digest(const struct hush_secret *secret, uint8_t digest[32]);

/* -- login_answer.c ---------------------------------------------------------------------------- */

/* lease_duration and renewable of an answer to a login or a renewal, which has an object "auth". */
enum hush_status vault_login_numbers(struct hush_op *op, const struct hush_jtree *auth,
                                     struct vault_login *out);

/* The answer to a login. */
enum hush_status vault_login_parse(struct hush_op *op, const struct hush_http_answer *answer,
                                   struct vault_login *out);

/* The answer of lookup-self; sets all but the token. HUSH_AUTH: it was the last use. */
enum hush_status vault_login_lookup(struct hush_op *op, const struct hush_http_answer *answer,
                                    struct vault_login *out);

/*
 * What an answer that is no 2xx means for a login: as vault_status() says where that is an outage
 * or the configuration; else 4xx is HUSH_AUTH, and hint says what to do. Never "not found" or
 * "denied", which is about secrets.
 */
enum hush_status vault_login_status(struct hush_op *op, const struct vault_request *request,
                                    const struct hush_http_answer *answer, const char *hint);

/* -- wrap.c ------------------------------------------------------------------------------------ */

/* The secret id that a wrapping token holds: unwrapped now, or from memory or the stash if that was
 * done before. */
enum hush_status vault_unwrap(struct vault *v, struct hush_op *op, const struct hush_secret *token,
                              struct hush_secret **out);

/* -- token.c, for renew.c; all with vault_token.lock held ---------------------------------------
 */

/*
 * Log in, with the lock given back meanwhile; nobody else may be in flight. ahead: no reader waits,
 * so what was refused is not tried again before it changed. *renewed: there is another token, or
 * another life of the same one; not so where a given token lives still.
 */
enum hush_status vault_token_login(struct vault *v, struct hush_op *op, bool ahead, bool *renewed);

/* A flight of another kind: begin, then end with how it went. */
void vault_flight_begin(struct vault_token *t);
void vault_flight_end(struct vault_token *t, const struct hush_op *op, enum hush_status status);

/* How long it lives, counted from since_ns. */
void vault_token_live(struct vault_token *t, const struct vault_login *login, uint64_t since_ns);

void vault_token_save(struct vault *v, struct hush_op *op); /* as it is now, for the next worker */
bool vault_token_usable(const struct vault_token *t);
void vault_token_drop(struct vault *v); /* the server does not know it any more */

/* Until then (of hush_now_ns()), or something changed, or the op of a waker that was begun is
 * canceled; may return early. */
void vault_token_pause(struct vault_token *t, uint64_t until_ns);

/* Without the lock: so that a cancel of op is seen by who pauses. The waker is the caller's. */
struct vault_waker {
    struct hush_waker base, *before;
    struct vault_token *token;
    struct hush_op *op;
};
void vault_waker_begin(struct vault_waker *waker, struct vault_token *t, struct hush_op *op);
void vault_waker_end(struct vault_waker *waker);

#endif
