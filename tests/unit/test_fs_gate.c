/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fs_gate.c - requests that wait: one call for all of them, deadlines, killed readers.
 */
#include "core/option.h"
#include "fs_kernel.h"

#include <errno.h>
#include <glob.h>
#include <string.h>

enum { READERS = 50 };

static void hang(struct kernel *k, const char *path)
{
    backend_control(k, path, ".hang", "");
}

static void let_go(struct kernel *k, const char *path)
{
    backend_control(k, path, ".hang", NULL);
}

/* The errors of requests that are answered. */
static void assert_errors(struct kernel *k, const uint64_t *uniques, size_t n, int error)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(kernel_wait(k, uniques[i])->error, error);
}

static void test_single_flight(void **state)
{
    struct kernel *k = *state;
    uint64_t stats[READERS];

    backend_put(k, "s/db", "one");
    hang(k, "s/db");
    kernel_start(k, CONFIG_S);
    for (uint32_t i = 0; i < READERS; i++)
        stats[i] = kernel_send_stat(k, TID + i, "s/db");
    backend_await(k, "s", "fetch db", 1);
    for (uint32_t i = 0; i < READERS; i++)
        assert_false(kernel_answered(k, stats[i]));
    let_go(k, "s/db");
    assert_errors(k, stats, READERS, ESTALE); /* it is a file: look it up again */
    for (uint32_t i = 0; i < READERS; i++)
        assert_string_equal(kernel_cat(k, TID + i, "s/db"), "one");
    assert_int_equal(backend_calls(k, "s", "fetch db"), 1);
}

/* A hung secret costs the others nothing, nor what needs no backend. */
static void test_others_go_on(void **state)
{
    struct kernel *k = *state;
    uint64_t stat;

    backend_put(k, "s/hung", "one");
    backend_put(k, "s/db", "two");
    hang(k, "s/hung");
    kernel_start(k, CONFIG_S "concurrency = 2\n[provider/t]\ntype = test\ndir = @/t\n");
    stat = kernel_send_stat(k, TID, "s/hung");
    backend_await(k, "s", "fetch hung", 1);
    assert_string_equal(kernel_cat(k, OTHER, "s/db"), "two");
    backend_put(k, "t/db", "three");
    assert_string_equal(kernel_cat(k, OTHER, "t/db"), "three");
    assert_string_equal(kernel_ls(k, OTHER, "s"), "db hung");
    assert_false(kernel_answered(k, stat));
    let_go(k, "s/hung");
    (void)kernel_wait(k, stat);
}

/* More calls than the instance may make at once wait their turn; another instance's do not. */
static void test_concurrency(void **state)
{
    struct kernel *k = *state;
    uint64_t stats[3];

    kernel_start(k, CONFIG_S "concurrency = 2\n[provider/t]\ntype = test\ndir = @/t\n");
    for (unsigned i = 0; i < 3; i++) {
        char path[8];

        (void)snprintf(path, sizeof(path), "s/db%u", i);
        backend_put(k, path, "one");
        hang(k, path);
        stats[i] = kernel_send_stat(k, TID + i, path);
    }
    backend_await(k, "s", NULL, 2);
    backend_put(k, "t/db", "two");
    assert_string_equal(kernel_cat(k, OTHER, "t/db"), "two");
    assert_int_equal(backend_calls(k, "s", NULL), 2);
    let_go(k, "s/db0");
    backend_await(k, "s", NULL, 3);
    let_go(k, "s/db1");
    let_go(k, "s/db2");
    assert_errors(k, stats, 3, ESTALE);
}

struct thread {
    char name[64]; /* its file in /proc */
    uint64_t sleeps;
};

/* How often it went to sleep. False: it has ended. */
static bool read_sleeps(struct thread *thread)
{
    static const char name[] = "voluntary_ctxt_switches:\t";
    char line[128] = "";
    FILE *f = fopen(thread->name, "re");
    bool is = f != NULL;

    while (is && strncmp(line, name, strlen(name)) != 0)
        is = fgets(line, sizeof(line), f) != NULL;
    if (f != NULL)
        (void)fclose(f);
    if (!is)
        return false;
    line[strcspn(line, "\n")] = '\0';
    assert_true(hush_parse_u64(line + strlen(name), UINT64_MAX, &thread->sleeps));
    return true;
}

/* The worker's threads. Returns how many there are. */
static size_t list_threads(const struct kernel *k, struct thread *threads, size_t room)
{
    char pattern[64];
    glob_t found;
    size_t count = 0;

    (void)snprintf(pattern, sizeof(pattern), "/proc/%d/task/*/status", (int)k->worker);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_in_range(found.gl_pathc, 1, room);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        (void)snprintf(threads[count].name, sizeof(threads[count].name), "%s", found.gl_pathv[i]);
        count += read_sleeps(&threads[count]);
    }
    globfree(&found);
    return count;
}

static const struct thread *find_thread(const struct thread *threads, size_t count,
                                        const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(threads[i].name, name) == 0)
            return &threads[i];
    return NULL;
}

