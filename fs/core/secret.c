/* SPDX-License-Identifier: Apache-2.0 */
/*
 * secret.c - counted handles, on the ordinary heap, to VALUE blocks of an arena. Providers make
 * secrets, the core shares them.
 */
#include "secret.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct hush_secret {
    atomic_uint refs;
    hush_block block;
    struct hush_arena *arena;
    uint8_t *bytes; /* of the block */
    size_t size;
};

static struct hush_secret *secret_wrap(struct hush_arena *arena, hush_block block)
{
    struct hush_secret *s = malloc(sizeof(*s));

    if (s == NULL)
        return NULL;
    atomic_init(&s->refs, 1);
    s->arena = arena;
    s->block = block;
    s->bytes = hush_arena_bytes(arena, block);
    s->size = hush_arena_size(arena, block);
    return s;
}

struct hush_secret *hush_secret_ref(struct hush_secret *s)
{
    if (s != NULL)
        atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

struct hush_secret *hush_secret_unref(struct hush_secret *s)
{
    if (s == NULL || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return NULL;
    hush_arena_release(s->arena, s->block);
    free(s);
    return NULL;
}

const uint8_t *hush_secret_bytes(const struct hush_secret *s)
{
    return s->bytes;
}

size_t hush_secret_size(const struct hush_secret *s)
{
    return s->size;
}

enum hush_status hush_secret_alloc(struct hush_op *op, size_t size, struct hush_secret **out,
                                   uint8_t **bytes)
{
    struct hush_secret *s;
    hush_block block;

    if (size > op->secret_max)
        return hush_fail(op, HUSH_TOO_LARGE, "the value has %zu bytes, the limit is %llu", size,
                         (unsigned long long)op->secret_max);
    block = hush_arena_alloc(op->arena, HUSH_BLOCK_VALUE, size);
    if (block == 0) {
        op->no_room = size;
        return hush_fail(op, HUSH_NO_MEMORY, "no room for %zu bytes in the locked memory", size);
    }
    s = secret_wrap(op->arena, block);
    if (s == NULL) {
        hush_arena_release(op->arena, block);
        return hush_fail(op, HUSH_NO_MEMORY, "out of memory");
    }
    *out = s;
    *bytes = s->bytes;
    return HUSH_OK;
}

enum hush_status hush_secret_new(struct hush_op *op, const void *bytes, size_t size,
                                 struct hush_secret **out)
{
    uint8_t *to = NULL;
    enum hush_status status = hush_secret_alloc(op, size, out, &to);

    if (to != NULL && size != 0)
        memcpy(to, bytes, size);
    return status;
}

void hush_secret_shrink(struct hush_secret *s, size_t size)
{
    assert(atomic_load(&s->refs) == 1);
    if (size >= s->size)
        return;
    hush_arena_shrink(s->arena, s->block, size);
    s->size = size;
}

bool hush_secret_equal(const struct hush_secret *a, const struct hush_secret *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    return a->size == b->size && CRYPTO_memcmp(a->bytes, b->bytes, a->size) == 0;
}

hush_block hush_secret_publish(struct hush_secret *s)
{
    hush_arena_publish(s->arena, s->block);
    return s->block;
}

struct hush_secret *hush_secret_adopt(struct hush_arena *arena, hush_block block)
{
    if (hush_arena_published(arena, block) != HUSH_BLOCK_VALUE)
        return NULL;
    return secret_wrap(arena, block);
}
