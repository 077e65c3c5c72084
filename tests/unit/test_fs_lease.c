/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fs_lease.c - credentials that a fetch makes: one for all readers, renewed by its lease,
 * replaced ahead of its end, dropped if nobody read it.
 */
#include "fs_kernel.h"

#include "core/clock.h"
#include "lease.h"
#include "snapshot.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* The configured ttl is much shorter than the lives below. */
#define CONFIG_SHORT CONFIG_S "ttl = 5\nresurrect_ttl = 60\n"

/* s/db: each fetch makes another. The first is "cred1" with the lease db@1: the number of calls. */
static void setup(struct kernel *k, const char *ttl_ms, const char *lease)
{
    backend_put(k, "s/db", "cred");
    backend_control(k, "s/db", ".dynamic", "");
    backend_control(k, "s/db", ".ttl", ttl_ms);
    backend_control(k, "s/db", ".lease", lease);
}

/* The timer looks within a second. */
static void let_it_look(void)
{
    (void)usleep(1200000);
}

static void await(struct kernel *k, const char *path, const char *expected)
{
    for (int i = 0; strcmp(kernel_cat(k, TID, path), expected) != 0; i++) {
        if (i > 3000)
            fail_msg("%s is %s, not %s", path, kernel_cat(k, TID, path), expected);
        (void)usleep(5000);
    }
}

/* Seconds that the version which path shows is good for. */
static uint64_t expires_s(struct kernel *k, const char *path)
{
    return strtoumax(kernel_xattr(k, kernel_ino(k, path), "user.hushfs.expires"), NULL, 10);
}

/* -- When: the table --------------------------------------------------------------------------- */

struct fixture {
    struct hush_provider_ops ops;
    struct hush_provider provider;
    struct hush_instance instance;
    struct hush_item item;
    struct hush_snapshot snapshot;
    struct hush_snapshot_record record;
};

static enum hush_status no_renew(struct hush_provider *self, struct hush_op *op, const char *lease,
                                 struct hush_meta *meta)
{
    (void)self, (void)lease, (void)meta;
    return hush_fail(op, HUSH_UNSUPPORTED, "never called");
}

/* A lease of 100 s, made at 1000 s; id and sequence make the grace 10 s. */
static void fixture_init(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->ops.renew = no_renew;
    f->provider.ops = &f->ops;
    f->instance.provider = &f->provider;
    f->item.instance = &f->instance;
    f->item.current = &f->snapshot;
    f->snapshot.item = &f->item;
    f->snapshot.record = &f->record;
    memcpy(f->snapshot.value.meta.lease, "id", 3);
    f->record = (struct hush_snapshot_record){.fetched_ns = 1000 * HUSH_NS_PER_S,
                                              .ttl_ms = 100000,
                                              .first_ttl_ms = 100000,
                                              .dynamic = 1,
                                              .renewable = 1,
                                              .used = 1};
}

static void test_due(void **state)
{
    /* clang-format off */
    static const struct {
        unsigned at_s;
        bool renewable, used, ending, moved, job;
        unsigned renew_s, retry_s; /* not before; the former after a failure */
        enum hush_lease_act act;
    } rows[] = {
        /* at   renew. used   ending moved  job    renew retry */
        {1000,  true,  true,  false, false, false, 0,    0,    HUSH_LEASE_WAIT},
        {1069,  true,  true,  false, false, false, 0,    0,    HUSH_LEASE_WAIT},
        {1070,  true,  true,  false, false, false, 0,    0,    HUSH_LEASE_RENEW},
        {1070,  true,  true,  false, false, true,  0,    0,    HUSH_LEASE_WAIT},
        {1070,  true,  true,  false, false, false, 1072, 0,    HUSH_LEASE_WAIT},
        {1072,  true,  true,  false, false, false, 1072, 0,    HUSH_LEASE_RENEW},
        {1089,  true,  true,  false, false, false, 0,    0,    HUSH_LEASE_RENEW},
        {1090,  true,  true,  false, false, false, 1099, 0,    HUSH_LEASE_REPLACE},
        {1090,  true,  true,  false, false, false, 1099, 1091, HUSH_LEASE_WAIT},
        {1090,  true,  true,  false, false, false, 0,    0,    HUSH_LEASE_RENEW},
        {1100,  true,  true,  false, false, false, 0,    0,    HUSH_LEASE_REPLACE},
        {1001,  true,  true,  true,  false, false, 0,    0,    HUSH_LEASE_REPLACE},
        {1001,  true,  true,  false, true,  false, 0,    0,    HUSH_LEASE_REPLACE},
        {1084,  false, true,  false, false, false, 0,    0,    HUSH_LEASE_WAIT},
        {1085,  false, true,  false, false, false, 0,    0,    HUSH_LEASE_REPLACE},
        {1200,  false, true,  false, false, false, 0,    0,    HUSH_LEASE_REPLACE},
        {1070,  true,  false, false, false, false, 0,    0,    HUSH_LEASE_WAIT},
        {1099,  true,  false, true,  false, false, 0,    0,    HUSH_LEASE_WAIT},
        {1100,  true,  false, false, false, false, 0,    0,    HUSH_LEASE_DROP},
    };
    /* clang-format on */
    struct fixture f;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        fixture_init(&f);
        f.record.renewable = rows[i].renewable;
        f.record.used = rows[i].used;
        f.record.ending = rows[i].ending;
        f.item.source = rows[i].moved;
        f.item.job = rows[i].job ? (struct hush_job *)&f.item : NULL;
        f.item.renew_ns = rows[i].renew_s * HUSH_NS_PER_S;
        f.item.renew_failures = rows[i].renew_s != 0;
        f.item.retry_ns = rows[i].retry_s * HUSH_NS_PER_S;
        if (hush_lease_due(&f.item, rows[i].at_s * HUSH_NS_PER_S) != rows[i].act)
            fail_msg("row %zu", i);
    }
}

