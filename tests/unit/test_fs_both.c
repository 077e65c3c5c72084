/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fs_both.c - a name that is a secret and a folder (fs/both.h), request by request: what the
 * kernel is told on a walk that meets several names for the first time, who is asked what, and what
 * the mover may walk through. What a program sees is in tests/e2e/test_both.py.
 */
#include "fs_kernel.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define AS_DIRECTORIES CONFIG_S "as = directory\nttl = 10\nneg_ttl = 10\n"

/* s/app: a secret {"a": VALUE} and a folder. */
static void put_both(struct kernel *k, const char *path, const char *value)
{
    char json[64];

    (void)snprintf(json, sizeof(json), "{\"a\":\"%s\"}", value);
    backend_control(k, path, ".value", json);
    backend_control(k, path, ".fields", "");
}

static void put_secret(struct kernel *k, const char *path, const char *value)
{
    char json[64];

    (void)snprintf(json, sizeof(json), "{\"a\":\"%s\"}", value);
    backend_put(k, path, json);
    backend_control(k, path, ".fields", "");
}

/* app, app/b and app/b/c are secrets, the first two folders as well. */
static void three(struct kernel *k)
{
    put_secret(k, "s/app/b/c", "deep");
    put_both(k, "s/app/b", "inner");
    put_both(k, "s/app", "own");
}

/* Each name that turns out to be a secret is another node then; but the kernel walks again once. */
static void test_a_walk_through_names_that_nobody_knew(void **state)
{
    struct kernel *k = *state;

    three(k);
    kernel_start(k, AS_DIRECTORIES);
    assert_string_equal(kernel_cat(k, TID, "s/app/b/c/a"), "deep");
    assert_string_equal(kernel_cat(k, OTHER, "s/app/b/a"), "inner");
    assert_string_equal(kernel_cat(k, OTHER, "s/app/a"), "own");
    assert_int_equal(backend_calls(k, "s", NULL), 3); /* no listing, and each name once */
}

static void test_the_same_where_they_were_listed(void **state)
{
    struct kernel *k = *state;

    three(k);
    kernel_start(k, AS_DIRECTORIES);
    assert_string_equal(kernel_ls(k, TID, "s"), "app/");
    assert_string_equal(kernel_cat(k, TID, "s/app/b/c/a"), "deep");
    assert_string_equal(kernel_ls(k, TID, "s/app"), ".json a .value b/");
}

static void test_opening_a_directory_at_the_end_of_such_a_walk(void **state)
{
    struct kernel *k = *state;

    three(k);
    kernel_start(k, AS_DIRECTORIES);
    assert_string_equal(kernel_ls(k, TID, "s/app/b/c"), ".json a");
    assert_string_equal(kernel_ls(k, OTHER, "s/app/b"), ".json a .value c/");
}

/* What was opened through a name on the way never shows another version. */
static void test_such_a_directory_keeps_its_version(void **state)
{
    struct kernel *k = *state;
    struct fuse_entry_out guess, field;
    struct fuse_attr_out attr;
    struct fuse_open_out open;

    three(k);
    kernel_start(k, AS_DIRECTORIES);
    assert_int_equal(kernel_walk(k, TID, "s/app/b/c", &guess), 0);
    assert_int_equal(kernel_opendir(k, TID, guess.nodeid, &open), 0);
    assert_int_equal(kernel_lookup(k, OTHER, guess.nodeid, "a", &field), 0);
    assert_string_equal(kernel_read(k, field.nodeid, 0), "deep");
    assert_int_equal(kernel_getattr(k, OTHER, guess.nodeid, &attr), 0); /* fstat */
    put_secret(k, "s/app/b/c", "another");
    kernel_advance_ms(k, SECONDS(11));
    assert_string_equal(kernel_cat(k, OTHER, "s/app/b/c/a"), "another");
    assert_int_equal(kernel_lookup(k, OTHER, guess.nodeid, "a", &field), ESTALE);
    assert_int_equal(kernel_release(k, FUSE_RELEASEDIR, guess.nodeid, open.fh), 0);
}

/* A file below, known from a listing: it is opened through the node that it had before. */
static void test_a_file_at_the_end_of_such_a_walk(void **state)
{
    struct kernel *k = *state;
    struct kernel_file file;
    struct fuse_attr_out attr;

    put_both(k, "s/app", "own");
    backend_put(k, "s/app/key", "bytes");
    kernel_start(k, AS_DIRECTORIES "[path/s/app/key]\nas = file\n");
    assert_string_equal(kernel_ls(k, OTHER, "s"), "app/");
    assert_string_equal(kernel_ls(k, OTHER, "s/app"), ".json a .value key");
    backend_control(k, "s/app", ".value", "{\"a\":\"new\"}");
    kernel_advance_ms(k, SECONDS(10));
    assert_int_equal(kernel_open_path(k, TID, "s/app/key", &file), 0);
    assert_string_equal(kernel_read(k, file.ino, file.fh), "bytes");
    assert_int_equal(kernel_getattr(k, TID, file.ino, &attr), 0); /* fstat */
    assert_int_equal(attr.attr.size, 5);
    assert_int_equal(kernel_release(k, FUSE_RELEASE, file.ino, file.fh), 0);
}

