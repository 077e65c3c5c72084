/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_log.c - what reaches stderr and syslog(3): whole lines, printable, bounded. The linker sends
 * syslog(3) here. hush_log_open() sets state of the process, so each test runs in a child.
 */
#include "core/log.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>
#include <time.h>

static int sent_priority = -1;
static char sent[4096];

void __wrap_syslog(int priority, const char *fmt, ...);
void __wrap___syslog_chk(int priority, int flag, const char *fmt, ...);

__attribute__((format(printf, 2, 3))) void __wrap_syslog(int priority, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    sent_priority = priority;
    (void)vsnprintf(sent, sizeof(sent), fmt, args);
    va_end(args);
}

__attribute__((format(printf, 3, 4))) void __wrap___syslog_chk(int priority, int flag,
                                                               const char *fmt, ...)
{
    va_list args;

    (void)flag; /* how careful glibc is */
    va_start(args, fmt);
    sent_priority = priority;
    (void)vsnprintf(sent, sizeof(sent), fmt, args);
    va_end(args);
}

/* A socket of packets in place of stderr shows what each write(2) wrote. */
static int catch_stderr(int *console)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return -1;
    *console = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
    (void)dup2(ends[1], STDERR_FILENO);
    return ends[0];
}

/* One packet as a string; "" if there is none. */
static const char *next_line(int fd)
{
    static char line[8192];
    ssize_t n = recv(fd, line, sizeof(line) - 1, MSG_DONTWAIT);

    line[n < 0 ? 0 : n] = '\0';
    return line;
}

