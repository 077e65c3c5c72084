/* SPDX-License-Identifier: Apache-2.0 */
/*
 * certificate.c - certificates as servers read them. The PKI engine answers with PEM that lacks its
 * last newline, and with the chain as an array; a file that is to be concatenated, or read by nginx
 * (ssl_certificate: leaf first, then what signed it) or HAProxy (crt: that and the key in one
 * file), must be whole. Certificates are public; the key stays in the arena.
 */
#include "answer.h"

#include "core/cleanup.h"

#include <limits.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

/* -- X.509 ------------------------------------------------------------------------------------- */

static X509 *x509_read(const char *pem)
{
    const size_t size = strlen(pem);
    BIO *bio = size > INT_MAX ? NULL : BIO_new_mem_buf(pem, (int)size);
    X509 *certificate = bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, NULL, NULL);

    BIO_free(bio);
    return certificate;
}

static bool x509_is_self_signed(const char *pem)
{
    X509 *certificate = x509_read(pem);
    const bool is = certificate != NULL && X509_NAME_cmp(X509_get_subject_name(certificate),
                                                         X509_get_issuer_name(certificate)) == 0;

    X509_free(certificate);
    return is;
}

static bool x509_end(const char *pem, time_t *out)
{
    X509 *certificate = x509_read(pem);
    struct tm tm;
    const bool ok =
        certificate != NULL && ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm) == 1;

    X509_free(certificate);
    if (ok)
        *out = timegm(&tm);
    return ok;
}

/* -- PEM --------------------------------------------------------------------------------------- */

/* What is put together, each piece ending with a newline; borrowed. */
enum { PEM_PIECES = 32 };
struct pem {
    const char *pieces[PEM_PIECES];
    size_t count;
};

static bool pem_is(const char *text)
{
    return text != NULL && strncmp(text, "-----BEGIN ", 11) == 0;
}

static bool pem_ends(const char *text, size_t size)
{
    return size != 0 && text[size - 1] == '\n';
}

static void pem_add(struct pem *pem, const char *text)
{
    if (pem_is(text) && pem->count < PEM_PIECES)
        pem->pieces[pem->count++] = text;
}

static enum hush_status pem_secret(struct hush_op *op, const struct pem *pem,
                                   struct hush_secret **out)
{
    size_t total = 0;
    uint8_t *bytes;
    enum hush_status status;

    for (size_t i = 0; i < pem->count; i++) {
        const size_t size = strlen(pem->pieces[i]);
        total += size + !pem_ends(pem->pieces[i], size);
    }
    status = hush_secret_alloc(op, total, out, &bytes);
    if (status != HUSH_OK)
        return status;
    for (size_t i = 0; i < pem->count; i++) {
        const size_t size = strlen(pem->pieces[i]);
        memcpy(bytes, pem->pieces[i], size);
        bytes += size;
        if (!pem_ends(pem->pieces[i], size))
            *bytes++ = '\n';
    }
    return HUSH_OK;
}

/* -- pki/issue --------------------------------------------------------------------------------- */

static enum hush_status pki_replace(struct hush_op *op, struct hush_field *field,
                                    const struct pem *pem)
{
    struct hush_secret *secret = NULL;
    const enum hush_status status = pem_secret(op, pem, &secret);

    if (status != HUSH_OK)
        return status;
    hush_secret_unref(field->value);
    field->value = secret;
    return HUSH_OK;
}

static enum hush_status pki_add(struct hush_op *op, struct hush_value *value, const char *name,
                                const struct pem *pem)
{
    struct hush_secret *secret = NULL;
    const enum hush_status status = pem_secret(op, pem, &secret);

    return status == HUSH_OK ? hush_value_add_field(op, value, name, secret) : status;
}

/* The PEM of a member: a string, or an array of them. */
static void pki_member(const struct hush_jtree *node, struct pem *pem)
{
    pem_add(pem, hush_jtree_string(node));
    if (hush_jtree_is_object(node))
        return;
    for (size_t i = 0; i < hush_jtree_count(node); i++)
        pem_add(pem, hush_jtree_string(hush_jtree_element(node, i)));
}

static enum hush_status pki_finish_fields(struct hush_op *op, const struct hush_jtree *data,
                                          struct hush_value *value)
{
    enum hush_status status = HUSH_OK;

    for (size_t i = 0; status == HUSH_OK && i < value->field_count; i++) {
        struct pem pem = {.count = 0};
        pki_member(hush_jtree_member(data, value->fields[i].name), &pem);
        if (pem.count != 0)
            status = pki_replace(op, &value->fields[i], &pem);
    }
    return status;
}

/*
 * The certificate and what signed it, without the root: who trusts the root has it, and a server
 * that sends it wastes its clients' bytes. Nothing if the certificate is not one PEM block (format
 * = der, or pem_bundle, which has the key in it).
 */
