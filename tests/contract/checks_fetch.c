/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checks_fetch.c - what fetch() and versions() promise.
 */
#include "contract.h"

#include "core/clock.h"

#include <stdlib.h>
#include <string.h>

enum { FETCH_POISON = 0xa5 };

static bool fetch_has_versions(const struct contract_fixture *fixture,
                               const struct hush_provider_ops *ops)
{
    (void)fixture;
    return (ops->flags & HUSH_HAS_VERSIONS) != 0;
}

static bool fetch_has_unchanged(const struct contract_fixture *fixture,
                                const struct hush_provider_ops *ops)
{
    return fixture->put != NULL && (ops->flags & HUSH_HAS_UNCHANGED) != 0;
}

static bool fetch_lists_versions(const struct contract_fixture *fixture,
                                 const struct hush_provider_ops *ops)
{
    (void)fixture;
    return ops->versions != NULL;
}

/* fetch() must fail with status, say why, and leave its result alone. */
static void fetch_fails(struct contract *c, struct hush_op *op, const struct hush_ref *ref,
                        enum hush_status status)
{
    const struct hush_version none = {""};
    struct hush_value value, poison;

    memset(&value, FETCH_POISON, sizeof(value));
    memset(&poison, FETCH_POISON, sizeof(poison));
    assert_int_equal(c->ops->fetch(c->provider, op, ref, &none, &value), status);
    assert_memory_equal(&value, &poison, sizeof(value));
    assert_true(op->detail[0] != '\0');
    assert_int_equal(hush_arena_usage(c->arena).blocks, c->blocks);
}

static void fetch_name_fails(struct contract *c, const char *name, enum hush_status status)
{
    const struct hush_ref ref = {.path = name};
    struct hush_op op;

    hush_op_init(&op, c->arena, CONTRACT_OP_MS);
    fetch_fails(c, &op, &ref, status);
}

static void fetch_compare(void *ctx, const char *name, const struct contract_seed *seed)
{
    if (seed->size <= HUSH_SECRET_SIZE_MAX)
        contract_expect(ctx, name, seed->bytes, seed->size);
}

static void fetch_present(struct contract *c)
{
    contract_expect(c, "alpha", "first value\n", 12);
}

/* Every seed, byte for byte: empty, binary, 1 MiB, an odd name. */
static void fetch_seeds(struct contract *c)
{
    contract_seeds(c->fixture, fetch_compare, c);
}

static void fetch_empty(struct contract *c)
{
    contract_expect(c, "empty", "", 0);
}

static void fetch_absent(struct contract *c)
{
    fetch_name_fails(c, "absent", HUSH_NOT_FOUND);
}

static void fetch_too_large(struct contract *c)
{
    fetch_name_fails(c, "too-large", HUSH_TOO_LARGE);
}

static void fetch_limit_of_op(struct contract *c)
{
    const struct hush_ref ref = {.path = "alpha"};
    struct hush_op op;

    hush_op_init(&op, c->arena, CONTRACT_OP_MS);
    op.secret_max = 11; /* one byte less than it has */
    fetch_fails(c, &op, &ref, HUSH_TOO_LARGE);
}

/* Names are data, never paths. */
static void fetch_bad_names(struct contract *c)
{
    static const char *const names[] = {
        "",
        "/",
        "/alpha",
        "alpha/",
        ".",
        "..",
        "../alpha",
        "//alpha",
        "alpha/inner",
        "./alpha",
        "alpha/.",
        "../outside",
        "folder",
        "folder/",
        "folder/..",
        "folder//inner",
        "folder/../alpha",
        "folder/../../outside",
    };
    char longest[HUSH_PATH_MAX + 1];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        fetch_name_fails(c, names[i], HUSH_NOT_FOUND);
    memset(longest, 'a', HUSH_PATH_MAX);
    longest[HUSH_PATH_MAX] = '\0';
    fetch_name_fails(c, longest, HUSH_NOT_FOUND);
}

