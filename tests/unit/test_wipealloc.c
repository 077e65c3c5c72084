/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_wipealloc.c - the wiping allocator, and that OpenSSL leaves nothing behind with it. The scan
 * must find what is left without it, else it proves nothing.
 */
#include "core/lockmem.h"
#include "core/wipealloc.h"
#include "memscan.h"
#include "unit.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <string.h>

enum { NEEDLE_SIZE = 64 };

static unsigned char needle(size_t position)
{
    return (unsigned char)("ZYXWVUTSRQPONMLKJIHGFEDCBA987654"[(position * 5 + position / 9) % 32]);
}

static void blocks_are_aligned_and_know_their_size(void **state)
{
    static const size_t sizes[] = {0, 1, 15, 16, 17, 4096, 1 << 20};

    (void)state; /* none */
    for (size_t i = 0; i < COUNT(sizes); i++) {
        unsigned char *block = hush_wipe_malloc(sizes[i]);

        assert_non_null(block);
        assert_int_equal((uintptr_t)block % _Alignof(max_align_t), 0);
        assert_int_equal(hush_wipe_size(block), sizes[i]);
        memset(block, 0xff, sizes[i]);
        hush_wipe_free(block);
    }
    assert_int_equal(hush_wipe_size(NULL), 0);
    hush_wipe_free(NULL);
}

static void sizes_that_overflow_are_refused(void **state)
{
    (void)state; /* none */
    assert_null(hush_wipe_malloc(SIZE_MAX));
    assert_null(hush_wipe_malloc(SIZE_MAX - 8));
    assert_null(hush_wipe_calloc(SIZE_MAX / 2, 3));
    assert_null(hush_wipe_calloc(3, SIZE_MAX / 2));
}

static void calloc_zeroes_and_strdup_copies(void **state)
{
    unsigned char *zeros = hush_wipe_calloc(100, 10);
    char *text = hush_wipe_strdup("text");

    (void)state; /* none */
    assert_int_equal(hush_wipe_size(zeros), 1000);
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(zeros[i], 0);
    assert_string_equal(text, "text");
    assert_int_equal(hush_wipe_size(text), 5);
    hush_wipe_free(zeros);
    hush_wipe_free(text);
}

static void realloc_keeps_what_fits(void **state)
{
    unsigned char *block = hush_wipe_realloc(NULL, 10);

    (void)state; /* none */
    for (size_t i = 0; i < 10; i++)
        block[i] = (unsigned char)i;
    block = hush_wipe_realloc(block, 1000);
    assert_int_equal(hush_wipe_size(block), 1000);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(block[i], i);
    block = hush_wipe_realloc(block, 5);
    assert_int_equal(hush_wipe_size(block), 5);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(block[i], i);
    assert_null(hush_wipe_realloc(block, SIZE_MAX)); /* and the block stays */
    assert_int_equal(block[4], 4);
    assert_null(hush_wipe_realloc(block, 0));
}

static int free_twice(void *ctx)
{
    void *block = hush_wipe_malloc(100);

    (void)ctx; /* none */
    hush_wipe_free(block);
    hush_wipe_free(block);
    return 0;
}

static int free_a_strangers(void *ctx)
{
    static uint64_t words[64];

    (void)ctx; /* none */
    hush_wipe_free(words + 32);
    return 0;
}

static void what_is_not_ours_aborts(void **state)
{
    (void)state; /* none */
    if (memscan_works())
        assert_int_equal(in_child(free_twice, NULL), 128 + SIGABRT);
    assert_int_equal(in_child(free_a_strangers, NULL), 128 + SIGABRT);
}

/* -- Copies that stay -------------------------------------------------------------------------- */

/* Through a memory BIO that grows, a string copy, and a number: none of them is told to clear. */
static void use_openssl(void)
{
    char secret[NEEDLE_SIZE + 1], *copy;
    BIO *bio = BIO_new(BIO_s_mem());
    BIGNUM *number;

    for (size_t i = 0; i < NEEDLE_SIZE; i++)
        secret[i] = (char)needle(i);
    secret[NEEDLE_SIZE] = '\0';
    for (int i = 0; i < 100; i++)
        (void)BIO_write(bio, secret, NEEDLE_SIZE);
    copy = OPENSSL_strdup(secret);
    number = BN_bin2bn((const unsigned char *)secret, NEEDLE_SIZE, NULL);
    hush_wipe(secret, sizeof(secret));
    BN_free(number);
    OPENSSL_free(copy);
    BIO_free(bio);
}

static int openssl_as_it_is(void *ctx)
{
    (void)ctx; /* none */
    use_openssl();
    CHECK(memscan_count(needle, NEEDLE_SIZE) > 0);
    CHECK(!hush_wipe_openssl_init()); /* too late */
    return 0;
}

static int openssl_that_wipes(void *ctx)
{
    (void)ctx; /* none */
    CHECK(hush_wipe_openssl_init());
    use_openssl();
    CHECK(memscan_count(needle, NEEDLE_SIZE) == 0);
    return 0;
}

static int own_heap(void *ctx)
{
    char *block = hush_wipe_malloc(NEEDLE_SIZE);

    (void)ctx; /* none */
    for (size_t i = 0; i < NEEDLE_SIZE; i++)
        block[i] = (char)needle(i);
    CHECK(memscan_count(needle, NEEDLE_SIZE) == NEEDLE_SIZE / MEMSCAN_PIECE);
    block = hush_wipe_realloc(block, 10000);
    CHECK(memscan_count(needle, NEEDLE_SIZE) == NEEDLE_SIZE / MEMSCAN_PIECE);
    block = hush_wipe_realloc(block, 20);
    CHECK(memscan_count(needle, NEEDLE_SIZE) == 1);
    hush_wipe_free(block);
    CHECK(memscan_count(needle, NEEDLE_SIZE) == 0);
    return 0;
}

static void a_freed_block_leaves_no_copy(void **state)
{
    (void)state; /* none */
    if (!memscan_works())
        skip();
    assert_int_equal(in_child(own_heap, NULL), 0);
}

static void openssl_leaves_no_copy(void **state)
{
    (void)state; /* none */
    if (!memscan_works())
        skip();
    assert_int_equal(in_child(openssl_as_it_is, NULL), 0);
    assert_int_equal(in_child(openssl_that_wipes, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_aligned_and_know_their_size),
        cmocka_unit_test(sizes_that_overflow_are_refused),
        cmocka_unit_test(calloc_zeroes_and_strdup_copies),
        cmocka_unit_test(realloc_keeps_what_fits),
        cmocka_unit_test(what_is_not_ours_aborts),
        cmocka_unit_test(a_freed_block_leaves_no_copy),
        cmocka_unit_test(openssl_leaves_no_copy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
