/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fs_takeover.c - a worker is killed, the next one goes on: the same nodes, values, listings
 * and counts, and what was in flight is answered.
 */
#include "fs_kernel.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static void take_over(struct kernel *k, const char *config)
{
    kernel_kill(k);
    kernel_start(k, config);
}

/* Blocks in the arena: values, records of snapshots, of directories and of listings. */
static size_t blocks(struct kernel *k)
{
    const char *status = kernel_cat(k, OTHER, ".hushfs/status.json");
    const char *at = strstr(status, "\"blocks\":");

    assert_non_null(at);
    return strtoumax(at + strlen("\"blocks\":"), NULL, 10);
}

static void test_everything_is_still_there(void **state)
{
    struct kernel *k = *state;
    struct fuse_entry_out before, after, dir_before, dir_after;
    struct kernel_file file;
    size_t used;
    unsigned calls;

    backend_put(k, "s/dir/db", "one");
    backend_put(k, "s/b", "two");
    kernel_start(k, CONFIG_S);
    assert_string_equal(kernel_ls(k, TID, "s"), "b dir/");
    assert_string_equal(kernel_cat(k, TID, "s/b"), "two");
    assert_int_equal(kernel_open_path(k, TID, "s/dir/db", &file), 0);
    assert_int_equal(kernel_walk(k, TID, "s/dir", &dir_before), 0);
    assert_int_equal(kernel_walk(k, TID, "s/dir/db", &before), 0);
    used = blocks(k);
    calls = backend_calls(k, "s", NULL);
    for (int i = 0; i < 3; i++) {
        take_over(k, CONFIG_S);
        assert_string_equal(kernel_read(k, file.ino, file.fh), "one");
        assert_int_equal(kernel_walk(k, TID, "s/dir", &dir_after), 0);
        assert_int_equal(dir_after.nodeid, dir_before.nodeid);
        assert_int_equal(kernel_walk(k, TID, "s/dir/db", &after), 0);
        assert_memory_equal(&after, &before, sizeof(after)); /* times, too */
        assert_string_equal(kernel_cat(k, TID, "s/b"), "two");
        assert_string_equal(kernel_ls(k, TID, "s"), "b dir/");
        assert_int_equal(blocks(k), used);
    }
    assert_int_equal(backend_calls(k, "s", NULL), calls);
}

/* The kernel's counts outlive the workers: a version goes when the last of them has gone. */
static void test_counts(void **state)
{
    struct kernel *k = *state;
    struct kernel_file file;
    uint64_t lookups = 1;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S "ttl = 10\n");
    assert_int_equal(kernel_open_path(k, TID, "s/db", &file), 0); /* LOOKUP: guess; twice: it */
    lookups++;
    take_over(k, CONFIG_S "ttl = 10\n");
    assert_int_equal(kernel_ino(k, "s/db"), file.ino);
    lookups++;
    backend_put(k, "s/db", "two");
    kernel_advance_ms(k, SECONDS(10));
    assert_string_equal(kernel_cat(k, OTHER, "s/db"), "two");
    lookups += 2; /* of OTHER, and of the mover: it forgets its own */
    kernel_forget(k, file.ino, lookups - 2);
    take_over(k, CONFIG_S "ttl = 10\n");
    kernel_forget(k, file.ino, 1);
    assert_int_equal(kernel_getattr(k, TID, file.ino, NULL), 0);
    kernel_forget(k, file.ino, 1);
    assert_string_equal(kernel_read(k, file.ino, file.fh), "one"); /* it is open still */
    take_over(k, CONFIG_S "ttl = 10\n");
    assert_string_equal(kernel_read(k, file.ino, file.fh), "one");
    assert_int_equal(kernel_release(k, FUSE_RELEASE, file.ino, file.fh), 0);
    assert_string_equal(kernel_read(k, file.ino, file.fh), "ESTALE");
}

