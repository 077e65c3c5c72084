/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_stash.c - the stash: what is put is there for the next worker, whole, whenever this one
 * dies; threads.
 */
#include "stash.h"

#include "core/lockmem.h"
#include "unit.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { SIZE = 1 << 20, ROUNDS = 60 };

static void config_error(void *ctx, const char *file, unsigned line, const char *text)
{
    (void)ctx;
    (void)fprintf(stderr, "%s:%u: %s\n", file, line, text);
}

static struct hush_config *config_of(const char *sections)
{
    char text[512];
    int n = snprintf(text, sizeof(text), "[mount]\npath = /run/hush-test\n%s", sections);

    return hush_config_parse(text, (size_t)n, "test", config_error, NULL);
}

#define TWO "[provider/a]\ntype = env\n[provider/b]\ntype = env\n"

/* One worker after the other over the same memory. */
struct fixture {
    int fd;
    struct hush_config *config;
    struct hush_arena *arena;
    struct hush_stash *stash;
    struct hush_op op;
};

static void begin(struct fixture *f, const char *sections)
{
    f->config = config_of(sections);
    f->arena = hush_arena_attach(f->fd);
    if (f->arena == NULL || f->config == NULL)
        abort(); /* for analyzers, which do not know that assert_non_null() never returns */
    f->stash = hush_stash_new(f->arena, f->config);
    if (f->stash == NULL)
        abort();
    hush_op_init(&f->op, f->arena, 0);
}

static void end(struct fixture *f)
{
    hush_stash_free(f->stash);
    hush_arena_free(f->arena);
    hush_config_free(f->config);
}

static void next(struct fixture *f, const char *sections)
{
    end(f);
    begin(f, sections);
    assert_non_null(f->stash);
}

static int setup(void **state)
{
    static struct fixture f;

    f.fd = hush_lockmem_create("test", SIZE);
    begin(&f, TWO);
    *state = &f;
    return f.stash != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    end(f);
    return close(f->fd);
}

static enum hush_status put(struct fixture *f, const char *instance, const char *name,
                            const char *text)
{
    struct hush_secret *secret = NULL;
    enum hush_status status;

    if (text != NULL && hush_secret_new(&f->op, text, strlen(text), &secret) != HUSH_OK)
        return HUSH_NO_MEMORY;
    status = f->stash->put(f->stash, &f->op, instance, name, secret);
    hush_secret_unref(secret);
    return status;
}

/* "-": nothing. */
static const char *get(struct fixture *f, const char *instance, const char *name)
{
    static char text[256];
    struct hush_secret *secret = f->stash->get(f->stash, instance, name);

    if (secret == NULL)
        return "-";
    (void)snprintf(text, sizeof(text), "%.*s", (int)hush_secret_size(secret),
                   (const char *)hush_secret_bytes(secret));
    hush_secret_unref(secret);
    return text;
}

static void count(void *ctx, hush_block block, enum hush_block_type type)
{
    (void)block;
    *(unsigned *)ctx += type == HUSH_BLOCK_STASH;
}

static unsigned records(struct fixture *f)
{
    unsigned n = 0;

    hush_arena_walk(f->arena, count, &n);
    return n;
}

static void test_put_and_get(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(get(f, "a", "token"), "-");
    assert_int_equal(put(f, "a", "token", "one"), HUSH_OK);
    assert_int_equal(put(f, "b", "token", "two"), HUSH_OK);
    assert_int_equal(put(f, "a", "empty", ""), HUSH_OK);
    assert_string_equal(get(f, "a", "token"), "one");
    assert_string_equal(get(f, "b", "token"), "two");
    assert_string_equal(get(f, "a", "empty"), "");
    assert_string_equal(get(f, "a", "tok"), "-");
    assert_string_equal(get(f, "atoken", ""), "-");
    assert_int_equal(put(f, "a", "token", "three"), HUSH_OK);
    assert_string_equal(get(f, "a", "token"), "three");
    assert_int_equal(records(f), 3);
    assert_int_equal(put(f, "a", "token", NULL), HUSH_OK);
    assert_int_equal(put(f, "a", "token", NULL), HUSH_OK);
    assert_string_equal(get(f, "a", "token"), "-");
    assert_string_equal(get(f, "b", "token"), "two");
    assert_int_equal(records(f), 2);
}

