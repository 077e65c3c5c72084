/* SPDX-License-Identifier: Apache-2.0 */
/*
 * renew.c - the slot watch: the token is renewed at about two thirds of its life, or replaced by a
 * new login where no renewal can help, so that readers meet a token that lives. A failure keeps the
 * token and is tried again, never without a pause. And the end of a token: it is given back.
 */
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/log.h"
#include "vault/token.h"

#include <string.h>
#include <sys/random.h>

enum {
    RENEW_MS = 15 * 1000, /* for one renewal or login; the op of watch has no deadline */
    RENEW_PAUSE_MS = 1000,
    RENEW_PAUSE_MAX_MS = 60 * 1000,
    RENEW_GRACE_LEAST = 100, /* permille of the life, plus up to as much again by chance */
};
#define RENEW_NEVER UINT64_MAX

/* What the watch remembers between two looks. */
struct renew {
    uint32_t generation; /* seen last */
    uint64_t fetched_ns; /* of the life that grace belongs to */
    uint32_t grace;      /* permille */
    bool failed;         /* the last attempt */
    uint32_t pause_ms;
    uint64_t not_before_ns;
};

/* -- When -------------------------------------------------------------------------------------- */

/* Many mounts that started at once do not renew at once. */
static void renew_roll(struct renew *r, const struct vault_token *t)
{
    uint16_t chance = 0;

    if (r->fetched_ns == t->fetched_ns && r->grace != 0)
        return;
    if (getrandom(&chance, sizeof(chance), GRND_NONBLOCK) != sizeof(chance))
        chance = 0; /* at the same time as others, then */
    r->fetched_ns = t->fetched_ns;
    r->grace = RENEW_GRACE_LEAST + chance % (RENEW_GRACE_LEAST + 1);
}

/* RENEW_NEVER: there was no reader yet, or it does not end. */
static uint64_t renew_due_ns(struct renew *r, const struct vault_token *t)
{
    uint64_t due_ns, life_ns;

    if (t->generation == 0 || t->busy)
        return RENEW_NEVER;
    if (!vault_token_usable(t))
        return r->not_before_ns;
    if (t->end_ns == 0)
        return RENEW_NEVER;
    renew_roll(r, t);
    life_ns = t->end_ns - t->fetched_ns;
    due_ns = t->fetched_ns + life_ns / 3 * 2 + life_ns / 3000 * r->grace;
    return due_ns > r->not_before_ns ? due_ns : r->not_before_ns;
}

/* After each attempt; longer after each that failed, but not beyond the end. */
static void renew_rest(struct renew *r, const struct vault_token *t, bool done)
{
    const uint64_t now_ns = hush_now_ns(), least_ns = RENEW_PAUSE_MS * (uint64_t)HUSH_NS_PER_MS;
    uint64_t pause_ns;

    r->pause_ms = done || r->pause_ms == 0               ? RENEW_PAUSE_MS
                  : r->pause_ms < RENEW_PAUSE_MAX_MS / 2 ? r->pause_ms * 2
                                                         : RENEW_PAUSE_MAX_MS;
    pause_ns = r->pause_ms * (uint64_t)HUSH_NS_PER_MS;
    if (t->end_ns > now_ns && pause_ns > (t->end_ns - now_ns) / 2)
        pause_ns = (t->end_ns - now_ns) / 2;
    r->not_before_ns = now_ns + (pause_ns > least_ns ? pause_ns : least_ns);
}

/* With the lock held, given back meanwhile. */
static void renew_tell(struct vault *v, enum hush_status status, const char *why)
{
    pthread_mutex_unlock(&v->token.lock);
    hush_provider_tell(&v->base, status, why);
    pthread_mutex_lock(&v->token.lock);
}

/* What an attempt came to. An outage is news when it lasts: there is a third of a life left. */
static void renew_report(struct vault *v, struct renew *r, enum hush_status status, const char *why)
{
    const bool again = r->failed;

    if (status == HUSH_CANCELED || status == HUSH_UNSUPPORTED)
        return;
    r->failed = status != HUSH_OK;
    if (status == HUSH_OK)
        renew_tell(v, HUSH_OK, "");
    else if (again || status == HUSH_AUTH)
        renew_tell(v, status, why);
}

/* -- What -------------------------------------------------------------------------------------- */

/* The answer to a renewal; with the lock held. */
static enum hush_status renew_take(struct vault *v, struct hush_op *op,
                                   const struct hush_http_answer *answer, uint64_t since_ns)
{
    struct vault_token *t = &v->token;
    struct vault_login login = {0};
    struct hush_jtree *tree = NULL;
    enum hush_status status = hush_jtree_parse(op, answer->body, answer->size, &tree);

    if (status == HUSH_OK)
        status = vault_login_numbers(op, hush_jtree_member(tree, "auth"), &login);
    hush_jtree_free(tree);
    if (status != HUSH_OK)
        return status;
    vault_token_live(t, &login, since_ns);
    if (t->end_ns > t->hard_end_ns)
        t->hard_end_ns = 0; /* it was none, then */
    /* Much less than it was given before: its maximum is near, and it is renewed no further. */
    if (login.lease_s != 0 && login.lease_s < t->lease_s / 2)
        t->hard_end_ns = t->end_ns;
    vault_token_save(v, op);
    return HUSH_OK;
}

/* A renewal that the server refuses. */
static enum hush_status renew_refused(struct vault *v, struct hush_op *op,
                                      const struct vault_request *request,
                                      const struct hush_http_answer *answer)
{
    struct vault_token *t = &v->token;

    if (vault_is_bad_token(answer)) {
        vault_token_drop(v);
        return hush_fail(op, HUSH_AUTH, "the server does not know the token any more");
    }
    if (answer->code == 400 || answer->code == 403) /* not renewable, or not by its policies */
        t->renewable = false;
    return vault_login_status(op, request, answer, "the token may not be renewed");
}

