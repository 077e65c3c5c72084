/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.c - the option tables of the configuration, the questions that are asked of one, and its
 * end. The worker and the command line call it; for the other parts see config_int.h.
 */
#include "config_int.h"

#include <stdlib.h>
#include <string.h>

/* clang-format off */
static const char *const as_choices[] = {
    [HUSH_AS_DEFAULT] = "default", [HUSH_AS_FILE] = "file", [HUSH_AS_DIRECTORY] = "directory", NULL,
};

static const char *const open_choices[] = {
    [HUSH_OPEN_CHECKED] = "checked", [HUSH_OPEN_KERNEL] = "kernel", NULL,
};

/* A key with a unit is called otherwise than its member. */
#define ROW(type, name, member, kind, fallback, help) \
    { name, HUSH_OPT_##kind, offsetof(type, member), fallback, help, NULL }

const struct hush_option hush_mount_options[] = {
    HUSH_OPTION(struct hush_mount_config, path, PATH, "", "where to mount"),
    HUSH_OPTION(struct hush_mount_config, user, STRING, "hushfs",
                "who the serving processes run as, by name or uid"),
    HUSH_OPTION(struct hush_mount_config, allow_other, BOOL, "yes",
                "let other users than root in, as modes allow"),
    HUSH_OPTION(struct hush_mount_config, owner, USER, "0",
                "who may read status and control the mount, beside root: the owner of .hushfs"),
    HUSH_OPTION(struct hush_mount_config, group, GROUP, "0", "group of the top directory"),
    HUSH_OPTION(struct hush_mount_config, mode, MODE, "0755",
                "mode of the top directory, which belongs to the serving user, with all rights"),
    ROW(struct hush_mount_config, "deadline", deadline_ms, DURATION, "5s",
        "how long a reader waits for a backend at most, up to 10s"),
    HUSH_OPTION_CHOICE(struct hush_mount_config, open, "checked",
                       "check each open, or let the kernel open what is fresh by itself",
                       open_choices),
    HUSH_OPTION(struct hush_mount_config, memory, SIZE, "0",
                "locked memory for secrets; 0: as much of the limit as is sensible"),
    {0},
};

const struct hush_option hush_instance_options[] = {
    HUSH_OPTION(struct hush_instance_config, base64_decode, BOOL, "no",
                "values are base64: show what they encode"),
    HUSH_OPTION(struct hush_instance_config, concurrency, COUNT, "4",
                "calls to the backend at once, at most 256"),
    ROW(struct hush_instance_config, "timeout", timeout_ms, DURATION, "",
        "of one call to the backend, up to 60s; unset: the mount's deadline"),
    HUSH_OPTION(struct hush_instance_config, prefetch, BOOL, "no",
                "fetch all secrets that the backend lists at the start"),
    {0},
};

const struct hush_option hush_settings_options[] = {
    ROW(struct hush_settings, "ttl", ttl_ms, DURATION, "300",
        "how long a value is served without asking the backend; 0: ask at each open"),
    ROW(struct hush_settings, "neg_ttl", neg_ttl_ms, DURATION, "5",
        "how long \"not found\" and a refusal are remembered"),
    ROW(struct hush_settings, "resurrect_ttl", resurrect_ttl_ms, DURATION, "3600",
        "how long beyond ttl the last value is served while the backend cannot answer"),
    HUSH_OPTION_CHOICE(struct hush_settings, as, "default",
                       "show a secret as a file or as a directory of its fields", as_choices),
    HUSH_OPTION(struct hush_settings, owner, USER, "0", "owner of files"),
    HUSH_OPTION(struct hush_settings, group, GROUP, "0", "group of files and directories"),
    HUSH_OPTION(struct hush_settings, mode, MODE, "0400", "mode of files"),
    HUSH_OPTION(struct hush_settings, dir_mode, MODE, "0751",
                "mode of directories; they belong to the serving user, with all rights"),
    HUSH_OPTION(struct hush_settings, page_cache, BOOL, "yes",
                "let the kernel keep the bytes of open files in its page cache"),
    {0},
};
/* clang-format on */

static void pairs_free(struct hush_pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(pairs[i].key);
        free(pairs[i].value);
    }
    free(pairs);
}

void hush_config_free(struct hush_config *config)
{
    if (config == NULL)
        return;
    hush_options_free(hush_mount_options, &config->mount);
    for (size_t i = 0; i < config->instance_count; i++) {
        struct hush_instance_config *instance = &config->instances[i];
        pairs_free(instance->options, instance->option_count);
        free(instance->name);
        free(instance->file);
    }
    free(config->instances);
    for (size_t i = 0; i < config->rule_count; i++) {
        struct hush_rule *rule = &config->rules[i];
        pairs_free(rule->params, rule->param_count);
        free(rule->glob);
        free(rule->file);
    }
    free(config->rules);
    free(config);
}

static int name_order(const void *key, const void *element)
{
    const struct hush_instance_config *instance = element;

    return strcmp(key, instance->name);
}

const struct hush_instance_config *hush_config_instance(const struct hush_config *config,
                                                        const char *name)
{
    if (config->instance_count == 0)
        return NULL;
    return bsearch(name, config->instances, config->instance_count, sizeof(*config->instances),
                   name_order);
}
