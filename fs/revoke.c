/* SPDX-License-Identifier: Apache-2.0 */
/*
 * revoke.c - the end of a mount: nobody reads any more, so the leases that it holds are given back.
 * Several at a time, and all together in HUSH_REVOKE_MS. See lease.h; called by serve.c.
 *
 * The leases first, one by one: a backend that ends them with the login does so when it pleases,
 * and does not say which it could not end. The logins then have their own part of the time, since
 * what was not reached before ends with them.
 */
#include "lease.h"

#include "call.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/metrics.h"
#include "process.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    THREADS = 16,
    LOGINS_MS = 1000, /* of HUSH_REVOKE_MS, where there are logins to give back */
    LATE_MS = 100,    /* a call may come back so long after its deadline */
};

struct lease {
    struct hush_provider *provider;
    char *path;                  /* owned */
    char id[HUSH_LEASE_MAX + 1]; /* "": the login */
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

static void add(struct revoking *r, const struct hush_instance *instance, const char *path,
                const char *id)
{
    struct lease *lease;

    if (instance == NULL || instance->provider->ops->revoke == NULL)
        return; /* it is configured no more, or its backend knows no leases */
    if (r->count == r->room) {
        size_t room = r->room * 2 + 16;

        lease = realloc(r->leases, room * sizeof(*lease));
        if (lease == NULL)
            return; /* it ends by itself */
        r->leases = lease;
        r->room = room;
    }
    lease = &r->leases[r->count];
    lease->provider = instance->provider;
    lease->path = strdup(path);
    (void)snprintf(lease->id, sizeof(lease->id), "%s", id); /* it has at most that size */
    r->count += lease->path != NULL;
}

static void add_lease(struct revoking *r, const struct hush_snapshot *s)
{
    if (s != NULL && s->value.meta.lease[0] != '\0')
        add(r, s->item->instance, s->item->path, s->value.meta.lease);
}

static void collect_leases(struct hush_fs *fs, struct revoking *r)
{
    for (const struct hush_item *item = fs->items; item != NULL; item = item->hh.next) {
        const struct hush_snapshot *s;

        add_lease(r, item->current);
        add_lease(r, item->staged);
        DL_FOREACH(item->old, s)
        add_lease(r, s);
    }
}

static bool gives_login_back(const struct hush_instance *instance)
{
    return (instance->provider->flags & HUSH_GIVES_LOGIN_BACK) != 0;
}

void hush_lease_expect(const struct hush_instance *instance)
{
    if (gives_login_back(instance))
        atomic_store(&instance->fs->state->leases, 1);
}

static void collect_logins(struct hush_fs *fs, struct revoking *r)
{
    for (size_t i = 0; i < fs->instance_count; i++)
        if (gives_login_back(&fs->instances[i]))
            add(r, &fs->instances[i], fs->instances[i].config->name, "");
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
    const uint64_t now_ns = hush_now_ns();
    pthread_t threads[THREADS];
    size_t started = 0;
    struct timespec end;
    uint64_t left_ns = LATE_MS * (uint64_t)HUSH_NS_PER_MS;

    while (started < THREADS && started < r->count &&
           pthread_create(&threads[started], NULL, revoke_thread, r) == 0)
        started++;
    if (r->end_ns > now_ns)
        left_ns += r->end_ns - now_ns;
    clock_gettime(CLOCK_MONOTONIC, &end);
    left_ns += (uint64_t)end.tv_nsec;
    end.tv_sec += (time_t)(left_ns / HUSH_NS_PER_S);
    end.tv_nsec = (long)(left_ns % HUSH_NS_PER_S);
    for (size_t i = 0; i < started; i++)
        (void)pthread_clockjoin_np(threads[i], NULL, CLOCK_MONOTONIC, &end);
    return atomic_load(&r->ended) == started;
}

/* As hush_lease_revoke_all(), what collect finds. */
static bool give_back(struct hush_fs *fs, void (*collect)(struct hush_fs *fs, struct revoking *r),
                      const char *what, uint64_t end_ns)
{
    struct revoking *r = calloc(1, sizeof(*r));
    size_t done;
    bool all;

    if (r == NULL)
        return true;
    r->arena = fs->arena;
    r->end_ns = end_ns;
    collect(fs, r);
    all = run(r);
    done = atomic_load(&r->next);
    if (!all || done < r->count)
        hush_warning("not all %s could be revoked: %zu of %zu were not reached in time", what,
                     done < r->count ? r->count - done : 0, r->count);
    if (!all)
        return false; /* what a thread still uses stays */
    for (size_t i = 0; i < r->count; i++)
        free(r->leases[i].path);
    free(r->leases);
    free(r);
    return true;
}

bool hush_lease_revoke_all(struct hush_fs *fs)
{
    const uint64_t end_ns = hush_now_ns() + (uint64_t)HUSH_REVOKE_MS * HUSH_NS_PER_MS;
    uint64_t leases_ns = end_ns;
    bool all;

    for (size_t i = 0; i < fs->instance_count; i++)
        if (gives_login_back(&fs->instances[i]))
            leases_ns = end_ns - (uint64_t)LOGINS_MS * HUSH_NS_PER_MS;
    all = give_back(fs, collect_leases, "leases", leases_ns);
    return give_back(fs, collect_logins, "logins", end_ns) && all;
}
