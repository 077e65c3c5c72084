/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry.c - the providers that are built in, and the life of an instance. The configuration
 * looks types up here, the worker and `hushfs get` make instances. Adding a provider is adding one
 * line to HUSH_PROVIDER_LIST and one directory. Test programs link a second build of this file that
 * also knows the scriptable provider of tests/providers.
 */
#include "provider.h"

#include <stdlib.h>
#include <string.h>

#ifdef HUSH_TEST_PROVIDER
#define TEST_PROVIDER(X) X(test)
#else
#define TEST_PROVIDER(X)
#endif

/* Sorted by name, "test" too. */
#define HUSH_PROVIDER_LIST(X)                                                                      \
    X(env)                                                                                         \
    X(file)                                                                                        \
    X(sealed)                                                                                      \
    TEST_PROVIDER(X)                                                                               \
    X(vault)

#define X(name) extern const struct hush_provider_ops hush_provider_##name;
HUSH_PROVIDER_LIST(X)
#undef X

const struct hush_provider_ops *const hush_providers[] = {
#define X(name) &hush_provider_##name,
    HUSH_PROVIDER_LIST(X)
#undef X
        NULL,
};

const struct hush_provider_ops *hush_provider_find(const char *type)
{
    for (size_t i = 0; hush_providers[i] != NULL; i++)
        if (strcmp(hush_providers[i]->name, type) == 0)
            return hush_providers[i];
    return NULL;
}

struct hush_provider *hush_provider_new(const struct hush_provider_ops *ops, const char *instance,
                                        const struct hush_environ *env)
{
    struct hush_provider *self = calloc(1, ops->size);

    if (self == NULL)
        return NULL;
    self->ops = ops;
    self->instance = instance;
    self->env = env;
    self->flags = ops->flags;
    if (!hush_options_init(ops->options, self)) {
        hush_provider_free(self);
        return NULL;
    }
    return self;
}

enum hush_status hush_provider_open(struct hush_provider *self, struct hush_op *op)
{
    self->opened = true; /* also if it fails: close() releases what open() got as far as */
    return self->ops->open(self, op);
}

void hush_provider_free(struct hush_provider *self)
{
    if (self == NULL)
        return;
    if (self->opened)
        self->ops->close(self);
    hush_options_free(self->ops->options, self);
    free(self);
}
