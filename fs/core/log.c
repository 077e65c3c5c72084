/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.c - one event, one line, one write(2), so that the lines of three processes on one descriptor
 * do not mix. Called by fs/ only, above debug.
 */
#include "log.h"

#include "printable.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

enum { LOG_LINE_MAX = 1024 };

static const char *log_ident;
static bool log_syslog, log_file;
static atomic_int log_most = HUSH_LOG_INFO;

void hush_log_open(const char *ident, bool to_syslog, enum hush_log_level most)
{
    struct stat st;

    log_ident = ident;
    log_syslog = to_syslog;
    log_file = !to_syslog && fstat(STDERR_FILENO, &st) == 0 && S_ISREG(st.st_mode);
    atomic_store(&log_most, (int)most);
    if (to_syslog)
        openlog(ident, LOG_PID | LOG_NDELAY, LOG_DAEMON);
}

static const char *log_level_name(enum hush_log_level level)
{
    static const char *const names[] = {
        [HUSH_LOG_ERROR] = "error",
        [HUSH_LOG_WARNING] = "warning",
        [HUSH_LOG_INFO] = "info",
        [HUSH_LOG_DEBUG] = "debug",
    };

    return names[level];
}

struct log_date {
    int year, month, day;
};

/* Of a day since 1970-01-01. Not gmtime_r(3), which reads the file that $TZ names: a worker could
 * wait for itself. Years begin in March here, so that a leap day is the last. */
static struct log_date log_date(int64_t days)
{
    const int64_t since = days + 719468; /* 0000-03-01; 146097 days are 400 years */
    const int64_t era = since / 146097, day = since % 146097;
    const int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    const int64_t in_year = day - (365 * year + year / 4 - year / 100);
    const int64_t month = (5 * in_year + 2) / 153;

    return (struct log_date){
        .year = (int)(era * 400 + year + (month >= 10)),
        .month = (int)(month < 10 ? month + 3 : month - 9),
        .day = (int)(in_year - (153 * month + 2) / 5 + 1),
    };
}

/* RFC 3339, by the real clock: an injected one is a test's, and a log is for a person. */
static int log_prefix_file(char *line, size_t size, enum hush_log_level level)
{
    struct timespec now = {0};
    struct log_date date;
    int s;

    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail */
    date = log_date(now.tv_sec / 86400);
    s = (int)(now.tv_sec % 86400);
    return snprintf(line, size, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %s[%d]: %s: ", date.year,
                    date.month, date.day, s / 3600, s / 60 % 60, s % 60, now.tv_nsec / 1000000,
                    log_ident, (int)getpid(), log_level_name(level));
}

/* The length of what precedes the text; 0 for syslog(3), which has it all. */
static size_t log_prefix(char *line, size_t size, enum hush_log_level level)
{
    int n;

    if (log_syslog)
        return 0;
    if (log_file)
        n = log_prefix_file(line, size, level);
    else if (log_ident == NULL)
        n = snprintf(line, size, "<%d>", (int)level);
    else
        n = snprintf(line, size, "<%d>%s: ", (int)level, log_ident);
    return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}

static void log_write(enum hush_log_level level, char *line, size_t size)
{
    ssize_t n;

    if (log_syslog) {
        syslog((int)level, "%s", line);
        return;
    }
    line[size++] = '\n'; /* in place of the NUL */
    do
        n = write(STDERR_FILENO, line, size);
    while (n < 0 && errno == EINTR);
    /* Where would a failed write of the log be reported? */
}

void hush_log(enum hush_log_level level, const char *fmt, ...)
{
    const int saved = errno; /* for %m, and for the caller */
    char line[LOG_LINE_MAX];
    size_t size;
    va_list args;
    int n;

    if ((int)level > atomic_load_explicit(&log_most, memory_order_relaxed))
        return;
    size = log_prefix(line, sizeof(line), level);
    errno = saved;
    va_start(args, fmt);
    n = vsnprintf(line + size, sizeof(line) - size, fmt, args);
    va_end(args);
    if (n < 0)
        line[size] = '\0';
    else if ((size_t)n >= sizeof(line) - size)
        memcpy(line + sizeof(line) - sizeof("..."), "...", sizeof("...")); /* it was cut */
    hush_printable(line + size);
    log_write(level, line, strlen(line));
    errno = saved;
}
