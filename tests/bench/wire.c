/* SPDX-License-Identifier: Apache-2.0 */
/* wire.c - see wire.h. Linked by client.c alone. */
#include "wire.h"

#include "../tools/tool.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void must(bool good, const char *what, const struct bench_source *s)
{
    if (!good)
        tool_die("%s of '%s': %s", what, s->path, strerror(errno));
}

static void expect(struct bench_source *s, size_t size)
{
    if (s->size == 0)
        s->size = size;
    if (size == 0 || size != s->size)
        tool_die("'%s' gave %zu bytes, before that %zu", s->path, size, s->size);
}

/* -- Services ---------------------------------------------------------------------------------- */

static void service_connect(struct bench_source *s)
{
    const bool local = s->address.any.sa_family == AF_UNIX;
    const int one = 1;

    s->fd = socket(s->address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(s->fd >= 0, "socket", s);
    if (!local)
        (void)setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    must(connect(s->fd, &s->address.any, local ? sizeof(s->address.un) : sizeof(s->address.in)) ==
             0,
         "connect", s);
}

static size_t service_read(struct bench_source *s, size_t have)
{
    const ssize_t n = read(s->fd, s->buffer + have, BENCH_BUFFER - have);

    must(n > 0, "answer", s);
    return have + (size_t)n;
}

static void service_ask(struct bench_source *s, const char *request, int size)
{
    must(size > 0 && write(s->fd, request, (size_t)size) == size, "request", s);
}

/* How long the body is, in the header that ends at end. */
static size_t http_length(const struct bench_source *s, const char *end)
{
    const char *at = strcasestr(s->buffer, "\ncontent-length: ");
    size_t length = 0;

    if (at == NULL || at > end || strncmp(s->buffer, "HTTP/1.1 200", 12) != 0)
        tool_die("'%s': not the answer that was expected", s->path);
    for (at += strlen("\ncontent-length: "); *at >= '0' && *at <= '9'; at++)
        length = length * 10 + (size_t)(*at - '0');
    return length;
}

static size_t http_exchange(struct bench_source *s, const char *more)
{
    char request[512];
    const char *end = NULL;
    size_t have = 0, length;

    service_ask(
        s, request,
        snprintf(request, sizeof(request), "GET %.*s HTTP/1.1\r\nHost: localhost\r\n%s%s%s\r\n",
                 (int)strcspn(s->path, " "), s->path, s->header, *s->header ? "\r\n" : "", more));
    while (end == NULL) {
        have = service_read(s, have);
        s->buffer[have] = '\0';
        end = strstr(s->buffer, "\r\n\r\n");
    }
    length = http_length(s, end);
    while (have < (size_t)(end + 4 - s->buffer) + length)
        have = service_read(s, have);
    return length;
}

static size_t http_kept(struct bench_source *s)
{
    if (s->fd < 0)
        service_connect(s);
    return http_exchange(s, "");
}

static size_t http_new(struct bench_source *s)
{
    size_t size;

    service_connect(s);
    size = http_exchange(s, "Connection: close\r\n");
    (void)close(s->fd);
    s->fd = -1;
    return size;
}

static size_t unix_kept(struct bench_source *s)
{
    uint32_t length = 0;
    size_t have = 0;

    if (s->fd < 0)
        service_connect(s);
    service_ask(s, "G", 1);
    while (have < sizeof(length))
        have = service_read(s, have);
    memcpy(&length, s->buffer, sizeof(length));
    while (have < sizeof(length) + length)
        have = service_read(s, have);
    return length;
}

/* -- Operations -------------------------------------------------------------------------------- */

static int file_open(const struct bench_source *s)
{
    const int fd = open(s->path, O_RDONLY | O_CLOEXEC);

    must(fd >= 0, "open", s);
    return fd;
}

static size_t file_read(const struct bench_source *s, bool to_end)
{
    const int fd = file_open(s);
    size_t size = 0;
    ssize_t n;

    do {
        n = read(fd, s->buffer + size, BENCH_BUFFER - size);
        must(n >= 0, "read", s);
        size += (size_t)n;
    } while (to_end && n > 0);
    (void)close(fd);
    return size;
}

static void operation_read(struct bench_source *s)
{
    expect(s, s->get != NULL ? s->get(s) : file_read(s, false));
}

static void operation_end(struct bench_source *s)
{
    expect(s, file_read(s, true));
}

static void operation_map(struct bench_source *s)
{
    const int fd = file_open(s);
    const volatile char *bytes;
    struct stat st;

    must(fstat(fd, &st) == 0, "fstat", s);
    expect(s, (size_t)st.st_size);
    bytes = mmap(NULL, s->size, PROT_READ, MAP_PRIVATE, fd, 0);
    must(bytes != MAP_FAILED, "mmap", s);
    for (size_t i = 0; i < s->size; i += 4096)
        (void)bytes[i];
    (void)munmap((void *)(uintptr_t)bytes, s->size);
    (void)close(fd);
}

static void operation_stat(struct bench_source *s)
{
    struct stat st;

    must(stat(s->path, &st) == 0, "stat", s);
    expect(s, (size_t)st.st_size);
}

static void operation_list(struct bench_source *s)
{
    DIR *dir = opendir(s->path);
    const struct dirent *entry;
    size_t count = 0;

    must(dir != NULL, "opendir", s);
    // cppcheck-suppress readdirCalled ; a stream of this thread alone
    while ((entry = readdir(dir)) != NULL)
        count += entry->d_name[0] != '.'; /* not every file system lists . and .. */
    (void)closedir(dir);
    expect(s, count);
}

static void operation_first(struct bench_source *s)
{
    struct bench_source file = *s;
    char path[512];

    (void)snprintf(path, sizeof(path), "%s/e%04u", s->path, s->next++);
    file.path = path;
    expect(s, file_read(&file, false));
}

bench_operation *bench_operation_find(const char *name)
{
    static const struct {
        const char *name;
        bench_operation *operation;
    } table[] = {
        {"read", operation_read}, {"end", operation_end},   {"map", operation_map},
        {"stat", operation_stat}, {"list", operation_list}, {"first", operation_first},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (strcmp(table[i].name, name) == 0)
            return table[i].operation;
    return NULL;
}

/* -- Sources ----------------------------------------------------------------------------------- */

static bool after(const char *text, const char *prefix, const char **rest)
{
    *rest = text + strlen(prefix);
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static void http_address(struct bench_source *s, const char *port_and_path)
{
    const char *colon = strchr(port_and_path, ':');
    char port[8];

    if (colon == NULL || colon - port_and_path >= (ptrdiff_t)sizeof(port))
        tool_die("'%s': PORT:/PATH is wanted", port_and_path);
    (void)snprintf(port, sizeof(port), "%.*s", (int)(colon - port_and_path), port_and_path);
    s->path = colon + 1;
    s->header = s->path + strcspn(s->path, " ");
    s->header += strspn(s->header, " ");
    s->address.in = (struct sockaddr_in){.sin_family = AF_INET,
                                         .sin_port = htons((uint16_t)tool_number(port)),
                                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void unix_address(struct bench_source *s, const char *path)
{
    s->path = path;
    s->address.un = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(s->address.un.sun_path))
        tool_die("'%s' is too long for a socket", path);
    memcpy(s->address.un.sun_path, path, strlen(path) + 1);
}

static char *buffer_new(void)
{
    char *buffer = malloc(BENCH_BUFFER + 1);

    if (buffer == NULL)
        tool_die("no memory");
    return buffer;
}

void bench_source_open(struct bench_source *s, const char *where)
{
    const char *rest;

    *s = (struct bench_source){.path = where, .header = "", .fd = -1, .buffer = buffer_new()};
    if (after(where, "http:", &rest)) {
        s->get = http_kept;
        http_address(s, rest);
    } else if (after(where, "http-new:", &rest)) {
        s->get = http_new;
        http_address(s, rest);
    } else if (after(where, "unix:", &rest)) {
        s->get = unix_kept;
        unix_address(s, rest);
    }
}

void bench_source_copy(const struct bench_source *s, struct bench_source *out)
{
    *out = *s;
    out->fd = -1;
    out->buffer = buffer_new();
}

void bench_source_done(struct bench_source *s)
{
    if (s->fd >= 0)
        (void)close(s->fd);
    s->fd = -1;
    free(s->buffer);
    s->buffer = NULL;
}
