/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jwe.c - see jwe.h. libjose wraps and unwraps keys, decrypts and proves; here is what it does not
 * judge (which algorithms, which members) and how bytes come and go.
 *
 * libjose's calls for whole messages are not used: they grow a buffer byte by byte with realloc(3)
 * and leave a trail of plaintext. Its streams write where we say.
 */
#include "core/lockmem.h"
#include "core/wipealloc.h"
#include "jwe_int.h"

#include <jose/b64.h>
#include <jose/jwe.h>
#include <stdlib.h>
#include <string.h>

enum {
    JWE_PARTS = 5, /* of the compact serialization */
    JWE_HEADER_MAX = 64 << 10,
};

struct hush_jwe {
    json_t *message;        /* what libjose sees: all but the ciphertext */
    json_t *header;         /* the protected one, decoded */
    const char *ciphertext; /* base64url, in the caller's bytes or in message */
    size_t ciphertext_size;
};

enum hush_status hush_jwe_no_memory(struct hush_op *op)
{
    return hush_fail(op, HUSH_NO_MEMORY, "no memory for a JWE");
}

static enum hush_status jwe_refuse(struct hush_op *op, const char *why)
{
    return hush_fail(op, HUSH_PROTOCOL, "not a JWE that is read here: %s", why);
}

/* libjose's own texts go to standard error unless somebody takes them. */
static void jwe_mute(void *misc, const char *file, int line, uint64_t err, const char *fmt,
                     va_list args)
{
    (void)misc; /* what failed is said by the caller */
    (void)file;
    (void)line;
    (void)err;
    (void)fmt;
    (void)args;
}

/*
 * libjose makes OpenSSL allocate as it is loaded, before main(): from then on it would be too late
 * for hush_wipe_openssl_init(). So it is called earlier, when all libraries are mapped and none has
 * begun.
 */
__attribute__((no_sanitize("address", "thread", "undefined"))) static void jwe_early(void)
{
    (void)hush_wipe_openssl_init(); /* the program asks again, and fails if this did */
}

__attribute__((section(".preinit_array"),
               used)) static void (*const jwe_early_entry)(void) = jwe_early;

jose_cfg_t *hush_jwe_cfg(void)
{
    jose_cfg_t *cfg = jose_cfg();

    if (cfg != NULL)
        jose_cfg_set_err_func(cfg, jwe_mute, NULL);
    return cfg;
}

void hush_jwe_cfg_done(jose_cfg_t **cfg)
{
    if (*cfg != NULL)
        jose_cfg_decref(*cfg);
}

/* -- Taking apart ------------------------------------------------------------------------------ */

static bool jwe_is_base64url(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (strchr(JOSE_B64_MAP, text[i]) == NULL || text[i] == '\0')
            return false;
    return size % 4 != 1;
}

/* The compact serialization: five parts with dots between. */
static enum hush_status jwe_take_compact(struct hush_op *op, struct hush_jwe *jwe,
                                         const char *bytes, size_t size)
{
    const char *part[JWE_PARTS], *at = bytes, *end = bytes + size;
    size_t length[JWE_PARTS];

    for (int i = 0; i < JWE_PARTS; i++) {
        const char *dot = memchr(at, '.', (size_t)(end - at));
        if ((dot == NULL) != (i == JWE_PARTS - 1))
            return jwe_refuse(op, "not five parts with dots between");
        part[i] = at;
        length[i] = (size_t)((dot == NULL ? end : dot) - at);
        if (!jwe_is_base64url(part[i], length[i]))
            return jwe_refuse(op, "a part is not base64url");
        at = dot == NULL ? end : dot + 1;
    }
    if (length[0] > JWE_HEADER_MAX)
        return jwe_refuse(op, "the header is too large");
    jwe->message =
        json_pack("{s:s%,s:s%,s:s%,s:s%}", "protected", part[0], length[0], "encrypted_key",
                  part[1], length[1], "iv", part[2], length[2], "tag", part[4], length[4]);
    jwe->ciphertext = part[3];
    jwe->ciphertext_size = length[3];
    return jwe->message == NULL ? hush_jwe_no_memory(op) : HUSH_OK;
}

/* With PBES2, libjose puts the salt and the number of rounds outside of the protected header. */
static bool jwe_is_plain_header(json_t *header)
{
    const char *name;
    json_t *member;

    json_object_foreach(header, name, member) if (strcmp(name, "p2s") != 0 &&
                                                  strcmp(name, "p2c") != 0) return false;
    return json_is_object(header);
}

