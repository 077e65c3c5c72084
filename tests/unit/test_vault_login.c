/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_vault_login.c - what each login method sends, where a token is looked for, and a secret id
 * that came wrapped.
 */
#include "fake_vault.h"
#include "vault/token.h"

#include <string.h>
#include <sys/stat.h>

/* -- Methods ----------------------------------------------------------------------------------- */

static char some_role[] = "app", some_user[] = "an/na", own_path[] = "/team/jwt/", path[] = "auth1";

static void kubernetes(struct vault *v, char *file)
{
    v->kube_auth_path = path;
    v->kube_role = some_role;
    v->kube_api_token_file = file;
}

static void jwt(struct vault *v, char *file)
{
    v->jwt_auth_path = own_path;
    v->jwt_file = file;
}

static void cert(struct vault *v, char *file)
{
    v->cert_auth_path = path;
    v->cert_auth_cert = file;
    v->cert_auth_cert_key = file;
    v->cert_auth_role_name = some_role;
}

static void userpass(struct vault *v, char *file)
{
    v->userpass_auth_path = path;
    v->userpass_username = some_user;
    v->userpass_password_file = file;
}

static void approle(struct vault *v, char *file)
{
    v->approle_auth_path = path;
    v->approle_secret_id_file = file;
}

static const struct {
    enum vault_auth method;
    void (*set)(struct vault *v, char *file);
    const char *what, *sent;
} methods[] = {
    {VAULT_AUTH_APPROLE, approle, "POST auth/auth1/login",
     "{\"role_id\":\"role-1\",\"secret_id\":\"word\"}"},
    {VAULT_AUTH_KUBERNETES, kubernetes, "POST auth/auth1/login",
     "{\"role\":\"app\",\"jwt\":\"word\"}"},
    {VAULT_AUTH_JWT, jwt, "POST auth/team/jwt/login", "{\"jwt\":\"word\"}"},
    {VAULT_AUTH_CERT, cert, "POST auth/auth1/login", "{\"name\":\"app\"}"},
    {VAULT_AUTH_USERPASS, userpass, "POST auth/auth1/login/an%2Fna", "{\"password\":\"word\"}"},
};

static void test_what_each_method_sends(void **state)
{
    struct fixture *f = *state;

    fixture_write(f->file, "word\n");
    for (unsigned i = 0; i < COUNT(methods); i++) {
        fake_reset();
        fake_answer(methods[i].what, 200, LOGIN_BODY(100));
        f->v.auth_method = methods[i].method;
        methods[i].set(&f->v, f->file);
        assert_int_equal(vault_login_check(&f->v, &f->op), HUSH_OK);
        fixture_restart(f);
        expect_token(f, "t1", i + 1); /* configured otherwise each time: none is taken over */
        assert_string_equal(fake_route(methods[i].what)->sent, methods[i].sent);
        assert_string_equal(fake_route(methods[i].what)->token, "");
    }
}

static void test_what_each_method_needs(void **state)
{
    static const char *const needs[VAULT_AUTH_COUNT] = {
        [VAULT_AUTH_APPROLE] = "approle_secret_id_file",
        [VAULT_AUTH_KUBERNETES] = "kube_role",
        [VAULT_AUTH_JWT] = "jwt_file",
        [VAULT_AUTH_CERT] = "cert_auth_cert",
        [VAULT_AUTH_USERPASS] = "userpass_username",
    };
    struct fixture *f = *state;

    f->v.approle_secret_id_file = NULL;
    for (uint32_t i = 0; i < VAULT_AUTH_COUNT; i++) {
        f->v.auth_method = i;
        assert_int_equal(vault_login_check(&f->v, &f->op),
                         needs[i] == NULL ? HUSH_OK : HUSH_CONFIG);
        if (needs[i] != NULL)
            assert_non_null(strstr(f->op.detail, needs[i]));
    }
    f->v.auth_method = VAULT_AUTH_APPROLE;
}

/* The client certificate is no secret that is sent, but another one is another try. */
static void test_a_new_certificate_is_tried_at_once(void **state)
{
    struct fixture *f = *state;

    f->v.auth_method = VAULT_AUTH_CERT;
    f->v.cert_auth_path = path;
    f->v.cert_auth_cert = f->file;
    f->v.cert_auth_cert_key = f->key;
    fixture_write(f->file, "certificate");
    fixture_write(f->key, "key 1");
    fake_answer("POST auth/auth1/login", 400, "{}");
    assert_int_equal(get_status(f), HUSH_AUTH);
    assert_int_equal(get_status(f), HUSH_AUTH);
    assert_int_equal(fake_calls("POST auth/auth1/login"), 1);
    assert_string_equal(fake_route("POST auth/auth1/login")->sent, "{}");
    fixture_write(f->key, "key 2");
    assert_int_equal(get_status(f), HUSH_AUTH);
    assert_int_equal(fake_calls("POST auth/auth1/login"), 2);
}

