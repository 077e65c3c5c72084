/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_jwe.c - messages and keys of providers/shared/jwe.h: what is sealed opens, what is not whole
 * does not, what we do not read is refused before a key is used, and nothing stays in memory. That
 * `jose` opens what we seal, and the other way round: tests/e2e/test_store.py.
 */
#include "core/arena.h"
#include "core/lockmem.h"
#include "core/wipealloc.h"
#include "jwe.h"
#include "memscan.h"
#include "shared/json.h"
#include "unit.h"

#include <string.h>

enum { ARENA_SIZE = 4 << 20, TEXT_MAX = 4 << 20, NEEDLE_SIZE = 64, KEY_TEXT_SIZE = 43 };

static const char kw_key[] =
    "{\"kty\":\"oct\",\"alg\":\"A256KW\",\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"}";
static const char dir_key[] =
    "{\"kty\":\"oct\",\"alg\":\"A256GCM\",\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"}";
static const char bare_key[] =
    "{\"kty\":\"oct\",\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"}";
static const char other_key[] =
    "{\"kty\":\"oct\",\"alg\":\"A256KW\",\"k\":\"YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI\"}";

static struct hush_arena *arena;

static int set_up(void **state)
{
    (void)state; /* none */
    hush_json_init();
    if (!hush_wipe_openssl_init())
        return 1;
    arena = hush_arena_new(ARENA_SIZE);
    return arena == NULL;
}

static int tear_down(void **state)
{
    (void)state; /* none */
    hush_arena_free(arena);
    return 0;
}

static struct hush_jwk_set *key_of(const char *text)
{
    struct hush_jwk_set *keys = NULL;
    struct hush_op op;

    hush_op_init(&op, arena, 0);
    assert_int_equal(hush_jwk_parse(&op, text, strlen(text), &keys), HUSH_OK);
    return keys;
}

/* A message with size bytes, each i % 251. */
static void seal(const struct hush_jwk_set *keys, size_t size, struct hush_text *out)
{
    uint8_t *bytes = malloc(size + 1);
    struct hush_op op;

    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i % 251);
    hush_text_init(out, TEXT_MAX);
    hush_op_init(&op, arena, 0);
    assert_int_equal(hush_jwe_seal(&op, keys, "{\"mine\":[1,{\"a\":\"b\"}]}", bytes, size, out),
                     HUSH_OK);
    free(bytes);
}

/* Parse and open; the bytes must be those of seal() if it succeeds, and zero if not. */
static enum hush_status unseal(const struct hush_jwk_set *keys, const char *text, size_t size,
                               size_t *which, struct hush_op *op)
{
    struct hush_jwe *jwe = NULL;
    enum hush_status status;
    uint8_t *bytes;

    hush_op_init(op, arena, 0);
    status = hush_jwe_parse(op, text, size, &jwe);
    if (status != HUSH_OK)
        return status;
    bytes = malloc(hush_jwe_size(jwe) + 1);
    assert_non_null(bytes);
    memset(bytes, 0, hush_jwe_size(jwe));
    status = hush_jwe_open(op, jwe, keys, bytes, which);
    for (size_t i = 0; i < hush_jwe_size(jwe); i++)
        assert_int_equal(bytes[i], status == HUSH_OK ? i % 251 : 0);
    free(bytes);
    hush_jwe_free(jwe);
    return status;
}

/* -- There and back ---------------------------------------------------------------------------- */

static void round_trip(const char *key, size_t size)
{
    struct hush_jwk_set *keys = key_of(key);
    struct hush_text text;
    struct hush_jwe *jwe = NULL;
    struct hush_op op;

    seal(keys, size, &text);
    assert_int_equal(unseal(keys, text.bytes, text.size, NULL, &op), HUSH_OK);
    assert_int_equal(hush_jwe_parse(&op, text.bytes, text.size, &jwe), HUSH_OK);
    assert_int_equal(hush_jwe_size(jwe), size);
    assert_int_equal(hush_jtree_count(hush_jtree_member(hush_jwe_header(jwe), "mine")), 2);
    hush_jwe_free(jwe);
    hush_text_done(&text);
    hush_jwk_free(keys);
}

