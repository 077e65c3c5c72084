/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_session_limits.c - what is too long, too much or malformed, and how the loop ends.
 */
#include "fake_kernel.h"

#include "journal.h"

#include <errno.h>
#include <string.h>

static void test_full_journal_still_serves(void **state)
{
    struct fake *w = *state;

    w->flood = HUSH_ALL_SLOTS + 10;
    fake_queue_lookup(w, 4, "a");
    assert_int_equal(fake_run(w), 0);
    assert_int_equal(w->flood, 0);
    assert_int_equal(fake_reply(w, 4)->error, -EACCES);
    for (size_t i = 0; i < HUSH_ALL_SLOTS; i++)
        assert_int_not_equal(w->state.slots[i].unique, 0);
    assert_int_equal(fake_run(w), 0);
    assert_int_equal(w->replays, HUSH_ALL_SLOTS);
}

static void test_long_names(void **state)
{
    struct fake *w = *state;
    char name[1024];

    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    fake_queue_lookup(w, 4, name);
    fake_queue_lookup(w, 6, name + sizeof(name) - 256);
    assert_int_equal(fake_run(w), 0);
    assert_int_equal(fake_reply(w, 4)->error, -ENAMETOOLONG);
    assert_int_equal(fake_begun(w, 4), 0);
    assert_int_equal(fake_reply(w, 6)->error, -EACCES);
    fake_assert_empty(w);
}

/* Also where a dead worker had just read it. */
static void test_long_name_of_a_dead_worker(void **state)
{
    struct fake *w = *state;
    char name[1024];

    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    fake_queue_lookup(w, 4, name);
    fake_run_crash(w, AT_READ, 4);
    assert_int_equal(fake_run(w), 0);
    assert_int_equal(fake_reply(w, 4)->error, -ENAMETOOLONG);
    assert_int_equal(fake_begun(w, 4), 0);
    fake_assert_empty(w);
}

static void test_oversized_request(void **state)
{
    struct fake *w = *state;
    struct {
        struct fuse_setxattr_in in;
        char name_and_value[60000];
    } body = {.in.size = 59990};

    memset(body.name_and_value, 'v', sizeof(body.name_and_value));
    memcpy(body.name_and_value, "user.abc", 9);
    fake_queue(w, FUSE_SETXATTR, 4, &body, sizeof(body));
    fake_queue_lookup(w, 6, "a");
    assert_int_equal(fake_run(w), 0);
    assert_int_equal(fake_reply(w, 4)->error, -EIO);
    assert_int_equal(fake_begun(w, 4), 0);
    assert_int_equal(fake_reply(w, 6)->error, -EACCES);
    fake_assert_empty(w);
}

static void test_big_ioctl_is_journalled(void **state)
{
    struct fake *w = *state;
    struct {
        struct fuse_ioctl_in in;
        char bytes[16383];
    } body = {.in = {.cmd = 1, .in_size = sizeof(body.bytes)}};

    memset(body.bytes, 'x', sizeof(body.bytes));
    fake_queue(w, FUSE_IOCTL, 4, &body, sizeof(body.in) + sizeof(body.bytes));
    fake_run_crash(w, IN_HANDLER, 4);
    assert_int_equal(fake_run(w), 0);
    assert_int_equal(w->ioctl_bytes, sizeof(body.bytes));
    assert_int_equal(fake_begun(w, 4), 2);
    assert_int_equal(fake_reply(w, 4)->error, -ENOTTY);
    fake_assert_empty(w);
}

static void test_longest_rename_fits_a_slot(void **state)
{
    struct fake *w = *state;
    struct {
        struct fuse_rename2_in in;
        char names[512];
    } body = {.in.newdir = 1};

    memset(body.names, 'r', sizeof(body.names));
    body.names[255] = body.names[511] = '\0';
    fake_queue(w, FUSE_RENAME2, 4, &body, sizeof(body.in) + sizeof(body.names));
    fake_run_crash(w, IN_HANDLER, 4);
    assert_int_equal(w->state.slots[0].unique, 4);
    assert_int_equal(fake_run(w), 0);
    assert_int_equal(fake_reply(w, 4)->error, 0);
    fake_assert_empty(w);
}

static void test_refused_reply_becomes_eio(void **state)
{
    struct fake *w = *state;

    fake_queue_lookup(w, 4, "a");
    w->refuse_unique = 4;
    assert_int_equal(fake_run(w), 0);
    assert_int_equal(fake_reply(w, 4)->error, -EIO);
    fake_assert_empty(w);
}

static void test_stop(void **state)
{
    struct fake *w = *state;

    fake_queue_lookup(w, 4, "a");
    fake_queue_lookup(w, 6, "b");
    w->stop_in_handler = true;
    assert_int_equal(fake_run(w), 0);
    assert_int_equal(w->result, 0);
    assert_false(w->ended);
    assert_int_equal(fake_begun(w, 4), 1);
    assert_int_equal(fake_begun(w, 6), 0);
    assert_int_equal(fake_run(w), 0);
    assert_int_equal(fake_reply(w, 6)->error, -EACCES);
}

static void test_malformed_message_ends_the_loop(void **state)
{
    struct fake *w = *state;

    fake_queue_lookup(w, 4, "a");
    w->messages[1].size -= 1; /* as the header does not say */
    assert_int_equal(fake_run(w), 0);
    assert_int_equal(w->result, -EIO);
    assert_int_equal(fake_begun(w, 4), 0);
}

static void test_journal_reuses_slots(void **state)
{
    struct fake *w = *state;
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
#define T(f) cmocka_unit_test_setup_teardown(f, fake_setup, fake_teardown)
    const struct CMUnitTest tests[] = {
        T(test_full_journal_still_serves),       T(test_long_names),
        T(test_long_name_of_a_dead_worker),      T(test_oversized_request),
        T(test_big_ioctl_is_journalled),         T(test_longest_rename_fits_a_slot),
        T(test_refused_reply_becomes_eio),       T(test_stop),
        T(test_malformed_message_ends_the_loop), T(test_journal_reuses_slots),
    };
#undef T

    return cmocka_run_group_tests(tests, NULL, NULL);
}
