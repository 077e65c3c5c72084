/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fs_rotate.c - a new version is shown by a rename of the mover's: who may make it, what it
 * switches, who waits for it, and what happens when it does not come.
 */
#include "fs_kernel.h"

#include "core/status.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* s/db is known as "one"; "two" is being fetched for the GETATTR that is returned. The mover is by
 * hand. */
static uint64_t begin_rotation(struct kernel *k)
{
    k->by_hand = true;
    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S "ttl = 10\n");
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    backend_put(k, "s/db", "two");
    kernel_advance_ms(k, SECONDS(10));
    return kernel_send_stat(k, TID, "s/db");
}

static void test_protocol(void **state)
{
    struct kernel *k = *state;
    uint64_t dir, stat = begin_rotation(k);
    struct hush_move_packet *move = mover_take(k, HUSH_MOVE_REPLACE);
    struct fuse_entry_out staged, now;

    assert_string_equal(move->dir, "s");
    assert_string_equal(move->to, "db");
    assert_int_equal(move->flags, 0);
    dir = kernel_ino(k, "s");
    /* The stage name is the mover's alone. */
    assert_int_equal(kernel_lookup(k, OTHER, dir, move->from, &staged), ENOENT);
    assert_int_equal(kernel_lookup(k, MOVER_TID, dir, move->from, &staged), 0);
    assert_int_equal(staged.entry_valid, 0); /* it is gone as soon as it is renamed */
    assert_int_equal(kernel_rename(k, MOVER_TID, dir, move->from, "db", 0), 0);
    assert_int_equal(kernel_lookup(k, OTHER, dir, "db", &now), 0);
    assert_int_equal(now.nodeid, staged.nodeid); /* it switched */
    assert_false(kernel_answered(k, stat));      /* but the kernel is not done */
    mover_answer(k, move, 0);
    assert_int_equal(kernel_wait(k, stat)->error, ESTALE);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "two");
}

static void test_nobody_else_renames(void **state)
{
    struct kernel *k = *state;
    uint64_t dir, stat = begin_rotation(k);
    struct hush_move_packet *move = mover_take(k, HUSH_MOVE_REPLACE);

    dir = kernel_ino(k, "s");
    assert_int_equal(kernel_rename(k, OTHER, dir, move->from, "db", 0), EROFS);
    assert_int_equal(kernel_rename(k, OTHER, dir, "db", "other", 0), EROFS);
    assert_int_equal(kernel_rename(k, MOVER_TID, dir, "db", "other", 0), ENOENT);
    assert_int_equal(kernel_rename(k, MOVER_TID, dir, move->from, "other", 0), ENOENT);
    assert_int_equal(kernel_rename(k, MOVER_TID, dir, ".hushfs~0123456789abcdef", "db", 0), ENOENT);
    assert_false(kernel_answered(k, stat));
    assert_int_equal(mover_rename(k, move), 0);
    mover_answer(k, move, 0);
    assert_int_equal(kernel_wait(k, stat)->error, ESTALE);
}

/* Stage names that are none. */
static void test_names_of_the_stage(void **state)
{
    static const char *const names[] = {
        ".hushfs~",
        ".hushfs~0",
        ".hushfs~00000000000000001",
        ".hushfs~000000000000000G",
        ".hushfs~0000000000000001",
        ".hushfs~0000000000000002",
        ".hushfs~ffffffffffffffff",
    };
    struct kernel *k = *state;
    uint64_t dir;

    kernel_start(k, CONFIG_S);
    dir = kernel_ino(k, "s");
    for (size_t i = 0; i < COUNT(names); i++) {
        assert_int_equal(kernel_lookup(k, MOVER_TID, dir, names[i], NULL), ENOENT);
        assert_int_equal(kernel_lookup(k, OTHER, dir, names[i], NULL), ENOENT);
    }
}

