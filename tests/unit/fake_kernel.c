/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_kernel.c - see fake_kernel.h.
 */
#include "fake_kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

struct worker {
    struct hush_session_user base;
    struct fake *world;
};

static void crash_here(struct fake *w, enum crash point, uint64_t unique)
{
    if (w->crash == point && w->crash_unique == unique)
        _exit(CRASH_STATUS);
}

/* -- The kernel -------------------------------------------------------------------------------- */

void *fake_queue(struct fake *w, uint32_t opcode, uint64_t unique, const void *body, size_t size)
{
    struct fuse_in_header in = {
        .len = (uint32_t)(sizeof(in) + size), .opcode = opcode, .unique = unique, .nodeid = 1};
    unsigned char *at = w->bytes + w->used;

    assert_true(w->queued < MESSAGES && w->used + in.len <= BYTES);
    memcpy(at, &in, sizeof(in));
    memcpy(at + sizeof(in), body, size);
    w->messages[w->queued].offset = w->used;
    w->messages[w->queued++].size = in.len;
    w->used += in.len;
    return at + sizeof(in);
}

static void queue_init(struct fake *w)
{
    const struct fuse_init_in in = {.major = FUSE_KERNEL_VERSION,
                                    .minor = FUSE_KERNEL_MINOR_VERSION,
                                    .max_readahead = 131072,
                                    .flags =
                                        FUSE_PARALLEL_DIROPS | FUSE_BIG_WRITES | FUSE_MAX_PAGES};

    fake_queue(w, FUSE_INIT, INIT_UNIQUE, &in, sizeof(in));
}

void fake_queue_lookup(struct fake *w, uint64_t unique, const char *name)
{
    fake_queue(w, FUSE_LOOKUP, unique, name, strlen(name) + 1);
}

void fake_queue_forget(struct fake *w, uint64_t unique)
{
    const struct fuse_forget_in in = {.nlookup = 3};

    fake_queue(w, FUSE_FORGET, unique, &in, sizeof(in));
}

static ssize_t flood_read(struct fake *w, unsigned char *buf)
{
    static const char name[] = "park";
    const struct fuse_in_header in = {.len = sizeof(in) + sizeof(name),
                                      .opcode = FUSE_LOOKUP,
                                      .unique = FLOOD_FIRST + 2 * w->flood,
                                      .nodeid = 1};

    w->flood--;
    memcpy(buf, &in, sizeof(in));
    memcpy(buf + sizeof(in), name, sizeof(name));
    return (ssize_t)in.len;
}

static ssize_t world_read(void *ctx, int fd, void *buf, size_t size)
{
    struct fake *w = ctx;
    const struct fuse_in_header *in = buf;
    ssize_t got;

    (void)fd;
    if (w->flood > 0 && w->next > 0) /* INIT first */
        return flood_read(w, buf);
    if (w->next == w->queued) {
        errno = w->end_errno != 0 ? w->end_errno : ENODEV;
        return -1;
    }
    got = (ssize_t)w->messages[w->next].size;
    CHECK((size_t)got <= size);
    memcpy(buf, w->bytes + w->messages[w->next++].offset, (size_t)got);
    crash_here(w, AT_READ, in->unique);
    return got;
}

bool fake_is_answered(const struct fake *w, uint64_t unique)
{
    for (size_t i = 0; i < w->replied; i++)
        if (w->replies[i].unique == unique)
            return true;
    return false;
}

static ssize_t world_writev(void *ctx, int fd, const struct iovec *iov, int count)
{
    struct fake *w = ctx;
    const struct fuse_out_header *out = iov[0].iov_base;
    struct reply *reply = &w->replies[w->replied];

    (void)fd;
    crash_here(w, BEFORE_REPLY, out->unique);
    if (fake_is_answered(w, out->unique)) {
        w->doubles++;
        errno = ENOENT;
        return -1;
    }
    if (out->unique == w->refuse_unique && (count > 1 || out->error != -EIO)) {
        errno = EINVAL;
        return -1;
    }
    CHECK(w->replied < LOG);
    *reply = (struct reply){.unique = out->unique, .error = out->error, .size = out->len};
    if (count > 1)
        memcpy(reply->body, iov[1].iov_base, iov[1].iov_len < 64 ? iov[1].iov_len : 64);
    w->replied++;
    crash_here(w, AFTER_REPLY, out->unique);
    return out->len;
}

/* -- The operations ---------------------------------------------------------------------------- */

