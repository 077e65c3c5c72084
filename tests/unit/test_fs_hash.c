/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fs_hash.c - SipHash-2-4 against the paper's example and OpenSSL's implementation.
 */
#include "hash.h"

#include "unit.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <string.h>

/* The paper's: bytes 00, 01, … as key and as input. */
static const uint64_t key[2] = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};

static uint64_t siphash_openssl(const unsigned char *bytes, size_t size)
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    size_t out_size = 8, n = 0;
    uint64_t out = 0;
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &out_size),
                                 OSSL_PARAM_construct_end()};

    assert_int_equal(EVP_MAC_init(ctx, (const unsigned char *)key, sizeof(key), params), 1);
    assert_int_equal(EVP_MAC_update(ctx, bytes, size), 1);
    assert_int_equal(EVP_MAC_final(ctx, (unsigned char *)&out, &n, sizeof(out)), 1);
    assert_int_equal(n, sizeof(out));
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
    return out;
}

static void test_example_of_the_paper(void **state)
{
    unsigned char bytes[15];

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)i;
    assert_true(hush_siphash(key, bytes, sizeof(bytes)) == UINT64_C(0xa129ca6149be45e5));
}

static void test_reference_vectors(void **state)
{
    unsigned char bytes[64];

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)i;
    for (size_t size = 0; size <= sizeof(bytes); size++)
        assert_true(hush_siphash(key, bytes, size) == siphash_openssl(bytes, size));
}

static void test_high_bytes(void **state)
{
    unsigned char bytes[1000];
    uint64_t random = 1;

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)unit_random(&random);
    for (size_t size = 0; size <= sizeof(bytes); size += 37)
        assert_true(hush_siphash(key, bytes, size) == siphash_openssl(bytes, size));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_example_of_the_paper),
        cmocka_unit_test(test_reference_vectors),
        cmocka_unit_test(test_high_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