/* One call after the other is made by the thread that made the last one, or by two in turn if it
 * has not fallen asleep yet; the rest are left alone, and there are no new ones. The thread of the
 * watch, which this backend has not, may end only now. */
static void test_warm_thread(void **state)
{
    enum { THREADS = 64, CALLS = 80 };
    struct thread before[THREADS], after[THREADS];
    struct kernel *k = *state;
    size_t before_count, count, busy = 0;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S "ttl = 0\nconcurrency = 16\n");
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    before_count = list_threads(k, before, THREADS);
    for (unsigned i = 0; i < CALLS; i++)
        assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    assert_int_equal(backend_calls(k, "s", "fetch db"), CALLS + 1);
    count = list_threads(k, after, THREADS);
    assert_in_range(count, 17, before_count);
    assert_true(count + 1 >= before_count);
    for (size_t i = 0; i < count; i++) {
        const struct thread *was = find_thread(before, before_count, after[i].name);

        assert_non_null(was);
        busy += after[i].sleeps - was->sleeps >= CALLS / 16;
    }
    assert_in_range(busy, 2, 5); /* with the loop */
}

/* Nobody waits longer than the mount's deadline; nobody waits less since another came earlier. */
static void test_deadline(void **state)
{
    struct kernel *k = *state;
    uint64_t first, second;

    k->mount = "deadline = 2\n";
    backend_put(k, "s/db", "one");
    hang(k, "s/db");
    kernel_start(k, CONFIG_S "timeout = 10\n");
    first = kernel_send_stat(k, TID, "s/db");
    kernel_advance_ms(k, SECONDS(1));
    second = kernel_send_stat(k, OTHER, "s/db");
    kernel_advance_ms(k, 999);
    (void)usleep(1100000); /* the timer has looked */
    assert_false(kernel_answered(k, first));
    kernel_advance_ms(k, 1);
    assert_int_equal(kernel_wait(k, first)->error, ETIMEDOUT);
    assert_false(kernel_answered(k, second));
    let_go(k, "s/db");
    assert_int_equal(kernel_wait(k, second)->error, ESTALE);
    assert_int_equal(backend_calls(k, "s", "fetch db"), 1);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
}

/* Also one that is sooner than the timer would look by itself. */
static void test_short_deadline(void **state)
{
    struct kernel *k = *state;
    uint64_t stat;

    k->mount = "deadline = 200ms\n";
    backend_put(k, "s/db", "one");
    hang(k, "s/db");
    kernel_start(k, CONFIG_S "timeout = 10\n");
    stat = kernel_send_stat(k, TID, "s/db");
    backend_await(k, "s", "fetch db", 1);
    kernel_advance_ms(k, 200);
    (void)usleep(600000); /* it looks once a second */
    assert_true(kernel_answered(k, stat));
    assert_int_equal(kernel_wait(k, stat)->error, ETIMEDOUT);
    let_go(k, "s/db");
}

/* At the deadline a value past its ttl does, if there is one. */
static void test_deadline_with_a_value(void **state)
{
    struct kernel *k = *state;
    uint64_t stat;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S "ttl = 10\ntimeout = 10\n");
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    hang(k, "s/db");
    kernel_advance_ms(k, SECONDS(11));
    stat = kernel_send_stat(k, TID, "s/db");
    backend_await(k, "s", "fetch db", 2);
    kernel_advance_ms(k, SECONDS(5));
    assert_int_equal(kernel_wait(k, stat)->error, 0);
    (void)usleep(200000);                                     /* the call is given up */
    assert_string_equal(kernel_cat(k, OTHER, "s/db"), "one"); /* the others do not wait again */
    let_go(k, "s/db");
}

static void test_deadline_is_remembered(void **state)
{
    struct kernel *k = *state;
    uint64_t stat;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S "timeout = 10\n");
    hang(k, "s/db");
    stat = kernel_send_stat(k, TID, "s/db");
    backend_await(k, "s", "fetch db", 1);
    kernel_advance_ms(k, SECONDS(5));
    assert_int_equal(kernel_wait(k, stat)->error, ETIMEDOUT);
    (void)usleep(200000); /* the call is given up */
    assert_string_equal(kernel_cat(k, OTHER, "s/db"), "ETIMEDOUT");
    assert_int_equal(backend_calls(k, "s", "fetch db"), 1);
    let_go(k, "s/db");
    kernel_advance_ms(k, SECONDS(1));
    assert_string_equal(kernel_cat(k, OTHER, "s/db"), "one");
}

/* A killed reader is answered at once; the call is given up if he was the last to wait for it. */
static void test_interrupt(void **state)
{
    struct kernel *k = *state;
    uint64_t first, second;

    backend_put(k, "s/db", "one");
    hang(k, "s/db");
    kernel_start(k, CONFIG_S);
    first = kernel_send_stat(k, TID, "s/db");
    second = kernel_send_stat(k, OTHER, "s/db");
    backend_await(k, "s", "fetch db", 1);
    kernel_interrupt(k, first);
    assert_int_equal(kernel_wait(k, first)->error, EINTR);
    assert_false(kernel_answered(k, second));
    let_go(k, "s/db");
    assert_int_equal(kernel_wait(k, second)->error, ESTALE);
    assert_int_equal(backend_calls(k, "s", "fetch db"), 1);
}

