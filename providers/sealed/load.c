/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load.c - files of a sealed store to an index or a value, with every proof that reader.h promises
 * of a single file. reader.c and store.c call it.
 */
#include "sealed/name.h"
#include "sealed/reader.h"

#include "core/wipealloc.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    LOAD_HEADER_MAX = 64 << 10, /* what a file has beside its ciphertext */
};

void hush_sealed_version_path(const char *name, uint64_t number, bool pending, char *out)
{
    size_t used;

    hush_sealed_name_path(name, out);
    used = strlen(out);
    (void)snprintf(out + used, SEALED_PATH_MAX - used, "/%s%" PRIu64 ".jwe", pending ? "." : "",
                   number); /* always fits */
}

/* -- The index --------------------------------------------------------------------------------- */

/* The header must say what the payload says: a value of some secret could look like an index. */
static bool load_is_index(const struct hush_jwe *jwe, const struct sealed_index *index)
{
    const struct hush_jtree *said = hush_jtree_member(hush_jwe_header(jwe), "hushfs");
    const char *store = hush_jtree_string(hush_jtree_member(said, "index"));
    uint64_t generation;

    return store != NULL && strcmp(store, index->store) == 0 &&
           hush_jtree_number(hush_jtree_member(said, "generation"), &generation) &&
           generation == index->generation;
}

static enum hush_status load_index_jwe(struct hush_op *op, const struct hush_jwe *jwe,
                                       const struct hush_jwk_set *keys, struct sealed_index **out)
{
    const size_t size = hush_jwe_size(jwe);
    char *text = hush_wipe_malloc(size + 1);
    struct sealed_index *index = NULL;
    enum hush_status status;

    if (text == NULL)
        return hush_fail(op, HUSH_NO_MEMORY, "no memory for an index");
    status = hush_jwe_open(op, jwe, keys, (uint8_t *)text, NULL);
    if (status == HUSH_OK)
        status = hush_sealed_index_parse(op, text, size, &index);
    hush_wipe_free(text);
    if (status == HUSH_OK && !load_is_index(jwe, index)) {
        hush_sealed_index_unref(index);
        return hush_fail(op, HUSH_PROTOCOL, "its header is not that of an index");
    }
    if (status == HUSH_OK)
        *out = index;
    return status;
}

static enum hush_status load_index_file(struct hush_op *op, const struct sealed_access *at,
                                        const char *name, struct sealed_index **out,
                                        struct sealed_file *file)
{
    enum hush_status status =
        hush_sealed_read(op, at->dir_fd, name, SEALED_INDEX_MAX / 3 * 4 + LOAD_HEADER_MAX, file);
    struct hush_jwe *jwe = NULL;
    char why[HUSH_DETAIL_MAX];

    if (status != HUSH_OK)
        return status;
    status = hush_jwe_parse(op, file->bytes, file->size, &jwe);
    if (status == HUSH_OK)
        status = load_index_jwe(op, jwe, at->keys, out);
    hush_jwe_free(jwe);
    if (status == HUSH_OK)
        return HUSH_OK;
    hush_sealed_file_done(file);
    memcpy(why, op->detail, sizeof(why));
    return hush_fail(op, status, "%s in the store: %s", name, why);
}

enum hush_status hush_sealed_load_index(struct hush_op *op, const struct sealed_access *at,
                                        struct sealed_index **out, struct sealed_file *file)
{
    enum hush_status status = load_index_file(op, at, SEALED_INDEX_FILE, out, file);
    char why[HUSH_DETAIL_MAX];

    if (status != HUSH_PROTOCOL && status != HUSH_AUTH && status != HUSH_NOT_FOUND)
        return status;
    memcpy(why, op->detail, sizeof(why));
    if (load_index_file(op, at, SEALED_COPY_FILE, out, file) == HUSH_OK) {
        op->detail[0] = '\0';
        return HUSH_OK;
    }
    if (status != HUSH_NOT_FOUND)
        return hush_fail(op, status, "%s", why);
    return hush_fail(op, HUSH_UNAVAILABLE, "no store: it has no %s (`hushfs store init` makes one)",
                     SEALED_INDEX_FILE);
}

/* -- Versions ---------------------------------------------------------------------------------- */

