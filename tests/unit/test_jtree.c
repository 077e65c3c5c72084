/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_jtree.c - a tree read member by member, turned into secrets, and the bodies of requests:
 * what comes out byte for byte, what is refused, that nothing stays in memory.
 */
#include "core/arena.h"
#include "memscan.h"
#include "shared/json.h"
#include "shared/jtree.h"
#include "unit.h"

#include <jansson.h>
#include <string.h>

enum { ARENA_SIZE = 4 << 20, TEXT_MAX = 4096, NEEDLE_SIZE = 64 };

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

static struct hush_jtree *parse(struct hush_op *op, const char *text)
{
    struct hush_jtree *root = NULL;

    hush_op_init(op, arena, 0);
    assert_int_equal(hush_jtree_parse(op, text, strlen(text), &root), HUSH_OK);
    return root;
}

static void expect_secret(const struct hush_secret *secret, const char *text)
{
    assert_non_null(secret);
    assert_int_equal(hush_secret_size(secret), strlen(text));
    assert_memory_equal(hush_secret_bytes(secret), text, strlen(text));
}

static void test_reading(void **state)
{
    struct hush_op op;
    struct hush_jtree *root =
        parse(&op, "{\"s\":\"x\",\"n\":7,\"r\":7.5,\"t\":true,\"neg\":-1,\"l\":[1,2.50,\"z\"]}");
    const struct hush_jtree *list = hush_jtree_member(root, "l");
    uint64_t number = 99;

    (void)state;
    assert_string_equal(hush_jtree_string(hush_jtree_member(root, "s")), "x");
    assert_int_equal(hush_jtree_count(root), 6);
    assert_int_equal(hush_jtree_count(list), 3);
    assert_string_equal(hush_jtree_string(hush_jtree_element(list, 2)), "z");
    assert_true(hush_jtree_is_true(hush_jtree_member(root, "t")));
    assert_false(hush_jtree_is_true(hush_jtree_member(root, "n")));
    assert_false(hush_jtree_number(hush_jtree_member(root, "neg"), &number));
    /* A number that is no integer is neither a number here nor a string. */
    assert_false(hush_jtree_number(hush_jtree_member(root, "r"), &number));
    assert_false(hush_jtree_number(hush_jtree_member(root, "missing"), &number));
    assert_int_equal(number, 99);
    assert_null(hush_jtree_string(hush_jtree_member(root, "r")));
    assert_null(hush_jtree_string(hush_jtree_element(list, 1)));
    assert_true(hush_jtree_number(hush_jtree_member(root, "n"), &number));
    assert_int_equal(number, 7);
    assert_null(hush_jtree_member(NULL, "s"));
    hush_jtree_free(root);
    hush_jtree_free(NULL);
}

/* -- A secret ---------------------------------------------------------------------------------- */

static void test_secret(void **state)
{
    struct hush_op op;
    struct hush_jtree *root = parse(&op, "{\"s\":\"x\\ny\",\"e\":\"\",\"n\":7,\"r\":1.5}");
    struct hush_secret *secret = NULL;

    (void)state;
    assert_int_equal(hush_jtree_secret(&op, hush_jtree_member(root, "s"), &secret), HUSH_OK);
    expect_secret(secret, "x\ny");
    secret = hush_secret_unref(secret);
    assert_int_equal(hush_jtree_secret(&op, hush_jtree_member(root, "e"), &secret), HUSH_OK);
    expect_secret(secret, "");
    secret = hush_secret_unref(secret);
    for (const char *const *name = (const char *const[]){"n", "r", "missing", NULL}; *name != NULL;
         name++)
        assert_int_equal(hush_jtree_secret(&op, hush_jtree_member(root, *name), &secret),
                         HUSH_PROTOCOL);
    assert_null(secret);
    hush_jtree_free(root);
    assert_int_equal(hush_arena_usage(arena).blocks, 0);
}

/* -- Values ------------------------------------------------------------------------------------ */

/* Of a secret it is a byte like any other; a text that we read ourselves has none. */
static void test_nul(void **state)
{
    static const char text[] = "{\"a\":\"b\\u0000c\",\"d\":[\"\\u0000\"]}";
    struct hush_value value = {0};
    struct hush_secret *secret = NULL;
    struct hush_jtree *root;
    struct hush_op op;

    (void)state;
    root = parse(&op, text);
    assert_null(hush_jtree_string(hush_jtree_member(root, "a")));
    assert_int_equal(hush_jtree_secret(&op, hush_jtree_member(root, "a"), &secret), HUSH_OK);
    assert_int_equal(hush_secret_size(secret), 3);
    assert_memory_equal(hush_secret_bytes(secret), "b\0c", 3);
    assert_int_equal(hush_jtree_value(&op, root, &value), HUSH_OK);
    expect_secret(value.secret, text);
    assert_true(hush_secret_equal(value.fields[0].value, secret));
    hush_secret_unref(secret);
    hush_value_clear(&value);
    hush_jtree_free(root);
}

