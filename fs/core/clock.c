/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock.c - the two clocks, and the tests' replacements for them.
 */
#include "clock.h"

#include <stddef.h>

static uint64_t (*clock_now_ns)(void); /* NULL: the real one */
static time_t (*clock_wall_s)(void);

uint64_t hush_now_ns(void)
{
    struct timespec ts = {0};

    if (clock_now_ns != NULL)
        return clock_now_ns();
    (void)clock_gettime(CLOCK_BOOTTIME, &ts); /* cannot fail: Linux 2.6.39 and later */
    return (uint64_t)ts.tv_sec * HUSH_NS_PER_S + (uint64_t)ts.tv_nsec;
}

time_t hush_wall_s(void)
{
    return clock_wall_s != NULL ? clock_wall_s() : time(NULL);
}

void hush_clock_inject(uint64_t (*now_ns)(void), time_t (*wall_s)(void))
{
    clock_now_ns = now_ns;
    clock_wall_s = wall_s;
}
