/* SPDX-License-Identifier: Apache-2.0 */
/*
 * login_answer.c - what the answers to logins, renewals and lookups of a token say. login.c and
 * renew.c send the requests.
 */
#include "core/clock.h"
#include "vault/token.h"

#include <string.h>

enum hush_status vault_login_status(struct hush_op *op, const struct vault_request *request,
                                    const struct hush_http_answer *answer, const char *hint)
{
    const enum hush_status status = vault_status(op, request, answer);

    switch (status) {
    case HUSH_CONFIG:
    case HUSH_THROTTLED:
    case HUSH_UNAVAILABLE:
    case HUSH_TIMEOUT:
        return status;
    default:
        break;
    }
    if (answer->code < 400 || answer->code >= 500) /* a secret is neither absent nor refused */
        return status == HUSH_PROTOCOL ? status : HUSH_BACKEND;
    if (answer->code == 404) /* namespace or mount: vault_status() has told */
        return HUSH_AUTH;
    return hush_fail(op, HUSH_AUTH, "%s: refused (%d): %s", request->path, answer->code, hint);
}

static uint32_t login_u32(const struct hush_jtree *node, const char *name)
{
    uint64_t number;

    if (!hush_jtree_number(hush_jtree_member(node, name), &number))
        return 0;
    return number < UINT32_MAX ? (uint32_t)number : UINT32_MAX - 1;
}

static bool login_is_batch(const struct hush_jtree *node, const char *name)
{
    const char *type = hush_jtree_string(hush_jtree_member(node, name));

    return type != NULL && strcmp(type, "batch") == 0;
}

/* -1, where a number should be: this was the last use. */
static bool login_is_used_up(const struct hush_jtree *node)
{
    const struct hush_jtree *uses = hush_jtree_member(node, "num_uses");
    uint64_t number;

    return uses != NULL && !hush_jtree_number(uses, &number);
}

enum hush_status vault_login_numbers(struct hush_op *op, const struct hush_jtree *auth,
                                     struct vault_login *out)
{
    uint64_t lease_s;

    if (!hush_jtree_number(hush_jtree_member(auth, "lease_duration"), &lease_s))
        return hush_fail(op, HUSH_PROTOCOL, "no auth.lease_duration in the answer to a login");
    out->lease_s = login_u32(auth, "lease_duration");
    out->renewable = hush_jtree_is_true(hush_jtree_member(auth, "renewable")) &&
                     !login_is_batch(auth, "token_type");
    out->limited = login_u32(auth, "num_uses") > 0;
    return HUSH_OK;
}

enum hush_status vault_login_parse(struct hush_op *op, const struct hush_http_answer *answer,
                                   struct vault_login *out)
{
    struct hush_jtree *tree = NULL;
    struct vault_login login = {0};
    const struct hush_jtree *auth, *token;
    enum hush_status status = hush_jtree_parse(op, answer->body, answer->size, &tree);

    if (status != HUSH_OK)
        return status;
    auth = hush_jtree_member(tree, "auth");
    token = hush_jtree_member(auth, "client_token");
    status = vault_login_numbers(op, auth, &login);
    if (status == HUSH_OK && hush_jtree_string(token) == NULL)
        status = hush_fail(op, HUSH_PROTOCOL, "no auth.client_token in the answer to a login");
    else if (status == HUSH_OK && hush_jtree_string(token)[0] == '\0')
        status = hush_fail(op, HUSH_AUTH, "the login wants a second factor, which there is not");
    if (status == HUSH_OK)
        status = hush_jtree_secret(op, token, &login.token);
    if (status == HUSH_OK && !vault_is_token(login.token)) {
        hush_secret_unref(login.token);
        status = hush_fail(op, HUSH_PROTOCOL, "auth.client_token holds bytes that no token has");
    }
    hush_jtree_free(tree);
    if (status == HUSH_OK)
        *out = login;
    return status;
}

/* What is left to explicit_max_ttl. The server's ttl corrects a clock that differs from ours. */
static uint32_t login_hard_s(const struct hush_jtree *data, uint32_t ttl_s)
{
    const uint64_t most_s = login_u32(data, "explicit_max_ttl");
    const uint64_t now_s = (uint64_t)hush_wall_s();
    uint64_t made_s, left_s;

    if (most_s == 0 || !hush_jtree_number(hush_jtree_member(data, "creation_time"), &made_s))
        return 0;
    left_s = made_s + most_s > now_s ? made_s + most_s - now_s : 0;
    if (left_s > most_s)
        left_s = most_s;
    return left_s > ttl_s ? (uint32_t)left_s : ttl_s;
}

enum hush_status vault_login_lookup(struct hush_op *op, const struct hush_http_answer *answer,
                                    struct vault_login *out)
{
    struct hush_jtree *tree = NULL;
    const struct hush_jtree *data;
    enum hush_status status = hush_jtree_parse(op, answer->body, answer->size, &tree);

    if (status != HUSH_OK)
        return status;
    data = hush_jtree_member(tree, "data");
    if (hush_jtree_count(data) == 0)
        status = hush_fail(op, HUSH_PROTOCOL, "no \"data\" in the answer of lookup-self");
    else if (login_is_used_up(data) ||
             (login_u32(data, "ttl") == 0 &&
              hush_jtree_string(hush_jtree_member(data, "expire_time")) != NULL))
        status = hush_fail(op, HUSH_AUTH, "the token is expired or used up: give another one");
    if (status == HUSH_OK) {
        out->lease_s = login_u32(data, "ttl");
        out->hard_s = login_hard_s(data, out->lease_s);
        out->limited = login_u32(data, "num_uses") > 0;
        out->renewable = hush_jtree_is_true(hush_jtree_member(data, "renewable")) &&
                         !login_is_batch(data, "type");
    }
    hush_jtree_free(tree);
    return status;
}
