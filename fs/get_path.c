/* SPDX-License-Identifier: Apache-2.0 */
/*
 * get_path.c - INSTANCE/SECRET[/FIELD][#VERSION], as it is shown below a mount. Without a listing
 * it cannot be known whether the last part is a secret or a field of one, so each is tried; as in
 * the tree, a literal name wins over a version.
 */
#include "get.h"

#include "cmd.h"
#include "name.h"

#include <string.h>

enum { NAMES_MAX = 4 };

/* A shown path, cut in two at its last slash. */
struct split {
    char folder[4 * HUSH_PATH_MAX]; /* "": there is no slash */
    char last[HUSH_NAME_MAX + 1];
};

static bool split_path(const char *shown, struct split *out)
{
    const char *slash = strrchr(shown, '/');
    const char *last = slash == NULL ? shown : slash + 1;

    if (strlen(shown) >= sizeof(out->folder) || strlen(last) > HUSH_NAME_MAX)
        return false;
    memset(out->folder, 0, sizeof(out->folder));
    if (slash != NULL)
        memcpy(out->folder, shown, (size_t)(slash - shown));
    memcpy(out->last, last, strlen(last) + 1);
    return true;
}

static bool shown_as_directory(const struct hush_get *get, const char *shown)
{
    char path[5 * HUSH_PATH_MAX];
    struct hush_settings settings;

    (void)snprintf(path, sizeof(path), "%s/%s", get->instance.name, shown); /* it fits */
    hush_config_settings(get->config, &get->instance, path, &settings);
    return settings.as == HUSH_AS_DIRECTORY;
}

/* The secret shown as such, at its version; false: nothing is shown so. */
static bool name_secret(const struct hush_get *get, const char *shown, const char *version,
                        struct hush_get_name *out)
{
    *out = (struct hush_get_name){.map = shown_as_directory(get, shown)};
    memcpy(out->version, version, strlen(version) + 1);
    return hush_path_raw(shown, out->path, sizeof(out->path));
}

/* FOLDER/NAME#VERSION -> FOLDER/NAME and VERSION; false: there is none. */
static bool take_version(char *shown, char version[HUSH_VERSION_MAX + 1])
{
    char name[HUSH_NAME_MAX + 1];
    char *slash = strrchr(shown, '/');
    char *last = slash == NULL ? shown : slash + 1;

    if (!hush_name_split_version(last, name, version))
        return false;
    last[strlen(name)] = '\0';
    return true;
}

/* Readings of split as a secret and something in it. */
static size_t names_within(const struct hush_get *get, const struct split *split,
                           const char *version, struct hush_get_name *out)
{
    const bool whole = strcmp(split->last, ".json") == 0 || strcmp(split->last, ".value") == 0;
    char raw[HUSH_NAME_MAX + 1];

    if (split->folder[0] == '\0' || !name_secret(get, split->folder, version, out))
        return 0;
    if (whole) {
        out->map = out->map && strcmp(split->last, ".json") == 0;
        return 1;
    }
    if (!out->map || !hush_name_raw(split->last, raw))
        return 0;
    memcpy(out->field, raw, strlen(raw) + 1);
    out->has_field = true;
    return 1;
}

static size_t names_find(const struct hush_get *get, const char *shown,
                         struct hush_get_name names[NAMES_MAX])
{
    const bool versions = (get->instance.ops->flags & HUSH_HAS_VERSIONS) != 0;
    char version[HUSH_VERSION_MAX + 1] = "", whole[4 * HUSH_PATH_MAX];
    struct split split;
    size_t count = 0;

    if (!split_path(shown, &split))
        return 0;
    memcpy(whole, shown, strlen(shown) + 1);
    count += names_within(get, &split, "", &names[count]);
    count += name_secret(get, whole, "", &names[count]) ? 1 : 0;
    if (versions && take_version(whole, version))
        count += name_secret(get, whole, version, &names[count]) ? 1 : 0;
    if (versions && take_version(split.folder, version))
        count += names_within(get, &split, version, &names[count]);
    return count;
}

/* path below the configured mount point, if that is where it begins. */
static const char *below_mount(const struct hush_config *config, const char *path)
{
    const char *top = config->mount.path;
    const size_t size = top == NULL ? 0 : strlen(top);

    if (size == 0 || strncmp(path, top, size) != 0 || path[size] != '/')
        return path;
    return path + size + strspn(path + size, "/");
}

int hush_get_path(struct hush_get *get, const char *path, struct hush_secret **out)
{
    const char *below = below_mount(get->config, path);
    const char *slash = strchr(below, '/');
    struct hush_get_name names[NAMES_MAX];
    char name[HUSH_NAME_MAX + 1] = "";

    if (slash == NULL || slash == below || slash - below > HUSH_NAME_MAX)
        return hush_cmd_fail(HUSH_CMD_USAGE, "%s: a path is written INSTANCE/SECRET", get->what);
    memcpy(name, below, (size_t)(slash - below));
    const struct hush_instance_config *instance = hush_config_instance(get->config, name);
    if (instance == NULL)
        return hush_cmd_fail(HUSH_CMD_NOT_FOUND, "%s: there is no [provider/%s]", get->what, name);
    get->instance = *instance;
    const size_t count = names_find(get, slash + 1, names);
    if (count == 0)
        return hush_get_fail(get, HUSH_NOT_FOUND, "nothing is shown by such a name");
    const int status = hush_get_open(get, NULL, 0);
    return status != HUSH_CMD_DONE ? status : hush_get_first(get, names, count, out);
}
