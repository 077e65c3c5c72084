/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_vault_renew.c - a token is renewed or replaced ahead of its end, with a clock that only the
 * test moves.
 */
#include "fake_vault.h"

#include <string.h>

/* Wait until a route was called so often; and then, that it is not called once more. */
struct wanted {
    const char *what;
    unsigned calls;
};

static bool was_called(void *ctx)
{
    const struct wanted *wanted = ctx;

    return fake_calls(wanted->what) == wanted->calls;
}

static void expect_calls(const char *what, unsigned calls)
{
    assert_true(eventually(was_called, &(struct wanted){what, calls}));
    settle();
    assert_int_equal(fake_calls(what), calls);
}

static bool has_changed(void *ctx)
{
    const struct fixture *f = ctx;

    return atomic_load(&f->changes) != 0;
}

static void expect_one_change(struct fixture *f)
{
    assert_true(eventually(has_changed, f));
    settle();
    assert_int_equal(atomic_load(&f->changes), 1);
}

static uint32_t left_s(struct fixture *f)
{
    uint32_t left = 0;

    (void)vault_token_left(&f->v, &left);
    return left;
}

static void given_token(struct fixture *f, const char *lookup)
{
    f->v.auth_method = VAULT_AUTH_TOKEN;
    f->v.token_file = f->file;
    fixture_write(f->file, "given-1\n");
    fake_answer(LOOKUP, 200, lookup);
}

#define RENEWED(lease) "{\"auth\":{\"lease_duration\":" #lease ",\"renewable\":true}}"

static void test_renewed_at_two_thirds(void **state)
{
    struct fixture *f = *state;

    fake_answer(LOGIN, 200, LOGIN_BODY(1000));
    fake_answer(RENEW, 200, RENEWED(1000));
    fixture_watch(f);
    expect_calls(LOGIN, 0); /* nobody has read yet */
    expect_token(f, "t1", 1);
    for (unsigned i = 0; i < 3; i++) { /* by chance at 700 to 734 s */
        fake_clock_forward(699 * 1000);
        expect_calls(RENEW, i);
        fake_clock_forward(35 * 1000);
        expect_calls(RENEW, i + 1);
        assert_int_equal(left_s(f), 1000);
    }
    assert_string_equal(fake_route(RENEW)->token, "t1");
    assert_string_equal(fake_route(RENEW)->sent, "");
    expect_token(f, "t1", 1);
    expect_calls(LOGIN, 1);
    assert_int_equal(atomic_load(&f->changes), 0);
}

static void test_a_renewed_token_is_taken_over(void **state)
{
    struct fixture *f = *state;

    fake_answer(LOGIN, 200, LOGIN_BODY(1000));
    fake_answer(RENEW, 200, RENEWED(1000));
    fixture_watch(f);
    expect_token(f, "t1", 1);
    fake_clock_forward(734 * 1000);
    expect_calls(RENEW, 1);
    fixture_unwatch(f);
    fixture_restart(f);
    assert_int_equal(left_s(f), 1000);
}

/* A failure keeps the token; the pauses grow, and end before the token does. */
static void test_a_failed_renewal_is_tried_again(void **state)
{
    struct fixture *f = *state;

    fake_answer(LOGIN, 200, LOGIN_BODY(1000));
    fake_answer(RENEW, 0, "");
    fake_route(RENEW)->status = HUSH_UNAVAILABLE;
    fixture_watch(f);
    expect_token(f, "t1", 1);
    fake_clock_forward(734 * 1000);
    for (unsigned i = 1; i <= 4; i++) {
        const unsigned pause_ms = 1000U << (i - 1);
        expect_calls(RENEW, i);
        expect_token(f, "t1", 1);
        fake_clock_forward(pause_ms - 1);
        expect_calls(RENEW, i);
        fake_clock_forward(1);
    }
    expect_calls(RENEW, 5);
    expect_calls(LOGIN, 1);
    fake_answer(RENEW, 200, RENEWED(1000));
    fake_clock_forward(16 * 1000);
    expect_calls(RENEW, 6);
    assert_int_equal(left_s(f), 1000);
}

