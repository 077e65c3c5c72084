/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fs_open.c - from LOOKUP to RELEASE: names that nobody knows yet, the gates, versions that
 * were superseded, both modes of `open`.
 */
#include "fs_kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static uint64_t lookup(struct kernel *k, uint32_t tid, const char *name, struct fuse_entry_out *out)
{
    assert_int_equal(kernel_lookup(k, tid, kernel_ino(k, "s"), name, out), 0);
    return out->nodeid;
}

static bool asks_again(const struct fuse_entry_out *out)
{
    return out->entry_valid == 0 && out->entry_valid_nsec == 0 && out->attr_valid == 0 &&
           out->attr_valid_nsec == 0;
}

/* A name nobody knows is a directory without timeouts, until GETATTR has settled it. */
static void test_guess_that_is_a_file(void **state)
{
    struct kernel *k = *state;
    struct fuse_entry_out guess, file;

    backend_put(k, "s/db", "one!");
    kernel_start(k, CONFIG_S "ttl = 100\n");
    (void)lookup(k, TID, "db", &guess);
    assert_true(S_ISDIR(guess.attr.mode));
    assert_true(asks_again(&guess));
    assert_int_equal(backend_calls(k, "s", NULL), 0); /* LOOKUP asks nobody */
    assert_int_equal(kernel_getattr(k, TID, guess.nodeid, NULL), ESTALE);
    (void)lookup(k, TID, "db", &file);
    assert_int_equal(file.attr.mode, S_IFREG | 0400);
    assert_int_equal(file.attr.size, 4);
    assert_int_equal(file.entry_valid, 100);
    assert_int_equal(file.attr_valid, 100);
    assert_in_range(file.attr_valid_nsec, 99000000, 101000000); /* outlives the name */
    assert_true(file.nodeid != guess.nodeid);
    assert_int_equal(file.attr.ino, file.nodeid);
}

static void test_guess_that_is_a_directory(void **state)
{
    struct kernel *k = *state;
    struct fuse_entry_out guess, dir;
    struct fuse_attr_out attr;

    backend_put(k, "s/dir/db", "one");
    kernel_start(k, CONFIG_S);
    (void)lookup(k, TID, "dir", &guess);
    assert_int_equal(kernel_getattr(k, TID, guess.nodeid, &attr), 0);
    assert_int_equal(attr.attr.mode, S_IFDIR | 0751);
    (void)lookup(k, TID, "dir", &dir);
    assert_int_equal(dir.nodeid, guess.nodeid); /* it came true: the same node */
    assert_false(asks_again(&dir));
    assert_string_equal(kernel_cat(k, TID, "s/dir/db"), "one");
}

/* Two guess at the same time; the answer to one is the answer to the other. */
static void test_guess_that_others_settled(void **state)
{
    struct kernel *k = *state;
    struct fuse_entry_out guess;
    struct fuse_attr_out attr;

    backend_put(k, "s/dir/db", "one");
    kernel_start(k, CONFIG_S);
    (void)lookup(k, TID, "dir", &guess);
    assert_string_equal(kernel_ls(k, OTHER, "s/dir"), "db");
    assert_int_equal(kernel_getattr(k, TID, guess.nodeid, &attr), 0);
    assert_true(S_ISDIR(attr.attr.mode));
    assert_int_equal(attr.attr_valid, 3600);
}

static void test_guess_that_is_nothing(void **state)
{
    struct kernel *k = *state;
    struct fuse_entry_out guess;
    uint64_t dir;

    kernel_start(k, CONFIG_S);
    (void)lookup(k, TID, "db", &guess);
    assert_int_equal(kernel_getattr(k, TID, guess.nodeid, NULL), ENOENT);
    dir = kernel_ino(k, "s");
    assert_int_equal(kernel_lookup(k, TID, dir, "db", NULL), ENOENT); /* it is known now */
}

