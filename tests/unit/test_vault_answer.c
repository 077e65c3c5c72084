/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_vault_answer.c - what the Vault provider makes of bodies that servers sent: OpenBao 2.7.2
 * where nothing else is said. No server, no token.
 */
#include "unit.h"

#include "core/clock.h"
#include "shared/json.h"
#include "vault/answer.h"
#include "vault_bodies.h"

#include <string.h>

enum { ARENA_SIZE = 4 << 20, NOW = 1795547322 /* 2026-11-24T19:08:42Z */ };

struct fixture {
    struct hush_arena *arena;
    struct hush_op op;
    struct hush_value value;
    char names[512]; /* what was emitted: "name " or "name/ " */
};

static time_t now(void)
{
    return NOW;
}

static int set_up(void **state)
{
    static struct fixture f;

    memset(&f, 0, sizeof(f));
    hush_json_init();
    f.arena = hush_arena_new(ARENA_SIZE);
    hush_op_init(&f.op, f.arena, 0);
    hush_clock_inject(NULL, now);
    *state = &f;
    return f.arena == NULL;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    bool clean;

    hush_value_clear(&f->value);
    clean = hush_arena_usage(f->arena).blocks == 0;
    hush_arena_free(f->arena);
    hush_clock_inject(NULL, NULL);
    return clean ? 0 : 1;
}

/* text is borrowed: nothing here clears an answer. */
static struct hush_http_answer answer(int code, const char *text)
{
    return (struct hush_http_answer){
        .code = code, .body = (char *)(uintptr_t)text, .size = strlen(text)};
}

static void expect_field(const struct hush_value *value, const char *name, const char *expected)
{
    for (size_t i = 0; i < value->field_count; i++) {
        if (strcmp(value->fields[i].name, name) != 0)
            continue;
        assert_int_equal(hush_secret_size(value->fields[i].value), strlen(expected));
        assert_memory_equal(hush_secret_bytes(value->fields[i].value), expected, strlen(expected));
        return;
    }
    fail_msg("no field %s", name);
}

static enum hush_status emit(void *ctx, const struct hush_entry *entry)
{
    struct fixture *f = ctx;
    const size_t used = strlen(f->names);

    (void)snprintf(f->names + used, sizeof(f->names) - used, "%s%s ", entry->name,
                   entry->kind == HUSH_KIND_FOLDER ? "/" : "");
    return HUSH_OK;
}

/* -- What a status means ----------------------------------------------------------------------- */

#define ERRORS(text) "{\"errors\":[\"" text "\"]}\n"

