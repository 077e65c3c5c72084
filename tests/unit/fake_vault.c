/* SPDX-License-Identifier: Apache-2.0 */
/* fake_vault.c - see fake_vault.h. */
#include "fake_vault.h"

#include "core/cleanup.h"
#include "core/clock.h"
#include "core/text.h"
#include "core/wipealloc.h"
#include "json.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

char role_id[] = "role-1";

/* -- The clock --------------------------------------------------------------------------------- */

static atomic_uint_fast64_t fake_now_ns;
static struct vault_token *fake_sleepers; /* the fixture's */

static uint64_t now_ns(void)
{
    return atomic_load(&fake_now_ns);
}

static time_t wall_s(void)
{
    return (time_t)(1000000 + now_ns() / HUSH_NS_PER_S);
}

/* Who sleeps until a time of this clock cannot know that it came. */
void fake_clock_forward(unsigned ms)
{
    atomic_fetch_add(&fake_now_ns, ms * (uint64_t)HUSH_NS_PER_MS);
    hush_lock_scope(&fake_sleepers->lock);
    pthread_cond_broadcast(&fake_sleepers->changed);
}

static void sleep_ms(long ms)
{
    const struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * HUSH_NS_PER_MS};

    (void)nanosleep(&ts, NULL);
}

void settle(void)
{
    sleep_ms(150);
}

bool eventually(bool (*fn)(void *ctx), void *ctx)
{
    for (int i = 0; i < 500; i++) {
        if (fn(ctx))
            return true;
        sleep_ms(10);
    }
    return false;
}

/* -- The server -------------------------------------------------------------------------------- */

static pthread_mutex_t fake_lock = PTHREAD_MUTEX_INITIALIZER;
static struct fake_route fake_routes[FAKE_ROUTES];

struct fake_route *fake_route(const char *what)
{
    for (size_t i = 0; i < FAKE_ROUTES && fake_routes[i].what != NULL; i++)
        if (strcmp(fake_routes[i].what, what) == 0)
            return &fake_routes[i];
    return NULL;
}

void fake_answer(const char *what, int code, const char *body)
{
    struct fake_route *route;

    hush_lock_scope(&fake_lock);
    route = fake_route(what);
    for (size_t i = 0; route == NULL && i < FAKE_ROUTES; i++)
        if (fake_routes[i].what == NULL)
            route = &fake_routes[i];
    if (route == NULL)
        abort(); /* FAKE_ROUTES are too few */
    route->what = what;
    route->code = code;
    route->body = body;
    route->status = HUSH_OK;
}

unsigned fake_calls(const char *what)
{
    hush_lock_scope(&fake_lock);
    return fake_route(what) == NULL ? 0 : fake_route(what)->calls;
}

void fake_reset(void)
{
    hush_lock_scope(&fake_lock);
    memset(fake_routes, 0, sizeof(fake_routes));
}

static void fake_body(const struct fake_route *route, struct hush_http_answer *out)
{
    struct hush_text text;

    hush_text_init(&text, 4096);
    for (const char *c = route->body; *c != '\0'; c++) {
        if (*c == '#')
            hush_text_printf(&text, "%u", route->calls);
        else
            hush_text_append(&text, c, 1);
    }
    out->code = route->code;
    out->body = hush_wipe_strdup(hush_text_string(&text));
    out->size = text.size;
    hush_text_done(&text);
}

/* A request that no test expects ends the program: this may be any thread. */
static struct fake_route *fake_find(const struct vault_request *request)
{
    char what[160];
    struct fake_route *route;

    (void)snprintf(what, sizeof(what), "%s %s", request->method, request->path);
    route = fake_route(what);
    if (route == NULL)
        (void)fprintf(stderr, "nobody expects %s\n", what);
    CHECK(route != NULL);
    return route;
}

