/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.c - what passes between libfuse and /dev/fuse. The worker makes one session and runs its
 * loop; unit tests and fuzz targets give it a wire of their own.
 *
 * A request lands in the stage by read(2) itself, is copied to a slot, and leaves the slot when its
 * reply was written: at no instant only the dead process had it. The next worker begins with these.
 * This journal is the one mechanism, on every kernel: FUSE_NOTIFY_RESEND (6.9+) is not used, a
 * second mechanism on some kernels would only be one that is tested less.
 *
 *     read(2) -> stage (busy) -> slot -> handed on -> writev(2) -> slot free
 *
 * FORGETs have no reply: they stay in the stage until the loop comes back for the next request.
 * INTERRUPTs are lost with the worker: a request that is replayed ends by its own deadline.
 */
#include "session.h"

#include "core/log.h"
#include "journal.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SESSION_MAX_WRITE = 128 * 1024 }; /* a read needs max_write + 4096: the stage has it */

/* FUSE_DIRECT_IO_ALLOW_MMAP (1ULL << 36, Linux 6.6), in flags2: MAP_SHARED of a file that is read
 * past the page cache. The headers of Debian 12 do not have it. */
static const uint32_t ALLOW_MMAP = 1U << 4;

struct hush_session {
    struct fuse_session *fuse;
    struct hush_state *state;
    struct hush_journal *journal;
    struct hush_wire wire;
    uint64_t init_unique;          /* 0: not known yet */
    uint64_t unique;               /* of the request that was handed on last */
    uint32_t replays;              /* requests that a dead worker left */
    _Atomic uint64_t stage_unique; /* of the FORGET in the stage; 0: none */
    bool init_left;                /* INIT is to be replayed */
    bool stage_left;               /* the stage holds a request of a dead worker */
    bool took_over;
    bool warned_full;
    atomic_bool stop;
    bool ended;
};

static ssize_t wire_read(void *ctx, int fd, void *buf, size_t size)
{
    (void)ctx;
    return read(fd, buf, size);
}

static ssize_t wire_writev(void *ctx, int fd, const struct iovec *iov, int count)
{
    (void)ctx;
    return writev(fd, iov, count);
}

static ssize_t session_fail(int err)
{
    errno = err;
    return -1;
}

/* -- Requests ---------------------------------------------------------------------------------- */

static struct fuse_in_header session_header(const void *bytes)
{
    struct fuse_in_header header;

    memcpy(&header, bytes, sizeof(header));
    return header;
}

static bool session_is_forget(uint32_t opcode)
{
    return opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET;
}

static void stage_done(struct hush_session *s)
{
    hush_journal_step(&s->state->stage_busy, 0);
}

/* Reply without asking the operations. A reply that nobody waits for any more is no failure. */
static void session_refuse(struct hush_session *s, int fd, uint64_t unique, int err)
{
    struct fuse_out_header out = {.len = sizeof(out), .error = -err, .unique = unique};
    const struct iovec iov = {&out, sizeof(out)};

    if (s->wire.writev(s->wire.ctx, fd, &iov, 1) < 0 && errno != ENOENT && errno != ENODEV)
        hush_error("cannot answer a request: %m");
}

static bool session_save_init(struct hush_session *s, uint64_t unique, size_t size)
{
    if (size > HUSH_INIT_SIZE)
        return false;
    memcpy(s->state->init, s->state->stage, size);
    atomic_store(&s->state->init_answered, 0);
    atomic_store(&s->state->init_size, (uint32_t)size);
    s->init_unique = unique;
    return true;
}

/* Too long for what it is: no slot may keep it, nor may it be begun without one. */
static int session_excess(const struct fuse_in_header *in, size_t size)
{
    if (in->opcode == FUSE_LOOKUP && size > HUSH_SLOT_SIZE)
        return ENAMETOOLONG;
    return size > HUSH_BIG_SIZE ? EIO : 0;
}

