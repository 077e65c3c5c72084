/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fixture_dir.c - the providers whose backend is a directory: file and the scriptable test
 * provider. The directory has a neighbour called `outside`, which nobody may ever read.
 */
#include "contract.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DIR_PATH_MAX = 4096 };

static void dir_path(const struct contract *c, const char *name, char path[DIR_PATH_MAX])
{
    assert_true(snprintf(path, DIR_PATH_MAX, "%s/root/%s", c->dir, name) < DIR_PATH_MAX);
}

static void dir_write(const char *path, const void *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    assert_int_equal(close(fd), 0);
}

/* As every good writer does: a new file, then a rename. */
static void dir_replace(struct contract *c, const char *name, const void *bytes, size_t size)
{
    char path[DIR_PATH_MAX], temporary[DIR_PATH_MAX];

    dir_path(c, name, path);
    dir_path(c, ".temporary", temporary);
    dir_write(temporary, bytes, size);
    assert_int_equal(rename(temporary, path), 0);
}

static void dir_put(struct contract *c, const char *name, const void *bytes, size_t size)
{
    char path[DIR_PATH_MAX];

    dir_path(c, name, path);
    if (bytes == NULL)
        assert_int_equal(unlink(path), 0);
    else
        dir_replace(c, name, bytes, size);
    if (strcmp(c->ops->name, "test") == 0) /* its watch is told */
        dir_replace(c, ".changed", name, strlen(name));
}

static void dir_put_seed(void *ctx, const char *name, const struct contract_seed *seed)
{
    dir_put(ctx, name, seed->bytes, seed->size);
}

static void dir_set_up(struct contract *c)
{
    char path[DIR_PATH_MAX];

    (void)snprintf(c->dir, sizeof(c->dir), "/tmp/hushfs-contract-XXXXXX");
    assert_non_null(mkdtemp(c->dir));
    dir_path(c, "", path);
    assert_int_equal(mkdir(path, 0700), 0);
    dir_path(c, "folder", path);
    assert_int_equal(mkdir(path, 0700), 0);
    dir_path(c, "../outside", path);
    dir_write(path, "outside", 7);
    contract_seeds(c->fixture, dir_put_seed, c);
    if (strcmp(c->ops->name, "test") == 0)
        dir_replace(c, ".watch", "", 0);
}

static void dir_configure(struct contract *c, struct hush_provider *provider)
{
    const char *option = strcmp(c->ops->name, "file") == 0 ? "root" : "dir";
    char path[DIR_PATH_MAX];

    dir_path(c, "", path);
    contract_set(provider, option, path);
}

static void dir_spoil(struct contract *c, struct hush_provider *provider, bool spoilt)
{
    char path[DIR_PATH_MAX];

    (void)provider;
    dir_path(c, ".open.error", path);
    if (spoilt)
        dir_write(path, "UNAVAILABLE", 11);
    else
        assert_int_equal(unlink(path), 0);
}

static int dir_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void dir_tear_down(struct contract *c)
{
    assert_int_equal(nftw(c->dir, dir_remove, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/* clang-format off */
#define DIR_FIXTURE(name, more, spoils)                                     \
    const struct contract_fixture contract_##name = {                       \
        .type = #name,                                                      \
        .flags = CONTRACT_NUL | CONTRACT_FOLDERS | (more),                  \
        .odd_name = "odd \x01\xff%#name\n",                                 \
        .set_up = dir_set_up,                                               \
        .configure = dir_configure,                                         \
        .tear_down = dir_tear_down,                                         \
        .spoil = (spoils),                                                  \
        .put = dir_put,                                                     \
    }
/* clang-format on */

DIR_FIXTURE(file, 0, NULL); /* a root that is not there yet is no failure */
DIR_FIXTURE(test, CONTRACT_POLLS, dir_spoil);
