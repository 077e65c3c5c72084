/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_lockmem.c - locked memory, of both kinds: memfd_secret and, with that refused, memfd.
 */
#include "core/lockmem.h"
#include "seccomp.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>

/* Can the kernel pin it, as /dev/fuse does? process_vm_readv(2) goes the same way. */
static bool can_be_pinned(void *bytes)
{
    char copy[16];
    struct iovec to = {.iov_base = copy, .iov_len = sizeof(copy)};
    struct iovec from = {.iov_base = bytes, .iov_len = sizeof(copy)};

    return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == (ssize_t)sizeof(copy);
}

/* The flags ("lo", "dd", …) of the mapping that begins at base. */
static bool has_vm_flag(const void *base, const char *flag)
{
    char line[512], start[32];
    bool here = false, found = false;
    FILE *smaps = fopen("/proc/self/smaps", "re");

    if (smaps == NULL)
        return false;
    (void)snprintf(start, sizeof(start), "%lx-", (unsigned long)(uintptr_t)base);
    while (!found && fgets(line, sizeof(line), smaps) != NULL) {
        if (strncmp(line, start, strlen(start)) == 0)
            here = true;
        else if (here && strncmp(line, "VmFlags:", 8) == 0) {
            (void)snprintf(start, sizeof(start), " %s", flag);
            found = strstr(line, start) != NULL;
            break;
        }
    }
    (void)fclose(smaps);
    return found;
}

static size_t locked_now(void)
{
    char line[256];
    uintmax_t kib = 0;
    FILE *file = fopen("/proc/self/status", "re");

    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, "VmLck:", 6) == 0)
            kib = strtoumax(line + 6, NULL, 10);
    if (file != NULL)
        (void)fclose(file);
    return (size_t)kib * 1024;
}

static int zeroed_locked_undumped_shared(void *ctx)
{
    const size_t size = 3 * 4096 + 100, before = locked_now();
    size_t first_size = 0, second_size = 0;
    unsigned char *first, *second;
    int fd;

    if (ctx != NULL)
        CHECK(refuse_memfd_secret(*(unsigned *)ctx));
    fd = hush_lockmem_create("hushfs-test", size);
    CHECK(fd >= 0);
    CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
    CHECK(locked_now() == before); /* making it maps nothing */
    first = hush_lockmem_map(fd, &first_size);
    second = hush_lockmem_map(fd, &second_size);
    CHECK(first != NULL && second != NULL && first != second);
    CHECK(first_size == size && second_size == size);
    for (size_t i = 0; i < size; i++)
        CHECK(first[i] == 0);
    CHECK(has_vm_flag(first, "lo") && has_vm_flag(first, "dd"));
    first[size - 1] = 7;
    CHECK(second[size - 1] == 7);
    CHECK(hush_lockmem_is_plain(fd) == can_be_pinned(first));
    if (ctx != NULL)
        CHECK(hush_lockmem_is_plain(fd));
    CHECK(ftruncate(fd, 4096) != 0 && ftruncate(fd, 1 << 20) != 0);
    hush_lockmem_unmap(second, second_size);
    CHECK(first[size - 1] == 7);
    hush_lockmem_unmap(first, first_size);
    hush_lockmem_unmap(NULL, 0);
    CHECK(locked_now() == before);
    return close(fd);
}

static void memory_is_zeroed_locked_undumped_and_shared(void **state)
{
    unsigned refusals[] = {ENOSYS, EPERM, EACCES};

    (void)state; /* none */
    assert_int_equal(in_child(zeroed_locked_undumped_shared, NULL), 0);
    for (size_t i = 0; i < COUNT(refusals); i++)
        assert_int_equal(in_child(zeroed_locked_undumped_shared, &refusals[i]), 0);
}

