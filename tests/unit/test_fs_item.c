/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fs_item.c - the pure parts below a served mount: the gate's table, names and versions of an
 * item, listings, node ids.
 */
#include "item.h"
#include "snapshot.h"
#include "tree.h"

#include "unit.h"

#include "core/clock.h"

#include <string.h>

/* An item with a value fetched at 100 s, ttl 10 s and 20 s of grace. */
struct fixture {
    struct hush_item item;
    struct hush_snapshot snapshot;
    struct hush_snapshot_record record;
};

static void fixture_init(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->item.settings.ttl_ms = 10000;
    f->item.settings.resurrect_ttl_ms = 20000;
    f->item.current = &f->snapshot;
    f->snapshot.item = &f->item;
    f->snapshot.record = &f->record;
    f->record.fetched_ns = 100 * HUSH_NS_PER_S;
}

static void test_gate(void **state)
{
    /* clang-format off */
    static const struct {
        bool has, waited;
        enum hush_status status;
        unsigned retry_s, now_s;
        enum hush_gate gate;
    } rows[] = {
        /* value, waited, last outcome,  retry, now */
        {true,  false, HUSH_OK,          0,   100, HUSH_GATE_FRESH},
        {true,  false, HUSH_OK,          0,   109, HUSH_GATE_FRESH},
        {true,  false, HUSH_OK,          0,   110, HUSH_GATE_ASK},
        {true,  false, HUSH_UNAVAILABLE, 200, 109, HUSH_GATE_FRESH},
        {true,  false, HUSH_UNAVAILABLE, 115, 112, HUSH_GATE_STALE},
        {true,  false, HUSH_UNAVAILABLE, 115, 115, HUSH_GATE_ASK},
        {true,  false, HUSH_UNAVAILABLE, 200, 129, HUSH_GATE_STALE},
        {true,  false, HUSH_UNAVAILABLE, 200, 130, HUSH_GATE_FAIL},
        {true,  true,  HUSH_UNAVAILABLE, 0,   112, HUSH_GATE_STALE},
        {true,  true,  HUSH_UNAVAILABLE, 0,   130, HUSH_GATE_FAIL},
        {true,  true,  HUSH_OK,          0,   110, HUSH_GATE_FRESH}, /* ttl 0, or just ended */
        {true,  false, HUSH_DENIED,      200, 112, HUSH_GATE_FAIL},
        {false, false, HUSH_OK,          0,   100, HUSH_GATE_ASK},
        {false, false, HUSH_NOT_FOUND,   105, 104, HUSH_GATE_FAIL},
        {false, false, HUSH_NOT_FOUND,   105, 105, HUSH_GATE_ASK},
        {false, false, HUSH_UNAVAILABLE, 105, 104, HUSH_GATE_FAIL},
        {false, true,  HUSH_UNAVAILABLE, 0,   104, HUSH_GATE_FAIL},
    };
    /* clang-format on */
    struct fixture f;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        fixture_init(&f);
        f.item.current = rows[i].has ? &f.snapshot : NULL;
        f.item.status = rows[i].status;
        f.item.retry_ns = rows[i].retry_s * HUSH_NS_PER_S;
        if (hush_item_gate(&f.item, rows[i].now_s * HUSH_NS_PER_S, rows[i].waited) != rows[i].gate)
            fail_msg("row %zu", i);
    }
}

static void test_until(void **state)
{
    /* clang-format off */
    static const struct {
        uint32_t own_ttl_ms;
        unsigned limit_s, fresh_s, stale_s;
    } rows[] = {
        {0,     0,   110, 130},
        {3000,  0,   103, 123},
        {60000, 0,   110, 130},
        {0,     105, 105, 105},
        {0,     120, 110, 120},
        {0,     500, 110, 130},
        {3000,  102, 102, 102},
    };
    /* clang-format on */
    struct fixture f;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        fixture_init(&f);
        f.record.ttl_ms = rows[i].own_ttl_ms;
        f.record.limit_ns = rows[i].limit_s * HUSH_NS_PER_S;
        assert_true(hush_snapshot_fresh_until(&f.snapshot) == rows[i].fresh_s * HUSH_NS_PER_S);
        assert_true(hush_snapshot_stale_until(&f.snapshot) == rows[i].stale_s * HUSH_NS_PER_S);
    }
}