static void test_what_is_no_answer(void **state)
{
    /* clang-format off */
    static const struct { const char *body; enum hush_status status; } rows[] = {
        {"{}", HUSH_PROTOCOL},
        {"{\"auth\":null}", HUSH_PROTOCOL},
        {"{\"auth\":{\"client_token\":\"t\"}}", HUSH_PROTOCOL},
        {"{\"auth\":{\"lease_duration\":1}}", HUSH_PROTOCOL},
        {"{\"auth\":{\"client_token\":\"\",\"lease_duration\":0}}", HUSH_AUTH},
        {"{\"auth\":{\"client_token\":\"a\\r\\nX-B: c\",\"lease_duration\":1}}", HUSH_PROTOCOL},
        {"not JSON", HUSH_PROTOCOL},
    };
    /* clang-format on */
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(rows); i++) {
        fake_answer(LOGIN, 200, rows[i].body);
        assert_int_equal(get_status(f), rows[i].status);
        fake_clock_forward(60 * 1000);
    }
}

/* -- A token without a file -------------------------------------------------------------------- */

static void with_environ(struct fixture *f, const char *name, const char *value)
{
    int fd;

    assert_int_equal(setenv("HOME", f->directory, 1), 0);
    if (name != NULL)
        assert_int_equal(setenv(name, value, 1), 0);
    fd = hush_environ_capture();
    assert_true(fd >= 0);
    hush_environ_free(f->env);
    f->env = hush_environ_map(fd);
    assert_int_equal(close(fd), 0);
    f->v.base.env = f->env;
}

static void test_where_a_token_is_looked_for(void **state)
{
    struct fixture *f = *state;
    char home[96];

    f->v.auth_method = VAULT_AUTH_TOKEN;
    fake_answer(LOOKUP, 200, "{\"data\":{\"ttl\":100,\"num_uses\":0}}");
    assert_int_equal(get_status(f), HUSH_AUTH);
    assert_non_null(strstr(f->op.detail, "token_file"));

    with_environ(f, NULL, NULL);
    (void)snprintf(home, sizeof(home), "%s/.vault-token", f->directory);
    assert_int_equal(get_status(f), HUSH_AUTH);
    assert_non_null(strstr(f->op.detail, ".vault-token"));
    fixture_write(home, "from-home\n");
    assert_int_equal(chmod(home, 0644), 0);
    assert_int_equal(get_status(f), HUSH_AUTH);
    assert_int_equal(chmod(home, 0600), 0);
    expect_token(f, "from-home", 1);

    with_environ(f, "VAULT_TOKEN", "from-vault");
    fixture_restart(f);
    vault_token_refused(&f->v, 1);
    expect_token(f, "from-vault", 2);

    assert_int_equal(setenv("BAO_TOKEN", "from-bao", 1), 0);
    with_environ(f, "VAULT_TOKEN", "from-vault");
    vault_token_refused(&f->v, 2);
    expect_token(f, "from-bao", 3);

    f->v.token_file = f->file;
    vault_token_refused(&f->v, 3);
    expect_token(f, "secret-1", 4);
    assert_string_equal(fake_route(LOOKUP)->token, "secret-1");
    assert_int_equal(unlink(home), 0);
}

/* It would be sent in a header. */
static void test_what_is_no_token(void **state)
{
    static const char *const rows[] = {"two words", "line\n\n", "line\r\n", "a\001b", "\xc3\xa4"};
    struct fixture *f = *state;

    f->v.auth_method = VAULT_AUTH_TOKEN;
    f->v.token_file = f->file;
    for (size_t i = 0; i < COUNT(rows); i++) {
        fixture_write(f->file, rows[i]);
        assert_int_equal(get_status(f), HUSH_AUTH);
        assert_non_null(strstr(f->op.detail, "no token has"));
    }
}

/* -- Wrapped secret ids ------------------------------------------------------------------------ */

