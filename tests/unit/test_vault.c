/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_vault.c - an instance of the Vault provider against answers that the test gives in the place
 * of hush_http_call(): its options, which requests a call makes, and what it gives.
 */
#include "unit.h"

#include "call.h"
#include "core/clock.h"
#include "core/environ.h"
#include "core/wipealloc.h"
#include "shared/json.h"
#include "vault/answer.h"
#include "vault_bodies.h"

#include <string.h>

enum { ARENA_SIZE = 4 << 20, ROUTES = 12, NOW = 1795547322, NAMES_SIZE = 256 };

#define POLICY "{\"errors\":[\"1 error occurred:\\n\\t* permission denied\\n\\n\"]}"
#define BAD    "{\"errors\":[\"permission denied\"]}"

/* -- A server ---------------------------------------------------------------------------------- */

struct route {
    const char *what; /* "GET /v1/secret/data/app"; NULL: none */
    int code;
    const char *body;
    bool bad_token_first; /* the next call, and only that, is told that its token is unknown */
    unsigned calls;
    char sent[512];  /* the last body */
    char token[32];  /* "": none */
    char headers[4]; /* 'r' X-Vault-Request: true, 'n' the namespace "ns" */
};

struct fixture {
    struct hush_arena *arena;
    struct hush_environ *env;
    struct hush_provider *provider;
    struct hush_op op;
    struct hush_value value;
    char file[32]; /* the token's */
    char names[NAMES_SIZE];
    struct route routes[ROUTES];
    unsigned unexpected;
};

static struct fixture *fixture; /* for the server */

static time_t now(void)
{
    return NOW;
}

static struct route *route(const char *what)
{
    for (size_t i = 0; i < ROUTES && fixture->routes[i].what != NULL; i++)
        if (strcmp(fixture->routes[i].what, what) == 0)
            return &fixture->routes[i];
    return NULL;
}

static void answers(const char *what, int code, const char *body)
{
    struct route *r = route(what);

    for (size_t i = 0; r == NULL && i < ROUTES; i++)
        if (fixture->routes[i].what == NULL)
            r = &fixture->routes[i];
    assert_non_null(r);
    r->what = what;
    r->code = code;
    r->body = body;
}

static unsigned calls(const char *what)
{
    const struct route *r = route(what);

    return r == NULL ? 0 : r->calls;
}

static void note_headers(struct route *r, const struct hush_http_header *header)
{
    size_t count = 0;

    memset(r->headers, 0, sizeof(r->headers));
    r->token[0] = '\0';
    for (; header != NULL && header->name != NULL; header++) {
        if (strcmp(header->name, "X-Vault-Request") == 0 && strcmp(header->value, "true") == 0)
            r->headers[count++] = 'r';
        if (strcmp(header->name, "X-Vault-Namespace") == 0 && strcmp(header->value, "ns") == 0)
            r->headers[count++] = 'n';
        if (strcmp(header->name, "X-Vault-Token") == 0)
            (void)snprintf(r->token, sizeof(r->token), "%.*s",
                           (int)hush_secret_size(header->secret),
                           (const char *)hush_secret_bytes(header->secret));
    }
}

enum hush_status __wrap_hush_http_call(struct hush_http *http, struct hush_op *op,
                                       const struct hush_http_request *request,
                                       struct hush_http_answer *out);

enum hush_status __wrap_hush_http_call(struct hush_http *http, struct hush_op *op,
                                       const struct hush_http_request *request,
                                       struct hush_http_answer *out)
{
    static const char base[] = "http://127.0.0.1:1";
    char what[1024];
    struct route *r;

    (void)op;
    assert_non_null(http);
    assert_int_equal(strncmp(request->url, base, strlen(base)), 0);
    (void)snprintf(what, sizeof(what), "%s %s", request->method, request->url + strlen(base));
    r = route(what);
    if (r == NULL && strstr(what, "/v1/auth/token/") == NULL) {
        (void)fprintf(stderr, "nobody expects %s\n", what);
        fixture->unexpected++;
    }
    *out = (struct hush_http_answer){.code = r == NULL || r->bad_token_first ? 403 : r->code};
    out->body = hush_wipe_strdup(r == NULL ? POLICY : r->bad_token_first ? BAD : r->body);
    assert_non_null(out->body);
    out->size = strlen(out->body);
    if (r == NULL)
        return HUSH_OK;
    r->bad_token_first = false;
    r->calls++;
    (void)snprintf(r->sent, sizeof(r->sent), "%.*s", (int)request->body_size,
                   request->body == NULL ? "" : (const char *)request->body);
    note_headers(r, request->headers);
    return HUSH_OK;
}

/* -- An instance ------------------------------------------------------------------------------- */

static struct vault *vault(const struct fixture *f)
{
    return HUSH_PROVIDER(struct vault, f->provider);
}