/* A mover that fails: the worker switches itself, and tells the kernel to ask again. */
static void test_mover_fails(void **state)
{
    struct kernel *k = *state;
    uint64_t stat = begin_rotation(k);
    const struct hush_move_packet *move;

    mover_answer(k, mover_take(k, HUSH_MOVE_REPLACE), ENOTSUP);
    assert_int_equal(kernel_wait(k, stat)->error, ESTALE);
    move = mover_take(k, HUSH_MOVE_INVAL_ENTRY);
    assert_int_equal(move->ino, kernel_ino(k, "s"));
    assert_string_equal(move->to, "db");
    mover_answer(k, move, 0);
    /* It may have looked that name up: the kernel drops it, too. */
    assert_string_equal(mover_take(k, HUSH_MOVE_INVAL_ENTRY)->to, k->moves[0].from);
    mover_answer(k, &k->moves[k->taken - 1], 0);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "two");
}

/* Somebody holds the directory's lock: after half a second freshness goes first. */
static void test_mover_is_late(void **state)
{
    struct kernel *k = *state;
    uint64_t dir, stat = begin_rotation(k);
    struct hush_move_packet *move = mover_take(k, HUSH_MOVE_REPLACE);

    kernel_advance_ms(k, 499);
    (void)usleep(100000); /* the timer looks every 50 ms */
    assert_false(kernel_answered(k, stat));
    kernel_advance_ms(k, 1);
    assert_int_equal(kernel_wait(k, stat)->error, ESTALE);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "two");
    /* The rename may still come: the kernel does its part, too. */
    dir = kernel_ino(k, "s");
    assert_int_equal(kernel_rename(k, MOVER_TID, dir, move->from, "db", 0), 0);
    mover_answer(k, move, 0);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "two");
}

/* No mover at all: nobody waits for one. */
static void test_no_mover(void **state)
{
    struct kernel *k = *state;

    k->shared->state.mover_pid = 0;
    (void)kernel_wait(k, begin_rotation(k));
    assert_string_equal(kernel_cat(k, TID, "s/db"), "two");
    assert_int_equal(mover_count(k, HUSH_MOVE_REPLACE), 0);
}

/* It hangs, or is gone for good: its command is given up. */
static void test_mover_is_silent(void **state)
{
    struct kernel *k = *state;
    uint64_t stat = begin_rotation(k);

    (void)mover_take(k, HUSH_MOVE_REPLACE); /* two seconds of the real clock */
    assert_int_equal(kernel_wait(k, stat)->error, ESTALE);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "two");
}

static void test_mover_is_gone(void **state)
{
    struct kernel *k = *state;

    kernel_start(k, CONFIG_S "ttl = 0\n");
    (void)shutdown(k->mover[0], SHUT_RDWR); /* the worker, a child, has our end, too */
    (void)close(k->mover[0]);
    k->mover[0] = -1;
    for (int i = 0; i < 3; i++) {
        char value[16];

        (void)snprintf(value, sizeof(value), "%d", i);
        backend_put(k, "s/db", value);
        assert_string_equal(kernel_cat(k, TID, "s/db"), value);
    }
}

/* A third version comes before the second is shown: that one is never seen. */
static void test_version_that_nobody_saw(void **state)
{
    struct kernel *k = *state;
    uint64_t stat = begin_rotation(k), refresh;
    struct hush_move_packet *move = mover_take(k, HUSH_MOVE_REPLACE), *last;

    backend_put(k, "s/db", "three");
    refresh = kernel_send_control(k, HUSH_CONTROL_REFRESH, "s/db");
    backend_await(k, "s", "fetch db", 3);
    assert_false(kernel_answered(k, refresh));
    assert_int_equal(mover_rename(k, move), ENOENT); /* what it was to show is gone */
    mover_answer(k, move, ENOENT);
    last = mover_take(k, HUSH_MOVE_REPLACE);
    assert_string_not_equal(last->from, move->from);
    assert_int_equal(mover_rename(k, last), 0);
    mover_answer(k, last, 0);
    assert_int_equal(kernel_control(k, refresh)->error, 0);
    assert_int_equal(kernel_wait(k, stat)->error, ESTALE);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "three");
}

