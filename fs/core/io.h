/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io.h - write(2) as its callers want it. Any thread.
 */
#ifndef HUSH_IO_H
#define HUSH_IO_H

#include <stdbool.h>
#include <stddef.h>

/* All of it, whatever signals come. False with errno: what was written by then is written. */
bool hush_write_all(int fd, const void *bytes, size_t size);

#endif
