/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - one event, one line: key=value text with a priority. To syslog(3), or to stderr: where
 * that is a regular file, as
 *
 *     2026-11-29T12:00:00.123Z hushfs-worker[123]: warning: text
 *
 * and else as "<4>hushfs-worker: text", since journald reads the prefix and adds the rest. Only fs/
 * logs above debug; providers return details instead. Never pass a value, token, header or body:
 * bytes that are not printable ASCII become '?', and a line is at most 1 KiB.
 */
#ifndef HUSH_LOG_H
#define HUSH_LOG_H

#include <stdbool.h>

enum hush_log_level {
    HUSH_LOG_ERROR = 3,
    HUSH_LOG_WARNING = 4,
    HUSH_LOG_INFO = 6,
    HUSH_LOG_DEBUG = 7
};

/* ident ("hushfs-worker") is borrowed for ever. Until called: stderr, "<N>", INFO. What stderr is
 * is looked at here. */
void hush_log_open(const char *ident, bool to_syslog, enum hush_log_level most);

__attribute__((format(printf, 2, 3))) void hush_log(enum hush_log_level level, const char *fmt,
                                                    ...);

#define hush_error(...)   hush_log(HUSH_LOG_ERROR, __VA_ARGS__)
#define hush_warning(...) hush_log(HUSH_LOG_WARNING, __VA_ARGS__)
#define hush_info(...)    hush_log(HUSH_LOG_INFO, __VA_ARGS__)
#define hush_debug(...)   hush_log(HUSH_LOG_DEBUG, __VA_ARGS__)

#endif
