/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_call.c - the life of an instance as provider.h promises it to providers: above all that one
 * which could not be opened is never asked.
 */
#include "call.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "unit.h"

#include <pthread.h>
#include <string.h>

struct counting {
    struct hush_provider base;
    char *text;
    uint32_t number;
};

/* What was called, in order; the instance is gone when it is looked at. */
static char calls[256];
static enum hush_status open_status;
static const char *open_detail = "the cable is not plugged in";
static uint64_t clock_ns = 1;

static pthread_mutex_t calls_lock = PTHREAD_MUTEX_INITIALIZER;

static void called(const char *slot)
{
    hush_lock_scope(&calls_lock);
    (void)strncat(calls, slot, sizeof(calls) - strlen(calls) - 1);
}

static enum hush_status counting_open(struct hush_provider *self, struct hush_op *op)
{
    const struct counting *counting = HUSH_PROVIDER(struct counting, self);

    assert_string_equal(counting->text, "fallback"); /* the options are there before open() */
    assert_int_equal(counting->number, 7);
    assert_int_equal(self->flags, HUSH_HAS_VERSIONS); /* each time */
    self->flags = HUSH_IS_MAP;
    called("open ");
    return open_status == HUSH_OK ? HUSH_OK : hush_fail(op, open_status, "%s", open_detail);
}

static void counting_close(struct hush_provider *self)
{
    const struct counting *counting = HUSH_PROVIDER(struct counting, self);

    assert_non_null(counting->text); /* and still at close() */
    called("close ");
}

static enum hush_status counting_fetch(struct hush_provider *self, struct hush_op *op,
                                       const struct hush_ref *ref,
                                       const struct hush_version *if_not, struct hush_value *out)
{
    (void)self;
    (void)ref;
    (void)if_not;
    (void)out;
    called("fetch ");
    return hush_fail(op, HUSH_NOT_FOUND, "nothing here");
}

static enum hush_status counting_list(struct hush_provider *self, struct hush_op *op,
                                      const char *prefix, hush_emit_fn *emit, void *ctx)
{
    (void)self;
    (void)op;
    (void)prefix;
    (void)emit;
    (void)ctx;
    called("list ");
    return HUSH_OK;
}

static enum hush_status counting_watch(struct hush_provider *self, struct hush_op *op,
                                       hush_changed_fn *changed, void *ctx)
{
    (void)self;
    (void)op;
    (void)changed;
    (void)ctx;
    called("watch ");
    return HUSH_OK;
}

static enum hush_status counting_renew(struct hush_provider *self, struct hush_op *op,
                                       const char *lease, struct hush_meta *meta)
{
    (void)self;
    (void)op;
    (void)lease;
    (void)meta;
    called("renew ");
    return HUSH_OK;
}

static enum hush_status counting_revoke(struct hush_provider *self, struct hush_op *op,
                                        const char *lease)
{
    (void)self;
    (void)op;
    (void)lease;
    called("revoke ");
    return HUSH_OK;
}

static const struct hush_option counting_options[] = {
    HUSH_OPTION(struct counting, number, COUNT, "7", "a number"),
    HUSH_OPTION(struct counting, text, STRING, "fallback", "a text"),
    {0},
};

static const struct hush_provider_ops counting_ops = {
    .name = "counting",
    .summary = "counts calls",
    .flags = HUSH_HAS_VERSIONS,
    .size = sizeof(struct counting),
    .options = counting_options,
    .open = counting_open,
    .close = counting_close,
    .fetch = counting_fetch,
    .list = counting_list,
    .watch = counting_watch,
    .renew = counting_renew,
    .revoke = counting_revoke,
};

static void test_life(void **state)
{
    struct hush_provider *provider;
    struct hush_op op;

    (void)state;
    for (int failing = 0; failing < 2; failing++) {
        calls[0] = '\0';
        open_status = failing ? HUSH_CONFIG : HUSH_OK;
        provider = hush_provider_new(&counting_ops, "name", NULL);
        assert_non_null(provider);
        assert_ptr_equal(provider->ops, &counting_ops);
        assert_string_equal(provider->instance, "name");
        hush_op_init(&op, NULL, 0);
        assert_int_equal(hush_provider_open(provider, &op), open_status);
        hush_provider_free(provider);
        assert_string_equal(calls, "open close "); /* also after a failed open() */
    }
}

static void test_never_opened(void **state)
{
    (void)state;
    calls[0] = '\0';
    hush_provider_free(hush_provider_new(&counting_ops, "name", NULL));
    hush_provider_free(NULL);
    assert_string_equal(calls, "");
}

/* -- An instance that could not be opened ------------------------------------------------------ */

static uint64_t stopped_clock(void)
{
    return clock_ns;
}

static void forward_ms(uint64_t ms)
{
    clock_ns += ms * HUSH_NS_PER_MS;
}

static struct hush_provider *failed(struct hush_op *op, enum hush_status status)
{
    struct hush_provider *provider = hush_provider_new(&counting_ops, "name", NULL);

    assert_non_null(provider);
    calls[0] = '\0';
    open_status = status;
    hush_op_init(op, NULL, 0);
    (void)hush_provider_open(provider, op);
    assert_false(hush_provider_is_open(provider));
    hush_op_init(op, NULL, 0);
    return provider;
}

static enum hush_status fetch(struct hush_provider *provider, struct hush_op *op)
{
    const struct hush_ref ref = {.path = "a"};
    const struct hush_version none = {""};
    struct hush_value value = {0};

    return hush_provider_fetch(provider, op, &ref, &none, &value);
}

