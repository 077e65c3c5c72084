/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe_worker.c - the smallest worker there can be, to test the keeper and the mover: one
 * directory with one file, "pid", whose content says who answers. test_keeper.py installs it as
 * hushfs-worker.
 *
 * The configuration is one word: "refuse" makes it exit with HUSH_EXIT_CONFIG, "abort" crash at
 * start, "silent" answer nothing, "stall" (the first worker only) answer no rename, "crash-at-end"
 * fail when it should end. SIGUSR1: rotate the file through the mover. SIGUSR2: one command of each
 * other kind, and some that must be refused. SIGHUP: end as a worker that is asked for a reload.
 */
#include "session.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

enum { CONFIG_SIZE = 256, ANSWERS = 8 };

struct probe {
    struct hush_session_user base;
    struct hush_state *state;
    char config[CONFIG_SIZE];
    _Atomic uint64_t current;    /* node id of "pid" */
    atomic_bool staged;          /* current + 1 is shown as ".~pid" */
    atomic_int answers[ANSWERS]; /* errno by command id; -1: none yet */
    atomic_uint hellos;
};

static struct hush_session *probe_session; /* for the signal handler */

static struct probe *probe_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

static struct stat probe_attr(fuse_ino_t ino)
{
    struct stat st = {.st_ino = ino, .st_nlink = 1, .st_uid = getuid(), .st_gid = getgid()};

    st.st_mode = ino == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0444;
    return st;
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
    (void)userdata;
    conn->max_write = 128 * 1024;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct probe *p = probe_of(req);
    struct fuse_entry_param e = {.attr_timeout = 0.01, .entry_timeout = 0.01};

    (void)parent;
    if (strcmp(name, "pid") == 0)
        e.ino = atomic_load(&p->current);
    else if (strcmp(name, ".~pid") == 0 && atomic_load(&p->staged))
        e.ino = atomic_load(&p->current) + 1;
    if (e.ino == 0) {
        fuse_reply_err(req, ENOENT);
        return;
    }
    e.attr = probe_attr(e.ino);
    fuse_reply_entry(req, &e);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    const struct stat st = probe_attr(ino);

    (void)fi;
    fuse_reply_attr(req, &st, 0.01);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    fi->direct_io = 1;
    fuse_reply_open(req, fi);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                    struct fuse_file_info *fi)
{
    struct probe *p = probe_of(req);
    char text[3072];
    int n = snprintf(
        text, sizeof(text),
        "pid=%d\nuid=%d\ngeneration=%u\nconfig=%s\ntook_over=%d\nhellos=%u\nreload=%u,%u,%d,%s\n"
        "answers=",
        (int)getpid(), (int)getuid(), atomic_load(&p->state->worker_generation), p->config,
        hush_session_took_over(p->base.session), atomic_load(&p->hellos),
        atomic_load(&p->state->reload.asked), atomic_load(&p->state->reload.done),
        p->state->reload.exit, p->state->reload.text);

    (void)ino;
    (void)fi;
    for (int i = 0; i < ANSWERS; i++)
        n += snprintf(text + n, sizeof(text) - (size_t)n, "%s%d", i == 0 ? "" : ",",
                      atomic_load(&p->answers[i]));
    if (off >= n)
        size = 0;
    else if (size > (size_t)(n - off))
        size = (size_t)(n - off);
    fuse_reply_buf(req, text + (size == 0 ? 0 : off), size);
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t to,
                      const char *to_name, unsigned flags)
{
    struct probe *p = probe_of(req);

    (void)parent;
    (void)to;
    (void)flags;
    if (fuse_req_ctx(req)->pid != atomic_load(&p->state->mover_pid) || strcmp(name, ".~pid") != 0 ||
        strcmp(to_name, "pid") != 0) {
        fuse_reply_err(req, EROFS);
        return;
    }
    if (strcmp(p->config, "stall") == 0 && atomic_load(&p->state->worker_generation) == 1)
        return; /* the next worker finds it in the journal */
    atomic_fetch_add(&p->current, 1);
    atomic_store(&p->staged, false);
    fuse_reply_err(req, 0);
}

static const struct fuse_lowlevel_ops ops = {
    .init = op_init,
    .lookup = op_lookup,
    .getattr = op_getattr,
    .open = op_open,
    .read = op_read,
    .rename = op_rename,
};

static void probe_send(struct hush_move_packet packet)
{
    if (send(HUSH_FD_MOVER, &packet, sizeof(packet), MSG_NOSIGNAL) < 0)
        perror("probe_worker: send");
}

