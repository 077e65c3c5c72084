/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.h - the one HTTP client, and the only place that includes curl.h. It sends a request and
 * gives the answer; what the answer means is the provider's matter.
 *
 * What holds for every call: it ends by op's deadline and soon after op is canceled; TLS 1.2 or
 * newer, verified; https, or http to a loopback host (hush_url_fault()); HTTP/1.1 alone, as with
 * HTTP/2 a kept connection would keep token and body (http_request.c); connections are kept and
 * used again; no redirect is followed (one is an answer like any other, and hush_http_status()
 * refuses it); no proxy, .netrc, cookie or key log is taken from the environment; the body is
 * capped as it arrives. Bodies and headers are in memory that is wiped as it is released, curl's
 * own copies too.
 *
 * Threads: any number may use one client at the same time.
 */
#ifndef HUSH_HTTP_H
#define HUSH_HTTP_H

#include "provider.h"

enum { HUSH_HTTP_BODY_MAX = 2 << 20, HUSH_HTTP_HEADERS_MAX = 64 << 10 };

/* Once per process, after hush_wipe_openssl_init() and before any thread: takes out of the
 * environment what would make libcurl and OpenSSL write keys or load code. */
__attribute__((warn_unused_result)) bool hush_http_init(void);

/* Everything is borrowed for the client's life; NULL: the library's default. */
struct hush_http_config {
    const char *ca_file;     /* PEM; instead of the system's authorities */
    const char *ca_path;     /* a directory of hashed PEM files, likewise */
    const char *cert_file;   /* PEM: our own certificate, read again for each new connection */
    const char *key_file;    /* its key; NULL: in cert_file */
    const char *server_name; /* the name that the certificate must have, and SNI; NULL: the URL's */
    bool insecure;           /* ssl_verify = no */
    uint32_t connect_timeout_ms; /* 0: the deadline alone */
};

struct hush_http;

/* A new client in *out, which the caller owns; the first one loads libcurl. Nothing is opened or
 * read yet. HUSH_CONFIG: there is no usable libcurl; HUSH_NO_MEMORY. */
__attribute__((warn_unused_result)) enum hush_status
hush_http_new(struct hush_op *op, const struct hush_http_config *config, struct hush_http **out);
void hush_http_free(struct hush_http *http); /* closes its connections; no call may run; NULL ok */

/* One header line. The value is either text or, for tokens, a secret: never a copy in our heap. */
struct hush_http_header {
    const char *name; /* NULL: the end of the table */
    const char *value;
    const struct hush_secret *secret;
};

struct hush_http_request {
    const char *method;                     /* "GET", "POST", "LIST", … */
    const char *url;                        /* whole, encoded: see hush_http_encode() */
    const struct hush_http_header *headers; /* ends with a NULL name; NULL: none */
    const void *body;                       /* borrowed; NULL: none */
    size_t body_size;
    const char *content_type; /* NULL: application/json, if there is a body */
    size_t answer_max;        /* bytes; 0: HUSH_HTTP_BODY_MAX */
};

struct hush_http_answer {
    int code;   /* 200, … */
    char *body; /* owned; NUL-terminated beyond size; never NULL in an answer */
    size_t size;
    uint32_t retry_after_ms; /* Retry-After, seconds or date; 0: none */
    char content_type[64];   /* "" if none; cut if longer */
};
void hush_http_answer_clear(struct hush_http_answer *answer); /* wipes; NULL body ok */

/*
 * Send request, wait for the whole answer. HUSH_OK for any complete answer, whatever its code.
 * Otherwise (detail says which host, and what to do): HUSH_UNAVAILABLE (no connection, name not
 * resolved, connection lost), HUSH_TIMEOUT, HUSH_CANCELED, HUSH_TOO_LARGE (above answer_max),
 * HUSH_PROTOCOL (no HTTP, cut off or without a length and so perhaps cut off, headers above
 * HUSH_HTTP_HEADERS_MAX), HUSH_CONFIG (certificate not trusted, a file of the configuration
 * cannot be read, a URL that is not allowed or has a segment "." or "..", a header that cannot be
 * sent). GET, HEAD and LIST are sent a second time if a kept connection is lost before it answers;
 * nothing else is.
 */
__attribute__((warn_unused_result)) enum hush_status
hush_http_call(struct hush_http *http, struct hush_op *op, const struct hush_http_request *request,
               struct hush_http_answer *out);

/*
 * What code means where a backend has no rule of its own: 2xx OK; 400 BACKEND; 401, 403 DENIED; 404
 * NOT_FOUND; 408 TIMEOUT; 429 THROTTLED (and Retry-After is handed to op); 3xx PROTOCOL ("the
 * server redirects; …"); 502, 503, 504 UNAVAILABLE (Retry-After likewise); any other BACKEND.
 * detail gets the code and the URL's host and path, never its query or the body.
 */
enum hush_status hush_http_status(struct hush_op *op, const struct hush_http_request *request,
                                  const struct hush_http_answer *answer);

/* Write text percent-encoded as one path segment, or several with keep_slashes, as a string into
 * out; false: too long. Everything but [A-Za-z0-9-._~] is encoded. */
bool hush_http_encode(const char *text, bool keep_slashes, char *out, size_t size);

#endif
