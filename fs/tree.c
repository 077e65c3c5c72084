/* SPDX-License-Identifier: Apache-2.0 */
/* tree.c - see tree.h. Called by ops.c, work.c and, at a takeover, worker.c. */
#include "tree.h"

#include "core/clock.h"
#include "hash.h"
#include "item.h"
#include "rotate.h"
#include "snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A path node in the arena; the path follows, without NUL. */
struct hush_node_record {
    uint64_t nlookup;
    uint32_t kind;
    uint32_t directory;
    uint32_t path_size;
    uint32_t secret_too;
};

/* -- Ids --------------------------------------------------------------------------------------- */

enum { INO_BITS = 48 }; /* exact in a double, for those that print inodes with one */

static size_t put_text(char *out, size_t at, size_t size, const char *text)
{
    size_t n = text != NULL ? strlen(text) : 0;

    if (n > size - at - 1)
        n = size - at - 1;
    if (n > 0)
        memcpy(out + at, text, n);
    out[at + n] = '\0'; /* parts end with NUL: no two keys read the same */
    return at + n + 1;
}

uint64_t hush_tree_ino(const struct hush_fs *fs, const struct hush_ino_key *key)
{
    char bytes[PATH_MAX + 512];
    uint64_t hash;
    size_t n = 0;

    bytes[n++] = (char)('a' + (int)key->kind);
    n = put_text(bytes, n, PATH_MAX + 1, key->path); /* the kind is before it */
    n = put_text(bytes, n, PATH_MAX + 260, key->name);
    n = put_text(bytes, n, PATH_MAX + 400, key->version);
    memcpy(bytes + n, &key->salt, sizeof(key->salt));
    n += sizeof(key->salt);
    hash = hush_siphash(fs->state->key, bytes, n) >> (64 - INO_BITS);
    return hash < HUSH_INO_FIRST ? hash + HUSH_INO_FIRST : hash;
}

struct hush_node *hush_tree_find(struct hush_fs *fs, uint64_t ino)
{
    struct hush_node *node;

    HASH_FIND(hh, fs->nodes, &ino, sizeof(ino), node);
    return node;
}

void hush_tree_add(struct hush_fs *fs, struct hush_node *node)
{
    HASH_ADD(hh, fs->nodes, ino, sizeof(node->ino), node);
}

void hush_tree_remove(struct hush_fs *fs, struct hush_node *node)
{
    HASH_DEL(fs->nodes, node);
}

/* -- Path nodes -------------------------------------------------------------------------------- */

static uint64_t path_ino(const struct hush_fs *fs, const char *path, enum hush_node_kind kind,
                         bool directory)
{
    /* A guess that comes true stays the same node. */
    struct hush_ino_key key = {.kind = kind == HUSH_NODE_GUESS ? HUSH_NODE_DIR : kind,
                               .path = path,
                               .salt = kind == HUSH_NODE_PENDING && directory};

    return hush_tree_ino(fs, &key);
}

static void record_path(struct hush_fs *fs, struct hush_node *node)
{
    size_t n = strlen(node->path);

    node->block = hush_arena_alloc(fs->arena, HUSH_BLOCK_DIRECTORY, sizeof(*node->record) + n);
    if (node->block == 0)
        return; /* it works without, but a new worker will not know it */
    node->record = hush_arena_bytes(fs->arena, node->block);
    node->record->kind = (uint32_t)node->kind;
    node->record->directory = node->directory;
    node->record->path_size = (uint32_t)n;
    memcpy(node->record + 1, node->path, n);
    hush_arena_publish(fs->arena, node->block);
}

struct hush_node *hush_tree_path_find(struct hush_fs *fs, const char *path,
                                      enum hush_node_kind kind, bool directory)
{
    struct hush_node *node = hush_tree_find(fs, path_ino(fs, path, kind, directory));

    return node != NULL && node->path != NULL && strcmp(node->path, path) == 0 ? node : NULL;
}

static struct hush_node *path_node_new(struct hush_fs *fs, struct hush_instance *instance,
                                       const char *path, enum hush_node_kind kind, bool directory)
{
    struct hush_node *node = calloc(1, sizeof(*node));

    if (node == NULL)
        return NULL;
    node->path = strdup(path);
    node->ino = path_ino(fs, path, kind, directory);
    if (node->path == NULL || hush_tree_find(fs, node->ino) != NULL) {
        free(node->path);
        free(node);
        return NULL;
    }
    node->kind = kind;
    node->directory = directory || kind == HUSH_NODE_DIR || kind == HUSH_NODE_GUESS;
    node->instance = instance;
    node->changed_s = hush_wall_s();
    hush_tree_add(fs, node);
    return node;
}

