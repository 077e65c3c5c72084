/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk.h - files of a sealed store. Opened below the store's directory without following a symbolic
 * link; written so that after a crash the old or the new file is there, whole.
 */
#ifndef HUSH_SEALED_DISK_H
#define HUSH_SEALED_DISK_H

#include "provider.h"

#include <sys/stat.h>

/* Which file it was, and has it changed? All zero: there was none. */
struct sealed_stamp {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec changed;
};

struct sealed_stamp hush_sealed_stamp(const struct stat *st);
bool hush_sealed_stamp_equal(const struct sealed_stamp *a, const struct sealed_stamp *b);

/* The store's directory, for reading, or -1 and *status. */
int hush_sealed_open_store(struct hush_op *op, const char *store, enum hush_status *status);

/* Below dir_fd, see above. -1 with errno. */
int hush_sealed_open_at(int dir_fd, const char *path, int flags, mode_t mode);

struct sealed_file {
    char *bytes; /* owned: free() */
    size_t size;
    struct sealed_stamp stamp;
};

/* All of a regular file. HUSH_NOT_FOUND: there is none. HUSH_TOO_LARGE: more than max bytes. */
__attribute__((warn_unused_result)) enum hush_status hush_sealed_read(struct hush_op *op,
                                                                      int dir_fd, const char *path,
                                                                      size_t max,
                                                                      struct sealed_file *out);
void hush_sealed_file_done(struct sealed_file *file); /* zeroed, or read */

/*
 * A new file below dir_fd, in the place of whatever file was there, with its bytes on the disk
 * (its name not yet). Owner and mode are those of the directory that like tells of.
 */
__attribute__((warn_unused_result)) enum hush_status
hush_sealed_write(struct hush_op *op, int dir_fd, const char *path, const struct stat *like,
                  const char *bytes, size_t size);

/* Rename, and wait until the directory that holds both names is on the disk. */
__attribute__((warn_unused_result)) enum hush_status
hush_sealed_rename(struct hush_op *op, int dir_fd, const char *from, const char *to);

/* Directories for all of path, with owner and mode of like, on the disk. */
__attribute__((warn_unused_result)) enum hush_status
hush_sealed_make_dirs(struct hush_op *op, int dir_fd, const char *path, const struct stat *like);

/* Wait until the entries of the directory path below dir_fd ("": itself) are on the disk. */
__attribute__((warn_unused_result)) enum hush_status
hush_sealed_sync_dir(struct hush_op *op, int dir_fd, const char *path);

enum hush_status hush_sealed_check_op(struct hush_op *op); /* canceled, deadline */

#endif
