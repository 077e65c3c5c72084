/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules.c - what holds for a path: the settings of its instance and the rules that match it. Bytes
 * that are shown by several names must not be had by the one that a rule forgot, so a secret is
 * matched by all names that show it:
 *
 *     NAME#VERSION      and so its fields    by NAME, too
 *     NAME/.value       the secret itself    by NAME, too
 *     NAME/FIELD                             by NAME, too
 *     NAME/.json        all fields           by NAME, too, and by what each field allows
 *
 * Which of the rules wins is a matter of their globs alone (hush_glob_rank()): a name that is
 * longer has its own rules first. The worker and `hushfs get` call it.
 */
#include "config.h"

#include "name.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const char value_name[] = ".value", json_name[] = ".json";

/* The names of what is asked for. */
struct names {
    const char *path;                    /* of the secret, as it was asked for */
    const char *field;                   /* in it, as shown; NULL: the secret */
    bool value;                          /* path ends with "/.value" */
    size_t sizes[HUSH_NAME_MAX / 2 + 1]; /* of path: less that; and without a version; … */
    size_t count;                        /* of these */
    char text[PATH_MAX + HUSH_NAME_MAX + 2];
    size_t built_size; /* what stands in text: so much of path, and built_tail below it */
    const char *built_tail;
};

/* How much of a secret's name is left without its version; 0: it has none. See name.h. */
static size_t unversioned(const char *path, size_t size)
{
    const char *slash = memrchr(path, '/', size), *hash = memrchr(path, '#', size);
    const char *last = slash == NULL ? path : slash + 1;

    if (hash == NULL || hash <= last || hash + 1 == path + size ||
        (size_t)(path + size - hash - 1) > HUSH_VERSION_MAX)
        return 0;
    return (size_t)(hash - path);
}

static void names_init(struct names *names, const char *path, const char *field)
{
    const size_t whole = strlen(path), tail = sizeof(value_name); /* with the slash */

    names->path = path;
    names->field = field;
    names->value = whole > tail && path[whole - tail] == '/' &&
                   strcmp(path + whole - tail + 1, value_name) == 0;
    names->count = 0;
    names->built_size = 0;
    names->built_tail = NULL;
    for (size_t size = names->value ? whole - tail : whole;
         size > 0 && names->count < sizeof(names->sizes) / sizeof(names->sizes[0]);
         size = unversioned(path, size))
        names->sizes[names->count++] = size;
}

/* Does it match so much of the path, with tail (NULL: nothing) below it? */
static bool name_matches(const struct hush_rule *rule, struct names *names, size_t size,
                         const char *tail)
{
    const size_t tail_size = tail == NULL ? 0 : strlen(tail);

    if (names->built_size != size || names->built_tail != tail) {
        if (size + 1 + tail_size >= sizeof(names->text))
            return false; /* no file can have this name, nor a rule of its own */
        memcpy(names->text, names->path, size);
        names->text[size] = '/';
        if (tail != NULL)
            memcpy(names->text + size + 1, tail, tail_size);
        names->text[tail == NULL ? size : size + 1 + tail_size] = '\0';
        names->built_size = size;
        names->built_tail = tail;
    }
    return hush_glob_match(rule->glob, names->text);
}

/* By a name of the secret? */
static bool secret_matches(const struct hush_rule *rule, struct names *names)
{
    if (hush_glob_match(rule->glob, names->path))
        return true;
    for (size_t i = names->value ? 0 : 1; i < names->count; i++)
        if (name_matches(rule, names, names->sizes[i], NULL) ||
            (names->value && name_matches(rule, names, names->sizes[i], value_name)))
            return true;
    return false;
}

/* By a name of something in it? */
static bool field_matches(const struct hush_rule *rule, struct names *names, const char *field)
{
    const char *last = hush_path_last(rule->glob);

    if (strcmp(last, field) != 0 && strpbrk(last, "*?") == NULL)
        return false; /* most of many fields */
    for (size_t i = 0; i < names->count; i++)
        if (name_matches(rule, names, names->sizes[i], field))
            return true;
    return false;
}

/* -- Settings ---------------------------------------------------------------------------------- */

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

/* Does it say who may have the bytes? */
static bool rule_is_access(const struct hush_rule *rule)
{
    for (unsigned i = 0; hush_settings_options[i].name != NULL; i++)
        if ((rule->set & 1u << i) != 0 && hush_config_is_access(hush_settings_options[i].name))
            return true;
    return false;
}

/* True: a rule that is not the secret's says who may have the field. */
static bool settings_find(const struct hush_config *config,
                          const struct hush_instance_config *instance, struct names *names,
                          struct hush_settings *out)
{
    bool own = false;

    *out = instance->settings;
    for (size_t i = 0; i < config->rule_count; i++) {
        const struct hush_rule *rule = &config->rules[i];
        const bool of_secret = secret_matches(rule, names);

        if (!of_secret && (names->field == NULL || !field_matches(rule, names, names->field)))
            continue;
        settings_apply(rule, out);
        own = own || (!of_secret && rule_is_access(rule));
    }
    if (out->as == HUSH_AS_DEFAULT)
        out->as = (instance->ops->flags & HUSH_IS_MAP) != 0 ? HUSH_AS_DIRECTORY : HUSH_AS_FILE;
    return own;
}

