/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_fuse.c - messages of the kernel, in any order and with anything in them, to a filesystem of
 * two instances: the environment, and a backend that does what the input says, shown as
 * directories. Whatever comes: no crash, no leak, no hang; every request is answered, once, with an
 * errno that the kernel knows.
 *
 * The input is a sequence of messages, each after its size (two bytes, little-endian). Those with
 * opcode 0 are for the harness: move the clock, script the backend, hold it or the mover. With
 * FUZZ_TRACE=1 in the environment it says what is asked and answered.
 */
#include "fuzz_fuse.h"

#include "core/clock.h"
#include "core/log.h"
#include "json.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { UNIQUES = 4096, ARENA_SIZE = 1 << 20, PATIENCE_MS = 8000 };

enum control { ADVANCE, HOLD, LET_GO, HOLD_MOVER, LET_MOVER_GO, SCRIPT, CONTROLS };

static struct hush_config *config;
static struct hush_environ *env;
static _Atomic uint64_t clock_ns;
static bool trace;

/* One input's world. */
struct world {
    struct hush_fs *fs;
    const uint8_t *at, *end;
    uint64_t unique;
    size_t interrupts;
    bool init, held;
    struct known known;
    pthread_mutex_t lock; /* for what follows */
    bool asked[UNIQUES], answered[UNIQUES];
    bool may_be[UNIQUES]; /* an INTERRUPT that comes too early is answered EAGAIN */
    size_t unanswered;
    int mover;
    atomic_bool mover_held;
};

static void broken(const char *what, uint64_t unique)
{
    (void)fprintf(stderr, "%s: request %llu\n", what, (unsigned long long)unique);
    abort();
}

/* -- Answers ------------------------------------------------------------------------------------
 */

static void learn(uint64_t *list, size_t *count, uint64_t number)
{
    for (size_t i = 0; i < *count; i++)
        if (list[i] == number)
            return;
    if (*count < KNOWN)
        list[(*count)++] = number;
}

static void learn_from(struct known *known, const struct iovec *iov, int count)
{
    uint64_t number;

    if (count < 2 || iov[1].iov_len < sizeof(number))
        return;
    memcpy(&number, iov[1].iov_base, sizeof(number));
    if (iov[1].iov_len == sizeof(struct fuse_entry_out))
        learn(known->nodes, &known->node_count, number);
    if (iov[1].iov_len == sizeof(struct fuse_open_out))
        learn(known->handles, &known->handle_count, number);
}

static ssize_t world_writev(void *ctx, int fd, const struct iovec *iov, int count)
{
    struct world *w = ctx;
    const struct fuse_out_header *out = iov[0].iov_base;
    const uint64_t i = out->unique / 2;
    size_t size = 0;

    (void)fd;
    for (int k = 0; k < count; k++)
        size += iov[k].iov_len;
    if (out->len != size || out->error > 0 || out->error < -511)
        broken("malformed answer", out->unique);
    if (trace)
        (void)fprintf(stderr, "  %llu: %d, %zu bytes\n", (unsigned long long)out->unique,
                      out->error, size - sizeof(*out));
    pthread_mutex_lock(&w->lock);
    if (out->unique % 2 != 0 || i >= UNIQUES || !(w->asked[i] || w->may_be[i]))
        broken("an answer to nobody", out->unique);
    if (w->answered[i])
        broken("answered twice", out->unique);
    w->answered[i] = true;
    w->unanswered -= w->asked[i];
    if (out->error == 0)
        learn_from(&w->known, iov, count);
    pthread_mutex_unlock(&w->lock);
    return (ssize_t)size;
}

static size_t unanswered(struct world *w)
{
    size_t n;

    pthread_mutex_lock(&w->lock);
    n = w->unanswered;
    pthread_mutex_unlock(&w->lock);
    return n;
}

/* -- Waiting: an input does the same each time, as far as threads allow ---------------------------
 */

static bool is_idle(struct world *w)
{
    struct hush_fs *fs = w->fs;
    bool idle = fs->woken == NULL &&
                (atomic_load(&w->mover_held) || (fs->commands == NULL && !fs->mover_busy));

    for (struct hush_item *item = fs->items; item != NULL && idle; item = item->hh.next)
        idle = item->job == NULL;
    for (struct hush_node *node = fs->nodes; node != NULL && idle; node = node->hh.next)
        idle = node->list_job == NULL;
    return idle && (fs->parked != NULL || unanswered(w) == 0);
}

