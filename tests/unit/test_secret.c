/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_secret.c - counted secrets: limits, the wipe with the last reference, handing over.
 */
#include "core/lockmem.h"
#include "core/secret.h"
#include "unit.h"

#include <pthread.h>
#include <string.h>

enum { SIZE = 256 << 10 };

static struct hush_secret *make(struct hush_arena *arena, const void *bytes, size_t size)
{
    struct hush_secret *s = NULL;
    struct hush_op op;

    hush_op_init(&op, arena, 0);
    assert_int_equal(hush_secret_new(&op, bytes, size, &s), HUSH_OK);
    assert_non_null(s);
    return s;
}

static void a_secret_holds_its_bytes_until_its_last_reference_goes(void **state)
{
    struct hush_arena *arena = hush_arena_new(SIZE);
    struct hush_secret *s = make(arena, "hunter2\0x", 9);
    const uint8_t *bytes = hush_secret_bytes(s);
    static const uint8_t zeros[9];

    (void)state; /* none */
    assert_int_equal(hush_secret_size(s), 9);
    assert_memory_equal(bytes, "hunter2\0x", 9);
    assert_ptr_equal(hush_secret_ref(s), s);
    assert_null(hush_secret_unref(s));
    assert_memory_equal(bytes, "hunter2\0x", 9);
    assert_int_equal(hush_arena_usage(arena).blocks, 1);
    assert_null(hush_secret_unref(s));
    assert_memory_equal(bytes, zeros, 9);
    assert_int_equal(hush_arena_usage(arena).blocks, 0);
    assert_null(hush_secret_ref(NULL));
    assert_null(hush_secret_unref(NULL));
    hush_arena_free(arena);
}

static void an_empty_secret_is_a_secret(void **state)
{
    struct hush_arena *arena = hush_arena_new(SIZE);
    struct hush_secret *a = make(arena, NULL, 0), *b = make(arena, "", 0);

    (void)state; /* none */
    assert_int_equal(hush_secret_size(a), 0);
    assert_true(hush_secret_equal(a, b));
    assert_false(hush_secret_equal(a, NULL));
    hush_secret_unref(a);
    hush_secret_unref(b);
    hush_arena_free(arena);
}

static void limits_are_failures_with_a_reason(void **state)
{
    struct hush_arena *arena = hush_arena_new(SIZE);
    static const char bytes[SIZE];
    struct hush_secret *s = NULL;
    uint8_t *to = NULL;
    struct hush_op op;

    (void)state; /* none */
    hush_op_init(&op, arena, 0);
    op.secret_max = 10;
    assert_int_equal(hush_secret_new(&op, bytes, 11, &s), HUSH_TOO_LARGE);
    assert_string_equal(op.detail, "the value has 11 bytes, the limit is 10");
    assert_int_equal(hush_secret_alloc(&op, SIZE_MAX, &s, &to), HUSH_TOO_LARGE);
    op.secret_max = SIZE;
    assert_int_equal(hush_secret_alloc(&op, SIZE, &s, &to), HUSH_NO_MEMORY);
    assert_string_equal(op.detail, "no room for 262144 bytes in the locked memory");
    assert_null(s); /* outputs are written on success only */
    assert_null(to);
    assert_int_equal(hush_arena_usage(arena).blocks, 0);
    op.secret_max = 10;
    assert_int_equal(hush_secret_new(&op, bytes, 10, &s), HUSH_OK);
    hush_secret_unref(s);
    hush_arena_free(arena);
}

static void a_secret_can_be_filled_in_place_and_shrunk(void **state)
{
    struct hush_arena *arena = hush_arena_new(SIZE);
    struct hush_secret *s = NULL, *same;
    uint8_t *bytes = NULL;
    struct hush_op op;

    (void)state; /* none */
    hush_op_init(&op, arena, 0);
    assert_int_equal(hush_secret_alloc(&op, 4096, &s, &bytes), HUSH_OK);
    assert_ptr_equal(bytes, hush_secret_bytes(s));
    memset(bytes, 'x', 4096);
    hush_secret_shrink(s, 5000);
    assert_int_equal(hush_secret_size(s), 4096);
    hush_secret_shrink(s, 3);
    assert_int_equal(hush_secret_size(s), 3);
    assert_int_equal(bytes[2], 'x');
    assert_int_equal(bytes[3], 0);
    assert_int_equal(bytes[4095], 0);
    assert_int_equal(hush_arena_usage(arena).used, 64);
    same = make(arena, "xxx", 3);
    assert_true(hush_secret_equal(s, same));
    hush_secret_unref(same);
    hush_secret_shrink(s, 0);
    assert_int_equal(hush_secret_size(s), 0);
    hush_secret_unref(s);
    hush_arena_free(arena);
}

