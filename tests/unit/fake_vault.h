/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_vault.h - a Vault server in the place of request.c, for the tests of logins and tokens: what
 * it answers to which request, how often it was asked, what was sent last. And what surrounds an
 * instance: a clock that only the test moves, a stash that outlives instances, credential files.
 */
#ifndef FAKE_VAULT_H
#define FAKE_VAULT_H

#include "unit.h"
#include "vault/vault_int.h"

enum { FAKE_ROUTES = 12, FAKE_STASH = 8 };

struct fake_route {
    const char *what; /* "POST auth/approle/login"; NULL: the end of the table */
    int code;
    const char *body;        /* each '#' in it becomes the number of the call */
    enum hush_status status; /* instead of an answer */
    unsigned delay_ms;       /* of real time, unless canceled */
    unsigned calls;
    char sent[512]; /* the last body, … */
    char token[64]; /* … and token; "": none */
};

struct fake_stash {
    struct hush_stash base;
    char names[FAKE_STASH][HUSH_STASH_NAME_MAX + 1];
    struct hush_secret *secrets[FAKE_STASH];
};

struct fixture {
    struct hush_arena *arena;
    struct hush_op op;
    struct hush_environ *env;
    struct fake_stash stash;
    char directory[48];
    char file[80], key[80]; /* paths of credential files, there or not */
    struct vault v;         /* opened by set_up(); by fixture_restart() anew */
    pthread_t watcher;
    struct hush_op watch_op;
    bool watching;
    atomic_uint changes; /* what the watch told */
};

int set_up(void **state); /* method approle, with a secret id in f->file */
int tear_down(void **state);

/* The same instance in the next worker: same stash, nothing else. */
void fixture_restart(struct fixture *f);
void fixture_write(const char *path, const char *content);
void fixture_watch(struct fixture *f); /* run vault_token_watch() in a thread */
void fixture_unwatch(struct fixture *f);

/* vault_token_get(), with what it must give: a status, the token ("t1"), a generation. */
void expect_token(struct fixture *f, const char *token, uint32_t generation);
enum hush_status get_status(struct fixture *f);

/* Routes of the one server. Set before the first request, or under no thread. */
void fake_answer(const char *what, int code, const char *body);
struct fake_route *fake_route(const char *what);
unsigned fake_calls(const char *what); /* 0 for one that nobody set */
void fake_reset(void);

/* The clock, in milliseconds since it began. */
void fake_clock_forward(unsigned ms);

/* Does fn(ctx) come true within seconds? */
bool eventually(bool (*fn)(void *ctx), void *ctx);
void settle(void); /* long enough for a watch to look twice */

extern char role_id[];

#define LOGIN  "POST auth/approle/login"
#define RENEW  "POST auth/token/renew-self"
#define LOOKUP "GET auth/token/lookup-self"
#define BAD    "{\"errors\":[\"permission denied\"]}"
#define POLICY "{\"errors\":[\"1 error occurred:\\n\\t* permission denied\\n\\n\"]}"

/* An answer to a login: token t#, this long. */
#define LOGIN_BODY(lease)                                                                          \
    "{\"auth\":{\"client_token\":\"t#\",\"lease_duration\":" #lease ",\"renewable\":true}}"

#endif