struct listener {
    struct hush_listener base;
    atomic_uint good, bad, unavailable;
};

static void told(struct hush_listener *self, enum hush_status status, const char *why)
{
    struct listener *l = (struct listener *)(void *)self;

    CHECK((status == HUSH_OK) == (why[0] == '\0'));
    if (status == HUSH_UNAVAILABLE)
        atomic_fetch_add(&l->unavailable, 1);
    atomic_fetch_add(status == HUSH_OK ? &l->good : &l->bad, 1);
}

static bool is_good(void *ctx)
{
    return atomic_load(&((struct listener *)ctx)->good) > 0;
}

static bool is_bad(void *ctx)
{
    return atomic_load(&((struct listener *)ctx)->bad) > 0;
}

/* The core hears of each failure, and when it is over: by a renewal, or by a reader's login. */
static void test_a_failure_is_told(void **state)
{
    struct fixture *f = *state;
    struct listener l = {.base.told = told};

    f->v.base.listener = &l.base;
    fake_answer(LOGIN, 200, LOGIN_BODY(1000));
    fake_answer(RENEW, 403, POLICY);
    fixture_watch(f);
    expect_token(f, "t1", 1);
    settle();
    assert_int_equal(l.bad, 0);
    fake_answer(LOGIN, 0, "");
    fake_route(LOGIN)->status = HUSH_UNAVAILABLE;
    fake_clock_forward(734 * 1000);
    expect_calls(RENEW, 1);
    fake_clock_forward(2 * 1000); /* no renewal helps any more: a login is tried */
    assert_true(eventually(is_bad, &l));
    assert_true(fake_calls(LOGIN) > 1);
    assert_true(atomic_load(&l.unavailable) > 0);
    atomic_store(&l.good, 0);
    fake_answer(LOGIN, 200, LOGIN_BODY(1000));
    fake_clock_forward(70 * 1000);
    assert_true(eventually(is_good, &l));
    fixture_unwatch(f);
}

/* One attempt that fails is nobody's worry, two in a row are. */
static void test_an_outage_that_lasts_is_told(void **state)
{
    struct fixture *f = *state;
    struct listener l = {.base.told = told};

    f->v.base.listener = &l.base;
    fake_answer(LOGIN, 200, LOGIN_BODY(1000));
    fake_answer(RENEW, 500, "");
    fixture_watch(f);
    expect_token(f, "t1", 1);
    fake_clock_forward(734 * 1000);
    expect_calls(RENEW, 1);
    settle();
    assert_int_equal(l.bad, 0);
    fake_clock_forward(1000);
    expect_calls(RENEW, 2);
    assert_true(eventually(is_bad, &l));
    fixture_unwatch(f);
}

/* With the backend down all the time: until the end the token, then an attempt now and then. */
static void test_nothing_ends_the_watch(void **state)
{
    struct fixture *f = *state;

    fake_answer(LOGIN, 200, LOGIN_BODY(10));
    fake_answer(RENEW, 0, "");
    fake_route(RENEW)->status = HUSH_TIMEOUT;
    fixture_watch(f);
    expect_token(f, "t1", 1);
    fake_answer(LOGIN, 0, "");
    fake_route(LOGIN)->status = HUSH_UNAVAILABLE;
    fake_clock_forward(8 * 1000);
    expect_calls(RENEW, 1);
    fake_clock_forward(3 * 1000);
    expect_calls(LOGIN, 2);
    fake_clock_forward(100 * 1000);
    expect_calls(LOGIN, 3);
    fake_answer(LOGIN, 200, LOGIN_BODY(1000));
    fake_clock_forward(100 * 1000);
    expect_calls(LOGIN, 4);
    expect_token(f, "t4", 2); /* without a reader that waits */
}

