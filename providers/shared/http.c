/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.c - the HTTP client: its connections, and one call from beginning to end. Every network
 * provider calls it, from any thread.
 *
 * A line is one curl multi handle with its one easy handle; a kept connection belongs to its line.
 * A call takes the line that was used last, so that few connections are kept and those stay warm.
 *
 * The deadline is this file's, not curl's: what is under way at the end, or when it is canceled, is
 * dropped with its connection. Names are resolved by a thread that curl starts;
 * getaddrinfo() cannot be interrupted, and curl would wait for it when the request is dropped:
 * CURLOPT_QUICK_EXIT makes it leave that thread alone, which ends by itself. curl never forks.
 */
#include "http_int.h"

#include "core/cleanup.h"
#include "core/wipealloc.h"

#include <limits.h>
#include <string.h>

enum {
    HTTP_IDLE_MAX = 8,  /* lines that are kept */
    HTTP_HOSTS_MAX = 4, /* connections of a line: a login and its API may be at two hosts */
};

struct http_line {
    struct hush_waker waker;
    struct http_line *next;
    CURLM *multi;
    CURL *easy;
};

struct hush_http {
    struct hush_http_config config;
    pthread_mutex_t mutex; /* for what follows; not held during a call */
    struct http_line *idle;
    unsigned idle_count;
};

/* -- The process ------------------------------------------------------------------------------- */

