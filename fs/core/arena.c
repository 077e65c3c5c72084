/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena.c - blocks in locked shared memory. secret.c and the cache allocate here.
 *
 * What a new process finds must be whole whenever the old one died. Three rules do it, each an
 * order of stores that a killed process has either made or not:
 *   - the marks of what was ever used rise before the memory is handed out;
 *   - a slot's `published` is stored after everything else of its block, and cleared before the
 * block is wiped;
 *   - free units are always zero, but for those that the dead process had: attaching wipes them.
 */
#include "arena.h"

#include "bitmap.h"
#include "cleanup.h"
#include "lockmem.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    ARENA_MAGIC = 0x48534132, /* "HSA2"; another layout, here or in a block, another number */
    ARENA_UNIT = 64,
    ARENA_SLOTS_MIN = 64,
    ARENA_BYTES_PER_SLOT = 256,
};

/* In shared memory. */
struct arena_header {
    _Atomic uint32_t magic; /* stored last */
    uint32_t slot_count;
    uint32_t unit_count;
    _Atomic uint32_t slot_top; /* slots and units from here on were never touched */
    _Atomic uint32_t unit_top;
    uint32_t unused[11];
};

struct arena_slot {
    uint32_t first; /* unit */
    uint16_t type;
    _Atomic uint16_t published;
    uint64_t size; /* bytes */
};

_Static_assert(sizeof(struct arena_header) == ARENA_UNIT, "units follow the slots, aligned");
_Static_assert(sizeof(struct arena_slot) == 16, "the same in every process");

struct hush_arena {
    struct arena_header *header;
    struct arena_slot *slots;
    unsigned char *units;
    size_t map_size;
    bool plain;
    bool own;             /* made by hush_arena_new(): wiped at the end */
    pthread_mutex_t lock; /* for the bitmaps, and slots that are not yet handed out */
    struct hush_bitmap slot_map, unit_map;
};

static uint32_t arena_units(uint64_t size)
{
    return (uint32_t)((size + ARENA_UNIT - 1) / ARENA_UNIT);
}

/* How many slots and units memory of size bytes has. False: too small or too large. */
static bool arena_geometry(size_t size, uint32_t *slot_count, uint32_t *unit_count)
{
    uint64_t room, slots, slot_bytes;

    if (size <= ARENA_UNIT || size / ARENA_UNIT > UINT32_MAX - 1)
        return false;
    room = size - ARENA_UNIT;
    slots = room / (ARENA_BYTES_PER_SLOT + sizeof(struct arena_slot));
    slots = slots < ARENA_SLOTS_MIN ? ARENA_SLOTS_MIN : slots;
    slot_bytes = (uint64_t)arena_units(slots * sizeof(struct arena_slot)) * ARENA_UNIT;
    if (room < slot_bytes + ARENA_UNIT)
        return false;
    *slot_count = (uint32_t)slots;
    *unit_count = (uint32_t)((room - slot_bytes) / ARENA_UNIT);
    return true;
}

/* Format what is new; refuse what is not ours. */
static bool arena_open(struct hush_arena *arena)
{
    struct arena_header *header = arena->header;
    uint32_t slot_count = 0, unit_count = 0;

    if (!arena_geometry(arena->map_size, &slot_count, &unit_count))
        return false;
    if (atomic_load_explicit(&header->magic, memory_order_acquire) == 0) {
        header->slot_count = slot_count;
        header->unit_count = unit_count;
        atomic_store_explicit(&header->magic, ARENA_MAGIC, memory_order_release);
    }
    if (atomic_load(&header->magic) != ARENA_MAGIC || header->slot_count != slot_count ||
        header->unit_count != unit_count || atomic_load(&header->slot_top) > slot_count ||
        atomic_load(&header->unit_top) > unit_count)
        return false;
    arena->slots = (struct arena_slot *)(void *)((unsigned char *)header + ARENA_UNIT);
    arena->units = (unsigned char *)arena->slots +
                   (size_t)arena_units(slot_count * sizeof(struct arena_slot)) * ARENA_UNIT;
    return true;
}

