/* SPDX-License-Identifier: Apache-2.0 */
/*
 * contract.c - runs the checks: `contract TYPE…`, or all types. One cmocka test per provider and
 * check, with a backend of its own.
 */
#include "contract.h"

#include "core/wipealloc.h"
#include "shared/http.h"
#include "shared/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct contract_fixture *const contract_fixtures[] = {
    &contract_env, &contract_file, &contract_sealed, &contract_test, &contract_vault,
};

static const struct contract_check *const contract_tables[] = {
    contract_fetch_checks,
    contract_list_checks,
    contract_life_checks,
};

enum {
    CONTRACT_TESTS_MAX = 64,
    CONTRACT_NAME_MAX = 64,
    CONTRACT_AROUND = 64,  /* bytes of a map around its one field */
    CONTRACT_SKIPPED = 77, /* exit status */
};

struct contract_case {
    const struct contract_fixture *fixture;
    const struct contract_check *check;
    char name[CONTRACT_NAME_MAX];
};

/* -- What the checks share --------------------------------------------------------------------- */

void contract_sleep_ms(long ms)
{
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    (void)nanosleep(&time, NULL);
}

void contract_seeds(const struct contract_fixture *fixture,
                    void (*fn)(void *ctx, const char *name, const struct contract_seed *seed),
                    void *ctx)
{
    static uint8_t binary[256], large[CONTRACT_LARGE + 1];
    const bool nul = (fixture->flags & CONTRACT_NUL) != 0;
    const bool field = (fixture->flags & CONTRACT_FIELD) != 0;
    const size_t bytes = field ? 128 : 256; /* of all; text is ASCII */
    const struct contract_seed seeds[] = {
        {.name = "alpha", .bytes = (const uint8_t *)"first value\n", .size = 12},
        {.name = "empty", .bytes = binary, .size = 0},
        {.name = "binary", .bytes = nul ? binary : binary + 1, .size = nul ? bytes : bytes - 1},
        {.name = "large", .bytes = large, .size = CONTRACT_LARGE - (field ? CONTRACT_AROUND : 0)},
        {.name = "too-large", .bytes = large, .size = CONTRACT_LARGE + 1},
        {.name = "folder/inner", .bytes = (const uint8_t *)"deep", .size = 4, .folder = true},
        {.name = fixture->odd_name, .bytes = (const uint8_t *)"odd", .size = 3},
    };

    for (size_t i = 0; i < sizeof(binary); i++)
        binary[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof(large); i++)
        large[i] = (uint8_t)('a' + i % 23);
    for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++)
        if (!seeds[i].folder || (fixture->flags & CONTRACT_FOLDERS))
            fn(ctx, seeds[i].name, &seeds[i]);
}

struct hush_provider *contract_new_provider(struct contract *c)
{
    struct hush_provider *provider = hush_provider_new(c->ops, "contract", c->env);

    assert_non_null(provider);
    c->fixture->configure(c, provider);
    return provider;
}

void contract_set(struct hush_provider *provider, const char *option, const char *value)
{
    char error[160];

    assert_true(
        hush_option_set(hush_option_find(provider->ops->options, option), provider, value, error));
}

enum hush_status contract_fetch(struct contract *c, const char *name, struct hush_value *out)
{
    const struct hush_ref ref = {.path = name};
    const struct hush_version none = {""};
    struct hush_op op;

    hush_op_init(&op, c->arena, CONTRACT_OP_MS);
    return c->ops->fetch(c->provider, &op, &ref, &none, out);
}

const struct hush_secret *contract_bytes(const struct contract *c, const struct hush_value *value)
{
    if (!(c->fixture->flags & CONTRACT_FIELD))
        return value->secret;
    return value->field_count == 1 && strcmp(value->fields[0].name, "value") == 0
               ? value->fields[0].value
               : NULL;
}

void contract_expect(struct contract *c, const char *name, const void *bytes, size_t size)
{
    struct hush_value value = {0};

    assert_int_equal(contract_fetch(c, name, &value), HUSH_OK);
    assert_false(value.unchanged);
    assert_non_null(value.secret);
    assert_int_equal(hush_secret_size(contract_bytes(c, &value)), size);
    assert_memory_equal(hush_secret_bytes(contract_bytes(c, &value)), bytes, size);
    hush_value_clear(&value);
}

bool contract_can_put(const struct contract_fixture *fixture, const struct hush_provider_ops *ops)
{
    (void)ops;
    return fixture->put != NULL;
}