bool hush_http_init(void)
{
    /* libcurl and OpenSSL read them when they are loaded, and none of them is the environment's to
     * say: keys would be written to a file, foreign code be loaded. What curl reads later is
     * switched off for each request. */
    static const char *const names[] = {"SSLKEYLOGFILE", "OPENSSL_CONF", "OPENSSL_CONF_INCLUDE",
                                        "OPENSSL_MODULES", "OPENSSL_ENGINES"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (unsetenv(names[i]) != 0)
            return false;
    return true;
}

/* -- Lines ------------------------------------------------------------------------------------- */

static void line_wake(struct hush_waker *self)
{
    (void)hush_curl.multi_wakeup(
        ((struct http_line *)(void *)self)->multi); /* if it fails: later */
}

static void line_free(struct http_line *line)
{
    if (line == NULL)
        return;
    hush_curl.easy_cleanup(line->easy);
    (void)hush_curl.multi_cleanup(line->multi); /* nothing is in it */
    hush_wipe_free(line);
}

static struct http_line *line_new(void)
{
    struct http_line *line = hush_wipe_calloc(1, sizeof(*line));

    if (line == NULL)
        return NULL;
    line->waker.wake = line_wake;
    line->multi = hush_curl.multi_init();
    line->easy = hush_curl.easy_init();
    if (line->multi != NULL && line->easy != NULL &&
        hush_curl.multi_setopt(line->multi, CURLMOPT_MAXCONNECTS, (long)HTTP_HOSTS_MAX) == CURLM_OK)
        return line;
    line_free(line);
    return NULL;
}

static struct http_line *line_take(struct hush_http *http)
{
    struct http_line *line;

    {
        hush_lock_scope(&http->mutex);
        line = http->idle;
        if (line != NULL) {
            http->idle = line->next;
            http->idle_count--;
        }
    }
    return line != NULL ? line : line_new();
}

static void line_give(struct hush_http *http, struct http_line *line)
{
    hush_curl.easy_reset(line->easy); /* forgets the request; connections and TLS sessions stay */
    {
        hush_lock_scope(&http->mutex);
        if (http->idle_count < HTTP_IDLE_MAX) {
            line->next = http->idle;
            http->idle = line;
            http->idle_count++;
            line = NULL;
        }
    }
    line_free(line);
}

/* -- The client -------------------------------------------------------------------------------- */

enum hush_status hush_http_new(struct hush_op *op, const struct hush_http_config *config,
                               struct hush_http **out)
{
    const enum hush_status status = hush_curl_load(op);
    struct hush_http *http;

    if (status != HUSH_OK)
        return status;
    http = calloc(1, sizeof(*http));
    if (http == NULL)
        return hush_fail(op, HUSH_NO_MEMORY, "no memory for an HTTP client");
    http->config = *config;
    if (pthread_mutex_init(&http->mutex, NULL) != 0) {
        free(http);
        return hush_fail(op, HUSH_NO_MEMORY, "no memory for an HTTP client");
    }
    *out = http;
    return HUSH_OK;
}

void hush_http_free(struct hush_http *http)
{
    if (http == NULL)
        return;
    while (http->idle != NULL) {
        struct http_line *line = http->idle;

        http->idle = line->next;
        line_free(line);
    }
    pthread_mutex_destroy(&http->mutex);
    free(http);
}

/* -- A call ------------------------------------------------------------------------------------ */

/* curl's result for the one transfer. */
static CURLcode line_result(struct http_line *line)
{
    CURLcode code = CURLE_FAILED_INIT;
    CURLMsg *message;
    int left;

    while ((message = hush_curl.multi_info_read(line->multi, &left)) != NULL)
        if (message->msg == CURLMSG_DONE)
            code = message->data.result;
    return code;
}

/* Until the transfer ended, which *code then tells. */
static enum hush_status line_drive(struct http_line *line, struct hush_op *op, const char *url,
                                   CURLcode *code)
{
    const struct hush_http_url at = hush_http_split(url);
    CURLMcode error = CURLM_OK;

    while (error == CURLM_OK) {
        const uint32_t left_ms = hush_op_left_ms(op);
        int running = 0;

        if (hush_op_canceled(op))
            return hush_fail(op, HUSH_CANCELED, "%.*s: canceled", at.host_size, at.host);
        if (left_ms == 0)
            return hush_fail(op, HUSH_TIMEOUT, "%.*s: no answer within the deadline", at.host_size,
                             at.host);
        error = hush_curl.multi_perform(line->multi, &running);
        if (error == CURLM_OK && running == 0) {
            *code = line_result(line);
            return HUSH_OK;
        }
        if (error == CURLM_OK)
            error = hush_curl.multi_poll(line->multi, NULL, 0,
                                         left_ms < INT_MAX ? (int)left_ms : INT_MAX, NULL);
    }
    return hush_fail(op, HUSH_NO_MEMORY, "%.*s: %s", at.host_size, at.host,
                     hush_curl.multi_strerror(error));
}

static enum hush_status line_call(struct http_line *line, struct hush_op *op,
                                  struct hush_http_exchange *exchange, struct hush_http_answer *out)
{
    struct hush_waker *before;
    enum hush_status status;
    CURLcode code = CURLE_OK;

    if (!hush_http_prepare(line->easy, exchange) ||
        hush_curl.multi_add_handle(line->multi, line->easy) != CURLM_OK)
        return hush_fail(op, HUSH_NO_MEMORY, "no memory for an HTTP request");
    before = hush_op_waker(op, &line->waker);
    status = line_drive(line, op, exchange->request->url, &code);
    (void)hush_op_waker(op, before);
    if (status == HUSH_OK)
        status = code == CURLE_OK ? hush_http_take(line->easy, op, exchange, out)
                                  : hush_http_fault(line->easy, op, exchange, code);
    (void)hush_curl.multi_remove_handle(line->multi, line->easy); /* it is in there */
    return status;
}

enum hush_status hush_http_call(struct hush_http *http, struct hush_op *op,
                                const struct hush_http_request *request,
                                struct hush_http_answer *out)
{
    struct hush_http_exchange exchange = {
        .config = &http->config,
        .request = request,
        .max = request->answer_max == 0 ? HUSH_HTTP_BODY_MAX : request->answer_max,
    };
    enum hush_status status = hush_http_check(op, request);
    struct http_line *line;

    if (status != HUSH_OK)
        return status;
    line = line_take(http);
    if (line == NULL)
        return hush_fail(op, HUSH_NO_MEMORY, "no memory for an HTTP connection");
    status = line_call(line, op, &exchange, out);
    line_give(http, line);
    hush_http_exchange_done(&exchange); /* after curl has let go of it */
    return status;
}

void hush_http_answer_clear(struct hush_http_answer *answer)
{
    hush_wipe_free(answer->body);
    *answer = (struct hush_http_answer){0};
}
