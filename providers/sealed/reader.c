/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader.c - see reader.h. Nothing is locked on the disk: what does not fit together is looked at
 * again as long as somebody changes it, and refused when nobody does.
 */
#include "sealed/reader.h"

#include "core/cleanup.h"
#include "core/clock.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

/* Tries: of one generation of the store. While there are newer ones the deadline ends it. */
enum { READER_TRIES = 20, READER_RACY_MS = 100 };

void hush_sealed_reader_init(struct sealed_reader *reader, const struct sealed_source *source)
{
    *reader = (struct sealed_reader){.source = *source};
    pthread_mutex_init(&reader->lock, NULL);
    hush_sealed_keys_init(&reader->keys, &reader->source);
}

void hush_sealed_reader_done(struct sealed_reader *reader)
{
    if (reader->keys.source == NULL)
        return;
    hush_sealed_keys_done(&reader->keys);
    hush_sealed_index_unref(reader->index);
    pthread_mutex_destroy(&reader->lock);
    *reader = (struct sealed_reader){0};
}

/* -- The index --------------------------------------------------------------------------------- */

static struct sealed_stamp reader_stamp(int dir_fd, const char *name)
{
    struct stat st;

    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return (struct sealed_stamp){0};
    return hush_sealed_stamp(&st);
}

/*
 * Time stamps move with the kernel's tick, and a new file may get the inode of one that is gone: an
 * index that was replaced just now could be replaced again and look the same.
 */
static bool reader_is_racy(const struct sealed_stamp *stamp)
{
    struct timespec now;

    /* The real clock, never an injected one: it is compared with what the kernel wrote. */
    clock_gettime(CLOCK_REALTIME, &now);
    return (now.tv_sec - stamp->changed.tv_sec) * 1000 +
               (now.tv_nsec - stamp->changed.tv_nsec) / HUSH_NS_PER_MS <
           READER_RACY_MS;
}

static bool reader_is_current(const struct sealed_reader *reader, int dir_fd)
{
    const struct sealed_stamp stamp = reader_stamp(dir_fd, SEALED_INDEX_FILE);
    struct sealed_stamp copy_stamp;

    if (reader->index == NULL || reader->racy || !hush_sealed_stamp_equal(&stamp, &reader->stamp))
        return false;
    if (!reader->from_copy)
        return true;
    copy_stamp = reader_stamp(dir_fd, SEALED_COPY_FILE);
    return hush_sealed_stamp_equal(&copy_stamp, &reader->copy_stamp);
}

/* An index of the same store never gets younger while somebody looks. */
static enum hush_status reader_check_generation(const struct sealed_reader *reader,
                                                struct hush_op *op,
                                                const struct sealed_index *index)
{
    const struct sealed_index *before = reader->index;

    if (before == NULL || strcmp(before->store, index->store) != 0 ||
        index->generation >= before->generation)
        return HUSH_OK;
    return hush_fail(op, HUSH_PROTOCOL,
                     "the store's index was put back from generation %" PRIu64 " to %" PRIu64
                     ": if that is meant, reload",
                     before->generation, index->generation);
}

static enum hush_status reader_load(struct sealed_reader *reader, struct hush_op *op, int dir_fd)
{
    /* Before the files are read: if they change meanwhile, they are read again. */
    const struct sealed_stamp stamp = reader_stamp(dir_fd, SEALED_INDEX_FILE);
    const struct sealed_stamp copy_stamp = reader_stamp(dir_fd, SEALED_COPY_FILE);
    struct sealed_file file = {0};
    struct hush_jwk_set *keys = NULL;
    struct sealed_index *index = NULL;
    enum hush_status status = hush_sealed_keys_get(op, &reader->keys, &keys, NULL);

    if (status == HUSH_OK)
        status = hush_sealed_load_index(op, &(struct sealed_access){dir_fd, keys}, &index, &file);
    if (status == HUSH_OK)
        status = reader_check_generation(reader, op, index);
    if (status == HUSH_OK) {
        hush_sealed_index_unref(reader->index);
        reader->index = hush_sealed_index_ref(index);
        reader->stamp = stamp;
        reader->copy_stamp = copy_stamp;
        reader->from_copy = !hush_sealed_stamp_equal(&file.stamp, &stamp);
        reader->racy = reader_is_racy(&file.stamp);
    }
    hush_sealed_index_unref(index);
    hush_jwk_free(keys);
    hush_sealed_file_done(&file);
    return status;
}

static enum hush_status reader_index(struct sealed_reader *reader, struct hush_op *op, int dir_fd,
                                     struct sealed_index **out)
{
    enum hush_status status = HUSH_OK;

    hush_lock_scope(&reader->lock);
    if (!reader_is_current(reader, dir_fd))
        status = reader_load(reader, op, dir_fd);
    if (status == HUSH_OK)
        *out = hush_sealed_index_ref(reader->index);
    return status;
}

enum hush_status hush_sealed_reader_index(struct sealed_reader *reader, struct hush_op *op,
                                          struct sealed_index **out)
{
    enum hush_status status = hush_sealed_check_op(op);
    cleanup_close int dir_fd = -1;

