/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index_json.c - the index of a sealed store as JSON. It comes out of an authenticated message, and
 * is checked all the same: a key may be used by others, too.
 */
#include "sealed/index_int.h"
#include "sealed/name.h"

#include "jtree.h"

#include <stdlib.h>
#include <string.h>

struct index_reader {
    struct hush_op *op;
    struct sealed_index *index;
};

static enum hush_status reader_refuse(const struct index_reader *reader, const char *why)
{
    return hush_fail(reader->op, HUSH_PROTOCOL, "no index of a store: %s", why);
}

static enum hush_status reader_no_memory(const struct index_reader *reader)
{
    return hush_fail(reader->op, HUSH_NO_MEMORY, "no memory for an index");
}

static bool read_id(const struct hush_jtree *node, char id[SEALED_ID_SIZE + 1])
{
    const char *text = hush_jtree_string(node);

    if (text == NULL || strlen(text) != SEALED_ID_SIZE ||
        strspn(text, "0123456789abcdef") != SEALED_ID_SIZE)
        return false;
    memcpy(id, text, SEALED_ID_SIZE + 1);
    return true;
}

static bool read_version(const struct hush_jtree *node, struct sealed_version *version)
{
    const struct hush_jtree *size = hush_jtree_member(node, "size");
    uint64_t created;

    version->removed = hush_jtree_is_true(hush_jtree_member(node, "removed"));
    if (!hush_jtree_number(hush_jtree_member(node, "version"), &version->number) ||
        !hush_jtree_number(hush_jtree_member(node, "created"), &created) ||
        !read_id(hush_jtree_member(node, "id"), version->id))
        return false;
    version->created = (time_t)created;
    return size == NULL || hush_jtree_number(size, &version->size);
}

/* Newest first, and the first is the current one. */
static bool read_versions(const struct hush_jtree *list, struct sealed_secret *secret)
{
    uint64_t before = secret->current + 1;

    for (size_t i = 0; i < secret->count; i++) {
        struct sealed_version *version = &secret->versions[i];
        if (!read_version(hush_jtree_element(list, i), version) || version->number == 0 ||
            version->number >= before)
            return false;
        before = version->number;
    }
    return secret->count == 0 || secret->versions[0].number == secret->current;
}

static enum hush_status read_secret(void *ctx, const char *text, const struct hush_jtree *node)
{
    const struct index_reader *reader = ctx;
    const struct hush_jtree *list = hush_jtree_member(node, "versions");
    const size_t count = hush_jtree_count(list);
    char name[SEALED_TEXT_MAX + 1];
    struct sealed_secret *secret;
    uint64_t current;

    if (!hush_sealed_name_from_text(text, name))
        return reader_refuse(reader, "a name is not written as names are");
    if (!hush_jtree_number(hush_jtree_member(node, "current"), &current) || current == 0 ||
        count > SEALED_KEEP_MAX)
        return reader_refuse(reader, "a secret without a current version, or with too many");
    secret = hush_sealed_index_insert(reader->index, name);
    if (secret == NULL)
        return reader_no_memory(reader);
    secret->versions = count == 0 ? NULL : calloc(count, sizeof(*secret->versions));
    if (count > 0 && secret->versions == NULL)
        return reader_no_memory(reader);
    secret->current = current;
    secret->count = count;
    return read_versions(list, secret) ? HUSH_OK
                                       : reader_refuse(reader, "a version is not as it should be");
}

static enum hush_status read_index(struct index_reader *reader, const struct hush_jtree *root)
{
    struct sealed_index *index = reader->index;
    uint64_t keep;

    if (!read_id(hush_jtree_member(root, "store"), index->store))
        return reader_refuse(reader, "it has no \"store\"");
    if (!hush_jtree_number(hush_jtree_member(root, "generation"), &index->generation) ||
        !hush_jtree_number(hush_jtree_member(root, "keep"), &keep) || keep == 0 ||
        keep > SEALED_KEEP_MAX || hush_jtree_member(root, "secrets") == NULL)
        return reader_refuse(reader, "it has no \"generation\", \"keep\" or \"secrets\"");
    index->keep = (uint32_t)keep;
    return hush_jtree_each(hush_jtree_member(root, "secrets"), read_secret, reader);
}

enum hush_status hush_sealed_index_parse(struct hush_op *op, const char *text, size_t size,
                                         struct sealed_index **out)
{
    struct index_reader reader = {.op = op, .index = calloc(1, sizeof(*reader.index))};
    struct hush_jtree *root = NULL;
    enum hush_status status;

    if (reader.index == NULL)
        return reader_no_memory(&reader);
    atomic_init(&reader.index->refs, 1);
    status = hush_jtree_parse(op, text, size, &root);
    if (status == HUSH_OK)
        status = read_index(&reader, root);
    hush_jtree_free(root);
    if (status == HUSH_OK)
        *out = reader.index;
    else
        hush_sealed_index_unref(reader.index);
    return status;
}

static void write_version(struct hush_text *text, const struct sealed_version *version)
{
    hush_json_open(text, NULL, '{');
    hush_json_u64(text, "version", version->number);
    hush_json_string(text, "id", version->id);
    hush_json_u64(text, "created", (uint64_t)version->created);
    if (version->removed)
        hush_json_bool(text, "removed", true);
    else
        hush_json_u64(text, "size", version->size);
    hush_json_close(text, '}');
}

void hush_sealed_index_write(const struct sealed_index *index, struct hush_text *text)
{
    hush_json_open(text, NULL, '{');
    hush_json_string(text, "store", index->store);
    hush_json_u64(text, "generation", index->generation);
    hush_json_u64(text, "keep", index->keep);
    hush_json_open(text, "secrets", '{');
    for (size_t i = 0; i < index->count; i++) {
        const struct sealed_secret *secret = &index->secrets[i];
        char name[SEALED_TEXT_MAX + 1];
        hush_sealed_name_text(secret->name, name);
        hush_json_open(text, name, '{');
        hush_json_u64(text, "current", secret->current);
        hush_json_open(text, "versions", '[');
        for (size_t v = 0; v < secret->count; v++)
            write_version(text, &secret->versions[v]);
        hush_json_close(text, ']');
        hush_json_close(text, '}');
    }
    hush_json_close(text, '}');
    hush_json_close(text, '}');
}
