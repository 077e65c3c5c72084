/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checks_life.c - the tables, open() and close(), threads, watch().
 */
#include "contract.h"

#include "core/clock.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    LIFE_OPENS = 200,
    LIFE_THREADS = 8,
    LIFE_FETCHES = 200,
    LIFE_SETTLE_MS = 400,
    LIFE_WATCH_MS = 1000,
    LIFE_IDLE_MS = 2000,
    LIFE_IDLE_WAKE_UPS = 6, /* in that time: two or three a second, not one for each look at op */
    LIFE_FLIP_SIZE = 4096,
    LIFE_AGAIN_MS = 1050, /* a little more than the core's pause */
};

/* -- Tables ------------------------------------------------------------------------------------ */

static const char life_lower[] = "abcdefghijklmnopqrstuvwxyz";

static void ops_are_complete(struct contract *c)
{
    const struct hush_provider_ops *ops = c->ops;

    assert_non_null(ops->open);
    assert_non_null(ops->close);
    assert_non_null(ops->fetch);
    assert_non_null(ops->options);
    assert_true(ops->size >= sizeof(struct hush_provider));
    assert_true(ops->name[0] != '\0');
    assert_int_equal(strspn(ops->name, "abcdefghijklmnopqrstuvwxyz0123456789-"), strlen(ops->name));
    assert_ptr_equal(hush_provider_find(ops->name), ops);
    assert_true(ops->summary[0] != '\0' && ops->summary[strlen(ops->summary) - 1] != '.');
    assert_null(strchr(ops->summary, '\n'));
}

static void flags_fit_slots(struct contract *c)
{
    const struct hush_provider_ops *ops = c->ops;

    assert_int_equal(ops->flags >> 7, 0); /* unknown flags */
    if (ops->versions != NULL)
        assert_true(ops->flags & HUSH_HAS_VERSIONS);
    if (ops->flags & HUSH_IS_LOCAL)
        assert_null(ops->renew);
    assert_int_equal(ops->renew == NULL, ops->revoke == NULL);
}

static void registry_is_sorted(struct contract *c)
{
    bool found = false;

    for (size_t i = 0; hush_providers[i] != NULL; i++) {
        found = found || hush_providers[i] == c->ops;
        if (i > 0)
            assert_true(strcmp(hush_providers[i - 1]->name, hush_providers[i]->name) < 0);
    }
    assert_true(found);
    assert_null(hush_provider_find("no-such-type"));
}

/* Or an abbreviation. */
static bool life_is_lower(const char *text)
{
    return strchr(life_lower, text[0]) != NULL || strchr(life_lower, text[1]) == NULL;
}

static void options_are_documented(struct contract *c)
{
    const struct hush_option *row = c->ops->options;

    for (; row->name != NULL; row++) {
        assert_true(strchr(life_lower, row->name[0]) != NULL);
        assert_int_equal(strspn(row->name, "abcdefghijklmnopqrstuvwxyz0123456789_"),
                         strlen(row->name));
        assert_true(row->offset >= sizeof(struct hush_provider) && row->offset < c->ops->size);
        assert_true(row->help[0] != '\0' && row->help[strlen(row->help) - 1] != '.');
        assert_true(life_is_lower(row->help));
        assert_ptr_equal(hush_option_find(c->ops->options, row->name), row); /* no name twice */
    }
}

/* -- Open and close ---------------------------------------------------------------------------- */

static size_t life_open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    size_t count = 0;

    assert_non_null(dir);
    /* cppcheck-suppress readdirCalled ; one thread has this stream */
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

static void open_close_many(struct contract *c)
{
    struct hush_provider *first = c->provider;
    const size_t fds = life_open_fds();

    for (int i = 0; i < LIFE_OPENS; i++) {
        struct hush_op op;

        c->provider = contract_new_provider(c);
        hush_op_init(&op, c->arena, CONTRACT_OP_MS);
        assert_int_equal(hush_provider_open(c->provider, &op), HUSH_OK);
        contract_expect(c, "alpha", "first value\n", 12);
        hush_provider_free(c->provider);
    }
    c->provider = first;
    assert_int_equal(life_open_fds(), fds);
    assert_int_equal(hush_arena_usage(c->arena).blocks, c->blocks);
}

