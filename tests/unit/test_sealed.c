/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_sealed.c - the sealed provider and its store in one process: what readers see of writers,
 * what is refused, keys. What happens to damaged files one by one, to killed writers and to full
 * disks is in tests/e2e/test_store.py.
 */
#include "call.h"
#include "core/cleanup.h"
#include "core/lockmem.h"
#include "core/wipealloc.h"
#include "memscan.h"
#include "sealed/reader.h"
#include "sealed/store.h"
#include "shared/json.h"
#include "unit.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

enum { ARENA_SIZE = 4 << 20, PATH_SIZE = 160, NEEDLE_SIZE = 64, OP_MS = 60000 };

struct fixture {
    char dir[32], store[64], key[64], passphrase[64];
    struct sealed_source source;
    struct hush_arena *arena;
    struct hush_provider *provider;
    struct hush_op op;
};

static void sleep_ms(long ms)
{
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    (void)nanosleep(&time, NULL);
}

static void write_file(const char *path, const void *bytes, size_t size, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
}

static void copy_file(const char *from, const char *to)
{
    static char bytes[1 << 16];
    int fd = open(from, O_RDONLY | O_CLOEXEC);
    ssize_t got;

    assert_true(fd >= 0);
    got = read(fd, bytes, sizeof(bytes));
    assert_true(got > 0);
    assert_int_equal(close(fd), 0);
    write_file(to, bytes, (size_t)got, 0600);
}

static char *in_store(const struct fixture *f, const char *name, char path[PATH_SIZE])
{
    (void)snprintf(path, PATH_SIZE, "%s/%s", f->store, name);
    return path;
}

/* -- A store and a provider -------------------------------------------------------------------- */

static void set_option(struct hush_provider *provider, const char *name, const char *value)
{
    char error[160];

    if (value != NULL)
        assert_true(hush_option_set(hush_option_find(provider->ops->options, name), provider, value,
                                    error));
}

static void open_provider(struct fixture *f)
{
    hush_provider_free(f->provider);
    f->provider = hush_provider_new(hush_provider_find("sealed"), "test", NULL);
    assert_non_null(f->provider);
    set_option(f->provider, "store", f->source.store);
    set_option(f->provider, "key_file", f->source.key_file);
    set_option(f->provider, "passphrase_file", f->source.passphrase_file);
    hush_op_init(&f->op, f->arena, OP_MS);
    assert_int_equal(hush_provider_open(f->provider, &f->op), HUSH_OK);
}

static void make_store(struct fixture *f)
{
    const struct sealed_create how = {.keep = 3, .owner = (uid_t)-1, .group = (gid_t)-1};

    hush_op_init(&f->op, f->arena, OP_MS);
    assert_int_equal(hush_sealed_create(&f->op, &f->source, &how), HUSH_OK);
    open_provider(f);
}

