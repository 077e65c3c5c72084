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

/* -- What holds for a path --------------------------------------------------------------------- */

static bool rule_matches(const struct hush_rule *rule, const char *path, const char *field_path)
{
    return hush_glob_match(rule->glob, path) ||
           (field_path != NULL && hush_glob_match(rule->glob, field_path));
}

/* The settings are numbers, all of one size but for the booleans. */
static void setting_copy(const struct hush_option *row, const struct hush_settings *from,
                         struct hush_settings *to)
{
    const size_t size = row->type == HUSH_OPT_BOOL ? sizeof(bool) : sizeof(uint32_t);

    memcpy((char *)to + row->offset, (const char *)from + row->offset, size);
}

static void settings_apply(const struct hush_rule *rule, struct hush_settings *out)
{
    for (unsigned i = 0; hush_settings_options[i].name != NULL; i++)
        if ((rule->set & 1u << i) != 0)
            setting_copy(&hush_settings_options[i], &rule->settings, out);
}

static void settings_find(const struct hush_config *config,
                          const struct hush_instance_config *instance, const char *path,
                          const char *field_path, struct hush_settings *out)
{
    *out = instance->settings;
    for (size_t i = 0; i < config->rule_count; i++)
        if (rule_matches(&config->rules[i], path, field_path))
            settings_apply(&config->rules[i], out);
    if (out->as == HUSH_AS_DEFAULT)
        out->as = (instance->ops->flags & HUSH_IS_MAP) != 0 ? HUSH_AS_DIRECTORY : HUSH_AS_FILE;
}

void hush_config_settings(const struct hush_config *config,
                          const struct hush_instance_config *instance, const char *path,
                          struct hush_settings *out)
{
    settings_find(config, instance, path, NULL, out);
}

void hush_config_field_settings(const struct hush_config *config,
                                const struct hush_instance_config *instance, const char *path,
                                const char *field, struct hush_settings *out)
{
    char field_path[2 * HUSH_PATH_MAX];
    const int size = snprintf(field_path, sizeof(field_path), "%s/%s", path, field);

    /* A path that no file can have has no rule of its own. */
    settings_find(config, instance, path,
                  size > 0 && (size_t)size < sizeof(field_path) ? field_path : NULL, out);
}

static size_t params_put(struct hush_param *params, size_t count, const struct hush_pair *pair)
{
    size_t at = 0;

    while (at < count && strcmp(params[at].name, pair->key) != 0)
        at++;
    params[at] = (struct hush_param){.name = pair->key, .value = pair->value};
    return at == count ? count + 1 : count;
}

struct hush_param *hush_config_params(const struct hush_config *config, const char *path)
{
    struct hush_param *params = NULL;
    size_t count = 0;

    for (size_t i = 0; i < config->rule_count; i++) {
        const struct hush_rule *rule = &config->rules[i];
        if (rule->param_count == 0 || !rule_matches(rule, path, NULL))
            continue;
        struct hush_param *grown =
            reallocarray(params, count + rule->param_count + 1, sizeof(*params));
        if (grown == NULL)
            break;
        params = grown;
        for (size_t j = 0; j < rule->param_count; j++)
            count = params_put(params, count, &rule->params[j]);
        params[count] = (struct hush_param){0};
    }
    return params;
}
