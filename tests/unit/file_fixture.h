/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_fixture.h - a directory BASE/root with a file provider over it and a file BASE/outside that
 * it must never read; for test_file.c and test_file_watch.c.
 */
#ifndef HUSH_FILE_FIXTURE_H
#define HUSH_FILE_FIXTURE_H

#include "call.h"
#include "core/arena.h"
#include "core/clock.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

enum { PATH_SIZE = 512, NAMES_SIZE = 1024, OP_MS = 5000, FIXTURE_ARENA = 4 << 20 };

struct fixture {
    struct hush_arena *arena;
    struct hush_provider *provider;
    char base[64], outside[PATH_SIZE];
};

static const struct hush_provider_ops *file_ops;

static inline void sleep_ms(long ms)
{
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    (void)nanosleep(&time, NULL);
}

/* -- The directory ----------------------------------------------------------------------------- */

static inline void full_path(const struct fixture *f, const char *name, char path[PATH_SIZE])
{
    (void)snprintf(path, PATH_SIZE, "%s/root/%s", f->base, name);
}

/* In place: the inode stays. For threads, where cmocka's asserts do not work. */
static inline bool make_file_quietly(const struct fixture *f, const char *name, const char *text)
{
    char path[PATH_SIZE];
    bool done;
    int fd;

    full_path(f, name, path);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    return close(fd) == 0 && done;
}

static inline bool rename_quietly(const struct fixture *f, const char *from, const char *to)
{
    char from_path[PATH_SIZE], to_path[PATH_SIZE];

    full_path(f, from, from_path);
    full_path(f, to, to_path);
    return rename(from_path, to_path) == 0;
}

static inline void make_file(const struct fixture *f, const char *name, const char *text)
{
    assert_true(make_file_quietly(f, name, text));
}

static inline void rename_to(const struct fixture *f, const char *from, const char *to)
{
    assert_true(rename_quietly(f, from, to));
}

static inline void make_dir(const struct fixture *f, const char *name)
{
    char path[PATH_SIZE];

    full_path(f, name, path);
    assert_int_equal(mkdir(path, 0755), 0);
}

static inline void make_link(const struct fixture *f, const char *target, const char *name)
{
    char path[PATH_SIZE];

    full_path(f, name, path);
    assert_int_equal(symlink(target, path), 0);
}

static inline int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void remove_tree(const char *path)
{
    assert_int_equal(nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/* -- The provider ------------------------------------------------------------------------------ */

static inline void set_root(struct fixture *f, const char *root)
{
    char error[160];

    assert_true(
        hush_option_set(hush_option_find(file_ops->options, "root"), f->provider, root, error));
}

static inline int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    char root[PATH_SIZE];
    struct hush_op op;

    assert_non_null(f);
    file_ops = hush_provider_find("file");
    (void)snprintf(f->base, sizeof(f->base), "/tmp/hushfs-file-XXXXXX");
    assert_non_null(mkdtemp(f->base));
    (void)snprintf(root, sizeof(root), "%s/root", f->base);
    assert_int_equal(mkdir(root, 0755), 0);
    (void)snprintf(f->outside, sizeof(f->outside), "%s/outside", f->base);
    make_file(f, "../outside", "never");
    f->arena = hush_arena_new(FIXTURE_ARENA);
    assert_non_null(f->arena);
    f->provider = hush_provider_new(file_ops, "test", NULL);
    assert_non_null(f->provider);
    set_root(f, root);
    hush_op_init(&op, f->arena, OP_MS);
    assert_int_equal(hush_provider_open(f->provider, &op), HUSH_OK);
    *state = f;
    return 0;
}

static inline int tear_down(void **state)
{
    struct fixture *f = *state;

    hush_provider_free(f->provider);
    hush_arena_free(f->arena);
    remove_tree(f->base);
    free(f);
    return 0;
}

static inline enum hush_status fetch(struct fixture *f, const char *name, struct hush_value *out)
{
    const struct hush_ref ref = {.path = name};
    const struct hush_version none = {""};
    struct hush_op op;

    hush_op_init(&op, f->arena, OP_MS);
    return file_ops->fetch(f->provider, &op, &ref, &none, out);
}

static inline void expect_bytes(struct fixture *f, const char *name, const char *text)
{
    struct hush_value value = {0};

    assert_int_equal(fetch(f, name, &value), HUSH_OK);
    assert_int_equal(hush_secret_size(value.secret), strlen(text));
    assert_memory_equal(hush_secret_bytes(value.secret), text, strlen(text));
    hush_value_clear(&value);
}

static inline void expect_fails(struct fixture *f, const char *name, enum hush_status status,
                                const char *reason)
{
    const struct hush_ref ref = {.path = name};
    const struct hush_version none = {""};
    struct hush_value value = {0};
    struct hush_op op;

    hush_op_init(&op, f->arena, OP_MS);
    assert_int_equal(file_ops->fetch(f->provider, &op, &ref, &none, &value), status);
    assert_null(value.secret);
    if (strstr(op.detail, reason) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", op.detail, reason);
}

/* Sorted, each followed by a space; folders end with '/'. */
static inline enum hush_status collect_name(void *ctx, const struct hush_entry *entry)
{
    char *names = ctx, one[NAMES_SIZE], *at = names;
    int size = snprintf(one, sizeof(one), "%s%s ", entry->name,
                        entry->kind == HUSH_KIND_FOLDER ? "/" : "");

    while (*at != '\0' && strcmp(at, one) < 0)
        at += strcspn(at, " ") + 1;
    memmove(at + size, at, strlen(at) + 1);
    memcpy(at, one, (size_t)size);
    return HUSH_OK;
}

static inline void expect_names(struct fixture *f, const char *prefix, const char *expected)
{
    char names[NAMES_SIZE] = "";
    struct hush_op op;

    hush_op_init(&op, f->arena, OP_MS);
    assert_int_equal(file_ops->list(f->provider, &op, prefix, collect_name, names), HUSH_OK);
    assert_string_equal(names, expected);
}

static inline void expect_list_fails(struct fixture *f, const char *prefix, enum hush_status status,
                                     const char *reason)
{
    char names[NAMES_SIZE] = "";
    struct hush_op op;

    hush_op_init(&op, f->arena, OP_MS);
    assert_int_equal(file_ops->list(f->provider, &op, prefix, collect_name, names), status);
    if (strstr(op.detail, reason) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", op.detail, reason);
}

#endif