/* A FORGET that the dead worker had counted, and was not done with, is not counted again. */
static void test_forget_counts_once(void **state)
{
    struct kernel *k = *state;
    struct {
        struct fuse_in_header header;
        struct fuse_forget_in in;
    } forget = {.header = {.len = sizeof(forget), .opcode = FUSE_FORGET, .unique = 1000},
                .in = {.nlookup = 1}};
    struct fuse_entry_out out;
    uint64_t old;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S "ttl = 10\n");
    old = kernel_ino(k, "s/db"); /* two lookups */
    assert_int_equal(kernel_walk(k, TID, "s/db", &out), 0);
    backend_put(k, "s/db", "two");
    kernel_advance_ms(k, SECONDS(10));
    assert_string_equal(kernel_cat(k, OTHER, "s/db"), "two");
    kernel_forget(k, old, 3); /* one is left */
    assert_int_equal(kernel_getattr(k, TID, old, NULL), 0);
    kernel_kill(k);
    forget.header.nodeid = old;
    memcpy(k->shared->state.stage, &forget, sizeof(forget));
    k->shared->state.stage_applied = 1;
    k->shared->state.stage_busy = 1;
    kernel_start(k, CONFIG_S "ttl = 10\n");
    assert_int_equal(kernel_getattr(k, TID, old, NULL), 0);
    kernel_kill(k);
    memcpy(k->shared->state.stage, &forget, sizeof(forget));
    k->shared->state.stage_applied = 0; /* and one that was not counted yet is */
    k->shared->state.stage_busy = 1;
    kernel_start(k, CONFIG_S "ttl = 10\n");
    assert_int_equal(kernel_getattr(k, TID, old, NULL), ESTALE);
}

/* Who waited waits on, and is answered by the next one. */
static void test_waiters(void **state)
{
    struct kernel *k = *state;
    uint64_t stat;

    backend_put(k, "s/db", "one");
    backend_control(k, "s/db", ".hang", "");
    kernel_start(k, CONFIG_S);
    stat = kernel_send_stat(k, TID, "s/db");
    backend_await(k, "s", "fetch db", 1);
    take_over(k, CONFIG_S);
    backend_await(k, "s", "fetch db", 2);
    assert_false(kernel_answered(k, stat));
    backend_control(k, "s/db", ".hang", NULL);
    assert_int_equal(kernel_wait(k, stat)->error, ESTALE);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
}

/* The same when a worker makes way for another: a reload is nobody's end. */
static void test_waiters_at_a_reload(void **state)
{
    const struct fuse_open_in in = {0};
    struct kernel *k = *state;
    uint64_t stat, opendir, reload;

    backend_put(k, "s/db", "one");
    backend_control(k, "s/db", ".hang", "");
    backend_control(k, "s/.list", ".hang", "");
    kernel_start(k, CONFIG_S);
    stat = kernel_send_stat(k, TID, "s/db");
    opendir = kernel_send(k, FUSE_OPENDIR, kernel_ino(k, "s"), TID, &in, sizeof(in));
    backend_await(k, "s", NULL, 2);
    reload = kernel_send_control(k, HUSH_CONTROL_RELOAD, "");
    assert_int_equal(kernel_exited(k), HUSH_EXIT_RELOAD);
    kernel_start(k, CONFIG_S);
    assert_int_equal(kernel_control(k, reload)->error, 0);
    assert_false(kernel_answered(k, stat));
    assert_false(kernel_answered(k, opendir));
    backend_control(k, "s/.list", ".hang", NULL);
    backend_control(k, "s/db", ".hang", NULL);
    assert_int_equal(kernel_wait(k, stat)->error, ESTALE);
    assert_int_equal(kernel_wait(k, opendir)->error, 0);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
}

/* What nobody has published is swept up. */
static void test_killed_in_a_fetch(void **state)
{
    struct kernel *k = *state;
    size_t used;

    backend_put(k, "s/db", "one");
    backend_put(k, "s/slow", "two");
    kernel_start(k, CONFIG_S);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    used = blocks(k);
    backend_control(k, "s/slow", ".hang", "");
    (void)kernel_send_stat(k, TID, "s/slow");
    backend_await(k, "s", "fetch slow", 1);
    take_over(k, CONFIG_S "[path/s/slow]\nttl = 1\n");
    backend_control(k, "s/slow", ".hang", NULL);
    assert_string_equal(kernel_cat(k, TID, "s/slow"), "two");
    assert_int_equal(blocks(k), used + 3); /* its directory node, its value and its record */
}

