/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fs_report.c - what a mount says of itself: .hushfs, its control file, extended attributes.
 */
#include "fs_kernel.h"

#include "core/status.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>

/* -- status.json ----------------------------------------------------------------------------------
 */

static json_t *status_json(struct kernel *k)
{
    json_error_t error;
    json_t *json = json_loads(kernel_cat(k, TID, ".hushfs/status.json"), 0, &error);

    if (json == NULL)
        fail_msg("%s", error.text);
    return json;
}

/* The element of an array whose member key is value. */
static json_t *find(json_t *array, const char *key, const char *value)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        json_t *entry = json_array_get(array, i);

        if (strcmp(json_string_value(json_object_get(entry, key)), value) == 0)
            return entry;
    }
    fail_msg("there is no %s %s", key, value);
    return NULL;
}

static const char *text_of(json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);

    assert_non_null(value);
    return json_is_null(value) ? "null" : json_string_value(value);
}

static long long number_of(json_t *object, const char *key)
{
    assert_true(json_is_integer(json_object_get(object, key)));
    return json_integer_value(json_object_get(object, key));
}

static void test_status_json(void **state)
{
    static const char *const keys[] = {
        "version",           "keeper_pid", "worker_pid", "mover_pid", "worker_generation",
        "config_generation", "open",       "instances",  "secrets",   "memory",
        "metrics",
    };
    struct kernel *k = *state;
    struct kernel_file file;
    json_t *json, *entry;

    backend_put(k, "s/db", "canary-value");
    backend_control(k, "s/db", ".version", "v\"1");
    backend_put(k, "s/denied", "canary-value");
    backend_control(k, "s/denied", ".error", "DENIED");
    kernel_start(k, CONFIG_S "ttl = 100\nneg_ttl = 100\n[provider/t]\ntype = test\ndir = @/t\n");
    backend_put(k, "t/db", "canary-value");
    backend_control(k, "t/db", ".error", "UNAVAILABLE");
    assert_int_equal(kernel_open_path(k, TID, "s/db", &file), 0);
    assert_string_equal(kernel_cat(k, TID, "s/denied"), "EACCES");
    assert_string_equal(kernel_cat(k, TID, "t/db"), "EHOSTDOWN");
    kernel_advance_ms(k, SECONDS(10));
    json = status_json(k);
    assert_null(strstr(k->text, "canary"));
    for (size_t i = 0; i < COUNT(keys); i++)
        assert_non_null(json_object_get(json, keys[i]));
    assert_int_equal(number_of(json, "worker_pid"), k->worker);
    assert_string_equal(text_of(json, "open"), "checked");
    entry = find(json_object_get(json, "instances"), "name", "s");
    assert_string_equal(text_of(entry, "type"), "test");
    assert_string_equal(text_of(entry, "health"), "OK");
    assert_string_equal(text_of(entry, "last_error"), "null");
    entry = find(json_object_get(json, "instances"), "name", "t");
    assert_string_equal(text_of(entry, "health"), "UNAVAILABLE");
    assert_string_equal(text_of(entry, "last_error"), "scripted by the test");
    entry = find(json_object_get(json, "secrets"), "path", "s/db");
    assert_string_equal(text_of(entry, "state"), "fresh");
    assert_string_equal(text_of(entry, "version"), "v\"1");
    assert_string_equal(text_of(entry, "status"), "OK");
    assert_int_equal(number_of(entry, "age_ms"), 10000);
    assert_int_equal(number_of(entry, "expires_ms"), 90000);
    assert_int_equal(number_of(entry, "readers"), 1);
    entry = find(json_object_get(json, "secrets"), "path", "s/denied");
    assert_string_equal(text_of(entry, "state"), "negative");
    assert_string_equal(text_of(entry, "status"), "DENIED");
    entry = find(json_object_get(json, "secrets"), "path", "t/db");
    assert_string_equal(text_of(entry, "state"), "failed");
    assert_true(number_of(json_object_get(json, "memory"), "used") > 0);
    assert_int_equal(number_of(json_object_get(json, "metrics"), "hushfs_opens_total"), 1);
    json_decref(json);
}

