/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry.c - the providers that are built in; the configuration looks types up here. Adding a
 * provider is adding one line to HUSH_PROVIDER_LIST and one directory. Test programs link a second
 * build of this file that also knows the scriptable provider of tests/providers.
 */
#include "call.h"

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