static void free_without_open(struct contract *c)
{
    hush_provider_free(contract_new_provider(c)); /* close() is not due */
    hush_provider_free(NULL);
}

static bool life_can_spoil(const struct contract_fixture *fixture,
                           const struct hush_provider_ops *ops)
{
    (void)ops;
    return fixture->spoil != NULL;
}

static enum hush_status life_open(struct contract *c, char detail[HUSH_DETAIL_MAX])
{
    struct hush_op op;
    enum hush_status status;

    hush_op_init(&op, c->arena, CONTRACT_OP_MS);
    status = c->ops->open(c->provider, &op);
    memcpy(detail, op.detail, HUSH_DETAIL_MAX);
    return status;
}

/* As the core does it: open() fails, close(), open() fails alike, close(), open() succeeds. */
static void open_fails_then_again(struct contract *c)
{
    struct hush_provider *first = c->provider;
    const size_t fds = life_open_fds();
    char why[HUSH_DETAIL_MAX], again[HUSH_DETAIL_MAX];
    enum hush_status status;

    c->provider = contract_new_provider(c);
    c->fixture->spoil(c, c->provider, true);
    status = life_open(c, why);
    assert_true(status != HUSH_OK && status != HUSH_CANCELED && why[0] != '\0');
    for (int i = 0; i < LIFE_OPENS; i++) {
        c->ops->close(c->provider);
        assert_int_equal(life_open(c, again), status);
        assert_string_equal(again, why);
    }
    assert_int_equal(life_open_fds(), fds);
    assert_int_equal(hush_arena_usage(c->arena).blocks, c->blocks);
    c->fixture->spoil(c, c->provider, false);
    c->ops->close(c->provider);
    assert_int_equal(life_open(c, again), HUSH_OK);
    contract_expect(c, "alpha", "first value\n", 12);
    c->ops->close(c->provider);
    hush_provider_free(c->provider);
    c->provider = first;
    assert_int_equal(hush_arena_usage(c->arena).blocks, c->blocks);
}

static enum hush_status life_emit(void *ctx, const struct hush_entry *entry)
{
    (void)ctx;
    (void)entry;
    fail_msg("it was asked");
    return HUSH_OK;
}

/* Through the core: every call is answered with open()'s reason, until open() succeeds. */
static void not_open_is_not_asked(struct contract *c)
{
    const struct hush_ref ref = {.path = "alpha"};
    const struct hush_version none = {""};
    struct hush_provider *provider = contract_new_provider(c);
    struct hush_value value = {0};
    char why[HUSH_DETAIL_MAX];
    enum hush_status status;
    struct hush_op op;

    c->fixture->spoil(c, provider, true);
    hush_op_init(&op, c->arena, CONTRACT_OP_MS);
    status = hush_provider_open(provider, &op);
    memcpy(why, op.detail, sizeof(why));
    c->fixture->spoil(c, provider, false);
    hush_op_init(&op, c->arena, CONTRACT_OP_MS);
    assert_int_equal(hush_provider_fetch(provider, &op, &ref, &none, &value), status);
    assert_string_equal(op.detail, why);
    assert_null(value.secret);
    if (c->ops->list != NULL)
        assert_int_equal(hush_provider_list(provider, &op, "", life_emit, NULL), status);
    contract_sleep_ms(LIFE_AGAIN_MS);
    assert_int_equal(hush_provider_fetch(provider, &op, &ref, &none, &value), HUSH_OK);
    hush_value_clear(&value);
    hush_provider_free(provider);
}

static void failures_leak_nothing(struct contract *c)
{
    const size_t fds = life_open_fds();
    struct hush_value value;

    for (int i = 0; i < LIFE_OPENS; i++) {
        assert_int_equal(contract_fetch(c, "absent", &value), HUSH_NOT_FOUND);
        assert_int_equal(contract_fetch(c, "too-large", &value), HUSH_TOO_LARGE);
    }
    assert_true(life_open_fds() <= fds); /* a connection may have been given up */
    assert_int_equal(hush_arena_usage(c->arena).blocks, c->blocks);
}

/* -- Threads ----------------------------------------------------------------------------------- */

