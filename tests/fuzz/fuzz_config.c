/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_config.c - configurations: whatever is accepted is written as a text that reads back the
 * same, and whatever is refused comes with an error.
 */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void count_error(void *ctx, const char *file, unsigned line, const char *text)
{
    unsigned *count = ctx;

    (void)line;
    if (strcmp(file, "fuzz") != 0 || text[0] == '\0')
        abort();
    (*count)++;
}

static void ignore_warning(void *ctx, const char *file, unsigned line, const char *text)
{
    (void)ctx;
    if (strcmp(file, "fuzz") != 0 || line == 0 || text[0] == '\0')
        abort();
}

static struct hush_config *parse(const char *text, size_t size)
{
    unsigned errors = 0;
    struct hush_config *config = hush_config_parse(text, size, "fuzz", count_error, &errors);

    if ((config == NULL) != (errors > 0))
        abort();
    return config;
}

static char *write_text(const struct hush_config *config, size_t *size)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, size);

    if (out == NULL || !hush_config_write(config, out) || fclose(out) != 0)
        abort();
    return text;
}

static void ask(const struct hush_config *config)
{
    struct hush_settings settings;

    for (size_t i = 0; i < config->rule_count; i++) {
        const char *glob = config->rules[i].glob; /* it matches itself, more or less */
        for (size_t j = 0; j < config->instance_count; j++) {
            hush_config_field_settings(config, &config->instances[j], glob, "field", &settings);
            if (settings.as == HUSH_AS_DEFAULT)
                abort();
            const uint32_t mode = settings.mode;
            hush_settings_restrict(&settings, &config->rules[i].settings);
            hush_config_whole_settings(config, &config->instances[j], glob, NULL, &settings);
            if ((mode & ~0777u) != 0 || (settings.mode & ~0777u) != 0)
                abort();
        }
        (void)hush_config_has_field_rules(config, glob);
        free(hush_config_params(config, glob));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hush_config *config = parse((const char *)data, size);
    size_t first_size, second_size;

    if (config == NULL)
        return 0;
    char *first = write_text(config, &first_size);
    struct hush_config *again = parse(first, first_size);
    if (again == NULL)
        abort();
    char *second = write_text(again, &second_size);
    if (first_size != second_size || memcmp(first, second, first_size) != 0)
        abort();
    ask(config);
    hush_config_warn(config, ignore_warning, NULL);
    free(first);
    free(second);
    hush_config_free(config);
    hush_config_free(again);
    return 0;
}
