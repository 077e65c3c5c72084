/* SPDX-License-Identifier: Apache-2.0 */
/* item.c - see item.h. Called by gate.c, work.c, rotate.c, timer.c and ops.c. */
#include "item.h"

#include "both.h"
#include "core/clock.h"
#include "core/metrics.h"
#include "evict.h"
#include "hash.h"
#include "rotate.h"
#include "snapshot.h"
#include "tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* After a failure without a value of Retry-After: 1 s, 2 s, … 60 s, less up to a quarter. */
enum { RETRY_FIRST_MS = 1000, RETRY_MOST_MS = 60000 };

static bool has_suffix(const char *text, const char *suffix)
{
    size_t n = strlen(text), k = strlen(suffix);

    return n >= k && strcmp(text + n - k, suffix) == 0;
}

static struct hush_instance *instance_of(struct hush_fs *fs, const char *path)
{
    size_t n = strcspn(path, "/");

    for (size_t i = 0; i < fs->instance_count; i++) {
        const char *name = fs->instances[i].config->name;

        if (strlen(name) == n && strncmp(name, path, n) == 0)
            return &fs->instances[i];
    }
    return NULL;
}

/* The order of pairs does not matter. */
static uint64_t pair_id(const struct hush_fs *fs, const char *key, const char *value)
{
    uint64_t keys[2] = {fs->state->key[0], hush_siphash(fs->state->key, key, strlen(key))};

    return hush_siphash(keys, value, strlen(value));
}

uint64_t hush_item_source_id(const struct hush_fs *fs, const struct hush_instance_config *config)
{
    uint64_t id = pair_id(fs, config->ops->name, config->base64_decode ? "base64" : "");

    for (size_t i = 0; i < config->option_count; i++)
        id += pair_id(fs, config->options[i].key, config->options[i].value);
    return id;
}

static uint64_t source_of(const struct hush_fs *fs, const struct hush_item *item)
{
    struct hush_param *params = hush_config_params(fs->config, item->path);
    uint64_t id = item->instance->source;

    for (const struct hush_param *p = params; p != NULL && p->name != NULL; p++)
        id += pair_id(fs, p->name, p->value) | 1;
    free(params);
    return id;
}

static void settle(struct hush_fs *fs, struct hush_item *item)
{
    item->settings = (struct hush_settings){.as = HUSH_AS_FILE, .mode = 0400};
    if (item->instance == NULL)
        return;
    item->source = source_of(fs, item);
    hush_config_whole_settings(fs->config, item->instance->config, item->path, NULL,
                               &item->settings);
    if (has_suffix(item->path, "/.value"))
        item->settings.as = HUSH_AS_FILE;
}

struct hush_item *hush_item_find(struct hush_fs *fs, const char *path)
{
    struct hush_item *item;

    HASH_FIND_STR(fs->items, path, item);
    return item;
}

struct hush_item *hush_item_get(struct hush_fs *fs, const char *path, bool versioned)
{
    struct hush_item *item = hush_item_find(fs, path);

    if (item != NULL)
        return item;
    item = calloc(1, sizeof(*item));
    if (item == NULL)
        return NULL;
    item->path = strdup(path);
    if (item->path == NULL) {
        free(item);
        return NULL;
    }
    item->id = hush_siphash(fs->state->key, path, strlen(path)) | 1;
    item->instance = instance_of(fs, path);
    item->versioned = versioned;
    settle(fs, item);
    HASH_ADD_KEYPTR(hh, fs->items, item->path, strlen(item->path), item);
    return item;
}

void hush_item_put(struct hush_fs *fs, struct hush_item *item, uint64_t now_ns)
{
    if (item->current != NULL || item->staged != NULL || item->old != NULL || item->job != NULL ||
        item->renewal != NULL || item->waiters != NULL || item->command != 0 || item->pinned ||
        now_ns < item->retry_ns)
        return;
    HASH_DEL(fs->items, item);
    free(item->detail);
    free(item->path);
    free(item);
}

enum hush_gate hush_item_gate(const struct hush_item *item, uint64_t now_ns, bool waited)
{
    bool has = item->current != NULL;

