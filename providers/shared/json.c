/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.c - JSON answers and JSON secrets become fields. Providers call it, and the core where a
 * rule says that a secret is a map.
 *
 * jansson judges the text and decodes names and strings, in memory that is wiped when it is freed.
 * Every other value is taken from the text as it stands, less the space between its tokens: a
 * number keeps its digits (jansson would print 0.1 as 0.10000000000000001), and no printer makes
 * copies.
 */
#include "json.h"

#include "core/lockmem.h"
#include "core/wipealloc.h"
#include "json_int.h"

#include <stdlib.h>
#include <string.h>

enum {
    JSON_DEPTH_MAX = 32,
    JSON_STACK_SIZE = 4096, /* more than jansson's error paths use */
};

void hush_json_init(void)
{
    json_set_alloc_funcs(hush_wipe_malloc, hush_wipe_free);
}

/* jansson's heap holds secrets: without the wiping one nothing is parsed. */
static bool json_is_ready(void)
{
    json_malloc_t json_malloc;
    json_free_t json_free;

    json_get_alloc_funcs(&json_malloc, &json_free);
    return json_malloc == hush_wipe_malloc && json_free == hush_wipe_free;
}

/* -- Walking over text ------------------------------------------------------------------------- */

/* Feed bytes in their order; strings and their escapes are seen, everything else is up to you. */
struct json_walk {
    bool in_string, escaped;
    unsigned depth;
};

/* True if c is, or ends, part of a string. */
static bool json_walk_string(struct json_walk *walk, char c)
{
    if (!walk->in_string) {
        walk->in_string = c == '"';
        return walk->in_string;
    }
    if (walk->escaped)
        walk->escaped = false;
    else if (c == '\\')
        walk->escaped = true;
    else if (c == '"')
        walk->in_string = false;
    return true;
}

static void json_walk_byte(struct json_walk *walk, char c)
{
    if (json_walk_string(walk, c))
        return;
    if (c == '{' || c == '[')
        walk->depth++;
    else if ((c == '}' || c == ']') && walk->depth > 0)
        walk->depth--;
}

static bool json_is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* jansson's own limit is a constant of its build, and 2048. */
static bool json_is_too_deep(const char *text, size_t size)
{
    struct json_walk walk = {0};

    for (size_t i = 0; i < size; i++) {
        json_walk_byte(&walk, text[i]);
        if (walk.depth > JSON_DEPTH_MAX)
            return true;
    }
    return false;
}

/* What is left of the members of an object that jansson found in order. */
struct json_cursor {
    const char *at, *end;
};

/* To the first byte, outside of strings and of values, that is c or the object's end. */
static void json_cursor_find(struct json_cursor *cursor, char c)
{
    struct json_walk walk = {0};

    for (; cursor->at < cursor->end; cursor->at++) {
        if (walk.depth == 0 && !walk.in_string && (*cursor->at == c || *cursor->at == '}'))
            return;
        json_walk_byte(&walk, *cursor->at);
    }
}

/* The next member's value, with space around it. */
static struct json_cursor json_cursor_next(struct json_cursor *cursor)
{
    struct json_cursor value;

    json_cursor_find(cursor, ':');
    value.at = cursor->at < cursor->end ? ++cursor->at : cursor->end;
    json_cursor_find(cursor, ',');
    value.end = cursor->at;
    if (cursor->at < cursor->end)
        cursor->at++;
    return value;
}

/* -- Fields ------------------------------------------------------------------------------------ */

/* The value without space between its tokens, to `to` unless NULL. Returns its size. */
static size_t json_compact(struct json_cursor value, uint8_t *to)
{
    struct json_walk walk = {0};
    size_t size = 0;

    for (; value.at < value.end; value.at++) {
        if (!json_walk_string(&walk, *value.at) && json_is_space(*value.at))
            continue;
        if (to != NULL)
            to[size] = (uint8_t)*value.at;
        size++;
    }
    return size;
}

static enum hush_status json_field(struct hush_op *op, const json_t *value, struct json_cursor text,
                                   struct hush_secret **out)
{
    enum hush_status status;
    uint8_t *bytes;

    if (json_is_string(value))
        return hush_secret_new(op, json_string_value(value), json_string_length(value), out);
    status = hush_secret_alloc(op, json_compact(text, NULL), out, &bytes);
    if (status == HUSH_OK)
        (void)json_compact(text, bytes); /* the size is known */
    return status;
}

static enum hush_status json_add_members(struct hush_op *op, json_t *object,
                                         struct json_cursor text, struct hush_value *value)
{
    const char *name;
    json_t *member;