/* A version was fetched, and the rename that shows it had not come. */
static void test_staged(void **state)
{
    struct kernel *k = *state;
    uint64_t stat;

    k->by_hand = true;
    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S "ttl = 10\n");
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    backend_put(k, "s/db", "two");
    kernel_advance_ms(k, SECONDS(10));
    stat = kernel_send_stat(k, TID, "s/db");
    (void)mover_take(k, HUSH_MOVE_REPLACE);
    backend_control(k, "s/db", ".error", "UNAVAILABLE"); /* it must come from the arena */
    k->by_hand = false;
    take_over(k, CONFIG_S "ttl = 10\n");
    assert_int_equal(kernel_wait(k, stat)->error, ESTALE);
    assert_string_equal(kernel_cat(k, OTHER, "s/db"), "two");
    assert_int_equal(mover_count(k, HUSH_MOVE_REPLACE), 2);
}

static const char fields[] = "{\"user\":\"app\",\"port\":5432}";

static void test_fields(void **state)
{
    struct kernel *k = *state;
    struct kernel_file user;
    uint64_t dir;

    backend_put(k, "s/db", fields);
    backend_control(k, "s/db", ".fields", "");
    kernel_start(k, CONFIG_S "as = directory\n");
    assert_int_equal(kernel_open_path(k, TID, "s/db/user", &user), 0);
    dir = kernel_ino(k, "s/db");
    take_over(k, CONFIG_S "as = directory\n");
    assert_string_equal(kernel_read(k, user.ino, user.fh), "app");
    assert_int_equal(kernel_ino(k, "s/db"), dir);
    assert_int_equal(kernel_ino(k, "s/db/user"), user.ino);
    assert_string_equal(kernel_ls(k, TID, "s/db"), ".json user port");
    assert_int_equal(backend_calls(k, "s", "fetch db"), 1);
}

/* A directory that was open reads on. */
static void test_open_directory(void **state)
{
    struct kernel *k = *state;
    struct fuse_open_out out;
    uint64_t dir;

    backend_put(k, "s/a", "one");
    backend_put(k, "s/b", "one");
    kernel_start(k, CONFIG_S);
    dir = kernel_ino(k, "s");
    assert_int_equal(kernel_opendir(k, TID, dir, &out), 0);
    take_over(k, CONFIG_S);
    assert_string_equal(kernel_readdir(k, dir, out.fh), "a b");
    assert_int_equal(kernel_release(k, FUSE_RELEASEDIR, dir, out.fh), 0);
}

/* -- Another configuration ------------------------------------------------------------------------
 */

static const char config_t[] = "[provider/t]\ntype = test\ndir = @/t\n";

/* An instance that is configured no more serves what is open, and nothing else. */
static void test_instance_goes(void **state)
{
    struct kernel *k = *state;
    struct kernel_file file, user;
    const struct hush_move_packet *move;

    backend_put(k, "s/db", "one");
    backend_put(k, "s/map", fields);
    backend_control(k, "s/map", ".fields", "");
    backend_put(k, "t/db", "two");
    kernel_start(k, CONFIG_S "[path/s/map]\nas = directory\n");
    assert_int_equal(kernel_open_path(k, TID, "s/db", &file), 0);
    assert_int_equal(kernel_open_path(k, TID, "s/map/user", &user), 0);
    k->shared->state.config_generation++;
    take_over(k, config_t);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "ENOENT");
    assert_string_equal(kernel_ls(k, TID, ""), "t/");
    assert_string_equal(kernel_cat(k, TID, "t/db"), "two");
    do
        move = mover_take(k, HUSH_MOVE_INVAL_ENTRY);
    while (move->ino != ROOT || strcmp(move->to, "s") != 0);
    assert_string_equal(kernel_read(k, file.ino, file.fh), "one");
    assert_string_equal(kernel_read(k, user.ino, user.fh), "app");
    assert_int_equal(kernel_open(k, TID, file.ino, NULL), ENOENT);
    kernel_forget(k, file.ino, 10);
    assert_string_equal(kernel_read(k, file.ino, file.fh), "one");
    assert_int_equal(kernel_release(k, FUSE_RELEASE, file.ino, file.fh), 0);
    assert_string_equal(kernel_read(k, file.ino, file.fh), "ESTALE");
}