static void what_is_sealed_opens(void **state)
{
    static const size_t sizes[] = {0, 1, 2, 3, 15, 16, 17, 47, 48, 49, 3071, 3072, 3073, 1 << 20};

    (void)state; /* none */
    for (size_t i = 0; i < COUNT(sizes); i++) {
        round_trip(kw_key, sizes[i]);
        round_trip(dir_key, sizes[i]);
        round_trip(bare_key, sizes[i]);
    }
}

static void a_new_key_is_another_one(void **state)
{
    struct hush_jwk_set *one = NULL, *two = NULL;
    struct hush_text text, again;
    struct hush_op op;

    (void)state; /* none */
    hush_op_init(&op, arena, 0);
    assert_int_equal(hush_jwk_generate(&op, &one), HUSH_OK);
    assert_int_equal(hush_jwk_generate(&op, &two), HUSH_OK);
    seal(one, 100, &text);
    assert_int_equal(unseal(one, text.bytes, text.size, NULL, &op), HUSH_OK);
    assert_int_equal(unseal(two, text.bytes, text.size, NULL, &op), HUSH_AUTH);
    hush_text_init(&again, TEXT_MAX); /* its text is the same key */
    hush_jwk_write(one, &again);
    hush_jwk_free(one);
    one = key_of(hush_text_string(&again));
    assert_int_equal(unseal(one, text.bytes, text.size, NULL, &op), HUSH_OK);
    hush_text_done(&again);
    hush_text_done(&text);
    hush_jwk_free(one);
    hush_jwk_free(two);
}

static void any_key_of_a_set_opens(void **state)
{
    struct hush_jwk_set *one = key_of(kw_key), *two = key_of(other_key), *both = NULL;
    struct hush_text text, set;
    struct hush_op op;
    size_t which = 9;

    (void)state; /* none */
    hush_op_init(&op, arena, 0);
    assert_int_equal(hush_jwk_join(&op, two, one, &both), HUSH_OK);
    assert_int_equal(hush_jwk_count(both), 2);
    seal(one, 10, &text);
    assert_int_equal(unseal(both, text.bytes, text.size, &which, &op), HUSH_OK);
    assert_int_equal(which, 1);
    hush_text_done(&text);
    seal(both, 10, &text); /* the first one seals */
    assert_int_equal(unseal(two, text.bytes, text.size, &which, &op), HUSH_OK);
    assert_int_equal(unseal(one, text.bytes, text.size, NULL, &op), HUSH_AUTH);
    hush_text_init(&set, TEXT_MAX);
    hush_jwk_write(both, &set);
    hush_jwk_free(both);
    both = key_of(hush_text_string(&set)); /* as a JWK set, and back */
    assert_int_equal(hush_jwk_count(both), 2);
    assert_int_equal(unseal(both, text.bytes, text.size, &which, &op), HUSH_OK);
    assert_int_equal(which, 0);
    hush_text_done(&set);
    hush_text_done(&text);
    hush_jwk_free(one);
    hush_jwk_free(two);
    hush_jwk_free(both);
}

static void a_passphrase_opens(void **state)
{
    struct hush_jwk_set *good = NULL, *bad = NULL, *jwk = key_of(kw_key);
    struct hush_text text;
    struct hush_op op;

    (void)state; /* none */
    hush_op_init(&op, arena, 0);
    assert_int_equal(hush_jwk_from_passphrase(&op, "correct horse", 13, &good), HUSH_OK);
    assert_int_equal(hush_jwk_from_passphrase(&op, "correct h\303\266rse", 14, &bad), HUSH_OK);
    seal(good, 100, &text);
    assert_non_null(strchr(text.bytes, '.'));
    assert_int_equal(unseal(good, text.bytes, text.size, NULL, &op), HUSH_OK);
    assert_int_equal(unseal(bad, text.bytes, text.size, NULL, &op), HUSH_AUTH);
    assert_int_equal(unseal(jwk, text.bytes, text.size, NULL, &op), HUSH_AUTH);
    hush_text_done(&text);
    seal(jwk, 100, &text); /* and no passphrase opens what a key sealed */
    assert_int_equal(unseal(good, text.bytes, text.size, NULL, &op), HUSH_AUTH);
    hush_text_done(&text);
    hush_jwk_free(good);
    hush_jwk_free(bad);
    hush_jwk_free(jwk);
    assert_int_equal(hush_jwk_from_passphrase(&op, "", 0, &bad), HUSH_CONFIG);
    assert_int_equal(hush_jwk_from_passphrase(&op, "\xff\xfe", 2, &bad), HUSH_CONFIG);
    assert_int_equal(hush_jwk_from_passphrase(&op, "a\0b", 3, &bad), HUSH_CONFIG);
}