struct hush_node *hush_tree_path_node(struct hush_fs *fs, struct hush_instance *instance,
                                      const char *path, enum hush_node_kind kind, bool directory)
{
    struct hush_node *node = hush_tree_path_find(fs, path, kind, directory);

    if (node != NULL) {
        if (kind == HUSH_NODE_DIR && node->kind == HUSH_NODE_GUESS) {
            node->kind = HUSH_NODE_DIR;
            node->bound = 0;
            if (node->record != NULL)
                node->record->kind = HUSH_NODE_DIR;
        }
        return node;
    }
    node = path_node_new(fs, instance, path, kind, directory);
    if (node != NULL)
        record_path(fs, node);
    return node;
}

static void path_node_free(struct hush_fs *fs, struct hush_node *node)
{
    hush_tree_remove(fs, node);
    hush_arena_release(fs->arena, node->block);
    hush_arena_release(fs->arena, node->listing_block);
    hush_listing_unref(node->listing);
    free(node->path);
    free(node);
}

/* The kernel need not know a node for it to be of use: see both.h. */
static bool keeps_for_secret(struct hush_fs *fs, const struct hush_node *node)
{
    const struct hush_item *item =
        node->kind == HUSH_NODE_DIR ? hush_item_find(fs, node->path) : NULL;

    return node->secret_too || (item != NULL && item->current != NULL && item->current->directory);
}

static bool path_node_busy(struct hush_fs *fs, const struct hush_node *node)
{
    return keeps_for_secret(fs, node) || node == &fs->root || node->list_job != NULL ||
           node->list_waiters != NULL || (node->instance != NULL && node->instance->node == node);
}

void hush_tree_forget(struct hush_fs *fs, uint64_t ino, uint64_t n)
{
    struct hush_node *node = hush_tree_find(fs, ino);
    uint64_t *count;

    if (node == NULL || (node->snapshot == NULL && node->record == NULL))
        return;
    count = node->snapshot != NULL ? &node->snapshot->record->nlookup : &node->record->nlookup;
    *count -= n < *count ? n : *count;
    if (node->snapshot != NULL)
        hush_item_reap(fs, node->snapshot);
    else
        hush_tree_put(fs, node);
}

void hush_tree_secret_too(struct hush_node *node)
{
    node->secret_too = true;
    if (node->record != NULL)
        node->record->secret_too = 1;
}

void hush_tree_put(struct hush_fs *fs, struct hush_node *node)
{
    if (node->record != NULL && node->record->nlookup == 0 && !path_node_busy(fs, node))
        path_node_free(fs, node);
}

void hush_tree_looked_up(struct hush_node *node)
{
    node->named = true;
    if (node->snapshot != NULL)
        node->snapshot->record->nlookup++;
    else if (node->record != NULL)
        node->record->nlookup++;
}

struct hush_node *hush_tree_version(struct hush_fs *fs, const char *path)
{
    const struct hush_item *item = hush_item_find(fs, path);

    return item != NULL && item->current != NULL && item->current->directory
               ? hush_snapshot_top(item->current)
               : NULL;
}

uint64_t hush_tree_dir_ino(const struct hush_fs *fs, const char *path)
{
    return path_ino(fs, path, HUSH_NODE_DIR, false);
}

/* -- Listings ---------------------------------------------------------------------------------- */

struct hush_listing *hush_listing_ref(struct hush_listing *l)
{
    l->refs++;
    return l;
}

void hush_listing_unref(struct hush_listing *l)
{
    if (l == NULL || --l->refs > 0)
        return;
    for (size_t i = 0; i < l->count; i++)
        free(l->entries[i].name);
    free(l->entries);
    free(l);
}

static bool listing_append(struct hush_listing *l, const char *shown, unsigned kinds)
{
    struct hush_listed *entries = l->entries;

    if ((l->count & (l->count + 1)) == 0) { /* full at 2^n - 1 */
        entries = realloc(entries, (2 * l->count + 1) * sizeof(*entries));
        if (entries == NULL)
            return false;
        l->entries = entries;
    }
    entries[l->count].name = strdup(shown);
    entries[l->count].kinds = kinds;
    if (entries[l->count].name == NULL)
        return false;
    l->count++;
    return true;
}

