/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jtree_int.h - what jtree.c (reads) and jtree_text.c (writes) share: a node is jansson's own, and
 * a walk over all nodes below one. One thread walks; nothing is locked.
 */
#ifndef HUSH_JTREE_INT_H
#define HUSH_JTREE_INT_H

#include "json_int.h"
#include "jtree.h"

/* As deep as json.c lets anything be. */
enum { JTREE_DEPTH_MAX = 32 };

/*
 * jansson turns 1.10 into a double, and no printer makes 1.10 of that again. Parsing puts the
 * digits in its place, as a string that begins with this byte: none of the text's can, for it is
 * not UTF-8.
 */
enum { JTREE_DIGITS = 0xff };

static inline const json_t *hush_jtree_json(const struct hush_jtree *node)
{
    return (const json_t *)(const void *)node;
}

static inline const struct hush_jtree *hush_jtree_node(const json_t *json)
{
    return (const struct hush_jtree *)(const void *)json;
}

/* A number's digits as they stood in the text; NULL: node is none, or an integer. */
const char *hush_jtree_digits(const json_t *json);

struct hush_jtree_walk {
    struct hush_jtree_level {
        json_t *json;   /* an object or an array */
        void *next;     /* the next member of an object */
        size_t element; /* the next of an array */
    } levels[JTREE_DEPTH_MAX];
    size_t depth;
};

struct hush_jtree_place {
    json_t *parent;  /* what json is in */
    const char *key; /* NULL: an element */
    json_t *json;    /* NULL: parent ends here */
    void *member;    /* jansson's iterator, if there is a key */
    size_t element;
};

/* Begin below root, an object or an array. */
void hush_jtree_walk_init(struct hush_jtree_walk *walk, json_t *root);
/* What comes next in the text's order; root's end too. False: nothing. */
bool hush_jtree_walk_next(struct hush_jtree_walk *walk, struct hush_jtree_place *place);

#endif
