/* SPDX-License-Identifier: Apache-2.0 */
/*
 * select.h - from what a provider gave to the bytes that are shown: the whole or one field, decoded
 * if the instance says base64_decode. `hushfs get` and the worker share it. Any thread.
 */
#ifndef HUSH_SELECT_H
#define HUSH_SELECT_H

#include "provider.h"

#include <stdbool.h>

/*
 * *out, owned by the caller, is the value as a whole (field NULL) or its field called so (raw
 * name). A value that is not a map is read as a JSON object to find the field.
 *
 * HUSH_NOT_FOUND: there is no such field. HUSH_PROTOCOL: no JSON object, or base64 and what was
 * selected is not base64 in its strict form (RFC 4648, section 4: padded, no line breaks).
 */
__attribute__((warn_unused_result)) enum hush_status hush_select(struct hush_op *op,
                                                                 const struct hush_value *value,
                                                                 const char *field, bool base64,
                                                                 struct hush_secret **out);

/*
 * For references, where a key must be a string: HUSH_OK if the member called key of the value, read
 * as a JSON object, is one. HUSH_NOT_FOUND: no such member; HUSH_PROTOCOL: another type, or no
 * object.
 */
__attribute__((warn_unused_result)) enum hush_status
hush_select_string(struct hush_op *op, const struct hush_value *value, const char *key);

#endif
