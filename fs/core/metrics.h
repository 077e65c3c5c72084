/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics.h - counters of the process, written by Prometheus' text rules. One list; adding a
 * counter is adding a row. Atomic: any thread.
 */
#ifndef HUSH_METRICS_H
#define HUSH_METRICS_H

#include <stddef.h>
#include <stdint.h>

/* clang-format off */
#define HUSH_METRIC_LIST(X)                                                     \
    X(OPENS,        "hushfs_opens_total",        "files opened")                \
    X(OPEN_ERRORS,  "hushfs_open_errors_total",  "opens and stats refused or failed") \
    X(FETCHES,      "hushfs_fetches_total",      "calls to a backend for a value") \
    X(FETCH_ERRORS, "hushfs_fetch_errors_total", "such calls that failed")      \
    X(LISTS,        "hushfs_lists_total",        "calls to a backend for a listing") \
    X(RENEWALS,     "hushfs_renewals_total",     "calls to a backend to renew a lease") \
    X(REVOCATIONS,  "hushfs_revocations_total",  "leases given back")           \
    X(ROTATIONS,    "hushfs_rotations_total",    "new versions shown")          \
    X(EVICTIONS,    "hushfs_evictions_total",    "values let go since the memory was full") \
    X(STALE_OPENS,  "hushfs_stale_opens_total",  "opens answered with a value past its ttl") \
    X(TIMEOUTS,     "hushfs_timeouts_total",     "readers whose deadline passed") \
    X(TAKEOVERS,    "hushfs_takeovers_total",    "times a worker took the mount over") \
    X(REPLAYED,     "hushfs_replayed_requests_total", "requests answered for a dead worker")
/* clang-format on */

enum hush_metric {
#define X(name, text, help) HUSH_METRIC_##name,
    HUSH_METRIC_LIST(X)
#undef X
        HUSH_METRIC_COUNT
};

void hush_metric_add(enum hush_metric metric, uint64_t n);
uint64_t hush_metric_get(enum hush_metric metric);
const char *hush_metric_name(enum hush_metric metric);
const char *hush_metric_help(enum hush_metric metric);

/* The text exposition of all counters; returns the bytes written (no NUL), 0 if size is too small.
 */
size_t hush_metrics_write(char *buf, size_t size);

#endif
