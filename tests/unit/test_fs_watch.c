/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fs_watch.c - a backend that reports changes (the file provider): what is in use is fetched
 * at once, listings are made again, nothing waits for a ttl.
 */
#include "fs_kernel.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define CONFIG_FILE "[provider/s]\ntype = file\nroot = @/s\nttl = 1000\nneg_ttl = 1000\n"

/* Until a program sees that; the clocks stand still, so no ttl ends. */
static void await(struct kernel *k, const char *(*see)(struct kernel *, uint32_t, const char *),
                  const char *path, const char *expected)
{
    for (int i = 0; strcmp(see(k, TID, path), expected) != 0; i++) {
        if (i > 3000)
            fail_msg("%s is %s, not %s", path, see(k, TID, path), expected);
        (void)usleep(5000);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        KERNEL_TEST(test_new_value),    KERNEL_TEST(test_name_appears),
        KERNEL_TEST(test_name_goes),    KERNEL_TEST(test_below_a_folder),
        KERNEL_TEST(test_many_changes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
