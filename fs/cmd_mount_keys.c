/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_mount_keys.c - the options of `-o`, as mount(8) has them, into keys of [mount]. `hushfs
 * mount` and `hushfs check` call it.
 */
#include "cmd.h"
#include "core/cleanup.h"

#include <stdlib.h>
#include <string.h>

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

static bool keys_add(struct hush_pair **keys, size_t *count, const char *key, const char *value)
{
    struct hush_pair *grown = reallocarray(*keys, *count + 1, sizeof(*grown));

    if (grown == NULL)
        return false;
    *keys = grown;
    grown[*count] = (struct hush_pair){.key = strdup(key), .value = strdup(value)};
    (*count)++;
    return grown[*count - 1].key != NULL && grown[*count - 1].value != NULL;
}

/* One option; it is cut up. False: it was said. */
static bool keys_option(struct hush_pair **keys, size_t *count, char *option)
{
    char *value = option;
    const char *key = strsep(&value, "=");
    const struct hush_option *row = hush_option_find(hush_mount_options, key);

    if (row == NULL || (value == NULL && row->type != HUSH_OPT_BOOL)) {
        (void)hush_cmd_fail(0,
                            strcmp(key, "rw") == 0
                                ? "-o %s: the mount is always read-only"
                                : "-o %s: no such option: KEY=VALUE of [mount] "
                                  "(`hushfs providers --keys`), and what mount(8) has for all",
                            key);
        return false;
    }
    if (keys_add(keys, count, key, value == NULL ? "yes" : value))
        return true;
    (void)hush_cmd_fail(0, "out of memory");
    return false;
}

void hush_mount_keys_free(struct hush_pair *keys, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(keys[i].key);
        free(keys[i].value);
    }
    free(keys);
}

bool hush_mount_keys(const char *options, const char *mountpoint, struct hush_pair **keys,
                     size_t *count)
{
    cleanup_free char *copy = strdup(options == NULL ? "" : options);
    struct hush_pair *list = NULL;
    size_t used = 0;
    bool good = copy != NULL;

    for (char *rest = copy, *option; good && (option = strsep(&rest, ",")) != NULL;)
        good = is_ignored(option) || keys_option(&list, &used, option);
    if (good && mountpoint != NULL)
        good = keys_add(&list, &used, "path", mountpoint);
    if (!good) {
        hush_mount_keys_free(list, used);
        return false;
    }
    *keys = list;
    *count = used;
    return true;
}
