/* SPDX-License-Identifier: Apache-2.0 */
/* test_io.c - core/io.h: all is written, however often a signal comes between. */
#include "unit.h"

#include "core/io.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/time.h>

enum { IO_SIZE = 1 << 20, IO_TICK_US = 5000 };

static volatile sig_atomic_t ticks;

static void on_alarm(int signal)
{
    (void)signal;
    ticks++;
}

static uint8_t byte_at(size_t i)
{
    return (uint8_t)(i * 7 + i / 256);
}

/* In the child: what comes is what was sent, slowly enough that the writer has to wait. */
static int reader(int fd)
{
    uint8_t part[4096];
    size_t size = 0;
    ssize_t got;

    while ((got = read(fd, part, sizeof(part))) > 0) {
        for (ssize_t i = 0; i < got; i++)
            CHECK(part[i] == byte_at(size + (size_t)i));
        size += (size_t)got;
        (void)usleep(100);
    }
    CHECK(got == 0 && size == IO_SIZE);
    return 0;
}

static void test_interrupted(void **state)
{
    const struct sigaction handler = {.sa_handler = on_alarm}; /* no SA_RESTART */
    const struct itimerval timer = {{0, IO_TICK_US}, {0, IO_TICK_US}}, none = {0};
    uint8_t *bytes = malloc(IO_SIZE);
    int status = -1, ends[2];
    bool written;

    (void)state;
    assert_non_null(bytes);
    for (size_t i = 0; i < IO_SIZE; i++)
        bytes[i] = byte_at(i);
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
        (void)close(ends[1]);
        _exit(reader(ends[0]));
    }
    (void)close(ends[0]);
    assert_int_equal(sigaction(SIGALRM, &handler, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
    written = hush_write_all(ends[1], bytes, IO_SIZE);
    (void)setitimer(ITIMER_REAL, &none, NULL);
    (void)close(ends[1]);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    free(bytes);
    assert_true(written);
    assert_int_equal(status, 0);
    assert_true(ticks > 0);
}

static void test_refused(void **state)
{
    const int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

    (void)state;
    assert_true(fd >= 0);
    errno = 0;
    assert_false(hush_write_all(fd, "x", 1));
    assert_int_equal(errno, ENOSPC);
    assert_true(hush_write_all(fd, "", 0));
    (void)close(fd);
}

/* From a pipe that gives it in pieces; no more than asked for; what comes before the end. */
static void test_read(void **state)
{
    static const char text[] = "abcdefghij";
    uint8_t bytes[16];
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    if (fork() == 0) {
        for (size_t i = 0; i < 10; i++) {
            (void)usleep(1000);
            (void)!write(ends[1], text + i, 1);
        }
        _exit(0);
    }
    (void)close(ends[1]);
    assert_int_equal(hush_read_all(ends[0], bytes, 4), 4);
    assert_memory_equal(bytes, "abcd", 4);
    assert_int_equal(hush_read_all(ends[0], bytes, sizeof(bytes)), 6);
    assert_memory_equal(bytes, "efghij", 6);
    assert_int_equal(hush_read_all(ends[0], bytes, sizeof(bytes)), 0);
    (void)close(ends[0]);
    (void)wait(NULL);
    errno = 0;
    assert_int_equal(hush_read_all(-1, bytes, 1), -1);
    assert_int_equal(errno, EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interrupted),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