void hush_config_settings(const struct hush_config *config,
                          const struct hush_instance_config *instance, const char *path,
                          struct hush_settings *out)
{
    struct names names;

    names_init(&names, path, NULL);
    (void)settings_find(config, instance, &names, out);
}

bool hush_config_field_settings(const struct hush_config *config,
                                const struct hush_instance_config *instance, const char *path,
                                const char *field, struct hush_settings *out)
{
    struct names names;

    names_init(&names, path, field);
    return settings_find(config, instance, &names, out);
}

bool hush_config_is_access(const char *key)
{
    static const char *const keys[] = {"owner", "group", "mode", "page_cache"};

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (strcmp(keys[i], key) == 0)
            return true;
    return false;
}

/* -- The whole of a secret --------------------------------------------------------------------- */

enum { BITS = 07 }; /* of one class of users */

void hush_settings_restrict(struct hush_settings *whole, const struct hush_settings *part)
{
    const uint32_t owner = part->mode >> 6 & BITS, group = part->mode >> 3 & BITS;
    const uint32_t other = part->mode & BITS;
    /* What the part grants to each class of users of the whole, whatever they are to the part. */
    uint32_t for_owner = owner, for_group = group, for_other = other;

    if (whole->group != part->group)
        for_group = for_other = group & other;
    if (whole->owner != part->owner) {
        for_owner = group & other;
        for_group &= owner; /* the part's owner may be one of them */
        for_other &= owner;
    }
    whole->mode &= for_owner << 6 | for_group << 3 | for_other;
    whole->page_cache = whole->page_cache && part->page_cache;
}

/* Is it a rule for all of a secret, and nothing else in it? */
static bool rule_is_whole(const struct hush_rule *rule)
{
    return strcmp(hush_path_last(rule->glob), json_name) == 0 ||
           strcmp(hush_path_last(rule->glob), value_name) == 0;
}

/*
 * Is it a rule for something in the secret, but not for the secret? Whatever there may be: where
 * the last part of a glob matches anything, it matches itself without its stars, and those of **
 * may as well have stood for all that is before it.
 */
static bool rule_is_below(const struct hush_rule *rule, struct names *names)
{
    char field[HUSH_NAME_MAX + 1];
    size_t size = 0;

    if (!rule_is_access(rule) || secret_matches(rule, names))
        return false;
    for (const char *at = hush_path_last(rule->glob); *at != '\0' && size < HUSH_NAME_MAX; at++)
        if (*at == '?')
            field[size++] = 'x';
        else if (*at != '*')
            field[size++] = *at;
    field[size] = '\0';
    names->built_size = 0; /* it may be another field at the same address */
    return field_matches(rule, names, field);
}

static bool has_rule_below(const struct hush_config *config, const char *path, bool fields)
{
    struct names names;

    names_init(&names, path, NULL);
    for (size_t i = 0; i < config->rule_count; i++)
        if (!(fields && rule_is_whole(&config->rules[i])) &&
            rule_is_below(&config->rules[i], &names))
            return true;
    return false;
}

bool hush_config_has_field_rules(const struct hush_config *config, const char *path)
{
    return has_rule_below(config, path, false);
}

/* Is there a rule for just this name of the whole? One with stars is rather meant for others. */
static bool has_rule_for(const struct hush_config *config, const char *path, const char *name)
{
    struct names names;

    names_init(&names, path, name);
    for (size_t i = 0; i < config->rule_count; i++) {
        const struct hush_rule *rule = &config->rules[i];

        if (strcmp(hush_path_last(rule->glob), name) == 0 && rule_is_access(rule) &&
            field_matches(rule, &names, name))
            return true;
    }
    return false;
}

void hush_config_whole_settings(const struct hush_config *config,
                                const struct hush_instance_config *instance, const char *path,
                                const char *name, struct hush_settings *out)
{
    static const char *const names[] = {json_name, value_name};
    struct hush_settings other;

    if (name != NULL)
        (void)hush_config_field_settings(config, instance, path, name, out);
    else
        hush_config_settings(config, instance, path, out);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!has_rule_for(config, path, names[i]))
            continue;
        (void)hush_config_field_settings(config, instance, path, names[i], &other);
        hush_settings_restrict(out, &other);
    }
    if (name == NULL && out->as == HUSH_AS_DIRECTORY && has_rule_below(config, path, true)) {
        out->mode = 0; /* all of its fields, and nobody knows which: for root alone */
        out->page_cache = false;
    }
}

/* -- Parameters -------------------------------------------------------------------------------- */

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
    struct names names;
    size_t count = 0;

    names_init(&names, path, NULL);
    for (size_t i = 0; i < config->rule_count; i++) {
        const struct hush_rule *rule = &config->rules[i];
        if (rule->param_count == 0 || !secret_matches(rule, &names))
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