/* A renewal gives much less than before: another login is made ahead of that end. */
static void test_replaced_ahead_of_its_maximum(void **state)
{
    struct fixture *f = *state;

    f->v.base.flags = HUSH_ONE_SECRET_PER_READ;
    fake_answer(LOGIN, 200, LOGIN_BODY(1000));
    fake_answer(RENEW, 200, RENEWED(300));
    fixture_watch(f);
    expect_token(f, "t1", 1);
    fake_clock_forward(734 * 1000);
    expect_calls(RENEW, 1);
    assert_int_equal(left_s(f), 300);
    fake_clock_forward(209 * 1000);
    expect_calls(LOGIN, 1);
    assert_int_equal(atomic_load(&f->changes), 0);
    fake_clock_forward(12 * 1000);
    expect_calls(LOGIN, 2);
    expect_token(f, "t2", 2);
    expect_calls(RENEW, 1);
    expect_one_change(f); /* what it made is gone */
}

static void test_a_new_login_changes_no_static_secret(void **state)
{
    struct fixture *f = *state;

    fake_answer(LOGIN, 200, LOGIN_BODY(1000));
    fixture_watch(f);
    expect_token(f, "t1", 1);
    settle(); /* the watch has seen the first */
    vault_token_refused(&f->v, 1);
    expect_token(f, "t2", 2);
    settle();
    assert_int_equal(atomic_load(&f->changes), 0);
}

/* Ahead of the maximum no login is to be had: what is left of the old token is taken. */
static void test_kept_alive_if_no_login_can_be_had(void **state)
{
    struct fixture *f = *state;

    fake_answer(LOGIN, 200, LOGIN_BODY(1000));
    fake_answer(RENEW, 200, RENEWED(300));
    fixture_watch(f);
    expect_token(f, "t1", 1);
    fake_answer(LOGIN, 400, BAD);
    fake_clock_forward(734 * 1000);
    expect_calls(RENEW, 1);
    fake_clock_forward(221 * 1000);
    expect_calls(RENEW, 2);
    assert_int_equal(fake_calls(LOGIN), 2);
    expect_token(f, "t1", 1);
    fake_clock_forward(221 * 1000);
    expect_calls(RENEW, 3);
    assert_int_equal(fake_calls(LOGIN), 2); /* refused is refused, if no reader waits */
    fixture_write(f->file, "secret-2\n");
    fake_answer(LOGIN, 200, LOGIN_BODY(1000));
    fake_clock_forward(221 * 1000);
    expect_calls(LOGIN, 3);
    expect_token(f, "t3", 2);
}

/* What cannot be renewed, or must not. */
static void test_not_renewed(void **state)
{
    static const char *const logins[] = {
        "{\"auth\":{\"client_token\":\"t#\",\"lease_duration\":100,\"renewable\":false}}",
        "{\"auth\":{\"client_token\":\"t#\",\"lease_duration\":100,\"renewable\":true,"
        "\"token_type\":\"batch\"}}",
        "{\"auth\":{\"client_token\":\"t#\",\"lease_duration\":100,\"renewable\":true,"
        "\"num_uses\":9}}",
    };
    struct fixture *f = *state;

    fake_answer(RENEW, 200, RENEWED(100));
    fixture_watch(f);
    for (unsigned i = 0; i < COUNT(logins); i++) {
        fake_answer(LOGIN, 200, logins[i]);
        fake_clock_forward(1000 * 1000);
        (void)get_status(f);
        settle();
        assert_int_equal(left_s(f), 100);
        const unsigned logins_so_far = fake_calls(LOGIN);
        fake_clock_forward(69 * 1000);
        expect_calls(LOGIN, logins_so_far);
        fake_clock_forward(5 * 1000);
        expect_calls(LOGIN, logins_so_far + 1); /* ahead of its end */
    }
    assert_int_equal(fake_calls(RENEW), 0);
}

