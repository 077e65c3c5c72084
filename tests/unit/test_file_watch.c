/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_file_watch.c - what watch() of the file provider reports for what happens below a root, and
 * that it survives everything that makes its table of watches wrong.
 */
#include "file_fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

enum {
    REPORTS_MAX = 65536,
    SETTLE_MS = 350,
    WAIT_MS = 1000,
    WAIT_ROOT_MS = 2500,
    CANCEL_MS = 300,
    PATIENCE_MS = 30000, /* what takes longer will not come */
    TRIES = 8,
};

/* The limits are those of a machine that is not busy: a test in which all came, but something too
 * late, is run again, and has failed if no run of it was in time. */
static struct {
    const char *what; /* NULL: nothing */
    long limit_ms, took_ms;
} late;

static long ms_since(uint64_t start_ns)
{
    return (long)((hush_now_ns() - start_ns) / HUSH_NS_PER_MS);
}

static void check_in_time(const char *what, long limit_ms, long took_ms)
{
    if (took_ms < limit_ms)
        return;
    late.what = what;
    late.limit_ms = limit_ms;
    late.took_ms = took_ms;
}

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

static bool has_report(struct watcher *w, const char *path)
{
    bool found = false;

    pthread_mutex_lock(&w->mutex);
    for (size_t i = w->seen; i < w->count && !found; i++)
        found = strcmp(w->reports[i], path) == 0;
    pthread_mutex_unlock(&w->mutex);
    return found;
}

static size_t report_count(struct watcher *w)
{
    size_t count;

    pthread_mutex_lock(&w->mutex);
    count = w->count;
    pthread_mutex_unlock(&w->mutex);
    return count;
}

/* limit_ms: without any other report. */
static void expect_within(struct watcher *w, const char *path, long limit_ms)
{
    const uint64_t start_ns = hush_now_ns();
    uint64_t heard_ns = start_ns;
    size_t heard = report_count(w);

    while (!has_report(w, path)) {
        const size_t count = report_count(w);

        if (ms_since(start_ns) > PATIENCE_MS)
            fail_msg("'%s' was not reported", path);
        if (count != heard)
            heard_ns = hush_now_ns();
        heard = count;
        sleep_ms(5);
    }
    check_in_time("a report", limit_ms, ms_since(heard_ns));
}

static void expect_report(struct watcher *w, const char *path)
{
    expect_within(w, path, WAIT_MS);
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
    expect_report(w, ""); /* it has a table now, or there is no root */
    forget_reports(w);
}

static void end(struct watcher *w)
{
    const uint64_t start_ns = hush_now_ns();

    hush_op_cancel(&w->op);
    assert_int_equal(pthread_join(w->thread, NULL), 0);
    assert_int_equal(w->status, HUSH_CANCELED);
    check_in_time("the end", CANCEL_MS, ms_since(start_ns));
    for (size_t i = 0; i < w->count; i++)
        free(w->reports[i]);
    pthread_mutex_destroy(&w->mutex);
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

static atomic_bool makes_between;

int __real_inotify_add_watch(int fd, const char *path, uint32_t mask); /* NOLINT */
int __wrap_inotify_add_watch(int fd, const char *path, uint32_t mask); /* NOLINT */
int __wrap_inotify_add_watch(int fd, const char *path, uint32_t mask)  /* NOLINT */
{
    const int wd = __real_inotify_add_watch(fd, path, mask);
    char below[PATH_SIZE];

    if (wd < 0 || strcmp(path + strlen(path) - strlen("/a"), "/a") != 0 ||
        !atomic_exchange(&makes_between, false))
        return wd;
    (void)snprintf(below, sizeof(below), "%s/b", path);
    return mkdir(below, 0755) == 0 ? wd : -1;
}

/* A directory that is made when its parent is watched and not yet read is found twice, by the
 * reading and by its event. It has one name all the same: no links, no "everything". */
static void test_directory_found_twice(void **state)
{
    struct watcher w;

    begin(&w, *state);
    atomic_store(&makes_between, true);
    make_dir(*state, "a");
    expect_report(&w, "a/b");
    forget_reports(&w);
    assert_false(atomic_load(&makes_between));
    make_file(*state, "a/b/c", "1");
    expect_report(&w, "a/b/c");
    make_file(*state, "x", "1");
    expect_report(&w, "x");
    for (size_t i = 1; i < w.count; i++) /* the first was the watch's own */
        assert_string_not_equal(w.reports[i], "");
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
    assert_int_equal(mkdir(moved, 0755), 0);
    begin(&w, f);
    /* At once: a root that is gone meanwhile is another test's. */
    assert_int_equal(renameat2(AT_FDCWD, root, AT_FDCWD, moved, RENAME_EXCHANGE), 0);
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

/* -- In time ----------------------------------------------------------------------------------- */

struct watch_test {
    const char *name;
    void (*run)(void **state);
};

static const struct watch_test *current;

static int set_up_watch(void **state)
{
    current = *state;
    return set_up(state);
}

static void run_in_time(void **state)
{
    for (int tries = 1;; tries++) {
        late.what = NULL;
        current->run(state);
        if (late.what == NULL)
            return;
        if (tries == TRIES)
            fail_msg("%s took %ld ms, not %ld", late.what, late.took_ms, late.limit_ms);
        (void)tear_down(state);
        (void)set_up(state);
    }
}

#define WATCH_TEST(test) .name = #test, .run = test
static struct watch_test watch_tests[] = {
    {WATCH_TEST(test_files)},
    {WATCH_TEST(test_quiet)},
    {WATCH_TEST(test_hard_link)},
    {WATCH_TEST(test_new_directories)},
    {WATCH_TEST(test_directory_found_twice)},
    {WATCH_TEST(test_moved_directory)},
    {WATCH_TEST(test_removed_directory)},
    {WATCH_TEST(test_kubernetes_switch)},
    {WATCH_TEST(test_links_mean_everything)},
    {WATCH_TEST(test_root_replaced)},
    {WATCH_TEST(test_root_gone_and_back)},
    {WATCH_TEST(test_root_link_switched)},
    {WATCH_TEST(test_root_missing_at_start)},
    {WATCH_TEST(test_idle)},
    {WATCH_TEST(test_overflow)},
};

int main(void)
{
    struct CMUnitTest tests[COUNT(watch_tests)];

    for (size_t i = 0; i < COUNT(watch_tests); i++)
        tests[i] = (struct CMUnitTest){watch_tests[i].name, run_in_time, set_up_watch, tear_down,
                                       &watch_tests[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