static void only_same_bytes_are_equal(void **state)
{
    struct hush_arena *arena = hush_arena_new(SIZE);
    struct hush_secret *a = make(arena, "abc", 3), *b = make(arena, "abd", 3);
    struct hush_secret *longer = make(arena, "abcd", 4), *same = make(arena, "abc", 3);

    (void)state; /* none */
    assert_true(hush_secret_equal(a, a));
    assert_true(hush_secret_equal(a, same));
    assert_false(hush_secret_equal(a, b));
    assert_false(hush_secret_equal(a, longer));
    assert_false(hush_secret_equal(longer, a));
    assert_false(hush_secret_equal(a, NULL));
    assert_false(hush_secret_equal(NULL, a));
    assert_true(hush_secret_equal(NULL, NULL));
    hush_secret_unref(a);
    hush_secret_unref(b);
    hush_secret_unref(longer);
    hush_secret_unref(same);
    hush_arena_free(arena);
}

static void the_next_process_adopts_a_published_secret(void **state)
{
    int fd = hush_lockmem_create("hushfs-test", SIZE);
    struct hush_arena *arena = hush_arena_attach(fd);
    struct hush_secret *s = make(arena, "kept", 4), *lost = make(arena, "lost", 4);
    hush_block block, other;

    (void)state;                              /* none */
    assert_null(hush_secret_adopt(arena, 1)); /* not yet published */
    block = hush_secret_publish(s);
    assert_int_not_equal(block, 0);
    other = hush_arena_alloc(arena, HUSH_BLOCK_SNAPSHOT, 10);
    hush_arena_publish(arena, other);
    /* As if the process ended here: its handles are forgotten, never unreferenced. */
    hush_arena_free(arena);
    free(s);
    free(lost);

    arena = hush_arena_attach(fd);
    assert_null(hush_secret_adopt(arena, other)); /* another type */
    assert_null(hush_secret_adopt(arena, 0));
    assert_null(hush_secret_adopt(arena, UINT32_MAX));
    s = hush_secret_adopt(arena, block);
    assert_non_null(s);
    assert_int_equal(hush_secret_size(s), 4);
    assert_memory_equal(hush_secret_bytes(s), "kept", 4);
    assert_int_equal(hush_arena_usage(arena).blocks, 2);
    hush_secret_unref(s);
    assert_int_equal(hush_arena_published(arena, block), HUSH_BLOCK_NONE);
    hush_arena_free(arena);
    close(fd);
}

static void *hold_and_drop(void *ctx)
{
    for (int i = 0; i < 20000; i++)
        hush_secret_unref(hush_secret_ref(ctx));
    return hush_secret_unref(ctx);
}

static void references_are_counted_across_threads(void **state)
{
    struct hush_arena *arena = hush_arena_new(SIZE);
    struct hush_secret *s = make(arena, "shared", 6);
    pthread_t threads[4];

    (void)state; /* none */
    for (size_t i = 0; i < COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hold_and_drop, hush_secret_ref(s)), 0);
    for (size_t i = 0; i < COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    assert_memory_equal(hush_secret_bytes(s), "shared", 6);
    assert_int_equal(hush_arena_usage(arena).blocks, 1);
    hush_secret_unref(s);
    assert_int_equal(hush_arena_usage(arena).blocks, 0);
    hush_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_secret_holds_its_bytes_until_its_last_reference_goes),
        cmocka_unit_test(an_empty_secret_is_a_secret),
        cmocka_unit_test(limits_are_failures_with_a_reason),
        cmocka_unit_test(a_secret_can_be_filled_in_place_and_shrunk),
        cmocka_unit_test(only_same_bytes_are_equal),
        cmocka_unit_test(the_next_process_adopts_a_published_secret),
        cmocka_unit_test(references_are_counted_across_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