static void test_lease(void **state)
{
    struct kernel *k = *state;
    json_t *json, *entry;

    backend_put(k, "s/db", "canary");
    backend_control(k, "s/db", ".dynamic", "");
    backend_control(k, "s/db", ".ttl", "100000");
    backend_control(k, "s/db", ".lease", "renewable");
    backend_control(k, "s/db", ".not_after", "500");
    kernel_start(k, CONFIG_S);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "canary1");
    kernel_advance_ms(k, SECONDS(10));
    json = status_json(k);
    entry = find(json_object_get(json, "secrets"), "path", "s/db");
    assert_true(json_is_true(json_object_get(entry, "dynamic")));
    assert_true(json_is_true(json_object_get(entry, "renewable")));
    assert_string_equal(text_of(entry, "lease"), "db@1");
    assert_int_equal(number_of(entry, "expires_ms"), 90000);
    assert_int_equal(number_of(entry, "ends_ms"), 490000);
    assert_in_range(number_of(entry, "next_ms"), 59000, 64000);
    json_decref(json);
    assert_non_null(strstr(kernel_cat(k, TID, ".hushfs/status"),
                           "made for this mount, ends in 90 s, lease db@1, renewed in "));
    assert_null(strstr(k->text, "canary"));
}

/* Names that a backend chose. */
static void test_odd_names(void **state)
{
    static const char *const names[] = {"s/a\"b\\c", "s/é", "s/a b"};
    struct kernel *k = *state;
    json_t *json;

    kernel_start(k, CONFIG_S);
    for (size_t i = 0; i < COUNT(names); i++) {
        backend_put(k, names[i], "one");
        assert_string_equal(kernel_cat(k, TID, names[i]), "one");
    }
    json = status_json(k);
    for (size_t i = 0; i < COUNT(names); i++)
        (void)find(json_object_get(json, "secrets"), "path", names[i]);
    json_decref(json);
}

static void test_states(void **state)
{
    struct kernel *k = *state;
    json_t *json;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S "ttl = 10\n");
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    backend_control(k, "s/db", ".error", "UNAVAILABLE");
    kernel_advance_ms(k, SECONDS(11));
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    json = status_json(k);
    assert_string_equal(text_of(find(json_object_get(json, "secrets"), "path", "s/db"), "state"),
                        "stale");
    assert_non_null(strstr(kernel_cat(k, TID, ".hushfs/status"), "stale"));
    assert_non_null(strstr(k->text, "backend unreachable"));
    json_decref(json);
}

static void test_metrics(void **state)
{
    static const char *const lines[] = {
        "hushfs_opens_total 2\n", "hushfs_fetches_total 2\n",   "hushfs_fetch_errors_total 1\n",
        "hushfs_lists_total 1\n", "hushfs_rotations_total 0\n", "hushfs_takeovers_total 0\n",
    };
    struct kernel *k = *state;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    assert_string_equal(kernel_cat(k, TID, "s/nothing"), "ENOENT"); /* a fetch and a list */
    for (size_t i = 0; i < COUNT(lines); i++)
        if (strstr(kernel_cat(k, TID, ".hushfs/metrics"), lines[i]) == NULL)
            fail_msg("no %s in %s", lines[i], k->text);
    assert_non_null(strstr(k->text, "# TYPE hushfs_opens_total counter"));
}

