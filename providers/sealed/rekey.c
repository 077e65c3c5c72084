/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rekey.c - see store.h. The key file itself is the journal: as long as it is a set, its first key
 * is the new one.
 */
#include "sealed/store_int.h"

#include "sealed/name.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What of a message fits beside the way out. */
enum { REKEY_WHY_MAX = 80, REKEY_SHOWN_MAX = 48 };

struct rekey {
    struct sealed_store *store;
    struct hush_op *op;
    const struct sealed_rekey *how;
    struct hush_jwk_set *old, *new; /* passphrases, of a store with one */
    size_t done, all;
};

typedef enum hush_status rekey_fn(struct rekey *rekey, const char *name,
                                  const struct sealed_version *version);

static void rekey_progress(struct rekey *rekey)
{
    rekey->done++;
    if (rekey->how->progress != NULL)
        rekey->how->progress(rekey->how->ctx, rekey->done, rekey->all);
}

static enum hush_status rekey_each(struct rekey *rekey, rekey_fn *fn)
{
    const struct sealed_index *index = rekey->store->index;
    enum hush_status status = HUSH_OK;

    for (size_t i = 0; i < index->count; i++) {
        const struct sealed_secret *secret = &index->secrets[i];
        for (size_t v = 0; v < secret->count && status == HUSH_OK; v++) {
            status = hush_sealed_check_op(rekey->op);
            if (status == HUSH_OK)
                status = fn(rekey, secret->name, &secret->versions[v]);
        }
    }
    return status;
}

/* Say what to do about a file that does not open; the reason is in op already. */
static enum hush_status rekey_way_out(const struct rekey *rekey, enum hush_status status,
                                      const char *name, const struct sealed_version *version)
{
    const struct sealed_secret *secret = hush_sealed_index_find(rekey->store->index, name);
    const char *shown = strlen(name) <= REKEY_SHOWN_MAX ? name : "NAME";
    const char *first = "";
    char why[HUSH_DETAIL_MAX];

    memcpy(why, rekey->op->detail, sizeof(why));
    if (secret != NULL && version->number == secret->current) /* which `rm` does not remove */
        first = "put a new value and then ";
    return hush_fail(rekey->op, status,
                     "%.*s: take it from a backup, or %sremove it: hushfs store rm '%s#%" PRIu64
                     "' (nothing was changed)",
                     REKEY_WHY_MAX, why, first, shown, version->number);
}

static enum hush_status rekey_check(struct rekey *rekey, const char *name,
                                    const struct sealed_version *version)
{
    struct hush_secret *value = NULL;
    const enum hush_status status = hush_sealed_load_version(
        rekey->op, &(struct sealed_access){rekey->store->dir_fd, rekey->store->keys}, name, version,
        &value, NULL);

    hush_secret_unref(value);
    rekey->all++;
    return status == HUSH_PROTOCOL || status == HUSH_TOO_LARGE
               ? rekey_way_out(rekey, status, name, version)
               : status;
}