static bool jwe_is_member(const char *name, json_t *member)
{
    static const char *const names[] = {"protected", "encrypted_key", "iv", "ciphertext", "tag"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0)
            return json_is_string(member) &&
                   jwe_is_base64url(json_string_value(member), json_string_length(member));
    return strcmp(name, "header") == 0 && jwe_is_plain_header(member);
}

/* The flattened JSON serialization. */
static enum hush_status jwe_take_json(struct hush_op *op, struct hush_jwe *jwe, const char *bytes,
                                      size_t size)
{
    const enum hush_status status = hush_json_load(op, bytes, size, &jwe->message);
    const char *name;
    json_t *member;

    if (status != HUSH_OK)
        return status;
    json_object_foreach(jwe->message, name, member) if (
        !jwe_is_member(name, member)) return jwe_refuse(op,
                                                        "a member is unknown, or not base64url");
    member = json_object_get(jwe->message, "ciphertext");
    if (member == NULL)
        return jwe_refuse(op, "it has no ciphertext");
    jwe->ciphertext = json_string_value(member);
    jwe->ciphertext_size = json_string_length(member);
    return HUSH_OK;
}

static enum hush_status jwe_take_header(struct hush_op *op, struct hush_jwe *jwe)
{
    const json_t *text = json_object_get(jwe->message, "protected");
    const size_t size = text == NULL ? 0 : jose_b64_dec(text, NULL, 0);
    enum hush_status status;
    char *bytes;

    if (size == 0 || size > JWE_HEADER_MAX)
        return jwe_refuse(op, "it has no protected header, or a large one");
    bytes = malloc(size);
    if (bytes == NULL)
        return hush_jwe_no_memory(op);
    status = jose_b64_dec(text, bytes, size) == size
                 ? hush_json_load(op, bytes, size, &jwe->header)
                 : jwe_refuse(op, "the protected header is not base64url");
    free(bytes); /* no secret: whoever has the file can read it */
    return status;
}

/* PBKDF2 runs as long as p2c says, before anything is proved. */
static bool jwe_has_fair_rounds(const struct hush_jwe *jwe)
{
    const json_t *rounds = json_object_get(jwe->header, "p2c");
    const json_t *other = json_object_get(json_object_get(jwe->message, "header"), "p2c");

    if (rounds == NULL)
        rounds = other;
    return json_is_integer(rounds) && json_integer_value(rounds) >= JWE_PBES2_ROUNDS_MIN &&
           json_integer_value(rounds) <= JWE_PBES2_ROUNDS;
}

bool hush_jwe_is_pbes2(const char *alg)
{
    return strcmp(alg, "PBES2-HS512+A256KW") == 0 || strcmp(alg, "PBES2-HS256+A128KW") == 0;
}

static enum hush_status jwe_check_header(struct hush_op *op, const struct hush_jwe *jwe)
{
    const char *alg = json_string_value(json_object_get(jwe->header, "alg"));
    const char *enc = json_string_value(json_object_get(jwe->header, "enc"));

    if (alg == NULL || enc == NULL)
        return jwe_refuse(op, "no \"alg\" or no \"enc\" in the protected header");
    if (strcmp(enc, "A256GCM") != 0)
        return jwe_refuse(op, "its \"enc\" is not A256GCM");
    if (json_object_get(jwe->header, "zip") != NULL || json_object_get(jwe->header, "crit") != NULL)
        return jwe_refuse(op, "its header says \"zip\" or \"crit\"");
    if (strcmp(alg, "dir") == 0 || strcmp(alg, "A256KW") == 0)
        return json_object_get(jwe->message, "header") == NULL
                   ? HUSH_OK
                   : jwe_refuse(op, "it has a header that is not protected");
    if (!hush_jwe_is_pbes2(alg))
        return jwe_refuse(op, "its \"alg\" is none of A256KW, dir, PBES2");
    return jwe_has_fair_rounds(jwe) ? HUSH_OK : jwe_refuse(op, "its \"p2c\" is out of range");
}

enum hush_status hush_jwe_parse(struct hush_op *op, const char *bytes, size_t size,
                                struct hush_jwe **out)
{
    struct hush_jwe *jwe = calloc(1, sizeof(*jwe));
    enum hush_status status;

