/* SPDX-License-Identifier: Apache-2.0 */
/*
 * login.c - the login methods. Each is a row: where it is mounted, which options and files its
 * body is made of, what may be wrong when it is refused. token.c decides when a login is due.
 */
#include "credential.h"
#include "vault/token.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

enum { LOGIN_PARTS = 3, LOGIN_PATH_MAX = 2048 };

enum part_kind {
    PART_NONE,
    PART_TEXT,  /* the option's text, in the body */
    PART_USER,  /* the option's text, at the end of the path */
    PART_FILE,  /* the content of the file that the option names, in the body */
    PART_PROOF, /* the content too, but something else sends it: the token, a certificate */
};

struct login_part {
    enum part_kind kind;
    bool needed;
    const char *member; /* of the body */
    const char *option;
    size_t offset; /* of the option, a char * in struct vault */
};

struct login_method {
    size_t auth_path; /* offset of the option; 0: not a login, the token itself is given */
    struct login_part parts[LOGIN_PARTS];
    const char *hint; /* what may be wrong if it is refused */
};

/* clang-format off */
#define PART(kind, needed, member, option) \
    { PART_##kind, needed, member, #option, offsetof(struct vault, option) }

const char *const vault_auth_methods[] = {
    [VAULT_AUTH_TOKEN] = "token",
    [VAULT_AUTH_APPROLE] = "approle",
    [VAULT_AUTH_KUBERNETES] = "kubernetes",
    [VAULT_AUTH_JWT] = "jwt",
    [VAULT_AUTH_CERT] = "cert",
    [VAULT_AUTH_USERPASS] = "userpass",
    NULL,
};

static const struct login_method login_methods[VAULT_AUTH_COUNT] = {
    [VAULT_AUTH_TOKEN] = {
        0,
        {PART(PROOF, false, NULL, token_file)},
        "the token is unknown, expired, revoked or used up: give another one",
    },
    [VAULT_AUTH_APPROLE] = {
        offsetof(struct vault, approle_auth_path),
        {PART(TEXT, true, "role_id", approle_role_id),
         PART(FILE, true, "secret_id", approle_secret_id_file)},
        "role id or secret id are wrong, expired or used up, this address may not use them, or "
        "too many bad logins have locked the role for a while",
    },
    [VAULT_AUTH_KUBERNETES] = {
        offsetof(struct vault, kube_auth_path),
        {PART(TEXT, true, "role", kube_role),
         PART(FILE, true, "jwt", kube_api_token_file)},
        "the role does not exist, or does not allow this service account, namespace or audience; "
        "or the server cannot ask Kubernetes",
    },
    [VAULT_AUTH_JWT] = {
        offsetof(struct vault, jwt_auth_path),
        {PART(TEXT, false, "role", jwt_role),
         PART(FILE, true, "jwt", jwt_file)},
        "the role does not exist, or the JWT is expired or has another issuer, audience or subject",
    },
    [VAULT_AUTH_CERT] = {
        offsetof(struct vault, cert_auth_path),
        {PART(TEXT, false, "name", cert_auth_role_name),
         PART(PROOF, true, NULL, cert_auth_cert),
         PART(PROOF, false, NULL, cert_auth_cert_key)},
        "no role accepts the client certificate",
    },
    [VAULT_AUTH_USERPASS] = {
        offsetof(struct vault, userpass_auth_path),
        {PART(USER, true, NULL, userpass_username),
         PART(FILE, true, "password", userpass_password_file)},
        "user or password are wrong, or too many bad logins have locked the user for a while",
    },
};
/* clang-format on */

static const struct login_method *login_method(const struct vault *v)
{
    return &login_methods[v->auth_method < VAULT_AUTH_COUNT ? v->auth_method : VAULT_AUTH_TOKEN];
}

/* A string option of v, or NULL where it is unset. */
static const char *login_option(const struct vault *v, size_t offset)
{
    const char *text = *(char *const *)(const void *)((const char *)v + offset);

    return text == NULL || text[0] == '\0' ? NULL : text;
}

static const char *login_text(const struct vault *v, const struct login_part *part)
{
    return login_option(v, part->offset);
}

static bool login_is_file(const struct login_part *part)
{
    return part->kind == PART_FILE || part->kind == PART_PROOF;
}

enum hush_status vault_login_check(const struct vault *v, struct hush_op *op)
{
    const struct login_method *method = login_method(v);

    for (size_t i = 0; i < LOGIN_PARTS; i++) {
        const struct login_part *part = &method->parts[i];
        if (part->needed && login_text(v, part) == NULL)
            return hush_fail(op, HUSH_CONFIG, "auth_method = %s needs %s",
                             vault_auth_methods[v->auth_method], part->option);
    }
    return HUSH_OK;
}

bool vault_auth_path(const struct vault *v, char out[VAULT_AUTH_PATH_MAX])
{
    const char *path = login_option(v, login_method(v)->auth_path);
    int size;

    if (path == NULL)
        return false;
    path += strspn(path, "/");
    size = snprintf(out, VAULT_AUTH_PATH_MAX, "%s", path);
    while (size > 0 && size < VAULT_AUTH_PATH_MAX && out[size - 1] == '/')
        out[--size] = '\0';
    return size > 0 && size < VAULT_AUTH_PATH_MAX;
}

bool vault_is_token(const struct hush_secret *secret)
{
    const uint8_t *bytes = hush_secret_bytes(secret);

    for (size_t i = 0; i < hush_secret_size(secret); i++)
        if (bytes[i] <= ' ' || bytes[i] >= 0x7f)
            return false;
    return hush_secret_size(secret) > 0;
}

/* -- Digests ----------------------------------------------------------------------------------- */

/* Errors stick, as in struct hush_text. */
struct login_hash {
    EVP_MD_CTX *ctx; /* NULL: failed */
};

static void hash_add(struct login_hash *hash, const void *bytes, size_t size)
{
    if (hash->ctx == NULL || EVP_DigestUpdate(hash->ctx, &size, sizeof(size)) != 1 ||
        EVP_DigestUpdate(hash->ctx, bytes, size) != 1) {
        EVP_MD_CTX_free(hash->ctx);
        hash->ctx = NULL;
    }
}

static void hash_text(struct login_hash *hash, const char *text)
{
    hash_add(hash, text == NULL ? "" : text, text == NULL ? 0 : strlen(text));
}

static void hash_secret(struct login_hash *hash, const struct hush_secret *secret)
{
    hash_add(hash, secret == NULL ? (const uint8_t *)"" : hush_secret_bytes(secret),
             secret == NULL ? 0 : hush_secret_size(secret));
}

static void hash_begin(struct login_hash *hash)
{
    hash->ctx = EVP_MD_CTX_new();
    if (hash->ctx != NULL && EVP_DigestInit_ex(hash->ctx, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(hash->ctx);
        hash->ctx = NULL;
    }
}

static bool hash_end(struct login_hash *hash, uint8_t digest[32])
{
    const bool done = hash->ctx != NULL && EVP_DigestFinal_ex(hash->ctx, digest, NULL) == 1;

    EVP_MD_CTX_free(hash->ctx);
    return done;
}

bool vault_digest(const struct hush_secret *secret, uint8_t digest[32])
{
    struct login_hash hash;

    hash_begin(&hash);
    hash_secret(&hash, secret);
    return hash_end(&hash, digest);
}

/* What the options say, files by their names. */
static void hash_options(struct login_hash *hash, const struct vault *v)
{
    const struct login_method *method = login_method(v);

    hash_text(hash, v->base_url);
    hash_text(hash, v->namespace);
    hash_text(hash, vault_auth_methods[method - login_methods]);
    if (method->auth_path != 0)
        hash_text(hash, login_option(v, method->auth_path));
    for (size_t i = 0; i < LOGIN_PARTS && method->parts[i].kind != PART_NONE; i++)
        hash_text(hash, login_text(v, &method->parts[i]));
}

bool vault_login_identity(const struct vault *v, uint8_t digest[32])
{
    struct login_hash hash;

    hash_begin(&hash);
    hash_options(&hash, v);
    return hash_end(&hash, digest);
}

/* -- What a login is made of ------------------------------------------------------------------- */

void vault_attempt_clear(struct vault_attempt *attempt)
{
    for (size_t i = 0; i < VAULT_LOGIN_FILES; i++)
        attempt->files[i] = hush_secret_unref(attempt->files[i]);
}

/* Without token_file: as the command lines of OpenBao and Vault find their token. */
static enum hush_status login_find_token(struct vault *v, struct hush_op *op,
                                         struct hush_secret **out)
{
    static const char *const names[] = {"BAO_TOKEN", "VAULT_TOKEN"};
    const struct hush_environ *env = v->base.env;
    const char *home = env == NULL ? NULL : hush_environ_get(env, "HOME");
    char path[LOGIN_PATH_MAX], why[HUSH_DETAIL_MAX];
    enum hush_status status;

    for (size_t i = 0; env != NULL && i < sizeof(names) / sizeof(names[0]); i++) {
        const char *token = hush_environ_get(env, names[i]);
        if (token != NULL && token[0] != '\0')
            return hush_secret_new(op, token, strlen(token), out);
    }
    if (home == NULL || home[0] != '/' ||
        snprintf(path, sizeof(path), "%s/.vault-token", home) >= (int)sizeof(path))
        return hush_fail(op, HUSH_AUTH, "no token: set token_file, BAO_TOKEN or VAULT_TOKEN");
    status = hush_credential_read_own(&v->base, op, path, out);
    if (status == HUSH_OK)
        return status;
    (void)snprintf(why, sizeof(why), "%s", op->detail);
    return hush_fail(op, status, "no token: set token_file, BAO_TOKEN or VAULT_TOKEN; %s", why);
}

static enum hush_status login_read_token(struct vault *v, struct hush_op *op,
                                         struct vault_attempt *attempt)
{
    const char *file = login_text(v, &login_methods[VAULT_AUTH_TOKEN].parts[0]);
    const enum hush_status status =
        file == NULL ? login_find_token(v, op, &attempt->files[0])
                     : hush_credential_read(&v->base, op, file, &attempt->files[0]);

    if (status == HUSH_OK && !vault_is_token(attempt->files[0]))
        return hush_fail(op, HUSH_AUTH, "%s%s holds bytes that no token has: a blank, a line end?",
                         file == NULL ? "the token" : "token_file ", file == NULL ? "" : file);
    return status;
}

static enum hush_status login_read_files(struct vault *v, struct hush_op *op,
                                         struct vault_attempt *attempt)
{
    const struct login_method *method = login_method(v);
    size_t files = 0;

    for (size_t i = 0; i < LOGIN_PARTS; i++) {
        const struct login_part *part = &method->parts[i];
        const char *file = login_is_file(part) ? login_text(v, part) : NULL;
        enum hush_status status;

        if (file == NULL)
            continue;
        status = hush_credential_read(&v->base, op, file, &attempt->files[files++]);
        if (status != HUSH_OK)
            return status;
    }
    return HUSH_OK;
}

static bool login_digest(const struct vault *v, struct vault_attempt *attempt)
{
    struct login_hash hash;

    hash_begin(&hash);
    hash_options(&hash, v);
    for (size_t i = 0; i < VAULT_LOGIN_FILES; i++)
        hash_secret(&hash, attempt->files[i]);
    return hash_end(&hash, attempt->digest);
}

enum hush_status vault_login_read(struct vault *v, struct hush_op *op, struct vault_attempt *out)
{
    struct vault_attempt attempt = {0};
    enum hush_status status = login_method(v)->auth_path == 0 ? login_read_token(v, op, &attempt)
                                                              : login_read_files(v, op, &attempt);

    if (status == HUSH_OK && !login_digest(v, &attempt))
        status = hush_fail(op, HUSH_NO_MEMORY, "no memory for a digest");
    if (status != HUSH_OK) {
        vault_attempt_clear(&attempt);
        return status;
    }
    *out = attempt;
    return HUSH_OK;
}

/* -- Logins ------------------------------------------------------------------------------------ */

/* A token that is given needs no login; the server is asked how long it lives. */
static enum hush_status login_token(struct vault *v, struct hush_op *op,
                                    const struct vault_attempt *attempt, struct vault_login *out)
{
    const struct vault_request request = {
        .method = "GET", .path = "auth/token/lookup-self", .token = attempt->files[0]};
    struct hush_http_answer answer = {0};
    struct vault_login login = {0};
    enum hush_status status = vault_send(v, op, &request, &answer);

    if (status != HUSH_OK)
        return status;
    if (answer.code >= 200 && answer.code < 300)
        status = vault_login_lookup(op, &answer, &login);
    else if (answer.code != 403 || vault_is_bad_token(&answer))
        status = vault_login_status(op, &request, &answer, login_methods[VAULT_AUTH_TOKEN].hint);
    /* else its policies do not let it ask: it is good, and nobody knows for how long */
    hush_http_answer_clear(&answer);
    if (status != HUSH_OK)
        return status;
    login.token = hush_secret_ref(attempt->files[0]);
    *out = login;
    return HUSH_OK;
}

static enum hush_status login_path(const struct vault *v, struct hush_op *op,
                                   const struct login_method *method, char out[LOGIN_PATH_MAX])
{
    const struct login_part *first = &method->parts[0];
    char path[VAULT_AUTH_PATH_MAX], mount[LOGIN_PATH_MAX], user[LOGIN_PATH_MAX] = "";

    if (!vault_auth_path(v, path) || !hush_http_encode(path, true, mount, sizeof(mount)) ||
        (first->kind == PART_USER &&
         !hush_http_encode(login_text(v, first), false, user, sizeof(user))) ||
        snprintf(out, LOGIN_PATH_MAX, "auth/%s/login%s%s", mount, user[0] == '\0' ? "" : "/",
                 user) >= LOGIN_PATH_MAX)
        return hush_fail(op, HUSH_CONFIG, "%s_auth_path or the user name is empty or too long",
                         vault_auth_methods[v->auth_method]);
    return HUSH_OK;
}

static enum hush_status login_body(const struct vault *v, struct hush_op *op,
                                   const struct vault_attempt *attempt, char **body, size_t *size)
{
    const struct login_method *method = login_method(v);
    struct hush_jtree_row rows[LOGIN_PARTS + 1] = {0};
    size_t count = 0, files = 0;

    for (size_t i = 0; i < LOGIN_PARTS; i++) {
        const struct login_part *part = &method->parts[i];
        const bool is_file = login_is_file(part) && login_text(v, part) != NULL;
        const struct hush_secret *content = is_file ? attempt->files[files++] : NULL;

        if (part->kind == PART_TEXT)
            rows[count++] = (struct hush_jtree_row){part->member, login_text(v, part), NULL};
        else if (part->kind == PART_FILE)
            rows[count++] = (struct hush_jtree_row){part->member, NULL, content};
    }
    return hush_jtree_write(op, rows, body, size);
}

static enum hush_status login_post(struct vault *v, struct hush_op *op,
                                   const struct vault_attempt *attempt, struct vault_login *out)
{
    const struct login_method *method = login_method(v);
    char path[LOGIN_PATH_MAX];
    struct vault_request request = {.method = "POST", .path = path};
    struct hush_http_answer answer = {0};
    char *body = NULL;
    enum hush_status status = login_path(v, op, method, path);

    if (status == HUSH_OK)
        status = login_body(v, op, attempt, &body, &request.body_size);
    if (status != HUSH_OK)
        return status;
    request.body = body;
    status = vault_send(v, op, &request, &answer);
    hush_jtree_text_free(body);
    if (status != HUSH_OK)
        return status;
    if (answer.code >= 200 && answer.code < 300)
        status = vault_login_parse(op, &answer, out);
    else
        status = vault_login_status(op, &request, &answer, method->hint);
    hush_http_answer_clear(&answer);
    return status;
}

/* The wrapping token in the file's place is what the secret id is in. */
static enum hush_status login_wrapped(struct vault *v, struct hush_op *op,
                                      const struct vault_attempt *attempt, struct vault_login *out)
{
    struct vault_attempt unwrapped = {0};
    enum hush_status status = vault_unwrap(v, op, attempt->files[0], &unwrapped.files[0]);

    if (status == HUSH_OK)
        status = login_post(v, op, &unwrapped, out);
    vault_attempt_clear(&unwrapped);
    return status;
}

enum hush_status vault_login(struct vault *v, struct hush_op *op,
                             const struct vault_attempt *attempt, struct vault_login *out)
{
    if (login_method(v)->auth_path == 0)
        return login_token(v, op, attempt, out);
    if (v->auth_method == VAULT_AUTH_APPROLE && v->approle_response_wrapping)
        return login_wrapped(v, op, attempt, out);
    return login_post(v, op, attempt, out);
}