/* Different items are due at different times, all in their windows. */
static void test_spread(void **state)
{
    uint64_t least = UINT64_MAX, most = 0;
    struct fixture f;

    (void)state;
    fixture_init(&f);
    for (f.item.id = 1; f.item.id < 65536; f.item.id += 256) {
        uint64_t next = hush_lease_next(&f.item);

        least = next < least ? next : least;
        most = next > most ? next : most;
        assert_int_equal(hush_lease_due(&f.item, next), HUSH_LEASE_RENEW);
        assert_int_equal(hush_lease_due(&f.item, next - 1), HUSH_LEASE_WAIT);
    }
    assert_in_range(least / HUSH_NS_PER_MS, 1069000, 1071000);
    assert_in_range(most / HUSH_NS_PER_MS, 1072000, 1074000);
}

/* -- One for all ------------------------------------------------------------------------------- */

static void test_one_for_all(void **state)
{
    struct kernel *k = *state;
    uint64_t stats[20];

    setup(k, "100000", NULL);
    backend_control(k, "s/db", ".hang", "");
    kernel_start(k, CONFIG_SHORT);
    for (size_t i = 0; i < COUNT(stats); i++)
        stats[i] = kernel_send_stat(k, TID + (uint32_t)i, "s/db");
    backend_await(k, "s", "fetch db", 1);
    backend_control(k, "s/db", ".hang", NULL);
    for (size_t i = 0; i < COUNT(stats); i++)
        assert_int_equal(kernel_wait(k, stats[i])->error, ESTALE);
    for (uint32_t i = 0; i < COUNT(stats); i++)
        assert_string_equal(kernel_cat(k, TID + i, "s/db"), "cred1");
    /* Far beyond the configured ttl, and after it was listed. */
    kernel_advance_ms(k, SECONDS(60));
    assert_string_equal(kernel_ls(k, TID, "s"), "db");
    assert_int_equal(kernel_ino(k, "s/db"), kernel_ino(k, "s/db"));
    assert_string_equal(kernel_cat(k, OTHER, "s/db"), "cred1");
    let_it_look();
    assert_int_equal(backend_calls(k, "s", "fetch db"), 1);
    assert_int_equal(expires_s(k, "s/db"), 40);
}

/* A name with a version in it: the literal name is asked for first, and makes nothing. */
static void test_name_with_a_version(void **state)
{
    struct kernel *k = *state;

    setup(k, "100000", NULL);
    kernel_start(k, CONFIG_SHORT);
    assert_string_equal(kernel_cat(k, TID, "s/db#7"), "cred2");
    assert_string_equal(kernel_cat(k, OTHER, "s/db#7"), "cred2");
    assert_int_equal(backend_calls(k, "s", "fetch db#7"),
                     2); /* the literal one; then the version */
}

