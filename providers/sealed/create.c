/* SPDX-License-Identifier: Apache-2.0 */
/*
 * create.c - a new sealed store, and the key of one on the disk. The key comes first: a store
 * without one is worth nothing, a key without a store does no harm.
 */
#include "sealed/store_int.h"

#include "core/cleanup.h"
#include "core/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { CREATE_KEY_TEXT_MAX = 16 << 10, CREATE_KEY_JWE_MAX = 32 << 10 };

static enum hush_status create_fail(struct hush_op *op, const char *path)
{
    return hush_fail(op, errno == EACCES || errno == EPERM ? HUSH_DENIED : HUSH_BACKEND, "'%s': %m",
                     path);
}

/* -- The key ----------------------------------------------------------------------------------- */

static enum hush_status create_sync_parent(struct hush_op *op, const char *path)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');
    const size_t size = slash == path ? 1 : (size_t)(slash - path);
    cleanup_close int fd = -1;

    memcpy(parent, path, size);
    parent[size] = '\0';
    fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) != 0 ? create_fail(op, parent) : HUSH_OK;
}

static bool create_fill(int fd, const struct hush_text *text, const struct stat *like)
{
    if (like != NULL && geteuid() == 0 && fchown(fd, like->st_uid, like->st_gid) != 0)
        return false;
    return fchmod(fd, like == NULL ? 0400 : (like->st_mode & 0640)) == 0 &&
           hush_write_all(fd, text->bytes, text->size) && fsync(fd) == 0;
}

/* The key's text in a file of its own, on the disk. */
static bool create_write_text(const char *path, const struct hush_text *text,
                              const struct stat *like)
{
    bool good;
    int fd;

    if (unlink(path) != 0 && errno != ENOENT)
        return false;
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0400);
    if (fd < 0)
        return false;
    good = create_fill(fd, text, like);
    return close(fd) == 0 && good;
}

enum hush_status hush_sealed_write_key(struct hush_op *op, const char *path,
                                       const struct hush_jwk_set *keys, const struct stat *like)
{
    const unsigned flags = like == NULL ? RENAME_NOREPLACE : 0;
    char temporary[PATH_MAX + 8];
    struct hush_text text;
    enum hush_status status = HUSH_OK;

    (void)snprintf(temporary, sizeof(temporary), "%s.new", path); /* always fits */
    hush_text_init(&text, CREATE_KEY_TEXT_MAX);
    hush_jwk_write(keys, &text);
    if (text.failed)
        status = hush_fail(op, HUSH_NO_MEMORY, "no memory for a key");
    else if (!create_write_text(temporary, &text, like))
        status = create_fail(op, temporary);
    else if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, flags) != 0)
        status = create_fail(op, path);
    hush_text_done(&text);
    if (status == HUSH_OK)
        return create_sync_parent(op, path);
    (void)unlink(temporary); /* of no use, and a key */
    return status;
}

static enum hush_status create_wrap(struct hush_op *op, const struct hush_jwk_set *keys,
                                    const struct hush_jwk_set *passphrase, struct hush_text *out)
{
    const char *type =
        hush_jwk_count(keys) > 1 ? "{\"cty\":\"jwk-set+json\"}" : "{\"cty\":\"jwk+json\"}";
    struct hush_text text;
    enum hush_status status;

    hush_text_init(&text, CREATE_KEY_TEXT_MAX);
    hush_jwk_write(keys, &text);
    status = text.failed
                 ? hush_fail(op, HUSH_NO_MEMORY, "no memory for a key")
                 : hush_jwe_seal(op, passphrase, type, (const uint8_t *)text.bytes, text.size, out);
    hush_text_done(&text);
    return status;
}

enum hush_status hush_sealed_write_wrapped(const struct sealed_store *store, struct hush_op *op,
                                           const struct hush_jwk_set *keys,
                                           const struct hush_jwk_set *passphrase)
{
    struct hush_text file;
    enum hush_status status;

    hush_text_init(&file, CREATE_KEY_JWE_MAX);
    status = create_wrap(op, keys, passphrase, &file);
    if (status == HUSH_OK)
        status = hush_sealed_write(op, store->dir_fd, SEALED_TEMPORARY, &store->dir, file.bytes,
                                   file.size);
    if (status == HUSH_OK)
        status = hush_sealed_rename(op, store->dir_fd, SEALED_TEMPORARY, SEALED_KEY_FILE);
    hush_text_done(&file);
    return status;
}

/* -- The store --------------------------------------------------------------------------------- */

/* The directories above path, as mkdir -p makes them. */
static enum hush_status create_parents(struct hush_op *op, const char *path)
{
    char part[PATH_MAX];

    for (const char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        memcpy(part, path, (size_t)(slash - path));
        part[slash - path] = '\0';
        if (mkdir(part, 0755) != 0 && errno != EEXIST)
            return create_fail(op, part);
    }
    return HUSH_OK;
}