static void test_status(void **state)
{
    /* clang-format off */
    static const struct { int code; const char *body; enum hush_status status; const char *detail; } rows[] = {
        {403, ERRORS("permission denied"), HUSH_DENIED, "does not know our token"},
        {403, ERRORS("2 errors occurred:\\n\\t* permission denied\\n\\t* invalid token\\n\\n"), HUSH_DENIED, "does not know our token"},
        {403, ERRORS("1 error occurred:\\n\\t* permission denied\\n\\n"), HUSH_DENIED, "no policy"},
        {403, ERRORS("preflight capability check returned 403, please ensure client's policies grant access to path \\\"kv2/app/\\\""), HUSH_DENIED, "nothing is mounted there"},
        {403, "", HUSH_DENIED, "refuses"},
        {404, ERRORS("no handler for route \\\"nosuch/data/app\\\". route entry not found."), HUSH_NOT_FOUND, "nothing is mounted there"},
        {404, ERRORS("namespace not found"), HUSH_NOT_FOUND, "no such namespace"},
        {404, ERRORS("1 error occurred:\\n\\t* unsupported path\\n\\n"), HUSH_NOT_FOUND, "no such path"},
        {404, "{\"errors\":[]}\n", HUSH_NOT_FOUND, "has nothing there"},
        {404, "", HUSH_NOT_FOUND, "has nothing there"},
        {405, ERRORS("1 error occurred:\\n\\t* unsupported operation\\n\\n"), HUSH_UNSUPPORTED, "cannot do that"},
        {400, "Client sent an HTTP request to an HTTPS server.\n", HUSH_CONFIG, "make the URL https"},
        {400, ERRORS("Waiting for the primary to upgrade from non-versioned to versioned data."), HUSH_UNAVAILABLE, "upgrading"},
        {400, ERRORS("lease not found"), HUSH_NOT_FOUND, "no such lease"},
        {400, ERRORS("invalid lease"), HUSH_NOT_FOUND, "no such lease"},
        {400, ERRORS("unknown role: nope"), HUSH_NOT_FOUND, "no such role"},
        {400, ERRORS("batch tokens cannot be revoked"), HUSH_UNSUPPORTED, "cannot revoke"},
        {400, ERRORS("common name x not allowed by this role"), HUSH_DENIED, "does not allow"},
        {400, ERRORS("something else"), HUSH_BACKEND, "calls the request wrong"},
        {429, ERRORS("request path \\\"kv2/data/app\\\": rate limit quota exceeded"), HUSH_THROTTLED, "rate limit"},
        {429, "{\"errors\":[]}", HUSH_THROTTLED, "asks to wait"},
        {412, "", HUSH_THROTTLED, "not caught up"},
        {307, "", HUSH_UNAVAILABLE, "a standby that redirects"},
        {307, "<a href=\"http://evil/\">Temporary Redirect</a>.\n\n", HUSH_UNAVAILABLE, "a standby that redirects"},
        {301, "", HUSH_PROTOCOL, "redirects"},
        {473, "", HUSH_UNAVAILABLE, "a standby"},
        {500, ERRORS("unable to start transaction: failed to connect to `host=db user=admin`: connection refused"), HUSH_BACKEND, "its own backend"},
        {500, ERRORS("could not find version data"), HUSH_NOT_FOUND, "no such secret"},
        {500, "<html>oops</html>", HUSH_BACKEND, "the server failed"},
        {501, ERRORS("not initialized"), HUSH_UNAVAILABLE, "not initialized"},
        {502, "", HUSH_UNAVAILABLE, "depends on"},
        {503, ERRORS("Vault is sealed"), HUSH_UNAVAILABLE, "the server is sealed"},
        {503, "", HUSH_UNAVAILABLE, "not available"},
        {599, "", HUSH_BACKEND, "nobody expects"},
    };
    /* clang-format on */
    const struct vault_request request = {.method = "GET", .path = "kv2/data/app?version=canary"};
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct hush_http_answer a = answer(rows[i].code, rows[i].body);
        f->op.detail[0] = '\0';
        assert_int_equal(vault_status(&f->op, &request, &a), rows[i].status);
        if (strstr(f->op.detail, rows[i].detail) == NULL)
            fail_msg("%d %s: %s", rows[i].code, rows[i].body, f->op.detail);
        assert_non_null(strstr(f->op.detail, "'kv2/data/app'"));
        assert_null(strstr(f->op.detail, "canary"));
        assert_null(strstr(f->op.detail, "admin"));
        assert_null(strstr(f->op.detail, "evil"));
    }
}

static void test_status_retry_after(void **state)
{
    static const int codes[] = {429, 503, 412};
    const struct vault_request request = {.method = "GET", .path = "kv2/data/app"};
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(codes); i++) {
        struct hush_http_answer a = answer(codes[i], "{\"errors\":[]}");
        a.retry_after_ms = 1000 + (uint32_t)i;
        f->op.retry_after_ms = 0;
        (void)vault_status(&f->op, &request, &a);
        assert_int_equal(f->op.retry_after_ms, 1000 + i);
    }
}

