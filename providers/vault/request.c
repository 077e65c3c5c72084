/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request.c - one request to the server, and what its answer means. The server says with one code
 * several things that the core must tell apart (403: the token, or the policy; 429: a limit, or a
 * standby), so the texts of its errors are looked at, but never shown: they hold names of users,
 * hosts and roles that a reader has no business with.
 */
#include "core/cleanup.h"
#include "vault_int.h"

#include <stdio.h>
#include <string.h>

enum { CALL_ATTEMPTS = 2 };

/* -- Sending ----------------------------------------------------------------------------------- */

enum hush_status vault_send(struct vault *v, struct hush_op *op,
                            const struct vault_request *request, struct hush_http_answer *out)
{
    struct hush_http_header headers[4] = {{.name = "X-Vault-Request", .value = "true"}};
    cleanup_free char *url = NULL;
    size_t count = 1;

    if (asprintf(&url, "%s/v1/%s", v->base_url, request->path) < 0) {
        url = NULL;
        return hush_fail(op, HUSH_NO_MEMORY, "no memory for a URL");
    }
    if (v->namespace != NULL && !request->no_namespace)
        headers[count++] =
            (struct hush_http_header){.name = "X-Vault-Namespace", .value = v->namespace};
    if (request->token != NULL)
        headers[count++] =
            (struct hush_http_header){.name = "X-Vault-Token", .secret = request->token};
    return hush_http_call(v->http, op,
                          &(struct hush_http_request){
                              .method = request->method,
                              .url = url,
                              .headers = headers,
                              .body = request->body,
                              .body_size = request->body_size,
                              .answer_max = request->answer_max,
                          },
                          out);
}

static bool call_is_done(const struct vault_request *request, const struct hush_http_answer *answer)
{
    return answer->code / 100 == 2 || (answer->code == 404 && request->wants_404);
}

enum hush_status vault_call(struct vault *v, struct hush_op *op,
                            const struct vault_request *request, struct hush_http_answer *out,
                            uint32_t *generation)
{
    struct hush_http_answer answer = {0};

    for (int attempt = 1;; attempt++) {
        struct vault_request now = *request;
        struct hush_secret *token = NULL;
        uint32_t made_under = 0;
        enum hush_status status = vault_token_get(v, op, &token, &made_under);

        if (status != HUSH_OK)
            return status;
        now.token = token;
        status = vault_send(v, op, &now, &answer);
        hush_secret_unref(token);
        if (status != HUSH_OK)
            return status;
        if (call_is_done(request, &answer)) {
            *out = answer;
            if (generation != NULL)
                *generation = made_under;
            return HUSH_OK;
        }
        if (attempt == CALL_ATTEMPTS || !vault_is_bad_token(&answer))
            break;
        vault_token_refused(v, made_under);
        hush_http_answer_clear(&answer);
    }
    const enum hush_status status = vault_status(op, request, &answer);
    hush_http_answer_clear(&answer);
    return status;
}

/* -- What an answer means ---------------------------------------------------------------------- */

static bool error_is_bad_token(const char *text)
{
    /* OpenBao says only the first; Vault adds why: "2 errors occurred: … invalid token". */
    return text != NULL &&
           (strcmp(text, "permission denied") == 0 || strstr(text, "invalid token") != NULL ||
            strstr(text, "missing client token") != NULL);
}

bool vault_is_bad_token(const struct hush_http_answer *answer)
{
    struct hush_jtree *root = NULL;
    const struct hush_jtree *errors;
    struct hush_op op;
    bool bad = false;

    if (answer->code != 403)
        return false;
    hush_op_init(&op, NULL, 0);
    if (hush_jtree_parse(&op, answer->body, answer->size, &root) != HUSH_OK)
        return false;
    errors = hush_jtree_member(root, "errors");
    for (size_t i = 0; !bad && i < hush_jtree_count(errors); i++)
        bad = error_is_bad_token(hush_jtree_string(hush_jtree_element(errors, i)));
    hush_jtree_free(root);
    return bad;
}

struct status_row {
    int code;         /* 0: any */
    const char *text; /* what the body holds; NULL: whatever it is */
    enum hush_status status;
    const char *detail; /* followed by the code and the path */
};

