/* SPDX-License-Identifier: Apache-2.0 */
/* evict.c - see evict.h. Called by work.c and item.c. */
#include "evict.h"

#include "core/clock.h"
#include "core/metrics.h"
#include "item.h"
#include "snapshot.h"

#include <time.h>

enum {
    ROUNDS = 5,
    WAIT_MS = 100, /* for the kernel to forget */
    SLICE_MS = 5,
};

static bool can_go(const struct hush_item *item)
{
    const struct hush_snapshot *s = item->current;

    return s != NULL && s->record->nopen == 0 && !s->record->dynamic && item->staged == NULL &&
           item->job == NULL && item->waiters == NULL && item->command == 0 && !item->pinned;
}

static struct hush_item *oldest(struct hush_fs *fs, const struct hush_item *but)
{
    struct hush_item *found = NULL;

    for (struct hush_item *item = fs->items; item != NULL; item = item->hh.next)
        if (item != but && can_go(item) && (found == NULL || item->used_ns < found->used_ns))
            found = item;
    return found;
}

static uint64_t size_of(const struct hush_snapshot *s)
{
    uint64_t size = HUSH_EVICT_RECORD + hush_secret_size(s->value.secret);

    for (size_t i = 0; i < s->value.field_count; i++)
        size += hush_secret_size(s->value.fields[i].value);
    return size;
}

uint64_t hush_evict(struct hush_fs *fs, uint64_t bytes, const struct hush_item *but)
{
    uint64_t gone = 0;
    struct hush_item *item;

    while (gone < bytes && (item = oldest(fs, but)) != NULL) {
        gone += size_of(item->current);
        hush_metric_add(HUSH_METRIC_EVICTIONS, 1);
        hush_item_drop(fs, item);
    }
    return gone;
}

/* True: used has come down to that. */
static bool wait_for(struct hush_fs *fs, const struct hush_op *op, size_t used)
{
    for (int ms = 0; ms < WAIT_MS && !hush_op_canceled(op); ms += SLICE_MS) {
        if (hush_arena_usage(fs->arena).used <= used)
            return true;
        (void)nanosleep(&(struct timespec){.tv_nsec = (long)SLICE_MS * HUSH_NS_PER_MS}, NULL);
    }
    return false;
}

bool hush_evict_room(struct hush_fs *fs, struct hush_op *op, const struct hush_item *but)
{
    size_t before = hush_arena_usage(fs->arena).used;
    uint64_t gone = 1, all = 0;

    /* What is in use without our knowing it (`open = kernel`) stays for now: then others go. */
    for (int round = 0; round < ROUNDS && gone > 0; round++) {
        pthread_mutex_lock(&fs->lock);
        gone = hush_evict(fs, op->no_room + HUSH_EVICT_RECORD, but);
        pthread_mutex_unlock(&fs->lock);
        all += gone;
        if (gone > 0 && wait_for(fs, op, before > op->no_room ? before - op->no_room : 0))
            break;
    }
    op->detail[0] = '\0';
    return all > 0;
}
