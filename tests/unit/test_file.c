/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_file.c - the file provider on what real directories have in them: links, Kubernetes'
 * volumes, files that are no files, files that change, permissions, roots that come and go. What
 * holds for every provider is in tests/contract; watch() in test_file_watch.c.
 */
#include "file_fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>

/* -- Links ------------------------------------------------------------------------------------- */

static void test_kubernetes(void **state)
{
    struct fixture *f = *state;

    make_dir(f, "..2024_01");
    make_file(f, "..2024_01/password", "one");
    make_link(f, "..2024_01", "..data");
    make_link(f, "..data/password", "password");
    expect_bytes(f, "password", "one");
    expect_names(f, "", "password ");
    expect_fails(f, "..data/password", HUSH_NOT_FOUND, "no name of a file");
    expect_fails(f, "..2024_01/password", HUSH_NOT_FOUND, "no name of a file");
    /* The volume is updated: one rename switches all files. */
    make_dir(f, "..2024_02");
    make_file(f, "..2024_02/password", "two");
    make_link(f, "..2024_02", "..data_tmp");
    rename_to(f, "..data_tmp", "..data");
    expect_bytes(f, "password", "two");
}

static void test_links(void **state)
{
    struct fixture *f = *state;

    make_dir(f, "sub");
    make_file(f, "sub/real", "inside");
    make_link(f, "sub/real", "to-file");
    make_link(f, "sub", "to-dir");
    make_link(f, "../to-file", "sub/up"); /* up, and still inside */
    make_link(f, "nowhere", "dangling");
    make_link(f, "../outside", "escape");
    make_link(f, f->outside, "absolute");
    make_link(f, "..", "parent");
    make_link(f, "loop", "loop");
    make_link(f, "/proc/self/cwd", "magic");
    expect_bytes(f, "to-file", "inside");
    expect_bytes(f, "to-dir/real", "inside");
    expect_bytes(f, "sub/up", "inside");
    expect_fails(f, "dangling", HUSH_NOT_FOUND, "dangling");
    expect_fails(f, "escape", HUSH_DENIED, "leaves the root");
    expect_fails(f, "absolute", HUSH_DENIED, "leaves the root");
    expect_fails(f, "parent/outside", HUSH_DENIED, "leaves the root");
    expect_fails(f, "loop", HUSH_DENIED, "loop of symbolic links");
    expect_fails(f, "magic", HUSH_DENIED, "leaves the root");
    /* What is refused is shown, so that there is somebody to say why. */
    expect_names(f, "", "absolute escape loop magic parent sub/ to-dir/ to-file ");
    expect_names(f, "to-dir", "real up ");
}

/* -- What is no file --------------------------------------------------------------------------- */

static void make_socket(struct fixture *f, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char path[PATH_SIZE];

    full_path(f, name, path);
    assert_true(strlen(path) < sizeof(address.sun_path));
    memcpy(address.sun_path, path, strlen(path) + 1);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    close(fd);
}

static void test_special_files(void **state)
{
    struct fixture *f = *state;
    char path[PATH_SIZE];

    full_path(f, "fifo", path);
    assert_int_equal(mkfifo(path, 0600), 0);
    make_socket(f, "socket");
    make_dir(f, "dir");
    make_link(f, "fifo", "to-fifo");
    expect_fails(f, "fifo", HUSH_DENIED, "is a FIFO");
    expect_fails(f, "to-fifo", HUSH_DENIED, "is a FIFO");
    expect_fails(f, "socket", HUSH_DENIED, "is a socket");
    expect_fails(f, "dir", HUSH_NOT_FOUND, "is a directory");
    expect_names(f, "", "dir/ ");
    if (geteuid() == 0) {
        full_path(f, "null", path);
        if (mknod(path, S_IFCHR | 0600, makedev(1, 3)) == 0)
            expect_fails(f, "null", HUSH_DENIED, "is a device");
    }
}

/* To look at a FIFO must not be a reader at its end: the next writer would lose what it writes. */
static void test_fifo_is_not_opened(void **state)
{
    struct fixture *f = *state;
    char path[PATH_SIZE];

    full_path(f, "fifo", path);
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_fails(f, "fifo", HUSH_DENIED, "is a FIFO");
    assert_int_equal(open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC), -1);
    assert_int_equal(errno, ENXIO);
}