static void session_journal(struct hush_session *s, const struct fuse_in_header *in, size_t size)
{
    if (hush_journal_add(s->journal, in->unique, s->state->stage, size) || s->warned_full)
        return;
    s->warned_full = true;
    hush_warning("journal full: a crash now would leave requests without an answer");
}

/*
 * Judge the request of size bytes in the stage: keep it, and say how many bytes are to be handed
 * on; 0: it was dealt with; -1: errno.
 */
static ssize_t session_admit(struct hush_session *s, int fd, size_t size)
{
    struct fuse_in_header in;
    int err;

    if (size < sizeof(in))
        return session_fail(EIO);
    in = session_header(s->state->stage);
    if (in.len != size)
        return session_fail(EIO);
    if (session_is_forget(in.opcode)) {
        atomic_store(&s->stage_unique, in.unique);
        return (ssize_t)size; /* the stage stays busy */
    }
    err = session_excess(&in, size);
    if (in.opcode == FUSE_INIT)
        err = session_save_init(s, in.unique, size) ? 0 : EIO;
    else if (err == 0 && in.opcode != FUSE_INTERRUPT)
        session_journal(s, &in, size);
    if (err != 0)
        session_refuse(s, fd, in.unique, err);
    stage_done(s);
    return err == 0 ? (ssize_t)size : 0;
}

/* One new request. As session_admit(). */
static ssize_t session_receive(struct hush_session *s, int fd, size_t size)
{
    struct hush_state *state = s->state;
    ssize_t got;
    int err;

    hush_journal_step(&s->stage_unique, 0); /* a FORGET: its handling is over */
    stage_done(s);
    memset(state->stage, 0, sizeof(struct fuse_in_header));
    hush_journal_step(&state->stage_applied, 0);
    hush_journal_step(&state->stage_busy, 1);
    got = s->wire.read(s->wire.ctx, fd, state->stage,
                       size < HUSH_STAGE_SIZE ? size : HUSH_STAGE_SIZE);
    if (got > 0)
        return session_admit(s, fd, (size_t)got);
    err = got == 0 ? ENODEV : errno;
    if (err == ECONNABORTED)
        err = ENODEV; /* the connection ended while the kernel handed a request over */
    stage_done(s);
    s->ended = s->ended || err == ENODEV;
    return session_fail(err);
}

/* What a dead worker left, one at a time, into buf. 0: nothing is left. */
static ssize_t session_replay(struct hush_session *s, int fd, void *buf, size_t size)
{
    struct hush_journal_entry entry;

    while (hush_journal_next(s->journal, &entry)) {
        if (!entry.poison && entry.size <= size) {
            memcpy(buf, entry.bytes, entry.size);
            return (ssize_t)entry.size;
        }
        hush_error("request %llu: workers die of it, answered EIO",
                   (unsigned long long)entry.unique);
        session_refuse(s, fd, entry.unique, EIO);
        hush_journal_drop(s->journal, entry.unique);
    }
    if (!s->stage_left)
        return 0;
    s->stage_left = false;
    memcpy(buf, s->state->stage, session_header(s->state->stage).len);
    return session_admit(s, fd, session_header(s->state->stage).len);
}

static ssize_t session_replay_init(struct hush_session *s, void *buf)
{
    const uint32_t size = atomic_load(&s->state->init_size);

    s->init_left = false;
    memcpy(buf, s->state->init, size);
    return size;
}

/* libfuse's read. buf has room for any request: libfuse sees to it, see session_patch_init(). */
static ssize_t session_read(int fd, void *buf, size_t size, void *userdata)
{
    struct hush_session *s = ((struct hush_session_user *)userdata)->session;
    ssize_t got;

    if (s->init_left)
        return session_replay_init(s, buf);
    got = session_replay(s, fd, buf, size);
    while (got == 0) {
        got = session_receive(s, fd, size);
        if (got > 0)
            memcpy(buf, s->state->stage, (size_t)got);
    }
    if (got > 0)
        s->unique = session_header(buf).unique;
    return got;
}

