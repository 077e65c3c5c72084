/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_vault_token.c - the token of an instance: one login for all, a refused one remembered, the
 * stash, and who waits for whom. Its renewal: test_vault_renew.c; the methods: test_vault_login.c.
 */
#include "fake_vault.h"

#include <string.h>

enum { THREADS = 16 };

/* -- Many at once ------------------------------------------------------------------------------ */

struct reader {
    struct fixture *f;
    pthread_t thread;
    struct hush_op op;
    enum hush_status status;
    uint32_t generation;
};

static void *read_token(void *ctx)
{
    struct reader *reader = ctx;
    struct hush_secret *token = NULL;

    reader->status = vault_token_get(&reader->f->v, &reader->op, &token, &reader->generation);
    hush_secret_unref(token);
    return NULL;
}

static void reader_start(struct reader *reader, struct fixture *f)
{
    reader->f = f;
    hush_op_init(&reader->op, f->arena, 0);
    assert_int_equal(pthread_create(&reader->thread, NULL, read_token, reader), 0);
}

static void readers_run(struct fixture *f, struct reader readers[THREADS])
{
    for (size_t i = 0; i < THREADS; i++)
        reader_start(&readers[i], f);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(readers[i].thread, NULL), 0);
}

static void test_one_login_for_all(void **state)
{
    struct fixture *f = *state;
    struct reader readers[THREADS];

    fake_answer(LOGIN, 200, LOGIN_BODY(100));
    fake_route(LOGIN)->delay_ms = 100;
    readers_run(f, readers);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(readers[i].status, HUSH_OK);
        assert_int_equal(readers[i].generation, 1);
    }
    assert_int_equal(fake_calls(LOGIN), 1);
    expect_token(f, "t1", 1);
}

/* An outage is the same for all who waited: sixteen timeouts in a row would be a hang. */
static void test_one_failure_for_all(void **state)
{
    struct fixture *f = *state;
    struct reader readers[THREADS];

    fake_answer(LOGIN, 0, "");
    fake_route(LOGIN)->status = HUSH_UNAVAILABLE;
    fake_route(LOGIN)->delay_ms = 200;
    readers_run(f, readers);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(readers[i].status, HUSH_UNAVAILABLE);
        assert_string_equal(readers[i].op.detail, "fake outage");
    }
    assert_int_equal(fake_calls(LOGIN), 1);
    fake_answer(LOGIN, 200, LOGIN_BODY(100)); /* and nothing is remembered of it */
    fake_route(LOGIN)->delay_ms = 0;
    expect_token(f, "t2", 1);
}

static bool login_is_under_way(void *ctx)
{
    (void)ctx;
    return fake_calls(LOGIN) == 1;
}

/* Whoever waits for another's login can be canceled, and has a deadline of its own. */
static void test_waiting_ends(void **state)
{
    struct fixture *f = *state;
    struct reader first, canceled, late;

    fake_answer(LOGIN, 200, LOGIN_BODY(100));
    fake_route(LOGIN)->delay_ms = 5000;
    reader_start(&first, f);
    assert_true(eventually(login_is_under_way, NULL));
    reader_start(&canceled, f);
    reader_start(&late, f);
    hush_op_cancel(&canceled.op);
    assert_int_equal(pthread_join(canceled.thread, NULL), 0);
    assert_int_equal(canceled.status, HUSH_CANCELED);
    hush_op_cancel(&late.op);
    assert_int_equal(pthread_join(late.thread, NULL), 0);
    hush_op_init(&late.op, f->arena, 1000);
    fake_clock_forward(1000);
    (void)read_token(&late);
    assert_int_equal(late.status, HUSH_TIMEOUT);
    assert_int_equal(fake_calls(LOGIN), 1);
    hush_op_cancel(&first.op);
    assert_int_equal(pthread_join(first.thread, NULL), 0);
    assert_int_equal(first.status, HUSH_CANCELED);
}

/* The reader whose login it was went away: the next makes one of its own. */
static void test_a_canceled_login_is_made_again(void **state)
{
    struct fixture *f = *state;
    struct reader first, second;

    fake_answer(LOGIN, 200, LOGIN_BODY(100));
    fake_route(LOGIN)->delay_ms = 300;
    reader_start(&first, f);
    assert_true(eventually(login_is_under_way, NULL));
    reader_start(&second, f);
    settle(); /* it waits by now */
    hush_op_cancel(&first.op);
    assert_int_equal(pthread_join(first.thread, NULL), 0);
    assert_int_equal(pthread_join(second.thread, NULL), 0);
    assert_int_equal(first.status, HUSH_CANCELED);
    assert_int_equal(second.status, HUSH_OK);
    assert_int_equal(fake_calls(LOGIN), 2);
}

/* -- Its life ---------------------------------------------------------------------------------- */