static void test_a_renewal_that_is_forbidden(void **state)
{
    struct fixture *f = *state;

    fake_answer(LOGIN, 200, LOGIN_BODY(100));
    fake_answer(RENEW, 403, POLICY);
    fixture_watch(f);
    expect_token(f, "t1", 1);
    fake_clock_forward(74 * 1000);
    expect_calls(LOGIN, 2);
    assert_int_equal(fake_calls(RENEW), 1);
    expect_token(f, "t2", 2);
}

static void test_gone_when_it_is_renewed(void **state)
{
    struct fixture *f = *state;

    f->v.base.flags = HUSH_ONE_SECRET_PER_READ;
    fake_answer(LOGIN, 200, LOGIN_BODY(100));
    fake_answer(RENEW, 403, BAD);
    fixture_watch(f);
    expect_token(f, "t1", 1);
    fake_clock_forward(74 * 1000);
    expect_calls(LOGIN, 2);
    expect_token(f, "t2", 2);
    expect_one_change(f);
}

/* -- A token that is given --------------------------------------------------------------------- */

static void test_a_given_token_is_renewed(void **state)
{
    struct fixture *f = *state;

    given_token(f, "{\"data\":{\"ttl\":1000,\"renewable\":true,\"num_uses\":0,"
                   "\"explicit_max_ttl\":0,\"type\":\"service\"}}");
    fake_answer(RENEW, 200, RENEWED(2000));
    fixture_watch(f);
    expect_token(f, "given-1", 1);
    assert_int_equal(left_s(f), 1000);
    fake_clock_forward(734 * 1000);
    expect_calls(RENEW, 1);
    assert_int_equal(left_s(f), 2000);
    fixture_write(f->file, "given-2\n"); /* seen at the next login */
    expect_token(f, "given-1", 1);
    vault_token_refused(&f->v, 1);
    expect_token(f, "given-2", 2);
    assert_int_equal(fake_calls(LOOKUP), 2);
}

/* explicit_max_ttl is near: no renewal helps, another token might be there. */
static void test_a_given_token_near_its_maximum(void **state)
{
    struct fixture *f = *state;

    /* The wall clock of the test is at 1001000; made 100 s ago, 200 s are left at most. */
    given_token(f, "{\"data\":{\"ttl\":200,\"renewable\":true,\"num_uses\":0,"
                   "\"explicit_max_ttl\":300,\"creation_time\":1000900}}");
    fake_answer(RENEW, 200, RENEWED(50));
    fixture_watch(f);
    expect_token(f, "given-1", 1);
    fake_clock_forward(139 * 1000);
    expect_calls(RENEW, 0);
    fixture_write(f->file, "given-2\n");
    fake_clock_forward(9 * 1000);
    expect_calls(LOOKUP, 2);
    assert_int_equal(fake_calls(RENEW), 0);
    expect_token(f, "given-2", 2);
    fake_clock_forward(148 * 1000);
    expect_calls(RENEW, 1); /* no other there: what is left to this one */
    assert_int_equal(fake_calls(LOOKUP), 2);
    expect_token(f, "given-2", 2);
}

/* Its file is an agent's, who renews it: the same token, and what it made lives on. */
static void test_a_given_token_that_others_renew(void **state)
{
    struct fixture *f = *state;

    given_token(f, "{\"data\":{\"ttl\":100,\"renewable\":false,\"num_uses\":0}}");
    expect_token(f, "given-1", 1);
    fake_clock_forward(100 * 1000);
    expect_token(f, "given-1", 1);
    assert_int_equal(fake_calls(LOOKUP), 2);
    assert_int_equal(left_s(f), 100);
}

/* Our clock is wrong, or the server's: it is renewed beyond what we took for its maximum. */
static void test_a_maximum_that_was_none(void **state)
{
    struct fixture *f = *state;

    given_token(f, "{\"data\":{\"ttl\":200,\"renewable\":true,\"num_uses\":0,"
                   "\"explicit_max_ttl\":300,\"creation_time\":1000900}}");
    fake_answer(RENEW, 200, RENEWED(200));
    fixture_watch(f);
    expect_token(f, "given-1", 1);
    fake_clock_forward(148 * 1000);
    expect_calls(RENEW, 1);
    fixture_write(f->file, "given-2\n");
    fake_clock_forward(148 * 1000);
    expect_calls(RENEW, 2);
    expect_token(f, "given-1", 1); /* no reason to look for another */
    assert_int_equal(fake_calls(LOOKUP), 1);
}

