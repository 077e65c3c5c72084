/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jtree.c - see jtree.h. A node is jansson's own; this file is what keeps its header out of the
 * rest.
 */
#include "jtree.h"

#include "json_int.h"

static const json_t *tree_json(const struct hush_jtree *node)
{
    return (const json_t *)(const void *)node;
}

static const struct hush_jtree *tree_node(const json_t *json)
{
    return (const struct hush_jtree *)(const void *)json;
}

enum hush_status hush_jtree_parse(struct hush_op *op, const char *text, size_t size,
                                  struct hush_jtree **out)
{
    json_t *json;
    const enum hush_status status = hush_json_load(op, text, size, &json);

    if (status == HUSH_OK)
        *out = (struct hush_jtree *)(void *)json;
    return status;
}

void hush_jtree_free(struct hush_jtree *root)
{
    json_decref((json_t *)(void *)root);
}

const struct hush_jtree *hush_jtree_member(const struct hush_jtree *node, const char *name)
{
    return tree_node(json_object_get(tree_json(node), name));
}

const struct hush_jtree *hush_jtree_element(const struct hush_jtree *node, size_t i)
{
    return tree_node(json_array_get(tree_json(node), i));
}

size_t hush_jtree_count(const struct hush_jtree *node)
{
    const json_t *json = tree_json(node);

    return json_is_array(json) ? json_array_size(json) : json_object_size(json);
}

const char *hush_jtree_string(const struct hush_jtree *node)
{
    return json_string_value(tree_json(node));
}

bool hush_jtree_is_true(const struct hush_jtree *node)
{
    return json_is_true(tree_json(node));
}

bool hush_jtree_number(const struct hush_jtree *node, uint64_t *out)
{
    const json_t *json = tree_json(node);

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
    json_t *object = (json_t *)(uintptr_t)tree_json(node); /* iterating changes nothing */

    for (void *at = json_object_iter(object); at != NULL; at = json_object_iter_next(object, at)) {
        const enum hush_status status =
            fn(ctx, json_object_iter_key(at), tree_node(json_object_iter_value(at)));
        if (status != HUSH_OK)
            return status;
    }
    return HUSH_OK;
}
