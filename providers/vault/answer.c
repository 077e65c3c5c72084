/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer.c - see answer.h. Pure, so that a fuzzer can feed it; the server is not trusted with more
 * than its own secrets.
 */
#include "answer.h"

#include "core/cleanup.h"
#include "core/clock.h"
#include "rfc3339.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

uint32_t vault_ms(uint64_t seconds)
{
    return seconds > UINT32_MAX / 1000 ? UINT32_MAX : (uint32_t)(seconds * 1000);
}

enum hush_status vault_data(struct hush_op *op, const struct hush_http_answer *answer,
                            struct hush_jtree **root, const struct hush_jtree **data)
{
    struct hush_jtree *tree = NULL;
    const enum hush_status status = hush_jtree_parse(op, answer->body, answer->size, &tree);

    if (status != HUSH_OK)
        return status;
    if (!hush_jtree_is_object(hush_jtree_member(tree, "data"))) {
        hush_jtree_free(tree);
        return hush_fail(op, HUSH_PROTOCOL, "no object \"data\" in the answer");
    }
    *root = tree;
    *data = hush_jtree_member(tree, "data");
    return HUSH_OK;
}

/* -- KV: a secret ------------------------------------------------------------------------------ */

/* A version that was written with no data has none: an empty map. "Not found" would say that the
 * version does not exist, and it does. */
static enum hush_status kv_empty(struct hush_op *op, struct hush_value *value)
{
    struct hush_jtree *empty = NULL;
    enum hush_status status = hush_jtree_parse(op, "{}", 2, &empty);

    if (status == HUSH_OK)
        status = hush_jtree_value(op, empty, value);
    hush_jtree_free(empty);
    return status;
}

enum hush_status vault_kv1_value(struct hush_op *op, const struct hush_http_answer *answer,
                                 struct hush_value *out)
{
    struct hush_value value = {0};
    struct hush_jtree *root = NULL;
    const struct hush_jtree *data = NULL;
    struct vault_lease lease;
    enum hush_status status = vault_data(op, answer, &root, &data);

    if (status != HUSH_OK)
        return status;
    status = hush_jtree_value(op, data, &value);
    vault_lease_read(root, &lease);
    hush_jtree_free(root);
    if (status != HUSH_OK) {
        hush_value_clear(&value);
        return status;
    }
    /* No lease, whatever it is called: how long the value may be kept, from its own "ttl". */
    value.meta.ttl_ms = vault_ms(lease.duration_s);
    *out = value;
    return HUSH_OK;
}

static void kv2_meta(const struct hush_jtree *metadata, uint64_t number, struct hush_meta *meta)
{
    time_t at;

    (void)snprintf(meta->version.text, sizeof(meta->version.text), "%" PRIu64,
                   number); /* always fits */
    if (hush_rfc3339(hush_jtree_string(hush_jtree_member(metadata, "created_time")), &at) && at > 0)
        meta->modified = at;
    /* On a version that is there, it is when it will go (delete_version_after). */
    if (hush_rfc3339(hush_jtree_string(hush_jtree_member(metadata, "deletion_time")), &at) &&
        at > hush_wall_s())
        meta->not_after = at;
}

enum hush_status vault_kv2_value(struct hush_op *op, const struct hush_http_answer *answer,
                                 struct hush_value *out)
{
    struct hush_value value = {0};
    struct hush_jtree *root = NULL;
    const struct hush_jtree *data = NULL, *metadata, *fields;
    uint64_t number;
    enum hush_status status = vault_data(op, answer, &root, &data);

    if (status != HUSH_OK)
        return status;
    metadata = hush_jtree_member(data, "metadata");
    fields = hush_jtree_member(data, "data");
    if (!hush_jtree_number(hush_jtree_member(metadata, "version"), &number))
        status = hush_fail(op, HUSH_PROTOCOL, "no version in the answer: is the mount KV v2?");
    else if (hush_jtree_is_null(fields))
        status = kv_empty(op, &value);
    else
        status = hush_jtree_value(op, fields, &value);
    if (status == HUSH_OK)
        kv2_meta(metadata, number, &value.meta);
    hush_jtree_free(root);
    if (status != HUSH_OK) {
        hush_value_clear(&value);
        return status;
    }
    *out = value;
    return HUSH_OK;
}

