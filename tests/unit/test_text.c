/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_text.c - text that grows up to its maximum, and the JSON written with it, read back by a
 * real parser.
 */
#include "core/text.h"
#include "unit.h"

#include <jansson.h>
#include <string.h>

static void text_grows(void **state)
{
    struct hush_text text;
    char expected[4096] = "";

    (void)state; /* none */
    hush_text_init(&text, 100000);
    assert_string_equal(hush_text_string(&text), "");
    for (int i = 0; i < 500; i++) {
        hush_text_printf(&text, "%d,", i);
        (void)snprintf(expected + strlen(expected), sizeof(expected) - strlen(expected), "%d,", i);
        assert_int_equal(text.size, strlen(expected));
    }
    assert_string_equal(hush_text_string(&text), expected);
    hush_text_puts(&text, "");
    hush_text_append(&text, "a\0b", 3);
    assert_int_equal(text.size, strlen(expected) + 3);
    assert_memory_equal(text.bytes + strlen(expected), "a\0b", 4);
    assert_false(text.failed);
    hush_text_done(&text);
    assert_string_equal(hush_text_string(&text), "");
    hush_text_done(&text);
    hush_text_done(NULL);
}

static void the_maximum_is_exact_and_failing_sticks(void **state)
{
    struct hush_text text;

    (void)state; /* none */
    hush_text_init(&text, 10);
    hush_text_puts(&text, "0123456789");
    assert_false(text.failed);
    hush_text_puts(&text, "");
    assert_false(text.failed);
    hush_text_printf(&text, "%c", 'x');
    assert_true(text.failed);
    hush_text_done(&text);

    hush_text_init(&text, 10);
    hush_text_puts(&text, "01234567");
    hush_text_puts(&text, "xyz");
    assert_true(text.failed);
    hush_text_puts(&text, "y"); /* would fit, but there is a hole */
    assert_string_equal(hush_text_string(&text), "01234567");
    hush_text_done(&text);

    hush_text_init(&text, 0);
    hush_text_puts(&text, "");
    assert_false(text.failed);
    hush_text_puts(&text, "x");
    assert_true(text.failed);
    hush_text_done(&text);
}

static void strings_are_escaped(void **state)
{
    static const struct {
        const char *raw, *json;
    } strings[] = {
        {"", "\"\""},
        {"plain", "\"plain\""},
        {"a\"b\\c/d", "\"a\\\"b\\\\c/d\""},
        {"\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\""},
        {"\x01\x1f\x7f", "\"\\u0001\\u001f\\u007f\""},
        {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x94\x91", "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x94\x91\""},
        {"\xff", "\"\\ufffd\""},
        {"a\xc3", "\"a\\ufffd\""},                     /* cut */
        {"\xc3\"", "\"\\ufffd\\\"\""},                 /* does not swallow what follows */
        {"\xc0\xaf", "\"\\ufffd\\ufffd\""},            /* not the shortest */
        {"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""}, /* a surrogate */
        {"\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""}, /* above U+10FFFF */
    };
    struct hush_text text;

    (void)state; /* none */
    for (size_t i = 0; i < COUNT(strings); i++) {
        hush_text_init(&text, 1000);
        hush_text_json_string(&text, strings[i].raw, strlen(strings[i].raw));
        assert_string_equal(hush_text_string(&text), strings[i].json);
        hush_text_done(&text);
    }
    hush_text_init(&text, 1000);
    hush_text_json_string(&text, "a\0b", 3);
    assert_string_equal(hush_text_string(&text), "\"a\\u0000b\"");
    hush_text_done(&text);
}

static void random_bytes_are_always_a_json_string(void **state)
{
    struct hush_text text;
    uint64_t seed = 362436069;

    (void)state; /* none */
    for (int i = 0; i < 5000; i++) {
        unsigned char bytes[40];
        const size_t size = unit_random(&seed) % sizeof(bytes);
        json_t *value;

        for (size_t j = 0; j < size; j++)
            bytes[j] = (unsigned char)(unit_random(&seed) >> 32);
        hush_text_init(&text, 10000);
        hush_text_json_string(&text, (const char *)bytes, size);
        assert_false(text.failed);
        value = json_loadb(text.bytes, text.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        assert_true(json_is_string(value));
        json_decref(value);
        hush_text_done(&text);
    }
}

static void values_nest_and_commas_come_by_themselves(void **state)
{
    struct hush_text text;

    (void)state; /* none */
    hush_text_init(&text, 1000);
    hush_json_open(&text, NULL, '{');
    hush_json_open(&text, "empty", '{');
    hush_json_close(&text, '}');
    hush_json_open(&text, "none", '[');
    hush_json_close(&text, ']');
    hush_json_string(&text, "tricky", "{[:,");
    hush_json_string(&text, "null", NULL);
    hush_json_open(&text, "list", '[');
    hush_json_u64(&text, NULL, UINT64_MAX);
    hush_json_i64(&text, NULL, INT64_MIN);
    hush_json_open(&text, NULL, '[');
    hush_json_bool(&text, NULL, true);
    hush_json_close(&text, ']');
    hush_json_open(&text, NULL, '{');
    hush_json_bool(&text, "no\n", false);
    hush_json_close(&text, '}');
    hush_json_null(&text, NULL);
    hush_json_close(&text, ']');
    hush_json_u64(&text, "last", 0);
    hush_json_close(&text, '}');
    hush_text_puts(&text, "\n");
    hush_json_open(&text, NULL, '{'); /* lines of JSON */
    hush_json_close(&text, '}');
    assert_string_equal(hush_text_string(&text),
                        "{\"empty\":{},\"none\":[],\"tricky\":\"{[:,\",\"null\":null,"
                        "\"list\":[18446744073709551615,-9223372036854775808,[true],"
                        "{\"no\\n\":false},null],\"last\":0}\n{}");
    hush_text_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_grows),
        cmocka_unit_test(the_maximum_is_exact_and_failing_sticks),
        cmocka_unit_test(strings_are_escaped),
        cmocka_unit_test(random_bytes_are_always_a_json_string),
        cmocka_unit_test(values_nest_and_commas_come_by_themselves),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