/* What is left of the ttl, a second at least while it is fresh, never more than the ttl. */
static void test_kernel_time(void **state)
{
    static const struct {
        uint32_t ttl_ms;
        unsigned now_ms, left_ms;
    } rows[] = {
        {10000, 100000, 10000}, {10000, 104500, 5500}, {10000, 109500, 1000}, {10000, 110000, 0},
        {10000, 200000, 0},     {400, 100000, 400},    {400, 100300, 100},    {0, 100000, 0},
    };
    struct fixture f;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        double left_ms;

        fixture_init(&f);
        f.item.settings.ttl_ms = rows[i].ttl_ms;
        left_ms = 1000 * hush_item_kernel_s(&f.item, rows[i].now_ms * (uint64_t)HUSH_NS_PER_MS);
        assert_in_range((unsigned)(left_ms + 0.5), rows[i].left_ms, rows[i].left_ms);
    }
}

static void test_ref(void **state)
{
    static const struct {
        const char *path;
        bool versioned;
        const char *raw, *version; /* NULL: it cannot be asked for */
    } rows[] = {
        {"s/db", false, "db", ""},        {"s/a/b", false, "a/b", ""},
        {"s/a/%/b", false, "a//b", ""},   {"s/%25", false, "%", ""},
        {"s/%2", false, NULL, NULL},      {"s/db#3", false, "db#3", ""},
        {"s/db#3", true, "db", "3"},      {"s/a/db#x#3", true, "a/db#x", "3"},
        {"s/a#1/db", true, NULL, NULL},   {"s/db#", true, NULL, NULL},
        {"s/db/.value", false, "db", ""}, {"s/.value", false, NULL, NULL},
        {"s", false, NULL, NULL},         {"s/", false, NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct hush_item item = {.path = (char *)(uintptr_t)rows[i].path,
                                 .versioned = rows[i].versioned};
        struct hush_ref_text ref;
        bool is = hush_item_ref(&item, &ref);

        if (is != (rows[i].raw != NULL))
            fail_msg("%s", rows[i].path);
        if (!is)
            continue;
        assert_string_equal(ref.path, rows[i].raw);
        assert_string_equal(ref.version.text, rows[i].version);
    }
}

/* -- Listings
 * --------------------------------------------------------------------------------------- */

static struct hush_listing *listing(const char *const *names, size_t n)
{
    struct hush_listing *l = calloc(1, sizeof(*l));

    assert_non_null(l);
    l->refs = 1;
    for (size_t i = 0; i < n; i++)
        assert_true(hush_listing_add(l, names[i], i % 2 == 0 ? HUSH_IS_SECRET : HUSH_IS_FOLDER));
    hush_listing_finish(l);
    return l;
}

static void test_listings(void **state)
{
    /* secret, folder, secret, … : b is both; one cannot be shown */
    static const char *const names[] = {"b", "a", "c", "b", "a\x01", "z/z", ".", ""};
    struct hush_listing *l = listing(names, COUNT(names)), *same = listing(names, COUNT(names));
    struct hush_listing *other = listing(names, 3), *none = listing(NULL, 0);

    (void)state;
    assert_int_equal(l->count, 6);
    for (size_t i = 1; i < l->count; i++)
        assert_true(strcmp(l->entries[i - 1].name, l->entries[i].name) < 0);
    assert_int_equal(hush_listing_kinds(l, "a"), HUSH_IS_FOLDER);
    assert_int_equal(hush_listing_kinds(l, "b"), HUSH_IS_FOLDER | HUSH_IS_SECRET);
    assert_int_equal(hush_listing_kinds(l, "c"), HUSH_IS_SECRET);
    assert_int_equal(hush_listing_kinds(l, "a%01"), HUSH_IS_SECRET);
    assert_int_equal(hush_listing_kinds(l, "%2E"), HUSH_IS_SECRET);
    assert_int_equal(hush_listing_kinds(l, "%"), HUSH_IS_FOLDER);
    assert_int_equal(hush_listing_kinds(l, "d"), 0);
    assert_int_equal(hush_listing_kinds(none, "a"), 0);
    assert_int_equal(hush_listing_kinds(NULL, "a"), 0);
    assert_true(hush_listing_same(l, same));
    assert_false(hush_listing_same(l, other));
    assert_false(hush_listing_same(l, NULL));
    assert_true(hush_listing_same(NULL, NULL));
    other->entries[0].kinds ^= HUSH_IS_SECRET;
    hush_listing_unref(hush_listing_ref(l)); /* still there */
    assert_int_equal(l->refs, 1);
    hush_listing_unref(l);
    hush_listing_unref(same);
    hush_listing_unref(other);
    hush_listing_unref(none);
    hush_listing_unref(NULL);
}

/* A name of the same kind with other kinds is another listing. */
static void test_listings_differ_in_kind(void **state)
{
    static const char *const one[] = {"a"}, *const two[] = {"b", "a"};
    struct hush_listing *secret = listing(one, 1), *folder = listing(two, 2);

    (void)state;
    folder->count--; /* a alone: sorted first */
    free(folder->entries[1].name);
    assert_false(hush_listing_same(secret, folder));
    hush_listing_unref(secret);
    hush_listing_unref(folder);
}

/* -- Node ids
 * --------------------------------------------------------------------------------------- */

static void test_node_ids(void **state)
{
    static const struct hush_ino_key keys[] = {
        {HUSH_NODE_DIR, "s/a", NULL, NULL, 0},  {HUSH_NODE_FILE, "s/a", NULL, NULL, 0},
        {HUSH_NODE_FILE, "s/a", "b", NULL, 0},  {HUSH_NODE_FILE, "s/a", NULL, "b", 0},
        {HUSH_NODE_FILE, "s/a", "b", "c", 0},   {HUSH_NODE_FILE, "s/a", "bc", "", 0},
        {HUSH_NODE_FILE, "s/ab", "c", NULL, 0}, {HUSH_NODE_FILE, "s/a", NULL, NULL, 1},
    };
    static struct hush_fs fs;
    static struct hush_state shared, other;
    uint64_t ids[COUNT(keys)];

    (void)state;
    shared.key[0] = 1;
    other.key[0] = 2;
    for (size_t i = 0; i < COUNT(keys); i++) {
        fs.state = &shared;
        ids[i] = hush_tree_ino(&fs, &keys[i]);
        assert_true(hush_tree_ino(&fs, &keys[i]) == ids[i]); /* every worker finds the same */
        assert_in_range(ids[i], HUSH_INO_FIRST, UINT64_C(1) << 48);
        for (size_t j = 0; j < i; j++)
            assert_true(ids[j] != ids[i]);
        fs.state = &other;
        assert_true(hush_tree_ino(&fs, &keys[i]) != ids[i]); /* every mount its own */
    }
}

/* Paths at their longest. */
static void test_long_node_ids(void **state)
{
    static struct hush_fs fs;
    static struct hush_state shared;
    static char path[PATH_MAX], name[256];
    struct hush_ino_key key = {HUSH_NODE_FILE, path, name, "v", 0};
    uint64_t first;

    (void)state;
    fs.state = &shared;
    memset(path, 'p', sizeof(path) - 1);
    memset(name, 'n', sizeof(name) - 1);
    first = hush_tree_ino(&fs, &key);
    key.version = "w";
    assert_true(hush_tree_ino(&fs, &key) != first);
    key.version = "v";
    path[PATH_MAX - 2] = 'x';
    assert_true(hush_tree_ino(&fs, &key) != first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gate),        cmocka_unit_test(test_until),
        cmocka_unit_test(test_kernel_time), cmocka_unit_test(test_ref),
        cmocka_unit_test(test_listings),    cmocka_unit_test(test_listings_differ_in_kind),
        cmocka_unit_test(test_node_ids),    cmocka_unit_test(test_long_node_ids),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
