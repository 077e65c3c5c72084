/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fs_field.c - secrets that are shown as directories, names that are both, and NAME#VERSION.
 */
#include "fs_kernel.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static const char json[] =
    "{\"user\":\"app\",\"port\":5432,\"list\":[1, {\"a\":null}],\"empty\":\"\","
    "\"a/b\":\"x\",\"\":\"y\",\".json\":\"z\",\"..\":\"up\",\"%\":\"p\"}";

static void put_json(struct kernel *k, const char *path, const char *text)
{
    backend_put(k, path, text);
    backend_control(k, path, ".fields", "");
}

static void test_fields(void **state)
{
    static const char *const rows[][2] = {
        {"s/db/user", "app"},
        {"s/db/port", "5432"},
        {"s/db/list", "[1,{\"a\":null}]"},
        {"s/db/empty", ""},
        {"s/db/%", "y"},
        {"s/db/%2Ejson", "z"},
        {"s/db/%2E.", "up"},
        {"s/db/%25", "p"},
        {"s/db/.json", json},
        {"s/db/.value", "ENOENT"},
        {"s/db/user/x", "ENOTDIR"},
    };
    struct kernel *k = *state;

    put_json(k, "s/db", json);
    kernel_start(k, CONFIG_S "as = directory\n");
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_string_equal(kernel_cat(k, TID, rows[i][0]), rows[i][1]);
    assert_int_equal(backend_calls(k, "s", NULL), 1); /* one call for all fields */
    assert_string_equal(kernel_cat(k, TID, "s/db"), "EISDIR");
    assert_string_equal(kernel_cat(k, TID, "s/db/nothing"), "ENOENT");
    assert_int_equal(backend_calls(k, "s", "fetch db"), 1);
    /* A name with a slash cannot be shown; it is in .json. */
    assert_string_equal(kernel_ls(k, TID, "s/db"), ".json user port list empty % %2Ejson %2E. %25");
}

static void test_attributes(void **state)
{
    struct kernel *k = *state;
    struct fuse_entry_out dir, file;

    put_json(k, "s/db", json);
    kernel_start(k,
                 CONFIG_S "as = directory\nmode = 0440\ngroup = 7\nowner = 5\ndir_mode = 0750\n");
    assert_int_equal(kernel_walk(k, TID, "s/db", &dir), 0);
    assert_int_equal(dir.attr.mode, S_IFDIR | 0750);
    assert_int_equal(dir.attr.gid, 7);
    assert_int_equal(dir.attr.uid, geteuid()); /* of the worker: the mover renames in it */
    assert_int_equal(kernel_walk(k, TID, "s/db/user", &file), 0);
    assert_int_equal(file.attr.mode, S_IFREG | 0440);
    assert_int_equal(file.attr.uid, 5);
    assert_int_equal(file.attr.gid, 7);
    assert_int_equal(file.attr.size, 3);
}

static uint32_t attribute(struct kernel *k, const char *path)
{
    struct fuse_entry_out file;

    assert_int_equal(kernel_walk(k, TID, path, &file), 0);
    /* A field's GETATTR is answered from its version, not from the gate: it must say the same. */
    struct fuse_attr_out again;
    assert_int_equal(kernel_getattr(k, TID, file.nodeid, &again), 0);
    assert_int_equal(again.attr.mode, file.attr.mode);
    assert_int_equal(again.attr.gid, file.attr.gid);
    return (file.attr.mode & 07777) << 16 | file.attr.gid;
}

static uint32_t opened(struct kernel *k, const char *path)
{
    struct kernel_file file;

    assert_int_equal(kernel_open_path(k, TID, path, &file), 0);
    assert_int_equal(kernel_release(k, FUSE_RELEASE, file.ino, file.fh), 0);
    return file.flags & (FOPEN_DIRECT_IO | FOPEN_KEEP_CACHE);
}

#define ATTRIBUTE(mode, group) ((uint32_t)(mode) << 16 | (group))

