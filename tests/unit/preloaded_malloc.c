/* SPDX-License-Identifier: Apache-2.0 */
/*
 * preloaded_malloc.c - what somebody may have in LD_PRELOAD: another allocator. This one aborts, so
 * that whoever calls it is seen.
 */
#include <malloc.h>
#include <stdlib.h>

void *malloc(size_t size)
{
    (void)size; /* no block, whatever is wanted; so below */
    abort();
}

void *calloc(size_t nmemb, size_t size)
{
    (void)nmemb;
    (void)size;
    abort();
}

void *realloc(void *ptr, size_t size)
{
    (void)ptr;
    (void)size;
    abort();
}

void free(void *ptr)
{
    (void)ptr;
    abort();
}

void *aligned_alloc(size_t alignment, size_t size)
{
    (void)alignment;
    (void)size;
    abort();
}

int posix_memalign(void **memptr, size_t alignment, size_t size)
{
    (void)memptr;
    (void)alignment;
    (void)size;
    abort();
}

size_t malloc_usable_size(void *ptr)
{
    (void)ptr;
    abort();
}
