/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_json.c - JSON text to fields: what is taken, byte for byte; what is refused and why; that
 * nothing stays in memory afterwards.
 */
#include "core/arena.h"
#include "memscan.h"
#include "shared/json.h"
#include "unit.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum {
    ARENA_SIZE = 4 << 20,
    TEXT_MAX = 8192,
    MANY_MAX = 32 * (HUSH_FIELDS_MAX + 2),
    NEEDLE_SIZE = 64
};

static struct hush_arena *arena;

static int set_up(void **state)
{
    (void)state;
    hush_json_init();
    arena = hush_arena_new(ARENA_SIZE);
    return arena == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    hush_arena_free(arena);
    return 0;
}

static enum hush_status parse(struct hush_op *op, const char *text, size_t size,
                              struct hush_value *value)
{
    struct hush_secret *secret = NULL;
    enum hush_status status;

    hush_op_init(op, arena, 0);
    assert_int_equal(hush_secret_new(op, text, size, &secret), HUSH_OK);
    status = hush_json_fields(op, secret, value);
    hush_secret_unref(secret);
    return status;
}

static void expect_field(const struct hush_value *value, size_t i, const char *name,
                         const char *text)
{
    assert_true(i < value->field_count);
    assert_string_equal(value->fields[i].name, name);
    assert_int_equal(hush_secret_size(value->fields[i].value), strlen(text));
    assert_memory_equal(hush_secret_bytes(value->fields[i].value), text, strlen(text));
}

/* -- Taken ------------------------------------------------------------------------------------- */

static void test_values(void **state)
{
    /* clang-format off */
    static const struct { const char *text, *name, *value; } rows[] = {
        {"{\"a\":\"b\"}",                               "a", "b"},
        {" \t\r\n{ \"a\" : \"b\" } \n",                 "a", "b"},
        {"{\"a\":\"\"}",                                "a", ""},
        {"{\"\":\"b\"}",                                "",  "b"},
        {"{\"a\":\"tab\\tquote\\\"slash\\/\\u00e9\"}",  "a", "tab\tquote\"slash/\xc3\xa9"},
        {"{\"a\":\"\\ud83d\\ude00\"}",                  "a", "\xf0\x9f\x98\x80"},
        {"{\"a\":\"-----BEGIN\\n\"}",                   "a", "-----BEGIN\n"},
        {"{\"k\\u0065y\":\"v\"}",                       "key", "v"},
        {"{\"a}:,{\":\"}:,{\"}",                        "a}:,{", "}:,{"},
        {"{\"a\\\\\":\"b\\\\\"}",                       "a\\", "b\\"},
        {"{\"a/b\":\"c\"}",                             "a/b", "c"},
        /* Other values: as they stand, less the space. */
        {"{\"a\": 0.1 }",                               "a", "0.1"},
        {"{\"a\":1.10}",                                "a", "1.10"},
        {"{\"a\":1e3}",                                 "a", "1e3"},
        {"{\"a\":-0}",                                  "a", "-0"},
        {"{\"a\":9223372036854775807}",                 "a", "9223372036854775807"},
        {"{\"a\":true}",                                "a", "true"},
        {"{\"a\": null\n}",                             "a", "null"},
        {"{\"a\":{}}",                                  "a", "{}"},
        {"{\"a\":[ ]}",                                 "a", "[]"},
        {"{\"a\": { \"b\" : [ 1 , \"x y\" , { } ] } }", "a", "{\"b\":[1,\"x y\",{}]}"},
        {"{\"a\":{\"b\":\" \\\" \\\\\" } }",            "a", "{\"b\":\" \\\" \\\\\"}"},
    };
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct hush_value value = {0};
        struct hush_op op;

        assert_int_equal(parse(&op, rows[i].text, strlen(rows[i].text), &value), HUSH_OK);
        assert_int_equal(value.field_count, 1);
        expect_field(&value, 0, rows[i].name, rows[i].value);
        assert_null(value.secret);
        hush_value_clear(&value);
    }
    assert_int_equal(hush_arena_usage(arena).blocks, 0);
}

static void test_order(void **state)
{
    static const char text[] = "{ \"z\":\"1\", \"a\": {\"y\":[1, 2],\"x\":\"}\"} ,\"m\":3,\n"
                               "\"b\":\"{\\\"c\\\": 1}\",\"n\":[{\"o\":null}]}";
    struct hush_value value = {0};
    struct hush_op op;

    (void)state;
    assert_int_equal(parse(&op, text, strlen(text), &value), HUSH_OK);
    assert_int_equal(value.field_count, 5);
    expect_field(&value, 0, "z", "1");
    expect_field(&value, 1, "a", "{\"y\":[1,2],\"x\":\"}\"}");
    expect_field(&value, 2, "m", "3");
    expect_field(&value, 3, "b", "{\"c\": 1}"); /* a string: byte for byte */
    expect_field(&value, 4, "n", "[{\"o\":null}]");
    hush_value_clear(&value);
}

