/* SPDX-License-Identifier: Apache-2.0 */
/* work.c - see work.h. Called by decide.c, timer.c, watch.c and worker.c. */
#include "work.h"

#include "call.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/metrics.h"
#include "evict.h"
#include "gate.h"
#include "item.h"
#include "job.h"
#include "json.h"
#include "lease.h"
#include "rotate.h"
#include "select.h"
#include "snapshot.h"
#include "tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -- Queueing: with the lock held -------------------------------------------------------------- */

struct hush_job *hush_job_new(struct hush_instance *instance, unsigned flags)
{
    struct hush_job *job = calloc(1, sizeof(*job));

    if (job == NULL)
        return NULL;
    job->instance = instance;
    job->flags = flags;
    DL_APPEND(instance->queue, job);
    hush_pool_wake(instance);
    return job;
}

bool hush_work_fetch(struct hush_fs *fs, struct hush_item *item, unsigned flags)
{
    if (item->job != NULL) {
        item->job->flags |= flags;
        return true;
    }
    if (item->instance == NULL || fs->stopping)
        return false;
    item->job = hush_job_new(item->instance, flags);
    if (item->job == NULL)
        return false;
    item->job->item = item;
    return true;
}

bool hush_work_list(struct hush_fs *fs, struct hush_node *dir)
{
    if (dir->list_job != NULL)
        return true;
    if (fs->stopping)
        return false;
    dir->list_job = hush_job_new(dir->instance, HUSH_WORK_BACKGROUND);
    if (dir->list_job == NULL)
        return false;
    dir->list_job->dir = dir;
    return true;
}

void hush_work_abandon(struct hush_job *job, bool timed_out)
{
    if ((job->flags & HUSH_WORK_BACKGROUND) != 0 ||
        (job->instance->provider->flags & HUSH_ONE_SECRET_PER_READ) != 0)
        return;
    job->timed_out = timed_out;
    hush_op_cancel(&job->op);
}

/* -- Fetching: without the lock ---------------------------------------------------------------- */

static enum hush_status decode_field(struct hush_op *op, const struct hush_value *value,
                                     struct hush_field *field)
{
    struct hush_secret *plain = NULL;
    enum hush_status status = hush_select(op, value, field->name, true, &plain);

    if (status == HUSH_OK) {
        hush_secret_unref(field->value);
        field->value = plain;
    }
    return status;
}

static enum hush_status decode_value(struct hush_op *op, struct hush_value *value, bool fields)
{
    struct hush_secret *plain = NULL;
    enum hush_status status = HUSH_OK;

    for (size_t i = 0; fields && i < value->field_count && status == HUSH_OK; i++)
        status = decode_field(op, value, &value->fields[i]);
    if (status != HUSH_OK || (fields && value->field_count > 0))
        return status;
    status = hush_select(op, value, NULL, true, &plain);
    if (status != HUSH_OK)
        return status;
    hush_secret_unref(value->secret);
    value->secret = plain;
    return HUSH_OK;
}

/* What the backend gave, as it will be shown. A value that is to be a directory and is no map is
 * shown as .value alone. */
static enum hush_status shape(struct hush_op *op, const struct hush_instance_config *config,
                              bool directory, struct hush_value *value)
{
    enum hush_status status = HUSH_OK;

    if (value->unchanged)
        return HUSH_OK;
    if (directory && value->fields == NULL &&
        hush_json_fields(op, value->secret, value) == HUSH_PROTOCOL)
        op->detail[0] = '\0';
    if (!directory && value->fields != NULL) { /* a file shows the whole; fields need no memory */
        struct hush_value fields = {.fields = value->fields, .field_count = value->field_count};

        value->fields = NULL;
        value->field_count = 0;
        hush_value_clear(&fields);
    }
    if (config->base64_decode)
        status = decode_value(op, value, directory);
    if (status != HUSH_OK)
        hush_value_clear(value);
    return status;
}

/* Everything a fetch needs, copied so that the lock can go. */
struct fetch {
    struct hush_ref_text ref;
    struct hush_version if_not;
    struct hush_param *params;
    bool directory, may_split;
};

static bool fetch_prepare(struct hush_fs *fs, const struct hush_job *job, struct fetch *f)
{
    const struct hush_item *item = job->item;
    const struct hush_snapshot *newest = item->staged != NULL ? item->staged : item->current;
    unsigned can = job->instance->provider->flags;

    memset(f, 0, sizeof(*f));
    if (!hush_item_ref(item, &f->ref))
        return false;
    /* Another source may have other bytes of the same version. */
    if (newest != NULL && newest->record->source == item->source && !newest->record->dynamic &&
        (can & HUSH_HAS_UNCHANGED) != 0 && (job->flags & HUSH_WORK_WHOLE) == 0)
        f->if_not = newest->record->latest;
    f->params = hush_config_params(fs->config, item->path);
    f->directory = item->settings.as == HUSH_AS_DIRECTORY;
    f->may_split = (job->flags & HUSH_WORK_RESOLVE) != 0 && (can & HUSH_HAS_VERSIONS) != 0 &&
                   !item->versioned && newest == NULL;
    return true;
}