/* Whoever asked gave up, but it may just have been made. */
static void test_given_up(void **state)
{
    struct kernel *k = *state;
    uint64_t stat;

    setup(k, "100000", NULL);
    backend_control(k, "s", "/.once", "");
    backend_control(k, "s/db", ".hang", "");
    kernel_start(k, CONFIG_SHORT);
    stat = kernel_send_stat(k, TID, "s/db");
    backend_await(k, "s", "fetch db", 1);
    kernel_interrupt(k, stat);
    assert_int_equal(kernel_wait(k, stat)->error, EINTR);
    backend_control(k, "s/db", ".hang", NULL);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "cred1");
    assert_int_equal(backend_calls(k, "s", NULL), 1);
}

/* -- Its end ----------------------------------------------------------------------------------- */

/* Without a ttl it lives until not_after, and not a second longer. */
static void test_hard_end(void **state)
{
    struct kernel *k = *state;

    setup(k, NULL, NULL);
    backend_control(k, "s/db", ".not_after", "100");
    kernel_start(k, CONFIG_SHORT);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "cred1");
    backend_control(k, "s/db", ".error", "UNAVAILABLE");
    assert_int_equal(expires_s(k, "s/db"), 100);
    kernel_advance_ms(k, SECONDS(99));
    assert_string_equal(kernel_cat(k, TID, "s/db"), "cred1");
    kernel_advance_ms(k, SECONDS(62)); /* past all pauses */
    assert_string_equal(kernel_cat(k, TID, "s/db"), "EHOSTDOWN");
}

/* With a ttl alone it may be served stale. */
static void test_soft_end(void **state)
{
    struct kernel *k = *state;

    setup(k, "100000", NULL);
    kernel_start(k, CONFIG_SHORT);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "cred1");
    backend_control(k, "s/db", ".error", "UNAVAILABLE");
    kernel_advance_ms(k, SECONDS(159));
    assert_string_equal(kernel_cat(k, TID, "s/db"), "cred1");
    kernel_advance_ms(k, SECONDS(1));
    assert_string_equal(kernel_cat(k, TID, "s/db"), "EHOSTDOWN");
}

/* Said to be dynamic, and nothing of its life: as long as any other. */
static void test_no_life_given(void **state)
{
    struct kernel *k = *state;

    setup(k, NULL, NULL);
    kernel_start(k, CONFIG_S "ttl = 5\n");
    assert_string_equal(kernel_cat(k, TID, "s/db"), "cred1");
    assert_int_equal(expires_s(k, "s/db"), 5);
}

/* Replaced after 85 to 90 % of its life, though nobody asks; who has the old one open keeps it. */
static void test_replaced(void **state)
{
    struct kernel *k = *state;
    struct kernel_file file;

    setup(k, "100000", "no");
    kernel_start(k, CONFIG_SHORT);
    assert_int_equal(kernel_open_path(k, TID, "s/db", &file), 0);
    assert_string_equal(kernel_read(k, file.ino, file.fh), "cred1");
    kernel_advance_ms(k, SECONDS(84));
    let_it_look();
    assert_int_equal(backend_calls(k, "s", NULL), 1);
    kernel_advance_ms(k, SECONDS(6));
    backend_await(k, "s", "fetch db", 2);
    assert_string_equal(mover_take(k, HUSH_MOVE_REPLACE)->to, "db");
    await(k, "s/db", "cred2");
    assert_string_equal(kernel_read(k, file.ino, file.fh), "cred1");
    assert_int_equal(backend_calls(k, "s", NULL), 2); /* nothing is renewed, nothing revoked */
    assert_int_equal(expires_s(k, "s/db"), 100);
}

/* One that nobody read is let go, and so is the replacement of one. */
static void test_never_read(void **state)
{
    struct kernel *k = *state;

    setup(k, "100000", "renewable");
    kernel_start(k, CONFIG_SHORT);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "cred1");
    assert_int_equal(kernel_send_control(k, HUSH_CONTROL_REFRESH, "s/db") != 0, 1);
    backend_await(k, "s", "fetch db", 2);
    (void)mover_take(k, HUSH_MOVE_REPLACE);
    (void)kernel_ino(k, "s/db"); /* stat is no read */
    kernel_advance_ms(k, SECONDS(99));
    let_it_look();
    assert_int_equal(backend_calls(k, "s", NULL), 2);
    kernel_advance_ms(k, SECONDS(1));
    assert_string_equal(mover_take(k, HUSH_MOVE_INVAL_ENTRY)->to, "db"); /* dropped */
    assert_null(strstr(kernel_cat(k, TID, ".hushfs/status.json"), "\"path\":\"s/db\""));
    assert_string_equal(kernel_cat(k, TID, "s/db"), "cred3");
}

