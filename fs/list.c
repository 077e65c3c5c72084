/* SPDX-License-Identifier: Apache-2.0 */
/* list.c - jobs that list a folder, and what a listing brings; see job.h. Called by work.c. */
#include "both.h"
#include "call.h"
#include "core/clock.h"
#include "core/metrics.h"
#include "gate.h"
#include "item.h"
#include "job.h"
#include "tree.h"
#include "work.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIST_BRIEF_MS = 1000 };

/* -- The call: without the lock ---------------------------------------------------------------- */

static enum hush_status list_emit(void *ctx, const struct hush_entry *entry)
{
    unsigned kinds = entry->kind == HUSH_KIND_FOLDER ? HUSH_IS_FOLDER : HUSH_IS_SECRET;

    return hush_listing_add(ctx, entry->name, kinds) ? HUSH_OK : HUSH_NO_MEMORY;
}

static enum hush_status list_call(struct hush_job *job, const char *prefix,
                                  struct hush_listing **out)
{
    struct hush_provider *p = job->instance->provider;
    struct hush_listing *l;
    enum hush_status status;

    if (p->ops->list == NULL)
        return hush_fail(&job->op, HUSH_UNSUPPORTED, "the backend cannot list");
    l = calloc(1, sizeof(*l));
    if (l == NULL)
        return HUSH_NO_MEMORY;
    l->refs = 1;
    hush_metric_add(HUSH_METRIC_LISTS, 1);
    status = hush_provider_list(p, &job->op, prefix, list_emit, l);
    hush_listing_finish(l);
    if (status == HUSH_OK)
        *out = l;
    else
        hush_listing_unref(l);
    return status;
}

enum hush_status hush_job_list_briefly(struct hush_job *job, const char *prefix,
                                       struct hush_listing **out)
{
    uint64_t until_ns = hush_now_ns() + (uint64_t)LIST_BRIEF_MS * HUSH_NS_PER_MS;
    char detail[HUSH_DETAIL_MAX];
    enum hush_status status;

    memcpy(detail, job->op.detail, sizeof(detail)); /* why the fetch failed: that is the news */
    if (job->op.deadline_ns == 0 || job->op.deadline_ns > until_ns)
        job->op.deadline_ns = until_ns;
    status = list_call(job, prefix, out);
    memcpy(job->op.detail, detail, sizeof(detail));
    return status;
}

/* -- Outcomes: with the lock ------------------------------------------------------------------- */

bool hush_work_prefetches(const struct hush_instance *instance)
{
    return instance->config->prefetch &&
           (instance->provider->flags & HUSH_ONE_SECRET_PER_READ) == 0;
}

/* What shows the value of a listed secret: a file that is a folder, too, shows it as .value. */
static struct hush_item *item_of_listed(struct hush_fs *fs, char path[PATH_MAX], unsigned kinds)
{
    struct hush_item *item = hush_item_get(fs, path, false);
    size_t n = strlen(path);

    if (item == NULL || (kinds & HUSH_IS_FOLDER) == 0 || item->settings.as == HUSH_AS_DIRECTORY)
        return item;
    return snprintf(path + n, PATH_MAX - n, "/.value") < (int)(PATH_MAX - n)
               ? hush_item_get(fs, path, false)
               : NULL;
}

/* Everything that dir lists and that is not there yet is fetched, folders are listed in turn. */
static void prefetch(struct hush_fs *fs, struct hush_instance *instance, struct hush_node *dir)
{
    char path[PATH_MAX];

    for (size_t i = 0; i < dir->listing->count; i++) {
        const struct hush_listed *entry = &dir->listing->entries[i];
        struct hush_node *below = NULL;
        struct hush_item *item = NULL;

        if (snprintf(path, sizeof(path), "%s/%s", dir->path, entry->name) >= (int)sizeof(path))
            continue;
        if ((entry->kinds & HUSH_IS_FOLDER) != 0)
            below = hush_tree_path_node(fs, instance, path, HUSH_NODE_DIR, false);
        if ((entry->kinds & HUSH_IS_SECRET) != 0)
            item = item_of_listed(fs, path, entry->kinds);
        if (below != NULL && below->listing == NULL)
            (void)hush_work_list(fs, below);
        if (item != NULL && item->current == NULL)
            (void)hush_work_fetch(fs, item, HUSH_WORK_BACKGROUND);
    }
}

static void list_finish(struct hush_fs *fs, struct hush_job *job, enum hush_status status,
                        struct hush_listing *l)
{
    struct hush_node *dir = job->dir;
    uint64_t now_ns = hush_now_ns();
    bool again = dir->again; /* it may have looked before the change: what it saw is old */
    bool none;

    dir->list_job = NULL;
    dir->again = false;
    if (hush_job_given_up(job, status))
        return; /* only at the end of a worker */
    none =
        dir->kind == HUSH_NODE_GUESS && !hush_both_listed(fs, dir, status, l, again ? 0 : now_ns);
    if (none) {
        hush_listing_unref(l);
    } else if (status == HUSH_OK) {
        hush_tree_listed(fs, dir, l, again ? 0 : now_ns);
        if (hush_work_prefetches(job->instance))
            prefetch(fs, job->instance, dir);
    } else {
        dir->list_status = status;
        dir->list_retry_ns = again ? 0 : now_ns + HUSH_NS_PER_S;
    }
    hush_job_note_health(job->instance, status, &job->op);
    hush_gate_wake_dir(fs, dir, status);
    if (none)
        hush_tree_put(fs, dir);
    else if (again)
        (void)hush_work_list(fs, dir);
}

void hush_job_list(struct hush_fs *fs, struct hush_job *job)
{
    struct hush_listing *l = NULL;
    struct hush_item top = {.path = job->dir->path};
    struct hush_ref_text ref = {0};
    enum hush_status status = HUSH_NOT_FOUND;
    bool asks = strchr(top.path, '/') == NULL || hush_item_ref(&top, &ref);
    bool is_wanted = job->dir->kind == HUSH_NODE_DIR; /* else only to see whether it is a folder */

    job->dir->again = false; /* it looks from now on */
    pthread_mutex_unlock(&fs->lock);
    if (asks)
        status = list_call(job, ref.path, &l);
    if (is_wanted)
        hush_job_log_failure(job, "list", top.path, status);
    pthread_mutex_lock(&fs->lock);
    list_finish(fs, job, status, l);
}
