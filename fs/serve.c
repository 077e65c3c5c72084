/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve.c - the life of a worker's filesystem: made over what a dead worker left, started, served,
 * ended. Called by worker.c; unit tests and the fuzz target of FUSE messages use it without a
 * mount.
 */
#include "serve.h"

#include "call.h"
#include "core/clock.h"
#include "core/lockmem.h"
#include "core/log.h"
#include "core/metrics.h"
#include "dotfiles.h"
#include "hash.h"
#include "item.h"
#include "lease.h"
#include "ops.h"
#include "rotate.h"
#include "snapshot.h"
#include "stash.h"
#include "timer.h"
#include "tree.h"
#include "view.h"
#include "watch.h"
#include "work.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { STOP_WAIT_MS = 2000 };

/* The loop's buffer for READ: locked, never dumped, wiped after each use. */
static char *map_bounce(void)
{
    void *p =
        mmap(NULL, HUSH_BOUNCE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED || mlock2(p, HUSH_BOUNCE_SIZE, MLOCK_ONFAULT) != 0 ||
        madvise(p, HUSH_BOUNCE_SIZE, MADV_DONTDUMP) != 0)
        return NULL;
    return p;
}

static bool instance_open(struct hush_fs *fs, struct hush_instance *instance,
                          const struct hush_instance_config *config)
{
    struct hush_op op;
    enum hush_status status;
    char error[160];

    instance->fs = fs;
    instance->config = config;
    instance->provider = hush_provider_new(config->ops, config->name, fs->env);
    if (instance->provider == NULL)
        return false;
    instance->provider->stash = fs->stash;
    instance->provider->exact_names = true;
    hush_watch_listen(instance);
    instance->source = hush_item_source_id(fs, config);
    for (size_t i = 0; i < config->option_count; i++) {
        const struct hush_option *row =
            hush_option_find(config->ops->options, config->options[i].key);

        if (row == NULL ||
            !hush_option_set(row, instance->provider, config->options[i].value, error))
            return false;
    }
    hush_op_init(&op, fs->arena, config->timeout_ms);
    status = hush_provider_open(instance->provider, &op);
    hush_lease_expect(instance);
    instance->health = status;
    memcpy(instance->detail, op.detail, sizeof(instance->detail));
    if (status != HUSH_OK) /* one bad provider never stops the others */
        hush_error("instance %s: %s: %s", config->name, hush_status_text(status), op.detail);
    return true;
}

static bool instances_open(struct hush_fs *fs)
{
    fs->stash = hush_stash_new(fs->arena, fs->config);
    if (fs->stash == NULL)
        return false;
    fs->instances = calloc(fs->config->instance_count, sizeof(*fs->instances));
    if (fs->instances == NULL)
        return false;
    for (size_t i = 0; i < fs->config->instance_count; i++) {
        if (!instance_open(fs, &fs->instances[i], &fs->config->instances[i]))
            return false;
        fs->instance_count++;
    }
    return true;
}

static bool root_init(struct hush_fs *fs)
{
    struct hush_listing *l = calloc(1, sizeof(*l));

    if (l == NULL)
        return false;
    l->refs = 1;
    for (size_t i = 0; i < fs->instance_count; i++)
        if (!hush_listing_add(l, fs->instances[i].config->name, HUSH_IS_FOLDER))
            return false;
    hush_listing_finish(l);
    l->generation = ++fs->generation;
    fs->root.ino = HUSH_INO_ROOT;
    fs->root.kind = HUSH_NODE_ROOT;
    fs->root.directory = true;
    fs->root.changed_s = hush_wall_s();
    fs->root.listing = l;
    hush_tree_add(fs, &fs->root);
    return hush_dot_init(fs);
}

/* What is fixed, and what a dead worker left. */
static bool tree_init(struct hush_fs *fs)
{
    if (!root_init(fs))
        return false;
    for (size_t i = 0; i < fs->instance_count; i++) {
        struct hush_instance *instance = &fs->instances[i];

        instance->node =
            hush_tree_path_node(fs, instance, instance->config->name, HUSH_NODE_DIR, false);
        if (instance->node == NULL)
            return false;
    }
    hush_snapshot_adopt_all(fs);
    hush_tree_adopt_all(fs);
    hush_view_adopt_all(fs);
    return true;
}

static uint64_t text_id(const struct hush_fs *fs, const char *text)
{
    return text != NULL ? hush_siphash(fs->state->key, text, strlen(text)) : 0;
}

