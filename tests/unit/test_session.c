/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_session.c - the session and its journal against a fake kernel in shared memory. Workers are
 * forked processes, so that a crash at any point is a real one: what is left is the shared memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "journal.h"
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    MESSAGES = 64,
    BYTES = 256 * 1024,
    LOG = 64,
    CRASH_STATUS = 99,
    INIT_UNIQUE = 2,
    FLOOD_FIRST = 1000000,
};

enum crash { NOWHERE, AT_READ, IN_HANDLER, AFTER_APPLY, BEFORE_REPLY, AFTER_REPLY };

struct reply {
    uint64_t unique;
    int32_t error;
    uint32_t size;
    unsigned char body[64];
};

/* What lives on when a worker dies: the kernel, its log, and the keeper's memory. */
struct world {
    struct hush_state state;
    size_t queued, next, used;
    struct {
        size_t offset, size;
    } messages[MESSAGES];
    unsigned char bytes[BYTES];
    size_t flood; /* LOOKUPs of "park" to make up before the messages */
    struct reply replies[LOG];
    size_t replied;
    uint64_t begun[LOG]; /* uniques that reached an operation */
    size_t begins;
    unsigned applied;
    size_t ioctl_bytes;
    uint64_t crash_unique;
    enum crash crash;
    uint64_t refuse_unique; /* the kernel takes only a plain error for it */
    bool stop_in_handler;
    /* of the last worker */
    bool took_over, ended;
    uint32_t replays;
    int result;
};

struct worker {
    struct hush_session_user base;
    struct world *world;
};

/* For workers: a failed assertion of cmocka would go on with the tests in the worker. */
static void must(bool ok)
{
    if (!ok)
        _exit(1);
}

static void crash_here(struct world *w, enum crash point, uint64_t unique)
{
    if (w->crash == point && w->crash_unique == unique)
        _exit(CRASH_STATUS);
}

/* -- The kernel ----------------------------------------------------------------------------------
 */

static void *queue(struct world *w, uint32_t opcode, uint64_t unique, const void *body, size_t size)
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

static void queue_init(struct world *w)
{
    const struct fuse_init_in in = {.major = FUSE_KERNEL_VERSION,
                                    .minor = FUSE_KERNEL_MINOR_VERSION,
                                    .max_readahead = 131072,
                                    .flags =
                                        FUSE_PARALLEL_DIROPS | FUSE_BIG_WRITES | FUSE_MAX_PAGES};

    queue(w, FUSE_INIT, INIT_UNIQUE, &in, sizeof(in));
}

static void queue_lookup(struct world *w, uint64_t unique, const char *name)
{
    queue(w, FUSE_LOOKUP, unique, name, strlen(name) + 1);
}

static void queue_forget(struct world *w, uint64_t unique)
{
    const struct fuse_forget_in in = {.nlookup = 3};

    queue(w, FUSE_FORGET, unique, &in, sizeof(in));
}

static ssize_t flood_read(struct world *w, unsigned char *buf)
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
    struct world *w = ctx;
    const struct fuse_in_header *in = buf;
    ssize_t got;

    (void)fd;
    if (w->flood > 0 && w->next > 0) /* INIT first */
        return flood_read(w, buf);
    if (w->next == w->queued) {
        errno = ENODEV;
        return -1;
    }
    got = (ssize_t)w->messages[w->next].size;
    must((size_t)got <= size);
    memcpy(buf, w->bytes + w->messages[w->next++].offset, (size_t)got);
    crash_here(w, AT_READ, in->unique);
    return got;
}

static bool is_answered(const struct world *w, uint64_t unique)
{
    for (size_t i = 0; i < w->replied; i++)
        if (w->replies[i].unique == unique)
            return true;
    return false;
}

