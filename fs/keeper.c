/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper.c - hushfs-keeper: the small privileged process that owns the mount. `hushfs mount` execs
 * it with a checked configuration; it mounts, makes the shared memories, and keeps a worker and a
 * mover running on the same descriptors until the mount ends. It has no network and no secrets, and
 * waits for nobody who serves the mount.
 *
 * SIGTERM, SIGINT: unmount and end. SIGHUP: read the configuration again, in a child; if it is good
 * the worker is replaced by one that has it, else nothing changes.
 */
#include "keeper.h"

#include "core/clock.h"
#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    YOUNG_MS = 200, /* a child that lived longer is started again at once; so are … */
    BURST = 5,      /* … so many younger ones in a row; the next ones after a pause */
    PAUSE_MAX_MS = 1000,
    REPLACE_MS = 1000, /* from SIGTERM to SIGKILL, for a child that is replaced, … */
    END_MS = 2000,     /* … and when all ends */
    CHECK_MS = 10000,  /* for `hushfs check` … */
    RELOAD_MS = 1000,  /* … while nobody serves: a worker asked for it by its end */
    CHECK_FD = HUSH_SPAWN_FIRST,
};

static uint64_t keeper_after_ms(uint64_t ms)
{
    return hush_now_ns() + ms * HUSH_NS_PER_MS;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* memory only */
    *fd = -1;
}

static bool keeper_served(const struct hush_keeper *k)
{
    return atomic_load(&k->state->init_answered) != 0;
}

/* -- Children ---------------------------------------------------------------------------------- */

static pid_t keeper_spawn(struct hush_keeper *k, const char *name, struct hush_spawn spawn)
{
    char path[PATH_MAX + 32];

    (void)snprintf(path, sizeof(path), "%s/%s", k->programs, name);
    if (spawn.user == NULL && access(path, X_OK) != 0) /* `hushfs` is elsewhere when installed */
        (void)snprintf(path, sizeof(path), "%s/%s", HUSH_BINDIR, name);
    spawn.path = path;
    return hush_spawn(&spawn);
}

static pid_t worker_start(struct hush_keeper *k)
{
    char *argv[] = {"hushfs-worker", k->to_syslog ? "--syslog" : NULL, NULL};
    struct hush_spawn spawn = {
        .argv = argv,
        .fds = {k->fuse_fd, k->state_fd, k->arena_fd, k->mover_fds[0], k->env_fd, k->config_fd, -1,
                -1},
        .output_fd = -1,
        .user = &k->user,
    };

    if (keeper_served(k))
        close_fd(&k->ready_fd); /* whoever waited has heard */
    spawn.fds[HUSH_FD_READY - HUSH_SPAWN_FIRST] = k->ready_fd;
    atomic_fetch_add(&k->state->worker_generation, 1);
    atomic_store(&k->state->reload.done, k->reloads_done);
    return keeper_spawn(k, argv[0], spawn);
}

static pid_t mover_start(struct hush_keeper *k)
{
    char *argv[] = {"hushfs-mover", NULL};
    const struct hush_spawn spawn = {
        .argv = argv,
        .fds = {k->fuse_fd, -1, -1, k->mover_fds[1], -1, -1, -1, k->mount.clone_fd},
        .output_fd = -1,
        .user = &k->user,
        .tell = &k->state->mover_pid,
    };

    return keeper_spawn(k, argv[0], spawn);
}

/* The next start: at once, but not for a child that keeps dying. */
static void child_schedule(struct hush_child *child)
{
    const uint64_t now = hush_now_ns();
    uint64_t pause_ms = 0;

    if (now - child->born_ns > (uint64_t)YOUNG_MS * HUSH_NS_PER_MS)
        child->burst = 0;
    if (child->replaced)
        child->replaced = false;
    else if (++child->burst > BURST)
        pause_ms = child->burst > BURST + 6 ? PAUSE_MAX_MS : UINT64_C(10) << (child->burst - BURST);
    child->start_ns = now + pause_ms * HUSH_NS_PER_MS;
}

static void child_end(struct hush_child *child, uint64_t ms)
{
    if (child->pid == 0)
        return;
    (void)kill(child->pid, SIGTERM); /* not reaped yet: it is there */
    child->kill_ns = keeper_after_ms(ms);
}

static void child_replace(struct hush_child *child)
{
    child->replaced = child->pid != 0;
    child_end(child, REPLACE_MS);
}

