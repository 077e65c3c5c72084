/* SPDX-License-Identifier: Apache-2.0 */
/*
 * get.c - one instance's provider, opened and asked in this process; see get.h.
 */
#include "get.h"

#include "call.h"
#include "cmd.h"
#include "core/cleanup.h"
#include "name.h"
#include "select.h"

#include <stdlib.h>
#include <string.h>

enum { ERROR_SIZE = 160 };

/* -- Opening ----------------------------------------------------------------------------------- */

/* One option of a reference. What only matters to a cache is checked, and of no consequence. */
static int option_set(struct hush_get *get, const struct hush_pair *option)
{
    char error[ERROR_SIZE];
    void *base = &get->instance.settings;
    const struct hush_option *row = hush_option_find(hush_settings_options, option->key);

    if (row == NULL) {
        base = &get->instance;
        row = hush_option_find(hush_instance_options, option->key);
    }
    if (row == NULL) {
        base = get->provider;
        row = hush_option_find(get->instance.ops->options, option->key);
    }
    if (row == NULL)
        return hush_cmd_fail(HUSH_CMD_USAGE, "%s: type %s has no option '%s'", get->what,
                             get->instance.ops->name, option->key);
    if (!hush_option_set(row, base, option->value, error))
        return hush_cmd_fail(HUSH_CMD_USAGE, "%s: %s", get->what, error);
    return HUSH_CMD_DONE;
}

static bool is_given(const struct hush_pair *options, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(options[i].key, name) == 0)
            return true;
    return false;
}

static int options_require(const struct hush_get *get, const struct hush_pair *options,
                           size_t count)
{
    const struct hush_instance_config *instance = &get->instance;

    for (const struct hush_option *row = instance->ops->options; row->name != NULL; row++)
        if (row->fallback == NULL &&
            !is_given(instance->options, instance->option_count, row->name) &&
            !is_given(options, count, row->name))
            return hush_cmd_fail(HUSH_CMD_USAGE,
                                 "%s: type %s needs '%s': configure an instance, or add ?%s=…",
                                 get->what, instance->ops->name, row->name, row->name);
    return HUSH_CMD_DONE;
}

int hush_get_open(struct hush_get *get, const struct hush_pair *options, size_t count)
{
    const struct hush_instance_config *instance = &get->instance;
    int status = options_require(get, options, count);

    if (status != HUSH_CMD_DONE)
        return status;
    get->provider = hush_provider_new(instance->ops, instance->name, get->env);
    if (get->provider == NULL)
        return hush_cmd_fail(HUSH_CMD_FAILED, "out of memory");
    for (size_t i = 0; status == HUSH_CMD_DONE && i < instance->option_count; i++)
        status = option_set(get, &instance->options[i]);
    for (size_t i = 0; status == HUSH_CMD_DONE && i < count; i++)
        status = option_set(get, &options[i]);
    if (status != HUSH_CMD_DONE)
        return status;
    hush_op_init(&get->op, get->arena, instance->timeout_ms);
    const enum hush_status opened = hush_provider_open(get->provider, &get->op);
    return opened == HUSH_OK ? HUSH_CMD_DONE : hush_get_fail(get, opened, get->op.detail);
}

void hush_get_close(struct hush_get *get)
{
    hush_provider_free(get->provider);
    get->provider = NULL;
}

/* -- Asking ------------------------------------------------------------------------------------ */

/* param.X of the rules for the secret; they are written for names as they are shown. */
static struct hush_param *name_params(const struct hush_get *get, const char *path)
{
    char shown[3 * HUSH_PATH_MAX + 2], whole[4 * HUSH_PATH_MAX];

    if (get->config == NULL || !hush_path_show(path, shown, sizeof(shown)))
        return NULL;
    (void)snprintf(whole, sizeof(whole), "%s/%s", get->instance.name, shown); /* cut: no rule */
    return hush_config_params(get->config, whole);
}

/* The whole of a map is JSON, made for us; base64 is in its fields. */
static bool name_is_base64(const struct hush_get *get, const struct hush_get_name *name,
                           const struct hush_value *value)
{
    return get->instance.base64_decode &&
           (name->has_field || (value->fields == NULL && !name->map));
}

enum hush_status hush_get_value(struct hush_get *get, const struct hush_get_name *name,
                                bool *fetched, struct hush_secret **out)
{
    static const struct hush_version none;
    const struct hush_provider_ops *ops = get->instance.ops;
    struct hush_value value = {0};
    struct hush_ref ref = {.path = name->path};
    cleanup_free struct hush_param *params = name_params(get, name->path);

    *fetched = false;
    ref.params = params;
    memcpy(ref.version.text, name->version, sizeof(ref.version.text));
    hush_op_init(&get->op, get->arena, get->instance.timeout_ms);
    if (name->version[0] != '\0' && (ops->flags & HUSH_HAS_VERSIONS) == 0)
        return hush_fail(&get->op, HUSH_UNSUPPORTED, "type %s has no versions", ops->name);
    enum hush_status status = hush_provider_fetch(get->provider, &get->op, &ref, &none, &value);
    if (status != HUSH_OK)
        return status;
    *fetched = true;
    if (name->string_only)
        status = hush_select_string(&get->op, &value, name->field);
    if (status == HUSH_OK)
        status = hush_select(&get->op, &value, name->has_field ? name->field : NULL,
                             name_is_base64(get, name, &value), out);
    hush_value_clear(&value);
    return status;
}

int hush_get_fail(const struct hush_get *get, enum hush_status status, const char *detail)
{
    return hush_cmd_fail(hush_cmd_status(status), "%s: %s%s%s%s", get->what,
                         hush_status_text(status), detail[0] == '\0' ? "" : ": ", detail,
                         status == HUSH_NO_MEMORY ? hush_cmd_memory_hint(&get->op) : "");
}

/* A refusal says more than an absence, and that of a version (which others are there) more than
 * that of a literal name; else the first reading is what was most likely meant. */
static bool says_more(const struct hush_get_name *name, enum hush_status status, bool versioned)
{
    return status != HUSH_NOT_FOUND || (name->version[0] != '\0' && !versioned);
}

int hush_get_first(struct hush_get *get, const struct hush_get_name *names, size_t count,
                   struct hush_secret **out)
{
    enum hush_status worst = HUSH_NOT_FOUND;
    char detail[HUSH_DETAIL_MAX] = "";
    bool versioned = false; /* the reading that detail is of */

    for (size_t i = 0; i < count; i++) {
        bool fetched;
        const enum hush_status status = hush_get_value(get, &names[i], &fetched, out);
        if (status == HUSH_OK)
            return HUSH_CMD_DONE;
        if (detail[0] == '\0' ||
            (worst == HUSH_NOT_FOUND && says_more(&names[i], status, versioned))) {
            worst = status;
            versioned = names[i].version[0] != '\0';
            memcpy(detail, get->op.detail, sizeof(detail));
        }
        if (hush_status_retries(status) || (names[i].string_only && fetched))
            break;
    }
    return hush_get_fail(get, worst, detail);
}
