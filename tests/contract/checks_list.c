/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checks_list.c - what list() promises.
 */
#include "contract.h"

#include "core/clock.h"

#include <stdlib.h>
#include <string.h>

enum { LIST_MAX = 32 };

struct listing {
    struct {
        char *name;
        enum hush_kind kind;
    } entries[LIST_MAX];
    size_t count;
    size_t stop_at; /* then fail with stop; 0: never */
    enum hush_status stop;
};

static bool list_exists(const struct contract_fixture *fixture, const struct hush_provider_ops *ops)
{
    (void)fixture;
    return ops->list != NULL;
}

static bool list_has_folders(const struct contract_fixture *fixture,
                             const struct hush_provider_ops *ops)
{
    return ops->list != NULL && (fixture->flags & CONTRACT_FOLDERS) != 0;
}

static bool list_can_put(const struct contract_fixture *fixture,
                         const struct hush_provider_ops *ops)
{
    return ops->list != NULL && fixture->put != NULL;
}

static enum hush_status list_emit(void *ctx, const struct hush_entry *entry)
{
    struct listing *listing = ctx;

    assert_true(listing->count < LIST_MAX);
    assert_null(strchr(entry->name, '/'));
    assert_string_not_equal(entry->name, "");
    assert_string_not_equal(entry->name, ".");
    assert_string_not_equal(entry->name, "..");
    listing->entries[listing->count].name = strdup(entry->name);
    listing->entries[listing->count].kind = entry->kind;
    listing->count++;
    return listing->count == listing->stop_at ? listing->stop : HUSH_OK;
}

static enum hush_status list_call(struct contract *c, const char *prefix, struct listing *listing)
{
    struct hush_op op;

    hush_op_init(&op, c->arena, CONTRACT_OP_MS);
    return c->ops->list(c->provider, &op, prefix, list_emit, listing);
}

static void list_clear(struct listing *listing)
{
    for (size_t i = 0; i < listing->count; i++)
        free(listing->entries[i].name);
    *listing = (struct listing){0};
}

static size_t list_count(const struct listing *listing, const char *name, enum hush_kind kind)
{
    size_t count = 0;

    for (size_t i = 0; i < listing->count; i++)
        count += listing->entries[i].kind == kind && strcmp(listing->entries[i].name, name) == 0;
    return count;
}

static void list_expect_seed(void *ctx, const char *name, const struct contract_seed *seed)
{
    if (!seed->folder)
        assert_int_equal(list_count(ctx, name, HUSH_KIND_SECRET), 1);
}

static void list_expect_count(void *ctx, const char *name, const struct contract_seed *seed)
{
    (void)name;
    (void)seed;
    (*(size_t *)ctx)++; /* one entry each; a folder has one seed */
}

/* All seeds, each once, and nothing else. */
static void list_top(struct contract *c)
{
    struct listing listing = {0};
    size_t expected = 0;

    assert_int_equal(list_call(c, "", &listing), HUSH_OK);
    contract_seeds(c->fixture, list_expect_seed, &listing);
    contract_seeds(c->fixture, list_expect_count, &expected);
    assert_int_equal(listing.count, expected);
    list_clear(&listing);
}

/* What a listing shows can be asked for: anything but "not found". */
static void list_agrees_with_fetch(struct contract *c)
{
    struct listing listing = {0};

    assert_int_equal(list_call(c, "", &listing), HUSH_OK);
    assert_true(listing.count > 0);
    for (size_t i = 0; i < listing.count; i++) {
        struct hush_value value = {0};

        if (listing.entries[i].kind == HUSH_KIND_FOLDER)
            continue;
        assert_int_not_equal(contract_fetch(c, listing.entries[i].name, &value), HUSH_NOT_FOUND);
        hush_value_clear(&value);
    }
    list_clear(&listing);
}

static void list_no_folder(struct contract *c)
{
    static const char *const prefixes[] = {"absent", "alpha",  "..",         "../root", "/",
                                           "/etc",   "alpha/", "absent/sub", "."};
    struct listing listing = {0};

    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        assert_int_equal(list_call(c, prefixes[i], &listing), HUSH_NOT_FOUND);
    assert_int_equal(listing.count, 0);
}

static void list_folder(struct contract *c)
{
    struct listing listing = {0};

    assert_int_equal(list_call(c, "", &listing), HUSH_OK);
    assert_int_equal(list_count(&listing, "folder", HUSH_KIND_FOLDER), 1);
    list_clear(&listing);
    assert_int_equal(list_call(c, "folder", &listing), HUSH_OK);
    assert_int_equal(list_count(&listing, "inner", HUSH_KIND_SECRET), 1);
    assert_int_equal(listing.count, 1);
    list_clear(&listing);
}

static void list_changes(struct contract *c)
{
    struct listing listing = {0};

    c->fixture->put(c, "brand-new", "x", 1);
    c->fixture->put(c, "alpha", NULL, 0);
    assert_int_equal(list_call(c, "", &listing), HUSH_OK);
    assert_int_equal(list_count(&listing, "brand-new", HUSH_KIND_SECRET), 1);
    assert_int_equal(list_count(&listing, "alpha", HUSH_KIND_SECRET), 0);
    list_clear(&listing);
}

/* What emit() returns ends the listing and is its result. */
static void list_stops(struct contract *c)
{
    struct listing listing = {.stop_at = 2, .stop = HUSH_NO_MEMORY};

    assert_int_equal(list_call(c, "", &listing), HUSH_NO_MEMORY);
    assert_int_equal(listing.count, 2);
    list_clear(&listing);
}

static void list_no_values(struct contract *c)
{
    struct hush_arena *arena = c->arena;
    struct listing listing = {0};

    c->arena = NULL; /* to fetch a value would crash */
    assert_int_equal(list_call(c, "", &listing), HUSH_OK);
    c->arena = arena;
    list_clear(&listing);
}

static void list_too_late(struct contract *c)
{
    const uint64_t start_ns = hush_now_ns();
    struct listing listing = {0};
    struct hush_op op;
    enum hush_status status;

    hush_op_init(&op, c->arena, CONTRACT_OP_MS);
    op.deadline_ns = 1;
    status = c->ops->list(c->provider, &op, "", list_emit, &listing);
    assert_true(status == HUSH_OK || status == HUSH_TIMEOUT);
    list_clear(&listing);
    hush_op_init(&op, c->arena, CONTRACT_OP_MS);
    hush_op_cancel(&op);
    status = c->ops->list(c->provider, &op, "", list_emit, &listing);
    assert_true(status == HUSH_OK || status == HUSH_CANCELED);
    list_clear(&listing);
    assert_true(hush_now_ns() - start_ns < HUSH_NS_PER_S);
}

const struct contract_check contract_list_checks[] = {
    {"list_top", list_top, list_exists},
    {"list_agrees_with_fetch", list_agrees_with_fetch, list_exists},
    {"list_no_folder", list_no_folder, list_exists},
    {"list_folder", list_folder, list_has_folders},
    {"list_changes", list_changes, list_can_put},
    {"list_stops", list_stops, list_exists},
    {"list_no_values", list_no_values, list_exists},
    {"list_too_late", list_too_late, list_exists},
    {NULL, NULL, NULL},
};
