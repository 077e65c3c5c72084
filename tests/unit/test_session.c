/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_session.c - the life of requests: INIT, takeovers, a crash at each point, poison.
 */
#include "fake_kernel.h"

#include <errno.h>
#include <string.h>

static void test_init_is_saved_and_patched(void **state)
{
    struct fake *w = *state;
    struct fuse_init_out out;

    assert_int_equal(fake_run(w), 0);
    memcpy(&out, fake_reply(w, INIT_UNIQUE)->body, sizeof(out));
    assert_int_equal(out.flags & FUSE_PARALLEL_DIROPS, FUSE_PARALLEL_DIROPS);
    assert_int_equal(out.max_write, 128 * 1024);
    assert_int_equal(w->state.init_size, w->messages[0].size);
    assert_memory_equal(w->state.init, w->bytes, w->messages[0].size);
    assert_int_equal(w->state.init_answered, 1);
    assert_false(w->took_over);
    assert_int_equal(w->result, 0);
    assert_true(w->ended);
}

/* The connection ended while a request was being handed over: the kernel says so in another way. */
static void test_the_end_in_the_middle_of_a_request(void **state)
{
    struct fake *w = *state;

    w->end_errno = ECONNABORTED;
    assert_int_equal(fake_run(w), 0);
    assert_int_equal(w->result, 0);
    assert_true(w->ended);
}

static void test_dirops_only_if_offered(void **state)
{
    struct fake *w = *state;
    struct fuse_init_out out;
    struct fuse_init_in *in = (struct fuse_init_in *)(w->bytes + sizeof(struct fuse_in_header));

    in->flags &= ~(uint32_t)FUSE_PARALLEL_DIROPS;
    assert_int_equal(fake_run(w), 0);
    memcpy(&out, fake_reply(w, INIT_UNIQUE)->body, sizeof(out));
    assert_int_equal(out.flags & FUSE_PARALLEL_DIROPS, 0);
}

static void test_requests_leave_the_journal(void **state)
{
    struct fake *w = *state;

    fake_queue_lookup(w, 4, "a");
    fake_queue_lookup(w, 6, "b");
    fake_queue_forget(w, 8);
    assert_int_equal(fake_run(w), 0);
    assert_int_equal(fake_reply(w, 4)->error, -EACCES);
    assert_int_equal(fake_reply(w, 6)->error, -EACCES);
    assert_int_equal(w->replied, 3);
    assert_int_equal(w->applied, 3);
    fake_assert_empty(w);
}

static void test_takeover_swallows_init_reply(void **state)
{
    struct fake *w = *state;

    assert_int_equal(fake_run(w), 0);
    assert_int_equal(w->replied, 1);
    for (uint64_t unique = 4; unique < 10; unique += 2) {
        fake_queue_lookup(w, unique, "a");
        assert_int_equal(fake_run(w), 0);
        assert_true(w->took_over);
        assert_int_equal(w->replays, 0);
        assert_int_equal(fake_reply(w, unique)->error, -EACCES);
    }
    assert_int_equal(w->replied, 4);
    assert_int_equal(w->doubles, 0); /* INIT once */
}

static void test_init_crash(void **state)
{
    static const enum crash points[] = {AT_READ, IN_HANDLER, BEFORE_REPLY, AFTER_REPLY};

    for (size_t i = 0; i < COUNT(points); i++) {
        struct fake *w = *state;

        fake_run_crash(w, points[i], INIT_UNIQUE);
        fake_queue_lookup(w, 4, "a");
        assert_int_equal(fake_run(w), 0);
        assert_int_equal(fake_reply(w, INIT_UNIQUE)->error, 0);
        assert_int_equal(fake_reply(w, 4)->error, -EACCES);
        assert_int_equal(w->state.init_answered, 1);
        fake_assert_empty(w);
        fake_teardown(state);
        fake_setup(state);
    }
}

