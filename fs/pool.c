/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.c - the threads that run jobs: as many for an instance as it may make calls at once. See
 * work.h; called by serve.c. Work goes to the one that fell asleep last: what it used is still in
 * the CPU's caches, and its heap is the one that grew.
 */
#include "call.h"
#include "core/clock.h"
#include "gate.h"
#include "job.h"
#include "watch.h"
#include "work.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

struct hush_sleeper {
    struct hush_sleeper *next; /* the one that fell asleep before it */
    pthread_cond_t wake;
    bool called;
};

void hush_pool_wake(struct hush_instance *instance)
{
    struct hush_sleeper *last = instance->sleepers;

    if (last == NULL)
        return; /* all are busy, and look into the queue when they are done */
    instance->sleepers = last->next;
    last->called = true;
    pthread_cond_signal(&last->wake);
}

static void pool_sleep(struct hush_instance *instance, struct hush_sleeper *me)
{
    me->called = false;
    me->next = instance->sleepers;
    instance->sleepers = me;
    while (!me->called)
        pthread_cond_wait(&me->wake, &instance->fs->lock);
}

/* With the lock held, which is let go for the call. What could not be opened at the start may be
 * opened by any call: what was left out then is made up for. */
static void pool_run(struct hush_fs *fs, struct hush_instance *instance, struct hush_job *job)
{
    const bool was_open = hush_provider_is_open(instance->provider);

    hush_job_run(fs, job);
    if (!was_open && hush_provider_is_open(instance->provider) && hush_work_prefetches(instance) &&
        instance->node->listing == NULL)
        (void)hush_work_list(fs, instance->node);
}

static void *pool_thread(void *arg)
{
    struct hush_instance *instance = arg;
    struct hush_fs *fs = instance->fs;
    struct hush_sleeper me = {.wake = PTHREAD_COND_INITIALIZER};

    pthread_mutex_lock(&fs->lock);
    while (!fs->stopping) {
        struct hush_job *job = instance->queue;

        if (job == NULL) {
            pool_sleep(instance, &me);
            continue;
        }
        DL_DELETE(instance->queue, job);
        pool_run(fs, instance, job);
        pthread_mutex_unlock(&fs->lock);
        hush_gate_answer_woken(fs);
        pthread_mutex_lock(&fs->lock);
    }
    pthread_mutex_unlock(&fs->lock);
    pthread_cond_destroy(&me.wake);
    return NULL;
}

static bool pool_start(struct hush_instance *instance)
{
    uint32_t n = instance->config->concurrency;

    instance->threads = calloc(n, sizeof(*instance->threads));
    if (instance->threads == NULL)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        errno = pthread_create(&instance->threads[i], NULL, pool_thread, instance);
        if (errno != 0)
            return false;
        instance->thread_count++;
    }
    return hush_watch_start(instance);
}

bool hush_work_start(struct hush_fs *fs)
{
    for (size_t i = 0; i < fs->instance_count; i++)
        if (!pool_start(&fs->instances[i]))
            return false;
    return true;
}

static void cancel_running(struct hush_fs *fs)
{
    for (struct hush_item *item = fs->items; item != NULL; item = item->hh.next) {
        if (item->job != NULL)
            hush_op_cancel(&item->job->op);
        if (item->renewal != NULL)
            hush_op_cancel(&item->renewal->op);
    }
    for (struct hush_node *node = fs->nodes; node != NULL; node = node->hh.next)
        if (node->list_job != NULL)
            hush_op_cancel(&node->list_job->op);
}

static bool join_until(pthread_t thread, const struct timespec *end)
{
    return pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, end) == 0;
}

bool hush_work_stop(struct hush_fs *fs, uint32_t wait_ms)
{
    struct timespec end;
    bool all = true;

    pthread_mutex_lock(&fs->lock);
    fs->stopping = true;
    cancel_running(fs);
    for (size_t i = 0; i < fs->instance_count; i++)
        while (fs->instances[i].sleepers != NULL)
            hush_pool_wake(&fs->instances[i]);
    pthread_mutex_unlock(&fs->lock);
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += wait_ms / 1000;
    for (size_t i = 0; i < fs->instance_count; i++) {
        struct hush_instance *instance = &fs->instances[i];

        for (size_t k = 0; k < instance->thread_count; k++)
            all = join_until(instance->threads[k], &end) && all;
        all = hush_watch_stop(instance, &end) && all;
    }
    return all;
}
