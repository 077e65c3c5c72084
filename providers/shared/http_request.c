/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_request.c - what is sent, under which rules, and what comes back: for http.c alone.
 *
 * Repeats. If a kept connection turns out to be closed before a byte of the answer came, curl sends
 * the request again on a new one, up to five times, and a POST too. Nobody knows then whether the
 * server acted on the first: it may have made a credential or unwrapped a token. So a request that
 * only reads is sent twice at most, any other once (request_may_send()); what is lost is
 * HUSH_UNAVAILABLE. Connections that the server has closed while they were idle, the usual case,
 * are found closed before anything is sent on them, whatever the method.
 *
 * HTTP/1.1 alone. With HTTP/2, libcurl 7.88 and nghttp2 1.52:
 *   - a connection keeps the end of the last body, up to 32 KiB, in its buffer of input, and the
 *     token in nghttp2's table of headers, which any but "authorization" goes into: not freed, so
 *     not wiped, for as long as it is kept;
 *   - an answer that the server breaks off by RST_STREAM with NO_ERROR is taken for a whole one.
 *     One without a length could not be believed, and longer ones of OpenBao have none there;
 *   - a line has one request at a time, so nothing is gained; it takes a third more of our CPU.
 */
#include "http_int.h"

#include "core/lockmem.h"
#include "core/url.h"
#include "core/wipealloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
    HTTP_BODY_ROOM = 4096,
    HTTP_CA_CACHE_S = 60, /* a replaced ca_file counts after it */
    HTTP_REPEATS = 2,     /* for what only reads */
};

#define HTTP_TOKEN "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~"

/* -- What may be sent -------------------------------------------------------------------------- */

struct hush_http_url hush_http_split(const char *url)
{
    const char *mark = strstr(url, "://"), *host = mark == NULL ? url : mark + 3;
    const size_t host_size = strcspn(host, "/?#");

    return (struct hush_http_url){
        .scheme_size = (int)(host - url),
        .host = host,
        .host_size = (int)host_size,
        .path = host + host_size,
        .path_size = (int)strcspn(host + host_size, "?#"),
    };
}

/* A segment "." or ".." would be another path to whoever normalizes it. */
static bool url_has_dots(const char *url)
{
    const struct hush_http_url at = hush_http_split(url);
    const char *path = at.path, *const end = at.path + at.path_size;

    while (path < end) {
        const size_t size = strcspn(++path, "/?#");

        if ((size == 1 && path[0] == '.') || (size == 2 && path[0] == '.' && path[1] == '.'))
            return true;
        path += size;
    }
    return false;
}

static bool is_token(const char *text)
{
    return text[0] != '\0' && text[strspn(text, HTTP_TOKEN)] == '\0';
}

/* Nothing that ends a header line or hides in it. */
static bool is_header_value(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (((unsigned char)bytes[i] < ' ' && bytes[i] != '\t') || bytes[i] == 0x7f)
            return false;
    return true;
}

static const char *header_value(const struct hush_http_header *header, size_t *size)
{
    if (header->secret == NULL) {
        const char *value = header->value == NULL ? "" : header->value;

        *size = strlen(value);
        return value;
    }
    *size = hush_secret_size(header->secret);
    return (const char *)hush_secret_bytes(header->secret);
}

static enum hush_status check_headers(struct hush_op *op, const struct hush_http_request *request)
{
    const struct hush_http_header *header = request->headers;

    for (; header != NULL && header->name != NULL; header++) {
        size_t size;
        const char *value = header_value(header, &size);

        if (!is_token(header->name))
            return hush_fail(op, HUSH_CONFIG, "\"%s\" cannot be a header's name", header->name);
        if (!is_header_value(value, size))
            return hush_fail(op, HUSH_CONFIG,
                             "the header %s cannot be sent: its value holds a newline or another "
                             "control character",
                             header->name);
    }
    return HUSH_OK;
}

enum hush_status hush_http_check(struct hush_op *op, const struct hush_http_request *request)
{
    const char *fault = hush_url_fault(request->url);
    const char *type = request->content_type;

    if (fault != NULL)
        return hush_fail(op, HUSH_CONFIG, "the URL %s", fault);
    if (url_has_dots(request->url))
        return hush_fail(op, HUSH_CONFIG, "the URL's path must not have a segment . or ..");
    if (!is_token(request->method))
        return hush_fail(op, HUSH_CONFIG, "\"%s\" is no HTTP method", request->method);
    if (type != NULL && !is_header_value(type, strlen(type)))
        return hush_fail(op, HUSH_CONFIG, "the content type holds a control character");
    return check_headers(op, request);
}

/* -- Headers ----------------------------------------------------------------------------------- */