static void test_crash_points(void **state)
{
    static const enum crash points[] = {AT_READ, IN_HANDLER, AFTER_APPLY, BEFORE_REPLY,
                                        AFTER_REPLY};

    for (size_t i = 0; i < COUNT(points); i++) {
        struct fake *w = *state;

        fake_queue_lookup(w, 4, "park"); /* is in flight meanwhile, and after */
        fake_queue_lookup(w, 6, "a");
        fake_queue_lookup(w, 8, "b");
        fake_run_crash(w, points[i], 6);
        assert_int_equal(fake_run(w), 0);
        assert_true(w->took_over);
        assert_int_equal(w->replays, 2);
        assert_int_equal(fake_reply(w, 6)->error, -EACCES);
        assert_int_equal(fake_reply(w, 8)->error, -EACCES);
        assert_int_equal(w->applied, 3);
        assert_int_equal(fake_begun(w, 4), 2);
        assert_int_equal(fake_begun(w, 6), points[i] == AT_READ ? 1 : 2);
        assert_int_equal(fake_run(w), 0); /* only the parked one is left */
        assert_int_equal(w->replays, 1);
        assert_int_equal(fake_begun(w, 6), points[i] == AT_READ ? 1 : 2);
        fake_teardown(state);
        fake_setup(state);
    }
}

/* Dies after the slot was published and before the stage was cleared. */
static void test_in_slot_and_stage(void **state)
{
    struct fake *w = *state;

    fake_queue_lookup(w, 4, "a");
    fake_run_crash(w, IN_HANDLER, 4);
    w->state.stage_busy = 1;
    assert_int_equal(fake_run(w), 0);
    assert_int_equal(w->replays, 1);
    assert_int_equal(fake_begun(w, 4), 2);
    assert_int_equal(fake_reply(w, 4)->error, -EACCES);
    fake_assert_empty(w);
}

/* The kernel had put only zeros there: the worker was waiting in read(2). */
static void test_waiting_stage(void **state)
{
    struct fake *w = *state;

    assert_int_equal(fake_run(w), 0);
    memset(w->state.stage, 0, sizeof(struct fuse_in_header));
    w->state.stage_busy = 1;
    fake_queue_lookup(w, 4, "a");
    assert_int_equal(fake_run(w), 0);
    assert_int_equal(w->replays, 0);
    assert_int_equal(fake_begun(w, 4), 1);
}

static void test_replay_order(void **state)
{
    struct fake *w = *state;

    fake_queue_lookup(w, 2 * HUSH_SLOTS + 6, "park");
    fake_queue_lookup(w, 10, "park");
    fake_queue_lookup(w, 8, "park");
    assert_int_equal(fake_run(w), 0);
    w->begins = 0;
    assert_int_equal(fake_run(w), 0);
    assert_int_equal(w->begins, 3);
    assert_int_equal(w->begun[0], 8);
    assert_int_equal(w->begun[1], 10);
    assert_int_equal(w->begun[2], 2 * HUSH_SLOTS + 6);
}

static void test_forget_of_a_dead_worker(void **state)
{
    struct fake *w = *state;

    fake_queue_lookup(w, 4, "park");
    fake_queue_forget(w, 6);
    fake_run_crash(w, IN_HANDLER, 6);
    assert_int_equal(w->state.stage_busy, 1);
    assert_int_equal(fake_run(w), 0);
    assert_int_equal(w->begun[w->begins - 1], 6); /* after the older ones */
    assert_int_equal(fake_begun(w, 6), 2);
    assert_int_equal(w->applied, 2);
    assert_int_equal(w->state.stage_busy, 0);
    assert_int_equal(fake_run(w), 0);
    assert_int_equal(fake_begun(w, 6), 2); /* it is done */
}

static void test_forget_is_applied_once(void **state)
{
    struct fake *w = *state;

    fake_queue_forget(w, 4);
    fake_run_crash(w, AFTER_APPLY, 4);
    assert_int_equal(w->applied, 1);
    fake_queue_forget(w, 6);
    assert_int_equal(fake_run(w), 0);
    assert_int_equal(fake_begun(w, 4), 2);
    assert_int_equal(fake_begun(w, 6), 1);
    assert_int_equal(w->applied, 2);
}

static void test_forget_read_and_no_more(void **state)
{
    struct fake *w = *state;

    fake_queue_forget(w, 4);
    fake_run_crash(w, AT_READ, 4);
    assert_int_equal(fake_run(w), 0);
    assert_int_equal(fake_begun(w, 4), 1);
    assert_int_equal(w->applied, 1);
}

