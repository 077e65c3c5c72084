/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker.c - program hushfs-worker: serves the mount. Started by the keeper alone, as an unprivileged
 * user, with the descriptors of process.h. It may die at any instant: the next one takes over.
 */
#include "dotfiles.h"
#include "ops.h"
#include "rotate.h"
#include "snapshot.h"
#include "timer.h"
#include "tree.h"
#include "work.h"

#include "core/clock.h"
#include "core/lockmem.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/wipealloc.h"
#include "json.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STOP_WAIT_MS = 2000, BOUNCE_SIZE = 128 * 1024, CONFIG_MAX = 16 << 20 };

/* For the signal handler alone. */
static struct hush_session *stop_session;

static void on_term(int signal)
{
    (void)signal;
    hush_session_stop(stop_session);
}

static void harden(void)
{
    struct rlimit none = {0, 0};

    (void)setrlimit(RLIMIT_CORE, &none); /* the keeper did, too */
#ifndef HUSH_SANITIZED /* LeakSanitizer looks at its own process through ptrace */
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

static struct hush_state *map_state(void)
{
    struct hush_state *state =
        mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED, HUSH_FD_STATE, 0);

    if (state == MAP_FAILED || state->magic != HUSH_STATE_MAGIC)
        return NULL;
    return state;
}

/* The loop's buffer for READ: locked, never dumped, wiped after each use. */
static char *map_bounce(void)
{
    void *p = mmap(NULL, BOUNCE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED || mlock2(p, BOUNCE_SIZE, MLOCK_ONFAULT) != 0 ||
        madvise(p, BOUNCE_SIZE, MADV_DONTDUMP) != 0)
        return NULL;
    return p;
}

static void config_error(void *ctx, const char *file, unsigned line, const char *text)
{
    (void)ctx;
    hush_error("%s:%u: %s", file, line, text);
}

static struct hush_config *read_config(void)
{
    struct hush_config *config;
    struct stat st;
    char *text;
    ssize_t n;

    if (fstat(HUSH_FD_CONFIG, &st) != 0 || st.st_size > CONFIG_MAX)
        return NULL;
    text = malloc((size_t)st.st_size + 1);
    if (text == NULL)
        return NULL;
    n = pread(HUSH_FD_CONFIG, text, (size_t)st.st_size, 0);
    config = n == st.st_size
                 ? hush_config_parse(text, (size_t)n, "configuration", config_error, NULL)
                 : NULL;
    free(text);
    return config;
}

static bool instance_open(struct hush_fs *fs, struct hush_instance *instance,
                          const struct hush_instance_config *config)
{
    struct hush_op op;
    enum hush_status status;
    char error[160];

    instance->fs = fs;
    instance->config = config;
    pthread_cond_init(&instance->work, NULL);
    instance->provider = hush_provider_new(config->ops, config->name, fs->env);
    if (instance->provider == NULL)
        return false;
    for (size_t i = 0; i < config->option_count; i++) {
        const struct hush_option *row =
            hush_option_find(config->ops->options, config->options[i].key);

        if (row == NULL ||
            !hush_option_set(row, instance->provider, config->options[i].value, error))
            return false;
    }
    hush_op_init(&op, fs->arena, config->timeout_ms);
    status = hush_provider_open(instance->provider, &op);
    instance->health = status;
    memcpy(instance->detail, op.detail, sizeof(instance->detail));
    if (status != HUSH_OK) /* one bad provider never stops the others (I17) */
        hush_error("instance %s: %s: %s", config->name, hush_status_text(status), op.detail);
    return true;
}

static bool instances_open(struct hush_fs *fs)
{
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

        instance->node = hush_tree_path_node(fs, instance, instance->config->name, HUSH_NODE_DIR,
                                             false);
        if (instance->node == NULL)
            return false;
    }
    hush_snapshot_adopt_all(fs);
    hush_tree_adopt_all(fs);
    return true;
}