/* Does the slot name units that exist and belong to no other? */
static bool arena_slot_sound(const struct hush_arena *arena, const struct arena_slot *slot)
{
    const uint32_t top = atomic_load(&arena->header->unit_top);
    uint32_t end;

    if (slot->type == HUSH_BLOCK_NONE || slot->first > top ||
        slot->size > (uint64_t)(top - slot->first) * ARENA_UNIT)
        return false;
    end = slot->first + arena_units(slot->size);
    return hush_bitmap_seek(&arena->unit_map, slot->first, end, true) == end;
}

/* Keep what is published, wipe everything else that was ever used. */
static void arena_recover(struct hush_arena *arena)
{
    const uint32_t slot_top = atomic_load(&arena->header->slot_top);
    const uint32_t unit_top = atomic_load(&arena->header->unit_top);
    uint32_t first = 0, end;

    for (uint32_t i = 0; i < slot_top; i++) {
        struct arena_slot *slot = &arena->slots[i];

        if (atomic_load_explicit(&slot->published, memory_order_acquire) == 0)
            continue;
        if (!arena_slot_sound(arena, slot)) {
            atomic_store(&slot->published, 0);
            continue;
        }
        hush_bitmap_set(&arena->slot_map, i, 1);
        hush_bitmap_set(&arena->unit_map, slot->first, arena_units(slot->size));
    }
    while ((first = hush_bitmap_seek(&arena->unit_map, first, unit_top, false)) < unit_top) {
        end = hush_bitmap_seek(&arena->unit_map, first, unit_top, true);
        hush_wipe(arena->units + (size_t)first * ARENA_UNIT, (size_t)(end - first) * ARENA_UNIT);
        first = end;
    }
    arena->slot_map.top = slot_top;
    arena->unit_map.top = unit_top;
}

struct hush_arena *hush_arena_attach(int fd)
{
    struct hush_arena *arena = calloc(1, sizeof(*arena));
    int err;

    if (arena == NULL)
        return NULL;
    pthread_mutex_init(&arena->lock, NULL);
    arena->plain = hush_lockmem_is_plain(fd);
    arena->header = hush_lockmem_map(fd, &arena->map_size);
    if (arena->header == NULL) {
        err = errno == EPERM ? ENOMEM : errno;
        goto out;
    }
    err = EINVAL;
    if (!arena_open(arena))
        goto out;
    err = ENOMEM;
    if (!hush_bitmap_init(&arena->slot_map, arena->header->slot_count) ||
        !hush_bitmap_init(&arena->unit_map, arena->header->unit_count))
        goto out;
    arena_recover(arena);
    return arena;
out:
    hush_arena_free(arena);
    errno = err;
    return NULL;
}

struct hush_arena *hush_arena_new(size_t size)
{
    struct hush_arena *arena;
    cleanup_close int fd = hush_lockmem_create("hushfs-arena", size);

    if (fd < 0) {
        errno = -fd;
        return NULL;
    }
    arena = hush_arena_attach(fd);
    if (arena != NULL)
        arena->own = true;
    return arena;
}

void hush_arena_free(struct hush_arena *arena)
{
    if (arena == NULL)
        return;
    if (arena->own)
        hush_wipe(arena->units, (size_t)arena->unit_map.top * ARENA_UNIT);
    hush_lockmem_unmap(arena->header, arena->map_size);
    hush_bitmap_done(&arena->slot_map);
    hush_bitmap_done(&arena->unit_map);
    pthread_mutex_destroy(&arena->lock);
    free(arena);
}

/* The slot of a block that is in use; NULL: a caller's mistake. */
static struct arena_slot *arena_slot(const struct hush_arena *arena, hush_block block)
{
    assert(block != 0 && block <= arena->slot_map.count);
    return block != 0 && block <= arena->slot_map.count ? &arena->slots[block - 1] : NULL;
}

