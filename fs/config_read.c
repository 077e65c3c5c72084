/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_read.c - what sections mean: a section finds its reader in a table, a key its row in the
 * option tables. config_file.c calls it with the sections of all files; hush_config_parse() with
 * those of one text. It goes on after an error, so that all are told at once.
 */
#include "config_int.h"

#include "call.h"
#include "core/cleanup.h"
#include "path.h"

#include <stdlib.h>
#include <string.h>

enum { OPTION_ERROR_SIZE = 160 };

static const char param_prefix[] = "param.";

static void fail_at(struct hush_reader *reader, unsigned line, const char *text)
{
    hush_report_add(reader->report, reader->section->file, line, "[%s]: %s", reader->section->head,
                    text);
}

static void fail_unknown(struct hush_reader *reader, const struct hush_entry_text *entry,
                         const char *see)
{
    hush_report_add(reader->report, reader->section->file, entry->line,
                    "[%s]: unknown key '%s': see `hushfs providers %s`", reader->section->head,
                    entry->key, see);
}

/* A value that an option does not take. What looks like a comment behind it is why. */
static void fail_value(struct hush_reader *reader, const struct hush_entry_text *entry,
                       const char *error)
{
    const char *hint = strstr(entry->value, " #") == NULL && strstr(entry->value, " ;") == NULL
                           ? ""
                           : " (a comment stands on a line of its own)";

    hush_report_add(reader->report, reader->section->file, entry->line, "[%s]: %s%s",
                    reader->section->head, error, hint);
}

static bool fail_memory(struct hush_reader *reader)
{
    fail_at(reader, reader->section->line, "out of memory");
    return false;
}

static bool pairs_add(struct hush_pair **pairs, size_t *count, const char *key, const char *value)
{
    struct hush_pair *grown = reallocarray(*pairs, *count + 1, sizeof(**pairs));

    if (grown == NULL)
        return false;
    *pairs = grown;
    struct hush_pair pair = {.key = strdup(key), .value = strdup(value)};
    if (pair.key == NULL || pair.value == NULL) {
        free(pair.key);
        free(pair.value);
        return false;
    }
    grown[(*count)++] = pair;
    return true;
}

/* -- [mount] ----------------------------------------------------------------------------------- */

static bool is_overridden(const struct hush_reader *reader, const char *key)
{
    for (size_t i = 0; i < reader->override_count; i++)
        if (strcmp(reader->overrides[i].key, key) == 0)
            return true;
    return false;
}

/* What is wrong with a key of [mount], in error (OPTION_ERROR_SIZE bytes). */
static bool mount_set(struct hush_reader *reader, const char *key, const char *value, char *error)
{
    const struct hush_option *row = hush_option_find(hush_mount_options, key);

    if (row == NULL) {
        (void)snprintf(error, OPTION_ERROR_SIZE, "unknown key '%s': see `hushfs providers --keys`",
                       key);
        return false;
    }
    if (!hush_option_set(row, &reader->config->mount, value, error))
        return false;
    const char *fault = hush_check_mount(reader, key);
    if (fault != NULL)
        (void)snprintf(error, OPTION_ERROR_SIZE, "%s", fault);
    return fault == NULL;
}

static void read_mount(struct hush_reader *reader, const char *name)
{
    char error[OPTION_ERROR_SIZE];

    (void)name;
    for (size_t i = 0; i < reader->section->entry_count; i++) {
        const struct hush_entry_text *entry = &reader->section->entries[i];
        if (!is_overridden(reader, entry->key) &&
            !mount_set(reader, entry->key, entry->value, error))
            fail_value(reader, entry, error);
    }
}

static void read_overrides(struct hush_reader *reader)
{
    char error[OPTION_ERROR_SIZE];

    for (size_t i = 0; i < reader->override_count; i++)
        if (!mount_set(reader, reader->overrides[i].key, reader->overrides[i].value, error))
            hush_report_add(reader->report, "command line", 0, "%s", error);
}

/* -- [provider/NAME] --------------------------------------------------------------------------- */

