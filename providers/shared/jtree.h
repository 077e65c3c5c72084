/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jtree.h - JSON whose shape is known, read member by member; for what is not shown as a secret:
 * headers, indexes, answers. The tree is in memory that is wiped as it is released; nothing here
 * waits. Nodes are borrowed from the tree.
 *
 * Threads: any number may read one tree.
 */
#ifndef HUSH_JTREE_H
#define HUSH_JTREE_H

#include "provider.h"

struct hush_jtree;

/* A JSON object as a tree, which the caller owns. HUSH_PROTOCOL: it is none; see json.h. */
__attribute__((warn_unused_result)) enum hush_status
hush_jtree_parse(struct hush_op *op, const char *text, size_t size, struct hush_jtree **out);
void hush_jtree_free(struct hush_jtree *root); /* NULL ok; only what parse gave */

/* NULL: no such member, or node is no object (NULL too). */
const struct hush_jtree *hush_jtree_member(const struct hush_jtree *node, const char *name);
const struct hush_jtree *hush_jtree_element(const struct hush_jtree *node, size_t i);
size_t hush_jtree_count(const struct hush_jtree *node); /* members or elements; else 0 */

const char *hush_jtree_string(const struct hush_jtree *node); /* NULL: no string, or NUL in it */
bool hush_jtree_is_true(const struct hush_jtree *node);
bool hush_jtree_is_null(const struct hush_jtree *node);   /* JSON's null; false for no node */
bool hush_jtree_is_object(const struct hush_jtree *node); /* false for no node */
bool hush_jtree_number(const struct hush_jtree *node, uint64_t *out); /* false: no integer >= 0 */

/*
 * What hush_json_fields() makes of a text, made of an object inside a tree, and value->secret as
 * well: the object as compact JSON. HUSH_PROTOCOL: node is no object.
 */
__attribute__((warn_unused_result)) enum hush_status
hush_jtree_value(struct hush_op *op, const struct hush_jtree *node, struct hush_value *value);

/* A string of the tree as a secret in the arena. HUSH_PROTOCOL: node is no string. */
__attribute__((warn_unused_result)) enum hush_status
hush_jtree_secret(struct hush_op *op, const struct hush_jtree *node, struct hush_secret **out);

/*
 * Write an object of string members as compact JSON into memory that is wiped as it is released
 * with hush_jtree_text_free(): rows end with a NULL name; text or secret, a row with neither is
 * left out. For the bodies of requests.
 */
struct hush_jtree_row {
    const char *name;
    const char *text;
    const struct hush_secret *secret;
};
__attribute__((warn_unused_result)) enum hush_status
hush_jtree_write(struct hush_op *op, const struct hush_jtree_row *rows, char **out, size_t *size);
void hush_jtree_text_free(char *text); /* NULL ok */

/* Each member of an object, in its order, until fn returns something but HUSH_OK, which is the
 * result. */
enum hush_status hush_jtree_each(const struct hush_jtree *node,
                                 enum hush_status (*fn)(void *ctx, const char *name,
                                                        const struct hush_jtree *member),
                                 void *ctx);

#endif
