/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jtree.c - see jtree.h. A node is jansson's own; this file is what keeps its header out of the
 * rest.
 */
#include "jtree_int.h"

#include "core/wipealloc.h"

#include <string.h>

/* -- Every node -------------------------------------------------------------------------------- */

static void walk_push(struct hush_jtree_walk *walk, json_t *json)
{
    if (walk->depth < JTREE_DEPTH_MAX) /* always: deeper text is not parsed */
        walk->levels[walk->depth++] =
            (struct hush_jtree_level){.json = json, .next = json_object_iter(json)};
}

void hush_jtree_walk_init(struct hush_jtree_walk *walk, json_t *root)
{
    walk->depth = 0;
    walk_push(walk, root);
}

bool hush_jtree_walk_next(struct hush_jtree_walk *walk, struct hush_jtree_place *place)
{
    struct hush_jtree_level *level;

    if (walk->depth == 0)
        return false;
    level = &walk->levels[walk->depth - 1];
    *place = (struct hush_jtree_place){.parent = level->json, .element = level->element};
    if (json_is_array(level->json)) {
        place->json = json_array_get(level->json, level->element++);
    } else if (level->next != NULL) {
        place->member = level->next;
        place->key = json_object_iter_key(level->next);
        place->json = json_object_iter_value(level->next);
        level->next = json_object_iter_next(level->json, level->next);
    }
    if (place->json == NULL)
        walk->depth--;
    else if (json_is_object(place->json) || json_is_array(place->json))
        walk_push(walk, place->json);
    return true;
}

/* -- Numbers as they were written -------------------------------------------------------------- */

const char *hush_jtree_digits(const json_t *json)
{
    const char *text = json_string_value(json);

    return text != NULL && (unsigned char)text[0] == JTREE_DIGITS ? text + 1 : NULL;
}

/* What is left of a text that jansson took. */
struct tree_text {
    const char *at, *end;
};

static void text_skip_string(struct tree_text *text)
{
    for (text->at++; text->at < text->end && *text->at != '"'; text->at++)
        if (*text->at == '\\')
            text->at++;
    text->at++;
}

/* The bytes from `at` on that a number can consist of. */
static size_t text_number(const struct tree_text *text)
{
    const char *at = text->at;

    while (at < text->end && *at != '\0' && strchr("0123456789+-.eE", *at) != NULL)
        at++;
    return (size_t)(at - text->at);
}

/* The next number that is no integer; its size, and text->at is behind it. 0: there is none. */
static size_t text_real(struct tree_text *text)
{
    while (text->at < text->end) {
        const size_t size = text_number(text);
        const char *const number = text->at;

        if (*number == '"') {
            text_skip_string(text);
            continue;
        }
        text->at += size == 0 ? 1 : size;
        /* The e of true is alone; an integer has none of these. */
        if (size > 1 && (memchr(number, '.', size) != NULL || memchr(number, 'e', size) != NULL ||
                         memchr(number, 'E', size) != NULL))
            return size;
    }
    return 0;
}

static json_t *text_digits(struct tree_text *text)
{
    const size_t size = text_real(text);
    json_t *json = NULL;
    char *marked;

    marked = hush_wipe_malloc(size + 1);
    if (marked != NULL) {
        marked[0] = (char)JTREE_DIGITS;
        memcpy(marked + 1, text->at - size, size);
        json = json_stringn_nocheck(marked, size + 1);
    }
    hush_wipe_free(marked);
    return json;
}

/* The walk meets the numbers in the text's order, for no key comes twice. */
static bool tree_keep_digits(json_t *root, struct tree_text text)
{
    struct hush_jtree_place place;
    struct hush_jtree_walk walk;

    hush_jtree_walk_init(&walk, root);
    while (hush_jtree_walk_next(&walk, &place)) {
        json_t *digits;

        if (!json_is_real(place.json))
            continue;
        digits = text_digits(&text);
        if (digits == NULL)
            return false;
        if (place.key != NULL)
            (void)json_object_iter_set_new(place.parent, place.member, digits); /* it is there */
        else
            (void)json_array_set_new(place.parent, place.element, digits);
    }
    return true;
}

/* -- Reading ----------------------------------------------------------------------------------- */

enum hush_status hush_jtree_parse(struct hush_op *op, const char *text, size_t size,
                                  struct hush_jtree **out)
{
    json_t *json;
    const enum hush_status status = hush_json_load_any(op, text, size, &json);

    if (status != HUSH_OK)
        return status;
    if (!tree_keep_digits(json, (struct tree_text){text, text + size})) {
        json_decref(json);
        return hush_fail(op, HUSH_NO_MEMORY, "no memory to read JSON");
    }
    *out = (struct hush_jtree *)(void *)json;
    return HUSH_OK;
}

void hush_jtree_free(struct hush_jtree *root)
{
    json_decref((json_t *)(void *)root);
}

const struct hush_jtree *hush_jtree_member(const struct hush_jtree *node, const char *name)
{
    return hush_jtree_node(json_object_get(hush_jtree_json(node), name));
}

const struct hush_jtree *hush_jtree_element(const struct hush_jtree *node, size_t i)
{
    return hush_jtree_node(json_array_get(hush_jtree_json(node), i));
}

size_t hush_jtree_count(const struct hush_jtree *node)
{
    const json_t *json = hush_jtree_json(node);

    return json_is_array(json) ? json_array_size(json) : json_object_size(json);
}

const char *hush_jtree_string(const struct hush_jtree *node)
{
    const json_t *json = hush_jtree_json(node);

    const char *text = hush_jtree_digits(json) == NULL ? json_string_value(json) : NULL;

    return text != NULL && strlen(text) == json_string_length(json) ? text : NULL;
}

bool hush_jtree_is_true(const struct hush_jtree *node)
{
    return json_is_true(hush_jtree_json(node));
}

bool hush_jtree_is_null(const struct hush_jtree *node)
{
    return json_is_null(hush_jtree_json(node));
}

bool hush_jtree_is_object(const struct hush_jtree *node)
{
    return json_is_object(hush_jtree_json(node));
}

bool hush_jtree_number(const struct hush_jtree *node, uint64_t *out)
{
    const json_t *json = hush_jtree_json(node);

    if (!json_is_integer(json) || json_integer_value(json) < 0)
        return false;
    *out = (uint64_t)json_integer_value(json);
    return true;
}

enum hush_status hush_jtree_each(const struct hush_jtree *node,
                                 enum hush_status (*fn)(void *ctx, const char *name,
                                                        const struct hush_jtree *member),
                                 void *ctx)
{
    json_t *object = (json_t *)(uintptr_t)hush_jtree_json(node); /* iterating changes nothing */

    for (void *at = json_object_iter(object); at != NULL; at = json_object_iter_next(object, at)) {
        const enum hush_status status =
            fn(ctx, json_object_iter_key(at), hush_jtree_node(json_object_iter_value(at)));
        if (status != HUSH_OK)
            return status;
    }
    return HUSH_OK;
}