/* What a killed reader waited for is no news to the next one. */
static void test_interrupted_call_has_no_outcome(void **state)
{
    struct kernel *k = *state;
    uint64_t stat;

    backend_put(k, "s/db", "one");
    hang(k, "s/db");
    kernel_start(k, CONFIG_S);
    stat = kernel_send_stat(k, TID, "s/db");
    backend_await(k, "s", "fetch db", 1);
    kernel_interrupt(k, stat);
    assert_int_equal(kernel_wait(k, stat)->error, EINTR);
    (void)usleep(200000); /* the call ends: canceled */
    let_go(k, "s/db");
    assert_string_equal(kernel_cat(k, OTHER, "s/db"), "one");
}

/* Who comes while a call that was given up has not ended yet gets one of his own. */
static void test_reader_after_an_interrupted_one(void **state)
{
    struct kernel *k = *state;
    uint64_t first, second;

    backend_put(k, "s/db", "one");
    hang(k, "s/db");
    backend_control(k, "s/db", ".deaf", "");
    kernel_start(k, CONFIG_S);
    first = kernel_send_stat(k, TID, "s/db");
    backend_await(k, "s", "fetch db", 1);
    kernel_interrupt(k, first);
    assert_int_equal(kernel_wait(k, first)->error, EINTR);
    second = kernel_send_stat(k, OTHER, "s/db");
    assert_false(kernel_answered(k, second));
    backend_control(k, "s/db", ".deaf", NULL); /* it hears: canceled */
    backend_await(k, "s", "fetch db", 2);
    let_go(k, "s/db");
    assert_int_equal(kernel_wait(k, second)->error, ESTALE);
    assert_string_equal(kernel_cat(k, OTHER, "s/db"), "one");
}

/* The reader is killed before his request is read: libfuse tells so as soon as it has to wait. */
static void test_early_interrupt(void **state)
{
    struct kernel *k = *state;
    uint64_t dir, stat;
    struct fuse_entry_out out;

    backend_put(k, "s/db", "one");
    hang(k, "s/db");
    kernel_start(k, CONFIG_S);
    dir = kernel_ino(k, "s");
    assert_int_equal(kernel_lookup(k, TID, dir, "db", &out), 0);
    kernel_interrupt(k, k->unique + 4); /* its own is the one between */
    stat = kernel_send_getattr(k, TID, out.nodeid);
    assert_int_equal(kernel_wait(k, stat)->error, EINTR);
    assert_int_equal(backend_calls(k, "s", NULL), 0);
    let_go(k, "s/db");
    assert_string_equal(kernel_cat(k, OTHER, "s/db"), "one");
}

/* An INTERRUPT may come for a request that never waited, or twice: nothing happens. */
static void test_late_interrupt(void **state)
{
    static const char *const names[] = {"a", "b", "c"};
    struct kernel *k = *state;
    struct fuse_entry_out out;

    kernel_start(k, CONFIG_S);
    for (size_t i = 0; i < COUNT(names); i++) {
        uint64_t stat;

        assert_int_equal(kernel_lookup(k, TID, kernel_ino(k, "s"), names[i], &out), 0);
        stat = kernel_send_getattr(k, TID, out.nodeid);
        kernel_interrupt(k, stat);
        kernel_interrupt(k, stat);
        (void)kernel_wait(k, stat);
        kernel_interrupt(k, stat);
    }
    backend_put(k, "s/db", "one");
    assert_string_equal(kernel_cat(k, OTHER, "s/db"), "one");
}

/* The connection ends while somebody waits. */
static void test_end_while_waiting(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/db", "one");
    hang(k, "s/db");
    kernel_start(k, CONFIG_S);
    (void)kernel_send_stat(k, TID, "s/db");
    backend_await(k, "s", "fetch db", 1);
    assert_int_equal(kernel_end(k), HUSH_EXIT_UNMOUNTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KERNEL_TEST(test_single_flight),
        KERNEL_TEST(test_others_go_on),
        KERNEL_TEST(test_concurrency),
        KERNEL_TEST(test_warm_thread),
        KERNEL_TEST(test_deadline),
        KERNEL_TEST(test_short_deadline),
        KERNEL_TEST(test_deadline_with_a_value),
        KERNEL_TEST(test_deadline_is_remembered),
        KERNEL_TEST(test_interrupt),
        KERNEL_TEST(test_interrupted_call_has_no_outcome),
        KERNEL_TEST(test_reader_after_an_interrupted_one),
        KERNEL_TEST(test_early_interrupt),
        KERNEL_TEST(test_late_interrupt),
        KERNEL_TEST(test_end_while_waiting),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
