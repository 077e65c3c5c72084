/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file.h - what the parts of the file provider share: file.c (fetch, list), path.c (opening below
 * the root) and watch.c.
 */
#ifndef HUSH_FILE_H
#define HUSH_FILE_H

#include "provider.h"

#include <sys/stat.h>

struct file_provider {
    struct hush_provider base;
    char *root;
};

/*
 * A name of the backend: segments that are not empty and do not begin with "..": those are "..",
 * and what Kubernetes keeps its generations in.
 */
bool hush_file_is_name(const char *path);

/* The root as it is now, for openat2(); or -1 with the reason in op and its status in *status. */
int hush_file_open_root(const struct file_provider *file, struct hush_op *op,
                        enum hush_status *status);

/*
 * Open path ("": the root itself) below root_fd: never outside of it, never through /proc's links.
 * flags as for open(2); close-on-exec is added. -1 with errno.
 */
int hush_file_open(int root_fd, const char *path, int flags);

/* The reason and the status of a failed hush_file_open(), from errno. */
enum hush_status hush_file_fail(const struct file_provider *file, struct hush_op *op,
                                const char *path);

/* CANCELED or TIMEOUT if the call should end. */
enum hush_status hush_file_check_op(struct hush_op *op);

/* The slot of that name. */
enum hush_status hush_file_watch(struct hush_provider *self, struct hush_op *op,
                                 hush_changed_fn *changed, void *ctx);

#endif
