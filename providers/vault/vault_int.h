/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vault_int.h - what the files of the Vault and OpenBao provider share.
 *
 *     advise.c    what `hushfs check` says of options that have no effect
 *     options.c   the option table, and the environment (BAO_*, VAULT_*) where an option is unset
 *     request.c   one request: URL, namespace, token, one re-login, what an answer means
 *     path.c      the paths below /v1/ that names become
 *     answer.c    what the bodies of answers hold (answer.h); certificate.c: those of PKI and SSH
 *     kv.c        KV v1 and v2: read, list, versions
 *     engine.c    the other engines: which path a name is; lease.c: renew and revoke
 *     vault.c     the provider: open, close, and which of the two answers
 *     token.c     the token of an instance: login when needed, the stash
 *     renew.c     it is renewed, or replaced, ahead of its end: watch(); and given back
 *     login.c     the login methods, one row of a table each; login_answer.c: what is answered
 *     wrap.c      a response-wrapped secret id: looked up, unwrapped once, kept
 *     token.h     what these share
 *
 * Threads: any, but where it says otherwise. What changes after open() stands in struct vault_token
 * (its own mutex) or is atomic.
 */
#ifndef HUSH_VAULT_INT_H
#define HUSH_VAULT_INT_H

#include "http.h"
#include "jtree.h"
#include "provider.h"

#include <pthread.h>
#include <stdatomic.h>

enum vault_protocol { VAULT_HTTP, VAULT_HTTPS };
/* By the index that the option auth_method has in vault_auth_methods. */
enum vault_auth {
    VAULT_AUTH_TOKEN,
    VAULT_AUTH_APPROLE,
    VAULT_AUTH_KUBERNETES,
    VAULT_AUTH_JWT,
    VAULT_AUTH_CERT,
    VAULT_AUTH_USERPASS,
    VAULT_AUTH_COUNT,
};
enum vault_kv { VAULT_KV_AUTO, VAULT_KV_1, VAULT_KV_2 };

/* token.c's: everything that changes while the instance is open. */
struct vault_token {
    pthread_mutex_t lock;        /* held for no request */
    pthread_cond_t changed;      /* a flight ended, or the token went; monotonic clock */
    bool busy;                   /* a flight, one login or renewal at a time, is under way */
    uint32_t flights;            /* how many have ended, … */
    enum hush_status outcome;    /* … how the last one did, … */
    uint32_t retry_after_ms;     /* … when to ask again … */
    char why[HUSH_DETAIL_MAX];   /* … and why it failed */
    struct hush_secret *secret;  /* NULL: none yet */
    uint32_t generation;         /* of the login: larger with each; 0: none yet */
    uint64_t login_ns;           /* boottime, as all here; 0: not by this process */
    uint64_t fetched_ns, end_ns; /* of the login or the last renewal; end 0: it does not end */
    uint64_t hard_end_ns;        /* explicit_max_ttl: no renewal goes beyond; 0: none, or unknown */
    uint32_t lease_s;            /* the longest that it was given: less is a sign of its end */
    bool renewable;
    bool limited;           /* num_uses: nothing is spent on renewals */
    uint8_t made_of[32];    /* digest of what the login was made of */
    uint32_t rejections;    /* tokens in a row that the server soon did not know any more */
    uint64_t refused_ns;    /* a login was refused then, and is not tried again … */
    uint8_t refused_of[32]; /* … before a minute passed or what it was made of changed (digest) */
    char refused_why[HUSH_DETAIL_MAX];
    /* wrap.c's, for whoever has the flight: what the last wrapping token held. */
    struct hush_secret *secret_id; /* NULL: nothing */
    uint8_t secret_id_of[32];      /* digest of that wrapping token */
};

struct vault {
    struct hush_provider base;

    /* Options; options.c says what each is. */
    char *url, *host, *mount, *namespace, *ca_file, *ca_path, *tls_server_name;
    uint32_t protocol, port, kv, engine, auth_method;
    bool ssl_verify, revoke;
    char *token_file;
    char *approle_auth_path, *approle_role_id, *approle_secret_id_file;
    bool approle_response_wrapping;
    char *kube_auth_path, *kube_role, *kube_api_token_file;
    char *jwt_auth_path, *jwt_role, *jwt_file;
    char *cert_auth_path, *cert_auth_role_name, *cert_auth_cert, *cert_auth_cert_key;
    char *userpass_auth_path, *userpass_username, *userpass_password_file;

    /* Set by open(), fixed from then on. */
    char *base_url;             /* "https://vault.example:8200", no trailing '/'; owned */
    char *cert_path, *key_path; /* our own certificate and its key, NULL: none; owned */
    struct hush_http *http;

    struct vault_token token;
    atomic_uint kv_found; /* enum vault_kv, once KV_AUTO has looked */
};

/* -- options.c --------------------------------------------------------------------------------- */

extern const struct hush_option vault_options[];

/*
 * Fill in what is unset from the environment, check what belongs together, set base_url, cert_path
 * and key_path, which vault_options_release() frees.
 */
enum hush_status vault_options_settle(struct vault *v, struct hush_op *op);
/* What of this is certain without an environment; for the slot check. */
enum hush_status vault_options_check(struct vault *v, struct hush_op *op);
void vault_options_release(struct vault *v);

/* advise.c: the slot of that name. */
void vault_advise(struct hush_provider *self, hush_advice_fn *tell, void *ctx);

/* -- path.c ------------------------------------------------------------------------------------ */

enum { VAULT_MOUNT_MAX = 512, VAULT_PATH_SIZE = 3 * (HUSH_PATH_MAX + 2 * VAULT_MOUNT_MAX) };

