/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_status.c - what went wrong, in our words: curl's results, HTTP's codes, Retry-After; and how
 * names go into URLs. curl's own texts are not used where they could quote an answer.
 */
#include "http_int.h"

#include "core/clock.h"

#include <errno.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

enum { HTTP_RETRY_MAX_S = 3600 };

/* -- What curl says ---------------------------------------------------------------------------- */

/* clang-format off */
static const struct fault_row {
    CURLcode code;
    enum hush_status status;
    const char *text;
} fault_rows[] = {
    {CURLE_COULDNT_RESOLVE_HOST,     HUSH_UNAVAILABLE, "the name cannot be resolved"},
    {CURLE_OPERATION_TIMEDOUT,       HUSH_TIMEOUT,     "no connection within the connect timeout"},
    {CURLE_GOT_NOTHING,              HUSH_UNAVAILABLE, "the server closed the connection without an answer"},
    {CURLE_SEND_ERROR,               HUSH_UNAVAILABLE, "connection lost while sending"},
    {CURLE_RECV_ERROR,               HUSH_UNAVAILABLE, "connection lost"},
    {CURLE_ABORTED_BY_CALLBACK,      HUSH_UNAVAILABLE, "the server closed the connection before it answered"},
    {CURLE_PARTIAL_FILE,             HUSH_PROTOCOL,    "the answer is cut off"},
    {CURLE_UNSUPPORTED_PROTOCOL,     HUSH_PROTOCOL,    "the answer is not HTTP/1.0 or newer"},
    {CURLE_WEIRD_SERVER_REPLY,       HUSH_PROTOCOL,    "the answer is not valid HTTP"},
    {CURLE_BAD_CONTENT_ENCODING,     HUSH_PROTOCOL,    "the answer is not valid HTTP"},
    {CURLE_FILESIZE_EXCEEDED,        HUSH_TOO_LARGE,   "the answer is too large"},
    {CURLE_OUT_OF_MEMORY,            HUSH_NO_MEMORY,   "no memory"},
    {CURLE_SSL_CONNECT_ERROR,        HUSH_UNAVAILABLE, "no TLS connection: does the server speak TLS 1.2 or newer at this port?"},
    {CURLE_SSL_SHUTDOWN_FAILED,      HUSH_UNAVAILABLE, "connection lost"},
    {CURLE_SSL_CIPHER,               HUSH_CONFIG,      "no common TLS cipher"},
};
/* clang-format on */

/* What the peer's certificate lacks. */
static enum hush_status fault_peer(CURL *easy, struct hush_op *op, struct hush_http_url at)
{
    long result = X509_V_OK;

    (void)hush_curl.easy_getinfo(easy, CURLINFO_SSL_VERIFYRESULT, &result);
    /* OpenSSL trusts it; curl leaves "unspecified" there while it looks at the name. */
    if (result == X509_V_OK || result == X509_V_ERR_UNSPECIFIED)
        return hush_fail(op, HUSH_CONFIG,
                         "%.*s: the certificate is for another name: use that name in the URL, or "
                         "say which name it must have",
                         at.host_size, at.host);
    if (result == X509_V_ERR_CERT_HAS_EXPIRED || result == X509_V_ERR_CERT_NOT_YET_VALID)
        return hush_fail(op, HUSH_CONFIG,
                         "%.*s: certificate not trusted (%s): renew it on the server, or set the "
                         "clock",
                         at.host_size, at.host, X509_verify_cert_error_string(result));
    return hush_fail(op, HUSH_CONFIG,
                     "%.*s: certificate not trusted (%s): set ca_file or ca_path to the authority "
                     "that signed it",
                     at.host_size, at.host, X509_verify_cert_error_string(result));
}

static enum hush_status fault_connect(CURL *easy, struct hush_op *op, struct hush_http_url at)
{
    long err = 0;

    (void)hush_curl.easy_getinfo(easy, CURLINFO_OS_ERRNO, &err);
    errno = (int)err;
    return hush_fail(op, HUSH_UNAVAILABLE,
                     err == 0 ? "%.*s: no connection" : "%.*s: no connection: %m", at.host_size,
                     at.host);
}

static enum hush_status fault_ours(struct hush_op *op, const struct hush_http_exchange *exchange,
                                   struct hush_http_url at)
{
    if (exchange->is_too_large)
        return hush_fail(op, HUSH_TOO_LARGE, "%.*s: the answer is larger than %zu bytes",
                         at.host_size, at.host, exchange->max);
    if (exchange->is_header_too_large)
        return hush_fail(op, HUSH_PROTOCOL, "%.*s: the answer's headers are larger than %d bytes",
                         at.host_size, at.host, HUSH_HTTP_HEADERS_MAX);
    return hush_fail(op, HUSH_NO_MEMORY, "no memory for an answer");
}