#define CHECK_LINE(fd, expected)                                                                   \
    do {                                                                                           \
        const char *line_ = next_line(fd);                                                         \
        if (strcmp(line_, (expected)) != 0) {                                                      \
            (void)dprintf(console, "got %s", line_);                                               \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

static int before_open(void *ctx)
{
    int console = -1, fd = catch_stderr(&console);

    (void)ctx; /* none */
    hush_info("event=%s n=%d", "start", 1);
    CHECK_LINE(fd, "<6>event=start n=1\n");
    hush_debug("not shown");
    CHECK_LINE(fd, "");
    return 0;
}

static int lines(void *ctx)
{
    int console = -1, fd = catch_stderr(&console);

    (void)ctx; /* none */
    hush_log_open("hushfs-test", false, HUSH_LOG_DEBUG);
    errno = EACCES;
    hush_error("path=/x error='%m'");
    if (errno != EACCES)
        return 2;
    CHECK_LINE(fd, "<3>hushfs-test: path=/x error='Permission denied'\n");
    hush_warning("two");
    hush_debug("three");
    CHECK_LINE(fd, "<4>hushfs-test: two\n");
    CHECK_LINE(fd, "<7>hushfs-test: three\n");
    CHECK_LINE(fd, "");
    return 0;
}

static int levels(void *ctx)
{
    int console = -1, fd = catch_stderr(&console);

    (void)ctx; /* none */
    hush_log_open("x", false, HUSH_LOG_WARNING);
    hush_info("not shown");
    hush_warning("shown");
    CHECK_LINE(fd, "<4>x: shown\n");
    CHECK_LINE(fd, "");
    return 0;
}

static int unprintable(void *ctx)
{
    int console = -1, fd = catch_stderr(&console);

    (void)ctx; /* none */
    hush_log_open("x", false, HUSH_LOG_INFO);
    hush_info("name=%s", "a\nb\r<3>forged\x1b[31m\t\x7f\xc3\xa4~ ");
    CHECK_LINE(fd, "<6>x: name=a?b?<3>forged?[31m????~ \n");
    return 0;
}

static int too_long(void *ctx)
{
    int console = -1, fd = catch_stderr(&console);
    char text[3000];
    const char *line;

    (void)ctx; /* none */
    hush_log_open("x", false, HUSH_LOG_INFO);
    memset(text, 'y', sizeof(text));
    text[1024 - 7] = '\0'; /* with "<6>x: " before and a newline behind: just fits */
    hush_info("%s", text);
    line = next_line(fd);
    if (strlen(line) != 1024 || line[1023] != '\n' || line[1022] != 'y')
        return 1;
    text[1024 - 7] = 'y';
    text[sizeof(text) - 1] = '\0';
    hush_info("%s", text);
    line = next_line(fd);
    if (strlen(line) != 1024 || strcmp(line + 1019, "y...\n") != 0)
        return 2;
    CHECK_LINE(fd, "");
    return 0;
}

static time_t wall_s; /* 0: the real one */

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    if (wall_s == 0)
        return __real_clock_gettime(clock, now);
    *now = (struct timespec){.tv_sec = wall_s, .tv_nsec = 7999999};
    return 0;
}

static int dates(void *ctx)
{
    char path[] = "/tmp/hushfs-log-XXXXXX", text[256], expected[64];
    int fd = mkstemp(path);
    struct tm tm;

    (void)ctx; /* none */
    if (fd < 0 || unlink(path) != 0 || dup2(fd, STDERR_FILENO) < 0)
        return 1;
    hush_log_open("x", false, HUSH_LOG_INFO);
    for (wall_s = 1; wall_s < (time_t)5000000000; wall_s += 86400 * 3 / 2 - 17) {
        ssize_t n;

        if (ftruncate(fd, 0) != 0 || lseek(fd, 0, SEEK_SET) != 0)
            return 2;
        hush_info("y");
        n = pread(fd, text, sizeof(text) - 1, 0);
        text[n < 0 ? 0 : n] = '\0';
        (void)strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S.007Z x[",
                       gmtime_r(&wall_s, &tm));
        if (strncmp(text, expected, strlen(expected)) != 0)
            return 3;
    }
    return 0;
}

/* A regular file in place of stderr. */
static int to_file(void *ctx)
{
    char path[] = "/tmp/hushfs-log-XXXXXX", text[4096] = "", expected[64], long_text[3000];
    int fd = mkstemp(path), last = 0, n = 0;
    time_t before = time(NULL), at;
    struct tm tm = {0};

    (void)ctx; /* none */
    if (fd < 0 || unlink(path) != 0 || dup2(fd, STDERR_FILENO) < 0)
        return 1;
    hush_log_open("hushfs-test", false, HUSH_LOG_DEBUG);
    hush_error("path=/x error='%s'", "a\nb");
    hush_warning("two");
    hush_info("three");
    hush_debug("four");
    memset(long_text, 'y', sizeof(long_text));
    long_text[sizeof(long_text) - 1] = '\0';
    hush_info("%s", long_text);
    if (pread(fd, text, sizeof(text) - 1, 0) < 0)
        return 2;
    for (char *line = text; *line != '\0' && n < 4; n++) {
        static const char *const rest[] = {"error: path=/x error='a?b'\n", "warning: two\n",
                                           "info: three\n", "debug: four\n"};
        char *end = strptime(line, "%Y-%m-%dT%H:%M:%S", &tm);

        (void)snprintf(expected, sizeof(expected), "Z hushfs-test[%d]: %s", (int)getpid(), rest[n]);
        CHECK(end != NULL && end[0] == '.' && strspn(end + 1, "0123456789") == 3);
        CHECK(strncmp(end + 4, expected, strlen(expected)) == 0);
        at = timegm(&tm);
        CHECK(at >= before && at <= time(NULL));
        line = end + 4 + strlen(expected);
        last = (int)strlen(line); /* of what follows: in the end the long line */
    }
    return n == 4 && last == 1024 && strcmp(text + strlen(text) - 5, "y...\n") == 0 ? 0 : 5;
}

static int to_syslog(void *ctx)
{
    int console = -1, fd = catch_stderr(&console);

    (void)ctx; /* none */
    hush_log_open("hushfs-test", true, HUSH_LOG_INFO);
    hush_warning("a %%s b=%s\n", "c\x1b%n");
    CHECK_LINE(fd, "");
    CHECK(sent_priority == LOG_WARNING);
    CHECK(strcmp(sent, "a %s b=c?%n?") == 0);
    hush_debug("not shown");
    CHECK(sent_priority == LOG_WARNING);
    return 0;
}

static void the_default_is_info_to_stderr(void **state)
{
    (void)state; /* none */
    assert_int_equal(in_child(before_open, NULL), 0);
}

static void an_event_is_one_line_and_one_write(void **state)
{
    (void)state; /* none */
    assert_int_equal(in_child(lines, NULL), 0);
}

static void what_is_below_the_level_is_dropped(void **state)
{
    (void)state; /* none */
    assert_int_equal(in_child(levels, NULL), 0);
}

static void control_bytes_do_not_reach_the_log(void **state)
{
    (void)state; /* none */
    assert_int_equal(in_child(unprintable, NULL), 0);
}

static void long_lines_are_cut(void **state)
{
    (void)state; /* none */
    assert_int_equal(in_child(too_long, NULL), 0);
}

static void a_file_gets_times(void **state)
{
    (void)state; /* none */
    assert_int_equal(in_child(to_file, NULL), 0);
    assert_int_equal(in_child(dates, NULL), 0);
}

static void syslog_gets_the_same_text(void **state)
{
    (void)state; /* none */
    assert_int_equal(in_child(to_syslog, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_default_is_info_to_stderr),
        cmocka_unit_test(an_event_is_one_line_and_one_write),
        cmocka_unit_test(what_is_below_the_level_is_dropped),
        cmocka_unit_test(control_bytes_do_not_reach_the_log),
        cmocka_unit_test(long_lines_are_cut),
        cmocka_unit_test(a_file_gets_times),
        cmocka_unit_test(syslog_gets_the_same_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
