/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot.c - see snapshot.h. Called by item.c, work.c and, at a takeover, worker.c. */
#include "snapshot.h"

#include "core/cleanup.h"
#include "core/clock.h"
#include "item.h"
#include "tree.h"

#include <stdlib.h>
#include <string.h>

/* -- Nodes ------------------------------------------------------------------------------------- */

static void node_init(struct hush_snapshot *s, struct hush_node *n, enum hush_node_kind kind,
                      int field)
{
    n->kind = kind;
    n->field = field;
    n->directory = kind == HUSH_NODE_VERSION;
    n->snapshot = s;
    n->instance = s->item->instance;
}

/* Field files have names; a name that cannot be shown is left out (name.h). */
static bool nodes_of_directory(struct hush_snapshot *s)
{
    s->nodes = calloc(s->value.field_count + 2, sizeof(*s->nodes));
    if (s->nodes == NULL)
        return false;
    node_init(s, &s->nodes[0], HUSH_NODE_VERSION, HUSH_FIELD_WHOLE);
    node_init(s, &s->nodes[1], HUSH_NODE_FILE, HUSH_FIELD_WHOLE);
    s->nodes[1].name = strdup(s->value.fields != NULL ? ".json" : ".value");
    s->node_count = 2;
    for (size_t i = 0; s->value.fields != NULL && i < s->value.field_count; i++) {
        char shown[HUSH_NAME_MAX + 1];
        struct hush_node *n = &s->nodes[s->node_count];
        const char *raw = s->value.fields[i].name;

        if (hush_name_show(raw, strlen(raw), shown) == 0)
            continue;
        node_init(s, n, HUSH_NODE_FILE, (int)i);
        n->name = strdup(shown);
        if (n->name == NULL)
            return false;
        s->node_count++;
    }
    return s->nodes[1].name != NULL;
}

static bool nodes_of_file(struct hush_snapshot *s)
{
    s->nodes = calloc(1, sizeof(*s->nodes));
    if (s->nodes == NULL)
        return false;
    node_init(s, &s->nodes[0], HUSH_NODE_FILE, HUSH_FIELD_WHOLE);
    s->node_count = 1;
    return true;
}

static bool nodes_make(struct hush_snapshot *s)
{
    return s->directory ? nodes_of_directory(s) : nodes_of_file(s);
}

/* False: one of the ids is taken by something else. */
static bool nodes_number(struct hush_fs *fs, struct hush_snapshot *s, uint32_t salt)
{
    for (size_t i = 0; i < s->node_count; i++) {
        struct hush_node *n = &s->nodes[i];
        struct hush_ino_key key = {.kind = n->kind,
                                   .path = s->item->path,
                                   .name = n->name,
                                   .version = s->value.meta.version.text,
                                   .salt = salt};

        n->ino = hush_tree_ino(fs, &key);
        if (hush_tree_find(fs, n->ino) != NULL)
            return false;
    }
    return true;
}

static void nodes_add(struct hush_fs *fs, struct hush_snapshot *s)
{
    for (size_t i = 0; i < s->node_count; i++)
        hush_tree_add(fs, &s->nodes[i]);
}

/* -- Records ----------------------------------------------------------------------------------- */

static size_t record_size(const struct hush_snapshot *s)
{
    size_t size = sizeof(struct hush_snapshot_record) + strlen(s->item->path) +
                  strlen(s->value.meta.version.text);

    for (size_t i = 0; i < s->value.field_count; i++)
        size += sizeof(struct hush_snapshot_field) + strlen(s->value.fields[i].name);
    return size;
}

static char *put(char *at, const char *text, size_t size)
{
    memcpy(at, text, size);
    return at + size;
}

