/* SPDX-License-Identifier: Apache-2.0 */
/*
 * name.h - a backend's names and the names that are shown. Pure, and reversible: every raw name has
 * exactly one shown name and the other way round.
 *
 *     raw path  segments are split at '/'; an empty segment (leading, trailing, double slash) is
 *               shown as "%", since "%" alone is no other escape.
 *     shown     %XX (upper-case hex) for: '%' itself, bytes 0x01..0x1f and 0x7f, the first '.' of
 *               "." and "..", of names that begin with ".hushfs", and of ".json" and ".value" (they
 *               are ours), and every byte of an invalid UTF-8 sequence.
 *     too long  a segment over 255 bytes when shown cannot be a file name.
 */
#ifndef HUSH_NAME_H
#define HUSH_NAME_H

#include <stdbool.h>
#include <stddef.h>

enum { HUSH_NAME_MAX = 255 };

/*
 * Show one raw segment of size bytes. Returns the length of what was written to out
 * (NUL-terminated), or 0 if it does not fit in a file name or contains NUL or '/'.
 */
size_t hush_name_show(const char *raw, size_t size, char out[HUSH_NAME_MAX + 1]);

/* The other way. False if shown is not what hush_name_show() makes of anything (so that no two
 * paths reach one secret). out needs HUSH_NAME_MAX + 1 bytes. */
bool hush_name_raw(const char *shown, char out[HUSH_NAME_MAX + 1]);

/*
 * Split "db#3" at the last '#' into name ("db") and version ("3"). False: there is no '#', or
 * nothing before or after it, or the version is longer than HUSH_VERSION_MAX. The caller tries the
 * literal name first.
 */
bool hush_name_split_version(const char *shown, char name[HUSH_NAME_MAX + 1], char version[64]);

/* Whole paths: "a//b" <-> "a/%/b". False: too long for size, or a segment that cannot be shown. */
bool hush_path_show(const char *raw, char *out, size_t size);
bool hush_path_raw(const char *shown, char *out, size_t size);

/* The parts of a shown path of less than PATH_MAX bytes: its last name, and what is above it (into
 * PATH_MAX bytes; false: it is one name). */
const char *hush_path_last(const char *shown);
bool hush_path_parent(const char *shown, char *out);

#endif
