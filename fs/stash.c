/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stash.c - see stash.h. Made by serve.c, called by providers.
 *
 * A record is one block, the secret's bytes in it. put publishes the new one before it releases the
 * old: a worker that is killed between leaves both, and the next one keeps the later.
 */
#include "stash.h"

#include "core/cleanup.h"

#include <stdlib.h>
#include <string.h>

/* In the arena; then instance, type, name and secret, without NUL. */
struct stash_record {
    uint64_t sequence; /* of two with one name the larger is the later */
    uint32_t instance_size;
    uint32_t type_size;
    uint32_t name_size;
    uint32_t secret_size;
};

struct stash_entry {
    hush_block block;
    const struct stash_record *record;
};

struct stash {
    struct hush_stash base;
    struct hush_arena *arena;
    const struct hush_config *config;
    pthread_mutex_t lock;
    struct stash_entry *entries;
    size_t count;
    uint64_t sequence; /* of the last record */
};

/* Borrowed names of a record. */
struct stash_key {
    const char *instance, *type, *name;
};

/* -- Records ----------------------------------------------------------------------------------- */

static bool record_sound(const struct stash_record *r, size_t size)
{
    return size >= sizeof(*r) && size - sizeof(*r) == (uint64_t)r->instance_size + r->type_size +
                                                          r->name_size + r->secret_size;
}

static const char *record_instance(const struct stash_record *r)
{
    return (const char *)(r + 1);
}

static const char *record_type(const struct stash_record *r)
{
    return record_instance(r) + r->instance_size;
}

static const char *record_name(const struct stash_record *r)
{
    return record_type(r) + r->type_size;
}

static const char *record_secret(const struct stash_record *r)
{
    return record_name(r) + r->name_size;
}

static bool is_text(const char *bytes, size_t size, const char *text)
{
    return strlen(text) == size && memcmp(bytes, text, size) == 0;
}

static bool record_is(const struct stash_record *r, const struct stash_key *key)
{
    return is_text(record_instance(r), r->instance_size, key->instance) &&
           is_text(record_type(r), r->type_size, key->type) &&
           is_text(record_name(r), r->name_size, key->name);
}

static void record_fill(struct stash_record *r, const struct stash_key *key,
                        const struct hush_secret *secret)
{
    char *at = (char *)(r + 1);

    r->instance_size = (uint32_t)strlen(key->instance);
    r->type_size = (uint32_t)strlen(key->type);
    r->name_size = (uint32_t)strlen(key->name);
    r->secret_size = (uint32_t)hush_secret_size(secret);
    memcpy(at, key->instance, r->instance_size);
    memcpy(at + r->instance_size, key->type, r->type_size);
    at += r->instance_size + r->type_size;
    memcpy(at, key->name, r->name_size);
    memcpy(at + r->name_size, hush_secret_bytes(secret), r->secret_size);
}

/* -- Entries: with the lock held --------------------------------------------------------------- */

static struct stash_entry *entry_find(struct stash *stash, const struct stash_key *key)
{
    for (size_t i = 0; i < stash->count; i++)
        if (record_is(stash->entries[i].record, key))
            return &stash->entries[i];
    return NULL;
}

/* found takes the place of entry, or is a new one if that is NULL. False: no memory. */
static bool entry_set(struct stash *stash, struct stash_entry *entry, struct stash_entry found)
{
    struct stash_entry *more;

    if (entry != NULL) {
        hush_block before = entry->block;

        *entry = found;
        hush_arena_release(stash->arena, before);
        return true;
    }
    more = realloc(stash->entries, (stash->count + 1) * sizeof(*more));
    if (more == NULL)
        return false;
    stash->entries = more;
    stash->entries[stash->count++] = found;
    return true;
}

static void entry_drop(struct stash *stash, struct stash_entry *entry)
{
    hush_arena_release(stash->arena, entry->block);
    *entry = stash->entries[--stash->count];
}

/* A key for name in an instance. False: it is not configured. */
static bool key_of(const struct stash *stash, const char *instance, const char *name,
                   struct stash_key *key)
{
    const struct hush_instance_config *config = hush_config_instance(stash->config, instance);

    if (config == NULL)
        return false;
    *key = (struct stash_key){instance, config->ops->name, name};
    return true;
}

/* -- The provider's side ----------------------------------------------------------------------- */

static enum hush_status no_memory(struct hush_op *op)
{
    return hush_fail(op, HUSH_NO_MEMORY, "no room to keep it for the next worker");
}