/* Each request costs such a token a use: one is spent to know it, no more. */
static void test_a_given_token_of_so_many_uses(void **state)
{
    struct fixture *f = *state;

    given_token(f, "{\"data\":{\"ttl\":100,\"renewable\":true,\"num_uses\":5}}");
    fixture_watch(f);
    for (int i = 0; i < 10; i++)
        expect_token(f, "given-1", 1);
    fake_clock_forward(90 * 1000);
    expect_calls(LOOKUP, 1);
    assert_int_equal(fake_calls(RENEW), 0);
}

static void test_what_lookup_says(void **state)
{
    /* clang-format off */
    static const struct { int code; const char *body; enum hush_status status; uint32_t left_s; } rows[] = {
        {200, "{\"data\":{\"ttl\":0,\"expire_time\":null,\"renewable\":false,\"num_uses\":0}}", HUSH_OK, UINT32_MAX},
        {200, "{\"data\":{\"ttl\":9,\"expire_time\":\"2026-01-01T00:00:00Z\",\"num_uses\":0}}", HUSH_OK, 9},
        {200, "{\"data\":{\"ttl\":0,\"expire_time\":\"2026-01-01T00:00:00Z\",\"num_uses\":0}}", HUSH_AUTH, 0},
        {200, "{\"data\":{\"ttl\":9,\"num_uses\":-1}}", HUSH_AUTH, 0},
        {200, "{\"data\":null}", HUSH_PROTOCOL, 0},
        {403, POLICY, HUSH_OK, UINT32_MAX},
        {403, BAD, HUSH_AUTH, 0},
        {503, "{}", HUSH_UNAVAILABLE, 0},
    };
    /* clang-format on */
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT(rows); i++) {
        given_token(f, rows[i].body);
        fake_answer(LOOKUP, rows[i].code, rows[i].body);
        assert_int_equal(get_status(f), rows[i].status);
        assert_int_equal(left_s(f), rows[i].left_s);
        fake_clock_forward(3600 * 1000);
        vault_token_refused(&f->v, f->v.token.generation);
        fake_clock_forward(60 * 1000);
    }
}

/* The server does not know it: that is no reason to ask about it, until another one is there. */
static void test_a_given_token_that_is_gone(void **state)
{
    struct fixture *f = *state;

    given_token(f, "{\"data\":{\"ttl\":1000,\"renewable\":true,\"num_uses\":0}}");
    expect_token(f, "given-1", 1);
    vault_token_refused(&f->v, 1);
    for (int i = 0; i < 10; i++)
        assert_int_equal(get_status(f), HUSH_AUTH);
    assert_int_equal(fake_calls(LOOKUP), 1);
    fixture_write(f->file, "given-2\n");
    expect_token(f, "given-2", 2);
}

/* -- Ending ------------------------------------------------------------------------------------ */

#define REVOKE_SELF "POST auth/token/revoke-self"