static const struct hush_provider_ops *read_type(struct hush_reader *reader)
{
    const struct hush_entry_text *entry = hush_section_entry(reader->section, "type");
    const struct hush_provider_ops *ops = entry == NULL ? NULL : hush_provider_find(entry->value);
    char known[HUSH_CONFIG_TEXT_MAX] = "";
    size_t used = 0;

    if (ops != NULL)
        return ops;
    for (size_t i = 0; hush_providers[i] != NULL && used < sizeof(known); i++)
        used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", i == 0 ? "" : ", ",
                                 hush_providers[i]->name);
    hush_report_add(reader->report, reader->section->file,
                    entry == NULL ? reader->section->line : entry->line, "[%s]: %s; there are %s",
                    reader->section->head, entry == NULL ? "'type' is missing" : "unknown type",
                    known);
    return NULL;
}

/* Set one key of an instance: its own tables first, then the type's. False: told. */
static bool instance_set(struct hush_reader *reader, struct hush_instance_config *instance,
                         struct hush_provider *scratch, const struct hush_entry_text *entry)
{
    char error[OPTION_ERROR_SIZE];
    const struct hush_option *row = hush_option_find(hush_settings_options, entry->key);
    void *base = &instance->settings;

    if (row == NULL) {
        row = hush_option_find(hush_instance_options, entry->key);
        base = instance;
    }
    if (row == NULL) {
        row = hush_option_find(instance->ops->options, entry->key);
        base = scratch;
    }
    if (row == NULL) {
        fail_unknown(reader, entry, instance->ops->name);
        return false;
    }
    if (!hush_option_set(row, base, entry->value, error)) {
        fail_value(reader, entry, error);
        return false;
    }
    if (base == scratch &&
        !pairs_add(&instance->options, &instance->option_count, entry->key, entry->value))
        return fail_memory(reader);
    const char *fault = hush_check_settings(&instance->settings, entry->key);
    if (fault == NULL)
        fault = hush_check_instance(instance, entry->key);
    if (fault != NULL)
        fail_at(reader, entry->line, fault);
    return fault == NULL;
}

static void instance_require(struct hush_reader *reader,
                             const struct hush_instance_config *instance)
{
    for (const struct hush_option *row = instance->ops->options; row->name != NULL; row++)
        if (row->fallback == NULL && hush_section_entry(reader->section, row->name) == NULL)
            hush_report_add(reader->report, reader->section->file, reader->section->line,
                            "[%s]: '%s' is missing: %s", reader->section->head, row->name,
                            row->help);
}

/* Which options belong together only the provider knows. */
static void instance_check(struct hush_reader *reader, struct hush_provider *scratch)
{
    struct hush_op op;

    hush_op_init(&op, NULL, 0);
    if (scratch->ops->check != NULL && scratch->ops->check(scratch, &op) != HUSH_OK)
        fail_at(reader, reader->section->line, op.detail);
}

static void instance_read(struct hush_reader *reader, struct hush_instance_config *instance)
{
    struct hush_provider *scratch = hush_provider_new(instance->ops, instance->name, NULL);
    const size_t faults = reader->report->count;

    if (scratch == NULL) {
        (void)fail_memory(reader);
        return;
    }
    for (size_t i = 0; i < reader->section->entry_count; i++)
        if (strcmp(reader->section->entries[i].key, "type") != 0)
            (void)instance_set(reader, instance, scratch, &reader->section->entries[i]);
    instance_require(reader, instance);
    if (reader->report->count == faults)
        instance_check(reader, scratch);
    if (reader->report->count == faults)
        hush_warn_instance(reader, scratch);
    hush_provider_free(scratch);
}

static void read_provider(struct hush_reader *reader, const char *name)
{
    struct hush_config *config = reader->config;
    const struct hush_provider_ops *ops = read_type(reader);
    const char *fault = hush_check_instance_name(name);

    if (fault != NULL)
        fail_at(reader, reader->section->line, fault);
    if (ops == NULL || fault != NULL)
        return;
    struct hush_instance_config *grown =
        reallocarray(config->instances, config->instance_count + 1, sizeof(*grown));
    if (grown == NULL) {
        (void)fail_memory(reader);
        return;
    }
    config->instances = grown;
    struct hush_instance_config *instance = &grown[config->instance_count++];
    *instance = (struct hush_instance_config){
        .ops = ops,
        .name = strdup(name),
        .file = strdup(reader->section->file),
        .line = reader->section->line,
    };
    if (instance->name == NULL || instance->file == NULL ||
        !hush_options_init(hush_instance_options, instance) ||
        !hush_options_init(hush_settings_options, &instance->settings))
        (void)fail_memory(reader);
    else
        instance_read(reader, instance);
}

