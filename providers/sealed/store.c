/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.c - see store.h. The order of the calls here is what makes it hold: a file is on the disk
 * before anything names it, and gone only after nothing does.
 */
#include "sealed/store_int.h"

#include "sealed/name.h"

#include "core/cleanup.h"
#include "core/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum {
    STORE_LOCK_PAUSE_MS = 20,
    STORE_HEADER_MAX = 64 << 10,
    STORE_FILE_MAX = SEALED_INDEX_MAX / 3 * 4 + STORE_HEADER_MAX,
};

static enum hush_status store_no_memory(struct hush_op *op)
{
    return hush_fail(op, HUSH_NO_MEMORY, "no memory for the store");
}

/* -- Open and close ---------------------------------------------------------------------------- */

static enum hush_status store_lock(struct sealed_store *store, struct hush_op *op)
{
    static const struct timespec pause = {.tv_nsec = (long)STORE_LOCK_PAUSE_MS * HUSH_NS_PER_MS};

    store->lock_fd = hush_sealed_open_at(store->dir_fd, SEALED_LOCK_FILE, O_RDWR | O_CREAT, 0600);
    if (store->lock_fd < 0)
        return hush_fail(op, hush_status_from_errno(errno), "'%s/%s': %m", store->source.store,
                         SEALED_LOCK_FILE);
    while (flock(store->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return hush_fail(op, HUSH_BACKEND, "lock '%s/%s': %m", store->source.store,
                             SEALED_LOCK_FILE);
        if (hush_sealed_check_op(op) != HUSH_OK)
            return hush_fail(op, HUSH_TIMEOUT, "another writer keeps the store locked");
        (void)nanosleep(&pause, NULL); /* a signal makes it shorter, which is fine */
    }
    return HUSH_OK;
}

static enum hush_status store_load(struct sealed_store *store, struct hush_op *op)
{
    struct sealed_keys keys;
    struct sealed_file file = {0};
    enum hush_status status;

    hush_sealed_keys_init(&keys, &store->source);
    status = hush_sealed_keys_get(op, &keys, &store->keys, NULL);
    hush_sealed_keys_done(&keys);
    if (status == HUSH_OK)
        status = hush_sealed_load_index(op, &(struct sealed_access){store->dir_fd, store->keys},
                                        &store->index, &file);
    hush_sealed_file_done(&file);
    if (status == HUSH_OK)
        store->keep = store->index->keep;
    return status;
}

enum hush_status hush_sealed_store_open(struct hush_op *op, const struct sealed_source *source,
                                        struct sealed_store **out)
{
    struct sealed_store *store = calloc(1, sizeof(*store));
    enum hush_status status = HUSH_OK;