static void test_given_back(void **state)
{
    /* clang-format off */
    static const struct { int code; const char *body; enum hush_status status; } rows[] = {
        {204, "", HUSH_OK}, {403, BAD, HUSH_OK} /* gone is gone */, {403, POLICY, HUSH_DENIED},
        {503, "{}", HUSH_UNAVAILABLE},
    };
    /* clang-format on */
    struct fixture *f = *state;

    assert_int_equal(vault_token_revoke(&f->v, &f->op), HUSH_UNSUPPORTED); /* nobody has read */
    fake_answer(LOGIN, 200, LOGIN_BODY(100));
    for (unsigned i = 0; i < COUNT(rows); i++) {
        assert_int_equal(get_status(f), HUSH_OK);
        fake_answer(REVOKE_SELF, rows[i].code, rows[i].body);
        assert_int_equal(vault_token_revoke(&f->v, &f->op), rows[i].status);
        assert_int_equal(fake_calls(REVOKE_SELF), i + 1);
        assert_int_equal(fake_calls(LOGIN), i + 1); /* none is made in order to be given back */
        assert_int_equal(vault_token_revoke(&f->v, &f->op), HUSH_UNSUPPORTED); /* once */
    }
    assert_string_equal(fake_route(REVOKE_SELF)->token, "t4");
    assert_int_equal(get_status(f), HUSH_OK);
    fake_clock_forward(100 * 1000);
    assert_int_equal(vault_token_revoke(&f->v, &f->op), HUSH_UNSUPPORTED); /* it has ended */
    assert_int_equal(fake_calls(REVOKE_SELF), COUNT(rows));
}

/* What the worker before logged in with is this one's to give back. */
static void test_given_back_by_the_next_worker(void **state)
{
    struct fixture *f = *state;

    fake_answer(LOGIN, 200, LOGIN_BODY(100));
    fake_answer(REVOKE_SELF, 204, "");
    expect_token(f, "t1", 1);
    fixture_restart(f);
    assert_int_equal(vault_token_revoke(&f->v, &f->op), HUSH_OK);
    assert_string_equal(fake_route(REVOKE_SELF)->token, "t1");
    assert_int_equal(fake_calls(LOGIN), 1);
}

static void test_a_given_token_is_not_ours(void **state)
{
    struct fixture *f = *state;

    given_token(f, "{\"data\":{\"ttl\":1000,\"renewable\":true,\"num_uses\":0}}");
    expect_token(f, "given-1", 1);
    assert_int_equal(vault_token_revoke(&f->v, &f->op), HUSH_UNSUPPORTED); /* no route for it */
    expect_token(f, "given-1", 1);
}

static void test_canceled_soon(void **state)
{
    struct fixture *f = *state;
    struct timespec before, after;

    fake_answer(LOGIN, 200, LOGIN_BODY(100));
    fake_answer(RENEW, 200, RENEWED(100));
    fake_route(RENEW)->delay_ms = 10 * 1000; /* it hangs */
    fixture_watch(f);
    expect_token(f, "t1", 1);
    fake_clock_forward(80 * 1000);
    expect_calls(RENEW, 1);
    (void)clock_gettime(CLOCK_MONOTONIC, &before);
    fixture_unwatch(f);
    (void)clock_gettime(CLOCK_MONOTONIC, &after);
    assert_true(after.tv_sec - before.tv_sec <= 1); /* a busy machine */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_renewed_at_two_thirds),
        TEST(test_a_renewed_token_is_taken_over),
        TEST(test_a_failed_renewal_is_tried_again),
        TEST(test_a_failure_is_told),
        TEST(test_an_outage_that_lasts_is_told),
        TEST(test_nothing_ends_the_watch),
        TEST(test_replaced_ahead_of_its_maximum),
        TEST(test_a_new_login_changes_no_static_secret),
        TEST(test_kept_alive_if_no_login_can_be_had),
        TEST(test_not_renewed),
        TEST(test_a_renewal_that_is_forbidden),
        TEST(test_gone_when_it_is_renewed),
        TEST(test_a_given_token_is_renewed),
        TEST(test_a_given_token_near_its_maximum),
        TEST(test_a_given_token_that_others_renew),
        TEST(test_a_maximum_that_was_none),
        TEST(test_a_given_token_of_so_many_uses),
        TEST(test_what_lookup_says),
        TEST(test_a_given_token_that_is_gone),
        TEST(test_canceled_soon),
        TEST(test_given_back),
        TEST(test_given_back_by_the_next_worker),
        TEST(test_a_given_token_is_not_ours),
    };

    return cmocka_run_group_tests_name("vault_renew", tests, NULL, NULL);
}
