/* SPDX-License-Identifier: Apache-2.0 */
/*
 * get_ref.c - {vault://PREFIX/RESOURCE[/KEY]} for `hushfs get`. The prefix is an instance, else a
 * type. The last part is a key, as Kong reads it, and only if there is no such resource part of the
 * name: {vault://files/db/password.txt} is what people write.
 */
#include "get.h"

#include "call.h"
#include "cmd.h"
#include "reference.h"

#include <stdlib.h>
#include <string.h>

enum { ERROR_SIZE = 160, NAMES_MAX = 2, DEFAULT_TIMEOUT_MS = 5000 };

/* The instances of a type: their number, and the last of them. */
static size_t instances_of(const struct hush_config *config, const char *type,
                           const struct hush_instance_config **last)
{
    size_t count = 0;

    for (size_t i = 0; config != NULL && i < config->instance_count; i++) {
        if (strcmp(config->instances[i].ops->name, type) != 0)
            continue;
        *last = &config->instances[i];
        count++;
    }
    return count;
}

/* What prefix stands for, into get->instance. The exit status. */
static int instance_find(struct hush_get *get, char *prefix)
{
    const struct hush_instance_config *found =
        get->config == NULL ? NULL : hush_config_instance(get->config, prefix);
    const struct hush_provider_ops *ops = hush_provider_find(prefix);

    if (found == NULL && instances_of(get->config, prefix, &found) > 1)
        return hush_cmd_fail(HUSH_CMD_USAGE,
                             "%s: there are several instances of type %s: say which", get->what,
                             prefix);
    if (found != NULL) {
        get->instance = *found;
        return HUSH_CMD_DONE;
    }
    if (ops == NULL)
        return hush_cmd_fail(HUSH_CMD_NOT_FOUND,
                             "%s: there is neither a [provider/%s] nor a provider type '%s'",
                             get->what, prefix, prefix);
    get->instance = (struct hush_instance_config){.name = prefix, .ops = ops};
    if (!hush_options_init(hush_instance_options, &get->instance) ||
        !hush_options_init(hush_settings_options, &get->instance.settings))
        return hush_cmd_fail(HUSH_CMD_FAILED, "out of memory");
    get->instance.timeout_ms = DEFAULT_TIMEOUT_MS;
    return HUSH_CMD_DONE;
}

static bool name_fill(struct hush_get_name *name, const struct hush_reference *ref, bool with_key)
{
    const char *key = ref->key == NULL ? "" : ref->key;
    const int size = snprintf(name->path, sizeof(name->path), "%s%s%s", ref->resource,
                              with_key || ref->key == NULL ? "" : "/", with_key ? "" : key);

    if (size < 0 || (size_t)size >= sizeof(name->path) || strlen(key) >= sizeof(name->field))
        return false;
    if (ref->version != NULL)
        memcpy(name->version, ref->version, strlen(ref->version) + 1);
    if (with_key)
        memcpy(name->field, key, strlen(key) + 1);
    name->has_field = name->string_only = with_key;
    return true;
}

static size_t names_find(const struct hush_reference *ref, struct hush_get_name names[NAMES_MAX])
{
    size_t count = 0;

    if (ref->key != NULL && name_fill(&names[count], ref, true))
        count++;
    if (name_fill(&names[count], ref, false))
        count++;
    return count;
}

static int reference_get(struct hush_get *get, const struct hush_reference *ref,
                         struct hush_secret **out)
{
    struct hush_get_name names[NAMES_MAX] = {0};
    const size_t count = names_find(ref, names);
    struct hush_pair *options = calloc(ref->option_count + 1, sizeof(*options));
    int status = options == NULL ? hush_cmd_fail(HUSH_CMD_FAILED, "out of memory")
                                 : instance_find(get, ref->prefix);

    for (size_t i = 0; options != NULL && i < ref->option_count; i++)
        options[i] = (struct hush_pair){ref->options[i].name, ref->options[i].value};
    if (status == HUSH_CMD_DONE)
        status = hush_get_open(get, options, ref->option_count);
    if (status == HUSH_CMD_DONE)
        status = hush_get_first(get, names, count, out);
    hush_get_close(get); /* it has the prefix as its name */
    free(options);
    return status;
}

int hush_get_reference(struct hush_get *get, const char *text, struct hush_secret **out)
{
    struct hush_reference ref;
    char error[ERROR_SIZE];

    if (!hush_reference_parse(text, &ref, error))
        return hush_cmd_fail(HUSH_CMD_USAGE, "%s", error);
    const int status = reference_get(get, &ref, out);
    hush_reference_clear(&ref);
    return status;
}
