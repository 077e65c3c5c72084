/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_check.c - `hushfs check`. The keeper runs it too, when the configuration is to be read again:
 * with --emit-fd N the text for the next worker goes to that descriptor.
 */
#include "cmd.h"
#include "core/text.h"

#include <stdlib.h>
#include <unistd.h>

enum { JSON_MAX = 16 << 20, VALUE_MAX = 8192, TEXT_MAX = 1024 };

/* -- JSON -------------------------------------------------------------------------------------- */

struct findings {
    struct hush_text json;
    bool warnings; /* of the two arrays, this is the open one */
};

static void json_finding(struct hush_text *json, const char *file, unsigned line, const char *text)
{
    hush_json_open(json, NULL, '{');
    hush_json_string(json, "file", file);
    hush_json_u64(json, "line", line);
    hush_json_string(json, "text", text);
    hush_json_close(json, '}');
}

static void json_error(void *ctx, const char *file, unsigned line, const char *text)
{
    struct findings *found = ctx;

    json_finding(&found->json, file, line, text);
}

static void json_begin_warnings(struct findings *found)
{
    if (found->warnings)
        return;
    hush_json_close(&found->json, ']');
    hush_json_open(&found->json, "warnings", '[');
    found->warnings = true;
}

/* After all errors. */
static void json_warning(void *ctx, const char *file, unsigned line, const char *text)
{
    struct findings *found = ctx;

    json_begin_warnings(found);
    json_finding(&found->json, file, line, text);
}

/* Values as the texts that a configuration has. */
static void json_table(struct hush_text *json, const struct hush_option *table, const void *base,
                       unsigned set)
{
    char text[VALUE_MAX];

    for (unsigned i = 0; table[i].name != NULL; i++)
        if ((set & 1u << i) != 0)
            hush_json_string(json, table[i].name,
                             hush_option_text(&table[i], base, text, sizeof(text)));
}

static void json_pairs(struct hush_text *json, const struct hush_pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        hush_json_string(json, pairs[i].key, pairs[i].value);
}

static void json_dump(struct hush_text *json, const struct hush_config *config)
{
    hush_json_open(json, "mount", '{');
    json_table(json, hush_mount_options, &config->mount, ~0u);
    hush_json_close(json, '}');
    hush_json_open(json, "providers", '[');
    for (size_t i = 0; i < config->instance_count; i++) {
        const struct hush_instance_config *instance = &config->instances[i];
        hush_json_open(json, NULL, '{');
        hush_json_string(json, "name", instance->name);
        hush_json_string(json, "type", instance->ops->name);
        json_table(json, hush_settings_options, &instance->settings, ~0u);
        json_table(json, hush_instance_options, instance, ~0u);
        json_pairs(json, instance->options, instance->option_count);
        hush_json_close(json, '}');
    }
    hush_json_close(json, ']');
    hush_json_open(json, "paths", '[');
    for (size_t i = 0; i < config->rule_count; i++) {
        const struct hush_rule *rule = &config->rules[i];
        hush_json_open(json, NULL, '{');
        hush_json_string(json, "glob", rule->glob);
        json_table(json, hush_settings_options, &rule->settings, rule->set);
        hush_json_open(json, "params", '{');
        json_pairs(json, rule->params, rule->param_count);
        hush_json_close(json, '}');
        hush_json_close(json, '}');
    }
    hush_json_close(json, ']');
}

/* -- The command ------------------------------------------------------------------------------- */

static int emit(const struct hush_config *config, int fd)
{
    FILE *out = fdopen(fd, "w");

    if (out == NULL)
        return hush_cmd_fail(HUSH_CMD_FAILED, "--emit-fd %d: %m", fd);
    const bool written = hush_config_write(config, out);
    if (fclose(out) != 0 || !written)
        return hush_cmd_fail(HUSH_CMD_FAILED, "--emit-fd %d: %m", fd);
    return HUSH_CMD_DONE;
}

static int report_text(const struct hush_args *args, const char *file,
                       const struct hush_config *config)
{
    if (args->emit_fd >= 0)
        return emit(config, args->emit_fd);
    if (args->dump)
        return hush_config_write(config, stdout) ? HUSH_CMD_DONE : HUSH_CMD_FAILED;
    (void)printf("%s: good: %zu provider%s, %zu path rule%s\n", file, config->instance_count,
                 config->instance_count == 1 ? "" : "s", config->rule_count,
                 config->rule_count == 1 ? "" : "s");
    return HUSH_CMD_DONE;
}

static void text_warning(void *ctx, const char *file, unsigned line, const char *text)
{
    char warning[TEXT_MAX];

    (void)snprintf(warning, sizeof(warning), "warning: %s", text); /* cut, at worst */
    hush_cmd_config_error(ctx, file, line, warning);
}

static int check_text(const struct hush_args *args, const char *file)
{
    struct hush_mount_keys keys = {.error = hush_cmd_line_error};
    struct hush_config *config = NULL;
    int status = hush_mount_keys_find(&keys, args);

    if (status == HUSH_CMD_DONE) {
        config = hush_config_check(file, keys.list, keys.count, hush_cmd_config_error,
                                   args->emit_fd < 0 ? text_warning : NULL,
                                   NULL); /* the keeper reads none */
        status = config == NULL ? HUSH_CMD_CONFIG : report_text(args, file, config);
    }
    hush_mount_keys_done(&keys);
    hush_config_free(config);
    return status;
}

static int check_json(const struct hush_args *args, const char *file)
{
    struct findings found = {0};
    struct hush_text *json = &found.json;
    struct hush_mount_keys keys = {.error = json_error, .ctx = &found};
    struct hush_config *config = NULL;

    hush_text_init(json, JSON_MAX);
    hush_json_open(json, NULL, '{');
    hush_json_string(json, "file", file);
    hush_json_open(json, "errors", '[');
    int status = hush_mount_keys_find(&keys, args);
    if (status == HUSH_CMD_DONE) {
        config = hush_config_check(file, keys.list, keys.count, json_error, json_warning, &found);
        status = config == NULL ? HUSH_CMD_CONFIG : HUSH_CMD_DONE;
    }
    json_begin_warnings(&found);
    hush_json_close(json, ']');
    hush_json_bool(json, "good", config != NULL);
    if (config != NULL && args->dump)
        json_dump(json, config);
    hush_json_close(json, '}');
    if (json->failed)
        status = hush_cmd_fail(HUSH_CMD_FAILED, "out of memory");
    else
        (void)puts(hush_text_string(json));
    hush_text_done(json);
    hush_mount_keys_done(&keys);
    hush_config_free(config);
    return status;
}

int hush_cmd_check(const struct hush_args *args)
{
    const char *file = args->config == NULL ? HUSH_CONFIG_FILE : args->config;

    return args->json ? check_json(args, file) : check_text(args, file);
}