static void test_dot_files(void **state)
{
    struct fixture *f = *state;

    make_file(f, ".netrc", "x");
    make_file(f, "..hidden", "y");
    make_file(f, "...", "z");
    make_file(f, "a..b", "w");
    expect_names(f, "", ".netrc a..b ");
    expect_bytes(f, ".netrc", "x");
    expect_bytes(f, "a..b", "w");
    expect_fails(f, "..hidden", HUSH_NOT_FOUND, "no name of a file");
    expect_fails(f, "...", HUSH_NOT_FOUND, "no name of a file");
}

/* Files of /proc have content but no size: refused with a reason, never given as empty. */
static void test_file_without_size(void **state)
{
    struct fixture *f = *state;

    set_root(f, "/proc/self");
    expect_fails(f, "status", HUSH_BACKEND, "does not tell its size");
}

/* -- Permissions ------------------------------------------------------------------------------- */

static int as_nobody(void *ctx)
{
    struct fixture *f = ctx;
    const struct hush_version none = {""};
    const struct hush_ref closed = {.path = "closed"}, below = {.path = "dir/file"};
    struct hush_value value = {0};
    char names[NAMES_SIZE] = "";
    struct hush_op op;

    CHECK(setgid(65534) == 0 && setuid(65534) == 0);
    hush_op_init(&op, f->arena, OP_MS);
    CHECK(file_ops->fetch(f->provider, &op, &closed, &none, &value) == HUSH_DENIED);
    CHECK(strstr(op.detail, "user 65534 may not read") != NULL);
    CHECK(strstr(op.detail, "/closed'") != NULL);
    CHECK(file_ops->fetch(f->provider, &op, &below, &none, &value) == HUSH_DENIED);
    CHECK(file_ops->list(f->provider, &op, "dir", collect_name, names) == HUSH_DENIED);
    /* Shown all the same: the kind is known, and why not is asked for. */
    CHECK(file_ops->list(f->provider, &op, "", collect_name, names) == HUSH_OK);
    CHECK(strcmp(names, "closed dir/ to-closed ") == 0);
    return 0;
}

static void test_denied(void **state)
{
    struct fixture *f = *state;
    char path[PATH_SIZE];

    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(f->base, 0755), 0);
    make_file(f, "closed", "x");
    make_dir(f, "dir");
    make_file(f, "dir/file", "x");
    make_link(f, "dir/file", "to-closed");
    full_path(f, "dir", path);
    assert_int_equal(chmod(path, 0700), 0);
    assert_int_equal(in_child(as_nobody, f), 0);
}

/* A version that is still the same is no way around a file that was closed meanwhile. */
static int unchanged_as_nobody(void *ctx)
{
    struct fixture *f = ctx;
    const struct hush_ref ref = {.path = "secret"};
    struct hush_value value = {0};
    struct hush_version version;
    struct hush_op op;
    char path[PATH_SIZE];

    full_path(f, "secret", path);
    CHECK(chmod(path, 0600) == 0);
    sleep_ms(250); /* else the version counts as new */
    CHECK(fetch(f, "secret", &value) == HUSH_OK);
    version = value.meta.version;
    CHECK(strchr(version.text, '~') == NULL);
    hush_value_clear(&value);
    CHECK(setgid(65534) == 0 && setuid(65534) == 0);
    hush_op_init(&op, f->arena, OP_MS);
    CHECK(file_ops->fetch(f->provider, &op, &ref, &version, &value) == HUSH_DENIED);
    return 0;
}

static void test_denied_though_unchanged(void **state)
{
    struct fixture *f = *state;

    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(f->base, 0755), 0);
    make_file(f, "secret", "x");
    assert_int_equal(in_child(unchanged_as_nobody, f), 0);
}

/* -- Roots ------------------------------------------------------------------------------------- */