static void test_used_until_its_end(void **state)
{
    struct fixture *f = *state;
    uint32_t left_s = 7;

    assert_int_equal(vault_token_left(&f->v, &left_s), 0);
    fake_answer(LOGIN, 200, LOGIN_BODY(100));
    expect_token(f, "t1", 1);
    assert_int_equal(vault_token_left(&f->v, &left_s), 1);
    assert_int_equal(left_s, 100);
    fake_clock_forward(99999);
    expect_token(f, "t1", 1);
    assert_int_equal(fake_calls(LOGIN), 1);
    fake_clock_forward(1);
    assert_int_equal(vault_token_left(&f->v, &left_s), 0);
    expect_token(f, "t2", 2);
}

static void test_without_an_end(void **state)
{
    struct fixture *f = *state;
    uint32_t left_s = 0;

    fake_answer(LOGIN, 200, LOGIN_BODY(0));
    expect_token(f, "t1", 1);
    fake_clock_forward(UINT32_MAX);
    expect_token(f, "t1", 1);
    assert_int_equal(vault_token_left(&f->v, &left_s), 1);
    assert_int_equal(left_s, UINT32_MAX);
}

static void test_replaced_when_the_server_forgot_it(void **state)
{
    struct fixture *f = *state;

    fake_answer(LOGIN, 200, LOGIN_BODY(1000));
    expect_token(f, "t1", 1);
    vault_token_refused(&f->v, 1);
    expect_token(f, "t2", 2);
    vault_token_refused(&f->v, 1); /* by a reader that was slow */
    expect_token(f, "t2", 2);
    assert_int_equal(fake_calls(LOGIN), 2);
}

/* A server that gives tokens which it does not know then is not asked for one at each read. */
static void test_no_storm_of_logins(void **state)
{
    struct fixture *f = *state;

    fake_answer(LOGIN, 200, LOGIN_BODY(1000));
    for (uint32_t i = 1; i <= 3; i++) {
        assert_int_equal(get_status(f), HUSH_OK);
        vault_token_refused(&f->v, i);
    }
    assert_int_equal(get_status(f), HUSH_AUTH);
    assert_non_null(strstr(f->op.detail, "namespace"));
    assert_int_equal(fake_calls(LOGIN), 3);
    fake_clock_forward(60 * 1000);
    expect_token(f, "t4", 4);
    fake_clock_forward(61 * 1000); /* one that lived longer is no such sign */
    vault_token_refused(&f->v, 4);
    expect_token(f, "t5", 5);
}

/* Each of them was used up, as the role wants it. */
static void test_tokens_of_one_use(void **state)
{
    struct fixture *f = *state;

    fake_answer(LOGIN, 200,
                "{\"auth\":{\"client_token\":\"t#\",\"lease_duration\":100,\"renewable\":true,"
                "\"num_uses\":1}}");
    for (uint32_t i = 1; i <= 5; i++) {
        assert_int_equal(get_status(f), HUSH_OK);
        vault_token_refused(&f->v, i);
    }
    assert_int_equal(fake_calls(LOGIN), 5);
}

/* -- A refused login --------------------------------------------------------------------------- */

static void test_a_refused_login_is_remembered(void **state)
{
    struct fixture *f = *state;
    struct reader readers[THREADS];
    char why[HUSH_DETAIL_MAX];

    fake_answer(LOGIN, 400, "{\"errors\":[\"invalid role or secret ID\"]}");
    assert_int_equal(get_status(f), HUSH_AUTH);
    assert_non_null(strstr(f->op.detail, "secret id"));
    assert_int_equal(f->op.retry_after_ms, 1000); /* the credential may be corrected */
    (void)snprintf(why, sizeof(why), "%s", f->op.detail);

    fake_clock_forward(20 * 1000);
    readers_run(f, readers);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(readers[i].status, HUSH_AUTH);
        assert_string_equal(readers[i].op.detail, why);
        assert_int_equal(readers[i].op.retry_after_ms, 1000);
    }
    fake_clock_forward(40 * 1000 - 1);
    assert_int_equal(get_status(f), HUSH_AUTH);
    assert_int_equal(fake_calls(LOGIN), 1);
    fake_clock_forward(1);
    assert_int_equal(get_status(f), HUSH_AUTH); /* a minute has passed */
    assert_int_equal(fake_calls(LOGIN), 2);
}

static void test_a_new_credential_is_tried_at_once(void **state)
{
    struct fixture *f = *state;

    fake_answer(LOGIN, 403, BAD);
    assert_int_equal(get_status(f), HUSH_AUTH);
    fixture_write(f->file, "secret-2\n");
    assert_int_equal(get_status(f), HUSH_AUTH);
    assert_int_equal(fake_calls(LOGIN), 2);
    assert_int_equal(get_status(f), HUSH_AUTH);
    assert_int_equal(fake_calls(LOGIN), 2);
    fake_answer(LOGIN, 200, LOGIN_BODY(100));
    fixture_write(f->file, "secret-3\n");
    expect_token(f, "t3", 1);
    assert_non_null(strstr(fake_route(LOGIN)->sent, "\"secret-3\""));
}