    if (store == NULL)
        return store_no_memory(op);
    store->source = *source;
    store->lock_fd = -1;
    store->dir_fd = hush_sealed_open_store(op, source->store, &status);
    if (status == HUSH_OK && fstat(store->dir_fd, &store->dir) != 0)
        status = hush_fail(op, HUSH_BACKEND, "store '%s': %m", source->store);
    if (status == HUSH_OK)
        status = store_lock(store, op);
    if (status == HUSH_OK)
        status = store_load(store, op);
    if (status == HUSH_OK)
        *out = store;
    else
        hush_sealed_store_close(store);
    return status;
}

/* rmdir(2) upwards, as long as they are empty. */
static void store_remove_dirs(const struct sealed_store *store, const char *name)
{
    char path[SEALED_PATH_MAX];
    char *slash;

    hush_sealed_name_path(name, path);
    while (unlinkat(store->dir_fd, path, AT_REMOVEDIR) == 0 && (slash = strrchr(path, '/')) != NULL)
        *slash = '\0';
}

/* What was staged and not committed. */
static void store_forget(struct sealed_store *store, bool unlink_files)
{
    for (size_t i = 0; i < store->staged_count; i++) {
        char path[SEALED_PATH_MAX];
        if (unlink_files) {
            hush_sealed_version_path(store->staged[i].name, store->staged[i].number, true, path);
            (void)unlinkat(store->dir_fd, path, 0); /* nothing names it */
            store_remove_dirs(store, store->staged[i].name);
        }
        free(store->staged[i].name);
    }
    free(store->staged);
    store->staged = NULL;
    store->staged_count = 0;
}

void hush_sealed_store_close(struct sealed_store *store)
{
    if (store == NULL)
        return;
    store_forget(store, true);
    hush_jwk_free(store->keys);
    hush_sealed_index_unref(store->index);
    if (store->lock_fd >= 0)
        (void)close(store->lock_fd); /* and unlock */
    if (store->dir_fd >= 0)
        (void)close(store->dir_fd); /* was read only */
    free(store);
}

const struct sealed_index *hush_sealed_store_index(const struct sealed_store *store)
{
    return store->index;
}

void hush_sealed_store_keep(struct sealed_store *store, uint32_t keep)
{
    store->keep = keep;
}

/* -- Files ------------------------------------------------------------------------------------- */

enum hush_status hush_sealed_write_version(const struct sealed_store *store, struct hush_op *op,
                                           const char *name, const struct sealed_version *version,
                                           const uint8_t *bytes, const char *path)
{
    char name_text[SEALED_TEXT_MAX + 1];
    struct hush_text header, file;
    enum hush_status status;

    hush_sealed_name_text(name, name_text);
    hush_text_init(&header, STORE_HEADER_MAX);
    hush_text_init(&file, STORE_FILE_MAX);
    hush_json_open(&header, NULL, '{');
    hush_json_open(&header, "hushfs", '{');
    hush_json_string(&header, "name", name_text);
    hush_json_u64(&header, "version", version->number);
    hush_json_string(&header, "id", version->id);
    hush_json_u64(&header, "created", (uint64_t)version->created);
    if (version->removed)
        hush_json_bool(&header, "removed", true);
    hush_json_close(&header, '}');
    hush_json_close(&header, '}');
    status = header.failed ? store_no_memory(op)
                           : hush_jwe_seal(op, store->keys, hush_text_string(&header), bytes,
                                           version->size, &file);
    if (status == HUSH_OK)
        status = hush_sealed_write(op, store->dir_fd, path, &store->dir, file.bytes, file.size);
    hush_text_done(&header);
    hush_text_done(&file);
    return status;
}

static enum hush_status store_seal_index(const struct sealed_store *store, struct hush_op *op,
                                         struct hush_text *file)
{
    struct hush_text header, text;
    enum hush_status status;

