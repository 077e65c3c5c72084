/* SPDX-License-Identifier: Apache-2.0 */
/*
 * revoke.c - the end of a mount: nobody reads any more, so the leases that it holds are given back.
 * Several at a time, and all together in HUSH_REVOKE_MS. See lease.h; called by serve.c.
 */
#include "lease.h"

#include "call.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/metrics.h"
#include "process.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { THREADS = 16 };

struct lease {
    struct hush_provider *provider;
    char *path; /* owned */
    char id[HUSH_LEASE_MAX + 1];
};

/* What is left to do. Outlives the call if a thread does. */
struct revoking {
    struct hush_arena *arena;
    uint64_t end_ns;
    struct lease *leases;
    size_t count, room;
    atomic_size_t next;
    atomic_size_t ended; /* threads: said in a way that ThreadSanitizer knows, unlike the join */
};

static void add(struct revoking *r, const struct hush_snapshot *s)
{
    struct lease *lease;

    if (s == NULL || s->value.meta.lease[0] == '\0' || s->item->instance == NULL ||
        s->item->instance->provider->ops->revoke == NULL)
        return;
    if (r->count == r->room) {
        size_t room = r->room * 2 + 16;

        lease = realloc(r->leases, room * sizeof(*lease));
        if (lease == NULL)
            return; /* it ends by itself */
        r->leases = lease;
        r->room = room;
    }
    lease = &r->leases[r->count];
    lease->provider = s->item->instance->provider;
    lease->path = strdup(s->item->path);
    memcpy(lease->id, s->value.meta.lease, sizeof(lease->id));
    r->count += lease->path != NULL;
}

static void collect(struct hush_fs *fs, struct revoking *r)
{
    for (const struct hush_item *item = fs->items; item != NULL; item = item->hh.next) {
        const struct hush_snapshot *s;

        add(r, item->current);
        add(r, item->staged);
        DL_FOREACH(item->old, s)
        add(r, s);
    }
}

static void revoke(struct revoking *r, const struct lease *lease)
{
    struct hush_op op;
    enum hush_status status;

    hush_op_init(&op, r->arena, 0);
    op.deadline_ns = r->end_ns;
    status = hush_provider_revoke(lease->provider, &op, lease->id);
    if (status == HUSH_OK)
        hush_metric_add(HUSH_METRIC_REVOCATIONS, 1);
    else if (status != HUSH_UNSUPPORTED && status != HUSH_NOT_FOUND)
        hush_warning("revoke failed path=%s provider=%s status=%s reason=\"%s\"", lease->path,
                     lease->provider->ops->name, hush_status_name(status), op.detail);
}

static void *revoke_thread(void *arg)
{
    struct revoking *r = arg;
    size_t i;

    while ((i = atomic_fetch_add(&r->next, 1)) < r->count && hush_now_ns() < r->end_ns)
        revoke(r, &r->leases[i]);
    atomic_fetch_add(&r->ended, 1);
    return NULL;
}

/* True: all threads ended in time. */
static bool run(struct revoking *r)
{
    pthread_t threads[THREADS];
    size_t started = 0;
    struct timespec end;

    while (started < THREADS && started < r->count &&
           pthread_create(&threads[started], NULL, revoke_thread, r) == 0)
        started++;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += HUSH_REVOKE_MS / 1000;
    for (size_t i = 0; i < started; i++)
        (void)pthread_clockjoin_np(threads[i], NULL, CLOCK_MONOTONIC, &end);
    return atomic_load(&r->ended) == started;
}

bool hush_lease_revoke_all(struct hush_fs *fs)
{
    struct revoking *r = calloc(1, sizeof(*r));
    size_t done;
    bool all;

    if (r == NULL)
        return true;
    r->arena = fs->arena;
    r->end_ns = hush_now_ns() + (uint64_t)HUSH_REVOKE_MS * HUSH_NS_PER_MS;
    collect(fs, r);
    all = run(r);
    done = atomic_load(&r->next);
    if (!all || done < r->count)
        hush_warning("not all leases could be revoked: %zu of %zu were not reached in time",
                     done < r->count ? r->count - done : 0, r->count);
    if (!all)
        return false; /* what a thread still uses stays */
    for (size_t i = 0; i < r->count; i++)
        free(r->leases[i].path);
    free(r->leases);
    free(r);
    return true;
}