static void test_interrupt_is_not_replayed(void **state)
{
    struct fake *w = *state;
    const struct fuse_interrupt_in in = {.unique = 4};

    fake_queue_lookup(w, 4, "park");
    fake_queue(w, FUSE_INTERRUPT, 5, &in, sizeof(in));
    fake_run_crash(w, AT_READ, 5);
    assert_int_equal(w->state.stage_busy, 1);
    assert_int_equal(fake_run(w), 0);
    assert_int_equal(w->replays, 1); /* the LOOKUP */
    assert_int_equal(w->state.stage_busy, 0);
}

static void test_poison(void **state)
{
    struct fake *w = *state;

    fake_queue_lookup(w, 4, "a");
    fake_queue_lookup(w, 6, "park");
    w->state.suspicion = HUSH_SUSPECT_CRASHED;
    fake_run_crash(w, IN_HANDLER, 4);
    fake_run_crash(w, IN_HANDLER, 4);
    assert_int_equal(fake_run(w), 0);
    assert_int_equal(fake_begun(w, 4), 2);
    assert_int_equal(fake_reply(w, 4)->error, -EIO);
    assert_int_equal(fake_begun(w, 6), 1);
    assert_int_equal(fake_run(w), 0);
    assert_int_equal(w->replays, 1);
}

/* In the journal behind the poison, never begun again: no suspicion. */
static void test_innocent_bystander(void **state)
{
    struct fake *w = *state;

    fake_queue_lookup(w, 4, "park");
    fake_queue_lookup(w, 6, "park");
    w->state.suspicion = HUSH_SUSPECT_CRASHED;
    assert_int_equal(fake_run(w), 0); /* dies with both: the first crash */
    fake_run_crash(w, IN_HANDLER, 4); /* the second, of 4 */
    w->begins = 0;
    assert_int_equal(fake_run(w), 0);
    assert_int_equal(fake_reply(w, 4)->error, -EIO);
    assert_int_equal(fake_begun(w, 4), 0);
    assert_int_equal(fake_begun(w, 6), 1);
    assert_false(fake_is_answered(w, 6));
}

/* The next one in the slot of a suspect begins without. */
static void test_suspicion_ends_with_the_request(void **state)
{
    struct fake *w = *state;

    w->state.suspicion = HUSH_SUSPECT_CRASHED;
    fake_queue_lookup(w, 4, "a");
    fake_run_crash(w, IN_HANDLER, 4);
    assert_int_equal(fake_run(w), 0);
    assert_int_equal(fake_reply(w, 4)->error, -EACCES);
    fake_queue_lookup(w, 6, "b");
    fake_run_crash(w, IN_HANDLER, 6);
    assert_int_equal(fake_run(w), 0);
    assert_int_equal(fake_reply(w, 6)->error, -EACCES);
}

static void test_kills_are_no_poison(void **state)
{
    struct fake *w = *state;

    fake_queue_lookup(w, 4, "a");
    w->state.suspicion = HUSH_SUSPECT_KILLED;
    for (int i = 0; i < 20; i++)
        fake_run_crash(w, IN_HANDLER, 4);
    assert_int_equal(fake_run(w), 0);
    assert_int_equal(fake_reply(w, 4)->error, -EACCES);
}

static void test_kills_end_in_poison(void **state)
{
    struct fake *w = *state;

    fake_queue_lookup(w, 4, "a");
    w->state.suspicion = HUSH_SUSPECT_KILLED;
    for (int i = 0; i < HUSH_SUSPECT_LIMIT; i++)
        fake_run_crash(w, IN_HANDLER, 4);
    assert_int_equal(fake_run(w), 0);
    assert_int_equal(fake_reply(w, 4)->error, -EIO);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)
    const struct CMUnitTest tests[] = {
        T(test_init_is_saved_and_patched),
        T(test_the_end_in_the_middle_of_a_request),
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
        T(test_suspicion_ends_with_the_request),
        T(test_kills_are_no_poison),
        T(test_kills_end_in_poison),
    };
#undef T

    return cmocka_run_group_tests(tests, NULL, NULL);
}
