/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value.c - what fetch() gives (struct hush_value): providers build it, the core releases it. Here,
 * and not in the registry, because the JSON reader fills it too.
 */
#include "provider.h"

#include <stdlib.h>
#include <string.h>

void hush_value_clear(struct hush_value *value)
{
    for (size_t i = 0; i < value->field_count; i++) {
        free(value->fields[i].name);
        hush_secret_unref(value->fields[i].value);
    }
    free(value->fields);
    hush_secret_unref(value->secret);
    memset(value, 0, sizeof(*value)); /* no secret bytes in it, only references */
}

/*
 * A new last field, not counted yet, or NULL: no memory. The array's size is the next power of two,
 * so it need not be remembered.
 */
static struct hush_field *value_next(struct hush_value *value)
{
    const size_t count = value->field_count;
    struct hush_field *fields = value->fields;

    if (fields == NULL || (count & (count - 1)) == 0) {
        fields = realloc(fields, (count == 0 ? 1 : count * 2) * sizeof(*fields));
        if (fields == NULL)
            return NULL;
        value->fields = fields;
    }
    return &fields[count];
}

enum hush_status hush_value_add_field(struct hush_op *op, struct hush_value *value,
                                      const char *name, struct hush_secret *field)
{
    struct hush_field *next;

    if (value->field_count >= HUSH_FIELDS_MAX) {
        hush_secret_unref(field);
        return hush_fail(op, HUSH_TOO_LARGE, "more than %d fields in one secret", HUSH_FIELDS_MAX);
    }
    next = value_next(value);
    if (next != NULL)
        next->name = strdup(name);
    if (next == NULL || next->name == NULL) {
        hush_secret_unref(field);
        return hush_fail(op, HUSH_NO_MEMORY, "no memory for a field");
    }
    next->value = field;
    value->field_count++;
    return HUSH_OK;
}