/* -- What is not whole ------------------------------------------------------------------------- */

/* Every bit of every byte, every length: never the value, and always a reason. */
static void no_bit_may_be_another_one(const char *key)
{
    struct hush_jwk_set *keys = key_of(key);
    struct hush_text text;
    struct hush_op op;
    enum hush_status status;

    seal(keys, 21, &text);
    for (size_t i = 0; i < text.size; i++) {
        for (int bit = 0; bit < 8; bit++) {
            text.bytes[i] = (char)(text.bytes[i] ^ 1 << bit);
            status = unseal(keys, text.bytes, text.size, NULL, &op);
            assert_true(status == HUSH_PROTOCOL || status == HUSH_AUTH);
            assert_true(op.detail[0] != '\0');
            text.bytes[i] = (char)(text.bytes[i] ^ 1 << bit);
        }
        status = unseal(keys, text.bytes, i, NULL, &op); /* cut */
        assert_true(status == HUSH_PROTOCOL || status == HUSH_AUTH);
    }
    assert_int_equal(unseal(keys, text.bytes, text.size, NULL, &op), HUSH_OK);
    hush_text_done(&text);
    hush_jwk_free(keys);
}

static void what_was_changed_does_not_open(void **state)
{
    (void)state; /* none */
    no_bit_may_be_another_one(kw_key);
    no_bit_may_be_another_one(dir_key);
}

