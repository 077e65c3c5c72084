/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_providers.c - `hushfs providers`: what can be configured, from the tables that the
 * configuration is read with.
 */
#include "call.h"
#include "cmd.h"
#include "core/text.h"

#include <string.h>

enum { JSON_MAX = 1 << 20 };

struct group {
    const char *title;
    const struct hush_option *table;
};

/* -- Text -------------------------------------------------------------------------------------- */

static const char *fallback_text(const struct hush_option *row)
{
    if (row->fallback == NULL)
        return "required";
    return row->fallback[0] == '\0' ? "-" : row->fallback;
}

static void print_choices(const struct hush_option *row)
{
    for (size_t i = 0; row->choices != NULL && row->choices[i] != NULL; i++)
        (void)printf("%s%s", i == 0 ? ": " : ", ", row->choices[i]);
}

static int longest(int most, const char *text)
{
    const int size = (int)strlen(text);

    return size > most ? size : most;
}

static void print_group(const struct group *group)
{
    int name = 4, type = 4, fallback = 7;

    for (const struct hush_option *row = group->table; row->name != NULL; row++) {
        name = longest(name, row->name);
        type = longest(type, hush_option_type_text(row->type));
        fallback = longest(fallback, fallback_text(row));
    }
    (void)printf("%s\n  %-*s  %-*s  %-*s  meaning\n", group->title, name, "key", type, "type",
                 fallback, "default");
    for (const struct hush_option *row = group->table; row->name != NULL; row++) {
        (void)printf("  %-*s  %-*s  %-*s  %s", name, row->name, type,
                     hush_option_type_text(row->type), fallback, fallback_text(row), row->help);
        print_choices(row);
        (void)putchar('\n');
    }
}

/* -- JSON -------------------------------------------------------------------------------------- */

static void json_group(struct hush_text *json, const struct group *group)
{
    hush_json_open(json, group->title, '[');
    for (const struct hush_option *row = group->table; row->name != NULL; row++) {
        hush_json_open(json, NULL, '{');
        hush_json_string(json, "name", row->name);
        hush_json_string(json, "type", hush_option_type_text(row->type));
        hush_json_bool(json, "required", row->fallback == NULL);
        hush_json_string(json, "default", row->fallback);
        hush_json_string(json, "help", row->help);
        if (row->choices != NULL) {
            hush_json_open(json, "choices", '[');
            for (size_t i = 0; row->choices[i] != NULL; i++)
                hush_json_string(json, NULL, row->choices[i]);
            hush_json_close(json, ']');
        }
        hush_json_close(json, '}');
    }
    hush_json_close(json, ']');
}

static void json_provider(struct hush_text *json, const struct hush_provider_ops *ops, bool whole)
{
    hush_json_open(json, NULL, '{');
    hush_json_string(json, "type", ops->name);
    hush_json_string(json, "summary", ops->summary);
    hush_json_bool(json, "local", (ops->flags & HUSH_IS_LOCAL) != 0);
    hush_json_bool(json, "versions", (ops->flags & HUSH_HAS_VERSIONS) != 0);
    hush_json_bool(json, "map", (ops->flags & HUSH_IS_MAP) != 0);
    hush_json_bool(json, "lists", ops->list != NULL);
    if (whole)
        json_group(json, &(struct group){"options", ops->options});
    hush_json_close(json, '}');
}

static int json_end(struct hush_text *json)
{
    const bool failed = json->failed;

    if (!failed)
        (void)puts(hush_text_string(json));
    hush_text_done(json);
    return failed ? hush_cmd_fail(HUSH_CMD_FAILED, "out of memory") : HUSH_CMD_DONE;
}

/* -- The command ------------------------------------------------------------------------------- */

static int show_all(bool as_json)
{
    struct hush_text json;

    if (!as_json) {
        for (size_t i = 0; hush_providers[i] != NULL; i++)
            (void)printf("%-12s %s\n", hush_providers[i]->name, hush_providers[i]->summary);
        return HUSH_CMD_DONE;
    }
    hush_text_init(&json, JSON_MAX);
    hush_json_open(&json, NULL, '[');
    for (size_t i = 0; hush_providers[i] != NULL; i++)
        json_provider(&json, hush_providers[i], false);
    hush_json_close(&json, ']');
    return json_end(&json);
}

static int show_one(const char *type, bool as_json)
{
    const struct hush_provider_ops *ops = hush_provider_find(type);
    struct hush_text json;

    if (ops == NULL)
        return hush_cmd_fail(HUSH_CMD_NOT_FOUND,
                             "there is no provider type '%s': `hushfs providers` lists them", type);
    if (as_json) {
        hush_text_init(&json, JSON_MAX);
        json_provider(&json, ops, true);
        return json_end(&json);
    }
    (void)printf("%s: %s\n\n", ops->name, ops->summary);
    if (ops->options[0].name == NULL)
        (void)puts("It has no options of its own.");
    else
        print_group(&(struct group){"Its own options:", ops->options});
    (void)printf("\n`hushfs providers --keys` lists those of every instance; see hushfs-%s(7).\n",
                 ops->name);
    return HUSH_CMD_DONE;
}

static int show_keys(bool as_json)
{
    static const struct group groups[] = {
        {"[mount]", hush_mount_options},
        {"[provider/NAME], beside its type and that type's own", hush_instance_options},
        {"[provider/NAME] and [path/GLOB]", hush_settings_options},
    };
    static const char *const names[] = {"mount", "provider", "path"};
    struct hush_text json;

    if (as_json) {
        hush_text_init(&json, JSON_MAX);
        hush_json_open(&json, NULL, '{');
        for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
            json_group(&json, &(struct group){names[i], groups[i].table});
        hush_json_close(&json, '}');
        return json_end(&json);
    }
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        if (i > 0)
            (void)putchar('\n');
        print_group(&groups[i]);
    }
    (void)puts("\n[path/GLOB] also has param.NAME = VALUE, which is handed to the provider.");
    return HUSH_CMD_DONE;
}

int hush_cmd_providers(const struct hush_args *args)
{
    if (args->keys && args->count > 0)
        return hush_cmd_fail(HUSH_CMD_USAGE, "providers: --keys and a TYPE are too much");
    if (args->keys)
        return show_keys(args->json);
    return args->count > 0 ? show_one(args->names[0], args->json) : show_all(args->json);
}