/* It went after the mover had looked it up: without that name the kernel can forget it. */
static void test_stage_name_of_a_version_that_nobody_saw(void **state)
{
    struct kernel *k = *state;
    const uint64_t stat = begin_rotation(k), dir = kernel_ino(k, "s");
    struct hush_move_packet *move = mover_take(k, HUSH_MOVE_REPLACE);
    uint64_t refresh;

    assert_int_equal(kernel_lookup(k, MOVER_TID, dir, move->from, NULL), 0);
    backend_put(k, "s/db", "three");
    refresh = kernel_send_control(k, HUSH_CONTROL_REFRESH, "s/db");
    backend_await(k, "s", "fetch db", 3);
    assert_false(kernel_answered(k, refresh));
    assert_int_equal(kernel_rename(k, MOVER_TID, dir, move->from, "db", 0), ENOENT);
    mover_answer(k, move, ENOENT);
    assert_int_equal(mover_rename(k, mover_take(k, HUSH_MOVE_REPLACE)), 0);
    mover_answer(k, &k->moves[k->taken - 1], 0);
    assert_string_equal(mover_take(k, HUSH_MOVE_INVAL_ENTRY)->to, move->from);
    mover_answer(k, &k->moves[k->taken - 1], 0);
    assert_int_equal(kernel_control(k, refresh)->error, 0);
    assert_int_equal(kernel_wait(k, stat)->error, ESTALE);
}

/* Refused while its successor is being shown: neither is served. */
static void test_refused_while_it_is_shown(void **state)
{
    struct kernel *k = *state;
    uint64_t stat = begin_rotation(k), refresh;
    struct hush_move_packet *move = mover_take(k, HUSH_MOVE_REPLACE);

    backend_control(k, "s/db", ".error", "DENIED");
    refresh = kernel_send_control(k, HUSH_CONTROL_REFRESH, "s/db");
    backend_await(k, "s", "fetch db", 3);
    (void)usleep(50000);
    assert_int_equal(mover_rename(k, move), ENOENT);
    mover_answer(k, move, ENOENT);
    k->by_hand = false;
    mover_answer(k, mover_take(k, HUSH_MOVE_INVAL_INODE), 0);
    assert_int_equal(kernel_wait(k, stat)->error, EACCES);
    assert_int_equal(kernel_control(k, refresh)->error, HUSH_DENIED);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "EACCES");
}

/* Another mover in place of one that died over a command: it is told again. */
static void test_new_mover(void **state)
{
    struct kernel *k = *state;
    uint64_t stat = begin_rotation(k);
    struct hush_move_packet *move = mover_take(k, HUSH_MOVE_REPLACE), *again;
    const struct hush_move_packet hello = {.op = HUSH_MOVE_HELLO, .pid = MOVER_TID};

    mover_answer(k, &hello, 0);
    again = mover_take(k, HUSH_MOVE_REPLACE);
    assert_int_equal(again->id, move->id);
    assert_string_equal(again->from, move->from);
    assert_int_equal(mover_rename(k, again), 0);
    mover_answer(k, again, 0);
    assert_int_equal(kernel_wait(k, stat)->error, ESTALE);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "two");
}

/* Answers to others' commands do not count. */
static void test_answer_to_a_dead_worker(void **state)
{
    struct kernel *k = *state;
    uint64_t stat = begin_rotation(k);
    struct hush_move_packet *move = mover_take(k, HUSH_MOVE_REPLACE), other = *move;

    other.id -= 1000;
    mover_answer(k, &other, 0);
    assert_false(kernel_answered(k, stat));
    assert_int_equal(mover_rename(k, move), 0);
    mover_answer(k, move, 0);
    assert_int_equal(kernel_wait(k, stat)->error, ESTALE);
}

/* -- Directories: exchanged, since a replaced one would be dead to whoever stands in it -------- */

/* s/db is known as a directory, whose node id is *old, with the user "one"; the REPLACE by one with
 * the user "two" is being made for the GETATTR *stat. */
static struct hush_move_packet *begin_exchange(struct kernel *k, uint64_t *old, uint64_t *stat)
{
    backend_control(k, "s/db", ".fields", "");
    k->by_hand = true;
    backend_put(k, "s/db", "{\"user\": \"one\", \"other\": \"o\"}");
    kernel_start(k, CONFIG_S "ttl = 10\nas = directory\n");
    assert_string_equal(kernel_cat(k, TID, "s/db/user"), "one");
    *old = kernel_ino(k, "s/db");
    backend_put(k, "s/db", "{\"user\": \"two\"}");
    kernel_advance_ms(k, SECONDS(10));
    *stat = kernel_send_stat(k, TID, "s/db");
    return mover_take(k, HUSH_MOVE_REPLACE);
}