    if (has &&
        (now_ns < hush_snapshot_fresh_until(item->current) || (waited && item->status == HUSH_OK)))
        return HUSH_GATE_FRESH;
    if (!waited && now_ns >= item->retry_ns)
        return HUSH_GATE_ASK;
    if (has && hush_status_keeps_stale(item->status) &&
        now_ns < hush_snapshot_stale_until(item->current))
        return HUSH_GATE_STALE;
    return HUSH_GATE_FAIL;
}

bool hush_item_is_lazy(const struct hush_node *pending)
{
    return pending->kind == HUSH_NODE_PENDING && pending->directory && pending->instance != NULL &&
           (pending->instance->provider->flags & HUSH_ONE_SECRET_PER_READ) != 0;
}

struct hush_node *hush_item_shown_by(struct hush_fs *fs, struct hush_node *pending)
{
    const struct hush_item *item = hush_item_find(fs, pending->path);

    if (item == NULL || item->current == NULL || !item->current->directory)
        return NULL;
    if (pending->bound == 0 || (!pending->opened && !hush_item_is_lazy(pending)))
        pending->bound = item->current->record->sequence;
    return pending->bound == item->current->record->sequence ? hush_snapshot_top(item->current)
                                                             : NULL;
}

bool hush_item_absent(const struct hush_item *item, uint64_t now_ns)
{
    return item->kinds == 0 && item->status == HUSH_NOT_FOUND && now_ns < item->retry_ns;
}

double hush_item_kernel_s(const struct hush_item *item, uint64_t now_ns)
{
    uint64_t until = hush_snapshot_fresh_until(item->current);
    double left = until > now_ns ? (double)(until - now_ns) / 1e9 : 0;

    /* A second at least, so that a hot name near its end does not cost a request an open; never
     * more than the ttl itself. */
    if (left > 0 && left < 1)
        left = item->settings.ttl_ms >= 1000 ? 1 : left;
    return left;
}

/* -- Outcomes ---------------------------------------------------------------------------------- */

static uint32_t jitter_ms(const struct hush_fs *fs, uint32_t ms)
{
    uint64_t x = fs->state->key[0] ^ (hush_now_ns() * UINT64_C(0x9e3779b97f4a7c15));

    return ms - (uint32_t)((x >> 33) % (ms / 4 + 1));
}

uint32_t hush_item_pause_ms(const struct hush_fs *fs, uint32_t failures, const struct hush_op *op)
{
    if (op->retry_after_ms != 0)
        return op->retry_after_ms;
    return jitter_ms(fs, failures < 6 ? (uint32_t)RETRY_FIRST_MS << failures : RETRY_MOST_MS);
}

static uint32_t retry_ms(const struct hush_fs *fs, const struct hush_item *item,
                         enum hush_status status, const struct hush_op *op)
{
    if (status == HUSH_NOT_FOUND || status == HUSH_DENIED)
        return item->settings.neg_ttl_ms;
    /* Readers without a value to fall back on ask again after a second at the latest. */
    return hush_item_pause_ms(fs, item->current != NULL ? item->failures : 0, op);
}

static void item_failed(struct hush_fs *fs, struct hush_item *item, enum hush_status status,
                        const struct hush_op *op, uint64_t now_ns)
{
    item->retry_ns = now_ns + (uint64_t)retry_ms(fs, item, status, op) * HUSH_NS_PER_MS;
    item->failures++;
    free(item->detail);
    item->detail = op->detail[0] != '\0' ? strdup(op->detail) : NULL;
    if (hush_status_keeps_stale(status))
        return;
    hush_both_refused(fs, item);
    item->kinds &= ~(unsigned)HUSH_IS_SECRET;
    hush_item_drop(fs, item);
}

static void retire(struct hush_fs *fs, struct hush_item *item, struct hush_snapshot *s)
{
    s->record->state = HUSH_SNAPSHOT_OLD;
    DL_APPEND(item->old, s);
    hush_item_reap(fs, s);
}

