/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fs_list.c - directories: what OPENDIR waits for, what READDIR says, folders that nobody may
 * list.
 */
#include "fs_kernel.h"

#include <errno.h>
#include <string.h>

static bool is_kept(struct kernel *k, const char *path)
{
    struct fuse_open_out out;
    uint64_t ino = kernel_ino(k, path);

    assert_int_equal(kernel_opendir(k, TID, ino, &out), 0);
    assert_int_equal(out.open_flags & FOPEN_CACHE_DIR, FOPEN_CACHE_DIR);
    assert_int_equal(kernel_release(k, FUSE_RELEASEDIR, ino, out.fh), 0);
    return (out.open_flags & FOPEN_KEEP_CACHE) != 0;
}

static void test_listing(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/b", "one");
    backend_put(k, "s/a/x", "one");
    backend_put(k, "s/a/y", "one");
    backend_put(k, "s/c", "one");
    kernel_start(k, CONFIG_S);
    assert_string_equal(kernel_ls(k, TID, ""), "s/");
    assert_string_equal(kernel_ls(k, TID, "s"), "a/ b c");
    assert_string_equal(kernel_ls(k, TID, "s/a"), "x y");
    assert_int_equal(backend_calls(k, "s", NULL), 2); /* two lists, no value */
    assert_string_equal(kernel_ls(k, TID, "s/b"), "ENOTDIR");
    assert_string_equal(kernel_ls(k, TID, "s/d"), "ENOENT");
}

static void test_empty_listing(void **state)
{
    struct kernel *k = *state;

    kernel_start(k, CONFIG_S);
    assert_string_equal(kernel_ls(k, TID, "s"), "");
}

/* More than one reply holds; each name once, however it is cut. */
static void test_long_listing(void **state)
{
    struct kernel *k = *state;
    char expected[8192] = "", name[32];

    for (int i = 0; i < 300; i++) {
        size_t used = strlen(expected);

        (void)snprintf(name, sizeof(name), "s/name-%04d", i);
        backend_put(k, name, "one");
        (void)snprintf(expected + used, sizeof(expected) - used, "%s%s", i > 0 ? " " : "",
                       name + 2);
    }
    kernel_start(k, CONFIG_S);
    assert_string_equal(kernel_ls(k, TID, "s"), expected);
}

/* What an open directory shows does not change while it is read. */
static void test_open_directory(void **state)
{
    struct kernel *k = *state;
    struct fuse_open_out before;
    uint64_t dir;

    backend_put(k, "s/a", "one");
    kernel_start(k, CONFIG_S "ttl = 10\n");
    dir = kernel_ino(k, "s");
    assert_int_equal(kernel_opendir(k, TID, dir, &before), 0);
    backend_put(k, "s/b", "one");
    kernel_advance_ms(k, SECONDS(11));
    assert_string_equal(kernel_ls(k, OTHER, "s"), "a b");
    assert_string_equal(kernel_readdir(k, dir, before.fh), "a");
    assert_int_equal(kernel_release(k, FUSE_RELEASEDIR, dir, before.fh), 0);
    assert_string_equal(kernel_readdir(k, dir, before.fh), "a b"); /* a dead worker's handle */
}

/* Within neg_ttl nobody is asked; up to the ttl it is shown at once and made again meanwhile; then
 * it is waited for. */
static void test_age(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/a", "one");
    kernel_start(k, CONFIG_S "neg_ttl = 5\nttl = 100\n");
    assert_string_equal(kernel_ls(k, TID, "s"), "a");
    backend_put(k, "s/b", "one");
    kernel_advance_ms(k, SECONDS(5));
    assert_string_equal(kernel_ls(k, TID, "s"), "a");
    assert_int_equal(backend_calls(k, "s", "list "), 1);
    kernel_advance_ms(k, 1);
    assert_string_equal(kernel_ls(k, TID, "s"), "a");
    backend_await(k, "s", "list ", 2);
    while (strcmp(kernel_ls(k, TID, "s"), "a b") != 0)
        (void)usleep(1000);
    backend_put(k, "s/c", "one");
    kernel_advance_ms(k, SECONDS(101));
    assert_string_equal(kernel_ls(k, TID, "s"), "a b c");
}