static struct {
    struct fixture *f;
    int commits; /* still to come, one whenever a reader has read the index and not yet the value */
} writer;

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    hush_json_init();
    assert_true(hush_wipe_openssl_init());
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/hushfs-sealed-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->store, sizeof(f->store), "%s/store", f->dir);
    (void)snprintf(f->key, sizeof(f->key), "%s/key", f->dir);
    (void)snprintf(f->passphrase, sizeof(f->passphrase), "%s/passphrase", f->dir);
    f->source = (struct sealed_source){.store = f->store, .key_file = f->key};
    f->arena = hush_arena_new(ARENA_SIZE);
    assert_non_null(f->arena);
    writer.commits = 0;
    *state = f;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    hush_provider_free(f->provider);
    assert_int_equal(hush_arena_usage(f->arena).blocks, 0);
    hush_arena_free(f->arena);
    assert_int_equal(nftw(f->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    free(f);
    return 0;
}

static struct sealed_store *open_store(struct fixture *f)
{
    struct sealed_store *store = NULL;

    hush_op_init(&f->op, f->arena, OP_MS);
    assert_int_equal(hush_sealed_store_open(&f->op, &f->source, &store), HUSH_OK);
    return store;
}

static enum hush_status try_put(struct fixture *f, const char *name, const char *value)
{
    struct sealed_store *store = open_store(f);
    enum hush_status status =
        value == NULL
            ? hush_sealed_store_stage_removal(store, &f->op, name)
            : hush_sealed_store_stage(store, &f->op, name, (const uint8_t *)value, strlen(value));

    if (status == HUSH_OK)
        status = hush_sealed_store_commit(store, &f->op);
    hush_sealed_store_close(store);
    return status;
}

static void put(struct fixture *f, const char *name, const char *value)
{
    assert_int_equal(try_put(f, name, value), HUSH_OK);
}

static enum hush_status fetch(struct fixture *f, const char *name, const char *version,
                              const char *if_not, struct hush_value *value)
{
    struct hush_ref ref = {.path = name};
    struct hush_version have = {""};

    (void)snprintf(ref.version.text, sizeof(ref.version.text), "%s", version);
    (void)snprintf(have.text, sizeof(have.text), "%s", if_not);
    hush_op_init(&f->op, f->arena, OP_MS);
    return f->provider->ops->fetch(f->provider, &f->op, &ref, &have, value);
}

static void expect(struct fixture *f, const char *name, const char *version, const char *text)
{
    struct hush_value value = {0};

    assert_int_equal(fetch(f, name, version, "", &value), HUSH_OK);
    assert_int_equal(hush_secret_size(value.secret), strlen(text));
    assert_memory_equal(hush_secret_bytes(value.secret), text, strlen(text));
    hush_value_clear(&value);
}

/* part: of the reason. */
static void expect_failure(struct fixture *f, const char *name, const char *version,
                           enum hush_status status, const char *part)
{
    struct hush_value value = {0};

    assert_int_equal(fetch(f, name, version, "", &value), status);
    if (strstr(f->op.detail, part) == NULL)
        fail_msg("'%s' has not '%s'", f->op.detail, part);
}

/* -- Versions ---------------------------------------------------------------------------------- */

static void versions_come_and_go(void **state)
{
    struct fixture *f = *state;
    struct hush_value value = {0};

    make_store(f);
    put(f, "a/b", "one");
    put(f, "a/b", "two");
    expect(f, "a/b", "", "two");
    expect(f, "a/b", "1", "one");
    expect_failure(f, "a/b", "01", HUSH_NOT_FOUND, "no version");
    expect_failure(f, "a/b", "3", HUSH_NOT_FOUND, "kept are 1 to 2");
    put(f, "a/b", "three");
    put(f, "a/b", "four"); /* keeps 3 */
    expect_failure(f, "a/b", "1", HUSH_NOT_FOUND, "kept are 2 to 4");
    expect(f, "a/b", "2", "two");
    assert_int_equal(fetch(f, "a/b", "", "4", &value), HUSH_OK);
    assert_true(value.unchanged);
    put(f, "a/b", NULL);
    expect_failure(f, "a/b", "", HUSH_NOT_FOUND, "removed");
    expect(f, "a/b", "4", "four");
    put(f, "a/b", "six");
    expect(f, "a/b", "6", "six");
}

static void a_number_never_comes_again(void **state)
{
    struct fixture *f = *state;
    struct sealed_store *store;
    struct hush_value value = {0};
    char path[PATH_SIZE];

    make_store(f);
    put(f, "a", "old");
    assert_int_equal(fetch(f, "a", "", "", &value), HUSH_OK);
    hush_value_clear(&value);
    store = open_store(f);
    assert_int_equal(hush_sealed_store_purge(store, &f->op, "a"), HUSH_OK);
    hush_sealed_store_close(store);
    expect_failure(f, "a", "1", HUSH_NOT_FOUND, "no secret");
    assert_int_not_equal(access(in_store(f, "a", path), F_OK), 0);
    put(f, "a", "new");
    assert_int_equal(fetch(f, "a", "", "1", &value), HUSH_OK);
    assert_false(value.unchanged);
    assert_string_equal(value.meta.version.text, "2");
    hush_value_clear(&value);
}

static void a_commit_is_all_or_nothing(void **state)
{
    struct fixture *f = *state;
    struct sealed_store *store;
    char path[PATH_SIZE];

    make_store(f);
    put(f, "a", "one");
    store = open_store(f);
    assert_int_equal(hush_sealed_store_stage(store, &f->op, "a", (const uint8_t *)"two", 3),
                     HUSH_OK);
    assert_int_equal(hush_sealed_store_stage(store, &f->op, "b/c", (const uint8_t *)"x", 1),
                     HUSH_OK);
    assert_int_equal(hush_sealed_store_stage(store, &f->op, "a", (const uint8_t *)"3", 1),
                     HUSH_UNSUPPORTED);
    expect(f, "a", "", "one");
    expect_failure(f, "b/c", "", HUSH_NOT_FOUND, "no secret");
    hush_sealed_store_close(store); /* without a commit */
    assert_int_not_equal(access(in_store(f, "b", path), F_OK), 0);
    assert_int_not_equal(access(in_store(f, "a/.2.jwe", path), F_OK), 0);
    put(f, "a", "two");
    expect(f, "a", "2", "two");
}

static void what_a_dead_writer_left_is_finished(void **state)
{
    struct fixture *f = *state;
    char from[PATH_SIZE], to[PATH_SIZE];

    make_store(f);
    put(f, "a", "one");
    /* As if it had died right after its commit. */
    assert_int_equal(rename(in_store(f, "a/1.jwe", from), in_store(f, "a/.1.jwe", to)), 0);
    expect(f, "a", "", "one");
    put(f, "a", "two");
    expect(f, "a", "1", "one");
    expect(f, "a", "", "two");
    assert_int_equal(access(from, F_OK), 0);
    /* As if it had died right before: nothing names the file. */
    copy_file(in_store(f, "a/2.jwe", from), in_store(f, "a/.3.jwe", to));
    expect(f, "a", "", "two");
    put(f, "a", "three");
    expect(f, "a", "3", "three");
}

/* -- What is refused --------------------------------------------------------------------------- */

static void an_older_index_is_refused(void **state)
{
    struct fixture *f = *state;
    char index[PATH_SIZE], copy[PATH_SIZE], old[PATH_SIZE], version[PATH_SIZE], away[PATH_SIZE];

    make_store(f);
    put(f, "a", "one");
    put(f, "other", "same");
    copy_file(in_store(f, ".index.jwe", index), in_store(f, "old", old));
    put(f, "a", "two");
    expect(f, "a", "", "two");
    copy_file(old, index);
    copy_file(old, in_store(f, ".index.copy.jwe", copy));
    /* Who saw the newer one, refuses all; */
    expect_failure(f, "a", "", HUSH_PROTOCOL, "put back");
    expect_failure(f, "other", "", HUSH_PROTOCOL, "put back");
    /* who did not, what can be seen: */
    open_provider(f);
    expect_failure(f, "a", "", HUSH_PROTOCOL, "an older index was put back");
    expect(f, "other", "", "same");
    /* and nobody writes over what is newer. */
    assert_int_equal(try_put(f, "a", "three"), HUSH_PROTOCOL);
    put(f, "other", "new");
    /* What only has the name of a newer version is nothing. */
    assert_int_equal(rename(in_store(f, "a/2.jwe", version), in_store(f, "away", away)), 0);
    write_file(version, "garbage", 7, 0600);
    expect(f, "a", "", "one");
    put(f, "a", "zwei");
    expect(f, "a", "", "zwei");
}

/* NOLINTBEGIN: the linker's names */
__typeof__(hush_sealed_load_version) __real_hush_sealed_load_version;
__typeof__(hush_sealed_load_version) __wrap_hush_sealed_load_version;
enum hush_status __wrap_hush_sealed_load_version(struct hush_op *op, const struct sealed_access *at,
                                                 const char *name,
                                                 const struct sealed_version *version,
                                                 struct hush_secret **out, size_t *which)
/* NOLINTEND */
{
    if (writer.commits > 0)
        put(writer.f, "a", writer.commits-- % 2 == 0 ? "even" : "odd");
    return __real_hush_sealed_load_version(op, at, name, version, out, which); /* NOLINT */
}

/* Somebody who writes all the time is waited for, as long as the reader has time. */
static void a_busy_writer_is_no_damage(void **state)
{
    const struct hush_ref ref = {.path = "a"};
    const struct hush_version none = {""};
    struct hush_value value = {0};
    struct fixture *f = *state;
    struct hush_op op;

    make_store(f);
    put(f, "a", "one");
    writer.f = f;
    writer.commits = 61;
    hush_op_init(&op, f->arena, 60000);
    assert_int_equal(f->provider->ops->fetch(f->provider, &op, &ref, &none, &value), HUSH_OK);
    assert_int_equal(writer.commits, 0);
    assert_memory_equal(hush_secret_bytes(value.secret), "odd", 3);
    hush_value_clear(&value);
    writer.commits = INT_MAX;
    hush_op_init(&op, f->arena, 200);
    assert_int_equal(f->provider->ops->fetch(f->provider, &op, &ref, &none, &value), HUSH_TIMEOUT);
    writer.commits = 0;
    put(f, "a", "last");
    expect(f, "a", "", "last");
}

static void a_removal_cannot_be_undone_by_an_older_index(void **state)
{
    struct fixture *f = *state;
    char index[PATH_SIZE], old[PATH_SIZE];

    make_store(f);
    put(f, "a", "one");
    copy_file(in_store(f, ".index.jwe", index), in_store(f, "old", old));
    put(f, "a", NULL);
    copy_file(old, index);
    open_provider(f);
    expect_failure(f, "a", "", HUSH_PROTOCOL, "an older index was put back");
}

/* The same name, version and key, but from another history of the store. */
static void another_file_of_the_same_version_is_refused(void **state)
{
    struct fixture *f = *state;
    char version[PATH_SIZE], old[PATH_SIZE], index[PATH_SIZE], old_index[PATH_SIZE];

    make_store(f);
    put(f, "x", "x");
    copy_file(in_store(f, ".index.jwe", index), in_store(f, "old-index", old_index));
    put(f, "a", "one");
    assert_int_equal(rename(in_store(f, "a/1.jwe", version), in_store(f, "old", old)), 0);
    copy_file(old_index, index);
    put(f, "a", "eins"); /* version 1 once more */
    open_provider(f);
    expect(f, "a", "", "eins");
    copy_file(old, version);
    expect_failure(f, "a", "", HUSH_PROTOCOL, "not the file that the index means");
}

static void a_damaged_index_has_a_copy(void **state)
{
    struct fixture *f = *state;
    char index[PATH_SIZE], copy[PATH_SIZE];

    make_store(f);
    put(f, "a", "one");
    put(f, "a", "two");
    write_file(in_store(f, ".index.jwe", index), "x", 1, 0600);
    expect(f, "a", "", "two");
    assert_int_equal(unlink(index), 0);
    expect(f, "a", "", "two");
    put(f, "a", "three"); /* and a writer makes a new one */
    expect(f, "a", "", "three");
    assert_int_equal(access(index, F_OK), 0);
    write_file(in_store(f, ".index.copy.jwe", copy), "x", 1, 0600);
    expect(f, "a", "", "three");
    write_file(index, "x", 1, 0600);
    open_provider(f);
    expect_failure(f, "a", "", HUSH_PROTOCOL, ".index.jwe");
}

/* -- Keys -------------------------------------------------------------------------------------- */

static void a_new_key_is_seen_at_once(void **state)
{
    static const struct sealed_rekey how = {0};
    struct fixture *f = *state;
    struct sealed_store *store;
    bool resumed = true;
    char old[PATH_SIZE], version[PATH_SIZE];

    make_store(f);
    put(f, "a", "one");
    put(f, "a", NULL);
    put(f, "b", "two");
    expect(f, "b", "", "two");
    copy_file(in_store(f, "b/1.jwe", version), in_store(f, "old", old));
    store = open_store(f);
    assert_int_equal(hush_sealed_rekey(store, &f->op, &how, &resumed), HUSH_OK);
    assert_false(resumed);
    hush_sealed_store_close(store);
    expect(f, "b", "", "two");
    expect(f, "a", "1", "one");
    copy_file(old, version); /* the same version, under the old key */
    expect_failure(f, "b", "", HUSH_PROTOCOL, "the key does not open it");
    put(f, "b", "three");
    expect(f, "b", "", "three");
}

static void a_key_may_come_later_and_must_be_private(void **state)
{
    struct fixture *f = *state;
    char away[PATH_SIZE];

    make_store(f);
    put(f, "a", "one");
    (void)snprintf(away, sizeof(away), "%s/away", f->dir);
    assert_int_equal(rename(f->key, away), 0);
    expect_failure(f, "a", "", HUSH_AUTH, f->key);
    assert_int_equal(rename(away, f->key), 0);
    expect(f, "a", "", "one");
    assert_int_equal(chmod(f->key, 0440), 0);
    expect(f, "a", "", "one");
    assert_int_equal(chmod(f->key, 0444), 0);
    expect_failure(f, "a", "", HUSH_CONFIG, "chmod 0400");
    assert_int_equal(chmod(f->key, 0420), 0);
    expect_failure(f, "a", "", HUSH_CONFIG, "chmod 0400");
    assert_int_equal(unlink(f->key), 0);
    write_file(f->key, "not a key\n", 10, 0400);
    expect_failure(f, "a", "", HUSH_CONFIG, "JSON");
}

static void a_passphrase_opens_a_store(void **state)
{
    struct fixture *f = *state;
    char path[PATH_SIZE], name[PATH_SIZE];

    write_file(f->passphrase, "some words that are long\n", 25, 0400);
    f->source.key_file = NULL;
    f->source.passphrase_file = f->passphrase;
    make_store(f);
    assert_int_equal(access(in_store(f, ".key.jwe", path), F_OK), 0);
    put(f, "a", "one");
    expect(f, "a", "", "one");
    write_file(f->passphrase, "some words that are wrong\n", 26, 0400);
    expect_failure(f, "a", "", HUSH_AUTH, "passphrase");
    write_file(f->passphrase, "some words that are long", 24, 0400); /* the newline is not of it */
    expect(f, "a", "", "one");
    (void)snprintf(name, sizeof(name), "%s/store2", f->dir);
    f->source.store = name;
    write_file(f->passphrase, "short", 5, 0400);
    hush_op_init(&f->op, f->arena, OP_MS);
    assert_int_equal(hush_sealed_create(&f->op, &f->source,
                                        &(struct sealed_create){.keep = 1, .owner = (uid_t)-1}),
                     HUSH_CONFIG);
}

static void a_key_may_be_a_credential(void **state)
{
    struct fixture *f = *state;
    struct sealed_reader reader;
    struct sealed_source source = {.store = f->store, .key_file = "key"};
    struct sealed_value value = {0};

    make_store(f);
    put(f, "a", "one");
    hush_sealed_reader_init(&reader, &source);
    hush_op_init(&f->op, f->arena, OP_MS);
    assert_int_equal(hush_sealed_reader_get(&reader, &f->op, "a", 0, 0, &value), HUSH_AUTH);
    assert_non_null(strstr(f->op.detail, "CREDENTIALS_DIRECTORY"));
    hush_sealed_reader_done(&reader);
    source.credentials = f->dir;
    hush_sealed_reader_init(&reader, &source);
    assert_int_equal(hush_sealed_reader_get(&reader, &f->op, "a", 0, 0, &value), HUSH_OK);
    hush_secret_unref(value.secret);
    hush_sealed_reader_done(&reader);
}

static void there_is_one_writer(void **state)
{
    struct fixture *f = *state;
    struct sealed_store *store, *second = NULL;

    make_store(f);
    store = open_store(f);
    hush_op_init(&f->op, f->arena, 50);
    assert_int_equal(hush_sealed_store_open(&f->op, &f->source, &second), HUSH_TIMEOUT);
    assert_non_null(strstr(f->op.detail, "another writer"));
    hush_sealed_store_close(store);
    hush_sealed_store_close(open_store(f));
}

static void nothing_is_made_over_what_is_there(void **state)
{
    const struct sealed_create how = {.keep = 1, .owner = (uid_t)-1, .group = (gid_t)-1};
    struct fixture *f = *state;
    struct stat st;

    make_store(f);
    put(f, "a", "one");
    assert_int_equal(stat(f->store, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(stat(f->key, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0400);
    assert_int_equal(hush_sealed_create(&f->op, &f->source, &how), HUSH_UNSUPPORTED);
    assert_non_null(strstr(f->op.detail, f->key));
    assert_int_equal(unlink(f->key), 0);
    assert_int_equal(hush_sealed_create(&f->op, &f->source, &how), HUSH_UNSUPPORTED);
    assert_non_null(strstr(f->op.detail, f->store));
    assert_int_not_equal(access(f->key, F_OK), 0);
}

/* -- Watching, memory -------------------------------------------------------------------------- */

struct watcher {
    struct fixture *f;
    struct hush_op op;
    pthread_t thread;
    pthread_mutex_t lock;
    char seen[1024];
};

static void watcher_changed(void *ctx, const char *path)
{
    struct watcher *w = ctx;

    hush_lock_scope(&w->lock);
    (void)snprintf(w->seen + strlen(w->seen), sizeof(w->seen) - strlen(w->seen), "[%s]", path);
}

static void *watcher_run(void *ctx)
{
    struct watcher *w = ctx;

    (void)w->f->provider->ops->watch(w->f->provider, &w->op, watcher_changed, w);
    return NULL;
}

/* What was reported meanwhile, in its order. */
static void watcher_expect(struct watcher *w, const char *reports)
{
    bool same = false;

    for (int i = 0; i < 300 && !same; i++) {
        sleep_ms(10);
        hush_lock_scope(&w->lock);
        same = strcmp(w->seen, reports) == 0;
    }
    if (!same)
        fail_msg("reported %s, not %s", w->seen, reports);
    hush_lock_scope(&w->lock);
    w->seen[0] = '\0';
}

static void changes_are_reported_by_name(void **state)
{
    struct fixture *f = *state;
    struct watcher w = {.f = f, .lock = PTHREAD_MUTEX_INITIALIZER};
    char path[PATH_SIZE], away[PATH_SIZE];

    make_store(f);
    put(f, "a", "one");
    hush_op_init(&w.op, f->arena, 0);
    assert_int_equal(pthread_create(&w.thread, NULL, watcher_run, &w), 0);
    watcher_expect(&w, "[]");
    put(f, "a", "two");
    watcher_expect(&w, "[a]");
    put(f, "b/c/d", "x"); /* its folders came, too */
    watcher_expect(&w, "[b/c/d][b/c][b]");
    put(f, "b/c/d", "y");
    watcher_expect(&w, "[b/c/d]");
    put(f, "a", NULL);
    watcher_expect(&w, "[a]");
    (void)snprintf(away, sizeof(away), "%s/away", f->dir);
    (void)snprintf(path, sizeof(path), "%s", f->store);
    assert_int_equal(rename(path, away), 0);
    watcher_expect(&w, "[]"); /* no store */
    assert_int_equal(rename(away, path), 0);
    watcher_expect(&w, "[]");
    hush_op_cancel(&w.op);
    assert_int_equal(pthread_join(w.thread, NULL), 0);
}

static unsigned char needle(size_t position)
{
    return (unsigned char)('a' + (position * 11 + position / 26 + (position * position) % 7) % 26);
}

static void nothing_stays_in_memory(void **state)
{
    struct fixture *f = *state;
    struct hush_value value = {0};
    char text[NEEDLE_SIZE + 1];

    if (!memscan_works())
        skip();
    make_store(f);
    for (size_t i = 0; i < NEEDLE_SIZE; i++)
        text[i] = (char)needle(i);
    text[NEEDLE_SIZE] = '\0';
    assert_true(memscan_count(needle, NEEDLE_SIZE) > 0);
    put(f, "a", text);
    hush_wipe(text, sizeof(text));
    assert_int_equal(memscan_count(needle, NEEDLE_SIZE), 0);
    assert_int_equal(fetch(f, "a", "", "", &value), HUSH_OK);
    assert_int_equal(memscan_count(needle, NEEDLE_SIZE),
                     NEEDLE_SIZE / MEMSCAN_PIECE); /* there alone */
    hush_value_clear(&value);
    assert_int_equal(memscan_count(needle, NEEDLE_SIZE), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(versions_come_and_go),
        TEST(a_number_never_comes_again),
        TEST(a_commit_is_all_or_nothing),
        TEST(what_a_dead_writer_left_is_finished),
        TEST(an_older_index_is_refused),
        TEST(a_busy_writer_is_no_damage),
        TEST(a_removal_cannot_be_undone_by_an_older_index),
        TEST(another_file_of_the_same_version_is_refused),
        TEST(a_damaged_index_has_a_copy),
        TEST(a_new_key_is_seen_at_once),
        TEST(a_key_may_come_later_and_must_be_private),
        TEST(a_passphrase_opens_a_store),
        TEST(a_key_may_be_a_credential),
        TEST(there_is_one_writer),
        TEST(nothing_is_made_over_what_is_there),
        TEST(changes_are_reported_by_name),
        TEST(nothing_stays_in_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