    if (jwe == NULL)
        return hush_jwe_no_memory(op);
    if (size > 0 && bytes[size - 1] == '\n') /* `jose` ends a file so */
        size--;
    status = size > 0 && bytes[0] == '{' ? jwe_take_json(op, jwe, bytes, size)
                                         : jwe_take_compact(op, jwe, bytes, size);
    if (status == HUSH_OK)
        status = jwe_take_header(op, jwe);
    if (status == HUSH_OK)
        status = jwe_check_header(op, jwe);
    if (status == HUSH_OK)
        *out = jwe;
    else
        hush_jwe_free(jwe);
    return status;
}

void hush_jwe_free(struct hush_jwe *jwe)
{
    if (jwe == NULL)
        return;
    json_decref(jwe->message);
    json_decref(jwe->header);
    free(jwe);
}

size_t hush_jwe_size(const struct hush_jwe *jwe)
{
    const size_t rest = jwe->ciphertext_size % 4;

    return jwe->ciphertext_size / 4 * 3 + (rest == 0 ? 0 : rest - 1);
}

const struct hush_jtree *hush_jwe_header(const struct hush_jwe *jwe)
{
    return (const struct hush_jtree *)(const void *)jwe->header;
}

/* -- Streams ----------------------------------------------------------------------------------- */

/* The end of a chain of libjose's: bytes in place. It lives on the stack, so nothing frees it. */
struct jwe_sink {
    jose_io_t io; /* first */
    uint8_t *to;
    size_t size, used;
};

static bool jwe_sink_feed(jose_io_t *io, const void *in, size_t len)
{
    struct jwe_sink *sink = (struct jwe_sink *)(void *)io;

    if (len > sink->size - sink->used)
        return false;
    memcpy(sink->to + sink->used, in, len);
    sink->used += len;
    return true;
}

bool hush_jwe_io_done(jose_io_t *io)
{
    (void)io; /* all is there */
    return true;
}

void hush_jwe_io_free(jose_io_t *io)
{
    (void)io; /* on the stack */
}

/* -- Opening ----------------------------------------------------------------------------------- */

/* Is key of the kind that alg is for? (libjose would take any key's bytes for a passphrase.) */
static bool jwe_fits(const char *alg, const json_t *key)
{
    return hush_jwe_is_pbes2(alg) ? json_is_string(key) : strcmp(alg, hush_jwk_alg(key)) == 0;
}

static bool jwe_decrypt(const struct hush_jwe *jwe, jose_cfg_t *cfg, const json_t *cek, uint8_t *to)
{
    const size_t size = hush_jwe_size(jwe);
    struct jwe_sink sink = {
        .io = {.refs = 1,
               .feed = jwe_sink_feed,
               .done = hush_jwe_io_done,
               .free = hush_jwe_io_free},
        .to = to,
        .size = size,
    };
    jose_io_auto_t *decrypt = jose_jwe_dec_cek_io(cfg, jwe->message, cek, &sink.io);
    jose_io_auto_t *decode = decrypt == NULL ? NULL : jose_b64_dec_io(decrypt);

    if (decode != NULL && decode->feed(decode, jwe->ciphertext, jwe->ciphertext_size) &&
        decode->done(decode) && sink.used == size)
        return true;
    hush_wipe(to, size); /* not proved, so nobody's */
    return false;
}

enum hush_status hush_jwe_open(struct hush_op *op, const struct hush_jwe *jwe,
                               const struct hush_jwk_set *keys, uint8_t *to, size_t *which)
{
    const char *alg = json_string_value(json_object_get(jwe->header, "alg"));
    hush_jwe_cfg_auto *cfg = hush_jwe_cfg();
    bool unwrapped = false;

    if (cfg == NULL)
        return hush_jwe_no_memory(op);
    for (size_t i = 0; i < hush_jwk_count(keys); i++) {
        const json_t *key = json_array_get(keys->keys, i);
        json_auto_t *cek = NULL;

        if (jwe_fits(alg, key))
            cek = jose_jwe_dec_jwk(cfg, jwe->message, NULL, key);
        if (cek != NULL && jwe_decrypt(jwe, cfg, cek, to)) {
            if (which != NULL)
                *which = i;
            return HUSH_OK;
        }
        /* With "dir" a wrong key is only seen by the result. */
        unwrapped = unwrapped || (cek != NULL && strcmp(alg, "dir") != 0);
    }
    return unwrapped ? hush_fail(op, HUSH_PROTOCOL, "damaged: it does not prove what it says")
                     : hush_fail(op, HUSH_AUTH, "the key does not open it");
}
