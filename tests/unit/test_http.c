/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_http.c - what a good server's answer becomes, and that no bad server hangs, floods, misleads
 * or kills the client. TLS is test_http_tls.c's.
 */
#include "core/wipealloc.h"
#include "http_fixture.h"

#include <malloc.h>
#include <pthread.h>
#include <sys/resource.h>
#include <time.h>

/* -- Good answers ------------------------------------------------------------------------------ */

static void test_answers(void **state)
{
    const struct fixture *f = *state;
    struct call call;

    expect_body(f, "/ok", "ok");
    expect_body(f, "/chunked", "hello world");
    expect_body(f, "/early", "ok");
    call_get(&call, f, "/empty");
    expect_call(&call, HUSH_OK, "");
    assert_int_equal(call.answer.code, 204);
    assert_non_null(call.answer.body);
    assert_int_equal(call.answer.size, 0);
    assert_string_equal(call.answer.content_type, "");
    hush_http_answer_clear(&call.answer);
    call_get(&call, f, "/status/404");
    expect_call(&call, HUSH_OK, "");
    assert_int_equal(call.answer.code, 404);
    assert_string_equal(call.answer.body, "CANARY");
    hush_http_answer_clear(&call.answer);
    hush_http_answer_clear(&call.answer); /* again is harmless */
}

/* The request as it was received. */
static void expect_sent(const struct fixture *f, const struct hush_http_request *request,
                        const char *const *has, const char *const *has_not)
{
    struct call call;

    call_request(&call, f, NULL, request, FIXTURE_TIMEOUT_MS);
    expect_call(&call, HUSH_OK, "");
    assert_string_equal(call.answer.content_type, "text/plain");
    for (; *has != NULL; has++)
        if (strstr(call.answer.body, *has) == NULL)
            fail_msg("\"%s\" is not in:\n%s", *has, call.answer.body);
    for (; *has_not != NULL; has_not++)
        if (strcasestr(call.answer.body, *has_not) != NULL)
            fail_msg("\"%s\" is in:\n%s", *has_not, call.answer.body);
    hush_http_answer_clear(&call.answer);
}

static void test_requests(void **state)
{
    const struct fixture *f = *state;
    struct hush_secret *token = NULL;
    struct hush_op op;

    hush_op_init(&op, f->arena, 0);
    assert_int_equal(hush_secret_new(&op, "CANARY1", 7, &token), HUSH_OK);
    const struct hush_http_header headers[] = {
        {"X-Vault-Token", NULL, token}, {"X-Text", "a: b", NULL}, {"X-Empty", "", NULL}, {0}};

    expect_sent(f,
                &(const struct hush_http_request){
                    .method = "GET", .url = "/echo/a%2Fb/%2E?x=%20", .headers = headers},
                (const char *const[]){"GET /echo/a%2Fb/%2E?x=%20 HTTP/1.1\r\n",
                                      "\r\nX-Vault-Token: CANARY1\r\n", "\r\nX-Text: a: b\r\n",
                                      "\r\nX-Empty:\r\n", "\r\nUser-Agent: hushfs/", NULL},
                (const char *const[]){"Accept-Encoding", "Cookie", "Expect", "Authorization",
                                      "Content-Type", "Content-Length", "Referer", NULL});
    expect_sent(f, &(const struct hush_http_request){.method = "LIST", .url = "/echo"},
                (const char *const[]){"LIST /echo HTTP/1.1\r\n", NULL},
                (const char *const[]){"X-Vault-Token", "X-Text", NULL}); /* not the last one's */
    expect_sent(f,
                &(const struct hush_http_request){
                    .method = "POST", .url = "/echo", .body = "{\0}x", .body_size = 3},
                (const char *const[]){"POST /echo HTTP/1.1\r\n",
                                      "\r\nContent-Type: application/json\r\n",
                                      "\r\nContent-Length: 3\r\n", "\r\n\r\n{", NULL},
                (const char *const[]){"Expect", "urlencoded", NULL});
    expect_sent(f,
                &(const struct hush_http_request){.method = "PUT",
                                                  .url = "/echo",
                                                  .body = "a=b",
                                                  .body_size = 3,
                                                  .content_type = "text/x-own"},
                (const char *const[]){"PUT /echo HTTP/1.1\r\n", "\r\nContent-Type: text/x-own\r\n",
                                      "\r\n\r\na=b", NULL},
                (const char *const[]){"json", NULL});
    expect_sent(f, &(const struct hush_http_request){.method = "POST", .url = "/echo"},
                (const char *const[]){"POST /echo HTTP/1.1\r\n", "\r\nContent-Length: 0\r\n", NULL},
                (const char *const[]){"Content-Type", NULL});
    hush_secret_unref(token);
}