enum hush_status vault_send(struct vault *v, struct hush_op *op,
                            const struct vault_request *request, struct hush_http_answer *out)
{
    const struct hush_secret *token = request->token;
    struct fake_route *route;
    unsigned delay_ms;

    (void)v;
    pthread_mutex_lock(&fake_lock);
    route = fake_find(request);
    route->calls++;
    (void)snprintf(route->sent, sizeof(route->sent), "%.*s", (int)request->body_size,
                   request->body == NULL ? "" : (const char *)request->body);
    (void)snprintf(route->token, sizeof(route->token), "%.*s",
                   token == NULL ? 0 : (int)hush_secret_size(token),
                   token == NULL ? "" : (const char *)hush_secret_bytes(token));
    delay_ms = route->delay_ms;
    pthread_mutex_unlock(&fake_lock);
    for (unsigned ms = 0; ms < delay_ms && !hush_op_canceled(op); ms += 10)
        sleep_ms(10);
    hush_lock_scope(&fake_lock);
    if (hush_op_canceled(op))
        return hush_fail(op, HUSH_CANCELED, "canceled");
    if (route->status != HUSH_OK)
        return hush_fail(op, route->status, "fake outage");
    fake_body(route, out);
    return HUSH_OK;
}

enum hush_status vault_status(struct hush_op *op, const struct vault_request *request,
                              const struct hush_http_answer *answer)
{
    /* clang-format off */
    static const struct { int code; enum hush_status status; } rows[] = {
        {307, HUSH_UNAVAILABLE}, {400, HUSH_BACKEND}, {403, HUSH_DENIED}, {404, HUSH_NOT_FOUND},
        {405, HUSH_UNSUPPORTED}, {413, HUSH_CONFIG}, {429, HUSH_THROTTLED}, {500, HUSH_NOT_FOUND},
        {503, HUSH_UNAVAILABLE},
    };
    /* clang-format on */
    enum hush_status status = HUSH_STATUS_COUNT;

    for (size_t i = 0; i < COUNT(rows); i++)
        if (rows[i].code == answer->code)
            status = rows[i].status;
    CHECK(status != HUSH_STATUS_COUNT);
    return hush_fail(op, status, "%s: code %d", request->path, answer->code);
}

bool vault_is_bad_token(const struct hush_http_answer *answer)
{
    return answer->code == 403 && strcmp(answer->body, BAD) == 0;
}

/* -- The stash --------------------------------------------------------------------------------- */

static size_t stash_find(const struct fake_stash *stash, const char *name)
{
    size_t i = 0;

    while (i < FAKE_STASH && (stash->secrets[i] == NULL || strcmp(stash->names[i], name) != 0))
        i++;
    return i;
}

static enum hush_status stash_put(struct hush_stash *self, struct hush_op *op, const char *instance,
                                  const char *name, struct hush_secret *secret)
{
    struct fake_stash *stash = (struct fake_stash *)(void *)self;
    size_t i = stash_find(stash, name);

    (void)op;
    CHECK(strcmp(instance, "prod") == 0);
    CHECK(name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-")] == '\0');
    CHECK(strlen(name) <= HUSH_STASH_NAME_MAX);
    if (i == FAKE_STASH && secret == NULL)
        return HUSH_OK;
    for (size_t j = 0; i == FAKE_STASH && j < FAKE_STASH; j++)
        if (stash->secrets[j] == NULL)
            i = j;
    CHECK(i < FAKE_STASH);
    hush_secret_unref(stash->secrets[i]);
    (void)snprintf(stash->names[i], sizeof(stash->names[i]), "%s", name);
    stash->secrets[i] = hush_secret_ref(secret);
    return HUSH_OK;
}

static struct hush_secret *stash_get(struct hush_stash *self, const char *instance,
                                     const char *name)
{
    struct fake_stash *stash = (struct fake_stash *)(void *)self;
    const size_t i = stash_find(stash, name);

    CHECK(strcmp(instance, "prod") == 0);
    return i < FAKE_STASH ? hush_secret_ref(stash->secrets[i]) : NULL;
}

/* -- The instance ------------------------------------------------------------------------------ */

void fixture_write(const char *path, const char *content)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), strlen(content));
    assert_int_equal(close(fd), 0);
}

