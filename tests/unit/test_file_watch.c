/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_file_watch.c - what watch() of the file provider reports for what happens below a root, and
 * that it survives everything that makes its table of watches wrong.
 */
#include "file_fixture.h"

#include <pthread.h>
#include <sys/resource.h>

enum { REPORTS_MAX = 65536, SETTLE_MS = 350, WAIT_MS = 1000, WAIT_ROOT_MS = 2500 };

struct watcher {
    struct fixture *f;
    struct hush_op op;
    pthread_t thread;
    pthread_mutex_t mutex; /* held by a test: the watch stands still in its next report */
    char *reports[REPORTS_MAX];
    size_t count, seen; /* seen: what the test has looked at */
    enum hush_status status;
};

static void on_change(void *ctx, const char *path)
{
    struct watcher *w = ctx;

    pthread_mutex_lock(&w->mutex);
    if (w->count < REPORTS_MAX)
        w->reports[w->count++] = strdup(path);
    pthread_mutex_unlock(&w->mutex);
}

static void *run(void *ctx)
{
    struct watcher *w = ctx;

    w->status = file_ops->watch(w->f->provider, &w->op, on_change, w);
    return NULL;
}

static void forget_reports(struct watcher *w)
{
    sleep_ms(SETTLE_MS);
    pthread_mutex_lock(&w->mutex);
    w->seen = w->count;
    pthread_mutex_unlock(&w->mutex);
}

static void begin(struct watcher *w, struct fixture *f)
{
    memset(w, 0, sizeof(*w));
    w->f = f;
    pthread_mutex_init(&w->mutex, NULL);
    hush_op_init(&w->op, f->arena, 0);
    assert_int_equal(pthread_create(&w->thread, NULL, run, w), 0);
    forget_reports(w);
}

static void end(struct watcher *w)
{
    const uint64_t start_ns = hush_now_ns();

    hush_op_cancel(&w->op);
    assert_int_equal(pthread_join(w->thread, NULL), 0);
    assert_int_equal(w->status, HUSH_CANCELED);
    assert_true(hush_now_ns() - start_ns < 300 * (uint64_t)HUSH_NS_PER_MS);
    for (size_t i = 0; i < w->count; i++)
        free(w->reports[i]);
    pthread_mutex_destroy(&w->mutex);
}

static bool has_report(struct watcher *w, const char *path)
{
    bool found = false;

    pthread_mutex_lock(&w->mutex);
    for (size_t i = w->seen; i < w->count && !found; i++)
        found = strcmp(w->reports[i], path) == 0;
    pthread_mutex_unlock(&w->mutex);
    return found;
}

static void expect_within(struct watcher *w, const char *path, long limit_ms)
{
    for (long ms = 0; ms < limit_ms; ms += 10) {
        if (has_report(w, path))
            return;
        sleep_ms(10);
    }
    fail_msg("'%s' was not reported", path);
}

static void expect_report(struct watcher *w, const char *path)
{
    expect_within(w, path, WAIT_MS);
}

static void expect_no_reports(struct watcher *w)
{
    sleep_ms(SETTLE_MS);
    pthread_mutex_lock(&w->mutex);
    if (w->count > w->seen) {
        const char *report = w->reports[w->seen];

        pthread_mutex_unlock(&w->mutex);
        fail_msg("'%s' was reported", report);
    }
    pthread_mutex_unlock(&w->mutex);
}

/* -- Files ------------------------------------------------------------------------------------- */

static void test_files(void **state)
{
    struct watcher w;
    char path[PATH_SIZE];

    make_file(*state, "old", "1");
    make_dir(*state, "sub");
    make_file(*state, "sub/deep", "1");
    begin(&w, *state);
    make_file(*state, "old", "2"); /* in place */
    expect_report(&w, "old");
    make_file(*state, "new", "1");
    expect_report(&w, "new");
    make_file(*state, "sub/deep", "2");
    expect_report(&w, "sub/deep");
    rename_to(*state, "new", "newer");
    expect_report(&w, "newer");
    forget_reports(&w);
    rename_to(*state, "newer", "sub/deep"); /* gone here, replaced there */
    expect_report(&w, "newer");
    expect_report(&w, "sub/deep");
    forget_reports(&w);
    full_path(*state, "old", path);
    assert_int_equal(chmod(path, 0640), 0); /* may be readable now */
    expect_report(&w, "old");
    forget_reports(&w);
    assert_int_equal(unlink(path), 0);
    expect_report(&w, "old");
    assert_false(has_report(&w, ""));
    end(&w);
}