static void test_control_directory(void **state)
{
    static const char *const names[] = {"control", "metrics", "status", "status.json"};
    struct kernel *k = *state;
    struct fuse_entry_out out;
    char path[64];

    k->mount = "owner = 12\ngroup = 34\n";
    kernel_start(k, CONFIG_S);
    assert_string_equal(kernel_ls(k, TID, ".hushfs"), "control metrics status status.json");
    assert_int_equal(kernel_walk(k, TID, ".hushfs", &out), 0);
    assert_int_equal(out.attr.mode, S_IFDIR | 0500);
    assert_int_equal(out.attr.uid, 12);
    for (size_t i = 0; i < COUNT(names); i++) {
        (void)snprintf(path, sizeof(path), ".hushfs/%s", names[i]);
        assert_int_equal(kernel_walk(k, TID, path, &out), 0);
        assert_int_equal(out.attr.mode, S_IFREG | 0400);
        assert_int_equal(out.attr.uid, 12);
        assert_int_equal(out.attr.gid, 34);
    }
    assert_string_equal(kernel_cat(k, TID, ".hushfs/control"), "");
    assert_string_equal(kernel_cat(k, TID, ".hushfs/nothing"), "ENOENT");
    assert_null(strstr(kernel_ls(k, TID, ""), ".hushfs")); /* hidden */
}

/* What was opened does not change while it is read. */
static void test_open_status(void **state)
{
    struct kernel *k = *state;
    struct kernel_file file;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S);
    assert_int_equal(kernel_open_path(k, TID, ".hushfs/status", &file), 0);
    assert_int_equal(file.flags & FOPEN_DIRECT_IO, FOPEN_DIRECT_IO);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    assert_null(strstr(kernel_read(k, file.ino, file.fh), "s/db"));
    assert_non_null(strstr(kernel_cat(k, TID, ".hushfs/status"), "s/db"));
}

/* -- The control file
 * ------------------------------------------------------------------------------ */

static void test_refresh(void **state)
{
    struct kernel *k = *state;
    const struct hush_control *c;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    backend_put(k, "s/db", "two");
    c = kernel_control(k, kernel_send_control(k, HUSH_CONTROL_REFRESH, "s/db"));
    assert_int_equal(c->error, HUSH_OK);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "two"); /* long before its ttl */
    assert_int_equal(backend_calls(k, "s", "fetch db"), 2);
}

static void test_refresh_that_fails(void **state)
{
    static const struct {
        const char *path, *error;
        enum hush_status status;
    } rows[] = {
        {"s/a", "DENIED", HUSH_DENIED},       {"s/b", "UNAVAILABLE", HUSH_UNAVAILABLE},
        {"s/c", "THROTTLED", HUSH_THROTTLED}, {"s/nothing", NULL, HUSH_NOT_FOUND},
        {"t/db", NULL, HUSH_NOT_FOUND},       {"s", NULL, HUSH_NOT_FOUND},
        {"", NULL, HUSH_NOT_FOUND},           {"/s/db", NULL, HUSH_NOT_FOUND},
        {"s/../s/db", NULL, HUSH_NOT_FOUND},  {".hushfs/status", NULL, HUSH_NOT_FOUND},
    };
    struct kernel *k = *state;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S);
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct hush_control *c;

        if (rows[i].error != NULL)
            backend_control(k, rows[i].path, ".error", rows[i].error);
        c = kernel_control(k, kernel_send_control(k, HUSH_CONTROL_REFRESH, rows[i].path));
        assert_int_equal(c->error, rows[i].status);
        assert_string_not_equal(c->text, "");
        if (rows[i].error != NULL)
            assert_string_equal(c->text, "scripted by the test");
    }
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
}

/* A field is refreshed with its secret. */
static void test_refresh_of_a_field(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/db", "{\"user\":\"one\"}");
    kernel_start(k, CONFIG_S "as = directory\n");
    assert_string_equal(kernel_cat(k, TID, "s/db/user"), "one");
    backend_put(k, "s/db", "{\"user\":\"two\"}");
    assert_int_equal(
        kernel_control(k, kernel_send_control(k, HUSH_CONTROL_REFRESH, "s/db/user"))->error,
        HUSH_OK);
    assert_string_equal(kernel_cat(k, TID, "s/db/user"), "two");
}

