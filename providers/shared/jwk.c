/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jwk.c - the keys of jwe.h. A key stays a jansson object, as libjose wants it, in jansson's heap.
 */
#include "core/wipealloc.h"
#include "jwe_int.h"

#include <jose/b64.h>
#include <jose/jwk.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

enum {
    JWK_KEYS_MAX = 8,
    JWK_ID_BYTES = 8,
};

static enum hush_status jwk_no_memory(struct hush_op *op)
{
    return hush_fail(op, HUSH_NO_MEMORY, "no memory for a key");
}

void hush_jwk_free(struct hush_jwk_set *keys)
{
    if (keys == NULL)
        return;
    json_decref(keys->keys);
    free(keys);
}

size_t hush_jwk_count(const struct hush_jwk_set *keys)
{
    return json_array_size(keys->keys);
}

const char *hush_jwk_alg(const json_t *key)
{
    const char *alg = json_string_value(json_object_get(key, "alg"));

    if (json_is_string(key))
        return "PBES2-HS512+A256KW";
    return alg != NULL && strcmp(alg, "A256GCM") == 0 ? "dir" : "A256KW";
}

/* Takes over the reference to array, also on failure. */
static enum hush_status jwk_wrap(struct hush_op *op, json_t *array, struct hush_jwk_set **out)
{
    struct hush_jwk_set *keys = malloc(sizeof(*keys));

    if (keys == NULL) {
        json_decref(array);
        return jwk_no_memory(op);
    }
    if (array == NULL) {
        free(keys);
        return jwk_no_memory(op);
    }
    keys->keys = array;
    *out = keys;
    return HUSH_OK;
}

/* -- Reading ----------------------------------------------------------------------------------- */

/* NULL: key is one that we can use. */
static const char *jwk_fault(const json_t *key)
{
    const char *type = json_string_value(json_object_get(key, "kty"));
    const json_t *alg = json_object_get(key, "alg");
    const char *alg_text = json_string_value(alg);

    if (!json_is_object(key))
        return "not an object";
    if (type == NULL || strcmp(type, "oct") != 0)
        return "its \"kty\" is not \"oct\": only symmetric keys are read";
    if (alg != NULL &&
        (alg_text == NULL || (strcmp(alg_text, "A256KW") != 0 && strcmp(alg_text, "A256GCM") != 0)))
        return "its \"alg\" is neither A256KW nor A256GCM";
    if (!json_is_string(json_object_get(key, "k")) ||
        jose_b64_dec(json_object_get(key, "k"), NULL, 0) != JWE_KEY_SIZE)
        return "its \"k\" has not 256 bits in base64url";
    return NULL;
}

static enum hush_status jwk_check(struct hush_op *op, const json_t *array)
{
    const size_t count = json_array_size(array);

    if (count == 0 || count > JWK_KEYS_MAX)
        return hush_fail(op, HUSH_CONFIG, "a JWK set of %zu keys: 1 to %d are read", count,
                         JWK_KEYS_MAX);
    for (size_t i = 0; i < count; i++) {
        const char *fault = jwk_fault(json_array_get(array, i));
        if (fault != NULL)
            return hush_fail(op, HUSH_CONFIG, "key %zu is no JWK for us: %s", i + 1, fault);
    }
    return HUSH_OK;
}

enum hush_status hush_jwk_parse(struct hush_op *op, const char *text, size_t size,
                                struct hush_jwk_set **out)
{
    json_auto_t *object = NULL, *array = NULL;
    enum hush_status status = hush_json_load(op, text, size, &object);

    if (status == HUSH_PROTOCOL)
        return HUSH_CONFIG; /* the detail fits */
    if (status != HUSH_OK)
        return status;
    array = json_object_get(object, "keys") != NULL ? json_incref(json_object_get(object, "keys"))
                                                    : json_pack("[O]", object);
    if (array == NULL)
        return jwk_no_memory(op);
    status = jwk_check(op, array);
    return status != HUSH_OK ? status : jwk_wrap(op, json_incref(array), out);
}

enum hush_status hush_jwk_from_passphrase(struct hush_op *op, const char *bytes, size_t size,
                                          struct hush_jwk_set **out)
{
    json_t *text = json_stringn(bytes, size); /* NULL: not UTF-8, which a JSON string must be */

    if (text == NULL || size == 0 || memchr(bytes, '\0', size) != NULL) {
        json_decref(text);
        return hush_fail(op, HUSH_CONFIG, "the passphrase is empty, or not UTF-8 text");
    }
    return jwk_wrap(op, json_pack("[o]", text), out);
}

/* -- Making ------------------------------------------------------------------------------------ */

enum hush_status hush_jwk_generate(struct hush_op *op, struct hush_jwk_set **out)
{
    unsigned char id[JWK_ID_BYTES];
    json_auto_t *key = json_pack("{s:s}", "alg", "A256KW");

    if (key == NULL)
        return jwk_no_memory(op);
    if (RAND_bytes(id, sizeof(id)) != 1 || !jose_jwk_gen(NULL, key) || jwk_fault(key) != NULL)
        return hush_fail(op, HUSH_BACKEND, "could not make a key");
    if (json_object_set_new(key, "kid", jose_b64_enc(id, sizeof(id))) != 0)
        return jwk_no_memory(op);
    return jwk_wrap(op, json_pack("[O]", key), out);
}

enum hush_status hush_jwk_join(struct hush_op *op, const struct hush_jwk_set *first,
                               const struct hush_jwk_set *rest, struct hush_jwk_set **out)
{
    json_auto_t *array = json_pack("[O]", json_array_get(first->keys, 0));

    if (array == NULL || (rest != NULL && json_array_extend(array, rest->keys) != 0))
        return jwk_no_memory(op);
    return jwk_wrap(op, json_incref(array), out);
}

void hush_jwk_write(const struct hush_jwk_set *keys, struct hush_text *text)
{
    json_auto_t *set = NULL;
    const json_t *what = json_array_get(keys->keys, 0);
    char *dump;

    if (hush_jwk_count(keys) > 1)
        what = set = json_pack("{s:O}", "keys", keys->keys);
    dump = what == NULL ? NULL : json_dumps(what, JSON_COMPACT | JSON_SORT_KEYS);
    if (dump == NULL) {
        text->failed = true;
        return;
    }
    hush_text_puts(text, dump);
    hush_text_puts(text, "\n");
    hush_wipe_free(dump); /* jansson's heap, see json.c */
}
