/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.c - the options of a Vault instance, and what they become: one URL, absolute paths,
 * environment variables where an option is unset. Called by open(); asks nobody.
 */
#include "core/cleanup.h"
#include "core/url.h"
#include "credential.h"
#include "vault_int.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { VAULT_PORT = 8200, VAULT_PORT_MAX = 65535 };

static const char *const vault_protocols[] = {"http", "https", NULL};
static const char *const vault_kv_names[] = {"auto", "v1", "v2", NULL};

/* clang-format off */
#define VAULT_OPTION(member, kind, fallback, help) \
    HUSH_OPTION(struct vault, member, kind, fallback, help)
#define VAULT_CHOICE(name, member, fallback, help, choices) \
    { name, HUSH_OPT_CHOICE, offsetof(struct vault, member), fallback, help, choices }

const struct hush_option vault_options[] = {
    VAULT_OPTION(url, URL, "", "the server; unset: host and port if there is one of them, else "
                 "$BAO_ADDR, $VAULT_ADDR, port 8200 of 127.0.0.1 by https"),
    VAULT_OPTION(host, STRING, "", "instead of url: the server's name or address; unset: 127.0.0.1"),
    VAULT_OPTION(port, COUNT, "", "with host; unset: 8200"),
    VAULT_CHOICE("protocol", protocol, "https", "with host; http is for loopback hosts only", vault_protocols),
    VAULT_OPTION(mount, STRING, "secret", "where the engine is mounted"),
    VAULT_CHOICE("engine", engine, "kv", "what is mounted there; read: anything that a GET answers", vault_engine_names),
    VAULT_CHOICE("kv", kv, "auto", "the version of the KV engine; auto: ask the server", vault_kv_names),
    VAULT_OPTION(namespace, STRING, "", "the namespace of mount and login; unset: $BAO_NAMESPACE, $VAULT_NAMESPACE"),
    VAULT_OPTION(ca_file, PATH, "", "PEM file of the authorities to trust instead of the system's; "
                 "unset: $BAO_CACERT, $VAULT_CACERT"),
    VAULT_OPTION(ca_path, PATH, "", "a directory of such files, hashed; unset: $BAO_CAPATH, $VAULT_CAPATH"),
    VAULT_OPTION(tls_server_name, STRING, "", "the name that the server's certificate must have; unset: "
                 "$BAO_TLS_SERVER_NAME, $VAULT_TLS_SERVER_NAME, the URL's host"),
    VAULT_OPTION(ssl_verify, BOOL, "yes", "verify the server's certificate; the environment's SKIP_VERIFY is not heeded"),
    VAULT_CHOICE("auth_method", auth_method, "token", "how to log in", vault_auth_methods),
    VAULT_OPTION(token_file, SECRET_FILE, "", "token: a file that holds one; unset: $BAO_TOKEN, $VAULT_TOKEN, ~/.vault-token"),
    VAULT_OPTION(approle_auth_path, STRING, "approle", "approle: where it is mounted, below auth/"),
    VAULT_OPTION(approle_role_id, STRING, "", "approle: the role's id"),
    VAULT_OPTION(approle_secret_id_file, SECRET_FILE, "", "approle: a file that holds the secret id"),
    VAULT_OPTION(approle_response_wrapping, BOOL, "no", "approle: the file holds a wrapping token, which is unwrapped once"),
    VAULT_OPTION(kube_auth_path, STRING, "kubernetes", "kubernetes: where it is mounted, below auth/"),
    VAULT_OPTION(kube_role, STRING, "", "kubernetes: the role to log in to"),
    VAULT_OPTION(kube_api_token_file, SECRET_FILE, "", "kubernetes: the service account's token; in a pod "
                 "/var/run/secrets/kubernetes.io/serviceaccount/token"),
    VAULT_OPTION(jwt_auth_path, STRING, "jwt", "jwt: where it is mounted, below auth/"),
    VAULT_OPTION(jwt_role, STRING, "", "jwt: the role to log in to; unset: the mount's default role"),
    VAULT_OPTION(jwt_file, SECRET_FILE, "", "jwt: a file that holds the token"),
    VAULT_OPTION(cert_auth_path, STRING, "cert", "cert: where it is mounted, below auth/"),
    VAULT_OPTION(cert_auth_cert, SECRET_FILE, "", "PEM file of our own certificate, for any method; "
                 "unset: $BAO_CLIENT_CERT, $VAULT_CLIENT_CERT"),
    VAULT_OPTION(cert_auth_cert_key, SECRET_FILE, "", "its key; unset: $BAO_CLIENT_KEY, $VAULT_CLIENT_KEY, "
                 "the same file as the certificate"),
    VAULT_OPTION(cert_auth_role_name, STRING, "", "cert: the role to log in to; unset: the server tries all"),
    VAULT_OPTION(userpass_auth_path, STRING, "userpass", "userpass: where it is mounted, below auth/"),
    VAULT_OPTION(userpass_username, STRING, "", "userpass: the user"),
    VAULT_OPTION(userpass_password_file, SECRET_FILE, "", "userpass: a file that holds the password"),
    VAULT_OPTION(revoke, BOOL, "no", "revoke leases and the token of our own login at unmount, so that what was made for it ends with it"),
    {0},
};
/* clang-format on */