/* The object at "data" of {"data":text}; first: its first field. */
static void expect_object(const char *text, const char *whole, const char *first)
{
    struct hush_value value = {0};
    char outer[TEXT_MAX];
    struct hush_jtree *root;
    struct hush_op op;

    (void)snprintf(outer, sizeof(outer), "{ \"before\" : [0.5, \"1.5\"], \"data\": %s }", text);
    root = parse(&op, outer);
    assert_int_equal(hush_jtree_value(&op, hush_jtree_member(root, "data"), &value), HUSH_OK);
    expect_secret(value.secret, whole);
    assert_non_null(value.fields);
    assert_int_equal(value.field_count,
                     first == NULL ? 0 : hush_jtree_count(hush_jtree_member(root, "data")));
    if (first != NULL)
        expect_secret(value.fields[0].value, first);
    hush_value_clear(&value);
    hush_jtree_free(root);
    assert_int_equal(hush_arena_usage(arena).blocks, 0);
}

static void test_values(void **state)
{
    /* clang-format off */
    static const struct { const char *text, *whole, *first; } rows[] = {
        {"{ }",                            "{}",                           NULL},
        {"{ \"a\" : \"b\" }",              "{\"a\":\"b\"}",                "b"},
        {"{\"z\":\"\",\"a\":[ ]}",         "{\"z\":\"\",\"a\":[]}",        ""},
        {"{\"a\":\"l\\nq\\\"b\\\\\"}",     "{\"a\":\"l\\nq\\\"b\\\\\"}",   "l\nq\"b\\"},
        {"{\"a\":\"\\u00e9\\/\"}",         "{\"a\":\"\xc3\xa9/\"}",        "\xc3\xa9/"},
        {"{\"a\\n\":null}",                "{\"a\\n\":null}",              "null"},
        {"{\"a\":true,\"b\":false}",       "{\"a\":true,\"b\":false}",     "true"},
        {"{\"a\":-7,\"b\":9223372036854775807}", "{\"a\":-7,\"b\":9223372036854775807}", "-7"},
        /* Digits stay as they were written. */
        {"{\"a\":1.10}",                   "{\"a\":1.10}",                 "1.10"},
        {"{\"a\":0.1,\"b\":\"2.5\",\"c\":1E+3}", "{\"a\":0.1,\"b\":\"2.5\",\"c\":1E+3}", "0.1"},
        {"{\"a\":3.14159265358979323846264338327950288}",
         "{\"a\":3.14159265358979323846264338327950288}", "3.14159265358979323846264338327950288"},
        {"{\"t\":true,\"a\":[1, 2.50 ,[-1e2,{\"b\":0.0}]],\"z\":5.0}",
         "{\"t\":true,\"a\":[1,2.50,[-1e2,{\"b\":0.0}]],\"z\":5.0}", "true"},
        {"{\"a\":{\"b\":{},\"c\":[{},[],\"\\\"1.5\"]},\"d\":1.25}",
         "{\"a\":{\"b\":{},\"c\":[{},[],\"\\\"1.5\"]},\"d\":1.25}",
         "{\"b\":{},\"c\":[{},[],\"\\\"1.5\"]}"},
    };
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        expect_object(rows[i].text, rows[i].whole, rows[i].first);
}

/* As deep as a text may be: the whole text is one level of it. */
static void test_deepest(void **state)
{
    char text[TEXT_MAX] = "{\"a\":", whole[TEXT_MAX];
    const size_t size = strlen(text), depth = 30;

    (void)state;
    memset(text + size, '[', depth);
    memset(text + size + depth, ']', depth);
    text[size + 2 * depth] = '}';
    text[size + 2 * depth + 1] = '\0';
    (void)snprintf(whole, sizeof(whole), "%.*s", (int)(size + 2 * depth + 1), text);
    expect_object(text, whole,
                  (char[TEXT_MAX]){"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
                                   "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"});
}

static void test_no_value(void **state)
{
    struct hush_op op;
    struct hush_jtree *root = parse(&op, "{\"data\":null,\"list\":[1],\"long\":{\"a\":\"12345\"}}");
    struct hush_value value, before;

    (void)state;
    memset(&value, 0xa5, sizeof(value));
    before = value;
    assert_int_equal(hush_jtree_value(&op, hush_jtree_member(root, "data"), &value), HUSH_PROTOCOL);
    assert_int_equal(hush_jtree_value(&op, hush_jtree_member(root, "list"), &value), HUSH_PROTOCOL);
    assert_int_equal(hush_jtree_value(&op, NULL, &value), HUSH_PROTOCOL);
    op.secret_max = 8; /* room for the field, not for the whole */
    assert_int_equal(hush_jtree_value(&op, hush_jtree_member(root, "long"), &value),
                     HUSH_TOO_LARGE);
    assert_memory_equal(&value, &before, sizeof(value));
    hush_jtree_free(root);
    assert_int_equal(hush_arena_usage(arena).blocks, 0);
}

