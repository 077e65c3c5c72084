/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_jwe.c - what stands in the files of a sealed store, for libFuzzer. The first byte says what
 * the rest is: a message, opened with a key that is known to the corpus; an index, which must read
 * back the same when it was taken; or a key.
 */
#include "core/wipealloc.h"
#include "jwe.h"
#include "sealed/index.h"
#include "shared/json.h"

#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 16 << 20 };

static const char fuzz_key[] =
    "{\"keys\":[{\"kty\":\"oct\",\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"},"
    "{\"kty\":\"oct\",\"alg\":\"A256GCM\",\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"}]}";

/* A failure has a reason. */
static bool fuzz_ok(const struct hush_op *op, enum hush_status status)
{
    if (status != HUSH_OK && op->detail[0] == '\0')
        abort();
    return status == HUSH_OK;
}

static void fuzz_message(struct hush_op *op, const char *text, size_t size)
{
    struct hush_jwk_set *keys = NULL;
    struct hush_jwe *jwe = NULL;
    uint8_t *bytes;

    if (!fuzz_ok(op, hush_jwe_parse(op, text, size, &jwe)))
        return;
    if (hush_jwk_parse(op, fuzz_key, strlen(fuzz_key), &keys) != HUSH_OK)
        abort();
    if (hush_jwe_size(jwe) > size)
        abort();
    bytes = malloc(hush_jwe_size(jwe)); /* not a byte more: the sanitizer looks */
    if (bytes != NULL || hush_jwe_size(jwe) == 0)
        (void)fuzz_ok(op, hush_jwe_open(op, jwe, keys, bytes, NULL));
    free(bytes);
    hush_jwe_free(jwe);
    hush_jwk_free(keys);
}

static void fuzz_index(struct hush_op *op, const char *text, size_t size)
{
    struct sealed_index *index = NULL, *again = NULL;
    struct hush_text first, second;

    if (!fuzz_ok(op, hush_sealed_index_parse(op, text, size, &index)))
        return;
    hush_text_init(&first, TEXT_MAX);
    hush_text_init(&second, TEXT_MAX);
    hush_sealed_index_write(index, &first);
    if (first.failed || hush_sealed_index_parse(op, first.bytes, first.size, &again) != HUSH_OK)
        abort();
    hush_sealed_index_write(again, &second);
    if (second.failed || first.size != second.size ||
        memcmp(first.bytes, second.bytes, first.size) != 0)
        abort();
    hush_text_done(&first);
    hush_text_done(&second);
    hush_sealed_index_unref(index);
    hush_sealed_index_unref(again);
}

static void fuzz_jwk(struct hush_op *op, const char *text, size_t size)
{
    struct hush_jwk_set *keys = NULL;

    if (!fuzz_ok(op, hush_jwk_parse(op, text, size, &keys)))
        return;
    if (hush_jwk_count(keys) == 0)
        abort();
    hush_jwk_free(keys);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const kinds[])(struct hush_op * op, const char *text,
                                 size_t size) = {fuzz_message, fuzz_index, fuzz_jwk};
    const char *text = (const char *)data + 1;
    struct hush_op op;
    char *copy;

    hush_json_init();
    if (!hush_wipe_openssl_init())
        abort();
    if (size == 0)
        return 0;
    copy = malloc(size); /* as long as it is, so that the sanitizer sees its end */
    if (copy == NULL)
        return 0;
    memcpy(copy, text, size - 1);
    hush_op_init(&op, NULL, 0);
    kinds[data[0] % 3](&op, copy, size - 1);
    free(copy);
    return 0;
}
