/* SPDX-License-Identifier: Apache-2.0 */
/* report.c - see report.h. Called by dotfiles.c. */
#include "report.h"

#include "core/clock.h"
#include "core/metrics.h"
#include "core/printable.h"
#include "item.h"
#include "lease.h"
#include "snapshot.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *item_state(const struct hush_item *item, uint64_t now_ns)
{
    if (item->current != NULL)
        return now_ns < hush_snapshot_fresh_until(item->current) ? "fresh" : "stale";
    return hush_status_keeps_stale(item->status) ? "failed" : "negative";
}

static bool item_is_secret(const struct hush_item *item)
{
    return item->current != NULL || (item->status != HUSH_OK && item->kinds != HUSH_IS_FOLDER);
}

static uint64_t item_age_ms(const struct hush_item *item, uint64_t now_ns)
{
    return (now_ns - item->current->record->fetched_ns) / HUSH_NS_PER_MS;
}

static uint64_t item_left_ms(const struct hush_item *item, uint64_t now_ns)
{
    uint64_t until = hush_snapshot_fresh_until(item->current);

    return until > now_ns ? (until - now_ns) / HUSH_NS_PER_MS : 0;
}

static uint64_t item_readers(const struct hush_item *item)
{
    const struct hush_snapshot *s;
    uint64_t n = item->current != NULL ? item->current->record->nopen : 0;

    DL_FOREACH(item->old, s)
    n += s->record->nopen;
    return n;
}

/* What its lease is, and when it is renewed or replaced; never in the past. */
static void json_lease(struct hush_text *text, const struct hush_item *item, uint64_t now_ns)
{
    const struct hush_snapshot_record *r = item->current->record;
    const char *lease = item->current->value.meta.lease;
    uint64_t next = r->dynamic ? hush_lease_next(item) : 0;

    hush_json_bool(text, "dynamic", r->dynamic != 0);
    hush_json_string(text, "lease", lease[0] != '\0' ? lease : NULL);
    hush_json_bool(text, "renewable", r->renewable != 0);
    if (next != 0)
        hush_json_u64(text, "next_ms", next > now_ns ? (next - now_ns) / HUSH_NS_PER_MS : 0);
    if (r->limit_ns != 0)
        hush_json_u64(text, "ends_ms",
                      r->limit_ns > now_ns ? (r->limit_ns - now_ns) / HUSH_NS_PER_MS : 0);
}

static void json_item(struct hush_text *text, const struct hush_item *item, uint64_t now_ns)
{
    hush_json_open(text, NULL, '{');
    hush_json_string(text, "path", item->path);
    hush_json_string(text, "state", item_state(item, now_ns));
    if (item->current != NULL) {
        hush_json_string(text, "version", item->current->record->latest.text);
        hush_json_u64(text, "age_ms", item_age_ms(item, now_ns));
        hush_json_u64(text, "expires_ms", item_left_ms(item, now_ns));
        json_lease(text, item, now_ns);
    }
    hush_json_u64(text, "readers", item_readers(item));
    hush_json_string(text, "status", hush_status_name(item->status));
    hush_json_string(text, "last_error", item->detail);
    hush_json_close(text, '}');
}

/* What calls met; else what the provider tells. */
static enum hush_status health_of(const struct hush_instance *instance, const char **why)
{
    const bool met = instance->health != HUSH_OK || instance->upkeep.status == HUSH_OK;

    *why = met ? instance->detail : instance->upkeep.why;
    return met ? instance->health : instance->upkeep.status;
}

static void json_instance(struct hush_text *text, const struct hush_instance *instance)
{
    const char *why;
    const enum hush_status health = health_of(instance, &why);

    hush_json_open(text, NULL, '{');
    hush_json_string(text, "name", instance->config->name);
    hush_json_string(text, "type", instance->config->ops->name);
    hush_json_string(text, "health", hush_status_name(health));
    hush_json_string(text, "last_error", why[0] != '\0' ? why : NULL);
    hush_json_bool(text, "watching", instance->watching);
    hush_json_close(text, '}');
}

static void json_processes(struct hush_fs *fs, struct hush_text *text)
{
    hush_json_string(text, "version", HUSH_VERSION_TEXT);
    hush_json_i64(text, "keeper_pid", fs->state->keeper_pid);
    hush_json_i64(text, "worker_pid", getpid());
    hush_json_i64(text, "mover_pid", atomic_load(&fs->state->mover_pid));
    hush_json_u64(text, "worker_generation", atomic_load(&fs->state->worker_generation));
    hush_json_u64(text, "config_generation", atomic_load(&fs->state->config_generation));
    hush_json_string(text, "open", fs->open_mode == HUSH_OPEN_KERNEL ? "kernel" : "checked");
}

