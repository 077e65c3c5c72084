/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics.c - the counters and their text. .hushfs/metrics shows it.
 */
#include "metrics.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

static _Atomic uint64_t metric_counters[HUSH_METRIC_COUNT];

/* clang-format off */
static const struct { const char *name, *help; } metric_rows[HUSH_METRIC_COUNT] = {
#define X(id, text, words) [HUSH_METRIC_##id] = {.name = (text), .help = (words)},
    HUSH_METRIC_LIST(X)
#undef X
};
/* clang-format on */

void hush_metric_add(enum hush_metric metric, uint64_t n)
{
    if ((unsigned)metric < HUSH_METRIC_COUNT)
        atomic_fetch_add_explicit(&metric_counters[metric], n, memory_order_relaxed);
}

uint64_t hush_metric_get(enum hush_metric metric)
{
    if ((unsigned)metric >= HUSH_METRIC_COUNT)
        return 0;
    return atomic_load_explicit(&metric_counters[metric], memory_order_relaxed);
}

const char *hush_metric_name(enum hush_metric metric)
{
    return (unsigned)metric < HUSH_METRIC_COUNT ? metric_rows[metric].name : "";
}

const char *hush_metric_help(enum hush_metric metric)
{
    return (unsigned)metric < HUSH_METRIC_COUNT ? metric_rows[metric].help : "";
}

size_t hush_metrics_write(char *buf, size_t size)
{
    size_t used = 0;

    for (unsigned i = 0; i < HUSH_METRIC_COUNT; i++) {
        const char *name = metric_rows[i].name;
        int n =
            snprintf(buf + used, size - used, "# HELP %s %s\n# TYPE %s counter\n%s %" PRIu64 "\n",
                     name, metric_rows[i].help, name, name, hush_metric_get((enum hush_metric)i));

        if (n < 0 || (size_t)n >= size - used)
            return 0;
        used += (size_t)n;
    }
    return used;
}
