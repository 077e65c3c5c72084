/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_write.c - a configuration as text: every key that has a value, defaults too, so that what
 * was in force stays in force when a newer version reads it. `hushfs check --dump` and the mount
 * write it, workers read it.
 */
#include "config_int.h"

#include <stdlib.h>

enum { VALUE_MAX = 8192 }; /* paths and names; what is longer is text of a provider's own */

/* Keys whose value is nothing are left out: they are unset. */
static void write_row(FILE *out, const struct hush_option *row, const void *base)
{
    char text[VALUE_MAX];

    if (hush_option_text(row, base, text, sizeof(text))[0] != '\0')
        (void)fprintf(out, "%s = %s\n", row->name, text); /* ferror() is asked at the end */
}

static void write_table(FILE *out, const struct hush_option *table, const void *base)
{
    for (; table->name != NULL; table++)
        write_row(out, table, base);
}

static void write_pairs(FILE *out, const char *prefix, const struct hush_pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        (void)fprintf(out, "%s%s = %s\n", prefix, pairs[i].key, pairs[i].value);
}

static void write_rule(FILE *out, const struct hush_rule *rule)
{
    (void)fprintf(out, "\n[path/%s]\n", rule->glob);
    for (unsigned i = 0; hush_settings_options[i].name != NULL; i++)
        if ((rule->set & 1u << i) != 0)
            write_row(out, &hush_settings_options[i], &rule->settings);
    write_pairs(out, "param.", rule->params, rule->param_count);
}

bool hush_config_write(const struct hush_config *config, FILE *out)
{
    (void)fputs("[mount]\n", out);
    write_table(out, hush_mount_options, &config->mount);
    for (size_t i = 0; i < config->instance_count; i++) {
        const struct hush_instance_config *instance = &config->instances[i];
        (void)fprintf(out, "\n[provider/%s]\ntype = %s\n", instance->name, instance->ops->name);
        write_table(out, hush_settings_options, &instance->settings);
        write_table(out, hush_instance_options, instance);
        write_pairs(out, "", instance->options, instance->option_count);
    }
    for (size_t i = 0; i < config->rule_count; i++)
        write_rule(out, &config->rules[i]);
    return fflush(out) == 0 && ferror(out) == 0;
}
