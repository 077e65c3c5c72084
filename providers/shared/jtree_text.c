/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jtree_text.c - from a tree back to bytes: the secrets inside an answer, and the bodies of
 * requests. Network providers call it. Whatever is built on the way is in memory that is wiped as
 * it is released; the results are in the arena.
 */
#include "core/text.h"
#include "core/wipealloc.h"
#include "jtree_int.h"

#include <stdlib.h>
#include <string.h>

/* Of a tree's compact text: a body is bounded, and no byte becomes more than six. */
enum { TREE_TEXT_MAX = 64 << 20 };

/* -- Compact JSON ------------------------------------------------------------------------------ */

/* With every NUL in it. */
static void text_string(struct hush_text *text, const char *key, const json_t *json)
{
    hush_json_raw(text, key, "");
    hush_text_json_string(text, json_string_value(json), json_string_length(json));
}

/* Anything but an object or an array. */
static void text_scalar(struct hush_text *text, const char *key, const json_t *json)
{
    const char *digits = hush_jtree_digits(json);

    if (digits != NULL)
        hush_json_raw(text, key, digits);
    else if (json_is_string(json))
        text_string(text, key, json);
    else if (json_is_integer(json))
        hush_json_i64(text, key, json_integer_value(json));
    else if (json_is_boolean(json))
        hush_json_bool(text, key, json_is_true(json));
    else
        hush_json_null(text, key);
}

static void text_value(struct hush_text *text, const char *key, const json_t *json)
{
    if (json_is_object(json) || json_is_array(json))
        hush_json_open(text, key, json_is_object(json) ? '{' : '[');
    else
        text_scalar(text, key, json);
}

static enum hush_status tree_compact(struct hush_op *op, json_t *json, struct hush_secret **out)
{
    struct hush_jtree_place place;
    struct hush_jtree_walk walk = {0};
    enum hush_status status;
    struct hush_text text;

    hush_text_init(&text, TREE_TEXT_MAX);
    text_value(&text, NULL, json);
    if (json_is_object(json) || json_is_array(json))
        hush_jtree_walk_init(&walk, json);
    while (hush_jtree_walk_next(&walk, &place)) {
        if (place.json != NULL)
            text_value(&text, place.key, place.json);
        else
            hush_json_close(&text, json_is_object(place.parent) ? '}' : ']');
    }
    status = text.failed ? hush_fail(op, HUSH_NO_MEMORY, "no memory to write JSON")
                         : hush_secret_new(op, text.bytes, text.size, out);
    hush_text_done(&text);
    return status;
}

/* -- Secrets ----------------------------------------------------------------------------------- */

static bool tree_is_string(const json_t *json)
{
    return json_is_string(json) && hush_jtree_digits(json) == NULL;
}

enum hush_status hush_jtree_secret(struct hush_op *op, const struct hush_jtree *node,
                                   struct hush_secret **out)
{
    const json_t *json = hush_jtree_json(node);

    if (!tree_is_string(json))
        return hush_fail(op, HUSH_PROTOCOL, "no string where one should be");
    return hush_secret_new(op, json_string_value(json), json_string_length(json), out);
}

static enum hush_status tree_field(struct hush_op *op, json_t *json, struct hush_secret **out)
{
    if (tree_is_string(json))
        return hush_jtree_secret(op, hush_jtree_node(json), out);
    return tree_compact(op, json, out);
}

static enum hush_status tree_fields(struct hush_op *op, json_t *object, struct hush_value *value)
{
    const char *name;
    json_t *member;

    value->fields = calloc(1, sizeof(*value->fields)); /* {} is a map too */
    if (value->fields == NULL)
        return hush_fail(op, HUSH_NO_MEMORY, "no memory for fields");
    json_object_foreach(object, name, member)
    {
        struct hush_secret *field = NULL;
        enum hush_status status = tree_field(op, member, &field);

        if (status == HUSH_OK)
            status = hush_value_add_field(op, value, name, field);
        if (status != HUSH_OK)
            return status;
    }
    return HUSH_OK;
}

enum hush_status hush_jtree_value(struct hush_op *op, const struct hush_jtree *node,
                                  struct hush_value *value)
{
    json_t *object = (json_t *)(uintptr_t)node; /* iterating changes nothing */
    struct hush_value made = {0};
    enum hush_status status;

    if (!json_is_object(object))
        return hush_fail(op, HUSH_PROTOCOL, "no JSON object where the secret should be");
    status = tree_fields(op, object, &made);
    if (status == HUSH_OK)
        status = tree_compact(op, object, &made.secret);
    if (status != HUSH_OK) {
        hush_value_clear(&made);
        return status;
    }
    value->secret = made.secret;
    value->fields = made.fields;
    value->field_count = made.field_count;
    return HUSH_OK;
}

/* -- Bodies of requests ------------------------------------------------------------------------ */

static enum hush_status row_add(struct hush_op *op, json_t *object,
                                const struct hush_jtree_row *row)
{
    const bool is_text = row->text != NULL;
    const char *bytes = is_text ? row->text : (const char *)hush_secret_bytes(row->secret);
    const size_t size = is_text ? strlen(row->text) : hush_secret_size(row->secret);
    json_t *string = json_stringn_nocheck(bytes, size);

    /* Checked apart, to be told from a lack of memory. */
    if (string == NULL)
        return hush_fail(op, HUSH_NO_MEMORY, "no memory to write JSON");
    if (json_string_setn(string, bytes, size) != 0) {
        json_decref(string);
        return hush_fail(op, HUSH_CONFIG, "\"%s\" is not UTF-8, it cannot be sent in JSON",
                         row->name);
    }
    if (json_object_set_new(object, row->name, string) != 0)
        return hush_fail(op, HUSH_NO_MEMORY, "no memory to write JSON");
    return HUSH_OK;
}

enum hush_status hush_jtree_write(struct hush_op *op, const struct hush_jtree_row *rows, char **out,
                                  size_t *size)
{
    json_t *object = json_object();
    enum hush_status status = HUSH_OK;
    char *text = NULL;

    for (; status == HUSH_OK && rows->name != NULL; rows++)
        if (rows->text != NULL || rows->secret != NULL)
            status = row_add(op, object, rows);
    if (status == HUSH_OK)
        text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    if (status == HUSH_OK && text == NULL)
        status = hush_fail(op, HUSH_NO_MEMORY, "no memory to write JSON");
    if (status != HUSH_OK)
        return status;
    *out = text;
    *size = strlen(text);
    return HUSH_OK;
}

void hush_jtree_text_free(char *text)
{
    hush_wipe_free(text); /* jansson's heap */
}
