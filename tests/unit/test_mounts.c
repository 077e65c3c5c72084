/* SPDX-License-Identifier: Apache-2.0 */
/* test_mounts.c - hushfs mounts in mountinfo, and names of mount points. */
#include "mounts.h"

#include "unit.h"

#include <errno.h>
#include <string.h>

static const char mountinfo[] =
    "22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n"
    "40 22 0:40 / /run/secrets ro,nosuid shared:9 master:2 - fuse.hushfs hushfs ro,user_id=0\n"
    "41 22 0:41 / /run/other ro - fuse.sshfs x ro\n"
    "42 22 0:42 / /mnt/a\\040b\\134c ro - fuse.hushfs hushfs ro\n"
    "43 22 0:43 / /tmp/fuse.hushfs ro - tmpfs fuse.hushfs ro\n"
    "44 22 0:44 / /run/secrets/deep ro - fuse.hushfs hushfs ro\n"
    "45 22 0:45 / /x ro - fuse.hushfsx hushfs ro\n"
    "46 22 nonsense\n"
    "\n"
    "47 22 0:47 / /run/dash ro - fuse.hushfs a - b ro\n";

static struct hush_mounts parsed(void)
{
    struct hush_mounts mounts = {0};
    char text[sizeof(mountinfo)];

    memcpy(text, mountinfo, sizeof(text));
    FILE *file = fmemopen(text, sizeof(text) - 1, "r");
    assert_non_null(file);
    hush_mounts_parse(&mounts, file);
    (void)fclose(file);
    return mounts;
}

static void finds_its_mounts(void **state)
{
    static const char *const paths[] = {"/run/secrets", "/mnt/a b\\c", "/run/secrets/deep",
                                        "/run/dash"};
    struct hush_mounts mounts = parsed();

    (void)state;
    assert_int_equal(mounts.count, COUNT(paths));
    for (size_t i = 0; i < COUNT(paths); i++)
        assert_string_equal(mounts.paths[i], paths[i]);
    assert_true(hush_mounts_have(&mounts, "/mnt/a b\\c"));
    assert_false(hush_mounts_have(&mounts, "/run/secrets/x"));
    assert_false(hush_mounts_have(&mounts, "/run/other"));
    hush_mounts_free(&mounts);
    assert_int_equal(mounts.count, 0);
}

static void finds_the_mount_of_a_path(void **state)
{
    struct hush_mounts mounts = parsed();

    (void)state;
    assert_string_equal(hush_mounts_find(&mounts, "/run/secrets"), "/run/secrets");
    assert_string_equal(hush_mounts_find(&mounts, "/run/secrets/a/b"), "/run/secrets");
    assert_string_equal(hush_mounts_find(&mounts, "/run/secrets/deep/b"), "/run/secrets/deep");
    assert_string_equal(hush_mounts_find(&mounts, "/run/secrets/deeper"), "/run/secrets");
    assert_null(hush_mounts_find(&mounts, "/run/secretsx"));
    assert_null(hush_mounts_find(&mounts, "/run"));
    hush_mounts_free(&mounts);
}

static void resolves_names(void **state)
{
    char dir[] = "/tmp/hush_mounts.XXXXXX", path[128], out[PATH_MAX], expected[PATH_MAX];

    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/link", dir);
    assert_int_equal(symlink(".", path), 0);
    assert_true(hush_mounts_resolve(path, out));
    assert_true(realpath(dir, expected) != NULL);
    assert_string_equal(out, expected);
    (void)snprintf(path, sizeof(path), "%s/link/none", dir);
    assert_false(hush_mounts_resolve(path, out));
    assert_int_equal(errno, ENOENT);
    assert_true(hush_mounts_resolve_parent(path, out));
    (void)strncat(expected, "/none", 6);
    assert_string_equal(out, expected);
    (void)snprintf(path, sizeof(path), "%s/link///none//", dir);
    assert_true(hush_mounts_resolve_parent(path, out));
    assert_string_equal(out, expected);
    assert_true(hush_mounts_resolve_parent("/none", out));
    assert_string_equal(out, "/none");
    assert_int_equal(chdir(dir), 0);
    assert_true(hush_mounts_resolve_parent("none", out));
    assert_string_equal(out, expected);
    assert_true(hush_mounts_resolve_parent("link/..", out));
    assert_string_equal(out, "/tmp");
    assert_true(hush_mounts_resolve_parent("/", out));
    assert_string_equal(out, "/");
    assert_int_equal(unlink("link"), 0);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_its_mounts),
        cmocka_unit_test(finds_the_mount_of_a_path),
        cmocka_unit_test(resolves_names),
    };

    return cmocka_run_group_tests_name("mounts", tests, NULL, NULL);
}
