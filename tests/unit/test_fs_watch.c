/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fs_watch.c - a backend that reports changes (the file provider): what is in use is fetched
 * at once, listings are made again, nothing waits for a ttl, and nothing that is under way misses
 * it.
 */
#include "fs_kernel.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define CONFIG_FILE "[provider/s]\ntype = file\nroot = @/s\nttl = 1000\nneg_ttl = 1000\n"

/* So often a program looks, with pauses that make it half a minute. All that it asks for must have
 * room among a test's REQUESTS, else nothing tells what it saw. */
enum { LOOKS = 1000, PAUSE_US = 30000, PAUSE_FIRST_US = 1000 };

/* Until a program sees that; the clocks stand still, so no ttl ends. */
static void await(struct kernel *k, const char *(*see)(struct kernel *, uint32_t, const char *),
                  const char *path, const char *expected)
{
    for (int i = 0; strcmp(see(k, TID, path), expected) != 0; i++) {
        if (i >= LOOKS)
            fail_msg("%s is %s, not %s", path, see(k, TID, path), expected);
        (void)usleep(i < 20 ? PAUSE_FIRST_US : PAUSE_US);
    }
}

static void test_new_value(void **state)
{
    struct kernel *k = *state;
    struct kernel_file file;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_FILE);
    await(k, kernel_cat, "s/db", "one");
    assert_int_equal(kernel_open_path(k, TID, "s/db", &file), 0);
    backend_put(k, "s/db", "two");
    await(k, kernel_cat, "s/db", "two");
    assert_int_equal(mover_count(k, HUSH_MOVE_REPLACE), 1);
    assert_string_equal(kernel_read(k, file.ino, file.fh), "one");
}

static void test_name_appears(void **state)
{
    struct kernel *k = *state;

    kernel_start(k, CONFIG_FILE);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "ENOENT");
    assert_string_equal(kernel_ls(k, TID, "s"), "");
    backend_put(k, "s/db", "one");
    await(k, kernel_cat, "s/db", "one");
    await(k, kernel_ls, "s", "db");
}

static void test_name_goes(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_FILE);
    await(k, kernel_cat, "s/db", "one");
    assert_string_equal(kernel_ls(k, TID, "s"), "db");
    backend_remove(k, "s/db");
    await(k, kernel_cat, "s/db", "ENOENT");
    await(k, kernel_ls, "s", "");
}

static void test_below_a_folder(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/dir/a", "one");
    kernel_start(k, CONFIG_FILE);
    await(k, kernel_cat, "s/dir/a", "one");
    assert_string_equal(kernel_ls(k, TID, "s/dir"), "a");
    backend_put(k, "s/dir/a", "two");
    backend_put(k, "s/dir/b", "three");
    await(k, kernel_cat, "s/dir/a", "two");
    await(k, kernel_cat, "s/dir/b", "three");
    await(k, kernel_ls, "s/dir", "a b");
}

/* A change while the same secret is being fetched: fetched once more. Many in a row: the last one
 * is what is shown. */
static void test_many_changes(void **state)
{
    struct kernel *k = *state;
    char value[16] = "";

    backend_put(k, "s/db", "first");
    kernel_start(k, CONFIG_FILE);
    await(k, kernel_cat, "s/db", "first");
    for (int i = 0; i < 200; i++) {
        (void)snprintf(value, sizeof(value), "%d", i);
        backend_put(k, "s/db", value);
        (void)kernel_cat(k, TID, "s/db");
    }
    await(k, kernel_cat, "s/db", value);
}

/* -- A change while names are being listed: what was read may be older, so it is read again -----
 */

/* A backend that reports what it is told to, and whose listings wait once they have read. */
static void start_listing_slowly(struct kernel *k)
{
    backend_control(k, "s", "/.watch", "");
    backend_control(k, "s", "/.watchlog", "");
    kernel_start(k, CONFIG_S "ttl = 1000\nneg_ttl = 1000\n");
    backend_control(k, "s", "/.listed.hang", "");
}

/* Once the folder `what` has been read: s/NAME appears, that is reported, and only then the listing
 * ends. */