/* Rules for single fields, after a reload as well: what is cached has the new ones at once. */
static void test_rules_of_fields(void **state)
{
    struct kernel *k = *state;

    put_json(k, "s/db", json);
    put_json(k, "s/db.versions/1", json);
    kernel_start(k, CONFIG_S "as = directory\nmode = 0440\ngroup = 7\n"
                             "[path/s/db/user]\nmode = 0400\ngroup = 0\n"
                             "[path/s/db/port]\npage_cache = no\n"
                             "[path/s/db/%2Ejson]\nowner = 3\n");
    for (int i = 0; i < 2; i++) {
        static const char *const names[] = {"s/db", "s/db#1"};
        char path[32];

        (void)snprintf(path, sizeof(path), "%s/user", names[i]);
        assert_int_equal(attribute(k, path), ATTRIBUTE(0400, 0));
        assert_int_equal(opened(k, path), FOPEN_KEEP_CACHE);
        (void)snprintf(path, sizeof(path), "%s/port", names[i]);
        assert_int_equal(attribute(k, path), ATTRIBUTE(0440, 7));
        assert_int_equal(opened(k, path), FOPEN_DIRECT_IO);
        (void)snprintf(path, sizeof(path), "%s/list", names[i]);
        assert_int_equal(attribute(k, path), ATTRIBUTE(0440, 7));
        assert_int_equal(opened(k, path), FOPEN_KEEP_CACHE);
        /* Not its group, for user, nor its owner, for %2Ejson. */
        (void)snprintf(path, sizeof(path), "%s/.json", names[i]);
        assert_int_equal(attribute(k, path), ATTRIBUTE(0, 7));
        assert_int_equal(opened(k, path), FOPEN_DIRECT_IO);
        assert_int_equal(attribute(k, names[i]), ATTRIBUTE(0751, 7));
    }
    kernel_kill(k);
    kernel_start(k, CONFIG_S "as = directory\nmode = 0444\ngroup = 7\n"
                             "[path/s/db/list]\nmode = 0404\n");
    assert_int_equal(attribute(k, "s/db/user"), ATTRIBUTE(0444, 7));
    assert_int_equal(attribute(k, "s/db#1/list"), ATTRIBUTE(0404, 7));
    assert_int_equal(attribute(k, "s/db/list"), ATTRIBUTE(0404, 7));
    assert_int_equal(attribute(k, "s/db/.json"), ATTRIBUTE(0404, 7));
    assert_int_equal(opened(k, "s/db/.json"), FOPEN_KEEP_CACHE);
    assert_int_equal(backend_calls(k, "s", NULL), 3); /* db, db#1 literally and as a version */
}

/* A field that this version does not have restricts nothing; one that the next has does. */
static void test_rules_of_fields_that_come(void **state)
{
    struct kernel *k = *state;

    put_json(k, "s/db", "{\"user\":\"one\"}");
    kernel_start(k, CONFIG_S "as = directory\nmode = 0440\nttl = 10\n"
                             "[path/s/*/key]\nmode = 0400\n");
    assert_int_equal(attribute(k, "s/db/.json"), ATTRIBUTE(0440, 0));
    put_json(k, "s/db", "{\"user\":\"one\",\"key\":\"k\"}");
    kernel_advance_ms(k, SECONDS(10));
    assert_int_equal(attribute(k, "s/db/.json"), ATTRIBUTE(0400, 0));
    assert_int_equal(attribute(k, "s/db/key"), ATTRIBUTE(0400, 0));
    assert_int_equal(attribute(k, "s/db/user"), ATTRIBUTE(0440, 0));
    backend_put(k, "s/text", "no map");
    assert_int_equal(attribute(k, "s/text/.value"), ATTRIBUTE(0440, 0));
}