static struct fake *op_begin(fuse_req_t req)
{
    struct worker *worker = fuse_req_userdata(req);
    struct fake *w = worker->world;
    const uint64_t unique = hush_session_unique(worker->base.session);

    if (w->begins < LOG)
        w->begun[w->begins++] = unique;
    crash_here(w, IN_HANDLER, unique);
    if (hush_session_apply_once(worker->base.session, unique))
        w->applied++;
    crash_here(w, AFTER_APPLY, unique);
    if (w->stop_in_handler)
        hush_session_stop(worker->base.session);
    return w;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    (void)parent;
    op_begin(req);
    if (strcmp(name, "park") != 0) /* parked: never answered */
        fuse_reply_err(req, EACCES);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    const struct stat st = {.st_ino = ino, .st_mode = S_IFDIR | 0755};

    (void)fi;
    op_begin(req);
    fuse_reply_attr(req, &st, 1);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
    (void)ino;
    CHECK(nlookup == 3);
    op_begin(req);
    fuse_reply_none(req);
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t to,
                      const char *to_name, unsigned flags)
{
    (void)parent;
    (void)to;
    (void)flags;
    CHECK(strlen(name) == 255 && strlen(to_name) == 255);
    op_begin(req);
    fuse_reply_err(req, 0);
}

// NOLINTNEXTLINE(readability-function-size): libfuse's parameters
static void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg,
                     struct fuse_file_info *fi, unsigned flags, const void *in, size_t in_size,
                     size_t out_size)
{
    struct fake *w = op_begin(req);

    (void)ino, (void)cmd, (void)arg, (void)fi, (void)flags, (void)out_size;
    w->ioctl_bytes = 0;
    for (size_t i = 0; i < in_size; i++)
        w->ioctl_bytes += ((const unsigned char *)in)[i] == 'x';
    fuse_reply_err(req, ENOTTY);
}

static void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
                        size_t size, int flags)
{
    (void)ino, (void)name, (void)value, (void)size, (void)flags;
    op_begin(req);
    fuse_reply_err(req, EROFS);
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
    struct worker *worker = userdata;

    (void)conn;
    crash_here(worker->world, IN_HANDLER, INIT_UNIQUE);
}

static const struct fuse_lowlevel_ops ops = {
    .init = op_init,
    .lookup = op_lookup,
    .getattr = op_getattr,
    .forget = op_forget,
    .rename = op_rename,
    .ioctl = op_ioctl,
    .setxattr = op_setxattr,
};

/* -- Workers ----------------------------------------------------------------------------------- */

static int worker_run(void *ctx)
{
    struct fake *w = ctx;
    const struct hush_wire wire = {.read = world_read, .writev = world_writev, .ctx = w};
    struct worker worker = {.world = w};
    struct hush_session *s = hush_session_new(
        &ops, sizeof(ops), &worker.base, open("/dev/null", O_RDWR | O_CLOEXEC), &w->state, &wire);

    CHECK(s != NULL);
    w->took_over = hush_session_took_over(s);
    w->replays = hush_session_replays(s);
    w->result = hush_session_loop(s);
    w->ended = hush_session_ended(s);
    hush_session_free(s);
    return 0;
}

int fake_run(struct fake *w)
{
    return in_child(worker_run, w);
}

void fake_run_crash(struct fake *w, enum crash point, uint64_t unique)
{
    w->crash = point;
    w->crash_unique = unique;
    assert_int_equal(fake_run(w), CRASH_STATUS);
    w->crash = NOWHERE;
}

int fake_setup(void **state)
{
    struct fake *w =
        mmap(NULL, sizeof(*w), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (w == MAP_FAILED)
        return -1;
    queue_init(w);
    *state = w;
    return 0;
}

int fake_teardown(void **state)
{
    return munmap(*state, sizeof(struct fake));
}

const struct reply *fake_reply(const struct fake *w, uint64_t unique)
{
    size_t found = LOG;

    for (size_t i = 0; i < w->replied; i++)
        if (w->replies[i].unique == unique) {
            assert_int_equal(found, LOG); /* not twice */
            found = i;
        }
    assert_true(found < LOG);
    return &w->replies[found];
}

unsigned fake_begun(const struct fake *w, uint64_t unique)
{
    unsigned n = 0;

    for (size_t i = 0; i < w->begins; i++)
        n += w->begun[i] == unique;
    return n;
}

void fake_assert_empty(const struct fake *w)
{
    assert_int_equal(w->state.stage_busy, 0);
    for (size_t i = 0; i < HUSH_ALL_SLOTS; i++)
        assert_int_equal(w->state.slots[i].unique, 0);
}
