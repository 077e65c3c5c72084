/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wrap.c - a secret id that came response-wrapped: the file holds a wrapping token, which can be
 * unwrapped once, by us or by a thief. So it is looked up first (that costs nothing), unwrapped
 * once, and what came out is in the stash before anybody uses it: a worker that takes over, and
 * each later login, finds it there. login.c calls it.
 */
#include "vault/token.h"

#include <stdio.h>
#include <string.h>

enum {
    UNWRAP_MS = 10 * 1000,
    WRAP_NAME_BYTES = 8, /* of the digest, in the stash's names */
};

/* Names in the stash, both of one wrapping token. */
struct wrap_names {
    char secret_id[HUSH_STASH_NAME_MAX + 1];
    char sent[HUSH_STASH_NAME_MAX + 1]; /* there while nobody knows how an unwrapping ended */
    bool was_sent;                      /* and was there before this attempt */
};

static struct wrap_names wrap_names(struct vault *v, const uint8_t digest[32])
{
    char hex[2 * WRAP_NAME_BYTES + 1];
    struct wrap_names names;
    struct hush_secret *sent;

    for (size_t i = 0; i < WRAP_NAME_BYTES; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    (void)snprintf(names.secret_id, sizeof(names.secret_id), "secret-id-%s", hex);
    (void)snprintf(names.sent, sizeof(names.sent), "unwrap-%s", hex);
    sent = hush_stash_get(&v->base, names.sent);
    names.was_sent = sent != NULL;
    hush_secret_unref(sent);
    return names;
}

/* -- Looking at the wrapping token ------------------------------------------------------------- */

/* The token is of no use any more. */
static enum hush_status wrap_gone(struct vault *v, struct hush_op *op,
                                  const struct wrap_names *names)
{
    if (names->was_sent)
        return hush_fail(op, HUSH_AUTH,
                         "the wrapping token in %s is used up: an unwrapping of ours got no "
                         "answer, and was probably the one: put a new one there",
                         v->approle_secret_id_file);
    return hush_fail(op, HUSH_AUTH,
                     "the wrapping token in %s is expired, or SOMEBODY ELSE HAS UNWRAPPED IT: find "
                     "out who, and put a new one there",
                     v->approle_secret_id_file);
}

/* auth/MOUNT/role/ROLE/secret-id: what was wrapped is a secret id of our mount. */
static bool wrap_is_ours(const struct vault *v, const char *path)
{
    char mount[VAULT_AUTH_PATH_MAX], start[VAULT_AUTH_PATH_MAX + 16];
    size_t size;

    if (!vault_auth_path(v, mount))
        return false;
    (void)snprintf(start, sizeof(start), "auth/%s/role/", mount); /* fits */
    size = strlen(start);
    if (strncmp(path, start, size) != 0)
        return false;
    path += size;
    size = strcspn(path, "/");
    return size > 0 && strcmp(path + size, "/secret-id") == 0;
}

static enum hush_status wrap_check_path(struct vault *v, struct hush_op *op,
                                        const struct hush_http_answer *answer)
{
    struct hush_jtree *tree = NULL;
    const char *path;
    enum hush_status status = hush_jtree_parse(op, answer->body, answer->size, &tree);

    if (status != HUSH_OK)
        return status;
    path = hush_jtree_string(hush_jtree_member(hush_jtree_member(tree, "data"), "creation_path"));
    if (path == NULL)
        status = hush_fail(op, HUSH_PROTOCOL, "no data.creation_path in the answer of lookup");
    else if (!wrap_is_ours(v, path))
        status = hush_fail(op, HUSH_AUTH,
                           "SOMEBODY ELSE WRAPPED what is in %s: it was made at '%s', not by a "
                           "role's secret-id of this mount: not unwrapped",
                           v->approle_secret_id_file, path);
    hush_jtree_free(tree);
    return status;
}

static bool wrap_is_gone(const struct hush_http_answer *answer)
{
    return answer->code == 400 || answer->code == 403 || answer->code == 404;
}

static enum hush_status wrap_lookup(struct vault *v, struct hush_op *op,
                                    const struct wrap_names *names, const struct hush_secret *token)
{
    const struct hush_jtree_row rows[] = {{"token", NULL, token}, {NULL, NULL, NULL}};
    struct vault_request request = {.method = "POST", .path = "sys/wrapping/lookup"};
    struct hush_http_answer answer = {0};
    char *body = NULL;
    enum hush_status status = hush_jtree_write(op, rows, &body, &request.body_size);

    if (status != HUSH_OK)
        return status;
    request.body = body;
    status = vault_send(v, op, &request, &answer);
    hush_jtree_text_free(body);
    if (status != HUSH_OK)
        return status;
    if (answer.code == 200)
        status = wrap_check_path(v, op, &answer);
    else if (wrap_is_gone(&answer))
        status = wrap_gone(v, op, names);
    else
        status = vault_login_status(op, &request, &answer, "the wrapping token is not accepted");
    hush_http_answer_clear(&answer);
    return status;
}

/* -- Unwrapping -------------------------------------------------------------------------------- */

static enum hush_status wrap_parse(struct hush_op *op, const struct hush_http_answer *answer,
                                   struct hush_secret **out)
{
    struct hush_jtree *tree = NULL;
    const struct hush_jtree *secret_id;
    enum hush_status status = hush_jtree_parse(op, answer->body, answer->size, &tree);

