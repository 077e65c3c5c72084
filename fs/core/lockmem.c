/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lockmem.c - memfd_secret(2) or a locked memfd, behind the same four functions. The arena and the
 * captured environment live in it.
 */
#include "lockmem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447 /* the same on every architecture */
#endif
#ifndef SECRETMEM_MAGIC
#define SECRETMEM_MAGIC 0x5345434d
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U /* Linux 6.3 */
#endif

static int lockmem_memfd(const char *name)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

    if (fd < 0 && errno == EINVAL)
        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return fd;
}

int hush_lockmem_create(const char *name, size_t size)
{
    int err, fd;

    if (size == 0 || size > SSIZE_MAX)
        return -EINVAL;
    /* Absent (ENOSYS: also when switched off), filtered (EPERM) or whatever else: a memfd will do.
     */
    fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC);
    if (fd < 0)
        fd = lockmem_memfd(name);
    if (fd < 0)
        return -errno;
    if (ftruncate(fd, (off_t)size) != 0) {
        err = errno;
        (void)close(fd); /* nothing was written */
        return -err;
    }
    /* A holder that shrinks it would kill the others by SIGBUS. memfd_secret does not resize. */
    if (hush_lockmem_is_plain(fd))
        (void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    return fd;
}

/* memfd_secret is locked and left out of dumps by itself; mlock2 would only count it twice. */
static int lockmem_protect(int fd, void *base, size_t size)
{
    if (!hush_lockmem_is_plain(fd))
        return 0;
    if (madvise(base, size, MADV_DONTDUMP) != 0)
        return -errno;
    if (mlock2(base, size, MLOCK_ONFAULT) == 0)
        return 0;
    if (errno != EINVAL) /* what glibc makes of ENOSYS: valgrind 3.19 and some filters */
        return -errno;
    /* mlock(2) takes all pages at once. */
    return mlock(base, size) == 0 ? 0 : -errno;
}

void *hush_lockmem_map(int fd, size_t *size)
{
    struct stat st;
    void *base;
    int err;

    if (fstat(fd, &st) != 0)
        return NULL;
    if (st.st_size <= 0) {
        errno = EINVAL;
        return NULL;
    }
    base = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) {
        if (errno == EAGAIN) /* so says memfd_secret when RLIMIT_MEMLOCK is too low */
            errno = ENOMEM;
        return NULL;
    }
    err = -lockmem_protect(fd, base, (size_t)st.st_size);
    if (err != 0) {
        (void)munmap(base, (size_t)st.st_size);
        errno = err;
        return NULL;
    }
    *size = (size_t)st.st_size;
    return base;
}

void hush_lockmem_unmap(void *base, size_t size)
{
    if (base != NULL)
        (void)munmap(base, size); /* fails for wrong arguments only */
}

bool hush_lockmem_is_plain(int fd)
{
    struct statfs fs;

    /* Unknown counts as not plain: a copy too many does no harm. */
    return fstatfs(fd, &fs) == 0 && fs.f_type != SECRETMEM_MAGIC;
}

void hush_wipe(void *bytes, size_t size)
{
    if (size != 0)
        explicit_bzero(bytes, size);
}