/* What was settled when the mount was made. A reload that would change it says that it does not. */
static void settle_fixed(struct hush_fs *fs)
{
    static const char *const keys[HUSH_FIXED_COUNT] = {"path", "user", "allow_other", "memory",
                                                       "open"};
    const struct hush_mount_config *mount = &fs->config->mount;
    const uint64_t now[HUSH_FIXED_COUNT] = {text_id(fs, mount->path), text_id(fs, mount->user),
                                            mount->allow_other, mount->memory, mount->open};
    struct hush_state *state = fs->state;

    if (atomic_load(&state->init_size) == 0)
        memcpy(state->fixed, now, sizeof(now));
    for (size_t i = 0; i < HUSH_FIXED_COUNT; i++)
        if (state->fixed[i] != now[i] && state->served_config != state->config_generation)
            hush_warning("a new value of `%s` needs a new mount: the old one stays in force",
                         keys[i]);
    fs->open_mode = (enum hush_open_mode)state->fixed[HUSH_FIXED_OPEN];
}

bool hush_serve_init(struct hush_fs *fs)
{
    uint64_t generation = atomic_load(&fs->state->worker_generation);

    pthread_mutex_init(&fs->lock, NULL);
    pthread_cond_init(&fs->timer, NULL);
    pthread_cond_init(&fs->moves, NULL);
    fs->uid = geteuid();
    fs->next_id = UINT64_C(1) << 62 | generation << 40; /* no handle of another worker's */
    fs->bounce = map_bounce();
    if (fs->bounce == NULL) {
        hush_error("cannot lock memory: %m (is RLIMIT_MEMLOCK large enough?)");
        return false;
    }
    settle_fixed(fs);
    return instances_open(fs) && tree_init(fs);
}

static void announce(struct hush_fs *fs)
{
    uint32_t now = atomic_load(&fs->state->config_generation);

    if (hush_session_took_over(fs->session)) {
        hush_metric_add(HUSH_METRIC_TAKEOVERS, 1);
        hush_metric_add(HUSH_METRIC_REPLAYED, hush_session_replays(fs->session));
        hush_info("took over generation=%u replayed=%u", atomic_load(&fs->state->worker_generation),
                  hush_session_replays(fs->session));
    } else {
        hush_info("mounted '%s' instances=%zu", fs->state->mount_path, fs->instance_count);
    }
    pthread_mutex_lock(&fs->lock);
    if (fs->state->served_config != 0 && fs->state->served_config != now)
        hush_rotate_forget_all(fs);
    for (struct hush_item *item = fs->items; item != NULL; item = item->hh.next) {
        if (item->staged != NULL)
            hush_rotate_show(fs, item);
        else if (item->old != NULL)
            hush_rotate_retell(fs, item);
    }
    pthread_mutex_unlock(&fs->lock);
    fs->state->served_config = now;
}

/* What a takeover finds in the arena need not be fetched. */
static void begin_prefetch(struct hush_fs *fs)
{
    pthread_mutex_lock(&fs->lock);
    for (size_t i = 0; i < fs->instance_count; i++)
        if (hush_work_prefetches(&fs->instances[i]))
            (void)hush_work_list(fs, fs->instances[i].node);
    pthread_mutex_unlock(&fs->lock);
}

bool hush_serve_start(struct hush_fs *fs, int fd, const struct hush_wire *wire)
{
    fs->session = hush_session_new(&hush_ops, sizeof(hush_ops), &fs->user, fd, fs->state, wire);
    if (fs->session == NULL) {
        hush_error("cannot serve: %m");
        return false;
    }
    if (!hush_rotate_start(fs) || !hush_timer_start(fs) || !hush_work_start(fs)) {
        hush_error("cannot start threads: %m");
        return false;
    }
    announce(fs);
    begin_prefetch(fs);
    return true;
}

int hush_serve_loop(struct hush_fs *fs)
{
    int r = hush_session_loop(fs->session);

    fs->ends =
        hush_session_ended(fs->session) || r == -ENODEV || atomic_load(&fs->state->ending) != 0;
    if (hush_session_ended(fs->session) || r == -ENODEV)
        return HUSH_EXIT_UNMOUNTED;
    if (fs->reloading)
        return HUSH_EXIT_RELOAD;
    return r == 0 ? HUSH_EXIT_RESTART : EXIT_FAILURE;
}

void hush_serve_stop(struct hush_fs *fs)
{
    bool all = hush_work_stop(fs, STOP_WAIT_MS);

    hush_timer_stop(fs);
    hush_rotate_stop(fs);
    if (fs->ends)
        all = hush_lease_revoke_all(fs) && all;
    /* A provider that does not come back stays where it is: the process ends. */
    for (size_t i = 0; all && i < fs->instance_count; i++)
        hush_provider_free(fs->instances[i].provider);
    if (fs->ends)
        hush_stash_wipe(fs->stash);
    if (all)
        hush_stash_free(fs->stash);
}