static void what_we_do_not_read_is_refused(void **state)
{
    /* Headers, from top: {"alg":"A256KW","enc":"A128CBC-HS256"},
     * {"alg":"RSA-OAEP","enc":"A256GCM"},
     * {"alg":"A256KW","enc":"A256GCM","zip":"DEF"}, the same with "crit":["b"], {"alg":"A256KW"},
     * {"alg":"PBES2-HS512+A256KW","enc":"A256GCM","p2c":100000000,"p2s":"AAAAAAAAAAA"}, the same
     * with "p2c":10. */
    static const char *const texts[] = {
        "",
        ".",
        "....",
        "a.b.c.d",
        "{}",
        "{\"protected\":1}",
        "not a jwe",
        "eyJhbGciOiJBMjU2S1ciLCJlbmMiOiJBMTI4Q0JDLUhTMjU2In0.AAAA.AAAAAAAAAAAAAAAA.AAAA."
        "AAAAAAAAAAAAAAAAAAAAAA",
        "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.AAAA.AAAAAAAAAAAAAAAA.AAAA."
        "AAAAAAAAAAAAAAAAAAAAAA",
        "eyJhbGciOiJBMjU2S1ciLCJlbmMiOiJBMjU2R0NNIiwiemlwIjoiREVGIn0.AAAA.AAAAAAAAAAAAAAAA.AAAA."
        "AAAAAAAAAAAAAAAAAAAAAA",
        "eyJhbGciOiJBMjU2S1ciLCJlbmMiOiJBMjU2R0NNIiwiY3JpdCI6WyJiIl19.AAAA.AAAAAAAAAAAAAAAA.AAAA."
        "AAAAAAAAAAAAAAAAAAAAAA",
        "eyJhbGciOiJBMjU2S1cifQ.AAAA.AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA",
        "eyJhbGciOiJQQkVTMi1IUzUxMitBMjU2S1ciLCJlbmMiOiJBMjU2R0NNIiwicDJjIjoxMDAwMDAwMDAsInAycyI6Ik"
        "FBQUFBQUFBQUFBIn0.AAAA.AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA",
        "eyJhbGciOiJQQkVTMi1IUzUxMitBMjU2S1ciLCJlbmMiOiJBMjU2R0NNIiwicDJjIjoxMCwicDJzIjoiQUFBQUFBQU"
        "FBQUEifQ.AAAA.AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA",
        /* {"alg":"A256KW","enc":"A256GCM"} with what may not be there */
        "{\"protected\":\"eyJhbGciOiJBMjU2S1ciLCJlbmMiOiJBMjU2R0NNIn0\",\"ciphertext\":\"AAAA\","
        "\"recipients\":[]}",
        "{\"protected\":\"eyJhbGciOiJBMjU2S1ciLCJlbmMiOiJBMjU2R0NNIn0\",\"ciphertext\":\"AAAA\","
        "\"header\":{\"p2c\":1000}}",
        "{\"protected\":\"eyJhbGciOiJBMjU2S1ciLCJlbmMiOiJBMjU2R0NNIn0\",\"ciphertext\":\"AAAA\","
        "\"unprotected\":{}}",
        "{\"protected\":\"eyJhbGciOiJBMjU2S1ciLCJlbmMiOiJBMjU2R0NNIn0\",\"ciphertext\":\"AAAA\","
        "\"aad\":\"AAAA\"}",
        "{\"protected\":\"eyJhbGciOiJBMjU2S1ciLCJlbmMiOiJBMjU2R0NNIn0\"}",
        "{\"protected\":\"!\",\"ciphertext\":\"AAAA\"}",
    };

    (void)state; /* none */
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct hush_jwe *jwe = NULL;
        struct hush_op op;

        hush_op_init(&op, arena, 0);
        assert_int_equal(hush_jwe_parse(&op, texts[i], strlen(texts[i]), &jwe), HUSH_PROTOCOL);
        assert_null(jwe);
        assert_true(op.detail[0] != '\0');
    }
}

static void what_is_no_key_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "[]",
        "{}",
        "{\"keys\":[]}",
        "{\"keys\":{}}",
        "{\"keys\":[1]}",
        "{\"kty\":\"oct\"}",
        "{\"kty\":\"oct\",\"k\":\"AAAA\"}",
        "{\"kty\":\"oct\",\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZW!\"}x",
        "{\"kty\":\"oct\",\"alg\":\"HS256\",\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"}",
        "{\"kty\":\"oct\",\"alg\":1,\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"}",
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}",
    };

    (void)state; /* none */
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct hush_jwk_set *keys = NULL;
        struct hush_op op;

        hush_op_init(&op, arena, 0);
        assert_int_equal(hush_jwk_parse(&op, texts[i], strlen(texts[i]), &keys), HUSH_CONFIG);
        assert_null(keys);
        assert_true(op.detail[0] != '\0');
    }
}

/* -- Nothing stays ----------------------------------------------------------------------------- */

/* Letters, each different from what stands in this program. */
static unsigned char needle(size_t position)
{
    return (unsigned char)('a' + (position * 11 + position / 26 + (position * position) % 7) % 26);
}

/* The text of a key: base64url whose last digit leaves no bits over. */
static unsigned char key_needle(size_t position)
{
    return position == KEY_TEXT_SIZE - 1
               ? 'c'
               : (unsigned char)('A' + (position * 7 + (position * position) % 5) % 26);
}

/* The bits of that, as they are in memory when it is used. */
static unsigned char raw_key_needle(size_t position)
{
    const size_t from = position / 3 * 4 + position % 3;
    const unsigned left = (unsigned)(key_needle(from) - 'A'),
                   right = (unsigned)(key_needle(from + 1) - 'A');
    const unsigned shift = 2 * (unsigned)(position % 3) + 2;

    return (unsigned char)(left << shift | right >> (6 - shift));
}

static struct hush_jwk_set *plant_key(void)
{
    char text[128];
    struct hush_jwk_set *keys = NULL;
    struct hush_op op;
    size_t size = 0;