/* A listing says that it is a secret, not how long it is. */
static void test_pending(void **state)
{
    struct kernel *k = *state;
    struct fuse_entry_out pending, file;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S);
    assert_string_equal(kernel_ls(k, TID, "s"), "db");
    assert_int_equal(backend_calls(k, "s", "fetch db"), 0); /* listing fetches no value */
    (void)lookup(k, TID, "db", &pending);
    assert_true(S_ISREG(pending.attr.mode));
    assert_true(asks_again(&pending));
    assert_int_equal(kernel_getattr(k, TID, pending.nodeid, NULL), ESTALE);
    (void)lookup(k, TID, "db", &file);
    assert_int_equal(file.attr.size, 3);
    assert_int_equal(backend_calls(k, "s", "fetch db"), 1);
}

/* A name that is listed and whose value is refused. */
static void test_pending_that_fails(void **state)
{
    struct kernel *k = *state;

    backend_put(k, "s/db", "one");
    backend_control(k, "s/db", ".error", "DENIED");
    kernel_start(k, CONFIG_S);
    assert_string_equal(kernel_ls(k, TID, "s"), "db");
    assert_string_equal(kernel_cat(k, TID, "s/db"), "EACCES");
    assert_string_equal(kernel_ls(k, TID, "s"), "db");
}

/* fstat(2) of an open descriptor: a GETATTR that follows no LOOKUP of its thread. */
static void test_fstat_does_not_wait(void **state)
{
    struct kernel *k = *state;
    struct kernel_file file;
    struct fuse_attr_out attr;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S "ttl = 10\n");
    assert_int_equal(kernel_open_path(k, TID, "s/db", &file), 0);
    backend_put(k, "s/db", "longer");
    backend_control(k, "s/db", ".hang", "");
    kernel_advance_ms(k, SECONDS(1000));
    assert_int_equal(kernel_getattr(k, TID, file.ino, &attr), 0);
    assert_int_equal(attr.attr.size, 3);
    backend_control(k, "s/db", ".hang", NULL);
    assert_string_equal(kernel_cat(k, OTHER, "s/db"), "longer");
    assert_int_equal(kernel_getattr(k, TID, file.ino, &attr), 0); /* superseded: its own still */
    assert_int_equal(attr.attr.size, 3);
    assert_string_equal(kernel_read(k, file.ino, file.fh), "one");
}

/* LOOKUP, then a rotation, then OPEN. */
static void test_superseded_before_its_open(void **state)
{
    struct kernel *k = *state;
    struct fuse_open_out out;
    uint64_t old;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S "ttl = 10\n");
    old = kernel_ino(k, "s/db");
    backend_put(k, "s/db", "two");
    kernel_advance_ms(k, SECONDS(10));
    assert_string_equal(kernel_cat(k, OTHER, "s/db"), "two");
    assert_int_equal(kernel_open(k, TID, old, NULL), ESTALE);
    /* Now the kernel looks the name up and opens what it finds. */
    assert_int_equal(kernel_open(k, TID, kernel_ino(k, "s/db"), &out), 0);
    assert_int_equal(out.open_flags, FOPEN_KEEP_CACHE | FOPEN_NOFLUSH);
}

/* The name moves on once more between the lookup after that ESTALE and its OPEN: what was found is
 * opened, or it might go on like this for ever. */
static void test_superseded_twice(void **state)
{
    struct kernel *k = *state;
    struct fuse_open_out out;
    uint64_t first, second;

    kernel_start(k, CONFIG_S "ttl = 0\n");
    backend_put(k, "s/db", "one");
    first = kernel_ino(k, "s/db");
    backend_put(k, "s/db", "two");
    assert_string_equal(kernel_cat(k, OTHER, "s/db"), "two");
    assert_int_equal(kernel_open(k, TID, first, NULL), ESTALE);
    second = kernel_ino(k, "s/db");
    backend_put(k, "s/db", "three");
    assert_string_equal(kernel_cat(k, OTHER, "s/db"), "three");
    assert_int_equal(kernel_open(k, TID, second, &out), 0);
    assert_string_equal(kernel_read(k, second, out.fh), "two");
}