/* The kernel keeps what it has read until there is something else to read. */
static void test_kernel_keeps(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/a", "one");
    kernel_start(k, CONFIG_S "ttl = 10\n");
    assert_false(is_kept(k, "s"));
    assert_true(is_kept(k, "s"));
    kernel_advance_ms(k, SECONDS(11)); /* the same again */
    assert_true(is_kept(k, "s"));
    backend_put(k, "s/b", "one");
    kernel_advance_ms(k, SECONDS(11));
    assert_false(is_kept(k, "s"));
    assert_true(is_kept(k, "s"));
}

/* A failure is an errno, never an empty directory; with a listing to fall back on that is shown. */
static void test_failures(void **state)
{
    static const char *const rows[][2] = {
        {"UNAVAILABLE", "EHOSTDOWN"}, {"DENIED", "EACCES"},     {"THROTTLED", "EAGAIN"},
        {"BACKEND", "EIO"},           {"TIMEOUT", "ETIMEDOUT"}, {"UNSUPPORTED", "EOPNOTSUPP"},
    };
    struct kernel *k = *state;

    backend_put(k, "s/a", "one");
    kernel_start(k, CONFIG_S "ttl = 10\n");
    for (size_t i = 0; i < COUNT(rows); i++) {
        backend_control(k, "s/.list", ".error", rows[i][0]);
        kernel_advance_ms(k, SECONDS(1));
        assert_string_equal(kernel_ls(k, TID, "s"), rows[i][1]);
        assert_string_equal(kernel_ls(k, TID, "s"), rows[i][1]); /* once a second is enough */
        assert_int_equal(backend_calls(k, "s", "list "), i + 1);
    }
    backend_control(k, "s/.list", ".error", NULL);
    kernel_advance_ms(k, SECONDS(1));
    assert_string_equal(kernel_ls(k, TID, "s"), "a");
    backend_control(k, "s/.list", ".error", "UNAVAILABLE");
    kernel_advance_ms(k, SECONDS(1000));
    assert_string_equal(kernel_ls(k, TID, "s"), "a");
}

/* OPENDIR waits with a deadline; the walk through the directory does not wait for its listing. */
static void test_hung_listing(void **state)
{
    struct kernel *k = *state;
    const struct fuse_open_in in = {0};
    uint64_t dir, opendir, killed;

    backend_put(k, "s/db", "one");
    backend_control(k, "s/.list", ".hang", "");
    kernel_start(k, CONFIG_S "timeout = 10\n");
    dir = kernel_ino(k, "s");
    opendir = kernel_send(k, FUSE_OPENDIR, dir, TID, &in, sizeof(in));
    killed = kernel_send(k, FUSE_OPENDIR, dir, TID + 1, &in, sizeof(in));
    backend_await(k, "s", "list ", 1);
    assert_string_equal(kernel_cat(k, OTHER, "s/db"), "one");
    kernel_interrupt(k, killed);
    assert_int_equal(kernel_wait(k, killed)->error, EINTR);
    assert_false(kernel_answered(k, opendir));
    kernel_advance_ms(k, SECONDS(5));
    assert_int_equal(kernel_wait(k, opendir)->error, ETIMEDOUT);
    backend_control(k, "s/.list", ".hang", NULL);
    assert_string_equal(kernel_ls(k, TID, "s"), "db");
    assert_int_equal(backend_calls(k, "s", "list "), 1); /* it went on without a reader */
}

