/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jwe_seal.c - making messages; see jwe.h. libjose makes and wraps the key of the content; the
 * content is encrypted by OpenSSL, because libjose would free(3) what jansson allocated for the
 * header, which is not malloc's here but the wiping heap's. What comes out is the same.
 */
#include "core/lockmem.h"
#include "core/wipealloc.h"
#include "jwe_int.h"

#include <jose/b64.h>
#include <limits.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>

enum {
    JWE_IV_SIZE = 12,
    JWE_TAG_SIZE = 16,
    JWE_PIECE = 3 * 1024,
};

/* The end of a chain of libjose's: a text. It lives on the stack, so nothing frees it. */
struct jwe_writer {
    jose_io_t io; /* first */
    struct hush_text *text;
};

static bool jwe_writer_feed(jose_io_t *io, const void *in, size_t len)
{
    const struct jwe_writer *writer = (const struct jwe_writer *)(void *)io;

    hush_text_append(writer->text, in, len);
    return !writer->text->failed;
}

struct jwe_cipher {
    EVP_CIPHER_CTX *ctx;
    unsigned char iv[JWE_IV_SIZE];
};

static json_t *jwe_new_header(const json_t *key, const char *more)
{
    const char *alg = hush_jwk_alg(key);
    json_auto_t *header = more == NULL ? json_object() : json_loads(more, 0, NULL);

    if (!json_is_object(header) || json_object_set_new(header, "alg", json_string(alg)) != 0 ||
        json_object_set_new(header, "enc", json_string("A256GCM")) != 0)
        return NULL;
    if (hush_jwe_is_pbes2(alg) &&
        json_object_set_new(header, "p2c", json_integer(JWE_PBES2_ROUNDS)) != 0)
        return NULL;
    return json_incref(header);
}

/* What libjose wrote beside the protected header (the salt) goes into it; then it is a text. */
static bool jwe_encode_header(json_t *message)
{
    json_t *header = json_object_get(message, "protected");
    char *text;
    int failed;

    if (json_object_get(message, "header") != NULL &&
        json_object_update(header, json_object_get(message, "header")) != 0)
        return false;
    text = json_dumps(header, JSON_COMPACT | JSON_SORT_KEYS);
    if (text == NULL)
        return false;
    failed = json_object_set_new(message, "protected", jose_b64_enc(text, strlen(text)));
    hush_wipe_free(text); /* jansson's heap, see json.c */
    return failed == 0;
}

/* With the header as what is authenticated beside the content. */
static bool jwe_cipher_begin(struct jwe_cipher *cipher, const json_t *cek, const char *header)
{
    unsigned char key[JWE_KEY_SIZE];
    int none, good = 0;

    if (strlen(header) <= INT_MAX && RAND_bytes(cipher->iv, sizeof(cipher->iv)) == 1 &&
        jose_b64_dec(json_object_get(cek, "k"), key, sizeof(key)) == sizeof(key))
        good = EVP_EncryptInit_ex(cipher->ctx, EVP_aes_256_gcm(), NULL, key, cipher->iv);
    hush_wipe(key, sizeof(key));
    return good == 1 && EVP_EncryptUpdate(cipher->ctx, NULL, &none, (const unsigned char *)header,
                                          (int)strlen(header)) == 1;
}

/* To encode, in pieces. */
static bool jwe_cipher_run(const struct jwe_cipher *cipher, const uint8_t *bytes, size_t size,
                           jose_io_t *encode)
{
    unsigned char piece[JWE_PIECE];
    int got;

    while (size > 0) {
        const int part = (int)(size < sizeof(piece) ? size : sizeof(piece));
        if (EVP_EncryptUpdate(cipher->ctx, piece, &got, bytes, part) != 1 ||
            !encode->feed(encode, piece, (size_t)got))
            return false;
        bytes += part;
        size -= (size_t)part;
    }
    return EVP_EncryptFinal_ex(cipher->ctx, piece, &got) == 1 && encode->done(encode);
}

static bool jwe_put_base64url(struct hush_text *out, const unsigned char *bytes, size_t size)
{
    char text[JWE_TAG_SIZE / 3 * 4 + 4];
    const size_t length = jose_b64_enc_buf(bytes, size, text, sizeof(text));

    if (length > sizeof(text))
        return false;
    hush_text_append(out, text, length);
    return true;
}

/* All parts, in the order in which they are written. */
static bool jwe_put_parts(const struct jwe_cipher *cipher, const json_t *message,
                          const uint8_t *bytes, size_t size, struct hush_text *out)
{
    const char *wrapped = json_string_value(json_object_get(message, "encrypted_key"));
    struct jwe_writer writer = {
        .io = {.refs = 1,
               .feed = jwe_writer_feed,
               .done = hush_jwe_io_done,
               .free = hush_jwe_io_free},
        .text = out,
    };
    jose_io_auto_t *encode = jose_b64_enc_io(&writer.io);
    unsigned char tag[JWE_TAG_SIZE];

    hush_text_puts(out, json_string_value(json_object_get(message, "protected")));
    hush_text_puts(out, ".");
    hush_text_puts(out, wrapped == NULL ? "" : wrapped);
    hush_text_puts(out, ".");
    if (encode == NULL || !jwe_put_base64url(out, cipher->iv, sizeof(cipher->iv)))
        return false;
    hush_text_puts(out, ".");
    if (!jwe_cipher_run(cipher, bytes, size, encode) ||
        EVP_CIPHER_CTX_ctrl(cipher->ctx, EVP_CTRL_AEAD_GET_TAG, sizeof(tag), tag) != 1)
        return false;
    hush_text_puts(out, ".");
    return jwe_put_base64url(out, tag, sizeof(tag)) && !out->failed;
}

enum hush_status hush_jwe_seal(struct hush_op *op, const struct hush_jwk_set *keys,
                               const char *header, const uint8_t *bytes, size_t size,
                               struct hush_text *out)
{
    const json_t *key = json_array_get(keys->keys, 0);
    hush_jwe_cfg_auto *cfg = hush_jwe_cfg();
    json_auto_t *message = json_pack("{s:o}", "protected", jwe_new_header(key, header));
    json_auto_t *cek = json_object();
    struct jwe_cipher cipher = {.ctx = EVP_CIPHER_CTX_new()};
    bool good;

    if (cfg == NULL || message == NULL || cek == NULL || cipher.ctx == NULL) {
        EVP_CIPHER_CTX_free(cipher.ctx);
        return hush_jwe_no_memory(op);
    }
    good =
        jose_jwe_enc_jwk(cfg, message, NULL, key, cek) && jwe_encode_header(message) &&
        jwe_cipher_begin(&cipher, cek, json_string_value(json_object_get(message, "protected"))) &&
        jwe_put_parts(&cipher, message, bytes, size, out);
    EVP_CIPHER_CTX_free(cipher.ctx);
    if (good)
        return HUSH_OK;
    return out->failed ? hush_jwe_no_memory(op)
                       : hush_fail(op, HUSH_BACKEND, "could not encrypt: is the key for it?");
}
