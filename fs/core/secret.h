/* SPDX-License-Identifier: Apache-2.0 */
/*
 * secret.h - an immutable byte string in locked memory, wiped when its last reference goes. There
 * is no printf-able accessor on purpose. A secret of size 0 is a secret: set but empty.
 *
 * Threads: reference counts are atomic; the bytes are written by their maker only, before the
 * secret is shared.
 */
#ifndef HUSH_SECRET_H
#define HUSH_SECRET_H

#include "arena.h"
#include "op.h"

#include <stddef.h>
#include <stdint.h>

struct hush_secret;

struct hush_secret *hush_secret_ref(struct hush_secret *s);   /* NULL ok; returns s */
struct hush_secret *hush_secret_unref(struct hush_secret *s); /* NULL ok; returns NULL */
const uint8_t *hush_secret_bytes(const struct hush_secret *s);
size_t hush_secret_size(const struct hush_secret *s);

/*
 * Copy size bytes into op's arena. *out is owned by the caller, with one reference.
 * HUSH_TOO_LARGE above op->secret_max, HUSH_NO_MEMORY when the arena is full.
 */
__attribute__((warn_unused_result)) enum hush_status
hush_secret_new(struct hush_op *op, const void *bytes, size_t size, struct hush_secret **out);

/*
 * The same without the copy: *bytes is where to write the size bytes, before the secret is handed
 * on. For values that are read straight into place.
 */
__attribute__((warn_unused_result)) enum hush_status
hush_secret_alloc(struct hush_op *op, size_t size, struct hush_secret **out, uint8_t **bytes);

/* Fewer bytes came than asked for: wipe and give back the rest. Only by the maker. */
void hush_secret_shrink(struct hush_secret *s, size_t size);

/* Same bytes? Constant time in the bytes, not in the length. NULL equals only NULL. */
bool hush_secret_equal(const struct hush_secret *a, const struct hush_secret *b);

/* For the snapshots of fs/: publish the block (see arena.h) and tell its name; … */
hush_block hush_secret_publish(struct hush_secret *s);
/* … and in the next process take the published VALUE block over. NULL: not one. */
struct hush_secret *hush_secret_adopt(struct hush_arena *arena, hush_block block);

#endif