/* A writer that has not finished yet is no news, and neither is a reader. */
static void test_quiet(void **state)
{
    struct watcher w;
    char path[PATH_SIZE], byte;
    int fd;

    make_file(*state, "old", "1");
    begin(&w, *state);
    expect_no_reports(&w);
    full_path(*state, "old", path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, &byte, 1), 1);
    close(fd);
    expect_names(*state, "", "old ");
    full_path(*state, "new", path);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "half", 4), 4);
    expect_no_reports(&w);
    close(fd);
    expect_report(&w, "new");
    end(&w);
}

/* A hard link needs no writer. */
static void test_hard_link(void **state)
{
    struct watcher w;
    char from[PATH_SIZE], to[PATH_SIZE];

    make_file(*state, "old", "1");
    begin(&w, *state);
    full_path(*state, "old", from);
    full_path(*state, "linked", to);
    assert_int_equal(link(from, to), 0);
    expect_report(&w, "linked");
    end(&w);
}

/* -- Directories ------------------------------------------------------------------------------- */

static void test_new_directories(void **state)
{
    struct watcher w;

    begin(&w, *state);
    make_dir(*state, "a");
    make_dir(*state, "a/b"); /* before anybody can have watched a */
    make_file(*state, "a/b/c", "1");
    expect_report(&w, "a");
    expect_report(&w, "a/b");
    expect_report(&w, "a/b/c");
    forget_reports(&w);
    make_file(*state, "a/b/c", "2");
    expect_report(&w, "a/b/c");
    assert_false(has_report(&w, ""));
    end(&w);
}

static void test_moved_directory(void **state)
{
    struct watcher w;

    make_dir(*state, "a");
    make_file(*state, "a/x", "1");
    begin(&w, *state);
    rename_to(*state, "a", "b");
    expect_report(&w, "");
    forget_reports(&w);
    make_file(*state, "b/x", "2"); /* under its new name */
    expect_report(&w, "b/x");
    assert_false(has_report(&w, "a/x"));
    end(&w);
}

static void test_removed_directory(void **state)
{
    struct watcher w;
    char path[PATH_SIZE];

    make_dir(*state, "a");
    make_file(*state, "a/x", "1");
    begin(&w, *state);
    full_path(*state, "a", path);
    remove_tree(path);
    expect_report(&w, "a/x");
    expect_report(&w, "a");
    forget_reports(&w);
    make_dir(*state, "a"); /* the same name, another directory */
    make_file(*state, "a/x", "2");
    expect_report(&w, "a/x");
    end(&w);
}

/* -- Links ------------------------------------------------------------------------------------- */

static void test_kubernetes_switch(void **state)
{
    struct watcher w;

    make_dir(*state, "..1");
    make_file(*state, "..1/key", "one");
    make_link(*state, "..1", "..data");
    make_link(*state, "..data/key", "key");
    begin(&w, *state);
    make_dir(*state, "..2");
    make_file(*state, "..2/key", "two");
    expect_no_reports(&w); /* nothing is shown of it yet */
    make_link(*state, "..2", "..data_tmp");
    rename_to(*state, "..data_tmp", "..data");
    expect_report(&w, "");
    expect_bytes(*state, "key", "two");
    end(&w);
}

/* Where there are links, names do not tell which secrets changed. */
static void test_links_mean_everything(void **state)
{
    struct watcher w;

    make_dir(*state, "real");
    make_file(*state, "real/x", "1");
    begin(&w, *state);
    make_link(*state, "real/x", "alias");
    expect_report(&w, "");
    forget_reports(&w);
    make_file(*state, "real/x", "2"); /* and so did alias */
    expect_report(&w, "");
    end(&w);
    begin(&w, *state); /* a link that was there before */
    make_file(*state, "real/x", "3");
    expect_report(&w, "");
    end(&w);
}

/* -- Roots ------------------------------------------------------------------------------------- */

static void root_path(struct fixture *f, char path[PATH_SIZE])
{
    (void)snprintf(path, PATH_SIZE, "%s/root", f->base);
}

static void test_root_replaced(void **state)
{
    struct fixture *f = *state;
    struct watcher w;
    char root[PATH_SIZE], moved[PATH_SIZE];

    root_path(f, root);
    (void)snprintf(moved, sizeof(moved), "%s/moved", f->base);
    begin(&w, f);
    assert_int_equal(rename(root, moved), 0);
    assert_int_equal(mkdir(root, 0755), 0);
    expect_report(&w, "");
    forget_reports(&w);
    make_file(f, "x", "1");
    expect_report(&w, "x");
    end(&w);
}