hush_block hush_arena_alloc(struct hush_arena *arena, enum hush_block_type type, size_t size)
{
    uint32_t index, first;

    if (size > (uint64_t)arena->unit_map.count * ARENA_UNIT)
        return 0;
    hush_lock_scope(&arena->lock);
    if (!hush_bitmap_take(&arena->slot_map, 1, &index))
        return 0;
    if (!hush_bitmap_take(&arena->unit_map, arena_units(size), &first)) {
        hush_bitmap_clear(&arena->slot_map, index, 1);
        return 0;
    }
    atomic_store(&arena->header->slot_top, arena->slot_map.top);
    atomic_store(&arena->header->unit_top, arena->unit_map.top);
    arena->slots[index].first = first;
    arena->slots[index].type = (uint16_t)type;
    arena->slots[index].size = size;
    return index + 1;
}

void hush_arena_publish(struct hush_arena *arena, hush_block block)
{
    struct arena_slot *slot = arena_slot(arena, block);

    if (slot != NULL)
        atomic_store_explicit(&slot->published, 1, memory_order_release);
}

/* False: released already, a caller's mistake that must not free somebody else's units. */
static bool arena_is_used(struct hush_arena *arena, hush_block block)
{
    bool used;

    hush_lock_scope(&arena->lock);
    used = hush_bitmap_get(&arena->slot_map, block - 1);
    assert(used);
    return used;
}

void hush_arena_release(struct hush_arena *arena, hush_block block)
{
    struct arena_slot *slot;

    if (block == 0)
        return;
    slot = arena_slot(arena, block);
    if (slot == NULL || !arena_is_used(arena, block))
        return;
    atomic_store(&slot->published, 0); /* before the wipe: half a secret is none */
    hush_wipe(arena->units + (size_t)slot->first * ARENA_UNIT, slot->size);
    hush_lock_scope(&arena->lock);
    hush_bitmap_clear(&arena->unit_map, slot->first, arena_units(slot->size));
    hush_bitmap_clear(&arena->slot_map, block - 1, 1);
}

void *hush_arena_bytes(struct hush_arena *arena, hush_block block)
{
    const struct arena_slot *slot = arena_slot(arena, block);

    return slot == NULL ? NULL : arena->units + (size_t)slot->first * ARENA_UNIT;
}

size_t hush_arena_size(struct hush_arena *arena, hush_block block)
{
    const struct arena_slot *slot = arena_slot(arena, block);

    return slot == NULL ? 0 : slot->size;
}

enum hush_block_type hush_arena_published(struct hush_arena *arena, hush_block block)
{
    const struct arena_slot *slot;

    hush_lock_scope(&arena->lock);
    if (block == 0 || block > arena->slot_map.top)
        return HUSH_BLOCK_NONE;
    slot = &arena->slots[block - 1];
    if (atomic_load_explicit(&slot->published, memory_order_acquire) == 0)
        return HUSH_BLOCK_NONE;
    return (enum hush_block_type)slot->type;
}

void hush_arena_shrink(struct hush_arena *arena, hush_block block, size_t size)
{
    struct arena_slot *slot = arena_slot(arena, block);
    uint32_t kept;

    if (slot == NULL || size >= slot->size)
        return;
    assert(atomic_load(&slot->published) == 0);
    kept = arena_units(size);
    hush_wipe(arena->units + (size_t)slot->first * ARENA_UNIT + size, slot->size - size);
    hush_lock_scope(&arena->lock);
    hush_bitmap_clear(&arena->unit_map, slot->first + kept, arena_units(slot->size) - kept);
    slot->size = size;
}

void hush_arena_walk(struct hush_arena *arena,
                     void (*fn)(void *ctx, hush_block block, enum hush_block_type type), void *ctx)
{
    const uint32_t top = atomic_load(&arena->header->slot_top);

    for (hush_block block = 1; block <= top; block++) {
        enum hush_block_type type = hush_arena_published(arena, block);

        if (type != HUSH_BLOCK_NONE)
            fn(ctx, block, type);
    }
}

struct hush_arena_usage hush_arena_usage(struct hush_arena *arena)
{
    hush_lock_scope(&arena->lock);
    return (struct hush_arena_usage){
        .size = (size_t)arena->unit_map.count * ARENA_UNIT,
        .used = (size_t)arena->unit_map.used * ARENA_UNIT,
        .blocks = arena->slot_map.used,
    };
}

bool hush_arena_is_plain(const struct hush_arena *arena)
{
    return arena->plain;
}