/* A full arena is an error like any other. */
static void fetch_no_memory(struct contract *c)
{
    struct hush_arena *arena = c->arena;
    const size_t blocks = c->blocks;
    const struct hush_ref ref = {.path = "large"};
    struct hush_op op;

    c->blocks = 0;
    c->arena = hush_arena_new(64 << 10);
    assert_non_null(c->arena);
    hush_op_init(&op, c->arena, CONTRACT_OP_MS);
    fetch_fails(c, &op, &ref, HUSH_NO_MEMORY);
    hush_arena_free(c->arena);
    c->arena = arena;
    c->blocks = blocks;
}

static void fetch_says_version(struct contract *c)
{
    struct hush_value value = {0};

    assert_int_equal(contract_fetch(c, "alpha", &value), HUSH_OK);
    assert_true(value.meta.version.text[0] != '\0');
    assert_non_null(memchr(value.meta.version.text, '\0', sizeof(value.meta.version.text)));
    assert_true(value.meta.modified <= hush_wall_s() + 1);
    hush_value_clear(&value);
    assert_null(value.secret);
    assert_int_equal(hush_arena_usage(c->arena).blocks, c->blocks);
}

static void fetch_unknown_version(struct contract *c)
{
    const struct hush_ref ref = {.path = "alpha", .version = {"no-such-version"}};
    struct hush_op op;

    hush_op_init(&op, c->arena, CONTRACT_OP_MS);
    fetch_fails(c, &op, &ref, HUSH_NOT_FOUND);
}

/* The current version asked for by its own name is the current value. */
static void fetch_named_version(struct contract *c)
{
    const struct hush_version none = {""};
    struct hush_value current = {0}, named = {0};
    struct hush_ref ref = {.path = "alpha"};
    struct hush_op op;

    assert_int_equal(contract_fetch(c, "alpha", &current), HUSH_OK);
    ref.version = current.meta.version;
    hush_op_init(&op, c->arena, CONTRACT_OP_MS);
    assert_int_equal(c->ops->fetch(c->provider, &op, &ref, &none, &named), HUSH_OK);
    assert_true(hush_secret_equal(current.secret, named.secret));
    assert_string_equal(current.meta.version.text, named.meta.version.text);
    hush_value_clear(&current);
    hush_value_clear(&named);
}

static enum hush_status fetch_one_version(void *ctx, const struct hush_entry *entry)
{
    struct contract *c = ctx;
    const struct hush_version none = {""};
    struct hush_ref ref = {.path = "alpha"};
    struct hush_value value = {0};
    struct hush_op op;

    assert_true(strlen(entry->name) <= HUSH_VERSION_MAX);
    memcpy(ref.version.text, entry->name, strlen(entry->name) + 1);
    hush_op_init(&op, c->arena, CONTRACT_OP_MS);
    assert_int_equal(c->ops->fetch(c->provider, &op, &ref, &none, &value), HUSH_OK);
    assert_string_equal(value.meta.version.text, entry->name);
    hush_value_clear(&value);
    return HUSH_OK;
}

static void versions_are_fetchable(struct contract *c)
{
    struct hush_op op;

    hush_op_init(&op, c->arena, CONTRACT_OP_MS);
    assert_int_equal(c->ops->versions(c->provider, &op, "alpha", fetch_one_version, c), HUSH_OK);
    assert_int_equal(c->ops->versions(c->provider, &op, "absent", fetch_one_version, c),
                     HUSH_NOT_FOUND);
}

/* Ask with the version of the last answer until it is unchanged; at most 5 s (see file.c on '~').
 */
static bool fetch_settles(struct contract *c, struct hush_version *version)
{
    const struct hush_ref ref = {.path = "alpha"};

    for (int i = 0; i < 100; i++) {
        struct hush_value value = {0};
        struct hush_op op;
        bool unchanged;

        hush_op_init(&op, c->arena, CONTRACT_OP_MS);
        assert_int_equal(c->ops->fetch(c->provider, &op, &ref, version, &value), HUSH_OK);
        unchanged = value.unchanged;
        if (unchanged) {
            assert_null(value.secret);
            assert_null(value.fields);
        } else {
            *version = value.meta.version;
        }
        hush_value_clear(&value);
        if (unchanged)
            return true;
        contract_sleep_ms(50);
    }
    return false;
}