struct life_readers {
    struct contract *c;
    const uint8_t *values[2]; /* what a fetch may give */
    size_t size;
    atomic_uint good, bad;
    atomic_int status; /* of one that was bad */
};

static bool life_is_one_of(const struct life_readers *readers, const struct hush_secret *secret)
{
    return secret != NULL && hush_secret_size(secret) == readers->size &&
           (memcmp(hush_secret_bytes(secret), readers->values[0], readers->size) == 0 ||
            memcmp(hush_secret_bytes(secret), readers->values[1], readers->size) == 0);
}

/* cmocka's asserts belong to the main thread: count here. */
static void *life_read(void *ctx)
{
    struct life_readers *readers = ctx;

    for (int i = 0; i < LIFE_FETCHES; i++) {
        struct hush_value value = {0};
        enum hush_status status = contract_fetch(readers->c, "alpha", &value);
        bool good =
            status == HUSH_OK && life_is_one_of(readers, contract_bytes(readers->c, &value));

        if (!good)
            atomic_store(&readers->status, (int)status);
        atomic_fetch_add(good ? &readers->good : &readers->bad, 1);
        hush_value_clear(&value);
    }
    return NULL;
}

/* Read on 8 threads while meanwhile() runs; every fetch must be one of the two values, whole. */
static void life_race(struct life_readers *readers, void (*meanwhile)(struct life_readers *readers))
{
    pthread_t threads[LIFE_THREADS];

    for (int i = 0; i < LIFE_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, life_read, readers), 0);
    if (meanwhile != NULL)
        meanwhile(readers);
    for (int i = 0; i < LIFE_THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    if (readers->bad != 0)
        fail_msg("%u fetches gave no whole value, or an error: %s", readers->bad,
                 hush_status_name((enum hush_status)readers->status));
    assert_int_equal(readers->good, LIFE_THREADS * LIFE_FETCHES);
    assert_int_equal(hush_arena_usage(readers->c->arena).blocks, readers->c->blocks);
}

static void threads_fetch(struct contract *c)
{
    const uint8_t *value = (const uint8_t *)"first value\n";
    struct life_readers readers = {.c = c, .values = {value, value}, .size = 12};

    life_race(&readers, NULL);
}

static void life_flip(struct life_readers *readers)
{
    for (unsigned i = 0;
         atomic_load(&readers->good) + atomic_load(&readers->bad) < LIFE_THREADS * LIFE_FETCHES;
         i++)
        readers->c->fixture->put(readers->c, "alpha", readers->values[i % 2], readers->size);
}

static void threads_see_whole_values(struct contract *c)
{
    static uint8_t a[LIFE_FLIP_SIZE], b[LIFE_FLIP_SIZE];
    struct life_readers readers = {.c = c, .values = {a, b}, .size = LIFE_FLIP_SIZE};

    memset(a, 'a', sizeof(a));
    memset(b, 'b', sizeof(b));
    c->fixture->put(c, "alpha", a, sizeof(a));
    life_race(&readers, life_flip);
}

/* -- Watch ------------------------------------------------------------------------------------- */

struct life_watch {
    struct contract *c;
    struct hush_op op;
    pthread_t thread;
    atomic_uint alpha; /* reports that include alpha */
    _Atomic pid_t tid;
    enum hush_status status;
};

static bool life_has_watch(const struct contract_fixture *fixture,
                           const struct hush_provider_ops *ops)
{
    (void)fixture;
    return ops->watch != NULL;
}

static bool life_reports(const struct contract_fixture *fixture,
                         const struct hush_provider_ops *ops)
{
    return life_has_watch(fixture, ops) && fixture->put != NULL &&
           !(ops->flags & HUSH_WATCH_IS_PARTIAL);
}

static void life_changed(void *ctx, const char *path)
{
    struct life_watch *watch = ctx;

    if (path[0] == '\0' || strcmp(path, "alpha") == 0)
        atomic_fetch_add(&watch->alpha, 1);
}

static void *life_watch(void *ctx)
{
    struct life_watch *watch = ctx;

    atomic_store(&watch->tid, gettid());
    watch->status = watch->c->ops->watch(watch->c->provider, &watch->op, life_changed, watch);
    return NULL;
}