/* curl copies the line into its own heap; this one's copy is wiped. */
static bool header_add(struct curl_slist **list, const char *name, const char *value, size_t size)
{
    const size_t name_size = strlen(name);
    char *line = hush_wipe_malloc(name_size + 2 + size + 1);
    struct curl_slist *longer = NULL;

    if (line != NULL) {
        memcpy(line, name, name_size);
        memcpy(line + name_size, size == 0 ? ";" : ": ", 2); /* curl's way of saying "" */
        memcpy(line + name_size + (size == 0 ? 1 : 2), value, size);
        line[name_size + (size == 0 ? 1 : 2) + size] = '\0';
        longer = hush_curl.slist_append(*list, line);
    }
    hush_wipe_free(line);
    if (longer == NULL)
        return false;
    *list = longer;
    return true;
}

static bool headers_add(struct hush_http_exchange *exchange)
{
    const struct hush_http_request *request = exchange->request;
    const struct hush_http_header *header = request->headers;
    const char *type = request->content_type == NULL ? "application/json" : request->content_type;
    struct curl_slist *longer =
        hush_curl.slist_append(NULL, "Expect:"); /* none: do not wait for 100 */

    exchange->headers = longer;
    if (longer == NULL)
        return false;
    for (; header != NULL && header->name != NULL; header++) {
        size_t size;
        const char *value = header_value(header, &size);

        if (!header_add(&exchange->headers, header->name, value, size))
            return false;
    }
    if (request->body != NULL)
        return header_add(&exchange->headers, "Content-Type", type, strlen(type));
    longer = hush_curl.slist_append(exchange->headers, "Content-Type:"); /* nor curl's own */
    exchange->headers = longer != NULL ? longer : exchange->headers;
    return longer != NULL;
}

/* -- The answer as it comes -------------------------------------------------------------------- */

static bool body_grow(struct hush_http_exchange *exchange, size_t size)
{
    size_t room = exchange->room == 0 ? HTTP_BODY_ROOM : exchange->room;
    char *body;

    while (room <= exchange->size + size)
        room *= 2;
    if (room == exchange->room)
        return true;
    body = hush_wipe_realloc(exchange->body, room); /* wipes what it moves from */
    if (body == NULL)
        return false;
    exchange->body = body;
    exchange->room = room;
    return true;
}

static size_t on_body(char *bytes, size_t one, size_t size, void *ctx)
{
    struct hush_http_exchange *exchange = ctx;

    (void)one; /* always 1 */
    if (size > exchange->max - exchange->size) {
        exchange->is_too_large = true;
        return CURL_WRITEFUNC_ERROR;
    }
    if (!body_grow(exchange, size)) {
        exchange->is_no_memory = true;
        return CURL_WRITEFUNC_ERROR;
    }
    memcpy(exchange->body + exchange->size, bytes, size);
    exchange->size += size;
    return size;
}

/* line as a header called name: its value without space around it, as a string; else false. */
static bool header_is(const char *line, size_t size, const char *name, char value[64])
{
    const size_t name_size = strlen(name);
    size_t start = name_size + 1;

    if (size <= name_size || strncasecmp(line, name, name_size) != 0 || line[name_size] != ':')
        return false;
    while (start < size && (line[start] == ' ' || line[start] == '\t'))
        start++;
    while (size > start && strchr(" \t\r\n", line[size - 1]) != NULL)
        size--;
    if (size - start >= 64)
        return false;
    memcpy(value, line + start, size - start);
    value[size - start] = '\0';
    return true;
}

static size_t on_header(char *line, size_t one, size_t size, void *ctx)
{
    struct hush_http_exchange *exchange = ctx;
    char value[64];

    (void)one; /* always 1 */
    if (size > HUSH_HTTP_HEADERS_MAX - exchange->header_size) {
        exchange->is_header_too_large = true;
        return CURL_WRITEFUNC_ERROR;
    }
    exchange->header_size += size;
    if (size > 5 && strncasecmp(line, "HTTP/", 5) == 0) { /* another answer: a 1xx came before */
        exchange->retry_after_ms = 0;
        exchange->is_chunked = false;
    } else if (header_is(line, size, "Retry-After", value)) {
        exchange->retry_after_ms = hush_http_retry_after_ms(value);
    } else if (header_is(line, size, "Transfer-Encoding", value)) {
        exchange->is_chunked = strcasecmp(value, "chunked") == 0;
    }
    return size;
}

static bool request_only_reads(const struct hush_http_request *request)
{
    static const char *const methods[] = {"GET", "HEAD", "LIST"};

    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (strcmp(request->method, methods[i]) == 0)
            return true;
    return false;
}