static enum hush_status fetch_call(struct hush_job *job, const struct fetch *f,
                                   struct hush_value *value)
{
    struct hush_provider *p = job->instance->provider;
    struct hush_ref ref = {.path = f->ref.path, .version = f->ref.version, .params = f->params};
    enum hush_status status;

    hush_metric_add(HUSH_METRIC_FETCHES, 1);
    status = hush_provider_fetch(p, &job->op, &ref, &f->if_not, value);
    if (status == HUSH_OK)
        status = shape(&job->op, job->instance->config, f->directory, value);
    if (status != HUSH_OK)
        hush_metric_add(HUSH_METRIC_FETCH_ERRORS, 1);
    return status;
}

/* Where the memory is full, once more when something else has gone. */
static enum hush_status fetch_roomy(struct hush_fs *fs, struct hush_job *job, const struct fetch *f,
                                    struct hush_value *value)
{
    enum hush_status status = fetch_call(job, f, value);

    if (status != HUSH_NO_MEMORY || job->op.no_room == 0 ||
        (job->instance->provider->flags & HUSH_ONE_SECRET_PER_READ) != 0 ||
        !hush_evict_room(fs, &job->op, job->item))
        return status;
    return fetch_call(job, f, value);
}

/* The literal name is not there, or refused: read it as NAME#VERSION, if it is one. */
static enum hush_status fetch_version(struct hush_fs *fs, struct hush_job *job, struct fetch *f,
                                      enum hush_status literally, struct hush_value *value)
{
    struct hush_ref_text literal = f->ref;
    enum hush_status status;
    bool is;

    pthread_mutex_lock(&fs->lock);
    job->item->versioned = true;
    is = hush_item_ref(job->item, &f->ref);
    job->item->versioned = false;
    pthread_mutex_unlock(&fs->lock);
    status = is ? fetch_call(job, f, value) : literally;
    if (status != HUSH_OK) {
        f->ref = literal;
        return status;
    }
    pthread_mutex_lock(&fs->lock);
    job->item->versioned = true;
    pthread_mutex_unlock(&fs->lock);
    return HUSH_OK;
}

/* -- Outcomes ---------------------------------------------------------------------------------- */

void hush_job_note_health(struct hush_instance *instance, enum hush_status status,
                          const struct hush_op *op)
{
    bool ill = hush_status_retries(status) || status == HUSH_CONFIG;

    if (status == HUSH_CANCELED)
        return;
    hush_lease_expect(instance);
    instance->health = ill ? status : HUSH_OK;
    memcpy(instance->detail, op->detail, sizeof(instance->detail));
    if (!ill)
        instance->detail[0] = '\0';
}

/*
 * What a name is that is no secret: a folder if it lists something. If it cannot be listed nobody
 * may say, and a walk must go on through it (a policy that allows one secret alone refuses
 * everything on the way to it): a failure is never "not found".
 */
static unsigned settle_kind(struct hush_item *item, enum hush_status fetched,
                            enum hush_status listed, const struct hush_listing *l)
{
    if (l != NULL && l->count > 0)
        return HUSH_IS_FOLDER;
    if (fetched != HUSH_NOT_FOUND && fetched != HUSH_DENIED)
        return 0;
    if (listed == HUSH_NOT_FOUND || listed == HUSH_OK)
        return 0;
    item->opendir = listed == HUSH_UNSUPPORTED ? fetched : listed;
    return HUSH_MAY_BE_FOLDER;
}

static void resolve_folder(struct hush_fs *fs, struct hush_job *job, struct hush_listing *l)
{
    struct hush_node *dir = hush_tree_path_find(fs, job->item->path, HUSH_NODE_DIR, false);

    if (dir == NULL || l == NULL) {
        hush_listing_unref(l);
        return;
    }
    dir = hush_tree_path_node(fs, job->instance, job->item->path, HUSH_NODE_DIR, false);
    hush_tree_listed(fs, dir, l, hush_now_ns());
}

bool hush_job_given_up(const struct hush_job *job, enum hush_status status)
{
    return status == HUSH_CANCELED && hush_op_canceled(&job->op);
}

/* It says nothing of the backend. Who came meanwhile gets a call of his own; at the end of a worker
 * everybody stays where he is, and the next one asks for them. */
static void fetch_given_up(struct hush_fs *fs, struct hush_job *job)
{
    struct hush_item *item = job->item;
    bool again = item->again || item->waiters != NULL;

    item->job = NULL;
    item->again = false;
    if (again)
        (void)hush_work_fetch(fs, item, job->flags);
}