/* The worker first: what it has answered, it has answered. Then the mount, see keeper_tend().
 * Leases are given back by the worker, in the end. */
static void keeper_end(struct hush_keeper *k)
{
    const uint64_t more_ms = atomic_load(&k->state->leases) != 0 ? HUSH_REVOKE_MS : 0;

    if (k->end_ns != 0)
        return;
    atomic_store(&k->state->ending, 1);
    k->end_ns = keeper_after_ms(UINT64_C(2) * END_MS + more_ms);
    for (int i = 0; i < HUSH_CHILDREN; i++) {
        k->children[i].start_ns = 0;
        child_end(&k->children[i], END_MS + (i == HUSH_WORKER ? more_ms : 0));
    }
}

/* -- Reload ------------------------------------------------------------------------------------ */

static pid_t check_start(struct hush_keeper *k)
{
    /* What the command line of the mount said holds for the new configuration too. */
    char *options = k->options == NULL ? "" : k->options;
    char *argv[] = {"hushfs", "check", "-c", k->config,     "--emit-fd", "3",
                    "-o",     options, "--", k->mountpoint, NULL};
    struct hush_spawn spawn = {.argv = argv, .fds = {-1, -1, -1, -1, -1, -1, -1, -1}};

    atomic_fetch_add(&k->state->reload.asked, 1);
    k->new_config_fd = hush_keeper_memfd("hushfs-config", 0, 0);
    k->check_text_fd = hush_keeper_memfd("hushfs-check", 0, 0);
    if (k->new_config_fd < 0 || k->check_text_fd < 0)
        return -1;
    spawn.output_fd = k->check_text_fd;
    spawn.fds[CHECK_FD - HUSH_SPAWN_FIRST] = k->new_config_fd;
    k->children[HUSH_CHECK].kill_ns = keeper_after_ms(CHECK_MS);
    return keeper_spawn(k, argv[0], spawn);
}

/* Put *fd in force: the next worker reads it. */
static void config_use(struct hush_keeper *k, int *fd)
{
    const int old = k->config_fd;

    k->config_fd = *fd;
    *fd = old;
    atomic_fetch_add(&k->state->config_generation, 1);
}

/* A good one is done when there is a worker that has it: see worker_start(). */
static void reload_report(struct hush_keeper *k, int status, const char *text)
{
    struct hush_reload *reload = &k->state->reload;

    reload->exit = status;
    (void)snprintf(reload->text, sizeof(reload->text), "%s", text); /* cut if it must be */
    if (status == 0) {
        hush_info("configuration %u in force", atomic_load(&k->state->config_generation));
        return;
    }
    atomic_store(&reload->done, k->reloads_done);
    hush_error("reload failed, the configuration stays as it was: %s", text);
}

/* Read the configuration again: at once, or after the reload that runs. */
static void keeper_reload(struct hush_keeper *k)
{
    if (k->config != NULL) {
        k->children[HUSH_CHECK].start_ns = hush_now_ns();
        return;
    }
    k->reloads_done = atomic_fetch_add(&k->state->reload.asked, 1) + 1;
    reload_report(k, HUSH_KEEPER_FAILED, "the mount was made without --config");
}

static void reload_accept(struct hush_keeper *k)
{
    /* A worker in an attacker's hands may not write what the next one reads. */
    (void)fcntl(k->new_config_fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW);
    config_use(k, &k->new_config_fd);
    close_fd(&k->old_config_fd);
    k->old_config_fd = k->new_config_fd;
    k->new_config_fd = -1;
    child_replace(&k->children[HUSH_WORKER]);
}

static void check_died(struct hush_keeper *k, int status)
{
    struct hush_child *worker = &k->children[HUSH_WORKER];
    char text[HUSH_RELOAD_TEXT];
    const ssize_t n = pread(k->check_text_fd, text, sizeof(text) - 1, 0);
    struct stat st;
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : HUSH_KEEPER_FAILED;

    text[n < 0 ? 0 : n] = '\0';
    while (text[0] != '\0' && text[strlen(text) - 1] == '\n')
        text[strlen(text) - 1] = '\0';
    if (code == 0 && (fstat(k->new_config_fd, &st) != 0 || st.st_size == 0))
        code = HUSH_KEEPER_FAILED;
    k->reloads_done = atomic_load(&k->state->reload.asked);
    if (code == 0)
        reload_accept(k);
    reload_report(k, code, text[0] != '\0' || code == 0 ? text : "`hushfs check` gave no answer");
    close_fd(&k->new_config_fd);
    close_fd(&k->check_text_fd);
    if (worker->start_ns != 0 && k->children[HUSH_CHECK].start_ns == 0)
        worker->start_ns = hush_now_ns(); /* it waited for this */
}