/* -- KV: absence ------------------------------------------------------------------------------- */

enum hush_status vault_kv_gone(struct hush_op *op, const struct hush_http_answer *answer,
                               const char *path)
{
    static const char *const reasons[] = {"the server has no such secret, or no such version",
                                          "this version is deleted", "this version is destroyed"};
    struct hush_jtree *root = NULL;
    const struct hush_jtree *data = NULL, *metadata;
    const char *deleted;
    size_t reason = 0;

    if (vault_data(op, answer, &root, &data) == HUSH_OK) {
        metadata = hush_jtree_member(data, "metadata");
        deleted = hush_jtree_string(hush_jtree_member(metadata, "deletion_time"));
        if (hush_jtree_is_true(hush_jtree_member(metadata, "destroyed")))
            reason = 2;
        else if (deleted != NULL && deleted[0] != '\0')
            reason = 1;
        hush_jtree_free(root);
    }
    return hush_fail(op, HUSH_NOT_FOUND, "%s: '%s'", reasons[reason], path);
}

bool vault_kv_is_other(const struct hush_http_answer *answer)
{
    return answer->code == 404 && strstr(answer->body, "Invalid path for a versioned K/V") != NULL;
}

/* -- KV: versions ------------------------------------------------------------------------------ */

struct version_list {
    uint64_t *numbers;
    size_t count;
    time_t now;
};

static enum hush_status version_add(void *ctx, const char *name, const struct hush_jtree *version)
{
    struct version_list *list = ctx;
    time_t deleted;

    if (hush_jtree_is_true(hush_jtree_member(version, "destroyed")))
        return HUSH_OK;
    if (hush_rfc3339(hush_jtree_string(hush_jtree_member(version, "deletion_time")), &deleted) &&
        deleted <= list->now)
        return HUSH_OK;
    if (hush_parse_u64(name, UINT64_MAX, &list->numbers[list->count]))
        list->count++;
    return HUSH_OK;
}

static int version_newest_first(const void *a, const void *b)
{
    const uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

    return (left < right) - (left > right);
}

static enum hush_status version_emit(const struct version_list *list, hush_emit_fn *emit, void *ctx)
{
    enum hush_status status = HUSH_OK;

    for (size_t i = 0; status == HUSH_OK && i < list->count; i++) {
        struct hush_version version;
        const struct hush_entry entry = {.name = version.text, .kind = HUSH_KIND_SECRET};
        (void)snprintf(version.text, sizeof(version.text), "%" PRIu64, list->numbers[i]);
        status = emit(ctx, &entry);
    }
    return status;
}

enum hush_status vault_kv2_versions(struct hush_op *op, const struct hush_http_answer *answer,
                                    hush_emit_fn *emit, void *ctx)
{
    struct version_list list = {.now = hush_wall_s()};
    struct hush_jtree *root = NULL;
    const struct hush_jtree *data = NULL, *versions;
    enum hush_status status = vault_data(op, answer, &root, &data);

    if (status != HUSH_OK)
        return status;
    versions = hush_jtree_member(data, "versions");
    list.numbers = calloc(hush_jtree_count(versions) + 1, sizeof(*list.numbers));
    if (list.numbers == NULL)
        status = hush_fail(op, HUSH_NO_MEMORY, "no memory for versions");
    else if (!hush_jtree_is_object(versions))
        status = hush_fail(op, HUSH_PROTOCOL, "no object \"data.versions\" in the answer");
    else
        status = hush_jtree_each(versions, version_add, &list);
    hush_jtree_free(root);
    if (status == HUSH_OK && list.numbers != NULL) {
        qsort(list.numbers, list.count, sizeof(*list.numbers), version_newest_first);
        status = version_emit(&list, emit, ctx);
    }
    free(list.numbers);
    return status;
}

/* -- Listings ---------------------------------------------------------------------------------- */

