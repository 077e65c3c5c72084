/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wipealloc.c - the wiping allocator. In a file of its own, and with the size in a header of its
 * own, so that no compiler and no fortified libc reasons about the size of a block.
 */
#include "wipealloc.h"

#include "lockmem.h"

#include <openssl/crypto.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define WIPE_MARK UINT64_C(0x6875736877697065)

struct wipe_header {
    _Alignas(max_align_t) size_t size;
    uint64_t mark; /* WIPE_MARK, the size and the address: a stranger's block has not that */
};

static uint64_t wipe_mark(const struct wipe_header *header)
{
    return WIPE_MARK ^ header->size ^ (uintptr_t)header;
}

static struct wipe_header *wipe_header(void *block)
{
    struct wipe_header *header = (struct wipe_header *)block - 1;

    if (header->mark != wipe_mark(header))
        abort(); /* not ours, or freed twice: going on would corrupt the heap */
    return header;
}

void *hush_wipe_malloc(size_t size)
{
    struct wipe_header *header;

    if (size > SIZE_MAX - sizeof(*header))
        return NULL;
    header = malloc(sizeof(*header) + size);
    if (header == NULL)
        return NULL;
    header->size = size;
    header->mark = wipe_mark(header);
    return header + 1;
}

void *hush_wipe_calloc(size_t count, size_t size)
{
    size_t total;
    void *block;

    if (__builtin_mul_overflow(count, size, &total))
        return NULL;
    block = hush_wipe_malloc(total);
    if (block != NULL)
        memset(block, 0, total);
    return block;
}

void *hush_wipe_realloc(void *block, size_t size)
{
    size_t old_size;
    void *copy;

    if (block == NULL)
        return hush_wipe_malloc(size);
    if (size == 0) {
        hush_wipe_free(block);
        return NULL;
    }
    old_size = hush_wipe_size(block);
    copy = hush_wipe_malloc(size);
    if (copy != NULL) {
        memcpy(copy, block, old_size < size ? old_size : size);
        hush_wipe_free(block);
    }
    return copy;
}

char *hush_wipe_strdup(const char *text)
{
    const size_t size = strlen(text) + 1;
    char *copy = hush_wipe_malloc(size);

    if (copy != NULL)
        memcpy(copy, text, size);
    return copy;
}

void hush_wipe_free(void *block)
{
    struct wipe_header *header;

    if (block == NULL)
        return;
    header = wipe_header(block);
    hush_wipe(header, sizeof(*header) + header->size);
    free(header);
}

size_t hush_wipe_size(const void *block)
{
    return block == NULL ? 0 : ((const struct wipe_header *)block - 1)->size;
}

static void *wipe_openssl_malloc(size_t size, const char *file, int line)
{
    (void)file; /* OpenSSL's, for debugging */
    (void)line;
    return hush_wipe_malloc(size);
}

static void *wipe_openssl_realloc(void *block, size_t size, const char *file, int line)
{
    (void)file; /* OpenSSL's, for debugging */
    (void)line;
    return hush_wipe_realloc(block, size);
}

static void wipe_openssl_free(void *block, const char *file, int line)
{
    (void)file; /* OpenSSL's, for debugging */
    (void)line;
    hush_wipe_free(block);
}

bool hush_wipe_openssl_init(void)
{
    CRYPTO_malloc_fn now_malloc;
    CRYPTO_realloc_fn now_realloc;
    CRYPTO_free_fn now_free;

    CRYPTO_get_mem_functions(&now_malloc, &now_realloc, &now_free);
    if (now_malloc == wipe_openssl_malloc && now_free == wipe_openssl_free)
        return true;
    return CRYPTO_set_mem_functions(wipe_openssl_malloc, wipe_openssl_realloc, wipe_openssl_free) ==
           1;
}
