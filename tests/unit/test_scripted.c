/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_scripted.c - that the provider which other tests script (tests/providers/test.c) does what
 * its control files say: a test that believes to have hung a backend must have hung it.
 */
#include "call.h"
#include "core/arena.h"
#include "core/clock.h"
#include "shared/json.h"
#include "unit.h"

#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

enum { PATH_SIZE = 256, ARENA_SIZE = 1 << 20, WAIT_MS = 60, TIMEOUT_MS = 100 };

struct fixture {
    char dir[64];
    struct hush_arena *arena;
    struct hush_provider *provider;
    struct hush_op op;
};

static void sleep_ms(long ms)
{
    const struct timespec time = {.tv_nsec = ms * 1000000};

    (void)nanosleep(&time, NULL);
}

static void write_file(const struct fixture *f, const char *name, const char *text)
{
    char path[PATH_SIZE];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/%s", f->dir, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static bool remove_file(const struct fixture *f, const char *name)
{
    char path[PATH_SIZE];

    (void)snprintf(path, sizeof(path), "%s/%s", f->dir, name);
    return unlink(path) == 0;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    const struct hush_provider_ops *ops = hush_provider_find("test");
    char error[160];

    assert_non_null(f);
    hush_json_init();
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/hushfs-scripted-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->arena = hush_arena_new(ARENA_SIZE);
    assert_non_null(f->arena);
    f->provider = hush_provider_new(ops, "test", NULL);
    assert_non_null(f->provider);
    assert_true(hush_option_set(hush_option_find(ops->options, "dir"), f->provider, f->dir, error));
    hush_op_init(&f->op, f->arena, 0);
    assert_int_equal(hush_provider_open(f->provider, &f->op), HUSH_OK);
    write_file(f, "secret", "value");
    *state = f;
    return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    hush_provider_free(f->provider);
    hush_arena_free(f->arena);
    assert_int_equal(nftw(f->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
    free(f);
    return 0;
}

/* With f->op as it is. Returns how long it took; the value is released. */
static uint64_t fetch_ms(struct fixture *f, enum hush_status expected)
{
    const struct hush_ref ref = {.path = "secret"};
    const struct hush_version none = {""};
    const uint64_t start_ns = hush_now_ns();
    struct hush_value value = {0};

    assert_int_equal(f->provider->ops->fetch(f->provider, &f->op, &ref, &none, &value), expected);
    hush_value_clear(&value);
    return (hush_now_ns() - start_ns) / HUSH_NS_PER_MS;
}

static enum hush_status emit_nothing(void *ctx, const struct hush_entry *entry)
{
    (void)ctx;
    (void)entry;
    return HUSH_OK;
}

static enum hush_status list(struct fixture *f)
{
    return f->provider->ops->list(f->provider, &f->op, "", emit_nothing, NULL);
}

/* -- Later ------------------------------------------------------------------------------------- */

struct later {
    struct fixture *f;
    const char *remove; /* a file to remove after WAIT_MS, or NULL: cancel */
    pthread_t thread;
};

static void *do_later(void *ctx)
{
    struct later *later = ctx;

    sleep_ms(WAIT_MS);
    if (later->remove != NULL)
        (void)remove_file(later->f, later->remove); /* if not, the test fails in its wait */
    else
        hush_op_cancel(&later->f->op);
    return NULL;
}

static void start_later(struct later *later, struct fixture *f, const char *remove)
{
    later->f = f;
    later->remove = remove;
    assert_int_equal(pthread_create(&later->thread, NULL, do_later, later), 0);
}

static void end_later(struct later *later)
{
    assert_int_equal(pthread_join(later->thread, NULL), 0);
}

/* -- Tests ------------------------------------------------------------------------------------- */

static void test_delay(void **state)
{
    struct fixture *f = *state;

    write_file(f, "secret.delay", "60\n");
    assert_true(fetch_ms(f, HUSH_OK) >= 60);
    hush_op_init(&f->op, f->arena, 20);
    assert_true(fetch_ms(f, HUSH_TIMEOUT) < 60);
    write_file(f, "secret.delay", "soon");
    hush_op_init(&f->op, f->arena, 0);
    fetch_ms(f, HUSH_CONFIG);
}

static void test_hang(void **state)
{
    struct fixture *f = *state;
    struct later later;

    write_file(f, "secret.hang", "");
    start_later(&later, f, "secret.hang");
    assert_true(fetch_ms(f, HUSH_OK) >= WAIT_MS - 5);
    end_later(&later);
    write_file(f, "secret.hang", "");
    hush_op_init(&f->op, f->arena, TIMEOUT_MS);
    assert_true(fetch_ms(f, HUSH_TIMEOUT) >= TIMEOUT_MS - 5);
    hush_op_init(&f->op, f->arena, 0);
    start_later(&later, f, NULL);
    fetch_ms(f, HUSH_CANCELED);
    end_later(&later);
}

/* Deaf: neither the deadline nor a cancel ends it. */
static void test_deaf(void **state)
{
    struct fixture *f = *state;
    struct later later;

    write_file(f, "secret.hang", "");
    write_file(f, "secret.deaf", "");
    hush_op_init(&f->op, f->arena, 10);
    hush_op_cancel(&f->op);
    start_later(&later, f, "secret.hang");
    assert_true(fetch_ms(f, HUSH_OK) >= WAIT_MS - 5);
    end_later(&later);
}

static void test_error(void **state)
{
    struct fixture *f = *state;

    for (int i = HUSH_OK + 1; i < HUSH_STATUS_COUNT; i++) {
        write_file(f, "secret.error", hush_status_name((enum hush_status)i));
        fetch_ms(f, (enum hush_status)i);
    }
    write_file(f, "secret.error", "NONSENSE");
    fetch_ms(f, HUSH_CONFIG);
    assert_true(remove_file(f, "secret.error"));
    fetch_ms(f, HUSH_OK);
}

static void test_version_and_fields(void **state)
{
    struct fixture *f = *state;
    const struct hush_ref ref = {.path = "secret"};
    const struct hush_version none = {""}, seven = {"7"};
    struct hush_value value = {0};

    write_file(f, "secret", "{\"user\":\"u\",\"n\":1}");
    write_file(f, "secret.version", "7\n");
    write_file(f, "secret.fields", "");
    assert_int_equal(f->provider->ops->fetch(f->provider, &f->op, &ref, &none, &value), HUSH_OK);
    assert_string_equal(value.meta.version.text, "7");
    assert_int_equal(value.field_count, 2);
    assert_string_equal(value.fields[0].name, "user");
    assert_int_equal(hush_secret_size(value.secret), 18);
    hush_value_clear(&value);
    /* The version is believed, whatever the content. */
    write_file(f, "secret", "{}");
    assert_int_equal(f->provider->ops->fetch(f->provider, &f->op, &ref, &seven, &value), HUSH_OK);
    assert_true(value.unchanged);
    write_file(f, "secret", "no object");
    fetch_ms(f, HUSH_PROTOCOL);
}

static void test_lists(void **state)
{
    struct fixture *f = *state;

    write_file(f, ".list.error", "THROTTLED");
    assert_int_equal(list(f), HUSH_THROTTLED);
    assert_true(remove_file(f, ".list.error"));
    write_file(f, ".list.hang", "");
    hush_op_init(&f->op, f->arena, TIMEOUT_MS);
    assert_int_equal(list(f), HUSH_TIMEOUT);
    hush_op_init(&f->op, f->arena, 0);
    assert_true(remove_file(f, ".list.hang"));
    assert_int_equal(list(f), HUSH_OK);
    write_file(f, ".unlisted", "");
    assert_int_equal(list(f), HUSH_UNSUPPORTED);
}

static void test_calls(void **state)
{
    struct fixture *f = *state;
    char path[PATH_SIZE], text[256] = "";
    int fd;

    fetch_ms(f, HUSH_OK);
    assert_int_equal(list(f), HUSH_OK);
    fetch_ms(f, HUSH_OK);
    (void)snprintf(path, sizeof(path), "%s/.calls", f->dir);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_true(read(fd, text, sizeof(text) - 1) > 0);
    close(fd);
    assert_string_equal(text, "fetch secret\nlist \nfetch secret\n");
}

int main(void)
{
#define SCRIPTED_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        SCRIPTED_TEST(test_delay),
        SCRIPTED_TEST(test_hang),
        SCRIPTED_TEST(test_deaf),
        SCRIPTED_TEST(test_error),
        SCRIPTED_TEST(test_version_and_fields),
        SCRIPTED_TEST(test_lists),
        SCRIPTED_TEST(test_calls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
