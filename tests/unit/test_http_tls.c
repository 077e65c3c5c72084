/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_http_tls.c - whom the client believes, what it says when it does not, and that
 * neither token nor body stays in memory. All of it in an environment that wants keys logged, a
 * proxy used and OpenSSL configured.
 */
#include "core/lockmem.h"
#include "core/wipealloc.h"
#include "http_fixture.h"
#include "memscan.h"

enum { NEEDLE_SIZE = 64 };

static char hostile_dir[32];

/* -- Whom we believe --------------------------------------------------------------------------- */

/* One call with a client of config. name: the server's, host: how it is called. */
static void call_tls(struct call *call, const struct fixture *f,
                     const struct hush_http_config *config, const char *host, const char *name)
{
    struct hush_http *http = fixture_client(config);
    char url[128];

    assert_non_null(http);
    (void)snprintf(url, sizeof(url), "https://%s:%u/ok", host, fixture_port(f, name));
    call_request(call, f, http, &(const struct hush_http_request){.method = "GET", .url = url},
                 FIXTURE_TIMEOUT_MS);
    if (call->status == HUSH_OK) {
        assert_int_equal(call->answer.code, 200);
        assert_string_equal(call->answer.body, "ok");
    }
    hush_http_answer_clear(&call->answer);
    hush_http_free(http);
}

static void test_trust(void **state)
{
    const struct fixture *f = *state;
    char stranger[64], missing[64], bad[64], unhashed[64];
    const struct hush_http_config ours = {.ca_file = f->ca_file}, none = {0};
    const struct hush_http_config other = {.ca_file = stranger}, gone = {.ca_file = missing};
    const struct hush_http_config broken = {.ca_file = bad}, path = {.ca_path = unhashed};
    const struct hush_http_config insecure = {.insecure = true};
    const struct hush_http_config named = {.ca_file = f->ca_file, .server_name = "vault.example"};
    const struct hush_http_config misnamed = {.ca_file = f->ca_file, .server_name = "h.example"};

    (void)snprintf(stranger, sizeof(stranger), "%s/stranger.pem", f->dir);
    (void)snprintf(missing, sizeof(missing), "%s/missing.pem", f->dir);
    (void)snprintf(bad, sizeof(bad), "%s/good.key", f->dir);
    (void)snprintf(unhashed, sizeof(unhashed), "%s/www", f->dir);
    /* clang-format off */
    const struct {
        const struct hush_http_config *config;
        const char *host, *server;
        enum hush_status status;
        const char *detail;
    } rows[] = {
        {&ours,     "127.0.0.1", "good",    HUSH_OK,          ""},
        {&ours,     "localhost", "good",    HUSH_OK,          ""},
        {&none,     "localhost", "good",    HUSH_CONFIG,      "certificate not trusted (unable to get local issuer certificate): set ca_file"},
        {&other,    "localhost", "good",    HUSH_CONFIG,      "certificate not trusted (unable to get local issuer"},
        {&path,     "localhost", "good",    HUSH_CONFIG,      "certificate not trusted (unable to get local issuer"},
        {&gone,     "localhost", "good",    HUSH_CONFIG,      missing},
        {&broken,   "localhost", "good",    HUSH_CONFIG,      bad},
        {&ours,     "localhost", "expired", HUSH_CONFIG,      "certificate not trusted (certificate has expired): renew"},
        {&ours,     "localhost", "named",   HUSH_CONFIG,      "the certificate is for another name"},
        {&ours,     "127.0.0.1", "named",   HUSH_CONFIG,      "the certificate is for another name"},
        {&named,    "127.0.0.1", "named",   HUSH_OK,          ""},
        {&misnamed, "127.0.0.1", "named",   HUSH_CONFIG,      "the certificate is for another name"},
        {&named,    "127.0.0.1", "good",    HUSH_CONFIG,      "the certificate is for another name"},
        {&insecure, "localhost", "good",    HUSH_OK,          ""},
        {&insecure, "localhost", "expired", HUSH_OK,          ""},
        {&insecure, "localhost", "named",   HUSH_OK,          ""},
        {&insecure, "localhost", "old",     HUSH_UNAVAILABLE, "TLS 1.2 or newer"},
        {&ours,     "localhost", "plain",   HUSH_UNAVAILABLE, "TLS 1.2 or newer"},
        {&ours,     "localhost", "closed",  HUSH_UNAVAILABLE, "no connection"},
    };
    /* clang-format on */

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct call call;

        call_tls(&call, f, rows[i].config, rows[i].host, rows[i].server);
        if (call.status != rows[i].status || strstr(call.op.detail, rows[i].detail) == NULL)
            fail_msg("row %zu: %s: %s", i, hush_status_name(call.status), call.op.detail);
    }
}