/* Replace one file, under whichever of its two names it is there. */
static enum hush_status rekey_replace(const struct rekey *rekey, const char *name,
                                      const struct sealed_version *version,
                                      const struct hush_secret *value)
{
    const struct sealed_store *store = rekey->store;
    struct sealed_version sealed = *version;
    char path[SEALED_PATH_MAX];
    enum hush_status status;

    hush_sealed_version_path(name, version->number, false, path);
    if (faccessat(store->dir_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
        hush_sealed_version_path(name, version->number, true, path);
    sealed.size = hush_secret_size(value);
    status = hush_sealed_write_version(store, rekey->op, name, &sealed, hush_secret_bytes(value),
                                       SEALED_TEMPORARY);
    if (status != HUSH_OK)
        return status;
    if (renameat(store->dir_fd, SEALED_TEMPORARY, store->dir_fd, path) != 0)
        return hush_fail(rekey->op, HUSH_BACKEND, "rename to '%s': %m", path);
    hush_sealed_name_path(name, path);
    return hush_sealed_sync_dir(rekey->op, store->dir_fd, path);
}

static enum hush_status rekey_version(struct rekey *rekey, const char *name,
                                      const struct sealed_version *version)
{
    struct hush_secret *value = NULL;
    size_t which = 0;
    enum hush_status status = hush_sealed_load_version(
        rekey->op, &(struct sealed_access){rekey->store->dir_fd, rekey->store->keys}, name, version,
        &value, &which);

    if (status == HUSH_OK && which != 0)
        status = rekey_replace(rekey, name, version, value);
    hush_secret_unref(value);
    if (status == HUSH_OK)
        rekey_progress(rekey);
    return status;
}

/* Before anything is written, so that a refusal changes nothing. The old one may be short: this is
 * how to get rid of it. */
static enum hush_status rekey_passphrases(struct rekey *rekey)
{
    struct sealed_source source = rekey->store->source;
    enum hush_status status;

    if (source.passphrase_file == NULL)
        return HUSH_OK;
    status = hush_sealed_passphrase(rekey->op, &source, 0, &rekey->old);
    if (rekey->how->passphrase_file != NULL)
        source.passphrase_file = rekey->how->passphrase_file;
    return status != HUSH_OK
               ? status
               : hush_sealed_passphrase(rekey->op, &source, SEALED_PASSPHRASE_MIN, &rekey->new);
}

/* Put keys where the store's key is, sealed with passphrase if the store has one. */
static enum hush_status rekey_write_key(const struct rekey *rekey, const struct hush_jwk_set *keys,
                                        const struct hush_jwk_set *passphrase)
{
    const struct sealed_source *source = &rekey->store->source;
    const char *path = source->key_file == NULL ? SEALED_KEY_DEFAULT : source->key_file;
    struct stat st;

    if (passphrase != NULL)
        return hush_sealed_write_wrapped(rekey->store, rekey->op, keys, passphrase);
    if (path[0] != '/')
        return hush_fail(rekey->op, HUSH_CONFIG,
                         "the key is a credential, which only systemd replaces: copy it to a file, "
                         "rekey with that, and replace the credential");
    if (stat(path, &st) != 0)
        return hush_fail(rekey->op, HUSH_BACKEND, "'%s': %m", path);
    return hush_sealed_write_key(rekey->op, path, keys, &st);
}

/* Everything opens; then the new key is in the key file, first, and in the store's hands. */
static enum hush_status rekey_begin(struct rekey *rekey)
{
    struct hush_jwk_set *new_key = NULL, *both = NULL;
    enum hush_status status = hush_jwk_generate(rekey->op, &new_key);

    if (status == HUSH_OK)
        status = hush_jwk_join(rekey->op, new_key, rekey->store->keys, &both);
    if (status == HUSH_OK)
        status = rekey_write_key(rekey, both, rekey->old);
    hush_jwk_free(new_key);
    if (status != HUSH_OK) {
        hush_jwk_free(both);
        return status;
    }
    hush_jwk_free(rekey->store->keys);
    rekey->store->keys = both;
    return HUSH_OK;
}

static enum hush_status rekey_end(const struct rekey *rekey)
{
    struct hush_jwk_set *only = NULL;
    bool replaced;
    enum hush_status status = hush_sealed_write_index(rekey->store, rekey->op, true, &replaced);

    if (status == HUSH_OK)
        status = hush_jwk_join(rekey->op, rekey->store->keys, NULL, &only);
    if (status == HUSH_OK)
        status = rekey_write_key(rekey, only, rekey->new);
    hush_jwk_free(only);
    return status;
}

enum hush_status hush_sealed_rekey(struct sealed_store *store, struct hush_op *op,
                                   const struct sealed_rekey *how, bool *resumed)
{
    struct rekey rekey = {.store = store, .op = op, .how = how};
    const bool set = hush_jwk_count(store->keys) > 1;
    enum hush_status status = rekey_passphrases(&rekey);

    if (status == HUSH_OK)
        status = rekey_each(&rekey, rekey_check);
    if (status == HUSH_OK && !set)
        status = rekey_begin(&rekey);
    if (status == HUSH_OK)
        status = rekey_each(&rekey, rekey_version);
    if (status == HUSH_OK)
        status = rekey_end(&rekey);
    hush_jwk_free(rekey.old);
    hush_jwk_free(rekey.new);
    if (status == HUSH_OK)
        *resumed = set;
    return status;
}
