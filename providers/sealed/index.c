/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.c - the index of a sealed store in memory: finding, changing. index_json.c reads and writes
 * it. There is no secret in it.
 */
#include "sealed/index.h"

#include "sealed/index_int.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool hush_sealed_new_id(char id[SEALED_ID_SIZE + 1])
{
    unsigned char bytes[SEALED_ID_SIZE / 2];

    if (RAND_bytes(bytes, sizeof(bytes)) != 1)
        return false;
    for (size_t i = 0; i < sizeof(bytes); i++)
        (void)snprintf(id + 2 * i, 3, "%02x", bytes[i]); /* always fits */
    return true;
}

struct sealed_index *hush_sealed_index_new(uint32_t keep)
{
    struct sealed_index *index = calloc(1, sizeof(*index));

    if (index == NULL)
        return NULL;
    atomic_init(&index->refs, 1);
    index->keep = keep;
    if (hush_sealed_new_id(index->store))
        return index;
    free(index);
    return NULL;
}

struct sealed_index *hush_sealed_index_ref(struct sealed_index *index)
{
    atomic_fetch_add_explicit(&index->refs, 1, memory_order_relaxed);
    return index;
}

struct sealed_index *hush_sealed_index_unref(struct sealed_index *index)
{
    if (index == NULL || atomic_fetch_sub_explicit(&index->refs, 1, memory_order_acq_rel) != 1)
        return NULL;
    for (size_t i = 0; i < index->count; i++) {
        free(index->secrets[i].name);
        free(index->secrets[i].versions);
    }
    free(index->secrets);
    free(index);
    return NULL;
}

/* Where name is, or would be. */
static size_t index_place(const struct sealed_index *index, const char *name, bool *found)
{
    size_t low = 0, high = index->count;

    *found = false;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = strcmp(index->secrets[middle].name, name);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct sealed_secret *hush_sealed_index_find(const struct sealed_index *index, const char *name)
{
    bool found;
    const size_t place = index_place(index, name, &found);

    return found ? &index->secrets[place] : NULL;
}

bool hush_sealed_is_live(const struct sealed_secret *secret)
{
    return secret->count > 0 && !secret->versions[0].removed;
}

const struct sealed_version *hush_sealed_find_version(const struct sealed_secret *secret,
                                                      uint64_t number)
{
    for (size_t i = 0; i < secret->count; i++)
        if (secret->versions[i].number == number)
            return &secret->versions[i];
    return NULL;
}

/* Room is the next power of two, so it need not be remembered. */
static bool index_grow(struct sealed_index *index)
{
    const size_t count = index->count;
    struct sealed_secret *secrets;

    if (count != 0 && (count & (count - 1)) != 0)
        return true;
    secrets = realloc(index->secrets, (count == 0 ? 1 : count * 2) * sizeof(*secrets));
    if (secrets == NULL)
        return false;
    index->secrets = secrets;
    return true;
}

struct sealed_secret *hush_sealed_index_insert(struct sealed_index *index, const char *name)
{
    bool found;
    const size_t place = index_place(index, name, &found);
    struct sealed_secret *secret;
    char *copy;

    if (found)
        return &index->secrets[place];
    copy = strdup(name);
    if (copy == NULL || !index_grow(index)) {
        free(copy);
        return NULL;
    }
    secret = &index->secrets[place];
    memmove(secret + 1, secret, (index->count - place) * sizeof(*secret));
    index->count++;
    *secret = (struct sealed_secret){.name = copy};
    return secret;
}

bool hush_sealed_index_add(struct sealed_index *index, const char *name,
                           const struct sealed_version *version, uint32_t keep,
                           const struct sealed_version **out)
{
    struct sealed_secret *secret = hush_sealed_index_insert(index, name);
    struct sealed_version *versions, added = *version;
    size_t kept;

    if (secret == NULL || !hush_sealed_new_id(added.id))
        return false;
    kept = secret->count < keep ? secret->count : keep - 1;
    versions = calloc(kept + 1, sizeof(*versions));
    if (versions == NULL)
        return false;
    added.number = secret->current + 1;
    versions[0] = added;
    if (secret->versions != NULL)
        memcpy(versions + 1, secret->versions, kept * sizeof(*versions));
    free(secret->versions);
    secret->versions = versions;
    secret->count = kept + 1;
    secret->current = added.number;
    *out = versions;
    return true;
}

bool hush_sealed_index_drop(struct sealed_secret *secret, uint64_t number)
{
    for (size_t i = 1; i < secret->count; i++) {
        struct sealed_version *version = &secret->versions[i];
        if (version->number != number)
            continue;
        memmove(version, version + 1, (secret->count - i - 1) * sizeof(*version));
        secret->count--;
        return true;
    }
    return false;
}

void hush_sealed_index_purge(struct sealed_secret *secret)
{
    free(secret->versions);
    secret->versions = NULL;
    secret->count = 0;
}