/* Plain HTTP to a port that speaks TLS. */
static void test_plain_to_tls(void **state)
{
    const struct fixture *f = *state;
    struct call call;
    char url[64];

    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/ok", fixture_port(f, "good"));
    call_get(&call, f, url);
    assert_true(call.status == HUSH_UNAVAILABLE || call.status == HUSH_PROTOCOL);
    assert_true(strlen(call.op.detail) > 0);
}

static void test_client_certificate(void **state)
{
    const struct fixture *f = *state;
    char cert[64], key[64], both[64], missing[64];
    struct hush_http_config config = {.ca_file = f->ca_file};
    struct call call;

    (void)snprintf(cert, sizeof(cert), "%s/client.pem", f->dir);
    (void)snprintf(key, sizeof(key), "%s/client.key", f->dir);
    (void)snprintf(both, sizeof(both), "%s/both.pem", f->dir);
    (void)snprintf(missing, sizeof(missing), "%s/missing.pem", f->dir);
    call_tls(&call, f, &config, "localhost", "mutual");
    expect_call(&call, HUSH_UNAVAILABLE, "localhost");
    config.cert_file = cert;
    config.key_file = key;
    call_tls(&call, f, &config, "localhost", "mutual");
    expect_call(&call, HUSH_OK, "");
    config.key_file = missing;
    call_tls(&call, f, &config, "localhost", "mutual");
    expect_call(&call, HUSH_CONFIG, missing);
    config.key_file = NULL; /* in cert_file, where it is not */
    call_tls(&call, f, &config, "localhost", "mutual");
    expect_call(&call, HUSH_CONFIG, cert);
    config.cert_file = missing;
    call_tls(&call, f, &config, "localhost", "mutual");
    expect_call(&call, HUSH_CONFIG, missing);
}