static enum hush_status call_list(struct hush_provider *provider, struct hush_op *op)
{
    return hush_provider_list(provider, op, "", NULL, NULL);
}

static enum hush_status call_watch(struct hush_provider *provider, struct hush_op *op)
{
    return hush_provider_watch(provider, op, NULL, NULL);
}

static enum hush_status call_renew(struct hush_provider *provider, struct hush_op *op)
{
    struct hush_meta meta;

    return hush_provider_renew(provider, op, "lease", &meta);
}

static enum hush_status call_revoke(struct hush_provider *provider, struct hush_op *op)
{
    return hush_provider_revoke(provider, op, "lease");
}

/* clang-format off */
static const struct {
    const char *name;
    enum hush_status (*call)(struct hush_provider *provider, struct hush_op *op);
} slots[] = {
    {"fetch ", fetch}, {"list ", call_list}, {"watch ", call_watch}, {"renew ", call_renew},
    {"revoke ", call_revoke},
};
/* clang-format on */

static void test_never_asked(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(slots); i++) {
        struct hush_op op;
        struct hush_provider *provider = failed(&op, HUSH_CONFIG);

        for (int again = 0; again < 3; again++) {
            hush_op_init(&op, NULL, 0);
            assert_int_equal(slots[i].call(provider, &op), HUSH_CONFIG);
            assert_string_equal(op.detail, open_detail);
        }
        assert_string_equal(calls, "open ");
        hush_provider_free(provider);
        assert_string_equal(calls, "open close ");
    }
}

/* By every call but watch(), when a pause has passed; close() comes before. */
static void test_opened_later(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(slots); i++) {
        const bool opens = slots[i].call != call_watch;
        char expected[64];
        struct hush_op op;
        struct hush_provider *provider = failed(&op, HUSH_UNAVAILABLE);

        open_status = HUSH_OK;
        forward_ms(999);
        assert_int_equal(slots[i].call(provider, &op), HUSH_UNAVAILABLE);
        assert_string_equal(calls, "open ");
        forward_ms(1);
        (void)slots[i].call(provider, &op);
        assert_int_equal(hush_provider_is_open(provider), opens);
        (void)snprintf(expected, sizeof(expected), "open %s%s", opens ? "close open " : "",
                       opens ? slots[i].name : "");
        assert_string_equal(calls, expected);
        if (opens)
            assert_int_equal(provider->flags, HUSH_IS_MAP);
        hush_provider_free(provider);
    }
}

static void test_pauses(void **state)
{
    static const uint64_t pauses[] = {1000, 2000, 4000, 8000, 8000};
    struct hush_op op;
    struct hush_provider *provider = failed(&op, HUSH_CONFIG);

    (void)state;
    for (size_t i = 0; i < COUNT(pauses); i++) {
        calls[0] = '\0';
        forward_ms(pauses[i] - 1);
        assert_int_equal(fetch(provider, &op), HUSH_CONFIG);
        assert_string_equal(calls, "");
        forward_ms(1);
        open_detail = i % 2 == 0 ? "another reason" : "one more";
        assert_int_equal(fetch(provider, &op), HUSH_CONFIG);
        assert_string_equal(calls, "close open ");
        assert_string_equal(op.detail, open_detail);
    }
    hush_provider_free(provider);
}

/* What it says of the instance is never taken for something about a secret. */
static void test_no_secret_is_gone(void **state)
{
    (void)state;
    for (int i = HUSH_OK + 1; i < HUSH_STATUS_COUNT; i++) {
        struct hush_op op;
        struct hush_provider *provider = failed(&op, (enum hush_status)i);
        const enum hush_status status = fetch(provider, &op);

        assert_true(hush_status_keeps_stale(status));
        assert_int_equal(status, hush_status_keeps_stale((enum hush_status)i) ? i : HUSH_CONFIG);
        hush_provider_free(provider);
    }
}

/* The caller went; the next one need not wait. */
static void test_canceled(void **state)
{
    struct hush_op op;
    struct hush_provider *provider = failed(&op, HUSH_CANCELED);

    (void)state;
    open_status = HUSH_OK;
    assert_int_equal(fetch(provider, &op), HUSH_NOT_FOUND);
    assert_string_equal(calls, "open close open fetch ");
    hush_provider_free(provider);
}

static void *fetch_thread(void *arg)
{
    struct hush_op op;

    hush_op_init(&op, NULL, 0);
    return fetch(arg, &op) == HUSH_NOT_FOUND ? arg : NULL;
}

/* Many at once open it once. */
static void test_at_once(void **state)
{
    enum { THREADS = 8 };
    struct hush_op op;
    struct hush_provider *provider = failed(&op, HUSH_CONFIG);
    pthread_t threads[THREADS];
    const char *at;
    void *good;

    (void)state;
    open_status = HUSH_OK;
    forward_ms(1000);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, fetch_thread, provider), 0);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], &good), 0);
        assert_ptr_equal(good, provider);
    }
    at = strstr(calls, "open ");
    assert_non_null(at);
    at = strstr(at + 1, "open ");
    assert_non_null(at);
    assert_null(strstr(at + 1, "open "));
    hush_provider_free(provider);
}

static int set_clock(void **state)
{
    (void)state;
    hush_clock_inject(stopped_clock, NULL);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),        cmocka_unit_test(test_never_opened),
        cmocka_unit_test(test_never_asked), cmocka_unit_test(test_opened_later),
        cmocka_unit_test(test_pauses),      cmocka_unit_test(test_no_secret_is_gone),
        cmocka_unit_test(test_canceled),    cmocka_unit_test(test_at_once),
    };

    return cmocka_run_group_tests(tests, set_clock, NULL);
}