/* 400 with no body at all is about bytes in the path; without such bytes it is anything. */
static void test_status_odd_name(void **state)
{
    struct fixture *f = *state;
    const struct hush_http_answer a = answer(400, "");
    const struct vault_request odd = {.method = "GET", .path = "kv2/data/%E2%80%8B"},
                               plain = {.method = "GET", .path = "kv2/data/app"};

    assert_int_equal(vault_status(&f->op, &odd, &a), HUSH_NOT_FOUND);
    assert_int_equal(vault_status(&f->op, &plain, &a), HUSH_BACKEND);
}

static void test_bad_token(void **state)
{
    /* clang-format off */
    static const struct { int code; const char *body; bool bad; } rows[] = {
        {403, ERRORS("permission denied"), true},
        {403, ERRORS("2 errors occurred:\\n\\t* permission denied\\n\\t* invalid token\\n\\n"), true},
        {403, ERRORS("missing client token"), true},
        {403, ERRORS("1 error occurred:\\n\\t* permission denied\\n\\n"), false},
        {403, ERRORS("preflight capability check returned 403"), false},
        {403, "{\"errors\":[]}", false},
        {403, "{\"errors\":[1,null]}", false},
        {403, "permission denied", false},
        {403, "", false},
        {400, ERRORS("permission denied"), false},
        {404, ERRORS("permission denied"), false},
    };
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct hush_http_answer a = answer(rows[i].code, rows[i].body);
        assert_int_equal(vault_is_bad_token(&a), rows[i].bad);
    }
}

/* -- Paths ------------------------------------------------------------------------------------- */

static void test_names(void **state)
{
    static const char *const good[] = {"a",  "a/b",   "x.",   "x..y", "...", "a b ",
                                       "%",  "?help", "#",    "+*",   "é",   "a/.b",
                                       "b.", "..a/b", "a\\b", "~",    "%2F"};
    static const char *const bad[] = {"",      "/",    "/a",   "a/",   "a//b", ".",    "..",
                                      "a/./b", "../a", "a/..", "a\nb", "\x01", "\x7f", "a/\t"};

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++)
        assert_null(vault_name_fault(good[i]));
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_non_null(vault_name_fault(bad[i]));
}

static void test_path(void **state)
{
    const char *const odd[] = {"a/b", "data", "x y/?help=1/\xc3\xa9", NULL};
    const char *const left_out[] = {"kv", "", "app", "", NULL};
    const char *const bad[] = {"kv", "data", "a/../b", NULL};
    static char longest[VAULT_PATH_SIZE];
    const char *const too_long[] = {"kv", longest, NULL};
    struct fixture *f = *state;
    char path[VAULT_PATH_SIZE];

    assert_int_equal(vault_path(&f->op, odd, path), HUSH_OK);
    assert_string_equal(path, "a/b/data/x%20y/%3Fhelp%3D1/%C3%A9");
    assert_int_equal(vault_path(&f->op, left_out, path), HUSH_OK);
    assert_string_equal(path, "kv/app");
    assert_int_equal(vault_path(&f->op, bad, path), HUSH_NOT_FOUND);
    memset(longest, 'a', sizeof(longest) - 1);
    assert_int_equal(vault_path(&f->op, too_long, path), HUSH_NOT_FOUND);
    memset(longest, '?', HUSH_PATH_MAX);
    longest[HUSH_PATH_MAX] = '\0';
    assert_int_equal(vault_path(&f->op, too_long, path), HUSH_OK);
    assert_int_equal(strlen(path), 3 + 3 * HUSH_PATH_MAX);
}

/* -- KV ---------------------------------------------------------------------------------------- */

#define KV2(data, metadata)                                                                        \
    "{\"request_id\":\"x\",\"lease_id\":\"\",\"renewable\":false,\"lease_duration\":0,\"data\":"   \
    "{\"data\":" data ",\"metadata\":{" metadata "}},\"warnings\":null}\n"
#define KV2_META(version, deletion)                                                                \
    "\"created_time\":\"2026-11-24T19:08:42.457998124Z\",\"custom_metadata\":null,"                \
    "\"deletion_time\":\"" deletion "\",\"destroyed\":false,\"version\":" version