static void fetch_unchanged(struct contract *c)
{
    const struct hush_ref ref = {.path = "alpha"};
    struct hush_version version = {""};
    struct hush_value value = {0};
    struct hush_op op;

    assert_true(fetch_settles(c, &version));
    c->fixture->put(c, "alpha", "other value\n", 12); /* the same size */
    hush_op_init(&op, c->arena, CONTRACT_OP_MS);
    assert_int_equal(c->ops->fetch(c->provider, &op, &ref, &version, &value), HUSH_OK);
    assert_false(value.unchanged);
    assert_string_not_equal(value.meta.version.text, version.text);
    assert_memory_equal(hush_secret_bytes(contract_bytes(c, &value)), "other value\n", 12);
    hush_value_clear(&value);
}

static void fetch_changed(struct contract *c)
{
    struct hush_value before = {0}, after = {0};

    assert_int_equal(contract_fetch(c, "alpha", &before), HUSH_OK);
    c->fixture->put(c, "alpha", "second", 6);
    contract_expect(c, "alpha", "second", 6);
    assert_int_equal(contract_fetch(c, "alpha", &after), HUSH_OK);
    assert_string_not_equal(before.meta.version.text, after.meta.version.text);
    /* What was fetched before stays what it was. */
    assert_memory_equal(hush_secret_bytes(contract_bytes(c, &before)), "first value\n", 12);
    hush_value_clear(&before);
    hush_value_clear(&after);
}

static void fetch_removed(struct contract *c)
{
    contract_expect(c, "alpha", "first value\n", 12);
    c->fixture->put(c, "alpha", NULL, 0);
    fetch_name_fails(c, "alpha", HUSH_NOT_FOUND);
    c->fixture->put(c, "alpha", "back", 4);
    contract_expect(c, "alpha", "back", 4);
}

/* A call that comes too late, or is canceled already: either answer, but at once. */
static void fetch_too_late(struct contract *c, bool cancel, enum hush_status allowed)
{
    const struct hush_ref ref = {.path = "alpha"};
    const struct hush_version none = {""};
    const uint64_t start_ns = hush_now_ns();
    struct hush_value value = {0};
    struct hush_op op;
    enum hush_status status;

    hush_op_init(&op, c->arena, CONTRACT_OP_MS);
    if (cancel)
        hush_op_cancel(&op);
    else
        op.deadline_ns = 1;
    status = c->ops->fetch(c->provider, &op, &ref, &none, &value);
    assert_true(hush_now_ns() - start_ns < HUSH_NS_PER_S);
    assert_true(status == HUSH_OK || status == allowed);
    if (status != HUSH_OK)
        assert_null(value.secret);
    hush_value_clear(&value);
}

static void fetch_deadline_passed(struct contract *c)
{
    fetch_too_late(c, false, HUSH_TIMEOUT);
}

static void fetch_canceled(struct contract *c)
{
    fetch_too_late(c, true, HUSH_CANCELED);
}

const struct contract_check contract_fetch_checks[] = {
    {"fetch_present", fetch_present, NULL},
    {"fetch_seeds", fetch_seeds, NULL},
    {"fetch_empty", fetch_empty, NULL},
    {"fetch_absent", fetch_absent, NULL},
    {"fetch_too_large", fetch_too_large, NULL},
    {"fetch_limit_of_op", fetch_limit_of_op, NULL},
    {"fetch_bad_names", fetch_bad_names, NULL},
    {"fetch_no_memory", fetch_no_memory, NULL},
    {"fetch_says_version", fetch_says_version, NULL},
    {"fetch_unknown_version", fetch_unknown_version, fetch_has_versions},
    {"fetch_named_version", fetch_named_version, fetch_has_versions},
    {"versions_are_fetchable", versions_are_fetchable, fetch_lists_versions},
    {"fetch_unchanged", fetch_unchanged, fetch_has_unchanged},
    {"fetch_changed", fetch_changed, contract_can_put},
    {"fetch_removed", fetch_removed, contract_can_put},
    {"fetch_deadline_passed", fetch_deadline_passed, NULL},
    {"fetch_canceled", fetch_canceled, NULL},
    {NULL, NULL, NULL},
};
