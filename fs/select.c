/* SPDX-License-Identifier: Apache-2.0 */
/*
 * select.c - fields and base64 (see select.h). Nothing is copied but into secrets.
 */
#include "select.h"

#include "shared/json.h"

#include <stdint.h>
#include <string.h>

/* -- Fields ------------------------------------------------------------------------------------ */

static const struct hush_field *field_find(const struct hush_value *value, const char *name)
{
    for (size_t i = 0; i < value->field_count; i++)
        if (strcmp(value->fields[i].name, name) == 0)
            return &value->fields[i];
    return NULL;
}

static enum hush_status field_get(struct hush_op *op, const struct hush_value *map,
                                  const char *name, struct hush_secret **out)
{
    const struct hush_field *field = field_find(map, name);

    if (field == NULL)
        return hush_fail(op, HUSH_NOT_FOUND, "the secret has no field '%s'", name);
    *out = hush_secret_ref(field->value);
    return HUSH_OK;
}

/* The chosen part as the backend has it, with a reference for the caller. */
static enum hush_status part_get(struct hush_op *op, const struct hush_value *value,
                                 const char *field, struct hush_secret **out)
{
    struct hush_value map = {0};

    if (value->secret == NULL && (field == NULL || value->fields == NULL))
        return hush_fail(op, HUSH_PROTOCOL, "the answer has no value");
    if (field == NULL) {
        *out = hush_secret_ref(value->secret);
        return HUSH_OK;
    }
    if (value->fields != NULL)
        return field_get(op, value, field, out);
    enum hush_status status = hush_json_fields(op, value->secret, &map);
    if (status == HUSH_OK)
        status = field_get(op, &map, field, out);
    hush_value_clear(&map);
    return status;
}

/* -- Types of members -------------------------------------------------------------------------- */

/* The text was read by the JSON reader before, so this needs only to know where strings end. */
struct scan {
    const char *at, *end;
};

static void scan_string(struct scan *scan)
{
    for (scan->at++; scan->at < scan->end && *scan->at != '"'; scan->at++)
        if (*scan->at == '\\' && scan->at + 1 < scan->end)
            scan->at++;
    if (scan->at < scan->end)
        scan->at++;
}

/* Go on to the next c of this object's own. False: there is none. */
static bool scan_to(struct scan *scan, char c)
{
    unsigned depth = 0;

    while (scan->at < scan->end) {
        const char now = *scan->at;
        if (now == c && depth == 0)
            return true;
        if (now == '"') {
            scan_string(scan);
            continue;
        }
        if (now == '{' || now == '[')
            depth++;
        if ((now == '}' || now == ']') && depth-- == 0)
            return false;
        scan->at++;
    }
    return false;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Does the value of member number index begin like a string? */
static bool member_is_string(const struct hush_secret *text, size_t index)
{
    const char *bytes = (const char *)hush_secret_bytes(text);
    struct scan scan = {.at = bytes, .end = bytes + hush_secret_size(text)};

    if (!scan_to(&scan, '{'))
        return false;
    scan.at++;
    for (size_t i = 0; i < index; i++) {
        if (!scan_to(&scan, ','))
            return false;
        scan.at++;
    }
    if (!scan_to(&scan, ':'))
        return false;
    scan.at++;
    while (scan.at < scan.end && is_space(*scan.at))
        scan.at++;
    return scan.at < scan.end && *scan.at == '"';
}

enum hush_status hush_select_string(struct hush_op *op, const struct hush_value *value,
                                    const char *key)
{
    struct hush_value map = {0};

    if (value->secret == NULL)
        return hush_fail(op, HUSH_PROTOCOL, "the answer has no value");
    enum hush_status status = hush_json_fields(op, value->secret, &map);
    const struct hush_field *field = status == HUSH_OK ? field_find(&map, key) : NULL;
    if (status == HUSH_OK && field == NULL)
        status = hush_fail(op, HUSH_NOT_FOUND, "subfield '%s' not found in JSON secret", key);
    if (field != NULL && !member_is_string(value->secret, (size_t)(field - map.fields)))
        status = hush_fail(op, HUSH_PROTOCOL, "subfield '%s' of JSON secret is not a string", key);
    hush_value_clear(&map);
    return status;
}

/* -- base64 ------------------------------------------------------------------------------------ */

/* -1: not of the alphabet. */
static int sextet(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

/* Four characters, the last pad of which are padding, into 3 - pad bytes. */
static bool quad_decode(const uint8_t *in, size_t pad, uint8_t *out)
{
    uint32_t bits = 0;

    for (size_t i = 0; i < 4; i++) {
        const int value = i < 4 - pad ? sextet(in[i]) : 0;
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
    }
    for (size_t i = 0; i < 3 - pad; i++)
        out[i] = (uint8_t)(bits >> (16 - 8 * i));
    /* Bits that no byte holds must be zero: else two texts were one value. */
    return (bits & ((1u << 8 * pad) - 1)) == 0;
}

static bool base64_decode(const uint8_t *in, size_t size, size_t padding, uint8_t *out)
{
    for (size_t i = 0; i < size; i += 4, out += 3)
        if (!quad_decode(in + i, i + 4 == size ? padding : 0, out))
            return false;
    return true;
}

/* Not EVP_DecodeBlock(): it skips blanks, and counts padding as bytes. */
static enum hush_status secret_decode(struct hush_op *op, const struct hush_secret *encoded,
                                      struct hush_secret **out)
{
    const uint8_t *in = hush_secret_bytes(encoded);
    const size_t size = hush_secret_size(encoded);
    struct hush_secret *decoded = NULL;
    uint8_t *bytes = NULL;
    size_t padding = 0;

    if (size % 4 != 0)
        return hush_fail(op, HUSH_PROTOCOL,
                         "base64_decode: the value's length is no multiple of 4");
    while (size > 0 && padding < 2 && in[size - 1 - padding] == '=')
        padding++;
    const enum hush_status status = hush_secret_alloc(op, size / 4 * 3 - padding, &decoded, &bytes);
    if (status != HUSH_OK)
        return status;
    if (!base64_decode(in, size, padding, bytes)) {
        hush_secret_unref(decoded);
        return hush_fail(op, HUSH_PROTOCOL, "base64_decode: the value is not base64");
    }
    *out = decoded;
    return HUSH_OK;
}

enum hush_status hush_select(struct hush_op *op, const struct hush_value *value, const char *field,
                             bool base64, struct hush_secret **out)
{
    struct hush_secret *part = NULL;
    enum hush_status status = part_get(op, value, field, &part);

    if (status != HUSH_OK)
        return status;
    if (!base64) {
        *out = part;
        return HUSH_OK;
    }
    status = secret_decode(op, part, out);
    hush_secret_unref(part);
    return status;
}