/* Everything that is no refusal is not remembered, and never "not found". */
static void test_what_is_a_refusal(void **state)
{
    static const struct {
        int code;
        enum hush_status status;
    } rows[] = {
        {400, HUSH_AUTH},    {403, HUSH_AUTH},        {404, HUSH_AUTH},
        {405, HUSH_AUTH},    {413, HUSH_CONFIG},      {429, HUSH_THROTTLED},
        {500, HUSH_BACKEND}, {307, HUSH_UNAVAILABLE}, {503, HUSH_UNAVAILABLE},
    };
    struct fixture *f = *state;
    unsigned calls = 0;

    for (size_t i = 0; i < COUNT(rows); i++) {
        fake_answer(LOGIN, rows[i].code, "{\"errors\":[]}");
        fake_clock_forward(60 * 1000);
        assert_int_equal(get_status(f), rows[i].status);
        assert_int_equal(get_status(f), rows[i].status);
        calls += rows[i].status == HUSH_AUTH ? 1 : 2;
        assert_int_equal(fake_calls(LOGIN), calls);
    }
    fake_answer(LOGIN, 404, "{}"); /* the mount or the namespace: not the credential's fault */
    assert_int_equal(get_status(f), HUSH_AUTH);
    assert_non_null(strstr(f->op.detail, "code 404"));
}

static void test_a_missing_file_asks_nobody(void **state)
{
    struct fixture *f = *state;

    fake_answer(LOGIN, 200, LOGIN_BODY(100));
    assert_int_equal(unlink(f->file), 0);
    assert_int_equal(get_status(f), HUSH_AUTH);
    assert_non_null(strstr(f->op.detail, f->file));
    assert_int_equal(fake_calls(LOGIN), 0);
    fixture_write(f->file, "secret-1");
    expect_token(f, "t1", 1); /* and is looked for at once */
}

/* -- The next worker --------------------------------------------------------------------------- */

static void test_taken_over(void **state)
{
    struct fixture *f = *state;
    uint32_t left_s;

    fake_answer(LOGIN, 200, LOGIN_BODY(100));
    expect_token(f, "t1", 1);
    fake_clock_forward(30 * 1000);
    fixture_restart(f);
    assert_int_equal(vault_token_left(&f->v, &left_s), 1);
    assert_int_equal(left_s, 70);
    expect_token(f, "t1", 1);
    assert_int_equal(fake_calls(LOGIN), 1);
    vault_token_refused(&f->v, 1);
    expect_token(f, "t2", 2); /* the numbers go on */
    fixture_restart(f);
    expect_token(f, "t2", 2);
    fake_clock_forward(100 * 1000);
    fixture_restart(f);
    expect_token(f, "t3", 3); /* ended meanwhile */
}

/* A reload is a takeover: what is configured otherwise gets a login of its own. */
static void test_not_taken_over_by_another_role(void **state)
{
    static char other[] = "role-2";
    struct fixture *f = *state;

    fake_answer(LOGIN, 200, LOGIN_BODY(100));
    expect_token(f, "t1", 1);
    f->v.approle_role_id = other;
    fixture_restart(f);
    expect_token(f, "t2", 2);
    assert_non_null(strstr(fake_route(LOGIN)->sent, "role-2"));
}

static void test_a_stash_of_somebody_else(void **state)
{
    struct fixture *f = *state;
    struct hush_secret *secret = NULL;

    fake_answer(LOGIN, 200, LOGIN_BODY(100));
    for (size_t size = 0; size < 300; size += 100) {
        static const char bytes[300] = "HVT0, of another version";
        assert_int_equal(hush_secret_new(&f->op, bytes, size, &secret), HUSH_OK);
        assert_int_equal(hush_stash_put(&f->v.base, &f->op, "token", secret), HUSH_OK);
        hush_secret_unref(secret);
        fixture_restart(f);
        assert_null(f->v.token.secret);
    }
    expect_token(f, "t1", 1);
}

static void test_without_a_stash(void **state)
{
    struct fixture *f = *state;

    f->v.base.stash = NULL;
    fake_answer(LOGIN, 200, LOGIN_BODY(100));
    expect_token(f, "t1", 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_one_login_for_all),
        TEST(test_one_failure_for_all),
        TEST(test_waiting_ends),
        TEST(test_a_canceled_login_is_made_again),
        TEST(test_used_until_its_end),
        TEST(test_without_an_end),
        TEST(test_replaced_when_the_server_forgot_it),
        TEST(test_no_storm_of_logins),
        TEST(test_tokens_of_one_use),
        TEST(test_a_refused_login_is_remembered),
        TEST(test_a_new_credential_is_tried_at_once),
        TEST(test_what_is_a_refusal),
        TEST(test_a_missing_file_asks_nobody),
        TEST(test_taken_over),
        TEST(test_not_taken_over_by_another_role),
        TEST(test_a_stash_of_somebody_else),
        TEST(test_without_a_stash),
    };

    return cmocka_run_group_tests_name("vault_token", tests, NULL, NULL);
}