    if (status != HUSH_OK)
        return status;
    dir_fd = hush_sealed_open_store(op, reader->source.store, &status);
    return dir_fd < 0 ? status : reader_index(reader, op, dir_fd, out);
}

/* -- Values ------------------------------------------------------------------------------------ */

/* One look at a secret: what it was made from is kept, to tell whether it has changed. */
struct reader_look {
    struct sealed_reader *reader;
    struct hush_op *op;
    int dir_fd;
    const char *name;
    uint64_t number, if_not;
    struct sealed_index *index;
    struct hush_jwk_set *keys;
    unsigned serial;
};

static enum hush_status look_find(const struct reader_look *look, struct sealed_version *out)
{
    const struct sealed_secret *secret = hush_sealed_index_find(look->index, look->name);
    const struct sealed_version *version;

    if (secret == NULL || secret->versions == NULL)
        return hush_fail(look->op, HUSH_NOT_FOUND, "the store has no secret '%s'", look->name);
    version =
        look->number == 0 ? &secret->versions[0] : hush_sealed_find_version(secret, look->number);
    if (version == NULL)
        return hush_fail(look->op, HUSH_NOT_FOUND,
                         "'%s' has no version %" PRIu64 ": kept are %" PRIu64 " to %" PRIu64,
                         look->name, look->number, secret->versions[secret->count - 1].number,
                         secret->current);
    if (version->removed)
        return hush_fail(look->op, HUSH_NOT_FOUND, "'%s' was removed (as version %" PRIu64 ")",
                         look->name, version->number);
    *out = *version;
    return HUSH_OK;
}

/* A secret that the index does not know at all has no number to look for. */
static enum hush_status look_for_newer(const struct reader_look *look)
{
    const struct sealed_secret *secret = hush_sealed_index_find(look->index, look->name);

    return secret == NULL
               ? HUSH_OK
               : hush_sealed_check_newer(look->op,
                                         &(struct sealed_access){look->dir_fd, look->keys}, secret);
}

static enum hush_status look_at_value(const struct reader_look *look, struct sealed_value *value)
{
    enum hush_status status = look_find(look, &value->version);

    if (status == HUSH_OK && look->if_not == value->version.number)
        value->unchanged = true;
    else if (status == HUSH_OK)
        status =
            hush_sealed_load_version(look->op, &(struct sealed_access){look->dir_fd, look->keys},
                                     look->name, &value->version, &value->secret, NULL);
    if ((status == HUSH_OK || status == HUSH_NOT_FOUND) && look->number == 0) {
        const enum hush_status newer = look_for_newer(look);
        status = newer != HUSH_OK ? newer : status;
    }
    return status;
}

static enum hush_status look_once(struct reader_look *look, struct sealed_value *value)
{
    enum hush_status status =
        hush_sealed_keys_get(look->op, &look->reader->keys, &look->keys, &look->serial);

    if (status == HUSH_OK)
        status = reader_index(look->reader, look->op, look->dir_fd, &look->index);
    if (status == HUSH_OK)
        status = look_at_value(look, value);
    if (status != HUSH_OK) {
        hush_secret_unref(value->secret);
        *value = (struct sealed_value){0};
    }
    return status;
}

/* Are the index and the key other ones by now? */
static bool look_has_changed(const struct reader_look *look)
{
    struct hush_jwk_set *keys = NULL;
    unsigned serial = 0;
    char why[HUSH_DETAIL_MAX];
    bool changed;

    memcpy(why, look->op->detail, sizeof(why));
    if (hush_sealed_keys_get(look->op, &look->reader->keys, &keys, &serial) == HUSH_OK)
        hush_jwk_free(keys);
    memcpy(look->op->detail, why, sizeof(why));
    hush_lock_scope(&look->reader->lock);
    changed = look->index != look->reader->index || !reader_is_current(look->reader, look->dir_fd);
    return changed || serial != look->serial;
}

static void look_done(struct reader_look *look)
{
    hush_sealed_index_unref(look->index);
    hush_jwk_free(look->keys);
    look->index = NULL;
    look->keys = NULL;
}

enum hush_status hush_sealed_reader_get(struct sealed_reader *reader, struct hush_op *op,
                                        const char *name, uint64_t number, uint64_t if_not,
                                        struct sealed_value *out)
{
    struct reader_look look = {
        .reader = reader, .op = op, .name = name, .number = number, .if_not = if_not};
    enum hush_status status = HUSH_OK;
    cleanup_close int dir_fd = hush_sealed_open_store(op, reader->source.store, &status);
    uint64_t generation = 0;
    bool again = dir_fd >= 0;

    look.dir_fd = dir_fd;
    for (int i = 0; again && i < READER_TRIES; i++) {
        struct sealed_value value = {0};
        status = hush_sealed_check_op(op);
        if (status == HUSH_OK)
            status = look_once(&look, &value);
        if (status == HUSH_OK)
            *out = value;
        again = (status == HUSH_PROTOCOL || status == HUSH_AUTH) && look_has_changed(&look);
        if (look.index != NULL && look.index->generation > generation) {
            generation = look.index->generation;
            i = 0;
        }
        look_done(&look);
    }
    return status;
}
