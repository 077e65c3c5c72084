/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_registry.c - the providers that are built in, and values.
 */
#include "call.h"
#include "core/arena.h"
#include "unit.h"

static void test_find(void **state)
{
    (void)state;
    for (size_t i = 0; hush_providers[i] != NULL; i++)
        assert_ptr_equal(hush_provider_find(hush_providers[i]->name), hush_providers[i]);
    assert_null(hush_provider_find("en"));
    assert_null(hush_provider_find("ENV"));
    assert_null(hush_provider_find(""));
    assert_null(hush_provider_find("test")); /* in no program that is installed */
}

/* add_field takes the reference even when it fails. */
static void test_values(void **state)
{
    struct hush_arena *arena = hush_arena_new(4 << 20);
    struct hush_value value = {0};
    struct hush_secret *secret = NULL;
    struct hush_op op;

    (void)state;
    assert_non_null(arena);
    hush_op_init(&op, arena, 0);
    assert_int_equal(hush_secret_new(&op, "s", 1, &secret), HUSH_OK);
    for (int i = 0; i < HUSH_FIELDS_MAX; i++)
        assert_int_equal(hush_value_add_field(&op, &value, "name", hush_secret_ref(secret)),
                         HUSH_OK);
    assert_int_equal(hush_value_add_field(&op, &value, "one more", hush_secret_ref(secret)),
                     HUSH_TOO_LARGE);
    assert_int_equal(value.field_count, HUSH_FIELDS_MAX);
    value.secret = secret;
    assert_int_equal(hush_arena_usage(arena).blocks, 1);
    hush_value_clear(&value);
    assert_int_equal(hush_arena_usage(arena).blocks, 0);
    assert_null(value.fields);
    hush_value_clear(&value);
    hush_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