/* curl ended because of a file of the configuration. */
static enum hush_status fault_file(struct hush_op *op, const struct hush_http_config *config,
                                   CURLcode code)
{
    if (code == CURLE_SSL_CACERT_BADFILE)
        return hush_fail(op, HUSH_CONFIG, "cannot read certificates from %s",
                         config->ca_file != NULL   ? config->ca_file
                         : config->ca_path != NULL ? config->ca_path
                                                   : "the system's authorities");
    return hush_fail(op, HUSH_CONFIG, "cannot use the client certificate %s with its key %s",
                     config->cert_file == NULL ? "" : config->cert_file,
                     config->key_file == NULL ? "in it" : config->key_file);
}

enum hush_status hush_http_fault(CURL *easy, struct hush_op *op,
                                 const struct hush_http_exchange *exchange, CURLcode code)
{
    const struct hush_http_url at = hush_http_split(exchange->request->url);
    long sent = 0;

    (void)hush_curl.easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &sent);
    if (exchange->is_too_large || exchange->is_header_too_large || exchange->is_no_memory)
        return fault_ours(op, exchange, at);
    if (code == CURLE_PEER_FAILED_VERIFICATION)
        return fault_peer(easy, op, at);
    if (code == CURLE_COULDNT_CONNECT)
        return fault_connect(easy, op, at);
    if (code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_CERTPROBLEM)
        return fault_file(op, exchange->config, code);
    /* What curl says of a header line above its own maximum. */
    if (code == CURLE_OUT_OF_MEMORY && sent > 0)
        return hush_fail(op, HUSH_PROTOCOL, "%.*s: a header of the answer is too large",
                         at.host_size, at.host);
    for (size_t i = 0; i < sizeof(fault_rows) / sizeof(fault_rows[0]); i++)
        if (fault_rows[i].code == code)
            return hush_fail(op, fault_rows[i].status, "%.*s: %s", at.host_size, at.host,
                             fault_rows[i].text);
    return hush_fail(op, HUSH_UNAVAILABLE, "%.*s: %s", at.host_size, at.host,
                     hush_curl.easy_strerror(code));
}

/* -- What HTTP says ---------------------------------------------------------------------------- */

/* The first row that holds code. */
/* clang-format off */
static const struct code_row {
    int first, last;
    enum hush_status status;
    bool waits; /* Retry-After is handed on */
    const char *text;
} code_rows[] = {
    {200, 299, HUSH_OK,          false, ""},
    {300, 399, HUSH_PROTOCOL,    false, "the server redirects; set the address to where it redirects to"},
    {400, 400, HUSH_BACKEND,     false, "bad request"},
    {401, 401, HUSH_DENIED,      false, "not authenticated"},
    {403, 403, HUSH_DENIED,      false, "forbidden"},
    {404, 404, HUSH_NOT_FOUND,   false, "not found"},
    {408, 408, HUSH_TIMEOUT,     false, "the server timed out"},
    {429, 429, HUSH_THROTTLED,   true,  "too many requests"},
    {502, 504, HUSH_UNAVAILABLE, true,  "not available"},
    {0, 65535, HUSH_BACKEND,     false, "unexpected"},
};
/* clang-format on */

enum hush_status hush_http_status(struct hush_op *op, const struct hush_http_request *request,
                                  const struct hush_http_answer *answer)
{
    const struct hush_http_url at = hush_http_split(request->url);
    const struct code_row *row = code_rows;

    while (answer->code < row->first || answer->code > row->last)
        row++;
    if (row->status == HUSH_OK)
        return HUSH_OK;
    if (row->waits && answer->retry_after_ms != 0)
        hush_op_retry_after(op, answer->retry_after_ms);
    return hush_fail(op, row->status, "%d: %s (%.*s%.*s)", answer->code, row->text, at.host_size,
                     at.host, at.path_size, at.path);
}

uint32_t hush_http_retry_after_ms(const char *text)
{
    uint64_t seconds = 0;

    if (text[0] != '\0' && text[strspn(text, "0123456789")] == '\0') {
        if (!hush_parse_u64(text, HTTP_RETRY_MAX_S, &seconds))
            seconds = HTTP_RETRY_MAX_S;
    } else {
        const time_t date = hush_curl.getdate(text, NULL), now = hush_wall_s();

        if (date > now)
            seconds = (uint64_t)(date - now);
    }
    return (uint32_t)(seconds < HTTP_RETRY_MAX_S ? seconds : HTTP_RETRY_MAX_S) * 1000;
}

/* -- URLs -------------------------------------------------------------------------------------- */

bool hush_http_encode(const char *text, bool keep_slashes, char *out, size_t size)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                "0123456789-._~";
    static const char digits[] = "0123456789ABCDEF";
    size_t at = 0;

    for (; *text != '\0'; text++) {
        const unsigned char c = (unsigned char)*text;
        const bool as_is = strchr(plain, c) != NULL || (keep_slashes && c == '/');

        if (at + (as_is ? 1 : 3) >= size)
            return false;
        if (as_is) {
            out[at++] = (char)c;
            continue;
        }
        out[at++] = '%';
        out[at++] = digits[c >> 4];
        out[at++] = digits[c & 15];
    }
    if (at >= size)
        return false;
    out[at] = '\0';
    return true;
}
