/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_int.h - jansson under the rules of json.h, for the files of providers/shared alone: jwe.c
 * and jtree.c read with it what json.c does not turn into fields.
 */
#ifndef HUSH_JSON_INT_H
#define HUSH_JSON_INT_H

#include "provider.h"

#include <jansson.h>

/* Read a JSON object: wiping heap, no duplicate keys, depth at most 32. *out is owned.
 * HUSH_PROTOCOL: not one, with where it went wrong (never the text). */
__attribute__((warn_unused_result)) enum hush_status
hush_json_load(struct hush_op *op, const char *text, size_t size, json_t **out);

/* The same of what may hold secrets that are not ours to judge: a string may have a NUL in it. */
__attribute__((warn_unused_result)) enum hush_status
hush_json_load_any(struct hush_op *op, const char *text, size_t size, json_t **out);

#endif