/* With the lock held, given back meanwhile. */
static enum hush_status renew_token(struct vault *v, struct hush_op *op)
{
    struct vault_token *t = &v->token;
    const uint64_t since_ns = hush_now_ns();
    struct hush_secret *token = hush_secret_ref(t->secret);
    /* No increment: the server's own for this token. A smaller one would shorten its life. */
    const struct vault_request request = {
        .method = "POST", .path = "auth/token/renew-self", .token = token};
    struct hush_http_answer answer = {0};
    enum hush_status status;

    vault_flight_begin(t);
    pthread_mutex_unlock(&t->lock);
    status = vault_send(v, op, &request, &answer);
    pthread_mutex_lock(&t->lock);
    if (token != t->secret) /* a reader was told meanwhile that it is gone */
        status = hush_fail(op, HUSH_AUTH, "the token went while it was renewed");
    else if (status == HUSH_OK && answer.code >= 200 && answer.code < 300)
        status = renew_take(v, op, &answer, since_ns);
    else if (status == HUSH_OK)
        status = renew_refused(v, op, &request, &answer);
    hush_http_answer_clear(&answer);
    hush_secret_unref(token);
    vault_flight_end(t, op, status);
    return status;
}

static bool renew_can(const struct vault_token *t)
{
    return vault_token_usable(t) && t->renewable && !t->limited;
}

/* Does a renewal give it a longer life? */
static bool renew_helps(const struct vault_token *t)
{
    return renew_can(t) && (t->hard_end_ns == 0 || t->end_ns + HUSH_NS_PER_S < t->hard_end_ns);
}

/*
 * With the lock held. A login is made ahead of the end where a renewal does not help; where no
 * login can be had either, a renewal still gives the token what is left to it.
 */
static void renew_tend(struct vault *v, struct hush_op *op, struct renew *r)
{
    struct vault_token *t = &v->token;
    enum hush_status status = HUSH_UNSUPPORTED, login;
    bool done = false;

    op->deadline_ns = hush_now_ns() + RENEW_MS * (uint64_t)HUSH_NS_PER_MS;
    if (renew_helps(t)) {
        status = renew_token(v, op);
        done = status == HUSH_OK;
    }
    if (!done && !renew_helps(t) && !t->busy) {
        login = vault_token_login(v, op, true, &done);
        if (login != HUSH_OK || done) /* else a given token lives still: why it was not renewed */
            status = login;
    }
    if (!done && renew_can(t) && !renew_helps(t) && !t->busy)
        status = renew_token(v, op);
    op->deadline_ns = 0;
    if (status != HUSH_OK)
        hush_debug("token of instance=%s not renewed status=%s reason=\"%s\"", v->base.instance,
                   hush_status_name(status), op->detail);
    renew_rest(r, t, done);
    renew_report(v, r, status, op->detail);
}

/* Until op is canceled. */
static void renew_watch(struct vault *v, struct hush_op *op, hush_changed_fn *changed, void *ctx)
{
    const bool dynamic = (v->base.flags & HUSH_ONE_SECRET_PER_READ) != 0;
    struct vault_token *t = &v->token;
    struct renew r = {0};

    pthread_mutex_lock(&t->lock);
    r.generation = t->generation;
    while (!hush_op_canceled(op)) {
        const uint32_t before = r.generation;
        uint64_t due_ns;
        r.generation = t->generation;
        if (before != r.generation) {
            r.pause_ms = 0;
            r.not_before_ns = 0;
            renew_tell(v, HUSH_OK, ""); /* somebody has logged in */
        }
        due_ns = renew_due_ns(&r, t);
        if (before != r.generation && before != 0 && dynamic) {
            pthread_mutex_unlock(&t->lock);
            changed(ctx, "");
            pthread_mutex_lock(&t->lock);
        } else if (due_ns <= hush_now_ns()) {
            renew_tend(v, op, &r);
        } else {
            vault_token_pause(t, due_ns);
        }
    }
    pthread_mutex_unlock(&t->lock);
}

enum hush_status vault_token_watch(struct vault *v, struct hush_op *op, hush_changed_fn *changed,
                                   void *ctx)
{
    struct vault_waker waker;

    vault_waker_begin(&waker, &v->token, op);
    renew_watch(v, op, changed, ctx);
    vault_waker_end(&waker);
    return hush_fail(op, HUSH_CANCELED, "canceled");
}

/* -- The end ----------------------------------------------------------------------------------- */

enum hush_status vault_token_revoke(struct vault *v, struct hush_op *op)
{
    struct vault_token *t = &v->token;
    struct vault_request request = {.method = "POST", .path = "auth/token/revoke-self"};
    struct hush_http_answer answer = {0};
    struct hush_secret *token = NULL;
    enum hush_status status;

    pthread_mutex_lock(&t->lock);
    if (v->auth_method != VAULT_AUTH_TOKEN && vault_token_usable(t))
        token = hush_steal(&t->secret); /* nobody shall use it any more */
    pthread_mutex_unlock(&t->lock);
    if (token == NULL)
        return hush_fail(op, HUSH_UNSUPPORTED, "there is no login to give back");
    request.token = token;
    status = vault_send(v, op, &request, &answer);
    if (status == HUSH_OK && answer.code / 100 != 2 && !vault_is_bad_token(&answer))
        status = vault_status(op, &request, &answer);
    hush_http_answer_clear(&answer);
    hush_secret_unref(token);
    return status;
}