/* Through one open directory all fields are of one version, whatever happens meanwhile. */
static void test_fields_of_one_version(void **state)
{
    struct kernel *k = *state;
    struct fuse_open_out dir, file;
    struct fuse_entry_out user, now;
    uint64_t ino;

    put_json(k, "s/db", "{\"user\":\"one\",\"old\":\"1\"}");
    kernel_start(k, CONFIG_S "as = directory\nttl = 10\n");
    ino = kernel_ino(k, "s/db");
    assert_int_equal(kernel_opendir(k, TID, ino, &dir), 0);
    put_json(k, "s/db", "{\"user\":\"two\",\"new\":\"2\"}");
    kernel_advance_ms(k, SECONDS(10));
    assert_string_equal(kernel_cat(k, OTHER, "s/db/user"), "two");
    assert_string_equal(kernel_readdir(k, ino, dir.fh), ".json user old");
    assert_string_equal(kernel_ls(k, OTHER, "s/db"), ".json user new");
    assert_int_equal(kernel_lookup(k, TID, ino, "new", NULL), ENOENT);
    assert_int_equal(kernel_lookup(k, TID, ino, "user", &user), 0);
    assert_int_equal(kernel_open(k, TID, user.nodeid, &file), 0);
    assert_string_equal(kernel_read(k, user.nodeid, file.fh), "one");
    assert_int_equal(kernel_walk(k, OTHER, "s/db/user", &now), 0);
    assert_true(now.nodeid != user.nodeid);
}

static void test_no_map(void **state)
{
    static const char *const values[] = {"plain text", "[1, 2]", "{\"a\":", "{\"a\":1,\"a\":2}",
                                         ""};
    struct kernel *k = *state;

    kernel_start(k, CONFIG_S "as = directory\n");
    for (size_t i = 0; i < COUNT(values); i++) {
        char path[32];

        (void)snprintf(path, sizeof(path), "s/db%zu", i);
        backend_put(k, path, values[i]);
        assert_string_equal(kernel_ls(k, TID, path), ".value");
        (void)snprintf(path, sizeof(path), "s/db%zu/.value", i);
        assert_string_equal(kernel_cat(k, TID, path), values[i]);
    }
}

/* A map as a file is the whole; nothing of it costs memory twice. */
static void test_map_as_a_file(void **state)
{
    struct kernel *k = *state;

    put_json(k, "s/db", json);
    kernel_start(k, CONFIG_S "as = directory\n[path/s/db]\nas = file\n");
    assert_string_equal(kernel_cat(k, TID, "s/db"), json);
    assert_string_equal(kernel_ls(k, TID, "s"), "db");
    assert_string_equal(kernel_cat(k, TID, "s/db/user"), "ENOTDIR");
}

/* Listed, and not fetched yet: it can be seen to be a directory. */
static void test_listed_as_directories(void **state)
{
    struct kernel *k = *state;
    struct fuse_entry_out pending;

    put_json(k, "s/db", json);
    kernel_start(k, CONFIG_S "as = directory\n");
    assert_string_equal(kernel_ls(k, TID, "s"), "db/");
    assert_int_equal(kernel_lookup(k, TID, kernel_ino(k, "s"), "db", &pending), 0);
    assert_true(S_ISDIR(pending.attr.mode));
    assert_int_equal(kernel_lookup(k, TID, pending.nodeid, "user", NULL), ESTALE);
    assert_int_equal(kernel_opendir(k, TID, pending.nodeid, NULL), ESTALE);
    assert_int_equal(kernel_getattr(k, TID, pending.nodeid, NULL), ESTALE);
    assert_string_equal(kernel_cat(k, TID, "s/db/user"), "app");
}

static void test_base64(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/file", "b25l");
    backend_put(k, "s/bad", "one");
    put_json(k, "s/map", "{\"a\":\"b25l\",\"b\":\"\"}");
    put_json(k, "s/half", "{\"a\":\"b25l\",\"b\":\"%\"}");
    kernel_start(k, CONFIG_S "base64_decode = yes\n"
                             "[path/s/map]\nas = directory\n[path/s/half]\nas = directory\n");
    assert_string_equal(kernel_cat(k, TID, "s/file"), "one");
    assert_string_equal(kernel_cat(k, TID, "s/bad"), "EIO");
    assert_string_equal(kernel_cat(k, TID, "s/map/a"), "one");
    assert_string_equal(kernel_cat(k, TID, "s/map/b"), "");
    assert_string_equal(kernel_cat(k, TID, "s/half/a"), "EIO"); /* all of it or nothing */
}

/* -- A name that is both a secret and a folder ------------------------------------------------- */