/* -- Its lease --------------------------------------------------------------------------------- */

/* What the backend gives it counts from some moment after it was asked: a slow answer must not make
 * it live longer than it does. */
static void test_life_counts_from_the_question(void **state)
{
    struct kernel *k = *state;
    uint64_t stat;

    setup(k, "100000", "renewable");
    backend_control(k, "s/db", ".hang", "");
    kernel_start(k, CONFIG_SHORT);
    stat = kernel_send_stat(k, TID, "s/db");
    backend_await(k, "s", "fetch db", 1);
    kernel_advance_ms(k, SECONDS(3));
    backend_control(k, "s/db", ".hang", NULL);
    assert_int_equal(kernel_wait(k, stat)->error, ESTALE);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "cred1");
    assert_int_equal(expires_s(k, "s/db"), 97);
    backend_control(k, "s/db", ".renew.hang", "");
    kernel_advance_ms(k, SECONDS(72));
    backend_await(k, "s", "renew db@1", 1);
    kernel_advance_ms(k, SECONDS(3));
    backend_control(k, "s/db", ".renew.hang", NULL);
    for (int i = 0; expires_s(k, "s/db") < 30 && i < 1000; i++)
        (void)usleep(5000);
    assert_int_equal(expires_s(k, "s/db"), 97);
}

/* Renewed again and again: the same version, and nobody is told. */
static void test_renewed(void **state)
{
    struct kernel *k = *state;
    uint64_t ino;

    setup(k, "100000", "renewable");
    kernel_start(k, CONFIG_SHORT);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "cred1");
    ino = kernel_ino(k, "s/db");
    kernel_advance_ms(k, SECONDS(66));
    let_it_look();
    assert_int_equal(backend_calls(k, "s", NULL), 1);
    for (unsigned i = 1; i <= 3; i++) {
        kernel_advance_ms(k, i == 1 ? SECONDS(8) : SECONDS(74));
        backend_await(k, "s", "renew db@1", i);
        (void)usleep(50000); /* it is settled */
        assert_int_equal(expires_s(k, "s/db"), 100);
        assert_string_equal(kernel_cat(k, TID, "s/db"), "cred1");
    }
    assert_int_equal(kernel_ino(k, "s/db"), ino);
    assert_int_equal(backend_calls(k, "s", "fetch db"), 1);
    assert_int_equal(k->moved, 0);
}

/* Less than half of the first lease: it nears its end, and another is fetched at once. */
static void test_renewed_for_too_short(void **state)
{
    struct kernel *k = *state;

    setup(k, "100000", "renewable");
    backend_control(k, "s/db", ".renew.ttl", "60000");
    kernel_start(k, CONFIG_SHORT);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "cred1");
    kernel_advance_ms(k, SECONDS(74));
    backend_await(k, "s", "renew db@1", 1);
    (void)usleep(50000);
    assert_int_equal(expires_s(k, "s/db"), 60);
    backend_control(k, "s/db", ".renew.ttl", "40000");
    kernel_advance_ms(k, SECONDS(45));
    await(k, "s/db", "cred4");
    assert_int_equal(backend_calls(k, "s", "renew db@1"), 2);
    assert_int_equal(backend_calls(k, "s", NULL), 4);
    kernel_advance_ms(k, SECONDS(74)); /* and this one has its own lease */
    backend_await(k, "s", "renew db@4", 1);
}

/* The lease is gone, or the login that it hung on: replaced at once, tried again with pauses. */
static void test_lease_gone(void **state)
{
    struct kernel *k = *state;

    setup(k, "100000", "renewable");
    backend_control(k, "s/db", ".renew.error", "NOT_FOUND");
    kernel_start(k, CONFIG_SHORT);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "cred1");
    backend_control(k, "s/db", ".error", "UNAVAILABLE");
    kernel_advance_ms(k, SECONDS(74));
    backend_await(k, "s", "fetch db", 2);
    let_it_look();
    assert_int_equal(backend_calls(k, "s", NULL), 3); /* the clock stands still: no other try */
    assert_string_equal(kernel_cat(k, TID, "s/db"), "cred1");
    backend_control(k, "s/db", ".error", NULL);
    kernel_advance_ms(k, SECONDS(1));
    await(k, "s/db", "cred4");
    assert_int_equal(backend_calls(k, "s", "renew db@1"), 1);
}