static void test_the_next_worker(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(put(f, "a", "token", "one"), HUSH_OK);
    assert_int_equal(put(f, "a", "token", "two"), HUSH_OK);
    assert_int_equal(put(f, "b", "token", "three"), HUSH_OK);
    next(f, TWO);
    assert_string_equal(get(f, "a", "token"), "two");
    assert_string_equal(get(f, "b", "token"), "three");
    assert_int_equal(put(f, "a", "token", "four"), HUSH_OK); /* is later than what it found */
    next(f, TWO);
    assert_string_equal(get(f, "a", "token"), "four");
    assert_int_equal(records(f), 2);
}

/* Of an instance that is gone, or is of another type now. */
static void test_configured_no_more(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(put(f, "a", "token", "one"), HUSH_OK);
    assert_int_equal(put(f, "b", "token", "two"), HUSH_OK);
    next(f, "[provider/a]\ntype = file\nroot = /tmp\n");
    assert_int_equal(records(f), 0);
    assert_string_equal(get(f, "a", "token"), "-");
    next(f, TWO);
    assert_string_equal(get(f, "a", "token"), "-");
    assert_string_equal(get(f, "b", "token"), "-");
}

static void test_refused(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(put(f, "c", "token", "one"), HUSH_CONFIG);
    assert_int_equal(put(f, "a", "a-name-of-more-than-thirty-one-bytes", "one"), HUSH_CONFIG);
    assert_int_equal(records(f), 0);
}

/* What does not fit leaves what was there. */
static void test_full(void **state)
{
    struct fixture *f = *state;
    struct hush_secret *two = NULL;

    assert_int_equal(put(f, "a", "token", "one"), HUSH_OK);
    assert_int_equal(hush_secret_new(&f->op, "two", 3, &two), HUSH_OK);
    while (hush_arena_alloc(f->arena, HUSH_BLOCK_VALUE, 1) != 0)
        continue;
    assert_int_equal(f->stash->put(f->stash, &f->op, "a", "token", two), HUSH_NO_MEMORY);
    assert_int_equal(f->stash->put(f->stash, &f->op, "a", "other", two), HUSH_NO_MEMORY);
    hush_secret_unref(two);
    next(f, TWO); /* what was not published is gone */
    assert_string_equal(get(f, "a", "token"), "one");
    assert_string_equal(get(f, "a", "other"), "-");
}

static void test_wipe(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(put(f, "a", "token", "one"), HUSH_OK);
    assert_int_equal(put(f, "b", "token", "two"), HUSH_OK);
    hush_stash_wipe(f->stash);
    assert_string_equal(get(f, "a", "token"), "-");
    assert_int_equal(records(f), 0);
    assert_int_equal(put(f, "a", "token", "three"), HUSH_OK);
    assert_string_equal(get(f, "a", "token"), "three");
}

/* -- Bad records ------------------------------------------------------------------------------- */

static void publish(struct fixture *f, const void *bytes, size_t size)
{
    hush_block block = hush_arena_alloc(f->arena, HUSH_BLOCK_STASH, size);

    assert_true(block != 0);
    memcpy(hush_arena_bytes(f->arena, block), bytes, size);
    hush_arena_publish(f->arena, block);
}

static void test_not_sound(void **state)
{
    static const uint32_t huge[6] = {1, 0, UINT32_MAX, UINT32_MAX, 2, 0};
    struct fixture *f = *state;

    publish(f, "short", 5);
    publish(f, huge, sizeof(huge));
    next(f, TWO);
    assert_int_equal(records(f), 0);
    assert_string_equal(get(f, "a", "token"), "-");
}

/* A copy of a record with another sequence number (its first eight bytes) and value (its last). */
struct twin {
    struct fixture *f;
    int64_t more;
    char value;
    unsigned char bytes[256];
    size_t size;
};

static void twin_read(void *ctx, hush_block block, enum hush_block_type type)
{
    struct twin *twin = ctx;

    if (type != HUSH_BLOCK_STASH)
        return;
    twin->size = hush_arena_size(twin->f->arena, block);
    assert_true(twin->size <= sizeof(twin->bytes));
    memcpy(twin->bytes, hush_arena_bytes(twin->f->arena, block), twin->size);
}

static void twin_add(struct twin *twin)
{
    int64_t sequence;

    hush_arena_walk(twin->f->arena, twin_read, twin);
    memcpy(&sequence, twin->bytes, sizeof(sequence));
    sequence += twin->more;
    memcpy(twin->bytes, &sequence, sizeof(sequence));
    twin->bytes[twin->size - 1] = (unsigned char)twin->value;
    publish(twin->f, twin->bytes, twin->size);
}

