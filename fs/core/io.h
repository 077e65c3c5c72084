/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io.h - read(2) and write(2) as their callers want them. Any thread.
 */
#ifndef HUSH_IO_H
#define HUSH_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* All of it, whatever signals come. False with errno: what was written by then is written. */
bool hush_write_all(int fd, const void *bytes, size_t size);

/*
 * At most size bytes, whatever signals come; fewer: the end of the file. -1 with errno. bytes may
 * be in the arena: where the kernel cannot write there because it would have to pin the pages
 * (memfd_secret and a file system without page cache), they come by way of a small buffer, wiped.
 */
ssize_t hush_read_all(int fd, uint8_t *bytes, size_t size);

#endif
