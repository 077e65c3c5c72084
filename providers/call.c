/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call.c - see call.h. Called by the worker (work.c, lease.c, revoke.c, watch.c) and `hushfs get`.
 */
#include "call.h"

#include "core/cleanup.h"
#include "core/clock.h"
#include "core/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { AGAIN_FIRST_MS = 1000, AGAIN_DOUBLINGS = 3 };

/* How open() went. */
struct hush_opening {
    pthread_mutex_t lock; /* one open() at a time */
    atomic_bool done;     /* well: the other slots may be called */
    bool due;             /* it was called, so close() is due */
    uint32_t failures;    /* so often not; then the answer to every call is … */
    enum hush_status status;
    char why[HUSH_DETAIL_MAX];
    uint64_t again_ns; /* … until then */
};

/* -- The life of an instance ------------------------------------------------------------------- */

struct hush_provider *hush_provider_new(const struct hush_provider_ops *ops, const char *instance,
                                        const struct hush_environ *env)
{
    struct hush_provider *self = calloc(1, ops->size);

    if (self == NULL)
        return NULL;
    self->ops = ops;
    self->instance = instance;
    self->env = env;
    self->flags = ops->flags;
    self->opening = calloc(1, sizeof(*self->opening));
    if (self->opening != NULL)
        pthread_mutex_init(&self->opening->lock, NULL); /* cannot fail */
    if (self->opening != NULL && hush_options_init(ops->options, self))
        return self;
    hush_provider_free(self);
    return NULL;
}

void hush_provider_free(struct hush_provider *self)
{
    if (self == NULL)
        return;
    if (self->opening != NULL && self->opening->due)
        self->ops->close(self);
    hush_options_free(self->ops->options, self);
    if (self->opening != NULL)
        pthread_mutex_destroy(&self->opening->lock);
    free(self->opening);
    free(self);
}

/* With the lock held. */
static enum hush_status open_now(struct hush_provider *self, struct hush_op *op)
{
    struct hush_opening *o = self->opening;
    const uint32_t doublings = o->failures < AGAIN_DOUBLINGS ? o->failures : AGAIN_DOUBLINGS;
    enum hush_status status;

    if (o->due)
        self->ops->close(self); /* what the open() that failed got as far as */
    self->flags = self->ops->flags;
    o->due = true;
    status = self->ops->open(self, op);
    if (status == HUSH_CANCELED)
        return status; /* it says nothing of the instance */
    if (status == HUSH_OK) {
        atomic_store(&o->done, true);
        return HUSH_OK;
    }
    o->status = hush_status_keeps_stale(status) ? status : HUSH_CONFIG;
    memcpy(o->why, op->detail, sizeof(o->why));
    o->again_ns = hush_now_ns() + ((uint64_t)AGAIN_FIRST_MS << doublings) * HUSH_NS_PER_MS;
    o->failures++;
    return o->status;
}

bool hush_provider_is_open(const struct hush_provider *self)
{
    return atomic_load(&self->opening->done);
}

enum hush_status hush_provider_open(struct hush_provider *self, struct hush_op *op)
{
    hush_lock_scope(&self->opening->lock);
    return hush_provider_is_open(self) ? HUSH_OK : open_now(self, op);
}

static enum hush_status refuse(const struct hush_provider *self, struct hush_op *op)
{
    return hush_fail(op, self->opening->status, "%s", self->opening->why);
}

/* HUSH_OK: a slot may be called. Who comes while another opens waits for it: open() is quick. */
static enum hush_status ready(struct hush_provider *self, struct hush_op *op)
{
    struct hush_opening *o = self->opening;
    enum hush_status status;

    if (hush_provider_is_open(self))
        return HUSH_OK;
    hush_lock_scope(&o->lock);
    if (hush_provider_is_open(self))
        return HUSH_OK;
    if (hush_now_ns() < o->again_ns)
        return refuse(self, op);
    status = open_now(self, op);
    if (status == HUSH_OK && o->failures > 0)
        hush_info("instance %s: it could be opened now", self->instance);
    return status;
}

/* -- The slots --------------------------------------------------------------------------------- */

enum hush_status hush_provider_fetch(struct hush_provider *self, struct hush_op *op,
                                     const struct hush_ref *ref, const struct hush_version *if_not,
                                     struct hush_value *out)
{
    const enum hush_status status = ready(self, op);

    return status != HUSH_OK ? status : self->ops->fetch(self, op, ref, if_not, out);
}

enum hush_status hush_provider_list(struct hush_provider *self, struct hush_op *op,
                                    const char *prefix, hush_emit_fn *emit, void *ctx)
{
    const enum hush_status status = ready(self, op);

    return status != HUSH_OK ? status : self->ops->list(self, op, prefix, emit, ctx);
}

enum hush_status hush_provider_watch(struct hush_provider *self, struct hush_op *op,
                                     hush_changed_fn *changed, void *ctx)
{
    if (hush_provider_is_open(self))
        return self->ops->watch(self, op, changed, ctx);
    hush_lock_scope(&self->opening->lock);
    return refuse(self, op);
}

enum hush_status hush_provider_renew(struct hush_provider *self, struct hush_op *op,
                                     const char *lease, struct hush_meta *meta)
{
    const enum hush_status status = ready(self, op);

    return status != HUSH_OK ? status : self->ops->renew(self, op, lease, meta);
}

enum hush_status hush_provider_revoke(struct hush_provider *self, struct hush_op *op,
                                      const char *lease)
{
    const enum hush_status status = ready(self, op);

    return status != HUSH_OK ? status : self->ops->revoke(self, op, lease);
}