/* Why the server cannot have this name, as "a name that …"; NULL: it can. */
const char *vault_name_fault(const char *name);

/*
 * The parts (raw, ending with NULL; "" is left out) joined and encoded. HUSH_NOT_FOUND: the server
 * would clean or refuse one of them, so nothing has such a name.
 */
enum hush_status vault_path(struct hush_op *op, const char *const parts[],
                            char out[VAULT_PATH_SIZE]);

/* -- request.c --------------------------------------------------------------------------------- */

struct vault_request {
    const char *method;
    const char *path; /* below /v1/, encoded; with its query, if any */
    const void *body; /* JSON, borrowed, NULL: none */
    size_t body_size;
    const struct hush_secret *token; /* vault_send() only; NULL: none */
    bool no_namespace;               /* sys/health, which refuses it */
    bool wants_404;                  /* vault_call(): 404 is the caller's to judge, so HUSH_OK */
    size_t answer_max;               /* bytes; 0: HUSH_HTTP_BODY_MAX */
};

/* One request as it is, without a login of its own. HUSH_OK: an answer of any code. */
enum hush_status vault_send(struct vault *v, struct hush_op *op,
                            const struct vault_request *request, struct hush_http_answer *out);

/*
 * One request under the instance's token; a token that the server no longer knows is replaced by
 * one re-login, without a word to the reader. HUSH_OK: 2xx. Errors: as vault_status() maps them.
 * generation (may be NULL): the login that it was made under, for leases.
 */
enum hush_status vault_call(struct vault *v, struct hush_op *op,
                            const struct vault_request *request, struct hush_http_answer *out,
                            uint32_t *generation);

/* The outcome that an answer of 300 and above means, with the detail in op: our own words for what
 * the server's "errors" say, never its text. */
enum hush_status vault_status(struct hush_op *op, const struct vault_request *request,
                              const struct hush_http_answer *answer);

/* 403 because the token is missing, unknown, expired or revoked (a policy's refusal reads
 * differently). */
bool vault_is_bad_token(const struct hush_http_answer *answer);

/* -- kv.c and engine.c: the slots of struct hush_provider_ops, for one kind of mount each -------
 */

struct vault_engine {
    const char *name; /* engine = NAME */
    unsigned flags;   /* enum hush_provider_flags of such an instance */
    enum hush_status (*fetch)(struct vault *v, struct hush_op *op, const struct hush_ref *ref,
                              const struct hush_version *if_not, struct hush_value *out);
    enum hush_status (*list)(struct vault *v, struct hush_op *op, const char *prefix,
                             hush_emit_fn *emit, void *ctx); /* NULL: cannot */
    enum hush_status (*versions)(struct vault *v, struct hush_op *op, const char *path,
                                 hush_emit_fn *emit, void *ctx); /* NULL: cannot */
};

/* By the index that the option engine has; [0] is KV. */
const struct vault_engine *vault_engine(const struct vault *v);
extern const char *const vault_engine_names[]; /* the choices of the option */
extern const struct vault_engine vault_engine_kv;

/* All that is listed below parts, a path of the mount's. top_exists: if the server knows nothing
 * there, that is an empty listing. */
enum hush_status vault_list(struct vault *v, struct hush_op *op, const char *const parts[],
                            bool top_exists, hush_emit_fn *emit, void *ctx);

/* lease.c: the slots of the same names. */
enum hush_status vault_renew(struct hush_provider *self, struct hush_op *op, const char *lease,
                             struct hush_meta *meta);
enum hush_status vault_revoke(struct hush_provider *self, struct hush_op *op, const char *lease);

/* -- token.c ----------------------------------------------------------------------------------- */

/* Takes the last worker's token over, if the stash has one of the same configuration. For open(),
 * after vault_options_settle(). */
enum hush_status vault_token_init(struct vault *v, struct hush_op *op);
void vault_token_done(struct vault *v); /* wipes; the stash keeps what the next worker needs */

/*
 * A reference to the token to use now and the generation of its login, logging in if there is none
 * or it has ended; waits for a login that is under way. HUSH_AUTH: refused (and not asked again for
 * a minute, or until the credential changed); else why there is none.
 */
enum hush_status vault_token_get(struct vault *v, struct hush_op *op, struct hush_secret **token,
                                 uint32_t *generation);

/* The server does not know the token of generation any more: the next vault_token_get() logs in,
 * unless somebody did already. */
void vault_token_refused(struct vault *v, uint32_t generation);

/* The generation of the current login, and seconds that the token has left (UINT32_MAX: it does not
 * end), for leases, which end with it. 0: no login. */
uint32_t vault_token_left(struct vault *v, uint32_t *left_s);

/* The slot watch: renews the token ahead of its end for as long as the instance lives, and tells of
 * a new login as "everything changed" where values depend on it (dynamic engines). */
enum hush_status vault_token_watch(struct vault *v, struct hush_op *op, hush_changed_fn *changed,
                                   void *ctx);

/* The token of a login is given back; a token that was given to us is not ours to revoke. Gone is
 * gone. HUSH_UNSUPPORTED: there is none, or one that the server cannot revoke (a batch token). */
enum hush_status vault_token_revoke(struct vault *v, struct hush_op *op);

/* -- login.c; what it and wrap.c give to token.c is in login.h ------------------------------ */

extern const char *const vault_auth_methods[]; /* the choices of auth_method */

/* HUSH_CONFIG: auth_method lacks an option. For vault_options_settle(). */
enum hush_status vault_login_check(const struct vault *v, struct hush_op *op);

#endif
