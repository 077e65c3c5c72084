/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timer.h - the thread that watches the clock: deadlines of parked requests, renames that do not
 * come, hot secrets to be refreshed before their ttl ends, leases (lease.h), values that nobody may
 * see any more.
 */
#ifndef HUSH_TIMER_H
#define HUSH_TIMER_H

#include "fs.h"

bool hush_timer_start(struct hush_fs *fs); /* false: errno */
void hush_timer_stop(struct hush_fs *fs);

#endif