static void test_root_gone_and_back(void **state)
{
    struct fixture *f = *state;
    struct watcher w;
    char root[PATH_SIZE];

    root_path(f, root);
    begin(&w, f);
    assert_int_equal(rmdir(root), 0);
    expect_report(&w, "");
    forget_reports(&w);
    sleep_ms(WAIT_MS);
    expect_no_reports(&w); /* said once */
    assert_int_equal(mkdir(root, 0755), 0);
    expect_within(&w, "", WAIT_ROOT_MS);
    forget_reports(&w);
    make_file(f, "x", "1");
    expect_report(&w, "x");
    end(&w);
}

/* A root that is a link to the current generation: no event tells that the link was switched. */
static void test_root_link_switched(void **state)
{
    struct fixture *f = *state;
    struct watcher w;
    char link_path[PATH_SIZE], next[PATH_SIZE];

    make_dir(f, "one");
    make_dir(f, "two");
    (void)snprintf(link_path, sizeof(link_path), "%s/current", f->base);
    (void)snprintf(next, sizeof(next), "%s/next", f->base);
    assert_int_equal(symlink("root/one", link_path), 0);
    assert_int_equal(symlink("root/two", next), 0);
    set_root(f, link_path);
    begin(&w, f);
    assert_int_equal(rename(next, link_path), 0);
    expect_within(&w, "", WAIT_ROOT_MS);
    forget_reports(&w);
    make_file(f, "two/x", "1");
    expect_report(&w, "x");
    end(&w);
}

static void test_root_missing_at_start(void **state)
{
    struct fixture *f = *state;
    struct watcher w;
    char root[PATH_SIZE];

    root_path(f, root);
    assert_int_equal(rmdir(root), 0);
    begin(&w, f);
    assert_int_equal(mkdir(root, 0755), 0);
    expect_within(&w, "", WAIT_ROOT_MS);
    end(&w);
}

/* -- Cost -------------------------------------------------------------------------------------- */

static uint64_t cpu_us(void)
{
    struct rusage usage;

    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* Waiting costs nothing worth speaking of, with a root and without. */
static void test_idle(void **state)
{
    struct fixture *f = *state;
    char root[PATH_SIZE];

    root_path(f, root);
    for (int missing = 0; missing < 2; missing++) {
        struct watcher w;
        uint64_t start_us;

        if (missing)
            assert_int_equal(rmdir(root), 0);
        begin(&w, f);
        start_us = cpu_us();
        sleep_ms(1500);
        assert_true(cpu_us() - start_us < 50000);
        end(&w);
    }
}

static uint64_t max_queued_events(void)
{
    char text[32] = "";
    int fd = open("/proc/sys/fs/inotify/max_queued_events", O_RDONLY | O_CLOEXEC);
    uint64_t count = 0;

    assert_true(read(fd, text, sizeof(text) - 1) > 0);
    close(fd);
    text[strcspn(text, "\n")] = '\0';
    assert_true(hush_parse_u64(text, UINT64_MAX, &count));
    return count;
}

/* More events than the kernel keeps: then everything may have changed, and the watch goes on. */
static void test_overflow(void **state)
{
    struct fixture *f = *state;
    const uint64_t limit = max_queued_events();
    static struct watcher w;

    if (limit > REPORTS_MAX - 1000)
        skip();
    begin(&w, f);
    pthread_mutex_lock(&w.mutex);
    for (uint64_t i = 0; i < limit + 500; i++) /* two names: equal events would be merged */
        assert_true(make_file_quietly(f, i % 2 == 0 ? "a" : "b", ""));
    pthread_mutex_unlock(&w.mutex);
    expect_within(&w, "", WAIT_ROOT_MS);
    forget_reports(&w);
    make_file(f, "last", "2");
    expect_report(&w, "last");
    end(&w);
}

int main(void)
{
#define WATCH_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WATCH_TEST(test_files),
        WATCH_TEST(test_quiet),
        WATCH_TEST(test_hard_link),
        WATCH_TEST(test_new_directories),
        WATCH_TEST(test_moved_directory),
        WATCH_TEST(test_removed_directory),
        WATCH_TEST(test_kubernetes_switch),
        WATCH_TEST(test_links_mean_everything),
        WATCH_TEST(test_root_replaced),
        WATCH_TEST(test_root_gone_and_back),
        WATCH_TEST(test_root_link_switched),
        WATCH_TEST(test_root_missing_at_start),
        WATCH_TEST(test_idle),
        WATCH_TEST(test_overflow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