static void test_kv2(void **state)
{
    struct fixture *f = *state;
    const struct hush_http_answer a =
        answer(200, KV2("{\"n\":1.50,\"password\":\"p\\u003cq\",\"o\":{\"a\": [1, 2]}}",
                        KV2_META("7", "")));

    assert_int_equal(vault_kv2_value(&f->op, &a, &f->value), HUSH_OK);
    assert_string_equal(f->value.meta.version.text, "7");
    assert_int_equal(f->value.meta.modified, NOW);
    assert_int_equal(f->value.meta.not_after, 0);
    assert_int_equal(f->value.meta.ttl_ms, 0);
    assert_false(f->value.meta.dynamic);
    assert_int_equal(f->value.field_count, 3);
    expect_field(&f->value, "n", "1.50");
    expect_field(&f->value, "password", "p<q");
    expect_field(&f->value, "o", "{\"a\":[1,2]}");
    assert_non_null(f->value.secret);
}

/* delete_version_after: a date to come on a version that is there. One in the past is the server's
 * clock against ours: what it gave, it honours. */
static void test_kv2_ends(void **state)
{
    struct fixture *f = *state;
    const struct hush_http_answer later = answer(
                                      200, KV2("{}", KV2_META("1", "2026-11-24T19:08:43.1Z"))),
                                  earlier =
                                      answer(200, KV2("{}", KV2_META("1", "2026-11-24T19:08:42Z")));

    assert_int_equal(vault_kv2_value(&f->op, &later, &f->value), HUSH_OK);
    assert_int_equal(f->value.meta.not_after, NOW + 1);
    hush_value_clear(&f->value);
    assert_int_equal(vault_kv2_value(&f->op, &earlier, &f->value), HUSH_OK);
    assert_int_equal(f->value.meta.not_after, 0);
}

/* Written as {"data": null}: a version without fields. */
static void test_kv2_null(void **state)
{
    struct fixture *f = *state;
    const struct hush_http_answer a = answer(200, KV2("null", KV2_META("2", "")));

    assert_int_equal(vault_kv2_value(&f->op, &a, &f->value), HUSH_OK);
    assert_int_equal(f->value.field_count, 0);
    assert_non_null(f->value.fields);
    assert_int_equal(hush_secret_size(f->value.secret), 2);
    assert_memory_equal(hush_secret_bytes(f->value.secret), "{}", 2);
    assert_string_equal(f->value.meta.version.text, "2");
}

static void test_kv2_malformed(void **state)
{
    static const char *const bodies[] = {
        "",
        "[]",
        "null",
        "{}",
        "{\"data\":null}",
        "{\"data\":[]}",
        "{\"data\":{\"password\":\"p\"}}", /* v1's */
        KV2("{}", "\"version\":\"1\""),
        KV2("{}", "\"version\":-1"),
        KV2("{}", "\"version\":1.5"),
        KV2("[1]", KV2_META("1", "")),
        KV2("\"text\"", KV2_META("1", "")),
        "{\"data\":{\"metadata\":{\"version\":1}}}",
        KV2("{\"a\":\"1\",\"a\":\"2\"}", KV2_META("1", "")),
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(bodies); i++) {
        const struct hush_http_answer a = answer(200, bodies[i]);
        assert_int_equal(vault_kv2_value(&f->op, &a, &f->value), HUSH_PROTOCOL);
        assert_null(f->value.secret);
    }
    assert_int_equal(hush_arena_usage(f->arena).blocks, 0);
}

