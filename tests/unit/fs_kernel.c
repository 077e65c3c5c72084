/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_kernel.c - see fs_kernel.h: the worker's life, what goes in and out, the mover.
 */
#include "fs_kernel.h"

#include "core/clock.h"
#include "core/lockmem.h"
#include "core/log.h"
#include "core/wipealloc.h"
#include "json.h"
#include "serve.h"

#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

enum {
    MESSAGE_MAX = 256 * 1024,
    PATIENCE_MS = 30000,
    LAG_MS = 2000,
    FIRST_S = 1000,
    WALL_S = 1700000000
};

/* ThreadSanitizer of gcc 12 does not know pthread_clockjoin_np(3): to it our threads are not
 * joined. */
const char *__tsan_default_options(void); // NOLINT: its name
const char *__tsan_default_options(void)  // NOLINT
{
    return "report_thread_leaks=0";
}

/* -- The worker -------------------------------------------------------------------------------- */

static struct kernel_shared *clock_shared; /* the clocks have no argument */

static uint64_t clock_now_ns(void)
{
    return atomic_load(&clock_shared->now_ns);
}

static time_t clock_wall_s(void)
{
    return WALL_S + (time_t)(clock_now_ns() / HUSH_NS_PER_S) - FIRST_S;
}

static void config_error(void *ctx, const char *file, unsigned line, const char *text)
{
    (void)ctx;
    (void)fprintf(stderr, "%s:%u: %s\n", file, line, text);
}

/* Ends by exit(), for the tools that look at what is left then. */
static _Noreturn void worker_run(struct kernel *k, const char *text)
{
    static struct hush_fs fs;
    int status;

    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGSEGV, SIG_DFL); /* cmocka has its own, which would exit */
    (void)signal(SIGBUS, SIG_DFL);
    hush_log_open("worker", false, HUSH_LOG_ERROR);
    hush_wipe_openssl_init();
    hush_json_init();
    clock_shared = k->shared;
    hush_clock_inject(clock_now_ns, clock_wall_s);
    fs.config = hush_config_parse(text, strlen(text), "test", config_error, NULL);
    fs.state = &k->shared->state;
    fs.arena = hush_arena_attach(k->arena);
    fs.mover_fd = k->mover[1];
    CHECK(fs.config != NULL && fs.arena != NULL);
    CHECK(hush_serve_init(&fs));
    CHECK(hush_serve_start(&fs, dup(k->fuse[1]), NULL));
    status = hush_serve_loop(&fs);
    hush_serve_stop(&fs);
    exit(status);
}

static char *config_text(const struct kernel *k, const char *config)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    (void)fprintf(out, "[mount]\npath = /run/hush-test\n%s", k->mount != NULL ? k->mount : "");
    for (const char *p = config; *p != '\0'; p++) {
        if (*p == '@')
            (void)fputs(k->dir, out);
        else
            (void)fputc(*p, out);
    }
    assert_int_equal(fclose(out), 0);
    return text;
}

static void send_init(struct kernel *k)
{
    const struct fuse_init_in in = {.major = FUSE_KERNEL_VERSION,
                                    .minor = FUSE_KERNEL_MINOR_VERSION,
                                    .max_readahead = 131072,
                                    .flags =
                                        FUSE_PARALLEL_DIROPS | FUSE_BIG_WRITES | FUSE_MAX_PAGES};

    assert_int_equal(kernel_wait(k, kernel_send(k, FUSE_INIT, 0, 0, &in, sizeof(in)))->error, 0);
}

static void worker_start(struct kernel *k, const char *config)
{
    char *text = config_text(k, config);

    if (k->arena < 0)
        k->arena = hush_lockmem_create("test", k->memory);
    assert_true(k->arena >= 0);
    atomic_fetch_add(&k->shared->state.worker_generation, 1);
    (void)fflush(NULL); /* else the child writes it again */
    k->worker = fork();
    assert_true(k->worker >= 0);
    if (k->worker == 0)
        worker_run(k, text);
    free(text);
}

