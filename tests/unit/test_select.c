/* SPDX-License-Identifier: Apache-2.0 */
/* test_select.c - fields, string members and base64: see select.h. */
#include "select.h"

#include "core/arena.h"
#include "shared/json.h"
#include "unit.h"

#include <string.h>

struct fixture {
    struct hush_arena *arena;
    struct hush_op op;
    struct hush_value value;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (f == NULL)
        return -1;
    *state = f;
    f->arena = hush_arena_new(1 << 20);
    hush_op_init(&f->op, f->arena, 0);
    return f->arena == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    size_t blocks;

    hush_value_clear(&f->value);
    blocks = hush_arena_usage(f->arena).blocks;
    hush_arena_free(f->arena);
    free(f);
    return blocks == 0 ? 0 : -1; /* no reference was lost */
}

static struct hush_secret *secret(struct fixture *f, const char *text)
{
    struct hush_secret *s = NULL;

    assert_int_equal(hush_secret_new(&f->op, text, strlen(text), &s), HUSH_OK);
    return s;
}

static void set_text(struct fixture *f, const char *text)
{
    hush_value_clear(&f->value);
    f->value.secret = secret(f, text);
    f->op.detail[0] = '\0';
}

static void assert_selected(struct fixture *f, const char *field, bool base64, const void *bytes,
                            size_t size)
{
    struct hush_secret *out = NULL;

    assert_int_equal(hush_select(&f->op, &f->value, field, base64, &out), HUSH_OK);
    assert_int_equal(hush_secret_size(out), size);
    assert_memory_equal(hush_secret_bytes(out), bytes, size);
    hush_secret_unref(out);
}

static void assert_refused(struct fixture *f, const char *field, bool base64,
                           enum hush_status expected)
{
    struct hush_secret *out = NULL;
    const enum hush_status status = hush_select(&f->op, &f->value, field, base64, &out);

    if (status != expected)
        fail_msg("%s instead of %s", hush_status_name(status), hush_status_name(expected));
    assert_null(out);
    assert_string_not_equal(f->op.detail, "");
}

static void gives_the_whole(void **state)
{
    struct fixture *f = *state;

    set_text(f, "hunter2\n");
    assert_selected(f, NULL, false, "hunter2\n", 8);
    set_text(f, "");
    assert_selected(f, NULL, false, "", 0);
}

static void gives_the_fields_of_a_map(void **state)
{
    struct fixture *f = *state;

    set_text(f, "{\"shown\":\"from the text\"}");
    assert_int_equal(hush_value_add_field(&f->op, &f->value, "user", secret(f, "u")), HUSH_OK);
    assert_int_equal(hush_value_add_field(&f->op, &f->value, "pass", secret(f, "")), HUSH_OK);
    assert_selected(f, "user", false, "u", 1);
    assert_selected(f, "pass", false, "", 0);
    assert_refused(f, "shown", false, HUSH_NOT_FOUND); /* the map counts, not the text */
    assert_refused(f, "", false, HUSH_NOT_FOUND);
}

static void gives_the_members_of_json(void **state)
{
    struct fixture *f = *state;

    set_text(f, "{\"a\": \"x\", \"n\": 5, \"o\": {\"p\": [1, 2]}, \"e\": \"\"}");
    assert_selected(f, "a", false, "x", 1);
    assert_selected(f, "n", false, "5", 1);
    assert_selected(f, "o", false, "{\"p\":[1,2]}", 11);
    assert_selected(f, "e", false, "", 0);
    assert_refused(f, "p", false, HUSH_NOT_FOUND); /* flat only */
    set_text(f, "hunter2");
    assert_refused(f, "a", false, HUSH_PROTOCOL);
    assert_null(strstr(f->op.detail, "hunter2"));
    set_text(f, "[\"a\"]");
    assert_refused(f, "a", false, HUSH_PROTOCOL);
}