    size += (size_t)snprintf(text, sizeof(text), "{\"kty\":\"oct\",\"k\":\"");
    for (size_t i = 0; i < KEY_TEXT_SIZE; i++)
        text[size++] = (char)key_needle(i);
    text[size++] = '"';
    text[size++] = '}';
    hush_op_init(&op, arena, 0);
    assert_int_equal(hush_jwk_parse(&op, text, size, &keys), HUSH_OK);
    hush_wipe(text, sizeof(text));
    return keys;
}

static void nothing_of_a_value_stays(void **state)
{
    struct hush_jwk_set *keys;
    struct hush_secret *value = NULL;
    struct hush_jwe *jwe = NULL;
    struct hush_text text;
    struct hush_op op;
    uint8_t *bytes = NULL;

    (void)state; /* none */
    if (!memscan_works())
        skip();
    keys = key_of(kw_key);
    hush_op_init(&op, arena, 0);
    hush_text_init(&text, TEXT_MAX);
    assert_int_equal(hush_secret_alloc(&op, NEEDLE_SIZE, &value, &bytes), HUSH_OK);
    for (size_t i = 0; i < NEEDLE_SIZE; i++)
        bytes[i] = needle(i);
    assert_true(memscan_count(needle, NEEDLE_SIZE) > 0); /* the scan sees what is there */
    assert_int_equal(hush_jwe_seal(&op, keys, NULL, bytes, NEEDLE_SIZE, &text), HUSH_OK);
    hush_secret_unref(value);
    assert_int_equal(memscan_count(needle, NEEDLE_SIZE), 0);
    assert_int_equal(hush_jwe_parse(&op, text.bytes, text.size, &jwe), HUSH_OK);
    assert_int_equal(hush_secret_alloc(&op, NEEDLE_SIZE, &value, &bytes), HUSH_OK);
    assert_int_equal(hush_jwe_open(&op, jwe, keys, bytes, NULL), HUSH_OK);
    /* In its four pieces, once each: in the secret and nowhere else. */
    assert_int_equal(memscan_count(needle, NEEDLE_SIZE), NEEDLE_SIZE / MEMSCAN_PIECE);
    hush_secret_unref(value);
    assert_int_equal(memscan_count(needle, NEEDLE_SIZE), 0);
    hush_jwe_free(jwe);
    hush_text_done(&text);
    hush_jwk_free(keys);
}

static void nothing_of_a_key_stays(void **state)
{
    unsigned char raw[32];
    struct hush_jwk_set *keys;
    struct hush_text text;
    struct hush_op op;

    (void)state; /* none */
    if (!memscan_works())
        skip();
    for (size_t i = 0; i < sizeof(raw); i++)
        raw[i] = raw_key_needle(i);
    assert_true(memscan_count(raw_key_needle, sizeof(raw)) > 0);
    hush_wipe(raw, sizeof(raw));
    keys = plant_key();
    assert_true(memscan_count(key_needle, KEY_TEXT_SIZE - 11) > 0);
    seal(keys, 1000, &text);
    assert_int_equal(unseal(keys, text.bytes, text.size, NULL, &op), HUSH_OK);
    text.bytes[text.size - 5] ^= 1;
    assert_int_not_equal(unseal(keys, text.bytes, text.size, NULL, &op), HUSH_OK);
    hush_text_done(&text);
    hush_jwk_free(keys);
    assert_int_equal(memscan_count(key_needle, KEY_TEXT_SIZE - 11), 0);
    assert_int_equal(memscan_count(raw_key_needle, 32), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sealed_opens),
        cmocka_unit_test(a_new_key_is_another_one),
        cmocka_unit_test(any_key_of_a_set_opens),
        cmocka_unit_test(a_passphrase_opens),
        cmocka_unit_test(what_was_changed_does_not_open),
        cmocka_unit_test(what_we_do_not_read_is_refused),
        cmocka_unit_test(what_is_no_key_is_refused),
        cmocka_unit_test(nothing_of_a_value_stays),
        cmocka_unit_test(nothing_of_a_key_stays),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
