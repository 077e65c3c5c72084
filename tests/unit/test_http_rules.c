/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_http_rules.c - what needs no server, or a hostile surrounding: requests that are refused,
 * what codes mean, encoding, and a resolver that never answers.
 */
#include "core/wipealloc.h"
#include "http_fixture.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

static struct hush_arena *arena;

static int set_up(void **state)
{
    (void)state;
    arena = hush_arena_new(FIXTURE_ARENA);
    return arena == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    hush_arena_free(arena);
    return 0;
}

/* -- Refused before anything is sent ----------------------------------------------------------- */

static void expect_refused(const struct hush_http_request *request, const char *detail)
{
    struct hush_http *http = fixture_client(&(const struct hush_http_config){0});
    struct hush_http_answer answer = {0};
    struct hush_op op;

    hush_op_init(&op, arena, 2000);
    assert_non_null(http);
    assert_int_equal(hush_http_call(http, &op, request, &answer), HUSH_CONFIG);
    if (strstr(op.detail, detail) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", op.detail, detail);
    assert_null(strstr(op.detail, "CANARY"));
    assert_null(answer.body);
    hush_http_free(http);
}

static void test_urls(void **state)
{
    /* clang-format off */
    static const struct { const char *url, *detail; } rows[] = {
        {"http://vault.example/",                        "must be https://"},
        {"http://127.0.0.1.example/",                    "must be https://"},
        {"file:///etc/passwd",                           "must begin with https://"},
        {"https://user:CANARY@h/",                       "must not hold a user"},
        {"https://h/a\r\nX-Injected: CANARY",            "without spaces"},
        {"https://h/a b",                                "without spaces"},
        {"https://h/v1/../sys/CANARY",                   "segment . or .."},
        {"https://h/v1/./CANARY",                        "segment . or .."},
        {"https://h/v1/..",                              "segment . or .."},
        {"https://h/..?CANARY",                          "segment . or .."},
    };
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        expect_refused(&(const struct hush_http_request){.method = "GET", .url = rows[i].url},
                       rows[i].detail);
}

static void test_header_injection(void **state)
{
    static const char *const values[] = {"CANARY\r\nX-Injected: 1", "CANARY\n", "CANARY\r",
                                         "CANARY\x7f", "\001CANARY"};
    static const char *const names[] = {"X-A: CANARY\r\nX-B", "X A", ""};
    struct hush_http_header headers[2] = {{0}};
    const struct hush_http_request request = {
        .method = "GET", .url = "https://127.0.0.1:1/", .headers = headers};
    struct hush_op op;

    (void)state;
    hush_op_init(&op, arena, 0);
    for (size_t i = 0; i < COUNT(values); i++) {
        struct hush_secret *secret = NULL;

        headers[0] = (struct hush_http_header){"X-Vault-Token", values[i], NULL};
        expect_refused(&request, "X-Vault-Token cannot be sent");
        assert_int_equal(hush_secret_new(&op, values[i], strlen(values[i]), &secret), HUSH_OK);
        headers[0] = (struct hush_http_header){"X-Vault-Token", NULL, secret};
        expect_refused(&request, "X-Vault-Token cannot be sent");
        hush_secret_unref(secret);
    }
    struct hush_secret *secret = NULL;
    assert_int_equal(hush_secret_new(&op, "a\0b", 3, &secret), HUSH_OK);
    headers[0] = (struct hush_http_header){"X-Vault-Token", NULL, secret};
    expect_refused(&request, "X-Vault-Token cannot be sent");
    hush_secret_unref(secret);
    headers[0] = (struct hush_http_header){names[1], "v", NULL};
    expect_refused(&request, "cannot be a header's name");
    headers[0] = (struct hush_http_header){names[2], "v", NULL};
    expect_refused(&request, "cannot be a header's name");
    headers[0] = (struct hush_http_header){"X-A\r\nX-B", "v", NULL};
    expect_refused(&request, "cannot be a header's name");
}

static void test_method_and_type(void **state)
{
    (void)state;
    expect_refused(&(const struct hush_http_request){.method = "GET / HTTP/1.1\r\nX: CA",
                                                     .url = "https://127.0.0.1:1/"},
                   "no HTTP method");
    expect_refused(&(const struct hush_http_request){.method = "POST",
                                                     .url = "https://127.0.0.1:1/",
                                                     .body = "",
                                                     .content_type = "a\r\nX: CANARY"},
                   "content type");
}

/* -- Codes ------------------------------------------------------------------------------------- */

static void test_codes(void **state)
{
    /* clang-format off */
    static const struct { int code; enum hush_status status; bool waits; } rows[] = {
        {200, HUSH_OK,          false}, {204, HUSH_OK,          false}, {299, HUSH_OK,        false},
        {301, HUSH_PROTOCOL,    false}, {304, HUSH_PROTOCOL,    false}, {307, HUSH_PROTOCOL,  false},
        {400, HUSH_BACKEND,     false}, {401, HUSH_DENIED,      false}, {403, HUSH_DENIED,    false},
        {404, HUSH_NOT_FOUND,   false}, {405, HUSH_BACKEND,     false}, {408, HUSH_TIMEOUT,   false},
        {412, HUSH_BACKEND,     false}, {429, HUSH_THROTTLED,   true},  {500, HUSH_BACKEND,   false},
        {501, HUSH_BACKEND,     false}, {502, HUSH_UNAVAILABLE, true},  {503, HUSH_UNAVAILABLE, true},
        {504, HUSH_UNAVAILABLE, true},  {505, HUSH_BACKEND,     false}, {999, HUSH_BACKEND,   false},
        {100, HUSH_BACKEND,     false}, {0,   HUSH_BACKEND,     false},
    };
    /* clang-format on */
    const struct hush_http_request request = {
        .method = "GET", .url = "https://vault.example:8200/v1/secret/data/app?version=CANARY"};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct hush_http_answer answer = {
            .code = rows[i].code, .body = (char[]){"CANARY"}, .size = 6, .retry_after_ms = 5000};
        struct hush_op op;
        char code[16];

        hush_op_init(&op, arena, 0);
        assert_int_equal(hush_http_status(&op, &request, &answer), rows[i].status);
        assert_int_equal(op.retry_after_ms, rows[i].waits ? 5000 : 0);
        if (rows[i].status == HUSH_OK) {
            assert_string_equal(op.detail, "");
            continue;
        }
        (void)snprintf(code, sizeof(code), "%d: ", rows[i].code);
        assert_memory_equal(op.detail, code, strlen(code));
        assert_non_null(strstr(op.detail, "(vault.example:8200/v1/secret/data/app)"));
        assert_null(strstr(op.detail, "CANARY"));
    }
}