void fixture_restart(struct fixture *f)
{
    if (f->v.base.instance != NULL)
        vault_token_done(&f->v);
    memset(&f->v.token, 0, sizeof(f->v.token));
    f->v.base.instance = "prod";
    f->v.base.stash = &f->stash.base;
    f->v.base.env = f->env;
    assert_int_equal(vault_token_init(&f->v, &f->op), HUSH_OK);
}

int set_up(void **state)
{
    static char base_url[] = "https://vault.example:8200", approle[] = "approle";
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    hush_json_init();
    fake_reset();
    atomic_store(&fake_now_ns, 1000 * HUSH_NS_PER_S);
    hush_clock_inject(now_ns, wall_s);
    f->arena = hush_arena_new(1 << 20);
    assert_non_null(f->arena);
    hush_op_init(&f->op, f->arena, 0);
    f->stash.base = (struct hush_stash){.put = stash_put, .get = stash_get};
    (void)snprintf(f->directory, sizeof(f->directory), "/tmp/hush-vault-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    (void)snprintf(f->file, sizeof(f->file), "%s/file", f->directory);
    (void)snprintf(f->key, sizeof(f->key), "%s/key", f->directory);
    fixture_write(f->file, "secret-1\n");
    fake_sleepers = &f->v.token;
    f->v.base_url = base_url;
    f->v.auth_method = VAULT_AUTH_APPROLE;
    f->v.approle_auth_path = approle;
    f->v.approle_role_id = role_id;
    f->v.approle_secret_id_file = f->file;
    fixture_restart(f);
    *state = f;
    return 0;
}

int tear_down(void **state)
{
    struct fixture *f = *state;

    fixture_unwatch(f);
    vault_token_done(&f->v);
    for (size_t i = 0; i < FAKE_STASH; i++)
        hush_secret_unref(f->stash.secrets[i]);
    assert_int_equal(hush_arena_usage(f->arena).blocks, 0); /* every secret went */
    hush_arena_free(f->arena);
    hush_environ_free(f->env);
    (void)unlink(f->file);
    (void)unlink(f->key);
    (void)rmdir(f->directory);
    hush_clock_inject(NULL, NULL);
    free(f);
    return 0;
}

static void changed(void *ctx, const char *path)
{
    struct fixture *f = ctx;

    CHECK(path[0] == '\0');
    atomic_fetch_add(&f->changes, 1);
}

static void *watch(void *ctx)
{
    struct fixture *f = ctx;

    CHECK(vault_token_watch(&f->v, &f->watch_op, changed, f) == HUSH_CANCELED);
    return NULL;
}

void fixture_watch(struct fixture *f)
{
    hush_op_init(&f->watch_op, f->arena, 0);
    assert_int_equal(pthread_create(&f->watcher, NULL, watch, f), 0);
    f->watching = true;
    settle(); /* it has seen the generation */
}

void fixture_unwatch(struct fixture *f)
{
    if (!f->watching)
        return;
    hush_op_cancel(&f->watch_op);
    assert_int_equal(pthread_join(f->watcher, NULL), 0);
    f->watching = false;
}

void expect_token(struct fixture *f, const char *token, uint32_t generation)
{
    struct hush_secret *secret = NULL;
    uint32_t number = 0;

    assert_int_equal(vault_token_get(&f->v, &f->op, &secret, &number), HUSH_OK);
    assert_int_equal(hush_secret_size(secret), strlen(token));
    assert_memory_equal(hush_secret_bytes(secret), token, strlen(token));
    assert_int_equal(number, generation);
    hush_secret_unref(secret);
}

enum hush_status get_status(struct fixture *f)
{
    struct hush_secret *secret = NULL;
    uint32_t generation;
    enum hush_status status;

    f->op.detail[0] = '\0';
    f->op.retry_after_ms = 0;
    status = vault_token_get(&f->v, &f->op, &secret, &generation);
    hush_secret_unref(secret);
    return status;
}