/* -- The environment --------------------------------------------------------------------------- */

/* BAO_NAME, else VAULT_NAME; which: the one that is set. Empty is unset. */
static const char *settle_environ(const struct vault *v, const char *name, char which[40])
{
    static const char *const prefixes[] = {"BAO", "VAULT"};

    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        const char *value;
        (void)snprintf(which, 40, "%s_%s", prefixes[i], name); /* they all fit */
        value = v->base.env == NULL ? NULL : hush_environ_get(v->base.env, which);
        if (value != NULL && value[0] != '\0')
            return value;
    }
    return NULL;
}

static enum hush_status settle_from_environ(struct vault *v, struct hush_op *op)
{
    /* clang-format off */
    static const struct { const char *option, *name; } rows[] = {
        {"namespace",          "NAMESPACE"},
        {"ca_file",            "CACERT"},
        {"ca_path",            "CAPATH"},
        {"tls_server_name",    "TLS_SERVER_NAME"},
        {"cert_auth_cert",     "CLIENT_CERT"},
        {"cert_auth_cert_key", "CLIENT_KEY"},
    };
    /* clang-format on */
    char which[40], error[160];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct hush_option *row = hush_option_find(vault_options, rows[i].option);
        const char *value;
        if (*(char **)(void *)((char *)v + row->offset) != NULL)
            continue;
        value = settle_environ(v, rows[i].name, which);
        if (value != NULL && !hush_option_set(row, v, value, error))
            return hush_fail(op, HUSH_CONFIG, "$%s is taken for an option: %s", which, error);
    }
    return HUSH_OK;
}

/* -- The URL ----------------------------------------------------------------------------------- */

static enum hush_status settle_no_memory(struct hush_op *op)
{
    return hush_fail(op, HUSH_NO_MEMORY, "no memory for options");
}

/* text, which came from where, is the URL; its path, if any, is put before /v1/. */
static enum hush_status settle_url_text(struct vault *v, struct hush_op *op, const char *text,
                                        const char *from)
{
    const char *fault = hush_url_fault(text);
    size_t size = strlen(text);

    if (fault != NULL)
        return hush_fail(op, HUSH_CONFIG, "%s %s", from, fault);
    if (strpbrk(text, "?#") != NULL)
        return hush_fail(op, HUSH_CONFIG, "%s must end before any ? or #", from);
    while (text[size - 1] == '/')
        size--;
    v->base_url = strndup(text, size);
    return v->base_url == NULL ? settle_no_memory(op) : HUSH_OK;
}

static enum hush_status settle_host(struct vault *v, struct hush_op *op)
{
    const char *host = v->host == NULL ? "127.0.0.1" : v->host;
    const bool bare6 = strchr(host, ':') != NULL && host[0] != '[';
    char text[300];
    int size;

    if (v->port > VAULT_PORT_MAX)
        return hush_fail(op, HUSH_CONFIG, "port must be 1 to 65535");
    if (host[strcspn(host, "/?#@")] != '\0')
        return hush_fail(op, HUSH_CONFIG, "host must be a name or an address only: see url");
    size = snprintf(text, sizeof(text), "%s://%s%s%s:%u", vault_protocols[v->protocol],
                    bare6 ? "[" : "", host, bare6 ? "]" : "", v->port == 0 ? VAULT_PORT : v->port);
    if (size < 0 || (size_t)size >= sizeof(text))
        return hush_fail(op, HUSH_CONFIG, "host is too long");
    return settle_url_text(v, op, text, "what host, port and protocol make");
}

static enum hush_status settle_url(struct vault *v, struct hush_op *op)
{
    const bool parts = v->host != NULL || v->port != 0;
    const char *value;
    char which[40], from[48];

