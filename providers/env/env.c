/* SPDX-License-Identifier: Apache-2.0 */
/*
 * env.c - secrets from the environment that the program was started with, taken into locked memory
 * before anything else could read it (core/environ.h). A resource name becomes a variable's name as
 * in Kong's env vault: the prefix and the name joined, '-' as '_', upper case. Version 2, or
 * `previous`, is the variable NAME_PREVIOUS. The environment never changes while a mount lives.
 */
#include "core/cleanup.h"
#include "provider.h"

#include <stdio.h>
#include <string.h>

#define ENV_PREVIOUS "_PREVIOUS"

struct env_provider {
    struct hush_provider base;
    char *prefix;
};

static const struct hush_option env_options[] = {
    HUSH_OPTION(struct env_provider, prefix, STRING, "",
                "what the names of the variables begin with, left out of the names shown"),
    {0},
};

static const char *env_prefix(const struct env_provider *env)
{
    return env->prefix != NULL ? env->prefix : "";
}

/* Resource and variable, letter by letter: the C locale's, whatever the process's is. */
#define ENV_LOWER "abcdefghijklmnopqrstuvwxyz"
#define ENV_UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

static const char env_shown[] = ENV_LOWER "-", env_set[] = ENV_UPPER "_";

static void env_translate(char *name, const char *from, const char *to)
{
    for (; *name != '\0'; name++) {
        const char *at = strchr(from, *name);

        if (at != NULL)
            *name = to[at - from];
    }
}

/* The variable that holds a resource, or its previous value. NULL: no memory. */
static char *env_variable(const struct env_provider *env, const char *resource, bool previous)
{
    char *name;

    if (asprintf(&name, "%s%s", env_prefix(env), resource) < 0)
        return NULL;
    env_translate(name, env_shown, env_set);
    if (previous) {
        cleanup_free char *current = name;

        if (asprintf(&name, "%s" ENV_PREVIOUS, current) < 0)
            return NULL;
    }
    return name;
}

/* ^[A-Za-z_][A-Za-z0-9_-]*$, as Kong has it. */
static bool env_prefix_is_valid(const char *prefix)
{
    static const char first[] = ENV_LOWER ENV_UPPER "_";
    static const char rest[] = ENV_LOWER ENV_UPPER "_0123456789-";

    return strspn(prefix, first) > 0 && prefix[strspn(prefix, rest)] == '\0';
}

static enum hush_status env_open(struct hush_provider *self, struct hush_op *op)
{
    const struct env_provider *env = HUSH_PROVIDER(struct env_provider, self);

    if (env->prefix != NULL && !env_prefix_is_valid(env->prefix))
        return hush_fail(op, HUSH_CONFIG,
                         "prefix '%s' must be letters, digits, '_' and '-', and not begin with a "
                         "digit or '-'",
                         env->prefix);
    return HUSH_OK;
}

static void env_close(struct hush_provider *self)
{
    (void)self; /* holds nothing */
}

/* The core's deadlines are for backends that block; here only a call that came too late counts. */
static enum hush_status env_check_op(struct hush_op *op)
{
    if (hush_op_canceled(op))
        return hush_fail(op, HUSH_CANCELED, "canceled");
    if (hush_op_left_ms(op) == 0)
        return hush_fail(op, HUSH_TIMEOUT, "deadline passed");
    return HUSH_OK;
}

static const char *env_get(const struct env_provider *env, const char *name)
{
    return env->base.env != NULL ? hush_environ_get(env->base.env, name) : NULL;
}

/* False: there is no such version of any secret here. */
static bool env_parse_version(const char *text, bool *previous)
{
    static const struct {
        const char *text;
        bool previous;
    } versions[] = {
        {"", false},
        {"1", false},
        {"2", true},
        {"previous", true},
    };

    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        if (strcmp(versions[i].text, text) == 0) {
            *previous = versions[i].previous;
            return true;
        }
    }
    return false;
}

static enum hush_status env_not_set(const struct env_provider *env, struct hush_op *op,
                                    const char *name)
{
    if (env->prefix != NULL)
        return hush_fail(op, HUSH_NOT_FOUND,
                         "environment variable '%s' was not set when this was started (prefix '%s' "
                         "is put before the name)",
                         name, env->prefix);
    return hush_fail(op, HUSH_NOT_FOUND,
                     "environment variable '%s' was not set when this was started", name);
}

/* Is it NAME_PREVIOUS of a NAME that is shown? Then it is version 2 of that. */
static bool env_is_previous(const struct env_provider *env, const char *name)
{
    const size_t size = strlen(name), tail = strlen(ENV_PREVIOUS);
    cleanup_free char *current = NULL;

    if (size <= tail + strlen(env_prefix(env)) || strcmp(name + size - tail, ENV_PREVIOUS) != 0)
        return false;
    current = strndup(name, size - tail);
    return current != NULL && env_get(env, current) != NULL;
}