/* What cannot be renewed for now is tried again, with pauses; in the end another is fetched. */
static void test_renewals_fail(void **state)
{
    struct kernel *k = *state;

    setup(k, "100000", "renewable");
    backend_control(k, "s/db", ".renew.error", "UNAVAILABLE");
    kernel_start(k, CONFIG_SHORT);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "cred1");
    kernel_advance_ms(k, SECONDS(74));
    backend_await(k, "s", "renew db@1", 1);
    let_it_look();
    assert_int_equal(backend_calls(k, "s", NULL), 2);
    kernel_advance_ms(k, SECONDS(1));
    backend_await(k, "s", "renew db@1", 2);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "cred1");
    kernel_advance_ms(k, SECONDS(15));
    await(k, "s/db", "cred4");
}

/* The provider says that it cannot: replaced as one without a lease. */
static void test_renewal_unsupported(void **state)
{
    struct kernel *k = *state;

    setup(k, "100000", "renewable");
    backend_control(k, "s/db", ".renew.error", "UNSUPPORTED");
    kernel_start(k, CONFIG_SHORT);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "cred1");
    kernel_advance_ms(k, SECONDS(74));
    backend_await(k, "s", "renew db@1", 1);
    kernel_advance_ms(k, SECONDS(10));
    let_it_look();
    assert_int_equal(backend_calls(k, "s", NULL), 2);
    kernel_advance_ms(k, SECONDS(6));
    await(k, "s/db", "cred3");
}

/* -- Asked for --------------------------------------------------------------------------------- */

static void test_refresh(void **state)
{
    struct kernel *k = *state;

    setup(k, "100000", NULL);
    kernel_start(k, CONFIG_SHORT);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "cred1");
    assert_int_equal(kernel_control(k, kernel_send_control(k, HUSH_CONTROL_REFRESH, "s/db"))->error,
                     HUSH_OK);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "cred2");
    assert_int_equal(backend_calls(k, "s", NULL), 2);
}

/* A refresh while a renewal hangs is a fetch of its own. */
static void test_refresh_in_a_renewal(void **state)
{
    struct kernel *k = *state;

    setup(k, "100000", "renewable");
    backend_control(k, "s/db", ".renew.hang", "");
    kernel_start(k, CONFIG_SHORT);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "cred1");
    kernel_advance_ms(k, SECONDS(74));
    backend_await(k, "s", "renew db@1", 1);
    assert_int_equal(kernel_control(k, kernel_send_control(k, HUSH_CONTROL_REFRESH, "s/db"))->error,
                     HUSH_OK);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "cred3");
    backend_control(k, "s/db", ".renew.ttl", "1000"); /* is not the new one's */
    backend_control(k, "s/db", ".renew.hang", NULL);
    (void)usleep(100000);
    assert_int_equal(expires_s(k, "s/db"), 100);
    assert_int_equal(backend_calls(k, "s", NULL), 3);
}

static void test_reported(void **state)
{
    struct kernel *k = *state;

    setup(k, "100000", NULL);
    backend_control(k, "s", "/.watch", "");
    kernel_start(k, CONFIG_SHORT);
    assert_string_equal(kernel_cat(k, TID, "s/db"), "cred1");
    backend_control(k, "s", "/.changed", "db");
    await(k, "s/db", "cred2");
    backend_control(k, "s", "/.changed", "*");
    await(k, "s/db", "cred3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_due),
        cmocka_unit_test(test_spread),
        KERNEL_TEST(test_one_for_all),
        KERNEL_TEST(test_name_with_a_version),
        KERNEL_TEST(test_given_up),
        KERNEL_TEST(test_hard_end),
        KERNEL_TEST(test_soft_end),
        KERNEL_TEST(test_no_life_given),
        KERNEL_TEST(test_replaced),
        KERNEL_TEST(test_never_read),
        KERNEL_TEST(test_life_counts_from_the_question),
        KERNEL_TEST(test_renewed),
        KERNEL_TEST(test_renewed_for_too_short),
        KERNEL_TEST(test_lease_gone),
        KERNEL_TEST(test_renewals_fail),
        KERNEL_TEST(test_renewal_unsupported),
        KERNEL_TEST(test_refresh),
        KERNEL_TEST(test_refresh_in_a_renewal),
        KERNEL_TEST(test_reported),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