/* stat(2) of a bind mount of the single file: as large as what opening it gives. */
static void test_stat_without_a_name(void **state)
{
    struct kernel *k = *state;
    struct fuse_attr_out attr;
    uint64_t old;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S "ttl = 10\n");
    old = kernel_ino(k, "s/db");
    backend_put(k, "s/db", "longer");
    kernel_advance_ms(k, SECONDS(10));
    assert_string_equal(kernel_cat(k, OTHER, "s/db"), "longer");
    assert_int_equal(kernel_getattr(k, TID, old, &attr), 0);
    assert_int_equal(attr.attr.size, 6);
    assert_int_equal(attr.attr.ino, old);
    assert_int_equal(attr.attr_valid, 0);
}

/* The same node twice from one thread: a bind mount of the single file, which has no name. */
static void test_superseded_without_a_name(void **state)
{
    struct kernel *k = *state;
    struct fuse_open_out out;
    uint64_t old;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S "ttl = 10\n");
    old = kernel_ino(k, "s/db");
    for (int i = 0; i < 3; i++) {
        char value[16];

        (void)snprintf(value, sizeof(value), "value %d", i);
        backend_put(k, "s/db", value);
        kernel_advance_ms(k, SECONDS(10));
        assert_int_equal(kernel_open(k, TID, old, NULL), ESTALE);
        assert_int_equal(kernel_open(k, OTHER, old, NULL), ESTALE); /* each thread for itself */
        assert_int_equal(kernel_open(k, TID, old, &out), 0);
        assert_int_equal(out.open_flags, FOPEN_DIRECT_IO | FOPEN_NOFLUSH);
        assert_string_equal(kernel_read(k, old, out.fh), value);
        assert_int_equal(kernel_release(k, FUSE_RELEASE, old, out.fh), 0);
        assert_int_equal(kernel_open(k, OTHER, old, &out), 0);
        assert_string_equal(kernel_read(k, old, out.fh), value);
    }
}

static uint64_t size_of(struct kernel *k, uint32_t tid, uint64_t ino)
{
    struct fuse_attr_out attr;

    assert_int_equal(kernel_getattr(k, tid, ino, &attr), 0);
    assert_int_equal(attr.attr_valid, 0);
    assert_int_equal(attr.attr.ino, ino);
    return attr.attr.size;
}

/* fstat(2) through such a mount: of what its thread has opened there last, while that is open. */
static void test_fstat_without_a_name(void **state)
{
    struct kernel *k = *state;
    struct fuse_open_out out;
    uint64_t old;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S "ttl = 10\n");
    old = kernel_ino(k, "s/db");
    backend_put(k, "s/db", "longer");
    kernel_advance_ms(k, SECONDS(10));
    assert_int_equal(kernel_open(k, TID, old, NULL), ESTALE);
    assert_int_equal(kernel_open(k, TID, old, &out), 0);
    backend_put(k, "s/db", "longer still");
    kernel_advance_ms(k, SECONDS(10));
    assert_string_equal(kernel_cat(k, OTHER, "s/db"), "longer still");
    assert_int_equal(size_of(k, TID, old), 6);
    assert_int_equal(size_of(k, OTHER, old), 12);
    assert_string_equal(kernel_read(k, old, out.fh), "longer");
    assert_int_equal(kernel_release(k, FUSE_RELEASE, old, out.fh), 0);
    assert_int_equal(size_of(k, TID, old), 12);
}