/* Is resource how a listing has the variable, and the one way to it? */
static bool env_is_listed(const struct env_provider *env, const char *resource, const char *name,
                          bool previous)
{
    return strpbrk(resource, env_set) == NULL && env_is_previous(env, name) == previous;
}

static enum hush_status env_fetch(struct hush_provider *self, struct hush_op *op,
                                  const struct hush_ref *ref, const struct hush_version *if_not,
                                  struct hush_value *out)
{
    const struct env_provider *env = HUSH_PROVIDER(struct env_provider, self);
    enum hush_status status = env_check_op(op);
    cleanup_free char *name = NULL;
    struct hush_value value = {0};
    bool previous = false;
    const char *text;

    (void)if_not; /* no HUSH_HAS_UNCHANGED: "1" is also the next mount's version */
    if (status != HUSH_OK)
        return status;
    if (ref->path[0] == '\0')
        return hush_fail(op, HUSH_NOT_FOUND, "a variable needs a name");
    if (!env_parse_version(ref->version.text, &previous))
        return hush_fail(op, HUSH_NOT_FOUND, "a variable has the versions 1 and 2 (previous) only");
    name = env_variable(env, ref->path, previous);
    if (name == NULL)
        return hush_fail(op, HUSH_NO_MEMORY, "no memory for a name");
    text = env_get(env, name);
    if (text == NULL)
        return env_not_set(env, op, name);
    if (self->exact_names && !env_is_listed(env, ref->path, name, previous))
        return hush_fail(op, HUSH_NOT_FOUND,
                         "environment variable '%s' is not shown by this name but by the one that "
                         "is listed: lower case, '-' for '_', and #2 for _PREVIOUS",
                         name);
    status = hush_secret_new(op, text, strlen(text), &value.secret);
    if (status != HUSH_OK)
        return status;
    value.meta.version.text[0] = previous ? '2' : '1';
    *out = value;
    return HUSH_OK;
}

struct env_listing {
    const struct env_provider *env;
    hush_emit_fn *emit;
    void *ctx;
};

/* The name to show for a variable, or NULL: asking for it would not find that variable again. */
static char *env_resource(const struct env_provider *env, const char *name)
{
    const size_t skip = strlen(env_prefix(env));
    cleanup_free char *resource = NULL, *again = NULL;

    if (strlen(name) <= skip || strchr(name, '/') != NULL)
        return NULL;
    resource = strdup(name + skip);
    if (resource == NULL)
        return NULL;
    env_translate(resource, env_set, env_shown);
    again = env_variable(env, resource, false);
    if (again == NULL || strcmp(again, name) != 0)
        return NULL;
    return hush_steal(&resource);
}

/* Returns an enum hush_status. */
static int env_list_one(void *ctx, const char *name, const char *value)
{
    const struct env_listing *listing = ctx;
    cleanup_free char *resource = env_resource(listing->env, name);

    (void)value; /* listing never reads values */
    if (resource == NULL || env_is_previous(listing->env, name))
        return HUSH_OK;
    return (int)listing->emit(listing->ctx,
                              &(struct hush_entry){.name = resource, .kind = HUSH_KIND_SECRET});
}

static enum hush_status env_list(struct hush_provider *self, struct hush_op *op, const char *prefix,
                                 hush_emit_fn *emit, void *ctx)
{
    struct env_listing listing = {
        .env = HUSH_PROVIDER(struct env_provider, self), .emit = emit, .ctx = ctx};
    enum hush_status status = env_check_op(op);

    if (status != HUSH_OK)
        return status;
    if (prefix[0] != '\0')
        return hush_fail(op, HUSH_NOT_FOUND, "the environment has no folder '%s'", prefix);
    if (self->env == NULL)
        return HUSH_OK;
    return (enum hush_status)hush_environ_each(self->env, env_list_one, &listing);
}

static enum hush_status env_versions(struct hush_provider *self, struct hush_op *op,
                                     const char *path, hush_emit_fn *emit, void *ctx)
{
    static const char *const versions[] = {"1", "2"};
    const struct env_provider *env = HUSH_PROVIDER(struct env_provider, self);
    enum hush_status status = env_check_op(op);

    for (size_t i = 0; i < 2 && status == HUSH_OK; i++) {
        const struct hush_entry entry = {.name = versions[i], .kind = HUSH_KIND_SECRET};
        cleanup_free char *name = env_variable(env, path, i == 1);

        if (name == NULL)
            return hush_fail(op, HUSH_NO_MEMORY, "no memory for a name");
        if (env_get(env, name) != NULL)
            status = emit(ctx, &entry);
        else if (i == 0)
            return env_not_set(env, op, name);
    }
    return status;
}

const struct hush_provider_ops hush_provider_env = {
    .name = "env",
    .summary = "variables of the environment that the mount was started with",
    .flags = HUSH_HAS_VERSIONS | HUSH_IS_LOCAL,
    .size = sizeof(struct env_provider),
    .options = env_options,
    .open = env_open,
    .close = env_close,
    .fetch = env_fetch,
    .list = env_list,
    .versions = env_versions,
};