static int with_little_memlock(void *ctx)
{
    const struct rlimit limit = {.rlim_cur = 64 << 10, .rlim_max = 64 << 10};
    size_t size = 1;
    int small, large;
    void *base;

    if (ctx != NULL)
        CHECK(refuse_memfd_secret(*(unsigned *)ctx));
    CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    if (geteuid() == 0) /* CAP_IPC_LOCK knows no limit */
        CHECK(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
    small = hush_lockmem_create("hushfs-test", 32 << 10);
    large = hush_lockmem_create("hushfs-test", 1 << 20);
    CHECK(small >= 0 && large >= 0);
    errno = 0;
    CHECK(hush_lockmem_map(large, &size) == NULL);
    CHECK(errno == ENOMEM && size == 1);
    base = hush_lockmem_map(small, &size);
    CHECK(base != NULL && size == 32 << 10);
    memset(base, 1, size);
    hush_lockmem_unmap(base, size);
    return 0;
}

static int with_no_memlock(void *ctx)
{
    const struct rlimit limit = {.rlim_cur = 0, .rlim_max = 0};
    size_t size;
    int fd;

    if (ctx != NULL)
        CHECK(refuse_memfd_secret(*(unsigned *)ctx));
    CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    if (geteuid() == 0)
        CHECK(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
    fd = hush_lockmem_create("hushfs-test", 4096);
    CHECK(fd >= 0);
    CHECK(hush_lockmem_map(fd, &size) == NULL);
    CHECK(errno == ENOMEM || errno == EPERM);
    return 0;
}

static void the_limit_on_locked_memory_is_an_error(void **state)
{
    unsigned refusal = ENOSYS;

    (void)state; /* none */
    assert_int_equal(in_child(with_little_memlock, NULL), 0);
    assert_int_equal(in_child(with_little_memlock, &refusal), 0);
    assert_int_equal(in_child(with_no_memlock, NULL), 0);
    assert_int_equal(in_child(with_no_memlock, &refusal), 0);
}

static void wrong_sizes_and_descriptors_are_errors(void **state)
{
    size_t size;
    int ends[2];

    (void)state; /* none */
    assert_int_equal(hush_lockmem_create("hushfs-test", 0), -EINVAL);
    assert_int_equal(hush_lockmem_create("hushfs-test", SIZE_MAX), -EINVAL);
    assert_null(hush_lockmem_map(-1, &size));
    assert_int_equal(errno, EBADF);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_null(hush_lockmem_map(ends[0], &size));
    assert_int_equal(errno, EINVAL);
    assert_true(hush_lockmem_is_plain(ends[0]));
    assert_false(hush_lockmem_is_plain(-1));
    close(ends[0]);
    close(ends[1]);
}

static int no_more_descriptors(void *ctx)
{
    const struct rlimit limit = {.rlim_cur = 3, .rlim_max = 3};

    (void)ctx; /* none */
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK(hush_lockmem_create("hushfs-test", 4096) == -EMFILE);
    return 0;
}

static void no_descriptor_is_an_error(void **state)
{
    (void)state; /* none */
    assert_int_equal(in_child(no_more_descriptors, NULL), 0);
}

static void wiping_leaves_zeros_and_nothing_else(void **state)
{
    unsigned char bytes[64];

    (void)state; /* none */
    memset(bytes, 0xaa, sizeof(bytes));
    hush_wipe(bytes + 8, 48);
    for (size_t i = 0; i < sizeof(bytes); i++)
        assert_int_equal(bytes[i], i < 8 || i >= 56 ? 0xaa : 0);
    hush_wipe(bytes, 0);
    hush_wipe(NULL, 0);
    assert_int_equal(bytes[0], 0xaa);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_locked_undumped_and_shared),
        cmocka_unit_test(the_limit_on_locked_memory_is_an_error),
        cmocka_unit_test(wrong_sizes_and_descriptors_are_errors),
        cmocka_unit_test(no_descriptor_is_an_error),
        cmocka_unit_test(wiping_leaves_zeros_and_nothing_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