static void probe_commands(struct probe *p)
{
    const uint64_t ino = atomic_load(&p->current);

    probe_send((struct hush_move_packet){.id = 1, .op = HUSH_MOVE_INVAL_INODE, .ino = ino});
    probe_send(
        (struct hush_move_packet){.id = 2, .op = HUSH_MOVE_INVAL_ENTRY, .ino = 1, .to = "pid"});
    probe_send((struct hush_move_packet){
        .id = 3, .op = HUSH_MOVE_DELETE, .ino = 1, .child = 999, .to = "none"});
    probe_send((struct hush_move_packet){
        .id = 4, .op = HUSH_MOVE_REPLACE, .dir = "../..", .from = "a", .to = "b"});
    probe_send(
        (struct hush_move_packet){.id = 5, .op = HUSH_MOVE_REPLACE, .from = "../a", .to = "b"});
    probe_send((struct hush_move_packet){.id = 6, .op = 77});
    probe_send((struct hush_move_packet){.id = 7, .op = HUSH_MOVE_REPLACE, .from = "a", .to = "b"});
}

static void *probe_signals(void *arg)
{
    struct probe *p = arg;
    sigset_t signals;
    int number;

    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    sigaddset(&signals, SIGUSR2);
    while (sigwait(&signals, &number) == 0) {
        if (number == SIGUSR2) {
            probe_commands(p);
            continue;
        }
        atomic_store(&p->staged, true);
        probe_send((struct hush_move_packet){
            .id = 0, .op = HUSH_MOVE_REPLACE, .from = ".~pid", .to = "pid"});
    }
    return NULL;
}

static void *probe_answers(void *arg)
{
    struct probe *p = arg;
    struct hush_move_packet packet;

    while (recv(HUSH_FD_MOVER, &packet, sizeof(packet), 0) > 0)
        if (packet.op == HUSH_MOVE_HELLO)
            atomic_fetch_add(&p->hellos, 1);
        else if (packet.id < ANSWERS)
            atomic_store(&p->answers[packet.id], packet.error);
    return NULL;
}

static volatile sig_atomic_t probe_reload;

static void on_term(int number)
{
    probe_reload = number == SIGHUP;
    hush_session_stop(probe_session);
}

static void probe_threads(struct probe *p)
{
    struct sigaction action = {.sa_handler = on_term}; /* no SA_RESTART: read must end */
    sigset_t all, old, usr;
    pthread_t thread;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    if (pthread_create(&thread, NULL, probe_signals, p) != 0 ||
        pthread_create(&thread, NULL, probe_answers, p) != 0)
        abort();
    sigemptyset(&usr);
    sigaddset(&usr, SIGUSR1);
    sigaddset(&usr, SIGUSR2);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_sigmask(SIG_BLOCK, &usr, NULL);
    if (sigaction(SIGTERM, &action, NULL) != 0 || sigaction(SIGHUP, &action, NULL) != 0)
        abort();
}

static void probe_ready(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    if (write(HUSH_FD_READY, "R", 1) < 0 && errno != EPIPE && errno != EBADF)
        perror("probe_worker: ready");
    (void)close(HUSH_FD_READY);
}

static void probe_stay_silent(void)
{
    probe_ready();
    for (;;)
        pause();
}

int main(void)
{
    static struct probe p = {.current = 100};
    ssize_t n = pread(HUSH_FD_CONFIG, p.config, sizeof(p.config) - 1, 0);

    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || n < 0)
        return 1;
    p.config[strcspn(p.config, "\n")] = '\0';
    for (int i = 0; i < ANSWERS; i++)
        atomic_store(&p.answers[i], -1);
    if (strcmp(p.config, "refuse") == 0)
        return HUSH_EXIT_CONFIG;
    if (strcmp(p.config, "abort") == 0)
        abort();
    p.state = mmap(NULL, sizeof(*p.state), PROT_READ | PROT_WRITE, MAP_SHARED, HUSH_FD_STATE, 0);
    if (p.state == MAP_FAILED || p.state->magic != HUSH_STATE_MAGIC)
        return 1;
    if (strcmp(p.config, "silent") == 0)
        probe_stay_silent();
    probe_session = hush_session_new(&ops, sizeof(ops), &p.base, HUSH_FD_FUSE, p.state, NULL);
    if (probe_session == NULL)
        return 1;
    probe_threads(&p);
    probe_ready();
    if (hush_session_loop(probe_session) != 0)
        return 1;
    /* Not exit(): a leak checker cannot work in a process that is not dumpable, and fails. */
    if (hush_session_ended(probe_session))
        _exit(strcmp(p.config, "crash-at-end") == 0 ? 1 : HUSH_EXIT_UNMOUNTED);
    _exit(probe_reload ? HUSH_EXIT_RELOAD : HUSH_EXIT_RESTART);
}