/* lease_duration of v1 is no lease; it is what a key "ttl" says, else a month. */
static void test_kv1(void **state)
{
    struct fixture *f = *state;
    const struct hush_http_answer a =
        answer(200, "{\"lease_id\":\"\",\"renewable\":false,\"lease_duration\":30,"
                    "\"data\":{\"ttl\":\"30s\",\"n\":1.50}}");

    assert_int_equal(vault_kv1_value(&f->op, &a, &f->value), HUSH_OK);
    expect_field(&f->value, "ttl", "30s");
    expect_field(&f->value, "n", "1.50");
    assert_int_equal(f->value.meta.ttl_ms, 30000);
    assert_string_equal(f->value.meta.lease, "");
    assert_string_equal(f->value.meta.version.text, "");
    assert_false(f->value.meta.dynamic);
}

static void test_ms(void **state)
{
    (void)state;
    assert_int_equal(vault_ms(0), 0);
    assert_int_equal(vault_ms(4294967), 4294967000);
    assert_int_equal(vault_ms(4294968), UINT32_MAX);
    assert_int_equal(vault_ms(UINT64_MAX), UINT32_MAX);
}

static void test_kv_gone(void **state)
{
    /* clang-format off */
    static const struct { const char *body, *detail; } rows[] = {
        {KV2("null", "\"deletion_time\":\"2026-11-24T19:08:42Z\",\"destroyed\":false"), "is deleted"},
        {KV2("null", "\"deletion_time\":\"\",\"destroyed\":true"), "is destroyed"},
        {KV2("null", "\"deletion_time\":\"2026-11-24T19:08:42Z\",\"destroyed\":true"), "is destroyed"},
        {"{\"errors\":[]}", "no such secret"},
        {"", "no such secret"},
        {"<html>", "no such secret"},
    };
    /* clang-format on */
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct hush_http_answer a = answer(404, rows[i].body);
        assert_int_equal(vault_kv_gone(&f->op, &a, "app"), HUSH_NOT_FOUND);
        assert_non_null(strstr(f->op.detail, rows[i].detail));
        assert_non_null(strstr(f->op.detail, "'app'"));
    }
}

static void test_versions(void **state)
{
    struct fixture *f = *state;
    const struct hush_http_answer
        a = answer(200, "{\"data\":{\"versions\":{"
                        "\"10\":{\"deletion_time\":\"\",\"destroyed\":false},"
                        "\"9\":{\"deletion_time\":\"2026-11-24T19:08:42Z\",\"destroyed\":false},"
                        "\"8\":{\"deletion_time\":\"2026-11-24T19:08:43Z\",\"destroyed\":false},"
                        "\"7\":{\"deletion_time\":\"\",\"destroyed\":true},"
                        "\"odd\":{},\"11\":{}}}}"),
        none = answer(200, "{\"data\":{\"versions\":{}}}"),
        bad = answer(200, "{\"data\":{\"versions\":[]}}");

    assert_int_equal(vault_kv2_versions(&f->op, &a, emit, f), HUSH_OK);
    assert_string_equal(f->names, "11 10 8 ");
    assert_int_equal(vault_kv2_versions(&f->op, &none, emit, f), HUSH_OK);
    assert_string_equal(f->names, "11 10 8 ");
    assert_int_equal(vault_kv2_versions(&f->op, &bad, emit, f), HUSH_PROTOCOL);
}

static void test_keys(void **state)
{
    struct fixture *f = *state;
    const struct hush_http_answer
        a = answer(200, "{\"data\":{\"keys\":[\"dir\",\"dir/\",\"x.\",\"a b\",\"\",\"/\",\".\","
                        "\"../\",\"a/b\",\"c\\n\",\"%2F\"]}}"),
        number = answer(200, "{\"data\":{\"keys\":[\"z\",1]}}"),
        object = answer(200, "{\"data\":{\"keys\":{\"a\":1}}}"),
        none = answer(200, "{\"data\":{}}");

    assert_int_equal(vault_keys(&f->op, &a, emit, f), HUSH_OK);
    assert_string_equal(f->names, "dir dir/ x. a b %2F ");
    assert_int_equal(vault_keys(&f->op, &number, emit, f), HUSH_PROTOCOL);
    assert_int_equal(vault_keys(&f->op, &object, emit, f), HUSH_PROTOCOL);
    assert_int_equal(vault_keys(&f->op, &none, emit, f), HUSH_PROTOCOL);
}