#define WRAP_LOOKUP "POST sys/wrapping/lookup"
#define UNWRAP      "POST sys/wrapping/unwrap"
#define MADE_AT(at) "{\"data\":{\"creation_path\":\"" at "\",\"creation_ttl\":60}}"
#define GONE        "{\"errors\":[\"wrapping token is not valid or does not exist\"]}"

static void wrapped(struct fixture *f)
{
    f->v.approle_response_wrapping = true;
    fixture_write(f->file, "wrap-1\n");
    fake_answer(WRAP_LOOKUP, 200, MADE_AT("auth/approle/role/app/secret-id"));
    fake_answer(UNWRAP, 200, "{\"data\":{\"secret_id\":\"unwrapped-#\"}}");
    fake_answer(LOGIN, 200, LOGIN_BODY(100));
}

static bool stash_has(struct fixture *f, const char *start)
{
    for (size_t i = 0; i < FAKE_STASH; i++)
        if (f->stash.secrets[i] != NULL && strncmp(f->stash.names[i], start, strlen(start)) == 0)
            return true;
    return false;
}

static void test_unwrapped_once(void **state)
{
    struct fixture *f = *state;

    wrapped(f);
    expect_token(f, "t1", 1);
    assert_string_equal(fake_route(WRAP_LOOKUP)->sent, "{\"token\":\"wrap-1\"}");
    assert_string_equal(fake_route(WRAP_LOOKUP)->token, "");
    assert_string_equal(fake_route(UNWRAP)->sent, ""); /* in both places it would be burnt */
    assert_string_equal(fake_route(UNWRAP)->token, "wrap-1");
    assert_non_null(strstr(fake_route(LOGIN)->sent, "\"unwrapped-1\""));
    vault_token_refused(&f->v, 1);
    expect_token(f, "t2", 2); /* from memory */
    fixture_restart(f);
    vault_token_refused(&f->v, 2);
    expect_token(f, "t3", 3); /* from the stash */
    assert_non_null(strstr(fake_route(LOGIN)->sent, "\"unwrapped-1\""));
    assert_int_equal(fake_calls(UNWRAP), 1);
    assert_int_equal(fake_calls(WRAP_LOOKUP), 1);
    assert_false(stash_has(f, "unwrap-"));
}

/* In the stash before it is used: the login fails, the worker dies. */
static void test_kept_before_it_is_used(void **state)
{
    struct fixture *f = *state;

    wrapped(f);
    fake_route(LOGIN)->status = HUSH_UNAVAILABLE;
    assert_int_equal(get_status(f), HUSH_UNAVAILABLE);
    assert_true(stash_has(f, "secret-id-"));
    fixture_restart(f);
    fake_answer(LOGIN, 200, LOGIN_BODY(100));
    expect_token(f, "t2", 1);
    assert_int_equal(fake_calls(UNWRAP), 1);
}

static void test_a_new_wrapping_token(void **state)
{
    struct fixture *f = *state;
    size_t kept = 0;

    wrapped(f);
    expect_token(f, "t1", 1);
    fixture_write(f->file, "wrap-2\n");
    expect_token(f, "t1", 1);
    assert_int_equal(fake_calls(UNWRAP), 1); /* at the next login */
    vault_token_refused(&f->v, 1);
    expect_token(f, "t2", 2);
    assert_string_equal(fake_route(UNWRAP)->token, "wrap-2");
    assert_non_null(strstr(fake_route(LOGIN)->sent, "\"unwrapped-2\""));
    for (size_t i = 0; i < FAKE_STASH; i++)
        kept += f->stash.secrets[i] != NULL;
    assert_int_equal(kept, 2); /* the token and the new one: the old one is forgotten */
}

static void test_wrapped_by_somebody_else(void **state)
{
    static const char *const rows[] = {
        MADE_AT("sys/wrapping/wrap"),
        MADE_AT("auth/approle/login"),
        MADE_AT("auth/approle/role/app/role-id"),
        MADE_AT("auth/approle/role//secret-id"),
        MADE_AT("auth/approle/role/app/x/secret-id"),
        MADE_AT("auth/approle2/role/app/secret-id"),
        MADE_AT("xauth/approle/role/app/secret-id"),
    };
    struct fixture *f = *state;

    wrapped(f);
    for (unsigned i = 0; i < COUNT(rows); i++) {
        fake_answer(WRAP_LOOKUP, 200, rows[i]);
        assert_int_equal(get_status(f), HUSH_AUTH);
        assert_non_null(strstr(f->op.detail, "SOMEBODY ELSE WRAPPED"));
        assert_int_equal(get_status(f), HUSH_AUTH); /* remembered */
        assert_int_equal(fake_calls(WRAP_LOOKUP), i + 1);
        fake_clock_forward(60 * 1000);
    }
    fake_answer(WRAP_LOOKUP, 200, "{\"data\":{}}");
    assert_int_equal(get_status(f), HUSH_PROTOCOL);
    assert_int_equal(fake_calls(UNWRAP), 0);
}