static void record_fill(struct hush_snapshot *s)
{
    struct hush_snapshot_record *r = s->record;
    struct hush_snapshot_field *fields = (struct hush_snapshot_field *)(r + 1);
    char *at = (char *)(fields + s->value.field_count);

    r->secret = hush_secret_publish(s->value.secret);
    r->field_count = (uint32_t)s->value.field_count;
    r->path_size = (uint32_t)strlen(s->item->path);
    r->version_size = (uint32_t)strlen(s->value.meta.version.text);
    r->versioned = s->item->versioned;
    r->directory = s->directory;
    at = put(at, s->item->path, r->path_size);
    at = put(at, s->value.meta.version.text, r->version_size);
    for (size_t i = 0; i < s->value.field_count; i++) {
        fields[i].value = hush_secret_publish(s->value.fields[i].value);
        fields[i].name_size = (uint32_t)strlen(s->value.fields[i].name);
        at = put(at, s->value.fields[i].name, fields[i].name_size);
    }
}

/* A date of the backend's clock as a moment of ours. */
static uint64_t limit_of(const struct hush_meta *meta, uint64_t now_ns)
{
    time_t left = meta->not_after - hush_wall_s();

    if (meta->not_after == 0)
        return 0;
    return now_ns + (left > 0 ? (uint64_t)left * HUSH_NS_PER_S : 1);
}

/* At least one whole second later than the version before: nginx from 1.27.4 on compares whole
 * seconds and the inode when it reloads. */
static time_t mtime_of(const struct hush_item *item, const struct hush_meta *meta)
{
    time_t mtime = meta->modified != 0 ? meta->modified : hush_wall_s();

    return mtime > item->mtime_s ? mtime : item->mtime_s + 1;
}

static bool record_make(struct hush_fs *fs, struct hush_snapshot *s, uint32_t salt, uint64_t now_ns)
{
    s->block = hush_arena_alloc(fs->arena, HUSH_BLOCK_SNAPSHOT, record_size(s));
    if (s->block == 0)
        return false;
    s->record = hush_arena_bytes(fs->arena, s->block);
    record_fill(s);
    s->record->sequence = ++fs->sequence;
    s->record->fetched_ns = now_ns;
    s->record->limit_ns = limit_of(&s->value.meta, now_ns);
    s->record->mtime_s = mtime_of(s->item, &s->value.meta);
    s->record->modified_s = s->value.meta.modified;
    s->record->state = HUSH_SNAPSHOT_STAGED;
    s->record->ttl_ms = s->value.meta.ttl_ms;
    s->record->salt = salt;
    s->record->config = atomic_load(&fs->state->config_generation);
    s->record->latest = s->value.meta.version;
    hush_arena_publish(fs->arena, s->block);
    s->item->mtime_s = (time_t)s->record->mtime_s;
    return true;
}

/* -- Life -------------------------------------------------------------------------------------- */

struct hush_snapshot *hush_snapshot_new(struct hush_fs *fs, struct hush_item *item,
                                        struct hush_value *value, uint64_t now_ns)
{
    struct hush_snapshot *s = calloc(1, sizeof(*s));
    uint32_t salt = 0;

    if (s == NULL) {
        hush_value_clear(value);
        return NULL;
    }
    s->item = item;
    s->directory = item->settings.as == HUSH_AS_DIRECTORY;
    s->value = *value;
    memset(value, 0, sizeof(*value));
    if (!nodes_make(s))
        goto fail;
    while (!nodes_number(fs, s, salt)) /* ends: ids are 48 random bits */
        salt++;
    if (!record_make(fs, s, salt, now_ns))
        goto fail;
    nodes_add(fs, s);
    return s;
fail:
    for (size_t i = 0; i < s->node_count; i++)
        s->nodes[i].ino = 0; /* not in the table */
    hush_snapshot_free(fs, s);
    return NULL;
}

void hush_snapshot_free(struct hush_fs *fs, struct hush_snapshot *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->node_count; i++) {
        if (s->nodes[i].ino != 0)
            hush_tree_remove(fs, &s->nodes[i]);
        free((void *)(uintptr_t)s->nodes[i].name);
    }
    free(s->nodes);
    /* The record first: a value without a record is swept up by whoever takes over. */
    hush_arena_release(fs->arena, s->block);
    hush_value_clear(&s->value);
    free(s);
}

bool hush_snapshot_alive(const struct hush_snapshot *s)
{
    /* Once it is superseded the kernel forgets a node as soon as nothing refers to it: no
     * descriptor, no mapping, no bind mount, nobody whose directory it is. */
    return s->record->nopen > 0 || s->record->nlookup > 0;
}

