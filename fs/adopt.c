/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adopt.c - at a takeover: the items, snapshots and nodes of every record that the dead worker left
 * in the arena, made again. See snapshot.h; called by serve.c.
 */
#include "snapshot.h"

#include "core/cleanup.h"
#include "core/clock.h"
#include "item.h"
#include "tree.h"

#include <stdlib.h>
#include <string.h>

/* The parts of a record, if they lie within its size bytes. */
struct parts {
    const struct hush_snapshot_record *r;
    const struct hush_snapshot_field *fields;
    const char *path, *version, *lease, *names;
};

static bool record_parts(const void *bytes, size_t size, struct parts *p)
{
    size_t need = sizeof(*p->r);

    p->r = bytes;
    if (size < need || p->r->field_count > HUSH_FIELDS_MAX || p->r->path_size > 2 * PATH_MAX ||
        p->r->version_size > HUSH_VERSION_MAX || p->r->lease_size > HUSH_LEASE_MAX)
        return false;
    p->fields = (const struct hush_snapshot_field *)(p->r + 1);
    need += p->r->field_count * sizeof(*p->fields) + p->r->path_size + p->r->version_size +
            p->r->lease_size;
    if (size < need)
        return false;
    p->path = (const char *)(p->fields + p->r->field_count);
    p->version = p->path + p->r->path_size;
    p->lease = p->version + p->r->version_size;
    p->names = p->lease + p->r->lease_size;
    for (size_t i = 0; i < p->r->field_count; i++)
        need += p->fields[i].name_size;
    return size >= need;
}

static bool adopt_fields(struct hush_fs *fs, struct hush_snapshot *s, const struct parts *p)
{
    const char *name = p->names;

    if (p->r->field_count == 0)
        return true;
    s->value.fields = calloc(p->r->field_count, sizeof(*s->value.fields));
    if (s->value.fields == NULL)
        return false;
    for (size_t i = 0; i < p->r->field_count; i++) {
        struct hush_field *f = &s->value.fields[i];

        f->name = strndup(name, p->fields[i].name_size);
        f->value = hush_secret_adopt(fs->arena, p->fields[i].value);
        s->value.field_count = i + 1;
        if (f->name == NULL || f->value == NULL)
            return false;
        name += p->fields[i].name_size;
    }
    return true;
}

/* Where the snapshot belongs in its item: of several current ones (a death between two stores) the
 * latest is current. One that is shown in another way than a new configuration wants serves whoever
 * has it open. */
static void adopt_place(struct hush_fs *fs, struct hush_snapshot *s)
{
    struct hush_item *item = s->item;
    bool fits = s->directory == (item->settings.as == HUSH_AS_DIRECTORY);

    if (s->record->sequence > fs->sequence)
        fs->sequence = s->record->sequence;
    if (s->record->mtime_s > item->mtime_s)
        item->mtime_s = (time_t)s->record->mtime_s;
    item->kinds |= HUSH_IS_SECRET;
    if (fits && s->record->state == HUSH_SNAPSHOT_STAGED && item->staged == NULL) {
        item->staged = s;
        return;
    }
    if (fits && s->record->state == HUSH_SNAPSHOT_CURRENT &&
        (item->current == NULL || item->current->record->sequence < s->record->sequence)) {
        struct hush_snapshot *before = item->current;

        item->current = s;
        if (before == NULL)
            return;
        s = before;
    }
    s->record->state = HUSH_SNAPSHOT_OLD;
    DL_APPEND(item->old, s);
}

static struct hush_snapshot *adopt(struct hush_fs *fs, hush_block block)
{
    struct hush_snapshot *s = calloc(1, sizeof(*s));
    struct parts p;
    cleanup_free char *path = NULL;

    if (s == NULL)
        return NULL;
    s->block = block;
    s->record = hush_arena_bytes(fs->arena, block);
    if (!record_parts(s->record, hush_arena_size(fs->arena, block), &p))
        goto fail;
    path = strndup(p.path, p.r->path_size);
    s->item = path != NULL ? hush_item_get(fs, path, p.r->versioned != 0) : NULL;
    s->value.secret = hush_secret_adopt(fs->arena, p.r->secret);
    if (s->item == NULL || s->value.secret == NULL || !adopt_fields(fs, s, &p))
        goto fail;
    memcpy(s->value.meta.version.text, p.version, p.r->version_size);
    memcpy(s->value.meta.lease, p.lease, p.r->lease_size);
    s->directory = p.r->directory != 0;
    if (!hush_snapshot_nodes(fs, s))
        goto fail;
    for (size_t i = 0; i < s->node_count; i++)
        s->nodes[i].named = p.r->nlookup > 0; /* nobody knows which */
    return s;
fail:
    hush_snapshot_free(fs, s);
    return NULL;
}

/* The blocks of all values that belong to a snapshot, sorted. */
struct owned {
    struct hush_fs *fs;
    hush_block *blocks;
    size_t count, room;
};

static int compare_blocks(const void *a, const void *b)
{
    hush_block x = *(const hush_block *)a, y = *(const hush_block *)b;

    return (x > y) - (x < y);
}

static void own_value(struct owned *o, struct hush_secret *value)
{
    if (o->count < o->room)
        o->blocks[o->count++] = hush_secret_publish(value);
}

static void own(struct owned *o, const struct hush_snapshot *s)
{
    if (s == NULL)
        return;
    own_value(o, s->value.secret);
    for (size_t i = 0; i < s->value.field_count; i++)
        own_value(o, s->value.fields[i].value);
}

/* A value whose record is gone, or never came. */
static void sweep(void *ctx, hush_block block, enum hush_block_type type)
{
    const struct owned *o = ctx;

    if (type == HUSH_BLOCK_VALUE &&
        bsearch(&block, o->blocks, o->count, sizeof(block), compare_blocks) == NULL)
        hush_arena_release(o->fs->arena, block);
}

static void sweep_values(struct hush_fs *fs)
{
    struct owned o = {.fs = fs, .room = hush_arena_usage(fs->arena).blocks};

    o.blocks = calloc(o.room + 1, sizeof(*o.blocks));
    if (o.blocks == NULL)
        return;
    for (struct hush_item *item = fs->items; item != NULL; item = item->hh.next) {
        const struct hush_snapshot *old;

        own(&o, item->current);
        own(&o, item->staged);
        DL_FOREACH(item->old, old)
        own(&o, old);
    }
    qsort(o.blocks, o.count, sizeof(*o.blocks), compare_blocks);
    hush_arena_walk(fs->arena, sweep, &o);
    free(o.blocks);
}

/* What nobody can ask for any more, or was only waiting for its last reader when the worker died.
 * An item whose instance is configured no more serves its open files alone. */
static void reap_all(struct hush_fs *fs)
{
    struct hush_item *item, *next_item;

    HASH_ITER(hh, fs->items, item, next_item)
    {
        struct hush_snapshot *s, *next;

        if (item->instance == NULL)
            hush_item_drop(fs, item);
        DL_FOREACH_SAFE(item->old, s, next)
        hush_item_reap(fs, s);
        hush_item_put(fs, item, hush_now_ns());
    }
}

void hush_snapshot_adopt_all(struct hush_fs *fs)
{
    size_t count;
    hush_block *blocks = hush_tree_blocks(fs, HUSH_BLOCK_SNAPSHOT, &count);

    for (size_t i = 0; i < count; i++) {
        struct hush_snapshot *s = adopt(fs, blocks[i]);

        if (s != NULL)
            adopt_place(fs, s);
    }
    free(blocks);
    sweep_values(fs);
    reap_all(fs);
}