/* -- One test ---------------------------------------------------------------------------------- */

/* A login or a kept connection is no leak: what they take is there before the check. */
static void contract_warm_up(struct contract *c)
{
    struct hush_value value = {0};

    assert_int_equal(contract_fetch(c, "alpha", &value), HUSH_OK);
    hush_value_clear(&value);
    c->blocks = hush_arena_usage(c->arena).blocks;
}

static int contract_set_up(void **state)
{
    const struct contract_case *test = *state;
    struct contract *c = calloc(1, sizeof(*c));
    struct hush_op op;

    assert_non_null(c);
    c->fixture = test->fixture;
    c->ops = hush_provider_find(test->fixture->type);
    assert_non_null(c->ops);
    c->arena = hush_arena_new(CONTRACT_ARENA_SIZE);
    assert_non_null(c->arena);
    c->fixture->set_up(c);
    c->provider = contract_new_provider(c);
    hush_op_init(&op, c->arena, CONTRACT_OP_MS);
    assert_int_equal(hush_provider_open(c->provider, &op), HUSH_OK);
    contract_warm_up(c);
    *state = c;
    return 0;
}

static int contract_tear_down(void **state)
{
    struct contract *c = *state;

    hush_provider_free(c->provider);
    c->fixture->tear_down(c);
    hush_environ_free(c->env);
    hush_arena_free(c->arena);
    free(c);
    return 0;
}

/* cmocka hands the case over by its state only, which set_up has replaced: so the check is found by
 * the running test's own function. */
static const struct contract_check *contract_running;

static int contract_set_up_case(void **state)
{
    contract_running = ((const struct contract_case *)*state)->check;
    return contract_set_up(state);
}

static void contract_run(void **state)
{
    contract_running->run(*state);
}

/* -- All of them ------------------------------------------------------------------------------- */

static size_t contract_cases(const struct contract_fixture *fixture, struct contract_case *cases)
{
    const struct hush_provider_ops *ops = hush_provider_find(fixture->type);
    size_t count = 0;

    for (size_t t = 0; t < sizeof(contract_tables) / sizeof(contract_tables[0]); t++) {
        for (const struct contract_check *check = contract_tables[t]; check->name; check++) {
            struct contract_case *one = &cases[count];

            if (ops != NULL && check->applies != NULL && !check->applies(fixture, ops))
                continue;
            if (++count > CONTRACT_TESTS_MAX)
                abort();
            one->fixture = fixture;
            one->check = check;
            (void)snprintf(one->name, sizeof(one->name), "%s_%s", fixture->type, check->name);
        }
    }
    return count;
}

static int contract_run_fixture(const struct contract_fixture *fixture)
{
    static struct contract_case cases[CONTRACT_TESTS_MAX + 1];
    struct CMUnitTest tests[CONTRACT_TESTS_MAX];
    const size_t count = contract_cases(fixture, cases);

    for (size_t i = 0; i < count; i++)
        tests[i] = (struct CMUnitTest){.name = cases[i].name,
                                       .test_func = contract_run,
                                       .setup_func = contract_set_up_case,
                                       .teardown_func = contract_tear_down,
                                       .initial_state = &cases[i]};
    return _cmocka_run_group_tests(fixture->type, tests, count, NULL, NULL);
}

static bool contract_is_wanted(int argc, char **argv, const char *type)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], type) == 0)
            return true;
    return argc == 1;
}

int main(int argc, char **argv)
{
    int failed = 0, ran = 0, skipped = 0;

    hush_json_init();
    if (!hush_wipe_openssl_init() || !hush_http_init())
        return 2;
    for (size_t i = 0; i < sizeof(contract_fixtures) / sizeof(contract_fixtures[0]); i++) {
        if (!contract_is_wanted(argc, argv, contract_fixtures[i]->type))
            continue;
        if (contract_fixtures[i]->available != NULL && !contract_fixtures[i]->available()) {
            (void)fprintf(stderr, "contract: %s: SKIPPED, no backend is running\n",
                          contract_fixtures[i]->type);
            skipped++;
            continue;
        }
        failed += contract_run_fixture(contract_fixtures[i]);
        ran++;
    }
    if (ran == 0 && skipped > 0)
        return CONTRACT_SKIPPED;
    if (ran == 0) {
        (void)fprintf(stderr, "contract: no fixture of that type\n");
        return 2;
    }
    return failed == 0 ? 0 : 1;
}
