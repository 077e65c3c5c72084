/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fs_memory.c - the arena is full: what is shown stays, what is new is ENOMEM, and there is
 * room again when something goes. What is forgotten is given back.
 */
#include "fs_kernel.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum { VALUE = 100000 };

static const char *big_value(char fill)
{
    static char value[VALUE + 1];

    memset(value, fill, VALUE);
    return value;
}

static size_t used(struct kernel *k)
{
    const char *at = strstr(kernel_cat(k, OTHER, ".hushfs/status.json"), "\"used\":");

    assert_non_null(at);
    return strtoumax(at + strlen("\"used\":"), NULL, 10);
}

/* As many as fit; then ENOMEM, and those that were there are there still. */
static size_t fill(struct kernel *k)
{
    char path[32];
    size_t n = 0;

    for (;; n++) {
        const char *got;

        (void)snprintf(path, sizeof(path), "s/%zu", n);
        backend_put(k, path, big_value('a'));
        got = kernel_cat(k, TID, path);
        if (strcmp(got, big_value('a')) != 0) {
            assert_string_equal(got, "ENOMEM");
            return n;
        }
    }
}

static void test_full(void **state)
{
    struct kernel *k = *state;
    char path[32];
    size_t n;

    kernel_start(k, CONFIG_S "ttl = 1000\n");
    n = fill(k);
    assert_in_range(n, 7, 10); /* of 1 MiB */
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(path, sizeof(path), "s/%zu", i);
        assert_string_equal(kernel_cat(k, OTHER, path), big_value('a'));
        assert_int_equal(backend_calls(k, "s", NULL), n + 1);
    }
    backend_put(k, "s/small", "one");
    assert_string_equal(kernel_cat(k, TID, "s/small"), "one");
}

/* A new version that there is no room for: the old one is served on, as when a backend fails. */
static void test_no_room_for_a_new_version(void **state)
{
    struct kernel *k = *state;

    kernel_start(k, CONFIG_S "ttl = 10\n");
    (void)fill(k);
    backend_put(k, "s/0", big_value('b'));
    kernel_advance_ms(k, SECONDS(11));
    assert_string_equal(kernel_cat(k, TID, "s/0"), big_value('a'));
    assert_string_equal(kernel_xattr(k, kernel_ino(k, "s/0"), "user.hushfs.stale"), "1");
    /* Another one goes, and the kernel forgets it: there is room. */
    backend_control(k, "s/1", ".error", "DENIED");
    assert_string_equal(kernel_cat(k, TID, "s/1"), "EACCES");
    kernel_forget_all(k);
    kernel_advance_ms(k, SECONDS(2));
    assert_string_equal(kernel_cat(k, TID, "s/0"), big_value('b'));
}

/* Versions, names and directories that the kernel forgets leave nothing behind. */
static void test_all_is_given_back(void **state)
{
    struct kernel *k = *state;
    size_t before = 0;

    kernel_start(k, CONFIG_S "ttl = 0\nneg_ttl = 0\n");
    for (int i = 0; i < 20; i++) {
        struct kernel_file file;
        char value[32];

        (void)snprintf(value, sizeof(value), "%d", i);
        backend_put(k, "s/dir/db", value);
        assert_int_equal(kernel_open_path(k, TID, "s/dir/db", &file), 0);
        assert_int_equal(kernel_release(k, FUSE_RELEASE, file.ino, file.fh), 0);
        assert_string_equal(kernel_cat(k, TID, "s/dir/nothing"), "ENOENT");
        kernel_forget_all(k);
        if (i == 2)
            before = used(k);
    }
    assert_int_equal(used(k), before);
}

/* Larger than any secret may be. */
static void test_too_large(void **state)
{
    struct kernel *k = *state;
    char *value = malloc((1 << 20) + 2);

    assert_non_null(value);
    memset(value, 'x', (1 << 20) + 1);
    value[(1 << 20) + 1] = '\0';
    backend_put(k, "s/db", value);
    free(value);
    k->memory = 4 << 20;
    kernel_start(k, CONFIG_S);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "EFBIG");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KERNEL_TEST(test_full),
        KERNEL_TEST(test_no_room_for_a_new_version),
        KERNEL_TEST(test_all_is_given_back),
        KERNEL_TEST(test_too_large),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