static void await_idle(struct world *w)
{
    for (int ms = 0; !w->held; ms++) {
        bool idle;

        pthread_mutex_lock(&w->fs->lock);
        idle = is_idle(w);
        pthread_mutex_unlock(&w->fs->lock);
        if (idle)
            return;
        if (ms > 10 * PATIENCE_MS)
            broken("calls do not end", 0);
        (void)nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
}

/* All is let go: whoever waits is answered. */
static void await_answers(struct world *w)
{
    w->held = false;
    backend_hold(false);
    atomic_store(&w->mover_held, false);
    await_idle(w);
    for (int ms = 0; unanswered(w) > 0; ms++) {
        if (ms > PATIENCE_MS)
            broken("requests without an answer", 0);
        (void)nanosleep(&(struct timespec){.tv_nsec = HUSH_NS_PER_MS}, NULL);
    }
}

/* -- Messages ------------------------------------------------------------------------------------
 */

static void advance(struct world *w, unsigned ms)
{
    atomic_fetch_add(&clock_ns, ms * (uint64_t)HUSH_NS_PER_MS);
    pthread_mutex_lock(&w->fs->lock);
    pthread_cond_signal(&w->fs->timer);
    pthread_mutex_unlock(&w->fs->lock);
}

static void obey(struct world *w, const unsigned char *body)
{
    const struct script script = {
        .status = body[1] % HUSH_STATUS_COUNT, .version = body[2] % 4u, .shape = body[3]};

    switch (body[0] % CONTROLS) {
    case ADVANCE:
        advance(w, 10u * body[1] + 2560u * body[2]);
        break;
    case HOLD:
    case LET_GO:
        w->held = body[0] % CONTROLS == HOLD;
        backend_hold(w->held);
        break;
    case HOLD_MOVER:
    case LET_MOVER_GO:
        atomic_store(&w->mover_held, body[0] % CONTROLS == HOLD_MOVER);
        break;
    default:
        backend_set(&script);
        break;
    }
}

static void find_staged(struct world *w)
{
    w->known.staged = 0;
    pthread_mutex_lock(&w->fs->lock);
    for (struct hush_item *item = w->fs->items; item != NULL; item = item->hh.next)
        if (item->staged != NULL)
            w->known.staged = item->staged->nodes[0].ino;
    pthread_mutex_unlock(&w->fs->lock);
}

/* libfuse keeps an INTERRUPT of what it does not know until the next request comes, for ever if
 * need be: at the end one comes for each. */
static bool next_flush(struct world *w, unsigned char *bytes, size_t *size)
{
    const struct fuse_in_header in = {.opcode = FUSE_STATFS, .nodeid = FUSE_ROOT_ID};

    if (w->interrupts == 0)
        return false;
    w->interrupts--;
    *size = sizeof(in);
    memcpy(bytes, &in, sizeof(in));
    return true;
}

/* The next piece of the input; false: there is none. */
static bool next_piece(struct world *w, unsigned char *bytes, size_t *size)
{
    if (w->unique / 2 >= UNIQUES - w->interrupts - 2 || w->end - w->at < 2)
        return next_flush(w, bytes, size);
    *size = (size_t)(w->at[0] | w->at[1] << 8);
    w->at += 2;
    if (*size > (size_t)(w->end - w->at))
        *size = (size_t)(w->end - w->at);
    if (*size > MESSAGE_MAX)
        *size = MESSAGE_MAX;
    memcpy(bytes, w->at, *size);
    w->at += *size;
    return true;
}

static ssize_t send_init(struct world *w, void *buf)
{
    struct {
        struct fuse_in_header header;
        struct fuse_init_in in;
    } init = {.header = {.len = sizeof(init), .opcode = FUSE_INIT, .unique = 2},
              .in = {.major = FUSE_KERNEL_VERSION,
                     .minor = FUSE_KERNEL_MINOR_VERSION,
                     .max_readahead = 131072,
                     .flags = FUSE_PARALLEL_DIROPS | FUSE_BIG_WRITES | FUSE_MAX_PAGES}};

    w->init = true;
    w->asked[1] = true;
    w->unanswered = 1;
    memcpy(buf, &init, sizeof(init));
    return sizeof(init);
}

static void ask(struct world *w, const unsigned char *bytes)
{
    struct fuse_in_header in;

    memcpy(&in, bytes, sizeof(in));
    if (trace)
        (void)fprintf(stderr, "%llu: opcode %u node %llx %.40s\n", (unsigned long long)in.unique,
                      in.opcode, (unsigned long long)in.nodeid, bytes + sizeof(in));
    pthread_mutex_lock(&w->lock);
    if (message_is_answered(in.opcode)) {
        w->asked[in.unique / 2] = true;
        w->unanswered++;
    }
    w->may_be[in.unique / 2] = in.opcode == FUSE_INTERRUPT;
    w->interrupts += in.opcode == FUSE_INTERRUPT;
    pthread_mutex_unlock(&w->lock);
    w->unique += 2;
}

static ssize_t world_read(void *ctx, int fd, void *buf, size_t room)
{
    static unsigned char bytes[MESSAGE_MAX + 1024];
    struct world *w = ctx;
    size_t size;

    (void)fd;
    (void)room;
    if (!w->init)
        return send_init(w, buf);
    for (;;) {
        uint32_t opcode = 0;

        await_idle(w);
        memset(bytes, 0, sizeof(bytes));
        if (!next_piece(w, bytes, &size)) {
            await_answers(w);
            errno = ENODEV;
            return -1;
        }
        memcpy(&opcode, bytes + offsetof(struct fuse_in_header, opcode), sizeof(opcode));
        if (opcode == 0) {
            obey(w, bytes + offsetof(struct fuse_in_header, unique));
            continue;
        }
        find_staged(w);
        pthread_mutex_lock(&w->lock);
        size = message_make(&w->known, bytes, size, w->unique);
        pthread_mutex_unlock(&w->lock);
        if (size == 0)
            continue;
        ask(w, bytes);
        memcpy(buf, bytes, size);
        return (ssize_t)size;
    }
}

/* -- The mover: does nothing, and says so
 * ---------------------------------------------------------- */

static void *mover_run(void *arg)
{
    struct world *w = arg;
    struct hush_move_packet packet;

    while (recv(w->mover, &packet, sizeof(packet), 0) > 0) {
        while (atomic_load(&w->mover_held))
            (void)nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
        packet.error = ENOTSUP;
        (void)send(w->mover, &packet, sizeof(packet), MSG_NOSIGNAL);
    }
    return NULL;
}

/* -- One input
 * -------------------------------------------------------------------------------------- */

static uint64_t now_ns(void)
{
    return atomic_load(&clock_ns);
}

static time_t wall_s(void)
{
    return 1700000000 + (time_t)(now_ns() / HUSH_NS_PER_S);
}

static struct hush_state *state_new(void)
{
    struct hush_state *state =
        mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (state == MAP_FAILED)
        abort();
    state->magic = HUSH_STATE_MAGIC;
    state->mover_pid = MOVER;
    state->worker_generation = 1;
    state->config_generation = 1;
    state->key[0] = 1; /* node ids are the same each time */
    return state;
}

static void serve(struct world *w, int mover)
{
    const struct hush_wire wire = {world_read, world_writev, w};
    struct hush_fs *fs = calloc(1, sizeof(*fs));

    if (fs == NULL)
        abort();
    w->fs = fs;
    fs->config = config;
    fs->env = env;
    fs->state = state_new();
    fs->arena = hush_arena_new(ARENA_SIZE);
    fs->mover_fd = mover;
    if (fs->arena == NULL || !hush_serve_init(fs) ||
        !hush_serve_start(fs, open("/dev/null", O_RDWR | O_CLOEXEC), &wire))
        abort();
    (void)hush_serve_loop(fs);
    hush_serve_stop(fs);
    struct hush_arena *arena = fs->arena;
    struct hush_state *state = fs->state;
    fs_free(fs);
    hush_arena_free(arena);
    (void)munmap(state, sizeof(*state));
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const char text[] = "[mount]\npath = /run/hush-test\n"
                               "[provider/env]\ntype = env\nttl = 1\nconcurrency = 1\n"
                               "[provider/dir]\ntype = test\nas = directory\nconcurrency = 2\n"
                               "ttl = 2\nneg_ttl = 1\nresurrect_ttl = 3\n"
                               "[path/dir/f*]\nas = file\n"
                               "[path/dir/k]\nas = file\nttl = 0\npage_cache = no\n";
    int fd;

    (void)argc;
    (void)argv;
    trace = secure_getenv("FUZZ_TRACE") != NULL;
    hush_log_open("fuzz", false, HUSH_LOG_ERROR);
    hush_json_init();
    if (clearenv() != 0 || setenv("a", "one", 1) != 0 || setenv("b_c", "two", 1) != 0)
        abort();
    fd = hush_environ_capture();
    env = fd >= 0 ? hush_environ_map(fd) : NULL;
    config = hush_config_parse(text, strlen(text), "fuzz", NULL, NULL);
    hush_clock_inject(now_ns, wall_s);
    if (env == NULL || config == NULL)
        abort();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct script plain;
    struct world *w = calloc(1, sizeof(*w));
    pthread_t mover;
    int fds[2];

    if (w == NULL || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
        abort();
    w->at = data;
    w->end = data + size;
    w->unique = FIRST_UNIQUE;
    w->mover = fds[0];
    atomic_store(&clock_ns, 1000 * HUSH_NS_PER_S);
    backend_set(&plain);
    backend_hold(false);
    if (pthread_mutex_init(&w->lock, NULL) != 0 || pthread_create(&mover, NULL, mover_run, w) != 0)
        abort();
    serve(w, fds[1]);
    (void)shutdown(fds[1], SHUT_RDWR);
    (void)pthread_join(mover, NULL);
    (void)close(fds[0]);
    (void)close(fds[1]);
    (void)pthread_mutex_destroy(&w->lock);
    free(w);
    return 0;
}
