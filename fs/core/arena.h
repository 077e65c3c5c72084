/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena.h - blocks in locked shared memory (lockmem.h) that outlive the process. Secret values live
 * here and nowhere else, beside the records that say what they are; a worker that takes over walks
 * the blocks and goes on.
 *
 * Crash safety: a block is invisible until hush_arena_publish(), its last store; attaching wipes
 * whatever is not published. A dead process can lose an unpublished block, never tear a published
 * one. Only one process at a time may use an arena: the keeper sees to it.
 *
 * Layout: a header, a table of slots, then units of 64 bytes; a block is a slot and the units it
 * names. What is free is kept in private memory and rebuilt on attach.
 *
 * Threads: every function may be called from any thread; one mutex inside, held for no I/O.
 */
#ifndef HUSH_ARENA_H
#define HUSH_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hush_arena;

typedef uint32_t hush_block; /* the slot's index + 1; 0: none. The same in every process. */

enum hush_block_type {
    HUSH_BLOCK_NONE, /* a free slot */
    HUSH_BLOCK_VALUE,
    HUSH_BLOCK_SNAPSHOT,
    HUSH_BLOCK_DIRECTORY,
    HUSH_BLOCK_LISTING,
    HUSH_BLOCK_STASH,
    HUSH_BLOCK_VIEW,
};

/*
 * Attach to fd (borrowed; made by hush_lockmem_create(), a new one is formatted). NULL with errno:
 * EINVAL: not an arena of this version; ENOMEM: RLIMIT_MEMLOCK.
 */
struct hush_arena *hush_arena_attach(int fd);

/* An arena of this process alone, for `hushfs get` and tests. NULL with errno. */
struct hush_arena *hush_arena_new(size_t size);

/* Unmap; blocks stay (attach) or go with the memory (new, wiped). NULL ok. */
void hush_arena_free(struct hush_arena *arena);

/* A zeroed, unpublished block of size bytes, or 0: no room. size 0 is allowed. */
hush_block hush_arena_alloc(struct hush_arena *arena, enum hush_block_type type, size_t size);

/* Make the block survive this process. Everything in it must be written before. */
void hush_arena_publish(struct hush_arena *arena, hush_block block);

/* Wipe and release; 0 ok. */
void hush_arena_release(struct hush_arena *arena, hush_block block);

void *hush_arena_bytes(struct hush_arena *arena, hush_block block);
size_t hush_arena_size(struct hush_arena *arena, hush_block block);

/* The type of a published block; NONE for any number that names none. */
enum hush_block_type hush_arena_published(struct hush_arena *arena, hush_block block);

/* Shrink to size bytes (wiping the rest); only before publishing. */
void hush_arena_shrink(struct hush_arena *arena, hush_block block, size_t size);

/* Every published block, in no order. fn may release the block it is given. */
void hush_arena_walk(struct hush_arena *arena,
                     void (*fn)(void *ctx, hush_block block, enum hush_block_type type), void *ctx);

struct hush_arena_usage {
    size_t size;   /* bytes of all units */
    size_t used;   /* bytes in blocks */
    size_t blocks; /* slots in use */
};
struct hush_arena_usage hush_arena_usage(struct hush_arena *arena);

/* True if writev() to /dev/fuse takes bytes of this arena as they are; else copy, send, wipe the
 * copy. */
bool hush_arena_is_plain(const struct hush_arena *arena);

#endif