static void json_memory(struct hush_fs *fs, struct hush_text *text)
{
    struct hush_arena_usage usage = hush_arena_usage(fs->arena);

    hush_json_open(text, "memory", '{');
    hush_json_u64(text, "size", usage.size);
    hush_json_u64(text, "used", usage.used);
    hush_json_u64(text, "blocks", usage.blocks);
    hush_json_close(text, '}');
}

static int by_path(const struct hush_item *a, const struct hush_item *b)
{
    return strcmp(a->path, b->path);
}

void hush_report_json(struct hush_fs *fs, struct hush_text *text)
{
    uint64_t now_ns = hush_now_ns();

    HASH_SORT(fs->items, by_path);
    hush_json_open(text, NULL, '{');
    json_processes(fs, text);
    hush_json_open(text, "instances", '[');
    for (size_t i = 0; i < fs->instance_count; i++)
        json_instance(text, &fs->instances[i]);
    hush_json_close(text, ']');
    hush_json_open(text, "secrets", '[');
    for (const struct hush_item *item = fs->items; item != NULL; item = item->hh.next)
        if (item_is_secret(item))
            json_item(text, item, now_ns);
    hush_json_close(text, ']');
    json_memory(fs, text);
    hush_json_open(text, "metrics", '{');
    for (int i = 0; i < HUSH_METRIC_COUNT; i++)
        hush_json_u64(text, hush_metric_name((enum hush_metric)i),
                      hush_metric_get((enum hush_metric)i));
    hush_json_close(text, '}');
    hush_json_close(text, '}');
    hush_text_puts(text, "\n");
}

static void text_lease(struct hush_text *text, const struct hush_item *item, uint64_t now_ns)
{
    const struct hush_snapshot *s = item->current;
    uint64_t next = hush_lease_next(item);
    char lease[HUSH_LEASE_MAX + 1];

    memcpy(lease, s->value.meta.lease, sizeof(lease));
    hush_printable(lease);
    hush_text_printf(text, " age %" PRIu64 " s, made for this mount, ends in %" PRIu64 " s",
                     item_age_ms(item, now_ns) / 1000, item_left_ms(item, now_ns) / 1000);
    if (lease[0] != '\0')
        hush_text_printf(text, ", lease %s", lease);
    if (next != 0)
        hush_text_printf(text, ", %s in %" PRIu64 " s",
                         s->record->renewable && !s->record->ending ? "renewed" : "replaced",
                         next > now_ns ? (next - now_ns) / HUSH_NS_PER_S : 0);
}

static void text_item(struct hush_text *text, const struct hush_item *item, uint64_t now_ns)
{
    hush_text_printf(text, "  %-40s %-9s", item->path, item_state(item, now_ns));
    if (item->current != NULL && item->current->record->dynamic)
        text_lease(text, item, now_ns);
    else if (item->current != NULL)
        hush_text_printf(text, " age %" PRIu64 " s, asked again in %" PRIu64 " s, version %s",
                         item_age_ms(item, now_ns) / 1000, item_left_ms(item, now_ns) / 1000,
                         item->current->record->latest.text);
    if (item->status != HUSH_OK)
        hush_text_printf(text, " (%s%s%s)", hush_status_text(item->status),
                         item->detail != NULL ? ": " : "",
                         item->detail != NULL ? item->detail : "");
    hush_text_puts(text, "\n");
}

void hush_report_text(struct hush_fs *fs, struct hush_text *text)
{
    uint64_t now_ns = hush_now_ns();
    struct hush_arena_usage usage = hush_arena_usage(fs->arena);

    hush_text_printf(text, "hushfs %s on %s, up %" PRIu64 " s, worker %d (number %u)\n",
                     HUSH_VERSION_TEXT, fs->state->mount_path,
                     (now_ns - fs->state->started_ns) / HUSH_NS_PER_S, getpid(),
                     atomic_load(&fs->state->worker_generation));
    hush_text_printf(text, "memory: %zu of %zu bytes\ninstances:\n", usage.used, usage.size);
    for (size_t i = 0; i < fs->instance_count; i++) {
        const struct hush_instance *instance = &fs->instances[i];
        const char *why;
        const enum hush_status health = health_of(instance, &why);

        hush_text_printf(text, "  %-20s %-10s %s%s%s\n", instance->config->name,
                         instance->config->ops->name, hush_status_text(health),
                         why[0] != '\0' ? ": " : "", why);
    }
    hush_text_puts(text, "secrets:\n");
    HASH_SORT(fs->items, by_path);
    for (const struct hush_item *item = fs->items; item != NULL; item = item->hh.next)
        if (item_is_secret(item))
            text_item(text, item, now_ns);
}

void hush_report_metrics(struct hush_fs *fs, struct hush_text *text)
{
    char bytes[4096];
    size_t n = hush_metrics_write(bytes, sizeof(bytes));

    (void)fs;
    hush_text_append(text, bytes, n);
}
