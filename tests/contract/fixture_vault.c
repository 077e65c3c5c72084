/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fixture_vault.c - a KV v2 engine of a running OpenBao, mounted anew for each check. Where it is
 * stands in the environment: see `python3 -m tests.backends with-openbao`.
 */
#include "contract.h"
#include "shared/http.h"
#include "shared/jtree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { VAULT_CREATED_TRIES = 200, VAULT_CREATED_MS = 50, VAULT_TOKEN_MAX = 256 };

struct vault_server {
    const char *url, *token_file;
    struct hush_http *http;
    char token[VAULT_TOKEN_MAX];
};

static const char *vault_url(void)
{
    return secure_getenv("HUSHFS_TEST_OPENBAO");
}

static bool vault_available(void)
{
    return vault_url() != NULL && secure_getenv("HUSHFS_TEST_OPENBAO_TOKEN") != NULL;
}

/* The code of the answer; out of ours. */
static int vault_ask(struct contract *c, const char *method, const char *path, const char *body,
                     size_t size)
{
    struct vault_server *server = c->own;
    const struct hush_http_header headers[] = {{.name = "X-Vault-Token", .value = server->token},
                                               {0}};
    char url[512];
    const struct hush_http_request request = {
        .method = method, .url = url, .headers = headers, .body = body, .body_size = size};
    struct hush_http_answer answer = {0};
    struct hush_op op;
    int code;

    (void)snprintf(url, sizeof(url), "%s/v1/%s", server->url, path);
    hush_op_init(&op, c->arena, CONTRACT_OP_MS);
    assert_int_equal(hush_http_call(server->http, &op, &request, &answer), HUSH_OK);
    code = answer.code;
    hush_http_answer_clear(&answer);
    return code;
}

static void vault_do(struct contract *c, const char *method, const char *path, const char *body,
                     size_t size)
{
    assert_int_equal(vault_ask(c, method, path, body, size) / 100, 2);
}

/* {"data":{"value":BYTES}} */
static void vault_write(struct contract *c, const char *path, const void *bytes, size_t size)
{
    struct hush_jtree_row rows[] = {{.name = "value"}, {0}};
    struct hush_secret *secret = NULL;
    struct hush_op op;
    char *fields = NULL, *body;
    size_t fields_size;

    hush_op_init(&op, c->arena, CONTRACT_OP_MS);
    op.secret_max = CONTRACT_LARGE + 1;
    assert_int_equal(hush_secret_new(&op, bytes, size, &secret), HUSH_OK);
    rows[0].secret = secret;
    assert_int_equal(hush_jtree_write(&op, rows, &fields, &fields_size), HUSH_OK);
    assert_true(asprintf(&body, "{\"data\":%s}", fields) > 0);
    vault_do(c, "POST", path, body, strlen(body));
    free(body);
    hush_jtree_text_free(fields);
    hush_secret_unref(secret);
}

static void vault_put(struct contract *c, const char *name, const void *bytes, size_t size)
{
    char path[256], encoded[160];

    assert_true(hush_http_encode(name, true, encoded, sizeof(encoded)));
    (void)snprintf(path, sizeof(path), "%s/%s/%s", c->dir, bytes == NULL ? "metadata" : "data",
                   encoded);
    if (bytes == NULL)
        vault_do(c, "DELETE", path, NULL, 0);
    else
        vault_write(c, path, bytes, size);
}

static void vault_put_seed(void *ctx, const char *name, const struct contract_seed *seed)
{
    vault_put(ctx, name, seed->bytes, seed->size);
}

static void vault_read_token(struct vault_server *server)
{
    FILE *file;

    server->token_file = secure_getenv("HUSHFS_TEST_OPENBAO_TOKEN");
    file = fopen(server->token_file, "re");
    assert_non_null(file);
    assert_non_null(fgets(server->token, sizeof(server->token), file));
    (void)fclose(file);
    server->token[strcspn(server->token, "\n")] = '\0';
}

/* A mount of its own; it takes a moment to become a versioned one. */
static void vault_mount(struct contract *c)
{
    static const char body[] = "{\"type\":\"kv\",\"options\":{\"version\":\"2\"}}";
    static unsigned number;
    char path[96];
    int tries = 0;

    (void)snprintf(c->dir, sizeof(c->dir), "contract-%d-%u", (int)getpid(), ++number);
    (void)snprintf(path, sizeof(path), "sys/mounts/%s", c->dir);
    vault_do(c, "POST", path, body, sizeof(body) - 1);
    (void)snprintf(path, sizeof(path), "%s/config", c->dir);
    while (vault_ask(c, "GET", path, NULL, 0) != 200) {
        assert_true(++tries < VAULT_CREATED_TRIES);
        contract_sleep_ms(VAULT_CREATED_MS);
    }
}

static void vault_set_up(struct contract *c)
{
    static const struct hush_http_config config = {0};
    struct hush_op op;
    struct vault_server *server = calloc(1, sizeof(*server));

    assert_non_null(server);
    c->own = server;
    server->url = vault_url();
    hush_op_init(&op, c->arena, CONTRACT_OP_MS);
    assert_int_equal(hush_http_new(&op, &config, &server->http), HUSH_OK);
    vault_read_token(server);
    vault_mount(c);
    contract_seeds(c->fixture, vault_put_seed, c);
}

static void vault_configure(struct contract *c, struct hush_provider *provider)
{
    const struct vault_server *server = c->own;
    const struct {
        const char *name, *value;
    } rows[] = {{"url", server->url}, {"mount", c->dir}, {"token_file", server->token_file}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        contract_set(provider, rows[i].name, rows[i].value);
}

static void vault_spoil(struct contract *c, struct hush_provider *provider, bool spoilt)
{
    (void)c;
    contract_set(provider, "auth_method", spoilt ? "cert" : "token");
}

static void vault_tear_down(struct contract *c)
{
    struct vault_server *server = c->own;
    char path[96];

    (void)snprintf(path, sizeof(path), "sys/mounts/%s", c->dir);
    vault_do(c, "DELETE", path, NULL, 0);
    hush_http_free(server->http);
    free(server);
}

const struct contract_fixture contract_vault = {
    .type = "vault",
    .flags = CONTRACT_NUL | CONTRACT_FOLDERS | CONTRACT_FIELD,
    .odd_name = "odd \xc3\xa9%#?+&name.",
    .available = vault_available,
    .set_up = vault_set_up,
    .configure = vault_configure,
    .tear_down = vault_tear_down,
    .spoil = vault_spoil,
    .put = vault_put,
};