/* -- [path/GLOB] ------------------------------------------------------------------------------- */

static bool rule_set(struct hush_reader *reader, struct hush_rule *rule,
                     const struct hush_entry_text *entry)
{
    char error[OPTION_ERROR_SIZE];
    const size_t prefix_size = sizeof(param_prefix) - 1;
    const struct hush_option *row = hush_option_find(hush_settings_options, entry->key);
    const char *fault = hush_check_rule_key(rule->glob, entry->key);

    if (fault != NULL) {
        hush_report_add(reader->report, reader->section->file, entry->line, "[%s]: '%s': %s",
                        reader->section->head, entry->key, fault);
        return false;
    }
    if (strncmp(entry->key, param_prefix, prefix_size) == 0 && entry->key[prefix_size] != '\0')
        return pairs_add(&rule->params, &rule->param_count, entry->key + prefix_size,
                         entry->value) ||
               fail_memory(reader);
    if (row == NULL) {
        fail_unknown(reader, entry, "--keys");
        return false;
    }
    if (!hush_option_set(row, &rule->settings, entry->value, error)) {
        fail_value(reader, entry, error);
        return false;
    }
    rule->set |= 1u << (row - hush_settings_options);
    fault = hush_check_settings(&rule->settings, entry->key);
    if (fault != NULL)
        fail_at(reader, entry->line, fault);
    return fault == NULL;
}

static void read_path(struct hush_reader *reader, const char *name)
{
    struct hush_config *config = reader->config;
    const char *fault = hush_check_glob(name);

    if (fault != NULL)
        hush_report_add(reader->report, reader->section->file, reader->section->line,
                        "[%s]: bad glob: %s", reader->section->head, fault);
    struct hush_rule *grown = reallocarray(config->rules, config->rule_count + 1, sizeof(*grown));
    if (grown == NULL) {
        (void)fail_memory(reader);
        return;
    }
    config->rules = grown;
    struct hush_rule *rule = &grown[config->rule_count++];
    *rule = (struct hush_rule){
        .glob = strdup(name),
        .file = strdup(reader->section->file),
        .line = reader->section->line,
    };
    if (rule->glob == NULL || rule->file == NULL) {
        (void)fail_memory(reader);
        return;
    }
    for (size_t i = 0; i < reader->section->entry_count; i++)
        (void)rule_set(reader, rule, &reader->section->entries[i]);
}

/* -- All sections ------------------------------------------------------------------------------ */

/* clang-format off */
static const struct {
    const char *prefix; /* with '/': a name follows */
    void (*read)(struct hush_reader *reader, const char *name);
} readers[] = {
    {"mount", read_mount}, {"provider/", read_provider}, {"path/", read_path},
};
/* clang-format on */

static void read_section(struct hush_reader *reader, const char *head)
{
    for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]); i++) {
        const size_t size = strlen(readers[i].prefix);
        const bool named = readers[i].prefix[size - 1] == '/';
        if (strncmp(head, readers[i].prefix, size) == 0 && (named || head[size] == '\0')) {
            readers[i].read(reader, head + size);
            return;
        }
    }
    hush_report_add(reader->report, reader->section->file, reader->section->line,
                    "unknown section [%s]: there are [mount], [provider/NAME] and [path/GLOB]",
                    head);
}

/* -- What only the whole can tell -------------------------------------------------------------- */

static void check_section_paths(struct hush_reader *reader)
{
    const struct hush_section *section = reader->section;
    const char *top = reader->config->mount.path;
    const struct hush_entry_text *type = hush_section_entry(section, "type");
    const struct hush_provider_ops *ops = type == NULL ? NULL : hush_provider_find(type->value);

    if (top == NULL || ops == NULL || strncmp(section->head, "provider/", strlen("provider/")) != 0)
        return;
    for (const struct hush_option *row = ops->options; row->name != NULL; row++) {
        const struct hush_entry_text *entry = hush_section_entry(section, row->name);
        const char *path = entry == NULL ? row->fallback : entry->value;
        if ((row->type != HUSH_OPT_PATH && row->type != HUSH_OPT_SECRET_FILE) || path == NULL ||
            *path != '/' || !hush_path_is_below(path, top, reader->host))
            continue;
        hush_report_add(reader->report, section->file, entry == NULL ? section->line : entry->line,
                        "[%s]: '%s' must not be below the mount, which is %s", section->head,
                        row->name, top);
    }
}

