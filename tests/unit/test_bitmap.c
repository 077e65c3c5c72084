/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_bitmap.c - runs of bits against a model that is one byte a bit.
 */
#include "core/bitmap.h"
#include "unit.h"

#include <string.h>

enum { BITS = 1000 };

static void a_new_map_is_clear(void **state)
{
    struct hush_bitmap map;

    (void)state; /* none */
    assert_true(hush_bitmap_init(&map, BITS));
    assert_int_equal(hush_bitmap_seek(&map, 0, BITS, true), BITS);
    assert_int_equal(hush_bitmap_seek(&map, 17, BITS, false), 17);
    assert_int_equal(hush_bitmap_seek(&map, 17, 17, false), 17);
    assert_int_equal(map.used, 0);
    assert_int_equal(map.top, 0);
    hush_bitmap_done(&map);
    hush_bitmap_done(NULL);
}

static void set_and_clear_touch_their_bits_only(void **state)
{
    struct hush_bitmap map;

    (void)state; /* none */
    for (uint32_t first = 60; first < 132; first++) {
        for (uint32_t size = 1; size < 200; size += 21) {
            assert_true(hush_bitmap_init(&map, BITS));
            hush_bitmap_set(&map, first, size);
            assert_int_equal(hush_bitmap_seek(&map, 0, BITS, true), first);
            assert_int_equal(hush_bitmap_seek(&map, first, BITS, false), first + size);
            assert_int_equal(hush_bitmap_seek(&map, first + size, BITS, true), BITS);
            assert_int_equal(map.used, size);
            assert_int_equal(map.top, first + size);
            hush_bitmap_clear(&map, first, size);
            assert_int_equal(hush_bitmap_seek(&map, 0, BITS, true), BITS);
            assert_int_equal(map.used, 0);
            hush_bitmap_done(&map);
        }
    }
}

static void fills_to_the_last_bit(void **state)
{
    static const uint32_t counts[] = {1, 63, 64, 65, 128, 1000};
    struct hush_bitmap map;
    uint32_t first;

    (void)state; /* none */
    for (size_t i = 0; i < COUNT(counts); i++) {
        assert_true(hush_bitmap_init(&map, counts[i]));
        assert_false(hush_bitmap_take(&map, counts[i] + 1, &first));
        for (uint32_t bit = 0; bit < counts[i]; bit++) {
            assert_true(hush_bitmap_take(&map, 1, &first));
            assert_int_equal(first, bit);
        }
        assert_false(hush_bitmap_take(&map, 1, &first));
        assert_true(hush_bitmap_take(&map, 0, &first));
        hush_bitmap_clear(&map, 0, counts[i]);
        assert_true(hush_bitmap_take(&map, counts[i], &first));
        assert_int_equal(first, 0);
        hush_bitmap_done(&map);
    }
}

static void what_was_used_is_used_again_before_the_rest(void **state)
{
    struct hush_bitmap map;
    uint32_t first;

    (void)state; /* none */
    assert_true(hush_bitmap_init(&map, BITS));
    for (int i = 0; i < 10000; i++) {
        assert_true(hush_bitmap_take(&map, 7, &first));
        hush_bitmap_clear(&map, first, 7);
    }
    assert_int_equal(map.top, 7);
    assert_true(hush_bitmap_take(&map, 9, &first)); /* the free end counts */
    assert_int_equal(first, 0);
    assert_int_equal(map.top, 9);
    hush_bitmap_done(&map);
}

/* A run of size clear bits exists in the model. */
static bool model_fits(const unsigned char *model, uint32_t size)
{
    uint32_t run = 0;

    for (uint32_t i = 0; i < BITS && run < size; i++)
        run = model[i] ? 0 : run + 1;
    return run >= size;
}

static void takes_a_run_exactly_when_there_is_one(void **state)
{
    unsigned char model[BITS] = {0};
    uint32_t starts[BITS], sizes[BITS], count = 0, first;
    struct hush_bitmap map;
    uint64_t seed = 88172645463325252;

    (void)state; /* none */
    assert_true(hush_bitmap_init(&map, BITS));
    for (int step = 0; step < 20000; step++) {
        const uint32_t size = (uint32_t)(unit_random(&seed) % 40 + 1);

        if (unit_random(&seed) % 100 < 60) {
            const bool fits = model_fits(model, size);

            assert_int_equal(hush_bitmap_take(&map, size, &first), fits);
            if (!fits)
                continue;
            assert_true(first + size <= BITS);
            for (uint32_t i = 0; i < size; i++)
                assert_int_equal(model[first + i], 0);
            memset(model + first, 1, size);
            starts[count] = first;
            sizes[count++] = size;
        } else if (count > 0) {
            const uint32_t which = (uint32_t)(unit_random(&seed) % count);

            hush_bitmap_clear(&map, starts[which], sizes[which]);
            memset(model + starts[which], 0, sizes[which]);
            starts[which] = starts[--count];
            sizes[which] = sizes[count];
        }
    }
    for (uint32_t i = 0; i < BITS; i++)
        assert_int_equal(hush_bitmap_get(&map, i), model[i]);
    hush_bitmap_done(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_map_is_clear),
        cmocka_unit_test(set_and_clear_touch_their_bits_only),
        cmocka_unit_test(fills_to_the_last_bit),
        cmocka_unit_test(what_was_used_is_used_again_before_the_rest),
        cmocka_unit_test(takes_a_run_exactly_when_there_is_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
