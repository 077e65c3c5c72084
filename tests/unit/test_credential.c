/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_credential.c - credential files as credential.h promises them: where they are looked for,
 * what is cut off, what is refused.
 */
#include "credential.h"
#include "unit.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

struct fixture {
    struct hush_arena *arena;
    struct hush_op op;
    struct hush_provider self;
    struct hush_environ *env;
    char directory[64];
    char path[128];
};

static void write_file(const char *path, const void *bytes, size_t size, mode_t mode)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->arena = hush_arena_new(1 << 20);
    assert_non_null(f->arena);
    hush_op_init(&f->op, f->arena, 0);
    (void)snprintf(f->directory, sizeof(f->directory), "/tmp/hush-credential-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    (void)snprintf(f->path, sizeof(f->path), "%s/token", f->directory);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(hush_arena_usage(f->arena).blocks, 0); /* nothing is kept */
    (void)unlink(f->path);
    assert_int_equal(rmdir(f->directory), 0);
    hush_environ_free(f->env);
    hush_arena_free(f->arena);
    free(f);
    return 0;
}

static void expect(struct fixture *f, const char *file, const char *content)
{
    struct hush_secret *secret = NULL;

    assert_int_equal(hush_credential_read(&f->self, &f->op, file, &secret), HUSH_OK);
    assert_int_equal(hush_secret_size(secret), strlen(content));
    assert_memory_equal(hush_secret_bytes(secret), content, strlen(content));
    hush_secret_unref(secret);
}

static void expect_refused(struct fixture *f, const char *file, const char *why)
{
    struct hush_secret *secret = NULL;

    assert_int_equal(hush_credential_read(&f->self, &f->op, file, &secret), HUSH_AUTH);
    assert_null(secret);
    assert_non_null(strstr(f->op.detail, why));
}

static void test_one_newline_goes(void **state)
{
    static const struct {
        const char *content, *read;
    } rows[] = {{"word", "word"}, {"word\n", "word"}, {"word\n\n", "word\n"}, {" a b \n", " a b "}};
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(rows); i++) {
        write_file(f->path, rows[i].content, strlen(rows[i].content), 0644);
        expect(f, f->path, rows[i].read);
    }
}

static void test_what_is_refused(void **state)
{
    static char large[HUSH_CREDENTIAL_MAX + 1];
    struct fixture *f = *state;

    expect_refused(f, f->path, "No such file");
    expect_refused(f, f->directory, "not a regular file");
    write_file(f->path, "", 0, 0600);
    expect_refused(f, f->path, "is empty");
    write_file(f->path, "\n", 1, 0600);
    expect_refused(f, f->path, "is empty");
    memset(large, 'x', sizeof(large));
    write_file(f->path, large, sizeof(large), 0600);
    expect_refused(f, f->path, "not a credential");
    write_file(f->path, large, sizeof(large) - 1, 0600); /* the limit itself is fine */
    large[sizeof(large) - 1] = '\0';
    expect(f, f->path, large);
}

/* Opening a FIFO for reading would wait for a writer. */
static void test_a_fifo_does_not_hang(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(mkfifo(f->path, 0600), 0);
    expect_refused(f, f->path, "not a regular file");
}

static void test_only_ones_own(void **state)
{
    struct fixture *f = *state;
    struct hush_secret *secret = NULL;

    write_file(f->path, "word\n", 5, 0640);
    assert_int_equal(hush_credential_read_own(&f->self, &f->op, f->path, &secret), HUSH_AUTH);
    assert_non_null(strstr(f->op.detail, "chmod 0600"));
    assert_int_equal(chmod(f->path, 0600), 0);
    assert_int_equal(hush_credential_read_own(&f->self, &f->op, f->path, &secret), HUSH_OK);
    assert_memory_equal(hush_secret_bytes(secret), "word", 4);
    hush_secret_unref(secret);
    if (geteuid() != 0)
        return; /* the rest gives the file away */
    secret = NULL;
    assert_int_equal(chown(f->path, 4242, 4242), 0);
    assert_int_equal(hush_credential_read_own(&f->self, &f->op, f->path, &secret), HUSH_AUTH);
    assert_null(secret);
    assert_non_null(strstr(f->op.detail, "belongs to user 4242"));
}

static void test_a_systemd_credential(void **state)
{
    struct fixture *f = *state;
    int fd;

    write_file(f->path, "word\n", 5, 0400);
    expect_refused(f, "token", "$CREDENTIALS_DIRECTORY");
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", f->directory, 1), 0);
    fd = hush_environ_capture();
    assert_true(fd >= 0);
    f->env = hush_environ_map(fd);
    assert_int_equal(close(fd), 0);
    assert_non_null(f->env);
    f->self.env = f->env;
    expect(f, "token", "word");
    expect(f, f->path, "word"); /* a path stays one */
    expect_refused(f, "other", "/other'");
}

static void test_paths(void **state)
{
    char out[16];

    (void)state;
    assert_true(hush_credential_path(NULL, "/a/b", out, sizeof(out)));
    assert_string_equal(out, "/a/b");
    assert_false(hush_credential_path(NULL, "b", out, sizeof(out)));
    assert_true(hush_credential_path("/run/c", "b", out, sizeof(out)));
    assert_string_equal(out, "/run/c/b");
    assert_false(hush_credential_path("/run/c", "123456789", out, sizeof(out))); /* no room */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_newline_goes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_fifo_does_not_hang, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_only_ones_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_systemd_credential, set_up, tear_down),
        cmocka_unit_test(test_paths),
    };

    return cmocka_run_group_tests_name("credential", tests, NULL, NULL);
}
