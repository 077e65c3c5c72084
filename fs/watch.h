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

/* From now on instance's provider can tell what it knows of itself: status shows it, and each
 * change is logged. Before open(). */
void hush_watch_listen(struct hush_instance *instance);
bool hush_watch_start(struct hush_instance *instance); /* true also if the provider cannot watch */
bool hush_watch_stop(struct hush_instance *instance, const struct timespec *end); /* monotonic */

#endif