/* Shared with whoever else waits for it. */
static void test_refresh_is_shared(void **state)
{
    struct kernel *k = *state;
    uint64_t stat, refresh;

    backend_put(k, "s/db", "one");
    backend_control(k, "s/db", ".hang", "");
    kernel_start(k, CONFIG_S);
    stat = kernel_send_stat(k, TID, "s/db");
    refresh = kernel_send_control(k, HUSH_CONTROL_REFRESH, "s/db");
    assert_false(kernel_answered(k, refresh));
    backend_control(k, "s/db", ".hang", NULL);
    assert_int_equal(kernel_control(k, refresh)->error, HUSH_OK);
    assert_int_equal(kernel_wait(k, stat)->error, ESTALE);
    assert_int_equal(backend_calls(k, "s", "fetch db"), 1);
}

static int ioctl_error(struct kernel *k, uint64_t ino, uint32_t cmd, uint32_t in_size,
                       uint32_t flags)
{
    struct {
        struct fuse_ioctl_in in;
        unsigned char bytes[4096];
    } body = {.in = {.cmd = cmd, .in_size = in_size, .out_size = 4096, .flags = flags}};

    return kernel_wait(k, kernel_send(k, FUSE_IOCTL, ino, TID, &body, sizeof(body.in) + in_size))
        ->error;
}

static void test_ioctls_that_are_none(void **state)
{
    const uint32_t refresh = (uint32_t)HUSH_CONTROL_REFRESH;
    struct kernel *k = *state;
    uint64_t control, status, file;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S);
    control = kernel_ino(k, HUSH_CONTROL_FILE);
    status = kernel_ino(k, ".hushfs/status");
    file = kernel_ino(k, "s/db");
    assert_int_equal(ioctl_error(k, control, refresh, 10, 0), EINVAL);
    assert_int_equal(ioctl_error(k, control, 0x5401, 0, 0), EINVAL);
    assert_int_equal(ioctl_error(k, control, 0x5401, sizeof(struct hush_control), 0), ENOTTY);
    assert_int_equal(ioctl_error(k, status, refresh, sizeof(struct hush_control), 0), ENOTTY);
    assert_int_equal(ioctl_error(k, file, refresh, sizeof(struct hush_control), 0), ENOTTY);
    assert_int_equal(ioctl_error(k, ROOT, refresh, sizeof(struct hush_control), FUSE_IOCTL_DIR),
                     ENOTTY);
}

/* The worker ends with the request unanswered; the next one answers when the keeper has done. */
static void test_reload(void **state)
{
    struct kernel *k = *state;
    uint64_t reload[2];

    kernel_start(k, CONFIG_S);
    reload[0] = kernel_send_control(k, HUSH_CONTROL_RELOAD, "");
    assert_int_equal(kernel_exited(k), HUSH_EXIT_RELOAD);
    k->shared->state.reload.asked++;
    k->shared->state.config_generation++;
    kernel_start(k, CONFIG_S "ttl = 5\n");
    assert_false(kernel_answered(k, reload[0]));
    /* Another one meanwhile: another worker. */
    reload[1] = kernel_send_control(k, HUSH_CONTROL_RELOAD, "");
    assert_int_equal(kernel_exited(k), HUSH_EXIT_RELOAD);
    kernel_start(k, CONFIG_S "ttl = 5\n");
    (void)snprintf(k->shared->state.reload.text, 100, "as it should be");
    k->shared->state.reload.done++;
    for (size_t i = 0; i < COUNT(reload); i++) {
        const struct hush_control *c = kernel_control(k, reload[i]);

        assert_int_equal(c->error, HUSH_OK);
        assert_string_equal(c->text, "as it should be");
    }
}

static void test_reload_that_is_refused(void **state)
{
    struct kernel *k = *state;
    const struct hush_control *c;
    uint64_t reload;

    kernel_start(k, CONFIG_S);
    reload = kernel_send_control(k, HUSH_CONTROL_RELOAD, "");
    assert_int_equal(kernel_exited(k), HUSH_EXIT_RELOAD);
    k->shared->state.reload.asked++;
    k->shared->state.reload.exit = 3;
    (void)snprintf(k->shared->state.reload.text, 100, "hushfs.conf:3: no");
    k->shared->state.reload.done++;
    kernel_start(k, CONFIG_S);
    c = kernel_control(k, reload);
    assert_int_equal(c->error, HUSH_CONFIG);
    assert_string_equal(c->text, "hushfs.conf:3: no");
}