static ssize_t world_writev(void *ctx, int fd, const struct iovec *iov, int count)
{
    struct world *w = ctx;
    const struct fuse_out_header *out = iov[0].iov_base;
    struct reply *reply = &w->replies[w->replied];

    (void)fd;
    crash_here(w, BEFORE_REPLY, out->unique);
    if (is_answered(w, out->unique)) {
        errno = ENOENT;
        return -1;
    }
    if (out->unique == w->refuse_unique && (count > 1 || out->error != -EIO)) {
        errno = EINVAL;
        return -1;
    }
    must(w->replied < LOG);
    *reply = (struct reply){.unique = out->unique, .error = out->error, .size = out->len};
    if (count > 1)
        memcpy(reply->body, iov[1].iov_base, iov[1].iov_len < 64 ? iov[1].iov_len : 64);
    w->replied++;
    crash_here(w, AFTER_REPLY, out->unique);
    return out->len;
}

/* -- The operations ------------------------------------------------------------------------------
 */

static struct world *op_begin(fuse_req_t req)
{
    struct worker *worker = fuse_req_userdata(req);
    struct world *w = worker->world;
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
    must(nlookup == 3);
    op_begin(req);
    fuse_reply_none(req);
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t to,
                      const char *to_name, unsigned flags)
{
    (void)parent;
    (void)to;
    (void)flags;
    must(strlen(name) == 255 && strlen(to_name) == 255);
    op_begin(req);
    fuse_reply_err(req, 0);
}