/* What an interrupted init leaves is nothing. */
static bool create_is_leftover(const char *name)
{
    static const char *const names[] = {".", "..", SEALED_LOCK_FILE, SEALED_TEMPORARY,
                                        SEALED_KEY_FILE};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static bool create_is_empty(int dir_fd)
{
    const int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    bool empty = true;

    if (dir == NULL) {
        if (fd >= 0)
            (void)close(fd); /* was read only */
        return false;
    }
    /* cppcheck-suppress readdirCalled ; one thread has this stream */
    while ((entry = readdir(dir)) != NULL)
        empty = empty && create_is_leftover(entry->d_name);
    (void)closedir(dir); /* was read only */
    return empty;
}

static enum hush_status create_dir(struct hush_op *op, const struct sealed_create *how,
                                   struct sealed_store *store)
{
    const char *path = store->source.store;
    enum hush_status status = create_parents(op, path);

    if (status != HUSH_OK)
        return status;
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return create_fail(op, path);
    store->dir_fd = hush_sealed_open_store(op, path, &status);
    if (store->dir_fd < 0)
        return status;
    if (!create_is_empty(store->dir_fd))
        return hush_fail(op, HUSH_UNSUPPORTED, "'%s' is there already, and not empty", path);
    if (how->owner != (uid_t)-1 && fchown(store->dir_fd, how->owner, how->group) != 0)
        return create_fail(op, path);
    if (fchmod(store->dir_fd, 0700) != 0 || fstat(store->dir_fd, &store->dir) != 0)
        return create_fail(op, path);
    return create_sync_parent(op, path);
}

static enum hush_status create_use_key(struct hush_op *op, struct sealed_store *store)
{
    struct sealed_keys keys;
    enum hush_status status;

    hush_sealed_keys_init(&keys, &store->source);
    status = hush_sealed_keys_get(op, &keys, &store->keys, NULL);
    hush_sealed_keys_done(&keys);
    return status;
}

/* A new key file is given to the store's owner. */
static enum hush_status create_key_file(struct hush_op *op, const struct sealed_create *how,
                                        const struct sealed_store *store, const char *path)
{
    enum hush_status status = create_parents(op, path);

    if (status == HUSH_OK)
        status = hush_sealed_write_key(op, path, store->keys, NULL);
    if (status == HUSH_OK && how->owner != (uid_t)-1 && chown(path, how->owner, how->group) != 0)
        status = create_fail(op, path);
    return status;
}

/* passphrase: NULL, or what the key is sealed with. */
static enum hush_status create_key(struct hush_op *op, const struct sealed_create *how,
                                   struct sealed_store *store,
                                   const struct hush_jwk_set *passphrase)
{
    const struct sealed_source *source = &store->source;
    const char *path = source->key_file == NULL ? SEALED_KEY_DEFAULT : source->key_file;
    enum hush_status status;

    if (how->use_key)
        return create_use_key(op, store);
    status = hush_jwk_generate(op, &store->keys);
    if (status != HUSH_OK)
        return status;
    if (passphrase != NULL)
        return hush_sealed_write_wrapped(store, op, store->keys, passphrase);
    return create_key_file(op, how, store, path);
}

/* Before anything is made. *passphrase is set if there is one. */
static enum hush_status create_check_key(struct hush_op *op, const struct sealed_create *how,
                                         const struct sealed_source *source,
                                         struct hush_jwk_set **passphrase)
{
    const char *path = source->key_file == NULL ? SEALED_KEY_DEFAULT : source->key_file;

    if (source->passphrase_file != NULL)
        return how->use_key ? hush_fail(op, HUSH_CONFIG, "a passphrase makes its own key")
                            : hush_sealed_passphrase(op, source, SEALED_PASSPHRASE_MIN, passphrase);
    if (path[0] != '/')
        return hush_fail(op, HUSH_CONFIG,
                         "the key's file is the name of a credential: a key is made by its whole "
                         "path");
    if (strlen(path) >= PATH_MAX)
        return hush_fail(op, HUSH_CONFIG, "the path of the key is too long");
    if (!how->use_key && faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return hush_fail(op, HUSH_UNSUPPORTED,
                         "there is a key '%s' already (--existing-key uses it)", path);
    return HUSH_OK;
}

static enum hush_status create_index(struct hush_op *op, struct sealed_store *store, uint32_t keep)
{
    bool replaced;
    enum hush_status status =
        hush_sealed_write(op, store->dir_fd, SEALED_LOCK_FILE, &store->dir, "", 0);

    if (status != HUSH_OK)
        return status;
    store->index = hush_sealed_index_new(keep);
    if (store->index == NULL)
        return hush_fail(op, HUSH_NO_MEMORY, "no memory for an index");
    return hush_sealed_write_index(store, op, true, &replaced);
}

enum hush_status hush_sealed_create(struct hush_op *op, const struct sealed_source *source,
                                    const struct sealed_create *how)
{
    struct sealed_store *store = calloc(1, sizeof(*store));
    struct hush_jwk_set *passphrase = NULL;
    enum hush_status status;

    if (store == NULL)
        return hush_fail(op, HUSH_NO_MEMORY, "no memory for a store");
    store->source = *source;
    store->dir_fd = store->lock_fd = -1;
    status = create_check_key(op, how, source, &passphrase);
    if (status == HUSH_OK)
        status = create_dir(op, how, store);
    if (status == HUSH_OK)
        status = create_key(op, how, store, passphrase);
    if (status == HUSH_OK)
        status = create_index(op, store, how->keep);
    hush_jwk_free(passphrase);
    hush_sealed_store_close(store);
    return status;
}
