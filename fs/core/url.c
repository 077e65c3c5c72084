/* SPDX-License-Identifier: Apache-2.0 */
/*
 * url.c - checks a URL more strictly than any parser that reads it later, so that both agree on
 * which host it names. For option.c.
 */
#include "url.h"

#include "option.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

enum { URL_HOST_MAX = 253, URL_PORT_MAX = 65535 };

#define URL_LETTERS    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define URL_NAME_CHARS URL_LETTERS "0123456789-._"

static bool url_is_address(int family, const char *host)
{
    struct in6_addr address;

    return inet_pton(family, host, &address) == 1;
}

static bool url_is_loopback(const char *host, bool bracketed)
{
    if (bracketed)
        return strcmp(host, "::1") == 0;
    if (strcasecmp(host, "localhost") == 0)
        return true;
    return strncmp(host, "127.", 4) == 0 && url_is_address(AF_INET, host);
}

/* "" or ":PORT". */
static bool url_is_port(const char *text, size_t size)
{
    char digits[6] = "";
    uint64_t port;

    if (size == 0)
        return true;
    if (text[0] != ':' || size > sizeof(digits))
        return false;
    memcpy(digits, text + 1, size - 1);
    return hush_parse_u64(digits, URL_PORT_MAX, &port) && port != 0;
}

/* Split "host", "host:port", "[v6]:port"; the brackets do not go to host. False: malformed. */
static bool url_split(const char *authority, size_t size, char host[URL_HOST_MAX + 1],
                      bool *bracketed)
{
    const char *end = authority + size, *start = authority, *stop;

    *bracketed = size != 0 && authority[0] == '[';
    if (*bracketed)
        start++;
    stop = memchr(start, *bracketed ? ']' : ':', (size_t)(end - start));
    if (stop == NULL && *bracketed)
        return false;
    if (stop == NULL)
        stop = end;
    if (stop == start || stop - start > URL_HOST_MAX)
        return false;
    memcpy(host, start, (size_t)(stop - start));
    host[stop - start] = '\0';
    if (*bracketed)
        stop++;
    return url_is_port(stop, (size_t)(end - stop));
}

static bool url_is_host(const char *host, bool bracketed)
{
    return bracketed ? url_is_address(AF_INET6, host) : host[strspn(host, URL_NAME_CHARS)] == '\0';
}

/* No byte that one parser skips and another does not. */
static bool url_is_plain(const char *url)
{
    for (; *url != '\0'; url++)
        if (*url <= ' ' || *url > '~' || *url == '\\')
            return false;
    return true;
}

const char *hush_url_fault(const char *url)
{
    const bool https = strncasecmp(url, "https://", 8) == 0;
    const char *authority = url + (https ? 8 : 7);
    char host[URL_HOST_MAX + 1];
    bool bracketed;
    size_t size;

    if (!https && strncasecmp(url, "http://", 7) != 0)
        return "must begin with https:// (or http:// and a loopback host)";
    if (!url_is_plain(url))
        return "must be a URL without spaces, backslashes and bytes outside ASCII";
    size = strcspn(authority, "/?#");
    if (memchr(authority, '@', size) != NULL)
        return "must not hold a user or a password";
    if (!url_split(authority, size, host, &bracketed))
        return "must name a host, and a port of 1 to 65535 if any";
    if (!url_is_host(host, bracketed))
        return "must name a host: a name, an IPv4 address or [an IPv6 address]";
    if (!https && !url_is_loopback(host, bracketed))
        return "must be https:// unless the host is localhost, 127.0.0.0/8 or [::1]";
    return NULL;
}
