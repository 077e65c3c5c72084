/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool.h - what the C tools of the end-to-end tests share: numbers, the clock, and the form of a
 * self-describing file. The tools link nothing of hushfs, so that they judge it from outside.
 *
 *     HUSH 0000000042 004096 1c291ca3\n     version, bytes that follow, CRC-32 of version and bytes
 *     (that many bytes)
 */
#ifndef HUSH_TOOL_H
#define HUSH_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TOOL_HEADER = 32, TOOL_VERSION_AT = 5, TOOL_VERSION = 10 };

uint64_t tool_now_ns(void); /* CLOCK_MONOTONIC */

/* Decimal, or end the program with status 2. */
unsigned tool_number(const char *text);

__attribute__((format(printf, 1, 2), noreturn)) void tool_die(const char *fmt, ...);

/*
 * NULL if the size bytes are one whole version, which goes to *version; else what is wrong with
 * them, as a static text.
 */
const char *tool_check(const unsigned char *bytes, size_t size, uint32_t *version);

#endif