bool hush_listing_add(struct hush_listing *l, const char *raw, unsigned kinds)
{
    char shown[HUSH_NAME_MAX + 1];

    if (hush_name_show(raw, strlen(raw), shown) == 0)
        return true;
    return listing_append(l, shown, kinds);
}

static int compare_listed(const void *a, const void *b)
{
    return strcmp(((const struct hush_listed *)a)->name, ((const struct hush_listed *)b)->name);
}

void hush_listing_finish(struct hush_listing *l)
{
    size_t to = 0;

    if (l->count == 0)
        return;
    qsort(l->entries, l->count, sizeof(*l->entries), compare_listed);
    for (size_t i = 1; i < l->count; i++) {
        if (strcmp(l->entries[to].name, l->entries[i].name) == 0) {
            l->entries[to].kinds |= l->entries[i].kinds;
            free(l->entries[i].name);
        } else {
            l->entries[++to] = l->entries[i];
        }
    }
    l->count = to + 1;
}

unsigned hush_listing_kinds(const struct hush_listing *l, const char *name)
{
    struct hush_listed key = {.name = (char *)(uintptr_t)name};
    const struct hush_listed *found = NULL;

    if (l != NULL && l->count > 0)
        found = bsearch(&key, l->entries, l->count, sizeof(key), compare_listed);
    return found != NULL ? found->kinds : 0;
}

bool hush_listing_same(const struct hush_listing *a, const struct hush_listing *b)
{
    if (a == NULL || b == NULL || a->count != b->count)
        return a == b;
    for (size_t i = 0; i < a->count; i++)
        if (a->entries[i].kinds != b->entries[i].kinds ||
            strcmp(a->entries[i].name, b->entries[i].name) != 0)
            return false;
    return true;
}

/* In the arena: node id and time, then for each entry its kinds (one byte) and its name with NUL.
 */
struct listing_record {
    uint64_t ino;
    uint64_t listed_ns;
};

static void listing_store(struct hush_fs *fs, struct hush_node *dir)
{
    struct listing_record *r;
    hush_block before = dir->listing_block;
    size_t size = sizeof(*r);
    char *at;

    for (size_t i = 0; i < dir->listing->count; i++)
        size += strlen(dir->listing->entries[i].name) + 2;
    dir->listing_block = hush_arena_alloc(fs->arena, HUSH_BLOCK_LISTING, size);
    if (dir->listing_block != 0) {
        r = hush_arena_bytes(fs->arena, dir->listing_block);
        r->ino = dir->ino;
        r->listed_ns = dir->listed_ns;
        at = (char *)(r + 1);
        for (size_t i = 0; i < dir->listing->count; i++) {
            size_t n = strlen(dir->listing->entries[i].name) + 1;

            *at++ = (char)dir->listing->entries[i].kinds;
            memcpy(at, dir->listing->entries[i].name, n);
            at += n;
        }
        hush_arena_publish(fs->arena, dir->listing_block);
    }
    hush_arena_release(fs->arena, before);
}

/* A folder that turns out to be a secret, too, is another node from now on. */
static void retell_both(struct hush_fs *fs, const struct hush_node *dir,
                        const struct hush_listing *l)
{
    char path[PATH_MAX];

    for (size_t i = 0; i < l->count; i++) {
        const struct hush_listed *entry = &l->entries[i];

        if (entry->kinds == (HUSH_IS_SECRET | HUSH_IS_FOLDER) &&
            hush_listing_kinds(dir->listing, entry->name) != entry->kinds &&
            snprintf(path, sizeof(path), "%s/%s", dir->path, entry->name) < (int)sizeof(path))
            hush_rotate_look_again(fs, path);
    }
}

void hush_tree_listed(struct hush_fs *fs, struct hush_node *dir, struct hush_listing *l,
                      uint64_t now_ns)
{
    dir->listed_ns = now_ns;
    dir->list_status = HUSH_OK;
    dir->list_retry_ns = 0;
    if (dir->listing != NULL && hush_listing_same(dir->listing, l)) {
        hush_listing_unref(l);
        return;
    }
    retell_both(fs, dir, l);
    l->generation = ++fs->generation;
    if (dir->listing != NULL)
        dir->changed_s = hush_wall_s();
    hush_listing_unref(dir->listing);
    dir->listing = l;
    listing_store(fs, dir);
}