/* A secret that is shown in another way from now on; who has it open reads on. */
static void test_as_changes(void **state)
{
    struct kernel *k = *state;
    struct kernel_file user, whole;

    backend_put(k, "s/db", fields);
    backend_control(k, "s/db", ".fields", "");
    kernel_start(k, CONFIG_S "as = directory\n");
    assert_int_equal(kernel_open_path(k, TID, "s/db/user", &user), 0);
    k->shared->state.config_generation++;
    take_over(k, CONFIG_S "as = file\n");
    assert_string_equal(kernel_cat(k, TID, "s/db"), fields);
    assert_string_equal(kernel_read(k, user.ino, user.fh), "app");
    assert_int_equal(kernel_open_path(k, TID, "s/db", &whole), 0);
    k->shared->state.config_generation++;
    take_over(k, CONFIG_S "as = directory\n");
    assert_string_equal(kernel_cat(k, TID, "s/db/user"), "app");
    assert_string_equal(kernel_ls(k, TID, "s/db"), ".json user port");
    assert_string_equal(kernel_read(k, whole.ino, whole.fh), fields);
    assert_string_equal(kernel_read(k, user.ino, user.fh), "app");
}

/* The backend's version is the same, what is made of it is not. */
static void test_decoding_changes(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/db", "b25l");
    kernel_start(k, CONFIG_S "ttl = 10\n");
    assert_string_equal(kernel_cat(k, TID, "s/db"), "b25l");
    k->shared->state.config_generation++;
    take_over(k, CONFIG_S "ttl = 10\nbase64_decode = yes\n");
    kernel_advance_ms(k, SECONDS(11));
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
}

/* Modes and owners are those of the new configuration, and the kernel is told to ask. */
static void test_mode_changes(void **state)
{
    struct kernel *k = *state;
    struct fuse_entry_out out;
    size_t before;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S "mode = 0444\n");
    assert_string_equal(kernel_cat(k, TID, "s/db"), "one");
    take_over(k, CONFIG_S "mode = 0444\n");
    before = mover_count(k, HUSH_MOVE_INVAL_INODE); /* nothing has changed */
    assert_int_equal(before, 0);
    k->shared->state.config_generation++;
    take_over(k, CONFIG_S "mode = 0400\n");
    assert_int_equal(kernel_walk(k, TID, "s/db", &out), 0);
    assert_int_equal(out.attr.mode, S_IFREG | 0400);
    for (bool told = false; !told;)
        told = mover_take(k, HUSH_MOVE_INVAL_INODE)->ino == out.nodeid;
}

/* `open` was settled with the kernel when the mount was made. */
static void test_open_mode_stays(void **state)
{
    struct kernel *k = *state;
    struct kernel_file file;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S);
    assert_int_equal(kernel_open_path(k, TID, "s/db", &file), 0);
    k->mount = "open = kernel\n";
    take_over(k, CONFIG_S);
    assert_int_equal(kernel_open_path(k, TID, "s/db", &file), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KERNEL_TEST(test_everything_is_still_there),
        KERNEL_TEST(test_counts),
        KERNEL_TEST(test_forget_counts_once),
        KERNEL_TEST(test_waiters),
        KERNEL_TEST(test_waiters_at_a_reload),
        KERNEL_TEST(test_killed_in_a_fetch),
        KERNEL_TEST(test_staged),
        KERNEL_TEST(test_fields),
        KERNEL_TEST(test_open_directory),
        KERNEL_TEST(test_instance_goes),
        KERNEL_TEST(test_as_changes),
        KERNEL_TEST(test_decoding_changes),
        KERNEL_TEST(test_mode_changes),
        KERNEL_TEST(test_open_mode_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
