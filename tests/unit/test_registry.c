/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_registry.c - the life of an instance as provider.h promises it to providers, and values.
 */
#include "core/arena.h"
#include "provider.h"
#include "unit.h"

#include <string.h>

struct counting {
    struct hush_provider base;
    char *text;
    uint32_t number;
};

/* What was called, in order; the instance is gone when it is looked at. */
static char calls[64];
static enum hush_status open_status;

static enum hush_status counting_open(struct hush_provider *self, struct hush_op *op)
{
    const struct counting *counting = HUSH_PROVIDER(struct counting, self);

    (void)op;
    assert_string_equal(counting->text, "fallback"); /* the options are there before open() */
    assert_int_equal(counting->number, 7);
    (void)strncat(calls, "open ", sizeof(calls) - strlen(calls) - 1);
    return open_status;
}

static void counting_close(struct hush_provider *self)
{
    const struct counting *counting = HUSH_PROVIDER(struct counting, self);

    assert_non_null(counting->text); /* and still at close() */
    (void)strncat(calls, "close ", sizeof(calls) - strlen(calls) - 1);
}

static enum hush_status counting_fetch(struct hush_provider *self, struct hush_op *op,
                                       const struct hush_ref *ref,
                                       const struct hush_version *if_not, struct hush_value *out)
{
    (void)self;
    (void)ref;
    (void)if_not;
    (void)out;
    return hush_fail(op, HUSH_NOT_FOUND, "nothing here");
}

static const struct hush_option counting_options[] = {
    HUSH_OPTION(struct counting, number, COUNT, "7", "a number"),
    HUSH_OPTION(struct counting, text, STRING, "fallback", "a text"),
    {0},
};

static const struct hush_provider_ops counting_ops = {
    .name = "counting",
    .summary = "counts calls",
    .size = sizeof(struct counting),
    .options = counting_options,
    .open = counting_open,
    .close = counting_close,
    .fetch = counting_fetch,
};

static void test_life(void **state)
{
    struct hush_provider *provider;
    struct hush_op op;

    (void)state;
    for (int failing = 0; failing < 2; failing++) {
        calls[0] = '\0';
        open_status = failing ? HUSH_CONFIG : HUSH_OK;
        provider = hush_provider_new(&counting_ops, "name", NULL);
        assert_non_null(provider);
        assert_ptr_equal(provider->ops, &counting_ops);
        assert_string_equal(provider->instance, "name");
        hush_op_init(&op, NULL, 0);
        assert_int_equal(hush_provider_open(provider, &op), open_status);
        hush_provider_free(provider);
        assert_string_equal(calls, "open close "); /* also after a failed open() */
    }
}

static void test_never_opened(void **state)
{
    (void)state;
    calls[0] = '\0';
    hush_provider_free(hush_provider_new(&counting_ops, "name", NULL));
    hush_provider_free(NULL);
    assert_string_equal(calls, "");
}

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
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_never_opened),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