/* The first that fits. */
/* clang-format off */
static const struct status_row status_rows[] = {
    {301, NULL, HUSH_PROTOCOL,    "the server redirects: name the place it redirects to in url"},
    {302, NULL, HUSH_PROTOCOL,    "the server redirects: name the place it redirects to in url"},
    {307, NULL, HUSH_UNAVAILABLE, "a standby that redirects to the active node: name that one in url, or what leads to it"},
    {308, NULL, HUSH_UNAVAILABLE, "a standby that redirects to the active node: name that one in url, or what leads to it"},

    {400, "HTTP request to an HTTPS", HUSH_CONFIG,  "the server speaks TLS: make the URL https"},
    {400, "from non-versioned", HUSH_UNAVAILABLE,   "the server is still upgrading the mount to KV v2"},
    {400, "lease not found", HUSH_NOT_FOUND,        "the server has no such lease any more"},
    {400, "invalid lease", HUSH_NOT_FOUND,          "the server has no such lease any more"},
    {400, "past the max TTL", HUSH_NOT_FOUND,       "the lease has reached its max_ttl"},
    {400, "lease expired", HUSH_NOT_FOUND,          "the lease has expired"},
    {400, "lease is not renewable", HUSH_NOT_FOUND, "the lease cannot be renewed"},
    {400, "batch tokens", HUSH_UNSUPPORTED,         "the server cannot revoke such a token"},
    {400, "unknown role", HUSH_NOT_FOUND,           "the engine has no such role"},
    {400, "unknown key", HUSH_NOT_FOUND,            "the engine has no such key"},
    {400, "could not be found", HUSH_NOT_FOUND,     "the engine has no such role"},
    {400, "not allowed", HUSH_DENIED,               "the role does not allow what is asked of it (see param.* of the path rules)"},
    {400, "missing client token", HUSH_DENIED,      "the server saw no token"},
    {400, NULL, HUSH_BACKEND, "the server calls the request wrong (are param.* and engine right?)"},

    {403, "invalid token", HUSH_DENIED,        "the server does not know our token, not even a new one"},
    {403, "permission denied\\n", HUSH_DENIED, "no policy of our token allows it"},
    {403, "preflight", HUSH_DENIED,            "no policy of our token allows anything there, or nothing is mounted there"},
    {403, "bad token", HUSH_DENIED,            "the server does not know the token"},
    {403, "[\"permission denied\"]", HUSH_DENIED, "the server does not know our token, not even a new one"},
    {403, NULL, HUSH_DENIED,                   "the server refuses it"},

    {404, "no handler for route", HUSH_NOT_FOUND, "nothing is mounted there (see mount and namespace)"},
    {404, "namespace not found", HUSH_NOT_FOUND,  "the server has no such namespace"},
    {404, "unsupported path", HUSH_NOT_FOUND,     "the engine has no such path (is engine right?)"},
    {404, "for a versioned K/V", HUSH_CONFIG,     "the mount is KV v2: set kv = v2"},
    {404, NULL, HUSH_NOT_FOUND,                   "the server has nothing there, or hides it from our token"},

    {405, NULL, HUSH_UNSUPPORTED, "the engine cannot do that (is engine right?)"},
    {408, NULL, HUSH_TIMEOUT,     "the server gave up waiting for the request"},
    {412, NULL, HUSH_THROTTLED,   "a standby has not caught up yet"},
    {413, NULL, HUSH_CONFIG,      "the server calls the request too large"},
    {429, "quota exceeded", HUSH_THROTTLED, "a rate limit of the server's is exceeded"},
    {429, NULL, HUSH_THROTTLED,   "the server asks to wait"},
    {472, NULL, HUSH_UNAVAILABLE, "a standby of another cluster: name the active one in url"},
    {473, NULL, HUSH_UNAVAILABLE, "a standby: name the active node in url"},

    {500, "could not find version data", HUSH_NOT_FOUND, "the server has no such secret"},
    {500, "failed to connect", HUSH_BACKEND,  "the engine does not reach its own backend (see the server's log)"},
    {500, "connection refused", HUSH_BACKEND, "the engine does not reach its own backend (see the server's log)"},
    {500, NULL, HUSH_BACKEND,     "the server failed (see its log)"},
    {501, NULL, HUSH_UNAVAILABLE, "the server is not initialized"},
    {502, NULL, HUSH_UNAVAILABLE, "what the server depends on failed"},
    {503, "sealed", HUSH_UNAVAILABLE, "the server is sealed"},
    {503, NULL, HUSH_UNAVAILABLE, "the server is not available"},
    {504, NULL, HUSH_UNAVAILABLE, "a gateway waited for the server in vain"},
    {0,   NULL, HUSH_BACKEND,     "an answer that nobody expects"},
};
/* clang-format on */

static const struct status_row *status_row(const struct hush_http_answer *answer)
{
    const struct status_row *row = status_rows;

    while (row->code != 0 && (row->code != answer->code ||
                              (row->text != NULL && strstr(answer->body, row->text) == NULL)))
        row++;
    return row;
}

/* The server answers so, without a word, to a path with bytes that it cannot print. */
static bool status_is_odd_name(const struct vault_request *request,
                               const struct hush_http_answer *answer)
{
    return answer->code == 400 && answer->size == 0 && strchr(request->path, '%') != NULL;
}

enum hush_status vault_status(struct hush_op *op, const struct vault_request *request,
                              const struct hush_http_answer *answer)
{
    const int path_size = (int)strcspn(request->path, "?"); /* a query is nobody's business */
    const struct status_row *row = status_row(answer);

    if (status_is_odd_name(request, answer))
        return hush_fail(op, HUSH_NOT_FOUND, "the server cannot have a name like '%.*s'", path_size,
                         request->path);
    if (row->status == HUSH_THROTTLED || row->status == HUSH_UNAVAILABLE)
        hush_op_retry_after(op, answer->retry_after_ms);
    return hush_fail(op, row->status, "%s (%d): '%.*s'", row->detail, answer->code, path_size,
                     request->path);
}