/* -- Extended attributes, statfs
 * --------------------------------------------------------------------- */

static void test_xattrs(void **state)
{
    static const char *const rows[][2] = {
        {"user.hushfs.version", "v7"},
        {"user.hushfs.age", "0"},
        {"user.hushfs.expires", "300"},
        {"user.hushfs.stale", "0"},
        {"user.hushfs.source", "test:dir/db"},
        {"user.hushfs.other", "ENODATA"},
        {"security.capability", "ENODATA"},
        {"user.x", "ENODATA"},
        {"nonsense", "EOPNOTSUPP"},
    };
    struct kernel *k = *state;
    uint64_t ino;

    backend_put(k, "s/dir/db", "one");
    backend_control(k, "s/dir/db", ".version", "v7");
    kernel_start(k, CONFIG_S);
    assert_string_equal(kernel_cat(k, TID, "s/dir/db"), "one");
    ino = kernel_ino(k, "s/dir/db");
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_string_equal(kernel_xattr(k, ino, rows[i][0]), rows[i][1]);
    assert_string_equal(kernel_xattr(k, kernel_ino(k, "s"), "user.hushfs.version"), "ENODATA");
}

static void test_xattr_sizes(void **state)
{
    static const struct {
        uint32_t opcode, size;
        int error;
        size_t reply;
    } rows[] = {
        {FUSE_GETXATTR, 0, 0, 8},  {FUSE_GETXATTR, 1, ERANGE, 0},  {FUSE_GETXATTR, 2, 0, 2},
        {FUSE_LISTXATTR, 0, 0, 8}, {FUSE_LISTXATTR, 5, ERANGE, 0},
    };
    struct kernel *k = *state;
    uint64_t ino;

    backend_put(k, "s/db", "one");
    backend_control(k, "s/db", ".version", "v7");
    kernel_start(k, CONFIG_S);
    ino = kernel_ino(k, "s/db");
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct {
            struct fuse_getxattr_in in;
            char name[20];
        } body = {{.size = rows[i].size}, "user.hushfs.version"};
        const struct kernel_reply *r =
            kernel_wait(k, kernel_send(k, rows[i].opcode, ino, TID, &body, sizeof(body)));

        assert_int_equal(r->error, rows[i].error);
        assert_int_equal(r->size, rows[i].reply);
    }
}

static void test_statfs(void **state)
{
    struct kernel *k = *state;
    struct fuse_statfs_out out;
    const struct kernel_reply *r;

    kernel_start(k, CONFIG_S);
    r = kernel_wait(k, kernel_send(k, FUSE_STATFS, ROOT, TID, NULL, 0));
    assert_int_equal(r->error, 0);
    memcpy(&out, r->body, sizeof(out));
    assert_int_equal(out.st.bsize, 4096);
    assert_int_equal(out.st.namelen, 255);
    assert_in_range(out.st.blocks, k->memory / 4096 * 3 / 4, k->memory / 4096);
    assert_in_range(out.st.bfree, 1, out.st.blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KERNEL_TEST(test_status_json),
        KERNEL_TEST(test_lease),
        KERNEL_TEST(test_odd_names),
        KERNEL_TEST(test_states),
        KERNEL_TEST(test_metrics),
        KERNEL_TEST(test_control_directory),
        KERNEL_TEST(test_open_status),
        KERNEL_TEST(test_refresh),
        KERNEL_TEST(test_refresh_that_fails),
        KERNEL_TEST(test_refresh_of_a_field),
        KERNEL_TEST(test_refresh_is_shared),
        KERNEL_TEST(test_ioctls_that_are_none),
        KERNEL_TEST(test_reload),
        KERNEL_TEST(test_reload_that_is_refused),
        KERNEL_TEST(test_xattrs),
        KERNEL_TEST(test_xattr_sizes),
        KERNEL_TEST(test_statfs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