/* The next name that the kernel is told to drop. */
static void assert_drops(struct kernel *k, uint64_t dir, const char *name)
{
    const struct hush_move_packet *move = mover_take(k, HUSH_MOVE_INVAL_ENTRY);

    assert_int_equal(move->ino, dir);
    assert_string_equal(move->to, name);
    mover_answer(k, move, 0);
}

static void test_exchange(void **state)
{
    struct kernel *k = *state;
    uint64_t dir, old, stat;
    struct hush_move_packet *move = begin_exchange(k, &old, &stat);

    assert_int_equal(move->flags, RENAME_EXCHANGE);
    dir = kernel_ino(k, "s");
    assert_int_equal(kernel_rename(k, MOVER_TID, dir, move->from, "db", RENAME_EXCHANGE), 0);
    /* Said again to a new mover it would bring the old one back: refused. */
    assert_int_equal(kernel_rename(k, MOVER_TID, dir, move->from, "db", RENAME_EXCHANGE), ENOENT);
    mover_answer(k, move, 0);
    assert_int_equal(kernel_wait(k, stat)->error, ESTALE);
    assert_string_equal(kernel_cat(k, TID, "s/db/user"), "two");
    /* The name that the old directory got leads nowhere: the kernel drops it, and what it knows
     * below it, which it would else keep with the directory. */
    assert_drops(k, dir, move->from);
    assert_drops(k, old, "user");
    assert_drops(k, dir, move->from); /* the second one's */
    /* Who stands in the old directory stays in the old version. */
    {
        struct fuse_entry_out out;
        struct fuse_open_out file;

        assert_int_equal(kernel_lookup(k, OTHER, old, "user", &out), 0);
        assert_int_equal(kernel_open(k, OTHER, out.nodeid, &file), 0);
        assert_string_equal(kernel_read(k, out.nodeid, file.fh), "one");
        assert_drops(k, old, "user"); /* again, and nothing that was never looked up */
    }
}

/* The dead worker may not have come to it, and nobody knows what the kernel knows. */
static void test_takeover_drops_the_names_of_old_versions(void **state)
{
    struct kernel *k = *state;
    uint64_t dir, old, stat;
    struct hush_move_packet *move = begin_exchange(k, &old, &stat);

    dir = kernel_ino(k, "s");
    assert_int_equal(kernel_rename(k, MOVER_TID, dir, move->from, "db", RENAME_EXCHANGE), 0);
    kernel_kill(k);
    kernel_start(k, CONFIG_S "ttl = 10\nas = directory\n");
    assert_drops(k, dir, move->from);
    (void)mover_take(k, HUSH_MOVE_INVAL_ENTRY); /* the name of its own that it may have had */
    mover_answer(k, &k->moves[k->taken - 1], 0);
    assert_drops(k, old, ".json");
    assert_drops(k, old, "user");
    assert_drops(k, old, "other");
    assert_drops(k, dir, "db");
    assert_int_equal(kernel_wait(k, stat)->error, ESTALE);
}

/* -- What is not renamed ----------------------------------------------------------------------- */

/* An unchanged value changes nothing. */
static void test_unchanged(void **state)
{
    static const char *const version[] = {"1", "2"};
    struct kernel *k = *state;
    struct fuse_entry_out before, after;

    backend_put(k, "s/db", "one");
    backend_control(k, "s/db", ".version", version[0]);
    kernel_start(k, CONFIG_S "ttl = 10\n");
    assert_int_equal(kernel_walk(k, TID, "s/db", &before), 0);
    for (size_t i = 0; i < COUNT(version); i++) { /* unchanged; another name for the same bytes */
        backend_control(k, "s/db", ".version", version[i]);
        kernel_advance_ms(k, SECONDS(10));
        assert_int_equal(kernel_walk(k, TID, "s/db", &after), 0);
        assert_int_equal(after.nodeid, before.nodeid);
        assert_int_equal(after.attr.mtime, before.attr.mtime);
        assert_string_equal(kernel_xattr(k, after.nodeid, "user.hushfs.version"), version[i]);
    }
    assert_int_equal(backend_calls(k, "s", "fetch db"), 3);
    assert_int_equal(k->moved, 0);
}