static void write_token(const struct fixture *f, const char *token)
{
    FILE *file = fopen(f->file, "we");

    assert_non_null(file);
    assert_true(fputs(token, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void set(const struct fixture *f, const char *name, const char *text)
{
    const struct hush_option *row = hush_option_find(vault_options, name);
    char error[160] = "no such option";

    if (row == NULL || !hush_option_set(row, f->provider, text, error))
        fail_msg("%s = %s: %s", name, text, error);
}

/* A new instance, not open yet, with the environment that the process has now. */
static void make(struct fixture *f)
{
    int fd;

    hush_provider_free(f->provider);
    hush_environ_free(f->env);
    fd = hush_environ_capture();
    assert_true(fd >= 0);
    f->env = hush_environ_map(fd);
    assert_non_null(f->env);
    close(fd);
    f->provider = hush_provider_new(hush_provider_find("vault"), "v", f->env);
    assert_non_null(f->provider);
}

static enum hush_status open_it(struct fixture *f)
{
    hush_op_init(&f->op, f->arena, 0);
    return hush_provider_open(f->provider, &f->op);
}

/* An instance that talks to the server above. */
static void open_with(struct fixture *f, const char *engine, const char *mount)
{
    make(f);
    set(f, "url", "http://127.0.0.1:1/");
    set(f, "token_file", f->file);
    set(f, "engine", engine);
    set(f, "mount", mount);
    assert_int_equal(open_it(f), HUSH_OK);
}

static int set_up(void **state)
{
    static struct fixture f;
    int fd;

    memset(&f, 0, sizeof(f));
    fixture = &f;
    hush_json_init();
    if (!hush_http_init())
        return 1;
    (void)clearenv();
    f.arena = hush_arena_new(ARENA_SIZE);
    memcpy(f.file, "/tmp/test_vault-XXXXXX", 23);
    fd = mkstemp(f.file);
    if (f.arena == NULL || fd < 0)
        return 1;
    close(fd);
    write_token(&f, "t1\n");
    hush_clock_inject(NULL, now);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    bool clean;

    hush_value_clear(&f->value);
    hush_provider_free(f->provider);
    hush_environ_free(f->env);
    clean = hush_arena_usage(f->arena).blocks == 0 && f->unexpected == 0;
    hush_arena_free(f->arena);
    hush_clock_inject(NULL, NULL);
    return unlink(f->file) == 0 && clean ? 0 : 1;
}

static enum hush_status fetch_ref(struct fixture *f, const struct hush_ref *ref)
{
    static const struct hush_version none;

    hush_value_clear(&f->value);
    hush_op_init(&f->op, f->arena, 0);
    return f->provider->ops->fetch(f->provider, &f->op, ref, &none, &f->value);
}

static enum hush_status fetch(struct fixture *f, const char *path)
{
    return fetch_ref(f, &(struct hush_ref){.path = path});
}

static enum hush_status emit(void *ctx, const struct hush_entry *entry)
{
    struct fixture *f = ctx;
    const size_t used = strlen(f->names);

    (void)snprintf(f->names + used, sizeof(f->names) - used, "%s%s ", entry->name,
                   entry->kind == HUSH_KIND_FOLDER ? "/" : "");
    return HUSH_OK;
}

static enum hush_status list(struct fixture *f, const char *prefix)
{
    f->names[0] = '\0';
    hush_op_init(&f->op, f->arena, 0);
    return f->provider->ops->list(f->provider, &f->op, prefix, emit, f);
}

static void expect_detail(const struct fixture *f, const char *text)
{
    if (strstr(f->op.detail, text) == NULL)
        fail_msg("not \"%s\" in: %s", text, f->op.detail);
}

static void expect_field(const struct fixture *f, const char *name, const char *expected)
{
    for (size_t i = 0; i < f->value.field_count; i++) {
        if (strcmp(f->value.fields[i].name, name) != 0)
            continue;
        assert_int_equal(hush_secret_size(f->value.fields[i].value), strlen(expected));
        assert_memory_equal(hush_secret_bytes(f->value.fields[i].value), expected,
                            strlen(expected));
        return;
    }
    fail_msg("no field %s", name);
}

/* -- Options ----------------------------------------------------------------------------------- */

static void test_url(void **state)
{
    /* clang-format off */
    static const struct { const char *url, *host, *port, *protocol, *bao, *vault, *base; } rows[] = {
        {NULL, NULL, NULL, NULL, NULL, NULL, "https://127.0.0.1:8200"},
        {"https://v.example:8200/", NULL, NULL, NULL, "https://other", NULL, "https://v.example:8200"},
        {"https://v.example/a/b//", NULL, NULL, NULL, NULL, NULL, "https://v.example/a/b"},
        {NULL, "v.example", NULL, NULL, "https://other", NULL, "https://v.example:8200"},
        {NULL, "v.example", "443", NULL, NULL, NULL, "https://v.example:443"},
        {NULL, NULL, "8300", "http", "https://other", NULL, "http://127.0.0.1:8300"},
        {NULL, "::1", NULL, "http", NULL, NULL, "http://[::1]:8200"},
        {NULL, "[::1]", NULL, NULL, NULL, NULL, "https://[::1]:8200"},
        {NULL, NULL, NULL, NULL, "https://bao:1", "https://vault:2", "https://bao:1"},
        {NULL, NULL, NULL, NULL, "", "https://vault:2/", "https://vault:2"},
        /* refused */
        {"https://v.example", "v.example", NULL, NULL, NULL, NULL, NULL},
        {"https://v.example", NULL, "8200", NULL, NULL, NULL, NULL},
        {"https://v.example/?a=b", NULL, NULL, NULL, NULL, NULL, NULL},
        {NULL, "v.example", NULL, "http", NULL, NULL, NULL},
        {NULL, "v.example/x", NULL, NULL, NULL, NULL, NULL},
        {NULL, "a@v.example", NULL, NULL, NULL, NULL, NULL},
        {NULL, NULL, "65536", NULL, NULL, NULL, NULL},
        {NULL, NULL, NULL, NULL, "http://v.example", NULL, NULL},
        {NULL, NULL, NULL, NULL, "unix:///run/x", NULL, NULL},
    };
    /* clang-format on */
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *const options[][2] = {
            {"url", rows[i].url},
            {"host", rows[i].host},
            {"port", rows[i].port},
            {"protocol", rows[i].protocol},
        };
        if (rows[i].bao != NULL)
            assert_int_equal(setenv("BAO_ADDR", rows[i].bao, 1), 0);
        if (rows[i].vault != NULL)
            assert_int_equal(setenv("VAULT_ADDR", rows[i].vault, 1), 0);
        make(f);
        for (size_t j = 0; j < COUNT(options); j++)
            if (options[j][1] != NULL)
                set(f, options[j][0], options[j][1]);
        assert_int_equal(open_it(f), rows[i].base == NULL ? HUSH_CONFIG : HUSH_OK);
        if (rows[i].base != NULL)
            assert_string_equal(vault(f)->base_url, rows[i].base);
        else
            assert_true(f->op.detail[0] != '\0');
    }
}

static void test_environment(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(setenv("BAO_NAMESPACE", "/ns1/", 1), 0);
    assert_int_equal(setenv("VAULT_NAMESPACE", "ns2", 1), 0);
    assert_int_equal(setenv("VAULT_CACERT", "/ca.pem", 1), 0);
    assert_int_equal(setenv("BAO_CAPATH", "/cas", 1), 0);
    assert_int_equal(setenv("VAULT_TLS_SERVER_NAME", "name", 1), 0);
    assert_int_equal(setenv("VAULT_CLIENT_CERT", "/cert.pem", 1), 0);
    assert_int_equal(setenv("VAULT_CLIENT_KEY", "/key.pem", 1), 0);
    make(f);
    set(f, "ca_path", "/mine");
    assert_int_equal(open_it(f), HUSH_OK);
    assert_string_equal(vault(f)->namespace, "ns1");
    assert_string_equal(vault(f)->ca_file, "/ca.pem");
    assert_string_equal(vault(f)->ca_path, "/mine");
    assert_string_equal(vault(f)->tls_server_name, "name");
    assert_string_equal(vault(f)->cert_path, "/cert.pem");
    assert_string_equal(vault(f)->key_path, "/key.pem");
    assert_int_equal(setenv("BAO_CACERT", "relative.pem", 1), 0);
    make(f);
    assert_int_equal(open_it(f), HUSH_CONFIG);
    expect_detail(f, "$BAO_CACERT");
}

/* The configuration alone says so: the environment is heeded neither way. */
static void test_verify(void **state)
{
    static const struct {
        const char *option;
        bool verify;
    } rows[] = {{NULL, true},  {"yes", true},    {"true", true}, {"on", true}, {"1", true},
                {"no", false}, {"false", false}, {"off", false}, {"0", false}};
    struct fixture *f = *state;

    assert_int_equal(setenv("VAULT_SKIP_VERIFY", "true", 1), 0);
    assert_int_equal(setenv("BAO_SKIP_VERIFY", "true", 1), 0);
    for (size_t i = 0; i < COUNT(rows); i++) {
        make(f);
        if (rows[i].option != NULL)
            set(f, "ssl_verify", rows[i].option);
        assert_int_equal(open_it(f), HUSH_OK);
        assert_int_equal(vault(f)->ssl_verify, rows[i].verify);
    }
}

static void test_names(void **state)
{
    static const char *const bad[] = {"/", "a//b", "//a", "..", "a/../b", "a\nb"};
    struct fixture *f = *state;
    char longest[VAULT_MOUNT_MAX + 2];

    make(f);
    set(f, "mount", "/a/b/");
    set(f, "approle_auth_path", "x/");
    assert_int_equal(open_it(f), HUSH_OK);
    assert_string_equal(vault(f)->mount, "a/b");
    assert_string_equal(vault(f)->approle_auth_path, "x");
    for (size_t i = 0; i < COUNT(bad); i++) {
        make(f);
        set(f, "mount", bad[i]);
        assert_int_equal(open_it(f), HUSH_CONFIG);
        expect_detail(f, "mount ");
    }
    memset(longest, 'a', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    make(f);
    set(f, "mount", longest);
    assert_int_equal(open_it(f), HUSH_CONFIG);
}

static void test_files(void **state)
{
    struct fixture *f = *state;

    make(f);
    set(f, "cert_auth_cert_key", "/key.pem");
    assert_int_equal(open_it(f), HUSH_CONFIG);
    expect_detail(f, "needs cert_auth_cert");
    make(f);
    set(f, "cert_auth_cert", "cert");
    assert_int_equal(open_it(f), HUSH_CONFIG);
    expect_detail(f, "$CREDENTIALS_DIRECTORY");
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", "/run/credentials/x", 1), 0);
    make(f);
    set(f, "cert_auth_cert", "cert");
    assert_int_equal(open_it(f), HUSH_OK);
    assert_string_equal(vault(f)->cert_path, "/run/credentials/x/cert");
    assert_null(vault(f)->key_path);
}

static void test_method_needs(void **state)
{
    struct fixture *f = *state;

    make(f);
    set(f, "auth_method", "approle");
    assert_int_equal(open_it(f), HUSH_CONFIG);
    expect_detail(f, "approle_role_id");
}

/* `hushfs check` knows no environment, and leaves nothing behind. */
static void test_check(void **state)
{
    /* clang-format off */
    static const struct { const char *option, *value; bool good; const char *detail; } rows[] = {
        {"mount", "kv", true, NULL},
        {"auth_method", "cert", true, NULL}, /* $VAULT_CLIENT_CERT may be set */
        {"auth_method", "userpass", false, "userpass_username"},
        {"mount", "a/../b", false, "mount"},
        {"kube_auth_path", "a//b", false, "kube_auth_path"},
        {"port", "70000", false, "port"},
        {"host", "a/b", false, "host"},
    };
    /* clang-format on */
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(rows); i++) {
        make(f);
        set(f, rows[i].option, rows[i].value);
        f->provider->env = NULL;
        hush_op_init(&f->op, NULL, 0);
        assert_int_equal(f->provider->ops->check(f->provider, &f->op),
                         rows[i].good ? HUSH_OK : HUSH_CONFIG);
        if (!rows[i].good)
            expect_detail(f, rows[i].detail);
        assert_null(vault(f)->base_url);
    }
}

/* -- Requests ---------------------------------------------------------------------------------- */

#define UI_MOUNT "GET /v1/sys/internal/ui/mounts/secret"
#define IS_KV2   "{\"data\":{\"type\":\"kv\",\"options\":{\"version\":\"2\"},\"path\":\"secret/\"}}"
#define IS_KV1   "{\"data\":{\"type\":\"kv\",\"options\":{},\"path\":\"secret/\"}}"
#define APP      "GET /v1/secret/data/app"
#define VERSION  "\"metadata\":{\"version\":3,\"destroyed\":false,\"deletion_time\":\"\"}"
#define APP_V2   "{\"data\":{\"data\":{\"p\":\"two\"}," VERSION "}}"
#define APP_V1   "{\"data\":{\"p\":\"one\"},\"lease_duration\":2764800}"
#define NOTHING  "{\"errors\":[]}"

static void test_headers(void **state)
{
    struct fixture *f = *state;

    make(f);
    set(f, "url", "http://127.0.0.1:1");
    set(f, "token_file", f->file);
    set(f, "namespace", "ns/");
    assert_int_equal(open_it(f), HUSH_OK);
    answers(UI_MOUNT, 200, IS_KV2);
    answers(APP, 200, APP_V2);
    assert_int_equal(fetch(f, "app"), HUSH_OK);
    assert_string_equal(route(APP)->headers, "rn");
    assert_string_equal(route(APP)->token, "t1");
    assert_string_equal(route(APP)->sent, "");
}

/* The token that the file has now is tried once; then it is a refusal. */
static void test_login_again(void **state)
{
    struct fixture *f = *state;

    open_with(f, "kv", "secret");
    set(f, "kv", "v2");
    answers(APP, 200, APP_V2);
    assert_int_equal(fetch(f, "app"), HUSH_OK);
    answers(APP, 403, BAD);
    write_token(f, "t2");
    assert_int_equal(fetch(f, "app"), HUSH_DENIED);
    assert_int_equal(calls(APP), 3);
    assert_string_equal(route(APP)->token, "t2");
    expect_detail(f, "does not know our token");
    answers(APP, 200, APP_V2);
    route(APP)->bad_token_first = true;
    write_token(f, "t3");
    assert_int_equal(fetch(f, "app"), HUSH_OK); /* without a word to the reader */
    assert_string_equal(route(APP)->token, "t3");
}

static void test_policy(void **state)
{
    struct fixture *f = *state;

    open_with(f, "kv", "secret");
    set(f, "kv", "v2");
    answers(APP, 403, POLICY);
    assert_int_equal(fetch(f, "app"), HUSH_DENIED);
    assert_int_equal(calls(APP), 1);
    expect_detail(f, "no policy");
}

/* -- KV ---------------------------------------------------------------------------------------- */

static void test_kv_is_found_once(void **state)
{
    struct fixture *f = *state;

    open_with(f, "kv", "secret");
    answers(UI_MOUNT, 200, IS_KV2);
    answers(APP, 200, APP_V2);
    for (int i = 0; i < 3; i++)
        assert_int_equal(fetch(f, "app"), HUSH_OK);
    assert_int_equal(calls(UI_MOUNT), 1);
    assert_int_equal(calls(APP), 3);
    expect_field(f, "p", "two");
    assert_string_equal(f->value.meta.version.text, "3");
}

static void test_kv1(void **state)
{
    struct fixture *f = *state;
    const struct hush_ref old = {.path = "app", .version = {"1"}};

    open_with(f, "kv", "secret");
    answers(UI_MOUNT, 200, IS_KV1);
    answers("GET /v1/secret/app", 200, APP_V1);
    assert_int_equal(fetch(f, "app"), HUSH_OK);
    expect_field(f, "p", "one");
    assert_int_equal(fetch_ref(f, &old), HUSH_NOT_FOUND);
    assert_int_equal(f->provider->ops->versions(f->provider, &f->op, "app", emit, f),
                     HUSH_UNSUPPORTED);
    answers("GET /v1/secret?list=true", 200, "{\"data\":{\"keys\":[\"app\",\"dir/\"]}}");
    assert_int_equal(list(f, ""), HUSH_OK);
    assert_string_equal(f->names, "app dir/ ");
}

/* A refusal and a failure say nothing for good. */
static void test_kv_is_not_remembered(void **state)
{
    struct fixture *f = *state;

    open_with(f, "kv", "secret");
    answers(UI_MOUNT, 503, "{\"errors\":[\"Vault is sealed\"]}");
    assert_int_equal(fetch(f, "app"), HUSH_UNAVAILABLE);
    answers(UI_MOUNT, 403, POLICY);
    answers("GET /v1/secret/app", 403, POLICY);
    assert_int_equal(fetch(f, "app"), HUSH_DENIED);
    assert_int_equal(calls("GET /v1/secret/app"), 1);
    answers(UI_MOUNT, 200, IS_KV2);
    answers(APP, 200, APP_V2);
    assert_int_equal(fetch(f, "app"), HUSH_OK);
    assert_int_equal(calls(UI_MOUNT), 3);
}

#define IS_OTHER                                                                                   \
    "{\"data\":null,\"warnings\":[\"Invalid path for a versioned K/V secrets engine. See the "     \
    "API docs\"]}"

/* It was v1, and was upgraded. */
static void test_kv_upgraded(void **state)
{
    struct fixture *f = *state;

    open_with(f, "kv", "secret");
    answers(UI_MOUNT, 200, IS_KV1);
    answers("GET /v1/secret/app", 404, IS_OTHER);
    answers(APP, 200, APP_V2);
    assert_int_equal(fetch(f, "app"), HUSH_OK);
    expect_field(f, "p", "two");
    assert_int_equal(fetch(f, "app"), HUSH_OK);
    assert_int_equal(calls("GET /v1/secret/app"), 1);
    set(f, "kv", "v1"); /* whoever says so is told */
    assert_int_equal(fetch(f, "app"), HUSH_CONFIG);
    expect_detail(f, "kv = v2");
}

static void test_kv_version(void **state)
{
    static const char *const bad[] = {"x", "0", "01", "-1", "1.5", "99999999999", "AWSPREVIOUS"};
    struct fixture *f = *state;
    struct hush_ref ref = {.path = "app", .version = {"3"}};

    open_with(f, "kv", "secret");
    set(f, "kv", "v2");
    answers(APP "?version=3", 200, APP_V2);
    assert_int_equal(fetch_ref(f, &ref), HUSH_OK);
    for (size_t i = 0; i < COUNT(bad); i++) {
        (void)snprintf(ref.version.text, sizeof(ref.version.text), "%s", bad[i]);
        assert_int_equal(fetch_ref(f, &ref), HUSH_NOT_FOUND); /* unexpected: 0 */
    }
}

static void test_kv_odd_names(void **state)
{
    static const char *const bad[] = {"", "/", "a/", "/a", "a//b", ".", "a/..", "a\x01"};
    struct fixture *f = *state;

    open_with(f, "kv", "secret");
    set(f, "kv", "v2");
    answers("GET /v1/secret/data/a%20b/%3Fhelp%3D1", 200, APP_V2);
    assert_int_equal(fetch(f, "a b/?help=1"), HUSH_OK);
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(fetch(f, bad[i]), HUSH_NOT_FOUND); /* without asking: unexpected is 0 */
    for (size_t i = 1; i < COUNT(bad); i++)
        assert_int_equal(list(f, bad[i]), HUSH_NOT_FOUND);
}

#define TOP "GET /v1/secret/metadata?list=true"

static void test_kv_list(void **state)
{
    struct fixture *f = *state;

    open_with(f, "kv", "secret");
    set(f, "kv", "v2");
    answers(TOP, 404, NOTHING);
    answers("GET /v1/secret/metadata/d%20r?list=true", 404, NOTHING);
    assert_int_equal(list(f, ""), HUSH_OK); /* a mount without secrets is there */
    assert_string_equal(f->names, "");
    assert_int_equal(list(f, "d r"), HUSH_NOT_FOUND);
    answers(TOP, 404, "{\"errors\":[\"no handler for route \\\"secret/metadata/\\\"\"]}");
    assert_int_equal(list(f, ""), HUSH_NOT_FOUND);
    answers(TOP, 403, POLICY);
    assert_int_equal(list(f, ""), HUSH_DENIED);
    answers("GET /v1/secret/metadata/d%20r?list=true", 200,
            "{\"data\":{\"keys\":[\"both\",\"both/\"]}}");
    assert_int_equal(list(f, "d r"), HUSH_OK);
    assert_string_equal(f->names, "both both/ ");
}

static void test_kv_versions(void **state)
{
    struct fixture *f = *state;

    open_with(f, "kv", "secret");
    set(f, "kv", "v2");
    answers("GET /v1/secret/metadata/app", 200,
            "{\"data\":{\"versions\":{\"1\":{\"destroyed\":true},\"2\":{},\"3\":{}}}}");
    answers("GET /v1/secret/metadata/none", 404, NOTHING);
    assert_int_equal(f->provider->ops->versions(f->provider, &f->op, "app", emit, f), HUSH_OK);
    assert_string_equal(f->names, "3 2 ");
    assert_int_equal(f->provider->ops->versions(f->provider, &f->op, "none", emit, f),
                     HUSH_NOT_FOUND);
}

/* Nothing there, and nothing that it could be in, are told apart. */
static void test_kv_no_mount(void **state)
{
    struct fixture *f = *state;

    open_with(f, "kv", "secret");
    answers(UI_MOUNT, 403, "{\"errors\":[\"preflight capability check returned 403\"]}");
    answers("GET /v1/secret/app", 404,
            "{\"errors\":[\"no handler for route \\\"secret/app\\\"\"]}");
    assert_int_equal(fetch(f, "app"), HUSH_NOT_FOUND);
    expect_detail(f, "nothing is mounted there");
    answers("GET /v1/secret/app", 404, NOTHING);
    assert_int_equal(fetch(f, "app"), HUSH_NOT_FOUND);
    expect_detail(f, "no such secret");
    set(f, "kv", "v1");
    answers("GET /v1/secret?list=true", 404, IS_OTHER);
    assert_int_equal(list(f, ""), HUSH_CONFIG);
    expect_detail(f, "kv = v2");
}

/* -- Other engines ----------------------------------------------------------------------------- */

static void test_engine_flags(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; vault_engine_names[i] != NULL; i++) {
        make(f);
        set(f, "engine", vault_engine_names[i]);
        assert_int_equal(open_it(f), HUSH_OK);
        assert_string_equal(vault_engine(vault(f))->name, vault_engine_names[i]);
        assert_int_equal(f->provider->flags, vault_engine(vault(f))->flags);
        assert_int_equal((f->provider->flags & HUSH_HAS_VERSIONS) != 0, i == 0);
    }
    make(f);
    set(f, "kv", "v1");
    assert_int_equal(open_it(f), HUSH_OK);
    assert_int_equal(f->provider->flags & HUSH_HAS_VERSIONS, 0);
    make(f);
    set(f, "engine", "database");
    assert_int_equal(open_it(f), HUSH_OK);
    assert_true((f->provider->flags & HUSH_ONE_SECRET_PER_READ) != 0);
}

#define CREDS "GET /v1/db/creds/app"
#define LEASED                                                                                     \
    "{\"lease_id\":\"db/creds/app/x1\",\"renewable\":true,\"lease_duration\":60,"                  \
    "\"data\":{\"username\":\"u\",\"password\":\"p\"}}"

static void test_database(void **state)
{
    struct fixture *f = *state;
    const struct hush_ref old = {.path = "app", .version = {"1"}};

    open_with(f, "database", "db");
    answers(CREDS, 200, LEASED);
    assert_int_equal(fetch(f, "app"), HUSH_OK);
    expect_field(f, "username", "u");
    assert_true(f->value.meta.dynamic);
    assert_true(f->value.meta.renewable);
    assert_string_equal(f->value.meta.lease, "1:db/creds/app/x1");
    assert_int_equal(f->value.meta.ttl_ms, 60000);
    assert_int_equal(fetch_ref(f, &old), HUSH_NOT_FOUND);
    assert_int_equal(calls(CREDS), 1);
    answers("GET /v1/db/roles?list=true", 200, "{\"data\":{\"keys\":[\"app\"]}}");
    assert_int_equal(list(f, ""), HUSH_OK);
    assert_string_equal(f->names, "app ");
    assert_int_equal(list(f, "app"), HUSH_NOT_FOUND);
}

/* A lease ends with the token that made it. */
static void test_lease_and_token(void **state)
{
    struct fixture *f = *state;
    struct vault_token *token;

    open_with(f, "database", "db");
    answers(CREDS, 200, LEASED);
    assert_int_equal(fetch(f, "app"), HUSH_OK);
    token = &vault(f)->token;
    token->renewable = false;
    token->end_ns = hush_now_ns() + 20 * HUSH_NS_PER_S;
    assert_int_equal(fetch(f, "app"), HUSH_OK);
    assert_in_range(f->value.meta.ttl_ms, 15000, 20000);
    token->renewable = true; /* it will be, and then the lease outlives end_ns */
    assert_int_equal(fetch(f, "app"), HUSH_OK);
    assert_int_equal(f->value.meta.ttl_ms, 60000);
    token->hard_end_ns = hush_now_ns() + 10 * HUSH_NS_PER_S;
    assert_int_equal(fetch(f, "app"), HUSH_OK);
    assert_in_range(f->value.meta.ttl_ms, 5000, 10000);
}

#define RENEW "POST /v1/sys/leases/renew"

static enum hush_status renew(struct fixture *f, const char *lease, struct hush_meta *meta)
{
    hush_op_init(&f->op, f->arena, 0);
    return f->provider->ops->renew(f->provider, &f->op, lease, meta);
}

static void test_renew(void **state)
{
    struct fixture *f = *state;
    struct hush_meta meta = {.lease = "kept"};

    open_with(f, "database", "db");
    assert_int_equal(renew(f, "1:x", &meta), HUSH_NOT_FOUND); /* no login yet */
    answers(CREDS, 200, LEASED);
    assert_int_equal(fetch(f, "app"), HUSH_OK);
    answers(RENEW, 200,
            "{\"lease_id\":\"x\",\"renewable\":true,\"lease_duration\":7,\"data\":null}");
    assert_int_equal(renew(f, "1:db/creds/app/x1", &meta), HUSH_OK);
    assert_string_equal(route(RENEW)->sent, "{\"lease_id\":\"db/creds/app/x1\"}");
    assert_int_equal(meta.ttl_ms, 7000);
    assert_true(meta.renewable);
    assert_string_equal(meta.lease, "kept");
    assert_int_equal(renew(f, "2:db/creds/app/x1", &meta), HUSH_NOT_FOUND);
    assert_int_equal(renew(f, "db/creds/app/x1", &meta), HUSH_NOT_FOUND);
    assert_int_equal(renew(f, "99999999999999999999:x", &meta), HUSH_NOT_FOUND);
    assert_int_equal(calls(RENEW), 1);
    answers(RENEW, 400, "{\"errors\":[\"lease not found\"]}");
    assert_int_equal(renew(f, "1:db/creds/app/x1", &meta), HUSH_NOT_FOUND);
    answers(RENEW, 503, "{\"errors\":[\"Vault is sealed\"]}");
    assert_int_equal(renew(f, "1:db/creds/app/x1", &meta), HUSH_UNAVAILABLE);
    answers(RENEW, 200, "{\"lease_id\":\"x\",\"renewable\":true,\"lease_duration\":0}");
    assert_int_equal(renew(f, "1:db/creds/app/x1", &meta), HUSH_NOT_FOUND);
    answers(RENEW, 200, "{\"lease_id\":\"x\",\"renewable\":true,\"lease_duration\":8}");
    route(RENEW)->bad_token_first = true;
    write_token(f, "t2"); /* the login ends on the way: so did the lease, whatever is said of it */
    assert_int_equal(renew(f, "1:db/creds/app/x1", &meta), HUSH_NOT_FOUND);
    assert_int_equal(meta.ttl_ms, 7000);
}

#define REVOKE "POST /v1/sys/leases/revoke"

static void test_revoke(void **state)
{
    struct fixture *f = *state;
    const struct hush_provider_ops *ops = hush_provider_find("vault");

    open_with(f, "database", "db");
    assert_int_equal(ops->revoke(f->provider, &f->op, "1:db/x"), HUSH_UNSUPPORTED);
    set(f, "revoke", "yes");
    answers(REVOKE, 204, "");
    assert_int_equal(ops->revoke(f->provider, &f->op, "1:db/x"), HUSH_OK);
    assert_string_equal(route(REVOKE)->sent, "{\"lease_id\":\"db/x\"}");
    answers(REVOKE, 400, "{\"errors\":[\"invalid lease\"]}");
    assert_int_equal(ops->revoke(f->provider, &f->op, "1:db/x"), HUSH_OK);
    answers(REVOKE, 403, POLICY);
    assert_int_equal(ops->revoke(f->provider, &f->op, "1:db/x"), HUSH_DENIED);
}

static void test_static_role(void **state)
{
    struct fixture *f = *state;

    open_with(f, "database-static", "db");
    answers("GET /v1/db/static-creds/app", 200,
            "{\"lease_id\":\"\",\"data\":{\"password\":\"p\",\"ttl\":41,"
            "\"last_vault_rotation\":\"2026-11-24T19:08:42.1Z\"}}");
    assert_int_equal(fetch(f, "app"), HUSH_OK);
    assert_false(f->value.meta.dynamic);
    assert_int_equal(f->value.meta.ttl_ms, 42000);
    assert_int_equal(f->value.meta.modified, NOW);
    assert_int_equal(f->provider->flags & HUSH_ONE_SECRET_PER_READ, 0);
}

#define ISSUED                                                                                     \
    "{\"lease_id\":\"\",\"lease_duration\":0,\"data\":{\"certificate\":\"" LEAF_PEM                \
    "\",\"private_key\":\"" KEY_PEM "\",\"expiration\":1795550922}}"

static void test_pki(void **state)
{
    static const struct hush_param params[] = {
        {"common_name", "a.\"example"}, {"role", "web"}, {"ttl", "1h"}, {NULL, NULL}};
    static const struct hush_param with_csr[] = {{"csr", "CSR"}, {NULL, NULL}};
    struct fixture *f = *state;
    struct hush_ref ref = {.path = "www/one", .params = params};

    open_with(f, "pki", "pki");
    answers("POST /v1/pki/issue/web", 200, ISSUED);
    assert_int_equal(fetch_ref(f, &ref), HUSH_OK);
    assert_string_equal(route("POST /v1/pki/issue/web")->sent,
                        "{\"common_name\":\"a.\\\"example\",\"ttl\":\"1h\"}");
    assert_true(f->value.meta.dynamic);
    assert_false(f->value.meta.renewable);
    assert_string_equal(f->value.meta.lease, "");
    assert_int_equal(f->value.meta.not_after, 1795550922);
    assert_int_equal(f->value.field_count, 5);
    answers("POST /v1/pki/sign/web", 200, ISSUED);
    ref = (struct hush_ref){.path = "web", .params = with_csr};
    assert_int_equal(fetch_ref(f, &ref), HUSH_OK);
    assert_string_equal(route("POST /v1/pki/sign/web")->sent, "{\"csr\":\"CSR\"}");
}

static void test_ssh(void **state)
{
    static const struct hush_param with_key[] = {{"public_key", "ssh-ed25519 AAAA"}, {NULL, NULL}};
    struct fixture *f = *state;
    const struct hush_ref ref = {.path = "u", .params = with_key};

    open_with(f, "ssh", "ssh");
    answers("POST /v1/ssh/issue/u", 200,
            "{\"data\":{\"signed_key\":\"" SSH_ENDS_2027 "\\n\",\"private_key\":\"k\"}}");
    answers("POST /v1/ssh/sign/u", 200, "{\"data\":{\"signed_key\":\"" SSH_NEVER_ENDS "\\n\"}}");
    assert_int_equal(fetch(f, "u"), HUSH_OK);
    assert_string_equal(route("POST /v1/ssh/issue/u")->sent, "{}");
    assert_true(f->value.meta.dynamic);
    assert_int_equal(f->value.meta.not_after, SSH_END);
    assert_int_equal(fetch_ref(f, &ref), HUSH_OK);
    assert_false(f->value.meta.dynamic); /* nobody knows its end: it ages by the ttl */
    assert_int_equal(f->value.meta.not_after, 0);
}

static void test_totp(void **state)
{
    struct fixture *f = *state;

    open_with(f, "totp", "totp");
    answers("GET /v1/totp/code/k", 200,
            "{\"data\":{\"code\":\"012345\",\"expire_time\":1795547340,\"period\":\"30s\"}}");
    assert_int_equal(fetch(f, "k"), HUSH_OK);
    expect_field(f, "code", "012345");
    assert_int_equal(f->value.meta.ttl_ms, 18000);
    assert_int_equal(f->value.meta.not_after, 1795547340);
    assert_false(f->value.meta.dynamic);
    answers("GET /v1/totp/code/k", 200, "{\"data\":{\"code\":\"012345\"}}"); /* Vault's */
    assert_int_equal(fetch(f, "k"), HUSH_OK);
    assert_int_equal(f->value.meta.ttl_ms, 18000); /* NOW is 12 s into a period */
}

/* Its parameters go into the query, encoded; what would not read is refused. */
static void test_get_with_parameters(void **state)
{
    static const struct hush_param params[] = {
        {"role_arn", "arn:aws:iam::1:role/x"}, {"role", "r"}, {"ttl", "15m"}, {NULL, NULL}};
    static const char *const refused[] = {"help", "list", "scan"};
    struct fixture *f = *state;
    const struct hush_ref ref = {.path = "anything", .params = params};

    open_with(f, "aws", "aws");
    answers("GET /v1/aws/creds/r?role_arn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fx&ttl=15m", 200, LEASED);
    assert_int_equal(fetch_ref(f, &ref), HUSH_OK);
    for (size_t i = 0; i < COUNT(refused); i++) {
        const struct hush_param bad[] = {{refused[i], "1"}, {NULL, NULL}};
        const struct hush_ref odd = {.path = "r", .params = bad};
        assert_int_equal(fetch_ref(f, &odd), HUSH_CONFIG);
        expect_detail(f, refused[i]);
    }
}

static void test_gcp(void **state)
{
    struct fixture *f = *state;

    open_with(f, "gcp", "gcp");
    answers("GET /v1/gcp/roleset/r/token", 200,
            "{\"data\":{\"token\":\"t\",\"expires_at_seconds\":1795550922,\"token_ttl\":3600}}");
    assert_int_equal(fetch(f, "r"), HUSH_OK);
    assert_true(f->value.meta.dynamic);
    assert_int_equal(f->value.meta.not_after, 1795550922);
}

static void test_read(void **state)
{
    struct fixture *f = *state;

    open_with(f, "read", "any");
    answers("GET /v1/any/where/x", 200, "{\"lease_id\":\"\",\"data\":{\"a\":\"b\"}}");
    assert_int_equal(fetch(f, "where/x"), HUSH_OK);
    expect_field(f, "a", "b");
    assert_false(f->value.meta.dynamic);
    answers("GET /v1/any/where/x", 200, LEASED);
    assert_int_equal(fetch(f, "where/x"), HUSH_OK);
    assert_true(f->value.meta.dynamic);
    answers("GET /v1/any/where/x", 200, "-----BEGIN CERTIFICATE-----");
    assert_int_equal(fetch(f, "where/x"), HUSH_PROTOCOL);
    answers("GET /v1/any/where/x", 204, "");
    assert_int_equal(fetch(f, "where/x"), HUSH_PROTOCOL);
    answers("GET /v1/any/where?list=true", 200, "{\"data\":{\"keys\":[\"x\"]}}");
    assert_int_equal(list(f, "where"), HUSH_OK);
    assert_string_equal(f->names, "x ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_url),
        TEST(test_environment),
        TEST(test_verify),
        TEST(test_names),
        TEST(test_files),
        TEST(test_method_needs),
        TEST(test_check),
        TEST(test_headers),
        TEST(test_login_again),
        TEST(test_policy),
        TEST(test_kv_is_found_once),
        TEST(test_kv1),
        TEST(test_kv_is_not_remembered),
        TEST(test_kv_upgraded),
        TEST(test_kv_version),
        TEST(test_kv_odd_names),
        TEST(test_kv_list),
        TEST(test_kv_versions),
        TEST(test_kv_no_mount),
        TEST(test_engine_flags),
        TEST(test_database),
        TEST(test_lease_and_token),
        TEST(test_renew),
        TEST(test_revoke),
        TEST(test_static_role),
        TEST(test_pki),
        TEST(test_ssh),
        TEST(test_totp),
        TEST(test_get_with_parameters),
        TEST(test_gcp),
        TEST(test_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
