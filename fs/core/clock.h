/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock.h - the two clocks. Ages and deadlines use CLOCK_BOOTTIME (suspend counts, setting the date
 * changes nothing, and it is the same in a worker that takes over). The wall clock is only for
 * dates that a backend sends or a person reads. Tests replace both.
 */
#ifndef HUSH_CLOCK_H
#define HUSH_CLOCK_H

#include <stdint.h>
#include <time.h>

enum { HUSH_NS_PER_MS = 1000000 };
#define HUSH_NS_PER_S UINT64_C(1000000000)

uint64_t hush_now_ns(void); /* CLOCK_BOOTTIME */
time_t hush_wall_s(void);   /* CLOCK_REALTIME, seconds */

/* For tests only: a NULL function restores the real clock. Not thread-safe. */
void hush_clock_inject(uint64_t (*now_ns)(void), time_t (*wall_s)(void));

#endif
