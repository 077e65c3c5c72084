/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wipefree.c - free() and realloc() that wipe, for every library of a program that holds secrets:
 * also for those that have no hook for an allocator, and for the C library itself, in whose stdio
 * buffers OpenSSL reads the private key of a client. Linked into hushfs-worker and hushfs, not into
 * libraries of ours; sanitizers and valgrind bring a free of their own instead. wipealloc.h is for
 * libraries that do have a hook: it also tells a stranger's block and works in any program.
 *
 * The allocator stays glibc's: only these two are defined, and they end in glibc's own. What they
 * rely on, in malloc/malloc.c of glibc 2.36:
 *   - free and realloc are aliases of __libc_free and __libc_realloc, which are exported
 *     (malloc/Versions), as is __libc_malloc. All libraries, the C library and what is loaded later
 *     by dlopen() included, call by name, and a program's own definition comes first.
 *   - __libc_realloc() gives back the block that it moves from, or the end that it cuts off, by
 *     _int_free(), past free(): so ours never calls it.
 *   - malloc_usable_size() is the whole of the block that its owner could write to, and 0 for a
 *     block that is in no thread's cache and free.
 *   - tcache_put() writes tcache_key, a random number, into the second word of a block, and
 *     _int_free() takes a block that has it for one that is freed twice, and aborts. Wiped, it
 *     would go unseen, so such a block is left as it is.
 *
 * M_PERTURB and glibc.malloc.perturb are no way to the same: _int_free() puts a block into the
 * thread's cache before free_perturb().
 */
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { FREED_MARK = 1 }; /* the word in which tcache_key stands */

extern void *__libc_malloc(size_t size);
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

static bool is_freed(const void *block, size_t size)
{
    uintptr_t mark;

    if (size < (FREED_MARK + 1) * sizeof(mark))
        return false;
    memcpy(&mark, (const char *)block + FREED_MARK * sizeof(mark), sizeof(mark));
    return mark != 0 && mark == freed_mark;
}

void free(void *block)
{
    const size_t size = malloc_usable_size(block); /* 0 for NULL */

    if (size != 0 && !is_freed(block, size))
        explicit_bzero(block, size);
    __libc_free(block);
}

/* Stays where it is only if it becomes a little smaller. */
void *realloc(void *block, size_t size)
{
    const size_t room = malloc_usable_size(block);
    void *copy;

    if (block != NULL && size == 0) { /* as glibc does */
        free(block);
        return NULL;
    }
    if (size <= room && size > room / 2) {
        explicit_bzero((char *)block + size, room - size);
        return block;
    }
    copy = __libc_malloc(size);
    if (copy != NULL && block != NULL) {
        memcpy(copy, block, size < room ? size : room);
        free(block);
    }
    return copy;
}
