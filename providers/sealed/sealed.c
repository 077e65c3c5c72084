/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sealed.c - secrets from a directory of encrypted files, which `hushfs store` writes. What the
 * files are, and which changes to them are refused: reader.h. A version is its decimal number.
 */
#include "sealed/sealed.h"

#include "core/cleanup.h"
#include "credential.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct hush_option sealed_options[] = {
    HUSH_OPTION(struct sealed, keep, COUNT, "",
                "how many versions `hushfs store put` keeps; unset: as the store was made with"),
    HUSH_OPTION(struct sealed, key_file, SECRET_FILE, "",
                "the key, a JWK with mode 0400, or a systemd credential's name; "
                "unset: " SEALED_KEY_DEFAULT),
    HUSH_OPTION(struct sealed, passphrase_file, SECRET_FILE, "",
                "instead of a key: the passphrase that the store was made with"),
    HUSH_OPTION(struct sealed, store, PATH, NULL, "the directory of the store"),
    {0},
};

static enum hush_status sealed_check(struct hush_provider *self, struct hush_op *op)
{
    const struct sealed *sealed = HUSH_PROVIDER(struct sealed, self);

    if (sealed->key_file != NULL && sealed->passphrase_file != NULL)
        return hush_fail(op, HUSH_CONFIG, "key_file and passphrase_file are too much: give one");
    return HUSH_OK;
}

static enum hush_status sealed_open(struct hush_provider *self, struct hush_op *op)
{
    struct sealed *sealed = HUSH_PROVIDER(struct sealed, self);
    const struct sealed_source source = {
        .store = sealed->store,
        .key_file = sealed->key_file,
        .passphrase_file = sealed->passphrase_file,
        .credentials = hush_credential_directory(self),
    };

    hush_sealed_reader_init(&sealed->reader, &source);
    return sealed_check(self, op); /* a store or key that is not there yet is no reason to fail */
}

static void sealed_close(struct hush_provider *self)
{
    hush_sealed_reader_done(&HUSH_PROVIDER(struct sealed, self)->reader);
}

/* As it is written in versions: no sign, no leading zero. 0: not a version of ours. */
static uint64_t sealed_number(const struct hush_version *version)
{
    uint64_t number;

    if (version->text[0] == '0' || !hush_parse_u64(version->text, UINT64_MAX, &number))
        return 0;
    return number;
}

static enum hush_status sealed_fetch(struct hush_provider *self, struct hush_op *op,
                                     const struct hush_ref *ref, const struct hush_version *if_not,
                                     struct hush_value *out)
{
    struct sealed *sealed = HUSH_PROVIDER(struct sealed, self);
    const uint64_t number = sealed_number(&ref->version);
    struct sealed_value found;
    struct hush_value value = {0};
    enum hush_status status;

    if (ref->version.text[0] != '\0' && number == 0)
        return hush_fail(op, HUSH_NOT_FOUND, "'%s' is no version of '%s': they are numbers",
                         ref->version.text, ref->path);
    status = hush_sealed_reader_get(&sealed->reader, op, ref->path, number, sealed_number(if_not),
                                    &found);
    if (status != HUSH_OK)
        return status;
    value.unchanged = found.unchanged;
    value.secret = found.secret;
    (void)snprintf(value.meta.version.text, sizeof(value.meta.version.text), "%" PRIu64,
                   found.version.number); /* always fits */
    value.meta.modified = found.version.created;
    *out = value;
    return HUSH_OK;
}

/* -- Listing ----------------------------------------------------------------------------------- */

struct sealed_listing {
    hush_emit_fn *emit;
    void *ctx;
    char folder[HUSH_PATH_MAX + 1]; /* the one that was emitted last */
    bool found;
};

/* name: what follows the prefix. Names come sorted, so those of one folder come together. */
static enum hush_status sealed_emit(struct sealed_listing *listing, const char *name)
{
    const size_t size = strcspn(name, "/");
    struct hush_entry entry = {.name = name, .kind = HUSH_KIND_SECRET};

    listing->found = true;
    if (name[size] == '\0')
        return listing->emit(listing->ctx, &entry);
    if (strncmp(listing->folder, name, size) == 0 && listing->folder[size] == '\0')
        return HUSH_OK;
    memcpy(listing->folder, name, size);
    listing->folder[size] = '\0';
    entry.name = listing->folder;
    entry.kind = HUSH_KIND_FOLDER;
    return listing->emit(listing->ctx, &entry);
}

/* What is below the folder prefix in name; NULL: it is elsewhere. */
static const char *sealed_below(const char *name, const char *prefix)
{
    const size_t size = strlen(prefix);

    if (size == 0)
        return name;
    return strncmp(name, prefix, size) == 0 && name[size] == '/' ? name + size + 1 : NULL;
}

static enum hush_status sealed_list(struct hush_provider *self, struct hush_op *op,
                                    const char *prefix, hush_emit_fn *emit, void *ctx)
{
    struct sealed *sealed = HUSH_PROVIDER(struct sealed, self);
    struct sealed_listing listing = {.emit = emit, .ctx = ctx};
    struct sealed_index *index = NULL;
    enum hush_status status = hush_sealed_reader_index(&sealed->reader, op, &index);

    for (size_t i = 0; status == HUSH_OK && i < index->count; i++) {
        const char *name = sealed_below(index->secrets[i].name, prefix);
        if (name != NULL && hush_sealed_is_live(&index->secrets[i]))
            status = sealed_emit(&listing, name);
    }
    hush_sealed_index_unref(index);
    if (status == HUSH_OK && prefix[0] != '\0' && !listing.found)
        return hush_fail(op, HUSH_NOT_FOUND, "the store has no folder '%s'", prefix);
    return status;
}

static enum hush_status sealed_emit_versions(const struct sealed_secret *secret, hush_emit_fn *emit,
                                             void *ctx)
{
    enum hush_status status = HUSH_OK;

    for (size_t i = 0; status == HUSH_OK && i < secret->count; i++) {
        struct hush_version version;
        const struct hush_entry entry = {.name = version.text, .kind = HUSH_KIND_SECRET};
        if (secret->versions[i].removed)
            continue;
        (void)snprintf(version.text, sizeof(version.text), "%" PRIu64, secret->versions[i].number);
        status = emit(ctx, &entry);
    }
    return status;
}

static enum hush_status sealed_versions(struct hush_provider *self, struct hush_op *op,
                                        const char *path, hush_emit_fn *emit, void *ctx)
{
    struct sealed *sealed = HUSH_PROVIDER(struct sealed, self);
    struct sealed_index *index = NULL;
    enum hush_status status = hush_sealed_reader_index(&sealed->reader, op, &index);
    const struct sealed_secret *secret;

    if (status != HUSH_OK)
        return status;
    secret = hush_sealed_index_find(index, path);
    status = secret == NULL || secret->count == 0
                 ? hush_fail(op, HUSH_NOT_FOUND, "the store has no secret '%s'", path)
                 : sealed_emit_versions(secret, emit, ctx);
    hush_sealed_index_unref(index);
    return status;
}

const struct hush_provider_ops hush_provider_sealed = {
    .name = "sealed",
    .summary = "encrypted files in a directory, with versions: the store of `hushfs store`",
    .flags = HUSH_HAS_VERSIONS | HUSH_HAS_UNCHANGED | HUSH_IS_LOCAL,
    .size = sizeof(struct sealed),
    .options = sealed_options,
    .check = sealed_check,
    .open = sealed_open,
    .close = sealed_close,
    .fetch = sealed_fetch,
    .list = sealed_list,
    .versions = sealed_versions,
    .watch = hush_sealed_watch,
};
