/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token.c - the token of an instance, for request.c. Whoever finds none that lives makes a login,
 * one at a time (the flight), and the others wait for it. A login that was refused is remembered:
 * servers lock an identity out that comes with a wrong password too often, and a thousand readers
 * must not be a thousand attempts. Each token is put into the stash for the next worker, since
 * leases die with the token that they were made under. renew.c keeps it alive.
 */
#include "vault/token.h"
#include "core/cleanup.h"
#include "core/clock.h"

#include <stdio.h>
#include <string.h>

enum {
    TOKEN_REJECTIONS_MAX = 3, /* so many tokens may be gone soon after their login */
    TOKEN_SOON_MS = 60 * 1000,
};
#define TOKEN_STASH "token"

/* -- Its life ---------------------------------------------------------------------------------- */

bool vault_token_usable(const struct vault_token *t)
{
    return t->secret != NULL && (t->end_ns == 0 || hush_now_ns() < t->end_ns);
}

void vault_token_live(struct vault_token *t, const struct vault_login *login, uint64_t since_ns)
{
    t->fetched_ns = since_ns;
    t->end_ns = login->lease_s == 0 ? 0 : since_ns + login->lease_s * HUSH_NS_PER_S;
    if (login->hard_s != 0)
        t->hard_end_ns = since_ns + login->hard_s * HUSH_NS_PER_S;
    if (login->lease_s > t->lease_s)
        t->lease_s = login->lease_s;
    t->renewable = login->renewable;
}

static void token_refuse(struct vault_token *t, const uint8_t digest[32], const char *why)
{
    t->refused_ns = hush_now_ns();
    memcpy(t->refused_of, digest, sizeof(t->refused_of));
    (void)snprintf(t->refused_why, sizeof(t->refused_why), "%s", why);
}

void vault_token_drop(struct vault *v)
{
    struct vault_token *t = &v->token;
    const bool soon = t->login_ns != 0 && !t->limited && /* else it was used up */
                      hush_now_ns() - t->login_ns < TOKEN_SOON_MS * (uint64_t)HUSH_NS_PER_MS;

    t->secret = hush_secret_unref(t->secret);
    t->rejections = soon ? t->rejections + 1 : 0;
    if (v->auth_method == VAULT_AUTH_TOKEN) /* asking again would tell nothing new */
        token_refuse(t, t->made_of,
                     "the server does not know the token: it is expired, revoked or used up: give "
                     "another one");
    else if (t->rejections >= TOKEN_REJECTIONS_MAX)
        token_refuse(t, t->made_of,
                     "the server takes our login, and then does not know the token that it gave: "
                     "is the namespace right?");
    pthread_cond_broadcast(&t->changed);
}

/* -- The stash --------------------------------------------------------------------------------- */

/* Before the token's bytes. Only ever read on the machine that wrote it, in the same boot. */
struct token_record {
    char magic[4];
    uint32_t generation;
    uint64_t fetched_ns, end_ns, hard_end_ns;
    uint32_t lease_s;
    uint8_t renewable, limited, reserved[2];
    uint8_t identity[32]; /* of the configuration that it was made by */
    uint8_t made_of[32];
};

static const char token_magic[4] = {'H', 'V', 'T', '1'};

void vault_token_save(struct vault *v, struct hush_op *op)
{
    const struct vault_token *t = &v->token;
    const size_t size = hush_secret_size(t->secret);
    struct token_record record = {
        .generation = t->generation,
        .fetched_ns = t->fetched_ns,
        .end_ns = t->end_ns,
        .hard_end_ns = t->hard_end_ns,
        .lease_s = t->lease_s,
        .renewable = t->renewable,
        .limited = t->limited,
    };
    struct hush_secret *kept = NULL;
    uint8_t *bytes;

    memcpy(record.magic, token_magic, sizeof(record.magic));
    memcpy(record.made_of, t->made_of, sizeof(record.made_of));
    if (!vault_login_identity(v, record.identity) ||
        hush_secret_alloc(op, sizeof(record) + size, &kept, &bytes) != HUSH_OK)
        return; /* the next worker logs in by itself */
    memcpy(bytes, &record, sizeof(record));
    memcpy(bytes + sizeof(record), hush_secret_bytes(t->secret), size);
    (void)hush_stash_put(&v->base, op, TOKEN_STASH, kept); /* likewise */
    hush_secret_unref(kept);
}

/* Without room for it, this worker makes a login of its own. */
static void token_take_over(struct vault *v, struct hush_op *op, const struct hush_secret *kept)
{
    struct vault_token *t = &v->token;
    struct token_record record;
    uint8_t identity[32];

    if (hush_secret_size(kept) <= sizeof(record))
        return;
    memcpy(&record, hush_secret_bytes(kept), sizeof(record));
    if (memcmp(record.magic, token_magic, sizeof(record.magic)) != 0)
        return;
    t->generation = record.generation;
    if (!vault_login_identity(v, identity) ||
        memcmp(identity, record.identity, sizeof(identity)) != 0)
        return; /* configured otherwise by now: another login, another generation */
    t->fetched_ns = record.fetched_ns;
    t->end_ns = record.end_ns;
    t->hard_end_ns = record.hard_end_ns;
    t->lease_s = record.lease_s;
    t->renewable = record.renewable != 0;
    t->limited = record.limited != 0;
    memcpy(t->made_of, record.made_of, sizeof(t->made_of));
    if (hush_secret_new(op, hush_secret_bytes(kept) + sizeof(record),
                        hush_secret_size(kept) - sizeof(record), &t->secret) != HUSH_OK)
        t->secret = NULL;
}