static enum hush_status keys_emit(const char *key, hush_emit_fn *emit, void *ctx)
{
    const size_t size = strlen(key);
    const bool folder = size != 0 && key[size - 1] == '/';
    char name[HUSH_PATH_MAX + 1];

    if (size - folder >= sizeof(name))
        return HUSH_OK;
    memcpy(name, key, size - folder);
    name[size - folder] = '\0';
    if (strchr(name, '/') != NULL || vault_name_fault(name) != NULL)
        return HUSH_OK; /* the server's own names never are, a liar's must not get in */
    return emit(ctx, &(struct hush_entry){.name = name,
                                          .kind = folder ? HUSH_KIND_FOLDER : HUSH_KIND_SECRET});
}

enum hush_status vault_keys(struct hush_op *op, const struct hush_http_answer *answer,
                            hush_emit_fn *emit, void *ctx)
{
    struct hush_jtree *root = NULL;
    const struct hush_jtree *data = NULL, *keys;
    enum hush_status status = vault_data(op, answer, &root, &data);

    if (status != HUSH_OK)
        return status;
    keys = hush_jtree_member(data, "keys");
    if (keys == NULL || hush_jtree_is_object(keys))
        status = hush_fail(op, HUSH_PROTOCOL, "no array \"data.keys\" in the answer");
    for (size_t i = 0; status == HUSH_OK && i < hush_jtree_count(keys); i++) {
        const char *key = hush_jtree_string(hush_jtree_element(keys, i));
        status = key == NULL ? hush_fail(op, HUSH_PROTOCOL, "\"data.keys\" has more than strings")
                             : keys_emit(key, emit, ctx);
    }
    hush_jtree_free(root);
    return status;
}

/* -- The mount --------------------------------------------------------------------------------- */

/* mount is below another mount, whose name with its final '/' is path. */
static bool mount_is_inside(const char *mount, const char *path)
{
    const size_t size = path == NULL ? 0 : strlen(path);

    return size > 1 && strncmp(mount, path, size) == 0 && mount[size] != '\0';
}

enum hush_status vault_mount_kv(struct hush_op *op, const struct hush_http_answer *answer,
                                const char *mount, enum vault_kv *out)
{
    struct hush_jtree *root = NULL;
    const struct hush_jtree *data = NULL;
    const char *type, *path, *version;
    enum hush_status status = vault_data(op, answer, &root, &data);

    if (status != HUSH_OK)
        return status;
    type = hush_jtree_string(hush_jtree_member(data, "type"));
    path = hush_jtree_string(hush_jtree_member(data, "path"));
    version = hush_jtree_string(hush_jtree_member(hush_jtree_member(data, "options"), "version"));
    if (type == NULL)
        status = hush_fail(op, HUSH_PROTOCOL, "no \"data.type\" in the answer");
    else if (strcmp(type, "kv") != 0 && strcmp(type, "generic") != 0)
        status =
            hush_fail(op, HUSH_CONFIG, "mount '%s' is of type %s, not kv: set engine", mount, type);
    else if (mount_is_inside(mount, path))
        status = hush_fail(op, HUSH_CONFIG,
                           "'%s' is no mount but a place in '%s': set mount to that", mount, path);
    else
        *out = version != NULL && strcmp(version, "2") == 0 ? VAULT_KV_2 : VAULT_KV_1;
    hush_jtree_free(root);
    return status;
}

/* -- Leases ------------------------------------------------------------------------------------ */

void vault_lease_read(const struct hush_jtree *root, struct vault_lease *out)
{
    const char *id = hush_jtree_string(hush_jtree_member(root, "lease_id"));
    uint64_t duration_s = 0;

    (void)hush_jtree_number(hush_jtree_member(root, "lease_duration"), &duration_s); /* or 0 */
    *out = (struct vault_lease){
        .id = id == NULL ? "" : id,
        .duration_s = duration_s > UINT32_MAX ? UINT32_MAX : (uint32_t)duration_s,
        .renewable = hush_jtree_is_true(hush_jtree_member(root, "renewable")),
    };
}