void hush_snapshot_confirm(struct hush_fs *fs, struct hush_snapshot *s,
                           const struct hush_value *value, uint64_t now_ns)
{
    const struct hush_meta *meta = &value->meta;
    struct hush_snapshot_record *r = s->record;

    /* An answer "unchanged" may say nothing of these. */
    if (!value->unchanged || meta->ttl_ms != 0)
        r->ttl_ms = meta->ttl_ms;
    if (!value->unchanged || meta->not_after != 0)
        r->limit_ns = limit_of(meta, now_ns);
    r->fetched_ns = now_ns;
    if (value->unchanged)
        return;
    r->latest = meta->version;
    r->config = atomic_load(&fs->state->config_generation);
}

bool hush_snapshot_is_of_now(const struct hush_fs *fs, const struct hush_snapshot *s)
{
    return s->record->config == atomic_load(&fs->state->config_generation);
}

bool hush_snapshot_same(const struct hush_snapshot *s, const struct hush_value *value)
{
    if (!hush_secret_equal(s->value.secret, value->secret) ||
        s->value.field_count != value->field_count)
        return false;
    for (size_t i = 0; i < value->field_count; i++)
        if (strcmp(s->value.fields[i].name, value->fields[i].name) != 0 ||
            !hush_secret_equal(s->value.fields[i].value, value->fields[i].value))
            return false;
    return true;
}

static uint64_t capped(const struct hush_snapshot *s, uint64_t until)
{
    uint64_t limit = s->record->limit_ns;

    return limit != 0 && limit < until ? limit : until;
}

uint64_t hush_snapshot_fresh_until(const struct hush_snapshot *s)
{
    uint32_t ttl_ms = s->item->settings.ttl_ms;

    if (s->record->ttl_ms != 0 && s->record->ttl_ms < ttl_ms)
        ttl_ms = s->record->ttl_ms;
    return capped(s, s->record->fetched_ns + (uint64_t)ttl_ms * HUSH_NS_PER_MS);
}

uint64_t hush_snapshot_stale_until(const struct hush_snapshot *s)
{
    uint64_t ms = (uint64_t)s->item->settings.resurrect_ttl_ms;

    return capped(s, hush_snapshot_fresh_until(s) + ms * HUSH_NS_PER_MS);
}

struct hush_node *hush_snapshot_top(struct hush_snapshot *s)
{
    return &s->nodes[0];
}

struct hush_node *hush_snapshot_child(struct hush_snapshot *s, const char *name)
{
    for (size_t i = 1; i < s->node_count; i++)
        if (strcmp(s->nodes[i].name, name) == 0)
            return &s->nodes[i];
    return NULL;
}

struct hush_secret *hush_snapshot_bytes(const struct hush_node *node)
{
    const struct hush_value *value = &node->snapshot->value;

    return node->field == HUSH_FIELD_WHOLE ? value->secret : value->fields[node->field].value;
}

/* -- Takeover ---------------------------------------------------------------------------------- */

/* The parts of a record, if they lie within its size bytes. */
struct parts {
    const struct hush_snapshot_record *r;
    const struct hush_snapshot_field *fields;
    const char *path, *version, *names;
};

static bool record_parts(const void *bytes, size_t size, struct parts *p)
{
    size_t need = sizeof(*p->r);

    p->r = bytes;
    if (size < need || p->r->field_count > HUSH_FIELDS_MAX || p->r->path_size > 2 * PATH_MAX ||
        p->r->version_size > HUSH_VERSION_MAX)
        return false;
    p->fields = (const struct hush_snapshot_field *)(p->r + 1);
    need += p->r->field_count * sizeof(*p->fields) + p->r->path_size + p->r->version_size;
    if (size < need)
        return false;
    p->path = (const char *)(p->fields + p->r->field_count);
    p->version = p->path + p->r->path_size;
    p->names = p->version + p->r->version_size;
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
    s->directory = p.r->directory != 0;
    if (!nodes_make(s) || !nodes_number(fs, s, s->record->salt))
        goto fail;
    nodes_add(fs, s);
    return s;
fail:
    for (size_t i = 0; i < s->node_count; i++)
        s->nodes[i].ino = 0;
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