    hush_text_init(&header, STORE_HEADER_MAX);
    hush_text_init(&text, SEALED_INDEX_MAX);
    hush_json_open(&header, NULL, '{');
    hush_json_open(&header, "hushfs", '{');
    hush_json_string(&header, "index", store->index->store);
    hush_json_u64(&header, "generation", store->index->generation);
    hush_json_close(&header, '}');
    hush_json_close(&header, '}');
    hush_sealed_index_write(store->index, &text);
    if (header.failed || text.failed)
        status = hush_fail(op, HUSH_TOO_LARGE, "the index is too large, or there is no memory");
    else
        status = hush_jwe_seal(op, store->keys, hush_text_string(&header),
                               (const uint8_t *)hush_text_string(&text), text.size, file);
    hush_text_done(&header);
    hush_text_done(&text);
    return status;
}

static enum hush_status store_write_copy(const struct sealed_store *store, struct hush_op *op,
                                         const struct hush_text *file, bool strict)
{
    enum hush_status status = hush_sealed_write(op, store->dir_fd, SEALED_TEMPORARY, &store->dir,
                                                file->bytes, file->size);

    if (status == HUSH_OK)
        status = hush_sealed_rename(op, store->dir_fd, SEALED_TEMPORARY, SEALED_COPY_FILE);
    if (status == HUSH_OK || strict)
        return status;
    (void)unlinkat(store->dir_fd, SEALED_COPY_FILE, 0); /* an old one is worse than none */
    op->detail[0] = '\0';
    return HUSH_OK;
}

enum hush_status hush_sealed_write_index(struct sealed_store *store, struct hush_op *op,
                                         bool strict, bool *replaced)
{
    struct hush_text file;
    enum hush_status status;

    store->index->generation++;
    hush_text_init(&file, STORE_FILE_MAX);
    status = store_seal_index(store, op, &file);
    if (status == HUSH_OK)
        status = hush_sealed_write(op, store->dir_fd, SEALED_TEMPORARY, &store->dir, file.bytes,
                                   file.size);
    if (status == HUSH_OK &&
        renameat(store->dir_fd, SEALED_TEMPORARY, store->dir_fd, SEALED_INDEX_FILE) != 0)
        status = hush_fail(op, HUSH_BACKEND, "rename to '%s': %m", SEALED_INDEX_FILE);
    *replaced = status == HUSH_OK;
    if (status == HUSH_OK)
        status = hush_sealed_sync_dir(op, store->dir_fd, "");
    if (status == HUSH_OK)
        status = store_write_copy(store, op, &file, strict);
    hush_text_done(&file);
    return status;
}

/* -- Staging and committing -------------------------------------------------------------------- */

/* A pending file that the index names gets its name. Where that fails readers find it all the same.
 */
static void store_finish(const struct sealed_store *store, struct hush_op *op, const char *name,
                         uint64_t number)
{
    char from[SEALED_PATH_MAX], to[SEALED_PATH_MAX];

    hush_sealed_version_path(name, number, true, from);
    hush_sealed_version_path(name, number, false, to);
    if (hush_sealed_rename(op, store->dir_fd, from, to) != HUSH_OK)
        op->detail[0] = '\0';
}

/* What a writer that died after its commit left to do. */
static void store_finish_other(const struct sealed_store *store, struct hush_op *op,
                               const struct sealed_secret *secret)
{
    char path[SEALED_PATH_MAX];

    hush_sealed_version_path(secret->name, secret->current, false, path);
    if (faccessat(store->dir_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
        store_finish(store, op, secret->name, secret->current);
}

static bool store_is_staged(const struct sealed_store *store, const char *name)
{
    for (size_t i = 0; i < store->staged_count; i++)
        if (strcmp(store->staged[i].name, name) == 0)
            return true;
    return false;
}

static bool store_note(struct sealed_store *store, const char *name, uint64_t number)
{
    struct sealed_staged *staged =
        realloc(store->staged, (store->staged_count + 1) * sizeof(*staged));
    char *copy = strdup(name);

    if (staged != NULL)
        store->staged = staged;
    if (staged == NULL || copy == NULL) {
        free(copy);
        return false;
    }
    staged[store->staged_count++] = (struct sealed_staged){.name = copy, .number = number};
    return true;
}

static enum hush_status store_write_pending(struct sealed_store *store, struct hush_op *op,
                                            const char *name, const struct sealed_version *version,
                                            const uint8_t *bytes)
{
    char path[SEALED_PATH_MAX];
    enum hush_status status;

    hush_sealed_name_path(name, path);
    status = hush_sealed_make_dirs(op, store->dir_fd, path, &store->dir);
    if (status != HUSH_OK)
        return status;
    hush_sealed_version_path(name, version->number, true, path);
    status = hush_sealed_write_version(store, op, name, version, bytes, path);
    if (status != HUSH_OK)
        return status;
    hush_sealed_name_path(name, path);
    return hush_sealed_sync_dir(op, store->dir_fd, path);
}

static enum hush_status store_stage(struct sealed_store *store, struct hush_op *op,
                                    const char *name, const uint8_t *bytes,
                                    const struct sealed_version *version)
{
    const struct sealed_secret *secret = hush_sealed_index_find(store->index, name);
    const char *fault = hush_sealed_name_fault(name);
    const struct sealed_version *added = NULL;

    if (fault != NULL)
        return hush_fail(op, HUSH_UNSUPPORTED, "'%.100s' cannot be a secret's name: %s", name,
                         fault);
    if (store_is_staged(store, name))
        return hush_fail(op, HUSH_UNSUPPORTED, "'%s' comes twice", name);
    if (secret != NULL) {
        const enum hush_status status = hush_sealed_check_newer(
            op, &(struct sealed_access){store->dir_fd, store->keys}, secret);
        if (status != HUSH_OK)
            return status;
        store_finish_other(store, op, secret);
    }
    if (!hush_sealed_index_add(store->index, name, version, store->keep, &added) ||
        !store_note(store, name, added->number))
        return store_no_memory(op);
    return store_write_pending(store, op, name, added, bytes);
}

enum hush_status hush_sealed_store_stage(struct sealed_store *store, struct hush_op *op,
                                         const char *name, const uint8_t *bytes, size_t size)
{
    const struct sealed_version version = {.size = size, .created = hush_wall_s()};

    return store_stage(store, op, name, bytes, &version);
}

enum hush_status hush_sealed_store_stage_removal(struct sealed_store *store, struct hush_op *op,
                                                 const char *name)
{
    const struct sealed_version version = {.removed = true, .created = hush_wall_s()};
    const struct sealed_secret *secret = hush_sealed_index_find(store->index, name);

    if (secret == NULL || !hush_sealed_is_live(secret))
        return hush_fail(op, HUSH_NOT_FOUND, "the store has no secret '%s'", name);
    return store_stage(store, op, name, (const uint8_t *)"", &version);
}

/* The number in "12.jwe" or ".12.jwe". 0: another name. */
static uint64_t store_file_number(const char *file)
{
    char digits[24];
    const char *begin = file[0] == '.' ? file + 1 : file;
    const size_t size = strspn(begin, "0123456789");
    uint64_t number;

    if (size == 0 || size >= sizeof(digits) || strcmp(begin + size, ".jwe") != 0)
        return 0;
    memcpy(digits, begin, size);
    digits[size] = '\0';
    return hush_parse_u64(digits, UINT64_MAX, &number) ? number : 0;
}

/* Of a secret that was purged even a file that an older index does not know. */
static bool store_is_dead(const struct sealed_secret *secret, const char *file)
{
    const uint64_t number = store_file_number(file);

    return number != 0 && (number <= secret->current || secret->count == 0) &&
           hush_sealed_find_version(secret, number) == NULL;
}

void hush_sealed_prune(const struct sealed_store *store, const char *name)
{
    const struct sealed_secret *secret = hush_sealed_index_find(store->index, name);
    char path[SEALED_PATH_MAX];
    const struct dirent *entry;
    DIR *dir;
    int fd;

    hush_sealed_name_path(name, path);
    fd = hush_sealed_open_at(store->dir_fd, path, O_RDONLY | O_DIRECTORY, 0);
    dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        if (fd >= 0)
            (void)close(fd); /* was read only */
        return;              /* the next writer of the secret tries again */
    }
    /* cppcheck-suppress readdirCalled ; one thread has this stream */
    while ((entry = readdir(dir)) != NULL)
        if (store_is_dead(secret, entry->d_name))
            (void)unlinkat(dirfd(dir), entry->d_name, 0); /* as above */
    (void)closedir(dir);                                  /* was read only */
}

enum hush_status hush_sealed_store_commit(struct sealed_store *store, struct hush_op *op)
{
    bool replaced = false;
    enum hush_status status;

    store->index->keep = store->keep;
    status = hush_sealed_write_index(store, op, false, &replaced);
    if (!replaced)
        return status;
    for (size_t i = 0; i < store->staged_count; i++) {
        store_finish(store, op, store->staged[i].name, store->staged[i].number);
        hush_sealed_prune(store, store->staged[i].name);
    }
    store_forget(store, false);
    return status;
}

/* -- The rest ---------------------------------------------------------------------------------- */

enum hush_status hush_sealed_store_get(const struct sealed_store *store, struct hush_op *op,
                                       const char *name, struct hush_secret **out)
{
    const struct sealed_secret *secret = hush_sealed_index_find(store->index, name);

    if (secret == NULL || !hush_sealed_is_live(secret))
        return hush_fail(op, HUSH_NOT_FOUND, "the store has no secret '%s'", name);
    return hush_sealed_load_version(op, &(struct sealed_access){store->dir_fd, store->keys}, name,
                                    &secret->versions[0], out, NULL);
}

enum hush_status hush_sealed_store_drop(struct sealed_store *store, struct hush_op *op,
                                        const char *name, uint64_t number)
{
    struct sealed_secret *secret = hush_sealed_index_find(store->index, name);
    enum hush_status status;
    bool replaced;

    if (secret == NULL || hush_sealed_find_version(secret, number) == NULL)
        return hush_fail(op, HUSH_NOT_FOUND, "'%s' has no version %" PRIu64, name, number);
    if (!hush_sealed_index_drop(secret, number))
        return hush_fail(op, HUSH_UNSUPPORTED,
                         "version %" PRIu64
                         " of '%s' is the current one: put a new value first, or "
                         "remove the secret",
                         number, name);
    status = hush_sealed_write_index(store, op, false, &replaced);
    if (status == HUSH_OK)
        hush_sealed_prune(store, name);
    return status;
}

enum hush_status hush_sealed_store_purge(struct sealed_store *store, struct hush_op *op,
                                         const char *name)
{
    struct sealed_secret *secret = hush_sealed_index_find(store->index, name);
    enum hush_status status = HUSH_OK;
    bool replaced;

    if (secret == NULL)
        return hush_fail(op, HUSH_NOT_FOUND, "the store has no secret '%s'", name);
    if (secret->count > 0) {
        hush_sealed_index_purge(secret);
        status = hush_sealed_write_index(store, op, false, &replaced);
    }
    if (status != HUSH_OK)
        return status;
    hush_sealed_prune(store, name); /* also what an earlier purge did not get done */
    store_remove_dirs(store, name);
    return HUSH_OK;
}
