/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.h - the one reader of JSON, and the only place that includes jansson.h. Its heap is wiped as
 * it is released. Duplicate keys, depth over 32 and trailing text are refused.
 */
#ifndef HUSH_JSON_H
#define HUSH_JSON_H

#include "provider.h"

/* Once per process, before any other call that could use jansson: installs the wiping allocator. */
void hush_json_init(void);

/*
 * Read text, a JSON object, into value's fields, in the object's order: strings are raw bytes (with
 * any NUL in them; a name cannot have one), other values compact JSON. value->secret and
 * value->meta are not touched. HUSH_PROTOCOL: not an object, with where it went wrong (never the
 * text).
 */
__attribute__((warn_unused_result)) enum hush_status
hush_json_fields(struct hush_op *op, const struct hush_secret *text, struct hush_value *value);

#endif
