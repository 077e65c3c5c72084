/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fs_memory.c - the arena is full: what nobody has open goes for what is new; what is open
 * stays, and then what is new is ENOMEM. What is forgotten is given back.
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

/* As many as fit, held open; then ENOMEM. */
static size_t fill(struct kernel *k)
{
    struct kernel_file file;
    char path[32];

    for (size_t n = 0;; n++) {
        int err;

        (void)snprintf(path, sizeof(path), "s/%zu", n);
        backend_put(k, path, big_value('a'));
        err = kernel_open_path(k, TID, path, &file);
        if (err != 0) {
            assert_int_equal(err, ENOMEM);
            return n;
        }
    }
}

/* Nothing can go: those that were there are there still. */
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

/* What was asked for the longest ago goes, but no credential (0) and nothing that is open (1). */
static void test_room_is_made(void **state)
{
    struct kernel *k = *state;
    struct fuse_entry_out out;
    struct kernel_file file;
    uint64_t third = 0;
    char path[32];
    int err = 0;

    backend_put(k, "s/0", "cred");
    backend_control(k, "s/0", ".dynamic", "");
    backend_put(k, "s/1", big_value('a'));
    kernel_start(k, CONFIG_S "ttl = 1000\n");
    assert_string_equal(kernel_cat(k, TID, "s/0"), "cred1");
    assert_int_equal(kernel_open_path(k, TID, "s/1", &file), 0);
    for (int i = 2; err == 0; i++) {
        (void)snprintf(path, sizeof(path), "s/%d", i);
        backend_put(k, path, big_value('a'));
        kernel_advance_ms(k, 1);
        err = kernel_walk(k, TID, path, &out);
        third = i == 3 ? out.nodeid : third;
        assert_string_equal(kernel_cat(k, OTHER, "s/2"), big_value('a')); /* is in use */
    }
    assert_int_equal(err, ENOMEM); /* since the kernel did not forget what it was told to */
    assert_string_equal(mover_take(k, HUSH_MOVE_INVAL_ENTRY)->to, "3");
    kernel_forget(k, third, 2);
    kernel_advance_ms(k, SECONDS(1));
    assert_string_equal(kernel_cat(k, TID, path), big_value('a'));
    for (int i = 0; i < 3; i++) {
        (void)snprintf(path, sizeof(path), "fetch %d", i);
        assert_int_equal(backend_calls(k, "s", path), 1);
    }
}

/* What the kernel has forgotten goes at once. */
static void test_room_is_made_at_once(void **state)
{
    struct kernel *k = *state;
    char path[32];

    kernel_start(k, CONFIG_S "ttl = 1000\n");
    for (int i = 0; i < 30; i++) {
        (void)snprintf(path, sizeof(path), "s/%d", i);
        backend_put(k, path, big_value((char)('a' + i % 26)));
        kernel_advance_ms(k, 1);
        assert_string_equal(kernel_cat(k, TID, path), big_value((char)('a' + i % 26)));
        kernel_forget_all(k);
    }
    assert_non_null(strstr(kernel_cat(k, TID, ".hushfs/metrics"), "hushfs_evictions_total 2"));
    assert_int_equal(kernel_open_path(k, TID, "s/0", &(struct kernel_file){0}), 0);
}

/* A new version that there is no room for: the old one is served on, as when a backend fails. */
static void test_no_room_for_a_new_version(void **state)
{
    struct kernel *k = *state;
    struct kernel_file file;

    kernel_start(k, CONFIG_S "ttl = 10\n");
    (void)fill(k);
    backend_put(k, "s/0", big_value('b'));
    kernel_advance_ms(k, SECONDS(11));
    assert_string_equal(kernel_cat(k, TID, "s/0"), big_value('a'));
    assert_string_equal(kernel_xattr(k, kernel_ino(k, "s/0"), "user.hushfs.stale"), "1");
    /* Another one is closed, and the kernel forgets it: there is room. */
    assert_int_equal(kernel_open_path(k, TID, "s/1", &file), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(kernel_release(k, FUSE_RELEASE, file.ino, file.fh), 0);
    backend_control(k, "s/1", ".error", "DENIED");
    kernel_advance_ms(k, SECONDS(11));
    assert_string_equal(kernel_cat(k, TID, "s/1"), "EACCES");
    kernel_forget_all(k);
    kernel_advance_ms(k, SECONDS(61)); /* past any pause */
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
        KERNEL_TEST(test_room_is_made),
        KERNEL_TEST(test_room_is_made_at_once),
        KERNEL_TEST(test_no_room_for_a_new_version),
        KERNEL_TEST(test_all_is_given_back),
        KERNEL_TEST(test_too_large),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