static void test_a_rotation_below_is_told_of_the_secrets_directory(void **state)
{
    struct kernel *k = *state;
    struct hush_move_packet *move;
    uint64_t app, stat;

    three(k);
    kernel_start(k, AS_DIRECTORIES "[path/s/app]\nttl = 3600\n[path/s/app/b]\nttl = 3600\n");
    assert_string_equal(kernel_cat(k, TID, "s/app/b/c/a"), "deep");
    k->by_hand = true;
    app = kernel_ino(k, "s/app/b");
    put_secret(k, "s/app/b/c", "new");
    kernel_advance_ms(k, SECONDS(10));
    stat = kernel_send_stat(k, TID, "s/app/b/c");
    move = mover_take(k, HUSH_MOVE_REPLACE);
    assert_string_equal(move->dir, "s/app/b");
    assert_string_equal(move->to, "c");
    assert_int_equal(mover_rename(k, move), 0);
    mover_answer(k, move, 0);
    move = mover_take(k, HUSH_MOVE_INVAL_ENTRY); /* the exchanged name */
    assert_int_equal(move->ino, app);
    mover_answer(k, move, 0);
    assert_int_equal(kernel_wait(k, stat)->error, ESTALE);
    k->by_hand = false;
    assert_string_equal(kernel_cat(k, TID, "s/app/b/c/a"), "new");
}

/* In Linux a directory has one parent: below each version it is another one. */
static void test_what_is_below_has_a_node_of_each_version(void **state)
{
    struct kernel *k = *state;
    struct fuse_entry_out before, after, leaf;
    uint64_t old_app, new_app;

    backend_put(k, "s/app/sub/leaf", "{\"a\":\"deep\"}");
    put_both(k, "s/app", "own");
    kernel_start(k, AS_DIRECTORIES);
    assert_string_equal(kernel_cat(k, TID, "s/app/sub/leaf/a"), "deep");
    old_app = kernel_ino(k, "s/app");
    assert_int_equal(kernel_walk(k, TID, "s/app/sub", &before), 0);
    put_both(k, "s/app", "new");
    kernel_advance_ms(k, SECONDS(10));
    assert_string_equal(kernel_cat(k, TID, "s/app/a"), "new");
    new_app = kernel_ino(k, "s/app");
    assert_int_equal(kernel_walk(k, TID, "s/app/sub", &after), 0);
    assert_true(new_app != old_app && after.nodeid != before.nodeid);
    assert_int_equal(after.attr.ino, before.attr.ino); /* what programs see is one directory */
    for (int worker = 0; worker < 2; worker++) {       /* the next one knows both */
        assert_int_equal(kernel_lookup(k, TID, old_app, "sub", &leaf), 0);
        assert_int_equal(leaf.nodeid, before.nodeid);
        assert_int_equal(kernel_lookup(k, TID, before.nodeid, "leaf", &before), 0);
        assert_int_equal(kernel_lookup(k, TID, after.nodeid, "leaf", &leaf), 0);
        assert_true(before.nodeid != leaf.nodeid);
        assert_int_equal(before.attr.ino, leaf.attr.ino);
        assert_int_equal(kernel_walk(k, TID, "s/app/sub", &after), 0);
        assert_int_equal(kernel_lookup(k, TID, old_app, "sub", &before), 0);
        kernel_kill(k);
        kernel_start(k, AS_DIRECTORIES);
    }
    kernel_forget_all(k);
    assert_int_equal(kernel_lookup(k, TID, after.nodeid, "leaf", &leaf), ESTALE);
    assert_string_equal(kernel_cat(k, TID, "s/app/sub/leaf/a"), "deep");
}

/* Else the kernel would keep it, and with it the old bytes, for as long as it has memory. */
static void test_both_names_of_the_whole_are_taken_out(void **state)
{
    static const char *const names[] = {".json", ".value"};
    struct kernel *k = *state;
    size_t told[COUNT(names)] = {0};

    three(k);
    kernel_start(k, AS_DIRECTORIES);
    assert_string_equal(kernel_ls(k, TID, "s/app"), ".json a .value b/");
    assert_string_equal(kernel_cat(k, TID, "s/app/.value"), "{\"a\":\"own\"}");
    put_both(k, "s/app", "new");
    kernel_advance_ms(k, SECONDS(10));
    assert_string_equal(kernel_cat(k, TID, "s/app/a"), "new");
    for (int tries = 0; tries < 200 && (told[0] == 0 || told[1] == 0); tries++) {
        for (size_t i = 0; i < k->moved; i++)
            for (size_t n = 0; n < COUNT(names); n++)
                told[n] += k->moves[i].op == HUSH_MOVE_INVAL_ENTRY &&
                           strcmp(k->moves[i].to, names[n]) == 0;
        (void)usleep(10000);
        (void)kernel_ino(k, "s");
    }
    assert_true(told[0] > 0 && told[1] > 0);
}