enum hush_status vault_token_init(struct vault *v, struct hush_op *op)
{
    struct vault_token *t = &v->token;
    struct hush_secret *kept = hush_stash_get(&v->base, TOKEN_STASH);
    pthread_condattr_t attributes;
    bool made;

    *t = (struct vault_token){0};
    pthread_mutex_init(&t->lock, NULL); /* cannot fail, nor can what follows but for memory */
    made = pthread_condattr_init(&attributes) == 0 &&
           pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
           pthread_cond_init(&t->changed, &attributes) == 0;
    pthread_condattr_destroy(&attributes);
    if (made && kept != NULL)
        token_take_over(v, op, kept);
    hush_secret_unref(kept);
    return made ? HUSH_OK : hush_fail(op, HUSH_NO_MEMORY, "no memory for a token");
}

void vault_token_done(struct vault *v)
{
    struct vault_token *t = &v->token;

    t->secret = hush_secret_unref(t->secret);
    t->secret_id = hush_secret_unref(t->secret_id);
    pthread_cond_destroy(&t->changed);
    pthread_mutex_destroy(&t->lock);
}

/* -- Flights ----------------------------------------------------------------------------------- */

static void waker_wake(struct hush_waker *self)
{
    struct vault_token *t = ((struct vault_waker *)(void *)self)->token;

    hush_lock_scope(&t->lock);
    pthread_cond_broadcast(&t->changed);
}

void vault_waker_begin(struct vault_waker *waker, struct vault_token *t, struct hush_op *op)
{
    waker->base.wake = waker_wake;
    waker->token = t;
    waker->op = op;
    waker->before = hush_op_waker(op, &waker->base);
}

void vault_waker_end(struct vault_waker *waker)
{
    (void)hush_op_waker(waker->op, waker->before);
}

void vault_token_pause(struct vault_token *t, uint64_t until_ns)
{
    const uint64_t most_ns = VAULT_SLEEP_MS * (uint64_t)HUSH_NS_PER_MS, now_ns = hush_now_ns();
    uint64_t left_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    struct timespec until;

    if (left_ns > most_ns)
        left_ns = most_ns;
    (void)clock_gettime(CLOCK_MONOTONIC, &until); /* cannot fail */
    left_ns += (uint64_t)until.tv_nsec;
    until.tv_sec += (time_t)(left_ns / HUSH_NS_PER_S);
    until.tv_nsec = (long)(left_ns % HUSH_NS_PER_S);
    (void)pthread_cond_timedwait(&t->changed, &t->lock, &until);
}

void vault_flight_begin(struct vault_token *t)
{
    t->busy = true;
}

void vault_flight_end(struct vault_token *t, const struct hush_op *op, enum hush_status status)
{
    t->busy = false;
    t->flights++;
    t->outcome = status;
    t->retry_after_ms = op->retry_after_ms;
    (void)snprintf(t->why, sizeof(t->why), "%s", op->detail);
    pthread_cond_broadcast(&t->changed);
}

/* Is the login not to be tried, since it was refused with the same credentials? Then why. ahead:
 * nobody waits for it, so a minute is not enough. */
static bool token_is_refused(const struct vault_token *t, struct hush_op *op,
                             const struct vault_attempt *attempt, bool ahead)
{
    const uint64_t lasts_ns = VAULT_REFUSED_MS * (uint64_t)HUSH_NS_PER_MS;
    uint64_t age_ns;

    if (t->refused_ns == 0 || memcmp(t->refused_of, attempt->digest, sizeof(t->refused_of)) != 0)
        return false;
    age_ns = hush_now_ns() - t->refused_ns;
    if (age_ns >= lasts_ns && !ahead)
        return false;
    hush_fail(op, HUSH_AUTH, "%s", t->refused_why);
    hush_op_retry_after(op, VAULT_CORRECTED_MS);
    return true;
}

static void token_take(struct vault *v, struct hush_op *op, const struct vault_attempt *attempt,
                       struct vault_login *login, uint64_t since_ns)
{
    struct vault_token *t = &v->token;

    if (!hush_secret_equal(t->secret, login->token)) { /* else: a given one, looked at again */
        t->generation++;
        t->login_ns = since_ns;
        t->hard_end_ns = 0;
        t->lease_s = 0;
    }
    hush_secret_unref(t->secret);
    t->secret = hush_steal(&login->token);
    t->limited = login->limited;
    t->refused_ns = 0;
    memcpy(t->made_of, attempt->digest, sizeof(t->made_of));
    vault_token_live(t, login, since_ns);
    vault_token_save(v, op);
}

