/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io.c - see io.h. `hushfs get` and the sealed store write with it.
 */
#include "io.h"

#include <errno.h>
#include <unistd.h>

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