/* -- Replies ----------------------------------------------------------------------------------- */

static ssize_t iov_size(const struct iovec *iov, int count)
{
    size_t size = 0;

    for (int i = 0; i < count; i++)
        size += iov[i].iov_len;
    return (ssize_t)size;
}

/* libfuse's answer to INIT, before the kernel sees it. */
static void session_patch_init(struct hush_session *s, struct fuse_init_out *out)
{
    struct fuse_init_in in;

    memcpy(&in, s->state->init + sizeof(struct fuse_in_header), sizeof(in));
    out->flags |= in.flags & FUSE_PARALLEL_DIROPS;
    if ((in.flags & FUSE_INIT_EXT) != 0 && (in.flags2 & ALLOW_MMAP) != 0) {
        out->flags |= FUSE_INIT_EXT;
        out->flags2 |= ALLOW_MMAP;
    }
    if (out->max_write > SESSION_MAX_WRITE)
        out->max_write = SESSION_MAX_WRITE;
}

/*
 * The kernel has had the reply to INIT once and for ever. A worker that would have agreed on other
 * flags serves with those of the first.
 */
static ssize_t session_answer_init(struct hush_session *s, int fd, struct iovec *iov, int count)
{
    const struct fuse_out_header *header = iov[0].iov_base;
    struct fuse_init_out *out = count > 1 ? iov[1].iov_base : NULL;
    ssize_t n;

    if (header->error != 0 || out == NULL ||
        iov[1].iov_len < offsetof(struct fuse_init_out, unused))
        return s->took_over ? iov_size(iov, count) : s->wire.writev(s->wire.ctx, fd, iov, count);
    session_patch_init(s, out);
    if (s->took_over) {
        if (out->flags != s->state->init_flags)
            hush_warning("this version wants other FUSE flags (%x) than the mount has (%x)",
                         out->flags, s->state->init_flags);
        return iov_size(iov, count);
    }
    s->state->init_flags = out->flags;
    n = s->wire.writev(s->wire.ctx, fd, iov, count);
    if (n >= 0 || errno == ENOENT) /* ENOENT: a dead worker had written it */
        atomic_store(&s->state->init_answered, 1);
    return n;
}

/* libfuse's writev, from any thread. */
static ssize_t session_writev(int fd, struct iovec *iov, int count, void *userdata)
{
    struct hush_session *s = ((struct hush_session_user *)userdata)->session;
    const uint64_t unique = ((const struct fuse_out_header *)iov[0].iov_base)->unique;
    ssize_t n;
    int err;

    if (unique != 0 && unique == s->init_unique)
        return session_answer_init(s, fd, iov, count);
    n = s->wire.writev(s->wire.ctx, fd, iov, count);
    err = errno;
    if (unique == 0 || (n < 0 && err == ENODEV))
        return n; /* a notification, or all is over */
    if (n < 0 && err != ENOENT)
        session_refuse(s, fd, unique, EIO); /* a reply the kernel does not take: nobody may hang */
    hush_journal_drop(s->journal, unique);
    errno = err;
    return n;
}

/* -- A session --------------------------------------------------------------------------------- */

/* The dead worker was between read(2) and the slot, or at a FORGET. */
static void session_recover_stage(struct hush_session *s, int fd)
{
    struct hush_state *state = s->state;
    const struct fuse_in_header in = session_header(state->stage);

    if (atomic_load(&state->stage_busy) == 0)
        return;
    if (in.len < sizeof(in) || in.len > HUSH_STAGE_SIZE || in.opcode == FUSE_INTERRUPT ||
        hush_journal_has(s->journal, in.unique)) {
        stage_done(s); /* nothing had come yet, or it is in its slot */
        return;
    }
    if (in.opcode == FUSE_INIT || session_excess(&in, in.len) != 0)
        (void)session_admit(s, fd, in.len); /* INIT is replayed from where it is saved */
    else
        s->stage_left = true; /* it comes after those in the slots */
}