/* The mover goes through the directory of a secret that is not fresh; were it to wait there, every
 * rotation would wait with it. */
static void test_the_mover_never_waits(void **state)
{
    struct kernel *k = *state;
    struct fuse_entry_out s, app;
    struct fuse_attr_out attr;

    three(k);
    kernel_start(k, AS_DIRECTORIES);
    assert_string_equal(kernel_cat(k, TID, "s/app/b/c/a"), "deep");
    kernel_advance_ms(k, SECONDS(10));
    backend_control(k, "s/app", ".hang", "");
    assert_int_equal(kernel_lookup(k, MOVER_TID, ROOT, "s", &s), 0);
    assert_int_equal(kernel_lookup(k, MOVER_TID, s.nodeid, "app", &app), 0);
    assert_int_equal(kernel_getattr(k, MOVER_TID, app.nodeid, &attr), 0);
    assert_int_equal(kernel_lookup(k, MOVER_TID, app.nodeid, "b", &app), 0);
    backend_remove(k, "s/app.hang");
}

/* The folder's listing is kept at a node that the kernel has never seen. */
static void test_the_next_worker_knows_all_of_it(void **state)
{
    struct kernel *k = *state;

    three(k);
    kernel_start(k, AS_DIRECTORIES);
    assert_string_equal(kernel_ls(k, TID, "s/app"), ".json a .value b/");
    assert_string_equal(kernel_cat(k, TID, "s/app/b/c/a"), "deep");
    assert_int_equal(backend_calls(k, "s", NULL), 4);
    kernel_kill(k);
    kernel_start(k, AS_DIRECTORIES);
    assert_string_equal(kernel_ls(k, TID, "s/app"), ".json a .value b/");
    assert_string_equal(kernel_cat(k, TID, "s/app/b/c/a"), "deep");
    assert_string_equal(kernel_cat(k, TID, "s/app/a"), "own");
    assert_int_equal(backend_calls(k, "s", NULL), 4);
}

/* Refused, it is the folder alone; the next worker asks for it again in time. */
static void test_refused_for_a_while(void **state)
{
    struct kernel *k = *state;

    three(k);
    kernel_start(k, AS_DIRECTORIES);
    assert_string_equal(kernel_cat(k, TID, "s/app/b/c/a"), "deep");
    backend_control(k, "s/app", ".error", "DENIED");
    kernel_advance_ms(k, SECONDS(10));
    assert_string_equal(kernel_cat(k, TID, "s/app/b/c/a"), "deep");
    assert_string_equal(kernel_cat(k, TID, "s/app/a"), "ENOENT");
    kernel_kill(k);
    kernel_start(k, AS_DIRECTORIES);
    backend_remove(k, "s/app.error");
    kernel_advance_ms(k, SECONDS(10));
    assert_string_equal(kernel_cat(k, TID, "s/app/a"), "own");
}

static uint64_t free_blocks(struct kernel *k)
{
    const struct kernel_reply *r = kernel_wait(k, kernel_send(k, FUSE_STATFS, ROOT, TID, NULL, 0));
    struct fuse_statfs_out out;

    assert_int_equal(r->error, 0);
    memcpy(&out, r->body, sizeof(out));
    return out.st.bfree;
}

/* To learn that there is no folder takes a node, which does not stay. */
static void test_secrets_without_a_folder_leave_no_nodes(void **state)
{
    enum { MANY = 300 };
    struct kernel *k = *state;
    char path[32];
    uint64_t before;

    for (int i = 0; i < MANY; i++) {
        (void)snprintf(path, sizeof(path), "s/k%d", i);
        put_secret(k, path, "x");
    }
    kernel_start(k, AS_DIRECTORIES);
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(path, sizeof(path), "s/k%d/a", i);
        assert_string_equal(kernel_cat(k, TID, path), "x");
    }
    kernel_forget_all(k);
    before = free_blocks(k);
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(path, sizeof(path), "s/k%d", i);
        assert_string_equal(kernel_ls(k, TID, path), ".json a");
    }
    kernel_forget_all(k);
    assert_int_equal(free_blocks(k), before);
    assert_int_equal(backend_calls(k, "s", "list k7"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KERNEL_TEST(test_a_walk_through_names_that_nobody_knew),
        KERNEL_TEST(test_the_same_where_they_were_listed),
        KERNEL_TEST(test_opening_a_directory_at_the_end_of_such_a_walk),
        KERNEL_TEST(test_such_a_directory_keeps_its_version),
        KERNEL_TEST(test_a_file_at_the_end_of_such_a_walk),
        KERNEL_TEST(test_a_rotation_below_is_told_of_the_secrets_directory),
        KERNEL_TEST(test_what_is_below_has_a_node_of_each_version),
        KERNEL_TEST(test_both_names_of_the_whole_are_taken_out),
        KERNEL_TEST(test_the_mover_never_waits),
        KERNEL_TEST(test_the_next_worker_knows_all_of_it),
        KERNEL_TEST(test_refused_for_a_while),
        KERNEL_TEST(test_secrets_without_a_folder_leave_no_nodes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