static void test_unwrapped_by_somebody_else(void **state)
{
    struct fixture *f = *state;

    wrapped(f);
    fake_answer(WRAP_LOOKUP, 400, GONE);
    assert_int_equal(get_status(f), HUSH_AUTH);
    assert_non_null(strstr(f->op.detail, "SOMEBODY ELSE HAS UNWRAPPED"));
    fake_clock_forward(60 * 1000);
    wrapped(f);
    fake_answer(UNWRAP, 400, GONE); /* between the two */
    assert_int_equal(get_status(f), HUSH_AUTH);
    assert_non_null(strstr(f->op.detail, "SOMEBODY ELSE HAS UNWRAPPED"));
    fake_clock_forward(60 * 1000);
    fake_answer(WRAP_LOOKUP, 400, GONE);
    assert_int_equal(get_status(f), HUSH_AUTH);
    assert_non_null(strstr(f->op.detail, "SOMEBODY ELSE HAS UNWRAPPED"));
    assert_int_equal(fake_calls(LOGIN), 0);
}

/* No answer: perhaps it was ours that used it up. That is said, even by the next worker. */
static void test_unwrapping_without_an_answer(void **state)
{
    struct fixture *f = *state;

    wrapped(f);
    fake_route(UNWRAP)->status = HUSH_TIMEOUT;
    assert_int_equal(get_status(f), HUSH_TIMEOUT);
    assert_non_null(strstr(f->op.detail, "got no answer"));
    fixture_restart(f);
    fake_answer(WRAP_LOOKUP, 400, GONE);
    assert_int_equal(get_status(f), HUSH_AUTH);
    assert_non_null(strstr(f->op.detail, "unwrapping of ours"));
    fake_clock_forward(60 * 1000);
    wrapped(f); /* it did not reach the server: it is good still */
    expect_token(f, "t1", 1);
    assert_int_equal(fake_calls(UNWRAP), 2);
}

struct reader {
    struct fixture *f;
    struct hush_op op;
    enum hush_status status;
};

static void *read_token(void *ctx)
{
    struct reader *reader = ctx;
    struct hush_secret *token = NULL;
    uint32_t generation;

    reader->status = vault_token_get(&reader->f->v, &reader->op, &token, &generation);
    hush_secret_unref(token);
    return NULL;
}

static bool is_unwrapping(void *ctx)
{
    (void)ctx;
    return fake_calls(UNWRAP) == 1;
}

/* The reader goes away in the middle of it: what the server gave is kept. */
static void test_unwrapping_is_not_canceled(void **state)
{
    struct fixture *f = *state;
    struct reader reader = {.f = f};
    pthread_t thread;

    wrapped(f);
    fake_route(UNWRAP)->delay_ms = 200;
    fake_route(LOGIN)->delay_ms = 1; /* sees that it is canceled */
    hush_op_init(&reader.op, f->arena, 0);
    assert_int_equal(pthread_create(&thread, NULL, read_token, &reader), 0);
    assert_true(eventually(is_unwrapping, NULL));
    hush_op_cancel(&reader.op);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(reader.status, HUSH_CANCELED);
    expect_token(f, "t2", 1);
    assert_non_null(strstr(fake_route(LOGIN)->sent, "\"unwrapped-1\""));
    assert_int_equal(fake_calls(UNWRAP), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_what_each_method_sends),
        TEST(test_what_each_method_needs),
        TEST(test_a_new_certificate_is_tried_at_once),
        TEST(test_what_is_no_answer),
        TEST(test_where_a_token_is_looked_for),
        TEST(test_what_is_no_token),
        TEST(test_unwrapped_once),
        TEST(test_kept_before_it_is_used),
        TEST(test_a_new_wrapping_token),
        TEST(test_wrapped_by_somebody_else),
        TEST(test_unwrapped_by_somebody_else),
        TEST(test_unwrapping_without_an_answer),
        TEST(test_unwrapping_is_not_canceled),
    };

    return cmocka_run_group_tests_name("vault_login", tests, NULL, NULL);
}