    if (status != HUSH_OK)
        return status;
    secret_id = hush_jtree_member(hush_jtree_member(tree, "data"), "secret_id");
    if (hush_jtree_string(secret_id) == NULL)
        status = hush_fail(op, HUSH_PROTOCOL, "no data.secret_id in what was unwrapped");
    else
        status = hush_jtree_secret(op, secret_id, out);
    hush_jtree_free(tree);
    return status;
}

/*
 * Remember that it was asked for, ask, remember what came. The reader for whom it is done may go
 * away or run out of time, and what the server gives it gives once: so the request has an op of its
 * own, which nobody cancels.
 */
static enum hush_status wrap_send(struct vault *v, struct hush_op *op,
                                  const struct wrap_names *names, const struct hush_secret *token,
                                  struct hush_secret **out)
{
    const struct vault_request request = {
        .method = "POST", .path = "sys/wrapping/unwrap", .token = token};
    struct hush_http_answer answer = {0};
    enum hush_status status = vault_send(v, op, &request, &answer);

    if (status != HUSH_OK) {
        char why[HUSH_DETAIL_MAX];
        (void)snprintf(why, sizeof(why), "%s", op->detail);
        return hush_fail(op, status,
                         "unwrapping got no answer, the wrapping token may be used "
                         "up by it: %s",
                         why);
    }
    if (answer.code == 200)
        status = wrap_parse(op, &answer, out);
    else if (wrap_is_gone(&answer))
        status = wrap_gone(v, op, names);
    else
        status = vault_login_status(op, &request, &answer, "the wrapping token is not accepted");
    hush_http_answer_clear(&answer);
    return status;
}

static enum hush_status wrap_mark(struct vault *v, struct hush_op *op,
                                  const struct wrap_names *names)
{
    struct hush_secret *mark = NULL;
    enum hush_status status = hush_secret_new(op, "", 0, &mark);

    if (status == HUSH_OK)
        status = hush_stash_put(&v->base, op, names->sent, mark);
    hush_secret_unref(mark);
    return status;
}

static enum hush_status wrap_unwrap(struct vault *v, struct hush_op *op,
                                    const struct wrap_names *names, const struct hush_secret *token,
                                    struct hush_secret **out)
{
    struct hush_op own;
    enum hush_status status = wrap_mark(v, op, names);

    if (status != HUSH_OK)
        return status;
    hush_op_init(&own, op->arena, UNWRAP_MS);
    status = wrap_send(v, &own, names, token, out);
    if (status == HUSH_AUTH && !names->was_sent) /* a clear answer, and nothing came of it */
        (void)hush_stash_put(&v->base, &own, names->sent, NULL);
    if (status != HUSH_OK) {
        op->retry_after_ms = own.retry_after_ms;
        return hush_fail(op, status, "%s", own.detail);
    }
    /* Without room there it lives in this process's memory alone. */
    if (hush_stash_put(&v->base, &own, names->secret_id, *out) == HUSH_OK)
        (void)hush_stash_put(&v->base, &own, names->sent, NULL);
    return HUSH_OK;
}

/* Forget what an earlier wrapping token held, and hold secret_id from now on. */
static void wrap_hold(struct vault *v, struct hush_op *op, const uint8_t digest[32],
                      struct hush_secret *secret_id)
{
    struct vault_token *t = &v->token;

    if (t->secret_id != NULL) {
        const struct wrap_names names = wrap_names(v, t->secret_id_of);
        (void)hush_stash_put(&v->base, op, names.secret_id, NULL);
        (void)hush_stash_put(&v->base, op, names.sent, NULL);
        hush_secret_unref(t->secret_id);
    }
    t->secret_id = hush_secret_ref(secret_id);
    memcpy(t->secret_id_of, digest, sizeof(t->secret_id_of));
}

enum hush_status vault_unwrap(struct vault *v, struct hush_op *op, const struct hush_secret *token,
                              struct hush_secret **out)
{
    struct vault_token *t = &v->token;
    struct hush_secret *secret_id;
    struct wrap_names names;
    uint8_t digest[32];
    enum hush_status status = HUSH_OK;

    if (!vault_is_token(token))
        return hush_fail(op, HUSH_AUTH, "%s holds bytes that no wrapping token has",
                         v->approle_secret_id_file);
    if (!vault_digest(token, digest))
        return hush_fail(op, HUSH_NO_MEMORY, "no memory for a digest");
    if (t->secret_id != NULL && memcmp(t->secret_id_of, digest, sizeof(digest)) == 0) {
        *out = hush_secret_ref(t->secret_id);
        return HUSH_OK;
    }
    names = wrap_names(v, digest);
    secret_id = hush_stash_get(&v->base, names.secret_id);
    if (secret_id == NULL)
        status = wrap_lookup(v, op, &names, token);
    if (secret_id == NULL && status == HUSH_OK)
        status = wrap_unwrap(v, op, &names, token, &secret_id);
    if (status != HUSH_OK)
        return status;
    wrap_hold(v, op, digest, secret_id);
    *out = secret_id;
    return HUSH_OK;
}