    if (v->url != NULL && parts)
        return hush_fail(op, HUSH_CONFIG, "url and %s are too much: give one",
                         v->host != NULL ? "host" : "port");
    if (v->url != NULL)
        return settle_url_text(v, op, v->url, "url");
    value = parts ? NULL : settle_environ(v, "ADDR", which);
    if (value == NULL)
        return settle_host(v, op);
    (void)snprintf(from, sizeof(from), "$%s", which); /* fits */
    return settle_url_text(v, op, value, from);
}

/* -- Names and files --------------------------------------------------------------------------- */

/* One slash at either end is a habit, not a part of the name. More are left, and refused: also when
 * this is done again. */
static void settle_trim(char *text)
{
    size_t size = strlen(text);

    if (size > 1 && (strncmp(text, "//", 2) == 0 || strcmp(text + size - 2, "//") == 0))
        return;
    if (size != 0 && text[size - 1] == '/')
        text[--size] = '\0';
    if (text[0] == '/')
        memmove(text, text + 1, size);
}

static enum hush_status settle_names(struct vault *v, struct hush_op *op)
{
    const struct {
        const char *option;
        char *value;
    } names[] = {
        {"mount", v->mount},
        {"namespace", v->namespace},
        {"approle_auth_path", v->approle_auth_path},
        {"kube_auth_path", v->kube_auth_path},
        {"jwt_auth_path", v->jwt_auth_path},
        {"cert_auth_path", v->cert_auth_path},
        {"userpass_auth_path", v->userpass_auth_path},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *fault;
        if (names[i].value == NULL)
            continue;
        settle_trim(names[i].value);
        fault = vault_name_fault(names[i].value);
        if (fault == NULL && strlen(names[i].value) > VAULT_MOUNT_MAX)
            fault = "is longer than 512 bytes";
        if (fault != NULL)
            return hush_fail(op, HUSH_CONFIG, "%s %s", names[i].option, fault);
    }
    return HUSH_OK;
}

static enum hush_status settle_file(struct vault *v, struct hush_op *op, const char *file,
                                    char **out)
{
    char path[PATH_MAX];

    if (file == NULL)
        return HUSH_OK;
    if (!hush_credential_path(hush_credential_directory(&v->base), file, path, sizeof(path)))
        return hush_fail(op, HUSH_CONFIG,
                         "the client certificate's file is the name of a credential, but there is "
                         "no $CREDENTIALS_DIRECTORY (see LoadCredential= in systemd.exec(5))");
    *out = strdup(path);
    return *out == NULL ? settle_no_memory(op) : HUSH_OK;
}

static enum hush_status settle_files(struct vault *v, struct hush_op *op)
{
    enum hush_status status;

    if (v->cert_auth_cert_key != NULL && v->cert_auth_cert == NULL)
        return hush_fail(op, HUSH_CONFIG, "cert_auth_cert_key needs cert_auth_cert");
    status = settle_file(v, op, v->cert_auth_cert, &v->cert_path);
    return status == HUSH_OK ? settle_file(v, op, v->cert_auth_cert_key, &v->key_path) : status;
}

typedef enum hush_status settle_step(struct vault *v, struct hush_op *op);

/* Until a step fails; NULL ends them. */
static enum hush_status settle_all(struct vault *v, struct hush_op *op, settle_step *const *steps)
{
    enum hush_status status = HUSH_OK;

    for (; status == HUSH_OK && *steps != NULL; steps++)
        status = (*steps)(v, op);
    return status;
}

static enum hush_status settle_login(struct vault *v, struct hush_op *op)
{
    return vault_login_check(v, op);
}

enum hush_status vault_options_settle(struct vault *v, struct hush_op *op)
{
    static settle_step *const steps[] = {
        settle_from_environ, settle_url, settle_names, settle_files, settle_login, NULL,
    };

    return settle_all(v, op, steps);
}

enum hush_status vault_options_check(struct vault *v, struct hush_op *op)
{
    static settle_step *const steps[] = {settle_url, settle_names, settle_login, NULL},
                              *const cert_steps[] = {settle_url, settle_names, NULL};
    /* Certificate and key may come from the environment. */
    const enum hush_status status =
        settle_all(v, op, v->auth_method == VAULT_AUTH_CERT ? cert_steps : steps);

    vault_options_release(v);
    return status;
}

void vault_options_release(struct vault *v)
{
    free(v->base_url);
    free(v->cert_path);
    free(v->key_path);
    v->base_url = v->cert_path = v->key_path = NULL;
}