static enum hush_status store(struct stash *stash, struct hush_op *op, const struct stash_key *key,
                              const struct hush_secret *secret)
{
    size_t size = sizeof(struct stash_record) + strlen(key->instance) + strlen(key->type) +
                  strlen(key->name) + hush_secret_size(secret);
    hush_block block = hush_arena_alloc(stash->arena, HUSH_BLOCK_STASH, size);
    struct stash_record *record;

    if (block == 0)
        return no_memory(op);
    record = hush_arena_bytes(stash->arena, block);
    record->sequence = ++stash->sequence;
    record_fill(record, key, secret);
    hush_arena_publish(stash->arena, block);
    if (entry_set(stash, entry_find(stash, key), (struct stash_entry){block, record}))
        return HUSH_OK;
    hush_arena_release(stash->arena, block);
    return no_memory(op);
}

static enum hush_status stash_put(struct hush_stash *self, struct hush_op *op, const char *instance,
                                  const char *name, struct hush_secret *secret)
{
    struct stash *stash = (struct stash *)self;
    struct stash_entry *entry;
    struct stash_key key;

    if (strlen(name) > HUSH_STASH_NAME_MAX || !key_of(stash, instance, name, &key))
        return hush_fail(op, HUSH_CONFIG, "nothing can be kept as '%s' of '%s'", name, instance);
    hush_lock_scope(&stash->lock);
    if (secret != NULL)
        return store(stash, op, &key, secret);
    entry = entry_find(stash, &key);
    if (entry != NULL)
        entry_drop(stash, entry);
    return HUSH_OK;
}

static struct hush_secret *stash_get(struct hush_stash *self, const char *instance,
                                     const char *name)
{
    struct stash *stash = (struct stash *)self;
    const struct stash_entry *entry;
    struct hush_secret *secret = NULL;
    struct stash_key key;
    struct hush_op op;

    if (!key_of(stash, instance, name, &key))
        return NULL;
    hush_op_init(&op, stash->arena, 0);
    hush_lock_scope(&stash->lock);
    entry = entry_find(stash, &key);
    if (entry == NULL || hush_secret_new(&op, record_secret(entry->record),
                                         entry->record->secret_size, &secret) != HUSH_OK)
        return NULL;
    return secret;
}

/* -- Life -------------------------------------------------------------------------------------- */

static bool is_configured(const struct stash *stash, const struct stash_record *r)
{
    for (size_t i = 0; i < stash->config->instance_count; i++) {
        const struct hush_instance_config *config = &stash->config->instances[i];

        if (is_text(record_instance(r), r->instance_size, config->name) &&
            is_text(record_type(r), r->type_size, config->ops->name))
            return true;
    }
    return false;
}

static bool record_same(const struct stash_record *a, const struct stash_record *b)
{
    size_t size = (size_t)a->instance_size + a->type_size + a->name_size;

    return a->instance_size == b->instance_size && a->type_size == b->type_size &&
           a->name_size == b->name_size &&
           memcmp(record_instance(a), record_instance(b), size) == 0;
}

/* The earlier record of the same name, from a death between two stores of put. */
static struct stash_entry *entry_twin(struct stash *stash, const struct stash_record *r)
{
    for (size_t i = 0; i < stash->count; i++)
        if (record_same(stash->entries[i].record, r))
            return &stash->entries[i];
    return NULL;
}

static void adopt(void *ctx, hush_block block, enum hush_block_type type)
{
    struct stash *stash = ctx;
    const struct stash_record *r = hush_arena_bytes(stash->arena, block);
    struct stash_entry *twin;

    if (type != HUSH_BLOCK_STASH)
        return;
    if (!record_sound(r, hush_arena_size(stash->arena, block)) || !is_configured(stash, r)) {
        hush_arena_release(stash->arena, block);
        return;
    }
    if (r->sequence > stash->sequence)
        stash->sequence = r->sequence;
    twin = entry_twin(stash, r);
    if ((twin != NULL && twin->record->sequence > r->sequence) ||
        !entry_set(stash, twin, (struct stash_entry){block, r}))
        hush_arena_release(stash->arena, block);
}

struct hush_stash *hush_stash_new(struct hush_arena *arena, const struct hush_config *config)
{
    struct stash *stash = calloc(1, sizeof(*stash));

    if (stash == NULL)
        return NULL;
    stash->base.put = stash_put;
    stash->base.get = stash_get;
    stash->arena = arena;
    stash->config = config;
    pthread_mutex_init(&stash->lock, NULL);
    hush_arena_walk(arena, adopt, stash);
    return &stash->base;
}

void hush_stash_wipe(struct hush_stash *self)
{
    struct stash *stash = (struct stash *)self;

    hush_lock_scope(&stash->lock);
    while (stash->count > 0)
        entry_drop(stash, &stash->entries[0]);
}

void hush_stash_free(struct hush_stash *self)
{
    struct stash *stash = (struct stash *)self;

    if (stash == NULL)
        return;
    pthread_mutex_destroy(&stash->lock);
    free(stash->entries);
    free(stash);
}
