/* SPDX-License-Identifier: Apache-2.0 */
/*
 * contract.h - the promises of provider.h as checks that run against every provider. A fixture says
 * how to make a backend of one type with the seeds in it and, where the backend can be changed,
 * how. Adding a provider is adding one fixture to contract.c's table; which checks apply follows
 * from its flags and slots.
 */
#ifndef HUSH_TESTS_CONTRACT_H
#define HUSH_TESTS_CONTRACT_H

#include "call.h"
#include "core/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum {
    CONTRACT_ARENA_SIZE = 6 << 20,
    CONTRACT_OP_MS = 30000,
    CONTRACT_LARGE = HUSH_SECRET_SIZE_MAX,
};

/* What every fixture puts into its backend before open(). */
struct contract_seed {
    const char *name;
    const uint8_t *bytes;
    size_t size;
    bool folder; /* its name has a folder: only where the fixture has some */
    bool odd;    /* the fixture gives the name */
};

/* One provider under test; made anew for each check. */
struct contract {
    const struct contract_fixture *fixture;
    const struct hush_provider_ops *ops;
    struct hush_arena *arena;
    struct hush_environ *env;
    struct hush_provider *provider;
    size_t blocks; /* of the arena, that the provider keeps between two calls (a token) */
    char dir[64];  /* the fixture's, "" if it has none */
    void *own;     /* the fixture's */
};

enum contract_fixture_flags {
    CONTRACT_NUL = 1u << 0,     /* values may hold NUL */
    CONTRACT_FOLDERS = 1u << 1, /* names may have folders */
    CONTRACT_FIELD = 1u << 2,   /* a secret is a map; the value is text, in its field "value" */
    CONTRACT_POLLS = 1u << 3,   /* watch() looks now and then: it was made for tests */
};

struct contract_fixture {
    const char *type;
    unsigned flags;
    const char *odd_name; /* a name with bytes that only this backend allows */

    /* Is there such a backend here? NULL: always. Its tests are skipped without. */
    bool (*available)(void);

    /* Make the backend and set c->env; then options are set by configure(). Both assert. */
    void (*set_up)(struct contract *c);
    void (*configure)(struct contract *c, struct hush_provider *provider);
    void (*tear_down)(struct contract *c);

    /* Make open() fail, for what is wrong with an option or the backend, and let it succeed again.
     * NULL: it cannot fail. */
    void (*spoil)(struct contract *c, struct hush_provider *provider, bool spoilt);

    /* Replace, or remove (bytes NULL), a secret while the provider is open. NULL: it cannot. */
    void (*put)(struct contract *c, const char *name, const void *bytes, size_t size);
};

/* Does the check apply to this fixture? NULL: to every one. */
typedef bool contract_applies_fn(const struct contract_fixture *fixture,
                                 const struct hush_provider_ops *ops);

struct contract_check {
    const char *name;
    void (*run)(struct contract *c);
    contract_applies_fn *applies;
};

extern const struct contract_fixture contract_env, contract_file, contract_sealed, contract_test,
    contract_vault;
extern const struct contract_check contract_fetch_checks[], contract_list_checks[],
    contract_life_checks[]; /* each ends with a NULL name */

/* Calls fn for each seed that the fixture can hold, with the name that it has there. */
void contract_seeds(const struct contract_fixture *fixture,
                    void (*fn)(void *ctx, const char *name, const struct contract_seed *seed),
                    void *ctx);

/* What the checks share. */
void contract_set(struct hush_provider *provider, const char *option, const char *value);
struct hush_provider *contract_new_provider(struct contract *c); /* configured, not opened */
enum hush_status contract_fetch(struct contract *c, const char *name, struct hush_value *out);
void contract_expect(struct contract *c, const char *name, const void *bytes, size_t size);
bool contract_can_put(const struct contract_fixture *fixture, const struct hush_provider_ops *ops);
/* The value that was put there, which is the secret or a field of it. */
const struct hush_secret *contract_bytes(const struct contract *c, const struct hush_value *value);
void contract_sleep_ms(long ms);

#endif
