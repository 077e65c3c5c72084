/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mounts.h - which hushfs mounts this process sees, from /proc/self/mountinfo. Nothing here asks a
 * mount anything, so a mount that hangs does not hang its caller. The command line uses it.
 */
#ifndef HUSH_MOUNTS_H
#define HUSH_MOUNTS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* The mount points of type fuse.hushfs, in the order they were mounted. */
struct hush_mounts {
    char **paths;
    size_t count;
};

/* False: errno. */
bool hush_mounts_read(struct hush_mounts *mounts);
void hush_mounts_parse(struct hush_mounts *mounts, FILE *mountinfo); /* appends; for tests too */
void hush_mounts_free(struct hush_mounts *mounts);

/* The mount point that path (absolute, without links) is at or below; NULL: none. */
const char *hush_mounts_find(const struct hush_mounts *mounts, const char *path);
bool hush_mounts_have(const struct hush_mounts *mounts, const char *path); /* exactly at it */

/*
 * path as mountinfo spells it: absolute, links followed, as far as that can be told without asking
 * the last component, which may be a dead mount. False: errno.
 */
bool hush_mounts_resolve(const char *path, char out[PATH_MAX]);
bool hush_mounts_resolve_parent(const char *path, char out[PATH_MAX]); /* the last name as it is */

#endif
