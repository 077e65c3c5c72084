/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_mount_keys.c - the options of `-o`, as mount(8) has them, into keys of [mount]. `hushfs
 * mount` and `hushfs check` call it.
 */
#include "cmd.h"
#include "core/cleanup.h"
#include "mounts.h"

#include <stdlib.h>
#include <string.h>

enum { KEYS_SHOWN_MAX = 256 };

/* What is in force anyway, or is read by others in fstab: accepted, and of no consequence. */
static const char *const ignored[] = {
    "ro",   "nosuid", "nodev",  "noexec", "noatime", "relatime", "nodiratime",
    "auto", "noauto", "nouser", "nofail", "_netdev", "defaults",
};

static bool is_ignored(const char *option)
{
    if (option[0] == '\0' || strncmp(option, "x-", 2) == 0)
        return true;
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        if (strcmp(ignored[i], option) == 0)
            return true;
    return false;
}

/* False: it was said. */
static bool keys_add(struct hush_mount_keys *keys, const char *key, const char *value)
{
    struct hush_pair *grown = reallocarray(keys->list, keys->count + 1, sizeof(*grown));

    if (grown != NULL) {
        keys->list = grown;
        grown += keys->count++;
        *grown = (struct hush_pair){.key = strdup(key), .value = strdup(value)};
        if (grown->key != NULL && grown->value != NULL)
            return true;
    }
    keys->error(keys->ctx, "-o", 0, "out of memory");
    return false;
}

/* An option that is none. */
static void keys_refuse(const struct hush_mount_keys *keys, const char *key)
{
    char which[KEYS_SHOWN_MAX];

    (void)snprintf(which, sizeof(which), "-o %s", key); /* cut: it is none anyway */
    keys->error(keys->ctx, which, 0,
                strcmp(key, "rw") == 0 ? "the mount is always read-only"
                                       : "no such option: KEY=VALUE of [mount] (`hushfs providers "
                                         "--keys`), and what mount(8) has for all");
}

/* One option; it is cut up. False: it was said. */
static bool keys_option(struct hush_mount_keys *keys, char *option)
{
    char *value = option;
    const char *key = strsep(&value, "=");
    const struct hush_option *row = hush_option_find(hush_mount_options, key);

    if (row == NULL || (value == NULL && row->type != HUSH_OPT_BOOL)) {
        keys_refuse(keys, key);
        return false;
    }
    return keys_add(keys, key, value == NULL ? "yes" : value);
}

void hush_mount_keys_done(struct hush_mount_keys *keys)
{
    for (size_t i = 0; i < keys->count; i++) {
        free(keys->list[i].key);
        free(keys->list[i].value);
    }
    free(keys->list);
    keys->list = NULL;
    keys->count = 0;
}

static bool keys_take(struct hush_mount_keys *keys, const char *options)
{
    cleanup_free char *copy = strdup(options == NULL ? "" : options);
    bool good = copy != NULL;

    if (!good)
        keys->error(keys->ctx, "-o", 0, "out of memory");
    for (char *rest = copy, *option; good && (option = strsep(&rest, ",")) != NULL;)
        good = is_ignored(option) || keys_option(keys, option);
    return good;
}

int hush_mount_keys_find(struct hush_mount_keys *keys, const struct hush_args *args)
{
    const char *name = args->count > 0 ? args->names[0] : NULL;
    char mountpoint[PATH_MAX], why[KEYS_SHOWN_MAX];

    if (name != NULL && !hush_mounts_resolve_parent(name, mountpoint)) {
        (void)snprintf(why, sizeof(why), "the mount point: %m"); /* fits */
        keys->error(keys->ctx, name, 0, why);
        return HUSH_CMD_FAILED;
    }
    return keys_take(keys, args->options) && (name == NULL || keys_add(keys, "path", mountpoint))
               ? HUSH_CMD_DONE
               : HUSH_CMD_USAGE;
}
