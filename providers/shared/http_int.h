/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_int.h - what the files of the HTTP client share: http.c keeps the connections and drives a
 * call, http_request.c tells curl what to send and collects the answer, http_status.c says what
 * went wrong. One thread works on an exchange.
 */
#ifndef HUSH_HTTP_INT_H
#define HUSH_HTTP_INT_H

#include "http.h"
#include "libcurl.h"

/* One request under way and what came of it so far. */
struct hush_http_exchange {
    const struct hush_http_config *config;
    const struct hush_http_request *request;
    struct curl_slist *headers; /* curl's heap, which wipes */
    char *target;               /* what curl takes for the URL; in the same heap */
    struct curl_slist *connect; /* where it really connects to */
    char *body;                 /* in memory that wipes, as is the answer's */
    size_t size, room, max;
    size_t header_size;      /* all headers of all answers, 1xx too */
    unsigned tries;          /* how often it was sent */
    uint32_t retry_after_ms; /* of the last answer */
    bool is_chunked;         /* likewise */
    bool is_too_large, is_header_too_large, is_no_memory;
};

/* What no server should be asked. HUSH_CONFIG with the reason, or HUSH_OK. */
enum hush_status hush_http_check(struct hush_op *op, const struct hush_http_request *request);

/* Everything that curl must know. False: no memory. The exchange stays where it is until done. */
bool hush_http_prepare(CURL *easy, struct hush_http_exchange *exchange);
void hush_http_exchange_done(struct hush_http_exchange *exchange);

/* The whole answer, if it is one; exchange's body goes to out. */
enum hush_status hush_http_take(CURL *easy, struct hush_op *op, struct hush_http_exchange *exchange,
                                struct hush_http_answer *out);

/* What code, which is not CURLE_OK, means for the caller, and why. */
enum hush_status hush_http_fault(CURL *easy, struct hush_op *op,
                                 const struct hush_http_exchange *exchange, CURLcode code);

/* The parts of a URL that hush_url_fault() let pass: "host:port" and what follows it. */
struct hush_http_url {
    int scheme_size; /* with "://" */
    int host_size;
    int path_size; /* "" or "/…" without query */
    const char *host, *path;
};
struct hush_http_url hush_http_split(const char *url);

/* Retry-After's value: seconds or a date. 0: neither, or past. At most an hour. */
uint32_t hush_http_retry_after_ms(const char *text);

#endif