static void test_root_comes_and_goes(void **state)
{
    struct fixture *f = *state;
    char root[PATH_SIZE], moved[PATH_SIZE];

    make_file(f, "secret", "first");
    full_path(f, "", root);
    (void)snprintf(moved, sizeof(moved), "%s/moved", f->base);
    root[strlen(root) - 1] = '\0';
    expect_bytes(f, "secret", "first");
    assert_int_equal(rename(root, moved), 0);
    expect_fails(f, "secret", HUSH_UNAVAILABLE, "does not exist");
    expect_list_fails(f, "", HUSH_UNAVAILABLE, "does not exist");
    assert_int_equal(mkdir(root, 0700), 0); /* another one in its place */
    make_file(f, "secret", "second");
    expect_bytes(f, "secret", "second");
    set_root(f, f->outside);
    expect_fails(f, "secret", HUSH_UNAVAILABLE, "is not a directory");
}

static void test_root_is_a_link(void **state)
{
    struct fixture *f = *state;
    char link_path[PATH_SIZE], root[PATH_SIZE];

    make_file(f, "secret", "value");
    full_path(f, "", root);
    (void)snprintf(link_path, sizeof(link_path), "%s/link", f->base);
    assert_int_equal(symlink(root, link_path), 0);
    set_root(f, link_path); /* the operator's own link is followed */
    expect_bytes(f, "secret", "value");
}

/* -- Versions ---------------------------------------------------------------------------------- */

/* A file that was changed just now could change again unseen: its version never counts as known. */
static void test_racy_version(void **state)
{
    struct fixture *f = *state;
    const struct hush_ref ref = {.path = "secret"};
    struct hush_value value = {0}, again = {0};
    struct hush_op op;

    make_file(f, "secret", "one");
    assert_int_equal(fetch(f, "secret", &value), HUSH_OK);
    assert_non_null(strchr(value.meta.version.text, '~'));
    hush_op_init(&op, f->arena, OP_MS);
    assert_int_equal(file_ops->fetch(f->provider, &op, &ref, &value.meta.version, &again), HUSH_OK);
    assert_false(again.unchanged);
    hush_value_clear(&again);
    hush_value_clear(&value);
}

/* cp -p, rsync -t and touch set the modification time back; the change time they cannot. */
static void test_time_set_back(void **state)
{
    struct fixture *f = *state;
    const struct hush_ref ref = {.path = "secret"};
    struct hush_value value = {0}, again = {0};
    struct hush_op op;
    struct stat st;
    char path[PATH_SIZE];

    full_path(f, "secret", path);
    make_file(f, "secret", "one");
    sleep_ms(250);
    assert_int_equal(fetch(f, "secret", &value), HUSH_OK);
    assert_null(strchr(value.meta.version.text, '~'));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(value.meta.modified, st.st_mtim.tv_sec);
    make_file(f, "secret", "two"); /* the same inode and size */
    assert_int_equal(utimensat(AT_FDCWD, path, (struct timespec[]){st.st_atim, st.st_mtim}, 0), 0);
    sleep_ms(250); /* so that the time stamps alone must tell */
    hush_op_init(&op, f->arena, OP_MS);
    assert_int_equal(file_ops->fetch(f->provider, &op, &ref, &value.meta.version, &again), HUSH_OK);
    assert_false(again.unchanged);
    assert_memory_equal(hush_secret_bytes(again.secret), "two", 3);
    hush_value_clear(&again);
    hush_value_clear(&value);
}

/* -- Files that change while they are read ----------------------------------------------------- */

/* Called after each read(2) of this program (linked with --wrap=read) that gave something. */
static void (*after_read)(void);
static struct fixture *read_fixture;
static unsigned reads_to_disturb;

ssize_t __real_read(int fd, void *bytes, size_t size); /* NOLINT: the linker's names */
ssize_t __wrap_read(int fd, void *bytes, size_t size); /* NOLINT */

ssize_t __wrap_read(int fd, void *bytes, size_t size) /* NOLINT */
{
    ssize_t got = __real_read(fd, bytes, size);

    if (got > 0 && after_read != NULL && reads_to_disturb > 0) {
        reads_to_disturb--;
        after_read();
    }
    return got;
}

static void change_in_place(void)
{
    assert_true(make_file_quietly(read_fixture, "secret", "after"));
}

static void grow(void)
{
    assert_true(make_file_quietly(read_fixture, "secret", "after, and longer"));
}

static void shrink(void)
{
    assert_true(make_file_quietly(read_fixture, "secret", "a"));
}