/* With the lock held when it begins and when it ends. */
static enum hush_status token_attempt(struct vault *v, struct hush_op *op,
                                      const struct vault_attempt *attempt)
{
    struct vault_token *t = &v->token;
    const uint64_t since_ns = hush_now_ns(); /* the lease may begin as soon as it was asked for */
    struct vault_login login = {0};
    enum hush_status status;

    pthread_mutex_unlock(&t->lock);
    status = vault_login(v, op, attempt, &login);
    pthread_mutex_lock(&t->lock);
    if (status == HUSH_OK) {
        token_take(v, op, attempt, &login, since_ns);
    } else if (status == HUSH_AUTH) {
        token_refuse(t, attempt->digest, op->detail);
        hush_op_retry_after(op, VAULT_CORRECTED_MS);
    }
    return status;
}

enum hush_status vault_token_login(struct vault *v, struct hush_op *op, bool ahead, bool *renewed)
{
    struct vault_token *t = &v->token;
    struct vault_attempt attempt = {0};
    enum hush_status status;
    bool same = false;

    vault_flight_begin(t);
    pthread_mutex_unlock(&t->lock);
    status = vault_login_read(v, op, &attempt);
    pthread_mutex_lock(&t->lock);
    /* A given token that is the one in use: asking would cost a use, and change nothing. */
    same = status == HUSH_OK && v->auth_method == VAULT_AUTH_TOKEN && vault_token_usable(t) &&
           memcmp(t->made_of, attempt.digest, sizeof(t->made_of)) == 0;
    if (status == HUSH_OK && token_is_refused(t, op, &attempt, ahead))
        status = HUSH_AUTH;
    else if (status == HUSH_OK && !same)
        status = token_attempt(v, op, &attempt);
    vault_attempt_clear(&attempt);
    vault_flight_end(t, op, status);
    *renewed = status == HUSH_OK && !same;
    return status;
}

/* Wait for the flight that is under way. HUSH_OK: look again; else it failed for all. */
static enum hush_status token_wait(struct vault_token *t, struct hush_op *op)
{
    const uint32_t flight = t->flights;

    while (t->busy && t->flights == flight) {
        if (hush_op_canceled(op))
            return hush_fail(op, HUSH_CANCELED, "canceled");
        if (hush_op_left_ms(op) == 0)
            return hush_fail(op, HUSH_TIMEOUT, "deadline passed while a login was under way");
        vault_token_pause(t, op->deadline_ns == 0 ? UINT64_MAX : op->deadline_ns);
    }
    if (t->outcome == HUSH_OK || t->outcome == HUSH_CANCELED || t->outcome == HUSH_TIMEOUT)
        return HUSH_OK; /* that was its own reader's; ours may have more time */
    op->retry_after_ms = t->retry_after_ms;
    return hush_fail(op, t->outcome, "%s", t->why);
}

/* -- What the others ask ----------------------------------------------------------------------- */

static enum hush_status token_get(struct vault *v, struct hush_op *op, struct hush_secret **token,
                                  uint32_t *generation)
{
    struct vault_token *t = &v->token;
    enum hush_status status = HUSH_OK;
    bool renewed;

    hush_lock_scope(&t->lock);
    while (status == HUSH_OK && !vault_token_usable(t)) {
        if (hush_op_canceled(op))
            status = hush_fail(op, HUSH_CANCELED, "canceled");
        else if (hush_op_left_ms(op) == 0)
            status = hush_fail(op, HUSH_TIMEOUT, "deadline passed before a login");
        else
            status = t->busy ? token_wait(t, op) : vault_token_login(v, op, false, &renewed);
    }
    if (status != HUSH_OK)
        return status;
    *token = hush_secret_ref(t->secret);
    *generation = t->generation;
    return HUSH_OK;
}

enum hush_status vault_token_get(struct vault *v, struct hush_op *op, struct hush_secret **token,
                                 uint32_t *generation)
{
    struct vault_waker waker;
    enum hush_status status;

    vault_waker_begin(&waker, &v->token, op);
    status = token_get(v, op, token, generation);
    vault_waker_end(&waker);
    return status;
}

void vault_token_refused(struct vault *v, uint32_t generation)
{
    hush_lock_scope(&v->token.lock);
    if (generation == v->token.generation && v->token.secret != NULL)
        vault_token_drop(v);
}

uint32_t vault_token_left(struct vault *v, uint32_t *left_s)
{
    const struct vault_token *t = &v->token;
    const uint64_t now_ns = hush_now_ns();
    uint64_t left;

    hush_lock_scope(&v->token.lock);
    if (t->secret == NULL || (t->end_ns != 0 && t->end_ns <= now_ns)) {
        *left_s = 0;
        return 0;
    }
    left = t->end_ns == 0 ? UINT32_MAX : (t->end_ns - now_ns) / HUSH_NS_PER_S;
    *left_s = left < UINT32_MAX ? (uint32_t)left : UINT32_MAX;
    return t->generation;
}