/* Somebody has the version of that node open: the kernel has one size for all, so all get that. */
static void test_own_version_is_open(void **state)
{
    struct kernel *k = *state;
    struct kernel_file file;
    struct fuse_open_out out;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S "ttl = 10\n");
    assert_int_equal(kernel_open_path(k, OTHER, "s/db", &file), 0);
    backend_put(k, "s/db", "longer");
    kernel_advance_ms(k, SECONDS(10));
    assert_int_equal(kernel_open(k, TID, file.ino, NULL), ESTALE);
    assert_int_equal(kernel_open(k, TID, file.ino, &out), 0);
    assert_int_equal(size_of(k, TID, file.ino), 3);
    assert_string_equal(kernel_read(k, file.ino, out.fh), "one");
    assert_int_equal(kernel_release(k, FUSE_RELEASE, file.ino, out.fh), 0);
    assert_int_equal(kernel_release(k, FUSE_RELEASE, file.ino, file.fh), 0);
    assert_int_equal(kernel_open(k, TID, file.ino, NULL), ESTALE);
    assert_int_equal(kernel_open(k, TID, file.ino, &out), 0);
    assert_int_equal(size_of(k, TID, file.ino), 6);
    assert_string_equal(kernel_read(k, file.ino, out.fh), "longer");
}

/* The kernel may still say the old size: such an OPEN waits until it has been told. */
static void test_open_waits_for_the_kernel(void **state)
{
    struct kernel *k = *state;
    struct fuse_open_out out;
    uint64_t old, stat, open;
    struct hush_move_packet *move;

    k->by_hand = true;
    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S "ttl = 10\n");
    old = kernel_ino(k, "s/db");
    backend_put(k, "s/db", "longer");
    kernel_advance_ms(k, SECONDS(10));
    stat = kernel_send_stat(k, OTHER, "s/db");
    move = mover_take(k, HUSH_MOVE_REPLACE);
    mover_answer(k, move, ENOTSUP); /* the name is switched without it */
    assert_int_equal(kernel_wait(k, stat)->error, ESTALE);
    assert_int_equal(kernel_open(k, TID, old, NULL), ESTALE);
    open = kernel_send_open(k, TID, old);
    assert_false(kernel_answered(k, open));
    move = mover_take(k, HUSH_MOVE_INVAL_INODE);
    assert_int_equal(move->ino, old);
    assert_false(kernel_answered(k, open));
    mover_answer(k, move, 0);
    assert_int_equal(kernel_wait(k, open)->error, 0);
    memcpy(&out, kernel_wait(k, open)->body, sizeof(out));
    assert_string_equal(kernel_read(k, old, out.fh), "longer");
}

static void test_page_cache(void **state)
{
    struct kernel *k = *state;
    struct kernel_file file;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S "page_cache = no\n");
    assert_int_equal(kernel_open_path(k, TID, "s/db", &file), 0);
    assert_int_equal(file.flags, FOPEN_DIRECT_IO | FOPEN_NOFLUSH);
}

static void test_nobody_writes(void **state)
{
    static const uint32_t flags[] = {O_WRONLY, O_RDWR, O_WRONLY | O_TRUNC};
    struct kernel *k = *state;
    uint64_t ino;

    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S);
    ino = kernel_ino(k, "s/db");
    for (size_t i = 0; i < COUNT(flags); i++) {
        const struct fuse_open_in in = {.flags = flags[i]};
        uint64_t open = kernel_send(k, FUSE_OPEN, ino, TID, &in, sizeof(in));

        assert_int_equal(kernel_wait(k, open)->error, EROFS);
    }
    assert_string_equal(kernel_cat(k, TID, "s"), "EISDIR");
}

static void test_pieces(void **state)
{
    static const struct {
        uint64_t offset;
        uint32_t size;
        const char *text;
    } rows[] = {
        {0, 4, "0123"},     {0, 100, "0123456789"},
        {7, 2, "78"},       {7, 3, "789"},
        {7, 4, "789"},      {9, 1, "9"},
        {10, 1, ""},        {11, 5, ""},
        {0, 0, ""},         {UINT64_MAX, 5, ""},
        {INT64_MAX, 5, ""},
    };
    struct kernel *k = *state;
    struct kernel_file file;

    backend_put(k, "s/db", "0123456789");
    kernel_start(k, CONFIG_S);
    assert_int_equal(kernel_open_path(k, TID, "s/db", &file), 0);
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct fuse_read_in in = {
            .fh = file.fh, .offset = rows[i].offset, .size = rows[i].size};
        const struct kernel_reply *r =
            kernel_wait(k, kernel_send(k, FUSE_READ, file.ino, TID, &in, sizeof(in)));

        assert_int_equal(r->error, 0);
        assert_string_equal((const char *)r->body, rows[i].text);
        assert_int_equal(r->size, strlen(rows[i].text));
    }
}