static void has_nothing_to_give(void **state)
{
    struct fixture *f = *state;

    f->value.unchanged = true;
    assert_refused(f, NULL, false, HUSH_PROTOCOL);
    assert_refused(f, "a", false, HUSH_PROTOCOL);
}

static void knows_string_members(void **state)
{
    static const char text[] =
        "{ \"x,\\\"{\" : [\"a:\", {\"b\": \",\"}] ,\"s\"  :  \"v\", \"n\": 1, \"z\": null,\n"
        " \"o\": {\"s\": \"t\", \"u\": \"v\"}, \"\": \"\", \"t\":true, \"last\":\"]}\"}";
    static const struct {
        const char *key;
        enum hush_status status;
    } rows[] = {
        {"x,\"{", HUSH_PROTOCOL}, {"s", HUSH_OK},        {"n", HUSH_PROTOCOL},
        {"z", HUSH_PROTOCOL},     {"o", HUSH_PROTOCOL},  {"", HUSH_OK},
        {"t", HUSH_PROTOCOL},     {"last", HUSH_OK},     {"u", HUSH_NOT_FOUND},
        {"b", HUSH_NOT_FOUND},    {"v", HUSH_NOT_FOUND},
    };
    struct fixture *f = *state;

    set_text(f, text);
    for (size_t i = 0; i < COUNT(rows); i++) {
        const enum hush_status status = hush_select_string(&f->op, &f->value, rows[i].key);
        if (status != rows[i].status)
            fail_msg("'%s': %s", rows[i].key, hush_status_name(status));
    }
    set_text(f, "no json");
    assert_int_equal(hush_select_string(&f->op, &f->value, "s"), HUSH_PROTOCOL);
    hush_value_clear(&f->value);
    assert_int_equal(hush_select_string(&f->op, &f->value, "s"), HUSH_PROTOCOL);
}

static void decodes_base64(void **state)
{
    static const struct {
        const char *text, *bytes;
        size_t size;
    } rows[] = {
        /* RFC 4648, section 10, and bytes that no text has */
        {"", "", 0},
        {"Zg==", "f", 1},
        {"Zm8=", "fo", 2},
        {"Zm9v", "foo", 3},
        {"Zm9vYg==", "foob", 4},
        {"Zm9vYmE=", "fooba", 5},
        {"Zm9vYmFy", "foobar", 6},
        {"AAD/+/8=", "\x00\x00\xff\xfb\xff", 5},
        {"++//", "\xfb\xef\xff", 3},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(rows); i++) {
        set_text(f, rows[i].text);
        assert_selected(f, NULL, true, rows[i].bytes, rows[i].size);
    }
    set_text(f, "{\"cert\": \"Zm9v\", \"bad\": \"hunter2\"}");
    assert_selected(f, "cert", true, "foo", 3); /* first the field, then base64 */
    assert_refused(f, "bad", true, HUSH_PROTOCOL);
    assert_null(strstr(f->op.detail, "hunter2"));
}

static void refuses_other_base64(void **state)
{
    static const char *const rows[] = {
        "Zg",     "Zg=",   "Z",        "Z===",      "====",       "=",     "Zg==\n",   "Zm9v\n",
        "\nZm9v", " Zm9v", "Zm9v    ", "Zm\n9vYQ=", "Zg==Zm9v",   "Z=9v",  "Zm9=v===", "Zm9-",
        "Zm9_",   "Zm.v",  "Zh==",     "Zm9=",      "Zm\xff\xff", "Zm9v=", "Zm9v====", "Zm9vZg=a",
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(rows); i++) {
        set_text(f, rows[i]);
        assert_refused(f, NULL, true, HUSH_PROTOCOL);
    }
}

#define with_fixture(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_fixture(gives_the_whole),           with_fixture(gives_the_fields_of_a_map),
        with_fixture(gives_the_members_of_json), with_fixture(has_nothing_to_give),
        with_fixture(knows_string_members),      with_fixture(decodes_base64),
        with_fixture(refuses_other_base64),
    };

    hush_json_init();
    return cmocka_run_group_tests_name("select", tests, NULL, NULL);
}
