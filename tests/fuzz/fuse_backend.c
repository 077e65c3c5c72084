/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse_backend.c - the provider `test` of the fuzz target of FUSE messages: its answers are what
 * the input has said last.
 */
#include "fuzz_fuse.h"

#include "json.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static struct script now; // NOLINT: an input's, reset before each
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void backend_set(const struct script *script)
{
    bool hold;

    pthread_mutex_lock(&lock);
    hold = now.hold;
    now = *script;
    now.hold = hold;
    pthread_mutex_unlock(&lock);
}

void backend_hold(bool hold)
{
    pthread_mutex_lock(&lock);
    now.hold = hold;
    pthread_mutex_unlock(&lock);
}

/* The clock stands still, so that the deadline is the input's matter, too. */
static enum hush_status backend_begin(struct hush_op *op, struct script *script)
{
    for (;;) {
        pthread_mutex_lock(&lock);
        *script = now;
        pthread_mutex_unlock(&lock);
        if (hush_op_canceled(op))
            return hush_fail(op, HUSH_CANCELED, "canceled");
        if (hush_op_left_ms(op) == 0)
            return hush_fail(op, HUSH_TIMEOUT, "deadline passed");
        if (!script->hold)
            break;
        (void)nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    return script->status != HUSH_OK ? hush_fail(op, script->status, "scripted") : HUSH_OK;
}

static enum hush_status backend_value(struct hush_op *op, const struct script *script,
                                      struct hush_value *value)
{
    static char big[20000];
    char text[128];
    int n = snprintf(text, sizeof(text), "{\"user\":\"u%u\",\"port\":%u,\"a/b\":1,\"\":2}",
                     script->version, script->version);

    (void)snprintf(value->meta.version.text, sizeof(value->meta.version.text), "%u",
                   script->version);
    value->meta.ttl_ms = (script->shape & 4) != 0 ? 500 : 0;
    if ((script->shape & 3) == 3)
        return hush_secret_new(op, big, sizeof(big), &value->secret);
    if ((script->shape & 3) == 2)
        n = snprintf(text, sizeof(text), "no map %u", script->version);
    return hush_secret_new(op, text, (size_t)n, &value->secret);
}

static enum hush_status backend_fetch(struct hush_provider *self, struct hush_op *op,
                                      const struct hush_ref *ref, const struct hush_version *if_not,
                                      struct hush_value *out)
{
    struct hush_value value = {0};
    struct script script;
    enum hush_status status = backend_begin(op, &script);

    (void)self;
    if (status == HUSH_OK && ref->path[0] == 'n')
        status = hush_fail(op, HUSH_NOT_FOUND, "no such secret");
    if (status == HUSH_OK && ref->version.text[0] != '\0' && ref->version.text[0] != '1')
        status = hush_fail(op, HUSH_NOT_FOUND, "no such version");
    if (status == HUSH_OK)
        status = backend_value(op, &script, &value);
    if (status == HUSH_OK && strcmp(value.meta.version.text, if_not->text) == 0) {
        value.secret = hush_secret_unref(value.secret);
        value.unchanged = true;
    }
    if (status == HUSH_OK && !value.unchanged && (script.shape & 3) == 1)
        status = hush_json_fields(op, value.secret, &value);
    if (status == HUSH_OK)
        *out = value;
    else
        hush_value_clear(&value);
    return status;
}

static enum hush_status backend_list(struct hush_provider *self, struct hush_op *op,
                                     const char *prefix, hush_emit_fn *emit, void *ctx)
{
    struct hush_entry entries[] = {{"a", HUSH_KIND_SECRET},        {"b", HUSH_KIND_SECRET},
                                   {"b", HUSH_KIND_FOLDER},        {"n", HUSH_KIND_FOLDER},
                                   {"\x01\xff", HUSH_KIND_SECRET}, {".", HUSH_KIND_FOLDER}};
    struct script script;
    enum hush_status status = backend_begin(op, &script);

    (void)self;
    (void)prefix;
    for (size_t i = script.version % 3;
         i < sizeof(entries) / sizeof(entries[0]) && status == HUSH_OK; i++)
        status = emit(ctx, &entries[i]);
    return status;
}

static enum hush_status backend_open(struct hush_provider *self, struct hush_op *op)
{
    (void)self;
    (void)op;
    return HUSH_OK;
}

static void backend_close(struct hush_provider *self)
{
    (void)self;
}

static const struct hush_option backend_options[] = {{0}};

extern const struct hush_provider_ops hush_provider_test;
const struct hush_provider_ops hush_provider_test = {
    .name = "test",
    .summary = "what the fuzzer says",
    .flags = HUSH_HAS_VERSIONS | HUSH_HAS_UNCHANGED | HUSH_IS_LOCAL,
    .size = sizeof(struct hush_provider),
    .options = backend_options,
    .open = backend_open,
    .close = backend_close,
    .fetch = backend_fetch,
    .list = backend_list,
};
