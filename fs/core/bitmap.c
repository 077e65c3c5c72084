/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bitmap.c - next fit over a bitmap, a word at a time. For arena.c.
 */
#include "bitmap.h"

#include <stdlib.h>

enum { WORD_BITS = 64 };

bool hush_bitmap_init(struct hush_bitmap *map, uint32_t count)
{
    *map = (struct hush_bitmap){.count = count};
    map->words = calloc((size_t)count / WORD_BITS + 1, sizeof(map->words[0]));
    return map->words != NULL;
}

void hush_bitmap_done(struct hush_bitmap *map)
{
    if (map == NULL)
        return;
    free(map->words);
    *map = (struct hush_bitmap){0};
}

uint32_t hush_bitmap_seek(const struct hush_bitmap *map, uint32_t from, uint32_t end, bool value)
{
    const uint64_t flip = value ? 0 : UINT64_MAX;
    uint32_t word = from / WORD_BITS;
    uint64_t bits, found;

    if (from >= end)
        return end;
    bits = (map->words[word] ^ flip) & (UINT64_MAX << (from % WORD_BITS));
    while (bits == 0) {
        word++;
        if ((uint64_t)word * WORD_BITS >= end)
            return end;
        bits = map->words[word] ^ flip;
    }
    found = (uint64_t)word * WORD_BITS + (unsigned)__builtin_ctzll(bits);
    return found < end ? (uint32_t)found : end;
}

/* The first clear run of size bits within from..end-1, or end. */
static uint32_t bitmap_find(const struct hush_bitmap *map, uint32_t from, uint32_t end,
                            uint32_t size)
{
    while (from < end) {
        uint32_t first = hush_bitmap_seek(map, from, end, false);

        if (end - first < size)
            return end;
        from = hush_bitmap_seek(map, first, first + size, true);
        if (from == first + size)
            return first;
    }
    return end;
}

/* The run at the end of what was used, and beyond. */
static bool bitmap_grow(const struct hush_bitmap *map, uint32_t size, uint32_t *first)
{
    uint32_t start = map->top;

    while (start > 0 &&
           (map->words[(start - 1) / WORD_BITS] >> ((start - 1) % WORD_BITS) & 1) == 0 &&
           map->top - start < size)
        start--;
    if (map->count - start < size)
        return false;
    *first = start;
    return true;
}

static bool bitmap_search(const struct hush_bitmap *map, uint32_t size, uint32_t *first)
{
    uint32_t found;

    if (map->top - map->used >= size) { /* else it cannot fit below top */
        found = bitmap_find(map, map->next, map->top, size);
        if (found == map->top)
            found = bitmap_find(map, 0, map->top, size);
        if (found != map->top) {
            *first = found;
            return true;
        }
    }
    return bitmap_grow(map, size, first);
}

bool hush_bitmap_take(struct hush_bitmap *map, uint32_t size, uint32_t *first)
{
    uint32_t found = 0;

    if (size == 0) {
        *first = 0;
        return true;
    }
    if (!bitmap_search(map, size, &found))
        return false;
    hush_bitmap_set(map, found, size);
    map->next = found + size;
    *first = found;
    return true;
}

/* The bits of word that belong to first..end-1. */
static uint64_t bitmap_mask(uint32_t word, uint32_t first, uint32_t end)
{
    uint64_t mask = UINT64_MAX;

    if (word == first / WORD_BITS)
        mask &= UINT64_MAX << (first % WORD_BITS);
    if (word == (end - 1) / WORD_BITS)
        mask &= UINT64_MAX >> (WORD_BITS - 1 - (end - 1) % WORD_BITS);
    return mask;
}

void hush_bitmap_set(struct hush_bitmap *map, uint32_t first, uint32_t size)
{
    if (size == 0)
        return;
    for (uint32_t word = first / WORD_BITS; word <= (first + size - 1) / WORD_BITS; word++)
        map->words[word] |= bitmap_mask(word, first, first + size);
    map->used += size;
    if (map->top < first + size)
        map->top = first + size;
}

void hush_bitmap_clear(struct hush_bitmap *map, uint32_t first, uint32_t size)
{
    if (size == 0)
        return;
    for (uint32_t word = first / WORD_BITS; word <= (first + size - 1) / WORD_BITS; word++)
        map->words[word] &= ~bitmap_mask(word, first, first + size);
    map->used -= size;
}
