/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot.c - see snapshot.h. Called by item.c, lease.c and, at a takeover, adopt.c. */
#include "snapshot.h"

#include "access.h"
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
    return (s->directory ? nodes_of_directory(s) : nodes_of_file(s)) && hush_access_settle(s);
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

/* They are in no table. */
static void nodes_unnumber(struct hush_snapshot *s)
{
    for (size_t i = 0; i < s->node_count; i++)
        s->nodes[i].ino = 0;
}

static void nodes_add(struct hush_fs *fs, struct hush_snapshot *s)
{
    for (size_t i = 0; i < s->node_count; i++)
        hush_tree_add(fs, &s->nodes[i]);
}

bool hush_snapshot_nodes(struct hush_fs *fs, struct hush_snapshot *s)
{
    if (!nodes_make(s) || !nodes_number(fs, s, s->record->salt)) {
        nodes_unnumber(s);
        return false;
    }
    nodes_add(fs, s);
    return true;
}

/* -- Records ----------------------------------------------------------------------------------- */

static size_t record_size(const struct hush_snapshot *s)
{
    size_t size = sizeof(struct hush_snapshot_record) + strlen(s->item->path) +
                  strlen(s->value.meta.version.text) + strlen(s->value.meta.lease);

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
    r->lease_size = (uint32_t)strlen(s->value.meta.lease);
    r->versioned = s->item->versioned;
    r->directory = s->directory;
    at = put(at, s->item->path, r->path_size);
    at = put(at, s->value.meta.version.text, r->version_size);
    at = put(at, s->value.meta.lease, r->lease_size);
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
    s->record->ttl_ms = s->record->first_ttl_ms = s->value.meta.ttl_ms;
    s->record->dynamic = s->value.meta.dynamic;
    s->record->renewable = s->value.meta.renewable;
    s->record->salt = salt;
    s->record->source = s->item->source;
    s->record->latest = s->value.meta.version;
    hush_arena_publish(fs->arena, s->block);
    if (s->record->lease_size > 0)
        atomic_store(&fs->state->leases, 1);
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
    nodes_unnumber(s);
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
    free(s->settings);
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

void hush_snapshot_confirm(struct hush_snapshot *s, const struct hush_value *value, uint64_t now_ns)
{
    const struct hush_meta *meta = &value->meta;
    struct hush_snapshot_record *r = s->record;

    /* An answer "unchanged" may say nothing of these. */
    if (!value->unchanged || meta->not_after != 0)
        r->limit_ns = limit_of(meta, now_ns);
    if (!value->unchanged || meta->ttl_ms != 0)
        r->ttl_ms = r->first_ttl_ms = meta->ttl_ms;
    r->source = s->item->source;
    r->fetched_ns = now_ns;
    if (value->unchanged)
        return;
    r->latest = meta->version;
    r->dynamic = meta->dynamic;
    r->renewable = meta->renewable;
    r->ending = 0;
}

void hush_snapshot_renewed(struct hush_snapshot *s, const struct hush_meta *meta, uint64_t now_ns)
{
    struct hush_snapshot_record *r = s->record;

    /* In this order: killed between two of them, the next worker thinks that it ends too early. */
    if (meta->not_after != 0)
        r->limit_ns = limit_of(meta, now_ns);
    r->renewable = meta->renewable;
    r->ttl_ms = meta->ttl_ms;
    r->fetched_ns = now_ns;
}

bool hush_snapshot_same(const struct hush_snapshot *s, const struct hush_value *value)
{
    if (!hush_secret_equal(s->value.secret, value->secret) ||
        s->value.field_count != value->field_count ||
        strcmp(s->value.meta.lease, value->meta.lease) != 0)
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

uint64_t hush_snapshot_ends(const struct hush_snapshot *s)
{
    const struct hush_snapshot_record *r = s->record;
    uint32_t ttl_ms = s->item->settings.ttl_ms;

    if (r->dynamic && r->ttl_ms == 0 && r->limit_ns != 0)
        return r->limit_ns;
    if (r->ttl_ms != 0 && (r->dynamic || r->ttl_ms < ttl_ms))
        ttl_ms = r->ttl_ms;
    return capped(s, r->fetched_ns + (uint64_t)ttl_ms * HUSH_NS_PER_MS);
}

uint64_t hush_snapshot_fresh_until(const struct hush_snapshot *s)
{
    return s->record->source == s->item->source ? hush_snapshot_ends(s)
                                                : capped(s, s->record->fetched_ns);
}

uint64_t hush_snapshot_stale_until(const struct hush_snapshot *s)
{
    uint64_t ms = (uint64_t)s->item->settings.resurrect_ttl_ms;

    return capped(s, hush_snapshot_ends(s) + ms * HUSH_NS_PER_MS);
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
