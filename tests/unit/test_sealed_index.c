/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_sealed_index.c - the index of a sealed store: what it says is read back, what it may not say
 * is refused, versions come and go.
 */
#include "sealed/index.h"
#include "shared/json.h"
#include "unit.h"

#include <string.h>

#define ID   "\"00112233445566778899aabbccddeeff\""
#define HEAD "{\"store\":" ID ",\"generation\":1,\"keep\":3,\"secrets\":{"

static enum hush_status parse(const char *text, struct sealed_index **out, struct hush_op *op)
{
    hush_op_init(op, NULL, 0);
    *out = NULL;
    return hush_sealed_index_parse(op, text, strlen(text), out);
}

static const struct sealed_version *add(struct sealed_index *index, const char *name, uint32_t keep)
{
    const struct sealed_version version = {.size = 7, .created = 5};
    const struct sealed_version *added = NULL;

    assert_true(hush_sealed_index_add(index, name, &version, keep, &added));
    return added;
}

static void an_index_reads_back(void **state)
{
    static const char *const names[] = {"b", "a/\xff", "\"quoted\\", "c d", "a"};
    struct sealed_index *index = hush_sealed_index_new(4), *again = NULL;
    struct hush_text text, text_again;
    struct hush_op op;

    (void)state; /* none */
    assert_non_null(index);
    for (size_t i = 0; i < COUNT(names); i++)
        for (size_t v = 0; v <= i; v++)
            (void)add(index, names[i], 4);
    hush_sealed_index_purge(hush_sealed_index_find(index, "c d"));
    hush_text_init(&text, 1 << 20);
    hush_text_init(&text_again, 1 << 20);
    hush_sealed_index_write(index, &text);
    assert_int_equal(parse(text.bytes, &again, &op), HUSH_OK);
    hush_sealed_index_write(again, &text_again);
    assert_string_equal(text.bytes, text_again.bytes);
    assert_int_equal(again->count, COUNT(names));
    for (size_t i = 1; i < again->count; i++)
        assert_true(strcmp(again->secrets[i - 1].name, again->secrets[i].name) < 0);
    assert_int_equal(hush_sealed_index_find(again, "a")->current, 5);
    assert_int_equal(hush_sealed_index_find(again, "a")->count, 4);
    assert_int_equal(hush_sealed_index_find(again, "c d")->current, 4);
    assert_int_equal(hush_sealed_index_find(again, "c d")->count, 0);
    assert_null(hush_sealed_index_find(again, "absent"));
    hush_text_done(&text);
    hush_text_done(&text_again);
    hush_sealed_index_unref(index);
    hush_sealed_index_unref(again);
}

static void versions_are_numbered_and_kept(void **state)
{
    struct sealed_index *index = hush_sealed_index_new(3);
    struct sealed_secret *secret;
    char id[SEALED_ID_SIZE + 1];

    (void)state; /* none */
    assert_int_equal(add(index, "a", 3)->number, 1);
    memcpy(id, add(index, "a", 3)->id, sizeof(id));
    assert_string_not_equal(add(index, "a", 3)->id, id);
    assert_int_equal(add(index, "a", 3)->number, 4);
    secret = hush_sealed_index_find(index, "a");
    assert_int_equal(secret->count, 3);
    assert_null(hush_sealed_find_version(secret, 1));
    assert_string_equal(hush_sealed_find_version(secret, 2)->id, id);
    assert_false(hush_sealed_index_drop(secret, 4)); /* the current one */
    assert_false(hush_sealed_index_drop(secret, 1));
    assert_true(hush_sealed_index_drop(secret, 3));
    assert_null(hush_sealed_find_version(secret, 3));
    assert_non_null(hush_sealed_find_version(secret, 2));
    assert_int_equal(add(index, "a", 1)->number, 5); /* fewer from now on */
    assert_int_equal(hush_sealed_index_find(index, "a")->count, 1);
    hush_sealed_index_purge(hush_sealed_index_find(index, "a"));
    assert_false(hush_sealed_is_live(hush_sealed_index_find(index, "a")));
    assert_int_equal(add(index, "a", 3)->number, 6); /* a number never comes again */
    hush_sealed_index_unref(index);
}

static void what_is_no_index_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "[]",
        "{}",
        "{\"store\":" ID "}",
        "{\"store\":\"short\",\"generation\":1,\"keep\":3,\"secrets\":{}}",
        "{\"store\":" ID ",\"generation\":-1,\"keep\":3,\"secrets\":{}}",
        "{\"store\":" ID ",\"generation\":1,\"keep\":0,\"secrets\":{}}",
        "{\"store\":" ID ",\"generation\":1,\"keep\":1001,\"secrets\":{}}",
        "{\"store\":" ID ",\"generation\":1,\"keep\":3}",
        HEAD "\"\":{\"current\":1,\"versions\":[]}}}",
        HEAD "\"a//b\":{\"current\":1,\"versions\":[]}}}",
        HEAD "\"%41\":{\"current\":1,\"versions\":[]}}}",
        HEAD "\"a\":1}}",
        HEAD "\"a\":{\"versions\":[]}}}",
        HEAD "\"a\":{\"current\":0,\"versions\":[]}}}",
        HEAD "\"a\":{\"current\":1,\"versions\":[1]}}}",
        HEAD "\"a\":{\"current\":1,\"versions\":[{\"version\":1,\"created\":1,\"id\":\"x\"}]}}}",
        HEAD "\"a\":{\"current\":1,\"versions\":[{\"version\":2,\"created\":1,\"id\":" ID "}]}}}",
        HEAD "\"a\":{\"current\":2,\"versions\":[{\"version\":1,\"created\":1,\"id\":" ID "}]}}}",
        HEAD "\"a\":{\"current\":2,\"versions\":[{\"version\":2,\"created\":1,\"id\":" ID "},"
             "{\"version\":2,\"created\":1,\"id\":" ID "}]}}}",
        HEAD "\"a\":{\"current\":1,\"versions\":[]},\"a\":{\"current\":1,\"versions\":[]}}}",
    };
    struct sealed_index *index;
    struct hush_op op;

    (void)state; /* none */
    for (size_t i = 0; i < COUNT(texts); i++) {
        if (parse(texts[i], &index, &op) != HUSH_PROTOCOL)
            fail_msg("taken: %s", texts[i]);
        assert_null(index);
        assert_true(op.detail[0] != '\0');
    }
    assert_int_equal(parse(HEAD "}}", &index, &op), HUSH_OK);
    hush_sealed_index_unref(index);
}

static int set_up(void **state)
{
    (void)state; /* none */
    hush_json_init();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_index_reads_back),
        cmocka_unit_test(versions_are_numbered_and_kept),
        cmocka_unit_test(what_is_no_index_is_refused),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
