/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_json.c - any bytes as the JSON of a secret. What is taken must be what jansson says it is:
 * the same names in the same order, strings equal, everything else equal when it is read again.
 */
#include "core/arena.h"
#include "shared/json.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FUZZ_ARENA_SIZE = 4 << 20, FUZZ_INPUT_MAX = 64 << 10 };

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_field(const struct hush_field *field, const char *name, const json_t *expected)
{
    const char *bytes = (const char *)hush_secret_bytes(field->value);
    const size_t size = hush_secret_size(field->value);
    json_t *again;

    require(strcmp(field->name, name) == 0);
    if (json_is_string(expected)) {
        require(size == json_string_length(expected));
        require(memcmp(bytes, json_string_value(expected), size) == 0);
        return;
    }
    again =
        json_loadb(bytes, size, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    require(again != NULL && json_equal(again, expected));
    json_decref(again);
}

static void check_value(const struct hush_value *value, const uint8_t *data, size_t size)
{
    json_t *object =
        json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    const char *name;
    json_t *member;
    size_t i = 0;

    require(json_is_object(object) && json_object_size(object) == value->field_count);
    json_object_foreach(object, name, member) check_field(&value->fields[i++], name, member);
    json_decref(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct hush_arena *arena;
    struct hush_secret *text = NULL;
    struct hush_value value = {0};
    struct hush_op op;

    if (arena == NULL) {
        hush_json_init();
        arena = hush_arena_new(FUZZ_ARENA_SIZE);
        require(arena != NULL);
    }
    if (size > FUZZ_INPUT_MAX)
        return 0;
    hush_op_init(&op, arena, 0);
    require(hush_secret_new(&op, data, size, &text) == HUSH_OK);
    if (hush_json_fields(&op, text, &value) == HUSH_OK)
        check_value(&value, data, size);
    else
        require(value.fields == NULL && value.field_count == 0 && op.detail[0] != '\0');
    hush_secret_unref(text);
    hush_value_clear(&value);
    require(hush_arena_usage(arena).blocks == 0);
    return 0;
}
