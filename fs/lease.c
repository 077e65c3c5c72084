/* SPDX-License-Identifier: Apache-2.0 */
/* lease.c - see lease.h: when a lease is renewed or a value replaced, and renewing. Called by
 * timer.c, work.c and report.c. */
#include "lease.h"

#include "call.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/metrics.h"
#include "item.h"
#include "job.h"
#include "snapshot.h"
#include "work.h"

/* As Vault's lifetime watcher: grace is 10 to 20 % of the lease, renewed after 2/3 and a third of
 * the grace; and as its agent does where nothing can be renewed: after 85 to 90 %. */
enum { GRACE_PERCENT = 10, GRACE_MORE = 11, REPLACE_PERCENT = 85, REPLACE_MORE = 6 };

/* -- When -------------------------------------------------------------------------------------- */

/* UINT64_MAX: never. */
struct plan {
    uint64_t renew_ns, replace_ns;
};

static bool can_renew(const struct hush_item *item)
{
    const struct hush_snapshot *s = item->current;

    return s->record->renewable && s->record->first_ttl_ms != 0 && s->value.meta.lease[0] != '\0' &&
           item->instance->provider->ops->renew != NULL;
}

static struct plan plan_of(const struct hush_item *item)
{
    const struct hush_snapshot *s = item->current;
    uint64_t from = s->record->fetched_ns, ends = hush_snapshot_ends(s);
    uint64_t life = ends > from ? ends - from : 0, part = life / 100;
    uint64_t salt = (item->id >> 8) ^ s->record->sequence; /* no two at once */
    uint64_t grace = part * (GRACE_PERCENT + salt % GRACE_MORE);

    if (!s->record->used)
        return (struct plan){UINT64_MAX, UINT64_MAX};
    if (s->record->ending || s->record->source != item->source)
        return (struct plan){UINT64_MAX, from};
    if (!can_renew(item))
        return (struct plan){UINT64_MAX, from + part * (REPLACE_PERCENT + salt % REPLACE_MORE)};
    return (struct plan){from + life / 3 * 2 + grace / 3, ends - grace};
}

/* Time for it has come, and a renewal did not help, or comes too late. */
static bool is_beyond_renewal(const struct hush_item *item, const struct plan *plan,
                              uint64_t now_ns)
{
    return now_ns >= plan->replace_ns &&
           (plan->renew_ns == UINT64_MAX || item->renew_failures > 0 || item->renewal != NULL ||
            now_ns >= hush_snapshot_ends(item->current));
}

enum hush_lease_act hush_lease_due(const struct hush_item *item, uint64_t now_ns)
{
    struct plan plan;

    if (item->instance == NULL || item->job != NULL || item->staged != NULL)
        return HUSH_LEASE_WAIT;
    plan = plan_of(item);
    if (!item->current->record->used && now_ns >= hush_snapshot_ends(item->current))
        return HUSH_LEASE_DROP;
    if (is_beyond_renewal(item, &plan, now_ns))
        return now_ns >= item->retry_ns ? HUSH_LEASE_REPLACE : HUSH_LEASE_WAIT;
    if (now_ns >= plan.renew_ns && now_ns >= item->renew_ns && item->renewal == NULL)
        return HUSH_LEASE_RENEW;
    return HUSH_LEASE_WAIT;
}

uint64_t hush_lease_next(const struct hush_item *item)
{
    struct plan plan;
    uint64_t next;

    if (item->instance == NULL || !item->current->record->used)
        return 0;
    plan = plan_of(item);
    next = plan.renew_ns > item->renew_ns ? plan.renew_ns : item->renew_ns;
    return next < plan.replace_ns ? next : plan.replace_ns;
}

/* -- Renewing ---------------------------------------------------------------------------------- */

static void renew(struct hush_fs *fs, struct hush_item *item)
{
    if (fs->stopping)
        return;
    item->renewal = hush_job_new(item->instance, HUSH_WORK_RENEW | HUSH_WORK_BACKGROUND);
    if (item->renewal == NULL)
        return;
    item->renewal->item = item;
    item->renewal->sequence = item->current->record->sequence;
}

void hush_lease_tend(struct hush_fs *fs, struct hush_item *item, uint64_t now_ns)
{
    switch (hush_lease_due(item, now_ns)) {
    case HUSH_LEASE_RENEW:
        renew(fs, item);
        break;
    case HUSH_LEASE_REPLACE:
        (void)hush_work_fetch(fs, item, HUSH_WORK_BACKGROUND | HUSH_WORK_WHOLE);
        break;
    case HUSH_LEASE_DROP:
        hush_item_drop(fs, item);
        break;
    case HUSH_LEASE_WAIT:
        break;
    }
}

/* The lease lives on, for less than half of what it had at first: it nears its end. It runs since
 * asked_ns at the earliest. */
static void renewed(struct hush_snapshot *s, const struct hush_meta *meta, uint64_t asked_ns)
{
    uint64_t half_ns = (uint64_t)s->record->first_ttl_ms * HUSH_NS_PER_MS / 2;

    if (meta->ttl_ms != 0)
        hush_snapshot_renewed(s, meta, asked_ns);
    if (meta->ttl_ms == 0 || hush_snapshot_ends(s) < asked_ns + half_ns)
        s->record->ending = 1;
}

static void settle(struct hush_fs *fs, struct hush_job *job, enum hush_status status,
                   const struct hush_meta *meta)
{
    struct hush_item *item = job->item;
    struct hush_snapshot *s = item->current;
    uint64_t now_ns = hush_now_ns();

    item->renewal = NULL;
    if (s == NULL || s->record->sequence != job->sequence || status == HUSH_CANCELED)
        return; /* replaced meanwhile, or at the end of a worker */
    if (status == HUSH_OK)
        renewed(s, meta, job->op.began_ns);
    else if (status == HUSH_NOT_FOUND)
        s->record->ending = 1;
    else if (status == HUSH_UNSUPPORTED)
        s->record->renewable = 0;
    item->renew_failures = status == HUSH_OK ? 0 : item->renew_failures + 1;
    item->renew_ns = 0;
    if (item->renew_failures > 0)
        item->renew_ns =
            now_ns +
            (uint64_t)hush_item_pause_ms(fs, item->renew_failures - 1, &job->op) * HUSH_NS_PER_MS;
    hush_lease_tend(fs, item, now_ns);
}

static void log_failure(const struct hush_job *job, enum hush_status status)
{
    if (status != HUSH_OK && status != HUSH_CANCELED && status != HUSH_UNSUPPORTED)
        hush_warning("renew failed path=%s provider=%s status=%s reason=\"%s\"", job->item->path,
                     job->instance->provider->ops->name, hush_status_name(status), job->op.detail);
}

void hush_job_renew(struct hush_fs *fs, struct hush_job *job)
{
    const struct hush_snapshot *s = job->item->current;
    struct hush_provider *p = job->instance->provider;
    struct hush_meta asked = {0}, meta = {0};
    enum hush_status status = HUSH_CANCELED;
    bool asks = s != NULL && s->record->sequence == job->sequence;

    if (asks)
        asked = s->value.meta;
    pthread_mutex_unlock(&fs->lock);
    if (asks) {
        hush_metric_add(HUSH_METRIC_RENEWALS, 1);
        status = hush_provider_renew(p, &job->op, asked.lease, &meta);
        log_failure(job, status);
    }
    pthread_mutex_lock(&fs->lock);
    settle(fs, job, status, &meta);
}