/* Called when a connection stands and before each time the request is sent. */
// NOLINTNEXTLINE(readability-non-const-parameter): curl's type
static int request_may_send(void *ctx, char *to_ip, char *from_ip, int to_port, int from_port)
{
    struct hush_http_exchange *exchange = ctx;

    (void)to_ip;
    (void)from_ip;
    (void)to_port;
    (void)from_port;
    if (exchange->tries == (request_only_reads(exchange->request) ? HTTP_REPEATS : 1))
        return CURL_PREREQFUNC_ABORT;
    exchange->tries++;
    return CURL_PREREQFUNC_OK;
}

/* Only what may be a secret needs one: an error's body is a few words at the most. */
static bool has_end(CURL *easy, const struct hush_http_exchange *exchange, long code)
{
    curl_off_t size = -1;

    (void)hush_curl.easy_getinfo(easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &size);
    return size >= 0 || exchange->is_chunked || code == 204 || code >= 300 ||
           strcmp(exchange->request->method, "HEAD") == 0;
}

enum hush_status hush_http_take(CURL *easy, struct hush_op *op, struct hush_http_exchange *exchange,
                                struct hush_http_answer *out)
{
    const struct hush_http_url at = hush_http_split(exchange->request->url);
    const char *type = NULL;
    long code = 0;

    (void)hush_curl.easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &code);
    (void)hush_curl.easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &type);
    if (!has_end(easy, exchange, code)) /* half a secret must not be taken for one */
        return hush_fail(op, HUSH_PROTOCOL,
                         "%.*s: the answer does not tell its length, so it may be cut off",
                         at.host_size, at.host);
    if (!body_grow(exchange, 0))
        return hush_fail(op, HUSH_NO_MEMORY, "no memory for an answer");
    exchange->body[exchange->size] = '\0';
    *out = (struct hush_http_answer){
        .code = (int)code,
        .body = exchange->body,
        .size = exchange->size,
        .retry_after_ms = exchange->retry_after_ms,
    };
    exchange->body = NULL;
    if (type != NULL)
        (void)snprintf(out->content_type, sizeof(out->content_type), "%s", type); /* cut */
    return HUSH_OK;
}

/* -- Options ----------------------------------------------------------------------------------- */

/* What holds for every request. */
static bool set_rules(CURL *easy)
{
    /* clang-format off */
    static const struct { CURLoption option; long value; } numbers[] = {
        {CURLOPT_NOSIGNAL,          1},
        {CURLOPT_QUICK_EXIT,        1}, /* see http.c */
        {CURLOPT_FOLLOWLOCATION,    0},
        {CURLOPT_NETRC,             CURL_NETRC_IGNORED},
        {CURLOPT_HTTP09_ALLOWED,    0},
        {CURLOPT_PATH_AS_IS,        1},
        {CURLOPT_TCP_KEEPALIVE,     1},
        {CURLOPT_HTTP_VERSION,      CURL_HTTP_VERSION_1_1},
        {CURLOPT_SSLVERSION,        CURL_SSLVERSION_TLSv1_2},
        {CURLOPT_CA_CACHE_TIMEOUT,  HTTP_CA_CACHE_S},
        {CURLOPT_NOPROGRESS,        1},
    };
    static const struct { CURLoption option; const char *value; } texts[] = {
        {CURLOPT_PROTOCOLS_STR,     "http,https"},
        {CURLOPT_PROXY,             ""}, /* none, whatever the environment says */
        {CURLOPT_NOPROXY,           "*"},
        {CURLOPT_ACCEPT_ENCODING,   NULL}, /* nothing is unpacked */
        {CURLOPT_USERAGENT,         "hushfs/" HUSH_VERSION_TEXT},
    };
    /* clang-format on */
    bool good = true;

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        good &= hush_curl.easy_setopt(easy, numbers[i].option, numbers[i].value) == CURLE_OK;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        good &= hush_curl.easy_setopt(easy, texts[i].option, texts[i].value) == CURLE_OK;
    return good;
}

static bool set_tls(CURL *easy, const struct hush_http_config *config)
{
    const bool own = config->ca_file != NULL || config->ca_path != NULL;
    const char *key = config->key_file != NULL ? config->key_file : config->cert_file;
    bool good = true;

    good &=
        hush_curl.easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, config->insecure ? 0L : 1L) == CURLE_OK;
    good &=
        hush_curl.easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, config->insecure ? 0L : 2L) == CURLE_OK;
    if (own) {
        good &= hush_curl.easy_setopt(easy, CURLOPT_CAINFO, config->ca_file) == CURLE_OK;
        good &= hush_curl.easy_setopt(easy, CURLOPT_CAPATH, config->ca_path) == CURLE_OK;
    }
    good &= hush_curl.easy_setopt(easy, CURLOPT_SSLCERT, config->cert_file) == CURLE_OK;
    good &= hush_curl.easy_setopt(easy, CURLOPT_SSLKEY, key) == CURLE_OK;
    if (config->connect_timeout_ms != 0)
        good &= hush_curl.easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                                      (long)config->connect_timeout_ms) == CURLE_OK;
    else
        good &= hush_curl.easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, 86400000L) == CURLE_OK;
    return good;
}