/* -- Encoding ---------------------------------------------------------------------------------- */

static void test_encode(void **state)
{
    /* clang-format off */
    static const struct { const char *text; bool keep; const char *encoded; } rows[] = {
        {"",               false, ""},
        {"aZ09-._~",       false, "aZ09-._~"},
        {"a b/c",          false, "a%20b%2Fc"},
        {"a b/c",          true,  "a%20b/c"},
        {"%2F?#&=+;:@",    false, "%252F%3F%23%26%3D%2B%3B%3A%40"},
        {"\xc3\xa9\r\n\"", false, "%C3%A9%0D%0A%22"},
        {"..",             false, ".."},
    };
    /* clang-format on */
    char out[64];

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const size_t size = strlen(rows[i].encoded) + 1;

        memset(out, 'x', sizeof(out));
        assert_true(hush_http_encode(rows[i].text, rows[i].keep, out, size));
        assert_string_equal(out, rows[i].encoded);
        assert_int_equal(out[size], 'x');
        memset(out, 'x', sizeof(out));
        assert_false(hush_http_encode(rows[i].text, rows[i].keep, out, size - 1));
        assert_int_equal(out[size - 1], 'x'); /* nothing beyond what there is */
    }
}

/* -- A resolver that never answers ------------------------------------------------------------- */

static bool write_file(const char *path, const char *text)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    const bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        (void)close(fd);
    return good;
}

/* A network of our own, whose only name server is a socket that nobody reads. */
static bool lose_resolver(const char *dir)
{
    const struct sockaddr_in server = {
        .sin_family = AF_INET, .sin_port = htons(53), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char conf[64], nss[64];

    (void)close(fd); /* of the old network */
    (void)snprintf(conf, sizeof(conf), "%s/resolv.conf", dir);
    (void)snprintf(nss, sizeof(nss), "%s/nsswitch.conf", dir);
    if (!write_file(conf, "nameserver 127.0.0.1\n") || !write_file(nss, "hosts: dns\n") ||
        unshare(CLONE_NEWNS | CLONE_NEWNET) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount(conf, "/etc/resolv.conf", NULL, MS_BIND, NULL) != 0 ||
        mount(nss, "/etc/nsswitch.conf", NULL, MS_BIND, NULL) != 0)
        return false;
    const int hole = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* ends with the process */
    return hole >= 0 && ioctl(hole, SIOCSIFFLAGS, &lo) == 0 &&
           bind(hole, (const struct sockaddr *)&server, sizeof(server)) == 0;
}

static int call_without_resolver(void *ctx)
{
    struct hush_http_answer answer = {0};
    struct hush_http *http = fixture_client(&(const struct hush_http_config){0});
    struct hush_op op;

    if (!lose_resolver(ctx))
        return 77;
    for (int i = 0; i < 3; i++) {
        const uint64_t start_ns = hush_now_ns();
        unsigned ms;

        hush_op_init(&op, NULL, 300);
        CHECK(hush_http_call(http, &op,
                             &(const struct hush_http_request){.method = "GET",
                                                               .url = "https://vault.example/"},
                             &answer) == HUSH_TIMEOUT);
        ms = (unsigned)((hush_now_ns() - start_ns) / HUSH_NS_PER_MS);
        CHECK(ms >= 300 && ms < 450);
    }
    const uint64_t start_ns = hush_now_ns();
    hush_http_free(http); /* does not wait for the resolver's threads either */
    CHECK(hush_now_ns() - start_ns < 100 * (uint64_t)HUSH_NS_PER_MS);
    return 0;
}

static void test_hung_resolver(void **state)
{
    char dir[] = "/tmp/test_http_rules_XXXXXX";
    int status;

    (void)state;
    assert_non_null(mkdtemp(dir));
    status = in_child(call_without_resolver, dir);
    (void)nftw(dir, fixture_remove, 8, FTW_DEPTH | FTW_PHYS);
    if (status == 77)
        skip(); /* not root */
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),   cmocka_unit_test(test_header_injection),
        cmocka_unit_test(test_codes),  cmocka_unit_test(test_method_and_type),
        cmocka_unit_test(test_encode), cmocka_unit_test(test_hung_resolver),
    };

    if (!hush_wipe_openssl_init() || !hush_http_init())
        return EXIT_FAILURE;
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