/* -- Deaths ------------------------------------------------------------------------------------ */

static bool is_orderly(int status)
{
    const int code = WEXITSTATUS(status);

    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGTERM;
    return code == HUSH_EXIT_UNMOUNTED || code == HUSH_EXIT_CONFIG || code == HUSH_EXIT_RELOAD ||
           code == HUSH_EXIT_RESTART;
}

/* Why there is no use in another worker; NULL: there is. */
static const char *worker_verdict(const struct hush_keeper *k, int code)
{
    if (keeper_served(k))
        return NULL;
    if (code == HUSH_EXIT_CONFIG)
        return "the worker cannot start with this configuration: see its log";
    if (code == HUSH_SPAWN_FAILED)
        return "the worker cannot be started: see the log";
    if (code == HUSH_EXIT_UNMOUNTED || k->children[HUSH_WORKER].burst > BURST)
        return "the worker ends before it serves the mount: see its log";
    return NULL;
}

/* The mount is gone for good, whatever the worker made of it. */
static bool keeper_is_disconnected(const struct hush_keeper *k)
{
    struct pollfd fd = {k->fuse_fd, 0, 0};

    return poll(&fd, 1, 0) == 1 && (fd.revents & POLLERR) != 0;
}

static void worker_died(struct hush_keeper *k, int status)
{
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    const char *verdict = worker_verdict(k, code);

    atomic_store(&k->state->suspicion,
                 is_orderly(status) ? HUSH_SUSPECT_KILLED : HUSH_SUSPECT_CRASHED);
    if (verdict != NULL)
        (void)hush_keeper_fail(
            k, code == HUSH_EXIT_CONFIG ? HUSH_KEEPER_CONFIG : HUSH_KEEPER_FAILED, "%s", verdict);
    if (verdict != NULL || code == HUSH_EXIT_UNMOUNTED || keeper_is_disconnected(k)) {
        keeper_end(k);
        return;
    }
    if (code == HUSH_EXIT_CONFIG && k->old_config_fd >= 0) {
        config_use(k, &k->old_config_fd);
        close_fd(&k->old_config_fd);
        reload_report(k, HUSH_EXIT_CONFIG, "the worker cannot start with it: see its log");
    }
    child_schedule(&k->children[HUSH_WORKER]);
    if (code == HUSH_EXIT_RELOAD) {
        keeper_reload(k);
        if (k->config != NULL)
            k->children[HUSH_WORKER].start_ns = keeper_after_ms(RELOAD_MS);
    }
}

static void mover_died(struct hush_keeper *k, int status)
{
    (void)status;
    child_schedule(&k->children[HUSH_MOVER]);
}

static const struct {
    const char *name;
    pid_t (*start)(struct hush_keeper *k);
    void (*died)(struct hush_keeper *k, int status);
} roles[HUSH_CHILDREN] = {
    [HUSH_WORKER] = {"worker", worker_start, worker_died},
    [HUSH_MOVER] = {"mover", mover_start, mover_died},
    [HUSH_CHECK] = {"check", check_start, check_died},
};

