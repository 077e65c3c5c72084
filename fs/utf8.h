/* SPDX-License-Identifier: Apache-2.0 */
/*
 * utf8.h - is it UTF-8? As RFC 3629 has it: no overlong forms, no surrogates, nothing above
 * U+10FFFF. Pure.
 */
#ifndef HUSH_UTF8_H
#define HUSH_UTF8_H

#include <stddef.h>

/* The length, 1 to 4, of the sequence at the beginning of the size bytes; 0: there is none. */
size_t hush_utf8_sequence(const char *bytes, size_t size);

#endif