static void life_watch_start(struct life_watch *watch, struct contract *c)
{
    watch->c = c;
    hush_op_init(&watch->op, c->arena, 0);
    assert_int_equal(pthread_create(&watch->thread, NULL, life_watch, watch), 0);
    contract_sleep_ms(LIFE_SETTLE_MS);
}

static void life_watch_end(struct life_watch *watch)
{
    const uint64_t start_ns = hush_now_ns();

    hush_op_cancel(&watch->op);
    assert_int_equal(pthread_join(watch->thread, NULL), 0);
    assert_int_equal(watch->status, HUSH_CANCELED);
    assert_true(hush_now_ns() - start_ns < HUSH_NS_PER_S / 2);
}

static bool life_watch_reports(struct life_watch *watch, unsigned before)
{
    for (int ms = 0; ms < LIFE_WATCH_MS; ms += 10) {
        if (atomic_load(&watch->alpha) > before)
            return true;
        contract_sleep_ms(10);
    }
    return false;
}

static void watch_reports_changes(struct contract *c)
{
    struct life_watch watch = {0};
    unsigned before;

    life_watch_start(&watch, c);
    before = atomic_load(&watch.alpha);
    c->fixture->put(c, "alpha", "changed", 7);
    assert_true(life_watch_reports(&watch, before));
    contract_sleep_ms(LIFE_SETTLE_MS);
    before = atomic_load(&watch.alpha);
    c->fixture->put(c, "alpha", NULL, 0);
    assert_true(life_watch_reports(&watch, before));
    life_watch_end(&watch);
}

static bool life_sleeps(const struct contract_fixture *fixture, const struct hush_provider_ops *ops)
{
    return life_has_watch(fixture, ops) && !(fixture->flags & CONTRACT_POLLS);
}

/* How often a thread of ours has fallen asleep. */
static uint64_t life_switches(pid_t tid)
{
    static const char key[] = "\nvoluntary_ctxt_switches:";
    char path[64], text[4096], *digits;
    uint64_t count = 0;
    size_t size;
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/self/task/%d/status", (int)tid);
    file = fopen(path, "re");
    assert_non_null(file);
    size = fread(text, 1, sizeof(text) - 1, file);
    (void)fclose(file);
    text[size] = '\0';
    assert_non_null(strstr(text, key));
    digits = strstr(text, key) + sizeof(key) - 1;
    digits += strspn(digits, " \t");
    digits[strcspn(digits, "\n")] = '\0';
    assert_true(hush_parse_u64(digits, UINT64_MAX, &count));
    return count;
}

/* An idle mount lets the machine sleep. */
static void watch_sleeps(struct contract *c)
{
    struct life_watch watch = {0};
    uint64_t before;

    life_watch_start(&watch, c);
    before = life_switches(watch.tid);
    contract_sleep_ms(LIFE_IDLE_MS);
    assert_in_range(life_switches(watch.tid) - before, 0, LIFE_IDLE_WAKE_UPS);
    life_watch_end(&watch);
}

static void watch_ends(struct contract *c)
{
    const size_t fds = life_open_fds();

    for (int i = 0; i < 3; i++) {
        struct life_watch watch = {0};

        life_watch_start(&watch, c);
        life_watch_end(&watch);
    }
    assert_int_equal(life_open_fds(), fds);
}

const struct contract_check contract_life_checks[] = {
    {"ops_are_complete", ops_are_complete, NULL},
    {"flags_fit_slots", flags_fit_slots, NULL},
    {"registry_is_sorted", registry_is_sorted, NULL},
    {"options_are_documented", options_are_documented, NULL},
    {"open_close_many", open_close_many, NULL},
    {"free_without_open", free_without_open, NULL},
    {"open_fails_then_again", open_fails_then_again, life_can_spoil},
    {"not_open_is_not_asked", not_open_is_not_asked, life_can_spoil},
    {"failures_leak_nothing", failures_leak_nothing, NULL},
    {"threads_fetch", threads_fetch, NULL},
    {"threads_see_whole_values", threads_see_whole_values, contract_can_put},
    {"watch_reports_changes", watch_reports_changes, life_reports},
    {"watch_ends", watch_ends, life_has_watch},
    {"watch_sleeps", watch_sleeps, life_sleeps},
    {NULL, NULL, NULL},
};