static void test_unknown_nodes(void **state)
{
    struct kernel *k = *state;

    kernel_start(k, CONFIG_S);
    assert_int_equal(kernel_getattr(k, TID, 123456789, NULL), ESTALE);
    assert_int_equal(kernel_open(k, TID, 123456789, NULL), ESTALE);
    assert_int_equal(kernel_opendir(k, TID, 123456789, NULL), ESTALE);
    assert_int_equal(kernel_lookup(k, TID, 123456789, "db", NULL), ESTALE);
    assert_string_equal(kernel_read(k, 123456789, 123456789), "ESTALE");
    assert_string_equal(kernel_readdir(k, 123456789, 0), "ESTALE");
    assert_int_equal(kernel_release(k, FUSE_RELEASE, 123456789, 123456789), 0);
    kernel_forget(k, 123456789, 5);
    assert_int_equal(kernel_getattr(k, TID, ROOT, NULL), 0);
}

/* -- open = kernel ----------------------------------------------------------------------------- */

/* The kernel opens by itself: OPEN is not there, and a version lives until the kernel forgets it.
 */
static void test_open_by_the_kernel(void **state)
{
    struct kernel *k = *state;
    uint64_t old, new;

    k->mount = "open = kernel\n";
    backend_put(k, "s/db", "one");
    kernel_start(k, CONFIG_S "ttl = 10\n");
    old = kernel_ino(k, "s/db");
    assert_int_equal(kernel_open(k, TID, old, NULL), ENOSYS);
    assert_string_equal(kernel_read(k, old, 0), "one");
    backend_put(k, "s/db", "two");
    kernel_advance_ms(k, SECONDS(10));
    new = kernel_ino(k, "s/db");
    assert_true(new != old);
    assert_string_equal(kernel_read(k, old, 0), "one");
    assert_string_equal(kernel_read(k, new, 0), "two");
    kernel_forget(k, old, 100);
    assert_string_equal(kernel_read(k, old, 0), "ESTALE");
    assert_string_equal(kernel_read(k, new, 0), "two");
}

static void test_open_by_the_kernel_ttl_0(void **state)
{
    struct kernel *k = *state;

    k->mount = "open = kernel\n";
    kernel_start(k, CONFIG_S "ttl = 0\n");
    for (unsigned i = 0; i < 6; i++) {
        char value[16];

        (void)snprintf(value, sizeof(value), "%u", i / 2);
        backend_put(k, "s/db", value);
        assert_string_equal(kernel_read(k, kernel_ino(k, "s/db"), 0), value);
        assert_int_equal(backend_calls(k, "s", "fetch db"), i + 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KERNEL_TEST(test_guess_that_is_a_file),
        KERNEL_TEST(test_guess_that_is_a_directory),
        KERNEL_TEST(test_guess_that_others_settled),
        KERNEL_TEST(test_guess_that_is_nothing),
        KERNEL_TEST(test_pending),
        KERNEL_TEST(test_pending_that_fails),
        KERNEL_TEST(test_fstat_does_not_wait),
        KERNEL_TEST(test_superseded_before_its_open),
        KERNEL_TEST(test_superseded_twice),
        KERNEL_TEST(test_stat_without_a_name),
        KERNEL_TEST(test_superseded_without_a_name),
        KERNEL_TEST(test_fstat_without_a_name),
        KERNEL_TEST(test_own_version_is_open),
        KERNEL_TEST(test_open_waits_for_the_kernel),
        KERNEL_TEST(test_page_cache),
        KERNEL_TEST(test_nobody_writes),
        KERNEL_TEST(test_pieces),
        KERNEL_TEST(test_unknown_nodes),
        KERNEL_TEST(test_open_by_the_kernel),
        KERNEL_TEST(test_open_by_the_kernel_ttl_0),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