/* -- Takeover ---------------------------------------------------------------------------------- */

/* The node of a record; NULL: its instance is configured no more, or the record makes no sense. */
static struct hush_node *adopt_node(struct hush_fs *fs, const struct hush_node_record *r,
                                    const char *path)
{
    enum hush_node_kind kind = (enum hush_node_kind)r->kind;
    struct hush_item *item = hush_item_get(fs, path, false); /* it knows the instance */
    struct hush_node *node;

    if (item == NULL)
        return NULL;
    if (item->instance == NULL) {
        hush_rotate_forget_top(fs, path);
        return NULL;
    }
    if (kind == HUSH_NODE_DIR)
        item->kinds |= HUSH_IS_FOLDER;
    node = hush_tree_path_find(fs, path, kind, r->directory != 0);
    if (node == NULL)
        node = path_node_new(fs, item->instance, path, kind, r->directory != 0);
    if (node != NULL)
        node->secret_too = r->secret_too != 0;
    return node;
}

static void adopt_path(struct hush_fs *fs, hush_block block)
{
    struct hush_node_record *r = hush_arena_bytes(fs->arena, block);
    struct hush_node *node = NULL;
    char path[PATH_MAX];

    if (hush_arena_size(fs->arena, block) >= sizeof(*r) + r->path_size && r->path_size < PATH_MAX) {
        memcpy(path, r + 1, r->path_size);
        path[r->path_size] = '\0';
        node = adopt_node(fs, r, path);
    }
    if (node != NULL && node->block == block)
        return; /* an instance's own, made a moment ago */
    if (node == NULL || node->block != 0) {
        hush_arena_release(fs->arena, block);
        return;
    }
    node->block = block;
    node->record = r;
}

static void adopt_listing(struct hush_fs *fs, hush_block block)
{
    const struct listing_record *r = hush_arena_bytes(fs->arena, block);
    size_t size = hush_arena_size(fs->arena, block);
    struct hush_node *dir = size >= sizeof(*r) ? hush_tree_find(fs, r->ino) : NULL;
    struct hush_listing *l = dir != NULL && dir->listing == NULL ? calloc(1, sizeof(*l)) : NULL;
    const char *at = (const char *)(r + 1), *end = (const char *)r + size;

    if (l == NULL) {
        hush_arena_release(fs->arena, block);
        return;
    }
    l->refs = 1;
    l->generation = ++fs->generation;
    while (at < end && memchr(at + 1, '\0', (size_t)(end - at - 1)) != NULL) {
        if (!listing_append(l, at + 1, (unsigned char)*at))
            break;
        at += strlen(at + 1) + 2;
    }
    dir->listing = l;
    dir->listing_block = block;
    dir->listed_ns = r->listed_ns;
}

struct found {
    hush_block *at;
    size_t count, room;
    enum hush_block_type type;
};

static void collect(void *ctx, hush_block block, enum hush_block_type type)
{
    struct found *f = ctx;

    if (type == f->type && f->count < f->room)
        f->at[f->count++] = block;
}

hush_block *hush_tree_blocks(struct hush_fs *fs, enum hush_block_type type, size_t *count)
{
    struct found f = {.room = hush_arena_usage(fs->arena).blocks, .type = type};

    *count = 0;
    f.at = calloc(f.room + 1, sizeof(*f.at));
    if (f.at == NULL)
        return NULL; /* an empty cache is a correct one */
    hush_arena_walk(fs->arena, collect, &f);
    *count = f.count;
    return f.at;
}

static void adopt_type(struct hush_fs *fs, enum hush_block_type type,
                       void (*adopt)(struct hush_fs *fs, hush_block block))
{
    size_t count;
    hush_block *blocks = hush_tree_blocks(fs, type, &count);

    for (size_t i = 0; i < count; i++)
        adopt(fs, blocks[i]);
    free(blocks);
}

void hush_tree_adopt_all(struct hush_fs *fs)
{
    adopt_type(fs, HUSH_BLOCK_DIRECTORY, adopt_path);
    adopt_type(fs, HUSH_BLOCK_LISTING, adopt_listing);
}
