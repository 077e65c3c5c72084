/* SPDX-License-Identifier: Apache-2.0 */
/* timer.c - see timer.h. Called by worker.c. */
#include "timer.h"

#include "core/clock.h"
#include "dotfiles.h"
#include "gate.h"
#include "item.h"
#include "lease.h"
#include "rotate.h"
#include "snapshot.h"
#include "work.h"

#include <errno.h>
#include <time.h>

enum {
    SWEEP_MS = 1000,   /* how often all items are looked at */
    ACTIVE_MS = 50,    /* while a rename is awaited */
    FORGET_MS = 60000, /* an unused name without a value */
};

/* Before its ttl ends, between 75 and 90 % of it: no two at once, no reader waits. */
static uint64_t refresh_at(const struct hush_item *item)
{
    uint64_t fetched = item->current->record->fetched_ns;
    uint64_t ttl = hush_snapshot_fresh_until(item->current) - fetched;
    uint64_t part = (item->id >> 8) % 16;

    return fetched + ttl / 100 * (75 + part);
}

static bool is_hot(const struct hush_item *item, uint64_t now_ns)
{
    const struct hush_snapshot *s = item->current;

    return item->job == NULL && item->staged == NULL && item->instance != NULL &&
           item->settings.ttl_ms >= 1000 && item->used_ns > s->record->fetched_ns &&
           (item->instance->provider->flags & HUSH_ONE_SECRET_PER_READ) == 0 &&
           now_ns >= item->retry_ns && now_ns >= refresh_at(item);
}

static void sweep_item(struct hush_fs *fs, struct hush_item *item, uint64_t now_ns)
{
    if (item->current == NULL) {
        if (now_ns - item->used_ns > (uint64_t)FORGET_MS * HUSH_NS_PER_MS)
            hush_item_put(fs, item, now_ns);
        return;
    }
    if (item->job != NULL)
        return; /* it may be told that this is still the version */
    if (now_ns >= hush_snapshot_stale_until(item->current))
        hush_item_drop(fs, item);
    else if (item->current->record->dynamic)
        hush_lease_tend(fs, item, now_ns);
    else if (is_hot(item, now_ns))
        (void)hush_work_fetch(fs, item, HUSH_WORK_BACKGROUND);
}

static void sweep(struct hush_fs *fs, uint64_t now_ns)
{
    struct hush_item *item, *next;

    HASH_ITER(hh, fs->items, item, next)
    sweep_item(fs, item, now_ns);
}

/* When to look again: a second is a large part of a short lease's last tenth. */
static uint64_t sweep_after(const struct hush_fs *fs, uint64_t now_ns)
{
    uint64_t at_ns = now_ns + (uint64_t)SWEEP_MS * HUSH_NS_PER_MS;

    for (const struct hush_item *item = fs->items; item != NULL; item = item->hh.next) {
        const uint64_t due_ns =
            item->current != NULL && item->current->record->dynamic ? hush_lease_next(item) : 0;

        if (due_ns > now_ns && due_ns < at_ns)
            at_ns = due_ns;
    }
    return at_ns;
}

static bool any_awaited(const struct hush_fs *fs)
{
    for (const struct hush_item *item = fs->items; item != NULL; item = item->hh.next)
        if (item->command != 0)
            return true;
    return false;
}

/* Sleep until the earliest of what is due, or a signal. */
static void rest(struct hush_fs *fs, uint64_t now_ns, uint64_t sweep_ns)
{
    uint64_t until = sweep_ns;
    struct timespec end;

    if (fs->parked != NULL && fs->parked->deadline_ns < until)
        until = fs->parked->deadline_ns;
    if ((any_awaited(fs) || fs->reload_count > 0) &&
        now_ns + (uint64_t)ACTIVE_MS * HUSH_NS_PER_MS < until)
        until = now_ns + (uint64_t)ACTIVE_MS * HUSH_NS_PER_MS;
    if (until <= now_ns)
        return;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += (time_t)((until - now_ns) / HUSH_NS_PER_S);
    end.tv_nsec += (long)((until - now_ns) % HUSH_NS_PER_S);
    if (end.tv_nsec >= (long)HUSH_NS_PER_S) {
        end.tv_nsec -= (long)HUSH_NS_PER_S;
        end.tv_sec++;
    }
    fs->rest_ns = until;
    (void)pthread_cond_clockwait(&fs->timer, &fs->lock, CLOCK_MONOTONIC, &end);
    fs->rest_ns = 0;
}

static bool reload_is_over(const struct hush_fs *fs)
{
    const struct hush_reload *reload = &fs->state->reload;

    return atomic_load(&reload->done) == atomic_load(&reload->asked);
}

static void *timer_thread(void *arg)
{
    struct hush_fs *fs = arg;
    uint64_t sweep_ns = hush_now_ns();

    pthread_mutex_lock(&fs->lock);
    while (!fs->stopping) {
        uint64_t now_ns = hush_now_ns();
        bool reloaded;

        hush_gate_expire(fs, now_ns);
        hush_rotate_expire(fs, now_ns);
        if (now_ns >= sweep_ns) {
            sweep(fs, now_ns);
            sweep_ns = sweep_after(fs, now_ns);
        }
        reloaded = fs->reload_count > 0 && reload_is_over(fs) && hush_rotate_idle(fs);
        pthread_mutex_unlock(&fs->lock);
        hush_gate_answer_woken(fs);
        if (reloaded)
            hush_dot_reload_done(fs);
        pthread_mutex_lock(&fs->lock);
        if (!fs->stopping)
            rest(fs, now_ns, sweep_ns);
    }
    pthread_mutex_unlock(&fs->lock);
    return NULL;
}

bool hush_timer_start(struct hush_fs *fs)
{
    errno = pthread_create(&fs->timer_thread, NULL, timer_thread, fs);
    return errno == 0;
}

void hush_timer_stop(struct hush_fs *fs)
{
    pthread_mutex_lock(&fs->lock);
    fs->stopping = true;
    pthread_cond_broadcast(&fs->timer);
    pthread_mutex_unlock(&fs->lock);
    pthread_join(fs->timer_thread, NULL);
}
