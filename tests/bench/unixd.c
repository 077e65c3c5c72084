/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unixd.c - the simplest service over a Unix socket, for tests/bench/run: every byte that comes is
 * a request, and is answered with a length (32 bits) and that many bytes.
 *
 *     unixd SOCKET SIZE
 */
#include "../tools/tool.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int listen_at(const char *path)
{
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof(address.sun_path))
        tool_die("'%s' is too long", path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(fd, 64) != 0)
        tool_die("cannot listen at '%s'", path);
    return fd;
}

static void watch(int poll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    if (fd < 0 || epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) != 0)
        tool_die("cannot watch a connection");
}

static void answer(int fd, const char *bytes, size_t size)
{
    char request;

    if (read(fd, &request, 1) != 1 || write(fd, bytes, size) != (ssize_t)size)
        (void)close(fd); /* the client has gone */
}

int main(int argc, char **argv)
{
    const uint32_t length = argc == 3 ? tool_number(argv[2]) : 0;
    const size_t size = sizeof(length) + length;
    char *bytes = calloc(1, size);
    struct epoll_event event;
    int poll, listener;

    if (length == 0 || bytes == NULL)
        tool_die("unixd: see unixd.c");
    memcpy(bytes, &length, sizeof(length));
    listener = listen_at(argv[1]);
    poll = epoll_create1(EPOLL_CLOEXEC);
    watch(poll, listener);
    while (epoll_wait(poll, &event, 1, -1) == 1) {
        if (event.data.fd == listener)
            watch(poll, accept4(listener, NULL, NULL, SOCK_CLOEXEC));
        else
            answer(event.data.fd, bytes, size);
    }
    free(bytes);
    return 1;
}