/* prefetch = yes: everything is there before anybody asks. */
static void test_prefetch(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/dir/sub/db", "one");
    backend_put(k, "s/db", "two");
    kernel_start(k, CONFIG_S "prefetch = yes\n");
    backend_await(k, "s", "fetch db", 1);
    backend_await(k, "s", "fetch dir/sub/db", 1);
    assert_string_equal(kernel_cat(k, TID, "s/dir/sub/db"), "one");
    assert_string_equal(kernel_cat(k, TID, "s/db"), "two");
    assert_string_equal(kernel_ls(k, TID, "s/dir/sub"), "db");
    assert_int_equal(backend_calls(k, "s", NULL), 5); /* three lists, two fetches */
}

/* -- Folders that cannot be listed: nobody may say what they are, so a walk goes on through them
 * --- */

static void test_unlisted(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/dir/sub/db", "one");
    backend_control(k, "s/", ".unlisted", "");
    kernel_start(k, CONFIG_S);
    assert_string_equal(kernel_cat(k, TID, "s/dir/sub/db"), "one");
    assert_string_equal(kernel_ls(k, TID, "s"), "EOPNOTSUPP");
    assert_string_equal(kernel_ls(k, TID, "s/dir"), "ENOENT");
    assert_string_equal(kernel_cat(k, TID, "s/nothing"), "ENOENT");
    assert_string_equal(kernel_ls(k, TID, "s/nothing"), "ENOENT");
    assert_string_equal(kernel_cat(k, TID, "s/dir/sub/nothing"), "ENOENT");
}

/* As a policy does that allows one secret alone. */
static void test_listing_refused(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/dir/db", "one");
    backend_control(k, "s/.list", ".error", "DENIED");
    kernel_start(k, CONFIG_S);
    assert_string_equal(kernel_cat(k, TID, "s/dir/db"), "one");
    assert_string_equal(kernel_ls(k, TID, "s/dir"), "EACCES");
}

/* The backend is down for listings alone: never "not there". */
static void test_listing_fails(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/dir/db", "one");
    backend_control(k, "s/.list", ".error", "UNAVAILABLE");
    kernel_start(k, CONFIG_S "neg_ttl = 1\n");
    assert_string_equal(kernel_cat(k, TID, "s/dir/db"), "one");
    assert_string_equal(kernel_ls(k, TID, "s/dir"), "EHOSTDOWN");
    backend_control(k, "s/.list", ".error", NULL);
    kernel_advance_ms(k, SECONDS(2));
    assert_string_equal(kernel_ls(k, TID, "s/dir"), "db");
    kernel_advance_ms(k, SECONDS(2));
    assert_string_equal(kernel_ls(k, TID, "s/nothing"), "ENOENT");
}

/* A secret that was a folder, a folder that was a secret. */
static void test_kinds_change(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/x", "one");
    kernel_start(k, CONFIG_S "ttl = 10\nneg_ttl = 1\n");
    assert_string_equal(kernel_cat(k, TID, "s/x"), "one");
    backend_remove(k, "s/x");
    backend_put(k, "s/x/y", "two");
    kernel_advance_ms(k, SECONDS(11));
    assert_string_equal(kernel_cat(k, TID, "s/x"), "ENOENT"); /* refused at once, then … */
    kernel_advance_ms(k, SECONDS(2));
    assert_string_equal(kernel_cat(k, TID, "s/x/y"), "two");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KERNEL_TEST(test_listing),
        KERNEL_TEST(test_empty_listing),
        KERNEL_TEST(test_long_listing),
        KERNEL_TEST(test_open_directory),
        KERNEL_TEST(test_age),
        KERNEL_TEST(test_kernel_keeps),
        KERNEL_TEST(test_failures),
        KERNEL_TEST(test_hung_listing),
        KERNEL_TEST(test_prefetch),
        KERNEL_TEST(test_unlisted),
        KERNEL_TEST(test_listing_refused),
        KERNEL_TEST(test_listing_fails),
        KERNEL_TEST(test_kinds_change),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