    text.at = (const char *)memchr(text.at, '{', (size_t)(text.end - text.at)) + 1;
    json_object_foreach(object, name, member)
    {
        struct hush_secret *field = NULL;
        enum hush_status status = json_field(op, member, json_cursor_next(&text), &field);

        if (status == HUSH_OK)
            status = hush_value_add_field(op, value, name, field);
        if (status != HUSH_OK)
            return status;
    }
    return HUSH_OK;
}

/* -- Refusals ---------------------------------------------------------------------------------- */

/* jansson's own text quotes what it was reading. */
static const char *json_error_reason(enum json_error_code code)
{
    /* clang-format off */
    static const struct { enum json_error_code code; const char *text; } reasons[] = {
        {json_error_premature_end_of_input, "it ends too early"},
        {json_error_end_of_input_expected,  "something follows its end"},
        {json_error_invalid_utf8,           "it is not UTF-8"},
        {json_error_null_character,         "a string contains a NUL character"},
        {json_error_null_byte_in_key,       "a key contains a NUL character"},
        {json_error_duplicate_key,          "a key comes twice in one object"},
        {json_error_numeric_overflow,       "a number needs more than 64 bits: make it a string"},
        {json_error_stack_overflow,         "it is nested too deeply"},
    };
    /* clang-format on */

    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i].code == code)
            return reasons[i].text;
    return "wrong syntax";
}

/* jansson puts what it was reading into buffers on its stack when it fails: overwrite that place.
 */
static __attribute__((noinline)) void json_wipe_stack(void)
{
    uint8_t place[JSON_STACK_SIZE];

    hush_wipe(place, sizeof(place));
}

static enum hush_status json_refuse(struct hush_op *op, json_error_t *error)
{
    const enum json_error_code code = json_error_code(error);
    const int line = error->line, column = error->column;

    hush_wipe(error, sizeof(*error));
    json_wipe_stack();
    if (code == json_error_out_of_memory)
        return hush_fail(op, HUSH_NO_MEMORY, "no memory to read JSON");
    return hush_fail(op, HUSH_PROTOCOL, "malformed JSON at line %d, column %d: %s", line, column,
                     json_error_reason(code));
}

/* What jansson need not, or cannot, judge. */
static enum hush_status json_check(struct hush_op *op, const char *text, size_t size)
{
    size_t space = 0;

    if (!json_is_ready())
        return hush_fail(op, HUSH_BACKEND, "hush_json_init() was not called");
    while (space < size && json_is_space(text[space]))
        space++;
    if (space == size)
        return hush_fail(op, HUSH_PROTOCOL, "empty where a JSON object should be");
    if (text[space] != '{')
        return hush_fail(op, HUSH_PROTOCOL, "not a JSON object");
    if (json_is_too_deep(text, size))
        return hush_fail(op, HUSH_PROTOCOL, "JSON nested deeper than %d", JSON_DEPTH_MAX);
    return HUSH_OK;
}

static enum hush_status json_load(struct hush_op *op, const char *text, size_t size, size_t flags,
                                  json_t **out)
{
    enum hush_status status = json_check(op, text, size);
    json_error_t error = {0};
    json_t *object;

    if (status != HUSH_OK)
        return status;
    object = json_loadb(text, size, JSON_REJECT_DUPLICATES | flags, &error);
    if (object == NULL)
        return json_refuse(op, &error);
    *out = object;
    return HUSH_OK;
}

enum hush_status hush_json_load(struct hush_op *op, const char *text, size_t size, json_t **out)
{
    return json_load(op, text, size, 0, out);
}

enum hush_status hush_json_load_any(struct hush_op *op, const char *text, size_t size, json_t **out)
{
    return json_load(op, text, size, JSON_ALLOW_NUL, out);
}

enum hush_status hush_json_fields(struct hush_op *op, const struct hush_secret *text,
                                  struct hush_value *value)
{
    const char *bytes = (const char *)hush_secret_bytes(text);
    const size_t size = hush_secret_size(text);
    struct hush_value made = {0};
    json_t *object = NULL;
    enum hush_status status = hush_json_load_any(op, bytes, size, &object);

    if (status != HUSH_OK)
        return status;
    made.fields = calloc(1, sizeof(*made.fields)); /* {} is a map too */
    status = made.fields == NULL
                 ? hush_fail(op, HUSH_NO_MEMORY, "no memory for fields")
                 : json_add_members(op, object, (struct json_cursor){bytes, bytes + size}, &made);
    json_decref(object);
    if (status != HUSH_OK) {
        hush_value_clear(&made);
        return status;
    }
    value->fields = made.fields;
    value->field_count = made.field_count;
    return HUSH_OK;
}