static void change_meanwhile(struct kernel *k, const char *what, const char *name)
{
    char path[64], line[64];

    (void)snprintf(line, sizeof(line), "listed %s", what);
    backend_await(k, "s", line, 1);
    (void)snprintf(path, sizeof(path), "s/%s", name);
    backend_put(k, path, "three");
    backend_control(k, "s", "/.changed", name);
    (void)snprintf(line, sizeof(line), "changed %s", name);
    backend_await(k, "s", line, 1);
    backend_control(k, "s", "/.listed.hang", NULL);
}

static void test_first_listing(void **state)
{
    const struct fuse_open_in in = {0};
    struct kernel *k = *state;
    uint64_t unique;

    backend_put(k, "s/a", "one");
    start_listing_slowly(k);
    unique = kernel_send(k, FUSE_OPENDIR, kernel_ino(k, "s"), TID, &in, sizeof(in));
    change_meanwhile(k, "", "b");
    assert_int_equal(kernel_wait(k, unique)->error, 0);
    await(k, kernel_ls, "s", "a b");
}

static void test_listing_made_again(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/dir/a", "one");
    start_listing_slowly(k);
    backend_control(k, "s", "/.listed.hang", NULL);
    assert_string_equal(kernel_ls(k, TID, "s/dir"), "a");
    backend_control(k, "s", "/.listed.hang", "");
    backend_control(k, "s", "/.changed", "dir/a");
    change_meanwhile(k, "dir", "dir/b");
    await(k, kernel_ls, "s/dir", "a b");
}

/* "*": whatever is being listed is listed again, too. */
static void test_everything_meanwhile(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/a", "one");
    start_listing_slowly(k);
    backend_control(k, "s", "/.listed.hang", NULL);
    assert_string_equal(kernel_ls(k, TID, "s"), "a");
    backend_control(k, "s", "/.listed.hang", "");
    backend_control(k, "s", "/.changed", "a");
    backend_await(k, "s", "listed ", 1);
    backend_put(k, "s/b", "three");
    backend_control(k, "s", "/.changed", "*");
    backend_await(k, "s", "changed ", 1);
    backend_control(k, "s", "/.listed.hang", NULL);
    await(k, kernel_ls, "s", "a b");
}

/* A walk lists a name that is no secret, to see whether it is a folder. */
static void test_folder_while_it_is_resolved(void **state)
{
    struct kernel *k = *state;
    uint64_t unique;

    backend_put(k, "s/dir/a", "one");
    start_listing_slowly(k);
    unique = kernel_send_stat(k, TID, "s/dir");
    change_meanwhile(k, "dir", "dir/b");
    assert_int_equal(kernel_wait(k, unique)->error, 0);
    await(k, kernel_ls, "s/dir", "a b");
}

/* That there is no such name is not remembered if one came while the backend said so. */
static void test_folder_appears_while_it_is_resolved(void **state)
{
    struct kernel *k = *state;
    uint64_t unique;

    start_listing_slowly(k);
    unique = kernel_send_stat(k, TID, "s/dir");
    change_meanwhile(k, "dir", "dir/b");
    (void)kernel_wait(k, unique);
    await(k, kernel_cat, "s/dir/b", "three");
    await(k, kernel_ls, "s/dir", "b");
}

/* An error is not remembered either. */
static void test_listing_fails_meanwhile(void **state)
{
    const struct fuse_open_in in = {0};
    struct kernel *k = *state;
    uint64_t unique;

    backend_control(k, "s/.listed", ".error", "UNAVAILABLE");
    start_listing_slowly(k);
    unique = kernel_send(k, FUSE_OPENDIR, kernel_ino(k, "s"), TID, &in, sizeof(in));
    change_meanwhile(k, "", "b");
    (void)kernel_wait(k, unique); /* the error, or what was listed since */
    await(k, kernel_ls, "s", "b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KERNEL_TEST(test_new_value),
        KERNEL_TEST(test_name_appears),
        KERNEL_TEST(test_name_goes),
        KERNEL_TEST(test_below_a_folder),
        KERNEL_TEST(test_many_changes),
        KERNEL_TEST(test_first_listing),
        KERNEL_TEST(test_listing_made_again),
        KERNEL_TEST(test_everything_meanwhile),
        KERNEL_TEST(test_folder_while_it_is_resolved),
        KERNEL_TEST(test_folder_appears_while_it_is_resolved),
        KERNEL_TEST(test_listing_fails_meanwhile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