static enum hush_status load_check_header(struct hush_op *op, const struct hush_jwe *jwe,
                                          const char *name, const struct sealed_version *version)
{
    const struct hush_jtree *said = hush_jtree_member(hush_jwe_header(jwe), "hushfs");
    const char *said_name = hush_jtree_string(hush_jtree_member(said, "name"));
    const char *said_id = hush_jtree_string(hush_jtree_member(said, "id"));
    char text[SEALED_TEXT_MAX + 1];
    uint64_t number;

    hush_sealed_name_text(name, text);
    if (said_name == NULL || said_id == NULL ||
        !hush_jtree_number(hush_jtree_member(said, "version"), &number))
        return hush_fail(op, HUSH_PROTOCOL, "its header does not say which secret it is");
    if (strcmp(said_name, text) != 0 || number != version->number)
        return hush_fail(op, HUSH_PROTOCOL,
                         "it is version %" PRIu64 " of '%.64s': put back, or renamed", number,
                         said_name);
    if (version->id[0] != '\0' && strcmp(said_id, version->id) != 0)
        return hush_fail(op, HUSH_PROTOCOL, "it is not the file that the index means: put back");
    return HUSH_OK;
}

/* The most that a file of a value within op's limit has. */
static size_t load_file_max(const struct hush_op *op)
{
    return (size_t)op->secret_max / 3 * 4 + LOAD_HEADER_MAX;
}

static enum hush_status load_open_file(struct hush_op *op, int dir_fd, const char *name,
                                       uint64_t number, char path[SEALED_PATH_MAX],
                                       struct sealed_file *file)
{
    /* Where there is no file of its name, its writer died, or is about to rename it; or did so
     * while we looked. */
    static const bool pending[] = {false, true, false};
    enum hush_status status = HUSH_NOT_FOUND;

    for (size_t i = 0; status == HUSH_NOT_FOUND && i < sizeof(pending) / sizeof(pending[0]); i++) {
        hush_sealed_version_path(name, number, pending[i], path);
        status = hush_sealed_read(op, dir_fd, path, load_file_max(op), file);
    }
    hush_sealed_version_path(name, number, false, path);
    if (status == HUSH_NOT_FOUND)
        return hush_fail(op, HUSH_PROTOCOL, "gone from the store");
    return status;
}

static enum hush_status load_value(struct hush_op *op, const struct hush_jwe *jwe,
                                   const struct hush_jwk_set *keys, struct hush_secret **out,
                                   size_t *which)
{
    struct hush_secret *secret = NULL;
    uint8_t *bytes = NULL;
    enum hush_status status = hush_secret_alloc(op, hush_jwe_size(jwe), &secret, &bytes);

    if (status != HUSH_OK)
        return status;
    status = hush_jwe_open(op, jwe, keys, bytes, which);
    if (status == HUSH_OK)
        *out = secret;
    else
        hush_secret_unref(secret);
    return status;
}

enum hush_status hush_sealed_load_version(struct hush_op *op, const struct sealed_access *at,
                                          const char *name, const struct sealed_version *version,
                                          struct hush_secret **out, size_t *which)
{
    struct sealed_file file = {0};
    struct hush_jwe *jwe = NULL;
    char path[SEALED_PATH_MAX], why[HUSH_DETAIL_MAX];
    enum hush_status status = load_open_file(op, at->dir_fd, name, version->number, path, &file);

    if (status == HUSH_OK)
        status = hush_jwe_parse(op, file.bytes, file.size, &jwe);
    if (status == HUSH_OK)
        status = load_check_header(op, jwe, name, version);
    if (status == HUSH_OK)
        status = load_value(op, jwe, at->keys, out, which);
    hush_jwe_free(jwe);
    hush_sealed_file_done(&file);
    if (status != HUSH_PROTOCOL && status != HUSH_AUTH)
        return status;
    memcpy(why, op->detail, sizeof(why));
    return hush_fail(op, HUSH_PROTOCOL, "'%s' in the store: %s", path, why);
}

enum hush_status hush_sealed_check_newer(struct hush_op *op, const struct sealed_access *at,
                                         const struct sealed_secret *secret)
{
    const struct sealed_version next = {.number = secret->current + 1};
    char path[SEALED_PATH_MAX], why[HUSH_DETAIL_MAX];
    struct hush_secret *value = NULL;
    enum hush_status status;

    hush_sealed_version_path(secret->name, next.number, false, path);
    if (faccessat(at->dir_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
        return HUSH_OK;
    memcpy(why, op->detail, sizeof(why));
    status = hush_sealed_load_version(op, at, secret->name, &next, &value, NULL);
    hush_secret_unref(value);
    memcpy(op->detail, why, sizeof(why));
    if (status != HUSH_OK) /* something that only has its name */
        return HUSH_OK;
    return hush_fail(op, HUSH_PROTOCOL,
                     "'%s' has a version %" PRIu64 " that the index does not know: an older index "
                     "was put back",
                     secret->name, next.number);
}