static void test_head(void **state)
{
    const struct fixture *f = *state;
    struct call call;

    call_request(&call, f, NULL, &(const struct hush_http_request){.method = "HEAD", .url = "/ok"},
                 FIXTURE_TIMEOUT_MS);
    expect_call(&call, HUSH_OK, "");
    assert_int_equal(call.answer.code, 200);
    assert_int_equal(call.answer.size, 0);
    hush_http_answer_clear(&call.answer);
}

/* -- Bad answers ------------------------------------------------------------------------------- */

static void test_evil_answers(void **state)
{
    /* clang-format off */
    static const struct { const char *path; enum hush_status status; const char *detail; } rows[] = {
        {"/short",       HUSH_PROTOCOL,    "cut off"},
        {"/short-chunk", HUSH_PROTOCOL,    "cut off"},
        {"/nolen",       HUSH_PROTOCOL,    "does not tell its length"},
        {"/lenbig",      HUSH_TOO_LARGE,   "too large"},
        {"/chunkbig",    HUSH_TOO_LARGE,   "larger than 2097152 bytes"},
        {"/headers",     HUSH_PROTOCOL,    "headers are larger than 65536 bytes"},
        {"/line",        HUSH_PROTOCOL,    "header of the answer is too large"},
        {"/continue",    HUSH_PROTOCOL,    "headers are larger than 65536 bytes"},
        {"/garbage",     HUSH_PROTOCOL,    "not HTTP"},
        {"/http09",      HUSH_PROTOCOL,    "not HTTP"},
        {"/badchunk",    HUSH_UNAVAILABLE, "connection lost"},
        {"/close",       HUSH_UNAVAILABLE, "without an answer"},
    };
    /* clang-format on */
    const struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct call call;

        call_get(&call, f, rows[i].path);
        expect_call(&call, rows[i].status, rows[i].detail);
        assert_non_null(strstr(call.op.detail, "127.0.0.1:")); /* which server */
        if (call.ms > 5000)
            fail_msg("%s took %u ms", rows[i].path, call.ms);
        expect_body(f, "/ok", "ok"); /* and the client is as good as before */
    }
}

static void test_answer_max(void **state)
{
    const struct fixture *f = *state;
    struct hush_http_request request = {.method = "GET", .url = "/chunked", .answer_max = 11};
    struct call call;

    call_request(&call, f, NULL, &request, FIXTURE_TIMEOUT_MS);
    expect_call(&call, HUSH_OK, "");
    hush_http_answer_clear(&call.answer);
    request.answer_max = 10;
    call_request(&call, f, NULL, &request, FIXTURE_TIMEOUT_MS);
    expect_call(&call, HUSH_TOO_LARGE, "larger than 10 bytes");
    request.url = "/needle/1";
    call_request(&call, f, NULL, &request, FIXTURE_TIMEOUT_MS);
    expect_call(&call, HUSH_TOO_LARGE, "too large");
}

/* 190 MB are offered; about the cap is taken. */
static void test_flood_memory(void **state)
{
    const struct fixture *f = *state;
    struct mallinfo2 before = mallinfo2(), after;
    struct call call;

    call_get(&call, f, "/chunkbig");
    expect_call(&call, HUSH_TOO_LARGE, "");
    after = mallinfo2();
    assert_true(after.arena + after.hblkhd < before.arena + before.hblkhd + (size_t)(16 << 20));
}

/* 50 MB in 50 kB: they stay packed. */
static void test_gzip_is_not_unpacked(void **state)
{
    const struct fixture *f = *state;
    struct call call;

    call_get(&call, f, "/gzip");
    expect_call(&call, HUSH_OK, "");
    assert_true(call.answer.size < 200000);
    assert_int_equal((unsigned char)call.answer.body[0], 0x1f);
    assert_int_equal((unsigned char)call.answer.body[1], 0x8b);
    hush_http_answer_clear(&call.answer);
}

