/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_store_env.c - files of variables, as `hushfs store import` reads them.
 */
#include "cmd_store_env.h"
#include "core/arena.h"
#include "unit.h"

#include <string.h>

static struct hush_arena *arena;

static enum hush_status read_env(const char *text, struct hush_op *op, struct hush_value *value)
{
    struct hush_secret *secret = NULL;
    enum hush_status status;

    hush_op_init(op, arena, 0);
    assert_int_equal(hush_secret_new(op, text, strlen(text), &secret), HUSH_OK);
    status = hush_store_env_fields(op, secret, value);
    hush_secret_unref(secret);
    return status;
}

static void expect(const struct hush_value *value, size_t i, const char *name, const char *text)
{
    const struct hush_secret *field = value->fields[i].value;

    assert_string_equal(value->fields[i].name, name);
    assert_int_equal(hush_secret_size(field), strlen(text));
    assert_memory_equal(hush_secret_bytes(field), text, strlen(text));
}

static void variables_are_read(void **state)
{
    static const char text[] = "# comment\n"
                               "\n"
                               "PLAIN=value\n"
                               "  export SPACED = some words  # comment\n"
                               "HASH=a#b\n"
                               "EMPTY=\n"
                               "EMPTY_TOO=  # nothing\n"
                               "SINGLE='a \\n $x \"q\" # no comment' # comment\n"
                               "DOUBLE=\"a\\tb\\\\n\\\"q\\\" \\$x \\z\"\n"
                               "LINES=\"-----BEGIN\nxyz\n-----END\"\n"
                               "EQUALS=a=b=c\r\n"
                               "LAST=end";
    struct hush_value value = {0};
    struct hush_op op;

    (void)state; /* none */
    assert_int_equal(read_env(text, &op, &value), HUSH_OK);
    assert_int_equal(value.field_count, 10);
    expect(&value, 0, "PLAIN", "value");
    expect(&value, 1, "SPACED", "some words");
    expect(&value, 2, "HASH", "a#b");
    expect(&value, 3, "EMPTY", "");
    expect(&value, 4, "EMPTY_TOO", "");
    expect(&value, 5, "SINGLE", "a \\n $x \"q\" # no comment");
    expect(&value, 6, "DOUBLE", "a\tb\\n\"q\" $x \\z");
    expect(&value, 7, "LINES", "-----BEGIN\nxyz\n-----END");
    expect(&value, 8, "EQUALS", "a=b=c");
    expect(&value, 9, "LAST", "end");
    hush_value_clear(&value);
    assert_int_equal(hush_arena_usage(arena).blocks, 0);
}

static void errors_name_their_line(void **state)
{
    static const struct {
        const char *text, *error;
    } texts[] = {
        {"A=1\nhunter2\n", "line 2: not NAME=VALUE"},
        {"=x", "line 1: no name, or a long one"},
        {"A B=x", "line 1: a blank in the name"},
        {"\n\nA='x", "line 3: a quote that does not end"},
        {"A=\"x\\\"", "line 1: a quote that does not end"},
        {"A='1\n2' x", "line 2: something follows the closing quote"},
        {"A='1'\nB=\"2\"\"3\"", "line 2: something follows the closing quote"},
    };

    (void)state; /* none */
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct hush_value value = {0};
        struct hush_op op;
        assert_int_equal(read_env(texts[i].text, &op, &value), HUSH_PROTOCOL);
        assert_string_equal(op.detail, texts[i].error);
        assert_int_equal(hush_arena_usage(arena).blocks, 0);
    }
}

static int set_up(void **state)
{
    (void)state; /* none */
    arena = hush_arena_new(1 << 20);
    return arena == NULL;
}

static int tear_down(void **state)
{
    (void)state; /* none */
    hush_arena_free(arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(variables_are_read),
        cmocka_unit_test(errors_name_their_line),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
