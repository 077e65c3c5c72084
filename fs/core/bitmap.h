/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bitmap.h - runs of free bits, for arena.c alone: what of its units and slots is taken. In private
 * memory. Not locked: the arena's mutex is.
 */
#ifndef HUSH_BITMAP_H
#define HUSH_BITMAP_H

#include <stdbool.h>
#include <stdint.h>

struct hush_bitmap {
    uint64_t *words;
    uint32_t count; /* bits */
    uint32_t used;  /* bits that are set */
    uint32_t top;   /* no bit at or above was ever set */
    uint32_t next;  /* where the next search begins */
};

bool hush_bitmap_init(struct hush_bitmap *map, uint32_t count); /* all clear; false: no memory */
void hush_bitmap_done(struct hush_bitmap *map);

bool hush_bitmap_get(const struct hush_bitmap *map, uint32_t bit);

/* The first bit of from..end-1 that is value, or end. */
uint32_t hush_bitmap_seek(const struct hush_bitmap *map, uint32_t from, uint32_t end, bool value);

/*
 * Set a run of size clear bits and store its first in *first. Next fit below top; above it only
 * when nothing below fits, so that memory that was never used stays untouched. False: no such run.
 */
bool hush_bitmap_take(struct hush_bitmap *map, uint32_t size, uint32_t *first);

void hush_bitmap_set(struct hush_bitmap *map, uint32_t first, uint32_t size);   /* clear before */
void hush_bitmap_clear(struct hush_bitmap *map, uint32_t first, uint32_t size); /* set before */

#endif