static bool item_fetched(struct hush_fs *fs, struct hush_item *item, struct hush_value *value,
                         uint64_t now_ns)
{
    struct hush_snapshot *newest = item->staged != NULL ? item->staged : item->current;

    item->kinds |= HUSH_IS_SECRET;
    if (newest != NULL && (value->unchanged || hush_snapshot_same(newest, value))) {
        hush_snapshot_confirm(newest, value, now_ns);
        hush_value_clear(value);
        return false;
    }
    /* Two versions in flight: the one that nobody saw goes. */
    if (item->staged != NULL) {
        struct hush_snapshot *unseen = item->staged;

        item->staged = NULL;
        retire(fs, item, unseen);
    }
    item->staged = hush_snapshot_new(fs, item, value, now_ns);
    if (item->staged == NULL) {
        item->status = HUSH_NO_MEMORY;
        (void)hush_evict(fs, HUSH_EVICT_RECORD, item); /* for the next try */
        item->retry_ns = hush_now_ns() + (uint64_t)RETRY_FIRST_MS * HUSH_NS_PER_MS;
        return false;
    }
    return true;
}

bool hush_item_done(struct hush_fs *fs, struct hush_item *item, enum hush_status status,
                    struct hush_value *value, const struct hush_op *op, uint64_t now_ns)
{
    item->status = status;
    if (status != HUSH_OK) {
        item_failed(fs, item, status, op, now_ns);
        return false;
    }
    item->failures = item->renew_failures = 0;
    item->retry_ns = item->renew_ns = 0;
    free(item->detail);
    item->detail = NULL;
    /* A lease runs since some moment after it was asked for; the answer may have been slow. */
    return item_fetched(fs, item, value, value->meta.dynamic ? op->began_ns : now_ns);
}

void hush_item_commit(struct hush_fs *fs, struct hush_item *item)
{
    struct hush_snapshot *before = item->current;

    if (item->staged == NULL)
        return;
    item->current = item->staged;
    item->staged = NULL;
    item->current->record->state = HUSH_SNAPSHOT_CURRENT;
    if (before == NULL)
        return;
    hush_metric_add(HUSH_METRIC_ROTATIONS, 1);
    hush_rotate_superseded(fs, before);
    retire(fs, item, before);
}

void hush_item_drop(struct hush_fs *fs, struct hush_item *item)
{
    struct hush_snapshot *staged = item->staged, *current = item->current;

    item->staged = item->current = NULL;
    if (staged != NULL)
        retire(fs, item, staged);
    if (current == NULL)
        return;
    hush_rotate_forget(fs, item, current);
    retire(fs, item, current);
}

void hush_item_reap(struct hush_fs *fs, struct hush_snapshot *s)
{
    if (s->record->state != HUSH_SNAPSHOT_OLD || hush_snapshot_alive(s))
        return;
    if (s->prev != NULL)            /* utlist: a listed element's prev is never NULL */
        DL_DELETE(s->item->old, s); // NOLINT(clang-analyzer-core.NullDereference)
    hush_snapshot_free(fs, s);
}

/* -- Names ------------------------------------------------------------------------------------- */

bool hush_item_ref(const struct hush_item *item, struct hush_ref_text *out)
{
    char shown[PATH_MAX], name[HUSH_NAME_MAX + 1];
    const char *rest = strchr(item->path, '/');
    size_t n;
    char *last;

    memset(out, 0, sizeof(*out));
    if (rest == NULL || strlen(++rest) >= sizeof(shown))
        return false;
    n = strlen(rest) + 1;
    memcpy(shown, rest, n);
    if (has_suffix(shown, "/.value"))
        shown[n - 1 - strlen("/.value")] = '\0';
    if (item->versioned) {
        last = strrchr(shown, '/');
        last = last != NULL ? last + 1 : shown;
        if (strlen(last) > HUSH_NAME_MAX || !hush_name_split_version(last, name, out->version.text))
            return false;
        last[strlen(name)] = '\0';
    }
    return hush_path_raw(shown, out->path, sizeof(out->path));
}

void hush_item_source(const struct hush_item *item, char *out, size_t size)
{
    const char *rest = strchr(item->path, '/');

    (void)snprintf(out, size, "%s:%s",
                   item->instance != NULL ? item->instance->provider->ops->name : "gone",
                   rest != NULL ? rest + 1 : "");
}