static void pki_full_chain(const struct hush_jtree *data, struct pem *out)
{
    const char *certificate = hush_jtree_string(hush_jtree_member(data, "certificate"));
    struct pem chain = {.count = 0};

    if (!pem_is(certificate) || strstr(certificate + 1, "-----BEGIN ") != NULL)
        return;
    pem_add(out, certificate);
    pki_member(hush_jtree_member(data, "ca_chain"), &chain);
    if (chain.count == 0)
        pki_member(hush_jtree_member(data, "issuing_ca"), &chain);
    for (size_t i = 0; i < chain.count; i++)
        if (!x509_is_self_signed(chain.pieces[i]))
            pem_add(out, chain.pieces[i]);
}

static enum hush_status pki_add_fields(struct hush_op *op, const struct hush_jtree *data,
                                       struct hush_value *value)
{
    const char *key = hush_jtree_string(hush_jtree_member(data, "private_key"));
    struct pem chain = {.count = 0}, bundle = {.count = 0};
    enum hush_status status;

    pki_full_chain(data, &chain);
    if (chain.count == 0)
        return HUSH_OK;
    status = pki_add(op, value, "fullchain", &chain);
    if (status != HUSH_OK || !pem_is(key))
        return status;
    pem_add(&bundle, key);
    for (size_t i = 0; i < chain.count; i++)
        pem_add(&bundle, chain.pieces[i]);
    return pki_add(op, value, "bundle", &bundle);
}

enum hush_status vault_pki_value(struct hush_op *op, const struct hush_jtree *data,
                                 struct hush_value *value)
{
    const char *certificate = hush_jtree_string(hush_jtree_member(data, "certificate"));
    enum hush_status status = pki_finish_fields(op, data, value);
    uint64_t expiration;
    time_t end;

    if (status == HUSH_OK)
        status = pki_add_fields(op, data, value);
    if (status != HUSH_OK)
        return status;
    if (hush_jtree_number(hush_jtree_member(data, "expiration"), &expiration))
        value->meta.not_after = (time_t)expiration;
    else if (pem_is(certificate) && x509_end(certificate, &end))
        value->meta.not_after = end;
    return HUSH_OK;
}

/* -- SSH: PROTOCOL.certkeys of OpenSSH --------------------------------------------------------- */

struct ssh_cursor {
    const uint8_t *at, *end;
};

static bool ssh_number(struct ssh_cursor *cursor, size_t size, uint64_t *out)
{
    uint64_t value = 0;

    if ((size_t)(cursor->end - cursor->at) < size)
        return false;
    for (size_t i = 0; i < size; i++)
        value = value << 8 | *cursor->at++;
    *out = value;
    return true;
}

static bool ssh_skip(struct ssh_cursor *cursor, size_t strings)
{
    for (; strings > 0; strings--) {
        uint64_t size;
        if (!ssh_number(cursor, 4, &size) || size > (uint64_t)(cursor->end - cursor->at))
            return false;
        cursor->at += size;
    }
    return true;
}

/* How many strings a type's public key has; 0: not a certificate that we know. */
static size_t ssh_key_strings(const char *text)
{
    /* clang-format off */
    static const struct { const char *prefix; size_t strings; } types[] = {
        {"ssh-rsa-cert-v01@", 2},     {"ssh-dss-cert-v01@", 4},        {"ecdsa-sha2-nistp", 2},
        {"ssh-ed25519-cert-v01@", 1}, {"sk-ssh-ed25519-cert-v01@", 2}, {"sk-ecdsa-sha2-nistp", 3},
    };
    /* clang-format on */

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (strncmp(text, types[i].prefix, strlen(types[i].prefix)) == 0)
            return types[i].strings;
    return 0;
}

/* serial, type, key id, principals, valid after, valid before */
static bool ssh_read_end(struct ssh_cursor cursor, size_t key_strings, uint64_t *out)
{
    uint64_t ignored;

    return ssh_skip(&cursor, 2 + key_strings) && ssh_number(&cursor, 8, &ignored) &&
           ssh_number(&cursor, 4, &ignored) && ssh_skip(&cursor, 2) &&
           ssh_number(&cursor, 8, &ignored) && ssh_number(&cursor, 8, out);
}

bool vault_ssh_end(const char *text, time_t *out)
{
    const size_t key_strings = ssh_key_strings(text);
    const char *base64 = text + strcspn(text, " ");
    const size_t skip = strspn(base64, " "), size = strcspn(base64 + skip, " \r\n");
    cleanup_free uint8_t *bytes = NULL;
    uint64_t end = UINT64_MAX;
    int got;

    if (key_strings == 0 || size == 0 || size > HUSH_SECRET_SIZE_MAX)
        return false;
    bytes = malloc(size);
    got = bytes == NULL ? -1
                        : EVP_DecodeBlock(bytes, (const unsigned char *)base64 + skip, (int)size);
    if (got < 0 || !ssh_read_end((struct ssh_cursor){bytes, bytes + got}, key_strings, &end) ||
        end > INT64_MAX)
        return false; /* all ones: it never ends */
    *out = (time_t)end;
    return true;
}