#define MOUNT(type, options, path)                                                                 \
    "{\"data\":{\"type\":\"" type "\",\"options\":" options ",\"path\":\"" path "\"}}"

static void test_mount(void **state)
{
    /* clang-format off */
    static const struct { const char *body; enum hush_status status; enum vault_kv kv; } rows[] = {
        {MOUNT("kv", "{\"version\":\"2\"}", "a/b/"), HUSH_OK, VAULT_KV_2},
        {MOUNT("kv", "{\"version\":\"1\"}", "a/b/"), HUSH_OK, VAULT_KV_1},
        {MOUNT("kv", "{}", "a/b/"),                  HUSH_OK, VAULT_KV_1},
        {MOUNT("kv", "null", "a/b/"),                HUSH_OK, VAULT_KV_1},
        {MOUNT("generic", "null", "a/b/"),           HUSH_OK, VAULT_KV_1},
        {MOUNT("pki", "null", "a/b/"),               HUSH_CONFIG, VAULT_KV_AUTO},
        {MOUNT("kv", "{\"version\":\"2\"}", "a/"),   HUSH_CONFIG, VAULT_KV_AUTO},
        {"{\"data\":{}}",                            HUSH_PROTOCOL, VAULT_KV_AUTO},
    };
    /* clang-format on */
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct hush_http_answer a = answer(200, rows[i].body);
        enum vault_kv kv = VAULT_KV_AUTO;
        assert_int_equal(vault_mount_kv(&f->op, &a, "a/b", &kv), rows[i].status);
        assert_int_equal(kv, rows[i].kv);
    }
}

/* -- Certificates ------------------------------------------------------------------------------ */

/* The value of pki/issue with these members of "data". */
static void read_pki(struct fixture *f, const char *members)
{
    struct hush_jtree *root = NULL;
    const struct hush_jtree *data;
    static char body[8192];

    (void)snprintf(body, sizeof(body), "{\"data\":{%s}}", members);
    const struct hush_http_answer a = answer(200, body);
    hush_value_clear(&f->value);
    assert_int_equal(vault_data(&f->op, &a, &root, &data), HUSH_OK);
    assert_int_equal(hush_jtree_value(&f->op, data, &f->value), HUSH_OK);
    assert_int_equal(vault_pki_value(&f->op, data, &f->value), HUSH_OK);
    hush_jtree_free(root);
}

/* As it stands in JSON, as bytes, with the last newline. */
static const char *pem(const char *json, char *out)
{
    size_t used = 0;

    for (; *json != '\0'; json++) {
        const bool newline = json[0] == '\\' && json[1] == 'n';
        if (newline)
            out[used++] = '\n';
        else
            out[used++] = *json;
        json += newline;
    }
    out[used++] = '\n';
    out[used] = '\0';
    return out;
}

static void expect_pem(const struct fixture *f, const char *name, const char *const parts[])
{
    char expected[8192] = "";
    size_t used = 0;

    for (; *parts != NULL; parts++)
        used += strlen(pem(*parts, expected + used));
    expect_field(&f->value, name, expected);
}

static void test_pki(void **state)
{
    struct fixture *f = *state;
    const char *const leaf[] = {LEAF_PEM, NULL}, *const key[] = {KEY_PEM, NULL},
                      *const chain[] = {INTER_PEM, ROOT_PEM, NULL},
                      *const full[] = {LEAF_PEM, INTER_PEM, NULL},
                      *const bundle[] = {KEY_PEM, LEAF_PEM, INTER_PEM, NULL};

    read_pki(f, "\"certificate\":\"" LEAF_PEM "\",\"private_key\":\"" KEY_PEM
                "\",\"issuing_ca\":\"" INTER_PEM "\",\"ca_chain\":[\"" INTER_PEM "\",\"" ROOT_PEM
                "\\n\"],\"serial_number\":\"03\",\"expiration\":1234567890");
    assert_int_equal(f->value.field_count, 8);
    expect_pem(f, "certificate", leaf);
    expect_pem(f, "private_key", key);
    expect_pem(f, "issuing_ca", full + 1);
    expect_pem(f, "ca_chain", chain);
    expect_pem(f, "fullchain", full);
    expect_pem(f, "bundle", bundle);
    expect_field(&f->value, "serial_number", "03");
    expect_field(&f->value, "expiration", "1234567890");
    assert_int_equal(f->value.meta.not_after, 1234567890);
}