void kernel_start(struct kernel *k, const char *config)
{
    worker_start(k, config);
    if (atomic_load(&k->shared->state.init_size) == 0)
        send_init(k);
    assert_int_equal(kernel_getattr(k, TID, ROOT, NULL), 0);
}

static bool pump(struct kernel *k, int wait_ms);

/* Its exit status once it ended, 128 + the signal, or -1: it does not end. */
static int worker_reap(struct kernel *k, int patience_ms)
{
    int status = 0;

    for (int ms = 0; waitpid(k->worker, &status, WNOHANG) == 0; ms += 5) {
        if (ms >= patience_ms)
            return -1;
        (void)usleep(5000);
    }
    k->worker = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void kernel_kill(struct kernel *k)
{
    assert_int_equal(kill(k->worker, SIGKILL), 0);
    assert_int_equal(worker_reap(k, PATIENCE_MS), 128 + SIGKILL);
    while (pump(k, 0))
        continue;
    k->shared->state.suspicion = HUSH_SUSPECT_KILLED;
}

int kernel_exited(struct kernel *k)
{
    return worker_reap(k, PATIENCE_MS);
}

int kernel_end(struct kernel *k)
{
    (void)shutdown(k->fuse[0], SHUT_WR);
    return kernel_exited(k);
}

/* It has not ended, and still has to do with a request that is answered: a thread of it is not done
 * yet, or it took over and does once more what the last one had answered just before it died. */
static bool worker_lags(const struct kernel *k)
{
    siginfo_t ended = {0};

    if (k->worker == 0 ||
        waitid(P_PID, (id_t)k->worker, &ended, WEXITED | WNOHANG | WNOWAIT) != 0 ||
        ended.si_pid != 0)
        return false;
    for (size_t i = 0; i < HUSH_ALL_SLOTS; i++) {
        const uint64_t unique = atomic_load(&k->shared->state.slots[i].unique);

        if (unique != 0 && unique <= k->unique && k->replies[unique / 2] != NULL)
            return true;
    }
    return false;
}

/* What lags began before; to it the time would run out, and a backend that is too slow is another
 * test. By hand the mover may never answer it: then this ends by itself. */
void kernel_advance_ms(struct kernel *k, uint64_t ms)
{
    for (int waited_ms = 0; waited_ms < LAG_MS && worker_lags(k); waited_ms++)
        (void)pump(k, 1);
    atomic_fetch_add(&k->shared->now_ns, ms * HUSH_NS_PER_MS);
}

/* -- Messages ---------------------------------------------------------------------------------- */

static struct kernel_reply **slot_of(struct kernel *k, uint64_t unique)
{
    assert_true(unique % 2 == 0 && unique / 2 < REQUESTS);
    return &k->replies[unique / 2];
}

static void receive_reply(struct kernel *k)
{
    static unsigned char bytes[MESSAGE_MAX];
    ssize_t n = recv(k->fuse[0], bytes, sizeof(bytes), 0);
    struct fuse_out_header out;
    struct kernel_reply *r, **slot;

    assert_true(n >= (ssize_t)sizeof(out));
    memcpy(&out, bytes, sizeof(out));
    assert_int_equal(out.len, n);
    assert_true(out.unique > 0 && out.unique <= k->unique); /* it was asked */
    slot = slot_of(k, out.unique);
    if (*slot != NULL) { /* as a worker does that died with its answer just written */
        assert_int_not_equal((*slot)->worker, k->shared->state.worker_generation);
        return;
    }
    assert_in_range(-out.error, 0, 511);
    r = *slot = calloc(1, sizeof(*r));
    assert_non_null(r);
    r->unique = out.unique;
    r->error = -out.error;
    r->worker = k->shared->state.worker_generation;
    r->size = (size_t)n - sizeof(out);
    r->body = calloc(1, r->size + 1);
    assert_non_null(r->body);
    memcpy(r->body, bytes + sizeof(out), r->size);
}

static void receive_move(struct kernel *k)
{
    struct hush_move_packet *move = &k->moves[k->moved % MOVES];

    assert_true(k->moved < MOVES);
    assert_int_equal(recv(k->mover[0], move, sizeof(*move), 0), sizeof(*move));
    k->moved++;
    if (!k->by_hand)
        mover_answer(k, move, move->op == HUSH_MOVE_REPLACE ? mover_rename(k, move) : 0);
}

/* What has come, or comes within wait_ms. False: nothing. */
static bool pump(struct kernel *k, int wait_ms)
{
    struct pollfd p[] = {{.fd = k->fuse[0], .events = POLLIN},
                         {.fd = k->mover[0], .events = POLLIN}};

    if (poll(p, COUNT(p), wait_ms) <= 0)
        return false;
    if ((p[0].revents & POLLIN) != 0)
        receive_reply(k);
    if ((p[1].revents & POLLIN) != 0)
        receive_move(k);
    return true;
}

uint64_t kernel_send(struct kernel *k, uint32_t opcode, uint64_t ino, uint32_t tid,
                     const void *body, size_t size)
{
    struct fuse_in_header in = {.len = (uint32_t)(sizeof(in) + size),
                                .opcode = opcode,
                                .unique = k->unique += 2,
                                .nodeid = ino,
                                .pid = tid};
    struct iovec iov[] = {{&in, sizeof(in)}, {(void *)(uintptr_t)body, size}};

    assert_int_equal(writev(k->fuse[0], iov, 2), in.len);
    return in.unique;
}

/* What the keeper does. */
static void restart(struct kernel *k, const char *config)
{
    k->deaths++;
    k->shared->steps = 0;
    k->shared->state.suspicion = HUSH_SUSPECT_KILLED;
    while (pump(k, 0))
        continue;
    worker_start(k, config);
}

const struct kernel_reply *kernel_wait(struct kernel *k, uint64_t unique)
{
    struct kernel_reply **slot = slot_of(k, unique);

    for (int ms = 0; *slot == NULL; ms += 100) {
        int status = 0;

        if (pump(k, 100))
            continue;
        if (ms >= PATIENCE_MS)
            fail_msg("request %d is not answered", (int)unique);
        if (k->worker == 0 || (status = worker_reap(k, 0)) < 0)
            continue;
        if (status != 128 + SIGKILL || k->keeper == NULL)
            fail_msg("the worker ended: %d", status);
        else
            restart(k, k->keeper);
    }
    return *slot;
}

bool kernel_answered(struct kernel *k, uint64_t unique)
{
    /* The loop has one thread: what came before this was handled before it. */
    assert_int_equal(kernel_getattr(k, OTHER, ROOT, NULL), 0);
    return *slot_of(k, unique) != NULL;
}

/* -- The mover --------------------------------------------------------------------------------- */

/* The directory's node id; the kernel would have it from its cache. */
static uint64_t mover_walk(struct kernel *k, const char *dir)
{
    uint64_t at = ROOT;
    char name[256];

    while (*dir != '\0') {
        size_t n = strcspn(dir, "/");
        struct fuse_entry_out out;

        (void)snprintf(name, sizeof(name), "%.*s", (int)n, dir);
        if (kernel_lookup(k, MOVER_TID, at, name, &out) != 0)
            return 0;
        kernel_forget(k, out.nodeid, 1);
        at = out.nodeid;
        dir += n + (dir[n] == '/');
    }
    return at;
}

int mover_rename(struct kernel *k, const struct hush_move_packet *move)
{
    uint64_t dir = mover_walk(k, move->dir);
    struct fuse_entry_out from = {0}, to = {0};
    int err = dir == 0 ? ENOENT : kernel_lookup(k, MOVER_TID, dir, move->from, &from);

    if (err == 0)
        err = kernel_lookup(k, MOVER_TID, dir, move->to, &to);
    if (err == 0)
        err = kernel_rename(k, MOVER_TID, dir, move->from, move->to, move->flags);
    if (from.nodeid != 0)
        kernel_forget(k, from.nodeid, 1);
    if (to.nodeid != 0)
        kernel_forget(k, to.nodeid, 1);
    return err;
}

void mover_answer(struct kernel *k, const struct hush_move_packet *move, int error)
{
    struct hush_move_packet answer = *move;

    answer.error = error;
    assert_int_equal(send(k->mover[0], &answer, sizeof(answer), 0), sizeof(answer));
}

struct hush_move_packet *mover_take(struct kernel *k, enum hush_move op)
{
    for (int ms = 0; ms < PATIENCE_MS;) {
        while (k->taken < k->moved) {
            struct hush_move_packet *move = &k->moves[k->taken++];

            if (move->op == (uint32_t)op)
                return move;
            if (k->by_hand)
                mover_answer(k, move, 0);
        }
        if (!pump(k, 100))
            ms += 100;
    }
    fail_msg("the mover is told nothing");
    return NULL;
}

size_t mover_count(const struct kernel *k, enum hush_move op)
{
    size_t n = 0;

    for (size_t i = 0; i < k->moved; i++)
        n += k->moves[i].op == (uint32_t)op;
    return n;
}

/* -- A test's beginning and end ---------------------------------------------------------------- */

static void state_init(struct hush_state *state)
{
    state->magic = HUSH_STATE_MAGIC;
    state->keeper_pid = 1;
    state->mover_pid = MOVER_TID;
    state->config_generation = 1;
    state->key[0] = UINT64_C(0x0706050403020100);
    state->key[1] = UINT64_C(0x0f0e0d0c0b0a0908);
    state->started_ns = FIRST_S * HUSH_NS_PER_S;
    (void)snprintf(state->mount_path, sizeof(state->mount_path), "/run/hush-test");
}

static const char *in_dir(const struct kernel *k, const char *name)
{
    static char path[128];

    (void)snprintf(path, sizeof(path), "%s/%s", k->dir, name);
    return path;
}

int kernel_setup(void **state)
{
    struct kernel *k = calloc(1, sizeof(*k));
    void *shared = mmap(NULL, sizeof(struct kernel_shared), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (k == NULL || shared == MAP_FAILED)
        return -1;
    *state = k;
    k->shared = shared;
    k->memory = 1 << 20;
    k->arena = -1;
    k->shared->now_ns = FIRST_S * HUSH_NS_PER_S;
    state_init(&k->shared->state);
    (void)snprintf(k->dir, sizeof(k->dir), "/tmp/hush-fs-XXXXXX");
    if (mkdtemp(k->dir) == NULL || mkdir(in_dir(k, "s"), 0755) != 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, k->fuse) != 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, k->mover) != 0)
        return -1;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

int kernel_teardown(void **state)
{
    struct kernel *k = *state;
    int status = k->worker != 0 ? kernel_end(k) : 0;

    if (status < 0) {
        (void)fprintf(stderr, "the worker does not end\n");
        (void)kill(k->worker, SIGKILL);
        (void)worker_reap(k, PATIENCE_MS);
    }
    for (size_t i = 0; i < REQUESTS; i++)
        if (k->replies[i] != NULL) {
            free(k->replies[i]->body);
            free(k->replies[i]);
        }
    (void)nftw(k->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    for (int i = 0; i < 2; i++) {
        (void)close(k->fuse[i]);
        (void)close(k->mover[i]);
    }
    (void)close(k->arena);
    (void)munmap(k->shared, sizeof(*k->shared));
    free(k);
    return status == HUSH_EXIT_UNMOUNTED ? 0 : -1;
}