static void test_both(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/db/sub", "below");
    backend_control(k, "s/db", ".value", "its own");
    kernel_start(k, CONFIG_S "ttl = 10\n");
    assert_string_equal(kernel_ls(k, TID, "s"), "db/");
    assert_string_equal(kernel_cat(k, TID, "s/db/.value"), "its own");
    assert_string_equal(kernel_cat(k, TID, "s/db/sub"), "below");
    assert_string_equal(kernel_ls(k, TID, "s/db"), "sub .value");
    backend_control(k, "s/db", ".value", "another");
    kernel_advance_ms(k, SECONDS(10));
    assert_string_equal(kernel_cat(k, TID, "s/db/.value"), "another");
}

/* The secret by another name: its own rules hold. */
static void test_rules_of_both(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/db/sub", "below");
    backend_control(k, "s/db", ".value", "its own");
    kernel_start(k, CONFIG_S "mode = 0440\n[path/s/db]\nmode = 0400\ngroup = 9\n");
    assert_string_equal(kernel_ls(k, TID, "s"), "db/");
    assert_int_equal(attribute(k, "s/db/.value"), ATTRIBUTE(0400, 9));
    assert_int_equal(attribute(k, "s/db/sub"), ATTRIBUTE(0440, 0));
}

static void test_value_of_a_folder(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/dir/sub", "below");
    kernel_start(k, CONFIG_S);
    assert_string_equal(kernel_cat(k, TID, "s/dir/.value"), "ENOENT");
    assert_string_equal(kernel_cat(k, TID, "s/.value"), "ENOENT");
    assert_string_equal(kernel_cat(k, TID, "s/dir/.json"), "ENOENT"); /* only secrets have one */
    assert_string_equal(kernel_ls(k, TID, "s/dir"), "sub");
}

/* -- NAME#VERSION
 * ---------------------------------------------------------------------------------- */

static void test_versions(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/db", "new");
    backend_put(k, "s/db.versions/1", "old");
    backend_put(k, "s/db.versions/AWSPREVIOUS", "old");
    kernel_start(k, CONFIG_S "ttl = 10\n");
    assert_string_equal(kernel_cat(k, TID, "s/db#1"), "old");
    assert_string_equal(kernel_cat(k, TID, "s/db#AWSPREVIOUS"), "old");
    assert_string_equal(kernel_cat(k, TID, "s/db#2"), "ENOENT");
    assert_string_equal(kernel_cat(k, TID, "s/nothing#1"), "ENOENT");
    assert_string_equal(kernel_cat(k, TID, "s/db#"), "ENOENT");
    assert_string_equal(kernel_cat(k, TID, "s/#1"), "ENOENT");
    assert_string_equal(kernel_cat(k, TID, "s/db"), "new");
    /* Asked again it is asked for as a version at once. */
    backend_put(k, "s/db.versions/1", "older");
    kernel_advance_ms(k, SECONDS(10));
    assert_string_equal(kernel_cat(k, TID, "s/db#1"), "older");
    assert_int_equal(backend_calls(k, "s", "fetch db#1"), 3);
}

/* A secret that is called so comes before the version. */
static void test_literal_name_wins(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/db", "new");
    backend_put(k, "s/db.versions/1", "version");
    backend_put(k, "s/db#1", "literal");
    kernel_start(k, CONFIG_S "ttl = 10\n");
    assert_string_equal(kernel_cat(k, TID, "s/db#1"), "literal");
    assert_string_equal(kernel_ls(k, TID, "s"), "db db#1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KERNEL_TEST(test_fields),
        KERNEL_TEST(test_attributes),
        KERNEL_TEST(test_rules_of_fields),
        KERNEL_TEST(test_rules_of_fields_that_come),
        KERNEL_TEST(test_fields_of_one_version),
        KERNEL_TEST(test_no_map),
        KERNEL_TEST(test_map_as_a_file),
        KERNEL_TEST(test_listed_as_directories),
        KERNEL_TEST(test_base64),
        KERNEL_TEST(test_both),
        KERNEL_TEST(test_rules_of_both),
        KERNEL_TEST(test_value_of_a_folder),
        KERNEL_TEST(test_versions),
        KERNEL_TEST(test_literal_name_wins),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