/* -- Bodies ------------------------------------------------------------------------------------ */

static void test_write(void **state)
{
    struct hush_secret *secret = NULL;
    size_t size = 0;
    struct hush_op op;
    char *text = NULL;

    (void)state;
    hush_op_init(&op, arena, 0);
    assert_int_equal(hush_secret_new(&op, "p\"w\xc3\xa9\n", 6, &secret), HUSH_OK);
    assert_int_equal(hush_jtree_write(&op,
                                      (const struct hush_jtree_row[]){{"z", "1/2", NULL},
                                                                      {"none", NULL, NULL},
                                                                      {"password", NULL, secret},
                                                                      {"empty", "", NULL},
                                                                      {NULL, NULL, NULL}},
                                      &text, &size),
                     HUSH_OK);
    assert_string_equal(text, "{\"z\":\"1/2\",\"password\":\"p\\\"w\xc3\xa9\\n\",\"empty\":\"\"}");
    assert_int_equal(size, strlen(text));
    hush_jtree_text_free(text);
    hush_jtree_text_free(NULL);
    assert_int_equal(
        hush_jtree_write(&op, (const struct hush_jtree_row[]){{NULL, NULL, NULL}}, &text, &size),
        HUSH_OK);
    assert_string_equal(text, "{}");
    hush_jtree_text_free(text);
    hush_secret_unref(secret);
}

static void test_write_refuses(void **state)
{
    struct hush_secret *secret = NULL;
    struct hush_op op;
    char *text = NULL;
    size_t size = 0;

    (void)state;
    hush_op_init(&op, arena, 0);
    assert_int_equal(hush_secret_new(&op, "CANARY\xff", 7, &secret), HUSH_OK);
    assert_int_equal(hush_jtree_write(&op,
                                      (const struct hush_jtree_row[]){{"password", NULL, secret},
                                                                      {NULL, NULL, NULL}},
                                      &text, &size),
                     HUSH_CONFIG);
    assert_null(text);
    assert_string_equal(op.detail, "\"password\" is not UTF-8, it cannot be sent in JSON");
    hush_secret_unref(secret);
}

/* -- Nothing stays ----------------------------------------------------------------------------- */

static unsigned char needle(size_t position)
{
    return (unsigned char)('a' + (position * 7 + position / 26 + (position * position) % 11) % 26);
}

static unsigned char digits(size_t position)
{
    return (unsigned char)('0' + (position * 7 + position / 10 + (position * position) % 3) % 10);
}

/* {"a":"NEEDLE","b":["NEEDLE"],"c":0.DIGITS}; wiped by the caller. */
static void plant(char text[TEXT_MAX])
{
    char *at = text;

    for (const char *format = "{\"a\":\"%\",\"b\":[\"%\"],\"c\":0.#}"; *format != '\0'; format++)
        if (*format == '%' || *format == '#')
            for (size_t i = 0; i < NEEDLE_SIZE; i++)
                *at++ = (char)(*format == '%' ? needle(i) : digits(i));
        else
            *at++ = *format;
    *at = '\0';
}

static size_t count_copies(void)
{
    return memscan_count(needle, NEEDLE_SIZE) + memscan_count(digits, NEEDLE_SIZE);
}

static void test_leaves_nothing(void **state)
{
    static char text[TEXT_MAX];
    struct hush_value value = {0};
    struct hush_jtree *root;
    struct hush_op op;
    char *body;
    size_t size;

    (void)state;
    if (!memscan_works())
        skip();
    plant(text);
    assert_true(memscan_count(needle, NEEDLE_SIZE) > 0);
    assert_true(memscan_count(digits, NEEDLE_SIZE) > 0);
    root = parse(&op, text);
    explicit_bzero(text, sizeof(text));
    assert_int_equal(hush_jtree_value(&op, root, &value), HUSH_OK);
    hush_jtree_free(root);
    assert_int_equal(hush_jtree_write(&op,
                                      (const struct hush_jtree_row[]){
                                          {"password", NULL, value.secret}, {NULL, NULL, NULL}},
                                      &body, &size),
                     HUSH_OK);
    assert_true(count_copies() > 0);
    hush_value_clear(&value);
    hush_jtree_text_free(body);
    assert_int_equal(count_copies(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nul),
        cmocka_unit_test(test_reading),
        cmocka_unit_test(test_secret),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_deepest),
        cmocka_unit_test(test_no_value),
        cmocka_unit_test(test_write),
        cmocka_unit_test(test_write_refuses),
        cmocka_unit_test(test_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