static bool session_open(struct hush_session *s, const struct fuse_lowlevel_ops *ops,
                         size_t ops_size, struct hush_session_user *user)
{
    static char name[] = "hushfs";
    char *argv[] = {name, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(1, argv);

    user->session = s;
    s->journal = hush_journal_open(s->state);
    s->fuse = s->journal == NULL ? NULL : fuse_session_new(&args, ops, ops_size, user);
    fuse_opt_free_args(&args); /* libfuse has made a copy of its own */
    return s->fuse != NULL;
}

/* By hand, so that no request comes before it. */
static bool session_take_over(struct hush_session *s)
{
    struct fuse_buf buf = {.mem = NULL};
    int n;

    s->init_left = true;
    s->init_unique = session_header(s->state->init).unique;
    s->took_over = atomic_load(&s->state->init_answered) != 0;
    n = fuse_session_receive_buf(s->fuse, &buf);
    if (n > 0)
        fuse_session_process_buf(s->fuse, &buf);
    free(buf.mem);
    return n > 0;
}

static struct hush_session *session_alloc(struct hush_state *state, const struct hush_wire *wire)
{
    struct hush_session *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return NULL;
    s->state = state;
    s->wire = wire != NULL ? *wire : (struct hush_wire){0};
    if (s->wire.read == NULL)
        s->wire.read = wire_read;
    if (s->wire.writev == NULL)
        s->wire.writev = wire_writev;
    return s;
}

struct hush_session *hush_session_new(const struct fuse_lowlevel_ops *ops, size_t ops_size,
                                      struct hush_session_user *user, int fd,
                                      struct hush_state *state, const struct hush_wire *wire)
{
    const struct fuse_custom_io io = {.read = session_read, .writev = session_writev};
    struct hush_session *s = session_alloc(state, wire);

    if (s == NULL || !session_open(s, ops, ops_size, user) ||
        fuse_session_custom_io(s->fuse, &io, fd) != 0) {
        (void)close(fd); /* nothing was written */
        hush_session_free(s);
        errno = ENOMEM;
        return NULL;
    }
    session_recover_stage(s, fd);
    s->replays = hush_journal_replays(s->journal) + (s->stage_left ? 1 : 0);
    if (atomic_load(&state->init_size) == 0 || session_take_over(s))
        return s;
    hush_session_free(s);
    errno = EPROTO;
    return NULL;
}

int hush_session_loop(struct hush_session *session)
{
    struct fuse_buf buf = {.mem = NULL};
    int n = 1;

    while (!atomic_load(&session->stop)) {
        n = fuse_session_receive_buf(session->fuse, &buf);
        if (n == -EINTR)
            continue;
        if (n <= 0)
            break;
        fuse_session_process_buf(session->fuse, &buf);
    }
    free(buf.mem);
    return n < 0 && n != -EINTR ? n : 0;
}

void hush_session_stop(struct hush_session *session)
{
    atomic_store(&session->stop, true);
}

bool hush_session_ended(const struct hush_session *session)
{
    return session->ended;
}

void hush_session_free(struct hush_session *session)
{
    if (session == NULL)
        return;
    if (session->fuse != NULL)
        fuse_session_destroy(session->fuse);
    hush_journal_free(session->journal);
    free(session);
}

bool hush_session_took_over(const struct hush_session *session)
{
    return session->took_over;
}

uint32_t hush_session_replays(const struct hush_session *session)
{
    return session->replays;
}

bool hush_session_apply_once(struct hush_session *session, uint64_t unique)
{
    if (unique != 0 && atomic_load(&session->stage_unique) == unique)
        return atomic_exchange(&session->state->stage_applied, 1) == 0;
    return hush_journal_apply_once(session->journal, unique);
}

uint64_t hush_session_unique(const struct hush_session *session)
{
    return session->unique;
}
