/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch.h - the thread that runs a provider's watch() and acts on what it reports: a changed secret
 * that somebody uses is fetched at once, listings are made again, everything else is asked for when
 * it is next opened.
 */
#ifndef HUSH_WATCH_H
#define HUSH_WATCH_H

#include "fs.h"

#include <time.h>

bool hush_watch_start(struct hush_instance *instance); /* true also if the provider cannot watch */
bool hush_watch_stop(struct hush_instance *instance, const struct timespec *end); /* monotonic */

#endif