static bool fs_init(struct hush_fs *fs)
{
    uint32_t generation;

    pthread_mutex_init(&fs->lock, NULL);
    pthread_cond_init(&fs->timer, NULL);
    pthread_cond_init(&fs->moves, NULL);
    fs->mover_fd = HUSH_FD_MOVER;
    fs->uid = geteuid();
    fs->state = map_state();
    fs->arena = hush_arena_attach(HUSH_FD_ARENA);
    fs->bounce = map_bounce();
    if (fs->state == NULL || fs->arena == NULL || fs->bounce == NULL) {
        hush_error("cannot map the shared memory: %m (is RLIMIT_MEMLOCK large enough?)");
        return false;
    }
    generation = atomic_load(&fs->state->worker_generation);
    fs->next_id = UINT64_C(1) << 62 | (uint64_t)generation << 40; /* no handle of another worker's */
    fs->env = hush_environ_map(HUSH_FD_ENV);
    if (fs->env == NULL) {
        hush_error("cannot map the environment: %m");
        return false;
    }
    return instances_open(fs) && tree_init(fs);
}

/* `open` was settled with the kernel when the mount was made. */
static void settle_open_mode(struct hush_fs *fs)
{
    fs->open_mode = (enum hush_open_mode)fs->config->mount.open;
    if (atomic_load(&fs->state->init_size) == 0) {
        fs->state->open_mode = (uint32_t)fs->open_mode;
        return;
    }
    if (fs->state->open_mode == (uint32_t)fs->open_mode)
        return;
    hush_warning("a new value of `open` needs a new mount: the old one stays in force");
    fs->open_mode = (enum hush_open_mode)fs->state->open_mode;
}

static void announce(struct hush_fs *fs)
{
    uint32_t now = atomic_load(&fs->state->config_generation);

    if (hush_session_took_over(fs->session)) {
        hush_metric_add(HUSH_METRIC_TAKEOVERS, 1);
        hush_metric_add(HUSH_METRIC_REPLAYED, hush_session_replays(fs->session));
        hush_info("took over generation=%u replayed=%u",
                  atomic_load(&fs->state->worker_generation),
                  hush_session_replays(fs->session));
    }
    pthread_mutex_lock(&fs->lock);
    if (fs->state->served_config != 0 && fs->state->served_config != now)
        hush_rotate_forget_all(fs);
    for (struct hush_item *item = fs->items; item != NULL; item = item->hh.next) {
        if (item->staged != NULL)
            (void)hush_rotate_show(fs, item);
    }
    pthread_mutex_unlock(&fs->lock);
    fs->state->served_config = now;
    (void)!write(HUSH_FD_READY, "R", 1); /* closed, but for the first worker of a mount */
    (void)close(HUSH_FD_READY);
}

static int serve(struct hush_fs *fs)
{
    struct sigaction term = {.sa_handler = on_term};
    int r;

    fs->session = hush_session_new(&hush_ops, sizeof(hush_ops), &fs->user, HUSH_FD_FUSE, fs->state,
                                   NULL);
    if (fs->session == NULL) {
        hush_error("cannot serve: %m");
        return 1;
    }
    stop_session = fs->session;
    sigaction(SIGTERM, &term, NULL);
    if (!hush_rotate_start(fs) || !hush_timer_start(fs) || !hush_work_start(fs)) {
        hush_error("cannot start threads: %m");
        return 1;
    }
    announce(fs);
    r = hush_session_loop(fs->session);
    if (hush_session_ended(fs->session) || r == -ENODEV)
        return HUSH_EXIT_UNMOUNTED;
    if (fs->reloading)
        return HUSH_EXIT_RELOAD;
    return r == 0 ? HUSH_EXIT_RESTART : 1;
}

/* Ends what runs. A provider that does not come back is left where it is: the process ends. */
static void finish(struct hush_fs *fs)
{
    bool all = hush_work_stop(fs, STOP_WAIT_MS);

    hush_timer_stop(fs);
    hush_rotate_stop(fs);
    if (!all)
        return;
    for (size_t i = 0; i < fs->instance_count; i++)
        hush_provider_free(fs->instances[i].provider);
}

int main(int argc, char **argv)
{
    static struct hush_fs fs;
    int status;

    harden();
    hush_log_open("hushfs-worker", argc > 1 && strcmp(argv[1], "--syslog") == 0, HUSH_LOG_INFO);
    hush_json_init();
    if (!hush_wipe_openssl_init()) {
        hush_error("OpenSSL was used before its memory could be wiped");
        return HUSH_EXIT_CONFIG;
    }
    fs.config = read_config();
    if (fs.config == NULL)
        return HUSH_EXIT_CONFIG;
    if (!fs_init(&fs))
        return HUSH_EXIT_CONFIG;
    settle_open_mode(&fs);
    status = serve(&fs);
    finish(&fs);
    return status;
}