/* The first version of a name that nobody can watch just appears. */
static void test_first_version(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    assert_int_equal(k->moved, 0);
}

/* Each version is a second younger at least: whole seconds are what nginx compares. */
static void test_mtime_rises(void **state)
{
    struct kernel *k = *state;
    struct fuse_entry_out out;
    uint64_t last = 0;

    kernel_start(k, CONFIG_S "ttl = 0\n");
    for (int i = 0; i < 5; i++) {
        char value[16];

        (void)snprintf(value, sizeof(value), "%d", i);
        backend_put(k, "s/db", value);
        assert_int_equal(kernel_walk(k, TID, "s/db", &out), 0);
        assert_true(out.attr.mtime > last);
        last = out.attr.mtime;
        assert_string_equal(kernel_cat(k, TID, "s/db"), value);
    }
}

/* The bytes of a version come back: a version of its own, not the one that is gone. */
static void test_back_to_the_first_version(void **state)
{
    struct kernel *k = *state;
    struct kernel_file file[3];
    static const char *const values[] = {"one", "two", "one"};

    kernel_start(k, CONFIG_S "ttl = 0\n");
    for (size_t i = 0; i < COUNT(values); i++) {
        backend_put(k, "s/db", values[i]);
        assert_int_equal(kernel_open_path(k, TID, "s/db", &file[i]), 0);
    }
    assert_true(file[0].ino != file[2].ino);
    for (size_t i = 0; i < COUNT(values); i++)
        assert_string_equal(kernel_read(k, file[i].ino, file[i].fh), values[i]);
}

/* Refused: the kernel is told to forget the name and the pages. */
static void test_refusal_tells_the_kernel(void **state)
{
    struct kernel *k = *state;
    struct hush_move_packet *move;
    uint64_t stat, ino;

    k->by_hand = true;
    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S "ttl = 10\n");
    ino = kernel_ino(k, "s/db");
    backend_control(k, "s/db", ".error", "DENIED");
    kernel_advance_ms(k, SECONDS(10));
    stat = kernel_send_stat(k, TID, "s/db");
    move = mover_take(k, HUSH_MOVE_INVAL_INODE);
    assert_int_equal(move->ino, ino);
    assert_int_equal(move->offset, 0);
    mover_answer(k, move, 0);
    move = mover_take(k, HUSH_MOVE_INVAL_ENTRY);
    assert_string_equal(move->to, "db");
    assert_false(kernel_answered(k, stat)); /* the kernel does not know yet */
    mover_answer(k, move, 0);
    assert_int_equal(kernel_wait(k, stat)->error, EACCES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KERNEL_TEST(test_protocol),
        KERNEL_TEST(test_nobody_else_renames),
        KERNEL_TEST(test_names_of_the_stage),
        KERNEL_TEST(test_mover_fails),
        KERNEL_TEST(test_mover_is_late),
        KERNEL_TEST(test_no_mover),
        KERNEL_TEST(test_mover_is_silent),
        KERNEL_TEST(test_mover_is_gone),
        KERNEL_TEST(test_version_that_nobody_saw),
        KERNEL_TEST(test_stage_name_of_a_version_that_nobody_saw),
        KERNEL_TEST(test_refused_while_it_is_shown),
        KERNEL_TEST(test_new_mover),
        KERNEL_TEST(test_answer_to_a_dead_worker),
        KERNEL_TEST(test_exchange),
        KERNEL_TEST(test_takeover_drops_the_names_of_old_versions),
        KERNEL_TEST(test_unchanged),
        KERNEL_TEST(test_first_version),
        KERNEL_TEST(test_mtime_rises),
        KERNEL_TEST(test_back_to_the_first_version),
        KERNEL_TEST(test_refusal_tells_the_kernel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