/* A worker that ends by itself with a reason of process.h is nobody's worry. */
static void child_log(int i, pid_t pid, int status)
{
    bool expected = i == HUSH_WORKER && WIFEXITED(status) && is_orderly(status);

    if (expected && WEXITSTATUS(status) == HUSH_EXIT_RELOAD) {
        hush_info("worker replaced, for a reload: pid=%d", (int)pid);
        return;
    }
    hush_log(expected ? HUSH_LOG_INFO : HUSH_LOG_WARNING, "%s %s: pid=%d %s=%d", roles[i].name,
             expected ? "ended" : "died", (int)pid, WIFSIGNALED(status) ? "signal" : "exit",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

static void child_died(struct hush_keeper *k, int i, int status)
{
    struct hush_child *child = &k->children[i];

    if (k->end_ns == 0 && !child->replaced && i != HUSH_CHECK)
        child_log(i, child->pid, status);
    child->pid = 0;
    child->kill_ns = 0;
    if (k->end_ns == 0)
        roles[i].died(k, status);
}

/* -- The loop ---------------------------------------------------------------------------------- */

static void keeper_reap(struct hush_keeper *k)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (int i = 0; i < HUSH_CHILDREN; i++)
            if (k->children[i].pid == pid)
                child_died(k, i, status);
}

static void keeper_signal(struct hush_keeper *k)
{
    struct signalfd_siginfo info;

    if (read(k->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return;
    if (info.ssi_signo == SIGCHLD)
        keeper_reap(k);
    else if (info.ssi_signo != SIGHUP)
        keeper_end(k);
    else if (k->end_ns == 0)
        keeper_reload(k);
}

/*
 * Somebody unmounted it. The clones, ours and the mover's, would keep it alive for ever; without
 * them the worker sees the end of the connection when the last open file is closed.
 */
static void keeper_mounts_changed(struct hush_keeper *k)
{
    if (k->end_ns != 0 || k->detached || hush_mountpoint_is_mounted(&k->mount))
        return;
    k->detached = true;
    hush_mountpoint_umount(&k->mount);
    child_replace(&k->children[HUSH_MOVER]);
}

/* Start and kill who is due. */
static void keeper_tend(struct hush_keeper *k)
{
    const uint64_t now = hush_now_ns();

    for (int i = 0; i < HUSH_CHILDREN; i++) {
        struct hush_child *child = &k->children[i];

        if (child->pid != 0 && child->kill_ns != 0 && now >= child->kill_ns) {
            (void)kill(child->pid, SIGKILL); /* not reaped yet: it is there */
            child->kill_ns = 0;
        }
        if (child->pid != 0 || child->start_ns == 0 || now < child->start_ns)
            continue;
        child->start_ns = 0;
        child->born_ns = hush_now_ns();
        child->pid = roles[i].start(k);
        if (child->pid < 0)
            child_died(k, i, W_EXITCODE(HUSH_SPAWN_FAILED, 0));
    }
    if (k->end_ns != 0 && k->children[HUSH_WORKER].pid == 0)
        hush_mountpoint_umount(&k->mount); /* frees a mover that waits for an answer */
}

static bool keeper_is_over(const struct hush_keeper *k)
{
    bool running = false;

    for (int i = 0; i < HUSH_CHILDREN; i++)
        running = running || k->children[i].pid != 0;
    return k->end_ns != 0 && (!running || hush_now_ns() >= k->end_ns);
}

static int keeper_wait_ms(const struct hush_keeper *k)
{
    const uint64_t now = hush_now_ns();
    uint64_t next = k->end_ns == 0 ? UINT64_MAX : k->end_ns;

    for (int i = 0; i < HUSH_CHILDREN; i++) {
        const struct hush_child *child = &k->children[i];
        const uint64_t due = child->pid != 0 ? child->kill_ns : child->start_ns;

        if (due != 0 && due < next)
            next = due;
    }
    if (next == UINT64_MAX)
        return -1;
    return next <= now ? 0 : (int)((next - now) / HUSH_NS_PER_MS) + 1;
}

static void keeper_loop(struct hush_keeper *k)
{
    struct pollfd fds[] = {{k->signal_fd, POLLIN, 0}, {k->mountinfo_fd, POLLPRI, 0}};

    keeper_mounts_changed(k); /* before the first poll, which tells of later changes only */
    for (keeper_tend(k); !keeper_is_over(k); keeper_tend(k)) {
        if (poll(fds, 2, keeper_wait_ms(k)) < 0 && errno != EINTR)
            break;
        if (fds[0].revents != 0)
            keeper_signal(k);
        if (fds[1].revents != 0)
            keeper_mounts_changed(k);
    }
}

int main(int argc, char **argv)
{
    struct hush_keeper k = {
        .config_fd = -1,
        .env_fd = -1,
        .ready_fd = -1,
        .mount.clone_fd = -1,
        .mount.listen_fd = -1,
        .new_config_fd = -1,
        .check_text_fd = -1,
        .old_config_fd = -1,
    };

    if (hush_keeper_setup(&k, argc, argv)) {
        k.children[HUSH_WORKER].start_ns = k.children[HUSH_MOVER].start_ns = hush_now_ns();
        keeper_loop(&k);
    }
    hush_mountpoint_umount(&k.mount);
    return k.status;
}