/* The server leaves in the middle of a large body. No SIGPIPE: this process would end. */
static void test_server_leaves(void **state)
{
    static const char *const servers[] = {"plain", "good"};
    static char body[8 << 20];
    const struct fixture *f = *state;

    memset(body, 'b', sizeof(body));
    assert_true(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    for (size_t i = 0; i < COUNT(servers); i++) {
        struct hush_http_request request = {
            .method = "POST", .body = body, .body_size = sizeof(body)};
        struct call call;
        char url[64];

        (void)snprintf(url, sizeof(url), "%s://localhost:%u/slam", i == 0 ? "http" : "https",
                       fixture_port(f, servers[i]));
        request.url = url;
        call_request(&call, f, NULL, &request, FIXTURE_TIMEOUT_MS);
        expect_call(&call, HUSH_UNAVAILABLE, "localhost");
        (void)snprintf(strrchr(url, '/'), 4, "/ok");
        expect_body(f, url, "ok");
    }
}

/* -- HTTP/2 ------------------------------------------------------------------------------------ */

/* Offered, and not taken: see http_request.c. What it would leave, test_leaves_nothing() finds. */
static void test_no_http2(void **state)
{
    const struct fixture *f = *state;
    char url[64];

    if (fixture_port(f, "h2") == 0)
        skip(); /* no nginx */
    (void)snprintf(url, sizeof(url), "https://localhost:%u/protocol", fixture_port(f, "h2"));
    expect_body(f, url, "HTTP/1.1");
}

/* -- The environment --------------------------------------------------------------------------- */

static void test_environment(void **state)
{
    const struct fixture *f = *state;
    char path[64], url[64];

    (void)snprintf(url, sizeof(url), "https://localhost:%u/ok", fixture_port(f, "good"));
    expect_body(f, url, "ok"); /* with TLS that the configuration forbids, past the proxy */
    expect_body(f, "/ok", "ok");
    (void)snprintf(path, sizeof(path), "%s/keys", hostile_dir);
    assert_int_not_equal(access(path, F_OK), 0);
}

/* -- Nothing stays ----------------------------------------------------------------------------- */

/* What the server sends; see evil_http.py. */
static unsigned char body_needle(size_t position)
{
    return (unsigned char)('a' + (position * 11 + position / 26 + (position * position) % 7) % 26);
}

static unsigned char token_needle(size_t position)
{
    return (unsigned char)('A' + (position * 5 + position / 26 + (position * position) % 11) % 26);
}

static struct hush_secret *plant_token(const struct fixture *f)
{
    struct hush_secret *token = NULL;
    struct hush_op op;
    uint8_t *bytes;

    hush_op_init(&op, f->arena, 0);
    assert_int_equal(hush_secret_alloc(&op, NEEDLE_SIZE, &token, &bytes), HUSH_OK);
    for (size_t i = 0; i < NEEDLE_SIZE; i++)
        bytes[i] = token_needle(i);
    return token;
}

static size_t count_copies(const char *when, const char *url)
{
    const size_t token = memscan_count(token_needle, NEEDLE_SIZE);
    const size_t body = memscan_count(body_needle, NEEDLE_SIZE);

    if (token + body != 0)
        print_message("%s: %zu of the token, %zu of the body %s\n", url, token, body, when);
    return token + body;
}

/* Send the token in a header and in a body, get the body. */
static void expect_nothing_stays(const struct fixture *f, const char *url)
{
    const struct hush_http_config config = {.ca_file = f->ca_file};
    struct hush_http *http = fixture_client(&config);
    struct hush_secret *token = plant_token(f);
    const struct hush_http_header headers[] = {
        {"X-Vault-Token", NULL, token}, {"Authorization", NULL, token}, {0}};
    struct call call;

    for (size_t i = 0; i < 3; i++) {
        const struct hush_http_request request = {
            .method = i == 1 ? "POST" : "GET",
            .url = url,
            .headers = headers,
            .body = i == 1 ? hush_secret_bytes(token) : NULL,
            .body_size = i == 1 ? NEEDLE_SIZE : 0,
        };

        call_request(&call, f, http, &request, FIXTURE_TIMEOUT_MS);
        expect_call(&call, HUSH_OK, "");
        if (i != 1) { /* nginx has no POST of a file */
            assert_int_equal(call.answer.code, 200);
            assert_int_equal(call.answer.size, 1000 * NEEDLE_SIZE);
            assert_int_equal((unsigned char)call.answer.body[NEEDLE_SIZE + 1], body_needle(1));
        }
        if (i != 2)
            hush_http_answer_clear(&call.answer);
    }
    assert_true(memscan_count(body_needle, NEEDLE_SIZE) >= 4000); /* the scan sees what is there */
    assert_true(memscan_count(token_needle, NEEDLE_SIZE) >= 4);
    hush_http_answer_clear(&call.answer);
    hush_secret_unref(token);
    assert_int_equal(count_copies("while the connection is kept", url), 0);
    hush_http_free(http);
    assert_int_equal(count_copies("after all is released", url), 0);
}

static void test_leaves_nothing(void **state)
{
    static const char *const servers[] = {"plain", "good", "h2"};
    const struct fixture *f = *state;

    if (!memscan_works())
        skip();
    for (size_t i = 0; i < COUNT(servers); i++) {
        char url[64];

        if (fixture_port(f, servers[i]) == 0)
            continue; /* no nginx */
        (void)snprintf(url, sizeof(url), "%s://localhost:%u/needle%s", i == 0 ? "http" : "https",
                       fixture_port(f, servers[i]), i == 2 ? "" : "/1000");
        expect_nothing_stays(f, url);
    }
}

/* -- Setting up -------------------------------------------------------------------------------- */

/* What libcurl and OpenSSL of Debian obey if they are let. */
static bool set_hostile(void)
{
    static const char conf[] = "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\n"
                               "system_default = tls\n[tls]\nMaxProtocol = TLSv1.1\n";
    char keys[64], file[64];
    bool written;
    FILE *f;

    (void)snprintf(hostile_dir, sizeof(hostile_dir), "/tmp/test_http_tls_XXXXXX");
    if (mkdtemp(hostile_dir) == NULL)
        return false;
    (void)snprintf(keys, sizeof(keys), "%s/keys", hostile_dir);
    (void)snprintf(file, sizeof(file), "%s/openssl.cnf", hostile_dir);
    f = fopen(file, "we");
    if (f == NULL)
        return false;
    written = fputs(conf, f) >= 0;
    return fclose(f) == 0 && written && setenv("SSLKEYLOGFILE", keys, 1) == 0 &&
           setenv("OPENSSL_CONF", file, 1) == 0 &&
           setenv("https_proxy", "http://127.0.0.1:1", 1) == 0 &&
           setenv("http_proxy", "http://127.0.0.1:1", 1) == 0 &&
           setenv("ALL_PROXY", "http://127.0.0.1:1", 1) == 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leaves_nothing), cmocka_unit_test(test_trust),
        cmocka_unit_test(test_plain_to_tls),   cmocka_unit_test(test_client_certificate),
        cmocka_unit_test(test_server_leaves),  cmocka_unit_test(test_no_http2),
        cmocka_unit_test(test_environment),

    };
    int failed;

    if (!set_hostile() || !hush_wipe_openssl_init() || !hush_http_init())
        return EXIT_FAILURE;
    failed = cmocka_run_group_tests(tests, fixture_set_up, fixture_tear_down);
    (void)nftw(hostile_dir, fixture_remove, 8, FTW_DEPTH | FTW_PHYS);
    return failed;
}
