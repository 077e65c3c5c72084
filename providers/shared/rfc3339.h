/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rfc3339.h - the dates of JSON answers. Pure.
 */
#ifndef HUSH_RFC3339_H
#define HUSH_RFC3339_H

#include <stdbool.h>
#include <time.h>

/*
 * "2026-11-23T10:15:30Z", with a fraction (which is cut off) or an offset such as +02:00 in place
 * of Z. False: text is none, or NULL; a leap second counts as the one before.
 */
bool hush_rfc3339(const char *text, time_t *out);

#endif
