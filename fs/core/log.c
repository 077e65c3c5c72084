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
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

enum { LOG_LINE_MAX = 1024 };

static const char *log_ident;
static bool log_syslog;
static atomic_int log_most = HUSH_LOG_INFO;

void hush_log_open(const char *ident, bool to_syslog, enum hush_log_level most)
{
    log_ident = ident;
    log_syslog = to_syslog;
    atomic_store(&log_most, (int)most);
    if (to_syslog)
        openlog(ident, LOG_PID | LOG_NDELAY, LOG_DAEMON);
}

/* "<6>hushfs-worker: " or nothing: the length of what precedes the text. */
static size_t log_prefix(char *line, size_t size, enum hush_log_level level)
{
    int n;

    if (log_syslog)
        return 0; /* syslog(3) has both */
    if (log_ident == NULL)
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