/* An empty object is a map without fields, not "no map". */
/* A backend's strings are bytes, and this is one of them. */
static void test_nul(void **state)
{
    static const char text[] = "{\"a\":\"b\\u0000c\",\"d\":\"\\u0000\"}";
    struct hush_value value = {0};
    struct hush_op op;

    (void)state;
    assert_int_equal(parse(&op, text, sizeof(text) - 1, &value), HUSH_OK);
    assert_int_equal(value.field_count, 2);
    assert_int_equal(hush_secret_size(value.fields[0].value), 3);
    assert_memory_equal(hush_secret_bytes(value.fields[0].value), "b\0c", 3);
    assert_int_equal(hush_secret_size(value.fields[1].value), 1);
    hush_value_clear(&value);
}

static void test_empty_object(void **state)
{
    struct hush_value value = {0};
    struct hush_op op;

    (void)state;
    assert_int_equal(parse(&op, "{ }", 3, &value), HUSH_OK);
    assert_non_null(value.fields);
    assert_int_equal(value.field_count, 0);
    hush_value_clear(&value);
    assert_null(value.fields);
}

/* -- Refused ----------------------------------------------------------------------------------- */

static void expect_refused(const char *text, size_t size, enum hush_status status,
                           const char *reason)
{
    struct hush_value value, before;
    struct hush_op op;

    memset(&value, 0xa5, sizeof(value));
    before = value;
    assert_int_equal(parse(&op, text, size, &value), status);
    assert_memory_equal(&value, &before, sizeof(value));
    if (strstr(op.detail, reason) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", op.detail, reason);
    assert_null(strstr(op.detail, "CANARY"));
    assert_int_equal(hush_arena_usage(arena).blocks, 0);
}

static void test_refused(void **state)
{
    /* clang-format off */
    static const struct { const char *text, *reason; } rows[] = {
        {"",                                 "empty"},
        {" \n",                              "empty"},
        {"[1]",                              "not a JSON object"},
        {"\"CANARY\"",                       "not a JSON object"},
        {"CANARY",                           "not a JSON object"},
        {"{\"a\":\"CANARY\"",                "line 1, column 13: it ends too early"},
        {"{\"a\":\"CANARY",                  "ends too early"},
        {"{",                                "ends too early"},
        {"{\"a\":\n CANARY}",                "line 2, column 7: wrong syntax"},
        {"{\"a\":\"b\"}CANARY",              "something follows"},
        {"{\"a\":\"b\"}{}",                  "something follows"},
        {"{\"CANARY\":1,\"CANARY\":2}",      "key comes twice"},
        {"{\"a\":{\"CANARY\":1,\"CANARY\":2}}", "key comes twice"},
        {"{\"CANARY\\u0000\":1}",            "NUL"},
        {"{\"a\":\"CANARY\xff\"}",           "not UTF-8"},
        {"{\"a\":9223372036854775808}",      "more than 64 bits"},
        {"{\"a\":1e999}",                    "more than 64 bits"},
        {"{\"a\":01}",                       "syntax"},
        {"{a:1}",                            "syntax"},
        {"{\"a\":1,}",                       "syntax"},
        {"{\"a\":\"CANARY\n\"}",             "syntax"},
        {"{'a':1}",                          "syntax"},
    };
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        expect_refused(rows[i].text, strlen(rows[i].text), HUSH_PROTOCOL, rows[i].reason);
    expect_refused("{}\0", 3, HUSH_PROTOCOL, "");
}

/* {"a":[[…]]} with depth levels in all. */
static size_t deep_text(char text[TEXT_MAX], unsigned depth)
{
    size_t size = (size_t)snprintf(text, TEXT_MAX, "{\"a\":");

    memset(text + size, '[', depth - 1);
    size += depth - 1;
    memset(text + size, ']', depth - 1);
    size += depth - 1;
    text[size] = '}';
    return size + 1;
}

static void test_depth(void **state)
{
    static char text[TEXT_MAX];
    struct hush_value value = {0};
    struct hush_op op;

    (void)state;
    assert_int_equal(parse(&op, text, deep_text(text, 32), &value), HUSH_OK);
    hush_value_clear(&value);
    expect_refused(text, deep_text(text, 33), HUSH_PROTOCOL, "deeper than 32");
    /* Brackets in strings are no depth. */
    (void)snprintf(text, TEXT_MAX, "{\"a\":\"%s\\\"%s\"}", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
                   "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["); /* nor is the escaped quote its end */
    assert_int_equal(parse(&op, text, strlen(text), &value), HUSH_OK);
    hush_value_clear(&value);
}

static size_t many_text(char text[MANY_MAX], unsigned count)
{
    size_t size = 1;

    text[0] = '{';
    for (unsigned i = 0; i < count; i++)
        size +=
            (size_t)snprintf(text + size, MANY_MAX - size, "%s\"k%u\":%u", i == 0 ? "" : ",", i, i);
    text[size] = '}';
    return size + 1;
}

static void test_field_count(void **state)
{
    static char text[MANY_MAX];
    struct hush_value value = {0};
    struct hush_op op;
    size_t size;

    (void)state;
    size = many_text(text, HUSH_FIELDS_MAX);
    assert_int_equal(parse(&op, text, size, &value), HUSH_OK);
    assert_int_equal(value.field_count, HUSH_FIELDS_MAX);
    for (size_t i = 0; i < HUSH_FIELDS_MAX; i++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "k%zu", i);
        expect_field(&value, i, name, name + 1);
    }
    hush_value_clear(&value);
    size = many_text(text, HUSH_FIELDS_MAX + 1);
    expect_refused(text, size, HUSH_TOO_LARGE, "more than 1024 fields");
}