static void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg,
                     struct fuse_file_info *fi, unsigned flags, const void *in, size_t in_size,
                     size_t out_size)
{
    struct world *w = op_begin(req);

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

/* -- Workers -------------------------------------------------------------------------------------
 */

static void worker_run(struct world *w)
{
    const struct hush_wire wire = {.read = world_read, .writev = world_writev, .ctx = w};
    struct worker worker = {.world = w};
    struct hush_session *s = hush_session_new(
        &ops, sizeof(ops), &worker.base, open("/dev/null", O_RDWR | O_CLOEXEC), &w->state, &wire);

    if (s == NULL)
        _exit(1);
    w->took_over = hush_session_took_over(s);
    w->replays = hush_session_replays(s);
    w->result = hush_session_loop(s);
    w->ended = hush_session_ended(s);
    hush_session_free(s);
    _exit(0);
}

/* One worker's life: until the queue is empty, or it crashes. The wait status' exit code. */
static int run(struct world *w)
{
    int status = 0;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        worker_run(w);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void run_crash(struct world *w, enum crash point, uint64_t unique)
{
    w->crash = point;
    w->crash_unique = unique;
    assert_int_equal(run(w), CRASH_STATUS);
    w->crash = NOWHERE;
}

static int setup(void **state)
{
    struct world *w =
        mmap(NULL, sizeof(*w), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (w == MAP_FAILED)
        return -1;
    queue_init(w);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    return munmap(*state, sizeof(struct world));
}

static const struct reply *reply_of(const struct world *w, uint64_t unique)
{
    const struct reply *found = NULL;

    for (size_t i = 0; i < w->replied; i++)
        if (w->replies[i].unique == unique) {
            assert_null(found); /* twice */
            found = &w->replies[i];
        }
    assert_non_null(found);
    return found;
}

static unsigned begun(const struct world *w, uint64_t unique)
{
    unsigned n = 0;

    for (size_t i = 0; i < w->begins; i++)
        n += w->begun[i] == unique;
    return n;
}

static void assert_journal_empty(const struct world *w)
{
    assert_int_equal(w->state.stage_busy, 0);
    for (size_t i = 0; i < HUSH_ALL_SLOTS; i++)
        assert_int_equal(w->state.slots[i].unique, 0);
}

/* -- Tests ---------------------------------------------------------------------------------------
 */

static void test_init_is_saved_and_patched(void **state)
{
    struct world *w = *state;
    struct fuse_init_out out;

    assert_int_equal(run(w), 0);
    memcpy(&out, reply_of(w, INIT_UNIQUE)->body, sizeof(out));
    assert_int_equal(out.flags & FUSE_PARALLEL_DIROPS, FUSE_PARALLEL_DIROPS);
    assert_int_equal(out.max_write, 128 * 1024);
    assert_int_equal(w->state.init_size, w->messages[0].size);
    assert_memory_equal(w->state.init, w->bytes, w->messages[0].size);
    assert_int_equal(w->state.init_answered, 1);
    assert_false(w->took_over);
    assert_int_equal(w->result, 0);
    assert_true(w->ended);
}

static void test_dirops_only_if_offered(void **state)
{
    struct world *w = *state;
    struct fuse_init_out out;
    struct fuse_init_in *in = (struct fuse_init_in *)(w->bytes + sizeof(struct fuse_in_header));

    in->flags &= ~(uint32_t)FUSE_PARALLEL_DIROPS;
    assert_int_equal(run(w), 0);
    memcpy(&out, reply_of(w, INIT_UNIQUE)->body, sizeof(out));
    assert_int_equal(out.flags & FUSE_PARALLEL_DIROPS, 0);
}

static void test_requests_leave_the_journal(void **state)
{
    struct world *w = *state;

    queue_lookup(w, 4, "a");
    queue_lookup(w, 6, "b");
    queue_forget(w, 8);
    assert_int_equal(run(w), 0);
    assert_int_equal(reply_of(w, 4)->error, -EACCES);
    assert_int_equal(reply_of(w, 6)->error, -EACCES);
    assert_int_equal(w->replied, 3);
    assert_int_equal(w->applied, 3);
    assert_journal_empty(w);
}

static void test_takeover_swallows_init_reply(void **state)
{
    struct world *w = *state;

    assert_int_equal(run(w), 0);
    assert_int_equal(w->replied, 1);
    for (uint64_t unique = 4; unique < 10; unique += 2) {
        queue_lookup(w, unique, "a");
        assert_int_equal(run(w), 0);
        assert_true(w->took_over);
        assert_int_equal(w->replays, 0);
        assert_int_equal(reply_of(w, unique)->error, -EACCES);
    }
    assert_int_equal(w->replied, 4); /* INIT once */
}

static void test_init_crash(void **state)
{
    static const enum crash points[] = {AT_READ, IN_HANDLER, BEFORE_REPLY, AFTER_REPLY};

    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        struct world *w = *state;

        run_crash(w, points[i], INIT_UNIQUE);
        queue_lookup(w, 4, "a");
        assert_int_equal(run(w), 0);
        assert_int_equal(reply_of(w, INIT_UNIQUE)->error, 0);
        assert_int_equal(reply_of(w, 4)->error, -EACCES);
        assert_int_equal(w->state.init_answered, 1);
        assert_journal_empty(w);
        teardown(state);
        setup(state);
    }
}

static void test_crash_points(void **state)
{
    static const enum crash points[] = {AT_READ, IN_HANDLER, AFTER_APPLY, BEFORE_REPLY,
                                        AFTER_REPLY};

    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        struct world *w = *state;

        queue_lookup(w, 4, "park"); /* is in flight meanwhile, and after */
        queue_lookup(w, 6, "a");
        queue_lookup(w, 8, "b");
        run_crash(w, points[i], 6);
        assert_int_equal(run(w), 0);
        assert_true(w->took_over);
        assert_int_equal(w->replays, 2);
        assert_int_equal(reply_of(w, 6)->error, -EACCES);
        assert_int_equal(reply_of(w, 8)->error, -EACCES);
        assert_int_equal(w->applied, 3);
        assert_int_equal(begun(w, 4), 2);
        assert_int_equal(begun(w, 6), points[i] == AT_READ ? 1 : 2);
        assert_int_equal(run(w), 0); /* only the parked one is left */
        assert_int_equal(w->replays, 1);
        assert_int_equal(begun(w, 6), points[i] == AT_READ ? 1 : 2);
        teardown(state);
        setup(state);
    }
}

/* Dies after the slot was published and before the stage was cleared. */
static void test_in_slot_and_stage(void **state)
{
    struct world *w = *state;

    queue_lookup(w, 4, "a");
    run_crash(w, IN_HANDLER, 4);
    w->state.stage_busy = 1;
    assert_int_equal(run(w), 0);
    assert_int_equal(w->replays, 1);
    assert_int_equal(begun(w, 4), 2);
    assert_int_equal(reply_of(w, 4)->error, -EACCES);
    assert_journal_empty(w);
}

/* The kernel had put only zeros there: the worker was waiting in read(2). */
static void test_waiting_stage(void **state)
{
    struct world *w = *state;

    assert_int_equal(run(w), 0);
    memset(w->state.stage, 0, sizeof(struct fuse_in_header));
    w->state.stage_busy = 1;
    queue_lookup(w, 4, "a");
    assert_int_equal(run(w), 0);
    assert_int_equal(w->replays, 0);
    assert_int_equal(begun(w, 4), 1);
}

static void test_replay_order(void **state)
{
    struct world *w = *state;

    queue_lookup(w, 2 * HUSH_SLOTS + 6, "park");
    queue_lookup(w, 10, "park");
    queue_lookup(w, 8, "park");
    assert_int_equal(run(w), 0);
    w->begins = 0;
    assert_int_equal(run(w), 0);
    assert_int_equal(w->begins, 3);
    assert_int_equal(w->begun[0], 8);
    assert_int_equal(w->begun[1], 10);
    assert_int_equal(w->begun[2], 2 * HUSH_SLOTS + 6);
}

static void test_forget_of_a_dead_worker(void **state)
{
    struct world *w = *state;

    queue_lookup(w, 4, "park");
    queue_forget(w, 6);
    run_crash(w, IN_HANDLER, 6);
    assert_int_equal(w->state.stage_busy, 1);
    assert_int_equal(run(w), 0);
    assert_int_equal(w->begun[w->begins - 1], 6); /* after the older ones */
    assert_int_equal(begun(w, 6), 2);
    assert_int_equal(w->applied, 2);
    assert_int_equal(w->state.stage_busy, 0);
    assert_int_equal(run(w), 0);
    assert_int_equal(begun(w, 6), 2); /* it is done */
}

static void test_forget_is_applied_once(void **state)
{
    struct world *w = *state;

    queue_forget(w, 4);
    run_crash(w, AFTER_APPLY, 4);
    assert_int_equal(w->applied, 1);
    queue_forget(w, 6);
    assert_int_equal(run(w), 0);
    assert_int_equal(begun(w, 4), 2);
    assert_int_equal(begun(w, 6), 1);
    assert_int_equal(w->applied, 2);
}

static void test_forget_read_and_no_more(void **state)
{
    struct world *w = *state;

    queue_forget(w, 4);
    run_crash(w, AT_READ, 4);
    assert_int_equal(run(w), 0);
    assert_int_equal(begun(w, 4), 1);
    assert_int_equal(w->applied, 1);
}

static void test_interrupt_is_not_replayed(void **state)
{
    struct world *w = *state;
    const struct fuse_interrupt_in in = {.unique = 4};

    queue_lookup(w, 4, "park");
    queue(w, FUSE_INTERRUPT, 5, &in, sizeof(in));
    run_crash(w, AT_READ, 5);
    assert_int_equal(w->state.stage_busy, 1);
    assert_int_equal(run(w), 0);
    assert_int_equal(w->replays, 1); /* the LOOKUP */
    assert_int_equal(w->state.stage_busy, 0);
}

static void test_poison(void **state)
{
    struct world *w = *state;

    queue_lookup(w, 4, "a");
    queue_lookup(w, 6, "park");
    w->state.suspicion = HUSH_SUSPECT_CRASHED;
    run_crash(w, IN_HANDLER, 4);
    run_crash(w, IN_HANDLER, 4);
    assert_int_equal(run(w), 0);
    assert_int_equal(begun(w, 4), 2);
    assert_int_equal(reply_of(w, 4)->error, -EIO);
    assert_int_equal(begun(w, 6), 1);
    assert_int_equal(run(w), 0);
    assert_int_equal(w->replays, 1);
}

/* In the journal behind the poison, never begun again: no suspicion. */
static void test_innocent_bystander(void **state)
{
    struct world *w = *state;

    queue_lookup(w, 4, "park");
    queue_lookup(w, 6, "park");
    w->state.suspicion = HUSH_SUSPECT_CRASHED;
    assert_int_equal(run(w), 0); /* dies with both: the first crash */
    run_crash(w, IN_HANDLER, 4); /* the second, of 4 */
    w->begins = 0;
    assert_int_equal(run(w), 0);
    assert_int_equal(reply_of(w, 4)->error, -EIO);
    assert_int_equal(begun(w, 4), 0);
    assert_int_equal(begun(w, 6), 1);
    assert_false(is_answered(w, 6));
}

static void test_kills_are_no_poison(void **state)
{
    struct world *w = *state;

    queue_lookup(w, 4, "a");
    w->state.suspicion = HUSH_SUSPECT_KILLED;
    for (int i = 0; i < 20; i++)
        run_crash(w, IN_HANDLER, 4);
    assert_int_equal(run(w), 0);
    assert_int_equal(reply_of(w, 4)->error, -EACCES);
}

static void test_kills_end_in_poison(void **state)
{
    struct world *w = *state;

    queue_lookup(w, 4, "a");
    w->state.suspicion = HUSH_SUSPECT_KILLED;
    for (int i = 0; i < HUSH_SUSPECT_LIMIT; i++)
        run_crash(w, IN_HANDLER, 4);
    assert_int_equal(run(w), 0);
    assert_int_equal(reply_of(w, 4)->error, -EIO);
}

static void test_full_journal_still_serves(void **state)
{
    struct world *w = *state;

    w->flood = HUSH_ALL_SLOTS + 10;
    queue_lookup(w, 4, "a");
    assert_int_equal(run(w), 0);
    assert_int_equal(w->flood, 0);
    assert_int_equal(reply_of(w, 4)->error, -EACCES);
    for (size_t i = 0; i < HUSH_ALL_SLOTS; i++)
        assert_int_not_equal(w->state.slots[i].unique, 0);
    assert_int_equal(run(w), 0);
    assert_int_equal(w->replays, HUSH_ALL_SLOTS);
}

static void test_long_names(void **state)
{
    struct world *w = *state;
    char name[1024];

    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    queue_lookup(w, 4, name);
    queue_lookup(w, 6, name + sizeof(name) - 256);
    assert_int_equal(run(w), 0);
    assert_int_equal(reply_of(w, 4)->error, -ENAMETOOLONG);
    assert_int_equal(begun(w, 4), 0);
    assert_int_equal(reply_of(w, 6)->error, -EACCES);
    assert_journal_empty(w);
}

/* Also where a dead worker had just read it. */
static void test_long_name_of_a_dead_worker(void **state)
{
    struct world *w = *state;
    char name[1024];

    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    queue_lookup(w, 4, name);
    run_crash(w, AT_READ, 4);
    assert_int_equal(run(w), 0);
    assert_int_equal(reply_of(w, 4)->error, -ENAMETOOLONG);
    assert_int_equal(begun(w, 4), 0);
    assert_journal_empty(w);
}

static void test_oversized_request(void **state)
{
    struct world *w = *state;
    struct {
        struct fuse_setxattr_in in;
        char name_and_value[60000];
    } body = {.in.size = 59990};

    memset(body.name_and_value, 'v', sizeof(body.name_and_value));
    memcpy(body.name_and_value, "user.abc", 9);
    queue(w, FUSE_SETXATTR, 4, &body, sizeof(body));
    queue_lookup(w, 6, "a");
    assert_int_equal(run(w), 0);
    assert_int_equal(reply_of(w, 4)->error, -EIO);
    assert_int_equal(begun(w, 4), 0);
    assert_int_equal(reply_of(w, 6)->error, -EACCES);
    assert_journal_empty(w);
}

static void test_big_ioctl_is_journalled(void **state)
{
    struct world *w = *state;
    struct {
        struct fuse_ioctl_in in;
        char bytes[16383];
    } body = {.in = {.cmd = 1, .in_size = sizeof(body.bytes)}};

    memset(body.bytes, 'x', sizeof(body.bytes));
    queue(w, FUSE_IOCTL, 4, &body, sizeof(body.in) + sizeof(body.bytes));
    run_crash(w, IN_HANDLER, 4);
    assert_int_equal(run(w), 0);
    assert_int_equal(w->ioctl_bytes, sizeof(body.bytes));
    assert_int_equal(begun(w, 4), 2);
    assert_int_equal(reply_of(w, 4)->error, -ENOTTY);
    assert_journal_empty(w);
}

static void test_longest_rename_fits_a_slot(void **state)
{
    struct world *w = *state;
    struct {
        struct fuse_rename2_in in;
        char names[512];
    } body = {.in.newdir = 1};

    memset(body.names, 'r', sizeof(body.names));
    body.names[255] = body.names[511] = '\0';
    queue(w, FUSE_RENAME2, 4, &body, sizeof(body.in) + sizeof(body.names));
    run_crash(w, IN_HANDLER, 4);
    assert_int_equal(w->state.slots[0].unique, 4);
    assert_int_equal(run(w), 0);
    assert_int_equal(reply_of(w, 4)->error, 0);
    assert_journal_empty(w);
}

static void test_refused_reply_becomes_eio(void **state)
{
    struct world *w = *state;

    queue_lookup(w, 4, "a");
    w->refuse_unique = 4;
    assert_int_equal(run(w), 0);
    assert_int_equal(reply_of(w, 4)->error, -EIO);
    assert_journal_empty(w);
}

static void test_stop(void **state)
{
    struct world *w = *state;

    queue_lookup(w, 4, "a");
    queue_lookup(w, 6, "b");
    w->stop_in_handler = true;
    assert_int_equal(run(w), 0);
    assert_int_equal(w->result, 0);
    assert_false(w->ended);
    assert_int_equal(begun(w, 4), 1);
    assert_int_equal(begun(w, 6), 0);
    assert_int_equal(run(w), 0);
    assert_int_equal(reply_of(w, 6)->error, -EACCES);
}

static void test_malformed_message_ends_the_loop(void **state)
{
    struct world *w = *state;

    queue_lookup(w, 4, "a");
    w->messages[1].size -= 1; /* as the header does not say */
    assert_int_equal(run(w), 0);
    assert_int_equal(w->result, -EIO);
    assert_int_equal(begun(w, 4), 0);
}

static void test_journal_reuses_slots(void **state)
{
    struct world *w = *state;
    struct hush_journal *j = hush_journal_open(&w->state);

    assert_non_null(j);
    for (uint64_t i = 1; i <= HUSH_ALL_SLOTS; i++)
        assert_true(hush_journal_add(j, i, "x", 1));
    assert_false(hush_journal_add(j, 99999, "x", 1));
    assert_false(hush_journal_has(j, 99999));
    hush_journal_drop(j, 99999); /* unknown: ignored */
    hush_journal_drop(j, 77);
    assert_false(hush_journal_has(j, 77));
    assert_true(hush_journal_has(j, 78));
    assert_true(hush_journal_add(j, 99999, "x", 1));
    assert_false(hush_journal_add(j, 100000, "x", 1));
    assert_true(hush_journal_apply_once(j, 5));
    assert_false(hush_journal_apply_once(j, 5));
    assert_true(hush_journal_apply_once(j, 100000)); /* not in it */
    hush_journal_free(j);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_init_is_saved_and_patched),
        T(test_dirops_only_if_offered),
        T(test_requests_leave_the_journal),
        T(test_takeover_swallows_init_reply),
        T(test_init_crash),
        T(test_crash_points),
        T(test_in_slot_and_stage),
        T(test_waiting_stage),
        T(test_replay_order),
        T(test_forget_of_a_dead_worker),
        T(test_forget_is_applied_once),
        T(test_forget_read_and_no_more),
        T(test_interrupt_is_not_replayed),
        T(test_poison),
        T(test_innocent_bystander),
        T(test_kills_are_no_poison),
        T(test_kills_end_in_poison),
        T(test_full_journal_still_serves),
        T(test_long_names),
        T(test_long_name_of_a_dead_worker),
        T(test_oversized_request),
        T(test_big_ioctl_is_journalled),
        T(test_longest_rename_fits_a_slot),
        T(test_refused_reply_becomes_eio),
        T(test_stop),
        T(test_malformed_message_ends_the_loop),
        T(test_journal_reuses_slots),
    };
#undef T

    return cmocka_run_group_tests(tests, NULL, NULL);
}
