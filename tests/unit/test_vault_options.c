/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_vault_options.c - what open() makes of the options of a Vault instance when it is called
 * twice, and what `hushfs check` is told of options that have no effect.
 */
#include "call.h"
#include "core/arena.h"
#include "core/wipealloc.h"
#include "shared/json.h"
#include "unit.h"
#include "vault/vault_int.h"

#include <string.h>

enum { ARENA_SIZE = 4 << 20, TOLD_SIZE = 1024, OPTIONS = 4 };

struct pair {
    const char *option, *value;
};

static struct hush_provider *make(const struct pair *pairs)
{
    struct hush_provider *provider = hush_provider_new(hush_provider_find("vault"), "v", NULL);
    char error[160];

    assert_non_null(provider);
    for (; pairs->option != NULL; pairs++)
        assert_true(hush_option_set(hush_option_find(vault_options, pairs->option), provider,
                                    pairs->value, error));
    return provider;
}

/* Each is refused, and refused alike when it is opened again: nothing was made good on the way. */
static void test_refused_again(void **state)
{
    static const struct pair rows[][2] = {
        {{"mount", "//kv"}},
        {{"mount", "kv//"}},
        {{"mount", "//"}},
        {{"mount", "/"}},
        {{"namespace", "//a"}},
        {{"auth_method", "cert"}},
        {{"approle_auth_path", "//"}},
        {{"cert_auth_cert_key", "/k"}},
        {{"cert_auth_cert", "name"}},
    };
    struct hush_arena *arena = hush_arena_new(ARENA_SIZE);

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct hush_provider *provider = make(rows[i]);
        char why[HUSH_DETAIL_MAX];
        struct hush_op op;

        hush_op_init(&op, arena, 0);
        assert_int_equal(provider->ops->open(provider, &op), HUSH_CONFIG);
        memcpy(why, op.detail, sizeof(why));
        for (int again = 0; again < 2; again++) {
            provider->ops->close(provider);
            hush_op_init(&op, arena, 0);
            assert_int_equal(provider->ops->open(provider, &op), HUSH_CONFIG);
            assert_string_equal(op.detail, why);
        }
        provider->ops->close(provider);
        hush_provider_free(provider);
    }
    hush_arena_free(arena);
}

static void test_trimmed(void **state)
{
    static const struct pair pairs[] = {{"mount", "/kv/"}, {NULL, NULL}};
    struct hush_arena *arena = hush_arena_new(ARENA_SIZE);
    struct hush_provider *provider = make(pairs);
    const struct vault *v = HUSH_PROVIDER(struct vault, provider);
    struct hush_op op;

    (void)state;
    for (int i = 0; i < 2; i++) {
        hush_op_init(&op, arena, 0);
        assert_int_equal(provider->ops->open(provider, &op), HUSH_OK);
        assert_string_equal(v->mount, "kv");
        provider->ops->close(provider);
    }
    hush_provider_free(provider);
    hush_arena_free(arena);
}

/* -- Advice ------------------------------------------------------------------------------------ */

struct told {
    const struct pair *given;
    char text[TOLD_SIZE];
};

static void tell(void *ctx, const char *option, const char *text)
{
    struct told *told = ctx;

    for (const struct pair *pair = told->given; pair->option != NULL; pair++)
        if (strcmp(pair->option, option) == 0)
            (void)snprintf(told->text + strlen(told->text), TOLD_SIZE - strlen(told->text), "%s\n",
                           text);
}

#define HTTP                                                                                       \
    {                                                                                              \
        "url", "http://127.0.0.1:1"                                                                \
    }
#define HTTPS                                                                                      \
    {                                                                                              \
        "url", "https://a:1"                                                                       \
    }
#define NO_HTTP "has no effect: the server is asked by http\n"

static void test_advice(void **state)
{
    /* clang-format off */
    static const struct {
        struct pair given[OPTIONS + 1];
        const char *told[2]; /* in that order, and nothing else */
    } rows[] = {
        {{HTTPS, {"ca_file", "/ca"}, {"token_file", "/t"}}, {NULL}},
        {{HTTPS, {"auth_method", "approle"}, {"approle_role_id", "r"}}, {NULL}},
        {{HTTPS, {"approle_role_id", "r"}}, {"'approle_role_id' has no effect with auth_method = token\n"}},
        {{HTTPS, {"auth_method", "approle"}, {"token_file", "/t"}}, {"'token_file' has no effect with auth_method = approle\n"}},
        {{HTTPS, {"kube_role", "r"}, {"jwt_role", "r"}}, {"'kube_role'", "'jwt_role'"}},
        {{HTTPS, {"userpass_username", "u"}, {"cert_auth_role_name", "r"}}, {"'cert_auth_role_name'", "'userpass_username'"}},
        {{HTTPS, {"auth_method", "jwt"}, {"cert_auth_cert", "/c"}, {"cert_auth_cert_key", "/k"}}, {NULL}},
        {{HTTPS, {"auth_method", "cert"}}, {"auth_method = cert needs cert_auth_cert, or $BAO_CLIENT_CERT"}},
        {{HTTPS, {"auth_method", "cert"}, {"cert_auth_cert", "/c"}}, {NULL}},
        {{HTTPS, {"cert_auth_cert_key", "/k"}}, {"'cert_auth_cert_key' needs cert_auth_cert"}},
        {{HTTPS, {"cert_auth_cert", "name"}}, {"'cert_auth_cert' is the name of a systemd credential"}},
        {{HTTP, {"ca_file", "/ca"}}, {"'ca_file' " NO_HTTP}},
        {{HTTP, {"ca_path", "/ca"}, {"tls_server_name", "x"}}, {"'ca_path' " NO_HTTP, "'tls_server_name' " NO_HTTP}},
        {{HTTP, {"ssl_verify", "no"}}, {"'ssl_verify' " NO_HTTP}},
        {{HTTP, {"auth_method", "cert"}}, {"auth_method = cert needs https\n"}},
        {{{"host", "127.0.0.1"}, {"protocol", "http"}, {"ca_file", "/ca"}}, {"'ca_file' " NO_HTTP}},
        {{{"host", "a"}, {"ca_file", "/ca"}}, {NULL}},
        {{{"ca_file", "/ca"}, {"protocol", "http"}}, {NULL}}, /* $VAULT_ADDR may be https */
        {{HTTPS, {"protocol", "https"}}, {"'protocol' has no effect beside url\n"}},
        {{HTTPS, {"engine", "pki"}, {"kv", "v2"}}, {"'kv' has no effect with engine = pki\n"}},
    };
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct told told = {.given = rows[i].given};
        struct hush_provider *provider = make(rows[i].given);
        const char *at = told.text;
        size_t lines = 0;

        provider->ops->advise(provider, tell, &told);
        for (; lines < COUNT(rows[i].told) && rows[i].told[lines] != NULL; lines++) {
            if (strncmp(at, rows[i].told[lines], strlen(rows[i].told[lines])) != 0)
                fail_msg("row %zu: %s", i, told.text);
            at = strchr(at, '\n') + 1;
        }
        assert_string_equal(at, "");
        hush_provider_free(provider);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_again),
        cmocka_unit_test(test_trimmed),
        cmocka_unit_test(test_advice),
    };

    hush_json_init();
    if (!hush_wipe_openssl_init() || !hush_http_init())
        return 2;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
