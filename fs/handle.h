/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handle.h - what open directories and open files of .hushfs pin. With fs->lock held.
 */
#ifndef HUSH_HANDLE_H
#define HUSH_HANDLE_H

#include "fs.h"

/* A handle on a listing (referenced) or a text (owned, even on failure). 0: no memory; reads then
 * see what is known at that moment. */
uint64_t hush_handle_listing(struct hush_fs *fs, struct hush_listing *listing);
uint64_t hush_handle_text(struct hush_fs *fs, char *text, size_t size);

struct hush_handle *hush_handle_find(struct hush_fs *fs, uint64_t id); /* NULL: unknown */
void hush_handle_close(struct hush_fs *fs, uint64_t id);

#endif