/* Without the wiping allocator nothing is read. */
static void test_needs_init(void **state)
{
    struct hush_value value = {0};
    struct hush_op op;

    (void)state;
    json_set_alloc_funcs(malloc, free);
    assert_int_equal(parse(&op, "{}", 2, &value), HUSH_BACKEND);
    hush_json_init();
    assert_int_equal(parse(&op, "{}", 2, &value), HUSH_OK);
    hush_value_clear(&value);
}

/* The text fits into the arena, its one field no longer does. */
static void test_arena_full(void **state)
{
    struct hush_arena *large = arena;
    size_t size;
    char *text;

    (void)state;
    arena = hush_arena_new(64 << 10);
    assert_non_null(arena);
    size = hush_arena_usage(arena).size / 5 * 3;
    text = malloc(size);
    assert_non_null(text);
    memset(text, 'x', size);
    memcpy(text, "{\"a\":\"", 6);
    text[size - 2] = '"';
    text[size - 1] = '}';
    expect_refused(text, size, HUSH_NO_MEMORY, "");
    free(text);
    hush_arena_free(arena);
    arena = large;
}

/* -- Nothing stays ----------------------------------------------------------------------------- */

/* Letters, each different from what stands in this program: the scan must not find its own source.
 */
static unsigned char needle(size_t position)
{
    return (unsigned char)('a' + (position * 11 + position / 26 + (position * position) % 7) % 26);
}

/* text with each '%' as the needle and '&' as its beginning, short enough for jansson to quote it
 * in an error. The text is wiped by the caller. */
static size_t plant(char *text, const char *format)
{
    size_t size = 0;

    for (; *format != '\0'; format++) {
        const size_t needle_size = *format == '%' ? NEEDLE_SIZE : MEMSCAN_PIECE;

        if (*format != '%' && *format != '&') {
            text[size++] = *format;
            continue;
        }
        for (size_t i = 0; i < needle_size; i++)
            text[size++] = (char)needle(i);
    }
    return size;
}

static void test_leaves_nothing(void **state)
{
    /* As strings, within other values, escaped, in what is refused at several places. */
    static const char *const formats[] = {
        "{\"a\":\"%\"}",
        "{\"a\":{\"b\":[\"%\",1]},\"c\":\"%\"}",
        "{\"a\":\"%\\n%\"}",
        "{\"a\":\"%\"",
        "{\"a\":%}",
        "{\"a\":\"%\"}%",
        "{\"a\":\"%\",\"a\":\"%\"}",
        "{\"a\":\"%\xff\"}",
        "{\"a\":\"%\\u0000\"}",
        "{\"%\\u0000\":1}",
        "{\"a\":\"%%%%%%%%%%%%%%%%\",\"b\":\"%\"}",
        "[\"%\"]",
        "{\"a\":&}",
        "{\"&\":1,\"&\":2}",
        "{\"a\":\"&\"&}",
    };
    static char text[TEXT_MAX];

    (void)state;
    if (!memscan_works())
        skip();
    text[plant(text, "%")] = '\0';
    assert_true(memscan_count(needle, NEEDLE_SIZE) > 0); /* the scan sees what is there */
    for (size_t i = 0; i < COUNT(formats); i++) {
        struct hush_value value = {0};
        struct hush_op op;
        enum hush_status status = parse(&op, text, plant(text, formats[i]), &value);

        explicit_bzero(text, sizeof(text));
        if (status == HUSH_OK) {
            assert_true(memscan_count(needle, NEEDLE_SIZE) > 0);
            hush_value_clear(&value);
        }
        assert_int_equal(hush_arena_usage(arena).blocks, 0);
        if (memscan_count(needle, NEEDLE_SIZE) != 0)
            fail_msg("copies stay after %s", formats[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nul),         cmocka_unit_test(test_values),
        cmocka_unit_test(test_order),       cmocka_unit_test(test_empty_object),
        cmocka_unit_test(test_refused),     cmocka_unit_test(test_depth),
        cmocka_unit_test(test_field_count), cmocka_unit_test(test_needs_init),
        cmocka_unit_test(test_arena_full),  cmocka_unit_test(test_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
