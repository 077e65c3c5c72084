/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io.c - see io.h. `hushfs get` and the sealed store write with it; the file provider and the
 * logins read.
 */
#include "io.h"

#include "lockmem.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { IO_BOUNCE = 4096 };

bool hush_write_all(int fd, const void *bytes, size_t size)
{
    const char *from = bytes;

    while (size > 0) {
        const ssize_t done = write(fd, from, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return false;
        from += done;
        size -= (size_t)done;
    }
    return true;
}

static ssize_t read_some(int fd, uint8_t *bytes, size_t size)
{
    uint8_t bounce[IO_BOUNCE];
    ssize_t got = read(fd, bytes, size);

    if (got >= 0 || errno != EFAULT)
        return got;
    got = read(fd, bounce, size < sizeof(bounce) ? size : sizeof(bounce));
    if (got > 0)
        memcpy(bytes, bounce, (size_t)got);
    hush_wipe(bounce, sizeof(bounce));
    return got;
}

ssize_t hush_read_all(int fd, uint8_t *bytes, size_t size)
{
    size_t done = 0;

    while (done < size) {
        const ssize_t got = read_some(fd, bytes + done, size - done);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}