/* Killed between publishing the new one and releasing the old one: the later wins, wherever in the
 * arena it stands. */
static void test_twins(void **state)
{
    struct fixture *f = *state;
    struct twin later = {.f = f, .more = 5, .value = '2'}, earlier = {.f = f, .more = -1};

    assert_int_equal(put(f, "a", "token", "1"), HUSH_OK);
    twin_add(&later);
    next(f, TWO);
    assert_string_equal(get(f, "a", "token"), "2");
    assert_int_equal(records(f), 1);
    earlier.value = '3';
    twin_add(&earlier);
    next(f, TWO);
    assert_string_equal(get(f, "a", "token"), "2");
    assert_int_equal(records(f), 1);
}

/* -- Killed at any instant --------------------------------------------------------------------- */

/* Shared with the child: the number that was put last, counted after it was. */
struct ledger {
    int fd;
    _Atomic unsigned done;
};

static int put_numbers(void *ctx)
{
    struct ledger *ledger = ctx;
    struct fixture f = {.fd = ledger->fd};
    char text[64];

    begin(&f, TWO);
    CHECK(f.stash != NULL);
    for (unsigned i = ledger->done + 1; i != 0; i++) {
        (void)snprintf(text, sizeof(text), "%u %*s", i, (int)(i % 40), "");
        CHECK(put(&f, "a", "number", text) == HUSH_OK);
        ledger->done = i;
    }
    return 0;
}

static void test_killed(void **state)
{
    struct fixture *f = *state;
    struct ledger *ledger =
        mmap(NULL, sizeof(*ledger), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint64_t random = 88172645463325252;

    assert_true(ledger != MAP_FAILED);
    ledger->fd = f->fd;
    for (int i = 0; i < ROUNDS; i++) {
        unsigned before = ledger->done, seen = 0;
        pid_t pid;

        end(f);
        (void)fflush(NULL);
        pid = fork();
        if (pid == 0)
            _exit(put_numbers(ledger));
        while (ledger->done < before + 2)
            (void)usleep(100);
        (void)usleep((unsigned)(unit_random(&random) % 2000));
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        begin(f, TWO);
        assert_non_null(f->stash);
        seen = (unsigned)strtoumax(get(f, "a", "number"), NULL, 10);
        assert_in_range(seen, ledger->done, ledger->done + 1);
        ledger->done = seen;
        assert_int_equal(records(f), 1);
        assert_int_equal(hush_arena_usage(f->arena).blocks, 1);
    }
    (void)munmap(ledger, sizeof(*ledger));
}

/* -- Threads ----------------------------------------------------------------------------------- */

struct worker {
    struct fixture *f;
    char name[8];
    bool bad;
};

static void *work(void *ctx)
{
    struct worker *w = ctx;
    struct fixture f = *w->f;

    hush_op_init(&f.op, f.arena, 0);
    for (int i = 0; i < 500; i++) {
        struct hush_secret *secret;

        w->bad = w->bad || put(&f, "a", w->name, w->name) != HUSH_OK;
        secret = f.stash->get(f.stash, "a", w->name);
        w->bad = w->bad || secret == NULL || hush_secret_size(secret) != strlen(w->name) ||
                 memcmp(hush_secret_bytes(secret), w->name, strlen(w->name)) != 0;
        hush_secret_unref(secret);
        if (i % 10 == 0)
            w->bad = w->bad || put(&f, "a", w->name, NULL) != HUSH_OK;
    }
    return NULL;
}

static void test_threads(void **state)
{
    struct fixture *f = *state;
    struct worker workers[4] = {0};
    pthread_t threads[4];

    for (int i = 0; i < 4; i++) {
        workers[i].f = f;
        (void)snprintf(workers[i].name, sizeof(workers[i].name), "t%d", i);
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_false(workers[i].bad);
    }
    assert_int_equal(records(f), 4);
}

#define STASH_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STASH_TEST(test_put_and_get),
        STASH_TEST(test_the_next_worker),
        STASH_TEST(test_configured_no_more),
        STASH_TEST(test_refused),
        STASH_TEST(test_full),
        STASH_TEST(test_wipe),
        STASH_TEST(test_not_sound),
        STASH_TEST(test_twins),
        STASH_TEST(test_killed),
        STASH_TEST(test_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