static void replace_by_rename(void)
{
    assert_true(make_file_quietly(read_fixture, ".new", "after"));
    assert_true(rename_quietly(read_fixture, ".new", "secret"));
}

/* What was read while the file changed does not count: it is read again. A file that was replaced
 * while it was read is whole, and needs no second try. */
static void test_written_while_read(void **state)
{
    /* clang-format off */
    static const struct { void (*change)(void); const char *expected; } rows[] = {
        {change_in_place,   "after"},
        {grow,              "after, and longer"},
        {shrink,            "a"},
        {replace_by_rename, "first"},
    };
    /* clang-format on */

    read_fixture = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        make_file(*state, "secret", "first");
        after_read = rows[i].change;
        reads_to_disturb = 1;
        expect_bytes(*state, "secret", rows[i].expected);
        assert_int_equal(reads_to_disturb, 0);
    }
    make_file(*state, "secret", "first");
    after_read = change_in_place;
    reads_to_disturb = 1000;
    expect_fails(*state, "secret", HUSH_BACKEND, "changes while it is read");
    after_read = NULL;
    assert_int_equal(hush_arena_usage(read_fixture->arena).blocks, 0);
}

/* Called at each nanosleep(2), with which fetch() lets a file settle. */
static void (*while_settling)(void);

int __real_nanosleep(const struct timespec *time, struct timespec *left); /* NOLINT */
int __wrap_nanosleep(const struct timespec *time, struct timespec *left); /* NOLINT */

int __wrap_nanosleep(const struct timespec *time, struct timespec *left) /* NOLINT */
{
    void (*call)(void) = while_settling;

    while_settling = NULL;
    if (call != NULL)
        call();
    return __real_nanosleep(time, left);
}

/* `echo value > file` has emptied the file, and fills it a moment later: empty is no value. */
static void test_truncating_writer(void **state)
{
    read_fixture = *state;
    make_file(*state, "secret", "before");
    make_file(*state, "secret", "");
    while_settling = change_in_place;
    expect_bytes(*state, "secret", "after");
    assert_null(while_settling);
    make_file(*state, "secret", ""); /* and this one stays so */
    expect_bytes(*state, "secret", "");
}

struct writer {
    struct fixture *f;
    atomic_bool stop;
};

/* A file that grew or shrank between looking and reading is read again. */
static void *grow_and_shrink(void *ctx)
{
    struct writer *writer = ctx;
    char path[PATH_SIZE];

    full_path(writer->f, "grows", path);
    for (unsigned i = 0; !atomic_load(&writer->stop); i++) {
        make_file_quietly(writer->f, ".new", i % 2 == 0 ? "short" : "a good deal longer");
        rename_quietly(writer->f, ".new", "grows");
    }
    return NULL;
}

static void test_replaced_while_read(void **state)
{
    struct fixture *f = *state;
    struct writer writer = {.f = f};
    pthread_t thread;

    make_file(f, "grows", "short");
    assert_int_equal(pthread_create(&thread, NULL, grow_and_shrink, &writer), 0);
    for (int i = 0; i < 50; i++) {
        struct hush_value value = {0};
        size_t size;

        assert_int_equal(fetch(f, "grows", &value), HUSH_OK);
        size = hush_secret_size(value.secret);
        assert_true(
            (size == 5 && memcmp(hush_secret_bytes(value.secret), "short", 5) == 0) ||
            (size == 18 && memcmp(hush_secret_bytes(value.secret), "a good deal longer", 18) == 0));
        hush_value_clear(&value);
    }
    atomic_store(&writer.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

int main(void)
{
#define FILE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        FILE_TEST(test_kubernetes),
        FILE_TEST(test_links),
        FILE_TEST(test_special_files),
        FILE_TEST(test_fifo_is_not_opened),
        FILE_TEST(test_dot_files),
        FILE_TEST(test_file_without_size),
        FILE_TEST(test_denied),
        FILE_TEST(test_denied_though_unchanged),
        FILE_TEST(test_root_comes_and_goes),
        FILE_TEST(test_root_is_a_link),
        FILE_TEST(test_racy_version),
        FILE_TEST(test_time_set_back),
        FILE_TEST(test_truncating_writer),
        FILE_TEST(test_written_while_read),
        FILE_TEST(test_replaced_while_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