static bool newest_is_dynamic(const struct hush_item *item)
{
    const struct hush_snapshot *newest = item->staged != NULL ? item->staged : item->current;

    return newest != NULL && newest->record->dynamic != 0;
}

static void fetch_finish(struct hush_fs *fs, struct hush_job *job, enum hush_status status,
                         struct hush_value *value)
{
    struct hush_item *item = job->item;
    bool again = item->again;

    item->job = NULL;
    item->again = false;
    if (hush_item_done(fs, item, status, value, &job->op, hush_now_ns()))
        hush_rotate_show(fs, item);
    if (item->command == 0)
        hush_gate_wake_item(fs, item, item->status);
    else
        hush_gate_settle_item(item); /* they are woken when the kernel knows it */
    /* What this fetch made is what there is now. */
    if (again && !(status == HUSH_OK && newest_is_dynamic(item)))
        (void)hush_work_fetch(
            fs, item, HUSH_WORK_BACKGROUND | HUSH_WORK_WHOLE | (job->flags & HUSH_WORK_RESOLVE));
}

void hush_job_log_failure(const struct hush_job *job, const char *what, const char *path,
                          enum hush_status status)
{
    if (status == HUSH_OK || status == HUSH_NOT_FOUND || status == HUSH_CANCELED ||
        status == HUSH_UNSUPPORTED)
        return;
    hush_warning("%s failed path=%s provider=%s status=%s reason=\"%s\"", what, path,
                 job->instance->provider->ops->name, hush_status_name(status), job->op.detail);
}

/* Is it a folder? What is no secret may be one; what is one may be both, which counts before it is
 * shown as a file, and is asked where that costs next to nothing. */
static bool must_list(const struct hush_job *job, const struct fetch *f, enum hush_status fetched)
{
    if (fetched == HUSH_OK)
        return !f->directory && f->ref.version.text[0] == '\0' &&
               job->instance->provider->ops->list != NULL &&
               (job->instance->provider->flags & HUSH_IS_LOCAL) != 0;
    return fetched == HUSH_NOT_FOUND || fetched == HUSH_DENIED;
}

/* Called with the lock held; lets it go for the calls. */
static void run_fetch(struct hush_fs *fs, struct hush_job *job)
{
    struct hush_value value = {0};
    struct hush_listing *l = NULL;
    enum hush_status status = HUSH_NOT_FOUND, listed = HUSH_NOT_FOUND;
    struct fetch f;
    bool asks = fetch_prepare(fs, job, &f), resolve = (job->flags & HUSH_WORK_RESOLVE) != 0;

    pthread_mutex_unlock(&fs->lock);
    if (asks)
        status = fetch_roomy(fs, job, &f, &value);
    /* A policy for NAME alone refuses NAME#VERSION. */
    if (asks && (status == HUSH_NOT_FOUND || status == HUSH_DENIED) && f.may_split)
        status = fetch_version(fs, job, &f, status, &value);
    if (asks && resolve && must_list(job, &f, status))
        listed = hush_job_list_briefly(job, f.ref.path, &l);
    hush_job_log_failure(job, "fetch", job->item->path, status);
    free(f.params);
    pthread_mutex_lock(&fs->lock);
    if (resolve) {
        job->item->kinds &= ~(unsigned)HUSH_MAY_BE_FOLDER;
        job->item->kinds |= settle_kind(job->item, status, listed, l);
    }
    if ((job->item->kinds & HUSH_IS_FOLDER) != 0)
        resolve_folder(fs, job, l);
    else
        hush_listing_unref(l);
    if (hush_job_given_up(job, status) && (!job->timed_out || job->item->waiters != NULL)) {
        fetch_given_up(fs, job);
        return;
    }
    if (hush_job_given_up(job, status))
        status = hush_fail(&job->op, HUSH_TIMEOUT, "no answer within the mount's deadline");
    hush_job_note_health(job->instance, status, &job->op);
    fetch_finish(fs, job, status, &value);
}

/* -- One job ----------------------------------------------------------------------------------- */

/* Everybody gave up while it stood in the queue. */
static bool job_is_moot(const struct hush_job *job)
{
    return job->item != NULL && job->item->waiters == NULL &&
           (job->flags & HUSH_WORK_BACKGROUND) == 0;
}

void hush_job_run(struct hush_fs *fs, struct hush_job *job)
{
    hush_op_init(&job->op, fs->arena, job->instance->config->timeout_ms);
    if ((job->flags & HUSH_WORK_RENEW) != 0) {
        hush_job_renew(fs, job);
        free(job);
        return;
    }
    if (job->item != NULL && job->item->again)
        job->flags |= HUSH_WORK_BACKGROUND | HUSH_WORK_WHOLE; /* a change that nobody may miss */
    if (job_is_moot(job))
        job->item->job = NULL;
    else if (job->item != NULL)
        run_fetch(fs, job);
    else
        hush_job_list(fs, job);
    free(job);
}
