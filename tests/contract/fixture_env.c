/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fixture_env.c - the env provider over an environment made for the purpose. It cannot be changed
 * afterwards, so there is no put().
 */
#include "contract.h"

#include "core/environ.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ENV_LIST_MAX = 16 };

struct env_list {
    char *entries[ENV_LIST_MAX + 1];
    size_t count;
};

static void env_add(struct env_list *list, const char *name, const void *bytes, size_t size)
{
    const size_t name_size = strlen(name);
    char *entry = malloc(name_size + 1 + size + 1);

    assert_non_null(entry);
    assert_true(list->count < ENV_LIST_MAX);
    memcpy(entry, name, name_size);
    entry[name_size] = '=';
    memcpy(entry + name_size + 1, bytes, size);
    entry[name_size + 1 + size] = '\0';
    list->entries[list->count++] = entry;
}

static void env_add_seed(void *ctx, const char *name, const struct contract_seed *seed)
{
    char variable[64];

    (void)snprintf(variable, sizeof(variable), "CONTRACT_%s", name);
    for (char *c = variable; *c != '\0'; c++) {
        if (*c == '-')
            *c = '_';
        else if (*c >= 'a' && *c <= 'z')
            *c = (char)(*c - 'a' + 'A');
    }
    env_add(ctx, variable, seed->bytes, seed->size);
}

static void env_set_up(struct contract *c)
{
    struct env_list list = {0};
    char *entries[ENV_LIST_MAX]; /* capturing takes them out of the list */
    char **saved = environ;
    int fd;

    contract_seeds(c->fixture, env_add_seed, &list);
    env_add(&list, "CONTRACT_ALPHA_PREVIOUS", "old value", 9);
    env_add(&list, "OTHER_VARIABLE", "not below the prefix", 20);
    memcpy(entries, list.entries, sizeof(entries));
    environ = list.entries;
    fd = hush_environ_capture();
    environ = saved;
    for (size_t i = 0; i < list.count; i++)
        free(entries[i]);
    assert_true(fd >= 0);
    c->env = hush_environ_map(fd);
    assert_non_null(c->env);
    close(fd);
}

static void env_configure(struct contract *c, struct hush_provider *provider)
{
    (void)c;
    contract_set(provider, "prefix", "contract-");
}

static void env_spoil(struct contract *c, struct hush_provider *provider, bool spoilt)
{
    (void)c;
    contract_set(provider, "prefix", spoilt ? "1" : "contract-");
}

static void env_tear_down(struct contract *c)
{
    (void)c;
}

const struct contract_fixture contract_env = {
    .type = "env",
    .odd_name = "odd.name: %#\x01\xff",
    .set_up = env_set_up,
    .configure = env_configure,
    .tear_down = env_tear_down,
    .spoil = env_spoil,
};