/* Where the kernel opens by itself nobody is asked how the file is to be opened. */
static void check_section_open(struct hush_reader *reader)
{
    const struct hush_section *section = reader->section;
    const struct hush_entry_text *entry = hush_section_entry(section, "page_cache");
    bool page_cache = true;

    if (reader->config->mount.open == HUSH_OPEN_KERNEL && entry != NULL &&
        hush_parse_bool(entry->value, &page_cache) && !page_cache)
        fail_at(reader, entry->line, "'page_cache' cannot be no where [mount] has open = kernel");
}

/* A rule that names an instance which there is not would never be seen to be wrong. */
static void check_section_glob(struct hush_reader *reader)
{
    const struct hush_section *section = reader->section;

    if (strncmp(section->head, "path/", strlen("path/")) != 0)
        return;
    const char *glob = section->head + strlen("path/");
    cleanup_free char *name = strndup(glob, strcspn(glob, "/"));
    if (name == NULL || strpbrk(name, "*?") != NULL ||
        hush_config_instance(reader->config, name) != NULL)
        return;
    hush_report_add(reader->report, section->file, section->line,
                    "[%s]: there is no [provider/%s], or it has an error", section->head, name);
}

static int instance_order(const void *a, const void *b)
{
    const struct hush_instance_config *one = a, *two = b;

    return strcmp(one->name, two->name);
}

struct ranked {
    struct hush_rule rule;
    size_t prefix, literals, index;
};

static int number_order(size_t one, size_t two)
{
    return one < two ? -1 : one > two;
}

static int rank_order(const void *a, const void *b)
{
    const struct ranked *one = a, *two = b;
    int order = number_order(one->prefix, two->prefix);

    if (order == 0)
        order = number_order(one->literals, two->literals);
    return order == 0 ? number_order(one->index, two->index) : order;
}

static bool rules_sort(struct hush_config *config)
{
    struct ranked *ranked = calloc(config->rule_count + 1, sizeof(*ranked));

    if (ranked == NULL)
        return false;
    for (size_t i = 0; i < config->rule_count; i++) {
        ranked[i] = (struct ranked){.rule = config->rules[i], .index = i};
        hush_glob_rank(config->rules[i].glob, &ranked[i].prefix, &ranked[i].literals);
    }
    qsort(ranked, config->rule_count, sizeof(*ranked), rank_order);
    for (size_t i = 0; i < config->rule_count; i++)
        config->rules[i] = ranked[i].rule;
    free(ranked);
    return true;
}

static void finish(struct hush_reader *reader, const struct hush_sections *sections)
{
    struct hush_config *config = reader->config;

    if (config->instance_count > 1)
        qsort(config->instances, config->instance_count, sizeof(*config->instances),
              instance_order);
    for (size_t i = 0; i < config->instance_count; i++)
        if (config->instances[i].timeout_ms == 0)
            config->instances[i].timeout_ms = config->mount.deadline_ms;
    for (size_t i = 0; i < sections->count; i++) {
        reader->section = &sections->list[i];
        check_section_paths(reader);
        check_section_glob(reader);
        check_section_open(reader);
    }
}

struct hush_config *hush_config_make(const struct hush_sections *sections,
                                     const struct hush_pair *overrides, size_t override_count,
                                     struct hush_report *report, struct hush_report *warnings)
{
    struct hush_reader reader = {
        .config = calloc(1, sizeof(struct hush_config)),
        .report = report,
        .overrides = overrides,
        .override_count = override_count,
        .warnings = warnings,
        .host = warnings != NULL,
    };

    if (reader.config == NULL || !hush_options_init(hush_mount_options, &reader.config->mount)) {
        hush_report_add(report, report->files[0], 0, "out of memory");
        hush_config_free(reader.config);
        return NULL;
    }
    read_overrides(&reader);
    bool instances = false;
    for (size_t i = 0; i < sections->count; i++) {
        reader.section = &sections->list[i];
        read_section(&reader, sections->list[i].head);
        instances = instances || strncmp(sections->list[i].head, "provider/", 9) == 0;
    }
    if (!instances)
        hush_report_add(report, report->files[0], 0,
                        "there is no [provider/NAME] section: nothing to show");
    finish(&reader, sections);
    hush_warn_mount(&reader);
    if (report->count == 0 && rules_sort(reader.config))
        return reader.config;
    hush_config_free(reader.config);
    return NULL;
}