static void test_redirects(void **state)
{
    const struct fixture *f = *state;
    const struct hush_http_header headers[] = {{"X-Vault-Token", "CANARY", NULL}, {0}};
    struct hush_http_request request = {.method = "GET", .url = "/redir", .headers = headers};
    struct call call;

    for (size_t i = 0; i < 2; i++) {
        call_request(&call, f, NULL, &request, FIXTURE_TIMEOUT_MS);
        expect_call(&call, HUSH_OK, "");
        assert_int_equal(call.answer.code, 307);
        assert_int_equal(call.answer.size, 0);
        request.url = "http://127.0.0.1:1/redir?CANARY";
        assert_int_equal(hush_http_status(&call.op, &request, &call.answer), HUSH_PROTOCOL);
        assert_non_null(strstr(call.op.detail, "the server redirects"));
        hush_http_answer_clear(&call.answer);
        request.url = "/redirfile";
    }
    assert_int_equal(fixture_count(f, "stolen"), 0);
    /* The counter counts. */
    char url[64];
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/ok", fixture_port(f, "other"));
    request.url = url;
    call_request(&call, f, NULL, &request, FIXTURE_TIMEOUT_MS);
    hush_http_answer_clear(&call.answer);
    assert_int_equal(fixture_count(f, "stolen"), 1);
}

static void test_no_connection(void **state)
{
    const struct fixture *f = *state;
    char url[64], host[32];
    struct call call;

    (void)snprintf(host, sizeof(host), "127.0.0.1:%u:", fixture_port(f, "closed"));
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/", fixture_port(f, "closed"));
    call_get(&call, f, url);
    expect_call(&call, HUSH_UNAVAILABLE, "no connection: Connection refused");
    assert_memory_equal(call.op.detail, host, strlen(host));
}

/* -- Time -------------------------------------------------------------------------------------- */

static void test_deadline(void **state)
{
    static const char *const paths[] = {"/hang", "/drip", "/hang/post"};
    const struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(paths); i++) {
        const struct hush_http_request request = {.method = i == 2 ? "POST" : "GET",
                                                  .url = paths[i],
                                                  .body = i == 2 ? "{}" : NULL,
                                                  .body_size = i == 2 ? 2 : 0};
        struct call call;

        call_request(&call, f, NULL, &request, 400);
        expect_call(&call, HUSH_TIMEOUT, "deadline");
        assert_in_range(call.ms, 400, 550);
    }
    expect_body(f, "/ok", "ok");
}

/* Nothing is sent. */
static void test_deadline_that_passed(void **state)
{
    const struct fixture *f = *state;
    const unsigned requests = fixture_count(f, "requests");
    struct hush_http_answer answer = {0};
    struct hush_op op;
    char url[64];

    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/ok", fixture_port(f, "plain"));
    hush_op_init(&op, f->arena, 1);
    (void)nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    assert_int_equal(hush_http_call(f->http, &op,
                                    &(const struct hush_http_request){.method = "GET", .url = url},
                                    &answer),
                     HUSH_TIMEOUT);
    assert_int_equal(fixture_count(f, "requests"), requests);
}

static void *cancel_later(void *ctx)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
    hush_op_cancel(ctx);
    return NULL;
}

static void test_cancel(void **state)
{
    const struct fixture *f = *state;
    struct hush_http_answer answer = {0};
    struct hush_op op;
    pthread_t thread;
    uint64_t start_ns;
    char url[64];

    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/hang", fixture_port(f, "plain"));
    hush_op_init(&op, f->arena, FIXTURE_TIMEOUT_MS);
    start_ns = hush_now_ns();
    assert_int_equal(pthread_create(&thread, NULL, cancel_later, &op), 0);
    assert_int_equal(hush_http_call(f->http, &op,
                                    &(const struct hush_http_request){.method = "GET", .url = url},
                                    &answer),
                     HUSH_CANCELED);
    assert_in_range((hush_now_ns() - start_ns) / HUSH_NS_PER_MS, 200, 300);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_null(answer.body);
}

/* It sleeps until something comes. */
static void test_a_hanging_call_does_not_look(void **state)
{
    const struct fixture *f = *state;
    struct rusage before, after;
    struct call call;

    assert_int_equal(getrusage(RUSAGE_THREAD, &before), 0);
    call_request(&call, f, NULL, &(const struct hush_http_request){.method = "GET", .url = "/hang"},
                 1000);
    assert_int_equal(getrusage(RUSAGE_THREAD, &after), 0);
    expect_call(&call, HUSH_TIMEOUT, "deadline");
    assert_in_range(after.ru_nvcsw - before.ru_nvcsw, 0, 15);
}

/* -- Connections ------------------------------------------------------------------------------- */

static void test_connections_are_kept(void **state)
{
    const struct fixture *f = *state;
    unsigned before;

    expect_body(f, "/ok", "ok");
    before = fixture_count(f, "connections");
    for (size_t i = 0; i < 100; i++)
        expect_body(f, "/ok", "ok");
    assert_int_equal(fixture_count(f, "connections"), before);
}

