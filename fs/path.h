/* SPDX-License-Identifier: Apache-2.0 */
/*
 * path.h - paths of this host: what they are by name alone, and whether one is below another. A
 * worker that opened a path below its own mount would wait for itself.
 */
#ifndef HUSH_PATH_H
#define HUSH_PATH_H

#include <limits.h>
#include <stdbool.h>

/*
 * Fold "//", "." and ".." of an absolute path by name alone, without a slash at the end ("" is the
 * root). False: it does not fit.
 */
bool hush_path_fold(const char *path, char out[PATH_MAX]);

/* Is path (absolute) the directory top or below it? By name, and if host by where links lead, too.
 */
bool hush_path_is_below(const char *path, const char *top, bool host);

#endif
