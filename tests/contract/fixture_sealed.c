/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fixture_sealed.c - a sealed store in a directory of its own, written as `hushfs store` does.
 */
#include "contract.h"
#include "sealed/store.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct sealed_paths {
    char store[96], key[96];
    struct sealed_source source;
};

static void sealed_paths(const struct contract *c, struct sealed_paths *paths)
{
    (void)snprintf(paths->store, sizeof(paths->store), "%s/store", c->dir);
    (void)snprintf(paths->key, sizeof(paths->key), "%s/key", c->dir);
    paths->source = (struct sealed_source){.store = paths->store, .key_file = paths->key};
}

static void sealed_op(struct contract *c, struct hush_op *op)
{
    hush_op_init(op, c->arena, CONTRACT_OP_MS);
    op->secret_max = CONTRACT_LARGE + 1;
}

static void sealed_put(struct contract *c, const char *name, const void *bytes, size_t size)
{
    struct sealed_paths paths = {0};
    struct sealed_store *store = NULL;
    struct hush_op op;

    sealed_paths(c, &paths);
    sealed_op(c, &op);
    assert_int_equal(hush_sealed_store_open(&op, &paths.source, &store), HUSH_OK);
    if (bytes == NULL)
        assert_int_equal(hush_sealed_store_stage_removal(store, &op, name), HUSH_OK);
    else
        assert_int_equal(hush_sealed_store_stage(store, &op, name, bytes, size), HUSH_OK);
    assert_int_equal(hush_sealed_store_commit(store, &op), HUSH_OK);
    hush_sealed_store_close(store);
}

static void sealed_put_seed(void *ctx, const char *name, const struct contract_seed *seed)
{
    sealed_put(ctx, name, seed->bytes, seed->size);
}

static void sealed_set_up(struct contract *c)
{
    const struct sealed_create how = {.keep = 3, .owner = (uid_t)-1, .group = (gid_t)-1};
    struct sealed_paths paths = {0};
    struct hush_op op;

    (void)snprintf(c->dir, sizeof(c->dir), "/tmp/hushfs-contract-XXXXXX");
    assert_non_null(mkdtemp(c->dir));
    sealed_paths(c, &paths);
    sealed_op(c, &op);
    assert_int_equal(hush_sealed_create(&op, &paths.source, &how), HUSH_OK);
    contract_seeds(c->fixture, sealed_put_seed, c);
}

static void sealed_configure(struct contract *c, struct hush_provider *provider)
{
    struct sealed_paths paths = {0};

    sealed_paths(c, &paths);
    contract_set(provider, "store", paths.store);
    contract_set(provider, "key_file", paths.key);
}

static void sealed_spoil(struct contract *c, struct hush_provider *provider, bool spoilt)
{
    (void)c;
    contract_set(provider, "passphrase_file", spoilt ? "/nowhere" : "");
}

static int sealed_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void sealed_tear_down(struct contract *c)
{
    assert_int_equal(nftw(c->dir, sealed_remove, 8, FTW_DEPTH | FTW_PHYS), 0);
}

const struct contract_fixture contract_sealed = {
    .type = "sealed",
    .flags = CONTRACT_NUL | CONTRACT_FOLDERS,
    .odd_name = "odd \x01\xff%#name\n",
    .set_up = sealed_set_up,
    .configure = sealed_configure,
    .tear_down = sealed_tear_down,
    .spoil = sealed_spoil,
    .put = sealed_put,
};
