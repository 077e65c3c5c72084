/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lockmem.h - shared memory that is never swapped and never dumped, behind a file descriptor, so
 * that a worker that takes over finds what the dead one held. memfd_secret(2) where the kernel has
 * it enabled (6.5+ by default), else memfd_create(2) with mlock2(MLOCK_ONFAULT). The only place
 * that locks memory.
 */
#ifndef HUSH_LOCKMEM_H
#define HUSH_LOCKMEM_H

#include <stdbool.h>
#include <stddef.h>

/* A new descriptor of size bytes, zeroed, close-on-exec; or -errno. */
int hush_lockmem_create(const char *name, size_t size);

/*
 * Map all of fd, locked on first touch, left out of core dumps. *size is set. NULL with errno on
 * failure (ENOMEM or EPERM: RLIMIT_MEMLOCK is too low). Unmap with hush_lockmem_unmap().
 */
void *hush_lockmem_map(int fd, size_t *size);
void hush_lockmem_unmap(void *base, size_t size); /* NULL ok */

/*
 * True if every call can read the memory of fd. False (memfd_secret): those that pin pages, such as
 * writev() to /dev/fuse, fail with EFAULT; plain copies, such as write() to a pipe, work.
 */
bool hush_lockmem_is_plain(int fd);

/* Wipe: the one function that does. Never optimised away; size 0 ok. */
void hush_wipe(void *bytes, size_t size);

#endif