/* No chain: the issuer, if it is no root. No expiration: the certificate's own end. */
static void test_pki_without(void **state)
{
    struct fixture *f = *state;
    const char *const full[] = {LEAF_PEM, INTER_PEM, NULL}, *const leaf[] = {LEAF_PEM, NULL};

    read_pki(f, "\"certificate\":\"" LEAF_PEM "\",\"issuing_ca\":\"" INTER_PEM "\"");
    expect_pem(f, "fullchain", full);
    assert_int_equal(f->value.meta.not_after, LEAF_END);
    assert_int_equal(f->value.field_count, 3); /* no key, no bundle */
    read_pki(f, "\"certificate\":\"" LEAF_PEM "\",\"issuing_ca\":\"" ROOT_PEM "\"");
    expect_pem(f, "fullchain", leaf);
}

/* format = der, and format = pem_bundle, whose certificate has the key in it. */
static void test_pki_other_formats(void **state)
{
    struct fixture *f = *state;

    read_pki(f, "\"certificate\":\"MIIB\",\"private_key\":\"MHcC\"");
    assert_int_equal(f->value.field_count, 2);
    expect_field(&f->value, "certificate", "MIIB");
    assert_int_equal(f->value.meta.not_after, 0);
    read_pki(f, "\"certificate\":\"" KEY_PEM "\\n" LEAF_PEM "\",\"private_key\":\"" KEY_PEM "\"");
    assert_int_equal(f->value.field_count, 2);
}

static void test_ssh(void **state)
{
    static const char *const never[] = {
        SSH_NEVER_ENDS,
        "",
        "ssh-ed25519 AAAA",
        "ssh-ed25519-cert-v01@openssh.com",
        "ssh-ed25519-cert-v01@openssh.com ",
        "ssh-ed25519-cert-v01@openssh.com AAAA",
        "ssh-ed25519-cert-v01@openssh.com /////////w==",
        "ssh-ed25519-cert-v01@openssh.com !!!!",
    };
    char cut[1024];
    time_t end = 0;

    (void)state;
    assert_true(vault_ssh_end(SSH_ENDS_2027 "\n", &end));
    assert_int_equal(end, SSH_END);
    end = 0;
    assert_true(vault_ssh_end(SSH_ECDSA_ENDS_2027 " comment\n", &end));
    assert_int_equal(end, SSH_END);
    for (size_t i = 0; i < COUNT(never); i++)
        assert_false(vault_ssh_end(never[i], &end));
    for (size_t size = 0; size < 200; size++) { /* its end stands behind that */
        (void)snprintf(cut, sizeof(cut), "%.*s", (int)size, SSH_ENDS_2027);
        assert_false(vault_ssh_end(cut, &end));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_status),
        TEST(test_status_retry_after),
        TEST(test_status_odd_name),
        TEST(test_bad_token),
        TEST(test_names),
        TEST(test_path),
        TEST(test_kv2),
        TEST(test_kv2_ends),
        TEST(test_kv2_null),
        TEST(test_kv2_malformed),
        TEST(test_kv1),
        TEST(test_ms),
        TEST(test_kv_gone),
        TEST(test_versions),
        TEST(test_keys),
        TEST(test_mount),
        TEST(test_pki),
        TEST(test_pki_without),
        TEST(test_pki_other_formats),
        TEST(test_ssh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