/* Closed while idle: nobody notices, whatever the method. */
static void test_closed_while_idle(void **state)
{
    static const char *const methods[] = {"GET", "POST"};
    const struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(methods); i++) {
        struct call call;

        expect_body(f, "/ok/then-close", "ok");
        (void)nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
        call_request(&call, f, NULL,
                     &(const struct hush_http_request){.method = methods[i], .url = "/ok"},
                     FIXTURE_TIMEOUT_MS);
        expect_call(&call, HUSH_OK, "");
        assert_int_equal(call.answer.code, 200);
        hush_http_answer_clear(&call.answer);
    }
}

/* Lost after the request was sent: what only reads is sent again, what may do something is not. */
static void test_lost_after_sending(void **state)
{
    const struct fixture *f = *state;
    const unsigned died = fixture_count(f, "died");
    unsigned requests;
    struct call call;

    expect_body(f, "/ok/then-die", "ok");
    expect_body(f, "/ok", "ok");
    assert_int_equal(fixture_count(f, "died"), died + 1);
    expect_body(f, "/ok/then-die", "ok");
    requests = fixture_count(f, "died"); /* on that connection: lost, and sent again */
    assert_int_equal(requests, died + 2);
    expect_body(f, "/ok/then-die", "ok");
    call_request(&call, f, NULL, &(const struct hush_http_request){.method = "POST", .url = "/ok"},
                 FIXTURE_TIMEOUT_MS);
    expect_call(&call, HUSH_UNAVAILABLE, "closed the connection before it answered");
    assert_int_equal(fixture_count(f, "died"), died + 3);
}

static void *call_many(void *ctx)
{
    const struct fixture *f = ctx;

    for (size_t i = 0; i < 25; i++) {
        struct call call;

        call_get(&call, f, "/echo");
        if (call.status != HUSH_OK || call.answer.code != 200)
            return NULL;
        hush_http_answer_clear(&call.answer);
    }
    return ctx;
}

static void test_threads(void **state)
{
    struct fixture *f = *state;
    const unsigned before = fixture_count(f, "connections");
    pthread_t threads[8];

    for (size_t i = 0; i < COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call_many, f), 0);
    for (size_t i = 0; i < COUNT(threads); i++) {
        void *good = NULL;

        assert_int_equal(pthread_join(threads[i], &good), 0);
        assert_non_null(good);
    }
    assert_true(fixture_count(f, "connections") <= before + COUNT(threads));
}

/* -- Retry-After ------------------------------------------------------------------------------- */

static time_t wall_2026(void)
{
    return 1767225600; /* Thu, 01 Jan 2026 00:00:00 GMT */
}

static void test_retry_after(void **state)
{
    /* clang-format off */
    static const struct { const char *path; uint32_t ms; } rows[] = {
        {"/status/429",                                      0},
        {"/status/429/7",                                    7000},
        {"/status/503/0",                                    0},
        {"/status/503/-5",                                   0},
        {"/status/503/soon",                                 0},
        {"/status/503/99999999999999999999",                 3600000},
        {"/status/503/Thu,_01_Jan_2026_00:00:30_GMT",        30000},
        {"/status/503/Wed,_31_Dec_2025_00:00:30_GMT",        0},
        {"/status/503/Fri,_01_Jan_2027_00:00:00_GMT",        3600000},
        {"/early",                                           0}, /* of the 103, not of the answer */
    };
    /* clang-format on */
    const struct fixture *f = *state;

    hush_clock_inject(NULL, wall_2026);
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct hush_http_request request = {.method = "GET", .url = "http://h/p"};
        struct call call;

        call_get(&call, f, rows[i].path);
        expect_call(&call, HUSH_OK, "");
        assert_int_equal(call.answer.retry_after_ms, rows[i].ms);
        (void)hush_http_status(&call.op, &request, &call.answer);
        assert_int_equal(call.op.retry_after_ms, rows[i].ms);
        hush_http_answer_clear(&call.answer);
    }
    hush_clock_inject(NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_evil_answers),
        cmocka_unit_test(test_answer_max),
        cmocka_unit_test(test_flood_memory),
        cmocka_unit_test(test_gzip_is_not_unpacked),
        cmocka_unit_test(test_redirects),
        cmocka_unit_test(test_no_connection),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_deadline_that_passed),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_a_hanging_call_does_not_look),
        cmocka_unit_test(test_connections_are_kept),
        cmocka_unit_test(test_closed_while_idle),
        cmocka_unit_test(test_lost_after_sending),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_retry_after),
    };

    if (!hush_wipe_openssl_init() || !hush_http_init())
        return EXIT_FAILURE;
    return cmocka_run_group_tests(tests, fixture_set_up, fixture_tear_down);
}
