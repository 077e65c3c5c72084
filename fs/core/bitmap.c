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

bool hush_bitmap_get(const struct hush_bitmap *map, uint32_t bit)
{
    return (map->words[bit / WORD_BITS] >> (bit % WORD_BITS) & 1) != 0;
}

/* Set *first to the first clear run of size bits within from..end-1. False: there is none. */
static bool bitmap_find(const struct hush_bitmap *map, uint32_t from, uint32_t end, uint32_t size,
                        uint32_t *first)
{
    while (from < end) {
        const uint32_t start = hush_bitmap_seek(map, from, end, false);

        if (end - start < size)
            return false;
        from = hush_bitmap_seek(map, start, start + size, true);
        if (from == start + size) {
            *first = start;
            return true;
        }
    }
    return false;
}

/* The run that ends what was used, and the room beyond. */
static bool bitmap_grow(const struct hush_bitmap *map, uint32_t size, uint32_t *first)
{
    uint32_t start = map->top;

    while (start > 0 && map->top - start < size && !hush_bitmap_get(map, start - 1))
        start--;
    if (map->count - start < size)
        return false;
    *first = start;
    return true;
}

static bool bitmap_search(const struct hush_bitmap *map, uint32_t size, uint32_t *first)
{
    const uint32_t behind = map->top - map->next < size ? map->top : map->next + size;

    if (map->top - map->used < size) /* it cannot fit below top */
        return bitmap_grow(map, size, first);
    return bitmap_find(map, map->next, map->top, size, first) ||
           bitmap_find(map, 0, behind, size, first) || bitmap_grow(map, size, first);
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
