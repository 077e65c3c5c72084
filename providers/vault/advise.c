/* SPDX-License-Identifier: Apache-2.0 */
/*
 * advise.c - the slot advise: options that have no effect beside the others, and what the
 * environment of the mount must bring, which `hushfs check` does not know. Called before open().
 */
#include "vault_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { ADVICE_MAX = 256 };

struct advice {
    hush_advice_fn *tell;
    void *ctx;
};

__attribute__((format(printf, 3, 4))) static void advise(const struct advice *advice,
                                                         const char *option, const char *fmt, ...)
{
    char text[ADVICE_MAX];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args); /* they all fit */
    va_end(args);
    advice->tell(advice->ctx, option, text);
}

/* -- Logins ------------------------------------------------------------------------------------ */

/* clang-format off */
static const struct { const char *prefix; enum vault_auth method; } advise_methods[] = {
    {"token_file", VAULT_AUTH_TOKEN},   {"approle_", VAULT_AUTH_APPROLE}, {"kube_", VAULT_AUTH_KUBERNETES},
    {"jwt_", VAULT_AUTH_JWT},           {"userpass_", VAULT_AUTH_USERPASS},
    {"cert_auth_path", VAULT_AUTH_CERT}, {"cert_auth_role_name", VAULT_AUTH_CERT},
};
/* clang-format on */

static void advise_of_methods(const struct vault *v, const struct advice *advice)
{
    for (const struct hush_option *row = vault_options; row->name != NULL; row++) {
        for (size_t i = 0; i < sizeof(advise_methods) / sizeof(advise_methods[0]); i++) {
            const char *prefix = advise_methods[i].prefix;
            if (strncmp(row->name, prefix, strlen(prefix)) != 0 ||
                advise_methods[i].method == v->auth_method)
                continue;
            advise(advice, row->name, "'%s' has no effect with auth_method = %s", row->name,
                   vault_auth_methods[v->auth_method]);
        }
    }
}

static void advise_of_credential(const struct advice *advice, const char *option, const char *file)
{
    if (file != NULL && file[0] != '\0' && strchr(file, '/') == NULL)
        advise(advice, option,
               "'%s' is the name of a systemd credential: the mount needs $CREDENTIALS_DIRECTORY",
               option);
}

static void advise_of_certificate(const struct vault *v, const struct advice *advice)
{
    static const char need[] = "cert_auth_cert, or $BAO_CLIENT_CERT or $VAULT_CLIENT_CERT where it "
                               "is mounted";

    if (v->cert_auth_cert == NULL && v->auth_method == VAULT_AUTH_CERT)
        advise(advice, "auth_method", "auth_method = cert needs %s", need);
    if (v->cert_auth_cert == NULL)
        advise(advice, "cert_auth_cert_key", "'cert_auth_cert_key' needs %s", need);
    advise_of_credential(advice, "cert_auth_cert", v->cert_auth_cert);
    advise_of_credential(advice, "cert_auth_cert_key", v->cert_auth_cert_key);
}

/* -- The connection ---------------------------------------------------------------------------- */

/* For certain: an URL may come from the environment. */
static bool advise_is_http(const struct vault *v)
{
    if (v->url != NULL)
        return strncasecmp(v->url, "http://", strlen("http://")) == 0;
    return (v->host != NULL || v->port != 0) && v->protocol == VAULT_HTTP;
}

static void advise_of_http(const struct advice *advice)
{
    static const char *const options[] = {"ca_file",    "ca_path",        "tls_server_name",
                                          "ssl_verify", "cert_auth_cert", "cert_auth_cert_key"};

    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        advise(advice, options[i], "'%s' has no effect: the server is asked by http", options[i]);
}

void vault_advise(struct hush_provider *self, hush_advice_fn *tell, void *ctx)
{
    const struct vault *v = HUSH_PROVIDER(struct vault, self);
    const struct advice advice = {tell, ctx};

    advise_of_methods(v, &advice);
    if (advise_is_http(v))
        advise_of_http(&advice);
    else
        advise_of_certificate(v, &advice);
    if (v->auth_method == VAULT_AUTH_CERT && advise_is_http(v))
        advise(&advice, "auth_method", "auth_method = cert needs https");
    if (v->url != NULL)
        advise(&advice, "protocol", "'protocol' has no effect beside url");
    if (v->engine != 0)
        advise(&advice, "kv", "'kv' has no effect with engine = %s", vault_engine_names[v->engine]);
}
