/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wipefree.c - a malloc() whose free() and realloc() wipe, for every library of a program that
 * holds secrets: also for those that have no hook for an allocator, and for the C library itself,
 * in whose stdio buffers OpenSSL reads the private key of a client. Linked into hushfs-worker and
 * hushfs, not into libraries of ours; sanitizers and valgrind bring a malloc of their own instead.
 * wipealloc.h is for libraries that do have a hook: it also tells a stranger's block and works in
 * any program.
 *
 * The allocator stays glibc's. What this relies on, in malloc/malloc.c of glibc 2.36:
 *   - malloc and the others are aliases of __libc_malloc, ..., which are exported: see
 *     malloc/Versions. All libraries, the C library and what is loaded later by dlopen() included,
 *     call by name, and a program's own definition comes first. All are defined, so that none
 *     comes from an allocator which somebody preloads.
 *   - __libc_realloc() gives back the block that it moves from, or the end that it cuts off, by
 *     _int_free(), past free(): so it is never called.
 *   - struct malloc_chunk: the word before a block is the size of the chunk, of which the owner has
 *     all but that word (two words, if the chunk is a mapping), and three flags.
 *   - tcache_put() writes tcache_key, a random number, into the second word of a block, and
 *     _int_free() takes a block that has it for one that is freed twice, and aborts. Wiped, it
 *     would go unseen, so such a block is left as it is.
 *
 * M_PERTURB and glibc.malloc.perturb are no way to the same: _int_free() puts a block into the
 * thread's cache before free_perturb().
 */
#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHUNK_FLAGS = 7,
    CHUNK_MAPPED = 2,
    FREED_MARK = 1, /* the word in which tcache_key stands */
};

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void *__libc_valloc(size_t size);
extern void *__libc_pvalloc(size_t size);
extern void __libc_free(void *block);

static uintptr_t freed_mark; /* glibc's tcache_key; 0: not known yet. Set once, before main() */

__attribute__((constructor)) static void freed_mark_learn(void)
{
    uintptr_t *block = __libc_malloc((FREED_MARK + 1) * sizeof(*block));

    if (block == NULL)
        return;
    block[FREED_MARK] = 0;
    __libc_free(block);
    freed_mark = block[FREED_MARK]; /* only a look: it is still mapped, and nobody else's yet */
}

static bool is_freed(const void *block)
{
    const uintptr_t mark = ((const uintptr_t *)block)[FREED_MARK]; /* a chunk has four words */

    return mark != 0 && mark == freed_mark;
}

size_t malloc_usable_size(void *ptr)
{
    size_t chunk;

    if (ptr == NULL)
        return 0;
    chunk = ((const size_t *)ptr)[-1];
    return (chunk & ~(size_t)CHUNK_FLAGS) - ((chunk & CHUNK_MAPPED) != 0 ? 2 : 1) * sizeof(chunk);
}

static void block_free(void *block)
{
    if (block != NULL && !is_freed(block))
        explicit_bzero(block, malloc_usable_size(block));
    __libc_free(block);
}

void free(void *ptr)
{
    block_free(ptr);
}

/* Stays where it is only if it becomes a little smaller. */
void *realloc(void *ptr, size_t size)
{
    const size_t room = malloc_usable_size(ptr);
    void *copy;

    if (ptr == NULL)
        return __libc_malloc(size);
    if (size == 0) { /* as glibc does */
        block_free(ptr);
        return NULL;
    }
    if (size <= room && size > room / 2) {
        explicit_bzero((char *)ptr + size, room - size);
        return ptr;
    }
    copy = __libc_malloc(size);
    if (copy != NULL) {
        memcpy(copy, ptr, size < room ? size : room);
        block_free(ptr);
    }
    return copy;
}

/* -- As they are in glibc ---------------------------------------------------------------------- */

void *malloc(size_t size)
{
    return __libc_malloc(size);
}

void *calloc(size_t nmemb, size_t size)
{
    return __libc_calloc(nmemb, size);
}

void *memalign(size_t alignment, size_t size)
{
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return __libc_memalign(alignment, size);
}

void *valloc(size_t size)
{
    return __libc_valloc(size);
}

void *pvalloc(size_t size)
{
    return __libc_pvalloc(size);
}

int posix_memalign(void **memptr, size_t alignment, size_t size)
{
    void *block;

    if (alignment % sizeof(void *) != 0 || __builtin_popcountl(alignment) != 1)
        return EINVAL;
    block = __libc_memalign(alignment, size);
    if (block == NULL)
        return ENOMEM;
    *memptr = block;
    return 0;
}