static bool set_request(CURL *easy, const struct hush_http_request *request)
{
    bool good = hush_curl.easy_setopt(easy, CURLOPT_HTTPGET, 1L) == CURLE_OK;

    if (request->body != NULL || strcmp(request->method, "POST") == 0) {
        good &= hush_curl.easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                                      (curl_off_t)request->body_size) == CURLE_OK;
        good &= hush_curl.easy_setopt(easy, CURLOPT_POSTFIELDS,
                                      request->body == NULL ? "" : request->body) == CURLE_OK;
    } else if (strcmp(request->method, "HEAD") == 0) {
        good &= hush_curl.easy_setopt(easy, CURLOPT_NOBODY, 1L) == CURLE_OK;
    }
    good &= hush_curl.easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method) == CURLE_OK;
    return good;
}

static bool set_callbacks(CURL *easy, struct hush_http_exchange *exchange)
{
    bool good = true;

    good &= hush_curl.easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK;
    good &= hush_curl.easy_setopt(easy, CURLOPT_WRITEDATA, exchange) == CURLE_OK;
    good &= hush_curl.easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK;
    good &= hush_curl.easy_setopt(easy, CURLOPT_HEADERDATA, exchange) == CURLE_OK;
    good &= hush_curl.easy_setopt(easy, CURLOPT_PREREQFUNCTION, request_may_send) == CURLE_OK;
    good &= hush_curl.easy_setopt(easy, CURLOPT_PREREQDATA, exchange) == CURLE_OK;
    /* Refused at once if it says so beforehand; on_body() counts what it does not say. */
    good &= hush_curl.easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)exchange->max) ==
            CURLE_OK;
    return good;
}

/* printf into curl's heap; NULL: no memory. */
static __attribute__((format(printf, 1, 2))) char *url_text(const char *format, ...)
{
    va_list args;
    char *text = NULL;
    int size;

    va_start(args, format);
    size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (size >= 0)
        text = hush_wipe_malloc((size_t)size + 1);
    if (text == NULL)
        return NULL;
    va_start(args, format);
    (void)vsnprintf(text, (size_t)size + 1, format, args); /* as measured */
    va_end(args);
    return text;
}

/* The ":PORT" of a host, or NULL. */
static const char *url_port(struct hush_http_url at)
{
    const char *end = at.host + at.host_size;
    const char *port = at.host[0] == '[' ? memchr(at.host, ']', (size_t)at.host_size) : at.host;

    return memchr(port, ':', (size_t)(end - port));
}

/*
 * With server_name, curl is told that the URL is of that host, so that it sends and checks that
 * name, but to connect to the real one, which stays the Host of the request.
 */
static bool set_url(CURL *easy, struct hush_http_exchange *exchange)
{
    const char *url = exchange->request->url, *name = exchange->config->server_name;
    const struct hush_http_url at = hush_http_split(url);
    const char *port = url_port(at);
    const int name_size = port == NULL ? at.host_size : (int)(port - at.host);
    const int port_size = port == NULL ? 4 : at.host_size - name_size;
    char *connect;

    if (name == NULL || at.scheme_size != (int)strlen("https://"))
        return hush_curl.easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK;
    if (port == NULL)
        port = ":443";
    exchange->target = url_text("https://%s%.*s%s", name, port_size, port, at.path);
    connect =
        url_text("%s%.*s:%.*s%.*s", name, port_size, port, name_size, at.host, port_size, port);
    if (connect != NULL)
        exchange->connect = hush_curl.slist_append(NULL, connect);
    hush_wipe_free(connect);
    return exchange->target != NULL && exchange->connect != NULL &&
           header_add(&exchange->headers, "Host", at.host, (size_t)at.host_size) &&
           hush_curl.easy_setopt(easy, CURLOPT_URL, exchange->target) == CURLE_OK &&
           hush_curl.easy_setopt(easy, CURLOPT_CONNECT_TO, exchange->connect) == CURLE_OK;
}

bool hush_http_prepare(CURL *easy, struct hush_http_exchange *exchange)
{
    return set_rules(easy) && set_tls(easy, exchange->config) && headers_add(exchange) &&
           set_url(easy, exchange) && set_request(easy, exchange->request) &&
           set_callbacks(easy, exchange) &&
           hush_curl.easy_setopt(easy, CURLOPT_HTTPHEADER, exchange->headers) == CURLE_OK;
}

void hush_http_exchange_done(struct hush_http_exchange *exchange)
{
    hush_curl.slist_free_all(exchange->headers);
    hush_curl.slist_free_all(exchange->connect);
    hush_wipe_free(exchange->target);
    hush_wipe_free(exchange->body);
}
